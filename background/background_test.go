package background

// Rounds of tasks, and Quiesce, in a bubble of fake time.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// start runs tasks in a bubble of their own time, and returns the group and its log.
func start(t *testing.T, tasks ...Task) (*Group, *strings.Builder) {
	t.Helper()
	var log strings.Builder
	g := New(slog.New(slog.NewTextHandler(&log, nil)), tasks...)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return g, &log
}

func TestRoundsBeginOnTime(t *testing.T) {
	cases := map[string]struct {
		reason string
		task   Task
		want   []time.Duration
	}{
		"AtOnce": {"a task begins with a round", Task{}, []time.Duration{0, time.Second, 2 * time.Second}},
		"Later":  {"a task that can wait has its first round with the first tick", Task{Later: true}, []time.Duration{time.Second, 2 * time.Second}},
		"Sweep":  {"a sweep is a task like others", Task{Sweep: true}, []time.Duration{0, time.Second, 2 * time.Second}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var got []time.Duration
				c.task.Every = time.Second
				c.task.Do = func(context.Context) error {
					got = append(got, time.Since(began))
					return nil
				}
				start(t, c.task)
				<-time.After(2500 * time.Millisecond)
				synctest.Wait()
				if !slices.Equal(got, c.want) {
					t.Errorf("rounds begin after %v; want %v: %s", got, c.want, c.reason)
				}
			})
		})
	}
}

// Work left before the call of Quiesce is done when it returns: also work that a round under way
// came too early to find, and work that one task leaves for another.
func TestQuiesceWaitsForWhatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left, passed, done atomic.Int64
		g, _ := start(t,
			Task{Every: time.Hour, Do: func(context.Context) error {
				n := left.Load()
				<-time.After(time.Minute)
				left.Add(-n)
				passed.Add(n)
				return nil
			}},
			Task{Every: time.Hour, Do: func(context.Context) error {
				done.Add(passed.Swap(0))
				return nil
			}})
		synctest.Wait() // the first round has looked, and found nothing
		left.Store(3)
		if err := g.Quiesce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if done.Load() != 3 || left.Load() != 0 {
			t.Errorf("%d of 3 are done, %d are left", done.Load(), left.Load())
		}
	})
}

func TestQuiesceWaitsForASweepAndAsksForNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rounds, later atomic.Int64
		g, _ := start(t,
			Task{Every: time.Hour, Sweep: true, Do: func(context.Context) error {
				<-time.After(time.Minute)
				rounds.Add(1)
				return nil
			}},
			Task{Every: time.Hour, Sweep: true, Later: true, Do: func(context.Context) error {
				later.Add(1)
				return nil
			}})
		for range 2 {
			if err := g.Quiesce(t.Context()); err != nil {
				t.Fatal(err)
			}
			if rounds.Load() != 1 || later.Load() != 0 {
				t.Errorf("there were %d rounds of the sweep that begins at once, want 1, and %d of the other, want 0", rounds.Load(), later.Load())
			}
		}
	})
}

func TestQuiesceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(slog.New(slog.DiscardHandler), Task{Every: time.Hour, Do: func(context.Context) error { return nil }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Quiesce(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("of a group that doesn't run: %v", err)
		}
	})
}

// A failure is logged when it begins, not at each round, and Quiesce returns it.
func TestFailuresAreLoggedWhenTheyBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		broken := errors.New("broken")
		g, log := start(t, Task{Every: time.Second, Trouble: "it can't be done for now", Do: func(context.Context) error {
			if rounds++; rounds%4 == 0 { // 1 2 3 fail, 4 doesn't, 5 6 7 do
				return nil
			}
			return fmt.Errorf("round %d: %w", rounds, broken)
		}})
		<-time.After(6500 * time.Millisecond)
		synctest.Wait()
		if n := strings.Count(log.String(), "it can't be done for now"); n != 2 || rounds != 7 {
			t.Errorf("of %d rounds, %d failures were logged; want 2 of 7:\n%s", rounds, n, log)
		}
		if err := g.Quiesce(t.Context()); err != nil {
			t.Errorf("the eighth round: %v", err)
		}
		if err := g.Quiesce(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "it can't be done for now") {
			t.Errorf("the ninth round: %v", err)
		}
	})
}
