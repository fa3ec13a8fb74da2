package importer

// Authors and tags, from front matter that names them in many ways. Entry points: document.names,
// topicSlug.

import (
	"html"
	"regexp"
	"slices"
	"strings"

	"stoa/blog"
	"stoa/edit"
)

// The notes about authors and tags.
const (
	noteNoAuthor   = "no author"
	noteNameHashed = "an author or a tag has no letter that a slug can hold: its slug is a hash of the name"
	noteSplitNames = "one entry names several authors: taken apart"
)

// names collects authors and tags.
func (d *document) names(p *parsed) {
	if v, found := d.get("authors", "author"); found {
		p.article.Authors = d.authors(v)
	} else if v := d.fields["extra"].fields["authors"]; !v.empty() {
		p.article.Authors = d.authors(v)
	} else if v := d.fields["extra"].fields["author"]; !v.empty() {
		p.article.Authors = d.authors(v)
	}
	if len(p.article.Authors) == 0 {
		d.note(noteNoAuthor, value{}, "")
	}
	for _, key := range []string{"tags", "tag", "topics", "categories", "category"} {
		d.used[key] = true
		d.used["taxonomies"] = true
		for _, v := range []value{d.fields[key], d.fields["taxonomies"].fields[key]} {
			for _, name := range d.topics(v) {
				p.article.Tags = d.addName(p.article.Tags, "tag", topicSlug(name), topicName(name))
			}
		}
	}
}

// authors takes names, or maps with a name and perhaps a slug.
func (d *document) authors(v value) []blog.ImportName {
	var authors []blog.ImportName
	for _, item := range items(v) {
		if item.fields != nil {
			name := firstText(item.fields, "name", "display_name", "title", "slug", "username", "id")
			slug := firstText(item.fields, "slug", "username", "id", "name", "display_name", "title")
			authors = d.addName(authors, "author", edit.Slug(slug), personName(html.UnescapeString(name)))
			continue
		}
		people := splitPeople(html.UnescapeString(item.text))
		if len(people) > 1 {
			d.note(noteSplitNames, v, item.text)
		}
		for _, name := range people {
			authors = d.addName(authors, "author", edit.Slug(name), personName(name))
		}
	}
	return authors
}

// topics takes a list, or one text with commas; of Jekyll's, one with spaces.
func (d *document) topics(v value) []string {
	var names []string
	for _, item := range items(v) {
		written := html.UnescapeString(item.text)
		switch {
		case item.fields != nil:
			names = append(names, firstText(item.fields, "name", "title", "slug"))
		case v.list == nil && strings.Contains(written, ","):
			names = append(names, strings.Split(written, ",")...)
		case v.list == nil && d.jekyll():
			names = append(names, strings.Fields(written)...)
		default:
			names = append(names, written)
		}
	}
	for i := range names {
		names[i] = oneLine(names[i])
	}
	return names
}

// addName adds a name, except a placeholder for nobody, and except one with a slug that is there
// already.
func (d *document) addName(names []blog.ImportName, kind, slug, name string) []blog.ImportName {
	if name == "" {
		return names
	}
	if slug == "" {
		slug = hashed(kind, strings.ToLower(name))
		d.note(noteNameHashed, value{}, name+" → "+slug)
	}
	if slices.ContainsFunc(names, func(n blog.ImportName) bool { return n.Slug == slug }) {
		return names
	}
	return append(names, blog.ImportName{Slug: slug, Name: name})
}

var (
	betweenPeople = regexp.MustCompile(`\s*[,;]\s*(?:and\s+)?|\s+(?:and|&)\s+`)
	afterName     = regexp.MustCompile(`(?i)^(jr|sr|ii|iii|iv|ph\.?d|m\.?d|esq)\.?$`)
	mailAddress   = regexp.MustCompile(`\s*<[^>]*>`)
)

// splitPeople separates the names in "Ada Lovelace, Charles Babbage Jr., and Mary Somerville".
func splitPeople(text string) []string {
	var people []string
	for _, name := range betweenPeople.Split(mailAddress.ReplaceAllString(text, ""), -1) {
		name = oneLine(name)
		switch {
		case name == "":
		case len(people) > 0 && afterName.MatchString(name):
			people[len(people)-1] += ", " + name
		default:
			people = append(people, name)
		}
	}
	return people
}

// personName returns the display name of an author. Blogs name authors by slug as often as by name:
// ada-lovelace becomes Ada Lovelace, but jeremyzilar stays, since nothing marks the beginnings of
// its words. A text with a capital or a space is a name already.
func personName(text string) string {
	text = strings.TrimPrefix(text, "@")
	if !dashed.MatchString(text) {
		return text
	}
	words := strings.FieldsFunc(text, isDash)
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, " ")
}

// topicName returns the display name of a tag: open-data becomes open data. Lower case stays,
// because a slug doesn't tell the capitals of ux, nasa or github.
func topicName(text string) string {
	if !dashed.MatchString(text) {
		return text
	}
	return strings.Join(strings.FieldsFunc(text, isDash), " ")
}

// topicSlug is edit.Slug, but tells C, C++ and C# apart, and .NET from net.
func topicSlug(name string) string {
	trimmed := strings.TrimRight(name, "+#")
	signs := name[len(trimmed):]
	if rest, dotted := strings.CutPrefix(trimmed, "."); dotted {
		trimmed = "dot " + rest
	}
	if edit.Slug(trimmed) == "" {
		return edit.Slug(name)
	}
	return edit.Slug(trimmed + strings.NewReplacer("+", " plus", "#", " sharp").Replace(signs))
}

var dashed = regexp.MustCompile(`^[a-z0-9]+([-_][a-z0-9]+)+$`)

func isDash(c rune) bool { return c == '-' || c == '_' }
