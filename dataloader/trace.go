package dataloader

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"stoa/store/cache"
)

// Trace is what was asked of the loaders while something was made, so that it can be told
// later whether it would come out the same. Entry points: Tracing, which begins one; End;
// Loaders.Rest.
type Trace struct {
	// Of is what it is made from, which its maker knows: reading that is no reading.
	Of any

	mu     sync.Mutex
	reads  []Read
	spoilt bool // not everything that was looked at is in reads
}

// Read is what a key named.
type Read struct {
	kind  uint8
	key   string
	value any // a *T, which never changes; nil for what there wasn't
}

type tracing struct{}

// Tracing returns a context under which t notes what is asked of the loaders.
func Tracing(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, tracing{}, t)
}

// Traced returns the trace that ctx is under; nil without one.
func Traced(ctx context.Context) *Trace {
	t, _ := ctx.Value(tracing{}).(*Trace)
	return t
}

// Spoil says that what is being made depends on something besides the loaders.
func (t *Trace) Spoil() {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.spoilt = true
	}
}

// Spoiled says whether it depends on something besides the loaders.
func (t *Trace) Spoiled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spoilt
}

// Uses adds what something was made of that is part of what is being made.
func (t *Trace) Uses(b *Basis) {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.reads = append(t.reads, b.reads...)
	}
}

// Absorbs adds all that another trace has noted, of a part of what is being made.
func (t *Trace) Absorbs(part *Trace) {
	if t == nil {
		return
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads, t.spoilt = append(t.reads, part.reads...), t.spoilt || part.spoilt
}

// End returns what was noted, each thing once; ok is false where that isn't everything, or has
// something in two states.
func (t *Trace) End() (b *Basis, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spoilt {
		return nil, false
	}
	type name struct {
		kind uint8
		key  string
	}
	b = &Basis{}
	once := make(map[name]any, len(t.reads))
	for _, r := range t.reads {
		if r.key == "" { // names nothing, whoever asks
			continue
		}
		n := name{r.kind, r.key}
		switch value, known := once[n]; {
		case !known:
			once[n] = r.value
			b.reads = append(b.reads, r)
			b.kinds |= 1 << r.kind
		case value != r.value:
			return nil, false
		}
	}
	b.reads = slices.Clip(b.reads)
	return b, true
}

// Basis is what something was made of: what the loaders were asked for, and what they said.
// It is safe for concurrent use.
type Basis struct {
	reads  []Read
	kinds  uint64 // a bit for each kind of them
	stands atomic.Pointer[standing]
}

// standing is what tells without asking the loaders that they would say the same.
type standing struct {
	is    *cache.Validity
	names []string
}

// Size is about what b takes, in bytes, without what its values share with the caches.
func (b *Basis) Size() int {
	size := 150
	for _, r := range b.reads {
		size += 40 + 20 + 2*len(r.key) // itself, its name and the hash of that, and their text
	}
	return size
}

// Stand has b stand by itself from now on, if the caches have in memory what it was made of.
func (l *Loaders) Stand(ctx context.Context, b *Basis) {
	ctx, reading := l.store.Cache().Record(Tracing(ctx, nil))
	if !New(l.store).same(ctx, []*Basis{b})[0] {
		return
	}
	if is, names, ok := reading.End(); ok {
		b.stands.Store(&standing{is, slices.Clone(names)})
	}
}

// Rest returns which of bases don't hold in this response: of which something would be known
// otherwise now, or isn't in the process's memory. What the others were made of is known from
// then on, so that whatever else the response asks for agrees with it, and noted as read.
func (l *Loaders) Rest(ctx context.Context, bases []*Basis) (rest []int) {
	for i, b := range bases {
		if !l.Takes(ctx, b) {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	asked := make([]*Basis, len(rest))
	for i, at := range rest {
		asked[i] = bases[at]
	}
	differ := rest[:0]
	for i, same := range l.same(ctx, asked) {
		if same {
			l.Stand(ctx, asked[i])
		} else {
			differ = append(differ, rest[i])
		}
	}
	return differ
}

// Takes says whether b stands by itself and says nothing otherwise than the response knows it;
// then it takes what b was made of for known, and for read.
func (l *Loaders) Takes(ctx context.Context, b *Basis) bool {
	s := b.stands.Load()
	if s == nil {
		return false
	}
	l.knowing.Lock()
	defer l.knowing.Unlock()
	if !s.is.ValidNow() {
		return false
	}
	of := func(yield func(recalled) bool) {
		for kind, loader := range l.byKind {
			if b.kinds&(1<<kind) != 0 && !yield(loader) {
				return
			}
		}
	}
	for loader := range of {
		if !loader.mayTake(b.reads) {
			return false
		}
	}
	for loader := range of {
		loader.take(b.reads)
	}
	s.is.AddTo(ctx, s.names)
	return true
}

// note notes what ks named, where ctx is traced.
func (l *Loader[K, T]) note(ctx context.Context, ks []K, values []*T) {
	t := Traced(ctx)
	if t == nil {
		return
	}
	if l.kind == 0 {
		t.Spoil()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, k := range ks {
		if l.shows != nil && !l.shows(k) {
			t.spoilt = true
			return
		}
		t.reads = append(t.reads, Read{l.kind, string(k), values[i]})
	}
}

// recalled is a loader whose reads can be compared with what it says now.
type recalled interface {
	recall(ctx context.Context, bases []*Basis, same []bool)
	// For who holds Loaders.knowing:
	agrees(Read) bool
	mayTake([]Read) bool
	take([]Read)
}

// same says of each basis whether each of its keys names now what it named then. It asks for
// all of them as if they were needed, but in the process's memory only: what isn't there isn't
// the same.
func (l *Loaders) same(ctx context.Context, bases []*Basis) []bool {
	ctx = MemoryOnly(ctx)
	same := make([]bool, len(bases))
	var kinds uint64
	for i, b := range bases {
		same[i] = true
		kinds |= b.kinds
	}
	for kind, loader := range l.byKind {
		if loader != nil && kinds&(1<<kind) != 0 {
			loader.recall(ctx, bases, same)
		}
	}
	return same
}

// mayTake says whether the response knows nothing otherwise than reads of l's kind say.
func (l *Loader[K, T]) mayTake(reads []Read) bool {
	l.merge()
	if len(l.known) == 0 {
		return true
	}
	for _, r := range reads {
		if r.kind != l.kind {
			continue
		}
		was, _ := r.value.(*T)
		if n, ok := l.known[K(r.key)]; ok && (n.later != nil || n.value != was) {
			return false
		}
	}
	return true
}

// take takes for known what reads of l's kind named, which costs nothing before l is asked for
// something.
func (l *Loader[K, T]) take(reads []Read) { l.taken = append(l.taken, reads) }

// merge makes known what was taken for it. The caller holds mu.
func (l *Loader[K, T]) merge() {
	for _, reads := range l.taken {
		for _, r := range reads {
			if r.kind != l.kind {
				continue
			}
			if _, ok := l.known[K(r.key)]; !ok {
				was, _ := r.value.(*T)
				l.put(K(r.key), known[T]{value: was})
			}
		}
	}
	l.taken = nil
}

// Agrees says whether all that b was made of is known in this response, and the same.
func (l *Loaders) Agrees(b *Basis) bool {
	l.knowing.Lock()
	defer l.knowing.Unlock()
	for _, r := range b.reads {
		if !l.byKind[r.kind].agrees(r) {
			return false
		}
	}
	return true
}

func (l *Loader[K, T]) agrees(r Read) bool {
	l.merge()
	return l.is(r)
}

// is says whether r's key is known to name what it named. The caller holds mu.
func (l *Loader[K, T]) is(r Read) bool {
	n, ok := l.known[K(r.key)]
	was, _ := r.value.(*T)
	return ok && n.later == nil && n.value == was
}

// recall clears same for those bases that have a read of l's kind whose key names something
// else now.
func (l *Loader[K, T]) recall(ctx context.Context, bases []*Basis, same []bool) {
	n := 0
	for _, b := range bases {
		for _, r := range b.reads {
			if r.kind == l.kind {
				n++
			}
		}
	}
	ks := make([]K, 0, n)
	l.mu.Lock()
	l.merge()
	for i, b := range bases {
		for _, r := range b.reads {
			if same[i] && r.kind == l.kind {
				if _, ok := l.known[K(r.key)]; !ok {
					ks = append(ks, K(r.key))
				}
			}
		}
	}
	l.mu.Unlock()
	if len(ks) > 0 {
		l.learn(ctx, ks)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, b := range bases {
		for _, r := range b.reads {
			if same[i] && r.kind == l.kind {
				same[i] = l.is(r)
			}
		}
	}
}

// learn makes what the process's memory has of ks known, in one go; nothing where it lacks
// any, or panics: who asks for it by itself meets that where it is handled.
func (l *Loader[K, T]) learn(ctx context.Context, ks []K) {
	defer func() { _ = recover() }()
	values, err := l.fetch(ctx, ks)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.merge()
	if l.known == nil {
		l.known = make(map[K]known[T], len(ks))
	}
	for i, k := range ks {
		if _, ok := l.known[k]; !ok {
			l.known[k] = known[T]{value: values[i]}
		}
	}
}
