package importer

// Shortcodes written as Markdown, one at a time. Entry points: converter.single, converter.paired,
// and converter.write for those known by name.

import (
	"cmp"
	"html"
	"path"
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
	noteInline    = "shortcode with its own template in the text: left out"
	noteFrame     = "frame, film or sound of another site, and Stoa shows none within a page: made a link to it"
	noteElement   = "element that Stoa takes off the page"
	noteNoAddress = "picture named by a key of the other site, not by an address: kept as it is"
)

// The shortcodes with a meaning here, grouped by their result: those of Hugo, Zola and Jekyll
// themselves, those of many themes, and those of digital.gov, the largest blog in the tests.
var (
	refNames   = []string{"ref", "relref", "post_url", "link", "tmp"}
	fileNames  = []string{"legacy-file", "asset-static", "asset", "static", "file", "download"}
	linkNames  = []string{"button", "btn", "cta", "link"}
	quoteNames = []string{"quote", "quote-block", "blockquote", "pullquote"}
	codeNames  = []string{"highlight", "code"}
	boxNames   = []string{
		"note", "box", "highlight", "card", "card-prompt", "accordion", "details", "notice", "callout", "admonition", "alert",
		"tip", "info", "warning", "danger", "important", "caution", "tabs", "tab", "columns", "column", "center", "div", "section",
	}
	// titledBoxes have a title as their first parameter.
	titledBoxes = []string{"details", "accordion", "expand", "collapse", "spoiler", "tab", "admonition", "callout"}
	imageNames  = []string{"figure", "img", "image", "picture", "photo"}
)

// embeds are the services with shortcodes that name a thing by its id: the address of the thing,
// and its link text without a title.
var embeds = map[string]struct{ address, title string }{
	"youtube":   {"https://www.youtube.com/watch?v=", "Video on YouTube"},
	"vimeo":     {"https://vimeo.com/", "Video on Vimeo"},
	"instagram": {"https://www.instagram.com/p/", "Post on Instagram"},
	"gist":      {"https://gist.github.com/", "Code on GitHub"},
	"tweet":     {"https://twitter.com/", "Post on Twitter"},
	"twitter":   {"https://twitter.com/", "Post on Twitter"},
	"x":         {"https://x.com/", "Post on X"},
}

// known reports whether a shortcode of that name has a meaning here.
func known(name string) bool {
	_, embedded := embeds[name]
	return embedded || isImage(name) ||
		slices.Contains(slices.Concat(refNames, fileNames, linkNames, quoteNames, codeNames, boxNames), name)
}

func isImage(name string) bool {
	return slices.Contains(imageNames, name) || slices.Contains(strings.Split(name, "-"), "img")
}

// single writes the replacement of a tag with nothing inside.
func (c *converter) single(t *tag) string {
	switch {
	case t.verbatim:
		return t.text
	case t.form == formFrame:
		return c.frame(t)
	case t.closing && !c.templated(t):
		return c.untouched(t)
	case t.closing:
		c.note(t, noteOrphan, c.source(t))
		return ""
	case t.form == formOutput && !t.call:
		return c.output(t)
	}
	if c.jekyll && t.form == formBlock {
		if written, done := c.liquid(t); done {
			return written
		}
	}
	if written, done := c.write(t, t.end, ""); done {
		return written
	}
	if !c.templated(t) {
		return c.untouched(t)
	}
	if written, done := c.pictures(t, t.end); done {
		return written
	}
	address := t.at(0)
	if len(t.args) == 1 && strings.HasPrefix(address, "http") && isAddress(address) { // {% embed https://… %}
		return c.anchor(t, "", address)
	}
	if len(t.args) == 1 && path.Ext(address) == ".md" {
		return c.resolve(address, t.line)
	}
	c.note(t, noteDropped, c.source(t))
	return ""
}

// templated reports whether the system of the file would read t as a tag: {% … %} means nothing to
// Hugo.
func (c *converter) templated(t *tag) bool {
	return t.form == formHugo || c.zola || c.jekyll
}

func (c *converter) untouched(t *tag) string {
	c.note(t, noteTemplate, c.source(t))
	return c.body[t.start:t.end]
}

// paired writes the replacement of the tags t and end, with inner between them.
func (c *converter) paired(t, end *tag, inner string) string {
	if t.form == formHugo && strings.HasSuffix(t.name, ".inline") {
		c.note(t, noteInline, c.source(t))
		return ""
	}
	if c.jekyll && t.form == formBlock {
		if written, done := c.liquidBlock(t, inner); done {
			return written
		}
	}
	if written, done := c.write(t, end.end, inner); done {
		return written
	}
	if !c.templated(t) {
		return c.untouched(t) + inner + c.body[end.start:end.end]
	}
	c.note(t, noteUnwrapped, c.source(t))
	return c.box(t, inner)
}

// write writes the shortcodes with a meaning here. The text replaced reaches from t to end.
func (c *converter) write(t *tag, end int, inner string) (written string, done bool) {
	name := path.Base(t.name) // themes keep theirs in folders: media/youtube
	text := strings.TrimSpace(inner)
	label := cmp.Or(t.named("text", "label", "button-text", "title", "name"), oneLine(text))
	embed, embedded := embeds[name]
	switch {
	case embedded:
		return c.embed(t, name, embed.address, cmp.Or(t.named("title", "text", "alt"), text, embed.title))
	case isImage(name):
		return c.image(t, end, text)
	case slices.Contains(fileNames, name):
		address := urlText(cmp.Or(t.named("file", "src", "href", "path", "url"), t.at(0)))
		if address != "" && label != "" {
			return c.anchor(t, label, address), true
		}
		return address, address != ""
	case slices.Contains(linkNames, name) && (t.named("href", "url", "link", "button-url") != "" || text != ""):
		address := urlText(cmp.Or(t.named("href", "url", "link", "button-url"), t.at(0)))
		return c.anchor(t, cmp.Or(label, t.at(1)), address), address != ""
	case slices.Contains(refNames, name):
		target := cmp.Or(t.named("path", "to", "href", "url"), t.at(0))
		if target == "" {
			return "", false
		}
		return c.resolve(target, t.line), true
	case slices.Contains(quoteNames, name):
		quoted := cmp.Or(text, t.named("text", "quote"), t.at(0))
		return c.quote(t, end, quoted, t.named("cite", "author", "source", "by", "caption")), quoted != ""
	case slices.Contains(boxNames, name) && t.partner > 0:
		return c.box(t, inner), true
	}
	return "", false
}

// isCode reports whether the text between t and its end is code: highlight needs a language for
// that, since some themes call a box highlight.
func (t *tag) isCode() bool {
	return slices.Contains(codeNames, path.Base(t.name)) && t.at(0) != ""
}

// fence writes code as Markdown does, with a fence longer than any in it.
func fence(language, code string) string {
	longest := 2
	for _, run := range backtickRuns.FindAllString(code, -1) {
		longest = max(longest, len(run))
	}
	marks := strings.Repeat("`", longest+1)
	language = strings.Map(func(r rune) rune {
		if r == '`' || r == '\n' || r == ' ' {
			return -1
		}
		return r
	}, language)
	return marks + language + "\n" + strings.Trim(code, "\n") + "\n" + marks
}

var backtickRuns = regexp.MustCompile("`+")

// embed writes a link to the page, in place of another service's frame.
func (c *converter) embed(t *tag, name, service, title string) (string, bool) {
	id := cmp.Or(t.named("id", "url", "src"), t.at(0))
	user := t.named("user", "username")
	switch {
	case id == "":
		return "", false
	case strings.Contains(id, "://"):
		return c.anchor(t, title, id), true
	case name == "gist" && t.at(1) != "":
		id = t.at(0) + "/" + t.at(1)
	case name == "tweet" || name == "twitter" || name == "x":
		if user == "" && t.at(1) != "" {
			user, id = t.at(0), t.at(1)
		}
		id = cmp.Or(user, "i") + "/status/" + id
		if user != "" {
			title += " by @" + user
		}
	}
	return c.anchor(t, title, service+id), true
}

var (
	youtubeFrame = regexp.MustCompile(`^https?://(?:www\.)?youtube(?:-nocookie)?\.com/embed/([\w-]+)`)
	startSeconds = regexp.MustCompile(`[?&]start=(\d+)`)
)

// frame writes a link to the page of an element. Scripts and styles stay in the text: the blog
// removes them when it renders.
func (c *converter) frame(t *tag) string {
	address := html.UnescapeString(t.named("src"))
	if strings.HasPrefix(address, "//") {
		address = "https:" + address
	}
	if t.name == "script" || t.name == "style" || !isAddress(urlText(address)) {
		c.note(t, noteElement, c.source(t))
		return c.body[t.start:t.end]
	}
	c.note(t, noteFrame, address)
	if video := youtubeFrame.FindStringSubmatch(address); video != nil {
		start := captured(startSeconds, address)
		address = embeds["youtube"].address + video[1]
		if start != "" {
			address += "&t=" + start + "s"
		}
	}
	return c.anchor(t, cmp.Or(html.UnescapeString(t.named("title")), address), address)
}

// pictureKeys are the parameters of shortcodes with the address of a picture.
var pictureKeys = []string{"src", "image", "image_path", "img", "file", "path", "url", "source", "filename", "uid", "name"}

// sizeWord is a parameter about the look of a picture.
var sizeWord = regexp.MustCompile(`(?i)^(?:\d+(?:\.\d+)?(?:px|em|rem|%|vw)?|\d+x\d*|x\d+|left|right|center|middle|top|bottom|full|wide|small|medium|large|responsive|lazy|eager|true|false|[\w-]*(?:img|image|float|align|width)[\w-]*)$`)

// pictureOf returns the address of the picture in a tag, and the words behind it among the
// parameters without a key: a description and a caption.
func (t *tag) pictureOf() (src, alt, caption string) {
	src = t.named(pictureKeys...)
	var words []string
	for _, a := range t.args {
		switch {
		case a.key != "" || a.value == "":
		case src == "" && isPicture(a.value):
			src = a.value
		case a.value != src && !isAddress(urlText(a.value)) && !(a.bare && sizeWord.MatchString(a.value)):
			words = append(words, a.value)
		}
	}
	if src == "" && len(words) > 0 {
		src, words = words[0], words[1:]
	}
	src = cmp.Or(src, t.at(0))
	words = slices.DeleteFunc(words, func(word string) bool { return word == src || sizeWord.MatchString(word) })
	words = append(words, "", "")
	return src, words[0], words[1]
}

// pictures writes a shortcode of unknown meaning as the pictures among its parameters.
func (c *converter) pictures(t *tag, end int) (string, bool) {
	if isPicture(t.named(pictureKeys...)) {
		return c.image(t, end, "")
	}
	var found []string
	for _, a := range t.args {
		if listed := picturesIn(a.value); len(listed) > 0 && !strings.EqualFold(a.key, "link") {
			found = append(found, listed...)
		}
	}
	switch len(found) {
	case 0:
		return "", false
	case 1:
		one := *t
		one.args = append(slices.DeleteFunc(slices.Clone(t.args), func(a arg) bool { return picturesIn(a.value) != nil }), arg{key: "src", value: found[0]})
		return c.image(&one, end, "")
	}
	for i, src := range found {
		found[i] = "![](" + urlText(src) + ")"
	}
	if caption := oneLine(t.named("caption", "title")); caption != "" {
		found = append(found, "*"+caption+"*")
	}
	return c.block(t, end, strings.Join(found, "\n\n")), true
}

// picturesIn returns the addresses of pictures in a parameter: it, or the elements of a list.
func picturesIn(text string) []string {
	var found []string
	if isPicture(text) && !strings.ContainsAny(text, ",[") {
		return []string{text}
	}
	for _, element := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("[]\"',` \n", r) }) {
		if !isPicture(element) {
			return nil // a sentence that names a file
		}
		found = append(found, element)
	}
	return found
}

// image writes a picture. The caption of a picture on its own line goes on the line below; within a
// text it becomes the picture's title.
func (c *converter) image(t *tag, end int, inner string) (string, bool) {
	src, description, legend := t.pictureOf()
	if src == "" {
		return "", false
	}
	src = unescapeMarkdown.ReplaceAllString(src, "$1")
	credit := t.named("attr", "credit", "attribution")
	if source := t.named("attrlink"); source != "" {
		credit = c.anchor(t, credit, source)
	}
	var captions []string
	for _, caption := range []string{t.named("title"), cmp.Or(t.named("caption", "legend", "figcaption"), inner, legend), credit} {
		if caption = oneLine(caption); caption != "" && !slices.Contains(captions, caption) {
			captions = append(captions, caption)
		}
	}
	caption := strings.Join(captions, " — ")
	alt := cmp.Or(oneLine(t.named("alt", "description", "alttext", "alt_text")), description, plainCaption(caption))
	if !isAddress(urlText(src)) {
		c.note(t, noteNoAddress, src)
		alt = cmp.Or(alt, src)
	}
	src = urlText(src)
	if t.html {
		picture := `<img src="` + html.EscapeString(src) + `" alt="` + html.EscapeString(alt) + `">`
		if caption != "" {
			picture += " <em>" + html.EscapeString(caption) + "</em>"
		}
		return picture, true
	}
	alt = linkText(alt)
	if !c.alone(t, end) {
		title := ""
		if caption != "" {
			title = ` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(caption) + `"`
		}
		return "![" + alt + "](" + src + title + ")", true
	}
	picture := "![" + alt + "](" + src + ")"
	if target := t.named("link", "href"); target != "" && target != src {
		picture = "[" + picture + "](" + urlText(target) + ")"
	}
	if caption != "" {
		if !strings.ContainsAny(caption, "*_") {
			caption = "*" + caption + "*"
		}
		picture += "\\\n" + caption
	}
	return c.block(t, end, picture), true
}

// plainCaption returns the words of a caption, without the addresses of its links.
func plainCaption(caption string) string { return inlineLink.ReplaceAllString(caption, "$1") }

var inlineLink = regexp.MustCompile(`\[([^\[\]]*)\]\([^()\s]*\)`)

// anchor writes a link.
func (c *converter) anchor(t *tag, label, address string) string {
	address = urlText(address)
	label = oneLine(label)
	switch {
	case t.html:
		return `<a href="` + html.EscapeString(address) + `">` + html.EscapeString(cmp.Or(label, address)) + "</a>"
	case label == "":
		return "<" + address + ">"
	}
	return "[" + linkText(label) + "](" + address + ")"
}

// quote writes a quotation and its source.
func (c *converter) quote(t *tag, end int, quoted, cite string) string {
	cite = oneLine(cite)
	if t.html {
		if cite != "" {
			cite = " — " + html.EscapeString(cite)
		}
		return "<blockquote>" + quoted + cite + "</blockquote>"
	}
	if cite != "" {
		quoted += "\n\n— " + cite
	}
	lines := strings.Split(quoted, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight("> "+line, " ")
	}
	return c.block(t, end, strings.Join(lines, "\n"))
}

// box writes the content of a box, without the box. A heading and a button among the parameters go
// above and below.
func (c *converter) box(t *tag, inner string) string {
	heading := cmp.Or(t.named("title", "heading", "header", "summary", "label"), t.named("intro"), t.boxTitle())
	button := t.named("button-url", "href", "url")
	if heading == "" && button == "" {
		return inner
	}
	var parts []string
	if heading = oneLine(heading); heading != "" {
		if !strings.ContainsAny(heading, "*_") {
			heading = "**" + heading + "**"
		}
		parts = append(parts, heading)
	}
	if inner = strings.Trim(inner, "\n"); strings.TrimSpace(inner) != "" {
		parts = append(parts, inner)
	}
	if button != "" {
		parts = append(parts, c.anchor(t, t.named("button-text", "text"), button))
	}
	return strings.Join(parts, "\n\n")
}

// boxTitle returns the title of a box among the parameters without a key: some boxes have it first,
// with others the kind of the box is first, a word in lower case.
func (t *tag) boxTitle() string {
	for i := 0; t.at(i) != ""; i++ {
		text := t.at(i)
		if t.form == formBlock && !t.call { // the rest of Liquid's tag is text
			for i++; t.at(i) != ""; i++ {
				text += " " + t.at(i)
			}
		}
		if slices.Contains(titledBoxes, path.Base(t.name)) && !slices.Contains(boxNames, text) || strings.ContainsAny(text, " ") || text != strings.ToLower(text) {
			return text
		}
	}
	return ""
}

// source is the tag in its original spelling, for a note.
func (c *converter) source(t *tag) string {
	return shorten(oneLine(c.body[t.start:t.end]), 80)
}

// linkText makes a text fit between [ and ].
func linkText(text string) string {
	return strings.NewReplacer("[", `\[`, "]", `\]`, "\n", " ").Replace(text)
}

// urlText makes an address fit between ( and ), < and >, and " and ".
func urlText(address string) string {
	return strings.NewReplacer(" ", "%20", "\n", "%20", "\t", "%20", "(", "%28", ")", "%29", "<", "%3C", ">", "%3E", `"`, "%22", "'", "%27", "`", "%60", `\`, "%5C").Replace(strings.TrimSpace(address))
}
