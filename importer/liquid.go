package importer

// Liquid, the templates in Jekyll's files: branches, variables, outputs and includes. Entry points:
// converter.liquid for a tag, converter.liquidBlock for a pair, converter.output for {{ … }},
// converter.chooses and converter.chosen for branches.

import (
	"html"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	noteBranch = "branch of a template, and its condition isn't known here: only the text for all other cases (else) was kept"
	noteLoop   = "loop of a template: left out"
)

var (
	branchNames  = []string{"if", "unless", "case", "ifchanged", "ifversion"}
	loopNames    = []string{"for", "tablerow"}
	includeNames = []string{"include", "include_relative", "include_cached", "include_absolute", "render", "component"}
)

// chooses reports whether t begins branches, of which a page shows one.
func (c *converter) chooses(t *tag) bool {
	return c.jekyll && t.form == formBlock && slices.Contains(branchNames, t.name)
}

// chosen returns the part of the branches from tag i on that is kept, up to their end: the position
// and the first tag of the else, or those of the end without one.
func (c *converter) chosen(i int) (start, first int) {
	end := c.tags[i].partner
	for k := i + 1; k < end; k++ {
		t := &c.tags[k]
		if t.partner > k {
			k = t.partner
			continue
		}
		if t.form == formBlock && t.name == "else" && !t.verbatim && !t.closing {
			return t.end, k + 1
		}
	}
	return c.tags[end].start, end
}

// liquidBlock writes a pair of Liquid's own tags.
func (c *converter) liquidBlock(t *tag, inner string) (string, bool) {
	switch {
	case slices.Contains(branchNames, t.name):
		c.note(t, noteBranch, c.source(t))
		return strings.TrimSpace(inner), true
	case slices.Contains(loopNames, t.name):
		c.note(t, noteLoop, c.source(t))
		return "", true
	case t.name == "capture" && t.at(0) != "":
		c.variables[t.at(0)] = strings.TrimSpace(inner)
		return "", true
	}
	c.evaluate(t)
	return "", false
}

// liquid writes a tag of Liquid's own, or an include. An include is a shortcode by another name.
func (c *converter) liquid(t *tag) (string, bool) {
	if t.name == "assign" && len(t.args) > 0 && t.args[0].key != "" {
		if a := t.args[0]; !a.bare {
			c.variables[a.key] = a.value
			return "", true
		}
	}
	c.evaluate(t)
	if !slices.Contains(includeNames, t.name) || t.at(0) == "" {
		return "", false
	}
	shortcode := *t
	first := slices.IndexFunc(t.args, func(a arg) bool { return a.key == "" })
	file := path.Base(t.at(0))
	shortcode.name = strings.ToLower(strings.TrimSuffix(file, path.Ext(file)))
	shortcode.args = slices.Delete(slices.Clone(t.args), first, first+1)
	if shortcode.name == "gallery" || shortcode.name == "feature_row" {
		if written, done := c.gallery(&shortcode); done {
			return written, true
		}
	}
	if service := shortcode.named("provider"); service != "" {
		shortcode.name = strings.ToLower(service)
	}
	if written, done := c.write(&shortcode, t.end, ""); done && written != "" {
		return written, true
	}
	if written, done := c.pictures(&shortcode, t.end); done {
		return written, true
	}
	if text := shortcode.named("content", "text", "body", "message"); text != "" {
		c.note(t, noteUnwrapped, c.source(t))
		return c.block(t, t.end, c.box(&shortcode, text)), true
	}
	return "", false
}

// gallery writes the pictures that the front matter lists.
func (c *converter) gallery(t *tag) (string, bool) {
	key := strings.ToLower(t.named("id"))
	if key == "" {
		key = t.name
	}
	var pictures []string
	for _, item := range c.fields[key].list {
		src := item.text
		if item.fields != nil {
			src = firstText(item.fields, "image_path", "url", "src", "image", "path")
		}
		if isPicture(src) {
			alt := linkText(oneLine(firstText(item.fields, "alt", "title", "caption", "excerpt")))
			pictures = append(pictures, "!["+alt+"]("+urlText(src)+")")
		}
	}
	if caption := oneLine(t.named("caption")); caption != "" && len(pictures) > 0 {
		pictures = append(pictures, "*"+caption+"*")
	}
	return c.block(t, t.end, strings.Join(pictures, "\n\n")), len(pictures) > 0
}

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][\w-]*(?:\.[\w-]+)*$`)
	outputWithin = regexp.MustCompile(`\{\{-?\s*([^{}]*?)\s*-?\}\}`)
	plainFilters = regexp.MustCompile(`^(?:\s*\|\s*(?:relative_url|absolute_url|escape|escape_once|strip|markdownify|smartify|uri_escape|cgi_escape|url_encode|xml_escape|strip_newlines|newline_to_br|prepend:\s*site\.(?:base)?url))*\s*$`)
)

// evaluate puts the values of variables into the parameters of a tag. One that isn't known is left
// out if its name shows that it is none.
func (c *converter) evaluate(t *tag) {
	for i := range t.args {
		a := &t.args[i]
		switch {
		case a.bare && a.key != "" && variableName.MatchString(a.value):
			text, known := c.textOfVariable(a.value)
			scope, _, dotted := strings.Cut(a.value, ".")
			if known || dotted && slices.Contains([]string{"page", "site", "include", "layout", "post", "forloop"}, scope) {
				a.value = text
			}
		case strings.Contains(a.value, "{{"):
			a.value = outputWithin.ReplaceAllStringFunc(a.value, func(output string) string {
				text, known := c.textOfVariable(captured(outputWithin, output))
				if !known {
					c.note(t, noteDropped, output)
				}
				return text
			})
		}
	}
}

// output writes {{ … }} of Jekyll's files: the value of a text or of a variable. The site's own
// address is dropped so that links become relative to it.
func (c *converter) output(t *tag) string {
	if text, known := c.textOfVariable(t.text); known {
		return text
	}
	c.note(t, noteDropped, c.source(t))
	return ""
}

// textOfVariable returns the value of Liquid's expression, as far as the file and its site say it.
func (c *converter) textOfVariable(expression string) (text string, known bool) {
	if expression == "" {
		return "", false
	}
	if quote := expression[0]; quote == '"' || quote == '\'' {
		literal, length := unquote(expression, quote)
		return literal, length > 0
	}
	name, filters := expression, ""
	if at := strings.IndexByte(expression, '|'); at >= 0 {
		name, filters = strings.TrimSpace(expression[:at]), expression[at:]
	}
	if name == "site.baseurl" || name == "site.url" {
		return "", true
	}
	if !plainFilters.MatchString(filters) {
		return "", false
	}
	if text, known = c.variables[name]; known {
		return text, true
	}
	keys := strings.Split(strings.ToLower(name), ".")
	at := fieldOf(c, keys[0])
	for _, key := range keys[1:] {
		at = at.fields[key]
	}
	return html.UnescapeString(at.text), at.text != ""
}

// fieldOf returns the values under Liquid's page and site.
func fieldOf(c *converter, scope string) (v value) {
	switch scope {
	case "page":
		v.fields = c.fields
	case "site":
		v.fields = c.reader.site.config
	}
	return v
}
