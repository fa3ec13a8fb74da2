package operation

// Execution: Execute for one response, Subscribe for several. The operation runs in gqlgen's
// executor; the errors that come back are counted, presented, and told apart from a request that
// has ended.

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/gateway/document"
	"stoa/gateway/refusal"
	"stoa/meter"
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

// Execute runs o, which has one response. ctx is one of Begin.
func (p *Pipeline) Execute(ctx context.Context, o *Prepared) (*graphql.Response, error) {
	if data := p.answerOf(ctx, o); data != nil {
		return p.answered(ctx, o, data)
	}
	var e execution
	if err := p.start(ctx, o, &e); err != nil {
		return nil, err
	}
	response, err := e.next(e.ctx)
	switch {
	case err != nil:
		return nil, err
	case response == nil:
		return nil, errNoResponse
	case unavailable(response.Errors) && (o.Operation.Operation == ast.Query || isNull(response.Data)):
		return nil, refusal.Of(refusal.Unavailable, response.Errors).With("Retry-After", refusal.RetryUnavailable)
	}
	return response, nil
}

// unavailable reports whether part of a response needed the database while that couldn't be reached. Such a
// query is refused as a whole: a shared cache then keeps what it has, and a client knows that it can have
// all of it in a few seconds. A mutation with data tells what it has done.
func unavailable(errs gqlerror.List) bool {
	return slices.ContainsFunc(errs, func(err *gqlerror.Error) bool { return err.Extensions["code"] == refusal.Unavailable })
}

// isNull says whether data is JSON's null, or missing.
func isNull(data json.RawMessage) bool { return len(data) == 0 || string(data) == "null" }

// answerOf returns the data of o if it is known without execution; nil otherwise.
func (p *Pipeline) answerOf(ctx context.Context, o *Prepared) []byte {
	if p.answer == nil || o.Operation.Operation != ast.Query {
		return nil
	}
	var variables map[string]any
	if len(o.Operation.VariableDefinitions) > 0 {
		var err error
		if variables, err = validator.VariableValues(p.schema, o.Operation, o.Params.Variables); err != nil { // as the executor does
			return nil
		}
	}
	return p.answer(ctx, &graphql.OperationContext{Doc: o.Document.AST, Operation: o.Operation, Variables: variables})
}

// answered is the response to o with data that took no execution. It costs what any other costs,
// but waits for no slot.
func (p *Pipeline) answered(ctx context.Context, o *Prepared, data []byte) (*graphql.Response, error) {
	scope, err := scopeOf(ctx)
	if err == nil {
		err = scope.Usage.Consume(ctx, o.Cost)
	}
	if err == nil && int64(len(data)) > p.maxAnswer {
		err = p.tooLarge()
	}
	if err != nil {
		return nil, err
	}
	scope.meter.Answered(len(data))
	if err := scope.debit(ctx); err != nil {
		return nil, err
	}
	response := &graphql.Response{Data: data}
	tellCost(response, cost{requested: o.Cost})
	return response, nil
}

// Responses are the responses to one operation, one after the other. It is not safe for concurrent
// use.
type Responses struct {
	execution
	from  access.Request
	scope *Scope // of the last response
}

// execution is an operation that has started.
type execution struct {
	pipeline  *Pipeline
	ctx       context.Context
	running   *run
	cost      int64
	operation *graphql.OperationContext
	responses graphql.ResponseHandler
	streams   bool
	begun     bool   // the first response was asked for
	release   func() // the slot
}

// Subscribe starts o for from. Next returns its responses, each event in a scope of its own.
func (p *Pipeline) Subscribe(ctx context.Context, from access.Request, o *Prepared) (*Responses, error) {
	ctx, scope := p.Begin(ctx, from)
	r := &Responses{from: from, scope: scope}
	if err := p.start(ctx, o, &r.execution); err != nil {
		return nil, err
	}
	return r, nil
}

// Next returns the next response: the only one, or an event's, nil after the last. A subscription
// that can't go on ends with an error, for which gqlgen has a response without data.
func (r *Responses) Next() (*graphql.Response, error) {
	ctx, scope := r.ctx, r.scope
	if r.streams {
		scope.memory.Release() // the last response is written
		ctx, scope = r.pipeline.Begin(r.ctx, r.from)
		r.scope = scope
	}
	response, err := r.next(ctx)
	if err == nil && response != nil {
		tellCost(response, cost{r.cost, scope.Usage.Used()})
	}
	if err == nil && response != nil && r.streams && response.Data == nil && len(response.Errors) > 0 {
		return nil, refusedBy(response.Errors)
	}
	return response, err
}

// start starts the operation of a valid document in e, once it is admitted.
func (p *Pipeline) start(ctx context.Context, o *Prepared, e *execution) error {
	running := &run{document: o.Document, ended: ctx.Err}
	ctx = context.WithValue(ctx, runKey{}, running)
	operation, errs := p.executor.CreateOperationContext(graphql.StartOperationTrace(ctx), o.Params)
	if errs != nil {
		return refusedBy(errs)
	}
	operation.DisableIntrospection = !p.introspection
	release, err := p.admit(ctx, o)
	if err != nil {
		return err
	}
	next, executing := p.executor.DispatchOperation(ctx, operation)
	if o.Streams() {
		release() // an event may be long in coming
	}
	*e = execution{pipeline: p, ctx: executing, running: running, cost: o.Cost, operation: operation, responses: next, streams: o.Streams(), release: release}
	return nil
}

// admit consumes an operation's cost, and waits for its slot and its memory, a mutation also until the
// database takes writes. Slot and memory are free again when ctx ends, at the latest.
func (p *Pipeline) admit(ctx context.Context, o *Prepared) (release func(), err error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := scope.Usage.Consume(ctx, o.Cost); err != nil {
		return nil, err
	}
	if o.Operation.Operation == ast.Mutation && p.writable != nil {
		err = p.writable(ctx)
	}
	if err == nil {
		release, err = p.load.Slot(ctx, scope.Usage.Client(ctx), o.Cost)
	}
	if err == nil && !o.Streams() {
		if err = p.load.Reserve(ctx, &scope.memory, o.Cost, o.Document.Memory.Load()); err != nil {
			release()
		}
	}
	if err != nil {
		scope.Usage.GiveBack(ctx)
		return nil, err
	}
	return release, nil
}

// next returns the next response, under a context that descends from e's. Each event consumes as much as
// the operation, and what it took beyond that.
func (e *execution) next(ctx context.Context) (*graphql.Response, error) {
	defer e.release()
	scope, err := scopeOf(ctx)
	if err != nil {
		return nil, err
	}
	if e.streams { // an event reserves memory when it is there
		_ = e.pipeline.load.Reserve(ctx, &scope.memory, 0, 0)
	}
	e.pipeline.bound(ctx, scope, e.cost, e.operation.Operation.Operation == ast.Mutation)
	e.running.errors.Store(0)
	response := e.responses(ctx)
	if response != nil {
		tellCost(response, cost{requested: e.cost})
	}
	if e.streams && e.begun && response != nil {
		if err := scope.Usage.Consume(ctx, e.cost); err != nil {
			return nil, err
		}
	}
	e.begun = true
	if response != nil {
		scope.meter.Answered(len(response.Data))
		e.running.document.Memory.Store(scope.meter.Memory())
	}
	if err := scope.debit(ctx); err != nil {
		return nil, err
	}
	if ctx.Err() != nil && (response == nil || len(response.Errors) > 0) {
		return nil, e.pipeline.Ended(ctx, e.operation.OperationName)
	}
	if omitted := e.running.errors.Load() - refusal.MaxErrors; omitted > 0 && response != nil {
		response.Errors = append(response.Errors, refusal.Omitted(omitted))
	}
	return response, nil
}

// refusedBy is the refusal of an extension, with a code of its own.
func refusedBy(errs gqlerror.List) error {
	code, _ := errs[0].Extensions["code"].(string)
	if code == "" {
		code = refusal.ValidationFailed
		refusal.Coded(code, errs[0])
	}
	return refusal.Of(code, errs)
}

// Ended returns the error for a request that ended before its response was ready, and logs a timeout.
// A client that has gone away isn't logged.
func (p *Pipeline) Ended(ctx context.Context, operation string) error {
	late, ok := context.Cause(ctx).(outOfTime) // it is never wrapped
	if !ok {
		return refusal.New(refusal.Cancelled, "the request was cancelled before its answer was there")
	}
	p.log.LogAttrs(ctx, slog.LevelWarn, "request timed out",
		slog.String("operation", operation), slog.Duration("after", late.after))
	return refusal.New(refusal.Timeout, "the answer wasn't there within %s: ask for less at a time", late.after)
}

// presentOne returns the part of err that the client may see. Past refusal.MaxErrors errors
// nothing is shown or logged. The same holds once the request has ended, since its end makes
// the rest fail.
func (p *Pipeline) presentOne(ctx context.Context, err error) *gqlerror.Error {
	running, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return p.present(ctx, err)
	}
	if running.errors.Add(1) > refusal.MaxErrors {
		return nil
	}
	work := meter.From(ctx)
	work.Error()
	if running.ended() != nil || work.Err() != nil {
		return refusal.Coded(refusal.Cancelled, gqlerror.ErrorPathf(graphql.GetPath(ctx), "the request has ended"))
	}
	return p.present(ctx, err)
}

// resolved is the document cache of gqlgen's executor. For each request it has one document: the one
// that Prepare has parsed, bounded and validated.
type resolved struct{}

// Get returns the document of the request that ctx belongs to.
func (resolved) Get(ctx context.Context, _ string) (*ast.QueryDocument, bool) {
	running, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return nil, false
	}
	return running.document.AST, true
}

// Add does nothing: document.Store caches documents.
func (resolved) Add(context.Context, string, *ast.QueryDocument) {}

// requested is the cost in a response's extensions: the same for the same document and variables, for
// every client.
type requested int64

// AppendJSON appends the extension as it is written.
func (r requested) AppendJSON(to []byte) []byte { return cost{requested: int64(r)}.AppendJSON(to) }

// MarshalJSON is json.Marshaler's.
func (r requested) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// cost is the cost of a response with the units that it used, if they are more. They are told where there
// are no headers: they depend on the caches, and a response that may be cached must not.
type cost struct{ requested, used int64 }

// AppendJSON appends the extension as it is written.
func (c cost) AppendJSON(to []byte) []byte {
	to = strconv.AppendInt(append(to, `{"requested":`...), c.requested, 10)
	if c.used > 0 {
		to = strconv.AppendInt(append(to, `,"used":`...), c.used, 10)
	}
	return append(to, '}')
}

// MarshalJSON is json.Marshaler's.
func (c cost) MarshalJSON() ([]byte, error) { return c.AppendJSON(nil), nil }

// tellCost adds its cost to the response.
func tellCost(response *graphql.Response, c cost) {
	if response.Extensions == nil {
		response.Extensions = map[string]any{}
	}
	if c.used > 0 {
		response.Extensions["cost"] = c
	} else {
		response.Extensions["cost"] = requested(c.requested)
	}
}
