package client

// Credentials: the tokens of a request (tokenOf, cookieOf), and the cookies that a response sets
// (Clients.SetCookie). A token is never logged and stands in no error.

import (
	"net/http"
	"strings"
	"time"

	"stoa/access"
	"stoa/clip"
	"stoa/gateway/refusal"
)

// cookieNames have a prefix by which browsers take the cookies only over a secure connection, for
// this host alone and the whole of it (RFC 6265bis, "The __Host- Prefix").
var cookieNames = [...]string{access.SessionCookie: "__Host-stoa", access.DeviceCookie: "__Host-stoa-device"}

// developmentCookieNames are of the second cookies that development sets, with the same token: Safari
// drops Secure cookies from http://localhost, and with them the prefix.
var developmentCookieNames = [...]string{access.SessionCookie: "stoa", access.DeviceCookie: "stoa-device"}

const (
	// maxToken is the length of a token in bytes. Ours have 256 bits, 43 letters.
	maxToken = 256

	// maxDevice is how much of a User-Agent is told, in bytes: access.Client promises it.
	maxDevice = 200
)

// tokenOf returns the token of a request, "" without one: from Authorization, or else from the
// cookie. A malformed Authorization is refused, since a program sent it. A malformed cookie
// counts as not sent, since the user of a browser can't correct it.
func tokenOf(h http.Header) (token string, byCookie bool, err error) {
	given := h["Authorization"]
	if len(given) > 1 {
		return "", false, refusal.New(refusal.BadRequest, "there are %d Authorization headers: send one, Authorization: Bearer TOKEN", len(given))
	}
	if len(given) == 1 {
		if token, ok, err := Bearer(given[0]); ok || err != nil {
			return token, false, err
		}
	}
	token = cookieOf(h, cookieNames[access.SessionCookie])
	return token, token != "", nil
}

// Bearer reads credentials in the form of Authorization (RFC 6750, section 2.1); ok is false
// for another scheme.
func Bearer(credentials string) (token string, ok bool, err error) {
	scheme, token := credentials, ""
	if end := strings.IndexAny(credentials, " \t"); end >= 0 {
		scheme, token = credentials[:end], strings.Trim(credentials[end:], " \t")
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, nil
	}
	if !ValidToken(token) {
		return "", false, refusal.New(refusal.BadRequest, "Authorization has no token that could be one: send Bearer TOKEN, where TOKEN has 1 to %d printable ASCII characters and no spaces", maxToken)
	}
	return token, true, nil
}

// ValidToken says whether s could be a token.
func ValidToken(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// cookieOf returns the value of the first cookie of a name in the lines of Cookie; "" without one,
// and if it could be no token.
func cookieOf(h http.Header, wanted string) string {
	for _, line := range h["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if name, value, ok := strings.Cut(strings.Trim(pair, " \t"), "="); ok && name == wanted {
				if !ValidToken(value) {
					return ""
				}
				return value
			}
		}
	}
	return ""
}

// deviceOf returns the client's User-Agent, cut.
func deviceOf(h http.Header) string {
	device := h.Get("User-Agent")
	if len(device) > maxDevice {
		// The copy lets go of the rest, up to the size of all headers.
		device = strings.Clone(clip.Bytes(device, maxDevice))
	}
	// Each broken byte is replaced by one that isn't: it never gets longer than it may be.
	return strings.ToValidUTF8(device, "?")
}

// SetCookie has the browser store kept. Strict costs front ends nothing: their
// requests come from their own pages, never from a link.
func (c *Clients) SetCookie(h http.Header, kept access.Cookie) {
	cookie := http.Cookie{Name: cookieNames[kept.Kind], Value: kept.Token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	left := time.Until(kept.Until)
	switch {
	case kept.Token == "" || left < time.Second && !kept.Until.IsZero():
		cookie.Value, cookie.MaxAge = "", -1 // written as Max-Age=0
	case !kept.Until.IsZero():
		cookie.Expires, cookie.MaxAge = kept.Until, int(left/time.Second)
	}
	h.Add("Set-Cookie", cookie.String())
	if c.development {
		cookie.Name, cookie.Secure = developmentCookieNames[kept.Kind], false
		h.Add("Set-Cookie", cookie.String())
	}
}
