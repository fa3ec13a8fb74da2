package dataloader

// One loader: batches for one kind of thing, with a memory of one response. Entry points: begin,
// Loader.All, One, Present.

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"stoa/problem"
	"stoa/store/cache"
)

// Loader reads one kind of thing for one response: each thing once at most, and those requested
// together in one batch. A result stays for the rest of the response, or until a mutation in it has
// changed something. A failure stays, too, so that a response agrees with itself.
type Loader[K ~string, T any] struct {
	fetch func(context.Context, []K) ([]*T, error) // under MemoryOnly it may get a key twice
	what  string                                   // for messages: "article"
	from  source                                   // its identity in dependencies; nil if its results make a response uncacheable
	shows func(K) bool                             // whether the thing of a key is the same for everybody; nil for all

	mu       *sync.Mutex // of all loaders of the response
	resolved map[K]resolved[T]
	adopted  [][]dependency // resolved, too, but not in resolved yet: see resolveAdopted
}

// resolved is the value of a key, or the result that will have it, or its error.
type resolved[T any] struct {
	value *T
	later *result[T] // nil if value is set
}

// result has the value of a key when done is closed.
type result[T any] struct {
	done  chan struct{}
	value *T
	err   error
}

func newLoader[K ~string, T any](what string, fetch func(context.Context, []K) ([]*T, error)) *Loader[K, T] {
	return begin(&Loader[K, T]{}, &sync.Mutex{}, what, fetch)
}

// begin makes l a loader that has resolved nothing yet.
func begin[K ~string, T any](l *Loader[K, T], mu *sync.Mutex, what string, fetch func(context.Context, []K) ([]*T, error)) *Loader[K, T] {
	l.mu, l.what, l.fetch = mu, what, fetch
	return l
}

// forget is for a caller that holds mu.
func (l *Loader[K, T]) forget() { l.resolved, l.adopted = nil, nil }

// All returns the things of ks, in their order: nil for the missing ones.
func (l *Loader[K, T]) All(ctx context.Context, ks []K) ([]*T, error) {
	out := make([]*T, len(ks))
	if err := l.into(ctx, ks, out); err != nil {
		RecorderFrom(ctx).MarkUncacheable()
		return nil, err
	}
	l.record(ctx, ks, out)
	return out, nil
}

// into is All into an existing slice.
func (l *Loader[K, T]) into(ctx context.Context, ks []K, out []*T) error {
	if cache.IsMemoryOnly(ctx) {
		return l.fromMemory(ctx, ks, out)
	}
	for i, r := range l.look(ctx, ks, out) {
		if r == nil {
			continue
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if r.err != nil {
			return r.err
		}
		out[i] = r.value
	}
	return nil
}

// fromMemory is into under MemoryOnly: the things that aren't resolved come from the process's memory
// in one batch, and are resolved for the rest of the response.
func (l *Loader[K, T]) fromMemory(ctx context.Context, ks []K, out []*T) error {
	var none K
	var unknown []K
	var at []int // in ks
	l.mu.Lock()
	l.resolveAdopted()
	var failed error
	for i, k := range ks {
		n, is := l.resolved[k]
		switch {
		case k == none:
		case !is || !n.settled():
			unknown, at = append(unknown, k), append(at, i)
		case n.later != nil:
			if out[i] = n.later.value; failed == nil {
				failed = n.later.err
			}
		default:
			out[i] = n.value
		}
	}
	l.mu.Unlock()
	if failed != nil || len(unknown) == 0 {
		return failed
	}
	values, err := l.resolveFromMemory(ctx, unknown)
	if err != nil {
		if !errors.Is(err, cache.ErrNotInMemory) {
			l.fail(unknown, err)
		}
		return err
	}
	for i, v := range values {
		out[at[i]] = v
	}
	return nil
}

// resolveFromMemory reads ks in one batch from the process's memory, and resolves them. It resolves
// none of them if one isn't there.
func (l *Loader[K, T]) resolveFromMemory(ctx context.Context, ks []K) ([]*T, error) {
	values, err := l.read(ctx, ks)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resolveAdopted()
	if l.resolved == nil {
		l.resolved = make(map[K]resolved[T], len(ks))
	}
	for i, k := range ks {
		if _, ok := l.resolved[k]; !ok {
			l.resolved[k] = resolved[T]{value: values[i]}
		}
	}
	return values, nil
}

// look puts the known things into out, and loads those that nobody else in the response is loading.
// The other results are returned, some of them still to be waited for; nil for none.
func (l *Loader[K, T]) look(ctx context.Context, ks []K, out []*T) []*result[T] {
	var none K
	var results, mine []*result[T]
	var unknown []K // of mine
	l.mu.Lock()
	l.resolveAdopted()
	for i, k := range ks {
		if k == none {
			continue
		}
		n, is := l.resolved[k]
		if is && n.later == nil {
			out[i] = n.value
			continue
		}
		if !is {
			n.later = &result[T]{done: make(chan struct{})}
			unknown, mine = append(unknown, k), append(mine, n.later)
			l.put(k, n)
		}
		if results == nil {
			results = make([]*result[T], len(ks))
		}
		results[i] = n.later
	}
	l.mu.Unlock()
	if len(unknown) > 0 {
		l.load(ctx, unknown, mine)
	}
	return results
}

// put resolves k. The caller holds mu.
func (l *Loader[K, T]) put(k K, n resolved[T]) {
	if l.resolved == nil {
		l.resolved = map[K]resolved[T]{}
	}
	l.resolved[k] = n
}

// settled reports whether the value or the error of r is known.
func (r resolved[T]) settled() bool {
	if r.later == nil {
		return true
	}
	select {
	case <-r.later.done:
		return true
	default:
		return false
	}
}

// load reads ks from the store, and settles their results in every case.
func (l *Loader[K, T]) load(ctx context.Context, ks []K, results []*result[T]) {
	values, err := l.read(ctx, ks)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range results {
		if r.err = err; err == nil {
			r.value = values[i]
			if l.resolved[ks[i]].later == r { // else it was forgotten meanwhile
				l.resolved[ks[i]] = resolved[T]{value: r.value}
			}
		}
		close(r.done)
	}
}

// fail resolves those of ks that aren't resolved yet to err.
func (l *Loader[K, T]) fail(ks []K, err error) {
	r := &result[T]{done: make(chan struct{}), err: err}
	close(r.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range ks {
		if _, ok := l.resolved[k]; !ok {
			l.put(k, resolved[T]{later: r})
		}
	}
}

// read is fetch, with the error of a panic.
func (l *Loader[K, T]) read(ctx context.Context, ks []K) (values []*T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("load %s: panic: %v\n%s", l.what, p, debug.Stack())
		}
	}()
	return l.fetch(ctx, ks)
}

// Present is All without the missing things.
func (l *Loader[K, T]) Present(ctx context.Context, ks []K) ([]*T, error) {
	all, err := l.All(ctx, ks)
	out := make([]*T, 0, len(all))
	for _, v := range all {
		if v != nil {
			out = append(out, v)
		}
	}
	return out, err
}

// One returns the thing of k, or NotFound.
func (l *Loader[K, T]) One(ctx context.Context, k K) (*T, error) {
	all, err := l.All(ctx, []K{k})
	if err != nil {
		return nil, err
	}
	if all[0] == nil {
		return nil, problem.New(problem.NotFound, "there is no such %s", l.what)
	}
	return all[0], nil
}
