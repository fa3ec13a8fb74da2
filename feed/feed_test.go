package feed

// Feeds and sitemaps: golden files in testdata, parsers by others, and the rules of the RFCs.

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mmcdole/gofeed"

	"stoa/blog"
	"stoa/feed/content"
	"stoa/id"
	"stoa/store"
)

var links = Links{
	SiteURL: "https://example.org/", Public: "https://api.example.org",
	Article: "{site}/articles/{slug}", Author: "{site}/people?name={slug}", Tag: "{site}/tags/{slug}/",
}

func newFeeds(t testing.TB, hide bool) *Feeds {
	t.Helper()
	f, err := New(Options{Links: links, Name: "Lamp & Ladder", Hide: hide})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func at(hour int) time.Time { return time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC) }

// sample is two articles, the second with all awkward characters.
func sample() (*blog.Feed, map[id.ID]*store.Revision) {
	ada := &store.Author{ID: "aut_01k9v6v0mvf5ts2c5zr0h4m8qa", Slug: "ada", Name: "Ada <the first>"}
	ink := &store.Tag{ID: "tag_01k9v6v0mvf5ts2c5zr0h4m8qb", Slug: "ink&paper", Name: "Ink & Paper"}
	articles := []*store.Article{
		{
			ID: "art_01k9v6v0mvf5ts2c5zr0h4m8qd", Slug: "on-folding", Title: "On <folding> & \"cutting\"", Summary: "What a fold is.",
			PublishedAt: at(9), UpdatedAt: at(12), AuthorIDs: []id.ID{ada.ID}, TagIDs: []id.ID{ink.ID}, RevisionID: "rev_1",
		},
		{
			ID: "art_01k9v6v0mvf5ts2c5zr0h4m8qe", Slug: "größe/ü", Title: "Bell \a, null \x00, broken \xff, \uFFFE and a ]]>", Summary: "",
			PublishedAt: at(8), UpdatedAt: at(8), AuthorIDs: []id.ID{"aut_gone"}, TagIDs: []id.ID{"tag_gone"}, RevisionID: "rev_2",
		},
	}
	texts := map[id.ID]*store.Revision{
		"rev_1": {HTML: `<p id="a">See <a href="/b?c=1&amp;d=2">b</a>, <a href="#a">above</a>, <a href="https://other.example/x">x</a>, <a href="//cdn.example/y">y</a>.</p>` + "\n" +
			`<p><img src="/img/a.png" alt="a &lt; b"/><img src="b.png"/></p><pre><code>if a &lt; b &amp;&amp; c {}</code></pre>`},
		"rev_2": {HTML: "<p>caf\xc3\xa9 \x01\x0b ]]&gt; \U0001F58B</p>"},
	}
	return &blog.Feed{
		Articles: articles, Authors: map[id.ID]*store.Author{ada.ID: ada}, Tags: map[id.ID]*store.Tag{ink.ID: ink},
	}, texts
}

func (f *Feeds) written(t testing.TB, path string, from *blog.Feed, texts map[id.ID]*store.Revision) []byte {
	t.Helper()
	d := f.describe(path, from)
	f.fill(&d, from.Articles, texts)
	out, err := xml.MarshalIndent(d, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return []byte(xml.Header + string(out) + "\n")
}

func plain(t testing.TB, d content.Document) []byte {
	t.Helper()
	if !d.Gzip {
		return d.Body
	}
	r, err := gzip.NewReader(bytes.NewReader(d.Body))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != d.Size {
		t.Errorf("it says %d bytes and has %d", d.Size, len(out))
	}
	return out
}

// golden compares with a file in testdata; UPDATE=1 writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is now\n%s", path, got)
	}
}

func TestGoldenDocuments(t *testing.T) {
	f := newFeeds(t, false)
	from, texts := sample()
	golden(t, "feed.atom", f.written(t, feedPath, from, texts))

	tagged := *from
	tagged.Tag = from.Tags["tag_01k9v6v0mvf5ts2c5zr0h4m8qb"]
	tagged.Articles = from.Articles[:1]
	golden(t, "tag.atom", f.written(t, "/tags/ink&paper/feed.atom", &tagged, texts))

	author := blog.Feed{Author: from.Authors["aut_01k9v6v0mvf5ts2c5zr0h4m8qa"]}
	golden(t, "author-empty.atom", f.written(t, "/authors/ada/feed.atom", &author, nil))

	golden(t, "robots.txt", f.robots.Body)
	golden(t, "robots-hidden.txt", newFeeds(t, true).robots.Body)

	one := newSitemap()
	for i := range 3 {
		one.add(links.article(fmt.Sprintf("a&%d", i)), at(i))
	}
	one.add(links.home(), time.Time{})
	one.add("https://example.org/"+strings.Repeat("a", maxURL), at(9)) // too long for the protocol
	golden(t, "sitemap.xml", plain(t, one.finish(links.public)[sitemapPath]))

	many := newSitemap()
	many.urls = 2
	for i := range 5 {
		many.add(links.article(fmt.Sprint(i)), at(i))
	}
	parts := many.finish(links.public)
	golden(t, "sitemap-index.xml", plain(t, parts[sitemapPath]))
	golden(t, "sitemap-3.xml", plain(t, parts["/sitemap-3.xml"]))
	if len(parts) != 4 {
		t.Errorf("an index of three parts is %d documents", len(parts))
	}
}

// A feed parser by others reads the same articles that went into the feed.
func TestAReaderOfOthersUnderstandsTheFeed(t *testing.T) {
	f := newFeeds(t, false)
	from, texts := sample()
	got, err := gofeed.NewParser().Parse(bytes.NewReader(f.written(t, feedPath, from, texts)))
	if err != nil {
		t.Fatal(err)
	}
	if got.FeedType != "atom" || got.FeedVersion != "1.0" || got.Title != "Lamp & Ladder" || got.Link != "https://example.org/" ||
		got.FeedLink != "https://api.example.org/feed.atom" || !got.UpdatedParsed.Equal(at(12)) || len(got.Items) != 2 {
		t.Errorf("the feed is %+v", got)
	}
	first, second := got.Items[0], got.Items[1]
	if first.Title != `On <folding> & "cutting"` || first.Link != "https://example.org/articles/on-folding" || first.Description != "What a fold is." ||
		!first.PublishedParsed.Equal(at(9)) || !first.UpdatedParsed.Equal(at(12)) || first.Authors[0].Name != "Ada <the first>" || first.Categories[0] != "Ink & Paper" {
		t.Errorf("the first entry is %+v", first)
	}
	for _, want := range []string{
		`href="https://example.org/b?c=1&amp;d=2"`, `href="https://example.org/articles/on-folding#a"`, `href="https://other.example/x"`,
		`href="https://cdn.example/y"`, `src="https://example.org/img/a.png"`, `src="https://example.org/articles/b.png"`, `if a &lt; b &amp;&amp; c {}`,
	} {
		if !strings.Contains(first.Content, want) {
			t.Errorf("the text hasn't %s:\n%s", want, first.Content)
		}
	}
	if second.Title != "Bell , null , broken ,  and a ]]>" || second.Content != "<p>café  ]]&gt; \U0001F58B</p>" || second.Link != "https://example.org/articles/gr%C3%B6%C3%9Fe%2F%C3%BC" {
		t.Errorf("the second entry is %+v", second)
	}
}

func TestAFeedSaysWhatAtomAsksFor(t *testing.T) {
	f := newFeeds(t, false)
	from, texts := sample()
	checkAtom(t, f.written(t, feedPath, from, texts))
	checkAtom(t, f.written(t, feedPath, &blog.Feed{}, nil))
}

// checkAtom checks a feed against the rules of RFC 4287, sections 4.1.1 and 4.1.2.
func checkAtom(t testing.TB, document []byte) {
	t.Helper()
	type element struct {
		XMLName  xml.Name
		Attrs    []xml.Attr `xml:",any,attr"`
		Text     string     `xml:",chardata"`
		Children []element  `xml:",any"`
	}
	var root element
	if err := xml.Unmarshal(document, &root); err != nil {
		t.Fatalf("not well-formed: %v\n%s", err, document)
	}
	const ns = "http://www.w3.org/2005/Atom"
	if root.XMLName != (xml.Name{Space: ns, Local: "feed"}) {
		t.Errorf("the root is %v", root.XMLName)
	}
	ids := map[string]bool{}
	check := func(of element) {
		n := map[string]int{}
		for _, c := range of.Children {
			if c.XMLName.Space != ns {
				t.Errorf("%v is no element of Atom", c.XMLName)
			}
			n[c.XMLName.Local]++
			switch c.XMLName.Local {
			case "id":
				if ids[c.Text] {
					t.Errorf("the id %s comes twice", c.Text)
				}
				ids[c.Text] = true
			case "updated", "published":
				if _, err := time.Parse(time.RFC3339, c.Text); err != nil {
					t.Error(err)
				}
			case "link":
				for _, a := range c.Attrs {
					if a.Name.Local == "rel" {
						n["link "+a.Value]++
					}
				}
			}
		}
		for _, one := range []string{"id", "title", "updated", "link alternate"} {
			if n[one] != 1 {
				t.Errorf("%s has %d of %s", of.XMLName.Local, n[one], one)
			}
		}
		if of.XMLName.Local == "feed" && (n["author"] != 1 || n["link self"] != 1) {
			t.Errorf("the feed has %v", n)
		}
		if n["published"] > 1 || n["summary"] > 1 || n["content"] > 1 {
			t.Errorf("%s has too much: %v", of.XMLName.Local, n)
		}
	}
	check(root)
	for _, c := range root.Children {
		if c.XMLName.Local == "entry" {
			check(c)
		}
	}
}

// TestExpatReadsEveryGoldenDocument reads the documents by a parser other than Go's: Expat, in
// Python.
func TestExpatReadsEveryGoldenDocument(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no Python here")
	}
	out, err := exec.Command(python, "testdata/check.py").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUniqueIdentifiersAreTheIDs(t *testing.T) {
	if got := urn("art_7zzzzzzzzzzzzzzzzzzzzzzzzz"); got != "urn:uuid:ffffffff-ffff-ffff-ffff-ffffffffffff" {
		t.Errorf("the last id is %s", got)
	}
	if got := urn("art_00000000000000000000000001"); got != "urn:uuid:00000000-0000-0000-0000-000000000001" {
		t.Errorf("the first id is %s", got)
	}
	i := id.At(id.Article, time.UnixMilli(0x0123456789ab))
	if got := urn(i); !strings.HasPrefix(got, "urn:uuid:01234567-89ab-7") {
		t.Errorf("%s is %s", i, got)
	}
}

func TestSitemapsStayWithinTheProtocol(t *testing.T) {
	s := newSitemap()
	s.bytes = 1000
	for i := range 50 {
		s.add(links.article(fmt.Sprint(i)), at(1))
	}
	parts := s.finish(links.public)
	urls := 0
	for path, d := range parts {
		body := plain(t, d)
		if len(body) > 1000 && path != sitemapPath {
			t.Errorf("%s has %d bytes", path, len(body))
		}
		if path != sitemapPath {
			urls += bytes.Count(body, []byte("<url>"))
		}
	}
	if urls != 50 {
		t.Errorf("the parts have %d URLs", urls)
	}
}

func TestLinksThatWouldLeadAstrayAreRefused(t *testing.T) {
	cases := map[string]struct {
		reason, template, want string
	}{
		"NoSlug":   {"every article would be the same page", "{site}/articles", "{slug}"},
		"Relative": {"a reader isn't on the site", "/articles/{slug}", "absolute"},
		"Script":   {"it is followed by whoever reads the feed", "javascript:alert({slug})", "absolute"},
		"Host":     {"a slug isn't ours to resolve", "https://{slug}.example.org/", "host"},
		"User":     {"a password would be everyone's", "https://a:b@example.org/{slug}", "password"},
		"Other":    {"nothing else is known", "{site}/{year}/{slug}", "only"},
		"Space":    {"it would end there", "{site}/a b/{slug}", "percent"},
		"Long":     {"it wouldn't fit into a sitemap", "{site}/" + strings.Repeat("a", linkLimit) + "{slug}", "longer"},
	}
	for name, c := range cases {
		if err := CheckTemplate(c.template); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %s: %v", name, c.reason, err)
		}
	}
	for _, base := range []string{"example.org", "https://example.org?x", "https://example.org#", "ftp://example.org", "https://"} {
		if CheckBase(base) == nil {
			t.Errorf("%s is taken as a base", base)
		}
	}
	if err := links.Check(); err != nil {
		t.Error(err)
	}
}

func FuzzFeed(f *testing.F) {
	f.Add("title", "<p><a href=\"/x\">y</a></p>", "slug")
	f.Add("\x00\xff\uFFFE]]>", "<![CDATA[ ]]><a href='//%zz", "\"'<>&")
	f.Add("\u0085\u2028\r\n", "<img src=\"\x01\"><!-- -- -->", "ü/../")
	feeds := newFeeds(f, false)
	f.Fuzz(func(t *testing.T, words, page, slug string) {
		author, tag := &store.Author{ID: id.New(id.Author), Slug: slug, Name: words}, &store.Tag{ID: id.New(id.Tag), Slug: slug, Name: words}
		a := &store.Article{ID: id.New(id.Article), Slug: slug, Title: words, Summary: page, AuthorIDs: []id.ID{author.ID}, TagIDs: []id.ID{tag.ID}, RevisionID: "rev_1"}
		from := &blog.Feed{Tag: tag, Articles: []*store.Article{a}, Authors: map[id.ID]*store.Author{author.ID: author}, Tags: map[id.ID]*store.Tag{tag.ID: tag}}
		document := feeds.written(t, "/tags/"+slug+"/feed.atom", from, map[id.ID]*store.Revision{"rev_1": {HTML: page}})
		checkAtom(t, document)
		if _, err := gofeed.NewParser().Parse(bytes.NewReader(document)); err != nil {
			t.Errorf("%v\n%s", err, document)
		}
		s := newSitemap()
		s.add(links.article(slug), at(1))
		s.add("https://example.org/"+words, at(1))
		for _, d := range s.finish(links.public) {
			var any struct{}
			if err := xml.Unmarshal(plain(t, d), &any); err != nil {
				t.Errorf("%v\n%s", err, plain(t, d))
			}
		}
	})
}

// BenchmarkFeed writes a feed of 50 articles of 6 KB, the median size of real ones.
func BenchmarkFeed(b *testing.B) {
	f := newFeeds(b, false)
	from, texts := &blog.Feed{}, map[id.ID]*store.Revision{}
	for i := range 50 {
		r := id.New(id.Revision)
		texts[r] = &store.Revision{HTML: strings.Repeat(fmt.Sprintf("<p>Paragraph %d &amp; its <a href=\"/x\">link</a>.</p>\n", i), 120)}
		from.Articles = append(from.Articles, &store.Article{ID: id.New(id.Article), Slug: fmt.Sprint(i), Title: "Title", RevisionID: r, UpdatedAt: at(1)})
	}
	for b.Loop() {
		p := newPacker()
		p.write(string(f.written(b, feedPath, from, texts)))
		p.document(atomType, at(1))
	}
}
