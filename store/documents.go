package store

// The documents that the database stores, with their fields, and the values derived from them.
// Entry points: Article, Author, Tag, Comment, Account, Session and their like; Now for
// their times.

import (
	"time"

	"stoa/access"
	"stoa/id"
)

// Now returns the current time as the database stores it: UTC, to the millisecond.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Status is the visibility of an article. Only a write changes it: the time of a scheduled article
// passing doesn't.
type Status string

// The statuses of articles, with the readers of each.
const (
	Draft     Status = "DRAFT"     // its owner and editors
	Scheduled Status = "SCHEDULED" // the same, until a replica publishes it after PublishedAt
	Published Status = "PUBLISHED" // everyone
	Deleted   Status = "DELETED"   // its owner and editors, in lists for restoring it
)

// purging is the status of an article that is being deleted for good: nobody sees it, and nothing
// restores it.
const purging Status = "PURGING"

// Article is an article without its text. The text is in the Revision with RevisionID. Documents
// returned by the store are shared between requests: they are never changed.
type Article struct {
	ID             id.ID     `bson:"_id"`
	Slug           string    `bson:"slug"`                 // unique among articles, those of OldSlugs included
	WantedSlug     string    `bson:"wantedSlug,omitempty"` // before a number was added because the slug was taken
	OldSlugs       []string  `bson:"oldSlugs,omitempty"`   // the article is still found under these
	Title          string    `bson:"title"`
	TitleKey       string    `bson:"titleKey"` // the sort key of titles: see SortKey
	Summary        string    `bson:"summary"`
	Lead           string    `bson:"lead"` // the first LeadWords + 1 words of the text, without markup
	ReadingMinutes int       `bson:"readingMinutes"`
	Cover          *Image    `bson:"cover,omitempty"`
	Status         Status    `bson:"status"`
	OwnerID        id.ID     `bson:"ownerId"`     // the account that made it; "" for an import
	CreatedAt      time.Time `bson:"createdAt"`   // zero if unknown
	PublishedAt    time.Time `bson:"publishedAt"` // for Scheduled: when it is due; zero before that
	UpdatedAt      time.Time `bson:"updatedAt"`   // of a published article never before PublishedAt
	DeletedAt      time.Time `bson:"deletedAt"`   // zero unless it is deleted
	AuthorIDs      []id.ID   `bson:"authorIds"`   // in the order of the byline
	TagIDs         []id.ID   `bson:"tagIds"`
	RelatedIDs     []id.ID   `bson:"relatedIds"` // the closest first: see relating.go
	RevisionID     id.ID     `bson:"revisionId"`
	Version        int64     `bson:"version"` // goes up by one with every change: for compare-and-set
	Source         string    `bson:"source"`  // the id of its file for an import; "" if it was written here
	Digest         string    `bson:"digest"`  // of the imported content
	// PreviewEpoch goes up to end all previews of the article: when it is deleted, and on demand.
	PreviewEpoch int64 `bson:"previewEpoch"`
	// UnrelatedAt is when the article joined the queue of those to be related anew, with the articles
	// near it; zero if it isn't in the queue. UnrelatedFrom are the authors and tags that it had.
	UnrelatedAt   time.Time `bson:"unrelatedAt,omitempty"`
	UnrelatedFrom []id.ID   `bson:"unrelatedFrom,omitempty"`
	// Event is the sequence number, among those of AllPublished, of the event that it became
	// public; "" if it never was public, or was before there were events.
	Event string `bson:"event,omitempty"`
}

// LeadWords is the longest excerpt of an article's text, in words. A lead has one word more, to
// show whether the excerpt was cut.
const LeadWords = 100

// Appears returns the time of a's publication, past or scheduled; nil if there is none.
func (a *Article) Appears() *time.Time { return orNil(a.PublishedAt) }

// Began returns the time of a's creation; nil if unknown.
func (a *Article) Began() *time.Time { return orNil(a.CreatedAt) }

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Revision is the title and text of an article at one of its versions, and the values derived from
// the text. It is written once and never changed, so a copy of it is right for ever. If the process
// ends before the article is changed, its revision stays: somebody wrote it.
type Revision struct {
	ID        id.ID     `bson:"_id"`
	ArticleID id.ID     `bson:"articleId"`
	Version   int64     `bson:"version"`             // of the article after this revision
	AccountID id.ID     `bson:"accountId,omitempty"` // its writer; "" for an import
	Title     string    `bson:"title"`
	Summary   string    `bson:"summary"`
	Markdown  string    `bson:"markdown"`
	HTML      string    `bson:"html"` // rendered from Markdown and sanitised
	Headings  []Heading `bson:"headings"`
	CreatedAt time.Time `bson:"createdAt"`
}

// Writer is the account that wrote r; nil for an import.
func (r *Revision) Writer() *id.ID {
	if r.AccountID == "" {
		return nil
	}
	return &r.AccountID
}

// Heading is one heading of a text.
type Heading struct {
	Level  int    `bson:"level"` // 1 to 6
	Text   string `bson:"text"`
	Anchor string `bson:"anchor"` // id of its element in the HTML
}

// Image is a picture in use: one at an address, or an uploaded one with everything that its
// addresses are made of.
type Image struct {
	URL    string `bson:"url,omitempty" json:"url,omitempty"` // "" for an uploaded one
	Alt    string `bson:"alt" json:"alt,omitempty"`
	ID     id.ID  `bson:"id,omitempty" json:"id,omitempty"` // of the Picture; for one at an address this and the following fields are empty
	Name   string `bson:"name,omitempty" json:"name,omitempty"`
	Format string `bson:"format,omitempty" json:"format,omitempty"`
	Width  int    `bson:"width,omitempty" json:"width,omitempty"`
	Height int    `bson:"height,omitempty" json:"height,omitempty"`
	Widths []int  `bson:"widths,omitempty" json:"widths,omitempty"`
}

// UploadID returns the id of the Picture; nil for one at an address.
func (i *Image) UploadID() *id.ID { return known(i.ID) }

// PixelWidth returns the width of i; nil if unknown.
func (i *Image) PixelWidth() *int { return known(i.Width) }

// PixelHeight returns the height of i; nil if unknown.
func (i *Image) PixelHeight() *int { return known(i.Height) }

// known returns v; nil for a zero v.
func known[T comparable](v T) *T {
	var nothing T
	if v == nothing {
		return nil
	}
	return &v
}

// Picture is an uploaded picture. It is written once and never changed.
type Picture struct {
	ID        id.ID     `bson:"_id"`
	Name      string    `bson:"name"`   // begins the names of its blobs: equal pictures have one name
	Format    string    `bson:"format"` // jpg or png
	Width     int       `bson:"width"`  // pixels
	Height    int       `bson:"height"`
	Widths    []int     `bson:"widths"` // the widths of its blobs, the narrowest first, Width the last
	Bytes     int64     `bson:"bytes"`  // of the widest
	Alt       string    `bson:"alt"`    // its description, unless the article that shows it has another one
	OwnerID   id.ID     `bson:"ownerId"`
	CreatedAt time.Time `bson:"createdAt"`
}

// Image returns p in the form for an article that shows it.
func (p *Picture) Image() *Image {
	return &Image{Alt: p.Alt, ID: p.ID, Name: p.Name, Format: p.Format, Width: p.Width, Height: p.Height, Widths: p.Widths}
}

// Author is the byline of one or more articles.
type Author struct {
	ID        id.ID    `bson:"_id"`
	Slug      string   `bson:"slug"`               // unique among authors, those of OldSlugs included
	OldSlugs  []string `bson:"oldSlugs,omitempty"` // the author is still found under these
	Name      string   `bson:"name"`
	NameKey   string   `bson:"nameKey"`             // the sort key of names: see SortKey
	BioHTML   string   `bson:"bioHtml"`             // rendered and sanitised
	URL       *string  `bson:"url,omitempty"`       // nil for none
	AccountID id.ID    `bson:"accountId,omitempty"` // the account of this author; "" for none
	MergedIDs []id.ID  `bson:"mergedIds,omitempty"` // authors that have become this one
	Version   int64    `bson:"version"`             // goes up by one with every change: for compare-and-set
}

// Tag is a subject of articles.
type Tag struct {
	ID          id.ID    `bson:"_id"`
	Slug        string   `bson:"slug"`               // unique among tags, those of OldSlugs included
	OldSlugs    []string `bson:"oldSlugs,omitempty"` // the tag is still found under these
	Name        string   `bson:"name"`
	NameKey     string   `bson:"nameKey"` // the sort key of names: see SortKey
	Description string   `bson:"description"`
	MergedIDs   []id.ID  `bson:"mergedIds,omitempty"` // tags that have become this one
	Version     int64    `bson:"version"`             // goes up by one with every change: for compare-and-set
}

// CommentStatus is the state of a comment.
type CommentStatus string

// The statuses of comments.
const (
	CommentVisible CommentStatus = "VISIBLE"
	CommentPending CommentStatus = "PENDING" // waits for an editor
	CommentHidden  CommentStatus = "HIDDEN"  // an editor has taken it down
	CommentSpam    CommentStatus = "SPAM"    // the same, because it is spam
	CommentDeleted CommentStatus = "DELETED" // its words and name are gone, for good
)

// Comment is a reader's comment on an article.
type Comment struct {
	ID        id.ID `bson:"_id"`
	ArticleID id.ID `bson:"articleId"`
	ParentID  id.ID `bson:"parentId,omitempty"` // the comment that it replies to, "" for the article itself
	// AncestorIDs are the comments that it is under, from the one that replies to the article down to
	// ParentID. It is also empty for replies of earlier versions: see Store.Ancestors.
	AncestorIDs  []id.ID       `bson:"ancestorIds,omitempty"`
	AccountID    id.ID         `bson:"accountId,omitempty"` // its owner; "" if no account owns it
	AuthorName   string        `bson:"authorName"`          // the account's name when it was written; "" after the account is deleted
	BodyMarkdown string        `bson:"bodyMarkdown,omitempty"`
	BodyHTML     string        `bson:"bodyHtml"` // rendered and sanitised
	CreatedAt    time.Time     `bson:"createdAt"`
	EditedAt     *time.Time    `bson:"editedAt,omitempty"` // nil if it was never edited
	Status       CommentStatus `bson:"status,omitempty"`   // "" in documents older than statuses: see State
	// Visible says that it has a place in its thread: it is VISIBLE, or it was and is now DELETED,
	// with replies.
	Visible bool  `bson:"visible"`
	Version int64 `bson:"version,omitempty"` // goes up by one with every change: for compare-and-set
	// Bare says that nothing shown is left under the place of a deleted comment, so that the place
	// isn't shown either. It is maintained in long threads only: see Store.trust.
	Bare bool `bson:"bare,omitempty"`
	// Event is the sequence number, among those of its article, of the event that it was shown; ""
	// if it never was shown, was imported, or was there before there were events.
	Event string `bson:"event,omitempty"`
}

// State is the comment's status, also if the document has none.
func (c *Comment) State() CommentStatus {
	switch {
	case c.Status != "":
		return c.Status
	case c.Visible:
		return CommentVisible
	}
	return CommentHidden
}

// IsDeleted reports whether only the comment's place is left.
func (c *Comment) IsDeleted() bool { return c.State() == CommentDeleted }

// Submission is a comment in the view of its owner and of editors, with any status.
type Submission Comment

// OwnID names the submission rather than the comment.
func (x *Submission) OwnID() id.ID { return x.ID.As(id.Submission) }

// State is the status of the comment.
func (x *Submission) State() CommentStatus { return (*Comment)(x).State() }

// Account is an account of a person who can sign in. The password's hash is in the same document,
// but neither here nor in any cache: see Secret.
type Account struct {
	ID        id.ID       `bson:"_id"`
	Email     string      `bson:"email"` // in its canonical form, unique among accounts
	Name      string      `bson:"name"`
	Role      access.Role `bson:"role"`
	Epoch     int64       `bson:"epoch"` // goes up to end all sessions: see Session
	CreatedAt time.Time   `bson:"createdAt"`
	Version   int64       `bson:"version"` // goes up by one with every change: for compare-and-set
}

// Secret is an account with its password hash.
type Secret struct {
	Account      `bson:",inline"`
	PasswordHash string `bson:"passwordHash"` // made by password.Hasher; "" if no password opens the account
}

// Session is one device that has signed in. It is valid while it isn't ended and its account exists
// with the Epoch from the beginning of the session: so one write to the account ends all sessions
// at once. The time of its last use is apart, in LastUse, so that using it makes no cache stale.
type Session struct {
	ID        id.ID     `bson:"_id"`
	AccountID id.ID     `bson:"accountId"`
	Epoch     int64     `bson:"epoch"`
	Hash      []byte    `bson:"hash"` // SHA-256 of the secret in its token
	Device    string    `bson:"device"`
	Address   string    `bson:"address"`
	CreatedAt time.Time `bson:"createdAt"`
	EndsAt    time.Time `bson:"endsAt"` // at the latest
	// Ended sessions stay in the database as long as idempotency records, so that a repeated
	// request doesn't bring one back to life.
	Ended bool `bson:"ended"`
}

// LastUse is the time of a session's last use, as of a minute ago.
type LastUse struct {
	Session id.ID     `bson:"_id"`
	At      time.Time `bson:"at"`
}

// MailCodeKind is the purpose of a mail code.
type MailCodeKind string

// The kinds of mail codes.
const (
	CodeToVerify      MailCodeKind = "VERIFY" // creates the registered account
	CodeToReset       MailCodeKind = "RESET"  // sets the account's password
	CodeToChangeEmail MailCodeKind = "EMAIL"  // changes the account's address to that of the mail
)

// MailCode is a one-time code sent by mail: its holder has read the mail.
type MailCode struct {
	Hash         string       `bson:"_id"` // SHA-256 of the code, in hex
	Kind         MailCodeKind `bson:"kind"`
	AccountID    id.ID        `bson:"accountId,omitempty"`    // "" for CodeToVerify: there is no account yet
	Epoch        int64        `bson:"epoch,omitempty"`        // the account's: a later one makes the code worthless
	Email        string       `bson:"email"`                  // its recipient
	Replaces     string       `bson:"replaces,omitempty"`     // for CodeToChangeEmail: the account's old address
	Name         string       `bson:"name,omitempty"`         // for CodeToVerify
	PasswordHash string       `bson:"passwordHash,omitempty"` // for CodeToVerify
	EndsAt       time.Time    `bson:"endsAt"`
}

// MailKind is the purpose of a mail.
type MailKind string

// The kinds of mails. The text of the first three depends on whether the address has an account.
// That is looked up only after the request has been answered.
const (
	RegisterMail   MailKind = "REGISTER"
	ResetMail      MailKind = "RESET"
	EmailMail      MailKind = "EMAIL"
	PasswordNotice MailKind = "PASSWORD_CHANGED"
	EmailNotice    MailKind = "EMAIL_CHANGED"
)

// OutgoingMail is a mail to be written and sent. A sent mail stays for a day without its content,
// so that a repeated request doesn't send it again.
type OutgoingMail struct {
	ID           id.ID     `bson:"_id"`
	Kind         MailKind  `bson:"kind"`
	To           string    `bson:"to"`
	Name         string    `bson:"name,omitempty"`
	PasswordHash string    `bson:"passwordHash,omitempty"` // for RegisterMail
	AccountID    id.ID     `bson:"accountId,omitempty"`    // its account, if known
	Epoch        int64     `bson:"epoch,omitempty"`        // for EmailMail: the account's; for PasswordNotice: the new one
	Other        string    `bson:"other,omitempty"`        // for EmailMail: the old address; for EmailNotice: the new one
	CreatedAt    time.Time `bson:"createdAt"`
	NextAt       time.Time `bson:"nextAt,omitempty"` // the time of the next attempt; zero for no more
	Attempts     int       `bson:"attempts"`
}

// Node is a document that clients can fetch by its id.
type Node interface{ NodeID() id.ID }

// NodeID returns the article's id.
func (a *Article) NodeID() id.ID { return a.ID }

// NodeID returns the author's id.
func (a *Author) NodeID() id.ID { return a.ID }

// NodeID returns the tag's id.
func (t *Tag) NodeID() id.ID { return t.ID }

// NodeID returns the revision's id.
func (r *Revision) NodeID() id.ID { return r.ID }

// NodeID returns the comment's id.
func (c *Comment) NodeID() id.ID { return c.ID }

// NodeID returns the account's id.
func (a *Account) NodeID() id.ID { return a.ID }

// NodeID returns the session's id.
func (x *Session) NodeID() id.ID { return x.ID }

// NodeID returns the picture's id. Clients don't fetch pictures by it.
func (p *Picture) NodeID() id.ID { return p.ID }
