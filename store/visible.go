package store

// Visibility: each rule is a predicate, for documents read by id, and a filter, for lists.
// TestPredicatesAndFiltersAgree compares the two. Entry points: Public, VisibleTo, EditableBy.

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
)

// Public reports whether everyone may see a.
func (a *Article) Public() bool { return a.Status == Published }

func publicArticles() bson.D { return bson.D{{Key: "status", Value: Published}} }

// VisibleTo reports whether v may see a: everyone sees published articles, its owner and editors
// the others. Nobody sees a deleted article, except in lists of its own: see EditableBy.
func (a *Article) VisibleTo(v access.Viewer) bool {
	return a.Public() || a.EditableBy(v) && a.Status != Deleted
}

// EditableBy reports whether v may work on a, also before its publication and after its deletion:
// its owner may, while the owner is an author, and every editor.
func (a *Article) EditableBy(v access.Viewer) bool {
	switch a.Status {
	case Draft, Scheduled, Published, Deleted:
		return v.May(access.Editor) || v.May(access.Author) && v.Is(a.OwnerID)
	}
	return false
}

// deskOf is the filter of articles in statuses that v may work on; ok is false if there can be
// none.
func deskOf(v access.Viewer, statuses []Status, own bool) (filter bson.D, ok bool) {
	switch {
	case !own && v.May(access.Editor):
		return in("status", statuses), true
	case own && v.May(access.Author):
		return append(bson.D{{Key: "ownerId", Value: v.Account}}, in("status", statuses)...), true
	}
	return bson.D{}, false
}

// Public reports whether c has a place in its thread. Readers of its article may see it, unless the
// comment that it replies to is hidden: see Children.Shows.
func (c *Comment) Public() bool { return c.Visible }

func publicComments() bson.D { return bson.D{{Key: "visible", Value: true}} }

// listedComments selects the comments that are in the list of their parent, in a long thread.
func listedComments() bson.D { return append(publicComments(), bson.E{Key: "bare", Value: nil}) }

// VisibleTo reports whether v may see x, with any status: the owner and editors.
func (x *Submission) VisibleTo(v access.Viewer) bool {
	return v.Is(x.AccountID) || v.May(access.Editor)
}

// submissionsOf is the filter of an account's comments; for no account it is "", and no document
// has that.
func submissionsOf(account id.ID) bson.D { return bson.D{{Key: "accountId", Value: account}} }

// VisibleTo reports whether v may see a: the owner and administrators.
func (a *Account) VisibleTo(v access.Viewer) bool { return v.Is(a.ID) || v.May(access.Admin) }

func accountsVisibleTo(v access.Viewer) bson.D {
	if v.May(access.Admin) {
		return bson.D{}
	}
	return bson.D{{Key: "_id", Value: v.Account}} // for no account it is "", and no document has that
}

// VisibleTo reports whether v may see x: only the owner, and only while it isn't ended.
func (x *Session) VisibleTo(v access.Viewer) bool { return v.Is(x.AccountID) && !x.Ended }

// sessionsOf is the filter of the sessions of owners that aren't ended.
func sessionsOf[T ~string](owners []T) bson.D {
	return append(in("accountId", owners), openSessions()...)
}

func openSessions() bson.D { return bson.D{{Key: "ended", Value: false}} }

// VisibleTo reports whether v may see p by itself, and use it: the owner and editors. The addresses
// of its blobs are no secret from readers of an article with the picture.
func (p *Picture) VisibleTo(v access.Viewer) bool { return v.Is(p.OwnerID) || v.May(access.Editor) }

// StandsFor reports whether x opens a at now: see Session.
func (x *Session) StandsFor(a *Account, now time.Time) bool {
	return !x.Ended && x.AccountID == a.ID && x.Epoch == a.Epoch && now.Before(x.EndsAt)
}
