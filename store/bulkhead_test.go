package store

// Slots for commands: how many there are, who gets the next one, and that each comes back.

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
)

// client is a context of a request from an address.
func client(t *testing.T, address string) context.Context {
	ctx, _ := access.Begin(t.Context(), access.Request{Client: access.Client{Address: netip.MustParseAddr(address)}})
	return ctx
}

// inLine is a step that has entered.
type inLine struct {
	client *slotClient
	place  *list.Element
}

// queue enters without waiting.
func (s *slots) queue(client string) inLine {
	c, place := s.enter(client)
	return inLine{c, place}
}

// given says whether the slot is there.
func (q inLine) given() bool {
	if q.place == nil {
		return true
	}
	select {
	case <-q.place.Value.(chan struct{}):
		return true
	default:
		return false
	}
}

func (s *slots) giveBack(q inLine) { slot{s, q.client}.release() }

// empty fails unless nobody holds a slot of s or waits for one.
func (s *slots) empty(t interface{ Errorf(string, ...any) }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != 0 || s.waiting != 0 || len(s.clients) != 0 || s.turns.Len() != 0 {
		t.Errorf("%d slots are held, %d steps wait, %d clients are known, %d in turn", s.held, s.waiting, len(s.clients), s.turns.Len())
	}
}

func TestAClientHasItsShareWhileOthersWait(t *testing.T) {
	s := newSlots(8) // a share is 2
	var first, more, others []inLine
	for range 8 {
		first = append(first, s.queue("greedy"))
	}
	if !first[7].given() {
		t.Fatal("a client alone doesn't get all slots")
	}
	for range 5 {
		more, others = append(more, s.queue("greedy")), append(others, s.queue("other"))
	}
	for i := range 3 {
		s.giveBack(first[i])
	}
	if !others[0].given() || !others[1].given() || others[2].given() || more[0].given() {
		t.Errorf("three slots were freed: the other client has its first %t, second %t, third %t; the first client one more %t",
			others[0].given(), others[1].given(), others[2].given(), more[0].given())
	}
	third := s.queue("third")
	if !third.given() {
		t.Error("the slot beyond the shares isn't there for a third client")
	}
	for _, q := range others[2:] {
		s.withdraw(q.client, q.place)
	}
	s.giveBack(third)
	if !more[0].given() {
		t.Error("nobody else waits, and a slot stays free")
	}
}

func TestClientsTakeTurns(t *testing.T) {
	s := newSlots(1)
	last := s.queue("before")
	waiting := map[string]inLine{}
	for _, name := range []string{"a1", "a2", "a3", "b1", "c1", "b2"} {
		waiting[name] = s.queue(name[:1])
	}
	var order []string
	for len(waiting) > 0 {
		s.giveBack(last)
		before := len(order)
		for name, q := range waiting {
			if q.given() {
				order, last = append(order, name), q
				delete(waiting, name)
			}
		}
		if len(order) != before+1 {
			t.Fatalf("after %v the one slot was given %d times", order[:before], len(order)-before)
		}
	}
	if want := []string{"a1", "b1", "c1", "a2", "b2", "a3"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
	s.giveBack(last)
	s.empty(t)
}

// A model of any order of arrivals, ends and withdrawals: never more slots than there are, no free slot
// for a client that may have one, none given beyond a share while others wait.
func TestSlotsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSlots(rapid.IntRange(1, 9).Draw(t, "slots"))
		var held, waiting []inLine
		settle := func() {
			for i := 0; i < len(waiting); {
				if !waiting[i].given() {
					i++
					continue
				}
				held = append(held, waiting[i])
				waiting = slices.Delete(waiting, i, i+1)
			}
		}
		count := func(of []inLine, c *slotClient) (n int) {
			for _, q := range of {
				if q.client == c {
					n++
				}
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) {
				q := s.queue(rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(t, "client"))
				if q.given() && len(waiting) > count(waiting, q.client) && count(held, q.client) >= s.share {
					t.Errorf("%q gets a slot beyond its share at once, and others wait", q.client.name)
				}
				waiting = append(waiting, q)
			},
			"end": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("nobody holds a slot")
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "holder")
				q := held[i]
				held = slices.Delete(held, i, i+1)
				s.giveBack(q)
				var still []inLine
				for _, w := range waiting {
					if !w.given() {
						still = append(still, w)
					}
				}
				for _, w := range waiting {
					if w.given() && count(held, w.client) >= s.share && len(still) > count(still, w.client) {
						t.Errorf("%q gets a slot beyond its share, and others wait", w.client.name)
					}
				}
			},
			"withdraw": func(t *rapid.T) {
				if len(waiting) == 0 {
					t.Skip("nobody waits")
				}
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "waiter")
				q := waiting[i]
				waiting = slices.Delete(waiting, i, i+1)
				s.withdraw(q.client, q.place)
			},
			"": func(t *rapid.T) {
				settle()
				if len(held) > s.most || len(held) != s.held || len(waiting) != s.waiting {
					t.Errorf("%d hold one of %d slots and %d wait, counted are %d and %d", len(held), s.most, len(waiting), s.held, s.waiting)
				}
				for _, w := range waiting {
					if s.held < s.most && (count(held, w.client) < s.share || count(waiting, w.client) == len(waiting)) {
						t.Errorf("%q waits, and a slot is free", w.client.name)
					}
				}
			},
		})
		for _, q := range waiting {
			s.withdraw(q.client, q.place)
		}
		for _, q := range held {
			s.giveBack(q)
		}
		s.empty(t)
	})
}

// However a step ends, its slot comes back, and no more run at once than there are slots.
func TestSlotsComeBack(t *testing.T) {
	s := newSlots(4)
	var running, most atomic.Int64
	failed := errors.New("failed")
	var all sync.WaitGroup
	for i := range 40 {
		ctx := client(t, fmt.Sprintf("192.0.2.%d", i%6))
		all.Go(func() {
			for n := range 100 {
				ctx, cancel := context.WithCancel(ctx)
				if n%5 == 0 {
					go cancel() // before its turn, in it, or after it
				}
				step := func(context.Context) error {
					now := running.Add(1)
					defer running.Add(-1)
					for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
					}
					switch rand.IntN(3) {
					case 0:
						panic("a panic")
					case 1:
						return failed
					}
					return nil
				}
				func() {
					defer func() { _ = recover() }()
					if err := s.within(ctx, step); err != nil && !errors.Is(err, failed) && !errors.Is(err, context.Canceled) {
						t.Errorf("a step ended with %v", err)
					}
				}()
				cancel()
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 4 {
		t.Errorf("%d steps ran at once", n)
	}
	s.empty(t)
}

func TestALongWaitIsRefused(t *testing.T) {
	s := newSlots(1)
	s.wait = time.Millisecond
	held, err := s.acquire(client(t, "192.0.2.1"))
	check(t, err)
	if _, err := s.acquire(client(t, "192.0.2.2")); !errors.Is(err, problem.ErrOverloaded) {
		t.Errorf("a step that waits too long gets %v", err)
	}
	s.wait = time.Minute
	gone := errors.New("the client has gone")
	ctx, end := context.WithCancelCause(client(t, "192.0.2.2"))
	end(gone)
	if _, err := s.acquire(ctx); !errors.Is(err, gone) {
		t.Errorf("a step that is cancelled gets %v", err)
	}
	held.release()
	s.empty(t)
}

// full takes every slot, for a client that nobody else is, until the function that it returns is called.
func full(b bulkheads) (release func()) {
	var held []slot
	for _, s := range []*slots{b.keyed, b.lists, b.writes} {
		s.wait = time.Millisecond
		for range s.most {
			q := s.queue("all")
			held = append(held, slot{s, q.client})
		}
	}
	return func() {
		for _, h := range held {
			h.release()
		}
	}
}

func TestHitsTakeNoSlot(t *testing.T) {
	s := openStore(t, nil)
	check(t, s.AddArticle(t.Context(), published("press", second(100))))
	l, err := s.ListArticles(t.Context(), ArticleFilter{Order: ByPublished}, Window{})
	check(t, err)
	reads := map[string]func(context.Context) error{
		"Slug":  func(ctx context.Context) error { _, err := Articles.BySlug(ctx, s, "press"); return err },
		"Page":  func(ctx context.Context) error { _, err := l.Page(ctx); return err },
		"Count": func(ctx context.Context) error { _, _, err := l.Count(ctx, 10); return err },
	}
	for name, read := range reads {
		if err := read(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	release := full(s.bulkheads)
	for name, read := range reads {
		if err := read(t.Context()); err != nil {
			t.Errorf("%s: a warm read ends with %v", name, err)
		}
	}
	s.Flush()
	for name, read := range reads {
		if err := read(t.Context()); !errors.Is(err, problem.ErrOverloaded) {
			t.Errorf("%s: without a slot a miss ends with %v", name, err)
		}
	}
	if err := s.AddArticle(t.Context(), published("second", second(101))); !errors.Is(err, problem.ErrOverloaded) {
		t.Errorf("without a slot a write ends with %v", err)
	}
	release()
	check(t, s.AddArticle(t.Context(), published("second", second(101))))
	for _, kind := range []*slots{s.bulkheads.keyed, s.bulkheads.lists, s.bulkheads.writes} {
		kind.empty(t)
	}
}

// With one slot of each kind, steps within steps would wait for themselves if they took a second one.
func TestStepsTakeOneSlot(t *testing.T) {
	s := openStore(t, nil)
	for _, kind := range []*slots{s.bulkheads.keyed, s.bulkheads.lists, s.bulkheads.writes} {
		kind.most, kind.share, kind.wait = 1, 1, time.Minute
	}
	author := &Author{ID: id.New(id.Author), Slug: "ada", Name: "Ada"}
	check(t, Authors.Add(t.Context(), s, author))
	var all sync.WaitGroup
	for i := range 4 {
		ctx := client(t, fmt.Sprintf("192.0.2.%d", i))
		all.Go(func() {
			for n := range 5 {
				a := published(fmt.Sprintf("a-%d-%d", i, n), second(100+10*i+n))
				a.AuthorIDs = []id.ID{author.ID}
				if err := s.AddArticle(ctx, a); err != nil { // counts, takes a number, and reads in between
					t.Errorf("a write ends with %v", err)
				}
				key := ChildrenKey(author.ID)
				if _, err := s.ChildrenCounts(ctx, []ChildrenKey{key}); err != nil { // writes the count down
					t.Errorf("a count ends with %v", err)
				}
				if _, err := s.Children(ctx, []ChildrenKey{key}); err != nil {
					t.Errorf("a list ends with %v", err)
				}
				if _, err := Articles.BySlug(ctx, s, a.Slug); err != nil {
					t.Errorf("a look-up ends with %v", err)
				}
			}
		})
	}
	all.Wait()
}

func TestASharedLoadCountsForItsFirstClient(t *testing.T) {
	s, dialer, begun, _ := openHeld(t)
	check(t, s.AddArticle(t.Context(), published("press", second(100))))
	s.Flush()
	hold := make(chan struct{})
	dialer.hold.Store(&hold)
	var all sync.WaitGroup
	read := func(address string) {
		ctx := client(t, address)
		all.Go(func() {
			if _, err := Articles.BySlug(ctx, s, "press"); err != nil {
				t.Errorf("%s: %v", address, err)
			}
		})
	}
	read("192.0.2.1")
	<-begun
	read("192.0.2.2")
	keyed := s.bulkheads.keyed
	holders := func() (names []string) {
		keyed.mu.Lock()
		defer keyed.mu.Unlock()
		for name := range keyed.clients {
			names = append(names, name)
		}
		return names
	}
	for s.Counts().Waited == 0 && t.Context().Err() == nil {
		runtime.Gosched()
	}
	if got := holders(); !slices.Equal(got, []string{"192.0.2.1"}) {
		t.Errorf("slots are held for %v", got)
	}
	dialer.hold.Store(nil)
	close(hold)
	all.Wait()
	keyed.empty(t)
}

// Every command of the package takes a slot, except for those that Store.collection names.
func TestCommandsTakeSlots(t *testing.T) {
	past := map[string]string{
		"collection.go": "it takes the slots",
		"store.go":      "Open, Ping, and the registry of degraded replicas",
		"indexes.go":    "Open",
		"version.go":    "Open",
		"migrate.go":    "migrations",
		"lease.go":      "leases of work beside requests",
	}
	files, err := filepath.Glob("*.go")
	check(t, err)
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		check(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "db" || s.Sel.Name == "documents" || s.Sel.Name == "client" && file != "bulkhead.go") {
				if found[file] = true; past[file] == "" {
					t.Errorf("%s goes past the slots: take Store.collection", file)
				}
			}
			return true
		})
	}
	for file, why := range past {
		if !found[file] {
			t.Errorf("%s no longer goes past the slots for %s: take it out", file, why)
		}
	}
}

// BenchmarkSlot is what a command costs for its slot.
func BenchmarkSlot(b *testing.B) {
	ctx, _ := access.Begin(b.Context(), access.Request{Client: access.Client{Address: netip.MustParseAddr("192.0.2.1")}})
	s := newSlots(keyedSlots)
	b.ReportAllocs()
	for b.Loop() {
		held, err := s.acquire(ctx)
		if err != nil {
			b.Fatal(err)
		}
		held.release()
	}
}
