package coherence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"stoa/blog"
	"stoa/store"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// paths is every way to an article, and whether it was found there.
type paths map[string]bool

const pathsQuery = `
	query ($slug: String!, $id: ID!, $tag: String!, $author: String!, $newer: String!, $older: String!, $from: DateTime!, $to: DateTime!, $words: String!) {
		bySlug: article(slug: $slug) { slug }
		node(id: $id) { ... on Article { slug } }
		nodes(ids: [$id]) { ... on Article { slug } }
		newest: articles(first: 100) { nodes { slug } }
		oldest: articles(last: 100) { nodes { slug } }
		byTitle: articles(first: 100, orderBy: {field: TITLE, direction: ASC}) { nodes { slug } }
		byUpdate: articles(first: 100, orderBy: {field: UPDATED_AT}) { nodes { slug } }
		underTag: articles(first: 100, where: {tag: $tag}) { nodes { slug } }
		underAuthor: articles(first: 100, where: {author: $author}) { nodes { slug } }
		between: articles(first: 100, where: {publishedAfter: $from, publishedBefore: $to}) { nodes { slug } count { value } }
		byID: articles(first: 100, where: {ids: [$id]}) { nodes { slug } count { value } }
		found: search(query: $words, types: [ARTICLE], first: 100) { nodes { ... on Article { slug } } count { value } }
		foundAmong: articles(first: 100, where: {query: $words, tag: $tag}) { nodes { slug } count { value } }
		tag(slug: $tag) { articleCount articles(first: 100) { nodes { slug } count { value } } }
		author(slug: $author) { articleCount articles(first: 100) { nodes { slug } count { value } } }
		newer: article(slug: $newer) { previous { slug } }
		older: article(slug: $older) { next { slug } related(first: 10) { slug } }
	}`

// target is an article that comes and goes, between two that stay.
type target struct {
	doc                       *store.Article
	tag, author, newer, older string // newer is "" for the newest
	tagged, written           int    // articles under the tag and by the author, without it
}

// find returns the ways by which a replica finds an article.
func (g target) find(s *stoatest.Stoa) (paths, error) {
	type counted struct {
		Nodes []stoatest.Slugged
		Count struct{ Value int }
	}
	type parent struct {
		ArticleCount int
		Articles     counted
	}
	var out struct {
		BySlug, Node                                                             *stoatest.Slugged
		Nodes                                                                    []*stoatest.Slugged
		Newest, Oldest, ByTitle, ByUpdate, UnderTag, UnderAuthor, Between, Found stoatest.Listed
		ByID, FoundAmong                                                         counted
		Tag, Author                                                              parent
		Newer                                                                    struct{ Previous *stoatest.Slugged }
		Older                                                                    struct {
			Next    *stoatest.Slugged
			Related []stoatest.Slugged
		}
	}
	err := stoatest.Decode(s, &out, pathsQuery, map[string]any{
		"slug": g.doc.Slug, "id": g.doc.ID, "tag": g.tag, "author": g.author, "newer": g.newer, "older": g.older,
		"words": `"` + g.doc.Title + ` "`,
		"from":  g.doc.PublishedAt.Format(time.RFC3339Nano), "to": g.doc.PublishedAt.Add(time.Millisecond).Format(time.RFC3339Nano),
	})
	if err != nil {
		return nil, err
	}
	slug := g.doc.Slug
	p := paths{
		"article(slug:)": out.BySlug != nil, "node": out.Node != nil, "nodes": out.Nodes[0] != nil,
		"newest first": out.Newest.Has(slug), "the last of all": out.Oldest.Has(slug), "by title": out.ByTitle.Has(slug), "by update": out.ByUpdate.Has(slug),
		"where tag": out.UnderTag.Has(slug), "where author": out.UnderAuthor.Has(slug), "where published": out.Between.Has(slug),
		"search": out.Found.Has(slug), "where query": stoatest.Listed{Nodes: out.FoundAmong.Nodes}.Has(slug), "count where query": out.FoundAmong.Count.Value == 1,
		"where ids": len(out.ByID.Nodes) == 1, "count where ids": out.ByID.Count.Value == 1,
		"tag.articles": stoatest.Listed{Nodes: out.Tag.Articles.Nodes}.Has(slug), "author.articles": stoatest.Listed{Nodes: out.Author.Articles.Nodes}.Has(slug),
		"tag.articleCount": out.Tag.ArticleCount > g.tagged, "author.articleCount": out.Author.ArticleCount > g.written,
		"tag.articles.count": out.Tag.Articles.Count.Value > g.tagged, "author.articles.count": out.Author.Articles.Count.Value > g.written,
		"next": out.Older.Next != nil && out.Older.Next.Slug == slug, "previous": out.Newer.Previous != nil && out.Newer.Previous.Slug == slug,
	}
	if g.newer == "" {
		delete(p, "previous")
	}
	return p, nil
}

// settle asks a replica until every way finds g, or none does, and returns the time from since
// to the first such response. With atOnce the first response must be right.
func (g target) settle(s *stoatest.Stoa, found bool, since time.Time, atOnce bool) (time.Duration, error) {
	allowed := contention.Allow(since.Add(stoatest.PromisedStale * stoatest.Slack))
	for {
		asked, late := time.Since(since), allowed.Over()
		p, err := g.find(s)
		if err != nil && !late && allowed.Shared() {
			continue // the database wasn't given the time to answer
		}
		if err != nil {
			return asked, err
		}
		wrong := p.all(found)
		if len(wrong) == 0 {
			return asked, nil
		}
		if atOnce || late {
			return asked, fmt.Errorf("%s after the change it isn't seen by %q", asked, wrong)
		}
	}
}

// all says if every way has found it, or every way hasn't; which lists the differing ones.
func (p paths) all(found bool) (which []string) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if p[name] != found {
			which = append(which, name)
		}
	}
	return which
}

// among returns the i-th of stoatest.Articles(n), all published, as a target.
func among(t *testing.T, s *stoatest.Stoa, n, i int) target {
	t.Helper()
	doc, err := store.Articles.BySlug(t.Context(), s.Store, fmt.Sprintf("article-%d", i))
	if err != nil {
		t.Fatal(err)
	}
	batch := stoatest.Articles(n)
	g := target{
		doc: doc, tag: batch[i].Tags[0].Slug, author: batch[i].Authors[0].Slug,
		newer: fmt.Sprintf("article-%d", i-1), older: fmt.Sprintf("article-%d", i+1), tagged: -1, written: -1,
	}
	for _, a := range batch {
		if slices.ContainsFunc(a.Tags, func(n blog.ImportName) bool { return n.Slug == g.tag }) {
			g.tagged++
		}
		if slices.ContainsFunc(a.Authors, func(n blog.ImportName) bool { return n.Slug == g.author }) {
			g.written++
		}
	}
	return g
}

func TestWhatIsPublishedOrWithdrawnIsSoInEveryListEverywhere(t *testing.T) {
	const n = 30
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	var replicas []*stoatest.Stoa
	for _, s := range stoatest.ThreeOver(uri, redis) {
		replicas = append(replicas, stoatest.Start(t, s))
	}
	replicas[0].Import(t, stoatest.Articles(n))
	stoatest.AwaitTrust(t, replicas...)
	targets := []target{among(t, replicas[0], n, 4), among(t, replicas[0], n, 11), among(t, replicas[0], n, 23)}

	var lags []time.Duration
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		writer, g := replicas[round%len(replicas)], &targets[round/2%len(targets)]
		public := round%2 == 1
		for i, s := range replicas { // every replica remembers how it was before
			for range 2 {
				if p, err := g.find(s); err != nil || p.all(!public) != nil {
					t.Fatalf("round %d: before it replica %d differs in %q, %v", round, i, p.all(!public), err)
				}
			}
		}
		after := *g.doc
		after.Status = map[bool]store.Status{true: store.Published, false: store.Draft}[public]
		if err := writer.Store.ChangeArticle(context.Background(), g.doc, &after); err != nil {
			t.Fatal(err)
		}
		acked := time.Now()
		g.doc = &after
		lag, failures := make([]time.Duration, len(replicas)), make([]error, len(replicas))
		var all sync.WaitGroup
		for i, s := range replicas {
			all.Go(func() { lag[i], failures[i] = g.settle(s, public, acked, s == writer) })
		}
		all.Wait()
		for i, err := range failures {
			if err != nil {
				t.Fatalf("round %d, written by replica %d: replica %d: %v", round, round%len(replicas), i, err)
			}
		}
		lags = append(lags, slices.Delete(lag, round%len(replicas), round%len(replicas)+1)...)
	}
	t.Logf("from an acknowledged change until another replica was asked and showed it on every path: %s", stoatest.Distribution(lags))
}

func TestARenamedArticleMovesInEveryOrderEverywhere(t *testing.T) {
	const n = 12
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	var replicas []*stoatest.Stoa
	for _, s := range stoatest.ThreeOver(uri, redis) {
		replicas = append(replicas, stoatest.Start(t, s))
	}
	replicas[0].Import(t, stoatest.Articles(n))
	stoatest.AwaitTrust(t, replicas...)
	doc := among(t, replicas[0], n, 5).doc

	// place returns the first by title, the last by title, and the last changed.
	place := func(s *stoatest.Stoa) [3]string {
		t.Helper()
		var out struct{ First, Last, Latest stoatest.Listed }
		s.Data(t, &out, `{
			first: articles(first: 1, orderBy: {field: TITLE, direction: ASC}) { nodes { slug } }
			last: articles(last: 1, orderBy: {field: TITLE, direction: ASC}, where: {tag: "tag-5"}) { nodes { slug } }
			latest: articles(first: 1, orderBy: {field: UPDATED_AT}) { nodes { slug } }
		}`, nil)
		return [3]string{out.First.Nodes[0].Slug, out.Last.Nodes[0].Slug, out.Latest.Nodes[0].Slug}
	}
	for round := range 6 {
		writer := replicas[round%len(replicas)]
		after := *doc
		after.Title = []string{"0 begins", "Z ends"}[round%2]
		after.TitleKey = store.SortKey(after.Title)
		after.UpdatedAt = store.Now()
		for _, s := range replicas {
			place(s)
			place(s)
		}
		if err := writer.Store.ChangeArticle(context.Background(), doc, &after); err != nil {
			t.Fatal(err)
		}
		doc = &after
		moved := func(s *stoatest.Stoa) bool {
			p := place(s)
			return (p[0] == doc.Slug) == (round%2 == 0) && (p[1] == doc.Slug) == (round%2 == 1) && p[2] == doc.Slug
		}
		if !moved(writer) {
			t.Errorf("round %d: the replica that renamed it has it at %q", round, place(writer))
		}
		for i, s := range replicas {
			stoatest.Await(t, stoatest.PromisedStale*stoatest.Slack, fmt.Sprintf("replica %d to move it in round %d", i, round), func() bool { return moved(s) })
		}
	}
}

func TestWhatWasAbsentIsFoundOnceItIsThere(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis}
	a, b := stoatest.Start(t, settings), stoatest.Start(t, settings)
	batch := stoatest.Articles(12)
	a.Import(t, batch[:1])
	stoatest.AwaitTrust(t, a, b)

	find := func(s *stoatest.Stoa, slug string) bool {
		t.Helper()
		var out struct {
			Article *stoatest.Slugged
			Tag     *stoatest.Slugged
			Author  *stoatest.Slugged
		}
		s.Data(t, &out, `query ($slug: String!, $tag: String!, $author: String!) { article(slug: $slug) { slug } tag(slug: $tag) { slug } author(slug: $author) { slug } }`,
			map[string]any{"slug": slug, "tag": slug + "-tag", "author": slug + "-author"})
		if (out.Article == nil) != (out.Tag == nil) || (out.Tag == nil) != (out.Author == nil) {
			return false
		}
		return out.Article != nil
	}
	var lags []time.Duration
	for i, in := range batch[1:] {
		slug := in.Slug
		in.Tags = []blog.ImportName{{Slug: slug + "-tag", Name: "Tag"}}
		in.Authors = []blog.ImportName{{Slug: slug + "-author", Name: "Author"}}
		for range 2 {
			if find(b, slug) || find(a, slug) {
				t.Fatalf("%s is there before anybody wrote it", slug)
			}
		}
		// One command may be of b's background work; a missing cache entry costs one each
		// time.
		least := 1
		for range 3 {
			b.Commands()
			find(b, slug)
			least = min(least, b.Commands())
		}
		if i > 0 && least > 0 {
			t.Errorf("that %s is absent isn't remembered", slug)
		}
		a.Import(t, []blog.Import{in})
		acked := time.Now()
		if !find(a, slug) {
			t.Errorf("the replica that wrote %s doesn't find it", slug)
		}
		stoatest.Await(t, stoatest.PromisedStale*stoatest.Slack, "the other replica to find "+slug, func() bool { return find(b, slug) })
		lags = append(lags, time.Since(acked))
	}
	t.Logf("from its import to its first sight elsewhere: %s", stoatest.Distribution(lags))
}
