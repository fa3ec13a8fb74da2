package main

// The measured processes: starting, controlling and stopping them. Entry points: play in a
// process, start and tell in their master.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"stoa/app"
	"stoa/blog"
	"stoa/store/embedded"
	"stoa/tests/stoatest"
)

// roleVariable makes this program one of the processes instead of their master.
const roleVariable = "STOA_BENCH_ROLE"

// started is the line that a process writes when it is ready.
type started struct{ URL, Control string }

// usage is a process's use of resources since its start.
type usage struct {
	CPU      time.Duration // of user and system
	RSS      int64         // bytes, now
	Commands int64         // to the database
	Examined int64         // documents that the database has read
	Allocs   uint64        // objects on the heap; 0 from versions that don't tell
}

// play is a process: it ends when its standard input does, and so with its master.
func play(role string) error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	switch role {
	case "plain":
		return playPlain(ctx)
	case "stoa":
		return playStoa(ctx)
	case "database":
		return playDatabase(ctx)
	case "program":
		context.AfterFunc(ctx, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) })
		os.Exit(app.Main(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
	}
	return fmt.Errorf("there is no such role")
}

// playPlain reads each request and writes the body that was PUT to its path.
func playPlain(ctx context.Context) error {
	var mu sync.RWMutex
	answers := map[string][]byte{}
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.RLock()
		body := answers[r.URL.Path]
		mu.RUnlock()
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: plain}
	defer server.Close()
	go server.Serve(l)
	return control(ctx, "http://"+l.Addr().String(), func(*usage) {}, func(mux *http.ServeMux) {
		mux.HandleFunc("PUT /answers/{page}", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers["/"+r.PathValue("page")] = body
		})
	})
}

// playDatabase serves a folder by the MongoDB protocol.
func playDatabase(ctx context.Context) error {
	dir := os.Getenv("STOA_DATA")
	server, err := embedded.Open(ctx, embedded.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer server.Close(context.Background())
	uri, ok, err := embedded.Find(dir)
	if err != nil || !ok {
		return fmt.Errorf("found %t: %w", ok, err)
	}
	return control(ctx, uri, func(u *usage) { u.Examined = server.Examined() }, func(*http.ServeMux) {})
}

// playStoa is one replica, by the same app.Open and Serve as the program itself.
func playStoa(ctx context.Context) error {
	c, _, err := app.Configure(os.Args[1:], os.LookupEnv)
	if err != nil {
		return err
	}
	var commands atomic.Int64
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := app.Open(ctx, c, log, func(string) { commands.Add(1) })
	if err != nil {
		return err
	}
	defer a.Close(context.Background())
	if n, err := strconv.Atoi(os.Getenv("STOA_BENCH_FILL")); err == nil {
		if err := fill(ctx, a, n); err != nil {
			return err
		}
	}
	if err := a.Search.Update(ctx); err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx, l) }()
	err = control(ctx, "http://"+l.Addr().String(), func(u *usage) { u.Commands = commands.Load() }, func(mux *http.ServeMux) {
		mux.HandleFunc("POST /flush", func(http.ResponseWriter, *http.Request) { a.Store.Flush() })
		mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
			if err := publish(r.Context(), a, r.URL.Query().Get("slug")); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	})
	return errors.Join(err, <-served)
}

// fill stores n articles, the newest hundred with twenty comments each.
func fill(ctx context.Context, a *app.App, n int) error {
	importing, err := a.Blog.BeginImport(ctx, false)
	if err != nil {
		return err
	}
	outcomes, err := importing.Add(ctx, stoatest.Articles(n))
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		if o.Err != nil {
			return fmt.Errorf("import %s: %w", o.Source, o.Err)
		}
	}
	at := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	var thread []blog.ImportComment
	for i := range 20 {
		thread = append(thread, blog.ImportComment{Name: fmt.Sprint("Reader ", i), Markdown: "A comment of *some* length, as readers write them.", At: at.Add(time.Duration(i) * time.Minute)})
	}
	for i := range min(n, 100) {
		if err := importing.Comments(ctx, fmt.Sprintf("article-%d", i), thread); err != nil {
			return err
		}
	}
	return importing.Finish(ctx)
}

// control serves the master's control requests for the process at a URL, until ctx ends.
func control(ctx context.Context, at string, count func(*usage), more func(*http.ServeMux)) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /usage", func(w http.ResponseWriter, _ *http.Request) {
		u := usage{CPU: cpu(), RSS: rss(), Allocs: allocs()}
		count(&u)
		_ = json.NewEncoder(w).Encode(u)
	})
	mux.HandleFunc("POST /collect", func(http.ResponseWriter, *http.Request) { debug.FreeOSMemory() })
	mux.HandleFunc("POST /profile/start", func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Create(r.URL.Query().Get("to"))
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /profile/stop", func(http.ResponseWriter, *http.Request) { pprof.StopCPUProfile() })
	more(mux)
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux}
	defer server.Close()
	go server.Serve(own)
	if err := say(started{at, "http://" + own.Addr().String()}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func say(s started) error { return json.NewEncoder(os.Stdout).Encode(s) }

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func allocs() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// rss is the resident memory from Linux; elsewhere the runtime's memory.
func rss() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// process is one of them, as its master sees it.
type process struct {
	started
	cmd   *exec.Cmd
	stdin io.Closer
	dir   string // removed with it; "" for none
}

// start starts a role of a benchmark program, "" for this one. settings are added to PATH and
// similar variables; the process has the core unless that is "". It returns when the process
// is ready.
func start(ctx context.Context, program, role, core string, settings map[string]string) (*process, error) {
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		program = self
	}
	line := []string{program}
	if core != "" {
		line = append([]string{"taskset", "-c", core}, line...)
	}
	p := &process{cmd: exec.CommandContext(ctx, line[0], line[1:]...)}
	var log bytes.Buffer
	p.cmd.Stderr = &log
	p.cmd.Env = append(baseEnvironment(), roleVariable+"="+role)
	for name, value := range settings {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	text, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(text, &p.started)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w\n%s", role, err, log.Bytes())
	}
	return p, nil
}

// baseEnvironment is the part of this process's environment that every process inherits.
func baseEnvironment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOGC", "GOMEMLIMIT"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// stop asks a process to end, and kills it if it doesn't.
func (p *process) stop() {
	p.stdin.Close()
	late := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	_ = p.cmd.Wait()
}

// tell sends a request to a path of a process's control.
func (p *process) tell(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, p.Control+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	return text, err
}

func (p *process) usage(ctx context.Context) (u usage, err error) {
	text, err := p.tell(ctx, http.MethodGet, "/usage", nil)
	if err == nil {
		err = json.Unmarshal(text, &u)
	}
	return u, err
}

func (p *process) profile(ctx context.Context, to string) error {
	_, err := p.tell(ctx, http.MethodPost, "/profile/start?to="+url.QueryEscape(to), nil)
	return err
}
