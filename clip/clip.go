// Package clip shortens text without breaking a character. It imports nothing of ours. Entry
// point: Bytes.
package clip

import "unicode/utf8"

// Bytes returns the first most bytes of s, or a few less, so that no UTF-8 character is cut. In text
// that isn't UTF-8 it leaves out at most 3 bytes more than needed. The result shares the memory of s.
func Bytes(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && most-end < utf8.UTFMax-1 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
