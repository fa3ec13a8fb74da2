package graph

// The edges of the schema for look-ahead: functions that load one field for all parents at once.
// Entry points: edges, the table of those that the generator doesn't write; toOne, toMany and the
// like, for both tables.

import (
	"context"
	"strings"

	"github.com/99designs/gqlgen/graphql"

	"stoa/dataloader"
	"stoa/graph/fragment"
	"stoa/id"
	"stoa/store"
)

// edge loads one field of every parent into the loaders. It returns the values of the field, as the
// parents of the next level.
type edge func(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error)

// objectType is a type of the schema that has edges.
type objectType struct {
	satisfies []string // the type and its interfaces, as generated/ lists them
	edges     map[string]edge
}

func pageOf[T any](c *dataloader.Connection[T], t *objectType) fragment.Subject {
	of, name := c.Cached()
	return fragment.Subject{Of: of, Name: name, Types: t.satisfies}
}

// pure are the resolvers in cached fragments that read nothing but the object and their arguments.
// A field with a resolver that is neither here nor an edge makes its fragment uncacheable.
var pure = map[string]bool{"Article.excerpt": true, "Image.url": true}

// edges are the edges that don't follow from the schema, by type and field. The generated ones are
// in rows.go. The walk over the schema in tests/guard fails when one is missing.
var edges = map[string]edge{
	"Article.bodyMarkdown":        toOne(revisions, textOf),
	"Article.bodyHtml":            toOne(revisions, textOf),
	"Article.tableOfContents":     toOne(revisions, textOf),
	"Article.comments":            toChildren((*dataloader.Loaders).CommentsOn),
	"Article.commentCount":        toCount(func(a *store.Article) store.ChildrenKey { return store.ChildrenKey(a.ID) }),
	"Article.related":             toRelated,
	"Article.next":                toNeighbour(func(n *store.Neighbours) id.ID { return n.Newer }),
	"Article.previous":            toNeighbour(func(n *store.Neighbours) id.ID { return n.Older }),
	"Article.revisions":           toRevisions,
	"Comment.replies":             toChildren((*dataloader.Loaders).RepliesTo),
	"Comment.replyCount":          toNumber((*dataloader.Loaders).ReplyCounts),
	"Comment.depth":               toNumber((*dataloader.Loaders).Depths),
	"Viewer.sessions":             toChildren((*dataloader.Loaders).SessionsOf),
	"Viewer.comments":             toOwnComments,
	"Viewer.commentQueue":         toCommentQueue,
	"Session.lastUsedAt":          toOne(dataloader.LastUses.In, (*store.Session).NodeID),
	"SearchConnection.nodes":      toFound((*dataloader.SearchConnection).Nodes),
	"SearchConnection.edges":      toFound((*dataloader.SearchConnection).Edges),
	"SearchEdge.node":             toFoundNode,
	"SearchEdge.snippetHtml":      toFoundText,
	"Submission.comment":          toShown,
	"Product.descriptionMarkdown": toOne(descriptions, (*store.Product).DescriptionID),
	"Product.descriptionHtml":     toOne(descriptions, (*store.Product).DescriptionID),
	"Product.variant":             toMany(variants, func(p *store.Product) []id.ID { return p.VariantIDs }),
}

// newType returns a type with its edges: those that follow from the schema, and those of edges.
func newType(satisfies []string, derived map[string]edge) *objectType {
	for name, e := range edges {
		if of, field, _ := strings.Cut(name, "."); of == satisfies[0] {
			derived[field] = e
		}
	}
	return &objectType{satisfies, derived}
}

// flatten calls yield with each value. For a value that is a list, it calls yield with each element
// instead.
func flatten(values []any, yield func(any)) {
	for _, v := range values {
		switch list := v.(type) {
		case []store.Node:
			for _, n := range list {
				yield(n)
			}
		default:
			yield(v)
		}
	}
}

func textOf(a *store.Article) id.ID { return a.RevisionID }

// toOne is an edge to one entity, whose id is key's result for the parent.
func toOne[P, C any](items func(*dataloader.Loaders) *dataloader.Loader[id.ID, C], key func(*P) id.ID) edge {
	return toMany(items, func(p *P) []id.ID { return []id.ID{key(p)} })
}

// toMany is an edge to several entities, with the ids that keys returns for the parent.
func toMany[P, C any](items func(*dataloader.Loaders) *dataloader.Loader[id.ID, C], keys func(*P) []id.ID) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
		var all []id.ID
		for _, p := range parents {
			all = append(all, keys(p.(*P))...)
		}
		found, err := items(l).Present(ctx, all)
		return values(found), err
	}
}

// toChildren is an edge to a connection cut from the list under a parent.
func toChildren[P, C any](part func(*dataloader.Loaders, *P, store.Window) (*dataloader.Connection[C], error)) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error) {
		lists := make([]*dataloader.Connection[C], len(parents))
		for i, p := range parents {
			var err error
			if lists[i], err = part(l, p.(*P), windowOf(args)); err != nil {
				return nil, err
			}
		}
		return values(lists), dataloader.LoadParts(ctx, l, lists)
	}
}

// toNumber is an edge to a number that load loads for all parents.
func toNumber[P any](load func(*dataloader.Loaders, context.Context, []*P) error) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
		of := make([]*P, len(parents))
		for i, p := range parents {
			of[i] = p.(*P)
		}
		return nil, load(l, ctx, of)
	}
}

// toRevisions is the edge from articles to their revisions. An article that the viewer may not edit
// has none.
func toRevisions(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error) {
	var out []any
	var keys []store.ChildrenKey
	for _, p := range parents {
		a := p.(*store.Article)
		c, err := l.RevisionsOf(ctx, a, windowOf(args))
		if err != nil {
			return nil, err
		}
		if c != nil {
			keys, out = append(keys, store.RevisionsOf(a.ID).End(windowOf(args))), append(out, c)
		}
	}
	_, err := dataloader.Children.In(l).All(ctx, keys)
	return out, err
}

// toList is an edge to a connection cut from a list of documents under a parent.
func toList[P, C any](items func(*dataloader.Loaders) *dataloader.Loader[id.ID, C], key func(*P) store.ChildrenKey) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error) {
		w := windowOf(args)
		keys := make([]store.ChildrenKey, len(parents))
		out := make([]any, len(parents))
		for i, p := range parents {
			k := key(p.(*P))
			c, err := dataloader.Under(l, k, items(l), w)
			if err != nil {
				return nil, err
			}
			keys[i], out[i] = k.End(w), c
		}
		_, err := dataloader.Children.In(l).All(ctx, keys)
		return out, err
	}
}

// toCount is an edge to a number that is read off the list under a parent.
func toCount[P any](key func(*P) store.ChildrenKey) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
		keys := make([]store.ChildrenKey, len(parents))
		for i, p := range parents {
			keys[i] = key(p.(*P))
		}
		found, err := dataloader.Children.In(l).All(ctx, keys)
		if err != nil {
			return nil, err
		}
		for i, c := range found {
			if _, all := c.Len(); all {
				keys[i] = ""
			}
		}
		_, err = dataloader.ChildrenCounts.In(l).All(ctx, keys)
		return nil, err
	}
}

// toRelated is the edge to the first of an article's related articles.
func toRelated(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error) {
	related := toMany(articles, func(a *store.Article) []id.ID { return a.RelatedIDs })
	if _, err := related(ctx, l, parents, nil); err != nil {
		return nil, err
	}
	n, err := graphql.UnmarshalInt(args["first"])
	if err != nil {
		return nil, err
	}
	var out []any
	for _, p := range parents {
		found, err := l.Related(ctx, p.(*store.Article), n)
		if err != nil {
			return nil, err
		}
		out = append(out, values(found)...)
	}
	return out, nil
}

// toNeighbour is an edge from articles to the ones published next after them, or next before.
func toNeighbour(side func(*store.Neighbours) id.ID) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
		positions := make([]store.Position, len(parents))
		for i, p := range parents {
			positions[i] = store.PositionOf(p.(*store.Article))
		}
		beside, err := dataloader.Neighbours.In(l).All(ctx, positions)
		if err != nil {
			return nil, err
		}
		ids := make([]id.ID, len(beside))
		for i, n := range beside {
			ids[i] = side(n)
		}
		found, err := articles(l).Present(ctx, ids)
		return values(found), err
	}
}

// connectionType is the type of pages of a list. The elements of all pages are loaded in one batch.
func connectionType[T any](satisfies []string, _ map[string]edge) *objectType {
	pagesOf := func(parents []any) []*dataloader.Connection[T] {
		pages := make([]*dataloader.Connection[T], len(parents))
		for i, p := range parents {
			pages[i] = p.(*dataloader.Connection[T])
		}
		return pages
	}
	load := func(ctx context.Context, parents []any) ([]*T, error) {
		return dataloader.NodesOf(ctx, pagesOf(parents))
	}
	return &objectType{satisfies, map[string]edge{
		"nodes": func(ctx context.Context, _ *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
			found, err := load(ctx, parents)
			return values(found), err
		},
		"count": func(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error) {
			most, err := graphql.UnmarshalInt(args["max"])
			if err != nil {
				return nil, err
			}
			return nil, dataloader.CountsOf(ctx, l, pagesOf(parents), most)
		},
		"edges": func(ctx context.Context, _ *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
			if _, err := load(ctx, parents); err != nil {
				return nil, err
			}
			var out []any
			for _, p := range parents {
				edges, err := p.(*dataloader.Connection[T]).Edges(ctx)
				if err != nil {
					return nil, err
				}
				out = append(out, values(edges)...)
			}
			return out, nil
		},
	}}
}

// edgeType is the type of elements with their cursors. The elements are loaded already.
func edgeType[T any](satisfies []string, _ map[string]edge) *objectType {
	return &objectType{satisfies, map[string]edge{
		"node": func(_ context.Context, _ *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
			out := make([]any, len(parents))
			for i, p := range parents {
				out[i] = p.(*dataloader.Edge[T]).Node
			}
			return out, nil
		},
	}}
}

func values[T any](list []*T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// windowOf reads the paging arguments. It ignores invalid ones: the resolver refuses them.
func windowOf(args map[string]any) store.Window {
	var w store.Window
	for name, to := range map[string]**int{"first": &w.First, "last": &w.Last} {
		if n, err := graphql.UnmarshalInt(args[name]); err == nil && args[name] != nil {
			*to = &n
		}
	}
	for name, to := range map[string]**string{"after": &w.After, "before": &w.Before} {
		if s, ok := args[name].(string); ok {
			*to = &s
		}
	}
	return w
}
