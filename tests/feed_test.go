package tests

import (
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmcdole/gofeed"

	"stoa/access"
	"stoa/id"
	"stoa/store"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// fetched is what a path answered.
type fetched struct {
	status int
	header http.Header
	body   string
}

// fetch asks as a feed reader does, with headers given as "Name: value". Nothing is
// uncompressed on the way.
func fetch(s *stoatest.Stoa, method, path string, headers ...string) (fetched, error) {
	r, err := http.NewRequest(method, s.URL+path, nil)
	if err != nil {
		return fetched{}, err
	}
	r.Header.Set("Accept-Encoding", "identity")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return fetched{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return fetched{response.StatusCode, response.Header, string(body)}, err
}

func mustFetch(t testing.TB, s *stoatest.Stoa, method, path string, headers ...string) fetched {
	t.Helper()
	f, err := fetch(s, method, path, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// feedPaths are the documents that an article of stoatest.Articles(n) is in.
func feedPaths(g target) []string {
	return []string{"/feed.atom", "/tags/" + g.tag + "/feed.atom", "/authors/" + g.author + "/feed.atom", "/sitemap.xml"}
}

// inFeeds says which of its documents name an article.
func (g target) inFeeds(s *stoatest.Stoa) (paths, error) {
	out := paths{}
	for _, path := range feedPaths(g) {
		f, err := fetch(s, "GET", path)
		if err != nil || f.status != 200 {
			return nil, errors.Join(err, fmt.Errorf("%s answered %d", path, f.status))
		}
		out[path] = strings.Contains(f.body, "/articles/"+g.doc.Slug+"<") || strings.Contains(f.body, "/articles/"+g.doc.Slug+`"`)
	}
	return out, nil
}

var ofAFeedSite = stoatest.Settings{"STOA_SITE_URL": "https://lamp.example", "STOA_SITE_NAME": "Lamp", "STOA_PUBLIC_URL": "https://api.lamp.example"}

func TestFeedsHoldWhatIsPublishedAndNothingElse(t *testing.T) {
	const n = 60
	s := stoatest.Start(t, ofAFeedSite)
	batch := stoatest.Articles(n)
	s.Import(t, batch)

	feed, err := gofeed.NewParser().ParseString(mustFetch(t, s, "GET", "/feed.atom").body)
	if err != nil {
		t.Fatal(err)
	}
	if feed.Title != "Lamp" || len(feed.Items) != 50 || feed.FeedLink != "https://api.lamp.example/feed.atom" {
		t.Errorf("the feed is %q at %s and has %d entries", feed.Title, feed.FeedLink, len(feed.Items))
	}
	for i, item := range feed.Items {
		want := batch[i]
		if item.Title != want.Title || item.Link != "https://lamp.example/articles/"+want.Slug || !item.PublishedParsed.Equal(want.PublishedAt) ||
			item.Description != want.Summary || !strings.Contains(item.Content, "<em>emphasis</em>") ||
			len(item.Authors) != 2 || item.Authors[0].Name != want.Authors[0].Name || len(item.Categories) != 2 {
			t.Errorf("entry %d is %+v", i, item)
		}
	}

	g := among(t, s, n, 3)
	tagged, err := gofeed.NewParser().ParseString(mustFetch(t, s, "GET", "/tags/"+g.tag+"/feed.atom").body)
	if err != nil {
		t.Fatal(err)
	}
	if len(tagged.Items) != g.tagged+1 || !strings.HasPrefix(tagged.Title, "Lamp: Tag") {
		t.Errorf("the tag's feed is %q and has %d entries", tagged.Title, len(tagged.Items))
	}

	var sitemap struct {
		URL []struct {
			Loc     string    `xml:"loc"`
			Lastmod time.Time `xml:"lastmod"`
		} `xml:"url"`
	}
	if err := xml.Unmarshal([]byte(mustFetch(t, s, "GET", "/sitemap.xml").body), &sitemap); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, u := range sitemap.URL {
		kind, _, _ := strings.Cut(strings.TrimPrefix(u.Loc, "https://lamp.example/"), "/")
		kinds[kind]++
		if u.Lastmod.IsZero() {
			t.Errorf("%s has no time", u.Loc)
		}
	}
	if want := map[string]int{"": 1, "articles": n, "authors": n/5 + 2, "tags": n/3 + 2}; !maps.Equal(kinds, want) {
		t.Errorf("the sitemap has %v, want %v", kinds, want)
	}

	tags := map[string]string{}
	for _, path := range feedPaths(g) {
		tags[path] = mustFetch(t, s, "GET", path).header.Get("ETag")
	}
	for _, status := range []store.Status{store.Draft, store.Scheduled, store.Published} {
		after := *g.doc
		after.Status = status
		if status == store.Scheduled {
			after.PublishedAt = time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		}
		if status == store.Published {
			after.PublishedAt = batch[3].PublishedAt
		}
		if err := s.Store.ChangeArticle(t.Context(), g.doc, &after); err != nil {
			t.Fatal(err)
		}
		g.doc = &after
		p, err := g.inFeeds(s)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := p.all(status == store.Published); wrong != nil {
			t.Errorf("%s isn't told by %v", status, wrong)
		}
		for path, before := range tags {
			now := mustFetch(t, s, "GET", path, "If-None-Match: "+before)
			if same := now.status == 304; same != (status == store.Published) {
				t.Errorf("%s after %s: %d with the ETag from before", path, status, now.status)
			}
		}
	}
}

func TestFeedsForgetEverywhereWhatIsWithdrawn(t *testing.T) {
	const n = 12
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	var replicas []*stoatest.Stoa
	for _, s := range threeOver(uri, redis) {
		maps.Copy(s, ofAFeedSite)
		replicas = append(replicas, stoatest.Start(t, s))
	}
	replicas[0].Import(t, stoatest.Articles(n))
	awaitTrust(t, replicas...)
	g := among(t, replicas[0], n, 4)
	for round := range 6 {
		writer, public := replicas[round%len(replicas)], round%2 == 1
		for i, s := range replicas { // every replica remembers how it was before
			if p, err := g.inFeeds(s); err != nil || p.all(!public) != nil {
				t.Fatalf("round %d: before it replica %d differs: %v, %v", round, i, p, err)
			}
		}
		after := *g.doc
		after.Status = map[bool]store.Status{true: store.Published, false: store.Draft}[public]
		if err := writer.Store.ChangeArticle(t.Context(), g.doc, &after); err != nil {
			t.Fatal(err)
		}
		acked := time.Now()
		allowed := contention.Allow(acked.Add(promisedStale * slack))
		g.doc = &after
		for i, s := range replicas {
			for {
				asked, late := time.Since(acked), allowed.Over()
				p, err := g.inFeeds(s)
				if err != nil {
					t.Fatal(err)
				}
				if p.all(public) == nil {
					break
				}
				if s == writer || late {
					t.Fatalf("round %d: %s after the change replica %d doesn't show it in %v", round, asked, i, p.all(public))
				}
			}
		}
	}
}

// A feed takes as many database commands as it has kinds of things in it, and none once
// they are known; its viewer is never looked at.
func TestFeedsTakeFewCommandsAndNoViewer(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(60))
	reader := s.Join(t, "reader@example.org", "Reader", access.Admin, time.Time{})
	cases := map[string]int{ // when nothing is known
		"/feed.atom":                  5, // list, articles, authors, tags, texts
		"/tags/tag-1/feed.atom":       7, // and the slug and the tag
		"/authors/author-1/feed.atom": 7,
		"/sitemap.xml":                3, // articles, authors, tags
		"/robots.txt":                 0,
		"/tags/nobody/feed.atom":      1,
	}
	for path, want := range cases {
		cool(t, s)
		cold := mustFetch(t, s, "GET", path)
		if got := s.Commands(); got != want {
			t.Errorf("%s took %d commands, not %d", path, got, want)
		}
		warm := mustFetch(t, s, "GET", path, "Authorization: Bearer "+reader.Token, "Cookie: __Host-stoa="+reader.Token)
		if got := s.Commands(); got > 0 {
			t.Errorf("%s took %d commands once it was known", path, got)
		}
		if warm.body != cold.body || warm.header.Get("Set-Cookie") != "" || strings.Contains(warm.header.Get("Cache-Control"), "private") {
			t.Errorf("%s is another one for who is signed in: %v", path, warm.header)
		}
	}
	for _, n := range []int{10, 120} { // whatever the number
		s := stoatest.Start(t, nil)
		s.Import(t, stoatest.Articles(n))
		cool(t, s)
		mustFetch(t, s, "GET", "/feed.atom")
		if got := s.Commands(); got != 5 {
			t.Errorf("of %d articles the feed took %d commands", n, got)
		}
	}
}

func TestFeedsOverHTTP(t *testing.T) {
	s := stoatest.Start(t, ofAFeedSite)
	s.Import(t, stoatest.Articles(60))
	for path, media := range map[string]string{
		"/feed.atom": "application/atom+xml; charset=utf-8", "/tags/tag-1/feed.atom": "application/atom+xml; charset=utf-8",
		"/sitemap.xml": "application/xml; charset=utf-8", "/robots.txt": "text/plain; charset=utf-8",
	} {
		t.Run(path, func(t *testing.T) {
			f := mustFetch(t, s, "GET", path)
			tag := f.header.Get("ETag")
			if f.status != 200 || f.header.Get("Content-Type") != media || f.header.Get("Cache-Control") != "public, max-age=300" || len(tag) < 10 || tag[0] != '"' ||
				f.header.Get("Content-Length") != fmt.Sprint(len(f.body)) || f.header.Get("X-Content-Type-Options") != "nosniff" || !slices.Contains(f.header["Vary"], "Accept-Encoding") {
				t.Errorf("%d %v", f.status, f.header)
			}
			if path != "/robots.txt" && f.header.Get("Last-Modified") != "Mon, 01 Jun 2026 12:00:00 GMT" {
				t.Errorf("last modified %q", f.header.Get("Last-Modified"))
			}
			head := mustFetch(t, s, "HEAD", path)
			if head.status != 200 || head.body != "" || head.header.Get("ETag") != tag || head.header.Get("Content-Length") != f.header.Get("Content-Length") {
				t.Errorf("HEAD: %d %v", head.status, head.header)
			}
			for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
				if got := mustFetch(t, s, "GET", path, "If-None-Match: "+known); got.status != 304 || got.body != "" || got.header.Get("ETag") != tag || got.header.Get("Cache-Control") == "" {
					t.Errorf("If-None-Match %s: %d %v", known, got.status, got.header)
				}
			}
			for _, other := range []string{`"other"`, strings.Trim(tag, `"`), `"` + tag} {
				if got := mustFetch(t, s, "GET", path, "If-None-Match: "+other); got.status != 200 {
					t.Errorf("If-None-Match %s: %d", other, got.status)
				}
			}
			zipped := mustFetch(t, s, "GET", path, "Accept-Encoding: gzip")
			if path == "/robots.txt" {
				if zipped.header.Get("Content-Encoding") != "" || zipped.body != f.body {
					t.Errorf("a few bytes are compressed: %v", zipped.header)
				}
			} else {
				r, err := gzip.NewReader(strings.NewReader(zipped.body))
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(r); err != nil || string(body) != f.body {
					t.Errorf("compressed it is another one: %v", err)
				}
				if got := zipped.header.Get("ETag"); got == tag {
					t.Errorf("other bytes have the same strong ETag: %s", got)
				}
				if got := mustFetch(t, s, "GET", path, "Accept-Encoding: gzip", "If-None-Match: "+zipped.header.Get("ETag")); got.status != 304 {
					t.Errorf("compressed, the ETag is answered %d", got.status)
				}
			}
			for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
				if got := mustFetch(t, s, method, path); got.status != 405 || got.header.Get("Allow") != "GET, HEAD" {
					t.Errorf("%s: %d", method, got.status)
				}
			}
			// A host that a client made up would come back to others out of a cache.
			if got := mustFetch(t, s, "GET", path, "Host: evil.example", "X-Forwarded-Host: evil.example"); got.body != f.body {
				t.Errorf("what a client says of the host is in the answer")
			}
		})
	}
	for _, path := range []string{
		"/tags/nobody/feed.atom", "/authors/nobody/feed.atom", "/tags//feed.atom", "/tags/feed.atom", "/articles/feed.atom", "/tags/tag-1/x/feed.atom",
		"/sitemap-1.xml", "/sitemap-0.xml", "/sitemap-x.xml", "/sitemaps.xml", "/feed.atom/", "/tags/%00/feed.atom", "/tags/" + strings.Repeat("a", 600) + "/feed.atom",
	} {
		if got := mustFetch(t, s, "GET", path); got.status != 404 || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
	if got := mustFetch(t, s, "GET", "/robots.txt").body; got != "User-agent: *\nDisallow: /\n" {
		t.Errorf("in development robots are told %q", got)
	}
}

func TestRobotsAreWelcomeInProduction(t *testing.T) {
	s := stoatest.Start(t, stoatest.Settings{"STOA_ENV": "production", "STOA_SITE_URL": "https://lamp.example"})
	if got := mustFetch(t, s, "GET", "/robots.txt").body; got != "User-agent: *\nAllow: /\n\nSitemap: https://lamp.example/sitemap.xml\n" {
		t.Errorf("robots are told %q", got)
	}
	if got := mustFetch(t, s, "GET", "/feed.atom"); got.status != 200 || !strings.Contains(got.body, "<title>lamp.example</title>") {
		t.Errorf("an empty feed is %d %s", got.status, got.body)
	}
	if got := mustFetch(t, s, "GET", "/sitemap.xml"); strings.Count(got.body, "<url>") != 1 {
		t.Errorf("an empty sitemap is %s", got.body)
	}
	unknown := stoatest.Start(t, stoatest.Settings{"STOA_ENV": "production"})
	for _, path := range []string{"/robots.txt", "/feed.atom", "/sitemap.xml"} {
		if got := mustFetch(t, unknown, "GET", path); got.status != 404 {
			t.Errorf("without a site %s is %d", path, got.status)
		}
	}
}

// BenchmarkSitemap makes the sitemap of 10,000 articles on the embedded database, and a feed
// of them, after everything was forgotten; and sends them when nothing has changed.
func BenchmarkSitemap(b *testing.B) {
	s := stoatest.Start(b, nil)
	for _, a := range stoatest.Articles(10_000) {
		doc := &store.Article{
			Slug: a.Slug, Title: a.Title, Summary: a.Summary, Lead: strings.Repeat("word ", store.LeadWords), Status: store.Published,
			PublishedAt: a.PublishedAt, UpdatedAt: a.PublishedAt,
		}
		doc.ID, doc.RevisionID = id.At(id.Article, a.PublishedAt), id.New(id.Revision)
		if err := s.Store.AddArticle(context.Background(), doc); err != nil {
			b.Fatal(err)
		}
	}
	for _, path := range []string{"/sitemap.xml", "/feed.atom"} {
		b.Run("cold"+path, func(b *testing.B) {
			for b.Loop() {
				s.Store.Flush()
				mustFetch(b, s, "GET", path, "Accept-Encoding: gzip")
			}
		})
		b.Run("warm"+path, func(b *testing.B) {
			for b.Loop() {
				mustFetch(b, s, "GET", path, "Accept-Encoding: gzip")
			}
		})
		b.Run("known"+path, func(b *testing.B) {
			tag := mustFetch(b, s, "GET", path).header.Get("ETag")
			for b.Loop() {
				mustFetch(b, s, "GET", path, "If-None-Match: "+tag)
			}
		})
	}
}
