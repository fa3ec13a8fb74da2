package store

// The store over a real database: reads before and after each kind of write. openStore and check
// are for all tests of the package.

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/id"
	"stoa/problem"
	"stoa/store/embedded"
)

// openStore opens a store over a new database, and reports its commands to watch unless that is
// nil.
func openStore(t *testing.T, watch func(*event.CommandStartedEvent)) *Store {
	t.Helper()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o := Options{URI: server.URI(), Dialer: server.Dialer(), Exclusive: true, CacheBytes: 16 << 20, Log: slog.New(slog.DiscardHandler)}
	s := openBy(t, o, watched(o, watch))
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// watched are the settings of a client that reports its commands to watch, unless that is nil.
func watched(o Options, watch func(*event.CommandStartedEvent)) *options.ClientOptions {
	settings := clientOptions(o)
	if watch != nil {
		settings.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) { watch(e) }})
	}
	return settings
}

// openBy opens a store as Open does, by a client with other settings. The caller closes it.
func openBy(t testing.TB, o Options, settings *options.ClientOptions) *Store {
	t.Helper()
	client, err := mongo.Connect(settings)
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{client: client, db: client.Database(defaultDatabase), bulkheads: newBulkheads(), primary: newPrimary(o.Log), log: o.Log}
	if err := s.open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// published is an article in the form of an import.
func published(slug string, at time.Time) *Article {
	return &Article{
		ID: id.At(id.Article, at), Slug: slug, Title: slug, TitleKey: SortKey(slug), Status: Published,
		PublishedAt: at, UpdatedAt: at, OldSlugs: []string{}, AuthorIDs: []id.ID{}, TagIDs: []id.ID{}, RelatedIDs: []id.ID{},
		RevisionID: id.New(id.Revision), Version: 1, Source: slug + ".md", Digest: "1",
	}
}

func changedTo(a *Article, change func(*Article)) *Article {
	after := *a
	change(&after)
	return &after
}

func slugOf(t *testing.T, s *Store, slug string) string {
	t.Helper()
	a, err := Articles.BySlug(t.Context(), s, slug)
	if problem.Is(err, problem.NotFound) {
		return ""
	}
	check(t, err)
	return a.Slug
}

func TestOfTwoWhoChangeAnArticleOneIsTold(t *testing.T) {
	s := openStore(t, nil)
	before := published("press", second(100))
	check(t, s.AddArticle(t.Context(), before))
	first := changedTo(before, func(a *Article) { a.Title = "First" })
	check(t, s.ChangeArticle(t.Context(), before, first))
	if first.Version != 2 {
		t.Errorf("the version is %d", first.Version)
	}
	second := changedTo(before, func(a *Article) { a.Title = "Second" })
	if err := s.ChangeArticle(t.Context(), before, second); !problem.Is(err, problem.Conflict) {
		t.Errorf("the second change of version 1: %v", err)
	}
	gone := published("gone", before.PublishedAt)
	if err := s.ChangeArticle(t.Context(), gone, changedTo(gone, func(*Article) {})); !problem.Is(err, problem.Conflict) {
		t.Errorf("the change of what isn't there: %v", err)
	}
	found, err := Articles.All(t.Context(), s, []id.ID{before.ID})
	check(t, err)
	if found[0].Title != "First" || found[0].Version != 2 {
		t.Errorf("the article is now %+v", found[0])
	}
}

func TestASlugIsOneArticlesOnly(t *testing.T) {
	s := openStore(t, nil)
	a, b := published("a", second(100)), published("b", second(200))
	check(t, s.AddArticle(t.Context(), a))
	check(t, s.AddArticle(t.Context(), b))
	if err := s.AddArticle(t.Context(), published("a", second(300))); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second article with the slug: %v", err)
	}
	if err := s.ChangeArticle(t.Context(), b, changedTo(b, func(b *Article) { b.Slug = "a" })); !problem.Is(err, problem.Conflict) {
		t.Errorf("a change to the slug of another: %v", err)
	}
	if got := slugOf(t, s, "b"); got != "b" {
		t.Errorf("b is found as %q after the refusal", got)
	}
	check(t, Authors.Add(t.Context(), s, &Author{ID: id.New(id.Author), Slug: "ada", Name: "Ada"}))
	if err := Authors.Add(t.Context(), s, &Author{ID: id.New(id.Author), Slug: "ada", Name: "Another"}); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second author with the slug: %v", err)
	}
	check(t, Tags.Add(t.Context(), s, &Tag{ID: id.New(id.Tag), Slug: "ink", Name: "Ink"}))
	if err := Tags.Add(t.Context(), s, &Tag{ID: id.New(id.Tag), Slug: "ink", Name: "Another"}); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second tag with the slug: %v", err)
	}
}

// Each look is repeated after the change: the first fills the caches with the old state.
func TestAnArticleIsFoundUnderTheSlugsItHadUntilAnotherTakesThem(t *testing.T) {
	s := openStore(t, nil)
	expect := func(when string, want map[string]string) {
		t.Helper()
		for slug, is := range want {
			if got := slugOf(t, s, slug); got != is {
				t.Errorf("%s, %q is %q; want %q", when, slug, got, is)
			}
		}
	}
	expect("before anything", map[string]string{"old": "", "new": "", "newest": ""})
	a := published("old", second(100))
	check(t, s.AddArticle(t.Context(), a))
	expect("when it is written", map[string]string{"old": "old", "new": "", "newest": ""})
	renamed := changedTo(a, func(a *Article) { a.Slug, a.OldSlugs = "new", []string{"old"} })
	check(t, s.ChangeArticle(t.Context(), a, renamed))
	expect("when it has been renamed", map[string]string{"old": "new", "new": "new", "newest": ""})
	b := published("old", second(200))
	check(t, s.AddArticle(t.Context(), b))
	expect("when another takes the old slug", map[string]string{"old": "old", "new": "new"})
	found, err := Articles.BySlug(t.Context(), s, "old")
	check(t, err)
	if found.ID != b.ID {
		t.Errorf("the old slug is still the first article's")
	}
	slugs, err := s.TakenSlugs(t.Context())
	check(t, err)
	if len(slugs) != 2 || slugs["old"] != b.ID || slugs["new"] != a.ID {
		t.Errorf("taken are %v", slugs)
	}
	check(t, s.ChangeArticle(t.Context(), b, changedTo(b, func(b *Article) { b.Slug = "newest" })))
	expect("when that one gives it up", map[string]string{"old": "new", "new": "new", "newest": "newest"})
}

func TestRelatingIsNoChangeOfTheArticle(t *testing.T) {
	s := openStore(t, nil)
	a, b := published("a", second(100)), published("b", second(200))
	check(t, s.AddArticle(t.Context(), a))
	check(t, s.AddArticle(t.Context(), b))
	if slugOf(t, s, "a") != "a" {
		t.Fatal("a isn't found")
	}
	check(t, s.Relate(t.Context(), []Relations{{Article: a.ID, IDs: []id.ID{b.ID}}}))
	found, err := Articles.All(t.Context(), s, []id.ID{a.ID})
	check(t, err)
	if !slices.Equal(found[0].RelatedIDs, []id.ID{b.ID}) || found[0].Version != 1 || !found[0].UpdatedAt.Equal(a.UpdatedAt) {
		t.Errorf("related %v, version %d, updated %s", found[0].RelatedIDs, found[0].Version, found[0].UpdatedAt)
	}
	if err := s.ChangeArticle(t.Context(), a, changedTo(a, func(a *Article) { a.Title = "A" })); err != nil {
		t.Errorf("a change that was begun before: %v", err)
	}
}

func TestTheNextDueArticleIsTheEarliestScheduled(t *testing.T) {
	s := openStore(t, nil)
	expect := func(when string, want time.Time) {
		t.Helper()
		at, ok, err := s.NextDue(t.Context())
		check(t, err)
		if ok != !want.IsZero() || !at.Equal(want) {
			t.Errorf("%s: %s, %t; want %s", when, at, ok, want)
		}
	}
	add := func(slug string, status Status, at time.Time) *Article {
		a := published(slug, at)
		a.Status = status
		check(t, s.AddArticle(t.Context(), a))
		return a
	}
	expect("of nothing", time.Time{})
	add("published", Published, second(10))
	add("draft", Draft, second(20))
	expect("when nothing is scheduled", time.Time{})
	late := add("late", Scheduled, second(4000))
	expect("one", second(4000))
	early := add("early", Scheduled, second(3000))
	expect("the earlier of two", second(3000))
	if due, err := s.Due(t.Context(), second(2999)); err != nil || len(due) != 0 {
		t.Errorf("due before it is time: %v, %v", due, err)
	}
	if due, err := s.Due(t.Context(), second(3000)); err != nil || len(due) != 1 || due[0].Slug != "early" {
		t.Errorf("due at the moment itself: %v, %v", due, err)
	}
	if due, err := s.Due(t.Context(), second(5000)); err != nil || len(due) != 2 || due[0].Slug != "early" || due[1].Slug != "late" {
		t.Errorf("due much later, the earliest first: %v, %v", due, err)
	}
	if slugOf(t, s, "early") != "" {
		t.Error("a scheduled article is public")
	}
	check(t, s.ChangeArticle(t.Context(), early, changedTo(early, func(a *Article) { a.Status = Published })))
	if slugOf(t, s, "early") != "early" {
		t.Error("a published article isn't public")
	}
	expect("when the earlier one is published", second(4000))
	check(t, s.ChangeArticle(t.Context(), late, changedTo(late, func(a *Article) { a.PublishedAt = second(6000) })))
	expect("when the other is put off", second(6000))
}

func TestCommentsThatAreThereAlreadyAreLeftAsTheyAre(t *testing.T) {
	s := openStore(t, nil)
	a := published("a", second(100))
	check(t, s.AddArticle(t.Context(), a))
	count := func() int {
		t.Helper()
		found, err := s.Children(t.Context(), []ChildrenKey{ChildrenKey(a.ID)})
		check(t, err)
		return lengthOf(found[0])
	}
	comment := func(n int, text string) *Comment {
		return &Comment{ID: id.ID(fmt.Sprintf("com_"+someID+"0%d", n)), ArticleID: a.ID, BodyHTML: text, CreatedAt: second(n), Visible: true}
	}
	if n := count(); n != 0 {
		t.Errorf("%d comments before anybody said anything", n)
	}
	check(t, s.AddComments(t.Context(), []*Comment{comment(1, "one")}))
	if n := count(); n != 1 {
		t.Errorf("%d comments", n)
	}
	check(t, s.AddComments(t.Context(), []*Comment{comment(1, "other"), comment(2, "two")}))
	if n := count(); n != 2 {
		t.Errorf("%d comments", n)
	}
	found, err := Comments.All(t.Context(), s, []id.ID{comment(1, "").ID, comment(2, "").ID, comment(3, "").ID})
	check(t, err)
	if found[0].BodyHTML != "one" || found[1].BodyHTML != "two" || found[2] != nil {
		t.Errorf("%+v", found)
	}
}

func TestADatabaseIsEmptyUntilSomethingIsInIt(t *testing.T) {
	for name, write := range map[string]func(context.Context, *Store) error{
		"Article": func(ctx context.Context, s *Store) error { return s.AddArticle(ctx, published("a", second(1))) },
		"Author": func(ctx context.Context, s *Store) error {
			return Authors.Add(ctx, s, &Author{ID: id.New(id.Author), Slug: "ada"})
		},
		"Tag": func(ctx context.Context, s *Store) error {
			return Tags.Add(ctx, s, &Tag{ID: id.New(id.Tag), Slug: "ink"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, nil)
			if empty, err := s.Empty(t.Context()); err != nil || !empty {
				t.Errorf("at first: %t, %v", empty, err)
			}
			check(t, write(t.Context(), s))
			if empty, err := s.Empty(t.Context()); err != nil || empty {
				t.Errorf("then: %t, %v", empty, err)
			}
		})
	}
}

// The change must make these reads stale.
func TestAnAuthorOrTagThatHasChangedIsReadAsItIsNow(t *testing.T) {
	s := openStore(t, nil)
	first := Window{}
	names := func() string {
		t.Helper()
		authors, err := Authors.List(s, first)
		check(t, err)
		page, err := authors.Page(t.Context())
		check(t, err)
		n, exact, err := authors.Count(t.Context(), 10)
		check(t, err)
		found, err := Authors.All(t.Context(), s, idsOf(page))
		check(t, err)
		out := fmt.Sprint(n, exact)
		for _, a := range found {
			out += " " + a.Name
		}
		return out
	}
	expect := func(when, want string) {
		t.Helper()
		if got := names(); got != want {
			t.Errorf("%s: %q; want %q", when, got, want)
		}
	}
	put := func(i id.ID, slug, name string) {
		t.Helper()
		check(t, Authors.Add(t.Context(), s, &Author{ID: i, Slug: slug, Name: name, NameKey: SortKey(name)}))
	}
	ada, bob := id.New(id.Author), id.New(id.Author)
	expect("before anybody writes", "0 true")
	put(ada, "ada", "Ada")
	expect("one", "1 true Ada")
	put(bob, "bob", "Bob")
	expect("two", "2 true Ada Bob")
	change := func(slug, name string, old ...string) {
		t.Helper()
		found, err := Authors.Now(t.Context(), s, []id.ID{ada})
		check(t, err)
		after := *found[0]
		after.Slug, after.OldSlugs, after.Name, after.NameKey = slug, old, name, SortKey(name)
		check(t, Authors.Change(t.Context(), s, found[0], &after))
		if err := Authors.Change(t.Context(), s, found[0], &after); !problem.Is(err, problem.Conflict) {
			t.Errorf("the second change of one version: %v", err)
		}
	}
	change("ada", "Zoë")
	expect("when one has another name", "2 true Bob Zoë")
	if a, err := Authors.BySlug(t.Context(), s, "ada"); err != nil || a.Name != "Zoë" {
		t.Errorf("ada is %+v, %v", a, err)
	}
	change("zoe", "Zoë")
	if a, err := Authors.BySlug(t.Context(), s, "ada"); !problem.Is(err, problem.NotFound) {
		t.Errorf("under a slug that was given up there is %+v, %v", a, err)
	}
	change("zoe", "Zoë", "ada")
	if a, err := Authors.BySlug(t.Context(), s, "ada"); err != nil || a.Slug != "zoe" {
		t.Errorf("under the slug it had there is %+v, %v", a, err)
	}
	found, err := Authors.Now(t.Context(), s, []id.ID{ada})
	check(t, err)
	check(t, Authors.Delete(t.Context(), s, found[0]))
	expect("when one has gone", "1 true Bob")
	if a, err := Authors.BySlug(t.Context(), s, "zoe"); !problem.Is(err, problem.NotFound) {
		t.Errorf("what was deleted is found as %+v, %v", a, err)
	}
}

// A replica may hear that a tag has gone before it hears of the new owner of its slug.
func TestASlugWhoseTagHasGoneIsLookedUpAgain(t *testing.T) {
	s := openStore(t, nil)
	stream, sea := &Tag{ID: id.New(id.Tag), Slug: "stream", Name: "Stream"}, &Tag{ID: id.New(id.Tag), Slug: "sea", Name: "Sea"}
	for _, tag := range []*Tag{stream, sea} {
		_, err := s.db.Collection(tags).InsertOne(t.Context(), tag)
		check(t, err)
	}
	if found, err := Tags.BySlug(t.Context(), s, "stream"); err != nil || found.ID != stream.ID {
		t.Fatalf("found %v, %v", found, err)
	}
	_, err := s.db.Collection(tags).UpdateByID(t.Context(), sea.ID, bson.D{{Key: "$set", Value: bson.D{{Key: "oldSlugs", Value: bson.A{"stream"}}}}})
	check(t, err)
	_, err = s.db.Collection(tags).DeleteOne(t.Context(), bson.D{{Key: "_id", Value: stream.ID}})
	check(t, err)
	s.cache.Drop(string(stream.ID))
	if found, err := Tags.BySlug(t.Context(), s, "stream"); err != nil || found.ID != sea.ID {
		t.Errorf("found %v, %v, where the sea has the stream's slug", found, err)
	}
}
