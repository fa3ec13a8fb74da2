package admission

// The memory of running operations: each reserves some of a common budget before it runs, and more
// when it turns out to need more. Entry points: Load.Reserve, Reservation.Grow,
// Reservation.Release.

import (
	"context"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"stoa/gateway/refusal"
)

const (
	// budgetShare is the part of the memory limit that running operations may take. The rest is for
	// caches (a fifth by default), for what the collector hasn't freed yet, and for connections.
	budgetShare = 0.25

	// defaultBudget is the budget without a memory limit, in bytes.
	defaultBudget = 512 << 20

	// memoryPerUnit is the memory that an operation reserves for each unit of its cost: an object with a
	// few fields takes that while it is written.
	memoryPerUnit = 500

	// freeMemory is what an operation may take without a reservation, in bytes: with as many
	// requests as there may be at once it is 256 MB. A page of 20 KB reserves nothing.
	freeMemory = 128 << 10

	// growth is how much is reserved at a time by an operation that needs more, in bytes.
	growth = 256 << 10
)

// budget is the memory of running operations. It is safe for concurrent use.
type budget struct {
	most  int64
	used  atomic.Int64
	freed chan struct{} // has an element after something was freed
}

// memoryBudget is the default of Limits.Budget.
func memoryBudget() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return int64(budgetShare * float64(limit))
	}
	return defaultBudget
}

// take takes n bytes, or nothing if there aren't as many.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.most {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) free(n int64) {
	b.used.Add(-n)
	b.wake()
}

func (b *budget) wake() {
	select {
	case b.freed <- struct{}{}:
	default:
	}
}

// Reservation is the memory of one operation. Its zero value has reserved nothing.
type Reservation struct {
	budget *budget

	mu    sync.Mutex
	bytes int64
	over  bool        // released
	stop  func() bool // undoes releasing it with its context
}

// Reserve reserves the memory of an operation of this cost, or as many bytes as it took before if that
// is more. It waits for others to end if there isn't enough, and refuses the operation if that takes
// too long. The memory is free again when ctx ends, or when r is released.
func (l *Load) Reserve(ctx context.Context, r *Reservation, cost, before int64) error {
	r.budget = &l.budget
	n := max(cost*memoryPerUnit, before)
	if n <= freeMemory {
		return nil
	}
	n = min(n, l.budget.most)
	if !l.budget.take(n) {
		if err := l.awaitMemory(ctx, n); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(ctx, n)
	return nil
}

func (l *Load) awaitMemory(ctx context.Context, n int64) error {
	if l.waitingForMemory.Add(1) > maxWaiting {
		l.waitingForMemory.Add(-1)
		return outOfMemory()
	}
	defer l.waitingForMemory.Add(-1)
	late := time.NewTimer(l.limits.SlotWait)
	defer late.Stop()
	for {
		select {
		case <-l.budget.freed:
			if l.budget.take(n) {
				l.budget.wake() // there may be some left for another one
				return nil
			}
		case <-late.C:
			l.budget.wake()
			return outOfMemory()
		case <-ctx.Done():
			l.budget.wake()
			return refusal.New(refusal.Cancelled, "the request ended before its turn came")
		}
	}
}

func outOfMemory() error {
	return overloaded("the operations that run take all the memory that there is for them: ask for less at a time, or later", slotWait)
}

// add notes n bytes that were taken for r. The caller holds mu.
func (r *Reservation) add(ctx context.Context, n int64) {
	if r.bytes += n; r.bytes == n {
		r.stop = context.AfterFunc(ctx, r.Release)
	}
}

// Granted returns the bytes that the operation may take.
func (r *Reservation) Granted() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes + freeMemory
}

// Grow reserves more, so that the operation may take n bytes. It never waits, since the operation
// holds memory already: if there isn't enough, the operation is refused and ends.
func (r *Reservation) Grow(ctx context.Context, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := n - r.bytes - freeMemory
	if missing <= 0 || r.over {
		return nil
	}
	missing += growth
	if !r.budget.take(missing) {
		return outOfMemory()
	}
	r.add(ctx, missing)
	return nil
}

// Release frees the memory of r.
func (r *Reservation) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.bytes > 0 {
		r.stop()
		r.budget.free(r.bytes)
		r.bytes = 0
	}
}
