package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"pgregory.net/rapid"

	"stoa/id"
	"stoa/problem"
)

// saying is a comment of the test's own, as the importer writes them.
func saying(article, parent id.ID, at int) *Comment {
	return &Comment{ID: id.New(id.Comment), ArticleID: article, ParentID: parent, CreatedAt: second(at), Status: CommentVisible, Visible: true, Version: 1}
}

// fillThread puts n comments under an article, past everything that a write would do, and
// returns those that answer the article.
func fillThread(t testing.TB, s *Store, article id.ID, n int) (top []*Comment) {
	t.Helper()
	var some []any
	for i := range n {
		c := saying(article, "", i)
		if i%3 == 2 { // under the first comment, so that its replies are many, too
			c.ParentID, c.AncestorIDs = top[0].ID, []id.ID{top[0].ID}
		} else {
			top = append(top, c)
		}
		some = append(some, c)
		if len(some) == 1000 || i == n-1 {
			if _, err := s.db.Collection(comments).InsertMany(t.Context(), some); err != nil {
				t.Fatal(err)
			}
			some = nil
		}
	}
	return top
}

// visibleThread is a thread as its readers see it: the ids of all that is shown, those that answer
// the same comment in their order, with their depths and numbers of replies.
func visibleThread(ctx context.Context, s *Store, article id.ID) (lines []string, err error) {
	thread, err := s.Children(ctx, []ChildrenKey{ChildrenKey(article)})
	if err != nil {
		return nil, err
	}
	var walk func(under id.ID, depth int) error
	walk = func(under id.ID, depth int) error {
		size := 70
		w := Window{First: &size}
		for {
			part, err := NewChildrenWindow(ChildrenKey(article), under, w)
			if err != nil {
				return err
			}
			list := thread[0]
			if key := part.Part(list); key != "" {
				found, err := s.Children(ctx, []ChildrenKey{key})
				if err != nil {
					return err
				}
				list = found[0]
			}
			p, ok := part.Page(list)
			if !ok {
				if p, err = part.Beyond(s).Page(ctx); err != nil {
					return err
				}
			}
			if n, all := part.Len(list); w.After == nil && !all {
				counted, err := s.ChildrenCounts(ctx, []ChildrenKey{part.Counted()})
				if err != nil {
					return err
				}
				lines = append(lines, fmt.Sprint("under ", under, " ", counted[0].N))
			} else if w.After == nil {
				lines = append(lines, fmt.Sprint("under ", under, " ", n))
			}
			ids, keys := make([]id.ID, len(p.Entries)), make([]ChildrenKey, len(p.Entries))
			for i, e := range p.Entries { // all at once, so that the rest comes from memory
				ids[i], keys[i] = e.ID, RepliesTo(article, e.ID)
			}
			if _, err := Comments.All(ctx, s, ids); err != nil {
				return err
			}
			if !thread[0].Threaded() {
				if _, err := s.Children(ctx, keys); err != nil {
					return err
				}
			}
			for _, e := range p.Entries {
				found, err := s.ShownComments(ctx, []id.ID{e.ID}, s.Children)
				if err != nil {
					return err
				}
				if found[0] == nil {
					return fmt.Errorf("%s is listed, and not shown by its id", e.ID)
				}
				at, err := s.Depth(ctx, found[0], thread[0])
				if err != nil {
					return err
				}
				lines = append(lines, fmt.Sprint(e.ID, " ", at))
				if at != depth {
					return fmt.Errorf("%s is at depth %d; want %d", e.ID, at, depth)
				}
				if err := walk(e.ID, depth+1); err != nil {
					return err
				}
			}
			if len(p.Entries) == 0 || !p.HasNext {
				return nil
			}
			after := p.Cursor(len(p.Entries) - 1)
			w.After = &after
		}
	}
	err = walk("", 1)
	n, _ := thread[0].Len()
	return append(lines, fmt.Sprint("shown ", n)), err
}

// expectedThread is the right visibleThread, from the documents alone.
func expectedThread(ctx context.Context, s *Store, article id.ID) ([]string, error) {
	whole, err := s.readWhole(ctx, []ChildrenKey{ChildrenKey(article)})
	if err != nil {
		return nil, err
	}
	c := whole[article]
	var lines []string
	var walk func(under id.ID, list []Entry)
	walk = func(under id.ID, list []Entry) {
		lines = append(lines, fmt.Sprint("under ", under, " ", len(list)))
		for _, e := range list {
			lines = append(lines, fmt.Sprint(e.ID, " ", c.depths[e.ID]))
			walk(e.ID, c.replies[e.ID])
		}
	}
	walk("", c.entries)
	return append(lines, fmt.Sprint("shown ", len(c.depths))), nil
}

// Two replicas change a thread that is longer than its head, and may be killed anywhere: every
// list, count, depth and comment by its id is as in the whole thread.
func TestALongThreadIsAsTheWholeOne(t *testing.T) {
	stores := twoStores(t, nil)
	statuses := []CommentStatus{CommentVisible, CommentVisible, CommentPending, CommentHidden, CommentDeleted}
	rapid.Check(t, func(r *rapid.T) {
		ctx := context.Background()
		a := published(string(id.New(id.Article)), second(1))
		if err := stores[0].AddArticle(ctx, a); err != nil {
			r.Fatal(err)
		}
		var owner id.ID
		all := map[id.ID]*Comment{}
		top := fillThread(t, stores[0], a.ID, headSize+5)
		for _, c := range top[:4] {
			all[c.ID] = c
		}
		compare := func(when string) {
			for _, s := range stores {
				s.Flush()
			}
			for _, s := range stores {
				want, err := expectedThread(ctx, s, a.ID)
				if err != nil {
					r.Fatal(err)
				}
				for _, again := range []bool{false, true} { // in parts, once it can be trusted
					s.Flush()
					got, err := visibleThread(ctx, s, a.ID)
					if err != nil || !slices.Equal(got, want) {
						r.Fatalf("%s, again %t: %v: %s", when, again, err, firstDifference(got, want))
					}
					whole, err := s.readWhole(ctx, []ChildrenKey{ChildrenKey(a.ID)})
					if err != nil {
						r.Fatal(err)
					}
					ids := slices.Sorted(maps.Keys(all))
					found, err := s.ShownComments(ctx, ids, s.Children)
					if err != nil {
						r.Fatal(err)
					}
					for i, c := range found {
						if is, should := c != nil, whole[a.ID].Shows(ids[i]); is != should {
							r.Fatalf("%s, again %t: by its id %s is shown %t; want %t", when, again, ids[i], is, should)
						}
					}
				}
			}
		}
		compare("at first")
		for step := range rapid.IntRange(1, 5).Draw(r, "steps") {
			s := stores[rapid.IntRange(0, 1).Draw(r, "replica")]
			status := rapid.SampledFrom(statuses).Draw(r, "status")
			ids := slices.Sorted(maps.Keys(all))
			var before *Comment
			after := saying(a.ID, "", 1000+step)
			if rapid.Bool().Draw(r, "add") {
				if rapid.Bool().Draw(r, "answer") {
					after.ParentID = rapid.SampledFrom(ids).Draw(r, "parent")
				}
				after.AccountID = owner
				if status == CommentDeleted {
					status = CommentVisible
				}
				after.Status, after.Visible = status, status == CommentVisible
			} else {
				found, err := s.CommentNow(ctx, rapid.SampledFrom(ids).Draw(r, "which"))
				if err != nil {
					r.Fatal(err)
				}
				before = found
				copied := *before
				after = &copied
				after.Status = status
				if after.Visible = status == CommentVisible; status == CommentDeleted {
					after.Visible = before.Visible
				}
			}
			how := rapid.SampledFrom([]string{"well", "well", "well", "killed before", "killed after"}).Draw(r, "how")
			wrote := how != "killed before"
			write := func() error {
				if before == nil {
					return s.addComment(ctx, after)
				}
				return s.ChangeComment(ctx, before, after)
			}
			if how != "well" {
				// A killed writer leaves its registration, and maybe its document.
				check(t, s.register(ctx, "dead"+fmt.Sprint(step), []string{threadTally(a.ID)}))
				if wrote && before == nil {
					check(t, s.giveAncestors(ctx, []*Comment{after}))
					if after.Event == "" {
						after.Event = "none/" + string(id.New(id.Publication))
					}
					_, err := s.db.Collection(comments).InsertOne(ctx, after)
					check(t, err)
				} else if wrote {
					change := bson.D{{Key: "$set", Value: bson.D{{Key: "status", Value: after.Status}, {Key: "visible", Value: after.Visible}}}}
					if before.IsDeleted() != after.IsDeleted() {
						change = append(change, bson.E{Key: "$unset", Value: bson.D{{Key: "bare", Value: ""}}})
					}
					_, err := s.db.Collection(comments).UpdateOne(ctx, bson.D{{Key: "_id", Value: after.ID}}, change)
					check(t, err)
				}
				later(t, s, rapid.SampledFrom([]time.Duration{suspectAfter, abandonedAfter}).Draw(r, "age"))
			} else if err := write(); err != nil {
				r.Fatal(err)
			}
			if wrote {
				all[after.ID] = after
			}
			if rapid.Bool().Draw(r, "look") {
				compare(fmt.Sprint("after step ", step, ", ", how))
			}
		}
		compare("at last")
	})
}

// Two replicas write in one long thread at once: in the end it is as the whole one.
func TestALongThreadHoldsUnderConcurrentWrites(t *testing.T) {
	stores := twoStores(t, nil)
	a := published("a", second(1))
	check(t, stores[0].AddArticle(t.Context(), a))
	top := fillThread(t, stores[0], a.ID, headSize+5)
	key := []ChildrenKey{ChildrenKey(a.ID)}
	_, err := stores[0].Children(t.Context(), key)
	check(t, err)
	var all sync.WaitGroup
	for i := range 4 {
		s := stores[i%2]
		all.Go(func() {
			for n := range 6 {
				ctx := context.Background()
				c := saying(a.ID, top[1+n%2].ID, 1000+n)
				if err := s.addComment(ctx, c); err != nil {
					t.Error(err)
					return
				}
				before, err := s.CommentNow(ctx, []id.ID{c.ID, top[1].ID, top[2].ID}[(n+i)%3])
				if err != nil {
					t.Error(err)
					return
				}
				after := *before
				after.Status = []CommentStatus{CommentHidden, CommentVisible, CommentDeleted}[n%3]
				if after.Visible = after.Status == CommentVisible; after.Status == CommentDeleted {
					after.Visible = before.Visible
				}
				if err := s.ChangeComment(ctx, before, &after); err != nil && !problem.Is(err, problem.Conflict) {
					t.Error(err)
				}
				s.Flush()
				if _, err := s.Children(ctx, key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	want, err := expectedThread(t.Context(), stores[0], a.ID)
	check(t, err)
	for i := range 3 {
		s := stores[i%2]
		s.Flush()
		if got, err := visibleThread(t.Context(), s, a.ID); err != nil || !slices.Equal(got, want) {
			t.Errorf("reading %d: %v: %s", i, err, firstDifference(got, want))
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		at := func(l []string) string {
			if i < len(l) {
				return l[i]
			}
			return "nothing"
		}
		if at(got) != at(want) {
			return fmt.Sprintf("line %d is %s; want %s", i, at(got), at(want))
		}
	}
	return "no difference"
}

// The first page of comments under an article with 12,000 comments takes as many commands, and
// to within a factor of 2 as many documents, keys and bytes, as under one with 500; and so does
// a comment that is added, with the page after it. No more than one head of a list is cached.
func TestALongThreadCostsNoMoreThanAShorterOne(t *testing.T) {
	type cost struct {
		commands               string
		documents, keys, bytes int64
	}
	costs := map[int]cost{}
	for _, n := range []int{500, 12_000} {
		var mu sync.Mutex
		var sent []bson.Raw
		s := openStore(t, func(e *event.CommandStartedEvent) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, slices.Clone(e.Command))
		})
		a := published("a", second(1))
		check(t, s.AddArticle(t.Context(), a))
		top := fillThread(t, s, a.ID, n)
		page := func() int {
			t.Helper()
			s.Flush()
			found, err := s.Children(t.Context(), []ChildrenKey{ChildrenKey(a.ID)})
			check(t, err)
			replies, err := s.Children(t.Context(), []ChildrenKey{RepliesTo(a.ID, top[0].ID), RepliesTo(a.ID, top[1].ID)})
			check(t, err)
			_, err = s.ChildrenCounts(t.Context(), []ChildrenKey{ChildrenKey(a.ID), RepliesTo(a.ID, top[0].ID)})
			check(t, err)
			for _, c := range append(found, replies...) {
				if len(c.rows) > headSize || len(c.entries) > headSize {
					t.Errorf("of %d comments %d are cached in one list", n, len(c.rows))
				}
			}
			shown, _ := found[0].Len()
			return shown
		}
		page() // reads the whole thread once
		page() // and counts its lists
		mu.Lock()
		sent = nil
		mu.Unlock()
		first := saying(a.ID, top[1].ID, n)
		check(t, s.addComment(t.Context(), first))
		if shown := page(); shown != n+1 {
			t.Errorf("%d of %d comments are shown", shown, n+1)
		}
		mu.Lock()
		commands := slices.Clone(sent)
		mu.Unlock()
		var c cost
		for _, command := range commands {
			name, _ := command.IndexErr(0)
			c.commands += name.Key() + " "
			plain := explainable(t, command)
			if plain == nil {
				continue
			}
			if name.Key() == "find" || name.Key() == "aggregate" {
				reply, err := s.db.RunCommand(t.Context(), plain).Raw()
				check(t, err)
				c.bytes += int64(len(reply))
			}
			documents, keys := examined(t, s, plain)
			c.documents += documents
			c.keys += keys
		}
		costs[n] = c
	}
	few, many := costs[500], costs[12_000]
	t.Logf("500: %+v, 12,000: %+v", few, many)
	if few.commands != many.commands || few.documents == 0 || many.documents > 2*few.documents || many.keys > 2*few.keys || many.bytes > 2*few.bytes {
		t.Errorf("among 500 comments a page and a comment cost %+v, among 12,000 %+v", few, many)
	}
}

// Comments of earlier versions lack their ancestors: the migration gives them, and until then they
// are looked up.
func TestCommentsOfVersionsBeforeGetTheirAncestors(t *testing.T) {
	s := openStore(t, nil)
	article := id.New(id.Article)
	var chain []*Comment
	parent := id.ID("")
	for i := range 4 {
		c := saying(article, parent, i)
		chain = append(chain, c)
		parent = c.ID
		_, err := s.db.Collection(comments).InsertOne(t.Context(), c)
		check(t, err)
	}
	left, err := unplacedComments(t.Context(), s)
	check(t, err)
	if len(left) != 1 {
		t.Errorf("a dry run says %q", left)
	}
	want := []id.ID{chain[0].ID, chain[1].ID, chain[2].ID}
	up, err := s.Ancestors(t.Context(), chain)
	check(t, err)
	if got := up[chain[3].ID]; !slices.Equal(got, want) {
		t.Errorf("before it the last is under %v; want %v", got, want)
	}
	for range 2 { // again, as after a crash
		check(t, placeComments(t.Context(), s))
	}
	found, err := Comments.All(t.Context(), s, []id.ID{chain[3].ID, chain[0].ID})
	check(t, err)
	if !slices.Equal(found[0].AncestorIDs, want) || len(found[1].AncestorIDs) > 0 {
		t.Errorf("after it they are under %v and %v; want %v and nothing", found[0].AncestorIDs, found[1].AncestorIDs, want)
	}
	if left, err = unplacedComments(t.Context(), s); err != nil || len(left) > 0 {
		t.Errorf("what is left is %q, %v", left, err)
	}
}
