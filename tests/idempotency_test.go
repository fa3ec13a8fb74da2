package tests

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
	"stoa/store"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// newKey is an idempotency key.
func newKey() string { return rand.Text() }

// Equal calls at once, on all replicas, make one thing and get equal answers.
//
// How many there are is bounded by the rates (account/throttle.go): a repetition counts, an
// address takes four mails at once, and a client signs in to an account five times.
func TestEqualCallsAtOnceMakeOneThing(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := startThree(t, uri, redistest.Start(t).URL())
	db := open(t, uri)
	people := addPeople(t, replicas[0], 4, access.Customer)
	signer, changer, other := people[0], signIn(t, replicas[0], people[1]), signIn(t, replicas[1], people[2])
	here, there := newAddress(), newAddress()
	wanted, wantedToo, wantedNext := newAddress(), newAddress(), newAddress()

	type call struct {
		by caller
		in input
	}
	cases := map[string]struct {
		mutation string
		calls    int
		call     call
		reused   *call // another input under the key; nil where the input is who calls
		others   call  // another caller's, under the same key
		mail     string
		mailTo   []string // one mail each
	}{
		"Register": {"accountRegister", 3,
			call{newCaller(), input{"email": here, "password": phrase, "name": "Ruth"}},
			&call{newCaller(), input{"email": here, "password": phrase, "name": "Ruth again"}},
			call{newCaller(), input{"email": there, "password": phrase, "name": "Ruth"}}, "verify", []string{here, there}},
		"SignIn": {"sessionCreate", 5,
			call{newCaller(), input{"email": signer.email, "password": phrase}},
			&call{newCaller(), input{"email": signer.email, "password": phrase, "delivery": "COOKIE"}},
			call{newCaller(), input{"email": people[3].email, "password": phrase}}, "", nil},
		"Reset": {"passwordResetRequest", 4,
			call{newCaller(), input{"email": people[0].email}}, nil,
			call{newCaller(), input{"email": people[3].email}}, "reset", []string{people[0].email, people[3].email}},
		"Email": {"emailChangeRequest", 4,
			call{changer, input{"email": wanted, "password": phrase}},
			&call{changer, input{"email": wantedNext, "password": phrase}},
			call{other, input{"email": wantedToo, "password": phrase}}, "email-change", []string{wanted, wantedToo}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			key := newKey()
			send := func(on int, by call) reply {
				in := input{"idempotencyKey": key}
				for field, value := range by.in {
					in[field] = value
				}
				r, err := by.by.send(replicas[on%len(replicas)], document(c.mutation), map[string]any{"input": in})
				if err != nil {
					t.Error(err)
				}
				return r
			}
			answers := make([]string, c.calls)
			atOnce(c.calls, func(i int) { answers[i] = string(send(i, c.call).Raw) })
			for _, a := range answers {
				if a != answers[0] || !strings.Contains(a, `"userErrors":[]`) {
					t.Errorf("equal calls are answered %s and %s", answers[0], a)
				}
			}
			if c.reused != nil {
				if a := send(1, *c.reused); !strings.Contains(string(a.Raw), `"code":"KEY_REUSED","message"`) {
					t.Errorf("another input under the key is answered %s", a.Raw)
				}
			}
			others := send(2, c.others)
			if !strings.Contains(string(others.Raw), `"userErrors":[]`) {
				t.Errorf("somebody else's same key is answered %s", others.Raw)
			}
			if c.mutation == "sessionCreate" {
				if string(others.Raw) == answers[0] {
					t.Error("two people who use the same key get the same session")
				}
				for _, p := range []person{signer, people[3]} {
					if n := count(t, db, "sessions", bson.D{{Key: "accountId", Value: p.id}}); n != 1 {
						t.Errorf("%d sessions were made", n)
					}
				}
			}
			awaitSent(t, db)
			sent := mails(t, replicas...)
			for _, to := range c.mailTo {
				if got := mailsTo(sent, to); len(got) != 1 || got[0].Kind != c.mail {
					t.Errorf("to %s went %+v", to, got)
				}
			}
			if got := mailsTo(sent, wantedNext); len(got) > 0 {
				t.Errorf("a call that was refused has sent %+v", got)
			}
		})
	}
}

func TestARepeatedSignInDoesNotReviveASession(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := startThree(t, uri, redistest.Start(t).URL())
	db := open(t, uri)
	ends := map[string]func(t *testing.T, s *stoatest.Stoa, c caller){
		"Revoked": func(t *testing.T, s *stoatest.Stoa, c caller) { c.do(t, s, "sessionRevoke", input{}) },
		"RevokedByAnother": func(t *testing.T, s *stoatest.Stoa, c caller) {
			c.do(t, s, "sessionRevoke", input{"id": c.session})
		},
		"EndedWithAnEpoch": func(t *testing.T, s *stoatest.Stoa, c caller) {
			who, err := c.account(s)
			if err != nil {
				t.Fatal(err)
			}
			admin := signIn(t, s, addPeople(t, s, 1, access.Admin)[0])
			admin.do(t, s, "accountRoleSet", input{"accountId": who, "role": "STAFF"})
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			p, key := addPeople(t, replicas[0], 1, access.Customer)[0], newKey()
			in := input{"email": p.email, "password": phrase, "idempotencyKey": key}
			c := newCaller()
			first := c.do(t, replicas[0], "sessionCreate", in)
			c.token, c.session = *first.Token, first.Session.ID
			if again := newCaller().do(t, replicas[1], "sessionCreate", in); *again.Token != c.token {
				t.Fatal("an equal call got another token")
			}
			end(t, replicas[2], c)
			for i, s := range replicas {
				got, err := newCaller().try(s, "sessionCreate", in)
				if err != nil || got.code() != "CONFLICT" || got.Token != nil {
					t.Errorf("replica %d answers the repetition by %+v, %v", i, got, err)
				}
			}
			await(t, promisedEnd*slack, "the session to have ended everywhere", func() bool {
				for _, s := range replicas {
					if who, err := c.account(s); err != nil || who != "" {
						return false
					}
				}
				return true
			})
			if n := count(t, db, "sessions", bson.D{{Key: "accountId", Value: p.id}}); n != 1 {
				t.Errorf("%d sessions are there", n)
			}
		})
	}
}

// Who registers an address first, and who answers the mail first, are two questions: the
// account is the one's whose code came back first, with that one's password.
func TestRegistrationsOfOneAddressAtOnceMakeOneAccount(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := startThree(t, uri, redistest.Start(t).URL())
	db := open(t, uri)
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		address := newAddress()
		passwords := []string{"the first of two doors", "the second of two doors"}
		atOnce(2, func(i int) {
			in := input{"email": address, "password": passwords[i], "name": "Ruth"}
			if p, err := newCaller().try(replicas[i], "accountRegister", in); err != nil || p.code() != "" {
				t.Errorf("%+v, %v", p, err)
			}
		})
		raceToVerify(t, replicas, address, 2)
		checkOneAccount(t, replicas, address, passwords, count(t, db, "accounts", bson.D{{Key: "email", Value: address}}))
	}
	t.Run("Ten", func(t *testing.T) { // by mails, of which nobody may ask for ten at once
		address := newAddress()
		var passwords []string
		for i := range 10 {
			secret := "door number " + string(rune('a'+i)) + " of ten"
			hash, err := cheaply.Hash(t.Context(), secret)
			if err != nil {
				t.Fatal(err)
			}
			passwords = append(passwords, secret)
			l := &store.OutgoingMail{ID: id.New(id.Mail), Kind: store.RegisterMail, To: address, Name: "Ruth", PasswordHash: hash}
			l.CreatedAt = time.Now().UTC().Truncate(time.Millisecond)
			l.NextAt = l.CreatedAt
			if err := replicas[i%3].Store.AddMail(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		raceToVerify(t, replicas, address, 10)
		checkOneAccount(t, replicas, address, passwords, count(t, db, "accounts", bson.D{{Key: "email", Value: address}}))
	})
}

// raceToVerify answers n mails to an address at once, each on three replicas.
func raceToVerify(t *testing.T, replicas []*stoatest.Stoa, address string, n int) {
	t.Helper()
	var codes []string
	await(t, 20*time.Second, "the mails", func() bool {
		codes = codes[:0]
		for _, l := range mailsTo(mails(t, replicas...), address) {
			if l.Kind == "verify" {
				codes = append(codes, l.Code)
			}
		}
		return len(codes) == n
	})
	answers := make([]payload, 3*n)
	atOnce(len(answers), func(i int) {
		var err error
		if answers[i], err = newCaller().try(replicas[i%3], "accountVerify", input{"token": codes[i/3]}); err != nil {
			t.Error(err)
		}
	})
	made, by := map[string]bool{}, map[int]bool{}
	for i, a := range answers {
		switch {
		case a.Account != nil && a.code() == "":
			made[a.Account.ID], by[i/3] = true, true
		case a.Account != nil || a.code() != "TOKEN_INVALID":
			t.Errorf("accountVerify answers %+v", a)
		}
	}
	if len(made) != 1 || len(by) != 1 {
		t.Errorf("%d codes have made %d accounts", len(by), len(made))
	}
	for _, code := range codes {
		if p, err := newCaller().try(replicas[0], "accountVerify", input{"token": code}); err != nil || p.code() != "TOKEN_INVALID" {
			t.Errorf("a code is good again: %+v, %v", p, err)
		}
	}
}

// checkOneAccount sees that one of passwords opens the account of an address.
func checkOneAccount(t *testing.T, replicas []*stoatest.Stoa, address string, passwords []string, accounts int) {
	t.Helper()
	opened := 0
	for i, secret := range passwords {
		p, err := newCaller().try(replicas[i%3], "sessionCreate", input{"email": address, "password": secret})
		switch {
		case err != nil || p.Token == nil && p.code() != "CREDENTIALS_INVALID":
			t.Errorf("%+v, %v", p, err)
		case p.Token != nil:
			opened++
		}
	}
	if accounts != 1 || opened != 1 {
		t.Errorf("there are %d accounts, and %d passwords open one", accounts, opened)
	}
}
