package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/store"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// Of two servers, the one that has just published the first of several articles is killed, as
// a power cut would: the other publishes the rest, each on time, and none is published twice.
func TestOneOfTwoServersThatIsKilledLosesNoSchedule(t *testing.T) {
	t.Parallel()
	for name, redis := range map[string]string{"Redis": redistest.Start(t).URL(), "WithoutRedis": ""} {
		t.Run(name, func(t *testing.T) { killWhileScheduled(t, redis) })
	}
}

func killWhileScheduled(t *testing.T, redis string) {
	const n = 6
	uri := stoatest.Database(t)
	env := environ{"STOA_MONGODB_URI": uri}
	if redis != "" {
		env["STOA_REDIS_URL"] = redis
	}
	began := time.Now()
	servers := []*process{serve(t, env), serve(t, env)}
	folder := t.TempDir()
	// The import, one more process, must have ended by then, however slow the machine is.
	first := time.Now().Add(max(6*time.Second, 3*time.Since(began))).UTC().Truncate(time.Millisecond)
	due := func(i int) time.Time { return first.Add(time.Duration(i) * 400 * time.Millisecond) }
	for i := range n {
		text := fmt.Sprintf("---\ntitle: Planned %d\ndate: %s\nauthor: Ines Moreau\ntags: [tomorrow]\n---\nSoon.\n", i, due(i).Format(time.RFC3339Nano))
		stoatest.Check(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("planned-%d.md", i)), []byte(text), 0o600))
	}
	if importing := run(t, env, "import", "markdown", folder); importing.exitCode(t) != 0 {
		t.Fatalf("import: %s%s", importing.stdout, importing.stderr)
	}
	articles := stoatest.OpenDatabase(t, uri).Collection("articles")
	type document struct {
		Slug        string
		Status      store.Status
		Version     int64
		PublishedAt time.Time `bson:"publishedAt"`
	}
	find := func(slug string) (d document) {
		t.Helper()
		stoatest.Check(t, articles.FindOne(t.Context(), bson.D{{Key: "slug", Value: slug}}).Decode(&d))
		return d
	}
	if d := find("planned-0"); d.Status != store.Scheduled || d.Version != 1 || time.Now().After(first) {
		t.Fatalf("%s before it is due, the first is %+v", time.Until(first), d)
	}

	said := func(p *process) int { return strings.Count(p.stderr.String(), "published on schedule") }
	var alive *process
	stoatest.Await(t, time.Until(first)+stoatest.PromisedLate*stoatest.Slack, "the first to be published", func() bool {
		for i, p := range servers {
			if said(p) > 0 {
				p.kill(t)
				alive = servers[1-i]
				return true
			}
		}
		return false
	})
	var late []time.Duration
	for i := range n {
		slug := fmt.Sprintf("planned-%d", i)
		allowed := contention.Allow(due(i).Add(stoatest.PromisedLate * stoatest.Slack))
		for !stoatest.HasArticle(t, alive.Stoa, slug) {
			if allowed.Over() {
				t.Fatalf("%s after it was due, %s isn't there", time.Since(due(i)), slug)
			}
		}
		after := time.Since(due(i))
		if after < 0 {
			t.Errorf("%s is there %s before it is due", slug, -after)
		}
		late = append(late, after)
	}
	t.Logf("from the moment it was due to its first sight: %s", stoatest.Distribution(late))
	for i := range n {
		if d := find(fmt.Sprintf("planned-%d", i)); d.Status != store.Published || d.Version != 2 || !d.PublishedAt.Equal(due(i)) {
			t.Errorf("it was to be published by one write at %s, and is %+v", due(i), d)
		}
	}
	// The killed replica may have published one more than it logged.
	if all := said(servers[0]) + said(servers[1]); all > n || all < n-1 || said(alive) == 0 {
		t.Errorf("of %d, the one that lived on said of %d that it published them, both of %d", n, said(alive), all)
	}
}
