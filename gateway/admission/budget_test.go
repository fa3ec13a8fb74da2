package admission

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"stoa/gateway/refusal"
)

// Operations reserve memory out of a budget: they wait for others to end, are refused when that takes
// too long, and never hold more than there is.
func TestMemoryIsReserved(t *testing.T) {
	const most = 10 << 20
	l := NewLoad(Limits{Budget: most})
	l.limits.SlotWait = 20 * time.Millisecond
	cheap := new(Reservation)
	if err := l.Reserve(t.Context(), cheap, 100, 0); err != nil || l.budget.used.Load() != 0 || cheap.Granted() != freeMemory {
		t.Errorf("a cheap operation reserves %d, %v", l.budget.used.Load(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, second, third := new(Reservation), new(Reservation), new(Reservation)
	if err := l.Reserve(ctx, first, 12_000, 0); err != nil || l.budget.used.Load() != 6_000_000 {
		t.Fatalf("the first reserves %d, %v", l.budget.used.Load(), err)
	}
	if err := l.Reserve(t.Context(), second, 1, 6_000_000); refusal.Code(err) != refusal.Overloaded {
		t.Errorf("there is room for another that took 6 MB before: %v", err)
	}
	l.limits.SlotWait = 20 * time.Second
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if err := l.Reserve(t.Context(), second, 12_000, 0); err != nil {
			t.Errorf("the second doesn't get what the first had: %v", err)
		}
	})
	for l.waitingForMemory.Load() == 0 {
		runtime.Gosched()
	}
	cancel() // frees what first had
	waiting.Wait()
	if first.Granted() != freeMemory || l.budget.used.Load() != 6_000_000 {
		t.Errorf("in the end %d are used", l.budget.used.Load())
	}
	if err := second.Grow(t.Context(), 8_000_000); err != nil || second.Granted() < 8_000_000 || l.budget.used.Load() < 8_000_000-freeMemory {
		t.Errorf("the second grows to %d, %v", second.Granted(), err)
	}
	if err := second.Grow(t.Context(), most+freeMemory); refusal.Code(err) != refusal.Overloaded {
		t.Errorf("it grows past the budget: %v", err)
	}
	if err := l.Reserve(t.Context(), third, 0, 0); err != nil || third.Grow(t.Context(), 4_000_000) == nil {
		t.Errorf("an operation that reserved nothing grows past the budget: %v", err)
	}
	second.Release()
	second.Release()
	if err := second.Grow(t.Context(), 8_000_000); err != nil || l.budget.used.Load() != 0 {
		t.Errorf("after its release %d are used, %v", l.budget.used.Load(), err)
	}
	if err := l.Reserve(t.Context(), third, 1<<40, 0); err != nil || l.budget.used.Load() != most {
		t.Errorf("an operation that needs more than there is gets %d, %v", l.budget.used.Load(), err)
	}
	third.Release()
}

// Reserving and freeing by many at once leaves nothing of the budget reserved.
func TestMemoryIsFreed(t *testing.T) {
	const most = 4 << 20
	l := NewLoad(Limits{Budget: most})
	l.limits.SlotWait = 5 * time.Millisecond
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			for n := range 50 {
				r := new(Reservation)
				ctx, cancel := context.WithCancel(t.Context())
				if l.Reserve(ctx, r, int64(500*(1+(i+n)%5)), 0) == nil {
					_ = r.Grow(ctx, int64(n)<<14)
				}
				if n%2 == 0 {
					r.Release()
				}
				cancel()
				r.Release()
			}
		})
	}
	all.Wait()
	if used := l.budget.used.Load(); used != 0 {
		t.Errorf("%d are used in the end", used)
	}
}
