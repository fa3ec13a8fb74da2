package store

// Pages of lists, compared with the sorted list, over random articles.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoa/id"
)

// crowd is a blog with many equal values: few times, titles, tags and authors, and some articles
// that aren't published.
type crowd struct {
	articles []*Article
	tags     []*Tag
	authors  []*Author
}

func writeCrowd(t *testing.T, s *Store, n int) crowd {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var c crowd
	for i := range 3 {
		c.tags = append(c.tags, &Tag{ID: id.New(id.Tag), Slug: fmt.Sprintf("tag-%d", i), NameKey: "same"})
		c.authors = append(c.authors, &Author{ID: id.New(id.Author), Slug: fmt.Sprintf("author-%d", i), NameKey: "same"})
		check(t, Tags.Add(t.Context(), s, c.tags[i]))
		check(t, Authors.Add(t.Context(), s, c.authors[i]))
	}
	for i := range n {
		a := published(fmt.Sprintf("article-%d", i), second(1_000_000+random.IntN(6)))
		a.ID = id.New(id.Article) // its order is independent of the time of publication
		a.UpdatedAt = a.PublishedAt.Add(time.Duration(random.IntN(3)) * time.Millisecond)
		a.TitleKey = []string{"", "a", "b", "ß"}[random.IntN(4)]
		a.Status = []Status{Published, Published, Published, Published, Draft, Scheduled}[random.IntN(6)]
		for i := range 3 {
			if random.IntN(3) == 0 {
				a.TagIDs = append(a.TagIDs, c.tags[i].ID)
			}
			if random.IntN(3) == 0 {
				a.AuthorIDs = append(a.AuthorIDs, c.authors[i].ID)
			}
		}
		check(t, s.AddArticle(t.Context(), a))
		c.articles = append(c.articles, a)
	}
	return c
}

// filter draws a filter that some articles of c may meet.
func (c crowd) filter(t *rapid.T) ArticleFilter {
	f := ArticleFilter{
		Order:      rapid.SampledFrom([]ArticleOrder{ByPublished, ByTitle, ByUpdated}).Draw(t, "order"),
		Descending: rapid.Bool().Draw(t, "descending"),
	}
	slug := func(what string) *string {
		switch i := rapid.IntRange(-2, 3).Draw(t, what); {
		case i < 0:
			return nil
		default:
			s := fmt.Sprintf("%s-%d", what, i) // there is no third
			return &s
		}
	}
	moment := func(name string) *time.Time {
		if rapid.IntRange(0, 2).Draw(t, name) > 0 {
			return nil
		}
		at := second(1_000_000 + rapid.IntRange(-1, 7).Draw(t, name))
		return &at
	}
	f.Tag, f.Author = slug("tag"), slug("author")
	f.PublishedFrom, f.PublishedBefore = moment("from"), moment("before")
	if rapid.IntRange(0, 3).Draw(t, "by ids") == 0 {
		f.IDs = []id.ID{}
		for range rapid.IntRange(0, 20).Draw(t, "ids") {
			f.IDs = append(f.IDs, rapid.SampledFrom(c.articles).Draw(t, "id").ID)
		}
	}
	return f
}

// meets reports whether an article is in a list, and less gives its order: from the articles alone,
// by the rules in the schema's descriptions.
func (c crowd) meets(a *Article, f ArticleFilter) bool {
	named := func(slug *string, ids []id.ID) bool {
		if slug == nil {
			return true
		}
		for i := range c.tags {
			if *slug == c.tags[i].Slug && slices.Contains(ids, c.tags[i].ID) || *slug == c.authors[i].Slug && slices.Contains(ids, c.authors[i].ID) {
				return true
			}
		}
		return false
	}
	return a.Status == Published && named(f.Tag, a.TagIDs) && named(f.Author, a.AuthorIDs) &&
		(f.PublishedFrom == nil || !a.PublishedAt.Before(*f.PublishedFrom)) &&
		(f.PublishedBefore == nil || a.PublishedAt.Before(*f.PublishedBefore)) &&
		(f.IDs == nil || slices.Contains(f.IDs, a.ID))
}

func less(a, b *Article, f ArticleFilter) int {
	c := a.PublishedAt.Compare(b.PublishedAt)
	switch f.Order {
	case ByTitle:
		c = strings.Compare(a.TitleKey, b.TitleKey)
	case ByUpdated:
		c = a.UpdatedAt.Compare(b.UpdatedAt)
	}
	if c == 0 {
		c = strings.Compare(string(a.ID), string(b.ID))
	}
	if f.Descending {
		return -c
	}
	return c
}

func (c crowd) list(f ArticleFilter) []id.ID {
	var in []*Article
	for _, a := range c.articles {
		if c.meets(a, f) {
			in = append(in, a)
		}
	}
	slices.SortFunc(in, func(a, b *Article) int { return less(a, b, f) })
	ids := []id.ID{}
	for _, a := range in {
		ids = append(ids, a.ID)
	}
	return ids
}

// Pages by keyset are the parts of the sorted list, with any number of equal elements.
func TestPagesOfTheDatabaseArePartsOfTheSortedList(t *testing.T) {
	s := openStore(t, nil)
	c := writeCrowd(t, s, 60)
	rapid.Check(t, func(t *rapid.T) {
		f := c.filter(t)
		whole := c.list(f)
		ask := func(w Window) *Page {
			l, err := s.ListArticles(t.Context(), f, w)
			if err != nil {
				t.Fatal(err)
			}
			p, err := l.Page(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		all := MaxPageSize
		first := ask(Window{First: &all})
		if got := idsOf(first); !slices.Equal(got, whole) {
			t.Fatalf("the list is %v; want %v", got, whole)
		}
		most := rapid.IntRange(1, 70).Draw(t, "most")
		l, err := s.ListArticles(t.Context(), f, Window{})
		if err != nil {
			t.Fatal(err)
		}
		if n, exact, err := l.Count(t.Context(), most); err != nil || n != min(most, len(whole)) || exact != (len(whole) <= most) {
			t.Errorf("counted to %d: %d, %t, %v; the list has %d", most, n, exact, err, len(whole))
		}
		size := rapid.IntRange(1, 7).Draw(t, "size")
		from, to := rapid.IntRange(0, len(whole)).Draw(t, "from"), rapid.IntRange(0, len(whole)).Draw(t, "to")
		w := Window{}
		if from > 0 {
			cursor := first.Cursor(from - 1)
			w.After = &cursor
		}
		if to < len(whole) {
			cursor := first.Cursor(to)
			w.Before = &cursor
		}
		want := []id.ID{}
		if from < to {
			want = whole[from:to]
		}
		if backwards := rapid.Bool().Draw(t, "backwards"); backwards {
			w.Last = &size
			want = want[max(0, len(want)-size):]
		} else {
			w.First = &size
			want = want[:min(len(want), size)]
		}
		got := ask(w)
		if !slices.Equal(append([]id.ID{}, idsOf(got)...), want) {
			t.Fatalf("page %v; want %v", idsOf(got), want)
		}
		for i, e := range got.Entries {
			if at := slices.Index(whole, e.ID); got.Cursor(i) != first.Cursor(at) {
				t.Errorf("the cursor of %s depends on the page", e.ID)
			}
		}
		if len(want) > 0 && (got.HasPrevious != (want[0] != whole[0]) || got.HasNext != (want[len(want)-1] != whole[len(whole)-1])) {
			t.Errorf("HasPrevious %t, HasNext %t", got.HasPrevious, got.HasNext)
		}
	})
}

// Lists cut from memory have the same elements as those that the database orders.
func TestChildrenAgreeWithLists(t *testing.T) {
	s := openStore(t, nil)
	c := writeCrowd(t, s, 60)
	keys := []ChildrenKey{ChildrenKey(id.New(id.Tag)), ChildrenKey(id.New(id.Author)), ChildrenKey(id.New(id.Article))}
	newest := ArticleFilter{Order: ByPublished, Descending: true}
	want := [][]id.ID{{}, {}, {}}
	for i := range c.tags {
		f := newest
		f.Tag = &c.tags[i].Slug
		keys, want = append(keys, ChildrenKey(c.tags[i].ID)), append(want, c.list(f))
		f = newest
		f.Author = &c.authors[i].Slug
		keys, want = append(keys, ChildrenKey(c.authors[i].ID)), append(want, c.list(f))
	}
	children, err := s.Children(t.Context(), keys)
	check(t, err)
	all := MaxPageSize
	for i, o := range children {
		slice, err := NewChildrenWindow(keys[i], "", Window{First: &all})
		check(t, err)
		if got := append([]id.ID{}, idsOf(pageOf(t, slice, o))...); !slices.Equal(got, want[i]) || lengthOf(o) != len(want[i]) {
			t.Errorf("%s: %v, %d of them; want %v", keys[i], got, lengthOf(o), want[i])
		}
	}
}

func TestAListOfNothingNeedsNoCommand(t *testing.T) {
	s := openStore(t, nil)
	none := "none"
	for name, f := range map[string]ArticleFilter{
		"NoSuchTag": {Tag: &none, Order: ByPublished}, "NoSuchAuthor": {Author: &none, Order: ByTitle}, "NoIDs": {IDs: []id.ID{}, Order: ByUpdated},
	} {
		l, err := s.ListArticles(t.Context(), f, Window{})
		check(t, err)
		p, err := l.Page(t.Context())
		if err != nil || len(p.Entries) != 0 || p.HasNext || p.HasPrevious {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if n, exact, err := l.Count(t.Context(), 5); err != nil || n != 0 || !exact {
			t.Errorf("%s: %d, %t, %v", name, n, exact, err)
		}
	}
}
