package importer

// Tags of templates found and read. Entry points: converter.scan, then converter.pair; a tagParser
// reads the parameters.

import (
	"regexp"
	"strings"
)

// form is the syntax of a tag.
type form int

const (
	formHugo   form = iota // {{< name … >}} or {{% name … %}}
	formBlock              // {% name … %} or {% name(…) %}
	formOutput             // {{ … }} or {{ name(…) }}
	formFrame              // <iframe …></iframe> and its like, with the address as text
)

// tag is one tag of a template.
type tag struct {
	region
	form     form
	line     int // of the file
	name     string
	args     []arg
	call     bool // Zola's name(…), closed by {% end %}
	closing  bool // name is that of the tag it closes
	closed   bool // {{< name />}}: it has nothing inside
	html     bool // stands within a block of HTML
	verbatim bool // stands for text as it is
	text     string
	partner  int // index of the tag that closes it; 0 for none
}

// arg is a parameter: key="value", or only a value.
type arg struct {
	key, value string
	bare       bool // without quotation marks
}

// named returns the first of keys with a value.
func (t *tag) named(keys ...string) string {
	for _, key := range keys {
		for _, a := range t.args {
			if strings.EqualFold(a.key, key) && a.value != "" {
				return a.value
			}
		}
	}
	return ""
}

// at returns the parameter at index n among those without a key.
func (t *tag) at(n int) string {
	for _, a := range t.args {
		if a.key != "" {
			continue
		}
		if n == 0 {
			return a.value
		}
		n--
	}
	return ""
}

var (
	escapedTag = regexp.MustCompile(`^\{\{([<%])/\*(?s:(.*?))\*/([>%])\}\}`)
	escapedOut = regexp.MustCompile(`^\{(\{|%)/\*(?s:(.*?))\*/(\}|%)\}`) // Zola's
	endRaw     = regexp.MustCompile(`\{%-?\s*endraw\s*-?%\}`)
)

// scan finds the tags outside of code.
func (c *converter) scan() {
	var code, lines, html cursor
	for pos := 0; ; {
		next := strings.IndexAny(c.masked[pos:], "{<")
		if next < 0 {
			return
		}
		pos += next
		if code.in(c.code, pos) {
			pos = c.code[code].end
			continue
		}
		opening := c.opening(pos)
		if opening == "" || lines.in(c.lines, pos) && opening != "{{<" && opening != "{{%" {
			pos++
			continue
		}
		t := tag{region: region{pos, pos}, line: c.lineAt(pos)}
		if !c.parseTag(&t, opening) {
			if opening[0] == '{' && opening != "{{" {
				first, _, _ := strings.Cut(c.body[pos:min(pos+80, len(c.body))], "\n")
				c.note(&t, noteUnclosed, strings.ToValidUTF8(first, ""))
			}
			pos += len(opening)
			continue
		}
		t.html = html.in(c.html, pos)
		c.tags = append(c.tags, t)
		pos = t.end
	}
}

// cursor is an index into regions that follows a growing position.
type cursor int

// in reports whether pos lies in a region, and leaves the cursor at that region.
func (c *cursor) in(regions []region, pos int) bool {
	for int(*c) < len(regions) && regions[*c].end <= pos {
		*c++
	}
	return int(*c) < len(regions) && regions[*c].start <= pos
}

// closers are the possible ends of each beginning of a tag; the first one is part of all others.
var closers = map[string][]string{
	"{{<": {">}}"},
	"{{%": {"%}}"},
	"{%":  {"%}", "-%}"},
	"{{":  {"}}", "-}}"},
}

func (c *converter) opening(pos int) string {
	if c.body[pos] == '<' {
		return strings.ToLower(frameStart.FindString(c.body[pos:min(pos+len("<iframe "), len(c.body))]))
	}
	for _, opening := range []string{"{{<", "{{%", "{%", "{{"} {
		if strings.HasPrefix(c.body[pos:], opening) {
			return opening
		}
	}
	return ""
}

// parseTag reads the tag that begins at t.start, and reports whether there is one.
func (c *converter) parseTag(t *tag, opening string) bool {
	if opening[0] == '<' {
		return c.parseFrame(t, opening)
	}
	rest := c.body[t.start:min(t.start+maxTag, len(c.body))]
	if escaped := escapedTag.FindStringSubmatch(rest); escaped != nil {
		t.verbatim, t.text = true, "{{"+escaped[1]+escaped[2]+escaped[3]+"}}"
		t.end = t.start + len(escaped[0])
		return true
	}
	if escaped := escapedOut.FindStringSubmatch(rest); c.zola && escaped != nil {
		t.verbatim, t.text = true, "{"+escaped[1]+escaped[2]+escaped[3]+"}"
		t.end = t.start + len(escaped[0])
		return true
	}
	p := tagParser{text: rest, pos: len(opening), ends: closers[opening]}
	if !strings.Contains(rest, p.ends[0]) {
		return false
	}
	switch opening {
	case "{{":
		t.form = formOutput
	case "{%":
		t.form = formBlock
	}
	if t.form != formHugo && strings.HasPrefix(p.text[p.pos:], "-") {
		p.pos++
	}
	p.space()
	if t.form == formHugo && strings.HasPrefix(p.text[p.pos:], "/") {
		t.closing = true
		p.pos++
		p.space()
	}
	t.name = strings.ToLower(p.name(t.form == formHugo))
	if t.form == formOutput {
		return c.parseOutput(t, &p)
	}
	if t.name == "" {
		return false
	}
	p.space()
	if t.form == formBlock && strings.HasPrefix(p.text[p.pos:], "(") {
		t.call = true
		p.pos++
	}
	if !p.args(t) {
		return false
	}
	t.end = t.start + p.pos
	if t.form == formBlock {
		c.finishBlock(t)
	}
	return true
}

var (
	frameStart  = regexp.MustCompile(`(?i)^<(?:iframe|embed|object|video|audio|script|style)\b`)
	frameSource = regexp.MustCompile(`(?i)\s(?:src|data)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))`)
	frameTitle  = regexp.MustCompile(`(?i)\stitle\s*=\s*(?:"([^"]*)"|'([^']*)')`)
)

// parseFrame reads an element that shows another page or a film, with all its content. Of other
// elements it reads the beginning only.
func (c *converter) parseFrame(t *tag, opening string) bool {
	t.form, t.name = formFrame, opening[1:]
	element := c.body[t.start:min(t.start+maxTag, len(c.body))]
	begin := strings.IndexByte(element, '>') + 1
	if begin == 0 {
		return false
	}
	if end := strings.Index(strings.ToLower(element), "</"+t.name); end >= begin && t.name != "script" && t.name != "style" {
		close := strings.IndexByte(element[end:], '>')
		if close < 0 {
			return false
		}
		element = element[:end+close+1]
	} else {
		element = element[:begin]
	}
	t.end = t.start + len(element)
	t.args = []arg{{key: "src", value: captured(frameSource, element)}, {key: "title", value: captured(frameTitle, element)}}
	return true
}

// captured returns what the first group of pattern that took part matched in text.
func captured(pattern *regexp.Regexp, text string) string {
	for i, group := range pattern.FindStringSubmatch(text) {
		if i > 0 && group != "" {
			return group
		}
	}
	return ""
}

// parseOutput reads {{ … }}: a call in Zola's files, or of a name that every file may use; anything
// in Jekyll's. In other files it is text.
func (c *converter) parseOutput(t *tag, p *tagParser) bool {
	p.space()
	if strings.HasPrefix(p.text[p.pos:], "(") && t.name != "" && (c.zola || known(t.name)) {
		t.call = true
		p.pos++
		if !p.args(t) {
			return false
		}
		t.end = t.start + p.pos
		return true
	}
	end := strings.Index(p.text, "}}")
	if !c.jekyll || end < 0 {
		return false
	}
	t.name, t.text = "", strings.Trim(strings.TrimSuffix(strings.TrimPrefix(p.text[2:end], "-"), "-"), " \t\n")
	t.end = t.start + end + len("}}")
	return true
}

// finishBlock tells {% endname %} and {% end %} from opening tags, and reads {% raw %} to its end.
func (c *converter) finishBlock(t *tag) {
	if t.name == "raw" {
		if c.noRaw {
			return
		}
		if end := endRaw.FindStringIndex(c.body[t.end:]); end != nil {
			t.verbatim, t.text = true, c.body[t.end:t.end+end[0]]
			t.end += end[1]
		} else {
			c.noRaw = true
		}
		return
	}
	if name, found := strings.CutPrefix(t.name, "end"); found && !t.call {
		t.closing, t.name = true, name
	}
}

// pair finds the closing tag of each tag.
func (c *converter) pair() {
	type key struct {
		form form
		name string
	}
	keyOf := func(t *tag) key {
		if t.call {
			return key{t.form, ""}
		}
		return key{t.form, t.name}
	}
	var stack []int
	open := map[key]int{}
	for i := range c.tags {
		t := &c.tags[i]
		switch k := keyOf(t); {
		case t.verbatim || t.closed || t.form == formOutput || t.form == formFrame:
		case !t.closing:
			stack = append(stack, i)
			open[k]++
		case open[k] > 0:
			for paired := false; !paired; {
				top := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				opener := keyOf(&c.tags[top])
				open[opener]--
				if paired = opener == k; paired {
					c.tags[top].partner = i
				}
			}
		}
	}
}

// tagParser reads the inside of a tag.
type tagParser struct {
	text string
	pos  int
	ends []string
}

func (p *tagParser) space() {
	p.pos += len(p.text[p.pos:]) - len(strings.TrimLeft(p.text[p.pos:], " \t\n"))
}

// name reads the name of a shortcode. Hugo's may hold slashes and dots.
func (p *tagParser) name(hugo bool) string {
	start := p.pos
	for p.pos < len(p.text) && (isWord(p.text[p.pos]) || hugo && strings.IndexByte("/.", p.text[p.pos]) >= 0) {
		p.pos++
	}
	if p.pos > start && p.text[p.pos-1] == '/' { // {{< name/>}}
		p.pos--
	}
	return p.text[start:p.pos]
}

func isWord(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_' || b == '-'
}

// end returns the length of the tag's end at the parser's position, 0 if there is none.
func (p *tagParser) end() int {
	for _, end := range p.ends {
		if strings.HasPrefix(p.text[p.pos:], end) {
			return len(end)
		}
	}
	return 0
}

// args reads the parameters and the tag's end, and reports whether it found the end. A blank line
// between parameters is taken for the end of the paragraph with a tag that doesn't end.
func (p *tagParser) args(t *tag) bool {
	for {
		from := p.pos
		p.space()
		if p.pos >= len(p.text) || blankLine.MatchString(p.text[from:p.pos]) {
			return false
		}
		if n := p.end(); n > 0 && !(t.call && p.text[p.pos] == ')') {
			p.pos += n
			return true
		}
		switch b := p.text[p.pos]; {
		case t.form != formHugo && b == ',' || t.call && b == ')':
			p.pos++
		case t.form == formHugo && b == '/' && p.closes():
			t.closed = true
			p.pos++
		default:
			a, ok := p.arg(t)
			if !ok {
				return false
			}
			t.args = append(t.args, a)
		}
	}
}

var blankLine = regexp.MustCompile(`\n[ \t]*\n`)

// arg reads one parameter. Its key and its value may have spaces around the sign between them. The
// sign is = or, in Liquid, a colon.
func (p *tagParser) arg(t *tag) (arg, bool) {
	a := p.value(t)
	if a.value == "" && a.bare {
		if p.pos >= len(p.text) {
			return a, false
		}
		p.pos++
		return arg{value: p.text[p.pos-1 : p.pos], bare: true}, true
	}
	if !a.bare {
		return a, true
	}
	key, colon := strings.CutSuffix(a.value, ":")
	if colon = colon && key != "" && t.form == formBlock && !t.call; !colon {
		after := p.pos
		p.space()
		if p.pos >= len(p.text) || p.text[p.pos] != '=' {
			p.pos = after
			return a, true
		}
		p.pos++
	}
	p.space()
	named := p.value(t)
	named.key = key
	return named, true
}

// closes reports whether the tag's end follows the slash at the parser's position.
func (p *tagParser) closes() bool {
	after := tagParser{text: p.text, pos: p.pos + 1, ends: p.ends}
	return after.end() > 0
}

// value reads a word, a text in quotation marks, or a list. \"…\" is a text with escaped marks.
func (p *tagParser) value(t *tag) arg {
	if p.pos >= len(p.text) {
		return arg{bare: true}
	}
	rest := p.text[p.pos:]
	if strings.HasPrefix(rest, `\"`) {
		if end := strings.Index(rest[2:], `\"`); end >= 0 && !strings.Contains(rest[:end+2], "\n") {
			p.pos += end + 4
			return arg{value: rest[2 : end+2]}
		}
	}
	if quote := rest[0]; quote == '"' || quote == '`' || quote == '\'' {
		if s, length := unquote(rest, quote); length > 0 {
			p.pos += length
			return arg{value: s}
		}
	}
	if t.call && rest[0] == '[' {
		if list := listPattern.FindString(rest); list != "" {
			p.pos += len(list)
			return arg{value: list, bare: true}
		}
	}
	start := p.pos
	for p.pos < len(p.text) && p.end() == 0 {
		b := p.text[p.pos]
		if b == ' ' || b == '\t' || b == '\n' || b == '=' || t.form != formHugo && b == ',' || t.call && b == ')' {
			break
		}
		p.pos++
	}
	return arg{value: p.text[start:p.pos], bare: true}
}

// listPattern is a list of texts and words, as Zola has it.
var listPattern = regexp.MustCompile("^\\[(?:\"[^\"]*\"|'[^']*'|`[^`]*`|[^\\[\\]\"'`])*\\]")

// unquote reads a text in quotation marks. A backslash escapes a mark, but between backticks it
// stands for itself, and so do blank lines. Within {{ and }} marks are those of another template.
// The length is 0 without an end.
func unquote(text string, quote byte) (string, int) {
	var s strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == quote:
			return s.String(), i + 1
		case quote == '`':
			s.WriteByte(text[i])
		case strings.HasPrefix(text[i:], "\n\n"):
			return "", 0
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == quote:
			i++
			s.WriteByte(quote)
		case strings.HasPrefix(text[i:], "{{"):
			inner := innerTag.FindString(text[i:min(i+maxInner, len(text))])
			s.WriteString(inner)
			i += max(len(inner), 1) - 1
			if inner == "" {
				s.WriteByte('{')
			}
		default:
			s.WriteByte(text[i])
		}
	}
	return "", 0
}

// innerTag is a template within a parameter, of maxInner bytes at most.
var innerTag = regexp.MustCompile(`^\{\{[^{}\n]*\}\}`)

const maxInner = 300
