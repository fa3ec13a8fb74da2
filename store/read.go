package store

// Reads by id and by slug, and the lists of articles. Entry points: Gather for
// several kinds at once, ListArticles.

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/text/cases"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"unicode"

	"stoa/id"
	"stoa/problem"
)

// MaxSlug is the longest slug, in bytes: other systems have had addresses as long.
const MaxSlug = 512

// SortKey is the sort key of a title or a name: letter case and accents ignored, its first 100
// bytes.
func SortKey(text string) string {
	fold := transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn)), cases.Fold(), norm.NFC)
	key, _, err := transform.String(fold, strings.TrimSpace(text))
	if err != nil {
		key = strings.ToLower(text)
	}
	return strings.ToValidUTF8(key[:min(len(key), 100)], "")
}

func projection(fields ...string) *options.FindOptionsBuilder {
	p := bson.D{}
	for _, f := range fields {
		p = append(p, bson.E{Key: f, Value: 1})
	}
	return options.Find().SetProjection(p)
}

// Gather adds to found those of ids that are of a kind and that load finds.
func Gather[T any, P interface {
	*T
	Node
}](ctx context.Context, found map[id.ID]Node, ids []id.ID, kind id.Kind, load func(context.Context, []id.ID) ([]*T, error)) error {
	var of []id.ID
	for _, i := range ids {
		if i.Kind() == kind {
			of = append(of, i)
		}
	}
	if len(of) == 0 {
		return nil
	}
	values, err := load(ctx, of)
	for _, v := range values {
		if v != nil {
			found[P(v).NodeID()] = P(v)
		}
	}
	return err
}

// ArticleOrder is an order of a list of articles.
type ArticleOrder string

// The orders of articles.
const (
	ByPublished ArticleOrder = "publishedAt"
	ByTitle     ArticleOrder = "titleKey"
	ByUpdated   ArticleOrder = "updatedAt"
)

// ArticleFilter selects the published articles of a list; every condition set must be met.
type ArticleFilter struct {
	Tag, Author                    *string // slugs
	PublishedFrom, PublishedBefore *time.Time
	IDs                            []id.ID // at most MaxPageSize; nil for any
	Order                          ArticleOrder
	Descending                     bool
}

// ListArticles returns a part of the list of published articles that meet f. An unknown tag or
// author makes it empty.
func (s *Store) ListArticles(ctx context.Context, f ArticleFilter, w Window) (*List, error) {
	q := query{collection: articles, filter: publicArticles(), sort: string(f.Order), value: map[bool]valueType{true: textValue}[f.Order == ByTitle], descending: f.Descending}
	for _, by := range []struct {
		slug              *string
		collection, field string
	}{{f.Tag, tags, "tagIds"}, {f.Author, authors, "authorIds"}} {
		if by.slug == nil {
			continue
		}
		i, ok, err := s.bySlug(ctx, by.collection, *by.slug)
		if err != nil {
			return nil, err
		}
		q.empty = q.empty || !ok
		q.filter = append(bson.D{{Key: by.field, Value: i}}, q.filter...)
		q.tags = append(q.tags, listTag(i))
	}
	if len(q.tags) == 0 {
		q.tags = []string{listTag(AllArticles)}
	}
	if f.Order != ByPublished {
		q.tags = append(q.tags, orderTag(f.Order))
	}
	between := bson.D{}
	if f.PublishedFrom != nil {
		between = append(between, bson.E{Key: "$gte", Value: *f.PublishedFrom})
	}
	if f.PublishedBefore != nil {
		between = append(between, bson.E{Key: "$lt", Value: *f.PublishedBefore})
	}
	if len(between) > 0 {
		q.filter = append(q.filter, bson.E{Key: "publishedAt", Value: between})
	}
	if f.IDs != nil {
		if len(f.IDs) > MaxPageSize {
			return nil, problem.New(problem.Invalid, "ids must be at most %d, not %d", MaxPageSize, len(f.IDs)).At("where", "ids")
		}
		ids := slices.Sorted(slices.Values(f.IDs))
		q.filter = append(q.filter, in("_id", ids)...)
		q.empty = q.empty || len(ids) == 0
	}
	return s.list(q, w)
}

// listTag is the dependency of lists under a parent.
func listTag(parent id.ID) string { return "list/" + string(parent) }

// orderTag is the dependency of lists on the positions of their elements in an order.
func orderTag(o ArticleOrder) string { return "list/articles/" + string(o) }
