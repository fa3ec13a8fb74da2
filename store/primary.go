package store

// The primary of the database, without which nothing is read or written: whether there is one, by what
// the driver hears from the servers. Entry points: Store.AwaitPrimary before a write, Store.Ready for a
// supervisor; primary.refuse before each command and unavailable after it; awaitServer at the start.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/auth"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/description"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"stoa/problem"
)

// primaryWait is the longest wait of a write for a primary. A restart on the spot takes less; an election
// takes some 12 s, longer than a person waits.
const primaryWait = time.Second

// askEvery is the time between two questions for a primary: the least that the driver takes between two looks at a
// server.
const askEvery = 500 * time.Millisecond

// primary knows whether the database has a primary. It logs one line when the primary goes and one when
// there is one again. Until the first one is found, it says that there is one. It is safe for concurrent
// use.
type primary struct {
	log *slog.Logger

	mu      sync.Mutex
	found   bool                        // there was one
	gone    time.Time                   // when it went; zero while there is one
	back    chan struct{}               // closed when there is one again; nil while there is one
	ping    func(context.Context) error // nil before start
	ctx     context.Context             // of pings
	stop    context.CancelFunc
	running sync.WaitGroup
}

func newPrimary(log *slog.Logger) *primary {
	p := &primary{log: log}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// start gives p the way to ask the database.
func (p *primary) start(ping func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ping = ping
}

// close ends all asking. What the driver tells afterwards is about its own end.
func (p *primary) close() {
	p.stop()
	p.running.Wait()
}

// monitor has the driver tell p what it hears.
func (p *primary) monitor() *event.ServerMonitor {
	return &event.ServerMonitor{TopologyDescriptionChanged: func(e *event.TopologyDescriptionChangedEvent) { p.look(e.NewDescription) }}
}

// look takes what the driver knows of the servers now. The driver is locked meanwhile, so look waits for
// nothing.
func (p *primary) look(d event.TopologyDescription) {
	there := slices.ContainsFunc(d.Servers, func(s event.ServerDescription) bool {
		return slices.Contains(writableKinds, s.Kind)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ctx.Err() != nil:
	case there:
		p.found = true
		if p.back != nil {
			p.log.Info("the database has a primary again", "after", time.Since(p.gone).Round(time.Millisecond).String())
			close(p.back)
			p.gone, p.back = time.Time{}, nil
		}
	case p.found && p.back == nil:
		p.log.Warn("the database has no primary: only cached answers are given until it has one", "servers", kindsOf(d))
		p.gone, p.back = time.Now(), make(chan struct{})
		if p.ping != nil {
			p.running.Go(p.ask)
		}
	}
}

// writableKinds are the driver's names of servers that take writes.
var writableKinds = []string{"RSPrimary", "Standalone", "Mongos", "LoadBalancer"}

// kindsOf lists the servers with what the driver knows of them.
func kindsOf(d event.TopologyDescription) []string {
	out := make([]string, len(d.Servers))
	for i, s := range d.Servers {
		out[i] = fmt.Sprintf("%s: %s", s.Addr, s.Kind)
	}
	return out
}

// ask asks the database until it has a primary. By itself the driver looks every ten seconds, and at once
// for each command. No other command is sent meanwhile.
func (p *primary) ask() {
	for p.ctx.Err() == nil {
		if _, gone := p.absence(); gone == nil {
			return
		}
		ctx, cancel := context.WithTimeout(p.ctx, askEvery)
		_ = p.ping(ctx) // waits for a primary
		cancel()
	}
}

// absence returns since when there is no primary, and the channel that is closed when there is one again;
// nil while there is one.
func (p *primary) absence() (since time.Time, back <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone, p.back
}

// refuse returns problem.ErrUnavailable once a command has waited for a primary in vain: the others needn't
// wait as long.
func (p *primary) refuse() error {
	if since, back := p.absence(); back != nil && time.Since(since) > selectLimit {
		return noPrimary(since)
	}
	return nil
}

func noPrimary(since time.Time) error {
	return fmt.Errorf("%w: it has had no primary since %s", problem.ErrUnavailable, since.UTC().Format(time.RFC3339))
}

// awaitServer returns when the database answers, when waiting can't help, or when ctx ends.
func (s *Store) awaitServer(ctx context.Context) error {
	for {
		err := s.Ping(ctx)
		if err == nil || ctx.Err() != nil || hopeless(err) {
			return err
		}
	}
}

// hopeless reports whether the database refuses the user or the password, or can't be trusted by its
// certificate.
func hopeless(err error) bool {
	var refused *auth.Error
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &refused) || errors.As(err, &untrusted) {
		return true
	}
	var selection topology.ServerSelectionError
	return errors.As(err, &selection) && slices.ContainsFunc(selection.Desc.Servers, func(s description.Server) bool {
		return s.LastError != nil && hopeless(s.LastError)
	})
}

// AwaitPrimary returns when the database has a primary, at once as a rule. The error is
// problem.ErrUnavailable after a second without one, or the cause of the end of ctx.
func (s *Store) AwaitPrimary(ctx context.Context) error {
	since, back := s.primary.absence()
	if back == nil {
		return nil
	}
	late := time.NewTimer(primaryWait)
	defer late.Stop()
	select {
	case <-back:
		return nil
	case <-late.C:
		return noPrimary(since)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Ready says in words what this replica can answer, for a supervisor that sends it requests; the error
// says why it should get none. Without a primary it is ready as long as its caches are: if an election
// made all replicas unready, there would be nobody left to answer from a cache.
func (s *Store) Ready(ctx context.Context) (string, error) {
	if since, back := s.primary.absence(); back != nil && s.cache.Sure() {
		return fmt.Sprintf("ready for cached answers: the database has had no primary for %s", time.Since(since).Round(time.Second)), nil
	}
	if err := s.Ping(ctx); err != nil {
		if _, back := s.primary.absence(); back != nil && s.cache.Sure() {
			return "ready for cached answers: the database has no primary", nil
		}
		return "", err
	}
	return "ready", nil
}

// unavailable turns the driver's error for a database that can't be reached, or doesn't answer in good
// time, into problem.ErrUnavailable. It is about one command: the time of the request may be left.
func unavailable(err error) error {
	if err == nil || errors.Is(err, problem.ErrUnavailable) || errors.Is(err, context.Canceled) || !unreachable(err) {
		return err
	}
	return fmt.Errorf("%w: %w", problem.ErrUnavailable, err)
}

// Codes of MongoDB's errors from a server that isn't the primary now, or is stopping. See
// https://github.com/mongodb/specifications, "Server Discovery and Monitoring".
var notPrimaryCodes = []int{
	10107, // NotWritablePrimary
	13435, // NotPrimaryNoSecondaryOk
	10058, // LegacyNotPrimary
	189,   // PrimarySteppedDown
	11602, // InterruptedDueToReplStateChange
	13436, // NotPrimaryOrSecondary
	11600, // InterruptedAtShutdown
	91,    // ShutdownInProgress
	64,    // WriteConcernTimeout: no majority has the write yet
}

func unreachable(err error) bool {
	var selection topology.ServerSelectionError
	var pool driver.RetryablePoolError // the connections were closed after another command's error
	if errors.As(err, &selection) || errors.As(err, &pool) || mongo.IsNetworkError(err) || mongo.IsTimeout(err) {
		return true
	}
	var answered mongo.ServerError
	return errors.As(err, &answered) && slices.ContainsFunc(notPrimaryCodes, answered.HasErrorCode)
}
