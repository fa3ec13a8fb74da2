package store

// Tests of work over very many comments: no command and no reply grows with their number.

import (
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
)

// manyComments puts n comments on an article into the database, by accounts in turn.
func manyComments(t *testing.T, s *Store, article id.ID, n int, by ...id.ID) {
	t.Helper()
	said := make([]any, n)
	for i := range said {
		said[i] = &Comment{ID: id.New(id.Comment), ArticleID: article, AccountID: by[i%len(by)], AuthorName: "A name", CreatedAt: second(i), Visible: true, Event: fmt.Sprint("none/", i)}
	}
	_, err := s.db.Collection(comments).InsertMany(t.Context(), said)
	check(t, err)
}

// A purge of an article with thousands of comments deletes them in steps, and a purge after one that
// was cut short deletes the rest.
func TestAPurgeOfManyCommentsGoesInSteps(t *testing.T) {
	const n = 3*writtenAtOnce + 10
	var sent commandLog
	s := openStore(t, sent.watch)
	gone := changedTo(published("gone", second(1)), func(a *Article) { a.Status, a.DeletedAt = Deleted, second(1) })
	check(t, s.AddArticle(t.Context(), gone))
	other := published("other", second(1))
	check(t, s.AddArticle(t.Context(), other))
	manyComments(t, s, gone.ID, n, "")
	for i := range 3 {
		check(t, s.AddRevision(t.Context(), &Revision{ID: id.New(id.Revision), ArticleID: gone.ID, Version: int64(i)}))
	}
	_, err := s.db.Collection(comments).InsertOne(t.Context(), &Comment{ID: id.New(id.Comment), ArticleID: other.ID, Event: "none"})
	check(t, err)
	var purged int
	commands := sent.during(func() {
		purged, err = s.PurgeDeleted(t.Context(), second(2))
		check(t, err)
	})
	if purged != 1 {
		t.Errorf("%d were purged", purged)
	}
	deletes := 0
	for _, c := range commands {
		if name, _ := c.IndexErr(0); name.Key() == "delete" && name.Value().StringValue() == comments {
			deletes++
		}
		if len(c) > 100*writtenAtOnce {
			t.Errorf("a command has %d bytes", len(c))
		}
	}
	if deletes != 4 {
		t.Errorf("%d comments go in %d steps", n, deletes)
	}
	for _, left := range []struct {
		collection string
		n          int64
	}{{comments, 1}, {revisions, 0}, {articles, 1}} {
		got, err := s.db.Collection(left.collection).CountDocuments(t.Context(), bson.D{})
		if check(t, err); got != left.n {
			t.Errorf("of %s %d are left", left.collection, got)
		}
	}
}

// Comments of deleted accounts are found among thousands by others, a page at a time.
func TestForgottenCommentsAreFoundInPages(t *testing.T) {
	var sent commandLog
	s := openStore(t, sent.watch)
	var accounts []id.ID
	for i := range 4 {
		a := &Secret{Account: Account{ID: id.New(id.Account), Email: fmt.Sprint(i), Role: access.Customer}}
		check(t, s.AddAccount(t.Context(), a))
		accounts = append(accounts, a.ID)
	}
	gone := []id.ID{id.New(id.Account), "acc_0", "acc_z"} // between the others, before and after them
	article := published("a", second(1))
	check(t, s.AddArticle(t.Context(), article))
	manyComments(t, s, article.ID, 4*writtenAtOnce, append(accounts, gone...)...)
	var forgotten int
	commands := sent.during(func() {
		var err error
		forgotten, err = s.ForgetGone(t.Context())
		check(t, err)
	})
	if forgotten != len(gone) {
		t.Errorf("%d of %d accounts were forgotten", forgotten, len(gone))
	}
	for _, c := range commands {
		if name, _ := c.IndexErr(0); name.Key() == "distinct" {
			t.Errorf("all accounts are asked for at once: %v", c)
		}
	}
	for _, a := range append(gone, accounts...) {
		n, err := s.db.Collection(comments).CountDocuments(t.Context(), submissionsOf(a))
		if check(t, err); (n == 0) != (a == gone[0] || a == gone[1] || a == gone[2]) {
			t.Errorf("%d comments are by %s", n, a)
		}
	}
	named, err := s.db.Collection(comments).CountDocuments(t.Context(), bson.D{{Key: "authorName", Value: ""}, {Key: "accountId", Value: nil}})
	if check(t, err); named == 0 {
		t.Error("no comment has lost its name")
	}
}
