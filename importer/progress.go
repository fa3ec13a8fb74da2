package importer

// The progress of an import on a terminal or in a log. Entry points: Progress; newProgress, step, clear.

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress tells a person that an import is under way.
type progress struct {
	out      io.Writer
	width    func() int // columns of the terminal; nil if out is none
	clock    func() time.Time
	total    int
	noun     string // of what is counted
	lastTime time.Time
	drawn    int // columns that the bar takes up now
}

// redrawEvery is as often as an eye can use. reportEvery keeps a log readable: a shorter import
// logs nothing.
const (
	redrawEvery = 100 * time.Millisecond
	reportEvery = 5 * time.Second
)

func newProgress(out io.Writer, clock func() time.Time) *progress {
	p := &progress{out: out, clock: clock, noun: "file"}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.width = func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80
			}
			return columns
		}
	}
	if p.out == nil {
		p.out = io.Discard
	}
	return p
}

// Progress shows the progress of another import: step is told how many rows are done, and of how many,
// and clear ends it.
func Progress(out io.Writer) (step func(done, total int), clear func()) {
	p := newProgress(out, time.Now)
	p.noun = "row"
	p.start(0)
	return func(done, total int) {
		p.total = total
		p.step(done)
	}, p.clear
}

func (p *progress) start(total int) {
	p.total, p.lastTime = total, p.clock()
}

// step shows that done of the files are finished.
func (p *progress) step(done int) {
	now := p.clock()
	wait := reportEvery
	if p.width != nil {
		wait = redrawEvery
	}
	if now.Sub(p.lastTime) < wait {
		return
	}
	p.lastTime = now
	if p.width == nil {
		fmt.Fprintf(p.out, "%d of %s\n", done, plural(p.total, p.noun))
		return
	}
	line := bar(done, p.total, p.width()-1) // the last column would wrap on some terminals
	fmt.Fprintf(p.out, "\r%s%s", line, strings.Repeat(" ", max(p.drawn-len(line), 0)))
	p.drawn = len(line)
}

// clear removes the bar, so that the report begins on an empty line.
func (p *progress) clear() {
	if p.drawn > 0 {
		fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", p.drawn))
		p.drawn = 0
	}
}

// bar draws done of total in at most width columns, all of them ASCII.
func bar(done, total, width int) string {
	counts := fmt.Sprintf("%*d/%d", len(fmt.Sprint(total)), done, total)
	percent := 100
	if total > 0 {
		percent = 100 * done / total
	}
	room := min(width-len(counts)-len(" [] 100%"), 50)
	if room < 5 {
		return counts[:min(len(counts), max(width, 0))]
	}
	full := room * percent / 100
	return fmt.Sprintf("%s [%s%s] %3d%%", counts, strings.Repeat("#", full), strings.Repeat("-", room-full), percent)
}
