package rate

// Leases of rate limits, for limits consumed too often to ask Redis each time. Entry points:
// NewLeases, Leases.Take, Leases.Debit, Leases.Return.

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// portions is the number of leases that empty a full bucket.
	portions = 20

	// leaseTime is the lifetime of a lease: its unused rest then lapses.
	leaseTime = 10 * time.Second

	// maxLeases bounds the keys with a lease in the process, least recently used first out:
	// some 20 MB.
	maxLeases = 100_000
)

// Leases takes a twentieth of a burst at a time out of the buckets of a Limiter and hands it
// out bit by bit, so most calls need no round trip. Only units already taken are handed out,
// so no bucket gives more than it has. But a lease held while its bucket fills again adds to
// the next burst: with n replicas, a key gets at most n twentieths of a burst more than its
// limit, at most once per leaseTime. It is safe for concurrent use.
type Leases struct {
	limiter *Limiter
	limit   Limit
	portion int

	mu  sync.Mutex
	lru *simplelru.LRU[string, *lease]
}

// lease is the unused rest of a key's portion, with the last known state of its bucket.
type lease struct {
	mu    sync.Mutex
	left  int   // below 0: debited, and not yet taken out of the bucket
	until int64 // the end of the lease
	had   int   // the bucket's content at the time at
	at    int64

	denied      int   // the cost that the bucket refused
	deniedUntil int64 // until then the bucket can't have that much
}

// State is the result of Take.
type State struct {
	Wait time.Duration // 0 if the units were taken; else nothing was taken
	Left int           // the units left, as far as this process knows; below 0 in debt
	Full time.Duration // the time until the bucket is full
}

// NewLeases returns leases of buckets with one limit. It returns an error if limit is invalid.
func NewLeases(limiter *Limiter, limit Limit) (*Leases, error) {
	if err := check([]Use{{Limit: limit}}); err != nil {
		return nil, err
	}
	l := &Leases{limiter: limiter, limit: limit, portion: max(limit.Burst/portions, 1)}
	l.lru, _ = simplelru.NewLRU[string, *lease](maxLeases, nil) // the error is for a size that isn't positive
	return l, nil
}

// Limit returns the limit of each bucket.
func (l *Leases) Limit() Limit { return l.limit }

// Take takes cost, at most a burst, out of the bucket of key, as Limiter.Take does. Calls for
// one key wait for one another while one of them asks Redis.
func (l *Leases) Take(ctx context.Context, key string, cost int) (State, error) {
	if err := check([]Use{{Limit: l.limit, Cost: cost}}); err != nil {
		return State{}, err
	}
	of := l.of(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	now := of.lapse(l.limiter.now())
	if of.left >= cost {
		of.left -= cost
		return l.state(of, now, 0), nil
	}
	if cost-of.left >= of.denied && now < of.deniedUntil {
		return l.state(of, now, time.Duration(of.deniedUntil-now)*time.Microsecond), nil
	}
	if err := l.takeDebits(ctx, key, of, now); err != nil {
		return State{}, err
	}
	need := cost - of.left
	want := need
	if l.limiter.redis != nil { // without Redis a take costs no round trip
		want = min(max(need, l.portion), l.limit.Burst)
	}
	wait, had, err := l.limiter.takeOne(ctx, Use{Key: key, Limit: l.limit, Cost: want})
	if err == nil && wait > 0 && want > need {
		want = need
		wait, had, err = l.limiter.takeOne(ctx, Use{Key: key, Limit: l.limit, Cost: want})
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

// Debit takes units for work that is done already, if they are there or not: it never refuses, and
// Left may be below 0. Then Take refuses until the debt is worked off. A bucket is at most maxDebt
// bursts in debt; what is debited beyond that is lost, so the caller stops at that point. Up to a
// lease's units of debt wait in this process for the next Take or Debit of the same key.
func (l *Leases) Debit(ctx context.Context, key string, units int) (State, error) {
	of := l.of(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	now := of.lapse(l.limiter.now())
	units = min(units, (1+maxDebt)*l.limit.Burst)
	of.left -= units
	if now < of.deniedUntil { // it takes longer now, at most from the largest debt
		per := l.limit.Per.Microseconds()
		of.deniedUntil = min(of.deniedUntil+int64(units)*per, now+int64(maxDebt*l.limit.Burst+of.denied)*per)
	}
	if l.limiter.redis == nil || of.left < -l.portion {
		if err := l.takeDebits(ctx, key, of, now); err != nil {
			return State{}, err
		}
	}
	return l.state(of, now, 0), nil
}

// takeDebits takes debits out of the bucket.
func (l *Leases) takeDebits(ctx context.Context, key string, of *lease, now int64) error {
	if of.left >= 0 {
		return nil
	}
	_, had, err := l.limiter.takeOne(ctx, Use{Key: key, Limit: l.limit, Cost: -of.left, force: true})
	if err == nil {
		of.left, of.had, of.at = 0, had, now
	}
	return err
}

// lapse ends the lease if its time is over. It returns now.
func (of *lease) lapse(now int64) int64 {
	if now >= of.until {
		of.left = min(of.left, 0)
	}
	return now
}

// Overdrawn says if the debt of s is the largest that there is.
func (l *Leases) Overdrawn(s State) bool { return s.Left <= -maxDebt*l.limit.Burst }

// Return gives back units that were taken but not used, and returns the state.
func (l *Leases) Return(key string, cost int) State {
	of := l.of(key)
	of.mu.Lock()
	defer of.mu.Unlock()
	now := of.lapse(l.limiter.now())
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

// state estimates a bucket: the last known content, the units that have come back since, and
// the lease.
func (l *Leases) state(of *lease, now int64, wait time.Duration) State {
	back := min((now-of.at)/l.limit.Per.Microseconds(), int64(l.limit.Burst))
	left := min(of.had+int(back)+of.left, l.limit.Burst)
	return State{Wait: wait, Left: left, Full: time.Duration(l.limit.Burst-left) * l.limit.Per}
}
