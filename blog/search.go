package blog

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"stoa/id"
	"stoa/problem"
	"stoa/search"
	"stoa/store"
)

const (
	// MaxFound is where a search's list ends: nobody pages further, and a page is cut out
	// of all of it.
	MaxFound = 1000

	// indexAtOnce is how many are put into the index while queries wait: some 10 ms.
	indexAtOnce = 50

	// retryIndex is after how long the index is tried again at the start when the database
	// doesn't answer.
	retryIndex = time.Second
)

// searched are the kinds of things that can be found, in the order of their names.
var searched = []id.Kind{id.Article, id.Author, id.Tag}

// searchIndex finds everything public by its words. It has one index a kind, so that words
// rare among articles are weighted by articles alone. Every replica has its own. Before each
// query it is brought in step with the editions of everything public. They come from the
// caches, so they are as fresh as lists; while they stay the same there is nothing to do.
type searchIndex struct {
	language *search.Language
	stepping chan struct{} // holds a token while a request brings it in step

	mu     sync.RWMutex
	byKind map[id.Kind]*kindIndex
}

// kindIndex is the index of one kind.
type kindIndex struct {
	index    *search.Index
	versions map[id.ID]int64
	articles map[id.ID]articleEntry
	editions *store.Editions // the editions in the index; nil for none
}

// articleEntry has the fields by which lists of articles are filtered and ordered, 500 bytes
// an article.
type articleEntry struct {
	published, updated time.Time
	title              string // see store.SortKey
	authors, tags      []id.ID
}

func newSearchIndex(l *search.Language) *searchIndex {
	x := &searchIndex{language: l, stepping: make(chan struct{}, 1), byKind: map[id.Kind]*kindIndex{}}
	for _, kind := range searched {
		x.byKind[kind] = &kindIndex{index: search.New(l), versions: map[id.ID]int64{}, articles: map[id.ID]articleEntry{}}
	}
	return x
}

// Search returns the part of what is public that text finds, of some kinds or, where there
// is none, of all, the best first; and the query, which highlights. Its list ends at the
// best MaxFound.
func (b *Blog) Search(ctx context.Context, text string, kinds []id.Kind, w store.Window) (*search.Query, *store.List, error) {
	q, err := b.query(text, "query")
	if err != nil {
		return nil, nil, err
	}
	if kinds = slices.Compact(slices.Sorted(slices.Values(kinds))); len(kinds) == 0 {
		kinds = searched
	}
	part, err := store.NewRanked(fmt.Sprintf("search/%v/%s", kinds, text), w)
	if err != nil {
		return nil, nil, err
	}
	if err := b.step(ctx, kinds); err != nil {
		return nil, nil, err
	}
	hits := b.searchIndex.find(q, kinds)
	most := min(len(hits), MaxFound)
	entries := make([]store.Entry, most)
	for i, h := range hits[:most] {
		entries[i] = store.Entry{ID: id.ID(h.ID), Text: rank(h)}
	}
	return q, part.List(entries, false, len(hits) > most), nil
}

func (b *Blog) query(text string, at ...string) (*search.Query, error) {
	q, err := search.Parse(b.searchIndex.language, text)
	if refused, ok := err.(*problem.Error); ok {
		return nil, refused.At(at...)
	}
	return q, err
}

// rank is a text by which hits are in order: the better come first, then the newer.
func rank(h search.Hit) string {
	return fmt.Sprintf("%016x%016x", math.MaxUint64-math.Float64bits(h.Score), uint64(math.MaxInt64)-uint64(h.Time))
}

// find returns what q finds, the best first whatever kind they are.
func (x *searchIndex) find(q *search.Query, kinds []id.Kind) []search.Hit {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var all []search.Hit
	for _, kind := range kinds {
		all = append(all, x.byKind[kind].index.Find(q)...)
	}
	slices.SortFunc(all, search.Best)
	return all
}

// matching returns the part of the list of published articles that where.Query finds and
// that meet the rest of where, all of it out of memory.
func (b *Blog) matching(ctx context.Context, where ArticleWhere, order ArticleOrder, w store.Window) (*store.List, error) {
	q, err := b.query(*where.Query, "where", "query")
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
	is, err := b.predicate(ctx, where)
	if err != nil {
		return nil, err
	}
	if err := b.step(ctx, []id.Kind{id.Article}); err != nil {
		return nil, err
	}
	return part.List(b.searchIndex.entries(q, is, order.Field), order.Direction == Descending, false), nil
}

// entries returns the articles that match q and meet a condition, in no order.
func (x *searchIndex) entries(q *search.Query, is func(id.ID, articleEntry) bool, order store.ArticleOrder) []store.Entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := x.byKind[id.Article]
	entries := []store.Entry{}
	for _, h := range s.index.Find(q) {
		f := s.articles[id.ID(h.ID)]
		if !is(id.ID(h.ID), f) {
			continue
		}
		e := store.Entry{ID: id.ID(h.ID)}
		switch order {
		case store.ByTitle:
			e.Text = f.title
		case store.ByUpdated:
			e.Time = f.updated
		default:
			e.Time = f.published
		}
		entries = append(entries, e)
	}
	return entries
}

// name tells where from every other.
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

// predicate is the rest of where, but for the query.
func (b *Blog) predicate(ctx context.Context, where ArticleWhere) (func(id.ID, articleEntry) bool, error) {
	var tag, author id.ID
	none := false
	if where.Tag != nil {
		t, err := b.store.TagBySlug(ctx, *where.Tag)
		if err != nil && !problem.Is(err, problem.NotFound) {
			return nil, err
		}
		if none = none || err != nil; err == nil {
			tag = t.ID
		}
	}
	if where.Author != nil {
		a, err := b.store.AuthorBySlug(ctx, *where.Author)
		if err != nil && !problem.Is(err, problem.NotFound) {
			return nil, err
		}
		if none = none || err != nil; err == nil {
			author = a.ID
		}
	}
	return func(i id.ID, f articleEntry) bool {
		return !none &&
			(tag == "" || slices.Contains(f.tags, tag)) &&
			(author == "" || slices.Contains(f.authors, author)) &&
			(where.PublishedAfter == nil || !f.published.Before(*where.PublishedAfter)) &&
			(where.PublishedBefore == nil || f.published.Before(*where.PublishedBefore)) &&
			(where.IDs == nil || slices.Contains(where.IDs, i))
	}, nil
}

// BuildIndex indexes everything that is public, so that the first query needn't wait for
// it, and tries again until that has succeeded or ctx ends. Later changes are indexed by
// the queries that come after them.
func (b *Blog) BuildIndex(ctx context.Context) {
	began := time.Now()
	for b.Index(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryIndex):
		}
	}
	b.log.Debug("the search index is made", "took", time.Since(began))
}

// Index brings the search index in step with what is public.
func (b *Blog) Index(ctx context.Context) error { return b.step(ctx, searched) }

// step brings the indexes of kinds in step with what is public now. Who comes while
// somebody else does so waits and then looks whether that was enough.
func (b *Blog) step(ctx context.Context, kinds []id.Kind) error {
	editions, err := b.store.Editions(ctx, kinds)
	if err != nil {
		return err
	}
	x := b.searchIndex
	if x.has(kinds, editions) {
		return nil
	}
	select {
	case x.stepping <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-x.stepping }()
	// Somebody may have gone further in the meantime: these are at least as fresh.
	if editions, err = b.store.Editions(ctx, kinds); err != nil {
		return err
	}
	for i, kind := range kinds {
		if err := b.follow(ctx, kind, editions[i]); err != nil {
			return fmt.Errorf("index what has changed: %w", err)
		}
	}
	return nil
}

// has says whether the indexes of kinds are in step with editions.
func (x *searchIndex) has(kinds []id.Kind, editions []*store.Editions) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for i, kind := range kinds {
		if x.byKind[kind].editions != editions[i] {
			return false
		}
	}
	return true
}

// follow brings the index of a kind in step: what is gone leaves it at once, what is new or
// has changed is read and put in, some at a time.
func (b *Blog) follow(ctx context.Context, kind id.Kind, editions *store.Editions) error {
	x := b.searchIndex
	s := x.byKind[kind] // nobody else writes to it now, so reading takes no lock
	if s.editions == editions {
		return nil
	}
	public := make(map[id.ID]bool, len(editions.All))
	var changed []id.ID
	for _, e := range editions.All {
		public[e.ID] = true
		if version, ok := s.versions[e.ID]; !ok || version != e.Version {
			changed = append(changed, e.ID)
		}
	}
	var gone []string
	for i := range s.versions {
		if !public[i] {
			gone = append(gone, string(i))
		}
	}
	if len(gone) > 0 {
		x.put(s, nil, gone)
	}
	err := b.read(ctx, kind, changed, func(entries []entry) {
		for some := range slices.Chunk(entries, indexAtOnce) {
			x.put(s, some, nil)
		}
	})
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if 2*len(changed) > s.index.Len() {
		s.index.Compact()
	}
	s.editions = editions
	return nil
}

// entry is one thing's part of the search index.
type entry struct {
	store.Edition
	document search.Document
	article  articleEntry
}

// put adds entries to an index and removes others.
func (x *searchIndex) put(s *kindIndex, entries []entry, gone []string) {
	documents := make([]search.Document, len(entries))
	for i, e := range entries {
		documents[i] = e.document
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s.index.Update(documents, gone)
	for _, e := range entries {
		s.versions[e.ID] = e.Version
		if !e.article.published.IsZero() {
			s.articles[e.ID] = e.article
		}
	}
	for _, i := range gone {
		delete(s.versions, id.ID(i))
		delete(s.articles, id.ID(i))
	}
}

// read reads what ids name, as far as it is public still. What has gone in the meantime
// isn't among the next editions.
func (b *Blog) read(ctx context.Context, kind id.Kind, ids []id.ID, yield func([]entry)) error {
	switch kind {
	case id.Article:
		return b.store.Texts(ctx, ids, func(found []store.Text) {
			out := make([]entry, len(found))
			for i, t := range found {
				out[i] = entry{t.Edition(),
					search.Document{ID: string(t.ID), Fields: search.Fields{t.Title, t.Summary, search.Plain(t.HTML)}, Time: t.PublishedAt},
					articleEntry{t.PublishedAt, t.UpdatedAt, t.TitleKey, t.AuthorIDs, t.TagIDs}}
			}
			yield(out)
		})
	case id.Author:
		found, err := b.store.Authors(ctx, ids)
		yield(entriesOf(found, (*store.Author).Edition, func(a *store.Author) search.Fields { return search.Fields{a.Name, search.Plain(a.BioHTML)} }))
		return err
	default:
		found, err := b.store.Tags(ctx, ids)
		yield(entriesOf(found, (*store.Tag).Edition, func(t *store.Tag) search.Fields { return search.Fields{t.Name, t.Description} }))
		return err
	}
}

func entriesOf[T any](found []*T, edition func(*T) store.Edition, fields func(*T) search.Fields) []entry {
	var out []entry
	for _, v := range found {
		if v != nil {
			e := edition(v)
			out = append(out, entry{e, search.Document{ID: string(e.ID), Fields: fields(v), Time: time.UnixMilli(0)}, articleEntry{}})
		}
	}
	return out
}
