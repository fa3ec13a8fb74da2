package mail

// Sessions with a real SMTP server, with TLS in all its forms, refusals and broken connections.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/mail"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
)

// post is a real SMTP server that stores the messages it receives.
type post struct {
	address string
	roots   *x509.CertPool
	refuse  map[string]*gosmtp.SMTPError // by MAIL, RCPT, DATA

	mu      sync.Mutex
	letters []delivered
	users   []string // that signed in
}

type delivered struct {
	from, to, text string
	encrypted      bool
	utf8           bool // the client asked for SMTPUTF8
}

// got returns the messages taken and the users signed in so far.
func (p *post) got() ([]delivered, []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.letters, p.users
}

type visit struct {
	*post
	conn   *gosmtp.Conn
	letter delivered
}

func (p *post) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	return &visit{post: p, conn: c}, nil
}

func (p *post) refusal(command string) error {
	if r := p.refuse[command]; r != nil {
		return r
	}
	return nil
}

func (v *visit) Reset()        {}
func (v *visit) Logout() error { return nil }

func (v *visit) Mail(from string, o *gosmtp.MailOptions) error {
	v.letter.from, v.letter.utf8 = from, o.UTF8
	return v.refusal("MAIL")
}

func (v *visit) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	v.letter.to = to
	return v.refusal("RCPT")
}

func (v *visit) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if r := v.refusal("DATA"); r != nil {
		return r
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.letter.text = string(text)
	_, v.letter.encrypted = v.conn.TLSConnectionState()
	v.letters = append(v.letters, v.letter)
	return nil
}

func (v *visit) AuthMechanisms() []string { return []string{sasl.Plain} }

func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "stoa" || password != "pass/word#1" {
			return gosmtp.ErrAuthFailed
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.users = append(v.users, user)
		return nil
	}), nil
}

// certificate is one for 127.0.0.1 and mail.example.org, and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "post"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"mail.example.org"}, IPAddresses: []net.IP{netip.MustParseAddr("127.0.0.1").AsSlice()},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// open starts a server that offers STARTTLS, or is TLS from the start, as asked.
func open(t *testing.T, starttls, implicit bool, change func(*gosmtp.Server)) *post {
	t.Helper()
	p := &post{refuse: map[string]*gosmtp.SMTPError{}}
	s := gosmtp.NewServer(p)
	s.Domain = "post.example.org"
	s.ErrorLog = log.New(io.Discard, "", 0)
	s.AllowInsecureAuth = true
	var listener net.Listener
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = listener.Addr().String()
	if starttls || implicit {
		var pair tls.Certificate
		pair, p.roots = certificate(t)
		config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		if starttls {
			s.TLSConfig = config
		} else {
			listener = tls.NewListener(listener, config)
		}
	}
	if change != nil {
		change(s)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("a session was left open: %v", err)
		}
		<-served
	})
	return p
}

// mailer returns a Mailer that sends to p by url, with p's address for HOST. For a URL of another
// host, that host's name leads to p.
func (p *post) mailer(t *testing.T, url string) *Mailer {
	t.Helper()
	m := newMailer(t, Options{SMTP: strings.Replace(url, "HOST", p.address, 1), From: "Stoa é <stoa@example.org>"})
	m.server.address, m.server.roots = p.address, p.roots
	return m
}

func TestLettersArrive(t *testing.T) {
	cases := map[string]struct {
		reason             string
		starttls, implicit bool
		url                string
		encrypted, user    bool
	}{
		"Loopback":         {"a catcher of mails on this host, as development has", false, false, "smtp://HOST", false, false},
		"LoopbackAuth":     {"with a password", false, false, "smtp://stoa:pass%2Fword%231@HOST", false, true},
		"LoopbackStarttls": {"TLS where it is offered", true, false, "smtp://HOST", true, false},
		"LoopbackOff":      {"and none where it isn't wanted", true, false, "smtp://HOST?starttls=off", false, false},
		"Starttls":         {"another host", true, false, "smtp://mail.example.org", true, false},
		"StarttlsAuth":     {"as most are set up", true, false, "smtp://stoa:pass%2Fword%231@mail.example.org:587", true, true},
		"Implicit":         {"TLS from the start", false, true, "smtps://mail.example.org", true, false},
		"ImplicitAuth":     {"with a password", false, true, "smtps://stoa:pass%2Fword%231@mail.example.org", true, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := open(t, c.starttls, c.implicit, nil)
			m := p.mailer(t, c.url)
			before := time.Now().Add(-time.Second)
			for range 2 {
				if err := m.Send(context.Background(), message(Verify)); err != nil {
					t.Fatalf("%s: %v", c.reason, err)
				}
			}
			letters, users := p.got()
			if len(letters) != 2 || (len(users) == 2) != c.user {
				t.Fatalf("%d letters, signed in: %v", len(letters), users)
			}
			got := letters[0]
			if got.encrypted != c.encrypted {
				t.Errorf("%s: encrypted: %v", c.reason, got.encrypted)
			}
			if got.from != "stoa@example.org" || got.to != "ada@example.com" {
				t.Errorf("it is from %s to %s", got.from, got.to)
			}
			parsed, err := mail.ReadMessage(strings.NewReader(got.text))
			if err != nil {
				t.Fatal(err)
			}
			for header, want := range map[string]string{
				"From":           `^=\?UTF-8\?q\?Stoa_=C3=A9\?= <stoa@example\.org>$`,
				"To":             `^<ada@example\.com>$`,
				"Subject":        `^Confirm your address for example\.org$`,
				"Message-Id":     `^<[A-Z2-7]{26}@example\.org>$`,
				"Auto-Submitted": `^auto-generated$`,
				"Mime-Version":   `^1\.0$`,
			} {
				if !regexp.MustCompile("(?i)" + want).MatchString(parsed.Header.Get(header)) {
					t.Errorf("%s is %q, want %s", header, parsed.Header.Get(header), want)
				}
			}
			if date, err := parsed.Header.Date(); err != nil || date.Before(before.Add(-time.Second)) || date.After(time.Now().Add(time.Second)) {
				t.Errorf("its date is %v (%v)", date, err)
			}
			r, err := m.writer.render(message(Verify))
			if err != nil {
				t.Fatal(err)
			}
			if text, rich := parts(t, parsed); text != r.Text || rich != r.HTML {
				t.Errorf("it arrived otherwise than it was written:\n%s\n%s", text, rich)
			}
			if line := longest(got.text); line > 998 {
				t.Errorf("a line has %d bytes; RFC 5322 allows 998", line)
			}
			id := regexp.MustCompile(`(?im)^Message-ID: .*$`)
			if id.FindString(got.text) == id.FindString(letters[1].text) {
				t.Error("two messages have one Message-ID")
			}
		})
	}
}

func longest(text string) (n int) {
	for line := range strings.Lines(text) {
		n = max(n, len(line))
	}
	return n
}

func TestNothingCrossesTheNetworkInTheClear(t *testing.T) {
	without := open(t, false, false, nil)
	strangers := open(t, true, false, nil)
	strangers.roots = x509.NewCertPool()
	cases := map[string]struct {
		reason string
		to     *post
		url    string
	}{
		"NoStarttls":      {"the server offers none", without, "smtp://mail.example.org"},
		"NoStarttlsAuth":  {"nor for a password", without, "smtp://stoa:pass%2Fword%231@mail.example.org"},
		"NoTLS":           {"the server speaks none", without, "smtps://stoa:pass%2Fword%231@mail.example.org"},
		"OtherName":       {"the certificate is for another host", open(t, true, false, nil), "smtp://other.example.org"},
		"Untrusted":       {"nobody vouches for the certificate", strangers, "smtp://mail.example.org"},
		"UntrustedOnThis": {"not even here: a certificate is always checked", strangers, "smtp://HOST"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.to.mailer(t, c.url).Send(context.Background(), message(Verify))
			if err == nil || Permanent(err) {
				t.Errorf("%s: got %v", c.reason, err)
			}
			if letters, users := c.to.got(); len(letters)+len(users) > 0 {
				t.Errorf("%s: letters %v, users %v", c.reason, letters, users)
			}
			if strings.Contains(err.Error(), "word#1") {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

func TestRefusalsForGoodAndForNow(t *testing.T) {
	cases := map[string]struct {
		reason    string
		command   string
		code      int
		permanent bool
	}{
		"NoMailbox":   {"nobody has this address", "RCPT", 550, true},
		"Greylisted":  {"the usual first answer to strangers", "RCPT", 451, false},
		"MailboxFull": {"it may be emptied", "RCPT", 452, false},
		"Sender":      {"it never takes mail from us", "MAIL", 553, true},
		"Busy":        {"too many sessions", "MAIL", 421, false},
		"AuthNeeded":  {"it isn't about the letter", "MAIL", 530, false},
		"Spam":        {"it doesn't like the text", "DATA", 554, true},
		"NoSpace":     {"it may have again", "DATA", 452, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := open(t, false, false, nil)
			p.refuse[c.command] = &gosmtp.SMTPError{Code: c.code, EnhancedCode: gosmtp.NoEnhancedCode, Message: "because"}
			err := p.mailer(t, "smtp://HOST").Send(context.Background(), message(Verify))
			if err == nil || Permanent(err) != c.permanent || !strings.Contains(err.Error(), "because") {
				t.Errorf("%s: got %v, permanent: %v", c.reason, err, Permanent(err))
			}
		})
	}
	t.Run("WrongPassword", func(t *testing.T) {
		err := open(t, true, false, nil).mailer(t, "smtp://stoa:secret@mail.example.org").Send(context.Background(), message(Verify))
		if err == nil || Permanent(err) || !strings.Contains(err.Error(), "535") || strings.Contains(err.Error(), "secret") {
			t.Errorf("somebody may put it right: got %v", err)
		}
	})
	t.Run("Nobody", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := &post{address: listener.Addr().String()}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		if err := p.mailer(t, "smtp://HOST").Send(context.Background(), message(Verify)); err == nil || Permanent(err) {
			t.Errorf("it may be started again: got %v", err)
		}
	})
	t.Run("BeyondASCII", func(t *testing.T) {
		l := message(Verify)
		l.To = "adé@example.com"
		if err := open(t, false, false, nil).mailer(t, "smtp://HOST").Send(context.Background(), l); !Permanent(err) {
			t.Errorf("the server takes no such address: got %v", err)
		}
		p := open(t, false, false, func(s *gosmtp.Server) { s.EnableSMTPUTF8 = true })
		m := p.mailer(t, "smtp://HOST")
		for _, l := range []Message{l, message(Verify)} {
			if err := m.Send(context.Background(), l); err != nil {
				t.Errorf("the server takes such an address: got %v", err)
			}
		}
		letters, _ := p.got()
		if len(letters) != 2 || letters[0].to != l.To || !letters[0].utf8 {
			t.Errorf("it went elsewhere: %v", letters)
		}
		if letters[1].utf8 {
			t.Error("SMTPUTF8 was asked for without need, and not every server on the way has it")
		}
	})
}

// script is a server that sends its text without reading anything. Then it hangs up, or hangs until
// the client goes.
func script(t testing.TB, says string, hangs bool) *post {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(conn, says)
				if !hangs {
					_ = conn.(*net.TCPConn).CloseWrite()
				}
			}()
			_, _ = io.Copy(io.Discard, conn) // until the client goes
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return &post{address: listener.Addr().String()}
}

const polite = "220 hello\r\n250-post\r\n250 AUTH LOGIN\r\n"

func TestAServerThatHangsIsLeft(t *testing.T) {
	cases := map[string]struct{ reason, says, url string }{
		"Greeting":  {"it says nothing", "", "smtp://HOST"},
		"Handshake": {"nor in TLS", "", "smtps://HOST"},
		"Hello":     {"it greets and falls silent", "220 hello\r\n", "smtp://HOST"},
		"Midline":   {"it stops in a line", "220 hel", "smtp://HOST"},
		"Auth":      {"it wants a name and no more", polite + "334 VXNlcm5hbWU6\r\n", "smtp://a:b@HOST"},
		"Sender":    {"it knows nobody", polite, "smtp://HOST"},
		"Data":      {"it never takes the letter", polite + "250 ok\r\n250 ok\r\n354 go\r\n", "smtp://HOST"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			err := script(t, c.says, true).mailer(t, c.url).Send(ctx, message(Verify))
			if !errors.Is(err, context.DeadlineExceeded) || Permanent(err) {
				t.Errorf("%s: got %v", c.reason, err)
			}
		})
	}
	t.Run("Unasked", func(t *testing.T) {
		m := script(t, "", true).mailer(t, "smtp://HOST")
		if m.server.limit != 15*time.Second {
			t.Errorf("a letter may take %v", m.server.limit)
		}
		m.server.limit = 100 * time.Millisecond
		if err := m.Send(context.Background(), message(Verify)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a bound of the caller's: got %v", err)
		}
	})
	t.Run("Cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := script(t, "", true).mailer(t, "smtp://HOST").Send(ctx, message(Verify)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A message that the server has taken counts as sent, even if the server sends no good-bye: a
// second attempt would put two messages into the mailbox.
func TestTakenIsTaken(t *testing.T) {
	for name, hangs := range map[string]bool{"Hangs": true, "HangsUp": false} {
		p := script(t, polite+"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n", hangs)
		if err := p.mailer(t, "smtp://HOST").Send(context.Background(), message(Verify)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAServerThatSaysTooMuchIsLeft(t *testing.T) {
	p := script(t, "220 hello\r\n"+strings.Repeat("250-more\r\n", answerLimit/10+1), true)
	err := p.mailer(t, "smtp://HOST").Send(context.Background(), message(Verify))
	if err == nil || Permanent(err) || !strings.Contains(err.Error(), "too much") {
		t.Errorf("got %v", err)
	}
}

// Send returns for any text from the server.
func FuzzServer(f *testing.F) {
	f.Add(polite+"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 in\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n221 bye\r\n", true)
	f.Add(polite+"250 ok\r\n250 ok\r\n354 go\r\n554 no\r\n", false)
	f.Add("220 hello\r\n250-x\r\n250-AUTH\r\n250-SMTPUTF8 \r\n250 AUTH PLAIN LOGIN\r\n334 !\r\n501 \r\n", true)
	f.Add("220 hello\r\n502 what\r\n250 HELO\r\n250 ok\r\n", false)
	f.Add("220 hello\r\n250 STARTTLS\r\n220 go\r\n\x16\x03\x01", false)
	f.Add("\r\n\r\n250\r\n2\r\n", false)
	f.Fuzz(func(t *testing.T, says string, user bool) {
		url := "smtp://HOST"
		if user {
			url = "smtp://a:b@HOST"
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := script(t, says, false).mailer(t, url).Send(ctx, message(Verify))
		if ctx.Err() != nil {
			t.Fatalf("it waits for a server that has hung up: %v", err)
		}
	})
}

func TestURLsAreChecked(t *testing.T) {
	cases := map[string]struct {
		reason, url string
		want        string // the address, or a part of the refusal
		ok          bool
	}{
		"Starttls":        {"the usual", "smtp://u:hunter2@mail.example.org", "mail.example.org:587", true},
		"Implicit":        {"the other", "smtps://u:hunter2@mail.example.org/", "mail.example.org:465", true},
		"Port":            {"a port of its own", "smtp://mail.example.org:2525", "mail.example.org:2525", true},
		"IPv6":            {"an address", "smtp://[::1]:25", "[::1]:25", true},
		"Off":             {"on this host", "smtp://localhost:1025?starttls=off", "localhost:1025", true},
		"OffElsewhere":    {"letters would cross the network in the clear", "smtp://u:hunter2@mail.example.org?starttls=off", "on this host only", false},
		"OffImplicit":     {"there is no STARTTLS to leave out", "smtps://localhost?starttls=off", "only with smtp://", false},
		"On":              {"it is by itself", "smtp://localhost?starttls=on", "only starttls=off", false},
		"Option":          {"there is no other", "smtp://u:hunter2@localhost?verify=no", "only starttls=off", false},
		"Scheme":          {"it isn't mail", "https://u:hunter2@example.org", "begins with", false},
		"NoScheme":        {"it is no URL", "mail.example.org:587", "begins with", false},
		"NoHost":          {"there is nobody to ask", "smtp://:587", "no host", false},
		"Port0":           {"nobody listens there", "smtp://u:hunter2@example.org:0", "port", false},
		"PortBig":         {"there is none", "smtp://u:hunter2@example.org:65536", "port", false},
		"NoPassword":      {"half of two", "smtp://u@example.org", "or neither", false},
		"NoUser":          {"the other half", "smtp://:hunter2@example.org", "or neither", false},
		"Path":            {"a server has none", "smtp://u:hunter2@example.org/x", "after the host", false},
		"PasswordSlash":   {"a password with / ends the host", "smtp://u:hunter2/3@example.org", "percent-encoded", false},
		"PasswordPercent": {"and one with %", "smtp://u:hunter2%zz@example.org", "percent-encoded", false},
		"PasswordLine":    {"no server takes it", "smtp://u:hunter2%0d%0a@example.org", "control character", false},
		"Line":            {"nor this", "smtp://u:hunter2@example.org\r\n", "percent-encoded", false},
	}
	for name, c := range cases {
		s, err := parseURL(c.url)
		if checked := CheckURL(c.url); (err == nil) != (checked == nil) || (err == nil) != c.ok {
			t.Errorf("%s: %s: got %v, %v", name, c.reason, err, checked)
			continue
		}
		if c.ok && s.address != c.want {
			t.Errorf("%s: it leads to %s, want %s", name, s.address, c.want)
		}
		if !c.ok && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %s: it says %q, want %q, and no password", name, c.reason, err, c.want)
		}
	}
}

func TestTheSenderIsChecked(t *testing.T) {
	for from, ok := range map[string]bool{
		"stoa@example.org":                      true,
		"Stoa <stoa@example.org>":               true,
		`"Stoa, the market" <stoa@example.org>`: true,
		"":                                      false,
		"Stoa":                                  false,
		"a@example.org, b@example.org":          false,
		"Stoa <a@b.c>\r\nBcc: eve@example.com":  false,
	} {
		if err := CheckFrom(from); (err == nil) != ok {
			t.Errorf("%q: got %v", from, err)
		}
		if _, err := New(Options{SMTP: "smtp://localhost", From: from, Links: links}); (err == nil) != ok {
			t.Errorf("%q: New: got %v", from, err)
		}
	}
}
