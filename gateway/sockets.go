package gateway

// All connections of this replica that live on, WebSockets and event streams: how many there
// may be (enter), whose session has ended (watch), and their end (Gateway.Close).

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"

	"stoa/gateway/refusal"
)

const (
	// defaultMaxConnections are some 400 MB, at 20 KB for an idle one (TestMemoryOfSockets).
	defaultMaxConnections = 20_000

	// defaultMaxPerAddress leaves room for an office or a school behind one address.
	defaultMaxPerAddress = 200

	// watchEvery is how often sessions are asked for. With the time of an answer it makes
	// the second within which a revocation holds everywhere.
	watchEvery = 500 * time.Millisecond

	// holdsTime bounds one question to Options.Holds.
	holdsTime = 2 * time.Second

	// holdsAtOnce is how many tokens are asked for in one question.
	holdsAtOnce = 1000
)

// held is a connection that lives on: a WebSocket or an event stream.
type held interface {
	// end ends it and has the client know why, as far as its protocol goes.
	end(code websocket.StatusCode, reason string)
	// drain lets what runs finish until ctx ends, subscriptions excepted, and ends it.
	drain(ctx context.Context)
}

// sockets are the open connections.
type sockets struct {
	log        *slog.Logger
	holds      func(context.Context, []string) ([]bool, error)
	max        int
	perAddress int

	mu       sync.Mutex
	closed   bool
	count    int
	byOrigin map[netip.Prefix]int // how many from each address
	open     map[held]string      // with the token of each that must stand, "" for none
	watching bool                 // whether the watcher runs
	stop     chan struct{}        // closed to stop it
	running  sync.WaitGroup
}

func newSockets(log *slog.Logger, holds func(context.Context, []string) ([]bool, error), most, perAddress int) *sockets {
	return &sockets{
		log:        log,
		holds:      holds,
		max:        most,
		perAddress: perAddress,
		byOrigin:   map[netip.Prefix]int{},
		open:       map[held]string{},
		stop:       make(chan struct{}),
	}
}

// enter makes room for a connection from address, until leave is called.
func (all *sockets) enter(address netip.Addr) (leave func(), err error) {
	from := subscriber(address)
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case all.closed:
		return nil, refusal.New(refusal.TooManyConnections, "this server is stopping: connect again, to another")
	case all.count >= all.max:
		return nil, refusal.New(refusal.TooManyConnections, "there are %d connections, as many as there may be: try again later", all.max)
	case from.IsValid() && all.byOrigin[from] >= all.perAddress:
		return nil, refusal.New(refusal.TooManyConnections, "there are %d connections from your address, as many as there may be: use fewer", all.perAddress)
	}
	all.count++
	if from.IsValid() {
		all.byOrigin[from]++
	}
	all.running.Add(1)
	return func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		all.count--
		if from.IsValid() {
			if all.byOrigin[from]--; all.byOrigin[from] == 0 {
				delete(all.byOrigin, from)
			}
		}
		all.running.Done()
	}, nil
}

// subscriber is whom address belongs to: in IPv6 a household has a /64 at least.
func subscriber(address netip.Addr) netip.Prefix {
	bits := 32
	if address.Is6() {
		bits = 64
	}
	p, err := address.Prefix(bits)
	if err != nil { // the zero Addr: it isn't known
		return netip.Prefix{}
	}
	return p
}

// add makes s known to Close, which may have been called already.
func (all *sockets) add(s held) (closed bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.open[s] = ""
	return all.closed
}

func (all *sockets) remove(s held) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.open, s)
}

// watch sees to it that sessions are asked for, s's among them from now on.
func (all *sockets) watch(s held, token string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if _, ok := all.open[s]; !ok {
		return
	}
	all.open[s] = token
	if token != "" && all.holds != nil && !all.watching && !all.closed {
		all.watching = true
		all.running.Add(1)
		go all.keepWatch()
	}
}

// keepWatch closes connections whose sessions have ended, as long as there are any that
// have one. Where that can't be told it closes none, and says so once.
func (all *sockets) keepWatch() {
	defer all.running.Done()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-all.stop:
			return
		case <-tick.C:
		}
		byToken, goOn := all.tokens()
		if !goOn {
			return
		}
		ended, err := all.ended(byToken)
		for _, s := range ended {
			go s.end(closeForbidden, "the session has ended")
		}
		if err != nil && !failing {
			all.log.Warn("can't tell whether the sessions of open connections still stand; they stay open", "error", err)
		}
		if failing && err == nil {
			all.log.Info("can tell again whether the sessions of open connections still stand")
		}
		failing = err != nil
	}
}

// tokens returns the connections by their tokens; goOn is false when there are none, and then
// the watcher no longer counts as running.
func (all *sockets) tokens() (byToken map[string][]held, goOn bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	byToken = map[string][]held{}
	for s, token := range all.open {
		if token != "" {
			byToken[token] = append(byToken[token], s)
		}
	}
	all.watching = len(byToken) > 0
	return byToken, all.watching
}

// ended returns the connections whose tokens no longer stand, as far as that could be told.
func (all *sockets) ended(byToken map[string][]held) (ended []held, err error) {
	tokens := make([]string, 0, min(len(byToken), holdsAtOnce))
	ask := func() {
		ctx, cancel := context.WithTimeout(context.Background(), holdsTime)
		defer cancel()
		stands, failed := all.holds(ctx, tokens)
		if failed != nil {
			err = failed
		}
		for i := 0; failed == nil && i < min(len(tokens), len(stands)); i++ {
			if !stands[i] {
				ended = append(ended, byToken[tokens[i]]...)
			}
		}
		tokens = tokens[:0:0] // who was asked may keep them
	}
	for token := range byToken {
		if tokens = append(tokens, token); len(tokens) == holdsAtOnce {
			ask()
		}
	}
	if len(tokens) > 0 {
		ask()
	}
	return ended, err
}

// Close ends all WebSockets and event streams: what runs over them may finish until ctx ends, and
// subscriptions end at once. Clients are told to connect again. It returns when no goroutine
// of theirs is left, or a second after ctx has ended. New connections are refused.
func (g *Gateway) Close(ctx context.Context) {
	all := g.sockets
	all.mu.Lock()
	if !all.closed {
		all.closed = true
		close(all.stop)
	}
	for s := range all.open {
		go s.drain(ctx)
	}
	all.mu.Unlock()
	none := make(chan struct{})
	go func() {
		defer close(none)
		all.running.Wait()
		g.responses.Wait()
	}()
	select {
	case <-none:
		return
	case <-ctx.Done():
	}
	select { // connections are cut now; what still runs over them may not see it
	case <-none:
	case <-time.After(time.Second):
		all.log.Warn("operations of open connections don't end")
	}
}
