package store

import (
	"time"

	"stoa/access"
	"stoa/id"
)

// Status says who may see an article. Only a write changes it: time passing doesn't.
type Status string

// The statuses there are.
const (
	Draft     Status = "DRAFT"     // its authors and editors
	Scheduled Status = "SCHEDULED" // the same, until PublishedAt has come and a replica publishes it
	Published Status = "PUBLISHED" // everyone
	Deleted   Status = "DELETED"   // its owner and editors, to restore it
)

// purging is the status of an article that is being deleted for good: nobody sees it, and
// nothing brings it back.
const purging Status = "PURGING"

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
	OwnerID        id.ID     `bson:"ownerId"`     // the account that made it; "" for an import
	CreatedAt      time.Time `bson:"createdAt"`   // zero where that isn't known
	PublishedAt    time.Time `bson:"publishedAt"` // for Scheduled: when it is due; zero before that
	UpdatedAt      time.Time `bson:"updatedAt"`   // of a published article never before PublishedAt
	DeletedAt      time.Time `bson:"deletedAt"`   // zero where it isn't deleted
	AuthorIDs      []id.ID   `bson:"authorIds"`   // in the order of the byline
	TagIDs         []id.ID   `bson:"tagIds"`
	RelatedIDs     []id.ID   `bson:"relatedIds"` // the closest first
	RevisionID     id.ID     `bson:"revisionId"`
	Version        int64     `bson:"version"` // goes up by one with every change: for compare-and-set
	Source         string    `bson:"source"`  // by which an import finds it again; "" when it was written here
	Digest         string    `bson:"digest"`  // of what was imported
	// Event is the place, among those of AllPublished, of the event that it became public;
	// "" where it never was, or was before there were events.
	Event string `bson:"event,omitempty"`
}

// LeadWords is the longest excerpt of an article's text. It carries one word more, so that
// an excerpt needs no look at the text to know whether it was cut.
const LeadWords = 100

// Appears returns when a was published, or is due; nil where neither is so.
func (a *Article) Appears() *time.Time { return orNil(a.PublishedAt) }

// Began returns when a was begun; nil where that isn't known.
func (a *Article) Began() *time.Time { return orNil(a.CreatedAt) }

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Revision is what an article said at one of its versions, and what is derived from its
// text. It is written once and never changed, so a copy of it is right for ever. One whose
// article wasn't changed in the end, because the process ended in between, stays: it is
// what somebody wrote.
type Revision struct {
	ID        id.ID     `bson:"_id"`
	ArticleID id.ID     `bson:"articleId"`
	Version   int64     `bson:"version"`             // of the article that it made
	AccountID id.ID     `bson:"accountId,omitempty"` // who wrote it; "" for an import
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

// Image is a picture as what shows it keeps it: one at an address, or one that was uploaded,
// with all that its addresses are made of.
type Image struct {
	URL    string `bson:"url,omitempty"` // "" for one that was uploaded
	Alt    string `bson:"alt"`
	ID     id.ID  `bson:"id,omitempty"` // of the Picture; "" for one at an address, and so is the rest
	Name   string `bson:"name,omitempty"`
	Format string `bson:"format,omitempty"`
	Width  int    `bson:"width,omitempty"`
	Height int    `bson:"height,omitempty"`
	Widths []int  `bson:"widths,omitempty"`
}

// UploadID returns the id of the Picture; nil for one at an address.
func (i *Image) UploadID() *id.ID { return known(i.ID) }

// PixelWidth returns how wide i is; nil where that isn't known.
func (i *Image) PixelWidth() *int { return known(i.Width) }

// PixelHeight returns how high i is; nil where that isn't known.
func (i *Image) PixelHeight() *int { return known(i.Height) }

// known returns v; nil where it says nothing.
func known[T comparable](v T) *T {
	var nothing T
	if v == nothing {
		return nil
	}
	return &v
}

// Picture is one that was uploaded. It is written once and never changed.
type Picture struct {
	ID        id.ID     `bson:"_id"`
	Name      string    `bson:"name"`   // what the names of its blobs begin with: equal pictures have one
	Format    string    `bson:"format"` // jpg or png
	Width     int       `bson:"width"`  // pixels
	Height    int       `bson:"height"`
	Widths    []int     `bson:"widths"` // that there are blobs of, the narrowest first, Width the last
	Bytes     int64     `bson:"bytes"`  // of the widest
	Alt       string    `bson:"alt"`    // what it shows, unless what shows it says otherwise
	OwnerID   id.ID     `bson:"ownerId"`
	CreatedAt time.Time `bson:"createdAt"`
}

// Image returns what is kept of p where it is shown.
func (p *Picture) Image() *Image {
	return &Image{Alt: p.Alt, ID: p.ID, Name: p.Name, Format: p.Format, Width: p.Width, Height: p.Height, Widths: p.Widths}
}

// Author is somebody who writes.
type Author struct {
	ID        id.ID    `bson:"_id"`
	Slug      string   `bson:"slug"`               // unique among authors, those of OldSlugs included
	OldSlugs  []string `bson:"oldSlugs,omitempty"` // under which it is still found
	Name      string   `bson:"name"`
	NameKey   string   `bson:"nameKey"`             // by which names are ordered: see SortKey
	BioHTML   string   `bson:"bioHtml"`             // rendered and sanitised
	URL       *string  `bson:"url,omitempty"`       // nil where there is none
	AccountID id.ID    `bson:"accountId,omitempty"` // whose page it is; "" where nobody's
	MergedIDs []id.ID  `bson:"mergedIds,omitempty"` // authors that have become this one
	Version   int64    `bson:"version"`             // goes up by one with every change: for compare-and-set
}

// Tag is what an article is about.
type Tag struct {
	ID          id.ID    `bson:"_id"`
	Slug        string   `bson:"slug"`               // unique among tags, those of OldSlugs included
	OldSlugs    []string `bson:"oldSlugs,omitempty"` // under which it is still found
	Name        string   `bson:"name"`
	NameKey     string   `bson:"nameKey"` // by which names are ordered: see SortKey
	Description string   `bson:"description"`
	MergedIDs   []id.ID  `bson:"mergedIds,omitempty"` // tags that have become this one
	Version     int64    `bson:"version"`             // goes up by one with every change: for compare-and-set
}

// CommentStatus says what has become of a comment.
type CommentStatus string

// The statuses there are.
const (
	CommentVisible CommentStatus = "VISIBLE"
	CommentPending CommentStatus = "PENDING" // waits for an editor
	CommentHidden  CommentStatus = "HIDDEN"  // an editor has taken it down
	CommentSpam    CommentStatus = "SPAM"    // the same, because it is spam
	CommentDeleted CommentStatus = "DELETED" // its words and name are gone, for good
)

// Comment is what a reader said about an article.
type Comment struct {
	ID           id.ID         `bson:"_id"`
	ArticleID    id.ID         `bson:"articleId"`
	ParentID     id.ID         `bson:"parentId,omitempty"`  // the comment it answers, "" for the article itself
	AccountID    id.ID         `bson:"accountId,omitempty"` // whose it is; "" for nobody's who has an account
	AuthorName   string        `bson:"authorName"`          // the account's when it was written; "" once that is gone
	BodyMarkdown string        `bson:"bodyMarkdown,omitempty"`
	BodyHTML     string        `bson:"bodyHtml"` // rendered and sanitised
	CreatedAt    time.Time     `bson:"createdAt"`
	EditedAt     *time.Time    `bson:"editedAt,omitempty"` // nil while it is as it was written
	Status       CommentStatus `bson:"status,omitempty"`   // "" in what is older than statuses: see State
	// Visible says whether it has a place in its thread: as VISIBLE, or as DELETED after that,
	// where others have answered it.
	Visible bool  `bson:"visible"`
	Version int64 `bson:"version,omitempty"` // goes up by one with every change: for compare-and-set
	// Event is the place, among those of its article, of the event that it was shown; "" where
	// it never was, came with many others, or was there before there were events.
	Event string `bson:"event,omitempty"`
}

// State is the comment's status, also where none was written down.
func (c *Comment) State() CommentStatus {
	switch {
	case c.Status != "":
		return c.Status
	case c.Visible:
		return CommentVisible
	}
	return CommentHidden
}

// IsDeleted says whether only the comment's place is left.
func (c *Comment) IsDeleted() bool { return c.State() == CommentDeleted }

// Submission is a comment as its owner and editors see it, whatever its status.
type Submission Comment

// OwnID names the submission rather than the comment.
func (x *Submission) OwnID() id.ID { return x.ID.As(id.Submission) }

// State is the status of the comment.
func (x *Submission) State() CommentStatus { return (*Comment)(x).State() }

// Account is somebody who can sign in. The password's hash is beside it in the same
// document, but neither here nor in any cache: see Secret.
type Account struct {
	ID        id.ID       `bson:"_id"`
	Email     string      `bson:"email"` // in its canonical form, unique among accounts
	Name      string      `bson:"name"`
	Role      access.Role `bson:"role"`
	Epoch     int64       `bson:"epoch"` // goes up to end every session there is: see Session
	CreatedAt time.Time   `bson:"createdAt"`
	Version   int64       `bson:"version"` // goes up by one with every change: for compare-and-set
}

// Secret is what an account is recognised by.
type Secret struct {
	Account      `bson:",inline"`
	PasswordHash string `bson:"passwordHash"` // as password.Hasher makes it; "" where no password opens the account
}

// Session is one device that has signed in. It stands while it isn't ended, its account is
// there and has the Epoch that it had when the session began: so one write to the account
// ends all of them at once. When it was used last is apart, in LastUse, so that using it
// makes no cache stale.
type Session struct {
	ID        id.ID     `bson:"_id"`
	AccountID id.ID     `bson:"accountId"`
	Epoch     int64     `bson:"epoch"`
	Hash      []byte    `bson:"hash"` // SHA-256 of the secret in its token
	Device    string    `bson:"device"`
	Address   string    `bson:"address"`
	CreatedAt time.Time `bson:"createdAt"`
	EndsAt    time.Time `bson:"endsAt"` // at the latest
	// Ended ones stay in the database for as long as an idempotency key is remembered, so
	// that what is made again under the same key doesn't come back to life.
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
	CodeToVerify      MailCodeKind = "VERIFY" // makes the account that was registered
	CodeToReset       MailCodeKind = "RESET"  // sets the account's password
	CodeToChangeEmail MailCodeKind = "EMAIL"  // gives the account the address that the code was sent to
)

// MailCode is a one-time code sent by mail: its holder has read the mail.
type MailCode struct {
	Hash         string       `bson:"_id"` // SHA-256 of the code, in hex
	Kind         MailCodeKind `bson:"kind"`
	AccountID    id.ID        `bson:"accountId,omitempty"`    // for CodeToVerify: "", there is none yet
	Epoch        int64        `bson:"epoch,omitempty"`        // the account's: a later one makes the code worthless
	Email        string       `bson:"email"`                  // that it was sent to
	Replaces     string       `bson:"replaces,omitempty"`     // for CodeToChangeEmail: the account's address so far
	Name         string       `bson:"name,omitempty"`         // for CodeToVerify
	PasswordHash string       `bson:"passwordHash,omitempty"` // for CodeToVerify
	EndsAt       time.Time    `bson:"endsAt"`
}

// MailKind says what a mail is about.
type MailKind string

// The kinds of mails. What the first three say depends on whether the address has an
// account, which nobody looks up before the one who asked has been answered.
const (
	RegisterMail   MailKind = "REGISTER"
	ResetMail      MailKind = "RESET"
	EmailMail      MailKind = "EMAIL"
	PasswordNotice MailKind = "PASSWORD_CHANGED"
	EmailNotice    MailKind = "EMAIL_CHANGED"
)

// OutgoingMail is a mail that is to be written and sent. Once it was sent it stays for a day
// without what was in it, so that repeating what asked for it doesn't send it again.
type OutgoingMail struct {
	ID           id.ID     `bson:"_id"`
	Kind         MailKind  `bson:"kind"`
	To           string    `bson:"to"`
	Name         string    `bson:"name,omitempty"`
	PasswordHash string    `bson:"passwordHash,omitempty"` // for RegisterMail
	AccountID    id.ID     `bson:"accountId,omitempty"`    // whose it is, where that is known
	Epoch        int64     `bson:"epoch,omitempty"`        // for EmailMail: the account's; for PasswordNotice: the one it gets
	Other        string    `bson:"other,omitempty"`        // for EmailMail: the address so far; for EmailNotice: the new one
	CreatedAt    time.Time `bson:"createdAt"`
	NextAt       time.Time `bson:"nextAt,omitempty"` // when to try to send it; zero once that is over
	Attempts     int       `bson:"attempts"`
}

// Node is a document that has an id of its own and can be fetched by it.
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
