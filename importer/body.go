package importer

// Templates in a body replaced by Markdown. Entry point: reader.convert, which drives a converter
// over the tags that tag.go has found; shortcode.go writes each one.

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// The notes about the templates in a body. The report shows them as they stand here.
const (
	noteDropped   = "shortcode that Stoa doesn't know, with nothing inside: left out"
	noteUnwrapped = "shortcode that Stoa doesn't know: its content was kept"
	noteOrphan    = "end of a shortcode that doesn't begin: left out"
	noteUnclosed  = "shortcode without an end of its tag: left as it is"
	noteTemplate  = "looks like a template, but this file's system has none: left as it is"
	noteComment   = "template comment: left out"
	noteOutside   = "link to a page that isn't in the folder: kept as a path"
	noteFrame     = "frame, film or sound of another site, and Stoa shows none within a page: made a link to it"
	noteElement   = "element that Stoa takes off the page"
	noteNoAddress = "picture named by a key of the other site, not by an address: kept as it is"
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
	line                   int // the line of the file that the body begins on
	jekyll, zola, hashnode bool
}

// region is a range of bytes.
type region struct{ start, end int }

// converter turns a body for another system into plain Markdown.
type converter struct {
	conversion
	links *links
	body  string
	code  []region // fenced or in backticks: never changed
	lines []region // code by its indentation: only Hugo's shortcodes are replaced
	fixed []region // both
	html  []region // a parser reads no Markdown in it, so tags become HTML
	tags  []tag
	notes []note
	noRaw bool // no {% endraw %} follows

	counted, countedLine int // the line of the file that has body[counted]
}

// convert replaces shortcodes (Hugo's, Zola's), Liquid (Jekyll's) and frames by Markdown with the
// same meaning, or by HTML within a block of HTML. Code that is fenced or in backticks is
// unchanged. In indented code, which is often indented by mistake, only Hugo's shortcodes are
// replaced.
func (r *reader) convert(body string, c conversion) (string, []note) {
	if !c.hashnode && !c.jekyll && !c.zola && !strings.ContainsAny(body, "{<") {
		return body, nil
	}
	find := codeFinder{body: body}
	find.find()
	v := converter{conversion: c, links: &r.links, body: body, code: find.code, lines: find.lines, html: find.html}
	v.fixed = slices.SortedFunc(slices.Values(slices.Concat(v.code, v.lines)), func(a, b region) int { return cmp.Compare(a.start, b.start) })
	v.countedLine = c.line
	v.scan()
	v.pair()
	var out strings.Builder
	v.emit(&out, 0, len(body), 0, len(v.tags), 0)
	return out.String(), v.notes
}

// emit writes body[from:to] with its tags, tags[first:last].
func (c *converter) emit(out *strings.Builder, from, to, first, last, depth int) {
	for i := first; i < last; i++ {
		t := &c.tags[i]
		c.writeText(out, from, t.start)
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
		var inner strings.Builder
		c.emit(&inner, t.end, end.start, i+1, t.partner, depth+1)
		out.WriteString(c.paired(t, end, inner.String()))
		from, i = end.end, t.partner
	}
	c.writeText(out, from, to)
}

var (
	hashnodeAlign = regexp.MustCompile(`(\]\([^()\s]+) align="\w+"\)`)
	hashnodeEmbed = regexp.MustCompile(`(?m)^%\[(https?://[^\]\s]+)\][ \t]*$`)
	zolaLink      = regexp.MustCompile(`\]\(@/([^()\s]+)`)
	kramdownMark  = regexp.MustCompile(`\{:[^{}\n]*\}`)
)

// writeText writes text between tags. It corrects text that isn't Markdown outside the file's own
// system: Hashnode's ![](url align="center") and %[url], Zola's links by file, and the {:
// attributes} of kramdown, Jekyll's parser.
func (c *converter) writeText(out *strings.Builder, from, to int) {
	if !c.hashnode && !c.zola && !c.jekyll {
		out.WriteString(c.body[from:to])
		return
	}
	at, _ := slices.BinarySearchFunc(c.fixed, from, func(r region, pos int) int { return cmp.Compare(r.end, pos+1) })
	for _, code := range c.fixed[at:] {
		if code.start >= to {
			break
		}
		out.WriteString(c.dialect(from, max(code.start, from)))
		out.WriteString(c.body[max(code.start, from):min(code.end, to)])
		from = min(code.end, to)
	}
	out.WriteString(c.dialect(from, to))
}

func (c *converter) dialect(from, to int) string {
	written := c.body[from:to]
	if c.hashnode {
		written = hashnodeAlign.ReplaceAllString(written, "$1)")
		written = hashnodeEmbed.ReplaceAllString(written, "<$1>")
	}
	if c.zola {
		written = c.zolaLinks(written, from)
	}
	if c.jekyll {
		written = kramdownMark.ReplaceAllString(written, "")
	}
	return written
}

// zolaLinks resolves the links by file in written. The text of written begins at from in the body.
func (c *converter) zolaLinks(written string, from int) string {
	var out strings.Builder
	done := 0
	for _, link := range zolaLink.FindAllStringSubmatchIndex(written, -1) {
		out.WriteString(written[done:link[0]])
		out.WriteString("](" + c.resolve(written[link[2]:link[3]], c.lineAt(from+link[0])))
		done = link[1]
	}
	out.WriteString(written[done:])
	return out.String()
}

// lineAt returns the line of the file at pos. No call has a smaller pos than the call before.
func (c *converter) lineAt(pos int) int {
	c.countedLine += strings.Count(c.body[c.counted:pos], "\n")
	c.counted = pos
	return c.countedLine
}

func (c *converter) note(t *tag, rule, detail string) {
	c.notes = append(c.notes, note{line: t.line, rule: rule, detail: detail})
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
