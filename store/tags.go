package store

// Tags. Entry point: Tags.

import (
	"strconv"

	"stoa/id"
)

// Tags are the tags.
var Tags = &Kind[Tag]{
	ID: id.Tag, Name: "tag", Collection: tags,
	Size:    func(t *Tag) int64 { return int64(200 + len(t.Slug) + 2*len(t.Name) + len(t.Description)) },
	Slugs:   func(t *Tag) []string { return append([]string{t.Slug}, t.OldSlugs...) },
	Version: func(t *Tag) *int64 { return &t.Version },
	Lists:   []ListOf[Tag]{{Tag: listTag(tags), Sort: "nameKey", At: func(t *Tag) any { return t.NameKey }}},
	Keys: func(t *Tag, put func(key, place string)) {
		put(editionsKey(id.Tag), strconv.FormatInt(t.Edition().Version, 36))
		put(listTag(tags), t.Slug) // addresses depend on it
	},
	Indexes: []index{{fields: []string{"oldSlugs"}}, {fields: []string{"slug"}, unique: true}, {fields: []string{"nameKey", "_id"}}},
}
