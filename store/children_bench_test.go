package store

// Benchmarks of long lists under a parent.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"stoa/id"
	"stoa/store/embedded"
)

// BenchmarkListsUnderATag measures the cost of reads and of publishing for a tag with 10,000
// articles and one with 100,000, with nothing cached. A result that grows by more than twice is
// worth a look:
//
//	go test ./store -run '^$' -bench ListsUnderATag -benchtime 50x
func BenchmarkListsUnderATag(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		s := benchmarkStore(b)
		done := func(_ any, err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		tag := &Tag{ID: id.New(id.Tag), Slug: "tag"}
		done(nil, Tags.Add(b.Context(), s, tag))
		var middle *Article
		for from := 0; from < n; from += 1000 {
			var some []any
			for i := from; i < from+1000; i++ {
				a := published(fmt.Sprint("a-", i), second(i))
				a.TagIDs, a.Event = []id.ID{tag.ID}, fmt.Sprint("none/", i)
				some = append(some, a)
				if i == n/2 {
					middle = a
				}
			}
			done(s.db.Collection(articles).InsertMany(b.Context(), some))
		}
		key := ChildrenKey(tag.ID)
		cursor := encodeCursor("children/"+string(key)+"/", Entry{ID: middle.ID, Time: middle.PublishedAt})
		beyond, err := NewChildrenWindow(key, "", Window{After: &cursor})
		done(nil, err)
		last := 20
		ctx := context.Background()
		for _, c := range []struct {
			name string
			do   func()
		}{
			{"Head", func() { done(s.Children(ctx, []ChildrenKey{key})) }},
			{"End", func() { done(s.Children(ctx, []ChildrenKey{key.End(Window{Last: &last})})) }},
			{"Beyond", func() { done(beyond.Beyond(s).Page(ctx)) }},
			{"Neighbours", func() { done(s.Neighbours(ctx, []Position{PositionOf(middle)})) }},
			{"Count", func() { done(s.ChildrenCounts(ctx, []ChildrenKey{key})) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					b.StopTimer()
					s.Flush()
					b.StartTimer()
					c.do()
				}
			})
		}
		b.Run(fmt.Sprintf("Publish/%d", n), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				a := published(string(id.New(id.Article)), second(n))
				a.TagIDs = []id.ID{tag.ID}
				b.StartTimer()
				done(nil, s.AddArticle(ctx, a))
			}
		})
	}
}

// benchmarkStore opens a store over an embedded database of its own.
func benchmarkStore(b *testing.B) *Store {
	b.Helper()
	server, err := embedded.Open(b.Context(), embedded.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	o := Options{URI: server.URI(), Dialer: server.Dialer(), Exclusive: true, CacheBytes: 64 << 20, Log: slog.New(slog.DiscardHandler)}
	s := openBy(b, o, clientOptions(o))
	b.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(s.Close(ctx), server.Close(ctx)); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkThread measures the first page of comments under an article with 5,000 and one with 50,000,
// with nothing cached, and a comment that is added, with the page after it:
//
//	go test ./store -run '^$' -bench Thread -benchtime 50x
func BenchmarkThread(b *testing.B) {
	for _, n := range []int{5000, 50_000} {
		s := benchmarkStore(b)
		a := published("a", second(1))
		if err := s.AddArticle(b.Context(), a); err != nil {
			b.Fatal(err)
		}
		top := fillThread(b, s, a.ID, n)
		key := ChildrenKey(a.ID)
		page := func() {
			if _, err := s.Children(b.Context(), []ChildrenKey{key, RepliesTo(a.ID, top[0].ID)}); err != nil {
				b.Fatal(err)
			}
			if _, err := s.ChildrenCounts(b.Context(), []ChildrenKey{key, RepliesTo(a.ID, top[0].ID)}); err != nil {
				b.Fatal(err)
			}
		}
		for range 2 { // the first reads the whole thread, the second counts its lists
			s.Flush()
			page()
		}
		b.Run(fmt.Sprintf("Page/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				s.Flush()
				b.StartTimer()
				page()
			}
		})
		b.Run(fmt.Sprintf("Add/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := s.addComment(b.Context(), saying(a.ID, top[1].ID, n+i)); err != nil {
					b.Fatal(err)
				}
				page()
			}
		})
	}
}
