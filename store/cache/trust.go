package cache

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
	// pollEvery is how often a replica looks whether another has lost Redis.
	pollEvery = time.Second
	// pollGood is how long one such look is trusted.
	pollGood = 1400 * time.Millisecond
	// notice is how long a replica that has lost Redis waits, after saying so in the
	// database, before it writes: longer than pollGood, so that everyone has seen it.
	notice = 1500 * time.Millisecond
	// absenceFor is how long such a note stands without being renewed, and absenceRenew
	// how often it is. Both allow for clocks that differ by some seconds.
	absenceFor   = 15 * time.Second
	absenceRenew = 5 * time.Second
	clockSkew    = 5 * time.Second
	// settleLimit is how long clearing up after another replica may take.
	settleLimit = 30 * time.Second
	// watchEvery is how often a replica looks after its own standing.
	watchEvery = 250 * time.Millisecond
	// patience is how long a write waits in all for a way to announce itself.
	patience = 5 * time.Second
)

// Ledger is where replicas that can't announce their writes over Redis say so: in the
// database, which they all read. A note that has run out was left by a replica that died,
// or that has no Redis to clean up.
type Ledger struct {
	Place func(ctx context.Context, replica string, until time.Time) error
	Clear func(ctx context.Context, replica string) error
	List  func(ctx context.Context) ([]Absence, error)
}

// Absence is a replica's note that its writes aren't announced.
type Absence struct {
	Replica string
	Until   time.Time
}

// withoutRedis is the name under which every replica that has no Redis leaves its note:
// one note for all of them, which outlives each.
const withoutRedis = "without-redis"

// trust knows how far this replica may believe that it hears of every change, and sees to
// it that the others hear of its own.
type trust struct {
	cache  *Cache
	ledger *Ledger
	redis  *bus.Redis // nil without Redis
	self   string
	log    *slog.Logger
	began  time.Time
	until  atomic.Int64 // Unix nanoseconds up to which no other replica writes unannounced

	mu         sync.Mutex
	silent     bool      // this replica can't announce over Redis
	returning  bool      // it soon can again, so that no unannounced write may begin
	placed     time.Time // since when its note can be relied on to stand in the database; zero when it can't
	renewed    time.Time
	unheard    int       // unannounced writes under way
	dirty      bool      // something was written that Redis may still hold as it was before
	polled     time.Time // start of the last look at the others' notes that succeeded
	otherNotes bool      // that look found some

	noteLeft bool // there may be a note of this replica's own in the database; owned by watch

	stop context.CancelFunc
	done chan struct{}
}

func newTrust(c *Cache, o Options, redis *bus.Redis) *trust {
	ctx, stop := context.WithCancel(context.Background())
	t := &trust{
		cache: c, ledger: o.Ledger, redis: redis, self: rand.Text()[:12], log: o.Log, began: time.Now(),
		stop: stop, done: make(chan struct{}),
	}
	if redis == nil {
		t.self, t.silent = withoutRedis, true
	}
	go t.watch(ctx)
	return t
}

// close stops watching. A note of this replica's own is left to run out, so that somebody
// who has Redis clears what its writes made stale there.
func (t *trust) close() {
	t.stop()
	<-t.done
}

// announce makes sure that every replica knows, or will not rely on knowing, that keys
// change. It waits for that at most patience. finish is to be called after the write.
func (t *trust) announce(ctx context.Context, keys []string) (finish func(context.Context), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		t.mu.Lock()
		silent := t.silent
		ready := silent && !t.returning && t.noted(time.Now())
		if ready {
			t.unheard++
			t.dirty = true
		}
		t.mu.Unlock()
		switch {
		case ready:
			return t.unheardDone, nil
		case !silent:
			err := t.redis.Drop(ctx, keys)
			if err == nil {
				return func(ctx context.Context) { t.announceAgain(ctx, keys) }, nil
			}
			if ctx.Err() == nil {
				t.fall(err)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("announce a change to the other replicas: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// announceAgain tells the others after the write. Where that fails, what they read since
// the first time isn't kept longer than a second.
func (t *trust) announceAgain(ctx context.Context, keys []string) {
	if err := t.redis.Drop(ctx, keys); err != nil {
		t.mu.Lock()
		t.dirty = true
		t.mu.Unlock()
		t.fall(err)
	}
}

func (t *trust) unheardDone(context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unheard--
}

// noted says whether this replica's note has stood long enough for everyone to have seen
// it, and still stands.
func (t *trust) noted(now time.Time) bool {
	return !t.placed.IsZero() && now.Sub(t.placed) >= notice && now.Sub(t.renewed) < absenceFor
}

// fall turns from announcing over Redis to announcing through the database.
func (t *trust) fall(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.silent {
		return
	}
	t.silent = true
	t.until.Store(0)
	t.polled = time.Time{}
	t.log.Warn("Redis can't be reached: answers come from the database until it is back", "error", err)
}

// watch looks after all this four times a second.
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
		t.fall(errNoTick)
	}
	t.mu.Lock()
	silent := t.silent
	t.mu.Unlock()
	if silent {
		if reached && now.UnixNano() >= t.cache.hush.Load() && t.writable(ctx) {
			t.recover(ctx)
		} else {
			t.mu.Lock()
			t.returning = false
			t.mu.Unlock()
		}
	}
	t.mu.Lock()
	silent = t.silent
	placed, renewed, polled := t.placed, t.renewed, t.polled
	t.mu.Unlock()
	switch {
	case silent && (placed.IsZero() || now.Sub(renewed) >= absenceRenew):
		t.place(ctx)
	case !silent && t.noteLeft:
		t.clear(ctx)
	}
	if !silent && now.Sub(polled) >= pollEvery {
		t.poll(ctx)
	}
}

// writable says whether Redis also takes blocks: one that is full, or can't save, or is
// but a copy of another, passes messages on all the same.
func (t *trust) writable(ctx context.Context) bool {
	err := t.redis.Drop(ctx, []string{"probe"})
	if err != nil {
		t.log.Debug("try whether Redis takes blocks", "error", err)
	}
	return err == nil
}

// place puts this replica's note into the database, or renews it.
func (t *trust) place(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, WriteLimit)
	defer cancel()
	t.noteLeft = true
	asked := time.Now()
	if err := t.ledger.Place(ctx, t.self, asked.Add(absenceFor)); err != nil {
		t.log.Debug("leave a note that this replica can't reach Redis", "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.placed.IsZero() || asked.Sub(t.renewed) >= absenceFor {
		t.placed = time.Now()
	}
	t.renewed = asked
}

// recover begins to announce over Redis again, once the last unannounced write has ended.
// What was written meanwhile may be in Redis as it was before, so everything there goes
// before the note does.
func (t *trust) recover(ctx context.Context) {
	t.mu.Lock()
	t.returning = t.unheard > 0
	waiting, dirty := t.returning, t.dirty
	t.silent = waiting
	t.mu.Unlock()
	if waiting {
		return
	}
	if dirty {
		if err := t.cache.tier2.scrubAll(ctx); err != nil {
			t.mu.Lock()
			t.silent = true
			t.mu.Unlock()
			t.log.Debug("clear what Redis kept while it was out of reach", "error", err)
			return
		}
	}
	t.mu.Lock()
	fell := t.silent
	if !fell {
		t.dirty = false
		t.placed = time.Time{}
	}
	t.mu.Unlock()
	if !fell {
		t.log.Info("Redis is back")
	}
}

// clear takes this replica's note out of the database.
func (t *trust) clear(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, WriteLimit)
	defer cancel()
	if err := t.ledger.Clear(ctx, t.self); err != nil {
		t.log.Debug("take back the note that this replica can't reach Redis", "error", err)
		return
	}
	t.noteLeft = false
}

// poll looks for notes of others. As long as there is one, and after a pause in looking,
// changes may have gone unheard.
func (t *trust) poll(ctx context.Context) {
	start := time.Now()
	notes, err := t.notes(ctx)
	if err != nil {
		t.log.Debug("look for replicas that can't reach Redis", "error", err)
		return
	}
	found := false
	for _, note := range notes {
		if start.After(note.Until.Add(clockSkew)) && t.settle(ctx, note) {
			continue
		}
		found = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.silent {
		return
	}
	missed := t.otherNotes || start.Sub(t.polled) > pollGood
	t.polled, t.otherNotes = start, found
	if found {
		t.until.Store(0)
		return
	}
	if missed {
		t.cache.Flush()
	}
	t.until.Store(start.Add(pollGood).UnixNano())
}

// notes lists what others have left.
func (t *trust) notes(ctx context.Context) ([]Absence, error) {
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	all, err := t.ledger.List(ctx)
	return slices.DeleteFunc(all, func(note Absence) bool { return note.Replica == t.self }), err
}

// settle does for a replica that is gone what it would have done on its return; unless,
// as a second look shows, it is there after all.
func (t *trust) settle(ctx context.Context, note Absence) bool {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	err := t.cache.tier2.scrubAll(ctx)
	if err == nil {
		var notes []Absence
		if notes, err = t.notes(ctx); err == nil {
			for _, now := range notes {
				if now.Replica == note.Replica && !now.Until.Equal(note.Until) {
					return false
				}
			}
			err = t.ledger.Clear(ctx, note.Replica)
		}
	}
	if err != nil {
		t.log.Debug("clear up after a replica that lost Redis and didn't return", "replica", note.Replica, "error", err)
	}
	return err == nil
}
