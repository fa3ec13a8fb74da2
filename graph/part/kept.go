package part

import (
	"hash/maphash"
	"sync"
)

// partKey names a part: what is selected, of what, under which variables.
type partKey struct {
	selection uint64
	of        string
	variables string
}

// shards is in how many pieces parts are kept, so that many can look at once.
const shards = 16

// kept is the parts that are kept, in two generations: when the younger has its share of the
// bytes, it takes the place of the elder, which is forgotten; what is used of the elder
// moves to the younger. So what isn't used goes. A part of what has changed gives its place to
// the next one.
type kept struct {
	most   int64 // bytes of a generation
	seed   maphash.Seed
	once   sync.Once
	shards [shards]shard
}

type shard struct {
	mu         sync.RWMutex
	young, old map[partKey]*Part
	bytes      int64 // of young
}

func (k *kept) shard(key partKey) *shard {
	k.once.Do(func() { k.seed = maphash.MakeSeed() })
	return &k.shards[maphash.Comparable(k.seed, key)%shards]
}

func (k *kept) get(key partKey) *Part {
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

func (k *kept) put(key partKey, p *Part) {
	size := sizeOf(key, p)
	s := k.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.young[key]; was != nil {
		s.bytes -= sizeOf(key, was)
	}
	if s.young == nil || s.bytes+size > k.most/shards {
		s.old, s.young, s.bytes = s.young, map[partKey]*Part{}, 0
	}
	s.young[key] = p
	s.bytes += size
}

// overhead is what a part takes besides: its own fields, and its places in the maps.
const overhead = 250

func sizeOf(key partKey, p *Part) int64 {
	size := overhead + len(key.of) + len(key.variables) + cap(p.json)
	if p.basis != nil {
		size += p.basis.Size()
	}
	return int64(size)
}
