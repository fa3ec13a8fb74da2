package client

// Pages of other origins: the right to send a change (CheckOrigin), and
// the right to read the responses (AllowOrigin). An origin is listed for both or for neither.

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"

	"stoa/gateway/refusal"
	"stoa/gateway/wire"
	"stoa/loopback"
)

// preflightAge is for how long a browser need not ask again: two hours is the most that
// Chromium takes (Fetch leaves it to browsers).
const preflightAge = 2 * time.Hour

// allowedHeaders are the request headers of known clients: of Apollo, urql and Relay, those that
// other servers require of browsers, and those of distributed tracing.
var allowedHeaders = []string{
	"Accept", "Authorization", "Content-Type", "Last-Event-ID",
	"Apollo-Require-Preflight", "ApolloGraphQL-Client-Name", "ApolloGraphQL-Client-Version",
	"X-Apollo-Operation-Id", "X-Apollo-Operation-Name",
	"GraphQL-Preflight", "GraphQL-Require-Preflight", "X-Requested-With",
	"Baggage", "Sentry-Trace", "Traceparent", "Tracestate",
}

// exposedHeaders are the headers of a response that a page may read, besides those that all may.
var exposedHeaders = []string{wire.CostHeader, wire.UsedHeader, wire.PolicyHeader, wire.RateHeader, "Retry-After"}

// origins are the other origins with pages that may use the API as the visitor.
type origins struct {
	protection *http.CrossOriginProtection
	cors       *cors.Cors // nil when there are none
	listed     map[string]bool
	loopback   bool // all origins of loopback hosts may use the API

	// Of the response to a page of the one listed origin; nil with several.
	only, exposed []string
}

// newOrigins returns origins as browsers write them, or an error that names the wrong one. In development
// an empty list stands for all origins of loopback hosts: only programs of this machine are behind these.
func newOrigins(list []string, development bool) (*origins, error) {
	o := &origins{protection: http.NewCrossOriginProtection(), listed: map[string]bool{}, loopback: development && len(list) == 0}
	for _, origin := range list {
		if err := checkOrigin(origin); err != nil {
			return nil, err
		}
		if err := o.protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
		o.listed[origin] = true
	}
	if len(list) > 0 || o.loopback { // without AllowOriginFunc rs/cors would allow every origin
		o.cors = cors.New(cors.Options{
			AllowOriginFunc:  o.allows,
			AllowedMethods:   []string{http.MethodGet, http.MethodHead, http.MethodPost},
			AllowedHeaders:   allowedHeaders,
			ExposedHeaders:   exposedHeaders,
			AllowCredentials: true,
			MaxAge:           int(preflightAge / time.Second),
		})
	}
	if len(o.listed) == 1 {
		o.only, o.exposed = []string{list[0]}, []string{strings.Join(exposedHeaders, ", ")}
	}
	return o, nil
}

// allows says whether pages of an origin may use the API as their visitor.
func (o *origins) allows(origin string) bool {
	if o.listed[origin] || !o.loopback {
		return o.listed[origin]
	}
	return checkOrigin(origin) == nil && strings.HasPrefix(origin, "http") && loopback.Is(loopback.HostOf(origin[strings.Index(origin, "://")+3:]))
}

// CheckOrigins returns an error that names the first of list that isn't an origin.
func CheckOrigins(list []string) error {
	_, err := newOrigins(list, false)
	return err
}

// checkOrigin returns an error unless s is an origin in the form that browsers send,
// compared letter by letter.
func checkOrigin(s string) error {
	const example = "an origin is written as browsers send it, such as https://shop.example or http://localhost:3000"
	if strings.Contains(s, "*") {
		return fmt.Errorf("%q has a wildcard, which can't be combined with cookies: name each origin", s)
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return fmt.Errorf("%q has no scheme or no host: %s", s, example)
	}
	if s != u.Scheme+"://"+u.Host {
		return fmt.Errorf("%q has more than scheme, host and port: %s", s, example)
	}
	if u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443" || strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("%q has a port that browsers leave out: %s", s, example)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || 'A' <= c && c <= 'Z' {
			return fmt.Errorf("%q isn't in lower-case ASCII (a name in another script is written in Punycode): %s", s, example)
		}
	}
	return nil
}

// VaryOrigin says whether responses differ by Origin.
func (o *origins) VaryOrigin() bool { return o.cors != nil }

// credentialsValue is the value of Access-Control-Allow-Credentials. Nobody changes it.
var credentialsValue = []string{"true"}

// AllowOrigin adds the headers that let a page of a listed origin read the response to r. It answers a
// preflight, and says so. It leaves the caller's Vary, which names Origin: some caches take only the
// last of several lines (nginx before 1.23).
//
// With one listed origin, the headers are in every response, whatever Origin the request has: a cache
// that leaves Origin out of its key then stores nothing that the front end can't read. Pages of other
// origins can read none of them either way.
func (o *origins) AllowOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	if o.cors == nil {
		return false
	}
	h := w.Header()
	vary := h["Vary"]
	delete(h, "Vary")
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		o.cors.HandlerFunc(w, r)
		return true
	}
	if o.only != nil {
		h["Access-Control-Allow-Origin"], h["Access-Control-Allow-Credentials"], h["Access-Control-Expose-Headers"] = o.only, credentialsValue, o.exposed
	} else {
		o.cors.HandlerFunc(w, r)
	}
	h["Vary"] = vary
	return false
}

// CheckOrigin refuses a POST that a page of an origin that isn't listed sent. Programs that are no
// browsers send neither Origin nor Sec-Fetch-Site, and pass.
func (o *origins) CheckOrigin(r *http.Request) error {
	if o.protection.Check(r) == nil || o.loopback && o.allows(r.Header.Get("Origin")) {
		return nil
	}
	return crossOrigin(r)
}

func crossOrigin(r *http.Request) error {
	return refusal.New(refusal.CrossOrigin, "a page of another origin (%.100q) sent this, and it isn't one that may: STOA_ORIGINS lists those, and needs it even when only the port or the sub-domain differs", r.Header.Get("Origin"))
}

// CheckHandshake refuses a WebSocket to a page of an origin that isn't listed: it would speak with
// the visitor's cookie, and read the responses. The API's own origin is its host, by HTTPS if the
// request came by HTTPS: a page by HTTP could be anybody's on the way.
func (c *Clients) CheckHandshake(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || c.allows(origin) {
		return nil
	}
	scheme, host, ok := strings.Cut(origin, "://")
	if !ok || host == "" || !strings.EqualFold(host, r.Host) || scheme != "https" && (scheme != "http" || c.overTLS(r)) {
		return crossOrigin(r)
	}
	return nil
}

// CheckHost refuses a request for a host that isn't one of Options.Hosts and no loopback name.
func (c *Clients) CheckHost(r *http.Request) error {
	if c.hosts == nil {
		return nil
	}
	host := loopback.HostOf(r.Host)
	if loopback.Is(host) || slices.ContainsFunc(c.hosts, func(other string) bool { return strings.EqualFold(other, host) }) {
		return nil
	}
	return refusal.New(refusal.CrossOrigin, "a request for the host %.100q is refused in development: use localhost or 127.0.0.1, or name the host in STOA_PUBLIC_URL", host)
}
