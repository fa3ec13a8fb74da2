package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.uber.org/goleak"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/gateway/wire"
	"stoa/graph/generated"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tests run the real schema over resolvers that follow instructions in the slug. Other
// fields of the schema have no resolver here, and panic like a faulty one.
type testRoot struct {
	generated.ResolverRoot
	started chan struct{} // gets an element when a slow resolver has begun
}

type testQuery struct {
	generated.QueryResolver
	started chan struct{}
}

func (r testRoot) Query() generated.QueryResolver { return testQuery{started: r.started} }

type testArticle struct{ generated.ArticleResolver }

func (r testRoot) Article() generated.ArticleResolver { return testArticle{} }

func (testArticle) Next(context.Context, *store.Article) (*store.Article, error) {
	return &store.Article{Slug: "next"}, nil
}

func (testArticle) Previous(context.Context, *store.Article) (*store.Article, error) {
	return &store.Article{Slug: "previous"}, nil
}

const secret = "dial tcp 10.0.0.7:27017: refused"

func (q testQuery) Article(ctx context.Context, slug string) (*store.Article, error) {
	switch slug {
	case "panic":
		panic(secret)
	case "fault":
		return nil, errors.New(secret)
	case "unavailable":
		return nil, fmt.Errorf("find article: %w: %s", problem.ErrUnavailable, secret)
	case "refused":
		return nil, problem.New(problem.Invalid, "no such slug")
	case "slow":
		if q.started != nil {
			q.started <- struct{}{}
		}
		<-ctx.Done()
		return nil, fmt.Errorf("find article: %w", ctx.Err())
	case "large":
		return &store.Article{Slug: slug, Title: strings.Repeat("<p>words & more</p> ", 5000)}, nil
	case "viewer":
		viewer, err := access.ViewerFrom(ctx)
		return &store.Article{Slug: slug, Title: string(viewer.Account)}, err
	case "client":
		client := access.ClientFrom(ctx)
		return &store.Article{Slug: slug, Title: client.Address.String() + " " + client.Device}, nil
	case "keep":
		access.Keep(ctx, access.Cookie{Token: "kept", Until: time.Now().Add(time.Hour)})
		return &store.Article{Slug: slug}, nil
	case "forget":
		access.Keep(ctx, access.Cookie{})
		return &store.Article{Slug: slug}, nil
	case "latin1":
		return &store.Article{Slug: slug, Title: "caf\xe9"}, nil
	default:
		return &store.Article{Slug: slug, Title: "On <folding> & \"cutting\""}, nil
	}
}

func (q testQuery) Nodes(_ context.Context, ids []id.ID) ([]store.Node, error) {
	nodes := make([]store.Node, len(ids))
	for i := range nodes {
		nodes[i] = &store.Article{Slug: "node"}
	}
	return nodes, nil
}

// presenter masks errors as graph does, and remembers the errors that it would have logged.
type presenter struct {
	mu     sync.Mutex
	logged []string
}

func (p *presenter) present(ctx context.Context, err error) *gqlerror.Error {
	var refused *problem.Error
	if errors.As(err, &refused) {
		return &gqlerror.Error{Message: refused.Message, Path: graphql.GetPath(ctx), Extensions: map[string]any{"code": string(refused.Code)}}
	}
	for code, passing := range map[string]error{"UNAVAILABLE": problem.ErrUnavailable, "OVERLOADED": problem.ErrOverloaded} {
		if errors.Is(err, passing) {
			return &gqlerror.Error{Message: "try again", Path: graphql.GetPath(ctx), Extensions: map[string]any{"code": code}}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logged = append(p.logged, err.Error())
	return &gqlerror.Error{
		Message:    fmt.Sprintf("something went wrong here; reference r%d", len(p.logged)),
		Path:       graphql.GetPath(ctx),
		Extensions: map[string]any{"code": "INTERNAL", "reference": fmt.Sprintf("r%d", len(p.logged))},
	}
}

func (p *presenter) faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.logged...)
}

func recoverTest(_ context.Context, p any) error { return fmt.Errorf("panic: %v", p) }

// site is a gateway behind a real server.
type site struct {
	*Gateway
	errors  *presenter
	url     string
	started chan struct{}
	log     *lockedBuffer
	client  *http.Client
}

func newSite(t testing.TB, change func(*Options)) *site {
	t.Helper()
	s := &site{errors: &presenter{}, started: make(chan struct{}, 100), log: &lockedBuffer{}}
	o := Options{
		Schema:        generated.NewExecutableSchema(generated.Config{Resolvers: testRoot{started: s.started}}),
		Present:       s.errors.present,
		Recover:       recoverTest,
		Introspection: true,
		Log:           slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	g, err := New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	s.Gateway = g
	server := httptest.NewUnstartedServer(nil)
	server.Config, server.Listener = g.Server(), g.Listen(server.Listener)
	server.Start()
	s.url = server.URL
	transport := &http.Transport{DisableCompression: true}
	s.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		g.Close(ctx)
		server.Close()
	})
	return s
}

// running is how many goroutines of the process are in a function below this package, such as
// stream.(*registry).keepWatch.
func running(function string) int {
	stacks := make([]byte, 256<<10)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "stoa/gateway/"+function+"(")
}

// connected is how many WebSockets and event streams are served.
func connected() int {
	return running("stream.(*webSocket).serve") + running("stream.(*eventStream).serve")
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// reply is a response without its cost. Every executed response has a cost.
type reply struct {
	status int
	header http.Header
	body   string
	cost   string // as the body has it; "" without one
	size   int    // of the body as it came
}

var costInBody = regexp.MustCompile(`,"extensions":\{"cost":\{"requested":(\d+)\}\}\}\n$`)

// newReply removes the cost from an executed response; the response must have it, and its
// header, too.
func newReply(t testing.TB, response *http.Response, body string) reply {
	t.Helper()
	r := reply{status: response.StatusCode, header: response.Header, body: body, size: len(body)}
	if found := costInBody.FindStringSubmatchIndex(body); found != nil {
		r.body, r.cost = body[:found[0]]+"}\n", body[found[2]:found[3]]
	}
	if executed := strings.Contains(r.body, `"data":`); executed && r.cost == "" || r.cost != "" && r.cost != response.Header.Get(wire.CostHeader) {
		t.Errorf("the answer costs %q by its body, %q by its header: %.300s", r.cost, response.Header.Get(wire.CostHeader), body)
	}
	return r
}

// do sends a request with headers given as "Name: value".
func (s *site) do(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, reader)
	if err != nil {
		t.Fatalf("request: %v", err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return newReply(t, response, string(read))
}

// chunked sends a body without saying how long it is.
func (s *site) chunked(t testing.TB, body string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/graphql", io.NopCloser(strings.NewReader(body)))
	if err != nil {
		t.Fatalf("request: %v", err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatalf("POST: %v", err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return newReply(t, response, string(read))
}

// post sends a document by POST.
func (s *site) post(t testing.TB, query string, headers ...string) reply {
	t.Helper()
	return s.do(t, "POST", "/graphql", bodyOf(query, nil), append([]string{"Content-Type: application/json"}, headers...)...)
}

func bodyOf(query string, variables any) string {
	envelope := map[string]any{"query": query}
	if variables != nil {
		envelope["variables"] = variables
	}
	b, err := json.Marshal(envelope)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// codes returns the codes of an answer's errors, in order and without repetition.
func (r reply) codes(t testing.TB) string {
	t.Helper()
	var answer struct {
		Errors []struct {
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
		t.Fatalf("the answer is no JSON: %v\n%.500s", err, r.body)
	}
	var list []string
	for _, e := range answer.Errors {
		if len(list) == 0 || list[len(list)-1] != e.Extensions.Code {
			list = append(list, e.Extensions.Code)
		}
	}
	return strings.Join(list, " ")
}

func (r reply) unzipped(t testing.TB) string {
	t.Helper()
	reader, err := gzip.NewReader(strings.NewReader(r.body))
	if err != nil {
		t.Fatalf("not gzip: %v", err)
	}
	b, err := io.ReadAll(reader)
	if err != nil {
		t.Fatalf("gzip: %v", err)
	}
	return costInBody.ReplaceAllString(string(b), "}\n")
}

// prefixes are ranges of addresses, for Options.Proxies.
func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}
