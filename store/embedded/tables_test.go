//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// lookedUp says whether FerretDB finds a document of the collection by _id without a scan.
func lookedUp(t *testing.T, c *mongo.Client, collection string) bool {
	t.Helper()
	// SQLite notices that the schema has changed when it runs a statement, not when it explains one.
	if err := c.Database("stoa").Collection(collection).FindOne(t.Context(), bson.D{{Key: "_id", Value: "1"}}).Err(); err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		t.Fatal(err)
	}
	var plan bson.Raw
	err := c.Database("stoa").RunCommand(t.Context(), bson.D{{Key: "explain", Value: bson.D{
		{Key: "find", Value: collection}, {Key: "filter", Value: bson.D{{Key: "_id", Value: "1"}}},
	}}}).Decode(&plan)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(plan.Lookup("queryPlanner").String(), "USING INDEX "+ourIndex)
}

func TestDocumentsAreLookedUpByID(t *testing.T) {
	one := bson.D{{Key: "_id", Value: "1"}}
	steps := []struct {
		reason     string
		collection string
		do         func(*mongo.Database) error
	}{
		{"an insert makes a collection", "a", func(d *mongo.Database) error {
			_, err := d.Collection("a").InsertOne(t.Context(), one)
			return err
		}},
		{"create makes one", "b", func(d *mongo.Database) error { return d.CreateCollection(t.Context(), "b") }},
		{"an upsert makes one", "c", func(d *mongo.Database) error {
			_, err := d.Collection("c").UpdateOne(t.Context(), one, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}}, options.UpdateOne().SetUpsert(true))
			return err
		}},
		{"an upsert by findAndModify makes one", "d", func(d *mongo.Database) error {
			err := d.Collection("d").FindOneAndReplace(t.Context(), one, one, options.FindOneAndReplace().SetUpsert(true)).Err()
			if errors.Is(err, mongo.ErrNoDocuments) {
				return nil
			}
			return err
		}},
		{"an index makes one", "e", func(d *mongo.Database) error {
			_, err := d.Collection("e").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "x", Value: 1}}})
			return err
		}},
		{"a collection dropped and made again is another one", "a", func(d *mongo.Database) error {
			if err := d.Collection("a").Drop(t.Context()); err != nil {
				return err
			}
			_, err := d.Collection("a").InsertOne(t.Context(), one)
			return err
		}},
		{"so is a database", "a", func(d *mongo.Database) error {
			if err := d.Drop(t.Context()); err != nil {
				return err
			}
			_, err := d.Collection("a").InsertOne(t.Context(), one)
			return err
		}},
		{"a renamed collection keeps its table", "f", func(d *mongo.Database) error {
			return d.Client().Database("admin").RunCommand(t.Context(), bson.D{{Key: "renameCollection", Value: "stoa.a"}, {Key: "to", Value: "stoa.f"}}).Err()
		}},
		{"names can be odd", `ab\c-ü x`, func(d *mongo.Database) error {
			_, err := d.Collection(`ab\c-ü x`).InsertOne(t.Context(), one)
			return err
		}},
	}
	dir := t.TempDir()
	s := start(t, dir)
	c := own(t, s)
	for _, step := range steps {
		if err := step.do(c.Database("stoa")); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		if !lookedUp(t, c, step.collection) {
			t.Errorf("documents of %q are scanned: %s", step.collection, step.reason)
		}
	}

	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	alter(t, dir, `DROP INDEX "`+ourIndex+table(t, dir, "f")+`"`)
	c = own(t, start(t, dir))
	for _, collection := range []string{"f", `ab\c-ü x`} {
		if !lookedUp(t, c, collection) {
			t.Errorf("documents of %q are scanned after a start", collection)
		}
		if n := count(t, c, collection); n != 1 {
			t.Errorf("%q has %d documents, want 1", collection, n)
		}
	}
}

// alter changes the file of database stoa, while no server has it.
func alter(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, databaseName, "stoa"+fileSuffix))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// table returns the table of a collection.
func table(t *testing.T, dir, collection string) string {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, databaseName, "stoa"+fileSuffix))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var name string
	if err := db.QueryRow(`SELECT table_name FROM `+listOfTables+` WHERE name = ?`, collection).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestWhatAKilledProcessLeftHalfMadeIsRepaired stops FerretDB between any two of the steps in
// which it changes the schema, by undoing the later ones, and expects that the change can be
// made again and holds.
func TestWhatAKilledProcessLeftHalfMadeIsRepaired(t *testing.T) {
	articles := func(c *mongo.Client) *mongo.Collection { return c.Database("stoa").Collection("articles") }
	unique := mongo.IndexModel{Keys: bson.D{{Key: "slug", Value: 1}}, Options: options.Index().SetName("slug").SetUnique(true)}

	cases := map[string]struct {
		reason string
		filled bool // articles has the documents a and b, with slugs
		index  bool // articles has the unique index slug
		undo   func(table string) []string
		want   int64 // articles at the next start
	}{
		"TableWithoutRecord": {"a collection was being made: its table is in the way of the next", false, false,
			func(table string) []string { return []string{`DELETE FROM ` + listOfTables} }, 0},
		"RecordWithoutIndex": {"a collection was being made: nothing would keep its _id unique", false, false,
			func(table string) []string {
				return []string{`DROP INDEX "` + table + `__id_"`, `UPDATE ` + listOfTables + ` SET settings = '{}'`}
			}, 0},
		"IndexWithoutRecord": {"a collection was being made", false, false,
			func(table string) []string { return []string{`UPDATE ` + listOfTables + ` SET settings = '{}'`} }, 0},
		"DroppedRecord": {"a collection was being dropped", true, false,
			func(table string) []string { return []string{`DELETE FROM ` + listOfTables} }, 0},
		"SecondIndexWithoutRecord": {"an index was being made: it is in the way of the next", true, false,
			func(table string) []string {
				return []string{`CREATE UNIQUE INDEX "` + table + `_slug" ON "` + table + `" (` + documentField + `->'slug')`}
			}, 2},
		"SecondRecordWithoutIndex": {"an index was being dropped: FerretDB would think that it has it", true, true,
			func(table string) []string { return []string{`DROP INDEX "` + table + `_slug"`} }, 2},
		"Nothing": {"what is whole stays as it is", true, true,
			func(table string) []string { return nil }, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, dir)
			client := own(t, s)
			if err := client.Database("stoa").CreateCollection(t.Context(), "articles"); err != nil {
				t.Fatal(err)
			}
			if c.filled {
				insert(t, client, "articles", bson.D{{Key: "_id", Value: "a"}, {Key: "slug", Value: "a"}}, bson.D{{Key: "_id", Value: "b"}, {Key: "slug", Value: "b"}})
			}
			if c.index {
				if _, err := articles(client).Indexes().CreateOne(t.Context(), unique); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			alter(t, dir, c.undo(table(t, dir, "articles"))...)

			client = own(t, start(t, dir))
			if n := count(t, client, "articles"); n != c.want {
				t.Errorf("%d articles, want %d: %s", n, c.want, c.reason)
			}
			if _, err := articles(client).Indexes().CreateOne(t.Context(), unique); err != nil {
				t.Fatalf("make the index: %v: %s", err, c.reason)
			}
			insert(t, client, "articles", bson.D{{Key: "_id", Value: "c"}, {Key: "slug", Value: "c"}})
			for _, again := range []bson.D{
				{{Key: "_id", Value: "c"}, {Key: "slug", Value: "d"}},
				{{Key: "_id", Value: "d"}, {Key: "slug", Value: "c"}},
			} {
				if _, err := articles(client).InsertOne(t.Context(), again); !mongo.IsDuplicateKeyError(err) {
					t.Errorf("inserting %v gave %v, want a duplicate key: %s", again, err, c.reason)
				}
			}
			if !lookedUp(t, client, "articles") {
				t.Errorf("articles are scanned: %s", c.reason)
			}
		})
	}
}

func TestADatabaseThatWasNeverFinishedIsRemoved(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, statements := range map[string][]string{
		"EmptyFile": {`PRAGMA user_version`},
		"NoTables":  {`PRAGMA journal_mode = wal`, `CREATE TABLE x (y)`, `DROP TABLE x`},
	} {
		t.Run(name, func(t *testing.T) {
			alter(t, dir, statements...)
			s := start(t, dir)
			if _, err := os.Stat(filepath.Join(dir, databaseName, "stoa"+fileSuffix)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
			insert(t, own(t, s), "articles", bson.D{{Key: "_id", Value: name}})
			if err := own(t, s).Database("stoa").Drop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAForeignFileIsNotTouched(t *testing.T) {
	cases := map[string]struct {
		reason string
		make   func(t *testing.T, dir string)
	}{
		"NoDatabase": {"SQLite can't read it", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, databaseName, "stoa"+fileSuffix), []byte(strings.Repeat("no database ", 500)), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		"Others": {"FerretDB didn't make it", func(t *testing.T, dir string) {
			alter(t, dir, `CREATE TABLE recipes (name TEXT)`, `INSERT INTO recipes VALUES ('soup')`)
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, databaseName, "stoa"+fileSuffix)
			if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			c.make(t, dir)
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first must have given the folder back
				if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "stoa"+fileSuffix) {
					t.Fatalf("got %v, want an error that names the file: %s", err, c.reason)
				}
			}
			after, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(before) != string(after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestADatabaseNameIsNoPath(t *testing.T) {
	tb := &tables{dir: t.TempDir(), indexed: map[namespace]bool{}}
	outside := filepath.Join(t.TempDir(), "x"+fileSuffix)
	if err := os.WriteFile(outside, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(tb.dir, strings.TrimSuffix(outside, fileSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if err := tb.wrote(t.Context(), request{command: "insert", database: name, collection: "articles"}); err != nil {
		t.Errorf("it was opened: %v", fmt.Errorf("%s: %w", name, err))
	}
}
