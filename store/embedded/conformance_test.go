//go:build (linux || darwin || freebsd) && !stoa_noembedded

// The conformance suite compares a server with MongoDB 7, for the part of MongoDB that Stoa
// uses. Every conformance*_test.go file belongs to it. The same cases run on the embedded
// server and on the server that STOA_TEST_MONGODB_URI names:
//
//	STOA_TEST_MONGODB_URI=mongodb://localhost:27017 go test -run Conformance ./store/embedded
//
// The expectations come from MongoDB's manual (version 7.0). Where the manual leaves a detail
// open, they come from the published source of the server and from its tests. A reason that
// ends in "(seen)" was confirmed on a real server. None is marked so yet, because no real
// server was at hand.
//
// Data is written as relaxed extended JSON without quotes around names, and with long(1),
// double(1), date(-1) in milliseconds and oid(1): see doc.
package embedded_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"

	"stoa/store/embedded"
)

// foreignURI names the variable with the URI of a further server that the suite runs on.
const foreignURI = "STOA_TEST_MONGODB_URI"

// target is a server under test with a database of its own.
type target struct {
	db *mongo.Database

	// embedded is false for the server of foreignURI, a server with more features than Stoa uses.
	embedded bool

	// settings returns the options of a further client of the server.
	settings func() *options.ClientOptions

	// dial opens a connection without a driver.
	dial func(context.Context) (net.Conn, error)
}

// onServers runs test on the embedded server and on the one that foreignURI names.
func onServers(t *testing.T, test func(*testing.T, target)) {
	t.Run("Embedded", func(t *testing.T) {
		server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
		check(t, err)
		t.Cleanup(func() { check(t, server.Close(context.Background())) })
		s := target{
			embedded: true,
			settings: func() *options.ClientOptions {
				return options.Client().ApplyURI(server.URI()).SetDialer(server.Dialer())
			},
			dial: func(ctx context.Context) (net.Conn, error) {
				return server.Dialer().DialContext(ctx, "tcp", "embedded:27017")
			},
		}
		s.db = s.client(t).Database("stoa")
		test(t, s)
	})
	uri := os.Getenv(foreignURI)
	if uri == "" {
		return
	}
	t.Run("Foreign", func(t *testing.T) {
		s := target{
			settings: func() *options.ClientOptions { return options.Client().ApplyURI(uri) },
			dial: func(ctx context.Context) (net.Conn, error) {
				network, host := "tcp", options.Client().ApplyURI(uri).Hosts[0]
				if strings.HasSuffix(host, ".sock") {
					network = "unix"
				}
				return new(net.Dialer).DialContext(ctx, network, host)
			},
		}
		s.db = s.client(t).Database("stoa_conformance_" + bson.NewObjectID().Hex())
		t.Cleanup(func() { check(t, s.db.Drop(context.Background())) })
		test(t, s)
	})
}

// client connects a further client until the test ends.
func (s target) client(t *testing.T) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(s.settings())
	check(t, err)
	t.Cleanup(func() { check(t, c.Disconnect(context.Background())) })
	return c
}

// onlyEmbedded skips a case that MongoDB supports and the embedded server must refuse.
func (s target) onlyEmbedded(t *testing.T) {
	t.Helper()
	if !s.embedded {
		t.Skip("MongoDB supports more than Stoa uses; the refusal is the embedded server's")
	}
}

// fill makes a collection with the documents and indexes.
func (s target) fill(t *testing.T, name string, documents []any, indexes ...mongo.IndexModel) *mongo.Collection {
	t.Helper()
	c := s.db.Collection(name)
	if len(documents) > 0 {
		_, err := c.InsertMany(t.Context(), documents)
		check(t, err)
	}
	for _, index := range indexes {
		_, err := c.Indexes().CreateOne(t.Context(), index)
		check(t, err)
	}
	return c
}

// run runs a command written as doc takes it.
func (s target) run(t *testing.T, command string) (bson.Raw, error) {
	t.Helper()
	return s.db.RunCommand(t.Context(), doc(command)).Raw()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func index(keys string) mongo.IndexModel { return mongo.IndexModel{Keys: doc(keys)} }

var (
	bareName = regexp.MustCompile(`([{,]\s*)([$\w.*\[\]]+)\s*:`)
	literals = []struct {
		pattern *regexp.Regexp
		json    string
	}{
		{regexp.MustCompile(`\blong\(([^)]*)\)`), `{"$$numberLong": "$1"}`},
		{regexp.MustCompile(`\bdouble\(([^)]*)\)`), `{"$$numberDouble": "$1"}`},
		{regexp.MustCompile(`\bdate\(([^)]*)\)`), `{"$$date": {"$$numberLong": "$1"}}`},
		{regexp.MustCompile(`\boid\((\w)\)`), `{"$$oid": "00000000000000000000000$1"}`},
		{regexp.MustCompile(`\bbin\(([\w+/]*=*), (\w\w)\)`), `{"$$binary": {"base64": "$1", "subType": "$2"}}`},
	}
)

// list parses an array of values. A mistake in it panics.
func list(text string) bson.A {
	for _, l := range literals {
		text = l.pattern.ReplaceAllString(text, l.json)
	}
	text = bareName.ReplaceAllString(text, `$1"$2":`)
	var wrapped struct{ V bson.A }
	if err := bson.UnmarshalExtJSON([]byte(`{"v": `+text+`}`), false, &wrapped); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return wrapped.V
}

// doc parses a document such as {_id: 1, a.b: {$gt: long(2)}}.
func doc(text string) bson.D { return list("[" + text + "]")[0].(bson.D) }

// show writes values so that two of them read the same when type, order and bytes agree.
func show(v any) string {
	text, err := bson.MarshalExtJSON(bson.D{{Key: "", Value: v}}, true, false)
	if err != nil {
		return fmt.Sprintf("%v: %v", v, err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(text), `{"":`), "}")
}

// all reads the documents of a find or aggregate.
func all(t *testing.T, cursor *mongo.Cursor, err error) []bson.D {
	t.Helper()
	check(t, err)
	found := []bson.D{}
	check(t, cursor.All(t.Context(), &found))
	return found
}

// ids returns the documents' _id.
func ids(documents []bson.D) bson.A {
	out := bson.A{}
	for _, d := range documents {
		out = append(out, field(d, "_id"))
	}
	return out
}

func sortedIDs(documents []bson.D) bson.A {
	out := ids(documents)
	slices.SortFunc(out, order)
	return out
}

// code returns the number of the first error that the server gave, 0 without one and -1
// for any other error.
func code(err error) int {
	var command mongo.CommandError
	var write mongo.WriteException
	var bulk mongo.BulkWriteException
	var raw driver.WriteCommandError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &command):
		return int(command.Code)
	case errors.As(err, &write) && len(write.WriteErrors) > 0:
		return write.WriteErrors[0].Code
	case errors.As(err, &bulk) && len(bulk.WriteErrors) > 0:
		return bulk.WriteErrors[0].Code
	case errors.As(err, &raw) && len(raw.WriteErrors) > 0:
		return int(raw.WriteErrors[0].Code)
	}
	return -1
}

// wantCode fails the test unless err has one of the codes.
func wantCode(t *testing.T, reason string, err error, codes ...int) {
	t.Helper()
	if !slices.Contains(codes, code(err)) {
		t.Errorf("%s: got code %d (%v), want %v", reason, code(err), err, codes)
	}
}

const (
	opReply, opQuery, opMsg = 1, 2004, 2013
	moreToCome              = 2
)

// send writes a message of one document, without a driver.
func send(t *testing.T, conn net.Conn, opcode, id int32, flags uint32, command string) {
	t.Helper()
	body, err := bson.Marshal(doc(command))
	check(t, err)
	message := binary.LittleEndian.AppendUint32(nil, flags)
	if opcode == opQuery {
		message = append(message, "admin.$cmd\x00"...)
		message = binary.LittleEndian.AppendUint64(message, 0xffffffff<<32) // skip 0, return -1
	} else {
		message = append(message, 0)
	}
	message = append(message, body...)
	var header []byte
	for _, n := range []int32{int32(16 + len(message)), id, 0, opcode} {
		header = binary.LittleEndian.AppendUint32(header, uint32(n))
	}
	_, err = conn.Write(append(header, message...))
	check(t, err)
}

// receive reads a message and returns the request that it answers and its document.
func receive(t *testing.T, conn net.Conn) (answers, opcode int32, reply bson.Raw) {
	t.Helper()
	header := make([]byte, 16)
	_, err := io.ReadFull(conn, header)
	check(t, err)
	body := make([]byte, binary.LittleEndian.Uint32(header)-16)
	_, err = io.ReadFull(conn, body)
	check(t, err)
	opcode = int32(binary.LittleEndian.Uint32(header[12:]))
	at := 5
	if opcode == opReply {
		at = 20
	}
	return int32(binary.LittleEndian.Uint32(header[8:])), opcode, body[at:]
}

func (s target) connection(t *testing.T) net.Conn {
	t.Helper()
	conn, err := s.dial(t.Context())
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn
}

func TestConformanceHandshake(t *testing.T) {
	cases := map[string]struct {
		reason, command, primary string
		opcode                   int32
	}{
		"Hello":     {"the handshake of today's drivers", `{hello: 1, $db: "admin"}`, "isWritablePrimary", opMsg},
		"IsMaster":  {"the name before 5.0, by OP_MSG", `{isMaster: 1, $db: "admin"}`, "ismaster", opMsg},
		"LowerCase": {"the shells send the name so", `{ismaster: 1, $db: "admin"}`, "ismaster", opMsg},
		"Legacy":    {"the first message of a driver is OP_QUERY", `{isMaster: 1, helloOk: true}`, "ismaster", opQuery},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				conn := s.connection(t)
				send(t, conn, c.opcode, 7, 0, c.command)
				answers, opcode, reply := receive(t, conn)
				wantOpcode := int32(opMsg)
				if c.opcode == opQuery {
					wantOpcode = opReply
				}
				if answers != 7 || opcode != wantOpcode {
					t.Errorf("the reply answers %d by opcode %d: %s", answers, opcode, c.reason)
				}
				var got struct {
					OK                  float64
					MaxWireVersion      int32     `bson:"maxWireVersion"`
					MinWireVersion      int32     `bson:"minWireVersion"`
					MaxBSONObjectSize   int32     `bson:"maxBsonObjectSize"`
					MaxMessageSizeBytes int32     `bson:"maxMessageSizeBytes"`
					MaxWriteBatchSize   int32     `bson:"maxWriteBatchSize"`
					LocalTime           time.Time `bson:"localTime"`
				}
				check(t, bson.Unmarshal(reply, &got))
				if got.OK != 1 || got.MaxWireVersion < 21 || got.MinWireVersion > 21 || got.MaxBSONObjectSize != 16777216 ||
					got.MaxMessageSizeBytes != 48000000 || got.MaxWriteBatchSize != 100000 || time.Since(got.LocalTime).Abs() > time.Minute {
					t.Errorf("got %s", reply)
				}
				if primary, ok := reply.Lookup(c.primary).BooleanOK(); !ok || !primary {
					t.Errorf("%s isn't true in %s", c.primary, reply)
				}
			})
		}
	})
}

func TestConformanceCommandsThatAreTaken(t *testing.T) {
	const session = `{id: bin(AAECAwQFBgcICQoLDA0ODw==, 04)}`
	cases := map[string]struct{ reason, command string }{
		"Ping":           {"drivers ping", `{ping: 1}`},
		"EndSessions":    {"drivers end sessions when they disconnect", `{endSessions: [` + session + `]}`},
		"LSID":           {"drivers send a session with each command", `{find: "c", lsid: ` + session + `}`},
		"ReadConcern":    {"one server's own data is local", `{find: "c", readConcern: {level: "local"}}`},
		"ReadPreference": {"drivers send it to a direct connection", `{find: "c", $readPreference: {mode: "primaryPreferred"}}`},
		"Comment":        {"a comment has no effect", `{find: "c", comment: "from a test"}`},
		"MaxTime":        {"a limit that isn't reached", `{find: "c", maxTimeMS: 60000}`},
		"MaxTimeLong":    {"any number will do", `{find: "c", maxTimeMS: long(60000)}`},
		"MaxTimeNone":    {"0 is no limit", `{find: "c", maxTimeMS: 0}`},
		"SingleBatch":    {"one batch and no cursor", `{find: "c", singleBatch: true}`},
		"Majority":       {"a standalone server is its own majority", `{insert: "c", documents: [{a: 1}], writeConcern: {w: "majority", j: true}}`},
		"WTimeout":       {"a time to wait for other servers", `{insert: "c", documents: [{a: 1}], writeConcern: {w: 1, wtimeout: 1000}}`},
		"Aggregate":      {"aggregate takes them as find does", `{aggregate: "c", pipeline: [], cursor: {}, maxTimeMS: 60000, comment: 1, readConcern: {level: "local"}}`},
		"Distinct":       {"distinct takes them as find does", `{distinct: "c", key: "a", maxTimeMS: 60000, readConcern: {level: "local"}}`},
	}
	onServers(t, func(t *testing.T, s target) {
		conn := s.connection(t)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				send(t, conn, opMsg, 1, 0, strings.TrimSuffix(c.command, "}")+`, $db: "`+s.db.Name()+`"}`)
				if _, _, reply := receive(t, conn); show(reply.Lookup("ok")) != show(1.0) {
					t.Errorf("%s: %s", c.reason, reply)
				}
			})
		}
		info, err := s.run(t, `{buildInfo: 1}`)
		check(t, err)
		if version, _ := info.Lookup("version").StringValueOK(); s.embedded && !strings.HasPrefix(version, "7.0.") {
			t.Errorf("the version is %q", version)
		}
	})
}

func TestConformanceUnacknowledgedWritesGetNoReply(t *testing.T) {
	cases := map[string]struct{ reason, command string }{
		"Insert":    {"an insert", `{insert: "w0", documents: [{_id: 2}], writeConcern: {w: 0}}`},
		"Duplicate": {"not even an error is told", `{insert: "w0", documents: [{_id: 1}], writeConcern: {w: 0}}`},
		"Update":    {"an update", `{update: "w0", updates: [{q: {_id: 1}, u: {$set: {a: 1}}}], writeConcern: {w: 0}}`},
		"Delete":    {"a delete", `{delete: "w0", deletes: [{q: {_id: 3}, limit: 1}], writeConcern: {w: 0}}`},
	}
	onServers(t, func(t *testing.T, s target) {
		c := s.fill(t, "w0", list(`[{_id: 1}, {_id: 3}]`))
		conn := s.connection(t)
		for name, w := range cases {
			t.Run(name, func(t *testing.T) {
				send(t, conn, opMsg, 1, moreToCome, strings.TrimSuffix(w.command, "}")+`, $db: "`+s.db.Name()+`"}`)
				send(t, conn, opMsg, 2, 0, `{ping: 1, $db: "admin"}`)
				if answers, _, reply := receive(t, conn); answers != 2 {
					t.Errorf("%s was answered: %s", w.reason, reply)
				}
			})
		}
		cursor, err := c.Find(t.Context(), bson.D{})
		if got := all(t, cursor, err); len(got) != 2 {
			t.Errorf("the collection has %s", show(got))
		}
		none := s.client(t).Database(s.db.Name()).Collection("w0", options.Collection().SetWriteConcern(writeconcern.Unacknowledged()))
		_, err = none.InsertOne(t.Context(), bson.D{})
		check(t, err)
	})
}

func TestConformanceMoreThanOneServerIsRefused(t *testing.T) {
	onServers(t, func(t *testing.T, s target) {
		_, err := s.run(t, `{insert: "w5", documents: [{_id: 1}], writeConcern: {w: 5}}`)
		if s.embedded {
			wantCode(t, "a standalone server has no others", err, 2)
		} else if code(err) == 0 {
			t.Log("the foreign server has replicas")
		}
		if n, err := s.db.Collection("w5").CountDocuments(t.Context(), bson.D{}); s.embedded && (n != 0 || err != nil) {
			t.Errorf("the refused insert left %d documents: %v", n, err)
		}
	})
}

func TestConformanceMaxTime(t *testing.T) {
	onServers(t, func(t *testing.T, s target) {
		var documents []any
		for i := range 20000 {
			documents = append(documents, bson.D{{Key: "_id", Value: i}, {Key: "a", Value: bson.A{i, i + 1, "x"}}})
		}
		s.fill(t, "slow", documents)
		// A fast server may be done within the millisecond.
		_, err := s.run(t, `{aggregate: "slow", pipeline: [{$match: {a: {$nin: [-1, "y"]}}}, {$sort: {a: -1}}, {$group: {_id: 1, n: {$sum: 1}}}], cursor: {}, maxTimeMS: 1}`)
		wantCode(t, "a scan of all documents", err, 0, 50)
		_, err = s.run(t, `{find: "slow", maxTimeMS: -1}`)
		wantCode(t, "a negative limit", err, 2, 9, 51024)
	})
}
