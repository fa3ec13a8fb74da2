package account

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// Five equal calls get five equal responses, also if each asks for a mail.
func TestFiveEqualCallsForAMailAreAnsweredAlike(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	in := stoatest.Input{"email": stoatest.NewAddress(), "password": stoatest.Password, "name": "Ruth", "idempotencyKey": stoatest.NewKey()}
	c := stoatest.NewCaller()
	answers := make([]stoatest.Payload, 5)
	stoatest.AtOnce(5, func(i int) { answers[i], _ = c.Try(replicas[i%3], "accountRegister", in) })
	for _, a := range answers {
		if a.Reason() != "" {
			t.Errorf("one of five equal calls is answered %s", a.Reason())
		}
	}
}

// A code of a second registration must not bring an account back that was deleted, nor
// keep its address, name and password.
func TestOldCodesDoNotRestoreDeletedAccounts(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	db := stoatest.OpenDatabase(t, uri)
	p := stoatest.Member{Email: stoatest.NewAddress(), Name: "Ruth Ashgrove", Password: stoatest.Password}
	for range 2 {
		stoatest.NewCaller().Do(t, replicas[0], "accountRegister", stoatest.Input{"email": p.Email, "password": p.Password, "name": p.Name})
	}
	var codes []string
	stoatest.Await(t, 20*time.Second, "two mails", func() bool {
		codes = nil
		for _, l := range stoatest.MailsTo(stoatest.Mails(t, replicas...), p.Email) {
			codes = append(codes, l.Code)
		}
		return len(codes) == 2
	})
	p.ID = stoatest.NewCaller().Do(t, replicas[0], "accountVerify", stoatest.Input{"token": codes[0]}).Account.ID
	stoatest.LogIn(t, replicas[1], p).Do(t, replicas[1], "accountDelete", stoatest.Input{"password": p.Password})
	stoatest.AwaitSent(t, db)
	for _, f := range stoatest.Traces(t, db, p.Email, p.Name) {
		t.Error(f)
	}
	if again, err := stoatest.NewCaller().Try(replicas[2], "accountVerify", stoatest.Input{"token": codes[1]}); err != nil || again.Account != nil {
		t.Errorf("the account is back: %+v, %v", again, err)
	}
}

// A sign-in during the deletion of its account leaves no session behind.
func TestSignInDuringDeletionLeavesNoSession(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	db := stoatest.OpenDatabase(t, uri)
	left, opened := 0, 0
	for range 30 {
		p := stoatest.AddMembers(t, replicas[0], 1, access.Customer)[0]
		leaver := stoatest.LogIn(t, replicas[0], p)
		comer := stoatest.NewCaller()
		comer.Device = "telephone of " + p.Email
		stoatest.AtOnce(2, func(i int) {
			if i == 0 {
				_, _ = leaver.Try(replicas[0], "accountDelete", stoatest.Input{"password": stoatest.Password})
				return
			}
			if made, err := comer.Try(replicas[1], "sessionCreate", stoatest.Input{"email": p.Email, "password": stoatest.Password}); err == nil && made.Token != nil {
				opened++
			}
		})
		if n := stoatest.Count(t, db, "sessions", bson.D{{Key: "accountId", Value: p.ID}}); n > 0 && len(stoatest.Traces(t, db, comer.Device)) > 0 {
			left++
		}
	}
	if left > 0 {
		t.Errorf("%d of 30 deletions have left a session with its device and address (%d of the sign-ins were answered with a token)", left, opened)
	}
}

// A name that nobody sees is none.
func TestANameThatNobodySeesIsNone(t *testing.T) {
	s := stoatest.StartAll(t, stoatest.Settings{})[0]
	for _, name := range []string{"\u200b", "\u2060\u2060", "\u00ad", "Ruth\u2028Admin", "\U000e0041", "\u3164"} {
		p, err := stoatest.NewCaller().Try(s, "accountRegister", stoatest.Input{"email": stoatest.NewAddress(), "password": stoatest.Password, "name": name})
		if err != nil || p.Reason() != "INVALID" {
			t.Errorf("the name %+q is taken: %q, %v", name, p.Reason(), err)
		}
	}
}
