package store

// Lists that the database orders, read by keyset. Entry points: List.Page, List.Count.

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/id"
	"stoa/meter"
)

// List is a window on a list that the database orders. Page and Count read it, and their results
// are cached under the tags that the list depends on.
type List struct {
	query  query
	named  string // query's name, stored because it takes a while to make
	key    string // the cache key of this window
	window window
	store  *Store
	whole  *whole // a list in memory; nil for one to be read
}

// query is the query behind the pages and counts of a list.
type query struct {
	collection string
	filter     bson.D
	sort       string // the field; the id decides between equals
	value      valueType
	optional   bool // documents without the field come last
	descending bool
	tags       []string // its dependencies
	empty      bool     // nothing can match: no need to look
}

// valueType is the type of the field that a list is ordered by.
type valueType int

const (
	timeValue valueType = iota
	textValue
	numberValue // an int64
)

// name identifies a query by everything that its result depends on, the window excepted.
func (q query) name() string {
	filter, err := bson.MarshalExtJSON(q.filter, true, false)
	if err != nil {
		panic(fmt.Sprintf("a filter of ours can't be written down: %v", err))
	}
	return fmt.Sprintf("%s?%s&%s&%t&%t", q.collection, filter, q.sort, q.descending, q.empty)
}

func (s *Store) list(q query, w Window) (*List, error) {
	name := q.name()
	checked, err := w.parse(name)
	if err != nil {
		return nil, err
	}
	return &List{query: q, named: name, key: checked.key(name), window: checked, store: s}, nil
}

// CacheKey identifies this window in caches; "" if it isn't cached.
func (l *List) CacheKey() string { return l.key }

// Page returns the elements in this window. It assumes that the element of a cursor is still in the
// list: more precedes a page that begins after it, and follows one that ends before it.
func (l *List) Page(ctx context.Context) (*Page, error) {
	if l.whole != nil {
		return l.window.cut(l.whole.name, l.whole.entries, l.whole.descending), nil
	}
	if l.query.empty {
		return &Page{}, nil
	}
	found, err := l.store.tables.pages.Get(ctx, l.store.cache, []*List{l})
	if err != nil {
		return nil, err
	}
	p, w := found[0], l.window
	out := &Page{Entries: p.Entries, HasNext: w.before != nil, HasPrevious: w.after != nil, list: l.named, cached: p}
	if w.backwards {
		out.HasPrevious = out.HasPrevious || p.More
	} else {
		out.HasNext = out.HasNext || p.More
	}
	return out, nil
}

// Count returns the number of elements of the whole list, and whether that is all of them: it stops
// counting at most.
func (l *List) Count(ctx context.Context, most int) (n int, exact bool, err error) {
	if l.whole != nil {
		n = len(l.whole.entries)
		return min(n, most), n <= most && !l.whole.more, nil
	}
	if l.query.empty {
		return 0, true, nil
	}
	found, err := l.store.tables.counts.Get(ctx, l.store.cache, []counting{{l, most}})
	if err != nil {
		return 0, false, err
	}
	n = int(found[0].N)
	return min(n, most), n <= most, nil
}

// pageOfIDs is a page in its cached form.
type pageOfIDs struct {
	Entries []Entry `bson:"e"`
	More    bool    `bson:"m"`
}

type counting struct {
	list *List
	most int
}

type count struct {
	N int64 `bson:"n"`
}

// key is the cache key of the window w of a list.
func (w window) key(list string) string {
	key := "page/" + strconv.Itoa(w.size) + strconv.FormatBool(w.backwards)
	for _, bound := range []*Entry{w.after, w.before} {
		key += "/"
		if bound != nil {
			key += encodeCursor("", *bound)
		}
	}
	return key + "/" + list
}

// beyond is the condition that a document comes after e, or before it.
func (q query) beyond(e Entry, after bool) bson.D {
	operator := "$lt"
	if after != q.descending {
		operator = "$gt"
	}
	value := [...]any{timeValue: e.Time, textValue: e.Text, numberValue: e.Number}[q.value]
	or := bson.A{bson.D{{Key: q.sort, Value: bson.D{{Key: operator, Value: value}}}}}
	switch {
	case e.Missing && after:
		value, or = nil, nil
	case e.Missing:
		value, or = nil, bson.A{bson.D{q.present()}}
	case q.optional && after:
		or = append(or, bson.D{{Key: q.sort, Value: nil}})
	}
	return bson.D{{Key: "$or", Value: append(or, bson.D{{Key: q.sort, Value: value}, {Key: "_id", Value: bson.D{{Key: operator, Value: e.ID}}}})}}
}

// runs returns the filters of the parts of a list that the database reads one after the other,
// backwards from the end. The database has documents without a value first in ascending order, so an
// ascending list has two parts if there may be such documents.
func (q query) runs(filter bson.D, backwards bool) []bson.D {
	if !q.optional || q.descending {
		return []bson.D{filter}
	}
	missing := bson.E{Key: q.sort, Value: nil}
	parts := []bson.D{append(slices.Clip(filter), q.present()), append(slices.Clip(filter), missing)}
	if backwards {
		slices.Reverse(parts)
	}
	return parts
}

// present is the condition that a document has a value.
func (q query) present() bson.E {
	least := [...]any{timeValue: bson.DateTime(math.MinInt64), textValue: "", numberValue: int64(math.MinInt64)}[q.value]
	return bson.E{Key: q.sort, Value: bson.D{{Key: "$gte", Value: least}}}
}

// readPage reads l's window and one more, by keyset: never by counting from the start.
func (s *Store) readPage(ctx context.Context, l *List) (*pageOfIDs, error) {
	q, w := l.query, l.window
	filter := slices.Clone(q.filter)
	var bounds bson.A
	if w.after != nil {
		bounds = append(bounds, q.beyond(*w.after, true))
	}
	if w.before != nil {
		bounds = append(bounds, q.beyond(*w.before, false))
	}
	if len(bounds) > 0 {
		filter = append(filter, bson.E{Key: "$and", Value: bounds})
	}
	direction := 1
	if q.descending != w.backwards {
		direction = -1
	}
	var found []*bson.M
	for _, run := range q.runs(filter, w.backwards) {
		if len(found) > w.size {
			break
		}
		some, err := findList[bson.M](ctx, s.collection(q.collection), run, options.Find().
			SetProjection(bson.D{{Key: "_id", Value: 1}, {Key: q.sort, Value: 1}}).
			SetSort(bson.D{{Key: q.sort, Value: direction}, {Key: "_id", Value: direction}}).
			SetLimit(int64(w.size+1-len(found))))
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	out := &pageOfIDs{More: len(found) > w.size}
	for _, document := range found[:min(len(found), w.size)] {
		out.Entries = append(out.Entries, q.entry(*document))
	}
	if w.backwards {
		slices.Reverse(out.Entries)
	}
	return out, nil
}

func (q query) entry(document bson.M) Entry {
	e := Entry{Missing: q.optional && document[q.sort] == nil}
	if s, ok := document["_id"].(string); ok {
		e.ID = id.ID(s)
	}
	switch v := document[q.sort].(type) {
	case string:
		e.Text = v
	case bson.DateTime:
		e.Time = v.Time().UTC()
	case int64:
		e.Number = v
	case int32:
		e.Number = int64(v)
	}
	return e
}

func (s *Store) readCount(ctx context.Context, c counting) (*count, error) {
	q := c.list.query
	n, err := s.collection(q.collection).CountDocuments(ctx, q.filter, options.Count().SetLimit(int64(c.most)+1))
	if err != nil {
		return nil, fmt.Errorf("count in %s: %w", q.collection, err)
	}
	meter.From(ctx).Counted(n)
	return &count{n}, nil
}
