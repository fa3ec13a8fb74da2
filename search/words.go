package search

// Splitting texts into words, and folding these. Entry points: Language.words, Language.fold.

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"stoa/clip"
)

// word is one word of a text.
type word struct {
	start, end int    // in bytes
	folded     string // for comparisons
}

// apart are the scripts without spaces: each of their letters is a word, and a row of them in a
// query is a phrase.
var apart = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar}

func isApart(r rune) bool { return r >= 0x0e00 && unicode.In(r, apart...) }

func isApostrophe(r rune) bool { return r == '\'' || r == '’' }

// words yields the words of a text in order: runs of letters, digits and marks. An apostrophe
// inside a word belongs to it in English, but a final "'s" is left out. In other languages it
// separates words (l'eau).
func (l *Language) words(text string) iter.Seq[word] {
	return func(yield func(word) bool) {
		start := -1 // the beginning of the present word
		for i := 0; i < len(text); {
			r, size := rune(text[i]), 1
			if r >= utf8.RuneSelf {
				r, size = utf8.DecodeRuneInString(text[i:])
			}
			switch {
			case isApart(r) && !unicode.IsMark(r):
				if start >= 0 && !yield(l.word(text, start, i)) {
					return
				}
				start = i
				end := i + size // with the marks on it
				for end < len(text) {
					mark, n := utf8.DecodeRuneInString(text[end:])
					if !unicode.IsMark(mark) {
						break
					}
					end += n
				}
				if !yield(l.word(text, start, end)) {
					return
				}
				start, size = -1, end-i
			case isLetter(r):
				if start < 0 {
					start = i
				}
			case start >= 0 && r >= utf8.RuneSelf && unicode.IsMark(r):
			case start >= 0 && l.code == "en" && isApostrophe(r) && letterAt(text, i+size):
			default:
				if start >= 0 && !yield(l.word(text, start, i)) {
					return
				}
				start = -1
			}
			i += size
		}
		if start >= 0 {
			yield(l.word(text, start, len(text)))
		}
	}
}

func isLetter(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r))
}

func letterAt(text string, i int) bool {
	r, _ := utf8.DecodeRuneInString(text[i:])
	return isLetter(r) && !isApart(r)
}

func (l *Language) word(text string, start, end int) word {
	return word{start, end, l.fold(text[start:end])}
}

// fold returns a text that is the same for words that differ in case, accents or width.
func (l *Language) fold(text string) string {
	ascii := true
	for i := 0; i < len(text) && ascii; i++ {
		ascii = text[i] < utf8.RuneSelf && text[i] != '\''
	}
	if ascii {
		return clip.Bytes(strings.ToLower(text), maxWord)
	}
	text = clip.Bytes(text, 16*maxWord) // longer words differ by this part only
	var b strings.Builder
	var base rune
	for _, r := range norm.NFKD.String(cases.Fold().String(norm.NFKC.String(text))) {
		switch {
		case unicode.Is(unicode.Mn, r):
			if accent(base, r) {
				continue
			}
		case r == '’':
			r = '\''
		default:
			base = r
		}
		if plain, ok := strokes[r]; ok {
			b.WriteString(plain)
		} else {
			b.WriteRune(r)
		}
	}
	folded := norm.NFC.String(b.String())
	if l.code == "en" {
		folded = strings.ReplaceAll(strings.TrimSuffix(folded, "'s"), "'", "")
	}
	return clip.Bytes(folded, maxWord)
}

// accent reports whether a mark on a letter only accents it. Marks of Latin and Greek do. In
// Cyrillic, й is another letter than и, but ё is е, and a stress mark only accents. In other
// scripts marks are vowels.
func accent(base, mark rune) bool {
	if mark < 0x300 || mark > 0x36f {
		return false
	}
	return !unicode.Is(unicode.Cyrillic, base) || mark == 0x301 || mark == 0x300 || mark == 0x308 && (base == 'е')
}

// strokes are letters that people without such keys write as these.
var strokes = map[rune]string{
	'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'ħ': "h", 'ŧ': "t", 'ı': "i", 'æ': "ae", 'œ': "oe", 'þ': "th",
}
