// Package stoatest starts Stoa for tests as it runs in production: the same app.Open, a real
// MongoDB-protocol server, and a real Redis if a test needs one.
//
// Entry points: Start and StartAll for replicas, Database and redistest for the servers that
// they share, Query and Caller for requests, Await for waiting. It may import everything but
// packages of tests other than contention.
package stoatest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoa/app"
	"stoa/blog"
	"stoa/store/embedded"
)

// Stoa is one replica that listens on a port of its own.
type Stoa struct {
	*app.App
	URL   string // http://127.0.0.1:PORT
	Token string // sent with each request that has no token of its own

	commands atomic.Int64
	logged   *tally
	stop     func()

	mu       sync.Mutex
	signedIn time.Time // the start of the last session
}

// Settings are environment variables, such as STOA_REDIS_URL, on top of defaults for tests: an
// embedded database in a temporary folder, no demo, no rate limits, and trust in every
// X-Forwarded-For, so that one test can be many clients.
type Settings map[string]string

// Start opens a replica and closes it when the test ends.
func Start(t testing.TB, settings Settings) *Stoa {
	t.Helper()
	c := Configure(t, settings)
	s := &Stoa{logged: &tally{counts: map[string]int{}}}
	log := slog.New(counted{slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}), s.logged})
	a, err := app.Open(context.Background(), c, log, func(string) { s.commands.Add(1) })
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	// The index is built beside requests, too; a test that counts commands must not count
	// these.
	if err := a.Search.Update(context.Background()); err != nil {
		t.Fatalf("index: %v", err)
	}
	// So are the sweeps at the start, and they could finish work that a test interrupts on
	// purpose.
	if err := a.Blog.Quiesce(context.Background()); err != nil {
		t.Fatalf("quiesce: %v", err)
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Serve(ctx, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	s.App, s.URL = a, "http://"+l.Addr().String()
	s.stop = func() {
		stop()
		<-done
		a.Close(context.Background())
	}
	t.Cleanup(s.Stop)
	return s
}

// Configure reads settings like the environment.
func Configure(t testing.TB, settings Settings) app.Config {
	t.Helper()
	all := Settings{"STOA_LISTEN": "127.0.0.1:0", "STOA_DEMO": "off", "STOA_CACHE_MEMORY": "64", "STOA_PROXIES": "127.0.0.0/8", "STOA_RATE": "0"}
	if settings["STOA_MONGODB_URI"] == "" && settings["STOA_DATA"] == "" {
		all["STOA_DATA"] = t.TempDir()
	}
	for name, value := range settings {
		all[name] = value
	}
	c, _, err := app.Configure(nil, func(name string) (string, bool) { v, ok := all[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Stop shuts the replica down. It may be called more than once.
func (s *Stoa) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// quiesceLimit bounds the wait of Quiesce, long enough for a busy machine.
const quiesceLimit = 2 * time.Minute

// Quiesce waits until the work left by past requests is done: see app.App. Tests call it
// before they compare two responses, as such work can change them.
func (s *Stoa) Quiesce(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), quiesceLimit)
	defer cancel()
	if err := s.App.Quiesce(ctx); err != nil {
		t.Fatalf("quiesce: %v", err)
	}
}

// Database starts a MongoDB-protocol server that several replicas may share, and returns
// its URI.
func Database(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	server, err := embedded.Open(context.Background(), embedded.Options{Dir: dir})
	if err != nil {
		t.Fatalf("database: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(context.Background()); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	uri, ok, err := embedded.Find(dir)
	if err != nil || !ok {
		t.Fatalf("database: found %t: %v", ok, err)
	}
	return uri
}

// Commands returns the number of database commands that the replica has sent since the last
// call.
func (s *Stoa) Commands() int { return int(s.commands.Swap(0)) }

// Logged returns how often the replica has logged message, at level info or above.
func (s *Stoa) Logged(message string) int {
	s.logged.mu.Lock()
	defer s.logged.mu.Unlock()
	return s.logged.counts[message]
}

// Answer is a GraphQL response.
type Answer struct {
	Data   json.RawMessage `json:"data"`
	Errors []struct {
		Message    string         `json:"message"`
		Path       []any          `json:"path"`
		Extensions map[string]any `json:"extensions"`
	} `json:"errors"`
	Status int    `json:"-"`
	Raw    []byte `json:"-"`
}

// Query sends a query over HTTP; variables may be nil. It fails the test if there is no
// GraphQL response; errors in the response are the caller's to judge.
func (s *Stoa) Query(t testing.TB, query string, variables map[string]any) Answer {
	t.Helper()
	a, err := s.Ask(query, variables)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Ask is Query for goroutines other than the test's.
func (s *Stoa) Ask(query string, variables map[string]any) (Answer, error) {
	return s.Send(Request{Query: query, Variables: variables})
}

// Request is a GraphQL request.
type Request struct {
	Query     string         `json:"query"`
	Operation string         `json:"operationName,omitempty"`
	Variables map[string]any `json:"variables,omitempty"`

	Token  string            `json:"-"` // of a session
	Header map[string]string `json:"-"` // in addition to the headers of every client
}

// Send is Ask with all parts of a request.
func (s *Stoa) Send(r Request) (Answer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/graphql", bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if token := cmp.Or(r.Token, s.Token); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range r.Header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Status: response.StatusCode, Raw: raw}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return answer, fmt.Errorf("status %d, no GraphQL answer: %.200q", response.StatusCode, raw)
	}
	return answer, nil
}

// Data is Query for responses without errors, decoded into out.
func (s *Stoa) Data(t testing.TB, out any, query string, variables map[string]any) {
	t.Helper()
	a := s.Query(t, query, variables)
	if len(a.Errors) > 0 {
		t.Fatalf("%s\nanswered %s", query, a.Raw)
	}
	if err := json.Unmarshal(a.Data, out); err != nil {
		t.Fatalf("decode %s: %v", a.Data, err)
	}
}

// Import stores articles as an import does, all of them created.
func (s *Stoa) Import(t testing.TB, batch []blog.Import) {
	t.Helper()
	ctx := context.Background()
	importing, err := s.Blog.BeginImport(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	outcomes, err := importing.Add(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Err != nil {
			t.Fatalf("import %s: %v", o.Source, o.Err)
		}
	}
	if err := importing.Finish(ctx); err != nil {
		t.Fatal(err)
	}
}

// Articles returns n articles, the first the newest, each an hour older than the one
// before it. They are by two of n/5+2 authors and under two of n/3+2 tags.
func Articles(n int) []blog.Import {
	newest := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	batch := make([]blog.Import, n)
	for i := range batch {
		name := func(what string, k int) blog.ImportName {
			return blog.ImportName{Slug: fmt.Sprintf("%s-%d", what, k), Name: fmt.Sprintf("%s %d", strings.ToUpper(what[:1])+what[1:], k)}
		}
		batch[i] = blog.Import{
			Source: fmt.Sprintf("test/%d.md", i), Digest: "1", Slug: fmt.Sprintf("article-%d", i), Title: fmt.Sprintf("Article %d", i),
			Summary:     fmt.Sprintf("What article %d is about.", i),
			Markdown:    fmt.Sprintf("## First part\n\nThe text of article %d, with *emphasis*.\n\n## Second part\n\nMore of it.\n", i),
			Authors:     []blog.ImportName{name("author", i%(n/5+2)), name("author", (i+1)%(n/5+2))},
			Tags:        []blog.ImportName{name("tag", i%(n/3+2)), name("tag", (i+1)%(n/3+2))},
			PublishedAt: newest.Add(-time.Duration(i) * time.Hour),
		}
	}
	return batch
}

// tally counts the records of each message.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

// counted counts every record and passes on those that handler is enabled for.
type counted struct {
	slog.Handler
	tally *tally
}

func (c counted) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (c counted) Handle(ctx context.Context, r slog.Record) error {
	c.tally.mu.Lock()
	c.tally.counts[r.Message]++
	c.tally.mu.Unlock()
	if !c.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

func (c counted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return counted{c.Handler.WithAttrs(attrs), c.tally}
}

func (c counted) WithGroup(name string) slog.Handler {
	return counted{c.Handler.WithGroup(name), c.tally}
}

// testLog writes log records to the test's log until the test ends.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // the test has ended
	l.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}
