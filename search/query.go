package search

// Queries: parsed once, then used for finding and for highlighting. Entry point: Parse.

import (
	"slices"
	"strings"
	"unicode/utf8"

	"stoa/problem"
)

const (
	// MaxQuery is the longest query, in characters: a long sentence.
	MaxQuery = 200
	// MaxWords is the number of words that a query may have; each is looked up by itself.
	MaxWords = 16
	// minPrefix is the number of letters from which the last word finds longer ones. One letter
	// says nothing yet, and begins too many words.
	minPrefix = 2
)

// Query is a parsed query. It is safe for concurrent use.
type Query struct {
	language *Language
	text     string
	clauses  []clause
}

// clause is a part of a query: a word, or several in a row.
type clause struct {
	words  []string // folded
	phrase bool     // the words themselves, in a row
	prefix bool     // the last word may be the beginning of a longer one
	stem   string   // not of a phrase
	small  bool     // an optional word
}

// Parse parses a query: words, and phrases in straight or curly double quotes. A phrase without a
// closing quote reaches to the end. Everything else separates words. It returns Invalid for a query
// without a word, for one longer than MaxQuery, and for one with more than MaxWords.
func Parse(l *Language, text string) (*Query, error) {
	if n := utf8.RuneCountInString(text); n > MaxQuery {
		return nil, problem.New(problem.Invalid, "a query may have %d characters, not %d: use fewer words", MaxQuery, n)
	}
	q := &Query{language: l, text: text}
	words := 0
	quoted := false
	for start := 0; start <= len(text); {
		end := start + strings.IndexFunc(text[start:], isQuote)
		size := 0
		if end < start {
			end = len(text)
		} else {
			_, size = utf8.DecodeRuneInString(text[end:])
		}
		words += q.add(text[start:end], quoted, size == 0)
		if size == 0 {
			break
		}
		start, quoted = end+size, !quoted
	}
	if words > MaxWords {
		return nil, problem.New(problem.Invalid, "a query may have %d words, not %d", MaxWords, words)
	}
	if words == 0 {
		return nil, problem.New(problem.Invalid, "the query has no word in it: it takes letters or digits")
	}
	return q, nil
}

func isQuote(r rune) bool {
	return r == '"' || r == '“' || r == '”' || r == '„' || r == '«' || r == '»'
}

// add adds the words of a part of the query, as a phrase if it was quoted, and returns their
// number. The last word of the last part may be the beginning of a longer one if nothing follows
// it.
func (q *Query) add(part string, quoted, last bool) int {
	n, end := 0, -1
	var row clause // of words that must stand in a row
	flush := func() {
		if len(row.words) > 0 {
			row.phrase = true
			q.put(row)
		}
		row = clause{}
	}
	for w := range q.language.words(part) {
		n++
		goesOn := last && w.end == len(part) && utf8.RuneCountInString(w.folded) >= minPrefix
		first, _ := utf8.DecodeRuneInString(part[w.start:])
		switch {
		case quoted:
			row.words, row.prefix = append(row.words, w.folded), goesOn
		case isApart(first):
			if w.start != end {
				flush()
			}
			row.words = append(row.words, w.folded)
		default:
			flush()
			q.put(clause{words: []string{w.folded}, stem: q.language.stem(w.folded), prefix: goesOn, small: q.language.small[w.folded]})
		}
		end = w.end
	}
	flush()
	return n
}

// put adds a clause unless it is there.
func (q *Query) put(c clause) {
	for i, have := range q.clauses {
		if have.phrase == c.phrase && slices.Equal(have.words, c.words) {
			q.clauses[i].prefix = have.prefix || c.prefix
			return
		}
	}
	q.clauses = append(q.clauses, c)
}

// String returns the text of the query, unchanged.
func (q *Query) String() string { return q.text }
