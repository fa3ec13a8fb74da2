// Package responsecache is the step of a request that answers it without executing it: Cache.Serve
// writes a cached response, found before anything is parsed, and Cache.Respond executes an operation
// once for all equal requests at that time. Only public responses are cached, whole, as they are
// written; package store/cache tells whether one is still valid.
//
// It may import operation, envelope and document for execution, client and wire for
// writing, and store/cache.
package responsecache

// This file has the cache itself: its entries by Key, bounded by their bytes. entry.go has one
// entry, flight.go how a request comes by one.

import (
	"bytes"
	"hash/maphash"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"stoa/gateway/operation"
	"stoa/gateway/wire"
	"stoa/store/cache"
)

const (
	// shards is how many maps the entries are in, so that requests seldom meet.
	shards = 64

	// entryOverhead is the memory of an entry beside the room for its bytes and 4 for each name
	// that it depends on: its fields, and its places in the maps (TestMemoryOfAnEntry).
	entryOverhead = 500

	// maxDeps is the most names that a cached response may depend on: one with the largest
	// pages has some thousands.
	maxDeps = 4000

	// maxAliases is how many keys an entry has besides its canonical one.
	maxAliases = 4

	// maxTags is the size of a header that lists a response's tags, in bytes. There are two of
	// them, and nginx takes no more than 4 KiB of headers unless told otherwise.
	maxTags = 1500
)

// Key is a hash of a request, of 128 bits and under random seeds: nobody can look for two
// requests that have the same.
type Key struct{ a, b uint64 }

// Options tell a Cache its bounds, and the pipeline in front of which it stands.
type Options struct {
	// Cache tells which responses are still valid. Without it nothing is shared: every request is
	// executed.
	Cache *cache.Cache

	// Bytes bounds the entries. With 0 only requests at the same time share a response.
	Bytes int64

	// Timeout is how long the renewal of an entry may take.
	Timeout time.Duration

	Codec    *wire.Codec
	Pipeline *operation.Pipeline

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Cache has the responses that are cached, and those that are being made. It is safe for concurrent
// use.
type Cache struct {
	cache    *cache.Cache
	limit    int64 // bytes
	timeout  time.Duration
	codec    *wire.Codec
	pipeline *operation.Pipeline
	now      func() time.Time
	seeds    [2]maphash.Seed

	shards [shards]shard

	mu    sync.Mutex // after it, a shard's may be taken; never before
	ring  []*Entry
	hand  int
	bytes int64

	making  sync.Mutex
	flights map[Key]*flight

	// private has the keys of responses that were private or failed the last time. Requests for these
	// don't wait for one another: a private response can't be shared.
	private [1 << 10]atomic.Uint64

	draining   atomic.Bool
	background sync.WaitGroup // of entries that are being renewed
	renewals   chan struct{}  // has an element for each of them
	hits, made atomic.Int64
}

type shard struct {
	mu      sync.RWMutex
	entries map[Key]*Entry
	_       [32]byte // each in a cache line of its own
}

// New returns an empty cache.
func New(o Options) *Cache {
	c := &Cache{
		cache: o.Cache, limit: o.Bytes, timeout: o.Timeout, codec: o.Codec, pipeline: o.Pipeline, now: o.Now,
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, flights: map[Key]*flight{}, renewals: make(chan struct{}, max(runtime.GOMAXPROCS(0)-1, 1)),
	}
	if c.now == nil {
		c.now = time.Now
	}
	for i := range c.shards {
		c.shards[i].entries = map[Key]*Entry{}
	}
	return c
}

// Counts are the requests so far that could have a cached response, and the entries.
type Counts struct {
	Hits    int64 // were answered by an entry
	Made    int64 // had their response executed
	Entries int   // that there are now
	Keys    int   // of these entries
	Size    int64 // of them, in bytes, estimated
	Flights int   // responses that are being made, and that others may wait for
}

// Counts returns the present counts.
func (c *Cache) Counts() Counts {
	now := Counts{Hits: c.hits.Load(), Made: c.made.Load()}
	c.making.Lock()
	now.Flights = len(c.flights)
	c.making.Unlock()
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		now.Keys += len(s.entries)
		s.mu.RUnlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now.Entries, now.Size = len(c.ring), c.bytes
	return now
}

// Drain ends renewals: none begins from now on.
func (c *Cache) Drain() { c.draining.Store(true) }

// Wait returns when no entry is being renewed.
func (c *Cache) Wait() { c.background.Wait() }

func (c *Cache) hash(text []byte) Key {
	return Key{maphash.Bytes(c.seeds[0], text), maphash.Bytes(c.seeds[1], text)}
}

// get returns the entry under id; nil for none.
func (c *Cache) get(id Key) *Entry {
	s := &c.shards[id.a%shards]
	s.mu.RLock()
	e := s.entries[id]
	s.mu.RUnlock()
	return e
}

func (c *Cache) set(id Key, e *Entry) {
	s := &c.shards[id.a%shards]
	s.mu.Lock()
	s.entries[id] = e
	s.mu.Unlock()
}

// unset removes the key id if its entry is e.
func (c *Cache) unset(id Key, e *Entry) {
	s := &c.shards[id.a%shards]
	s.mu.Lock()
	if s.entries[id] == e {
		delete(s.entries, id)
	}
	s.mu.Unlock()
}

// put caches e under its canonical key, and under all other keys of the entry that it replaces.
func (c *Cache) put(id Key, e *Entry) {
	if e.size > c.limit/4 {
		return // it would push out too many others
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.keys = []Key{id}
	if old := c.get(id); old != nil {
		c.remove(old)
		e.keys = old.keys
	}
	e.position = len(c.ring)
	c.ring = append(c.ring, e)
	c.bytes += e.size
	for _, id := range e.keys {
		c.set(id, e)
	}
	c.evict()
}

// Alias makes e found by another key, too.
func (c *Cache) Alias(id Key, e *Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.position < 0 || len(e.keys) > maxAliases {
		return
	}
	if old := c.get(id); old != nil {
		if old == e {
			return
		}
		c.remove(old)
	}
	e.keys = append(e.keys, id)
	c.set(id, e)
}

// grow notes that e takes n bytes more.
func (c *Cache) grow(e *Entry, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.size += int64(n); e.position >= 0 {
		c.bytes += int64(n)
		c.evict()
	}
}

// remove forgets e. The caller holds mu.
func (c *Cache) remove(e *Entry) {
	if e.position < 0 {
		return
	}
	for _, id := range e.keys {
		c.unset(id, e)
	}
	last := c.ring[len(c.ring)-1]
	c.ring[e.position], last.position = last, e.position
	c.ring[len(c.ring)-1] = nil
	c.ring = c.ring[:len(c.ring)-1]
	c.bytes -= e.size
	e.position = -1
}

// evict removes entries until the others fit: those that are no longer valid, and those that
// weren't asked for since it last came by. The caller holds mu.
func (c *Cache) evict() {
	for c.bytes > c.limit && len(c.ring) > 0 {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		e := c.ring[c.hand]
		if isNew, isOld := e.fresh(c.now().UnixNano()); (isNew || isOld) && e.used.Swap(false) {
			c.hand++
			continue
		}
		c.remove(e) // the youngest takes its place in the ring, and isn't looked at yet
		c.hand++
	}
}

// Key returns the key by which a response is found before anything is parsed: a hash of all of the
// request that a response can depend on. It is put together behind the body in buffer, which is left
// as it was.
func (c *Cache) Key(r *http.Request, media wire.MediaType, body *bytes.Buffer) Key {
	if c.cache == nil {
		return Key{}
	}
	n := body.Len()
	get := byte('P')
	if r.Method != http.MethodPost {
		get = 'G'
	}
	body.WriteString(r.URL.RawQuery)
	body.WriteByte(0)
	body.WriteString(r.URL.Path)
	body.WriteByte(0)
	body.WriteString(string(media))
	body.Write([]byte{get, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	id := c.hash(body.Bytes())
	body.Truncate(n)
	return id
}
