// Package demo holds the articles that an empty embedded database is filled with at its
// first start, so that the playground has something to show: a small magazine about making
// and selling things. The people in it are invented; what it says of the world is true.
//
// It is data and imports embed only. What loads it is the importer.
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
//     is an author's is that author.
//
//go:embed articles/*.md authors.yaml tags.yaml comments.yaml
var FS embed.FS
