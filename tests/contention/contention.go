// Package contention tells whether others use the machine that a test runs on, so that a test of
// time can be strict on an idle machine and patient on a busy one.
//
// Entry points: Monitor, Allow. It may import nothing of Stoa's.
package contention

import (
	"runtime"
	"sync"
	"time"
)

// Monitor tells when a machine had no time for what a test does because others used it:
// then a write that wasn't made within its limit says nothing of the program. What the test
// and its servers use themselves doesn't count, so nothing is excused on an idle machine,
// nor where the system doesn't tell. Of other processes of the test's, those count as its own
// that have ended.
type Monitor struct {
	mu   sync.Mutex
	last time.Time // when others had more than a third of the processors
}

// Excuses says whether others have used the machine in the last so and so long.
func (c *Monitor) Excuses(limit time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero() && time.Since(c.last) < limit
}

// Watch looks until done is closed.
func (c *Monitor) Watch(done <-chan struct{}) {
	const pause = 250 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	all, own, ok := used()
	at := time.Now()
	for ok {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		var allNow, ownNow time.Duration
		allNow, ownNow, ok = used()
		now := time.Now()
		if others := (allNow - all) - (ownNow - own); ok && others > now.Sub(at)*time.Duration(runtime.NumCPU())/3 {
			c.mu.Lock()
			c.last = now
			c.mu.Unlock()
		}
		all, own, at = allNow, ownNow, now
	}
}

// Allowance is a time within which something is to happen on a machine that others leave alone.
// Where others use it meanwhile, the allowance is longer, at most stretched times its length.
type Allowance struct {
	began, ends time.Time
	all, own    time.Duration
	ok          bool
}

// stretched is by how much, at most.
const stretched = 10

// Allow begins an allowance that ends at a moment.
func Allow(ends time.Time) *Allowance {
	a := &Allowance{began: time.Now(), ends: ends}
	a.all, a.own, a.ok = used()
	return a
}

// Over says whether the allowance has been used up.
func (a *Allowance) Over() bool {
	now := time.Now()
	return now.After(a.ends) && (!a.Shared() || now.Sub(a.began) > stretched*max(a.ends.Sub(a.began), time.Second))
}

// Shared says whether others have used more than a third of the processors since the allowance began.
func (a *Allowance) Shared() bool {
	all, own, ok := used()
	others := (all - a.all) - (own - a.own)
	return a.ok && ok && others > time.Since(a.began)*time.Duration(runtime.NumCPU())/3
}
