// Package mail is what Stoa sends to people: messages in text and HTML, handed to an SMTP
// server or, for want of one, kept in an outbox that a page shows.
//
// It knows neither accounts nor tokens, only words; who gets a message, and when one that
// couldn't be sent is tried again, is the caller's business. It may import nothing of ours.
// Entry points: New, Send, Permanent, Outbox; CheckURL, CheckFrom and Links.Check for
// configuration.
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

// Kind is what a message is about.
type Kind string

// The kinds there are. Those with a token carry a link and, for those who can't follow it,
// the token itself as a code.
const (
	Verify          Kind = "verify"           // confirm a registration; token
	Registered      Kind = "registered"       // somebody tried to register an address that has an account
	Reset           Kind = "reset"            // set a new password; token
	NoAccount       Kind = "no-account"       // a new password was asked for where there is no account
	EmailChange     Kind = "email-change"     // confirm a new address, to which this goes; token
	EmailTaken      Kind = "email-taken"      // the new address, to which this goes, has an account already
	EmailChanged    Kind = "email-changed"    // goes to the old address; Other is the new one, shown in part
	PasswordChanged Kind = "password-changed" // tells the owner
)

// Kinds is every kind there is.
var Kinds = []Kind{Verify, Registered, Reset, NoAccount, EmailChange, EmailTaken, EmailChanged, PasswordChanged}

// Message is one mail to one person.
type Message struct {
	Kind  Kind
	To    string    // an address alone, without a name or angle brackets; at most 254 bytes
	Name  string    // of the person, for the greeting; what can't be one is left out
	Token string    // for the kinds that carry one: 1 to 512 printable ASCII characters, no space
	Until time.Time // when Token ends
	Other string    // the other address, for the kind that speaks of one; as To
}

// Options say where messages come from, where they lead and where they go.
type Options struct {
	SMTP  string // as CheckURL takes it; "" for none
	From  string // an address, or NAME <ADDRESS>; needed where there is SMTP
	Links Links
	Keep  bool         // without SMTP: keep the last messages for Outbox, and log their links
	Log   *slog.Logger // nil for none
}

// ErrNowhere is Send's where there is neither an SMTP server nor an outbox.
var ErrNowhere = errors.New("mails go nowhere: there is no SMTP server, and no outbox")

// refused is an error that no other attempt can mend.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// Permanent says whether err, which is Send's, is about the message itself, so that to send
// it once more is no use: its address can't be one, the server has refused it for good (5xx
// to the sender, the recipient or the text), or its token has ended meanwhile. All else is
// passing, a wrong password for the server included: somebody may put that right.
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
	// What the server writes into its Received line; it needs no name that resolves.
	if m.server.hello, err = os.Hostname(); err != nil || !domain.MatchString(m.server.hello) {
		m.server.hello = "localhost"
	}
	if m.from, err = parseFrom(o.From); err != nil {
		return nil, err
	}
	return m, nil
}

var errFrom = errors.New(`the sender of mails is an address, such as stoa@example.org or Stoa <stoa@example.org>`)

// CheckFrom says what is wrong with the sender of mails; nil where nothing is.
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

// ResetLink returns where the front end takes the code that sets a password.
func (m *Mailer) ResetLink(token string) string {
	return m.writer.links.put(m.writer.links.Reset, token)
}

// Send renders l and hands it to the SMTP server, or to the outbox where there is none. It
// takes 15 seconds at most. Its error is ErrNowhere, or one that Permanent tells apart; a
// nil error means that the server has taken the message. Where the connection breaks before
// the server says so, the message may arrive although there is an error.
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
