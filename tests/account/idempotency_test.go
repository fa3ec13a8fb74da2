package account

import (
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/account/password"
	"stoa/id"
	"stoa/store"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// Equal calls at once, on all replicas, make one thing and get equal answers.
//
// How many there are is bounded by the rates (account/throttle.go): a repetition counts, an
// address takes four mails at once, and a client signs in to an account five times.
func TestConcurrentEqualCallsCreateOneObject(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	db := stoatest.OpenDatabase(t, uri)
	people := stoatest.AddMembers(t, replicas[0], 4, access.Customer)
	signer, changer, other := people[0], stoatest.LogIn(t, replicas[0], people[1]), stoatest.LogIn(t, replicas[1], people[2])
	here, there := stoatest.NewAddress(), stoatest.NewAddress()
	wanted, wantedToo, wantedNext := stoatest.NewAddress(), stoatest.NewAddress(), stoatest.NewAddress()

	type call struct {
		by stoatest.Caller
		in stoatest.Input
	}
	cases := map[string]struct {
		mutation string
		calls    int
		call     call
		reused   *call // another input under the key; nil if the input is the caller
		others   call  // another caller's, under the same key
		mail     string
		mailTo   []string // one mail each
	}{
		"Register": {"accountRegister", 3,
			call{stoatest.NewCaller(), stoatest.Input{"email": here, "password": stoatest.Password, "name": "Ruth"}},
			&call{stoatest.NewCaller(), stoatest.Input{"email": here, "password": stoatest.Password, "name": "Ruth again"}},
			call{stoatest.NewCaller(), stoatest.Input{"email": there, "password": stoatest.Password, "name": "Ruth"}}, "verify", []string{here, there}},
		"SignIn": {"sessionCreate", 5,
			call{stoatest.NewCaller(), stoatest.Input{"email": signer.Email, "password": stoatest.Password}},
			&call{stoatest.NewCaller(), stoatest.Input{"email": signer.Email, "password": stoatest.Password, "delivery": "COOKIE"}},
			call{stoatest.NewCaller(), stoatest.Input{"email": people[3].Email, "password": stoatest.Password}}, "", nil},
		"Reset": {"passwordResetRequest", 4,
			call{stoatest.NewCaller(), stoatest.Input{"email": people[0].Email}}, nil,
			call{stoatest.NewCaller(), stoatest.Input{"email": people[3].Email}}, "reset", []string{people[0].Email, people[3].Email}},
		"Email": {"emailChangeRequest", 4,
			call{changer, stoatest.Input{"email": wanted, "password": stoatest.Password}},
			&call{changer, stoatest.Input{"email": wantedNext, "password": stoatest.Password}},
			call{other, stoatest.Input{"email": wantedToo, "password": stoatest.Password}}, "email-change", []string{wanted, wantedToo}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			key := stoatest.NewKey()
			send := func(on int, by call) stoatest.Reply {
				in := stoatest.Input{"idempotencyKey": key}
				for field, value := range by.in {
					in[field] = value
				}
				r, err := by.by.Send(replicas[on%len(replicas)], stoatest.Mutation(c.mutation), map[string]any{"input": in})
				if err != nil {
					t.Error(err)
				}
				return r
			}
			answers := make([]string, c.calls)
			stoatest.AtOnce(c.calls, func(i int) { answers[i] = string(send(i, c.call).Raw) })
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
				for _, p := range []stoatest.Member{signer, people[3]} {
					if n := stoatest.Count(t, db, "sessions", bson.D{{Key: "accountId", Value: p.ID}}); n != 1 {
						t.Errorf("%d sessions were made", n)
					}
				}
			}
			stoatest.AwaitSent(t, db)
			sent := stoatest.Mails(t, replicas...)
			for _, to := range c.mailTo {
				if got := stoatest.MailsTo(sent, to); len(got) != 1 || got[0].Kind != c.mail {
					t.Errorf("to %s went %+v", to, got)
				}
			}
			if got := stoatest.MailsTo(sent, wantedNext); len(got) > 0 {
				t.Errorf("a call that was refused has sent %+v", got)
			}
		})
	}
}

func TestARepeatedSignInDoesNotReviveASession(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	db := stoatest.OpenDatabase(t, uri)
	ends := map[string]func(t *testing.T, s *stoatest.Stoa, c stoatest.Caller){
		"Revoked": func(t *testing.T, s *stoatest.Stoa, c stoatest.Caller) { c.Do(t, s, "sessionRevoke", stoatest.Input{}) },
		"RevokedByAnother": func(t *testing.T, s *stoatest.Stoa, c stoatest.Caller) {
			c.Do(t, s, "sessionRevoke", stoatest.Input{"id": c.Session})
		},
		"EndedWithAnEpoch": func(t *testing.T, s *stoatest.Stoa, c stoatest.Caller) {
			who, err := c.Account(s)
			if err != nil {
				t.Fatal(err)
			}
			admin := stoatest.LogIn(t, s, stoatest.AddMembers(t, s, 1, access.Admin)[0])
			admin.Do(t, s, "accountRoleSet", stoatest.Input{"accountId": who, "role": "STAFF"})
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			p, key := stoatest.AddMembers(t, replicas[0], 1, access.Customer)[0], stoatest.NewKey()
			in := stoatest.Input{"email": p.Email, "password": stoatest.Password, "idempotencyKey": key}
			c := stoatest.NewCaller()
			first := c.Do(t, replicas[0], "sessionCreate", in)
			c.Token, c.Session = *first.Token, first.Session.ID
			if again := stoatest.NewCaller().Do(t, replicas[1], "sessionCreate", in); *again.Token != c.Token {
				t.Fatal("an equal call got another token")
			}
			end(t, replicas[2], c)
			for i, s := range replicas {
				got, err := stoatest.NewCaller().Try(s, "sessionCreate", in)
				if err != nil || got.Reason() != "CONFLICT" || got.Token != nil {
					t.Errorf("replica %d answers the repetition by %+v, %v", i, got, err)
				}
			}
			stoatest.Await(t, promisedEnd*stoatest.Slack, "the session to have ended everywhere", func() bool {
				for _, s := range replicas {
					if who, err := c.Account(s); err != nil || who != "" {
						return false
					}
				}
				return true
			})
			if n := stoatest.Count(t, db, "sessions", bson.D{{Key: "accountId", Value: p.ID}}); n != 1 {
				t.Errorf("%d sessions are there", n)
			}
		})
	}
}

// Two people may register one address. The account belongs to the one whose code is used
// first, with that registration's password.
func TestConcurrentRegistrationsMakeOneAccount(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	db := stoatest.OpenDatabase(t, uri)
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		address := stoatest.NewAddress()
		passwords := []string{"the first of two doors", "the second of two doors"}
		stoatest.AtOnce(2, func(i int) {
			in := stoatest.Input{"email": address, "password": passwords[i], "name": "Ruth"}
			if p, err := stoatest.NewCaller().Try(replicas[i], "accountRegister", in); err != nil || p.Reason() != "" {
				t.Errorf("%+v, %v", p, err)
			}
		})
		raceToVerify(t, replicas, address, 2)
		checkOneAccount(t, replicas, address, passwords, stoatest.Count(t, db, "accounts", bson.D{{Key: "email", Value: address}}))
	}
	t.Run("Ten", func(t *testing.T) { // by mails, and nobody may ask for ten at once
		address := stoatest.NewAddress()
		var passwords []string
		for i := range 10 {
			secret := "door number " + string(rune('a'+i)) + " of ten"
			hash, err := cheaply.Hash(t.Context(), secret)
			if err != nil {
				t.Fatal(err)
			}
			passwords = append(passwords, secret)
			l := &store.OutgoingMail{ID: id.New(id.Mail), Kind: store.RegisterMail, To: address, Name: "Ruth", PasswordHash: hash}
			l.CreatedAt = store.Now()
			l.NextAt = l.CreatedAt
			if err := replicas[i%3].Store.AddMail(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		raceToVerify(t, replicas, address, 10)
		checkOneAccount(t, replicas, address, passwords, stoatest.Count(t, db, "accounts", bson.D{{Key: "email", Value: address}}))
	})
}

// raceToVerify answers n mails to an address at once, each on three replicas.
func raceToVerify(t *testing.T, replicas []*stoatest.Stoa, address string, n int) {
	t.Helper()
	var codes []string
	stoatest.Await(t, 20*time.Second, "the mails", func() bool {
		codes = codes[:0]
		for _, l := range stoatest.MailsTo(stoatest.Mails(t, replicas...), address) {
			if l.Kind == "verify" {
				codes = append(codes, l.Code)
			}
		}
		return len(codes) == n
	})
	answers := make([]stoatest.Payload, 3*n)
	stoatest.AtOnce(len(answers), func(i int) {
		var err error
		if answers[i], err = stoatest.NewCaller().Try(replicas[i%3], "accountVerify", stoatest.Input{"token": codes[i/3]}); err != nil {
			t.Error(err)
		}
	})
	made, by := map[string]bool{}, map[int]bool{}
	for i, a := range answers {
		switch {
		case a.Account != nil && a.Reason() == "":
			made[a.Account.ID], by[i/3] = true, true
		case a.Account != nil || a.Reason() != "TOKEN_INVALID":
			t.Errorf("accountVerify answers %+v", a)
		}
	}
	if len(made) != 1 || len(by) != 1 {
		t.Errorf("%d codes have made %d accounts", len(by), len(made))
	}
	for _, code := range codes {
		if p, err := stoatest.NewCaller().Try(replicas[0], "accountVerify", stoatest.Input{"token": code}); err != nil || p.Reason() != "TOKEN_INVALID" {
			t.Errorf("a code is good again: %+v, %v", p, err)
		}
	}
}

// checkOneAccount sees that one of passwords opens the account of an address.
func checkOneAccount(t *testing.T, replicas []*stoatest.Stoa, address string, passwords []string, accounts int) {
	t.Helper()
	opened := 0
	for i, secret := range passwords {
		p, err := stoatest.NewCaller().Try(replicas[i%3], "sessionCreate", stoatest.Input{"email": address, "password": secret})
		switch {
		case err != nil || p.Token == nil && p.Reason() != "CREDENTIALS_INVALID":
			t.Errorf("%+v, %v", p, err)
		case p.Token != nil:
			opened++
		}
	}
	if accounts != 1 || opened != 1 {
		t.Errorf("there are %d accounts, and %d passwords open one", accounts, opened)
	}
}

// cheaply makes hashes at almost no cost, for tests that don't depend on the cost.
var cheaply = password.NewHasher(password.Options{Params: password.Params{Memory: 8, Passes: 1, Lanes: 1}})
