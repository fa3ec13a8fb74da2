package process

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stoa/store/bus"
	"stoa/store/embedded"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// database starts a server that the test can stop: a stoa with an embedded database, used by
// other processes as their MongoDB. It returns its URI, the same after a restart.
func database(t *testing.T, data string) (*process, string) {
	t.Helper()
	p := serve(t, environ{"STOA_DATA": data, "STOA_DEMO": "on"})
	uri, ok, err := embedded.Find(data)
	if err != nil || !ok {
		t.Fatalf("the server isn't found: %t, %v", ok, err)
	}
	return p, uri
}

const homeQuery = `{ articles(first: 20) { nodes { title author { name } tags { name } } } }`

func TestADatabaseThatIsGoneIsHiddenFromClientsAndComesBack(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	db, uri := database(t, data)
	p := serve(t, environ{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redistest.Start(t).URL()})
	awaitTrusting(t, p)
	if status, body := p.get(t, "/readyz", ""); status != http.StatusOK {
		t.Fatalf("/readyz answers %d %q", status, body)
	}

	db.kill(t)
	gone, answered := time.Now(), 0
	stoatest.Await(t, 20*time.Second, "the time of a few polls to pass", func() bool {
		if a := p.Query(t, homeQuery, nil); len(a.Errors) > 0 {
			t.Fatalf("nobody can write without the database, and it answers %s", a.Raw)
		}
		answered++
		return time.Since(gone) > 5*time.Second
	})
	t.Logf("memory answered %d times without the database", answered)

	a := p.Query(t, `{ tags { nodes { name } } }`, nil)
	if a.Status != http.StatusServiceUnavailable || len(a.Errors) == 0 || a.Errors[0].Extensions["code"] != "UNAVAILABLE" {
		t.Fatalf("without a database it answers by %d %s", a.Status, a.Raw)
	}
	for _, inner := range []string{"mongo", "server selection", "sock", "dial", data} {
		if strings.Contains(strings.ToLower(string(a.Raw)), inner) {
			t.Errorf("the answer tells of the inside (%q): %s", inner, a.Raw)
		}
	}
	if a := p.Query(t, `mutation { passwordResetRequest(input: {email: "reader@example.com"}) { userErrors { message } } }`, nil); a.Status != http.StatusServiceUnavailable || a.Data != nil {
		t.Errorf("without a database a mutation is answered by %d %s", a.Status, a.Raw)
	}
	if status, body := p.get(t, "/feed.atom", ""); status != http.StatusServiceUnavailable {
		t.Errorf("without a database a feed is answered by %d %s", status, body)
	}
	for path, want := range map[string]string{"/readyz": "cached answers", "/healthz": "ok"} {
		if status, body := p.get(t, path, ""); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("without a database %s answers %d %q, want %q", path, status, body, want)
		}
	}
	if log := p.stderr.String(); strings.Count(log, "the database has no primary") != 1 || strings.Contains(log, "a request failed") {
		t.Errorf("a database that can't be reached is worth one line:\n%s", log)
	}

	again, sameURI := database(t, data)
	if sameURI != uri {
		t.Fatalf("the database is now at %s, not %s", sameURI, uri)
	}
	back := time.Now()
	stoatest.Await(t, 20*time.Second, "everything to work again", func() bool {
		status, _ := p.get(t, "/readyz", "")
		return status == http.StatusOK && len(p.Query(t, `{ tags { nodes { name } } }`, nil).Errors) == 0 && len(p.Query(t, homeQuery, nil).Errors) == 0
	})
	t.Logf("it works again %s after the database", time.Since(back).Round(10*time.Millisecond))
	if log := p.stderr.String(); strings.Count(log, "the database has a primary again") != 1 {
		t.Errorf("the return of the database is worth one line:\n%s", log)
	}
	if want, got := again.titles(t), p.titles(t); strings.Join(want, "\n") != strings.Join(got, "\n") || len(got) == 0 {
		t.Errorf("it answers %q, and the database has %q", got, want)
	}
	p.stop(t)
}

// awaitTrusting waits until a server answers a page from memory for longer than a second,
// as one does that hears of every change. It takes no value from a Redis that it has just found, and
// what it reads in that time lives for a second.
func awaitTrusting(t *testing.T, p *process) {
	t.Helper()
	began := time.Now()
	stoatest.Await(t, 20*time.Second, "the server to be used for a while", func() bool {
		if a := p.Query(t, homeQuery, nil); len(a.Errors) > 0 {
			t.Fatalf("it answers %s", a.Raw)
		}
		return time.Since(began) > bus.BlockFor+1500*time.Millisecond
	})
}

func TestADatabaseThatIsNowhereEndsTheStart(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 seconds")
	}
	t.Parallel()
	address := closedPort(t)
	began := time.Now()
	p := run(t, environ{"STOA_LISTEN": "127.0.0.1:0", "STOA_MONGODB_URI": "mongodb://reader:secret@" + address + "/"})
	took := time.Since(began)
	text := p.stderr.String()
	if code := p.exitCode(t); code != 1 || !regexp.MustCompile(`(?m)^stoa: STOA_MONGODB_URI: .*`+address+`.*\n\z`).MatchString(text) {
		t.Errorf("exit code %d: %s", code, text)
	}
	if strings.Contains(text, "secret") {
		t.Errorf("it shows the password: %s", text)
	}
	if took > 45*time.Second {
		t.Errorf("it gave up after %s", took)
	}
}

func TestARedisThatIsNowhereIsSaidOnceAndUsedWhenItComes(t *testing.T) {
	t.Parallel()
	_, uri := database(t, t.TempDir())
	redis := redistest.Start(t)
	redis.Kill(t)
	p := serve(t, environ{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL()})
	awaitTrusting(t, p)
	const warning = "Redis can't be reached"
	stoatest.Await(t, 20*time.Second, "the warning", func() bool { return strings.Contains(p.stderr.String(), warning) })
	if log := p.stderr.String(); strings.Count(log, warning) != 1 || strings.Count(log, "\n") > 3 {
		t.Errorf("a Redis that can't be reached is worth one warning:\n%s", log)
	}

	redis.Forget(t)
	redis.Start(t)
	client := redis.Client(t)
	stoatest.Await(t, 20*time.Second, "Redis to be used", func() bool {
		if a := p.Query(t, homeQuery, nil); len(a.Errors) > 0 {
			t.Fatalf("it answers %s", a.Raw)
		}
		keys, err := client.Keys(t.Context(), "stoa:*").Result()
		return err == nil && len(keys) > 0
	})
	stoatest.Await(t, 20*time.Second, "the log to say so", func() bool { return strings.Contains(p.stderr.String(), "Redis is back") })
	p.stop(t)
}

// Servers that share a Redis with an import see its changes at once, others see them a second
// later.
func TestAnImportBesideServersIsSeenByThem(t *testing.T) {
	t.Parallel()
	_, uri := database(t, t.TempDir())
	redis := redistest.Start(t)
	shared := environ{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL()}
	alone := environ{"STOA_MONGODB_URI": uri}
	p, q := serve(t, shared), serve(t, alone)
	folder := notebook(t)
	title := func(p *process) string {
		t.Helper()
		var out struct{ Article *struct{ Title string } }
		p.Data(t, &out, `{ article(slug: "kites") { title } }`, nil)
		if out.Article == nil {
			return ""
		}
		return out.Article.Title
	}
	old := "Kites: what the wind teaches"
	for i, env := range []environ{shared, alone, shared} {
		if i > 0 {
			next := fmt.Sprintf("Kites %d", i)
			rewrite(t, filepath.Join(folder, "kites.md"), old, next)
			old = next
		}
		for range 2 {
			if title(p) == old || title(q) == old {
				t.Fatalf("%q is there before its import", old)
			}
		}
		began := time.Now()
		importing := run(t, env, "import", "markdown", folder)
		if importing.exitCode(t) != 0 {
			t.Fatalf("import: %s%s", importing.stdout, importing.stderr)
		}
		done := time.Now()
		stoatest.Await(t, stoatest.PromisedStale*stoatest.Slack, "the servers to see it", func() bool { return title(p) == old && title(q) == old })
		t.Logf("an import of %s was seen everywhere after another %s", done.Sub(began).Round(time.Millisecond), time.Since(done).Round(time.Millisecond))
	}
}

func TestAnImportSchedulesWhatIsDueLater(t *testing.T) {
	t.Parallel()
	data, folder := t.TempDir(), notebook(t)
	p := serve(t, environ{"STOA_DATA": data})
	began := time.Now()
	importInto(t, data, folder, 0, ofNotebook)
	took := time.Since(began) // later articles must not be due yet when the next imports have ended
	var due time.Time
	write := func(name string, after time.Duration) {
		t.Helper()
		due = time.Now().Add(after).UTC().Truncate(time.Millisecond)
		text := fmt.Sprintf("---\ntitle: %s\ndate: %s\nauthor: Ines Moreau\ntags: [sea, tomorrow]\n---\nSoon.\n", name, due.Format(time.RFC3339Nano))
		if err := os.WriteFile(filepath.Join(folder, name+".md"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("soon", max(4*time.Second, 5*took))
	importInto(t, data, folder, 0, counts{Created: 1, Unchanged: 8, Skipped: 2})
	early := false
	see := func() bool {
		asked := time.Now()
		var out struct {
			Article  *stoatest.Slugged
			Articles stoatest.Listed
			Tag      *struct{ ArticleCount int }
		}
		p.Data(t, &out, `{ article(slug: "soon") { slug } articles { nodes { slug } } tag(slug: "tomorrow") { articleCount } }`, nil)
		found := out.Article != nil
		if found || out.Articles.Has("soon") || out.Tag != nil && out.Tag.ArticleCount > 0 {
			early = early || time.Now().Before(due)
		}
		return found && out.Articles.Has("soon") && out.Tag.ArticleCount == 1 && asked.After(due)
	}
	importInto(t, data, folder, 0, counts{Unchanged: 9, Skipped: 2})
	stoatest.Await(t, time.Minute, "the article to be due", func() bool { see(); return time.Now().After(due) })
	stoatest.Await(t, stoatest.PromisedLate*stoatest.Slack, "it to be published", see)
	t.Logf("published %s after it was due", time.Since(due).Round(10*time.Millisecond))
	if early {
		t.Error("it was to be seen before it was due")
	}
	if n := strings.Count(p.stderr.String(), "published on schedule"); n != 1 {
		t.Errorf("the log says %d times that it was published:\n%s", n, p.stderr)
	}
	importInto(t, data, folder, 0, counts{Unchanged: 9, Skipped: 2})

	// One that becomes due while no server runs is published by the next one.
	write("later", max(1500*time.Millisecond, 3*took))
	importInto(t, data, folder, 0, counts{Created: 1, Unchanged: 9, Skipped: 2})
	p.stop(t)
	stoatest.Await(t, time.Minute, "the other article to be due", func() bool { return time.Now().After(due) })
	p = serve(t, environ{"STOA_DATA": data})
	stoatest.Await(t, stoatest.PromisedLate*stoatest.Slack, "the other article to be published", func() bool { return stoatest.HasArticle(t, p.Stoa, "later") })
}
