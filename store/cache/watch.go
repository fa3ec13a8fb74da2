package cache

import (
	"sync"
	"time"
)

// watches are those who want to hear when a key is dropped.
type watches struct {
	mu    sync.RWMutex
	byKey map[string]map[chan struct{}]struct{}
}

// Watch returns a channel that gets a value soon after key was dropped, here or by another
// replica, and after a flush; several drops may be one value. What is read from the database
// after the last of a write's drops is as it was written; one drop comes before that. It
// lasts until stop is called.
//
// A drop that can't reach this replica is seen by nobody: while Sure is false, who watches
// has to look for himself.
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

// Sure says whether this replica hears of every change in good time.
func (c *Cache) Sure() bool { return c.trusted(time.Now().UnixNano()) }

// wake tells who watches key.
func (c *Cache) wake(key string) {
	c.watches.mu.RLock()
	defer c.watches.mu.RUnlock()
	for w := range c.watches.byKey[key] {
		nudge(w)
	}
}

// wakeAll tells everybody.
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
