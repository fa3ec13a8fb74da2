package cache

// Replicas for tests, over a register in place of the database: reads that check the promises, and
// scenarios that are repeated on a busy machine.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoa/store/bus"
	"stoa/tests/contention"
)

// slack is the factor by which a test may exceed a promised time before it fails: the machine may
// have other work.
const slack = 3

// register takes the place of the database: whole numbers under keys, each write one higher than
// the last; 0 is absent. It also has the registry of replicas, and records the time at
// which each number was acknowledged, to tell the age of an answer.
type register struct {
	mu          sync.Mutex
	value       map[string]int
	acked       map[string][]ack // of each key, in the order of their times
	markers     map[string]time.Time
	markedSince time.Time // start of the time with a marker
	leases      []TrustLease
	away        map[string]bool // the replicas that can't reach it
	stalled     bool            // nothing that is written to the registry reaches a majority

	listed func() // runs after each look at the markers
}

type ack struct {
	v  int
	at time.Time
}

func newRegister() *register {
	return &register{value: map[string]int{}, acked: map[string][]ack{}, markers: map[string]time.Time{}, away: map[string]bool{}}
}

func (d *register) get(key string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.value[key]
}

func (d *register) set(key string, v int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.value[key] = v
}

func (d *register) raise(key string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.value[key]++
	return d.value[key]
}

func (d *register) ack(key string, v int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked[key] = append(d.acked[key], ack{v, time.Now()})
}

// age is the time, at a given moment, since something newer than v was acknowledged.
func (d *register) age(key string, v int, at time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.acked[key] {
		if a.v > v && a.at.Before(at) {
			return at.Sub(a.at)
		}
	}
	return 0
}

var (
	errAway    = errors.New("the database is away")
	errStalled = errors.New("no majority has it")
)

// reaches returns an error while a replica can't reach the register. The caller holds mu.
func (d *register) reaches(replica string) error {
	if d.away[replica] {
		return errAway
	}
	return nil
}

// registry is the register as a replica reaches it.
func (d *register) registry(replica string) *Registry {
	read := func(do func()) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := d.reaches(replica); err != nil {
			return err
		}
		do()
		return nil
	}
	write := func(do func()) error {
		d.mu.Lock()
		stalled := d.stalled
		d.mu.Unlock()
		if stalled {
			return errStalled
		}
		return read(do)
	}
	return &Registry{
		Set: func(_ context.Context, replica string, until time.Time) error {
			return write(func() {
				if len(d.markers) == 0 {
					d.markedSince = time.Now()
				}
				d.markers[replica] = until
			})
		},
		Clear: func(_ context.Context, replica string) error {
			return write(func() { delete(d.markers, replica) })
		},
		List: func(context.Context) (out []DegradedMarker, err error) {
			err = read(func() {
				for replica, until := range d.markers {
					out = append(out, DegradedMarker{replica, until})
				}
				if d.listed != nil {
					d.listed()
				}
			})
			return out, err
		},
		Lease: func(_ context.Context, l TrustLease) error {
			return write(func() { d.leases = append(d.leases, l) })
		},
		EndLeases: func(_ context.Context, replica string, end int64) error {
			return write(func() {
				d.leases = slices.DeleteFunc(d.leases, func(l TrustLease) bool { return l.Replica == replica && l.Number < end })
			})
		},
		Leases: func(context.Context) (out []TrustLease, err error) {
			err = read(func() { out = slices.Clone(d.leases) })
			return out, err
		},
	}
}

// leave makes the register unreachable for a replica, or reachable again.
func (d *register) leave(replica string, away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away[replica] = away
}

// stall keeps what is written to the registry from reaching a majority.
func (d *register) stall(stalled bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = stalled
}

// leased returns the replicas with a trust lease.
func (d *register) leased() (replicas []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.leases {
		replicas = append(replicas, l.Replica)
	}
	return replicas
}

func (d *register) marked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.markers))
}

// oldestMarker is the start of the time with a marker; zero without one.
func (d *register) oldestMarker() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.markers) == 0 {
		return time.Time{}
	}
	return d.markedSince
}

// ageMarkers makes all markers older, as if time had passed.
func (d *register) ageMarkers(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for replica, until := range d.markers {
		d.markers[replica] = until.Add(-by)
	}
}

// itemFormat is the format of the replicas' entries, unless a test chooses another.
const itemFormat = 0xabc

// replica is one cache over a register.
type replica struct {
	*Cache
	name  string
	site  string
	db    *register
	conn  *bus.Connection
	items Table[string, int]
	lists Table[string, string]
	log   *records

	// beforeLoad and afterLoad run around the read of a load, with its keys.
	beforeLoad, afterLoad atomic.Pointer[func(keys []string)]
	loads                 atomic.Int64

	mu    sync.Mutex
	known map[string]int // a read that begins now must not be older than this

	calm atomic.Uint64 // the last intended flush
}

// world is some replicas over one register and one site.
type world struct {
	t        testing.TB
	db       *register
	site     string
	replicas []*replica
}

func newWorld(t testing.TB) *world {
	return &world{t: t, db: newRegister(), site: rand.Text()[:10]}
}

// replica adds one, over the Redis at url; without Redis if url is "".
func (w *world) replica(name, url string) *replica { return w.open(name, url, false) }

// alone adds one that makes every write.
func (w *world) alone() *replica { return w.open("alone", "", true) }

func (w *world) open(name, url string, exclusive bool) *replica {
	w.t.Helper()
	r := &replica{name: name, site: w.site, db: w.db, log: &records{}, known: map[string]int{}}
	w.replicas = append(w.replicas, r)
	if url != "" {
		var err error
		if r.conn, err = bus.Connect(url); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = r.conn.Close() })
	}
	var err error
	r.Cache, err = New(Options{
		Bytes: 1 << 22, Redis: r.conn, Namespace: w.site, Exclusive: exclusive, Registry: w.db.registry(name), Log: slog.New(r.log),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	r.items = Table[string, int]{
		Key: func(k string) string { return k },
		Load: func(_ context.Context, ks []string) (map[string]*int, error) {
			r.hook(&r.beforeLoad, ks)
			r.db.mu.Lock()
			err := r.db.reaches(name)
			r.db.mu.Unlock()
			if err != nil {
				return nil, err
			}
			out := make(map[string]*int, len(ks))
			for _, k := range ks {
				if v := r.db.get(k); v != 0 {
					out[k] = &v
				}
			}
			r.hook(&r.afterLoad, ks)
			return out, nil
		},
		Encode: func(v *int) ([]byte, error) { return []byte(strconv.Itoa(*v)), nil },
		Decode: func(b []byte) (*int, error) { v, err := strconv.Atoi(string(b)); return &v, err },
		Size:   func(*int) int64 { return 8 },
		Format: itemFormat,
	}
	// A list is named by the keys that it depends on, with commas between, and contains their
	// values.
	r.lists = Table[string, string]{
		Key:  func(k string) string { return "list/" + k },
		Deps: func(k string) []string { return strings.Split(k, ",") },
		Load: func(_ context.Context, ks []string) (map[string]*string, error) {
			r.hook(&r.beforeLoad, ks)
			out := make(map[string]*string, len(ks))
			for _, k := range ks {
				var values []string
				for _, tag := range strings.Split(k, ",") {
					values = append(values, strconv.Itoa(r.db.get(tag)))
				}
				joined := strings.Join(values, ",")
				out[k] = &joined
			}
			r.hook(&r.afterLoad, ks)
			return out, nil
		},
		Encode: func(v *string) ([]byte, error) { return []byte(*v), nil },
		Decode: func(b []byte) (*string, error) { s := string(b); return &s, nil },
		Size:   func(v *string) int64 { return int64(len(*v)) },
	}
	return r
}

func (r *replica) hook(h *atomic.Pointer[func([]string)], ks []string) {
	if h == &r.beforeLoad {
		r.loads.Add(1)
	}
	if f := h.Load(); f != nil {
		(*f)(ks)
	}
}

// hold stops the next load at a hook; reached is closed when it has stopped, and release lets it go
// on. Later loads aren't stopped.
func hold(h *atomic.Pointer[func([]string)]) (reached <-chan struct{}, release func()) {
	at, on := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	f := func([]string) {
		if first.CompareAndSwap(false, true) {
			close(at)
			<-on
		}
	}
	h.Store(&f)
	return at, sync.OnceFunc(func() { close(on) })
}

// get is a read that checks nothing.
func (r *replica) get(key string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	found, err := r.items.Get(ctx, r.Cache, []string{key})
	if err != nil || found[0] == nil {
		return 0, err
	}
	return *found[0], nil
}

// read is a read that checks the promises: no value older than this replica knew before, by its
// writes or its answers; and on any replica, none older than a second. It returns the age of the
// answer.
func (r *replica) read(key string) (v int, age time.Duration, err error) {
	r.mu.Lock()
	floor := r.known[key]
	r.mu.Unlock()
	began := time.Now()
	if v, err = r.get(key); err != nil {
		return 0, 0, fmt.Errorf("replica %s: %w", r.name, err)
	}
	r.learn(key, v)
	age = r.db.age(key, v, began)
	switch {
	case v < floor:
		err = fmt.Errorf("replica %s answers %s=%d after it knew of %d", r.name, key, v, floor)
	case age > slack*time.Second:
		err = fmt.Errorf("replica %s answers %s=%d, out of date for %v", r.name, key, v, age)
	}
	return v, age, err
}

// write raises key by one.
func (r *replica) write(ctx context.Context, key string) (v int, err error) {
	err = r.Write(ctx, []string{key}, func(context.Context) error {
		v = r.db.raise(key)
		return nil
	})
	if err == nil {
		r.db.ack(key, v)
		r.learn(key, v)
	}
	return v, err
}

func (r *replica) learn(key string, v int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[key] = max(r.known[key], v)
}

// must fails the test unless a read returns want.
func (r *replica) must(t testing.TB, key string, want int, reason string) {
	t.Helper()
	if v, _, err := r.read(key); err != nil || v != want {
		t.Errorf("replica %s answers %s=%d, want %d: %s (%v)", r.name, key, v, want, reason, err)
	}
}

func (r *replica) mustWrite(t testing.TB, key string) int {
	t.Helper()
	v, err := r.write(t.Context(), key)
	if err != nil {
		t.Fatalf("replica %s writes %s: %v", r.name, key, err)
	}
	return v
}

// ready reports whether r uses both tiers without restriction.
func (r *replica) ready() bool {
	now := time.Now().UnixNano()
	if r.conn == nil {
		return r.trusted(now)
	}
	run, err := r.conn.Run(context.Background())
	return err == nil && run.Usable() && r.trusted(now) && r.shared(now)
}

func ready(t testing.TB, replicas ...*replica) {
	t.Helper()
	for _, r := range replicas {
		eventually(t, "replica "+r.name+" trusts its tiers", r.ready)
		r.calm.Store(r.floor.Load())
	}
}

// flush is an intended Flush.
func (r *replica) flush() {
	r.Flush()
	r.calm.Store(r.floor.Load())
}

// disturbed reports whether r has doubted Redis since it was ready.
func (r *replica) disturbed() bool {
	return r.floor.Load() != r.calm.Load() || r.log.count(unreachable) > 0 ||
		r.tier2 != nil && r.tier2.rest.Load() != 0 || r.trust != nil && !r.ready()
}

// calmly runs a scenario with a healthy Redis. On a very busy machine Redis may take 250 ms to
// answer. A cache rightly works without it then, and the scenario tests something else; so it is
// run again.
func calmly(t *testing.T, scenario func(t testing.TB, w *world)) {
	t.Helper()
	repeat(t, func(w *world, _ *contention.Allowance) bool {
		return slices.ContainsFunc(w.replicas, (*replica).disturbed)
	}, scenario)
}

// patiently runs a scenario with failures of Redis on purpose, so the replicas can't tell whether
// Redis was also too slow. If others used the machine, a failed scenario is run again.
func patiently(t *testing.T, scenario func(t testing.TB, w *world)) {
	t.Helper()
	repeat(t, func(_ *world, a *contention.Allowance) bool { return a.Shared() }, scenario)
}

// repeat runs a scenario until it succeeds, or fails without an excuse.
func repeat(t *testing.T, excused func(*world, *contention.Allowance) bool, scenario func(t testing.TB, w *world)) {
	t.Helper()
	for range 10 {
		trial := &trial{TB: t}
		w, allowed := newWorld(t), contention.Allow(time.Now())
		done := make(chan struct{})
		go func() { // Fatal ends the goroutine
			defer close(done)
			scenario(trial, w)
		}()
		<-done
		if trial.failures == nil {
			return
		}
		if !excused(w, allowed) {
			for _, f := range trial.failures {
				t.Error(f)
			}
			return
		}
		for _, r := range w.replicas {
			r.Close()
		}
		t.Logf("this machine was too busy, and so it doesn't count that: %q", trial.failures)
	}
	t.Error("this machine was too busy ten times")
}

// trial is a test that may have to be repeated.
type trial struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (t *trial) add(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, text)
}

func (t *trial) Error(args ...any)                 { t.add(fmt.Sprint(args...)) }
func (t *trial) Errorf(format string, args ...any) { t.add(fmt.Sprintf(format, args...)) }

func (t *trial) Fatal(args ...any) {
	t.Error(args...)
	runtime.Goexit()
}

func (t *trial) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// eventually waits until cond holds, for longer than anything here may ever take.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	contention.Await(t, 30*time.Second, what, cond)
}

// readUntil reads key on r, under the promises, until it answers want.
func (r *replica) readUntil(t testing.TB, limit time.Duration, key string, want int) {
	t.Helper()
	contention.Await(t, limit, fmt.Sprintf("replica %s answers %s=%d", r.name, key, want), func() bool {
		v, _, err := r.read(key)
		if err != nil {
			t.Fatal(err)
		}
		return v == want
	})
}

// observe reads key on each replica, under the promises, until stop is called. Errors end it and
// fail the test.
func observe(t testing.TB, key string, replicas ...*replica) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, r := range replicas {
		group.Go(func() {
			for ctx.Err() == nil {
				if _, _, err := r.read(key); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// inRedis is the value of a key in the current run of Redis, without the header of an entry of the
// present version; "" for nothing, and if r can't reach Redis.
func (r *replica) inRedis(t testing.TB, key string) string {
	t.Helper()
	run, err := r.conn.Run(t.Context())
	if err != nil {
		return ""
	}
	v, _ := r.conn.Client.Get(t.Context(), run.Key(r.site, key)).Result()
	return strings.TrimPrefix(v, header(itemFormat))
}

// removeFromRedis removes a key from Redis, as an eviction does.
func (r *replica) removeFromRedis(t testing.TB, key string) {
	t.Helper()
	run, err := r.conn.Run(t.Context())
	if err == nil {
		err = r.conn.Client.Del(t.Context(), run.Key(r.site, key)).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// records is a log that stores its records at level Info and above.
type records struct {
	mu   sync.Mutex
	seen []slog.Record
}

func (*records) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (l *records) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, r)
	return nil
}

func (l *records) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *records) WithGroup(string) slog.Handler      { return l }

// count is the number of records that begin with text.
func (l *records) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, r := range l.seen {
		if strings.HasPrefix(r.Message, text) {
			n++
		}
	}
	return n
}

var errFault = errors.New("a fault made for a test")
