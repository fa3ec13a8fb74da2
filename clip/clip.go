// Package clip shortens text without breaking a character. It imports nothing of ours. Entry
// point: Bytes.
package clip

import "unicode/utf8"

// Bytes returns the first most bytes of s at the most: fewer where most would cut a character in
// UTF-8. The result shares the memory of s. In text that isn't UTF-8 it goes back 3 bytes at the
// most.
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
