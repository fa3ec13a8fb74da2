package gateway

// Execution: the operation is handed to gqlgen's executor under the request's context, and
// the errors that come back are counted, presented, and told apart from an ended request.

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/document"
	"stoa/gateway/refusal"
)

// run is one execution.
type run struct {
	document *document.Document
	ended    func() error // the request's context's Err
	errors   atomic.Int64 // so far, those that are left out among them
}

type runKey struct{}

// errNoResponse is an extension's fault: the executor itself always has a response while the
// request lasts.
var errNoResponse = errors.New("the executor gave no response")

// execute runs p, which has one response.
func (g *Gateway) execute(ctx context.Context, p *prepared) (*graphql.Response, error) {
	e, err := g.begin(ctx, p)
	if err != nil {
		return nil, err
	}
	response, err := g.next(e.ctx, e)
	if err == nil && response == nil {
		return nil, errNoResponse
	}
	return response, err
}

// execution is an operation that has begun.
type execution struct {
	ctx       context.Context
	running   *run
	cost      int64
	operation *graphql.OperationContext
	responses graphql.ResponseHandler
	streaming bool
	begun     bool   // and its first response was asked for
	end       func() // of its turn
}

// begin begins the operation of a valid document.
func (g *Gateway) begin(ctx context.Context, p *prepared) (*execution, error) {
	running := &run{document: p.document, ended: ctx.Err}
	ctx = context.WithValue(ctx, runKey{}, running)
	operation, errs := g.executor.CreateOperationContext(ctx, p.params)
	if errs != nil {
		return nil, refusedBy(errs)
	}
	operation.DisableIntrospection = !g.introspection
	end, err := g.admitted(ctx, p.cost)
	if err != nil {
		return nil, err
	}
	streaming := p.operation.Operation == ast.Subscription
	next, executing := g.executor.DispatchOperation(ctx, operation)
	if streaming {
		end() // an event may be long in coming
	}
	return &execution{ctx: executing, running: running, cost: p.cost, operation: operation, responses: next, streaming: streaming, end: end}, nil
}

// admitted charges for an operation and waits for its turn. It ends at the latest when ctx does.
func (g *Gateway) admitted(ctx context.Context, cost int64) (end func(), err error) {
	if err := g.charge(ctx, cost); err != nil {
		return nil, err
	}
	client, _ := payerOf(ctx).Payers(ctx)
	end, err = g.load.turn(ctx, client, cost)
	if err != nil {
		g.refund(ctx)
		return nil, err
	}
	if cost >= dearCost {
		context.AfterFunc(ctx, end)
	}
	return end, nil
}

// next returns the next response: the only one, or an event's, nil after the last. ctx
// descends from e's. Each event is charged for like the operation.
func (g *Gateway) next(ctx context.Context, e *execution) (*graphql.Response, error) {
	defer e.end()
	e.running.errors.Store(0)
	response := e.responses(ctx)
	if response != nil {
		tellCost(response, e.cost)
	}
	if e.streaming && e.begun && response != nil {
		if err := g.charge(ctx, e.cost); err != nil {
			return nil, err
		}
	}
	e.begun = true
	if ctx.Err() != nil && (response == nil || len(response.Errors) > 0) {
		return nil, g.ended(ctx, e.operation)
	}
	if omitted := e.running.errors.Load() - refusal.MaxErrors; omitted > 0 && response != nil {
		response.Errors = append(response.Errors, refusal.Omitted(omitted))
	}
	return response, nil
}

// nextOf is next for what may be a subscription, of either transport: here, each event comes
// by before it is sent. One that can't go on ends with a refusal, which gqlgen makes a
// response without data; no event has none.
func (g *Gateway) nextOf(ctx context.Context, e *execution) (*graphql.Response, error) {
	response, err := g.next(ctx, e)
	if err == nil && response != nil && response.Data == nil && len(response.Errors) > 0 && e.operation.Operation.Operation == ast.Subscription {
		return nil, refusedBy(response.Errors)
	}
	return response, err
}

// refusedBy is the refusal of an extension, which has its own codes.
func refusedBy(errs gqlerror.List) error {
	code, _ := errs[0].Extensions["code"].(string)
	if code == "" {
		code = refusal.ValidationFailed
		refusal.Coded(code, errs[0])
	}
	return refusal.Of(code, errs)
}

// ended says why a request ended before its answer was there. A client that has gone is
// nobody's fault and reads nothing.
func (g *Gateway) ended(ctx context.Context, operation *graphql.OperationContext) error {
	late, ok := context.Cause(ctx).(outOfTime) // it is never wrapped
	if !ok {
		return refusal.New(refusal.Cancelled, "the request was cancelled before its answer was there")
	}
	g.log.LogAttrs(ctx, slog.LevelWarn, "request timed out",
		slog.String("operation", operation.OperationName), slog.Duration("after", late.after))
	return refusal.New(refusal.Timeout, "the answer wasn't there within %s: ask for less at a time", late.after)
}

// present shows the client what it may see of err. Past maxErrors errors nothing is shown or
// logged, nor once the request has ended, since that is why what still runs fails.
func (g *Gateway) present(ctx context.Context, err error) *gqlerror.Error {
	running, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return g.codec.Present(ctx, err)
	}
	if running.errors.Add(1) > refusal.MaxErrors {
		return nil
	}
	if running.ended() != nil {
		return refusal.Coded(refusal.Cancelled, gqlerror.ErrorPathf(graphql.GetPath(ctx), "the request has ended"))
	}
	return g.codec.Present(ctx, err)
}

// resolved gives gqlgen's executor, as its cache of documents, the one that the gateway has
// parsed, bounded and validated for this request.
type resolved struct{}

// Get returns the document of the request that ctx belongs to.
func (resolved) Get(ctx context.Context, _ string) (*ast.QueryDocument, bool) {
	running, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return nil, false
	}
	return running.document.AST, true
}

// Add does nothing: documents keeps what is worth keeping.
func (resolved) Add(context.Context, string, *ast.QueryDocument) {}
