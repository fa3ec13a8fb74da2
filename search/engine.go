package search

// The engine: one index for each kind that is registered, brought in step with everything public
// before each query. Entry points: New, Engine.Register, Engine.Search, Engine.Matching,
// Engine.Update, Engine.Build.

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

const (
	// MaxFound is the length of a search's list: nobody pages further, and each page is cut out
	// of the whole list.
	MaxFound = 1000

	// indexAtOnce is the number of entries that go into an index while queries wait: some 10 ms.
	indexAtOnce = 50

	// readAtOnce is the number of documents that are read in one command.
	readAtOnce = 500

	// retryAfter is the pause before Build tries again when the database doesn't answer.
	retryAfter = time.Second
)

// Kind is one kind of things that can be found.
type Kind struct {
	ID id.Kind
	// Read calls yield with the entries of ids, some at a time, without those that aren't public
	// any more.
	Read func(ctx context.Context, ids []id.ID, yield func([]Entry)) error
}

// Entry is one thing in the index.
type Entry struct {
	ID      id.ID
	Version int64     // it differs when anything below differs; see store.Editions
	Fields  Fields    // the text
	Time    time.Time // the newer thing comes first of equally good ones
	Facts   any       // values to filter and sort lists of the kind by; nil for none
}

// Engine finds everything public by its words. It has one index a kind, so that a word that is
// rare among articles has its weight among articles alone. Each replica has its own engine. The
// versions of everything public come from the caches, so a search is as fresh as a list; while
// nothing changes there is nothing to do. It is safe for concurrent use after the last Register.
type Engine struct {
	language *Language
	store    *store.Store
	updating chan struct{} // holds a token while a request updates indexes

	mu     sync.RWMutex
	ids    []id.Kind // of byKind, sorted
	byKind map[id.Kind]*kindIndex
}

// kindIndex is the index of one kind.
type kindIndex struct {
	Kind
	index    *Index
	entries  map[id.ID]indexed
	editions *store.Editions // the versions in the index; nil for none
}

// indexed is the part of an entry that is kept beside the index of its words.
type indexed struct {
	version int64
	facts   any
}

// New returns an engine for texts in a language, over the public documents of s. It finds the kinds
// that store.Searched lists, by the words of their declarations.
func New(l *Language, s *store.Store) *Engine {
	e := &Engine{language: l, store: s, updating: make(chan struct{}, 1), ids: store.Searched(), byKind: map[id.Kind]*kindIndex{}}
	slices.Sort(e.ids)
	for _, kind := range e.ids {
		e.Register(Kind{ID: kind, Read: e.declared(kind)})
	}
	return e
}

// declared reads the entries of a kind by its declaration.
func (e *Engine) declared(kind id.Kind) func(context.Context, []id.ID, func([]Entry)) error {
	return func(ctx context.Context, ids []id.ID, yield func([]Entry)) error {
		for some := range slices.Chunk(ids, readAtOnce) {
			found, err := e.store.Words(ctx, kind, some)
			if err != nil {
				return err
			}
			entries := make([]Entry, len(found))
			for i, f := range found {
				entries[i] = Entry{ID: f.ID, Version: f.Version, Fields: Fields{f.Title, f.Summary, Plain(f.Body)}, Time: f.Time}
			}
			yield(entries)
		}
		return nil
	}
}

// Register replaces the way to read a kind, one of store.Searched, before the first query.
func (e *Engine) Register(k Kind) {
	e.byKind[k.ID] = &kindIndex{Kind: k, index: NewIndex(e.language), entries: map[id.ID]indexed{}}
}

// Parse parses a query in the engine's language. A refusal is located at a path of the input.
func (e *Engine) Parse(text string, at ...string) (*Query, error) {
	q, err := Parse(e.language, text)
	return q, problem.Locate(err, at...)
}

// Search returns a window of the things that match text, the best first, and the query, to
// highlight texts with. No kinds stand for all. The list ends at the best MaxFound. Invalid means
// that the text or the window is malformed.
func (e *Engine) Search(ctx context.Context, text string, kinds []id.Kind, w store.Window) (*Query, *store.List, error) {
	q, err := e.Parse(text, "query")
	if err != nil {
		return nil, nil, err
	}
	if kinds = slices.Compact(slices.Sorted(slices.Values(kinds))); len(kinds) == 0 {
		kinds = e.ids
	}
	part, err := store.NewRanked(fmt.Sprintf("search/%v/%s", kinds, text), w)
	if err != nil {
		return nil, nil, err
	}
	if err := e.update(ctx, kinds); err != nil {
		return nil, nil, err
	}
	hits := e.find(q, kinds)
	most := min(len(hits), MaxFound)
	entries := make([]store.Entry, most)
	for i, h := range hits[:most] {
		entries[i] = store.Entry{ID: id.ID(h.ID), Text: rank(h)}
	}
	return q, part.List(entries, false, len(hits) > most), nil
}

// rank returns a text to sort hits by: the better ones first, then the newer ones.
func rank(h Hit) string {
	return fmt.Sprintf("%016x%016x", math.MaxUint64-math.Float64bits(h.Score), uint64(math.MaxInt64)-uint64(h.Time))
}

// find returns the hits of a query among all of kinds, the best first.
func (e *Engine) find(q *Query, kinds []id.Kind) []Hit {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var all []Hit
	for _, kind := range kinds {
		all = append(all, e.byKind[kind].index.Find(q)...)
	}
	slices.SortFunc(all, Best)
	return all
}

// Matching returns the things of one kind that a query finds, as list entries in no order. element
// makes the list entry from an id and the facts of its entry; false leaves the thing out. It is
// called under a lock, so it must not search.
func (e *Engine) Matching(ctx context.Context, kind id.Kind, q *Query, element func(id.ID, any) (store.Entry, bool)) ([]store.Entry, error) {
	if err := e.update(ctx, []id.Kind{kind}); err != nil {
		return nil, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	k := e.byKind[kind]
	out := []store.Entry{}
	for _, h := range k.index.Find(q) {
		if entry, ok := element(id.ID(h.ID), k.entries[id.ID(h.ID)].facts); ok {
			out = append(out, entry)
		}
	}
	return out, nil
}

// Build indexes everything public, so that the first query needn't wait for it. It tries again
// until it succeeds or ctx ends. Later changes are indexed by the queries that follow them.
func (e *Engine) Build(ctx context.Context, log *slog.Logger) {
	began := time.Now()
	for e.Update(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryAfter):
		}
	}
	log.Debug("the search index is made", "took", time.Since(began))
}

// Update brings all indexes in step with everything that is public now.
func (e *Engine) Update(ctx context.Context) error { return e.update(ctx, e.ids) }

// update brings the indexes of some kinds in step. A request that comes while another one updates
// waits, and then looks whether that was enough.
func (e *Engine) update(ctx context.Context, kinds []id.Kind) error {
	editions, err := e.store.Editions(ctx, kinds)
	if err != nil {
		return err
	}
	if e.has(kinds, editions) {
		return nil
	}
	select {
	case e.updating <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-e.updating }()
	// Another request may have gone further in the meantime. These editions are at least as fresh.
	if editions, err = e.store.Editions(ctx, kinds); err != nil {
		return err
	}
	for i, kind := range kinds {
		if err := e.follow(ctx, e.byKind[kind], editions[i]); err != nil {
			return fmt.Errorf("index what has changed: %w", err)
		}
	}
	return nil
}

// has reports whether the indexes of kinds are in step with editions.
func (e *Engine) has(kinds []id.Kind, editions []*store.Editions) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for i, kind := range kinds {
		if e.byKind[kind].editions != editions[i] {
			return false
		}
	}
	return true
}

// follow brings one index in step. Things that aren't public any more leave it at once. New and
// changed things are read and enter it, some at a time.
func (e *Engine) follow(ctx context.Context, k *kindIndex, editions *store.Editions) error {
	if k.editions == editions { // only this goroutine writes to k now, so reading takes no lock
		return nil
	}
	public := make(map[id.ID]bool, len(editions.All))
	var changed []id.ID
	for _, x := range editions.All {
		public[x.ID] = true
		if have, ok := k.entries[x.ID]; !ok || have.version != x.Version {
			changed = append(changed, x.ID)
		}
	}
	var gone []string
	for i := range k.entries {
		if !public[i] {
			gone = append(gone, string(i))
		}
	}
	if len(gone) > 0 {
		e.put(k, nil, gone)
	}
	// A document that is deleted during this read is missing in the next editions, and is then removed.
	err := k.Read(ctx, changed, func(entries []Entry) {
		for some := range slices.Chunk(entries, indexAtOnce) {
			e.put(k, some, nil)
		}
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if 2*len(changed) > k.index.Len() {
		k.index.Compact()
	}
	k.editions = editions
	return nil
}

// put adds entries to an index and removes others.
func (e *Engine) put(k *kindIndex, entries []Entry, gone []string) {
	documents := make([]Document, len(entries))
	for i, x := range entries {
		documents[i] = Document{ID: string(x.ID), Fields: x.Fields, Time: x.Time}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	k.index.Update(documents, gone)
	for _, x := range entries {
		k.entries[x.ID] = indexed{x.Version, x.Facts}
	}
	for _, i := range gone {
		delete(k.entries, id.ID(i))
	}
}
