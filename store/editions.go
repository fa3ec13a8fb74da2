package store

// The public things of a kind with their versions and words, for the search index, and lists that the
// index orders. Entry points: Store.Editions, Store.Words, Store.Texts, NewRanked.

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/id"
	"stoa/problem"
	"stoa/store/bus"
	"stoa/store/cache"
)

// Edition identifies one state of a thing.
type Edition struct {
	ID      id.ID `bson:"i"`
	Version int64 `bson:"v"`
}

// Editions are the public things of a kind, each with its state: some 60 bytes a thing. While none
// of them changes, the pointer stays the same, as a rule.
type Editions struct {
	All []Edition `bson:"e"`
}

// Searched returns the kinds with Words.
func Searched() []id.Kind {
	var out []id.Kind
	for _, k := range kinds() {
		if f := k.kind(); f.searched {
			out = append(out, f.id)
		}
	}
	return out
}

// NameOf returns the name of a declared kind in messages: "article"; "" for another kind.
func NameOf(kind id.Kind) string {
	for _, k := range kinds() {
		if k.prefix() == kind {
			return k.kind().name
		}
	}
	return ""
}

// declarationOf returns the declaration of a kind, which must be declared.
func declarationOf(kind id.Kind) declared {
	all := kinds()
	return all[slices.IndexFunc(all, func(k declared) bool { return k.prefix() == kind })]
}

// Editions returns the editions of each of kinds, which must be Searched. It takes a command for
// each kind that isn't cached.
func (s *Store) Editions(ctx context.Context, kinds []id.Kind) ([]*Editions, error) {
	if slices.Contains(kinds, id.Article) && !s.known.knows() {
		// Read here and not below: a load of the caches has five seconds, and a large site on a
		// busy machine may need more. Get declares the dependency.
		if _, err := s.publicEditions(cache.WithoutTracking(ctx)); err != nil {
			return nil, err
		}
	}
	return s.tables.editions.Get(ctx, s.cache, kinds)
}

func (s *Store) publicEditions(ctx context.Context) (*Editions, error) {
	return s.known.or(ctx, func() (*Editions, error) { return Articles.readEditions(ctx, s) })
}

func editionsKey(kind id.Kind) string { return "editions/" + string(kind) }

func (s *Store) readEditions(ctx context.Context, kind id.Kind) (*Editions, error) {
	if kind == id.Article {
		return s.publicEditions(ctx)
	}
	return declarationOf(kind).readEditions(ctx, s)
}

func (k *Kind[T]) readEditions(ctx context.Context, s *Store) (*Editions, error) {
	type document struct {
		ID      id.ID `bson:"_id"`
		Version int64 `bson:"version"`
	}
	found, err := findList[document](ctx, s.collection(k.Collection), k.kind().public, projection("version"))
	e := &Editions{All: make([]Edition, len(found))}
	for i, d := range found {
		e.All[i] = Edition(*d)
	}
	return e, err
}

// Found is a public document's words, with its state.
type Found struct {
	Edition
	Words
}

// Words returns the words of the public documents among ids, all of one kind that is Searched, in any
// order. It reads past the caches, so that reading all of a site pushes nothing out. Its caller
// depends on the Editions with their ids.
func (s *Store) Words(ctx context.Context, kind id.Kind, ids []id.ID) ([]Found, error) {
	return declarationOf(kind).search(cache.WithoutTracking(ctx), s, ids)
}

func (k *Kind[T]) search(ctx context.Context, s *Store, ids []id.ID) ([]Found, error) {
	there, err := k.Now(ctx, s, ids)
	var out []Found
	for _, d := range there {
		if k.isPublic(d) {
			out = append(out, Found{Edition{idOf(d), *k.Version(d)}, k.Words(d)})
		}
	}
	return out, err
}

// WordsOf returns the words of a document of a kind that is Searched.
func WordsOf(d Node) Words { return declarationOf(d.NodeID().Kind()).words(d) }

func (k *Kind[T]) words(d Node) Words { return k.Words(any(d).(*T)) }

// knownEditions are the editions of articles, remembered while this process makes every write: they
// are read once, and then updated with its own writes. Reading those of 10,000 articles after each
// publication would take some 0.1 s. A nil one remembers nothing.
type knownEditions struct {
	reading chan struct{} // holds a token while a caller reads them

	mu             sync.Mutex
	versions       map[id.ID]knownEdition // of all articles that are public or were written since
	changes        int64                  // goes up with each write and each forgetting: a read during one is discarded
	uncertainUntil time.Time              // end of the time in which a write with an unknown outcome may still happen: reads are discarded
}

type knownEdition struct {
	version int64
	public  bool
}

// forget empties k after an unknown change by another client of the database.
func (k *knownEditions) forget() { k.note(nil, nil) }

// note records the outcome of a write: the article after it, nil for an unknown one, and the error
// that the write returned.
func (k *knownEditions) note(after *Article, err error) {
	var refused *problem.Error
	if k == nil || errors.As(err, &refused) { // the write was refused
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
	if k.versions == nil || seen && was.version >= after.Version { // a later write was recorded first
		return
	}
	k.versions[after.ID] = knownEdition{after.Version, after.Public()}
}

// knows reports whether nothing has to be read. A nil one never reads.
func (k *knownEditions) knows() bool {
	if k == nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.versions != nil
}

// or returns the remembered editions, or else reads them: one caller at a time.
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
	*Article        // without its lead, cover, addresses and relations
	HTML     string // rendered and sanitised
}

// readTexts is the number of texts read at once: with 10 kB of HTML each, 5 MB.
const readTexts = 500

// Texts calls yield with the published articles among ids, with their texts, some at a time, as
// they are in the database now. It reads past the caches, so that reading all texts pushes nothing
// out. It takes two commands for each readTexts of them. Its caller depends on the Editions with
// their ids, and a change of a text drops those.
func (s *Store) Texts(ctx context.Context, ids []id.ID, yield func([]Text)) error {
	ctx = cache.WithoutTracking(ctx)
	c := s.collection(revisions)
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

// named returns the published articles that match, by the ids of their revisions.
func (s *Store) named(ctx context.Context, filter bson.D) (map[id.ID]*Article, error) {
	found, err := find[Article](ctx, s.collection(articles), filter,
		projection("status", "title", "titleKey", "summary", "publishedAt", "updatedAt", "authorIds", "tagIds", "revisionId", "version"))
	named := make(map[id.ID]*Article, len(found))
	for _, a := range found {
		if a.Public() {
			named[a.RevisionID] = a
		}
	}
	return named, err
}

// readInto reads revisions and yields their articles.
func readInto(ctx context.Context, c collection, filter bson.D, named map[id.ID]*Article, yield func([]Text)) error {
	var some []Text
	err := visitEach(ctx, c, filter, projection("html").SetBatchSize(readTexts), func(r *Revision, last bool) {
		if a := named[r.ID]; a != nil {
			some = append(some, Text{a, r.HTML})
		}
		if last && len(some) > 0 {
			yield(some)
			some = nil
		}
	})
	if err == nil && len(some) > 0 {
		yield(some)
	}
	return err
}

// Ranked is a window on a list that something other than the database orders, checked but not cut.
type Ranked struct {
	name   string
	window window
}

// NewRanked checks a window against the list with a name. The name identifies filter and order, so
// that a cursor of another list is refused.
func NewRanked(name string, w Window) (*Ranked, error) {
	checked, err := w.parse(name)
	if err != nil {
		return nil, err
	}
	return &Ranked{name, checked}, nil
}

// List sorts elements and cuts the window out of them; more says that elements isn't the whole
// list. A cursor marks a position, even after its element has moved or gone.
func (r *Ranked) List(elements []Entry, descending, more bool) *List {
	slices.SortFunc(elements, func(a, b Entry) int { return a.order(b, descending) })
	return &List{window: r.window, whole: &whole{r.name, elements, descending, more}}
}

// whole is a list that is in memory.
type whole struct {
	name       string
	entries    []Entry
	descending bool
	more       bool
}
