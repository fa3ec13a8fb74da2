//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file holds the catalog of collections and indexes, and changes it. Entry points: catalog,
// and the methods of transaction that begin with create, drop and note.

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// catalog is every collection of every database at one moment. It isn't changed: the writer
// makes another one.
type catalog struct {
	collections map[namespace]*collection
}

type namespace struct{ database, collection string }

func (n namespace) String() string { return n.database + "." + n.collection }

// collection is a collection in the catalog. Its documents are in a table of rows with a number
// (rid), the encoded _id (id) and the BSON (doc). The keys of each index but that on _id are in a
// table of their own, each with the row number of its document.
type collection struct {
	namespace
	id      int64
	indexes []*index // without idIndex
}

// table is the SQL name of the collection's documents.
func (c *collection) table() string { return fmt.Sprintf("d%d", c.id) }

// table is the SQL name of the index's keys.
func (ix *index) table() string { return fmt.Sprintf("x%d", ix.id) }

// index returns the index with a name.
func (c *collection) index(name string) *index {
	if name == idIndex.name {
		return idIndex
	}
	for _, ix := range c.indexes {
		if ix.name == name {
			return ix
		}
	}
	return nil
}

// with returns a copy of the catalog with c for its namespace; nil for none.
func (old *catalog) with(n namespace, c *collection) *catalog {
	collections := maps.Clone(old.collections)
	if c == nil {
		delete(collections, n)
	} else {
		collections[n] = c
	}
	return &catalog{collections}
}

// of returns the collections of a database, by name.
func (old *catalog) of(database string) []*collection {
	var found []*collection
	for n, c := range old.collections {
		if n.database == database {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *collection) int { return strings.Compare(a.collection, b.collection) })
	return found
}

// schema makes the tables of the catalog. Their version is in user_version.
const schema = `
CREATE TABLE collections (
	id INTEGER PRIMARY KEY,
	database TEXT NOT NULL,
	name TEXT NOT NULL,
	UNIQUE (database, name)
);
CREATE TABLE indexes (
	id INTEGER PRIMARY KEY,
	collection INTEGER NOT NULL REFERENCES collections (id),
	specification BLOB NOT NULL,
	many INTEGER NOT NULL
);`

// schemaVersion is the version of the tables and of the keys in them. A file of another
// version isn't opened.
const schemaVersion = 1

// loadCatalog reads the catalog that a session sees.
func (s *session) loadCatalog() (*catalog, error) {
	out := &catalog{map[namespace]*collection{}}
	byID := map[int64]*collection{}
	err := s.each("SELECT id, database, name FROM collections", nil, func(scan func(...any) error) error {
		c := &collection{}
		if err := scan(&c.id, &c.database, &c.namespace.collection); err != nil {
			return err
		}
		byID[c.id], out.collections[c.namespace] = c, c
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.each("SELECT id, collection, specification, many FROM indexes ORDER BY id", nil, func(scan func(...any) error) error {
		var id, of, many int64
		var specification []byte
		if err := scan(&id, &of, &specification, &many); err != nil {
			return err
		}
		c := byID[of]
		if c == nil {
			return fmt.Errorf("index %d is of collection %d, and there is no such collection", id, of)
		}
		ix, err := parseIndex(specification)
		if err != nil {
			return fmt.Errorf("index %d: %w", id, err)
		}
		ix.id, ix.many = id, uint64(many)
		c.indexes = append(c.indexes, ix)
		return nil
	})
	return out, err
}

// createCollection returns the collection n, and makes it if it is missing.
func (t *transaction) createCollection(n namespace) (*collection, error) {
	if c := t.catalog.collections[n]; c != nil {
		return c, nil
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	result, err := t.exec("INSERT INTO collections (database, name) VALUES (?, ?)", n.database, n.collection)
	if err != nil {
		return nil, err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return nil, err
	}
	c := &collection{namespace: n, id: id}
	if _, err := t.exec("CREATE TABLE " + c.table() + " (rid INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, doc BLOB NOT NULL)"); err != nil {
		return nil, err
	}
	t.catalog = t.catalog.with(n, c)
	return c, nil
}

// maxNamespace is the longest name of a database and a collection together, in bytes, as in
// MongoDB.
const maxNamespace = 255

func (n namespace) check() error {
	switch {
	case n.database == "" || len(n.database) > 63 || strings.ContainsAny(n.database, "/\\. \"$*<>:|?\x00"):
		return fail(codeInvalidNamespace, "invalid database name: %q", n.database)
	case n.collection == "" || strings.ContainsAny(n.collection, "$\x00") || n.collection[0] == '.' || strings.HasPrefix(n.collection, "system."):
		return fail(codeInvalidNamespace, "invalid collection name: %q", n.collection)
	case len(n.String()) > maxNamespace:
		return fail(codeInvalidNamespace, "the namespace %s is longer than %d bytes", n, maxNamespace)
	}
	return nil
}

// createIndex makes an index on c, and returns c with it. It returns c itself if that has the index
// already.
func (t *transaction) createIndex(c *collection, ix *index) (*collection, error) {
	for _, there := range append([]*index{idIndex}, c.indexes...) {
		same := there.sameFields(ix)
		switch {
		case same && there == idIndex:
			return c, nil
		case same && there.name == ix.name && there.unique == ix.unique && there.sparse == ix.sparse:
			return c, nil
		case same && there.name == ix.name:
			return nil, fail(codeKeySpecsConflict, "an index with the name %s exists with other options", ix.name)
		case same && there.unique == ix.unique && there.sparse == ix.sparse:
			return nil, fail(codeOptionsConflict, "index already exists with a different name: %s", there.name)
		case there.name == ix.name:
			return nil, fail(codeKeySpecsConflict, "an index with the name %s exists on other fields", ix.name)
		}
	}
	result, err := t.exec("INSERT INTO indexes (collection, specification, many) VALUES (?, ?, 0)", c.id, ix.specification())
	if err != nil {
		return nil, err
	}
	if ix.id, err = result.LastInsertId(); err != nil {
		return nil, err
	}
	if _, err := t.exec("CREATE TABLE " + ix.table() + " (k BLOB PRIMARY KEY, rid INTEGER NOT NULL) WITHOUT ROWID"); err != nil {
		return nil, err
	}
	changed := *c
	changed.indexes = append(slices.Clone(c.indexes), ix)
	t.catalog = t.catalog.with(c.namespace, &changed)
	return t.fillIndex(&changed, ix)
}

// fillIndex gives ix the keys of the existing documents.
func (t *transaction) fillIndex(c *collection, ix *index) (*collection, error) {
	scan := newScan(t.session, c, nil)
	for {
		e, ok, err := scan.next()
		if err != nil || !ok {
			return c, err
		}
		keys, many, err := ix.keys(e.document, e.rid)
		if err != nil {
			return nil, err
		}
		if c, err = t.noteMany(c, ix.name, many); err != nil {
			return nil, err
		}
		for _, key := range keys {
			if ix.unique {
				taken, err := t.holder(ix.table(), "k", key)
				if err != nil {
					return nil, err
				}
				if taken != 0 {
					return nil, ix.duplicate(c.String(), e.document)
				}
			}
			if _, err := t.exec("INSERT INTO "+ix.table()+" (k, rid) VALUES (?, ?)", key, e.rid); err != nil {
				return nil, err
			}
		}
	}
}

// noteMany records that fields of an index have held arrays, and returns c as it is then.
func (t *transaction) noteMany(c *collection, name string, many uint64) (*collection, error) {
	at := slices.IndexFunc(c.indexes, func(ix *index) bool { return ix.name == name })
	if old := c.indexes[at]; old.many|many != old.many {
		ix := *old
		ix.many |= many
		if _, err := t.exec("UPDATE indexes SET many = ? WHERE id = ?", int64(ix.many), ix.id); err != nil {
			return nil, err
		}
		changed := *c
		changed.indexes = slices.Clone(c.indexes)
		changed.indexes[at] = &ix
		t.catalog = t.catalog.with(c.namespace, &changed)
		return &changed, nil
	}
	return c, nil
}

// dropIndex removes an index of c, and returns c as it is then.
func (t *transaction) dropIndex(c *collection, ix *index) (*collection, error) {
	if _, err := t.exec("DELETE FROM indexes WHERE id = ?", ix.id); err != nil {
		return nil, err
	}
	if _, err := t.exec("DROP TABLE " + ix.table()); err != nil {
		return nil, err
	}
	changed := *c
	changed.indexes = slices.DeleteFunc(slices.Clone(c.indexes), func(other *index) bool { return other == ix })
	t.catalog = t.catalog.with(c.namespace, &changed)
	return &changed, nil
}

// dropCollection removes c with its documents and indexes.
func (t *transaction) dropCollection(c *collection) error {
	for _, ix := range c.indexes {
		var err error
		if c, err = t.dropIndex(c, ix); err != nil {
			return err
		}
	}
	if _, err := t.exec("DELETE FROM collections WHERE id = ?", c.id); err != nil {
		return err
	}
	if _, err := t.exec("DROP TABLE " + c.table()); err != nil {
		return err
	}
	t.catalog = t.catalog.with(c.namespace, nil)
	return nil
}
