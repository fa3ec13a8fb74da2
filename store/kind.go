package store

// A kind of document, declared once. From the declaration follow its cached table, its reads by
// id and by slug, its visibility, and the keys that a write of it makes stale.
// Entry points: Kind and its methods, ListOf, Visible, Store.MoveChildren; a declaration is in the file
// of its noun.

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store/cache"
)

// Kind declares a kind of document: *T has a NodeID. Declarations are never changed.
type Kind[T any] struct {
	ID         id.Kind
	Name       string // in messages: "article"
	Collection string
	Size       func(*T) int64 // about how many bytes one takes in the caches, its id aside
	// Without names the fields of the stored document that *T doesn't have, and reads leave out.
	Without []string
	// Part reads the documents with ids if they are parts of other documents, in Collection. Nil for
	// documents of their own.
	Part func(ctx context.Context, s *Store, ids []id.ID) (map[id.ID]*T, error)
	// Indexes are those besides the ones on _id, slugs and Lists.
	Indexes []index

	// Public is the rule by which everybody may see a document. Without a predicate every
	// document is public.
	Public Visible[T]
	// VisibleTo says whether a viewer may see a document that isn't public; nil if nobody may.
	VisibleTo func(*T, access.Viewer) bool
	// ReadFor replaces the read by ids for the viewer if the document alone doesn't decide. The
	// declaration is an argument because a function in it can't refer to its variable: Go refuses
	// the initialization cycle.
	ReadFor func(ctx context.Context, s *Store, k *Kind[T], ids []id.ID) ([]*T, error)
	// Private says that everything about this kind depends on the viewer: there is no read for
	// everybody.
	Private bool

	// Slugs are a document's slugs, the present one first; nil for a kind without slugs.
	Slugs func(*T) []string
	// Version points to a document's version, for compare-and-set; nil for a kind that is
	// changed otherwise.
	Version func(*T) *int64
	Lists   []ListOf[T]
	// Words are the texts that search finds a public document by; nil for a kind that isn't searched.
	// Such a kind has versions.
	Words func(*T) Words
	// Keys adds the keys in the caches that depend on a document besides its id, slugs, lists
	// and words, each with the document's place under it.
	Keys func(d *T, put func(key, place string))
}

// Visible is a rule of visibility in two forms: a predicate for documents read by id, and a
// filter for lists.
type Visible[T any] struct {
	Is     func(*T) bool
	Filter bson.D
}

// Words are the texts of a document for search.
type Words struct {
	Title, Summary string    // plain
	Body           string    // HTML
	Time           time.Time // of equally good documents the newer comes first
}

// ListOf declares a list of a kind's public documents. With Field it declares a list under each
// parent: the documents whose Field contains the parent's id.
type ListOf[T any] struct {
	// Tag is the cache key that a change of the list drops. For a list under a parent it is the
	// part after the parent's id: a slash and a name, or "" for the parent's only list.
	Tag string
	// Sort is the name of the field that orders the list. At returns the field's value: a time, a
	// text or an int64. For a field that may be missing it returns a pointer: documents without the
	// field come last, in both directions.
	Sort      string
	At        func(*T) any
	Ascending bool // the least comes first, else the greatest

	Name    string           // of a list under parents, for Kind.Under
	Under   id.Kind          // the kind of the parents
	Field   string           // the field that names them
	Parents func(*T) []id.ID // its value; "" is no parent
	// SetParents sets it, for lists under a kind with merges: see Store.MoveChildren.
	SetParents func(*T, []id.ID)
}

// kinds returns every kind. A kind that isn't here has no table, no indexes and no lists.
func kinds() []declared {
	return []declared{Articles, Revisions, Authors, Tags, Comments, Accounts, Sessions, Pictures, Products, Variants, Descriptions}
}

// declared is a Kind of any type.
type declared interface {
	prefix() id.Kind
	kind() *facts
	indexes() []index
	open(*Store) any // a *cache.Table[id.ID, T]
	readEditions(context.Context, *Store) (*Editions, error)
	search(context.Context, *Store, []id.ID) ([]Found, error)
	words(Node) Words
	document() any // a T
	findFor(ctx context.Context, s *Store, ids []id.ID, found map[id.ID]Node) error
	moveChildren(ctx context.Context, s *Store, parent id.ID, replace func([]id.ID) []id.ID, write ReplaceByKind) error
}

// facts are the parts of a Kind that don't depend on its Go type.
type facts struct {
	id         id.Kind
	name       string
	collection string
	lists      []listFacts
	public     bson.D
	searched   bool
}

// listFacts are the parts of a ListOf that don't depend on its Go type.
type listFacts struct {
	tag       string
	under     id.Kind
	field     string
	sort      string
	value     valueType
	optional  bool
	ascending bool
}

func (k *Kind[T]) document() any { return *new(T) }

func (k *Kind[T]) kind() *facts {
	f := &facts{id: k.ID, name: k.Name, collection: k.Collection, public: k.Public.Filter}
	if f.public == nil {
		f.public = bson.D{}
	}
	for _, l := range k.Lists {
		f.lists = append(f.lists, l.facts())
	}
	f.searched = k.Words != nil
	return f
}

func (k *Kind[T]) prefix() id.Kind { return k.ID }

// indexes returns the indexes of the kind: those that it declares, and those of its slugs and lists
// that aren't the beginning of a declared one.
func (k *Kind[T]) indexes() []index {
	f, all := k.kind(), slices.Clone(k.Indexes)
	add := func(i index) {
		if !slices.ContainsFunc(all, func(other index) bool {
			return len(i.fields) <= len(other.fields) && slices.Equal(i.fields, other.fields[:len(i.fields)])
		}) {
			all = append(all, i)
		}
	}
	if k.Slugs != nil {
		add(index{fields: []string{"slug"}, unique: true})
		add(index{fields: []string{"oldSlugs"}})
	}
	for _, l := range f.lists {
		sign := "-"
		if l.ascending {
			sign = ""
		}
		var fields []string
		if l.field != "" {
			fields = append(fields, l.field)
		}
		for _, e := range f.public {
			fields = append(fields, e.Key)
		}
		add(index{fields: append(fields, sign+l.sort, sign+"_id")})
	}
	for i := range all {
		all[i].collection = k.Collection
	}
	return all
}

func (l *ListOf[T]) facts() listFacts {
	f := listFacts{tag: l.Tag, under: l.Under, field: l.Field, sort: l.Sort, ascending: l.Ascending}
	switch l.At(new(T)).(type) {
	case *time.Time, *string, *int64:
		f.optional = true
	}
	switch l.At(new(T)).(type) {
	case string, *string:
		f.value = textValue
	case int64, *int64:
		f.value = numberValue
	}
	return f
}

// open makes the cached table of whole documents by id. A client may send an id of another kind.
// Its cache key gets the collection as a prefix, since the plain id is the key of another table.
func (k *Kind[T]) open(s *Store) any {
	return &cache.Table[id.ID, T]{
		Key: func(i id.ID) string {
			if i.Kind() != k.ID {
				return k.Collection + "/" + string(i)
			}
			return string(i)
		},
		Load: func(ctx context.Context, ids []id.ID) (map[id.ID]*T, error) {
			if k.Part != nil {
				return k.Part(ctx, s, ids)
			}
			found, err := k.Now(ctx, s, ids)
			out := make(map[id.ID]*T, len(found))
			for _, d := range found {
				out[idOf(d)] = d
			}
			return out, err
		},
		Encode: encode[T], Decode: decode[T], Size: k.Size, Format: formatOf[T](),
	}
}

func idOf[T any](d *T) id.ID { return any(d).(Node).NodeID() }

// any returns the documents with ids, in the order of ids, without an access check. A missing
// document is nil.
func (k *Kind[T]) any(ctx context.Context, s *Store, ids []id.ID) ([]*T, error) {
	return s.kinds[k.ID].(*cache.Table[id.ID, T]).Get(ctx, s.cache, ids)
}

// that returns the documents with ids, in the order of ids. A missing document is nil, and so is
// one that may refuses.
func (k *Kind[T]) that(ctx context.Context, s *Store, ids []id.ID, may func(*T) bool) ([]*T, error) {
	found, err := k.any(ctx, s, ids)
	if may == nil {
		return found, err
	}
	for i, d := range found {
		if d != nil && !may(d) {
			found[i] = nil
		}
	}
	return found, err
}

// All returns the public documents with ids, in the order of ids. A missing or hidden document is
// nil. For a private kind All is For.
func (k *Kind[T]) All(ctx context.Context, s *Store, ids []id.ID) ([]*T, error) {
	if k.Private {
		return k.For(ctx, s, ids)
	}
	return k.that(ctx, s, ids, k.Public.Is)
}

// For returns the documents with ids that the viewer may see, in the order of ids. A missing or
// hidden document is nil. For reads the viewer, so the response becomes private.
func (k *Kind[T]) For(ctx context.Context, s *Store, ids []id.ID) ([]*T, error) {
	if k.ReadFor != nil {
		return k.ReadFor(ctx, s, k, ids)
	}
	v, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	return k.that(ctx, s, ids, func(d *T) bool {
		return k.VisibleTo != nil && k.VisibleTo(d, v) || k.Public.Is != nil && k.Public.Is(d)
	})
}

// Now returns the documents with ids from the database, past the caches, in any order and without
// an access check. Missing documents are left out.
func (k *Kind[T]) Now(ctx context.Context, s *Store, ids []id.ID) ([]*T, error) {
	return find[T](ctx, s.collection(k.Collection), in("_id", ids), k.fields())
}

// fields is the projection of the kind's reads; nil for whole documents.
func (k *Kind[T]) fields() *options.FindOptionsBuilder {
	if k.Without == nil {
		return nil
	}
	without := bson.D{}
	for _, field := range k.Without {
		without = append(without, bson.E{Key: field, Value: 0})
	}
	return options.Find().SetProjection(without)
}

// BySlug returns the public document with a present or former slug. Errors: NotFound.
func (k *Kind[T]) BySlug(ctx context.Context, s *Store, slug string) (*T, error) {
	return k.bySlug(ctx, s, slug, func(ids []id.ID) ([]*T, error) { return k.All(ctx, s, ids) })
}

// BySlugFor returns the document with a present or former slug if the viewer may see it. Errors:
// NotFound. The response is private in both cases.
func (k *Kind[T]) BySlugFor(ctx context.Context, s *Store, slug string) (*T, error) {
	access.MarkPrivate(ctx)
	return k.bySlug(ctx, s, slug, func(ids []id.ID) ([]*T, error) { return k.For(ctx, s, ids) })
}

// Find returns the public document with a present or former slug, or else one that the viewer may see.
// Errors: NotFound. The viewer is asked for only if no public document has the slug.
func (k *Kind[T]) Find(ctx context.Context, s *Store, slug string) (*T, error) {
	found, err := k.BySlug(ctx, s, slug)
	if problem.Is(err, problem.NotFound) {
		return k.BySlugFor(ctx, s, slug)
	}
	return found, err
}

func (k *Kind[T]) bySlug(ctx context.Context, s *Store, text string, read func([]id.ID) ([]*T, error)) (*T, error) {
	missing := problem.New(problem.NotFound, "there is no %s with the slug %.80q", k.Name, text)
	for again := false; ; again = true {
		i, ok, err := s.bySlug(ctx, k.Collection, text)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, missing
		}
		found, err := read([]id.ID{i})
		if err != nil {
			return nil, err
		}
		if found[0] != nil {
			return found[0], nil
		}
		there, err := k.any(ctx, s, []id.ID{i})
		if err != nil {
			return nil, err
		}
		if there[0] != nil || again { // hidden
			return nil, missing
		}
		// The document was merged into another after the slug was looked up. The other document
		// has the slug now.
		s.cache.Drop(slug{k.Collection, text}.key())
	}
}

// SlugsTaken returns the slugs that are a present or former slug of some document, with the ids of
// those documents. It reads the database, past the caches.
func (k *Kind[T]) SlugsTaken(ctx context.Context, s *Store, slugs []string) (map[string]id.ID, error) {
	wanted := make([]slug, len(slugs))
	for i, text := range slugs {
		wanted[i] = slug{k.Collection, text}
	}
	found, err := s.readSlugs(ctx, wanted)
	out := make(map[string]id.ID, len(found))
	for name, n := range found {
		out[name.slug] = n.ID
	}
	return out, err
}

// Add stores a new document at version 1. It returns Conflict if the id or the slug is taken.
func (k *Kind[T]) Add(ctx context.Context, s *Store, d *T) error { return k.add(ctx, s, d, d, nil) }

// add is Add for a document that is stored as whole, of which d is a part. The keys of parts become
// stale, too.
func (k *Kind[T]) add(ctx context.Context, s *Store, d *T, whole any, parts []string) error {
	*k.Version(d) = 1
	return s.write(ctx, append(k.stale(nil, d), parts...), func(ctx context.Context) error {
		_, err := s.collection(k.Collection).InsertOne(ctx, whole)
		return conflict(err, k.taken(d))
	})
}

// Change replaces the document before, as it was read, by after, and sets the version of after to
// the next one. It writes the fields that differ. It returns Conflict if the document has another
// version by now, or if the slug is taken.
func (k *Kind[T]) Change(ctx context.Context, s *Store, before, after *T) error {
	return k.change(ctx, s, before, after, before, after, nil)
}

// change is Change for a document that is stored as a whole, as in add.
func (k *Kind[T]) change(ctx context.Context, s *Store, before, after *T, wholeBefore, wholeAfter any, parts []string) error {
	*k.Version(after) = *k.Version(before) + 1
	return s.write(ctx, append(k.stale(before, after), parts...), func(ctx context.Context) error {
		update, err := difference(wholeBefore, wholeAfter)
		if err != nil {
			return err
		}
		result, err := s.collection(k.Collection).UpdateOne(ctx, k.atVersion(before), update)
		if err != nil {
			return conflict(err, k.taken(after))
		}
		return changed(result.MatchedCount, nil, "the "+k.Name)
	})
}

// Delete deletes a document. It returns Conflict if the document has changed since it was read. No
// other document may refer to it any more.
func (k *Kind[T]) Delete(ctx context.Context, s *Store, d *T) error { return k.delete(ctx, s, d, nil) }

// delete is Delete for a document with parts, as in add.
func (k *Kind[T]) delete(ctx context.Context, s *Store, d *T, parts []string) error {
	return s.write(ctx, append(k.stale(d, nil), parts...), func(ctx context.Context) error {
		result, err := s.collection(k.Collection).DeleteOne(ctx, k.atVersion(d))
		if err != nil {
			return fmt.Errorf("delete %s: %w", idOf(d), err)
		}
		if err := changed(result.DeletedCount, nil, "the "+k.Name); err != nil {
			return err
		}
		if len(listsUnder(k.ID)) > 0 {
			s.forgetTallies(ctx, idOf(d))
		}
		return nil
	})
}

func (k *Kind[T]) atVersion(d *T) bson.D {
	return bson.D{{Key: "_id", Value: idOf(d)}, {Key: "version", Value: *k.Version(d)}}
}

// taken describes, in an error, the value that a unique index refused.
func (k *Kind[T]) taken(d *T) string {
	if k.Slugs == nil {
		return "the " + k.Name
	}
	return fmt.Sprintf("the slug %q", k.Slugs(d)[0])
}

// stale returns the cache keys that become stale when before turns into after: the key of the
// document, and the keys with a different place for it. For an added document before is nil, for a
// deleted one after is nil. The keys of the lists under it are stale in both cases, too.
func (k *Kind[T]) stale(before, after *T) []string {
	was, is := k.places(before), k.places(after)
	keys := []string{}
	for key, place := range was {
		if is[key] != place {
			keys = append(keys, key)
		}
	}
	for key := range is {
		if was[key] == "" {
			keys = append(keys, key)
		}
	}
	for _, d := range []*T{before, after} {
		if d == nil {
			continue
		}
		keys = append(keys, string(idOf(d)))
		if before == nil || after == nil {
			for _, l := range listsUnder(k.ID) {
				keys = append(keys, l.keys(idOf(d))...)
			}
		}
	}
	return compact(keys)
}

// places returns the keys that depend on a document, each with its place under it; none for nil.
func (k *Kind[T]) places(d *T) map[string]string {
	places := map[string]string{}
	if d == nil {
		return places
	}
	put := func(key, place string) { places[key] += " " + place }
	if k.Slugs != nil {
		for _, text := range k.Slugs(d) {
			put(slug{k.Collection, text}.key(), string(idOf(d)))
		}
	}
	if k.isPublic(d) {
		for _, l := range k.Lists {
			place := placeText(l.At(d))
			if l.Parents == nil {
				put(l.Tag, place)
				continue
			}
			for _, parent := range l.Parents(d) {
				if parent == "" {
					continue
				}
				for _, key := range l.facts().keys(parent) {
					put(key, place)
				}
			}
		}
	}
	if k.Words != nil && k.isPublic(d) {
		put(editionsKey(k.ID), strconv.FormatInt(*k.Version(d), 36))
	}
	if k.Keys != nil {
		k.Keys(d, put)
	}
	return places
}

func (k *Kind[T]) isPublic(d *T) bool { return k.Public.Is == nil || k.Public.Is(d) }

// placeText writes down a sort value; "" for a missing one.
func placeText(at any) string {
	if v := reflect.ValueOf(at); v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		return placeText(v.Elem().Interface())
	}
	switch at := at.(type) {
	case time.Time:
		return strconv.FormatInt(at.UnixMilli(), 36)
	case string:
		return strconv.Quote(at)
	default:
		return fmt.Sprint(at)
	}
}

// Under returns the key of the list of that name under a parent. It panics if no such list is
// declared under the parent's kind.
func (k *Kind[T]) Under(list string, parent id.ID) ChildrenKey {
	for i := range k.Lists {
		if l := &k.Lists[i]; l.Name == list && l.Under == parent.Kind() {
			return ChildrenKey(string(parent) + l.Tag)
		}
	}
	panic(fmt.Sprintf("no list %q of %ss is declared under %s", list, k.Name, parent.Kind()))
}

// List returns a part of the list of all public documents: the first of Lists, in its order.
func (k *Kind[T]) List(s *Store, w Window) (*List, error) {
	f := k.kind()
	l := f.lists[0]
	return s.list(query{collection: f.collection, filter: f.public, sort: l.sort, value: l.value, optional: l.optional, descending: !l.ascending, tags: []string{l.tag}}, w)
}

// keys are the keys of the list under a parent.
func (l listFacts) keys(parent id.ID) []string {
	return listKeys(id.ID(string(parent) + l.tag))
}

// listsUnder are the lists that are under each thing of a kind.
func listsUnder(kind id.Kind) []listFacts {
	var out []listFacts
	for _, k := range kinds() {
		for _, l := range k.kind().lists {
			if l.under == kind && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// findFor adds to found the documents of this kind with ids that the viewer may see, without those
// in found already. It reads the viewer only if some id is left to look up.
func (k *Kind[T]) findFor(ctx context.Context, s *Store, ids []id.ID, found map[id.ID]Node) error {
	if !k.Private && k.VisibleTo == nil && k.ReadFor == nil {
		return nil
	}
	var of []id.ID
	for _, i := range ids {
		if i.Kind() == k.ID && found[i] == nil {
			of = append(of, i)
		}
	}
	if len(of) == 0 {
		return nil
	}
	values, err := k.For(ctx, s, of)
	for _, v := range values {
		if v != nil {
			found[idOf(v)] = any(v).(Node)
		}
	}
	return err
}

// FindFor adds to found the documents with ids that the viewer may see, without those in found
// already. It sends one batch for each kind. It reads the viewer only if an id of a kind with
// hidden documents is left to look up.
func (s *Store) FindFor(ctx context.Context, ids []id.ID, found map[id.ID]Node) error {
	for _, k := range kinds() {
		if err := k.findFor(ctx, s, ids, found); err != nil {
			return err
		}
	}
	return nil
}

// ReplaceByKind has functions that write after in place of before, by the kind of both, where
// Kind.Change isn't enough.
type ReplaceByKind map[id.Kind]func(ctx context.Context, before, after Node) error

// MoveChildren moves every document away from a parent that is going: replace returns a document's
// new parents, without that one. A document is of any kind with a list declared under the parent's
// kind, and moves if it is hidden, too. One that another writer changes meanwhile is read again.
// MoveChildren doesn't find a document that comes under the parent later.
func (s *Store) MoveChildren(ctx context.Context, parent id.ID, replace func([]id.ID) []id.ID, write ReplaceByKind) error {
	for _, k := range kinds() {
		if err := k.moveChildren(ctx, s, parent, replace, write); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kind[T]) moveChildren(ctx context.Context, s *Store, parent id.ID, replace func([]id.ID) []id.ID, write ReplaceByKind) error {
	for _, l := range k.Lists {
		if l.Field == "" || l.Under != parent.Kind() {
			continue
		}
		if l.SetParents == nil {
			return fmt.Errorf("the list %q of %ss under %s declares no SetParents", l.Name, k.Name, l.Under)
		}
		for {
			under, err := findList[T](ctx, s.collection(k.Collection), bson.D{{Key: l.Field, Value: parent}}, options.Find().SetLimit(MaxPageSize))
			if err != nil {
				return err
			}
			if len(under) == 0 {
				break
			}
			for _, before := range under {
				after := *before
				l.SetParents(&after, replace(l.Parents(before)))
				if by := write[k.ID]; by != nil {
					err = by(ctx, any(before).(Node), any(&after).(Node))
				} else {
					err = k.Change(ctx, s, before, &after)
				}
				if err != nil && !problem.Is(err, problem.Conflict) {
					return err
				}
			}
		}
	}
	return nil
}
