package markdown

// Comments: the dialect, refusals, hostile texts, and fuzzing of the HTML.

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

func TestWhatACommentMayHave(t *testing.T) {
	const rel = ` rel="nofollow ugc noopener"`
	cases := map[string]struct{ reason, source, want string }{
		"Prose":       {"a paragraph each", "One.\n\nTwo.", "<p>One.</p>\n<p>Two.</p>\n"},
		"Lines":       {"line ends stay", "One.\r\nTwo.", "<p>One.<br>\nTwo.</p>\n"},
		"Emphasis":    {"both kinds", "*a* and **b**", "<p><em>a</em> and <strong>b</strong></p>\n"},
		"Code":        {"code is text", "`<b>`", "<p><code>&lt;b&gt;</code></p>\n"},
		"Fence":       {"without the language, since that would be a class", "```go\nx < y\n```", "<pre><code>x &lt; y\n</code></pre>\n"},
		"Quote":       {"quotes", "> a", "<blockquote>\n<p>a</p>\n</blockquote>\n"},
		"List":        {"lists", "- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"},
		"Numbers":     {"lists begin at their first number", "3. a", "<ol start=\"3\">\n<li>a</li>\n</ol>\n"},
		"Link":        {"a link is a stranger's", "[a](https://b.example/ \"c\")", `<p><a href="https://b.example/" title="c"` + rel + `>a</a></p>` + "\n"},
		"Bare":        {"a bare one too", "see https://b.example/x.", `<p>see <a href="https://b.example/x"` + rel + `>https://b.example/x</a>.</p>` + "\n"},
		"Angles":      {"and one in angles", "<https://b.example/>", `<p><a href="https://b.example/"` + rel + `>https://b.example/</a></p>` + "\n"},
		"Mail":        {"and an address", "<a@b.example>", `<p><a href="mailto:a@b.example"` + rel + `>a@b.example</a></p>` + "\n"},
		"Script":      {"a link that runs something is its text", "[a *b*](javascript:alert(1))", "<p>a <em>b</em></p>\n"},
		"ScriptAngle": {"in angles too", "<javascript:alert(1)>", "<p>javascript:alert(1)</p>\n"},
		"Data":        {"data is no page", "[a](data:text/html,x)", "<p>a</p>\n"},
		"Relative":    {"nor can a stranger lead about the site", "[a](/logout) [b](#c) [d](//e.example)", "<p>a b d</p>\n"},
		"Heading":     {"no headings", "# a", "<p># a</p>\n"},
		"Underlined":  {"of either kind", "a\n===", "<p>a<br>\n===</p>\n"},
		"Picture":     {"a picture is a link to it", "![a](https://b.example/c.png)", `<p>!<a href="https://b.example/c.png"` + rel + `>a</a></p>` + "\n"},
		"Table":       {"no tables", "|a|\n|-|\n|b|", "<p>|a|<br>\n|-|<br>\n|b|</p>\n"},
		"Footnote":    {"no footnotes", "a[^1]\n\n[^1]: b", "<p>a[^1]</p>\n<p>[^1]: b</p>\n"},
		"Reference":   {"no references", "[a]: https://b.example", `<p>[a]: <a href="https://b.example"` + rel + `>https://b.example</a></p>` + "\n"},
		"HTML":        {"HTML is text", "<b onclick=x>a</b>", "<p>&lt;b onclick=x&gt;a&lt;/b&gt;</p>\n"},
		"Block":       {"of every kind", "<script>\nalert(1)\n</script>", "<p>&lt;script&gt;<br>\nalert(1)<br>\n&lt;/script&gt;</p>\n"},
		"Ruler":       {"no rulers", "***", "<p>***</p>\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, got, err := Comment(c.source)
			if err != nil || got != c.want {
				t.Errorf("%s: %q becomes\n%q, %v; want\n%q", c.reason, c.source, got, err, c.want)
			}
		})
	}
}

func TestWhatIsNoComment(t *testing.T) {
	cases := map[string]struct{ reason, source, says string }{
		"Empty":     {"nothing", "", "1 to 5000 characters"},
		"Spaces":    {"nothing but space", " \n\t ", "1 to 5000 characters"},
		"Invisible": {"nothing that is seen", "\u200b\u2060", "shows nothing"},
		"Entities":  {"spaces by other names", "&nbsp;&#8203;", "shows nothing"},
		"NoLink":    {"a link around nothing", "[](javascript:x)", "shows nothing"},
		"Long":      {"one character too many", strings.Repeat("ö", MaxComment+1), "not 5001"},
		"Huge":      {"many too many", strings.Repeat("a", 1<<20), "1 to 5000 characters"},
		"Deep":      {"quotes without end", strings.Repeat(">", 200) + "a", "nested more than 10"},
	}
	for name, c := range cases {
		if _, _, err := Comment(c.source); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s: %v", name, c.reason, err)
		}
	}
	if _, _, err := Comment(strings.Repeat("ö", MaxComment)); err != nil {
		t.Errorf("the longest comment: %v", err)
	}
}

// A hostile comment is refused or rendered at once, and harmless either way.
func TestHostileComments(t *testing.T) {
	for name, text := range hostile {
		source := text(MaxComment)
		began := time.Now()
		_, got, err := Comment(source)
		if took := time.Since(began); took > 3*time.Second { // a tenth of a second and much slack
			t.Errorf("%s takes %s", name, took)
		}
		if err == nil {
			harmlessComment(t, source, got)
		}
	}
}

func FuzzComment(f *testing.F) {
	for _, s := range []string{
		"*a* **b** `c`\n\n> d\n\n- e\n", "[a](javascript:alert(1))", "<javascript:alert(1)>", "[a](JaVaScRiPt&colon;alert(1))", "![a](x onerror=alert(1))",
		"[a](https://b.example/\" onclick=\"alert(1))", "<a href=javascript:alert(1)>b</a>", "[a](<https://b.example/\njavascript:x>)", "```\" onload=x\na\n```",
		"[a](data:text/html;base64,PHNjcmlwdD4=)", "&lt;script&gt;", "&#x6A;avascript:alert(1)", "http://a.b/\"onmouseover=x", "[a]( \u0001javascript:alert(1))", "<svg/onload=alert(1)>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		canonical, got, err := Comment(source)
		if err != nil {
			return
		}
		harmlessComment(t, source, got)
		if again, same, err := Comment(canonical); err != nil || again != canonical || same != got {
			t.Errorf("%q is kept as %q, which becomes something else: %q, %v", source, canonical, same, err)
		}
	})
}

// harmlessComment checks HTML, as a browser parses it, for anything that a comment may not have.
func harmlessComment(t *testing.T, source, got string) {
	t.Helper()
	attributes := map[atom.Atom][]string{
		atom.P: nil, atom.Br: nil, atom.Em: nil, atom.Strong: nil, atom.Code: nil, atom.Pre: nil, atom.Blockquote: nil,
		atom.Ul: nil, atom.Ol: {"start"}, atom.Li: nil, atom.A: {"href", "title", "rel"},
	}
	div := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	nodes, err := html.ParseFragment(strings.NewReader(got), div)
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range nodes {
		div.AppendChild(root)
	}
	for n := range div.Descendants() {
		if n.Type == html.TextNode {
			continue
		}
		allowed, known := attributes[n.DataAtom]
		if n.Type != html.ElementNode || !known {
			t.Fatalf("%q becomes %q, which has %q", source, got, n.Data)
		}
		rel := ""
		for _, a := range n.Attr {
			if !slices.Contains(allowed, a.Key) {
				t.Fatalf("%q becomes %q, which has the attribute %s of %s", source, got, a.Key, n.Data)
			}
			if a.Key == "href" && !leadsOut([]byte(a.Val)) {
				t.Fatalf("%q becomes %q, which leads to %q", source, got, a.Val)
			}
			if a.Key == "rel" {
				rel = a.Val
			}
		}
		if n.DataAtom == atom.A && rel != strangersRel {
			t.Fatalf("%q becomes %q, which has a link with rel=%q", source, got, rel)
		}
	}
	if open := balance(got); open != 0 {
		t.Fatalf("%q becomes %q, which leaves %d elements open", source, got, open)
	}
}

func balance(got string) int {
	z, open := html.NewTokenizer(bytes.NewReader([]byte(got))), 0
	for z.Next() != html.ErrorToken {
		switch t := z.Token(); {
		case t.Type == html.StartTagToken && t.DataAtom != atom.Br:
			open++
		case t.Type == html.EndTagToken:
			if open--; open < 0 {
				return open
			}
		}
	}
	return open
}
