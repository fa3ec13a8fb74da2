package gateway

// What an answer costs is charged to the client that it came from and to the account that asks
// (Gateway.charge), after everything that could refuse it for nothing and before it is
// executed, and told in the answer's headers (bill.write). Whoever has spent too much waits.
//
// That tells nobody who asks: the answer stays as public as it was.

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
	"stoa/gateway/wire"
	"stoa/rate"
	"stoa/store/cache"
)

// bytesPerUnit is how much of a new document is read for a unit: the worst documents take
// 10 µs for that (TestAttacks), as long as a unit of an answer takes.
const bytesPerUnit = 25

// bill is what one request is charged, and to whom.
type bill struct {
	payer  *access.Answer
	cost   int64
	billed bool
	free   bool        // nobody has asked
	client *rate.State // nil where nothing was charged
	owner  *rate.State // the account's
}

type billKey struct{}

// open begins the bill of an answer: everything that it executes under the context is on it.
func (g *Gateway) open(ctx context.Context, payer *access.Answer) (context.Context, *bill) {
	b := &bill{payer: payer}
	return context.WithValue(ctx, billKey{}, b), b
}

// payerOf is who is charged under ctx, which open has returned.
func payerOf(ctx context.Context) *access.Answer { return ctx.Value(billKey{}).(*bill).payer }

// charge takes cost out of the buckets of who asks, or refuses and takes nothing. What is
// executed without a bill is our fault.
func (g *Gateway) charge(ctx context.Context, cost int64) error {
	b, ok := ctx.Value(billKey{}).(*bill)
	if !ok {
		return errNoBill
	}
	b.cost, b.billed = cost, true
	return g.pay(ctx, b, cost)
}

// chargeReading charges for a document that isn't known and has to be parsed and validated,
// whatever comes of it: one unit for each 25 bytes.
func (g *Gateway) chargeReading(ctx context.Context, e *envelope.Envelope) error {
	b, ok := ctx.Value(billKey{}).(*bill)
	if !ok || g.rates == nil {
		return nil
	}
	if known, err := g.documents.Ready(e); known != nil || err != nil {
		return nil
	}
	return g.pay(ctx, b, int64(1+len(e.Query)/bytesPerUnit))
}

// pay takes units for b, at least one, so that nothing is free.
func (g *Gateway) pay(ctx context.Context, b *bill, cost int64) error {
	if g.rates == nil || b.free {
		return nil
	}
	client, account := b.payer.Payers(cache.Declared(ctx))
	units := g.units(cost)
	state, err := g.take(ctx, "cost/client/"+client, units)
	b.client = state
	if err != nil {
		return err
	}
	owner := account()
	if owner == "" {
		return nil
	}
	b.owner, err = g.take(ctx, "cost/account/"+string(owner), units)
	if err != nil {
		b.client = g.giveBack("cost/client/"+client, units)
	}
	return err
}

// refund gives back what charge has taken for what wasn't executed.
func (g *Gateway) refund(ctx context.Context) {
	b, ok := ctx.Value(billKey{}).(*bill)
	if !ok || g.rates == nil || b.free {
		return
	}
	client, account := b.payer.Payers(cache.Declared(ctx))
	units := g.units(b.cost)
	b.client = g.giveBack("cost/client/"+client, units)
	if b.owner != nil {
		b.owner = g.giveBack("cost/account/"+string(account()), units)
	}
}

// units is what is taken for a cost.
func (g *Gateway) units(cost int64) int {
	return int(min(max(cost, 1), int64(g.rates.Limit().Burst)))
}

var errNoBill = fmt.Errorf("an operation is executed that nobody is charged for")

func (g *Gateway) take(ctx context.Context, key string, units int) (*rate.State, error) {
	state, err := g.rates.Take(ctx, key, units)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, refusal.New(refusal.Cancelled, "the request was cancelled before its answer was there")
	case err != nil:
		return nil, err
	case state.Wait > 0:
		return &state, tooOften(state.Wait)
	}
	return &state, nil
}

func (g *Gateway) giveBack(key string, units int) *rate.State {
	state := g.rates.Return(key, units)
	return &state
}

// tooOften refuses what would be right after wait.
func tooOften(wait time.Duration) error {
	seconds := inSeconds(wait)
	return refusal.New(refusal.Throttled, "this comes too often or costs too much at once: try again in %d s", seconds).With("Retry-After", strconv.Itoa(seconds)).Extend("retryAfter", seconds)
}

// inSeconds is d in whole seconds, at least one: no client waits for less.
func inSeconds(d time.Duration) int { return max(int(math.Ceil(d.Seconds())), 1) }

// write tells in the headers what was charged, and what is left.
func (b *bill) write(h http.Header, rates *rate.Leases) {
	if !b.billed {
		return
	}
	h[wire.CostHeader] = []string{strconv.FormatInt(b.cost, 10)}
	if b.client == nil {
		return
	}
	limit := rates.Limit()
	policy := ";q=" + strconv.Itoa(limit.Burst) + ";w=" + strconv.Itoa(inSeconds(time.Duration(limit.Burst)*limit.Per))
	policies, states := `"client"`+policy, `"client"`+stateOf(b.client)
	if b.owner != nil {
		policies, states = policies+`, "account"`+policy, states+`, "account"`+stateOf(b.owner)
	}
	h[wire.PolicyHeader] = []string{policies}
	h[wire.RateHeader] = []string{states}
}

func stateOf(s *rate.State) string {
	return ";r=" + strconv.Itoa(max(s.Left, 0)) + ";t=" + strconv.Itoa(int(math.Ceil(s.Full.Seconds())))
}

// requested is what an answer's extensions say of its cost: the same for the same document and
// variables, whoever asks.
type requested int64

const costExtension = "cost"

// AppendJSON appends the extension as it is written.
func (r requested) AppendJSON(to []byte) []byte {
	return append(strconv.AppendInt(append(to, `{"requested":`...), int64(r), 10), '}')
}

// MarshalJSON is json.Marshaler's.
func (r requested) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// tellCost adds to the response what it cost.
func tellCost(response *graphql.Response, cost int64) {
	if response.Extensions == nil {
		response.Extensions = map[string]any{}
	}
	response.Extensions[costExtension] = requested(cost)
}
