//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reads filters and matches documents. Entry points: parseFilter, filter.matches,
// filter.branches.

import (
	"bytes"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// filter is a condition on documents: all of tests and one of each of anyOf.
type filter struct {
	tests []test
	anyOf [][]filter
}

// test is a condition on the values at one path.
type test struct {
	path path
	not  bool // the document must not meet the rest: $ne, $nin, {$exists: false}

	exists bool       // there is a value; then ranges is empty
	ranges []keyRange // a value lies in one of them
	// points holds the operand of an equality, or those of $in, in the order of ranges.
	points []bsoncore.Value
	// arrays says that an operand is an array. It is compared with whole arrays, and an index has
	// only their elements.
	arrays bool
}

// keyRange is the encoded values between two cuts.
type keyRange struct{ low, high cut }

// cut is a position between encoded values: before key, or after it. A key of one byte may also be
// a class: then the cut is before all of its values.
type cut struct {
	bound []byte // compares with encoded values: key, or a key beyond it if the cut is after key
	after bool
}

func before(key []byte) cut { return cut{bound: key} }

func after(key []byte) cut { return cut{append(slices.Clone(key), past), true} }

// in returns the cut's position among keys of an index field. Those of a descending field are
// inverted.
func (c cut) in(descending bool) []byte {
	if !descending {
		return c.bound
	}
	key := slices.Clone(c.bound)
	invert(key)
	switch {
	case c.after:
		return key[:len(key)-1]
	case len(key) == 1:
		return []byte{key[0] + 1}
	}
	return append(key, past)
}

// point is the range of one value.
func point(key []byte) keyRange { return keyRange{before(key), after(key)} }

func (r keyRange) holds(key []byte) bool {
	return bytes.Compare(key, r.low.bound) >= 0 && bytes.Compare(key, r.high.bound) < 0
}

func (r keyRange) isEmpty() bool { return bytes.Compare(r.low.bound, r.high.bound) >= 0 }

// meet is the range that lies in both r and q.
func (r keyRange) meet(q keyRange) keyRange {
	if bytes.Compare(q.low.bound, r.low.bound) > 0 {
		r.low = q.low
	}
	if bytes.Compare(q.high.bound, r.high.bound) < 0 {
		r.high = q.high
	}
	return r
}

// in returns the range's bounds among keys of an index field.
func (r keyRange) in(descending bool) (low, high []byte) {
	if descending {
		return r.high.in(true), r.low.in(true)
	}
	return r.low.in(false), r.high.in(false)
}

// parseFilter reads a filter from a checked document.
func parseFilter(document []byte) (filter, error) {
	var f filter
	for rest := document[4:]; len(rest) > 1; {
		element, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			return filter{}, fail(codeInvalidBSON, "malformed BSON")
		}
		rest = after
		key, value := element.Key(), element.Value()
		switch {
		case key == "$and" || key == "$or":
			parts, err := parseFilters(key, value)
			if err != nil {
				return filter{}, err
			}
			if key == "$or" {
				f.anyOf = append(f.anyOf, parts)
				continue
			}
			for _, p := range parts {
				f.tests, f.anyOf = append(f.tests, p.tests...), append(f.anyOf, p.anyOf...)
			}
		case key == "$comment":
		case len(key) > 0 && key[0] == '$':
			return filter{}, fail(codeBadValue, "unknown top level operator: %s. The embedded database has $and and $or.", key)
		default:
			tests, err := parseTests(key, value)
			if err != nil {
				return filter{}, err
			}
			f.tests = append(f.tests, tests...)
		}
	}
	return f, nil
}

func parseFilters(operator string, value bsoncore.Value) ([]filter, error) {
	if value.Type != bsoncore.TypeArray {
		return nil, fail(codeBadValue, "%s must be an array", operator)
	}
	var parts []filter
	var err error
	eachElement(value.Data, func(_ int, e bsoncore.Value) bool {
		if e.Type != bsoncore.TypeEmbeddedDocument {
			err = fail(codeBadValue, "%s argument's entries must be objects", operator)
			return true
		}
		var f filter
		f, err = parseFilter(e.Data)
		parts = append(parts, f)
		return err != nil
	})
	if err == nil && len(parts) == 0 {
		err = fail(codeBadValue, "%s argument must be a non-empty array", operator)
	}
	return parts, err
}

// parseTests reads the conditions on one field: a value, or a document of operators.
func parseTests(key string, value bsoncore.Value) ([]test, error) {
	p, err := parsePath(key)
	if err != nil {
		return nil, err
	}
	if value.Type != bsoncore.TypeEmbeddedDocument || !hasOperators(value.Data) {
		t, err := parseTest(p, "$eq", value)
		return []test{t}, err
	}
	var tests []test
	for rest := value.Data[4:]; len(rest) > 1; {
		element, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			return nil, fail(codeInvalidBSON, "malformed BSON")
		}
		rest = after
		t, err := parseTest(p, element.Key(), element.Value())
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	return tests, nil
}

// hasOperators reports whether the first name in document begins with $.
func hasOperators(document []byte) bool {
	element, _, ok := bsoncore.ReadElement(document[4:])
	return ok && len(document) > 5 && bytes.HasPrefix(element.KeyBytes(), []byte{'$'})
}

func parseTest(p path, operator string, value bsoncore.Value) (test, error) {
	t := test{path: p}
	if value.Type == bsoncore.TypeRegex {
		return test{}, fail(codeBadValue, "field %q: the embedded database has no regular expressions", p)
	}
	switch operator {
	case "$eq", "$ne":
		t.not = operator == "$ne"
		t.add(value)
	case "$in", "$nin":
		t.not = operator == "$nin"
		if value.Type != bsoncore.TypeArray {
			return test{}, fail(codeBadValue, "%s needs an array", operator)
		}
		var wrong error
		eachElement(value.Data, func(_ int, e bsoncore.Value) bool {
			switch {
			case e.Type == bsoncore.TypeRegex:
				wrong = fail(codeBadValue, "field %q: the embedded database has no regular expressions", p)
			case e.Type == bsoncore.TypeEmbeddedDocument && hasOperators(e.Data):
				wrong = fail(codeBadValue, "cannot nest $ under %s", operator)
			}
			t.add(e)
			return wrong != nil
		})
		if wrong != nil {
			return test{}, wrong
		}
		t.sort()
	case "$gt", "$gte", "$lt", "$lte":
		t.arrays = value.Type == bsoncore.TypeArray
		t.ranges = comparison(operator, value)
	case "$exists":
		t.exists = true
		t.not = !truth(value)
	default:
		return test{}, fail(codeBadValue, "unknown operator: %s. The embedded database has $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin and $exists.", operator)
	}
	return t, nil
}

// add makes t accept values equal to v, too.
func (t *test) add(v bsoncore.Value) {
	t.arrays = t.arrays || v.Type == bsoncore.TypeArray
	t.points = append(t.points, v)
	t.ranges = append(t.ranges, point(appendKey(nil, v)))
}

// sort orders the operands of an $in and leaves each in it once.
func (t *test) sort() {
	at := make([]int, len(t.ranges))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return bytes.Compare(t.ranges[a].low.bound, t.ranges[b].low.bound) })
	at = slices.CompactFunc(at, func(a, b int) bool { return bytes.Equal(t.ranges[a].low.bound, t.ranges[b].low.bound) })
	ranges, points := make([]keyRange, len(at)), make([]bsoncore.Value, len(at))
	for i, from := range at {
		ranges[i], points[i] = t.ranges[from], t.points[from]
	}
	t.ranges, t.points = ranges, points
}

// comparison returns the ranges of values that are in a relation to v, in MongoDB's sense: a value
// of another type is neither greater nor less. Only MinKey and MaxKey compare with all.
func comparison(operator string, v bsoncore.Value) []keyRange {
	key := appendKey(nil, v)
	low, high := before(key[:1:1]), before([]byte{key[0] + 1})
	if v.Type == bsoncore.TypeMinKey || v.Type == bsoncore.TypeMaxKey {
		low, high = before([]byte{classMinKey}), before([]byte{past})
	}
	switch operator {
	case "$gt":
		low = after(key)
	case "$gte":
		low = before(key)
	case "$lt":
		high = before(key)
	case "$lte":
		high = after(key)
	}
	if key[0] == classNumber {
		// A NaN is equal to itself, and neither less nor greater than any number.
		nan := appendNumber(nil, math.NaN(), 0)
		switch isNaN := bytes.Equal(key, nan); {
		case isNaN && (operator == "$gt" || operator == "$lt"):
			return []keyRange{}
		case isNaN:
			return []keyRange{point(key)}
		case operator == "$lt" || operator == "$lte":
			low = after(nan)
		}
	}
	return []keyRange{{low, high}}
}

// truth reports whether MongoDB counts v as true: neither false, 0, null nor missing.
func truth(v bsoncore.Value) bool {
	switch v.Type {
	case bsoncore.TypeBoolean:
		return v.Boolean()
	case 0, bsoncore.TypeNull, bsoncore.TypeUndefined:
		return false
	}
	if n, ok := v.AsFloat64OK(); ok {
		return n != 0
	}
	return true
}

// matches reports whether document meets f. key is scratch memory.
func (f *filter) matches(document []byte, key *[]byte) bool {
	for i := range f.tests {
		if !f.tests[i].matches(document, key) {
			return false
		}
	}
	for _, branches := range f.anyOf {
		if !slices.ContainsFunc(branches, func(b filter) bool { return b.matches(document, key) }) {
			return false
		}
	}
	return true
}

func (t *test) matches(document []byte, key *[]byte) bool {
	return t.not != values(document, t.path, func(v bsoncore.Value) bool {
		if t.exists {
			return !isMissing(v)
		}
		*key = appendKey((*key)[:0], v)
		return t.holds(*key)
	})
}

// holds reports whether an encoded value lies in one of t's ranges.
func (t *test) holds(key []byte) bool {
	if len(t.points) > 8 {
		_, found := slices.BinarySearchFunc(t.ranges, key, func(r keyRange, key []byte) int { return bytes.Compare(r.low.bound, key) })
		return found
	}
	return slices.ContainsFunc(t.ranges, func(r keyRange) bool { return r.holds(key) })
}

// maxBranches bounds the branches that a filter's $or conditions are multiplied out to: a page
// between two cursors under an $or has eight. Beyond it the conditions are only tested on
// documents.
const maxBranches = 64

// branches returns filters without $or: a document that meets f meets one of them. Each of f's $or
// conditions is multiplied out as long as that makes at most maxBranches.
func (f *filter) branches() [][]test {
	out := [][]test{f.tests}
	for _, anyOf := range f.anyOf {
		var ways [][]test
		for _, b := range anyOf {
			ways = append(ways, b.branches()...)
		}
		if len(out)*len(ways) > maxBranches {
			continue
		}
		var next [][]test
		for _, o := range out {
			for _, w := range ways {
				next = append(next, slices.Concat(o, w))
			}
		}
		out = next
	}
	return out
}
