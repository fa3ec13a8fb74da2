// Package backlog bounds the bytes that were written to connections and that the peers haven't taken
// yet. The kernel holds them: up to 4 MB a connection on Linux (tcp_wmem), where neither Go's memory
// limit nor a limit of requests sees them.
//
// Smaller kernel buffers would bound them, too, but SO_SNDBUF ends the tuning of a connection: with
// 128 KB, a client 100 ms away gets 1 MB/s at most. So buffers stay as they are, and the sum of their
// bytes has a bound for each client and in total. Beyond it, the connections lose that have waited for
// their peers the longest. The package imports nothing of ours. Entry points: New, Backlog.Listen.
package backlog

// This file has the sums over all connections. conn.go has one connection.

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultTotal is for all connections. It is an eighth of the process's memory limit, if there is a
	// smaller one.
	defaultTotal = 256 << 20

	// clients is how many clients it takes to reach the total.
	clients = 8

	// defaultConnections is for one client: an office, or a pool of connections of a proxy that isn't
	// listed. An idle one takes some 15 KB.
	defaultConnections = 1000

	// defaultStall is a third of the minute that a response may take in all (wire.WriteTime).
	defaultStall = 20 * time.Second
)

// Limits bound the connections; 0 is the default of each.
type Limits struct {
	Total       int64         // bytes, of all connections
	PerClient   int64         // bytes, of those of one address or /64 of IPv6
	Connections int           // of one client
	Stall       time.Duration // for the next part of a long response to be taken, of 64 KiB
}

// WithDefaults returns l with the default of each limit that is 0. memory is the memory limit of the
// process in bytes.
func (l Limits) WithDefaults(memory int64) Limits {
	l.Total = cmp.Or(l.Total, max(min(defaultTotal, memory/8), 1<<20))
	return Limits{
		Total: l.Total, PerClient: cmp.Or(l.PerClient, l.Total/clients),
		Connections: cmp.Or(l.Connections, defaultConnections), Stall: cmp.Or(l.Stall, defaultStall),
	}
}

// Validate returns an error for a limit that can't be one.
func (l Limits) Validate() error {
	if min(l.Total, l.PerClient, int64(l.Connections), int64(l.Stall)) < 0 {
		return errors.New("a limit of bytes on their way is negative; 0 is its default")
	}
	return nil
}

// Backlog counts the bytes that wait for the peers of connections. It is safe for concurrent use.
type Backlog struct {
	limits  Limits
	isProxy func(netip.Addr) bool
	log     *slog.Logger
	logged  atomic.Int64 // when something was logged last, in Unix nanoseconds
	total   atomic.Int64

	mu       sync.Mutex
	byOrigin map[netip.Prefix]*client

	relieving sync.Mutex // held while connections are chosen that lose
}

// client has the connections from one address or /64 of IPv6.
type client struct {
	origin netip.Prefix
	shared bool         // it is a proxy, with connections of many clients
	bytes  atomic.Int64 // counted, at least those that wait
	open   map[*conn]struct{}
}

// New returns a Backlog of no connections. A proxy is many clients: only the total holds for its
// connections.
func New(limits Limits, isProxy func(netip.Addr) bool, log *slog.Logger) *Backlog {
	return &Backlog{limits: limits, isProxy: isProxy, log: log, byOrigin: map[netip.Prefix]*client{}}
}

// Listen returns a listener for the connections of l that count. A connection that isn't TCP doesn't.
func (b *Backlog) Listen(l net.Listener) net.Listener { return &listener{l, b} }

type listener struct {
	net.Listener
	backlog *Backlog
}

// Accept is net.Listener's. It closes the connections that a client has too many.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		tcp, ok := raw.(*net.TCPConn)
		if err != nil || !ok {
			return raw, err
		}
		if c := l.backlog.enter(tcp); c != nil {
			return c, nil
		}
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

// enter makes a connection count; nil if its client has too many.
func (b *Backlog) enter(tcp *net.TCPConn) *conn {
	origin, shared := b.originOf(tcp)
	c, err := newConn(tcp)
	if err != nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.byOrigin[origin]
	if of == nil {
		of = &client{origin: origin, shared: shared, open: map[*conn]struct{}{}}
		b.byOrigin[origin] = of
	}
	if !shared && len(of.open) >= b.limits.Connections {
		b.warn("a client has as many connections as it may have; further ones are closed. A proxy must be in STOA_PROXIES", of)
		return nil
	}
	c.backlog, c.client = b, of
	of.open[c] = struct{}{}
	return c
}

// originOf returns the network of a connection's peer: a subscriber of IPv6 has a /64 at least.
func (b *Backlog) originOf(tcp *net.TCPConn) (origin netip.Prefix, shared bool) {
	peer, _ := tcp.RemoteAddr().(*net.TCPAddr)
	address := peer.AddrPort().Addr().WithZone("").Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	origin, _ = address.Prefix(bits) // the address of a connection is valid
	return origin, b.isProxy(address)
}

// warn logs a message about a client, and is silent for a minute after that.
func (b *Backlog) warn(message string, of *client) {
	now, last := time.Now().UnixNano(), b.logged.Load()
	if now-last >= int64(time.Minute) && b.logged.CompareAndSwap(last, now) {
		b.log.Warn(message, "client", of.origin.String())
	}
}

// leave ends the counting of c.
func (b *Backlog) leave(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.left.Store(true)
	c.forget()
	delete(c.client.open, c)
	if len(c.client.open) == 0 && b.byOrigin[c.client.origin] == c.client {
		delete(b.byOrigin, c.client.origin)
	}
}

// check brings the bytes of a client and of all below their limits, if they are above, before writer
// adds to them.
func (b *Backlog) check(writer *conn) {
	if of := writer.client; !of.shared && of.bytes.Load() > b.limits.PerClient {
		b.relieve(writer, func(c *client) bool { return c == of }, &of.bytes, b.limits.PerClient)
	}
	if b.total.Load() > b.limits.Total {
		b.relieve(writer, func(*client) bool { return true }, &b.total, b.limits.Total)
	}
}

// relieve counts the connections of the chosen clients anew, as the kernel has them. If their sum is
// above most even so, it resets those that have waited for their peers the longest, until three quarters
// are left: it is some time before the next look. The writer isn't reset. Where it alone is above most,
// its kernel buffer becomes small.
func (b *Backlog) relieve(writer *conn, chosen func(*client) bool, sum *atomic.Int64, most int64) {
	if !b.relieving.TryLock() {
		return // somebody else does it
	}
	defer b.relieving.Unlock()
	b.mu.Lock()
	var all []*conn
	for _, of := range b.byOrigin {
		if chosen(of) {
			for c := range of.open {
				all = append(all, c)
			}
		}
	}
	b.mu.Unlock()
	for _, c := range all {
		c.count()
	}
	if sum.Load() <= most {
		return
	}
	slices.SortFunc(all, func(a, c *conn) int { return cmp.Compare(a.wrote.Load(), c.wrote.Load()) })
	for _, c := range all {
		if sum.Load() <= most*3/4 {
			return
		}
		if c != writer && c.counted.Load() > 0 {
			b.warn("clients read too little: connections are reset that have waited the longest", c.client)
			c.reset()
		}
	}
	_ = writer.tcp.SetWriteBuffer(piece)
}
