package email

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"stoa/problem"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 63)
	cases := map[string]struct{ reason, address, want, says string }{ // says: a part of the refusal's message
		"Plain":           {"it stays as it is", "ada@example.org", "ada@example.org", ""},
		"Case":            {"upper and lower case are one", "Ada.Lovelace@Example.ORG", "ada.lovelace@example.org", ""},
		"Spaces":          {"pasted with spaces around it", "  ada@example.org ", "ada@example.org", ""},
		"Tag":             {"a tag may be another person's", "ada+stoa@example.org", "ada+stoa@example.org", ""},
		"Dots":            {"dots may tell two people apart", "a.d.a@gmail.com", "a.d.a@gmail.com", ""},
		"Signs":           {"all that a dot-atom may have", "!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org", ""},
		"International":   {"one domain has one form", "ada@Bücher.example", "ada@xn--bcher-kva.example", ""},
		"Punycode":        {"one domain has one form", "ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example", ""},
		"FullWidthDot":    {"what IDNA maps to a dot is one", "ada@example。org", "ada@example.org", ""},
		"Localhost":       {"development", "ada@LocalHost", "ada@localhost", ""},
		"LongestLocal":    {"64 is allowed", strings.Repeat("a", 64) + "@example.org", strings.Repeat("a", 64) + "@example.org", ""},
		"LocalTooLong":    {"65 isn't", strings.Repeat("a", 65) + "@example.org", "", "64 characters"},
		"Longest":         {"254 is allowed", "ada@" + label + "." + label + "." + label + "." + label[:58], "ada@" + label + "." + label + "." + label + "." + label[:58], ""},
		"TooLong":         {"255 isn't", "adam@" + label + "." + label + "." + label + "." + label[:58], "", "254 characters"},
		"FarTooLong":      {"refused before anything reads it", strings.Repeat("a", 1<<20) + "@example.org", "", "254 characters"},
		"LabelTooLong":    {"a label has 63", "ada@" + label + "a.org", "", "63 at most"},
		"Empty":           {"nothing", "", "", "one @"},
		"NoAt":            {"no @", "ada.example.org", "", "one @"},
		"TwoAts":          {"two of them", "ada@b@example.org", "", "one @"},
		"NoLocal":         {"nobody", "@example.org", "", "one @"},
		"NoDomain":        {"nowhere", "ada@", "", "one @"},
		"SpaceInside":     {"a space is no part of it", "ada lovelace@example.org", "", "space"},
		"SpaceBeforeAt":   {"not trimmed silently", "ada @example.org", "", "space"},
		"SpaceAfterAt":    {"not trimmed silently", "ada@ example.org", "", "name of a domain"},
		"LineBreak":       {"no header may be added to a mail", "ada@example.org\nBcc: eve@example.org", "", "one @"},
		"LineBreakAtEnd":  {"not trimmed silently", "ada@example.org\r\n", "", "name of a domain"},
		"LineBreakBefore": {"not trimmed silently", "\nada@example.org", "", "not '\\n'"},
		"Quoted":          {"no quoted strings", `"ada lovelace"@example.org`, "", `not '"'`},
		"Comment":         {"no comments", "ada(the countess)@example.org", "", "not '('"},
		"DisplayName":     {"no names", "Ada <ada@example.org>", "", "space"},
		"Literal":         {"no address literals", "ada@[192.0.2.1]", "", "brackets"},
		"Number":          {"no bare addresses of a host", "ada@192.0.2.1", "", "not a number"},
		"OtherScript":     {"local parts of other scripts", "ädä@example.org", "", "not 'ä'"},
		"LeadingDot":      {"no dot-atom", ".ada@example.org", "", "single dots"},
		"TrailingDot":     {"no dot-atom", "ada.@example.org", "", "single dots"},
		"TwoDots":         {"no dot-atom", "a..da@example.org", "", "single dots"},
		"NoEnding":        {"a host of one's own network", "ada@example", "", "no dot"},
		"RootDot":         {"the root is left out", "ada@example.org.", "", "name of a domain"},
		"EmptyLabel":      {"two dots in a row", "ada@example..org", "", "name of a domain"},
		"Hyphen":          {"at an end of a label", "ada@-example.org", "", "name of a domain"},
		"Underscore":      {"no part of a host's name", "ada@ex_ample.org", "", "name of a domain"},
		"BadPunycode":     {"what decodes to nothing", "ada@xn--a.org", "", "name of a domain"},
		"NotUTF8":         {"no text", "ada@ex\xffample.org", "", "UTF-8"},
		"UnderLocalhost":  {"localhost has a dot here", "ada@mail.localhost", "ada@mail.localhost", ""},
	}
	for name, c := range cases {
		got, err := Canonical(c.address)
		var refused *problem.Error
		switch {
		case c.says == "":
			if got != c.want || err != nil {
				t.Errorf("%s (%s): %q, %v", name, c.reason, got, err)
			}
		case !errors.As(err, &refused) || refused.Code != problem.Invalid || !strings.Contains(refused.Message, c.says) || got != "":
			t.Errorf("%s (%s): %q, %v, where it should say %q", name, c.reason, got, err, c.says)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"Ada@Example.org", " ada+x@bücher.example", "a@xn--bcher-kva.example", "a@。", "a@b\u00ad.c", "a@\u200dx.org", "a@ß.de", "a@xn--xn--a-.de", "a@אב1.org"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := Canonical(s)
		if err != nil {
			if !problem.Is(err, problem.Invalid) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if twice, err := Canonical(once); twice != once || err != nil {
			t.Errorf("%q becomes %q, and that %q, %v", s, once, twice, err)
		}
		if strings.Count(once, "@") != 1 || strings.ContainsFunc(once, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || r == 0x7f || unicode.IsUpper(r) }) {
			t.Errorf("%q becomes %q", s, once)
		}
		if len(once) > maxAddress {
			t.Errorf("%q has %d bytes", once, len(once))
		}
	})
}
