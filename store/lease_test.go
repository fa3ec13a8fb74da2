package store

// Tests of leases: two processes at once, a holder that dies, and one that comes back.

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// holderOf returns the lease of a name as the database has it.
func holderOf(t *testing.T, s *Store, name string) (l leaseState) {
	t.Helper()
	check(t, s.db.Collection(meta).FindOne(t.Context(), bson.D{{Key: "_id", Value: "lease/" + name}}).Decode(&l))
	return l
}

// quickLease makes the lease of a name in s run out soon.
func quickLease(s *Store, name string) *lease {
	l := s.newLease("lease/" + name)
	l.lasts, l.beat = 400*time.Millisecond, 20*time.Millisecond
	s.leases[name] = l
	return l
}

func TestATaskRunsOnceAtATimeInAllProcesses(t *testing.T) {
	stores := twoStores(t, nil)
	var at, ran, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				did, err := stores[i%2].Exclusively(context.Background(), "task", func(context.Context) error {
					if at.Add(1) > 1 {
						t.Error("two run at once")
					}
					defer at.Add(-1)
					<-time.After(time.Millisecond)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				if did {
					ran.Add(1)
				} else {
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	if ran.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d ran, %d were refused", ran.Load(), refused.Load())
	}
	failure := errors.New("no room")
	if did, err := stores[0].Exclusively(t.Context(), "task", func(context.Context) error { return failure }); !did || !errors.Is(err, failure) {
		t.Errorf("a task that fails: %t, %v", did, err)
	}
	if l := holderOf(t, stores[0], "task"); l.Holder != "" {
		t.Errorf("after all of them the lease is %+v", l)
	}
	if did, err := stores[1].Exclusively(t.Context(), "another", func(ctx context.Context) error {
		did, err := stores[0].Exclusively(ctx, "task", func(context.Context) error { return nil })
		if !did {
			t.Errorf("a task waits for one with another name")
		}
		return err
	}); err != nil || !did {
		t.Errorf("another task: %t, %v", did, err)
	}
}

// A holder that renews its lease keeps it for longer than the lease lasts; one that is silent loses
// it.
func TestATaskOfASilentProcessIsTakenOver(t *testing.T) {
	stores := twoStores(t, nil)
	held, other := quickLease(stores[0], "task"), quickLease(stores[1], "task")
	tries := func(of time.Duration) (taken bool) {
		for end := time.Now().Add(of); !taken && time.Now().Before(end); <-time.After(5 * time.Millisecond) {
			var err error
			taken, err = stores[1].Exclusively(t.Context(), "task", func(context.Context) error { return nil })
			check(t, err)
		}
		return taken
	}
	did, err := stores[0].Exclusively(t.Context(), "task", func(context.Context) error {
		if tries(3 * other.lasts) {
			t.Error("a lease that is renewed is taken over")
		}
		return nil
	})
	if err != nil || !did {
		t.Errorf("%t, %v", did, err)
	}
	held.beat = time.Hour
	did, err = stores[0].Exclusively(t.Context(), "task", func(context.Context) error {
		if !tries(time.Minute) {
			t.Error("a lease that isn't renewed is never taken over")
		}
		return nil
	})
	if err != nil || !did {
		t.Errorf("%t, %v", did, err)
	}
}

// The task of a process that was silent ends when the process hears that another took over.
func TestATaskThatWasTakenOverIsStopped(t *testing.T) {
	s := openStore(t, nil)
	quickLease(s, "task")
	_, err := s.Exclusively(t.Context(), "task", func(ctx context.Context) error {
		_, err := s.db.Collection(meta).UpdateOne(ctx, bson.D{{Key: "_id", Value: "lease/task"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "holder", Value: "another"}}}})
		check(t, err)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, errTakenOver) {
		t.Errorf("it ends with %v", err)
	}
	if l := holderOf(t, s, "task"); l.Holder != "another" {
		t.Errorf("the one that was taken over has released the lease of the other: %+v", l)
	}
}
