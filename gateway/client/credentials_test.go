package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"stoa/access"
)

func TestTokenOf(t *testing.T) {
	long := strings.Repeat("x", maxToken)
	cases := map[string]struct {
		reason        string
		authorization []string
		cookie        []string
		want          string
		refused       bool
	}{
		"None":           {"nobody says who they are", nil, nil, "", false},
		"Bearer":         {"a phone", []string{"Bearer abc"}, nil, "abc", false},
		"AnyCase":        {"schemes have no case", []string{"bEARER abc"}, nil, "abc", false},
		"Spaces":         {"RFC 9110 lets there be several", []string{"Bearer   abc "}, nil, "abc", false},
		"Cookie":         {"a browser", nil, []string{"__Host-stoa=abc"}, "abc", false},
		"AmongOthers":    {"a site has more cookies", nil, []string{"a=b; __Host-stoa=abc; c=d"}, "abc", false},
		"Both":           {"who sends Bearer means it", []string{"Bearer abc"}, []string{"__Host-stoa=def"}, "abc", false},
		"Basic":          {"a password for a proxy isn't for us", []string{"Basic YTpi"}, []string{"__Host-stoa=def"}, "def", false},
		"BearerEmpty":    {"a program forgot the token", []string{"Bearer"}, []string{"__Host-stoa=def"}, "", true},
		"BearerTwoWords": {"no token has spaces", []string{"Bearer a b"}, nil, "", true},
		"BearerLongest":  {"at the bound", []string{"Bearer " + long}, nil, long, false},
		"BearerTooLong":  {"above the bound", []string{"Bearer " + long + "x"}, nil, "", true},
		"BearerOdd":      {"not ASCII", []string{"Bearer ä"}, nil, "", true},
		"BearerControl":  {"not printable", []string{"Bearer a\x7f"}, nil, "", true},
		"Two":            {"which one is meant can't be told", []string{"Bearer a", "Basic b"}, nil, "", true},
		"CookieTooLong":  {"a browser's user can't help it", nil, []string{"__Host-stoa=" + long + "x"}, "", false},
		"CookieOdd":      {"nor this", nil, []string{"__Host-stoa=ä"}, "", false},
		"CookieEmpty":    {"nor this", nil, []string{"__Host-stoa="}, "", false},
		"CookieTwice":    {"the first counts", nil, []string{"__Host-stoa=a; __Host-stoa=b"}, "a", false},
		"CookieOddFirst": {"even where it is no token", nil, []string{"__Host-stoa=ä; __Host-stoa=b"}, "", false},
		"CookieLines":    {"several headers are one list", nil, []string{"a=b", "__Host-stoa=abc"}, "abc", false},
		"CookieCase":     {"names of cookies have case", nil, []string{"__host-Stoa=abc"}, "", false},
		"CookieEquals":   {"a value may hold =", nil, []string{"__Host-stoa=a=b="}, "a=b=", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if c.authorization != nil {
				h["Authorization"] = c.authorization
			}
			h["Cookie"] = c.cookie
			token, _, err := tokenOf(h)
			if token != c.want || (err != nil) != c.refused {
				t.Errorf("%s: got %q, %v", c.reason, token, err)
			}
		})
	}
}

func FuzzTokenOf(f *testing.F) {
	f.Add("Bearer abc", "a=b; __Host-stoa=def")
	f.Add("Basic abc", `__Host-stoa="x"; __Host-stoa=y`)
	f.Add("", ";=;__Host-stoa=")
	f.Fuzz(func(t *testing.T, authorization, cookie string) {
		h := http.Header{"Authorization": {authorization}, "Cookie": {cookie}}
		token, _, err := tokenOf(h)
		if token != "" && !ValidToken(token) {
			t.Fatalf("%q can't be a token", token)
		}
		if err != nil && token != "" {
			t.Fatal("refused, and yet a token")
		}
		if err != nil && len(authorization) > len("Bearer ")+5 && strings.Contains(err.Error(), authorization[len("Bearer "):]) {
			t.Fatal("the refusal repeats the token")
		}
		// net/http reads the same cookie if it reads the first of that name at all.
		delete(h, "Authorization")
		token, _, _ = tokenOf(h)
		read, err := (&http.Request{Header: h}).Cookie(cookieNames[access.SessionCookie])
		if err == nil && strings.Count(cookie, cookieNames[access.SessionCookie]) == 1 && !strings.ContainsAny(cookie, "\" \t,\\\r\n\v\f") && ValidToken(read.Value) && token != read.Value {
			t.Fatalf("got %q, net/http reads %q", token, read.Value)
		}
	})
}

func TestCookiesOfOneKindAreNotTakenForTheOther(t *testing.T) {
	h := http.Header{"Cookie": {"__Host-stoa-device=d; __Host-stoa=s"}}
	if s, d := cookieOf(h, cookieNames[access.SessionCookie]), cookieOf(h, cookieNames[access.DeviceCookie]); s != "s" || d != "d" {
		t.Errorf("got %q and %q", s, d)
	}
	out := http.Header{}
	new(Clients).SetCookie(out, access.Cookie{Kind: access.DeviceCookie, Token: "d", Until: time.Now().Add(time.Hour)})
	if got := out.Get("Set-Cookie"); !strings.HasPrefix(got, "__Host-stoa-device=d; Path=/; ") || !strings.HasSuffix(got, "; HttpOnly; Secure; SameSite=Strict") {
		t.Errorf("set by %q", got)
	}
}

func TestDeviceOf(t *testing.T) {
	cases := map[string]struct{ reason, agent, want string }{
		"Short":  {"as it came", "curl/8", "curl/8"},
		"Cut":    {"at 200 bytes", strings.Repeat("x", 300), strings.Repeat("x", 200)},
		"Middle": {"never within a letter", strings.Repeat("x", 199) + "ä", strings.Repeat("x", 199)},
		"Broken": {"what isn't UTF-8 is replaced", "a\xffb", "a?b"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := deviceOf(http.Header{"User-Agent": {c.agent}})
			if got != c.want || !utf8.ValidString(got) {
				t.Errorf("%s: got %q", c.reason, got)
			}
		})
	}
}

func TestCookieThatHasEndedIsForgotten(t *testing.T) {
	h := http.Header{}
	new(Clients).SetCookie(h, access.Cookie{Token: "old", Until: time.Now().Add(-time.Hour)})
	if got := h.Get("Set-Cookie"); strings.Contains(got, "old") || !strings.Contains(got, "Max-Age=0") {
		t.Errorf("got %q", got)
	}
}

// Safari drops cookies that are Secure from http://localhost.
func TestDevelopmentHasACookieForSafari(t *testing.T) {
	for _, development := range []bool{true, false} {
		clients, err := New(Options{Development: development})
		if err != nil {
			t.Fatal(err)
		}
		for kind, name := range []string{access.SessionCookie: "stoa", access.DeviceCookie: "stoa-device"} {
			out := http.Header{}
			clients.SetCookie(out, access.Cookie{Kind: access.CookieKind(kind), Token: "t", Until: time.Now().Add(time.Hour)})
			plain := 0
			for _, line := range out["Set-Cookie"] {
				c, err := http.ParseSetCookie(line)
				if err != nil || c.Value != "t" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Path != "/" {
					t.Errorf("%q, %v", line, err)
				}
				if c.Name == name && !c.Secure {
					plain++
				}
			}
			if want := len(out["Set-Cookie"]) - 1; plain != want || development != (plain == 1) {
				t.Errorf("development %t: %q", development, out["Set-Cookie"])
			}
			out = http.Header{}
			clients.SetCookie(out, access.Cookie{Kind: access.CookieKind(kind)})
			for _, line := range out["Set-Cookie"] {
				if !strings.Contains(line, "=; ") || !strings.Contains(line, "Max-Age=0") {
					t.Errorf("a sign-out leaves %q", line)
				}
			}
		}
		r := httptest.NewRequest("POST", "http://localhost:8080/graphql", nil)
		r.Header.Set("Cookie", "stoa-device=d; stoa=s")
		got, err := clients.Credentials(r)
		want := access.Request{}
		if development {
			want.Token, want.ByCookie, want.DeviceToken = "s", true, "d"
		}
		if err != nil || got.Token != want.Token || got.ByCookie != want.ByCookie || got.DeviceToken != want.DeviceToken {
			t.Errorf("development %t: %+v, %v", development, got, err)
		}
		r.Header.Set("Cookie", "stoa=s; __Host-stoa=secure")
		if got, err := clients.Credentials(r); err != nil || got.Token != "secure" {
			t.Errorf("development %t: the cookie with the prefix comes first, got %+v, %v", development, got, err)
		}
	}
}
