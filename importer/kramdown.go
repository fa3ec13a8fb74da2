package importer

// The Markdown of kramdown, Jekyll's parser, and of Markdown Extra, as far as it isn't GitHub's:
// attributes, abbreviations, tables without a head, definition lists, Markdown within HTML. Entry
// points: converter.kramdown, converter.definitions, converter.markdownInHTML.

import (
	"cmp"
	"html"
	"regexp"
	"slices"
	"strings"
)

const (
	noteAttributes = "attributes of kramdown (classes, sizes, targets): left out"
	noteTable      = "table without a head, and Markdown has none: its head is empty"
)

var (
	kramdownMark     = regexp.MustCompile(`\{:[^{}\n]*\}`)
	kramdownContents = regexp.MustCompile(`(?m)^ {0,3}(?:[-*+]|\d+\.)[ \t]+[^\n]*\n {0,3}\{:[^{}\n]*\btoc\b[^{}\n]*\}[ \t]*$`)
	kramdownID       = regexp.MustCompile(`[\s:]#([\w:.-]+)`)
	headingLine      = regexp.MustCompile(`^ {0,3}#{1,6}[ \t]`)
	abbreviation     = regexp.MustCompile(`(?m)^ {0,3}\*\[([^\]\n]+)\]:[ \t]*(.*)\n?`)
)

func (c *converter) kramdown() {
	for _, m := range c.matches(kramdownContents) {
		c.noteAt(m[0], noteContents, c.body[m[0]:m[1]])
		c.edit(region{m[0], m[1]}, "")
	}
	c.attributes()
	c.abbreviations()
	c.tables()
}

// attributes leaves out the attributes of kramdown, but the id of a heading: it becomes {#id}.
func (c *converter) attributes() {
	noted := false
	for _, m := range c.matches(kramdownMark) {
		at := region{m[0], m[1]}
		if id := captured(kramdownID, c.body[m[0]:m[1]]); id != "" {
			lineStart := m[0] - len(c.before(m[0]))
			if headingLine.MatchString(c.body[lineStart:m[0]]) {
				c.edit(at, "{#"+id+"}")
				continue
			}
			if above := lineStart - 1; above >= 0 && strings.TrimSpace(c.body[lineStart:m[0]]) == "" && headingLine.MatchString(c.before(above)) {
				c.edit(region{above, above}, " {#"+id+"}")
				c.edit(at, "")
				continue
			}
		}
		if !noted && !strings.HasPrefix(c.body[m[0]:], "{:/") && !strings.HasPrefix(c.body[m[0]:], "{::") {
			c.noteAt(m[0], noteAttributes, c.body[m[0]:m[1]])
			noted = true
		}
		c.edit(at, "")
	}
}

// maxAbbreviations is the number of abbreviations that a text may explain.
const maxAbbreviations = 200

// abbreviations explains each abbreviation in its places, instead of at the end of the text.
func (c *converter) abbreviations() {
	meanings := map[string]string{}
	var names []string
	for _, m := range c.matches(abbreviation) {
		if name := c.body[m[2]:m[3]]; len(names) < maxAbbreviations {
			if _, twice := meanings[name]; !twice {
				names = append(names, name)
			}
			meanings[name] = strings.TrimSpace(c.body[m[4]:m[5]])
			c.edit(region{m[0], m[1]}, "")
		}
	}
	if len(names) == 0 {
		return
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for i, name := range names {
		names[i] = regexp.QuoteMeta(name)
	}
	uses := regexp.MustCompile(strings.Join(names, "|"))
	for _, m := range c.outsideAddresses(uses) {
		if m[0] > 0 && isWord(c.body[m[0]-1]) || m[1] < len(c.body) && isWord(c.body[m[1]]) {
			continue
		}
		if name := c.body[m[0]:m[1]]; meanings[name] != "" {
			c.edit(region{m[0], m[1]}, `<abbr title="`+html.EscapeString(meanings[name])+`">`+name+"</abbr>")
		}
	}
}

var tableRule = regexp.MustCompile(`^[ \t]*\|?[ \t|:+=-]*[-=][ \t|:+=-]*$`)

// tables gives tables a head, and the line below it in GitHub's form. Lines between the bodies of a
// table are left out.
func (c *converter) tables() {
	lines := c.textLines()
	for i := 0; i < len(lines); i++ {
		from := i
		leading := true
		for i < len(lines) && !lines[i].code && strings.Contains(c.textOf(lines[i]), "|") {
			leading = leading && strings.HasPrefix(strings.TrimSpace(c.textOf(lines[i])), "|")
			i++
		}
		if i-from > 1 && (from == 0 || strings.TrimSpace(c.textOf(lines[from-1])) == "" || leading) || i-from == 1 && leading {
			c.table(lines[from:i])
		}
	}
}

func (c *converter) table(rows []textLine) {
	rule := func(l textLine) bool { return tableRule.MatchString(c.textOf(l)) }
	first := 0
	for first < len(rows) && rule(rows[first]) { // a line above the head
		c.edit(region{rows[first].start, min(rows[first].end+1, len(c.body))}, "")
		first++
	}
	if first == len(rows) {
		return
	}
	columns := len(strings.Split(strings.Trim(strings.ReplaceAll(strings.TrimSpace(c.textOf(rows[first])), `\|`, ""), "|"), "|"))
	body := first + 1
	if body < len(rows) && rule(rows[body]) {
		if written := c.textOf(rows[body]); strings.ContainsAny(written, "+=") {
			c.edit(rows[body].region, strings.NewReplacer("+", "|", "=", "-").Replace(written))
		}
		body++
	} else {
		c.noteAt(rows[first].start, noteTable, c.textOf(rows[first]))
		c.edit(region{rows[first].start, rows[first].start}, strings.Repeat("| ", columns)+"|\n"+strings.Repeat("|---", columns)+"|\n")
	}
	for _, row := range rows[body:] {
		if rule(row) {
			c.edit(region{row.start, min(row.end+1, len(c.body))}, "")
		}
	}
}

var (
	definitionLine = regexp.MustCompile(`^( {0,3}:[ \t]+)\S`)
	noTerm         = regexp.MustCompile(`^(?: {4}|\t| {0,3}(?:[-*+>#|:]|\d+[.)][ \t]|<|\[[^\]]+\]:|!\[|\{))`)
)

// definitions writes definition lists (terms, and below them lines that begin with a colon) as HTML
// around Markdown.
func (c *converter) definitions() {
	lines := c.textLines()
	blank := func(i int) bool { return i >= len(lines) || strings.TrimSpace(c.textOf(lines[i])) == "" }
	defines := func(i int) bool {
		return i < len(lines) && !lines[i].code && definitionLine.MatchString(c.textOf(lines[i]))
	}
	term := func(i int) bool {
		return i < len(lines) && !lines[i].code && !blank(i) && !noTerm.MatchString(c.textOf(lines[i]))
	}
	// terms returns the number of lines with terms at i, 0 without a definition below.
	terms := func(i int) int {
		n := 0
		for term(i + n) {
			n++
		}
		if n > 0 && (defines(i+n) || n == 1 && blank(i+1) && defines(i+2)) {
			return n
		}
		return 0
	}
	insert := func(at int, written string) { c.edit(region{at, at}, written) }
	for i := 0; i < len(lines); i++ {
		if i > 0 && !blank(i-1) {
			continue
		}
		open := false
		for n := terms(i); n > 0; n = terms(i) {
			for k := range n {
				lead := "<dt>\n\n"
				if !open {
					lead = "<dl>\n<dt>\n\n"
				}
				open = true
				insert(lines[i+k].start, lead)
				insert(lines[i+k].end, "\n\n</dt>")
			}
			i += n
			for defines(i) || blank(i) && defines(i+1) {
				if blank(i) {
					i++
				}
				i = c.definition(lines, i, blank, defines)
			}
			for blank(i) && i+1 < len(lines) && terms(i+1) > 0 {
				i++
			}
		}
		if open {
			insert(lines[min(i, len(lines))-1].end, "\n</dl>\n")
		}
	}
}

// definition writes the definition that begins on line i, and returns the line after it.
func (c *converter) definition(lines []textLine, i int, blank, defines func(int) bool) int {
	prefix := definitionLine.FindStringSubmatch(c.textOf(lines[i]))[1]
	c.edit(region{lines[i].start, lines[i].start + len(prefix)}, "<dd>\n\n")
	last := i
	for i++; i < len(lines); i++ {
		if blank(i) {
			continue
		}
		written := c.textOf(lines[i])
		indent := len(written) - len(strings.TrimLeft(written, " \t"))
		if defines(i) || last < i-1 && indent < 2 { // after a blank line a definition goes on by its indentation
			break
		}
		if cut := min(indent, len(prefix)); cut > 0 {
			if written[0] == '\t' {
				cut = 1
			}
			c.edit(region{lines[i].start, lines[i].start + cut}, "")
		}
		last = i
	}
	c.edit(region{lines[last].end, lines[last].end}, "\n\n</dd>")
	return last + 1
}

var (
	anyElement   = regexp.MustCompile(`<(/?)([a-zA-Z][\w-]*)((?:\s[^<>]*)?)>`)
	markdownHere = regexp.MustCompile(`(?i)\s+markdown(?:\s*=\s*["']?(1|0|block|span)["']?)?(?:\s|/|$)`)
)

// markdownInHTML sets blank lines around the text of elements that ask for Markdown in it, and takes
// the request away.
func (c *converter) markdownInHTML() {
	if !strings.Contains(c.masked, "markdown") {
		return
	}
	open := map[string][]bool{} // by name: whether an element asks for Markdown
	asking := 0
	for _, m := range c.matches(anyElement) {
		name := strings.ToLower(c.masked[m[4]:m[5]])
		if m[2] < m[3] { // an end
			if stack := open[name]; len(stack) > 0 {
				switch {
				case stack[len(stack)-1]:
					c.edit(region{m[0], m[0]}, "\n\n")
					asking--
				case asking > 0 && strings.HasPrefix(c.masked[m[1]:], "\n") && blockTag.MatchString("<"+name+">"):
					c.edit(region{m[1], m[1]}, "\n") // else the text behind stays HTML
				}
				open[name] = stack[:len(stack)-1]
			}
			continue
		}
		attributes := c.masked[m[6]:m[7]]
		asked := markdownHere.FindStringSubmatchIndex(attributes)
		block := false
		if asked != nil {
			kind := ""
			if asked[2] >= 0 {
				kind = attributes[asked[2]:asked[3]]
			}
			end := asked[1]
			if strings.IndexByte(" \t\n/", attributes[end-1]) >= 0 {
				end-- // the sign behind the request stays
			}
			c.edit(region{m[6] + asked[0], m[6] + end}, "")
			block = kind != "0" && kind != "span" && blockTag.MatchString("<"+name+">")
			if block {
				c.edit(region{m[1], m[1]}, "\n\n")
				asking++
			}
		}
		if !strings.HasSuffix(attributes, "/") {
			open[name] = append(open[name], block)
		}
	}
}
