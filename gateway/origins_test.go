package gateway

import (
	"net/http"
	"strings"
	"testing"
)

const shop = "https://shop.example"

func withShop(o *Options) { o.Origins = []string{shop, "http://localhost:3000"} }

func TestCrossOriginPosts(t *testing.T) {
	cases := map[string]struct {
		reason  string
		headers []string
		ok      bool
	}{
		"Program":        {"no browser, no origin", nil, true},
		"Same":           {"our own page", []string{"Sec-Fetch-Site: same-origin", "Origin: http://api.example"}, true},
		"Typed":          {"nobody's page", []string{"Sec-Fetch-Site: none"}, true},
		"Listed":         {"a front end of ours", []string{"Sec-Fetch-Site: cross-site", "Origin: " + shop}, true},
		"ListedOld":      {"in an old browser", []string{"Origin: " + shop}, true},
		"Other":          {"somebody's page", []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, false},
		"OtherOld":       {"in an old browser", []string{"Origin: https://evil.example"}, false},
		"SubDomain":      {"the same site isn't the same origin", []string{"Sec-Fetch-Site: same-site", "Origin: https://app.example"}, false},
		"Null":           {"a sandboxed frame", []string{"Sec-Fetch-Site: cross-site", "Origin: null"}, false},
		"NoOrigin":       {"Origin was taken off on the way", []string{"Sec-Fetch-Site: cross-site"}, false},
		"OtherScheme":    {"http isn't https", []string{"Sec-Fetch-Site: cross-site", "Origin: http://shop.example"}, false},
		"LongerThanOurs": {"a suffix doesn't help", []string{"Origin: https://shop.example.evil.example"}, false},
	}
	s := newSite(t, withShop)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := s.post(t, "{ __typename }", c.headers...)
			if c.ok && got.status != 200 || !c.ok && got.status != 403 {
				t.Errorf("%s: got %d %s", c.reason, got.status, got.body)
			}
			if !c.ok && (got.codes(t) != "CROSS_ORIGIN" || !strings.Contains(got.body, "STOA_ORIGINS")) {
				t.Errorf("%s: got %s", c.reason, got.body)
			}
		})
	}
}

func TestCrossOriginPostIsNoUse(t *testing.T) {
	a := &accounts{}
	s := newSite(t, a.options)
	s.post(t, "{ __typename }", "Origin: https://evil.example", "Cookie: __Host-stoa=of-ada")
	if _, used := a.told(); used != "" {
		t.Errorf("a refused request keeps the session of %s alive", used)
	}
}

func TestCORS(t *testing.T) {
	s := newSite(t, withShop)
	preflight := func(origin, headers string) reply {
		return s.do(t, "OPTIONS", "/graphql", "", "Origin: "+origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: "+headers)
	}
	vary := func(r reply) string { return strings.Join(r.header.Values("Vary"), ", ") }
	granted := func(r reply) bool {
		return r.header.Get("Access-Control-Allow-Origin") == shop && r.header.Get("Access-Control-Allow-Credentials") == "true"
	}
	nothing := func(r reply) bool {
		for name := range r.header {
			if strings.HasPrefix(name, "Access-Control-") {
				return false
			}
		}
		return true
	}

	got := preflight(shop, "apollo-require-preflight,authorization,content-type,x-apollo-operation-name")
	if got.status != 204 || !granted(got) || got.header.Get("Access-Control-Max-Age") != "7200" || got.header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("preflight: %d %v", got.status, got.header)
	}
	if !strings.Contains(vary(got), "Origin, Access-Control-Request-Method, Access-Control-Request-Headers") {
		t.Errorf("preflight: Vary is %q", vary(got))
	}
	if got.header.Get("Access-Control-Allow-Private-Network") != "" {
		t.Error("a private network is opened")
	}
	if got := preflight("https://evil.example", "content-type"); got.status != 204 || !nothing(got) {
		t.Errorf("preflight of another origin: %d %v", got.status, got.header)
	}
	if got := preflight(shop, "x-other"); !nothing(got) {
		t.Errorf("preflight with a header that isn't taken: %v", got.header)
	}
	for what, got := range map[string]reply{
		"answer":        s.post(t, "{ __typename }", "Origin: "+shop),
		"GET":           s.do(t, "GET", "/graphql?query={__typename}", "", "Origin: "+shop),
		"syntax error":  s.post(t, "{", "Origin: "+shop, "Accept: application/graphql-response+json"),
		"no JSON":       s.do(t, "POST", "/graphql", "{", "Origin: "+shop, "Content-Type: application/json"),
		"wrong media":   s.do(t, "POST", "/graphql", "{", "Origin: "+shop),
		"not accepted":  s.post(t, "{ __typename }", "Origin: "+shop, "Accept: image/png"),
		"bad bearer":    s.post(t, "{ __typename }", "Origin: "+shop, "Authorization: Bearer"),
		"resolver down": s.post(t, `{ article(slug: "panic") { slug } }`, "Origin: "+shop),
	} {
		if !granted(got) || !strings.Contains(vary(got), "Origin") || !strings.Contains(vary(got), "Accept") {
			t.Errorf("%s can't be read by the front end: %v", what, got.header)
		}
	}
	if got := s.do(t, "GET", "/graphql?query={__typename}", "", "Origin: https://evil.example"); !nothing(got) || got.status != 200 {
		t.Errorf("another origin: %d %v", got.status, got.header)
	}
	if got := s.post(t, "{ __typename }", "Origin: https://evil.example"); !nothing(got) || got.status != 403 {
		t.Errorf("another origin's POST: %d %v", got.status, got.header)
	}
	if got := s.do(t, "OPTIONS", "/graphql", ""); got.status != 204 || got.header.Get("Allow") == "" {
		t.Errorf("OPTIONS of a program: %d %v", got.status, got.header)
	}
}

func TestNoOriginsNoCORS(t *testing.T) {
	s := newSite(t, nil)
	got := s.do(t, "OPTIONS", "/graphql", "", "Origin: "+shop, "Access-Control-Request-Method: POST")
	if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Origin") != "" || got.header.Get("Allow") == "" {
		t.Errorf("got %d %v", got.status, got.header)
	}
}
