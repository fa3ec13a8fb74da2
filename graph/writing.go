package graph

// Authors' and editors' fields: drafts and queues, revisions and previews, and the mutations of
// articles, authors and tags.

import (
	"context"

	"stoa/access"
	"stoa/blog"
	"stoa/dataloader"
	"stoa/edit"
	"stoa/graph/generated"
	"stoa/id"
	"stoa/store"
)

func (q query) RevisionDiff(ctx context.Context, from, to id.ID) (*blog.Diff, error) {
	return orNull(q.Blog.Compare(ctx, from, to))
}

func (q query) Preview(ctx context.Context, token string) (*store.Article, error) {
	return orNull(q.Blog.Preview(ctx, token))
}

func (article) Revisions(ctx context.Context, a *store.Article, first *int, after *string, last *int, before *string) (*dataloader.RevisionConnection, error) {
	return loaders(ctx).RevisionsOf(ctx, a, window(first, after, last, before))
}

func (w viewer) Drafts(ctx context.Context, _ *access.Viewer, first *int, after *string, last *int, before *string) (*dataloader.ArticleConnection, error) {
	list, err := w.Blog.Drafts(ctx, window(first, after, last, before))
	return listed(dataloader.Desk.In(loaders(ctx)), list, err)
}

func (w viewer) Queue(ctx context.Context, _ *access.Viewer, status []store.Status, first *int, after *string, last *int, before *string) (*dataloader.ArticleConnection, error) {
	list, err := w.Blog.Queue(ctx, status, window(first, after, last, before))
	return listed(dataloader.Desk.In(loaders(ctx)), list, err)
}

func (w viewer) DeletedArticles(ctx context.Context, _ *access.Viewer, first *int, after *string, last *int, before *string) (*dataloader.ArticleConnection, error) {
	list, err := w.Blog.DeletedArticles(ctx, window(first, after, last, before))
	return listed(dataloader.Desk.In(loaders(ctx)), list, err)
}

func (m mutation) ArticleCreate(ctx context.Context, in blog.NewArticle) (*generated.ArticleCreatePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.Create(ctx, in))
	return &generated.ArticleCreatePayload{Article: out.Article, Warnings: some(out.Warnings), UserErrors: errs}, err
}

func (m mutation) ArticleUpdate(ctx context.Context, in blog.ArticleUpdate) (*generated.ArticleUpdatePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.Update(ctx, in))
	return &generated.ArticleUpdatePayload{Article: out.Article, Warnings: some(out.Warnings), Current: out.Current, Expected: out.Expected, UserErrors: errs}, err
}

func (m mutation) ArticlePublish(ctx context.Context, in blog.ArticleTransition) (*generated.ArticlePublishPayload, error) {
	out, errs, err := orArticleErrors(m.Blog.Publish(ctx, in))
	return &generated.ArticlePublishPayload{Article: out.Article, Current: out.Current, Expected: out.Expected, UserErrors: errs}, err
}

func (m mutation) ArticleSchedule(ctx context.Context, in blog.ArticleSchedule) (*generated.ArticleSchedulePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.Schedule(ctx, in))
	return &generated.ArticleSchedulePayload{Article: out.Article, Current: out.Current, Expected: out.Expected, UserErrors: errs}, err
}

func (m mutation) ArticleUnpublish(ctx context.Context, in blog.ArticleTransition) (*generated.ArticleUnpublishPayload, error) {
	out, errs, err := orArticleErrors(m.Blog.Unpublish(ctx, in))
	return &generated.ArticleUnpublishPayload{Article: out.Article, Current: out.Current, Expected: out.Expected, UserErrors: errs}, err
}

func (m mutation) ArticleDelete(ctx context.Context, in blog.ArticleTransition) (*generated.ArticleDeletePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.DeleteArticle(ctx, in))
	return &generated.ArticleDeletePayload{Article: out.Article, Current: out.Current, Expected: out.Expected, UserErrors: errs}, err
}

func (m mutation) ArticleRestore(ctx context.Context, in blog.ArticleTransition) (*generated.ArticleRestorePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.Restore(ctx, in))
	return &generated.ArticleRestorePayload{Article: out.Article, Current: out.Current, Expected: out.Expected, UserErrors: errs}, err
}

func (m mutation) ArticleRevisionRestore(ctx context.Context, in blog.RevisionRestore) (*generated.ArticleRevisionRestorePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.RestoreRevision(ctx, in))
	return &generated.ArticleRevisionRestorePayload{Article: out.Article, Current: out.Current, Expected: out.Expected, UserErrors: errs}, err
}

func (m mutation) ArticlePreviewCreate(ctx context.Context, in blog.PreviewRequest) (*generated.ArticlePreviewCreatePayload, error) {
	made, errs, err := orArticleErrors(m.Blog.CreatePreview(ctx, in))
	return &generated.ArticlePreviewCreatePayload{Preview: made, UserErrors: errs}, err
}

func (m mutation) ArticlePreviewsRevoke(ctx context.Context, in blog.ArticleTransition) (*generated.ArticlePreviewsRevokePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.RevokePreviews(ctx, in))
	return &generated.ArticlePreviewsRevokePayload{Article: out.Article, UserErrors: errs}, err
}

func (m mutation) AuthorCreate(ctx context.Context, in blog.NewAuthor) (*generated.AuthorCreatePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.CreateAuthor(ctx, in))
	return &generated.AuthorCreatePayload{Author: out.Value, Warnings: some(out.Warnings), UserErrors: errs}, err
}

func (m mutation) AuthorUpdate(ctx context.Context, in blog.AuthorUpdate) (*generated.AuthorUpdatePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.UpdateAuthor(ctx, in))
	return &generated.AuthorUpdatePayload{Author: out.Value, Warnings: some(out.Warnings), UserErrors: errs}, err
}

func (m mutation) AuthorMerge(ctx context.Context, in edit.Merge) (*generated.AuthorMergePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.MergeAuthors(ctx, in))
	return &generated.AuthorMergePayload{Author: out, UserErrors: errs}, err
}

func (m mutation) TagCreate(ctx context.Context, in blog.NewTag) (*generated.TagCreatePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.CreateTag(ctx, in))
	return &generated.TagCreatePayload{Tag: out.Value, Warnings: some(out.Warnings), UserErrors: errs}, err
}

func (m mutation) TagUpdate(ctx context.Context, in blog.TagUpdate) (*generated.TagUpdatePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.UpdateTag(ctx, in))
	return &generated.TagUpdatePayload{Tag: out.Value, Warnings: some(out.Warnings), UserErrors: errs}, err
}

func (m mutation) TagMerge(ctx context.Context, in edit.Merge) (*generated.TagMergePayload, error) {
	out, errs, err := orArticleErrors(m.Blog.MergeTags(ctx, in))
	return &generated.TagMergePayload{Tag: out, UserErrors: errs}, err
}
