package account

// The last use of each session, by which idle sessions end. Requests call RecordUse, which
// only takes a lock; Run calls writeLastUses, and authenticate reads last.

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"stoa/id"
	"stoa/store"
)

const (
	// useSpacing is the least time between two recorded uses of one session.
	useSpacing = time.Minute
	// useDelay is the longest time that a use waits in memory, to be written with others.
	useDelay = 5 * time.Second
	// usesAtOnce is the most uses that one command writes.
	usesAtOnce = 1000
	// maxLastUses bounds the sessions whose last use is in memory; beyond it, last uses are
	// read from the database again. maxPending bounds the uses waiting to be written; beyond
	// it, uses are dropped. Both together take at most 16 MB.
	// A full map of last uses is emptied: an lru.Cache would take twice the memory for an entry,
	// and its owner would lock it for longer in each request.
	maxLastUses = 100_000
	maxPending  = 10_000
)

// lastUses holds the last uses of the sessions that this replica has seen. It is safe for
// concurrent use; to record a use takes one lock and no I/O.
type lastUses struct {
	mu      sync.Mutex
	pending map[string]time.Time // uses to be written; by token, since a session's id is not secret and a token may be forged
	known   map[id.ID]time.Time  // the last use of each session that this replica has read or written
}

func newLastUses() *lastUses {
	return &lastUses{pending: map[string]time.Time{}, known: map[id.ID]time.Time{}}
}

// RecordUse records that a request carried a token, before the token is checked. Run writes
// the use to the database if the token is a session's.
func (p *Service) RecordUse(token string) {
	session, _, ok := parseToken(token)
	if !ok {
		return
	}
	at := store.Now()
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

// last returns a session's last use as far as this replica has it, else the zero Time. Pending
// uses don't count, since their tokens have not been checked yet.
func (u *lastUses) last(session id.ID) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.known[session]
}

// learn remembers a session's last use; an older time than the one remembered changes nothing.
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

// take returns the pending uses and empties the list.
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

// writeLastUses writes the pending uses of valid tokens. If the write fails they are lost: the
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
