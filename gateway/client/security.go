package client

// The headers that keep a browser from misusing a response. Handlers of
// pages set a policy of their own over these.

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// apiPolicy lets an answer of the API load nothing and stand in no frame, should anybody look
// at it as a page (OWASP REST Security Cheat Sheet, "Security Headers").
const apiPolicy = "default-src 'none'; frame-ancestors 'none'"

// Header values that every response has. Nobody changes them.
var (
	nosniffValue   = []string{"nosniff"}
	denyValue      = []string{"DENY"}
	apiPolicyValue = []string{apiPolicy}
)

// SetSecurityHeaders sets the headers that every response has.
func (c *Clients) SetSecurityHeaders(h http.Header, r *http.Request) {
	h["X-Content-Type-Options"] = nosniffValue
	h["Content-Security-Policy"] = apiPolicyValue
	h["X-Frame-Options"] = denyValue
	if len(r.TransferEncoding) > 0 {
		// It may also have had a length. net/http doesn't report it, but a proxy in front of
		// us may have believed it: the next bytes of this connection must not be taken for a
		// request (RFC 9112, 6.1).
		h["Connection"] = []string{"close"}
	}
	if c.hsts != "" && c.overTLS(r) {
		h["Strict-Transport-Security"] = []string{c.hsts}
	}
}

// DropSecurityHeaders takes headers from a 304 that its client has stored with the response: it has
// those that RFC 9110, 15.4.5 asks for.
func DropSecurityHeaders(h http.Header) {
	delete(h, "X-Content-Type-Options")
	delete(h, "Content-Security-Policy")
	delete(h, "X-Frame-Options")
}

// overTLS reports whether the request came by HTTPS, to this server or to a trusted proxy. Of several
// proxies the last one counts. Over HTTP the HSTS header must not be sent (RFC 6797, 7.2).
func (c *Clients) overTLS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	peer, _ := parseHop(r.RemoteAddr)
	lines := r.Header["X-Forwarded-Proto"]
	if len(lines) == 0 || !within(c.proxies, peer) {
		return false
	}
	last := lines[len(lines)-1]
	return strings.EqualFold(strings.Trim(last[strings.LastIndexByte(last, ',')+1:], " \t"), "https")
}

func hstsValue(lasts time.Duration) string {
	if lasts < time.Second {
		return ""
	}
	return "max-age=" + strconv.Itoa(int(lasts/time.Second))
}
