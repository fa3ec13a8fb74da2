package bus

// Buses over a real Redis: drops and their order, losses of Redis, new runs, and closing.

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoa/tests/contention"
	"stoa/tests/redistest"
)

// slack is the factor by which a test may exceed a promised time before it fails.
const slack = 3

// ears record the callbacks of a bus.
type ears struct {
	mu    sync.Mutex
	drops []string
	flush int
}

func (e *ears) heard() Heard {
	return Heard{
		Drop: func(key string) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.drops = append(e.drops, key)
		},
		Flush: func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.flush++
		},
	}
}

func (e *ears) dropped() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.drops)
}

func (e *ears) flushes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.flush
}

func connect(t *testing.T, url string) *Connection {
	t.Helper()
	c, err := Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// join adds a replica to the bus of a site, and waits until it hears its own ticks.
func join(t *testing.T, url, site string) (*Redis, *Connection, *ears) {
	t.Helper()
	c, e := connect(t, url), &ears{}
	b := OpenRedis(c, site, e.heard(), slog.New(slog.DiscardHandler))
	t.Cleanup(b.Close)
	eventually(t, "it hears itself", func() bool { return fresh(b) })
	return b, c, e
}

func fresh(b *Redis) bool { return b.FreshUntil() > time.Now().UnixNano() }

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	contention.Await(t, 30*time.Second, what, cond)
}

func TestADropBlocksAndTellsTheOthers(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	site := rand.Text()
	a, conn, heardByA := join(t, s.URL(), site)
	_, _, heardByB := join(t, s.URL(), site)
	_, _, heardElsewhere := join(t, s.URL(), rand.Text())
	flushes := heardByB.flushes()
	keys := []string{"art_1", "a key with spaces", "", "list/go\n"}
	if err := a.Drop(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	run, err := conn.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		left, err := s.Client(t).PTTL(t.Context(), run.Key(site, key)).Result()
		if err != nil || left <= 0 || left > BlockFor {
			t.Errorf("%q is blocked for %v, %v; want %v", key, left, err, BlockFor)
		}
	}
	contention.Await(t, slack*time.Second, "B hears of every key in order", func() bool { return slices.Equal(heardByB.dropped(), keys) })
	if got := heardByA.dropped(); len(got) > 0 {
		t.Errorf("A hears %q of its own drops; it knows", got)
	}
	if got := heardElsewhere.dropped(); len(got) > 0 {
		t.Errorf("another site hears %q", got)
	}
	if got := heardByB.flushes(); got != flushes {
		t.Errorf("%d flushes, and no message was lost", got-flushes)
	}
}

func TestAHeldBlockOutlastsOthersAndEndsWithADrop(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, c, _ := join(t, s.URL(), "site")
	left := func() time.Duration {
		t.Helper()
		run, err := c.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left, err := s.Client(t).PTTL(t.Context(), run.Key("site", "key")).Result()
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if err := b.Hold(t.Context(), []string{"key"}); err != nil {
		t.Fatal(err)
	}
	if l := left(); l <= BlockFor || l > HoldFor {
		t.Errorf("a held key is blocked for %s", l)
	}
	if err := b.Drop(t.Context(), []string{"key"}); err != nil {
		t.Fatal(err)
	}
	if l := left(); l > BlockFor {
		t.Errorf("after a drop it is blocked for %s still", l)
	}
}

func TestManyDropsAtOnceAreHeardInOrder(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	site := rand.Text()
	a, _, _ := join(t, s.URL(), site)
	_, _, heard := join(t, s.URL(), site)
	flushes := heard.flushes()
	allowed := contention.Allow(time.Now())
	const writers, each = 20, 20
	var group sync.WaitGroup
	var failure atomic.Pointer[error]
	for w := range writers {
		group.Go(func() {
			for i := range each {
				if err := a.Drop(t.Context(), []string{fmt.Sprintf("%d %d", w, i)}); err != nil {
					failure.Store(&err)
				}
			}
		})
	}
	group.Wait()
	if err := failure.Load(); err != nil && allowed.Shared() {
		t.Skipf("others use this machine, so that Redis didn't answer in time: %v", *err)
	} else if err != nil {
		t.Fatal(*err)
	}
	eventually(t, "all are heard", func() bool { return len(heard.dropped()) == writers*each })
	last := map[string]int{}
	for _, key := range heard.dropped() {
		w, number, _ := strings.Cut(key, " ")
		i, err := strconv.Atoi(number)
		if err != nil || i != last[w] {
			t.Fatalf("writer %s: number %s after %d", w, number, last[w]-1)
		}
		last[w]++
	}
	if got := heard.flushes(); got != flushes {
		t.Errorf("%d flushes, and no message was lost", got-flushes)
	}
}

func TestFreshnessEndsWithRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, _, e := join(t, s.URL(), rand.Text())
	flushes := e.flushes()
	for _, fault := range []func(){
		func() { s.Pause(t) },
		func() { s.Kill(t) },
	} {
		fault()
		contention.Await(t, slack*silence, "it isn't fresh, nor reached", func() bool { return !fresh(b) && !b.Reached(time.Now()) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := b.Drop(ctx, []string{"key"}); err == nil || ctx.Err() != nil {
			t.Errorf("a drop without Redis ends with %v", err)
		}
		cancel()
		s.Kill(t)
		s.Start(t)
		eventually(t, "it is fresh again", func() bool { return fresh(b) && b.Reached(time.Now()) })
		if now := e.flushes(); now == flushes {
			t.Error("it flushed nothing, though it may have missed everything")
		} else {
			flushes = now
		}
	}
}

func TestABreakInTheLineIsNoSilence(t *testing.T) {
	t.Parallel()
	line := redistest.Between(t, redistest.Start(t))
	b, _, e := join(t, line.URL(), rand.Text())
	flushes := e.flushes()
	line.Kick()
	eventually(t, "it isn't fresh", func() bool { return b.FreshUntil() == 0 })
	if b.own.Load() == 0 {
		t.Error("it passes for never reached")
	}
	eventually(t, "it is fresh again", func() bool { return fresh(b) })
	if e.flushes() == flushes {
		t.Error("it flushed nothing, though it may have missed something")
	}
}

func TestADropIsMadeAgainForANewRun(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := connect(t, s.URL())
	old, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A bus that sends nothing by itself: the drop is the first command to meet the new server.
	b := &Redis{conn: c, namespace: "site", self: "me", channel: "channel"}
	s.Restart(t, false)
	eventually(t, "a drop succeeds", func() bool { return b.deliver([]*parcel{{keys: []string{"key"}, block: BlockFor}}) == nil })
	run, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if run == old || !c.IsCurrent(run) || c.IsCurrent(old) {
		t.Error("a restarted server is the same run")
	}
	if v, err := s.Client(t).Get(t.Context(), run.Key("site", "key")).Result(); v != Blocked {
		t.Errorf("in the new run, the key is %q, %v", v, err)
	}
	if run.Usable() {
		t.Error("a run that has just begun passes for usable")
	}
	eventually(t, "it becomes usable", run.Usable)
}

func TestAnOldServerIsUsableForANewcomer(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	first, err := connect(t, s.URL()).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.Usable() {
		t.Error("a server that has just started passes for usable")
	}
	eventually(t, "it becomes usable", first.Usable)
	eventually(t, "its age in whole seconds says so", func() bool {
		c, err := Connect(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		run, err := c.Run(t.Context())
		return err == nil && run.Usable()
	})
}

func TestCloseEndsWhateverWaits(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	site := rand.Text()
	a, _, _ := join(t, s.URL(), site)
	b, _, _ := join(t, s.URL(), site) // its ticks don't keep a open
	var group sync.WaitGroup
	began := make(chan struct{}, 1)
	for range 8 {
		group.Go(func() {
			for a.Drop(context.Background(), []string{"key"}) == nil {
				select {
				case began <- struct{}{}:
				default:
				}
			}
		})
	}
	<-began
	closing := time.Now()
	a.Close()
	if took := time.Since(closing); took > slack*patience {
		t.Errorf("Close took %v", took)
	}
	group.Wait()
	eventually(t, "the other goes on", func() bool { return fresh(b) && b.Drop(t.Context(), []string{"key"}) == nil })
}

func TestAWrongURLIsSaidWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for url, reason := range map[string]string{
		"http://user:secret@host":                       "not a scheme of Redis",
		"redis://user:secret@host/x/y":                  "a path that is no number",
		"redis://:secret@ho st":                         "not a URL at all",
		"redis://:secret@host/notanumber?master_name=m": "the same for Sentinel",
	} {
		c, err := Connect(url)
		if err == nil {
			_ = c.Close()
			t.Errorf("%s is taken: %s", url, reason)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q tells the password", err)
		}
	}
}
