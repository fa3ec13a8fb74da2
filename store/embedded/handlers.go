//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file runs commands. Entry points: Server.carryOut, and the table of commands. A field or
// value unknown to a command is refused, never ignored.

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// command is a command that the server knows.
type command struct {
	do     func(s *Server, ctx context.Context, req *request) (body []byte, err error)
	writes bool // it changes data or schema
}

// commands returns the row of the table for a name. It is a function, since a variable would depend
// on itself: a handler looks up the command that it explains.
func commands(name string) (command, bool) {
	switch name {
	case "hello", "isMaster", "ismaster":
		return command{do: (*Server).hello}, true
	case "ping":
		return command{do: (*Server).ping}, true
	case "buildInfo", "buildinfo":
		return command{do: (*Server).buildInfo}, true
	case "serverStatus":
		return command{do: (*Server).serverStatus}, true
	case "endSessions":
		return command{do: (*Server).endSessions}, true
	case "find":
		return command{do: (*Server).find}, true
	case "getMore":
		return command{do: (*Server).getMore}, true
	case "killCursors":
		return command{do: (*Server).killCursors}, true
	case "aggregate":
		return command{do: (*Server).aggregate}, true
	case "distinct":
		return command{do: (*Server).distinct}, true
	case "explain":
		return command{do: (*Server).explain}, true
	case "insert":
		return command{(*Server).insert, true}, true
	case "update":
		return command{(*Server).update, true}, true
	case "delete":
		return command{(*Server).delete, true}, true
	case "listIndexes":
		return command{do: (*Server).listIndexes}, true
	case "createIndexes":
		return command{(*Server).createIndexes, true}, true
	case "dropIndexes":
		return command{(*Server).dropIndexes, true}, true
	case "listCollections":
		return command{do: (*Server).listCollections}, true
	case "listDatabases":
		return command{do: (*Server).listDatabases}, true
	case "drop":
		return command{(*Server).drop, true}, true
	case "dropDatabase":
		return command{(*Server).dropDatabase, true}, true
	}
	return command{}, false
}

// writes reports whether a command changes data or schema.
func writes(name string) bool {
	c, _ := commands(name)
	return c.writes
}

// carryOut runs a command and returns its reply.
func (s *Server) carryOut(ctx context.Context, c *conn, req *request) (body []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("embedded database: a command failed", "command", req.name, "panic", r, "stack", string(debug.Stack()))
			body, err = nil, fail(codeInternal, "the command failed: see the log")
		}
	}()
	known, ok := commands(req.name)
	if !ok {
		return nil, fail(codeCommandNotFound, "no such command: '%s'. The embedded database has the commands that Stoa sends.", req.name)
	}
	for _, q := range req.sequences {
		for _, d := range q.documents {
			if err := checkDocument(d); err != nil {
				return nil, err
			}
		}
	}
	if err := req.checkConcerns(known.writes); err != nil {
		return nil, err
	}
	req.connection = c.id
	if body, err = known.do(s, ctx, req); err != nil {
		e := asCommandError(err)
		if e.code == codeInternal {
			s.log.Error("embedded database: a command failed", "command", req.name, "error", err)
		}
		return nil, e
	}
	return body, nil
}

// fields calls visit with each field of the command, those excepted that every command may have.
// visit refuses unknown ones by req.unknown.
func (req *request) fields(visit func(name string, v bsoncore.Value) error) error {
	first := true
	return eachField(req.body, func(name string, v bsoncore.Value) error {
		if first {
			first = false
			return nil
		}
		switch name {
		case "$db", "lsid", "$clusterTime", "$readPreference", "readConcern", "writeConcern", "maxTimeMS", "comment",
			"apiVersion", "apiStrict", "apiDeprecationErrors":
			return nil
		case "txnNumber", "startTransaction", "autocommit":
			return fail(20, "transactions aren't supported: the field '%s.%s' is only allowed on a replica set", req.name, name)
		case "collation":
			return fail(codeBadValue, "collations aren't supported: the field '%s.collation' must be absent; strings are compared by their bytes", req.name)
		}
		return visit(name, v)
	})
}

func (req *request) unknown(name string) error {
	return fail(codeUnknownField, "BSON field '%s.%s' is an unknown field, or one that the embedded database doesn't support", req.name, name)
}

// none refuses every field.
func (req *request) none(name string, _ bsoncore.Value) error { return req.unknown(name) }

func (req *request) namespace() (namespace, error) {
	n := namespace{req.database, req.collection}
	if req.collection == "" {
		return n, fail(codeInvalidNamespace, "collection name has invalid type or is empty")
	}
	return n, n.check()
}

// parseWrite reads a write command: its collection, and the documents of its list, in its body or
// in a section beside it. An ordered command ends at the first refused document.
func (req *request) parseWrite(list string) (n namespace, documents [][]byte, ordered bool, err error) {
	if n, err = req.namespace(); err != nil {
		return n, nil, false, err
	}
	ordered = true
	err = req.fields(func(name string, v bsoncore.Value) error {
		switch {
		case name == list:
			return readDocuments(name, v, &documents)
		case name == "ordered":
			return readBool(name, v, &ordered)
		case name == "bypassDocumentValidation" && list != "deletes": // there is nothing to bypass
			return nil
		}
		return req.unknown(name)
	})
	for _, s := range req.sequences {
		if s.name == list {
			documents = append(documents, s.documents...)
			break
		}
	}
	return n, documents, ordered, err
}

// checkConcerns refuses read and write concerns that one server alone can't meet.
func (req *request) checkConcerns(writing bool) error {
	if v, ok := field(req.body, "readConcern"); ok && v.Type == bsoncore.TypeEmbeddedDocument {
		if level, ok := field(v.Data, "level"); ok {
			text, _ := level.StringValueOK()
			if !slices.Contains([]string{"local", "available", "majority", "linearizable"}, text) {
				return fail(codeInvalidOptions, "the read concern level %q isn't supported", text)
			}
		}
	}
	v, ok := field(req.body, "writeConcern")
	if !ok || v.Type != bsoncore.TypeEmbeddedDocument {
		return nil
	}
	if !writing {
		return fail(codeInvalidOptions, "the command %s doesn't support a write concern", req.name)
	}
	w, ok := field(v.Data, "w")
	if !ok {
		return nil
	}
	if text, isText := w.StringValueOK(); isText {
		if text != "majority" {
			return fail(79, "no write concern mode named '%s' found", text)
		}
		return nil
	}
	n, number := w.AsInt64OK()
	if f, isDouble := w.DoubleOK(); isDouble {
		n, number = int64(f), true
	}
	switch {
	case !number || n < 0:
		return fail(codeFailedToParse, "w has to be a number that isn't negative, or a string")
	case n > 1:
		return fail(codeBadValue, "cannot use 'w' > 1 when a host is not replicated")
	}
	return nil
}

// done is the reply to a command that succeeded: the elements that add appends, and ok.
func done(add func(b []byte) []byte) []byte {
	at, b := bsoncore.AppendDocumentStart(nil)
	if add != nil {
		b = add(b)
	}
	b = bsoncore.AppendDoubleElement(b, "ok", 1)
	return endDocument(b, at)
}

const (
	// wireVersion is that of MongoDB 7.0.
	wireVersion = 21
	version     = "7.0.0"

	// maxWriteBatch is the number of statements that one command may have, as in MongoDB.
	maxWriteBatch = 100_000
)

func (s *Server) hello(_ context.Context, req *request) ([]byte, error) {
	return done(func(b []byte) []byte {
		b = bsoncore.AppendBooleanElement(b, "helloOk", true)
		if req.name == "hello" {
			b = bsoncore.AppendBooleanElement(b, "isWritablePrimary", true)
		} else {
			b = bsoncore.AppendBooleanElement(b, "ismaster", true)
		}
		b = bsoncore.AppendInt32Element(b, "maxBsonObjectSize", maxDocument)
		b = bsoncore.AppendInt32Element(b, "maxMessageSizeBytes", maxMessage)
		b = bsoncore.AppendInt32Element(b, "maxWriteBatchSize", maxWriteBatch)
		b = bsoncore.AppendTimeElement(b, "localTime", time.Now())
		b = bsoncore.AppendInt32Element(b, "logicalSessionTimeoutMinutes", 30)
		b = bsoncore.AppendInt32Element(b, "connectionId", req.connection)
		b = bsoncore.AppendInt32Element(b, "minWireVersion", 0)
		b = bsoncore.AppendInt32Element(b, "maxWireVersion", wireVersion)
		return bsoncore.AppendBooleanElement(b, "readOnly", false)
	}), nil
}

func (s *Server) ping(context.Context, *request) ([]byte, error) { return done(nil), nil }

func (s *Server) buildInfo(context.Context, *request) ([]byte, error) {
	return done(func(b []byte) []byte {
		b = bsoncore.AppendStringElement(b, "version", version)
		at, b := bsoncore.AppendArrayElementStart(b, "versionArray")
		for i, n := range []int32{7, 0, 0, 0} {
			b = bsoncore.AppendInt32Element(b, fmt.Sprint(i), n)
		}
		b = endDocument(b, at)
		at, b = bsoncore.AppendArrayElementStart(b, "modules")
		b = endDocument(b, at)
		return bsoncore.AppendInt32Element(b, "maxBsonObjectSize", maxDocument)
	}), nil
}

// serverStatus reports the numbers of keys and documents read so far, under MongoDB's names.
func (s *Server) serverStatus(context.Context, *request) ([]byte, error) {
	return done(func(b []byte) []byte {
		b = bsoncore.AppendStringElement(b, "version", version)
		b = bsoncore.AppendTimeElement(b, "localTime", time.Now())
		metrics, b := bsoncore.AppendDocumentElementStart(b, "metrics")
		executor, b := bsoncore.AppendDocumentElementStart(b, "queryExecutor")
		b = bsoncore.AppendInt64Element(b, "scanned", s.keys.Load())
		b = bsoncore.AppendInt64Element(b, "scannedObjects", s.examined.Load())
		return endDocument(endDocument(b, executor), metrics)
	}), nil
}

func (s *Server) endSessions(_ context.Context, req *request) ([]byte, error) {
	if v, ok := field(req.body, "endSessions"); ok && v.Type == bsoncore.TypeArray {
		eachElement(v.Data, func(_ int, e bsoncore.Value) bool {
			if e.Type == bsoncore.TypeEmbeddedDocument {
				s.cursors.endSession(e.Data)
			}
			return false
		})
	}
	return done(nil), nil
}

func (s *Server) count(r *session) {
	s.keys.Add(r.keys)
	s.examined.Add(r.documents)
}

// read calls do on a snapshot, and counts the documents examined.
func (s *Server) read(ctx context.Context, do func(*session) (keep bool, err error)) error {
	return s.storage.read(ctx, func(r *session) (bool, error) {
		defer s.count(r)
		return do(r)
	})
}

// write calls do in a write's turn, and counts the documents examined.
func (s *Server) write(ctx context.Context, do func(*transaction) error) error {
	return s.storage.write(ctx, func(t *transaction) error {
		defer s.count(t.session)
		return do(t)
	})
}

// insert is the insert command.
func (s *Server) insert(ctx context.Context, req *request) ([]byte, error) {
	n, documents, ordered, err := req.parseWrite("documents")
	if err != nil {
		return nil, err
	}
	return s.statements(ctx, ordered, len(documents), func(t *transaction, i int, r *written) error {
		document, err := prepareInsert(documents[i])
		if err != nil {
			return err
		}
		c, err := t.createCollection(n)
		if err != nil {
			return err
		}
		if _, err := t.insert(c, document); err != nil {
			return err
		}
		r.n++
		return nil
	})
}

// written is the result of a write command so far.
type written struct {
	n, modified int32
	updates     bool
	upserted    []byte // elements of an array
	upserts     int
	errors      []byte // elements of an array
	failed      int
}

// statements runs the statements of a command in one turn. A refused statement changes nothing; it
// ends an ordered command, and an unordered one goes on.
func (s *Server) statements(ctx context.Context, ordered bool, count int, do func(t *transaction, i int, r *written) error) ([]byte, error) {
	if count == 0 || count > maxWriteBatch {
		return nil, fail(codeInvalidLength, "write batch sizes must be between 1 and %d. Got %d operations.", maxWriteBatch, count)
	}
	var r written
	err := s.write(ctx, func(t *transaction) error {
		r = written{}
		for i := range count {
			if err := t.check(); err != nil {
				return err
			}
			err := do(t, i, &r)
			if err == nil {
				continue
			}
			e := asCommandError(err)
			if e.code == codeInternal || e.code == codeMaxTimeExpired || e.code == codeInterrupted {
				return err // the whole command is undone
			}
			r.errors = bsoncore.AppendDocumentElement(r.errors, fmt.Sprint(r.failed), e.writeError(i))
			r.failed++
			if ordered {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done(func(b []byte) []byte {
		b = bsoncore.AppendInt32Element(b, "n", r.n)
		if r.updates {
			b = bsoncore.AppendInt32Element(b, "nModified", r.modified)
		}
		if r.upserts > 0 {
			at, c := bsoncore.AppendArrayElementStart(b, "upserted")
			b = endDocument(append(c, r.upserted...), at)
		}
		if r.failed > 0 {
			at, c := bsoncore.AppendArrayElementStart(b, "writeErrors")
			b = endDocument(append(c, r.errors...), at)
		}
		return b
	}), nil
}

// update is the update command.
func (s *Server) update(ctx context.Context, req *request) ([]byte, error) {
	n, documents, ordered, err := req.parseWrite("updates")
	if err != nil {
		return nil, err
	}
	statements := make([]updateStatement, len(documents))
	for i, d := range documents {
		if err := statements[i].parse(d); err != nil {
			return nil, err
		}
	}
	return s.statements(ctx, ordered, len(documents), func(t *transaction, i int, r *written) error {
		r.updates = true
		return t.update(n, &statements[i], i, r)
	})
}

// updateStatement is one statement of the update command.
type updateStatement struct {
	filter        filter
	update        *update
	multi, upsert bool
	refused       error // its update can't be made: an error of this statement alone
}

func (u *updateStatement) parse(document []byte) error {
	found := map[string]bool{}
	err := eachField(document, func(name string, v bsoncore.Value) error {
		found[name] = true
		switch name {
		case "q":
			var d []byte
			if err := readDocument(name, v, &d); err != nil {
				return err
			}
			var err error
			u.filter, err = parseFilter(d)
			return err
		case "u":
			u.update, u.refused = parseUpdate(v)
			return nil
		case "multi":
			return readBool(name, v, &u.multi)
		case "upsert":
			return readBool(name, v, &u.upsert)
		}
		return fail(codeUnknownField, "BSON field 'update.updates.%s' is an unknown field, or one that the embedded database doesn't support", name)
	})
	switch {
	case err != nil:
		return err
	case !found["q"]:
		return fail(codeMissingField, "BSON field 'update.updates.q' is missing but a required field")
	case !found["u"]:
		return fail(codeMissingField, "BSON field 'update.updates.u' is missing but a required field")
	case u.refused == nil && u.multi && u.update.replacement != nil:
		u.refused = fail(codeFailedToParse, "multi update is not supported for replacement-style update")
	}
	return nil
}

// update runs one statement of the update command.
func (t *transaction) update(n namespace, u *updateStatement, at int, r *written) error {
	if u.refused != nil {
		return u.refused
	}
	c := t.catalog.collections[n]
	var rows []int64
	if c != nil {
		var err error
		if rows, err = t.rows(c, u.filter, u.multi); err != nil {
			return err
		}
	}
	if len(rows) == 0 && u.upsert {
		document, err := u.update.insertion(&u.filter)
		if err != nil {
			return err
		}
		if document, err = prepareInsert(document); err != nil {
			return err
		}
		if c, err = t.createCollection(n); err != nil {
			return err
		}
		if _, err = t.insert(c, document); err != nil {
			return err
		}
		r.n++
		id, _ := field(document, "_id")
		start, b := bsoncore.AppendDocumentElementStart(r.upserted, fmt.Sprint(r.upserts))
		b = bsoncore.AppendInt32Element(b, "index", int32(at))
		b = bsoncore.AppendValueElement(b, "_id", id)
		r.upserted = endDocument(b, start)
		r.upserts++
		return nil
	}
	for _, rid := range rows {
		if err := t.check(); err != nil {
			return err
		}
		document, err := t.document(c, rid)
		if err != nil {
			return err
		}
		t.documents-- // it was counted when it was found
		changed, err := u.update.apply(document)
		if err != nil {
			return err
		}
		if !bytes.Equal(document, changed) {
			if c, err = t.replace(c, rid, document, changed); err != nil {
				return err
			}
			r.modified++
		}
		r.n++
	}
	return nil
}

// rows returns the rows of the documents that meet f: all of them, or the first.
func (t *transaction) rows(c *collection, f filter, all bool) ([]int64, error) {
	q := query{filter: f}
	if !all {
		q.limit = 1
	}
	var rows []int64
	st := newStream(t.session, c, &q)
	for {
		rid, _, ok, err := st.next()
		if err != nil || !ok {
			return rows, err
		}
		rows = append(rows, rid)
	}
}

// delete is the delete command.
func (s *Server) delete(ctx context.Context, req *request) ([]byte, error) {
	n, documents, ordered, err := req.parseWrite("deletes")
	if err != nil {
		return nil, err
	}
	filters, all := make([]filter, len(documents)), make([]bool, len(documents))
	for i, d := range documents {
		if filters[i], all[i], err = parseDelete(d); err != nil {
			return nil, err
		}
	}
	return s.statements(ctx, ordered, len(documents), func(t *transaction, i int, r *written) error {
		c := t.catalog.collections[n]
		if c == nil {
			return nil
		}
		rows, err := t.rows(c, filters[i], all[i])
		if err != nil {
			return err
		}
		for _, rid := range rows {
			if err := t.check(); err != nil {
				return err
			}
			document, err := t.document(c, rid)
			if err != nil {
				return err
			}
			t.documents-- // it was counted when it was found
			if c, err = t.remove(c, rid, document); err != nil {
				return err
			}
			r.n++
		}
		return nil
	})
}

func parseDelete(document []byte) (f filter, all bool, err error) {
	filtered, limit := false, int64(-1)
	err = eachField(document, func(name string, v bsoncore.Value) error {
		switch name {
		case "q":
			var d []byte
			if err := readDocument(name, v, &d); err != nil {
				return err
			}
			filtered = true
			var err error
			f, err = parseFilter(d)
			return err
		case "limit":
			return readInt(name, v, &limit)
		}
		return fail(codeUnknownField, "BSON field 'delete.deletes.%s' is an unknown field, or one that the embedded database doesn't support", name)
	})
	switch {
	case err != nil:
	case !filtered:
		err = fail(codeMissingField, "BSON field 'delete.deletes.q' is missing but a required field")
	case limit != 0 && limit != 1:
		err = fail(codeFailedToParse, "the limit field in delete objects must be 0 or 1. Got %d", limit)
	}
	return f, limit == 0, err
}
