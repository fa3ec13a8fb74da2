package cache

// Whether something that was read has been dropped since. Entry point: reads.current, for the entries
// of the process, loads under way and validity tokens alike: an entry that fails while a token of the
// same reads holds would be loaded anew, and the response of the token be older than the entry.

import (
	"slices"
	"sync/atomic"
)

// few is the number of drops up to which comparing each is faster than reading the stripes of all
// deps.
const few = 4

// reads are the keys and tags that something depends on. It is safe for concurrent use.
type reads struct {
	checked atomic.Uint64 // seq up to which no drop was of deps
	deps    []uint32      // hashes of names, sorted
}

// since sets the reads: deps, from a seq before the first of them.
func (r *reads) since(start uint64, deps []uint32) {
	r.checked.Store(start)
	r.deps = deps
}

// current reports whether nothing in r was dropped. Each drop is compared once, however often current
// is called, and fails only the reads of its key.
func (r *reads) current(c *Cache) bool { return c.seq.Load() == r.checked.Load() || r.check(c) }

// check compares the drops since the last check.
func (r *reads) check(c *Cache) bool {
	from, to := r.checked.Load(), c.seq.Load()
	switch {
	case c.floor.Load() > from:
		return false
	case to-from > few && !r.dropped(c, from):
		r.checked.CompareAndSwap(from, to)
		return true
	case to-from >= remembered:
		return false
	}
	for n := from + 1; n <= to; n++ {
		if _, found := slices.BinarySearch(r.deps, c.last[n%remembered].Load()); found {
			return false
		}
	}
	// A drop overwrites the hash of an older drop before seq counts it. So the hashes read above
	// were right if seq hasn't gone round since.
	if c.seq.Load()-from >= remembered {
		return false
	}
	r.checked.CompareAndSwap(from, to)
	return true
}

// dropped reports whether any stripe of r was dropped after from, be it for another key.
func (r *reads) dropped(c *Cache, from uint64) bool {
	for _, d := range r.deps {
		if c.drops[d%stripes].Load() > from {
			return true
		}
	}
	return false
}
