package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoa/account"
	"stoa/gateway/document"
	"stoa/gateway/refusal"
	"stoa/gateway/wire"
	"stoa/graph/generated"
	"stoa/problem"
	"stoa/store"
	"stoa/store/cache"
)

// library is the data for the tests of cached responses, read through a cache as in the store.
type library struct {
	testRoot
	cache *cache.Cache
	table cache.Table[string, string]
	runs  atomic.Int64 // of the resolver

	mu   sync.Mutex
	said map[string]string // by slug, the ending of the title
	hold func(ctx context.Context, slug string)

	late atomic.Int64 // by how much the clock is ahead, in nanoseconds
}

func (l *library) clock() time.Time { return time.Now().Add(time.Duration(l.late.Load())) }

type libraryQuery struct {
	testQuery
	*library
}

func (l *library) Query() generated.QueryResolver {
	return libraryQuery{testQuery{started: l.started}, l}
}

func (l *library) set(slug, text string) {
	l.mu.Lock()
	l.said[slug] = text
	l.mu.Unlock()
	l.cache.Drop(slug)
}

func (q libraryQuery) Article(ctx context.Context, slug string) (*store.Article, error) {
	q.runs.Add(1)
	found, err := q.table.Get(ctx, q.cache, []string{slug})
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	hold := q.hold
	q.mu.Unlock()
	if hold != nil {
		hold(ctx, slug)
	}
	if slug == "undeclared" {
		cache.MarkUncacheable(ctx)
	}
	a, err := q.testQuery.Article(ctx, slug)
	if a != nil {
		a.Title += *found[0]
	}
	return a, err
}

// keeping is a site that keeps answers.
func keeping(t testing.TB, bytes int64, change func(*Options)) (*site, *library) {
	t.Helper()
	l := &library{said: map[string]string{}}
	var err error
	if l.cache, err = cache.New(cache.Options{Bytes: 1 << 20, Exclusive: true, Log: slog.Default()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.cache.Close)
	l.table = cache.Table[string, string]{
		Key: func(k string) string { return k },
		Load: func(_ context.Context, ks []string) (map[string]*string, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			out := map[string]*string{}
			for _, k := range ks {
				text := l.said[k]
				out[k] = &text
			}
			return out, nil
		},
		Size: func(s *string) int64 { return int64(len(*s)) },
	}
	s := newSite(t, func(o *Options) {
		l.started = make(chan struct{}, 100)
		o.Schema = generated.NewExecutableSchema(generated.Config{Resolvers: l, Directives: generated.DirectiveRoot{}})
		o.Cache, o.ResponseBytes, o.now = l.cache, bytes, l.clock
		if change != nil {
			change(o)
		}
	})
	return s, l
}

func titleOf(slug string) string { return fmt.Sprintf(`{ article(slug: %q) { title } }`, slug) }

func address(query string, more ...string) string {
	return "/graphql?query=" + url.QueryEscape(query) + strings.Join(more, "")
}

const megabyte = 1 << 20

func TestAnAnswerIsMadeOnceUntilItIsDropped(t *testing.T) {
	s, l := keeping(t, megabyte, nil)
	for i, want := range []string{"", "", " again"} {
		if i == 2 {
			l.set("press", " again")
			l.set("other", " too")
		}
		for range 2 {
			if got := s.post(t, titleOf("press")); !strings.Contains(got.body, `cutting\"`+want+`"`) || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d: %s %v", i, got.body, got.header)
			}
		}
	}
	if n := l.runs.Load(); n != 2 {
		t.Errorf("it was executed %d times, want once, and once more after its drop", n)
	}
	// Another way of writing the same is known when it is read.
	body := fmt.Sprintf(`{"variables": {}, "query": %q}`, titleOf("press"))
	for range 3 {
		s.do(t, "POST", "/graphql", body, "Content-Type: application/json; charset=utf-8")
	}
	if n := l.runs.Load(); n != 2 {
		t.Errorf("another way of asking executed it once more")
	}
	if c := s.ResponseCounts(); c.Entries != 1 || c.Made != 2 {
		t.Errorf("%+v: want one answer", c)
	}
}

// A document requested by its id shares cached responses with its text. A request with both is
// read each time: a replica that forgot the text would otherwise never learn it again.
func TestPersistedOperationsShareAnswers(t *testing.T) {
	s, l := keeping(t, megabyte, nil)
	query := titleOf("press")
	by := func(text, hash string) reply {
		body := map[string]any{"extensions": map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash}}}
		if text != "" {
			body["query"] = text
		}
		b, _ := json.Marshal(body)
		return s.do(t, "POST", "/graphql", string(b), "Content-Type: application/json")
	}
	if got := by("", document.HashOf(query)); got.codes(t) != refusal.PersistedNotFound {
		t.Errorf("%s", got.body)
	}
	s.post(t, query)
	for range 2 {
		by(query, document.HashOf(query))
		by("", document.HashOf(query))
	}
	if n := l.runs.Load(); n != 1 || s.ResponseCounts().Entries != 1 {
		t.Errorf("executed %d times, %+v", n, s.ResponseCounts())
	}
	for i := range 2000 { // as many as are remembered
		other := fmt.Sprintf("{ a%d: __typename }", i)
		by(other, document.HashOf(other))
	}
	by(query, document.HashOf(query))
	other := fmt.Sprintf(`{"variables":{},"extensions":{"persistedQuery":{"version":1,"sha256Hash":%q}}}`, document.HashOf(query))
	if got := s.do(t, "POST", "/graphql", other, "Content-Type: application/json"); strings.Contains(got.body, "errors") {
		t.Errorf("its text was sent once more, but it isn't known: %s", got.body)
	}
	if got := by(query, document.HashOf("another")); got.status != 400 {
		t.Errorf("a text with another's hash: %d", got.status)
	}
}

// Every part of a request that can affect its response must distinguish two requests.
func TestKeyCoversAllPartsOfARequest(t *testing.T) {
	s, _ := keeping(t, megabyte, nil)
	query := `query A($s: String!) { article(slug: $s) { title } } query B($s: String!) { article(slug: $s) { slug } }`
	body := func(operation, slug string) string {
		b, _ := json.Marshal(map[string]any{"query": query, "operationName": operation, "variables": map[string]any{"s": slug}})
		return string(b)
	}
	seen := map[string]string{}
	for range 2 {
		for _, operation := range []string{"A", "B"} {
			for _, slug := range []string{"large", "press", "press\x00", "pres"} {
				for _, accept := range []string{"application/json", "application/graphql-response+json"} {
					for _, encoding := range []string{"gzip", "identity"} {
						got := s.do(t, "POST", "/graphql", body(operation, slug), "Content-Type: application/json", "Accept: "+accept, "Accept-Encoding: "+encoding)
						text := got.body
						if got.header.Get("Content-Encoding") == "gzip" {
							text = got.unzipped(t)
						} else if encoding == "gzip" && len(text) > wire.MinGzip {
							t.Errorf("%s isn't compressed", slug)
						}
						if !strings.HasPrefix(got.header.Get("Content-Type"), accept+";") {
							t.Errorf("asked for %s, got %s", accept, got.header.Get("Content-Type"))
						}
						what := operation + slug
						if before, ok := seen[what]; ok && before != text {
							t.Errorf("%q: %.100s, and %.100s", what, before, text)
						}
						seen[what] = text
					}
				}
			}
		}
	}
	if !strings.Contains(seen["Blarge"], `{"slug":"large"}`) || !strings.Contains(seen["Apress"], "folding") || len(seen) != 8 {
		t.Errorf("%.80q", seen)
	}
}

// Private, failed, partial and introspection responses, those that set a cookie, and those
// with undeclared reads are made for each client, and no cache on the way stores them.
func TestUncacheableResponses(t *testing.T) {
	for name, query := range map[string]string{
		"ReadsTheViewer":  titleOf("viewer"),
		"ReadsTheClient":  titleOf("client"),
		"SetsACookie":     titleOf("keep"),
		"Fails":           titleOf("fault"),
		"FailsInPart":     `{ a: article(slug: "press") { title } b: article(slug: "refused") { title } }`,
		"Panics":          titleOf("panic"),
		"ReadsUndeclared": titleOf("undeclared"),
		"Introspects":     `{ __type(name: "Article") { name } article(slug: "press") { title } }`,
		"AsksPrivately":   `{ article(slug: "press") { title revisions { edges { cursor } } } }`,
		"IsAMutation":     `mutation { sessionsRevokeOthers { count } }`,
		"HasOnlyItsType":  `{ __typename }`,
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := keeping(t, megabyte, nil)
			for _, get := range []bool{false, true, false, true} {
				var got reply
				if get && name != "IsAMutation" {
					got = s.do(t, "GET", address(query), "")
				} else {
					got = s.post(t, query)
				}
				for _, header := range []string{"ETag", "Age", "Cache-Tag", "Surrogate-Key"} {
					if value := got.header.Get(header); value != "" {
						t.Errorf("it says %s: %s", header, value)
					}
				}
				if got.header.Get("Cache-Control") != "no-store" {
					t.Errorf("Cache-Control: %s", got.header.Get("Cache-Control"))
				}
			}
			if c := s.ResponseCounts(); c.Entries != 0 || c.Hits != 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestAGetSaysHowLongItMayBeKept(t *testing.T) {
	s, l := keeping(t, megabyte, nil)
	first := s.do(t, "GET", address(titleOf("large")), "")
	for name, want := range map[string]string{
		"Cache-Control": "public, max-age=60, stale-while-revalidate=300", "Age": "0", "Vary": "Accept, Accept-Encoding",
		"Cache-Tag": "", "X-Content-Type-Options": "nosniff",
	} {
		if got := first.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	tag := first.header.Get("ETag")
	zipped := s.do(t, "GET", address(titleOf("large")), "", "Accept-Encoding: gzip")
	if tag == "" || zipped.header.Get("ETag") == tag || zipped.header.Get("Content-Encoding") != "gzip" || zipped.unzipped(t) != first.body {
		t.Errorf("ETag %s, compressed %s", tag, zipped.header.Get("ETag"))
	}
	for what, c := range map[string]struct {
		headers []string
		status  int
	}{
		"Known":           {[]string{"If-None-Match: " + tag}, 304},
		"KnownCompressed": {[]string{"If-None-Match: " + zipped.header.Get("ETag"), "Accept-Encoding: gzip"}, 304},
		"OneOfMany":       {[]string{`If-None-Match: "x", W/` + tag}, 304},
		"Another":         {[]string{`If-None-Match: "x"`}, 200},
	} {
		got := s.do(t, "GET", address(titleOf("large")), "", c.headers...)
		if got.status != c.status || (got.status == 304) != (got.body == "") || got.header.Get("ETag") == "" || got.header.Get("Cache-Control") != first.header.Get("Cache-Control") {
			t.Errorf("%s: %d %v", what, got.status, got.header)
		}
	}
	if got := s.do(t, "HEAD", address(titleOf("large")), ""); got.body != "" || got.header.Get("Content-Length") != first.header.Get("Content-Length") || got.header.Get("ETag") != tag {
		t.Errorf("HEAD: %v", got.header)
	}
	if n := l.runs.Load(); n != 1 {
		t.Errorf("executed %d times", n)
	}
	// Another media type is another representation, and has another name.
	if got := s.do(t, "GET", address(titleOf("large")), "", "Accept: application/graphql-response+json"); got.header.Get("ETag") == tag {
		t.Error("two media types have one ETag")
	}
	l.set("large", " changed")
	if got := s.do(t, "GET", address(titleOf("large")), "", "If-None-Match: "+tag); got.status != 200 || got.header.Get("ETag") == tag {
		t.Errorf("after a change: %d %v", got.status, got.header)
	}
}

// With a response cache of size 0 nothing is cached, but a GET has the same headers.
func TestWithoutMemoryNothingIsKept(t *testing.T) {
	s, l := keeping(t, 0, nil)
	for range 2 {
		if got := s.do(t, "GET", address(titleOf("press")), ""); got.header.Get("ETag") == "" || !strings.HasPrefix(got.header.Get("Cache-Control"), "public") {
			t.Errorf("%v", got.header)
		}
		s.post(t, titleOf("press"))
	}
	if c := s.ResponseCounts(); c.Entries != 0 || c.Hits != 0 || l.runs.Load() != 4 {
		t.Errorf("%+v, executed %d times", c, l.runs.Load())
	}
}

func TestEqualMissesAreExecutedOnce(t *testing.T) {
	s, l := keeping(t, megabyte, nil)
	begun, goOn := make(chan struct{}, 100), make(chan struct{})
	l.hold = func(context.Context, string) { begun <- struct{}{}; <-goOn }
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { s.post(t, titleOf("press")) })
	}
	<-begun
	all.Go(func() { s.post(t, titleOf("other")) }) // nobody waits for a different request
	<-begun
	eventually(t, "it comes to that", func() bool { return s.ResponseCounts().Flights == 2 })
	close(goOn)
	all.Wait()
	if n := l.runs.Load(); n != 2 {
		t.Errorf("executed %d times, want 2", n)
	}
}

// A response begun before a change isn't sent to a request after it.
func TestRequestAfterAChangeGetsNoOlderResponse(t *testing.T) {
	s, l := keeping(t, megabyte, nil)
	begun, goOn := make(chan struct{}, 10), make(chan struct{})
	var first atomic.Bool
	l.hold = func(context.Context, string) {
		if first.CompareAndSwap(false, true) {
			begun <- struct{}{}
			<-goOn
		}
	}
	answers := make(chan string, 2)
	go func() { answers <- s.post(t, titleOf("press")).body }()
	<-begun
	l.set("press", " changed")
	go func() { answers <- s.post(t, titleOf("press")).body }()
	select {
	case early := <-answers:
		t.Errorf("somebody was answered while the first was held up: %s", early)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	changed := 0
	for range 2 {
		if strings.Contains(<-answers, " changed") {
			changed++
		}
	}
	if changed != 1 || !strings.Contains(s.post(t, titleOf("press")).body, " changed") {
		t.Errorf("%d of two answers have the change, want that of who came after it", changed)
	}
}

// A follower of a response that turns out private executes its own.
func TestFollowersOfAPrivateAnswerMakeTheirOwn(t *testing.T) {
	for _, slug := range []string{"viewer", "refused"} {
		s, l := keeping(t, megabyte, nil)
		begun, goOn := make(chan struct{}, 10), make(chan struct{})
		l.hold = func(context.Context, string) { begun <- struct{}{}; <-goOn }
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { s.post(t, titleOf(slug)) })
		}
		<-begun
		close(goOn)
		all.Wait()
		if n := l.runs.Load(); n != 5 {
			t.Errorf("%s was executed %d times for 5", slug, n)
		}
		// From then on nobody waits to see it come out so again.
		l.mu.Lock()
		both := make(chan struct{}, 2)
		l.hold = func(context.Context, string) {
			both <- struct{}{}
			for len(both) < 2 {
				runtime.Gosched()
			}
		}
		l.mu.Unlock()
		all.Go(func() { s.post(t, titleOf(slug)) })
		all.Go(func() { s.post(t, titleOf(slug)) })
		all.Wait()
	}
}

// The leader's client disconnects: the followers still get a response.
func TestALeaderThatLeavesIsReplaced(t *testing.T) {
	s, l := keeping(t, megabyte, nil)
	begun := make(chan struct{}, 10)
	var first atomic.Bool
	l.hold = func(ctx context.Context, _ string) {
		if first.CompareAndSwap(false, true) {
			begun <- struct{}{}
			<-ctx.Done()
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { s.leave(ctx, t, titleOf("press")) })
	<-begun
	for range 3 {
		all.Go(func() {
			if got := s.post(t, titleOf("press")); got.status != 200 || !strings.Contains(got.body, "folding") {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	leave()
	all.Wait()
	if n := l.runs.Load(); n > 4 {
		t.Errorf("executed %d times", n)
	}
}

// leave sends a document and goes away when ctx ends.
func (s *site) leave(ctx context.Context, t *testing.T, query string) {
	r, err := http.NewRequestWithContext(ctx, "POST", s.url+"/graphql", strings.NewReader(bodyOf(query, nil)))
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Content-Type", "application/json")
	if response, err := s.client.Do(r); err == nil {
		response.Body.Close()
		t.Error("it was answered")
	}
}

func TestStaleResponsesAreSentDroppedOnesAreNot(t *testing.T) {
	s, l := keeping(t, megabyte, nil)
	ask := func() reply { return s.do(t, "GET", address(titleOf("press")), "") }
	ask()
	l.mu.Lock()
	l.said["press"] = " newer" // behind the cache's back, so that one can be told from the other
	l.mu.Unlock()
	l.cache.Flush()
	if got := ask(); !strings.Contains(got.body, "newer") {
		t.Errorf("what was dropped is given: %s", got.body)
	}
	n := l.runs.Load()
	l.late.Add(int64(90 * time.Second))
	var all sync.WaitGroup
	begun, goOn := make(chan struct{}, 10), make(chan struct{})
	l.mu.Lock()
	l.hold = func(context.Context, string) { begun <- struct{}{}; <-goOn }
	l.mu.Unlock()
	for range 10 { // all are answered at once, while one new answer is made
		all.Go(func() {
			if got := ask(); got.header.Get("Age") != "0" { // it has just been found valid
				t.Errorf("Age: %s", got.header.Get("Age"))
			}
		})
	}
	all.Wait()
	<-begun
	close(goOn)
	s.responses.Wait()
	if got := l.runs.Load() - n; got != 1 {
		t.Errorf("it was executed %d times to make it new, want once", got)
	}
	if got := ask(); got.header.Get("Age") != "0" && got.header.Get("Age") != "1" {
		t.Errorf("the new one has Age %s", got.header.Get("Age"))
	}
	// A cache on the way that counts Age gets a fresh copy, however seldom anybody asks.
	for _, late := range []time.Duration{59 * time.Second, time.Second, 30 * time.Second, 200 * time.Second, 359 * time.Second} {
		l.late.Add(int64(late))
		age, err := strconv.Atoi(ask().header.Get("Age"))
		if err != nil || age >= 60 {
			t.Errorf("%s later: Age %d of 60", late, age)
		}
		s.responses.Wait()
	}
	// Past the window nobody is given it.
	n = l.runs.Load()
	l.late.Add(int64(400 * time.Second))
	if got := ask(); l.runs.Load() != n+1 || got.header.Get("Age") != "0" && got.header.Get("Age") != "1" {
		t.Errorf("too old, but Age %s", got.header.Get("Age"))
	}
	// Stale and dropped: the new response is sent.
	l.late.Add(int64(90 * time.Second))
	l.set("press", " newest")
	if got := ask(); !strings.Contains(got.body, "newest") {
		t.Errorf("%s", got.body)
	}
	s.responses.Wait()
}

func TestResponseCacheIsBoundedInBytes(t *testing.T) {
	s, _ := keeping(t, 200<<10, nil)
	for i := range 300 {
		s.post(t, titleOf(fmt.Sprint("press", i, strings.Repeat("x", 1000))))
	}
	c := s.ResponseCounts()
	if c.Size > 200<<10 || c.Entries < 50 {
		t.Errorf("%+v", c)
	}
	s.post(t, titleOf("large")) // more than a quarter
	if after := s.ResponseCounts(); after.Entries != c.Entries {
		t.Errorf("%+v after %+v", after, c)
	}
	// A response in constant use stays.
	for i := range 300 {
		s.post(t, titleOf("often"))
		s.post(t, titleOf(fmt.Sprint("seldom", i)))
	}
	before := s.ResponseCounts()
	s.post(t, titleOf("often"))
	if after := s.ResponseCounts(); after.Hits != before.Hits+1 {
		t.Error("what was asked for most was pushed out")
	}
	if c := s.ResponseCounts(); c.Keys > c.Entries*5 {
		t.Errorf("%d keys for %d answers", c.Keys, c.Entries)
	}
}

// A response served from the cache counts as a use of the request's token.
func TestAHitIsAUseOfItsToken(t *testing.T) {
	var used atomic.Int64
	s, _ := keeping(t, megabyte, func(o *Options) { o.Used = func(string) { used.Add(1) } })
	for range 3 {
		s.post(t, titleOf("press"), "Authorization: Bearer abc")
	}
	if got := s.post(t, titleOf("press"), "Authorization: Bearer a b"); got.status != 400 {
		t.Errorf("what is wrong with a token is told on a miss only: %d", got.status)
	}
	if used.Load() != 3 || s.ResponseCounts().Hits != 2 {
		t.Errorf("used %d times, %+v", used.Load(), s.ResponseCounts())
	}
}

// The rules for pages of other origins are those for any answer.
func TestHitsObeyTheRulesForOrigins(t *testing.T) {
	s, _ := keeping(t, megabyte, func(o *Options) { o.Origins = []string{"https://shop.example"} })
	for range 2 {
		got := s.do(t, "GET", address(titleOf("press")), "", "Origin: https://shop.example")
		if got.header.Get("Access-Control-Allow-Origin") != "https://shop.example" || !strings.Contains(strings.Join(got.header.Values("Vary"), ","), "Origin") {
			t.Errorf("%v", got.header)
		}
		got = s.do(t, "GET", address(titleOf("press")), "", "Origin: https://evil.example")
		if got.header.Get("Access-Control-Allow-Origin") != "https://shop.example" || !strings.Contains(strings.Join(got.header.Values("Vary"), ","), "Origin") {
			t.Errorf("%v", got.header)
		}
		if got = s.post(t, titleOf("press"), "Origin: https://evil.example"); got.status != 403 {
			t.Errorf("%d", got.status)
		}
		if got = s.do(t, "POST", "/graphql", bodyOf(titleOf("press"), nil), "Content-Type: text/plain"); got.status != 415 {
			t.Errorf("%d", got.status)
		}
		if got = s.do(t, "POST", "/graphql", bodyOf(titleOf("press"), nil), "Content-Type: application/json", "Content-Encoding: gzip"); got.status != 415 {
			t.Errorf("%d", got.status)
		}
	}
}

// A query is all there or refused, so that shared caches keep what they have.
func TestWhatNeedsADatabaseThatIsAwayIs503(t *testing.T) {
	away := false
	s := newSite(t, func(o *Options) {
		o.Schema = generated.NewExecutableSchema(generated.Config{Resolvers: awayRoot{}})
		o.Writable = func(context.Context) error {
			if away {
				return problem.ErrUnavailable
			}
			return nil
		}
	})
	refused := func(what string, r reply) {
		t.Helper()
		if r.status != http.StatusServiceUnavailable || r.codes(t) != "UNAVAILABLE" || strings.Contains(r.body, `"data"`) || r.header.Get("Retry-After") != "2" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s %s", what, r.status, r.header, r.body)
		}
	}
	refused("a part of a query", s.post(t, `{ a: article(slug: "a") { slug } b: article(slug: "unavailable") { slug } }`))
	refused("a part of a GET", s.do(t, "GET", "/graphql?query="+url.QueryEscape(`{ article(slug: "unavailable") { slug } }`), ""))
	const mutation = `mutation { passwordResetRequest(input: {email: %q}) { userErrors { message } } }`
	refused("a mutation without data", s.post(t, fmt.Sprintf(mutation, "unavailable@example.com")))
	if r := s.post(t, fmt.Sprintf(mutation, "reader@example.com")); r.status != http.StatusOK || r.codes(t) != "" {
		t.Errorf("a mutation that is done: %d %s", r.status, r.body)
	}
	away = true
	refused("a mutation that can't begin", s.post(t, fmt.Sprintf(mutation, "reader@example.com")))
	if faults := s.errors.faults(); len(faults) != 0 {
		t.Errorf("logged: %q", faults)
	}
}

// awayRoot has a mutation that fails for want of a database, for one address.
type awayRoot struct{ testRoot }

func (awayRoot) Mutation() generated.MutationResolver { return awayMutation{} }

type awayMutation struct{ generated.MutationResolver }

func (awayMutation) PasswordResetRequest(_ context.Context, in account.ResetRequest) (*generated.PasswordResetRequestPayload, error) {
	if strings.HasPrefix(in.Email, "unavailable") {
		return nil, fmt.Errorf("find the account: %w", problem.ErrUnavailable)
	}
	return &generated.PasswordResetRequestPayload{}, nil
}
