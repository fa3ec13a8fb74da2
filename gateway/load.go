package gateway

// How much is done at once. A request enters when it comes (load.enter) and is told at once
// when there are too many, before a body of any size is read. An operation waits for its turn (load.turn):
// cheap ones only where very many run, dear ones a few at a time, so that no number of dear
// ones keeps a cheap one from a processor. Who waits too long, or finds too long a queue, is
// told to come back: being turned away costs nobody anything.

import (
	"context"
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
	// defaultMaxRequests is how many requests to /graphql may be there at once. Those that
	// wait for the database or for a slow client take some 50 KB each.
	defaultMaxRequests = 2000

	// defaultMaxPerClient is for one address: an office, or a front end's server that asks
	// for its visitors.
	defaultMaxPerClient = 200

	// dearCost is from what cost on an operation is dear: some 10 ms of a processor. A page of
	// twenty articles with all that a list shows costs 200.
	dearCost = 1000

	// maxWaiting is how many dear operations may wait for their turn, and maxWaitingOfOne how
	// many of one client's.
	maxWaiting      = 64
	maxWaitingOfOne = 8

	// turnTime is how long one may wait: what takes longer comes again later.
	turnTime = 2 * time.Second

	// liveShare is how much of the memory limit what is in use may take before requests are
	// turned away: above it the collector takes the time that they would need.
	liveShare = 0.85

	// measureEvery is how often the memory in use is looked at.
	measureEvery = 100 * time.Millisecond
)

// load counts what is done at once. It is safe for concurrent use.
type load struct {
	maxRequests  int
	maxPerClient int
	turns        chan struct{} // an element for each dear operation that runs
	wait         time.Duration
	memory       func() bool // whether too much is in use

	mu       sync.Mutex
	requests int
	byClient map[string]int
	waiting  int
	waitOf   map[string]int // dear operations of a client that wait or run
}

// newLoad bounds requests, those of one client among them, and dear operations at once.
func newLoad(requests, perClient, dear int) *load {
	return &load{
		maxRequests: requests, maxPerClient: perClient, turns: make(chan struct{}, dear), wait: turnTime,
		memory: newMemory(readMemory).full, byClient: map[string]int{}, waitOf: map[string]int{},
	}
}

// defaultExpensive leaves a processor to those that aren't dear, where there is more than one.
func defaultExpensive() int { return max(runtime.GOMAXPROCS(0)-1, 1) }

// enter lets a request in, until leave is called, or refuses it.
func (l *load) enter(client string) (leave func(), err error) {
	if l.memory() {
		return nil, overloaded("the server's memory is nearly full", time.Second)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests >= l.maxRequests {
		return nil, overloaded(fmt.Sprintf("%d requests are being answered, as many as there may be", l.maxRequests), time.Second)
	}
	if l.byClient[client] >= l.maxPerClient {
		return nil, refusal.New(refusal.Throttled, "%d requests of yours are being answered, as many as there may be at once", l.maxPerClient).With("Retry-After", "1").Extend("retryAfter", 1)
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

// turn waits until an operation of this cost may run, and until end is called counts it.
func (l *load) turn(ctx context.Context, client string, cost int64) (end func(), err error) {
	if cost < dearCost {
		return noTurn, nil
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
	late := time.NewTimer(l.wait)
	defer late.Stop()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.waiting--
	}()
	select {
	case l.turns <- struct{}{}:
		return sync.OnceFunc(func() { <-l.turns; leave() }), nil
	case <-late.C:
		leave()
		return nil, overloaded("too many expensive operations are being answered: ask for less at a time, or later", l.wait)
	case <-ctx.Done():
		leave()
		return nil, refusal.New(refusal.Cancelled, "the request ended before its turn came")
	}
}

func noTurn() {}

func (l *load) queue(client string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= maxWaiting {
		return overloaded("too many expensive operations are waiting: ask for less at a time, or later", l.wait)
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

// memory says whether what is in use comes near the limit that the process was given
// (GOMEMLIMIT). Without a limit it never does.
type memory struct {
	read func() (live, limit uint64)
	next atomic.Int64 // when it is looked at again, in nanoseconds since began
	over atomic.Bool

	began time.Time
}

func newMemory(read func() (live, limit uint64)) *memory {
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

// readMemory returns what the last collection has found in use, with stacks and the like.
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
