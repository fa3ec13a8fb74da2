package backlog

// One connection that counts: conn.Write adds bytes, conn.count learns from the kernel how many are left,
// and conn.Close waits for these.

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// piece is how much is written at once, in bytes. After as much the kernel is asked what is left.
	piece = 64 << 10

	// receiveBuffer bounds the bytes that wait for us to read them: with the kernel's own share twice as
	// many. A client 100 ms away can send 1.3 MB/s.
	receiveBuffer = 128 << 10

	// lingerFor is how long a closed connection waits for its peer to take the rest.
	lingerFor = 20 * time.Second

	// firstLinger is the first of the times between two looks at a closed connection; each is twice the
	// one before. Most need one round trip.
	firstLinger = 20 * time.Millisecond
)

// conn is a connection that counts for its client.
type conn struct {
	net.Conn
	tcp     *net.TCPConn
	raw     syscall.RawConn
	backlog *Backlog
	client  *client

	pending atomic.Int64 // bytes of the Write under way
	counted atomic.Int64 // bytes that wait, at most; those under way included
	wrote   atomic.Int64 // the time of the last Write, in Unix nanoseconds
	stuck   atomic.Bool  // the peer didn't take a Write in time
	closed  atomic.Bool  // by Close or reset
	left    atomic.Bool  // it counts no longer

	mu       sync.Mutex
	deadline time.Time // of Write, as it was set
}

func newConn(tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	_ = tcp.SetReadBuffer(receiveBuffer)
	limitSilence(raw)
	return &conn{Conn: tcp, tcp: tcp, raw: raw}, nil
}

// SetWriteBuffer is net.TCPConn's.
func (c *conn) SetWriteBuffer(bytes int) error { return c.tcp.SetWriteBuffer(bytes) }

// CloseWrite is net.TCPConn's. net/http uses it.
func (c *conn) CloseWrite() error { return c.tcp.CloseWrite() }

// SetDeadline is net.Conn's.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is net.Conn's. Write has a limit of its own beside it.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

// Write is net.Conn's. It fails if the peer takes no further piece of p for as long as Limits.Stall.
func (c *conn) Write(p []byte) (written int, err error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	if len(p) <= piece {
		return c.write(p)
	}
	defer c.limitPiece(0)
	for len(p) > 0 && err == nil {
		c.limitPiece(c.backlog.limits.Stall)
		var n int
		n, err = c.write(p[:min(len(p), piece)])
		written += n
		p = p[n:]
	}
	return written, err
}

// limitPiece limits the next piece of a long Write, in addition to its deadline; 0 leaves the deadline
// alone.
func (c *conn) limitPiece(limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.deadline
	if limit > 0 {
		if own := time.Now().Add(limit); until.IsZero() || own.Before(until) {
			until = own
		}
	}
	_ = c.Conn.SetWriteDeadline(until)
}

// write writes one piece and counts it, until the kernel has it, and after that.
func (c *conn) write(p []byte) (int, error) {
	if c.counted.Load() >= piece {
		c.count()
	}
	c.pending.Store(int64(len(p)))
	c.add(int64(len(p)))
	c.wrote.Store(time.Now().UnixNano())
	c.backlog.check(c)
	n, err := c.Conn.Write(p)
	c.pending.Store(0)
	if c.left.Load() { // it was reset meanwhile
		c.forget()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.stuck.Store(true)
	}
	return n, err
}

// add counts n bytes more, or fewer.
func (c *conn) add(n int64) {
	c.counted.Add(n)
	c.client.bytes.Add(n)
	c.backlog.total.Add(n)
}

// count asks the kernel how many bytes wait, and returns their number.
func (c *conn) count() int64 {
	now := c.pending.Load() + waiting(c.raw)
	was := c.counted.Swap(now)
	c.client.bytes.Add(now - was)
	c.backlog.total.Add(now - was)
	return now
}

// forget takes back what was counted.
func (c *conn) forget() {
	was := c.counted.Swap(0)
	c.client.bytes.Add(-was)
	c.backlog.total.Add(-was)
}

// reset ends the connection at once: the kernel drops the bytes that wait.
func (c *conn) reset() {
	c.closed.Store(true)
	_ = c.tcp.SetLinger(0)
	_ = c.end()
}

// end closes the connection itself.
func (c *conn) end() error {
	err := c.Conn.Close()
	c.backlog.leave(c)
	return err
}

// Close is net.Conn's. Bytes that wait count until the peer has taken them. A peer that takes longer
// than lingerFor, or that didn't take a Write in time, loses them.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	if c.stuck.Load() {
		_ = c.tcp.SetLinger(0)
	} else if c.count() > 0 {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // nobody reads any more
		_ = c.tcp.CloseWrite()
		c.linger(time.Now().Add(lingerFor), firstLinger)
		return nil
	}
	return c.end()
}

// linger closes the connection when its peer has taken everything, at the latest at the time until.
func (c *conn) linger(until time.Time, wait time.Duration) {
	time.AfterFunc(wait, func() {
		switch {
		case c.count() <= 1: // the end itself counts as a byte
			_ = c.end()
		case time.Now().After(until):
			c.reset()
		default:
			c.linger(until, 2*wait)
		}
	})
}
