package markdown

// Reading time and excerpts.

import "testing"

func TestReadingMinutes(t *testing.T) {
	cases := map[string]struct {
		reason      string
		words, want int
	}{
		"Nothing":  {"nobody wants to see zero minutes", 0, 1},
		"OneWord":  {"at least a minute", 1, 1},
		"Exactly":  {"a full minute is one", 238, 1},
		"OneOver":  {"rounded up", 239, 2},
		"AnHour":   {"an hour", 238 * 60, 60},
		"Negative": {"no such count, no odd answer", -5, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ReadingMinutes(c.words); got != c.want {
				t.Errorf("%s: got %d, want %d", c.reason, got, c.want)
			}
		})
	}
}

func TestExcerpt(t *testing.T) {
	cases := map[string]struct {
		reason, text string
		words        int
		want         string
	}{
		"Shorter":     {"nothing to cut", "one two", 3, "one two"},
		"Exact":       {"nothing to cut either", "one two three", 3, "one two three"},
		"Cut":         {"at the end of a word", "one two three four", 3, "one two three…"},
		"Punctuation": {"an ellipsis follows no comma", "one, two, three", 2, "one, two…"},
		"Sentence":    {"nor a full stop", "One. Two.", 1, "One…"},
		"Closing":     {"a bracket or quote stays, as its opening did", "(one) two", 1, "(one)…"},
		"None":        {"no words, no ellipsis", "one", 0, ""},
		"Negative":    {"fewer than none is none", "one", -1, ""},
		"Empty":       {"an article without words", "", 5, ""},
		"Unicode":     {"words are not bytes", "größer als nötig", 2, "größer als…"},
		"OnlyDashes":  {"nothing before the ellipsis but the ellipsis", "– – one", 2, "…"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Excerpt(c.text, c.words); got != c.want {
				t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
			}
		})
	}
}
