package markdown

// The HTML that an article may have. Entry point: policy.

import (
	"regexp"

	"github.com/microcosm-cc/bluemonday"
)

// policy is the HTML that an article may contain: text, structure, links and pictures, and nothing
// that runs, loads a page, takes input or styles. A removed element leaves its text, except script,
// style, iframe, object and the like. It is not changed after this and safe for concurrent use.
//
// Links keep no rel and no target: these are the words of the site's own authors, and the page
// decides about opening windows.
var policy = newPolicy()

// codeLanguage is the class that tells highlighters the language of a code block. document.go cuts
// off additions of authors ("rust,ignore").
var codeLanguage = regexp.MustCompile(`^language-[\w+#.-]{1,40}`)

func newPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(true)
	p.AllowURLSchemes("http", "https", "mailto", "tel")

	p.AllowAttrs("id", "title").Globally()
	p.AllowAttrs("lang").Matching(regexp.MustCompile(`^[A-Za-z0-9-]{1,35}$`)).Globally()
	p.AllowAttrs("dir").Matching(regexp.MustCompile(`^(?:ltr|rtl|auto)$`)).Globally()

	p.AllowElements(
		"address", "article", "aside", "blockquote", "div", "footer", "header", "hgroup", "section",
		"h1", "h2", "h3", "h4", "h5", "h6",
		"br", "hr", "p", "pre",
		"figure", "figcaption", "details", "summary",
		"ul", "ol", "li", "dl", "dt", "dd",
		"table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td",
		"abbr", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "i", "ins", "kbd", "mark", "q",
		"rp", "rt", "ruby", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
	)
	p.AllowAttrs("cite").OnElements("blockquote", "q", "del", "ins")
	p.AllowAttrs("datetime").OnElements("time", "del", "ins")
	p.AllowAttrs("open").Matching(regexp.MustCompile(`^(?:|open)$`)).OnElements("details")
	p.AllowAttrs("class").Matching(codeLanguage).OnElements("code")

	number := regexp.MustCompile(`^-?[0-9]{1,9}$`)
	p.AllowAttrs("start").Matching(number).OnElements("ol")
	p.AllowAttrs("reversed").Matching(regexp.MustCompile(`^(?:|reversed)$`)).OnElements("ol")
	p.AllowAttrs("type").Matching(regexp.MustCompile(`^[1aAiI]$`)).OnElements("ol")
	p.AllowAttrs("value").Matching(number).OnElements("li")

	count := regexp.MustCompile(`^[0-9]{1,3}$`)
	p.AllowAttrs("span").Matching(count).OnElements("col", "colgroup")
	p.AllowAttrs("colspan", "rowspan").Matching(count).OnElements("th", "td")
	p.AllowAttrs("scope").Matching(regexp.MustCompile(`^(?:row|col)(?:group)?$`)).OnElements("th")
	p.AllowAttrs("align").Matching(regexp.MustCompile(`^(?:left|right|center)$`)).OnElements("th", "td")

	p.AllowAttrs("href", "name").OnElements("a")
	p.AllowAttrs("src", "alt").OnElements("img")
	p.AllowAttrs("width", "height").Matching(regexp.MustCompile(`^[0-9]{1,5}$`)).OnElements("img")

	// The box of a task list; document.go disables it.
	p.AllowAttrs("type").Matching(regexp.MustCompile(`^checkbox$`)).OnElements("input")
	p.AllowAttrs("checked", "disabled").Matching(regexp.MustCompile(`^(?:|checked|disabled)$`)).OnElements("input")

	// goldmark's marks of footnotes, for assistive software, for style sheets, and for document.go,
	// to keep the marks out of the plain text.
	p.AllowAttrs("role").Matching(regexp.MustCompile(`^doc-(?:noteref|backlink|endnotes)$`)).OnElements("a", "div")
	return p
}
