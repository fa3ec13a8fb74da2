package cache

// Watching single keys, for subscriptions. Entry points: Cache.Watch, Cache.Sure.

import (
	"sync"
	"time"
)

// watches are the channels that hear of drops, by key.
type watches struct {
	mu    sync.RWMutex
	byKey map[string]map[chan struct{}]struct{}
}

// Watch returns a channel that gets a value soon after key was dropped, here or by another replica,
// and after a flush; several drops may be one value. A read from the database after the last drop
// of a write sees the write; one drop comes before that. It lasts until stop is called.
//
// Nobody sees a drop that can't reach this replica: while Sure is false, callers have to look for
// changes themselves.
func (c *Cache) Watch(key string) (dropped <-chan struct{}, stop func()) {
	w := make(chan struct{}, 1)
	c.watches.mu.Lock()
	defer c.watches.mu.Unlock()
	if c.watches.byKey == nil {
		c.watches.byKey = map[string]map[chan struct{}]struct{}{}
	}
	if c.watches.byKey[key] == nil {
		c.watches.byKey[key] = map[chan struct{}]struct{}{}
	}
	c.watches.byKey[key][w] = struct{}{}
	return w, func() {
		c.watches.mu.Lock()
		defer c.watches.mu.Unlock()
		delete(c.watches.byKey[key], w)
		if len(c.watches.byKey[key]) == 0 {
			delete(c.watches.byKey, key)
		}
	}
}

// Sure reports whether this replica hears of every change in good time.
func (c *Cache) Sure() bool { return c.hears(time.Now().UnixNano()) }

// wake tells the watchers of key.
func (c *Cache) wake(key string) {
	c.watches.mu.RLock()
	defer c.watches.mu.RUnlock()
	for w := range c.watches.byKey[key] {
		nudge(w)
	}
}

// wakeAll tells all watchers.
func (c *Cache) wakeAll() {
	c.watches.mu.RLock()
	defer c.watches.mu.RUnlock()
	for _, ws := range c.watches.byKey {
		for w := range ws {
			nudge(w)
		}
	}
}

// nudge leaves a value in w, unless there is one.
func nudge(w chan struct{}) {
	select {
	case w <- struct{}{}:
	default:
	}
}
