package blog

import (
	"cmp"
	"context"
	"math"
	"slices"

	"stoa/id"
	"stoa/store"
)

// keepRelated is how many related articles are kept: more than can be asked for, as some
// may be unpublished later.
const maxRelated = 12

// relate says again which articles are related to those in changed, to those that nothing
// is related to yet or something that isn't public any more, and to those that share a tag or
// an author with one of these, or are in changed themselves.
//
// What has no relations yet gets them last: until then, who comes after a process that was
// killed sees what it left to do.
//
// Two articles are as close as the tags that they share are rare, each counting the
// logarithm of its inverse frequency (Spärck Jones 1972); a shared author breaks ties as
// half of the rarest tag would, then the newer article comes first.
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
	near := map[id.ID]bool{} // tags and authors of what was changed or is new
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
