package store

// Followers over a real database: none misses an event, slow ones catch up, and readers end.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"stoa/id"
	"stoa/problem"
	"stoa/store/cache"
)

// publishMany publishes n articles, and returns their ids in that order.
func publishMany(t *testing.T, s *Store, n int) []id.ID {
	t.Helper()
	var all []id.ID
	for range n {
		a := published(string(id.New(id.Article)), second(100))
		check(t, s.AddArticle(t.Context(), a))
		all = append(all, a.ID)
	}
	return all
}

// hear takes n events and returns their subjects.
func hear(t *testing.T, f *Following, n int) (of []id.ID, last id.ID) {
	t.Helper()
	for range n {
		select {
		case e, ok := <-f.Events:
			if !ok {
				t.Fatalf("after %d events it ends: %v", len(of), f.Err())
			}
			of, last = append(of, e.Of), e.ID
		case <-time.After(20 * time.Second):
			t.Fatalf("%d events have come instead of %d", len(of), n)
		}
	}
	return of, last
}

func expectOf(t *testing.T, f *Following, want []id.ID) (last id.ID) {
	t.Helper()
	got, last := hear(t, f, len(want))
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	return last
}

// Many events at once and late followers: no event is lost, other followers don't wait, and no more
// events wait in memory than a queue has.
func TestASlowFollowerCatchesUp(t *testing.T) {
	s := openStore(t, nil)
	slow, err := s.Published(t.Context(), nil)
	check(t, err)
	quick, err := s.Published(t.Context(), nil)
	check(t, err)
	const many = 3*queued + eventsAtOnce
	all := publishMany(t, s, many)
	last := expectOf(t, quick, all)
	if n := len(slow.Events); n > queued {
		t.Errorf("%d events wait", n)
	}
	expectOf(t, slow, all)
	// Both then receive new events.
	more := publishMany(t, s, 3)
	expectOf(t, slow, more)
	expectOf(t, quick, more)
	// A client that comes back continues after its last event, even a long time later.
	late, err := s.Published(t.Context(), &last)
	check(t, err)
	expectOf(t, late, more)
	first := newEvent(AllPublished, 1, all[0]).ID
	from, err := s.Published(t.Context(), &first)
	check(t, err)
	expectOf(t, from, append(slices.Clone(all[1:]), more...))
}

func TestWhoDoesNotTakeEventsIsLeft(t *testing.T) {
	s := openStore(t, nil)
	s.live.takeTime = 50 * time.Millisecond
	f, err := s.Published(t.Context(), nil)
	check(t, err)
	all := publishMany(t, s, 2*queued)
	for began := time.Now(); f.Err() == nil; runtime.Gosched() {
		if time.Since(began) > 20*time.Second {
			t.Fatal("it isn't left")
		}
	}
	var last id.ID
	n := 0
	for e := range f.Events { // the events in its queue
		if e.Of != all[n] {
			t.Fatalf("event %d is of %s", n, e.Of)
		}
		last, n = e.ID, n+1
	}
	if !errors.Is(f.Err(), ErrTooSlow) || n < queued {
		t.Errorf("after %d events: %v", n, f.Err())
	}
	again, err := s.Published(t.Context(), &last)
	check(t, err)
	expectOf(t, again, all[n:])
}

func TestFollowingIsRefused(t *testing.T) {
	s := openStore(t, nil)
	publishMany(t, s, 1)
	for name, after := range map[string]id.ID{
		"an article": id.New(id.Article), "another topic's": newEvent("art_1", 1, "com_1").ID,
	} {
		if _, err := s.Published(t.Context(), &after); !problem.Is(err, problem.Invalid) {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if _, err := s.CommentsAdded(t.Context(), id.New(id.Article), nil); !problem.Is(err, problem.NotFound) {
		t.Errorf("comments on nothing: %v", err)
	}
	// An event unknown to the database, an older copy, counts as the last event.
	beyond := newEvent(AllPublished, 1000, id.New(id.Article)).ID
	f, err := s.Published(t.Context(), &beyond)
	check(t, err)
	expectOf(t, f, publishMany(t, s, 2))
}

// A hidden comment is no event, though it has a number. It becomes one when it is shown again.
func TestWhatIsTold(t *testing.T) {
	s := openStore(t, nil)
	owner := &Secret{Account: Account{ID: id.New(id.Account), Email: "owner"}}
	check(t, s.AddAccount(t.Context(), owner))
	article := published("on", second(100))
	check(t, s.AddArticle(t.Context(), article))
	f, err := s.CommentsAdded(t.Context(), article.ID, nil)
	check(t, err)
	add := func(parent id.ID, status CommentStatus) *Comment {
		t.Helper()
		c := &Comment{ID: id.New(id.Comment), ArticleID: article.ID, ParentID: parent, AccountID: owner.ID, CreatedAt: second(200), Status: status, Visible: status == CommentVisible, Version: 1}
		_, err := s.AddComment(t.Context(), c)
		check(t, err)
		return c
	}
	become := func(c *Comment, status CommentStatus) *Comment {
		t.Helper()
		after := *c
		after.Status, after.Visible = status, status == CommentVisible
		check(t, s.ChangeComment(t.Context(), c, &after))
		return &after
	}
	waits := add("", CommentPending)
	one := add("", CommentVisible)
	expectOf(t, f, []id.ID{one.ID})
	become(waits, CommentVisible)
	expectOf(t, f, []id.ID{waits.ID})
	hidden := become(one, CommentHidden)
	add(one.ID, CommentVisible) // under a hidden comment
	two := add("", CommentVisible)
	expectOf(t, f, []id.ID{two.ID})
	become(hidden, CommentVisible)
	expectOf(t, f, []id.ID{one.ID})
	// An article that isn't public has no events.
	draft := changedTo(article, func(a *Article) { a.Status = Draft })
	check(t, s.ChangeArticle(t.Context(), article, draft))
	add("", CommentVisible)
	back := changedTo(draft, func(a *Article) { a.Status = Published })
	for { // until that has been read
		f.reader.mu.Lock()
		at := f.reader.at
		f.reader.mu.Unlock()
		if at == 6 {
			break
		}
		runtime.Gosched()
	}
	check(t, s.ChangeArticle(t.Context(), draft, back))
	three := add("", CommentVisible)
	expectOf(t, f, []id.ID{three.ID})
}

// No other article gets the sequence number of one that was deleted for good.
func TestAPlaceIsTakenOnce(t *testing.T) {
	s := openStore(t, nil)
	publishMany(t, s, 2)
	gone := published("gone", second(1))
	check(t, s.AddArticle(t.Context(), gone))
	trash := changedTo(gone, func(a *Article) { a.Status, a.DeletedAt = Deleted, second(2) })
	check(t, s.ChangeArticle(t.Context(), gone, trash))
	event := newEvent(AllPublished, 3, gone.ID).ID
	if n, err := s.PurgeDeleted(t.Context(), second(3)); err != nil || n != 1 {
		t.Fatalf("%d were purged, %v", n, err)
	}
	s.Flush() // as after a start
	f, err := s.Published(t.Context(), &event)
	check(t, err)
	next := publishMany(t, s, 1)
	expectOf(t, f, next)
	last, err := s.LastEvent(t.Context(), AllPublished)
	check(t, err)
	if last.sequence != 4 {
		t.Errorf("the next has the sequence number %d", last.sequence)
	}
}

// A change costs the same number of commands for any number of followers.
func TestFollowersShareTheirReader(t *testing.T) {
	s := openStore(t, nil)
	all := make([]*Following, 500)
	for i := range all {
		var err error
		all[i], err = s.Published(t.Context(), nil)
		check(t, err)
	}
	s.live.mu.Lock()
	readers := len(s.live.topics)
	s.live.mu.Unlock()
	if readers != 1 {
		t.Errorf("there are %d readers", readers)
	}
	want := publishMany(t, s, 2)
	for _, f := range all {
		expectOf(t, f, want)
	}
}

// After the last follower of a topic nothing runs for it.
func TestReadersEnd(t *testing.T) {
	s := openStore(t, nil)
	for i := range 3 {
		ctx, stop := context.WithCancel(t.Context())
		_, err := s.Published(ctx, nil)
		check(t, err)
		if s.Followers() != 1 {
			t.Errorf("round %d: %d follow", i, s.Followers())
		}
		stop()
		for began := time.Now(); ; runtime.Gosched() {
			s.live.mu.Lock()
			topics := len(s.live.topics)
			s.live.mu.Unlock()
			if topics == 0 {
				break
			}
			if time.Since(began) > 20*time.Second {
				t.Fatal("the reader goes on")
			}
		}
	}
}

func TestEventsAreNamedInTheirOrder(t *testing.T) {
	var last id.ID
	for _, n := range []uint64{1, 2, 9, 10, 255, 256, 1 << 20, 999_999_999_999_999} {
		e := newEvent(AllPublished, n, id.New(id.Article))
		if _, err := id.Parse(string(e.ID)); err != nil || e.ID <= last {
			t.Errorf("%d: %s after %s, %v", n, e.ID, last, err)
		}
		if at, err := AllPublished.sequenceAfter(e.ID); err != nil || at != n || sequenceOf(AllPublished.sequenceKey(n)) != n {
			t.Errorf("%d is read as %d, %v", n, at, err)
		}
		last = e.ID
	}
	if fmt.Sprint(AllPublished.after(7)) != `{"event":{"$gt":"all/000000000000007","$lt":"all0"}}` {
		t.Errorf("after 7 is %v", AllPublished.after(7))
	}
}

// Following drops nothing from the caches: anybody may follow, any number of times.
func TestWhoFollowsDropsNothing(t *testing.T) {
	s := openStore(t, nil)
	ids := publishMany(t, s, 3)
	if _, err := Articles.All(t.Context(), s, ids); err != nil {
		t.Fatal(err)
	}
	if _, err := Articles.All(cache.MemoryOnly(t.Context()), s, ids); err != nil {
		t.Fatalf("what was read isn't remembered: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if _, err := s.Follow(ctx, AllPublished, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Articles.All(cache.MemoryOnly(t.Context()), s, ids); err != nil {
		t.Errorf("what was remembered isn't any more: %v", err)
	}
}
