package gateway

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"stoa/gateway/refusal"
	"stoa/tests/requests"
)

func TestOneDocumentServesManyAtOnce(t *testing.T) {
	s := newSite(t, nil)
	const query = `query($s:String!, $t:Boolean=true){article(slug:$s){slug ...F @defer}} fragment F on Article{title @include(if:$t)}`
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			for range 20 {
				slug := string(rune('a' + i))
				r := s.do(t, "POST", "/graphql", bodyOf(query, map[string]any{"s": slug}), jsonBody)
				if !strings.HasPrefix(r.body, `{"data":{"article":{"slug":"`+slug+`","title":`) {
					t.Errorf("%s: %s", slug, r.body)
				}
			}
		})
	}
	wait.Wait()
}

func TestIntrospectionPassesEveryLimit(t *testing.T) {
	s := newSite(t, nil)
	if r := s.post(t, requests.Introspection); r.status != 200 || r.codes(t) != "" || len(r.body) < 10_000 {
		t.Errorf("got %d %.300s", r.status, r.body)
	}
}

func TestBodiesAreBoundedToTheByte(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Limits.body = 1000 })
	body := func(size int) string {
		b := `{"query":"{__typename}"}`
		return b + strings.Repeat(" ", size-len(b))
	}
	if r := s.do(t, "POST", "/graphql", body(1000), jsonBody); r.status != 200 {
		t.Errorf("1000 bytes: %d %s", r.status, r.body)
	}
	if r := s.do(t, "POST", "/graphql", body(1001), jsonBody); r.status != 413 || !strings.Contains(r.body, "larger than the 1000 bytes") {
		t.Errorf("1001 bytes: %d %s", r.status, r.body)
	}
	r := s.chunked(t, body(5000))
	if r.status != 413 || r.codes(t) != refusal.PayloadTooLarge {
		t.Errorf("5000 bytes without a length: %d %s", r.status, r.body)
	}
}

func TestTooExpensiveOperationsAreRefused(t *testing.T) {
	s := newSite(t, nil)
	r := s.post(t, `{ articles(first: 100) { nodes { comments(first: 100) { nodes { replies { nodes { id } } } } } } }`)
	if r.codes(t) != refusal.CostTooHigh || !strings.Contains(r.body, `"cost":{"maximum":20000,"requested":220201}`) {
		t.Errorf("got %s", r.body)
	}
}

func TestNullIsRefusedForNonNullUse(t *testing.T) {
	s := newSite(t, nil)
	cases := map[string]struct {
		reason, query, variables string
		refused                  bool
	}{
		"Include":       {"a condition is true or false; gqlgen panics at null", `query($b:Boolean=true){__typename @include(if:$b)}`, `{"b":null}`, true},
		"IncludeAbsent": {"absent, it is the default", `query($b:Boolean=true){__typename @include(if:$b)}`, `{}`, false},
		"Argument":      {"the argument isn't nullable, its default makes the variable so", `query($n:Int){article(slug:"a"){excerpt(words:$n)}}`, `{"n":null}`, true},
		"Nullable":      {"where null is taken", `query($n:String){articles(after:$n){__typename}}`, `{"n":null}`, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := s.do(t, "POST", "/graphql", `{"query":`+strconv.Quote(c.query)+`,"variables":`+c.variables+`}`, jsonBody)
			if got := r.codes(t) == refusal.ValidationFailed && strings.Contains(r.body, "null is not allowed"); got != c.refused {
				t.Errorf("%s: %s", c.reason, r.body)
			}
		})
	}
}
