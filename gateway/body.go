package gateway

// Reading a request's body: readEnvelope for a request with one envelope, takeBody and readBody
// for its bytes, bounded in size and time.

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
)

// readAtOnce is up to which size memory is given to a body before it has come, in bytes.
const readAtOnce = 4 << 10

// readEnvelope reads r's envelope from where its method has it.
func (g *Gateway) readEnvelope(w http.ResponseWriter, r *http.Request, began time.Time) (*envelope.Envelope, error) {
	if r.Method != http.MethodPost {
		return envelope.ParseAddress(r.URL.RawQuery)
	}
	body := g.buffers.get()
	defer g.buffers.put(body)
	if err := g.takeBody(w, r, body, began); err != nil {
		return nil, err
	}
	goOnReading(w)
	return envelope.Parse(body.Bytes())
}

// checkContent refuses what isn't plain JSON in UTF-8. Forms are refused with the rest: a
// page of another site can send them with a visitor's cookies and without asking first.
func checkContent(h http.Header) error {
	types := h.Values("Content-Type")
	if len(types) != 1 {
		return refusal.New(refusal.UnsupportedMedia, "a POST says what its body is, once: Content-Type: application/json")
	}
	kind, params, err := mime.ParseMediaType(types[0])
	if err != nil || kind != string(mediaJSON) {
		return refusal.New(refusal.UnsupportedMedia, "Content-Type %.100q isn't taken: send application/json, or multipart/form-data with files", types[0])
	}
	if charset, ok := params["charset"]; ok && !isUTF8(charset) {
		return refusal.New(refusal.UnsupportedMedia, "charset %.40q isn't taken: send UTF-8", charset)
	}
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return refusal.New(refusal.UnsupportedMedia, "Content-Encoding %.40q isn't taken: send the body uncompressed", coding).With("Accept-Encoding", "identity")
	}
	return nil
}

// readBody reads r's body, no more of it than may be and no longer than until deadline, which
// goes on to hold for what is read of the connection: see goOnReading.
func (g *Gateway) readBody(deadline time.Time, w http.ResponseWriter, r *http.Request, into *bytes.Buffer) error {
	if r.ContentLength > g.maxBody {
		return bodyTooLarge(g.maxBody)
	}
	// Not every ResponseWriter has deadlines; one without has no slow sender either.
	_ = readDeadline(w).SetReadDeadline(deadline)
	var err error
	if n := int(r.ContentLength); n > 0 && n <= readAtOnce {
		into.Grow(n)
		read := into.AvailableBuffer()[:n]
		n, err = io.ReadFull(r.Body, read)
		into.Write(read[:n]) // where it lies already
	} else {
		_, err = into.ReadFrom(http.MaxBytesReader(w, r.Body, g.maxBody))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refusal.New(refusal.RequestTimeout, "the body didn't arrive within %s: %d bytes of it had come", g.timeout, into.Len()).With("Connection", "close")
	default:
		return refusal.New(refusal.BadRequest, "the body ended before its end").With("Connection", "close")
	}
}

// goOnReading takes readBody's deadline back where net/http hasn't: it reads on to see the
// client leave, and would take the deadline's passing for that. A request that is answered at
// once needs it not.
func goOnReading(w http.ResponseWriter) { _ = readDeadline(w).SetReadDeadline(time.Time{}) }

// readDeadline is where the deadline for reading from w's connection is set.
func readDeadline(w http.ResponseWriter) interface{ SetReadDeadline(time.Time) error } {
	if has, ok := w.(interface{ SetReadDeadline(time.Time) error }); ok {
		return has
	}
	return http.NewResponseController(w)
}

func bodyTooLarge(limit int64) error {
	return refusal.New(refusal.PayloadTooLarge, "the body is larger than the %d bytes that are taken", limit).With("Connection", "close")
}
