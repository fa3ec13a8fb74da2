package account

// Tests of the rules for accounts' names.

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stoa/problem"
)

func TestCheckName(t *testing.T) {
	cases := map[string]struct{ reason, name, want string }{ // want: "" for refused
		"Plain":           {"", "Ruth Ashgrove", "Ruth Ashgrove"},
		"Trimmed":         {"what nobody sees isn't kept", " \t Ruth\u2003\n", "Ruth"},
		"Inner":           {"spaces within are a name's own", "Ruth  A.", "Ruth  A."},
		"Punctuation":     {"", "O’Brien-Łukasiewicz, Jr.", "O’Brien-Łukasiewicz, Jr."},
		"Composed":        {"one form: NFC", "Zoe\u0308", "Zo\u00eb"},
		"Greek":           {"", "Σωκράτης", "Σωκράτης"},
		"Arabic":          {"", "فاطمة", "فاطمة"},
		"Joined":          {"some scripts and all families need joiners", "👩\u200d🚀", "👩\u200d🚀"},
		"One":             {"", "X", "X"},
		"Longest":         {"", strings.Repeat("é", MaxName), strings.Repeat("é", MaxName)},
		"LongDecomposed":  {"characters count as they are kept", strings.Repeat("e\u0301", MaxName), strings.Repeat("é", MaxName)},
		"Empty":           {"", "", ""},
		"Spaces":          {"nothing is left of it", " \u00a0\u2003 ", ""},
		"TooLong":         {"", strings.Repeat("x", MaxName+1), ""},
		"LineBreak":       {"it would end a header", "Ruth\nBcc: all@example.org", ""},
		"CarriageReturn":  {"", "Ruth\rA", ""},
		"Tab":             {"", "Ruth\tA", ""},
		"Zero":            {"", "Ruth\x00", ""},
		"C1":              {"controls beyond ASCII", "Ruth\u0085A", ""},
		"RightToLeft":     {"it turns around what stands beside it", "Ruth\u202egro", ""},
		"Isolate":         {"", "\u2066Ruth\u2069", ""},
		"Mark":            {"", "Ruth\u200f", ""},
		"NotUTF8":         {"", "Ruth\xff", ""},
		"Replacement":     {"what was broken before it came", "Ruth\ufffd", ""},
		"TruncatedAtLast": {"", "Ruth\xe2\x82", ""},
	}
	for name, c := range cases {
		got, err := checkName(c.name)
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !problem.Is(err, problem.Invalid) {
			t.Errorf("%s (%s): %q becomes %q, %v", name, c.reason, c.name, got, err)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{"Ruth", " Zoe\u0308 ", "\u202e", "\xff", strings.Repeat("e\u0301", MaxName), "\u1100\u1161\u11a8", " \u0338 x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		kept, err := checkName(name)
		if err != nil {
			if !problem.Is(err, problem.Invalid) {
				t.Errorf("%q: %v", name, err)
			}
			return
		}
		if n := utf8.RuneCountInString(kept); n < 1 || n > MaxName || !utf8.ValidString(kept) || !norm.NFC.IsNormalString(kept) || strings.TrimSpace(kept) != kept {
			t.Errorf("%q is kept as %q", name, kept)
		}
		if strings.ContainsFunc(kept, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
			t.Errorf("%q is kept as %q", name, kept)
		}
		if again, err := checkName(kept); err != nil || again != kept {
			t.Errorf("%q is kept as %q, and that as %q, %v", name, kept, again, err)
		}
	})
}
