package account

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"stoa/id"
)

const (
	// useSpacing is how often it is written down, at most, that a session was used.
	useSpacing = time.Minute
	// useDelay is how long a use waits for others, to be written down together.
	useDelay = 5 * time.Second
	// usesAtOnce is how many uses one command writes down.
	usesAtOnce = 1000
	// maxLastUses bounds the sessions with a last use in memory, and maxPending the uses that
	// wait to be written. Beyond them some are read again, and some aren't recorded. 16 MB
	// at most.
	maxLastUses = 100_000
	maxPending  = 10_000
)

// lastUses has the last uses of sessions that this replica has seen. It is safe for concurrent
// use; recording a use waits for nothing but a lock.
type lastUses struct {
	mu      sync.Mutex
	pending map[string]time.Time // by token, since anybody can name a session: to be written down
	known   map[id.ID]time.Time  // when a session was used last, as far as this replica knows
}

func newLastUses() *lastUses {
	return &lastUses{pending: map[string]time.Time{}, known: map[id.ID]time.Time{}}
}

// RecordUse records that a request brought a token, whether or not it was looked at. Run
// writes the use to the database if the token opens a session.
func (p *Service) RecordUse(token string) {
	session, _, ok := parseToken(token)
	if !ok {
		return
	}
	at := now()
	u := p.lastUses
	u.mu.Lock()
	defer u.mu.Unlock()
	if at.Sub(u.known[session]) < useSpacing {
		return
	}
	if _, there := u.pending[token]; there || len(u.pending) < maxPending {
		u.pending[token] = at
	}
}

// last is when a session was used last, as far as is known here; the zero Time where it
// isn't. What is pending doesn't count: whether it opened the session isn't known yet.
func (u *lastUses) last(session id.ID) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.known[session]
}

// learn keeps in mind when a session was used.
func (u *lastUses) learn(session id.ID, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.known) >= maxLastUses {
		clear(u.known)
	}
	if at.After(u.known[session]) {
		u.known[session] = at
	}
}

// take returns what is to be written down.
func (u *lastUses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.pending) == 0 {
		return nil
	}
	taken := u.pending
	u.pending = map[string]time.Time{}
	return taken
}

// writeLastUses writes down which sessions were used. What can't be written now is lost: the
// next use of the session makes up for it.
func (p *Service) writeLastUses(ctx context.Context) error {
	taken := p.lastUses.take()
	for tokens := range slices.Chunk(slices.Collect(maps.Keys(taken)), usesAtOnce) {
		viewers, err := p.authenticate(ctx, tokens)
		if err != nil {
			return err
		}
		at := map[id.ID]time.Time{}
		for i, v := range viewers {
			if v.SignedIn() {
				at[v.Session] = taken[tokens[i]]
			}
		}
		if err := p.store.RecordLastUses(ctx, at, useSpacing); err != nil {
			return err
		}
		for session, t := range at {
			p.lastUses.learn(session, t)
		}
	}
	return nil
}
