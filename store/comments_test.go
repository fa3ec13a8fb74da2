package store

// Comments over a real database: threads, counts, statuses, and accounts that are deleted.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
)

func TestWhatAChangeOfACommentMakesStale(t *testing.T) {
	base := &Comment{ID: "com_1", ArticleID: "art_1", AccountID: "acc_1", Status: CommentVisible, Visible: true}
	with := func(status CommentStatus, visible bool) *Comment {
		c := *base
		c.Status, c.Visible = status, visible
		return &c
	}
	const thread, own, event = "children/art_1", "list/comments/acc_1", "events/art_1"
	tag := func(s CommentStatus) string { return "list/comments/" + string(s) }
	edited := *base
	edited.BodyHTML = "other"
	cases := map[string]struct {
		reason        string
		before, after *Comment
		more          []string // besides itself
	}{
		"Added":    {"it appears in its thread, among its owner's, and in a queue", nil, base, []string{thread, own, event, tag(CommentVisible)}},
		"Waits":    {"or not in its thread", nil, with(CommentPending, false), []string{own, tag(CommentPending)}},
		"Edited":   {"where it is stays", base, &edited, nil},
		"Approved": {"it appears", with(CommentPending, false), base, []string{thread, event, tag(CommentPending), tag(CommentVisible)}},
		"Hidden":   {"it vanishes", base, with(CommentHidden, false), []string{thread, tag(CommentHidden), tag(CommentVisible)}},
		"Spam":     {"one that isn't shown goes from one queue to another", with(CommentHidden, false), with(CommentSpam, false), []string{tag(CommentHidden), tag(CommentSpam)}},
		"Deleted":  {"what is left may be shown or not", base, with(CommentDeleted, true), []string{thread, tag(CommentDeleted), tag(CommentVisible)}},
		"Gone":     {"of what wasn't shown nothing is", with(CommentSpam, false), with(CommentDeleted, false), []string{tag(CommentSpam), tag(CommentDeleted)}},
		"Old":      {"a status that is written down is no change of it", &Comment{ID: "com_1", ArticleID: "art_1", Visible: true}, base, nil},
	}
	for name, c := range cases {
		want := append([]string{"com_1"}, c.more...)
		slices.Sort(want)
		if got := commentKeys(c.before, c.after); !slices.Equal(got, want) {
			t.Errorf("%s: %s:\n%v\nwant\n%v", name, c.reason, got, want)
		}
	}
}

// After any changes of comments, in any order, every count and list in memory agrees with the
// documents: compared with answers computed from the documents alone.
func TestCountsOfCommentsAreAlwaysRight(t *testing.T) {
	s := openStore(t, nil)
	owners := []id.ID{id.New(id.Account), id.New(id.Account)}
	for i, owner := range owners {
		check(t, s.AddAccount(t.Context(), &Secret{Account: Account{ID: owner, Email: fmt.Sprint(i)}}))
	}
	statuses := []CommentStatus{CommentVisible, CommentPending, CommentHidden, CommentSpam, CommentDeleted}
	as := func(owner id.ID, role access.Role) context.Context {
		ctx, _ := access.Begin(context.Background(), access.Request{})
		access.Become(ctx, access.Viewer{Account: owner, Role: role})
		return ctx
	}
	rapid.Check(t, func(r *rapid.T) {
		var articles []id.ID
		for i := range 2 {
			a := published(string(id.New(id.Article)), second(i))
			if err := s.AddArticle(context.Background(), a); err != nil {
				r.Fatal(err)
			}
			articles = append(articles, a.ID)
		}
		all := map[id.ID]*Comment{}
		var ids []id.ID
		counts := map[CommentStatus]int{}
		base := map[string]int{} // from earlier runs, in lists of the whole database
		listed := func(name string, ctx context.Context, list func(context.Context) (*List, error)) int {
			l, err := list(ctx)
			if err != nil {
				r.Fatal(err)
			}
			n, _, err := l.Count(ctx, 1_000_000)
			if err != nil {
				r.Fatal(err)
			}
			if _, known := base[name]; !known {
				base[name] = n
			}
			return n - base[name]
		}
		compare := func() {
			for _, a := range articles {
				found, err := s.Children(context.Background(), []ChildrenKey{ChildrenKey(a)})
				if err != nil {
					r.Fatal(err)
				}
				want := map[id.ID]int{}
				for i, c := range all {
					if d := depthIn(all, i); d > 0 && c.ArticleID == a {
						want[i] = d
					}
				}
				if got := lengthOf(found[0]); got != len(want) {
					r.Fatalf("the count is %d; %d can be reached", got, len(want))
				}
				for i := range all {
					if got := found[0].Depth(i); all[i].ArticleID == a && got != want[i] {
						r.Fatalf("%s is at depth %d; want %d", i, got, want[i])
					}
				}
			}
			for _, owner := range owners {
				want := 0
				for _, c := range all {
					if c.AccountID == owner {
						want++
					}
				}
				if got := listed(string(owner), as(owner, access.Customer), func(ctx context.Context) (*List, error) { return s.ListOwnComments(ctx, Window{}) }); got != want {
					r.Fatalf("%s has %d comments; want %d", owner, got, want)
				}
			}
			for _, status := range statuses {
				if got := listed(string(status), as(owners[0], access.Editor), func(ctx context.Context) (*List, error) {
					return s.ListCommentQueue(ctx, []CommentStatus{status}, Window{})
				}); got != counts[status] {
					r.Fatalf("%d are %s; want %d", got, status, counts[status])
				}
			}
		}
		compare()
		for step := range rapid.IntRange(1, 12).Draw(r, "steps") {
			status := rapid.SampledFrom(statuses).Draw(r, "status")
			if len(ids) == 0 || rapid.Bool().Draw(r, "add") {
				c := &Comment{
					ID: id.New(id.Comment), ArticleID: rapid.SampledFrom(articles).Draw(r, "article"), AccountID: rapid.SampledFrom(owners).Draw(r, "owner"),
					CreatedAt: second(step), Status: status, Visible: status == CommentVisible, Version: 1,
				}
				if len(ids) > 0 && rapid.Bool().Draw(r, "answer") {
					parent := all[rapid.SampledFrom(ids).Draw(r, "parent")]
					c.ParentID, c.ArticleID = parent.ID, parent.ArticleID
				}
				if _, err := s.AddComment(context.Background(), c); err != nil {
					r.Fatal(err)
				}
				all[c.ID] = c
				ids = append(ids, c.ID)
				counts[status]++
			} else {
				before := all[rapid.SampledFrom(ids).Draw(r, "which")]
				after := *before
				after.Status = status
				if after.Visible = status == CommentVisible; status == CommentDeleted {
					after.Visible = before.Visible
				}
				if err := s.ChangeComment(context.Background(), before, &after); err != nil {
					r.Fatal(err)
				}
				all[after.ID] = &after
				counts[before.Status]--
				counts[status]++
			}
			compare()
		}
	})
}

// depthIn is the depth of a comment as shown, by the plain rule: the comment and all those above it
// have their places, and a deleted comment is shown as long as it has replies.
func depthIn(all map[id.ID]*Comment, comment id.ID) int {
	var shown func(id.ID) bool
	shown = func(i id.ID) bool {
		if !all[i].Visible {
			return false
		}
		if all[i].Status != CommentDeleted {
			return true
		}
		for k, c := range all {
			if c.ParentID == i && shown(k) {
				return true
			}
		}
		return false
	}
	depth := 0
	for i := comment; i != ""; i = all[i].ParentID {
		if !shown(i) {
			return 0
		}
		depth++
	}
	return depth
}

func TestOfTwoWhoChangeACommentOneIsTold(t *testing.T) {
	s := openStore(t, nil)
	for _, version := range []int64{0, 1} { // one that is older than versions, too
		c := &Comment{ID: id.New(id.Comment), ArticleID: id.New(id.Article), Visible: true, Version: version}
		check(t, s.AddComments(t.Context(), []*Comment{c}))
		after := *c
		after.Status = CommentHidden
		check(t, s.ChangeComment(t.Context(), c, &after))
		late := *c
		if err := s.ChangeComment(t.Context(), c, &late); !problem.Is(err, problem.Conflict) {
			t.Errorf("version %d: the second is told %v", version, err)
		}
	}
}

// A deleted account leaves no name behind, in comments written at that moment neither.
func TestAnAccountThatGoesIsForgottenInItsComments(t *testing.T) {
	s := openStore(t, nil)
	owner := &Secret{Account: Account{ID: id.New(id.Account), Email: "ruth@example.org"}}
	check(t, s.AddAccount(t.Context(), owner))
	on := published("a", second(1))
	check(t, s.AddArticle(t.Context(), on))
	article := on.ID
	say := func() (*Comment, error) {
		return s.AddComment(context.Background(), &Comment{
			ID: id.New(id.Comment), ArticleID: article, AccountID: owner.ID, AuthorName: "Ruth Casey", BodyHTML: "<p>Yes.</p>", Status: CommentVisible, Visible: true, Version: 1,
		})
	}
	first, err := say()
	check(t, err)
	found, err := Comments.All(t.Context(), s, []id.ID{first.ID})
	check(t, err)
	if found[0].AuthorName != "Ruth Casey" {
		t.Fatalf("%+v", found[0])
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				if _, err := say(); err != nil && !problem.Is(err, problem.NotFound) {
					t.Error(err)
				}
			}
		})
	}
	check(t, s.DeleteAccount(t.Context(), &owner.Account))
	for range 2 { // again, as after a crash
		check(t, s.ForgetAccount(t.Context(), owner.ID, owner.Email))
	}
	all.Wait()
	stale := *first
	if err := s.ChangeComment(t.Context(), first, &stale); !problem.Is(err, problem.Conflict) {
		t.Errorf("a change that had begun brings the name back: %v", err)
	}
	thread, err := s.Children(t.Context(), []ChildrenKey{ChildrenKey(article)})
	check(t, err)
	if lengthOf(thread[0]) == 0 {
		t.Error("the comments are gone")
	}
	for _, r := range thread[0].rows {
		c, err := s.CommentNow(t.Context(), r.ID)
		check(t, err)
		cached, err := Comments.All(t.Context(), s, []id.ID{r.ID})
		check(t, err)
		for _, c := range []*Comment{c, cached[0]} {
			if c.AccountID != "" || strings.Contains(c.AuthorName, "Ruth") || c.BodyHTML != "<p>Yes.</p>" {
				t.Errorf("left is %+v", c)
			}
		}
	}
}
