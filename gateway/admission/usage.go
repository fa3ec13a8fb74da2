package admission

// Usage: the units that one response uses, taken from the buckets of its rate-limit subjects. Those
// are the client's address and the account of the viewer. Only package access reads the viewer for
// this, and the response doesn't depend on it. So a public response stays public.

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"stoa/access"
	"stoa/gateway/refusal"
	"stoa/rate"
	"stoa/store/cache"
)

// bytesPerUnit is how many bytes of a new document are read for a unit: the worst documents take
// 10 µs for that (TestAttacks), as long as a unit of a response takes.
const bytesPerUnit = 25

// envelopeBytesPerUnit is how many bytes of an envelope are read for a unit: at 3 to 15 ns a byte, that
// is 1.5 to 8 µs (BenchmarkEnvelope).
const envelopeBytesPerUnit = 512

// leastUnits is what every operation takes: 20 µs are spent on its request alone, a tenth of them in
// package net/http (BenchmarkTrivialQuery).
const leastUnits = 4

// Usage is the units that one response has used. It is not safe for concurrent use.
type Usage struct {
	// Scope knows the subjects, and whether the response is private.
	Scope *access.Answer

	rates  *rate.Leases // nil for no limit
	cost   int64        // of the operation
	used   int64        // by it, as far as was found out; 0 for no more than its cost
	ran    bool         // cost is set
	client *rate.State  // after the last units were taken; nil if none were
	owner  *rate.State  // of the account, likewise
}

// NewUsage returns the usage of a response that is about to be made. Nothing is limited if
// rates is nil.
func NewUsage(rates *rate.Leases, scope *access.Answer) Usage {
	return Usage{Scope: scope, rates: rates}
}

// Client names the client, for counting its requests.
func (u *Usage) Client(ctx context.Context) string {
	client, _ := u.Scope.RateSubjects(ctx)
	return client
}

// Consume takes the cost of an operation that is about to run, or refuses it and takes nothing.
func (u *Usage) Consume(ctx context.Context, cost int64) error {
	u.cost, u.ran = cost, true
	return u.take(ctx, max(cost, leastUnits))
}

// Debit takes what an operation has used, in all so far, beyond its cost and earlier debits. These units
// are gone even if the buckets don't have them: the next operations wait for them. overdrawn says that
// a bucket can't go any deeper into debt, so that the operation must end.
func (u *Usage) Debit(ctx context.Context, used int64) (overdrawn bool, err error) {
	units := used - max(u.used, u.cost, leastUnits)
	if units <= 0 {
		return false, nil
	}
	u.used = used
	if u.rates == nil {
		return false, nil
	}
	ctx = context.WithoutCancel(cache.WithoutTracking(ctx)) // a client that has gone away has used it, too
	client, account := u.Scope.RateSubjects(ctx)
	if overdrawn, err = u.debitFrom(ctx, &u.client, clientKey(client), units); err != nil {
		return false, err
	}
	if owner := account(); owner != "" {
		deep, err := u.debitFrom(ctx, &u.owner, accountKey(string(owner)), units)
		return overdrawn || deep, err
	}
	return overdrawn, nil
}

func (u *Usage) debitFrom(ctx context.Context, known **rate.State, key string, units int64) (overdrawn bool, err error) {
	state, err := u.rates.Debit(ctx, key, int(min(units, math.MaxInt32)))
	if err != nil {
		return false, fmt.Errorf("debit a client's rate: %w", err)
	}
	*known = &state
	return u.rates.Overdrawn(state), nil
}

// ConsumeReading takes the units for a document of so many bytes that has to be parsed and
// validated, valid or not.
func (u *Usage) ConsumeReading(ctx context.Context, bytes int) error {
	return u.take(ctx, int64(1+bytes/bytesPerUnit))
}

// ConsumeEnvelope takes the units for an envelope of so many bytes that has to be read, valid or not.
func (u *Usage) ConsumeEnvelope(ctx context.Context, bytes int) error {
	return u.take(ctx, int64(bytes/envelopeBytesPerUnit))
}

// ConsumeRefused takes the least units of an operation, for one that is refused before it runs.
func (u *Usage) ConsumeRefused(ctx context.Context) error { return u.take(ctx, leastUnits) }

// take takes units from both subjects or neither, at least one, so that nothing is free.
func (u *Usage) take(ctx context.Context, cost int64) error {
	if u.rates == nil {
		return nil
	}
	client, account := u.Scope.RateSubjects(cache.WithoutTracking(ctx))
	units := u.units(cost)
	state, err := u.takeFrom(ctx, clientKey(client), units)
	u.client = state
	if err != nil {
		u.debitRefused(ctx, client)
		return err
	}
	owner := account()
	if owner == "" {
		return nil
	}
	u.owner, err = u.takeFrom(ctx, accountKey(string(owner)), units)
	if err != nil {
		u.client = u.giveBack(clientKey(client), units)
		u.debitRefused(ctx, client)
	}
	return err
}

// debitRefused debits the work of refusing a request, so that a client that sends on while it is
// throttled doesn't get that for nothing.
func (u *Usage) debitRefused(ctx context.Context, client string) {
	_, _ = u.rates.Debit(ctx, clientKey(client), leastUnits) // it is refused either way
}

// GiveBack returns the units of an operation that didn't run.
func (u *Usage) GiveBack(ctx context.Context) {
	if u.rates == nil {
		return
	}
	client, account := u.Scope.RateSubjects(cache.WithoutTracking(ctx))
	units := u.units(max(u.cost, leastUnits))
	u.client = u.giveBack(clientKey(client), units)
	if u.owner != nil {
		u.owner = u.giveBack(accountKey(string(account())), units)
	}
}

func clientKey(name string) string { return "cost/client/" + name }
func accountKey(id string) string  { return "cost/account/" + id }

// units returns the units for a cost: a burst at most, and no operation costs more.
func (u *Usage) units(cost int64) int {
	return int(min(max(cost, 1), int64(u.rates.Limit().Burst)))
}

func (u *Usage) takeFrom(ctx context.Context, key string, units int) (*rate.State, error) {
	state, err := u.rates.Take(ctx, key, units)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, refusal.New(refusal.Cancelled, "the request was cancelled before its answer was there")
	case err != nil:
		return nil, fmt.Errorf("take from a client's rate: %w", err)
	case state.Wait > 0:
		return &state, tooOften(state.Wait + leastUnits*u.rates.Limit().Per)
	}
	return &state, nil
}

func (u *Usage) giveBack(key string, units int) *rate.State {
	state := u.rates.Return(key, units)
	return &state
}

// tooOften refuses an operation that may come again after wait.
func tooOften(wait time.Duration) error {
	seconds := inSeconds(wait)
	return refusal.New(refusal.Throttled, "this comes too often or costs too much at once: try again in %d s", seconds).With("Retry-After", strconv.Itoa(seconds)).Extend("retryAfter", seconds)
}

// inSeconds is d in whole seconds, at least one: no client waits for less.
func inSeconds(d time.Duration) int { return max(int(math.Ceil(d.Seconds())), 1) }

// toldUnits is how many units an operation takes beyond its cost before its client is told: an eighth
// header costs six allocations.
const toldUnits = 10

// Used returns the units that the operation took, 0 if they are hardly more than its cost.
func (u *Usage) Used() int64 {
	if u.used < u.cost+toldUnits {
		return 0
	}
	return u.used
}

// Cost returns the cost of the operation, "" if none was about to run.
func (u *Usage) Cost() string {
	if !u.ran {
		return ""
	}
	return strconv.FormatInt(u.cost, 10)
}

// State returns the limits and the units left, in the form of the headers RateLimit-Policy and
// RateLimit; "" if nothing was taken.
func (u *Usage) State() (policy, state string) {
	if u.client == nil {
		return "", ""
	}
	limit := u.rates.Limit()
	bucket := ";q=" + strconv.Itoa(limit.Burst) + ";w=" + strconv.Itoa(inSeconds(time.Duration(limit.Burst)*limit.Per))
	policy, state = `"client"`+bucket, `"client"`+left(u.client)
	if u.owner != nil {
		policy, state = policy+`, "account"`+bucket, state+`, "account"`+left(u.owner)
	}
	return policy, state
}

func left(s *rate.State) string {
	return ";r=" + strconv.Itoa(max(s.Left, 0)) + ";t=" + strconv.Itoa(int(math.Ceil(s.Full.Seconds())))
}
