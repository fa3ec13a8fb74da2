//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
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

// ferretCollection is a collection of testdata/ferretdb, as FerretDB answered it.
type ferretCollection struct {
	Database, Collection string
	Indexes, Documents   []json.RawMessage // canonical extended JSON
}

func ferretCollections(t *testing.T, name string) (all []ferretCollection) {
	t.Helper()
	for line := range strings.Lines(string(unzipped(t, filepath.Join("testdata/ferretdb", name, "expected.jsonl.gz")))) {
		var c ferretCollection
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// canonical returns a document as canonical extended JSON, compact.
func canonical(t *testing.T, document bson.Raw) string {
	t.Helper()
	if err := document.Validate(); err != nil {
		t.Fatal(err)
	}
	text, err := bson.MarshalExtJSON(document, true, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSJSONIsReadAsFerretDBReadIt(t *testing.T) {
	for _, folder := range []string{"types", "site", "wal"} {
		dir := ferretFolder(t, folder)
		for _, c := range ferretCollections(t, folder) {
			db, err := sql.Open("sqlite", filepath.Join(dir, databaseName, c.Database+fileSuffix))
			if err != nil {
				t.Fatal(err)
			}
			var table string
			if err := db.QueryRow(`SELECT table_name FROM `+listOfTables+` WHERE name = ?`, c.Collection).Scan(&table); err != nil {
				t.Fatal(err)
			}
			rows, err := db.Query(`SELECT ` + documentField + ` FROM ` + identifier(stored(table)) + ` ORDER BY rowid`)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for rows.Next() {
				var text []byte
				if err := rows.Scan(&text); err != nil {
					t.Fatal(err)
				}
				document, err := decodeSJSON(text)
				if err != nil {
					t.Fatalf("%s: %s: %v", c.Collection, text, err)
				}
				got = append(got, canonical(t, document))
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.Documents) {
				t.Fatalf("%s/%s has %d documents, want %d", folder, c.Collection, len(got), len(c.Documents))
			}
			for i, want := range c.Documents {
				if got[i] != string(want) {
					t.Errorf("%s/%s: read as\n%s\nwant\n%s", folder, c.Collection, got[i], want)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDamagedSJSONIsRefused(t *testing.T) {
	const good = `{"$s":{"p":{"_id":{"t":"int"},"a":{"t":"array","i":[{"t":"object","$s":{"p":{"b":{"t":"objectId"}},"$k":["b"]}}]}},"$k":["_id","a"]},"_id":1,"a":[{"b":"0123456789abcdef01234567"}]}`
	if _, err := decodeSJSON([]byte(good)); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ reason, old, new string }{
		"CutOff":         {"what is missing could be anything", `"}]}`, ``},
		"Trailing":       {"there is one document in a row", `"}]}`, `"}]}{}`},
		"NoObject":       {"a document is an object", good, `[]`},
		"NoSchema":       {"the types aren't known", `"$s":{"p":{"_id"`, `"s":{"p":{"_id"`},
		"BadSchema":      {"the types aren't known", `"$k":["_id","a"]`, `"$k":7`},
		"MissingField":   {"the order names a field that isn't there", `"_id":1,`, ``},
		"MoreFields":     {"a field isn't in the order", `"_id":1,`, `"_id":1,"x":1,`},
		"OtherField":     {"a field has the place of another", `"_id":1,`, `"id":1,`},
		"UntypedField":   {"a field has no type", `"p":{"_id"`, `"p":{"id"`},
		"UnknownType":    {"no such type was written", `"t":"int"`, `"t":"decimal"`},
		"OtherType":      {"an int isn't a string", `"_id":1,`, `"_id":"1",`},
		"OutOfRange":     {"an int has 32 bits", `"_id":1,`, `"_id":2147483648,`},
		"ObjectID":       {"an ObjectID has 12 bytes", `"01234567`, `"1234567`},
		"ArrayItems":     {"each value has a type", `"i":[{`, `"i":[{"t":"int"},{`},
		"NestedDocument": {"a nested document has a schema", `"$s":{"p":{"b":{"t":"objectId"}},"$k":["b"]}`, `"s":1`},
		"NestedName":     {"nested names are written with escapes", `{"b":"0`, `{"c":"0`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Fatal("nothing is damaged")
			}
			if document, err := decodeSJSON([]byte(bad)); err == nil {
				t.Errorf("read as %s: %s", bson.Raw(document), c.reason)
			}
		})
	}
}

// FerretDB could store these documents, and not read them.
func TestNamesThatFerretDBDidNotEscape(t *testing.T) {
	document, err := decodeSJSON([]byte(`{"$s":{"p":{"_id":{"t":"int"},"a\\nb":{"t":"string"}},"$k":["_id","a\\nb"]},"_id":1,"a\nb":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := canonical(t, document); got != `{"_id":{"$numberInt":"1"},"a\\nb":"x"}` {
		t.Errorf("read as %s", got)
	}
}

func FuzzSJSON(f *testing.F) {
	f.Add([]byte(`{"$s":{"p":{"_id":{"t":"int"},"a":{"t":"array","i":[{"t":"double"}]}},"$k":["_id","a"]},"_id":1,"a":[1.5]}`))
	f.Add([]byte(`{"$s":{"p":{"r":{"t":"regex","o":"i"},"b":{"t":"binData","s":4}},"$k":["r","b"]},"r":"x","b":"AA=="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if document, err := decodeSJSON(text); err == nil && bson.Raw(document).Validate() != nil {
			t.Errorf("%q becomes malformed BSON", text)
		}
	})
}
