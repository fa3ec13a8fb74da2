package bus

// The circuit breaker for calls to Redis that have a substitute in the process. Entry points:
// Breaker.Allow, Succeeded, Failed.

import (
	"sync/atomic"
	"time"
)

// Rest is the time without calls to Redis after a failure: clients don't wait for a dead Redis
// more often than once in it, and a Redis that is back is used again within it.
const Rest = time.Second

// Breaker is a circuit breaker. After a failure nobody calls Redis for Rest; then one caller
// tries again, and all others go on without until that call has succeeded. The zero value is
// closed. It is safe for concurrent use. Its times are on a clock of the caller that never goes
// back.
type Breaker struct {
	until atomic.Int64 // nanoseconds; 0 while closed
}

// Allow reports whether the caller may call Redis. trial is for Succeeded.
func (b *Breaker) Allow(now time.Duration) (ok bool, trial time.Duration) {
	until := b.until.Load()
	if until == 0 {
		return true, 0
	}
	trial = now + Rest
	return int64(now) >= until && b.until.CompareAndSwap(until, int64(trial)), trial
}

// Succeeded closes the breaker after a trial, and reports whether it did. A call that began
// before the failure has no trial and doesn't close it, so that at most one outage a second is
// logged.
func (b *Breaker) Succeeded(trial time.Duration) bool {
	return trial != 0 && b.until.CompareAndSwap(int64(trial), 0)
}

// Failed opens the breaker, and reports whether it was closed.
func (b *Breaker) Failed(now time.Duration) bool { return b.until.Swap(int64(now+Rest)) == 0 }

// Open reports whether the last outage has not ended yet.
func (b *Breaker) Open() bool { return b.until.Load() != 0 }
