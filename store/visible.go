package store

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
)

// Who may see what, each rule twice: as a predicate, which what was read by id is held
// against, and as a filter, which lists are read by. TestPredicatesAndFiltersAgree holds
// the two together.

// Public says whether everyone may see a.
func (a *Article) Public() bool { return a.Status == Published }

func publicArticles() bson.D { return bson.D{{Key: "status", Value: Published}} }

// VisibleTo says whether v may see a: everyone what is published, its owner and editors the
// rest. What is deleted is seen by nobody, but found in lists of its own: see EditableBy.
func (a *Article) VisibleTo(v access.Viewer) bool {
	return a.Public() || a.EditableBy(v) && a.Status != Deleted
}

// EditableBy says whether a is v's business before it is published and after it was
// deleted: its owner's, while that is an author, and every editor's.
func (a *Article) EditableBy(v access.Viewer) bool {
	switch a.Status {
	case Draft, Scheduled, Published, Deleted:
		return v.May(access.Editor) || v.May(access.Author) && v.Is(a.OwnerID)
	}
	return false
}

// deskOf is which articles in statuses are v's business; ok is false where none can be.
func deskOf(v access.Viewer, statuses []Status, own bool) (filter bson.D, ok bool) {
	switch {
	case !own && v.May(access.Editor):
		return in("status", statuses), true
	case own && v.May(access.Author):
		return append(bson.D{{Key: "ownerId", Value: v.Account}}, in("status", statuses)...), true
	}
	return bson.D{}, false
}

// Public says whether c has a place in its thread. Everyone may see it who may see its
// article, unless what it answers isn't shown: see Children.Shows.
func (c *Comment) Public() bool { return c.Visible }

func publicComments() bson.D { return bson.D{{Key: "visible", Value: true}} }

// VisibleTo says whether v may see x, whatever its status: the owner and editors.
func (x *Submission) VisibleTo(v access.Viewer) bool {
	return v.Is(x.AccountID) || v.May(access.Editor)
}

// submissionsOf is what an account has written: nobody's is "", which no document has.
func submissionsOf(account id.ID) bson.D { return bson.D{{Key: "accountId", Value: account}} }

// VisibleTo says whether v may see a: the owner and administrators.
func (a *Account) VisibleTo(v access.Viewer) bool { return v.Is(a.ID) || v.May(access.Admin) }

func accountsVisibleTo(v access.Viewer) bson.D {
	if v.May(access.Admin) {
		return bson.D{}
	}
	return bson.D{{Key: "_id", Value: v.Account}} // nobody's is "", which names none
}

// VisibleTo says whether v may see x: only the owner, and only while it isn't ended.
func (x *Session) VisibleTo(v access.Viewer) bool { return v.Is(x.AccountID) && !x.Ended }

// sessionsOf is what each of the owners may see, under its own account.
func sessionsOf[T ~string](owners []T) bson.D {
	return append(in("accountId", owners), openSessions()...)
}

func openSessions() bson.D { return bson.D{{Key: "ended", Value: false}} }

// VisibleTo says whether v may see p apart from what shows it, and show it: the owner and
// editors. Where its blobs are isn't a secret to who sees it shown.
func (p *Picture) VisibleTo(v access.Viewer) bool { return v.Is(p.OwnerID) || v.May(access.Editor) }

// StandsFor says whether x opens a at now: see Session.
func (x *Session) StandsFor(a *Account, now time.Time) bool {
	return !x.Ended && x.AccountID == a.ID && x.Epoch == a.Epoch && now.Before(x.EndsAt)
}
