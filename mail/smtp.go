package mail

// Sessions with an SMTP server. CheckURL and parseURL read the configuration, send delivers one
// message in a session of its own.

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"stoa/loopback"
)

const (
	// sendLimit bounds a whole session, name lookup included. RFC 5321 (4.5.3.2) would wait minutes
	// for each answer; here a message that took too long is sent again later.
	sendLimit = 15 * time.Second

	// quitLimit is for the good-bye to a server that has taken the message already.
	quitLimit = time.Second

	// answerLimit is the number of bytes that a server may send in a session. A greeting, the list
	// of extensions, certificates and a dozen answers take some 10 KiB.
	answerLimit = 256 << 10
)

// server is an SMTP server with everything needed to reach it.
type server struct {
	address   string // host:port
	name      string // that its certificate must have
	user      string // "" for none
	password  string
	implicit  bool // TLS from the first byte
	mandatory bool // STARTTLS, or no message
	plain     bool // no STARTTLS, even if the server offers it
	loopback  bool
	hello     string         // how this host calls itself
	limit     time.Duration  // for a whole session
	roots     *x509.CertPool // nil for the system's
}

// CheckURL returns an error unless raw is the URL of an SMTP server. It accepts
// smtp://USER:PASSWORD@HOST:PORT, with mandatory STARTTLS (port 587 by default), and smtps://…,
// with TLS from the start (465). For a loopback host smtp:// uses STARTTLS if the server offers it,
// and never with ?starttls=off. No error repeats any part of the URL.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (*server, error) {
	u, err := url.Parse(raw)
	if err != nil { // its reason repeats the URL
		return nil, errors.New("it is no URL; characters such as / ? # @ % in a password have to be percent-encoded")
	}
	s := &server{name: u.Hostname(), implicit: u.Scheme == "smtps", limit: sendLimit}
	if u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, errors.New("it begins with smtp:// or smtps://")
	}
	if s.name == "" || u.Opaque != "" {
		return nil, errors.New("it names no host")
	}
	s.loopback = loopback.Is(s.name)
	port := u.Port()
	switch n, err := strconv.Atoi(port); {
	case port == "" && s.implicit:
		port = "465" // RFC 8314, 3.3
	case port == "":
		port = "587" // RFC 6409, 3.1
	case err != nil || n < 1 || n > 65535:
		return nil, errors.New("its port is no number from 1 to 65535")
	}
	s.address = net.JoinHostPort(s.name, port)
	if u.User != nil {
		s.user = u.User.Username()
		s.password, _ = u.User.Password()
		if s.user == "" || s.password == "" {
			return nil, errors.New("it takes a user and a password, or neither")
		}
		if hasControl(s.user) || hasControl(s.password) {
			return nil, errors.New("its user or password has a control character")
		}
	}
	if (u.Path != "" && u.Path != "/") || u.Fragment != "" {
		return nil, errors.New("it has something after the host; characters such as / ? # @ % in a password have to be percent-encoded")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("the options after its ? can't be read")
	}
	for key, values := range query {
		if key != "starttls" || len(values) != 1 || values[0] != "off" || s.implicit {
			return nil, errors.New("after its ? only starttls=off can follow, and only with smtp://")
		}
		if !s.loopback {
			return nil, errors.New("starttls=off is for a server on this host only: mails and the password would cross the network in the clear")
		}
		s.plain = true
	}
	s.mandatory = !s.implicit && !s.loopback
	return s, nil
}

// send hands r to the server in a session of its own.
func (s *server) send(ctx context.Context, from mail.Address, r rendered) error {
	message, err := compose(from, r)
	if err != nil {
		return refused{err}
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	err = s.session(ctx, from.Address, r.To, message)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("SMTP server: %w (%w)", ctx.Err(), err)
	}
	if err != nil {
		return fmt.Errorf("SMTP server: %w", err)
	}
	return nil
}

// session is greeting, TLS, AUTH, one message, good-bye. The connection is closed on return, and at
// the end of ctx, so that no read or write outlasts ctx.
//
// It drives go-mail's sessions itself, because its Client in v0.8.1 leaves the connection open if a
// session fails early, obeys ctx only during the dial, and reports a message as failed if the
// server took it but the good-bye failed.
func (s *server) session(ctx context.Context, from, to string, message []byte) error {
	var dialer net.Dialer
	dialed, err := dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	defer func() { _ = dialed.Close() }()
	defer context.AfterFunc(ctx, func() { _ = dialed.Close() })()

	config := &tls.Config{ServerName: s.name, MinVersion: tls.VersionTLS12, RootCAs: s.roots}
	var conn net.Conn = &bounded{Conn: dialed, left: answerLimit}
	if s.implicit {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, s.name)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if err := c.Hello(s.hello); err != nil {
		return fmt.Errorf("EHLO: %w", err)
	}
	offered, _ := c.Extension("STARTTLS")
	switch {
	case s.implicit || s.plain:
	case offered:
		if err := c.StartTLS(config); err != nil {
			if s.loopback {
				return fmt.Errorf("STARTTLS (for a server on this host ?starttls=off does without): %w", err)
			}
			return fmt.Errorf("STARTTLS: %w", err)
		}
	case s.mandatory:
		return errors.New("it offers no STARTTLS, and no mail goes to another host without it")
	}
	if s.user != "" {
		if err := s.authenticate(c); err != nil {
			return err
		}
	}
	utf8 := !ascii(from) || !ascii(to)
	if can, _ := c.Extension("SMTPUTF8"); utf8 && !can {
		return refused{errors.New("it takes no addresses beyond ASCII")}
	}
	c.SkipSMTPUTF8(!utf8) // requested without need, it keeps a message from servers that lack it
	if err := c.Mail("<" + from + ">"); err != nil {
		return verdict("sender", err)
	}
	if err := c.Rcpt("<" + to + ">"); err != nil {
		return verdict("recipient", err)
	}
	data, err := c.Data()
	if err != nil {
		return verdict("message", err)
	}
	if _, err := data.Write(message); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if err := data.Close(); err != nil {
		return verdict("message", err)
	}
	// The message is the server's now, even if the connection fails.
	if dialed.SetDeadline(time.Now().Add(quitLimit)) == nil {
		_ = c.Quit()
	}
	return nil
}

// authenticate signs in. PLAIN and LOGIN send the password in the clear. That is safe here: without
// TLS only a session with a loopback host comes this far.
func (s *server) authenticate(c *smtp.Client) error {
	_, mechanisms := c.Extension("AUTH")
	var auth smtp.Auth
	for _, m := range strings.Fields(strings.ToUpper(mechanisms)) {
		if m == "PLAIN" {
			auth = smtp.PlainAuth("", s.user, s.password, s.name, s.loopback)
			break
		}
		if m == "LOGIN" {
			auth = smtp.LoginAuth(s.user, s.password, s.name, s.loopback)
		}
	}
	if auth == nil {
		return errors.New("AUTH: it offers neither PLAIN nor LOGIN")
	}
	if err := c.Auth(auth); err != nil {
		return fmt.Errorf("AUTH: %w", err)
	}
	return nil
}

// verdict turns the server's answer to a step into an error: permanent for 5xx. The exception is
// 530, since it isn't about the message but asks for AUTH (RFC 4954, 6) or STARTTLS (RFC 3207, 4).
func verdict(what string, err error) error {
	var said *textproto.Error
	if errors.As(err, &said) && said.Code/100 == 5 && said.Code != 530 {
		return refused{fmt.Errorf("%s: %w", what, err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// compose writes r as a message. The only text in its headers that people chose is the address, and
// render has checked it.
func compose(from mail.Address, r rendered) ([]byte, error) {
	to, err := mail.ParseAddress(r.To)
	if err != nil {
		return nil, fmt.Errorf("compose: %w", err)
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.SetAddrHeaderFromMailAddress(gomail.HeaderFrom, &from)
	m.SetAddrHeaderFromMailAddress(gomail.HeaderTo, to)
	m.Subject(r.Subject)
	m.SetDateWithValue(time.Now().UTC())
	m.SetMessageIDWithValue(rand.Text() + from.Address[strings.LastIndexByte(from.Address, '@'):])
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834, 5: no out-of-office answers
	m.SetBodyString(gomail.TypeTextPlain, r.Text)
	m.AddAlternativeString(gomail.TypeTextHTML, r.HTML)
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("compose: %w", err)
	}
	return b.Bytes(), nil
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}

// bounded closes a connection after more bytes than a session needs: go-mail collects answers in
// memory.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the server says too much")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
