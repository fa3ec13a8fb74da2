package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"stoa/access"
	"stoa/blog"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// sitePages are the queries of a site's pages.
var sitePages = []struct{ name, query string }{
	{"home", `{ articles(first: 20) { nodes { slug title summary publishedAt author { name slug } tags { name slug } commentCount } pageInfo { hasNextPage endCursor } } }`},
	{"article", `{ article(slug: "article-7") { title bodyHtml publishedAt readingMinutes author { name } tags { name slug } tableOfContents { level text anchor } commentCount
		comments(first: 20) { nodes { authorName createdAt bodyHtml replyCount } pageInfo { hasNextPage } } next { slug title } previous { slug title } related { slug title } } }`},
	{"tag", `{ tag(slug: "tag-1") { name description articleCount articles(first: 20) { nodes { slug title author { name } } pageInfo { hasNextPage endCursor } } } }`},
	{"authors", `{ authors(first: 24) { nodes { id name slug articles(first: 3) { nodes { slug title publishedAt } } } } }`},
	{"field", `query($id: ID!) { node(id: $id) { ... on Article { title } } }`},
}

// executed turns the response cache off: BenchmarkKeptAnswers measures cached responses.
var executed = stoatest.Settings{"STOA_RESPONSE_CACHE_BYTES": "0"}

// BenchmarkPages measures each page through the HTTP handler: cold, with everything in
// Redis and nothing in the process, and with everything in the process. It reports the
// database commands of each.
//
//	go test -run '^$' -bench Pages ./tests/bench
func BenchmarkPages(b *testing.B) {
	for _, articles := range []int{300} {
		embedded := stoatest.Start(b, executed)
		importArticles(b, embedded, articles)
		shared := stoatest.Start(b, stoatest.Settings{"STOA_MONGODB_URI": stoatest.Database(b), "STOA_REDIS_URL": redistest.Start(b).URL(), "STOA_RESPONSE_CACHE_BYTES": "0"})
		importArticles(b, shared, articles)
		benchmarkPages(b, embedded, "cold", true)
		benchmarkPages(b, shared, "redis", true)
		benchmarkPages(b, embedded, "process", false)
	}
}

// BenchmarkEmbedded measures how far the embedded database goes: the home page, cold and
// warm, at three sizes. It takes minutes to fill.
//
//	go test -run '^$' -bench Embedded -benchtime 5x -timeout 60m ./tests/bench
func BenchmarkEmbedded(b *testing.B) {
	for _, articles := range []int{300, 2_000, 10_000} {
		b.Run(fmt.Sprint(articles), func(b *testing.B) {
			s := stoatest.Start(b, executed)
			importArticles(b, s, articles)
			benchmarkPages(b, s, "cold", true)
			benchmarkPages(b, s, "process", false)
		})
	}
}

// importArticles stores n articles, the first hundred with twenty comments each.
func importArticles(b *testing.B, s *stoatest.Stoa, n int) {
	b.Helper()
	s.Import(b, stoatest.Articles(n))
	importing, err := s.Blog.BeginImport(b.Context(), false)
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	var thread []blog.ImportComment
	for i := range 20 {
		thread = append(thread, blog.ImportComment{Name: fmt.Sprint("Reader ", i), Markdown: "A comment of *some* length, as readers write them.", At: at.Add(time.Duration(i) * time.Minute)})
	}
	for i := range min(n, 100) {
		if err := importing.Comments(b.Context(), fmt.Sprintf("article-%d", i), thread); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkArticleUpdate measures articleUpdate of a published article through the HTTP
// handler, with its invalidations: of its text, with a new place among the last changed
// articles, and of its tags. It also measures the home page after each update.
//
//	go test -run '^$' -bench ArticleUpdate -benchtime 50x ./tests/bench
func BenchmarkArticleUpdate(b *testing.B) {
	for _, where := range []string{"embedded", "shared"} {
		var settings stoatest.Settings
		if where == "shared" {
			settings = stoatest.Settings{"STOA_MONGODB_URI": stoatest.Database(b), "STOA_REDIS_URL": redistest.Start(b).URL()}
		}
		s := stoatest.Start(b, settings)
		importArticles(b, s, 300)
		editor := stoatest.NewWriter(b, s, "editor", access.Editor)
		var some struct {
			Article struct {
				ID      string
				Version int
			}
			Tags struct{ Nodes []struct{ ID string } }
		}
		s.Data(b, &some, `{ article(slug: "article-7") { id version } tags(first: 2) { nodes { id } } }`, nil)
		version, n := some.Article.Version, 0
		for name, input := range map[string]func() map[string]any{
			"text": func() map[string]any { return map[string]any{"bodyMarkdown": fmt.Sprint("Text ", n)} },
			"tags": func() map[string]any { return map[string]any{"tagIds": []string{some.Tags.Nodes[n%2].ID}} },
		} {
			for _, reads := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/home=%t", name, where, reads), func(b *testing.B) {
					s.Commands()
					for b.Loop() {
						n++
						in := input()
						in["id"], in["expectedVersion"] = some.Article.ID, version
						out := editor.Do(b, s, "articleUpdate", in)
						if out.Article == nil {
							b.Fatalf("%+v", out)
						}
						if version = out.Article.Version; reads {
							s.Query(b, sitePages[0].query, nil)
						}
					}
					b.ReportMetric(float64(s.Commands())/float64(b.N), "commands/op")
				})
			}
		}
	}
}

func benchmarkPages(b *testing.B, s *stoatest.Stoa, name string, flush bool) {
	var some struct{ Article struct{ ID string } }
	s.Data(b, &some, `{ article(slug: "article-7") { id } }`, nil)
	for _, page := range sitePages {
		body, err := json.Marshal(map[string]any{"query": page.query, "variables": map[string]any{"id": some.Article.ID}})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(page.name+"/"+name, func(b *testing.B) {
			handler := s.Handler()
			ask := func() *httptest.ResponseRecorder {
				request := httptest.NewRequest(http.MethodPost, "http://localhost/graphql", bytes.NewReader(body))
				request.Header.Set("Content-Type", "application/json")
				response := httptest.NewRecorder()
				handler.ServeHTTP(response, request)
				return response
			}
			for range 3 { // into Redis and the process, since the process may drop an entry that is set at once
				if r := ask(); r.Code != http.StatusOK || bytes.Contains(r.Body.Bytes(), []byte(`"errors"`)) {
					b.Fatalf("%d %.300s", r.Code, r.Body)
				}
			}
			s.Commands()
			b.ReportAllocs()
			for b.Loop() {
				if flush {
					s.Store.Flush()
				}
				ask()
			}
			b.ReportMetric(float64(s.Commands())/float64(b.N), "commands/op")
		})
	}
}

// BenchmarkSignedIn measures the cost of a session: a warm public page with a token, with a
// token and a read of the viewer, and that read alone, against the same page without a token.
// They take turns, so that other work of the machine affects all of them. It reports medians,
// the ratio of each to the anonymous page, and the commands of them all.
//
//	go test -run '^$' -bench SignedIn ./tests/bench
func BenchmarkSignedIn(b *testing.B) {
	const viewer = ` viewer { account { name } }`
	page := sitePages[1].query
	both := page[:len(page)-1] + viewer + `}`
	s := stoatest.StartAll(b, stoatest.Settings{})[0]
	importArticles(b, s, 100)
	handler := s.Handler()
	nobody, somebody := stoatest.NewCaller(), stoatest.LogIn(b, s, stoatest.AddMembers(b, s, 1, access.Customer)[0])
	kinds := []struct {
		name, query string
		by          stoatest.Caller
	}{
		{"anonymous", page, nobody},
		{"token", page, somebody},
		{"token+viewer", both, somebody},
		{"viewer-alone", `{` + viewer + ` }`, somebody},
		{"anonymous+viewer", both, nobody},
	}
	ask := func(by stoatest.Caller, query string) *httptest.ResponseRecorder {
		request, err := by.Request(b.Context(), "http://localhost", query, nil)
		if err != nil {
			b.Fatal(err)
		}
		request.RemoteAddr = "127.0.0.1:1000"
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		return response
	}
	for _, k := range kinds {
		for range 100 {
			if r := ask(k.by, k.query); r.Code != http.StatusOK || bytes.Contains(r.Body.Bytes(), []byte(`"errors"`)) {
				b.Fatalf("%d %.300s", r.Code, r.Body)
			}
		}
	}
	took := make([][]time.Duration, len(kinds))
	s.Commands()
	n := 0
	for b.Loop() {
		for i := range kinds {
			k := (i + n) % len(kinds)
			began := time.Now()
			ask(kinds[k].by, kinds[k].query)
			took[k] = append(took[k], time.Since(began))
		}
		n++
	}
	b.ReportMetric(float64(s.Commands())/float64(n*len(kinds)), "commands/op")
	base := float64(stoatest.Median(took[0]))
	for i, k := range kinds {
		b.ReportMetric(float64(stoatest.Median(took[i]))/1e3, k.name+"-µs")
		b.ReportMetric(testing.AllocsPerRun(200, func() { ask(k.by, k.query) }), k.name+"-allocs")
		if i > 0 {
			b.ReportMetric(float64(stoatest.Median(took[i]))/base, k.name+"-ratio")
		}
	}
}

// BenchmarkLogins signs 200 people in at once, and reports how many a second and what
// memory holds at most meanwhile: the live and dead objects of the heap, and the process.
//
//	go test -run '^$' -bench Logins -benchtime 3x ./tests/bench
func BenchmarkLogins(b *testing.B) {
	const atATime = 200
	s := stoatest.StartAll(b, stoatest.Settings{})[0]
	people := stoatest.AddMembers(b, s, atATime, access.Customer)
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	read := func() (heap, process uint64) {
		metrics.Read(sample)
		return sample[0].Value.Uint64(), sample[1].Value.Uint64() - sample[2].Value.Uint64()
	}
	runtime.GC()
	heapBefore, processBefore := read()
	var heap, process uint64
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				h, p := read()
				heap, process = max(heap, h), max(process, p)
			}
		}
	}()
	var logins, late atomic.Int64 // late: not answered within the time that a request has
	for b.Loop() {
		stoatest.AtOnce(atATime, func(i int) {
			p, err := stoatest.NewCaller().Try(s, "sessionCreate", stoatest.Input{"email": people[i].Email, "password": stoatest.Password})
			if err != nil || p.Token == nil {
				late.Add(1)
				return
			}
			logins.Add(1)
		})
	}
	close(stop)
	<-watched
	b.ReportMetric(float64(late.Load())/float64(b.N), "late/op")
	b.ReportMetric(float64(logins.Load())/b.Elapsed().Seconds(), "logins/s")
	b.ReportMetric(float64(heap)/(1<<20), "MiB-heap")
	b.ReportMetric(float64(heap-min(heap, heapBefore))/(1<<20), "MiB-heap-grown")
	b.ReportMetric(float64(process-min(process, processBefore))/(1<<20), "MiB-process-grown")
}
