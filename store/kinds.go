package store

// The declarations of all kinds of documents, with their lists and indexes. Entry points: kinds,
// Articles, Authors, Tags, Comments and their like.

import (
	"strconv"

	"stoa/id"
)

// kinds returns every kind. A kind that isn't here has no table, no indexes and no lists.
func kinds() []declared {
	return []declared{Articles, Revisions, Authors, Tags, Comments, Accounts, Sessions, Pictures}
}

// Articles are the articles.
var Articles = &Kind[Article]{
	ID: id.Article, Name: "article", Collection: articles,
	Size: func(a *Article) int64 {
		return int64(600 + len(a.Slug) + 2*len(a.Title) + len(a.Summary) + len(a.Lead) + 45*(len(a.AuthorIDs)+len(a.TagIDs)+len(a.RelatedIDs)))
	},
	Public:    Visible[Article]{(*Article).Public, publicArticles()},
	VisibleTo: (*Article).VisibleTo,
	Slugs:     func(a *Article) []string { return append([]string{a.Slug}, a.OldSlugs...) },
	Version:   func(a *Article) *int64 { return &a.Version },
	Lists: []ListOf[Article]{
		{Tag: listTag(AllArticles), Sort: string(ByPublished), At: publishedAt},
		{Tag: orderTag(ByTitle), Sort: string(ByTitle), At: func(a *Article) any { return a.TitleKey }},
		{Tag: orderTag(ByUpdated), Sort: string(ByUpdated), At: func(a *Article) any { return a.UpdatedAt }},
		{Name: "articles", Sort: string(ByPublished), At: publishedAt, Under: id.Author, Field: "authorIds", Parents: func(a *Article) []id.ID { return a.AuthorIDs },
			SetParents: func(a *Article, ids []id.ID) { a.AuthorIDs = ids }},
		{Name: "articles", Sort: string(ByPublished), At: publishedAt, Under: id.Tag, Field: "tagIds", Parents: func(a *Article) []id.ID { return a.TagIDs },
			SetParents: func(a *Article, ids []id.ID) { a.TagIDs = ids }},
	},
	Keys: func(a *Article, put func(key, place string)) {
		if a.Status == Scheduled {
			put(dueKey, placeText(a.PublishedAt))
		}
		if a.Public() {
			version := strconv.FormatInt(a.Version, 36)
			put(editionsKey(id.Article), version)
			put(addressesTag, version)
			put(AllPublished.key(), "")
		} else if a.Status != purging {
			at := string(a.Status) + placeText(a.UpdatedAt) + " " + placeText(a.DeletedAt)
			put(queueTag, string(a.OwnerID)+at)
			put(draftsTag(a.OwnerID), at)
		}
	},
	// The indexes by title and by change end with publishedAt. So a list with a bound on it skips
	// other articles by their index keys, without reading the documents.
	Indexes: []index{
		{fields: []string{"slug"}, unique: true},
		{fields: []string{"oldSlugs"}},
		{fields: []string{"status", "-publishedAt", "-_id"}},
		{fields: []string{"status", "titleKey", "_id", "publishedAt"}},
		{fields: []string{"status", "-updatedAt", "-_id", "publishedAt"}},
		{fields: []string{"status", "version", "_id"}},
		{fields: []string{"tagIds", "status", "-publishedAt", "-_id"}},
		{fields: []string{"tagIds", "status", "titleKey", "_id", "publishedAt"}},
		{fields: []string{"tagIds", "status", "-updatedAt", "-_id", "publishedAt"}},
		{fields: []string{"authorIds", "status", "-publishedAt", "-_id"}},
		{fields: []string{"authorIds", "status", "titleKey", "_id", "publishedAt"}},
		{fields: []string{"authorIds", "status", "-updatedAt", "-_id", "publishedAt"}},
		{fields: []string{"source"}},
		{fields: []string{"status", "-deletedAt", "-_id"}},
		{fields: []string{"ownerId", "status", "-updatedAt", "-_id"}},
		{fields: []string{"ownerId", "status", "-deletedAt", "-_id"}},
		{fields: []string{"event"}, unique: true, sparse: true},
	},
}

func publishedAt(a *Article) any { return a.PublishedAt }

// Revisions are the texts of articles.
var Revisions = &Kind[Revision]{
	ID: id.Revision, Name: "revision", Collection: revisions,
	Size:    func(r *Revision) int64 { return int64(200 + len(r.Markdown) + len(r.HTML) + 100*len(r.Headings)) },
	ReadFor: revisionsFor,
	Indexes: []index{{fields: []string{"articleId", "createdAt", "_id"}}, {fields: []string{"articleId", "-version", "-_id"}}},
}

// Authors are the authors' pages.
var Authors = &Kind[Author]{
	ID: id.Author, Name: "author", Collection: authors,
	Size:    func(a *Author) int64 { return int64(200 + len(a.Slug) + 2*len(a.Name) + len(a.BioHTML)) },
	Slugs:   func(a *Author) []string { return append([]string{a.Slug}, a.OldSlugs...) },
	Version: func(a *Author) *int64 { return &a.Version },
	Lists:   []ListOf[Author]{{Tag: listTag(authors), Sort: "nameKey", At: func(a *Author) any { return a.NameKey }}},
	Keys: func(a *Author, put func(key, place string)) {
		put(editionsKey(id.Author), strconv.FormatInt(a.Edition().Version, 36))
		put(listTag(authors), a.Slug) // addresses depend on it
	},
	Indexes: []index{{fields: []string{"oldSlugs"}}, {fields: []string{"accountId"}}, {fields: []string{"slug"}, unique: true}, {fields: []string{"nameKey", "_id"}}},
}

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

// Comments are the readers' comments on articles.
var Comments = &Kind[Comment]{
	ID: id.Comment, Name: "comment", Collection: comments,
	Size:   func(c *Comment) int64 { return int64(400 + len(c.AuthorName) + len(c.BodyHTML) + len(c.BodyMarkdown)) },
	Public: Visible[Comment]{(*Comment).Public, publicComments()},
	Indexes: []index{
		{fields: []string{"articleId", "visible", "createdAt", "_id", "parentId", "status"}},
		{fields: []string{"articleId", "parentId", "visible", "bare", "createdAt", "_id"}},
		{fields: []string{"parentId", "visible", "bare", "createdAt", "_id"}},
		{fields: []string{"status", "-createdAt", "-_id"}},
		{fields: []string{"accountId", "-createdAt", "-_id"}},
		{fields: []string{"event"}, unique: true, sparse: true},
	},
}

// Accounts are the accounts. How they are written is in accounts.go.
var Accounts = &Kind[Account]{
	ID: id.Account, Name: "account", Collection: accounts, Private: true,
	Size:    func(a *Account) int64 { return int64(250 + len(a.Email) + len(a.Name)) },
	ReadFor: accountsFor,
	Indexes: []index{{fields: []string{"email"}, unique: true}, {fields: []string{"createdAt", "_id"}}, {fields: []string{"role", "createdAt", "_id"}}},
}

// Sessions are the devices that have signed in.
var Sessions = &Kind[Session]{
	ID: id.Session, Name: "session", Collection: sessions, Private: true,
	Size:    func(x *Session) int64 { return int64(300 + len(x.Device) + len(x.Address)) },
	ReadFor: sessionsFor,
	Indexes: []index{{fields: []string{"accountId", "ended", "createdAt", "_id"}}, {fields: []string{"endsAt"}}, {fields: []string{"ended", "createdAt"}}},
}

// Pictures are the uploaded pictures. They have no node(id:).
var Pictures = &Kind[Picture]{
	ID: id.Image, Name: "picture", Collection: pictures, Private: true,
	Size:      func(p *Picture) int64 { return int64(400 + len(p.Alt) + 8*len(p.Widths)) },
	VisibleTo: (*Picture).VisibleTo,
}
