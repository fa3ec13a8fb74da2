package graph

import (
	"context"

	"stoa/dataloader"
	"stoa/store"
)

func (author) ArticleCount(ctx context.Context, a *store.Author) (int, error) {
	return loaders(ctx).CountUnder(ctx, a.ID)
}

func (author) Articles(ctx context.Context, a *store.Author, first *int, after *string, last *int, before *string) (*dataloader.ArticleConnection, error) {
	return loaders(ctx).ArticlesBy(a, window(first, after, last, before))
}
