package store

// The cached tables besides those of kinds: editions, neighbours, pages, counts, slugs and their
// like. Entry point: openTables.

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/id"
	"stoa/store/cache"
)

// tables are the cached tables besides the documents of kinds. kind.go and changes.go have the keys
// that a write makes stale.
type tables struct {
	slugs          cache.Table[slug, named]
	children       cache.Table[ChildrenKey, Children]
	ends           cache.Table[ChildrenKey, Children]
	childrenCounts cache.Table[ChildrenKey, ChildrenCount]
	pages          cache.Table[*List, pageOfIDs]
	neighbours     cache.Table[Position, Neighbours]
	counts         cache.Table[counting, count]
	due            cache.Table[string, due]
	editions       cache.Table[id.Kind, Editions]
	stamps         cache.Table[string, stamp]
}

// openTables makes the tables, empty.
func (s *Store) openTables() {
	s.tables, s.kinds = s.makeTables(), map[id.Kind]any{}
	for _, k := range kinds() {
		s.kinds[k.kind().id] = k.open(s)
	}
}

func (s *Store) makeTables() tables {
	return tables{
		slugs: cache.Table[slug, named]{
			Key: slug.key, Load: s.readSlugs, Encode: encode[named], Decode: decode[named],
			Size:   func(*named) int64 { return 50 },
			Format: formatOf[named](),
		},
		children: cache.Table[ChildrenKey, Children]{
			Key: childrenKey, Deps: ChildrenKey.headDeps,
			Load: s.readChildren, Encode: encodeChildren, Decode: decodeChildren,
			Size:   func(c *Children) int64 { return int64(200 + 180*len(c.rows)) },
			Format: formatOf[childrenDocument](),
		},
		ends: cache.Table[ChildrenKey, Children]{
			Key: childrenKey, Deps: ChildrenKey.listDeps,
			Load: s.readChildren, Encode: encodeChildren, Decode: decodeChildren,
			Size:   func(c *Children) int64 { return int64(200 + 180*len(c.rows)) },
			Format: formatOf[childrenDocument](),
		},
		childrenCounts: cache.Table[ChildrenKey, ChildrenCount]{
			Key: func(k ChildrenKey) string { return "count/" + childrenKey(k) }, Deps: ChildrenKey.listDeps,
			Load: s.readChildrenCounts, Encode: encode[ChildrenCount], Decode: decode[ChildrenCount],
			Size:   func(*ChildrenCount) int64 { return 8 },
			Format: formatOf[ChildrenCount](),
		},
		pages: cache.Table[*List, pageOfIDs]{
			Key: (*List).CacheKey, Deps: func(l *List) []string { return l.query.tags },
			Load: each(s.readPage), Encode: encode[pageOfIDs], Decode: decode[pageOfIDs],
			Size:   func(p *pageOfIDs) int64 { return int64(100 + 110*len(p.Entries)) },
			Format: formatOf[pageOfIDs](),
		},
		neighbours: cache.Table[Position, Neighbours]{
			Key: neighboursKey, Deps: func(Position) []string { return []string{listTag(AllArticles)} },
			Load: s.readNeighbours, Encode: encode[Neighbours], Decode: decode[Neighbours],
			Size:   func(*Neighbours) int64 { return 100 },
			Format: formatOf[Neighbours](),
		},
		counts: cache.Table[counting, count]{
			Key:  func(c counting) string { return fmt.Sprintf("count/%d/%s", c.most, c.list.named) },
			Deps: func(c counting) []string { return c.list.query.tags },
			Load: each(s.readCount), Encode: encode[count], Decode: decode[count],
			Size:   func(*count) int64 { return 8 },
			Format: formatOf[count](),
		},
		due: cache.Table[string, due]{
			Key: func(k string) string { return k }, Load: each(s.readDue), Encode: encode[due], Decode: decode[due],
			Size:   func(*due) int64 { return 24 },
			Format: formatOf[due](),
		},
		editions: cache.Table[id.Kind, Editions]{
			Key: editionsKey, Load: each(s.readEditions), Encode: encode[Editions], Decode: decode[Editions],
			Size:   func(e *Editions) int64 { return int64(60 * len(e.All)) },
			Format: formatOf[Editions](),
		},
		stamps: cache.Table[string, stamp]{
			Key:  func(k string) string { return k },
			Deps: func(string) []string { return []string{addressesTag, listTag(authors), listTag(tags)} },
			Load: s.makeStamps, Encode: encode[stamp], Decode: decode[stamp],
			Size:   func(*stamp) int64 { return 40 },
			Format: formatOf[stamp](),
		},
	}
}

// each reads things that can't be read together: lists with different filters, and a request asks
// for one at a time.
func each[K comparable, T any](read func(context.Context, K) (*T, error)) func(context.Context, []K) (map[K]*T, error) {
	return func(ctx context.Context, ks []K) (map[K]*T, error) {
		out := make(map[K]*T, len(ks))
		for _, k := range ks {
			v, err := read(ctx, k)
			if err != nil {
				return nil, err
			}
			out[k] = v
		}
		return out, nil
	}
}

func encode[T any](v *T) ([]byte, error) { return bson.Marshal(v) }

func decode[T any](b []byte) (*T, error) {
	v := new(T)
	return v, bson.Unmarshal(b, v)
}

// slug names a thing by the last part of its address.
type slug struct {
	collection string
	slug       string
}

func (s slug) key() string { return "slug/" + s.collection + "/" + s.slug }

// named is the result of looking up a slug.
type named struct {
	ID id.ID `bson:"i"`
}

func childrenKey(k ChildrenKey) string { return "children/" + string(k) }

// formerKey is the key of a list under a parent in the version before. Replicas of that version may
// serve beside this one, so such a list depends on both keys, and a write drops both. The next
// version removes it.
func formerKey(key string) string { return "order/" + strings.TrimPrefix(key, "children/") }

// withFormerKeys adds the version before's keys of the lists in keys. That version also has a list
// of all articles, under a key of its own.
func withFormerKeys(keys []string) []string {
	for _, key := range keys {
		switch {
		case key == listTag(AllArticles):
			keys = append(keys, formerKey(string(AllArticles)))
		case strings.HasPrefix(key, "children/"):
			keys = append(keys, formerKey(key))
		}
	}
	return keys
}

// readSlugs finds the things with slugs, all of one collection. Old slugs count, unless another
// article (author, tag) has that slug now; of several that had it, the newest.
func (s *Store) readSlugs(ctx context.Context, slugs []slug) (map[slug]*named, error) {
	out := make(map[slug]*named, len(slugs))
	byCollection := map[string][]string{}
	for _, k := range slugs {
		byCollection[k.collection] = append(byCollection[k.collection], k.slug)
	}
	for collection, wanted := range byCollection {
		type document struct {
			ID   id.ID    `bson:"_id"`
			Slug string   `bson:"slug"`
			Old  []string `bson:"oldSlugs"`
		}
		found, err := find[document](ctx, s.collection(collection), hasSlug(wanted), projection("slug", "oldSlugs"))
		if err != nil {
			return nil, err
		}
		slices.SortFunc(found, func(a, b *document) int { return strings.Compare(string(b.ID), string(a.ID)) })
		for _, d := range found {
			for _, old := range d.Old {
				if k := (slug{collection, old}); out[k] == nil {
					out[k] = &named{d.ID}
				}
			}
		}
		for _, d := range found {
			out[slug{collection, d.Slug}] = &named{d.ID}
		}
	}
	return out, nil
}

// hasSlug is the condition that a document has one of slugs, or had it.
func hasSlug(slugs []string) bson.D {
	return bson.D{{Key: "$or", Value: bson.A{in("slug", slugs), in("oldSlugs", slugs)}}}
}

// bySlug finds one document's id by its slug.
func (s *Store) bySlug(ctx context.Context, collection, text string) (id.ID, bool, error) {
	if text == "" || len(text) > MaxSlug || strings.ContainsAny(text, " \n\x00") {
		return "", false, nil // an invalid slug needn't be looked for, nor remembered
	}
	found, err := s.tables.slugs.Get(ctx, s.cache, []slug{{collection, text}})
	if err != nil || found[0] == nil {
		return "", false, err
	}
	return found[0].ID, true, nil
}
