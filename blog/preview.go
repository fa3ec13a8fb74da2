package blog

// Links that show one unpublished article to everyone who has them. Entry points: CreatePreview,
// RevokePreviews, Preview.

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

const (
	// previewFor is the default lifetime of a link, longestPreview the longest.
	previewFor     = 7 * 24 * time.Hour
	longestPreview = 30 * 24 * time.Hour
)

// PreviewRequest is the input of CreatePreview; a nil ExpiresIn means previewFor.
type PreviewRequest struct {
	ID        id.ID
	ExpiresIn *int // seconds
}

// Preview is a link to one article, published or not. Everyone with the link can read the article.
type Preview struct {
	Token     string
	URL       string
	ExpiresAt time.Time
}

// previewPurpose separates the tokens of previews from other sealed texts.
const previewPurpose = "preview"

// CreatePreview makes a link to an article that the viewer may edit; NotFound if there is none. The
// link ends at its time, and before that with the viewer's right to edit the article, with a new
// password or role of the viewer, with the article's deletion, and by RevokePreviews.
func (b *Blog) CreatePreview(ctx context.Context, in PreviewRequest) (*Preview, error) {
	v, err := access.Require(ctx, access.Author)
	if err != nil {
		return nil, err
	}
	lasts := previewFor
	if in.ExpiresIn != nil {
		longest := int(longestPreview / time.Second)
		if *in.ExpiresIn < 1 || *in.ExpiresIn > longest {
			return nil, problem.New(problem.Invalid, "expiresIn takes 1 to %d seconds, not %d", longest, *in.ExpiresIn).At("expiresIn")
		}
		lasts = time.Duration(*in.ExpiresIn) * time.Second
	}
	a, by, err := b.store.Shared(ctx, in.ID, v.Account)
	if err == nil && !a.EditableBy(v) {
		err = problem.New(problem.NotFound, "there is no such article")
	}
	if err != nil {
		return nil, problem.Locate(err, "id")
	}
	ends := store.Now().Add(lasts).Truncate(time.Second)
	token, err := b.store.Seal(ctx, previewPurpose, fmt.Sprintln(a.ID, a.PreviewEpoch, by.ID, by.Epoch, ends.Unix()))
	if err != nil {
		return nil, err
	}
	return &Preview{Token: token, URL: strings.ReplaceAll(b.previews, "{token}", url.QueryEscape(token)), ExpiresAt: ends}, nil
}

// RevokePreviews ends all links to an article, for those who may change it.
func (b *Blog) RevokePreviews(ctx context.Context, in ArticleTransition) (ArticleResult, error) {
	return b.transition(ctx, in, mayChange, func(a *draft) error {
		a.PreviewEpoch++
		return nil
	})
}

// Preview returns the article that a link shows; NotFound if the link was never made or has ended.
func (b *Blog) Preview(ctx context.Context, token string) (*store.Article, error) {
	access.MarkPrivate(ctx)
	text, err := b.store.Unseal(ctx, previewPurpose, token)
	if err != nil {
		return nil, err
	}
	var article, account id.ID
	var ofArticle, ofAccount, ends int64
	if _, err := fmt.Sscanln(text, &article, &ofArticle, &account, &ofAccount, &ends); err != nil {
		return nil, fmt.Errorf("read the preview %q: %w", text, err)
	}
	missing := problem.New(problem.NotFound, "the link has ended, or there is no such article")
	if !time.Now().Before(time.Unix(ends, 0)) {
		return nil, missing
	}
	a, by, err := b.store.Shared(ctx, article, account)
	if err != nil {
		return nil, err
	}
	if a.PreviewEpoch != ofArticle || by.Epoch != ofAccount || !a.EditableBy(access.Viewer{Account: by.ID, Role: by.Role}) {
		return nil, missing
	}
	return a, nil
}
