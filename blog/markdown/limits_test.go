package markdown

// Limits of rendering: contexts that end, turns, and output that grows.

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// Render is Renderer.Render without a context or a turn to wait for.
func Render(source string) (Rendered, error) { return New().Render(context.Background(), source) }

// Comment is Renderer.Comment without a context or a turn to wait for.
func Comment(source string) (canonical, rendered string, err error) {
	return New().Comment(context.Background(), source)
}

// ending is a context that ends after a number of looks at it.
type ending struct {
	context.Context
	looks, after int
}

func (c *ending) Err() error {
	c.looks++
	if c.looks > c.after {
		return context.Canceled
	}
	return nil
}

func TestRenderingStopsWhenItsContextEnds(t *testing.T) {
	source := strings.Repeat("A *word* and a [link](http://a.b/c), then `code`.\n\n", MaxSource/60)
	whole := &ending{Context: t.Context(), after: 1 << 30}
	if _, err := New().Render(whole, source); err != nil {
		t.Fatal(err)
	}
	if whole.looks < 100 {
		t.Fatalf("the context is looked at %d times in all, too seldom to stop soon", whole.looks)
	}
	for after := range whole.looks {
		c := &ending{Context: t.Context(), after: after}
		if after > 20 && after%(whole.looks/20) != 0 {
			continue
		}
		_, err := New().Render(c, source)
		if err == nil || errors.As(err, new(*Refusal)) {
			t.Errorf("ended at look %d of %d: error %v, want that of the context", after, whole.looks, err)
		}
		if c.looks > after+2 {
			t.Errorf("ended at look %d: %d more looks followed", after, c.looks-after)
		}
	}
}

func TestTextsAreRenderedInTurns(t *testing.T) {
	r := New()
	end, err := take(t.Context(), r.articles, MaxSource-10)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() {
		_, err := r.Render(ctx, "more than ten bytes")
		waits <- err
	}()
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("a text without room beside the others: %v, want it to wait until its context ends", err)
	}
	if _, _, err := r.Comment(t.Context(), "comments have turns of their own"); err != nil {
		t.Error(err)
	}
	end()
	if _, err := r.Render(t.Context(), "more than ten bytes"); err != nil {
		t.Errorf("after the others: %v", err)
	}
	if !r.articles.TryAcquire(MaxSource) {
		t.Error("a turn wasn't given back")
	}
}

// TestOutputIsBoundedWhileItIsWritten shows that references that multiply cost no more than other
// texts: 120 KB of these became 1.6 GB.
func TestOutputIsBoundedWhileItIsWritten(t *testing.T) {
	for _, name := range []string{"references used apart", "titles used apart", "pictures by reference"} {
		source := hostile[name](300_000)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Render(source)
		runtime.ReadMemStats(&after)
		if !errors.As(err, new(*Refusal)) {
			t.Errorf("%s: %v, want a refusal for its HTML", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 200*uint64(len(source)) {
			t.Errorf("%s: %d bytes took %d bytes of memory, more than 200 a byte", name, len(source), took)
		}
	}
}
