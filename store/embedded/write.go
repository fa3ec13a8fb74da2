//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file stores documents with their keys in all indexes. Everything here runs in a write's
// turn, and checks for all refusals before it changes anything, so that a refused document leaves
// nothing behind. Entry points: transaction.insert, replace, remove.

import (
	"bytes"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// maxDocument is the size limit of a document, in bytes, as in MongoDB.
const maxDocument = 16 << 20

func tooLarge(size int) error {
	return fail(codeTooLarge, "object to insert too large: %d bytes, at most %d", size, maxDocument)
}

// prepareInsert returns document in the form to store: its _id in front, made if it has none.
func prepareInsert(document []byte) ([]byte, error) {
	id, ok := field(document, "_id")
	if !ok {
		made := bson.NewObjectID()
		id = bsoncore.Value{Type: bsoncore.TypeObjectID, Data: made[:]}
	}
	switch id.Type {
	case bsoncore.TypeArray, bsoncore.TypeUndefined:
		return nil, fail(53, "the '_id' value cannot be of type %s", typeName(id))
	}
	if element, _, _ := bsoncore.ReadElement(document[4:]); !ok || !element.CompareKey([]byte("_id")) {
		var err error
		if document, err = withID(document, id, true); err != nil {
			return nil, err
		}
	}
	if len(document) > maxDocument {
		return nil, tooLarge(len(document))
	}
	return document, nil
}

// insert stores a document that prepareInsert returned. It returns the collection as it is then,
// and DuplicateKey if another document has one of its unique keys.
func (t *transaction) insert(c *collection, document []byte) (*collection, error) {
	id, _ := field(document, "_id")
	key := appendKey(nil, id)
	rid, err := t.holder(c.table(), "id", key)
	if err != nil {
		return c, err
	}
	if rid != 0 {
		return c, idIndex.duplicate(c.String(), document)
	}
	if err := t.checkUnique(c, document, 0); err != nil {
		return c, err
	}
	result, err := t.exec("INSERT INTO "+c.table()+" (id, doc) VALUES (?, ?)", key, document)
	if err != nil {
		return c, err
	}
	if rid, err = result.LastInsertId(); err != nil {
		return c, err
	}
	return t.changeKeys(c, rid, nil, document)
}

// replace puts changed in the place of document, which has row rid.
func (t *transaction) replace(c *collection, rid int64, document, changed []byte) (*collection, error) {
	if err := t.checkUnique(c, changed, rid); err != nil {
		return c, err
	}
	if _, err := t.exec("UPDATE "+c.table()+" SET doc = ? WHERE rid = ?", changed, rid); err != nil {
		return c, err
	}
	return t.changeKeys(c, rid, document, changed)
}

// remove deletes document, which has row rid.
func (t *transaction) remove(c *collection, rid int64, document []byte) (*collection, error) {
	if _, err := t.exec("DELETE FROM "+c.table()+" WHERE rid = ?", rid); err != nil {
		return c, err
	}
	return t.changeKeys(c, rid, document, nil)
}

// checkUnique returns an error if document can't be indexed, or if another row than rid has one of
// its keys in a unique index.
func (t *transaction) checkUnique(c *collection, document []byte, rid int64) error {
	for _, ix := range c.indexes {
		if !ix.unique && len(ix.fields) == 1 {
			continue
		}
		keys, _, err := ix.keys(document, rid)
		if err != nil {
			return err
		}
		if !ix.unique {
			continue
		}
		for _, key := range keys {
			holder, err := t.holder(ix.table(), "k", key)
			if err != nil {
				return err
			}
			if holder != 0 && holder != rid {
				return ix.duplicate(c.String(), document)
			}
		}
	}
	return nil
}

// changeKeys replaces the keys of the document in row rid by those of changed; nil stands for no
// document.
func (t *transaction) changeKeys(c *collection, rid int64, document, changed []byte) (*collection, error) {
	for _, ix := range c.indexes {
		var gone, come [][]byte
		var many uint64
		var err error
		if document != nil {
			if gone, _, err = ix.keys(document, rid); err != nil {
				return c, err
			}
		}
		if changed != nil {
			if come, many, err = ix.keys(changed, rid); err != nil {
				return c, err
			}
			if c, err = t.noteMany(c, ix.name, many); err != nil {
				return c, err
			}
		}
		for _, key := range gone {
			if _, stays := slices.BinarySearchFunc(come, key, bytes.Compare); !stays {
				if _, err := t.exec("DELETE FROM "+ix.table()+" WHERE k = ?", key); err != nil {
					return c, err
				}
			}
		}
		for _, key := range come {
			if _, there := slices.BinarySearchFunc(gone, key, bytes.Compare); !there {
				if _, err := t.exec("INSERT INTO "+ix.table()+" (k, rid) VALUES (?, ?)", key, rid); err != nil {
					return c, err
				}
			}
		}
	}
	return c, nil
}
