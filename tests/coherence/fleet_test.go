// Package coherence tests the promises of the caches on replicas with one database, under load
// and faults, by every way to the written data.
package coherence

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoa/problem"
	"stoa/store"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// The tests of coherence run three replicas over one database, change data on all of them,
// read on all of them, and check every response against the promises of the caches:
//
//  - the replica that acknowledged a change never returns older data;
//  - the others do for at most promisedStale, even if Redis fails;
//  - no replica goes back in time;
//  - no reader gets an error, whatever fails.
//
// Figures are printed. Assertions of time have threefold slack.

const (
	promisedWrite = 2500 * time.Millisecond // a change, at most, when Redis has just gone

	// answerLimit is after how long an answer that isn't there is an error.
	answerLimit = 10 * time.Second

	// usualImport is twice the time to import an article on two idle cores.
	usualImport = 10 * time.Millisecond
)

// fleet is a set of replicas under load, with a record of their responses.
type fleet struct {
	replicas []*stoatest.Stoa
	articles []*followed
	others
	slower time.Duration // by how many times this machine is slower than usual, at least 1

	mu       sync.Mutex
	since    time.Time // of the present phase
	wrong    []string  // violations of a promise
	broken   int
	writes   []time.Duration
	stale    []time.Duration // for each stale response, the time since the missing change was acknowledged
	reads    atomic.Int64
	conflict atomic.Int64
	late     atomic.Int64 // changes that a machine at work had no time for
	busy     contention.Monitor
}

// followed is an object that is written again and again: a counter that only goes up, since
// each version of it follows from the number alone. An article's title shows its exact
// version; other objects show only a set of possible versions.
type followed struct {
	name, slug string

	mu    sync.Mutex
	lost  bool                 // the present version is unknown
	begun int64                // the newest version that a replica has tried to write
	acked []time.Time          // by version: the time when a replica acknowledged it; zero if unknown
	by    []int                // by version: the replica that did
	own   [][]first            // by replica: the versions that it has acknowledged itself
	seen  map[string][][]first // by cached entry, and by replica: the versions that were returned
}

// first is when something had come to a version.
type first struct {
	version int64
	at      time.Time
}

func newFollowed(name string, replicas int) *followed {
	return &followed{
		name: name, slug: name, begun: 1, acked: make([]time.Time, 2), by: make([]int, 2),
		own: make([][]first, replicas), seen: map[string][][]first{},
	}
}

// until is the newest version of firsts at a moment.
func until(firsts []first, at time.Time) (version int64) {
	for _, s := range slices.Backward(firsts) {
		if s.at.Before(at) {
			return s.version
		}
	}
	return 0
}

func (a *followed) isLost() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost
}

// latest is the newest version that may be there.
func (a *followed) latest() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.begun
}

// newFleet starts replicas with settings of their own, and n articles to follow.
func newFleet(t *testing.T, n int, settings ...stoatest.Settings) *fleet {
	t.Helper()
	f := &fleet{since: time.Now()}
	for _, s := range settings {
		f.replicas = append(f.replicas, stoatest.Start(t, s))
	}
	began := time.Now()
	f.replicas[0].Import(t, stoatest.Articles(n))
	f.slower = max(1, time.Since(began)/(usualImport*time.Duration(n)))
	if f.slower > 1 {
		t.Logf("this machine is at work, or slow: the load is divided by %d", f.slower)
	}
	for i := range n {
		f.articles = append(f.articles, newFollowed(fmt.Sprintf("article-%d", i), len(settings)))
	}
	return f
}

func (f *fleet) complain(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken++; len(f.wrong) < 10 {
		f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
	}
}

// failed notes an error of a reader. No reader should get one, unless the machine was busy and
// the response late for that reason.
func (f *fleet) failed(replica int, err error) {
	if f.busy.Excuses(answerLimit) {
		f.late.Add(1)
		return
	}
	f.complain("replica %d: %v", replica, err)
}

// question is the time of a read, and its replica.
type question struct {
	replica int
	at      time.Time

	// changes says if a version changes the data read: the acknowledgement of another version
	// promises nothing about it. Nil if every version does.
	changes func(version int64) bool
}

func asked(replica int) question { return question{replica: replica, at: time.Now()} }

// answered checks a replica's response, slug by title, against the promises.
func (f *fleet) answered(q question, how, slug, title string) {
	i := slices.IndexFunc(f.articles, func(a *followed) bool { return a.slug == slug })
	if i < 0 {
		f.complain("%s answers an article %q that isn't there", how, slug)
		return
	}
	version := versionIn(title)
	f.shows(q, "", how, f.articles[i], title, func(v int64) bool { return v == version })
}

// shows checks a response against the promises. said is the value of a that it shows; a has
// that value in the versions that is accepts. Responses from the same cached entry, kept,
// don't go back in time; a list may see a change before the object itself does.
func (f *fleet) shows(q question, kept, how string, a *followed, said any, is func(version int64) bool) {
	now := time.Now()
	f.reads.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost {
		return
	}
	if a.seen[kept] == nil {
		a.seen[kept] = make([][]first, len(f.replicas))
	}
	acknowledged := a.own[q.replica]
	if q.changes != nil {
		acknowledged = slices.DeleteFunc(slices.Clone(acknowledged), func(x first) bool { return !q.changes(x.version) })
	}
	own, seen := until(acknowledged, q.at), until(a.seen[kept][q.replica], q.at)
	newest := a.begun
	for newest > 0 && !is(newest) {
		newest--
	}
	complain := func(what string, version any) {
		f.complain("replica %d answers %s by %s with %v, which is at most version %d, %s %v", q.replica, a.name, how, said, newest, what, version)
	}
	if newest < own {
		complain("after it has acknowledged", own)
	}
	if newest < seen {
		complain("after it has answered", seen)
	}
	least := max(own, seen, 1) // the oldest version that the replica may return
	late := func(d time.Duration) bool { return d > stoatest.PromisedStale*stoatest.Slack && !f.busy.Excuses(d) }
	var behind time.Duration
	for version, at := range a.acked {
		if at.IsZero() {
			continue
		}
		if int64(version) > newest {
			behind = max(behind, q.at.Sub(at))
		}
		if late(q.at.Sub(at)) {
			least = max(least, int64(version))
		}
	}
	if behind > 0 {
		f.mu.Lock()
		f.stale = append(f.stale, behind)
		f.mu.Unlock()
	}
	if late(behind) {
		complain("as it was before", behind)
	}
	for least < newest && !is(least) {
		least++
	}
	firsts := a.seen[kept][q.replica]
	if is(least) && least <= newest && (len(firsts) == 0 || firsts[len(firsts)-1].version < least) {
		a.seen[kept][q.replica] = append(firsts, first{least, now})
	}
}

// title returns an article's title in a version; versionIn reads it.
func title(slug string, version int64) string {
	return fmt.Sprintf("%s in version %d", slug, version)
}

func versionIn(title string) int64 {
	n, err := strconv.ParseInt(title[strings.LastIndexByte(title, ' ')+1:], 10, 64)
	if err != nil || !strings.Contains(title, "version") {
		return 1
	}
	return n
}

// write changes one article through a replica, in competition with other writers.
func (f *fleet) write(replica int, a *followed) {
	if a.isLost() {
		return
	}
	ctx := context.Background()
	s := f.replicas[replica].Store
	began := time.Now()
	before, err := store.Articles.BySlug(ctx, s, a.slug)
	if err != nil {
		f.failed(replica, fmt.Errorf("read %s to change it: %w", a.slug, err))
		return
	}
	after := *before
	after.Title = title(a.slug, before.Version+1)
	after.TitleKey = store.SortKey(after.Title)
	after.UpdatedAt = store.Now()
	a.begins(before.Version + 1)
	err = s.ChangeArticle(ctx, before, &after)
	if problem.Is(err, problem.Conflict) {
		f.conflict.Add(1)
		return
	}
	if f.givesUp(a, err) {
		return
	}
	if err != nil {
		f.complain("replica %d can't change %s: %v", replica, a.slug, err)
		return
	}
	f.wrote(replica, a, after.Version, began)
}

// givesUp says whether err is that a machine at work had no time for a change of a. When that
// happens, if it does, is anybody's guess, so that a is no longer followed.
func (f *fleet) givesUp(a *followed, err error) bool {
	if !errors.Is(err, context.DeadlineExceeded) || f.slower <= 2 && !f.busy.Excuses(2*promisedWrite) {
		return false
	}
	f.late.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = true
	return true
}

// begins notes that a version is about to be written.
func (a *followed) begins(version int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun = max(a.begun, version)
}

// wrote notes that a replica has acknowledged a version.
func (f *fleet) wrote(replica int, a *followed, version int64, began time.Time) {
	acked := time.Now()
	a.mu.Lock()
	for int64(len(a.acked)) <= version {
		a.acked, a.by = append(a.acked, time.Time{}), append(a.by, 0)
	}
	a.acked[version], a.by[version] = acked, replica
	if until(a.own[replica], acked) < version {
		a.own[replica] = append(a.own[replica], first{version, acked})
	}
	a.mu.Unlock()
	f.mu.Lock()
	f.writes = append(f.writes, acked.Sub(began))
	f.mu.Unlock()
	if took := acked.Sub(began); took > promisedWrite*stoatest.Slack && !f.busy.Excuses(took) {
		f.complain("replica %d took %s to change %s", replica, took, a.name)
	}
}

// load reads and writes on every replica until stop is called; stop returns when all of it has
// ended. A few articles change all the time, the others now and then, so that they are also
// read from Redis.
func (f *fleet) load() (stop func()) {
	var all sync.WaitGroup
	done := make(chan struct{})
	every := func(pause time.Duration, do func()) {
		all.Go(func() {
			tick := time.NewTicker(pause * f.slower)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
					do()
				}
			}
		})
	}
	pick := func() *followed { return f.articles[rand.N(len(f.articles))] }
	for r, replica := range f.replicas {
		every(120*time.Millisecond, func() { f.write(r, f.articles[rand.N(3)]) })
		every(600*time.Millisecond, func() { f.write(r, pick()) })
		every(10*time.Millisecond, func() { f.readArticle(r, replica, pick()) })
		every(20*time.Millisecond, func() { f.readList(r, replica, `orderBy: {field: PUBLISHED_AT}`) })
		every(70*time.Millisecond, func() { f.readList(r, replica, `orderBy: {field: UPDATED_AT}`) })
		every(4*time.Millisecond, func() {
			a, q := pick(), asked(r)
			found, err := store.Articles.BySlug(context.Background(), replica.Store, a.slug)
			if err != nil {
				f.failed(r, fmt.Errorf("the store: %w", err))
				return
			}
			f.answered(q, "the store", a.slug, found.Title)
		})
	}
	f.loadOther(every)
	all.Go(func() { f.busy.Watch(done) })
	return sync.OnceFunc(func() {
		close(done)
		all.Wait()
	})
}

func (f *fleet) readArticle(r int, replica *stoatest.Stoa, a *followed) {
	q := asked(r)
	var out struct{ Article struct{ Title string } }
	if err := stoatest.Decode(replica, &out, `query ($slug: String!) { article(slug: $slug) { title } }`, map[string]any{"slug": a.slug}); err != nil {
		f.failed(r, err)
		return
	}
	f.answered(q, "article(slug:)", a.slug, out.Article.Title)
}

func (f *fleet) readList(r int, replica *stoatest.Stoa, order string) {
	q := asked(r)
	var out struct {
		Articles struct {
			Nodes []struct{ Slug, Title string }
		}
	}
	if err := stoatest.Decode(replica, &out, `{ articles(first: 100, `+order+`) { nodes { slug title } } }`, nil); err != nil {
		f.failed(r, err)
		return
	}
	listed := 0
	for _, n := range out.Articles.Nodes {
		if !strings.HasPrefix(n.Slug, "article-") {
			continue // one of the other things that are followed
		}
		listed++
		f.answered(q, "articles("+order+")", n.Slug, n.Title)
	}
	if listed != len(f.articles) {
		f.complain("replica %d lists %d articles, not %d", r, listed, len(f.articles))
	}
}

// forget drops the figures, so that they are of one phase only.
func (f *fleet) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since, f.writes, f.stale = time.Now(), nil, nil
	f.reads.Store(0)
	f.conflict.Store(0)
	f.late.Store(0)
}

// awaitLoad waits until there has been a write and a read in the present phase: with a divided
// load, that may take longer than the phase would.
func (f *fleet) awaitLoad(t *testing.T) {
	t.Helper()
	stoatest.Await(t, 20*time.Second, "something to be written and read", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.writes) > 0 && f.reads.Load() > 0
	})
}

// report prints the figures of a phase and fails the test for broken promises.
func (f *fleet) report(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	since := f.since
	f.mu.Unlock()
	var lags []time.Duration
	for _, a := range f.articles { // before f.mu, which a reader takes while it holds a's
		lags = append(lags, a.lags(since)...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Logf("\n\tchanges: %s; %d lost a race, %d were given up\n\tfrom an acknowledged change to its first sight elsewhere: %s\n\t%d answers, of which stale %s",
		stoatest.Distribution(f.writes), f.conflict.Load(), f.late.Load(), stoatest.Distribution(lags), f.reads.Load(), stoatest.Distribution(f.stale))
	for _, w := range f.wrong {
		t.Error(w)
	}
	if f.broken > len(f.wrong) {
		t.Errorf("and %d more", f.broken-len(f.wrong))
	}
	if len(f.writes) == 0 || f.reads.Load() == 0 {
		t.Error("nothing was written or read")
	}
	f.wrong, f.broken = nil, 0
}

// lags is how long it took each change since a moment to be seen on each other replica.
func (a *followed) lags(since time.Time) (lags []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for r, firsts := range a.seen[""] {
		for version, at := range a.acked {
			if at.Before(since) || a.by[version] == r {
				continue
			}
			if i := slices.IndexFunc(firsts, func(s first) bool { return s.version >= int64(version) }); i >= 0 {
				lags = append(lags, max(0, firsts[i].at.Sub(at)))
			}
		}
	}
	return lags
}

func TestReplicasAgree(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t)
	f := newFleet(t, 24, stoatest.ThreeOver(uri, redis.URL())...)
	f.followOther(t)
	stoatest.AwaitTrust(t, f.replicas...)
	stop := f.load()
	t.Cleanup(func() { stop() }) // before the replicas stop, however this ends
	phase := func(name string, do func(*testing.T)) {
		f.forget()
		t.Run(name, func(t *testing.T) {
			do(t)
			f.awaitLoad(t)
			f.report(t)
		})
	}
	phase("WhileAllIsWell", func(t *testing.T) {
		var before []int64
		for _, r := range f.replicas {
			before = append(before, r.Store.Counts().Redis)
		}
		stoatest.During(stoatest.Shorter(6 * time.Second))
		for i, r := range f.replicas {
			stoatest.Await(t, 10*time.Second, fmt.Sprintf("replica %d to use its caches", i), func() bool {
				c := r.Store.Counts()
				return c.Process > 0 && (c.Redis > before[i] || testing.Short())
			})
		}
	})
	phase("WhileAnotherComesAndGoes", func(t *testing.T) {
		for range 2 {
			other := stoatest.Start(t, stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL()})
			stoatest.During(stoatest.Shorter(600 * time.Millisecond))
			other.Stop()
			stoatest.During(stoatest.Shorter(400 * time.Millisecond))
		}
	})
	phase("WhileRedisIsDead", func(t *testing.T) {
		redis.Kill(t)
		// Long enough for a stale entry that is kept beyond a second to exceed the slack.
		stoatest.During(stoatest.Shorter(2*stoatest.Slack*stoatest.PromisedStale + time.Second/2))
	})
	phase("WhenRedisIsBackEmpty", func(t *testing.T) {
		redis.Forget(t)
		redis.Start(t)
		stoatest.During(stoatest.Shorter(2500 * time.Millisecond))
	})
	phase("WhenRedisLosesAllAtOnce", func(t *testing.T) {
		redis.Restart(t, false)
		stoatest.During(stoatest.Shorter(2 * time.Second))
	})
	phase("WhenRedisIsBackWithOldData", func(t *testing.T) {
		redis.Save(t)
		stoatest.During(stoatest.Shorter(500 * time.Millisecond))
		redis.Kill(t)
		stoatest.During(stoatest.Shorter(800 * time.Millisecond))
		redis.Start(t)
		stoatest.During(stoatest.Shorter(2500 * time.Millisecond))
	})
	phase("WhenRedisRestartsWithItsData", func(t *testing.T) {
		redis.Restart(t, true)
		stoatest.During(stoatest.Shorter(1500 * time.Millisecond))
	})
	phase("WhileRedisDoesNotAnswer", func(t *testing.T) {
		redis.Pause(t)
		stoatest.During(stoatest.Shorter(2500 * time.Millisecond))
		redis.Resume(t)
		stoatest.During(stoatest.Shorter(2500 * time.Millisecond))
	})
	const outages = 5
	for i, r := range f.replicas {
		if lost := r.Logged("Redis can't be reached: answers come from the database until it is back"); lost > outages && !f.busy.Excuses(time.Minute) {
			t.Errorf("replica %d logged %d times that Redis can't be reached, of %d times that it couldn't", i, lost, outages)
		}
	}
}

func TestReplicasAgreeWithOneThatHasNoRedis(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	settings := stoatest.ThreeOver(uri, redis)
	settings[2] = stoatest.Settings{"STOA_MONGODB_URI": uri}
	f := newFleet(t, 24, settings...)
	f.followOther(t)
	stop := f.load()
	stoatest.During(stoatest.Shorter(4 * time.Second))
	f.awaitLoad(t)
	stop()
	f.report(t)
}
