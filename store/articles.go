package store

// Articles and their revisions. Entry points: Articles, Revisions.

import (
	"strconv"

	"stoa/id"
)

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
		{Tag: orderTag(ByTitle), Sort: string(ByTitle), At: func(a *Article) any { return a.TitleKey }, Ascending: true},
		{Tag: orderTag(ByUpdated), Sort: string(ByUpdated), At: func(a *Article) any { return a.UpdatedAt }},
		{Name: "articles", Sort: string(ByPublished), At: publishedAt, Under: id.Author, Field: "authorIds", Parents: func(a *Article) []id.ID { return a.AuthorIDs },
			SetParents: func(a *Article, ids []id.ID) { a.AuthorIDs = ids }},
		{Name: "articles", Sort: string(ByPublished), At: publishedAt, Under: id.Tag, Field: "tagIds", Parents: func(a *Article) []id.ID { return a.TagIDs },
			SetParents: func(a *Article, ids []id.ID) { a.TagIDs = ids }},
	},
	Words: func(a *Article) Words { return Words{Title: a.Title, Summary: a.Summary, Time: a.PublishedAt} }, // Store.Texts adds the text
	Keys: func(a *Article, put func(key, place string)) {
		if a.Status == Scheduled {
			put(dueKey, placeText(a.PublishedAt))
		}
		if !a.UnrelatedAt.IsZero() {
			put(unrelatedKey, placeText(a.UnrelatedAt))
		}
		if a.Public() {
			version := strconv.FormatInt(a.Version, 36)
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
		{fields: []string{"status", "titleKey", "_id", "publishedAt"}},
		{fields: []string{"status", "-updatedAt", "-_id", "publishedAt"}},
		{fields: []string{"status", "version", "_id"}},
		{fields: []string{"tagIds", "status", "titleKey", "_id", "publishedAt"}},
		{fields: []string{"tagIds", "status", "-updatedAt", "-_id", "publishedAt"}},
		{fields: []string{"authorIds", "status", "titleKey", "_id", "publishedAt"}},
		{fields: []string{"authorIds", "status", "-updatedAt", "-_id", "publishedAt"}},
		{fields: []string{"source"}},
		{fields: []string{"status", "-deletedAt", "-_id"}},
		{fields: []string{"ownerId", "status", "-updatedAt", "-_id"}},
		{fields: []string{"ownerId", "status", "-deletedAt", "-_id"}},
		{fields: []string{"event"}, unique: true, sparse: true},
		{fields: []string{"unrelatedAt"}, sparse: true},
		{fields: []string{"relatedIds", "_id"}},
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
