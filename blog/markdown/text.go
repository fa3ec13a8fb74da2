package markdown

// Plain text for readers: reading time and excerpts.

import "strings"

// wordsPerMinute is the speed of adults reading English non-fiction in silence: 238 words a minute,
// the mean over 190 studies (M. Brysbaert, "How many words do we read per minute?", Journal of
// Memory and Language 109, 2019).
const wordsPerMinute = 238

// ReadingMinutes is the time to read words, in whole minutes, rounded up, at least 1.
func ReadingMinutes(words int) int {
	return max(1, (words+wordsPerMinute-1)/wordsPerMinute)
}

// Excerpt returns the first words of text. Its words must be separated by spaces, as in
// Rendered.Text. If text is cut, an ellipsis takes the place of the punctuation after the last
// word. The excerpt is empty unless words is positive.
func Excerpt(text string, words int) string {
	if words <= 0 {
		return ""
	}
	cut := 0
	for range words {
		next := strings.IndexByte(text[cut:], ' ')
		if next < 0 {
			return text
		}
		cut += next + 1
	}
	return strings.TrimRight(text[:cut], " .,;:!?-–—…") + "…"
}
