// Package contention detects that other processes use the test's machine, so that a test of
// time can be strict on an idle machine and patient on a busy one.
//
// Entry points: Monitor, Allow, Await. It may import none of our packages.
package contention

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// Monitor watches if other processes leave a test too little of the machine. If they do, a
// write that missed its limit proves nothing about the program. The use by the test itself and
// its servers doesn't count, so on an idle machine nothing is excused, nor on systems without
// these numbers. Child processes of the test count as its own only after they have ended.
type Monitor struct {
	mu   sync.Mutex
	last time.Time // the last time that others had more than a third of the processors
}

// Excuses says if others have used the machine within the last limit.
func (c *Monitor) Excuses(limit time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero() && time.Since(c.last) < limit
}

// Watch samples the use of the machine until done is closed.
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

// Allowance is a deadline for a machine that others leave alone. If others use the machine
// meanwhile, the allowance grows, at most to stretched times its length.
type Allowance struct {
	began, ends time.Time
	all, own    time.Duration
	ok          bool
}

// stretched bounds the growth of an allowance, as a factor.
const stretched = 10

// Allow begins an allowance that ends at a given time.
func Allow(ends time.Time) *Allowance {
	a := &Allowance{began: time.Now(), ends: ends}
	a.all, a.own, a.ok = used()
	return a
}

// Over says if the allowance has been used up.
func (a *Allowance) Over() bool {
	now := time.Now()
	return now.After(a.ends) && (!a.Shared() || now.Sub(a.began) > stretched*max(a.ends.Sub(a.began), time.Second))
}

// Shared says if others have used more than a third of the processors since the allowance
// began.
func (a *Allowance) Shared() bool {
	all, own, ok := used()
	others := (all - a.all) - (own - a.own)
	return a.ok && ok && others > time.Since(a.began)*time.Duration(runtime.NumCPU())/3
}

// Await polls until done every 2 ms, and fails the test if that takes longer than limit. The limit
// is stretched as an Allowance is.
func Await(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	AwaitEvery(t, 2*time.Millisecond, limit, what, done)
}

// AwaitEvery is Await with another pause between polls.
func AwaitEvery(t testing.TB, pause, limit time.Duration, what string, done func() bool) {
	t.Helper()
	began := time.Now()
	allowed := Allow(began.Add(limit))
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !done() {
		if allowed.Over() {
			t.Fatalf("waited %s for %s", time.Since(began).Round(time.Millisecond), what)
		}
		<-tick.C
	}
}
