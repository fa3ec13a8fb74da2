package store

// Predicates and filters of visibility, compared for every kind of viewer.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"stoa/access"
	"stoa/id"
)

// The filter of a list and the predicate for a document read by its id are written apart, so they
// are compared here: for every kind of viewer, over a document of each kind and over generated
// ones, a filter finds exactly the documents that its predicate accepts.
func TestPredicatesAndFiltersAgree(t *testing.T) {
	s := openStore(t, nil)
	people := make([]id.ID, 4)
	for i := range people {
		people[i] = id.Derived(id.Account, second(i), fmt.Sprint(i))
	}
	statuses := []Status{Draft, Scheduled, Published, Deleted, purging, ""}
	roles := append(slices.Clone(access.Roles), "", "ROOT")

	tried := outcomes{}
	each := eachKind(people[:2], statuses)
	for _, account := range []id.ID{people[0], ""} {
		for _, role := range roles {
			each.agree(t, s, access.Viewer{Account: account, Role: role}, tried)
		}
	}
	for _, c := range []string{articles, comments, accounts, sessions} {
		if !tried[c].seen || !tried[c].hidden {
			t.Errorf("of %s, not both something seen and something hidden was tried", c)
		}
	}

	rapid.Check(t, func(r *rapid.T) {
		v := access.Viewer{
			Account: rapid.SampledFrom(append(slices.Clone(people), "")).Draw(r, "viewer"),
			Role:    rapid.SampledFrom(roles).Draw(r, "role"),
		}
		owner, status := rapid.SampledFrom(append(slices.Clone(people), "")), rapid.SampledFrom(statuses)
		var some documents
		for i := range rapid.IntRange(0, 6).Draw(r, "how many") {
			o := owner.Draw(r, "owner")
			some.articles = append(some.articles, articleOf(i, o, status.Draw(r, "status")))
			some.comments = append(some.comments, commentOf(i, o, rapid.Bool().Draw(r, "visible")))
			some.sessions = append(some.sessions, sessionOf(i, rapid.SampledFrom(people).Draw(r, "whose"), rapid.Bool().Draw(r, "ended")))
			a := id.Derived(id.Account, second(i), "somebody else")
			if p := people[i%len(people)]; i < len(people) && rapid.Bool().Draw(r, "one of the people") {
				a = p
			}
			some.accounts = append(some.accounts, accountOf(a))
		}
		some.agree(r, s, v, tried)
	})
}

// documents are the content of the database for the comparison with one viewer.
type documents struct {
	articles []*Article
	comments []*Comment
	accounts []*Account
	sessions []*Session
}

// eachKind is a document of every kind: of each of the owners and, but for sessions, without an
// owner.
func eachKind(owners []id.ID, statuses []Status) documents {
	var d documents
	for _, o := range append(slices.Clone(owners), "") {
		for _, status := range statuses {
			d.articles = append(d.articles, articleOf(len(d.articles), o, status))
		}
		for _, yes := range []bool{false, true} {
			d.comments = append(d.comments, commentOf(len(d.comments), o, yes))
		}
	}
	for _, o := range owners {
		d.accounts = append(d.accounts, accountOf(o))
		for _, yes := range []bool{false, true} {
			d.sessions = append(d.sessions, sessionOf(len(d.sessions), o, yes))
		}
	}
	return d
}

func articleOf(n int, owner id.ID, status Status) *Article {
	i := id.Derived(id.Article, second(n), "visible")
	return &Article{ID: i, Slug: string(i), OwnerID: owner, Status: status}
}

func commentOf(n int, owner id.ID, visible bool) *Comment {
	return &Comment{ID: id.Derived(id.Comment, second(n), "visible"), AccountID: owner, Visible: visible}
}

func sessionOf(n int, owner id.ID, ended bool) *Session {
	return &Session{ID: id.Derived(id.Session, second(n), "visible"), AccountID: owner, Ended: ended, EndsAt: second(100)}
}

func accountOf(i id.ID) *Account { return &Account{ID: i, Email: string(i), Role: access.Customer} }

// agree stores d alone, and compares the documents that each filter finds for v with those that its
// predicate accepts.
func (d documents) agree(t rapid.TB, s *Store, v access.Viewer, tried outcomes) {
	t.Helper()
	fill(t, s, articles, d.articles)
	compare(t, s, articles, publicArticles(), d.articles, (*Article).Public, tried)
	for _, own := range []bool{false, true} {
		filter, ok := deskOf(v, []Status{Draft, Scheduled, Published, Deleted}, own)
		if !ok {
			filter = bson.D{{Key: "_id", Value: ""}}
		}
		compare(t, s, articles, filter, d.articles, func(a *Article) bool {
			if a.EditableBy(v) && !a.VisibleTo(v) && a.Status != Deleted {
				t.Fatalf("%+v may change %+v, but not see it", v, a)
			}
			if a.Public() != a.VisibleTo(access.Viewer{}) || a.VisibleTo(access.Viewer{Account: v.Account, Role: access.Customer}) != a.Public() {
				t.Fatalf("who doesn't write sees %+v", a)
			}
			if ok && !own && !v.May(access.Editor) || !ok && a.EditableBy(v) && own {
				t.Fatalf("%+v is let in to what is somebody else's", v)
			}
			return a.EditableBy(v) && (own && v.Is(a.OwnerID) || !own && v.May(access.Editor))
		}, tried)
	}

	fill(t, s, comments, d.comments)
	compare(t, s, comments, publicComments(), d.comments, (*Comment).Public, tried)
	mine := submissionsOf(v.Account)
	if v.May(access.Editor) {
		mine = bson.D{}
	}
	compare(t, s, comments, mine, d.comments, func(c *Comment) bool { return (*Submission)(c).VisibleTo(v) }, tried)

	fill(t, s, accounts, d.accounts)
	compare(t, s, accounts, accountsVisibleTo(v), d.accounts, func(a *Account) bool { return a.VisibleTo(v) }, tried)

	fill(t, s, sessions, d.sessions)
	compare(t, s, sessions, sessionsOf([]id.ID{v.Account}), d.sessions, func(x *Session) bool { return x.VisibleTo(v) }, tried)
}

// outcomes are the results seen so far for the documents of each collection.
type outcomes map[string]struct{ seen, hidden bool }

// fill makes these documents the only ones of their collection.
func fill[T any](t rapid.TB, s *Store, collection string, these []*T) {
	t.Helper()
	c := s.db.Collection(collection)
	if _, err := c.DeleteMany(context.Background(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	if len(these) == 0 {
		return
	}
	if _, err := c.InsertMany(context.Background(), these); err != nil {
		t.Fatal(err)
	}
}

// compare finds by filter and reports any difference from the predicate.
func compare[T any, P interface {
	*T
	Node
}](t rapid.TB, s *Store, collection string, filter bson.D, all []*T, visible func(*T) bool, tried outcomes) {
	t.Helper()
	want, got := map[id.ID]bool{}, map[id.ID]bool{}
	for _, d := range all {
		if visible(d) {
			want[P(d).NodeID()] = true
		}
	}
	found, err := find[T](context.Background(), s.collection(collection), filter, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		got[P(d).NodeID()] = true
	}
	if !maps.Equal(got, want) {
		t.Fatalf("of %s, the filter %v finds %v and the predicate lets through %v", collection, filter, got, want)
	}
	o := tried[collection]
	o.seen, o.hidden = o.seen || len(want) > 0, o.hidden || len(want) < len(all)
	tried[collection] = o
}

func TestASessionStandsForItsAccountAlone(t *testing.T) {
	owner := &Account{ID: id.New(id.Account), Epoch: 3}
	whole := Session{ID: id.New(id.Session), AccountID: owner.ID, Epoch: 3, EndsAt: second(100)}
	cases := map[string]struct {
		reason string
		change func(*Session)
		at     time.Time
		want   bool
	}{
		"Whole":    {"nothing speaks against it", func(*Session) {}, second(99), true},
		"Expired":  {"its end has come", func(*Session) {}, second(100), false},
		"Ended":    {"somebody has ended it", func(x *Session) { x.Ended = true }, second(99), false},
		"OldEpoch": {"the password was changed since", func(x *Session) { x.Epoch = 2 }, second(99), false},
		"Other":    {"it is another account's", func(x *Session) { x.AccountID = id.New(id.Account) }, second(99), false},
	}
	for name, c := range cases {
		x := whole
		c.change(&x)
		if got := x.StandsFor(owner, c.at); got != c.want {
			t.Errorf("%s: %t although %s", name, got, c.reason)
		}
	}
}

// Clients may give an id of any kind as any argument.
func TestAnIdOfAnotherKindNamesNothing(t *testing.T) {
	s := openStore(t, nil)
	article := published("press", second(1))
	check(t, s.AddArticle(t.Context(), article))
	ctx, _ := access.Begin(t.Context(), access.Request{})
	access.Become(ctx, access.Viewer{Account: id.New(id.Account), Role: access.Admin})
	for range 2 { // first from the database, then from memory
		found, err := Accounts.For(ctx, s, []id.ID{article.ID})
		check(t, err)
		if found[0] != nil {
			t.Errorf("an article's id names the account %v", found[0])
		}
		articles, err := Articles.All(ctx, s, []id.ID{article.ID})
		check(t, err)
		if articles[0] == nil || articles[0].Slug != "press" {
			t.Errorf("the article is %v", articles[0])
		}
	}
}
