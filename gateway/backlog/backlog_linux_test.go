package backlog

// Peers that read nothing, little or everything, over TCP. The bytes that wait are those that the kernel
// lists in /proc/net/tcp, closed connections among them.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// server accepts connections, and gives each to serve.
type server struct {
	*Backlog
	t       *testing.T
	address *net.TCPAddr
	log     *bytes.Buffer // read once nothing is accepted
}

func newServer(t *testing.T, limits Limits, isProxy bool, serve func(net.Conn)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	s := &server{New(limits.WithDefaults(1<<30), func(netip.Addr) bool { return isProxy }, slog.New(slog.NewTextHandler(log, nil))), t, l.Addr().(*net.TCPAddr), log}
	counting := s.Listen(l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := counting.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return s
}

// dial opens a connection with a small buffer, so that bytes wait at the server.
func (s *server) dial() *net.TCPConn {
	s.t.Helper()
	c, err := net.DialTCP("tcp", nil, s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = c.SetReadBuffer(4 << 10)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *server) eventually(what string, so func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if so() {
			return
		}
	}
	s.t.Fatalf("never: %s; %d bytes are counted, and %d wait", what, s.total.Load(), s.waiting())
}

// waiting is the sum of the bytes that wait at the server, as the kernel has it.
func (s *server) waiting() (sum int64) {
	s.t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		s.t.Fatal(err)
	}
	port := fmt.Sprintf(":%04X", s.address.Port)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasSuffix(fields[1], port) {
			continue
		}
		sent, _, _ := strings.Cut(fields[4], ":")
		n, err := strconv.ParseInt(sent, 16, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

const large = 300 << 10

// writeLarge is a response that isn't read, over a connection that stays open, or is closed.
func writeLarge(wrote chan<- error, closes bool) func(net.Conn) {
	return func(c net.Conn) {
		_, err := c.Write(make([]byte, large))
		if closes {
			_ = c.Close()
		}
		wrote <- err
		if !closes {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
	}
}

func TestBytesThatWaitAreBounded(t *testing.T) {
	const bound, connections = 2 << 20, 40 // which would be 12 MB
	for name, c := range map[string]struct {
		limits          Limits
		isProxy, closes bool
	}{
		"OfAClient":         {Limits{PerClient: bound}, false, false},
		"OfAll":             {Limits{Total: bound}, true, false},
		"ClosedConnections": {Limits{PerClient: bound}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			wrote := make(chan error, connections)
			s := newServer(t, c.limits, c.isProxy, writeLarge(wrote, c.closes))
			most := int64(0)
			for range connections {
				s.dial()
				<-wrote
				waiting := s.waiting()
				for n := 0; n < 3 && waiting > bound+piece; n++ {
					// The kernel writes its table in parts: a connection that ended between two of them is
					// counted beside the one that took its place.
					waiting = min(waiting, s.waiting())
				}
				most = max(most, waiting)
			}
			t.Logf("%d bytes waited at most", most)
			if most > bound+piece {
				t.Errorf("%d bytes waited, where %d may", most, bound)
			}
			if most < bound/2 {
				t.Errorf("only %d bytes waited: the peers have read", most)
			}
		})
	}
}

func TestTheLongestWaitingLose(t *testing.T) {
	const bound = 1 << 20
	wrote := make(chan error, 10)
	s := newServer(t, Limits{PerClient: bound}, false, writeLarge(wrote, false))
	var all []*net.TCPConn
	for range 5 {
		all = append(all, s.dial())
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	_, _ = all[0].SetReadBuffer(large), all[4].SetReadBuffer(large)
	n, err := io.Copy(io.Discard, all[0])
	if n == large || err == nil {
		t.Errorf("the oldest still gets %d bytes, %v", n, err)
	}
	if _, err := io.ReadFull(all[4], make([]byte, large)); err != nil {
		t.Errorf("the youngest: %v", err)
	}
}

func TestAReaderLosesNothing(t *testing.T) {
	const bytes = 20 << 20
	s := newServer(t, Limits{PerClient: 1 << 20}, false, func(c net.Conn) {
		for range 20 {
			_, _ = c.Write(make([]byte, bytes/20))
		}
		_ = c.Close()
	})
	c := s.dial()
	_ = c.SetReadBuffer(1 << 20)
	if n, err := io.Copy(io.Discard, c); n != bytes || err != nil {
		t.Errorf("got %d bytes of %d, %v", n, bytes, err)
	}
	s.eventually("nothing is counted", func() bool { return s.total.Load() == 0 })
}

func TestAClosedConnectionCountsUntilItIsRead(t *testing.T) {
	wrote := make(chan error, 1)
	s := newServer(t, Limits{}, false, writeLarge(wrote, true))
	c := s.dial()
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if s.total.Load() < large/2 {
		t.Errorf("%d bytes are counted, and %d wait", s.total.Load(), s.waiting())
	}
	_ = c.SetReadBuffer(large)
	if n, err := io.Copy(io.Discard, c); n != large || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	s.eventually("nothing is counted", func() bool { return s.total.Load() == 0 })
}

func TestAPeerThatTakesNothingIsLeft(t *testing.T) {
	done := make(chan error, 1)
	s := newServer(t, Limits{Stall: 50 * time.Millisecond}, false, func(c net.Conn) {
		_ = c.SetWriteDeadline(time.Now().Add(time.Hour))
		_, err := c.Write(make([]byte, 32<<20))
		_ = c.Close()
		done <- err
	})
	s.dial()
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if s.total.Load() != 0 || s.waiting() != 0 {
		t.Errorf("%d bytes are counted, and %d wait", s.total.Load(), s.waiting())
	}
}

func TestAClientHasSoManyConnections(t *testing.T) {
	accepted := make(chan net.Conn, 10)
	s := newServer(t, Limits{Connections: 2}, false, func(c net.Conn) { accepted <- c })
	s.dial()
	s.dial()
	first, second := <-accepted, <-accepted
	if third, err := net.DialTCP("tcp", nil, s.address); err == nil {
		defer third.Close()
		if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a third one gets %v", err)
		}
	}
	_ = first.Close()
	s.dial()
	_ = (<-accepted).Close() // after the third one
	_ = second.Close()
	if text := s.log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "client=127.0.0.1/32") {
		t.Errorf("logged: %s", text)
	}
}

// BenchmarkWrite compares responses over connections that count with those that don't.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{5 << 10, 100 << 10, 4 << 20} {
		for name, wrap := range map[string]func(net.Listener) net.Listener{
			"Plain":    func(l net.Listener) net.Listener { return l },
			"Counting": New(Limits{}.WithDefaults(1<<30), func(netip.Addr) bool { return false }, slog.New(slog.DiscardHandler)).Listen,
		} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, name), func(b *testing.B) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				body := make([]byte, size)
				server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Content-Length"] = []string{strconv.Itoa(size)}
					_, _ = w.Write(body)
				})}
				go func() { _ = server.Serve(wrap(l)) }()
				defer server.Close()
				client := http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				b.SetBytes(int64(size))
				for b.Loop() {
					r, err := client.Get("http://" + l.Addr().String())
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, r.Body)
					_ = r.Body.Close()
				}
			})
		}
	}
}
