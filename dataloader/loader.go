package dataloader

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"stoa/problem"
	"stoa/store/cache"
)

// Loader is what one response knows of one kind of thing: each is asked of the database at
// most once, those that are asked for together in one batch. What was known once stays so
// for the rest of the response, or until a mutation in it has changed something, a failure
// included, so that an answer agrees with itself.
type Loader[K ~string, T any] struct {
	fetch func(context.Context, []K) ([]*T, error)
	what  string       // for messages: "article"
	from  source       // its identity in dependencies; nil where a result that it takes part in is uncacheable
	shows func(K) bool // whether what a key names is the same for everybody; nil for all

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

// MemoryOnly is cache.MemoryOnly for loaders, too: they return cache.ErrNotInMemory where
// they would have to wait, for others of the response as for the store.
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

// All returns what each of ks names, in their order: nil for what there isn't.
func (l *Loader[K, T]) All(ctx context.Context, ks []K) ([]*T, error) {
	out := make([]*T, len(ks))
	if err := l.into(ctx, ks, out); err != nil {
		RecorderFrom(ctx).MarkUncacheable()
		return nil, err
	}
	l.record(ctx, ks, out)
	return out, nil
}

// into is All into a slice that is there.
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

// look puts what is known into out, and loads what nobody else of the response is loading.
// The rest is in the results, some of them to be waited for; nil where there is no rest.
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

// isDone is the done of what was looked for in memory, for which nobody else waits.
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

// load asks the store for ks and settles their results, whatever happens: a panic becomes
// the error of all who ask. Those that were looked for in memory only, and found, are known
// from then on.
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

// Present is All without what there isn't.
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

// One returns what k names; NotFound when there is none.
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
