// Package cache stores results of the database in two tiers: in the process and in Redis. After a
// change made through it, the old value is never returned on the replica that made the change, and
// on others for at most 100 ms (p99). docs/architecture.md has the protocol; model_test.go checks
// it in every interleaving of a small world.
//
// It knows nothing of documents. It may import store/bus and problem, nothing else of ours. Entry
// points: New, Table for reads, Write for changes, Watch.
package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"stoa/problem"
	"stoa/store/bus"
)

const (
	// lifetime bounds the life of an entry, and so the staleness after somebody changes the
	// database behind Stoa's back. It is up to a tenth shorter, at random, so that entries filled
	// together don't expire together.
	lifetime = 10 * time.Minute

	// absentLife is lifetime for absent things in Redis, and absentShare their part of the memory in the
	// process. Anybody can ask for things that don't exist, and each such question has another key.
	absentLife  = 30 * time.Second
	absentShare = 16

	// shortLife is the life of an entry in the process while this replica may miss changes.
	shortLife = time.Second

	// WriteLimit bounds a write to the database. bus.BlockFor is longer.
	WriteLimit = 2 * time.Second

	// loadLimit bounds a load, which goes on without the request that began it while others wait.
	loadLimit = 5 * time.Second

	// stripes is the size of the table of drops, 8 bytes each. Two keys on one stripe cost a
	// comparison of single drops now and then.
	stripes = 1 << 16

	// remembered is the number of latest drops known by their own keys, 4 bytes each: reads that are
	// checked again before so many other drops fail for their own keys only.
	remembered = 1 << 14
)

// errAbandoned is the error of a load that was cancelled because nobody waited for it any more. A read
// that came after that loads anew.
var errAbandoned = errors.New("nobody waits for this load")

// ErrNotInMemory is the error of a read under MemoryOnly that would have to wait.
var ErrNotInMemory = errors.New("not in the process's memory")

type memoryOnly struct{}

// MemoryOnly returns a context under which reads return results from the process's memory, or
// ErrNotInMemory, without waiting for anything.
func MemoryOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, memoryOnly{}, true)
}

// IsMemoryOnly reports whether reads under ctx may not wait.
func IsMemoryOnly(ctx context.Context) bool { return ctx.Value(memoryOnly{}) != nil }

// Waiting returns a context under which reads wait, in spite of MemoryOnly: for results that live
// longer than the look into memory.
func Waiting(ctx context.Context) context.Context {
	if !IsMemoryOnly(ctx) {
		return ctx
	}
	return context.WithValue(ctx, memoryOnly{}, nil)
}

// Options configure a cache.
type Options struct {
	// Bytes bounds the tier in the process.
	Bytes int64
	// Redis is the second tier and carries messages to other replicas; nil without Redis.
	Redis *bus.Connection
	// Namespace separates the keys of several databases in one Redis.
	Namespace string
	// Exclusive says that this process makes every write to the database, itself or through the
	// embedded server, which reports writes of other clients. Entries then live until they are
	// dropped, and Redis isn't used.
	Exclusive bool
	// Registry has the markers and trust leases of replicas, in the database; nil when Exclusive.
	Registry *Registry
	Log      *slog.Logger
}

// Cache is the two tiers of one replica.
type Cache struct {
	seed  maphash.Seed
	seq   atomic.Uint64             // goes up with every drop, after the fields below have it
	floor atomic.Uint64             // seq of the last flush
	drops [stripes]atomic.Uint64    // seq of the last drop on each stripe
	last  [remembered]atomic.Uint32 // of the drop with each seq, modulo: the hash of its key

	dropping sync.Mutex // held while seq goes up

	tier1          *ristretto.Cache[string, *entry] // of things that exist
	absent         *ristretto.Cache[string, *entry] // of things that don't; a key is in one of the two
	tier2          *tier2                           // nil without Redis
	bus            bus.Bus
	trust          *trust       // nil when Exclusive
	uncertainUntil atomic.Int64 // when Exclusive: Unix nanoseconds until which a write with an unknown outcome may still happen

	// doubts counts the reads and loads that found this replica without trust; settled is the count at
	// the last flush for that reason. See trusted.
	doubts, settled atomic.Uint64

	mu      sync.Mutex
	flights map[string]*flight

	watches watches

	closing sync.RWMutex // read-locked by users of tier1 and absent, so that nobody uses them while they are being closed

	counts counts
}

// entry is one value in the process.
type entry struct {
	reads
	value   any   // *T, nil for an absent thing
	loaded  int64 // Unix nanoseconds before the first read that made it
	expires int64 // Unix nanoseconds
}

// flight is one key of a load under way that others may wait for.
type flight struct {
	reads
	load   *underway
	loaded int64
	done   chan struct{}
	entry  *entry // nil when err is set
	err    error

	replaced bool // another load has taken its place; under Cache.mu
}

// underway is a load, of all keys that one read found missing.
type underway struct {
	waiting int // reads and their keys that wait for it; under Cache.mu
	cancel  context.CancelCauseFunc
}

// leave takes back one wait for l, and cancels l if that was the last.
func (c *Cache) leave(l *underway) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.waiting--; l.waiting == 0 {
		l.cancel(errAbandoned)
	}
}

// counts are the numbers of keys found, by tier.
type counts struct{ tier1, tier2, loaded, waited atomic.Int64 }

// Counts are the numbers of keys answered since the start: by the process, by Redis, by the
// database, and by waiting for another request's load.
type Counts struct{ Process, Redis, Database, Waited int64 }

// New makes a cache and, if replicas share the database, joins them.
func New(o Options) (*Cache, error) {
	c := &Cache{seed: maphash.MakeSeed(), flights: map[string]*flight{}, bus: bus.Process{}}
	var err error
	if c.tier1, err = newTier1(o.Bytes - o.Bytes/absentShare); err != nil {
		return nil, err
	}
	if c.absent, err = newTier1(o.Bytes / absentShare); err != nil {
		return nil, err
	}
	if o.Exclusive {
		return c, nil
	}
	var redis *bus.Redis
	if o.Redis != nil {
		redis = bus.OpenRedis(o.Redis, o.Namespace, bus.Heard{Drop: c.Drop, Flush: c.Flush}, o.Log)
		c.bus, c.tier2 = redis, &tier2{conn: o.Redis, namespace: o.Namespace}
	}
	c.trust = newTrust(c, o, redis)
	return c, nil
}

func newTier1(bytes int64) (*ristretto.Cache[string, *entry], error) {
	made, err := ristretto.NewCache(&ristretto.Config[string, *entry]{
		// Ten counters for each entry that fits, as ristretto's documentation advises; the average
		// entry is taken to have 1 KB.
		NumCounters: max(bytes/1024*10, 1000), MaxCost: bytes, BufferItems: 64,
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache in the process: %w", err)
	}
	return made, nil
}

// Close leaves the other replicas and frees the memory. Later reads are answered by Redis or the
// database.
func (c *Cache) Close() {
	if c.trust != nil {
		c.trust.close()
	}
	c.bus.Close()
	c.closing.Lock()
	defer c.closing.Unlock()
	c.tier1.Close()
	c.absent.Close()
}

// Counts returns the counts so far.
func (c *Cache) Counts() Counts {
	return Counts{c.counts.tier1.Load(), c.counts.tier2.Load(), c.counts.loaded.Load(), c.counts.waited.Load()}
}

// Drop makes every entry in the process that depends on key stale, and every load of it that has
// begun. Later reads are loaded anew.
func (c *Cache) Drop(key string) {
	hash := c.hash(key)
	defer c.wake(key)
	c.dropping.Lock()
	defer c.dropping.Unlock()
	n := c.seq.Load() + 1
	c.last[n%remembered].Store(hash)
	c.drops[hash%stripes].Store(n)
	c.seq.Store(n)
}

// Flush is Drop for every key there is.
func (c *Cache) Flush() {
	defer c.wakeAll()
	c.dropping.Lock()
	defer c.dropping.Unlock()
	n := c.seq.Load() + 1
	c.floor.Store(n)
	c.seq.Store(n)
}

// hash tells keys apart, but for two in four thousand million.
func (c *Cache) hash(key string) uint32 { return uint32(maphash.String(c.seed, key)) }

// joinable reports whether a read that begins now may join a load under way: the load must be as
// recent as a valid entry in the process.
func (c *Cache) joinable(f *flight, now int64) bool {
	return f.current(c) && (now-f.loaded <= int64(shortLife) || c.trusted(now))
}

// wait returns when the process has taken or refused each entry offered to it. The next load of the
// same keys may begin only then: of two waiting offers ristretto takes the first.
func (c *Cache) wait() {
	c.closing.RLock()
	defer c.closing.RUnlock()
	c.tier1.Wait()
	c.absent.Wait()
}

// await returns the result of f when it is there. If a younger load has replaced f, the result is
// that of the younger load. The younger one may have read before f did, and stored an older value
// for other readers; returning f's value now and that value later would go back in time.
func (c *Cache) await(ctx context.Context, key string, f *flight) (*entry, error) {
	for {
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		c.mu.Lock()
		replaced, younger := f.replaced, c.flights[key]
		c.mu.Unlock()
		if !replaced {
			return f.entry, f.err
		}
		c.closing.RLock()
		e, ok := c.get(key, time.Now().UnixNano())
		c.closing.RUnlock()
		if ok {
			return e, nil
		}
		if younger == nil {
			return f.entry, f.err
		}
		f = younger
	}
}

// get returns the entry for key if it is still valid. The caller holds closing.
func (c *Cache) get(key string, now int64) (*entry, bool) {
	e, ok := c.tier1.Get(key)
	if !ok {
		e, ok = c.absent.Get(key)
	}
	if !ok || now >= e.expires || !e.current(c) {
		return nil, false
	}
	if now-e.loaded > int64(shortLife) && !c.trusted(now) {
		return nil, false
	}
	return e, true
}

// trusted reports whether this replica can use what is older than shortLife: whether it is sure to hear
// of every change in good time, and was so whenever it was asked since the last flush. A read without
// trust goes to the database, and may see a change whose message is still under way. If trust comes
// back before the message, everything from before that read is flushed, so that nothing goes back in
// time.
func (c *Cache) trusted(now int64) bool {
	if !c.hears(now) {
		c.doubts.Add(1)
		return false
	}
	doubts := c.doubts.Load()
	if doubts == c.settled.Load() {
		return true
	}
	c.Flush()
	c.settled.Store(doubts)
	return false
}

// hears reports whether this replica is sure to hear of every change in good time.
func (c *Cache) hears(now int64) bool {
	return now >= c.uncertainUntil.Load() && (c.trust == nil || now < min(c.bus.FreshUntil(), c.trust.until.Load()))
}

// shared reports whether values in Redis can be relied on: no replica may be writing without
// blocking keys there.
func (c *Cache) shared(now int64) bool {
	return c.tier2.awake(now) && now < c.trust.until.Load()
}

// expiry is the end of an entry that was loaded at a given time: soon if the key was blocked, or if
// this replica may have missed a change.
func (c *Cache) expiry(loaded int64, short bool) int64 {
	switch {
	case short || !c.hears(loaded) || !c.hears(time.Now().UnixNano()):
		return loaded + int64(shortLife)
	case c.trust == nil:
		return math.MaxInt64
	default:
		return loaded + int64(jittered())
	}
}

// jittered is lifetime, or up to a tenth less.
func jittered() time.Duration { return lifetime - rand.N(lifetime/10) }

// Write changes the database through write, and makes keys stale: all keys of the change, those
// from before it and those from after it. Other replicas hear of it before and after, so that
// values that they read in between are not stored. After Write has returned, with or without an
// error, this replica returns nothing older than the write.
//
// write gets at most WriteLimit and doesn't end with ctx: a client that goes away in mid-write
// leaves nothing half done. Its error is returned unchanged. If the error isn't a problem, the
// write may still happen: until its outcome is proven, values of keys have a short life.
func (c *Cache) Write(ctx context.Context, keys []string, write func(context.Context) error) error {
	finish := func(_ context.Context, known bool) {
		if !known {
			raiseTime(&c.uncertainUntil, time.Now().Add(bus.BlockFor))
		}
	}
	if c.trust != nil {
		announced, err := c.trust.announce(ctx, keys)
		if err != nil {
			return err
		}
		finish = announced
	}
	ctx = context.WithoutCancel(ctx)
	known := false // the outcome of the write is known
	defer func() { // also if write panics
		finish(ctx, known)
		for _, key := range keys {
			c.Drop(key)
		}
	}()
	limited, cancel := context.WithTimeout(ctx, WriteLimit)
	defer cancel()
	err := write(limited)
	var refused *problem.Error
	known = err == nil || errors.As(err, &refused)
	return err
}

func raiseTime(a *atomic.Int64, t time.Time) {
	for {
		old := a.Load()
		if old >= t.UnixNano() || a.CompareAndSwap(old, t.UnixNano()) {
			return
		}
	}
}
