package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"stoa/blog"
	"stoa/store"
	"stoa/tests/stoatest"
)

// searches are the queries of the benchmark: usual ones, and the most expensive ones.
var searches = []struct{ name, query string }{
	{"words", "plain language"},
	{"rare", "paperwork reduction guide"},
	{"phrase", `"plain language"`},
	{"prefix", "accessib"},
	{"every", "the"},
	{"beginning", "co"},
	{"sixteen", "the and for with that are this from have will not can our more about data"},
	{"phraseOfSmall", `"of the"`},
}

// prose returns n articles with the words of the real posts in blog-a, in paragraphs drawn at
// random: 700 words each, the average of those posts.
func prose(t testing.TB, n int) []blog.Import {
	t.Helper()
	var paragraphs, titles []string
	stoatest.Check(t, filepath.WalkDir(stoatest.RealData(t, "blog-a"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(raw)
		if _, after, ok := strings.Cut(text, "\ntitle:"); ok {
			title, _, _ := strings.Cut(after, "\n")
			titles = append(titles, strings.Trim(title, ` "'`))
		}
		if _, body, ok := strings.Cut(strings.TrimPrefix(text, "---"), "\n---"); ok {
			for p := range strings.SplitSeq(body, "\n\n") {
				if len(p) > 100 && !strings.Contains(p, "{{") && !strings.Contains(p, "<") {
					paragraphs = append(paragraphs, p)
				}
			}
		}
		return nil
	}))
	random := rand.New(rand.NewPCG(1, 2))
	batch := stoatest.Articles(n)
	for i := range batch {
		words := strings.Fields(titles[random.IntN(len(titles))] + " " + titles[random.IntN(len(titles))])
		batch[i].Title = strings.Join(words[:min(len(words), 4+random.IntN(8))], " ")
		batch[i].Summary = fmt.Sprintf("%.160s", paragraphs[random.IntN(len(paragraphs))])
		var body []string
		for size := 0; size < 4300; {
			p := paragraphs[random.IntN(len(paragraphs))]
			body = append(body, p)
			size += len(p)
		}
		batch[i].Markdown = strings.Join(body, "\n\n")
	}
	return batch
}

// BenchmarkSearch measures searches over the embedded database at three sizes, through the
// HTTP handler, with everything in the process; the time and memory of building the index; and
// a search after an article has changed. It takes minutes to fill.
//
//	go test -run '^$' -bench 'Search' -benchtime 200x -timeout 60m ./tests/bench
func BenchmarkSearch(b *testing.B) {
	for _, n := range []int{300, 2_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := stoatest.Start(b, executed)
			s.Import(b, prose(b, n))
			s.Store.Flush()
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s.Commands()
			began := time.Now()
			err := s.Search.Update(b.Context())
			stoatest.Check(b, err)
			took, commands := time.Since(began), s.Commands()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.Logf("%d articles: indexed in %s with %d commands, %d bytes each", n, took.Round(time.Millisecond), commands, (int64(after.HeapAlloc)-int64(before.HeapAlloc))/int64(n))
			handler := s.Handler()
			run := func(name, query, text string, each func()) {
				body, err := json.Marshal(map[string]any{"query": query, "variables": map[string]any{"q": text}})
				stoatest.Check(b, err)
				ask := func() {
					request := httptest.NewRequest(http.MethodPost, "http://localhost/graphql", bytes.NewReader(body))
					request.Header.Set("Content-Type", "application/json")
					response := httptest.NewRecorder()
					handler.ServeHTTP(response, request)
					if response.Code != http.StatusOK || bytes.Contains(response.Body.Bytes(), []byte(`"errors"`)) {
						b.Fatalf("%d %.300s", response.Code, response.Body)
					}
				}
				b.Run(name, func(b *testing.B) {
					for range 3 {
						ask()
					}
					s.Commands()
					b.ReportAllocs()
					for b.Loop() {
						if each != nil {
							b.StopTimer()
							each()
							s.Commands()
							b.StartTimer()
						}
						ask()
					}
					if each == nil {
						b.ReportMetric(float64(s.Commands())/float64(b.N), "commands/op")
					} else {
						b.ReportMetric(float64(s.Commands()), "commands/op")
					}
				})
			}
			const titles = `query ($q: String!) { search(query: $q, types: [ARTICLE]) { nodes { ... on Article { slug title } } count { value } } }`
			for _, c := range searches {
				run(c.name, titles, c.query, nil)
			}
			run("snippets", `query ($q: String!) { search(query: $q) { edges { titleHtml snippetHtml node { ... on Article { slug } } } } }`, "plain language", nil)
			run("list", `query ($q: String!) { articles(where: {query: $q}) { nodes { slug title } } }`, "plain language", nil)
			article, err := store.Articles.BySlug(b.Context(), s.Store, "article-7")
			stoatest.Check(b, err)
			run("changed", titles, "plain language", func() {
				after := *article
				after.Title = fmt.Sprint("Changed ", time.Now().UnixNano())
				stoatest.Check(b, s.Store.ChangeArticle(b.Context(), article, &after))
				article = &after
			})
		})
	}
}
