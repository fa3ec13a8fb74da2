package importer

// Formulas in TeX, which the front end draws. Markdown would take them apart: _ and * are emphasis
// to it, and a backslash vanishes. Entry points: converter.formulas, asksForFormulas.

import (
	"html"
	"regexp"
	"slices"
	"strings"
)

const noteFormula = "looks like a formula, and neither the file nor its site says that there are any: read as Markdown, which may have changed it"

// maxFormula is the length of the longest formula, in bytes.
const maxFormula = 8 << 10

// formulaKeys are the keys of front matter and configuration by which a file or a site says that it
// has formulas.
var formulaKeys = []string{"math", "katex", "mathjax", "mathjax3", "latex", "tex", "use_math", "usemath", "usemathjax", "use_mathjax", "enablemath", "enable_math", "enablemathjax", "enablekatex", "has_math", "hasmath"}

// asksForFormulas reports whether front matter or a configuration says that there are formulas, and
// whether it says anything about them.
func asksForFormulas(fields map[string]value) (asks, says bool) {
	for _, within := range []map[string]value{fields, fields["params"].fields, fields["extra"].fields} {
		for _, key := range formulaKeys {
			v := within[key]
			if v.fields != nil {
				v = v.fields["enable"]
			}
			if v.text != "" {
				says = true
				asks = asks || !isTruth(v.text) || isTrue(v.text)
			}
		}
	}
	return asks || fields["markup"].text == "mmark", says
}

// formulas reports whether the site's configuration says that all of its pages may have formulas.
func (s *site) formulas() bool {
	asks, _ := asksForFormulas(s.config)
	passes := s.setting("markup", "goldmark", "extensions", "passthrough", "enable")
	zola := s.setting("markdown", "math")
	return asks || isTrue(passes.text) || zola.text != "" && zola.text != "none" && zola.text != "false"
}

var (
	texBegin     = regexp.MustCompile(`^\\begin\{([a-zA-Z]+\*?)\}`)
	likeFormula  = regexp.MustCompile(`\$\$[^$]+\$\$|\\begin\{[a-zA-Z]+\*?\}`)
	lineBeginner = regexp.MustCompile(`^([ \t]*)([#+\-=:]|\d{1,9}[.)])`)
	quotePrefix  = regexp.MustCompile(`^[ \t]*(?:>[ \t]?)+`)
	texSigns     = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "&", `\&`, "~", `\~`, "|", `\|`, "!", `\!`, "@", `\@`, "://", `\://`)
)

// formulas has each formula written so that its text in HTML is the one that the author wrote. The
// delimiters are those of KaTeX and MathJax: $$…$$, \[…\], \(…\), environments, and $…$ by Pandoc's
// rule, by which a price is none. In Jekyll's files kramdown always reads $$…$$.
func (c *converter) formulas() {
	if !c.math && !c.jekyll {
		for _, m := range c.matches(likeFormula) {
			c.noteAt(m[0], noteFormula, c.body[m[0]:m[1]])
			break
		}
		return
	}
	f := formulaFinder{text: c.masked, all: c.math, next: map[string]int{}}
	var code, html cursor
	var found []region
	for pos := 0; ; {
		at := strings.IndexAny(f.text[pos:], `$\`)
		if at < 0 {
			break
		}
		pos += at
		if code.in(c.fixed, pos) {
			pos = c.fixed[code].end
			continue
		}
		end, formula := f.at(pos)
		if formula {
			r := region{pos, end}
			found = append(found, r)
			c.edit(r, c.escapeFormula(r, html.in(c.html, pos)))
		}
		pos = end
	}
	if len(found) > 0 {
		c.mask(found)
		c.find()
	}
}

// formulaFinder finds formulas from left to right.
type formulaFinder struct {
	text string
	all  bool           // not only $$…$$
	next map[string]int // where each delimiter is next; the length of the text for nowhere
}

// at reports whether a formula begins at pos, and returns the place to go on from.
func (f *formulaFinder) at(pos int) (end int, formula bool) {
	rest := f.text[pos:]
	switch {
	case strings.HasPrefix(rest, "$$"):
		return f.until(pos, len("$$"), "$$", f.startsLine(pos))
	case !f.all && rest[0] == '$':
		return pos + 1, false
	case rest[0] == '$':
		return f.inline(pos)
	case !f.all:
		return min(pos+2, len(f.text)), false
	case strings.HasPrefix(rest, `\(`):
		return f.until(pos, 2, `\)`, false)
	case strings.HasPrefix(rest, `\[`):
		return f.until(pos, 2, `\]`, f.startsLine(pos))
	}
	if begin := texBegin.FindStringSubmatch(rest[:min(len(rest), 40)]); begin != nil {
		return f.until(pos, len(begin[0]), `\end{`+begin[1]+"}", true)
	}
	return min(pos+2, len(f.text)), false // a backslash and the sign that it escapes
}

// startsLine reports whether nothing but the indentation is before pos.
func (f *formulaFinder) startsLine(pos int) bool {
	before := f.text[max(0, pos-maxIndent):pos]
	return strings.TrimLeft(before[strings.LastIndexByte(before, '\n')+1:], " \t>") == ""
}

// until finds the formula from pos to a delimiter.
func (f *formulaFinder) until(pos, opening int, closing string, blanks bool) (end int, formula bool) {
	from := pos + opening
	at := f.find(closing, from)
	if at == len(f.text) || at-pos > maxFormula || strings.TrimSpace(f.text[from:at]) == "" || !blanks && strings.Contains(f.text[from:at], "\n\n") {
		return from, false
	}
	return at + len(closing), true
}

// find returns the next place of a delimiter, without a search for one known from earlier.
func (f *formulaFinder) find(delimiter string, from int) int {
	if at, known := f.next[delimiter]; known && at >= from {
		return at
	}
	at := strings.Index(f.text[from:], delimiter)
	if at < 0 {
		f.next[delimiter] = len(f.text)
	} else {
		f.next[delimiter] = from + at
	}
	return f.next[delimiter]
}

// inline finds $…$: no space follows the first sign, none is before the second, and no digit after.
// A tag of a template isn't part of one.
func (f *formulaFinder) inline(pos int) (end int, formula bool) {
	if pos+1 == len(f.text) || strings.IndexByte(" \t\n", f.text[pos+1]) >= 0 {
		return pos + 1, false
	}
	for at := pos + 1; at < min(pos+maxInline, len(f.text)); at++ {
		switch b := f.text[at]; {
		case b == '\\':
			at++
		case b == '\n' && strings.HasPrefix(f.text[at:], "\n\n"), strings.HasPrefix(f.text[at:], "{{<"), strings.HasPrefix(f.text[at:], "{{%"), strings.HasPrefix(f.text[at:], "{%"):
			return pos + 1, false
		case b == '$':
			if strings.IndexByte(" \t\n", f.text[at-1]) >= 0 || at+1 < len(f.text) && '0' <= f.text[at+1] && f.text[at+1] <= '9' {
				return pos + 1, false
			}
			return at + 1, true
		}
	}
	return pos + 1, false
}

// maxInline is the length of the longest formula within a line of text, in bytes.
const maxInline = 500

// escapeFormula writes a formula so that Markdown, or HTML, gives back its text. Blank lines, which
// TeX forbids in a formula, would end the paragraph.
func (c *converter) escapeFormula(r region, inHTML bool) string {
	if inHTML {
		return html.EscapeString(c.body[r.start:r.end])
	}
	quoted := strings.Contains(quotePrefix.FindString(c.before(r.start)), ">")
	lines := strings.Split(c.body[r.start:r.end], "\n")
	for i, line := range lines {
		prefix := ""
		if i > 0 && quoted {
			prefix = quotePrefix.FindString(line)
			line = line[len(prefix):]
		}
		line = strings.TrimRight(line, " \t")
		if begin := lineBeginner.FindStringSubmatchIndex(line); begin != nil && (i > 0 || strings.TrimSpace(c.before(r.start)) == "") {
			sign := begin[5] - 1 // the last of the group: of "1." the dot
			line = texSigns.Replace(line[:sign]) + `\` + line[sign:sign+1] + texSigns.Replace(line[sign+1:])
		} else {
			line = texSigns.Replace(line)
		}
		lines[i] = prefix + line
	}
	first := lines[0]
	lines = slices.DeleteFunc(lines[1:], func(line string) bool { return strings.Trim(line, " \t>") == "" })
	return strings.Join(append([]string{first}, lines...), "\n")
}
