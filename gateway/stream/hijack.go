package stream

// Outputs of an event stream: the response of net/http (httpStream), or a connection that was hijacked
// from net/http (hijackedStream). A hijacked connection takes less memory while it waits, since
// net/http's buffers and goroutines are freed.

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// maxUnasked bounds the bytes that a client may send after the request of a stream: the size of one
// more request's headers. They get no response.
const maxUnasked = 64 << 10

// output takes the text of a stream.
type output interface {
	// send sends text at once, and fails when it isn't taken by deadline.
	send(text []byte, deadline time.Time) error
	// finish ends the answer, as far as its form has an end.
	finish(deadline time.Time)
}

// httpStream writes to a request's response. Its handler ends that.
type httpStream struct {
	w          http.ResponseWriter
	connection *http.ResponseController
}

func (a *httpStream) send(text []byte, deadline time.Time) error {
	_ = a.connection.SetWriteDeadline(deadline)
	if _, err := a.w.Write(text); err != nil {
		return err
	}
	return a.connection.Flush()
}

func (a *httpStream) finish(time.Time) {}

// hijackedStream writes an answer of HTTP/1 to the connection itself.
type hijackedStream struct {
	raw     net.Conn
	head    []byte // until it has been sent
	chunked bool   // else the answer ends with the connection: HTTP/1.0 has nothing else
}

// newHijackedStream begins the response to r with headers h. Nothing is sent yet.
func newHijackedStream(raw net.Conn, r *http.Request, h http.Header) *hijackedStream {
	l := &hijackedStream{raw: raw, chunked: r.ProtoAtLeast(1, 1)}
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	if l.chunked {
		h.Set("Transfer-Encoding", "chunked")
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.%d 200 OK\r\n", min(r.ProtoMinor, 1))
	_ = h.Write(&head) // without line ends in a value; a buffer takes all
	head.WriteString("\r\n")
	l.head = head.Bytes()
	return l
}

func (h *hijackedStream) send(text []byte, deadline time.Time) error {
	message := append(h.head, text...)
	if h.chunked {
		message = fmt.Appendf(h.head, "%x\r\n%s\r\n", len(text), text)
	}
	h.head = nil
	_ = h.raw.SetWriteDeadline(deadline)
	_, err := h.raw.Write(message) // all at once
	return err
}

func (h *hijackedStream) finish(deadline time.Time) {
	if h.chunked {
		_ = h.raw.SetWriteDeadline(deadline)
		_, _ = h.raw.Write([]byte("0\r\n\r\n"))
	}
}

// untilGone returns when the client has gone or sends too much, or raw is closed.
func (h *hijackedStream) untilGone() {
	part := make([]byte, 64)
	for left := maxUnasked; left > 0; {
		n, err := h.raw.Read(part)
		if err != nil {
			return
		}
		left -= n
	}
}

// kernelBuffer is how much a client that doesn't read has the system keep for it, in bytes.
// Left to itself Linux keeps up to 4 MB.
const kernelBuffer = 64 << 10

// takeOver takes the connection below w from net/http. It fails where a request has none
// of its own, as in HTTP/2. The request's context ends with its handler; the connection is the
// caller's to close.
func takeOver(w http.ResponseWriter) (net.Conn, error) {
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if tcp, ok := raw.(interface{ SetWriteBuffer(int) error }); ok {
		_ = tcp.SetWriteBuffer(kernelBuffer)
	}
	// Some clients send their first message without waiting for the handshake's end.
	if n := buffered.Reader.Buffered(); n > 0 {
		early := make([]byte, n)
		if _, err := io.ReadFull(buffered.Reader, early); err != nil {
			return nil, err
		}
		raw = &earlyConn{Conn: raw, early: early}
	}
	_ = raw.SetDeadline(time.Time{})
	return raw, nil
}

// earlyConn is a connection with bytes that have been read already.
type earlyConn struct {
	net.Conn
	early []byte
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}
