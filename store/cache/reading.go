package cache

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Reading is what one answer that is under way asks the caches for: every key and tag, of
// what is absent too, whoever loads it. It is filled in by every Get under its context, so
// that whoever makes the answer need not think of it. It is safe for concurrent use.
type Reading struct {
	cache *Cache
	start uint64 // seq before the first read
	began int64  // Unix nanoseconds, likewise

	mu              sync.Mutex
	loaded, expires int64 // Unix nanoseconds: of the oldest of what was read, of what ends first
	names           []string
	forbidden       bool
}

type readingKey struct{}

// Reading begins to note what is read under the context that it returns.
func (c *Cache) Reading(ctx context.Context) (context.Context, *Reading) {
	start, now := c.seq.Load(), time.Now().UnixNano()
	r := &Reading{cache: c, start: start, began: now, loaded: now, expires: 1<<63 - 1}
	return context.WithValue(ctx, readingKey{}, r), r
}

// readingOf returns what notes the reads under ctx; nil where nobody does.
func readingOf(ctx context.Context) *Reading {
	r, _ := ctx.Value(readingKey{}).(*Reading)
	return r
}

// Declared returns a context under which nothing is noted nor undeclared: for reading what
// the caller has asked a Table for, or is about to.
func Declared(ctx context.Context) context.Context {
	return context.WithValue(ctx, readingKey{}, (*Reading)(nil))
}

// Undeclared says that something is read that no key or tag names: whatever is made of it
// can't be kept, since nothing would tell when it has changed.
func Undeclared(ctx context.Context) {
	if r := readingOf(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.forbidden = true
	}
}

// note adds keys or tags; a nil Reading notes nothing.
func (r *Reading) note(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, names...)
}

// bound lets the answer live no longer than e; a nil Reading isn't bounded.
func (r *Reading) bound(e *entry) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded, r.expires = min(r.loaded, e.loaded), min(r.expires, e.expires)
}

// End returns what was read, and by which names: sorted, each once. ok is false where what
// was made of it can't be kept: something was read undeclared, or has changed already.
func (r *Reading) End() (s *Standing, names []string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forbidden {
		return nil, nil, false
	}
	slices.Sort(r.names)
	r.names = slices.Compact(r.names)
	s = &Standing{cache: r.cache, loaded: r.loaded, expires: r.expires, deps: make([]uint32, len(r.names))}
	for i, name := range r.names {
		s.deps[i] = r.cache.hash(name)
	}
	slices.Sort(s.deps)
	s.checked.Store(r.start)
	return s, r.names, s.Stands(time.Now().UnixNano())
}

// Began is when the first thing may have been read, in Unix nanoseconds.
func (r *Reading) Began() int64 { return r.began }

// Standing is whether what was read once is still what would be read now, as far as an
// entry of the process is. It is safe for concurrent use.
type Standing struct {
	cache           *Cache
	checked         atomic.Uint64 // seq up to which no drop was of deps
	loaded, expires int64         // Unix nanoseconds
	deps            []uint32      // hashes of names, sorted
}

// Stands says whether what was read still holds at a time, in Unix nanoseconds: nothing of it
// was dropped, nor is it too old. Each drop is looked at once, whoever asks how often; it
// makes worthless what depends on its key and nothing else.
func (s *Standing) Stands(now int64) bool {
	if now >= s.expires || s.cache.seq.Load() != s.checked.Load() && !s.check() {
		return false
	}
	return now-s.loaded <= int64(shortLife) || s.cache.trusted(now)
}

// StandsNow is Stands for the present.
func (s *Standing) StandsNow() bool { return s.Stands(time.Now().UnixNano()) }

// check looks at the drops since the last time.
func (s *Standing) check() bool {
	c := s.cache
	from, to := s.checked.Load(), c.seq.Load()
	if c.floor.Load() > from {
		return false
	}
	if to-from > few && !s.dropped(from) {
		s.checked.CompareAndSwap(from, to)
		return true
	}
	if to-from >= remembered {
		return false
	}
	for n := from + 1; n <= to; n++ {
		if _, found := slices.BinarySearch(s.deps, c.last[n%remembered].Load()); found {
			return false
		}
	}
	// A drop overwrites what was remembered of another before seq tells of it: so what was
	// read above was right if seq hasn't gone round until now.
	if c.seq.Load()-from >= remembered {
		return false
	}
	s.checked.CompareAndSwap(from, to)
	return true
}

// few is as many drops as are sooner looked at each than by the stripes of all deps.
const few = 4

// dropped says whether any stripe of deps was dropped after from, be it for another key.
func (s *Standing) dropped(from uint64) bool {
	for _, d := range s.deps {
		if s.cache.drops[d%stripes].Load() > from {
			return true
		}
	}
	return false
}

// Note adds what was read to what is read under ctx: names as End has returned them with s.
func (s *Standing) Note(ctx context.Context, names []string) {
	r := readingOf(ctx)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, names...)
	r.loaded, r.expires = min(r.loaded, s.loaded), min(r.expires, s.expires)
}

// Deps is how many keys and tags were read.
func (s *Standing) Deps() int { return len(s.deps) }
