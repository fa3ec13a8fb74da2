package store

import (
	"context"
	"hash/fnv"
	"io"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/id"
)

// Edition tells one state of a thing from another.
type Edition struct {
	ID      id.ID `bson:"i"`
	Version int64 `bson:"v"`
}

// Editions is which things of a kind are public, and in which state each of them is: some
// 60 bytes a thing. While none of them changes, it is the same pointer, as a rule.
type Editions struct {
	All []Edition `bson:"e"`
}

// Edition returns a's.
func (a *Article) Edition() Edition { return Edition{a.ID, a.Version} }

// Edition returns a's: authors have no versions, so that it is made of what they say.
func (a *Author) Edition() Edition { return Edition{a.ID, digest(a.Name, a.BioHTML)} }

// Edition returns t's, made as an author's is.
func (t *Tag) Edition() Edition { return Edition{t.ID, digest(t.Name, t.Description)} }

func digest(texts ...string) int64 {
	h := fnv.New64a()
	for _, text := range texts {
		_, _ = io.WriteString(h, text)
		_, _ = h.Write([]byte{0})
	}
	return int64(h.Sum64())
}

// Editions returns the editions of each of kinds, which may be articles, authors and tags:
// of published articles only. It takes a command for each kind that isn't cached.
func (s *Store) Editions(ctx context.Context, kinds []id.Kind) ([]*Editions, error) {
	return s.tables.editions.Get(ctx, s.cache, kinds)
}

func editionsKey(kind id.Kind) string { return "editions/" + string(kind) }

func (s *Store) readEditions(ctx context.Context, kind id.Kind) (*Editions, error) {
	switch kind {
	case id.Article:
		found, err := find[Article](ctx, s.db.Collection(articles), publicArticles(), projection("version"))
		return editionsOf(found, (*Article).Edition), err
	case id.Author:
		found, err := find[Author](ctx, s.db.Collection(authors), bson.D{}, projection("name", "bioHtml"))
		return editionsOf(found, (*Author).Edition), err
	default:
		found, err := find[Tag](ctx, s.db.Collection(tags), bson.D{}, projection("name", "description"))
		return editionsOf(found, (*Tag).Edition), err
	}
}

func editionsOf[T any](found []*T, of func(*T) Edition) *Editions {
	e := &Editions{All: make([]Edition, len(found))}
	for i, v := range found {
		e.All[i] = of(v)
	}
	return e
}

// Text is a published article with its text.
type Text struct {
	*Article        // but for what isn't needed to find it: its lead, cover, addresses and relations
	HTML     string // its text, rendered and sanitised
}

// Texts returns those of ids that are published, with their texts, as they are in the
// database now: past the caches, so that reading all of them pushes nothing out. It takes
// two commands.
func (s *Store) Texts(ctx context.Context, ids []id.ID) ([]Text, error) {
	found, err := find[Article](ctx, s.db.Collection(articles), append(in("_id", ids), publicArticles()...),
		projection("status", "title", "titleKey", "summary", "publishedAt", "updatedAt", "authorIds", "tagIds", "revisionId", "version"))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	named := make([]id.ID, len(found))
	for i, a := range found {
		named[i] = a.RevisionID
	}
	texts, err := find[Revision](ctx, s.db.Collection(revisions), in("_id", named), projection("html"))
	if err != nil {
		return nil, err
	}
	byID := make(map[id.ID]string, len(texts))
	for _, r := range texts {
		byID[r.ID] = r.HTML
	}
	out := make([]Text, len(found))
	for i, a := range found {
		out[i] = Text{a, byID[a.RevisionID]}
	}
	return out, nil
}

// Ranked is a part of a list whose elements somebody else than the database knows, checked
// but not cut.
type Ranked struct {
	name   string
	window window
}

// NewRanked checks a window against the list with a name: a name tells it from every other
// filter and order, so that a cursor of another list is refused.
func NewRanked(name string, w Window) (*Ranked, error) {
	checked, err := w.parse(name)
	if err != nil {
		return nil, err
	}
	return &Ranked{name, checked}, nil
}

// List cuts this part out of elements, which it puts in order; more says that the list
// ends before all there is. A cursor whose element has moved or gone marks the place where
// it was.
func (r *Ranked) List(elements []Entry, descending, more bool) *List {
	slices.SortFunc(elements, func(a, b Entry) int {
		if descending {
			return b.compare(a)
		}
		return a.compare(b)
	})
	return &List{window: r.window, whole: &whole{r.name, elements, descending, more}}
}

// whole is a list that is in memory.
type whole struct {
	name       string
	entries    []Entry
	descending bool
	more       bool
}
