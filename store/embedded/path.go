//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// This file finds values in documents by dotted paths. Entry points: values, valuesAt, field.

// path is a dotted path, taken apart.
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

// overlaps says whether one of p and q lies in the other.
func (p path) overlaps(q path) bool {
	for i := range min(len(p), len(q)) {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

// field returns the value of a field of document; ok is false where there is none.
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

// values calls found with each value that a filter on p compares, until found returns true,
// and returns what it returned last. Those are the field's value and, of an array, each
// element before the array itself. Arrays on the way are gone into one level deep, by
// element and by position. A document that lacks the field counts as one value, missing.
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
			if numeric && i == at {
				return valuesIn(e, rest[1:], found)
			}
			return e.Type == bsoncore.TypeEmbeddedDocument && values(e.Data, rest, found)
		})
	}
	return found(missing)
}

// position returns the place in an array that a part of a path names.
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

// entriesAt returns the values that an index on p has of document: of an array its
// elements, of an empty one classEmpty's stand-in, where the field is missing a missing value.
// many says that there is an array on the path, so that there may be several.
func entriesAt(document []byte, p path) (found []bsoncore.Value, many bool) {
	v, ok := field(document, p[0])
	if !ok {
		return []bsoncore.Value{missing}, false
	}
	return entriesIn(v, p[1:])
}

// emptyArray stands for the entry of an empty array.
var emptyArray = bsoncore.Value{Type: bsoncore.TypeUndefined}

func entriesIn(v bsoncore.Value, rest path) (found []bsoncore.Value, many bool) {
	switch {
	case v.Type == bsoncore.TypeArray:
		at, numeric := -1, false
		if len(rest) > 0 {
			at, numeric = position(rest[0])
		}
		eachElement(v.Data, func(i int, e bsoncore.Value) bool {
			var more []bsoncore.Value
			switch {
			case len(rest) == 0:
				more = []bsoncore.Value{e}
			case numeric && i == at:
				more, _ = entriesIn(e, rest[1:])
			case e.Type == bsoncore.TypeEmbeddedDocument:
				more, _ = entriesAt(e.Data, rest)
			}
			found = append(found, more...)
			return false
		})
		if len(found) == 0 {
			found = append(found, emptyArray)
		}
		return found, true
	case len(rest) == 0:
		return []bsoncore.Value{v}, false
	case v.Type == bsoncore.TypeEmbeddedDocument:
		return entriesAt(v.Data, rest)
	}
	return []bsoncore.Value{missing}, false
}
