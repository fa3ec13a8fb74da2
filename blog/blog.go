// Package blog is the domain of writing: articles, authors, tags and comments. It decides on
// permissions, makes articles of imported texts, and publishes scheduled articles.
//
// It may import access, background, edit, id, problem, rate, search, store and its own
// sub-packages. Entry points: New, Run and the other methods of Blog; NewComments and the methods
// of Comments.
package blog

import (
	"context"
	"log/slog"
	"time"

	"stoa/background"
	"stoa/blog/markdown"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/search"
	"stoa/store"
)

// Blog is the domain of articles, authors and tags. It is safe for concurrent use.
type Blog struct {
	// Uploads returns an uploaded picture that the viewer may use, with alt as its description, or
	// its own one if alt is nil. It is set before the first request.
	Uploads func(ctx context.Context, picture id.ID, alt *string) (*store.Image, error)

	store    *store.Store
	index    *search.Engine
	markdown *markdown.Renderer
	previews string
	log      *slog.Logger

	articles     *edit.Kind[draft]
	authors      *edit.Kind[store.Author]
	tags         *edit.Kind[store.Tag]
	authorMerges edit.Merges[store.Author]
	tagMerges    edit.Merges[store.Tag]

	reach      reach // of relating
	background *background.Group
}

// New returns the blog in s, and registers articles with index. previews is the address of a
// preview, with {token} in place of its token.
func New(s *store.Store, index *search.Engine, previews string, log *slog.Logger) *Blog {
	b := &Blog{store: s, index: index, markdown: markdown.New(), previews: previews, log: log, reach: usualReach}
	b.articles, b.authors, b.tags = b.articleKind(), authorKind(s), tagKind(s)
	b.initMerges()
	registerArticles(index, s)
	b.background = background.New(log, b.tasks()...)
	return b
}

// ArticleWhere is the filter of a list of published articles; an article meets every condition that
// isn't nil.
type ArticleWhere struct {
	Tag, Author                     *string // slugs
	PublishedAfter, PublishedBefore *time.Time
	IDs                             []id.ID
	Query                           *string // a search query: see search.Parse
}

// ArticleOrder is the order of a list of articles.
type ArticleOrder struct {
	Field     store.ArticleOrder
	Direction Direction
}

// Direction is the direction of an order.
type Direction string

// The directions.
const (
	Ascending  Direction = "ASC"
	Descending Direction = "DESC"
)

// Article returns the article that has or had a slug; NotFound if there is none that the viewer may
// see. The viewer is asked for only if no published article has the slug.
func (b *Blog) Article(ctx context.Context, slug string) (*store.Article, error) {
	return store.Articles.Find(ctx, b.store, slug)
}

// Articles returns a window of the list of published articles with the conditions in where: newest
// first, or in the given order.
func (b *Blog) Articles(ctx context.Context, where *ArticleWhere, order *ArticleOrder, w store.Window) (*store.List, error) {
	f := store.ArticleFilter{Order: store.ByPublished, Descending: true}
	if order != nil {
		f.Order, f.Descending = order.Field, order.Direction == Descending
	}
	if where != nil && where.Query != nil {
		return b.matching(ctx, *where, ArticleOrder{f.Order, direction(f.Descending)}, w)
	}
	if where != nil {
		f.Tag, f.Author, f.IDs = where.Tag, where.Author, where.IDs
		f.PublishedFrom, f.PublishedBefore = where.PublishedAfter, where.PublishedBefore
	}
	return b.store.ListArticles(ctx, f, w)
}

func direction(descending bool) Direction {
	if descending {
		return Descending
	}
	return Ascending
}

// Published follows the articles that become public, from now on or after an event: see
// store.Follow.
func (b *Blog) Published(ctx context.Context, after *id.ID) (*store.Following, error) {
	return b.store.Published(ctx, after)
}

// Author returns the author with a slug; NotFound if there is none.
func (b *Blog) Author(ctx context.Context, slug string) (*store.Author, error) {
	return store.Authors.BySlug(ctx, b.store, slug)
}

// Authors returns a window of the list of all authors, by name.
func (b *Blog) Authors(w store.Window) (*store.List, error) { return store.Authors.List(b.store, w) }

// Tag returns the tag with a slug; NotFound if there is none.
func (b *Blog) Tag(ctx context.Context, slug string) (*store.Tag, error) {
	return store.Tags.BySlug(ctx, b.store, slug)
}

// Tags returns a window of the list of all tags, by name.
func (b *Blog) Tags(w store.Window) (*store.List, error) { return store.Tags.List(b.store, w) }

// Excerpt returns the first words of an article's text; Invalid unless words is 1 to
// store.LeadWords.
func Excerpt(a *store.Article, words int) (string, error) {
	if words < 1 || words > store.LeadWords {
		return "", problem.New(problem.Invalid, "words must be between 1 and %d, not %d", store.LeadWords, words).At("words")
	}
	return markdown.Excerpt(a.Lead, words), nil
}
