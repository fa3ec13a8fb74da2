//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// Messages: complete, cut off, too long, malformed, and random ones.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// frame puts a header before the body of a message.
func frame(op int32, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(headerSize+len(body)))
	b = binary.LittleEndian.AppendUint32(b, 7)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(op))
	return append(b, body...)
}

// msg is an OP_MSG with one section of kind 0.
func msg(t testing.TB, flags uint32, document bson.D) []byte {
	t.Helper()
	b, err := bson.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return frame(opMsg, append(append(binary.LittleEndian.AppendUint32(nil, flags), 0), b...))
}

// section is a section of kind 1 of an OP_MSG.
func section(t testing.TB, name string, document bson.D) []byte {
	t.Helper()
	b, err := bson.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	b = append([]byte(name+"\x00"), b...)
	return append(binary.LittleEndian.AppendUint32([]byte{1}, uint32(4+len(b))), b...)
}

func helloMessage(t testing.TB, document bson.D) []byte {
	t.Helper()
	b, err := bson.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return frame(opQuery, append([]byte("\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"), b...))
}

func TestParseRequestReadsTheCommand(t *testing.T) {
	insert := bson.D{{Key: "insert", Value: "articles"}, {Key: "$db", Value: "stoa"}}
	behind := msg(t, 0, insert)
	behind = frame(opMsg, append(append([]byte{0, 0, 0, 0}, section(t, "documents", bson.D{{Key: "drop", Value: "articles"}})...), behind[headerSize+4:]...))
	summed := frame(opMsg, append(msg(t, flagChecksum, insert)[headerSize:], 1, 2, 3, 4))

	cases := map[string]struct {
		reason  string
		message []byte
		want    request
	}{
		"Plain": {"the command is the first key, the collection its value", msg(t, 0, insert),
			request{id: 7, name: "insert", database: "stoa", collection: "articles"}},
		"BodyLast": {"the body may come after a document sequence, and keys of that are no command", behind,
			request{id: 7, name: "insert", database: "stoa", collection: "articles"}},
		"Checksum": {"a checksum ends the message, and is no section", summed,
			request{id: 7, name: "insert", database: "stoa", collection: "articles"}},
		"Unanswered": {"with write concern 0 no reply is awaited", msg(t, flagMoreToCome, insert),
			request{id: 7, name: "insert", database: "stoa", collection: "articles", unanswered: true}},
		"TimeLimit": {"drivers send the rest of their deadline as an int64", msg(t, 0, append(insert, bson.E{Key: "maxTimeMS", Value: int64(1500)})),
			request{id: 7, name: "insert", database: "stoa", collection: "articles", maxTime: 1500 * time.Millisecond}},
		"NoCollection": {"not every command is about a collection", msg(t, 0, bson.D{{Key: "dropDatabase", Value: int32(1)}, {Key: "$db", Value: "stoa"}}),
			request{id: 7, name: "dropDatabase", database: "stoa"}},
		"Hello": {"drivers say hello in an OP_QUERY", helloMessage(t, bson.D{{Key: "isMaster", Value: int32(1)}}),
			request{id: 7, name: "isMaster", legacy: true}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseRequest(c.message)
			if err != nil {
				t.Fatalf("%s: %v", c.reason, err)
			}
			if diff := cmp.Diff(&c.want, got, cmp.AllowUnexported(request{}), cmpopts.IgnoreFields(request{}, "body", "sequences")); diff != "" {
				t.Errorf("%s: %s", c.reason, diff)
			}
		})
	}
}

func TestParseRequestRefusesWhatItCannotRead(t *testing.T) {
	ping := msg(t, 0, bson.D{{Key: "ping", Value: int32(1)}})
	cases := map[string]struct {
		reason  string
		message []byte
	}{
		"Compressed":     {"compression is never offered, and would hide the command", frame(opCompressed, ping[headerSize:])},
		"OldInsert":      {"OP_INSERT writes outside any command", frame(2002, ping[headerSize:])},
		"HeaderOnly":     {"there is no command", frame(opMsg, nil)},
		"FlagsOnly":      {"there is no command", frame(opMsg, []byte{0, 0, 0, 0})},
		"ChecksumOnly":   {"there is no command", frame(opMsg, []byte{flagChecksum, 0, 0, 0, 1, 2, 3})},
		"SequenceOnly":   {"there is no command", frame(opMsg, append([]byte{0, 0, 0, 0}, section(t, "documents", bson.D{})...))},
		"UnknownSection": {"a section that can't be skipped could hide the command", frame(opMsg, append([]byte{0, 0, 0, 0, 2}, ping[headerSize+5:]...))},
		"NegativeLimit":  {"no command can end before it began", msg(t, 0, bson.D{{Key: "ping", Value: int32(1)}, {Key: "maxTimeMS", Value: int32(-1)}})},
		"TwoBodies":      {"the second could be the one that counts", frame(opMsg, append(slices.Clone(ping[headerSize:]), ping[headerSize+4:]...))},
		"SequenceNoName": {"the name doesn't end", frame(opMsg, []byte{0, 0, 0, 0, 1, 5, 0, 0, 0, 'a'})},
		"EmptyDocument":  {"there is no command", msg(t, 0, bson.D{})},
		"ShortDocument":  {"the document claims more than there is", frame(opMsg, []byte{0, 0, 0, 0, 0, 99, 0, 0, 0, 0})},
		"NegativeLength": {"the document claims less than nothing", frame(opMsg, []byte{0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0})},
		"QueryNoName":    {"the collection name doesn't end", frame(opQuery, []byte("\x00\x00\x00\x00admin"))},
		"QueryNoBody":    {"there is no command", frame(opQuery, []byte("\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, err := parseRequest(c.message); err == nil {
				t.Errorf("%s: read as %+v", c.reason, got)
			}
		})
	}
}

func TestReadMessageBoundsWhatAHeaderClaims(t *testing.T) {
	header := func(size int32) []byte {
		return binary.LittleEndian.AppendUint32(nil, uint32(size))
	}
	cases := map[string]struct {
		reason string
		input  []byte
		end    error // nil: it is refused for its promised length
	}{
		"Empty":      {"the peer closed between two messages", nil, io.EOF},
		"HalfHeader": {"the peer died in a header", header(16), io.ErrUnexpectedEOF},
		"TooShort":   {"a message has at least its header", append(header(15), make([]byte, 12)...), nil},
		"Negative":   {"a length is no negative number", append(header(-1), make([]byte, 12)...), nil},
		"TooLong":    {"longer than any message may be", append(header(maxMessage+1), make([]byte, 12)...), nil},
		"CutOff":     {"the peer died in the middle of the longest message", append(header(maxMessage), make([]byte, 100)...), io.ErrUnexpectedEOF},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := readMessage(&meter{t: t, left: c.input}, nil)
			if err == nil {
				t.Fatalf("%s: read %d bytes", c.reason, len(got))
			}
			if cut := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); cut != (c.end != nil) || c.end != nil && !errors.Is(err, c.end) {
				t.Errorf("%s: got %v, want %v", c.reason, err, c.end)
			}
		})
	}
}

// meter is a reader that fails the test when asked to fill more memory than its bytes so far would
// justify.
type meter struct {
	t     testing.TB
	left  []byte
	given int
}

func (m *meter) Read(p []byte) (int, error) {
	if len(p) > m.given+readStep {
		m.t.Fatalf("memory for %d bytes was made after %d had arrived", len(p), m.given)
	}
	if len(m.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, m.left)
	m.left, m.given = m.left[n:], m.given+n
	return n, nil
}

// FuzzWire checks three promises for any bytes of a client: nothing panics, memory follows the
// bytes received, and everything read as a command gets one valid reply.
func FuzzWire(f *testing.F) {
	f.Add(msg(f, 0, bson.D{{Key: "insert", Value: "articles"}, {Key: "$db", Value: "stoa"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: "a"}}}}}))
	f.Add(msg(f, flagMoreToCome, bson.D{{Key: "update", Value: "articles"}, {Key: "maxTimeMS", Value: int64(5)}}))
	f.Add(msg(f, 0, bson.D{{Key: "find", Value: "articles"}, {Key: "$db", Value: "stoa"},
		{Key: "filter", Value: bson.D{{Key: "a.b", Value: bson.D{{Key: "$in", Value: bson.A{1, "x", nil}}}}, {Key: "$or", Value: bson.A{bson.D{{Key: "c", Value: bson.D{{Key: "$gt", Value: 1.5}}}}}}}},
		{Key: "sort", Value: bson.D{{Key: "a", Value: -1}}}, {Key: "projection", Value: bson.D{{Key: "a.b", Value: 0}}}}))
	f.Add(msg(f, 0, bson.D{{Key: "update", Value: "articles"}, {Key: "$db", Value: "stoa"}, {Key: "updates", Value: bson.A{bson.D{
		{Key: "q", Value: bson.D{{Key: "_id", Value: "a"}}}, {Key: "upsert", Value: true},
		{Key: "u", Value: bson.D{{Key: "$inc", Value: bson.D{{Key: "n.1", Value: 1}}}, {Key: "$unset", Value: bson.D{{Key: "b", Value: ""}}}}}}}}}))
	f.Add(msg(f, 0, bson.D{{Key: "aggregate", Value: "articles"}, {Key: "$db", Value: "stoa"}, {Key: "cursor", Value: bson.D{}}, {Key: "pipeline", Value: bson.A{
		bson.D{{Key: "$lookup", Value: bson.D{{Key: "from", Value: "articles"}, {Key: "localField", Value: "_id"}, {Key: "foreignField", Value: "a"}, {Key: "as", Value: "b"}}}}}}}))
	f.Add(msg(f, 0, bson.D{{Key: "createIndexes", Value: "articles"}, {Key: "$db", Value: "stoa"}, {Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "a", Value: -1}}}, {Key: "name", Value: "a"}}}}}))
	f.Add(helloMessage(f, bson.D{{Key: "isMaster", Value: int32(1)}}))
	f.Add(frame(opMsg, append([]byte{0, 0, 0, 0}, section(f, "documents", bson.D{{Key: "a", Value: "b"}})...)))
	f.Add(append(binary.LittleEndian.AppendUint32(nil, maxMessage), make([]byte, 200)...))
	var log bytes.Buffer
	s, err := Open(f.Context(), Options{Dir: f.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close(context.Background())
	f.Fuzz(func(t *testing.T, input []byte) {
		message, err := readMessage(&meter{t: t, left: input}, nil)
		if err != nil {
			return
		}
		req, err := parseRequest(message)
		if err != nil {
			return
		}
		if op := operation(message); op != opMsg && op != opQuery {
			t.Fatalf("operation %d was read as command %q", op, req.name)
		}
		body, err := s.carryOut(t.Context(), &conn{all: s.conns}, req)
		if err != nil {
			body = asCommandError(err).reply()
		}
		if err := checkDocument(body); err != nil {
			t.Fatalf("command %q was answered with %q: %v", req.name, body, err)
		}
		if log.Len() > 0 {
			t.Fatalf("command %q: %s", req.name, log.String())
		}
	})
}
