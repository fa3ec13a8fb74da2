//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file finds values in documents by dotted paths. Entry points: field, values, entries.

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// path is a dotted path, split into its parts.
type path []string

func parsePath(text string) (path, error) {
	p := path(strings.Split(text, "."))
	for _, name := range p {
		if name == "" {
			return nil, fail(codeEmptyFieldName, "the path %q has an empty field name", text)
		}
		if strings.HasPrefix(name, "$") {
			return nil, fail(codeBadValue, "the path %q has a name that begins with $: positional and database-reference paths aren't supported", text)
		}
	}
	return p, nil
}

func (p path) String() string { return strings.Join(p, ".") }

// overlaps reports whether one of p and q contains the other.
func (p path) overlaps(q path) bool {
	for i := range min(len(p), len(q)) {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

// field returns the value of a field of document; ok is false without the field.
func field(document []byte, name string) (v bsoncore.Value, ok bool) {
	for rest := document[4:]; len(rest) > 1; {
		element, after, good := bsoncore.ReadElement(rest)
		if !good {
			return missing, false
		}
		if element.CompareKey([]byte(name)) {
			return element.Value(), true
		}
		rest = after
	}
	return missing, false
}

// values calls found with each value that a filter on p compares, until found returns true, and
// returns the last result of found. The values are the field's own and, if it is an array, each of
// its elements first. Arrays on the path are entered one level deep, by element and by position. A
// document without the field counts as one value, missing.
func values(document []byte, p path, found func(bsoncore.Value) bool) bool {
	v, ok := field(document, p[0])
	if !ok {
		return found(missing)
	}
	return valuesIn(v, p[1:], found)
}

func valuesIn(v bsoncore.Value, rest path, found func(bsoncore.Value) bool) bool {
	if len(rest) == 0 {
		if v.Type == bsoncore.TypeArray && eachElement(v.Data, func(_ int, e bsoncore.Value) bool { return found(e) }) {
			return true
		}
		return found(v)
	}
	switch v.Type {
	case bsoncore.TypeEmbeddedDocument:
		return values(v.Data, rest, found)
	case bsoncore.TypeArray:
		at, numeric := position(rest[0])
		return eachElement(v.Data, func(i int, e bsoncore.Value) bool {
			if numeric && i == at && valueAt(e, rest[1:], found) {
				return true
			}
			return e.Type == bsoncore.TypeEmbeddedDocument && values(e.Data, rest, found)
		})
	}
	return found(missing)
}

// valueAt is valuesIn for an element named by its position: an array there counts as a whole.
func valueAt(e bsoncore.Value, rest path, found func(bsoncore.Value) bool) bool {
	if len(rest) == 0 {
		return found(e)
	}
	return valuesIn(e, rest, found)
}

// position returns the array position that a part of a path names.
func position(name string) (int, bool) {
	if name == "" || name[0] < '0' || name[0] > '9' || len(name) > 1 && name[0] == '0' {
		return 0, false
	}
	n, err := strconv.Atoi(name)
	return n, err == nil
}

// eachElement calls visit with each element of an array until visit returns true.
func eachElement(array []byte, visit func(int, bsoncore.Value) bool) bool {
	i := 0
	for rest := array[4:]; len(rest) > 1; i++ {
		element, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			return false
		}
		if visit(i, element.Value()) {
			return true
		}
		rest = after
	}
	return false
}

// emptyArray stands for the entry of an empty array in indexes and sorts.
var emptyArray = bsoncore.Value{Type: bsoncore.TypeUndefined}

// entries returns the combinations of values that an index on paths, or a sort by them, has for
// document: one for each element of an array on a path. Paths through one array take their values
// from the same element; paths into different arrays are an error. An empty array at a path's end
// counts as emptyArray, an absent value as missing. many has a bit for each path with an array on
// it.
func entries(document []byte, paths []path) (combinations [][]bsoncore.Value, many uint64, err error) {
	whole := bsoncore.Value{Type: bsoncore.TypeEmbeddedDocument, Data: document}
	steps := make([]step, len(paths))
	for i, p := range paths {
		steps[i] = step{at: whole, rest: p}
	}
	err = combine(steps, &combinations, &many)
	return combinations, many, err
}

// step is a path that was followed to a value.
type step struct {
	at   bsoncore.Value
	rest path
	done bool // at is the path's value
}

var errParallel = fail(codeParallelArrays, "cannot index or sort by parallel arrays")

// combine follows all steps to their ends, in each element of the array that they enter, and adds
// the values at the ends.
func combine(steps []step, combinations *[][]bsoncore.Value, many *uint64) error {
	var array []byte // the array that the steps enter next
	for i := range steps {
		s := &steps[i]
		if s.follow(); s.done {
			continue
		}
		*many |= 1 << i
		if array != nil && &array[0] != &s.at.Data[0] {
			return errParallel
		}
		array = s.at.Data
	}
	if array == nil {
		values := make([]bsoncore.Value, len(steps))
		for i, s := range steps {
			values[i] = s.at
		}
		*combinations = append(*combinations, values)
		return nil
	}
	into := func(i int, element func(step) step) error {
		next := make([]step, len(steps))
		for j, s := range steps {
			if next[j] = s; !s.done {
				next[j] = element(s)
			}
		}
		return combine(next, combinations, many)
	}
	var err error
	n := 0
	eachElement(array, func(i int, e bsoncore.Value) bool {
		n++
		err = into(i, func(s step) step { return s.element(i, e) })
		return err != nil
	})
	if n == 0 {
		return into(0, func(s step) step {
			if len(s.rest) == 0 {
				return step{at: emptyArray, done: true}
			}
			return step{at: missing, done: true}
		})
	}
	return err
}

// follow goes on to the path's value, or to the first array before it.
func (s *step) follow() {
	for !s.done {
		switch {
		case s.at.Type == bsoncore.TypeArray:
			return
		case len(s.rest) == 0:
			s.done = true
		case s.at.Type == bsoncore.TypeEmbeddedDocument:
			s.at, _ = field(s.at.Data, s.rest[0])
			s.rest = s.rest[1:]
		default:
			s.at, s.done = missing, true
		}
	}
}

// element is the step into element i of the array at s.
func (s step) element(i int, e bsoncore.Value) step {
	if len(s.rest) == 0 {
		return step{at: e, done: true}
	}
	if at, numeric := position(s.rest[0]); numeric {
		if i == at {
			return step{at: e, rest: s.rest[1:], done: len(s.rest) == 1}
		}
		if e.Type != bsoncore.TypeEmbeddedDocument {
			return step{at: missing, done: true}
		}
	}
	if e.Type == bsoncore.TypeArray { // arrays in arrays are entered by position only
		return step{at: missing, done: true}
	}
	return step{at: e, rest: s.rest}
}
