package cache

// Random reads and writes on three replicas, with the promises checked on each read.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"stoa/tests/redistest"
)

// ages are the ages of answers.
type ages struct {
	mu    sync.Mutex
	reads int
	stale []time.Duration
}

func (a *ages) add(age time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reads++
	if age > 0 {
		a.stale = append(a.stale, age)
	}
}

// String lists percentiles of the ages.
func (a *ages) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.stale)
	at := func(share float64) time.Duration {
		if i := len(a.stale) - 1 - int(float64(a.reads)*(1-share)); i >= 0 {
			return a.stale[i].Round(time.Microsecond)
		}
		return 0
	}
	return fmt.Sprintf("%d reads, %d of something out of date; age p50 %v, p99 %v, p99.9 %v, at most %v",
		a.reads, len(a.stale), at(0.5), at(0.99), at(0.999), at(1))
}

// Three replicas read and write at random, first in peace, then while their lines to Redis break
// and Redis loses keys. Every read checks the promises, in replica.read.
func TestPromisesUnderLoad(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := redistest.Start(t)
	w := newWorld(t)
	var replicas []*replica
	var lines []*redistest.Proxy
	for _, name := range []string{"A", "B", "C"} {
		line := redistest.Between(t, s)
		lines = append(lines, line)
		replicas = append(replicas, w.replica(name, line.URL()))
	}
	ready(t, replicas...)
	keys := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for i, phase := range []struct {
		name  string
		lasts time.Duration
		chaos func(*rand.Rand)
	}{
		{"in peace", 2 * time.Second, func(*rand.Rand) {}},
		{"with evictions", time.Second, func(r *rand.Rand) {
			replicas[0].removeAnyValue(t, keys[r.IntN(len(keys))])
		}},
		{"with breaking lines", 3 * time.Second, func(r *rand.Rand) {
			if r.IntN(20) == 0 {
				lines[r.IntN(len(lines))].Kick()
			}
		}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), phase.lasts)
		var others ages
		var writes int
		var group sync.WaitGroup
		loop := func(n uint64, every time.Duration, do func(*rand.Rand) error) {
			r := rand.New(rand.NewPCG(seed+uint64(i), n))
			group.Go(func() {
				tick := time.NewTicker(every)
				defer tick.Stop()
				for {
					select {
					case <-ctx.Done():
						return
					case <-tick.C:
					}
					if err := do(r); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		var mu sync.Mutex
		for n, r := range replicas {
			for reader := range 2 {
				loop(uint64(10*n+reader), 300*time.Microsecond, func(random *rand.Rand) error {
					_, age, err := r.read(keys[random.IntN(len(keys))])
					others.add(age)
					return err
				})
			}
			loop(uint64(10*n+5), 5*time.Millisecond, func(random *rand.Rand) error {
				_, err := r.write(t.Context(), keys[random.IntN(len(keys))])
				mu.Lock()
				defer mu.Unlock()
				writes++
				return err
			})
		}
		loop(99, 5*time.Millisecond, func(random *rand.Rand) error {
			phase.chaos(random)
			return nil
		})
		group.Wait()
		cancel()
		t.Logf("%s: %d writes, %v", phase.name, writes, &others)
	}
	ready(t, replicas...)
	for _, r := range replicas {
		for _, key := range keys {
			r.readUntil(t, slack*time.Second, key, w.db.get(key))
		}
	}
}

// removeAnyValue evicts a value or a lease, as Redis does for want of memory, but no block. It does
// nothing if Redis doesn't answer.
func (r *replica) removeAnyValue(t testing.TB, key string) {
	if run, err := r.conn.Run(t.Context()); err == nil {
		_ = r.conn.Client.Eval(t.Context(), scrub, []string{run.Key(r.site, key)}).Err()
	}
}
