//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reads collections and ranges of indexes in order, a few rows at a time. Entry
// points: newScan, scan.next, scan.seek.

import (
	"bytes"
	"encoding/binary"
	"math"
)

const (
	// maxChunk bounds the rows that one statement of a scan reads, chunkBytes the bytes of
	// documents: it stops beyond them.
	maxChunk   = 256
	chunkBytes = 1 << 20
)

// entry is a key of an index with its row and, if the scan reads documents, its document.
type entry struct {
	key      []byte
	rid      int64
	document []byte
}

// scan reads the keys of an index from low on, below high, or the other way round.
type scan struct {
	session   *session
	low, high []byte // the part still to be read
	backwards bool
	documents bool // the documents are read along with the keys
	byRow     bool // the whole collection by rows: keys are row numbers

	query string
	chunk []entry
	at    int
	size  int // rows of the next chunk
	ended bool
}

// newScan reads the keys of ix in a collection; without ix all of the collection's documents, by
// row. low and high bound the keys.
func newScan(s *session, c *collection, ix *index) *scan {
	sc := &scan{session: s, low: first, high: []byte{past}, size: maxChunk}
	if ix == nil {
		sc.byRow, sc.documents = true, true
		sc.low, sc.high = appendRID(nil, 0), appendRID(nil, math.MaxInt64)
	}
	sc.prepare(c, ix)
	return sc
}

// prepare writes the scan's statement.
func (sc *scan) prepare(c *collection, ix *index) {
	order := ""
	if sc.backwards {
		order = " DESC"
	}
	switch {
	case ix == nil:
		sc.query = "SELECT rid, rid, doc FROM " + c.table() + " WHERE rid >= ? AND rid < ? ORDER BY rid" + order + " LIMIT ?"
	case ix == idIndex && sc.documents:
		sc.query = "SELECT id, rid, doc FROM " + c.table() + " WHERE id >= ? AND id < ? ORDER BY id" + order + " LIMIT ?"
	case ix == idIndex:
		sc.query = "SELECT id, rid FROM " + c.table() + " WHERE id >= ? AND id < ? ORDER BY id" + order + " LIMIT ?"
	case sc.documents:
		sc.query = "SELECT x.k, x.rid, d.doc FROM " + ix.table() + " x CROSS JOIN " + c.table() + " d ON d.rid = x.rid WHERE x.k >= ? AND x.k < ? ORDER BY x.k" + order + " LIMIT ?"
	default:
		sc.query = "SELECT k, rid FROM " + ix.table() + " WHERE k >= ? AND k < ? ORDER BY k" + order + " LIMIT ?"
	}
}

// next returns the next entry; ok is false at the end.
func (sc *scan) next() (e entry, ok bool, err error) {
	if sc.at == len(sc.chunk) {
		if err := sc.read(); err != nil || len(sc.chunk) == 0 {
			return entry{}, false, err
		}
	}
	e = sc.chunk[sc.at]
	sc.at++
	return e, true, nil
}

// seek skips the keys before key in the scan's direction.
func (sc *scan) seek(key []byte) {
	for sc.at < len(sc.chunk) {
		if c := bytes.Compare(sc.chunk[sc.at].key, key); c == 0 || (c > 0) != sc.backwards {
			return
		}
		sc.at++
	}
	if sc.backwards {
		if end := append(bytes.Clone(key), 0); bytes.Compare(end, sc.high) < 0 {
			sc.high = end
		}
	} else if bytes.Compare(key, sc.low) > 0 {
		sc.low = key
	}
}

// read reads the next chunk. It leaves it empty at the end.
func (sc *scan) read() error {
	sc.chunk, sc.at = sc.chunk[:0], 0
	if sc.ended || bytes.Compare(sc.low, sc.high) >= 0 {
		return nil
	}
	if err := sc.session.check(); err != nil {
		return err
	}
	bounds := []any{sc.low, sc.high, sc.size}
	if sc.byRow {
		bounds[0], bounds[1] = int64(binary.BigEndian.Uint64(sc.low)), int64(binary.BigEndian.Uint64(sc.high))
	}
	size, enough := 0, false
	err := sc.session.each(sc.query, bounds, func(scan func(...any) error) error {
		var e entry
		into := []any{&e.key, &e.rid, &e.document}
		if sc.byRow {
			into[0] = new(int64)
		}
		if !sc.documents {
			into = into[:2]
		}
		if err := scan(into...); err != nil {
			return err
		}
		if sc.byRow {
			e.key = appendRID(nil, e.rid)
		}
		sc.chunk = append(sc.chunk, e)
		if size += len(e.document); size >= chunkBytes {
			enough = true
			return errStop
		}
		return nil
	})
	if err != nil {
		return err
	}
	sc.session.keys += int64(len(sc.chunk))
	if sc.documents {
		sc.session.documents += int64(len(sc.chunk))
	}
	if len(sc.chunk) < sc.size && !enough {
		sc.ended = true
	}
	if n := len(sc.chunk); n > 0 {
		last := sc.chunk[n-1].key
		switch {
		case sc.backwards:
			sc.high = last
		case sc.byRow:
			sc.low = appendRID(nil, sc.chunk[n-1].rid+1)
		default:
			sc.low = append(bytes.Clone(last), 0)
		}
	}
	sc.size = min(2*sc.size, maxChunk)
	return nil
}

// document reads the document in row rid of c; nil if there is none.
func (s *session) document(c *collection, rid int64) ([]byte, error) {
	var document []byte
	err := s.each("SELECT doc FROM "+c.table()+" WHERE rid = ?", []any{rid}, func(scan func(...any) error) error { return scan(&document) })
	s.documents++
	return document, err
}
