package search

// Finding documents in an index, and ranking them. Entry points: Index.Find, Best.

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// The value of an occurrence. Within a field, more occurrences count ever less, by BM25's
// saturation (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, section 3.4):
// n/(n + k·(1 - b + b·length/average)). The fields add up by their weights. These are so far apart
// that one occurrence in a title counts more than any number in a summary, and one there more than
// any number in a text, unless the title or the summary is several times as long as others.
var (
	weights    = [fields]float64{4, 2, 1}
	saturation = [fields]float64{0.4, 0.6, 1.2} // k; 1.2 is usual for texts
	shortness  = [fields]float64{0.3, 0.3, 0.75}
)

const (
	// An occurrence of the word itself counts 5 fifths, one of another form of it 4. Fifths are
	// integers, and sums of integers are the same in any order.
	sameStem, itself = 4, 5
	begun            = 0.5 // the weight of longer words that begin with the word

	// common is the share of the documents above which a word is optional: results may lack it.
	common = 0.5
)

// Hit is a document that a query found.
type Hit struct {
	ID    string
	Score float64 // 0 to 1: the share of the best score that the query allows
	Time  int64   // the document's, Unix milliseconds
}

// Best is the order of hits: the better first, then the newer, then by id.
func Best(a, b Hit) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Time, a.Time), strings.Compare(a.ID, b.ID))
}

// finding is the state of one query in progress.
type finding struct {
	index *Index
	query *Query

	scores  []float64 // by document
	words   []uint8   // number of required words in it
	phrases []uint8   // number of phrases in it
	seen    []uint32  // documents with any clause
	marked  []bool    // those in seen
	most    float64   // the best score of a document with everything

	average [fields]float64
	tallies []tally // by document: of the present clause
	touched []uint32
}

// tally is the number of occurrences of a clause in a document, by field. Each occurrence counts by
// its value, in fifths.
type tally [fields]uint32

func (t tally) none() bool { return t == tally{} }

// Find returns the documents with every phrase of q and every word, the best first. Small words are
// optional, and so are words that more than half of the documents have, unless there are no others.
// If no document has all of them, Find returns those that have the most of them, at least half.
func (x *Index) Find(q *Query) []Hit {
	n := len(x.rows)
	if n == 0 {
		return nil
	}
	f := &finding{
		index: x, query: q, scores: make([]float64, n), words: make([]uint8, n), phrases: make([]uint8, n),
		marked: make([]bool, n), tallies: make([]tally, n),
	}
	for i, length := range x.lengths {
		f.average[i] = max(float64(length)/float64(max(len(x.documents), 1)), 1)
	}
	found := make([]result, len(q.clauses))
	words, phrases := 0, 0
	for i := range q.clauses {
		c := &q.clauses[i]
		found[i] = f.find(c)
		found[i].optional = !c.phrase && (c.small || float64(len(found[i].documents)) > common*float64(len(x.documents)))
		if c.phrase {
			phrases++
		} else if !found[i].optional {
			words++
		}
	}
	none := words == 0
	if none { // all words are optional: then all of them count
		words = len(q.clauses) - phrases
	}
	for i := range found {
		f.count(&found[i], q.clauses[i].phrase, found[i].optional && !none)
	}
	return f.hits(words, phrases)
}

// result is the outcome of one clause.
type result struct {
	documents []uint32
	scores    []float64
	rarity    float64
	optional  bool // documents without it are found, too
}

// find looks up one clause.
func (f *finding) find(c *clause) result {
	if c.phrase {
		f.phrase(c)
		return f.take(1)
	}
	x := f.index
	exact, isWord := x.numbers[c.words[0]]
	if isWord {
		f.scan(exact, itself)
	}
	for _, n := range x.stems[c.stem] {
		if !isWord || n != exact {
			f.scan(n, sameStem)
		}
	}
	r := f.take(1)
	if !c.prefix {
		return r
	}
	// Longer words have a score of their own. Otherwise many words with one beginning would make
	// the word itself look common.
	for _, n := range x.begunBy(c.words[0]) {
		f.scan(n, itself)
	}
	return r.merge(f.take(begun))
}

// begunBy returns the words that begin with a prefix.
func (x *Index) begunBy(prefix string) []uint32 {
	from, _ := slices.BinarySearchFunc(x.sorted, prefix, func(n uint32, p string) int { return strings.Compare(x.texts[n], p) })
	to := from
	for to < len(x.sorted) && strings.HasPrefix(x.texts[x.sorted[to]], prefix) {
		to++
	}
	return x.sorted[from:to]
}

// scan adds a word's occurrences to the tallies, each with its value.
func (f *finding) scan(word uint32, worth uint32) {
	for p := range f.index.lists[word].all() {
		if f.index.rows[p.document].id == "" {
			continue
		}
		t := &f.tallies[p.document]
		if t.none() {
			f.touched = append(f.touched, p.document)
		}
		for i, n := range p.counts {
			t[i] += worth * n
		}
	}
}

// take makes scores of the tallies, times worth, and clears them.
func (f *finding) take(worth float64) result {
	slices.Sort(f.touched)
	r := result{documents: f.touched, scores: make([]float64, len(f.touched))}
	total := float64(len(f.index.documents))
	n := float64(len(f.touched))
	r.rarity = math.Log(1 + (total-n+0.5)/(n+0.5))
	for i, d := range f.touched {
		t := f.tallies[d]
		score := 0.0
		for j, n := range t {
			if n > 0 {
				length := 1 - shortness[j] + shortness[j]*float64(f.index.rows[d].lengths[j])/f.average[j]
				times := float64(n) / itself
				score += weights[j] * times / (times + saturation[j]*length)
			}
		}
		r.scores[i] = worth * r.rarity * score
		f.tallies[d] = tally{}
	}
	f.touched = nil
	return r
}

// merge returns the documents of both, each with the better of its two scores.
func (r result) merge(o result) result {
	if len(r.documents) == 0 {
		return o
	}
	out := result{rarity: r.rarity}
	for len(r.documents) > 0 || len(o.documents) > 0 {
		switch {
		case len(o.documents) == 0 || len(r.documents) > 0 && r.documents[0] < o.documents[0]:
			out.documents, out.scores = append(out.documents, r.documents[0]), append(out.scores, r.scores[0])
			r.documents, r.scores = r.documents[1:], r.scores[1:]
		case len(r.documents) == 0 || o.documents[0] < r.documents[0]:
			out.documents, out.scores = append(out.documents, o.documents[0]), append(out.scores, o.scores[0])
			o.documents, o.scores = o.documents[1:], o.scores[1:]
		default:
			out.documents, out.scores = append(out.documents, r.documents[0]), append(out.scores, max(r.scores[0], o.scores[0]))
			r.documents, r.scores = r.documents[1:], r.scores[1:]
			o.documents, o.scores = o.documents[1:], o.scores[1:]
		}
	}
	return out
}

// phrase puts the occurrences of a phrase into the tallies. It begins with the word with the
// shortest list. Of the other lists it looks only at documents that are left.
func (f *finding) phrase(c *clause) {
	x := f.index
	type slot struct {
		offset uint32
		words  []uint32
		size   int
	}
	slots := make([]slot, len(c.words))
	for i, text := range c.words {
		s := slot{offset: uint32(i)}
		if n, ok := x.numbers[text]; ok {
			s.words = []uint32{n}
		}
		if c.prefix && i == len(c.words)-1 {
			s.words = x.begunBy(text)
		}
		for _, n := range s.words {
			s.size += len(x.lists[n].data)
		}
		slots[i] = s
	}
	slices.SortStableFunc(slots, func(a, b slot) int { return a.size - b.size })
	var places []place
	for i, s := range slots {
		if places = x.places(s.words, s.offset, places, i == 0); len(places) == 0 {
			return
		}
	}
	for _, p := range places {
		t := &f.tallies[p.document()]
		if t.none() {
			f.touched = append(f.touched, p.document())
		}
		t[p.field()] += itself
	}
}

// place is a possible beginning of a phrase: the document in the upper half, the field in two bits
// and the position in thirty.
type place uint64

func (p place) document() uint32 { return uint32(p >> 32) }
func (p place) field() int       { return int(p >> 30 & 3) }

// places returns the beginnings of phrases, in order, if the word at an offset is one of words:
// anywhere, or among the places in left.
func (x *Index) places(words []uint32, offset uint32, left []place, anywhere bool) []place {
	var out []place
	for _, n := range words {
		rest := left
		for p := range x.lists[n].all() {
			if x.rows[p.document].id == "" {
				continue
			}
			if !anywhere {
				for len(rest) > 0 && rest[0].document() < p.document {
					rest = rest[1:]
				}
				if len(rest) == 0 {
					break
				}
				if rest[0].document() > p.document {
					continue
				}
			}
			for field, at := range p.at {
				positions(at, func(position uint32) {
					if position < offset {
						return
					}
					begins := place(p.document)<<32 | place(field)<<30 | place(position-offset)
					for !anywhere && len(rest) > 0 && rest[0] < begins {
						rest = rest[1:]
					}
					if anywhere || len(rest) > 0 && rest[0] == begins {
						out = append(out, begins)
					}
				})
			}
		}
	}
	if len(words) > 1 {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

// count adds the scores of a clause to those of the documents.
func (f *finding) count(r *result, phrase, optional bool) {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	f.most += r.rarity * sum
	for i, d := range r.documents {
		if !f.marked[d] {
			f.marked[d] = true
			f.seen = append(f.seen, d)
		}
		f.scores[d] += r.scores[i]
		switch {
		case phrase:
			f.phrases[d]++
		case !optional:
			f.words[d]++
		}
	}
}

// hits returns the documents with all that is required.
func (f *finding) hits(words, phrases int) []Hit {
	most := 0
	for _, d := range f.seen {
		if int(f.phrases[d]) == phrases {
			most = max(most, int(f.words[d]))
		}
	}
	if 2*most < words {
		return nil
	}
	var out []Hit
	for _, d := range f.seen {
		if int(f.phrases[d]) == phrases && int(f.words[d]) == most {
			r := f.index.rows[d]
			out = append(out, Hit{r.id, f.scores[d] / f.most, r.time})
		}
	}
	slices.SortFunc(out, Best)
	return out
}
