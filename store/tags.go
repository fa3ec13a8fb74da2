package store

// Tags. Entry point: Tags.

import "stoa/id"

// Tags are the tags.
var Tags = &Kind[Tag]{
	ID: id.Tag, Name: "tag", Collection: tags,
	Size:    func(t *Tag) int64 { return int64(200 + len(t.Slug) + 2*len(t.Name) + len(t.Description)) },
	Slugs:   func(t *Tag) []string { return append([]string{t.Slug}, t.OldSlugs...) },
	Version: func(t *Tag) *int64 { return &t.Version },
	Lists:   []ListOf[Tag]{{Tag: listTag(tags), Sort: "nameKey", At: func(t *Tag) any { return t.NameKey }, Ascending: true}},
	Words:   func(t *Tag) Words { return Words{Title: t.Name, Summary: t.Description} },
	Keys: func(t *Tag, put func(key, place string)) {
		put(listTag(tags), t.Slug) // addresses depend on it
	},
}
