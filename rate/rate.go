// Package rate says no to what comes too often: at most so much of something in so much time,
// for all replicas together where they share a Redis, and for this process alone where there
// is none or while it can't be reached.
//
// It may import store/bus, for the connection. Entry points: New, Limiter.Take, Limiter.TakeAll; NewLeases,
// for what is taken too often to ask Redis each time.
package rate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"stoa/store/bus"
)

// Limit is a bucket: it holds Burst, and one more comes back each Per until it is full. Per is
// counted in whole microseconds.
type Limit struct {
	Burst int
	Per   time.Duration
}

// Use is what is taken out of one bucket.
type Use struct {
	Key   string // which bucket; whose length its caller bounds
	Limit Limit  // the same for all uses of one key
	Cost  int
}

const (
	// longest is how long an empty bucket may take until it is full: far beyond any limit
	// there is, far below where Lua's numbers (2^53) stop being exact.
	longest = 366 * 24 * time.Hour

	// outage is how long Redis isn't asked after it has failed, so that a request in an
	// outage doesn't wait for it. One request tries it again after that, the others go on.
	outage = time.Second

	// patience is how long one round trip may take, connecting included; the client bounds
	// each of its steps alone.
	patience = 250 * time.Millisecond
)

// Limiter takes out of buckets by the generic cell rate algorithm (GCRA, ITU-T I.371): of each
// bucket only the time is kept at which it will be full. It is safe for concurrent use, starts
// no goroutine and has nothing to close.
//
// While Redis is away, each replica counts for itself, from where its own last outage left
// off: an outage gives everybody at most one further burst per replica.
type Limiter struct {
	redis  *bus.Connection
	prefix string
	script *redis.Script
	log    *slog.Logger

	patience time.Duration
	now      func() int64 // microseconds, of any origin, never going back
	local    *table

	downUntil atomic.Int64 // on the clock of now; 0 while Redis is well
}

// New returns the limiter of a site. Without a connection everything is counted in this process.
func New(connection *bus.Connection, site string, log *slog.Logger) *Limiter {
	start := time.Now()
	return &Limiter{
		redis: connection, prefix: "stoa:" + site + ":rate:", script: redis.NewScript(takeAll), log: log,
		now:   func() int64 { return time.Since(start).Microseconds() + 1 },
		local: newTable(maxKeys), patience: patience,
	}
}

// Take takes cost out of the bucket of key. wait is 0 when it was there; otherwise nothing was
// taken, and wait is after how long it is there if nobody else takes it. It returns an error
// for a cost that is negative or never fits into the bucket, and ctx's error when ctx ends.
// Redis failing is no error: this process decides then.
func (l *Limiter) Take(ctx context.Context, key string, limit Limit, cost int) (wait time.Duration, err error) {
	use := [1]Use{{Key: key, Limit: limit, Cost: cost}}
	wait, _, err = l.TakeAll(ctx, use[:])
	return wait, err
}

// TakeAll takes out of several buckets or, where one hasn't enough, out of none, in one round
// trip. wait is the longest of their waits, and which the index of the use that waits so long; -1
// when all were taken. Each key may be there once. Otherwise it is as Take.
func (l *Limiter) TakeAll(ctx context.Context, uses []Use) (wait time.Duration, which int, err error) {
	if err := check(uses); err != nil {
		return 0, -1, err
	}
	v, err := l.decide(ctx, uses)
	return v.wait, v.which, err
}

// takeOne is Take, and says what the bucket has left.
func (l *Limiter) takeOne(ctx context.Context, c Use) (wait time.Duration, left int, err error) {
	use := [1]Use{c}
	if err := check(use[:]); err != nil {
		return 0, 0, err
	}
	v, err := l.decide(ctx, use[:])
	if err != nil {
		return 0, 0, err
	}
	missing := v.full[0] - v.at
	if v.wait > 0 { // nothing was taken
		missing -= int64(c.Cost) * c.Limit.Per.Microseconds()
	}
	return v.wait, c.Limit.Burst - int((missing+c.Limit.Per.Microseconds()-1)/c.Limit.Per.Microseconds()), nil
}

// decide asks Redis, or this process when it is away.
func (l *Limiter) decide(ctx context.Context, uses []Use) (verdict, error) {
	if err := ctx.Err(); err != nil {
		return verdict{which: -1}, fmt.Errorf("take from a rate: %w", err)
	}
	if ask, until := l.ask(); ask {
		v, err := l.shared(ctx, uses)
		if err == nil {
			l.reached(until)
			return v, nil
		}
		if ended := ctx.Err(); ended != nil {
			return verdict{which: -1}, fmt.Errorf("take from a rate: %w", ended)
		}
		l.failed(err)
	}
	return l.local.takeAll(l.now(), uses), nil
}

// verdict is what became of uses.
type verdict struct {
	wait  time.Duration
	which int
	at    int64   // the microsecond at which it was decided
	full  []int64 // when each bucket would be full if all were taken
}

// Reset fills the bucket of key, such as after a sign-in that succeeded. In Redis it does so
// if it can: otherwise the bucket fills by itself, later.
func (l *Limiter) Reset(parent context.Context, key string) {
	l.local.reset(key)
	ask, until := l.ask()
	if !ask {
		return
	}
	ctx, cancel := context.WithTimeout(parent, l.patience)
	defer cancel()
	if err := l.redis.Client.Del(ctx, l.prefix+key).Err(); err != nil {
		if ended := parent.Err(); ended == nil {
			l.failed(err)
		}
		return
	}
	l.reached(until)
}

func check(uses []Use) error {
	for i, c := range uses {
		switch {
		case c.Limit.Burst < 1 || c.Limit.Per < time.Microsecond || c.Limit.Per > longest || int64(c.Limit.Burst) > int64(longest/c.Limit.Per):
			return fmt.Errorf("a rate of %d at once and one more each %v: at least one, at least 1µs, and at most %v in all", c.Limit.Burst, c.Limit.Per, longest)
		case c.Cost < 0 || c.Cost > c.Limit.Burst:
			return fmt.Errorf("a cost of %d never fits into a rate of %d at once", c.Cost, c.Limit.Burst)
		}
		for _, other := range uses[:i] {
			if other.Key == c.Key {
				return errors.New("two uses have one key")
			}
		}
	}
	return nil
}

// ask says whether to ask Redis: it is well, or this caller is the one that tries it again.
// until is for reached.
func (l *Limiter) ask() (ask bool, until int64) {
	if l.redis == nil {
		return false, 0
	}
	until = l.downUntil.Load()
	if until == 0 {
		return true, 0
	}
	now := l.now()
	next := now + outage.Microseconds()
	return now >= until && l.downUntil.CompareAndSwap(until, next), next
}

// reached ends an outage when the one that tried again has got an answer; one that had asked
// before the outage doesn't end it, so there is no more than one a second to log.
func (l *Limiter) reached(until int64) {
	if until != 0 && l.downUntil.CompareAndSwap(until, 0) {
		l.log.Info("rates are counted in Redis again")
	}
}

func (l *Limiter) failed(err error) {
	if l.downUntil.Swap(l.now()+outage.Microseconds()) == 0 {
		l.log.Info("rates are counted in this process alone: Redis doesn't answer", "error", err)
	}
}

// takeAll keeps in each key the microsecond at which the bucket will be full, by Redis's clock,
// so those of the replicas don't matter. A key goes a second after its bucket is full. KEYS are
// the buckets; ARGV, for each, Per in microseconds, Burst and cost. It answers with the wait in
// microseconds, the number of the use that waits so long, the time, and when each bucket would be full. Redis Cluster would want
// all keys in one slot.
const takeAll = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wait, which, full = 0, 0, {}
for i, key in ipairs(KEYS) do
	local per, burst, cost = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
	local span = per * burst
	local at = tonumber(redis.call('GET', key) or now) or now
	at = math.min(math.max(at, now), now + span) + per * cost
	if at - now - span > wait then
		wait, which = at - now - span, i
	end
	full[i] = at
end
if wait == 0 then
	for i, key in ipairs(KEYS) do
		if full[i] > now then
			redis.call('SET', key, string.format('%.0f', full[i]), 'PX', string.format('%.0f', math.ceil((full[i] - now) / 1000) + 1000))
		end
	end
end
local answer = {wait, which, string.format('%.0f', now)}
for i, at in ipairs(full) do
	answer[3+i] = string.format('%.0f', at)
end
return answer
`

func (l *Limiter) shared(ctx context.Context, uses []Use) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	return l.run(ctx, uses)
}

// run has Redis decide.
func (l *Limiter) run(ctx context.Context, uses []Use) (verdict, error) {
	keys, args := make([]string, len(uses)), make([]any, 0, 3*len(uses))
	for i, c := range uses {
		keys[i] = l.prefix + c.Key
		args = append(args, c.Limit.Per.Microseconds(), c.Limit.Burst, c.Cost)
	}
	answer, err := l.script.Run(ctx, l.redis.Client, keys, args...).Int64Slice()
	if err != nil {
		return verdict{which: -1}, fmt.Errorf("take from a rate in Redis: %w", err)
	}
	if len(answer) != 3+len(uses) {
		return verdict{which: -1}, fmt.Errorf("take from a rate in Redis: %d numbers came back, not %d", len(answer), 3+len(uses))
	}
	return verdict{time.Duration(answer[0]) * time.Microsecond, int(answer[1]) - 1, answer[2], answer[3:]}, nil
}
