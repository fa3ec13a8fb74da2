package importer

// Directives and MDX, as Docusaurus has them, and elements that no page of Stoa's shows. Entry
// points: converter.directives, converter.components, isMDX.

import (
	"html"
	"path"
	"regexp"
	"strings"
)

const (
	noteDirective  = "directive (:::): its box was left out, its content kept"
	noteModule     = "import or export of MDX: left out"
	noteExpression = "MDX expression: left as it is"
)

var (
	directiveLine = regexp.MustCompile(`(?m)^([ \t]*):{3,}[ \t]*([^\n]*)$`)
	leafDirective = regexp.MustCompile(`(?m)^[ \t]*::[a-zA-Z][\w-]*(?:\[([^\]\n]*)\])?(?:\{[^}\n]*\})?[ \t]*$`)
	directiveName = regexp.MustCompile(`^\{?\.?([a-zA-Z][\w-]*)`)
	bracketTitle  = regexp.MustCompile(`^\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)\]`)
	titleValue    = regexp.MustCompile(`title\s*=\s*"([^"]*)"`)
)

// directiveBoxes are the directives with a title of their own, if the author gives none.
const directiveBoxes = " note tip info warning danger caution important success example question quote abstract failure bug details "

// directives keeps the content of :::note and its like, with the title above it.
func (c *converter) directives() {
	for _, m := range c.matches(directiveLine) {
		indent, name := c.body[m[2]:m[3]], strings.TrimSpace(c.body[m[4]:m[5]])
		if name == "" {
			c.edit(region{m[0], m[1]}, "")
			continue
		}
		c.noteAt(m[0], noteDirective, c.body[m[0]:m[1]])
		title := directiveTitle(name)
		if title != "" {
			title = "\n" + indent + "**" + title + "**\n"
		}
		c.edit(region{m[0], m[1]}, title)
	}
	for _, m := range c.matches(leafDirective) {
		c.noteAt(m[0], noteDirective, c.body[m[0]:m[1]])
		label := ""
		if m[2] >= 0 {
			label = c.body[m[2]:m[3]]
		}
		c.edit(region{m[0], m[1]}, label)
	}
}

// directiveTitle returns the title of a directive in the spellings note[Title], note Title and
// note{title="Title"}.
func directiveTitle(text string) string {
	found := directiveName.FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	name, rest := found[1], strings.TrimLeft(text[len(found[0]):], " \t}")
	title := ""
	if label := bracketTitle.FindStringSubmatch(rest); label != nil {
		title = label[1]
	} else if value := titleValue.FindStringSubmatch(rest); value != nil {
		title = value[1]
	} else if !strings.HasPrefix(rest, "{") {
		title = rest
	}
	if title = oneLine(title); title == "" && strings.Contains(directiveBoxes, " "+strings.ToLower(name)+" ") {
		title = strings.ToUpper(name[:1]) + name[1:]
	}
	return title
}

var (
	moduleImport = regexp.MustCompile(`(?m)^import[ \t]+(?:([\w$]+|[\w$*{}, \t]+?)[ \t]+from[ \t]+)?(?:"([^"\n]+)"|'([^'\n]+)');?[ \t]*$`)
	moduleExport = regexp.MustCompile(`(?m)^export[ \t]+(?:const|let|var|function|default|async)\b[^\n]*(?:\n[^\n]+)*`)
	element      = regexp.MustCompile(`<(/?)([a-zA-Z][\w.:-]*)((?:\s+[\w:.-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|\{[^{}]*(?:\{[^{}]*\})?[^{}]*\}|[^\s"'<>{}]+))?|\s*\{\.\.\.[^{}]*\})*)\s*(/?)>`)
	attribute    = regexp.MustCompile(`([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|\{((?:[^{}]|\{[^{}]*\})*)\})`)
	expression   = regexp.MustCompile(`\{[^{}\n%<]+\}`)
	quotedText   = regexp.MustCompile("\"([^\"\n]*)\"|'([^'\n]*)'|`([^`\n]*)`")
)

// isMDX reports whether a text is MDX: by its file's name, or by an import.
func isMDX(name, body string) bool {
	return strings.EqualFold(path.Ext(name), ".mdx") || moduleImport.MatchString(body)
}

// components writes the pictures among JSX's elements as Markdown, and notes the others: nothing of
// them is shown but the text within.
func (c *converter) components() {
	imported := map[string]string{}
	if c.mdx {
		for _, m := range c.matches(moduleImport) {
			if m[2] >= 0 {
				for _, group := range [][2]int{{m[4], m[5]}, {m[6], m[7]}} {
					if group[0] >= 0 {
						imported[c.body[m[2]:m[3]]] = c.body[group[0]:group[1]]
					}
				}
			}
			c.noteAt(m[0], noteModule, c.body[m[0]:m[1]])
			c.edit(region{m[0], m[1]}, "")
		}
		for _, m := range c.matches(moduleExport) {
			c.noteAt(m[0], noteModule, c.body[m[0]:m[1]])
			c.edit(region{m[0], m[1]}, "")
		}
	}
	noted := map[string]bool{}
	for _, m := range c.matches(element) {
		if m[0] > 0 && c.body[m[0]-1] == '\\' {
			continue
		}
		name, attributes := c.body[m[4]:m[5]], c.body[m[6]:m[7]]
		isComponent := name[0] >= 'A' && name[0] <= 'Z' && !isKnownElement(name)
		dynamic := strings.Contains(attributes, "{") && c.mdx
		if m[2] == m[3] && (isComponent || dynamic) {
			if src, alt, caption := c.jsxPicture(attributes, imported); src != "" {
				t := tag{region: region{m[0], m[1]}, line: c.lineAt(m[0]), args: []arg{{key: "src", value: src}, {key: "alt", value: alt}, {key: "caption", value: caption}}}
				if written, done := c.image(&t, t.end, ""); done {
					c.edit(t.region, written)
					continue
				}
			}
		}
		if dynamic && !isComponent { // JSX's own attributes aren't HTML
			c.edit(region{m[6], m[7]}, attribute.ReplaceAllStringFunc(attributes, func(a string) string {
				if strings.HasSuffix(a, "}") {
					return ""
				}
				return a
			}))
		}
		if !isKnownElement(name) && !noted[name] {
			noted[name] = true
			c.noteAt(m[0], noteElement, c.body[m[0]:m[1]])
		}
	}
	if !c.mdx {
		return
	}
	said := false
	for _, m := range c.outsideAddresses(expression) {
		inside := strings.TrimSpace(c.body[m[0]+1 : m[1]-1])
		if strings.HasPrefix(inside, "#") { // the id of a heading
			continue
		}
		if literal := quotedText.FindString(inside); literal != "" && literal == inside {
			c.edit(region{m[0], m[1]}, inside[1:len(inside)-1])
			continue
		}
		if !said {
			c.noteAt(m[0], noteExpression, c.body[m[0]:m[1]])
			said = true
		}
	}
}

// jsxPicture returns the picture of an element's attributes: an address, an imported file, or the
// file that require or useBaseUrl names.
func (c *converter) jsxPicture(attributes string, imported map[string]string) (src, alt, caption string) {
	for _, m := range attribute.FindAllStringSubmatch(attributes, -1) {
		text := html.UnescapeString(m[2] + m[3])
		if inside := strings.TrimSpace(m[4]); inside != "" {
			text = captured(quotedText, inside)
			if file, found := imported[strings.TrimSuffix(inside, ".src")]; found {
				text = file
			}
		}
		switch strings.ToLower(m[1]) {
		case "src", "image", "img", "url", "href":
			if isPicture(text) && src == "" {
				src = strings.TrimPrefix(text, "@site/static")
			}
		case "alt":
			alt = text
		case "caption", "title":
			caption = text
		}
	}
	return src, alt, caption
}

// knownElements are the elements that Stoa shows, or drops without a loss to readers: theirs is only
// the look of the text. frame writes about the others that HTML knows.
const knownElements = " a abbr acronym address article aside b basefont bdi bdo big blink blockquote body br caption center cite code col colgroup dd del details dfn dir div dl dt em embed fieldset figcaption figure font footer head header hgroup h1 h2 h3 h4 h5 h6 hr html i iframe img ins kbd label legend li link main mark meta nav nobr noscript object ol p param picture pre q rp rt rtc ruby s samp script section small source span strike strong style sub summary sup table tbody td tfoot th thead time title tr track tt u ul var video audio wbr "

func isKnownElement(name string) bool {
	return strings.Contains(knownElements, " "+strings.ToLower(name)+" ")
}
