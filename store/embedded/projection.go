//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reduces documents to the fields of a projection. Entry points: parseProjection,
// projection.apply.

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// projection is a tree of the fields to include or to exclude. A nil one includes everything.
type projection struct {
	fields    map[string]*projection // a nil value is a whole field
	inclusive bool                   // fields are included, else excluded
}

// parseProjection reads a projection; nil for an empty one.
func parseProjection(document []byte) (*projection, error) {
	p := &projection{fields: map[string]*projection{}}
	id, decided := true, false
	err := eachField(document, func(name string, v bsoncore.Value) error {
		if v.Type == bsoncore.TypeEmbeddedDocument || v.Type == bsoncore.TypeString || v.Type == bsoncore.TypeArray {
			return fail(codeBadValue, "the embedded database has projections by 0 and 1 only: field %q", name)
		}
		include := truth(v)
		if name == "_id" {
			id = include
			return nil
		}
		if decided && include != p.inclusive {
			return fail(31254, "cannot do exclusion on field %s in inclusion projection, nor the reverse", name)
		}
		p.inclusive, decided = include, true
		path, err := parsePath(name)
		if err != nil {
			return err
		}
		at := p
		for i, part := range path {
			next, there := at.fields[part]
			if there && (next == nil || i == len(path)-1) {
				return fail(31249, "path collision at %s", name)
			}
			if i == len(path)-1 {
				at.fields[part] = nil
				break
			}
			if next == nil {
				next = &projection{fields: map[string]*projection{}, inclusive: include}
				at.fields[part] = next
			}
			at = next
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	switch {
	case !decided && !id:
		p.fields["_id"] = nil
	case !decided && fieldCount(document) == 0:
		return nil, nil
	case !decided:
		p.inclusive = true
		p.fields["_id"] = nil
	case p.inclusive == id:
		p.fields["_id"] = nil
	}
	return p, nil
}

func fieldCount(document []byte) (n int) {
	_ = eachField(document, func(string, bsoncore.Value) error { n++; return nil })
	return n
}

// append appends document to dst, reduced by p.
func (p *projection) append(dst, document []byte) []byte {
	if p == nil {
		return append(dst, document...)
	}
	at, dst := bsoncore.AppendDocumentStart(dst)
	for rest := document[4:]; len(rest) > 1; {
		element, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			break
		}
		rest = after
		dst = p.appendElement(dst, element)
	}
	return endDocument(dst, at)
}

func (p *projection) appendElement(dst []byte, element bsoncore.Element) []byte {
	within, named := p.fields[string(element.KeyBytes())]
	value := element.Value()
	switch {
	case !named && !p.inclusive, named && within == nil && p.inclusive:
		return append(dst, element...)
	case !named, within == nil:
		return dst
	case value.Type == bsoncore.TypeEmbeddedDocument:
		dst = bsoncore.AppendHeader(dst, value.Type, element.Key())
		return within.append(dst, value.Data)
	case value.Type == bsoncore.TypeArray:
		dst = bsoncore.AppendHeader(dst, value.Type, element.Key())
		return within.appendArray(dst, value.Data)
	case p.inclusive: // a field in a value without fields
		return dst
	}
	return append(dst, element...)
}

// appendArray reduces the documents in an array by p, and appends the array. Other elements stay if
// p excludes fields.
func (p *projection) appendArray(dst, array []byte) []byte {
	at, dst := bsoncore.AppendArrayStart(dst)
	n := 0
	eachElement(array, func(_ int, e bsoncore.Value) bool {
		switch {
		case e.Type == bsoncore.TypeEmbeddedDocument:
			dst = p.append(bsoncore.AppendHeader(dst, e.Type, strconv.Itoa(n)), e.Data)
		case e.Type == bsoncore.TypeArray:
			dst = p.appendArray(bsoncore.AppendHeader(dst, e.Type, strconv.Itoa(n)), e.Data)
		case p.inclusive:
			return false
		default:
			dst = bsoncore.AppendValueElement(dst, strconv.Itoa(n), e)
		}
		n++
		return false
	})
	return endDocument(dst, at)
}
