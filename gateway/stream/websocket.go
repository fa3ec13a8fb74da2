package stream

// One WebSocket connection: the client's messages (webSocket.serve), the operations that run
// (webSocket.run), and its end (webSocket.end), in the words of graphql-transport-ws.
//
// An idle connection has one goroutine, for reading. Answers are written by the goroutines
// of their operations, one at a time, so that the number of messages that wait is bounded by how
// many operations there may be.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/clip"
	"stoa/gateway/client"
	"stoa/gateway/envelope"
	"stoa/gateway/operation"
	"stoa/gateway/refusal"
	"stoa/gateway/wire"
)

// Why a connection is closed. The client of graphql-ws (6.4.2, shouldRetryConnectOrThrow)
// connects again after those that it doesn't take for fatal, asking its connectionParams
// anew, and sends operations without an answer again.
const (
	closeRestart      = websocket.StatusServiceRestart // the server stops; it connects again
	closeTryLater     = websocket.StatusTryAgainLater  // the token can't be looked up now; it connects again
	closeInvalid      = websocket.StatusCode(4400)     // a message that can't be understood; fatal
	closeUnauthorized = websocket.StatusCode(4401)     // subscribe before connection_ack; fatal
	// closeForbidden is for a token that is nobody's, at first or no longer. It connects
	// again, with the chance of a new token; after 4401 it would give up.
	closeForbidden   = websocket.StatusCode(4403)
	closeInitTimeout = websocket.StatusCode(4408) // no connection_init, or a message that takes too long; it connects again
	closeDuplicate   = websocket.StatusCode(4409) // an operation's id that is taken; fatal
	closeTwoInits    = websocket.StatusCode(4429) // a second connection_init; fatal
	closeInternal    = websocket.StatusCode(4500) // our fault; fatal
	// closeTooMuch is for pings and other messages without an end; fatal.
	closeTooMuch = websocket.StatusPolicyViolation
)

const (
	// initTime is how long a client may take to introduce itself: the default of graphql-ws.
	initTime = 3 * time.Second

	// pingEvery is below the 60 s that proxies usually wait for a silent
	// connection; pongTime is how long the answer may take.
	pingEvery = 27 * time.Second
	pongTime  = 10 * time.Second

	// closeTime bounds the end of a connection with a client that doesn't answer.
	closeTime = 5 * time.Second

	// maxOperations is how many may run at once over one connection. A page has a handful.
	maxOperations = 100

	// maxOperationID is in bytes; clients send UUIDs.
	maxOperationID = 256
)

// webSocket is one connection.
type webSocket struct {
	server *Server
	conn   *websocket.Conn
	raw    net.Conn       // below conn, to set deadlines
	meter  *meter         // of the bytes that come over raw
	caller access.Request // by the handshake, then by connection_init

	writing sync.Mutex // held for each message that goes out
	ending  sync.Once

	mu         sync.Mutex
	introduced bool // connection_init has come
	known      bool // and was acknowledged
	ended      bool // nothing more is taken
	operations map[string]*request
	running    int // operations, those that were cancelled but haven't ended among them
	bytes      int // of their messages
	idle       chan struct{}
}

// request is an operation that runs.
type request struct {
	id        string
	bytes     int
	cancel    context.CancelFunc
	streaming bool
}

// serve takes the client's messages until the connection ends, and returns when nothing runs
// for it any more.
func (s *webSocket) serve() {
	all, timeouts := s.server.registry, s.server.timeouts
	if all.add(s) {
		go s.end(closeRestart, "the server is stopping")
	}
	init := time.AfterFunc(timeouts.Init, s.expectInit)
	var ping *time.Timer
	ping = time.AfterFunc(time.Hour, func() { s.ping(ping) })
	ping.Reset(timeouts.Ping)
	defer func() {
		if p := recover(); p != nil {
			ctx := context.Background()
			s.server.codec.LogPanic(ctx, p)
			s.end(closeInternal, "something went wrong")
		}
		init.Stop()
		ping.Stop()
		all.remove(s)
		_ = s.raw.Close()
		s.end(websocket.StatusNormalClosure, "") // or waits for an earlier call
		_ = s.conn.CloseNow()
		<-s.cancelAll()
	}()
	for s.receive() {
	}
}

// receive takes one message. It returns false when no further one can come.
func (s *webSocket) receive() bool {
	kind, reader, err := s.conn.Reader(context.Background())
	if err != nil {
		if s.meter.isOver() {
			s.tooMuch()
		}
		return false
	}
	buffer := s.server.codec.Buffers.Get()
	defer s.server.codec.Buffers.Put(buffer)
	// Once begun it must come as quickly as a request's body.
	late := time.AfterFunc(s.server.timeout, func() { s.end(closeInitTimeout, "a message took too long to arrive") })
	err = s.meter.read(buffer, reader)
	late.Stop()
	if errors.Is(err, websocket.ErrMessageTooBig) {
		s.end(websocket.StatusMessageTooBig, "") // the library has said so
	}
	if err != nil {
		if s.meter.isOver() {
			s.tooMuch()
		}
		return false
	}
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended {
		return true // read on, for the client's part of the end
	}
	if kind != websocket.MessageText {
		s.end(closeInvalid, "messages are text: this one was binary")
		return false
	}
	return s.handle(buffer.Bytes())
}

// handle follows one message. It returns false when it has ended the connection.
func (s *webSocket) handle(text []byte) bool {
	m, err := envelope.ParseMessage(text)
	if err != nil {
		ctx, _ := s.server.pipeline.Begin(context.Background(), s.caller)
		_ = s.server.pipeline.ConsumeEnvelope(ctx, len(text)) // the connection ends either way
		return s.invalid("the message", err)
	}
	if m.Type == "subscribe" {
		return s.subscribe(m.ID, m.Payload)
	}
	if !s.meter.spend(len(text)) {
		return s.tooMuch()
	}
	switch m.Type {
	case "connection_init":
		s.meter.giveBack(len(text)) // a second one ends the connection
		return s.introduce(m.Payload)
	case "ping":
		return s.pong(m.Payload)
	case "pong":
		return true
	case "complete":
		if s.forget(m.ID) {
			s.meter.giveBack(len(text) + frameHeader)
		}
		return true
	case "":
		s.end(closeInvalid, "the message has no type")
	default:
		s.end(closeInvalid, fmt.Sprintf("there is no message of type %q", refusal.ClipName(m.Type)))
	}
	return false
}

// invalid ends the connection for a message that can't be understood. The refusal speaks of
// the body of a POST, and what takes its place.
func (s *webSocket) invalid(what string, err error) bool {
	s.end(closeInvalid, strings.Replace(err.Error(), "the body", what, 1))
	return false
}

// introduce takes the caller's token from the payload of connection_init. A token there replaces the
// credentials of the handshake. It is false if the connection was ended.
func (s *webSocket) introduce(payload []byte) bool {
	s.mu.Lock()
	again := s.introduced
	s.introduced = true
	s.mu.Unlock()
	if again {
		s.end(closeTwoInits, "there was a connection_init before")
		return false
	}
	token, reason := tokenOfParams(payload)
	if reason != "" {
		s.end(closeInvalid, reason)
		return false
	}
	given := token != ""
	if given {
		s.server.clients.Use(token)
		s.caller.Token = token
	}
	if s.caller.Token != "" {
		signedIn, err := s.server.signedIn(s.caller.Token)
		switch {
		case err != nil && given:
			s.end(closeTryLater, "the token can't be checked now")
			return false
		case err != nil: // each answer asks again, and so does the watcher
		case !signedIn && given:
			s.end(closeForbidden, "the token is nobody's: it has ended, or never was one")
			return false
		case !signedIn:
			s.caller.Token = "" // as where a request brings such a cookie
		}
	}
	s.server.registry.watch(s, s.caller.Token)
	s.mu.Lock()
	s.known = true
	s.mu.Unlock()
	return s.write([]byte(`{"type":"connection_ack"}`))
}

// tokenOfParams reads {"authorization": "Bearer TOKEN"} or {"token": "TOKEN"}, "" and null
// standing for none: pages write them so for a visitor without a session.
func tokenOfParams(payload []byte) (token, reason string) {
	if len(payload) == 0 || string(payload) == "null" {
		return "", ""
	}
	var params map[string]any
	if json.Unmarshal(payload, &params) != nil {
		return "", "connection_init: the payload must be an object"
	}
	for _, name := range slices.Sorted(maps.Keys(params)) { // each time the same of two
		value := params[name]
		if strings.EqualFold(name, "authorization") && value != nil && value != "" {
			credentials, ok := value.(string)
			if !ok {
				return "", "connection_init: authorization must be a string such as Bearer TOKEN"
			}
			token, ok, err := client.Bearer(credentials)
			if err != nil {
				return "", "connection_init: authorization must be Bearer TOKEN, with a token that could be one"
			}
			if ok {
				return token, ""
			}
		}
	}
	switch value := params["token"].(type) {
	case nil:
		return "", ""
	case string:
		if value != "" && !client.ValidToken(value) {
			return "", "connection_init: token can't be a token"
		}
		return value, ""
	default:
		return "", "connection_init: token must be a string"
	}
}

// pong answers a ping of the protocol's, with its payload.
func (s *webSocket) pong(payload []byte) bool {
	if len(payload) == 0 {
		return s.write([]byte(`{"type":"pong"}`))
	}
	return s.write(bytes.Join([][]byte{[]byte(`{"type":"pong","payload":`), payload, []byte("}")}, nil))
}

// subscribe begins an operation. The message is read, parsed and checked here and not beside
// others, so that one connection takes the memory for that once.
func (s *webSocket) subscribe(id string, payload []byte) bool {
	if id == "" || len(id) > maxOperationID {
		s.end(closeInvalid, fmt.Sprintf("subscribe: the id must be a string of 1 to %d bytes", maxOperationID))
		return false
	}
	s.mu.Lock()
	known, taken, ended := s.known, s.operations[id] != nil, s.ended
	full := s.running >= maxOperations || s.running > 0 && int64(s.bytes+len(payload)) > s.server.maxBody
	s.mu.Unlock()
	switch {
	case !known:
		s.end(closeUnauthorized, "subscribe came before connection_ack")
		return false
	case taken:
		s.end(closeDuplicate, fmt.Sprintf("there is an operation with the id %s", refusal.ClipName(id)))
		return false
	case ended:
		return true
	}
	s.server.clients.Use(s.caller.Token)
	if full {
		return s.refuse(id, refusal.New(refusal.TooManyOperations, "too much runs over this connection, where there may be %d operations with %d bytes: wait for some to complete", maxOperations, s.server.maxBody), len(payload))
	}
	ctx, _ := s.server.pipeline.Begin(context.Background(), s.caller)
	asked, err := s.server.pipeline.Parse(ctx, payload)
	if err != nil && refusal.Code(err) == refusal.BadRequest {
		return s.invalid("subscribe: the payload", err)
	}
	if err != nil {
		return s.refuse(id, err, len(payload))
	}
	prepared, err := s.server.pipeline.Prepare(ctx, asked, func(*ast.OperationDefinition) error { return nil })
	if err != nil {
		return s.refuse(id, err, len(payload))
	}
	s.meter.giveBack(frameHeader)
	ctx, cancel := context.WithCancel(context.Background())
	o := &request{id: id, bytes: len(payload), cancel: cancel, streaming: prepared.Streams()}
	if !o.streaming {
		cancel()
		ctx, o.cancel = operation.WithTimeout(context.Background(), time.Now(), s.server.timeout)
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		o.cancel()
		return true
	}
	if s.operations == nil {
		s.operations = map[string]*request{}
	}
	s.operations[id] = o
	s.running++
	s.bytes += o.bytes
	s.mu.Unlock()
	go s.run(ctx, o, prepared)
	return true
}

// refuse is fail for an operation of a payload of so many bytes. One that used none of the client's rates
// counts as unasked.
func (s *webSocket) refuse(id string, err error, bytes int) bool {
	free := refusal.Code(err) == refusal.Throttled || refusal.Code(err) == refusal.TooManyOperations
	if free && !s.meter.spend(refusedMessage+bytes/refusedShare) {
		return s.tooMuch()
	}
	return s.fail(id, err)
}

// tooMuch ends a connection with more messages than its operations need. It returns false.
func (s *webSocket) tooMuch() bool {
	s.end(closeTooMuch, fmt.Sprintf("more than %d bytes came at once, or %d a second, that belong to no operation", unaskedBurst, unaskedRate))
	return false
}

// fail refuses an operation that hasn't begun.
func (s *webSocket) fail(id string, err error) bool {
	return s.write(s.errorMessage(context.Background(), id, err))
}

// run starts o, and has its responses sent. A subscription waits in a goroutine of its own,
// with a small stack.
func (s *webSocket) run(ctx context.Context, o *request, p *operation.Prepared) {
	var begun *operation.Responses
	err := s.guarded(ctx, func() (err error) {
		begun, err = s.server.pipeline.Subscribe(ctx, s.caller, p)
		return err
	})
	if o.streaming {
		go s.tell(ctx, o, begun, err)
		return
	}
	s.tell(ctx, o, begun, err)
}

// guarded makes a refusal of a panic in do.
func (s *webSocket) guarded(ctx context.Context, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.server.codec.Recover(ctx, p)
		}
	}()
	return do()
}

// tell sends the responses to o, and the error that ended it.
func (s *webSocket) tell(ctx context.Context, o *request, begun *operation.Responses, err error) {
	defer s.done(o)
	defer o.cancel()
	if err == nil {
		err = s.guarded(ctx, func() (err error) {
			for {
				response, err := begun.Next()
				if err != nil || response == nil {
					return err
				}
				if !s.send(o, func() []byte { return s.nextMessage(o.id, response) }) || !o.streaming {
					return nil
				}
			}
		})
	}
	if o.streaming && ctx.Err() != nil {
		return // the connection ends, and the client subscribes again over another
	}
	if err != nil {
		s.sendLast(o, func() []byte { return s.errorMessage(ctx, o.id, err) })
		return
	}
	s.sendLast(o, func() []byte {
		return s.encode(func(b *bytes.Buffer) { envelop(b, o.id, "complete", nil) })
	})
}

func (s *webSocket) nextMessage(id string, response *graphql.Response) []byte {
	return s.encode(func(b *bytes.Buffer) { envelop(b, id, "next", func() { wire.Encode(b, response) }) })
}

func (s *webSocket) errorMessage(ctx context.Context, id string, err error) []byte {
	errs := s.server.codec.Errors(ctx, err)
	return s.encode(func(b *bytes.Buffer) {
		envelop(b, id, "error", func() { wire.EncodeValue(b, errs) })
	})
}

// encode returns the bytes that write writes. It is a copy: buffers that can be used again are worth
// more than one allocation less.
func (s *webSocket) encode(write func(*bytes.Buffer)) []byte {
	buffer := s.server.codec.Buffers.Get()
	defer s.server.codec.Buffers.Put(buffer)
	write(buffer)
	return bytes.Clone(buffer.Bytes())
}

// envelop writes a message about an operation around the bytes of payload.
func envelop(b *bytes.Buffer, id, kind string, payload func()) {
	b.WriteString(`{"id":`)
	wire.EncodeValue(b, id)
	b.WriteString(`,"type":"` + kind + `"`)
	if payload != nil {
		b.WriteString(`,"payload":`)
		payload()
	}
	b.WriteByte('}')
}

// send sends a message about o, unless the client has completed it: its id may be another's
// by then. It returns false when nothing more is to be sent.
func (s *webSocket) send(o *request, message func() []byte) bool {
	text := message()
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	current := s.operations[o.id] == o
	s.mu.Unlock()
	return current && s.writeNow(text)
}

// sendLast sends the last message about o. Its id is free before the client can know.
func (s *webSocket) sendLast(o *request, message func() []byte) {
	text := message()
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	current := s.operations[o.id] == o
	if current {
		delete(s.operations, o.id)
	}
	s.mu.Unlock()
	if current {
		s.writeNow(text)
	}
}

// write sends a message about nothing that runs.
func (s *webSocket) write(text []byte) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.writeNow(text)
}

// writeNow sends text. The caller holds s.writing. If the client doesn't read in time, its connection
// is closed and the result is false.
func (s *webSocket) writeNow(text []byte) bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.server.timeouts.Write)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, text); err != nil {
		_ = s.raw.Close()
		return false
	}
	return true
}

// forget cancels an operation that the client has completed. It returns false if there is none.
func (s *webSocket) forget(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.operations[id]
	if o != nil {
		delete(s.operations, id)
		o.cancel()
	}
	return o != nil
}

// done notes that o runs no longer.
func (s *webSocket) done(o *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.operations[o.id] == o {
		delete(s.operations, o.id)
	}
	s.running--
	s.bytes -= o.bytes
	if s.running == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// quiet takes nothing more and cancels the operations that choose says. It returns a channel
// that is closed when none runs.
func (s *webSocket) quiet(choose func(*request) bool) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, o := range s.operations {
		if choose(o) {
			o.cancel()
		}
	}
	if s.running == 0 {
		none := make(chan struct{})
		close(none)
		return none
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	return s.idle
}

func (s *webSocket) cancelAll() <-chan struct{} {
	return s.quiet(func(*request) bool { return true })
}

// drain lets operations finish until ctx ends, then ends the connection.
func (s *webSocket) drain(ctx context.Context) {
	select {
	case <-s.quiet(func(o *request) bool { return o.streaming }):
	case <-ctx.Done():
	}
	stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() })
	defer stop()
	s.end(closeRestart, "the server is stopping")
}

// end closes the connection and tells the client why, once; later calls wait for the first.
// The deadline is for a client that doesn't read, or sends on without end: the library waits
// for its part without one.
func (s *webSocket) end(code websocket.StatusCode, reason string) {
	s.ending.Do(func() {
		s.cancelAll()
		_ = s.raw.SetDeadline(time.Now().Add(s.server.timeouts.End))
		_ = s.conn.Close(code, clipReason(reason))
		_ = s.raw.Close()
	})
}

// clipReason cuts a reason to the 123 bytes that a close frame has room for (RFC 6455,
// section 5.5).
func clipReason(reason string) string {
	const most = 123
	if len(reason) <= most {
		return reason
	}
	return clip.Bytes(reason, most-len("…")) + "…"
}

// expectInit ends a connection without a connection_init.
func (s *webSocket) expectInit() {
	s.mu.Lock()
	introduced := s.introduced
	s.mu.Unlock()
	if !introduced {
		s.end(closeInitTimeout, fmt.Sprintf("no connection_init came within %s", s.server.timeouts.Init))
	}
}

// ping leaves a client that is no longer there, or else comes again. While a message is on
// its way that one's time limit does the same.
func (s *webSocket) ping(again *time.Timer) {
	if s.writing.TryLock() {
		s.writing.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), s.server.timeouts.Pong)
		defer cancel()
		if s.conn.Ping(ctx) != nil {
			_ = s.raw.Close()
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		again.Reset(s.server.timeouts.Ping)
	}
}
