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

// ChildrenKey names a list by its parent: an author or a tag for their published articles,
// an article for its visible comments, an account for its sessions, or RevisionsOf an article.
type ChildrenKey id.ID

// RevisionsOf names the list of an article's revisions, newest first.
func RevisionsOf(article id.ID) ChildrenKey {
	return ChildrenKey(string(id.Revision) + "_" + string(article))
}

// Children is the list of everything under one parent, in order: articles and sessions newest
// first, comments oldest first. It holds ids and times only, about 100 bytes an element, so that pages
// and counts under any number of parents are cut from memory after one command.
type Children struct {
	rows    []row
	entries []Entry           // articles, or the comments that answer the article itself
	replies map[id.ID][]Entry // of comments, by the comment they answer
	depths  map[id.ID]int     // of comments: 1 for those that answer the article itself
	newest  bool              // newest first
}

// row is an element as it is written down.
type row struct {
	ID     id.ID     `bson:"i"`
	Parent id.ID     `bson:"p,omitempty"`
	Time   time.Time `bson:"t"`
	// Gone says that only the comment's place is left: it is shown while one that answers it is.
	Gone bool `bson:"g,omitempty"`
}

// newChildren sorts rows, of which an element may have several. Comments that answer one that
// isn't there can't be reached, so they aren't in it, and neither are places that are left of
// comments where nothing hangs on them.
func newChildren(rows []row, newest bool) *Children {
	c := &Children{rows: rows, newest: newest}
	slices.SortFunc(c.rows, func(a, b row) int {
		order := Entry{ID: a.ID, Time: a.Time}.compare(Entry{ID: b.ID, Time: b.Time})
		if newest {
			return -order
		}
		return order
	})
	c.rows = slices.CompactFunc(c.rows, func(a, b row) bool { return a.ID == b.ID })
	if !newest {
		c.thread()
		return c
	}
	for _, r := range c.rows {
		c.entries = append(c.entries, Entry{ID: r.ID, Time: r.Time})
	}
	return c
}

// thread reads off the rows what can be reached from the article down. Each comment answers
// one, so each is met once, and those that answer one another in a circle are not met.
func (c *Children) thread() {
	under := map[id.ID][]row{}
	for _, r := range c.rows {
		under[r.Parent] = append(under[r.Parent], r)
	}
	c.replies, c.depths = map[id.ID][]Entry{}, map[id.ID]int{}
	c.entries = c.shown(under, "", 1)
}

// shown is which of the comments that answer parent are shown, at a depth.
func (c *Children) shown(under map[id.ID][]row, parent id.ID, depth int) []Entry {
	var out []Entry
	for _, r := range under[parent] {
		replies := c.shown(under, r.ID, depth+1)
		if r.Gone && len(replies) == 0 {
			continue
		}
		out = append(out, Entry{ID: r.ID, Time: r.Time})
		c.depths[r.ID] = depth
		if len(replies) > 0 {
			c.replies[r.ID] = replies
		}
	}
	return out
}

// Len is how many elements there are, comments at every depth.
func (c *Children) Len() int {
	if !c.newest {
		return len(c.depths)
	}
	return len(c.entries)
}

// Shows says whether a comment can be reached from its article: it, and all above it, have
// their places in the thread.
func (c *Children) Shows(comment id.ID) bool { return c.depths[comment] > 0 }

// Depth is how deep in its thread a comment is: 1 for one that answers the article itself, 0
// for one that isn't shown.
func (c *Children) Depth(comment id.ID) int { return c.depths[comment] }

// Replies is how many comments answer a comment directly.
func (c *Children) Replies(comment id.ID) int { return len(c.replies[comment]) }

// ChildrenWindow is a part of a list under a parent, checked but not read.
type ChildrenWindow struct {
	key    ChildrenKey
	under  id.ID // the comment whose replies these are; "" for the list's own elements
	window window
}

// NewChildrenWindow checks a window against a list under a parent, or against the replies to
// one comment in it.
func NewChildrenWindow(key ChildrenKey, under id.ID, w Window) (*ChildrenWindow, error) {
	out := &ChildrenWindow{key: key, under: under}
	var err error
	out.window, err = w.parse(out.name())
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (w *ChildrenWindow) name() string { return "children/" + string(w.key) + "/" + string(w.under) }

// Page cuts the window out of its list.
func (w *ChildrenWindow) Page(c *Children) *Page {
	return w.window.cut(w.name(), w.elements(c), c.newest)
}

// Len is how many elements the window is cut from.
func (w *ChildrenWindow) Len(c *Children) int { return len(w.elements(c)) }

func (w *ChildrenWindow) elements(c *Children) []Entry {
	if w.under != "" {
		return c.replies[w.under]
	}
	return c.entries
}

// Children returns the list of each key, empty where nothing hangs on it; in one command
// for all keys of a kind that aren't cached.
func (s *Store) Children(ctx context.Context, keys []ChildrenKey) ([]*Children, error) {
	if slices.ContainsFunc(keys, func(k ChildrenKey) bool { return id.ID(k).Kind() == id.Account || id.ID(k).Kind() == id.Revision }) {
		access.MarkPrivate(ctx)
	}
	return s.tables.children.Get(ctx, s.cache, keys)
}

func (s *Store) readChildren(ctx context.Context, keys []ChildrenKey) (map[ChildrenKey]*Children, error) {
	byKind := map[id.Kind][]ChildrenKey{}
	for _, key := range keys {
		kind := id.ID(key).Kind()
		byKind[kind] = append(byKind[kind], key)
	}
	rows := map[ChildrenKey][]row{}
	for kind, keys := range byKind {
		if err := s.readRows(ctx, kind, keys, rows); err != nil {
			return nil, err
		}
	}
	out := make(map[ChildrenKey]*Children, len(keys))
	for _, key := range keys {
		out[key] = newChildren(rows[key], id.ID(key).Kind() != id.Article)
	}
	return out, nil
}

// readRows reads the elements of all keys of one kind into rows.
func (s *Store) readRows(ctx context.Context, kind id.Kind, keys []ChildrenKey, rows map[ChildrenKey][]row) error {
	if kind == id.Article {
		found, err := find[Comment](ctx, s.db.Collection(comments),
			append(in("articleId", keys), publicComments()...),
			options.Find().SetProjection(bson.D{{Key: "articleId", Value: 1}, {Key: "parentId", Value: 1}, {Key: "createdAt", Value: 1}, {Key: "status", Value: 1}}))
		for _, c := range found {
			rows[ChildrenKey(c.ArticleID)] = append(rows[ChildrenKey(c.ArticleID)], row{c.ID, c.ParentID, c.CreatedAt, c.IsDeleted()})
		}
		return err
	}
	if kind == id.Account {
		found, err := find[Session](ctx, s.db.Collection(sessions), sessionsOf(keys),
			options.Find().SetProjection(bson.D{{Key: "accountId", Value: 1}, {Key: "createdAt", Value: 1}}))
		for _, x := range found {
			rows[ChildrenKey(x.AccountID)] = append(rows[ChildrenKey(x.AccountID)], row{ID: x.ID, Time: x.CreatedAt})
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
	var parents func(*Article) []id.ID
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
			rows[ChildrenKey(parent)] = append(rows[ChildrenKey(parent)], row{ID: a.ID, Time: a.PublishedAt})
		}
	}
	return err
}

type childrenDocument struct {
	Rows   []row `bson:"r"`
	Newest bool  `bson:"n"`
}

func encodeChildren(c *Children) ([]byte, error) {
	return bson.Marshal(childrenDocument{c.rows, c.newest})
}

func decodeChildren(b []byte) (*Children, error) {
	var d childrenDocument
	if err := bson.Unmarshal(b, &d); err != nil {
		return nil, err
	}
	return newChildren(d.Rows, d.Newest), nil
}
