package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
)

// OrderKey names an Order by its parent: an author or a tag for their published articles,
// an article for its visible comments, an account for its sessions, RevisionsOf an article,
// or AllArticles.
type OrderKey id.ID

// RevisionsOf names the order of an article's revisions, newest first.
func RevisionsOf(article id.ID) OrderKey {
	return OrderKey(string(id.Revision) + "_" + string(article))
}

// AllArticles names the order of all published articles.
const AllArticles OrderKey = "all"

// Order is everything that hangs on one parent, in order: articles and sessions newest
// first, comments oldest first. It holds ids and times only, about 100 bytes an element, so that pages,
// counts and neighbours under any number of parents are cut from memory after one command.
type Order struct {
	rows    []row
	entries []Entry           // articles, or the comments that answer the article itself
	replies map[id.ID][]Entry // of comments, by the comment they answer
	newest  bool              // newest first
}

// row is an element as it is written down.
type row struct {
	ID     id.ID     `bson:"i"`
	Parent id.ID     `bson:"p,omitempty"`
	Time   time.Time `bson:"t"`
}

// newOrder sorts rows, of which an element may have several. Comments that answer one that
// isn't there can't be reached in it.
func newOrder(rows []row, newest bool) *Order {
	o := &Order{rows: rows, newest: newest}
	slices.SortFunc(o.rows, func(a, b row) int {
		c := Entry{ID: a.ID, Time: a.Time}.compare(Entry{ID: b.ID, Time: b.Time})
		if newest {
			return -c
		}
		return c
	})
	o.rows = slices.CompactFunc(o.rows, func(a, b row) bool { return a.ID == b.ID })
	for _, r := range o.rows {
		e := Entry{ID: r.ID, Time: r.Time}
		if r.Parent == "" {
			o.entries = append(o.entries, e)
			continue
		}
		if o.replies == nil {
			o.replies = map[id.ID][]Entry{}
		}
		o.replies[r.Parent] = append(o.replies[r.Parent], e)
	}
	return o
}

// Len is how many elements there are, those of replies included when they can be reached.
func (o *Order) Len() int {
	n := len(o.entries)
	if o.replies != nil {
		for _, e := range o.entries {
			n += o.under(e.ID)
		}
	}
	return n
}

// under counts the replies to a comment, and theirs. A comment is always younger in the
// database than what it answers, so there is no circle; depth is bounded where comments
// are written.
func (o *Order) under(comment id.ID) int {
	n := 0
	for _, e := range o.replies[comment] {
		n += 1 + o.under(e.ID)
	}
	return n
}

// Replies is how many comments answer a comment directly.
func (o *Order) Replies(comment id.ID) int { return len(o.replies[comment]) }

// Around returns the ids of the elements in front of an article and behind it; "" at the
// ends, and for an element
// that isn't there, as for one that was published a moment ago.
func (o *Order) Around(a *Article) (before, after id.ID) {
	i, found := slices.BinarySearchFunc(o.entries, Entry{ID: a.ID, Time: a.PublishedAt}, func(x, y Entry) int { return y.compare(x) })
	if !found {
		return "", ""
	}
	if i > 0 {
		before = o.entries[i-1].ID
	}
	if i+1 < len(o.entries) {
		after = o.entries[i+1].ID
	}
	return before, after
}

// Slice is a part of an Order, checked but not read.
type Slice struct {
	key    OrderKey
	under  id.ID // the comment whose replies these are; "" for the order's own elements
	window window
}

// NewSlice checks a window against an order, or against the replies to one comment in it.
func NewSlice(key OrderKey, under id.ID, w Window) (*Slice, error) {
	s := &Slice{key: key, under: under}
	var err error
	s.window, err = w.parse(s.name())
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Slice) name() string { return "order/" + string(s.key) + "/" + string(s.under) }

// Order names the order that the slice is of.
func (s *Slice) Order() OrderKey { return s.key }

// Page cuts the slice out of its order.
func (s *Slice) Page(o *Order) *Page {
	return s.window.cut(s.name(), s.elements(o), o.newest)
}

// Len is how many elements the slice is cut from.
func (s *Slice) Len(o *Order) int { return len(s.elements(o)) }

func (s *Slice) elements(o *Order) []Entry {
	if s.under != "" {
		return o.replies[s.under]
	}
	return o.entries
}

// Orders returns the order of each key, empty where nothing hangs on it; in one command
// for all keys of a kind that aren't cached.
func (s *Store) Orders(ctx context.Context, keys []OrderKey) ([]*Order, error) {
	if slices.ContainsFunc(keys, func(k OrderKey) bool { return id.ID(k).Kind() == id.Account || id.ID(k).Kind() == id.Revision }) {
		access.MarkPrivate(ctx)
	}
	return s.tables.orders.Get(ctx, s.cache, keys)
}

func (s *Store) readOrders(ctx context.Context, keys []OrderKey) (map[OrderKey]*Order, error) {
	byKind := map[id.Kind][]OrderKey{}
	for _, key := range keys {
		kind := id.ID(key).Kind()
		byKind[kind] = append(byKind[kind], key)
	}
	rows := map[OrderKey][]row{}
	for kind, keys := range byKind {
		if err := s.readRows(ctx, kind, keys, rows); err != nil {
			return nil, err
		}
	}
	out := make(map[OrderKey]*Order, len(keys))
	for _, key := range keys {
		out[key] = newOrder(rows[key], id.ID(key).Kind() != id.Article)
	}
	return out, nil
}

// readRows reads the elements of all keys of one kind into rows.
func (s *Store) readRows(ctx context.Context, kind id.Kind, keys []OrderKey, rows map[OrderKey][]row) error {
	if kind == id.Article {
		found, err := find[Comment](ctx, s.db.Collection(comments),
			append(in("articleId", keys), publicComments()...),
			options.Find().SetProjection(bson.D{{Key: "articleId", Value: 1}, {Key: "parentId", Value: 1}, {Key: "createdAt", Value: 1}}))
		for _, c := range found {
			rows[OrderKey(c.ArticleID)] = append(rows[OrderKey(c.ArticleID)], row{c.ID, c.ParentID, c.CreatedAt})
		}
		return err
	}
	if kind == id.Account {
		found, err := find[Session](ctx, s.db.Collection(sessions), sessionsOf(keys),
			options.Find().SetProjection(bson.D{{Key: "accountId", Value: 1}, {Key: "createdAt", Value: 1}}))
		for _, x := range found {
			rows[OrderKey(x.AccountID)] = append(rows[OrderKey(x.AccountID)], row{ID: x.ID, Time: x.CreatedAt})
		}
		return err
	}
	if kind == id.Revision {
		of := make([]id.ID, len(keys))
		for i, k := range keys {
			of[i] = id.ID(strings.TrimPrefix(string(k), string(id.Revision)+"_"))
		}
		found, err := find[Revision](ctx, s.db.Collection(revisions), in("articleId", of),
			options.Find().SetProjection(bson.D{{Key: "articleId", Value: 1}, {Key: "createdAt", Value: 1}}))
		for _, r := range found {
			rows[RevisionsOf(r.ArticleID)] = append(rows[RevisionsOf(r.ArticleID)], row{ID: r.ID, Time: r.CreatedAt})
		}
		return err
	}
	filter, projection := publicArticles(), bson.D{{Key: "publishedAt", Value: 1}}
	parents := func(*Article) []id.ID { return []id.ID{id.ID(AllArticles)} }
	switch kind {
	case id.Author:
		filter, projection = append(in("authorIds", keys), filter...), append(projection, bson.E{Key: "authorIds", Value: 1})
		parents = func(a *Article) []id.ID { return a.AuthorIDs }
	case id.Tag:
		filter, projection = append(in("tagIds", keys), filter...), append(projection, bson.E{Key: "tagIds", Value: 1})
		parents = func(a *Article) []id.ID { return a.TagIDs }
	}
	found, err := find[Article](ctx, s.db.Collection(articles), filter, options.Find().SetProjection(projection))
	for _, a := range found {
		for _, parent := range parents(a) {
			rows[OrderKey(parent)] = append(rows[OrderKey(parent)], row{ID: a.ID, Time: a.PublishedAt})
		}
	}
	return err
}

type orderDocument struct {
	Rows   []row `bson:"r"`
	Newest bool  `bson:"n"`
}

func encodeOrder(o *Order) ([]byte, error) { return bson.Marshal(orderDocument{o.rows, o.newest}) }

func decodeOrder(b []byte) (*Order, error) {
	var d orderDocument
	if err := bson.Unmarshal(b, &d); err != nil {
		return nil, err
	}
	return newOrder(d.Rows, d.Newest), nil
}
