package feed

// Atom feeds as XML. describe writes a feed without texts, for the fingerprint; fill adds the texts
// of its articles.

import (
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"stoa/blog"
	"stoa/id"
	"stoa/store"
)

// The elements of RFC 4287 in use.
type (
	atomFeed struct {
		XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
		ID      string      `xml:"id"`
		Title   string      `xml:"title"`
		Updated string      `xml:"updated"`
		Author  atomPerson  `xml:"author"` // of entries without an author of their own (4.1.1)
		Links   []atomLink  `xml:"link"`
		Entries []atomEntry `xml:"entry"`
	}
	atomEntry struct {
		ID         string         `xml:"id"`
		Title      string         `xml:"title"`
		Published  string         `xml:"published"`
		Updated    string         `xml:"updated"`
		Authors    []atomPerson   `xml:"author"`
		Link       atomLink       `xml:"link"`
		Categories []atomCategory `xml:"category"`
		Summary    string         `xml:"summary,omitempty"`
		Content    *atomContent   `xml:"content"`
	}
	atomPerson struct {
		Name string `xml:"name"`
		URI  string `xml:"uri,omitempty"`
	}
	atomLink struct {
		Rel  string `xml:"rel,attr"`
		Type string `xml:"type,attr"`
		Href string `xml:"href,attr"`
	}
	atomCategory struct {
		Term  string `xml:"term,attr"`
		Label string `xml:"label,attr,omitempty"`
	}
	atomContent struct {
		Type string `xml:"type,attr"`
		HTML string `xml:",chardata"`
	}
)

const atomType = "application/atom+xml"

// describe writes everything of a feed but the texts of its articles.
func (f *Feeds) describe(path string, from *blog.Feed) atomFeed {
	out := atomFeed{
		ID: f.links.home(), Title: text(f.name), Author: atomPerson{Name: text(f.name), URI: f.links.home()},
		Links: []atomLink{{"alternate", "text/html", f.links.home()}, {"self", atomType, f.links.public(path)}},
	}
	switch {
	case from.Tag != nil:
		out.ID, out.Title, out.Links[0].Href = urn(from.Tag.ID), text(f.name+": "+from.Tag.Name), f.links.tag(from.Tag.Slug)
	case from.Author != nil:
		out.ID, out.Title, out.Links[0].Href = urn(from.Author.ID), text(f.name+": "+from.Author.Name), f.links.author(from.Author.Slug)
	}
	out.Updated = moment(modified(from.Articles))
	for _, a := range from.Articles {
		e := atomEntry{
			ID: urn(a.ID), Title: text(a.Title), Published: moment(a.PublishedAt), Updated: moment(a.UpdatedAt),
			Link: atomLink{"alternate", "text/html", f.links.article(a.Slug)}, Summary: text(a.Summary),
		}
		for _, i := range a.AuthorIDs {
			if by := from.Authors[i]; by != nil && text(by.Name) != "" {
				e.Authors = append(e.Authors, atomPerson{text(by.Name), f.links.author(by.Slug)})
			}
		}
		for _, i := range a.TagIDs {
			if tag := from.Tags[i]; tag != nil {
				e.Categories = append(e.Categories, atomCategory{text(tag.Slug), text(tag.Name)})
			}
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}

// fill adds the texts of articles: those of the entries, in the same order.
func (f *Feeds) fill(into *atomFeed, articles []*store.Article, texts map[id.ID]*store.Revision) {
	for i, a := range articles {
		if r := texts[a.RevisionID]; r != nil {
			into.Entries[i].Content = &atomContent{"html", text(absolute(r.HTML, into.Entries[i].Link.Href))}
		}
	}
}

// modified is the time of the newest change among articles; the zero Time without articles.
func modified(articles []*store.Article) time.Time {
	var newest time.Time
	for _, a := range articles {
		if a.UpdatedAt.After(newest) {
			newest = a.UpdatedAt
		}
	}
	return newest
}

// moment writes t in the form of RFC 3339. Atom needs a time even in a feed without entries, and
// there it is the beginning of time.
func moment(t time.Time) string {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format(time.RFC3339)
}

// urn is an id in its form as a UUID, so that it stays the same when the site moves.
func urn(i id.ID) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz" // as in package id
	_, suffix, _ := strings.Cut(string(i), "_")
	var hi, lo uint64
	for at := range len(suffix) {
		hi, lo = hi<<5|lo>>59, lo<<5|uint64(max(strings.IndexByte(alphabet, suffix[at]), 0))
	}
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, hi), lo)
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// text drops the characters that XML 1.0 can't have (section 2.2), not even escaped. The encoder
// would put U+FFFD in their places.
func text(s string) string {
	clean := func(c rune) rune {
		switch {
		case c == '\t' || c == '\n' || c == '\r', c >= ' ' && c <= 0xD7FF, c >= 0xE000 && c <= 0xFFFD, c >= 0x10000:
			return c
		}
		return -1
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "")
	}
	return strings.Map(clean, s)
}

// absolute resolves the addresses in a page's HTML against the page: a feed reader shows the text
// elsewhere. Text that isn't an address is copied unchanged.
func absolute(page, address string) string {
	base, err := url.Parse(address)
	if err != nil {
		return page
	}
	var out strings.Builder
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			out.Write(tokens.Raw())
			return out.String()
		}
		raw := string(tokens.Raw())
		if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
			if token := tokens.Token(); lead(token.Attr, base) {
				raw = token.String()
			}
		}
		out.WriteString(raw)
	}
}

// lead makes the addresses among attributes absolute, and reports whether it changed any.
func lead(attributes []html.Attribute, base *url.URL) (changed bool) {
	for i, a := range attributes {
		if a.Key != "href" && a.Key != "src" && a.Key != "cite" {
			continue
		}
		to, err := url.Parse(strings.TrimSpace(a.Val))
		if err != nil || to.IsAbs() {
			continue
		}
		attributes[i].Val, changed = base.ResolveReference(to).String(), true
	}
	return changed
}
