package importer

// The addresses of an article: its slug, its former addresses, and the address of its text on
// another site. Entry points: document.slug, document.aliases, document.elsewhere, lastElement.

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	"stoa/edit"
)

// The notes about addresses.
const (
	noteSlugChanged = "the slug isn't made of a-z, 0-9 and dashes only, or is too long: changed, the old one kept as an alias"
	noteSlugMade    = "nothing to make a slug from: made from a hash of the path"
	noteSlugTaken   = "an earlier file of the folder wants the same slug: the blog adds a number"
	noteAlias       = "alias for the top of a site: left out"
	noteAliasTaken  = "alias that is the slug of another file of the folder: left out"
	noteCanonical   = "the front matter names another address of the same text: not kept"
	noteLinkPost    = "the front matter gives the address of the text, and no text follows: the article is a link to it"
)

// slug is slug, else the end of path, permalink or url, else the file's name without its day (of a
// page bundle, the folder's), else the title. Other slugs in the front matter, and other spellings
// of this one, become aliases.
func (d *document) slug(p *parsed) {
	for _, key := range []string{"slug", "path", "permalink", "url"} {
		written, v := d.text(key)
		last := lastElement(written)
		slug := edit.Slug(last)
		if slug == "" || strings.Contains(written, "/:") || key == "permalink" && written == "false" { // a placeholder of Jekyll's; no page
			continue
		}
		p.article.Aliases = append(p.article.Aliases, last)
		if p.article.Slug != "" {
			continue
		}
		p.article.Slug, p.slugLine = slug, v.line
		if slug != strings.ToLower(last) {
			d.note(noteSlugChanged, v, last+" → "+slug)
		}
	}
	if p.article.Slug != "" {
		return
	}
	stem := lastElement(d.stem())
	if p.article.Slug = edit.Slug(stem); p.article.Slug != "" {
		p.article.Aliases = append(p.article.Aliases, stem)
		return
	}
	if p.article.Slug = edit.Slug(p.article.Title); p.article.Slug != "" {
		return
	}
	p.article.Slug = hashed("article", d.path)
	d.note(noteSlugMade, value{}, p.article.Slug)
}

// hashed makes a slug for a text without any letter that a slug can have.
func hashed(kind, text string) string {
	sum := sha256.Sum256([]byte(text))
	return kind + "-" + hex.EncodeToString(sum[:4])
}

// stem is the file's name without its extension and day; of a page bundle, the folder's.
func (d *document) stem() string {
	_, rest, _ := cutDay(stemOf(d.path))
	return rest
}

func stemOf(name string) string {
	base := path.Base(name)
	stem := strings.TrimSuffix(base, path.Ext(base))
	if !isIndex(base) || path.Dir(name) == "." {
		return stem
	}
	folder := path.Base(path.Dir(name))
	if language := strings.TrimPrefix(stem[len("index"):], "."); language != "" {
		return folder + "-" + language
	}
	return folder
}

// aliases stores the last elements of old addresses in their original spelling: a front end sees
// that spelling in an old link. The slug of another file is never an alias, in any order of the
// files.
func (d *document) aliases(p *parsed) {
	for _, key := range []string{"aliases", "alias", "redirect_from"} {
		v, found := d.get(key)
		if !found {
			continue
		}
		for _, item := range items(v) {
			alias := lastElement(item.text)
			if alias == "" {
				d.note(noteAlias, item, item.text)
				continue
			}
			p.article.Aliases = append(p.article.Aliases, alias)
		}
	}
	seen := map[string]bool{p.article.Slug: true}
	p.article.Aliases = slices.DeleteFunc(p.article.Aliases, func(alias string) bool {
		if seen[alias] {
			return true
		}
		seen[alias] = true
		owner, taken := d.reader.wanted[alias]
		if taken && owner != d.path {
			d.note(noteAliasTaken, value{}, alias+", of "+owner)
			return true
		}
		return false
	})
}

// elsewhere reads the address that the article names as its original one. An article without text
// becomes a link to it; for one with a text it is only noted.
func (d *document) elsewhere(p *parsed) {
	for _, key := range []string{"redirectto", "redirect_to", "redirect", "source_url", "external_url", "externalurl", "canonical", "canonicalurl", "canonical_url"} {
		written, v := d.text(key)
		at, err := url.Parse(urlText(written))
		switch {
		case written == "":
		case p.article.Markdown == "" && err == nil && at.Host != "" && isAddress(urlText(written)):
			if deck, _ := d.text("deck"); d.reader.plain(deck) != p.article.Summary {
				p.article.Markdown = deck + "\n\n"
			}
			p.article.Markdown += "[Read it at " + linkText(at.Host) + "](" + urlText(written) + ")"
			d.note(noteLinkPost, v, written)
		default:
			d.note(noteCanonical, v, key+" "+written)
		}
	}
}

// lastElement returns the part of a path or URL that identifies a page: its last element, without
// index.html, an extension of a page, a query or a fragment; "" for the top of a site.
func lastElement(address string) string {
	address, _, _ = strings.Cut(address, "#")
	address, _, _ = strings.Cut(address, "?")
	if _, rest, absolute := strings.Cut(address, "://"); absolute {
		_, address, _ = strings.Cut(rest, "/") // without the host
	}
	address = strings.TrimSuffix(strings.TrimRight(address, "/"), "/index.html")
	last := path.Base("/" + address)
	for _, extension := range []string{".html", ".htm", ".md", ".markdown"} {
		last = strings.TrimSuffix(last, extension)
	}
	if decoded, err := url.PathUnescape(last); err == nil && decoded != "" {
		last = decoded
	}
	last = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return -1
		}
		return c
	}, strings.ToValidUTF8(last, ""))
	if last == "/" || last == "index" {
		return ""
	}
	return last
}
