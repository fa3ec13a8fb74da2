// The cache of fragments: a map bounded in bytes. Entry points: get, put.

package fragment

import (
	"hash/maphash"
	"sync"
)

// fragmentKey names a fragment by its selection, its subject and the variables of the selection.
type fragmentKey struct {
	selection uint64
	of        string
	variables string
}

// shards is the number of independent locks, so that many requests can look at once.
const shards = 16

// entries are the cached fragments, in two generations: when the younger has its share of the
// bytes, it replaces the elder, and the fragments of the elder are evicted. A fragment of the
// elder that is used moves to the younger. The next fragment of a changed entity replaces the
// old one.
type entries struct {
	most   int64 // bytes of a generation
	seed   maphash.Seed
	once   sync.Once
	shards [shards]shard
}

type shard struct {
	mu         sync.RWMutex
	young, old map[fragmentKey]*Fragment
	bytes      int64 // of young
}

func (k *entries) shard(key fragmentKey) *shard {
	k.once.Do(func() { k.seed = maphash.MakeSeed() })
	return &k.shards[maphash.Comparable(k.seed, key)%shards]
}

func (k *entries) get(key fragmentKey) *Fragment {
	s := k.shard(key)
	s.mu.RLock()
	p, young := s.young[key]
	if p == nil {
		p = s.old[key]
	}
	s.mu.RUnlock()
	if p != nil && !young {
		k.put(key, p)
	}
	return p
}

func (k *entries) put(key fragmentKey, p *Fragment) {
	size := sizeOf(key, p)
	s := k.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.young[key]; was != nil {
		s.bytes -= sizeOf(key, was)
	}
	if s.young == nil || s.bytes+size > k.most/shards {
		s.old, s.young, s.bytes = s.young, map[fragmentKey]*Fragment{}, 0
	}
	s.young[key] = p
	s.bytes += size
}

// overhead is the rest of a fragment's size, in bytes: its own fields and its places in the maps.
const overhead = 250

func sizeOf(key fragmentKey, p *Fragment) int64 {
	size := overhead + len(key.of) + len(key.variables) + cap(p.json)
	if p.deps != nil {
		size += p.deps.Size()
	}
	return int64(size)
}
