package main

// Load: requests over connections that stay open, as many as are answered in a time.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ask is a request.
type ask struct {
	url    string
	method string
	body   []byte
	header map[string]string
}

// load is the result of many requests.
type load struct {
	Requests int
	Took     time.Duration
	P50, P99 time.Duration
}

// generator generates load, on a core of its own unless core is "".
type generator struct {
	wrk  string // its path; "" for our own
	core string
	dir  string // for scripts
}

// times sends a for the duration each over some connections. Every response must have the
// wanted status.
func (g generator) times(ctx context.Context, a ask, each time.Duration, connections, want int) (load, error) {
	if g.wrk == "" {
		return ownLoad(ctx, a, each, connections, want)
	}
	script := filepath.Join(g.dir, "ask.lua")
	if err := os.WriteFile(script, []byte(lua(a, want)), 0o600); err != nil {
		return load{}, err
	}
	line := []string{g.wrk, "-t1", "-c" + strconv.Itoa(connections), "-d" + strconv.Itoa(max(1, int(each.Round(time.Second)/time.Second))) + "s", "-s", script, a.url}
	if g.core != "" {
		line = append([]string{"taskset", "-c", g.core}, line...)
	}
	out, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	_, said, _ := bytes.Cut(out, []byte(marked))
	var r struct{ Requests, Microseconds, P50, P99, Failed int }
	if err := json.Unmarshal(said, &r); err != nil {
		return load{}, fmt.Errorf("wrk said %q: %w", out, err)
	}
	if r.Failed > 0 || r.Requests == 0 {
		return load{}, fmt.Errorf("%s: %d of %d answers weren't the %d that is wanted", a.url, r.Failed, r.Requests, want)
	}
	return load{r.Requests, time.Duration(r.Microseconds) * time.Microsecond, time.Duration(r.P50) * time.Microsecond, time.Duration(r.P99) * time.Microsecond}, nil
}

// marked is the beginning of a script's own output.
const marked = "figures: "

// lua returns a as a script for wrk. It doesn't check the status of each response, since that
// would cost the generator more than sending: wrk itself counts those above 399.
func lua(a ask, want int) string {
	quote := func(s string) string { return "[==[" + s + "]==]" }
	var b strings.Builder
	fmt.Fprintf(&b, "wrk.method = %q\n", a.method)
	if a.body != nil {
		fmt.Fprintf(&b, "wrk.body = %s\n", quote(string(a.body)))
	}
	for name, value := range a.header {
		fmt.Fprintf(&b, "wrk.headers[%q] = %s\n", name, quote(value))
	}
	b.WriteString(`done = function(summary, latency, requests)
	local e = summary.errors
	io.write(string.format('` + marked + `{"Requests":%d,"Microseconds":%d,"P50":%d,"P99":%d,"Failed":%d}', summary.requests, summary.duration,
		latency:percentile(50), latency:percentile(99), e.status + e.connect + e.read + e.write + e.timeout))
end
`)
	return b.String()
}

// ownLoad is times without wrk. It writes the same bytes again and again and looks at nothing of
// a response but its status and length: the HTTP client of net/http takes more of a processor for
// a request than the server does.
func ownLoad(ctx context.Context, a ask, each time.Duration, connections, want int) (load, error) {
	request, err := a.request(ctx)
	if err != nil {
		return load{}, err
	}
	var text bytes.Buffer
	if err := request.Write(&text); err != nil {
		return load{}, err
	}
	began := time.Now()
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			took, err := repeat(ctx, request.URL.Host, text.Bytes(), began.Add(each), want)
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, took...), append(errs, err)
		})
	}
	running.Wait()
	return summary(all, time.Since(began)), errors.Join(errs...)
}

// repeat sends a request over one connection until a time, and returns how long each response took.
func repeat(ctx context.Context, host string, request []byte, until time.Time, want int) ([]time.Duration, error) {
	var d net.Dialer
	connection, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(connection, 64<<10)
	var took []time.Duration
	for start := time.Now(); start.Before(until) && ctx.Err() == nil; {
		if _, err := connection.Write(request); err != nil {
			return took, err
		}
		status, err := skipResponse(in)
		if err == nil && status != want {
			err = fmt.Errorf("%s: a response has status %d, not %d", host, status, want)
		}
		if err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(start))
		start = now
	}
	return took, ctx.Err()
}

// skipResponse reads a response that says its length, and returns its status.
func skipResponse(in *bufio.Reader) (status int, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("a response begins with %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length := 0
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		const name = "Content-Length: "
		switch {
		case len(line) <= len("\r\n"):
			_, err = in.Discard(length)
			return status, err
		case len(line) > len(name) && string(line[:len(name)]) == name:
			if length, err = strconv.Atoi(strings.TrimSpace(string(line[len(name):]))); err != nil {
				return 0, err
			}
		case strings.HasPrefix(string(line), "Transfer-Encoding"):
			return 0, errors.New("a response doesn't say its length")
		}
	}
}

func newClient(connections int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}
}

func summary(all []time.Duration, took time.Duration) load {
	if len(all) == 0 {
		return load{Took: took}
	}
	slices.Sort(all)
	return load{len(all), took, all[len(all)/2], all[len(all)*99/100]}
}

// answer is a response.
type answer struct {
	body   []byte
	header http.Header
}

// request returns a as net/http has it.
func (a ask) request(ctx context.Context) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, a.method, a.url, bytes.NewReader(a.body))
	if err != nil {
		return nil, err
	}
	for name, value := range a.header {
		request.Header.Set(name, value)
	}
	return request, nil
}

// send asks once.
func send(ctx context.Context, client *http.Client, a ask, want int) (answer, error) {
	request, err := a.request(ctx)
	if err != nil {
		return answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %.300s", a.method, a.url, response.Status, body)
	}
	return answer{body, response.Header}, err
}
