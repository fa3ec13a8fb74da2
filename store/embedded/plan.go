//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file chooses the indexes for a query. Entry points: newPlan, plan.

import (
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// sortField is one field of an order.
type sortField struct {
	path       path
	descending bool
}

// parseSort reads an order.
func parseSort(document []byte) ([]sortField, error) {
	var order []sortField
	err := eachField(document, func(name string, v bsoncore.Value) error {
		p, err := parsePath(name)
		if err != nil {
			return err
		}
		var direction int64
		if err := readInt(name, v, &direction); err != nil || direction != 1 && direction != -1 {
			return fail(codeBadValue, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")
		}
		if !slices.ContainsFunc(order, func(f sortField) bool { return slices.Equal(f.path, p) }) {
			order = append(order, sortField{p, direction < 0})
		}
		return nil
	})
	return order, err
}

// plan is the way to find the documents that meet a filter: in ranges of indexes that contain all
// of them, or by reading the collection.
type plan struct {
	collection *collection
	branches   []branch // nil: the collection is read
	sorted     bool     // each branch gives the requested order
	// exact says that all documents in the ranges meet the filter, so that counting reads no
	// document.
	exact bool
}

// branch is an index with the ranges of it that are read.
type branch struct {
	index     *index
	ranges    []keyBounds
	backwards bool
	sort      []sortPart // for each field of the order, if the branch is sorted

	// residue holds ranges for values of fields after the bounded ones, by the field's position in
	// the index: keys with other values are skipped, and their documents not read.
	residue map[int][]keyRange
	// also is another index with the same endings of keys: a document has to be in both.
	also *branch

	quality quality
}

// keyBounds is a range of an index's keys.
type keyBounds struct {
	low, high []byte
	prefix    int  // bytes of the values of the fields with one value
	single    bool // at most one key lies in it
}

// sortPart is the source of the value of a field of the order: the index's field at place. If place
// is -1, only one value is possible, key.
type sortPart struct {
	place      int
	key        []byte
	descending bool
}

// quality compares branches over the indexes of a collection: earlier fields of quality weigh more.
type quality struct {
	unique  bool // one document at most for each range
	equal   int  // number of fields with one value in each range
	sorted  bool
	bounded bool // the field after those is bounded
	residue int  // number of fields with keys that are skipped
	exact   bool
}

func (q quality) better(than quality) bool {
	bit := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	for _, d := range []int{
		bit(q.unique) - bit(than.unique), q.equal - than.equal, bit(q.sorted) - bit(than.sorted),
		bit(q.bounded) - bit(than.bounded), q.residue - than.residue, bit(q.exact) - bit(than.exact),
	} {
		if d != 0 {
			return d > 0
		}
	}
	return false
}

const (
	// maxMerged bounds the ranges that are merged to one order.
	maxMerged = 256
	// maxPoints bounds the combinations of values that are looked up in an index.
	maxPoints = 20_000
)

// newPlan returns the plan for the documents that meet f, in an order if there is one.
func newPlan(c *collection, f *filter, order []sortField) *plan {
	p := &plan{collection: c, sorted: true, exact: true}
	ways := f.branches()
	ranges := 0
	for _, tests := range ways {
		best, ok := bestBranch(c, tests, order)
		if !ok {
			return &plan{collection: c, sorted: len(order) == 0}
		}
		if len(best.ranges) == 0 {
			continue // nothing can meet it
		}
		p.sorted = p.sorted && best.quality.sorted
		p.exact = p.exact && best.quality.exact
		ranges += len(best.ranges)
		p.branches = append(p.branches, best)
	}
	if p.branches == nil {
		p.branches = []branch{}
	}
	// A branch of one document has every order by itself, but no sort key for a merge.
	alone := slices.ContainsFunc(p.branches, func(b branch) bool { return len(b.sort) < len(order) })
	if len(order) > 0 && (ranges > maxMerged || alone && len(p.branches) > 1) {
		p.sorted = false
	}
	if len(order) == 0 {
		p.sorted = true
	}
	p.exact = p.exact && f.multiplied(len(ways))
	return p
}

// multiplied reports whether branches, with so many results, left no $or out.
func (f *filter) multiplied(ways int) bool {
	want := 1
	for _, anyOf := range f.anyOf {
		n := 0
		for i := range anyOf {
			b := anyOf[i].branches()
			if !anyOf[i].multiplied(len(b)) {
				return false
			}
			n += len(b)
		}
		want *= n
	}
	return want == ways
}

// bestBranch returns the best index for tests; ok is false if none is of use.
func bestBranch(c *collection, tests []test, order []sortField) (best branch, ok bool) {
	for _, ix := range append([]*index{idIndex}, c.indexes...) {
		b, useful := newBranch(ix, tests, order)
		if useful && (!ok || b.quality.better(best.quality)) {
			best, ok = b, true
		}
	}
	if ok && !best.quality.exact && !best.quality.unique && len(best.ranges) == 1 {
		best.meet(c, tests, order)
	}
	return best, ok
}

// bounds returns the ranges of a field of the index that tests allow; ok is false if they don't
// bound it. exact says that every value there meets all tests on the field.
func (ix *index) bounds(at int, tests []test) (ranges []keyRange, points, exact, ok bool) {
	several := ix.many&(1<<at) != 0
	exact = true
	for i := range tests {
		t := &tests[i]
		if !slices.Equal(t.path, ix.fields[at].path) {
			continue
		}
		if t.not || t.exists || t.arrays {
			exact = false
			continue
		}
		switch {
		case !ok:
			ranges, points, ok = t.ranges, t.points != nil, true
			// An element that is no document has the key null for the field, and yet doesn't equal
			// null.
			exact = exact && !(several && len(t.path) > 1 && slices.ContainsFunc(ranges, holdsNull))
		case several:
			// Another element may meet the other test, so only one of them bounds.
			exact = false
			if t.points != nil && !points {
				ranges, points = t.ranges, true
			}
		default:
			var both []keyRange
			for _, r := range ranges {
				for _, q := range t.ranges {
					if m := r.meet(q); !m.isEmpty() {
						both = append(both, m)
					}
				}
			}
			ranges, points = both, points || t.points != nil
		}
	}
	return ranges, points, exact, ok
}

// newBranch returns the branch of ix for tests, in the order if ix can give it; useful is false if
// the index neither bounds nor orders, or lacks documents that meet tests.
func newBranch(ix *index, tests []test, order []sortField) (b branch, useful bool) {
	b = branch{index: ix, ranges: []keyBounds{{}}, residue: map[int][]keyRange{}}
	fixed := map[int][]byte{} // the value of each field with only one, not inverted
	exact, sparse, decided := true, ix.sparse, map[string]bool{}
	field, several := 0, false
	for ; field < len(ix.fields); field++ {
		f := ix.fields[field]
		ranges, points, all, ok := ix.bounds(field, tests)
		if many := ix.many&(1<<field) != 0; !ok || many && several {
			break // for two fields in one array, another element may meet the second
		} else if many {
			several = true
		}
		if sparse && !slices.ContainsFunc(ranges, holdsNull) {
			sparse = false
		}
		if !points && len(ranges) != 1 || len(b.ranges)*len(ranges) > maxPoints {
			break
		}
		exact = exact && all
		decided[f.path.String()] = true
		var next []keyBounds
		for _, bounds := range b.ranges {
			for _, r := range ranges {
				low, high := r.in(f.descending)
				n := keyBounds{low: slices.Concat(bounds.low, low), high: slices.Concat(bounds.low, high), prefix: bounds.prefix}
				if points {
					key := r.low.bound
					n.low = appendInverted(bounds.low[:len(bounds.low):len(bounds.low)], key, f.descending)
					n.high = nil
					n.prefix = len(n.low)
				}
				next = append(next, n)
			}
		}
		b.ranges = next
		if !points {
			b.quality.bounded = true
			field++
			break
		}
		b.quality.equal++
		if len(ranges) == 1 && ix.many&(1<<field) == 0 {
			fixed[field] = ranges[0].low.bound
		}
	}
	if sparse {
		return branch{}, false
	}
	for i := range b.ranges {
		r := &b.ranges[i]
		if len(r.low) == 0 {
			r.low = first
		}
		if r.high == nil {
			r.high = append(slices.Clone(r.low[:r.prefix]), past)
			r.single = ix.unique && b.quality.equal == len(ix.fields)
		}
	}
	b.quality.unique = ix.unique && b.quality.equal == len(ix.fields)

	for i := field; i < len(ix.fields); i++ {
		if ix.many&(1<<i) != 0 {
			continue
		}
		if ranges, _, all, ok := ix.bounds(i, tests); ok {
			b.residue[i] = ranges
			b.quality.residue++
			exact = exact && all
			decided[ix.fields[i].path.String()] = true
		}
	}
	for _, t := range tests {
		exact = exact && decided[t.path.String()] && !t.not && !t.exists
	}
	b.quality.exact = exact
	b.quality.sorted = b.order(order, fixed)
	return b, b.quality.equal > 0 || b.quality.bounded || len(order) > 0 && b.quality.sorted && !ix.sparse
}

func holdsNull(r keyRange) bool { return r.holds([]byte{classNull}) }

func appendInverted(dst, key []byte, inverted bool) []byte {
	at := len(dst)
	dst = append(dst, key...)
	if inverted {
		invert(dst[at:])
	}
	return dst
}

// order reports whether b can give the order, and sets its direction and its sort.
func (b *branch) order(order []sortField, fixed map[int][]byte) bool {
	if len(order) == 0 {
		return true
	}
	// The leading fields with one value come in any order; the index's fields after them must be
	// those of the order, all in its direction or all against it.
	at, direction := b.quality.equal, 0
	for _, s := range order {
		if i := slices.IndexFunc(b.index.fields, func(f indexField) bool { return slices.Equal(f.path, s.path) }); i >= 0 && fixed[i] != nil {
			b.sort = append(b.sort, sortPart{-1, fixed[i], s.descending})
			continue
		}
		if at == len(b.index.fields) {
			return b.quality.unique && len(b.ranges) == 1 // there is nothing to order
		}
		f := b.index.fields[at]
		turned := 1
		if f.descending != s.descending {
			turned = -1
		}
		if !slices.Equal(f.path, s.path) || b.index.many&(1<<at) != 0 || direction != 0 && turned != direction {
			return false
		}
		b.sort = append(b.sort, sortPart{at, nil, s.descending})
		direction = turned
		at++
	}
	b.backwards = direction < 0
	return true
}

// sortKey is the part of a key that decides the order, so that branches can be merged.
func (b *branch) sortKey(dst, key []byte) []byte {
	for _, part := range b.sort {
		at := len(dst)
		if part.place < 0 {
			dst = append(dst, part.key...)
		} else {
			start, end := b.index.segment(key, part.place)
			dst = append(dst, key[start:end]...)
			if b.index.fields[part.place].descending {
				invert(dst[at:])
			}
		}
		if part.descending {
			invert(dst[at:])
		}
	}
	return dst
}

// segment returns the position in a key of the value of the index's field at place.
func (ix *index) segment(key []byte, place int) (start, end int) {
	for i := 0; ; i++ {
		end = start + keyLength(key[start:], ix.fields[i].descending)
		if i == place {
			return start, end
		}
		start = end
	}
}

// passes reports whether the values in a key meet the known ranges of the fields after the bounded
// ones.
func (b *branch) passes(key []byte, scratch *[]byte) bool {
	for place, ranges := range b.residue {
		start, end := b.index.segment(key, place)
		*scratch = append((*scratch)[:0], key[start:end]...)
		if b.index.fields[place].descending {
			invert(*scratch)
		}
		if !slices.ContainsFunc(ranges, func(r keyRange) bool { return r.holds(*scratch) }) {
			return false
		}
	}
	return true
}

// meet finds another index that must contain b's documents, too: its keys end as b's do after the
// fields with one value, and it decides a test that b leaves open.
func (b *branch) meet(c *collection, tests []test, order []sortField) {
	if b.index == idIndex || b.index.unique || b.ranges[0].prefix == 0 {
		return
	}
	rest := func(x *branch) []indexField { return x.index.fields[x.quality.equal:] }
	for _, ix := range c.indexes {
		other, ok := newBranch(ix, tests, order)
		if !ok || ix == b.index || ix.unique || len(other.ranges) != 1 || other.quality.equal == 0 {
			continue
		}
		same := slices.EqualFunc(rest(b), rest(&other), func(f, g indexField) bool {
			return f.descending == g.descending && slices.Equal(f.path, g.path)
		})
		more := slices.ContainsFunc(ix.fields[:other.quality.equal], func(f indexField) bool {
			return !slices.ContainsFunc(b.index.fields[:b.quality.equal], func(g indexField) bool { return slices.Equal(f.path, g.path) })
		})
		if same && more {
			b.also = &other
			return
		}
	}
}

// String describes the indexes that the plan reads, for explain.
func (p *plan) String() string {
	if p.branches == nil {
		return "COLLSCAN"
	}
	var parts []string
	for _, b := range p.branches {
		text := fmt.Sprintf("IXSCAN %s %d", b.index.name, len(b.ranges))
		if b.also != nil {
			text += " AND " + b.also.index.name
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
