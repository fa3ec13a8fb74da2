package cache

// Faults on purpose: evictions, dead writers, lost messages, restarts of Redis, outages, and
// replicas without Redis.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"stoa/store/bus"
	"stoa/tests/contention"
	"stoa/tests/redistest"
)

const (
	unreachable = "Redis can't be reached"
	back        = "Redis is back"
)

func TestALateFillIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		// meanwhile happens between the reader's load and its fill; other is another read that
		// fills the key.
		meanwhile func(t testing.TB, writer *replica, other func())
		want      string // in Redis, at the end
	}{
		"Eviction": {"its lease was evicted, and another reader has filled the key", func(t testing.TB, writer *replica, other func()) {
			writer.removeFromRedis(t, "a")
			other()
		}, "V1"},
		"EvictionAndWrite": {"its lease was evicted before a write, the block of the write has run out, and another reader has filled the key", func(t testing.TB, writer *replica, other func()) {
			writer.removeFromRedis(t, "a")
			writer.mustWrite(t, "a")
			writer.removeFromRedis(t, "a")
			other()
		}, "V2"},
		"Write": {"a write's block took the place of its lease, and still stands", func(t testing.TB, writer *replica, other func()) {
			writer.mustWrite(t, "a")
			other()
		}, "B"},
		"WriteAndExpiry": {"a write's block took the place of its lease, and has run out", func(t testing.TB, writer *replica, other func()) {
			writer.mustWrite(t, "a")
			eventually(t, "the block runs out", func() bool { return writer.inRedis(t, "a") == "" })
		}, ""},
		"WriteExpiryAndFill": {"the same, and another reader has filled the key", func(t testing.TB, writer *replica, other func()) {
			writer.mustWrite(t, "a")
			eventually(t, "the block runs out", func() bool { return writer.inRedis(t, "a") == "" })
			other()
		}, "V2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calmly(t, func(t testing.TB, w *world) {
				w.db.set("a", 1)
				late, writer, other := w.replica("late", shared.URL()), w.replica("writer", shared.URL()), w.replica("other", shared.URL())
				ready(t, late, writer, other)
				reached, release := hold(&late.afterLoad)
				defer release()
				var group sync.WaitGroup
				group.Go(func() {
					if v, err := late.get("a"); err != nil || v != 1 {
						t.Errorf("the late reader answers %d, %v; it began when 1 was right", v, err)
					}
				})
				<-reached
				c.meanwhile(t, writer, func() {
					if _, _, err := other.read("a"); err != nil {
						t.Error(err)
					}
				})
				release()
				group.Wait()
				if got := writer.inRedis(t, "a"); got != c.want {
					t.Errorf("Redis holds %q, want %q: %s", got, c.want, c.reason)
				}
				late.readUntil(t, slack*time.Second, "a", w.db.get("a"))
				for _, r := range []*replica{writer, other, late} {
					r.must(t, "a", w.db.get("a"), c.reason)
				}
			})
		})
	}
}

// A fill without its lease is refused even if the key is empty.
func TestAFillIsOnlyTakenInPlaceOfItsLease(t *testing.T) {
	t.Parallel()
	calmly(t, func(t testing.TB, w *world) {
		w.db.set("a", 1)
		r, writer := w.replica("A", shared.URL()), w.replica("B", shared.URL())
		ready(t, r, writer)
		reached, release := hold(&r.afterLoad)
		defer release()
		var group sync.WaitGroup
		group.Go(func() { _, _ = r.get("a") })
		<-reached
		r.removeFromRedis(t, "a")
		release()
		group.Wait()
		if got := r.inRedis(t, "a"); got != "" {
			t.Errorf("Redis holds %q of a key that nobody has a lease of", got)
		}
	})
}

// dying makes a write up to a phase, and then stops like a dead process: it sets no marker either.
// The steps are those of Cache.Write. Others read between the announcement and the write.
func (r *replica) dying(t testing.TB, keys []string, phases int, others func()) {
	t.Helper()
	finish, err := r.trust.announce(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	others()
	if phases > 1 {
		for _, key := range keys {
			r.db.ack(key, r.db.raise(key)) // nobody acknowledges it, but its age counts from now
		}
	}
	if phases > 2 {
		finish(t.Context(), true)
	}
	r.trust.close()
}

func TestAWriterThatDiesLeavesNothingOldForLong(t *testing.T) {
	t.Parallel()
	for name, phases := range map[string]int{"AfterTheBlock": 1, "AfterTheWrite": 2, "AfterTheDrop": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calmly(t, func(t testing.TB, w *world) {
				w.db.set("a", 1)
				line := redistest.Between(t, shared)
				dead, b, c := w.replica("dead", line.URL()), w.replica("B", shared.URL()), w.replica("C", shared.URL())
				ready(t, dead, b, c)
				list := func() string {
					found, err := b.lists.Get(t.Context(), b.Cache, []string{"tag,else"})
					if err != nil {
						t.Fatal(err)
					}
					return *found[0]
				}
				b.must(t, "a", 1, "")
				c.must(t, "a", 1, "")
				list()
				dead.dying(t, []string{"a", "tag"}, phases, func() {
					// Reads at this moment are from before the write, and live for a second.
					b.hears(t, "tag", 0) // the last of the two
					c.hears(t, "tag", 0)
					b.must(t, "a", 1, "nothing is written yet")
					c.must(t, "a", 1, "nothing is written yet")
					if got := list(); got != "0,0" {
						t.Errorf("the list says %s", got)
					}
				})
				line.Cut()
				stop := observe(t, "a", b, c)
				want := w.db.get("a")
				b.readUntil(t, slack*time.Second, "a", want)
				c.readUntil(t, slack*time.Second, "a", want)
				contention.Await(t, slack*time.Second, "the list has the written value", func() bool { return list() == fmt.Sprint(want-1, ",0") })
				stop()
				eventually(t, "it is in Redis again, and the list is right", func() bool {
					b.flush()
					v, _, err := b.read("a")
					return err == nil && v == want && list() == fmt.Sprint(want-1, ",0") && b.inRedis(t, "a") == fmt.Sprint("V", want)
				})
				w.replicas = []*replica{b, c} // calm doesn't ask the dead
			})
		})
	}
}

// hears waits until r has heard of a drop of key later than after, and returns its number.
func (r *replica) hears(t testing.TB, key string, after uint64) (number uint64) {
	t.Helper()
	eventually(t, "replica "+r.name+" hears of "+key, func() bool {
		number = r.drops[r.hash(key)%stripes].Load()
		return number > after
	})
	return number
}

func TestOthersHearOfAWriteBeforeItAndAfter(t *testing.T) {
	t.Parallel()
	calmly(t, func(t testing.TB, w *world) {
		w.db.set("a", 1)
		a, b := w.replica("A", shared.URL()), w.replica("B", shared.URL())
		ready(t, a, b)
		b.must(t, "a", 1, "")
		var before uint64
		err := a.Write(t.Context(), []string{"a"}, func(context.Context) error {
			before = b.hears(t, "a", 0)
			b.must(t, "a", 1, "the write is yet to be made")
			if got := b.inRedis(t, "a"); got != bus.Blocked {
				t.Errorf("during a write, Redis holds %q", got)
			}
			w.db.raise("a")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		b.hears(t, "a", before)
		b.must(t, "a", 2, "it has heard of the write")
		if got := b.inRedis(t, "a"); got != bus.Blocked {
			t.Errorf("just after a write, Redis holds %q", got)
		}
	})
}

func TestAWriteThatFailsMayHappenLater(t *testing.T) {
	t.Parallel()
	calmly(t, func(t testing.TB, w *world) {
		w.db.set("a", 1)
		a, b := w.replica("A", shared.URL()), w.replica("B", shared.URL())
		ready(t, a, b)
		list := func(r *replica) string {
			found, err := r.lists.Get(t.Context(), r.Cache, []string{"tag,else"})
			if err != nil {
				t.Fatal(err)
			}
			return *found[0]
		}
		err := a.Write(t.Context(), []string{"a", "tag"}, func(context.Context) error { return errFault })
		if !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		for _, r := range []*replica{a, b} {
			r.must(t, "a", 1, "it hasn't happened")
			if got := list(r); got != "0,0" {
				t.Errorf("the list says %s", got)
			}
		}
		w.db.ack("a", w.db.raise("a"))
		w.db.raise("tag")
		for _, r := range []*replica{a, b} {
			r.readUntil(t, slack*time.Second, "a", 2)
			contention.Await(t, slack*time.Second, "the list says so, too", func() bool { return list(r) == "1,0" })
		}
	})
}

// fills waits until r's read of a key is in Redis.
func (r *replica) fills(t testing.TB, key string, v int) {
	t.Helper()
	eventually(t, fmt.Sprintf("Redis holds %s=%d", key, v), func() bool {
		r.Flush() // so that the read gets as far as Redis
		got, _, err := r.read(key)
		return err == nil && got == v && r.inRedis(t, key) == fmt.Sprint("V", v)
	})
}

func TestTwoWritersOfOneKeyCross(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.replica("A", shared.URL()), w.replica("B", shared.URL()), w.replica("C", shared.URL())
	ready(t, a, b, c)
	// Each writer stops twice: before and after its change. Every order of the four stops.
	orders := [][]int{{0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 0}, {1, 0, 0, 1}, {1, 0, 1, 0}, {1, 1, 0, 0}}
	for i, order := range orders {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			key := fmt.Sprint("key", i)
			w.db.set(key, 1)
			for _, r := range []*replica{a, b, c} {
				r.must(t, key, 1, "")
			}
			stop := observe(t, key, a, b, c)
			var group sync.WaitGroup
			writers := []*replica{a, b}
			steps := []chan struct{}{make(chan struct{}), make(chan struct{})}
			done := []chan struct{}{make(chan struct{}), make(chan struct{})}
			for n, r := range writers {
				group.Go(func() {
					var v int
					err := r.Write(t.Context(), []string{key}, func(context.Context) error {
						steps[n] <- struct{}{}
						v = w.db.raise(key)
						steps[n] <- struct{}{}
						return nil
					})
					if err != nil {
						t.Error(err)
						return
					}
					w.db.ack(key, v)
					r.learn(key, v)
					close(done[n])
				})
			}
			passed := []int{0, 0}
			for _, n := range order {
				<-steps[n]
				if passed[n]++; passed[n] == 2 {
					<-done[n]
				}
				c.read(key)
			}
			group.Wait()
			for _, r := range []*replica{a, b, c} {
				r.readUntil(t, slack*time.Second, key, 3)
			}
			c.fills(t, key, 3)
			stop()
		})
	}
}

func TestAKeyThatComesAndGoes(t *testing.T) {
	t.Parallel()
	calmly(t, func(t testing.TB, w *world) {
		a, b := w.replica("A", shared.URL()), w.replica("B", shared.URL())
		ready(t, a, b)
		eventuallyAnswers := func(r *replica, want int) {
			t.Helper()
			contention.Await(t, slack*time.Second, fmt.Sprintf("replica %s answers %d", r.name, want), func() bool {
				v, err := r.get("a")
				return err == nil && v == want
			})
		}
		eventuallyAnswers(a, 0)
		eventuallyAnswers(b, 0)
		if n := b.Counts(); n.Redis != 1 || n.Database != 0 {
			t.Errorf("the second replica's counts are %+v: that there is nothing comes from Redis, too", n)
		}
		if got := b.inRedis(t, "a"); got != "A" {
			t.Errorf("Redis holds %q of an absent key", got)
		}
		for i, v := range []int{1, 0, 2, 0} {
			writer, other := a, b
			if i%2 == 1 {
				writer, other = b, a
			}
			if err := writer.Write(t.Context(), []string{"a"}, func(context.Context) error { w.db.set("a", v); return nil }); err != nil {
				t.Fatal(err)
			}
			if got, err := writer.get("a"); err != nil || got != v {
				t.Errorf("the writer of %d reads %d, %v", v, got, err)
			}
			eventuallyAnswers(other, v)
			eventuallyAnswers(writer, v)
		}
	})
}

// peer speaks on the bus like another replica, and loses messages.
type peer struct {
	t   *testing.T
	w   *world
	run *bus.Run
	seq int
}

func (p *peer) publish(kind, rest string) {
	p.t.Helper()
	c := shared.Client(p.t)
	if err := c.Publish(p.t.Context(), "stoa:"+p.w.site+":bus", fmt.Sprintf("peer %d %s %s", p.seq, kind, rest)).Err(); err != nil {
		p.t.Fatal(err)
	}
}

// lose blocks key as a writer does, and loses its message.
func (p *peer) lose(key string) {
	p.t.Helper()
	p.seq++
	if err := shared.Client(p.t).Set(p.t.Context(), p.run.Key(p.w.site, key), bus.Blocked, bus.BlockFor).Err(); err != nil {
		p.t.Fatal(err)
	}
}

func TestAMessageLostWithoutADisconnectIsNoticed(t *testing.T) {
	t.Parallel()
	for name, notice := range map[string]func(*peer){
		"ByTheNextTick":    func(p *peer) { p.publish("t", "") },
		"ByTheNextDrop":    func(p *peer) { p.seq++; p.publish("d", "else") },
		"ByTheGoodBye":     func(p *peer) { p.publish("bye", "") },
		"ByItsEndlessWait": func(*peer) {}, // it goes silent
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.db.set("a", 1)
			r := w.replica("A", shared.URL())
			ready(t, r)
			run, err := r.conn.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p := &peer{t: t, w: w, run: run, seq: 7}
			p.publish("t", "")
			r.must(t, "a", 1, "")
			eventually(t, "the peer is heard", func() bool {
				v, _, err := r.read("a")
				return err == nil && v == 1 && r.seq.Load() > 0
			})
			p.lose("a")
			w.db.ack("a", w.db.raise("a"))
			notice(p)
			r.readUntil(t, slack*time.Second, "a", 2)
		})
	}
}

// restarts are the ways in which Redis can come back as another run.
var restarts = map[string]struct {
	reason string
	save   func(t *testing.T, s *redistest.Server) // while it holds v1
	back   func(t *testing.T, s *redistest.Server)
}{
	"WithOldData": {"its saved data are older than the last writes",
		func(t *testing.T, s *redistest.Server) { s.Save(t) },
		func(t *testing.T, s *redistest.Server) { s.Start(t) }},
	"WithItsData": {"its data may have been changed meanwhile",
		func(*testing.T, *redistest.Server) {},
		func(t *testing.T, s *redistest.Server) { s.Start(t) }},
	"Empty": {"the plain case",
		func(*testing.T, *redistest.Server) {},
		func(t *testing.T, s *redistest.Server) { s.Forget(t); s.Start(t) }},
}

func TestARestartedRedisIsAnotherRun(t *testing.T) {
	t.Parallel()
	for name, c := range restarts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			w := newWorld(t)
			w.db.set("a", 1)
			w.db.set("quiet", 1)
			a, b := w.replica("A", s.URL()), w.replica("B", s.URL())
			ready(t, a, b)
			for _, key := range []string{"a", "quiet"} {
				b.fills(t, key, 1)
			}
			c.save(t, s)
			a.mustWrite(t, "a")
			a.mustWrite(t, "quiet")
			b.readUntil(t, slack*time.Second, "a", 2)
			stop := observe(t, "a", a, b)
			if name == "WithItsData" {
				s.Save(t)
			}
			s.Kill(t)
			c.back(t, s)
			a.mustWrite(t, "a")
			ready(t, a, b)
			a.must(t, "quiet", 2, "the server's data are of an earlier run")
			b.must(t, "quiet", 2, "the server's data are of an earlier run")
			a.mustWrite(t, "a")
			want := w.db.get("a")
			b.readUntil(t, slack*time.Second, "a", want)
			b.fills(t, "a", want)
			stop()
		})
	}
}

func TestAnAnswerOfAnotherLifeIsNone(t *testing.T) {
	t.Parallel()
	patiently(t, anAnswerOfAnotherLifeIsNone)
}

func anAnswerOfAnotherLifeIsNone(t testing.TB, _ *world) {
	s := redistest.Start(t)
	conn, err := bus.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tier := &tier2{conn: conn, namespace: "site"}
	ask := func() (held, *bus.Run, error) {
		found, run, err := tier.acquire(t.Context(), itemFormat, []string{"a"})
		if err != nil {
			return held{}, nil, err
		}
		return found[0], run, nil
	}
	var h held
	var run *bus.Run
	eventually(t, "there is a lease", func() bool {
		var err error
		h, run, err = ask()
		return err == nil && h.lease != ""
	})
	tier.fill(t.Context(), run, itemFormat, []filling{{"a", h.lease, []byte("V1"), time.Minute}})
	if h, _, err = ask(); err != nil || string(h.value) != "V1" {
		t.Fatalf("it holds %q, %v", h.value, err)
	}
	s.Restart(t, true)
	eventually(t, "it answers again", func() bool {
		// The first command is named for the earlier run, and a server answers that has the name.
		h, now, err := ask()
		if err == nil && (now == run || h.value != nil) {
			t.Errorf("%q is answered out of an earlier run", h.value)
		}
		return err == nil
	})
}

func TestAnotherServerAtTheSameAddress(t *testing.T) {
	t.Parallel()
	first, second := redistest.Start(t), redistest.Start(t)
	w := newWorld(t)
	w.db.set("a", 1)
	line := redistest.Between(t, first)
	a, b := w.replica("A", line.URL()), w.replica("B", line.URL())
	ready(t, a, b)
	b.must(t, "a", 1, "")
	stop := observe(t, "a", a, b)
	line.To(second)
	a.mustWrite(t, "a")
	ready(t, a, b)
	line.To(first) // it holds v1, and no block
	a.mustWrite(t, "a")
	ready(t, a, b)
	b.readUntil(t, slack*time.Second, "a", 3)
	b.fills(t, "a", 3)
	stop()
}

func TestAYoungLifeIsNotFilled(t *testing.T) {
	t.Parallel()
	patiently(t, aYoungLifeIsNotFilled)
}

func aYoungLifeIsNotFilled(t testing.TB, w *world) {
	s := redistest.Start(t)
	w.db.set("a", 1)
	a, b := w.replica("A", s.URL()), w.replica("B", s.URL())
	ready(t, a, b)
	began := time.Now()
	// A writer announces, Redis is restarted, the writer writes, and dies.
	if _, err := a.trust.announce(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	s.Restart(t, false)
	stop := observe(t, "a", b)
	eventually(t, "the restarted Redis is known", func() bool {
		return b.inRedis(t, "a") == "" && b.conn.Client.Ping(t.Context()).Err() == nil
	})
	b.must(t, "a", 1, "")
	if got := b.inRedis(t, "a"); got != "" && time.Since(began) < bus.BlockFor {
		t.Errorf("Redis holds %q %v after a block that a restart has ended", got, time.Since(began))
	}
	w.db.ack("a", w.db.raise("a"))
	b.readUntil(t, slack*time.Second, "a", 2)
	eventually(t, "Redis is filled at last", func() bool { return b.inRedis(t, "a") == "V2" })
	stop()
}

func TestASlowRedisSlowsNobodyForLong(t *testing.T) {
	t.Parallel()
	patiently(t, aSlowRedisSlowsNobodyForLong)
}

func aSlowRedisSlowsNobodyForLong(t testing.TB, w *world) {
	s := redistest.Start(t)
	w.db.set("a", 1)
	a, b := w.replica("A", s.URL()), w.replica("B", s.URL())
	ready(t, a, b)
	b.must(t, "a", 1, "")
	outage := outageOf(a, b)
	s.Pause(t)
	defer s.Resume(t)
	var group sync.WaitGroup
	group.Go(func() {
		began := time.Now()
		a.mustWrite(t, "a")
		took := time.Since(began)
		t.Logf("a write took %v", took)
		if took > patience+WriteLimit {
			t.Errorf("a write took %v", took)
		}
	})
	if _, err := b.get("cold"); err != nil {
		t.Fatal(err)
	}
	if b.tier2.awake(time.Now().UnixNano()) {
		t.Error("Redis is asked again at once after it failed to answer in time")
	}
	slowest := time.Duration(0)
	deadline := time.Now().Add(3 * time.Second)
	for n := 0; time.Now().Before(deadline); n++ {
		began := time.Now()
		if _, _, err := b.read("a"); err != nil {
			t.Fatal(err)
		}
		if v, err := b.get(fmt.Sprint("cold", n)); err != nil || v != 0 {
			t.Fatalf("a cold read: %d, %v", v, err)
		}
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("the slowest read of a cold key took %v", slowest)
	if limit := slack * 500 * time.Millisecond; slowest > limit {
		t.Errorf("a read took %v, want at most %v", slowest, limit)
	}
	group.Wait()
	b.readUntil(t, slack*time.Second, "a", 2)
	outage.wasToldOnce(t)
	s.Resume(t)
	ready(t, a, b)
	outage.isOver(t)
}

// outage is a time in which some replicas don't have Redis.
type outage struct {
	replicas []*replica
	before   []int
}

// outageOf is to be called before the outage begins. On a busy machine other outages may have come
// before.
func outageOf(replicas ...*replica) *outage {
	o := &outage{replicas: replicas}
	for _, r := range replicas {
		o.before = append(o.before, r.log.count(unreachable))
	}
	return o
}

// wasToldOnce is to be called before the outage ends, isOver afterwards.
func (o *outage) wasToldOnce(t testing.TB) {
	t.Helper()
	for i, r := range o.replicas {
		if n := r.log.count(unreachable); n == 0 || n > o.before[i]+1 {
			t.Errorf("replica %s said %d times that Redis can't be reached, in one outage", r.name, n-o.before[i])
		}
	}
}

func (o *outage) isOver(t testing.TB) {
	t.Helper()
	for _, r := range o.replicas {
		if gone, returned := r.log.count(unreachable), r.log.count(back); gone != returned {
			t.Errorf("replica %s said %d times that Redis can't be reached, and %d times that it is back", r.name, gone, returned)
		}
	}
}

func TestRedisMayComeLater(t *testing.T) {
	t.Parallel()
	patiently(t, redisMayComeLater)
}

func redisMayComeLater(t testing.TB, w *world) {
	s := redistest.Start(t)
	s.Kill(t)
	w.db.set("a", 1)
	a, b := w.replica("A", s.URL()), w.replica("B", s.URL())
	outage := outageOf(a, b)
	stop := observe(t, "a", a, b)
	a.mustWrite(t, "a")
	b.mustWrite(t, "a")
	outage.wasToldOnce(t)
	s.Forget(t)
	s.Start(t)
	ready(t, a, b)
	if markers := w.db.marked(); len(markers) != 0 {
		t.Errorf("markers are left: %q", markers)
	}
	a.mustWrite(t, "a")
	b.readUntil(t, slack*time.Second, "a", 4)
	stop()
	outage.isOver(t)
}

func TestOneOutageIsOneWarning(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newWorld(t)
	line := redistest.Between(t, s)
	a := w.replica("A", line.URL())
	ready(t, a)
	for range 2 {
		outage := outageOf(a)
		line.Cut()
		for range 5 {
			a.mustWrite(t, "a")
			if _, err := a.get("b"); err != nil {
				t.Error(err)
			}
		}
		outage.wasToldOnce(t)
		line.Mend()
		ready(t, a)
		outage.isOver(t)
	}
}

func TestARequestThatEndsIsNoOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.replica("A", shared.URL())
	ready(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := a.log.count(unreachable)
	if _, err := a.write(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a write of a request that has ended: %v", err)
	}
	if n := a.log.count(unreachable); n != before {
		t.Error("the client went away, and Redis was held to be out of reach")
	}
	a.mustWrite(t, "a")
}

func TestARedisThatTakesNoBlocksIsAnOutage(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	if !s.Real() {
		t.Skip("an embedded Redis has no memory limit")
	}
	w := newWorld(t)
	w.db.set("a", 1)
	a, b := w.replica("A", s.URL()), w.replica("B", s.URL())
	ready(t, a, b)
	config := func(limit string) {
		t.Helper()
		if err := s.Client(t).ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
			t.Fatal(err)
		}
	}
	stop := observe(t, "a", a, b)
	outage := outageOf(a)
	config("1") // messages still pass
	for range 3 {
		a.mustWrite(t, "a")
	}
	b.readUntil(t, slack*time.Second, "a", 4)
	outage.wasToldOnce(t)
	config("0")
	ready(t, a, b)
	a.mustWrite(t, "a")
	b.readUntil(t, slack*time.Second, "a", 5)
	stop()
	ready(t, a)
	outage.isOver(t)
}

func TestAReplicaWithoutRedisJoinsReplicasWithIt(t *testing.T) {
	t.Parallel()
	patiently(t, aReplicaWithoutRedisJoinsReplicasWithIt)
}

func aReplicaWithoutRedisJoinsReplicasWithIt(t testing.TB, w *world) {
	w.db.set("a", 1)
	w.db.set("quiet", 1)
	a, b := w.replica("A", shared.URL()), w.replica("B", shared.URL())
	ready(t, a, b)
	for _, r := range []*replica{a, b} {
		r.must(t, "a", 1, "")
		r.must(t, "quiet", 1, "")
	}
	stop := observe(t, "a", a, b)
	c := w.replica("C", "")
	for range 3 {
		v := c.mustWrite(t, "a")
		a.readUntil(t, slack*time.Second, "a", v)
		b.readUntil(t, slack*time.Second, "a", v)
	}
	v := a.mustWrite(t, "a")
	contention.Await(t, slack*time.Second, "C sees the write of A", func() bool { got, err := c.get("a"); return err == nil && got == v })
	if b.shared(time.Now().UnixNano()) {
		t.Error("B relies on Redis while somebody writes past it")
	}
	c.mustWrite(t, "quiet") // nobody reads it until C has gone
	c.Close()
	if markers := w.db.marked(); len(markers) != 1 {
		t.Errorf("markers %q: the one of the replica without Redis outlives it, so that Redis is cleared", markers)
	}
	w.db.ageMarkers(markerFor + clockSkew)
	ready(t, a, b)
	if markers := w.db.marked(); len(markers) != 0 {
		t.Errorf("markers %q: nobody has cleared them", markers)
	}
	a.must(t, "quiet", 2, "Redis has no value from before C's unannounced writes")
	b.must(t, "quiet", 2, "Redis has no value from before C's unannounced writes")
	a.mustWrite(t, "a")
	b.readUntil(t, slack*time.Second, "a", w.db.get("a"))
	stop()
}

func TestANoteThatIsRenewedStands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	w.db.markers["other"] = now.Add(-markerFor - clockSkew)
	looks := 0
	w.db.listed = func() {
		// The replica of this marker isn't dead: it renews the marker between the two looks.
		if looks++; looks == 1 {
			w.db.markers["other"] = now.Add(time.Hour)
		}
	}
	a := w.replica("A", shared.URL())
	eventually(t, "A looks again and again", func() bool {
		w.db.mu.Lock()
		defer w.db.mu.Unlock()
		return looks > 3
	})
	if markers := w.db.marked(); len(markers) != 1 {
		t.Errorf("markers %q, want the one that was renewed", markers)
	}
	if a.trusted(time.Now().UnixNano()) {
		t.Error("A trusts its tiers in spite of the marker")
	}
}

func TestAReplicaPartedFromRedisWrites(t *testing.T) {
	t.Parallel()
	patiently(t, aReplicaPartedFromRedisWrites)
}

func aReplicaPartedFromRedisWrites(t testing.TB, w *world) {
	w.db.set("a", 1)
	line := redistest.Between(t, shared)
	a, b, c := w.replica("A", line.URL()), w.replica("B", shared.URL()), w.replica("C", shared.URL())
	ready(t, a, b, c)
	w.db.set("quiet", 1)
	for _, r := range []*replica{a, b, c} {
		r.must(t, "a", 1, "")
		r.must(t, "quiet", 1, "")
	}
	b.fills(t, "a", 1)
	b.fills(t, "quiet", 1)
	stop := observe(t, "a", a, b, c)
	line.Cut()
	err := a.Write(t.Context(), []string{"b"}, func(context.Context) error {
		if leased := w.db.leased(); w.db.oldestMarker().IsZero() || len(leased) != 0 {
			t.Errorf("A writes past Redis, and its marker is there since %v; %q may trust their caches", w.db.oldestMarker(), leased)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for range 3 {
		v := a.mustWrite(t, "a")
		b.readUntil(t, slack*time.Second, "a", v)
		c.readUntil(t, slack*time.Second, "a", v)
	}
	a.mustWrite(t, "quiet") // nobody reads it until A has returned
	if markers := w.db.marked(); len(markers) != 1 {
		t.Errorf("markers %q, want the one of A", markers)
	}
	if got := b.inRedis(t, "a"); got != "V1" {
		t.Errorf("Redis holds %q; the test means to leave 1 there", got)
	}
	line.Mend()
	ready(t, a, b, c)
	for _, r := range []*replica{a, b, c} {
		r.must(t, "a", 4, "Redis has no value from before A's unannounced writes")
		r.must(t, "quiet", 2, "so was the memory of each replica")
	}
	v := c.mustWrite(t, "a")
	a.readUntil(t, slack*time.Second, "a", v)
	stop()
	if markers := w.db.marked(); len(markers) != 0 {
		t.Errorf("markers are left: %q", markers)
	}
}

func TestCachesOutlastADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	calmly(t, func(t testing.TB, w *world) {
		w.db.set("a", 1)
		a, b := w.replica("A", shared.URL()), w.replica("B", shared.URL())
		ready(t, a, b)
		both := []*replica{a, b}
		for _, r := range both {
			r.must(t, "a", 1, "")
			w.db.leave(r.name, true)
		}
		gone, loads := time.Now(), a.loads.Load()+b.loads.Load()
		eventually(t, "some polls have failed", func() bool {
			for _, r := range both {
				if _, _, err := r.read("a"); err != nil {
					t.Fatalf("nobody can write without the database, and so all caches are right: %v", err)
				}
			}
			return time.Since(gone) > 4*pollEvery
		})
		if n := a.loads.Load() + b.loads.Load(); n != loads {
			t.Errorf("%d reads asked the database that is away", n-loads)
		}
		for _, r := range both {
			w.db.leave(r.name, false)
		}
		b.readUntil(t, slack*time.Second, "a", a.mustWrite(t, "a"))
	})
}

func TestAWriterWithoutRedisWaitsForReadersWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	patiently(t, aWriterWithoutRedisWaitsForReadersWithoutTheDatabase)
}

func aWriterWithoutRedisWaitsForReadersWithoutTheDatabase(t testing.TB, w *world) {
	w.db.set("a", 1)
	line := redistest.Between(t, shared)
	a, b := w.replica("A", line.URL()), w.replica("B", shared.URL())
	ready(t, a, b)
	b.must(t, "a", 1, "")
	w.db.leave("B", true)
	line.Cut()
	if _, err := a.write(t.Context(), "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write that B can't hear of ends with %v", err)
	}
	b.must(t, "a", 1, "nothing was written")
	w.db.leave("B", false)
	var v int
	eventually(t, "A writes, since B has found its marker", func() (done bool) {
		var err error
		v, err = a.write(t.Context(), "a")
		return err == nil
	})
	b.readUntil(t, slack*time.Second, "a", v)
}

func TestTheLeaseOfADeadReplicaIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.leases = []TrustLease{{"dead", 1, time.Now().Add(trustFor)}}
	a := w.replica("A", "")
	if _, err := a.write(t.Context(), "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write that the replica with a lease can't hear of ends with %v", err)
	}
	w.db.mu.Lock()
	w.db.leases[0].Until = time.Now().Add(-clockSkew)
	w.db.mu.Unlock()
	a.mustWrite(t, "a")
}

func TestAClosedReplicaLeavesNoLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.replica("A", shared.URL())
	ready(t, a)
	if n := len(w.db.leased()); n != 1 {
		t.Errorf("a replica that trusts its caches has %d leases", n)
	}
	a.Close()
	if left := w.db.leased(); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
}

func TestAWriteThatReachesAMajorityLate(t *testing.T) {
	t.Parallel()
	for name, visible := range map[string]bool{"IsSeen": true, "OrNever": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calmly(t, func(t testing.TB, w *world) {
				w.db.set("a", 1)
				w.db.set("else", 1)
				a, b := w.replica("A", shared.URL()), w.replica("B", shared.URL())
				ready(t, a, b)
				list := func() string {
					found, err := b.lists.Get(t.Context(), b.Cache, []string{"tag,else"})
					if err != nil {
						t.Fatal(err)
					}
					return *found[0]
				}
				w.db.stall(true)
				if err := a.Write(t.Context(), []string{"a", "tag"}, func(context.Context) error { return errFault }); !errors.Is(err, errFault) {
					t.Fatal(err)
				}
				stop := observe(t, "a", a, b)
				failed := time.Now()
				eventually(t, "a block would have run out", func() bool {
					list() // its values would then live for long
					b.must(t, "else", 1, "")
					return time.Since(failed) > bus.BlockFor+2*holdEvery
				})
				if got := b.inRedis(t, "a"); got != bus.Blocked {
					t.Errorf("Redis holds %q of a key that may change at any time", got)
				}
				ready(t, a, b) // one such write is no reason to distrust everything
				want := 1
				if visible {
					want = w.db.raise("a")
					w.db.ack("a", want)
					w.db.raise("tag")
				}
				a.readUntil(t, slack*time.Second, "a", want)
				b.readUntil(t, slack*time.Second, "a", want)
				contention.Await(t, slack*time.Second, "the list says so, too", func() bool { return list() == fmt.Sprintf("%d,1", want-1) })
				heard := b.drops[b.hash("a")%stripes].Load()
				w.db.stall(false)
				eventually(t, "A knows what became of its write", func() bool {
					a.trust.mu.Lock()
					defer a.trust.mu.Unlock()
					return len(a.trust.unknown) == 0
				})
				b.hears(t, "a", heard)
				stop()
				b.must(t, "a", want, "")
				eventually(t, "it is in Redis again", func() bool {
					b.flush()
					v, _, err := b.read("a")
					return err == nil && v == want && b.inRedis(t, "a") == fmt.Sprint("V", want)
				})
			})
		})
	}
}

func TestAWriteThatFailsWhilePartedIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.set("a", 1)
	line := redistest.Between(t, shared)
	a, b := w.replica("A", line.URL()), w.replica("B", shared.URL())
	ready(t, a, b)
	b.must(t, "a", 1, "")
	stop := observe(t, "a", b)
	line.Cut()
	if err := a.Write(t.Context(), []string{"a"}, func(context.Context) error { return errFault }); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	failed := time.Now()
	line.Mend()
	var late sync.Once
	eventually(t, "A takes its marker back", func() bool {
		if time.Since(failed) > bus.BlockFor/2 {
			late.Do(func() { w.db.ack("a", w.db.raise("a")) }) // it happens after all
		}
		return len(w.db.marked()) == 0
	})
	if took := time.Since(failed); took < bus.BlockFor-slack*watchEvery {
		t.Errorf("A took its marker back %v after a write that may happen within %v", took, bus.BlockFor)
	}
	b.readUntil(t, slack*time.Second, "a", 2)
	ready(t, a, b)
	b.must(t, "a", 2, "")
	stop()
}

func TestNoUnannouncedWriteIsUnderWayWhenTheNoteIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.set("a", 1)
	line := redistest.Between(t, shared)
	a, b := w.replica("A", line.URL()), w.replica("B", shared.URL())
	ready(t, a, b)
	b.must(t, "a", 1, "")
	line.Cut()
	var group sync.WaitGroup
	inWrite, goOn := make(chan struct{}), make(chan struct{})
	group.Go(func() {
		err := a.Write(t.Context(), []string{"a"}, func(context.Context) error {
			close(inWrite)
			<-goOn
			w.db.ack("a", w.db.raise("a"))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-inWrite
	line.Mend()
	eventually(t, "A is about to return", func() bool {
		a.trust.mu.Lock()
		defer a.trust.mu.Unlock()
		return a.trust.returning
	})
	if markers := w.db.marked(); len(markers) != 1 {
		t.Errorf("markers %q: A is writing past Redis, and others may not know", markers)
	}
	close(goOn)
	group.Wait()
	ready(t, a, b)
	b.must(t, "a", 2, "")
}

func TestNobodyWaitsForALoadThatIsOlderThanAnEntryMayBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.set("a", 1)
	r := w.replica("A", "") // no change can be announced to it
	reached, release := hold(&r.afterLoad)
	defer release()
	var group sync.WaitGroup
	defer group.Wait()
	defer release()
	group.Go(func() { _, _ = r.get("a") })
	<-reached
	began := time.Now()
	w.db.set("a", 2)
	eventually(t, "a second passes", func() bool { return time.Since(began) > shortLife })
	if v, err := r.get("a"); err != nil || v != 2 {
		t.Errorf("a second after it was changed elsewhere, the answer is %d, %v", v, err)
	}
}

func TestABreakInTheLineOnlyFlushes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.set("a", 1)
	line := redistest.Between(t, shared)
	a, b := w.replica("A", line.URL()), w.replica("B", shared.URL())
	ready(t, a, b)
	stop := observe(t, "a", a, b)
	for range 3 {
		line.Kick()
		v := b.mustWrite(t, "a")
		a.readUntil(t, slack*time.Second, "a", v)
		ready(t, a)
	}
	stop()
}

func TestACloseIsNoSilence(t *testing.T) {
	t.Parallel()
	patiently(t, aCloseIsNoSilence)
}

func aCloseIsNoSilence(t testing.TB, w *world) {
	a, b := w.replica("A", shared.URL()), w.replica("B", shared.URL())
	ready(t, a, b)
	b.Close()
	trusted := time.Now()
	contention.Await(t, slack*time.Second, "A trusts its tiers for 1.5 s after B has left", func() bool {
		if !a.trusted(time.Now().UnixNano()) {
			trusted = time.Now()
		}
		return time.Since(trusted) > 1500*time.Millisecond
	})
}
