package stoatest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"stoa/store"
	"stoa/tests/contention"
)

// PromisedStale bounds the delay of a replica behind another, under faults.
const PromisedStale = time.Second

// Slack is the factor by which a test may exceed a promise of time, since machines have other
// work to do.
const Slack = 3

// During waits for d, while a load runs.
func During(d time.Duration) {
	<-time.After(d)
}

// Shorter returns d, or a third of it with -short.
func Shorter(d time.Duration) time.Duration {
	if testing.Short() {
		return d / 3
	}
	return d
}

// Distribution formats the distribution of durations.
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

// AwaitTrust waits until every replica serves a two-second-old read from memory: it then
// trusts that it hears of every change.
func AwaitTrust(t *testing.T, replicas ...*Stoa) {
	t.Helper()
	misses, since := make([]int64, len(replicas)), make([]time.Time, len(replicas))
	Await(t, 20*time.Second, "every replica to trust the bus", func() bool {
		trusts := true
		for i, s := range replicas {
			if _, err := store.Articles.BySlug(context.Background(), s.Store, "article-0"); err != nil {
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

// Median returns the median of d, which must not be empty.
func Median(d []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(d))[len(d)/2]
}

// Await is contention.Await with a longer pause, since done often asks a server.
func Await(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	contention.AwaitEvery(t, 10*time.Millisecond, limit, what, done)
}

// PromisedLate bounds the delay of a scheduled article's publication.
const PromisedLate = time.Second

// InTime bounds steps that normally take milliseconds.
const InTime = 20 * time.Second
