package main

// The comparison of two revisions of Stoa, asked in turn. Entry points: compareFlags, compare.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// compareOptions holds the programs to compare, and the duration.
type compareOptions struct {
	options
	old, new string // benchmark programs; new is "" for this one
	way      string // "" for all
}

// compared are the ways to compare: the others depend on the speed of a database.
var compared = []string{"cached response", "304", "entities", "signed in"}

// usualComparison has rounds enough for a median that one busy second doesn't move. A round is
// short, so that all three programs meet the same load of the machine.
var usualComparison = compareOptions{options: options{articles: 300, rounds: 21, each: 200 * time.Millisecond, connections: 16, ownLoad: true}}

// compareFlags parses the arguments after `compare`.
func compareFlags(args []string) (compareOptions, error) {
	o := usualComparison
	flags := flag.NewFlagSet("compare", flag.ExitOnError)
	flags.StringVar(&o.old, "old", "", "path of the benchmark program of the older revision: its `go build -o PATH ./tests/bench`")
	flags.StringVar(&o.new, "new", "", "path of the newer one (default this checkout)")
	flags.IntVar(&o.rounds, "rounds", o.rounds, "how often each is measured; the median counts")
	flags.DurationVar(&o.each, "each", o.each, "how long each measurement lasts")
	flags.StringVar(&o.only, "only", "", "one page: home, article, authors or field")
	flags.StringVar(&o.way, "way", "", "one way: cached response, 304, entities or signed in")
	_ = flags.Parse(args) // exits
	if flags.NArg() > 0 || o.old == "" || o.rounds < 1 {
		return o, errors.New("use: compare with --old PATH; see --help")
	}
	return o, nil
}

// compare starts the old program twice and the new one once, each with its own database, Redis
// and content, asks them in turn, and prints the ratios of new to old and of old to old. The
// latter show the noise of the machine: without noise they are 1.
func compare(ctx context.Context, o compareOptions, out io.Writer) error {
	var sites []*site
	defer func() {
		for _, s := range sites {
			s.close()
		}
	}()
	for _, program := range []string{o.old, o.new, o.old} {
		o := o.options
		o.program = program
		s, err := open(ctx, o)
		if err != nil {
			return fmt.Errorf("start %s: %w", program, err)
		}
		sites = append(sites, s)
	}
	if core := sites[0].load.core; core != "" { // the load comes from this process
		if err := pin(core); err != nil {
			return err
		}
		defer pin(fmt.Sprintf("0-%d", runtime.NumCPU()-1))
	}
	fmt.Fprintf(out, "%d articles; %d rounds of %s over %d connections; %s, %s/%s, %d cores, %s\n",
		o.articles, o.rounds, o.each, o.connections, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().Format(time.DateOnly))
	fmt.Fprint(out, "Medians of ratios, in brackets the quartiles; more requests and less CPU are better.\n\n")
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "page\tanswered from\trequests new/old\told/old\tCPU new/old\told/old\told requests/s\told CPU\tallocations old, new")
	for _, page := range pages {
		for _, way := range ways {
			if o.only != "" && o.only != page.name || o.way != "" && o.way != way.name || !slices.Contains(compared, way.name) {
				continue
			}
			if err := compareOne(ctx, w, sites, o, page.name, page.query, way.name, way.of); err != nil {
				return fmt.Errorf("%s, %s: %w", page.name, way.name, err)
			}
		}
	}
	return w.Flush()
}

// pin moves this process to some cores, with the threads that it is going to have.
func pin(cores string) error {
	if text, err := exec.Command("taskset", "-a", "-c", "-p", cores, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("taskset: %w: %s", err, text)
	}
	return nil
}

// compareOne compares one way of one page. The order within a round changes with each.
func compareOne(ctx context.Context, out io.Writer, sites []*site, o compareOptions, page, query, way string, of func(*site, context.Context, string) (target, error)) error {
	targets := make([]target, len(sites))
	for i, s := range sites {
		var err error
		if targets[i], err = of(s, ctx, query); err != nil {
			return err
		}
		if targets[i].status == 0 {
			targets[i].status = 200
		}
		for range 3 { // fragments are cached at their second use
			if _, err := send(ctx, s.client, targets[i].ask, targets[i].status); err != nil {
				return err
			}
		}
		if _, err := targets[i].process.tell(ctx, "POST", "/collect", nil); err != nil {
			return err
		}
	}
	rounds := make([][]figures, o.rounds)
	for n := range rounds {
		rounds[n] = make([]figures, len(sites))
		for i := range sites {
			at := (i + n) % len(sites)
			f, err := sites[at].loaded(ctx, "", targets[at])
			if err != nil {
				return err
			}
			rounds[n][at] = f
		}
	}
	ratio := func(i int, of func(figures) float64) string {
		q := quartiles(rounds, func(f []figures) float64 { return of(f[i]) / of(f[0]) })
		return fmt.Sprintf("%.3f (%.2f–%.2f)", q[1], q[0], q[2])
	}
	of1 := func(i int, of func(figures) float64) float64 {
		return quartiles(rounds, func(f []figures) float64 { return of(f[i]) })[1]
	}
	cpu := func(f figures) float64 { return f.cpu }
	allocs := func(f figures) float64 { return f.allocs }
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t%.1f µs\t%.0f, %.0f\n", page, way, ratio(1, figures.perSecond), ratio(2, figures.perSecond), ratio(1, cpu), ratio(2, cpu),
		of1(0, figures.perSecond), of1(0, cpu)*1e6, of1(0, allocs), of1(1, allocs))
	return nil
}

// quartiles are those of a figure of each round; the second is the median.
func quartiles(rounds [][]figures, of func([]figures) float64) (q [3]float64) {
	all := make([]float64, len(rounds))
	for i, r := range rounds {
		all[i] = of(r)
	}
	slices.Sort(all)
	for i := range q {
		q[i] = all[len(all)*(i+1)/4]
	}
	return q
}
