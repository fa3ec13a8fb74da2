//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file computes the keys of documents in an index. Entry points: parseIndex, index.keys.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// index is an index in the catalog. It is immutable: a change makes another one.
type index struct {
	id     int64
	name   string
	fields []indexField
	unique bool
	sparse bool // documents that lack all fields aren't in it

	// many has a bit for each field that is, or was, an array in some document.
	many uint64
}

type indexField struct {
	path       path
	descending bool
}

// maxIndexFields is the number of fields that an index may have, as in MongoDB.
const maxIndexFields = 32

// idIndex is the index on _id of every collection: a column of its documents.
var idIndex = &index{name: "_id_", fields: []indexField{{path: path{"_id"}}}, unique: true}

// appendRID appends a row's number, eight bytes, to a key.
func appendRID(dst []byte, rid int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(rid)) }

// keys returns the keys of the document in row rid, sorted and each once, and the fields with
// arrays in it. A key is the fields' values one after another, those of descending fields inverted,
// and, unless ix is unique, the row's number.
func (ix *index) keys(document []byte, rid int64) (keys [][]byte, many uint64, err error) {
	combinations, many, err := entries(document, ix.paths())
	if err != nil {
		return nil, 0, err
	}
	for _, values := range combinations {
		lacking := 0
		var key []byte
		for i, v := range values {
			at := len(key)
			key = appendKey(key, v)
			if ix.fields[i].descending {
				invert(key[at:])
			}
			if isMissing(v) {
				lacking++
			}
		}
		if !ix.sparse || lacking < len(values) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	if !ix.unique {
		for i := range keys {
			keys[i] = appendRID(keys[i], rid)
		}
	}
	return keys, many, nil
}

func (ix *index) paths() []path {
	paths := make([]path, len(ix.fields))
	for i, f := range ix.fields {
		paths[i] = f.path
	}
	return paths
}

// pattern is the index's fields in MongoDB's form.
func (ix *index) pattern() []byte {
	at, b := bsoncore.AppendDocumentStart(nil)
	for _, f := range ix.fields {
		direction := int32(1)
		if f.descending {
			direction = -1
		}
		b = bsoncore.AppendInt32Element(b, f.path.String(), direction)
	}
	return endDocument(b, at)
}

// specification is the document that describes the index in listIndexes and in the catalog.
func (ix *index) specification() []byte {
	at, b := bsoncore.AppendDocumentStart(nil)
	b = bsoncore.AppendInt32Element(b, "v", 2)
	b = bsoncore.AppendDocumentElement(b, "key", ix.pattern())
	b = bsoncore.AppendStringElement(b, "name", ix.name)
	if ix.unique && ix != idIndex {
		b = bsoncore.AppendBooleanElement(b, "unique", true)
	}
	if ix.sparse {
		b = bsoncore.AppendBooleanElement(b, "sparse", true)
	}
	return endDocument(b, at)
}

// sameFields reports whether ix and other have the same fields in the same order.
func (ix *index) sameFields(other *index) bool { return bytes.Equal(ix.pattern(), other.pattern()) }

// parseIndex reads the specification of an index in the form of createIndexes.
func parseIndex(document []byte) (*index, error) {
	ix := &index{}
	err := eachField(document, func(name string, v bsoncore.Value) error {
		switch name {
		case "v", "ns", "background":
		case "key":
			keys, ok := v.DocumentOK()
			if !ok {
				return fail(codeTypeMismatch, "the field 'key' must be an object, but got %s", typeName(v))
			}
			return eachField(keys, func(name string, v bsoncore.Value) error {
				direction, ok := v.AsFloat64OK()
				if !ok || direction == 0 {
					return fail(codeCannotCreateIndex, "the embedded database has ascending and descending indexes only: %q must be a number that isn't 0", name)
				}
				p, err := parsePath(name)
				if err != nil {
					return err
				}
				if slices.ContainsFunc(p, func(part string) bool { _, numeric := position(part); return numeric }) {
					return fail(codeCannotCreateIndex, "the embedded database has no indexes on positions in arrays: %q", name)
				}
				if slices.ContainsFunc(ix.fields, func(f indexField) bool { return slices.Equal(f.path, p) }) {
					return fail(codeBadValue, "the index has the field %q twice", name)
				}
				ix.fields = append(ix.fields, indexField{p, direction < 0})
				return nil
			})
		case "name":
			text, ok := v.StringValueOK()
			if !ok || text == "" {
				return fail(codeTypeMismatch, "the field 'name' must be a string that isn't empty")
			}
			ix.name = text
		case "unique":
			ix.unique = truth(v)
		case "sparse":
			ix.sparse = truth(v)
		default:
			return fail(codeInvalidOptions, "the embedded database has no index option %q", name)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(ix.fields) == 0:
		return nil, fail(codeCannotCreateIndex, "an index needs at least one field in 'key'")
	case len(ix.fields) > maxIndexFields:
		return nil, fail(codeCannotCreateIndex, "an index has at most %d fields", maxIndexFields)
	case ix.name == "":
		return nil, fail(codeFailedToParse, "the 'name' field is a required property of an index specification")
	}
	return ix, nil
}

// duplicate is the error of a document whose key in ix belongs to another document already.
func (ix *index) duplicate(namespace string, document []byte) *commandError {
	at, values := bsoncore.AppendDocumentStart(nil)
	var shown []string
	combinations, _, _ := entries(document, ix.paths())
	for i, f := range ix.fields {
		v := combinations[0][i]
		if isMissing(v) {
			v = bsoncore.Value{Type: bsoncore.TypeNull}
		}
		values = bsoncore.AppendValueElement(values, f.path.String(), v)
		shown = append(shown, fmt.Sprintf("%s: %s", f.path, v))
	}
	values = endDocument(values, at)
	e := fail(codeDuplicateKey, "E11000 duplicate key error collection: %s index: %s dup key: { %s }", namespace, ix.name, strings.Join(shown, ", "))
	e.detail = bsoncore.AppendDocumentElement(nil, "keyPattern", ix.pattern())
	e.detail = bsoncore.AppendDocumentElement(e.detail, "keyValue", values)
	return e
}
