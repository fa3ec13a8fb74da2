// Package mail sends messages to people: text and HTML, handed to an SMTP server. Without a server
// an outbox stores the messages, and a page shows them.
//
// The package knows neither accounts nor tokens, only words. Its caller chooses recipients, and
// repeats a message that couldn't be sent. It may import loopback. Entry points: New, Send,
// Permanent, Outbox; CheckURL, CheckFrom and Links.Check for configuration.
package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"os"
	"strings"
	"time"
)

// Kind is the subject of a message.
type Kind string

// The kinds of messages. A message with a token has it in a link and, for readers that can't follow
// the link, as a code.
const (
	Verify          Kind = "verify"           // confirm a registration; token
	Registered      Kind = "registered"       // somebody tried to register an address that has an account
	Reset           Kind = "reset"            // set a new password; token
	NoAccount       Kind = "no-account"       // somebody asked for a new password, and the address has no account
	EmailChange     Kind = "email-change"     // goes to the new address, to confirm it; token
	EmailTaken      Kind = "email-taken"      // goes to the new address, which has an account already
	EmailChanged    Kind = "email-changed"    // goes to the old address; Other is the new one, shown in part
	PasswordChanged Kind = "password-changed" // tells the owner
)

// Kinds are all kinds.
var Kinds = []Kind{Verify, Registered, Reset, NoAccount, EmailChange, EmailTaken, EmailChanged, PasswordChanged}

// Message is one mail to one person.
type Message struct {
	Kind  Kind
	To    string    // an address alone, without a name or angle brackets; at most 254 bytes
	Name  string    // of the person, for the greeting; left out if it can't be a name
	Token string    // for the kinds that carry one: 1 to 512 printable ASCII characters, no space
	Until time.Time // when Token ends
	Other string    // the other address, for the kind that mentions one; in the form of To
}

// Options configure the sender, the links and the server of messages.
type Options struct {
	SMTP  string // as CheckURL takes it; "" for none
	From  string // an address, or NAME <ADDRESS>; required with SMTP
	Links Links
	Keep  bool         // without SMTP: keep the last messages for Outbox, and log their links
	Log   *slog.Logger // nil for none
}

// ErrNowhere is the error of Send without an SMTP server and without an outbox.
var ErrNowhere = errors.New("mails go nowhere: there is no SMTP server, and no outbox")

// refused is an error that repeating the message can't mend.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// Permanent reports whether err, an error of Send, is about the message itself, so that repeating
// it is no use: the address is invalid, the server has refused the message for good (5xx to the
// sender, the recipient or the text), or the token has ended meanwhile. All other errors are
// temporary, also a wrong password for the server: an administrator can correct it.
func Permanent(err error) bool {
	var r refused
	return errors.As(err, &r)
}

// Mailer sends messages. It is safe for concurrent use.
type Mailer struct {
	writer *writer
	server *server // nil for none
	from   mail.Address
	outbox *outbox // nil for none
	log    *slog.Logger
}

// New returns a Mailer. It opens no connection: each message gets its own.
func New(o Options) (*Mailer, error) {
	w, err := newWriter(o.Links)
	if err != nil {
		return nil, err
	}
	m := &Mailer{writer: w, log: o.Log}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if o.SMTP == "" {
		if o.Keep {
			m.outbox = &outbox{}
		}
		return m, nil
	}
	if m.server, err = parseURL(o.SMTP); err != nil {
		return nil, fmt.Errorf("SMTP server: %w", err)
	}
	// The server writes this name into its Received line. It need not resolve.
	if m.server.hello, err = os.Hostname(); err != nil || !domain.MatchString(m.server.hello) {
		m.server.hello = "localhost"
	}
	if m.from, err = parseFrom(o.From); err != nil {
		return nil, err
	}
	return m, nil
}

var errFrom = errors.New(`the sender of mails is an address, such as stoa@example.org or Stoa <stoa@example.org>`)

// CheckFrom returns an error unless from can be the sender of mails.
func CheckFrom(from string) error {
	_, err := parseFrom(from)
	return err
}

func parseFrom(from string) (mail.Address, error) {
	parsed, err := mail.ParseAddress(from)
	if err != nil || hasControl(from) || checkAddress(parsed.Address) != nil {
		return mail.Address{}, errFrom
	}
	return *parsed, nil
}

// ResetLink returns the page of the front end that sets a password, with its code in the URL.
func (m *Mailer) ResetLink(token string) string {
	return m.writer.links.put(m.writer.links.Reset, token)
}

// Send renders l and hands it to the SMTP server, or to the outbox if there is no server. It takes
// 15 seconds at most. Its error is ErrNowhere, or another one for Permanent to judge; a nil error
// means that the server has taken the message. If the connection breaks before the server confirms
// the message, the message may arrive in spite of the error.
func (m *Mailer) Send(ctx context.Context, l Message) error {
	r, err := m.writer.render(l)
	if err != nil {
		return fmt.Errorf("mail %s: %w", l.Kind, refused{err})
	}
	if r.Code != "" && !time.Now().Before(l.Until) {
		return fmt.Errorf("mail %s: %w", l.Kind, refused{errors.New("its token has ended")})
	}
	switch {
	case m.server != nil:
		if err := m.server.send(ctx, m.from, r); err != nil {
			return fmt.Errorf("mail %s: %w", l.Kind, err)
		}
	case m.outbox != nil:
		r.At = time.Now().UTC()
		m.outbox.add(r)
		m.log.InfoContext(ctx, "mail kept at /outbox", "kind", string(r.Kind), "to", r.To, "link", r.Link)
	default:
		return fmt.Errorf("mail %s: %w", l.Kind, ErrNowhere)
	}
	return nil
}

// hidden shows an address in part: enough for its owner to know it, too little for others
// to write to it.
func hidden(address string) string {
	at := strings.LastIndexByte(address, '@')
	local := []rune(address[:at])
	if len(local) < 3 {
		return "***" + address[at:]
	}
	return string(local[:1]) + "***" + address[at:]
}
