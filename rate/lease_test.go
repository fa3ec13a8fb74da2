package rate

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"stoa/store/bus"
)

// leased returns the leases of n replicas with one Redis, a function that advances its time,
// and one that counts the commands sent to it.
func leased(t *testing.T, n int, limit Limit) (all []*Leases, pass func(time.Duration), asked func() int) {
	t.Helper()
	mini := miniredis.RunT(t)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var now, commands atomic.Int64
	mini.SetTime(start)
	for range n {
		client := redis.NewClient(&redis.Options{Addr: mini.Addr(), MaxRetries: -1})
		t.Cleanup(func() { _ = client.Close() })
		client.AddHook(counter{&commands})
		limiter := New(&bus.Connection{Client: client}, "site", quiet)
		limiter.patience = time.Minute
		limiter.now = func() int64 { return now.Load() + 1 }
		l, err := NewLeases(limiter, limit)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	pass = func(d time.Duration) {
		now.Add(d.Microseconds())
		mini.SetTime(start.Add(time.Duration(now.Load()) * time.Microsecond))
		mini.FastForward(d)
	}
	return all, pass, func() int { return int(commands.Load()) }
}

// counter counts the commands sent to Redis.
type counter struct{ commands *atomic.Int64 }

func (c counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			c.commands.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (c counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func spend(t *testing.T, l *Leases, cost int) State {
	t.Helper()
	s, err := l.Take(t.Context(), "key", cost)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLeasesRarelyAsk(t *testing.T) {
	all, _, asked := leased(t, 1, Limit{Burst: 1000, Per: time.Millisecond})
	spend(t, all[0], 1) // loads the script
	before := asked()
	for i := range 999 {
		s := spend(t, all[0], 1)
		if want := 1000 - 2 - i; s.Wait != 0 || s.Left != want || s.Full != time.Duration(1000-want)*time.Millisecond {
			t.Fatalf("take %d: %+v, where %d are left", i, s, want)
		}
	}
	if n := asked() - before; n > portions {
		t.Errorf("Redis was asked %d times for 999 takes of a twentieth each", n)
	}
	if s := spend(t, all[0], 5); s.Wait <= 0 || s.Wait > 5*time.Millisecond || s.Left != 0 {
		t.Errorf("with nothing left: %+v", s)
	}
	before = asked()
	for range 100 {
		spend(t, all[0], 5)
	}
	if n := asked() - before; n != 0 {
		t.Errorf("what was refused is asked for again, %d commands", n)
	}
}

// Together the replicas hand out at most a burst, the units that came back, and one portion
// each.
func TestLeasesOvershootByAPortionEach(t *testing.T) {
	const replicas = 3
	limit := Limit{Burst: 1000, Per: time.Millisecond}
	all, pass, _ := leased(t, replicas, limit)
	drain := func() (taken int) {
		for _, l := range all {
			for spend(t, l, 1).Wait == 0 {
				taken++
			}
		}
		return taken
	}
	if n := drain(); n != 1000 {
		t.Errorf("%d taken of 1000 at once", n)
	}
	pass(time.Hour)
	for _, l := range all {
		spend(t, l, 1) // each has nearly a portion now
	}
	pass(leaseTime - time.Millisecond) // the bucket is full again, the leases are valid
	if n := drain(); n < 1000 || n > 1000+replicas*50 {
		t.Errorf("%d taken, where 1000 and %d portions of 50 are the most", n, replicas)
	}
	pass(time.Hour)
	for _, l := range all {
		spend(t, l, 1)
	}
	pass(leaseTime)
	if n := drain(); n != 1000 {
		t.Errorf("%d taken, where leases have lapsed", n)
	}
}

func TestReturnedUnitsCanBeTaken(t *testing.T) {
	all, _, _ := leased(t, 1, Limit{Burst: 100, Per: time.Hour})
	spend(t, all[0], 100)
	if spend(t, all[0], 60).Wait == 0 {
		t.Error("more than the burst was taken")
	}
	all[0].Return("key", 60)
	if s := spend(t, all[0], 60); s.Wait != 0 {
		t.Errorf("what was returned isn't there: %+v", s)
	}
	all[0].Return("key", 1000)
	if s := spend(t, all[0], 100); s.Wait != 0 || spend(t, all[0], 1).Wait == 0 {
		t.Error("more than a burst was returned")
	}
}

// A debit takes units that aren't there, at most a burst of them. The debt is worked off before
// anything can be taken again, by Redis and without it.
func TestDebitsAreWorkedOff(t *testing.T) {
	shared, passShared, _ := leased(t, 1, Limit{Burst: 100, Per: time.Second})
	now := int64(1)
	alone := New(nil, "site", quiet)
	alone.now = func() int64 { return now }
	own, err := NewLeases(alone, Limit{Burst: 100, Per: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		leases *Leases
		pass   func(time.Duration)
	}{
		"Redis":   {shared[0], passShared},
		"Process": {own, func(d time.Duration) { now += d.Microseconds() }},
	} {
		t.Run(name, func(t *testing.T) {
			debit := func(units, left int) {
				t.Helper()
				s, err := c.leases.Debit(t.Context(), "key", units)
				if err != nil || s.Wait != 0 || s.Left != left || c.leases.Overdrawn(s) != (left == -100) {
					t.Errorf("a debit of %d: %+v, %v, where %d are left", units, s, err, left)
				}
			}
			spend(t, c.leases, 40)
			debit(30, 30)
			debit(70, -40)
			if s := spend(t, c.leases, 1); s.Wait != 41*time.Second {
				t.Errorf("in a debt of 40, one unit is there after %v", s.Wait)
			}
			debit(1_000_000, -100)
			if s := spend(t, c.leases, 1); s.Wait != 101*time.Second {
				t.Errorf("in a debt of 100, one unit is there after %v", s.Wait)
			}
			debit(50, -100)
			if s := spend(t, c.leases, 1); s.Wait != 101*time.Second {
				t.Errorf("more was debited than there is debt: one unit is there after %v", s.Wait)
			}
			c.pass(111 * time.Second)
			if s := spend(t, c.leases, 10); s.Wait != 0 || s.Left != 1 {
				t.Errorf("after the debt is worked off: %+v", s)
			}
			c.pass(time.Hour)
			if s := spend(t, c.leases, 1); s.Left != 99 {
				t.Errorf("a full bucket has %d after one was taken", s.Left)
			}
		})
	}
}

func TestLeasesWithoutRedis(t *testing.T) {
	l, err := NewLeases(New(nil, "site", quiet), Limit{Burst: 100, Per: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				s, err := l.Take(context.Background(), "key", 1)
				if err != nil {
					t.Error(err)
				} else if s.Wait == 0 {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 100 {
		t.Errorf("%d of 400 were taken out of a bucket of 100", n)
	}
	if _, err := l.Take(t.Context(), "key", 101); err == nil {
		t.Error("more than a burst can be asked for")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Take(ended, "another", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	if _, err := NewLeases(l.limiter, Limit{}); err == nil {
		t.Error("a limit of nothing is taken")
	}
}

func BenchmarkLeases(b *testing.B) {
	l, err := NewLeases(New(nil, "site", quiet), Limit{Burst: 1_000_000_000, Per: time.Microsecond})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Take(b.Context(), "key", 1); err != nil {
			b.Fatal(err)
		}
	}
}
