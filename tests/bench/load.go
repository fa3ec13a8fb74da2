package main

// Load: requests over connections that stay open, as many as are answered in a time.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// load is what became of many of them.
type load struct {
	Requests int
	Took     time.Duration
	P50, P99 time.Duration
}

// generator makes load on a core of its own, where core isn't "".
type generator struct {
	wrk  string // its path; "" for our own
	core string
	dir  string // for scripts
}

// times runs a for as long as each says, over some connections. Every answer has to have
// the status that is wanted.
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

// marked is what a script's own output begins with.
const marked = "figures: "

// lua is a as a script of wrk's. It looks at the status of no single answer, which would
// cost the generator more than asking does: wrk itself counts those above 399.
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

// ownLoad is times without wrk.
func ownLoad(ctx context.Context, a ask, each time.Duration, connections, want int) (load, error) {
	client := newClient(connections)
	defer client.CloseIdleConnections()
	began := time.Now()
	limited, cancel := context.WithDeadline(ctx, began.Add(each+10*time.Second))
	defer cancel()
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			var took []time.Duration
			var err error
			for err == nil && time.Since(began) < each {
				start := time.Now()
				if _, err = send(limited, client, a, want); err == nil {
					took = append(took, time.Since(start))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, took...), append(errs, err)
		})
	}
	running.Wait()
	return summary(all, time.Since(began)), errors.Join(errs...)
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

// answer is what came back.
type answer struct {
	body   []byte
	header http.Header
}

// send asks once.
func send(ctx context.Context, client *http.Client, a ask, want int) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, a.method, a.url, bytes.NewReader(a.body))
	if err != nil {
		return answer{}, err
	}
	for name, value := range a.header {
		request.Header.Set(name, value)
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
