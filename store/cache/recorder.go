package cache

// Dependencies of a response: Record collects them, Recorder.End turns them into a validity token,
// and Validity.Valid checks it.

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Recorder is a dependency recorder: it collects each key and tag that one response asks the caches
// for, absent things included. Every Get under its context adds to it by itself. It is safe for
// concurrent use.
type Recorder struct {
	cache *Cache
	start uint64 // seq before the first read
	began int64  // Unix nanoseconds, likewise

	mu              sync.Mutex
	loaded, expires int64 // Unix nanoseconds: loaded of the oldest entry, expires of the first to expire
	names           []string
	uncacheable     bool
}

type recorderKey struct{}

// Record returns a recorder, and a context that records reads in it.
func (c *Cache) Record(ctx context.Context) (context.Context, *Recorder) {
	start, now := c.seq.Load(), time.Now().UnixNano()
	r := &Recorder{cache: c, start: start, began: now, loaded: now, expires: 1<<63 - 1}
	return context.WithValue(ctx, recorderKey{}, r), r
}

// recorderOf returns the recorder of ctx; nil without one.
func recorderOf(ctx context.Context) *Recorder {
	r, _ := ctx.Value(recorderKey{}).(*Recorder)
	return r
}

// WithoutTracking returns a context without a recorder, for reads of a thing that the caller has
// asked a Table for, or is about to.
func WithoutTracking(ctx context.Context) context.Context {
	return context.WithValue(ctx, recorderKey{}, (*Recorder)(nil))
}

// MarkUncacheable marks the response of ctx as uncacheable: it reads something without a key or a
// tag, so no drop would announce a change of that.
func MarkUncacheable(ctx context.Context) {
	if r := recorderOf(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.uncacheable = true
	}
}

// add adds keys or tags.
func (r *Recorder) add(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, names...)
}

// bound ends the response's life no later than e's; on a nil Recorder it does nothing.
func (r *Recorder) bound(e *entry) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded, r.expires = min(r.loaded, e.loaded), min(r.expires, e.expires)
}

// End returns a validity token for the recorded reads, and their names: sorted, each once. ok is
// false for a response that can't be cached: it was marked uncacheable, or something in it has
// changed already.
func (r *Recorder) End() (s *Validity, names []string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uncacheable {
		return nil, nil, false
	}
	slices.Sort(r.names)
	r.names = slices.Compact(r.names)
	s = &Validity{cache: r.cache, loaded: r.loaded, expires: r.expires}
	deps := make([]uint32, len(r.names))
	for i, name := range r.names {
		deps[i] = r.cache.hash(name)
	}
	slices.Sort(deps)
	s.since(r.start, deps)
	return s, r.names, s.Valid(time.Now().UnixNano())
}

// AddTo adds the recorded reads to the recorder of ctx, for work that is part of a response.
func (r *Recorder) AddTo(ctx context.Context) {
	to := recorderOf(ctx)
	if to == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	to.names = append(to.names, r.names...)
	to.loaded, to.expires = min(to.loaded, r.loaded), min(to.expires, r.expires)
	to.uncacheable = to.uncacheable || r.uncacheable
}

// Began is the time before the first read, in Unix nanoseconds.
func (r *Recorder) Began() int64 { return r.began }

// Validity is a validity token: it tells whether recorded reads would return the same now, for as
// long as an entry in the process would be valid. It is safe for concurrent use.
type Validity struct {
	reads
	cache           *Cache
	loaded, expires int64 // Unix nanoseconds
}

// Valid reports whether the recorded reads are valid at a time, in Unix nanoseconds: none of them
// was dropped or is too old. Each drop is compared once, however often Valid is called, and makes
// only the tokens stale that depend on its key.
func (s *Validity) Valid(now int64) bool {
	if now >= s.expires || !s.current(s.cache) {
		return false
	}
	return now-s.loaded <= int64(shortLife) || s.cache.trusted(now)
}

// ValidNow is Valid for the present.
func (s *Validity) ValidNow() bool { return s.Valid(time.Now().UnixNano()) }

// AddTo adds the recorded reads to the recorder of ctx. names are those that End returned with s.
func (s *Validity) AddTo(ctx context.Context, names []string) {
	r := recorderOf(ctx)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, names...)
	r.loaded, r.expires = min(r.loaded, s.loaded), min(r.expires, s.expires)
}

// Deps is the number of keys and tags read.
func (s *Validity) Deps() int { return len(s.deps) }
