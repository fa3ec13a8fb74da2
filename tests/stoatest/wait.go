package stoatest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"stoa/tests/contention"
)

// PromisedStale is how far a replica is behind another, at most, under faults.
const PromisedStale = time.Second

// Slack is by how many times a promise of time may be exceeded in a test, since machines
// have other things to do.
const Slack = 3

// During lets the load go on for a while.
func During(d time.Duration) {
	<-time.After(d)
}

// Shorter is d, or a third of it with -short.
func Shorter(d time.Duration) time.Duration {
	if testing.Short() {
		return d / 3
	}
	return d
}

// Distribution says how durations are distributed.
func Distribution(d []time.Duration) string {
	if len(d) == 0 {
		return "0"
	}
	sorted := slices.Sorted(slices.Values(d))
	at := func(p int) time.Duration {
		return sorted[min(len(sorted)-1, len(sorted)*p/100)].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d, p50 %s, p90 %s, p99 %s, max %s", len(d), at(50), at(90), at(99), sorted[len(sorted)-1].Round(100*time.Microsecond))
}

// AwaitTrust waits until every replica answers from memory what it read two seconds ago:
// it then believes that it hears of every change.
func AwaitTrust(t *testing.T, replicas ...*Stoa) {
	t.Helper()
	misses, since := make([]int64, len(replicas)), make([]time.Time, len(replicas))
	Await(t, 20*time.Second, "every replica to trust the bus", func() bool {
		trusts := true
		for i, s := range replicas {
			if _, err := s.Store.ArticleBySlug(context.Background(), "article-0"); err != nil {
				t.Fatal(err)
			}
			c := s.Store.Counts()
			if now := c.Redis + c.Database + c.Waited; now != misses[i] || since[i].IsZero() {
				misses[i], since[i] = now, time.Now()
			}
			trusts = trusts && time.Since(since[i]) > 3*PromisedStale/2
		}
		return trusts
	})
}

// Median is the one in the middle; there must be one.
func Median(d []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(d))[len(d)/2]
}

// Await polls until done, and fails the test when that takes longer than limit, which is
// stretched while others use the machine.
func Await(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	began := time.Now()
	allowed := contention.Allow(began.Add(limit))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if allowed.Over() {
			t.Fatalf("waited %s for %s", time.Since(began).Round(time.Millisecond), what)
		}
		<-tick.C
	}
}

// PromisedLate is how long after it is due a scheduled article is published at most.
const PromisedLate = time.Second

// InTime is how long something may take that takes milliseconds.
const InTime = 20 * time.Second
