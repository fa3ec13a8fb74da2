package meter

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// A meter asks when its work passes what was granted, in each of its kinds, and stops the response when it
// is refused more.
func TestAMeterAsksForMore(t *testing.T) {
	tooMuch := errors.New("too much")
	for name, c := range map[string]struct {
		reason string
		work   func(*Meter)
		passes func(Work) bool
	}{
		"Units":  {"an object of a hundred fields is 6.4 units", func(m *Meter) { m.Object(100) }, func(so Work) bool { return so.Units > 50 }},
		"Answer": {"the bytes in memory count", func(m *Meter) { m.Held(100) }, func(so Work) bool { return so.Answer > 500 }},
		"Memory": {"four bytes for each of them, and the fields", func(m *Meter) { m.Held(10); m.Object(1) }, func(so Work) bool { return so.Memory > 1000 }},
	} {
		t.Run(name, func(t *testing.T) {
			m, asked := new(Meter), 0
			granted := Work{Units: 50, Answer: 500, Memory: 1 << 20}
			if name == "Memory" {
				granted.Memory = 1000
			}
			m.Bound(granted, func(so Work) (Work, error) {
				if asked++; !c.passes(so) {
					t.Errorf("%s: it asks at %+v", c.reason, so)
				}
				if asked == 2 {
					return Work{}, tooMuch
				}
				return Work{Units: so.Units + 20, Answer: so.Answer + 200, Memory: so.Memory + 400}, nil
			})
			for range 100 {
				c.work(m)
			}
			if asked != 2 || !errors.Is(m.Err(), tooMuch) {
				t.Errorf("%s: it has asked %d times, and has %v", c.reason, asked, m.Err())
			}
		})
	}
}

func TestWorkIsCountedInUnits(t *testing.T) {
	m := new(Meter)
	ctx := context.WithValue(t.Context(), Key{}, m)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 100 {
				From(ctx).Command(1, 200)
			}
		})
	}
	all.Wait()
	if m.Units() != 1000*18 || m.Err() != nil {
		t.Errorf("a thousand commands for a document are %d units, %v", m.Units(), m.Err())
	}
	m = new(Meter)
	if m.Answered(1); m.Units() != 1 {
		t.Errorf("a part of a unit is %d", m.Units())
	}
	none := From(t.Context())
	none.Top()
	none.Held(5)
	if none.Err() != nil || none.HeldBytes() != 0 {
		t.Error("no meter counts something")
	}
}
