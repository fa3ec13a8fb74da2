package store

// The keys that a write makes stale, compared with the answers that it changes, over random
// articles.

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoa/access"
	"stoa/id"
)

func TestWhatAChangeOfAnArticleMakesStale(t *testing.T) {
	const a, b, x, y = id.ID("aut_a"), id.ID("aut_b"), id.ID("tag_x"), id.ID("tag_y")
	base := &Article{
		ID: "art_1", Slug: "press", OldSlugs: []string{"presse"}, TitleKey: "press", Status: Published,
		PublishedAt: second(100), UpdatedAt: second(200), OwnerID: "acc_1", AuthorIDs: []id.ID{a}, TagIDs: []id.ID{x},
	}
	with := func(change func(*Article)) *Article { return changedTo(base, change) }
	itself, slugs := []string{"art_1"}, []string{"slug/articles/press", "slug/articles/presse"}
	everywhere := append([]string{
		"list/all", "children/aut_a", "list/aut_a", "children/tag_x", "list/tag_x", "list/articles/titleKey", "list/articles/updatedAt",
	}, itself...)
	desk := []string{"list/queue", "list/drafts/acc_1"}
	appears := append(slices.Clone(desk), everywhere...)
	comes := append(append([]string{"events/all"}, everywhere...), slugs...)
	status := func(s Status) func(*Article) { return func(a *Article) { a.Status = s } }
	cases := map[string]struct {
		reason        string
		before, after *Article
		more          []string // besides itself, or instead of it if whole is set
		whole         bool
	}{
		"Draft":         {"those who edit see a draft", nil, with(status(Draft)), append(slices.Clone(slugs), desk...), false},
		"DraftTouched":  {"and when it was changed", with(status(Draft)), with(func(a *Article) { a.Status, a.UpdatedAt = Draft, second(201) }), desk, false},
		"GivenAway":     {"and whose it is", with(status(Draft)), with(func(a *Article) { a.Status, a.OwnerID = Draft, "acc_2" }), append([]string{"list/drafts/acc_2"}, desk...), false},
		"DeletedDraft":  {"and what was deleted", with(status(Draft)), with(func(a *Article) { a.Status, a.DeletedAt = Deleted, second(300) }), desk, false},
		"Purged":        {"and what is deleted for good", with(status(Deleted)), with(status(purging)), desk, false},
		"PurgedThen":    {"which nobody sees go", with(status(purging)), nil, slugs, false},
		"DraftChanged":  {"no more than that", with(status(Draft)), with(func(a *Article) { a.Status, a.TitleKey, a.TagIDs = Draft, "other", nil }), nil, false},
		"Scheduled":     {"somebody may have to get up earlier", nil, with(status(Scheduled)), append(append([]string{"due"}, desk...), slugs...), false},
		"Rescheduled":   {"or later", with(status(Scheduled)), with(func(a *Article) { a.Status, a.PublishedAt = Scheduled, second(300) }), []string{"due"}, false},
		"Published":     {"it appears in every list, and those who wait for it are told", nil, base, comes, true},
		"Appears":       {"whether it was due", with(status(Scheduled)), base, append([]string{"due", "events/all"}, appears...), true},
		"AppearsDraft":  {"or a draft", with(status(Draft)), base, append([]string{"events/all"}, appears...), true},
		"Vanishes":      {"it leaves every list", base, with(status(Draft)), append([]string{"events/all"}, appears...), true},
		"Deleted":       {"for good", base, nil, comes, true},
		"Nothing":       {"a change of nothing that lists know", base, with(func(a *Article) { a.Summary = "other" }), nil, false},
		"Text":          {"its place among the last changed", base, with(func(a *Article) { a.UpdatedAt = second(201) }), []string{"list/articles/updatedAt"}, false},
		"Title":         {"its place in the alphabet", base, with(func(a *Article) { a.TitleKey = "other" }), []string{"list/articles/titleKey"}, false},
		"Case":          {"a title of the same place", base, with(func(a *Article) { a.Title = "PRESS" }), nil, false},
		"Slug":          {"what it will be found by, and goes on to be found by", base, with(func(a *Article) { a.Slug, a.OldSlugs = "new", []string{"presse", "press"} }), []string{"slug/articles/new"}, false},
		"OldSlug":       {"an old slug that it gives up", base, with(func(a *Article) { a.OldSlugs = nil }), []string{"slug/articles/presse"}, false},
		"Date":          {"its place in every list, those of other orders by its filter", base, with(func(a *Article) { a.PublishedAt = second(101) }), []string{"list/all", "children/aut_a", "list/aut_a", "children/tag_x", "list/tag_x"}, false},
		"Tagged":        {"one list more", base, with(func(a *Article) { a.TagIDs = []id.ID{x, y} }), []string{"children/tag_y", "list/tag_y"}, false},
		"Retagged":      {"one list for another", base, with(func(a *Article) { a.TagIDs = []id.ID{y} }), []string{"children/tag_x", "list/tag_x", "children/tag_y", "list/tag_y"}, false},
		"Untagged":      {"one list less", base, with(func(a *Article) { a.TagIDs = nil }), []string{"children/tag_x", "list/tag_x"}, false},
		"Author":        {"another author", base, with(func(c *Article) { c.AuthorIDs = []id.ID{b, a} }), []string{"children/aut_b", "list/aut_b"}, false},
		"Byline":        {"the same authors the other way round", with(func(c *Article) { c.AuthorIDs = []id.ID{b, a} }), with(func(c *Article) { c.AuthorIDs = []id.ID{a, b} }), nil, false},
		"DateAndTag":    {"all that it was under and is under", base, with(func(a *Article) { a.PublishedAt, a.TagIDs = second(50), []id.ID{y} }), []string{"list/all", "children/aut_a", "list/aut_a", "children/tag_x", "list/tag_x", "children/tag_y", "list/tag_y"}, false},
		"VanishesTag":   {"what it was under as it was public, and nothing else", base, with(func(a *Article) { a.Status, a.TagIDs = Draft, []id.ID{y} }), append([]string{"events/all"}, appears...), true},
		"NothingAtAll":  {"nothing of nothing", nil, nil, []string{}, true},
		"WithoutOthers": {"by nobody, about nothing", nil, &Article{ID: "art_2", Slug: "s", Status: Published}, []string{"art_2", "events/all", "slug/articles/s", "list/all", "list/articles/titleKey", "list/articles/updatedAt"}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := c.more
			if !c.whole {
				want = append(slices.Clone(itself), c.more...)
			}
			want = slices.Clone(want)
			if c.before != nil && c.before.Public() || c.after != nil && c.after.Public() {
				want = append(want, "editions/art", addressesTag) // every change of a public thing
				slices.Sort(want)
				want = slices.Compact(want)
			}
			slices.Sort(want)
			if c.before != nil && c.after != nil {
				c.after = changedTo(c.after, func(a *Article) { a.Version++ })
			}
			if got := Articles.stale(c.before, c.after); !slices.Equal(got, want) {
				t.Errorf("%s:\n%v\nwant\n%v", c.reason, got, want)
			}
		})
	}
}

// Every answer that a change modifies depends on something that the change makes stale: compared
// with answers computed from the articles alone.
func TestNoAnswerOutlivesWhatItWasMadeOf(t *testing.T) {
	s := openStore(t, nil)
	c := writeCrowd(t, s, 0)
	lists := everyList(t, s)
	everyDesk(t, s, lists)
	rapid.Check(t, func(t *rapid.T) {
		c.articles = nil
		for i := range 4 {
			c.articles = append(c.articles, c.article(t, i))
		}
		at := rapid.IntRange(0, 3).Draw(t, "which")
		before := c.articles[at]
		after := c.article(t, at)
		if rapid.Bool().Draw(t, "a little") {
			after = c.little(t, before)
		}
		was := c.answers(lists)
		c.articles[at] = after
		is := c.answers(lists)
		keys := Articles.stale(before, after)
		for _, question := range slices.Sorted(maps.Keys(was)) {
			depends := lists[question].deps
			if depends == nil {
				depends = []string{question}
			}
			if was[question] != is[question] && !slices.ContainsFunc(depends, func(d string) bool { return slices.Contains(keys, d) }) {
				t.Errorf("%s was %s and is %s; it depends on %v, but stale are %v", question, was[question], is[question], depends, keys)
			}
		}
	})
}

type listed struct {
	filter ArticleFilter
	desk   *desk // instead of filter, for lists of authors and editors
	deps   []string
}

// desk is a list of articles to work on.
type desk struct {
	owner    id.ID // "" for everybody's
	statuses []Status
}

// everyDesk is one list for each desk of two authors and an editor.
func everyDesk(t *testing.T, s *Store, all map[string]listed) {
	t.Helper()
	for _, v := range []access.Viewer{{Account: "acc_0", Role: access.Author}, {Account: "acc_1", Role: access.Author}, {Account: "acc_2", Role: access.Editor}} {
		for _, statuses := range [][]Status{{Draft, Scheduled}, {Scheduled}, {Deleted}} {
			d := &desk{statuses: statuses}
			if v.Role == access.Author {
				d.owner = v.Account
			}
			ctx, _ := access.Begin(t.Context(), access.Request{})
			access.Become(ctx, v)
			l, err := s.ListDesk(ctx, statuses, d.owner != "", Window{})
			check(t, err)
			all[l.query.name()] = listed{desk: d, deps: l.query.tags}
		}
	}
}

// of is d's articles, each with the values that decide on its position.
func (d desk) of(articles []*Article) string {
	out := ""
	for _, a := range articles {
		if (d.owner == "" || a.OwnerID == d.owner) && slices.Contains(d.statuses, a.Status) {
			moment := a.UpdatedAt
			if a.Status == Deleted {
				moment = a.DeletedAt
			}
			out += fmt.Sprint(a.ID, " ", moment.Unix(), ", ")
		}
	}
	return out
}

// everyList is one list for each combination of conditions and orders, with its dependencies by the
// store.
func everyList(t *testing.T, s *Store) map[string]listed {
	t.Helper()
	all := map[string]listed{}
	text := func(s string) *string { return &s }
	from, before := second(1_000_001), second(1_000_002)
	for _, tag := range []*string{nil, text("tag-0"), text("tag-1")} {
		for _, author := range []*string{nil, text("author-0"), text("author-1")} {
			for _, order := range []ArticleOrder{ByPublished, ByTitle, ByUpdated} {
				for _, bounds := range [][2]*time.Time{{nil, nil}, {&from, nil}, {nil, &before}} {
					f := ArticleFilter{Tag: tag, Author: author, Order: order, PublishedFrom: bounds[0], PublishedBefore: bounds[1]}
					l, err := s.ListArticles(t.Context(), f, Window{})
					check(t, err)
					all[l.query.name()] = listed{filter: f, deps: l.query.tags}
				}
			}
		}
	}
	return all
}

// answers are all cacheable answers about c's articles, by key.
func (c crowd) answers(lists map[string]listed) map[string]string {
	out := map[string]string{"due": ""}
	for name, l := range lists {
		if l.desk != nil {
			out[name] = l.desk.of(c.articles)
			continue
		}
		out[name] = fmt.Sprint(c.list(l.filter))
	}
	under := map[ChildrenKey]ArticleFilter{}
	for i := range c.tags {
		under[ChildrenKey(c.tags[i].ID)] = ArticleFilter{Order: ByPublished, Tag: &c.tags[i].Slug}
		under[ChildrenKey(c.authors[i].ID)] = ArticleFilter{Order: ByPublished, Author: &c.authors[i].Slug}
	}
	var due []time.Time
	for key, f := range under {
		for _, a := range c.articles {
			if c.meets(a, f) {
				out[childrenKey(key)] += fmt.Sprint(a.ID, a.PublishedAt.UnixMilli(), " ")
			}
		}
	}
	for _, a := range c.articles {
		out[string(a.ID)] = fmt.Sprintf("%+v", *a)
		if a.Status == Scheduled {
			due = append(due, a.PublishedAt)
		}
	}
	for _, a := range c.articles {
		for _, old := range a.OldSlugs {
			out[slug{articles, old}.key()] = string(a.ID)
		}
	}
	for _, a := range c.articles {
		out[slug{articles, a.Slug}.key()] = string(a.ID)
	}
	if len(due) > 0 {
		out["due"] = slices.MinFunc(due, time.Time.Compare).String()
	}
	return out
}

// article draws the i-th article.
func (c crowd) article(t *rapid.T, i int) *Article {
	some := func(name string, from []id.ID) []id.ID {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID).Draw(t, name)
	}
	a := &Article{ID: id.ID(fmt.Sprintf("art_%d", i)), Slug: fmt.Sprintf("%d-%d", i, rapid.IntRange(0, 1).Draw(t, "slug"))}
	a.OldSlugs = rapid.SliceOfN(rapid.SampledFrom([]string{fmt.Sprintf("%d-old", i), fmt.Sprintf("%d-older", i)}), 0, 1).Draw(t, "old slugs")
	a.Status = rapid.SampledFrom([]Status{Published, Published, Published, Scheduled, Draft, Deleted, purging}).Draw(t, "status")
	a.OwnerID = rapid.SampledFrom([]id.ID{"acc_0", "acc_1", ""}).Draw(t, "owner")
	a.DeletedAt = second(1_000_000 + rapid.IntRange(0, 1).Draw(t, "deleted"))
	a.PublishedAt = second(1_000_000 + rapid.IntRange(0, 3).Draw(t, "published"))
	a.UpdatedAt = a.PublishedAt.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "updated")) * time.Second)
	a.TitleKey = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "title")
	a.TagIDs = some("tags", []id.ID{c.tags[0].ID, c.tags[1].ID, c.tags[2].ID})
	a.AuthorIDs = some("authors", []id.ID{c.authors[0].ID, c.authors[1].ID, c.authors[2].ID})
	return a
}

// little draws a change of one thing of an article.
func (c crowd) little(t *rapid.T, a *Article) *Article {
	other := c.article(t, int(a.ID[len(a.ID)-1]-'0'))
	return changedTo(a, func(a *Article) {
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 8:
			a.OwnerID = other.OwnerID
		case 9:
			a.DeletedAt = other.DeletedAt
		case 0:
			a.Slug = other.Slug
		case 1:
			a.OldSlugs = other.OldSlugs
		case 2:
			a.Status = other.Status
		case 3:
			a.PublishedAt = other.PublishedAt
		case 4:
			a.UpdatedAt = other.UpdatedAt
		case 5:
			a.TitleKey = other.TitleKey
		case 6:
			a.TagIDs = other.TagIDs
		default:
			a.AuthorIDs = other.AuthorIDs
		}
	})
}

func TestKeysOfDifferentThingsAreDifferent(t *testing.T) {
	at := second(1)
	s := openStore(t, nil)
	var all []string
	for name, l := range everyList(t, s) {
		parsed, err := s.ListArticles(t.Context(), l.filter, Window{})
		check(t, err)
		all = append(all, parsed.CacheKey(), fmt.Sprintf("count/%s", name))
	}
	all = append(all, neighboursKey(PositionOf(&Article{ID: "art_1", PublishedAt: at})), listTag(AllArticles), orderTag(ByTitle), orderTag(ByUpdated), dueKey, listTag(authors), listTag(tags),
		slug{articles, "x"}.key(), slug{authors, "x"}.key(), slug{tags, "x"}.key(), string(id.At(id.Article, at)))
	slices.Sort(all)
	for i := 1; i < len(all); i++ {
		// Lists by an unknown tag and by an unknown author are equally empty.
		if all[i] == all[i-1] && !strings.HasSuffix(all[i], "&true") {
			t.Errorf("two things are kept under %s", all[i])
		}
	}
}
