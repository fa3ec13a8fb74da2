package clip

import (
	"strings"
	"testing"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason, text string
		most         int
		want         string
	}{
		"Fits":     {"nothing is cut", "ab", 2, "ab"},
		"Ascii":    {"at the byte", "abc", 2, "ab"},
		"Inside":   {"before a character that doesn't fit", "aé", 2, "a"},
		"Behind":   {"behind a character that fits", "éa", 2, "é"},
		"Four":     {"a character of four bytes", "a😀b", 4, "a"},
		"None":     {"no room", "é", 0, ""},
		"TooSmall": {"no room for the first character", "é", 1, ""},
		"Broken":   {"text that isn't UTF-8 is not searched to its start", strings.Repeat("\x80", 10), 8, strings.Repeat("\x80", 5)},
	} {
		if got := Bytes(c.text, c.most); got != c.want {
			t.Errorf("%s: %s: %q, want %q", name, c.reason, got, c.want)
		}
	}
}
