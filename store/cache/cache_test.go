package cache

// The cache of one replica or two, a rule at a time: loads that overtake each other, batches, lists
// under tags, and writes.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stoa/problem"
)

func TestSimultaneousReadsOfOneKeyAreOneLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	w.db.set("a", 1)
	reached, release := hold(&r.afterLoad)
	defer release()
	const readers = 50
	var group sync.WaitGroup
	for range readers {
		group.Go(func() { r.must(t, "a", 1, "all wait for one load") })
	}
	<-reached
	eventually(t, "all but one wait", func() bool { return r.Counts().Waited == readers-1 })
	release()
	group.Wait()
	if n := r.loads.Load(); n != 1 {
		t.Errorf("%d loads for %d simultaneous reads of one key, want 1", n, readers)
	}
}

func TestAReadThatBeginsAfterAWriteDoesNotJoinAnEarlierLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	w.db.set("a", 1)
	reached, release := hold(&r.afterLoad)
	defer release()
	var group sync.WaitGroup
	group.Go(func() {
		if v, err := r.get("a"); err != nil || v != 2 {
			t.Errorf("the overtaken read answers %d, %v; want 2, the younger one's value", v, err)
		}
	})
	<-reached
	r.mustWrite(t, "a")
	r.must(t, "a", 2, "a replica reads its own writes")
	release()
	group.Wait()
	r.must(t, "a", 2, "a load from before the write leaves nothing behind")
}

// The shortest violation that the model finds without its rule newestFlight.
func TestAnOvertakenReadAnswersAsItsSuccessorDoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason        string
		successorEnds bool
	}{
		"SuccessorDone":     {"the younger load's answer is in the process", true},
		"SuccessorUnderWay": {"the younger load's answer is waited for", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.alone()
			w.db.set("a", 1)
			var group sync.WaitGroup
			defer group.Wait()

			begun, goOn := hold(&r.beforeLoad)
			defer goOn()
			answers := make(chan int, 2)
			group.Go(func() {
				v, _, err := r.read("a")
				if err != nil {
					t.Error(err)
				}
				answers <- v
			})
			<-begun
			r.Drop("a") // the announcement of a write on another replica, before the write
			read, end := hold(&r.afterLoad)
			defer end()
			group.Go(func() {
				if _, _, err := r.read("a"); err != nil {
					t.Error(err)
				}
			})
			<-read // the younger load has read 1
			w.db.set("a", 2)
			if c.successorEnds {
				end()
				eventually(t, "the younger load has ended", func() bool {
					r.Cache.mu.Lock()
					defer r.Cache.mu.Unlock()
					return len(r.flights) == 0
				})
			}
			goOn() // the older one reads 2
			if !c.successorEnds {
				eventually(t, "the older load has read", func() bool { return r.Counts().Database >= 1 })
				end()
			}
			first := <-answers
			v, _, err := r.read("a")
			if err != nil || v < first {
				t.Errorf("%d was answered, and %d thereafter (%v): %s", first, v, err, c.reason)
			}
		})
	}
}

// Of two new entries for one key that wait in ristretto's buffer, it takes the first.
func TestSuccessiveLoadsLeaveTheLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	rise := func(keys []string) { w.db.raise(keys[0]) }
	r.beforeLoad.Store(&rise)
	for i := range 2000 {
		key, last := fmt.Sprint("key", i), 0
		for range 3 {
			v, err := r.get(key)
			if err != nil || v < last {
				t.Fatalf("%s is %d after it was %d (%v)", key, v, last, err)
			}
			last = v
		}
	}
}

func TestAPanicInALoadReachesItsCallerAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	w.db.set("a", 1)
	reached, release := make(chan struct{}), make(chan struct{})
	fault := sync.OnceFunc(func() {
		close(reached)
		<-release
		panic(errFault)
	})
	hook := func([]string) { fault() }
	r.afterLoad.Store(&hook)
	var group sync.WaitGroup
	group.Go(func() {
		defer func() {
			if p := recover(); p != errFault {
				t.Errorf("the caller of the load that panicked recovers %v", p)
			}
		}()
		_, _ = r.get("a")
	})
	<-reached
	r.afterLoad.Store(nil)
	for range 10 {
		group.Go(func() {
			if _, err := r.get("a"); !errors.Is(err, errInterrupted) {
				t.Errorf("a read that waited for a load that panicked gets %v", err)
			}
		})
	}
	eventually(t, "they wait", func() bool { return r.Counts().Waited == 10 })
	close(release)
	group.Wait()
	r.must(t, "a", 1, "a panic isn't remembered")
}

func TestErrorsAreNotRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	load := r.items.Load
	r.items.Load = func(context.Context, []string) (map[string]*int, error) { return nil, errFault }
	for range 2 {
		if _, err := r.get("a"); !errors.Is(err, errFault) {
			t.Errorf("got %v, want the error of the load", err)
		}
	}
	r.items.Load = load
	w.db.set("a", 1)
	r.must(t, "a", 1, "the database answers again")
}

func TestALoadOutlivesTheRequestThatCameFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	w.db.set("a", 1)
	load := r.items.Load
	r.items.Load = func(ctx context.Context, ks []string) (map[string]*int, error) {
		found, err := load(ctx, ks)
		return found, errors.Join(err, ctx.Err())
	}
	reached, release := hold(&r.afterLoad)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _, _ = r.items.Get(ctx, r.Cache, []string{"a"}) })
	<-reached
	group.Go(func() { r.must(t, "a", 1, "somebody else's request ended, not this one") })
	eventually(t, "the other waits", func() bool { return r.Counts().Waited == 1 })

	impatient, giveUp := context.WithCancelCause(t.Context())
	group.Go(func() {
		if _, err := r.items.Get(impatient, r.Cache, []string{"a"}); !errors.Is(err, errFault) {
			t.Errorf("a request that ended while it waited for another's load gets %v", err)
		}
	})
	eventually(t, "the third waits", func() bool { return r.Counts().Waited == 2 })
	giveUp(errFault)
	cancel()
	release()
	group.Wait()
}

func TestMemoryOnlyWaitsForNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	w.db.set("a", 1)
	ctx := MemoryOnly(t.Context())
	if _, err := r.items.Get(ctx, r.Cache, []string{"a"}); !errors.Is(err, ErrNotInMemory) {
		t.Errorf("of an empty memory: %v, want ErrNotInMemory", err)
	}
	r.must(t, "a", 1, "")
	if found, err := r.items.Get(ctx, r.Cache, []string{"a"}); err != nil || *found[0] != 1 {
		t.Errorf("of a list in memory: %v, %v", found, err)
	}
	if _, err := r.items.Get(ctx, r.Cache, []string{"a", "b"}); !errors.Is(err, ErrNotInMemory) {
		t.Errorf("if one of two is missing: %v, want ErrNotInMemory", err)
	}
	if n := r.loads.Load(); n != 1 {
		t.Errorf("%d loads, want the one without MemoryOnly", n)
	}
}

func TestAnswersComeInTheOrderAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	for i, key := range []string{"a", "b", "c"} {
		w.db.set(key, i+1)
	}
	for _, ask := range []string{"b", "c,a,b", "a,absent,a,c,absent", ""} {
		keys := strings.FieldsFunc(ask, func(c rune) bool { return c == ',' })
		found, err := r.items.Get(t.Context(), r.Cache, keys)
		if err != nil || len(found) != len(keys) {
			t.Fatalf("%q: %d answers, %v", ask, len(found), err)
		}
		for i, key := range keys {
			if want := w.db.get(key); want == 0 && found[i] != nil || want != 0 && (found[i] == nil || *found[i] != want) {
				t.Errorf("%q: answer %d isn't %s", ask, i, key)
			}
		}
	}
	if n := r.Counts(); n.Database != 4 || n.Process != 5 {
		t.Errorf("%+v: want each of 4 keys loaded once, and the rest out of the process", n)
	}
}

func TestADropMissesExactlyWhatDependsOnIt(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"Process": "", "Redis": shared.URL()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calmly(t, func(t testing.TB, w *world) { dropMissesExactlyWhatDependsOnIt(t, w, url) })
		})
	}
}

func dropMissesExactlyWhatDependsOnIt(t testing.TB, w *world, url string) {
	r := w.open("A", url, url == "")
	ready(t, r)
	lists := []string{"go", "web", "go,web", "web,sql"}
	get := func(reason string, loads int64, want ...string) {
		t.Helper()
		before := r.loads.Load()
		found, err := r.lists.Get(t.Context(), r.Cache, lists)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range found {
			got = append(got, *v)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", reason, got, want)
		}
		if n := r.Counts().Database; n != loads {
			t.Errorf("%s: %d lists loaded so far, want %d", reason, n, loads)
		}
		if n := r.loads.Load() - before; n > 1 {
			t.Errorf("%s: %d loads for one Get", reason, n)
		}
	}
	get("first", 4, "0", "0", "0,0", "0,0")
	get("again", 4, "0", "0", "0,0", "0,0")
	r.mustWrite(t, "go")
	get("after a change of go, the two lists of go are read anew", 6, "1", "0", "1,0", "0,0")
	r.mustWrite(t, "sql")
	get("after a change of sql, its one", 7, "1", "0", "1,0", "0,1")
	r.mustWrite(t, "else")
	get("after a change that no list depends on, none", 7, "1", "0", "1,0", "0,1")
	if url == "" {
		return
	}
	eventually(t, "the blocks have run out", func() bool {
		return r.inRedis(t, "go") == "" && r.inRedis(t, "sql") == ""
	})
	r.flush()
	get("the lists in Redis from before have older generations of the tags", 10, "1", "0", "1,0", "0,1")
	r.flush()
	get("now it has them all", 10, "1", "0", "1,0", "0,1")
}

func TestFlushForgetsEverythingInTheProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	for _, key := range []string{"a", "b"} {
		w.db.set(key, 1)
		r.must(t, key, 1, "")
		w.db.set(key, 2) // behind its back
		r.must(t, key, 1, "nothing told the cache")
	}
	r.Flush()
	for _, key := range []string{"a", "b"} {
		r.must(t, key, 2, "Flush told it")
	}
}

func TestWriteDropsWhateverBecomesOfIt(t *testing.T) {
	t.Parallel()
	refused := problem.New(problem.Conflict, "taken")
	for name, c := range map[string]struct {
		reason string
		err    error
		panics bool
		short  bool // later reads live for a second
	}{
		"Made":      {"the plain case", nil, false, false},
		"Refused":   {"a refusal may come with a change to something else", refused, false, false},
		"Wrapped":   {"a wrapped refusal is a refusal", fmt.Errorf("save: %w", refused), false, false},
		"Failed":    {"a write that failed may yet happen", errFault, false, true},
		"Panicking": {"so may one that panicked", nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.alone()
			w.db.set("a", 1)
			r.must(t, "a", 1, "")
			func() {
				defer func() { _ = recover() }()
				err := r.Write(t.Context(), []string{"a"}, func(context.Context) error {
					w.db.set("a", 2)
					if c.panics {
						panic(errFault)
					}
					return c.err
				})
				if err != c.err {
					t.Errorf("Write returns %v, want the error of its function", err)
				}
			}()
			r.must(t, "a", 2, c.reason)
			w.db.set("a", 3) // it happens only now
			if c.short {
				r.readUntil(t, slack*shortLife, "a", 3)
			} else {
				r.must(t, "a", 2, "a write with a known outcome leaves no doubt")
			}
		})
	}
}

func TestWhatIsReadInDoubtIsShortLivedThereafter(t *testing.T) {
	t.Parallel()
	patiently(t, whatIsReadInDoubtIsShortLivedThereafter)
}

func whatIsReadInDoubtIsShortLivedThereafter(t testing.TB, w *world) {
	r := w.alone()
	w.db.set("a", 1)
	_ = r.Write(t.Context(), []string{"a"}, func(context.Context) error { return errFault })
	doubt := r.uncertainUntil.Load()
	eventually(t, "the doubt is nearly over", func() bool { return time.Now().UnixNano() > doubt-int64(shortLife/2) })
	r.must(t, "a", 1, "")
	w.db.set("a", 2) // it happens after all
	r.readUntil(t, slack*shortLife, "a", 2)
}

func TestAWriteDoesNotEndWithItsRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	ctx, cancel := context.WithCancel(t.Context())
	err := r.Write(ctx, []string{"a"}, func(ctx context.Context) error {
		cancel()
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > WriteLimit {
			t.Errorf("the deadline of a write is %v, %t; want %v", deadline, ok, WriteLimit)
		}
		return ctx.Err()
	})
	if err != nil {
		t.Errorf("the client went away, and the write ended: %v", err)
	}
}

func TestReadsGoOnAfterClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.set("a", 1)
	alone, joined := w.alone(), w.replica("A", shared.URL())
	for _, r := range []*replica{alone, joined} {
		stop := observe(t, "a", r)
		r.Close()
		r.must(t, "a", 1, "the database still answers")
		stop()
	}
}

func TestReadsGoOnDuringClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.set("a", 1)
	for range 30 {
		r := w.alone()
		var group sync.WaitGroup
		closed := make(chan struct{})
		for n := range 4 {
			group.Go(func() {
				for i := 0; ; i++ {
					r.must(t, "a", 1, "it is closing")
					r.must(t, fmt.Sprint(n, " ", i), 0, "it is closing")
					select {
					case <-closed:
						return
					default:
					}
				}
			})
		}
		eventually(t, "they read", func() bool { return r.Counts().Process > 100 })
		r.Close()
		close(closed)
		group.Wait()
	}
}
