package stream

// The registry of this replica's connections: how many there may be (enter), the end of those with an ended
// session (watch), and the end of all (close).

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
	// defaultConnections are some 400 MB, at 20 KB for an idle one (TestMemoryOfSockets).
	defaultConnections = 20_000

	// defaultPerAddress leaves room for an office or a school behind one address.
	defaultPerAddress = 200

	// watchEvery is how often sessions are asked for. Together with the time of
	// an answer, a revocation holds everywhere within a second.
	watchEvery = 500 * time.Millisecond

	// holdsTime bounds one question to Options.Holds.
	holdsTime = 2 * time.Second

	// holdsAtOnce is how many tokens are asked for in one question.
	holdsAtOnce = 1000
)

// connection is a WebSocket or an event stream.
type connection interface {
	// end ends it and tells the client the reason, as far as the protocol allows.
	end(code websocket.StatusCode, reason string)
	// drain lets operations finish until ctx ends, subscriptions excepted, and ends it.
	drain(ctx context.Context)
}

// registry has the open connections. It is safe for concurrent use.
type registry struct {
	log        *slog.Logger
	holds      func(context.Context, []string) ([]bool, error)
	max        int
	perAddress int

	mu       sync.Mutex
	closed   bool
	count    int
	byOrigin map[netip.Prefix]int  // how many from each address
	open     map[connection]string // with the token of each that must stand, "" for none
	watching bool                  // whether the watcher runs
	stop     chan struct{}         // closed to stop it
	running  sync.WaitGroup
}

func newRegistry(log *slog.Logger, holds func(context.Context, []string) ([]bool, error), limits Limits) *registry {
	return &registry{
		log:        log,
		holds:      holds,
		max:        limits.Connections,
		perAddress: limits.PerAddress,
		byOrigin:   map[netip.Prefix]int{},
		open:       map[connection]string{},
		stop:       make(chan struct{}),
	}
}

// enter makes room for a connection from address, until leave is called.
func (all *registry) enter(address netip.Addr) (leave func(), err error) {
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

// subscriber is the network of one subscriber: in IPv6 a household has a /64 at least.
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

// add makes s known to close. closed says that close has been called already.
func (all *registry) add(s connection) (closed bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.open[s] = ""
	return all.closed
}

func (all *registry) remove(s connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.open, s)
}

// watch sees to it that sessions are asked for, s's among them from now on.
func (all *registry) watch(s connection, token string) {
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

// keepWatch closes connections with ended sessions, until no connection has a session. While
// sessions can't be checked it closes none, and logs that once.
func (all *registry) keepWatch() {
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
func (all *registry) tokens() (byToken map[string][]connection, goOn bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	byToken = map[string][]connection{}
	for s, token := range all.open {
		if token != "" {
			byToken[token] = append(byToken[token], s)
		}
	}
	all.watching = len(byToken) > 0
	return byToken, all.watching
}

// ended returns the connections with tokens that are no longer valid, as far as that could be told.
func (all *registry) ended(byToken map[string][]connection) (ended []connection, err error) {
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
		tokens = tokens[:0:0] // the callee may retain them
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

// close ends all connections: operations may finish until ctx ends, and subscriptions end
// at once. Clients are told to connect again. It returns when no goroutine of theirs is left and
// wait has returned, or a second after ctx has ended. New connections are refused.
func (all *registry) close(ctx context.Context, wait func()) {
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
		wait()
	}()
	select {
	case <-none:
		return
	case <-ctx.Done():
	}
	select { // connections are cut now; their operations may not see it
	case <-none:
	case <-time.After(time.Second):
		all.log.Warn("operations of open connections don't end")
	}
}
