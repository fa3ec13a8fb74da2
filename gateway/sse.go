package gateway

// GraphQL over server-sent events: the distinct connections mode of graphql-sse
// (github.com/enisdenjo/graphql-sse, PROTOCOL.md), in which each operation has a request of
// its own. serveStream takes it, stream.serve sends what comes of it. A subscription's
// connection is taken from net/http (lasting.go), which keeps its buffers and a large stack
// for as long as a request lasts.
//
// Whatever is wrong with the request itself is refused as everywhere. From the document on
// an error is an event, since a browser's EventSource can't see any other. An operation that
// has ended is followed by "complete"; a stream that ends without is cut, and the client
// comes again.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
)

const mediaStream mediaType = "text/event-stream"

// prefersStream says whether the answer is to be an event stream: clients that take either
// name it last.
func prefersStream(h http.Header) bool {
	accept := preferences(h.Values("Accept"))
	m := matchOf(mediaStream, accept)
	return m.named == 3 && m.better(matchOf(mediaJSON, accept)) && m.better(matchOf(mediaGraphQL, accept))
}

// errStreamEnds is why the context of an operation ends whose stream is to end.
var errStreamEnds = errors.New("the stream ends")

// stream is one request that is answered by events.
type stream struct {
	gateway   *Gateway
	out       output
	caller    caller
	cancel    context.CancelCauseFunc
	streaming bool          // it is a subscription's
	done      chan struct{} // closed when it has been answered

	writing sync.Mutex // held for each event that goes out
	broken  bool       // nothing more can go out
	ending  string     // why it was cut
}

// serveStream answers a request by events.
func (g *Gateway) serveStream(w http.ResponseWriter, r *http.Request, from caller) {
	leave, no := g.sockets.enter(from.client.Address)
	if no != nil {
		g.refuse(w, r, mediaJSON, no)
		return
	}
	taken := false // the connection, by a goroutine of its own, which leaves
	defer func() {
		if !taken {
			leave()
		}
	}()
	settle, no := g.load.enter(from.client.RateKey())
	if no != nil {
		g.refuse(w, r, mediaJSON, no.with("Connection", "close"))
		return
	}
	defer settle()
	began := time.Now()
	limited, done := context.WithDeadlineCause(context.Background(), began.Add(g.timeout), outOfTime{g.timeout})
	defer done()
	asked, no := g.readEnvelope(w, r, began)
	if no != nil {
		g.refuse(w, r, mediaJSON, no)
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &stream{gateway: g, caller: from, cancel: cancel, done: make(chan struct{})}
	if no := g.chargeReading(s.answer(limited), asked); no != nil {
		g.refuse(w, r, mediaJSON, no)
		return
	}
	g.goOn(limited, r, asked)
	p, no := g.prepare(limited, asked, func(o *ast.OperationDefinition) *refusal {
		if o.Operation == ast.Subscription {
			return nil
		}
		return checkMethod(r.Method, o)
	})
	if no != nil && statusOf(no.code) >= http.StatusBadRequest {
		g.refuse(w, r, mediaJSON, no)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaStream.header())
	h.Set("Cache-Control", "no-store, no-transform") // a proxy that compresses also gathers
	h.Set("X-Accel-Buffering", "no")                 // nginx
	if s.streaming = no == nil && p.operation.Operation == ast.Subscription; s.streaming {
		settle() // it waits from now on, and is counted as a connection
		if raw, err := takeOver(w); err == nil {
			taken = true
			// The copies let go of the request.
			s.caller.token, s.caller.client.Device = strings.Clone(from.token), strings.Clone(from.client.Device)
			lasting := newLasting(raw, r, h)
			s.out = lasting
			// A goroutine of its own has a smaller stack than this one, and lets the request go.
			go func() {
				defer leave()
				s.serveTaken(ctx, p, lasting)
			}()
			return
		}
	}
	// As for other requests, the request's context ends the answer's, but isn't its parent.
	defer context.AfterFunc(r.Context(), func() { cancel(context.Canceled) })()
	if !s.streaming { // it has the time of any other request
		defer context.AfterFunc(limited, func() { cancel(context.Cause(limited)) })()
	}
	s.out = &answering{w, http.NewResponseController(w)}
	s.serve(ctx, p, no)
}

// serve sends the stream from its beginning to its end: what comes of p, or else no.
func (s *stream) serve(ctx context.Context, p *prepared, no *refusal) {
	g := s.gateway
	defer s.cancel(nil)
	defer close(s.done)
	closed := g.sockets.add(s)
	defer g.sockets.remove(s)
	if closed && s.streaming {
		s.end(closeRestart, "the server is stopping")
	}
	if s.streaming && s.caller.token != "" {
		// Nobody's counts as none, as in other requests: it would be cut again and again.
		if viewer, err := g.whose(s.caller.token); err == nil && !viewer.SignedIn() {
			s.caller.token = ""
		}
		g.sockets.watch(s, s.caller.token)
	}
	s.write([]byte(":\n\n")) // so that the client knows at once that it is connected
	var alive *time.Timer
	alive = time.AfterFunc(time.Hour, func() {
		if s.write([]byte(":\n\n")) {
			alive.Reset(g.times.ping)
		}
	})
	alive.Reset(g.times.ping)
	defer s.shut(alive)
	if no == nil {
		no = s.run(ctx, p)
	}
	switch {
	case context.Cause(ctx) == errStreamEnds:
		s.write([]byte(": " + s.ending + "\n\n"))
	case context.Cause(ctx) == context.Canceled: // nobody listens
	case no != nil:
		s.next("", &graphql.Response{Errors: bounded(no.errors)})
		fallthrough
	default:
		s.write([]byte("event: complete\ndata: \n\n"))
	}
}

// run executes p and sends what comes of it, and returns what ended it.
func (s *stream) run(ctx context.Context, p *prepared) (no *refusal) {
	defer func() {
		if cause := recover(); cause != nil {
			shown := s.gateway.presentError(ctx, s.gateway.recoverPanic(ctx, cause))
			no = &refusal{code: codeInternal, errors: presented(shown)}
		}
	}()
	begun, no := s.gateway.begin(s.answer(ctx), p)
	for no == nil {
		var response *graphql.Response
		response, no = s.gateway.nextOf(s.answer(begun.ctx), begun)
		if no != nil || response == nil || !s.next(eventID(response.Data), response) || !s.streaming {
			break
		}
	}
	return no
}

// answer begins an answer for who asks: each event of a subscription is one.
func (s *stream) answer(ctx context.Context) context.Context {
	ctx, made := access.Begin(graphql.StartOperationTrace(ctx), access.Request{
		Token:        s.caller.token,
		ByCookie:     s.caller.byCookie,
		Client:       s.caller.client,
		Authenticate: s.gateway.authenticate,
	})
	ctx, _ = s.gateway.open(ctx, made)
	return ctx
}

// next sends a response. An EventSource gives the id of the last one back when it comes
// again: see goOn.
func (s *stream) next(id string, response *graphql.Response) bool {
	buffer := s.gateway.buffers.get()
	defer s.gateway.buffers.put(buffer)
	if id != "" {
		buffer.WriteString("id: " + id + "\n")
	}
	buffer.WriteString("event: next\ndata: ")
	encode(buffer, response) // without a line end in it, and with one at its end
	buffer.WriteByte('\n')
	return s.write(buffer.Bytes())
}

// write sends text at once. A client that doesn't read in time is left.
func (s *stream) write(text []byte) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.broken {
		return false
	}
	if s.out.send(text, time.Now().Add(s.gateway.times.write)) != nil {
		s.broken = true
		s.cancel(context.Canceled)
	}
	return !s.broken
}

// shut sees to it that nothing is written once the request has been answered.
func (s *stream) shut(alive *time.Timer) {
	alive.Stop()
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.broken {
		s.out.finish(time.Now().Add(s.gateway.times.write))
	}
	s.broken = true
}

// end cuts the stream, whose client then comes again. There is no code on this way.
func (s *stream) end(_ websocket.StatusCode, reason string) {
	s.gateway.sockets.mu.Lock()
	if s.ending == "" {
		s.ending = reason
	}
	s.gateway.sockets.mu.Unlock()
	s.cancel(errStreamEnds)
}

// drain ends a subscription, and lets anything else finish until ctx ends.
func (s *stream) drain(ctx context.Context) {
	if !s.streaming {
		select {
		case <-ctx.Done():
		case <-s.done:
		}
	}
	s.end(closeRestart, "the server is stopping")
}

// eventID is the id of the event in an answer whose one field has one: see goOn.
func eventID(data json.RawMessage) string {
	if !bytes.Contains(data, []byte(`"evt_`)) {
		return ""
	}
	var fields map[string]struct{ ID string }
	if json.Unmarshal(data, &fields) != nil {
		return ""
	}
	for _, event := range fields {
		if strings.HasPrefix(event.ID, "evt_") && !strings.ContainsAny(event.ID, "\r\n\x00") {
			return event.ID
		}
	}
	return ""
}

// goOn has a subscription go on after the event that an EventSource has had last, where its
// field takes after from a variable.
func (g *Gateway) goOn(ctx context.Context, r *http.Request, e *envelope) {
	last := r.Header.Get("Last-Event-ID")
	if !strings.HasPrefix(last, "evt_") {
		return
	}
	document, no := g.persisted.find(ctx, e)
	if no != nil {
		return // which prepare tells
	}
	operation, no := document.operation(e.operationName)
	if no != nil || operation.Operation != ast.Subscription || len(operation.SelectionSet) != 1 {
		return
	}
	field, ok := operation.SelectionSet[0].(*ast.Field)
	if !ok {
		return
	}
	if after := field.Arguments.ForName("after"); after != nil && after.Value.Kind == ast.Variable {
		if e.variables == nil {
			e.variables = map[string]any{}
		}
		e.variables[after.Value.Raw] = last
	}
}
