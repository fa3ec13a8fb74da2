package graph

// Fields and mutations about comments, and the edges of look-ahead for them. A Submission is a
// comment as its owner and editors see it.

import (
	"context"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/blog"
	"stoa/dataloader"
	"stoa/graph/generated"
	"stoa/id"
	"stoa/store"
)

func (comment) Depth(ctx context.Context, c *store.Comment) (int, error) {
	return loaders(ctx).Depth(ctx, c)
}

func (comment) ReplyCount(ctx context.Context, c *store.Comment) (int, error) {
	return loaders(ctx).ReplyCount(ctx, c)
}

func (comment) Replies(ctx context.Context, c *store.Comment, first *int, after *string, last *int, before *string) (*dataloader.CommentConnection, error) {
	return loaders(ctx).RepliesTo(c, window(first, after, last, before))
}

func (submission) Comment(ctx context.Context, x *store.Submission) (*store.Comment, error) {
	return loaders(ctx).ShownOne(ctx, x.ID)
}

func (submission) EditableUntil(_ context.Context, x *store.Submission) (*time.Time, error) {
	return blog.EditableUntil(x), nil
}

func (viewer) Comments(ctx context.Context, v *access.Viewer, first *int, after *string, last *int, before *string) (*dataloader.SubmissionConnection, error) {
	return loaders(ctx).OwnComments(ctx, v, window(first, after, last, before))
}

func (viewer) CommentQueue(ctx context.Context, _ *access.Viewer, first *int, after *string, last *int, before *string, status []store.CommentStatus) (*dataloader.SubmissionConnection, error) {
	return loaders(ctx).CommentQueue(ctx, status, window(first, after, last, before))
}

func (m mutation) CommentAdd(ctx context.Context, in blog.CommentAdd) (*generated.CommentAddPayload, error) {
	made, errs, err := orCommentErrors(m.Comments.Add(ctx, in))
	return &generated.CommentAddPayload{Submission: made, UserErrors: errs}, err
}

func (m mutation) CommentUpdate(ctx context.Context, in blog.CommentUpdate) (*generated.CommentUpdatePayload, error) {
	changed, errs, err := orCommentErrors(m.Comments.Update(ctx, in))
	return &generated.CommentUpdatePayload{Submission: changed, UserErrors: errs}, err
}

func (m mutation) CommentDelete(ctx context.Context, in blog.CommentDelete) (*generated.CommentDeletePayload, error) {
	changed, errs, err := orCommentErrors(m.Comments.Delete(ctx, in))
	return &generated.CommentDeletePayload{Submission: changed, UserErrors: errs}, err
}

func (m mutation) CommentModerate(ctx context.Context, in blog.CommentModerate) (*generated.CommentModeratePayload, error) {
	changed, errs, err := orCommentErrors(m.Comments.Moderate(ctx, in))
	return &generated.CommentModeratePayload{Submission: changed, UserErrors: errs}, err
}

// toShown is an edge from submissions to the same comments as everyone sees them. A hidden comment
// has none.
func toShown(ctx context.Context, l *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
	ids := make([]id.ID, len(parents))
	for i, p := range parents {
		ids[i] = p.(*store.Submission).ID
	}
	found, err := dataloader.CommentsByID.In(l).All(ctx, ids)
	return values(found), err
}

func toOwnComments(ctx context.Context, l *dataloader.Loaders, parents []any, args map[string]any) ([]any, error) {
	c, err := l.OwnComments(ctx, parents[0].(*access.Viewer), windowOf(args)) // one asks at a time
	return []any{c}, err
}

func toCommentQueue(ctx context.Context, l *dataloader.Loaders, _ []any, args map[string]any) ([]any, error) {
	c, err := l.CommentQueue(ctx, statusesOf(args["status"]), windowOf(args))
	return []any{c}, err
}

// statusesOf reads an argument that is a list of statuses.
func statusesOf(arg any) []store.CommentStatus {
	var out []store.CommentStatus
	for _, v := range graphql.CoerceList(arg) {
		if text, ok := v.(string); ok {
			out = append(out, store.CommentStatus(text))
		}
	}
	return out
}
