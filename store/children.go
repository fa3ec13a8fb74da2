package store

import (
	"context"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
)

// ChildrenKey names a list by its parent: an author or a tag for their published articles,
// an article for its thread of comments, an account for its sessions, RevisionsOf an article, or
// RepliesTo a comment in a thread that is longer than its head.
type ChildrenKey id.ID

// RevisionsOf names the list of an article's revisions, newest first.
func RevisionsOf(article id.ID) ChildrenKey {
	return ChildrenKey(string(id.Revision) + "_" + string(article))
}

// headSize is how many elements of a list under a parent are cached: two pages of the largest
// size, so that the first page and the one after it come out of memory.
const headSize = 2 * MaxPageSize

// RepliesTo names the list of comments that answer a comment on an article, oldest first.
func RepliesTo(article, comment id.ID) ChildrenKey {
	return ChildrenKey(string(comment) + repliesOn + string(article))
}

// repliesOn is between the two ids in RepliesTo.
const repliesOn = "@"

// End names the end of a list that a window without cursors takes the last elements of; the
// list itself for other windows, and for threads: those are looked at whole first, see
// ChildrenWindow.Part.
func (k ChildrenKey) End(w Window) ChildrenKey {
	if k.thread() != "" {
		return k
	}
	return k.end(w)
}

func (k ChildrenKey) end(w Window) ChildrenKey {
	if w.Last != nil && w.After == nil && w.Before == nil {
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

// document is the id of the document that the list is under.
func (k ChildrenKey) document() id.ID {
	parent, _, _ := strings.Cut(string(k), "/")
	parent, _, _ = strings.Cut(parent, repliesOn)
	return id.ID(strings.TrimPrefix(parent, string(id.Revision)+"_"))
}

// thread is the article of a list of comments; "" for other lists.
func (k ChildrenKey) thread() id.ID {
	switch k.group() {
	case topGroup:
		return k.parent()
	case repliesGroup:
		_, article, _ := strings.Cut(string(k.parent()), repliesOn)
		return id.ID(article)
	}
	return ""
}

// headDeps are the dependencies of the head of the list, listDeps those of its end, its count and
// its pages. All lists of a thread depend on the same.
func (k ChildrenKey) headDeps() []string {
	if article := k.thread(); article != "" {
		k = ChildrenKey(article)
	}
	return []string{childrenKey(k), formerKey(childrenKey(k))}
}

func (k ChildrenKey) listDeps() []string {
	if k.thread() != "" {
		return k.headDeps()
	}
	return []string{listTag(k.parent())}
}

// group names the list without its parent: lists of one group are read together.
func (k ChildrenKey) group() string {
	parent, tag, _ := strings.Cut(string(k.parent()), "/")
	if strings.Contains(parent, repliesOn) {
		tag = repliesOn
	}
	return string(id.ID(parent).Kind()) + "/" + tag
}

// topGroup are the lists of comments that answer an article, repliesGroup those of the replies to a
// comment. No kind declares them: comments are written in other ways, see comments.go.
const (
	topGroup     = string(id.Article) + "/"
	repliesGroup = string(id.Comment) + "/" + repliesOn
)

// childrenOf says where children of a group are, which of them are in the list, and in which order.
type childrenOf struct {
	parents    string // the collection of the parents
	collection string
	field      string
	shown      bson.D
	sort       string
	value      valueType
	optional   bool
	descending bool
}

func (k ChildrenKey) children() childrenOf {
	group := k.group()
	of, parents := childrenOf{collection: revisions, field: "articleId", shown: bson.D{}, sort: "createdAt", descending: true}, articles
	switch group {
	case string(id.Account) + "/":
		of = childrenOf{collection: sessions, field: "accountId", shown: openSessions(), sort: "createdAt", descending: true}
	case topGroup:
		of = childrenOf{collection: comments, field: "articleId", shown: append(bson.D{{Key: "parentId", Value: nil}}, listedComments()...), sort: "createdAt"}
	case repliesGroup:
		of = childrenOf{collection: comments, field: "parentId", shown: listedComments(), sort: "createdAt"}
	}
	for _, kind := range kinds() {
		f := kind.kind()
		if f.id == k.document().Kind() {
			parents = f.collection
		}
		for _, l := range f.lists {
			if l.field != "" && string(l.under)+"/"+strings.TrimPrefix(l.tag, "/") == group {
				of = childrenOf{collection: f.collection, field: l.field, shown: f.public, sort: l.sort, value: l.value, optional: l.optional, descending: !l.ascending}
			}
		}
	}
	of.parents = parents
	return of
}

// Children is the list under one parent, in order: articles, sessions and revisions
// newest first, comments oldest first. It holds ids and times only, about 100 bytes an element,
// of at most headSize elements, or of the last MaxPageSize.
//
// A thread of up to headSize comments is known whole, with all replies. Of a longer one it is
// the head of the comments that answer the article itself, and each comment's replies are a list
// of their own: see ChildrenWindow.Part.
type Children struct {
	rows    []row
	entries []Entry           // articles, or the comments that answer the article itself
	replies map[id.ID][]Entry // of a thread that is known whole, by the comment they answer
	depths  map[id.ID]int     // of a thread that is known whole: 1 for those that answer the article itself
	threads bool              // a thread that is known whole
	// descending says that entries are in descending order.
	descending bool
	more       bool // there are others behind entries, or before those of an end
	end        bool // the last elements rather than the first
	shown      int  // of a longer thread: how many comments it shows, at every depth
	reached    bool // of a longer thread: it shows each comment that isn't deleted
}

// row is an element as it is written down.
type row struct {
	ID     id.ID     `bson:"i"`
	Parent id.ID     `bson:"p,omitempty"`
	Time   time.Time `bson:"t,omitempty"`
	Text   string    `bson:"s,omitempty"`
	Number int64     `bson:"n,omitempty"`
	// Missing says that the element has no sort value.
	Missing bool `bson:"l,omitempty"`
	// Gone says that only the comment's place is left: it is shown while one that answers it is.
	Gone bool `bson:"g,omitempty"`
}

func (r row) entry() Entry {
	return Entry{ID: r.ID, Time: r.Time, Text: r.Text, Number: r.Number, Missing: r.Missing}
}

// newChildren sorts rows; an element may have several. Comments that answer one that
// isn't there can't be reached, so they aren't in it, and neither are places that are left of
// comments without shown replies.
func newChildren(rows []row, threads, descending bool) *Children {
	c := &Children{rows: rows, threads: threads, descending: descending}
	slices.SortFunc(c.rows, func(a, b row) int { return a.entry().order(b.entry(), descending) })
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

// Threaded says whether c is a thread that is known whole.
func (c *Children) Threaded() bool { return c.threads }

// thread finds the comments that can be reached from the article down. Each comment answers
// one, so each is met once, and those that answer one another in a circle are not met.
func (c *Children) thread() {
	under := map[id.ID][]row{}
	for _, r := range c.rows {
		under[r.Parent] = append(under[r.Parent], r)
	}
	c.replies, c.depths = map[id.ID][]Entry{}, map[id.ID]int{}
	c.entries = c.reach(under, "", 1)
}

// reach returns the shown ones of the comments that answer parent, at a depth.
func (c *Children) reach(under map[id.ID][]row, parent id.ID, depth int) []Entry {
	var out []Entry
	for _, r := range under[parent] {
		replies := c.reach(under, r.ID, depth+1)
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

// Len is the number of elements, comments at every depth; all is false if there are more of
// them.
func (c *Children) Len() (n int, all bool) {
	switch {
	case c.threads:
		return len(c.depths), true
	case c.shown > 0:
		return c.shown, true
	}
	return len(c.entries), !c.more
}

// Shows says whether a comment can be reached from its article in a thread that is known whole:
// it, and all above it, have their places in the thread.
func (c *Children) Shows(comment id.ID) bool { return c.depths[comment] > 0 }

// Depth is how deep in a thread that is known whole a comment is: 1 for one that answers the article
// itself, 0 for one that isn't shown.
func (c *Children) Depth(comment id.ID) int { return c.depths[comment] }

// Replies is how many comments answer a comment directly, in a thread that is known whole.
func (c *Children) Replies(comment id.ID) int { return len(c.replies[comment]) }

// ChildrenWindow is a part of a list under a parent, checked but not read.
type ChildrenWindow struct {
	key    ChildrenKey
	under  id.ID // the comment that all elements reply to; "" for the list's own elements
	window window
	asked  Window
}

// NewChildrenWindow checks a window against a list under a parent, or against the replies to
// one comment in it.
func NewChildrenWindow(key ChildrenKey, under id.ID, w Window) (*ChildrenWindow, error) {
	out := &ChildrenWindow{key: key.End(w), under: under, asked: w}
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

// Key names the list that the window is cut from, unless Part names another.
func (w *ChildrenWindow) Key() ChildrenKey { return w.key }

// Part names the part of a long thread that the window is cut from; "" if that is c, the list of
// Key.
func (w *ChildrenWindow) Part(c *Children) ChildrenKey {
	if w.key.thread() == "" || c.Threaded() {
		return ""
	}
	if part := w.list().end(w.asked); part != w.key {
		return part
	}
	return ""
}

// list names the list that the window is a part of, that of a thread's replies included.
func (w *ChildrenWindow) list() ChildrenKey {
	if w.under != "" {
		return RepliesTo(w.key.thread(), w.under)
	}
	return w.key.Whole()
}

// Counted names the list of the window for ChildrenCounts, for lists that aren't known whole.
func (w *ChildrenWindow) Counted() ChildrenKey { return w.list() }

// Page cuts the window out of its list; ok is false if it reaches beyond c.
func (w *ChildrenWindow) Page(c *Children) (p *Page, ok bool) {
	p = w.window.cut(w.name(), w.elements(c), c.descending)
	switch {
	case !c.more:
	case c.end:
		p.HasPrevious = true
	case !w.window.within(c.entries, c.descending):
		return nil, false
	default:
		p.HasNext = true
	}
	return p, true
}

// within says whether w is a part of entries, the head of a longer list.
func (w window) within(entries []Entry, descending bool) bool {
	compare := func(a, b Entry) int { return a.order(b, descending) }
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

// Beyond returns the window, read by keyset: for a window that Page can't cut.
func (w *ChildrenWindow) Beyond(s *Store) *List {
	list := w.list()
	of := list.children()
	q := query{
		collection: of.collection, filter: append(bson.D{{Key: of.field, Value: list.document()}}, of.shown...),
		sort: of.sort, value: of.value, optional: of.optional, descending: of.descending, tags: list.listDeps(),
	}
	return &List{query: q, named: w.name(), key: w.window.key(w.name()), window: w.window, store: s}
}

// Len is the number of elements that the window is cut from; all is false if the list has more.
func (w *ChildrenWindow) Len(c *Children) (n int, all bool) { return len(w.elements(c)), !c.more }

func (w *ChildrenWindow) elements(c *Children) []Entry {
	if w.under != "" && c.Threaded() {
		return c.replies[w.under]
	}
	return c.entries
}

// Children returns the list of each key, empty for a parent without children; in one command
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
	var threads, parts []ChildrenKey
	for _, key := range keys {
		switch {
		case key.group() == topGroup && !key.isEnd():
			threads = append(threads, key)
		case key.thread() != "":
			parts = append(parts, key)
		default:
			out[key] = newChildren(nil, false, true)
			groups[key.group()] = append(groups[key.group()], key)
		}
	}
	for _, keys := range groups {
		if err := s.readParts(ctx, keys[0].children(), keys, out); err != nil {
			return nil, err
		}
	}
	if len(threads) > 0 {
		if err := s.readThreads(ctx, threads, out); err != nil {
			return nil, err
		}
	}
	return out, s.readThreadParts(ctx, parts, out)
}

// readParts reads the heads and the ends of lists of one kind into out, in one command for
// each of the two.
func (s *Store) readParts(ctx context.Context, where childrenOf, keys []ChildrenKey, out map[ChildrenKey]*Children) error {
	type document struct {
		Parent id.ID    `bson:"_id"`
		Under  []bson.M `bson:"under"`
		Rest   []bson.M `bson:"rest"`
	}
	q := query{sort: where.sort, value: where.value, optional: where.optional, descending: where.descending}
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
		stages := []bson.D{
			{{Key: "$sort", Value: bson.D{{Key: where.sort, Value: direction}, {Key: "_id", Value: direction}}}},
			{{Key: "$limit", Value: size + 1}},
			{{Key: "$project", Value: bson.D{{Key: where.sort, Value: 1}}}},
		}
		runs, where := q.runs(where.shown, end), where
		where.shown = runs[0]
		pipeline := where.under(of, stages...)
		if len(runs) > 1 {
			where.shown = runs[1]
			pipeline = append(pipeline, where.beneath("rest", stages...))
		}
		found, err := aggregate[document](ctx, s.collection(where.parents), pipeline...)
		if err != nil {
			return err
		}
		for _, d := range found {
			var rows []row
			all := append(d.Under, d.Rest...)
			for _, c := range all[:min(len(all), size)] {
				e := q.entry(c)
				rows = append(rows, row{ID: e.ID, Time: e.Time, Text: e.Text, Number: e.Number, Missing: e.Missing})
			}
			part := newChildren(rows, false, where.descending)
			part.more, part.end = len(all) > size, end
			out[of[d.Parent]] = part
		}
	}
	return nil
}

// under is a pipeline that looks up the children of each parent and passes them through stages.
func (c childrenOf) under(of map[id.ID]ChildrenKey, stages ...bson.D) []bson.D {
	return []bson.D{
		{{Key: "$match", Value: in("_id", slices.Sorted(maps.Keys(of)))}},
		{{Key: "$project", Value: bson.D{{Key: "_id", Value: 1}}}},
		c.beneath("under", stages...),
	}
}

// beneath is a stage that looks up the children of each parent and passes them through stages.
func (c childrenOf) beneath(as string, stages ...bson.D) bson.D {
	return bson.D{{Key: "$lookup", Value: bson.D{
		{Key: "from", Value: c.collection}, {Key: "localField", Value: "_id"}, {Key: "foreignField", Value: c.field},
		{Key: "pipeline", Value: append([]bson.D{{{Key: "$match", Value: c.shown}}}, stages...)},
		{Key: "as", Value: as},
	}}}
}

// ChildrenCount is how many elements a list under a parent has.
type ChildrenCount struct {
	N int `bson:"n"`
}

// ChildrenCounts returns how many elements the list of each key has: for an article, the comments
// that answer it directly. The writes maintain those of articles and comments; others, and
// those that can't be trusted, are counted by the keys of an index. That takes one command for all
// keys of a kind that aren't cached.
func (s *Store) ChildrenCounts(ctx context.Context, keys []ChildrenKey) ([]*ChildrenCount, error) {
	markPrivate(ctx, keys)
	return s.tables.childrenCounts.Get(ctx, s.cache, keys)
}

// tally is the id of the tally of the list; "" if writes maintain none.
func (k ChildrenKey) tally() string {
	switch k.group() {
	case string(id.Author) + "/", string(id.Tag) + "/":
		return string(k)
	case topGroup:
		return topTally(k.thread())
	case repliesGroup:
		return repliesTally(k.thread(), k.document())
	}
	return ""
}

func (s *Store) readChildrenCounts(ctx context.Context, keys []ChildrenKey) (map[ChildrenKey]*ChildrenCount, error) {
	out := make(map[ChildrenKey]*ChildrenCount, len(keys))
	var lists []string
	for _, k := range keys {
		if list := k.tally(); list != "" {
			lists = append(lists, list)
		}
		if article := k.thread(); article != "" {
			lists = append(lists, threadTally(article))
		}
	}
	now, there := time.Now(), map[string]*tally{}
	if len(lists) > 0 {
		var err error
		if there, err = s.readTallies(ctx, compact(lists)); err != nil {
			return nil, err
		}
	}
	var rest, untrusted []ChildrenKey
	for _, k := range keys {
		t := there[k.tally()]
		switch article := k.thread(); {
		case article != "" && !there[threadTally(article)].trusted(now):
			untrusted = append(untrusted, k)
		case t.trusted(now):
			out[k] = &ChildrenCount{int(t.N)}
		default:
			rest = append(rest, k)
		}
	}
	if len(untrusted) > 0 {
		whole, err := s.readWhole(ctx, untrusted)
		if err != nil {
			return nil, err
		}
		for _, k := range untrusted {
			out[k] = &ChildrenCount{len(whole[k.thread()].under(k))}
		}
	}
	if err := s.countChildren(ctx, rest, out); err != nil {
		return nil, err
	}
	counted := map[string]int64{}
	for _, k := range rest {
		if list := k.tally(); list != "" {
			counted[list] = int64(out[k].N)
		}
	}
	if len(counted) == 0 {
		return out, nil
	}
	if err := s.dropUncertain(ctx, counted, there); err != nil {
		return nil, err
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
	for _, k := range keys {
		out[k] = &ChildrenCount{}
	}
	for _, g := range grouped(keys) {
		found, err := aggregate[document](ctx, s.collection(g.where.parents), g.where.under(g.of,
			bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: nil}, {Key: "n", Value: bson.D{{Key: "$sum", Value: 1}}}}}})...)
		if err != nil {
			return err
		}
		for _, d := range found {
			for _, c := range d.Under {
				out[g.of[d.Parent]] = &c
			}
		}
	}
	return nil
}

// listGroup are lists of one kind, each by the document that it is under: they are read together.
type listGroup struct {
	where childrenOf
	of    map[id.ID]ChildrenKey
}

func grouped(keys []ChildrenKey) map[string]listGroup {
	groups := map[string]listGroup{}
	for _, k := range keys {
		if groups[k.group()].of == nil {
			groups[k.group()] = listGroup{k.children(), map[id.ID]ChildrenKey{}}
		}
		groups[k.group()].of[k.document()] = k
	}
	return groups
}

// markPrivate marks the response private if one of keys names a list that isn't for all.
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
	End        bool  `bson:"e,omitempty"`
	Shown      int   `bson:"s,omitempty"`
	Reached    bool  `bson:"a,omitempty"`
}

func encodeChildren(c *Children) ([]byte, error) {
	return bson.Marshal(childrenDocument{c.rows, c.threads, c.descending, c.more, c.end, c.shown, c.reached})
}

func decodeChildren(b []byte) (*Children, error) {
	var d childrenDocument
	if err := bson.Unmarshal(b, &d); err != nil {
		return nil, err
	}
	c := newChildren(d.Rows, d.Threads, d.Descending)
	c.more, c.end, c.shown, c.reached = d.More, d.End, d.Shown, d.Reached
	return c, nil
}
