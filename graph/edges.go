package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/dataloader"
	"stoa/graph/fragment"
	"stoa/id"
	"stoa/store"
)

// edge loads one field of every parent, into the loaders, and returns the values under
// which the query goes on.
type edge func(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error)

// objectType is a type of the schema that has edges.
type objectType struct {
	satisfies []string // the type and its interfaces, as generated/ lists them
	edges     map[string]edge
}

// subject returns the subject of an object's fragments. Published entities, and pages of lists of
// them, have one.
func subject(v any) fragment.Subject {
	switch v := v.(type) {
	case *store.Article:
		return fragment.Subject{Of: v, Name: string(v.ID), Types: articleType.satisfies}
	case *store.Author:
		return fragment.Subject{Of: v, Name: string(v.ID), Types: authorType.satisfies}
	case *store.Tag:
		return fragment.Subject{Of: v, Name: string(v.ID), Types: tagType.satisfies}
	case *store.Comment:
		return fragment.Subject{Of: v, Name: string(v.ID), Types: commentType.satisfies}
	case *dataloader.ArticleConnection:
		return pageOf(v, articlesType)
	case *dataloader.AuthorConnection:
		return pageOf(v, authorsType)
	case *dataloader.TagConnection:
		return pageOf(v, tagsType)
	}
	return fragment.Subject{}
}

func pageOf[T any](c *dataloader.Connection[T], t *objectType) fragment.Subject {
	of, name := c.Cached()
	return fragment.Subject{Of: of, Name: name, Types: t.satisfies}
}

// fragmentTypes are the types of what is published.
var fragmentTypes = []*objectType{articleType, authorType, tagType, commentType}

// pure are the resolvers of such objects, and of what hangs on them, that read nothing but
// the object itself and their arguments. A field that is neither here nor an edge makes its fragment uncacheable.
var pure = map[string]bool{"Article.excerpt": true, "Image.url": true}

// Every field that isn't in the object itself has its line here, under its name in the
// schema. The walk over the schema in tests/ fails when one is missing.
var (
	articleType = &objectType{[]string{"Article", "Node", "SearchResult"}, map[string]edge{
		"bodyMarkdown":    toOne(revisions, textOf),
		"bodyHtml":        toOne(revisions, textOf),
		"tableOfContents": toOne(revisions, textOf),
		"author":          toOne(authors, func(a *store.Article) id.ID { return first(a.AuthorIDs) }),
		"authors":         toMany(authors, func(a *store.Article) []id.ID { return a.AuthorIDs }),
		"tags":            toMany(tags, func(a *store.Article) []id.ID { return a.TagIDs }),
		"comments":        toChildren((*store.Article).NodeID, (*dataloader.Loaders).CommentsOn),
		"commentCount":    toCount((*store.Article).NodeID),
		"related":         toRelated,
		"next":            toNeighbour(func(n *store.Neighbours) id.ID { return n.Newer }),
		"previous":        toNeighbour(func(n *store.Neighbours) id.ID { return n.Older }),
		"revisions":       toRevisions,
	}}
	authorType = &objectType{[]string{"Author", "Node", "SearchResult"}, map[string]edge{
		"articles":     toChildren((*store.Author).NodeID, (*dataloader.Loaders).ArticlesBy),
		"articleCount": toCount((*store.Author).NodeID),
	}}
	tagType = &objectType{[]string{"Tag", "Node", "SearchResult"}, map[string]edge{
		"articles":     toChildren((*store.Tag).NodeID, (*dataloader.Loaders).ArticlesTagged),
		"articleCount": toCount((*store.Tag).NodeID),
	}}
	commentType = &objectType{[]string{"Comment", "Node"}, map[string]edge{
		"article":    toOne(articles, threadOf),
		"parent":     toOne(comments, func(c *store.Comment) id.ID { return c.ParentID }),
		"replies":    toChildren(threadOf, (*dataloader.Loaders).RepliesTo),
		"replyCount": toCount(threadOf),
		"depth":      toCount(threadOf),
	}}
	viewerType = &objectType{[]string{"Viewer"}, map[string]edge{
		"account":  toOne(accounts, accountOf),
		"session":  toOne(sessions, func(v *access.Viewer) id.ID { return v.Session }),
		"sessions": toChildren(accountOf, (*dataloader.Loaders).SessionsOf),
		"comments": toOwnComments, "commentQueue": toCommentQueue,
	}}
	sessionType = &objectType{[]string{"Session", "Node"}, map[string]edge{
		"lastUsedAt": toOne(lastUses, (*store.Session).NodeID),
	}}
	searchType = &objectType{[]string{"SearchConnection"}, map[string]edge{
		"nodes": toFound((*dataloader.SearchConnection).Nodes),
		"edges": toFound((*dataloader.SearchConnection).Edges),
	}}
	searchEdgeType = &objectType{[]string{"SearchEdge"}, map[string]edge{
		"node":        toFoundNode,
		"snippetHtml": toFoundText,
	}}
	submissionType = &objectType{[]string{"Submission"}, map[string]edge{
		"article": toOne(articles, func(x *store.Submission) id.ID { return x.ArticleID }),
		"comment": toShown,
	}}
	submissionsType    = connectionType[store.Submission]("SubmissionConnection")
	submissionEdgeType = edgeType[store.Submission]("SubmissionEdge")

	accountsType    = connectionType[store.Account]("AccountConnection")
	sessionsType    = connectionType[store.Session]("SessionConnection")
	accountEdgeType = edgeType[store.Account]("AccountEdge")
	sessionEdgeType = edgeType[store.Session]("SessionEdge")
	articlesType    = connectionType[store.Article]("ArticleConnection")
	authorsType     = connectionType[store.Author]("AuthorConnection")
	tagsType        = connectionType[store.Tag]("TagConnection")
	commentsType    = connectionType[store.Comment]("CommentConnection")
	articleEdgeType = edgeType[store.Article]("ArticleEdge")
	authorEdgeType  = edgeType[store.Author]("AuthorEdge")
	tagEdgeType     = edgeType[store.Tag]("TagEdge")
	commentEdgeType = edgeType[store.Comment]("CommentEdge")

	revisionsType    = connectionType[store.Revision]("RevisionConnection")
	revisionEdgeType = edgeType[store.Revision]("RevisionEdge")
)

// typeOf returns the type of a value; nil for one without edges.
func typeOf(v any) *objectType {
	switch v.(type) {
	case *store.Article:
		return articleType
	case *store.Author:
		return authorType
	case *store.Tag:
		return tagType
	case *store.Comment:
		return commentType
	case *access.Viewer:
		return viewerType
	case *store.Session:
		return sessionType
	case *store.Submission:
		return submissionType
	case *dataloader.SubmissionConnection:
		return submissionsType
	case *dataloader.SubmissionEdge:
		return submissionEdgeType
	case *dataloader.AccountConnection:
		return accountsType
	case *dataloader.SessionConnection:
		return sessionsType
	case *dataloader.AccountEdge:
		return accountEdgeType
	case *dataloader.SessionEdge:
		return sessionEdgeType
	case *dataloader.ArticleConnection:
		return articlesType
	case *dataloader.AuthorConnection:
		return authorsType
	case *dataloader.TagConnection:
		return tagsType
	case *dataloader.CommentConnection:
		return commentsType
	case *dataloader.ArticleEdge:
		return articleEdgeType
	case *dataloader.AuthorEdge:
		return authorEdgeType
	case *dataloader.TagEdge:
		return tagEdgeType
	case *dataloader.CommentEdge:
		return commentEdgeType
	case *dataloader.SearchConnection:
		return searchType
	case *dataloader.SearchEdge:
		return searchEdgeType
	case *dataloader.RevisionConnection:
		return revisionsType
	case *dataloader.RevisionEdge:
		return revisionEdgeType
	}
	return nil
}

// flatten calls yield with each value, and with each element of those that are lists.
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

func accounts(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.Account]   { return l.Accounts }
func sessions(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.Session]   { return l.Sessions }
func lastUses(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.LastUse]   { return l.LastUses }
func articles(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.Article]   { return l.Articles }
func authors(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.Author]     { return l.Authors }
func comments(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.Comment]   { return l.Comments }
func revisions(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.Revision] { return l.Revisions }
func tags(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.Tag]           { return l.Tags }

func accountOf(v *access.Viewer) id.ID { return v.Account }
func textOf(a *store.Article) id.ID    { return a.RevisionID }
func threadOf(c *store.Comment) id.ID  { return c.ArticleID }

// toOne is an edge to the one thing that a parent names.
func toOne[P, C any](items func(*dataloader.Loaders) *dataloader.Loader[id.ID, C], key func(*P) id.ID) edge {
	return toMany(items, func(p *P) []id.ID { return []id.ID{key(p)} })
}

// toMany is an edge to the things that a parent names.
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
func toChildren[P, C any](parent func(*P) id.ID, part func(*dataloader.Loaders, *P, store.Window) (*dataloader.Connection[C], error)) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error) {
		w := windowOf(args)
		if _, err := l.Children.All(ctx, childrenKeys(parents, parent, w)); err != nil {
			return nil, err
		}
		var out []any
		for _, p := range parents {
			c, err := part(l, p.(*P), w)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
		return out, nil
	}
}

// toRevisions is the edge to what articles said; to nothing for those who may not know.
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
	_, err := l.Children.All(ctx, keys)
	return out, err
}

// toCount is an edge to a number that is read off the list under a parent.
func toCount[P any](parent func(*P) id.ID) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
		keys := childrenKeys(parents, parent, store.Window{})
		found, err := l.Children.All(ctx, keys)
		if err != nil {
			return nil, err
		}
		for i, c := range found {
			if _, all := c.Len(); all {
				keys[i] = ""
			}
		}
		_, err = l.ChildrenCounts.All(ctx, keys)
		return nil, err
	}
}

func childrenKeys[P any](parents []any, parent func(*P) id.ID, w store.Window) []store.ChildrenKey {
	keys := make([]store.ChildrenKey, len(parents))
	for i, p := range parents {
		keys[i] = store.ChildrenKey(parent(p.(*P))).End(w)
	}
	return keys
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

// toNeighbour is an edge from articles to those beside them in the list of all.
func toNeighbour(side func(*store.Neighbours) id.ID) edge {
	return func(ctx context.Context, l *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
		positions := make([]store.Position, len(parents))
		for i, p := range parents {
			positions[i] = store.PositionOf(p.(*store.Article))
		}
		beside, err := l.Neighbours.All(ctx, positions)
		if err != nil {
			return nil, err
		}
		ids := make([]id.ID, len(beside))
		for i, n := range beside {
			ids[i] = side(n)
		}
		found, err := l.Articles.Present(ctx, ids)
		return values(found), err
	}
}

// connectionType is a page of a list; its elements are loaded for all pages at once.
func connectionType[T any](name string) *objectType {
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
	return &objectType{[]string{name}, map[string]edge{
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

// edgeType is an element with its cursor; the element is loaded already.
func edgeType[T any](name string) *objectType {
	return &objectType{[]string{name}, map[string]edge{
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

// windowOf reads the arguments by which a list is paged. What isn't right is left for the
// resolver to refuse.
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
