package dataloader

// Results of a search as a connection: entities of several kinds, with highlighted titles and
// snippets. Entry points: Found, SearchConnection, SearchEdge.

import (
	"context"

	"stoa/id"
	"stoa/search"
	"stoa/store"
)

// SearchConnection is a part of a query's results: entities of several kinds.
type SearchConnection struct {
	Connection[store.Node]
	loaders *Loaders
	query   *search.Query
}

// SearchEdge is one result.
type SearchEdge struct {
	Node    store.Node
	Cursor  string
	loaders *Loaders
	query   *search.Query
}

// Found returns a connection over list, the results of q, or err.
func (l *Loaders) Found(q *search.Query, list *store.List, err error) (*SearchConnection, error) {
	if err != nil {
		return nil, err
	}
	return &SearchConnection{Connection: Connection[store.Node]{page: list.Page, count: list.Count}, loaders: l, query: q}, nil
}

// Nodes returns the entities of the page, loaded in one batch for each kind. An entity that is no
// longer public is left out.
func (c *SearchConnection) Nodes(ctx context.Context) ([]store.Node, error) {
	edges, err := c.Edges(ctx)
	nodes := make([]store.Node, len(edges))
	for i, e := range edges {
		nodes[i] = e.Node
	}
	return nodes, err
}

// Edges returns the entities of the page with their cursors.
func (c *SearchConnection) Edges(ctx context.Context) ([]*SearchEdge, error) {
	p, err := c.Page(ctx)
	if err != nil {
		return nil, err
	}
	ids, _ := c.IDs(ctx)
	found := map[id.ID]store.Node{}
	for _, err := range []error{
		store.Gather(ctx, found, ids, id.Article, Of(c.loaders, store.Articles).All),
		store.Gather(ctx, found, ids, id.Author, Of(c.loaders, store.Authors).All),
		store.Gather(ctx, found, ids, id.Tag, Of(c.loaders, store.Tags).All),
	} {
		if err != nil {
			return nil, err
		}
	}
	edges := make([]*SearchEdge, 0, len(ids))
	for i, k := range ids {
		if n := found[k]; n != nil {
			edges = append(edges, &SearchEdge{n, p.Cursor(i), c.loaders, c.query})
		}
	}
	return edges, nil
}

// TitleHTML returns the title or the name as HTML, with the words of the query highlighted.
func (e *SearchEdge) TitleHTML() string {
	switch n := e.Node.(type) {
	case *store.Article:
		return e.query.Highlight(n.Title)
	case *store.Author:
		return e.query.Highlight(n.Name)
	case *store.Tag:
		return e.query.Highlight(n.Name)
	}
	return ""
}

// SnippetHTML returns the passage with the most words of the query, as HTML with those highlighted.
// For an article it is from the text, or from the summary if the text has none of the words.
func (e *SearchEdge) SnippetHTML(ctx context.Context) (string, error) {
	switch n := e.Node.(type) {
	case *store.Article:
		html, err := e.loaders.HTML(ctx, n)
		if err != nil {
			return "", err
		}
		text, found := e.query.Snippet(search.Plain(html))
		if summary, has := e.query.Snippet(n.Summary); !found && (has || summary != "") {
			text = summary
		}
		return text, nil
	case *store.Author:
		text, _ := e.query.Snippet(search.Plain(n.BioHTML))
		return text, nil
	case *store.Tag:
		text, _ := e.query.Snippet(n.Description)
		return text, nil
	}
	return "", nil
}
