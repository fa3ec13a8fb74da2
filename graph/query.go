package graph

// Root fields that read published entities: node, nodes, article, author and tag, with their lists.

import (
	"context"

	"stoa/blog"
	"stoa/dataloader"
	"stoa/id"
	"stoa/store"
)

func (q query) Node(ctx context.Context, i id.ID) (store.Node, error) {
	return orNull(q.node(ctx, i))
}

func (q query) Nodes(ctx context.Context, ids []id.ID) ([]store.Node, error) {
	return q.nodes(ctx, ids)
}

func (q query) Article(ctx context.Context, slug string) (*store.Article, error) {
	return orNull(q.Blog.Article(ctx, slug))
}

func (q query) Articles(ctx context.Context, first *int, after *string, last *int, before *string, where *blog.ArticleWhere, orderBy *blog.ArticleOrder) (*dataloader.ArticleConnection, error) {
	list, err := q.Blog.Articles(ctx, where, orderBy, window(first, after, last, before))
	return listed(articles(loaders(ctx)), list, err)
}

func (q query) Author(ctx context.Context, slug string) (*store.Author, error) {
	return orNull(q.Blog.Author(ctx, slug))
}

func (q query) Authors(ctx context.Context, first *int, after *string, last *int, before *string) (*dataloader.AuthorConnection, error) {
	list, err := q.Blog.Authors(window(first, after, last, before))
	return listed(authors(loaders(ctx)), list, err)
}

func (q query) Tag(ctx context.Context, slug string) (*store.Tag, error) {
	return orNull(q.Blog.Tag(ctx, slug))
}

func (q query) Tags(ctx context.Context, first *int, after *string, last *int, before *string) (*dataloader.TagConnection, error) {
	list, err := q.Blog.Tags(window(first, after, last, before))
	return listed(tags(loaders(ctx)), list, err)
}
