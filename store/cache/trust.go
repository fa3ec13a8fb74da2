package cache

// Trust between replicas while Redis fails: markers of degraded replicas in the database. Entry
// points: trust.announce and announceAgain around writes; watch runs the rest.

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
	// pollEvery is the time between two polls for degraded replicas.
	pollEvery = time.Second
	// pollGood is the time for which the result of a poll is trusted.
	pollGood = 1400 * time.Millisecond
	// notice is the time that a degraded replica waits between its marker and its first write:
	// longer than pollGood, so that every replica has seen the marker.
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

// DegradedRegistry lists the degraded replicas, those that can't announce their writes over Redis,
// in the database, which every replica reads. An expired marker was left by a replica that died or
// that runs without Redis.
type DegradedRegistry struct {
	Set   func(ctx context.Context, replica string, until time.Time) error
	Clear func(ctx context.Context, replica string) error
	List  func(ctx context.Context) ([]DegradedMarker, error)
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
	registry *DegradedRegistry
	redis    *bus.Redis // nil without Redis
	self     string
	log      *slog.Logger
	began    time.Time
	until    atomic.Int64 // Unix nanoseconds up to which no other replica writes unannounced

	mu           sync.Mutex
	degraded     bool      // this replica can't announce over Redis
	returning    bool      // it soon can again, so that no unannounced write may begin
	markedSince  time.Time // the time from which its marker is certain to be in the database; zero without a marker
	renewed      time.Time
	unannounced  int       // unannounced writes under way
	dirty        bool      // Redis may still hold an old value of something written
	polled       time.Time // start of the last successful look at the others' markers
	otherMarkers bool      // that poll found some

	markerLeft bool // this replica's own marker may be in the database; owned by watch

	stop context.CancelFunc
	done chan struct{}
}

func newTrust(c *Cache, o Options, redis *bus.Redis) *trust {
	ctx, stop := context.WithCancel(context.Background())
	t := &trust{
		cache: c, registry: o.Registry, redis: redis, self: rand.Text()[:12], log: o.Log, began: time.Now(),
		stop: stop, done: make(chan struct{}),
	}
	if redis == nil {
		t.self, t.degraded = withoutRedis, true
	}
	go t.watch(ctx)
	return t
}

// close stops watching. This replica's own marker is left to expire: a replica with Redis then
// clears the values in Redis that its writes made stale.
func (t *trust) close() {
	t.stop()
	<-t.done
}

// announce makes sure that every replica hears that keys change, or knows that it may miss such
// changes. It waits for that at most patience. Call finish after the write.
func (t *trust) announce(ctx context.Context, keys []string) (finish func(context.Context), err error) {
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
			return t.endUnannounced, nil
		case !degraded:
			err := t.redis.Drop(ctx, keys)
			if err == nil {
				return func(ctx context.Context) { t.announceAgain(ctx, keys) }, nil
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

// announceAgain tells the others after the write. If that fails, the values that they have read
// since the first announcement live for a second at most.
func (t *trust) announceAgain(ctx context.Context, keys []string) {
	if err := t.redis.Drop(ctx, keys); err != nil {
		t.mu.Lock()
		t.dirty = true
		t.mu.Unlock()
		t.degrade(err)
	}
}

func (t *trust) endUnannounced(context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unannounced--
}

// markerSeen reports whether every replica has had the time to see this replica's marker, and it
// hasn't expired.
func (t *trust) markerSeen(now time.Time) bool {
	return !t.markedSince.IsZero() && now.Sub(t.markedSince) >= notice && now.Sub(t.renewed) < markerFor
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
	t.polled = time.Time{}
	t.log.Warn("Redis can't be reached: answers come from the database until it is back", "error", err)
}

// watch runs the checks of this file four times a second.
func (t *trust) watch(ctx context.Context) {
	defer close(t.done)
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
		if reached && now.UnixNano() >= t.cache.uncertainUntil.Load() && t.writable(ctx) {
			t.recover(ctx)
		} else {
			t.mu.Lock()
			t.returning = false
			t.mu.Unlock()
		}
	}
	t.mu.Lock()
	degraded = t.degraded
	markedSince, renewed, polled := t.markedSince, t.renewed, t.polled
	t.mu.Unlock()
	switch {
	case degraded && (markedSince.IsZero() || now.Sub(renewed) >= markerRenew):
		t.mark(ctx)
	case !degraded && t.markerLeft:
		t.clear(ctx)
	}
	if !degraded && now.Sub(polled) >= pollEvery {
		t.poll(ctx)
	}
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
		t.markedSince = time.Now()
	}
	t.renewed = asked
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
		t.dirty = false
		t.markedSince = time.Time{}
	}
	t.mu.Unlock()
	if !degradedAgain {
		t.log.Info("Redis is back")
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

// poll reads the markers of other replicas. While there is one, and after a gap between two polls,
// this replica may have missed changes.
func (t *trust) poll(ctx context.Context) {
	start := time.Now()
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
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.degraded {
		return
	}
	missed := t.otherMarkers || start.Sub(t.polled) > pollGood
	t.polled, t.otherMarkers = start, found
	if found {
		t.until.Store(0)
		return
	}
	if missed {
		t.cache.Flush()
	}
	t.until.Store(start.Add(pollGood).UnixNano())
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
