package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// previousRevision is the last commit before the present formats: the version that an upgrade
// comes from. It goes up when a version is released.
const previousRevision = "9ea3ca822b1e4a18aedb56d37c6381f72d7c246b"

// errNoPrevious says why the previous version can't be built here.
var errNoPrevious = errors.New("the previous version can't be built here")

// buildPrevious builds the previous version, once in a run of the tests. It leaves out the
// embedded database, since its modules may not be here.
var buildPrevious = sync.OnceValues(func() (string, error) {
	if out, err := exec.Command("git", "cat-file", "-e", previousRevision+"^{commit}").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: this checkout has no commit %s (a shallow clone: git fetch --unshallow brings it): %v %s", errNoPrevious, previousRevision[:12], err, out)
	}
	source := filepath.Join(buildFolder, "previous")
	archive, err := exec.Command("git", "-C", "../..", "archive", previousRevision).Output()
	if err != nil {
		return "", fmt.Errorf("git archive: %w", err)
	}
	if err := os.Mkdir(source, 0o700); err != nil {
		return "", err
	}
	unpack := exec.Command("tar", "-x", "-C", source)
	unpack.Stdin = strings.NewReader(string(archive))
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("tar: %w: %s", err, out)
	}
	path := filepath.Join(buildFolder, "stoa-previous")
	compile := exec.Command("go", "build", "-tags", "stoa_noembedded", "-o", path, ".")
	compile.Dir = source
	if out, err := compile.CombinedOutput(); err != nil {
		for _, offline := range []string{"dial tcp", "no such host", "GOPROXY=off", "Forbidden", "connection refused"} {
			if strings.Contains(string(out), offline) {
				return "", fmt.Errorf("%w: its modules aren't here, and can't be fetched: %s", errNoPrevious, out)
			}
		}
		return "", fmt.Errorf("build the previous version: %w: %s", err, out)
	}
	return path, nil
})

func previous(t *testing.T) string {
	t.Helper()
	path, err := buildPrevious()
	if errors.Is(err, errNoPrevious) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A rolling upgrade: replicas of the previous version and of this one serve one database and
// one Redis, each writes, and each returns the other's writes.
func TestTwoVersionsServeOneDatabase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds another version")
	}
	before := previous(t)
	now, err := build()
	if err != nil {
		t.Fatal(err)
	}
	env := environ{"STOA_MONGODB_URI": stoatest.Database(t), "STOA_REDIS_URL": redistest.Start(t).URL(), "STOA_LISTEN": "127.0.0.1:0", "STOA_RATE": "0"}
	start := func(binary string) *process {
		p := launchBinary(t, binary, env)
		p.awaitReady(t)
		return p
	}
	folder := filepath.Join(t.TempDir(), "posts")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(binary, title, tag string) {
		t.Helper()
		text := fmt.Sprintf("---\ntitle: %s\ndate: 2026-01-01\ntags: [%s]\nauthors: [ada]\n---\nText of %s.\n", title, tag, title)
		if err := os.WriteFile(filepath.Join(folder, "one.md"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := launchBinary(t, binary, env, "import", "markdown", folder)
		if code := p.exitCode(t); code != 0 {
			t.Fatalf("the import ends with %d: %s%s", code, p.stdout, p.stderr)
		}
	}
	shows := func(p *process, who, title, tag string) {
		t.Helper()
		stoatest.Await(t, 15*time.Second, who+" to show "+title, func() bool { return slices.Equal(p.titles(t), []string{title}) })
		stoatest.Await(t, 15*time.Second, who+" to show "+title+" under "+tag+" alone", func() bool {
			var out map[string]*struct {
				Articles struct{ Nodes []struct{ Title string } }
			}
			p.Data(t, &out, `{ a: tag(slug: "a") { articles(first: 5) { nodes { title } } } b: tag(slug: "b") { articles(first: 5) { nodes { title } } } }`, nil)
			under := ""
			for alias, found := range out {
				if found != nil && len(found.Articles.Nodes) > 0 {
					under += alias + found.Articles.Nodes[0].Title
				}
			}
			return under == tag+title
		})
	}

	old := start(before)
	put(before, "Zero", "b")
	shows(old, "the previous version", "Zero", "b")
	pending := launchBinary(t, now, env, "migrate", "--dry-run")
	if code := pending.exitCode(t); code != 0 || !strings.Contains(pending.stdout.String(), "drop the index status_1_titleKey_1__id_1 of articles") {
		t.Errorf("the dry run ends with %d: %s%s", code, pending.stdout, pending.stderr)
	}
	current := start(now)
	for i, binary := range []string{before, now, now, before} {
		title, tag := fmt.Sprintf("Title %d", i), string("ab"[i/2])
		put(binary, title, tag)
		shows(old, "the previous version", title, tag)
		shows(current, "this version", title, tag)
	}
	stoatest.Await(t, 15*time.Second, "the migrations", func() bool {
		p := launchBinary(t, now, env, "migrate", "--dry-run")
		return p.exitCode(t) == 0 && strings.Contains(p.stdout.String(), "there is nothing to do")
	})
	old.stop(t)
	old = start(before) // as after a crash, or to go back
	shows(old, "the previous version, begun again,", "Title 3", "b")
	put(before, "Last", "a")
	shows(current, "this version", "Last", "a")
}

func TestADatabaseOfANewerVersionEndsTheStart(t *testing.T) {
	t.Parallel()
	uri := stoatest.Database(t)
	_, err := stoatest.OpenDatabase(t, uri).Collection("meta").UpdateOne(t.Context(), bson.D{{Key: "_id", Value: "format"}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: 99}, {Key: "oldest", Value: 98}, {Key: "program", Value: "stoa v99.0.0"}}}}, options.UpdateOne().SetUpsert(true))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"migrate"}, {"migrate", "--dry-run"}, {"purge", "list/all"}} {
		checkRefusal(t, run(t, environ{"STOA_MONGODB_URI": uri, "STOA_LISTEN": "127.0.0.1:0"}, args...), 1, "STOA_MONGODB_URI", "format 98", "stoa v99.0.0")
	}
}

func TestMigrateTellsAndDoes(t *testing.T) {
	t.Parallel()
	uri := stoatest.Database(t)
	env := environ{"STOA_MONGODB_URI": uri}
	db := stoatest.OpenDatabase(t, uri)
	if _, err := db.Collection("meta").InsertOne(t.Context(), bson.D{{Key: "_id", Value: "site"}, {Key: "name", Value: "name"}}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		want []string
	}{
		{[]string{"migrate", "--dry-run"}, []string{"make the index slug_1 of articles", "format 1: drop the indexes"}},
		{[]string{"migrate", "--dry-run"}, []string{"make the index slug_1 of articles", "format 1: drop the indexes"}},
		{[]string{"migrate"}, []string{"drop the indexes", "done"}},
		{[]string{"migrate"}, []string{"there is nothing to do"}},
	} {
		p := run(t, env, step.args...)
		if code := p.exitCode(t); code != 0 {
			t.Errorf("%q ends with %d: %s", step.args, code, p.stderr)
		}
		for _, want := range step.want {
			if !strings.Contains(p.stdout.String(), want) {
				t.Errorf("%q doesn't say %q: %s", step.args, want, p.stdout)
			}
		}
	}
	checkRefusal(t, run(t, env, "migrate", "now"), 2, "migrate [--dry-run]")
}
