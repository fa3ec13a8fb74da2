package store

// Lists under a parent: threads, windows on a head and beyond it, and the form in Redis.

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stoa/id"
)

func second(n int) time.Time { return time.Unix(int64(n), 0).UTC() }

func TestThreadsAreCountedAsFarAsTheyCanBeReached(t *testing.T) {
	// a thread is written as child:parent, in any order; "a" replies to the article itself.
	cases := map[string]struct {
		reason  string
		rows    []row
		len     int // everything
		top     []id.ID
		replies map[id.ID]int
	}{
		"Nothing": {"nobody has said anything", nil, 0, nil, map[id.ID]int{"a": 0}},
		"Flat":    {"oldest first, and equal times in the order of ids", []row{{ID: "c", Parent: "", Time: second(2), Gone: false}, {ID: "b", Parent: "", Time: second(1), Gone: false}, {ID: "a", Parent: "", Time: second(2), Gone: false}}, 3, []id.ID{"b", "a", "c"}, map[id.ID]int{"a": 0}},
		"Thread":  {"replies count for the article, only direct ones for a comment", []row{{ID: "c", Parent: "b", Time: second(3), Gone: false}, {ID: "a", Parent: "", Time: second(1), Gone: false}, {ID: "b", Parent: "a", Time: second(2), Gone: false}, {ID: "d", Parent: "a", Time: second(4), Gone: false}}, 4, []id.ID{"a"}, map[id.ID]int{"a": 2, "b": 1, "c": 0, "d": 0}},
		"Orphan":  {"a reply to what isn't there can't be reached", []row{{ID: "a", Parent: "", Time: second(1), Gone: false}, {ID: "c", Parent: "gone", Time: second(3), Gone: false}}, 1, []id.ID{"a"}, map[id.ID]int{"a": 0}},
		"Orphans": {"nor can replies to it", []row{{ID: "a", Parent: "", Time: second(1), Gone: false}, {ID: "c", Parent: "gone", Time: second(3), Gone: false}, {ID: "d", Parent: "c", Time: second(4), Gone: false}, {ID: "e", Parent: "d", Time: second(5), Gone: false}}, 1, []id.ID{"a"}, map[id.ID]int{"a": 0}},
		"Circle":  {"nor can those that answer one another", []row{{ID: "a", Parent: "", Time: second(1), Gone: false}, {ID: "b", Parent: "c", Time: second(2), Gone: false}, {ID: "c", Parent: "b", Time: second(3), Gone: false}}, 1, []id.ID{"a"}, map[id.ID]int{"a": 0}},
		"Gone":    {"what is left of a comment is shown for its answer", []row{{ID: "a", Parent: "", Time: second(1), Gone: true}, {ID: "b", Parent: "a", Time: second(2), Gone: false}}, 2, []id.ID{"a"}, map[id.ID]int{"a": 1}},
		"Goner":   {"and for that alone", []row{{ID: "a", Parent: "", Time: second(1), Gone: true}, {ID: "b", Parent: "a", Time: second(2), Gone: true}, {ID: "c", Parent: "", Time: second(3), Gone: false}}, 1, []id.ID{"c"}, map[id.ID]int{"a": 0}},
		"Twice":   {"one row twice is one comment", []row{{ID: "a", Parent: "", Time: second(1), Gone: false}, {ID: "b", Parent: "a", Time: second(2), Gone: false}, {ID: "a", Parent: "", Time: second(1), Gone: false}, {ID: "b", Parent: "a", Time: second(2), Gone: false}}, 2, []id.ID{"a"}, map[id.ID]int{"a": 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := newChildren(slices.Clone(c.rows), true, false)
			if lengthOf(o) != c.len {
				t.Errorf("%s: Len is %d; want %d", c.reason, lengthOf(o), c.len)
			}
			for comment, want := range c.replies {
				if got := o.Replies(comment); got != want {
					t.Errorf("%s: %s has %d replies; want %d", c.reason, comment, got, want)
				}
			}
			s, err := NewChildrenWindow("art_x", "", Window{})
			if err != nil {
				t.Fatal(err)
			}
			if got := idsOf(pageOf(t, s, o)); !slices.Equal(got, c.top) || len(s.elements(o)) != len(c.top) {
				t.Errorf("%s: the article's own comments are %v, %d of them; want %v", c.reason, got, len(s.elements(o)), c.top)
			}
		})
	}
}

// lengthOf is the number of elements of a list that is in memory as a whole.
func lengthOf(c *Children) int {
	n, all := c.Len()
	if !all {
		return -1
	}
	return n
}

func pageOf(t *testing.T, w *ChildrenWindow, c *Children) *Page {
	t.Helper()
	p, ok := w.Page(c)
	if !ok {
		t.Fatal("the window reaches beyond what is known")
	}
	return p
}

func idsOf(p *Page) []id.ID {
	var ids []id.ID
	for _, e := range p.Entries {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestAWindowTakesCursorsOfItsOwnListOnly(t *testing.T) {
	o := newChildren([]row{{ID: id.New(id.Comment), Parent: "", Time: second(1), Gone: false}, {ID: id.New(id.Comment), Parent: "", Time: second(2), Gone: false}}, true, false)
	first, err := NewChildrenWindow("art_x", "", Window{})
	if err != nil {
		t.Fatal(err)
	}
	cursor := pageOf(t, first, o).Cursor(0)
	for name, c := range map[string]struct {
		reason string
		key    ChildrenKey
		under  id.ID
		taken  bool
	}{
		"Same":    {"the list that gave it", "art_x", "", true},
		"Parent":  {"another article's comments", "art_y", "", false},
		"Replies": {"the replies to a comment on the same article", "art_x", "com_a", false},
		"Joined":  {"names that would look the same if they were joined carelessly", "art_x/", "", false},
	} {
		s, err := NewChildrenWindow(c.key, c.under, Window{After: &cursor})
		if (err == nil) != c.taken {
			t.Errorf("%s: %s: %v", name, c.reason, err)
		}
		if c.taken && len(pageOf(t, s, o).Entries) != 1 {
			t.Errorf("%s: %v follow", name, pageOf(t, s, o).Entries)
		}
	}
}

// A list under a parent comes back from Redis unchanged.
func TestChildrenSurviveBeingWrittenDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rows []row
		for i := range rapid.IntRange(0, 20).Draw(t, "n") {
			r := row{ID: id.ID(fmt.Sprintf("com_%d", i)), Time: time.UnixMilli(rapid.Int64Range(-3, 3).Draw(t, "time")).UTC()}
			if i > 0 && rapid.Bool().Draw(t, "reply") {
				r.Parent = rows[rapid.IntRange(0, i-1).Draw(t, "parent")].ID
			}
			rows = append(rows, r)
		}
		threads := rapid.Bool().Draw(t, "threads")
		if !threads {
			for i := range rows {
				rows[i].Time, rows[i].Text, rows[i].Number = time.Time{}, rapid.StringN(0, 2, 4).Draw(t, "text"), rapid.Int64Range(-2, 2).Draw(t, "number")
			}
		}
		o := newChildren(rows, threads, !threads && rapid.Bool().Draw(t, "descending"))
		b, err := encodeChildren(o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeChildren(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(o.entries, again.entries); diff != "" {
			t.Errorf("entries: %s", diff)
		}
		if diff := cmp.Diff(o.replies, again.replies); diff != "" {
			t.Errorf("replies: %s", diff)
		}
		if o.threads {
			if diff := cmp.Diff(o.depths, again.depths); diff != "" {
				t.Errorf("depths: %s", diff)
			}
		}
		if o.threads != again.threads || o.descending != again.descending || lengthOf(o) != lengthOf(again) || lengthOf(o) != len(rows) {
			t.Errorf("threads %t, %t; descending %t, %t; %d, %d of %d elements", o.threads, again.threads, o.descending, again.descending, lengthOf(o), lengthOf(again), len(rows))
		}
	})
}

// Every window on a list with more articles than its head shows the same as that window on the
// whole list. So do the windows on a list with as many articles as a head, or one more.
func TestAWindowBeyondTheHeadIsAsOneOntoTheWholeList(t *testing.T) {
	s := openStore(t, nil)
	for name, c := range map[string]struct {
		n    int
		kind id.Kind
	}{
		"Less": {headSize - 1, id.Tag}, "Full": {headSize, id.Author}, "OneMore": {headSize + 1, id.Tag}, "Tag": {2*headSize + 50, id.Tag},
		"Author": {2*headSize + 50, id.Author}, "Sessions": {2*headSize + 50, id.Account}, "Revisions": {2*headSize + 50, id.Revision},
	} {
		n, parent := c.n, id.New(c.kind)
		key := ChildrenKey(parent)
		var all []any
		var rows []row
		at := func(i int) (id.ID, time.Time) {
			r := row{ID: id.New(map[id.Kind]id.Kind{id.Account: id.Session, id.Revision: id.Revision}[c.kind]), Time: second(i / 3)} // three at a time
			if c.kind == id.Tag || c.kind == id.Author {
				r.ID = id.New(id.Article)
			}
			rows = append(rows, r)
			return r.ID, r.Time
		}
		switch c.kind {
		case id.Tag:
			check(t, Tags.Add(t.Context(), s, &Tag{ID: parent, Slug: name}))
		case id.Author:
			check(t, Authors.Add(t.Context(), s, &Author{ID: parent, Slug: name}))
		case id.Account:
			check(t, s.AddAccount(t.Context(), &Secret{Account: Account{ID: parent}}))
		case id.Revision:
			a := published(name, second(1))
			key = RevisionsOf(a.ID)
			check(t, s.AddArticle(t.Context(), a))
		}
		for i := range n {
			child, created := at(i)
			switch c.kind {
			case id.Account:
				all = append(all, &Session{ID: child, AccountID: parent, CreatedAt: created}, &Session{ID: id.New(id.Session), AccountID: parent, Ended: true})
			case id.Revision:
				all = append(all, &Revision{ID: child, ArticleID: key.document(), CreatedAt: created})
			default:
				a := published(fmt.Sprint(name, i), created)
				a.ID, a.TagIDs, a.AuthorIDs, a.Event = child, []id.ID{parent}, []id.ID{parent}, fmt.Sprint(name, i)
				all = append(all, a)
			}
		}
		_, err := s.db.Collection(key.children().collection).InsertMany(t.Context(), all)
		check(t, err)
		whole := newChildren(rows, false, true)
		found, err := s.Children(t.Context(), []ChildrenKey{key, key.End(Window{Last: new(int)})})
		check(t, err)
		if got := len(found[0].rows); got > headSize {
			t.Errorf("%d rows are kept of %d", got, n)
		}
		counted, err := s.ChildrenCounts(t.Context(), []ChildrenKey{key})
		check(t, err)
		if counted[0].N != n {
			t.Errorf("%d are counted of %d", counted[0].N, n)
		}
		cursors := []*string{nil}
		for _, at := range []int{0, 1, 98, 99, 100, 150, headSize - 2, headSize - 1, headSize, headSize + 1, 300, 448} {
			if at < n {
				cursor := encodeCursor("children/"+string(key)+"/", whole.entries[at])
				cursors = append(cursors, &cursor)
			}
		}
		for _, size := range []int{1, 99, MaxPageSize} {
			for _, backwards := range []bool{false, true} {
				for i, after := range cursors {
					for j, before := range cursors {
						if i > 0 && j > 0 && j <= i {
							continue // nothing is after an element and before it
						}
						w := Window{First: &size, After: after, Before: before}
						if backwards {
							w.First, w.Last = nil, &size
						}
						part, err := NewChildrenWindow(key, "", w)
						check(t, err)
						known := found[0]
						if part.Key().isEnd() {
							known = found[1]
						}
						got, ok := part.Page(known)
						if !ok {
							got, err = part.Beyond(s).Page(t.Context())
							check(t, err)
						}
						want := part.window.cut(part.name(), whole.entries, true)
						if !slices.Equal(idsOf(got), idsOf(want)) || got.HasNext != want.HasNext || got.HasPrevious != want.HasPrevious {
							t.Fatalf("%s: of %d, %d backwards %t after %d before %d: %d elements, next %t, previous %t; want %d, %t, %t", name, n, size, backwards, i, j,
								len(got.Entries), got.HasNext, got.HasPrevious, len(want.Entries), want.HasNext, want.HasPrevious)
						}
					}
				}
			}
		}
	}
}
