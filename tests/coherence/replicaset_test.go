package coherence

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"stoa/store"
	"stoa/tests/redistest"
	"stoa/tests/replicaset"
	"stoa/tests/stoatest"
)

// The promises of the caches over a replica set: without a primary, and with writes that reach a
// majority late.

const (
	// election is how long a set may be without a primary: nearly three times the 12 s that an
	// election takes by default.
	election = 31 * time.Second

	homePage = `{ articles(first: 20) { nodes { title author { name } tags { name } } } }`
)

// overSet starts three replicas over a set with some articles, with a page in the memory of each.
func overSet(t *testing.T, n int) (*replicaset.Set, []*stoatest.Stoa) {
	t.Helper()
	set := replicaset.Between(t, stoatest.Database(t))
	replicas := stoatest.StartThree(t, set.URI(), redistest.Start(t).URL())
	replicas[0].Import(t, stoatest.Articles(n))
	for _, r := range replicas {
		r.Quiesce(t)
	}
	stoatest.AwaitTrust(t, replicas...)
	for _, r := range replicas {
		titlesOf(t, r)
	}
	return set, replicas
}

// titlesOf returns the titles on the home page of a replica.
func titlesOf(t *testing.T, s *stoatest.Stoa) []string {
	t.Helper()
	var out struct {
		Articles struct{ Nodes []struct{ Title string } }
	}
	s.Data(t, &out, homePage, nil)
	var titles []string
	for _, n := range out.Articles.Nodes {
		titles = append(titles, n.Title)
	}
	return titles
}

// retitle gives an article the title of its next version through a replica.
func retitle(s *stoatest.Stoa, slug string) (string, error) {
	ctx := context.Background()
	before, err := store.Articles.BySlug(ctx, s.Store, slug)
	if err != nil {
		return "", err
	}
	after := *before
	after.Title = title(slug, before.Version+1)
	after.TitleKey, after.UpdatedAt = store.SortKey(after.Title), store.Now()
	return after.Title, s.Store.ChangeArticle(ctx, before, &after)
}

// awaitTitle waits until every replica shows a title, for as long as one may be behind.
func awaitTitle(t *testing.T, replicas []*stoatest.Stoa, title string) {
	t.Helper()
	stoatest.Await(t, stoatest.InTime, "all replicas to find the primary", func() bool {
		for _, r := range replicas {
			if len(r.Query(t, homePage, nil).Errors) > 0 {
				return false
			}
		}
		return true
	})
	for i, r := range replicas {
		stoatest.Await(t, stoatest.PromisedStale*stoatest.Slack, fmt.Sprintf("replica %d to show %q", i, title), func() bool {
			return strings.Contains(strings.Join(titlesOf(t, r), "\n"), title)
		})
	}
}

func TestCachedPagesOutlastAnElection(t *testing.T) {
	t.Parallel()
	set, replicas := overSet(t, 12)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	follower, err := stoatest.Subscribe(ctx, replicas[1], stoatest.ArticlePublished, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Cut()
	stoatest.Await(t, stoatest.InTime, "the subscription to begin", func() bool { return replicas[1].Store.Followers() == 1 })
	set.StepDown()
	gone, pages, refused := time.Now(), 0, 0
	lasts := stoatest.Shorter(election)
	stoatest.Await(t, 2*lasts, "the time of an election to pass", func() bool {
		for i, r := range replicas {
			a := r.Query(t, homePage, nil)
			if pages++; len(a.Errors) > 0 {
				t.Fatalf("replica %d answers its home page by %s, %s after the primary has gone", i, a.Raw, time.Since(gone))
			}
		}
		if refused < int(time.Since(gone)/(5*time.Second)) {
			refused++
			for what, document := range map[string]string{
				"a read past the caches": fmt.Sprintf(`{ article(slug: "unknown-%d") { title } }`, refused),
				"a mutation":             `mutation { passwordResetRequest(input: {email: "reader@example.com"}) { userErrors { message } } }`,
			} {
				if a := replicas[refused%3].Query(t, document, nil); a.Status != http.StatusServiceUnavailable || len(a.Errors) == 0 || a.Errors[0].Extensions["code"] != "UNAVAILABLE" {
					t.Errorf("%s without a primary is answered by %d %s", what, a.Status, a.Raw)
				}
			}
		}
		return time.Since(gone) > lasts
	})
	t.Logf("%d pages without a primary", pages)
	set.Elect()
	var now string
	stoatest.Await(t, stoatest.InTime, "a write to be taken", func() bool {
		var err error
		now, err = retitle(replicas[0], "article-1")
		return err == nil
	})
	awaitTitle(t, replicas, now)
	replicas[0].Import(t, stoatest.Articles(13)[12:])
	if e, err := follower.Event(ctx); err != nil || e.Article == nil {
		t.Errorf("a subscription from before the election gets %+v, %v", e, err)
	}
}

func TestAMutationWaitsForAPrimaryThatIsSoonThere(t *testing.T) {
	t.Parallel()
	set, replicas := overSet(t, 3)
	set.StepDown()
	stoatest.Await(t, stoatest.InTime, "the loss to be known", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return replicas[0].Store.AwaitPrimary(ctx) != nil
	})
	waits := make(chan stoatest.Answer, 1)
	go func() {
		a, _ := replicas[0].Ask(`mutation { passwordResetRequest(input: {email: "reader@example.com"}) { userErrors { message } } }`, nil)
		waits <- a
	}()
	set.Elect()
	if a := <-waits; a.Status != http.StatusOK || len(a.Errors) > 0 {
		t.Errorf("it is answered by %d %s", a.Status, a.Raw)
	}
}

func TestAWriteThatAMajorityGetsLate(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"IsShown": false, "OrIsLost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, replicas := overSet(t, 3)
			set.Stall()
			before, after := titlesOf(t, replicas[0]), ""
			var err error
			if after, err = retitle(replicas[0], "article-0"); err == nil {
				t.Fatal("a write is acknowledged that no majority has")
			}
			// Longer than the blocks of a write last.
			failed := time.Now()
			stoatest.Await(t, time.Minute, "blocks to run out, if nobody renewed them", func() bool {
				for i, r := range replicas {
					if now := titlesOf(t, r); strings.Join(now, "\n") != strings.Join(before, "\n") {
						t.Fatalf("replica %d shows %q, and no majority has that", i, now)
					}
				}
				return time.Since(failed) > 5*time.Second
			})
			if lost {
				set.StepDown()
				set.Elect()
				stoatest.Await(t, stoatest.InTime, "a write to be taken", func() bool {
					after, err = retitle(replicas[1], "article-0")
					return err == nil
				})
			} else {
				set.Release(t)
			}
			awaitTitle(t, replicas, after)
			stoatest.AwaitTrust(t, replicas...)
		})
	}
}

func TestWritesAroundABreakAreMadeOnce(t *testing.T) {
	t.Parallel()
	set, replicas := overSet(t, 3)
	for i, breaks := range []func(string, int){set.BreakBefore, set.BreakAfter} {
		breaks("articles", 1)
		now, err := retitle(replicas[i], "article-0")
		if err != nil {
			t.Fatal(err)
		}
		if want := title("article-0", int64(i+2)); now != want {
			t.Errorf("the article has the title %q, not %q", now, want)
		}
		awaitTitle(t, replicas, now)
	}
}
