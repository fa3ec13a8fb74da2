// Package operation is the pipeline that every GraphQL operation goes through, on every transport:
// Begin starts the scope of a response, Prepare checks the envelope, Execute runs a query or
// mutation, and Subscribe an operation with several responses or over a connection.
//
// POST, GET, multipart requests, event streams, WebSockets and the renewal of cached responses all
// call these, in this order. The package knows neither HTTP nor how a response is sent. It may
// import access, to begin responses, meter, document, admission, envelope and refusal, rate, and
// store/bus for the options of documents.
package operation

// This file has the pipeline and the steps before execution. execute.go has the rest.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"

	"stoa/access"
	"stoa/gateway/admission"
	"stoa/gateway/document"
	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
	"stoa/meter"
	"stoa/rate"
)

// Options tell a Pipeline its schema and the bounds of its operations.
type Options struct {
	Schema     graphql.ExecutableSchema
	Present    graphql.ErrorPresenterFunc
	Recover    graphql.RecoverFunc
	Extensions []graphql.HandlerExtension // the first outermost
	Documents  document.Options           // its Schema is taken from the one above
	Load       admission.Limits
	Writable   func(context.Context) error // nil before a mutation that can be done; it may wait a second. nil for always
	Answer     AnswerFunc                  // nil executes every query
	MaxAnswer  int64                       // bytes of the data of one response
	Rates      *rate.Leases                // nil for no limit
	Log        *slog.Logger
}

// AnswerFunc returns the data of a query that can be had without execution, and nil for any other
// operation.
type AnswerFunc func(context.Context, *graphql.OperationContext) []byte

// Pipeline runs operations. It is safe for concurrent use.
type Pipeline struct {
	load          *admission.Load
	writable      func(context.Context) error // nil for always
	schema        *ast.Schema
	answer        AnswerFunc
	maxAnswer     int64 // bytes
	maxUnits      int64 // that one operation may take
	executor      *executor.Executor
	documents     *document.Store
	rates         *rate.Leases
	present       graphql.ErrorPresenterFunc
	introspection bool
	log           *slog.Logger
}

// New returns the pipeline that o describes, or an error that names the wrong option.
func New(o Options) (*Pipeline, error) {
	o.Documents.Schema, o.Documents.Log = o.Schema.Schema(), o.Log
	documents, err := document.NewStore(o.Documents)
	if err != nil {
		return nil, err
	}
	p := &Pipeline{
		load: admission.NewLoad(o.Load), writable: o.Writable, schema: o.Documents.Schema, answer: o.Answer, maxAnswer: o.MaxAnswer, maxUnits: overrun * int64(o.Documents.Limits.Cost), executor: executor.New(o.Schema), documents: documents, rates: o.Rates,
		present: o.Present, introspection: o.Documents.Introspection, log: o.Log,
	}
	p.executor.SetQueryCache(resolved{})
	p.executor.SetErrorPresenter(p.presentOne)
	p.executor.SetRecoverFunc(o.Recover)
	for _, extension := range o.Extensions {
		if _, ok := extension.(graphql.OperationParameterMutator); ok {
			return nil, fmt.Errorf("gateway: extension %s changes a request's parameters, which are fixed before extensions run", extension.ExtensionName())
		}
		if err := extension.Validate(o.Schema); err != nil {
			return nil, fmt.Errorf("gateway: extension %s: %w", extension.ExtensionName(), err)
		}
		p.executor.Use(extension)
	}
	return p, nil
}

// Enter lets a request of client in, until leave is called, or refuses it because there is no room.
func (p *Pipeline) Enter(client access.Client) (leave func(), err error) {
	return p.load.Enter(client.RateKey())
}

// Scope is one response under way: whether it is private, its usage, and the work that it takes. It
// is the context of that work, too.
type Scope struct {
	context.Context

	Usage  admission.Usage
	meter  meter.Meter
	memory admission.Reservation
}

// Private says whether the response is for its viewer alone.
func (s *Scope) Private() bool { return s.Usage.Scope.Private() }

// Cookies returns the cookies that the response sets.
func (s *Scope) Cookies() []access.Cookie { return s.Usage.Scope.Cookies() }

type scopeKey struct{}

// Value returns the scope or its meter by their keys.
func (s *Scope) Value(key any) any {
	switch key.(type) {
	case scopeKey:
		return s
	case meter.Key:
		return &s.meter
	}
	return s.Context.Value(key)
}

// errNoScope is the fault of preparing or executing an operation without Begin.
var errNoScope = errors.New("an operation has no scope: whose rates it uses isn't known")

func scopeOf(ctx context.Context) (*Scope, error) {
	s, ok := ctx.Value(scopeKey{}).(*Scope)
	if !ok {
		return nil, errNoScope
	}
	return s, nil
}

// Begin starts the scope of a response to from. Prepare and Execute are called under the context
// that it returns.
func (p *Pipeline) Begin(ctx context.Context, from access.Request) (context.Context, *Scope) {
	return begin(ctx, from, p.rates)
}

// BeginRenewal starts the scope of a response that no client asked for. It uses nobody's rates.
func (p *Pipeline) BeginRenewal(ctx context.Context) (context.Context, *Scope) {
	return begin(ctx, access.Request{}, nil)
}

func begin(ctx context.Context, from access.Request, rates *rate.Leases) (context.Context, *Scope) {
	ctx, answer := access.Begin(ctx, from)
	s := &Scope{Context: ctx, Usage: admission.NewUsage(rates, answer)}
	return s, s
}

// cheapEnvelope is the size of an envelope, in bytes, that an operation's cost includes.
const cheapEnvelope = 4 << 10

// Parse reads the envelope in a body. The client's rates are used for a large one before it is read,
// and for one that is refused. ctx is one of Begin.
func (p *Pipeline) Parse(ctx context.Context, body []byte) (*envelope.Envelope, error) {
	return p.parse(ctx, len(body), func() (*envelope.Envelope, error) { return envelope.Parse(body) })
}

// ParseAddress is Parse for the parameters of an address.
func (p *Pipeline) ParseAddress(ctx context.Context, query string) (*envelope.Envelope, error) {
	return p.parse(ctx, len(query), func() (*envelope.Envelope, error) { return envelope.ParseAddress(query) })
}

func (p *Pipeline) parse(ctx context.Context, bytes int, read func() (*envelope.Envelope, error)) (*envelope.Envelope, error) {
	if bytes > cheapEnvelope {
		if err := p.ConsumeEnvelope(ctx, bytes); err != nil {
			return nil, err
		}
		return read()
	}
	e, err := read()
	if err != nil {
		if throttled := p.ConsumeEnvelope(ctx, bytes); throttled != nil {
			return nil, throttled
		}
	}
	return e, err
}

// ConsumeEnvelope uses the client's rates for reading so many bytes. ctx is one of Begin.
func (p *Pipeline) ConsumeEnvelope(ctx context.Context, bytes int) error {
	scope, err := scopeOf(ctx)
	if err != nil {
		return err
	}
	return scope.Usage.ConsumeEnvelope(ctx, bytes)
}

// Prepared is an operation that may be executed.
type Prepared struct {
	Document  *document.Document
	Operation *ast.OperationDefinition
	Policy    document.Policy
	Params    *graphql.RawParams
	Cost      int64
}

// Streams says whether p is a subscription.
func (p *Prepared) Streams() bool { return p.Operation.Operation == ast.Subscription }

// Prepare finds the operation that e asks for, and makes all checks that need no execution. mayRun
// refuses an operation that this transport doesn't take; it may change e's variables.
func (p *Pipeline) Prepare(ctx context.Context, e *envelope.Envelope, mayRun func(*ast.OperationDefinition) error) (*Prepared, error) {
	doc, err := p.find(ctx, e)
	if err != nil {
		return nil, err
	}
	operation, err := doc.Operation(e.OperationName)
	if err != nil {
		return nil, err
	}
	if err := mayRun(operation); err != nil {
		return nil, err
	}
	if err := p.documents.Validate(doc); err != nil {
		return nil, err
	}
	variables, cost, err := p.cost(doc, operation, e.Variables)
	if err != nil {
		if throttled := p.consumeRefused(ctx); throttled != nil {
			return nil, throttled
		}
		return nil, err
	}
	// Nothing is left to refuse, so it may be asked for by its hash from now on.
	p.documents.Remember(ctx, e, doc)
	// The parameters have no headers: only access knows the viewer.
	return &Prepared{Document: doc, Operation: operation, Policy: doc.Policy(operation), Cost: cost, Params: &graphql.RawParams{
		Query:         doc.Text,
		OperationName: operation.Name,
		Variables:     variables,
		Extensions:    e.Extensions,
	}}, nil
}

// cost returns the values of the variables that were sent, and the cost of operation with them.
func (p *Pipeline) cost(doc *document.Document, operation *ast.OperationDefinition, sent map[string]any) (values map[string]any, cost int64, err error) {
	if values, err = p.documents.Variables(doc, operation, sent); err != nil {
		return nil, 0, err
	}
	cost, err = p.documents.Cost(doc, operation, values)
	return values, cost, err
}

// consumeRefused uses the client's rates for an operation that is refused before it runs, since a known
// document has been read for nothing.
func (p *Pipeline) consumeRefused(ctx context.Context) error {
	scope, err := scopeOf(ctx)
	if err != nil {
		return err
	}
	return scope.Usage.ConsumeRefused(ctx)
}

// find returns the document that e asks for. One that has to be parsed uses the client's rates,
// valid or not.
func (p *Pipeline) find(ctx context.Context, e *envelope.Envelope) (*document.Document, error) {
	if doc, err := p.documents.Ready(e); doc != nil || err != nil {
		return doc, err
	}
	scope, err := scopeOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := scope.Usage.ConsumeReading(ctx, len(e.Query)); err != nil {
		return nil, err
	}
	return p.documents.Find(ctx, e)
}

// CheckMethod refuses an operation that a request of this HTTP method may not run. A GET changes
// nothing, so that no link, picture or prefetching proxy can.
func CheckMethod(method string, operation *ast.OperationDefinition) error {
	switch {
	case operation.Operation == ast.Subscription:
		return refusal.New(refusal.BadRequest, "a subscription has no single answer: send it over a WebSocket, or by %s with Accept: text/event-stream", method)
	case operation.Operation == ast.Mutation && method != "POST":
		return refusal.New(refusal.MethodNotAllowed, "a mutation must be sent by POST, not %s", method).With("Allow", "POST")
	default:
		return nil
	}
}

// outOfTime is why a context of WithTimeout ended.
type outOfTime struct{ after time.Duration }

func (o outOfTime) Error() string { return fmt.Sprintf("the request's time ran out after %s", o.after) }

// WithTimeout returns a context for a request that began at some time and may take limit. An
// operation that runs out of it is refused as too late.
func WithTimeout(parent context.Context, began time.Time, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithDeadlineCause(parent, began.Add(limit), outOfTime{limit})
}
