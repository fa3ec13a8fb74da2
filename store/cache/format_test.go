package cache

// Entries in Redis of other versions of the program.

import (
	"strings"
	"testing"
	"time"
)

// An entry by another version of the program is a miss: it isn't decoded, and the entry of this
// version replaces it.
func TestAnEntryOfAnotherFormatIsAMiss(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		there  string
	}{
		"Newer":       {"a newer version's, and this one's Decode would accept it", header(itemFormat+1) + "V41"},
		"NewerAbsent": {"absent in a newer version's eyes", header(itemFormat+1) + "A"},
		"Before":      {"of the versions before formats", "V41"},
		"BeforeNone":  {"absent, of the versions before formats", "A"},
		"Unknown":     {"of a kind that isn't known yet", "Z41"},
		"Short":       {"cut off before it says anything", header(itemFormat)[:5]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calmly(t, func(t testing.TB, w *world) {
				w.db.set("a", 1)
				r := w.replica("A", shared.URL())
				ready(t, r)
				r.putIntoRedis(t, "a", c.there)
				if v, err := r.get("a"); err != nil || v != 1 {
					t.Errorf("%s: it is answered %d, %v; the database has 1", c.reason, v, err)
				}
				if got := r.inRedis(t, "a"); got != "V1" {
					t.Errorf("%s: afterwards Redis holds %q", c.reason, got)
				}
			})
		})
	}
}

// Replicas of two versions have entries of their own, and neither misses a write of the other.
func TestReplicasOfTwoFormatsAgree(t *testing.T) {
	t.Parallel()
	calmly(t, func(t testing.TB, w *world) {
		w.db.set("a", 1)
		older, newer := w.replica("A", shared.URL()), w.replica("B", shared.URL())
		newer.items.Format, newer.lists.Format = itemFormat+1, itemFormat+1
		ready(t, older, newer)
		for v := 1; v < 4; v++ {
			for _, r := range []*replica{older, newer} {
				if got, err := r.get("a"); err != nil || got != v {
					t.Errorf("%s reads %d, %v; want %d", r.name, got, err, v)
				}
			}
			writer := []*replica{newer, older}[v%2]
			writer.mustWrite(t, "a")
			for _, r := range []*replica{older, newer} {
				eventually(t, r.name+" hears of the write", func() bool { got, err := r.get("a"); return err == nil && got == v+1 })
			}
		}
	})
}

// A value with the present format that can't be decoded is a miss, too.
func TestAnEntryThatCannotBeDecodedIsAMiss(t *testing.T) {
	t.Parallel()
	calmly(t, func(t testing.TB, w *world) {
		w.db.set("a", 1)
		r := w.replica("A", shared.URL())
		ready(t, r)
		r.putIntoRedis(t, "a", header(itemFormat)+"Vone")
		if v, err := r.get("a"); err != nil || v != 1 {
			t.Errorf("it is answered %d, %v; the database has 1", v, err)
		}
	})
}

// putIntoRedis puts another version's value under a key.
func (r *replica) putIntoRedis(t testing.TB, key, value string) {
	t.Helper()
	run, err := r.conn.Run(t.Context())
	if err == nil {
		err = r.conn.Client.Set(t.Context(), run.Key(r.site, key), value, time.Minute).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAHeaderHasOneLength(t *testing.T) {
	for _, format := range []uint32{0, 1, 1<<32 - 1} {
		if h := header(format); len(h) != 9 || !strings.HasPrefix(h, "E") {
			t.Errorf("%q begins an entry of format %d", h, format)
		}
	}
}
