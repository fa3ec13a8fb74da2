package graph

// The root fields node and nodes: things by their ids.

import (
	"context"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// nodes returns the things with ids, nil for those that the viewer may not see: in one batch for
// each kind. It reads the viewer only for ids of things that aren't public.
func (r Resolver) nodes(ctx context.Context, ids []id.ID) ([]store.Node, error) {
	if len(ids) > store.MaxPageSize {
		return nil, problem.New(problem.Invalid, "ids must be at most %d, not %d", store.MaxPageSize, len(ids)).At("ids")
	}
	found := map[id.ID]store.Node{}
	if err := find(ctx, loaders(ctx), ids, found); err != nil {
		return nil, err
	}
	if err := loaders(ctx).FindFor(ctx, ids, found); err != nil {
		return nil, err
	}
	out := make([]store.Node, len(ids))
	for i, k := range ids {
		out[i] = found[k]
	}
	return out, nil
}

// node returns the thing with an id, or NotFound if the viewer may not see it.
func (r Resolver) node(ctx context.Context, i id.ID) (store.Node, error) {
	found, err := r.nodes(ctx, []id.ID{i})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, problem.New(problem.NotFound, "nothing has the id %s", i)
	}
	return found[0], nil
}
