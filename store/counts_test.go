package store

// Tests of maintained counts, with two replicas, killed writers and long lists.

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"pgregory.net/rapid"

	"stoa/id"
	"stoa/problem"
	"stoa/store/embedded"
)

// twoStores opens two stores over one database, as two replicas would, and tells watch of the
// commands of both.
func twoStores(t testing.TB, watch func(*event.CommandStartedEvent)) [2]*Store {
	t.Helper()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	var out [2]*Store
	for i := range out {
		o := Options{URI: server.URI(), Dialer: server.Dialer(), Exclusive: true, CacheBytes: 64 << 20, Log: slog.New(slog.DiscardHandler)}
		out[i] = openBy(t, o, watched(o, watch))
		t.Cleanup(func() { _ = out[i].Close(context.Background()) })
	}
	return out
}

// killed is the panic that ends a write as the death of its process would: before the document is
// written, or afterwards.
type killed struct{ afterwards bool }

// dies runs a counted write that is cut short in the middle, as in a process that is killed.
func dies(s *Store, by map[string]int64, how killed, write func(context.Context) error) {
	defer func() {
		if p := recover(); p != nil && p != how {
			panic(p)
		}
	}()
	_ = s.counting(context.Background(), by, func(ctx context.Context) error {
		if how.afterwards {
			if err := write(ctx); err != nil {
				return err
			}
		}
		panic(how)
	})
}

// later makes all that is registered look as if it had been there for so long.
func later(t testing.TB, s *Store, by time.Duration) {
	t.Helper()
	found, err := find[tally](t.Context(), s.collection(tallies), bson.D{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		for name, at := range f.Pending {
			_, err := s.db.Collection(tallies).UpdateOne(t.Context(), bson.D{{Key: "_id", Value: f.ID}},
				bson.D{{Key: "$set", Value: bson.D{{Key: pendingField(name), Value: at.Add(-by)}}}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Two replicas write in any order and are killed at any point. Each count that is read is the
// number of articles in the database.
func TestCountsAreWhatTheDatabaseHas(t *testing.T) {
	stores := twoStores(t, nil)
	rapid.Check(t, func(r *rapid.T) {
		ctx := context.Background()
		if _, err := stores[0].db.Collection(tallies).DeleteMany(ctx, bson.D{}); err != nil {
			r.Fatal(err)
		}
		var parents []id.ID
		for i := range 2 {
			tag, author := &Tag{ID: id.New(id.Tag), Slug: string(id.New(id.Tag))}, &Author{ID: id.New(id.Author), Slug: fmt.Sprint(i, id.New(id.Author))}
			if err := Tags.Add(ctx, stores[0], tag); err != nil {
				r.Fatal(err)
			}
			if err := Authors.Add(ctx, stores[0], author); err != nil {
				r.Fatal(err)
			}
			parents = append(parents, tag.ID, author.ID)
		}
		all := map[id.ID]*Article{}
		for range rapid.IntRange(1, 6).Draw(r, "steps") {
			s := stores[rapid.IntRange(0, 1).Draw(r, "replica")]
			var before *Article
			after := published(string(id.New(id.Article)), second(1))
			if len(all) > 0 && rapid.Bool().Draw(r, "change") {
				before = all[rapid.SampledFrom(slices.Sorted(maps.Keys(all))).Draw(r, "which")]
				after = changedTo(before, func(*Article) {})
			}
			after.Status = rapid.SampledFrom([]Status{Published, Published, Draft, Deleted}).Draw(r, "status")
			after.TagIDs, after.AuthorIDs = nil, nil
			for i, parent := range parents {
				if rapid.Bool().Draw(r, fmt.Sprint("under ", i)) {
					if parent.Kind() == id.Tag {
						after.TagIDs = append(after.TagIDs, parent)
					} else {
						after.AuthorIDs = append(after.AuthorIDs, parent)
					}
				}
			}
			wrote := true
			switch rapid.SampledFrom([]string{"well", "well", "well", "killed before", "killed after", "late"}).Draw(r, "how") {
			case "killed before":
				dies(s, articlesCounted(before, after), killed{}, nil)
				wrote = false
			case "killed after":
				dies(s, articlesCounted(before, after), killed{afterwards: true}, func(ctx context.Context) error { return put(ctx, s, before, after) })
			case "late": // it is taken for dead, and repaired, while it is about to write
				if err := s.counting(ctx, articlesCounted(before, after), func(ctx context.Context) error {
					later(t, s, abandonedAfter)
					stores[0].Flush()
					if _, err := stores[0].ChildrenCounts(ctx, keysOf(parents)); err != nil {
						return err
					}
					return put(ctx, s, before, after)
				}); err != nil {
					r.Fatal(err)
				}
			default:
				var err error
				if before == nil {
					err = s.AddArticle(ctx, after)
				} else {
					err = s.ChangeArticle(ctx, before, after)
				}
				if err != nil {
					r.Fatal(err)
				}
			}
			if wrote {
				all[after.ID] = after
			}
			if rapid.Bool().Draw(r, "late") {
				later(t, s, rapid.SampledFrom([]time.Duration{suspectAfter, abandonedAfter}).Draw(r, "by"))
			} else {
				later(t, s, suspectAfter) // a reader that comes at once may still miss what the dead have written
			}
			if !rapid.Bool().Draw(r, "look") {
				continue
			}
			reader := stores[rapid.IntRange(0, 1).Draw(r, "reader")]
			reader.Flush()
			counted, err := reader.ChildrenCounts(ctx, keysOf(parents))
			if err != nil {
				r.Fatal(err)
			}
			for i, parent := range parents {
				want := 0
				for _, a := range all {
					if a.Public() && slices.Contains(slices.Concat(a.TagIDs, a.AuthorIDs), parent) {
						want++
					}
				}
				if counted[i].N != want {
					r.Fatalf("%s has %d articles; the count says %d", parent, want, counted[i].N)
				}
			}
		}
	})
}

func keysOf(parents []id.ID) []ChildrenKey {
	keys := make([]ChildrenKey, len(parents))
	for i, p := range parents {
		keys[i] = ChildrenKey(p)
	}
	return keys
}

// put writes an article's document as AddArticle and ChangeArticle do, and nothing else.
func put(ctx context.Context, s *Store, before, after *Article) error {
	if after.Event == "" {
		after.Event = "none/" + string(id.New(id.Publication))
	}
	if before == nil {
		_, err := s.db.Collection(articles).InsertOne(ctx, after)
		return err
	}
	after.Version = before.Version + 1
	_, err := s.db.Collection(articles).ReplaceOne(ctx, bson.D{{Key: "_id", Value: before.ID}}, after)
	return err
}

// The count of a writer that was killed is right for the next reader, and maintained from then
// on: the readers after it count nothing.
func TestAKilledWritersCountIsRepaired(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		how    killed
		want   int
	}{
		"Before": {"it had registered, and published nothing", killed{}, 3},
		"After":  {"it had published, and not applied", killed{afterwards: true}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			sent := map[string]int{}
			stores := twoStores(t, func(e *event.CommandStartedEvent) {
				mu.Lock()
				defer mu.Unlock()
				sent[e.CommandName]++
			})
			tag := &Tag{ID: id.New(id.Tag), Slug: "tag"}
			check(t, Tags.Add(t.Context(), stores[0], tag))
			article := func(i int) *Article {
				a := published(fmt.Sprint(i), second(i))
				a.TagIDs = []id.ID{tag.ID}
				return a
			}
			read := func(s *Store, want int) (counted int) {
				t.Helper()
				s.Flush()
				mu.Lock()
				before := sent["aggregate"]
				mu.Unlock()
				found, err := s.ChildrenCounts(t.Context(), []ChildrenKey{ChildrenKey(tag.ID)})
				check(t, err)
				if found[0].N != want {
					t.Errorf("%s: the count is %d; want %d", c.reason, found[0].N, want)
				}
				mu.Lock()
				defer mu.Unlock()
				return sent["aggregate"] - before
			}
			for i := range 3 {
				check(t, stores[0].AddArticle(t.Context(), article(i)))
			}
			read(stores[1], 3)
			if read(stores[0], 3) != 0 {
				t.Error("what is maintained was counted")
			}
			last := article(3)
			dies(stores[0], articlesCounted(nil, last), c.how, func(ctx context.Context) error { return put(ctx, stores[0], nil, last) })
			later(t, stores[0], suspectAfter)
			if read(stores[1], c.want) != 1 {
				t.Error("what is in doubt wasn't counted")
			}
			check(t, stores[1].AddArticle(t.Context(), article(4)))
			if read(stores[0], c.want+1) != 1 { // the other may still write: nothing is repaired yet
				t.Error("what is in doubt wasn't counted")
			}
			later(t, stores[0], abandonedAfter)
			read(stores[1], c.want+1)
			for i := range 3 {
				check(t, stores[i%2].AddArticle(t.Context(), article(5+i)))
				if read(stores[(i+1)%2], c.want+2+i) != 0 {
					t.Error("after the repair it was counted once more")
				}
			}
		})
	}
}

// Two replicas write at once, while both read.
func TestCountsHoldUnderConcurrentWrites(t *testing.T) {
	stores := twoStores(t, nil)
	tags := []*Tag{{ID: id.New(id.Tag), Slug: "a"}, {ID: id.New(id.Tag), Slug: "b"}}
	for _, tag := range tags {
		check(t, Tags.Add(t.Context(), stores[0], tag))
	}
	keys := []ChildrenKey{ChildrenKey(tags[0].ID), ChildrenKey(tags[1].ID)}
	var all sync.WaitGroup
	for i := range 4 {
		s := stores[i%2]
		all.Go(func() {
			for n := range 12 {
				a := published(fmt.Sprint(i, "-", n), second(n))
				a.TagIDs = []id.ID{tags[n%2].ID}
				if err := s.AddArticle(context.Background(), a); err != nil {
					t.Error(err)
					return
				}
				if n%3 == 0 {
					continue
				}
				after := changedTo(a, func(a *Article) { a.TagIDs = []id.ID{tags[0].ID, tags[1].ID} })
				if n%3 == 1 {
					after.Status = Draft
				}
				err := s.ChangeArticle(context.Background(), a, after)
				if twice := s.ChangeArticle(context.Background(), a, after); err != nil || !problem.Is(twice, problem.Conflict) {
					t.Error(err, twice)
				}
				s.Flush()
				if _, err := s.ChildrenCounts(context.Background(), keys); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stores[0].Flush()
	got, err := stores[0].ChildrenCounts(t.Context(), keys)
	check(t, err)
	there, err := stores[0].readTallies(t.Context(), []string{string(keys[0]), string(keys[1])})
	check(t, err)
	for i, tag := range tags {
		want, err := stores[0].db.Collection(articles).CountDocuments(t.Context(), append(bson.D{{Key: "tagIds", Value: tag.ID}}, publicArticles()...))
		check(t, err)
		if tallied := there[string(tag.ID)]; got[i].N != int(want) || !tallied.OK || tallied.N != want || len(tallied.Pending) > 0 {
			t.Errorf("of %d the count says %d, and the tally %+v", want, got[i].N, tallied)
		}
	}
}

// A count that somebody else has made wrong, such as a replica of the version before, is right
// again when it is no longer new.
func TestACountIsCheckedInTime(t *testing.T) {
	s := openStore(t, nil)
	tag := &Tag{ID: id.New(id.Tag), Slug: "tag"}
	check(t, Tags.Add(t.Context(), s, tag))
	a := published("a", second(1))
	a.TagIDs = []id.ID{tag.ID}
	check(t, s.AddArticle(t.Context(), a))
	read := func() int {
		s.Flush()
		found, err := s.ChildrenCounts(t.Context(), []ChildrenKey{ChildrenKey(tag.ID)})
		check(t, err)
		return found[0].N
	}
	read()
	b := published("b", second(2))
	b.TagIDs = a.TagIDs
	check(t, put(t.Context(), s, nil, b))
	if n := read(); n != 1 {
		t.Errorf("%d were counted, though nothing says that the count is wrong", n)
	}
	_, err := s.db.Collection(tallies).UpdateMany(t.Context(), bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "countedAt", Value: time.Now().Add(-recountAfter)}}}})
	check(t, err)
	if n := read(); n != 2 {
		t.Errorf("%d were counted; want 2", n)
	}
}

// What a publication costs, and asking for the count after it, is the same under a tag of 300
// articles and of 6,000: the same commands, and as many documents and keys examined to within
// a factor of 2. BenchmarkListsUnderATag has the times, at up to 100,000.
func TestPublishingCostsTheSameUnderALongTag(t *testing.T) {
	type cost struct {
		commands        string
		documents, keys int64
	}
	costs := map[int]cost{}
	for _, n := range []int{300, 6000} {
		var mu sync.Mutex
		var sent []bson.Raw
		s := openStore(t, func(e *event.CommandStartedEvent) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, slices.Clone(e.Command))
		})
		tag := &Tag{ID: id.New(id.Tag), Slug: "tag"}
		check(t, Tags.Add(t.Context(), s, tag))
		fillTag(t, s, tag.ID, n)
		key := []ChildrenKey{ChildrenKey(tag.ID)}
		_, err := s.ChildrenCounts(t.Context(), key)
		check(t, err)
		a := published("new", second(n))
		a.TagIDs = []id.ID{tag.ID}
		mu.Lock()
		sent = nil
		mu.Unlock()
		check(t, s.AddArticle(t.Context(), a))
		_, err = s.Children(t.Context(), key)
		check(t, err)
		counted, err := s.ChildrenCounts(t.Context(), key)
		check(t, err)
		if counted[0].N != n+1 {
			t.Errorf("%d are counted of %d", counted[0].N, n+1)
		}
		mu.Lock()
		commands := slices.Clone(sent)
		mu.Unlock()
		var c cost
		for _, command := range commands {
			name, _ := command.IndexErr(0)
			c.commands += name.Key() + " "
			plain := explainable(t, command)
			if plain == nil {
				continue
			}
			documents, keys := examined(t, s, plain)
			c.documents += documents
			c.keys += keys
		}
		costs[n] = c
	}
	few, many := costs[300], costs[6000]
	t.Logf("300: %+v, 6,000: %+v", few, many)
	if few.commands != many.commands || strings.Count(few.commands, "aggregate") != 1 || few.documents == 0 || few.keys == 0 ||
		many.documents > 2*few.documents || many.keys > 2*few.keys {
		t.Errorf("among 300 articles a publication costs %+v, among 6,000 %+v", few, many)
	}
}

// fillTag puts n articles under a tag, past everything that a write would do.
func fillTag(t testing.TB, s *Store, tag id.ID, n int) {
	t.Helper()
	for from := 0; from < n; from += 1000 {
		var some []any
		for i := from; i < min(n, from+1000); i++ {
			a := published(fmt.Sprint("a-", i), second(i))
			a.TagIDs, a.Event = []id.ID{tag}, fmt.Sprint("none/", i)
			some = append(some, a)
		}
		if _, err := s.db.Collection(articles).InsertMany(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
}

// A count with a write in the middle of it isn't kept, and a write that is refused counts nothing.
func TestACountWithAWriteInItIsntKept(t *testing.T) {
	s := openStore(t, nil)
	tag := &Tag{ID: id.New(id.Tag), Slug: "tag"}
	check(t, Tags.Add(t.Context(), s, tag))
	list := string(tag.ID)
	add := func(slug string) *Article {
		a := published(slug, second(1))
		a.TagIDs = []id.ID{tag.ID}
		check(t, s.AddArticle(t.Context(), a))
		return a
	}
	a := add("a")
	there, err := s.readTallies(t.Context(), []string{list})
	check(t, err)
	add("b")
	s.refill(t.Context(), there, map[string]int64{list: 1}, time.Now())
	if now, err := s.readTallies(t.Context(), []string{list}); err != nil || now[list].OK {
		t.Errorf("the count is kept: %+v, %v", now[list], err)
	}
	_, err = s.ChildrenCounts(t.Context(), []ChildrenKey{ChildrenKey(tag.ID)})
	check(t, err)
	stale := changedTo(a, func(a *Article) { a.Version = 7 })
	if err := s.ChangeArticle(t.Context(), stale, changedTo(stale, func(a *Article) { a.Status = Draft })); !problem.Is(err, problem.Conflict) {
		t.Errorf("a change of another version: %v", err)
	}
	now, err := s.readTallies(t.Context(), []string{list})
	check(t, err)
	if got := now[list]; !got.OK || got.N != 2 || len(got.Pending) > 0 {
		t.Errorf("after a change that was refused the tally is %+v", got)
	}
}
