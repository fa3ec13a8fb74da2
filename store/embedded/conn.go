//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file serves connections: it reads commands, runs them one after another, and writes their
// replies. If the client closes the connection while a command runs, the command is cancelled.
// Entry points: listeners.listen, listeners.serve, listeners.drain.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// listeners are all connections of a server.
type listeners struct {
	server *Server

	// life ends when the connections are cut: see cut.
	life context.Context
	cut  context.CancelFunc // cuts all connections and cancels their commands

	mu       sync.Mutex
	closing  bool // no more connections, no more commands
	listener net.Listener
	conns    map[*conn]struct{}
	running  sync.WaitGroup // the accept loop and every connection's goroutines
}

// conn is one client's connection.
type conn struct {
	all     *listeners
	client  net.Conn
	foreign bool // it came over the socket in the data folder
	id      int32
}

var errClosed = errors.New("the embedded database is closing")

// acceptPause is the wait after a connection couldn't be accepted because the process is out of
// file descriptors: time for some to be freed.
const acceptPause = 100 * time.Millisecond

// bufferSize is the size of each connection's read buffer: most commands arrive in one read.
// Longer ones bypass it.
const bufferSize = 16 << 10

// retainedMemory bounds the memory, in bytes, that a connection keeps for its next message. After a
// longer message the memory is allocated anew, so that a hundred idle connections stay small.
const retainedMemory = 64 << 10

func newListeners(s *Server) *listeners {
	l := &listeners{server: s, conns: map[*conn]struct{}{}}
	l.life, l.cut = context.WithCancel(context.Background())
	context.AfterFunc(l.life, l.closeConns)
	return l
}

// listen serves the connections to socket as foreign, until drain. It owns socket from now on.
func (l *listeners) listen(socket net.Listener) {
	l.listener = socket
	l.running.Go(func() {
		for {
			client, err := socket.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				err = l.serve(client, true)
			}
			if err != nil && !errors.Is(err, errClosed) {
				l.server.log.Warn("embedded database: connection refused", "error", err)
				select {
				case <-l.life.Done():
				case <-time.After(acceptPause):
				}
			}
		}
	})
}

// serve runs client's commands until either side closes or the server drains. It owns client from
// now on, and closes it also if it returns an error.
func (l *listeners) serve(client net.Conn, foreign bool) error {
	c := &conn{all: l, client: client, foreign: foreign, id: l.server.nextConnection.Add(1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		client.Close()
		return errClosed
	}
	l.conns[c] = struct{}{}
	l.running.Go(func() {
		if err := c.run(); err != nil {
			l.server.log.Warn("embedded database: connection ended", "error", err)
		}
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
		client.Close()
	})
	return nil
}

// drain refuses new connections and new commands. It returns when the commands under way have been
// answered, or cut has ended their connections.
func (l *listeners) drain() {
	l.mu.Lock()
	l.closing = true
	if l.listener != nil {
		l.listener.Close()
	}
	for c := range l.conns {
		// It only wakes those that wait for a command: replies are still written.
		_ = c.client.SetReadDeadline(time.Unix(1, 0))
	}
	l.mu.Unlock()
	l.running.Wait()
	l.cut()
}

func (l *listeners) closeConns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.client.Close()
	}
}

func (l *listeners) isClosing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closing
}

// run runs commands until the client or the server ends the connection. Such an end is no error.
func (c *conn) run() error {
	ctx, cancel := context.WithCancel(c.all.life)
	defer cancel()
	messages, answered := make(chan []byte), make(chan struct{})
	var failed error
	c.all.running.Go(func() {
		defer close(messages)
		failed = c.read(ctx, cancel, messages, answered)
	})
	defer func() {
		cancel() // the reader may be waiting for an answer that couldn't be written
		c.client.Close()
		for range messages { // until the reader has ended
		}
	}()
	var reply []byte
	for message := range messages {
		req, err := parseRequest(message)
		if req == nil {
			return fmt.Errorf("refuse message: %w", err)
		}
		var body []byte
		if err == nil {
			body, err = c.carryOut(ctx, req)
		}
		if err != nil {
			body = asCommandError(err).reply()
		}
		if !req.unanswered {
			reply = appendReply(reply[:0], req, body)
			if _, err := c.client.Write(reply); err != nil {
				return unlessGone("write reply", err)
			}
		}
		if cap(reply) > retainedMemory {
			reply = nil
		}
		select {
		case answered <- struct{}{}:
		case <-ctx.Done():
		}
	}
	return failed
}

// read reads messages. After each it waits for the answer, and cancels the command if the client
// closes the connection meanwhile.
func (c *conn) read(ctx context.Context, cancel context.CancelFunc, messages chan<- []byte, answered <-chan struct{}) error {
	buffered := bufio.NewReaderSize(c.client, bufferSize)
	var message []byte
	for !c.all.isClosing() {
		var err error
		if message, err = readMessage(buffered, message); err != nil {
			return unlessGone("read command", err)
		}
		select {
		case messages <- message:
		case <-ctx.Done():
			return nil
		}
		if _, err := buffered.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel()
			return unlessGone("read command", err)
		}
		select {
		case <-answered:
		case <-ctx.Done():
			return nil
		}
		if cap(message) > retainedMemory {
			message = nil
		}
	}
	return nil
}

// carryOut runs a command within its time limit and returns its reply.
func (c *conn) carryOut(ctx context.Context, req *request) ([]byte, error) {
	if req.maxTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.maxTime)
		defer cancel()
	}
	s := c.all.server
	body, err := s.carryOut(ctx, c, req)
	if tell := s.onForeignWrite.Load(); c.foreign && tell != nil && writes(req.name) {
		(*tell)()
	}
	return body, err
}

// unlessGone returns nil for an error that a peer causes by closing its connection.
func unlessGone(doing string, err error) error {
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
