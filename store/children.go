package store

import (
	"context"
	"maps"
	"slices"
	"sort"
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

// headSize is how many elements of a list under a parent are cached: two pages of the largest
// size, so that the first page and the one after it come out of memory.
const headSize = 2 * MaxPageSize

// End names the end of a list that a window without cursors takes the last elements of; the
// list itself for other windows, and for comments.
func (k ChildrenKey) End(w Window) ChildrenKey {
	if k.bounded() && w.Last != nil && w.After == nil && w.Before == nil {
		return k + endSuffix
	}
	return k
}

const endSuffix = "/end"

// Whole names the list that an end is the end of.
func (k ChildrenKey) Whole() ChildrenKey { return ChildrenKey(k.parent()) }

// parent is the id in front of endSuffix.
func (k ChildrenKey) parent() id.ID { return id.ID(strings.TrimSuffix(string(k), endSuffix)) }

func (k ChildrenKey) isEnd() bool { return strings.HasSuffix(string(k), endSuffix) }

// bounded says whether no more than a part of the list is cached. Comments are read whole.
func (k ChildrenKey) bounded() bool {
	return id.ID(k).Kind() != id.Article || strings.Contains(string(k), "/")
}

// document is the id of the document that the list is under.
func (k ChildrenKey) document() id.ID {
	parent, _, _ := strings.Cut(string(k), "/")
	return id.ID(strings.TrimPrefix(parent, string(id.Revision)+"_"))
}

// group names the list without its parent: lists of one group are read together.
func (k ChildrenKey) group() string {
	parent, tag, _ := strings.Cut(string(k.parent()), "/")
	return string(id.ID(parent).Kind()) + "/" + tag
}

// childrenOf says where children of a group are, which of them are in the list, and in which order.
type childrenOf struct {
	parents    string // the collection of the parents
	collection string
	field      string
	shown      bson.D
	sort       string
	value      valueType
	descending bool
}

func (k ChildrenKey) children() childrenOf {
	group := k.group()
	of, parents := childrenOf{parents: articles, collection: revisions, field: "articleId", shown: bson.D{}, sort: "createdAt", descending: true}, ""
	if group == string(id.Account)+"/" {
		of = childrenOf{parents: accounts, collection: sessions, field: "accountId", shown: openSessions(), sort: "createdAt", descending: true}
	}
	for _, kind := range kinds() {
		f := kind.kind()
		if f.id == k.document().Kind() {
			parents = f.collection
		}
		for _, l := range f.lists {
			if l.field != "" && string(l.under)+"/"+strings.TrimPrefix(l.tag, "/") == group {
				of = childrenOf{collection: f.collection, field: l.field, shown: f.public, sort: l.sort, value: l.value, descending: !l.ascending}
			}
		}
	}
	of.parents = parents
	return of
}

// Children is the list of what is under one parent, in order: articles and sessions newest
// first, comments oldest first. It holds ids and times only, about 100 bytes an element: all
// comments, and of the rest the first headSize, or the last MaxPageSize.
type Children struct {
	rows    []row
	entries []Entry           // articles, or the comments that answer the article itself
	replies map[id.ID][]Entry // of comments, by the comment they answer
	depths  map[id.ID]int     // of comments: 1 for those that answer the article itself
	threads bool              // comments, which answer one another
	// descending says that entries are in descending order.
	descending bool
	more       bool // there are others behind entries, or before those of an end
}

// row is an element as it is written down.
type row struct {
	ID     id.ID     `bson:"i"`
	Parent id.ID     `bson:"p,omitempty"`
	Time   time.Time `bson:"t,omitempty"`
	Text   string    `bson:"s,omitempty"`
	Number int64     `bson:"n,omitempty"`
	// Gone says that only the comment's place is left: it is shown while one that answers it is.
	Gone bool `bson:"g,omitempty"`
}

func (r row) entry() Entry { return Entry{ID: r.ID, Time: r.Time, Text: r.Text, Number: r.Number} }

// newChildren sorts rows, of which an element may have several. Comments that answer one that
// isn't there can't be reached, so they aren't in it, and neither are places that are left of
// comments where nothing hangs on them.
func newChildren(rows []row, threads, descending bool) *Children {
	c := &Children{rows: rows, threads: threads, descending: descending}
	slices.SortFunc(c.rows, func(a, b row) int {
		order := a.entry().compare(b.entry())
		if descending {
			return -order
		}
		return order
	})
	c.rows = slices.CompactFunc(c.rows, func(a, b row) bool { return a.ID == b.ID })
	if threads {
		c.thread()
		return c
	}
	for _, r := range c.rows {
		c.entries = append(c.entries, r.entry())
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

// Len is how many elements there are, comments at every depth; all is false where there are
// more of them.
func (c *Children) Len() (n int, all bool) {
	if c.threads {
		return len(c.depths), true
	}
	return len(c.entries), !c.more
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
	out := &ChildrenWindow{key: key.End(w), under: under}
	var err error
	out.window, err = w.parse(out.name())
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (w *ChildrenWindow) name() string {
	return "children/" + string(w.key.parent()) + "/" + string(w.under)
}

// Key names what the window is cut from.
func (w *ChildrenWindow) Key() ChildrenKey { return w.key }

// Page cuts the window out of its list; ok is false where it reaches beyond what c has of that.
func (w *ChildrenWindow) Page(c *Children) (p *Page, ok bool) {
	p = w.window.cut(w.name(), w.elements(c), c.descending)
	switch {
	case !c.more:
	case w.key.isEnd():
		p.HasPrevious = true
	case !w.window.within(c.entries, c.descending):
		return nil, false
	default:
		p.HasNext = true
	}
	return p, true
}

// within says whether w is a part of entries, of which there are more behind.
func (w window) within(entries []Entry, descending bool) bool {
	compare := Entry.compare
	if descending {
		compare = func(a, b Entry) int { return b.compare(a) }
	}
	last := entries[len(entries)-1]
	behind := func(e *Entry) bool { return e == nil || compare(*e, last) > 0 }
	if !behind(w.before) {
		return true
	}
	if w.backwards || w.after != nil && behind(w.after) {
		return false
	}
	from := 0
	if w.after != nil {
		from = sort.Search(len(entries), func(i int) bool { return compare(entries[i], *w.after) > 0 })
	}
	return from+w.size <= len(entries)
}

// Beyond returns the part of the list that the window is, read by keyset; it is for where
// Page isn't ok.
func (w *ChildrenWindow) Beyond(s *Store) *List {
	of := w.key.children()
	q := query{
		collection: of.collection, filter: append(bson.D{{Key: of.field, Value: w.key.document()}}, of.shown...),
		sort: of.sort, value: of.value, descending: of.descending, tags: []string{listTag(w.key.parent())},
	}
	return &List{query: q, named: w.name(), key: w.window.key(w.name()), window: w.window, store: s}
}

// Len is how many elements the window is cut from; all is false where there are more.
func (w *ChildrenWindow) Len(c *Children) (n int, all bool) { return len(w.elements(c)), !c.more }

func (w *ChildrenWindow) elements(c *Children) []Entry {
	if w.under != "" {
		return c.replies[w.under]
	}
	return c.entries
}

// Children returns the list of each key, empty where nothing hangs on it; in one command
// for all keys of a kind that aren't cached.
func (s *Store) Children(ctx context.Context, keys []ChildrenKey) ([]*Children, error) {
	markPrivate(ctx, keys)
	var heads, ends []ChildrenKey
	for _, k := range keys {
		if k.isEnd() {
			ends = append(ends, k)
		} else {
			heads = append(heads, k)
		}
	}
	if len(ends) == 0 {
		return s.tables.children.Get(ctx, s.cache, keys)
	}
	first, err := s.tables.children.Get(ctx, s.cache, heads)
	if err != nil {
		return nil, err
	}
	last, err := s.tables.ends.Get(ctx, s.cache, ends)
	if err != nil {
		return nil, err
	}
	out := make([]*Children, len(keys))
	for i, k := range keys {
		from := &first
		if k.isEnd() {
			from = &last
		}
		out[i], *from = (*from)[0], (*from)[1:]
	}
	return out, nil
}

func (s *Store) readChildren(ctx context.Context, keys []ChildrenKey) (map[ChildrenKey]*Children, error) {
	out := make(map[ChildrenKey]*Children, len(keys))
	groups := map[string][]ChildrenKey{}
	for _, key := range keys {
		out[key] = newChildren(nil, !key.bounded(), key.bounded())
		groups[key.group()] = append(groups[key.group()], key)
	}
	for _, keys := range groups {
		read := s.readParts
		if !keys[0].bounded() {
			read = s.readThreads
		}
		if err := read(ctx, keys, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readThreads reads all comments of articles into out.
func (s *Store) readThreads(ctx context.Context, keys []ChildrenKey, out map[ChildrenKey]*Children) error {
	found, err := find[Comment](ctx, s.db.Collection(comments),
		append(in("articleId", keys), publicComments()...),
		options.Find().SetProjection(bson.D{{Key: "articleId", Value: 1}, {Key: "parentId", Value: 1}, {Key: "createdAt", Value: 1}, {Key: "status", Value: 1}}))
	rows := map[ChildrenKey][]row{}
	for _, c := range found {
		rows[ChildrenKey(c.ArticleID)] = append(rows[ChildrenKey(c.ArticleID)], row{ID: c.ID, Parent: c.ParentID, Time: c.CreatedAt, Gone: c.IsDeleted()})
	}
	for key, of := range rows {
		out[key] = newChildren(of, true, false)
	}
	return err
}

// readParts reads the heads and the ends of lists of one kind into out, in one command for
// each of the two.
func (s *Store) readParts(ctx context.Context, keys []ChildrenKey, out map[ChildrenKey]*Children) error {
	type document struct {
		Parent id.ID    `bson:"_id"`
		Under  []bson.M `bson:"under"`
	}
	where := keys[0].children()
	for _, end := range []bool{false, true} {
		direction, size := 1, headSize
		if end {
			size = MaxPageSize
		}
		if where.descending != end {
			direction = -1
		}
		of := map[id.ID]ChildrenKey{}
		for _, k := range keys {
			if k.isEnd() == end {
				of[k.document()] = k
			}
		}
		if len(of) == 0 {
			continue
		}
		found, err := aggregate[document](ctx, s.db.Collection(where.parents), where.under(of,
			bson.D{{Key: "$sort", Value: bson.D{{Key: where.sort, Value: direction}, {Key: "_id", Value: direction}}}},
			bson.D{{Key: "$limit", Value: size + 1}},
			bson.D{{Key: "$project", Value: bson.D{{Key: where.sort, Value: 1}}}})...)
		if err != nil {
			return err
		}
		for _, d := range found {
			var rows []row
			for _, c := range d.Under[:min(len(d.Under), size)] {
				e := query{sort: where.sort}.entry(c)
				rows = append(rows, row{ID: e.ID, Time: e.Time, Text: e.Text, Number: e.Number})
			}
			part := newChildren(rows, false, where.descending)
			part.more = len(d.Under) > size
			out[of[d.Parent]] = part
		}
	}
	return nil
}

// under is a pipeline that looks up, for each of the parents, what stages make of the children
// under it.
func (c childrenOf) under(of map[id.ID]ChildrenKey, stages ...bson.D) []bson.D {
	return []bson.D{
		{{Key: "$match", Value: in("_id", slices.Sorted(maps.Keys(of)))}},
		{{Key: "$project", Value: bson.D{{Key: "_id", Value: 1}}}},
		{{Key: "$lookup", Value: bson.D{
			{Key: "from", Value: c.collection}, {Key: "localField", Value: "_id"}, {Key: "foreignField", Value: c.field},
			{Key: "pipeline", Value: append([]bson.D{{{Key: "$match", Value: c.shown}}}, stages...)},
			{Key: "as", Value: "under"},
		}}},
	}
}

// ChildrenCount is how many elements a list under a parent has.
type ChildrenCount struct {
	N int `bson:"n"`
}

// ChildrenCounts returns how many elements the list of each key has, those of comments
// excepted. Those of articles are maintained by the writes; what isn't, or can't be trusted, is
// counted by the keys of an index. That takes one command for all keys of a kind that aren't
// cached.
func (s *Store) ChildrenCounts(ctx context.Context, keys []ChildrenKey) ([]*ChildrenCount, error) {
	markPrivate(ctx, keys)
	return s.tables.childrenCounts.Get(ctx, s.cache, keys)
}

// tallied says whether writes maintain the count of the list.
func (k ChildrenKey) tallied() bool {
	return (id.ID(k).Kind() == id.Author || id.ID(k).Kind() == id.Tag) && !strings.Contains(string(k), "/")
}

func (s *Store) readChildrenCounts(ctx context.Context, keys []ChildrenKey) (map[ChildrenKey]*ChildrenCount, error) {
	out := make(map[ChildrenKey]*ChildrenCount, len(keys))
	var lists []string
	for _, k := range keys {
		if k.tallied() {
			lists = append(lists, string(k))
		}
	}
	now, there := time.Now(), map[string]*tally{}
	if len(lists) > 0 {
		var err error
		if there, err = s.readTallies(ctx, lists); err != nil {
			return nil, err
		}
	}
	var rest []ChildrenKey
	for _, k := range keys {
		if t := there[string(k)]; t.trusted(now) {
			out[k] = &ChildrenCount{int(t.N)}
			continue
		}
		rest = append(rest, k)
	}
	if err := s.countChildren(ctx, rest, out); err != nil {
		return nil, err
	}
	counted := map[string]int64{}
	for _, k := range rest {
		if k.tallied() {
			counted[string(k)] = int64(out[k].N)
		}
	}
	s.refill(ctx, there, counted, now)
	return out, nil
}

// countChildren counts lists by the keys of an index, into out.
func (s *Store) countChildren(ctx context.Context, keys []ChildrenKey, out map[ChildrenKey]*ChildrenCount) error {
	type document struct {
		Parent id.ID           `bson:"_id"`
		Under  []ChildrenCount `bson:"under"`
	}
	groups := map[string]map[id.ID]ChildrenKey{}
	for _, k := range keys {
		out[k] = &ChildrenCount{}
		if groups[k.group()] == nil {
			groups[k.group()] = map[id.ID]ChildrenKey{}
		}
		groups[k.group()][k.document()] = k
	}
	for _, of := range groups {
		var where childrenOf
		for _, k := range of {
			where = k.children()
			break
		}
		found, err := aggregate[document](ctx, s.db.Collection(where.parents), where.under(of,
			bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: nil}, {Key: "n", Value: bson.D{{Key: "$sum", Value: 1}}}}}})...)
		if err != nil {
			return err
		}
		for _, d := range found {
			for _, c := range d.Under {
				out[of[d.Parent]] = &c
			}
		}
	}
	return nil
}

// markPrivate says that who asks matters where one of keys names a list that isn't for all.
func markPrivate(ctx context.Context, keys []ChildrenKey) {
	if slices.ContainsFunc(keys, func(k ChildrenKey) bool { return id.ID(k).Kind() == id.Account || id.ID(k).Kind() == id.Revision }) {
		access.MarkPrivate(ctx)
	}
}

type childrenDocument struct {
	Rows       []row `bson:"r"`
	Threads    bool  `bson:"t,omitempty"`
	Descending bool  `bson:"d,omitempty"`
	More       bool  `bson:"m,omitempty"`
}

func encodeChildren(c *Children) ([]byte, error) {
	return bson.Marshal(childrenDocument{c.rows, c.threads, c.descending, c.more})
}

func decodeChildren(b []byte) (*Children, error) {
	var d childrenDocument
	if err := bson.Unmarshal(b, &d); err != nil {
		return nil, err
	}
	c := newChildren(d.Rows, d.Threads, d.Descending)
	c.more = d.More
	return c, nil
}
