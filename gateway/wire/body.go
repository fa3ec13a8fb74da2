package wire

// Reading a request's body, bounded in size and time. Entry points: Codec.ReadBody, ClearReadDeadline.

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"stoa/gateway/refusal"
)

// ReadAtOnce is the greatest size of a body that gets its memory before it has arrived, in
// bytes.
const ReadAtOnce = 4 << 10

// ReadBody reads the body of a POST into a buffer, within the bounds of size and time. The time
// counts from began. Its deadline holds for later reads of the connection, too, until
// ClearReadDeadline undoes it.
func (c *Codec) ReadBody(w http.ResponseWriter, r *http.Request, into *bytes.Buffer, began time.Time) error {
	if !c.HeaderCache.JSON(r.Header) {
		if err := checkContent(r.Header); err != nil {
			return err
		}
	}
	if r.ContentLength > c.maxBody {
		return bodyTooLarge(c.maxBody)
	}
	// Not every ResponseWriter has deadlines; one without has no slow sender either.
	_ = readDeadline(w).SetReadDeadline(began.Add(c.timeout))
	var err error
	if n := int(r.ContentLength); n > 0 && n <= ReadAtOnce {
		into.Grow(n)
		read := into.AvailableBuffer()[:n]
		n, err = io.ReadFull(r.Body, read)
		into.Write(read[:n]) // where it lies already
	} else {
		_, err = into.ReadFrom(http.MaxBytesReader(w, r.Body, c.maxBody))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refusal.New(refusal.RequestTimeout, "the body didn't arrive within %s: %d bytes of it had come", c.timeout, into.Len()).With("Connection", "close")
	default:
		return refusal.New(refusal.BadRequest, "the body ended before its end").With("Connection", "close")
	}
}

// ClearReadDeadline undoes ReadBody's deadline: net/http keeps reading to detect a disconnect and
// would mistake an expired deadline for one. A request that is answered at once doesn't need it.
func ClearReadDeadline(w http.ResponseWriter) { _ = readDeadline(w).SetReadDeadline(time.Time{}) }

// readDeadline returns the setter of the deadline for reading from w's connection.
func readDeadline(w http.ResponseWriter) interface{ SetReadDeadline(time.Time) error } {
	if has, ok := w.(interface{ SetReadDeadline(time.Time) error }); ok {
		return has
	}
	return http.NewResponseController(w)
}

// checkContent refuses a body that isn't plain JSON in UTF-8. Forms are refused with the rest: a
// page of another site can send them with a visitor's cookies and without asking first.
func checkContent(h http.Header) error {
	types := h.Values("Content-Type")
	if len(types) != 1 {
		return refusal.New(refusal.UnsupportedMedia, "a POST says what its body is, once: Content-Type: application/json")
	}
	kind, params, err := mime.ParseMediaType(types[0])
	if err != nil || kind != string(JSON) {
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

func bodyTooLarge(limit int64) error {
	return refusal.New(refusal.PayloadTooLarge, "the body is larger than the %d bytes that are taken", limit).With("Connection", "close")
}
