package store

// Leases: of all processes on a database, one at a time does a task, and another takes over after
// its death. docs/decisions.md, "The lease of migrations is a beat", has the reasons. Entry points:
// Store.Exclusively; lease for migrations.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	// leaseLasts is the time that a holder may be silent before another takes its place, by the
	// clock of the other: clocks are never compared.
	leaseLasts = 15 * time.Second
	// leaseBeat is the time between two renewals of a lease.
	leaseBeat = 3 * time.Second
)

// errTakenOver is the cause of the end of a task after another process has taken its lease.
var errTakenOver = errors.New("another process has taken the work over")

// lease is a document in meta that names the process with the task.
type lease struct {
	store *Store
	key   string        // the document's id
	lasts time.Duration // see leaseLasts
	beat  time.Duration // see leaseBeat
	self  string        // names this holder

	mu    sync.Mutex // held by Exclusively
	seen  leaseState
	since time.Time // when seen was seen first
}

// leaseState is the lease in its document. It is valid while Beat goes up; a Holder of "" is nobody.
type leaseState struct {
	Holder string `bson:"holder"`
	Beat   int64  `bson:"beat"`
}

func (s *Store) newLease(key string) *lease {
	return &lease{store: s, key: key, lasts: leaseLasts, beat: leaseBeat, self: rand.Text()[:12]}
}

// take takes the lease if it is nobody's, if it was left as this holder's, or if its holder has been
// silent for too long since an earlier call.
func (l *lease) take(ctx context.Context) (bool, error) {
	var now leaseState
	err := l.store.db.Collection(meta).FindOne(ctx, bson.D{{Key: "_id", Value: l.key}}).Decode(&now)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return false, fmt.Errorf("read the lease %s: %w", l.key, err)
	}
	if now != l.seen || l.since.IsZero() {
		l.seen, l.since = now, time.Now()
	}
	if now.Holder != "" && now.Holder != l.self && time.Since(l.since) < l.lasts {
		return false, nil
	}
	result, err := l.store.db.Collection(meta).UpdateOne(ctx,
		bson.D{{Key: "_id", Value: l.key}, {Key: "holder", Value: now.Holder}, {Key: "beat", Value: now.Beat}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "holder", Value: l.self}, {Key: "beat", Value: now.Beat + 1}}}}, options.UpdateOne().SetUpsert(errors.Is(err, mongo.ErrNoDocuments)))
	if mongo.IsDuplicateKeyError(err) { // another process made the document
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take the lease %s: %w", l.key, err)
	}
	return result.MatchedCount+result.UpsertedCount == 1, nil
}

// hold keeps a lease that was taken until release is called. The returned context ends with
// errTakenOver after another process has taken it.
func (l *lease) hold(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		l.renew(ctx, cancel)
	}()
	return ctx, func() {
		cancel(nil)
		<-beating
		limited, stop := context.WithTimeout(context.WithoutCancel(parent), selectLimit)
		defer stop()
		// If this fails, the lease runs out.
		_, _ = l.store.db.Collection(meta).UpdateOne(limited, l.mine(), bson.D{{Key: "$set", Value: bson.D{{Key: "holder", Value: ""}}}})
	}
}

// mine is the condition that the lease is this holder's.
func (l *lease) mine() bson.D {
	return bson.D{{Key: "_id", Value: l.key}, {Key: "holder", Value: l.self}}
}

// renew renews the lease until ctx ends, and ends ctx after another process has taken it.
func (l *lease) renew(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(l.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		result, err := l.store.db.Collection(meta).UpdateOne(ctx, l.mine(), bson.D{{Key: "$inc", Value: bson.D{{Key: "beat", Value: int64(1)}}}})
		if err == nil && result.MatchedCount == 0 {
			end(errTakenOver)
			return
		}
	}
}

// Exclusively runs do, unless a do with the same name runs already, in this process or another. It
// returns false in that case. The context of do ends if this process is silent for so long that
// another takes over; so do must be repeatable.
func (s *Store) Exclusively(ctx context.Context, name string, do func(context.Context) error) (ran bool, err error) {
	s.leasing.Lock()
	l := s.leases[name]
	if l == nil {
		l = s.newLease("lease/" + name)
		s.leases[name] = l
	}
	s.leasing.Unlock()
	if !l.mu.TryLock() {
		return false, nil
	}
	defer l.mu.Unlock()
	if taken, err := l.take(ctx); err != nil || !taken {
		return false, err
	}
	held, release := l.hold(ctx)
	defer release()
	err = do(held)
	if errors.Is(context.Cause(held), errTakenOver) {
		err = errTakenOver
	}
	return true, err
}
