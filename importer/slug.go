package importer

// Slugs and names from addresses and from each other. Entry points: lastElement, personName,
// topicName, topicSlug.

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"

	"stoa/edit"
)

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
