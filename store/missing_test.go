package store

// Lists by a field that some documents lack, read from the database and compared with sorting.

import (
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"stoa/id"
)

// placedAt is a document of this test alone: under a tag, at a time, a text or a number, or at nothing.
type placedAt struct {
	ID  id.ID `bson:"_id"`
	Tag id.ID `bson:"tag"`
	At  any   `bson:"at,omitempty"`
}

// entry is the place of d in a list.
func (d placedAt) entry() Entry {
	e := Entry{ID: d.ID}
	switch at := d.At.(type) {
	case time.Time:
		e.Time = at
	case string:
		e.Text = at
	case int64:
		e.Number = at
	default:
		e.Missing = true
	}
	return e
}

// Documents without a value come last, in both directions, from both ends and after any cursor, in
// pages of all documents and in heads and ends under a parent.
func TestMissingValuesComeLast(t *testing.T) {
	s := openStore(t, nil)
	const collection = "placed"
	rapid.Check(t, func(r *rapid.T) {
		tag := &Tag{ID: id.New(id.Tag)}
		tag.Slug = string(tag.ID)
		check(t, Tags.Add(t.Context(), s, tag))
		where := childrenOf{
			parents: tags, collection: collection, field: "tag", shown: bson.D{}, sort: "at", optional: true,
			value: rapid.SampledFrom([]valueType{timeValue, textValue, numberValue}).Draw(r, "value"), descending: rapid.Bool().Draw(r, "descending"),
		}
		var want []Entry
		for range rapid.IntRange(1, 9).Draw(r, "how many") {
			n := rapid.IntRange(-2, 1).Draw(r, "at")
			d := placedAt{id.New(id.Article), tag.ID, [...]any{timeValue: second(n), textValue: []string{"", "a", "b"}[max(n+1, 0)], numberValue: int64(n)}[where.value]}
			if rapid.IntRange(0, 2).Draw(r, "missing") == 0 {
				d.At = nil
			}
			_, err := s.db.Collection(collection).InsertOne(t.Context(), d)
			check(t, err)
			want = append(want, d.entry())
		}
		slices.SortFunc(want, func(a, b Entry) int {
			switch {
			case a.Missing != b.Missing && b.Missing:
				return -1
			case a.Missing != b.Missing:
				return 1
			case where.descending:
				return b.compare(a)
			}
			return a.compare(b)
		})
		q := query{collection: collection, filter: bson.D{{Key: "tag", Value: tag.ID}}, sort: "at", value: where.value, optional: true, descending: where.descending}
		whole, err := s.list(q, Window{})
		check(t, err)
		cursor := func(name string) *string {
			at := rapid.IntRange(0, len(want)).Draw(r, name)
			if at == len(want) {
				return nil
			}
			text := encodeCursor(whole.named, want[at])
			return &text
		}
		size := rapid.IntRange(1, 4).Draw(r, "size")
		w := Window{First: &size, After: cursor("after"), Before: cursor("before")}
		if rapid.Bool().Draw(r, "backwards") {
			w.First, w.Last = nil, &size
		}
		l, err := s.list(q, w)
		check(t, err)
		p, err := l.Page(t.Context())
		check(t, err)
		if cut := l.window.cut(l.named, want, where.descending).Entries; !slices.Equal(p.Entries, cut) {
			r.Fatalf("the page is\n%v, not\n%v", p.Entries, cut)
		}
		head := ChildrenKey(tag.ID)
		children := map[ChildrenKey]*Children{}
		check(t, s.readParts(t.Context(), where, []ChildrenKey{head, head + endSuffix}, children))
		for key, c := range children {
			if !slices.Equal(c.entries, want) {
				r.Fatalf("%s is\n%v, not\n%v", key, c.entries, want)
			}
		}
	})
}
