package dataloader

import (
	"context"
	"errors"
	"sync"

	"stoa/problem"
	"stoa/store/cache"
)

// Loader is what one response knows of one kind of thing: each is asked of the store at
// most once, those that are asked for together in one batch. What was known once stays so
// for the rest of the response, a failure included, so that an answer agrees with itself.
type Loader[K comparable, T any] struct {
	fetch func(context.Context, []K) ([]*T, error)
	what  string // for messages: "article"

	mu    sync.Mutex
	known map[K]result[T]
}

type result[T any] struct {
	value *T
	err   error
}

func newLoader[K comparable, T any](what string, fetch func(context.Context, []K) ([]*T, error)) *Loader[K, T] {
	return &Loader[K, T]{fetch: fetch, what: what, known: map[K]result[T]{}}
}

// All returns what each of ks names, in their order: nil for what there isn't.
func (l *Loader[K, T]) All(ctx context.Context, ks []K) ([]*T, error) {
	var none K
	var unknown []K
	l.mu.Lock()
	for _, k := range ks {
		if _, ok := l.known[k]; !ok && k != none {
			unknown = append(unknown, k)
		}
	}
	l.mu.Unlock()
	if len(unknown) > 0 {
		if err := l.load(ctx, unknown); err != nil {
			return nil, err
		}
	}
	out := make([]*T, len(ks))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, k := range ks {
		r := l.known[k]
		if r.err != nil {
			return nil, r.err
		}
		out[i] = r.value
	}
	return out, nil
}

func (l *Loader[K, T]) load(ctx context.Context, ks []K) error {
	values, err := l.fetch(ctx, ks)
	if errors.Is(err, cache.ErrNotInMemory) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, k := range ks {
		if _, ok := l.known[k]; ok {
			continue // another field was faster: the first answer stands
		}
		r := result[T]{err: err}
		if err == nil {
			r.value = values[i]
		}
		l.known[k] = r
	}
	return nil
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
