// Package redistest starts a Redis for tests: the redis-server on the PATH, or else an
// embedded one (miniredis). It is for tests only, may be imported by any of them, and imports
// none of our packages. Entry points: Start, Open.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startLimit bounds the start of a server. It usually takes 20 ms.
const startLimit = 10 * time.Second

// Server is a Redis server of one test, or of one package's tests.
type Server struct {
	socket string
	folder string
	server kind
}

// kind is the part of a server that differs between a process and an embedded one.
type kind interface {
	start(folder, socket string) error
	// save stores the current data for the next start.
	save(ctx context.Context, client *redis.Client) error
	// forget undoes save.
	forget(folder string) error
	// kill ends it at once.
	kill() error
	pause() error
	resume() error
	name() string
}

// Start starts a server and stops it when t ends. The log of t has its kind.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Redis is %s", s.Kind())
	t.Cleanup(s.Stop)
	return s
}

// Open is Start for a TestMain: the caller must call Stop.
func Open() (*Server, error) {
	// Not t.TempDir: the path of a socket can have no more than 107 bytes.
	folder, err := os.MkdirTemp("", "redis")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, socket: filepath.Join(folder, "redis.sock"), server: &embedded{}}
	if path, err := exec.LookPath("redis-server"); err == nil {
		s.server = &process{path: path}
	}
	if err := s.start(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Kind names the kind of server, for logs.
func (s *Server) Kind() string { return s.server.name() }

// Real says if it is a redis-server; an embedded one has no memory limit, no CONFIG and no
// CLIENT KILL.
func (s *Server) Real() bool { _, ok := s.server.(*process); return ok }

// URL is the server's address, the same after a restart.
func (s *Server) URL() string { return "unix://" + s.socket }

// Socket is the path of the server's Unix socket, for a proxy in front of it.
func (s *Server) Socket() string { return s.socket }

// Client returns a plain client, closed when t ends.
func (s *Server) Client(t testing.TB) *redis.Client {
	c := s.client()
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket, MaxRetries: -1, ContextTimeoutEnabled: true})
}

// Stop ends the server for good. It may be called more than once.
func (s *Server) Stop() {
	_ = s.server.kill()
	_ = os.RemoveAll(s.folder)
}

// Kill ends the server at once, as a power failure would.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.server.kill(); err != nil {
		t.Fatalf("kill Redis: %v", err)
	}
}

// Start starts the server again after Kill, with the data of the last Save.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Restart kills the server and starts it again at the same address, with its present data or
// with none. In both cases it gets a new run_id.
func (s *Server) Restart(t testing.TB, keepData bool) {
	t.Helper()
	if keepData {
		s.Save(t)
	}
	s.Kill(t)
	if !keepData {
		s.Forget(t)
	}
	s.Start(t)
}

// Save stores the present data for the next start; later changes are not in it.
func (s *Server) Save(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	c := s.client()
	defer c.Close()
	if err := s.server.save(ctx, c); err != nil {
		t.Fatalf("save what Redis has: %v", err)
	}
}

// Forget makes the next start begin without data.
func (s *Server) Forget(t testing.TB) {
	t.Helper()
	if err := s.server.forget(s.folder); err != nil {
		t.Fatalf("remove what Redis saved: %v", err)
	}
}

// Pause makes the server answer nothing until Resume. Connections stay open, and new ones are
// accepted.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	if err := s.server.pause(); err != nil {
		t.Fatalf("pause Redis: %v", err)
	}
}

// Resume ends a pause.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if err := s.server.resume(); err != nil {
		t.Fatalf("resume Redis: %v", err)
	}
}

func (s *Server) start() error {
	if err := s.server.start(s.folder, s.socket); err != nil {
		return fmt.Errorf("start %s: %w", s.Kind(), err)
	}
	c := s.client()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		err := c.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w", s.Kind(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// process is a redis-server of its own process.
type process struct {
	path string
	cmd  *exec.Cmd
}

func (p *process) name() string { return p.path }

func (p *process) start(folder, socket string) error {
	_ = os.Remove(socket)
	p.cmd = exec.Command(p.path, "--port", "0", "--unixsocket", socket, "--dir", folder,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning", "--logfile", filepath.Join(folder, "log"))
	p.cmd.SysProcAttr = attributes()
	return p.cmd.Start()
}

func (p *process) save(ctx context.Context, client *redis.Client) error {
	return client.Save(ctx).Err()
}

func (p *process) forget(folder string) error {
	err := os.Remove(filepath.Join(folder, "dump.rdb"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (p *process) kill() error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = p.cmd.Wait() // its error is that it was killed
	p.cmd = nil
	return nil
}

func (p *process) pause() error  { return p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Proxy stands between a client and a server, so that a test can separate them.
type Proxy struct {
	listener net.Listener
	done     sync.WaitGroup

	mu               sync.Mutex
	network, address string // of the server
	cut              bool
	conns            map[net.Conn]struct{}
}

// Between starts a proxy to s on the loopback interface, and stops it when t ends.
func Between(t testing.TB, s *Server) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, network: "unix", address: s.socket, conns: map[net.Conn]struct{}{}}
	p.done.Add(1)
	go p.accept()
	t.Cleanup(p.stop)
	return p
}

func (p *Proxy) stop() {
	_ = p.listener.Close()
	p.Cut()
	p.done.Wait()
}

// URL is the address of the proxy.
func (p *Proxy) URL() string { return "redis://" + p.listener.Addr().String() }

// Cut closes every connection and refuses new ones, until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.close()
}

// Mend ends a Cut.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Kick closes every connection; new ones are accepted at once.
func (p *Proxy) Kick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close()
}

// To closes every connection and connects new ones to another server.
func (p *Proxy) To(s *Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.network, p.address = "unix", s.socket
	p.close()
}

func (p *Proxy) close() {
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) accept() {
	defer p.done.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Add(1)
		go func() {
			defer p.done.Done()
			p.serve(client)
		}()
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	network, address := p.network, p.address
	p.mu.Unlock()
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.admit(address, client, server) {
		return
	}
	defer p.leave(client, server)
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		pipe(server, client)
	}()
	pipe(client, server)
}

// admit says if conns may stay open; one of them leads to address.
func (p *Proxy) admit(address string, conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || address != p.address {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *Proxy) leave(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// pipe copies until either end is closed, and then closes both.
func pipe(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
