//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reads the SQLite files of FerretDB v1, the embedded database before
// documents.v2.sqlite. Each MongoDB database is a file. In it each collection is a table with a
// document as SJSON in each row, and one more table lists the collections. Entry points:
// ferretFiles, openFerret.

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// FerretDB's names, from its packages internal/backends and internal/backends/sqlite/metadata.
const (
	ferretSuffix      = ".sqlite"
	ferretCollections = "_ferretdb_collections"
	ferretDocument    = "_ferretdb_sjson"
	ferretIDIndex     = "_id_"
)

// ferretFiles returns the databases that have files of FerretDB in dir. FerretDB's names of
// databases have no dot in them.
func ferretFiles(dir string) (databases []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if name, ok := strings.CutSuffix(file.Name(), ferretSuffix); ok && !strings.Contains(name, ".") {
			databases = append(databases, name)
		}
	}
	return databases, nil
}

// ferretFile is a file of FerretDB, read as of one moment.
type ferretFile struct {
	db          *sql.DB
	tx          *sql.Tx
	collections []ferretCollection
}

type ferretCollection struct {
	name    string
	table   string   // its name in SQLite
	indexes [][]byte // in the form of listIndexes, without that on _id
}

// openFerret opens the file of a database in dir. It changes nothing in it, and ignores collections
// and indexes that a killed process left unfinished.
func openFerret(ctx context.Context, dir, database string) (*ferretFile, error) {
	path := filepath.Join(dir, database+ferretSuffix)
	mode := "ro"
	if _, err := os.Stat(path + "-journal"); err == nil {
		mode = "rw" // a process was killed while it made the file: SQLite has to undo that first
	}
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=" + mode + "&_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	f := &ferretFile{db: db}
	if f.tx, err = db.BeginTx(ctx, nil); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := f.list(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *ferretFile) close() error {
	err := f.tx.Rollback()
	if errors.Is(err, sql.ErrTxDone) { // its context has ended
		err = nil
	}
	return errors.Join(err, f.db.Close())
}

// list reads the list of collections.
func (f *ferretFile) list(ctx context.Context) error {
	names, err := f.column(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil || len(names) == 0 { // a process was killed before it made the table
		return err
	}
	if !slices.Contains(names, ferretCollections) {
		return fmt.Errorf("it has tables, and no list of them in %s: not made by FerretDB", ferretCollections)
	}
	rows, err := f.tx.QueryContext(ctx, `SELECT name, table_name, settings FROM `+ferretCollections+` ORDER BY name`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, table string
		var settings []byte
		if err := rows.Scan(&name, &table, &settings); err != nil {
			return err
		}
		c, ok, err := f.collection(ctx, name, table, settings)
		if err != nil {
			return fmt.Errorf("collection %s: %w", name, err)
		}
		if ok {
			f.collections = append(f.collections, c)
		}
	}
	return rows.Err()
}

// collection reads a collection's record; ok is false for a collection that was being made, and so
// was still empty.
func (f *ferretFile) collection(ctx context.Context, name, table string, settings []byte) (c ferretCollection, ok bool, err error) {
	var record struct {
		Indexes []struct {
			Name   string
			Unique bool
			Key    []struct {
				Field      string
				Descending bool
			}
		}
	}
	if err := json.Unmarshal(settings, &record); err != nil {
		return c, false, fmt.Errorf("read its record: %w", err)
	}
	c = ferretCollection{name: name, table: ferretName(table)}
	there, err := f.column(ctx, `SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?`, c.table)
	if err != nil {
		return c, false, err
	}
	for _, i := range record.Indexes {
		switch {
		case i.Name == ferretIDIndex:
			ok = true
			continue
		case !slices.Contains(there, ferretName(table+"_"+i.Name)):
			continue // it was being dropped
		}
		at, index := bsoncore.AppendDocumentStart(nil)
		index = bsoncore.AppendInt32Element(index, "v", 2)
		keys, index := bsoncore.AppendDocumentElementStart(index, "key")
		for _, k := range i.Key {
			direction := int32(1)
			if k.Descending {
				direction = -1
			}
			index = bsoncore.AppendInt32Element(index, k.Field, direction)
		}
		if index, err = bsoncore.AppendDocumentEnd(index, keys); err != nil {
			return c, false, err
		}
		index = bsoncore.AppendStringElement(index, "name", i.Name)
		if i.Unique {
			// FerretDB allowed any number of documents without the field.
			index = bsoncore.AppendBooleanElement(index, "unique", true)
			index = bsoncore.AppendBooleanElement(index, "sparse", true)
		}
		if index, err = bsoncore.AppendDocumentEnd(index, at); err != nil {
			return c, false, err
		}
		c.indexes = append(c.indexes, index)
	}
	if ok {
		return c, true, nil
	}
	var written bool
	if err := f.tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+sqlIdentifier(c.table)+`)`).Scan(&written); err != nil {
		return c, false, err
	}
	if written {
		return c, false, errors.New("it has documents, and no index that keeps their _id unique")
	}
	return c, false, nil
}

// each calls visit with the BSON of each document of c, in the order of insertion.
func (f *ferretFile) each(ctx context.Context, c ferretCollection, visit func(document []byte) error) error {
	rows, err := f.tx.QueryContext(ctx, `SELECT rowid, `+ferretDocument+` FROM `+sqlIdentifier(c.table)+` ORDER BY rowid`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var row int64
		var text sql.RawBytes
		if err := rows.Scan(&row, &text); err != nil {
			return err
		}
		document, err := decodeSJSON(text)
		if err != nil {
			return fmt.Errorf("the document in row %d of table %s: %w", row, c.table, err)
		}
		if err := visit(document); err != nil {
			return err
		}
	}
	return rows.Err()
}

// column returns the first column of the rows of a query, as text.
func (f *ferretFile) column(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := f.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var values []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, rows.Err()
}

// ferretName returns SQLite's name for FerretDB's. FerretDB quotes names in SQL as Go does, not as
// SQL does: a backslash in a name is stored as two.
func ferretName(name string) string {
	q := strconv.Quote(name)
	return q[1 : len(q)-1]
}

// sqlIdentifier returns a name quoted for SQL.
func sqlIdentifier(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
