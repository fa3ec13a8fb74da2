package importer

// Links between the posts of a folder. Entry points: links.add, links.find, converter.resolve.

import (
	"path"
	"slices"
	"strings"

	"stoa/edit"
)

// links knows the posts of the folder by the names that other posts use in links.
type links struct {
	name  string
	posts map[string][]linked // by stem
}

type linked struct {
	path []string // elements, without extension, index.md or the identity of the folder
	slug string
}

func (l *links) add(name, slug string) {
	elements := pathElements(name)
	if len(elements) == 0 {
		return
	}
	last := elements[len(elements)-1]
	l.posts[last] = append(l.posts[last], linked{path: elements, slug: slug})
}

// find returns the slug of the post that target names: a file name, or a path. The shorter one of
// the path and the post's path must be the end of the other one.
func (l *links) find(target string) (string, bool) {
	elements := pathElements(target)
	if len(elements) == 0 {
		return "", false
	}
	identity := strings.Split(l.name, "/")
	for _, post := range l.posts[elements[len(elements)-1]] {
		whole := append(slices.Clone(identity), post.path...)
		if endsWith(whole, elements) || endsWith(elements, whole) || len(post.path) > 1 && endsWith(elements, post.path) {
			return post.slug, true
		}
	}
	return "", false
}

// pathElements splits a path to a page, without its extension and without index.
func pathElements(name string) []string {
	name = strings.Trim(name, "/")
	extension := path.Ext(name)
	if strings.EqualFold(extension, ".md") || strings.EqualFold(extension, ".markdown") {
		name = strings.TrimSuffix(name, extension)
	}
	elements := strings.FieldsFunc(name, func(c rune) bool { return c == '/' })
	if n := len(elements); n > 0 && (elements[n-1] == "index" || elements[n-1] == "_index") {
		elements = elements[:n-1]
	}
	return elements
}

func endsWith(elements, end []string) bool {
	return len(elements) >= len(end) && slices.Equal(elements[len(elements)-len(end):], end)
}

// resolve returns the address of the page that target names. A post of this folder has its slug
// alone for an address, so that the link works if the front end serves all articles from one path.
// The same holds for a post known only by a name with a day. Every other page keeps its path.
func (c *converter) resolve(target string, line int) string {
	target, fragment, anchored := strings.Cut(target, "#")
	if anchored {
		fragment = "#" + fragment
	}
	if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "//") {
		return urlText(target + fragment)
	}
	if slug, found := c.links.find(target); found {
		return slug + urlText(fragment)
	}
	c.notes = append(c.notes, note{line: line, rule: noteOutside, detail: target})
	elements := pathElements(target)
	if len(elements) > 0 {
		if _, rest, dated := cutDay(elements[len(elements)-1]); dated && edit.Slug(rest) != "" {
			return edit.Slug(rest) + urlText(fragment)
		}
	}
	return urlText("/" + strings.Join(elements, "/") + fragment)
}
