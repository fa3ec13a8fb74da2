package mail

// Messages: every kind beside its golden file in testdata, refused addresses and names, and a fuzz
// test of their headers and HTML.

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

var links = Links{
	SiteURL:     "https://example.org/",
	Verify:      "{site}/verify?token={token}",
	Reset:       "{site}/reset/{token}",
	EmailChange: "{site}/address#token={token}",
}

// message returns a complete message of a kind, with a token that doesn't end.
func message(k Kind) Message {
	return Message{
		Kind: k, To: "ada@example.com", Name: "Ada Lovelace", Token: "Zm9v-YmFy_QmF6",
		Until: time.Date(2142, 3, 4, 17, 6, 0, 0, time.FixedZone("", 3600)), Other: "countess@example.net",
	}
}

func newMailer(t *testing.T, o Options) *Mailer {
	t.Helper()
	if o.Links == (Links{}) {
		o.Links = links
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMessagesReadAsTheyShould(t *testing.T) {
	m := newMailer(t, Options{})
	for _, k := range Kinds {
		t.Run(string(k), func(t *testing.T) {
			r, err := m.writer.render(message(k))
			if err != nil {
				t.Fatal(err)
			}
			got := "Subject: " + r.Subject + "\n----------\n" + r.Text + "----------\n" + r.HTML
			path := filepath.Join("testdata", string(k)+".txt")
			if os.Getenv("UPDATE") == "1" {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("it changed (UPDATE=1 takes it over):\n%s", d)
			}
			if !strings.Contains(r.Subject, "example.org") {
				t.Errorf("the subject doesn't say which site it is: %q", r.Subject)
			}
			carries := k == Verify || k == Reset || k == EmailChange
			for part, text := range map[string]string{"text": r.Text, "HTML": r.HTML} {
				if strings.Contains(text, message(k).Token) != carries {
					t.Errorf("the %s carries the token: %v, should be %v", part, !carries, carries)
				}
				if strings.Contains(text, "4 March 2142, 16:06 UTC") != carries {
					t.Errorf("the %s should say until when in UTC, where there is a token only", part)
				}
				if strings.Contains(text, "countess") {
					t.Errorf("the %s has the other address in full", part)
				}
			}
		})
	}
}

func TestWhatCantBeSentIsRefusedForGood(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*Message)
	}{
		"NoKind":        {"there are no words for it", func(l *Message) { l.Kind = "newsletter" }},
		"NoAddress":     {"it has nowhere to go", func(l *Message) { l.To = "" }},
		"NamedAddress":  {"an address comes alone", func(l *Message) { l.To = "Ada <ada@example.com>" }},
		"TwoAddresses":  {"a mail goes to one", func(l *Message) { l.To = "ada@example.com, eve@example.com" }},
		"Header":        {"a second line would be a header", func(l *Message) { l.To = "ada@example.com\r\nBcc: eve@example.com" }},
		"Folded":        {"even where folding is allowed", func(l *Message) { l.To = "ada@\r\n example.com" }},
		"Comment":       {"a comment is not part of an address", func(l *Message) { l.To = "ada@example.com (Ada)" }},
		"LongAddress":   {"SMTP takes 254 bytes", func(l *Message) { l.To = strings.Repeat("a", 250) + "@b.cd" }},
		"Reordered":     {"it would be shown as another", func(l *Message) { l.To = "ada\u202e@example.com" }},
		"NoToken":       {"the link would lead nowhere", func(l *Message) { l.Token = "" }},
		"BrokenToken":   {"it is none of ours", func(l *Message) { l.Token = "a\r\nb" }},
		"NoEnd":         {"the mail says until when", func(l *Message) { l.Until = time.Time{} }},
		"Ended":         {"its link would not work any more", func(l *Message) { l.Until = time.Now().Add(-time.Second) }},
		"NoOther":       {"the mail speaks of it", func(l *Message) { l.Kind, l.Other = EmailChanged, "" }},
		"OtherWithLine": {"it would be a line of its own", func(l *Message) { l.Kind, l.Other = EmailChanged, "a@b.c\nx" }},
	}
	m := newMailer(t, Options{Keep: true})
	if err := m.Send(context.Background(), message(Verify)); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := message(Verify)
			c.change(&l)
			if err := m.Send(context.Background(), l); !Permanent(err) {
				t.Errorf("%s: got %v", c.reason, err)
			}
		})
	}
	if n := len(m.outbox.newest()); n != 1 {
		t.Errorf("%d mails are kept, want the one that was right", n)
	}
}

func TestOnlyNamesAreGreeted(t *testing.T) {
	cases := map[string]struct{ reason, name, want string }{
		"Plain":     {"a name", "Ada", "Ada"},
		"Spaces":    {"a name, tidied", "  Ada   Lovelace ", "Ada Lovelace"},
		"Initials":  {"dots make no link before one mail", "J. R.R. Tolkien", "J. R.R. Tolkien"},
		"Other":     {"names are not ASCII", "Þórður O’Neill", "Þórður O’Neill"},
		"None":      {"nothing is no name", "", ""},
		"Blank":     {"nor is a blank", "   ", ""},
		"URL":       {"a stranger's advertisement", "Win! https://evil.example", ""},
		"Host":      {"mail programs make a link of it", "evil.example", ""},
		"WideDot":   {"of this too", "evil。example", ""},
		"Address":   {"and of this", "eve@evil", ""},
		"Header":    {"a second line", "Ada\r\nBcc: eve@example.com", ""},
		"Separator": {"a line as Unicode ends it", "Ada\u2028Eve", ""},
		"Reordered": {"it would be shown backwards", "\u202eadA", ""},
		"Long":      {"a text, not a name", strings.Repeat("a", 65), ""},
		"Broken":    {"not UTF-8", "Ad\xff", ""},
	}
	for name, c := range cases {
		if got := greetable(c.name); got != c.want {
			t.Errorf("%s: %s: got %q, want %q", name, c.reason, got, c.want)
		}
	}
}

func TestHiddenAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"countess@example.net": "c***@example.net",
		"ab@example.net":       "***@example.net",
		"élan@example.net":     "é***@example.net",
		`"a@b c"@example.net`:  `"***@example.net`,
	} {
		if got := hidden(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestLinksAreChecked(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*Links)
		ok     bool
	}{
		"Right":        {"as it is", func(*Links) {}, true},
		"Path":         {"a site below a path", func(l *Links) { l.SiteURL = "http://localhost:3000/blog" }, true},
		"Elsewhere":    {"an app's own host", func(l *Links) { l.Reset = "https://app.example.org/{token}" }, true},
		"NoSite":       {"mails name it", func(l *Links) { l.SiteURL = "" }, false},
		"Relative":     {"a mail has no base", func(l *Links) { l.SiteURL = "example.org" }, false},
		"Scheme":       {"nothing else opens in a browser", func(l *Links) { l.SiteURL = "javascript://example.org" }, false},
		"Query":        {"no path can be added", func(l *Links) { l.SiteURL = "https://example.org?a" }, false},
		"EmptyQuery":   {"nor here", func(l *Links) { l.SiteURL = "https://example.org?" }, false},
		"User":         {"it would be in every mail", func(l *Links) { l.SiteURL = "https://a:b@example.org" }, false},
		"NoToken":      {"the link would do nothing", func(l *Links) { l.Verify = "{site}/verify" }, false},
		"NoTemplate":   {"nor would none", func(l *Links) { l.EmailChange = "" }, false},
		"OtherPart":    {"a slip of the pen", func(l *Links) { l.Verify = "{site}/{tokens}/{token}" }, false},
		"TokenInHost":  {"tokens don't go to name servers", func(l *Links) { l.Verify = "https://{token}.example.org" }, false},
		"TokenInUser":  {"nor to log-ins", func(l *Links) { l.Verify = "https://{token}@example.org" }, false},
		"Space":        {"mail programs end a link there", func(l *Links) { l.Verify = "{site}/a b/{token}" }, false},
		"Quote":        {"and here", func(l *Links) { l.Verify = "{site}/\"/{token}" }, false},
		"RelativeLink": {"a mail has no base", func(l *Links) { l.Verify = "/verify?token={token}" }, false},
		"Long":         {"mail programs cut it", func(l *Links) { l.Verify = "{site}/{token}?" + strings.Repeat("a", 1000) }, false},
	}
	for name, c := range cases {
		l := links
		c.change(&l)
		if err := l.Check(); (err == nil) != c.ok {
			t.Errorf("%s: %s: got %v", name, c.reason, err)
		}
		if _, err := New(Options{Links: l}); (err == nil) != c.ok {
			t.Errorf("%s: New: %s: got %v", name, c.reason, err)
		}
	}
}

func TestTokensAreEncodedIntoLinks(t *testing.T) {
	m := newMailer(t, Options{})
	for k, want := range map[Kind]string{
		Verify:      "https://example.org/verify?token=a%2Fb%26c%3D%3C%23%25",
		Reset:       "https://example.org/reset/a%2Fb%26c%3D%3C%23%25",
		EmailChange: "https://example.org/address#token=a%2Fb%26c%3D%3C%23%25",
	} {
		l := message(k)
		l.Token = "a/b&c=<#%"
		r, err := m.writer.render(l)
		if err != nil {
			t.Fatal(err)
		}
		if r.Link != want || !strings.Contains(r.Text, want+"\n") || !strings.Contains(r.HTML, `href="`+want+`"`) {
			t.Errorf("%s: got %s, want %s, in the text and the HTML too:\n%s", k, r.Link, want, r.HTML)
		}
	}
}

func TestNowhere(t *testing.T) {
	err := newMailer(t, Options{}).Send(context.Background(), message(Verify))
	if !errors.Is(err, ErrNowhere) || Permanent(err) {
		t.Errorf("got %v", err)
	}
}

// Text that a person can write into a message changes none of its headers and adds no element to
// its HTML.
func FuzzMessage(f *testing.F) {
	f.Add("ada@example.com", "Ada", "token", "countess@example.net")
	f.Add("ada@example.com\r\nBcc: eve@example.com", "Ada\r\nBcc: eve@example.com", "a\r\nb", "b@c\nd")
	f.Add("\"<b>\"@example.com", "<script>alert(1)</script>", "\"><b>", "\"'<i>\"@example.com")
	f.Add("ü@exämple.com", "=?utf-8?q?=0D=0ABcc:?=", "{site}{token}", "{{.Site}}@x")
	f.Add("a@[127.0.0.1]", "&lt;b&gt;", "a&lt;", "'@x")
	m, err := New(Options{Links: links})
	if err != nil {
		f.Fatal(err)
	}
	plain := map[Kind]int{}
	for _, k := range Kinds {
		l := message(k)
		l.Name = ""
		r, err := m.writer.render(l)
		if err != nil {
			f.Fatal(err)
		}
		plain[k] = tags(f, r.HTML)
	}
	headers := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}
	f.Fuzz(func(t *testing.T, to, name, token, other string) {
		for _, k := range Kinds {
			l := message(k)
			l.To, l.Name, l.Token, l.Other = to, name, token, other
			r, err := m.writer.render(l)
			if err != nil {
				continue
			}
			if n := tags(t, r.HTML); n != plain[k] {
				t.Fatalf("%s: %d tags, want %d:\n%s", k, n, plain[k], r.HTML)
			}
			raw, err := compose(mail.Address{Name: "Stoa", Address: "stoa@example.org"}, r)
			if err != nil {
				t.Fatal(err)
			}
			message, err := mail.ReadMessage(strings.NewReader(string(raw)))
			if err != nil {
				t.Fatalf("%s: %v\n%s", k, err, raw)
			}
			for h, values := range message.Header {
				if len(values) != 1 {
					t.Fatalf("%s: %s %d times\n%s", k, h, len(values), raw)
				}
			}
			for _, h := range headers {
				if message.Header.Get(h) == "" {
					t.Fatalf("%s: no %s\n%s", k, h, raw)
				}
			}
			if len(message.Header) != len(headers) {
				t.Fatalf("%s: headers %v, want %v", k, message.Header, headers)
			}
			if got, err := message.Header.AddressList("To"); err != nil || len(got) != 1 || got[0].String() != "<"+to+">" {
				t.Fatalf("%s: To is %v (%v), want %q", k, got, err, to)
			}
			if text, rich := parts(t, message); text != r.Text || rich != r.HTML {
				t.Fatalf("%s: it arrives otherwise than it was written:\n%q\n%q", k, text, rich)
			}
		}
	})
}

// tags returns the number of tags in a document.
func tags(t testing.TB, document string) int {
	t.Helper()
	n := 0
	for z := html.NewTokenizer(strings.NewReader(document)); ; {
		switch z.Next() {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			return n
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken, html.CommentToken:
			n++
		}
	}
}

// parts returns the text and the HTML of a message, with \n at the ends of lines.
func parts(t testing.TB, message *mail.Message) (text, rich string) {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("it is %s (%v), want multipart/alternative", kind, err)
	}
	reader := multipart.NewReader(message.Body, parameters["boundary"])
	var read []string
	for _, want := range []string{"text/plain", "text/html"} {
		p, err := reader.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, parameters, err := mime.ParseMediaType(p.Header.Get("Content-Type")); err != nil || got != want || parameters["charset"] != "UTF-8" {
			t.Fatalf("a part is %s (%v), want %s", got, err, want)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, strings.ReplaceAll(string(body), "\r\n", "\n"))
	}
	return read[0], read[1]
}
