package blog

// Tests of relating: its results against brute force, its cost, interruptions, and several replicas.

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"pgregory.net/rapid"

	"stoa/id"
	"stoa/store"
	"stoa/store/embedded"
)

// related is a site whose articles a test knows.
type related struct {
	b       *Blog
	s       *store.Store
	parents []id.ID // tags and authors
	all     map[id.ID]*store.Article
	n       int
}

// newRelated returns a site with tags and authors.
func newRelated(ctx context.Context, b *Blog, s *store.Store, tags, authors int) (*related, error) {
	r := &related{b: b, s: s, all: map[id.ID]*store.Article{}}
	for range tags {
		tag := &store.Tag{ID: id.New(id.Tag)}
		tag.Slug = string(tag.ID)
		if err := store.Tags.Add(ctx, s, tag); err != nil {
			return nil, err
		}
		r.parents = append(r.parents, tag.ID)
	}
	for range authors {
		author := &store.Author{ID: id.New(id.Author)}
		author.Slug = string(author.ID)
		if err := store.Authors.Add(ctx, s, author); err != nil {
			return nil, err
		}
		r.parents = append(r.parents, author.ID)
	}
	return r, nil
}

func under(a *store.Article, parents ...id.ID) {
	a.TagIDs, a.AuthorIDs = []id.ID{}, []id.ID{}
	for _, p := range parents {
		if p.Kind() == id.Author {
			a.AuthorIDs = append(a.AuthorIDs, p)
		} else {
			a.TagIDs = append(a.TagIDs, p)
		}
	}
}

// article makes an article that is newer than those before it.
func (r *related) article(parents ...id.ID) *store.Article {
	r.n++
	at := time.Date(2026, 1, 1, 0, r.n, 0, 0, time.UTC)
	a := &store.Article{ID: id.At(id.Article, at), Status: store.Published, PublishedAt: at, UpdatedAt: at, RelatedIDs: []id.ID{}, Version: 1}
	a.Slug = string(a.ID)
	under(a, parents...)
	return a
}

func (r *related) add(ctx context.Context, a *store.Article) error {
	r.all[a.ID] = a
	return r.s.AddArticle(ctx, a)
}

func (r *related) change(ctx context.Context, a id.ID, change func(*store.Article)) error {
	before, err := r.s.ArticleNow(ctx, a)
	if err != nil {
		return err
	}
	after := *before
	change(&after)
	r.all[a] = &after
	return r.s.ChangeArticle(ctx, before, &after)
}

// stored returns the stored relations of all articles.
func (r *related) stored(ctx context.Context) (map[id.ID][]id.ID, error) {
	found, err := store.Articles.Now(ctx, r.s, slices.Collect(maps.Keys(r.all)))
	out := map[id.ID][]id.ID{}
	for _, a := range found {
		out[a.ID] = a.RelatedIDs
	}
	return out, err
}

// byForce computes the relations of a public article from all articles, as far as they are among
// the newest ones of one of its tags and authors.
func (r *related) byForce(of id.ID, near int) []id.ID {
	var all []*store.Article
	for _, a := range r.all {
		if a.Public() {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b *store.Article) int {
		return cmp.Or(b.PublishedAt.Compare(a.PublishedAt), cmp.Compare(b.ID, a.ID))
	})
	under := map[id.ID][]int{}
	at := 0
	for i, a := range all {
		for _, parent := range slices.Concat(a.TagIDs, a.AuthorIDs) {
			under[parent] = append(under[parent], i)
		}
		if a.ID == of {
			at = i
		}
	}
	score := map[int]float64{}
	rarity := func(parent id.ID) float64 { return math.Log(1 + float64(len(all))/float64(len(under[parent]))) }
	for _, tag := range all[at].TagIDs {
		for _, other := range under[tag][:min(near, len(under[tag]))] {
			score[other] += rarity(tag)
		}
	}
	for _, author := range all[at].AuthorIDs {
		for _, other := range under[author][:min(near, len(under[author]))] {
			score[other] += rarity(author) / 2
		}
	}
	delete(score, at)
	others := slices.Collect(maps.Keys(score))
	slices.SortFunc(others, func(a, b int) int { return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(a, b)) })
	out := []id.ID{}
	for _, other := range others[:min(len(others), maxRelated)] {
		out = append(out, all[other].ID)
	}
	return out
}

// step makes one random change, and returns the changed article.
func (r *related) step(ctx context.Context, rt *rapid.T) (id.ID, error) {
	var some []id.ID
	for i, p := range r.parents {
		if rapid.IntRange(0, 2).Draw(rt, fmt.Sprint("under ", i)) == 0 {
			some = append(some, p)
		}
	}
	if len(r.all) == 0 || rapid.IntRange(0, 3).Draw(rt, "kind") > 0 {
		a := r.article(some...)
		if rapid.IntRange(0, 3).Draw(rt, "draft") == 0 {
			a.Status = store.Draft
		}
		return a.ID, r.add(ctx, a)
	}
	of := rapid.SampledFrom(slices.Sorted(maps.Keys(r.all))).Draw(rt, "which")
	status := rapid.SampledFrom([]store.Status{store.Published, store.Draft, store.Deleted}).Draw(rt, "status")
	keep := rapid.Bool().Draw(rt, "keep")
	return of, r.change(ctx, of, func(a *store.Article) {
		if a.Status = status; !keep {
			under(a, some...)
		}
	})
}

// withdraw makes an empty site of r.
func (r *related) withdraw(ctx context.Context) error {
	for i, a := range r.all {
		if a.Public() {
			if err := r.change(ctx, i, func(a *store.Article) { a.Status = store.Deleted }); err != nil {
				return err
			}
		}
	}
	return r.b.Reconcile(ctx)
}

// After any changes, every article of a small site has the relations that brute force over all
// articles finds.
func TestRelationsOfASmallSiteAreThoseOfBruteForce(t *testing.T) {
	b, s := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		r, err := newRelated(ctx, b, s, 4, 2)
		must(rt, err)
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			for range rapid.IntRange(1, 6).Draw(rt, "changes") {
				_, err := r.step(ctx, rt)
				must(rt, err)
			}
			must(rt, b.Reconcile(ctx))
			got, err := r.stored(ctx)
			must(rt, err)
			for i, a := range r.all {
				if !a.Public() {
					continue
				}
				if want := r.byForce(i, math.MaxInt); !slices.Equal(got[i], want) {
					rt.Fatalf("%s is related to %v; brute force says %v", i, got[i], want)
				}
			}
		}
		must(rt, r.withdraw(ctx))
	})
}

func must(rt *rapid.T, err error) {
	rt.Helper()
	if err != nil {
		rt.Fatal(err)
	}
}

// Of a site that is too large to be related as a whole: the article that changed has the relations of
// brute force over its reach, and so has each one that was related to it before. Others have their old
// relations, and it among them if both are within the reach and it is closer than the last of them.
// Nothing is related to an article that isn't public.
func TestRelationsOfALargeSiteChangeWithinReach(t *testing.T) {
	const near = 3
	b, s := open(t)
	b.reach = reach{near: near, queued: 2, lists: 2, held: 8}
	inserted, replaced, beyond := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		r, err := newRelated(ctx, b, s, 3, 1)
		must(rt, err)
		for range near + 1 { // always there, so that the site is large
			must(rt, r.add(ctx, r.article(r.parents[0])))
		}
		must(rt, b.Reconcile(ctx))
		for range rapid.IntRange(1, 5).Draw(rt, "changes") {
			before, err := r.stored(ctx)
			must(rt, err)
			changed, err := r.step(ctx, rt)
			must(rt, err)
			public := 0
			for _, a := range r.all {
				if a.Public() {
					public++
				}
			}
			must(rt, b.Reconcile(ctx))
			got, err := r.stored(ctx)
			must(rt, err)
			for i, a := range r.all {
				if !a.Public() {
					continue
				}
				for _, to := range got[i] {
					if !r.all[to].Public() {
						rt.Fatalf("%s is related to the %s %s", i, r.all[to].Status, to)
					}
				}
				if public <= near {
					continue
				}
				was, moved, public := before[i], !r.all[changed].UnrelatedAt.IsZero(), r.all[changed].Public()
				switch {
				case moved && (i == changed || slices.Contains(was, changed)):
					if want := r.byForce(i, near); !slices.Equal(got[i], want) {
						rt.Fatalf("after a change of %s, %s is related to %v; brute force says %v", changed, i, got[i], want)
					}
					replaced++
				case moved && slices.Contains(got[i], changed):
					inserted++
					rest := slices.DeleteFunc(slices.Clone(got[i]), func(to id.ID) bool { return to == changed })
					if len(was) < len(rest) || !slices.Equal(rest, was[:len(rest)]) || !r.within(i, changed, near) {
						rt.Fatalf("%s got %s among %v, and is related to %v", i, changed, was, got[i])
					}
				case !slices.Equal(got[i], was):
					rt.Fatalf("%s isn't related to %s, and its relations went from %v to %v", i, changed, was, got[i])
				case moved && public && !r.within(i, changed, near):
					beyond++
				case moved && public && len(was) < maxRelated:
					rt.Fatalf("%s has room, and isn't related to %s", i, changed)
				}
			}
		}
		must(rt, r.withdraw(ctx))
	})
	if inserted == 0 || replaced == 0 || beyond == 0 {
		t.Errorf("%d were inserted, %d replaced, %d out of reach", inserted, replaced, beyond)
	}
}

// within says whether two articles are among the newest of one tag or author.
func (r *related) within(a, b id.ID, near int) bool {
	for _, parent := range r.parents {
		var under []*store.Article
		for _, x := range r.all {
			if x.Public() && slices.Contains(slices.Concat(x.TagIDs, x.AuthorIDs), parent) {
				under = append(under, x)
			}
		}
		slices.SortFunc(under, func(a, b *store.Article) int {
			return cmp.Or(b.PublishedAt.Compare(a.PublishedAt), cmp.Compare(b.ID, a.ID))
		})
		under = under[:min(near, len(under))]
		has := func(i id.ID) bool {
			return slices.ContainsFunc(under, func(x *store.Article) bool { return x.ID == i })
		}
		if has(a) && has(b) {
			return true
		}
	}
	return false
}

// inserted puts n articles into the database past everything that a write would do: all of them under
// the first tag, and each 20 in a row under a tag and an author of their own. It returns a site with
// these.
func inserted(t *testing.T, server *embedded.Server, b *Blog, s *store.Store, n int) *related {
	t.Helper()
	const group = 20
	r, err := newRelated(t.Context(), b, s, 1+n/group, n/group)
	check(t, err)
	var documents []any
	for i := range n {
		a := r.article(r.parents[0], r.parents[1+i/group], r.parents[1+n/group+i/group])
		a.Event = string(a.ID)
		r.all[a.ID] = a
		raw, err := bson.Marshal(a)
		check(t, err)
		var d bson.D
		check(t, bson.Unmarshal(raw, &d))
		documents = append(documents, append(d, bson.E{Key: "relatedScores", Value: []float64{}}))
	}
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()).SetDialer(server.Dialer()))
	check(t, err)
	defer func() { check(t, client.Disconnect(context.Background())) }()
	for some := range slices.Chunk(documents, 1000) {
		_, err := client.Database("stoa").Collection("articles").InsertMany(t.Context(), some)
		check(t, err)
	}
	s.Flush()
	return r
}

// What it takes to relate an article after its publication is the same on a site of 300 articles and
// on one of 6,000: the same commands, and as many documents to within a tenth. So is what it takes
// after the article is withdrawn.
func TestRelatingCostsTheSameOnALargeSite(t *testing.T) {
	type cost struct {
		commands  string
		documents int64
	}
	costs := map[string]map[int]cost{}
	for _, n := range []int{300, 6000} {
		var mu sync.Mutex
		var sent []string
		server := database(t)
		b, s := replica(t, server, func(name string) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, name)
		})
		r := inserted(t, server, b, s, n)
		last := r.article(r.parents[0], r.parents[n/20], r.parents[len(r.parents)-1])
		check(t, r.add(t.Context(), r.article(r.parents[0], r.parents[n/20]))) // so that everything is counted
		check(t, b.Reconcile(t.Context()))
		measured := func(what string) {
			t.Helper()
			mu.Lock()
			sent = nil
			mu.Unlock()
			began := server.Examined()
			check(t, b.Reconcile(t.Context()))
			mu.Lock()
			defer mu.Unlock()
			if costs[what] == nil {
				costs[what] = map[int]cost{}
			}
			costs[what][n] = cost{strings.Join(sent, " "), server.Examined() - began}
		}
		check(t, r.add(t.Context(), last))
		measured("publish")
		now, err := s.ArticleNow(t.Context(), last.ID)
		check(t, err)
		if len(now.RelatedIDs) != maxRelated || !now.UnrelatedAt.IsZero() {
			t.Errorf("of %d articles it is related to %v, and queued at %s", n, now.RelatedIDs, now.UnrelatedAt)
		}
		check(t, r.change(t.Context(), last.ID, func(a *store.Article) { a.Status = store.Draft }))
		measured("withdraw")
	}
	for what, by := range costs {
		few, many := by[300], by[6000]
		t.Logf("%s: 300: %+v, 6,000: %+v", what, few, many)
		if few.commands != many.commands || few.documents == 0 || many.documents > few.documents*11/10 {
			t.Errorf("%s: among 300 articles it costs %+v, among 6,000 %+v", what, few, many)
		}
	}
}

// Relating many new articles, as an import leaves them, takes documents in proportion to their
// number.
func TestRelatingAnImportIsLinear(t *testing.T) {
	documents := map[int]int64{}
	for _, n := range []int{100, 400} {
		server := database(t)
		b, s := replica(t, server, nil)
		r := inserted(t, server, b, s, 240)
		for i := range n {
			check(t, r.add(t.Context(), r.article(r.parents[0], r.parents[1+i%12], r.parents[len(r.parents)-1-i%12])))
		}
		began := server.Examined()
		check(t, b.Reconcile(t.Context()))
		documents[n] = server.Examined() - began
		got, err := r.stored(t.Context())
		check(t, err)
		for i, a := range r.all {
			if a.UnrelatedAt.IsZero() {
				continue
			}
			if want := r.byForce(i, b.reach.near); !slices.Equal(got[i], want) {
				t.Fatalf("of %d, %s is related to %v; brute force says %v", n, i, got[i], want)
			}
		}
	}
	t.Logf("documents: %v", documents)
	if documents[400] > 5*documents[100] {
		t.Errorf("documents read by the number of articles: %v", documents)
	}
}

// Relating is interrupted at each of its commands in turn, as by the death of the process. Another
// replica finishes it, and the result is the same in all cases.
func TestRelatingThatIsCutShortIsFinishedByAnother(t *testing.T) {
	var want map[string][]string
	cuts := 0
	for done := false; !done; cuts++ {
		var left atomic.Int64
		left.Store(1 << 40)
		ctx, stop := context.WithCancel(t.Context())
		server := database(t)
		first, s := replica(t, server, func(string) {
			if left.Add(-1) == 0 {
				stop()
			}
		})
		other, _ := replica(t, server, nil)
		small := reach{near: 4, queued: 3, lists: 2, held: 10}
		first.reach, other.reach = small, small
		r, err := newRelated(t.Context(), first, s, 3, 1)
		check(t, err)
		add := func(parents ...int) id.ID {
			var under []id.ID
			for _, p := range parents {
				under = append(under, r.parents[p])
			}
			a := r.article(under...)
			check(t, r.add(t.Context(), a))
			return a.ID
		}
		for i := range 6 {
			add(0, 1+i%2)
		}
		moves, goes := add(0, 1), add(1, 2)
		check(t, first.Reconcile(t.Context()))
		add(0, 2)
		check(t, r.change(t.Context(), goes, func(a *store.Article) { a.Status = store.Draft }))
		check(t, r.change(t.Context(), moves, func(a *store.Article) { under(a, r.parents[2], r.parents[3]) }))
		left.Store(int64(cuts + 1))
		err = first.Reconcile(ctx)
		done = err == nil && ctx.Err() == nil
		left.Store(1 << 40)
		stop()
		check(t, other.Reconcile(t.Context()))
		if queue, err := s.Unrelated(t.Context(), 10); err != nil || len(queue) > 0 {
			t.Errorf("cut at command %d: in the queue still: %v, %v", cuts+1, queue, err)
		}
		got, err := r.stored(t.Context())
		check(t, err)
		named := map[string][]string{}
		for i, to := range got {
			at := func(i id.ID) string { return r.all[i].PublishedAt.Format(time.TimeOnly) }
			named[at(i)] = []string{}
			for _, j := range to {
				named[at(i)] = append(named[at(i)], at(j))
			}
		}
		if want == nil {
			// The first cut is before anything was done: this is what one that isn't cut does.
			want = named
		}
		if !maps.EqualFunc(named, want, slices.Equal) {
			t.Errorf("cut at command %d: the relations are\n%v, not\n%v", cuts+1, named, want)
		}
	}
	if cuts < 10 {
		t.Errorf("it was cut %d times only", cuts)
	}
	t.Logf("cut at each of %d commands", cuts-1)
}

// Of two replicas that are asked to relate at once, one does the work; both return when it is done.
func TestTwoReplicasDontRelateTheSameTwice(t *testing.T) {
	server := database(t)
	var aggregates atomic.Int64
	count := func(name string) {
		if name == "aggregate" { // the lists of tags and authors
			aggregates.Add(1)
		}
	}
	one, s := replica(t, server, count)
	other, _ := replica(t, server, count)
	r := inserted(t, server, one, s, 300)
	round := func(blogs ...*Blog) int64 {
		for range 20 {
			check(t, r.add(t.Context(), r.article(r.parents[0], r.parents[len(r.parents)-1])))
		}
		aggregates.Store(0)
		var all sync.WaitGroup
		for _, b := range blogs {
			all.Go(func() {
				if err := b.Reconcile(context.Background()); err != nil {
					t.Error(err)
				}
				if queue, err := s.Unrelated(context.Background(), 1); err != nil || len(queue) > 0 {
					t.Errorf("one returns while %v are in the queue, %v", queue, err)
				}
			})
		}
		all.Wait()
		return aggregates.Load()
	}
	round(one) // everything is counted
	alone := round(one)
	if both := round(one, other); both != alone || alone == 0 {
		t.Errorf("one replica reads %d times, two %d times", alone, both)
	}
}
