package store

// Accounts and sessions: secrets outside of the caches, last uses, mail codes and mails.

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
)

const anyKey = "0123456789abcdef0123456789abcdef"

func account(email string) *Secret {
	return &Secret{PasswordHash: "hash", Account: Account{ID: id.New(id.Account), Email: email, Name: "Ada", Role: access.Customer, Version: 1}}
}

func TestOfTwoAccountsWithOneAddressThereIsOne(t *testing.T) {
	s := openStore(t, nil)
	var group sync.WaitGroup
	refused := make([]error, 8)
	for i := range refused {
		group.Go(func() { refused[i] = s.AddAccount(t.Context(), account("ada@example.org")) })
	}
	group.Wait()
	added := 0
	for _, err := range refused {
		switch {
		case err == nil:
			added++
		case !problem.Is(err, problem.Conflict):
			t.Error(err)
		}
	}
	if added != 1 {
		t.Errorf("%d accounts have one address", added)
	}
	other := account("grace@example.org")
	check(t, s.AddAccount(t.Context(), other))
	after := *other
	after.Email = "ada@example.org"
	if err := s.ChangeAccount(t.Context(), other, &after); !problem.Is(err, problem.Conflict) {
		t.Errorf("the address of another account was taken: %v", err)
	}
}

// The password hash is in no cache: neither in the process nor in Redis.
func TestAHashIsReadFromTheDatabaseAlone(t *testing.T) {
	a := account("ada@example.org")
	written, err := encode(&a.Account)
	check(t, err)
	if bytes.Contains(written, []byte(a.PasswordHash)) {
		t.Errorf("what is cached of an account holds its hash: %q", written)
	}
}

func TestEndedSessionsCannotBeRecreated(t *testing.T) {
	s := openStore(t, nil)
	owner := account("ada@example.org")
	check(t, s.AddAccount(t.Context(), owner))
	x := &Session{ID: id.New(id.Session), AccountID: owner.ID, Device: "phone", Address: "192.0.2.1", EndsAt: time.Now().Add(time.Hour)}
	check(t, s.AddSession(t.Context(), x))
	found, owners, err := s.Identify(t.Context(), []id.ID{id.New(id.Session), x.ID})
	check(t, err)
	if found[0] != nil || owners[0] != nil || found[1] == nil || owners[1] == nil || owners[1].ID != owner.ID {
		t.Fatalf("identified %v of %v", found, owners)
	}
	check(t, s.EndSessions(t.Context(), []*Session{x}))
	if err := s.AddSession(t.Context(), x); !problem.Is(err, problem.Conflict) {
		t.Errorf("it was added again: %v", err)
	}
	found, _, err = s.Identify(t.Context(), []id.ID{x.ID})
	check(t, err)
	if !found[0].Ended || found[0].Device != "" || found[0].Address != "" {
		t.Errorf("of the ended session there is %+v", found[0])
	}
	open, err := s.SessionsUnder(t.Context(), owner.ID)
	check(t, err)
	if len(open) != 0 {
		t.Errorf("open are %v", open)
	}
}

// Of uses close together one is stored, reported by any replica, in any order.
func TestUsesAreNotedAtMostOnceAMinute(t *testing.T) {
	s := openStore(t, nil)
	x := id.New(id.Session)
	cases := []struct {
		reason   string
		at, want int // seconds
	}{
		{"the first", 100, 100},
		{"too soon after it", 159, 100},
		{"a minute after it", 160, 160},
		{"another replica's, that comes late", 90, 160},
		{"far later", 1000, 1000},
	}
	for _, c := range cases {
		check(t, s.RecordLastUses(t.Context(), map[id.ID]time.Time{x: second(c.at), id.New(id.Session): second(c.at)}, time.Minute))
		found, err := s.LastUses(t.Context(), []id.ID{id.New(id.Session), x})
		check(t, err)
		if found[0] != nil || found[1] == nil || !found[1].At.Equal(second(c.want)) {
			t.Errorf("%s, at %d: noted %v, want %d", c.reason, c.at, found, c.want)
		}
	}
}

func TestIdempotencyKeyIsBoundToItsInput(t *testing.T) {
	s := openStore(t, nil)
	first := IdempotencyRecord{Caller: "ada", Key: anyKey, Mutation: "cartCreate", Input: []string{"one"}}
	made, err := s.RecordIdempotency(t.Context(), first)
	check(t, err)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if again, err := s.RecordIdempotency(t.Context(), first); err != nil || !again.Equal(made) {
				t.Errorf("an equal record is of %v, %v; the first of %v", again, err, made)
			}
		})
	}
	group.Wait()
	cases := map[string]struct {
		reason string
		change func(*IdempotencyRecord)
		code   problem.Code
	}{
		"OtherInput":    {"the key came with another input", func(c *IdempotencyRecord) { c.Input = []string{"two"} }, problem.KeyReused},
		"OtherMutation": {"the key came with another mutation", func(c *IdempotencyRecord) { c.Mutation = "cartDelete" }, problem.KeyReused},
		"OtherCaller":   {"another caller's keys are others", func(c *IdempotencyRecord) { c.Caller = "grace"; c.Input = "x" }, ""},
		"OtherKey":      {"another key is free", func(c *IdempotencyRecord) { c.Key = anyKey + "1"; c.Input = "x" }, ""},
		"Short":         {"a key has 128 bits", func(c *IdempotencyRecord) { c.Key = "123456789012345678901" }, problem.Invalid},
		"Long":          {"a key has an end", func(c *IdempotencyRecord) { c.Key = fmt.Sprintf("%0129d", 1) }, problem.Invalid},
		"Spaced":        {"a key is one word", func(c *IdempotencyRecord) { c.Key = "0123456789 0123456789 0123456789" }, problem.Invalid},
	}
	for name, c := range cases {
		record := first
		c.change(&record)
		_, err := s.RecordIdempotency(t.Context(), record)
		if c.code == "" && err != nil || c.code != "" && !problem.Is(err, c.code) {
			t.Errorf("%s: %v although %s", name, err, c.reason)
		}
	}
}

func TestCodesHaveOnePurposeAndExpire(t *testing.T) {
	s := openStore(t, nil)
	check(t, s.AddMailCode(t.Context(), &MailCode{Hash: "a", Kind: CodeToReset, EndsAt: second(100)}))
	for name, c := range map[string]struct {
		kind MailCodeKind
		hash string
		at   int
		good bool
	}{
		"Good":      {CodeToReset, "a", 99, true},
		"Ended":     {CodeToReset, "a", 100, false},
		"OtherKind": {CodeToVerify, "a", 99, false},
		"Unknown":   {CodeToReset, "b", 99, false},
	} {
		if _, err := s.MailCode(t.Context(), c.kind, c.hash, second(c.at)); (err == nil) != c.good || err != nil && !problem.Is(err, problem.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	deleted := 0
	for range 3 {
		if mine, err := s.DeleteMailCode(t.Context(), "a"); err != nil {
			t.Error(err)
		} else if mine {
			deleted++
		}
	}
	if deleted != 1 {
		t.Errorf("one code was used up %d times", deleted)
	}
}

func TestAMailIsOneReplicasToSend(t *testing.T) {
	s := openStore(t, nil)
	l := &OutgoingMail{ID: id.New(id.Mail), Kind: RegisterMail, To: "ada@example.org", PasswordHash: "hash", CreatedAt: second(0), NextAt: second(10)}
	check(t, s.AddMail(t.Context(), l))
	check(t, s.AddMail(t.Context(), l)) // asked for once more
	at, ok, err := s.NextMail(t.Context())
	check(t, err)
	if !ok || !at.Equal(second(10)) {
		t.Errorf("the next letter is due at %v, %t", at, ok)
	}
	due, err := s.DueMails(t.Context(), second(9))
	check(t, err)
	if len(due) != 0 {
		t.Errorf("%d letters are due too early", len(due))
	}
	due, err = s.DueMails(t.Context(), second(10))
	check(t, err)
	if len(due) != 1 {
		t.Fatalf("%d letters are due", len(due))
	}
	taken := 0
	for range 3 {
		if mine, err := s.TakeMail(t.Context(), due[0], second(70)); err != nil {
			t.Error(err)
		} else if mine {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("%d replicas have taken one letter", taken)
	}
	check(t, s.RescheduleMail(t.Context(), l.ID, second(40)))
	if at, _, _ = s.NextMail(t.Context()); !at.Equal(second(40)) {
		t.Errorf("a letter that was put off is due at %v", at)
	}
	check(t, s.CloseMail(t.Context(), l.ID))
	if _, ok, _ = s.NextMail(t.Context()); ok {
		t.Error("a letter that was sent is due")
	}
	check(t, s.AddMail(t.Context(), l)) // a repeated request doesn't send it again
	if _, ok, _ = s.NextMail(t.Context()); ok {
		t.Error("a letter that was sent is due again")
	}
}

func TestASweepTakesWhatHasEndedAndNothingElse(t *testing.T) {
	s := openStore(t, nil)
	owner := account("ada@example.org")
	check(t, s.AddAccount(t.Context(), owner))
	session := func(endsAt, used int) *Session {
		x := &Session{ID: id.New(id.Session), AccountID: owner.ID, EndsAt: second(endsAt)}
		check(t, s.AddSession(t.Context(), x))
		if used > 0 {
			check(t, s.RecordLastUses(t.Context(), map[id.ID]time.Time{x.ID: second(used)}, time.Minute))
		}
		return x
	}
	fresh, unused, ended, idle := session(1000, 400), session(1000, 0), session(500, 400), session(1000, 100)
	check(t, s.AddMailCode(t.Context(), &MailCode{Hash: "old", Kind: CodeToReset, EndsAt: second(400)}))
	check(t, s.AddMailCode(t.Context(), &MailCode{Hash: "new", Kind: CodeToReset, EndsAt: second(600)}))
	check(t, s.Sweep(t.Context(), second(500), second(300)))
	left, err := s.SessionsUnder(t.Context(), owner.ID)
	check(t, err)
	have := map[id.ID]bool{}
	for _, x := range left {
		have[x.ID] = true
	}
	if !have[fresh.ID] || !have[unused.ID] || have[ended.ID] || have[idle.ID] {
		t.Errorf("of fresh, unused, ended and idle are left %t, %t, %t, %t", have[fresh.ID], have[unused.ID], have[ended.ID], have[idle.ID])
	}
	if _, err := s.MailCode(t.Context(), CodeToReset, "old", second(0)); !problem.Is(err, problem.NotFound) {
		t.Errorf("the code that has ended: %v", err)
	}
	if _, err := s.MailCode(t.Context(), CodeToReset, "new", second(0)); err != nil {
		t.Errorf("the code that hasn't: %v", err)
	}
}
