package importer

// Code and HTML in Markdown, so that templates in them stay unchanged. Entry point:
// codeFinder.find.

import (
	"regexp"
	"strings"
)

// codeFinder finds the code and the HTML in a Markdown text. Its time is proportional to the length
// of any text. A Markdown parser's is not: some need hours for a hostile file. The price is
// precision in indented text within lists; a test compares it with a parser on real posts.
type codeFinder struct {
	body string

	code  []region // fenced or in backticks
	lines []region // by its indentation
	html  []region // blocks of HTML

	paragraph region // under way; empty for none
	fence     string // the opening fence of the code under way, "" for none
	fenceFrom int
	quotes    int    // how deep the fence is in quotations
	htmlEnd   string // the end of the HTML under way: a tag, or "\n" for a blank line; "" for none
	htmlFrom  int
	list      bool // a list may go on, so indentation need not mean code
}

var (
	listMarker = regexp.MustCompile(`^(?:[-*+]|\d{1,9}[.)])(?:[ \t]+|$)`)
	fenceStart = regexp.MustCompile("^(`{3,})[^`]*$|^(~{3,})")
	verbatim   = regexp.MustCompile(`(?i)^<(pre|script|style|textarea)(?:[\s>]|$)`)
	blockTag   = regexp.MustCompile(`(?i)^</?(?:address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul)(?:[\s>]|/>|$)`)
	loneTag    = regexp.MustCompile(`^</?[a-zA-Z][a-zA-Z0-9-]*(?:\s[^<>]*)?/?>\s*$`)
)

// find reads the text line by line, by the rules of CommonMark 0.31, sections 4.4 to 4.6 and 6.1.
func (f *codeFinder) find() {
	for start := 0; start < len(f.body); {
		end := len(f.body)
		if i := strings.IndexByte(f.body[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		f.line(start, end)
		start = end
	}
	f.endFence(len(f.body))
	f.endHTML(len(f.body))
	f.endParagraph()
}

func (f *codeFinder) line(start, end int) {
	content, indent, quotes := container(strings.TrimSuffix(f.body[start:end], "\n"))
	if f.fence != "" {
		if quotes >= f.quotes {
			if closesFence(content, f.fence) {
				f.endFence(end)
			}
			return
		}
		f.endFence(start)
	}
	blank := content == ""
	switch {
	case f.htmlEnd == "\n" && blank:
		f.endHTML(start)
	case f.htmlEnd != "":
		if f.htmlEnd != "\n" && strings.Contains(strings.ToLower(content), f.htmlEnd) {
			f.endHTML(end)
		}
		return
	}
	if blank {
		f.endParagraph()
		return
	}
	marker := listMarker.FindString(content)
	item := content[len(marker):]
	inParagraph := f.paragraph.end > 0
	switch {
	case marker != "" && (indent < 4 || f.list):
		f.endParagraph()
		f.list, inParagraph = true, false
	case indent == 0 && !inParagraph:
		f.list = false
	}
	if indent >= 4 && !f.list && !inParagraph {
		f.lines = append(f.lines, region{start, end})
		return
	}
	switch {
	case fenceStart.MatchString(item):
		f.endParagraph()
		found := fenceStart.FindStringSubmatch(item)
		f.fence, f.fenceFrom, f.quotes = found[1]+found[2], start, quotes
	case strings.HasPrefix(item, "<") && f.startHTML(item, start, end, inParagraph):
	case strings.HasPrefix(content, "#"):
		f.endParagraph()
		f.paragraph = region{start, end}
		f.endParagraph()
	case inParagraph:
		f.paragraph.end = end
	default:
		f.paragraph = region{start, end}
	}
}

// container removes the quotation marks from a line, and returns the indentation of the rest (a tab
// counts as four) and the depth of quotation.
func container(line string) (content string, indent, quotes int) {
	for line != "" {
		switch line[0] {
		case ' ':
			indent++
		case '\t':
			indent += 4 - indent%4
		case '>':
			indent = 0
			quotes++
			line = strings.TrimPrefix(line[1:], " ")
			continue
		default:
			return strings.TrimRight(line, " \t"), indent, quotes
		}
		line = line[1:]
	}
	return "", 0, quotes
}

func closesFence(content, fence string) bool {
	return len(content) >= len(fence) && strings.Trim(content, fence[:1]) == ""
}

func (f *codeFinder) endFence(end int) {
	if f.fence != "" {
		f.code = append(f.code, region{f.fenceFrom, end})
		f.fence = ""
	}
}

// startHTML begins a block of HTML if item, the rest of the line, is a beginning. Within a
// paragraph only certain names of tags begin a block.
func (f *codeFinder) startHTML(item string, start, end int, inParagraph bool) bool {
	switch found := verbatim.FindStringSubmatch(item); {
	case found != nil:
		f.htmlEnd = "</" + strings.ToLower(found[1]) + ">"
	case strings.HasPrefix(item, "<!--"):
		f.htmlEnd = "-->"
	case blockTag.MatchString(item), !inParagraph && loneTag.MatchString(item):
		f.htmlEnd = "\n"
	default:
		return false
	}
	f.endParagraph()
	f.htmlFrom = start
	if f.htmlEnd != "\n" && strings.Contains(strings.ToLower(item), f.htmlEnd) {
		f.endHTML(end)
	}
	return true
}

func (f *codeFinder) endHTML(end int) {
	if f.htmlEnd != "" {
		f.html = append(f.html, region{f.htmlFrom, end})
		f.htmlEnd = ""
	}
}

// endParagraph finds the code between backticks in the paragraph under way: from one run of
// backticks to the next run of the same length.
func (f *codeFinder) endParagraph() {
	within := f.paragraph
	f.paragraph = region{}
	runs := f.backticks(within)
	byLength := map[int][]int{}
	for i, run := range runs {
		byLength[run.end-run.start] = append(byLength[run.end-run.start], i)
	}
	for i := 0; i < len(runs); i++ {
		run := runs[i]
		if f.escaped(run.start, within.start) {
			run.start++
		}
		same := byLength[run.end-run.start]
		for len(same) > 0 && same[0] <= i {
			same = same[1:]
		}
		byLength[run.end-run.start] = same
		if run.start < run.end && len(same) > 0 {
			f.code = append(f.code, region{run.start, runs[same[0]].end})
			i = same[0]
		}
	}
}

func (f *codeFinder) backticks(within region) []region {
	var runs []region
	for pos := within.start; pos < within.end; {
		next := strings.IndexByte(f.body[pos:within.end], '`')
		if next < 0 {
			break
		}
		start := pos + next
		for pos = start; pos < within.end && f.body[pos] == '`'; {
			pos++
		}
		runs = append(runs, region{start, pos})
	}
	return runs
}

// escaped reports whether a backslash escapes the character at pos.
func (f *codeFinder) escaped(pos, from int) bool {
	before := f.body[from:pos]
	return (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
}
