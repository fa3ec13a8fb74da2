package cache

// Benchmarks of reads from each tier and from the database, and of a write.

import (
	"context"
	"fmt"
	"testing"
)

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("art_%026d", i)
	}
	return keys
}

func BenchmarkGetFromTheProcess(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprint(n, "Keys"), func(b *testing.B) {
			r := newWorld(b).alone()
			keys := benchKeys(n)
			ctx := context.Background()
			read := func() {
				if _, err := r.items.Get(ctx, r.Cache, keys); err != nil {
					b.Fatal(err)
				}
			}
			read()
			b.ReportAllocs()
			for b.Loop() {
				read()
			}
			if n := r.loads.Load(); n != 1 {
				b.Fatalf("%d loads: these weren't hits", n)
			}
		})
	}
}

func BenchmarkGetFromRedis(b *testing.B) {
	w := newWorld(b)
	r := w.replica("A", shared.URL())
	ready(b, r)
	keys := benchKeys(20)
	for _, key := range keys {
		w.db.set(key, 1)
	}
	ctx := context.Background()
	read := func() {
		if _, err := r.items.Get(ctx, r.Cache, keys); err != nil {
			b.Fatal(err)
		}
	}
	read()
	b.ReportAllocs()
	for b.Loop() {
		r.Flush()
		read()
	}
	if n := r.loads.Load(); n != 1 {
		b.Fatalf("%d loads: these weren't hits in Redis", n)
	}
}

func BenchmarkGetFromTheDatabase(b *testing.B) {
	r := newWorld(b).alone()
	keys := benchKeys(20)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		r.Flush()
		if _, err := r.items.Get(ctx, r.Cache, keys); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteOf5Keys(b *testing.B) {
	for name, url := range map[string]string{"Alone": "", "OverRedis": shared.URL()} {
		b.Run(name, func(b *testing.B) {
			r := newWorld(b).open("A", url, url == "")
			ready(b, r)
			keys := benchKeys(5)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Write(ctx, keys, func(context.Context) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
