package gateway

// Where an event stream is written to: the answer of a request (answering), or a connection
// that was taken over, so that nothing of net/http's stays while it waits (lasting).

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"stoa/gateway/operation"
)

// maxUnasked is how much a client may send after a request whose answer lasts, in bytes: as
// much as one more request's headers may have. It isn't answered.
const maxUnasked = 64 << 10

// output takes the text of a stream.
type output interface {
	// send sends text at once, and fails when it isn't taken by deadline.
	send(text []byte, deadline time.Time) error
	// finish ends the answer, as far as its form has an end.
	finish(deadline time.Time)
}

// answering writes to a request's answer, which its handler ends.
type answering struct {
	w          http.ResponseWriter
	connection *http.ResponseController
}

func (a *answering) send(text []byte, deadline time.Time) error {
	_ = a.connection.SetWriteDeadline(deadline)
	if _, err := a.w.Write(text); err != nil {
		return err
	}
	return a.connection.Flush()
}

func (a *answering) finish(time.Time) {}

// lasting writes an answer of HTTP/1 to the connection itself.
type lasting struct {
	raw     net.Conn
	head    []byte // until it has been sent
	chunked bool   // else the answer ends with the connection: HTTP/1.0 has nothing else
}

// newLasting begins the answer to r with headers h. Nothing is sent yet.
func newLasting(raw net.Conn, r *http.Request, h http.Header) *lasting {
	l := &lasting{raw: raw, chunked: r.ProtoAtLeast(1, 1)}
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

func (l *lasting) send(text []byte, deadline time.Time) error {
	parts := net.Buffers{l.head, text}
	if l.chunked {
		parts = net.Buffers{append(l.head, strconv.FormatInt(int64(len(text)), 16)+"\r\n"...), text, []byte("\r\n")}
	}
	l.head = nil
	_ = l.raw.SetWriteDeadline(deadline)
	_, err := parts.WriteTo(l.raw) // all at once over TCP
	return err
}

func (l *lasting) finish(deadline time.Time) {
	if l.chunked {
		_ = l.raw.SetWriteDeadline(deadline)
		_, _ = l.raw.Write([]byte("0\r\n\r\n"))
	}
}

// untilGone returns when the client has gone or sends what it isn't to, or raw is closed.
func (l *lasting) untilGone() {
	part := make([]byte, 64)
	for left := maxUnasked; left > 0; {
		n, err := l.raw.Read(part)
		if err != nil {
			return
		}
		left -= n
	}
}

// serveTaken is serve over a connection that was taken over, and closes it.
func (s *stream) serveTaken(ctx context.Context, p *operation.Prepared, l *lasting) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		l.untilGone()
		s.cancel(context.Canceled)
	}()
	defer func() {
		if cause := recover(); cause != nil {
			s.gateway.codec.LogPanic(ctx, cause)
		}
		_ = l.raw.Close()
		<-gone
	}()
	s.serve(ctx, p, nil)
}
