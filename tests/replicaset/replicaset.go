// Package replicaset makes a MongoDB-protocol server look like a replica set, for tests of its
// faults: no primary, writes that no majority has, connections that break around a write. It is a
// proxy between the driver and the server.
//
// To the driver it is the only member of the set. It answers hello as one, remembers the replies to
// retryable writes by session and transaction number, and keeps the one order of writes that a
// replica set has. It doesn't imitate reads with a local read concern, several members, or clocks.
//
// It is for tests only, and imports none of our packages. Entry points: Between, the methods of Set.
package replicaset

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// name is the name of every set.
const name = "rs0"

// Set is a replica set of one member, a proxy to a server.
type Set struct {
	listener         net.Listener
	network, address string // of the server
	running          sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]struct{}
	term    int  // goes up with each election
	primary bool // it has a primary
	stalled bool // no majority has the writes of the primary
	waiting []*write
	fault   fault
	replies map[string]bson.Raw // of retryable writes, by session and transaction number
}

// write is a write that the primary has and no majority.
type write struct {
	message []byte
	reply   bson.Raw
	done    chan struct{} // closed when a majority has it
}

// fault is the fate of some writes.
type fault struct {
	collection string
	left       int  // how many there still are
	applied    bool // the connection breaks after the write, not before
}

// Between starts a set before the server at uri, and stops it when t ends.
func Between(t testing.TB, uri string) *Set {
	t.Helper()
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		t.Fatal(err)
	}
	s := &Set{network: "tcp", address: parsed.Hosts[0], conns: map[net.Conn]struct{}{}, term: 1, primary: true, replies: map[string]bson.Raw{}}
	if path, err := url.PathUnescape(s.address); err == nil && strings.HasSuffix(path, ".sock") {
		s.network, s.address = "unix", path
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.running.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

func (s *Set) stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	s.closed = true
	s.cut()
	s.rollBack()
	s.mu.Unlock()
	s.running.Wait()
}

// URI is the address of the set.
func (s *Set) URI() string { return "mongodb://" + s.host() + "/?replicaSet=" + name }

func (s *Set) host() string { return s.listener.Addr().String() }

// StepDown leaves the set without a primary, until Elect. Writes that no majority has are lost.
func (s *Set) StepDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primary, s.stalled = false, false
	s.rollBack()
}

// Elect ends a StepDown.
func (s *Set) Elect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primary = true
	s.term++
}

// Stall keeps writes from reaching a majority, until Release. They are on the primary, and wait for
// the majority until their time is up; readers of the majority don't see them.
func (s *Set) Stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = true
}

// Release ends a Stall: a majority gets the writes in their order.
func (s *Set) Release(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = false
	if len(s.waiting) == 0 {
		return
	}
	server, err := net.Dial(s.network, s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, w := range s.waiting {
		answer, err := exchange(server, w.message)
		if err != nil {
			t.Fatal(err)
		}
		w.reply = slices.Clone(body(answer))
		close(w.done)
	}
	s.waiting = nil
}

// rollBack forgets the writes that no majority has. The caller holds mu.
func (s *Set) rollBack() {
	for _, w := range s.waiting {
		close(w.done)
	}
	s.waiting = nil
}

// Waiting is the number of writes that the primary has and no majority.
func (s *Set) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// BreakBefore breaks the connections of the next n writes to a collection, before the writes are made.
func (s *Set) BreakBefore(collection string, n int) { s.breakAt(fault{collection, n, false}) }

// BreakAfter breaks the connections of the next n writes to a collection after the writes are made,
// without their replies.
func (s *Set) BreakAfter(collection string, n int) { s.breakAt(fault{collection, n, true}) }

func (s *Set) breakAt(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Cut breaks all connections; new ones are accepted at once.
func (s *Set) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut()
}

func (s *Set) cut() {
	for c := range s.conns {
		_ = c.Close()
	}
	clear(s.conns)
}

func (s *Set) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() {
			defer client.Close()
			server, err := net.Dial(s.network, s.address)
			if err != nil {
				return
			}
			defer server.Close()
			s.mu.Lock()
			if s.closed {
				s.mu.Unlock()
				return
			}
			s.conns[client], s.conns[server] = struct{}{}, struct{}{}
			s.mu.Unlock()
			for s.serve(client, server) == nil {
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, client)
			delete(s.conns, server)
		})
	}
}

// serve answers one message of client.
func (s *Set) serve(client, server net.Conn) error {
	message, err := read(client)
	if err != nil {
		return err
	}
	var answer []byte
	if binary.LittleEndian.Uint32(message[12:]) == opQuery { // drivers send their first hello in it
		answer, err = s.asMember(exchange(server, message))
	} else {
		answer, err = s.answer(server, message)
	}
	if err != nil {
		return err
	}
	_, err = client.Write(answer)
	return err
}

// Codes of MongoDB's errors.
const (
	notWritablePrimary      = 10107
	notPrimaryNoSecondaryOK = 13435
	maxTimeMSExpired        = 50
)

// answer returns the answer to a command in an OP_MSG.
func (s *Set) answer(server net.Conn, message []byte) ([]byte, error) {
	command := body(message)
	first, err := command.IndexErr(0)
	if err != nil {
		return nil, err
	}
	writes, reads := false, false
	switch first.Key() {
	case "hello", "isMaster", "ismaster":
		return s.asMember(exchange(server, message))
	case "insert", "update", "delete", "createIndexes", "dropIndexes", "drop":
		writes = true
	case "find", "aggregate", "distinct", "getMore", "listIndexes", "listCollections":
		reads = true
	}
	collection, _ := first.Value().StringValueOK()
	transaction := ""
	if number, err := command.LookupErr("txnNumber"); err == nil {
		transaction = fmt.Sprintf("%x/%d", command.Lookup("lsid").Value, number.AsInt64())
		message = without(message, "txnNumber")
	}
	s.mu.Lock()
	known, repeated := s.replies[transaction]
	fails, applied := writes && s.fault.left > 0 && s.fault.collection == collection, s.fault.applied
	if fails {
		s.fault.left--
	}
	primary := s.primary
	var w *write
	if writes && primary && s.stalled && !repeated && !fails {
		w = &write{message: message, done: make(chan struct{})}
		s.waiting = append(s.waiting, w)
	}
	s.mu.Unlock()
	switch {
	case !primary && writes:
		labels := bson.A{}
		if transaction != "" {
			labels = append(labels, "RetryableWriteError")
		}
		return reply(message, bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: "not primary"}, {Key: "code", Value: int32(notWritablePrimary)},
			{Key: "codeName", Value: "NotWritablePrimary"}, {Key: "errorLabels", Value: labels}})
	case !primary && reads:
		return reply(message, bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: "not primary and secondaryOk=false"}, {Key: "code", Value: int32(notPrimaryNoSecondaryOK)},
			{Key: "codeName", Value: "NotPrimaryNoSecondaryOk"}})
	case fails && !applied:
		return nil, io.ErrUnexpectedEOF
	case repeated:
		return reply(message, known)
	case w != nil:
		return s.awaitMajority(command, w)
	}
	answer, err := exchange(server, message)
	if err != nil {
		return nil, err
	}
	s.remember(transaction, body(answer))
	if fails {
		return nil, io.ErrUnexpectedEOF
	}
	return answer, nil
}

// remember stores the reply to a retryable write.
func (s *Set) remember(transaction string, reply bson.Raw) {
	if transaction == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies[transaction] = slices.Clone(reply)
}

// awaitMajority returns the answer to a write once a majority has it, or when its time is up: then
// the write has been made on the primary.
func (s *Set) awaitMajority(command bson.Raw, w *write) ([]byte, error) {
	var limit <-chan time.Time // for ever without a time limit
	if value, err := command.LookupErr("maxTimeMS"); err == nil {
		limit = time.After(time.Duration(value.AsInt64()) * time.Millisecond)
	}
	select {
	case <-w.done:
		if w.reply == nil {
			return nil, io.ErrUnexpectedEOF
		}
		return reply(w.message, w.reply)
	case <-limit:
		return reply(w.message, bson.D{{Key: "n", Value: int32(1)}, {Key: "nModified", Value: int32(1)}, {Key: "ok", Value: 1.0},
			{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: int32(maxTimeMSExpired)}, {Key: "codeName", Value: "MaxTimeMSExpired"}, {Key: "errmsg", Value: "operation exceeded time limit"}}}})
	}
}

// asMember turns the answer to a hello into that of the member.
func (s *Set) asMember(answer []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	at := offset(answer)
	document := bson.D{}
	if err := bson.Unmarshal(answer[at:], &document); err != nil {
		return nil, err
	}
	s.mu.Lock()
	primary, term := s.primary, s.term
	s.mu.Unlock()
	for i, e := range document {
		if e.Key == "isWritablePrimary" || e.Key == "ismaster" {
			document[i].Value = primary
		}
	}
	document = append(document, bson.D{
		{Key: "setName", Value: name}, {Key: "setVersion", Value: int32(1)}, {Key: "hosts", Value: bson.A{s.host()}},
		{Key: "me", Value: s.host()}, {Key: "secondary", Value: !primary},
	}...)
	if primary {
		document = append(document, bson.E{Key: "primary", Value: s.host()}, bson.E{Key: "electionId", Value: bson.ObjectID{11: byte(term)}})
	}
	return with(answer, at, document)
}

// Messages of MongoDB's wire protocol:
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/.
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013

	header     = 16          // the length, two numbers and the operation
	msgBody    = header + 5  // in an OP_MSG whose first section is the body: flags and the section's kind
	replyBody  = header + 20 // in an OP_REPLY: flags, cursor, and two numbers
	maxMessage = 48_000_000
)

// read reads a message.
func read(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size <= msgBody || size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	message := make([]byte, size)
	copy(message, length[:])
	_, err := io.ReadFull(from, message[len(length):])
	return message, err
}

// exchange sends a message to server and returns its answer.
func exchange(server net.Conn, message []byte) ([]byte, error) {
	if _, err := server.Write(message); err != nil {
		return nil, err
	}
	return read(server)
}

// offset is the place of the first document in a message. The driver puts the body of an OP_MSG first.
func offset(message []byte) int {
	if binary.LittleEndian.Uint32(message[12:]) == opReply {
		return replyBody
	}
	return msgBody
}

// body is the first document in a message.
func body(message []byte) bson.Raw {
	at := offset(message)
	return bson.Raw(message[at : at+int(binary.LittleEndian.Uint32(message[at:]))])
}

// with returns message with another first document.
func with(message []byte, at int, document any) ([]byte, error) {
	raw, err := bson.Marshal(document)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(message[:at], raw, message[at+len(body(message)):])
	binary.LittleEndian.PutUint32(out, uint32(len(out)))
	return out, nil
}

// without returns message without a field of its body.
func without(message []byte, field string) []byte {
	at := offset(message)
	elements, err := body(message).Elements()
	if err != nil {
		return message
	}
	start, raw := bsoncore.AppendDocumentStart(nil)
	for _, e := range elements {
		if e.Key() != field {
			raw = append(raw, e...)
		}
	}
	if raw, err = bsoncore.AppendDocumentEnd(raw, start); err != nil {
		return message
	}
	out := slices.Concat(message[:at], raw, message[at+len(body(message)):])
	binary.LittleEndian.PutUint32(out, uint32(len(out)))
	return out
}

// reply returns an OP_MSG with a document, in answer to a message.
func reply(to []byte, document any) ([]byte, error) {
	out := make([]byte, msgBody)
	copy(out[8:12], to[4:8]) // the number of the message that it answers
	binary.LittleEndian.PutUint32(out[12:], opMsg)
	raw, err := bson.Marshal(document)
	out = append(out, raw...)
	binary.LittleEndian.PutUint32(out, uint32(len(out)))
	return out, err
}
