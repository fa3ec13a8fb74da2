package coherence

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"stoa/blog"
	"stoa/store"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// schedule imports n articles that are due one after the other, the first after a while,
// and returns them as targets.
func schedule(t *testing.T, s *stoatest.Stoa, n int, after time.Duration) []target {
	t.Helper()
	began := time.Now()
	s.Import(t, stoatest.Articles(10))
	after += 5 * time.Since(began) // the next import must have ended by then, however slow the machine is
	due := time.Now().Add(after).UTC().Truncate(time.Millisecond)
	batch := make([]blog.Import, n)
	for i := range batch {
		batch[i] = blog.Import{
			Source: fmt.Sprintf("scheduled/%d.md", i), Digest: "1", Slug: fmt.Sprintf("scheduled-%d", i), Title: fmt.Sprintf("Scheduled %d", i),
			Markdown: "Not yet.", PublishedAt: due.Add(time.Duration(i) * 250 * time.Millisecond),
			Authors: []blog.ImportName{{Slug: fmt.Sprintf("planner-%d", i), Name: "Planner"}},
			Tags:    []blog.ImportName{{Slug: fmt.Sprintf("plan-%d", i), Name: "Plan"}, {Slug: "tag-0", Name: "Tag 0"}},
		}
	}
	s.Import(t, batch)
	docs, err := s.Store.Imported(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []target
	for i, in := range batch {
		g := target{doc: docs[in.Source], tag: in.Tags[0].Slug, author: in.Authors[0].Slug, newer: fmt.Sprintf("scheduled-%d", i+1), older: fmt.Sprintf("scheduled-%d", i-1)}
		if i == 0 {
			g.older = "article-0"
		}
		if i == n-1 {
			g.newer = ""
		}
		if g.doc == nil || g.doc.Status != store.Scheduled || g.doc.Version != 1 {
			t.Fatalf("%s was imported as %+v", in.Slug, g.doc)
		}
		out = append(out, g)
	}
	return out
}

// followSchedule watches targets appear on replicas. After the first one appears, it calls
// then, which may take replicas away.
func followSchedule(t *testing.T, replicas []*stoatest.Stoa, targets []target, then func() []*stoatest.Stoa) {
	t.Helper()
	for i, s := range replicas {
		for _, g := range targets {
			p, err := g.find(s)
			if err != nil {
				t.Fatal(err)
			}
			if found := p.all(false); found != nil && time.Now().Before(g.doc.PublishedAt) {
				t.Errorf("replica %d shows %s before it is due by %q", i, g.doc.Slug, found)
			}
		}
	}
	var late []time.Duration
	for i, g := range targets {
		allowed := contention.Allow(g.doc.PublishedAt.Add(stoatest.PromisedLate * stoatest.Slack))
		for r, s := range replicas {
			for !stoatest.HasArticle(t, s, g.doc.Slug) {
				if allowed.Over() {
					t.Fatalf("%s after it was due, replica %d doesn't have %s", time.Since(g.doc.PublishedAt), r, g.doc.Slug)
				}
			}
			after := time.Since(g.doc.PublishedAt)
			if after < 0 {
				t.Errorf("replica %d has %s %s before it is due", r, g.doc.Slug, -after)
			}
			late = append(late, after)
		}
		if i == 0 && then != nil {
			replicas = then()
		}
	}
	t.Logf("from the moment it was due to its first sight: %s", stoatest.Distribution(late))
	for r, s := range replicas {
		for _, g := range targets {
			stoatest.Await(t, stoatest.PromisedLate*stoatest.Slack, fmt.Sprintf("%s on every path of replica %d", g.doc.Slug, r), func() bool {
				p, err := g.find(s)
				if err != nil {
					t.Fatal(err)
				}
				return p.all(true) == nil
			})
		}
	}
}

// checkOnce checks that each target was published by exactly one write of one replica. stopped
// is how many of the replicas were stopped meanwhile.
func checkOnce(t *testing.T, replicas []*stoatest.Stoa, s *stoatest.Stoa, targets []target, stopped int) {
	t.Helper()
	docs, err := s.Store.Imported(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range targets {
		now := docs[g.doc.Source]
		if now.Status != store.Published || now.Version != g.doc.Version+1 || !now.PublishedAt.Equal(g.doc.PublishedAt) {
			t.Errorf("%s is now %+v", g.doc.Slug, now)
		}
	}
	// If its write gets no timely response, a replica logs a failure, and no replica logs the
	// publication. A replica that is stopped during a write logs neither.
	said, failed := 0, 0
	for _, r := range replicas {
		said += r.Logged("published on schedule")
		failed += r.Logged("scheduled articles can't be published for now")
	}
	if said > len(targets) || said < len(targets)-stopped && failed == 0 {
		t.Errorf("the replicas logged %d times that they published an article, of %d", said, len(targets))
	}
}

func TestScheduledArticlesAppearOnTimeAndOnce(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	var replicas []*stoatest.Stoa
	for _, s := range stoatest.ThreeOver(uri, redis) {
		replicas = append(replicas, stoatest.Start(t, s))
	}
	replicas[0].Import(t, stoatest.Articles(1))
	stoatest.AwaitTrust(t, replicas...)
	targets := schedule(t, replicas[0], 6, 2*time.Second)
	followSchedule(t, replicas, targets, func() []*stoatest.Stoa {
		replicas[0].Stop() // the one that knew of them first
		return replicas[1:]
	})
	checkOnce(t, replicas, replicas[1], targets, 1)
}

func TestScheduledArticlesAppearOnTimeWithoutRedis(t *testing.T) {
	uri := stoatest.Database(t)
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri}
	replicas := []*stoatest.Stoa{stoatest.Start(t, settings), stoatest.Start(t, settings)}
	targets := schedule(t, replicas[0], 3, 5*time.Second)
	followSchedule(t, replicas, targets, nil)
	checkOnce(t, replicas, replicas[1], targets, 0)
}

func TestScheduledArticlesAppearOnTimeInOneProcess(t *testing.T) {
	s := stoatest.Start(t, nil)
	targets := schedule(t, s, 4, 1500*time.Millisecond)
	followSchedule(t, []*stoatest.Stoa{s}, targets, nil)
	checkOnce(t, []*stoatest.Stoa{s}, s, targets, 0)
}

// Articles that became due while no replica ran are published by the next one, also if there
// are more of them than one batch.
func TestWhatBecameDueMeanwhileIsPublishedAtTheNextStart(t *testing.T) {
	const n = 130
	data := t.TempDir()
	s := stoatest.Start(t, stoatest.Settings{"STOA_DATA": data})
	due := time.Now().Add(4 * time.Second).UTC()
	batch := stoatest.Articles(n)
	for i := range batch {
		batch[i].PublishedAt = due.Add(time.Duration(i) * time.Millisecond)
	}
	s.Import(t, batch)
	s.Stop()
	if s.Logged("published on schedule") > 0 {
		t.Skip("this machine is too slow: articles became due before the server had ended")
	}
	stoatest.Await(t, time.Minute, "the articles to be due", func() bool { return time.Now().After(due.Add(n * time.Millisecond)) })

	s = stoatest.Start(t, stoatest.Settings{"STOA_DATA": data})
	began := time.Now()
	var out struct {
		Articles struct{ Nodes []stoatest.Slugged }
	}
	stoatest.Await(t, 20*time.Second, "all of them", func() bool {
		s.Data(t, &out, `{ articles(last: 100) { nodes { slug } } }`, nil)
		return s.Logged("published on schedule") == n
	})
	t.Logf("%d articles that were due were published within %s", n, time.Since(began).Round(time.Millisecond))
	s.Data(t, &out, `{ articles(last: 100) { nodes { slug } } }`, nil)
	if len(out.Articles.Nodes) != 100 || !slices.Contains(out.Articles.Nodes, stoatest.Slugged{Slug: "article-0"}) {
		t.Errorf("they are listed as %v", out.Articles.Nodes)
	}
}
