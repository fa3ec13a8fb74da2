package store

import (
	"time"

	"stoa/id"
)

// Status says who may see an article. Only a write changes it: time passing doesn't.
type Status string

// The statuses there are.
const (
	Draft     Status = "DRAFT"     // its authors and editors
	Scheduled Status = "SCHEDULED" // the same, until PublishedAt has come and a replica publishes it
	Published Status = "PUBLISHED" // everyone
)

// Article is one piece of writing without its text, which is in the Revision it names.
// Documents out of the store are shared between requests: they are never changed.
type Article struct {
	ID             id.ID     `bson:"_id"`
	Slug           string    `bson:"slug"`                 // unique among articles, those of OldSlugs included
	WantedSlug     string    `bson:"wantedSlug,omitempty"` // before it was given a number because that was taken
	OldSlugs       []string  `bson:"oldSlugs,omitempty"`   // under which it is still found
	Title          string    `bson:"title"`
	TitleKey       string    `bson:"titleKey"` // by which titles are ordered: see SortKey
	Summary        string    `bson:"summary"`
	Lead           string    `bson:"lead"` // the first LeadWords + 1 words of the text, without markup
	ReadingMinutes int       `bson:"readingMinutes"`
	Cover          *Image    `bson:"cover,omitempty"`
	Status         Status    `bson:"status"`
	PublishedAt    time.Time `bson:"publishedAt"` // for Scheduled: when it is due
	UpdatedAt      time.Time `bson:"updatedAt"`   // never before PublishedAt
	AuthorIDs      []id.ID   `bson:"authorIds"`   // in the order of the byline
	TagIDs         []id.ID   `bson:"tagIds"`
	RelatedIDs     []id.ID   `bson:"relatedIds"` // the closest first
	RevisionID     id.ID     `bson:"revisionId"`
	Version        int64     `bson:"version"` // goes up by one with every change: for compare-and-set
	Source         string    `bson:"source"`  // by which an import finds it again; "" when it was written here
	Digest         string    `bson:"digest"`  // of what was imported
}

// LeadWords is the longest excerpt of an article's text. It carries one word more, so that
// an excerpt needs no look at the text to know whether it was cut.
const LeadWords = 100

// Revision is one version of an article's text and what is derived from it. It is
// written once and never changed, so a copy of it is right for ever.
type Revision struct {
	ID        id.ID     `bson:"_id"`
	ArticleID id.ID     `bson:"articleId"`
	Markdown  string    `bson:"markdown"`
	HTML      string    `bson:"html"` // rendered from Markdown and sanitised
	Headings  []Heading `bson:"headings"`
	CreatedAt time.Time `bson:"createdAt"`
}

// Heading is one heading of a text.
type Heading struct {
	Level  int    `bson:"level"` // 1 to 6
	Text   string `bson:"text"`
	Anchor string `bson:"anchor"` // id of its element in the HTML
}

// Image is a picture.
type Image struct {
	URL string `bson:"url"`
	Alt string `bson:"alt"`
}

// Author is somebody who writes.
type Author struct {
	ID      id.ID   `bson:"_id"`
	Slug    string  `bson:"slug"`
	Name    string  `bson:"name"`
	NameKey string  `bson:"nameKey"`       // by which names are ordered: see SortKey
	BioHTML string  `bson:"bioHtml"`       // rendered and sanitised
	URL     *string `bson:"url,omitempty"` // nil where there is none
}

// Tag is what an article is about.
type Tag struct {
	ID          id.ID  `bson:"_id"`
	Slug        string `bson:"slug"`
	Name        string `bson:"name"`
	NameKey     string `bson:"nameKey"` // by which names are ordered: see SortKey
	Description string `bson:"description"`
}

// Comment is what a reader said about an article.
type Comment struct {
	ID         id.ID     `bson:"_id"`
	ArticleID  id.ID     `bson:"articleId"`
	ParentID   id.ID     `bson:"parentId,omitempty"` // the comment it answers, "" for the article itself
	AuthorName string    `bson:"authorName"`
	BodyHTML   string    `bson:"bodyHtml"` // rendered and sanitised
	CreatedAt  time.Time `bson:"createdAt"`
	Visible    bool      `bson:"visible"`
}

// Node is a document that has an id of its own and can be fetched by it.
type Node interface{ NodeID() id.ID }

// NodeID returns the article's id.
func (a *Article) NodeID() id.ID { return a.ID }

// NodeID returns the author's id.
func (a *Author) NodeID() id.ID { return a.ID }

// NodeID returns the tag's id.
func (t *Tag) NodeID() id.ID { return t.ID }

// NodeID returns the comment's id.
func (c *Comment) NodeID() id.ID { return c.ID }
