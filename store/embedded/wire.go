//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reads and writes the messages of MongoDB's wire protocol. Entry points:
// readMessage, parseRequest, appendReply. Sizes and numbers are those of
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

const (
	headerSize = 16 // length, request id, id of the request replied to, operation; int32 each

	// maxMessage is the length of the longest message, 48,000,000 bytes: the server announces it as
	// maxMessageSizeBytes.
	maxMessage = 48_000_000

	// readStep bounds the memory for a message before any of it has arrived. Beyond that, memory
	// follows the bytes received, never the length that a header promises.
	readStep = 64 << 10

	opReply      = 1
	opQuery      = 2004 // drivers send their first hello in it, before they know the server
	opCompressed = 2012
	opMsg        = 2013

	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
)

// request is a client's command.
type request struct {
	id         int32
	legacy     bool          // it came by OP_QUERY, and is answered by OP_REPLY
	name       string        // in the client's spelling; commands are case-sensitive
	body       []byte        // the command, checked
	database   string        // "" for none in the message
	collection string        // "" if the command's first value is no name
	maxTime    time.Duration // the client's time limit, 0 for none
	unanswered bool          // the client awaits no reply (moreToCome, write concern 0)
	sequences  []sequence
	explained  bool  // it is the command in an explain
	connection int32 // the number of its connection
}

// readMessage reads one message, header included, into buf's memory if that is large enough. It
// returns io.EOF only if the peer has closed between two messages. It allocates at most twice the
// bytes received plus readStep.
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

// parseRequest reads a client's complete message. It refuses compressed messages, because the
// server never offers compression, and all operations older than OP_MSG, except the OP_QUERY of a
// driver's first hello. An error that is a commandError is the command's, and the connection goes
// on.
func parseRequest(message []byte) (*request, error) {
	req := &request{id: int32(binary.LittleEndian.Uint32(message[4:]))}
	var err error
	switch op := operation(message); op {
	case opMsg:
		if len(message) >= headerSize+4 {
			req.unanswered = binary.LittleEndian.Uint32(message[headerSize:])&flagMoreToCome != 0
		}
		req.body, req.sequences, err = msgSections(message[headerSize:])
	case opQuery:
		req.legacy = true
		req.body, err = queryBody(message[headerSize:])
	case opCompressed:
		err = errors.New("compressed messages are not understood here: connect without compressors")
	default:
		err = fmt.Errorf("operation %d is not understood here", op)
	}
	if err != nil {
		return nil, err
	}
	if err := checkDocument(req.body); err != nil {
		return req, err
	}
	first, _, ok := bsoncore.ReadElement(req.body[4:])
	if !ok || len(req.body) == 5 {
		return req, fail(codeFailedToParse, "the command is empty")
	}
	req.name = first.Key()
	req.collection, _ = first.Value().StringValueOK()
	if v, ok := field(req.body, "$db"); ok {
		req.database, _ = v.StringValueOK()
	}
	if v, ok := field(req.body, "maxTimeMS"); ok {
		var ms int64
		if err := readInt("maxTimeMS", v, &ms); err != nil {
			return req, err
		}
		if ms < 0 || ms > maxTimeLimit {
			return req, fail(codeBadValue, "maxTimeMS must be between 0 and %d, but is %d", maxTimeLimit, ms)
		}
		req.maxTime = time.Duration(ms) * time.Millisecond
	}
	return req, nil
}

// maxTimeLimit is MongoDB's largest maxTimeMS, in milliseconds.
const maxTimeLimit = 1<<31 - 1

// sequence is a section of kind 1: a list of documents that belongs to the command under name.
// Drivers send the documents of inserts, updates and deletes in it. The documents are unchecked.
type sequence struct {
	name      string
	documents [][]byte
}

// msgSections splits the OP_MSG after its header into the command, the one section of kind 0, in
// any position, and the sequences.
func msgSections(b []byte) (body []byte, sequences []sequence, err error) {
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
			body = section
		case kind == 1:
			name, documents, ok := bytes.Cut(section[4:], []byte{0})
			if !ok {
				return nil, nil, errors.New("OP_MSG document sequence ends in its name")
			}
			s := sequence{name: string(name)}
			for len(documents) > 0 {
				var document []byte
				if document, documents, err = sized(documents); err != nil {
					return nil, nil, fmt.Errorf("OP_MSG document sequence: %w", err)
				}
				s.documents = append(s.documents, document)
			}
			sequences = append(sequences, s)
		default:
			return nil, nil, fmt.Errorf("OP_MSG has a section of kind %d too many", kind)
		}
	}
	if body == nil {
		return nil, nil, errors.New("OP_MSG without a command")
	}
	return body, sequences, nil
}

// appendReply appends the reply to req with the document body.
func appendReply(dst []byte, req *request, body []byte) []byte {
	size := headerSize + 4 + 1 + len(body)
	operation := uint32(opMsg)
	if req.legacy {
		size, operation = headerSize+20+len(body), opReply
	}
	for _, n := range []uint32{uint32(size), 0, uint32(req.id), operation, 0} { // the last one: no flags
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	if req.legacy {
		dst = binary.LittleEndian.AppendUint64(dst, 0) // no cursor
		dst = binary.LittleEndian.AppendUint32(dst, 0) // from the first document on
		dst = binary.LittleEndian.AppendUint32(dst, 1) // one document
	} else {
		dst = append(dst, 0)
	}
	return append(dst, body...)
}

// queryBody returns the document of the OP_QUERY after its header.
func queryBody(b []byte) ([]byte, error) {
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
	return document, nil
}

// sized splits b after the length in its first four bytes, those bytes included.
func sized(b []byte) (head, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("ends in its length")
	}
	size := int(int32(binary.LittleEndian.Uint32(b)))
	if size < 5 || size > len(b) {
		return nil, nil, fmt.Errorf("says that it has %d bytes, and %d follow", size, len(b))
	}
	return b[:size], b[size:], nil
}
