// Package blog is writing: articles, their authors and tags, and what readers say of them.
// It decides who may read what, what an import makes of a text, and when a scheduled
// article appears.
//
// It may import access, background, rate, store, search, id, problem and its own sub-packages. Entry
// points: New, Run and the methods of Blog, NewComments and those of Comments.
package blog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"stoa/background"
	"stoa/blog/markdown"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/search"
	"stoa/store"
)

// Blog is everything that is published, or will be.
type Blog struct {
	// Uploads returns an uploaded picture that the viewer may use, with a description of it
	// or its own; set before the first request.
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

	mu           sync.Mutex
	unreconciled map[id.ID]bool // is to be related to other articles: see Reconcile
	key          []byte         // of links to previews; nil until one is made or followed

	relating   sync.Mutex // held while Reconcile relates
	background *background.Group
}

// New returns the blog in s, and registers its kinds with index. previews is the address of a
// preview, with {token} in place of its token.
func New(s *store.Store, index *search.Engine, previews string, log *slog.Logger) *Blog {
	b := &Blog{store: s, index: index, markdown: markdown.New(), previews: previews, log: log, unreconciled: map[id.ID]bool{}}
	b.articles, b.authors, b.tags = b.articleKind(), authorKind(s), tagKind(s)
	b.initMerges()
	registerKinds(index, s)
	b.background = background.New(log, b.tasks()...)
	return b
}

// ArticleWhere says which published articles a list has; every condition that isn't nil
// must be met.
type ArticleWhere struct {
	Tag, Author                     *string // slugs
	PublishedAfter, PublishedBefore *time.Time
	IDs                             []id.ID
	Query                           *string // see Search
}

// ArticleOrder is the order of a list of articles.
type ArticleOrder struct {
	Field     store.ArticleOrder
	Direction Direction
}

// Direction is the direction of an order.
type Direction string

// The directions there are.
const (
	Ascending  Direction = "ASC"
	Descending Direction = "DESC"
)

// Article returns the article that has this slug, or had it; NotFound where the viewer may
// see none. Who asks is looked at only where no published one has it.
func (b *Blog) Article(ctx context.Context, slug string) (*store.Article, error) {
	found, err := b.store.ArticleBySlug(ctx, slug)
	if problem.Is(err, problem.NotFound) {
		return b.store.VisibleBySlug(ctx, slug)
	}
	return found, err
}

// Articles returns a part of the list of published articles that meet where, newest first
// unless order says otherwise.
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

// Published follows the articles that become public: see store.Follow.
func (b *Blog) Published(ctx context.Context, after *id.ID) (*store.Following, error) {
	return b.store.Published(ctx, after)
}

// Author returns the author with this slug; NotFound where there is none.
func (b *Blog) Author(ctx context.Context, slug string) (*store.Author, error) {
	return b.store.AuthorBySlug(ctx, slug)
}

// Authors returns a part of the list of all authors, by name.
func (b *Blog) Authors(w store.Window) (*store.List, error) { return b.store.ListAuthors(w) }

// Tag returns the tag with this slug; NotFound where there is none.
func (b *Blog) Tag(ctx context.Context, slug string) (*store.Tag, error) {
	return b.store.TagBySlug(ctx, slug)
}

// Tags returns a part of the list of all tags, by name.
func (b *Blog) Tags(w store.Window) (*store.List, error) { return b.store.ListTags(w) }

// Find adds to found what ids name that isn't public and the viewer may see: in one batch for
// each kind of thing. Who asks is looked at only for articles and revisions that aren't there yet.
func (b *Blog) Find(ctx context.Context, ids []id.ID, found map[id.ID]store.Node) error {
	var missed []id.ID
	for _, i := range ids {
		if found[i] == nil {
			missed = append(missed, i)
		}
	}
	return errors.Join(
		store.Gather(ctx, found, missed, id.Revision, b.store.VisibleRevisions),
		store.Gather(ctx, found, missed, id.Article, b.store.VisibleArticles),
	)
}

// Excerpt returns the first words of a's text, 1 to store.LeadWords of them.
func Excerpt(a *store.Article, words int) (string, error) {
	if words < 1 || words > store.LeadWords {
		return "", problem.New(problem.Invalid, "words must be between 1 and %d, not %d", store.LeadWords, words).At("words")
	}
	return markdown.Excerpt(a.Lead, words), nil
}
