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
	find    Find
}

// Find adds to found the public documents with ids, in one batch for each kind.
type Find func(ctx context.Context, l *Loaders, ids []id.ID, found map[id.ID]store.Node) error

// SearchEdge is one result.
type SearchEdge struct {
	Node    store.Node
	Cursor  string
	loaders *Loaders
	query   *search.Query
}

// Found returns a connection over list, the results of q, or err. find loads the entities.
func (l *Loaders) Found(find Find, q *search.Query, list *store.List, err error) (*SearchConnection, error) {
	if err != nil {
		return nil, err
	}
	return &SearchConnection{Connection: Connection[store.Node]{page: list.Page, count: list.Count}, loaders: l, query: q, find: find}, nil
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
	if err := c.find(ctx, c.loaders, ids, found); err != nil {
		return nil, err
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
	return e.query.Highlight(store.WordsOf(e.Node).Title)
}

// SnippetHTML returns the passage with the most words of the query, as HTML with those highlighted.
// It is from the text, or from the summary if the text has none of the words.
func (e *SearchEdge) SnippetHTML(ctx context.Context) (string, error) {
	words := store.WordsOf(e.Node)
	if a, ok := e.Node.(*store.Article); ok {
		var err error
		if words.Body, err = e.loaders.HTML(ctx, a); err != nil {
			return "", err
		}
	}
	text, found := e.query.Snippet(search.Plain(words.Body))
	if summary, has := e.query.Snippet(words.Summary); !found && (has || summary != "") {
		text = summary
	}
	return text, nil
}
