package guard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// following is the number of commands that a subscription takes beyond a query with the
// event's selection: for the events after the given one, and for comments also for their
// article, its thread, and the comments themselves.
const following = 4

// testEvents goes down every edge from an event's object, as testEdges does from the fields of
// Query: an event's number of commands depends on its selection alone.
func (w walker) testEvents(t *testing.T, s *stoatest.Stoa) {
	arguments := w.happen(t, s)
	var rows []result
	for _, root := range w.edges(w.schema.Subscription) {
		field := root.through[0]
		given, ok := arguments[field]
		if !ok {
			t.Errorf("what does %s take, and what happens? Say so in happen", field)
			continue
		}
		for _, path := range w.paths(root, 3) {
			q, varies := w.query(t, path, "nodes", "end: id")
			if !varies {
				continue
			}
			q = strings.Replace("subscription"+strings.TrimPrefix(q, "query"), field+" {", field+"("+given+") {", 1)
			r := w.measure(t, s, q, path, "end")
			r.path = strings.Join(pathNames(path), ".")
			rows = append(rows, r)
			if r.few != r.many {
				t.Errorf("%s takes %d commands over %d and %d over %d parents:\n%s", r.path, r.few, few, r.many, many, q)
			}
			most := r.depth + allowed + following
			if slices.ContainsFunc(path[1:], w.asksWho) {
				most += authenticated
			}
			if r.many > most {
				t.Errorf("%s takes %d commands; at most %d are allowed:\n%s", r.path, r.many, most, q)
			}
		}
	}
	if len(rows) < 10 {
		t.Errorf("%d ways were tried", len(rows))
	}
	tabulate(t, rows)
}

// happen publishes an article and shows a comment, each with much under it, and returns the
// number of commands with which each subscription reports its event.
func (w walker) happen(t *testing.T, s *stoatest.Stoa) map[string]string {
	t.Helper()
	var found struct {
		Articles struct {
			Nodes []struct {
				ID           id.ID
				CommentCount int
				Comments     struct {
					Nodes []struct {
						ID         id.ID
						ReplyCount int
					}
				}
			}
		}
	}
	s.Data(t, &found, `{ articles(first: 100) { nodes { id commentCount comments(first: 100) { nodes { id replyCount } } } } }`, nil)
	var article, on, comment id.ID
	comments, replies := -1, -1
	for _, a := range found.Articles.Nodes {
		if a.CommentCount > comments {
			article, comments = a.ID, a.CommentCount
		}
		for _, c := range a.Comments.Nodes {
			if c.ReplyCount > replies {
				on, comment, replies = a.ID, c.ID, c.ReplyCount
			}
		}
	}
	before, err := s.Store.LastEvent(t.Context(), store.AllPublished)
	stoatest.Check(t, err)
	a, err := s.Store.ArticleNow(t.Context(), article)
	stoatest.Check(t, err)
	for _, status := range []store.Status{store.Draft, store.Published} {
		after := *a
		after.Status = status
		stoatest.Check(t, s.Store.ChangeArticle(t.Context(), a, &after))
		a = &after
	}
	var first id.ID
	c, err := s.Store.CommentNow(t.Context(), comment)
	stoatest.Check(t, err)
	for _, visible := range []bool{false, true, false, true} {
		after := *c
		after.Visible, after.Status = visible, map[bool]store.CommentStatus{true: store.CommentVisible, false: store.CommentHidden}[visible]
		stoatest.Check(t, s.Store.ChangeComment(t.Context(), c, &after))
		c = &after
		if first == "" && visible {
			e, err := s.Store.LastEvent(t.Context(), store.Topic(on))
			stoatest.Check(t, err)
			first = e.ID
		}
	}
	return map[string]string{
		"articlePublished": fmt.Sprintf("after: %q", before.ID),
		"commentAdded":     fmt.Sprintf("articleId: %q, after: %q", on, first),
	}
}

// told asks for the first event of a subscription.
func (w walker) told(t *testing.T, s *stoatest.Stoa, q string, variables map[string]any) any {
	t.Helper()
	a, err := stoatest.FirstEvent(t.Context(), s, stoatest.Request{Query: q, Variables: variables, Token: s.Token})
	stoatest.Check(t, err)
	if len(a.Errors) > 0 {
		t.Fatalf("%s\nanswers %.2000s", q, a.Raw)
	}
	var data any
	stoatest.Check(t, json.Unmarshal(a.Data, &data))
	stoatest.AwaitFollowers(t, s, 0)
	return data
}
