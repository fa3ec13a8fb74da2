package cache

// Trust between replicas while Redis fails: markers of degraded replicas and trust leases in the
// database. Entry points: trust.announce around writes; watch runs the rest.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stoa/store/bus"
)

var errNoTick = errors.New("no message of this replica's own has come back for 750 ms")

const (
	// pollEvery is the time between two polls for degraded replicas, and the limit of one.
	pollEvery = time.Second
	// trustFor is the life of a trust lease: for so long a replica uses its caches without the
	// database, and for so long a degraded replica waits for the lease of a replica that died.
	// trustRenew is the interval between renewals. So caches outlast an election, which takes 12 s,
	// three times over.
	trustFor   = 45 * time.Second
	trustRenew = 5 * time.Second
	// notice is the least time that a degraded replica waits between its marker and its first write.
	// Replicas of the first version have no leases: they trust for 1.4 s after a poll. It can go once
	// no such replica can run beside this one.
	notice = 1500 * time.Millisecond
	// markerFor is the life of a marker that isn't renewed; markerRenew is the interval between
	// renewals. Both allow for clocks that differ by some seconds.
	markerFor   = 15 * time.Second
	markerRenew = 5 * time.Second
	clockSkew   = 5 * time.Second
	// reapLimit bounds the clean-up after a dead replica.
	reapLimit = 30 * time.Second
	// watchEvery is the time between two checks of a replica's own state.
	watchEvery = 250 * time.Millisecond
	// patience bounds the time that a write waits in all to be announced.
	patience = 5 * time.Second
)

// Registry is the part of the database by which replicas learn of each other's troubles with Redis.
// A write returns without an error only once a majority has it, and all that was written before it.
// A read returns all such writes.
type Registry struct {
	// Set, Clear and List write and read the markers of degraded replicas, those that can't announce
	// their writes over Redis. An expired marker was left by a replica that died or that runs without
	// Redis.
	Set   func(ctx context.Context, replica string, until time.Time) error
	Clear func(ctx context.Context, replica string) error
	List  func(ctx context.Context) ([]DegradedMarker, error)

	// Lease, EndLeases and Leases write and read the trust leases of replicas that use their caches.
	// Lease adds one, EndLeases removes those of a replica with numbers below end.
	Lease     func(ctx context.Context, l TrustLease) error
	EndLeases func(ctx context.Context, replica string, end int64) error
	Leases    func(ctx context.Context) ([]TrustLease, error)
}

// TrustLease says that a replica may use its caches until a time, without a look at the markers of
// others. Each is a document of its own, added once and removed once: a command that comes late, of
// an earlier lease, changes nothing about the present one.
type TrustLease struct {
	Replica string
	Number  int64 // of the leases of a replica, the present one has the highest
	Until   time.Time
}

// DegradedMarker says that a replica writes without announcing over Redis, until a time.
type DegradedMarker struct {
	Replica string
	Until   time.Time
}

// withoutRedis is the name in the marker of every replica that runs without Redis: they share one
// marker, and it outlives each of them.
const withoutRedis = "without-redis"

// trust decides whether this replica can rely on hearing of every change, and makes sure that the
// others hear of its own changes.
type trust struct {
	cache    *Cache
	registry *Registry
	redis    *bus.Redis // nil without Redis
	self     string
	log      *slog.Logger
	began    time.Time
	until    atomic.Int64 // Unix nanoseconds up to which no other replica writes unannounced

	mu          sync.Mutex
	degraded    bool      // this replica can't announce over Redis
	returning   bool      // it soon can again, so that no unannounced write may begin
	markedSince time.Time // the time from which its marker is certain to be in the database; zero without a marker
	renewed     time.Time
	noLeases    bool                 // since then no other replica has had a trust lease
	unannounced int                  // unannounced writes under way
	dirty       bool                 // Redis may still hold an old value of something written
	unknown     map[string]time.Time // keys of writes with an unknown outcome, and when each failed; see unknown.go
	proof       time.Time            // start of the last write to the registry that a majority has

	// These are owned by watch.
	markerLeft bool      // this replica's own marker may be in the database
	polled     time.Time // start of the last look at the others' markers
	lease      int64     // the number of the present trust lease; 0 without one
	leased     time.Time // when it was asked for
	lastLease  int64     // the number of the last one that was asked for
	ended      int64     // the database has no lease of this replica with a lower number

	stop context.CancelFunc
	done sync.WaitGroup
}

func newTrust(c *Cache, o Options, redis *bus.Redis) *trust {
	ctx, stop := context.WithCancel(context.Background())
	t := &trust{
		cache: c, registry: o.Registry, redis: redis, self: rand.Text()[:12], log: o.Log, began: time.Now(),
		unknown: map[string]time.Time{}, ended: 1, stop: stop,
	}
	if redis == nil {
		t.self, t.degraded = withoutRedis, true
	}
	t.done.Go(func() { t.watch(ctx) })
	t.done.Go(func() { t.holdBlocks(ctx) })
	return t
}

// close stops watching and ends this replica's trust lease. Its own marker is left to expire: a
// replica with Redis then clears the values in Redis that its writes made stale.
func (t *trust) close() {
	t.stop()
	t.done.Wait()
	t.distrust()
	t.endLeases(context.Background())
}

// announce makes sure that every replica hears that keys change, or knows that it may miss such
// changes. It waits for that at most patience. Call finish after the write, and say whether its outcome is
// known.
func (t *trust) announce(ctx context.Context, keys []string) (finish func(ctx context.Context, known bool), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		t.mu.Lock()
		degraded := t.degraded
		ready := degraded && !t.returning && t.markerSeen(time.Now())
		if ready {
			t.unannounced++
			t.dirty = true
		}
		t.mu.Unlock()
		switch {
		case ready:
			return func(_ context.Context, known bool) { t.endUnannounced(keys, known) }, nil
		case !degraded:
			err := t.redis.Drop(ctx, keys)
			if err == nil {
				return func(ctx context.Context, known bool) { t.announceAgain(ctx, keys, known) }, nil
			}
			if ctx.Err() == nil {
				t.degrade(err)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("announce a change to the other replicas: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// announceAgain tells the others after the write.
func (t *trust) announceAgain(ctx context.Context, keys []string, known bool) {
	tell := t.redis.Drop
	if !known {
		t.leaveUnknown(keys)
		tell = t.redis.Hold
	}
	_ = t.reannounced(ctx, tell(ctx, keys))
}

// reannounced looks at the error of an announcement after the write. If it failed, the values that the
// others have read since the one before live for a second at most, and this replica degrades.
func (t *trust) reannounced(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		t.mu.Lock()
		t.dirty = true
		t.mu.Unlock()
		t.degrade(err)
	}
	return err
}

func (t *trust) endUnannounced(keys []string, known bool) {
	if !known {
		t.leaveUnknown(keys)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unannounced--
}

// markerSeen reports whether no other replica relies on hearing of every change, since this one put
// its marker into the database, and the marker hasn't expired.
func (t *trust) markerSeen(now time.Time) bool {
	return t.noLeases && now.Sub(t.markedSince) >= notice && now.Sub(t.renewed) < markerFor
}

// degrade changes from announcing over Redis to announcing through the database.
func (t *trust) degrade(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.degraded {
		return
	}
	t.degraded = true
	t.until.Store(0)
	t.log.Warn("Redis can't be reached: answers come from the database until it is back", "error", err)
}

// watch runs the checks of this file four times a second.
func (t *trust) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	t.look(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.look(ctx)
		}
	}
}

func (t *trust) look(ctx context.Context) {
	now := time.Now()
	reached := t.redis != nil && t.redis.Reached(now)
	if !reached && t.redis != nil && now.Sub(t.began) > pollEvery {
		t.degrade(errNoTick)
	}
	t.mu.Lock()
	degraded := t.degraded
	t.mu.Unlock()
	if degraded {
		if reached && !t.waitsForProof() && t.writable(ctx) {
			t.recover(ctx)
		} else {
			t.mu.Lock()
			t.returning = false
			t.mu.Unlock()
		}
	}
	t.mu.Lock()
	degraded = t.degraded
	marked, renewed := !t.markedSince.IsZero(), t.renewed
	t.mu.Unlock()
	switch {
	case degraded:
		t.distrust()
		if !marked || now.Sub(renewed) >= markerRenew || t.provable(now) {
			t.mark(ctx)
		}
		t.lookForLeases(ctx)
	case t.markerLeft:
		t.clear(ctx)
	}
	if !degraded && now.Sub(t.polled) >= pollEvery {
		t.poll(ctx)
	}
	t.endLeases(ctx)
}

// writable reports whether Redis also accepts blocks: a server that is full, can't save, or is only
// a copy of another still passes messages on.
func (t *trust) writable(ctx context.Context) bool {
	err := t.redis.Drop(ctx, []string{"probe"})
	if err != nil {
		t.log.Debug("try whether Redis takes blocks", "error", err)
	}
	return err == nil
}

// mark puts this replica's marker into the database, or renews it.
func (t *trust) mark(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, WriteLimit)
	defer cancel()
	t.markerLeft = true
	asked := time.Now()
	if err := t.registry.Set(ctx, t.self, asked.Add(markerFor)); err != nil {
		t.log.Debug("mark this replica as degraded", "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.markedSince.IsZero() || asked.Sub(t.renewed) >= markerFor {
		t.markedSince, t.noLeases = time.Now(), false
	}
	t.renewed, t.proof = asked, asked
}

// lookForLeases looks whether any other replica still has a trust lease. A replica that takes one
// later finds this replica's marker, and doesn't trust.
func (t *trust) lookForLeases(ctx context.Context) {
	t.mu.Lock()
	looking := !t.noLeases && !t.markedSince.IsZero()
	t.mu.Unlock()
	if !looking {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	leases, err := t.registry.Leases(ctx)
	if err != nil {
		t.log.Debug("look for replicas that trust their caches", "error", err)
		return
	}
	now := time.Now()
	for _, l := range leases {
		if l.Replica != t.self && now.Before(l.Until.Add(clockSkew)) {
			return
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noLeases = true
}

// recover begins to announce over Redis again, once the last unannounced write has ended. Redis may
// still hold older values of the things written meanwhile, so it is scrubbed before the marker is
// removed.
func (t *trust) recover(ctx context.Context) {
	t.mu.Lock()
	t.returning = t.unannounced > 0
	waiting, dirty := t.returning, t.dirty
	t.degraded = waiting
	t.mu.Unlock()
	if waiting {
		return
	}
	if dirty {
		if err := t.cache.tier2.scrubAll(ctx); err != nil {
			t.mu.Lock()
			t.degraded = true
			t.mu.Unlock()
			t.log.Debug("clear the values in Redis from before it was out of reach", "error", err)
			return
		}
	}
	t.mu.Lock()
	degradedAgain := t.degraded
	if !degradedAgain {
		t.dirty, t.noLeases = false, false
		t.markedSince = time.Time{}
	}
	t.mu.Unlock()
	if !degradedAgain {
		t.log.Info("Redis is back")
		t.dropProven(ctx)
	}
}

// clear removes this replica's marker from the database.
func (t *trust) clear(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, WriteLimit)
	defer cancel()
	if err := t.registry.Clear(ctx, t.self); err != nil {
		t.log.Debug("clear the marker of this replica", "error", err)
		return
	}
	t.markerLeft = false
}

// poll reads the markers of other replicas. While there is one, this replica may miss changes, and
// has no trust lease. Without one it trusts as long as the lease that it had before it read. A poll
// that fails changes nothing until that lease has ended: nobody writes unannounced before.
func (t *trust) poll(ctx context.Context) {
	start := time.Now()
	t.polled = start
	markers, err := t.markers(ctx)
	if err != nil {
		t.log.Debug("look for degraded replicas", "error", err)
		return
	}
	found := false
	for _, marker := range markers {
		if start.After(marker.Until.Add(clockSkew)) && t.reap(ctx, marker) {
			continue
		}
		found = true
	}
	if found {
		t.distrust()
		return
	}
	if t.lease != 0 {
		t.trustLease()
	}
	if t.lease == 0 || start.Sub(t.leased) >= trustRenew || t.provable(start) {
		t.renewLease(ctx)
	}
}

// trustLease begins or goes on to trust, until the end of the lease. If this replica didn't trust
// until now, others may have written unannounced.
func (t *trust) trustLease() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.degraded {
		return
	}
	if time.Now().UnixNano() >= t.until.Load() {
		t.cache.Flush()
	}
	t.until.Store(t.leased.Add(trustFor).UnixNano())
}

// renewLease adds a trust lease, in place of the present one if there is one. The next poll, at once
// if there was none, decides whether this replica trusts.
func (t *trust) renewLease(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	t.lastLease++
	asked := time.Now()
	if err := t.registry.Lease(limited, TrustLease{t.self, t.lastLease, asked.Add(trustFor)}); err != nil {
		t.log.Debug("take a trust lease", "error", err)
		return
	}
	if t.lease == 0 {
		t.polled = time.Time{}
	}
	t.lease, t.leased = t.lastLease, asked
	t.mu.Lock()
	t.proof = asked
	t.mu.Unlock()
	t.dropProven(ctx)
}

// distrust ends this replica's trust, and then gives up its lease.
func (t *trust) distrust() {
	t.until.Store(0)
	t.lease = 0
}

// endLeases removes this replica's leases from the database, except the present one.
func (t *trust) endLeases(ctx context.Context) {
	end := t.lease
	if end == 0 {
		end = t.lastLease + 1
	}
	if end == t.ended {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	if err := t.registry.EndLeases(ctx, t.self, end); err != nil {
		t.log.Debug("end trust leases", "error", err)
		return
	}
	t.ended = end
}

// markers lists the markers of the other replicas.
func (t *trust) markers(ctx context.Context) ([]DegradedMarker, error) {
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	all, err := t.registry.List(ctx)
	return slices.DeleteFunc(all, func(marker DegradedMarker) bool { return marker.Replica == t.self }), err
}

// reap scrubs Redis and clears the marker for a replica that died, as that replica would have done
// on its return. It does nothing if a second look finds the marker renewed.
func (t *trust) reap(ctx context.Context, marker DegradedMarker) bool {
	ctx, cancel := context.WithTimeout(ctx, reapLimit)
	defer cancel()
	err := t.cache.tier2.scrubAll(ctx)
	if err == nil {
		var markers []DegradedMarker
		if markers, err = t.markers(ctx); err == nil {
			for _, now := range markers {
				if now.Replica == marker.Replica && !now.Until.Equal(marker.Until) {
					return false
				}
			}
			err = t.registry.Clear(ctx, marker.Replica)
		}
	}
	if err != nil {
		t.log.Debug("clear up after a replica that lost Redis and didn't return", "replica", marker.Replica, "error", err)
	}
	return err == nil
}
