package subscription

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/store"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// follower is a client that connects again after every cut, to any replica, after its last
// event.
type follower struct {
	query     string
	variables map[string]any
	replicas  []*stoatest.Stoa
	ready     chan struct{} // closed when it first stands

	mu    sync.Mutex
	heard []stoatest.Event
	cuts  int
	err   error
}

// follow listens until ctx ends. It is cut off now and then, by itself.
func (f *follower) follow(ctx context.Context) {
	variables := map[string]any{}
	for name, value := range f.variables {
		variables[name] = value
	}
	stands := sync.OnceFunc(func() { close(f.ready) })
	for at := rand.IntN(len(f.replicas)); ctx.Err() == nil; at++ {
		k, err := stoatest.Subscribe(ctx, f.replicas[at%len(f.replicas)], f.query, variables)
		if err != nil {
			f.fail(ctx, err)
			return
		}
		stands()
		connected, cut := context.WithTimeout(ctx, rand.N(700*time.Millisecond))
		if variables["after"] == nil {
			connected = ctx // without an event there is no id to continue after
		}
		for {
			e, err := k.Event(connected)
			if err != nil {
				if connected.Err() == nil {
					f.fail(ctx, err)
				}
				break
			}
			variables["after"] = e.ID
			f.mu.Lock()
			f.heard = append(f.heard, e)
			f.mu.Unlock()
			if connected == ctx {
				break
			}
		}
		cut()
		k.Cut()
		f.mu.Lock()
		f.cuts++
		f.mu.Unlock()
	}
}

func (f *follower) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
}

// has says whether f has heard of n events.
func (f *follower) has(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.heard) >= n || f.err != nil
}

// With any faults of connections and of Redis, each follower gets each event exactly once, and
// all in the same order.
func TestNoEventIsLost(t *testing.T) {
	faults := map[string]func(t *testing.T, redis *redistest.Server){
		"None": nil,
		"RedisIsKilledAndComesBack": func(t *testing.T, redis *redistest.Server) {
			stoatest.During(400 * time.Millisecond)
			redis.Kill(t)
			stoatest.During(1500 * time.Millisecond)
			redis.Start(t)
		},
		"RedisStandsStill": func(t *testing.T, redis *redistest.Server) {
			stoatest.During(400 * time.Millisecond)
			redis.Pause(t)
			stoatest.During(time.Second)
			redis.Resume(t)
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) { noEventIsLost(t, fault) })
	}
}

func noEventIsLost(t *testing.T, fault func(t *testing.T, redis *redistest.Server)) {
	redis := redistest.Start(t)
	replicas := stoatest.StartThree(t, stoatest.Database(t), redis.URL())
	replicas[0].Import(t, stoatest.Articles(3))
	on, err := store.Articles.BySlug(t.Context(), replicas[0].Store, "article-0")
	stoatest.Check(t, err)
	owner := replicas[0].Join(t, stoatest.NewAddress(), "Owner", access.Customer, time.Time{}).ID

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var listening sync.WaitGroup
	var followers []*follower
	for i := range 12 {
		f := &follower{query: stoatest.CommentAdded, variables: map[string]any{"article": on.ID}, replicas: replicas, ready: make(chan struct{})}
		if i%2 == 1 {
			f.query, f.variables = stoatest.ArticlePublished, nil
		}
		followers = append(followers, f)
		listening.Go(func() { f.follow(ctx) })
	}
	for _, f := range followers {
		<-f.ready
	}
	for began := time.Now(); ; stoatest.During(time.Millisecond) {
		n := 0
		for _, s := range replicas {
			n += s.Store.Followers()
		}
		if n == len(followers) {
			break
		}
		if time.Since(began) > stoatest.InTime {
			t.Fatalf("%d follow", n)
		}
	}

	// Everybody writes on each replica at once, for as long as the fault lasts.
	writing, enough := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var mu sync.Mutex
	comments, articles := []string{}, []string{}
	var failed atomic.Int64
	for _, s := range replicas {
		for range 2 {
			writers.Go(func() {
				for writing.Err() == nil {
					c := &store.Comment{
						ID: id.New(id.Comment), ArticleID: on.ID, BodyHTML: "said", CreatedAt: time.Now(), AccountID: owner,
						Status: store.CommentVisible, Visible: true, Version: 1,
					}
					if _, err := s.Store.AddComment(t.Context(), c); err != nil {
						failed.Add(1)
						continue
					}
					mu.Lock()
					comments = append(comments, string(c.ID))
					mu.Unlock()
				}
			})
		}
		writers.Go(func() {
			for n := 0; writing.Err() == nil; n++ {
				a := &store.Article{
					ID: id.New(id.Article), Slug: fmt.Sprintf("live-%s", id.New(id.Article)), Title: "Live", TitleKey: "live", Status: store.Published,
					PublishedAt: time.Now(), UpdatedAt: time.Now(), AuthorIDs: on.AuthorIDs, TagIDs: on.TagIDs, RelatedIDs: []id.ID{}, OldSlugs: []string{},
					RevisionID: on.RevisionID, Version: 1,
				}
				if err := s.Store.AddArticle(t.Context(), a); err != nil {
					failed.Add(1)
					continue
				}
				mu.Lock()
				articles = append(articles, string(a.ID))
				mu.Unlock()
			}
		})
	}
	if fault == nil {
		stoatest.During(2 * time.Second)
	} else {
		fault(t, redis)
		stoatest.During(500 * time.Millisecond)
	}
	const leastComments, leastArticles = 20, 10
	for began := time.Now(); time.Since(began) < stoatest.InTime; stoatest.During(5 * time.Millisecond) {
		mu.Lock()
		some := len(comments) >= leastComments && len(articles) >= leastArticles
		mu.Unlock()
		if some {
			break
		}
	}
	enough()
	writers.Wait()

	wanted := map[string][]string{stoatest.CommentAdded: comments, stoatest.ArticlePublished: articles}
	for began := time.Now(); !all(followers, func(f *follower) bool { return f.has(len(wanted[f.query])) }); stoatest.During(5 * time.Millisecond) {
		if time.Since(began) > stoatest.InTime {
			break
		}
	}
	stop()
	listening.Wait()
	orders := map[string][]string{}
	cuts := 0
	for i, f := range followers {
		if f.err != nil {
			t.Errorf("follower %d: %v", i, f.err)
		}
		cuts += f.cuts
		var got, events []string
		for _, e := range f.heard {
			if e.Of() == "" {
				t.Errorf("follower %d heard of %s without anything in it", i, e.ID)
			}
			got, events = append(got, e.Of()), append(events, e.ID)
		}
		want := slices.Sorted(slices.Values(wanted[f.query]))
		if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, want) {
			t.Errorf("follower %d has heard of %d things of %d; missing %v, too many %v", i, len(got), len(want), without(want, sorted), without(sorted, want))
		}
		if !slices.IsSorted(events) {
			t.Errorf("follower %d heard of events out of order", i)
		}
		if orders[f.query] == nil {
			orders[f.query] = got
		} else if !slices.Equal(orders[f.query], got) {
			t.Errorf("follower %d heard in another order than others", i)
		}
	}
	t.Logf("%d comments and %d articles, %d writes failed, %d connections", len(comments), len(articles), failed.Load(), cuts)
	if cuts <= 2*len(followers) || len(comments) < leastComments || len(articles) < leastArticles {
		t.Errorf("that was no test")
	}
}

func all[T any](list []T, is func(T) bool) bool {
	return !slices.ContainsFunc(list, func(x T) bool { return !is(x) })
}

// without returns the elements of a beyond those in b.
func without(a, b []string) []string {
	left := map[string]int{}
	for _, x := range b {
		left[x]++
	}
	var out []string
	for _, x := range a {
		if left[x]--; left[x] < 0 {
			out = append(out, x)
		}
	}
	return out
}
