package store

// Windows on lists, pages and cursors. Entry points: Window, Page, window.cut.

import (
	"cmp"
	"encoding/base64"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"stoa/id"
	"stoa/problem"
)

// PageSize is the number of elements of a page by default, MaxPageSize the largest number.
const (
	PageSize    = 20
	MaxPageSize = 100
)

// Window is the part of a list that a client asks for.
type Window struct {
	First, Last   *int
	After, Before *string
}

// CacheKey identifies w among the windows of a list.
func (w Window) CacheKey() string {
	name := ""
	for _, n := range []*int{w.First, w.Last} {
		if name += "/"; n != nil {
			name += strconv.Itoa(*n)
		}
	}
	for _, cursor := range []*string{w.After, w.Before} {
		if name += "/"; cursor != nil {
			name += strconv.Quote(*cursor)
		}
	}
	return name
}

// Entry is an element's position in a list: the value that orders the list, and the id that decides
// between equals.
type Entry struct {
	ID     id.ID     `bson:"i"`
	Time   time.Time `bson:"t,omitempty"` // for lists ordered by time, to the millisecond
	Text   string    `bson:"s,omitempty"` // for lists ordered by text
	Number int64     `bson:"n,omitempty"` // for lists ordered by an int64
	// Missing says that the element has no value: it comes last.
	Missing bool `bson:"l,omitempty"`
}

// order is negative if a comes before b in a list.
func (a Entry) order(b Entry, descending bool) int {
	switch {
	case a.Missing != b.Missing:
		return map[bool]int{false: -1, true: 1}[a.Missing]
	case descending:
		return b.compare(a)
	}
	return a.compare(b)
}

// compare orders entries by value and id: negative when a comes before b in ascending order.
func (a Entry) compare(b Entry) int {
	if c := a.Time.Compare(b.Time); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Number, b.Number); c != 0 {
		return c
	}
	if c := strings.Compare(a.Text, b.Text); c != 0 {
		return c
	}
	return strings.Compare(string(a.ID), string(b.ID))
}

// Page is a part of a list, of ids only.
type Page struct {
	Entries     []Entry
	HasNext     bool
	HasPrevious bool
	list        string
	cached      *pageOfIDs
}

// Cached is p's value in the caches: the same one as long as nothing in p changes. It is nil for a
// page that isn't cached.
func (p *Page) Cached() any {
	if p.cached == nil {
		return nil
	}
	return p.cached
}

// Cursor marks the position of the i-th element.
func (p *Page) Cursor(i int) string { return encodeCursor(p.list, p.Entries[i]) }

// window is a Window that has been checked against a list.
type window struct {
	size          int
	backwards     bool   // the last size elements rather than the first
	after, before *Entry // exclusive bounds; nil for none
}

// parse checks w for the list with a name. The name identifies filter and order, so that a cursor
// of another list is refused.
func (w Window) parse(list string) (window, error) {
	out := window{size: PageSize}
	for _, bound := range []struct {
		name string
		n    *int
	}{{"first", w.First}, {"last", w.Last}} {
		if bound.n == nil {
			continue
		}
		if *bound.n < 1 || *bound.n > MaxPageSize {
			return out, problem.New(problem.Invalid, "%s must be between 1 and %d, not %d", bound.name, MaxPageSize, *bound.n).At(bound.name)
		}
		out.size = *bound.n
	}
	if w.First != nil && w.Last != nil {
		return out, problem.New(problem.Invalid, "first and last can't be given together: first pages forwards, last backwards").At("last")
	}
	out.backwards = w.Last != nil
	for _, bound := range []struct {
		name   string
		cursor *string
		entry  **Entry
	}{{"after", w.After, &out.after}, {"before", w.Before, &out.before}} {
		if bound.cursor == nil {
			continue
		}
		e, err := decodeCursor(list, bound.name, *bound.cursor)
		if err != nil {
			return out, err
		}
		*bound.entry = &e
	}
	return out, nil
}

// missing stands for the value of an element without one in cursors.
const missing = "-"

// A cursor is base64url of the fingerprint of its list and the position, separated by spaces; times
// are Unix milliseconds in base 36, text comes last, because it may contain anything.
func encodeCursor(list string, e Entry) string {
	moment := ""
	switch {
	case e.Missing:
		moment = missing
	case !e.Time.IsZero():
		moment = strconv.FormatInt(e.Time.UnixMilli(), 36)
	case e.Number != 0:
		moment = "#" + strconv.FormatInt(e.Number, 36)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(fingerprint(list) + " " + string(e.ID) + " " + moment + " " + e.Text))
}

func decodeCursor(list, argument, cursor string) (Entry, error) {
	broken := problem.New(problem.Invalid, "%s is no cursor: %.40q; a cursor comes from an edge or the pageInfo of this list", argument, cursor).At(argument)
	if len(cursor) > maxCursor {
		return Entry{}, broken
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return Entry{}, broken
	}
	part := strings.SplitN(string(raw), " ", 4)
	if len(part) != 4 || len(part[0]) != fingerprintLen {
		return Entry{}, broken
	}
	if part[0] != fingerprint(list) {
		return Entry{}, problem.New(problem.Invalid, "%s is a cursor of another list: a cursor goes with the filter and order it came from", argument).At(argument)
	}
	e := Entry{Text: part[3]}
	if e.ID, err = id.Parse(part[1]); err != nil {
		return Entry{}, broken
	}
	if number, is := strings.CutPrefix(part[2], "#"); part[2] == missing {
		e.Missing = true
	} else if is {
		if e.Number, err = strconv.ParseInt(number, 36, 64); err != nil {
			return Entry{}, broken
		}
	} else if part[2] != "" {
		ms, err := strconv.ParseInt(part[2], 36, 64)
		if err != nil {
			return Entry{}, broken
		}
		e.Time = time.UnixMilli(ms).UTC()
	}
	return e, nil
}

const fingerprintLen = 11

// maxCursor bounds a cursor, in bytes. The longest of ours has 220: a SortKey of 100 bytes, an id,
// a time and a fingerprint, in base64.
const maxCursor = 512

func fingerprint(list string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(list))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// cut cuts the window w out of entries, which are in ascending or descending order.
func (w window) cut(list string, entries []Entry, descending bool) *Page {
	find := func(e *Entry) (int, bool) {
		return slices.BinarySearchFunc(entries, *e, func(a, b Entry) int { return a.order(b, descending) })
	}
	from, to := 0, len(entries)
	if w.after != nil {
		i, found := find(w.after)
		if found {
			i++
		}
		from = i
	}
	if w.before != nil {
		i, _ := find(w.before)
		to = i
	}
	to = max(from, to)
	if to-from > w.size {
		if w.backwards {
			from = to - w.size
		} else {
			to = from + w.size
		}
	}
	return &Page{Entries: entries[from:to], HasPrevious: from > 0, HasNext: to < len(entries), list: list}
}
