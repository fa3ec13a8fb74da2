package coherence

import (
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mmcdole/gofeed"

	"stoa/store"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// feedPaths are the documents that an article of stoatest.Articles(n) is in.
func feedPaths(g target) []string {
	return []string{"/feed.atom", "/tags/" + g.tag + "/feed.atom", "/authors/" + g.author + "/feed.atom", "/sitemap.xml"}
}

// inFeeds returns the feed documents that name an article.
func (g target) inFeeds(s *stoatest.Stoa) (paths, error) {
	out := paths{}
	for _, path := range feedPaths(g) {
		f, err := stoatest.Fetch(s, "GET", path)
		if err != nil || f.Status != 200 {
			return nil, errors.Join(err, fmt.Errorf("%s answered %d", path, f.Status))
		}
		out[path] = strings.Contains(f.Body, "/articles/"+g.doc.Slug+"<") || strings.Contains(f.Body, "/articles/"+g.doc.Slug+`"`)
	}
	return out, nil
}

func TestFeedsHoldWhatIsPublishedAndNothingElse(t *testing.T) {
	const n = 60
	s := stoatest.Start(t, stoatest.FeedSite())
	batch := stoatest.Articles(n)
	s.Import(t, batch)

	feed, err := gofeed.NewParser().ParseString(stoatest.MustFetch(t, s, "GET", "/feed.atom").Body)
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
	tagged, err := gofeed.NewParser().ParseString(stoatest.MustFetch(t, s, "GET", "/tags/"+g.tag+"/feed.atom").Body)
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
	if err := xml.Unmarshal([]byte(stoatest.MustFetch(t, s, "GET", "/sitemap.xml").Body), &sitemap); err != nil {
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
		tags[path] = stoatest.MustFetch(t, s, "GET", path).Header.Get("ETag")
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
			now := stoatest.MustFetch(t, s, "GET", path, "If-None-Match: "+before)
			if same := now.Status == 304; same != (status == store.Published) {
				t.Errorf("%s after %s: %d with the ETag from before", path, status, now.Status)
			}
		}
	}
}

func TestFeedsForgetEverywhereWhatIsWithdrawn(t *testing.T) {
	const n = 12
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	var replicas []*stoatest.Stoa
	for _, s := range stoatest.ThreeOver(uri, redis) {
		maps.Copy(s, stoatest.FeedSite())
		replicas = append(replicas, stoatest.Start(t, s))
	}
	replicas[0].Import(t, stoatest.Articles(n))
	stoatest.AwaitTrust(t, replicas...)
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
		allowed := contention.Allow(acked.Add(stoatest.PromisedStale * stoatest.Slack))
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
