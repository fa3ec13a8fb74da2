package mail

// The outbox: its page, its bounds, and the hosts that it answers.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func get(m *Mailer, method, url string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	m.Outbox().ServeHTTP(w, r)
	return w
}

func keep(t *testing.T, m *Mailer, messages ...Message) {
	t.Helper()
	for _, l := range messages {
		if err := m.Send(context.Background(), l); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOutboxIsReadAsJSON(t *testing.T) {
	var log bytes.Buffer
	m := newMailer(t, Options{Keep: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if got := get(m, "GET", "http://localhost:8080/outbox?format=json").Body.String(); got != "[]\n" {
		t.Errorf("an empty outbox is %q", got)
	}
	keep(t, m, message(Verify), message(PasswordChanged))
	for name, w := range map[string]*httptest.ResponseRecorder{
		"Query":  get(m, "GET", "http://localhost:8080/outbox?format=json"),
		"Accept": get(m, "GET", "http://localhost:8080/outbox", "Accept", "application/json"),
	} {
		var got []map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 2 {
			t.Fatalf("%s: %v\n%s", name, err, w.Body)
		}
		newest, oldest := got[0], got[1]
		if newest["kind"] != "password-changed" || newest["link"] != "" || newest["code"] != "" {
			t.Errorf("%s: the newest is %v", name, newest)
		}
		for field, want := range map[string]string{
			"kind": "verify", "to": "ada@example.com", "code": "Zm9v-YmFy_QmF6",
			"link": "https://example.org/verify?token=Zm9v-YmFy_QmF6",
		} {
			if oldest[field] != want {
				t.Errorf("%s: %s is %q, want %q", name, field, oldest[field], want)
			}
		}
		for _, field := range []string{"at", "subject", "text", "html"} {
			if oldest[field] == "" {
				t.Errorf("%s: there is no %s", name, field)
			}
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "level=INFO") || !strings.Contains(lines[0], "kind=verify to=ada@example.com link=\"https://example.org/verify?token=Zm9v-YmFy_QmF6\"") {
		t.Errorf("the log doesn't tell of each letter in a line:\n%s", &log)
	}
}

func TestOutboxKeepsTheLastHundred(t *testing.T) {
	m := newMailer(t, Options{Keep: true})
	for i := range 250 {
		l := message(Verify)
		l.To = fmt.Sprintf("a%d@example.com", i)
		keep(t, m, l)
	}
	kept := m.outbox.newest()
	if len(kept) != 100 || kept[0].To != "a249@example.com" || kept[99].To != "a150@example.com" {
		t.Errorf("%d are kept, from %s to %s", len(kept), kept[0].To, kept[len(kept)-1].To)
	}
}

func TestOutboxIsShownOnThisMachineOnly(t *testing.T) {
	m := newMailer(t, Options{Keep: true})
	keep(t, m, message(Verify))
	for host, want := range map[string]int{
		"localhost":              200,
		"LOCALHOST:8080":         200,
		"localhost.:8080":        200,
		"stoa.localhost:8080":    200,
		"127.0.0.1":              200,
		"127.8.8.8:1":            200,
		"[::1]":                  200,
		"[::1]:8080":             200,
		"[::ffff:127.0.0.1]:80":  200,
		"evil.example":           403,
		"localhost.evil.example": 403,
		"127.0.0.1.evil.example": 403,
		"evillocalhost":          403,
		"10.0.0.1:8080":          403,
		"0.0.0.0:8080":           403,
		"[::]:8080":              403,
		"":                       403,
	} {
		r := httptest.NewRequest("GET", "/outbox", nil)
		r.Host = host
		r.Header.Set("X-Forwarded-Host", "localhost")
		w := httptest.NewRecorder()
		m.Outbox().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: got %d, want %d", host, w.Code, want)
		}
		if strings.Contains(w.Body.String(), "ada@") != (want == 200) {
			t.Errorf("Host %q: what it says: %.200s", host, w.Body)
		}
	}
}

func TestOutboxIsOnlyRead(t *testing.T) {
	m := newMailer(t, Options{Keep: true})
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "DELETE": 405, "OPTIONS": 405} {
		w := get(m, method, "http://localhost/outbox")
		if w.Code != want || (want == 405) != (w.Header().Get("Allow") == "GET, HEAD") {
			t.Errorf("%s: got %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestOutboxRunsAndLoadsNothing(t *testing.T) {
	m := newMailer(t, Options{Keep: true})
	l := message(EmailChanged)
	l.Name, l.Other = "<script>alert(1)<& Sons", `"<b>"@example.com`
	l.To = `"<script>"@example.com`
	verify := message(Verify)
	verify.Token = `"><script>x`
	keep(t, m, l, verify)
	w := get(m, "GET", "http://localhost/outbox")
	for name, want := range map[string]string{
		"Cache-Control":           "no-store",
		"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"Content-Type":            "text/html; charset=utf-8",
		"Referrer-Policy":         "no-referrer",
		"X-Content-Type-Options":  "nosniff",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	frames := 0
	var walk func(string, bool)
	walk = func(document string, inFrame bool) {
		for z := html.NewTokenizer(strings.NewReader(document)); z.Next() != html.ErrorToken; {
			tag := z.Token()
			if tag.Type != html.StartTagToken && tag.Type != html.SelfClosingTagToken {
				continue
			}
			switch tag.Data {
			case "script", "b", "img", "link", "form", "object", "embed", "base":
				t.Errorf("there is an element %s", tag)
			}
			source := ""
			for _, a := range tag.Attr {
				switch {
				case a.Key == "src" || strings.HasPrefix(a.Key, "on"):
					t.Errorf("there is an attribute %s of %s", a.Key, tag.Data)
				case a.Key == "srcdoc":
					source = a.Val
				case a.Key == "sandbox" && (strings.Contains(a.Val, "scripts") || strings.Contains(a.Val, "same-origin")):
					t.Errorf("a frame may do too much: %s", a.Val)
				}
			}
			if tag.Data == "iframe" {
				frames++
				if inFrame || !strings.Contains(tag.String(), "sandbox") {
					t.Errorf("a frame that isn't sandboxed: %s", tag)
				}
				walk(source, true)
			}
		}
	}
	walk(w.Body.String(), false)
	if frames != 2 {
		t.Errorf("%d frames, want 2", frames)
	}
	for _, want := range []string{"ada@example.com", "***@example.com"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestOutboxWithoutKeeping(t *testing.T) {
	if w := get(newMailer(t, Options{}), "GET", "http://localhost/outbox"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "No mail yet") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
