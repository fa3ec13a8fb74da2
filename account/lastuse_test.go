package account

// Tests of the last uses of sessions, in memory until they are written.

import (
	"sync"
	"testing"
	"time"

	"stoa/id"
	"stoa/store"
)

func TestUsesAreRecordedAMinuteApart(t *testing.T) {
	p := &Service{lastUses: newLastUses()}
	session, s := id.New(id.Session), newSecret()
	token := tokenOf(session, s)
	for _, never := range []string{"", "stoa_", "nobody's"} {
		p.RecordUse(never)
	}
	if taken := p.lastUses.take(); len(taken) != 0 {
		t.Errorf("what was never a token is to be written down: %v", taken)
	}
	p.RecordUse(token)
	first := p.lastUses.pending[token]
	p.lastUses.pending[token] = first.Add(-time.Second)
	p.RecordUse(token)
	taken := p.lastUses.take()
	if len(taken) != 1 || taken[token].Before(first) {
		t.Errorf("two uses are to be written down as %v; the newest was at %s", taken, first)
	}
	if again := p.lastUses.take(); len(again) != 0 {
		t.Errorf("and once more as %v", again)
	}
	if at := p.lastUses.last(session); !at.IsZero() {
		t.Errorf("before it was written down, a use counts as of %s", at)
	}
	cases := map[string]struct {
		reason string
		before time.Duration
		noted  bool
	}{
		"JustNoted":  {"another replica, or this one, has noted it", 0, false},
		"WithinIt":   {"a minute isn't over", useSpacing - 5*time.Second, false},
		"AMinuteAgo": {"it is", useSpacing + time.Second, true},
		"LongAgo":    {"it is", 24 * time.Hour, true},
		"ClockAhead": {"another replica's clock may be ahead", -2 * time.Second, false},
	}
	for name, c := range cases {
		p := &Service{lastUses: newLastUses()}
		p.lastUses.learn(session, store.Now().Add(-c.before))
		p.RecordUse(token)
		if noted := len(p.lastUses.take()) == 1; noted != c.noted {
			t.Errorf("%s (%s): noted is %t", name, c.reason, noted)
		}
	}
}

// A session's id is not secret. A forged token for it must not displace the use with the valid
// token.
func TestForgedTokenHidesNoUse(t *testing.T) {
	p := &Service{lastUses: newLastUses()}
	session := id.New(id.Session)
	right, madeUp := tokenOf(session, newSecret()), tokenOf(session, newSecret())
	p.RecordUse(right)
	p.RecordUse(madeUp)
	if taken := p.lastUses.take(); taken[right].IsZero() {
		t.Errorf("what is to be looked at and written down is %v", taken)
	}
}

func TestLastUseOnlyMovesForward(t *testing.T) {
	u := newLastUses()
	session, at := id.New(id.Session), store.Now()
	for _, d := range []time.Duration{0, -time.Hour, time.Minute, -time.Minute, time.Second} {
		u.learn(session, at.Add(d))
	}
	if got := u.last(session); !got.Equal(at.Add(time.Minute)) {
		t.Errorf("the last use was at %s, not %s", got, at.Add(time.Minute))
	}
	if got := u.last(id.New(id.Session)); !got.IsZero() {
		t.Errorf("a session that nobody knows was used at %s", got)
	}
}

func TestUsesAreBounded(t *testing.T) {
	p := &Service{lastUses: newLastUses()}
	secret := newSecret()
	var first string
	var newest id.ID
	for i := range maxLastUses + 100 {
		newest = id.New(id.Session)
		token := tokenOf(newest, secret)
		if i == 0 {
			first = token
		}
		p.RecordUse(token)
		p.lastUses.learn(newest, store.Now())
	}
	if n := len(p.lastUses.pending); n != maxPending {
		t.Errorf("%d are to be written down, and %d is the most", n, maxPending)
	}
	if n := len(p.lastUses.known); n > maxLastUses {
		t.Errorf("%d are known, and %d is the most", n, maxLastUses)
	}
	if p.lastUses.last(newest).IsZero() {
		t.Error("the newest isn't known")
	}
	// A session with a pending use is still renewed.
	before := store.Now().Add(-time.Hour)
	p.lastUses.pending[first] = before
	session, _, _ := parseToken(first)
	delete(p.lastUses.known, session)
	p.RecordUse(first)
	if !p.lastUses.pending[first].After(before) {
		t.Error("with many to be written down, a newer use of the same is lost")
	}
	p.lastUses.take()
	p.RecordUse(tokenOf(id.New(id.Session), secret))
	if n := len(p.lastUses.take()); n != 1 {
		t.Errorf("after they were written down, %d more are noted of 1", n)
	}
}

func TestConcurrentUses(t *testing.T) {
	p := &Service{lastUses: newLastUses()}
	tokens := make([]string, 50)
	for i := range tokens {
		tokens[i] = tokenOf(id.New(id.Session), newSecret())
	}
	seen := map[string]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for k := range 8 {
		all.Go(func() {
			for i := range 2000 {
				p.RecordUse(tokens[(i+k)%len(tokens)])
				if i%100 == 0 {
					for token, at := range p.lastUses.take() {
						mu.Lock()
						seen[token] = true
						mu.Unlock()
						session, _, _ := parseToken(token)
						p.lastUses.learn(session, at)
					}
				}
			}
		})
	}
	all.Wait()
	for token := range p.lastUses.take() {
		seen[token] = true
	}
	if len(seen) != len(tokens) {
		t.Errorf("%d of %d sessions were noted", len(seen), len(tokens))
	}
}

func BenchmarkUse(b *testing.B) {
	p := &Service{lastUses: newLastUses()}
	session, s := id.New(id.Session), newSecret()
	token := tokenOf(session, s)
	p.lastUses.learn(session, store.Now())
	b.ReportAllocs()
	for b.Loop() {
		p.RecordUse(token)
	}
}
