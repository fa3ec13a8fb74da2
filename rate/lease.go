package rate

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// portions is how many takes of a lease's size empty a bucket.
	portions = 20

	// leaseTime is how long what was taken for later may wait to be used.
	leaseTime = 10 * time.Second

	// maxLeases is how many keys' leases a process keeps, the last used: some 20 MB.
	maxLeases = 100_000
)

// Leases takes out of the buckets of a Limiter in portions of a twentieth of a burst, and hands
// them out bit by bit, so that most takes ask nobody. What is handed out was taken before, so
// no bucket gives more than it has; but a portion that waits while its bucket fills again is
// added to the next burst. So with n replicas a key gets at most n twentieths of a burst more
// than its limit, and no more often than each leaseTime. It is safe for concurrent use.
type Leases struct {
	limiter *Limiter
	limit   Limit
	portion int

	mu  sync.Mutex
	lru *simplelru.LRU[string, *lease]
}

// lease is what is left of a key's portion, and what is known of its bucket.
type lease struct {
	mu    sync.Mutex
	left  int
	until int64 // when what is left lapses
	had   int   // what the bucket had
	at    int64 // and when

	denied      int   // what the bucket didn't have
	deniedUntil int64 // and won't have before
}

// State is what became of a take.
type State struct {
	Wait time.Duration // 0 when it was there; otherwise nothing was taken
	Left int           // what is left, as far as this process knows
	Full time.Duration // until nothing is missing any more
}

// NewLeases returns leases of buckets that all have one limit.
func NewLeases(limiter *Limiter, limit Limit) (*Leases, error) {
	if err := check([]Use{{Limit: limit}}); err != nil {
		return nil, err
	}
	l := &Leases{limiter: limiter, limit: limit, portion: max(limit.Burst/portions, 1)}
	l.lru, _ = simplelru.NewLRU[string, *lease](maxLeases, nil) // the error says that the size isn't positive
	return l, nil
}

// Limit is that of each bucket.
func (l *Leases) Limit() Limit { return l.limit }

// Take takes cost, at most a burst, out of the bucket of key, as Limiter.Take does. Takes of
// one key wait for one another while one of them asks Redis.
func (l *Leases) Take(ctx context.Context, key string, cost int) (State, error) {
	if err := check([]Use{{Limit: l.limit, Cost: cost}}); err != nil {
		return State{}, err
	}
	of := l.of(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	now := l.limiter.now()
	if now >= of.until {
		of.left = 0
	}
	if of.left >= cost {
		of.left -= cost
		return l.state(of, now, 0), nil
	}
	need := cost - of.left
	if need >= of.denied && now < of.deniedUntil {
		return l.state(of, now, time.Duration(of.deniedUntil-now)*time.Microsecond), nil
	}
	want := need
	if l.limiter.redis != nil { // asking this process costs nothing
		want = min(max(need, l.portion), l.limit.Burst)
	}
	wait, had, err := l.limiter.takeOne(ctx, Use{key, l.limit, want})
	if err == nil && wait > 0 && want > need {
		want = need
		wait, had, err = l.limiter.takeOne(ctx, Use{key, l.limit, want})
	}
	if err != nil {
		return State{}, err
	}
	of.had, of.at = had, now
	if wait > 0 {
		of.denied, of.deniedUntil = need, now+wait.Microseconds()
		return l.state(of, now, wait), nil
	}
	of.left += want - cost
	of.until = now + leaseTime.Microseconds()
	return l.state(of, now, 0), nil
}

// Return gives back what was taken for nothing, and says what is left.
func (l *Leases) Return(key string, cost int) State {
	of := l.of(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	now := l.limiter.now()
	if now >= of.until {
		of.left = 0
	}
	of.left = min(of.left+cost, l.limit.Burst)
	of.until = now + leaseTime.Microseconds()
	return l.state(of, now, 0)
}

func (l *Leases) of(key string) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, ok := l.lru.Get(key)
	if !ok {
		of = &lease{had: l.limit.Burst}
		l.lru.Add(key, of)
	}
	return of
}

// state is what is known of a bucket: what it had, what has come back since, and the lease.
func (l *Leases) state(of *lease, now int64, wait time.Duration) State {
	back := min((now-of.at)/l.limit.Per.Microseconds(), int64(l.limit.Burst))
	left := min(of.had+int(back)+of.left, l.limit.Burst)
	return State{Wait: wait, Left: left, Full: time.Duration(l.limit.Burst-left) * l.limit.Per}
}
