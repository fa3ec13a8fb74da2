// Package lru has the cache for values that a process can make again: bounded in bytes and in
// entries, with the least recently used entries evicted first. It imports nothing of ours. Entry
// points: New, Cache.Get, Cache.Add.
package lru

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Cache is a bounded map. It is not safe for concurrent use: its owner holds a lock.
type Cache[K comparable, V any] struct {
	list     *simplelru.LRU[K, V]
	size     func(K, V) int
	maxBytes int
	bytes    int // the sizes of all entries
}

// New returns a cache of at most entries entries (0 for any number) and at most maxBytes bytes, the
// sum of their sizes. The size of an entry must stay the same while it is in the cache.
func New[K comparable, V any](entries, maxBytes int, size func(K, V) int) *Cache[K, V] {
	if entries <= 0 {
		entries = math.MaxInt
	}
	c := &Cache[K, V]{size: size, maxBytes: maxBytes}
	// The only error is about a size that isn't positive.
	c.list, _ = simplelru.NewLRU(entries, func(k K, v V) { c.bytes -= size(k, v) })
	return c
}

// Get returns the value of k, which is the most recently used from then on.
func (c *Cache[K, V]) Get(k K) (V, bool) { return c.list.Get(k) }

// Contains reports whether k has a value. It doesn't count as a use of the entry.
func (c *Cache[K, V]) Contains(k K) bool { return c.list.Contains(k) }

// Add stores v under k in the place of an earlier value, and evicts others until all fit. A value
// that is larger than the whole cache is not stored.
func (c *Cache[K, V]) Add(k K, v V) {
	c.list.Remove(k)
	size := c.size(k, v)
	if size > c.maxBytes {
		return
	}
	c.list.Add(k, v)
	c.bytes += size
	for c.bytes > c.maxBytes {
		c.list.RemoveOldest()
	}
}

// Clear evicts everything.
func (c *Cache[K, V]) Clear() { c.list.Purge() }

// Len is the number of entries.
func (c *Cache[K, V]) Len() int { return c.list.Len() }

// Bytes is the sum of the sizes of all entries.
func (c *Cache[K, V]) Bytes() int { return c.bytes }
