// Package rate limits how often something may happen: a burst, and one more each interval. The
// limits hold for all replicas together if they share a Redis, and for each process alone
// without Redis or during an outage.
//
// It may import store/bus, for the connection. Entry points: New, Limiter.Take,
// Limiter.TakeAll; NewLeases for limits used too often to ask Redis each time.
package rate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"stoa/store/bus"
)

// Limit describes a bucket: it holds Burst units, and one unit comes back each Per until it is
// full. Per is rounded down to whole microseconds.
type Limit struct {
	Burst int
	Per   time.Duration
}

// Use is a cost to take out of one bucket.
type Use struct {
	Key   string // the bucket; the caller bounds its length
	Limit Limit  // the same for all uses of one key
	Cost  int

	force bool // takes units that aren't there, too: see Leases.Debit
}

const (
	// longest bounds the time that an empty bucket takes to fill: far above any limit in use,
	// and far below 2^53 µs, the end of Lua's exact numbers.
	longest = 366 * 24 * time.Hour

	// maxDebt is how far below empty Leases.Debit takes a bucket, in bursts: a bucket in debt is
	// full again after twice the time of an empty one, at most.
	maxDebt = 1

	// patience bounds one round trip, connecting included; the client's own limits bound each
	// of its steps alone.
	patience = 250 * time.Millisecond
)

// Limiter takes units out of buckets by the generic cell rate algorithm (GCRA, ITU-T I.371):
// all it stores of a bucket is the time at which it will be full. It is safe for concurrent
// use, starts no goroutine and has nothing to close.
//
// During an outage of Redis each replica counts alone, and goes on from the state of its own
// last outage: an outage gives each key at most one further burst per replica.
type Limiter struct {
	redis  *bus.Connection
	prefix string
	script *redis.Script
	log    *slog.Logger

	patience time.Duration
	now      func() int64 // in microseconds from any origin, never going back
	local    *table

	breaker bus.Breaker // on the clock of now
}

// New returns the limiter of a namespace, which separates the sites in one Redis. With a nil
// connection everything is counted in this process.
func New(connection *bus.Connection, namespace string, log *slog.Logger) *Limiter {
	start := time.Now()
	return &Limiter{
		redis: connection, prefix: "stoa:" + namespace + ":rate:", script: redis.NewScript(strings.ReplaceAll(takeAll, "MAXDEBT", strconv.Itoa(maxDebt))), log: log,
		now:   func() int64 { return time.Since(start).Microseconds() + 1 },
		local: newTable(maxKeys), patience: patience,
	}
}

// Take takes cost out of the bucket of key. wait is 0 if the bucket had it. Else nothing was
// taken, and the bucket has it after wait if nobody else takes from it. A cost that is
// negative or larger than the burst is an error; so is the end of ctx. A failure of Redis is
// no error: this process decides then.
func (l *Limiter) Take(ctx context.Context, key string, limit Limit, cost int) (wait time.Duration, err error) {
	use := [1]Use{{Key: key, Limit: limit, Cost: cost}}
	wait, _, err = l.TakeAll(ctx, use[:])
	return wait, err
}

// TakeAll takes out of several buckets in one round trip, or out of none of them if one hasn't
// enough. wait is the longest of their waits and which the index of its use; -1 if all were
// taken. Each key may occur once. Otherwise it is as Take.
func (l *Limiter) TakeAll(ctx context.Context, uses []Use) (wait time.Duration, which int, err error) {
	if err := check(uses); err != nil {
		return 0, -1, err
	}
	v, err := l.decide(ctx, uses)
	return v.wait, v.which, err
}

// takeOne is Take, and also returns the units left in the bucket: fewer than 0 in debt.
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

// decide asks Redis, or counts in this process during an outage.
func (l *Limiter) decide(ctx context.Context, uses []Use) (verdict, error) {
	if err := ctx.Err(); err != nil {
		return verdict{which: -1}, fmt.Errorf("take from a rate: %w", err)
	}
	if ask, trial := l.ask(); ask {
		v, err := l.shared(ctx, uses)
		if err == nil {
			l.reached(trial)
			return v, nil
		}
		if ended := ctx.Err(); ended != nil {
			return verdict{which: -1}, fmt.Errorf("take from a rate: %w", ended)
		}
		l.failed(err)
	}
	return l.local.takeAll(l.now(), uses), nil
}

// verdict is the result of taking uses.
type verdict struct {
	wait  time.Duration
	which int
	at    int64   // the time of the decision, in microseconds
	full  []int64 // the times at which the buckets would be full if all were taken
}

// Reset fills the bucket of key, for example after a sign-in. If Redis can't be reached, the
// bucket fills by itself, later.
func (l *Limiter) Reset(parent context.Context, key string) {
	l.local.reset(key)
	ask, trial := l.ask()
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
	l.reached(trial)
}

func check(uses []Use) error {
	for i, c := range uses {
		switch {
		case c.Limit.Burst < 1 || c.Limit.Per < time.Microsecond || c.Limit.Per > longest || int64(c.Limit.Burst) > int64(longest/c.Limit.Per):
			return fmt.Errorf("a rate of %d at once and one more each %v: at least one, at least 1µs, and at most %v in all", c.Limit.Burst, c.Limit.Per, longest)
		case c.Cost < 0 || c.Cost > c.Limit.Burst && !c.force:
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

// ask reports whether this caller may call Redis. trial is for reached.
func (l *Limiter) ask() (ask bool, trial time.Duration) {
	if l.redis == nil {
		return false, 0
	}
	return l.breaker.Allow(l.sinceStart())
}

// reached ends an outage after a successful trial.
func (l *Limiter) reached(trial time.Duration) {
	if l.breaker.Succeeded(trial) {
		l.log.Info("rates are counted in Redis again")
	}
}

func (l *Limiter) failed(err error) {
	if l.breaker.Failed(l.sinceStart()) {
		l.log.Info("rates are counted in this process alone: Redis doesn't answer", "error", err)
	}
}

// sinceStart is now for the breaker.
func (l *Limiter) sinceStart() time.Duration { return time.Duration(l.now()) * time.Microsecond }

// takeAll stores in each key the microsecond at which the bucket will be full, by Redis's
// clock, so the clocks of the replicas don't matter. A key expires a second after its bucket
// is full. KEYS are the buckets. ARGV has Per in microseconds, Burst, cost and force (0 or 1) for
// each of them. The result is the wait in microseconds, the number of the use with that wait, the
// time, and for each bucket the time at which it would be full. Redis Cluster would need all
// keys in one slot.
const takeAll = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wait, which, full = 0, 0, {}
for i, key in ipairs(KEYS) do
	local per, burst, cost = tonumber(ARGV[4*i-3]), tonumber(ARGV[4*i-2]), tonumber(ARGV[4*i-1])
	local span = per * burst
	local most = now + span * (1 + MAXDEBT)
	local at = tonumber(redis.call('GET', key) or now) or now
	at = math.min(math.max(at, now), most) + per * cost
	if ARGV[4*i] == '1' then
		at = math.min(at, most)
	elseif at - now - span > wait then
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

// run lets Redis decide.
func (l *Limiter) run(ctx context.Context, uses []Use) (verdict, error) {
	keys, args := make([]string, len(uses)), make([]any, 0, 4*len(uses))
	for i, c := range uses {
		keys[i] = l.prefix + c.Key
		force := 0
		if c.force {
			force = 1
		}
		args = append(args, c.Limit.Per.Microseconds(), c.Limit.Burst, c.Cost, force)
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
