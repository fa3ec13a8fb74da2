package importer

// Markdown in the dialects of other systems. Entry points: converter.dialect, converter.inZone.

import (
	"regexp"
	"slices"
	"strings"
)

const noteContents = "table of contents in the text: left out, since every article has one of its own"

var (
	hashnodeAlign = regexp.MustCompile(`\]\([^()\s]+( align="\w+"\))`)
	hashnodeEmbed = regexp.MustCompile(`(?m)^%\[(https?://[^\]\s]+)\][ \t]*$`)
	zolaLink      = regexp.MustCompile(`\]\((@/[^()\s]+)`)
	contentsLine  = regexp.MustCompile(`(?mi)^ {0,3}\[?\[_?toc_?\]\]?[ \t]*$`)
)

// dialect corrects text that isn't Markdown outside of the file's own system.
func (c *converter) dialect() {
	if c.hashnode {
		for _, m := range c.matches(hashnodeAlign) {
			c.edit(region{m[2], m[3]}, ")")
		}
		for _, m := range c.matches(hashnodeEmbed) {
			c.edit(region{m[0], m[1]}, "<"+c.body[m[2]:m[3]]+">")
		}
	}
	if c.zola {
		for _, m := range c.matches(zolaLink) {
			c.edit(region{m[2], m[3]}, c.resolve(c.body[m[2]+len("@/"):m[3]], c.lineAt(m[0])))
		}
	}
	if c.jekyll {
		c.kramdown()
	}
	for _, m := range c.matches(contentsLine) {
		c.noteAt(m[0], noteContents, c.body[m[0]:m[1]])
		c.edit(region{m[0], m[1]}, "")
	}
	if !c.hashnode {
		c.definitions()
	}
	c.markdownInHTML()
	c.directives()
	c.components()
	c.emojis()
}

// addressZone finds the parts of a text that aren't words for readers: addresses of links, and tags
// of HTML.
var addressZone = regexp.MustCompile(`\]\([^)\n]*\)|</?[a-zA-Z][^<>]*>|<[a-z][a-z0-9+.-]*:[^<>\s]*>|https?://[^\s<>)]+|(?m)^ {0,3}\[[^\]\n]+\]:.*$`)

// outsideAddresses returns what pattern finds in words for readers.
func (c *converter) outsideAddresses(pattern *regexp.Regexp) [][]int {
	found := c.matches(pattern)
	if len(found) == 0 {
		return nil
	}
	var zones []region
	for _, z := range addressZone.FindAllStringIndex(c.masked, -1) {
		zones = append(zones, region{z[0], z[1]})
	}
	var zone cursor
	return slices.DeleteFunc(found, func(m []int) bool { return zone.in(zones, m[0]) })
}

// textLine is a line of the text.
type textLine struct {
	region // without its line end
	code   bool
}

// textLines returns the lines of the text, and marks those in code or in a block of HTML.
func (c *converter) textLines() []textLine {
	var lines []textLine
	var code, html cursor
	start := 0
	for line := range strings.SplitSeq(c.masked, "\n") {
		end := start + len(line)
		at := start + len(line) - len(strings.TrimLeft(line, " \t"))
		lines = append(lines, textLine{region{start, end}, code.in(c.fixed, at) && at < end || html.in(c.html, at) && at < end})
		start = end + 1
	}
	return lines
}

func (c *converter) textOf(l textLine) string { return c.masked[l.start:l.end] }
