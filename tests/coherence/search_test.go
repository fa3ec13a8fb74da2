package coherence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stoa/id"
	"stoa/store"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// finds says whether a replica finds an article by a word.
func finds(s *stoatest.Stoa, word, slug string) (bool, error) {
	var out struct{ Search stoatest.Listed }
	err := stoatest.Decode(s, &out, `query ($q: String!) { search(query: $q, types: [ARTICLE], first: 100) { nodes { ... on Article { slug } } } }`, map[string]any{"q": word})
	return out.Search.Has(slug), err
}

// That an article appears and vanishes is in the paths of replica_lists_test.go; here its
// words change.
func TestAChangedTextIsFoundByItsNewWordsEverywhere(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	var replicas []*stoatest.Stoa
	for _, s := range stoatest.ThreeOver(uri, redis) {
		replicas = append(replicas, stoatest.Start(t, s))
	}
	replicas[0].Import(t, stoatest.Articles(12))
	stoatest.AwaitTrust(t, replicas...)
	doc, err := store.Articles.BySlug(t.Context(), replicas[0].Store, "article-5")
	stoatest.Check(t, err)
	var lags []time.Duration
	before := "emphasis"
	for round := range 9 {
		writer := replicas[round%len(replicas)]
		word := fmt.Sprint("newword", round)
		for i, s := range replicas {
			if ok, err := finds(s, before, doc.Slug); err != nil || !ok {
				t.Fatalf("round %d: replica %d doesn't find it by %q: %v", round, i, before, err)
			}
		}
		r := &store.Revision{ID: id.New(id.Revision), ArticleID: doc.ID, HTML: "<p>" + word + "</p>", Markdown: word}
		stoatest.Check(t, writer.Store.AddRevision(t.Context(), r))
		after := *doc
		after.RevisionID = r.ID
		stoatest.Check(t, writer.Store.ChangeArticle(context.Background(), doc, &after))
		acked := time.Now()
		doc = &after
		settled := func(s *stoatest.Stoa) bool {
			now, err := finds(s, word, doc.Slug)
			stoatest.Check(t, err)
			old, err := finds(s, before+" ", doc.Slug)
			stoatest.Check(t, err)
			return now && !old
		}
		if !settled(writer) {
			t.Errorf("round %d: who wrote it doesn't find it by %q alone", round, word)
		}
		for i, s := range replicas {
			stoatest.Await(t, stoatest.PromisedStale*stoatest.Slack, fmt.Sprintf("replica %d to find it in round %d", i, round), func() bool { return settled(s) })
		}
		lags = append(lags, time.Since(acked))
		before = word
	}
	t.Logf("from an acknowledged change until all replicas had found it: %s", stoatest.Distribution(lags))
}

// An article that is withdrawn and published again, over and over, is never shown while it
// is a draft, not even by a search that began before.
func TestASearchNeverShowsADraft(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(12))
	doc, err := store.Articles.BySlug(t.Context(), s.Store, "article-5")
	stoatest.Check(t, err)
	var state sync.RWMutex // held to write while the article is public
	state.Lock()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				state.RLock() // it is a draft until this is released
				for word, want := range map[string]bool{"emphasis": false, "article 5": false} {
					if got, err := finds(s, word, doc.Slug); err != nil || got != want {
						t.Errorf("by %q: found %t, %v", word, got, err)
					}
				}
				state.RUnlock()
			}
		})
	}
	for round := range 20 {
		if round > 0 {
			state.Lock()
			after := *doc
			after.Status = store.Published
			stoatest.Check(t, s.Store.ChangeArticle(context.Background(), doc, &after))
			doc = &after
			if ok, err := finds(s, "emphasis", doc.Slug); err != nil || !ok {
				t.Errorf("round %d: it isn't found: %v", round, err)
			}
		}
		after := *doc
		after.Status = store.Draft
		stoatest.Check(t, s.Store.ChangeArticle(context.Background(), doc, &after))
		doc = &after
		state.Unlock()
	}
	close(stop)
	readers.Wait()
}

// While nothing changes, a search takes no command.
func TestASearchOfWhatIsKnownTakesNoCommand(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(40))
	q := `{ search(query: "article emphasis", first: 20) { edges { titleHtml snippetHtml node { ... on Article { slug author { name } } } } count { value } } articles(where: {query: "emphasis", tag: "tag-3"}) { nodes { slug } } }`
	commands := []int{}
	for range 6 {
		s.Commands()
		if a := s.Query(t, q, nil); len(a.Errors) > 0 || !strings.Contains(string(a.Data), "<mark>") {
			t.Fatalf("%s", a.Raw)
		}
		commands = append(commands, s.Commands())
	}
	if !slices.Contains(commands, 0) {
		t.Errorf("searches take %v commands", commands)
	}
}
