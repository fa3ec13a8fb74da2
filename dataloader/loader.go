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
	fetch func(context.Context, []K) ([]*T, error)
	what  string       // for messages: "article"
	from  source       // its identity in dependencies; nil if its results make a response uncacheable
	shows func(K) bool // whether the thing of a key is the same for everybody; nil for all

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

type memoryOnly struct{}

// MemoryOnly is cache.MemoryOnly for loaders, too: a read that would have to wait, for the store or
// for another read of the response, returns cache.ErrNotInMemory.
func MemoryOnly(ctx context.Context) context.Context {
	return context.WithValue(cache.MemoryOnly(ctx), memoryOnly{}, true)
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

// look puts the known things into out, and loads those that nobody else in the response is loading.
// The other results are returned, some of them still to be waited for; nil for none.
func (l *Loader[K, T]) look(ctx context.Context, ks []K, out []*T) []*result[T] {
	var none K
	var results []*result[T]
	var unknown []K
	var mine map[K]*result[T]
	waits := false
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
		if results == nil {
			results, mine = make([]*result[T], len(ks)), make(map[K]*result[T], len(ks)-i)
			waits = ctx.Value(memoryOnly{}) == nil
		}
		r := n.later
		if !is || !r.settled() && !waits {
			if r = mine[k]; r == nil {
				r = &result[T]{}
				mine[k] = r
				unknown = append(unknown, k)
			}
			if waits {
				if r.done == nil {
					r.done = make(chan struct{})
				}
				l.put(k, resolved[T]{later: r})
			}
		}
		results[i] = r
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

// isDone is the done of a look into memory: nobody else waits for that.
var isDone = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (r *result[T]) settled() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// load reads ks from the store, and resolves their results in every case: after a panic, all callers
// get it as an error. Things found in the process's memory are resolved, too, for the rest of the
// response.
func (l *Loader[K, T]) load(ctx context.Context, ks []K, results map[K]*result[T]) {
	var values []*T
	var err error
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("load %s: panic: %v\n%s", l.what, p, debug.Stack())
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.resolveAdopted()
		for i, k := range ks {
			r := results[k]
			now := resolved[T]{later: r}
			if r.err = err; err == nil {
				r.value = values[i]
				now = resolved[T]{value: r.value}
			}
			if r.done == nil {
				r.done = isDone
			} else {
				close(r.done)
			}
			is, ok := l.resolved[k]
			switch mine := ok && is.later == r; {
			case errors.Is(err, cache.ErrNotInMemory):
				if mine {
					delete(l.resolved, k)
				}
			case mine || !ok:
				l.put(k, now)
			}
		}
	}()
	values, err = l.fetch(ctx, ks)
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
