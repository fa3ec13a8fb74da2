// Package stream is the step of a request that is answered over a lasting connection: Server
// answers by WebSocket, as graphql-transport-ws, and by server-sent events.
//
// Server.ServeWebSocket and Server.ServeEvents take a request, Server.Close ends all connections.
// It may import access and client, for the caller of a connection, operation, envelope and refusal,
// and wire.
package stream

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"stoa/gateway/client"
	"stoa/gateway/operation"
	"stoa/gateway/wire"
)

// Limits bound the connections; 0 is the default of each.
type Limits struct {
	Connections int // WebSockets and event streams that are open
	PerAddress  int // of them, from one address or /64 of IPv6
	Timeouts    Timeouts
}

// WithDefaults returns l with the default of each limit that is 0.
func (l Limits) WithDefaults() Limits {
	t := l.Timeouts
	return Limits{
		Connections: cmp.Or(l.Connections, defaultConnections), PerAddress: cmp.Or(l.PerAddress, defaultPerAddress),
		Timeouts: Timeouts{
			Init: cmp.Or(t.Init, initTime), Ping: cmp.Or(t.Ping, pingEvery), Pong: cmp.Or(t.Pong, pongTime),
			Write: cmp.Or(t.Write, wire.WriteTime), End: cmp.Or(t.End, closeTime),
		},
	}
}

// Validate returns an error for a limit that can't be one.
func (l Limits) Validate() error {
	if min(l.Connections, l.PerAddress) < 0 {
		return errors.New("a limit of connections is negative; 0 is its default")
	}
	return nil
}

// Timeouts are how long a connection waits.
type Timeouts struct {
	Init  time.Duration // for connection_init
	Ping  time.Duration // between pings, or comments of an event stream
	Pong  time.Duration // for the answer to a ping
	Write time.Duration // for a client to take a message
	End   time.Duration // for a client's part of the end
}

// Options tell a Server its pipeline and limits.
type Options struct {
	Pipeline *operation.Pipeline
	Codec    *wire.Codec
	Clients  *client.Clients
	Limits   Limits

	// MaxBody is the size of a message, in bytes, and Timeout how long one may take to arrive and an
	// operation to be answered, subscriptions excepted.
	MaxBody int64
	Timeout time.Duration

	// Holds says which tokens are still valid, each at its index. It is asked twice a second for
	// those of open connections, at most a thousand at once. A connection whose token is no longer
	// valid is closed. Nil asks nothing.
	Holds func(ctx context.Context, tokens []string) ([]bool, error)

	Log *slog.Logger
}

// Server answers over connections. It is safe for concurrent use.
type Server struct {
	pipeline *operation.Pipeline
	codec    *wire.Codec
	clients  *client.Clients
	registry *registry
	maxBody  int64
	timeout  time.Duration
	timeouts Timeouts
}

// New returns a server without connections.
func New(o Options) *Server {
	limits := o.Limits.WithDefaults()
	return &Server{
		pipeline: o.Pipeline, codec: o.Codec, clients: o.Clients, registry: newRegistry(o.Log, o.Holds, limits),
		maxBody: o.MaxBody, timeout: o.Timeout, timeouts: limits.Timeouts,
	}
}

// Close ends all connections: operations may finish until ctx ends, and subscriptions end at
// once. Clients are told to connect again. It returns when no goroutine of theirs is left and wait
// has returned, or a second after ctx has ended. New connections are refused.
func (g *Server) Close(ctx context.Context, wait func()) { g.registry.close(ctx, wait) }

// signedIn says whether a connection's token is that of a viewer, and logs why it can't tell.
func (g *Server) signedIn(token string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	is, err := g.clients.SignedIn(ctx, token)
	if err != nil {
		g.codec.Present(ctx, err)
	}
	return is, err
}
