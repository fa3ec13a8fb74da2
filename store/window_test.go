package store

// Windows and cursors, over random lists.

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"stoa/id"
	"stoa/problem"
)

const someID = "01k9v6v0mvf5ts2c5zr0h4m8"

// entries draws entries of a list by time or by text: few values, so that many are equal,
// and each id once.
func entries(t *rapid.T, byTime bool) []Entry {
	var all []Entry
	seen := map[id.ID]bool{}
	for range rapid.IntRange(0, 12).Draw(t, "n") {
		if e := entry(t, byTime); !seen[e.ID] {
			seen[e.ID] = true
			all = append(all, e)
		}
	}
	return all
}

func entry(t *rapid.T, byTime bool) Entry {
	e := Entry{ID: id.ID("art_" + someID + rapid.StringMatching(`[0-4][a-c]`).Draw(t, "id"))}
	if byTime {
		e.Time = time.UnixMilli(rapid.Int64Range(-2, 2).Draw(t, "time")).UTC()
	} else {
		e.Text = rapid.SampledFrom([]string{"", "a", "aa", "b", "z"}).Draw(t, "text")
		e.Number = rapid.Int64Range(-1, 1).Draw(t, "number")
	}
	if rapid.IntRange(0, 3).Draw(t, "missing") == 0 {
		return Entry{ID: e.ID, Missing: true}
	}
	return e
}

// A page is the elements between two bounds, cut to its size from one end or the other. An element
// of a bound need not be in the list.
func TestAPageIsThePartOfTheListThatWasAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		byTime, descending := rapid.Bool().Draw(t, "by time"), rapid.Bool().Draw(t, "descending")
		list := entries(t, byTime)
		follows := func(a, b Entry) bool {
			if a.Missing != b.Missing {
				return a.Missing
			}
			if descending {
				a, b = b, a
			}
			return a.compare(b) > 0
		}
		slices.SortFunc(list, func(a, b Entry) int {
			if follows(a, b) {
				return 1
			}
			return -1
		})
		w := window{size: rapid.IntRange(1, 5).Draw(t, "size"), backwards: rapid.Bool().Draw(t, "backwards")}
		bound := func(name string) *Entry {
			switch rapid.IntRange(0, 2).Draw(t, name) {
			case 0:
				return nil
			case 1:
				if len(list) > 0 {
					e := rapid.SampledFrom(list).Draw(t, name)
					return &e
				}
			}
			e := entry(t, byTime)
			return &e
		}
		w.after, w.before = bound("after"), bound("before")

		var want []Entry
		for _, e := range list {
			if (w.after == nil || follows(e, *w.after)) && (w.before == nil || follows(*w.before, e)) {
				want = append(want, e)
			}
		}
		if len(want) > w.size {
			if w.backwards {
				want = want[len(want)-w.size:]
			} else {
				want = want[:w.size]
			}
		}
		got := w.cut("list", list, descending)
		if !slices.Equal(got.Entries, want) {
			t.Fatalf("cut %v; want %v", got.Entries, want)
		}
		if len(want) == 0 {
			return
		}
		if previous := want[0] != list[0]; got.HasPrevious != previous {
			t.Errorf("HasPrevious %t", got.HasPrevious)
		}
		if next := want[len(want)-1] != list[len(list)-1]; got.HasNext != next {
			t.Errorf("HasNext %t", got.HasNext)
		}
	})
}

func TestAWindowIsRefusedWhenItCantBeMeant(t *testing.T) {
	n := func(n int) *int { return &n }
	of := func(list string) *string {
		c := encodeCursor(list, Entry{ID: "art_" + someID + "0a", Text: "x"})
		return &c
	}
	text := func(s string) *string { return &s }
	encoded := func(s string) *string { return text(base64.RawURLEncoding.EncodeToString([]byte(s))) }
	cases := map[string]struct {
		reason string
		w      Window
		at     string // the argument at fault; "" for none
	}{
		"Nothing":       {"a page has a usual size", Window{}, ""},
		"First":         {"the largest page", Window{First: n(MaxPageSize)}, ""},
		"Last":          {"the smallest", Window{Last: n(1)}, ""},
		"Both":          {"from which end?", Window{First: n(1), Last: n(1)}, "last"},
		"FirstZero":     {"a page of nothing", Window{First: n(0)}, "first"},
		"FirstTooMany":  {"a page is bounded", Window{First: n(MaxPageSize + 1)}, "first"},
		"LastNegative":  {"less than nothing", Window{Last: n(-1)}, "last"},
		"LastTooMany":   {"a page is bounded", Window{Last: n(MaxPageSize + 1)}, "last"},
		"After":         {"a cursor of this list", Window{After: of("list")}, ""},
		"Before":        {"and in the other argument", Window{Before: of("list"), After: of("list")}, ""},
		"AfterForeign":  {"a cursor of another list", Window{After: of("other")}, "after"},
		"BeforeForeign": {"and in the other argument", Window{Before: of("list2")}, "before"},
		"Empty":         {"no cursor", Window{After: text("")}, "after"},
		"Garbage":       {"not even base64", Window{Before: text("$%&")}, "before"},
		"Short":         {"a part is missing", Window{After: encoded(fingerprint("list") + " art_" + someID + "0a ")}, "after"},
		"NoID":          {"the id isn't one", Window{After: encoded(fingerprint("list") + " press  x")}, "after"},
		"NoTime":        {"the time isn't one", Window{After: encoded(fingerprint("list") + " art_" + someID + "0a !! x")}, "after"},
		"HugeTime":      {"more milliseconds than there are", Window{After: encoded(fingerprint("list") + " art_" + someID + "0a zzzzzzzzzzzzzzzz x")}, "after"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := c.w.parse("list")
			refused, _ := err.(*problem.Error)
			switch {
			case c.at == "" && err != nil:
				t.Errorf("%s: %v", c.reason, err)
			case c.at != "" && (refused == nil || refused.Code != problem.Invalid || !slices.Equal(refused.Path, []string{c.at})):
				t.Errorf("%s: %#v; want Invalid at %s", c.reason, err, c.at)
			}
		})
	}
}

func TestACursorFindsItsPlaceAgainAndNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, other := rapid.String().Draw(t, "list"), rapid.String().Draw(t, "other")
		e := Entry{ID: id.New(id.Article), Text: rapid.String().Draw(t, "text")}
		if rapid.Bool().Draw(t, "timed") {
			e.Time = time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "ms")).UTC()
		}
		cursor := encodeCursor(list, e)
		if got, err := decodeCursor(list, "after", cursor); err != nil || got != e {
			t.Errorf("%+v came back as %+v, %v", e, got, err)
		}
		if _, err := decodeCursor(other, "after", cursor); list != other && !problem.Is(err, problem.Invalid) {
			t.Errorf("a cursor of %q is taken in %q: %v", list, other, err)
		}
	})
}

// FuzzCursor sends any text as a cursor: it is refused as the client's mistake, or marks a position
// in the very list that it was made for.
func FuzzCursor(f *testing.F) {
	for _, e := range []Entry{{ID: "art_" + someID + "0a"}, {ID: "com_" + someID + "0b", Time: time.UnixMilli(-5)}, {ID: "tag_" + someID + "0c", Text: "a b\x00c é"}} {
		f.Add("list", "other", encodeCursor("list", e))
		f.Add("list", "list", encodeCursor("other", e))
	}
	f.Add("", "x", "")
	f.Add("list", "other", base64.RawURLEncoding.EncodeToString([]byte(fingerprint("list")+" art_"+someID+"0a zik0zj zik0zj")))
	f.Fuzz(func(t *testing.T, list, other, cursor string) {
		e, err := decodeCursor(list, "before", cursor)
		if err != nil {
			if !problem.Is(err, problem.Invalid) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if _, err := id.Parse(string(e.ID)); err != nil {
			t.Errorf("took %v", err)
		}
		if again, err := decodeCursor(list, "before", encodeCursor(list, e)); err != nil || !again.Time.Equal(e.Time) || again.ID != e.ID || again.Text != e.Text {
			t.Errorf("%+v came back as %+v, %v", e, again, err)
		}
		if _, err := decodeCursor(other, "before", cursor); list != other && err == nil {
			t.Errorf("a cursor of %q is one of %q, too", list, other)
		}
	})
}

func TestSortKeyIgnoresCaseAndAccents(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Plain":      {"nothing to ignore", "press", "press"},
		"Case":       {"letter case", "The PRESS", "the press"},
		"Accent":     {"one character with its accent", "Éclair", "eclair"},
		"Combining":  {"the accent as a character of its own", "E\u0301clair", "eclair"},
		"SharpS":     {"full case folding", "Straße", "strasse"},
		"Ligature":   {"letters written as one", "ﬁne", "fine"},
		"Turkish":    {"a dot is an accent", "İstanbul", "istanbul"},
		"Greek":      {"final sigma and accents", "Ὀδυσσεύς", "οδυσσευσ"},
		"Han":        {"scripts without case stay as they are", "漢字", "漢字"},
		"Hangul":     {"syllables aren't left in pieces", "한글", "한글"},
		"Spaces":     {"what stands around a title isn't part of it", " \tpress\n", "press"},
		"Empty":      {"nothing is first", "", ""},
		"Long":       {"the first 100 bytes are enough", strings.Repeat("a", 150), strings.Repeat("a", 100)},
		"LongScript": {"and no character is cut through", strings.Repeat("漢", 50), strings.Repeat("漢", 33)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := SortKey(c.text); got != c.want {
				t.Errorf("%s: SortKey(%q) is %q; want %q", c.reason, c.text, got, c.want)
			}
		})
	}
}

func TestSortKeyTakesAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		if key := SortKey(text); len(key) > 100 || !utf8.ValidString(key) {
			t.Errorf("SortKey(%q) is %q", text, key)
		}
	})
}
