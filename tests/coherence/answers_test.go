package coherence

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// frontPage is a query with each article's title in several places.
const frontPage = `{
	articles(first: 100) { nodes { slug title author { name } tags { name } next { slug title } } }
	tags(first: 20) { nodes { name articleCount articles(first: 10) { nodes { slug title } } } }
}`

// readFront holds every title of a whole page against the promises, by POST or by GET.
func (f *fleet) readFront(r int, replica *stoatest.Stoa, get bool) {
	type titled struct{ Slug, Title string }
	q := asked(r)
	var out struct {
		Articles struct {
			Nodes []struct {
				titled
				Next *titled
			}
		}
		Tags struct {
			Nodes []struct {
				Articles struct{ Nodes []titled }
			}
		}
	}
	var err error
	if get {
		err = decodeGet(replica, &out, frontPage)
	} else {
		err = stoatest.Decode(replica, &out, frontPage, nil)
	}
	if err != nil {
		f.failed(r, err)
		return
	}
	listed := 0
	shown := func(how string, x titled) bool {
		if !strings.HasPrefix(x.Slug, "article-") {
			return false // one of the other things that are followed
		}
		f.answered(q, how, x.Slug, x.Title)
		return true
	}
	for _, n := range out.Articles.Nodes {
		if shown("the front page", n.titled) {
			listed++
		}
		if n.Next != nil {
			shown("next on the front page", *n.Next)
		}
	}
	if listed != len(f.articles) {
		f.complain("replica %d lists %d articles, not %d", r, listed, len(f.articles))
	}
	for _, tag := range out.Tags.Nodes {
		for _, n := range tag.Articles.Nodes {
			shown("a tag on the front page", n)
		}
	}
}

// decodeGet is decode for a GET.
func decodeGet(s *stoatest.Stoa, out any, query string) error {
	response, err := http.Get(s.URL + "/graphql?query=" + url.QueryEscape(query))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var a stoatest.Answer
	if err := json.Unmarshal(raw, &a); err != nil || response.StatusCode != 200 || len(a.Errors) > 0 {
		return fmt.Errorf("status %d: %s", response.StatusCode, raw)
	}
	return json.Unmarshal(a.Data, out)
}

// Whole answers keep the promises of the caches: over three replicas under load, while Redis
// dies, comes back empty, and restarts.
func TestWholeAnswersAgreeOverReplicas(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t)
	f := newFleet(t, 12, stoatest.ThreeOver(uri, redis.URL())...)
	f.followOther(t)
	stoatest.AwaitTrust(t, f.replicas...)
	stop := f.load()
	done := make(chan struct{})
	var fronts sync.WaitGroup
	for r, replica := range f.replicas {
		for _, get := range []bool{false, true} {
			fronts.Go(func() {
				tick := time.NewTicker(5 * time.Millisecond * f.slower)
				defer tick.Stop()
				for {
					select {
					case <-done:
						return
					case <-tick.C:
						f.readFront(r, replica, get)
					}
				}
			})
		}
	}
	t.Cleanup(sync.OnceFunc(func() { // before the replicas stop, however this ends
		close(done)
		fronts.Wait()
		stop()
	}))
	phase := func(name string, do func(*testing.T)) {
		f.forget()
		t.Run(name, func(t *testing.T) {
			var before []int64
			for _, r := range f.replicas {
				before = append(before, r.ResponseCounts().Hits)
			}
			do(t)
			f.awaitLoad(t)
			f.report(t)
			for i, r := range f.replicas {
				t.Logf("replica %d: %d hits, %+v", i, r.ResponseCounts().Hits-before[i], r.ResponseCounts())
			}
		})
	}
	phase("WhileAllIsWell", func(t *testing.T) {
		stoatest.During(stoatest.Shorter(5 * time.Second))
		for i, r := range f.replicas {
			stoatest.Await(t, 10*time.Second, fmt.Sprintf("replica %d to answer out of what it keeps", i), func() bool { return r.ResponseCounts().Hits > 0 })
		}
	})
	phase("WhileRedisIsDead", func(t *testing.T) {
		redis.Kill(t)
		stoatest.During(stoatest.Shorter(2*stoatest.Slack*stoatest.PromisedStale + time.Second/2))
	})
	phase("WhenRedisIsBackEmpty", func(t *testing.T) {
		redis.Forget(t)
		redis.Start(t)
		stoatest.During(stoatest.Shorter(2500 * time.Millisecond))
	})
	phase("WhenRedisRestarts", func(t *testing.T) {
		redis.Restart(t, true)
		stoatest.During(stoatest.Shorter(2500 * time.Millisecond))
	})
}

// A change made to the database by another program is seen on every replica once it is purged:
// in cached responses, in the process and in Redis.
func TestAPurgeReachesEveryReplica(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t)
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL()}
	allowed := contention.Allow(time.Now())
	one, other := stoatest.Start(t, settings), stoatest.Start(t, settings)
	one.Import(t, stoatest.Articles(3))
	stoatest.AwaitTrust(t, one, other)
	query := `{ article(slug: "article-0") { id title } }`
	ask := func(s *stoatest.Stoa) (i id.ID, title string) {
		var out struct {
			Article struct {
				ID    id.ID
				Title string
			}
		}
		s.Data(t, &out, query, nil)
		return out.Article.ID, out.Article.Title
	}
	stoatest.Await(t, 20*time.Second, "both to keep the answer", func() bool {
		before := one.ResponseCounts().Hits + other.ResponseCounts().Hits
		ask(one)
		ask(other)
		return one.ResponseCounts().Hits+other.ResponseCounts().Hits == before+2
	})
	article, title := ask(one)
	_, err := stoatest.OpenDatabase(t, uri).Collection("articles").UpdateOne(t.Context(), bson.D{{Key: "_id", Value: article}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "title", Value: "Changed behind its back"}}}})
	stoatest.Check(t, err)
	for _, s := range []*stoatest.Stoa{one, other} {
		// Without the time to hear from the bus, a replica would read the database.
		if _, got := ask(s); got != title && !allowed.Shared() {
			t.Errorf("nobody has told, but the title is %q", got)
		}
	}
	admin := one.Join(t, "admin@example.org", "Admin", access.Admin, time.Time{})
	a, err := one.Send(stoatest.Request{Query: fmt.Sprintf(`mutation { cachePurge(input: {tags: [%q]}) { userErrors { message } } }`, article), Token: admin.Token})
	stoatest.Check(t, err)
	if strings.Contains(string(a.Raw), "message") {
		t.Fatalf("%s", a.Raw)
	}
	if _, got := ask(one); got == title {
		t.Error("where it was purged, it is what it was")
	}
	stoatest.Await(t, stoatest.Slack*stoatest.PromisedStale, "the other replica to hear of it", func() bool { _, got := ask(other); return got != title })
	stoatest.Await(t, 10*time.Second, "a replica that starts now to read it", func() bool { _, got := ask(stoatest.Start(t, settings)); return got != title })
}
