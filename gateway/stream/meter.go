package stream

// A bound on what a WebSocket's client sends without asking for anything: pings, pongs, frames without
// content, messages that are refused for free. Each takes up to 16 µs. Entry points: meter.read,
// meter.spend, meter.giveBack.

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// unaskedBurst and unaskedRate bound these bytes at once and a second: 680 pings of the protocol
	// below, or 190 of graphql-transport-ws, and then 10 or 3 a second. Clients send one in 10 s.
	unaskedBurst = 4 << 10
	unaskedRate  = 64

	// frameHeader is the most bytes of a frame beside its payload (RFC 6455, 5.2).
	frameHeader = 14

	// refusedMessage and refusedShare are what a message counts that is refused for free: so many bytes,
	// and one more for each refusedShare bytes.
	refusedMessage = 32
	refusedShare   = 32

	// drained is how many bytes are thrown away after too many, so that the client gets to know why the
	// connection ends: closed with bytes unread, it would be reset.
	drained = 1 << 20
)

// meter is a connection that counts the read bytes that belong to no operation. It is safe for concurrent
// use.
type meter struct {
	net.Conn

	mu   sync.Mutex
	left int // bytes; it may be a little below 0 while a message comes
	at   time.Time
	over bool
}

var errUnasked = errors.New("too many bytes belong to no operation")

// Read is io.Reader's. Every byte counts until it is given back.
func (m *meter) Read(p []byte) (int, error) {
	if m.isOver() { // the connection ends
		_, _ = io.CopyN(io.Discard, m.Conn, drained)
		return 0, errUnasked
	}
	n, err := m.Conn.Read(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left -= n; m.left < -2*socketBuffer {
		m.refill()
		m.over = m.left < -2*socketBuffer
	}
	if m.over {
		return 0, errUnasked
	}
	return n, err
}

// isOver says if there were too many bytes.
func (m *meter) isOver() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over
}

// spend counts bytes, and returns false if there are too many.
func (m *meter) spend(bytes int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refill()
	m.left -= bytes
	m.over = m.over || m.left < 0
	return !m.over
}

// giveBack takes bytes out of the count.
func (m *meter) giveBack(bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = min(m.left+bytes, unaskedBurst)
}

// refill adds what has come back since the last time, in whole bytes. The caller holds mu.
func (m *meter) refill() {
	back := time.Since(m.at) * unaskedRate / time.Second
	m.left = min(m.left+int(back), unaskedBurst)
	m.at = m.at.Add(back * time.Second / unaskedRate)
}

// read reads a message into a buffer, and gives its bytes back as they come: it is for their reader to
// count them.
func (m *meter) read(into *bytes.Buffer, message io.Reader) error {
	for {
		into.Grow(socketBuffer) // as much as may be counted in advance
		part := into.AvailableBuffer()[:socketBuffer]
		n, err := message.Read(part)
		into.Write(part[:n]) // where it lies already
		m.giveBack(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
