package admission

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"stoa/gateway/refusal"
)

func TestQueuesAreShort(t *testing.T) {
	l := NewLoad(Limits{Requests: 1000, PerClient: 1000, Expensive: 1, SlotWait: 20 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	end, err := l.Slot(ctx, "first", expensiveCost)
	if err != nil {
		t.Fatal(refusal.Errors(err, nil))
	}
	var waiting sync.WaitGroup
	queued := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.waiting
	}
	wait := func(client string) {
		before := queued()
		waiting.Go(func() {
			if end, err := l.Slot(ctx, client, expensiveCost); err == nil {
				end()
			}
		})
		for deadline := time.Now().Add(20 * time.Second); queued() != before+1; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("it never waits")
			}
		}
	}
	for range maxWaitingOfOne {
		wait("greedy")
	}
	if _, err := l.Slot(ctx, "greedy", expensiveCost); err == nil || refusal.Code(err) != refusal.Throttled {
		t.Errorf("one client alone fills the queue: %v", err)
	}
	for i := range maxWaiting - maxWaitingOfOne {
		wait(fmt.Sprint("client ", i))
	}
	if _, err := l.Slot(ctx, "last", expensiveCost); err == nil || refusal.Code(err) != refusal.Overloaded {
		t.Errorf("the queue has no end: %v", err)
	}
	if _, err := l.Slot(ctx, "last", expensiveCost-1); err != nil {
		t.Errorf("a cheap one waits: %v", refusal.Errors(err, nil))
	}
	cancel()
	waiting.Wait()
	end()
	if l.waiting != 0 || len(l.waitOf) != 0 || len(l.slots) != 0 {
		t.Errorf("in the end %d wait, %v, %d run", l.waiting, l.waitOf, len(l.slots))
	}
}

func TestTheProcessKnowsItsMemory(t *testing.T) {
	if live, limit := readMemory(); live == 0 || limit == 0 {
		t.Errorf("the process says that %d of %d are in use", live, limit)
	}
}
