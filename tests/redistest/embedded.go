package redistest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// embedded is a miniredis in the process, behind a Unix socket like the real one. It also
// answers the one section of INFO that Stoa reads, and can delay its replies.
type embedded struct {
	mini    *miniredis.Miniredis
	front   *Proxy
	runID   string
	started time.Time

	mu     sync.Mutex
	saved  map[string]kept // the data for the next start
	paused chan struct{}   // closed by resume; nil when not paused
}

type kept struct {
	value   string
	expires time.Time // zero for never
}

func (e *embedded) name() string { return "miniredis, since there is no redis-server on the PATH" }

func (e *embedded) start(folder, socket string) error {
	_ = os.Remove(socket)
	e.mini, e.runID, e.started = miniredis.NewMiniRedis(), strings.ToLower(rand.Text()), time.Now()
	e.mini.ClockTTL(true)
	e.mu.Lock()
	saved := e.saved
	e.mu.Unlock()
	for key, k := range saved {
		left := time.Until(k.expires)
		if !k.expires.IsZero() && left <= 0 {
			continue
		}
		if err := e.mini.Set(key, k.value); err != nil {
			return err
		}
		if !k.expires.IsZero() {
			e.mini.SetTTL(key, left)
		}
	}
	if err := e.mini.Start(); err != nil {
		return err
	}
	e.mini.Server().SetPreHook(e.before)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	e.front = &Proxy{listener: l, network: "tcp", address: e.mini.Addr(), conns: map[net.Conn]struct{}{}}
	e.front.done.Add(1)
	go e.front.accept()
	return nil
}

// before runs before each command, and answers INFO itself.
func (e *embedded) before(c *server.Peer, cmd string, _ ...string) bool {
	e.mu.Lock()
	paused := e.paused
	e.mu.Unlock()
	if paused != nil {
		<-paused
	}
	if cmd != "INFO" {
		return false
	}
	c.WriteBulk(fmt.Sprintf("# Server\r\nrun_id:%s\r\nuptime_in_seconds:%d\r\n", e.runID, int(time.Since(e.started).Seconds())))
	return true
}

func (e *embedded) save(context.Context, *redis.Client) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.saved = map[string]kept{}
	for _, key := range e.mini.Keys() {
		value, err := e.mini.Get(key)
		if err != nil {
			return err
		}
		k := kept{value: value}
		if left := e.mini.TTL(key); left > 0 {
			k.expires = time.Now().Add(left)
		}
		e.saved[key] = k
	}
	return nil
}

func (e *embedded) forget(string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.saved = nil
	return nil
}

func (e *embedded) kill() error {
	_ = e.resume()
	if e.front != nil {
		e.front.stop()
		e.front = nil
	}
	if e.mini != nil {
		e.mini.Close()
		e.mini = nil
	}
	return nil
}

func (e *embedded) pause() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paused == nil {
		e.paused = make(chan struct{})
	}
	return nil
}

func (e *embedded) resume() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paused != nil {
		close(e.paused)
		e.paused = nil
	}
	return nil
}
