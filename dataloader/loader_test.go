package dataloader

// One loader over a store of the test's: batches, answers in memory, failures and panics.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"stoa/problem"
	"stoa/store/cache"
)

// shelf is the store of a loader in these tests: it has every key but "none", and records the keys
// it was asked for.
type shelf struct {
	mu    sync.Mutex
	asked [][]string
	err   error
	wait  chan struct{} // answers come when it is closed; nil for at once
}

func (s *shelf) fetch(_ context.Context, ks []string) ([]*string, error) {
	s.mu.Lock()
	s.asked = append(s.asked, slices.Clone(ks))
	err := s.err
	s.mu.Unlock()
	if s.wait != nil {
		<-s.wait
	}
	if err != nil {
		return nil, err
	}
	out := make([]*string, len(ks))
	for i, k := range ks {
		if k != "none" {
			v := "the " + k
			out[i] = &v
		}
	}
	return out, nil
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func loaderOf(s *shelf) *Loader[string, string] { return newLoader("book", s.fetch) }

func show(vs []*string) []string {
	var out []string
	for _, v := range vs {
		if v == nil {
			out = append(out, "-")
			continue
		}
		out = append(out, *v)
	}
	return out
}

func TestALoaderAsksForEachThingOnceAndForAllTogether(t *testing.T) {
	cases := map[string]struct {
		reason string
		ask    [][]string
		want   [][]string // the result of All, each time
		asked  [][]string
	}{
		"Batch":   {"keys asked for together are one batch", [][]string{{"a", "b"}}, [][]string{{"the a", "the b"}}, [][]string{{"a", "b"}}},
		"Again":   {"a known key isn't read again", [][]string{{"a"}, {"a"}}, [][]string{{"the a"}, {"the a"}}, [][]string{{"a"}}},
		"Rest":    {"only unknown keys are read, and answers keep their order", [][]string{{"b"}, {"a", "b", "c"}}, [][]string{{"the b"}, {"the a", "the b", "the c"}}, [][]string{{"b"}, {"a", "c"}}},
		"Twice":   {"one key twice is one question", [][]string{{"a", "a", "b", "a"}}, [][]string{{"the a", "the a", "the b", "the a"}}, [][]string{{"a", "b"}}},
		"Absent":  {"that there is none is known, too", [][]string{{"none", "a"}, {"none"}}, [][]string{{"-", "the a"}, {"-"}}, [][]string{{"none", "a"}}},
		"Empty":   {"the empty key names nothing, so it isn't read", [][]string{{"", "a", ""}, {""}}, [][]string{{"-", "the a", "-"}, {"-"}}, [][]string{{"a"}}},
		"Nothing": {"no keys, no question", [][]string{{}}, [][]string{nil}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := &shelf{}
			l := loaderOf(s)
			for i, ks := range c.ask {
				got, err := l.All(t.Context(), ks)
				if err != nil || !slices.Equal(show(got), c.want[i]) {
					t.Errorf("%s: %v gives %v, %v; want %v", c.reason, ks, show(got), err, c.want[i])
				}
			}
			if fmt.Sprint(s.asked) != fmt.Sprint(c.asked) {
				t.Errorf("%s: the store was asked for %v; want %v", c.reason, s.asked, c.asked)
			}
		})
	}
}

func TestOneAndPresentLeaveOutWhatThereIsnt(t *testing.T) {
	l := loaderOf(&shelf{})
	for _, k := range []string{"none", ""} {
		if v, err := l.One(t.Context(), k); !problem.Is(err, problem.NotFound) || v != nil {
			t.Errorf("One(%q) is %v, %v; want NotFound", k, v, err)
		}
	}
	if v, err := l.One(t.Context(), "a"); err != nil || *v != "the a" {
		t.Errorf("One(a) is %v, %v", v, err)
	}
	got, err := l.Present(t.Context(), []string{"none", "a", "", "b", "none"})
	if err != nil || !slices.Equal(show(got), []string{"the a", "the b"}) {
		t.Errorf("Present gives %v, %v", show(got), err)
	}
}

// A response would contradict itself if one field failed and another one succeeded with the same
// thing.
func TestAFailureIsRememberedForTheResponse(t *testing.T) {
	broken := errors.New("the database is gone")
	s := &shelf{err: broken}
	l := loaderOf(s)
	if _, err := l.All(t.Context(), []string{"a", "b"}); !errors.Is(err, broken) {
		t.Fatalf("err = %v", err)
	}
	s.fail(nil)
	for _, k := range []string{"a", "b"} {
		if _, err := l.One(t.Context(), k); !errors.Is(err, broken) {
			t.Errorf("%s: err = %v; want the one it had", k, err)
		}
	}
	if _, err := l.All(t.Context(), []string{"c", "a"}); !errors.Is(err, broken) {
		t.Errorf("with c: err = %v", err)
	}
	if v, err := l.One(t.Context(), "c"); err != nil || *v != "the c" {
		t.Errorf("c, asked for together with a failed key, is %v, %v", v, err)
	}
	if fmt.Sprint(s.asked) != "[[a b] [c]]" {
		t.Errorf("the store was asked for %v", s.asked)
	}
}

func TestALookIntoMemoryThatFindsNothingIsForgotten(t *testing.T) {
	s := &shelf{err: cache.ErrNotInMemory}
	l := loaderOf(s)
	if _, err := l.All(cache.MemoryOnly(t.Context()), []string{"a", "a"}); !errors.Is(err, cache.ErrNotInMemory) {
		t.Fatalf("err = %v", err)
	}
	s.fail(nil)
	if v, err := l.One(t.Context(), "a"); err != nil || *v != "the a" {
		t.Errorf("a is %v, %v", v, err)
	}
	if v, err := l.One(cache.MemoryOnly(t.Context()), "a"); err != nil || *v != "the a" {
		t.Errorf("the known a is %v, %v in memory", v, err)
	}
	if fmt.Sprint(s.asked) != "[[a a] [a]]" {
		t.Errorf("the store was asked for %v", s.asked)
	}
}

func TestALookIntoMemoryThatFindsSomethingIsRemembered(t *testing.T) {
	s := &shelf{}
	l := loaderOf(s)
	if v, err := l.One(cache.MemoryOnly(t.Context()), "a"); err != nil || *v != "the a" {
		t.Fatalf("a is %v, %v", v, err)
	}
	if v, err := l.One(t.Context(), "a"); err != nil || *v != "the a" || len(s.asked) != 1 {
		t.Errorf("a is %v, %v after %v", v, err, s.asked)
	}
}

// begun waits until the store has been asked n times.
func (s *shelf) begun(n int) {
	for ; ; runtime.Gosched() {
		s.mu.Lock()
		there := len(s.asked) >= n
		s.mu.Unlock()
		if there {
			return
		}
	}
}

func TestWhatIsBeingLoadedIsWaitedForAndNotAskedForAgain(t *testing.T) {
	s := &shelf{wait: make(chan struct{})}
	l := loaderOf(s)
	var all sync.WaitGroup
	get := func(ks ...string) {
		all.Go(func() {
			got, err := l.All(t.Context(), ks)
			for i, k := range ks {
				if err != nil || *got[i] != "the "+k {
					t.Errorf("%s is %v, %v", k, show(got), err)
				}
			}
		})
	}
	get("a", "b")
	s.begun(1)
	for range 20 {
		get("b", "a")
	}
	get("c", "a")
	s.begun(2)
	close(s.wait)
	all.Wait()
	if fmt.Sprint(s.asked) != "[[a b] [c]]" {
		t.Errorf("the store was asked for %v", s.asked)
	}
}

func TestALookIntoMemoryDoesntWaitForAnothersBatch(t *testing.T) {
	s := &shelf{wait: make(chan struct{})}
	look := &shelf{err: cache.ErrNotInMemory}
	l := newLoader("book", func(ctx context.Context, ks []string) ([]*string, error) {
		if cache.IsMemoryOnly(ctx) {
			return look.fetch(ctx, ks)
		}
		return s.fetch(ctx, ks)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if v, err := l.One(t.Context(), "a"); err != nil || *v != "the a" {
			t.Errorf("a is %v, %v", v, err)
		}
	}()
	s.begun(1)
	if _, err := l.One(cache.MemoryOnly(t.Context()), "a"); !errors.Is(err, cache.ErrNotInMemory) {
		t.Errorf("err = %v", err)
	}
	close(s.wait)
	<-done
	if v, err := l.One(t.Context(), "a"); err != nil || *v != "the a" || len(s.asked) != 1 {
		t.Errorf("a is %v, %v after %v", v, err, s.asked)
	}
}

func TestWaitingForAnothersBatchEndsWithTheRequest(t *testing.T) {
	s := &shelf{wait: make(chan struct{})}
	l := loaderOf(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = l.One(t.Context(), "a")
	}()
	s.begun(1)
	gone := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := l.One(ctx, "a"); !errors.Is(err, gone) {
		t.Errorf("err = %v", err)
	}
	close(s.wait)
	<-done
}

// Nobody waits for ever, and the log has the place of the panic.
func TestAPanicInABatchIsTheErrorOfAllWhoAsk(t *testing.T) {
	l := newLoader("book", func(context.Context, []string) ([]*string, error) { panic("no shelf") })
	for range 2 {
		if _, err := l.All(t.Context(), []string{"a"}); err == nil || !strings.Contains(err.Error(), "no shelf") || !strings.Contains(err.Error(), "loader_test.go") {
			t.Errorf("err = %v; want the panic with its stack", err)
		}
	}
}

func TestManyAtOnceAgree(t *testing.T) {
	s := &shelf{}
	l := loaderOf(s)
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := range 200 {
				k := fmt.Sprint((i + g) % 50)
				ctx := t.Context()
				if i%3 == 0 {
					ctx = cache.MemoryOnly(ctx)
				}
				got, err := l.All(ctx, []string{k, "none", k})
				if err != nil || *got[0] != "the "+k || got[1] != nil || *got[0] != *got[2] {
					t.Errorf("%s is %v, %v", k, show(got), err)
				}
			}
		})
	}
	all.Wait()
}
