package cache

// Absent things: anybody can ask for any number of them, and they push nothing else out.

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// crowd is a cache over the numbers below there, and nothing else.
func crowd(t *testing.T, bytes int64, there int) (*Cache, *Table[int, string]) {
	t.Helper()
	c, err := New(Options{Bytes: bytes, Exclusive: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, &Table[int, string]{
		Key: func(k int) string { return fmt.Sprintf("%0200d", k) }, // as long as a slug may be
		Load: func(_ context.Context, ks []int) (map[int]*string, error) {
			out := map[int]*string{}
			for _, k := range ks {
				if k < there {
					value := strings.Repeat("x", 1000)
					out[k] = &value
				}
			}
			return out, nil
		},
		Size: func(s *string) int64 { return int64(len(*s)) },
	}
}

func TestAbsentThingsPushNothingOut(t *testing.T) {
	t.Parallel()
	const things = 1000 // 1.6 MB of 4
	c, table := crowd(t, 4<<20, things)
	read := func(from, to int) (loaded int64) {
		t.Helper()
		before := c.Counts().Database
		for k := from; k < to; k += 100 {
			ks := make([]int, 100)
			for i := range ks {
				ks[i] = k + i
			}
			if _, err := table.Get(t.Context(), c, ks); err != nil {
				t.Fatal(err)
			}
		}
		return c.Counts().Database - before
	}
	read(0, things)
	if n := read(0, things); n != 0 {
		t.Fatalf("%d of %d things don't stay", n, things)
	}
	if n := read(1_000_000, 1_000_100) + read(1_000_000, 1_000_100); n != 100 {
		t.Errorf("a hundred absent things, asked for twice, take %d loads", n)
	}
	read(1_000_000, 1_030_000) // 19 MB
	if n := read(0, things); n != 0 {
		t.Errorf("%d of %d things were pushed out by absent ones", n, things)
	}
	c.absent.Wait()
	if bytes := c.absent.MaxCost(); bytes != 4<<20/absentShare {
		t.Errorf("absent things may take %d bytes", bytes)
	}
}

func TestAbsentThingsLiveShortlyInRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replica("a", shared.URL())
	ready(t, r)
	eventually(t, "the replica trusts its tiers", r.ready)
	if v, err := r.get("nothing"); err != nil || v != 0 {
		t.Fatal(v, err)
	}
	run, err := r.conn.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left, err := r.conn.Client.PTTL(t.Context(), run.Key(w.site, "nothing")).Result(); err != nil || left <= 0 || left > absentLife {
		t.Errorf("an absent thing lives for %s in Redis, %v", left, err)
	}
}
