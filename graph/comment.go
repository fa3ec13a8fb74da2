package graph

import (
	"context"

	"stoa/dataloader"
	"stoa/store"
)

func (comment) Article(ctx context.Context, c *store.Comment) (*store.Article, error) {
	return orNull(loaders(ctx).Articles.One(ctx, c.ArticleID))
}

func (comment) Parent(ctx context.Context, c *store.Comment) (*store.Comment, error) {
	return orNull(loaders(ctx).Comments.One(ctx, c.ParentID))
}

func (comment) ReplyCount(ctx context.Context, c *store.Comment) (int, error) {
	return loaders(ctx).ReplyCount(ctx, c)
}

func (comment) Replies(ctx context.Context, c *store.Comment, first *int, after *string, last *int, before *string) (*dataloader.CommentConnection, error) {
	return loaders(ctx).RepliesTo(c, window(first, after, last, before))
}
