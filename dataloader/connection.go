package dataloader

// Connections: pages of lists as clients see them, with edges, cursors and counts. Entry points:
// Connection and its methods, NodesOf, CountsOf. Those of the schema are in connections.go.

import (
	"context"
	"sync"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
	"stoa/store/cache"
)

// MaxCount is the highest number up to which a client can have a list counted.
const MaxCount = 10_000

// Connection is a part of a list as clients page through it. Nothing is read until one of
// its fields is asked for.
type Connection[T any] struct {
	page  func(context.Context) (*store.Page, error)
	count func(ctx context.Context, most int) (n int, exact bool, err error)
	items *Loader[id.ID, T]
	cut   bool   // page and count use the loader of a list under a parent
	name  string // the key of a cached page; "" for others
	// uncounted returns the key of the list if its length, up to most, takes a count, and ""
	// otherwise. It is nil for lists that the database orders.
	uncounted func(ctx context.Context, most int) (store.ChildrenKey, error)
	window    *store.ChildrenWindow // nil for lists that the database orders

	mu   sync.Mutex
	read *store.Page
}

// Edge is an element with its place in the list.
type Edge[T any] struct {
	Node   *T
	Cursor string
}

// PageInfo is the position of a page in its list.
type PageInfo struct {
	HasNextPage     bool
	HasPreviousPage bool
	StartCursor     *string
	EndCursor       *string
}

// Count is how many elements a list has, counted no further than asked.
type Count struct {
	Value   int
	IsExact bool
}

// Page returns the ids of the page.
func (c *Connection[T]) Page(ctx context.Context) (*store.Page, error) {
	p, err := c.once(ctx)
	if r := RecorderFrom(ctx); r != nil && (!c.cut || err == nil && p.Cached() != nil) && (err != nil || p.Cached() == nil || p.Cached() != r.Of) {
		r.readPastLoaders()
	}
	return p, err
}

// once reads the page at the first call, and returns the same page afterwards.
func (c *Connection[T]) once(ctx context.Context) (*store.Page, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read != nil {
		return c.read, nil
	}
	p, err := c.page(ctx)
	if err == nil {
		c.read = p
	}
	return p, err
}

// Resolve reads the page if it is in the process's memory.
func (c *Connection[T]) Resolve(ctx context.Context) {
	if c.name != "" {
		_, _ = c.once(cache.MemoryOnly(ctx)) // the resolver of the page meets the error
	}
}

// Cached returns the page's value in the caches, once the page has been read, and the name of
// the page; nil for a page that isn't cached.
func (c *Connection[T]) Cached() (of any, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.name == "" || c.read == nil {
		return nil, ""
	}
	return c.read.Cached(), c.name
}

// IDs returns the ids of the page's elements.
func (c *Connection[T]) IDs(ctx context.Context) ([]id.ID, error) {
	p, err := c.Page(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]id.ID, len(p.Entries))
	for i, e := range p.Entries {
		ids[i] = e.ID
	}
	return ids, nil
}

// NodesOf returns the elements of several pages, loaded in one batch.
func NodesOf[T any](ctx context.Context, pages []*Connection[T]) ([]*T, error) {
	var all []id.ID
	for _, c := range pages {
		ids, err := c.IDs(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, ids...)
	}
	if len(pages) == 0 {
		return []*T{}, nil
	}
	return pages[0].items.Present(ctx, all)
}

// LoadParts loads the lists under parents that pages are cut from: in one batch, and in a second
// one for those that are parts of long threads of comments.
func LoadParts[T any](ctx context.Context, l *Loaders, pages []*Connection[T]) error {
	keys := make([]store.ChildrenKey, len(pages))
	for i, c := range pages {
		keys[i] = c.window.Key()
	}
	found, err := Children.In(l).All(ctx, keys)
	if err != nil {
		return err
	}
	for i, c := range pages {
		keys[i] = c.window.Part(found[i]) // "" loads nothing
	}
	_, err = Children.In(l).All(ctx, keys)
	return err
}

// CountsOf counts the lists of several pages up to most, in one batch.
func CountsOf[T any](ctx context.Context, l *Loaders, pages []*Connection[T], most int) error {
	var keys []store.ChildrenKey
	for _, c := range pages {
		if c.uncounted == nil {
			continue
		}
		key, err := c.uncounted(ctx, most)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	_, err := ChildrenCounts.In(l).All(ctx, keys)
	return err
}

// Nodes returns the elements of the page. One that has gone since the page was read is
// left out.
func (c *Connection[T]) Nodes(ctx context.Context) ([]*T, error) {
	ids, err := c.IDs(ctx)
	if err != nil {
		return nil, err
	}
	return c.items.Present(ctx, ids)
}

// Edges returns the elements of the page with their cursors.
func (c *Connection[T]) Edges(ctx context.Context) ([]*Edge[T], error) {
	p, err := c.Page(ctx)
	if err != nil {
		return nil, err
	}
	ids, _ := c.IDs(ctx)
	nodes, err := c.items.All(ctx, ids)
	if err != nil {
		return nil, err
	}
	edges := make([]*Edge[T], 0, len(nodes))
	for i, n := range nodes {
		if n != nil {
			edges = append(edges, &Edge[T]{n, p.Cursor(i)})
		}
	}
	return edges, nil
}

// PageInfo returns the page's position in its list.
func (c *Connection[T]) PageInfo(ctx context.Context) (*PageInfo, error) {
	p, err := c.Page(ctx)
	if err != nil {
		return nil, err
	}
	info := &PageInfo{HasNextPage: p.HasNext, HasPreviousPage: p.HasPrevious}
	if n := len(p.Entries); n > 0 {
		first, last := p.Cursor(0), p.Cursor(n-1)
		info.StartCursor, info.EndCursor = &first, &last
	}
	return info, nil
}

// Count counts the whole list, up to max.
func (c *Connection[T]) Count(ctx context.Context, max int) (*Count, error) {
	if max < 1 || max > MaxCount {
		return nil, problem.New(problem.Invalid, "max must be between 1 and %d, not %d", MaxCount, max).At("max")
	}
	if !c.cut {
		RecorderFrom(ctx).readPastLoaders()
	}
	n, exact, err := c.count(ctx, max)
	return &Count{n, exact}, err
}
