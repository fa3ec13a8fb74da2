//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// proxy stands in front of FerretDB. Each client connection has one connection to FerretDB
// and one goroutine that carries a command there and its reply back:
//
//	client ── read whole message ── parse ──┬─ read ────────────────── FerretDB ── reply ── client
//	                                        └─ write ── wait for turn ─ FerretDB ── reply ┐
//	                            client ── tell OnForeignWrite if foreign ── end of turn ──┘
//
// The goroutine neither looks at nor depends on the client between the turn's beginning and
// its end. So a client that goes away, or never reads its reply, can't end a turn early nor
// keep one.
type proxy struct {
	backend string // FerretDB's Unix socket
	tables  *tables
	log     *slog.Logger

	turn           chan struct{} // holds a value while a write has its turn; goes to the longest waiting
	onForeignWrite atomic.Pointer[func()]

	// life ends when connections are cut: see cut.
	life context.Context
	cut  context.CancelFunc // cuts all connections; what runs in FerretDB runs on there

	mu       sync.Mutex
	closing  bool // no more connections, no more commands
	listener net.Listener
	conns    map[*conn]struct{}
	running  sync.WaitGroup // the accept loop and every connection's goroutine
}

// conn is one client's way through the proxy.
type conn struct {
	proxy   *proxy
	client  net.Conn
	backend net.Conn
	foreign bool // it came over the socket in the data folder
}

var (
	errClosed = errors.New("the embedded database is closing")
	errLate   = errors.New("not started within its maxTimeMS")
)

// acceptPause is how long the proxy waits after it couldn't accept a connection, which
// happens when the process is out of file descriptors: time for some to be freed.
const acceptPause = 100 * time.Millisecond

// bufferSize is the size of each connection's two read buffers: most commands and replies
// arrive in one read. Longer ones bypass it.
const bufferSize = 16 << 10

// keptMemory is how much memory, in bytes, a connection keeps for its next message.
// After a longer one it starts anew, so that a hundred idle connections stay small.
const keptMemory = 1 << 20

func newProxy(backend string, t *tables, log *slog.Logger) *proxy {
	p := &proxy{
		backend: backend,
		tables:  t,
		log:     log,
		turn:    make(chan struct{}, 1),
		conns:   map[*conn]struct{}{},
	}
	p.life, p.cut = context.WithCancel(context.Background())
	context.AfterFunc(p.life, p.closeConns)
	return p
}

// listen serves what connects to l as foreign, until drain. It owns l from now on.
func (p *proxy) listen(l net.Listener) {
	p.listener = l
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				err = p.serve(p.life, client, true)
			}
			if err != nil && !errors.Is(err, errClosed) {
				p.log.Warn("embedded database: connection refused", "error", err)
				select {
				case <-p.life.Done():
				case <-time.After(acceptPause):
				}
			}
		}
	})
}

// serve carries client's commands until either side closes or the proxy drains. It owns
// client from now on, and closes it also when it returns an error. ctx bounds only the
// connecting to FerretDB.
func (p *proxy) serve(ctx context.Context, client net.Conn, foreign bool) error {
	var dialer net.Dialer
	backend, err := dialer.DialContext(ctx, "unix", p.backend)
	if err != nil {
		client.Close()
		return fmt.Errorf("connect to the embedded database: %w", err)
	}
	c := &conn{proxy: p, client: client, backend: backend, foreign: foreign}

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		c.close()
		return errClosed
	}
	p.conns[c] = struct{}{}
	p.running.Go(func() {
		err := c.run()
		c.close()
		p.mu.Lock()
		delete(p.conns, c)
		closing := p.closing
		p.mu.Unlock()
		if err != nil && !closing {
			p.log.Warn("embedded database: connection ended", "foreign", foreign, "error", err)
		}
	})
	return nil
}

// drain refuses new connections and new commands, and returns when the commands under way
// have been answered, or cut has ended their connections.
func (p *proxy) drain() {
	p.mu.Lock()
	p.closing = true
	if p.listener != nil {
		p.listener.Close()
	}
	for c := range p.conns {
		// Only wakes those that wait for a command: replies are still written.
		_ = c.client.SetReadDeadline(time.Unix(1, 0))
	}
	p.mu.Unlock()
	p.running.Wait()
	p.cut()
}

func (p *proxy) closeConns() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.close()
	}
}

func (p *proxy) isClosing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing
}

func (c *conn) close() {
	c.client.Close()
	c.backend.Close()
}

// run carries commands until the client or the proxy has had enough, which is no error.
func (c *conn) run() error {
	fromClient := bufio.NewReaderSize(c.client, bufferSize)
	fromBackend := bufio.NewReaderSize(c.backend, bufferSize)
	var message, reply []byte
	for !c.proxy.isClosing() {
		var err error
		if message, err = readMessage(fromClient, message); err != nil {
			return unlessGone("read command", err)
		}
		req, err := parseRequest(message)
		if err != nil {
			return fmt.Errorf("refuse message: %w", err)
		}
		if reply, err = c.answer(req, message, fromBackend, reply); err != nil {
			return fmt.Errorf("%s: %w", req.command, err)
		}
		if !req.unanswered {
			if _, err = c.client.Write(reply); err != nil {
				return unlessGone("write reply", err)
			}
		}
		if cap(message) > keptMemory {
			message = nil
		}
		if cap(reply) > keptMemory {
			reply = nil
		}
	}
	return nil
}

// unlessGone returns nil for what a peer that closed its connection causes, in whatever state.
func unlessGone(doing string, err error) error {
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// answer has the database carry out req, whose message is complete, and returns the reply
// in buf's memory where that is large enough. A write waits for its turn; where that doesn't
// come within the client's time limit, the write is not made and the reply says so.
func (c *conn) answer(req request, message []byte, fromBackend *bufio.Reader, buf []byte) ([]byte, error) {
	if reads(req.command) {
		if reply, ok, err := c.gather(req, message, fromBackend); ok || err != nil {
			return reply, err
		}
		return c.exchange(message, fromBackend, buf)
	}

	p := c.proxy
	err := p.takeTurn(req.maxTime)
	if errors.Is(err, errLate) {
		return lateReply(req)
	}
	if err != nil {
		return nil, err
	}
	reply, err := c.write(req, message, fromBackend, buf)
	if indexing := p.tables.wrote(p.life, req); indexing != nil {
		p.log.Warn("embedded database: looking documents up by _id stays slow", "database", req.database, "collection", req.collection, "error", indexing)
	}
	<-p.turn

	// Also after an error: it may have come after the database had written.
	if tell := p.onForeignWrite.Load(); c.foreign && tell != nil {
		(*tell)()
	}
	return reply, err
}

// write has the database carry out a write, in its turn.
func (c *conn) write(req request, message []byte, fromBackend *bufio.Reader, buf []byte) ([]byte, error) {
	message, err := c.lookUp(req, message, fromBackend)
	if err != nil {
		return nil, err
	}
	reply, err := c.exchange(message, fromBackend, buf)
	if err != nil {
		return nil, err
	}
	return duplicateKey(req, reply)
}

// takeTurn returns nil when it is the caller's turn to write, which ends when the caller
// receives from p.turn. It waits at most limit, if that is not 0.
func (p *proxy) takeTurn(limit time.Duration) error {
	var late <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case p.turn <- struct{}{}:
		if p.life.Err() != nil { // both came at once: the turn before was cut
			<-p.turn
			return errClosed
		}
		return nil
	case <-late:
		return errLate
	case <-p.life.Done():
		return errClosed
	}
}

// exchange sends message to FerretDB and returns its reply. FerretDB replies once to every
// message, to those that await no reply too.
func (c *conn) exchange(message []byte, fromBackend *bufio.Reader, buf []byte) ([]byte, error) {
	if _, err := c.backend.Write(message); err != nil {
		return nil, fmt.Errorf("send command: %w", err)
	}
	reply, err := readMessage(fromBackend, buf)
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if op := operation(reply); op != opMsg && op != opReply || moreToCome(reply) {
		return nil, fmt.Errorf("reply with operation %d is not understood here", op)
	}
	return reply, nil
}

// reads says whether command leaves data and schema as they are. Whatever isn't known to is
// taken for a write. Of aggregate's stages only $out and $merge would write, and FerretDB
// refuses both.
func reads(command string) bool {
	switch command {
	case "aggregate", "count", "distinct", "explain", "find", "getMore", "killCursors",
		"listCollections", "listDatabases", "listIndexes",
		"collStats", "dataSize", "dbStats", "dbstats", "validate",
		"buildInfo", "buildinfo", "connectionStatus", "currentOp", "getCmdLineOpts",
		"getFreeMonitoringStatus", "getLog", "getParameter", "hostInfo", "listCommands",
		"ping", "serverStatus", "usersInfo", "whatsmyuri",
		"hello", "isMaster", "ismaster", "saslStart", "saslContinue", "logout",
		"endSessions", "refreshSessions", "startSession":
		return true
	}
	return false
}
