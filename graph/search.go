package graph

// The root field search, and the edges from its results. Entry points: Search, toFound.

import (
	"context"

	"stoa/dataloader"
	"stoa/id"
	"stoa/store"
)

func (q query) Search(ctx context.Context, text string, types []id.Kind, first *int, after *string) (*dataloader.SearchConnection, error) {
	query, list, err := q.Index.Search(ctx, text, types, window(first, after, nil, nil))
	return loaders(ctx).Found(find, query, list, err)
}

// toFound is an edge from pages of results to the results on them.
func toFound[C any](on func(*dataloader.SearchConnection, context.Context) ([]C, error)) edge {
	return func(ctx context.Context, _ *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
		var out []any
		for _, p := range parents {
			found, err := on(p.(*dataloader.SearchConnection), ctx)
			if err != nil {
				return nil, err
			}
			for _, c := range found {
				out = append(out, c)
			}
		}
		return out, nil
	}
}

// toFoundNode is the edge from a result to its entity. The entity is loaded already.
func toFoundNode(_ context.Context, _ *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
	out := make([]any, len(parents))
	for i, p := range parents {
		out[i] = p.(*dataloader.SearchEdge).Node
	}
	return out, nil
}

// toFoundText is the edge from results to the revisions of articles, for cutting snippets.
func toFoundText(ctx context.Context, l *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
	var texts []id.ID
	for _, p := range parents {
		if a, ok := p.(*dataloader.SearchEdge).Node.(*store.Article); ok {
			texts = append(texts, textOf(a))
		}
	}
	_, err := revisions(l).All(ctx, texts)
	return nil, err
}
