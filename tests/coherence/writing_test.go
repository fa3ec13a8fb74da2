package coherence

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stoa/access"
	"stoa/blog"
	"stoa/edit"
	"stoa/id"
	"stoa/store"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// The objects that the tests of coherence follow besides the titles of articles: a published
// article that is withdrawn and published again, a draft that is rewritten, a thread of
// comments that grows while some are hidden and shown again, an author and a tag that are
// renamed, and tags that are merged. Each is a script: its state in version n, and the write
// that leads there. Each is read by every way that leads to it.

// script is something that is followed, and how its next version is made.
type script struct {
	*followed
	// write brings the object into version n, by a replica.
	write func(ctx context.Context, s *stoatest.Stoa, n int64) error

	turn    sync.Mutex
	version int64 // the last that was acknowledged
}

// advance makes the next version of x, unless somebody is at it.
func (f *fleet) advance(replica int, x *script) {
	if !x.turn.TryLock() {
		return
	}
	defer x.turn.Unlock()
	if x.isLost() {
		return
	}
	n := x.version + 1
	began := time.Now()
	x.begins(n)
	ctx, _ := access.Begin(context.Background(), access.Request{})
	access.Become(ctx, f.editor)
	err := x.write(ctx, f.replicas[replica], n)
	if f.givesUp(x.followed, err) {
		return
	}
	if err != nil {
		f.complain("replica %d can't make %s its version %d: %v", replica, x.name, n, err)
		return
	}
	x.version = n
	f.wrote(replica, x.followed, n, began)
}

// others holds the followed objects besides articles, with their writers and readers.
type others struct {
	scripts                                []*script
	pennant, folio, talk, ink, scribe, sea *script
	reader, owner, staff                   stoatest.Caller
	editor                                 access.Viewer
	ids                                    map[string]any
}

// isOdd says if the pennant is published in a version, and if the river flows into the sea.
func isOdd(n int64) bool { return n%2 == 1 }

// A thread gets a comment and an answer to it; the comment is hidden, with the answer, and
// shown again. Version 1 is without any. threadIn is how many are shown, topsIn how many of
// them answer the article itself, and saidIn how many there are, hidden ones too.
func threadIn(n int64) int64 { return (n-1)/4*2 + [4]int64{0, 1, 2, 0}[(n-1)%4] }

func topsIn(n int64) int64 { return (n-1)/4 + [4]int64{0, 1, 1, 0}[(n-1)%4] }

func saidIn(n int64) int64 { return (n-1)/4*2 + [4]int64{0, 1, 2, 2}[(n-1)%4] }

// repliesIn is how many answers the top'th comment shows in a version; -1 while it isn't shown.
func repliesIn(n, top int64) int64 {
	switch at := n - 1 - 4*top; {
	case at <= 0 || at == 3:
		return -1
	case at == 1:
		return 0
	}
	return 1
}

// utterance is the id of the comment with this number of comments before it.
func utterance(before int64) id.ID {
	return id.Derived(id.Comment, time.Date(2026, 7, 2, 12, 0, int(before), 0, time.UTC), "talk")
}

// renamed is the name of an author or tag in a version.
func renamed(what string, n int64) string { return fmt.Sprintf("%s in version %d", what, n) }

// followOther adds the followed objects besides articles.
func (f *fleet) followOther(t *testing.T) {
	t.Helper()
	first := f.replicas[0]
	reader, ruth := stoatest.SignedIn(t, first, "Ruth", access.Customer)
	owner, chloe := stoatest.SignedIn(t, first, "Chloe", access.Author)
	editor, edgar := stoatest.SignedIn(t, first, "Edgar", access.Editor)
	f.reader, f.owner, f.staff = reader, owner, editor
	f.editor = access.Viewer{Account: edgar.ID, Session: edgar.Session, Role: access.Editor}

	name := func(what string) blog.ImportName { return blog.ImportName{Slug: what, Name: renamed(what, 1)} }
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	batch := []blog.Import{
		{Source: "o/1", Digest: "1", Slug: "pennant", Title: "Pennant", Markdown: "It comes and goes.", Authors: []blog.ImportName{{Slug: "author-0", Name: "A"}}, Tags: []blog.ImportName{{Slug: "flown", Name: "Flown"}}, PublishedAt: at},
		{Source: "o/2", Digest: "1", Slug: "parchment", Title: "Parchment", Markdown: "Its names change.", Authors: []blog.ImportName{name("scribe")}, Tags: []blog.ImportName{name("ink")}, PublishedAt: at},
		{Source: "o/3", Digest: "1", Slug: "talk", Title: "Talk", Markdown: "It is talked about.", Authors: []blog.ImportName{{Slug: "author-0", Name: "A"}}, PublishedAt: at},
		{Source: "o/4", Digest: "1", Slug: "river", Title: "River", Markdown: "It flows into another.", Authors: []blog.ImportName{{Slug: "author-0", Name: "A"}}, Tags: []blog.ImportName{{Slug: "sea", Name: "Sea"}}, PublishedAt: at},
	}
	first.Import(t, batch)
	find := func(slug string) *store.Article {
		a, err := store.Articles.BySlug(t.Context(), first.Store, slug)
		stoatest.Check(t, err)
		return a
	}
	pennant, parchment, talk, river := find("pennant"), find("parchment"), find("talk"), find("river")

	ctx, _ := access.Begin(t.Context(), access.Request{})
	access.Become(ctx, access.Viewer{Account: chloe.ID, Session: chloe.Session, Role: access.Author})
	slug := "folio"
	made, err := first.Blog.Create(ctx, blog.NewArticle{Title: renamed("folio", 1), Slug: &slug})
	stoatest.Check(t, err)
	folio := made.Article.ID

	follow := func(name string, write func(context.Context, *stoatest.Stoa, int64) error) *script {
		x := &script{followed: newFollowed(name, len(f.replicas)), write: write, version: 1}
		f.scripts = append(f.scripts, x)
		return x
	}
	f.pennant = follow("pennant", func(ctx context.Context, s *stoatest.Stoa, n int64) error {
		do := s.Blog.Unpublish
		if isOdd(n) {
			do = s.Blog.Publish
		}
		_, err := do(ctx, blog.ArticleTransition{ID: pennant.ID})
		return err
	})
	f.folio = follow("folio", func(ctx context.Context, s *stoatest.Stoa, n int64) error {
		now, err := s.Store.ArticleNow(ctx, folio)
		if err != nil {
			return err
		}
		title := renamed("folio", n)
		_, err = s.Blog.Update(ctx, blog.ArticleUpdate{ID: folio, ExpectedVersion: now.Version, Title: &title})
		return err
	})
	f.talk = follow("talk", func(ctx context.Context, s *stoatest.Stoa, n int64) error {
		before := saidIn(n - 1)
		if said := saidIn(n); said > before {
			c := &store.Comment{
				ID: utterance(before), ArticleID: talk.ID, AccountID: ruth.ID, AuthorName: "Ruth", BodyMarkdown: "A", BodyHTML: "<p>A</p>\n",
				CreatedAt: store.Now(), Status: store.CommentVisible, Visible: true, Version: 1,
			}
			if before%2 == 1 {
				c.ParentID = utterance(before - 1)
			}
			_, err := s.Store.AddComment(ctx, c)
			return err
		}
		verdict := blog.Approve
		if threadIn(n) < threadIn(n-1) {
			verdict = blog.Hide
		}
		_, err := s.Comments.Moderate(ctx, blog.CommentModerate{ID: utterance(before - 2), Action: verdict})
		return err
	})
	ink, scribe := parchment.TagIDs[0], parchment.AuthorIDs[0]
	f.ink = follow("ink", func(ctx context.Context, s *stoatest.Stoa, n int64) error {
		name := renamed("ink", n)
		_, err := s.Blog.UpdateTag(ctx, blog.TagUpdate{ID: ink, Name: &name})
		return err
	})
	f.scribe = follow("scribe", func(ctx context.Context, s *stoatest.Stoa, n int64) error {
		name := renamed("scribe", n)
		_, err := s.Blog.UpdateAuthor(ctx, blog.AuthorUpdate{ID: scribe, Name: &name})
		return err
	})
	sea := river.TagIDs[0]
	streams := map[int64]id.ID{} // by version, those that flow into the sea in the next
	f.sea = follow("sea", func(ctx context.Context, s *stoatest.Stoa, n int64) error {
		if isOdd(n) {
			_, err := s.Blog.MergeTags(ctx, edit.Merge{ID: streams[n-1], IntoID: sea})
			return err
		}
		if streams[n] == "" {
			stream := fmt.Sprintf("stream-%d", n)
			key := "a-key-that-is-long-enough-" + stream
			made, err := s.Blog.CreateTag(ctx, blog.NewTag{Name: stream, Slug: &stream, IdempotencyKey: &key})
			if err != nil {
				return err
			}
			streams[n] = made.Value.ID
		}
		now, err := s.Store.ArticleNow(ctx, river.ID)
		if err != nil {
			return err
		}
		_, err = s.Blog.Update(ctx, blog.ArticleUpdate{ID: river.ID, ExpectedVersion: now.Version, TagIDs: []id.ID{streams[n]}})
		return err
	})
	f.ids = map[string]any{"pennant": pennant.ID, "folio": folio}
}

// loadOther writes and reads the followed objects besides articles.
func (f *fleet) loadOther(every func(time.Duration, func())) {
	for _, x := range f.scripts {
		every(time.Duration(1300+rand.N(400))*time.Millisecond, func() { f.advance(rand.N(len(f.replicas)), x) })
	}
	for r, s := range f.replicas {
		every(300*time.Millisecond, func() { f.readPublic(r, s) })
		every(400*time.Millisecond, func() { f.readSearch(r, s) })
		every(500*time.Millisecond, func() { f.readPrivate(r, s) })
		every(700*time.Millisecond, func() { f.readFeeds(r, s) })
	}
}

// exactly checks the name that a replica returns against the promises.
func (f *fleet) exactly(q question, how string, x *script, name string) {
	f.shows(q, "", how, x.followed, name, func(n int64) bool { return name == renamed(x.name, n) })
}

// either checks an observation that holds in half of the versions against the promises.
func (f *fleet) either(q question, how string, x *script, seen bool, in func(int64) bool) {
	f.shows(q, how, how, x.followed, seen, func(n int64) bool { return in(n) == seen })
}

type called struct{ Slug, Name string }

const otherQuery = `query ($pennant: ID!, $folio: ID!, $stream: String!, $top: ID!) {
	pennant: article(slug: "pennant") { slug } node(id: $pennant) { ... on Article { slug } } nodes(ids: [$pennant]) { ... on Article { slug } }
	newest: articles(first: 100) { nodes { slug } count { value } } oldest: articles(last: 100, orderBy: {field: TITLE}) { nodes { slug } }
	flown: tag(slug: "flown") { articleCount articles { nodes { slug } count { value } } }
	folio: article(slug: "folio") { slug } draft: node(id: $folio) { id }
	talk: article(slug: "talk") { commentCount comments(first: 100) { count { value } nodes { id } } }
	top: node(id: $top) { ... on Comment { replies { count { value } } } }
	parchment: article(slug: "parchment") { author { name } authors { slug name } tags { slug name } }
	ink: tag(slug: "ink") { name } scribe: author(slug: "scribe") { name }
	tags(first: 100) { nodes { slug name } } authors(first: 100) { nodes { slug name } }
	river: article(slug: "river") { tags { slug } } stream: tag(slug: $stream) { slug }
	sea: tag(slug: "sea") { articleCount articles { nodes { slug } } } under: articles(where: {tag: "sea"}) { nodes { slug } count { value } }
}`

// readPublic reads everything that is public, as nobody.
func (f *fleet) readPublic(r int, s *stoatest.Stoa) {
	q := asked(r)
	type counted struct {
		Nodes []stoatest.Slugged
		Count struct{ Value int }
	}
	type parent struct {
		ArticleCount int
		Articles     counted
	}
	var out struct {
		Pennant, Node, Folio, Draft, Stream *stoatest.Slugged
		Nodes                               []*stoatest.Slugged
		Newest, Under                       counted
		Oldest                              stoatest.Listed
		Flown, Sea                          parent
		Talk                                struct {
			CommentCount int64
			Comments     struct {
				Count struct{ Value int64 }
				Nodes []any
			}
		}
		Top *struct {
			Replies struct{ Count struct{ Value int64 } }
		}
		Parchment struct {
			Author        called
			Authors, Tags []called
		}
		Ink, Scribe   called
		Tags, Authors struct{ Nodes []called }
		River         struct{ Tags []stoatest.Slugged }
	}
	at := f.sea.latest() / 2 * 2 // of the last stream
	top := (f.talk.latest() - 1) / 4
	vars := map[string]any{"stream": fmt.Sprintf("stream-%d", at), "top": utterance(2 * top)}
	maps.Copy(vars, f.ids)
	if err := stoatest.Decode(s, &out, otherQuery, vars); err != nil {
		f.failed(r, err)
		return
	}
	for how, seen := range map[string]bool{
		"article(slug:)": out.Pennant != nil, "node": out.Node != nil, "nodes": out.Nodes[0] != nil,
		"articles": stoatest.Listed{Nodes: out.Newest.Nodes}.Has("pennant"), "articles by title": out.Oldest.Has("pennant"),
		"articles.count": out.Newest.Count.Value == len(f.articles)+4, "tag.articleCount": out.Flown.ArticleCount == 1,
		"tag.articles": stoatest.Listed{Nodes: out.Flown.Articles.Nodes}.Has("pennant"), "tag.articles.count": out.Flown.Articles.Count.Value == 1,
	} {
		f.either(q, how, f.pennant, seen, isOdd)
	}
	if out.Folio != nil || out.Draft != nil {
		f.complain("replica %d shows a draft to everybody", r)
	}

	// A comment's visibility depends on its own entry besides the thread's, and a reply
	// changes the thread alone: its acknowledgement promises nothing about the comment.
	itself := q
	itself.changes = func(n int64) bool { return n%4 != 3 }
	for how, count := range map[string]int64{"comments.count": out.Talk.Comments.Count.Value, "comments": int64(len(out.Talk.Comments.Nodes))} {
		of := q
		if how == "comments" {
			of = itself
		}
		f.shows(of, how, how, f.talk.followed, count, func(n int64) bool { return topsIn(n) == count })
	}
	all := out.Talk.CommentCount
	f.shows(q, "commentCount", "commentCount", f.talk.followed, all, func(n int64) bool { return threadIn(n) == all })
	replies := int64(-1)
	if out.Top != nil {
		replies = out.Top.Replies.Count.Value
	}
	how, of := fmt.Sprintf("node.replies of comment %d", top), q
	if replies < 0 {
		of = itself
	}
	f.shows(of, how, how, f.talk.followed, replies, func(n int64) bool { return repliesIn(n, top) == replies })

	f.exactly(q, "tag(slug:)", f.ink, out.Ink.Name)
	f.exactly(q, "author(slug:)", f.scribe, out.Scribe.Name)
	f.exactly(q, "article.author", f.scribe, out.Parchment.Author.Name)
	for how, names := range map[string][]called{"article.tags": out.Parchment.Tags, "tags": out.Tags.Nodes} {
		f.named(q, how, f.ink, names)
	}
	for how, names := range map[string][]called{"article.authors": out.Parchment.Authors, "authors": out.Authors.Nodes} {
		f.named(q, how, f.scribe, names)
	}

	for how, seen := range map[string]bool{
		"article.tags": stoatest.Listed{Nodes: out.River.Tags}.Has("sea"), "tag.articles": stoatest.Listed{Nodes: out.Sea.Articles.Nodes}.Has("river"), "tag.articleCount": out.Sea.ArticleCount == 1,
		"articles(where:)": stoatest.Listed{Nodes: out.Under.Nodes}.Has("river"), "articles(where:).count": out.Under.Count.Value == 1,
	} {
		f.either(q, how, f.sea, seen, isOdd)
	}
	leads := ""
	if out.Stream != nil {
		leads = out.Stream.Slug
	}
	if at > 0 {
		f.shows(q, "stream", fmt.Sprintf("tag(slug: stream-%d)", at), f.sea.followed, leads, func(n int64) bool {
			return leads == "sea" && n > at || leads == "" && n < at || leads == fmt.Sprint("stream-", at) && (n == at || n == at-1)
		})
	}
}

// named checks the name of one among several objects against the promises.
func (f *fleet) named(q question, how string, x *script, all []called) {
	i := slices.IndexFunc(all, func(c called) bool { return c.Slug == x.slug })
	if i < 0 {
		f.complain("replica %d: %s isn't among %s", q.replica, x.name, how)
		return
	}
	f.exactly(q, how, x, all[i].Name)
}

// readSearch searches for the followed objects by their words.
func (f *fleet) readSearch(r int, s *stoatest.Stoa) {
	a := f.articles[rand.N(3)] // these change all the time
	q := asked(r)
	version, tag, author := max(a.latest(), 2), f.ink.latest(), f.scribe.latest()
	var out struct {
		Title, Among, Pennant, Folio, Tag, Author struct{ Nodes []called }
	}
	err := stoatest.Decode(s, &out, `query ($title: String!, $tag: String!, $author: String!) {
		title: search(query: $title, types: [ARTICLE], first: 100) { nodes { ... on Article { slug } } }
		among: articles(where: {query: $title}, first: 100) { nodes { slug } }
		pennant: search(query: "pennant ") { nodes { ... on Article { slug } } }
		folio: search(query: "folio") { nodes { ... on Article { slug } } }
		tag: search(query: $tag, types: [TAG]) { nodes { ... on Tag { slug name } } }
		author: search(query: $author, types: [AUTHOR]) { nodes { ... on Author { slug name } } }
	}`, map[string]any{"title": `"` + title(a.slug, version) + ` "`, "tag": `"` + renamed("ink", tag) + ` "`, "author": `"` + renamed("scribe", author) + ` "`})
	if err != nil {
		f.failed(r, err)
		return
	}
	finds := func(how string, x *followed, at int64, found []called) {
		seen := slices.ContainsFunc(found, func(c called) bool { return c.Slug == x.slug })
		f.shows(q, how, how, x, fmt.Sprintf("version %d: %t", at, seen), func(n int64) bool { return seen == (n == at) })
	}
	finds("search", a, version, out.Title.Nodes)
	finds("articles(where: {query:})", a, version, out.Among.Nodes)
	finds("search", f.ink.followed, tag, out.Tag.Nodes)
	finds("search", f.scribe.followed, author, out.Author.Nodes)
	f.either(q, "search", f.pennant, slices.Contains(out.Pennant.Nodes, called{Slug: "pennant"}), isOdd)
	if len(out.Folio.Nodes) > 0 {
		f.complain("replica %d finds a draft", r)
	}
}

// readPrivate reads hidden objects as viewers who may see them.
func (f *fleet) readPrivate(r int, s *stoatest.Stoa) {
	q := asked(r)
	var out struct {
		Viewer struct {
			Drafts, Queue struct {
				Nodes []struct{ Slug, Title string }
			}
			Comments struct{ Count struct{ Value int64 } }
		}
		Draft, Article struct{ Title string }
	}
	ask := func(c stoatest.Caller, query string) bool {
		if err := c.Ask(s, &out, query, map[string]any{"folio": f.ids["folio"]}); err != nil {
			f.failed(r, err)
			return false
		}
		return true
	}
	folio := func(how, title string) { f.exactly(q, how, f.folio, title) }
	if !ask(f.owner, `query ($folio: ID!) { viewer { drafts { nodes { slug title } } } draft: node(id: $folio) { ... on Article { title } } article(slug: "folio") { title } }`) {
		return
	}
	if len(out.Viewer.Drafts.Nodes) != 1 {
		f.complain("replica %d lists the drafts %v", r, out.Viewer.Drafts.Nodes)
		return
	}
	folio("viewer.drafts", out.Viewer.Drafts.Nodes[0].Title)
	folio("node", out.Draft.Title)
	folio("article(slug:)", out.Article.Title)
	q = asked(r)
	if !ask(f.staff, `{ viewer { queue(first: 100) { nodes { slug title } } } }`) {
		return
	}
	hidden := false
	for _, n := range out.Viewer.Queue.Nodes {
		if hidden = hidden || n.Slug == "pennant"; n.Slug == "folio" {
			folio("viewer.queue", n.Title)
		}
	}
	f.either(q, "viewer.queue", f.pennant, !hidden, isOdd)
	q = asked(r)
	if !ask(f.reader, `{ viewer { comments { count { value } } } }`) {
		return
	}
	said := out.Viewer.Comments.Count.Value
	q.changes = func(n int64) bool { return saidIn(n) != saidIn(n-1) } // hiding one leaves its author all of them
	f.shows(q, "viewer.comments", "viewer.comments", f.talk.followed, said, func(n int64) bool { return saidIn(n) == said })
}

// readFeeds reads the feeds and the sitemap.
func (f *fleet) readFeeds(r int, s *stoatest.Stoa) {
	get := func(path string) string {
		a, err := stoatest.Fetch(s, "GET", path)
		if err != nil || a.Status != 200 {
			f.failed(r, fmt.Errorf("%s is answered %d, %w", path, a.Status, err))
			return ""
		}
		return a.Body
	}
	q := asked(r)
	var feed struct {
		Entries []struct {
			Title string `xml:"title"`
			Links []struct {
				Href string `xml:"href,attr"`
			} `xml:"link"`
			Authors []struct {
				Name string `xml:"name"`
			} `xml:"author"`
			Categories []struct {
				Label string `xml:"label,attr"`
				Term  string `xml:"term,attr"`
			} `xml:"category"`
		} `xml:"entry"`
	}
	body := get("/feed.atom")
	if body == "" {
		return
	}
	if err := xml.Unmarshal([]byte(body), &feed); err != nil {
		f.complain("replica %d: the feed: %v", r, err)
		return
	}
	shown := false
	for _, e := range feed.Entries {
		slug := e.Links[0].Href[strings.LastIndexByte(e.Links[0].Href, '/')+1:]
		switch {
		case strings.HasPrefix(slug, "article-"):
			f.answered(q, "the feed", slug, e.Title)
		case slug == "pennant":
			shown = true
		case slug == "parchment":
			f.exactly(q, "the feed", f.scribe, e.Authors[0].Name)
			f.exactly(q, "the feed", f.ink, e.Categories[0].Label)
		}
	}
	f.either(q, "the feed", f.pennant, shown, isOdd)
	for path, x := range map[string]*script{"/sitemap.xml": f.pennant, "/tags/flown/feed.atom": f.pennant, "/tags/sea/feed.atom": f.sea} {
		q = asked(r)
		name := map[*script]string{f.pennant: "/pennant", f.sea: "/river"}[x]
		if body := get(path); body != "" {
			f.either(q, path, x, strings.Contains(body, name+"<") || strings.Contains(body, name+`"`), isOdd)
		}
	}
}

// The writer sees a write at once by every way, without any load.
func TestEveryWayShowsWhatWasJustWritten(t *testing.T) {
	f := newFleet(t, 4, stoatest.ThreeOver(stoatest.Database(t), redistest.Start(t).URL())...)
	f.followOther(t)
	stoatest.AwaitTrust(t, f.replicas...)
	done := make(chan struct{})
	defer close(done)
	go f.busy.Watch(done)
	for round := range 9 {
		r, s := round%len(f.replicas), f.replicas[round%len(f.replicas)]
		f.write(r, f.articles[round%3])
		for _, x := range f.scripts {
			f.advance(r, x)
		}
		for range 2 { // from the database, then from memory
			f.readArticle(r, s, f.articles[round%3])
			f.readList(r, s, `orderBy: {field: UPDATED_AT}`)
			f.readPublic(r, s)
			for range 6 { // each looks for one of three
				f.readSearch(r, s)
			}
			f.readPrivate(r, s)
			f.readFeeds(r, s)
		}
	}
	f.report(t)
	for _, x := range f.scripts {
		if x.version != 10 && !x.isLost() {
			t.Errorf("%s was written %d times", x.name, x.version)
		}
	}
}
