package password

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"stoa/problem"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	personal := []string{"ada.lovelace@example.org", "Ada Lovelace", "The Stoa Review"}
	cases := map[string]struct {
		reason, password, says string // says: of the refusal; "" for none
	}{
		"Words":            {"words in a row", "correct horse battery staple", ""},
		"NoDigit":          {"no rules of composition", "meadowlarkness", ""},
		"OnlyDigits":       {"no rules of composition", "7305518264", ""},
		"Spaces":           {"spaces may be anywhere", " a b  c d ", ""},
		"Greek":            {"all of Unicode", "τὸ γὰρ αὐτὸ", ""},
		"Emoji":            {"all of Unicode, with what joins it", "👩‍🚀🐎🔋📎🌊🪐🎻", ""},
		"EightCodePoints":  {"code points count, not bytes", "žluťoučk", ""},
		"Longest":          {"the longest there can be", strings.Repeat("xyzzy tulip ", 21) + "end!", ""},
		"TooShort":         {"fewer than the minimum", "x7$kQ2!", "7 characters and needs at least 8"},
		"Empty":            {"nothing", "", "0 characters"},
		"BytesDoNotCount":  {"seven code points of two bytes each are seven", "žščřďťň", "7 characters"},
		"OneThatExpands":   {"what NFKC makes of one character doesn't count", "\ufdfa", "1 characters"},
		"Combining":        {"what NFKC makes one counts once", "e\u0301e\u0300o\u0302o\u0308", "4 characters"},
		"TooLong":          {"refused, not cut", strings.Repeat("xyzzy tulip ", 22), "too long"},
		"TooManyBytes":     {"refused before anything reads it", strings.Repeat("x", 1<<20), "too long"},
		"NotUTF8":          {"nobody could type it again", "correct horse\xff", "UTF-8"},
		"Tab":              {"control characters", "correct\thorse", "control character"},
		"Zero":             {"control characters", "correct horse\x00", "control character"},
		"Delete":           {"control characters", "correct horse\u0085", "control character"},
		"Common":           {"on the list", "football", "most common"},
		"CommonCase":       {"on the list, whatever its case", "FootBall", "most common"},
		"CommonWide":       {"on the list once it is in NFKC", "ｆｏｏｔｂａｌｌ", "most common"},
		"FirstOnTheList":   {"both ends of the list are found", "!qaz2wsx", "most common"},
		"CommonWithMore":   {"the whole password is compared, no part of it", "football of lions", ""},
		"OneCharacter":     {"a repetition", "ññññññññ", "repeats"},
		"TwoCharacters":    {"a repetition", "zqzqzqzqzqzqzqz", "repeats"},
		"FourCharacters":   {"a repetition, whatever its case", "tRixTriXtrix", "repeats"},
		"FiveCharacters":   {"words may be repeated", "horsehorse tulip", ""},
		"Up":               {"a run", "cdefghijk", "run"},
		"Down":             {"a run", "zyxwvutsr", "run"},
		"DigitsAround":     {"9 is followed by 0", "78901234567", "run"},
		"DigitsDown":       {"0 is followed by 9", "321098765", "run"},
		"Cyrillic":         {"a run of another script", "абвгдежзи", "run"},
		"AlmostRun":        {"a run with another end is none", "abcdefghik", ""},
		"Address":          {"the address", "Ada.Lovelace@Example.org", "e-mail address"},
		"LocalPart":        {"the local part", "ada.lovelace", "e-mail address"},
		"LocalPartYear":    {"the local part and a year", "ada.lovelace1815", "e-mail address"},
		"Name":             {"the name, however written", "ada lovelace", "e-mail address"},
		"NameJoined":       {"the name, however written", "AdaLovelace99", "e-mail address"},
		"Site":             {"the name of the site", "the stoa review", "name of this site"},
		"NameWithFive":     {"five digits are more than a few", "adalovelace18152", ""},
		"NameAndMore":      {"the name may be a part", "ada lovelace's engine", ""},
		"NothingButDashes": {"nothing is left of it, which is no personal word", "- - . _ @ -", ""},
	}
	for name, c := range cases {
		err := Check(c.password, MinLength, personal...)
		var refused *problem.Error
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s (%s): %v", name, c.reason, err)
		case c.says == "":
		case !errors.As(err, &refused) || refused.Code != problem.Invalid || !strings.Contains(refused.Message, c.says):
			t.Errorf("%s (%s): %v, where it should say %q", name, c.reason, err, c.says)
		case strings.HasSuffix(refused.Message, ".") || c.password != "" && strings.Contains(refused.Message, c.password):
			t.Errorf("%s: %q ends with a dot or repeats the password", name, refused.Message)
		}
	}
	if err := Check("fourteen chars", 15); err == nil {
		t.Error("the minimum is the caller's")
	}
	if err := Check("adalovelace1815", MinLength, "ada lovelace 1815"); err == nil {
		t.Error("a personal word may itself end in digits")
	}
	if err := Check("correct horse", MinLength, "", "@", " "); err != nil {
		t.Errorf("empty personal words: %v", err)
	}
}

func TestCommonPasswordsAreSortedAndFound(t *testing.T) { // not parallel: it counts allocations
	header, lines, _ := strings.Cut(common, "\n\n")
	for _, named := range []string{"@zxcvbn-ts/language-common 4.1.3", "Permission is hereby granted", "Dropbox"} {
		if !strings.Contains(header, named) {
			t.Errorf("the header doesn't say %q", named)
		}
	}
	all := strings.Split(strings.TrimSuffix(lines, "\n"), "\n")
	if len(all) < 9_000 || len(all) > 10_000 || !slices.IsSorted(all) {
		t.Fatalf("%d lines, sorted %v", len(all), slices.IsSorted(all))
	}
	for _, p := range all {
		if !isCommon(p) || p != strings.ToLower(p) || utf8.RuneCountInString(p) < MinLength {
			t.Errorf("%q isn't found, or isn't one of the list", p)
		}
		if isCommon(p+"\x00") || isCommon(p[1:]+"\x00") {
			t.Errorf("what isn't there is found beside %q", p)
		}
	}
	for _, p := range []string{"", "\n", all[0] + "\n" + all[1], "#", "\xff"} {
		if isCommon(p) {
			t.Errorf("%q is found", p)
		}
	}
	if n := testing.AllocsPerRun(100, func() { isCommon("football") }); n > 0 {
		t.Errorf("a look-up takes %v allocations", n)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("correct horse", "ada@example.org")
	f.Add("ﷺﷺ", "\xff")
	f.Fuzz(func(t *testing.T, p, word string) {
		if err := Check(p, MinLength, word); err != nil && !problem.Is(err, problem.Invalid) {
			t.Errorf("%q: %v", p, err)
		}
		if utf8.ValidString(p) && len(p) <= 100 && Check(p, MinLength, p) == nil && squeeze(p) != "" {
			t.Errorf("%q is let through as its own personal word", p)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := Check("correct horse battery staple", MinLength, "ada@example.org", "Ada Lovelace"); err != nil {
			b.Fatal(err)
		}
	}
}
