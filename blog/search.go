package blog

// Searching: the words and facts of articles, for package search, and lists of articles that a query
// finds. Entry points: registerArticles, Blog.matching.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stoa/id"
	"stoa/problem"
	"stoa/search"
	"stoa/store"
)

// articleFacts are the values that lists of articles are filtered and sorted by, 500 bytes an
// article.
type articleFacts struct {
	published, updated time.Time
	title              string // see store.SortKey
	authors, tags      []id.ID
}

// registerArticles replaces an engine's way to read articles: they are found by their text, too, and
// have facts.
func registerArticles(e *search.Engine, s *store.Store) {
	e.Register(search.Kind{ID: id.Article, Read: func(ctx context.Context, ids []id.ID, yield func([]search.Entry)) error {
		return s.Texts(ctx, ids, func(found []store.Text) {
			out := make([]search.Entry, len(found))
			for i, t := range found {
				out[i] = search.Entry{
					ID: t.ID, Version: t.Version, Fields: search.Fields{t.Title, t.Summary, search.Plain(t.HTML)}, Time: t.PublishedAt,
					Facts: articleFacts{t.PublishedAt, t.UpdatedAt, t.TitleKey, t.AuthorIDs, t.TagIDs},
				}
			}
			yield(out)
		})
	}})
}

// matching returns a window of the published articles that where.Query finds and that meet its
// other conditions, all of it from memory.
func (b *Blog) matching(ctx context.Context, where ArticleWhere, order ArticleOrder, w store.Window) (*store.List, error) {
	q, err := b.index.Parse(*where.Query, "where", "query")
	if err != nil {
		return nil, err
	}
	if len(where.IDs) > store.MaxPageSize {
		return nil, problem.New(problem.Invalid, "ids must be at most %d, not %d", store.MaxPageSize, len(where.IDs)).At("where", "ids")
	}
	part, err := store.NewRanked(where.name()+fmt.Sprint(order), w)
	if err != nil {
		return nil, err
	}
	meets, err := b.predicate(ctx, where)
	if err != nil {
		return nil, err
	}
	entries, err := b.index.Matching(ctx, id.Article, q, func(i id.ID, facts any) (store.Entry, bool) {
		f := facts.(articleFacts)
		e := store.Entry{ID: i}
		switch order.Field {
		case store.ByTitle:
			e.Text = f.title
		case store.ByUpdated:
			e.Time = f.updated
		default:
			e.Time = f.published
		}
		return e, meets(i, f)
	})
	if err != nil {
		return nil, err
	}
	return part.List(entries, order.Direction == Descending, false), nil
}

// name returns a text that differs for every other filter.
func (where ArticleWhere) name() string {
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return fmt.Sprintf("%q", *s)
	}
	moment := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return strings.Join([]string{"articles", text(where.Query), text(where.Tag), text(where.Author), moment(where.PublishedAfter),
		moment(where.PublishedBefore), fmt.Sprint(where.IDs != nil, slices.Sorted(slices.Values(where.IDs)))}, " ")
}

// predicate returns the conditions of a filter, without the query, as a function.
func (b *Blog) predicate(ctx context.Context, where ArticleWhere) (func(id.ID, articleFacts) bool, error) {
	var tag, author id.ID
	none := false
	if where.Tag != nil {
		t, err := store.Tags.BySlug(ctx, b.store, *where.Tag)
		if err != nil && !problem.Is(err, problem.NotFound) {
			return nil, err
		}
		if none = none || err != nil; err == nil {
			tag = t.ID
		}
	}
	if where.Author != nil {
		a, err := store.Authors.BySlug(ctx, b.store, *where.Author)
		if err != nil && !problem.Is(err, problem.NotFound) {
			return nil, err
		}
		if none = none || err != nil; err == nil {
			author = a.ID
		}
	}
	return func(i id.ID, f articleFacts) bool {
		return !none &&
			(tag == "" || slices.Contains(f.tags, tag)) &&
			(author == "" || slices.Contains(f.authors, author)) &&
			(where.PublishedAfter == nil || !f.published.Before(*where.PublishedAfter)) &&
			(where.PublishedBefore == nil || f.published.Before(*where.PublishedBefore)) &&
			(where.IDs == nil || slices.Contains(where.IDs, i))
	}, nil
}
