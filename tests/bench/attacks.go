package main

// Attacks on a site, one after the other, each by one client at the full rate that it is allowed,
// while others read the site. Entry points: attackFlags, benchAttacks.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/coder/websocket"

	"stoa/tests/redistest"
)

// attackOptions say how large the attacked site is, and how long each attack lasts.
type attackOptions struct {
	siteOptions
	check bool
}

const (
	// goLimit is the server's GOMEMLIMIT, and mostMemory the most that its process may have in
	// memory at any time: the rest is for SQLite, stacks and the runtime.
	goLimit    = "400MiB"
	mostMemory = 512 << 20

	// mostSlower is how many times its p99 a bystander may wait during an attack.
	mostSlower = 10

	// attempts is how often an attack is repeated, if a bystander was slower than that: others use
	// the machine, too.
	attempts = 3

	// atATime is the number of requests of an attacker under way.
	atATime = 16
)

// attackFlags parses the arguments after `attacks`.
func attackFlags(args []string) (attackOptions, error) {
	o := attackOptions{siteOptions: usualSite}
	o.rate, o.lasts = 50, 5*time.Second
	flags := flag.NewFlagSet("attacks", flag.ExitOnError)
	flags.IntVar(&o.posts, "posts", o.posts, "number of posts")
	flags.Float64Var(&o.rate, "rate", o.rate, "the bystanders' requests a second")
	flags.DurationVar(&o.lasts, "for", o.lasts, "duration of each attack")
	flags.StringVar((*string)(&o.program), "server", "", "path of the Stoa to attack (default this checkout)")
	flags.StringVar(&o.data, "data", "", "folder of the site, generated if it is missing and kept for later runs (default temporary)")
	flags.BoolVar(&o.check, "check", false, "fail if bystanders are beyond the limit, too")
	_ = flags.Parse(args) // exits
	if flags.NArg() > 0 || o.posts < 20 || o.rate <= 0 {
		return o, errors.New("use: attacks with --posts of 20 or more, and a --rate above 0; see --help")
	}
	o.write = time.Hour // the bystanders only read
	return o, nil
}

// attacker is one client with an address and an account of its own: what one attack has taken from
// the rates doesn't stop the next one.
type attacker struct {
	url    string
	dialer net.Dialer
	client *http.Client
	token  string
	until  time.Time

	sent, refused, units atomic.Int64
}

// attack is one kind of attack. run does one piece of it, and is called again and again by as many
// goroutines as atATime says. It returns how long the server told it to wait.
type attack struct {
	name string
	run  func(ctx context.Context, a *attacker) (wait time.Duration, err error)
}

func repeated(n int, field string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d: %s", i, strings.ReplaceAll(field, "%", strconv.FormatUint(rand.Uint64(), 36)))
	}
	return b.String()
}

// query is an attack by one operation. Each % in it becomes another text each time.
func query(n int, before, field, after string) func(context.Context, *attacker) (time.Duration, error) {
	return func(ctx context.Context, a *attacker) (time.Duration, error) {
		return a.ask(ctx, post(a.url+"/graphql", `{`+before+repeated(n, field)+after+`}`, nil))
	}
}

// write is an attack by a mutation of an editor.
func write(document string, input func() map[string]any) func(context.Context, *attacker) (time.Duration, error) {
	return func(ctx context.Context, a *attacker) (time.Duration, error) {
		return a.ask(ctx, a.signed(post(a.url+"/graphql", document, map[string]any{"in": input()})))
	}
}

func attacks() []attack {
	moment := func() string { return time.Unix(1e9+rand.Int64N(1e8), 0).UTC().Format(time.RFC3339) }
	references := "[x]: http://a.b/" + strings.Repeat("u", 100_000) + "\n\n" + strings.Repeat("[x] ", 40_000)
	broken := []byte(`{"query":"{ __typename }","variables":{"a":[` + strings.Repeat(`{"a":[1,2,"`+strings.Repeat("x", 100)+`"]},`, 8000) + `}`)
	large := large()
	return []attack{
		{"unknown slugs, one each", query(1, "", `article(slug: "%") { id }`, "")},
		{"50 unknown slugs", query(50, "", `article(slug: "%") { id }`, "")},
		{"9 counts after new moments", func(ctx context.Context, a *attacker) (time.Duration, error) {
			return a.ask(ctx, post(a.url+"/graphql", `{`+repeated(9, `articles(first: 1, where: {publishedAfter: "`+moment()+`"}) { count(max: 10000) { value } }`)+`}`, nil))
		}},
		{"200 aliases of a long text", query(200, `article(slug: "long-text") {`, "bodyHtml", "}")},
		{"30 aliases of 4,000 headings", query(30, `article(slug: "many-headings") {`, "tableOfContents { text anchor level }", "}")},
		{"150 ids of 100 comments of 100 articles", query(150, `articles(first: 100) { nodes { comments(first: 100) { nodes {`, "id", "} } } }")},
		{"20 searches", query(20, "", `search(query: "harbour %", first: 50) { edges { titleHtml snippetHtml } }`, "")},
		{"link references that multiply, in an article", write(`mutation($in: ArticleCreateInput!) { articleCreate(input: $in) { userErrors { message } } }`,
			func() map[string]any { return map[string]any{"title": "References", "bodyMarkdown": references} })},
		{"brackets within brackets, in comments", write(`mutation($in: CommentAddInput!) { commentAdd(input: $in) { userErrors { message } } }`,
			func() map[string]any {
				return map[string]any{"articleId": "art_00000000000000000000000000", "bodyMarkdown": strings.Repeat("[", 2000) + "x" + strings.Repeat("]", 2000)}
			})},
		{"broken JSON of 1 MB", func(ctx context.Context, a *attacker) (time.Duration, error) {
			x := post(a.url+"/graphql", "", nil)
			x.body = broken
			return a.ask(ctx, x)
		}},
		{"unknown feeds", func(ctx context.Context, a *attacker) (time.Duration, error) {
			return a.ask(ctx, ask{method: http.MethodGet, url: a.url + "/tags/" + strconv.FormatUint(rand.Uint64(), 36) + "/feed.atom", header: map[string]string{}})
		}},
		{"pictures of 7,200 pixels each way", func(ctx context.Context, a *attacker) (time.Duration, error) {
			return a.ask(ctx, a.signed(upload(a.url, large)))
		}},
		{"pings over WebSockets", ping},
		{"connections that read nothing", dontRead},
	}
}

// large is a small file of a large picture.
func large() []byte {
	var b bytes.Buffer
	_ = gif.Encode(&b, image.NewPaletted(image.Rect(0, 0, 7200, 7200), color.Palette{color.Black, color.White}), nil)
	return b.Bytes()
}

func upload(url string, file []byte) ask {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	_ = form.WriteField("operations", `{"query":"mutation($f: Upload!) { imageUpload(input: {file: $f, alt: \"\"}) { userErrors { message } } }","variables":{"f":null}}`)
	_ = form.WriteField("map", `{"0":["variables.f"]}`)
	part, _ := form.CreateFormFile("0", "a.gif")
	_, _ = part.Write(file)
	_ = form.Close()
	return ask{method: http.MethodPost, url: url + "/graphql", body: b.Bytes(), header: map[string]string{"Content-Type": form.FormDataContentType(), "X-Requested-With": "bench", "Apollo-Require-Preflight": "true"}}
}

// signed signs a request by an editor.
func (a *attacker) signed(x ask) ask {
	x.header["Authorization"] = "Bearer " + a.token
	return x
}

// ask sends a request, and returns the time that the answer says to wait.
func (a *attacker) ask(ctx context.Context, x ask) (time.Duration, error) {
	request, err := x.request(ctx)
	if err != nil {
		return 0, err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return 0, nil // a connection that is closed is an answer, too
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, nil
	}
	a.sent.Add(1)
	units, _ := strconv.ParseInt(response.Header.Get("Stoa-Cost"), 10, 64)
	if used, err := strconv.ParseInt(response.Header.Get("Stoa-Used"), 10, 64); err == nil {
		units = used
	}
	a.units.Add(units)
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		return 0, nil
	}
	a.refused.Add(1)
	return time.Duration(seconds) * time.Second, nil
}

// ping sends pings over one WebSocket until it is closed, some 10,000 a second: faster ones would take
// the processor of the bystanders, who are on the same machine.
func ping(ctx context.Context, a *attacker) (time.Duration, error) {
	c, _, err := websocket.Dial(ctx, strings.Replace(a.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{
		Subprotocols: []string{"graphql-transport-ws"}, HTTPClient: a.client,
	})
	if err != nil {
		return time.Second, nil
	}
	defer func() { _ = c.CloseNow() }()
	if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"connection_init"}`)); err != nil {
		return 0, nil
	}
	go func() { // takes the answers
		for {
			if _, _, err := c.Read(ctx); err != nil {
				return
			}
		}
	}()
	for time.Now().Before(a.until) {
		if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"ping"}`)); err != nil {
			return 0, nil
		}
		if a.sent.Add(1)%atATime == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return 0, nil
}

// dontRead asks for a large cached response over a hundred connections, and reads none. Its own kernel
// takes next to nothing of them, as a machine that is short of memory, or wants to be.
func dontRead(ctx context.Context, a *attacker) (time.Duration, error) {
	x := post("", `{ articles(first: 100) { nodes { title summary bodyHtml } } }`, nil)
	request := fmt.Appendf(nil, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(x.body), x.body)
	dialer := a.dialer
	dialer.Control = func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}
	for range 100 {
		c, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(a.url, "http://"))
		if err != nil {
			return time.Second, nil
		}
		defer c.Close()
		if _, err := c.Write(request); err != nil {
			return 0, nil
		}
		a.sent.Add(1)
	}
	select {
	case <-time.After(time.Until(a.until)):
	case <-ctx.Done():
	}
	return 0, nil
}

// attackedSite is the server, and what its visitors know.
type attackedSite struct {
	o       attackOptions
	content *content
	server  *server
	next    int // attacker
}

// benchAttacks starts a server with little memory on a site, attacks it, and prints the cost of each
// attack, and how long others waited meanwhile. A process with more than mostMemory is an error.
func benchAttacks(ctx context.Context, o attackOptions, out io.Writer) error {
	c, data, remove, err := copySite(ctx, o.siteOptions)
	if err != nil {
		return err
	}
	defer remove()
	redis, err := redistest.Open()
	if err != nil {
		return err
	}
	defer redis.Stop()
	settings := siteSettings(data)
	settings["STOA_REDIS_URL"], settings["GOMEMLIMIT"] = redis.URL(), goLimit
	settings["STOA_PROXIES"] = "127.0.0.1/32" // of the bystanders; attackers have other addresses
	s, err := o.program.start(ctx, settings)
	if err != nil {
		return err
	}
	defer s.stop()
	a := &attackedSite{o: o, content: c, server: s}
	if err := a.addArticles(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, s.log)
	}
	fmt.Fprintf(out, "%d posts, embedded database, Redis, GOMEMLIMIT=%s; bystanders %g requests a second, attacks of %s by one client, %d requests at a time; %d cores, %s\n\n",
		o.posts, goLimit, o.rate, o.lasts, atATime, runtime.NumCPU(), time.Now().Format(time.DateOnly))
	return a.measure(ctx, out)
}

// addArticles publishes the articles that attacks ask for.
func (s *attackedSite) addArticles(ctx context.Context) error {
	texts := map[string]string{
		"long-text": strings.Repeat("Words of a *long* text, which has no end.\n\n", 11_000), "many-headings": strings.Repeat("# a\n", 4000),
	}
	for slug, text := range texts {
		var made struct {
			ArticleCreate struct {
				Article    *struct{ ID string }
				UserErrors json.RawMessage
			}
		}
		if err := s.edit(ctx, `mutation($in: ArticleCreateInput!) { articleCreate(input: $in) { article { id } userErrors { message } } }`,
			map[string]any{"title": slug, "slug": slug, "bodyMarkdown": text}, &made); err != nil {
			return err
		}
		if made.ArticleCreate.Article == nil {
			return fmt.Errorf("create %s: %s", slug, made.ArticleCreate.UserErrors)
		}
		if err := s.edit(ctx, `mutation($in: ArticlePublishInput!) { articlePublish(input: $in) { userErrors { message } } }`, map[string]any{"id": made.ArticleCreate.Article.ID}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *attackedSite) edit(ctx context.Context, document string, input map[string]any, data any) error {
	x := post(s.server.url+"/graphql", document, map[string]any{"in": input})
	x.header["Authorization"] = "Bearer " + s.content.Tokens[0]
	found, err := send(ctx, http.DefaultClient, x, http.StatusOK)
	if err != nil {
		return err
	}
	return decode(found.body, data)
}

// measure measures the bystanders alone, and then during each attack.
func (s *attackedSite) measure(ctx context.Context, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "attack\trequests\trefused\tunits\tCPU\tCPU per unit\tmemory\tbystanders failed\tp50\tp99\ttimes alone")
	var wrong, slow []error
	alone, err := s.during(ctx, attack{name: "none"})
	if err == nil { // once more, with the caches filled
		alone, err = s.during(ctx, attack{name: "none"})
	}
	if err != nil {
		return err
	}
	alone.print(w, alone)
	for _, x := range attacks() {
		var m *attackMeasurement
		for range attempts {
			before, err := s.during(ctx, attack{name: "none"})
			if err != nil {
				return err
			}
			if m, err = s.during(ctx, x); err != nil {
				return err
			}
			alone = before
			if !s.o.check || m.others.P99 <= mostSlower*alone.others.P99 {
				break
			}
		}
		m.print(w, alone)
		if m.others.P99 > mostSlower*alone.others.P99 {
			slow = append(slow, fmt.Errorf("%s: bystanders wait %s, and %s without it", x.name, m.others.P99, alone.others.P99))
		}
		if m.usage.PeakRSS > mostMemory {
			wrong = append(wrong, fmt.Errorf("%s: the process has taken %d MiB", x.name, m.usage.PeakRSS>>20))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if s.o.check {
		wrong = append(wrong, slow...)
	}
	return errors.Join(wrong...)
}

// attackMeasurement is one attack, or a time without any.
type attackMeasurement struct {
	name                 string
	sent, refused, units int64
	cpu                  time.Duration
	usage                processUsage
	others               load
	failures             map[string]int // of the others, by reason
}

// attacker returns the next attacker.
func (s *attackedSite) attacker() *attacker {
	s.next++
	a := &attacker{url: s.server.url, token: s.content.Tokens[s.next%len(s.content.Tokens)], until: time.Now().Add(s.o.lasts)}
	a.dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(s.next))}
	a.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atATime, DisableCompression: true, DialContext: a.dialer.DialContext}}
	return a
}

// during measures the bystanders for a while, and the server, with an attack if it has a run.
func (s *attackedSite) during(ctx context.Context, x attack) (*attackMeasurement, error) {
	v := newVisitors(s.content, s.server.url)
	a := s.attacker()
	before, err := readUsage(s.server.cmd.Process.Pid)
	if err != nil {
		return nil, fmt.Errorf("%w: the server has gone\n%s", err, s.server.log)
	}
	limited, cancel := context.WithTimeout(ctx, s.o.lasts+requestTimeout)
	defer cancel()
	var attackers sync.WaitGroup
	if x.run != nil {
		for range atATime {
			attackers.Go(func() {
				for time.Now().Before(a.until) && limited.Err() == nil {
					wait, err := x.run(limited, a)
					if err != nil {
						return
					}
					select {
					case <-time.After(min(wait, time.Until(a.until))):
					case <-limited.Done():
					}
				}
			})
		}
	}
	if err := v.run(ctx, s.o.siteOptions); err != nil {
		return nil, err
	}
	attackers.Wait()
	v.client.CloseIdleConnections()
	a.client.CloseIdleConnections()
	after, err := readUsage(s.server.cmd.Process.Pid)
	if err != nil {
		return nil, fmt.Errorf("%w: the server has gone\n%s", err, s.server.log)
	}
	m := &attackMeasurement{name: x.name, sent: a.sent.Load(), refused: a.refused.Load(), units: a.units.Load(), cpu: after.CPU - before.CPU, usage: after, failures: map[string]int{}}
	var took []time.Duration
	for _, of := range v.visits {
		took = append(took, of.took...)
		for why, n := range of.failures {
			m.failures[why] += n
		}
	}
	m.others = summary(took, s.o.lasts)
	return m, nil
}

func (m *attackMeasurement) print(w io.Writer, alone *attackMeasurement) {
	perUnit, own := "–", m.cpu-alone.cpu
	if m.units > 0 {
		perUnit = fmt.Sprintf("%.1f µs", max(own, 0).Seconds()*1e6/float64(m.units))
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	failed := "0"
	if len(m.failures) > 0 {
		failed = strings.Trim(fmt.Sprint(m.failures), "map[]")
	}
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.2f s\t%s\t%d MiB\t%s\t%.1f ms\t%.1f ms\t%.1f\n", m.name, m.sent, m.refused, m.units, m.cpu.Seconds(), perUnit,
		m.usage.PeakRSS>>20, failed, ms(m.others.P50), ms(m.others.P99), m.others.P99.Seconds()/alone.others.P99.Seconds())
}
