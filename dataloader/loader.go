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
type Loader[K comparable, T any] struct {
	fetch func(context.Context, []K) ([]*T, error)
	what  string // for messages: "article"

	mu    sync.Mutex
	known map[K]*result[T]
}

// result is what is known of one thing, or will be when done is closed.
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

func newLoader[K comparable, T any](what string, fetch func(context.Context, []K) ([]*T, error)) *Loader[K, T] {
	return &Loader[K, T]{fetch: fetch, what: what, known: map[K]*result[T]{}}
}

func (l *Loader[K, T]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = map[K]*result[T]{}
}

// All returns what each of ks names, in their order: nil for what there isn't.
func (l *Loader[K, T]) All(ctx context.Context, ks []K) ([]*T, error) {
	out := make([]*T, len(ks))
	for i, r := range l.look(ctx, ks, out) {
		if r == nil {
			continue
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if r.err != nil {
			return nil, r.err
		}
		out[i] = r.value
	}
	return out, nil
}

// look puts what is known into out, and loads what nobody else of the response is loading.
// The rest is in the results, some of them to be waited for; nil where there is no rest.
func (l *Loader[K, T]) look(ctx context.Context, ks []K, out []*T) []*result[T] {
	var none K
	var results []*result[T]
	var unknown []K
	var mine map[K]*result[T]
	l.mu.Lock()
	for i, k := range ks {
		if k == none {
			continue
		}
		r := l.known[k]
		settled := r != nil && r.settled()
		if settled && r.err == nil {
			out[i] = r.value
			continue
		}
		if results == nil {
			results, mine = make([]*result[T], len(ks)), map[K]*result[T]{}
		}
		if waits := ctx.Value(memoryOnly{}) == nil; r == nil || !settled && !waits {
			if r = mine[k]; r == nil {
				r = &result[T]{done: make(chan struct{})}
				mine[k] = r
				unknown = append(unknown, k)
			}
			if waits {
				l.known[k] = r
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
		for i, k := range ks {
			r := results[k]
			if r.err = err; err == nil {
				r.value = values[i]
			}
			close(r.done)
			if known := l.known[k]; errors.Is(err, cache.ErrNotInMemory) {
				if known == r {
					delete(l.known, k)
				}
			} else if known == nil {
				l.known[k] = r
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
