//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// The server: its start, the connections of its own process, and its end. Entry points: Open,
// Server.Dialer, Server.Close.

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
)

// Server is a running embedded database with its data folder.
type Server struct {
	folder  *folder
	storage *storage
	cursors *cursors
	conns   *listeners
	log     *slog.Logger

	nextConnection atomic.Int32
	onForeignWrite atomic.Pointer[func()]
	keys, examined atomic.Int64 // keys of indexes and documents read so far

	closing sync.Once
	closed  chan struct{}
}

// Open starts the database in o.Dir and returns when it accepts commands. It takes over the folder
// of an earlier version first, and that may take minutes. It returns problem.Conflict if another
// server has the folder; the message names the folder and the server's process. ctx bounds the
// start alone: the server runs until Close.
func Open(ctx context.Context, o Options) (*Server, error) {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f, err := hold(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := newTakeover(f.dir, log).run(ctx); err != nil {
		f.release()
		return nil, err
	}
	st, err := openStorage(ctx, f.path(documentsFile))
	if err != nil {
		f.release()
		return nil, fmt.Errorf("open the embedded database in %s: %w", f.dir, err)
	}
	s := &Server{folder: f, storage: st, log: log, closed: make(chan struct{})}
	s.cursors = newCursors(st)
	s.conns = newListeners(s)
	socket, err := f.listen()
	if err != nil {
		s.release()
		return nil, fmt.Errorf("listen in %s: %w", f.dir, err)
	}
	s.conns.listen(socket)
	return s, nil
}

// release closes the files and gives the folder back. No command runs any more.
func (s *Server) release() {
	s.cursors.close()
	if err := s.storage.close(); err != nil {
		s.log.Error("embedded database: close the file", "error", err)
	}
	s.folder.release()
}

// URI is the URI for the owning process's own client, with Dialer to dial it. It names no host that
// exists.
func (s *Server) URI() string { return "mongodb://embedded/?directConnection=true" }

// Dialer connects the owning process's own client, through options.Client().SetDialer.
func (s *Server) Dialer() Dialer { return Dialer{s.conns} }

// Dialer makes connections to a server within its process, without a socket.
type Dialer struct{ conns *listeners }

// DialContext returns a connection to the server, for any network and address. It fails once the
// server is closing.
func (d Dialer) DialContext(context.Context, string, string) (net.Conn, error) {
	own, served := net.Pipe()
	if err := d.conns.serve(served, false); err != nil {
		own.Close()
		return nil, err
	}
	return own, nil
}

// Examined is the number of documents that commands have read since the start.
func (s *Server) Examined() int64 { return s.examined.Load() }

// OnForeignWrite has f called whenever another process's client has changed data or schema, or may
// have: after the database has replied, and before that client gets the reply. So when the client
// learns of its success, f has returned. f may use the database, and is called concurrently. It
// replaces the function set before; nil sets none.
func (s *Server) OnForeignWrite(f func()) {
	if f == nil {
		s.onForeignWrite.Store(nil)
		return
	}
	s.onForeignWrite.Store(&f)
}

// Close accepts no more connections and commands, answers the commands under way, closes the
// database and gives the data folder back. If that takes longer than ctx, it cuts the connections,
// cancels their commands and returns an error that wraps ctx's; the rest goes on in the background.
// Acknowledged writes are stored in either case. It may be called repeatedly.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(func() {
		go func() {
			defer close(s.closed)
			s.conns.drain()
			s.release()
		}()
	})
	select {
	case <-s.closed:
		return nil
	case <-ctx.Done():
		s.conns.cut()
		return fmt.Errorf("close the embedded database: %w", context.Cause(ctx))
	}
}
