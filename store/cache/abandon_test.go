package cache

// Loads whose readers go away: they go on while anybody waits.

import (
	"context"
	"errors"
	"log/slog"
	"testing"
)

// slow is a table whose loads end when they are released or cancelled.
type slow struct {
	begun   chan context.Context // of each load
	release chan struct{}
}

func newSlow(t *testing.T) (*Cache, *Table[string, string], slow) {
	t.Helper()
	c, err := New(Options{Bytes: 1 << 20, Exclusive: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := slow{make(chan context.Context), make(chan struct{})}
	return c, &Table[string, string]{
		Key: func(k string) string { return k },
		Load: func(ctx context.Context, ks []string) (map[string]*string, error) {
			s.begun <- ctx
			select {
			case <-s.release:
			case <-ctx.Done():
				<-s.release // a command may take a while to end
				return nil, ctx.Err()
			}
			out := map[string]*string{}
			for _, k := range ks {
				out[k] = &k
			}
			return out, nil
		},
		Size: func(v *string) int64 { return int64(len(*v)) },
	}, s
}

func TestALoadEndsWithItsLastReader(t *testing.T) {
	t.Parallel()
	c, table, s := newSlow(t)
	read := func(ks ...string) (cut context.CancelFunc, ended <-chan error) {
		ctx, cut := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() {
			_, err := table.Get(ctx, c, ks)
			end <- err
		}()
		return cut, end
	}
	waiting := func(n int64) func() bool {
		return func() bool { c.mu.Lock(); defer c.mu.Unlock(); return int64(c.flights["a"].load.waiting) == n }
	}
	leave, left := read("a", "b")
	load := <-s.begun
	leaveToo, leftToo := read("b", "a")
	eventually(t, "the second reader waits for both keys", waiting(3))
	leave()
	eventually(t, "the first reader leaves", waiting(2))
	if err := load.Err(); err != nil {
		t.Fatalf("the load ended with one of two readers: %v", err)
	}
	leaveToo()
	<-load.Done()
	if err := <-leftToo; !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that left got %v", err)
	}
	// The load hasn't ended yet. A reader that comes now is no worse for it.
	_, came := read("a")
	eventually(t, "the third reader waits", waiting(1))
	s.release <- struct{}{}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the first reader got %v", err)
	}
	<-s.begun
	s.release <- struct{}{}
	if err := <-came; err != nil {
		t.Errorf("a reader that came after the last had left got %v", err)
	}
}
