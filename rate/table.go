package rate

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// maxKeys is how many buckets a process keeps: some 7 MB, without a pointer for the
	// collector to follow.
	maxKeys = 100_000

	// sample is of how many one is forgotten to make room, as Redis does (maxmemory-samples
	// is 5 there).
	sample = 8
)

// table is buckets in the process, of a bounded number. Full ones are no loss and are replaced
// first. When none is full, the one of a small sample is forgotten that is nearest to full. A caller
// with made-up keys that wants its own empty bucket forgotten has to empty as many others as the
// table holds: a first take leaves a bucket of a larger burst nearly full, and that one goes first. A
// burst of one is empty at once; take it together with a key that can't be made up, such as the
// network of a request.
//
// A key is 64 bits of a keyed hash, so two are one bucket once in 10^9 times with a
// full table, and nobody can look for two.
type table struct {
	seed maphash.Seed
	max  int

	mu      sync.Mutex
	buckets map[uint64]bucket
}

// bucket is when a bucket will be full and how long an empty one takes, in microseconds.
type bucket struct{ full, span int64 }

// used is the part of it that has been taken: 0 when it is full.
func (b bucket) used(now int64) float64 { return float64(max(b.full-now, 0)) / float64(b.span) }

func newTable(most int) *table {
	return &table{seed: maphash.MakeSeed(), max: most, buckets: map[uint64]bucket{}}
}

// takeAll is the script of the same name.
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
				b.full = min(max(old.full, now), now+b.span)
			}
			b.full += per * int64(c.Cost)
			if late := time.Duration(b.full-now-b.span) * time.Microsecond; late > v.wait {
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

// forget makes room for one.
func (t *table) forget(now int64) {
	var victim uint64
	least, seen := 2.0, 0
	for key, b := range t.buckets { // a range over a map begins anywhere
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
