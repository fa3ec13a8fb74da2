package client

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

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
			_, err := newOrigins([]string{c.origin}, false)
			if (err == nil) != c.ok {
				t.Errorf("%s: %v", c.reason, err)
			}
			if err != nil && !strings.Contains(err.Error(), c.origin) && c.origin == strings.TrimSpace(c.origin) {
				t.Errorf("the error doesn't repeat what is wrong: %v", err)
			}
		})
	}
}

func TestHandshakesNeedAnAllowedOrigin(t *testing.T) {
	cases := map[string]struct {
		reason, origin, proto string
		ok                    bool
	}{
		"Program":      {"no browser", "", "", true},
		"Own":          {"the API's own page", "http://api.example", "", true},
		"OwnSecure":    {"TLS may end at a proxy that doesn't say so", "https://api.example", "", true},
		"OwnOverTLS":   {"the API's own page", "https://api.example", "https", true},
		"OwnOpen":      {"over HTTP anybody on the way could have written the page", "http://api.example", "https", false},
		"OtherPort":    {"another origin", "http://api.example:81", "", false},
		"User":         {"browsers don't send it", "http://me@api.example", "", false},
		"UserOfOther":  {"nor this", "http://api.example@evil.example", "", false},
		"Path":         {"an origin has none", "http://api.example/", "", false},
		"OtherScheme":  {"no page of ours", "ftp://api.example", "", false},
		"Null":         {"a sandboxed frame", "null", "", false},
		"Listed":       {"a front end", "https://shop.example", "https", true},
		"ListedByHTTP": {"listed by HTTPS only", "http://shop.example", "", false},
	}
	clients, err := New(Options{Origins: []string{"https://shop.example"}, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://api.example/graphql", nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.proto != "" {
				r.Header.Set("X-Forwarded-Proto", c.proto)
			}
			if err := clients.CheckHandshake(r); (err == nil) != c.ok {
				t.Errorf("%s: %v", c.reason, err)
			}
		})
	}
}

func TestInDevelopmentARequestIsForThisMachine(t *testing.T) {
	ours := []string{"localhost", "localhost:8080", "LOCALHOST.", "api.localhost:8080", "127.0.0.1", "127.8.8.8:1", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]", "tunnel.example", "Tunnel.example:443"}
	others := []string{"", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]:8080", "0.0.0.0", "localhost@evil.example"}
	development, err := New(Options{Hosts: []string{"tunnel.example"}})
	if err != nil {
		t.Fatal(err)
	}
	production, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(host string, ok bool) {
		r := httptest.NewRequest("GET", "/graphql", nil)
		r.Host = host
		if err := development.CheckHost(r); (err == nil) != ok {
			t.Errorf("development, host %q: %v", host, err)
		}
		if err := production.CheckHost(r); err != nil {
			t.Errorf("production, host %q: %v", host, err)
		}
	}
	for _, host := range ours {
		check(host, true)
	}
	for _, host := range others {
		check(host, false)
	}
}

// A front end's first hour: Vite on another port, and no variable set yet.
func TestDevelopmentLetsInLoopbackOrigins(t *testing.T) {
	cases := map[string]struct {
		reason, origin string
		ok             bool
	}{
		"Vite":      {"another port", "http://localhost:5173", true},
		"Address":   {"another name of this machine", "http://127.0.0.1:3000", true},
		"IPv6":      {"another address of it", "http://[::1]:3000", true},
		"SubDomain": {"a name below localhost", "http://shop.localhost:3000", true},
		"Secure":    {"a front end with a certificate", "https://localhost", true},
		"Elsewhere": {"somebody's page", "https://evil.example", false},
		"LooksLike": {"a name that anybody can have", "http://localhost.evil.example", false},
		"User":      {"no browser sends it", "http://localhost@evil.example", false},
		"Null":      {"a sandboxed frame, of any page", "null", false},
		"OtherKind": {"a page within an app isn't served from here", "ftp://localhost", false},
	}
	open, err := New(Options{Development: true})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := New(Options{Development: true, Origins: []string{"https://shop.example"}})
	if err != nil {
		t.Fatal(err)
	}
	production, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		r := httptest.NewRequest("POST", "http://localhost:8080/graphql", nil)
		r.Header.Set("Origin", c.origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		for who, clients := range map[string]*Clients{"development": open, "with STOA_ORIGINS": listed, "production": production} {
			want := c.ok && who == "development"
			w := httptest.NewRecorder()
			clients.AllowOrigin(w, r)
			reads := w.Header().Get("Access-Control-Allow-Origin") == c.origin
			if sends, shakes := clients.CheckOrigin(r) == nil, clients.CheckHandshake(r) == nil; sends != want || shakes != want || reads != want {
				t.Errorf("%s, %s: %s: sends %t, reads %t, by WebSocket %t", name, who, c.reason, sends, reads, shakes)
			}
		}
	}
}
