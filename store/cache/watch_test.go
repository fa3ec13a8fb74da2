package cache

// Watches: drops of their own key and of others, flushes, and stop.

import (
	"log/slog"
	"testing"
)

func TestAWatchHearsOfItsKeyAndOfFlushes(t *testing.T) {
	c, err := New(Options{Bytes: 1 << 20, Exclusive: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	heard := func(w <-chan struct{}) int {
		n := 0
		for {
			select {
			case <-w:
				n++
			default:
				return n
			}
		}
	}
	one, stopOne := c.Watch("a")
	other, stopOther := c.Watch("a")
	cases := []struct {
		reason string
		do     func()
		want   int
	}{
		{"another key", func() { c.Drop("b") }, 0},
		{"its key", func() { c.Drop("a") }, 1},
		{"its key, before it has looked", func() { c.Drop("a"); c.Drop("a") }, 1},
		{"everything", c.Flush, 1},
		{"nothing more", func() {}, 0},
	}
	for _, x := range cases {
		x.do()
		if got := heard(one); got != x.want || heard(other) != x.want {
			t.Errorf("%s: %d", x.reason, got)
		}
	}
	stopOne()
	c.Drop("a")
	if heard(one) != 0 || heard(other) != 1 {
		t.Error("one that was stopped hears, or another doesn't")
	}
	stopOther()
	if n := len(c.watches.byKey); n != 0 {
		t.Errorf("%d keys are watched by nobody", n)
	}
	if !c.Sure() {
		t.Error("a process that makes every write isn't sure")
	}
}
