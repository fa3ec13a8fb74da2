package blog

// Links that show one unpublished article to everyone who has them. Entry points: CreatePreview,
// Preview.

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
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

// CreatePreview makes a link to an article that the viewer may edit; NotFound if there is none.
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
	a, err := b.store.ArticleNow(ctx, in.ID)
	if err == nil && (a.Status == store.Deleted || !a.EditableBy(v)) {
		err = problem.New(problem.NotFound, "there is no such article")
	}
	if err != nil {
		return nil, problem.Locate(err, "id")
	}
	ends := store.Now().Add(lasts).Truncate(time.Second)
	named := string(a.ID) + "." + strconv.FormatInt(ends.Unix(), 36)
	seal, err := b.seal(ctx, named)
	if err != nil {
		return nil, err
	}
	p := &Preview{Token: named + "." + base64.RawURLEncoding.EncodeToString(seal), ExpiresAt: ends}
	p.URL = strings.ReplaceAll(b.previews, "{token}", url.QueryEscape(p.Token))
	return p, nil
}

// Preview returns the article that a link shows; NotFound if the link was never made or is too old,
// or if the article is deleted.
func (b *Blog) Preview(ctx context.Context, token string) (*store.Article, error) {
	access.MarkPrivate(ctx)
	missing := problem.New(problem.NotFound, "the link is too old, or there is no such article")
	part := strings.Split(token, ".")
	if len(token) > 256 || len(part) != 3 {
		return nil, missing
	}
	given, err := base64.RawURLEncoding.Strict().DecodeString(part[2])
	if err != nil {
		return nil, missing
	}
	seal, err := b.seal(ctx, part[0]+"."+part[1])
	if err != nil {
		return nil, err
	}
	ends, err := strconv.ParseInt(part[1], 36, 64)
	if err != nil || !hmac.Equal(seal, given) || !time.Now().Before(time.Unix(ends, 0)) {
		return nil, missing
	}
	return b.store.ArticleFor(ctx, id.ID(part[0]))
}

// seal returns the signature of a link. Nobody without the key can make it.
func (b *Blog) seal(ctx context.Context, named string) ([]byte, error) {
	b.mu.Lock()
	key := b.key
	b.mu.Unlock()
	if key == nil {
		var err error
		if key, err = b.store.PreviewKey(ctx); err != nil {
			return nil, err
		}
		b.mu.Lock()
		b.key = key
		b.mu.Unlock()
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("preview\x00" + named))
	return mac.Sum(nil), nil
}
