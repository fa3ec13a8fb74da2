package guard

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"stoa/dataloader"
	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// shelves is a store with articles, and the queries to its loaders.
type shelves struct {
	s *stoatest.Stoa
	t *testing.T
}

func openShelves(t *testing.T) shelves {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(3))
	return shelves{s, t}
}

func (x shelves) loaders() *dataloader.Loaders { return dataloader.New(x.s.Store) }

// ask asks loaders for an article, its author and the other authors of that author's articles,
// and returns its title.
func (x shelves) ask(ctx context.Context, l *dataloader.Loaders, slug string) string {
	x.t.Helper()
	a, err := store.Articles.BySlug(dataloader.WithRecorder(ctx, nil), x.s.Store, slug)
	stoatest.Check(x.t, err)
	found, err := dataloader.Of(l, store.Articles).All(ctx, []id.ID{a.ID})
	stoatest.Check(x.t, err)
	_, err = dataloader.Of(l, store.Authors).All(ctx, found[0].AuthorIDs)
	stoatest.Check(x.t, err)
	_, err = dataloader.Children.In(l).All(ctx, []store.ChildrenKey{store.ChildrenKey(found[0].AuthorIDs[0])})
	stoatest.Check(x.t, err)
	return found[0].Title
}

// dependencies is the set of a fragment that shows an article.
func (x shelves) dependencies(slug string) *dataloader.Dependencies {
	x.t.Helper()
	var recorder dataloader.Recorder
	ctx, l := dataloader.WithRecorder(x.t.Context(), &recorder), x.loaders()
	x.ask(ctx, l, slug)
	b, ok := recorder.End()
	if !ok {
		x.t.Fatal("it is made of more than the loaders have said")
	}
	l.AttachValidity(x.t.Context(), b)
	return b
}

// holds reports whether loaders adopt a set, by its token and after asking.
func (x shelves) holds(l *dataloader.Loaders, b *dataloader.Dependencies) (adopted, holds bool) {
	adopted = l.Adopt(x.t.Context(), b)
	return adopted, len(l.Stale(x.t.Context(), []*dataloader.Dependencies{b})) == 0
}

func (x shelves) rename(slug, title string) {
	x.t.Helper()
	before, err := store.Articles.BySlug(x.t.Context(), x.s.Store, slug)
	stoatest.Check(x.t, err)
	after := *before
	after.Title, after.TitleKey = title, store.SortKey(title)
	stoatest.Check(x.t, x.s.Store.ChangeArticle(x.t.Context(), before, &after))
}

// Dependencies are valid until one of them changes, and no longer.
func TestDependenciesAreValidUntilOneChanges(t *testing.T) {
	x := openShelves(t)
	b := x.dependencies("article-0")
	if adopted, holds := x.holds(x.loaders(), b); !adopted || !holds {
		t.Fatalf("at once it is adopted: %t, and valid: %t", adopted, holds)
	}
	x.rename("article-1", "Another")
	if adopted, _ := x.holds(x.loaders(), b); !adopted {
		t.Error("it isn't adopted after a change of something else")
	}
	x.rename("article-0", "Renamed")
	if adopted, holds := x.holds(x.loaders(), b); adopted || holds {
		t.Errorf("after a change it is adopted: %t, and valid: %t", adopted, holds)
	}
	b = x.dependencies("article-0")
	x.s.Store.Flush()
	if adopted, holds := x.holds(x.loaders(), b); adopted || holds {
		t.Errorf("after all was forgotten it is adopted: %t, and valid: %t", adopted, holds)
	}
}

// Adopting cached dependencies records the same reads as asking for them.
func TestAdoptedDependenciesAreRecorded(t *testing.T) {
	x := openShelves(t)
	b := x.dependencies("article-0")
	names := func(do func(context.Context)) []string {
		ctx, reading := x.s.Store.Cache().Record(t.Context())
		do(ctx)
		_, names, ok := reading.End()
		if !ok {
			t.Error("it can't be kept")
		}
		return names
	}
	asked := names(func(ctx context.Context) { x.ask(ctx, x.loaders(), "article-0") })
	asked = slices.DeleteFunc(asked, func(name string) bool { return name == "slug/articles/article-0" }) // the test itself reads this one
	adopted := names(func(ctx context.Context) {
		if !x.loaders().Adopt(ctx, b) {
			t.Error("it isn't adopted")
		}
	})
	if len(adopted) < 3 || !slices.Equal(asked, adopted) {
		t.Errorf("asked it reads %q, remembered %q", asked, adopted)
	}
	shown := names(func(ctx context.Context) { x.loaders().Stale(ctx, []*dataloader.Dependencies{b}) })
	if !slices.Equal(asked, shown) {
		t.Errorf("asked it reads %q, among others remembered %q", asked, shown)
	}
}

// A response that has adopted dependencies keeps their values, and adopts no contradicting
// ones: a response agrees with itself, whatever changes meanwhile.
func TestAResponseAdoptsWhatAgreesWithIt(t *testing.T) {
	x := openShelves(t)
	before := x.dependencies("article-0")
	was := x.ask(t.Context(), x.loaders(), "article-0")
	taking, knowing, both := x.loaders(), x.loaders(), x.loaders()
	if !taking.Adopt(t.Context(), before) || !both.Adopt(t.Context(), before) {
		t.Fatal("it isn't adopted")
	}
	x.ask(t.Context(), knowing, "article-0")

	x.rename("article-0", "Renamed")
	after := x.dependencies("article-0")
	if is := x.ask(t.Context(), x.loaders(), "article-0"); is != "Renamed" {
		t.Errorf("another response knows %q", is)
	}
	if is := x.ask(t.Context(), taking, "article-0"); is != was {
		t.Errorf("a response that has adopted %q knows %q", was, is)
	}
	for what, l := range map[string]*dataloader.Loaders{"knows": knowing, "has adopted": both} {
		if adopted, holds := x.holds(l, after); adopted || holds {
			t.Errorf("a response that %s what was before takes what is now: %t, or finds that it holds: %t", what, adopted, holds)
		}
	}
}

// Dependencies that a response refuses to adopt are not recorded; later reads are. So a
// response depends on all of its data, also while another root field is loading.
func TestAResponseReadsNothingUnnoted(t *testing.T) {
	x := openShelves(t)
	b := x.dependencies("article-0")
	a, err := store.Articles.BySlug(t.Context(), x.s.Store, "article-0")
	stoatest.Check(t, err)
	refused := 0
	for trial := range 200 {
		ctx, reading := x.s.Store.Cache().Record(t.Context())
		l := x.loaders()
		var other sync.WaitGroup
		other.Go(func() { // waits for the database, and holds the author up
			if _, err := dataloader.Of(l, store.Authors).All(ctx, []id.ID{a.AuthorIDs[0], id.New(id.Author)}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Duration(trial) * 5 * time.Microsecond) // each trial meets it at another point of its way
		if len(l.Stale(ctx, []*dataloader.Dependencies{b})) > 0 {
			refused++
		}
		_, err := dataloader.Of(l, store.Articles).All(ctx, []id.ID{a.ID})
		stoatest.Check(t, err)
		other.Wait()
		if _, names, ok := reading.End(); ok && !slices.Contains(names, string(a.ID)) {
			t.Fatalf("it has asked for the article, and depends on %q", names)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// A cached response is invalidated with any of its data, also if it was made from fragments
// while another of its fields was loading.
func TestAKeptAnswerFallsWithEverythingInIt(t *testing.T) {
	x := openShelves(t)
	a, err := store.Articles.BySlug(t.Context(), x.s.Store, "article-1")
	stoatest.Check(t, err)
	author := a.AuthorIDs[0]
	next := func(ids ...id.ID) (slug, title string) {
		var out struct {
			Article struct{ Next struct{ Slug, Title string } }
		}
		stoatest.Check(t, stoatest.Decode(x.s, &out, `query ($ids: [ID!]!) { nodes(ids: $ids) { id } article(slug: "article-1") { next { slug title } author { name } } }`, map[string]any{"ids": ids}))
		return out.Article.Next.Slug, out.Article.Next.Title
	}
	for trial := range 100 {
		for n := range asks { // so that the article is a fragment
			next(slices.Repeat([]id.ID{author}, n+1)...)
		}
		ids := []id.ID{author, id.New(id.Author)} // the second isn't in memory, so that the first waits with it
		slug, _ := next(ids...)
		title := fmt.Sprint("Title ", trial)
		x.rename(slug, title)
		if _, is := next(ids...); is != title {
			t.Fatalf("after it was renamed to %q, an article is %q", title, is)
		}
	}
}

// Reads of two states of one object make no dependency set.
func TestTwoStatesAreNoDependencies(t *testing.T) {
	x := openShelves(t)
	before := x.dependencies("article-0")
	x.rename("article-0", "Renamed")
	var recorder dataloader.Recorder
	x.ask(dataloader.WithRecorder(t.Context(), &recorder), x.loaders(), "article-0")
	if recorder.Add(before); recorder.Uncacheable() {
		t.Error("it depends on something besides the loaders")
	}
	if _, ok := recorder.End(); ok {
		t.Error("it is a dependency set")
	}
}
