package rate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"stoa/store/bus"
	"stoa/tests/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func connect(t testing.TB, url string) *bus.Connection {
	t.Helper()
	c, err := bus.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// each runs test with limiters that count in the process, and with limiters that count in
// Redis. another is a second limiter of the same site; without Redis it is the same one.
func each(t *testing.T, test func(t *testing.T, one, another *Limiter)) {
	t.Run("Process", func(t *testing.T) {
		l := New(nil, "site", quiet)
		test(t, l, l)
	})
	t.Run("Redis", func(t *testing.T) {
		s := redistest.Start(t)
		open := func() *Limiter {
			// Without the time limits, since a busy machine exceeds them.
			l := New(&bus.Connection{Client: s.Client(t)}, "site", quiet)
			l.patience = time.Minute
			return l
		}
		test(t, open(), open())
	})
}

func take(t testing.TB, l *Limiter, key string, limit Limit, cost int) time.Duration {
	t.Helper()
	wait, err := l.Take(t.Context(), key, limit, cost)
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

func TestABurstAndNoMore(t *testing.T) {
	each(t, func(t *testing.T, one, another *Limiter) {
		limit := Limit{Burst: 3, Per: time.Hour}
		for i, l := range []*Limiter{one, another, one} {
			if wait := take(t, l, "key", limit, 1); wait != 0 {
				t.Errorf("take %d: wait %v", i, wait)
			}
		}
		if wait := take(t, another, "key", limit, 1); wait <= 0 || wait > time.Hour {
			t.Errorf("the fourth waits %v, where the next comes back within an hour", wait)
		}
		if wait := take(t, another, "key", limit, 3); wait <= 2*time.Hour || wait > 3*time.Hour {
			t.Errorf("three wait %v, where they come back within three hours", wait)
		}
		if wait := take(t, one, "another key", limit, 3); wait != 0 {
			t.Errorf("another key waits %v", wait)
		}
		one.Reset(t.Context(), "key")
		if wait := take(t, another, "key", limit, 3); wait != 0 {
			t.Errorf("after Reset: wait %v", wait)
		}
	})
}

func TestTakeAllOrNone(t *testing.T) {
	each(t, func(t *testing.T, one, _ *Limiter) {
		wide, narrow := Limit{Burst: 5, Per: time.Hour}, Limit{Burst: 1, Per: time.Minute}
		uses := []Use{{Key: "wide", Limit: wide, Cost: 1}, {Key: "narrow", Limit: narrow, Cost: 1}}
		if wait, which, err := one.TakeAll(t.Context(), uses); wait != 0 || which != -1 || err != nil {
			t.Fatalf("the first: %v, %d, %v", wait, which, err)
		}
		for range 10 {
			if wait, which, err := one.TakeAll(t.Context(), uses); wait <= 0 || wait > time.Minute || which != 1 || err != nil {
				t.Fatalf("the narrow one is empty: %v, %d, %v", wait, which, err)
			}
		}
		if wait := take(t, one, "wide", wide, 4); wait != 0 {
			t.Errorf("what was refused was taken all the same: wait %v", wait)
		}
		if wait, which, err := one.TakeAll(t.Context(), uses); wait <= time.Minute || which != 0 || err != nil {
			t.Errorf("both are empty, and the longer wait counts: %v, %d, %v", wait, which, err)
		}
		if wait, which, err := one.TakeAll(t.Context(), nil); wait != 0 || which != -1 || err != nil {
			t.Errorf("nothing to take: %v, %d, %v", wait, which, err)
		}
	})
}

func TestCostAboveTheBurst(t *testing.T) {
	each(t, func(t *testing.T, one, _ *Limiter) {
		ok := Limit{Burst: 2, Per: time.Second}
		for name, uses := range map[string][]Use{
			"TooMuch":   {{Key: "a", Limit: ok, Cost: 3}},
			"Negative":  {{Key: "a", Limit: ok, Cost: -1}},
			"NoBurst":   {{Key: "a", Limit: Limit{0, time.Second}, Cost: 0}},
			"NoTime":    {{Key: "a", Limit: Limit{2, 0}, Cost: 1}},
			"TooShort":  {{Key: "a", Limit: Limit{2, time.Nanosecond}, Cost: 1}},
			"TooLong":   {{Key: "a", Limit: Limit{367, 24 * time.Hour}, Cost: 1}},
			"Overflow":  {{Key: "a", Limit: Limit{1 << 62, 1 << 62}, Cost: 1}},
			"SameTwice": {{Key: "a", Limit: ok, Cost: 1}, {Key: "a", Limit: ok, Cost: 1}},
		} {
			if wait, which, err := one.TakeAll(t.Context(), uses); err == nil {
				t.Errorf("%s: %v, %d", name, wait, which)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := one.Take(ended, "a", ok, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context: %v", err)
		}
	})
}

func TestManyAtOnceGetTheBurstExactly(t *testing.T) {
	each(t, func(t *testing.T, one, another *Limiter) {
		var taken atomic.Int64
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				l := one
				if i%2 == 1 {
					l = another
				}
				for range 10 {
					if wait, err := l.Take(t.Context(), "key", Limit{Burst: 100, Per: time.Hour}, 1); err != nil {
						t.Error(err)
					} else if wait == 0 {
						taken.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if n := taken.Load(); n != 100 {
			t.Errorf("%d of 640 were taken out of a bucket of 100", n)
		}
	})
}

// schedule draws uses of up to three buckets; each key has its own limit.
func schedule(t *rapid.T, unit time.Duration) []Use {
	var uses []Use
	for i := range 3 {
		if i > 0 && rapid.Bool().Draw(t, "skip") {
			continue
		}
		limit := Limit{Burst: 1 + 3*i, Per: unit * time.Duration(1+2*i)}
		uses = append(uses, Use{Key: fmt.Sprint("bucket ", i), Limit: limit, Cost: rapid.IntRange(0, limit.Burst).Draw(t, "cost")})
		if u := &uses[len(uses)-1]; rapid.Bool().Draw(t, "force") {
			u.force, u.Cost = true, rapid.IntRange(0, 3*limit.Burst).Draw(t, "debit")
		}
	}
	return uses
}

// Given the time of Redis's decision, the process decides the same. That needs no clock, so it
// also holds for a real server.
func TestProcessAndRedisAgree(t *testing.T) {
	conn := &bus.Connection{Client: redistest.Start(t).Client(t)} // without time limits: see each
	rapid.Check(t, func(rt *rapid.T) {
		l := New(conn, rand.Text(), quiet)
		l.patience = time.Minute
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			agree(rt, l, schedule(rt, 150*time.Microsecond))
		}
	})
}

// The same over long times, since an embedded server lets them pass at once.
func TestProcessAndRedisAgreeOverTime(t *testing.T) {
	mini := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: mini.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		l := New(&bus.Connection{Client: client}, rand.Text(), quiet)
		l.patience = time.Minute
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			passes := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(rt, "passes"))
			now = now.Add(passes)
			mini.SetTime(now)
			mini.FastForward(passes)
			agree(rt, l, schedule(rt, time.Hour))
		}
	})
}

func agree(t *rapid.T, l *Limiter, uses []Use) {
	shared, err := l.run(context.Background(), uses)
	if err != nil {
		t.Fatal(err)
	}
	if local := l.local.takeAll(shared.at, uses); local.wait != shared.wait || local.which != shared.which || !slices.Equal(local.full, shared.full) {
		t.Fatalf("%v: %+v in Redis, %+v in the process", uses, shared, local)
	}
}

func TestBucketsRefill(t *testing.T) {
	l := New(nil, "site", quiet)
	now := int64(1)
	l.now = func() int64 { return now }
	limit := Limit{Burst: 2, Per: time.Second}
	steps := []struct {
		after time.Duration
		cost  int
		want  time.Duration
	}{
		{0, 2, 0},
		{0, 1, time.Second},
		{400 * time.Millisecond, 1, 600 * time.Millisecond},
		{600 * time.Millisecond, 1, 0},
		{0, 1, time.Second},
		{time.Hour, 2, 0}, // no more than the burst comes back
		{0, 1, time.Second},
	}
	for i, s := range steps {
		now += s.after.Microseconds()
		if wait := take(t, l, "key", limit, s.cost); wait != s.want {
			t.Errorf("step %d: wait %v, not %v", i, wait, s.want)
		}
	}
}

func TestKeysGoByThemselves(t *testing.T) {
	s := redistest.Start(t)
	l := New(connect(t, s.URL()), "site", quiet)
	take(t, l, "key", Limit{Burst: 10, Per: time.Minute}, 3)
	left, err := s.Client(t).PTTL(t.Context(), "stoa:site:rate:key").Result()
	if err != nil || left <= 2*time.Minute || left > 3*time.Minute+time.Second {
		t.Errorf("the key goes in %v, %v, where the bucket is full in 3 minutes", left, err)
	}
}

func TestRedisGoesAndComesBack(t *testing.T) {
	s := redistest.Start(t)
	l := New(connect(t, s.URL()), "site", quiet)
	var clock atomic.Int64
	clock.Store(1)
	l.now = clock.Load
	limit := Limit{Burst: 2, Per: time.Hour}
	count := func(key string) (n int) {
		for range 5 {
			if take(t, l, key, limit, 1) == 0 {
				n++
			}
		}
		return n
	}
	if n := count("before"); n != 2 || len(l.local.buckets) != 0 {
		t.Fatalf("%d taken of 2, %d buckets in the process", n, len(l.local.buckets))
	}
	s.Save(t)
	s.Kill(t)
	if n := count("meanwhile"); n != 2 || !l.breaker.Open() {
		t.Errorf("%d taken of 2 while Redis is away", n)
	}
	s.Start(t)
	if n := count("remembered"); n != 2 || l.local.buckets == nil || len(l.local.buckets) != 2 {
		t.Errorf("%d taken of 2, and Redis is asked again before a second has passed", n)
	}
	clock.Add(bus.Rest.Microseconds())
	if take(t, l, "before", limit, 1) == 0 {
		t.Error("Redis is back with what it knew, and isn't asked")
	}
	if l.breaker.Open() {
		t.Error("Redis has answered and still counts as away")
	}
}

// Of the callers after an outage's second, one tries Redis.
func TestOneCallerTriesRedisAgain(t *testing.T) {
	l := New(&bus.Connection{}, "site", quiet)
	l.failed(errors.New("away"))
	if ask, _ := l.ask(); ask {
		t.Error("asked within the second")
	}
	l.reached(0)
	if !l.breaker.Open() {
		t.Error("an answer to who had asked before the outage ended it")
	}
	later := l.now() + bus.Rest.Microseconds()
	l.now = func() int64 { return later }
	first, until := l.ask()
	if second, _ := l.ask(); !first || second {
		t.Error("not exactly one of two tries again")
	}
	l.reached(until)
	if ask, _ := l.ask(); !ask {
		t.Error("Redis has answered, and isn't asked")
	}
}

func TestMadeUpKeysDoNotForgetAnEmptyBucket(t *testing.T) {
	const most = 1000
	table := newTable(most)
	limit := Limit{Burst: 10, Per: time.Minute}
	for range 10 {
		table.takeAll(1, []Use{{Key: "mine", Limit: limit, Cost: 1}})
	}
	for i := range 50 * most {
		// With a slower limit, so these buckets are full later.
		table.takeAll(1, []Use{{Key: fmt.Sprint("made up ", i), Limit: Limit{Burst: 10, Per: time.Hour}, Cost: 1}})
	}
	if table.takeAll(1, []Use{{Key: "mine", Limit: limit, Cost: 1}}).wait == 0 {
		t.Error("50,000 made-up keys have emptied a table of 1,000 of the bucket that they were made up for")
	}
	if n := len(table.buckets); n != most {
		t.Errorf("%d buckets, where %d fit", n, most)
	}
}

func BenchmarkTake(b *testing.B) {
	limit := Limit{Burst: 1_000_000_000, Per: time.Microsecond} // never empty
	uses := []Use{{Key: "one", Limit: limit, Cost: 1}, {Key: "two", Limit: limit, Cost: 1}, {Key: "three", Limit: limit, Cost: 1}}
	run := func(b *testing.B, l *Limiter) {
		b.Run("One", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Take(b.Context(), "key", limit, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Three", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := l.TakeAll(b.Context(), uses); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Process", func(b *testing.B) { run(b, New(nil, "site", quiet)) })
	b.Run("Redis", func(b *testing.B) { run(b, New(connect(b, redistest.Start(b).URL()), "site", quiet)) })
	b.Run("FullTable", func(b *testing.B) {
		l := New(nil, "site", quiet)
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			i++
			_, _ = l.Take(b.Context(), fmt.Sprint(i), Limit{Burst: 10, Per: time.Hour}, 1)
		}
	})
}
