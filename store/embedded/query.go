//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file finds documents: it reads the ranges of a plan, matches documents, merges, and orders.
// Entry points: newStream, stream.next.

import (
	"bytes"
	"cmp"
	"slices"
)

// query is a filter over a collection, with order and limits.
type query struct {
	filter filter
	order  []sortField
	skip   int64
	limit  int64 // 0 for none
	// counted says that the documents themselves aren't needed.
	counted bool
}

// stream gives the documents that a query finds, in its order, each once.
type stream struct {
	session *session
	query   *query
	plan    *plan

	lanes  []*lane
	merged bool               // the lanes are read in step, else one after another
	seen   map[int64]struct{} // nil if no document can come twice
	rows   []int64            // the rest of an order made in memory
	sorts  bool               // the order is made in memory

	skip, limit int64
	scratch     []byte
}

// lane reads one range of an index.
type lane struct {
	branch *branch
	bounds keyBounds
	scan   *scan
	also   *scan // of branch.also
	begun  bool

	head entry // in a merge: the next entry, and the sort key of it
	sort []byte
}

// newStream begins to answer q.
func newStream(s *session, c *collection, q *query) *stream {
	st := &stream{session: s, query: q, plan: newPlan(c, &q.filter, q.order), skip: q.skip, limit: q.limit}
	st.sorts = !st.plan.sorted
	for i := range st.plan.branches {
		b := &st.plan.branches[i]
		if b.index.many != 0 {
			st.seen = map[int64]struct{}{}
		}
		for _, bounds := range b.ranges {
			st.lanes = append(st.lanes, &lane{branch: b, bounds: bounds})
		}
	}
	switch {
	case st.plan.branches == nil:
		st.lanes = []*lane{{scan: newScan(s, c, nil), begun: true}}
		st.lanes[0].scan.size = st.hint(1)
	case len(st.lanes) > 1:
		if len(st.plan.branches) > 1 {
			st.seen = map[int64]struct{}{}
		}
		st.merged = len(q.order) > 0 && !st.sorts
	}
	return st
}

// counting reports whether keys alone answer the query.
func (st *stream) counting() bool { return st.query.counted && st.plan.exact }

// hint is the number of rows to read first in each of so many lanes.
func (st *stream) hint(lanes int) int {
	if st.query.limit == 0 || st.sorts {
		return maxChunk
	}
	return int(min((st.query.skip+st.query.limit+int64(lanes)-1)/int64(lanes), maxChunk))
}

// open begins to read a lane.
func (st *stream) open(l *lane) {
	if l.begun {
		return
	}
	l.begun = true
	b := l.branch
	size := st.hint(1)
	if st.merged {
		size = max(st.hint(len(st.lanes)), 4)
	}
	if l.bounds.single {
		size = 1
	}
	l.scan = &scan{
		session: st.session, low: l.bounds.low, high: l.bounds.high, backwards: b.backwards, size: size,
		documents: !st.merged && !st.counting() && len(b.residue) == 0 && b.also == nil,
		ended:     false,
	}
	l.scan.prepare(st.plan.collection, b.index)
	if b.also != nil {
		bounds := b.also.ranges[0]
		l.also = &scan{session: st.session, low: bounds.low, high: bounds.high, backwards: b.backwards, size: 16}
		l.also.prepare(st.plan.collection, b.also.index)
	}
}

// next returns the lane's next entry; ok is false at its end.
func (l *lane) next(scratch *[]byte) (entry, bool, error) {
	if l.bounds.single && l.scan.at > 0 {
		return entry{}, false, nil
	}
	for {
		e, ok, err := l.scan.next()
		if err != nil || !ok || l.branch == nil {
			return e, ok, err
		}
		if len(l.branch.residue) > 0 && !l.branch.passes(e.key, scratch) {
			continue
		}
		if l.also == nil {
			return e, true, nil
		}
		// A document in both indexes has the same end of its key in both. The one that is behind
		// goes on to the position of the other.
		own, others := l.bounds.prefix, l.branch.also.ranges[0].prefix
		l.also.seek(slices.Concat(l.branch.also.ranges[0].low[:others], e.key[own:]))
		o, ok, err := l.also.next()
		if err != nil || !ok {
			return entry{}, false, err
		}
		l.also.at-- // it may be the next one's, too
		if bytes.Equal(o.key[others:], e.key[own:]) {
			return e, true, nil
		}
		l.scan.seek(slices.Concat(e.key[:own], o.key[others:]))
	}
}

// next returns the next document and its row; ok is false at the end. The document is nil if the
// query counts and keys alone decide.
func (st *stream) next() (rid int64, document []byte, ok bool, err error) {
	if st.query.limit != 0 && st.limit == 0 {
		return 0, nil, false, nil
	}
	for {
		if st.sorts {
			rid, document, ok, err = st.nextSorted()
		} else {
			rid, document, ok, err = st.match()
		}
		if err != nil || !ok {
			return 0, nil, false, err
		}
		if st.skip > 0 {
			st.skip--
			continue
		}
		st.limit--
		return rid, document, true, nil
	}
}

// match returns the next document that meets the filter, in the order of the lanes.
func (st *stream) match() (int64, []byte, bool, error) {
	for {
		e, ok, err := st.entry()
		if err != nil || !ok {
			return 0, nil, false, err
		}
		if st.seen != nil {
			if _, again := st.seen[e.rid]; again {
				continue
			}
			st.seen[e.rid] = struct{}{}
		}
		if st.counting() {
			return e.rid, nil, true, nil
		}
		if e.document == nil {
			if err := st.session.check(); err != nil {
				return 0, nil, false, err
			}
			if e.document, err = st.session.document(st.plan.collection, e.rid); err != nil {
				return 0, nil, false, err
			}
		}
		if st.query.filter.matches(e.document, &st.scratch) {
			return e.rid, e.document, true, nil
		}
	}
}

// entry returns the next entry of the lanes.
func (st *stream) entry() (entry, bool, error) {
	if st.merged {
		return st.least()
	}
	for len(st.lanes) > 0 {
		l := st.lanes[0]
		st.open(l)
		e, ok, err := l.next(&st.scratch)
		if err != nil || ok {
			return e, ok, err
		}
		st.lanes = st.lanes[1:]
	}
	return entry{}, false, nil
}

// least returns the first entry in the order. The lanes are few.
func (st *stream) least() (entry, bool, error) {
	for i := 0; i < len(st.lanes); i++ {
		l := st.lanes[i]
		if l.begun {
			continue
		}
		st.open(l)
		if err := st.advance(i); err != nil {
			return entry{}, false, err
		}
		if len(st.lanes) <= i || st.lanes[i] != l {
			i--
		}
	}
	if len(st.lanes) == 0 {
		return entry{}, false, nil
	}
	first := 0
	for i, l := range st.lanes {
		if bytes.Compare(l.sort, st.lanes[first].sort) < 0 {
			first = i
		}
	}
	e := st.lanes[first].head
	return e, true, st.advance(first)
}

// advance reads the next head of a lane, and removes the lane at its end.
func (st *stream) advance(i int) error {
	l := st.lanes[i]
	e, ok, err := l.next(&st.scratch)
	if err != nil {
		return err
	}
	if !ok {
		st.lanes = slices.Delete(st.lanes, i, i+1)
		return nil
	}
	l.head, l.sort = e, l.branch.sortKey(l.sort[:0], e.key)
	return nil
}

// maxSortBytes bounds the memory of an order made in memory, as in MongoDB.
const maxSortBytes = 100 << 20

func sortMemory() error {
	return fail(codeSortMemory, "sort exceeded its memory limit of %d bytes: no index gives this order", maxSortBytes)
}

// nextSorted orders all rows in its first call, and reads them again one by one.
func (st *stream) nextSorted() (int64, []byte, bool, error) {
	if st.rows == nil {
		if err := st.sort(); err != nil {
			return 0, nil, false, err
		}
	}
	if len(st.rows) == 0 {
		return 0, nil, false, nil
	}
	if err := st.session.check(); err != nil {
		return 0, nil, false, err
	}
	rid := st.rows[0]
	st.rows = st.rows[1:]
	read := st.session.documents
	document, err := st.session.document(st.plan.collection, rid)
	st.session.documents = read // it was counted when it was found
	return rid, document, err == nil, err
}

func (st *stream) sort() error {
	type row struct {
		key []byte
		rid int64
	}
	var rows []row
	size := 0
	for {
		rid, document, ok, err := st.match()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		key, err := documentSortKey(document, st.query.order)
		if err != nil {
			return err
		}
		r := row{key, rid}
		if size += len(r.key) + 64; size > maxSortBytes {
			return sortMemory()
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(a.rid, b.rid)) })
	st.rows = make([]int64, len(rows))
	for i, r := range rows {
		st.rows[i] = r.rid
	}
	return nil
}

// documentSortKey is the sort key of a document: if it has arrays, the first combination of their
// values in the order.
func documentSortKey(document []byte, order []sortField) ([]byte, error) {
	paths := make([]path, len(order))
	for i, f := range order {
		paths[i] = f.path
	}
	combinations, _, err := entries(document, paths)
	if err != nil {
		return nil, err
	}
	var least []byte
	for _, values := range combinations {
		var key []byte
		for i, v := range values {
			at := len(key)
			key = appendKey(key, v)
			if order[i].descending {
				invert(key[at:])
			}
		}
		if least == nil || bytes.Compare(key, least) < 0 {
			least = key
		}
	}
	return least, nil
}
