package store

// Commands of reads that nobody waits for any more.

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/id"
	"stoa/store/embedded"
)

// holding is a dialer whose connections withhold what the server sends while a hold lasts.
type holding struct {
	options.ContextDialer
	hold atomic.Pointer[chan struct{}] // closed at its end; nil for none
}

type heldConn struct {
	net.Conn
	dialer *holding
	closed chan struct{}
	close  func() error
}

func (h *holding) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := h.ContextDialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	held := &heldConn{Conn: c, dialer: h, closed: make(chan struct{})}
	held.close = sync.OnceValue(func() error { close(held.closed); return c.Close() })
	return held, nil
}

func (c *heldConn) Close() error { return c.close() }

func (c *heldConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if hold := c.dialer.hold.Load(); hold != nil {
		select {
		case <-*hold:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

// openHeld opens a store over a database with a published article, held whenever the test says so.
// begun gets each command's name, and running is the number of commands that haven't ended.
func openHeld(t *testing.T) (s *Store, dialer *holding, begun <-chan string, running *atomic.Int64) {
	t.Helper()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, server.Close(context.Background())) })
	dialer, running = &holding{ContextDialer: server.Dialer()}, &atomic.Int64{}
	o := Options{URI: server.URI(), Dialer: dialer, Exclusive: true, CacheBytes: 16 << 20, Log: slog.New(slog.DiscardHandler)}
	names := make(chan string, 100)
	settings := clientOptions(o).SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			running.Add(1)
			if dialer.hold.Load() != nil {
				names <- e.CommandName
			}
		},
		Succeeded: func(context.Context, *event.CommandSucceededEvent) { running.Add(-1) },
		Failed:    func(context.Context, *event.CommandFailedEvent) { running.Add(-1) },
	})
	s = openBy(t, o, settings)
	t.Cleanup(func() { check(t, s.Close(context.Background())) })
	return s, dialer, names, running
}

func TestARequestThatIsCutOffLeavesNoCommand(t *testing.T) {
	s, dialer, begun, running := openHeld(t)
	author := &Author{ID: id.New(id.Author), Slug: "ada", Name: "Ada"}
	check(t, Authors.Add(t.Context(), s, author))
	a := published("press", second(100))
	a.AuthorIDs = []id.ID{author.ID}
	check(t, s.AddArticle(t.Context(), a))
	list, err := s.ListArticles(t.Context(), ArticleFilter{Order: ByTitle}, Window{})
	check(t, err)
	for name, read := range map[string]func(context.Context) error{
		"Miss":     func(ctx context.Context) error { _, err := Articles.BySlug(ctx, s, "press"); return err },
		"Loader":   func(ctx context.Context) error { _, err := Authors.All(ctx, s, []id.ID{author.ID}); return err },
		"List":     func(ctx context.Context) error { _, err := list.Page(ctx); return err },
		"Count":    func(ctx context.Context) error { _, _, err := list.Count(ctx, 100); return err },
		"Uncached": func(ctx context.Context) error { _, err := s.HasAccount(ctx, id.New(id.Account)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s.Flush()
			hold := make(chan struct{})
			dialer.hold.Store(&hold)
			ctx, cut := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- read(ctx) }()
			<-begun
			cut()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the read ended with %v", err)
			}
			if n := running.Load(); n != 0 {
				t.Errorf("%d commands go on", n)
			}
			dialer.hold.Store(nil)
			close(hold)
			if err := read(t.Context()); err != nil {
				t.Errorf("the next read ended with %v", err)
			}
		})
	}
}
