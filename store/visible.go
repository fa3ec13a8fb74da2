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

// Public says whether c has a place in its thread. Everyone may see it who may see its
// article, unless what it answers isn't shown: see Order.Shows.
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
	return append(in("accountId", owners), bson.E{Key: "ended", Value: false})
}

// StandsFor says whether x opens a at now: see Session.
func (x *Session) StandsFor(a *Account, now time.Time) bool {
	return !x.Ended && x.AccountID == a.ID && x.Epoch == a.Epoch && now.Before(x.EndsAt)
}
