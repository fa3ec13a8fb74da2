// Package admission is the step of a request that decides whether there is room for it: Load turns
// away requests that are too many at once, Usage takes the cost of an operation from the rates of its
// client and account.
//
// A request that is turned away costs nobody anything. The package may import access, refusal,
// rate, and store/cache, to look up the account without making the response depend on it.
package admission

// This file has Load. A request enters when it comes, and is refused at once if there are too
// many, before a large body is read. An expensive operation waits for one of a few slots, so
// that any number of them leaves a processor to cheap ones.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"stoa/gateway/refusal"
)

const (
	// defaultRequests is how many requests to /graphql may be there at once. Those that
	// wait for the database or for a slow client take some 50 KB each.
	defaultRequests = 2000

	// defaultPerClient is for one address: an office, or a front end's server that asks
	// for its visitors.
	defaultPerClient = 200

	// expensiveCost is the least cost of an expensive operation: some 10 ms of a processor. A
	// page of twenty articles with all fields of a usual list costs 200.
	expensiveCost = 1000

	// maxWaiting is how many expensive operations may wait for a slot, and maxWaitingOfOne how many
	// of one client's wait or run.
	maxWaiting      = 64
	maxWaitingOfOne = 8

	// slotWait is how long one may wait: a client that would wait longer comes again later.
	slotWait = 2 * time.Second

	// liveShare is the part of the memory limit that may be in use before requests are
	// turned away: above it the collector takes the time that they would need.
	liveShare = 0.85

	// measureEvery is how often the memory in use is looked at.
	measureEvery = 100 * time.Millisecond
)

// Limits bound the work at once; 0 is the default of each.
type Limits struct {
	Requests  int // requests to /graphql
	PerClient int // of one client, an address or a /64 of IPv6
	Expensive int // operations that cost 1,000 or more

	SlotWait time.Duration               // for an expensive operation to begin
	Memory   func() (live, limit uint64) // in use and allowed, in bytes; nil asks the runtime

	// Budget is the memory of the operations that run, in bytes. Its default is a quarter of the
	// memory limit, 512 MiB without one.
	Budget int64
}

// WithDefaults returns l with the default of each limit that is 0. The default of Expensive
// leaves a processor to cheap operations, if there is more than one.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Requests: cmp.Or(l.Requests, defaultRequests), PerClient: cmp.Or(l.PerClient, defaultPerClient),
		Expensive: cmp.Or(l.Expensive, max(runtime.GOMAXPROCS(0)-1, 1)), SlotWait: cmp.Or(l.SlotWait, slotWait), Memory: l.Memory, Budget: cmp.Or(l.Budget, memoryBudget()),
	}
}

// Validate returns an error for a limit that can't be one.
func (l Limits) Validate() error {
	if min(int64(min(l.Requests, l.PerClient, l.Expensive)), l.Budget) < 0 {
		return errors.New("a limit of requests at once is negative; 0 is its default")
	}
	return nil
}

// Load counts the requests and operations that run at once. It is safe for concurrent use.
type Load struct {
	limits Limits
	memory *memory
	slots  chan struct{} // an element for each expensive operation that runs
	budget budget

	waitingForMemory atomic.Int64 // operations

	mu       sync.Mutex
	requests int
	byClient map[string]int
	waiting  int
	waitOf   map[string]int // expensive operations of a client that wait or run
}

// NewLoad returns a Load with these limits.
func NewLoad(limits Limits) *Load {
	limits = limits.WithDefaults()
	return &Load{
		limits: limits, slots: make(chan struct{}, limits.Expensive), memory: newMemory(limits.Memory),
		budget:   budget{most: limits.Budget, freed: make(chan struct{}, 1)},
		byClient: map[string]int{}, waitOf: map[string]int{},
	}
}

// Enter lets a request in, until leave is called, or refuses it.
func (l *Load) Enter(client string) (leave func(), err error) {
	if l.memory.full() {
		return nil, overloaded("the server's memory is nearly full", time.Second)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests >= l.limits.Requests {
		return nil, overloaded(fmt.Sprintf("%d requests are being answered, as many as there may be", l.limits.Requests), time.Second)
	}
	if l.byClient[client] >= l.limits.PerClient {
		return nil, refusal.New(refusal.Throttled, "%d requests of yours are being answered, as many as there may be at once", l.limits.PerClient).With("Retry-After", "1").Extend("retryAfter", 1)
	}
	l.requests++
	l.byClient[client]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.requests--
		if l.byClient[client]--; l.byClient[client] == 0 {
			delete(l.byClient, client)
		}
	}), nil
}

// Slot waits until an operation of this cost may run. Its slot is free again when release is
// called, or when ctx ends. A cheap operation needs none.
func (l *Load) Slot(ctx context.Context, client string, cost int64) (release func(), err error) {
	if cost < expensiveCost {
		return noSlot, nil
	}
	if err := l.queue(client); err != nil {
		return nil, err
	}
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.waitOf[client]--; l.waitOf[client] == 0 {
			delete(l.waitOf, client)
		}
	}
	late := time.NewTimer(l.limits.SlotWait)
	defer late.Stop()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.waiting--
	}()
	select {
	case l.slots <- struct{}{}:
		release = sync.OnceFunc(func() { <-l.slots; leave() })
		context.AfterFunc(ctx, release)
		return release, nil
	case <-late.C:
		leave()
		return nil, overloaded("too many expensive operations are being answered: ask for less at a time, or later", l.limits.SlotWait)
	case <-ctx.Done():
		leave()
		return nil, refusal.New(refusal.Cancelled, "the request ended before its turn came")
	}
}

func noSlot() {}

func (l *Load) queue(client string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= maxWaiting {
		return overloaded("too many expensive operations are waiting: ask for less at a time, or later", l.limits.SlotWait)
	}
	if l.waitOf[client] >= maxWaitingOfOne {
		return refusal.New(refusal.Throttled, "%d expensive operations of yours are being answered, as many as there may be at once", maxWaitingOfOne).With("Retry-After", "1").Extend("retryAfter", 1)
	}
	l.waiting++
	l.waitOf[client]++
	return nil
}

func overloaded(why string, wait time.Duration) error {
	seconds := inSeconds(wait)
	return refusal.New(refusal.Overloaded, "%s", why).With("Retry-After", fmt.Sprint(seconds)).Extend("retryAfter", seconds)
}

// memory says whether the memory in use comes near the limit that the process was given
// (GOMEMLIMIT). Without a limit it never does.
type memory struct {
	read func() (live, limit uint64)
	next atomic.Int64 // when it is looked at again, in nanoseconds since began
	over atomic.Bool

	began time.Time
}

// newMemory returns a memory that learns by read how much is in use, and its limit.
func newMemory(read func() (live, limit uint64)) *memory {
	if read == nil {
		read = readMemory
	}
	return &memory{read: read, began: time.Now()}
}

func (m *memory) full() bool {
	now, next := int64(time.Since(m.began)), m.next.Load()
	if now >= next && m.next.CompareAndSwap(next, now+int64(measureEvery)) {
		live, limit := m.read()
		m.over.Store(limit < math.MaxInt64 && float64(live) > liveShare*float64(limit))
	}
	return m.over.Load()
}

// readMemory returns the memory that the last collection found in use, stacks included.
func readMemory() (live, limit uint64) {
	samples := [2]metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples[:])
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			live += s.Value.Uint64()
		}
	}
	return live, uint64(debug.SetMemoryLimit(-1))
}
