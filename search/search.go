// Package search finds things by their words: an index in the process for each kind of things,
// queries, their ranking, and the pieces of text that are shown with a result.
//
// Spaces and punctuation separate words; letter case and accents don't count. A query's word finds
// all words with the same stem in the Language of the texts. The last word of a query finds all
// words that begin with it, too. Quoted words find themselves, in a row.
//
// It knows no kind: a domain registers each of its kinds with an Engine, as text, facts and a
// version. It may import clip, id, problem and store; only engine.go does I/O. This file is the index of
// one kind. Entry points: New (an Engine), NewLanguage, Parse (a Query), Plain; NewIndex (an
// Index).
package search

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"stoa/clip"
)

// The fields of a Document, in the order of their weight.
const (
	Title = iota
	Summary
	Body
	fields
)

const (
	// MaxText is the number of bytes of a field, or of a text for a snippet, that are read: 256 KiB
	// are some 40,000 English words, half a book. It bounds the cost of one document.
	MaxText = 256 << 10

	// maxWord is the number of bytes of a folded word that are compared.
	maxWord = 64

	// compactAfter is the number of dead documents at which an index is rewritten without them, if
	// they are at least half as many as the living.
	compactAfter = 256
)

// Fields are the texts of a Document, plain: its Title, Summary and Body.
type Fields [fields]string

// Document is one thing in an Index.
type Document struct {
	ID     string
	Fields Fields
	Time   time.Time // the newer one comes first of equally good documents
}

// Index finds documents by their words. It is safe for concurrent queries, but not for queries
// during an update.
//
// Documents get ascending numbers, so each word's list of documents only grows at its end. A
// removed or replaced document stays in the lists, dead, until the index is compacted. Dead
// documents count nowhere: the results are those of an index of the living documents alone.
type Index struct {
	language *Language

	numbers map[string]uint32 // of words, in lists and texts
	texts   []string          // words
	lists   []list            // the occurrences of each word
	stems   map[string][]uint32
	sorted  []uint32 // words, by their text

	documents map[string]uint32 // the living, by id
	rows      []row             // all, by number
	lengths   [fields]int       // words in all fields of the living
}

// row has the values of one document for ranking.
type row struct {
	id      string // "" for a dead one
	time    int64  // Unix milliseconds
	lengths [fields]uint32
}

// list has the occurrences of a word. For each document, ascending: the distance of its number from
// the one before, shifted left by three, with a bit for each field with the word. Then for each
// such field: the number of occurrences, the number of bytes of their positions, and these, each as
// the distance from the one before. All are varints.
type list struct {
	last uint32 // the number of the last document
	data []byte
}

// NewIndex returns an empty index of texts in a language.
func NewIndex(l *Language) *Index {
	return &Index{language: l, numbers: map[string]uint32{}, stems: map[string][]uint32{}, documents: map[string]uint32{}}
}

// Len returns the number of living documents.
func (x *Index) Len() int { return len(x.documents) }

// Update adds documents to the index, in place of those with the same ids, and removes those with
// the ids in gone. It reads the first MaxText bytes of each field.
func (x *Index) Update(put []Document, gone []string) {
	for _, id := range gone {
		x.remove(id)
	}
	known := len(x.texts)
	for _, d := range put {
		x.remove(d.ID)
		x.add(d)
	}
	x.sort(known)
	if dead := len(x.rows) - len(x.documents); dead > compactAfter && 2*dead > len(x.documents) {
		x.Compact()
	}
}

func (x *Index) remove(id string) {
	number, ok := x.documents[id]
	if !ok {
		return
	}
	delete(x.documents, id)
	r := &x.rows[number]
	for f, n := range r.lengths {
		x.lengths[f] -= int(n)
	}
	*r = row{}
}

func (x *Index) add(d Document) {
	number := uint32(len(x.rows))
	r := row{id: d.ID, time: d.Time.UnixMilli()}
	at := map[uint32]*[fields][]uint32{} // positions, by word
	for f, text := range d.Fields {
		position := uint32(0)
		for w := range x.language.words(clip.Bytes(text, MaxText)) {
			n := x.word(w.folded)
			if at[n] == nil {
				at[n] = new([fields][]uint32)
			}
			at[n][f] = append(at[n][f], position)
			position++
		}
		r.lengths[f] = position
		x.lengths[f] += int(position)
	}
	x.documents[d.ID] = number
	x.rows = append(x.rows, r)
	for n, positions := range at {
		x.lists[n].add(number, positions)
	}
}

// word returns the number of a folded word; a new one for a new word.
func (x *Index) word(folded string) uint32 {
	if n, ok := x.numbers[folded]; ok {
		return n
	}
	n := uint32(len(x.texts))
	folded = strings.Clone(folded) // a part of the text would hold all of it in memory
	x.numbers[folded] = n
	x.texts = append(x.texts, folded)
	x.lists = append(x.lists, list{})
	stem := x.language.stem(folded)
	x.stems[stem] = append(x.stems[stem], n)
	return n
}

// sort sorts the words from number known on into all others.
func (x *Index) sort(known int) {
	if known == len(x.texts) {
		return
	}
	byText := func(a, b uint32) int { return strings.Compare(x.texts[a], x.texts[b]) }
	added := make([]uint32, 0, len(x.texts)-known)
	for n := known; n < len(x.texts); n++ {
		added = append(added, uint32(n))
	}
	slices.SortFunc(added, byText)
	old, merged := x.sorted, make([]uint32, 0, len(x.texts))
	for len(old) > 0 && len(added) > 0 {
		if byText(old[0], added[0]) < 0 {
			merged, old = append(merged, old[0]), old[1:]
		} else {
			merged, added = append(merged, added[0]), added[1:]
		}
	}
	x.sorted = append(append(merged, old...), added...)
}

// Compact removes dead documents, and the spare room of lists. It takes about a tenth of the time
// that a new index takes.
func (x *Index) Compact() {
	renumbered := make([]uint32, len(x.rows))
	rows := make([]row, 0, len(x.documents))
	for n, r := range x.rows {
		if r.id != "" {
			renumbered[n] = uint32(len(rows))
			x.documents[r.id] = uint32(len(rows))
			rows = append(rows, r)
		}
	}
	fresh := NewIndex(x.language)
	var scratch []byte
	for _, n := range x.sorted {
		l := list{data: scratch[:0]}
		for p := range x.lists[n].all() {
			if x.rows[p.document].id != "" {
				l.append(renumbered[p.document], p.mask, p.rest)
			}
		}
		scratch = l.data
		if len(l.data) > 0 {
			fresh.lists[fresh.word(x.texts[n])] = list{l.last, slices.Clone(l.data)}
		}
	}
	fresh.sort(0)
	x.numbers, x.texts, x.lists, x.stems, x.sorted = fresh.numbers, fresh.texts, fresh.lists, fresh.stems, fresh.sorted
	x.rows, x.documents = rows, maps.Clone(x.documents)
}

// add puts a document at the end of the list.
func (l *list) add(document uint32, positions *[fields][]uint32) {
	var mask uint32
	var buffer [256]byte
	rest, bytes := buffer[:0], []byte(nil)
	for f, list := range positions {
		if len(list) == 0 {
			continue
		}
		mask |= 1 << f
		bytes = bytes[:0]
		last := uint32(0)
		for _, p := range list {
			bytes = binary.AppendUvarint(bytes, uint64(p-last))
			last = p
		}
		rest = binary.AppendUvarint(rest, uint64(len(list)))
		rest = binary.AppendUvarint(rest, uint64(len(bytes)))
		rest = append(rest, bytes...)
	}
	l.append(document, mask, rest)
}

func (l *list) append(document, mask uint32, rest []byte) {
	l.data = binary.AppendUvarint(l.data, uint64(document-l.last)<<fields|uint64(mask))
	l.data = append(l.data, rest...)
	l.last = document
}

// posting has the occurrences of a word in one document.
type posting struct {
	document uint32
	mask     uint32
	counts   [fields]uint32
	at       [fields][]byte // positions; nil for none
	rest     []byte         // everything after the document's number and mask
}

// all yields the postings of a list, in order. They share one value.
func (l *list) all() func(yield func(*posting) bool) {
	return func(yield func(*posting) bool) {
		var p posting
		for data := l.data; len(data) > 0; {
			head, n := binary.Uvarint(data)
			data = data[n:]
			p.document += uint32(head >> fields)
			p.mask = uint32(head & (1<<fields - 1))
			start := data
			for f := range fields {
				p.counts[f], p.at[f] = 0, nil
				if p.mask&(1<<f) == 0 {
					continue
				}
				count, n := binary.Uvarint(data)
				size, m := binary.Uvarint(data[n:])
				data = data[n+m:]
				p.counts[f], p.at[f], data = uint32(count), data[:size], data[size:]
			}
			p.rest = start[:len(start)-len(data)]
			if !yield(&p) {
				return
			}
		}
	}
}

// positions calls yield with each position in at.
func positions(at []byte, yield func(uint32)) {
	position := uint32(0)
	for len(at) > 0 {
		distance, n := binary.Uvarint(at)
		position += uint32(distance)
		yield(position)
		at = at[n:]
	}
}
