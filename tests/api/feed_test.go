package api

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// The number of database commands for a feed is that of the kinds of documents in it, and zero when
// they are cached. A feed doesn't depend on the viewer.
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
		stoatest.Cool(t, s)
		cold := stoatest.MustFetch(t, s, "GET", path)
		if got := s.Commands(); got != want {
			t.Errorf("%s took %d commands, not %d", path, got, want)
		}
		warm := stoatest.MustFetch(t, s, "GET", path, "Authorization: Bearer "+reader.Token, "Cookie: __Host-stoa="+reader.Token)
		if got := s.Commands(); got > 0 {
			t.Errorf("%s took %d commands once it was known", path, got)
		}
		if warm.Body != cold.Body || warm.Header.Get("Set-Cookie") != "" || strings.Contains(warm.Header.Get("Cache-Control"), "private") {
			t.Errorf("%s is another one for who is signed in: %v", path, warm.Header)
		}
	}
	for _, n := range []int{10, 120} { // any number
		s := stoatest.Start(t, nil)
		s.Import(t, stoatest.Articles(n))
		stoatest.Cool(t, s)
		stoatest.MustFetch(t, s, "GET", "/feed.atom")
		if got := s.Commands(); got != 5 {
			t.Errorf("of %d articles the feed took %d commands", n, got)
		}
	}
}

func TestFeedsOverHTTP(t *testing.T) {
	s := stoatest.Start(t, stoatest.FeedSite())
	s.Import(t, stoatest.Articles(60))
	for path, media := range map[string]string{
		"/feed.atom": "application/atom+xml; charset=utf-8", "/tags/tag-1/feed.atom": "application/atom+xml; charset=utf-8",
		"/sitemap.xml": "application/xml; charset=utf-8", "/robots.txt": "text/plain; charset=utf-8",
	} {
		t.Run(path, func(t *testing.T) {
			f := stoatest.MustFetch(t, s, "GET", path)
			tag := f.Header.Get("ETag")
			if f.Status != 200 || f.Header.Get("Content-Type") != media || f.Header.Get("Cache-Control") != "public, max-age=300" || len(tag) < 10 || tag[0] != '"' ||
				f.Header.Get("Content-Length") != fmt.Sprint(len(f.Body)) || f.Header.Get("X-Content-Type-Options") != "nosniff" || !slices.Contains(f.Header["Vary"], "Accept-Encoding") {
				t.Errorf("%d %v", f.Status, f.Header)
			}
			if path != "/robots.txt" && f.Header.Get("Last-Modified") != "Mon, 01 Jun 2026 12:00:00 GMT" {
				t.Errorf("last modified %q", f.Header.Get("Last-Modified"))
			}
			head := stoatest.MustFetch(t, s, "HEAD", path)
			if head.Status != 200 || head.Body != "" || head.Header.Get("ETag") != tag || head.Header.Get("Content-Length") != f.Header.Get("Content-Length") {
				t.Errorf("HEAD: %d %v", head.Status, head.Header)
			}
			for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
				if got := stoatest.MustFetch(t, s, "GET", path, "If-None-Match: "+known); got.Status != 304 || got.Body != "" || got.Header.Get("ETag") != tag || got.Header.Get("Cache-Control") == "" {
					t.Errorf("If-None-Match %s: %d %v", known, got.Status, got.Header)
				}
			}
			for _, other := range []string{`"other"`, strings.Trim(tag, `"`), `"` + tag} {
				if got := stoatest.MustFetch(t, s, "GET", path, "If-None-Match: "+other); got.Status != 200 {
					t.Errorf("If-None-Match %s: %d", other, got.Status)
				}
			}
			zipped := stoatest.MustFetch(t, s, "GET", path, "Accept-Encoding: gzip")
			if path == "/robots.txt" {
				if zipped.Header.Get("Content-Encoding") != "" || zipped.Body != f.Body {
					t.Errorf("a few bytes are compressed: %v", zipped.Header)
				}
			} else {
				r, err := gzip.NewReader(strings.NewReader(zipped.Body))
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(r); err != nil || string(body) != f.Body {
					t.Errorf("compressed it is another one: %v", err)
				}
				if got := zipped.Header.Get("ETag"); got == tag {
					t.Errorf("other bytes have the same strong ETag: %s", got)
				}
				if got := stoatest.MustFetch(t, s, "GET", path, "Accept-Encoding: gzip", "If-None-Match: "+zipped.Header.Get("ETag")); got.Status != 304 {
					t.Errorf("compressed, the ETag is answered %d", got.Status)
				}
			}
			for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
				if got := stoatest.MustFetch(t, s, method, path); got.Status != 405 || got.Header.Get("Allow") != "GET, HEAD" {
					t.Errorf("%s: %d", method, got.Status)
				}
			}
			// A host that a client made up would come back to others out of a cache.
			if got := stoatest.MustFetch(t, s, "GET", path, "Host: api.lamp.example", "X-Forwarded-Host: evil.example"); got.Body != f.Body {
				t.Errorf("what a client says of the host is in the answer: %s", got.Body)
			}
			if got := stoatest.MustFetch(t, s, "GET", path, "Host: evil.example"); got.Status != 403 || got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("in development, another host is answered %d %v", got.Status, got.Header)
			}
		})
	}
	for _, path := range []string{
		"/tags/nobody/feed.atom", "/authors/nobody/feed.atom", "/tags//feed.atom", "/tags/feed.atom", "/articles/feed.atom", "/tags/tag-1/x/feed.atom",
		"/sitemap-1.xml", "/sitemap-0.xml", "/sitemap-x.xml", "/sitemaps.xml", "/feed.atom/", "/tags/%00/feed.atom", "/tags/" + strings.Repeat("a", 600) + "/feed.atom",
	} {
		if got := stoatest.MustFetch(t, s, "GET", path); got.Status != 404 || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, got.Status, got.Header)
		}
	}
	if got := stoatest.MustFetch(t, s, "GET", "/robots.txt").Body; got != "User-agent: *\nDisallow: /\n" {
		t.Errorf("in development robots are told %q", got)
	}
}

func TestRobotsAreWelcomeInProduction(t *testing.T) {
	s := stoatest.Start(t, stoatest.Settings{"STOA_ENV": "production", "STOA_SITE_URL": "https://lamp.example"})
	if got := stoatest.MustFetch(t, s, "GET", "/robots.txt").Body; got != "User-agent: *\nAllow: /\n\nSitemap: https://lamp.example/sitemap.xml\n" {
		t.Errorf("robots are told %q", got)
	}
	if got := stoatest.MustFetch(t, s, "GET", "/feed.atom"); got.Status != 200 || !strings.Contains(got.Body, "<title>lamp.example</title>") {
		t.Errorf("an empty feed is %d %s", got.Status, got.Body)
	}
	if got := stoatest.MustFetch(t, s, "GET", "/sitemap.xml"); strings.Count(got.Body, "<url>") != 1 {
		t.Errorf("an empty sitemap is %s", got.Body)
	}
	for _, path := range []string{"/robots.txt", "/feed.atom", "/sitemap.xml"} {
		own := stoatest.MustFetch(t, s, "GET", path)
		if got := stoatest.MustFetch(t, s, "GET", path, "Host: evil.example", "X-Forwarded-Host: evil.example"); got.Status != 200 || got.Body != own.Body {
			t.Errorf("%s repeats a host that a client made up: %d %s", path, got.Status, got.Body)
		}
	}
	unknown := stoatest.Start(t, stoatest.Settings{"STOA_ENV": "production"})
	for _, path := range []string{"/robots.txt", "/feed.atom", "/sitemap.xml"} {
		if got := stoatest.MustFetch(t, unknown, "GET", path); got.Status != 404 {
			t.Errorf("without a site %s is %d", path, got.Status)
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
	b.Run("unknown", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			stoatest.MustFetch(b, s, "GET", fmt.Sprintf("/tags/nobody-%d/feed.atom", i))
		}
	})
	for _, path := range []string{"/sitemap.xml", "/feed.atom"} {
		b.Run("cold"+path, func(b *testing.B) {
			for b.Loop() {
				s.Store.Flush()
				stoatest.MustFetch(b, s, "GET", path, "Accept-Encoding: gzip")
			}
		})
		b.Run("warm"+path, func(b *testing.B) {
			for b.Loop() {
				stoatest.MustFetch(b, s, "GET", path, "Accept-Encoding: gzip")
			}
		})
		b.Run("known"+path, func(b *testing.B) {
			tag := stoatest.MustFetch(b, s, "GET", path).Header.Get("ETag")
			for b.Loop() {
				stoatest.MustFetch(b, s, "GET", path, "If-None-Match: "+tag)
			}
		})
	}
}
