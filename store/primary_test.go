package store

// A database without a primary: what is told and logged, what waits, and which errors of the driver mean it.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"stoa/problem"
	"stoa/store/embedded"
	"stoa/tests/replicaset"
)

// of is a set of servers of these kinds.
func of(kinds ...string) (d event.TopologyDescription) {
	for _, k := range kinds {
		d.Servers = append(d.Servers, event.ServerDescription{Kind: k})
	}
	return d
}

func TestAPrimaryThatGoesAndReturnsIsLoggedOnceEach(t *testing.T) {
	var log bytes.Buffer
	p := newPrimary(slog.New(slog.NewTextHandler(&log, nil)))
	defer p.close()
	steps := []struct {
		servers event.TopologyDescription
		gone    bool
		lines   int
	}{
		{of("Unknown", "Unknown"), false, 0}, // nothing is known before the first
		{of("RSSecondary", "RSPrimary"), false, 0},
		{of("RSSecondary", "RSPrimary", "RSSecondary"), false, 0},
		{of("RSSecondary", "Unknown"), true, 1},
		{of("RSSecondary", "RSSecondary"), true, 1},
		{of(), true, 1},
		{of("RSPrimary", "RSSecondary"), false, 2},
		{of("Unknown"), true, 3},
		{of("Standalone"), false, 4},
		{of("Mongos", "Unknown"), false, 4},
		{of("LoadBalancer"), false, 4},
		{of("RSArbiter"), true, 5},
	}
	for i, s := range steps {
		p.look(s.servers)
		if _, back := p.absence(); (back != nil) != s.gone {
			t.Errorf("step %d: the primary has gone: %t", i, back != nil)
		}
		if n := strings.Count(log.String(), "\n"); n != s.lines {
			t.Errorf("step %d: the log has %d lines, not %d:\n%s", i, n, s.lines, &log)
		}
	}
	p.close()
	p.look(of())
	if n := strings.Count(log.String(), "\n"); n != 5 {
		t.Errorf("its own end is logged:\n%s", &log)
	}
}

func TestWhatNeedsAPrimaryWaitsAndIsRefused(t *testing.T) {
	s := &Store{primary: newPrimary(slog.New(slog.DiscardHandler))}
	defer s.primary.close()
	check(t, s.AwaitPrimary(t.Context()))
	s.primary.look(of("RSPrimary"))
	s.primary.look(of("Unknown"))
	if err := s.primary.refuse(); err != nil {
		t.Errorf("the first command isn't sent: %v", err)
	}
	waiting := make(chan error)
	go func() { waiting <- s.AwaitPrimary(t.Context()) }()
	s.primary.look(of("RSPrimary"))
	check(t, <-waiting)

	s.primary.look(of("Unknown"))
	s.primary.mu.Lock()
	s.primary.gone = s.primary.gone.Add(-2 * selectLimit)
	s.primary.mu.Unlock()
	if err := s.primary.refuse(); !errors.Is(err, problem.ErrUnavailable) {
		t.Errorf("a later command gets %v", err)
	}
	if err := s.AwaitPrimary(t.Context()); !errors.Is(err, problem.ErrUnavailable) {
		t.Errorf("a write that waited in vain gets %v", err)
	}
	gone := errors.New("the client has gone")
	ctx, end := context.WithCancelCause(t.Context())
	end(gone)
	if err := s.AwaitPrimary(ctx); !errors.Is(err, gone) {
		t.Errorf("a write that is cancelled gets %v", err)
	}
	s.primary.look(of("RSPrimary"))
	check(t, s.primary.refuse())
}

func TestTheDriversErrorsForWantOfAServerAreUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"selection":     {topology.ServerSelectionError{Wrapped: context.DeadlineExceeded}, true},
		"network":       {mongo.CommandError{Labels: []string{"NetworkError"}}, true},
		"too slow":      {fmt.Errorf("send: %w", context.DeadlineExceeded), true},
		"not primary":   {mongo.CommandError{Code: 10107}, true},
		"stepped down":  {mongo.WriteException{WriteConcernError: &mongo.WriteConcernError{Code: 189}}, true},
		"no majority":   {mongo.WriteException{WriteConcernError: &mongo.WriteConcernError{Code: 64}}, true},
		"time limit":    {mongo.CommandError{Code: 50}, true},
		"taken":         {mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 11000}}}, false},
		"no document":   {mongo.ErrNoDocuments, false},
		"bad filter":    {mongo.CommandError{Code: 2}, false},
		"full":          {problem.ErrOverloaded, false},
		"client's end":  {context.Canceled, false},
		"not done":      {problem.New(problem.Conflict, "taken"), false},
		"ours as it is": {problem.ErrUnavailable, true},
		"none":          {nil, false},
	} {
		got := unavailable(c.err)
		if errors.Is(got, problem.ErrUnavailable) != c.want || c.err != nil && !strings.Contains(got.Error(), c.err.Error()) {
			t.Errorf("%s: %v became %v", name, c.err, got)
		}
	}
}

func TestAStoreSaysThatItsDatabaseIsAwayAndBack(t *testing.T) {
	dir := t.TempDir()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: dir})
	check(t, err)
	t.Cleanup(func() { check(t, server.Close(context.Background())) })
	uri, _, err := embedded.Find(dir)
	check(t, err)
	set := replicaset.Between(t, uri)
	var log logged
	s, err := Open(t.Context(), Options{URI: set.URI(), Exclusive: true, CacheBytes: 1 << 20, Log: slog.New(slog.NewTextHandler(&log, nil))})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close(context.Background())) })
	if state, err := s.Ready(t.Context()); err != nil || state != "ready" {
		t.Errorf("it is %q, %v", state, err)
	}
	check(t, s.AddArticle(t.Context(), published("press", second(100))))
	set.StepDown()
	read := func() error {
		_, err := findList[bson.M](t.Context(), s.collection(articles), bson.D{}, nil)
		return err
	}
	if err := read(); !errors.Is(err, problem.ErrUnavailable) {
		t.Errorf("without a primary a read gets %v", err)
	}
	if state, err := s.Ready(t.Context()); err != nil || !strings.Contains(state, "cached answers") {
		t.Errorf("without a primary it is %q, %v", state, err)
	}
	if err := s.AddArticle(t.Context(), published("second", second(101))); !errors.Is(err, problem.ErrUnavailable) {
		t.Errorf("without a primary a write gets %v", err)
	}
	set.Elect()
	await(t, "it to read again", func() bool { return read() == nil })
	check(t, s.AwaitPrimary(t.Context()))
	if out := log.String(); strings.Count(out, "has no primary") != 1 || strings.Count(out, "has a primary again") != 1 {
		t.Errorf("the log is\n%s", out)
	}
}

// logged is a log that several goroutines write.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
