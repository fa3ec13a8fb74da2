package operation

// The bounds of an operation while it runs: the units that it takes beyond its cost, the size of its
// answer, and its memory. Entry points: Pipeline.bound, Scope.debit.

import (
	"context"
	"math"

	"stoa/gateway/refusal"
	"stoa/meter"
)

const (
	// overrun is how many times the greatest cost an operation may take before it is ended.
	overrun = 2

	// debitEvery is how many units an operation takes beyond its cost before they are debited, while it
	// runs: with as many requests at once as one client may have, that is less than a burst by
	// default and the debt that a bucket may have.
	debitEvery = 250
)

// bound bounds the work of the next response of an operation, under ctx and scope. A mutation is bounded
// by its answer's size alone: it isn't ended in the middle, and its work is debited at the end.
func (p *Pipeline) bound(ctx context.Context, scope *Scope, cost int64, mutation bool) {
	granted := meter.Work{Units: cost + debitEvery, Answer: p.maxAnswer, Memory: scope.memory.Granted()}
	if mutation {
		granted.Units, granted.Memory = math.MaxInt32, math.MaxInt64
	}
	scope.meter.Bound(granted, func(so meter.Work) (meter.Work, error) {
		if so.Answer > p.maxAnswer {
			return meter.Work{}, p.tooLarge()
		}
		if mutation {
			return meter.Work{Units: math.MaxInt32, Answer: p.maxAnswer, Memory: math.MaxInt64}, nil
		}
		if so.Units > p.maxUnits {
			return meter.Work{}, refusal.New(refusal.CostTooHigh, "the operation has taken more than the %d units that one may take, where %d were foreseen: ask for less at a time", p.maxUnits, cost)
		}
		if err := scope.memory.Grow(ctx, so.Memory); err != nil {
			return meter.Work{}, err
		}
		overdrawn, err := scope.Usage.Debit(ctx, so.Units)
		if err != nil {
			return meter.Work{}, err
		}
		if overdrawn {
			return meter.Work{}, refusal.New(refusal.Throttled, "your operations take more than was foreseen, and more than you may use: ask for less at a time, and later")
		}
		return meter.Work{Units: max(so.Units, cost) + debitEvery, Answer: p.maxAnswer, Memory: scope.memory.Granted()}, nil
	})
}

// debit debits the work of a response that has ended, beyond its cost. It returns the error that has
// stopped the work, if one has.
func (s *Scope) debit(ctx context.Context) error {
	if _, err := s.Usage.Debit(ctx, s.meter.Units()); err != nil {
		return err
	}
	return s.meter.Err()
}

func (p *Pipeline) tooLarge() error {
	return refusal.New(refusal.ResponseTooLarge, "the answer has more than the %d bytes that one may have: ask for fewer or shorter things at a time", p.maxAnswer)
}
