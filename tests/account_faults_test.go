package tests

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// Five equal calls get five equal answers, also where each asks for a mail.
func TestFiveEqualCallsForAMailAreAnsweredAlike(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := startThree(t, uri, redistest.Start(t).URL())
	in := input{"email": newAddress(), "password": phrase, "name": "Ruth", "idempotencyKey": newKey()}
	c := newCaller()
	answers := make([]payload, 5)
	atOnce(5, func(i int) { answers[i], _ = c.try(replicas[i%3], "accountRegister", in) })
	for _, a := range answers {
		if a.code() != "" {
			t.Errorf("one of five equal calls is answered %s", a.code())
		}
	}
}

// A code of a second registration must not bring an account back that was deleted, nor
// keep its address, name and password.
func TestNoOlderCodeBringsADeletedAccountBack(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := startThree(t, uri, redistest.Start(t).URL())
	db := open(t, uri)
	p := person{email: newAddress(), name: "Ruth Ashgrove", password: phrase}
	for range 2 {
		newCaller().do(t, replicas[0], "accountRegister", input{"email": p.email, "password": p.password, "name": p.name})
	}
	var codes []string
	await(t, 20*time.Second, "two mails", func() bool {
		codes = nil
		for _, l := range mailsTo(mails(t, replicas...), p.email) {
			codes = append(codes, l.Code)
		}
		return len(codes) == 2
	})
	p.id = newCaller().do(t, replicas[0], "accountVerify", input{"token": codes[0]}).Account.ID
	signIn(t, replicas[1], p).do(t, replicas[1], "accountDelete", input{"password": p.password})
	awaitSent(t, db)
	for _, f := range traces(t, db, p.email, p.name) {
		t.Error(f)
	}
	if again, err := newCaller().try(replicas[2], "accountVerify", input{"token": codes[1]}); err != nil || again.Account != nil {
		t.Errorf("the account is back: %+v, %v", again, err)
	}
}

// Who signs in while the account is deleted leaves no session behind.
func TestASignInDuringADeletionLeavesNothing(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := startThree(t, uri, redistest.Start(t).URL())
	db := open(t, uri)
	left, opened := 0, 0
	for range 30 {
		p := addPeople(t, replicas[0], 1, access.Customer)[0]
		leaver := signIn(t, replicas[0], p)
		comer := newCaller()
		comer.device = "telephone of " + p.email
		atOnce(2, func(i int) {
			if i == 0 {
				_, _ = leaver.try(replicas[0], "accountDelete", input{"password": phrase})
				return
			}
			if made, err := comer.try(replicas[1], "sessionCreate", input{"email": p.email, "password": phrase}); err == nil && made.Token != nil {
				opened++
			}
		})
		if n := count(t, db, "sessions", bson.D{{Key: "accountId", Value: p.id}}); n > 0 && len(traces(t, db, comer.device)) > 0 {
			left++
		}
	}
	if left > 0 {
		t.Errorf("%d of 30 deletions have left a session with its device and address (%d of the sign-ins were answered with a token)", left, opened)
	}
}

// A name that nobody sees is none.
func TestANameThatNobodySeesIsNone(t *testing.T) {
	s := startAll(t, stoatest.Settings{})[0]
	for _, name := range []string{"\u200b", "\u2060\u2060", "\u00ad", "Ruth\u2028Admin", "\U000e0041", "\u3164"} {
		p, err := newCaller().try(s, "accountRegister", input{"email": newAddress(), "password": phrase, "name": name})
		if err != nil || p.code() != "INVALID" {
			t.Errorf("the name %+q is taken: %q, %v", name, p.code(), err)
		}
	}
}
