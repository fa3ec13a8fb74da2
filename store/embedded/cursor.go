//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file returns results in batches. Entry points: Server.reply, Server.getMore, cursors.

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

const (
	// defaultBatch is the number of documents in a first batch without a batchSize, as in MongoDB.
	defaultBatch = 101

	// maxBatchBytes bounds the documents of one reply to 16 MiB, as MongoDB does.
	maxBatchBytes = 16 << 20

	// cursorIdle bounds the time that a cursor waits for its client. MongoDB gives 10 minutes; here
	// a cursor keeps its snapshot, and with it every older page of the file.
	cursorIdle = time.Minute

	// maxCursors is the number of cursors that can wait at once: each has a connection to the file.
	maxCursors = 32
)

// source gives documents one by one; ok is false at the end.
type source func() (document []byte, ok bool, err error)

// cursor is a result with a part still to be returned.
type cursor struct {
	id        int64
	namespace namespace
	owner     []byte   // the logical session of the command; nil for none
	session   *session // its snapshot; nil for a result in memory
	next      source
	waiting   []byte // a document without room in the last batch
	used      time.Time
}

// cursors are the cursors that wait.
type cursors struct {
	storage *storage
	mu      sync.Mutex
	all     map[int64]*cursor
	sweeper *time.Timer
	closed  bool
}

func newCursors(st *storage) *cursors { return &cursors{storage: st, all: map[int64]*cursor{}} }

// add stores a cursor until it is taken.
func (c *cursors) add(k *cursor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.all) >= maxCursors {
		return fail(codeInternal, "more than %d cursors are open: read them to their end, or close them", maxCursors)
	}
	if k.id == 0 {
		k.id = rand.Int64N(1<<62) + 1
	}
	k.used = time.Now()
	c.all[k.id] = k
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(cursorIdle, c.sweep)
	}
	return nil
}

// take returns a cursor, which belongs to the caller from now on; nil if there is none.
func (c *cursors) take(id int64, n namespace) *cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.all[id]
	if k == nil || k.namespace != n {
		return nil
	}
	delete(c.all, id)
	return k
}

// sweep ends the cursors whose clients haven't asked for more within cursorIdle.
func (c *cursors) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(func(k *cursor) bool { return time.Since(k.used) >= cursorIdle })
	c.sweeper = nil
	if len(c.all) > 0 {
		c.sweeper = time.AfterFunc(cursorIdle/4, c.sweep)
	}
}

// end ends the cursors for which the function returns true. The caller holds mu.
func (c *cursors) end(which func(*cursor) bool) {
	for id, k := range c.all {
		if which(k) {
			delete(c.all, id)
			k.close(c.storage)
		}
	}
}

func (k *cursor) close(st *storage) {
	if k.session != nil {
		st.release(k.session)
	}
}

func (c *cursors) endSession(owner []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(func(k *cursor) bool { return bytes.Equal(k.owner, owner) })
}

func (c *cursors) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	c.end(func(*cursor) bool { return true })
}

// batch makes a reply with the first batch of k's documents. more says that documents are left;
// then the caller stores the cursor, and writes its number into the reply by setCursor.
func (k *cursor) batch(name string, size int64, single bool) (body []byte, more bool, err error) {
	at, b := bsoncore.AppendDocumentStart(make([]byte, 0, 4096))
	inner, b := bsoncore.AppendDocumentElementStart(b, "cursor")
	b = bsoncore.AppendInt64Element(b, "id", 0)
	b = bsoncore.AppendStringElement(b, "ns", k.namespace.String())
	list, b := bsoncore.AppendArrayElementStart(b, name)
	began := len(b)
	more = true
	for n := int64(0); n < size; n++ {
		document, ok := k.waiting, true
		if k.waiting = nil; document == nil {
			if document, ok, err = k.next(); err != nil {
				return nil, false, err
			}
		}
		if !ok {
			more = false
			break
		}
		if n > 0 && len(b)-began+len(document) > maxBatchBytes {
			k.waiting = document
			break
		}
		b = bsoncore.AppendHeader(b, bsoncore.TypeEmbeddedDocument, strconv.FormatInt(n, 10))
		b = append(b, document...)
	}
	b = endDocument(b, list)
	b = endDocument(b, inner)
	b = bsoncore.AppendDoubleElement(b, "ok", 1)
	return endDocument(b, at), more && !single, nil
}

// cursorAt is the position of the cursor's number in a reply of batch: after the length of the
// reply, the header of cursor and its length, and the header of id.
const cursorAt = 4 + 1 + len("cursor\x00") + 4 + 1 + len("id\x00")

func setCursor(body []byte, id int64) {
	copy(body[cursorAt:], bsoncore.AppendInt64(nil, id))
}

// listed is the reply with documents that are in memory.
func (s *Server) listed(_ context.Context, req *request, n namespace, documents [][]byte, size int64) ([]byte, error) {
	k := &cursor{namespace: n, owner: req.owner(), next: list(documents)}
	body, more, err := k.batch("firstBatch", size, false)
	if err != nil || !more {
		return body, err
	}
	if err := s.cursors.add(k); err != nil {
		return nil, err
	}
	setCursor(body, k.id)
	return body, nil
}

func list(documents [][]byte) source {
	return func() ([]byte, bool, error) {
		if len(documents) == 0 {
			return nil, false, nil
		}
		first := documents[0]
		documents = documents[1:]
		return first, true, nil
	}
}

// owner is the logical session of a command; nil for none.
func (req *request) owner() []byte {
	v, _ := field(req.body, "lsid")
	if v.Type != bsoncore.TypeEmbeddedDocument {
		return nil
	}
	return bytes.Clone(v.Data)
}

func readCursor(v bsoncore.Value, size *int64) error {
	var d []byte
	if err := readDocument("cursor", v, &d); err != nil {
		return err
	}
	return eachField(d, func(name string, v bsoncore.Value) error {
		if name != "batchSize" {
			return fail(codeUnknownField, "BSON field 'cursor.%s' is an unknown field", name)
		}
		return readCount(name, v, size)
	})
}

// getMore is the getMore command.
func (s *Server) getMore(ctx context.Context, req *request) ([]byte, error) {
	var id int64
	v, _ := field(req.body, "getMore")
	if err := readInt("getMore", v, &id); err != nil {
		return nil, err
	}
	n := namespace{database: req.database}
	size := int64(1) << 62
	err := req.fields(func(name string, v bsoncore.Value) error {
		switch name {
		case "collection":
			return readString(name, v, &n.collection)
		case "batchSize":
			if err := readCount(name, v, &size); err != nil {
				return err
			}
			if size == 0 {
				size = 1 << 62
			}
			return nil
		}
		return req.unknown(name)
	})
	if err != nil {
		return nil, err
	}
	k := s.cursors.take(id, n)
	if k == nil {
		return nil, fail(codeCursorNotFound, "cursor id %d not found", id)
	}
	var body []byte
	more := false
	batch := func() (err error) {
		body, more, err = k.batch("nextBatch", size, false)
		return err
	}
	if k.session == nil {
		err = batch()
	} else {
		err = s.storage.resume(ctx, k.session, batch)
		s.count(k.session)
	}
	if err == nil && more {
		err = s.cursors.add(k)
	}
	if err != nil || !more {
		k.close(s.storage)
		return body, err
	}
	setCursor(body, k.id)
	return body, nil
}

// killCursors is the killCursors command.
func (s *Server) killCursors(_ context.Context, req *request) ([]byte, error) {
	n := namespace{req.database, req.collection}
	var ids []int64
	err := req.fields(func(name string, v bsoncore.Value) error {
		if name != "cursors" {
			return req.unknown(name)
		}
		if v.Type != bsoncore.TypeArray {
			return wrongType(name, v, "an array")
		}
		var err error
		eachElement(v.Data, func(_ int, e bsoncore.Value) bool {
			var id int64
			err = readInt("cursors", e, &id)
			ids = append(ids, id)
			return err != nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	var killed, absent []int64
	for _, id := range ids {
		k := s.cursors.take(id, n)
		if k == nil {
			absent = append(absent, id)
			continue
		}
		k.close(s.storage)
		killed = append(killed, id)
	}
	return done(func(b []byte) []byte {
		for _, l := range []struct {
			name string
			ids  []int64
		}{{"cursorsKilled", killed}, {"cursorsNotFound", absent}, {"cursorsAlive", nil}, {"cursorsUnknown", nil}} {
			at, c := bsoncore.AppendArrayElementStart(b, l.name)
			for i, id := range l.ids {
				c = bsoncore.AppendInt64Element(c, strconv.Itoa(i), id)
			}
			b = endDocument(c, at)
		}
		return b
	}), nil
}
