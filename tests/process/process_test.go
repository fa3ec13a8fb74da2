// Package process tests the binary as its users start it: starts and ends, kills, backups,
// imports, schedules and upgrades, by exit codes, output, and HTTP.
package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	gql "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"

	"stoa/tests/contention"
	"stoa/tests/stoatest"
)

// processLimit ends a process that no test has ended: longer than any of them takes.
const processLimit = 2 * time.Minute

// buildFolder is the folder of the built binary; TestMain makes and removes it.
var buildFolder string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "stoa-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildFolder = folder
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// build builds the binary, once in a run of the tests, with the build tags of the tests.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildFolder, "stoa")
	args := []string{"build", "-o", path}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				args = append(args, "-tags", s.Value)
			}
		}
	}
	if out, err := exec.Command("go", append(args, "stoa")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// environ is the environment of a process; it gets no other variables of Stoa's.
type environ map[string]string

// process is a running or ended stoa.
type process struct {
	*stoatest.Stoa // asks it, once it is ready
	cmd            *exec.Cmd
	stdout, stderr *printed
	ended          chan struct{}
}

// printed is the output of a process so far.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// launch starts stoa; if it still runs when the test ends, it is killed.
func launch(t *testing.T, env environ, args ...string) *process {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return launchBinary(t, path, env, args...)
}

// launchBinary is launch for another binary.
func launchBinary(t *testing.T, path string, env environ, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), processLimit)
	p := &process{Stoa: &stoatest.Stoa{}, stdout: &printed{}, stderr: &printed{}, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, path, args...)
	p.cmd.Dir = t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+os.Getenv(name))
	}
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // exitCode tells
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
		if t.Failed() {
			t.Logf("stoa %s printed\n%s%s", strings.Join(args, " "), p.stdout, p.stderr)
		}
	})
	return p
}

var readyLine = regexp.MustCompile(`(?m)^.*msg"?[=:]"?ready"?.*?url"?[=:]"?(http://[^" ]+)/.*$`)

// serve starts a server on a port of its own and returns when it says that it is ready.
func serve(t *testing.T, env environ, args ...string) *process {
	t.Helper()
	// Tests ask for all there is, as nobody does by hand.
	all := environ{"STOA_LISTEN": "127.0.0.1:0", "STOA_DEMO": "off", "STOA_RATE": "0"}
	for name, value := range env {
		all[name] = value
	}
	p := launch(t, all, args...)
	p.awaitReady(t)
	return p
}

func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	stoatest.Await(t, 30*time.Second, "the server to be ready", func() bool {
		if line := readyLine.FindStringSubmatch(p.stderr.String()); line != nil {
			p.URL = line[1]
			return true
		}
		select {
		case <-p.ended:
			t.Fatalf("the server ended: %s", p.stderr)
		default:
		}
		return false
	})
}

// exitCode waits for the end; -1 is an end by a signal.
func (p *process) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(3 * time.Minute):
		t.Fatal("the process doesn't end")
		return 0
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signal: %v", err)
	}
}

// stop ends a server as its supervisor does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.exitCode(t); code != 0 {
		t.Fatalf("after SIGTERM the exit code is %d\n%s", code, p.stderr)
	}
}

// kill ends it as a power cut would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	p.exitCode(t)
}

// run runs a command that ends.
func run(t *testing.T, env environ, args ...string) *process {
	t.Helper()
	p := launch(t, env, args...)
	p.exitCode(t)
	return p
}

// get asks for a path and returns status and body.
func (p *process) get(t *testing.T, path, accept string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// titles returns the titles of the newest articles, at most 100.
func (p *process) titles(t *testing.T) []string {
	t.Helper()
	var out struct {
		Articles struct{ Nodes []struct{ Title string } }
	}
	p.Data(t, &out, `{ articles(first: 100) { nodes { title } } }`, nil)
	var titles []string
	for _, n := range out.Articles.Nodes {
		titles = append(titles, n.Title)
	}
	return titles
}

func TestServeFillsAnEmptyFolderOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	env := environ{"STOA_DATA": dir, "STOA_DEMO": "on"}
	p := serve(t, env)
	log := p.stderr.String()
	for _, want := range []string{"filled the empty database with the demo", "STOA_DEMO=off", dir, p.URL} {
		if !strings.Contains(log, want) {
			t.Errorf("the log doesn't say %q:\n%s", want, log)
		}
	}
	first := p.titles(t)
	var shop struct {
		Products struct{ Nodes []struct{ Slug string } }
	}
	if p.Data(t, &shop, `{ products(first: 100) { nodes { slug } } }`, nil); len(shop.Products.Nodes) < 12 {
		t.Errorf("there is no shop, only %v", shop)
	}
	if said := regexp.MustCompile(`articles=(\d+)`).FindStringSubmatch(log); said == nil || len(first) < 10 {
		t.Errorf("the log tells of %v articles, and %d are published", said, len(first))
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/": `"graphql":"/graphql"`} {
		if status, body := p.get(t, path, ""); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s answers %d %q", path, status, body)
		}
	}
	if status, body := p.get(t, "/", "text/html"); status != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("to a browser / answers %d %.200q", status, body)
	}
	p.stop(t)
	if _, err := os.Stat(filepath.Join(dir, "stoa.sock")); err == nil {
		t.Error("the socket is still there")
	}

	again := serve(t, env)
	if strings.Contains(again.stderr.String(), "demo") {
		t.Errorf("the second start fills again: %s", again.stderr)
	}
	if second := again.titles(t); !slices.Equal(first, second) {
		t.Errorf("the second start has %q, the first had %q", second, first)
	}
}

func TestServeIsReadyInTwoSeconds(t *testing.T) {
	// Another program may have the processor: the best of three starts counts.
	const promise, slack = 2 * time.Second, 3
	best := time.Hour
	allowed := contention.Allow(time.Now())
	for range 3 {
		began := time.Now()
		p := serve(t, environ{"STOA_DATA": t.TempDir(), "STOA_DEMO": "on"})
		best = min(best, time.Since(began))
		p.stop(t)
		if best < promise {
			break
		}
	}
	t.Logf("ready with a new folder and the demo after %s", best.Round(time.Millisecond))
	if best > promise*slack && !allowed.Shared() {
		t.Errorf("ready after %s, promised are %s", best, promise)
	}
}

func TestServeLeavesTheFolderEmptyWithoutTheDemo(t *testing.T) {
	t.Parallel()
	p := serve(t, environ{"STOA_DATA": t.TempDir()})
	if titles := p.titles(t); len(titles) != 0 {
		t.Errorf("there is %q", titles)
	}
}

func TestASecondServerOnAFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := serve(t, environ{"STOA_DATA": dir, "STOA_DEMO": "on"})
	second := run(t, environ{"STOA_DATA": dir, "STOA_LISTEN": "127.0.0.1:0"})
	checkRefusal(t, second, 1, dir, "in use", strconv.Itoa(first.cmd.Process.Pid))
	if len(first.titles(t)) == 0 {
		t.Error("the first server has lost its articles")
	}
}

// checkRefusal checks that a process has ended with code and one line that says all of want.
func checkRefusal(t *testing.T, p *process, code int, want ...string) {
	t.Helper()
	text := p.stderr.String()
	if got := p.exitCode(t); got != code {
		t.Errorf("exit code %d, want %d: %s", got, code, text)
	}
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("it doesn't say why in one line: %s", text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q doesn't say %q", text, w)
		}
	}
	if out := p.stdout.String(); out != "" {
		t.Errorf("standard output has %q", out)
	}
}

func TestAWrongStartEndsInOneLine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cases := map[string]struct {
		reason string
		env    environ
		args   []string
		code   int
		want   []string
	}{
		"Environment":    {"the value and what it takes", environ{"STOA_ENV": "prod"}, nil, 2, []string{"STOA_ENV", `"prod"`, "development or production"}},
		"Listen":         {"a port alone isn't an address", environ{"STOA_LISTEN": "8080"}, nil, 2, []string{"STOA_LISTEN", `"8080"`, "host:port"}},
		"Open":           {"development is for this machine", environ{"STOA_LISTEN": ":8080"}, nil, 2, []string{"STOA_LISTEN", `":8080"`, "STOA_ENV=production"}},
		"Port":           {"the variable that was set is named", environ{"PORT": "http"}, nil, 2, []string{"PORT takes", `"http"`, "65535"}},
		"Log":            {"", environ{"STOA_LOG": "verbose"}, nil, 2, []string{"STOA_LOG", `"verbose"`, "debug, info, warn or error"}},
		"Demo":           {"", environ{"STOA_DEMO": "false"}, nil, 2, []string{"STOA_DEMO", `"false"`, "on or off"}},
		"Memory":         {"", environ{"STOA_CACHE_MEMORY": "1G"}, nil, 2, []string{"STOA_CACHE_MEMORY", `"1G"`, "MiB"}},
		"MongoDB":        {"", environ{"STOA_MONGODB_URI": "localhost:27017"}, nil, 2, []string{"STOA_MONGODB_URI", "mongodb://"}},
		"MongoDBBroken":  {"what only the driver can tell is refused as any bad value is", environ{"STOA_MONGODB_URI": "mongodb://localhost:99999/"}, nil, 2, []string{"STOA_MONGODB_URI", "99999"}},
		"Redis":          {"", environ{"STOA_REDIS_URL": "localhost:6379"}, nil, 2, []string{"STOA_REDIS_URL", "redis://"}},
		"Flag":           {"a bad flag is named as its variable", nil, []string{"--env", "prod"}, 2, []string{"STOA_ENV", `"prod"`}},
		"FlagUnknown":    {"", nil, []string{"serve", "--prot=8080"}, 2, []string{"--prot", "--help"}},
		"FlagEmpty":      {"", nil, []string{"--data"}, 2, []string{"--data", "folder"}},
		"CommandUnknown": {"", nil, []string{"server"}, 2, []string{`"server"`, "serve", "--help"}},
		"CommandTooMuch": {"", nil, []string{"serve", "now"}, 2, []string{`"now"`}},
		"ImportWhat":     {"", nil, []string{"import"}, 2, []string{"import markdown DIR"}},
		"ImportNowhere":  {"", nil, []string{"import", "markdown", "nowhere"}, 2, []string{`"nowhere"`}},
		"ImportFile":     {"", nil, []string{"import", "markdown", file}, 2, []string{"folder", file}},
		"DataIsAFile":    {"", environ{"STOA_DATA": file}, nil, 1, []string{"STOA_DATA", file}},
		"ListenTaken":    {"", environ{"STOA_LISTEN": taken.Addr().String(), "STOA_DEMO": "off"}, nil, 1, []string{"STOA_LISTEN", taken.Addr().String(), "in use"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { checkRefusal(t, run(t, c.env, c.args...), c.code, c.want...) })
	}
}

func TestVersionAndHelpAndSchemaArePrinted(t *testing.T) {
	t.Parallel()
	version := run(t, nil, "version")
	if out := version.stdout.String(); version.exitCode(t) != 0 || !strings.HasPrefix(out, "stoa ") || strings.Count(out, "\n") != 1 {
		t.Errorf("version prints %q, exit code %d", out, version.exitCode(t))
	}

	help := run(t, nil, "--help")
	for _, want := range []string{"stoa import markdown", "STOA_LISTEN", "STOA_MONGODB_URI", "STOA_REDIS_URL", "STOA_DATA", "STOA_ENV", "STOA_LOG", "STOA_DEMO", "PORT", "playground", "Exit codes"} {
		if !strings.Contains(help.stdout.String(), want) {
			t.Errorf("help doesn't say %q", want)
		}
	}
	for _, line := range strings.Split(help.stdout.String(), "\n") {
		if len(line) > 100 {
			t.Errorf("help has a line of %d columns: %s", len(line), line)
		}
	}
	for _, args := range [][]string{{"help"}, {"-h"}, {"serve", "--help"}, {"import", "--help"}} {
		if again := run(t, nil, args...); again.exitCode(t) != 0 || again.stdout.String() != help.stdout.String() {
			t.Errorf("%q doesn't print the help", args)
		}
	}

	sdl := run(t, nil, "schema")
	printed, err := gqlparser.LoadSchema(&gql.Source{Name: "stoa schema", Input: sdl.stdout.String()})
	if err != nil {
		t.Fatalf("the schema that is printed can't be read: %v", err)
	}
	canonical := func(s *gql.Schema) string {
		var b strings.Builder
		formatter.NewFormatter(&b).FormatSchema(s)
		return b.String()
	}
	if sdl.exitCode(t) != 0 || canonical(printed) != canonical(stoatest.Schema(t)) {
		t.Error("the schema that is printed isn't the one in schema.graphqls")
	}
}

func TestServeListensWherePlatformsSay(t *testing.T) {
	t.Parallel()
	for range 5 { // somebody else may take the port that was free
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		l.Close()
		p := launch(t, environ{"STOA_DATA": t.TempDir(), "STOA_DEMO": "off", "PORT": port})
		stoatest.Await(t, 30*time.Second, "the server", func() bool {
			select {
			case <-p.ended:
				return true
			default:
				return readyLine.MatchString(p.stderr.String())
			}
		})
		if strings.Contains(p.stderr.String(), "address already in use") {
			continue
		}
		p.awaitReady(t)
		if !strings.HasSuffix(p.URL, ":"+port) {
			t.Errorf("PORT=%s, and it listens at %s", port, p.URL)
		}
		if status, _ := p.get(t, "/healthz", ""); status != http.StatusOK {
			t.Errorf("/healthz answers %d", status)
		}
		return
	}
	t.Fatal("no port was free")
}

func TestProductionShowsNothingOfTheInside(t *testing.T) {
	t.Parallel()
	p := serve(t, environ{"STOA_DATA": t.TempDir(), "STOA_ENV": "production", "STOA_DEMO": "on"})
	if titles := p.titles(t); len(titles) != 0 {
		t.Errorf("the demo is in a production database: %q", titles)
	}
	if _, body := p.get(t, "/", "text/html"); strings.Contains(body, "<") {
		t.Errorf("to a browser / answers %.200q", body)
	}
	if status, _ := p.get(t, "/playground/", "text/html"); status != http.StatusNotFound {
		t.Errorf("/playground/ answers %d", status)
	}
	for _, query := range []string{`{ __schema { types { name } } }`, `{ __type(name: "Article") { name } }`} {
		if a := p.Query(t, query, nil); len(a.Errors) == 0 || strings.Contains(string(a.Data), "name") {
			t.Errorf("%s is answered %s", query, a.Raw)
		}
	}
	if a := p.Query(t, `{ artcles { nodes { id } } }`, nil); len(a.Errors) == 0 || strings.Contains(string(a.Raw), "articles") {
		t.Errorf("an error suggests a name out of the schema: %s", a.Raw)
	}
	if a := p.Query(t, `{ __typename }`, nil); len(a.Errors) != 0 {
		t.Errorf("__typename is refused: %s", a.Raw)
	}
	p.stop(t)
	for line := range strings.Lines(p.stderr.String()) {
		var record struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Level == "" || record.Msg == "" {
			t.Errorf("%q is no JSON log record: %v", line, err)
		}
	}
}

// slowRequest is a request with headers that the server has read; the server waits for the
// body.
type slowRequest struct {
	conn net.Conn
	in   *bufio.Reader
	rest string
}

const slowBody = `{"query": "{ articles(first: 1) { nodes { title } } }"}`

func (p *process) dial() (net.Conn, error) {
	at, err := url.Parse(p.URL)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return dialer.Dial("tcp", at.Host)
}

// begin sends the first half of a request.
func (p *process) begin(t *testing.T) *slowRequest {
	t.Helper()
	conn, err := p.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	r := &slowRequest{conn: conn, in: bufio.NewReader(conn), rest: slowBody[20:]}
	fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(slowBody))
	if line, err := r.in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the server doesn't ask for the body: %q, %v", line, err)
	}
	if _, err := r.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, slowBody[:20])
	return r
}

// finish sends the second half and returns status and body of the answer.
func (r *slowRequest) finish() (int, string, error) {
	if _, err := fmt.Fprint(r.conn, r.rest); err != nil {
		return 0, "", err
	}
	response, err := http.ReadResponse(r.in, nil)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func TestSIGTERMLosesNoRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := serve(t, environ{"STOA_DATA": dir, "STOA_DEMO": "on"})
	before := p.titles(t)
	var slow []*slowRequest
	for range 12 {
		slow = append(slow, p.begin(t))
	}
	probe, err := p.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	_ = probe.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprint(probe, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n")

	// Others come and go meanwhile, each on a connection of its own.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	var crowd sync.WaitGroup
	answered, failures := make([]atomic.Int64, 6), make([]error, 6)
	for i := range answered {
		crowd.Go(func() {
			for {
				response, err := client.Post(p.URL+"/graphql", "application/json", strings.NewReader(slowBody))
				if err != nil {
					if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
						failures[i] = err
					}
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), before[0]) {
					failures[i] = fmt.Errorf("%d %q, %w", response.StatusCode, body, err)
					return
				}
				answered[i].Add(1)
			}
		})
	}
	stoatest.Await(t, 20*time.Second, "each of the crowd to be answered twice", func() bool {
		for i := range answered {
			if answered[i].Load() < 2 {
				return false
			}
		}
		return true
	})

	p.signal(t, syscall.SIGTERM)
	stoatest.Await(t, 20*time.Second, "new connections to be refused", func() bool {
		conn, err := p.dial()
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	crowd.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Errorf("requests of the crowd were lost: %v", err)
	}
	total := int64(0)
	for i := range answered {
		total += answered[i].Load()
	}
	t.Logf("%d requests of the crowd were answered", total)
	fmt.Fprint(probe, "\r\n")
	if response, err := http.ReadResponse(bufio.NewReader(probe), nil); err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while it drains, /readyz answers %v, %v", response, err)
	}
	for _, r := range slow {
		if status, body, err := r.finish(); err != nil || status != http.StatusOK || !strings.Contains(body, before[0]) {
			t.Errorf("a request in flight was answered %d %q, %v", status, body, err)
		}
	}
	if code := p.exitCode(t); code != 0 || !strings.Contains(p.stderr.String(), "msg=stopped") {
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}

	again := serve(t, environ{"STOA_DATA": dir})
	if after := again.titles(t); !slices.Equal(before, after) {
		t.Errorf("after it there is %q, before it was %q", after, before)
	}
}

func TestASecondSIGTERMEndsAtOnceAndLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := serve(t, environ{"STOA_DATA": dir, "STOA_DEMO": "on"})
	before := p.titles(t)
	p.begin(t)
	p.signal(t, syscall.SIGTERM)
	stoatest.Await(t, 20*time.Second, "the drain", func() bool { return strings.Contains(p.stderr.String(), "stopping") })
	select {
	case <-p.ended:
		t.Fatal("it ended while a request was in flight")
	default:
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.exitCode(t); code == 0 {
		t.Error("the exit code is 0, though a request was cut off")
	}
	again := serve(t, environ{"STOA_DATA": dir})
	if after := again.titles(t); !slices.Equal(before, after) {
		t.Errorf("after it there is %q, before it was %q", after, before)
	}
}

func TestSIGTERMEndsAStartThatWaits(t *testing.T) {
	t.Parallel()
	p := launch(t, environ{"STOA_LISTEN": "127.0.0.1:0", "STOA_MONGODB_URI": "mongodb://" + closedPort(t) + "/"})
	stoatest.Await(t, 20*time.Second, "the server to say what it waits for", func() bool { return strings.Contains(p.stderr.String(), "waiting for the database") })
	p.signal(t, syscall.SIGTERM)
	began := time.Now()
	p.exitCode(t)
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("it ended %s after SIGTERM", took)
	}
}

// closedPort is an address without a listener.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestKilledServersLoseNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := serve(t, environ{"STOA_DATA": dir, "STOA_DEMO": "on"})
	before := p.titles(t)
	for range 2 {
		p.kill(t)
		p = serve(t, environ{"STOA_DATA": dir, "STOA_DEMO": "on"})
		if after := p.titles(t); !slices.Equal(before, after) {
			t.Fatalf("after it there is %q, before it was %q", after, before)
		}
	}
	if log := p.stderr.String(); strings.Contains(log, "demo") {
		t.Errorf("the demo was filled in again: %s", log)
	}
}

func TestADemoThatWasInterruptedIsFilledAgain(t *testing.T) {
	t.Parallel()
	if _, err := build(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p := serve(t, environ{"STOA_DATA": t.TempDir(), "STOA_DEMO": "on"})
	took := time.Since(began)
	want := readEverything(t, p.Stoa)
	p.stop(t)
	rounds, interrupted := 6, 0
	if testing.Short() {
		rounds = 2
	}
	for i := range rounds {
		env := environ{"STOA_DATA": t.TempDir(), "STOA_DEMO": "on", "STOA_LISTEN": "127.0.0.1:0"}
		first := launch(t, env)
		select {
		case <-first.ended:
			t.Fatalf("it ended: %s", first.stderr)
		case <-time.After(took/4 + rand.N(took/2)):
		}
		if i%2 == 0 {
			first.kill(t)
		} else {
			first.signal(t, syscall.SIGTERM)
			first.exitCode(t)
		}
		if !readyLine.MatchString(first.stderr.String()) {
			interrupted++
		}
		again := serve(t, env)
		if diff := cmp.Diff(want, readEverything(t, again.Stoa)); diff != "" {
			t.Errorf("in the end it isn't the demo: %s", diff)
		}
		again.stop(t)
	}
	t.Logf("%d of %d starts were interrupted before they were ready", interrupted, rounds)
}
