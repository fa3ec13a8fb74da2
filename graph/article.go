package graph

// Fields of Article that don't follow from the schema: its text and excerpt, comments, related and
// neighbouring articles. Its other edges are in rows.go, its revisions in writing.go.

import (
	"context"

	"stoa/blog"
	"stoa/dataloader"
	"stoa/store"
)

func (article) BodyMarkdown(ctx context.Context, a *store.Article) (string, error) {
	return loaders(ctx).Markdown(ctx, a)
}

func (article) BodyHTML(ctx context.Context, a *store.Article) (string, error) {
	return loaders(ctx).HTML(ctx, a)
}

func (article) TableOfContents(ctx context.Context, a *store.Article) ([]*store.Heading, error) {
	return loaders(ctx).Headings(ctx, a)
}

func (article) Excerpt(_ context.Context, a *store.Article, words int) (string, error) {
	return blog.Excerpt(a, words)
}

func (article) Comments(ctx context.Context, a *store.Article, first *int, after *string, last *int, before *string) (*dataloader.CommentConnection, error) {
	return loaders(ctx).CommentsOn(a, window(first, after, last, before))
}

func (article) CommentCount(ctx context.Context, a *store.Article) (int, error) {
	return loaders(ctx).CountUnder(ctx, store.ChildrenKey(a.ID))
}

func (article) Related(ctx context.Context, a *store.Article, first int) ([]*store.Article, error) {
	return loaders(ctx).Related(ctx, a, first)
}

func (article) Next(ctx context.Context, a *store.Article) (*store.Article, error) {
	return orNull(loaders(ctx).Next(ctx, a))
}

func (article) Previous(ctx context.Context, a *store.Article) (*store.Article, error) {
	return orNull(loaders(ctx).Previous(ctx, a))
}
