package store

// Tests of Neighbours: the articles published next before and next after an article.

import (
	"slices"
	"testing"

	"stoa/id"
)

func TestNeighboursAreWhatWasPublishedNextToAnArticle(t *testing.T) {
	s := openStore(t, nil)
	var articles []*Article
	add := func(slug string, at int, status Status) *Article {
		a := published(slug, second(at))
		a.Status = status
		check(t, s.AddArticle(t.Context(), a))
		articles = append(articles, a)
		return a
	}
	oldest := add("oldest", 1, Published)
	add("draft", 2, Draft)
	twins := []*Article{add("twin-1", 3, Published), add("twin-2", 3, Published), add("twin-3", 3, Published)}
	slices.SortFunc(twins, func(a, b *Article) int { return Entry{ID: a.ID}.compare(Entry{ID: b.ID}) })
	newest := add("newest", 4, Published)
	moved := *twins[1]
	moved.PublishedAt = second(2)
	cases := map[string]struct {
		reason       string
		article      *Article
		newer, older id.ID
	}{
		"Newest":  {"nothing is newer", newest, "", twins[2].ID},
		"Oldest":  {"nothing is older, and a draft isn't published", oldest, twins[0].ID, ""},
		"Greater": {"of those published at one time, the greater id is the newer", twins[2], newest.ID, twins[1].ID},
		"Between": {"and the smaller one the older", twins[1], twins[2].ID, twins[0].ID},
		"Least":   {"the last of them is next to the one before", twins[0], twins[1].ID, oldest.ID},
		"Draft":   {"what isn't published has none", articles[1], "", ""},
		"Absent":  {"nor has what isn't there", published("absent", second(2)), "", ""},
		"Moved":   {"nor has an article at a time that isn't its own any more", &moved, "", ""},
	}
	var positions []Position
	for name, c := range cases {
		positions = append(positions, PositionOf(c.article))
		found, err := s.Neighbours(t.Context(), []Position{PositionOf(c.article)})
		check(t, err)
		if *found[0] != (Neighbours{c.newer, c.older}) {
			t.Errorf("%s: %s: %+v, want %q and %q", name, c.reason, *found[0], c.newer, c.older)
		}
	}
	cached, err := s.Neighbours(t.Context(), positions)
	check(t, err)
	s.Flush()
	read, err := s.Neighbours(t.Context(), positions)
	check(t, err)
	for i := range positions {
		if *cached[i] != *read[i] {
			t.Errorf("%s: %+v alone, %+v with others", positions[i], *cached[i], *read[i])
		}
	}
	withdrawn := *twins[2]
	withdrawn.Status = Draft
	check(t, s.ChangeArticle(t.Context(), twins[2], &withdrawn))
	found, err := s.Neighbours(t.Context(), []Position{PositionOf(newest), PositionOf(twins[1])})
	check(t, err)
	if found[0].Older != twins[1].ID || found[1].Newer != newest.ID {
		t.Errorf("after what was between is withdrawn: %+v and %+v", *found[0], *found[1])
	}
}
