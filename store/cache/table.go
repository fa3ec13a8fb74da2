package cache

// Typed caches. Table.Get reads through the process, Redis and the database; lead makes one load
// for all requests that wait for the same keys.

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"stoa/store/bus"
)

// Table is a typed cache, with everything to name, read and encode one kind of thing. K is the key
// of its readers, T the thing. Values of a table are shared between requests and never changed.
type Table[K comparable, T any] struct {
	// Key names k in both tiers. Names of different tables differ by their prefix.
	Key func(k K) string
	// Deps names the dependencies of k: a drop of any of them makes it stale. Nil if it depends on
	// its own key alone. Otherwise they are tags: each has a random generation, and the generations
	// are part of k's name in Redis. No tag is the Key of anything: Redis stores its generation
	// under that name.
	Deps func(k K) []string
	// Load reads ks from the database, with a number of commands that doesn't depend on the number
	// of ks. A key missing in the result is absent.
	Load func(ctx context.Context, ks []K) (map[K]*T, error)
	// Format distinguishes the output of Encode from that of other versions of the program: a value
	// of another format in Redis is a miss, and never reaches Decode.
	Format uint32
	// Encode and Decode convert values for Redis.
	Encode func(*T) ([]byte, error)
	Decode func([]byte) (*T, error)
	// Size is the memory that a value takes in the process, roughly, in bytes.
	Size func(*T) int64
}

var errInterrupted = errors.New("a load was interrupted")

// overhead is the memory of an entry beside its value, in bytes: its fields and its key. The 56
// bytes that ristretto adds itself are not included.
const overhead = 200

// want is one key on its way through the tiers.
type want[K comparable] struct {
	k      K
	at     []int // positions in the result
	key    string
	deps   []uint32 // hashes of its dependencies
	tags   []string
	flight *flight // ours to fill, or another's to wait for
	name   string  // in Redis; "" if it isn't stored there
	lease  string
	short  bool // it is changing, so the entry lives for a second at most
	entry  *entry
}

// Get returns the values of ks, in their order: nil for an absent thing. Keys missing in the
// process are read from Redis in one round trip and from the database in one Load. A key that
// another request is loading already isn't loaded again.
func (t *Table[K, T]) Get(ctx context.Context, c *Cache, ks []K) ([]*T, error) {
	out := make([]*T, len(ks))
	r := recorderOf(ctx)
	missing := t.fromProcess(c, ks, out, r)
	if len(missing) == 0 {
		return out, nil
	}
	if IsMemoryOnly(ctx) {
		return nil, ErrNotInMemory
	}
	for _, w := range missing {
		if t.Deps == nil {
			w.deps = []uint32{c.hash(w.key)}
			continue
		}
		w.tags = t.Deps(w.k)
		for _, tag := range w.tags {
			w.deps = append(w.deps, c.hash(tag))
		}
		slices.Sort(w.deps)
	}
	if err := t.load(ctx, c, missing); err != nil {
		return nil, err
	}
	for _, w := range missing {
		for _, i := range w.at {
			out[i] = w.entry.value.(*T)
		}
		r.bound(w.entry)
	}
	return out, nil
}

// fromProcess puts the values in the process into out, and returns the missing keys. It records all
// of ks in r.
func (t *Table[K, T]) fromProcess(c *Cache, ks []K, out []*T, r *Recorder) (missing []*want[K]) {
	c.closing.RLock()
	defer c.closing.RUnlock()
	now := time.Now().UnixNano()
	var seen map[K]*want[K]
	for i, k := range ks {
		key := t.Key(k)
		if r != nil {
			r.add(t.dependsOn(k, key)...)
		}
		if e, ok := c.get(key, now); ok {
			out[i] = e.value.(*T)
			r.bound(e)
			continue
		}
		if w, ok := seen[k]; ok {
			w.at = append(w.at, i)
			continue
		}
		w := &want[K]{k: k, at: []int{i}, key: key}
		if seen == nil {
			seen = map[K]*want[K]{}
		}
		seen[k] = w
		missing = append(missing, w)
	}
	c.counts.tier1.Add(int64(len(ks) - len(missing)))
	return missing
}

// dependsOn returns the dependencies of k. Its own key is key.
func (t *Table[K, T]) dependsOn(k K, key string) []string {
	if t.Deps == nil {
		return []string{key}
	}
	return t.Deps(k)
}

// load fills each of missing, by a load of its own or by waiting for another's.
func (t *Table[K, T]) load(ctx context.Context, c *Cache, missing []*want[K]) error {
	var lead, follow []*want[K]
	start, loaded := c.seq.Load(), time.Now().UnixNano()
	if !c.hears(loaded) {
		c.doubts.Add(1)
	}
	loading, own := abandonable(ctx)
	defer own.cancel(nil)
	c.mu.Lock()
	for _, w := range missing {
		if f, ok := c.flights[w.key]; ok {
			if c.joinable(f, loaded) {
				w.flight = f
				f.load.waiting++
				follow = append(follow, w)
				continue
			}
			f.replaced = true
		}
		w.flight = &flight{load: own, loaded: loaded, done: make(chan struct{})}
		w.flight.since(start, w.deps)
		c.flights[w.key] = w.flight
		lead = append(lead, w)
	}
	c.mu.Unlock()
	for _, w := range follow {
		defer c.leave(w.flight.load)
	}
	if len(lead) > 0 {
		stop := context.AfterFunc(ctx, func() { c.leave(own) })
		t.lead(loading, c, lead, start, loaded)
		stop()
	}
	c.counts.waited.Add(int64(len(follow)))
	var again []*want[K]
	for _, w := range missing {
		var err error
		w.entry, err = c.await(ctx, w.key, w.flight)
		switch {
		case err == errAbandoned && ctx.Err() != nil:
			return context.Cause(ctx)
		case err == errAbandoned:
			again = append(again, w)
		case err != nil:
			return err
		}
	}
	if len(again) > 0 {
		return t.load(ctx, c, again)
	}
	return nil
}

// abandonable returns a load that this read waits for, and its context: without the end of ctx, since
// others may wait for it, too.
func abandonable(ctx context.Context) (context.Context, *underway) {
	loading, cancel := context.WithCancelCause(WithoutTracking(context.WithoutCancel(ctx)))
	return loading, &underway{waiting: 1, cancel: cancel}
}

// lead loads wants for this request and all others that wait for them. It goes on after this
// request has ended, as long as another waits.
func (t *Table[K, T]) lead(ctx context.Context, c *Cache, wants []*want[K], start uint64, loaded int64) {
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	err := errInterrupted
	defer func() { // also if Load panics: nobody may wait for ever
		c.wait()
		if err != nil && context.Cause(ctx) == errAbandoned {
			err = errAbandoned
		}
		c.mu.Lock()
		for _, w := range wants {
			if w.flight.entry == nil {
				w.flight.err = err
			}
			if c.flights[w.key] == w.flight {
				delete(c.flights, w.key)
			}
		}
		c.mu.Unlock()
		for _, w := range wants {
			close(w.flight.done)
		}
	}()
	rest, run := t.fromRedis(ctx, c, wants, start, loaded)
	if len(rest) == 0 {
		err = nil
		return
	}
	ks := make([]K, len(rest))
	for i, w := range rest {
		ks[i] = w.k
	}
	var found map[K]*T
	if found, err = t.Load(ctx, ks); err != nil {
		return
	}
	c.counts.loaded.Add(int64(len(rest)))
	var fillings []filling
	for _, w := range rest {
		v := found[w.k]
		t.insert(c, w, v, start, loaded)
		if w.lease == "" {
			continue
		}
		value, life := []byte{isAbsent}, absentLife
		if v != nil {
			var encoded []byte
			if encoded, err = t.Encode(v); err != nil {
				return
			}
			value, life = append([]byte{isValue}, encoded...), jittered()
		}
		fillings = append(fillings, filling{w.name, w.lease, value, life})
	}
	if len(fillings) > 0 {
		c.tier2.fill(ctx, run, t.Format, fillings)
	}
}

// insert makes w's entry, with v nil for an absent thing, and offers it to the process. An entry
// that was dropped meanwhile isn't offered, nor one of a load that another has replaced: it could only
// replace a younger one, from which responses are already made.
func (t *Table[K, T]) insert(c *Cache, w *want[K], v *T, start uint64, loaded int64) {
	e := &entry{value: v, loaded: loaded, expires: c.expiry(loaded, w.short)}
	e.since(start, w.deps)
	w.flight.entry = e
	size, into, other := int64(overhead+2*len(w.key)), c.absent, c.tier1
	if v != nil {
		size += t.Size(v)
		into, other = other, into
	}
	c.closing.RLock()
	defer c.closing.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !w.flight.replaced && e.current(c) {
		other.Del(w.key)
		into.Set(w.key, e, size)
	}
}

// fromRedis inserts the values in Redis and returns the other wants, with the leases that Redis
// gave.
func (t *Table[K, T]) fromRedis(ctx context.Context, c *Cache, wants []*want[K], start uint64, loaded int64) ([]*want[K], *bus.Run) {
	if c.tier2 == nil {
		return wants, nil
	}
	if !c.shared(loaded) {
		for _, w := range wants {
			w.short = true
		}
		return wants, nil
	}
	var named []*want[K]
	if t.Deps == nil {
		for _, w := range wants {
			w.name = w.key
		}
		named = wants
	} else {
		named = nameByTags(ctx, c, wants)
	}
	names := make([]string, len(named))
	for i, w := range named {
		names[i] = w.name
	}
	found, run, err := c.tier2.acquire(ctx, t.Format, names)
	if err != nil {
		for _, w := range wants {
			w.short = true
		}
		return wants, nil
	}
	for i, w := range named {
		h := found[i]
		w.lease, w.short = h.lease, w.short || h.blocked
		if h.value == nil {
			continue
		}
		var v *T
		if h.value[0] == isValue {
			if v, err = t.Decode(h.value[1:]); err != nil {
				continue // it is damaged: the database has the value
			}
		}
		t.insert(c, w, v, start, loaded)
		c.counts.tier2.Add(1)
	}
	var rest []*want[K]
	for _, w := range wants {
		if w.flight.entry == nil {
			rest = append(rest, w)
		}
	}
	return rest, run
}

// nameByTags gives each want its name in Redis, made of its tags' generations, and returns those
// with a name. A tag that is changing has no generation.
func nameByTags[K comparable](ctx context.Context, c *Cache, wants []*want[K]) []*want[K] {
	var tags []string
	index := map[string]int{}
	for _, w := range wants {
		for _, tag := range w.tags {
			if _, ok := index[tag]; !ok {
				index[tag] = len(tags)
				tags = append(tags, tag)
			}
		}
	}
	generations, blocked, err := c.generations(ctx, tags)
	if err != nil {
		for _, w := range wants {
			w.short = true
		}
		return nil
	}
	var named []*want[K]
	for _, w := range wants {
		name := []string{w.key}
		known := true
		for _, tag := range w.tags {
			i := index[tag]
			w.short = w.short || blocked[i]
			known = known && generations[i] != ""
			name = append(name, generations[i])
		}
		if known {
			w.name = strings.Join(name, "@")
			named = append(named, w)
		}
	}
	return named
}
