//go:build (linux || darwin || freebsd) && !stoa_noembedded

package backup

// Backups written, restored, refused and interrupted, of a data folder with a server.

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/media/blob"
	"stoa/problem"
	"stoa/store/embedded"
)

// site is a data folder with its server.
type site struct {
	data   string
	server *embedded.Server
	client *mongo.Client
}

func serve(t *testing.T, data string) site {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(s.URI()).SetDialer(s.Dialer()))
	if err != nil {
		t.Fatal(err)
	}
	out := site{data, s, client}
	t.Cleanup(out.close)
	return out
}

func (s site) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = s.server.Close(ctx)
	_ = s.client.Disconnect(ctx) // of a server that has closed
}

func mediaOf(data string) blob.Folder { return blob.Folder(filepath.Join(data, "media")) }

// filled returns a site with a little of everything.
func filled(t *testing.T) site {
	t.Helper()
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	db := s.client.Database("stoa")
	insert := func(c *mongo.Collection, documents ...any) {
		t.Helper()
		if _, err := c.InsertMany(t.Context(), documents); err != nil {
			t.Fatal(err)
		}
	}
	insert(db.Collection("articles"), bson.D{{Key: "_id", Value: "a"}, {Key: "slug", Value: "a"}}, bson.D{{Key: "_id", Value: "b"}, {Key: "slug", Value: "b"}, {Key: "text", Value: strings.Repeat("text ", 300)}})
	insert(db.Collection("odd/name %2F ü"), bson.D{{Key: "_id", Value: bson.D{{Key: "n", Value: int64(1)}}}, {Key: "at", Value: bson.DateTime(-1)}})
	insert(s.client.Database("other").Collection(strings.Repeat("long", 40)), bson.D{{Key: "_id", Value: 1}})
	insert(db.Collection("empty"), bson.D{{Key: "_id", Value: 1}})
	if _, err := db.Collection("empty").DeleteOne(t.Context(), bson.D{{Key: "_id", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	for _, i := range []mongo.IndexModel{
		{Keys: bson.D{{Key: "slug", Value: 1}}, Options: options.Index().SetUnique(true)},
		{Keys: bson.D{{Key: "event", Value: -1}, {Key: "_id", Value: 1}}, Options: options.Index().SetUnique(true).SetSparse(true).SetName("by event")},
	} {
		if _, err := db.Collection("articles").Indexes().CreateOne(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"ab12-320.jpg": "a picture", "ab12-640.jpg": strings.Repeat("a wider picture", 100), "cd-1.png": ""} {
		if err := mediaOf(s.data).Put(t.Context(), name, "image/jpeg", []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(s.data, "media", "ab", "ab12-320.jpg"), then, then); err != nil {
		t.Fatal(err)
	}
	return s
}

func backUp(t *testing.T, data string) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := Write(t.Context(), &out, Source{Data: data, Media: mediaOf(data), Version: "test"}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func restore(t *testing.T, from []byte, data string) (Counts, error) {
	t.Helper()
	return Restore(t.Context(), bytes.NewReader(from), Target{Data: data, Media: mediaOf(data)})
}

// contents returns the names and contents of a backup's files, manifest and checksums excepted.
func contents(t *testing.T, backup []byte) map[string]string {
	t.Helper()
	files := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(backup)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o600 {
			t.Errorf("%s has the mode %o", h.Name, h.Mode)
		}
		switch {
		case h.Name == manifestName, h.Name == sumsName:
		case strings.HasPrefix(h.Name, "media/"):
			files[h.Name] = h.ModTime.UTC().String() + " " + string(content)
		default:
			files[h.Name] = string(content)
		}
	}
}

func TestWhatIsBackedUpIsRestored(t *testing.T) {
	s := filled(t)
	for _, served := range []bool{true, false} {
		if !served {
			s.close()
		}
		made := backUp(t, s.data)
		data := filepath.Join(t.TempDir(), "restored")
		counts, err := restore(t, made, data)
		if err != nil {
			t.Fatal(err)
		}
		if want := (Counts{Collections: 4, Documents: 4, Pictures: 3}); counts != want {
			t.Errorf("restored were %+v, want %+v", counts, want)
		}
		want, got := contents(t, made), contents(t, backUp(t, data))
		for name, content := range want {
			if got[name] != content {
				t.Errorf("%s is %q, and was %q", name, got[name], content)
			}
		}
		if len(got) != len(want) || len(want) != 4*2+3 {
			t.Errorf("there are %d files, want %d", len(got), len(want))
		}
		if served {
			again := serve(t, data)
			n, err := again.client.Database("stoa").Collection("articles").CountDocuments(t.Context(), bson.D{{Key: "slug", Value: "b"}})
			if err != nil || n != 1 {
				t.Errorf("%d articles have the slug: %v", n, err)
			}
			_, err = again.client.Database("stoa").Collection("articles").InsertOne(t.Context(), bson.D{{Key: "_id", Value: "c"}, {Key: "slug", Value: "b"}})
			if !mongo.IsDuplicateKeyError(err) {
				t.Errorf("the unique index has gone: %v", err)
			}
		}
	}
}

// A writer inserts a document into one collection and then its number into another, over and
// over. Each backup has to be of one moment.
func TestABackupIsOfOneMoment(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	ends, written := make(chan struct{}), make(chan error, 1)
	go func() {
		first, second := s.client.Database("stoa").Collection("first"), s.client.Database("stoa").Collection("second")
		for i := 0; ; i++ {
			select {
			case <-ends:
				written <- nil
				return
			default:
			}
			_, err := first.InsertOne(t.Context(), bson.D{{Key: "_id", Value: i}, {Key: "text", Value: strings.Repeat("x", 4000)}})
			if err == nil {
				_, err = second.ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "_id", Value: 1}, {Key: "last", Value: i}}, options.Replace().SetUpsert(true))
			}
			if err != nil {
				written <- err
				return
			}
		}
	}()
	seen := map[int]bool{}
	for deadline := time.Now().Add(30 * time.Second); len(seen) < 5 && time.Now().Before(deadline); {
		_, err := os.Stat(filepath.Join(s.data, "db"))
		if err != nil {
			t.Fatal(err)
		}
		files := contents(t, backUp(t, s.data))
		first, second := []byte(files["db/stoa/first.bson"]), []byte(files["db/stoa/second.bson"])
		if len(second) == 0 {
			continue
		}
		n := 0
		for ; len(first) > 0; n++ {
			document, rest, ok := bson.Raw(first), []byte(nil), true
			size := int(document[0]) | int(document[1])<<8 | int(document[2])<<16
			document, rest = document[:size], first[size:]
			if i, isInt := document.Lookup("_id").Int32OK(); !ok || !isInt || int(i) != n {
				t.Fatalf("document %d is %s", n, document)
			}
			first = rest
		}
		last := int(bson.Raw(second).Lookup("last").Int32())
		if n != last+1 && n != last+2 {
			t.Fatalf("there are %d documents, and the last is %d", n, last)
		}
		seen[n] = true
	}
	close(ends)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if len(seen) < 2 {
		t.Errorf("the backups were of %d moments", len(seen))
	}
}

// isUntouched checks that a refused backup has left nothing in a data folder.
func isUntouched(t *testing.T, data string) {
	t.Helper()
	for _, pattern := range []string{"db/*", "media/*/*", "stoa.*"} {
		left, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil || len(left) > 0 {
			t.Fatalf("there is %v: %v", left, err)
		}
	}
}

func TestATruncatedBackupIsRefused(t *testing.T) {
	made := backUp(t, filled(t).data)
	data := t.TempDir()
	lengths := []int{0, 1, len(made) - 1, len(made) - 2, len(made) - 513, len(made) - 1023}
	for n := 512; n < len(made); n += 512 {
		lengths = append(lengths, n-1, n)
	}
	for _, n := range lengths {
		_, err := restore(t, made[:n], data)
		if !problem.Is(err, problem.Invalid) {
			t.Fatalf("the first %d of %d bytes are restored: %v", n, len(made), err)
		}
		isUntouched(t, data)
	}
	if _, err := restore(t, slices.Concat(made, []byte("more")), data); !problem.Is(err, problem.Invalid) {
		t.Errorf("a backup with something behind it: %v", err)
	}
	isUntouched(t, data)
	if _, err := restore(t, made, data); err != nil {
		t.Errorf("the whole backup: %v", err)
	}
}

func TestAnAlteredBackupIsRefused(t *testing.T) {
	made := backUp(t, filled(t).data)
	data := t.TempDir()
	said := map[string]bool{}
	for at := 0; at < len(made); at += 331 {
		altered := bytes.Clone(made)
		altered[at] ^= 1 << (at % 8)
		_, err := restore(t, altered, data)
		if err == nil {
			t.Fatalf("byte %d of %d was flipped, and it is restored", at, len(made))
		}
		said[err.Error()] = true
		isUntouched(t, data)
	}
	for _, words := range []string{"db/stoa/articles.bson has changed since it was written", "media/ab/ab12-640.jpg has changed since it was written", "no backup of Stoa", "its checksums aren't", "something follows"} {
		found := false
		for text := range said {
			found = found || strings.Contains(text, words)
		}
		if !found {
			t.Errorf("no error says %q", words)
		}
	}
}

func TestAFolderInUseIsNotRestoredInto(t *testing.T) {
	s := filled(t)
	made := backUp(t, s.data)
	old := t.TempDir()
	if err := os.MkdirAll(filepath.Join(old, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "db", "stoa.sqlite"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, served := restore(t, made, s.data)
	before := contents(t, made)
	s.close()
	_, used := restore(t, made, s.data)
	_, earlier := restore(t, made, old)
	for want, err := range map[string]error{"in use by another server": served, "has a database in it already (db/documents.v2.sqlite)": used, "has a database in it already (db/stoa.sqlite)": earlier} {
		if !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("the error doesn't say %q: %v", want, err)
		}
	}
	for name, content := range contents(t, backUp(t, s.data)) {
		if before[name] != content {
			t.Errorf("%s has changed", name)
		}
	}
}

func TestWhatIsNoBackupIsRefused(t *testing.T) {
	other := func(files ...string) []byte {
		var out bytes.Buffer
		w := newWriter(&out, time.Now())
		for i := 0; i < len(files); i += 2 {
			if err := w.bytes(files[i], []byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	const good = `{"format":"stoa-backup","version":1,"media":true}`
	const articles, metadata = "db/stoa/articles", `{"collectionName":"articles","indexes":[]}`
	document, err := bson.Marshal(bson.D{{Key: "_id", Value: 1}})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		backup []byte
		says   string
	}{
		"Text":          {"it isn't a tar file", []byte("SELECT 1;\n"), "no backup of Stoa"},
		"Tar":           {"it is another one's", other("a.txt", "a"), "no backup of Stoa"},
		"Manifest":      {"it is another one's", other(manifestName, `{"format":"other"}`), "no backup of Stoa"},
		"Version":       {"a later version may write anything", other(manifestName, `{"format":"stoa-backup","version":2,"madeBy":"stoa v9"}`), "stoa v9"},
		"Unknown":       {"the purpose of the file isn't known", other(manifestName, good, "x", "y"), `unknown file "x"`},
		"Outside":       {"a name must not lead out of the folder", other(manifestName, good, "media/../../x.png", "y"), "unknown file"},
		"NoPictures":    {"the manifest says that there are none", other(manifestName, `{"format":"stoa-backup","version":1}`, "media/ab/ab.png", "y"), "unknown file"},
		"NoMetadata":    {"nothing would be unique", other(manifestName, good, articles+".bson", string(document)), "no metadata"},
		"Duplicate":     {"the file was made by something else", other(manifestName, good, articles+".metadata.json", metadata, articles+".bson", string(document)+string(document)), "E11000"},
		"BadDocument":   {"it can't be stored", other(manifestName, good, articles+".metadata.json", metadata, articles+".bson", "\x06\x00\x00\x00x\x00"), "BSON"},
		"HalfADocument": {"it can't be stored", other(manifestName, good, articles+".metadata.json", metadata, articles+".bson", string(document[:8])), "ends in db/stoa/articles.bson"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			if _, err := restore(t, c.backup, data); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error doesn't say %q: %v (%s)", c.says, err, c.reason)
			}
			isUntouched(t, data)
		})
	}
}

func TestAFolderWithoutADatabaseIsNotBackedUp(t *testing.T) {
	data := t.TempDir()
	if _, err := Write(t.Context(), io.Discard, Source{Data: data}); !problem.Is(err, problem.Invalid) {
		t.Errorf("an empty folder: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(data, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "db", "stoa.sqlite"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), io.Discard, Source{Data: data}); err == nil || !strings.Contains(err.Error(), "start the server once") {
		t.Errorf("the folder of an earlier version: %v", err)
	}
}

// failing fails after some bytes.
type failing struct{ left int }

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, fmt.Errorf("the disk is full")
	}
	return len(b), nil
}

func TestAFailedWriteFails(t *testing.T) {
	s := filled(t)
	for _, left := range []int{0, 100, 3000} {
		if _, err := Write(t.Context(), &failing{left}, Source{Data: s.data, Media: mediaOf(s.data)}); err == nil || !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("after %d bytes: %v", left, err)
		}
	}
}
