package markdown

// Rendering, in tables by construct; the promises for every result, checked on real posts and by
// fuzzing; and benchmarks.

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

func TestMarkdownBecomesHTML(t *testing.T) {
	cases := map[string]struct{ reason, source, want string }{
		"Paragraph":     {"the plainest case", "Hello *there*.", "<p>Hello <em>there</em>.</p>\n"},
		"Quotes":        {"only what must be escaped is", `"It's < 2 & > 1"`, "<p>\"It's &lt; 2 &amp; &gt; 1\"</p>\n"},
		"Empty":         {"a draft may be empty", "", ""},
		"LineEnds":      {"a file from Windows is the same article", "a\r\nb\r\rc", "<p>a\nb</p>\n<p>c</p>\n"},
		"ByteOrderMark": {"editors put one in front", "\ufeff# A", `<h1 id="s-a">A</h1>` + "\n"},
		"NotUTF8":       {"the API speaks UTF-8 only", "a\xffb", "<p>a\ufffdb</p>\n"},
		"ZeroByte":      {"CommonMark replaces it", "a\x00b", "<p>a\ufffdb</p>\n"},
		"Strikethrough": {"GitHub's dialect", "~~a~~", "<p><del>a</del></p>\n"},
		"Autolink":      {"GitHub's dialect", "www.example.com", `<p><a href="http://www.example.com">www.example.com</a></p>` + "\n"},
		"Tasks": {"a task can be seen, not ticked", "- [x] a\n- [ ] b",
			"<ul>\n<li><input checked=\"\" disabled=\"\" type=\"checkbox\"> a</li>\n<li><input disabled=\"\" type=\"checkbox\"> b</li>\n</ul>\n"},
		"Table": {"alignment survives without style attributes", "|a|b|\n|:-|-:|\n|1|`x\\|y`|",
			"<table>\n<thead>\n<tr>\n<th align=\"left\">a</th>\n<th align=\"right\">b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td align=\"left\">1</td>\n<td align=\"right\"><code>x|y</code></td>\n</tr>\n</tbody>\n</table>\n"},
		"Code": {"highlighters find the language, and only that", "```rust,ignore\nx < y\n```",
			"<pre><code class=\"language-rust\">x &lt; y\n</code></pre>\n"},
		"Footnote": {"there and back again", "a[^x]\n\n[^x]: note",
			"<p>a<sup id=\"s-fnref-1\"><a href=\"#s-fn-1\" role=\"doc-noteref\">1</a></sup></p>\n<div role=\"doc-endnotes\">\n<hr>\n<ol>\n<li id=\"s-fn-1\">\n<p>note\u00a0<a href=\"#s-fnref-1\" role=\"doc-backlink\">↩︎</a></p>\n</li>\n</ol>\n</div>\n"},
		"HeadingID":        {"Hugo and Zola let authors name a heading", "## Cloth {#c .big}\n\n[c](#c)", "<h2 id=\"s-c\">Cloth</h2>\n<p><a href=\"#s-c\">c</a></p>\n"},
		"HeadingIDEscaped": {"a backslash keeps the braces", `## Cloth \{#c}`, "<h2 id=\"s-cloth-c\">Cloth {#c}</h2>\n"},
		"HeadingIDAlone":   {"nothing is left of the text", "## {#c}", "<h2 id=\"s-c\"></h2>\n"},
		"HeadingIDInParts": {"the parser takes underscores for emphasis first", "## Cloth {#a_b_c}", "<h2 id=\"s-a_b_c\">Cloth</h2>\n"},
		"HeadingBraces":    {"braces may be just braces", "## Use {braces} or {}", "<h2 id=\"s-use-braces-or-\">Use {braces} or {}</h2>\n"},
		"LinkByGitHubName": {"authors write the name that GitHub derives", "[b](#b-c)\n\n## B, C", "<p><a href=\"#s-b-c\">b</a></p>\n<h2 id=\"s-b-c\">B, C</h2>\n"},
		"LinkToNothing":    {"the page around may have it", "[c](#comments)", "<p><a href=\"#comments\">c</a></p>\n"},
		"LinkInUnicode":    {"browsers decode fragments", "[ü](#über)\n\n# Über", "<p><a href=\"#s-%C3%BCber\">ü</a></p>\n<h1 id=\"s-über\">Über</h1>\n"},
		"OldAnchor": {"<a name> was how anchors were made; ids have no spaces", `<a name="Why We Did">x</a> <a href="#Why%20We%20Did">y</a>`,
			`<p><a id="s-why-we-did">x</a> <a href="#s-why-we-did">y</a></p>` + "\n"},
		"SameIDTwice": {"an id is in a document once", `<b id="x">1</b> <b id="x">2</b> [x](#x)`, `<p><b id="s-x">1</b> <b id="s-x-1">2</b> <a href="#s-x">x</a></p>` + "\n"},
		"EmptyIDs":    {"and an empty one nowhere", `<b id="">1</b> <a name="">2</a> <a id="" href="x">3</a>`, `<p><b>1</b> 2 <a href="x">3</a></p>` + "\n"},
		"Figure": {"real posts have raw HTML", "<figure>\n\n![a \"b\"](c.png)\n\n<figcaption>d</figcaption></figure>",
			"<figure>\n<p><img src=\"c.png\" alt=\"a &#34;b&#34;\"></p>\n<figcaption>d</figcaption></figure>"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := Render(c.source)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, r.HTML); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
			promises(t, r)
		})
	}
}

func TestNothingDangerousIsKept(t *testing.T) {
	cases := map[string]struct{ reason, source, want string }{
		"Script":          {"scripts go with their text", "a\n\n<script>alert(1)</script>\n\nb", "<p>a</p>\n\n<p>b</p>\n"},
		"ScriptInline":    {"in a line too", "a <script>alert(1)</script> b", "<p>a  b</p>\n"},
		"ScriptUnclosed":  {"it takes the rest of the text, as in a browser", "a <script>b", "<p>a </p>"},
		"Handler":         {"event handlers", `<img src=x onerror=alert(1)>`, `<img src="x">`},
		"HandlerSlashed":  {"a slash parts attributes too", "<div><img/src=\"x\"/onerror=alert(1)></div>", `<div><img src="x"></div>`},
		"Style":           {"style can cover the page", `<p style="position:fixed">a</p>`, "<p>a</p>"},
		"StyleElement":    {"so can a style sheet", "<style>p{}</style>\n\na", "\n<p>a</p>\n"},
		"Class":           {"classes are the page's", `<p class="admin">a</p>`, "<p>a</p>"},
		"Frame":           {"a frame is another site's page", `<iframe src="https://example.com"></iframe>b`, "b"},
		"Form":            {"a form could ask for passwords", `<form action="//x"><input name=p type=password><button>ok</button></form>`, "ok"},
		"InputUntyped":    {"an input without type is a text field", `<input checked>`, ""},
		"JavaScript":      {"a link that runs", "[a](javascript:alert(1))", "<p>a</p>\n"},
		"JavaScriptCase":  {"schemes have no case", "[a](JaVaScRiPt:alert(1))", "<p>a</p>\n"},
		"JavaScriptBreak": {"browsers drop line ends in URLs", `<a href="java&#10;script:alert(1)">a</a>`, "<p>a</p>\n"},
		"JavaScriptBell":  {"and control characters in front", `<a href="&#1;javascript:alert(1)">a</a>`, "<p>a</p>\n"},
		"VBScript":        {"an old one", "<vbscript:x> [a](vbscript:x)", "<p>vbscript:x a</p>\n"},
		"Data":            {"a document of its own", "[a](data:text/html;base64,PHNjcmlwdD4=) ![b](data:image/png;base64,AA==)", "<p>a </p>\n"},
		"ForeignScript":   {"other rules hold within SVG", "<svg><script>alert(1)</script><a href=x>b</a></svg>", "<p><a href=\"x\">b</a></p>\n"},
		"MathStyle":       {"and MathML", "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>", "<p></p>\n"},
		"Noscript":        {"text for some is markup for others", `<noscript><p title="</noscript><img src=x onerror=alert(1)>">a`, "<p><img src=\"x\">\"&gt;a</p>\n"},
		"BreakOut":        {"an article can't end the element around it", "</div></main></body>a<table><td>b", "a<table><td>b</td></table>"},
		"Clobber":         {"ids can't shadow names of scripts and pages", "<p id=cookie>a</p>\n\n# Comments", "<p id=\"s-cookie\">a</p>\n<h1 id=\"s-comments\">Comments</h1>\n"},
		"ClobberByName":   {"nor can names", `<img src=x name=cookie>`, `<img src="x">`},
		"Comment":         {"comments are the author's", "a<!-- b -->c", "<p>ac</p>\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := Render(c.source)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, r.HTML); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
			promises(t, r)
		})
	}
}

func TestTagsAreBalanced(t *testing.T) {
	cases := map[string]struct{ reason, source, want string }{
		"LeftOpen":       {"elements open at the end are closed", "<div><span>a", "<div><span>a</span></div>"},
		"ClosesNothing":  {"an end without a start is dropped", "<div>a</span></div>", "<div>a</div>"},
		"Crossed":        {"the inner ends with the outer", "<div><b>a<i>b</b>c</i></div>", "<div><b>a<i>b</i></b>c</div>"},
		"Paragraphs":     {"the end of a paragraph may be left out", "<p>a<p>b<ul><li>c", "<p>a</p><p>b</p><ul><li>c</li></ul>"},
		"LineBreak":      {"a line break ends no paragraph", "<p>a<br>b<br/>c</p>", "<p>a<br>b<br>c</p>"},
		"Items":          {"so may that of an item, but not of an outer one", "<ul><li>a<ul><li>b<li>c</ul><li>d</ul>", "<ul><li>a<ul><li>b</li><li>c</li></ul></li><li>d</li></ul>"},
		"Terms":          {"and of a term", "<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>"},
		"Cells":          {"and of a cell", "<table><tr><th>a<td>b<tr><td>c</table>", "<table><tr><th>a</th><td>b</td></tr><tr><td>c</td></tr></table>"},
		"TableInCell":    {"a table within a cell is its own", "<table><tr><td><table><tr><td>a</table>b</table>", "<table><tr><td><table><tr><td>a</td></tr></table>b</td></tr></table>"},
		"CellKeepsOuter": {"a cell can't end the element around its table", "<div><table><td></div>a</table>b</div>", "<div><table><td>a</td></table>b</div>"},
		"LinkInLink":     {"the next link ends a link", "<div><a href=x>a<a href=y>b</a></a></div>", `<div><a href="x">a</a><a href="y">b</a></div>`},
		"SelfClosed":     {"only void elements close themselves", "<div/>a", "<div>a</div>"},
		"Headings":       {"the next heading ends a heading", "<h2>a<h3>b", `<h2 id="s-a">a</h2><h3 id="s-b">b</h3>`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := Render(c.source)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, r.HTML); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
			promises(t, r)
		})
	}
}

func TestTableOfContents(t *testing.T) {
	cases := map[string]struct {
		reason, source string
		want           []Heading
	}{
		"None":      {"an article may have no headings", "a", nil},
		"Levels":    {"in document order, at any level", "### a\n# b\n\nc\n=", []Heading{{3, "a", "s-a"}, {1, "b", "s-b"}, {1, "c", "s-c"}}},
		"Markup":    {"text without markup", "## *a* `b<c>` [d](e) <b>f</b> &amp; ![g](h)", []Heading{{2, "a b<c> d f &", "s-a-bc-d-f-"}}},
		"Footnote":  {"without the number of a footnote", "## a[^1]\n\n[^1]: b", []Heading{{2, "a", "s-a"}}},
		"Repeated":  {"each anchor is another", "## a\n## a\n## a-1\n## a", []Heading{{2, "a", "s-a"}, {2, "a", "s-a-1"}, {2, "a-1", "s-a-1-1"}, {2, "a", "s-a-2"}}},
		"Unicode":   {"every script keeps its letters", "## Größe 中文 हिन्दी", []Heading{{2, "Größe 中文 हिन्दी", "s-größe-中文-हिन्दी"}}},
		"Symbols":   {"there is always an anchor", "## ?!\n## 🚀", []Heading{{2, "?!", "s-section"}, {2, "🚀", "s-section-1"}}},
		"Empty":     {"a heading without text isn't listed", "##\n## ![a](b)\n## c", []Heading{{2, "c", "s-c"}}},
		"RawHTML":   {"a heading is a heading", "<h2>a\n  b</h2>", []Heading{{2, "a b", "s-a-b"}}},
		"Long":      {"anchors stay short", "# " + strings.Repeat("ä", 200), []Heading{{1, strings.Repeat("ä", 200), "s-" + strings.Repeat("ä", 100)}}},
		"NamedWins": {"the author's name for it", "## a {#b}\n## b", []Heading{{2, "a", "s-b"}, {2, "b", "s-b-1"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := Render(c.source)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, r.TOC); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
			promises(t, r)
		})
	}
}

func TestPlainText(t *testing.T) {
	cases := map[string]struct {
		reason, source, want string
		words                int
	}{
		"Blocks":   {"blocks part words", "# a\nb\n\n- c\n- d\n\n|e|f|\n|-|-|\n|g|h|", "a b c d e f g h", 8},
		"Inline":   {"emphasis doesn't", "**a**b c<sup>2</sup>", "ab c2", 2},
		"Breaks":   {"line breaks do", "a<br>b\nc  \nd", "a b c d", 4},
		"Spaces":   {"one space in place of any others", "a \t &nbsp; b", "a b", 2},
		"Entities": {"as it is read", "a &amp; b &lt;c&gt;", "a & b <c>", 4},
		"Code":     {"code can be searched for", "```sh\nls -l\n```", "ls -l", 2},
		"Footnote": {"the note, not its number and arrow", "a[^1] b\n\n[^1]: c", "a b c", 3},
		"Hidden":   {"nobody reads a script", "a <script>b</script> <!-- c --> d", "a d", 2},
		"Pictures": {"nor the text in place of a picture", "a ![b](c) d", "a d", 2},
		"Nothing":  {"no words at all", "![a](b)", "", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := Render(c.source)
			if err != nil {
				t.Fatal(err)
			}
			if r.Text != c.want || r.Words != c.words {
				t.Errorf("%s: got %q with %d words, want %q with %d", c.reason, r.Text, r.Words, c.want, c.words)
			}
		})
	}
}

func TestTextsOverTheLimitsAreRefused(t *testing.T) {
	cases := map[string]struct{ reason, source, want string }{
		"Source":     {"the body of an article is bounded", strings.Repeat("a", MaxSource+1), "500001 bytes, more than the 500000"},
		"HTML":       {"and of the HTML", repeated("#\n")(MaxSource), "bytes of HTML, more than the 2097152"},
		"Anchors":    {"with the anchors that it is given", repeated("#\n")(MaxSource / 3), "bytes of HTML, more than the 2097152"},
		"Headings":   {"and its table of contents", repeated("# a\n")(4 * (MaxHeadings + 1)), "more than 5000 headings"},
		"Blocks":     {"deep quotes take quadratic time", strings.Repeat(">", 101) + "a", "nested more than 100 deep"},
		"Elements":   {"no browser nests deeper than 512", strings.Repeat("<div>", 257), "nests HTML elements more than 256 deep"},
		"Table":      {"66 KB of it would take gigabytes", table(1000, 30_000), "too many cells"},
		"Brackets":   {"33,000 of them would take seconds", strings.Repeat("[a](", 16_000), "too many brackets"},
		"Footnotes":  {"each looks at all others", numbered("[^%d] ")(200_000), "too many footnotes"},
		"References": {"each moves all others", numbered("[%d]: x\n")(400_000), "too many link references"},
		"Lines":      {"blank lines in deep lists take memory", strings.Repeat("- ", 49) + "a\n" + strings.Repeat("\n", 100_000), "too many lines"},
		"Bars":       {"each is compared with all others", "|a|\n|-|\n" + strings.Repeat("|`a\\|b`|\n", 7_000), `too many \|`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := Render(c.source)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got error %v, want one with %q", c.reason, err, c.want)
			}
			if diff := cmp.Diff(Rendered{}, r); diff != "" {
				t.Errorf("something came with the error: %.200s", diff)
			}
		})
	}
}

func TestTextsWithinTheLimitsAreNot(t *testing.T) {
	cases := map[string]struct{ reason, source string }{
		"Longest":   {"as much prose as may be", strings.Repeat("Nobody *reads* [this](x) far.\n\n", MaxSource/31)},
		"OneLine":   {"66 KB in one line, a link or emphasis every 40 characters", strings.Repeat("Some words, **then** some [more](x) of it. ", 66_000/43)},
		"Table":     {"a price list of 5,000 rows", table(8, 5_000)},
		"Nested":    {"an outline 20 deep", growing("  ", "- a\n")(500)},
		"Footnotes": {"a thorough history", numbered("a[^%d] ")(5_000) + "\n\n" + numbered("[^%d]: b\n")(5_000)},
		"List":      {"30,000 items", strings.Repeat("- a [b](c)\n", 30_000)},
		"Log":       {"code isn't parsed for markup", "```\n" + strings.Repeat("[*_~`<\n", 70_000) + "```\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Render(c.source); err != nil {
				t.Errorf("%s: %v", c.reason, err)
			}
		})
	}
}

func TestTheSameTextGivesTheSameResult(t *testing.T) {
	first, err := Render(typical)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan Rendered)
	for range 8 {
		go func() {
			r, _ := Render(typical) // the error is in the comparison: nothing comes with one
			results <- r
		}()
	}
	for range 8 {
		if diff := cmp.Diff(first, <-results); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRealPostsRender(t *testing.T) {
	posts := realPosts(t)
	headings := 0
	for path, source := range posts {
		r, err := Render(source)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		headings += len(r.TOC)
		if !promises(t, r) {
			t.Errorf("in %s", path)
		}
		if r.Words == 0 && len(strings.TrimSpace(source)) > 0 {
			t.Logf("%s has no words: %.200q", path, source)
		}
	}
	t.Logf("%d posts, %d headings", len(posts), headings)
}

// realPosts returns the bodies of the posts in STOA_TEST_DATA, by path, and skips the test without
// such a folder.
func realPosts(tb testing.TB) map[string]string {
	tb.Helper()
	root := os.Getenv("STOA_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	posts := map[string]string{}
	for _, folder := range []string{"blog-a", "blog-b-toml", "blog-c-hashnode"} {
		// A folder that can't be read has no posts, and then the test is skipped.
		_ = filepath.WalkDir(filepath.Join(root, folder), func(path string, entry os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".md" {
				return nil
			}
			source, err := os.ReadFile(path)
			if err != nil {
				tb.Error(err)
				return nil
			}
			posts[path] = body(string(source))
			return nil
		})
	}
	if len(posts) == 0 {
		tb.Skipf("no real posts in %s; STOA_TEST_DATA may name another folder", root)
	}
	return posts
}

// body is the text after the front matter, if there is any.
func body(post string) string {
	post = strings.TrimSpace(strings.ReplaceAll(post, "\r\n", "\n"))
	for _, fence := range []string{"---\n", "+++\n"} {
		if rest, ok := strings.CutPrefix(post, fence); ok {
			if _, after, ok := strings.Cut(rest, "\n"+fence); ok {
				return after
			}
			return ""
		}
	}
	return post
}

// promises checks the promises for every result of Render, and reports whether they hold. The HTML
// is parsed, not searched for strings.
func promises(t *testing.T, r Rendered) bool {
	t.Helper()
	failed := t.Failed()
	if !utf8.ValidString(r.HTML) || !utf8.ValidString(r.Text) {
		t.Error("not UTF-8")
	}
	if r.Text != strings.Join(strings.Fields(r.Text), " ") {
		t.Errorf("words are not apart by single spaces: %q", r.Text)
	}

	page, err := html.Parse(strings.NewReader("<main><div>" + r.HTML + "</div><footer></footer></main>"))
	if err != nil {
		t.Fatalf("unreadable: %v", err)
	}
	main := page.FirstChild.LastChild.FirstChild // html, body, main
	article, footer := main.FirstChild, main.LastChild
	if main.NextSibling != nil || article.NextSibling != footer || footer.DataAtom != atom.Footer || footer.FirstChild != nil {
		t.Errorf("the article broke out of the page:\n%s", r.HTML)
	}
	ids := map[string]int{}
	for n := range article.Descendants() {
		harmless(t, n)
		if id := attribute(n.Attr, "id"); id != "" {
			ids[id]++
		}
	}
	for id, times := range ids {
		if times > 1 || !strings.HasPrefix(id, "s-") || strings.ContainsAny(id, " \t\n") {
			t.Errorf("%d elements have the id %q", times, id)
		}
	}
	for _, h := range r.TOC {
		if ids[h.Anchor] != 1 || h.Text == "" || h.Level < 1 || h.Level > 6 {
			t.Errorf("%d elements have the id of %+v", ids[h.Anchor], h)
		}
	}

	again, err := sanitise(context.Background(), []byte(r.HTML))
	if err != nil {
		t.Errorf("sanitised HTML was refused: %v", err)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("sanitising twice is not sanitising once (-once +twice):\n%s", diff)
	}
	return failed || !t.Failed()
}

// harmless checks that one element of an article is allowed there.
func harmless(t *testing.T, n *html.Node) {
	t.Helper()
	if n.Type != html.ElementNode {
		return
	}
	elements := strings.Fields(`div article aside section header footer hgroup address blockquote p pre
		h1 h2 h3 h4 h5 h6 br hr ul ol li dl dt dd figure figcaption details summary
		table caption colgroup col thead tbody tfoot tr th td input img a abbr b bdi bdo cite code del dfn
		em i ins kbd mark q rp rt ruby s samp small span strong sub sup time tt u var wbr`)
	if n.Namespace != "" || !slices.Contains(elements, n.Data) {
		t.Errorf("there is a <%s> element", n.Data)
	}
	for _, a := range n.Attr {
		switch a.Key {
		case "href", "src", "cite":
			if s := scheme(a.Val); !slices.Contains([]string{"", "http", "https", "mailto", "tel"}, s) {
				t.Errorf("%s is a URL with scheme %s", a.Val, s)
			}
		case "id", "title", "lang", "dir", "alt", "width", "height", "class", "role", "align", "scope", "span",
			"colspan", "rowspan", "start", "reversed", "value", "datetime", "open", "checked", "disabled", "type":
		default:
			t.Errorf("<%s> has the attribute %s", n.Data, a.Key)
		}
	}
}

// scheme finds the scheme of a URL as browsers do (https://url.spec.whatwg.org, "basic URL
// parser"): control characters and spaces in front are ignored, and so are tabs and line ends
// anywhere.
func scheme(address string) string {
	address = strings.TrimLeftFunc(address, func(r rune) bool { return r <= ' ' })
	address = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(strings.ToLower(address))
	for i, r := range address {
		switch {
		case r == ':':
			return address[:i]
		case 'a' <= r && r <= 'z', i > 0 && ('0' <= r && r <= '9' || strings.ContainsRune("+-.", r)):
		default:
			return ""
		}
	}
	return ""
}

func FuzzRender(f *testing.F) {
	f.Add(typical)
	for _, text := range hostile {
		f.Add(text(60))
	}
	for _, seed := range []string{
		"<script>x</script><img src=x onerror=x><a href=javascript:x>y</a>",
		"<a href='&#x6A;avascript:x'>y</a><a href=' \tjava\nscript:x'>y</a>",
		"<svg><style><p title='</style><img src=x onerror=x>'>",
		"<table><td><b><p></b></td><a name=x>y<a id=s-x>z</table>",
		"<h1><a name=a>b</a></h1>\n\n# b {#a}\n\n[c](#a)[^d]\n\n[^d]: # e",
		"<ul><li><p>a<li><dl><dt>b<dd>c<h2>d<div>e",
		"<input type=checkbox><img alt=x><bdo>y</bdo><code class='language-x y'>z</code>",
		"- [x] a\n\n|a|b\n-|-\n`\\|`|\n\n> 1. ~~~\n>    b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		r, err := Render(source)
		if err != nil {
			return
		}
		promises(t, r)
	})
}

// typical is an article of about 6 KB with a bit of everything.
var typical = strings.Repeat(`## On paper {#paper}

Paper has a **grain**: most fibres lie in the direction in which the web ran through the
machine[^web]. A sheet bends easily *along* it, and cracks across it. See the [next part](#glue)
or <https://example.com/paper?grain=long&weight=90>, and try it yourself:

1. Cut two strips, one from each side.
2. Hold both by one end. The one that droops is cut across the grain.
   - Damp one side and it curls, too.
   - Thick board shows it in the *snap*.

| paper      | weight, g/m² | for           |
|:-----------|-------------:|---------------|
| newsprint  |           45 | proofs        |
| book paper |           90 | text          |
| board      |          300 | covers, boxes |

`+"```sql"+`
SELECT name, weight FROM paper WHERE grain = 'long' AND weight BETWEEN 80 AND 120;
`+"```"+`

> The grain of everything in a book runs from head to tail. Whoever forgets it once
> has a book that won't lie flat, and doesn't forget it again.

### Glue

<figure><img src="/media/glue.jpg" alt="A pot of paste"><figcaption>Wheat paste keeps three days.</figcaption></figure>

`, 5) + "[^web]: The continuous sheet on a paper machine is called the web.\n"

func BenchmarkRender(b *testing.B) {
	sources := map[string]string{"6KB": typical, "66KB": strings.Repeat(typical, 66_000/len(typical))}
	b.Run("6KB", func(b *testing.B) { benchmark(b, sources["6KB"]) })
	b.Run("66KB", func(b *testing.B) { benchmark(b, sources["66KB"]) })
	b.Run("longest real post", func(b *testing.B) {
		longest := ""
		for _, source := range realPosts(b) {
			if len(source) > len(longest) {
				longest = source
			}
		}
		benchmark(b, longest)
	})
}

func benchmark(b *testing.B, source string) {
	b.SetBytes(int64(len(source)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Render(source); err != nil {
			b.Fatal(err)
		}
	}
}
