// Package gateway is the HTTP edge: it takes a request from the socket to the executor and
// its answer back.
//
// It speaks the GraphQL-over-HTTP specification and graphql-transport-ws by transports of its
// own, bounds everything that a client can make large, and writes the bytes of the answer
// itself. It finds out the viewer for access, and tells nobody else. The meaning of a query
// is decided behind it.
//
// It may import net/http, gqlgen's executor, gqlparser, access, problem, id, rate, the
// connection to Redis, and store/cache, to know the valid responses; not graph, store or
// any domain package: app hands it the executable schema.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/feed/content"
	"stoa/gateway/backlog"
	"stoa/gateway/client"
	"stoa/gateway/document"
	"stoa/gateway/operation"
	"stoa/gateway/refusal"
	"stoa/gateway/responsecache"
	"stoa/gateway/stream"
	"stoa/gateway/upload"
	"stoa/gateway/wire"
	"stoa/rate"
	"stoa/store/bus"
	"stoa/store/cache"
)

// The paths. Clients rely on them.
const (
	graphqlPath    = "/graphql"
	mediaPath      = "/media/"
	healthPath     = "/healthz"
	readyPath      = "/readyz"
	outboxPath     = "/outbox"
	playgroundPath = "/playground/" // and /, for a browser
)

// Options tell a Gateway the schema to serve and the bounds of its requests.
type Options struct {
	// Schema is executed.
	Schema graphql.ExecutableSchema

	// Present returns the public part of an error, and logs a fault of ours.
	// It is called for each error that a resolver returns, up to a hundred in an answer, and
	// for a panic in the gateway; not for errors of a request that ran out of time or a client that has
	// gone.
	Present graphql.ErrorPresenterFunc

	// Recover makes an error of a panic; Present gets it next.
	Recover graphql.RecoverFunc

	// Extensions take part in the execution, the first outermost. One that changes the
	// request's parameters (graphql.OperationParameterMutator) is refused by New: documents
	// are looked up before it would run.
	Extensions []graphql.HandlerExtension

	// Answer returns the data of a query that can be had without execution; nil for any other
	// operation. Nil executes every query.
	Answer operation.AnswerFunc

	// Authenticate returns the viewer behind a token: the zero Viewer for an unknown token, an
	// error if the look-up failed. It is called when something asks for the viewer, at most
	// once for a response. Without it nobody is ever signed in.
	Authenticate func(ctx context.Context, token string) (access.Viewer, error)

	// Used is called once for every request with a token, valid or not, also if the response
	// doesn't depend on the viewer. It must not block.
	Used func(token string)

	// Origins are the origins of front ends that may use the API with their visitors' cookies,
	// in the form that browsers send: https://shop.example, http://localhost:3000. The
	// gateway's own origin need not be listed. Pages of other origins can neither send a
	// mutation nor read a response.
	Origins []string

	// Development lets in pages of all loopback origins if Origins is empty, and sets cookies that
	// Safari keeps from http://localhost.
	Development bool

	// Hosts are the hosts, beside loopback names, that a request may be for. Nil lets in all.
	Hosts []string

	// Proxies are the addresses of trusted proxies: only their X-Forwarded-For counts.
	Proxies []netip.Prefix

	// Outbox shows at /outbox the mails that weren't sent; nil for none.
	Outbox http.Handler

	// Feeds returns the document at the path of a feed, a sitemap or robots.txt; NotFound if
	// there is none. It knows no viewer. Nil serves none of them.
	Feeds func(ctx context.Context, path string) (content.Document, error)

	// Holds says of each token whether it is still valid, at the same index. It is asked twice a second for
	// those of open connections, at most a thousand at once, and has two seconds; a connection
	// without a valid token is closed. After an error none is. Without it none ever is.
	Holds func(ctx context.Context, tokens []string) ([]bool, error)

	// Picture opens the file with a name below /media/; problem.NotFound if there is none. Nil
	// serves no files.
	Picture func(ctx context.Context, name string) (*Picture, error)

	// Cache knows which responses are still valid, so that public responses are made once: see
	// package responsecache. Nil caches none.
	Cache *cache.Cache

	// ResponseBytes bounds the cached responses in the process. With 0 only requests at the same
	// time share one.
	ResponseBytes int64

	// Playground serves browsers at / and everything below /playground/. If it is nil, a
	// browser gets the same response at / as other clients.
	Playground http.Handler

	// Ready says in words which requests can be served, for /readyz. Its error is shown there, with
	// status 503. Its context ends after two seconds. If it is nil, /readyz is 503 only after Drain.
	Ready func(context.Context) (string, error)

	// Writable is asked before a mutation, and waits a second at most until it can be done. If it is
	// nil, mutations always begin.
	Writable func(context.Context) error

	// Introspection lets clients ask for the schema, and lets errors suggest names out of it.
	Introspection bool

	// Rates are the buckets that the requests of clients and accounts use, by their
	// cost; a burst must be at least Limits.Cost. Nil for no limit.
	Rates *rate.Leases

	// HSTS is the time for which browsers must use HTTPS only. The header is sent if a proxy
	// of Proxies says that the request came by HTTPS. 0 sends none.
	HSTS time.Duration

	// Redis holds the texts of automatic persisted queries that replicas share, in
	// Namespace. Without it each replica keeps its own.
	Redis     *bus.Connection
	Namespace string

	// Trusted are the documents that can be asked for by an id from the start: see
	// ReadTrusted. One that isn't valid is an error of New.
	Trusted []document.Trusted

	// TrustedOnly refuses every other document, on every way.
	TrustedOnly bool

	// Limits bound requests; its zero value has the default of each.
	Limits Limits

	// now is the clock for the age of cached responses; tests set it.
	now func() time.Time

	// Log gets messages that belong to no single error, such as timeouts. nil is
	// slog.Default().
	Log *slog.Logger
}

// Gateway is the http.Handler for everything that Stoa serves. It is safe for concurrent
// use.
type Gateway struct {
	codec      *wire.Codec
	playground http.Handler
	outbox     http.Handler
	feeds      func(context.Context, string) (content.Document, error)
	ready      func(context.Context) (string, error)
	clients    *client.Clients
	pipeline   *operation.Pipeline
	streams    *stream.Server
	uploads    *upload.Uploads
	picture    func(context.Context, string) (*Picture, error)
	limits     Limits
	backlog    *backlog.Backlog
	responses  *responsecache.Cache
	log        *slog.Logger
	draining   atomic.Bool
}

// New returns the gateway that o describes, or an error that names the wrong option.
func New(o Options) (*Gateway, error) {
	if o.Schema == nil || o.Present == nil || o.Recover == nil {
		return nil, errors.New("gateway: Schema, Present and Recover are needed")
	}
	limits := o.Limits.withDefaults()
	if err := limits.validate(o.Rates); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	clients, err := client.New(client.Options{Proxies: o.Proxies, Origins: o.Origins, Hosts: o.Hosts, Development: o.Development, HSTS: o.HSTS, Authenticate: o.Authenticate, Used: o.Used})
	if err != nil {
		return nil, err
	}
	pipeline, err := operation.New(operation.Options{
		Schema: o.Schema, Present: o.Present, Recover: o.Recover, Extensions: o.Extensions, Answer: o.Answer, MaxAnswer: limits.Answer, Rates: o.Rates, Load: limits.load, Writable: o.Writable, Log: o.Log,
		Documents: document.Options{
			Limits: limits.document, Introspection: o.Introspection,
			Trusted: o.Trusted, TrustedOnly: o.TrustedOnly, Redis: o.Redis, Namespace: o.Namespace,
		},
	})
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		codec:      wire.NewCodec(o.Present, o.Recover, limits.body, limits.timeout),
		playground: o.Playground,
		outbox:     o.Outbox,
		feeds:      o.Feeds,
		ready:      o.Ready,
		clients:    clients,
		pipeline:   pipeline,
		uploads:    upload.New(upload.Options{Pipeline: pipeline, MaxBody: limits.body, MaxFile: limits.File, Arrival: limits.upload, Response: limits.timeout}),
		picture:    o.Picture,
		limits:     limits,
		backlog:    backlog.New(limits.backlog, clients.IsProxy, o.Log),
		log:        o.Log,
	}
	g.responses = responsecache.New(responsecache.Options{
		Cache: o.Cache, Bytes: o.ResponseBytes, Timeout: limits.timeout, Codec: g.codec, Pipeline: pipeline, Now: o.now,
	})
	g.streams = stream.New(stream.Options{
		Pipeline: pipeline, Codec: g.codec, Clients: clients, Limits: limits.stream, MaxBody: limits.body, Timeout: limits.timeout, Holds: o.Holds, Log: o.Log,
	})
	return g, nil
}

// Server returns an http.Server with g as its handler and with the bounds that lie below a
// handler's reach. The caller gives it a listener of Listen, and its own way to stop.
func (g *Gateway) Server() *http.Server {
	return &http.Server{
		Handler: g,
		// Headers come in one packet or a few; a client that needs longer holds a connection on purpose.
		ReadHeaderTimeout: 5 * time.Second,
		// Longer than the 60 s that load balancers usually keep an idle connection, so
		// that they, not we, close it first and no request is lost in between.
		IdleTimeout: 2 * time.Minute,
		// For the playground's files; a GraphQL answer sets its own.
		WriteTimeout: g.limits.timeout + wire.WriteTime,
		// A query in a GET's address has to fit. Go's default is 1 MiB.
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
	}
}

// Listen returns l with a bound on its connections: how many a client may have, and how many bytes may
// wait for those that don't read.
func (g *Gateway) Listen(l net.Listener) net.Listener { return g.backlog.Listen(l) }

// Drain makes /readyz say 503 from now on, so that no new requests are sent here. Requests
// are still answered.
func (g *Gateway) Drain() {
	g.draining.Store(true)
	g.responses.Drain()
}

// Close ends all WebSockets and event streams: operations may finish until ctx ends, and
// subscriptions end at once. Clients are told to connect again. It returns when no goroutine of the
// gateway is left, or a second after ctx has ended.
func (g *Gateway) Close(ctx context.Context) { g.streams.Close(ctx, g.responses.Wait) }

// ResponseCounts tells how the cache of responses does.
func (g *Gateway) ResponseCounts() responsecache.Counts { return g.responses.Counts() }

// ServeHTTP answers every path that there is.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer g.catch(w, r)
	g.clients.SetSecurityHeaders(w.Header(), r)
	if err := g.clients.CheckHost(r); err != nil {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
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

// rootVaryValue is the Vary of /. Nobody changes it.
var rootVaryValue = []string{"Accept"}

// serveRoot shows a browser the playground, and tells other clients the path of the API.
func (g *Gateway) serveRoot(w http.ResponseWriter, r *http.Request) {
	w.Header()["Vary"] = rootVaryValue
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

// catch responds to a request after a panic of its handler. A resolver's panic never comes
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
