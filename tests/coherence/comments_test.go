package coherence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
	"stoa/store"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// thread returns the visible comments of an article, two levels of them, and its comment
// count.
func thread(s *stoatest.Stoa, slug string) (ids []string, count int, err error) {
	var out struct {
		Article struct {
			CommentCount int
			Comments     any
		}
	}
	err = stoatest.NewCaller().Ask(s, &out, `query ($slug: String!) { article(slug: $slug) { commentCount comments(first: 50) {
		count { value } nodes { id replies(first: 50) { count { value } nodes { id } } } } } }`, map[string]any{"slug": slug})
	stoatest.EachObject(out.Article.Comments, func(o map[string]any) {
		if i, ok := o["id"].(string); ok {
			ids = append(ids, i)
		}
		nodes, _ := o["nodes"].([]any)
		if n, ok := o["count"].(map[string]any); ok && int(n["value"].(float64)) != len(nodes) && err == nil {
			err = fmt.Errorf("a list of %d says that it has %v", len(nodes), n["value"])
		}
	})
	slices.Sort(ids)
	return ids, out.Article.CommentCount, err
}

// A moderation takes effect at once on the replica that acknowledged it, and on all within a
// second, in threads, counts and by id; replies are hidden and shown with the comment.
func TestAVerdictOnACommentHoldsEverywhere(t *testing.T) {
	replicas := stoatest.StartThree(t, stoatest.Database(t), redistest.Start(t).URL())
	replicas[0].Import(t, stoatest.Articles(2))
	stoatest.AwaitTrust(t, replicas...)
	reader, _ := stoatest.SignedIn(t, replicas[0], "Ruth", access.Customer)
	editor, _ := stoatest.SignedIn(t, replicas[0], "Edgar", access.Editor)
	article, err := store.Articles.BySlug(t.Context(), replicas[0].Store, "article-0")
	stoatest.Check(t, err)
	top := reader.Must(t, replicas[0], "commentAdd", stoatest.Input{"articleId": article.ID, "bodyMarkdown": "First."}).Submission.Comment.ID
	below := reader.Must(t, replicas[1], "commentAdd", stoatest.Input{"articleId": article.ID, "parentId": top, "bodyMarkdown": "Second."}).Submission.Comment.ID
	look := func(s *stoatest.Stoa) (string, error) {
		ids, count, err := thread(s, "article-0")
		if err != nil {
			return "", err
		}
		var out struct{ Nodes []*struct{ ID string } }
		err = stoatest.NewCaller().Ask(s, &out, `query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, map[string]any{"ids": []string{top, below}})
		return fmt.Sprint(len(ids), count, out.Nodes[0] != nil, out.Nodes[1] != nil), err
	}
	settle := func(s *stoatest.Stoa, want string, since time.Time, atOnce bool) {
		allowed := contention.Allow(since.Add(stoatest.PromisedStale * stoatest.Slack))
		for {
			asked, late := time.Since(since), allowed.Over()
			got, err := look(s)
			if err != nil {
				t.Error(err)
				return
			}
			if got == want {
				return
			}
			if atOnce || late {
				t.Errorf("%s after the change it shows %s; want %s", asked, got, want)
				return
			}
		}
	}
	const all, none = "2 2 true true", "0 0 false false"
	for _, s := range replicas {
		settle(s, all, time.Now(), false)
	}
	for round, c := range []struct{ mutation, action, want string }{
		{"commentModerate", "HIDE", none}, {"commentModerate", "APPROVE", all}, {"commentModerate", "SPAM", none},
		{"commentModerate", "APPROVE", all}, {"commentDelete", "", all}, // its place stays
	} {
		writer := replicas[round%3]
		in := stoatest.Input{"id": top}
		if c.action != "" {
			in["action"] = c.action
		}
		editor.Must(t, writer, c.mutation, in)
		acked := time.Now()
		var wait sync.WaitGroup
		for _, s := range replicas {
			wait.Go(func() { settle(s, c.want, acked, s == writer) })
		}
		wait.Wait()
	}
	reader.Must(t, replicas[0], "commentDelete", stoatest.Input{"id": below})
	settle(replicas[0], none, time.Now(), true)
}

// While one comment is hidden and shown again, others reply to it: in any order, lists, counts
// and ids agree in the end.
func TestAnswersToWhatIsBeingHidden(t *testing.T) {
	s := stoatest.StartAll(t, stoatest.Settings{})[0]
	s.Import(t, stoatest.Articles(2))
	editor, _ := stoatest.SignedIn(t, s, "Edgar", access.Editor)
	first, _ := stoatest.SignedIn(t, s, "Ruth", access.Customer)
	article, err := store.Articles.BySlug(t.Context(), s.Store, "article-0")
	stoatest.Check(t, err)
	top := first.Must(t, s, "commentAdd", stoatest.Input{"articleId": article.ID, "bodyMarkdown": "First."}).Submission.ID
	var made []string
	var mu sync.Mutex
	stoatest.AtOnce(5, func(i int) {
		if i == 0 {
			for _, action := range []string{"HIDE", "APPROVE", "HIDE", "APPROVE", "HIDE"} {
				if x, err := editor.Say(s, "commentModerate", stoatest.Input{"id": top, "action": action}); err != nil || x.Reason() != "" {
					t.Error(x, err)
				}
			}
			return
		}
		reader, _ := stoatest.SignedIn(t, s, "A reader", access.Customer)
		for range 4 {
			x, err := reader.Say(s, "commentAdd", stoatest.Input{"articleId": article.ID, "parentId": top, "bodyMarkdown": "Yes."})
			if err != nil || x.Reason() != "" && x.Reason() != "NOT_FOUND" {
				t.Error(x, err)
			}
			if x.Submission != nil {
				mu.Lock()
				made = append(made, x.Submission.ID)
				mu.Unlock()
			}
		}
	})
	check := func(want int) {
		t.Helper()
		ids, count, err := thread(s, "article-0")
		if err != nil || len(ids) != want || count != want {
			t.Errorf("%d are listed and %d counted, %v; want %d", len(ids), count, err, want)
		}
	}
	check(0)
	editor.Must(t, s, "commentModerate", stoatest.Input{"id": top, "action": "APPROVE"})
	check(1 + len(made))
}

func TestEqualCommentsAtOnceAreOne(t *testing.T) {
	replicas := stoatest.StartThree(t, stoatest.Database(t), redistest.Start(t).URL())
	replicas[0].Import(t, stoatest.Articles(2))
	reader, _ := stoatest.SignedIn(t, replicas[0], "Ruth", access.Customer)
	article, err := store.Articles.BySlug(t.Context(), replicas[0].Store, "article-0")
	stoatest.Check(t, err)
	in := stoatest.Input{"articleId": article.ID, "bodyMarkdown": "Once.", "idempotencyKey": stoatest.NewKey()}
	ids := make([]string, 5)
	stoatest.AtOnce(len(ids), func(i int) {
		x, err := reader.Say(replicas[i%3], "commentAdd", in)
		if err != nil || x.Reason() != "" || x.Submission == nil {
			t.Errorf("%+v, %v", x, err)
			return
		}
		ids[i] = x.Submission.ID
	})
	if slices.Sort(ids); ids[0] == "" || ids[0] != ids[len(ids)-1] {
		t.Errorf("five equal calls make %v", ids)
	}
	if again := reader.Must(t, replicas[0], "commentAdd", in); again.Submission.ID != ids[0] {
		t.Errorf("a sixth makes %s", again.Submission.ID)
	}
	in["bodyMarkdown"] = "Twice."
	if x, err := reader.Say(replicas[0], "commentAdd", in); err != nil || x.Reason() != "KEY_REUSED" {
		t.Errorf("another text under the key: %+v, %v", x, err)
	}
}

// Comments are throttled over all replicas together.
func TestCommentsAreThrottled(t *testing.T) {
	replicas := stoatest.StartThree(t, stoatest.Database(t), redistest.Start(t).URL())
	replicas[0].Import(t, stoatest.Articles(2))
	reader, _ := stoatest.SignedIn(t, replicas[0], "Ruth", access.Customer)
	article, err := store.Articles.BySlug(t.Context(), replicas[0].Store, "article-0")
	stoatest.Check(t, err)
	came := map[string]int{}
	for i := range 7 {
		x, err := reader.Say(replicas[i%3], "commentAdd", stoatest.Input{"articleId": article.ID, "bodyMarkdown": "Again."})
		stoatest.Check(t, err)
		came[x.Reason()]++
	}
	if came[""] != 5 || came["THROTTLED"] != 2 {
		t.Errorf("of seven in a row come %v", came)
	}
	// Rendering takes work, so that it comes after the limit: a text that can't be rendered is
	// refused for its rate, too.
	x, err := reader.Say(replicas[0], "commentAdd", stoatest.Input{"articleId": article.ID, "bodyMarkdown": strings.Repeat(">", 100) + "deep"})
	if stoatest.Check(t, err); x.Reason() != "THROTTLED" {
		t.Errorf("a text that can't be rendered, beyond the limit: %q, want THROTTLED before it is rendered", x.Reason())
	}
}

func TestCommentsWaitWhereTheyAreModerated(t *testing.T) {
	s := stoatest.StartAll(t, stoatest.Settings{"STOA_COMMENTS": "moderated"})[0]
	s.Import(t, stoatest.Articles(2))
	reader, _ := stoatest.SignedIn(t, s, "Ruth", access.Customer)
	author, _ := stoatest.SignedIn(t, s, "Chloe", access.Author)
	editor, _ := stoatest.SignedIn(t, s, "Edgar", access.Editor)
	article, err := store.Articles.BySlug(t.Context(), s.Store, "article-0")
	stoatest.Check(t, err)
	counts := func(want, waiting int) {
		t.Helper()
		ids, count, err := thread(s, "article-0")
		if err != nil || len(ids) != want || count != want {
			t.Errorf("%d are listed and %d counted, %v; want %d", len(ids), count, err, want)
		}
		var out struct {
			Viewer struct {
				CommentQueue struct{ Nodes []struct{ ID string } }
			}
		}
		stoatest.Check(t, editor.Ask(s, &out, `{ viewer { commentQueue { nodes { id } } } }`, nil))
		if got := len(out.Viewer.CommentQueue.Nodes); got != waiting {
			t.Errorf("%d wait; want %d", got, waiting)
		}
	}
	add := func(c stoatest.Caller, text string) stoatest.Said {
		t.Helper()
		return c.Must(t, s, "commentAdd", stoatest.Input{"articleId": article.ID, "bodyMarkdown": text})
	}
	counts(0, 0)
	waits := add(reader, "Please.").Submission
	if waits.Status != "PENDING" || waits.Comment != nil {
		t.Errorf("a reader's comment is %+v", waits)
	}
	if at := add(author, "At once.").Submission; at.Status != "VISIBLE" || at.Comment == nil {
		t.Errorf("an author's comment is %+v", at)
	}
	counts(1, 1)
	if x, err := author.Say(s, "commentAdd", stoatest.Input{"articleId": article.ID, "parentId": waits.ID, "bodyMarkdown": "No."}); err != nil || x.Reason() != "NOT_FOUND" {
		t.Errorf("an answer to one that waits: %+v, %v", x, err)
	}
	editor.Must(t, s, "commentModerate", stoatest.Input{"id": waits.ID, "action": "APPROVE", "expectedVersion": 1})
	counts(2, 0)
	if x := reader.Must(t, s, "commentUpdate", stoatest.Input{"id": waits.ID, "bodyMarkdown": "Spam!"}).Submission; x.Status != "PENDING" {
		t.Errorf("an approved comment that is changed is %+v", x)
	}
	counts(1, 1)
	if x, err := editor.Say(s, "commentModerate", stoatest.Input{"id": waits.ID, "action": "APPROVE", "expectedVersion": 1}); err != nil || x.Reason() != "CONFLICT" {
		t.Errorf("an approval of what was there before: %+v, %v", x, err)
	}
}

func TestACommentIsChangedInItsFirstMinutesOnly(t *testing.T) {
	s := stoatest.StartAll(t, stoatest.Settings{})[0]
	s.Import(t, stoatest.Articles(2))
	reader, ruth := stoatest.SignedIn(t, s, "Ruth", access.Customer)
	article, err := store.Articles.BySlug(t.Context(), s.Store, "article-0")
	stoatest.Check(t, err)
	write := func(age time.Duration, parent id.ID) id.ID {
		made, err := s.Store.AddComment(t.Context(), &store.Comment{
			ID: id.New(id.Comment), ArticleID: article.ID, ParentID: parent, AccountID: ruth.ID, BodyMarkdown: "A", BodyHTML: "<p>A</p>\n",
			CreatedAt: time.Now().Add(-age), Status: store.CommentVisible, Visible: true, Version: 1,
		})
		stoatest.Check(t, err)
		return made.ID
	}
	for age, want := range map[time.Duration]string{14 * time.Minute: "", 16 * time.Minute: "FORBIDDEN"} {
		made := write(age, "")
		if x, err := reader.Say(s, "commentUpdate", stoatest.Input{"id": made, "bodyMarkdown": "B"}); err != nil || x.Reason() != want {
			t.Errorf("after %s: %+v, %v; want %q", age, x, err, want)
		}
		reader.Must(t, s, "commentDelete", stoatest.Input{"id": made}) // at any time
	}
	parent := id.ID("")
	for range 5 {
		parent = write(time.Minute, parent)
	}
	if x, err := reader.Say(s, "commentAdd", stoatest.Input{"articleId": article.ID, "parentId": parent, "bodyMarkdown": "Deeper."}); err != nil || x.Reason() != "INVALID" {
		t.Errorf("a sixth level: %+v, %v", x, err)
	}
}

// Comments stay after their account is deleted, without the name: also if the deletion was
// interrupted.
func TestCommentsStayWithoutTheName(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	replicas[0].Import(t, stoatest.Articles(2))
	db := stoatest.OpenDatabase(t, uri)
	article, err := store.Articles.BySlug(t.Context(), replicas[0].Store, "article-0")
	stoatest.Check(t, err)
	for _, interrupted := range []bool{false, true} {
		p := stoatest.AddMembers(t, replicas[0], 1, access.Customer)[0]
		reader := stoatest.LogIn(t, replicas[0], p)
		made := reader.Must(t, replicas[0], "commentAdd", stoatest.Input{"articleId": article.ID, "bodyMarkdown": "Remember me."})
		if made.Submission.AuthorName != p.Name {
			t.Fatalf("it is by %q", made.Submission.AuthorName)
		}
		if interrupted {
			stoatest.Check(t, replicas[0].Store.Begin(t.Context(), "forget/"+p.ID+"/"+p.Email))
			secret, err := replicas[0].Store.SecretOf(t.Context(), id.ID(p.ID))
			stoatest.Check(t, err)
			stoatest.Check(t, replicas[0].Store.DeleteAccount(t.Context(), &secret.Account))
			stoatest.Check(t, replicas[0].Store.ForgetAccount(context.Background(), id.ID(p.ID), p.Email)) // as the next sweep does
		} else {
			reader.Do(t, replicas[0], "accountDelete", stoatest.Input{"password": p.Password})
		}
		if left := stoatest.Traces(t, db, p.Name, p.Email); len(left) > 0 && !interrupted {
			t.Errorf("left of the account is %v", left)
		}
		if n := stoatest.Count(t, db, "comments", bson.D{{Key: "accountId", Value: p.ID}}); n != 0 {
			t.Errorf("%d comments are the account's", n)
		}
		var out struct {
			Node *struct{ AuthorName, BodyHtml string }
		}
		stoatest.Check(t, stoatest.NewCaller().Ask(replicas[0], &out, `query ($id: ID!) { node(id: $id) { ... on Comment { authorName bodyHtml } } }`, map[string]any{"id": made.Submission.Comment.ID}))
		if out.Node == nil || out.Node.AuthorName != "" || !strings.Contains(out.Node.BodyHtml, "Remember me.") {
			t.Errorf("left is %+v", out.Node)
		}
	}
}
