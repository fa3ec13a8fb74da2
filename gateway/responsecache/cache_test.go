package responsecache

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"stoa/gateway/document"
	"stoa/gateway/wire"
	"stoa/store/cache"
)

func TestTags(t *testing.T) {
	id := func(kind string, i int) string { return fmt.Sprintf("%s_%026d", kind, i) }
	var many []string
	for i := range 100 {
		many = append(many, id("art", i))
	}
	for name, c := range map[string]struct {
		reason      string
		names, tags []string
	}{
		"Some":     {"ids and names of lists", []string{id("art", 1), "editions/art", "list/all", "order/" + id("art", 1)}, []string{id("art", 1), "editions/art", "list/all", "order/" + id("art", 1)}},
		"Slugs":    {"what a client may have made up isn't told on", []string{"slug/articles/press", "slug/articles/a,b\r\nX: y"}, nil},
		"Made up":  {"nor ids that can't be", []string{"art_a b", "art_" + strings.Repeat("x", 100), "art_\r\nX: y", "art", "art_é"}, nil},
		"TooMany":  {"then their kinds", append(many, "list/all"), []string{"art", "list"}},
		"AsListed": {"a header's size", many[:40], many[:40]},
	} {
		if got := tagsOf(c.names); strings.Join(got, " ") != strings.Join(c.tags, " ") {
			t.Errorf("%s (%s): %.300q", name, c.reason, got)
		}
	}
}

// TestMemoryOfAnEntry holds what an answer takes against what is written of it: 1 KB
// more, with a hundred names that it depends on and two ways of asking for it.
func TestMemoryOfAnEntry(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes memory of its own")
	}
	c, err := cache.New(cache.Options{Bytes: 64 << 20, Exclusive: true, Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	table := cache.Table[string, string]{
		Key: func(k string) string { return k }, Load: func(context.Context, []string) (map[string]*string, error) { return nil, nil },
		Size: func(*string) int64 { return 0 },
	}
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("art_%026d", i))
	}
	for _, size := range []int{600, 4000, 5300, 10_440, 14_000, 31_500, 50_000} {
		const n = 2000
		a := New(Options{Cache: c, Bytes: 1 << 40, Codec: wire.NewCodec(nil, nil, 0, 0)})
		var before, after runtime.MemStats
		body := []byte(strings.Repeat("<p>words & more</p> ", size/20))
		measure := func(m *runtime.MemStats) {
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(m)
		}
		measure(&before)
		var written int64
		for i := range n {
			ctx, reading := c.Record(context.Background())
			if _, err := table.Get(ctx, c, names); err != nil {
				t.Fatal(err)
			}
			standing, _, ok := reading.End()
			if !ok {
				t.Fatal("it doesn't stand")
			}
			k := newEntry(standing, Form{Media: wire.JSON}, document.Policy{Public: true, MaxAge: time.Minute, Stale: time.Minute}, 1, reading.Began(), body, nil)
			a.put(Key{uint64(i), uint64(i)}, k)
			a.Alias(Key{uint64(i), 1 << 40}, k)
			written += int64(k.body.len())
			if len(body) >= wire.MinGzip {
				written += int64(a.compressed(k).body.len())
			}
		}
		measure(&after)
		each := (float64(after.HeapAlloc) - float64(before.HeapAlloc) - float64(written)) / n
		reckoned := float64(a.bytes-written) / n
		t.Logf("%d bytes: %.0f more; reckoned are %.0f", len(body), each, reckoned)
		if each > 1024 || each > reckoned {
			t.Errorf("an answer of %d bytes takes %.0f more than its bytes, want 1024 at most, and %.0f as is reckoned", len(body), each, reckoned)
		}
		runtime.KeepAlive(a)
	}
}

// Chunks hold the same bytes, and take little more room than needed.
func TestChunksHoldTheSameBytes(t *testing.T) {
	whole := make([]byte, 80_000)
	for i := range whole {
		whole[i] = byte(i * 7)
	}
	split, worst := 0, 0
	for n := 1; n <= len(whole); n += 1 + n/97 {
		p, room := chunksOf(whole[:n])
		var out bytes.Buffer
		p.to(&out)
		if p.len() != n || !bytes.Equal(out.Bytes(), whole[:n]) {
			t.Fatalf("%d bytes in %d chunks aren't what they were", n, len(p))
		}
		if len(p) > 1 {
			split++
		}
		worst = max(worst, room-24*len(p)-n)
	}
	if split == 0 || worst > fits {
		t.Errorf("%d are in several chunks; the most that is wasted is %d bytes", split, worst)
	}
}
