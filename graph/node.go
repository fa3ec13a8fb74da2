package graph

import (
	"context"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// nodes returns what each id names, nil where there is nothing that the viewer may see: in
// one batch for each kind of thing. Who asks is looked at only for what isn't public.
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

// node returns what an id names; NotFound where there is nothing that the viewer may see.
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
