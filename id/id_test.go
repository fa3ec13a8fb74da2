package id

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestIDsSortByTheirTime(t *testing.T) {
	var ids []ID
	for ms := range int64(200) {
		ids = append(ids, At(Article, time.UnixMilli(1_700_000_000_000+ms)))
	}
	if !slices.IsSorted(ids) {
		t.Error("a later id sorts before an earlier one")
	}
	if a, b := At(Article, time.Unix(-1e9, 0)), At(Article, time.Unix(1, 0)); a >= b {
		t.Errorf("what is older than 1970 doesn't sort first: %s, %s", a, b)
	}
}

func TestDerivedFollowsFromItsSeed(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	first := Derived(Comment, at, "a")
	if again := Derived(Comment, at, "a"); again != first {
		t.Errorf("the same seed gives %s and %s", first, again)
	}
	if Derived(Comment, at, "b") == first {
		t.Error("two seeds give the same id")
	}
}

func TestAnIDMayHaveAnotherPrefix(t *testing.T) {
	comment := New(Comment)
	submission := comment.As(Submission)
	if submission == comment || submission.Kind() != Submission || submission.As(Comment) != comment {
		t.Errorf("%s as a submission is %s, and back %s", comment, submission, submission.As(Comment))
	}
}

// The test vector is TypeID's: https://github.com/jetify-com/typeid/blob/main/spec/valid.yml
func TestIDsFollowTypeID(t *testing.T) {
	uuid := [16]byte{0x01, 0x89, 0x0a, 0x5d, 0xac, 0x96, 0x77, 0x4b, 0xbc, 0xce, 0xb3, 0x02, 0x09, 0x9a, 0x80, 0x57}
	if got := encode(uuid); got != "01h455vb4pex5vsknk084sn02q" {
		t.Errorf("01890a5d-ac96-774b-bcce-b302099a8057 is written %s", got)
	}
}

func TestParseExplainsInvalidIDs(t *testing.T) {
	for _, kind := range []Kind{Article, Author, Tag, Comment, Revision, Submission} {
		made := New(kind)
		if got, err := Parse(string(made)); err != nil || got != made || got.Kind() != kind {
			t.Errorf("%s: %v", made, err)
		}
	}
	cases := map[string]struct{ reason, in, want string }{
		"Empty":     {"nothing is no id", "", "is no id"},
		"NoPrefix":  {"the prefix says what it names", "01k9v6v0mvf5ts2c5zr0h4m8qd", "a prefix"},
		"Unknown":   {"nothing has that prefix", "zzz_01k9v6v0mvf5ts2c5zr0h4m8qd", "prefix \"zzz\""},
		"Short":     {"26 characters follow", "art_01k9v6", "26 characters"},
		"Letter":    {"i, l, o and u aren't used", "art_01k9v6v0mvf5ts2c5zr0h4m8qu", "26 characters"},
		"UpperCase": {"there is one way to write an id", "art_01K9V6V0MVF5TS2C5ZR0H4M8QD", "26 characters"},
		"Overflow":  {"26 characters hold 130 bits, an id 128", "art_81k9v6v0mvf5ts2c5zr0h4m8qd", "26 characters"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.reason, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("art_01k9v6v0mvf5ts2c5zr0h4m8qd")
	f.Fuzz(func(t *testing.T, s string) {
		i, err := Parse(s)
		if err == nil && (string(i) != s || i.Kind() == "" || len(s) != len(i.Kind())+1+suffixLen) {
			t.Errorf("%q was taken as %q", s, i)
		}
	})
}
