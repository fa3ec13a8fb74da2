package gateway

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stoa/gateway/refusal"
)

// dearQuery costs a thousand for its objects, and waits where slug says so.
func dearQuery(slug string) string {
	ids := "[" + strings.Repeat(`"a" `, 100) + "]"
	return `{ article(slug: "` + slug + `") { id } ` + repeat(10, "n%d: nodes(ids: "+ids+") { id ... on Article { slug title readingMinutes } } ") + "}"
}

// begin sends a query whose answer waits, and returns when it is being executed; stop lets its
// client go and returns its status, 0 where there is none.
func (s *site) begin(t *testing.T, query string, headers ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "POST", s.url+"/graphql", strings.NewReader(bodyOf(query, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if response, err := s.client.Do(r); err == nil {
			_ = response.Body.Close()
		}
	}()
	select {
	case <-s.started:
	case <-time.After(patience):
		t.Fatal("it didn't begin")
	}
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-again.C {
		if so() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func TestTooManyRequestsAreTurnedAway(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Limits.requests, o.Limits.perClient, o.Proxies = 3, 2, prefixes("127.0.0.0/8", "::1/128")
	})
	one, two := "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"
	stop := s.begin(t, `{ article(slug: "slow") { id } }`, one)
	s.begin(t, `{ article(slug: "slow") { id } }`, one)
	if r := s.post(t, `{ __typename }`, one); r.status != 429 || r.codes(t) != refusal.Throttled || r.header.Get("Retry-After") != "1" {
		t.Errorf("a third request of a client that may have two: %d %s", r.status, r.body)
	}
	s.begin(t, `{ article(slug: "slow") { id } }`, two)
	r := s.post(t, `{ __typename }`, two)
	if r.status != 503 || r.codes(t) != refusal.Overloaded || r.header.Get("Retry-After") != "1" {
		t.Errorf("a fourth request where there may be three: %d %v %s", r.status, r.header, r.body)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := s.do(t, "GET", path, ""); r.status != 200 {
			t.Errorf("%s is %d meanwhile", path, r.status)
		}
	}
	stop()
	eventually(t, "there is room again", func() bool { return s.post(t, `{ __typename }`, two).status == 200 })
}

func TestDearOperationsWaitForTheirTurn(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Limits.expensive, o.Rates = 1, rates(t, 100_000) })
	s.load.wait = 50 * time.Millisecond
	stop := s.begin(t, dearQuery("slow"))
	r := s.post(t, dearQuery("a"))
	if r.status != 503 || r.codes(t) != refusal.Overloaded || r.header.Get("Retry-After") == "" {
		t.Errorf("where one runs, another gets %d %s", r.status, r.body)
	}
	first := r.header.Get("RateLimit")
	if r := s.post(t, `{ article(slug: "a") { id } }`); r.status != 200 {
		t.Errorf("a cheap one gets %d", r.status)
	}
	// What wasn't executed isn't charged for, once its document is known. The cheap one was.
	if r := s.post(t, dearQuery("a")); r.status != 503 || left(t, r.header.Get("RateLimit")) < left(t, first)-10 {
		t.Errorf("RateLimit was %s, and is %s after one that was turned away", first, r.header.Get("RateLimit"))
	}
	s.load.wait = patience
	answered := make(chan int)
	go func() { answered <- s.post(t, dearQuery("a")).status }()
	eventually(t, "it waits", func() bool {
		s.load.mu.Lock()
		defer s.load.mu.Unlock()
		return s.load.waiting == 1
	})
	stop()
	if status := <-answered; status != 200 {
		t.Errorf("who has waited gets %d", status)
	}
	s.load.mu.Lock()
	defer s.load.mu.Unlock()
	if s.load.waiting != 0 || len(s.load.waitOf) != 0 || len(s.load.turns) != 0 {
		t.Errorf("when nothing runs: %d wait, %v, %d run", s.load.waiting, s.load.waitOf, len(s.load.turns))
	}
}

// left is the first r= of a RateLimit header.
func left(t *testing.T, header string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(header, `"client";r=%d`, &n); err != nil {
		t.Fatalf("RateLimit %q: %v", header, err)
	}
	return n
}

func TestQueuesAreShort(t *testing.T) {
	l := newLoad(1000, 1000, 1)
	l.wait = patience
	ctx, cancel := context.WithCancel(t.Context())
	end, err := l.turn(ctx, "first", dearCost)
	if err != nil {
		t.Fatal(refusal.Errors(err, nil))
	}
	var waiting sync.WaitGroup
	wait := func(client string) {
		before := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.waiting }()
		waiting.Go(func() {
			if end, err := l.turn(ctx, client, dearCost); err == nil {
				end()
			}
		})
		eventually(t, "it waits", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.waiting == before+1 })
	}
	for range maxWaitingOfOne {
		wait("greedy")
	}
	if _, err := l.turn(ctx, "greedy", dearCost); err == nil || refusal.Code(err) != refusal.Throttled {
		t.Errorf("one client alone fills the queue: %v", err)
	}
	for i := range maxWaiting - maxWaitingOfOne {
		wait(fmt.Sprint("client ", i))
	}
	if _, err := l.turn(ctx, "last", dearCost); err == nil || refusal.Code(err) != refusal.Overloaded {
		t.Errorf("the queue has no end: %v", err)
	}
	if _, err := l.turn(ctx, "last", dearCost-1); err != nil {
		t.Errorf("a cheap one waits: %v", refusal.Errors(err, nil))
	}
	cancel()
	waiting.Wait()
	end()
	if l.waiting != 0 || len(l.waitOf) != 0 || len(l.turns) != 0 {
		t.Errorf("in the end %d wait, %v, %d run", l.waiting, l.waitOf, len(l.turns))
	}
}

func TestNearlyFullMemoryTurnsRequestsAway(t *testing.T) {
	s := newSite(t, nil)
	live, limit := uint64(84), uint64(100)
	m := newMemory(func() (uint64, uint64) { return live, limit })
	s.load.memory = m.full
	if r := s.post(t, `{ __typename }`); r.status != 200 {
		t.Errorf("with %d of %d in use: %d", live, limit, r.status)
	}
	live = 86
	m.next.Store(0)
	if r := s.post(t, `{ __typename }`); r.status != 503 || r.codes(t) != refusal.Overloaded || r.header.Get("Retry-After") == "" {
		t.Errorf("with %d of %d in use: %d %s", live, limit, r.status, r.body)
	}
	if r := s.do(t, "GET", "/healthz", ""); r.status != 200 {
		t.Errorf("/healthz is %d meanwhile", r.status)
	}
	limit = math.MaxInt64
	m.next.Store(0)
	if r := s.post(t, `{ __typename }`); r.status != 200 {
		t.Errorf("without a limit: %d", r.status)
	}
	if live, limit := readMemory(); live == 0 || limit == 0 {
		t.Errorf("the process says that %d of %d are in use", live, limit)
	}
}

// BenchmarkCheapInAFlood is how long cheap queries take alone, and while sixteen clients send
// dear ones without a pause, with turns and without: for each the median and the 99th of a
// hundred.
func BenchmarkCheapInAFlood(b *testing.B) {
	for _, c := range []struct {
		name          string
		flooders, may int
	}{{"Alone", 0, 0}, {"Turns", 16, 0}, {"NoTurns", 16, 1000}} {
		b.Run(c.name, func(b *testing.B) {
			s := newSite(b, func(o *Options) { o.Limits.expensive, o.Proxies = c.may, prefixes("127.0.0.0/8", "::1/128") })
			s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
			ctx, cancel := context.WithCancel(b.Context())
			var flood sync.WaitGroup
			served, dear := 0, dearQuery("a")
			var mu sync.Mutex
			for i := range c.flooders {
				from := fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", i)
				flood.Go(func() {
					for ctx.Err() == nil {
						if s.post(b, dear, from).status == 200 {
							mu.Lock()
							served++
							mu.Unlock()
						}
					}
				})
			}
			var took []time.Duration
			began := time.Now()
			for b.Loop() {
				start := time.Now()
				if r := s.post(b, `{ article(slug: "a") { slug title } }`); r.status != 200 {
					b.Errorf("got %d", r.status)
				}
				took = append(took, time.Since(start))
			}
			elapsed := time.Since(began).Seconds()
			cancel()
			flood.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
			b.ReportMetric(float64(served)/elapsed, "dear/s")
		})
	}
}
