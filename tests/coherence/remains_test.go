package coherence

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// A process died between adding a comment and looking whether its account was still there:
// the next start makes the comment nobody's.
func TestTheNextStartForgetsWhoHasGone(t *testing.T) {
	uri := stoatest.Database(t)
	s := stoatest.Start(t, stoatest.Settings{"STOA_MONGODB_URI": uri})
	s.Import(t, stoatest.Articles(1))
	article, err := store.Articles.BySlug(t.Context(), s.Store, "article-0")
	stoatest.Check(t, err)
	_, stays := stoatest.SignedIn(t, s, "Ruth", access.Customer)
	gone := id.New(id.Account)
	for i, account := range []id.ID{stays.ID, gone, gone, ""} {
		stoatest.Check(t, s.Store.AddComments(t.Context(), []*store.Comment{{
			ID: id.New(id.Comment), ArticleID: article.ID, AccountID: account, AuthorName: fmt.Sprint("Name ", i), BodyMarkdown: "A", BodyHTML: "<p>A</p>",
			CreatedAt: time.Now(), Status: store.CommentVisible, Visible: true, Version: 1,
		}}))
	}
	s.Stop()
	stoatest.Start(t, stoatest.Settings{"STOA_MONGODB_URI": uri})
	db := stoatest.OpenDatabase(t, uri)
	stoatest.Await(t, 20*time.Second, "the account to be forgotten", func() bool {
		return stoatest.Count(t, db, "comments", bson.D{{Key: "accountId", Value: gone}}) == 0
	})
	if n := stoatest.Count(t, db, "comments", bson.D{{Key: "authorName", Value: bson.D{{Key: "$in", Value: bson.A{"Name 1", "Name 2"}}}}}); n != 0 {
		t.Errorf("%d comments have the name still", n)
	}
	for _, name := range []string{"Name 0", "Name 3"} {
		if n := stoatest.Count(t, db, "comments", bson.D{{Key: "authorName", Value: name}}); n != 1 {
			t.Errorf("%d comments are by %s", n, name)
		}
	}
}

// A process died after it had published or withdrawn an article, before others were related to
// it: the next start relates them.
func TestTheNextStartRelatesWhatWasLeft(t *testing.T) {
	uri := stoatest.Database(t)
	s := stoatest.Start(t, stoatest.Settings{"STOA_MONGODB_URI": uri})
	s.Import(t, stoatest.Articles(6))
	related := func(s *stoatest.Stoa, slug string) []string {
		t.Helper()
		var out struct {
			Article struct{ Related []stoatest.Slugged }
		}
		s.Data(t, &out, `query ($slug: String!) { article(slug: $slug) { related(first: 10) { slug } } }`, map[string]any{"slug": slug})
		var slugs []string
		for _, r := range out.Article.Related {
			slugs = append(slugs, r.Slug)
		}
		return slugs
	}
	before := map[string][]string{}
	for i := range 6 {
		slug := fmt.Sprintf("article-%d", i)
		before[slug] = related(s, slug)
	}
	change := func(status store.Status) {
		t.Helper()
		was, err := store.Articles.BySlug(t.Context(), s.Store, "article-2")
		if err != nil {
			docs, err := s.Store.Imported(t.Context())
			stoatest.Check(t, err)
			was = docs["test/2.md"]
		}
		is := *was
		is.Status = status
		stoatest.Check(t, s.Store.ChangeArticle(context.Background(), was, &is))
	}
	again := func() {
		t.Helper()
		s.Stop()
		s = stoatest.Start(t, stoatest.Settings{"STOA_MONGODB_URI": uri})
	}
	change(store.Draft)
	again()
	docs, err := s.Store.Imported(t.Context())
	stoatest.Check(t, err)
	db := stoatest.OpenDatabase(t, uri)
	stoatest.Await(t, 20*time.Second, "nothing to be related to what was withdrawn", func() bool {
		return stoatest.Count(t, db, "articles", bson.D{{Key: "relatedIds", Value: docs["test/2.md"].ID}, {Key: "status", Value: "PUBLISHED"}}) == 0
	})
	change(store.Published)
	again()
	stoatest.Await(t, 20*time.Second, "everything to be related as before", func() bool {
		for slug, want := range before {
			if !slices.Equal(related(s, slug), want) {
				return false
			}
		}
		return true
	})
}
