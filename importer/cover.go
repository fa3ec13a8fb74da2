package importer

// The cover of an article. Entry point: document.cover.

import (
	"cmp"
	"html"
	"net/url"
	"path"
	"strings"

	"stoa/store"
)

// noteCover is the note about a cover, as the report shows it.
const noteCover = "cover is a bare name, neither URL nor path: left out"

// cover takes the first key with a URL or path of a picture. A bare name is a key to data that the
// other system stores elsewhere.
func (d *document) cover(p *parsed) {
	var bare value
	found := func(v value) bool {
		line := v.line
		if len(v.list) > 0 {
			v = v.list[0]
		}
		if v.fields != nil {
			v.text = firstText(v.fields, "url", "src", "image", "path", "teaser", "uid", "name")
		}
		if isAddress(v.text) {
			alt := cmp.Or(firstText(v.fields, "alt", "caption", "title"), firstText(d.fields, "cover_alt", "image_alt", "imagealt", "featured_image_alt", "banner_alt", "coveralt"))
			p.article.Cover = &store.Image{URL: v.text, Alt: oneLine(html.UnescapeString(alt))}
			return true
		}
		if bare.text == "" {
			bare = value{line: line, text: v.text}
		}
		return false
	}
	for _, key := range []string{"cover", "image", "featured_image", "featuredimage", "feature_image", "primary_image", "banner", "thumbnail", "header", "images"} {
		d.used[key] = true
		if found(d.fields[key]) {
			return
		}
	}
	extra := d.fields["extra"].fields
	if found(extra["cover"]) || found(extra["image"]) || bare.text == "" {
		return
	}
	d.note(noteCover, bare, bare.text)
}

// isAddress reports whether text can be an address: a URL of the web, or a path with a slash or an
// extension.
func isAddress(text string) bool {
	at, err := url.Parse(text)
	if err != nil || text == "" || strings.ContainsAny(text, " \t\n\"<>") {
		return false
	}
	return at.Scheme == "http" || at.Scheme == "https" || at.Scheme == "" && (strings.Contains(text, "/") || path.Ext(text) != "")
}

// isPicture reports whether an address ends as those of pictures do.
func isPicture(address string) bool {
	address, _, _ = strings.Cut(address, "#")
	address, _, _ = strings.Cut(address, "?")
	switch strings.ToLower(path.Ext(address)) {
	case ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".svg", ".avif", ".bmp", ".tif", ".tiff", ".heic":
		return isAddress(urlText(address))
	}
	return false
}
