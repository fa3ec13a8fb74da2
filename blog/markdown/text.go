package markdown

import "strings"

// wordsPerMinute is how fast adults read English non-fiction in silence: 238 words a
// minute, the mean over 190 studies (M. Brysbaert, "How many words do we read per minute?",
// Journal of Memory and Language 109, 2019).
const wordsPerMinute = 238

// ReadingMinutes is how long words take to read, rounded up to whole minutes, at least 1.
func ReadingMinutes(words int) int {
	return max(1, (words+wordsPerMinute-1)/wordsPerMinute)
}

// Excerpt returns the first words of text, which has them separated by spaces, as
// Rendered.Text does. Where that cuts the text, an ellipsis takes the place of what
// punctuation the last word ends with. It is empty where words is not positive.
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
