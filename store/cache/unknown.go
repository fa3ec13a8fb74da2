package cache

// Writes with an unknown outcome: they failed, and may still happen. Entry points: trust.leaveUnknown
// after such a write; holdBlocks and dropProven end it.

import (
	"context"
	"time"

	"stoa/store/bus"
)

// holdEvery is the time between two announcements of the keys of writes with an unknown outcome: with
// one, a replica drops everything that it read before the write was made, in case it has been made.
const holdEvery = time.Second

// leaveUnknown notes that a write of keys has failed and may still happen: a majority may get it at any
// time. Until its outcome is proven, the keys stay blocked in Redis, so that values of them live for a
// second. Without Redis no value lives longer, and there is nothing to note.
func (t *trust) leaveUnknown(keys []string) {
	if t.redis == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for now := time.Now(); len(keys) > 0; keys = keys[1:] {
		t.unknown[keys[0]] = now
	}
}

// holdBlocks announces the keys of writes with an unknown outcome again and again.
func (t *trust) holdBlocks(ctx context.Context) {
	tick := time.NewTicker(holdEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t.mu.Lock()
		var keys []string
		if !t.degraded {
			keys = t.failedBefore(time.Now())
		}
		t.mu.Unlock()
		if len(keys) > 0 {
			_ = t.reannounced(ctx, t.redis.Hold(ctx, keys))
		}
	}
}

// failedBefore returns the keys of the writes with an unknown outcome that failed before a time. The
// caller holds mu.
func (t *trust) failedBefore(at time.Time) (keys []string) {
	for key, failed := range t.unknown {
		if failed.Before(at) {
			keys = append(keys, key)
		}
	}
	return keys
}

// provable reports whether a write to the registry that begins now would prove the outcome of a write
// that is unknown so far. A write that failed bus.BlockFor ago has reached the database or never will.
// The database has one order of writes: once a majority has a later one, it has the earlier one, too, or
// has lost it for ever.
func (t *trust) provable(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failedBefore(now.Add(-bus.BlockFor))) > len(t.failedBefore(t.proof.Add(-bus.BlockFor)))
}

// waitsForProof reports whether the outcome of a write isn't proven yet.
func (t *trust) waitsForProof() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failedBefore(t.proof.Add(-bus.BlockFor))) < len(t.unknown)
}

// dropProven drops the keys of writes of which the outcome has been proven, here and on all replicas.
// A degraded replica does so when it can announce again.
func (t *trust) dropProven(ctx context.Context) {
	t.mu.Lock()
	proven := t.proof.Add(-bus.BlockFor)
	var keys []string
	if !t.degraded {
		keys = t.failedBefore(proven)
	}
	t.mu.Unlock()
	if len(keys) == 0 || t.reannounced(ctx, t.redis.Drop(ctx, keys)) != nil {
		return
	}
	for _, key := range keys {
		t.cache.Drop(key)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		if t.unknown[key].Before(proven) {
			delete(t.unknown, key)
		}
	}
}
