package guard

// A unit is a bound: no operation takes more than slack times what was debited for it. Entry points:
// TestUnitsBoundWork, TestMemoryOfManyLargeAnswers.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stoa/blog"
	"stoa/gateway/wire"
	"stoa/store/embedded"
	"stoa/tests/stoatest"
)

// slack is how many times the work of its units an operation may take.
const slack = 5

// A unit's work. The processor time is the reference operation's, by the unit; the others are what
// docs/gateway.md promises.
const (
	bytesOfUnit     = 500  // of an answer
	memoryOfUnit    = 4000 // bytes allocated, most of them free again at once
	documentsOfUnit = 1    // examined, in the embedded database

	// burst is the units that each client has. Every attempt is another client's.
	burst = 30_000_000
)

// worker sends operations to a replica without a network, and measures them.
type worker struct {
	s        *stoatest.Stoa
	database *embedded.Server
	handler  http.Handler

	mu     sync.Mutex
	random *rand.Rand
}

// took is the work of one operation, and the units debited for it.
type took struct {
	requested, units        float64
	cpu                     time.Duration
	memory, size, documents uint64
	code                    string // "" for an answer without errors
}

// mode is the state of the caches.
type mode string

const (
	unknown mode = "new"  // the document is new, so no fragment is there for it
	known   mode = "warm" // everything is in the caches
	cold    mode = "cold" // nothing is, but the document
)

func processTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	stoatest.Check(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// do sends an operation once. %x in it is another number each time.
func (w *worker) do(t *testing.T, query string, variables map[string]any, m mode) took {
	t.Helper()
	if m == unknown {
		query += fmt.Sprintf("\n# %x", w.random.Uint64())
	}
	w.mu.Lock()
	client := w.random.Uint32()
	w.mu.Unlock()
	query = strings.ReplaceAll(query, "%x", strconv.FormatUint(uint64(client), 16))
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	stoatest.Check(t, err)
	r := httptest.NewRequest("POST", "http://localhost/graphql", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "127.0.0.1:1" // a trusted proxy: each attempt is another client's
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("198.%d.%d.%d", 18+client>>24&1, client>>8&255, client&255))
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	x := took{size: uint64(out.Body.Len())}
	number := func(header string) float64 {
		n, _ := strconv.ParseFloat(out.Header().Get(header), 64)
		return n
	}
	x.requested = number(wire.CostHeader)
	if m := unitsLeft.FindStringSubmatch(out.Header().Get(wire.RateHeader)); m != nil {
		left, _ := strconv.ParseFloat(m[1], 64)
		x.units = burst - left
	}
	if m := errorCode.FindStringSubmatch(out.Body.String()[:min(out.Body.Len(), 2000)]); m != nil {
		x.code = m[1]
	}
	return x
}

var unitsLeft = regexp.MustCompile(`^"client";r=(\d+);`)

var errorCode = regexp.MustCompile(`"code":"(\w+)"`)

// measure returns the means of a batch of attempts: of a few batches, since others use the machine,
// the one with the least processor time for its units.
func (w *worker) measure(t *testing.T, query string, variables map[string]any, m mode) took {
	t.Helper()
	if m != cold {
		w.do(t, query, variables, m) // fills the caches
	}
	best := took{cpu: time.Hour}
	for range 3 {
		var b took // sums of the means of several rounds, which grow
		rounds := 0
		for ; rounds == 0 || m != cold && b.cpu < 3*time.Millisecond; rounds++ {
			if m == cold {
				stoatest.Cool(t, w.s)
			}
			n := 1 + min(rounds, 20)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			examined, began := w.database.Examined(), processTime(t)
			var units float64
			for range n {
				x := w.do(t, query, variables, m)
				b.requested, b.size, b.code, units = x.requested, x.size, x.code, units+x.units
			}
			b.cpu += (processTime(t) - began) / time.Duration(n)
			runtime.ReadMemStats(&after)
			b.units += units / float64(n)
			b.memory += (after.TotalAlloc - before.TotalAlloc) / uint64(n)
			b.documents += uint64(w.database.Examined()-examined) / uint64(n)
		}
		b.units, b.cpu, b.memory, b.documents = b.units/float64(rounds), b.cpu/time.Duration(rounds), b.memory/uint64(rounds), b.documents/uint64(rounds)
		if best.units == 0 || float64(b.cpu)/b.units < float64(best.cpu)/best.units {
			best = b
		}
	}
	return best
}

// operations are hostile ones: each makes much work out of few units, if only what is asked for were
// counted.
func operations(random *rand.Rand) []struct{ name, query string } {
	alias := func(n int, field string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " a%d: %s", i, strings.ReplaceAll(field, "%d", strconv.Itoa(10+i)))
		}
		return b.String()
	}
	moment := fmt.Sprintf("20%02d-01-%02dT%02d:%%d:00Z", 10+random.IntN(10), 1+random.IntN(28), random.IntN(24))
	return []struct{ name, query string }{
		{"one title", `{ article(slug: "article-5") { title } }`},
		{"150 ids of each comment of 100 articles", `{ articles(first: 100) { nodes { comments(first: 100) { nodes {` + alias(150, "id") + ` } } } } }`},
		{"190 titles of each of 100 articles", `{ articles(first: 100) { nodes {` + alias(190, "title") + ` } } }`},
		{"a text of 0.6 MB", `{ article(slug: "long") { bodyHtml } }`},
		{"200 aliases of it", `{ article(slug: "long") {` + alias(200, "bodyHtml") + ` } }`},
		{"39 aliases of it", `{ article(slug: "long") {` + alias(39, "bodyHtml") + ` } }`},
		{"39 articles with it", `{` + alias(39, `article(slug: "long") { bodyHtml }`) + ` }`},
		{"a table of 4,900 contents", `{ article(slug: "headings") { tableOfContents { text anchor level } } }`},
		{"30 aliases of it", `{ article(slug: "headings") {` + alias(30, `tableOfContents { text anchor level }`) + ` } }`},
		{"100 excerpts of each of 100 articles", `{ articles(first: 100) { nodes {` + alias(100, `excerpt(words: 100)`) + ` } } }`},
		{"50 slugs that name nothing", `{` + alias(50, fmt.Sprintf(`article(slug: "none-%x-%%d") { id }`, random.Uint64())) + ` }`},
		{"50 ids that name nothing", `{` + alias(50, `node(id: "art_01jxxxxxxxexxsxxxxxxxxxx%d") { id }`) + ` }`},
		{"9 counts after new moments", `{` + alias(9, `articles(first: 1, where: {publishedAfter: "`+moment+`"}) { count(max: 10000) { value } }`) + ` }`},
		{"20 searches", `{` + alias(20, `search(query: "article text %d", first: 50) { edges { titleHtml snippetHtml } }`) + ` }`},
		{"the schema", `{ __schema { types { name fields { name type { name } args { name } } } } }`},
		{"a wrong password", `mutation { sessionCreate(input: {email: "nobody-%x@example.org", password: "a wrong one"}) { token userErrors { code } } }`},
		{"a cost that is refused", `{` + alias(40, `articles(first: 100) { nodes { comments(first: 100) { nodes { id } } } }`) + ` }`},
		{"errors only", `{` + alias(50, `articles(first: 1000) { nodes { id } }`) + ` }`},
	}
}

// TestUnitsBoundWork holds hostile operations and random ones to the units that are debited for them:
// processor time in multiples of a reference operation's, measured just before, memory that is
// allocated, bytes of the answer, and documents that the database examined. docs/gateway.md has the
// table of the hostile ones; UPDATE=1 writes it anew.
func TestUnitsBoundWork(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector takes many times the processor and the memory")
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		stoatest.Check(t, err)
	}
	t.Logf("SEED=%d", seed)
	w := openWorker(t, seed)
	const usual = `{ articles(first: 100) { nodes { title slug author { name } next { title } previous { title } tags { name } comments(first: 3) { nodes { bodyHtml } } } } }`
	var perUnit float64 // nanoseconds
	calibrate := func() {
		r := w.measure(t, usual, nil, unknown)
		perUnit = float64(r.cpu) / r.units
	}
	calibrate()
	t.Logf("a unit is %.2f µs", perUnit/1000)
	check := func(name, query string, variables map[string]any, m mode) took {
		t.Helper()
		var x took
		var over map[string]float64
		for range 4 { // others use the machine
			x, over = w.measure(t, query, variables, m), map[string]float64{}
			for what, ratio := range map[string]float64{
				"memory": float64(x.memory) / memoryOfUnit, "answer": float64(x.size) / bytesOfUnit, "documents": float64(x.documents) / documentsOfUnit, "processor": float64(x.cpu) / perUnit,
			} {
				if m == cold && (what == "memory" || what == "processor") { // the promise is for a warm cache
					continue
				}
				if ratio /= x.units; ratio > slack {
					over[what] = ratio
				}
			}
			if len(over) == 0 {
				return x
			}
			calibrate()
		}
		t.Errorf("%s, %s: %+v: more than %d times its units: %v\n%.2000s", name, m, x, slack, over, query)
		return x
	}
	var table strings.Builder
	table.WriteString("| operation | answer | cost | used, new and warm | CPU | memory |\n|---|---|---|---|---|---|\n")
	for _, o := range operations(w.random) {
		check(o.name, o.query, nil, cold)
		warm := check(o.name, o.query, nil, known)
		x := check(o.name, o.query, nil, unknown)
		fmt.Fprintf(&table, "| %s | %s | %.0f | %.0f, %.0f | %.1f ms | %.1f MB |\n", o.name, cmp.Or(x.code, "200"), x.requested, x.units, warm.units, x.cpu.Seconds()*1000, float64(x.memory)/(1<<20))
	}
	t.Logf("\n%s", &table)
	q := &randomQueries{Rand: w.random, schema: stoatest.Schema(t)}
	q.learn(t, w.s)
	for i := range 25 {
		for _, p := range q.next(t) {
			check(fmt.Sprint("random ", i), p.Query, p.Variables, [...]mode{unknown, known, cold}[i%3])
		}
	}
	documented(t, table.String())
}

// openWorker opens a replica over an embedded database with articles, some of them very long. It
// caches no whole responses, since these take nobody's units.
func openWorker(t *testing.T, seed uint64) *worker {
	t.Helper()
	dir := t.TempDir()
	database, err := embedded.Open(t.Context(), embedded.Options{Dir: dir})
	stoatest.Check(t, err)
	t.Cleanup(func() { stoatest.Check(t, database.Close(context.Background())) })
	uri, _, err := embedded.Find(dir)
	stoatest.Check(t, err)
	s := stoatest.Start(t, stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_RESPONSE_CACHE_BYTES": "0", "STOA_RATE": "1", "STOA_RATE_BURST": strconv.Itoa(burst)})
	batch := stoatest.Articles(400)
	batch[0].Slug, batch[0].Markdown = "long", strings.Repeat("Words of a *long* text, which has no end.\n\n", 11_000)
	batch[1].Slug, batch[1].Markdown = "headings", strings.Repeat("# a\n", 4900)
	s.Import(t, batch)
	importing, err := s.Blog.BeginImport(t.Context(), false)
	stoatest.Check(t, err)
	for i := range 120 {
		var thread []blog.ImportComment
		for n := range 20 {
			thread = append(thread, blog.ImportComment{Name: "Ada", Markdown: fmt.Sprintf("Comment *%d*", n), At: time.Date(2026, 6, 2, 12, n, 0, 0, time.UTC)})
		}
		stoatest.Check(t, importing.Comments(t.Context(), batch[i].Slug, thread))
	}
	stoatest.Check(t, importing.Finish(t.Context()))
	s.Quiesce(t)
	return &worker{s: s, database: database, handler: s.Handler(), random: rand.New(rand.NewPCG(seed, 1))}
}

var measured = regexp.MustCompile(`\| [^|]*\| [\d.]+ ms \| [\d.]+ MB \|`)

// documented holds the operations and answers of the table in docs/gateway.md against these.
func documented(t *testing.T, table string) {
	t.Helper()
	const path, begin, end = "../../docs/gateway.md", "<!-- units: TestUnitsBoundWork writes them -->\n", "<!-- end of units -->\n"
	text, err := os.ReadFile(path)
	stoatest.Check(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the operations", path)
	}
	if os.Getenv("UPDATE") != "" {
		stoatest.Check(t, os.WriteFile(path, []byte(before+begin+table+end+after), 0o644))
		return
	}
	if measured.ReplaceAllString(old, "") != measured.ReplaceAllString(table, "") {
		t.Errorf("%s has other operations or answers: run UPDATE=1 go test ./tests/guard -run TestUnitsBoundWork", path)
	}
}

// Thirty requests at once, each for nearly the largest answer, take no more memory than there is for
// operations under a small memory limit: some are refused, and some are answered.
func TestMemoryOfManyLargeAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector takes many times the memory")
	}
	debug.FreeOSMemory()                                    // of the tests before, which the limit counts
	const limit = 400 << 20                                 // bytes
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit)) // the budget is a part of it
	w := openWorker(t, 1)
	var query strings.Builder
	for i := range 12 {
		fmt.Fprintf(&query, " a%d: bodyHtml", i)
	}
	runtime.GC()
	before := live()
	peak, stop := watchMemory()
	codes := make(chan string, 60)
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			for n := range 2 {
				codes <- w.do(t, fmt.Sprintf(`{ article(slug: "long") {%s } } # %d %d`, &query, i, n), nil, known).code
			}
		})
	}
	all.Wait()
	close(codes)
	stop()
	counts := map[string]int{}
	for code := range codes {
		counts[code]++
	}
	t.Logf("answers by code: %v; %d MB live before, %d at most", counts, before>>20, peak()>>20)
	if counts[""] == 0 || counts[""]+counts["OVERLOADED"] != 60 {
		t.Errorf("they are answered with %v", counts)
	}
	if most := before + 2*limit/4; peak() > most { // a quarter is the budget
		t.Errorf("%d MB live at once, where %d were live before, and %d are the most", peak()>>20, before>>20, most>>20)
	}
}

// live returns the bytes that the last collection found in use.
func live() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}

// watchMemory watches the memory in use until stop is called.
func watchMemory() (peak func() uint64, stop func()) {
	var most atomic.Uint64
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), live()))
			select {
			case <-tick.C:
			case <-ended:
				return
			}
		}
	}()
	return most.Load, func() { close(ended); <-done }
}
