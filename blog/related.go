package blog

// Related articles: stored with each article, and computed again after changes. Entry point:
// Blog.relate, which Reconcile, CleanUp and imports call.

import (
	"cmp"
	"context"
	"math"
	"slices"

	"stoa/id"
	"stoa/store"
)

// maxRelated is the number of related articles that are stored: more than a query can ask for,
// since some may be unpublished later.
const maxRelated = 12

// relate stores the related articles of all articles in changed; of those without any, or with one
// that isn't public any more; and of all that share a tag or an author with these, or whose tag or
// author is in changed.
//
// Articles without relations get theirs last. Until then, the process that follows a killed one
// sees the work that it left.
//
// Two articles are the closer, the rarer the tags are that they share: each tag counts the
// logarithm of its inverse frequency (Spärck Jones 1972). A shared author counts half of such a
// tag. The newer article comes first among equally close ones.
func (b *Blog) relate(ctx context.Context, changed map[id.ID]bool) error {
	all, err := b.store.PublicArticles(ctx)
	if err != nil {
		return err
	}
	under := map[id.ID][]int{} // positions in all, by tag and author
	for at, a := range all {
		for _, parent := range slices.Concat(a.TagIDs, a.AuthorIDs) {
			under[parent] = append(under[parent], at)
		}
	}
	near := map[id.ID]bool{} // tags and authors of changed and new articles
	for parent := range under {
		if changed[parent] {
			near[parent] = true
		}
	}
	public := make(map[id.ID]bool, len(all))
	for _, a := range all {
		public[a.ID] = true
	}
	hidden := func(i id.ID) bool { return !public[i] }
	for _, a := range all {
		if changed[a.ID] || len(a.RelatedIDs) == 0 || slices.ContainsFunc(a.RelatedIDs, hidden) {
			for _, parent := range slices.Concat(a.TagIDs, a.AuthorIDs) {
				near[parent] = true
			}
		}
	}
	for _, isNew := range []bool{false, true} {
		for at, a := range all {
			isNear := slices.ContainsFunc(slices.Concat(a.TagIDs, a.AuthorIDs), func(parent id.ID) bool { return near[parent] })
			if !isNear || isNew != (len(a.RelatedIDs) == 0) {
				continue
			}
			related := closest(all, under, at)
			if slices.Equal(related, a.RelatedIDs) {
				continue
			}
			if err := b.store.Relate(ctx, a.ID, related); err != nil {
				return err
			}
		}
	}
	return nil
}

func closest(all []*store.Article, under map[id.ID][]int, at int) []id.ID {
	score := map[int]float64{}
	rarity := func(parent id.ID) float64 { return math.Log(1 + float64(len(all))/float64(len(under[parent]))) }
	for _, tag := range all[at].TagIDs {
		for _, other := range under[tag] {
			score[other] += rarity(tag)
		}
	}
	for _, author := range all[at].AuthorIDs {
		for _, other := range under[author] {
			score[other] += rarity(author) / 2
		}
	}
	delete(score, at)
	others := make([]int, 0, len(score))
	for other := range score {
		others = append(others, other)
	}
	slices.SortFunc(others, func(a, b int) int { return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(a, b)) })
	out := []id.ID{}
	for _, other := range others[:min(len(others), maxRelated)] {
		out = append(out, all[other].ID)
	}
	return out
}
