package importer

// Comments: notes in a text for its authors. No reader of the other system sees them. Entry point:
// converter.comments.

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

const noteComment = "template comment: left out"

// maxComments is the number of searches for comments in a text. A search can show a comment that a
// fence within an earlier comment made look like code.
const maxComments = 3

// commentMark finds the beginnings and ends of comments: shortcodes, Liquid's blocks and single
// tags, kramdown's extensions, and MDX's expressions; and of raw blocks, the text of which readers
// see as it is.
var commentMark = regexp.MustCompile(`\{\{[<%]\s*/?\s*comment\s*[>%]\}\}` +
	`|\{%-?\s*(?:end)?(?:comment|raw)\s*-?%\}|\{%-?\s*#[^%]*%\}` +
	`|\{:(?::(?:comment|nomarkdown)[^{}\n]*|/(?:comment|nomarkdown)?)\}` +
	`|\{/\*|\*/\s*\}`)

// mark is the beginning or the end of a comment, or of a raw block.
type mark struct {
	region
	kind    string // pairs have the same
	ends    bool
	comment bool // readers don't see the text within
}

// readMark reads a match of commentMark.
func readMark(text string, at region) mark {
	switch word := strings.Trim(text, "{}<>%-/: \t\n"); {
	case strings.HasPrefix(text, "{/*"), strings.HasPrefix(text, "*/"):
		return mark{at, "mdx", text[0] == '*', true}
	case strings.HasPrefix(text, "{:"):
		return mark{at, "kramdown", text[2] == '/', strings.HasPrefix(word, "comment")}
	case strings.HasPrefix(text, "{{"):
		return mark{at, "shortcode", strings.Contains(text, "/"), true}
	case strings.HasPrefix(word, "#"):
		return mark{at, "", false, true}
	default:
		name, ends := strings.CutPrefix(word, "end")
		return mark{at, name, ends, name == "comment"}
	}
}

// comments has all comments left out.
func (c *converter) comments() {
	for range maxComments {
		found := c.findComments()
		if len(found) == 0 {
			return
		}
		for _, r := range found {
			c.noteAt(r.start, noteComment, shorten(oneLine(commentMark.ReplaceAllString(c.body[r.start:r.end], "")), 60))
			c.edit(r, "")
		}
		c.mask(found)
		c.find()
	}
}

// findComments returns the comments that begin outside of code; of nested ones the outermost. A
// beginning without its end is none.
func (c *converter) findComments() []region {
	var marks []mark
	lastRaw := -1 // the last end of a raw block
	for _, at := range commentMark.FindAllStringIndex(c.masked, -1) {
		m := readMark(c.masked[at[0]:at[1]], region{at[0], at[1]})
		marks = append(marks, m)
		if m.kind == "raw" && m.ends {
			lastRaw = m.start
		}
	}
	var found []region
	var open []mark
	var code cursor
	raw := false
	for _, m := range marks {
		shown := code.in(c.code, m.start) && len(open) == 0
		switch {
		case m.kind == "raw":
			raw = !m.ends && (raw || !shown && len(open) == 0) && m.start < lastRaw
		case raw, shown:
		case m.kind == "":
			found = append(found, m.region)
		case !m.ends:
			open = append(open, m)
		default:
			at := len(open) - 1
			for at >= 0 && open[at].kind != m.kind {
				at--
			}
			if at < 0 {
				continue
			}
			if open[at].comment {
				found = append(found, region{open[at].start, m.end})
			}
			open = open[:at]
		}
	}
	return outermost(found)
}

// outermost sorts regions, and drops those that begin within another.
func outermost(regions []region) []region {
	slices.SortFunc(regions, func(a, b region) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end)) })
	end := 0
	return slices.DeleteFunc(regions, func(r region) bool {
		if r.start < end {
			return true
		}
		end = r.end
		return false
	})
}
