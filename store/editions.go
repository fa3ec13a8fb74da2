package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"stoa/id"
	"stoa/problem"
	"stoa/store/bus"
	"stoa/store/cache"
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
	if slices.Contains(kinds, id.Article) && !s.known.knows() {
		// Not below, where a read that fills a cache has five seconds: a large site on a busy
		// machine may need more. Get declares the dependency.
		if _, err := s.publicEditions(cache.WithoutTracking(ctx)); err != nil {
			return nil, err
		}
	}
	return s.tables.editions.Get(ctx, s.cache, kinds)
}

func (s *Store) publicEditions(ctx context.Context) (*Editions, error) {
	return s.known.or(ctx, func() (*Editions, error) {
		found, err := find[Article](ctx, s.db.Collection(articles), publicArticles(), projection("version"))
		return editionsOf(found, (*Article).Edition), err
	})
}

func editionsKey(kind id.Kind) string { return "editions/" + string(kind) }

func (s *Store) readEditions(ctx context.Context, kind id.Kind) (*Editions, error) {
	switch kind {
	case id.Article:
		return s.publicEditions(ctx)
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

// knownEditions is the editions of articles where this process makes every write: they are
// read once, and from then on its own writes are entered: reading those of 10,000 articles after
// each publication would take some 0.1 s. A nil one knows nothing.
type knownEditions struct {
	reading chan struct{} // holds a token while somebody reads them

	mu             sync.Mutex
	versions       map[id.ID]knownEdition // of all articles that are public or were written since
	changes        int64                  // goes up with each write and each forgetting: a read that it overlaps isn't kept
	uncertainUntil time.Time              // until when a write with an unknown outcome may still happen: what is read isn't kept
}

type knownEdition struct {
	version int64
	public  bool
}

// forget says that somebody has written whom nobody knows.
func (k *knownEditions) forget() { k.note(nil, nil) }

// note enters what became of a write that made an article what it is now, nil for one that
// nobody knows; err is what the write returned.
func (k *knownEditions) note(after *Article, err error) {
	var refused *problem.Error
	if k == nil || errors.As(err, &refused) { // it wrote nothing
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	if err != nil {
		k.uncertainUntil = time.Now().Add(bus.BlockFor)
	}
	if err != nil || after == nil {
		k.versions = nil
		return
	}
	was, seen := k.versions[after.ID]
	if k.versions == nil || seen && was.version >= after.Version { // a later write was entered first
		return
	}
	k.versions[after.ID] = knownEdition{after.Version, after.Public()}
}

// knows says whether nothing need be read; a nil one has nothing to learn.
func (k *knownEditions) knows() bool {
	if k == nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.versions != nil
}

// or returns what is known, and reads it where nothing is: one at a time.
func (k *knownEditions) or(ctx context.Context, read func() (*Editions, error)) (*Editions, error) {
	if k == nil {
		return read()
	}
	select {
	case k.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-k.reading }()
	k.mu.Lock()
	changes := k.changes
	if k.versions != nil {
		defer k.mu.Unlock()
		e := &Editions{All: make([]Edition, 0, len(k.versions))}
		for i, known := range k.versions {
			if known.public {
				e.All = append(e.All, Edition{i, known.version})
			}
		}
		return e, nil
	}
	k.mu.Unlock()
	e, err := read()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes == changes && time.Now().After(k.uncertainUntil) {
		k.versions = make(map[id.ID]knownEdition, len(e.All))
		for _, x := range e.All {
			k.versions[x.ID] = knownEdition{x.Version, true}
		}
	}
	return e, nil
}

// Text is a published article with its text.
type Text struct {
	*Article        // but for what isn't needed to find it: its lead, cover, addresses and relations
	HTML     string // its text, rendered and sanitised
}

// readTexts is how many texts are read at once: with 10 kB of HTML each, 5 MB.
const readTexts = 500

// Texts calls yield with those of ids that are published, with their texts, some at a time,
// as they are in the database now: past the caches, so that reading all of them pushes
// nothing out. It takes two commands for each readTexts of them. Who reads them has asked
// for the Editions that name them, and those are dropped when a text changes.
func (s *Store) Texts(ctx context.Context, ids []id.ID, yield func([]Text)) error {
	ctx = cache.WithoutTracking(ctx)
	c := s.db.Collection(revisions)
	for some := range slices.Chunk(ids, readTexts) {
		named, err := s.named(ctx, in("_id", some))
		if err == nil && len(named) > 0 {
			err = readInto(ctx, c, in("_id", slices.Collect(maps.Keys(named))), named, yield)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// named returns the published articles that match, by the revisions that they name.
func (s *Store) named(ctx context.Context, filter bson.D) (map[id.ID]*Article, error) {
	found, err := find[Article](ctx, s.db.Collection(articles), filter,
		projection("status", "title", "titleKey", "summary", "publishedAt", "updatedAt", "authorIds", "tagIds", "revisionId", "version"))
	named := make(map[id.ID]*Article, len(found))
	for _, a := range found {
		if a.Public() {
			named[a.RevisionID] = a
		}
	}
	return named, err
}

// readInto reads revisions and yields the articles that name them.
func readInto(ctx context.Context, c *mongo.Collection, filter bson.D, named map[id.ID]*Article, yield func([]Text)) error {
	cursor, err := c.Find(ctx, filter, projection("html").SetBatchSize(readTexts))
	if err != nil {
		return fmt.Errorf("find in %s: %w", c.Name(), err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	var some []Text
	for cursor.Next(ctx) {
		var r Revision
		if err := cursor.Decode(&r); err != nil {
			return fmt.Errorf("read out of %s: %w", c.Name(), err)
		}
		if a := named[r.ID]; a != nil {
			some = append(some, Text{a, r.HTML})
		}
		if cursor.RemainingBatchLength() == 0 && len(some) > 0 {
			yield(some)
			some = nil
		}
	}
	if err := cursor.Err(); err != nil {
		return fmt.Errorf("read out of %s: %w", c.Name(), err)
	}
	if len(some) > 0 {
		yield(some)
	}
	return nil
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
