package importer

// A body for another system turned into plain Markdown. Entry point: reader.convert. It finds code
// (code.go), comments (comment.go) and formulas (formula.go), then the dialect of the other system
// (dialect.go, kramdown.go, mdx.go, emoji.go), then the tags of its templates (tag.go), and writes
// the text with a replacement for each (shortcode.go, liquid.go).

import (
	"cmp"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// maxTag is the length, in bytes, at which the search for a tag's end stops (it also stops at a
// blank line). maxNesting is the depth to which tags are paired. Both bound the work that a hostile
// file can cause. The longest tag in the blogs of the tests has 500 bytes.
const (
	maxTag     = 4 << 10
	maxNesting = 32
)

// conversion holds the facts about a file, beside the body, that its templates depend on.
type conversion struct {
	path                   string
	line                   int // the line of the file that the body begins on
	language               string
	fields                 map[string]value // the front matter
	jekyll, zola, hashnode bool
	mdx                    bool // JSX is read
	math                   bool // the file or its site says that there are formulas
	emoji                  bool // the site has codes such as :smile: replaced
}

// region is a range of bytes.
type region struct{ start, end int }

// converter turns a body for another system into plain Markdown.
type converter struct {
	conversion
	reader    *reader
	body      string
	masked    string   // body with blanks in place of comments and formulas: tags begin here only
	code      []region // fenced or in backticks: never changed
	lines     []region // code by its indentation: only Hugo's shortcodes are replaced
	fixed     []region // both
	html      []region // a parser reads no Markdown in it, so tags become HTML
	tags      []tag
	edits     []tag // replacements of text beside the tags of templates
	notes     []note
	noRaw     bool // no {% endraw %} follows
	newlines  []int
	variables map[string]string // Liquid's, as far as the text itself sets them
	noted     map[string]bool   // addresses that resolve has noted
	targets   map[string]int    // the lines of destinations, the first of each
}

// convert replaces shortcodes (Hugo's, Zola's), Liquid (Jekyll's), frames, and the dialects of other
// Markdown by Markdown with the same meaning, or by HTML within a block of HTML. Code that is fenced
// or in backticks is unchanged. In indented code, which is often indented by mistake, only Hugo's
// shortcodes are replaced. targets are the lines of the file with the destinations of links.
func (r *reader) convert(body string, c conversion) (written string, notes []note, targets map[string]int) {
	v := converter{conversion: c, reader: r, body: body, masked: body, variables: map[string]string{}, noted: map[string]bool{}}
	for at := strings.IndexByte(body, '\n'); at >= 0; {
		v.newlines = append(v.newlines, at)
		next := strings.IndexByte(body[at+1:], '\n')
		if next < 0 {
			break
		}
		at += 1 + next
	}
	v.find()
	v.comments()
	v.formulas()
	v.dialect()
	v.scan()
	v.merge()
	v.pair()
	var out strings.Builder
	v.emit(&out, 0, len(body), 0, len(v.tags), 0)
	written = v.relink(out.String())
	return written, v.notes, v.targets
}

// find finds the code in the text, comments and formulas apart.
func (c *converter) find() {
	find := codeFinder{body: c.masked}
	find.find()
	c.code, c.lines, c.html = find.code, find.lines, find.html
	byStart := func(a, b region) int { return cmp.Compare(a.start, b.start) }
	slices.SortFunc(c.code, byStart)
	c.fixed = slices.SortedFunc(slices.Values(slices.Concat(c.code, c.lines)), byStart)
}

// edit has the text of a region replaced.
func (c *converter) edit(at region, written string) {
	c.edits = append(c.edits, tag{region: at, line: c.lineAt(at.start), verbatim: true, text: written})
}

// mask puts blanks in place of regions, in the order of the text.
func (c *converter) mask(regions []region) {
	masked := []byte(c.masked)
	for _, r := range regions {
		for i := r.start; i < r.end; i++ {
			if masked[i] != '\n' {
				masked[i] = ' '
			}
		}
	}
	c.masked = string(masked)
}

// matches returns what pattern finds outside of code, as FindAllStringSubmatchIndex does.
func (c *converter) matches(pattern *regexp.Regexp) [][]int {
	var code cursor
	return slices.DeleteFunc(pattern.FindAllStringSubmatchIndex(c.masked, -1), func(m []int) bool { return code.in(c.fixed, m[0]) })
}

// merge puts the edits among the tags. An edit within a tag is none: the tag's own text counts. Of
// two things that begin at one place an edit comes first.
func (c *converter) merge() {
	slices.SortStableFunc(c.edits, func(a, b tag) int { return cmp.Compare(a.start, b.start) })
	all := slices.Concat(c.edits, c.tags)
	slices.SortStableFunc(all, func(a, b tag) int { return cmp.Compare(a.start, b.start) })
	end := 0
	c.tags = slices.DeleteFunc(all, func(t tag) bool {
		if t.start < end {
			return true
		}
		end = t.end
		return false
	})
}

// emit writes body[from:to] with its tags, tags[first:last].
func (c *converter) emit(out *strings.Builder, from, to, first, last, depth int) {
	for i := first; i < last; i++ {
		t := &c.tags[i]
		out.WriteString(c.body[from:t.start])
		if t.partner == 0 || depth == maxNesting {
			out.WriteString(c.single(t))
			from = t.end
			continue
		}
		end := &c.tags[t.partner]
		if t.isCode() {
			out.WriteString(c.block(t, end.end, fence(t.at(0), c.body[t.end:end.start])))
			from, i = end.end, t.partner
			continue
		}
		start, next := t.end, i+1
		if c.chooses(t) {
			start, next = c.chosen(i)
		}
		var inner strings.Builder
		c.emit(&inner, start, end.start, next, t.partner, depth+1)
		out.WriteString(c.paired(t, end, inner.String()))
		from, i = end.end, t.partner
	}
	out.WriteString(c.body[from:to])
}

// lineAt returns the line of the file at pos.
func (c *converter) lineAt(pos int) int { return c.line + sort.SearchInts(c.newlines, pos) }

func (c *converter) note(t *tag, rule, detail string) {
	c.notes = append(c.notes, note{line: t.line, rule: rule, detail: detail})
}

func (c *converter) noteAt(pos int, rule, detail string) {
	c.notes = append(c.notes, note{line: c.lineAt(pos), rule: rule, detail: shorten(oneLine(detail), 80)})
}

// before and after return the text around a tag on its line, maxTag bytes at most: callers only ask
// whether it is blank.
func (c *converter) before(start int) string {
	near := c.body[max(0, start-maxTag):start]
	return near[strings.LastIndexByte(near, '\n')+1:]
}

func (c *converter) after(end int) string {
	near, _, _ := strings.Cut(c.body[end:min(end+maxTag, len(c.body))], "\n")
	return near
}

// maxIndent bounds the indentation of a block, in columns; lists don't go deeper.
const maxIndent = 40

// block makes text a block of its own, in place of the body from t to end: on its own lines, with
// the indentation of t, and blank lines around it.
func (c *converter) block(t *tag, end int, written string) string {
	before, after := c.before(t.start), c.after(end)
	lead, trail, indent := "\n\n", "", ""
	if strings.TrimSpace(before) == "" && len(before) <= maxIndent {
		lead, indent = "", before
		if start := t.start - len(before); start > 0 && strings.TrimSpace(c.before(start-1)) != "" {
			lead = "\n" + indent
		}
	}
	next := min(end+len(after)+len("\n"), len(c.body))
	switch {
	case strings.TrimSpace(after) != "":
		trail = "\n\n" + indent
	case strings.TrimSpace(c.after(next)) != "":
		trail = "\n"
	}
	return lead + strings.ReplaceAll(written, "\n", "\n"+indent) + trail
}

// alone reports whether the lines from t to end have no other text.
func (c *converter) alone(t *tag, end int) bool {
	return strings.TrimSpace(c.before(t.start)) == "" && strings.TrimSpace(c.after(end)) == ""
}
