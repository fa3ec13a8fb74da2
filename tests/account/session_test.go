package account

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// promisedEnd is how long a session that has ended may go on elsewhere.
const promisedEnd = time.Second

// realm is a set of replicas, and an administrator signed in to them.
type realm struct {
	replicas []*stoatest.Stoa
	admin    stoatest.Caller
}

func newRealm(t *testing.T, settings ...stoatest.Settings) *realm {
	t.Helper()
	r := &realm{replicas: stoatest.StartAll(t, settings...)}
	r.admin = r.enter(t, 0, stoatest.AddMembers(t, r.replicas[0], 1, access.Admin)[0])
	return r
}

// enter begins a session on one replica and sees that it is good on all: on the first
// request, the other replicas first.
func (r *realm) enter(t *testing.T, on int, p stoatest.Member) stoatest.Caller {
	t.Helper()
	c := stoatest.LogIn(t, r.replicas[on], p)
	for i := range r.replicas {
		at := (on + 1 + i) % len(r.replicas)
		if who, err := c.Account(r.replicas[at]); err != nil || who != p.ID {
			t.Fatalf("a session made on replica %d is %q's on replica %d, not %s's: %v", on, who, at, p.ID, err)
		}
	}
	return c
}

// ending is something that ends sessions.
type ending struct {
	name  string
	ends  []stoatest.Caller
	stays []stoatest.Caller
	// do ends them through a replica. It returns the callers that have a session from now on.
	do func(*stoatest.Stoa) ([]stoatest.Caller, error)
}

// refusedOr is p's refusal as an error.
func refusedOr(p stoatest.Payload, err error) error {
	if err == nil && len(p.UserErrors) > 0 {
		err = fmt.Errorf("it is refused: %+v", p.UserErrors)
	}
	return err
}

// endings returns one of each kind, for new people with sessions that every replica has seen.
func (r *realm) endings(t *testing.T) []ending {
	t.Helper()
	people := stoatest.AddMembers(t, r.replicas[0], 6, access.Customer)
	var got []stoatest.Caller
	for i, p := range people {
		got = append(got, r.enter(t, i%len(r.replicas), p))
	}
	revoker, others, resetter, changer, leaver, promoted := got[0], got[1], got[2], got[3], got[4], got[5]
	second := r.enter(t, 1, people[0])
	third, fourth := r.enter(t, 1, people[1]), r.enter(t, 2, people[1])
	stoatest.NewCaller().Do(t, r.replicas[0], "passwordResetRequest", stoatest.Input{"email": people[2].Email})
	code := stoatest.AwaitCode(t, people[2].Email, "reset", r.replicas...)
	simple := func(c stoatest.Caller, mutation string, in stoatest.Input) func(*stoatest.Stoa) ([]stoatest.Caller, error) {
		return func(s *stoatest.Stoa) ([]stoatest.Caller, error) { return nil, refusedOr(c.Try(s, mutation, in)) }
	}
	return []ending{
		{"sessionRevoke", []stoatest.Caller{second}, []stoatest.Caller{revoker}, simple(revoker, "sessionRevoke", stoatest.Input{"id": second.Session})},
		{"sessionsRevokeOthers", []stoatest.Caller{third, fourth}, []stoatest.Caller{others}, func(s *stoatest.Stoa) ([]stoatest.Caller, error) {
			var out struct{ SessionsRevokeOthers struct{ Count int } }
			err := others.Ask(s, &out, `mutation { sessionsRevokeOthers { count } }`, nil)
			if err == nil && out.SessionsRevokeOthers.Count != 2 {
				err = fmt.Errorf("it says that it ended %d", out.SessionsRevokeOthers.Count)
			}
			return nil, err
		}},
		{"passwordReset", []stoatest.Caller{resetter}, nil, simple(stoatest.NewCaller(), "passwordReset", stoatest.Input{"token": code, "password": "nine herons in a row"})},
		{"passwordChange", []stoatest.Caller{changer}, nil, func(s *stoatest.Stoa) ([]stoatest.Caller, error) {
			p, err := changer.Try(s, "passwordChange", stoatest.Input{"currentPassword": stoatest.Password, "newPassword": "nine herons in a row"})
			if err := refusedOr(p, err); err != nil {
				return nil, err
			}
			goesOn := changer
			goesOn.Token = *p.Token
			return []stoatest.Caller{goesOn}, nil
		}},
		{"accountDelete", []stoatest.Caller{leaver}, nil, simple(leaver, "accountDelete", stoatest.Input{"password": stoatest.Password})},
		{"accountRoleSet", []stoatest.Caller{promoted}, nil, simple(r.admin, "accountRoleSet", stoatest.Input{"accountId": people[5].ID, "role": "AUTHOR"})},
	}
}

// watched is a record of ended sessions.
type watched struct {
	mu    sync.Mutex
	stale []time.Duration // how long after its end an answer still knew a session
	wrong []string
}

func (w *watched) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < 10 {
		w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	}
}

// watch asks every replica for the viewer of e's sessions, until stop is closed and all have
// ended or should have. The replica by acknowledged their end at the time acked.
func (w *watched) watch(r *realm, e ending, by int, acked time.Time, stop <-chan struct{}) {
	var all sync.WaitGroup
	allowed := contention.Allow(acked.Add(promisedEnd * stoatest.Slack))
	for i, s := range r.replicas {
		for _, c := range e.ends {
			all.Go(func() {
				tick := time.NewTicker(30 * time.Millisecond)
				defer tick.Stop()
				for gone := i == by; ; {
					asked, late := time.Now(), allowed.Over()
					who, err := c.Account(s)
					switch {
					case err != nil:
						w.complain("replica %d, after %s by replica %d: %v", i, e.name, by, err)
					case who == "":
						gone = true
					case gone:
						w.complain("replica %d knows a session again, or still, that %s has ended on replica %d %s before", i, e.name, by, asked.Sub(acked))
					default:
						w.mu.Lock()
						w.stale = append(w.stale, asked.Sub(acked))
						w.mu.Unlock()
						if late {
							w.complain("replica %d knows a session that %s has ended on replica %d %s before", i, e.name, by, asked.Sub(acked))
						}
					}
					<-tick.C
					select {
					case <-stop:
						if gone || late {
							return
						}
					default:
					}
				}
			})
		}
	}
	all.Wait()
}

// faults are called around endings; nil for none.
type faults struct{ before, after func() }

// hold ends sessions in every way, on every replica in turn, and sees that they end
// everywhere and stay ended, and that the others don't.
func (r *realm) hold(t *testing.T, f faults) {
	t.Helper()
	endings := r.endings(t)
	if f.before != nil {
		f.before()
	}
	var w watched
	var all sync.WaitGroup
	stop := make(chan struct{})
	var took []time.Duration
	for i, e := range endings {
		by, began := i%len(r.replicas), time.Now()
		goOn, err := e.do(r.replicas[by])
		acked := time.Now()
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		took = append(took, acked.Sub(began))
		endings[i].stays = append(e.stays, goOn...)
		all.Go(func() { w.watch(r, e, by, acked, stop) })
	}
	if f.after != nil {
		f.after()
	}
	stoatest.During(promisedEnd * 3 / 2)
	close(stop)
	all.Wait()
	t.Logf("an end took %s; answers that came too late for it, by how long: %s", stoatest.Distribution(took), stoatest.Distribution(w.stale))
	for _, wrong := range w.wrong {
		t.Error(wrong)
	}
	for _, e := range endings {
		for i, s := range r.replicas {
			for _, c := range append(e.stays, r.admin) {
				if who, err := c.Account(s); err != nil || who == "" {
					t.Errorf("replica %d: %s has ended a session too many (%v)", i, e.name, err)
				}
			}
		}
	}
}

func TestSessionsBeginAndEndOnAllReplicas(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t)
	r := newRealm(t, stoatest.ThreeOver(uri, redis.URL())...)
	t.Run("WhileAllIsWell", func(t *testing.T) { r.hold(t, faults{}) })
	t.Run("AfterRedisLostAll", func(t *testing.T) {
		r.hold(t, faults{before: func() { redis.Restart(t, false) }})
	})
	t.Run("BeforeRedisLosesAll", func(t *testing.T) {
		r.hold(t, faults{after: func() { redis.Restart(t, false) }})
	})
	t.Run("BeforeRedisIsBackWithOldData", func(t *testing.T) { // the sessions are valid in it
		r.hold(t, faults{before: func() { redis.Save(t) }, after: func() { redis.Kill(t); redis.Start(t) }})
	})
	t.Run("WhileRedisIsDeadUntilItIsBackWithOldData", func(t *testing.T) {
		r.hold(t, faults{before: func() { redis.Save(t); redis.Kill(t) }, after: func() {
			stoatest.During(promisedEnd)
			redis.Start(t)
		}})
	})
	t.Run("WhileRedisIsDead", func(t *testing.T) {
		redis.Kill(t)
		r.hold(t, faults{})
		redis.Forget(t)
		redis.Start(t)
	})
	t.Run("WhenRedisIsBackEmpty", func(t *testing.T) { r.hold(t, faults{}) })
}

func TestSessionsBeginAndEndOnReplicasWithoutRedis(t *testing.T) {
	uri := stoatest.Database(t)
	t.Run("All", func(t *testing.T) { newRealm(t, stoatest.ThreeOver(uri, "")...).hold(t, faults{}) })
	t.Run("One", func(t *testing.T) {
		settings := stoatest.ThreeOver(uri, redistest.Start(t).URL())
		settings[1] = stoatest.Settings{"STOA_MONGODB_URI": uri}
		newRealm(t, settings...).hold(t, faults{})
	})
}

// A browser sends a page's requests in parallel. Neither changes to the account's other
// sessions nor the recording of its use log it out.
func TestManyRequestsAtOnceLogNobodyOut(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t)
	r := newRealm(t, stoatest.ThreeOver(uri, redis.URL())...)
	db := stoatest.OpenDatabase(t, uri)
	p := stoatest.AddMembers(t, r.replicas[0], 1, access.Customer)[0]
	c := r.enter(t, 0, p)
	const atATime = 50
	var asked, loggedOut atomic.Int64
	var failure atomic.Value
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range atATime {
		all.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				who, err := c.Account(r.replicas[n%len(r.replicas)])
				asked.Add(1)
				if err != nil {
					failure.Store(err.Error())
				} else if who != p.ID {
					loggedOut.Add(1)
				}
			}
		})
	}
	revoked := 0
	pace := time.NewTicker(150 * time.Millisecond) // an account is signed in to 100 times at once
	defer pace.Stop()
	for began := time.Now(); ; <-pace.C {
		other := stoatest.LogIn(t, r.replicas[revoked%len(r.replicas)], p)
		by := r.replicas[(revoked+1)%len(r.replicas)]
		c.Do(t, by, "sessionRevoke", stoatest.Input{"id": other.Session})
		if who, err := other.Account(by); err != nil || who != "" {
			t.Errorf("a session goes on where it was ended: %q, %v", who, err)
		}
		revoked++
		noted := stoatest.Count(t, db, "uses", bson.D{{Key: "_id", Value: c.Session}}) == 1
		if noted && time.Since(began) > stoatest.Shorter(8*time.Second) {
			break
		}
		if revoked == 90 {
			t.Errorf("no use was written down for %s", time.Since(began))
			break
		}
	}
	close(stop)
	all.Wait()
	t.Logf("%d requests, %d at a time, while %d other sessions of the account were ended", asked.Load(), atATime, revoked)
	if n := loggedOut.Load(); n > 0 {
		t.Errorf("%d of them were answered as if nobody had signed in", n)
	}
	if err := failure.Load(); err != nil {
		t.Error(err)
	}
}

// warm sends queries until they cost nothing: all of their data is in memory.
func warm(t *testing.T, s *stoatest.Stoa, c stoatest.Caller, queries []string) {
	t.Helper()
	stoatest.Await(t, 30*time.Second, "the caches to be warm", func() bool {
		s.Commands()
		for _, q := range queries {
			if r, err := c.Send(s, q, nil); err != nil || len(r.Errors) > 0 {
				t.Fatalf("%s: %s, %v", q, r.Raw, err)
			}
		}
		return s.Commands() == 0
	})
}

// holdsWarm checks that queries cost no command. Background work may cost some now and then; a
// cost of a request occurs every time.
func holdsWarm(t *testing.T, when string, s *stoatest.Stoa, c stoatest.Caller, queries []string) {
	t.Helper()
	const windows, requests = 5, 20
	var costs []int
	for range windows {
		s.Commands()
		for range requests {
			for _, q := range queries {
				if r, err := c.Send(s, q, nil); err != nil || len(r.Errors) > 0 {
					t.Fatalf("%s: %s, %v", q, r.Raw, err)
				}
			}
		}
		costs = append(costs, s.Commands())
	}
	if slices.Min(costs) > 0 || slices.Max(costs) >= requests {
		t.Errorf("%s, %d requests cost %v commands, want 0", when, requests*len(queries), costs)
	}
}

func TestAWarmRequestWithATokenCostsNoCommand(t *testing.T) {
	queries := []string{`{ viewer { account { name } } }`, `{ viewer { account { email role } session { device expiresAt } } }`, `{ articles { nodes { title } } }`}
	uri := stoatest.Database(t)
	cases := map[string]struct {
		reason   string
		settings stoatest.Settings
	}{
		"Embedded": {"one process makes every write", stoatest.Settings{"STOA_DATA": t.TempDir()}},
		"Redis":    {"replicas tell each other", stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redistest.Start(t).URL()}},
	}
	for name, of := range cases {
		t.Run(name, func(t *testing.T) {
			s := stoatest.StartAll(t, of.settings)[0]
			s.Import(t, stoatest.Articles(5))
			c := stoatest.LogIn(t, s, stoatest.AddMembers(t, s, 1, access.Customer)[0])
			warm(t, s, c, queries)
			holdsWarm(t, "before a use was noted", s, c, queries)
			stoatest.Await(t, 30*time.Second, "the use to be noted", func() bool { return lastUse(t, s, c) != "" })
			holdsWarm(t, "right after a use was noted", s, c, queries)
		})
	}
}

// For a session older than the idle time, the last use in the database counts. Reading it once
// is enough.
func TestAWarmRequestWithAnOldTokenCostsNoCommand(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t)
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL(), "STOA_SESSION_IDLE": "10m"}
	first := stoatest.StartAll(t, settings)[0]
	db := stoatest.OpenDatabase(t, uri)
	people := stoatest.AddMembers(t, first, 2, access.Customer)
	used, idle := stoatest.LogIn(t, first, people[0]), stoatest.LogIn(t, first, people[1])
	first.Stop()
	made := time.Now().Add(-time.Hour)
	for c, last := range map[stoatest.Caller]time.Duration{used: 5 * time.Minute, idle: 11 * time.Minute} {
		if _, err := db.Collection("sessions").UpdateByID(t.Context(), c.Session, bson.D{{Key: "$set", Value: bson.D{{Key: "createdAt", Value: made}}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Collection("uses").DeleteOne(t.Context(), bson.D{{Key: "_id", Value: c.Session}}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Collection("uses").InsertOne(t.Context(), bson.D{{Key: "_id", Value: c.Session}, {Key: "at", Value: time.Now().Add(-last)}}); err != nil {
			t.Fatal(err)
		}
	}
	client := redis.Client(t)
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s := stoatest.StartAll(t, settings)[0]
	if who, err := idle.Account(s); err != nil || who != "" {
		t.Errorf("a session that wasn't used for 11 of 10 minutes is %q's, %v", who, err)
	}
	queries := []string{`{ viewer { account { name } } }`}
	warm(t, s, used, queries)
	holdsWarm(t, "with an hour-old session", s, used, queries)
	stoatest.Await(t, 30*time.Second, "the use to be noted", func() bool {
		var u struct{ At time.Time }
		return db.Collection("uses").FindOne(t.Context(), bson.D{{Key: "_id", Value: used.Session}}).Decode(&u) == nil && u.At.After(time.Now().Add(-time.Minute))
	})
	holdsWarm(t, "right after its use was noted", s, used, queries)
	if who, err := idle.Account(s); err != nil || who != "" {
		t.Errorf("a session that had ended came back by being used: it is %q's, %v", who, err)
	}
}

// lastUse returns the last use of c's session according to a replica; "" for none.
func lastUse(t *testing.T, s *stoatest.Stoa, c stoatest.Caller) string {
	t.Helper()
	var out struct {
		Viewer struct{ Session struct{ LastUsedAt *string } }
	}
	if err := c.Ask(s, &out, `{ viewer { session { lastUsedAt } } }`, nil); err != nil {
		t.Fatal(err)
	}
	if out.Viewer.Session.LastUsedAt == nil {
		return ""
	}
	return *out.Viewer.Session.LastUsedAt
}

func TestLastUseIsWrittenAtMostOnceAMinute(t *testing.T) {
	t.Parallel() // it waits, and asserts no time
	uri := stoatest.Database(t)
	r := newRealm(t, stoatest.ThreeOver(uri, redistest.Start(t).URL())...)
	db := stoatest.OpenDatabase(t, uri)
	r.replicas[0].Import(t, stoatest.Articles(3))
	c := stoatest.LogIn(t, r.replicas[0], stoatest.AddMembers(t, r.replicas[0], 1, access.Customer)[0])
	if at := lastUse(t, r.replicas[0], c); at != "" {
		t.Errorf("a session that has just begun was used at %s", at)
	}
	noted := func() time.Time {
		var u struct{ At time.Time }
		if err := db.Collection("uses").FindOne(t.Context(), bson.D{{Key: "_id", Value: c.Session}}).Decode(&u); err != nil {
			return time.Time{}
		}
		return u.At.UTC()
	}
	public := func(s *stoatest.Stoa) { // nothing in it reads the viewer
		var out struct {
			Articles struct{ Nodes []struct{ Slug string } }
		}
		if err := c.Ask(s, &out, `{ articles { nodes { slug } } }`, nil); err != nil || len(out.Articles.Nodes) != 3 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	began := time.Now()
	times := map[time.Time]bool{}
	stoatest.Await(t, time.Minute, "every replica to have had its turn to write", func() bool {
		for _, s := range r.replicas {
			public(s)
		}
		if at := noted(); !at.IsZero() {
			times[at] = true
		}
		return len(times) > 0 && time.Since(began) > stoatest.Shorter(18*time.Second)
	})
	if len(times) != 1 {
		t.Errorf("within %s its last use was written as %v", time.Since(began).Round(time.Second), times)
	}
	for i, s := range r.replicas {
		if at := lastUse(t, s, c); at != noted().Format("2006-01-02T15:04:05.000Z") && at != noted().Format(time.RFC3339Nano) {
			t.Errorf("replica %d says that it was used last at %s, and the database %s", i, at, noted())
		}
	}

	// A minute later a public query alone is a use that is noted.
	earlier := noted().Add(-2 * time.Minute)
	if _, err := db.Collection("uses").UpdateByID(t.Context(), c.Session, bson.D{{Key: "$set", Value: bson.D{{Key: "at", Value: earlier}}}}); err != nil {
		t.Fatal(err)
	}
	other := stoatest.StartAll(t, stoatest.ThreeOver(uri, "")[0])[0] // the others know that they noted one
	public(other)
	stoatest.Await(t, 30*time.Second, "the next use to be noted", func() bool { return noted().After(earlier) })
	if newest := noted(); newest.Before(began) {
		t.Errorf("it was used at %s, not %s", newest, began)
	}
}
