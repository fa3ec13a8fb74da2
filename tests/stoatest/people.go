package stoatest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"stoa/access"
	"stoa/account/password"
	"stoa/id"
	"stoa/store"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Password is the password of every account that Join makes.
const Password = "a quiet harbour wall"

// hashed is Password in its stored form. It is computed once, since hashing is slow on
// purpose.
var hashed = sync.OnceValues(func() (string, error) {
	return password.NewHasher(password.Options{}).Hash(context.Background(), Password)
})

// Person is a signed-in member.
type Person struct {
	*store.Account
	Session id.ID
	Token   string
}

// Join makes an account created at a given time, and signs it in. The zero Time is now.
func (s *Stoa) Join(t testing.TB, address, name string, role access.Role, at time.Time) Person {
	t.Helper()
	hash, err := hashed()
	if err != nil {
		t.Fatal(err)
	}
	if at.IsZero() {
		at = store.Now()
	}
	made := &store.Secret{PasswordHash: hash, Account: store.Account{
		ID: id.At(id.Account, at), Email: address, Name: name, Role: role, CreatedAt: at, Version: 1,
	}}
	if err := s.Store.AddAccount(t.Context(), made); err != nil {
		t.Fatalf("join %s: %v", address, err)
	}
	p := Person{Account: &made.Account}
	p.Session, p.Token = s.SignIn(t, p.Account)
	return p
}

// SignIn begins a session as sessionCreate does, but without hashing a password. A later
// session has a later time.
func (s *Stoa) SignIn(t testing.TB, account *store.Account) (session id.ID, token string) {
	t.Helper()
	s.mu.Lock()
	at := store.Now()
	if !at.After(s.signedIn) {
		at = s.signedIn.Add(time.Millisecond)
	}
	s.signedIn = at
	s.mu.Unlock()
	secret, sum := newSecret()
	x := &store.Session{
		ID: id.At(id.Session, at), AccountID: account.ID, Epoch: account.Epoch, Hash: sum[:], Device: "A phone", Address: "192.0.2.7",
		CreatedAt: at, EndsAt: at.Add(24 * time.Hour),
	}
	if err := s.Store.AddSession(t.Context(), x); err != nil {
		t.Fatalf("sign in %s: %v", account.Email, err)
	}
	return x.ID, "stoa_" + strings.TrimPrefix(string(x.ID), "ses_") + "_" + secret
}

// MailCode stores c as if it had been sent by mail, and returns the code.
func (s *Stoa) MailCode(t testing.TB, c store.MailCode) string {
	t.Helper()
	code, sum := newSecret()
	c.Hash, c.EndsAt = hex.EncodeToString(sum[:]), time.Now().Add(time.Hour)
	if c.Kind == store.CodeToVerify {
		var err error
		if c.PasswordHash, err = hashed(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Store.AddMailCode(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	return code
}

// newSecret returns a secret in the form of tokens and codes, and its stored hash.
func newSecret() (text string, sum [sha256.Size]byte) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(secret[:]), sha256.Sum256(secret[:])
}

// Letter is a mail in the development outbox.
type Letter struct{ Kind, To, Subject, Text, Link, Code string }

// mailLimit bounds the wait of Mail: mails are looked for four times a second, and the machine
// may be busy.
const mailLimit = 20 * time.Second

// Mail returns the newest mail of a kind to an address, and waits until there is one.
func (s *Stoa) Mail(t testing.TB, kind, to string) Letter {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), mailLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var mails []Letter
		response, err := http.Get(s.URL + "/outbox?format=json")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(response.Body).Decode(&mails)
		response.Body.Close()
		if err != nil {
			t.Fatalf("read the outbox: %v", err)
		}
		for _, l := range mails { // newest first
			if l.Kind == kind && l.To == to {
				return l
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("no mail %q has come to %s; there are %d others", kind, to, len(mails))
		}
	}
}

// SentMail is a mail that was sent.
type SentMail struct{ Kind, To, Code string }

// Mails returns the mails that replicas have sent, the last hundred of each.
func Mails(t testing.TB, replicas ...*Stoa) []SentMail {
	t.Helper()
	var all []SentMail
	for _, s := range replicas {
		response, err := crowd.Get(s.URL + "/outbox?format=json")
		if err != nil {
			t.Fatal(err)
		}
		var some []SentMail
		err = json.NewDecoder(response.Body).Decode(&some)
		response.Body.Close()
		if err != nil {
			t.Fatalf("/outbox: %v", err)
		}
		all = append(all, some...)
	}
	return all
}

// MailsTo returns the mails to an address.
func MailsTo(all []SentMail, address string) []SentMail {
	var some []SentMail
	for _, l := range all {
		if l.To == address {
			some = append(some, l)
		}
	}
	return some
}

// AwaitCode waits for a mail of a kind and returns its code.
func AwaitCode(t *testing.T, address, kind string, replicas ...*Stoa) string {
	t.Helper()
	code := ""
	Await(t, 20*time.Second, kind+" mail to "+address, func() bool {
		for _, l := range MailsTo(Mails(t, replicas...), address) {
			if l.Kind == kind {
				code = l.Code
			}
		}
		return code != ""
	})
	return code
}

// AwaitSent waits until every mail has been sent.
func AwaitSent(t *testing.T, db *mongo.Database) {
	t.Helper()
	Await(t, time.Minute, "all mails to be sent", func() bool {
		n, err := db.Collection("letters").CountDocuments(t.Context(), bson.D{{Key: "nextAt", Value: bson.D{{Key: "$exists", Value: true}}}})
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}
