package gateway

import (
	"net/http"
	"strings"
	"testing"
)

const shop = "https://shop.example"

func withShop(o *Options) { o.Origins = []string{shop, "http://localhost:3000"} }

func TestOriginsAreChecked(t *testing.T) {
	cases := map[string]struct {
		reason, origin string
		ok             bool
	}{
		"Usual":        {"a front end", "https://shop.example", true},
		"Port":         {"one in development", "http://localhost:3000", true},
		"IPv6":         {"an address", "http://[::1]:3000", true},
		"App":          {"a page within an app has a scheme of its own", "capacitor://localhost", true},
		"Empty":        {"a list with a comma too many", "", false},
		"Star":         {"all of them can't be combined with cookies", "*", false},
		"Wildcard":     {"nor all of a domain", "https://*.shop.example", false},
		"Null":         {"what a sandboxed frame sends, any of them", "null", false},
		"NoScheme":     {"a host isn't an origin", "shop.example", false},
		"NoHost":       {"nor a scheme", "https://", false},
		"Slash":        {"no browser sends it", "https://shop.example/", false},
		"Path":         {"no browser sends it", "https://shop.example/app", false},
		"Query":        {"no browser sends it", "https://shop.example?a", false},
		"User":         {"no browser sends it", "https://me@shop.example", false},
		"UpperCase":    {"browsers write it small", "https://Shop.example", false},
		"OwnPort":      {"browsers leave it out", "https://shop.example:443", false},
		"EmptyPort":    {"browsers leave it out", "https://shop.example:", false},
		"OtherScript":  {"browsers send Punycode", "https://büch.example", false},
		"Space":        {"a list that wasn't split", "https://a.example https://b.example", false},
		"ControlBytes": {"not even close", "https://a\n", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := newOrigins([]string{c.origin})
			if (err == nil) != c.ok {
				t.Errorf("%s: %v", c.reason, err)
			}
			if err != nil && !strings.Contains(err.Error(), c.origin) && c.origin == strings.TrimSpace(c.origin) {
				t.Errorf("the error doesn't repeat what is wrong: %v", err)
			}
		})
	}
}

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
