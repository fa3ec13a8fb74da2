//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file applies updates to documents. Entry points: parseUpdate, update.apply,
// update.insertion.

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// update is a replacement, or changes to fields.
type update struct {
	replacement []byte
	changes     []change // by path; no path contains another
}

// change is an operator for the field at a path.
type change struct {
	path     path
	operator string // $set, $unset, $inc or $max
	value    bsoncore.Value
}

// parseUpdate reads an update from a checked document.
func parseUpdate(v bsoncore.Value) (*update, error) {
	document, ok := v.DocumentOK()
	switch {
	case v.Type == bsoncore.TypeArray:
		return nil, fail(codeFailedToParse, "the embedded database has no pipelines in updates")
	case !ok:
		return nil, fail(codeFailedToParse, "the field 'u' must be an object, but got %s", typeName(v))
	case !hasOperators(document):
		err := eachField(document, func(name string, _ bsoncore.Value) error {
			if len(name) > 0 && name[0] == '$' {
				return fail(codeDollarPrefixed, "the dollar ($) prefixed field '%s' isn't allowed in a replacement", name)
			}
			return nil
		})
		return &update{replacement: document}, err
	}
	u := &update{}
	err := eachField(document, func(operator string, v bsoncore.Value) error {
		switch operator {
		case "$set", "$unset", "$inc", "$max":
		default:
			return fail(codeFailedToParse, "unknown modifier: %s. The embedded database has $set, $unset, $inc and $max.", operator)
		}
		fields, ok := v.DocumentOK()
		if !ok {
			return fail(codeFailedToParse, "modifiers operate on fields but we found type %s instead: %s", typeName(v), operator)
		}
		return eachField(fields, func(name string, v bsoncore.Value) error {
			p, err := parsePath(name)
			if err != nil {
				return err
			}
			if _, number := v.AsFloat64OK(); operator == "$inc" && !number {
				return fail(codeTypeMismatch, "cannot increment with non-numeric argument: {%s: %s}", name, v)
			}
			u.changes = append(u.changes, change{p, operator, v})
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	// MongoDB changes fields in the order of their names, numeric names by their value.
	slices.SortStableFunc(u.changes, func(a, b change) int { return slices.CompareFunc(a.path, b.path, compareNames) })
	for i := 1; i < len(u.changes); i++ {
		if u.changes[i-1].path.overlaps(u.changes[i].path) {
			return nil, fail(codeConflictingUpdate, "updating the path '%s' would create a conflict at '%s'", u.changes[i].path, u.changes[i-1].path)
		}
	}
	return u, nil
}

func compareNames(a, b string) int {
	x, numeric := position(a)
	y, both := position(b)
	if numeric && both {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// apply returns document with the update applied. Its _id can't change.
func (u *update) apply(document []byte) ([]byte, error) {
	id, hasID := field(document, "_id")
	var changed []byte
	var err error
	if u.replacement != nil {
		changed, err = withID(u.replacement, id, hasID)
	} else {
		changed, err = applyChanges(nil, document, u.changes, 0)
	}
	if err != nil {
		return nil, err
	}
	if now, ok := field(changed, "_id"); hasID && (!ok || !bytes.Equal(appendKey(nil, now), appendKey(nil, id))) {
		return nil, fail(codeImmutableField, "performing an update on the path '_id' would modify the immutable field '_id'")
	}
	if len(changed) > maxDocument {
		return nil, tooLarge(len(changed))
	}
	return changed, nil
}

// withID returns document with an _id in front: its own if it has one.
func withID(document []byte, id bsoncore.Value, hasID bool) ([]byte, error) {
	own, ok := field(document, "_id")
	if ok {
		id = own
	}
	at, b := bsoncore.AppendDocumentStart(make([]byte, 0, len(document)+32))
	if ok || hasID {
		b = bsoncore.AppendValueElement(b, "_id", id)
	}
	for rest := document[4:]; len(rest) > 1; {
		element, after, good := bsoncore.ReadElement(rest)
		if !good {
			return nil, fail(codeInvalidBSON, "malformed BSON")
		}
		rest = after
		if !element.CompareKey([]byte("_id")) {
			b = append(b, element...)
		}
	}
	return endDocument(b, at), nil
}

// applyChanges appends document to dst with changes applied. Their paths are read from depth on.
// Fields keep their positions; new ones come last.
func applyChanges(dst, document []byte, changes []change, depth int) ([]byte, error) {
	at, dst := bsoncore.AppendDocumentStart(dst)
	left := slices.Clone(changes)
	for rest := document[4:]; len(rest) > 1; {
		element, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			return nil, fail(codeInvalidBSON, "malformed BSON")
		}
		rest = after
		name := string(element.KeyBytes())
		mine := take(&left, name, depth)
		if len(mine) == 0 {
			dst = append(dst, element...)
			continue
		}
		var err error
		if dst, err = applyValue(dst, name, element.Value(), mine, depth+1); err != nil {
			return nil, err
		}
	}
	for len(left) > 0 {
		name := left[0].path[depth]
		var err error
		if dst, err = applyValue(dst, name, missing, take(&left, name, depth), depth+1); err != nil {
			return nil, err
		}
	}
	return endDocument(dst, at), nil
}

// take removes from changes those whose path has name at depth, and returns them.
func take(changes *[]change, name string, depth int) (taken []change) {
	*changes = slices.DeleteFunc(*changes, func(c change) bool {
		if c.path[depth] != name {
			return false
		}
		taken = append(taken, c)
		return true
	})
	return taken
}

// applyValue appends a value, missing for none, after changes to it or in it.
func applyValue(dst []byte, name string, v bsoncore.Value, changes []change, depth int) ([]byte, error) {
	if c := changes[0]; len(c.path) == depth {
		changed, err := c.of(v)
		if err != nil || isMissing(changed) {
			return dst, err
		}
		return bsoncore.AppendValueElement(dst, name, changed), nil
	}
	switch {
	case v.Type == bsoncore.TypeEmbeddedDocument:
		return applyChanges(bsoncore.AppendHeader(dst, v.Type, name), v.Data, changes, depth)
	case v.Type == bsoncore.TypeArray:
		return applyToArray(bsoncore.AppendHeader(dst, v.Type, name), v.Data, changes, depth)
	case !slices.ContainsFunc(changes, func(c change) bool { return c.operator != "$unset" }):
		if isMissing(v) {
			return dst, nil
		}
		return bsoncore.AppendValueElement(dst, name, v), nil
	case isMissing(v):
		return applyChanges(bsoncore.AppendHeader(dst, bsoncore.TypeEmbeddedDocument, name), emptyDocument, changes, depth)
	}
	return nil, fail(codePathNotViable, "cannot create field '%s' in element {%s: %s}", changes[0].path[depth], name, v)
}

var emptyDocument = []byte{5, 0, 0, 0, 0}

// maxArrayGap bounds the distance beyond its end at which an update can write to an array, as in
// MongoDB.
const maxArrayGap = 1_500_000

// applyToArray is applyChanges for the elements of an array, named by their positions.
func applyToArray(dst, array []byte, changes []change, depth int) ([]byte, error) {
	at, dst := bsoncore.AppendArrayStart(dst)
	left := slices.Clone(changes)
	n := 0
	var err error
	appendElement := func(v bsoncore.Value) {
		name := strconv.Itoa(n)
		n++
		mine := take(&left, name, depth)
		switch {
		case len(mine) == 0 && isMissing(v):
			dst = bsoncore.AppendNullElement(dst, name)
		case len(mine) == 0:
			dst = bsoncore.AppendValueElement(dst, name, v)
		case len(mine[0].path) == depth+1 && mine[0].operator == "$unset":
			dst = bsoncore.AppendNullElement(dst, name) // the others keep their places
		default:
			dst, err = applyValue(dst, name, v, mine, depth+1)
		}
	}
	eachElement(array, func(_ int, e bsoncore.Value) bool {
		appendElement(e)
		return err != nil
	})
	for err == nil && len(left) > 0 {
		c := left[0]
		last, numeric := position(c.path[depth])
		switch {
		case c.operator == "$unset":
			left = left[1:]
		case !numeric:
			return nil, fail(codePathNotViable, "cannot create field '%s' in an array", c.path[depth])
		case last > n+maxArrayGap:
			return nil, fail(codeBadValue, "the position %d is too far beyond the end of an array of %d", last, n)
		default:
			for err == nil && n <= last {
				appendElement(missing)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return endDocument(dst, at), nil
}

// of returns a value after c; missing if c removes it.
func (c change) of(v bsoncore.Value) (bsoncore.Value, error) {
	switch c.operator {
	case "$unset":
		return missing, nil
	case "$inc":
		return increment(c.path, v, c.value)
	case "$max":
		if !isMissing(v) && bytes.Compare(appendKey(nil, v), appendKey(nil, c.value)) >= 0 {
			return v, nil
		}
	}
	return c.value, nil
}

// increment adds two numbers. Integers stay integers: an int32 that overflows becomes an int64; an
// overflowing int64 is an error.
func increment(p path, v, by bsoncore.Value) (bsoncore.Value, error) {
	if isMissing(v) {
		return by, nil
	}
	near, number := v.AsFloat64OK()
	if !number {
		return missing, fail(codeTypeMismatch, "cannot apply $inc to a value of non-numeric type: the field '%s' is of type %s", p, typeName(v))
	}
	if v.Type == bsoncore.TypeDouble || by.Type == bsoncore.TypeDouble {
		add, _ := by.AsFloat64OK()
		return bsoncore.Value{Type: bsoncore.TypeDouble, Data: bsoncore.AppendDouble(nil, near+add)}, nil
	}
	a, b := v.AsInt64(), by.AsInt64()
	sum := a + b
	switch {
	case (sum > a) != (b > 0) && b != 0:
		return missing, fail(codeBadValue, "failed to apply $inc to the field '%s': the sum is no int64", p)
	case v.Type == bsoncore.TypeInt32 && by.Type == bsoncore.TypeInt32 && sum >= math.MinInt32 && sum <= math.MaxInt32:
		return bsoncore.Value{Type: bsoncore.TypeInt32, Data: bsoncore.AppendInt32(nil, int32(sum))}, nil
	}
	return bsoncore.Value{Type: bsoncore.TypeInt64, Data: bsoncore.AppendInt64(nil, sum)}, nil
}

// insertion returns the document that an upsert inserts: the values that f requires of fields,
// changed by u.
func (u *update) insertion(f *filter) ([]byte, error) {
	seed := &update{}
	var id bsoncore.Value
	hasID := false
	for _, t := range f.demanded() {
		if t.path[0] == "_id" && len(t.path) == 1 {
			id, hasID = t.points[0], true
		}
		seed.changes = append(seed.changes, change{t.path, "$set", t.points[0]})
	}
	if u.replacement != nil {
		seed, err := withID(emptyDocument, id, hasID)
		if err != nil {
			return nil, err
		}
		return u.apply(seed)
	}
	slices.SortStableFunc(seed.changes, func(a, b change) int { return slices.CompareFunc(a.path, b.path, compareNames) })
	for i := 1; i < len(seed.changes); i++ {
		if seed.changes[i-1].path.overlaps(seed.changes[i].path) {
			return nil, fail(54, "cannot infer query fields to set, path '%s' is matched twice", seed.changes[i].path)
		}
	}
	document, err := applyChanges(nil, emptyDocument, seed.changes, 0)
	if err != nil {
		return nil, err
	}
	if document, err = u.apply(document); err != nil {
		return nil, err
	}
	return withID(document, missing, false)
}

// demanded returns f's tests that require one value of a field, also those in $and and in an $or of
// one part.
func (f *filter) demanded() []*test {
	var out []*test
	for i := range f.tests {
		if t := &f.tests[i]; !t.not && len(t.points) == 1 {
			out = append(out, t)
		}
	}
	for _, anyOf := range f.anyOf {
		if len(anyOf) == 1 {
			out = append(out, anyOf[0].demanded()...)
		}
	}
	return out
}
