package dataloader

import (
	"context"
	"sync"
)

// Trace is what was asked of the loaders while something was made, so that it can be told
// later whether it would come out the same. Entry points: Tracing, which begins one; Same.
type Trace struct {
	mu    sync.Mutex
	reads []Read
	tells bool // not everything that was looked at is in reads
}

// Read is what a key named.
type Read struct {
	kind  uint8
	key   string
	value any // a *T, which never changes; nil for what there wasn't
}

// Size is about what r takes, in bytes, without what its value shares with the caches.
func (r Read) Size() int { return 40 + len(r.key) }

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
		t.tells = true
	}
}

// Reads returns what was noted, each thing once; ok is false where that isn't everything.
func (t *Trace) Reads() (reads []Read, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tells {
		return nil, false
	}
	type name struct {
		kind uint8
		key  string
	}
	once := make(map[name]bool, len(t.reads))
	for _, r := range t.reads {
		if n := (name{r.kind, r.key}); !once[n] {
			once[n] = true
			reads = append(reads, r)
		}
	}
	return reads, true
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
			t.tells = true
			return
		}
		t.reads = append(t.reads, Read{l.kind, string(k), values[i]})
	}
}

// recalled is a loader whose reads can be compared with what it says now.
type recalled interface {
	recall(ctx context.Context, sets [][]Read, same []bool)
	agrees(Read) bool
}

// Same says of each set of reads whether each of its keys names now what it named then. It
// asks for all of them as if they were needed, but in the process's memory only: what isn't
// there isn't the same.
func (l *Loaders) Same(ctx context.Context, sets [][]Read) []bool {
	ctx = MemoryOnly(ctx)
	same := make([]bool, len(sets))
	var kinds uint64
	for i, set := range sets {
		same[i] = true
		for _, r := range set {
			kinds |= 1 << r.kind
		}
	}
	for kind, loader := range l.byKind {
		if loader != nil && kinds&(1<<kind) != 0 {
			loader.recall(ctx, sets, same)
		}
	}
	return same
}

// Agrees says whether every read is known in this response, and named what it names now.
func (l *Loaders) Agrees(reads []Read) bool {
	for _, r := range reads {
		if !l.byKind[r.kind].agrees(r) {
			return false
		}
	}
	return true
}

func (l *Loader[K, T]) agrees(r Read) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.is(r)
}

// is says whether r's key is known to name what it named. The caller holds mu.
func (l *Loader[K, T]) is(r Read) bool {
	if r.key == "" {
		return true // names nothing, whoever asks
	}
	n, ok := l.known[K(r.key)]
	was, _ := r.value.(*T)
	return ok && n.later == nil && n.value == was
}

// recall clears same for those sets that have a read of l's kind whose key names something
// else now.
func (l *Loader[K, T]) recall(ctx context.Context, sets [][]Read, same []bool) {
	n := 0
	for _, set := range sets {
		for _, r := range set {
			if r.kind == l.kind {
				n++
			}
		}
	}
	ks := make([]K, 0, n)
	l.mu.Lock()
	for i, set := range sets {
		for _, r := range set {
			if same[i] && r.kind == l.kind && r.key != "" {
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
	for i, set := range sets {
		for _, r := range set {
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
	if l.known == nil {
		l.known = make(map[K]known[T], len(ks))
	}
	for i, k := range ks {
		if _, ok := l.known[k]; !ok {
			l.known[k] = known[T]{value: values[i]}
		}
	}
}
