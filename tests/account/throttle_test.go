package account

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"stoa/access"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// refusals counts the results of n equal attempts, spread over replicas, by code.
func refusals(t *testing.T, replicas []*stoatest.Stoa, c stoatest.Caller, n int, mutation string, in stoatest.Input) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for i := range n {
		p, err := c.Try(replicas[i%len(replicas)], mutation, in)
		if err != nil {
			t.Fatal(err)
		}
		counts[p.Reason()]++
	}
	return counts
}

// One client can try an account's password ten times at once, on all replicas together, and
// with or without such an account. Other clients aren't locked out by that, and a sign-in with
// the right password resets the count.
func TestPasswordAttemptsAreThrottled(t *testing.T) {
	t.Parallel()
	replicas := stoatest.StartAll(t, stoatest.ThreeOver(stoatest.Database(t), redistest.Start(t).URL())...)
	owner := stoatest.AddMembers(t, replicas[0], 1, access.Customer)[0]
	guesser, elsewhere := stoatest.NewCaller(), stoatest.NewCaller()
	for _, address := range []string{owner.Email, stoatest.NewAddress()} {
		got := refusals(t, replicas, guesser, 14, "sessionCreate", stoatest.Input{"email": address, "password": "not the one"})
		if got["CREDENTIALS_INVALID"] != 10 || got["THROTTLED"] != 4 {
			t.Errorf("of fourteen guesses for one account came %v", got)
		}
	}
	p, err := guesser.Try(replicas[1], "sessionCreate", stoatest.Input{"email": owner.Email, "password": owner.Password})
	if err != nil || p.Reason() != "THROTTLED" {
		t.Errorf("the right password, too late, is answered %+v, %v", p, err)
	}
	for range 8 {
		if got := refusals(t, replicas, elsewhere, 4, "sessionCreate", stoatest.Input{"email": owner.Email, "password": "not the one"}); got["CREDENTIALS_INVALID"] != 4 {
			t.Fatalf("from elsewhere came %v", got)
		}
		elsewhere.Do(t, replicas[2], "sessionCreate", stoatest.Input{"email": owner.Email, "password": owner.Password})
	}
}

// Many clients together can't guess either: an account has a limit of its own, far above that
// of one client.
func TestManyClientsTogetherAreThrottled(t *testing.T) {
	t.Parallel()
	s := stoatest.StartAll(t, stoatest.Settings{})
	address := stoatest.NewAddress()
	total := map[string]int{}
	for range 13 {
		for code, n := range refusals(t, s, stoatest.NewCaller(), 10, "sessionCreate", stoatest.Input{"email": address, "password": "not the one"}) {
			total[code] += n
		}
	}
	if total["CREDENTIALS_INVALID"] < 100 || total["CREDENTIALS_INVALID"] > 103 || total["THROTTLED"] < 20 {
		t.Errorf("of 130 guesses by 13 clients came %v", total)
	}
}

// The answer says how long to wait, and a client without a right answer doesn't get around
// the limit by a header of its own.
func TestWhoIsThrottledIsToldForHowLong(t *testing.T) {
	t.Parallel()
	s := stoatest.Start(t, stoatest.Settings{"STOA_PROXIES": "192.0.2.1"}) // not the address of this test
	document := `mutation { sessionCreate(input: {email: "ada@example.org", password: "not the one"}) { userErrors { code retryAfter path } } }`
	throttled := 0
	for i := range 14 {
		a, err := s.Send(stoatest.Request{Query: document, Header: map[string]string{"X-Forwarded-For": fmt.Sprintf("198.18.0.%d", i)}})
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			SessionCreate struct {
				UserErrors []struct {
					Code       string
					RetryAfter *int
				}
			}
		}
		if err := json.Unmarshal(a.Data, &out); err != nil || len(out.SessionCreate.UserErrors) != 1 {
			t.Fatalf("answered %s, %v", a.Raw, err)
		}
		refused := out.SessionCreate.UserErrors[0]
		if is := refused.Code == "THROTTLED"; is != (refused.RetryAfter != nil) {
			t.Errorf("answered %s", a.Raw)
		} else if is {
			throttled++
			if *refused.RetryAfter < 1 || *refused.RetryAfter > 180 {
				t.Errorf("after %d s one may try again", *refused.RetryAfter)
			}
		}
	}
	if throttled != 4 {
		t.Errorf("%d of fourteen tries were throttled", throttled)
	}
}

// Each kind of mail has limits of its own, for a mailbox in all its spellings and for a client.
func TestMailsAreThrottled(t *testing.T) {
	t.Parallel()
	s := stoatest.StartAll(t, stoatest.Settings{})
	owner := stoatest.AddMembers(t, s[0], 1, access.Customer)[0]
	register := func(address string) stoatest.Input {
		return stoatest.Input{"email": address, "password": stoatest.Password, "name": "Ada"}
	}
	for _, address := range []string{owner.Email, stoatest.NewAddress()} {
		first := refusals(t, s, stoatest.NewCaller(), 5, "accountRegister", register(address))
		second := refusals(t, s, stoatest.NewCaller(), 5, "accountRegister", register(address))
		if first[""] != 4 || second[""] != 2 {
			t.Errorf("two clients register one address five times each: %v, then %v", first, second)
		}
		if got := refusals(t, s, stoatest.NewCaller(), 5, "passwordResetRequest", stoatest.Input{"email": address}); got[""] != 4 || got["THROTTLED"] != 1 {
			t.Errorf("then one asks for resets: %v", got)
		}
	}
	total := map[string]int{}
	for _, spelling := range []string{"j.oe", "jo.e", "j.o.e", "joe", "joe+a", "j.oe+b", "jo.e+c", "JOE"} {
		for code, n := range refusals(t, s, stoatest.NewCaller(), 1, "accountRegister", register(spelling+"@mail.example")) {
			total[code] += n
		}
	}
	if total[""] != 6 || total["THROTTLED"] != 2 {
		t.Errorf("eight clients register eight spellings of a mailbox: %v", total)
	}
	for reason, c := range map[string]struct {
		address func() string
		want    int
	}{
		"one domain":   {stoatest.NewAddress, 10},
		"many domains": {func() string { return "joe@" + strings.Replace(stoatest.NewAddress(), "@", ".", 1) }, 20},
	} {
		flood, total := stoatest.NewCaller(), map[string]int{}
		for range 25 {
			for code, n := range refusals(t, s, flood, 1, "passwordResetRequest", stoatest.Input{"email": c.address()}) {
				total[code] += n
			}
		}
		if total[""] != c.want || total["THROTTLED"] != 25-c.want {
			t.Errorf("one client asks for mails to 25 addresses of %s: %v", reason, total)
		}
	}
}

// Nobody can shut the owner of an account out by registering its address or asking for resets: a
// mail with a valid code is there, or is sent.
func TestRecoveryCannotBeShut(t *testing.T) {
	t.Parallel()
	replicas := stoatest.StartAll(t, stoatest.ThreeOver(stoatest.Database(t), redistest.Start(t).URL())...)
	owner := stoatest.AddMembers(t, replicas[0], 1, access.Customer)[0]
	attack := func() {
		t.Helper()
		local, domain, _ := strings.Cut(owner.Email, "@")
		for i := range 12 {
			attacker, s := stoatest.NewCaller(), replicas[i%len(replicas)]
			spelling := fmt.Sprintf("%s+%d@%s", local, i, domain)
			refusals(t, replicas, attacker, 1, "accountRegister", stoatest.Input{"email": spelling, "password": stoatest.Password, "name": "Ada"})
			for _, address := range []string{owner.Email, spelling} {
				if p, err := attacker.Try(s, "passwordResetRequest", stoatest.Input{"email": address}); err != nil || p.Reason() != "" {
					t.Fatalf("a request for a reset is refused: %+v, %v", p, err)
				}
			}
		}
		for _, s := range replicas {
			s.Quiesce(t)
		}
	}
	codes := func() (all []string) {
		for _, l := range stoatest.MailsTo(stoatest.Mails(t, replicas...), owner.Email) {
			if l.Kind == "reset" {
				all = append(all, l.Code)
			}
		}
		return all
	}
	attack()
	first := codes()
	if len(first) != 3 {
		t.Fatalf("the owner got %d mails about resets, not 3", len(first))
	}
	if n := len(stoatest.Mails(t, replicas...)) - len(first); n > 10 {
		t.Errorf("other spellings of the address got %d mails", n)
	}
	stoatest.NewCaller().Do(t, replicas[1], "passwordResetRequest", stoatest.Input{"email": owner.Email})
	stoatest.NewCaller().Do(t, replicas[2], "passwordReset", stoatest.Input{"token": first[1], "password": "seven old lanterns"})
	for _, code := range first {
		if p, err := stoatest.NewCaller().Try(replicas[0], "passwordReset", stoatest.Input{"token": code, "password": stoatest.Password}); err != nil || p.Reason() != "TOKEN_INVALID" {
			t.Errorf("a code of before is answered %+v, %v", p, err)
		}
	}
	attack() // the codes of before are no use, so there are mails again
	if got := codes(); len(got) != 6 {
		t.Errorf("after a new password the owner has %d mails about resets, not 6", len(got))
	}
}
