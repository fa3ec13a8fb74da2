// Command bench measures the cost of a response relative to writing its bytes. It starts a
// plain net/http handler that reads a request and writes the same bytes, Stoa, a database and
// Redis, each in its own process, asks both handlers in turn, and prints ratios.
//
//	go run ./tests/bench            # some minutes
//	go run ./tests/bench --quick    # seconds, for a look
//
// The argument site is another benchmark: a site of many posts on the embedded database,
// loaded from the first moment after a cold start. It prints latencies, failures, CPU time and
// memory.
//
//	go run ./tests/bench site --posts 2000
//
// The argument scale measures each page, and a publication, on sites of several sizes: documents and
// commands, CPU time, bytes of the reply and in Redis, memory, cold and warm. It generates the sites on
// the embedded database, or on the server that STOA_TEST_MONGODB_URI names.
//
//	go run ./tests/bench scale --articles 300,2000,10000,100000
//
// The argument compare asks two revisions of Stoa in turn, and prints the ratio of their
// requests per second.
//
//	go run ./tests/bench compare --old PATH
//
// The argument attacks attacks a site while others read it, and prints what each attack takes and
// how long the others wait.
//
//	go run ./tests/bench attacks
//
// The load comes from wrk if it is on the PATH, else from a client of this program. With two
// cores and taskset, the measured process has one core and everything else the other. It may
// import everything.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "site" {
		o, err := siteFlags(os.Args[2:])
		if err == nil {
			err = benchSite(ctx, o, os.Stdout)
		}
		exit(err)
	}
	if len(os.Args) > 1 && os.Args[1] == "scale" {
		o, err := scaleFlags(os.Args[2:])
		if err == nil {
			err = benchScale(ctx, o, os.Stdout)
		}
		exit(err)
	}
	if len(os.Args) > 1 && os.Args[1] == "attacks" {
		o, err := attackFlags(os.Args[2:])
		if err == nil {
			err = benchAttacks(ctx, o, os.Stdout)
		}
		exit(err)
	}
	if len(os.Args) > 1 && os.Args[1] == "compare" {
		o, err := compareFlags(os.Args[2:])
		if err == nil {
			err = compare(ctx, o, os.Stdout)
		}
		exit(err)
	}
	o := usual
	quick := flag.Bool("quick", false, "one short round over a small site")
	flag.IntVar(&o.rounds, "rounds", o.rounds, "how often each is measured; the median counts")
	flag.DurationVar(&o.each, "each", o.each, "how long each measurement lasts")
	flag.StringVar(&o.only, "only", "", "one page: home, article, authors or field")
	flag.StringVar(&o.profile, "profile", "", "where to put CPU profiles: the start of their names")
	flag.Parse()
	if *quick {
		only, profile := o.only, o.profile
		o = brief
		o.only, o.profile = only, profile
	}
	exit(run(ctx, o, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// options say how much is measured.
type options struct {
	articles    int // in the database
	rounds      int
	each        time.Duration
	connections int    // that are open at once
	only        string // a page; "" for all
	profile     string // how the names of CPU profiles begin; "" for none
	ownLoad     bool   // not wrk, though it may be there
	program     string // the benchmark program that has the roles; "" for this one
}

var (
	usual = options{articles: 300, rounds: 3, each: time.Second, connections: 16}
	brief = options{articles: 60, rounds: 1, each: 200 * time.Millisecond, connections: 4}
)

// atMost ends a run that hangs.
const atMost = 15 * time.Minute

func run(ctx context.Context, o options, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	return s.measure(ctx, out)
}
