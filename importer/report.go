package importer

// The report of an import, as data and as a table for a terminal. Entry points: Report.Table,
// Report.List.

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"stoa/blog"
)

// Report is the outcome of an import. Every file is in exactly one of the counts, so they add up to
// Files.
type Report struct {
	Name   string // of the folder, as in Options
	DryRun bool   // nothing was written: the counts are what an import would do
	Files  int    // seen in the folder

	Created, Updated, Unchanged int
	Skipped                     int // by a rule that Entries gives
	Failed                      int // for a reason that Entries gives; the exit code is 1 when it isn't 0
	Unreached                   int // not looked at, because the run ended early

	Pictures int // files that are stored as pictures of these articles, among them files beside the folder

	Drafts int // among the files created, updated or unchanged: invisible until somebody publishes them

	noun string // of what Files counts, if it isn't files

	Entries []Entry        // in the order of the paths, within a path in the order of the lines
	Unused  map[string]int // unused front-matter keys, and the number of files with a value for each
}

// Entry is one remark about a file. A file may have several notes, and at most one entry of another
// kind.
type Entry struct {
	Kind   EntryKind
	Path   string // relative to the folder
	Line   int    // 1-based; 0 for the whole file
	Rule   string // the same words for every file with this remark
	Detail string // the part that is special to this file, "" for none
}

// EntryKind says whether the file was imported.
type EntryKind string

// The kinds of entries.
const (
	EntryFailed  EntryKind = "failed"  // not imported, and somebody should look at it
	EntrySkipped EntryKind = "skipped" // not imported, by a rule
	EntryNote    EntryKind = "note"    // imported, with something changed or left out
)

// Where returns the path, and the line if there is one, as compilers write them.
func (e Entry) Where() string {
	if e.Line == 0 {
		return printable(e.Path)
	}
	return fmt.Sprintf("%s:%d", printable(e.Path), e.Line)
}

func (e Entry) String() string {
	text := e.Where() + ": " + string(e.Kind) + ": " + e.Rule
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

func (r *Report) fail(path string, line int, reason string) {
	r.Failed++
	r.Entries = append(r.Entries, Entry{Kind: EntryFailed, Path: path, Line: line, Rule: oneLine(reason)})
}

func (r *Report) failed(path string, err error) {
	var f *failure
	if errors.As(err, &f) {
		r.fail(path, f.line, f.reason)
		return
	}
	r.fail(path, 0, err.Error())
}

func (r *Report) skip(path, rule string) {
	r.Skipped++
	r.Entries = append(r.Entries, Entry{Kind: EntrySkipped, Path: path, Rule: rule})
}

func (r *Report) note(path string, n note) {
	r.Entries = append(r.Entries, Entry{Kind: EntryNote, Path: path, Line: n.line, Rule: n.rule, Detail: oneLine(n.detail)})
}

func (r *Report) unused(keys []string) {
	if r.Unused == nil {
		r.Unused = map[string]int{}
	}
	for _, key := range keys {
		r.Unused[key]++
	}
}

func (r *Report) count(path string, draft bool, o blog.Outcome) {
	if draft && o.Status != blog.Failed {
		r.Drafts++
	}
	switch o.Status {
	case blog.Created:
		r.Created++
	case blog.Updated:
		r.Updated++
	case blog.Unchanged:
		r.Unchanged++
	default:
		reason := fmt.Sprintf("the blog answered %q", o.Status)
		if o.Err != nil {
			reason = o.Err.Error()
		}
		r.fail(path, 0, reason)
	}
}

// finish sorts the entries by path (outcomes come a batch later than the rest) and counts the
// unreached files.
func (r *Report) finish(files int) {
	r.Files = files
	r.Unreached = files - r.Created - r.Updated - r.Unchanged - r.Skipped - r.Failed
	slices.SortStableFunc(r.Entries, func(a, b Entry) int {
		return cmp.Or(comparePaths(a.Path, b.Path), cmp.Compare(a.Line, b.Line))
	})
}

// comparePaths orders as fs.WalkDir does: element by element.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// List writes every entry, one per line.
func (r *Report) List(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, e := range r.Entries {
		fmt.Fprintln(out, e)
	}
	return out.Flush()
}

// examples is the number of files that the table names for one rule. List names all.
const examples = 3

// Table writes the counts, every failure, and the rules by which files were skipped or changed,
// each with its number of files and some examples.
func (r *Report) Table(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s: %s", r.Name, plural(r.Files, cmp.Or(r.noun, "file")))
	if r.DryRun {
		fmt.Fprint(out, " (dry run: nothing was written)")
	}
	fmt.Fprintln(out)
	for _, row := range []struct {
		label string
		count int
	}{
		{"created", r.Created}, {"updated", r.Updated}, {"unchanged", r.Unchanged},
		{"skipped", r.Skipped}, {"failed", r.Failed}, {"not reached", r.Unreached},
	} {
		if row.count > 0 || row.label != "not reached" {
			fmt.Fprintf(out, "  %-11s %6d\n", row.label, row.count)
		}
	}
	if r.Pictures > 0 {
		fmt.Fprintf(out, "\nPictures stored for these: %d\n", r.Pictures)
	}
	if r.Drafts > 0 {
		why := " The notes below say why."
		if r.noun != "" { // an export has no notes
			why = ""
		}
		fmt.Fprintf(out, "\nDrafts among these: %d.%s\n", r.Drafts, why)
	}
	for i, e := range r.of(EntryFailed) {
		if i == 0 {
			fmt.Fprint(out, "\nFailed\n")
		}
		fmt.Fprintf(out, "  %s: %s\n", e.Where(), e.Rule)
	}
	r.rules(out, "Skipped", EntrySkipped)
	r.rules(out, "Noted", EntryNote)
	if len(r.Unused) > 0 {
		fmt.Fprint(out, "\nFront matter that Stoa has no place for (files)\n  ")
		for i, key := range slices.Sorted(maps.Keys(r.Unused)) {
			if i > 0 {
				fmt.Fprint(out, ", ")
			}
			fmt.Fprintf(out, "%s (%d)", key, r.Unused[key])
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

func (r *Report) of(kind EntryKind) []Entry {
	return slices.DeleteFunc(slices.Clone(r.Entries), func(e Entry) bool { return e.Kind != kind })
}

// rules writes the entries of one kind by rule, the most frequent first.
func (r *Report) rules(out io.Writer, heading string, kind EntryKind) {
	groups := map[string][]Entry{}
	for _, e := range r.of(kind) {
		groups[e.Rule] = append(groups[e.Rule], e)
	}
	if len(groups) > 0 {
		fmt.Fprintf(out, "\n%s\n", heading)
	}
	order := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(groups[b]), len(groups[a])), cmp.Compare(a, b))
	})
	for _, rule := range order {
		fmt.Fprintf(out, "%6d  %s\n", len(groups[rule]), rule)
		for _, e := range groups[rule][:min(examples, len(groups[rule]))] {
			where := e.Where()
			if e.Detail != "" {
				where += ": " + shorten(e.Detail, 100)
			}
			fmt.Fprintf(out, "        %s\n", where)
		}
		if more := len(groups[rule]) - examples; more > 0 {
			fmt.Fprintf(out, "        and %d more\n", more)
		}
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// oneLine makes every run of white space one space, and drops the characters that control a
// terminal.
func oneLine(s string) string {
	words := strings.Fields(s)
	for i, word := range words {
		words[i] = printable(word)
	}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
}

func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, s)
}

// shorten cuts s to at most n characters, the last of them an ellipsis.
func shorten(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
