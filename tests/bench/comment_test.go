package main

import (
	"fmt"
	"testing"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/store"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// BenchmarkCommentAdd measures commentAdd on an article with a hundred comments, with its
// invalidations, and the first query of the article's thread after it. It reports the database
// commands of both together.
//
//	go test -run '^$' -bench CommentAdd -benchtime 200x ./tests/bench
func BenchmarkCommentAdd(b *testing.B) {
	for _, k := range []struct {
		name     string
		settings func(*testing.B) stoatest.Settings
	}{
		{"embedded", func(*testing.B) stoatest.Settings { return stoatest.Settings{} }},
		{"redis", func(b *testing.B) stoatest.Settings {
			return stoatest.Settings{"STOA_MONGODB_URI": stoatest.Database(b), "STOA_REDIS_URL": redistest.Start(b).URL()}
		}},
	} {
		b.Run(k.name, func(b *testing.B) {
			s := stoatest.StartAll(b, k.settings(b))[0]
			s.Import(b, stoatest.Articles(100))
			article, err := store.Articles.BySlug(b.Context(), s.Store, "article-7")
			if err != nil {
				b.Fatal(err)
			}
			var there []*store.Comment
			for i := range 100 {
				there = append(there, &store.Comment{
					ID: id.New(id.Comment), ArticleID: article.ID, AuthorName: fmt.Sprint("Reader ", i), BodyHTML: "<p>A comment of some length.</p>\n",
					CreatedAt: time.Now().Add(-time.Hour), Status: store.CommentVisible, Visible: true, Version: 1,
				})
			}
			if err := s.Store.AddComments(b.Context(), there); err != nil {
				b.Fatal(err)
			}
			var adds, looks time.Duration
			var reader stoatest.Caller
			s.Commands()
			n, commands := 0, 0
			for b.Loop() {
				b.StopTimer()
				if n%5 == 0 { // the most that one account may write at once
					commands += s.Commands()
					reader, _ = stoatest.SignedIn(b, s, "A reader", access.Customer)
					s.Commands()
				}
				n++
				b.StartTimer()
				began := time.Now()
				reader.Must(b, s, "commentAdd", stoatest.Input{"articleId": article.ID, "bodyMarkdown": "A comment of *some* length, as readers write them."})
				added := time.Now()
				if err := stoatest.NewCaller().Ask(s, &struct{}{}, `{ article(slug: "article-7") { commentCount comments(first: 20) { nodes { authorName bodyHtml } } } }`, nil); err != nil {
					b.Fatal(err)
				}
				adds, looks = adds+added.Sub(began), looks+time.Since(added)
			}
			commands += s.Commands()
			b.ReportMetric(float64(adds.Microseconds())/float64(n), "add-µs")
			b.ReportMetric(float64(looks.Microseconds())/float64(n), "look-µs")
			b.ReportMetric(float64(commands)/float64(n), "commands/op")
		})
	}
}
