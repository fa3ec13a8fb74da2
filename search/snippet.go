package search

// Pieces of text with highlighted matches, and plain text of HTML. Entry points: Query.Highlight,
// Query.Snippet, Plain.

import (
	"html"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	tokens "golang.org/x/net/html"

	"stoa/clip"
)

const (
	// snippetSize is the length of a snippet, in bytes of text: two lines of a page of results.
	snippetSize = 240
	// leadSize is the most that comes before the first match, in bytes.
	leadSize = 60
	// maxMarks is the number of matches in a text that are looked at to find the best place.
	maxMarks = 1000
)

// span is a part of a text that matches a clause.
type span struct {
	start, end int
	clause     int
}

// Highlight returns text as HTML with the matches of q in <mark> elements, and no other element. It
// reads the first MaxText bytes of text.
func (q *Query) Highlight(text string) string {
	text = clean(text)
	var b strings.Builder
	write(&b, text, 0, len(text), q.spans(text))
	return b.String()
}

// Snippet returns the piece of text with most of q in it, in the form of Highlight, with an
// ellipsis at a cut. Without any match, found is false and the piece is the beginning of text.
func (q *Query) Snippet(text string) (piece string, found bool) {
	text = clean(text)
	spans := q.spans(text)
	start, end := q.window(text, spans)
	var b strings.Builder
	if start > 0 {
		b.WriteString("… ")
	}
	write(&b, text, start, end, spans)
	if end < len(text) {
		b.WriteString(" …")
	}
	return b.String(), len(spans) > 0
}

// window chooses the piece: the one with the most clauses, then with the most matches, then the
// earliest. It begins and ends with whole words, unless these are longer than a snippet.
func (q *Query) window(text string, spans []span) (start, end int) {
	if len(spans) > 0 {
		first, most := 0, -1
		counts := make([]int, len(q.clauses))
		different, to := 0, 0
		for from := range spans {
			for to < len(spans) && spans[to].end <= spans[from].start+snippetSize-leadSize {
				if counts[spans[to].clause]++; counts[spans[to].clause] == 1 {
					different++
				}
				to++
			}
			if value := different*maxMarks + (to - from); value > most {
				first, most = from, value
			}
			if to > from {
				if counts[spans[from].clause]--; counts[spans[from].clause] == 0 {
					different--
				}
			} else {
				to = from + 1 // a match longer than a snippet
			}
		}
		start = spans[first].start
		if start <= leadSize {
			start = 0
		} else {
			from := start - leadSize
			for !utf8.RuneStart(text[from]) {
				from++
			}
			// A whole sentence, or a whole word, to begin with.
			lead := text[from:start]
			if at := strings.LastIndexAny(lead, ".!?"); at >= 0 && at+1 < len(lead) && lead[at+1] == ' ' {
				from += at + 2
			} else if at := strings.IndexByte(lead, ' '); at >= 0 {
				from += at + 1
			}
			start = from
		}
	}
	if len(text)-start <= snippetSize {
		return start, len(text)
	}
	end = start + len(clip.Bytes(text[start:], snippetSize))
	if at := strings.LastIndexByte(text[start:end], ' '); at > 0 {
		end = start + at
	}
	return start, end
}

// write writes text from start to end, with spans marked.
func write(b *strings.Builder, text string, start, end int, spans []span) {
	at := start
	for _, s := range spans {
		from, to := max(s.start, at), min(s.end, end)
		if from >= to {
			continue
		}
		b.WriteString(html.EscapeString(text[at:from]))
		b.WriteString("<mark>")
		b.WriteString(html.EscapeString(text[from:to]))
		b.WriteString("</mark>")
		at = to
	}
	b.WriteString(html.EscapeString(text[at:end]))
}

// spans returns the matches of q in text, in order, at most maxMarks of each clause.
func (q *Query) spans(text string) []span {
	text = clip.Bytes(text, MaxText)
	var out []span
	n := make([]int, len(q.clauses))
	var row []word // the last words, for phrases
	longest := 0
	for _, c := range q.clauses {
		longest = max(longest, len(c.words))
	}
	for w := range q.language.words(text) {
		if row = append(row, w); len(row) > 64+longest {
			row = slices.Delete(row, 0, 64)
		}
		for i := range q.clauses {
			c := &q.clauses[i]
			if n[i] < maxMarks && len(row) >= len(c.words) && c.ends(q.language, row) {
				out = append(out, span{row[len(row)-len(c.words)].start, w.end, i})
				n[i]++
			}
		}
	}
	slices.SortStableFunc(out, func(a, b span) int { return a.start - b.start })
	return out
}

// ends reports whether a row of words ends with a match of c.
func (c *clause) ends(l *Language, row []word) bool {
	last := row[len(row)-1].folded
	want := c.words[len(c.words)-1]
	switch {
	case last == want:
	case c.prefix && strings.HasPrefix(last, want):
	// No stemmer changes how a word begins.
	case !c.phrase && last[0] == c.stem[0] && l.stem(last) == c.stem:
	default:
		return false
	}
	row = row[len(row)-len(c.words):]
	for i, w := range c.words[:len(c.words)-1] {
		if row[i].folded != w {
			return false
		}
	}
	return true
}

// clean returns text without characters that HTML can't hold, and with a space for each other white
// space.
func clean(text string) string {
	bad := func(r rune) bool {
		return r == utf8.RuneError || r != ' ' && (unicode.IsControl(r) || unicode.IsSpace(r))
	}
	if strings.IndexFunc(text, bad) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return ' '
		}
		return r
	}, text)
}

// Plain returns the words of sanitised HTML with single spaces between them: at most MaxText bytes,
// from at most four times as many bytes of HTML.
func Plain(text string) string {
	text = clip.Bytes(text, 4*MaxText)
	var b strings.Builder
	b.Grow(min(len(text), MaxText))
	gap := false
	z := tokens.NewTokenizerFragment(strings.NewReader(text), "div")
	for b.Len() < MaxText {
		kind := z.Next()
		if kind == tokens.ErrorToken {
			break
		}
		if kind != tokens.TextToken {
			if name, _ := z.TagName(); !inline[string(name)] {
				gap = true
			}
			continue
		}
		// z.Text has its entities replaced.
		for _, r := range clean(string(z.Text())) {
			if r == ' ' {
				gap = true
				continue
			}
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteRune(r)
		}
	}
	return clip.Bytes(b.String(), MaxText)
}

// inline are the elements that don't separate words.
var inline = map[string]bool{
	"a": true, "abbr": true, "b": true, "bdi": true, "bdo": true, "cite": true, "code": true, "data": true, "del": true, "dfn": true,
	"em": true, "i": true, "ins": true, "kbd": true, "mark": true, "q": true, "s": true, "samp": true, "small": true, "span": true,
	"strong": true, "sub": true, "sup": true, "time": true, "u": true, "var": true, "wbr": true,
}
