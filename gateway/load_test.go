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

// expensiveQuery costs a thousand for its objects, and waits if slug says so.
func expensiveQuery(slug string) string {
	ids := "[" + strings.Repeat(`"a" `, 100) + "]"
	return `{ article(slug: "` + slug + `") { id } ` + repeat(10, "n%d: nodes(ids: "+ids+") { id ... on Article { slug title readingMinutes } } ") + "}"
}

// begin sends a query that waits, and returns when it is being executed; stop disconnects its
// client and returns its status, 0 if there is none.
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
		o.Limits.load.Requests, o.Limits.load.PerClient, o.Proxies = 3, 2, prefixes("127.0.0.0/8", "::1/128")
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

func TestExpensiveOperationsWaitForASlot(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Limits.load.Expensive, o.Limits.load.SlotWait, o.Rates = 1, 50*time.Millisecond, rates(t, 100_000)
	})
	s.begin(t, expensiveQuery("slow"))
	r := s.post(t, expensiveQuery("a"))
	if r.status != 503 || r.codes(t) != refusal.Overloaded || r.header.Get("Retry-After") == "" {
		t.Errorf("where one runs, another gets %d %s", r.status, r.body)
	}
	first := r.header.Get("RateLimit")
	if r := s.post(t, `{ article(slug: "a") { id } }`); r.status != 200 {
		t.Errorf("a cheap one gets %d", r.status)
	}
	// An operation that wasn't executed costs its reading only, once its document is known. The cheap
	// one did cost.
	if r := s.post(t, expensiveQuery("a")); r.status != 503 || left(t, r.header.Get("RateLimit")) < left(t, first)-10-len(expensiveQuery("a"))/512 {
		t.Errorf("RateLimit was %s, and is %s after one that was turned away", first, r.header.Get("RateLimit"))
	}
	s = newSite(t, func(o *Options) { o.Limits.load.Expensive, o.Limits.load.SlotWait = 1, patience })
	stop := s.begin(t, expensiveQuery("slow"))
	answered := make(chan int)
	go func() { answered <- s.post(t, expensiveQuery("a")).status }()
	eventually(t, "it waits", func() bool { return running("admission.(*Load).Slot") == 1 })
	stop()
	if status := <-answered; status != 200 {
		t.Errorf("who has waited gets %d", status)
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

func TestNearlyFullMemoryTurnsRequestsAway(t *testing.T) {
	var s *site
	live, limit := uint64(84), uint64(100)
	look := func() { // the last look holds for a while
		s = newSite(t, func(o *Options) { o.Limits.load.Memory = func() (uint64, uint64) { return live, limit } })
	}
	look()
	if r := s.post(t, `{ __typename }`); r.status != 200 {
		t.Errorf("with %d of %d in use: %d", live, limit, r.status)
	}
	live = 86
	look()
	if r := s.post(t, `{ __typename }`); r.status != 503 || r.codes(t) != refusal.Overloaded || r.header.Get("Retry-After") == "" {
		t.Errorf("with %d of %d in use: %d %s", live, limit, r.status, r.body)
	}
	if r := s.do(t, "GET", "/healthz", ""); r.status != 200 {
		t.Errorf("/healthz is %d meanwhile", r.status)
	}
	limit = math.MaxInt64
	look()
	if r := s.post(t, `{ __typename }`); r.status != 200 {
		t.Errorf("without a limit: %d", r.status)
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
			s := newSite(b, func(o *Options) { o.Limits.load.Expensive, o.Proxies = c.may, prefixes("127.0.0.0/8", "::1/128") })
			s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
			ctx, cancel := context.WithCancel(b.Context())
			var flood sync.WaitGroup
			served, dear := 0, expensiveQuery("a")
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
