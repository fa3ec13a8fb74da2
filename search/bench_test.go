package search

// Benchmarks of queries, updates and snippets.

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// corpus makes n documents of 700 words out of 20,000, as often as words are (Zipf).
func corpus(n int) []Document {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 3, 19_999)
	words := func(n int) string {
		var b strings.Builder
		for range n {
			k := zipf.Uint64()
			fmt.Fprintf(&b, "%c%cw%d ", 'a'+rune(k%26), 'a'+rune(k/26%26), k)
		}
		return b.String()
	}
	all := make([]Document, n)
	for i := range all {
		all[i] = Document{ID: fmt.Sprintf("art_%026d", i), Fields: Fields{words(8), words(25), words(700)}, Time: time.UnixMilli(int64(i))}
	}
	return all
}

// BenchmarkFind measures the index alone.
//
//	go test -run '^$' -bench . ./search
func BenchmarkFind(b *testing.B) {
	for _, n := range []int{300, 2_000, 10_000} {
		all := corpus(n)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := NewIndex(NewLanguage("en"))
		began := time.Now()
		x.Update(all, nil)
		took := time.Since(began)
		x.Compact()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.Logf("%d documents: %s each to index, %d bytes each", n, took/time.Duration(n), (after.HeapAlloc-before.HeapAlloc)/uint64(n))
		phrase := `"` + strings.Join(strings.Fields(all[7].Fields[Body])[10:12], " ") + `"`
		for _, c := range []struct{ name, query string }{
			{"rare", "qxw15000 "}, {"two", "bcw53 dew108 "}, {"most", "aaw0 "}, {"prefix", "bc"}, {"phrase", phrase}, {"phraseOfMost", `"aaw0 baw1"`},
			{"longest", `"` + strings.Repeat("aaw0 baw1 ", 8) + `"`},
		} {
			q, err := Parse(x.language, c.query)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					x.Find(q)
				}
			})
		}
		runtime.KeepAlive(x)
	}
}

func BenchmarkUpdate(b *testing.B) {
	all := corpus(2_000)
	x := NewIndex(NewLanguage("en"))
	x.Update(all, nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Update(all[i%len(all):][:1], nil)
	}
}

func BenchmarkSnippet(b *testing.B) {
	text := corpus(1)[0].Fields[Body]
	q, err := Parse(NewLanguage("en"), "bcw53 dew108")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		q.Snippet(Plain(text))
	}
}
