// Package demo holds the articles of a new embedded database, so that the playground shows
// something at the first start: a small magazine about making and selling things. Its people are
// invented; its statements about the world are true.
//
// It is data and imports embed only. The importer loads it.
package demo

import "embed"

// FS has the content, by these paths:
//
//   - articles/*.md: Markdown after YAML front matter (title, slug, date, lastmod, draft,
//     summary, authors, tags, aliases); dates are RFC 3339 in UTC; authors and tags are
//     slugs of the next two files; a file is named after its slug;
//   - authors.yaml: a list of slug, name and bio, which is Markdown;
//   - tags.yaml: a list of slug, name and description, which is plain text;
//   - comments.yaml: a list of article (a slug) and its comments, each with name, date,
//     body in Markdown and replies of the same form, three levels deep at most. A name that
//     is an author's is that author;
//   - products.yaml: a list of products with their variants; its first lines describe the fields.
//
//go:embed articles/*.md authors.yaml tags.yaml comments.yaml products.yaml
var FS embed.FS
