package store

// Authors. Entry point: Authors.

import "stoa/id"

// Authors are the authors' pages.
var Authors = &Kind[Author]{
	ID: id.Author, Name: "author", Collection: authors,
	Size:    func(a *Author) int64 { return int64(200 + len(a.Slug) + 2*len(a.Name) + len(a.BioHTML)) },
	Slugs:   func(a *Author) []string { return append([]string{a.Slug}, a.OldSlugs...) },
	Version: func(a *Author) *int64 { return &a.Version },
	Lists:   []ListOf[Author]{{Tag: listTag(authors), Sort: "nameKey", At: func(a *Author) any { return a.NameKey }, Ascending: true}},
	Words:   func(a *Author) Words { return Words{Title: a.Name, Body: a.BioHTML} },
	Keys: func(a *Author, put func(key, place string)) {
		put(listTag(authors), a.Slug) // addresses depend on it
	},
	Indexes: []index{{fields: []string{"accountId"}}},
}
