package api

import (
	"context"
	"sync"
	"testing"
	"time"

	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// While a comment is hidden and shown again, each query for it, by its id and in its thread,
// returns it with all of its replies or not at all: no response mixes two states of a thread.
func TestAnAnswerAgreesWithItself(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(1))
	article, err := store.Articles.BySlug(t.Context(), s.Store, "article-0")
	stoatest.Check(t, err)
	top := &store.Comment{
		ID: id.New(id.Comment), ArticleID: article.ID, AuthorName: "Ruth", BodyMarkdown: "A", BodyHTML: "<p>A</p>\n",
		CreatedAt: store.Now(), Status: store.CommentVisible, Visible: true, Version: 1,
	}
	reply := *top
	reply.ID, reply.ParentID, reply.CreatedAt = id.New(id.Comment), top.ID, top.CreatedAt.Add(time.Second)
	stoatest.Check(t, s.Store.AddComments(t.Context(), []*store.Comment{top, &reply}))

	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	answers := 0
	var mu sync.Mutex
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				var out struct {
					Node *struct {
						ReplyCount int
						Replies    struct{ Count struct{ Value int } }
					}
					Article struct {
						CommentCount int
						Comments     struct{ Nodes []struct{ ID id.ID } }
					}
				}
				err := stoatest.Decode(s, &out, `query ($id: ID!) {
					node(id: $id) { ... on Comment { replyCount replies(first: 1) { count { value } } } }
					article(slug: "article-0") { commentCount comments(first: 1) { nodes { id } } }
				}`, map[string]any{"id": top.ID})
				if err != nil {
					t.Error(err)
					return
				}
				shown := out.Node != nil
				if shown && (out.Node.ReplyCount != 1 || out.Node.Replies.Count.Value != 1 || out.Article.CommentCount != 2) {
					t.Errorf("a comment with a reply is answered with %+v, of %d", out.Node, out.Article.CommentCount)
				}
				if listed := len(out.Article.Comments.Nodes) == 1; listed != shown {
					t.Errorf("a comment is there by its id: %t; among those of its article: %t", shown, listed)
				}
				mu.Lock()
				answers++
				mu.Unlock()
			}
		})
	}
	now := top
	for range 100 {
		next := *now
		next.Visible = !now.Visible
		next.Status = store.CommentVisible
		if !next.Visible {
			next.Status = store.CommentHidden
		}
		stoatest.Check(t, s.Store.ChangeComment(t.Context(), now, &next))
		now = &next
	}
	stop()
	readers.Wait()
	if answers < 50 {
		t.Errorf("%d answers to look at", answers)
	}
}
