package blog

// Merging authors and merging tags: the consequences for them and for articles. Package edit has
// the steps. Entry points: MergeAuthors, MergeTags, FinishMerges.

import (
	"cmp"
	"context"
	"errors"

	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// initMerges describes both kinds of merges to package edit.
func (b *Blog) initMerges() {
	write := store.ReplaceByKind{id.Article: b.moveArticle}
	b.authorMerges.Kind, b.authorMerges.Write = b.authors, write
	b.authorMerges.Refuse = func(from, into *store.Author) error {
		if from.AccountID != "" && into.AccountID != "" && from.AccountID != into.AccountID {
			return problem.New(problem.Invalid, "both are pages of accounts, of different ones").At("id")
		}
		return nil
	}
	b.authorMerges.Inherit = func(from, into *store.Author) {
		into.AccountID, into.BioHTML, into.URL = cmp.Or(into.AccountID, from.AccountID), cmp.Or(into.BioHTML, from.BioHTML), cmp.Or(into.URL, from.URL)
	}
	b.tagMerges.Kind, b.tagMerges.Write = b.tags, write
	b.tagMerges.Inherit = func(from, into *store.Tag) { into.Description = cmp.Or(into.Description, from.Description) }
}

// MergeAuthors makes one author of two, for editors: the articles by both are by the one that
// stays, found under the slugs of both.
func (b *Blog) MergeAuthors(ctx context.Context, in edit.Merge) (*store.Author, error) {
	return b.authorMerges.Merge(ctx, in)
}

// MergeTags makes one tag of two, for editors.
func (b *Blog) MergeTags(ctx context.Context, in edit.Merge) (*store.Tag, error) {
	return b.tagMerges.Merge(ctx, in)
}

// FinishMerges finishes the merges that were cut short.
func (b *Blog) FinishMerges(ctx context.Context) error {
	return errors.Join(b.authorMerges.Finish(ctx), b.tagMerges.Finish(ctx))
}

// moveArticle writes an article whose author or tag is another one after a merge.
func (b *Blog) moveArticle(ctx context.Context, was, is store.Node) error {
	return b.store.ChangeArticle(ctx, was.(*store.Article), is.(*store.Article))
}
