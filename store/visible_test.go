package store

import (
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

// What a list is filtered by and what is seen of a document that was read by its id are
// written apart, so they are held together here: over generated documents, for generated
// viewers, a filter finds exactly what its predicate lets through.
func TestPredicatesAndFiltersAgree(t *testing.T) {
	s := openStore(t, nil)
	people := make([]id.ID, 4)
	for i := range people {
		people[i] = id.Derived(id.Account, second(i), fmt.Sprint(i))
	}
	seenSome, seenLess := map[string]bool{}, map[string]bool{}
	rapid.Check(t, func(r *rapid.T) {
		v := access.Viewer{
			Account: rapid.SampledFrom(append(slices.Clone(people), "")).Draw(r, "viewer"),
			Role:    rapid.SampledFrom(append(slices.Clone(access.Roles), "", "ROOT")).Draw(r, "role"),
		}
		n := rapid.IntRange(0, 6).Draw(r, "how many")
		owner := rapid.SampledFrom(people)
		agree(t, r, s, n, articles, publicArticles(), func(i id.ID) *Article {
			return &Article{ID: i, Slug: string(i), Status: rapid.SampledFrom([]Status{Draft, Scheduled, Published, ""}).Draw(r, "status")}
		}, (*Article).Public, seenSome, seenLess)
		for _, own := range []bool{false, true} {
			filter, ok := deskOf(v, []Status{Draft, Scheduled, Published, Deleted}, own)
			if !ok {
				filter = bson.D{{Key: "_id", Value: ""}}
			}
			agree(t, r, s, n, articles, filter, func(i id.ID) *Article {
				return &Article{
					ID: i, Slug: string(i), OwnerID: rapid.SampledFrom(append(slices.Clone(people), "")).Draw(r, "owner"),
					Status: rapid.SampledFrom([]Status{Draft, Scheduled, Published, Deleted, purging, ""}).Draw(r, "status"),
				}
			}, func(a *Article) bool {
				if a.EditableBy(v) && !a.VisibleTo(v) && a.Status != Deleted {
					r.Fatalf("%+v may change %+v, but not see it", v, a)
				}
				if a.Public() != a.VisibleTo(access.Viewer{}) || a.VisibleTo(access.Viewer{Account: v.Account, Role: access.Customer}) != a.Public() {
					r.Fatalf("who doesn't write sees %+v", a)
				}
				if ok && !own && !v.May(access.Editor) || !ok && a.EditableBy(v) && own {
					r.Fatalf("%+v is let in to what is somebody else's", v)
				}
				return a.EditableBy(v) && (own && v.Is(a.OwnerID) || !own && v.May(access.Editor))
			}, seenSome, seenLess)
		}
		agree(t, r, s, n, comments, publicComments(), func(i id.ID) *Comment {
			return &Comment{ID: i, Visible: rapid.Bool().Draw(r, "visible")}
		}, (*Comment).Public, seenSome, seenLess)
		agree(t, r, s, n, accounts, accountsVisibleTo(v), func(i id.ID) *Account {
			if rapid.Bool().Draw(r, "one of the people") {
				i = owner.Draw(r, "account")
			}
			return &Account{ID: i, Email: string(i), Role: access.Customer}
		}, func(a *Account) bool { return a.VisibleTo(v) }, seenSome, seenLess)
		agree(t, r, s, n, sessions, sessionsOf([]id.ID{v.Account}), func(i id.ID) *Session {
			return &Session{ID: i, AccountID: owner.Draw(r, "owner"), Ended: rapid.Bool().Draw(r, "ended"), EndsAt: second(100)}
		}, func(x *Session) bool { return x.VisibleTo(v) }, seenSome, seenLess)
	})
	for _, c := range []string{articles, comments, accounts, sessions} {
		if !seenSome[c] || !seenLess[c] {
			t.Errorf("of %s, not both something seen and something hidden was tried", c)
		}
	}
}

// agree writes n documents, as the only ones of their collection, and compares.
func agree[T any, P interface {
	*T
	Node
}](t *testing.T, r *rapid.T, s *Store, n int, collection string, filter bson.D, draw func(id.ID) *T, visible func(*T) bool, seenSome, seenLess map[string]bool) {
	t.Helper()
	c := s.db.Collection(collection)
	if _, err := c.DeleteMany(t.Context(), bson.D{}); err != nil {
		r.Fatal(err)
	}
	want, all := map[id.ID]bool{}, map[id.ID]bool{}
	for i := range n {
		d := draw(id.Derived(id.Comment, second(i), collection))
		if all[P(d).NodeID()] {
			continue
		}
		all[P(d).NodeID()] = true
		if _, err := c.InsertOne(t.Context(), d); err != nil {
			r.Fatal(err)
		}
		if visible(d) {
			want[P(d).NodeID()] = true
		}
	}
	found, err := find[T](t.Context(), c, filter, nil)
	if err != nil {
		r.Fatal(err)
	}
	got := map[id.ID]bool{}
	for _, d := range found {
		got[P(d).NodeID()] = true
	}
	if !maps.Equal(got, want) {
		r.Fatalf("of %s, the filter %v finds %v and the predicate lets through %v", collection, filter, got, want)
	}
	seenSome[collection] = seenSome[collection] || len(want) > 0
	seenLess[collection] = seenLess[collection] || len(want) < len(all)
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

// Clients may give an id of any kind wherever one is taken.
func TestAnIdOfAnotherKindNamesNothing(t *testing.T) {
	s := openStore(t, nil)
	article := published("press", second(1))
	check(t, s.AddArticle(t.Context(), article))
	ctx, _ := access.Begin(t.Context(), access.Request{})
	access.Become(ctx, access.Viewer{Account: id.New(id.Account), Role: access.Admin})
	for range 2 { // first as they are in the database, then in memory
		found, err := s.Accounts(ctx, []id.ID{article.ID})
		check(t, err)
		if found[0] != nil {
			t.Errorf("an article's id names the account %v", found[0])
		}
		articles, err := s.Articles(ctx, []id.ID{article.ID})
		check(t, err)
		if articles[0] == nil || articles[0].Slug != "press" {
			t.Errorf("the article is %v", articles[0])
		}
	}
}
