//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// Reading FerretDB's files, compared with FerretDB's own answers in testdata/ferretdb.

import (
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ferretFolder lays out a folder of testdata/ferretdb as a data folder and returns that.
func ferretFolder(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, databaseName), 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("testdata/ferretdb", name, "*.sqlite*.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files in %s: %v", name, err)
	}
	for _, file := range files {
		to := filepath.Join(dir, databaseName, strings.TrimSuffix(filepath.Base(file), ".gz"))
		if err := os.WriteFile(to, unzipped(t, file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func unzipped(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// ferretAnswer is a collection of testdata/ferretdb in FerretDB's answer.
type ferretAnswer struct {
	Database, Collection string
	Indexes, Documents   []json.RawMessage // canonical extended JSON
}

func ferretAnswers(t *testing.T, name string) (all []ferretAnswer) {
	t.Helper()
	for line := range strings.Lines(string(unzipped(t, filepath.Join("testdata/ferretdb", name, "expected.jsonl.gz")))) {
		var c ferretAnswer
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// indexes returns the indexes of FerretDB's answer in the form after a takeover, sorted: without
// that on _id, and unique ones sparse.
func (c ferretAnswer) indexes() (indexes []string) {
	for _, index := range c.Indexes {
		if !strings.Contains(string(index), `"name":"_id_"`) {
			indexes = append(indexes, strings.Replace(string(index), `"unique":true`, `"unique":true,"sparse":true`, 1))
		}
	}
	slices.Sort(indexes)
	return indexes
}

func TestFerretDBIsReadAsItAnswered(t *testing.T) {
	for _, folder := range []string{"types", "site", "wal"} {
		t.Run(folder, func(t *testing.T) {
			dir := filepath.Join(ferretFolder(t, folder), databaseName)
			databases, err := ferretFiles(dir)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]ferretAnswer{}
			for _, c := range ferretAnswers(t, folder) {
				want[c.Database+"."+c.Collection] = c
			}
			for _, database := range databases {
				f, err := openFerret(t.Context(), dir, database)
				if err != nil {
					t.Fatal(err)
				}
				defer f.close()
				for _, c := range f.collections {
					w, ok := want[database+"."+c.name]
					if !ok {
						t.Errorf("there is a collection %s", c.name)
					}
					delete(want, database+"."+c.name)
					var indexes []string
					for _, index := range c.indexes {
						indexes = append(indexes, canonical(t, index))
					}
					slices.Sort(indexes)
					if !slices.Equal(indexes, w.indexes()) {
						t.Errorf("%s has the indexes\n%s\nwant\n%s", c.name, indexes, w.indexes())
					}
					i := 0
					err := f.each(t.Context(), c, func(document []byte) error {
						if got := canonical(t, document); i >= len(w.Documents) || got != string(w.Documents[i]) {
							t.Errorf("%s: document %d is %s", c.name, i, got)
						}
						i++
						return nil
					})
					if err != nil || i != len(w.Documents) {
						t.Errorf("%s has %d documents, want %d: %v", c.name, i, len(w.Documents), err)
					}
				}
			}
			if len(want) > 0 {
				t.Errorf("there are no collections %q", slices.Sorted(maps.Keys(want)))
			}
		})
	}
}

// changeFerret changes a file of FerretDB.
func changeFerret(t *testing.T, dir, database string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, databaseName, database+ferretSuffix))
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

// FerretDB made collections and indexes in several steps. Each case undoes the later steps, as if
// FerretDB had been killed before them.
func TestWhatFerretDBLeftHalfMadeIsLeftOut(t *testing.T) {
	const table = "tags_f416eba0"
	cases := map[string]struct {
		reason     string
		statements []string
		says       string // the error, "" for none
		want       []string
	}{
		"Whole":             {"nothing is left out", nil, "", []string{"articles", "tags"}},
		"TableAlone":        {"a collection was being made or dropped", []string{`DELETE FROM _ferretdb_collections WHERE name = 'tags'`}, "", []string{"articles"}},
		"RecordAlone":       {"a collection was being made", []string{`DELETE FROM ` + table, `UPDATE _ferretdb_collections SET settings = '{}' WHERE name = 'tags'`}, "", []string{"articles"}},
		"DocumentsUnlisted": {"its _id may not be unique", []string{`UPDATE _ferretdb_collections SET settings = '{}' WHERE name = 'tags'`}, "collection tags: it has documents", nil},
		"NoList":            {"it isn't FerretDB's", []string{`DROP TABLE _ferretdb_collections`}, "not made by FerretDB", nil},
		"NoRecord":          {"its indexes aren't known", []string{`UPDATE _ferretdb_collections SET settings = '{' WHERE name = 'tags'`}, "collection tags: read its record", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := ferretFolder(t, "wal")
			changeFerret(t, dir, "stoa", c.statements...)
			f, err := openFerret(t.Context(), filepath.Join(dir, databaseName), "stoa")
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("the error is %v, and doesn't say %q: %s", err, c.says, c.reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
			var got []string
			for _, c := range f.collections {
				got = append(got, c.name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("there are %q, want %q: %s", got, c.want, c.reason)
			}
		})
	}
}

func TestAFileThatFerretDBDidNotFinishIsEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stoa.sqlite"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openFerret(t.Context(), dir, "stoa")
	if err != nil || len(f.collections) > 0 {
		t.Fatalf("there are %v: %v", f.collections, err)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

func TestAnIndexThatWasBeingDroppedIsLeftOut(t *testing.T) {
	dir := ferretFolder(t, "wal")
	changeFerret(t, dir, "stoa", `DROP INDEX "articles_01c7671e_slug_1"`)
	f, err := openFerret(t.Context(), filepath.Join(dir, databaseName), "stoa")
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if len(f.collections[0].indexes) > 0 {
		t.Errorf("articles have the indexes %s", f.collections[0].indexes)
	}
}
