package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/wire"
	"stoa/graph/generated"
)

// discard is a ResponseWriter that costs nothing and has deadlines, as a connection's has.
type discard struct{ header http.Header }

func (d discard) Header() http.Header              { return d.header }
func (d discard) Write(p []byte) (int, error)      { return len(p), nil }
func (d discard) WriteHeader(int)                  {}
func (d discard) SetReadDeadline(time.Time) error  { return nil }
func (d discard) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkTrivialQuery measures the gateway alone: a query that reads nothing, beside a
// handler that writes the same bytes, and beside a query with a new document each time.
func BenchmarkTrivialQuery(b *testing.B) {
	g, err := New(Options{
		Schema:  generated.NewExecutableSchema(generated.Config{Resolvers: testRoot{}}),
		Present: graphql.DefaultErrorPresenter,
		Recover: graphql.DefaultRecover,
	})
	if err != nil {
		b.Fatal(err)
	}
	const answer = `{"data":{"__typename":"Query"}}` + "\n"
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", wire.JSON.Header())
		_, _ = io.WriteString(w, answer)
	})
	run := func(b *testing.B, h http.Handler, body func(i int) string) {
		b.ReportAllocs()
		header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
		w := discard{http.Header{}}
		i := 0
		for b.Loop() {
			r, _ := http.NewRequestWithContext(b.Context(), "POST", "/graphql", strings.NewReader(body(i)))
			r.Header = header
			h.ServeHTTP(w, r)
			i++
		}
	}
	same := func(int) string { return `{"query":"{__typename}"}` }
	b.Run("PlainHandler", func(b *testing.B) { run(b, plain, same) })
	b.Run("Gateway", func(b *testing.B) { run(b, g, same) })
	b.Run("GatewayNewDocument", func(b *testing.B) {
		run(b, g, func(i int) string { return fmt.Sprintf(`{"query":"{a%d:__typename}"}`, i) })
	})
}

// BenchmarkCachedResponse measures a cached response, and a public one that must be executed.
func BenchmarkCachedResponse(b *testing.B) {
	s, _ := keeping(b, megabyte, nil)
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip"}}
	run := func(b *testing.B, method, path string, body func(i int) string) {
		b.ReportAllocs()
		w := discard{http.Header{}}
		i := 0
		for b.Loop() {
			r, _ := http.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body(i)))
			r.Header = header
			s.ServeHTTP(w, r)
			i++
		}
	}
	same := func(int) string { return bodyOf(titleOf("press"), nil) }
	b.Run("POST", func(b *testing.B) { run(b, "POST", "/graphql", same) })
	b.Run("GET", func(b *testing.B) { run(b, "GET", address(titleOf("press")), func(int) string { return "" }) })
	b.Run("Miss", func(b *testing.B) {
		run(b, "POST", "/graphql", func(i int) string { return bodyOf(titleOf(fmt.Sprint("press", i)), nil) })
	})
}
