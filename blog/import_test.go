package blog

// Slugs reserved for an import.

import (
	"testing"
	"time"
)

func TestAReservedSlugIsTheOneThatTheArticleGets(t *testing.T) {
	b, _ := open(t)
	batch := []Import{
		{Source: "f/a.md", Slug: "same"}, {Source: "f/b.md", Slug: "same"}, {Source: "f/c.md", Slug: "other", Aliases: []string{"same-2", "former"}},
	}
	for n := range batch {
		batch[n].Digest, batch[n].Title, batch[n].PublishedAt = "1", "Title", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	run := func() []string {
		t.Helper()
		importing, err := b.BeginImport(t.Context(), false)
		check(t, err)
		var reserved []string
		for _, n := range []int{1, 0, 2} { // in another order than that of the articles
			reserved = append(reserved, importing.Reserve(batch[n].Source, batch[n].Slug))
		}
		outcomes, err := importing.Add(t.Context(), batch)
		check(t, err)
		for n, o := range outcomes {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			at := map[int]int{0: 1, 1: 0, 2: 2}[n]
			if got := importing.known[o.Source].Slug; got != reserved[at] {
				t.Errorf("%s has the slug %s, and %s was reserved", o.Source, got, reserved[at])
			}
		}
		check(t, importing.Finish(t.Context()))
		return reserved
	}
	first := run()
	if first[0] != "same" || first[1] != "same-2" || first[2] != "other" {
		t.Errorf("the first asks for the slug and gets it, and no alias takes one: %v", first)
	}
	for n := range batch {
		batch[n].Digest = "2" // each file has changed
	}
	batch[0], batch[1] = batch[1], batch[0]
	if second := run(); second[1] != "same" || second[0] != "same-2" {
		t.Errorf("an article keeps its slug in later imports: %v after %v", second, first)
	}
}
