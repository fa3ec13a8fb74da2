// Package gateway is the HTTP edge: it takes a request from the socket to the executor and
// its answer back.
//
// It speaks the GraphQL-over-HTTP specification and graphql-transport-ws by transports of its
// own, bounds everything that a client can make large, and writes the bytes of the answer
// itself. Who asks it finds out for access, and tells nobody else. What a query
// means is decided behind it.
//
// It may import net/http, gqlgen's executor, gqlparser, access, problem, id, rate, the
// connection to Redis, and store/cache, to know which answers still hold; not graph, store or
// any domain package: app hands it the executable schema.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"

	"stoa/access"
	"stoa/gateway/client"
	"stoa/gateway/refusal"
	"stoa/gateway/wire"
	"stoa/rate"
	"stoa/store/bus"
	"stoa/store/cache"
)

// Where things are. Clients rely on these paths.
const (
	graphqlPath    = "/graphql"
	mediaPath      = "/media/"
	healthPath     = "/healthz"
	readyPath      = "/readyz"
	outboxPath     = "/outbox"
	playgroundPath = "/playground/" // and /, for a browser
)

// Options say what a Gateway serves and within which bounds.
type Options struct {
	// Schema is executed.
	Schema graphql.ExecutableSchema

	// Present makes of an error what the client may see of it, and logs what is our fault.
	// It is called for each error that a resolver returns, up to a hundred in an answer, and
	// for a panic in the gateway; not for what failed because time ran out or the client has
	// gone.
	Present graphql.ErrorPresenterFunc

	// Recover makes an error of a panic; Present gets it next.
	Recover graphql.RecoverFunc

	// Extensions take part in the execution, the first outermost. One that changes the
	// request's parameters (graphql.OperationParameterMutator) is refused by New: documents
	// are looked up before it would run.
	Extensions []graphql.HandlerExtension

	// Authenticate tells whose token it is: the zero Viewer where it is nobody's, an error
	// where that can't be told now. It is called when something asks for the viewer, at most
	// once for an answer. Without it nobody is ever signed in.
	Authenticate func(ctx context.Context, token string) (access.Viewer, error)

	// Used is called once for every request that brings a token, whoever's it is, also where
	// the answer doesn't look at the viewer. It must not block.
	Used func(token string)

	// Origins are those of front ends whose pages may use the API as their visitor, cookies
	// included, as browsers write them: https://shop.example, http://localhost:3000. The
	// gateway's own needs no mention; a page of any other can neither send a mutation nor
	// read an answer.
	Origins []string

	// Proxies are whose X-Forwarded-For is believed. Without any nobody's is.
	Proxies []netip.Prefix

	// Outbox shows at /outbox the mails that weren't sent; nil for none.
	Outbox http.Handler

	// Feeds returns what is at the path of a feed, a sitemap or robots.txt; NotFound where
	// there is nothing. It knows no viewer. Nil for none of them.
	Feeds func(ctx context.Context, path string) (Document, error)

	// Holds says which tokens still stand, each at its place. It is asked twice a second for
	// those of open connections, at most a thousand at once, and has two seconds; a connection
	// whose token no longer stands is closed. After an error none is. Without it none ever is.
	Holds func(ctx context.Context, tokens []string) ([]bool, error)

	// MaxConnections is how many WebSockets and event streams may be open at once. 0 is
	// 20,000. Idle ones take about 20 KB each.
	MaxConnections int

	// MaxConnectionsPerAddress is how many of them may come from one address, or from one
	// /64 of IPv6. 0 is 200. Behind a proxy that isn't in Proxies all have the proxy's.
	MaxConnectionsPerAddress int

	// Picture opens what has a name below /media/; a problem.NotFound where there is nothing.
	// Without it nothing is there.
	Picture func(ctx context.Context, name string) (*Picture, error)

	// MaxFile is the size of a file in a multipart request, in bytes. 0 is 20 MiB. A request
	// may have ten, of twice as much in all.
	MaxFile int64

	// UploadTimeout is how long a multipart request may take to arrive. 0 is two minutes: 20
	// MiB at 1.5 Mbit/s, a phone on a bad day.
	UploadTimeout time.Duration

	// Cache tells which answers still hold, so that those that are the same for everybody are
	// made once: see share.go. Nil keeps none.
	Cache *cache.Cache

	// AnswerBytes bounds what is kept of them in the process. With 0 only those that are asked
	// for at the same time are made once.
	AnswerBytes int64

	// Playground answers a browser at / and everything below /playground/. Without one a
	// browser gets what every client gets at /.
	Playground http.Handler

	// Ready says whether requests can be answered; its error is shown at /readyz, which then
	// is 503. Its context ends after two seconds. Without one /readyz is 503 only after Drain.
	Ready func(context.Context) error

	// Introspection lets clients ask for the schema, and lets errors suggest names out of it.
	Introspection bool

	// MaxBody is the size of a request's body, in bytes. 0 is 1 MiB. Whatever is in one takes
	// no more than 10 MB to read and answer (TestAttacks).
	MaxBody int64

	// Timeout is how long one request may take from its first byte to its answer, the body
	// of a slow sender included. 0 is 10 s.
	Timeout time.Duration

	// MaxDocument is the size of a document in bytes. 0 is 128 KiB: a text that is sent to be
	// stored belongs into a variable.
	MaxDocument int

	// MaxAliases, MaxDirectives and MaxFragments are how many of them a document may have, as
	// it is written, and MaxRootFields how many things an operation may ask for at its top. 0
	// is 200, 100, 500 and 50.
	MaxAliases, MaxDirectives, MaxFragments, MaxRootFields int

	// MaxTokens is the size of a document: in tokens as written, and in selections, arguments
	// and values with its fragments written out. 0 is 5,000. Time to validate grows with it.
	MaxTokens int

	// MaxDepth is how many levels of fields may nest, the leaves counted, fragments written
	// out. 0 is 20; GraphiQL's introspection has 15.
	MaxDepth int

	// MaxCost is what an operation may cost, in units of about one object in its answer. 0 is
	// 20,000. Raising it raises the memory one request can take, by some 500 bytes each.
	MaxCost int

	// Rates are the buckets out of which clients and accounts pay for what their requests
	// cost; a burst of theirs must be at least MaxCost. Nil for no limit.
	Rates *rate.Leases

	// HSTS is for how long browsers are told to come by HTTPS only, where a proxy of Proxies
	// says that this request did. 0 tells nothing.
	HSTS time.Duration

	// MaxRequests is how many GraphQL requests may be there at once, and MaxPerClient how many
	// of one client's, an address or a /64 of IPv6. 0 is 2,000, and 200. Further ones are told
	// to come back.
	MaxRequests, MaxPerClient int

	// MaxDear is how many operations that cost 1,000 or more may run at once, while others
	// wait. 0 is one less than there are processors, and at least one.
	MaxDear int

	// Redis is where replicas share the texts of automatic persisted queries, under the name
	// of Site. Without it each replica keeps its own.
	Redis *bus.Connection
	Site  string

	// Trusted are the documents that can be asked for by an id from the start: see
	// ReadTrusted. One that isn't valid is an error of New.
	Trusted []Trusted

	// TrustedOnly refuses every other document, on every way.
	TrustedOnly bool

	// Log gets what concerns no single error: requests that timed out. nil is slog.Default().
	Log *slog.Logger
}

// The defaults of Options.
const (
	defaultMaxBody = 1 << 20 // room for an article's text in a mutation: real ones reach 66 KB
	defaultTimeout = 10 * time.Second
	defaultMaxFile = 20 << 20

	defaultUploadTimeout = 2 * time.Minute

	// defaultMaxTokens is 25 times what GraphiQL's introspection has (186 as written, 250
	// with fragments written out).
	defaultMaxTokens = 5000

	defaultMaxDepth = 20
)

// Gateway is the http.Handler for everything that Stoa serves. It is safe for concurrent
// use.
type Gateway struct {
	executor      *executor.Executor
	documents     *documents
	persisted     *persisted
	codec         *wire.Codec
	playground    http.Handler
	outbox        http.Handler
	feeds         func(context.Context, string) (Document, error)
	ready         func(context.Context) error
	clients       *client.Clients
	sockets       *sockets
	times         times
	introspection bool
	maxBody       int64
	timeout       time.Duration
	maxFile       int64
	uploadTimeout time.Duration
	uploads       uploads
	picture       func(context.Context, string) (*Picture, error)
	maxCost       int64
	rates         *rate.Leases // nil for no limit
	load          *load
	prices        *prices
	log           *slog.Logger
	draining      atomic.Bool
	answers       *answers // nil where none are kept
}

// New returns the gateway that o describes, or says which option is wrong.
func New(o Options) (*Gateway, error) {
	if o.Schema == nil || o.Present == nil || o.Recover == nil {
		return nil, errors.New("gateway: Schema, Present and Recover are needed")
	}
	if o.MaxFile < 0 || o.UploadTimeout < 0 || o.MaxBody < 0 || o.Timeout < 0 || o.MaxTokens < 0 || o.MaxDepth < 0 || o.MaxCost < 0 || o.MaxRequests < 0 || o.MaxPerClient < 0 || o.MaxDear < 0 || o.HSTS < 0 || min(o.MaxDocument, o.MaxAliases, o.MaxDirectives, o.MaxFragments, o.MaxRootFields) < 0 || o.MaxConnections < 0 || o.MaxConnectionsPerAddress < 0 {
		return nil, errors.New("gateway: a limit is negative; 0 is its default")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	clients, err := client.New(client.Options{Proxies: o.Proxies, Origins: o.Origins, HSTS: o.HSTS, Authenticate: o.Authenticate, Used: o.Used})
	if err != nil {
		return nil, err
	}
	prices, err := newPrices(o.Schema.Schema())
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		executor:      executor.New(o.Schema),
		codec:         wire.NewCodec(o.Present, o.Recover, orDefault(o.MaxBody, defaultMaxBody), orDefault(o.Timeout, defaultTimeout)),
		playground:    o.Playground,
		outbox:        o.Outbox,
		feeds:         o.Feeds,
		ready:         o.Ready,
		clients:       clients,
		sockets:       newSockets(o),
		times:         usualTimes,
		introspection: o.Introspection,
		maxBody:       orDefault(o.MaxBody, defaultMaxBody),
		timeout:       orDefault(o.Timeout, defaultTimeout),
		maxFile:       orDefault(o.MaxFile, defaultMaxFile),
		uploadTimeout: orDefault(o.UploadTimeout, defaultUploadTimeout),
		picture:       o.Picture,
		maxCost:       int64(orDefault(o.MaxCost, defaultMaxCost)),
		prices:        prices,
		rates:         o.Rates,
		load:          newLoad(orDefault(o.MaxRequests, defaultMaxRequests), orDefault(o.MaxPerClient, defaultMaxPerClient), orDefault(o.MaxDear, defaultDear())),
		log:           o.Log,
	}
	if o.Rates != nil && int64(o.Rates.Limit().Burst) < g.maxCost {
		return nil, fmt.Errorf("gateway: what an operation may cost (%d) is more than may be spent at once (%d)", g.maxCost, o.Rates.Limit().Burst)
	}
	g.documents = newDocuments(prices, newBounds(o), o.Introspection)
	if o.Cache != nil {
		g.answers = newAnswers(o.Cache, o.AnswerBytes)
	}
	g.persisted, err = newPersisted(g.documents, newSharedTexts(o.Redis, o.Site, o.Log), o.Trusted, o.TrustedOnly)
	if err != nil {
		return nil, fmt.Errorf("gateway: Trusted: %w", err)
	}
	g.executor.SetQueryCache(resolved{})
	g.executor.SetErrorPresenter(g.present)
	g.executor.SetRecoverFunc(o.Recover)
	for _, extension := range o.Extensions {
		if _, ok := extension.(graphql.OperationParameterMutator); ok {
			return nil, fmt.Errorf("gateway: extension %s changes a request's parameters, which are settled before extensions run", extension.ExtensionName())
		}
		if err := extension.Validate(o.Schema); err != nil {
			return nil, fmt.Errorf("gateway: extension %s: %w", extension.ExtensionName(), err)
		}
		g.executor.Use(extension)
	}
	return g, nil
}

func orDefault[T int | int64 | time.Duration](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}

// Server returns an http.Server with g as its handler and with the bounds that lie below a
// handler's reach. The caller gives it a listener, and its own way to stop.
func (g *Gateway) Server() *http.Server {
	return &http.Server{
		Handler: g,
		// Headers come in one packet or a few; who needs longer holds a connection on purpose.
		ReadHeaderTimeout: 5 * time.Second,
		// Longer than the 60 s for which load balancers usually keep an idle connection, so
		// that they, not we, close it first and no request is lost in between.
		IdleTimeout: 2 * time.Minute,
		// For the playground's files; a GraphQL answer sets its own.
		WriteTimeout: g.timeout + wire.WriteTime,
		// A query in a GET's address has to fit. Go's default is 1 MiB.
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
	}
}

// Drain makes /readyz say 503 from now on, so that no new requests are sent here. Requests
// are still answered.
func (g *Gateway) Drain() { g.draining.Store(true) }

// ServeHTTP answers every path that there is.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer g.catch(w, r)
	g.clients.SetSecurityHeaders(w.Header(), r)
	switch path := r.URL.Path; {
	case path == graphqlPath:
		g.serveGraphQL(w, r)
	case path == healthPath:
		g.serveHealth(w, r)
	case path == readyPath:
		g.serveReady(w, r)
	case path == "/":
		g.serveRoot(w, r)
	case g.picture != nil && strings.HasPrefix(path, mediaPath):
		g.servePicture(w, r)
	case g.feeds != nil && isFeed(path):
		g.serveFeed(w, r)
	case g.outbox != nil && path == outboxPath:
		g.outbox.ServeHTTP(w, r)
	case g.playground != nil && strings.HasPrefix(path, playgroundPath):
		g.playground.ServeHTTP(w, r)
	default:
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.NotFound, "there is nothing at %.100q: the API is at %s", path, graphqlPath))
	}
}

// serveRoot shows a browser the playground and tells everybody else where the API is.
func (g *Gateway) serveRoot(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	if g.playground != nil && wire.WantsHTML(r.Header) {
		g.playground.ServeHTTP(w, r)
		return
	}
	if !readOnly(r.Method) {
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.MethodNotAllowed, "%.20q isn't taken here: the API is at %s", r.Method, graphqlPath).With("Allow", "GET, HEAD"))
		return
	}
	w.Header().Set("Content-Type", wire.JSON.Header())
	_, _ = fmt.Fprintf(w, "{\"name\":\"Stoa\",\"graphql\":%q}\n", graphqlPath)
}

// catch answers a request whose handling panicked. What a resolver panics with never comes
// here: the executor catches it.
func (g *Gateway) catch(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { // net/http compares it so, too
		panic(p)
	}
	ctx := r.Context()
	media, refused := wire.Negotiate(r.Header)
	if refused != nil {
		media = wire.JSON
	}
	g.codec.Refuse(w, r, media, g.codec.Recover(ctx, p))
}
