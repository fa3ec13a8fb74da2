package main

// The pages, the ways to get each response, and the table of ratios. Entry points: pages,
// ways, site.measure.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"stoa/app"
	"stoa/store/bus"
	"stoa/tests/redistest"
)

// pages are the queries of a site's front end. A new kind of object gets a line here, and its
// content in fill.
var pages = []struct{ name, about, query string }{
	{"home", "20 articles with author and tags", `{ articles(first: 20) { nodes { id slug title summary publishedAt author { name slug } tags { name slug } } pageInfo { hasNextPage endCursor } } }`},
	{"article", "text, author, tags, 20 comments, neighbours, related", `{ article(slug: "article-7") { title bodyHtml publishedAt readingMinutes author { name } tags { name slug } tableOfContents { level text anchor } commentCount comments(first: 20) { nodes { authorName createdAt bodyHtml replyCount } pageInfo { hasNextPage } } next { slug title } previous { slug title } related { slug title } } }`},
	{"authors", "24 authors with three articles each", `{ authors(first: 24) { nodes { id name slug articles(first: 3) { nodes { slug title publishedAt } } } } }`},
	{"field", "one field by id", `query($id: ID!) { node(id: $id) { ... on Article { title } } }`},
}

// shown is added to a page for a signed-in viewer.
const shown = ` viewer { account { name } }`

// responseCache is the setting of the response cache; some versions don't have it.
const responseCache = "STOA_RESPONSE_CACHE_BYTES"

// site has all processes of one benchmark, and its results.
type site struct {
	o        options
	dir      string
	redis    *redistest.Server
	database *process
	plain    *process
	stoa     *process // as it comes
	entities *process // without a response cache; the same as stoa if this version has none
	load     generator
	client   *http.Client
	token    string // of a signed-in viewer
	id       string // of an article
	rows     []row
}

// row is one line of the table.
type row struct {
	page, way string
	n         []sample // one a round
	missing   string   // the reason why it was not measured
}

// sample is a plain handler's load and Stoa's, one after the other.
type sample struct{ plain, stoa figures }

type figures struct {
	load
	cpu, memory, commands, allocs float64 // a request: seconds, commands, objects; bytes in all
}

func open(ctx context.Context, o options) (s *site, err error) {
	s = &site{o: o, client: newClient(4)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "stoa-bench-"); err != nil {
		return s, err
	}
	s.load = generator{dir: s.dir}
	core := ""
	if _, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 {
		core, s.load.core = "0", "1"
	}
	if path, err := exec.LookPath("wrk"); err == nil && !o.ownLoad {
		s.load.wrk = path
	}
	if s.redis, err = redistest.Open(); err != nil {
		return s, err
	}
	if s.database, err = start(ctx, o.program, "database", s.load.core, map[string]string{"STOA_DATA": s.dir}); err != nil {
		return s, err
	}
	if s.plain, err = start(ctx, o.program, "plain", core, nil); err != nil {
		return s, err
	}
	settings := map[string]string{
		"STOA_LISTEN": "127.0.0.1:0", "STOA_DEMO": "off", "STOA_MONGODB_URI": s.database.URL, "STOA_REDIS_URL": s.redis.URL(),
		"STOA_MEDIA": "file://" + s.dir + "/media", "STOA_RATE": "0",
	}
	settings["STOA_BENCH_FILL"] = fmt.Sprint(o.articles)
	if s.stoa, err = start(ctx, o.program, "stoa", core, settings); err != nil {
		return s, err
	}
	delete(settings, "STOA_BENCH_FILL")
	s.entities = s.stoa
	if hasResponseCache() {
		settings[responseCache] = "0"
		if s.entities, err = start(ctx, o.program, "stoa", core, settings); err != nil {
			return s, err
		}
	}
	if err = s.signIn(ctx); err != nil {
		return s, fmt.Errorf("sign in: %w", err)
	}
	time.Sleep(bus.BlockFor) // until values may be stored in Redis again after the writes
	var some struct{ Article struct{ ID string } }
	err = s.ask(ctx, `{ article(slug: "article-7") { id } }`, nil, &some)
	s.id = some.Article.ID
	return s, err
}

// hasResponseCache says if this version has a setting for the response cache.
func hasResponseCache() bool {
	_, _, err := app.Configure([]string{"--response-cache-bytes=0"}, func(string) (string, bool) { return "", false })
	return err == nil
}

func (s *site) close() {
	for _, p := range []*process{s.entities, s.stoa, s.plain, s.database} {
		if p != nil && (p != s.entities || p != s.stoa) {
			p.stop()
		}
	}
	if s.entities == s.stoa && s.stoa != nil {
		s.stoa.stop()
	}
	if s.redis != nil {
		s.redis.Stop()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// signIn registers an account like a front end, with the code from the development outbox of
// the process that took the mail.
func (s *site) signIn(ctx context.Context) error {
	const email, password = "reader@example.org", "a quiet harbour wall"
	in := map[string]any{"in": map[string]any{"email": email, "password": password, "name": "Ruth"}}
	if err := s.ask(ctx, `mutation($in: AccountRegisterInput!) { accountRegister(input: $in) { userErrors { message } } }`, in, nil); err != nil {
		return err
	}
	var letters []struct{ To, Code string }
	of := []*process{s.stoa, s.entities}
	for until := time.Now().Add(10 * time.Second); len(letters) == 0; time.Sleep(20 * time.Millisecond) {
		of[0], of[1] = of[1], of[0]
		found, err := send(ctx, s.client, ask{url: of[0].URL + "/outbox?format=json", method: http.MethodGet}, http.StatusOK)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(found.body, &letters); err != nil {
			return err
		}
		if time.Now().After(until) {
			return errors.New("no mail has come")
		}
	}
	in = map[string]any{"in": map[string]any{"token": letters[0].Code}}
	if err := s.ask(ctx, `mutation($in: AccountVerifyInput!) { accountVerify(input: $in) { userErrors { message } } }`, in, nil); err != nil {
		return err
	}
	var session struct{ SessionCreate struct{ Token string } }
	in = map[string]any{"in": map[string]any{"email": email, "password": password}}
	err := s.ask(ctx, `mutation($in: SessionCreateInput!) { sessionCreate(input: $in) { token userErrors { message } } }`, in, &session)
	s.token = session.SessionCreate.Token
	if err == nil && s.token == "" {
		err = errors.New("there is no token")
	}
	return err
}

// ask sends a query to Stoa and decodes its data.
func (s *site) ask(ctx context.Context, query string, variables map[string]any, data any) error {
	a := post(s.stoa.URL+"/graphql", query, variables)
	found, err := send(ctx, s.client, a, http.StatusOK)
	if err != nil {
		return err
	}
	return decode(found.body, data)
}

func post(url, query string, variables map[string]any) ask {
	body, _ := json.Marshal(map[string]any{"query": query, "variables": variables}) // strings: it doesn't fail
	return ask{url: url, method: http.MethodPost, body: body, header: map[string]string{"Content-Type": "application/json"}}
}

// ways are the sources of a response. A way that this version lacks returns errMissing.
var ways = []struct {
	name string
	of   func(*site, context.Context, string) (target, error)
}{
	{"cached response", func(s *site, _ context.Context, query string) (target, error) {
		if s.entities == s.stoa {
			return target{}, errMissing
		}
		return target{ask: s.post(s.stoa, query), process: s.stoa}, nil
	}},
	{"304", (*site).persisted},
	{"entities", func(s *site, _ context.Context, query string) (target, error) {
		return target{ask: s.post(s.entities, query), process: s.entities}, nil
	}},
	{"signed in", func(s *site, _ context.Context, query string) (target, error) {
		a := s.post(s.stoa, query[:len(query)-1]+shown+" }")
		a.header["Authorization"] = "Bearer " + s.token
		return target{ask: a, process: s.stoa}, nil
	}},
	{"Redis only", func(s *site, _ context.Context, query string) (target, error) {
		return target{ask: s.post(s.entities, query), process: s.entities, forget: s.forget}, nil
	}},
	{"cold", func(s *site, _ context.Context, query string) (target, error) {
		return target{ask: s.post(s.entities, query), process: s.entities, forget: s.forgetAll}, nil
	}},
}

// errMissing is the reason why a way isn't measured.
var errMissing = errors.New("not available")

// target is a request and the process that serves it.
type target struct {
	ask     ask
	process *process
	status  int                         // 0 for 200
	forget  func(context.Context) error // before each request; nil for load without a pause
}

func (s *site) post(p *process, query string) ask {
	return post(p.URL+"/graphql", query, map[string]any{"id": s.id})
}

// persisted asks for a query by its hash, with the ETag of its answer.
func (s *site) persisted(ctx context.Context, query string) (target, error) {
	sum := sha256.Sum256([]byte(query))
	extensions, _ := json.Marshal(map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hex.EncodeToString(sum[:])}})
	first := s.post(s.stoa, query)
	first.body, _ = json.Marshal(map[string]any{"query": query, "variables": map[string]any{"id": s.id}, "extensions": json.RawMessage(extensions)})
	if _, err := send(ctx, s.client, first, http.StatusOK); err != nil {
		return target{}, err
	}
	address := url.Values{"extensions": {string(extensions)}}
	if strings.Contains(query, "$id") {
		address.Set("variables", fmt.Sprintf(`{"id":%q}`, s.id))
	}
	a := ask{url: s.stoa.URL + "/graphql?" + address.Encode(), method: http.MethodGet, header: map[string]string{"Accept": "application/json"}}
	found, err := send(ctx, s.client, a, http.StatusOK)
	if err != nil || found.header.Get("ETag") == "" {
		return target{}, errMissing
	}
	a.header["If-None-Match"] = found.header.Get("ETag")
	return target{ask: a, process: s.stoa, status: http.StatusNotModified}, nil
}

func (s *site) forget(ctx context.Context) error {
	_, err := s.entities.tell(ctx, http.MethodPost, "/flush", nil)
	return err
}

func (s *site) forgetAll(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: s.redis.Socket()})
	defer client.Close()
	if err := client.FlushAll(ctx).Err(); err != nil {
		return err
	}
	return s.forget(ctx)
}

// measure measures all, round by round, and prints the table.
func (s *site) measure(ctx context.Context, out io.Writer) error {
	for round := range s.o.rounds {
		i := 0
		for _, page := range pages {
			if s.o.only != "" && s.o.only != page.name {
				continue
			}
			for _, way := range ways {
				if round == 0 {
					s.rows = append(s.rows, row{page: page.name, way: way.name})
				}
				r := &s.rows[i]
				i++
				if r.missing != "" {
					continue
				}
				t, err := way.of(s, ctx, page.query)
				if errors.Is(err, errMissing) {
					r.missing = err.Error()
					continue
				}
				var n sample
				if err == nil {
					n, err = s.sample(ctx, page.name, way.name, t)
				}
				if err != nil {
					return fmt.Errorf("%s, %s: %w", page.name, way.name, err)
				}
				r.n = append(r.n, n)
			}
		}
	}
	return s.print(out)
}

// sample measures the plain handler and then t.
func (s *site) sample(ctx context.Context, page, way string, t target) (n sample, err error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	// The plain handler writes the page; for a 304, the client has it in its cache.
	asked := t.ask
	delete(asked.header, "Accept")
	etag := asked.header["If-None-Match"]
	delete(asked.header, "If-None-Match")
	written, err := send(ctx, s.client, asked, http.StatusOK)
	if err != nil {
		return n, err
	}
	if strings.Contains(string(written.body), `"errors"`) {
		return n, fmt.Errorf("answered %.300s", written.body)
	}
	if etag != "" {
		t.ask.header["If-None-Match"] = etag
	}
	if _, err := s.plain.tell(ctx, http.MethodPut, "/answers/"+page, written.body); err != nil {
		return n, err
	}
	plain := t.ask
	plain.url = s.plain.URL + "/" + page
	if n.plain, err = s.figures(ctx, "", target{ask: plain, process: s.plain, status: http.StatusOK, forget: pause(t.forget)}); err != nil {
		return n, err
	}
	profile := ""
	if s.o.profile != "" && t.forget == nil {
		profile = s.o.profile + "." + page + "." + strings.ReplaceAll(way, " ", "-")
	}
	n.stoa, err = s.figures(ctx, profile, t)
	return n, err
}

// pause makes the plain handler serve single requests if t does.
func pause(forget func(context.Context) error) func(context.Context) error {
	if forget == nil {
		return nil
	}
	return func(context.Context) error { return nil }
}

// figures loads t and returns the cost of a request.
func (s *site) figures(ctx context.Context, profile string, t target) (f figures, err error) {
	if t.forget != nil {
		return s.oneByOne(ctx, t)
	}
	if _, err := t.process.tell(ctx, http.MethodPost, "/collect", nil); err != nil { // the garbage from before
		return f, err
	}
	return s.loaded(ctx, profile, t)
}

// loaded is figures without a collection before.
func (s *site) loaded(ctx context.Context, profile string, t target) (f figures, err error) {
	if _, err := ownLoad(ctx, t.ask, s.o.each/10, s.o.connections, t.status); err != nil { // to be warm
		return f, err
	}
	if profile != "" {
		if err := t.process.profile(ctx, profile); err != nil {
			return f, err
		}
	}
	before, err := t.process.usage(ctx)
	if err != nil {
		return f, err
	}
	if f.load, err = s.load.times(ctx, t.ask, s.o.each, s.o.connections, t.status); err != nil {
		return f, err
	}
	after, err := t.process.usage(ctx)
	if err != nil {
		return f, err
	}
	if profile != "" {
		if _, err := t.process.tell(ctx, http.MethodPost, "/profile/stop", nil); err != nil {
			return f, err
		}
	}
	f.count(before, after)
	return f, nil
}

// oneByOne sends single requests to t, and empties the caches in between; that isn't counted.
func (s *site) oneByOne(ctx context.Context, t target) (f figures, err error) {
	if _, err := send(ctx, s.client, t.ask, t.status); err != nil { // into Redis
		return f, err
	}
	asking, err := s.askingCosts(ctx, t.process)
	if err != nil {
		return f, err
	}
	var all []time.Duration
	var total usage
	for began := time.Now(); time.Since(began) < s.o.each && len(all) < 2000 || len(all) < 2; {
		if err := t.forget(ctx); err != nil {
			return f, err
		}
		before, err := t.process.usage(ctx)
		if err != nil {
			return f, err
		}
		start := time.Now()
		if _, err := send(ctx, s.client, t.ask, t.status); err != nil {
			return f, err
		}
		all = append(all, time.Since(start))
		after, err := t.process.usage(ctx)
		if err != nil {
			return f, err
		}
		total.CPU += max(0, after.CPU-before.CPU-asking)
		total.Commands += after.Commands - before.Commands
		total.RSS = after.RSS
	}
	var took time.Duration
	for _, d := range all {
		took += d
	}
	f.load = summary(all, took)
	f.count(usage{}, total)
	return f, nil
}

// askingCosts is the CPU time that a process needs to report its usage.
func (s *site) askingCosts(ctx context.Context, p *process) (time.Duration, error) {
	const times = 50
	var all []time.Duration
	for range times {
		before, err := p.usage(ctx)
		if err != nil {
			return 0, err
		}
		after, err := p.usage(ctx)
		if err != nil {
			return 0, err
		}
		all = append(all, after.CPU-before.CPU)
	}
	slices.Sort(all)
	return all[times/2], nil
}

func (f *figures) count(before, after usage) {
	n := float64(f.Requests)
	f.cpu = (after.CPU - before.CPU).Seconds() / n
	f.commands = float64(after.Commands-before.Commands) / n
	f.allocs = float64(after.Allocs-before.Allocs) / n
	f.memory = float64(after.RSS)
}

func (f figures) perSecond() float64 { return float64(f.Requests) / f.Took.Seconds() }

// print prints the median of each row's rounds.
func (s *site) print(out io.Writer) error {
	with := "a client in Go"
	if s.load.wrk != "" {
		with = "wrk"
	}
	where := "on any core"
	if s.load.core != "" {
		where = "on one core, all else on another"
	}
	fmt.Fprintf(out, "%d articles; %d rounds of %s over %d connections by %s; each handler %s; %s, %s/%s, %d cores, %s\n",
		s.o.articles, s.o.rounds, s.o.each, s.o.connections, with, where, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().Format(time.DateOnly))
	fmt.Fprint(out, "Ratios are Stoa's to the plain handler's; one by one, and latencies with the client's own, where it has to forget in between.\n\n")
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "page\tanswered from\trequests/s\tCPU\tp50\tp99\tmemory\tcommands\tplain requests/s\tplain CPU\tplain p50\tplain memory")
	for _, r := range s.rows {
		if r.missing != "" {
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.page, r.way, r.missing)
			continue
		}
		ratio := func(of func(figures) float64) float64 {
			return r.median(func(n sample) float64 { return of(n.stoa) / of(n.plain) })
		}
		plain := func(of func(figures) float64) float64 {
			return r.median(func(n sample) float64 { return of(n.plain) })
		}
		cpu := func(f figures) float64 { return f.cpu }
		memory := func(f figures) float64 { return f.memory }
		p50 := func(f figures) float64 { return f.P50.Seconds() }
		p99 := func(f figures) float64 { return f.P99.Seconds() }
		fmt.Fprintf(w, "%s\t%s\t%.3f\t%.2f\t%.2f\t%.2f\t%.1f\t%.2f\t%.0f\t%.1f µs\t%.2f ms\t%.0f MB\n", r.page, r.way,
			ratio(figures.perSecond), ratio(cpu), ratio(p50), ratio(p99), ratio(memory),
			r.median(func(n sample) float64 { return n.stoa.commands }),
			plain(figures.perSecond), plain(cpu)*1e6, plain(p50)*1e3, plain(memory)/1e6)
	}
	return w.Flush()
}

func (r row) median(of func(sample) float64) float64 {
	all := make([]float64, len(r.n))
	for i, n := range r.n {
		all[i] = of(n)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
