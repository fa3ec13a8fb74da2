package blog

// Related articles: stored with each article, and computed again after changes. The work of a change
// is bounded, whatever the number of articles: docs/decisions.md, "Articles are related within a
// reach". Entry point: Reconcile.

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"stoa/id"
	"stoa/store"
)

// maxRelated is the number of related articles that are stored: more than a query can ask for,
// since some may be unpublished later.
const maxRelated = 12

// reach bounds the work of relating.
type reach struct {
	// near is how many articles of a tag or an author are related to one another: the newest. It is
	// also the size of a site that is small enough to be related as a whole.
	near   int
	queued int // the articles that leave the queue in one run
	lists  int // the tags and authors whose newest articles are read at once: 5 MB at most
	held   int // the articles of such lists that are kept for the rest of a run: some 20 MB
}

// usualReach has two pages of the largest size: as many articles as the head of a list.
var usualReach = reach{near: 2 * store.MaxPageSize, queued: 500, lists: 25, held: 20_000}

// othersRelate is the pause between two looks at the queue while another process relates.
const othersRelate = 50 * time.Millisecond

// Reconcile relates the articles in the queue, and returns when it is empty. Of all processes on the
// database, one relates at a time and the others wait. What a failure or the death of a process leaves
// is still in the queue.
func (b *Blog) Reconcile(ctx context.Context) error {
	for {
		if _, some, err := b.store.NextUnrelated(ctx); err != nil || !some {
			return err
		}
		found := 0
		ran, err := b.store.Exclusively(ctx, "relating", func(ctx context.Context) error {
			queue, err := b.store.Unrelated(ctx, b.reach.queued)
			if found = len(queue); err != nil || found == 0 {
				return err
			}
			return b.relate(ctx, queue)
		})
		if err != nil || ran && found == 0 {
			return err
		}
		if ran {
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(othersRelate):
		}
	}
}

// relate relates the articles of a queue, and those near them, and takes them out of the queue. Near
// are those that are, with one of the queue, among the newest of a tag or an author. Such an article
// gets the one of the queue as a relation if that is close enough, by the scores of its present
// relations. One that was related to an article of the queue before is related anew, and so is each
// article of a small site. Older articles keep their relations until they change themselves.
//
// Two articles are the closer, the rarer the tags are that they share: each tag counts the
// logarithm of its inverse frequency (Spärck Jones 1972). A shared author counts half of such a
// tag. The newer article comes first among equally close ones.
func (b *Blog) relate(ctx context.Context, queue []*store.Links) error {
	counts, err := b.store.ArticleCounts(ctx, []id.ID{store.AllArticles})
	if err != nil {
		return err
	}
	r := &relating{store: b.store, reach: b.reach, total: counts[store.AllArticles]}
	r.clear()
	if r.total <= b.reach.near {
		return r.whole(ctx, queue)
	}
	for _, part := range r.parts(queue, func(a *store.Links) []id.ID { return slices.Concat(a.Parents(), a.UnrelatedFrom) }) {
		if err := r.around(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// relating is one run. All of its queue was in the database before its first read.
type relating struct {
	store  *store.Store
	reach  reach
	total  int                      // of public articles
	links  map[id.ID]*store.Links   // the articles of newest
	newest map[id.ID][]*store.Links // by tag and author
	counts map[id.ID]int            // of public articles, by tag and author
}

func (r *relating) clear() {
	r.links, r.newest, r.counts = map[id.ID]*store.Links{}, map[id.ID][]*store.Links{}, map[id.ID]int{}
}

// whole relates all articles of a small site.
func (r *relating) whole(ctx context.Context, queue []*store.Links) error {
	all, err := r.store.NewestPublic(ctx, r.reach.near)
	if err != nil {
		return err
	}
	r.total = len(all)
	for _, a := range all {
		for _, parent := range a.Parents() {
			r.newest[parent] = append(r.newest[parent], a)
			r.counts[parent]++
		}
	}
	if err := r.store.Relate(ctx, r.anew(unqueued(all))); err != nil {
		return err
	}
	return r.store.Relate(ctx, done(queue, r.anew(queue)))
}

// around relates a part of the queue, and the articles near it.
func (r *relating) around(ctx context.Context, part []*store.Links) error {
	var parents, changed []id.ID
	queued := map[id.ID]bool{}
	for _, a := range part {
		parents, queued[a.ID] = slices.Concat(parents, a.Parents(), a.UnrelatedFrom), true
		if len(a.UnrelatedFrom) > 0 {
			changed = append(changed, a.ID)
		}
	}
	if err := r.replace(ctx, changed); err != nil { // before any of changed is inserted
		return err
	}
	if err := r.read(ctx, parents); err != nil {
		return err
	}
	near := map[*store.Links][]*store.Links{} // the articles of the queue, by those near them
	var order, unscored []*store.Links
	for _, parent := range slices.Compact(slices.Sorted(slices.Values(parents))) {
		for _, a := range r.newest[parent] {
			if !queued[a.ID] {
				continue
			}
			for _, x := range unqueued(r.newest[parent]) {
				if slices.Contains(near[x], a) {
					continue
				}
				if near[x] = append(near[x], a); len(near[x]) > 1 {
					continue
				}
				if order = append(order, x); len(x.RelatedScores) != len(x.RelatedIDs) && len(unscored) < r.reach.lists {
					unscored = append(unscored, x)
				}
			}
		}
	}
	var inserted []store.Relations
	for _, x := range order {
		if len(x.RelatedScores) != len(x.RelatedIDs) {
			continue
		}
		if ids, scores := r.insert(x, near[x]); !slices.Equal(ids, x.RelatedIDs) {
			x.RelatedIDs, x.RelatedScores = ids, scores
			inserted = append(inserted, store.Relations{Article: x.ID, IDs: ids, Scores: scores})
		}
	}
	if err := r.store.Relate(ctx, inserted); err != nil {
		return err
	}
	if err := r.relateAnew(ctx, unscored); err != nil {
		return err
	}
	if err := r.read(ctx, parents); err != nil {
		return err
	}
	return r.store.Relate(ctx, done(part, r.anew(part)))
}

// replace relates anew all articles that are related to one of changed.
func (r *relating) replace(ctx context.Context, changed []id.ID) error {
	var after id.ID
	for len(changed) > 0 {
		found, err := r.store.RelatedTo(ctx, changed, after, r.reach.near)
		if err != nil {
			return err
		}
		if err := r.relateAnew(ctx, unqueued(found)); err != nil {
			return err
		}
		if len(found) < r.reach.near {
			return nil
		}
		after = found[len(found)-1].ID
	}
	return nil
}

// relateAnew relates articles anew, some at a time.
func (r *relating) relateAnew(ctx context.Context, articles []*store.Links) error {
	for _, part := range r.parts(articles, (*store.Links).Parents) {
		var parents []id.ID
		for _, a := range part {
			parents = append(parents, a.Parents()...)
		}
		if err := r.read(ctx, parents); err != nil {
			return err
		}
		if err := r.store.Relate(ctx, r.anew(part)); err != nil {
			return err
		}
	}
	return nil
}

// parts divides articles so that each part has few authors and tags, by parents.
func (r *relating) parts(articles []*store.Links, parents func(*store.Links) []id.ID) [][]*store.Links {
	var out [][]*store.Links
	seen := map[id.ID]bool{}
	for _, a := range articles {
		for _, p := range parents(a) {
			seen[p] = true
		}
		if len(out) == 0 || len(seen) > r.reach.lists {
			out = append(out, nil)
			clear(seen)
			for _, p := range parents(a) {
				seen[p] = true
			}
		}
		out[len(out)-1] = append(out[len(out)-1], a)
	}
	return out
}

// read reads the newest articles of those of parents that haven't been read, and how many they have.
func (r *relating) read(ctx context.Context, parents []id.ID) error {
	parents = slices.Compact(slices.Sorted(slices.Values(parents)))
	if len(r.links) > r.reach.held {
		r.clear()
	}
	missing := slices.DeleteFunc(slices.Clone(parents), func(p id.ID) bool { _, there := r.newest[p]; return there })
	for some := range slices.Chunk(missing, r.reach.lists) {
		found, err := r.store.NewestUnder(ctx, some, r.reach.near)
		if err != nil {
			return err
		}
		var long []id.ID
		for _, parent := range some {
			list := found[parent]
			for i, a := range list {
				if there := r.links[a.ID]; there != nil {
					list[i] = there // its relations may have been written in this run
				}
				r.links[a.ID] = list[i]
			}
			if r.newest[parent], r.counts[parent] = list, len(list); len(list) == r.reach.near {
				long = append(long, parent)
			}
		}
		counts, err := r.store.ArticleCounts(ctx, long)
		if err != nil {
			return err
		}
		for parent, n := range counts {
			r.counts[parent] = max(n, r.counts[parent])
		}
	}
	return nil
}

// unqueued returns the public ones of articles that aren't in the queue: those in it have their turn.
func unqueued(articles []*store.Links) []*store.Links {
	return slices.DeleteFunc(slices.Clone(articles), func(a *store.Links) bool { return !a.Public() || !a.UnrelatedAt.IsZero() })
}

// done adds to relations that each article of a queue leaves it.
func done(queue []*store.Links, relations []store.Relations) []store.Relations {
	of := map[id.ID]store.Relations{}
	for _, r := range relations {
		of[r.Article] = r
	}
	out := make([]store.Relations, len(queue))
	for i, a := range queue {
		out[i] = of[a.ID]
		out[i].Article, out[i].Version = a.ID, a.Version
	}
	return out
}

// anew returns the relations of the public ones of articles, as far as they differ from the present
// ones.
func (r *relating) anew(articles []*store.Links) []store.Relations {
	var out []store.Relations
	for _, a := range articles {
		if !a.Public() {
			continue
		}
		ids, scores := r.closest(a)
		same := slices.Equal(ids, a.RelatedIDs) && len(scores) == len(a.RelatedScores) && a.RelatedScores != nil
		if there := r.links[a.ID]; there != nil { // insert compares with the scores of now
			there.RelatedIDs, there.RelatedScores = ids, scores
		}
		if same {
			continue
		}
		out = append(out, store.Relations{Article: a.ID, IDs: ids, Scores: scores})
	}
	return out
}

// closest returns the articles closest to a, with their scores, out of the newest of its tags and
// authors.
func (r *relating) closest(a *store.Links) ([]id.ID, []float64) {
	score := map[*store.Links]float64{}
	for _, parent := range a.Parents() {
		weight := r.weight(parent)
		for _, other := range r.newest[parent] {
			if other.ID != a.ID {
				score[other] += weight
			}
		}
	}
	others := make([]*store.Links, 0, len(score))
	for other := range score {
		others = append(others, other)
	}
	slices.SortFunc(others, func(a, b *store.Links) int { return cmp.Or(cmp.Compare(score[b], score[a]), newerFirst(a, b)) })
	ids, scores := []id.ID{}, []float64{}
	for _, other := range others[:min(len(others), maxRelated)] {
		ids, scores = append(ids, other.ID), append(scores, score[other])
	}
	return ids, scores
}

func newerFirst(a, b *store.Links) int {
	return cmp.Or(b.PublishedAt.Compare(a.PublishedAt), cmp.Compare(b.ID, a.ID))
}

// weight is how close two articles are by a tag or an author that they share.
func (r *relating) weight(parent id.ID) float64 {
	rarity := math.Log(1 + float64(r.total)/float64(max(r.counts[parent], 1)))
	if parent.Kind() == id.Author {
		return rarity / 2
	}
	return rarity
}

// insert returns the relations of a, with the close ones of others among them.
func (r *relating) insert(a *store.Links, others []*store.Links) ([]id.ID, []float64) {
	ids, scores := slices.Clone(a.RelatedIDs), slices.Clone(a.RelatedScores)
	for _, other := range others {
		if at := slices.Index(ids, other.ID); at >= 0 {
			ids, scores = slices.Delete(ids, at, at+1), slices.Delete(scores, at, at+1)
		}
		score := 0.0
		for _, parent := range a.Parents() {
			if slices.Contains(other.Parents(), parent) {
				score += r.weight(parent)
			}
		}
		at := 0
		for at < len(ids) && (scores[at] > score || scores[at] == score && !r.isNewer(other, ids[at])) {
			at++
		}
		ids, scores = slices.Insert(ids, at, other.ID), slices.Insert(scores, at, score)
	}
	return ids[:min(len(ids), maxRelated)], scores[:min(len(scores), maxRelated)]
}

// isNewer says whether a is newer than another article; of one that isn't among those read, the id
// tells, since ids begin with a time.
func (r *relating) isNewer(a *store.Links, other id.ID) bool {
	if o := r.links[other]; o != nil {
		return newerFirst(a, o) < 0
	}
	return a.ID > other
}
