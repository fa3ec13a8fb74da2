package stream

// GraphQL over server-sent events: the distinct connections mode of graphql-sse
// (github.com/enisdenjo/graphql-sse, PROTOCOL.md), with one request for each operation.
// ServeEvents takes it, eventStream.serve sends its responses. A subscription's
// connection is taken from net/http (hijack.go), which keeps its buffers and a large stack
// for as long as a request lasts.
//
// An error in the request itself is refused as everywhere. From the document on
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
	"stoa/gateway/envelope"
	"stoa/gateway/operation"
	"stoa/gateway/refusal"
	"stoa/gateway/wire"
)

// errStreamEnds is the cause by which the end of a stream ends its operation.
var errStreamEnds = errors.New("the stream ends")

// eventStream is one request that is answered by events.
type eventStream struct {
	server    *Server
	out       output
	caller    access.Request
	cancel    context.CancelCauseFunc
	streaming bool          // it is a subscription's
	done      chan struct{} // closed when it has been answered

	writing sync.Mutex // held for each event that goes out
	broken  bool       // nothing more can go out
	ending  string     // why it was cut
}

// ServeEvents answers a request by events.
func (g *Server) ServeEvents(w http.ResponseWriter, r *http.Request, from access.Request) {
	leave, err := g.registry.enter(from.Client.Address)
	if err != nil {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	taken := false // the connection, by a goroutine of its own that leaves
	defer func() {
		if !taken {
			leave()
		}
	}()
	leaveLoad, err := g.pipeline.Enter(from.Client)
	if err != nil {
		g.codec.Refuse(w, r, wire.JSON, refusal.WithHeader(err, "Connection", "close"))
		return
	}
	defer leaveLoad()
	began := time.Now()
	limited, cancelLimit := operation.WithTimeout(context.Background(), began, g.timeout)
	defer cancelLimit()
	scope, _ := g.pipeline.Begin(limited, from)
	asked, err := g.readEnvelope(scope, w, r, began)
	if err != nil {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &eventStream{server: g, caller: from, cancel: cancel, done: make(chan struct{})}
	p, err := g.pipeline.Prepare(scope, asked, func(o *ast.OperationDefinition) error {
		if o.Operation == ast.Subscription {
			resume(r, o, asked)
			return nil
		}
		return operation.CheckMethod(r.Method, o)
	})
	if err != nil && wire.StatusOf(refusal.Code(err)) >= http.StatusBadRequest {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", wire.EventStream.Header())
	h.Set("Cache-Control", "no-store, no-transform") // a proxy that compresses also gathers
	h.Set("X-Accel-Buffering", "no")                 // nginx
	if s.streaming = err == nil && p.Streams(); s.streaming {
		leaveLoad() // it waits from now on, and is counted as a connection
		if raw, err := takeOver(w); err == nil {
			taken = true
			// The originals share the memory of the whole request, and the stream may last for hours.
			s.caller.Token, s.caller.Client.Device = strings.Clone(from.Token), strings.Clone(from.Client.Device)
			hijacked := newHijackedStream(raw, r, h)
			s.out = hijacked
			// A new goroutine has a smaller stack than this one, and no reference to the request.
			go func() {
				defer leave()
				s.serveHijacked(ctx, p, hijacked)
			}()
			return
		}
	}
	// As for other requests, the request's context ends the answer's, but isn't its parent.
	defer context.AfterFunc(r.Context(), func() { cancel(context.Canceled) })()
	if !s.streaming { // it has the time of any other request
		defer context.AfterFunc(limited, func() { cancel(context.Cause(limited)) })()
	}
	s.out = &httpStream{w, http.NewResponseController(w)}
	s.serve(ctx, p, err)
}

// readEnvelope reads r's envelope from the body or the address, depending on its method.
func (g *Server) readEnvelope(ctx context.Context, w http.ResponseWriter, r *http.Request, began time.Time) (*envelope.Envelope, error) {
	if r.Method != http.MethodPost {
		return g.pipeline.ParseAddress(ctx, r.URL.RawQuery)
	}
	body := g.codec.Buffers.Get()
	defer g.codec.Buffers.Put(body)
	if err := g.codec.ReadBody(w, r, body, began); err != nil {
		return nil, err
	}
	wire.ClearReadDeadline(w)
	return g.pipeline.Parse(ctx, body.Bytes())
}

// serve sends the stream from its beginning to its end: the responses to p, or else err.
func (s *eventStream) serve(ctx context.Context, p *operation.Prepared, err error) {
	g := s.server
	defer s.cancel(nil)
	defer close(s.done)
	closed := g.registry.add(s)
	defer g.registry.remove(s)
	if closed && s.streaming {
		s.end(closeRestart, "the server is stopping")
	}
	if s.streaming && s.caller.Token != "" {
		// Nobody's counts as none, as in other requests: it would be cut again and again.
		if signedIn, err := g.signedIn(s.caller.Token); err == nil && !signedIn {
			s.caller.Token = ""
		}
		g.registry.watch(s, s.caller.Token)
	}
	s.write([]byte(":\n\n")) // so that the client knows at once that it is connected
	var alive *time.Timer
	alive = time.AfterFunc(time.Hour, func() {
		if s.write([]byte(":\n\n")) {
			alive.Reset(g.timeouts.Ping)
		}
	})
	alive.Reset(g.timeouts.Ping)
	defer s.shut(alive)
	if err == nil {
		err = s.run(ctx, p)
	}
	switch {
	case context.Cause(ctx) == errStreamEnds:
		s.write([]byte(": " + s.ending + "\n\n"))
	case context.Cause(ctx) == context.Canceled: // nobody listens
	case err != nil:
		s.next("", &graphql.Response{Errors: g.codec.Errors(ctx, err)})
		fallthrough
	default:
		s.write([]byte("event: complete\ndata: \n\n"))
	}
}

// run executes p, sends its responses, and returns the error that ended it.
func (s *eventStream) run(ctx context.Context, p *operation.Prepared) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = s.server.codec.Recover(ctx, cause)
		}
	}()
	begun, err := s.server.pipeline.Subscribe(ctx, s.caller, p)
	for err == nil {
		var response *graphql.Response
		response, err = begun.Next()
		if err != nil || response == nil || !s.next(eventID(response.Data), response) || !s.streaming {
			break
		}
	}
	return err
}

// next sends a response. An EventSource gives the id of the last one back when it comes
// again: see resume.
func (s *eventStream) next(id string, response *graphql.Response) bool {
	buffer := s.server.codec.Buffers.Get()
	defer s.server.codec.Buffers.Put(buffer)
	if id != "" {
		buffer.WriteString("id: " + id + "\n")
	}
	buffer.WriteString("event: next\ndata: ")
	wire.Encode(buffer, response) // without a line end in it, and with one at its end
	buffer.WriteByte('\n')
	return s.write(buffer.Bytes())
}

// write sends text at once. A client that doesn't read in time is left.
func (s *eventStream) write(text []byte) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.broken {
		return false
	}
	if s.out.send(text, time.Now().Add(s.server.timeouts.Write)) != nil {
		s.broken = true
		s.cancel(context.Canceled)
	}
	return !s.broken
}

// shut sees to it that nothing is written once the request has been answered.
func (s *eventStream) shut(alive *time.Timer) {
	alive.Stop()
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.broken {
		s.out.finish(time.Now().Add(s.server.timeouts.Write))
	}
	s.broken = true
}

// end cuts the stream: its client then comes again. Event streams have no codes.
func (s *eventStream) end(_ websocket.StatusCode, reason string) {
	s.server.registry.mu.Lock()
	if s.ending == "" {
		s.ending = reason
	}
	s.server.registry.mu.Unlock()
	s.cancel(errStreamEnds)
}

// drain ends a subscription, and lets anything else finish until ctx ends.
func (s *eventStream) drain(ctx context.Context) {
	if !s.streaming {
		select {
		case <-ctx.Done():
		case <-s.done:
		}
	}
	s.end(closeRestart, "the server is stopping")
}

// eventID is the id of the event in a response with one field that has one: see resume.
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

// resume has a subscription go on after the event that an EventSource has received last, where its
// field takes after from a variable.
func resume(r *http.Request, subscription *ast.OperationDefinition, e *envelope.Envelope) {
	last := r.Header.Get("Last-Event-ID")
	if !strings.HasPrefix(last, "evt_") || len(subscription.SelectionSet) != 1 {
		return
	}
	field, ok := subscription.SelectionSet[0].(*ast.Field)
	if !ok {
		return
	}
	if after := field.Arguments.ForName("after"); after != nil && after.Value.Kind == ast.Variable {
		if e.Variables == nil {
			e.Variables = map[string]any{}
		}
		e.Variables[after.Value.Raw] = last
	}
}

// serveHijacked is serve over a connection that was taken over. It closes it.
func (s *eventStream) serveHijacked(ctx context.Context, p *operation.Prepared, h *hijackedStream) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		h.untilGone()
		s.cancel(context.Canceled)
	}()
	defer func() {
		if cause := recover(); cause != nil {
			s.server.codec.LogPanic(ctx, cause)
		}
		_ = h.raw.Close()
		<-gone
	}()
	s.serve(ctx, p, nil)
}
