package graph

import (
	"context"

	"stoa/dataloader"
	"stoa/store"
)

func (tag) ArticleCount(ctx context.Context, t *store.Tag) (int, error) {
	return loaders(ctx).CountUnder(ctx, t.ID)
}

func (tag) Articles(ctx context.Context, t *store.Tag, first *int, after *string, last *int, before *string) (*dataloader.ArticleConnection, error) {
	return loaders(ctx).ArticlesTagged(t, window(first, after, last, before))
}
