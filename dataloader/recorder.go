package dataloader

// Dependencies of rendered JSON: a Recorder collects the keys that the loaders are asked for, with
// their values. Later, Loaders can tell whether the same keys still have the same values. Entry
// points: WithRecorder, Recorder.End, Loaders.Stale, Loaders.Adopt.

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"stoa/store/cache"
)

// Recorder is a dependency recorder: while something is rendered, it collects the keys that the
// loaders are asked for, with their values. It is safe for concurrent use.
type Recorder struct {
	// Of is the entity or page being rendered. Reading it is not recorded as a dependency.
	Of any
	// Tracked is true if every read of the caches is recorded by a recorder of package cache, too.
	// Then a read past the loaders doesn't make the result uncacheable.
	Tracked bool

	mu          sync.Mutex
	reads       []dependency
	uncacheable bool // something outside reads was read
	rendered    int  // bytes of the fragments in it
}

// dependency is a key that a loader was asked for, with its value.
type dependency struct {
	from  source // of the loader
	key   string
	value any // a *T, which never changes; nil for an absent entity
}

type recorderKey struct{}

// WithRecorder returns a context with r: r records the loads made with it. With a nil r nothing is
// recorded.
func WithRecorder(ctx context.Context, r *Recorder) context.Context {
	return context.WithValue(ctx, recorderKey{}, r)
}

// RecorderFrom returns the recorder of ctx; nil without one.
func RecorderFrom(ctx context.Context) *Recorder {
	r, _ := ctx.Value(recorderKey{}).(*Recorder)
	return r
}

// AddRendered counts the bytes of a fragment that was rendered as a part of the result. On a nil
// Recorder it does nothing.
func (r *Recorder) AddRendered(bytes int) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rendered += bytes
	}
}

// Rendered returns the bytes of the fragments that were rendered as parts of the result.
func (r *Recorder) Rendered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rendered
}

// MarkUncacheable records that the result depends on something besides the loaders. On a nil
// Recorder it does nothing.
func (r *Recorder) MarkUncacheable() {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.uncacheable = true
	}
}

// readPastLoaders records a read of the caches that no loader made.
func (r *Recorder) readPastLoaders() {
	if r != nil && !r.Tracked {
		r.MarkUncacheable()
	}
}

// Uncacheable reports whether the result depends on something besides the loaders.
func (r *Recorder) Uncacheable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.uncacheable
}

// Add records the dependencies of a fragment that becomes part of the result. On a nil Recorder
// it does nothing.
func (r *Recorder) Add(d *Dependencies) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reads = append(r.reads, d.reads...)
	}
}

// Merge adds everything that inner, the recorder of a part of the result, has recorded. On a nil
// Recorder it does nothing.
func (r *Recorder) Merge(inner *Recorder) {
	if r == nil {
		return
	}
	inner.mu.Lock()
	defer inner.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads, r.uncacheable = append(r.reads, inner.reads...), r.uncacheable || inner.uncacheable
}

// End returns the recorded dependencies, each once. ok is false for an uncacheable result, and
// for a result that saw two values under one key.
func (r *Recorder) End() (d *Dependencies, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uncacheable {
		return nil, false
	}
	type name struct {
		from source
		key  string
	}
	d = &Dependencies{}
	once := make(map[name]any, len(r.reads))
	for _, read := range r.reads {
		if read.key == "" { // names nothing in every response
			continue
		}
		n := name{read.from, read.key}
		switch value, seen := once[n]; {
		case !seen:
			once[n] = read.value
			d.reads = append(d.reads, read)
			if !slices.Contains(d.sources, read.from) {
				d.sources = append(d.sources, read.from)
			}
		case value != read.value:
			return nil, false
		}
	}
	d.reads = slices.Clip(d.reads)
	return d, true
}

// Dependencies is a dependency set: the keys that the loaders were asked for, and the values that
// they returned. It is safe for concurrent use.
type Dependencies struct {
	reads    []dependency
	sources  []source // of them, each once
	validity atomic.Pointer[validity]
}

// validity proves, without a load, that the loaders would return the same values.
type validity struct {
	token *cache.Validity
	names []string
}

// Size is about the size of d in bytes, without the values that it shares with the caches.
func (d *Dependencies) Size() int {
	size := 150
	for _, r := range d.reads {
		size += 48 + 20 + 2*len(r.key) // itself, its name and the hash of that, and their text
	}
	return size
}

// AttachValidity gives d a validity token, if all its dependencies are in the process's memory.
func (l *Loaders) AttachValidity(ctx context.Context, d *Dependencies) {
	ctx, recorder := l.store.Cache().Record(WithRecorder(ctx, nil))
	if !New(l.store).same(ctx, []*Dependencies{d})[0] {
		return
	}
	if token, names, ok := recorder.End(); ok {
		d.validity.Store(&validity{token, slices.Clone(names)})
	}
}

// Track returns a recorder of all reads of the caches under its context.
func (l *Loaders) Track(ctx context.Context) (context.Context, *cache.Recorder) {
	return l.store.Cache().Record(ctx)
}

// AttachTracked is AttachValidity with a token for d and for all that tracked has recorded. It
// reports whether there is one.
func (l *Loaders) AttachTracked(ctx context.Context, d *Dependencies, tracked *cache.Recorder) bool {
	token, names, ok := tracked.End()
	if !ok {
		return false
	}
	ctx, recorder := l.store.Cache().Record(WithRecorder(ctx, nil))
	if !New(l.store).same(ctx, []*Dependencies{d})[0] || !token.ValidNow() { // so since recorder began nothing of it was dropped
		return false
	}
	token.AddTo(ctx, names)
	token, names, ok = recorder.End()
	if ok {
		d.validity.Store(&validity{token, slices.Clone(names)})
	}
	return ok
}

// Stale returns the indexes of the sets that aren't valid for this response: some dependency has
// another value now, or isn't in the process's memory. The response adopts the dependencies of
// the valid sets: they are recorded as read, and resolved, so that later loads of the response
// agree with them.
func (l *Loaders) Stale(ctx context.Context, sets []*Dependencies) (stale []int) {
	for i, d := range sets {
		if !l.Adopt(ctx, d) {
			stale = append(stale, i)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	asked := make([]*Dependencies, len(stale))
	for i, at := range stale {
		asked[i] = sets[at]
	}
	differ := stale[:0]
	for i, same := range l.same(ctx, asked) {
		if same {
			l.AttachValidity(ctx, asked[i])
		} else {
			differ = append(differ, stale[i])
		}
	}
	return differ
}

// Adopt makes the dependencies of d resolved in this response, and records them as read. It does so
// if d has a valid token and the response has resolved none of them to another value, and reports
// whether it did.
func (l *Loaders) Adopt(ctx context.Context, d *Dependencies) bool {
	v := d.validity.Load()
	if v == nil {
		return false
	}
	l.resolving.Lock()
	defer l.resolving.Unlock()
	if !v.token.ValidNow() {
		return false
	}
	for _, from := range d.sources {
		if l.resolves(from) && !l.known(from).mayAdopt(d.reads) {
			return false
		}
	}
	l.adopt(d)
	v.token.AddTo(ctx, v.names)
	return true
}

// resolves reports whether anything of from may be resolved in this response.
func (l *Loaders) resolves(from source) bool {
	return slices.ContainsFunc(l.made, func(m made) bool { return m.from == from }) ||
		slices.ContainsFunc(l.adopted, func(d *Dependencies) bool { return slices.Contains(d.sources, from) })
}

// adopt makes the dependencies of d resolved. It makes no loader: most are never asked for anything
// that no fragment has. The caller holds resolving.
func (l *Loaders) adopt(d *Dependencies) {
	l.adopted = append(l.adopted, d)
	for _, m := range l.made {
		if slices.Contains(d.sources, m.from) {
			m.loader.adopt(d.reads)
		}
	}
}

// record adds the values of ks to the recorder of ctx.
func (l *Loader[K, T]) record(ctx context.Context, ks []K, values []*T) {
	r := RecorderFrom(ctx)
	if r == nil {
		return
	}
	if l.from == nil {
		r.MarkUncacheable()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range ks {
		if l.shows != nil && !l.shows(k) {
			r.uncacheable = true
			return
		}
		r.reads = append(r.reads, dependency{l.from, string(k), values[i]})
	}
}

// verifiable is a loader of any type, for comparing dependencies with present values.
type verifiable interface {
	verify(ctx context.Context, sets []*Dependencies, same []bool)
	// The caller of the others holds Loaders.resolving.
	forget()
	agrees(dependency) bool
	mayAdopt([]dependency) bool
	adopt([]dependency)
}

// same reports for each set whether all its keys have the same values now. It asks for all of
// them like a response, but in the process's memory only: a value elsewhere isn't the same.
func (l *Loaders) same(ctx context.Context, sets []*Dependencies) []bool {
	ctx = cache.MemoryOnly(ctx)
	same := make([]bool, len(sets))
	var sources []source
	for i, d := range sets {
		same[i] = true
		for _, from := range d.sources {
			if !slices.Contains(sources, from) {
				sources = append(sources, from)
			}
		}
	}
	for _, from := range sources {
		l.loader(from).verify(ctx, sets, same)
	}
	return same
}

// mayAdopt reports whether the response has resolved no key of reads to another value.
func (l *Loader[K, T]) mayAdopt(reads []dependency) bool {
	l.resolveAdopted()
	if len(l.resolved) == 0 {
		return true
	}
	for _, r := range reads {
		if r.from != l.from {
			continue
		}
		was, _ := r.value.(*T)
		if n, ok := l.resolved[K(r.key)]; ok && (n.later != nil || n.value != was) {
			return false
		}
	}
	return true
}

// adopt makes reads of l resolved. It costs nothing until l is asked for something.
func (l *Loader[K, T]) adopt(reads []dependency) { l.adopted = append(l.adopted, reads) }

// resolveAdopted moves the adopted dependencies to resolved. The caller holds mu.
func (l *Loader[K, T]) resolveAdopted() {
	for _, reads := range l.adopted {
		for _, r := range reads {
			if r.from != l.from {
				continue
			}
			if _, ok := l.resolved[K(r.key)]; !ok {
				was, _ := r.value.(*T)
				l.put(K(r.key), resolved[T]{value: was})
			}
		}
	}
	l.adopted = nil
}

// Agrees reports whether this response has resolved all dependencies of d to the same values.
func (l *Loaders) Agrees(d *Dependencies) bool {
	l.resolving.Lock()
	defer l.resolving.Unlock()
	for _, r := range d.reads {
		if !l.known(r.from).agrees(r) {
			return false
		}
	}
	return true
}

func (l *Loader[K, T]) agrees(r dependency) bool {
	l.resolveAdopted()
	return l.is(r)
}

// is reports whether r's key is resolved to r's value. The caller holds mu.
func (l *Loader[K, T]) is(r dependency) bool {
	n, ok := l.resolved[K(r.key)]
	was, _ := r.value.(*T)
	return ok && n.later == nil && n.value == was
}

// verify clears same for the sets with a dependency of l that has another value now.
func (l *Loader[K, T]) verify(ctx context.Context, sets []*Dependencies, same []bool) {
	n := 0
	for _, d := range sets {
		for _, r := range d.reads {
			if r.from == l.from {
				n++
			}
		}
	}
	ks := make([]K, 0, n)
	l.mu.Lock()
	l.resolveAdopted()
	for i, d := range sets {
		for _, r := range d.reads {
			if same[i] && r.from == l.from {
				if _, ok := l.resolved[K(r.key)]; !ok {
					ks = append(ks, K(r.key))
				}
			}
		}
	}
	l.mu.Unlock()
	if len(ks) > 0 {
		_, _ = l.resolveFromMemory(ctx, ks) // after an error a later load fails in its resolver, and the error is handled there
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, d := range sets {
		for _, r := range d.reads {
			if same[i] && r.from == l.from {
				same[i] = l.is(r)
			}
		}
	}
}
