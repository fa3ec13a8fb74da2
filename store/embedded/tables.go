//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver that FerretDB registers too
)

// tables looks after FerretDB's SQLite files: one per MongoDB database, in it a table per
// collection with a document as JSON in each row, and a table that lists the collections.
//
// It does two things that FerretDB doesn't. It gives every table an index that FerretDB's
// look-up by `_id` can use: FerretDB's own is on an expression that is spelled otherwise, so
// SQLite scans. And it repairs what a killed process left: FerretDB makes a database, a
// collection and an index in several steps, and doesn't know one that it finds half made.
type tables struct {
	dir string
	log *slog.Logger

	// indexed are the collections known to have the index. Whoever has the turn to write
	// may touch it, nobody else.
	indexed map[namespace]bool
}

type namespace struct{ database, collection string }

// FerretDB's names, from its packages internal/backends and internal/backends/sqlite/metadata.
const (
	fileSuffix    = ".sqlite"
	listOfTables  = "_ferretdb_collections"
	documentField = "_ferretdb_sjson"
	idIndex       = "_id_"

	// lookup is the left side of the only condition that FerretDB writes. An index serves
	// it only when it is on the same expression, to the letter.
	lookup = documentField + "->'$._id'"

	// ourIndex comes before the table's name in the name of our index. FerretDB's names
	// never begin so: they begin with that of the collection, which can't have a $.
	ourIndex = "$_id:"
)

var (
	validDatabase = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`)
	tableName     = regexp.MustCompile(`_[0-9a-f]{8}$`)
	tableSuffix   = regexp.MustCompile(`_[0-9a-f]{8}_`) // in the name of an index, before its own
)

// stored returns the name that SQLite has for what FerretDB calls name. FerretDB quotes names
// in SQL as Go does, not as SQL does: a backslash in a name, say, is stored as two.
func stored(name string) string {
	q := strconv.Quote(name)
	return q[1 : len(q)-1]
}

// identifier returns a stored name as SQL has it.
func identifier(stored string) string {
	return `"` + strings.ReplaceAll(stored, `"`, `""`) + `"`
}

// settings is FerretDB's record of a collection, of which only the indexes matter here.
type settings struct {
	fields  map[string]json.RawMessage
	indexes []json.RawMessage
	names   []string // of indexes
}

func parseSettings(b []byte) (settings, error) {
	var s settings
	if err := json.Unmarshal(b, &s.fields); err != nil {
		return settings{}, err
	}
	if raw, ok := s.fields["indexes"]; ok {
		if err := json.Unmarshal(raw, &s.indexes); err != nil {
			return settings{}, err
		}
	}
	for _, raw := range s.indexes {
		var index struct{ Name string }
		if err := json.Unmarshal(raw, &index); err != nil {
			return settings{}, err
		}
		s.names = append(s.names, index.Name)
	}
	return s, nil
}

// prepare repairs and indexes all databases. FerretDB must not have them open.
func (t *tables) prepare(ctx context.Context) error {
	files, err := os.ReadDir(t.dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), fileSuffix)
		if !ok {
			continue
		}
		empty, err := t.prepareDatabase(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", file.Name(), err)
		}
		if !empty {
			continue
		}
		t.log.Warn("embedded database: removed a database that was never finished", "database", name)
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(filepath.Join(t.dir, file.Name()+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// prepareDatabase repairs and indexes one database, all or nothing. It says when there is
// no table in it, which FerretDB can't open.
func (t *tables) prepareDatabase(ctx context.Context, database string) (empty bool, err error) {
	err = t.change(ctx, database, func(tx *sql.Tx) error {
		names, err := column(ctx, tx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			empty = true
			return nil
		}
		if !slices.Contains(names, listOfTables) {
			return fmt.Errorf("it has tables, and no list of them in %s: not made by FerretDB", listOfTables)
		}
		return t.repair(ctx, tx, database, names)
	})
	return empty, err
}

// repair makes list and tables agree, and each collection's record and indexes.
//
//	made half                                   it was               so
//	a table that isn't listed                   being made, dropped  drop it
//	a collection without its own _id index      being made           drop it: it was never written to
//	an index that isn't recorded                being made           drop it, so that it can be made
//	an index recorded that isn't there          being dropped        forget it, so that it can be made
func (t *tables) repair(ctx context.Context, tx *sql.Tx, database string, names []string) error {
	var done []string
	do := func(what string, query string, args ...any) error {
		done = append(done, what)
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}

	rows, err := tx.QueryContext(ctx, `SELECT name, table_name, settings FROM `+listOfTables)
	if err != nil {
		return err
	}
	defer rows.Close()
	type collection struct {
		name, table string
		settings    settings
	}
	var collections []collection
	for rows.Next() {
		var c collection
		var record []byte
		if err := rows.Scan(&c.name, &c.table, &record); err != nil {
			return err
		}
		if c.settings, err = parseSettings(record); err != nil {
			return fmt.Errorf("record of collection %s: %w", c.name, err)
		}
		collections = append(collections, c)
	}
	if err := rows.Err(); err != nil {
		return err
	}

	listed := map[string]bool{listOfTables: true}
	for _, c := range collections {
		listed[stored(c.table)] = true
		indexes, err := column(ctx, tx, `SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL`, stored(c.table))
		if err != nil {
			return err
		}
		if !slices.Contains(c.settings.names, idIndex) {
			var written bool
			if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+identifier(stored(c.table))+`)`).Scan(&written); err != nil {
				return fmt.Errorf("collection %s: %w", c.name, err)
			}
			if written {
				return fmt.Errorf("collection %s has documents, and no index that keeps their _id unique", c.name)
			}
			if err := do("collection "+c.name, `DELETE FROM `+listOfTables+` WHERE name = ?`, c.name); err != nil {
				return err
			}
			if err := do("table of "+c.name, `DROP TABLE `+identifier(stored(c.table))); err != nil {
				return err
			}
			continue
		}

		for _, index := range indexes {
			if index == ourIndex+stored(c.table) {
				continue
			}
			if !slices.ContainsFunc(c.settings.names, func(name string) bool { return index == stored(c.table+"_"+name) }) {
				if err := do("index "+index, `DROP INDEX `+identifier(index)); err != nil {
					return err
				}
			}
		}
		forgotten := false
		for i := len(c.settings.names) - 1; i >= 0; i-- {
			if !slices.Contains(indexes, stored(c.table+"_"+c.settings.names[i])) {
				c.settings.indexes = slices.Delete(c.settings.indexes, i, i+1)
				forgotten = true
			}
		}
		if forgotten {
			if c.settings.fields["indexes"], err = json.Marshal(c.settings.indexes); err != nil {
				return err
			}
			record, err := json.Marshal(c.settings.fields)
			if err != nil {
				return err
			}
			if err := do("record of "+c.name, `UPDATE `+listOfTables+` SET settings = ? WHERE name = ?`, string(record), c.name); err != nil {
				return err
			}
		}
		if err := index(ctx, tx, c.table); err != nil {
			return err
		}
	}
	for _, name := range names {
		if !listed[name] && tableName.MatchString(name) {
			if err := do("table "+name, `DROP TABLE `+identifier(name)); err != nil {
				return err
			}
		}
	}
	if len(done) > 0 {
		t.log.Warn("embedded database: repaired what a killed process left half made", "database", database, "changed", done)
	}
	return nil
}

// wrote is told of each write command when FerretDB has replied to it, during its turn. It
// gives a collection that is new its index.
func (t *tables) wrote(ctx context.Context, req request) error {
	ns := namespace{req.database, req.collection}
	switch req.command {
	case "insert", "update", "findAndModify", "findandmodify", "create", "createIndexes":
	case "delete":
		return nil
	default: // it may have dropped or renamed anything
		clear(t.indexed)
		return nil
	}
	if t.indexed[ns] || !validDatabase.MatchString(ns.database) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(t.dir, ns.database+fileSuffix)); errors.Is(err, fs.ErrNotExist) {
		return nil // FerretDB refused the command before it made the database
	}
	err := t.change(ctx, ns.database, func(tx *sql.Tx) error {
		var table string
		err := tx.QueryRowContext(ctx, `SELECT table_name FROM `+listOfTables+` WHERE name = ?`, ns.collection).Scan(&table)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // as above, the collection
		}
		if err != nil {
			return err
		}
		t.indexed[ns] = true
		return index(ctx, tx, table)
	})
	if err != nil {
		delete(t.indexed, ns)
		return fmt.Errorf("index by _id: %w", err)
	}
	return nil
}

// index makes our index on the table that FerretDB calls table, where it isn't there yet.
func index(ctx context.Context, tx *sql.Tx, table string) error {
	_, err := tx.ExecContext(ctx, `CREATE INDEX IF NOT EXISTS `+identifier(ourIndex+stored(table))+` ON `+identifier(stored(table))+` (`+lookup+`)`)
	return err
}

// change runs f in a transaction on a database that exists.
func (t *tables) change(ctx context.Context, database string, f func(*sql.Tx) error) (err error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.dir, database+fileSuffix)+"?mode=rw&_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// column returns the first column of what query finds, as text.
func column(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
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
