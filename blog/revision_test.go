package blog

// Tests of differences between revisions.

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoa/store"
)

func saying(lines ...string) *store.Revision {
	return &store.Revision{ID: "rev_x", Title: "T", Markdown: strings.Join(lines, "\n")}
}

func TestADiffShowsWhatDiffers(t *testing.T) {
	cases := map[string]struct {
		reason         string
		before, after  *store.Revision
		added, removed int
		want           string // without the names of the two
	}{
		"Same":     {"nothing differs", saying("a", "b"), saying("a", "b"), 0, 0, ""},
		"LineEnds": {"nor do line ends", saying("a\r", "b"), saying("a", "b"), 0, 0, ""},
		"Changed": {"three lines around it are shown", saying("1", "2", "3", "4", "5", "6", "7", "8", "9"), saying("1", "2", "3", "4", "five", "6", "7", "8", "9"), 1, 1,
			"@@ -4,7 +4,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"},
		"Added": {"at the end", saying("1"), saying("1", "2"), 1, 0, "@@ -1,3 +1,4 @@\n # T\n > \n 1\n+2\n"},
		"Gone":  {"in the middle", saying("1", "2", "3"), saying("1", "3"), 0, 1, "@@ -1,5 +1,4 @@\n # T\n > \n 1\n-2\n 3\n"},
		"Title": {"the title is the first line", saying("1"), &store.Revision{ID: "rev_x", Title: "U", Markdown: "1"}, 1, 1, "@@ -1,3 +1,3 @@\n-# T\n+# U\n > \n 1\n"},
		"Apart": {"what is far apart is shown apart", saying("a", "2", "3", "4", "5", "6", "7", "8", "9", "b"), saying("A", "2", "3", "4", "5", "6", "7", "8", "9", "B"), 2, 2,
			"@@ -1,6 +1,6 @@\n # T\n > \n-a\n+A\n 2\n 3\n 4\n@@ -9,4 +9,4 @@\n 7\n 8\n 9\n-b\n+B\n"},
	}
	for name, c := range cases {
		d := compare(c.before, c.after)
		_, got, _ := strings.Cut(d.Unified, "\n+++ rev_x\n")
		if d.Added != c.added || d.Removed != c.removed || got != c.want {
			t.Errorf("%s: %s:\n%+v\nwant\n%s", name, c.reason, d, c.want)
		}
	}
}

// The lines of a difference turn the one text into the other.
func TestADiffCanBeApplied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", ""}), 1, 30)
		before, after := saying(texts.Draw(t, "before")...), saying(texts.Draw(t, "after")...)
		a, b := linesOf(before), linesOf(after)
		if got := apply(t, a, compare(before, after).Unified); strings.Join(got, "\n") != strings.Join(b, "\n") {
			t.Errorf("%q becomes %q; want %q", a, got, b)
		}
	})
}

func apply(t *rapid.T, lines []string, unified string) []string {
	if unified == "" {
		return lines
	}
	var out []string
	at := 0
	for _, l := range strings.Split(strings.TrimSuffix(unified, "\n"), "\n")[2:] {
		switch l[0] {
		case '@':
			var from, n, to, m int
			if _, err := fmt.Sscanf(l, "@@ -%d,%d +%d,%d @@", &from, &n, &to, &m); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				from--
			}
			out, at = append(out, lines[at:from]...), from
		case '+':
			out = append(out, l[1:])
		default:
			if lines[at] != l[1:] {
				t.Fatalf("line %d is %q, not %q", at, lines[at], l[1:])
			}
			if l[0] == ' ' {
				out = append(out, l[1:])
			}
			at++
		}
	}
	return append(out, lines[at:]...)
}

// However two texts differ, comparing them takes no time that anybody would notice. The
// figures are printed, and held against a bound that is far off.
func TestADiffIsBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	few := func(n, kinds int) *store.Revision {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = fmt.Sprint(random.IntN(kinds))
		}
		return saying(lines...)
	}
	comb := func(kinds int) *store.Revision {
		lines := make([]string, diffLines-5)
		for i := range lines {
			lines[i] = fmt.Sprint(i % kinds)
		}
		return saying(append([]string{fmt.Sprint("begins ", kinds)}, append(lines, fmt.Sprint("ends ", kinds))...)...)
	}
	for name, pair := range map[string][2]*store.Revision{
		"Different": {few(diffLines-3, 1_000_000), few(diffLines-3, 1_000_000)},
		"Alike":     {few(diffLines-3, 2), few(diffLines-3, 2)},
		"AlikeSome": {few(diffLines-3, 50), few(diffLines-3, 50)},
		"AlikeFew":  {few(diffLines-3, 400), few(diffLines-3, 400)},
		"Comb":      {comb(1), comb(2)},
		"FineComb":  {comb(1), comb(3)},
		"Combs":     {comb(100), comb(101)},
		"CombsTwo":  {comb(120), comb(240)},
		"Huge":      {few(500_000, 2), few(500_000, 3)},
	} {
		began := time.Now()
		d := compare(pair[0], pair[1])
		took := time.Since(began)
		t.Logf("%s: %d and %d lines in %s", name, d.Removed, d.Added, took)
		if took > 5*time.Second {
			t.Errorf("%s takes %s", name, took)
		}
	}
}
