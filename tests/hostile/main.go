// Command hostile searches for Markdown that takes much more work than its length lets expect. It
// counts work, not time: the basic blocks that the parser, the sanitiser and Stoa's own code
// execute, by the compiler's coverage counters. So it finds the same on every machine.
//
//	go run -cover -covermode=atomic -coverpkg=PACKAGES ./tests/hostile -texts 300 -seed 1
//
// PACKAGES are in .ci/run, which runs it as a step. main prints, search grows texts, work.go counts.
//
// Articles, biographies and imported files are rendered by Render, comments by Comment. A text is a
// random piece of Markdown, repeated between others: references, nesting, tables, footnotes,
// emphasis. If twice as many repetitions take more than growth times the work, the text is
// doubled again and again, until a limit refuses it, or its work passes mostWork.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"stoa/blog/markdown"
)

const (
	// start is the length at which a text is first looked at, in bytes.
	start = 2000

	// growth is between 2, for work in proportion to the length, and 4, for its square.
	growth = 2.7

	// mostWork is the most that an article may take, in basic blocks: five for each unit that package
	// markdown counts before it refuses a text. A comment may take a tenth. The dearest of 700
	// texts took 1,800,000,000, in a second; without the count for brackets, one of the first 100
	// takes more than the limit.
	mostWork = 2_500_000_000
)

// pieces are what texts are made of. %d is a number that grows with each repetition.
var pieces = []string{
	"[", "]", "[]", "[a]", "[a][", "](", "[a](b", "![", "![a](", "](u)", "[x%d]", "[x%d]: u\n", "\n\n[x]: u\n\n", "[x]", "[^", "[^a]", "[^%d]", "\n\n[^%d]: n\n\n", "[^a]: ",
	"*", "**", "_", "~~", "*a ", "a* ", "*a_ ", "a**b*", "`", "``", "`a", "\\", "\\|",
	">", "> ", "- ", "1. ", "  ", "    ", "\t", "\n", "\n\n", "- a\n", "> a\n", "#", "# a\n", "# a {#b%d}\n", "=\n", "---\n", "```\n", "~~~", ":",
	"|", "|a|b|\n", "|-|-|\n", "|-", ":-", "\n|a\n|-\n",
	"<", "</", "<a ", "<b>", "<div>", "<!--", "-->", "<?", "<![CDATA[", "<p ", "a%d=b ", ">", "<http:", "http://a.b", "www.a.b", "a@a.b", "&a", "&amp;", "(", ")", "\"", "'",
	"a", "a ", "word ", "\x00", "\xff", "ä",
}

func main() {
	texts := flag.Int("texts", 300, "how many texts to try")
	seed := flag.Uint64("seed", 1, "the seed of the random texts")
	flag.Parse()
	random := rand.New(rand.NewPCG(*seed, 1))
	renderer := markdown.New()
	checkCounting(renderer)
	found, dearest := 0, map[string]text{}
	for range *texts {
		t := randomText(random)
		for name, limit := range map[string]limits{
			"article": {markdown.MaxSource, mostWork, func(source string) error {
				_, err := renderer.Render(context.Background(), source)
				return err
			}},
			"comment": {markdown.MaxComment, mostWork / 10, func(source string) error {
				_, _, err := renderer.Comment(context.Background(), source)
				return err
			}},
		} {
			t.grow(limit)
			if t.work > dearest[name].work {
				dearest[name] = t
			}
			if t.work > limit.work {
				found++
				fmt.Printf("as %s %d bytes take %d basic blocks, more than %d: %q\n", name, t.size, t.work, limit.work, t.parts)
			}
		}
	}
	for name, t := range dearest {
		fmt.Printf("of %d texts as %s the dearest took %d basic blocks, at %d bytes: %q\n", *texts, name, t.work, t.size, t.parts)
	}
	if found > 0 {
		os.Exit(1)
	}
}

// checkCounting ends the program unless the work of prose is in proportion to its length. It fails
// if another version of Go writes counters otherwise.
func checkCounting(renderer *markdown.Renderer) {
	of := func(n int) float64 {
		work, err := counted(func() error {
			_, err := renderer.Render(context.Background(), strings.Repeat("A *word* and a [link](http://a.b/c).\n\n", n))
			return err
		})
		if err != nil {
			fail(err)
		}
		return float64(work)
	}
	of(1) // does what is done once
	if one, ten := of(100), of(1000); one < 10_000 || ten < 9*one || ten > 11*one {
		fail(fmt.Errorf("prose takes %.0f basic blocks, and ten times as much %.0f", one, ten))
	}
}

// limits are those of one kind of text.
type limits struct {
	size   int // bytes
	work   uint64
	render func(string) error
}

// text is a shape of text: before, two repeated parts with one between them, after.
type text struct {
	parts [5]string
	size  int
	work  uint64
}

func randomText(random *rand.Rand) (t text) {
	for i := range t.parts {
		n := random.IntN(4)
		if i%2 == 1 { // the repeated ones
			n = 1 + random.IntN(3)
		}
		for range n {
			t.parts[i] += pieces[random.IntN(len(pieces))]
		}
	}
	if random.IntN(2) == 0 {
		t.parts[3] = "" // one repeated part alone, or two
	}
	return t
}

// of returns the text with about n bytes.
func (t *text) of(n int) string {
	var b strings.Builder
	for i, part := range t.parts {
		if i%2 == 0 || part == "" {
			b.WriteString(part)
			continue
		}
		for k, until := 0, b.Len()+n/2; b.Len() < until; k++ {
			b.WriteString(strings.ReplaceAll(part, "%d", fmt.Sprint(k)))
		}
	}
	return b.String()
}

// grow sets size and work to those of the largest version that was tried: twice start, or more as
// long as the work grows faster than the length.
func (t *text) grow(l limits) {
	before := uint64(0)
	for n := min(start, l.size/4); ; n *= 2 {
		source := t.of(n)
		if len(source) > l.size {
			return
		}
		work, err := counted(func() error { return l.render(source) })
		t.size, t.work = len(source), work
		if err != nil || work > l.work || before > 0 && float64(work) < growth*float64(before) {
			return
		}
		before = work
	}
}
