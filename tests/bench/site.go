package main

// The benchmark of a site under load, from the first moment after a cold start. Entry points:
// siteFlags, benchSite.

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"stoa/store/embedded"
	"stoa/tests/redistest"
)

// siteOptions say how large the site is and how it is loaded.
type siteOptions struct {
	posts   int
	mix     string
	rate    float64       // requests a second
	lasts   time.Duration // duration of the load
	write   time.Duration // between two writes: publications and comments in turn
	rest    time.Duration // between the last answer and the second reading of memory
	program program
	data    string // folder of the site; "" for a temporary one
	split   bool   // the database in another process, with Redis
}

var usualSite = siteOptions{posts: 2000, mix: "full", rate: 40, lasts: 30 * time.Second, write: 3 * time.Second, rest: 10 * time.Second}

// unknownSlugs is how many unknown slugs are requested at once.
const unknownSlugs = 200

// siteFlags parses the arguments after `site`.
func siteFlags(args []string) (siteOptions, error) {
	o := usualSite
	flags := flag.NewFlagSet("site", flag.ExitOnError)
	flags.IntVar(&o.posts, "posts", o.posts, "number of posts")
	flags.StringVar(&o.mix, "mix", o.mix, "full, or lookups: slugs, ids and pages of lists only")
	flags.Float64Var(&o.rate, "rate", o.rate, "requests a second")
	flags.DurationVar(&o.lasts, "for", o.lasts, "duration of the load")
	flags.DurationVar(&o.write, "write", o.write, "time between two writes, publications and comments in turn")
	flags.DurationVar(&o.rest, "rest", o.rest, "time after the load until memory is read again")
	flags.StringVar((*string)(&o.program), "server", "", "path of the Stoa to measure (default this checkout)")
	flags.StringVar(&o.data, "data", "", "folder of the site, generated if it is missing and kept for later runs (default temporary)")
	flags.BoolVar(&o.split, "split", false, "run the database in another process, and Redis")
	_ = flags.Parse(args) // exits
	if flags.NArg() > 0 || o.mix != "full" && o.mix != "lookups" || o.posts < 20 || o.rate <= 0 {
		return o, errors.New("use: site with --posts of 20 or more, a --mix of full or lookups, and a --rate above 0; see --help")
	}
	return o, nil
}

// benchSite generates a site if there is none, starts a server on a copy of its data folder,
// loads it, and prints the latencies and failures of each kind of page and the CPU time and
// memory of the server.
func benchSite(ctx context.Context, o siteOptions, out io.Writer) error {
	began := time.Now()
	c, data, remove, err := copySite(ctx, o)
	if err != nil {
		return err
	}
	defer remove()
	fmt.Fprintf(out, "%d posts, ready in %s; mix %s, %g requests a second for %s; %s/%s, %d cores, %s\n\n",
		o.posts, time.Since(began).Round(time.Second), o.mix, o.rate, o.lasts, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().Format(time.DateOnly))
	m := measurement{o: o}
	settings := siteSettings(data)
	if o.split {
		database, stop, err := openDatabase(ctx, o.program, settings)
		if err != nil {
			return err
		}
		defer stop()
		m.processes = append(m.processes, database)
		redis, err := redistest.Open()
		if err != nil {
			return err
		}
		defer redis.Stop()
		settings["STOA_REDIS_URL"] = redis.URL()
	}
	s, err := o.program.start(ctx, settings)
	if err != nil {
		return err
	}
	defer s.stop()
	m.processes = append(m.processes, &measured{name: "server", pid: s.cmd.Process.Pid, readyIn: s.readyIn})
	m.visitors = newVisitors(c, s.url)
	if err := m.take(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, s.log)
	}
	return m.print(out)
}

// copySite returns the content of a site and a copy of its data folder, until remove is called. It
// generates the site if there is none.
func copySite(ctx context.Context, o siteOptions) (c *content, data string, remove func(), err error) {
	temp, err := os.MkdirTemp("", "stoa-bench-")
	if err != nil {
		return nil, "", nil, err
	}
	remove = func() { os.RemoveAll(temp) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	kept := cmp.Or(o.data, filepath.Join(temp, "site"))
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return nil, "", nil, err
	}
	if c, err = prepare(ctx, o.program, kept, o.posts); err != nil {
		return nil, "", nil, err
	}
	data = filepath.Join(temp, "data")
	return c, data, remove, os.CopyFS(data, os.DirFS(filepath.Join(kept, dataFolder)))
}

// openDatabase starts a process that holds the data folder, and points settings to it. The
// process is the embedded database alone, or an idle server if p is another program.
func openDatabase(ctx context.Context, p program, settings map[string]string) (*measured, func(), error) {
	m := &measured{name: "database"}
	var stop func()
	began, data := time.Now(), settings["STOA_DATA"]
	if p == "" {
		alone, err := start(ctx, "", "database", "", settings)
		if err != nil {
			return nil, nil, err
		}
		m.pid, m.role, stop = alone.cmd.Process.Pid, alone, alone.stop
	} else {
		whole, err := p.start(ctx, settings)
		if err != nil {
			return nil, nil, err
		}
		m.pid, stop = whole.cmd.Process.Pid, whole.stop
	}
	m.readyIn = time.Since(began)
	uri, running, err := embedded.Find(data)
	if err != nil || !running {
		stop()
		return nil, nil, fmt.Errorf("find the server of the data folder: %t, %w", running, err)
	}
	settings["STOA_MONGODB_URI"], settings["STOA_DATA"] = uri, data+"-of-the-server"
	return m, stop, nil
}

// measured is a process and its usage at four moments.
type measured struct {
	name                         string
	pid                          int
	role                         *process // nil for another program
	readyIn                      time.Duration
	ready, loaded, rested, final processUsage
}

// measurement is one run.
type measurement struct {
	o         siteOptions
	processes []*measured
	visitors  *visitors
}

// look reads the usage of every process.
func (m *measurement) look(ctx context.Context, stage func(*measured) *processUsage) error {
	var err error
	for _, p := range m.processes {
		u := stage(p)
		if *u, err = readUsage(p.pid); err != nil {
			return err
		}
		if p.role != nil {
			own, err := p.role.usage(ctx)
			if err != nil {
				return err
			}
			u.Examined = own.Examined
		}
	}
	return nil
}

func (m *measurement) take(ctx context.Context) error {
	if err := m.look(ctx, func(p *measured) *processUsage { return &p.ready }); err != nil {
		return err
	}
	if err := m.visitors.run(ctx, m.o); err != nil {
		return err
	}
	if err := m.look(ctx, func(p *measured) *processUsage { return &p.loaded }); err != nil {
		return err
	}
	m.visitors.client.CloseIdleConnections()
	select {
	case <-time.After(m.o.rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := m.look(ctx, func(p *measured) *processUsage { return &p.rested }); err != nil {
		return err
	}
	m.visitors.requestUnknown(ctx, unknownSlugs)
	return m.look(ctx, func(p *measured) *processUsage { return &p.final })
}

func (m *measurement) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "page\trequests\tfailed\tp50\tp99\tmax\tfailures")
	total := visits{failures: map[string]int{}}
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	for _, name := range append(names, commentKind, publicationKind) {
		of := m.visitors.visits[name]
		if of == nil {
			continue
		}
		of.print(w, name)
		total.took = append(total.took, of.took...)
		for why, n := range of.failures {
			total.failures[why] += n
		}
	}
	total.print(w, "all")
	if of := m.visitors.visits[atOnce]; of != nil {
		of.print(w, atOnce)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "process\tstart\tCPU of start\tCPU of load\tCPU per unknown slug\tpeak memory\tmemory after rest\tdocuments examined")
	for _, p := range m.processes {
		examined := "–" // only the database alone tells
		if p.role != nil {
			examined = fmt.Sprint(p.loaded.Examined - p.ready.Examined)
		}
		fmt.Fprintf(w, "%s\t%.2f s\t%.2f s\t%.2f s\t%.2f ms\t%d MiB\t%d MiB\t%s\n", p.name, p.readyIn.Seconds(), p.ready.CPU.Seconds(), (p.loaded.CPU - p.ready.CPU).Seconds(),
			(p.final.CPU-p.rested.CPU).Seconds()*1000/unknownSlugs, p.loaded.PeakRSS>>20, p.rested.RSS>>20, examined)
	}
	return w.Flush()
}

func (v *visits) print(w io.Writer, name string) {
	failed := 0
	var why []string
	for reason, n := range v.failures {
		failed += n
		why = append(why, fmt.Sprintf("%d: %s", n, reason))
	}
	slices.Sort(why)
	of := summary(v.took, 0)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	fmt.Fprintf(w, "%s\t%d\t%d\t%.1f ms\t%.1f ms\t%.1f ms\t%s\n", name, len(v.took), failed, ms(of.P50), ms(of.P99), ms(slices.Max(v.took)), strings.Join(why, "; "))
}
