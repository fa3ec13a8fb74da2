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
	// maxUses is how many sessions are kept in mind, and maxPending how many uses wait to be
	// written down: past them, some are read again, and some aren't noted. 16 MB at most.
	maxUses    = 100_000
	maxPending = 10_000
)

// uses is which sessions this replica has seen used. It is safe for concurrent use, and
// noting a use never waits for anything but a lock.
type uses struct {
	mu      sync.Mutex
	pending map[string]time.Time // by token, since anybody can name a session: to be written down
	known   map[id.ID]time.Time  // when a session was used last, as far as this replica knows
}

func newUses() *uses {
	return &uses{pending: map[string]time.Time{}, known: map[id.ID]time.Time{}}
}

// Use notes that a request brought a token, whether or not anybody looked at it. Run writes
// it down where the token opens a session.
func (p *Service) Use(token string) {
	session, _, ok := parseToken(token)
	if !ok {
		return
	}
	at := now()
	u := p.uses
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
func (u *uses) last(session id.ID) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.known[session]
}

// learn keeps in mind when a session was used.
func (u *uses) learn(session id.ID, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.known) >= maxUses {
		clear(u.known)
	}
	if at.After(u.known[session]) {
		u.known[session] = at
	}
}

// take returns what is to be written down.
func (u *uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.pending) == 0 {
		return nil
	}
	taken := u.pending
	u.pending = map[string]time.Time{}
	return taken
}

// writeUses writes down which sessions were used. What can't be written now is lost: the
// next use of the session makes up for it.
func (p *Service) writeUses(ctx context.Context) error {
	taken := p.uses.take()
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
		if err := p.store.NoteUses(ctx, at, useSpacing); err != nil {
			return err
		}
		for session, t := range at {
			p.uses.learn(session, t)
		}
	}
	return nil
}
