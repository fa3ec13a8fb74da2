//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// Takeovers of FerretDB's folders: complete, repeated, killed at each step, refused, and on damaged
// files.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

func quietTakeover(dir string) *takeover {
	return newTakeover(dir, slog.New(slog.DiscardHandler))
}

// isTakenOver compares a data folder with FerretDB's answers for a folder of testdata/ferretdb.
func isTakenOver(t *testing.T, dir, folder string) {
	t.Helper()
	there, err := openSnapshot(t.Context(), filepath.Join(dir, documentsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer there.close()
	want := map[namespace]ferretAnswer{}
	for _, c := range ferretAnswers(t, folder) {
		if !strings.HasPrefix(c.Collection, "system.") {
			want[namespace{c.Database, c.Collection}] = c
		}
	}
	for _, c := range there.collections {
		w, ok := want[c.namespace]
		if !ok {
			t.Errorf("there is a collection %s", c.namespace)
		}
		delete(want, c.namespace)
		var indexes []string
		for _, ix := range c.indexes {
			indexes = append(indexes, canonical(t, ix.specification()))
		}
		slices.Sort(indexes)
		if !slices.Equal(indexes, w.indexes()) {
			t.Errorf("%s has the indexes\n%s\nwant\n%s", c.namespace, indexes, w.indexes())
		}
		i := 0
		err := there.each(c, func(document []byte) error {
			if got := canonical(t, document); i >= len(w.Documents) || got != string(w.Documents[i]) {
				t.Errorf("%s: document %d is %s", c.namespace, i, got)
			}
			i++
			return nil
		})
		if err != nil || i != len(w.Documents) {
			t.Errorf("%s has %d documents, want %d: %v", c.namespace, i, len(w.Documents), err)
		}
	}
	for n := range want {
		t.Errorf("there is no collection %s", n)
	}
	if left := ferretSums(t, filepath.Join(dir, databaseName)); len(left) > 0 {
		t.Errorf("in %s there are %v", databaseName, left)
	}
	if unfinished, _ := filepath.Glob(filepath.Join(dir, documentsFile+unfinished+"*")); len(unfinished) > 0 {
		t.Errorf("there are %v", unfinished)
	}
}

// ferretSums returns the SHA-256 of each of FerretDB's files in a folder, the shared memory
// excepted: any reader changes that.
func ferretSums(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !ferretLeft.MatchString(file.Name()) || strings.HasSuffix(file.Name(), "-shm") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 0 { // a reader leaves an empty log
			sums[file.Name()] = fmt.Sprintf("%x", sha256.Sum256(content))
		}
	}
	return sums
}

func TestFoldersAreTakenOverExactly(t *testing.T) {
	for _, folder := range []string{"types", "site", "wal"} {
		t.Run(folder, func(t *testing.T) {
			dir := ferretFolder(t, folder)
			before := ferretSums(t, filepath.Join(dir, databaseName))
			for range 2 { // the second time there is nothing to do
				if err := quietTakeover(dir).run(t.Context()); err != nil {
					t.Fatal(err)
				}
				isTakenOver(t, dir, folder)
			}
			if kept := ferretSums(t, filepath.Join(dir, keptName)); !maps.Equal(kept, before) {
				t.Errorf("kept is %v, and it was %v", kept, before)
			}
		})
	}
}

func TestOpenTakesAFolderOver(t *testing.T) {
	dir := ferretFolder(t, "site")
	if err := os.WriteFile(filepath.Join(dir, databaseName, ferretSocket), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := own(t, start(t, dir))
	for _, answer := range ferretAnswers(t, "site") {
		if n := count(t, c, answer.Collection); int(n) != len(answer.Documents) {
			t.Errorf("%s has %d documents, want %d", answer.Collection, n, len(answer.Documents))
		}
	}
	insert(t, c, "articles", bson.D{{Key: "_id", Value: "new"}, {Key: "slug", Value: "new"}}) // the third without an event
	_, err := c.Database("stoa").Collection("articles").InsertOne(t.Context(), bson.D{{Key: "_id", Value: "newer"}, {Key: "slug", Value: "new"}})
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("a unique index has gone: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, databaseName)); err != nil || slices.ContainsFunc(left, func(f fs.DirEntry) bool { return !strings.HasPrefix(f.Name(), "documents.v2.sqlite") }) {
		t.Errorf("there is left %v: %v", left, err)
	}
}

func TestAFolderWithoutFerretDBIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, databaseName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := quietTakeover(dir).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*", "*")); err != nil || len(files) > 0 {
		t.Errorf("there are %v: %v", files, err)
	}
}

// takeoverChild is the environment variable with "FOLDER STEP" for a child process, a test binary:
// it takes the folder over, and kills itself at that step, a name or the number of the steps
// before.
const takeoverChild = "STOA_TEST_TAKEOVER_CHILD"

func TestTakeoverChild(t *testing.T) {
	dir, at, ok := strings.Cut(os.Getenv(takeoverChild), " ")
	if !ok {
		t.Skip("it is the child of TestATakeoverThatIsKilledIsDoneAgain")
	}
	taking, steps := quietTakeover(dir), 0
	taking.reached = func(step string) {
		if steps++; at == step || at == strconv.Itoa(steps) {
			fmt.Println("step:", step)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if err := taking.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestATakeoverThatIsKilledIsDoneAgain(t *testing.T) {
	seen := map[string]int{}
	for step := 1; ; step++ {
		dir := ferretFolder(t, "wal")
		before := ferretSums(t, filepath.Join(dir, databaseName))
		cmd := exec.Command(os.Args[0], "-test.run=^TestTakeoverChild$")
		cmd.Env = append(os.Environ(), takeoverChild+"="+dir+" "+strconv.Itoa(step))
		out, err := cmd.CombinedOutput()
		if err == nil {
			isTakenOver(t, dir, "wal")
			break
		}
		_, name, ok := strings.Cut(string(out), "step: ")
		if !ok {
			t.Fatalf("the child ended otherwise than killed: %v\n%s", err, out)
		}
		name = strings.TrimSpace(name)
		seen[name]++
		_, err = os.Stat(filepath.Join(dir, documentsFile))
		committed := name == "renamed" || name == "moved"
		if committed != (err == nil) {
			t.Errorf("killed at %q: the new file's error is %v", name, err)
		}
		after := ferretSums(t, filepath.Join(dir, databaseName))
		if !committed && !maps.Equal(after, before) {
			t.Errorf("killed at %q: the old files are %v, and were %v", name, after, before)
		}
		if err := quietTakeover(dir).run(t.Context()); err != nil {
			t.Fatalf("killed at %q: %v", name, err)
		}
		isTakenOver(t, dir, "wal")
		if kept := ferretSums(t, filepath.Join(dir, keptName)); !maps.Equal(kept, before) {
			t.Errorf("killed at %q: kept is %v, and it was %v", name, kept, before)
		}
	}
	for _, name := range []string{"begun", "batch", "filled", "compared", "synced", "renamed", "moved"} {
		if seen[name] == 0 {
			t.Errorf("it was never killed at %q", name)
		}
	}
}

func TestATakeoverThatFailsChangesNothing(t *testing.T) {
	cases := map[string]struct {
		reason string
		spoil  func(t *testing.T, dir string, taking *takeover) context.Context
		says   []string
	}{
		"NoSpace": {"half a file helps nobody", func(t *testing.T, dir string, taking *takeover) context.Context {
			taking.free = func(string) (int64, error) { return 1000, nil }
			return t.Context()
		}, []string{"1000 bytes free", "make room"}},
		"Document": {"a document that is left out is lost", func(t *testing.T, dir string, _ *takeover) context.Context {
			changeFerret(t, dir, "stoa", `UPDATE articles_01c7671e SET _ferretdb_sjson = replace(_ferretdb_sjson, '"date"', '"data"') WHERE rowid = 2`)
			return t.Context()
		}, []string{"database stoa", "collection articles", "row 2", `field "at"`}},
		"Duplicate": {"neither of the two is known to be right", func(t *testing.T, dir string, _ *takeover) context.Context {
			changeFerret(t, dir, "stoa", `DROP INDEX articles_01c7671e__id_`, `DROP INDEX articles_01c7671e_slug_1`, `INSERT INTO articles_01c7671e SELECT _ferretdb_sjson FROM articles_01c7671e WHERE rowid = 1`)
			return t.Context()
		}, []string{"E11000", "stoa.articles"}},
		"Page": {"other damage may be hidden", func(t *testing.T, dir string, _ *takeover) context.Context {
			changeFerret(t, dir, "stoa", `PRAGMA wal_checkpoint(TRUNCATE)`)
			path := filepath.Join(dir, databaseName, "stoa.sqlite")
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.Index(content, []byte(`"slug":"two"`)) &^ 4095
			copy(content[at:at+64], bytes.Repeat([]byte{0xAA}, 64))
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			return t.Context()
		}, []string{"database stoa", "malformed"}},
		"Altered": {"the file changed after it was read", func(t *testing.T, dir string, taking *takeover) context.Context {
			taking.reached = func(step string) {
				if step != "filled" {
					return
				}
				db, err := sql.Open("sqlite", filepath.Join(dir, documentsFile)+unfinished)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if _, err := db.Exec(`UPDATE d1 SET doc = (SELECT doc FROM d1 WHERE rid = 1) WHERE rid = 2`); err != nil {
					t.Fatal(err)
				}
			}
			return t.Context()
		}, []string{"compare", "stoa.articles: 1 indexes, 2 documents"}},
		"Kept": {"the files of another takeover are worth as much", func(t *testing.T, dir string, _ *takeover) context.Context {
			if err := errors.Join(os.Mkdir(filepath.Join(dir, keptName), 0o700), os.WriteFile(filepath.Join(dir, keptName, "stoa.sqlite"), []byte("x"), 0o600)); err != nil {
				t.Fatal(err)
			}
			return t.Context()
		}, []string{keptName + " has files of an earlier takeover"}},
		"Stopped": {"somebody has pressed Ctrl-C", func(t *testing.T, dir string, taking *takeover) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			taking.reached = func(step string) {
				if step == "batch" {
					cancel()
				}
			}
			return ctx
		}, []string{"interrupted"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := ferretFolder(t, "wal")
			taking := quietTakeover(dir)
			ctx := c.spoil(t, dir, taking)
			before := ferretSums(t, filepath.Join(dir, databaseName))
			err := taking.run(ctx)
			if err == nil {
				t.Fatalf("it was taken over: %s", c.reason)
			}
			for _, word := range append(c.says, "stay as they were") {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the error doesn't say %q: %v", word, err)
				}
			}
			if after := ferretSums(t, filepath.Join(dir, databaseName)); !maps.Equal(after, before) {
				t.Errorf("the old files are %v, and were %v", after, before)
			}
			if made, _ := filepath.Glob(filepath.Join(dir, documentsFile+"*")); len(made) > 0 {
				t.Errorf("there are %v", made)
			}
		})
	}
}

// A version with FerretDB refuses the folder, so it can't begin anew in it. The variable names such
// a binary.
func TestAnOlderVersionRefusesTheFolder(t *testing.T) {
	binary := os.Getenv("STOA_TEST_OLD_BINARY")
	if binary == "" {
		t.Skip("STOA_TEST_OLD_BINARY names no binary of a version that had FerretDB")
	}
	for _, killed := range []string{"never", "renamed", "moved"} {
		dir := ferretFolder(t, "site")
		cmd := exec.Command(os.Args[0], "-test.run=^TestTakeoverChild$")
		cmd.Env = append(os.Environ(), takeoverChild+"="+dir+" "+killed)
		_, _ = cmd.CombinedOutput()
		if _, err := os.Stat(filepath.Join(dir, documentsFile)); errors.Is(err, fs.ErrNotExist) {
			t.Fatal("the folder wasn't taken over")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, binary, "--data", dir, "--listen", "127.0.0.1:0").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "documents.v2.sqlite") || !strings.Contains(string(out), "not made by FerretDB") {
			t.Errorf("it ended with %v and said\n%s", err, out)
		}
	}
}
