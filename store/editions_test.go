package store

// Remembered editions, compared with the database.

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"stoa/id"
)

// The remembered editions are those in the database, after writes by anybody.
func TestKnownEditionsAreThoseInTheDatabase(t *testing.T) {
	s := openStore(t, nil)
	if s.known == nil {
		t.Fatal("the store of this test isn't the only one that writes")
	}
	same := func(when string) {
		t.Helper()
		there, err := Articles.readEditions(t.Context(), s)
		check(t, err)
		want := there.All
		got, err := s.Editions(t.Context(), []id.Kind{id.Article})
		check(t, err)
		all := slices.Clone(got[0].All)
		byID := func(a, b Edition) int { return cmp.Compare(a.ID, b.ID) }
		slices.SortFunc(want, byID)
		slices.SortFunc(all, byID)
		if !slices.Equal(all, want) {
			t.Errorf("%s: %v, in the database are %v", when, all, want)
		}
	}
	same("nothing")
	var all []*Article
	for i := range 8 {
		a := published(fmt.Sprint("known-", i), second(i))
		check(t, s.AddArticle(t.Context(), a))
		all = append(all, a)
	}
	same("added")
	var writers sync.WaitGroup
	for i, a := range all {
		writers.Go(func() {
			for round := range 6 {
				after := changedTo(a, func(a *Article) { a.Status = []Status{Draft, Published, Published}[(round+i)%3] })
				if err := s.ChangeArticle(t.Context(), a, after); err != nil {
					t.Error(err)
					return
				}
				a = after
				if _, err := s.Editions(t.Context(), []id.Kind{id.Article}); err != nil {
					t.Error(err)
				}
				if round == 3 && i == 0 {
					s.Flush()
				}
			}
			all[i] = a
		})
	}
	writers.Wait()
	same("changed at once")
	stale := changedTo(all[0], func(a *Article) { a.Title = "other" })
	if s.ChangeArticle(t.Context(), &Article{ID: all[0].ID, Slug: all[0].Slug, Status: Published, Version: 1}, stale) == nil {
		t.Error("a change of what has changed is taken")
	}
	same("refused")
	// Another client of the same server, such as an import.
	_, err := s.db.Collection(articles).DeleteOne(t.Context(), map[string]any{"_id": all[1].ID})
	check(t, err)
	s.Flush()
	same("written by others")
	check(t, s.write(t.Context(), []string{editionsKey(id.Article)}, func(ctx context.Context) error {
		_, err := s.db.Collection(articles).DeleteOne(ctx, map[string]any{"_id": all[2].ID})
		return err
	}))
	same("by a write that nobody describes")
}
