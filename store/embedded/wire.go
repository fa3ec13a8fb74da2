//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The parts of MongoDB's wire protocol that the proxy reads. Sizes and numbers are those of
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/.
const (
	headerSize = 16 // length, request id, id of the request replied to, operation; int32 each

	// maxMessage is the length of the longest message, 48,000,000 bytes: what the server
	// announces as maxMessageSizeBytes.
	maxMessage = 48_000_000

	// readStep is how much a message may claim before any of it has arrived. Beyond that,
	// memory follows what has been received, never what a header promises.
	readStep = 64 << 10

	opReply      = 1
	opQuery      = 2004 // drivers say hello in it, before they know what the server speaks
	opCompressed = 2012
	opMsg        = 2013

	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
)

// request is what the proxy has to know of a client's message to treat it rightly.
type request struct {
	id         int32
	command    string        // as the client wrote it; commands are case-sensitive
	database   string        // "" where the message doesn't say
	collection string        // "" where the command's first value is no name
	maxTime    time.Duration // how long the client lets it take, 0 for no limit
	unanswered bool          // the client awaits no reply (moreToCome, write concern 0)
}

// readMessage reads one message, header included, into buf's memory where that is large
// enough. It returns io.EOF only when the peer has closed between two messages. It allocates
// at most twice what it has received plus readStep.
func readMessage(r io.Reader, buf []byte) ([]byte, error) {
	buf = slices.Grow(buf[:0], headerSize)[:headerSize]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	size := int(int32(binary.LittleEndian.Uint32(buf)))
	if size < headerSize || size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes: it has to have between %d and %d", size, headerSize, maxMessage)
	}
	for len(buf) < size {
		read := len(buf)
		step := min(size-read, max(read, readStep))
		buf = slices.Grow(buf, step)[:read+step]
		if _, err := io.ReadFull(r, buf[read:]); err != nil {
			return nil, fmt.Errorf("message of %d bytes cut off: %w", size, errors.Join(io.ErrUnexpectedEOF, err))
		}
	}
	return buf, nil
}

// operation returns the kind of a complete message.
func operation(message []byte) int32 {
	return int32(binary.LittleEndian.Uint32(message[12:]))
}

// moreToCome says whether the sender of a complete message will send another one unasked.
func moreToCome(message []byte) bool {
	return operation(message) == opMsg && len(message) >= headerSize+4 &&
		binary.LittleEndian.Uint32(message[headerSize:])&flagMoreToCome != 0
}

// parseRequest reads a client's complete message. It refuses compressed messages, which no
// client sends unless the server has offered to take them, and everything older than OP_MSG
// except the OP_QUERY by which drivers say hello.
func parseRequest(message []byte) (request, error) {
	req := request{id: int32(binary.LittleEndian.Uint32(message[4:]))}
	var body bson.Raw
	var err error
	switch op := operation(message); op {
	case opMsg:
		req.unanswered = moreToCome(message)
		body, _, err = msgSections(message[headerSize:])
	case opQuery:
		body, err = queryBody(message[headerSize:])
	case opCompressed:
		err = errors.New("compressed messages are not understood here: connect without compressors")
	default:
		err = fmt.Errorf("operation %d is not understood here", op)
	}
	if err != nil {
		return request{}, err
	}

	first, err := body.IndexErr(0)
	if err != nil {
		return request{}, fmt.Errorf("read the command: %w", err)
	}
	if req.command, err = first.KeyErr(); err != nil {
		return request{}, fmt.Errorf("read the command: %w", err)
	}
	if v, err := first.ValueErr(); err == nil {
		req.collection, _ = v.StringValueOK()
	}
	if v, err := body.LookupErr("$db"); err == nil {
		req.database, _ = v.StringValueOK()
	}
	if v, err := body.LookupErr("maxTimeMS"); err == nil {
		if ms, ok := v.AsInt64OK(); ok && ms > 0 && ms <= maxTimeLimit {
			req.maxTime = time.Duration(ms) * time.Millisecond
		}
	}
	return req, nil
}

// maxTimeLimit is the largest maxTimeMS that MongoDB takes, in milliseconds.
const maxTimeLimit = 1<<31 - 1

// sequence is a section of kind 1: a list of documents that belongs into the command under
// name. Drivers send what is inserted, updated or deleted so.
type sequence struct {
	name      string
	documents []byte // one after another
}

// msgSections takes the OP_MSG after its header apart: the command, which is the one section
// of kind 0 and may stand anywhere, and the sequences.
func msgSections(b []byte) (body bson.Raw, sequences []sequence, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("OP_MSG ends in its flags")
	}
	flags := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if flags&flagChecksum != 0 {
		if len(b) < 4 {
			return nil, nil, errors.New("OP_MSG ends in its checksum")
		}
		b = b[:len(b)-4]
	}
	for len(b) > 0 {
		kind := b[0]
		section, rest, err := sized(b[1:])
		if err != nil {
			return nil, nil, fmt.Errorf("OP_MSG section of kind %d: %w", kind, err)
		}
		b = rest
		switch {
		case kind == 0 && body == nil:
			body = bson.Raw(section)
		case kind == 1:
			name, documents, ok := bytes.Cut(section[4:], []byte{0})
			if !ok {
				return nil, nil, errors.New("OP_MSG document sequence ends in its name")
			}
			sequences = append(sequences, sequence{string(name), documents})
		default:
			return nil, nil, fmt.Errorf("OP_MSG has a section of kind %d too many", kind)
		}
	}
	if body == nil {
		return nil, nil, errors.New("OP_MSG without a command")
	}
	return body, sequences, nil
}

// encodeMsg is the OP_MSG of which msgSections gives body and sequences.
func encodeMsg(id, replyTo int32, flags uint32, body bson.Raw, sequences ...sequence) []byte {
	var b []byte
	for _, n := range []uint32{0, uint32(id), uint32(replyTo), opMsg, flags} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(append(b, 0), body...)
	for _, s := range sequences {
		b = binary.LittleEndian.AppendUint32(append(b, 1), uint32(4+len(s.name)+1+len(s.documents)))
		b = append(append(b, s.name...), 0)
		b = append(b, s.documents...)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

// queryBody returns the document of the OP_QUERY after its header.
func queryBody(b []byte) (bson.Raw, error) {
	if len(b) < 4 {
		return nil, errors.New("OP_QUERY ends in its flags")
	}
	b = b[4:]
	end := bytes.IndexByte(b, 0)
	if end < 0 || len(b) < end+1+8 {
		return nil, errors.New("OP_QUERY ends in its collection name")
	}
	document, _, err := sized(b[end+1+8:])
	if err != nil {
		return nil, fmt.Errorf("OP_QUERY: %w", err)
	}
	return bson.Raw(document), nil
}

// sized splits b after what its first four bytes say is its length, those bytes included.
func sized(b []byte) (head, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("ends in its length")
	}
	size := int(int32(binary.LittleEndian.Uint32(b)))
	if size < 5 || size > len(b) {
		return nil, nil, fmt.Errorf("says that it has %d bytes where %d follow", size, len(b))
	}
	return b[:size], b[size:], nil
}

// errorReply is the answer to a command that failed, as MongoDB gives it.
func errorReply(req request, code int32, name, text string) ([]byte, error) {
	body, err := bson.Marshal(bson.D{
		{Key: "ok", Value: 0.0},
		{Key: "errmsg", Value: text},
		{Key: "code", Value: code},
		{Key: "codeName", Value: name},
	})
	if err != nil {
		return nil, fmt.Errorf("encode reply: %w", err)
	}
	return encodeMsg(0, req.id, 0, body), nil
}

// lateReply is the answer to a request that wasn't started within its maxTimeMS. Its number
// tells drivers that it is a timeout.
func lateReply(req request) ([]byte, error) {
	return errorReply(req, 50, "MaxTimeMSExpired", "operation exceeded time limit: it waited for other writes and was not started")
}
