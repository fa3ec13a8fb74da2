// Package account holds accounts, sessions and mails to their promises, over three replicas.
package account

import (
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

func TestEachLetterIsSentOnce(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	db := stoatest.OpenDatabase(t, uri)
	n := 100
	if testing.Short() {
		n = 30
	}
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = stoatest.NewAddress()
	}
	const atATime = 10
	began := time.Now()
	stoatest.AtOnce(atATime, func(k int) {
		for i := k; i < n; i += atATime {
			in := stoatest.Input{"email": addresses[i], "password": stoatest.Password, "name": "Ruth"}
			if p, err := stoatest.NewCaller().Try(replicas[i%3], "accountRegister", in); err != nil || p.Reason() != "" {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
	stoatest.AwaitSent(t, db)
	t.Logf("%d registrations were answered and their mails sent within %s", n, time.Since(began).Round(time.Millisecond))
	sent := stoatest.Mails(t, replicas...)
	if len(sent) != n {
		t.Errorf("%d mails were sent", len(sent))
	}
	for _, a := range addresses {
		if got := stoatest.MailsTo(sent, a); len(got) != 1 || got[0].Kind != "verify" {
			t.Fatalf("to %s went %+v", a, got)
		}
	}
	for i, s := range replicas {
		t.Logf("replica %d sent %d of them", i, len(stoatest.Mails(t, s)))
	}
	if left := stoatest.Count(t, db, "letters", bson.D{{Key: "to", Value: bson.D{{Key: "$ne", Value: ""}}}}); left > 0 {
		t.Errorf("%d mails that were sent still say to whom", left)
	}
}

// resident makes an account with all kinds of data: by a registration, with sessions, uses,
// codes and mails.
func resident(t *testing.T, replicas []*stoatest.Stoa) (stoatest.Member, stoatest.Caller) {
	t.Helper()
	p := stoatest.Member{Email: stoatest.NewAddress(), Name: "Ruth Ashgrove " + stoatest.NewAddress()[:8], Password: stoatest.Password}
	stoatest.NewCaller().Do(t, replicas[0], "accountRegister", stoatest.Input{"email": p.Email, "password": p.Password, "name": p.Name, "idempotencyKey": stoatest.NewKey()})
	made := stoatest.NewCaller().Do(t, replicas[1], "accountVerify", stoatest.Input{"token": stoatest.AwaitCode(t, p.Email, "verify", replicas...)})
	p.ID = made.Account.ID
	c := stoatest.NewCaller()
	c.Device = "Ruth's telephone " + p.Email[:8]
	for range 2 {
		made := c.Do(t, replicas[2], "sessionCreate", stoatest.Input{"email": p.Email, "password": p.Password, "idempotencyKey": stoatest.NewKey()})
		c.Token, c.Session = *made.Token, made.Session.ID
	}
	c.Do(t, replicas[0], "passwordResetRequest", stoatest.Input{"email": p.Email, "idempotencyKey": stoatest.NewKey()})
	c.Do(t, replicas[1], "emailChangeRequest", stoatest.Input{"email": "new-" + p.Email, "password": p.Password, "idempotencyKey": stoatest.NewKey()})
	stoatest.AwaitCode(t, p.Email, "reset", replicas...)
	stoatest.AwaitCode(t, "new-"+p.Email, "email-change", replicas...)
	return p, c
}

func TestDeletedAccountsLeaveNothing(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t)
	replicas := stoatest.StartThree(t, uri, redis.URL())
	db := stoatest.OpenDatabase(t, uri)
	p, c := resident(t, replicas)
	if found := stoatest.Traces(t, db, p.Email, p.Name, c.Device, c.Address); len(found) < 5 {
		t.Fatalf("of somebody who is there, there are only %q", found)
	}
	c.Do(t, replicas[1], "accountDelete", stoatest.Input{"password": p.Password})
	stoatest.AwaitSent(t, db)
	for _, f := range stoatest.Traces(t, db, p.Email, p.Name, c.Device, c.Address, c.Session) {
		t.Error(f)
	}
	keys, err := redis.Client(t).Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		value := redis.Client(t).Get(t.Context(), k).Val()
		for _, w := range []string{p.Email, p.Name, c.Device} {
			if strings.Contains(value, w) {
				t.Errorf("%q is in Redis under %q", w, k)
			}
		}
	}
}

// Another replica repeats the steps of a change that was interrupted: here the database is put
// back into the state after a crash.
func TestWhatWasInterruptedIsDoneAgain(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := stoatest.StartThree(t, uri, redistest.Start(t).URL())
	db := stoatest.OpenDatabase(t, uri)
	t.Run("VerifyBeforeItsCodeIsGone", func(t *testing.T) {
		address := stoatest.NewAddress()
		stoatest.NewCaller().Do(t, replicas[0], "accountRegister", stoatest.Input{"email": address, "password": stoatest.Password, "name": "Ruth"})
		token := stoatest.AwaitCode(t, address, "verify", replicas...)
		var code bson.Raw
		if err := db.Collection("codes").FindOne(t.Context(), bson.D{{Key: "email", Value: address}}).Decode(&code); err != nil {
			t.Fatal(err)
		}
		first := stoatest.NewCaller().Do(t, replicas[0], "accountVerify", stoatest.Input{"token": token})
		if _, err := db.Collection("codes").InsertOne(t.Context(), code); err != nil {
			t.Fatal(err)
		}
		again := stoatest.NewCaller().Do(t, replicas[1], "accountVerify", stoatest.Input{"token": token})
		if first.Account.ID != again.Account.ID || stoatest.Count(t, db, "accounts", bson.D{{Key: "email", Value: address}}) != 1 {
			t.Errorf("it made %s and then %s", first.Account.ID, again.Account.ID)
		}
		if left := stoatest.Count(t, db, "codes", bson.D{{Key: "email", Value: address}}); left > 0 {
			t.Errorf("%d codes are left", left)
		}
	})
	t.Run("DeleteBeforeTheAccountIsGone", func(t *testing.T) {
		p, _ := resident(t, replicas)
		// Its first step is done, and so the viewer's session is over.
		for collection, field := range map[string]string{"sessions": "accountId", "codes": "accountId"} {
			if _, err := db.Collection(collection).DeleteMany(t.Context(), bson.D{{Key: field, Value: p.ID}}); err != nil {
				t.Fatal(err)
			}
		}
		c := stoatest.LogIn(t, replicas[1], p)
		c.Do(t, replicas[2], "accountDelete", stoatest.Input{"password": p.Password})
		stoatest.AwaitSent(t, db)
		for _, f := range stoatest.Traces(t, db, p.Email, p.Name, c.Session) {
			t.Error(f)
		}
	})
}
