// Package subscription holds subscriptions to their promises: every event once and in order, on every
// replica, with little memory for each.
package subscription

import (
	"context"
	"slices"
	"strings"
	"testing"

	"stoa/access"
	"stoa/tests/stoatest"
)

func TestASubscriptionTellsWhatIsPublishedAndSaid(t *testing.T) {
	s := stoatest.Start(t, nil)
	editor := stoatest.NewWriter(t, s, "edda", access.Editor)
	reader, _ := stoatest.SignedIn(t, s, "Rea", access.Customer)
	ctx, cancel := context.WithTimeout(t.Context(), stoatest.InTime)
	defer cancel()

	articles, err := stoatest.Subscribe(ctx, s, stoatest.ArticlePublished, nil)
	stoatest.Check(t, err)
	defer articles.Cut()
	stoatest.AwaitFollowers(t, s, 1)
	a := editor.Do(t, s, "articleCreate", map[string]any{"title": "News"}).Article
	editor.Do(t, s, "articlePublish", map[string]any{"id": a.ID})
	first, err := articles.Event(ctx)
	stoatest.Check(t, err)
	if first.Article == nil || first.Article.ID != a.ID || first.Article.Title != "News" || first.Article.Author.Name != "Edda" {
		t.Fatalf("the event is %+v", first)
	}

	comments, err := stoatest.Subscribe(ctx, s, stoatest.CommentAdded, map[string]any{"article": a.ID})
	stoatest.Check(t, err)
	defer comments.Cut()
	stoatest.AwaitFollowers(t, s, 2)
	said := reader.Must(t, s, "commentAdd", stoatest.Input{"articleId": a.ID, "bodyMarkdown": "Well *said*"})
	e, err := comments.Event(ctx)
	stoatest.Check(t, err)
	if e.Comment == nil || !sameComment(string(e.Comment.ID), string(said.Submission.ID)) || !strings.Contains(e.Comment.BodyHTML, "<em>said</em>") || e.Comment.Article.ID != a.ID {
		t.Fatalf("the event is %+v", e)
	}

	// Taken back and published again, it is told again.
	editor.Do(t, s, "articleUnpublish", map[string]any{"id": a.ID})
	editor.Do(t, s, "articlePublish", map[string]any{"id": a.ID})
	again, err := articles.Event(ctx)
	stoatest.Check(t, err)
	if again.Of() != a.ID || again.ID == first.ID {
		t.Errorf("published again, it is told as %+v after %+v", again, first)
	}
	// A change of a public article is no event.
	editor.Do(t, s, "articleUpdate", map[string]any{"id": a.ID, "expectedVersion": 4, "title": "Old news"})
	b := editor.Do(t, s, "articleCreate", map[string]any{"title": "More"}).Article
	editor.Do(t, s, "articlePublish", map[string]any{"id": b.ID})
	next, err := articles.Event(ctx)
	stoatest.Check(t, err)
	if next.Of() != b.ID {
		t.Errorf("after a change and another article comes %+v", next)
	}

	// A client that connects again gets the events since then.
	for after, want := range map[string][]string{first.ID: {a.ID, b.ID}, again.ID: {b.ID}} {
		back, err := stoatest.Subscribe(ctx, s, stoatest.ArticlePublished, map[string]any{"after": after})
		stoatest.Check(t, err)
		var got []string
		for range want {
			e, err := back.Event(ctx)
			stoatest.Check(t, err)
			got = append(got, e.Of())
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %s comes %v, want %v", after, got, want)
		}
		back.Cut()
	}
}

// sameComment says if two ids are of one comment: its public id, and that of its submission.
func sameComment(comment, submission string) bool {
	return strings.TrimPrefix(comment, "com_") == strings.TrimPrefix(submission, "sub_")
}
