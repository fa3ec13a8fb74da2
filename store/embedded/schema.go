//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file runs the commands about collections and indexes. Entry points: the methods of Server.

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

func (s *Server) createIndexes(ctx context.Context, req *request) ([]byte, error) {
	n, err := req.namespace()
	if err != nil {
		return nil, err
	}
	var specifications [][]byte
	err = req.fields(func(name string, v bsoncore.Value) error {
		switch name {
		case "indexes":
			return readDocuments(name, v, &specifications)
		case "commitQuorum", "ignoreUnknownIndexOptions":
			return nil
		}
		return req.unknown(name)
	})
	if err != nil {
		return nil, err
	}
	if len(specifications) == 0 {
		return nil, fail(codeBadValue, "must specify at least one index to create")
	}
	var wanted []*index
	for _, d := range specifications {
		ix, err := parseIndex(d)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, ix)
	}
	var created bool
	var before, after int
	err = s.write(ctx, func(t *transaction) error {
		created = t.catalog.collections[n] == nil
		c, err := t.createCollection(n)
		if err != nil {
			return err
		}
		before = 1 + len(c.indexes)
		for _, ix := range wanted {
			fresh := *ix
			if c, err = t.createIndex(c, &fresh); err != nil {
				return err
			}
		}
		after = 1 + len(c.indexes)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done(func(b []byte) []byte {
		b = bsoncore.AppendInt32Element(b, "numIndexesBefore", int32(before))
		b = bsoncore.AppendInt32Element(b, "numIndexesAfter", int32(after))
		if before == after {
			b = bsoncore.AppendStringElement(b, "note", "all indexes already exist")
		}
		return bsoncore.AppendBooleanElement(b, "createdCollectionAutomatically", created)
	}), nil
}

func missingNamespace(n namespace) error { return fail(26, "ns does not exist: %s", n) }

func (s *Server) listIndexes(ctx context.Context, req *request) ([]byte, error) {
	n, err := req.namespace()
	if err != nil {
		return nil, err
	}
	size, err := req.cursorOption()
	if err != nil {
		return nil, err
	}
	c := s.storage.catalog.Load().collections[n]
	if c == nil {
		return nil, missingNamespace(n)
	}
	specifications := [][]byte{idIndex.specification()}
	for _, ix := range c.indexes {
		specifications = append(specifications, ix.specification())
	}
	return s.listed(ctx, req, namespace{n.database, n.collection}, specifications, size)
}

// cursorOption reads the batch size of a command whose only option is a cursor.
func (req *request) cursorOption() (size int64, err error) {
	size = defaultBatch
	err = req.fields(func(name string, v bsoncore.Value) error {
		if name == "cursor" {
			return readCursor(v, &size)
		}
		return req.unknown(name)
	})
	return size, err
}

func (s *Server) dropIndexes(ctx context.Context, req *request) ([]byte, error) {
	n, err := req.namespace()
	if err != nil {
		return nil, err
	}
	var which bsoncore.Value
	err = req.fields(func(name string, v bsoncore.Value) error {
		if name != "index" {
			return req.unknown(name)
		}
		which = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	var before int
	err = s.write(ctx, func(t *transaction) error {
		c := t.catalog.collections[n]
		if c == nil {
			return missingNamespace(n)
		}
		before = 1 + len(c.indexes)
		text, _ := which.StringValueOK()
		var drop []*index
		switch {
		case text == "*":
			drop = c.indexes
		case text == idIndex.name:
			return fail(codeInvalidOptions, "cannot drop _id index")
		case which.Type == bsoncore.TypeEmbeddedDocument:
			for _, ix := range c.indexes {
				if slices.Equal(ix.pattern(), which.Data) {
					drop = append(drop, ix)
				}
			}
		default:
			if ix := c.index(text); ix != nil {
				drop = append(drop, ix)
			}
		}
		if len(drop) == 0 && text != "*" {
			return fail(codeIndexNotFound, "index not found with name [%s]", text)
		}
		for _, ix := range drop {
			if c, err = t.dropIndex(c, ix); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done(func(b []byte) []byte { return bsoncore.AppendInt32Element(b, "nIndexesWas", int32(before)) }), nil
}

func (s *Server) drop(ctx context.Context, req *request) ([]byte, error) {
	n, err := req.namespace()
	if err == nil {
		err = req.fields(req.none)
	}
	if err != nil {
		return nil, err
	}
	indexes := 0
	err = s.write(ctx, func(t *transaction) error {
		c := t.catalog.collections[n]
		if c == nil {
			return nil // as MongoDB has it since 7.0
		}
		indexes = 1 + len(c.indexes)
		return t.dropCollection(c)
	})
	if err != nil {
		return nil, err
	}
	return done(func(b []byte) []byte {
		if indexes == 0 {
			return b
		}
		b = bsoncore.AppendInt32Element(b, "nIndexesWas", int32(indexes))
		return bsoncore.AppendStringElement(b, "ns", n.String())
	}), nil
}

func (s *Server) dropDatabase(ctx context.Context, req *request) ([]byte, error) {
	if err := req.fields(req.none); err != nil {
		return nil, err
	}
	err := s.write(ctx, func(t *transaction) error {
		for _, c := range t.catalog.of(req.database) {
			if err := t.dropCollection(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done(func(b []byte) []byte { return bsoncore.AppendStringElement(b, "dropped", req.database) }), nil
}

func (s *Server) listCollections(ctx context.Context, req *request) ([]byte, error) {
	size, namesOnly := int64(defaultBatch), false
	var f filter
	err := req.fields(func(name string, v bsoncore.Value) error {
		switch name {
		case "cursor":
			return readCursor(v, &size)
		case "nameOnly":
			return readBool(name, v, &namesOnly)
		case "authorizedCollections":
			return nil
		case "filter":
			return readFilter(name, v, &f)
		}
		return req.unknown(name)
	})
	if err != nil {
		return nil, err
	}
	var found [][]byte
	var scratch []byte
	for _, c := range s.storage.catalog.Load().of(req.database) {
		at, b := bsoncore.AppendDocumentStart(nil)
		b = bsoncore.AppendStringElement(b, "name", c.namespace.collection)
		b = bsoncore.AppendStringElement(b, "type", "collection")
		if !namesOnly {
			b = bsoncore.AppendDocumentElement(b, "options", emptyDocument)
			b = bsoncore.AppendDocumentElement(b, "info", endDocument(bsoncore.AppendBooleanElement([]byte{0, 0, 0, 0}, "readOnly", false), 0))
			b = bsoncore.AppendDocumentElement(b, "idIndex", idIndex.specification())
		}
		if b = endDocument(b, at); f.matches(b, &scratch) {
			found = append(found, b)
		}
	}
	return s.listed(ctx, req, namespace{req.database, "$cmd.listCollections"}, found, size)
}

func (s *Server) listDatabases(_ context.Context, req *request) ([]byte, error) {
	namesOnly := false
	var f filter
	err := req.fields(func(name string, v bsoncore.Value) error {
		switch name {
		case "nameOnly":
			return readBool(name, v, &namesOnly)
		case "authorizedDatabases":
			return nil
		case "filter":
			return readFilter(name, v, &f)
		}
		return req.unknown(name)
	})
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for n := range s.storage.catalog.Load().collections {
		names[n.database] = true
	}
	return done(func(b []byte) []byte {
		at, b := bsoncore.AppendArrayElementStart(b, "databases")
		var scratch []byte
		n := 0
		for _, name := range slices.Sorted(maps.Keys(names)) {
			start, d := bsoncore.AppendDocumentStart(nil)
			d = bsoncore.AppendStringElement(d, "name", name)
			if !namesOnly {
				d = bsoncore.AppendInt64Element(d, "sizeOnDisk", 0) // all databases share a file
				d = bsoncore.AppendBooleanElement(d, "empty", false)
			}
			if d = endDocument(d, start); f.matches(d, &scratch) {
				b = bsoncore.AppendDocumentElement(b, fmt.Sprint(n), d)
				n++
			}
		}
		b = endDocument(b, at)
		if !namesOnly {
			b = bsoncore.AppendInt64Element(b, "totalSize", 0)
		}
		return b
	}), nil
}
