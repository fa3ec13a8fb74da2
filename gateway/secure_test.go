package gateway

import (
	"net/http"
	"testing"
	"time"
)

// Every answer has the headers that keep a browser from misusing it, refusals among them.
func TestEveryResponseHasSecurityHeaders(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	s := newSite(t, func(o *Options) { o.Playground, o.Outbox, o.Limits.load.PerClient = page, page, 1 })
	for _, request := range [][]string{
		{"POST", "/graphql", `{"query":"{__typename}"}`, "Content-Type: application/json"},
		{"POST", "/graphql", `{"query":"{"}`, "Content-Type: application/json"},
		{"POST", "/graphql", `a=b`, "Content-Type: application/x-www-form-urlencoded"},
		{"POST", "/graphql", `{"query":"{__typename}"}`, "Content-Type: application/json", "Origin: https://evil.example"},
		{"GET", "/graphql?query={__typename}", ""},
		{"OPTIONS", "/graphql", ""},
		{"DELETE", "/graphql", ""},
		{"GET", "/graphql", "", "Upgrade: websocket"},
		{"GET", "/healthz", ""}, {"GET", "/readyz", ""}, {"GET", "/", ""}, {"GET", "/nothing", ""},
		{"GET", "/playground/", ""}, {"GET", "/outbox", ""}, {"GET", "/media/x", ""}, {"GET", "/feed.atom", ""},
	} {
		r := s.do(t, request[0], request[1], request[2], request[3:]...)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Strict-Transport-Security": "",
		} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s %s, %d: %s is %q, not %q", request[0], request[1], r.status, name, got, want)
			}
		}
	}
}

func TestHSTSOnlyOverHTTPS(t *testing.T) {
	with := newSite(t, func(o *Options) { o.HSTS, o.Proxies = 24*time.Hour, prefixes("127.0.0.0/8", "::1/128") })
	without := newSite(t, func(o *Options) { o.Proxies = prefixes("127.0.0.0/8", "::1/128") })
	unknown := newSite(t, func(o *Options) { o.HSTS = 24 * time.Hour })
	cases := map[string]struct {
		site    *site
		headers []string
		want    string
	}{
		"Plain":   {with, nil, ""},
		"HTTP":    {with, []string{"X-Forwarded-Proto: http"}, ""},
		"HTTPS":   {with, []string{"X-Forwarded-Proto: https"}, "max-age=86400"},
		"Last":    {with, []string{"X-Forwarded-Proto: http, https"}, "max-age=86400"},
		"Forged":  {with, []string{"X-Forwarded-Proto: https, http"}, ""},
		"Unset":   {without, []string{"X-Forwarded-Proto: https"}, ""},
		"NoProxy": {unknown, []string{"X-Forwarded-Proto: https"}, ""},
	}
	for name, c := range cases {
		if got := c.site.do(t, "GET", "/healthz", "", c.headers...).header.Get("Strict-Transport-Security"); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

// A page of a listed origin can read its consumed units.
func TestPagesReadTheirRates(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Origins, o.Rates = []string{"https://shop.example"}, rates(t, 100_000) })
	r := s.post(t, `{ __typename }`, "Origin: https://shop.example", "Sec-Fetch-Site: cross-site")
	if got := r.header.Get("Access-Control-Expose-Headers"); r.status != 200 || got != "Stoa-Cost, Stoa-Used, Ratelimit-Policy, Ratelimit, Retry-After" {
		t.Errorf("%d: a page may read %q", r.status, got)
	}
}
