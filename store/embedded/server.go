//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
)

// Server is a running embedded database, which holds its data folder.
type Server struct {
	folder *folder
	ferret *ferret
	proxy  *proxy

	closing sync.Once
	closed  chan struct{}
}

// Open starts the database in o.Dir and returns when it takes commands. It repairs what a
// process that was killed left half made. It returns problem.Conflict when another server
// has the folder; the message names that and the server's process. ctx bounds the start
// alone: the server runs until Close.
func Open(ctx context.Context, o Options) (*Server, error) {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f, err := hold(o.Dir)
	if err != nil {
		return nil, err
	}
	t := &tables{dir: f.path(databaseName), log: log, indexed: map[namespace]bool{}}
	if err := t.prepare(ctx); err != nil {
		f.release()
		return nil, fmt.Errorf("prepare the embedded database in %s: %w", f.dir, err)
	}
	fdb, err := startFerret(f, log)
	if err != nil {
		f.release()
		return nil, fmt.Errorf("open the embedded database in %s: %w", f.dir, err)
	}
	l, err := f.listen()
	if err != nil {
		fdb.close()
		f.release()
		return nil, fmt.Errorf("listen in %s: %w", f.dir, err)
	}
	s := &Server{folder: f, ferret: fdb, proxy: newProxy(f.path(ferretSocket), t, log), closed: make(chan struct{})}
	s.proxy.listen(l)
	return s, nil
}

// URI is what the owning process's own client connects to, with Dialer to dial it. It names
// no host that exists.
func (s *Server) URI() string { return "mongodb://embedded/?directConnection=true" }

// Dialer connects the owning process's own client, as options.Client().SetDialer takes it.
func (s *Server) Dialer() Dialer { return Dialer{s.proxy} }

// Dialer makes own connections to a server.
type Dialer struct{ proxy *proxy }

// DialContext returns a connection to the server, whatever network and address say. It
// fails once the server is closing.
func (d Dialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	own, served := net.Pipe()
	if err := d.proxy.serve(ctx, served, false); err != nil {
		own.Close()
		return nil, err
	}
	return own, nil
}

// OnForeignWrite has f called whenever another process's client has changed data or schema,
// or may have: after the database has replied, and before that client gets the reply. So by
// the time that it knows of its success, f has returned. f may use the database, and is
// called concurrently. It replaces the function set before; nil sets none.
func (s *Server) OnForeignWrite(f func()) {
	if f == nil {
		s.proxy.onForeignWrite.Store(nil)
		return
	}
	s.proxy.onForeignWrite.Store(&f)
}

// Close takes no more connections and commands, answers the commands under way, closes the
// database clean and gives the data folder back. Where that isn't done when ctx ends, it
// cuts the connections and returns an error that wraps ctx's, while the rest goes on behind
// its back; what had been acknowledged is stored either way. It may be called repeatedly.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(func() {
		go func() {
			defer close(s.closed)
			s.proxy.drain()
			s.ferret.close()
			s.folder.release()
		}()
	})
	select {
	case <-s.closed:
		return nil
	case <-ctx.Done():
		s.proxy.cut()
		return fmt.Errorf("close the embedded database: %w", context.Cause(ctx))
	}
}
