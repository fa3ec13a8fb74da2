package importer

// The bar and the lines of progress, with a clock moved by hand.

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// timer is a clock that a test moves.
type timer struct{ now time.Time }

func (c *timer) read() time.Time { return c.now }

func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	clock := timer{today}
	p := newProgress(&out, clock.read)
	columns := 40
	p.width = func() int { return columns }
	p.start(200)
	p.step(1) // sooner than an eye could see
	if out.Len() > 0 {
		t.Errorf("drawn at once: %q", &out)
	}
	clock.now = clock.now.Add(redrawEvery)
	p.step(50)
	if want := "\r 50/200 [######------------------]  25%"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
	out.Reset()
	columns = 12 // somebody made the window narrower: the old bar is wiped
	clock.now = clock.now.Add(redrawEvery)
	p.step(150)
	if want := "\r150/200" + strings.Repeat(" ", 32); out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
	out.Reset()
	p.clear()
	if want := "\r       \r"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

func TestBarFitsTheWidth(t *testing.T) {
	for width := -1; width < 120; width++ {
		for _, done := range []int{0, 1, 99, 100} {
			if line := bar(done, 100, width); len(line) > max(width, 0) {
				t.Fatalf("%q is wider than %d", line, width)
			}
		}
	}
	if got := bar(0, 0, 40); !strings.Contains(got, "100%") {
		t.Errorf("nothing of nothing is all: %q", got)
	}
}

func TestProgressElsewhereIsALineNowAndThen(t *testing.T) {
	var out bytes.Buffer
	clock := timer{today}
	p := newProgress(&out, clock.read)
	p.start(1000)
	for i := range 1000 {
		clock.now = clock.now.Add(12 * time.Millisecond)
		p.step(i + 1)
	}
	p.clear()
	if want := "417 of 1000 files\n834 of 1000 files\n"; out.String() != want {
		t.Errorf("12 seconds are two lines, got %q, want %q", &out, want)
	}
	quick := bytes.Buffer{}
	p = newProgress(&quick, clock.read)
	p.start(3)
	p.step(3)
	if quick.Len() > 0 {
		t.Errorf("an import that is over at once says nothing: %q", &quick)
	}
	newProgress(nil, clock.read).step(1) // no output is no error
}
