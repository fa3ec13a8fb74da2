package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"stoa/feed/content"
	"stoa/gateway/refusal"
	"stoa/problem"
	"stoa/rate"
)

// rates lets each client and account spend burst at once, and then next to nothing.
func rates(t testing.TB, burst int) *rate.Leases {
	t.Helper()
	l, err := rate.NewLeases(rate.New(nil, "test", slog.New(slog.DiscardHandler)), rate.Limit{Burst: burst, Per: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rated is a site with a burst for each client; clients are told apart by X-Forwarded-For.
func rated(t testing.TB, burst int, change func(*Options)) *site {
	t.Helper()
	return newSite(t, func(o *Options) {
		(&accounts{}).options(o)
		o.Proxies = prefixes("127.0.0.0/8", "::1/128")
		o.Rates, o.Limits.Cost = rates(t, burst), min(burst, 1000)
		if change != nil {
			change(o)
		}
	})
}

func TestOperationsConsumeUnits(t *testing.T) {
	s := rated(t, 1000, nil)
	const query, cost = `{ nodes(ids: ["a", "b", "c"]) { id ... on Article { slug bodyHtml } } }`, 78
	reading := 1 + len(query)/25
	left := 1000 - reading
	for i := range 3 {
		r := s.post(t, query, "X-Forwarded-For: 192.0.2.1")
		left -= cost
		if want := fmt.Sprintf(`"client";r=%d;t=%d`, left, (1000-left)*60); r.cost != "78" || r.header.Get("RateLimit") != want {
			t.Errorf("answer %d costs %s, RateLimit %s, want %s", i, r.cost, r.header.Get("RateLimit"), want)
		}
		if got := r.header.Get("RateLimit-Policy"); got != `"client";q=1000;w=60000` {
			t.Errorf("RateLimit-Policy %s", got)
		}
	}
	for left >= cost {
		if r := s.post(t, query, "X-Forwarded-For: 192.0.2.1"); r.status != 200 {
			t.Fatalf("with %d left: %d %s", left, r.status, r.body)
		}
		left -= cost
	}
	r := s.post(t, query, "X-Forwarded-For: 192.0.2.1")
	want := fmt.Sprint((cost - left + 4) * 60) // the refusal itself takes four units
	if r.status != 429 || r.codes(t) != refusal.Throttled || r.header.Get("Retry-After") != want || !strings.Contains(r.body, `"retryAfter":`+want) {
		t.Errorf("with %d left: %d, Retry-After %q, %s", left, r.status, r.header.Get("Retry-After"), r.body)
	}
	again := s.post(t, query, "X-Forwarded-For: 192.0.2.1")
	if want := fmt.Sprint((cost - left + 8) * 60); again.status != 429 || again.header.Get("Retry-After") != want {
		t.Errorf("a throttled client that sends on gets %d, Retry-After %q instead of %s", again.status, again.header.Get("Retry-After"), want)
	}
	if r := s.post(t, `{ __typename }`, "X-Forwarded-For: 192.0.2.2"); r.status != 200 {
		t.Errorf("somebody else gets %d", r.status)
	}
	if r := s.do(t, "GET", "/healthz", "", "X-Forwarded-For: 192.0.2.1"); r.status != 200 {
		t.Errorf("/healthz is %d", r.status)
	}
}

// leastTaken are the units that operations take at least.
var leastTaken = map[string]int{"Known": 4, "New": 5, "Invalid": 1, "Broken": 1}

func TestEveryOperationCosts(t *testing.T) {
	for name, query := range map[string]string{
		"Known":   `{ __typename }`,
		"New":     `{ a%d: __typename }`,
		"Invalid": `{ nothing%d }`,
		"Broken":  `{ broken%d`,
	} {
		s := rated(t, 100, nil)
		sent := 0
		for ; sent < 200; sent++ {
			q := query
			if strings.Contains(q, "%d") {
				q = fmt.Sprintf(q, sent)
			}
			if s.post(t, q).status == 429 {
				break
			}
		}
		if most := 100 / leastTaken[name]; sent > most {
			t.Errorf("%s: %d were answered for 100 units, where %d are the most", name, sent, most)
		}
	}
}

// Envelopes that can't be read use the client's rates, too: by their bytes, before they are read.
func TestRefusedEnvelopesCost(t *testing.T) {
	broken := `{"query":"` + strings.Repeat("x", 1<<20-100)
	cases := map[string]struct {
		reason     string
		sends      func(*site) reply
		burst, may int
	}{
		"Large": {"a megabyte costs 2,047", func(s *site) reply { return s.do(t, "POST", "/graphql", broken, "Content-Type: application/json") }, 4200, 2},
		"Stream": {"by every way", func(s *site) reply {
			return s.do(t, "POST", "/graphql", broken, "Content-Type: application/json", "Accept: text/event-stream")
		}, 4200, 2},
		"Small":   {"nothing is free", func(s *site) reply { return s.do(t, "POST", "/graphql", `{"query":`, "Content-Type: application/json") }, 10, 10},
		"Address": {"nor by GET", func(s *site) reply { return s.do(t, "GET", "/graphql?query={a}&variables={", "") }, 10, 10},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := rated(t, c.burst, nil)
			for range c.may {
				if r := c.sends(s); r.status != 400 {
					t.Fatalf("%s: %d %s", c.reason, r.status, r.body)
				}
			}
			if r := c.sends(s); r.status != 429 || r.codes(t) != refusal.Throttled {
				t.Errorf("%s: after %d of them another gets %d", c.reason, c.may, r.status)
			}
		})
	}
}

// A feed consumes units, found or not: each unknown one takes a look-up.
func TestFeedsConsumeUnits(t *testing.T) {
	asked := 0
	s := rated(t, 100, func(o *Options) {
		o.Feeds = func(context.Context, string) (content.Document, error) {
			asked++
			return content.Document{}, problem.New(problem.NotFound, "there is none")
		}
	})
	for i := range 10 {
		if r := s.do(t, "GET", fmt.Sprintf("/tags/%d/feed.atom", i), ""); r.status != 404 {
			t.Fatalf("an unknown feed is %d", r.status)
		}
	}
	r := s.do(t, "GET", "/tags/x/feed.atom", "")
	if r.status != 429 || r.codes(t) != refusal.Throttled || r.header.Get("Retry-After") == "" || asked != 10 {
		t.Errorf("after 100 units another is %d, and %d were looked up", r.status, asked)
	}
	if r := s.do(t, "GET", "/tags/x/feed.atom", "", "X-Forwarded-For: 192.0.2.2"); r.status != 404 {
		t.Errorf("another client gets %d", r.status)
	}
}

// An account has a bucket of its own, for all addresses. If it is empty, the client's bucket gives the
// four units of a refusal, and no more.
func TestAccountsConsumeUnits(t *testing.T) {
	s := rated(t, 1000, nil)
	query := `{ nodes(ids: [` + strings.Repeat(`"a" `, 100) + `]) { id } }`
	s.post(t, query, "X-Forwarded-For: 192.0.2.9") // it is known now
	for i := range 10 {
		from := fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", 10+i)
		r := s.post(t, query, from, "Authorization: Bearer of-ada")
		if r.status != 200 || !strings.Contains(r.header.Get("RateLimit"), fmt.Sprintf(`, "account";r=%d;`, 900-100*i)) {
			t.Fatalf("request %d: %d, RateLimit %s", i, r.status, r.header.Get("RateLimit"))
		}
	}
	if r := s.post(t, query, "X-Forwarded-For: 192.0.2.30", "Authorization: Bearer of-ada"); r.status != 429 {
		t.Errorf("an account that has spent everything gets %d", r.status)
	}
	if r := s.post(t, query, "X-Forwarded-For: 192.0.2.30"); r.status != 200 || !strings.HasPrefix(r.header.Get("RateLimit"), `"client";r=896;`) {
		t.Errorf("what the account couldn't pay was taken from the client: RateLimit %s", r.header.Get("RateLimit"))
	}
	for what, token := range map[string]string{"a token that is nobody's": "nobody", "one that can't be told": "unknowable"} {
		if r := s.post(t, query, "X-Forwarded-For: 192.0.2.31", "Authorization: Bearer "+token); r.status != 200 || strings.Contains(r.header.Get("RateLimit"), "account") {
			t.Errorf("%s: %d, RateLimit %s", what, r.status, r.header.Get("RateLimit"))
		}
	}
}

func TestANetworkIsOneClient(t *testing.T) {
	s := rated(t, 100, nil)
	const query = `{ nodes(ids: ["a"]) { id } }`
	for i := range 100 {
		if s.post(t, query, fmt.Sprintf("X-Forwarded-For: 2001:db8::%x", i+1)).status == 429 {
			return
		}
	}
	t.Error("who has a /64 has a bucket for each of its addresses")
}

// Operations over a WebSocket consume their cost like others, and a subscription for each
// event: an event beyond the rate ends it, and the client may resume after its last event.
func TestWebSocketsConsumeUnits(t *testing.T) {
	s := rated(t, 1000, withStreams)
	c := s.talk(t, "X-Forwarded-For: 192.0.2.1").begin("")
	c.say(subscribeText("a", `subscription { paid(to: 100) }`))
	events := 0
	for {
		text, err := c.hear()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, `"type":"error"`) {
			if !strings.Contains(text, refusal.Throttled) || !strings.Contains(text, "retryAfter") {
				t.Errorf("it ended with %s", text)
			}
			break
		}
		events++
	}
	if events != 9 {
		t.Errorf("%d events of 100 units for 1000, less what it took to read the document", events)
	}
	if r := s.post(t, `{ one }`, "X-Forwarded-For: 192.0.2.1"); r.status != 200 {
		t.Errorf("what is left of a hundred units doesn't pay for a twentieth: %d", r.status)
	}
}

func TestABurstMustPayForAnyOperation(t *testing.T) {
	if _, err := New(Options{Schema: newStreams(), Present: (&presenter{}).present, Recover: recoverTest, Rates: rates(t, 100), Limits: Limits{Cost: 101}}); err == nil {
		t.Error("an operation may cost more than anybody can spend")
	}
}
