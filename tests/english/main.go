// Command english counts relative words in the English of this repository: comments of hand-written
// Go, texts of errors and log messages, and descriptions of GraphQL schemas. Sentences with many
// relative words are hard to read.
//
//	go run ./tests/english                     # a table; fails above 10 in 1,000 words
//	go run ./tests/english store store/cache   # of these packages only
//	go run ./tests/english --show mail         # the texts that contain such words
//	go run ./tests/english --words             # comment words of each package
//	go run ./tests/english --words --dir ../before
//
// The option --dir takes another working tree, so that --words can compare two revisions: comments
// should become plainer, not fewer.
//
// .ci/run runs it as a step. main prints, count.go finds and counts. The command imports nothing of
// Stoa's.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// limit is the highest number of relative words in 1,000 that a package may have. The codebases
// that this one is held against have 2 to 5.
const limit = 10

func main() {
	dir := flag.String("dir", ".", "the root of the working tree")
	words := flag.Bool("words", false, "print how many words the comments of each package have, and no limit")
	show := flag.Bool("show", false, "print each text with a relative word, too")
	flag.Parse()
	packages, err := read(*dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	chosen, err := choose(packages, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if *show {
		list(os.Stdout, packages, chosen)
	}
	if *words {
		count(os.Stdout, packages, chosen)
		return
	}
	if over := table(os.Stdout, packages, chosen); over > 0 {
		fmt.Fprintf(os.Stderr, "%d of %d packages have more than %d relative words in 1,000\n", over, len(chosen), limit)
		os.Exit(1)
	}
}

// choose returns the names to report on, sorted: those given, or all.
func choose(packages map[string]*pkg, given []string) ([]string, error) {
	if len(given) == 0 {
		return slices.Sorted(maps.Keys(packages)), nil
	}
	for _, name := range given {
		if packages[name] == nil {
			return nil, fmt.Errorf("no package %q with a text was found", name)
		}
	}
	return slices.Sorted(slices.Values(given)), nil
}

// table prints one line for each package and returns the number of packages above the limit.
func table(w io.Writer, packages map[string]*pkg, names []string) (over int) {
	const row = "%-28s %8v %8v %8v %10v\n"
	fmt.Fprintf(w, row, "package", "comments", "texts", "relative", "per 1,000")
	var sum pkg
	for _, name := range names {
		p := packages[name]
		mark := ""
		if p.over() {
			over++
			mark = " <-"
		}
		fmt.Fprintf(w, row, name, p.comments, p.texts, p.relative, fmt.Sprintf("%.1f%s", p.rate(), mark))
		sum.comments, sum.texts, sum.relative = sum.comments+p.comments, sum.texts+p.texts, sum.relative+p.relative
	}
	fmt.Fprintf(w, row, "all", sum.comments, sum.texts, sum.relative, fmt.Sprintf("%.1f", sum.rate()))
	return over
}

// count prints the number of comment words of each package and their sum.
func count(w io.Writer, packages map[string]*pkg, names []string) {
	sum := 0
	for _, name := range names {
		fmt.Fprintf(w, "%-28s %8d\n", name, packages[name].comments)
		sum += packages[name].comments
	}
	fmt.Fprintf(w, "%-28s %8d\n", "all", sum)
}

// list prints the texts with relative words, in the order of their files.
func list(w io.Writer, packages map[string]*pkg, names []string) {
	for _, name := range names {
		for _, t := range packages[name].found {
			fmt.Fprintf(w, "%s: %s\n", t.position, t.text)
		}
	}
}
