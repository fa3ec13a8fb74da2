package lru

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sizeOf(k int, v string) int { return 1 + len(v) }

// The cache is compared with a list of entries, the most recently used last.
func TestACacheIsAsItsModel(t *testing.T) {
	t.Parallel()
	type entry struct {
		key   int
		value string
	}
	rapid.Check(t, func(t *rapid.T) {
		entries, most := rapid.IntRange(0, 4).Draw(t, "entries"), rapid.IntRange(1, 30).Draw(t, "bytes")
		c := New(entries, most, sizeOf)
		var model []entry
		remove := func(k int) (was entry, ok bool) {
			for i, e := range model {
				if e.key == k {
					model = append(model[:i:i], model[i+1:]...)
					return e, true
				}
			}
			return entry{}, false
		}
		bytes := func() (n int) {
			for _, e := range model {
				n += sizeOf(e.key, e.value)
			}
			return n
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			k := rapid.IntRange(0, 6).Draw(t, "key")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				c.Clear()
				model = nil
			case 1, 2, 3:
				e, ok := remove(k)
				if ok {
					model = append(model, e)
				}
				if v, found := c.Get(k); found != ok || v != e.value {
					t.Fatalf("%d is %q, %t; want %q, %t", k, v, found, e.value, ok)
				}
			default:
				v := strings.Repeat("x", rapid.IntRange(0, 12).Draw(t, "size"))
				c.Add(k, v)
				remove(k)
				if sizeOf(k, v) <= most {
					model = append(model, entry{k, v})
				}
				for bytes() > most || entries > 0 && len(model) > entries {
					model = model[1:]
				}
			}
			if c.Len() != len(model) || c.Bytes() != bytes() {
				t.Fatalf("%d entries, %d bytes; want %d, %d", c.Len(), c.Bytes(), len(model), bytes())
			}
			for _, e := range model {
				if !c.Contains(e.key) {
					t.Fatalf("%d is missing", e.key)
				}
			}
		}
	})
}

// BenchmarkGet compares with simplelru itself, by BenchmarkGet/Library.
func BenchmarkGet(b *testing.B) {
	c := New(2000, 1<<20, sizeOf)
	for i := range 1000 {
		c.Add(i, "value")
	}
	b.Run("Ours", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c.Get(i % 1000)
		}
	})
	b.Run("Library", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c.list.Get(i % 1000)
		}
	})
}
