package blog

// Tests of merges of authors and tags: interrupted at any command, and side by side.

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"stoa/access"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// A merge is interrupted at each of its commands in turn, and then finished by another replica.
// Nothing is lost in any case.
func TestAMergeCanBeCutShortAnywhere(t *testing.T) {
	cuts := 0
	for done := false; !done; cuts++ {
		var left atomic.Int64
		left.Store(1 << 40)
		stop := context.CancelFunc(func() {})
		b, s := openWith(t, func(string) {
			if left.Add(-1) == 0 {
				stop()
			}
		})
		editor, _ := as(t, s, access.Editor)
		from, err := b.CreateTag(editor, NewTag{Name: "From"})
		check(t, err)
		into, err := b.CreateTag(editor, NewTag{Name: "Into"})
		check(t, err)
		var all []id.ID
		for _, tags := range [][]id.ID{{from.Value.ID}, {into.Value.ID, from.Value.ID}, {into.Value.ID}, {from.Value.ID}} {
			made, err := b.Create(editor, NewArticle{Title: "T", TagIDs: tags})
			check(t, err)
			all = append(all, made.Article.ID)
		}
		_, err = b.Publish(editor, ArticleTransition{ID: all[0]})
		check(t, err)
		_, err = b.DeleteArticle(editor, ArticleTransition{ID: all[3]})
		check(t, err)

		ctx, cancel := context.WithCancel(editor)
		stop = cancel
		left.Store(int64(cuts + 1))
		in := edit.Merge{ID: from.Value.ID, IntoID: into.Value.ID}
		_, err = b.MergeTags(ctx, in)
		done = err == nil && ctx.Err() == nil
		left.Store(1 << 40)
		cancel()
		begun, taskErr := s.Tasks(t.Context(), "merge/")
		check(t, taskErr)
		check(t, b.FinishMerges(t.Context()))
		if len(begun) > 0 {
			// Somebody comes back to it.
			if _, err := b.MergeTags(editor, in); err != nil {
				t.Errorf("cut at command %d: again: %v", cuts+1, err)
			}
		} else if _, err := b.tags.Read(t.Context(), in.ID); err == nil {
			continue // cut before it had begun
		}
		for i, a := range all {
			found, err := s.ArticleNow(t.Context(), a)
			if check(t, err); !slices.Equal(found.TagIDs, []id.ID{into.Value.ID}) {
				t.Errorf("cut at command %d: article %d has %v", cuts+1, i, found.TagIDs)
			}
		}
		now, err := b.Tag(t.Context(), "from")
		if err != nil || now.ID != into.Value.ID || now.Slug != "into" {
			t.Errorf("cut at command %d: under the old slug is %+v, %v", cuts+1, now, err)
		}
		if _, err := b.tags.Read(t.Context(), in.ID); !problem.Is(err, problem.NotFound) {
			t.Errorf("cut at command %d: the one that was to go: %v", cuts+1, err)
		}
		if left, err := s.Tasks(t.Context(), "merge/"); err != nil || len(left) > 0 {
			t.Errorf("cut at command %d: left to do: %v, %v", cuts+1, left, err)
		}
	}
	if cuts < 15 {
		t.Errorf("it was cut %d times only", cuts)
	}
	t.Logf("cut at each of %d commands", cuts-1)
}

// Of two merges in opposite directions at most one is done.
func TestMergesThatMeetAreRefused(t *testing.T) {
	b, s := open(t)
	editor, _ := as(t, s, access.Editor)
	var tags []*store.Tag
	for _, name := range []string{"A", "B"} {
		made, err := b.CreateTag(editor, NewTag{Name: name})
		check(t, err)
		tags = append(tags, made.Value)
	}
	made, err := b.Create(editor, NewArticle{Title: "T", TagIDs: []id.ID{tags[0].ID, tags[1].ID}})
	check(t, err)
	errs := make(chan error, 2)
	for i := range tags {
		go func() {
			_, err := b.MergeTags(editor, edit.Merge{ID: tags[i].ID, IntoID: tags[1-i].ID})
			errs <- err
		}()
	}
	for range tags {
		if err := <-errs; err != nil && !problem.Is(err, problem.Conflict) && !problem.Is(err, problem.NotFound) {
			t.Error(err)
		}
	}
	check(t, b.FinishMerges(t.Context()))
	there, err := store.Tags.Now(t.Context(), s, []id.ID{tags[0].ID, tags[1].ID})
	check(t, err)
	found, err := s.ArticleNow(t.Context(), made.Article.ID)
	check(t, err)
	if len(there) == 0 || len(found.TagIDs) != len(there) {
		t.Errorf("of two tags %d are left; the article has %d", len(there), len(found.TagIDs))
	}
}

// Two recorded merges that were never begun or refused are finished one after the other. A document
// that would be merged into a deleted one stays.
func TestMergesThatMetAreFinishedInOneOrder(t *testing.T) {
	b, s := open(t)
	editor, _ := as(t, s, access.Editor)
	var tags []*store.Tag
	for _, name := range []string{"A", "B"} {
		made, err := b.CreateTag(editor, NewTag{Name: name})
		check(t, err)
		tags = append(tags, made.Value)
	}
	for i := range tags {
		check(t, s.Begin(t.Context(), "merge/"+string(tags[i].ID)+"/"+string(tags[1-i].ID)))
	}
	for look, want := range []int{2, 1, 1} {
		check(t, b.FinishMerges(t.Context()))
		there, err := store.Tags.Now(t.Context(), s, []id.ID{tags[0].ID, tags[1].ID})
		if check(t, err); len(there) != want {
			t.Errorf("after %d looks there are %d tags; want %d", look+1, len(there), want)
		}
	}
	if left, err := s.Tasks(t.Context(), "merge/"); err != nil || len(left) > 0 {
		t.Errorf("left to do: %v, %v", left, err)
	}
}
