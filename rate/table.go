package rate

// The buckets in the process, for sites without Redis and for outages. Entry point:
// table.takeAll.

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

const (
	// maxKeys bounds the buckets of a process: some 7 MB, without pointers, so the garbage
	// collector skips it.
	maxKeys = 100_000

	// sample is the number of buckets of which one is forgotten to make room, as in Redis
	// (maxmemory-samples, 5 by default there).
	sample = 8
)

// table is a bounded number of buckets. Full buckets are replaced first, without loss. If none
// is full, of a small sample the one nearest to full is forgotten. To get its own empty bucket
// forgotten, a caller with made-up keys must empty as many others as the table holds, because
// the bucket of a larger burst is nearly full after a first take and goes first. A burst of
// one is empty at once: use it together with a key that can't be made up, such as the network
// of a request.
//
// Keys are 64 bits of a keyed hash: with a full table two of them collide once in 10^9 times,
// and nobody can search for two that do.
type table struct {
	seed maphash.Seed
	max  int

	mu      sync.Mutex
	buckets map[uint64]bucket
}

// bucket holds the time when it will be full, and the time that an empty bucket takes to fill,
// both in microseconds.
type bucket struct{ full, span int64 }

// used returns the fraction that has been taken: 0 for a full bucket.
func (b bucket) used(now int64) float64 { return float64(max(b.full-now, 0)) / float64(b.span) }

func newTable(most int) *table {
	return &table{seed: maphash.MakeSeed(), max: most, buckets: map[uint64]bucket{}}
}

// takeAll does the same as the script of this name.
func (t *table) takeAll(now int64, uses []Use) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := verdict{which: -1, at: now, full: make([]int64, len(uses))}
	for _, commit := range [2]bool{false, true} {
		for i, c := range uses {
			key := maphash.String(t.seed, c.Key)
			per := c.Limit.Per.Microseconds()
			b := bucket{full: now, span: per * int64(c.Limit.Burst)}
			old, known := t.buckets[key]
			if known {
				b.full = min(max(old.full, now), now+b.span*(1+maxDebt))
			}
			b.full += per * int64(c.Cost)
			if c.force {
				b.full = min(b.full, now+b.span*(1+maxDebt))
			} else if late := time.Duration(b.full-now-b.span) * time.Microsecond; late > v.wait {
				v.wait, v.which = late, i
			}
			v.full[i] = b.full
			if commit && b.full > now {
				if !known && len(t.buckets) >= t.max {
					t.forget(now)
				}
				t.buckets[key] = b
			}
		}
		if v.wait > 0 {
			break
		}
	}
	return v
}

// forget removes one bucket to make room.
func (t *table) forget(now int64) {
	var victim uint64
	least, seen := math.Inf(1), 0
	for key, b := range t.buckets { // iteration over a map begins at a random place
		if used := b.used(now); used < least {
			victim, least = key, used
		}
		if seen++; seen == sample || least == 0 {
			break
		}
	}
	delete(t.buckets, victim)
}

func (t *table) reset(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.buckets, maphash.String(t.seed, key))
}
