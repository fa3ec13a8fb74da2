package main

// Stoa's executable file: its sub-commands, its server as a process, and the CPU time and
// memory of a process. Entry points: program.run, program.start, readUsage.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// program is the path of an executable file of Stoa; "" is the Stoa of this checkout,
// contained in this program.
type program string

// siteSettings returns the settings of every server of a site. Rate limits stay as they are:
// each visitor has an address of its own, given by X-Forwarded-For.
func siteSettings(data string) map[string]string {
	return map[string]string{
		"STOA_LISTEN": "127.0.0.1:0", "STOA_DEMO": "off", "STOA_DATA": data, "STOA_PROXIES": "127.0.0.0/8",
		"STOA_SESSION_IDLE": "8760h", "STOA_SESSION_MAX": "8760h", // --data keeps a site and its sessions for later runs
	}
}

// command returns a command that gets SIGTERM when ctx ends.
func (p program) command(ctx context.Context, settings map[string]string, args ...string) (*exec.Cmd, error) {
	path := string(p)
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		path = self
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 20 * time.Second
	c.Env = baseEnvironment()
	if p == "" {
		if _, err := c.StdinPipe(); err != nil { // the role ends when this pipe closes, so it never outlives this process
			return nil, err
		}
		c.Env = append(c.Env, roleVariable+"=program")
	}
	for name, value := range settings {
		c.Env = append(c.Env, name+"="+value)
	}
	return c, nil
}

// run runs a sub-command and returns its standard output.
func (p program) run(ctx context.Context, settings map[string]string, args ...string) (string, error) {
	c, err := p.command(ctx, settings, args...)
	if err != nil {
		return "", err
	}
	var out, log bytes.Buffer
	c.Stdout, c.Stderr = &out, &log
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s\n%s", strings.Join(args, " "), err, &out, &log)
	}
	return out.String(), nil
}

// server is a running server.
type server struct {
	cmd      *exec.Cmd
	url      string
	readyIn  time.Duration
	log      *logTail
	finished chan struct{} // closed when its standard error ends
}

// readyLine matches the log line of a server that accepts requests.
var readyLine = regexp.MustCompile(`msg=ready .*url=http://localhost:(\d+)/`)

// start starts a server and returns when it is ready.
func (p program) start(ctx context.Context, settings map[string]string) (*server, error) {
	c, err := p.command(ctx, settings)
	if err != nil {
		return nil, err
	}
	s := &server{cmd: c, log: &logTail{}, finished: make(chan struct{})}
	log, err := c.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go func() {
		defer close(s.finished)
		lines := bufio.NewReader(log)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			s.log.add(line)
			if port := readyLine.FindStringSubmatch(line); port != nil {
				ready <- port[1]
			}
		}
	}()
	select {
	case port := <-ready:
		s.url, s.readyIn = "http://127.0.0.1:"+port, time.Since(began)
		return s, nil
	case <-s.finished:
	case <-time.After(startLimit):
	}
	s.stop()
	return nil, fmt.Errorf("the server is not ready after %s:\n%s", time.Since(began).Round(time.Second), s.log)
}

// startLimit leaves time to convert the data folder of an earlier version.
const startLimit = 5 * time.Minute

// stop shuts the server down, and kills it after 30 seconds.
func (s *server) stop() {
	http.DefaultClient.CloseIdleConnections() // the shutdown waits for open connections
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	<-s.finished
	_ = s.cmd.Wait()
}

// ask sends a query and decodes the data of the answer.
func (s *server) ask(ctx context.Context, query string, variables map[string]any, data any) error {
	found, err := send(ctx, http.DefaultClient, post(s.url+"/graphql", query, variables), http.StatusOK)
	if err != nil {
		return err
	}
	return decode(found.body, data)
}

// logTail holds the last lines of a log.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

func (l *logTail) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines[max(0, len(l.lines)-20):], line)
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// processUsage is the usage of a process, read from Linux's /proc.
type processUsage struct {
	CPU          time.Duration // user and system, since its start
	RSS, PeakRSS int64         // resident memory in bytes
	Examined     int64         // documents; for a process with the database alone
}

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every Linux that Go supports.
const tick = 10 * time.Millisecond

func readUsage(pid int) (u processUsage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the first is the third field of the file
	if len(fields) < 13 {
		return u, fmt.Errorf("%s/stat is %q", dir, stat)
	}
	for _, ticks := range fields[11:13] {
		n, err := strconv.ParseInt(ticks, 10, 64)
		if err != nil {
			return u, err
		}
		u.CPU += time.Duration(n) * tick
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kB); n == 1 {
			u.PeakRSS = kB << 10
		}
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kB); n == 1 {
			u.RSS = kB << 10
		}
	}
	return u, nil
}

// decode decodes the data of an answer without errors.
func decode(body []byte, data any) error {
	var got struct{ Data, Errors json.RawMessage }
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if len(got.Errors) > 0 {
		return fmt.Errorf("%s", got.Errors)
	}
	if data == nil {
		return nil
	}
	return json.Unmarshal(got.Data, data)
}
