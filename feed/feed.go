// Package feed writes published content for programs that read it: Atom feeds (RFC 4287), sitemaps
// (sitemaps.org) and robots.txt (RFC 9309). It contains only content that everyone may read: there
// is no viewer here.
//
// It may import blog, store (for its documents), id, lru, problem and feed/content; it knows nothing
// of HTTP. Entry points: New, Feeds.Document; CheckBase, CheckTemplate and Links.Check for configuration.
package feed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"strings"
	"sync"
	"time"

	"stoa/blog"
	"stoa/feed/content"
	"stoa/lru"
	"stoa/problem"
	"stoa/store"
)

// The paths of documents.
const (
	feedPath    = "/feed.atom"
	tagsPath    = "/tags/" // followed by a slug and feedPath
	authorsPath = "/authors/"
	sitemapPath = "/sitemap.xml"
	partPrefix  = "/sitemap-" // followed by a number from 1 and partSuffix
	partSuffix  = ".xml"
	robotsPath  = "/robots.txt"
)

// Options configure the content of the feeds and its URLs.
type Options struct {
	Blog  *blog.Blog
	Links Links
	Name  string // of the site, as the title of its feed
	Hide  bool   // ask robots to stay away
}

// Feeds makes documents and caches the last ones. It is safe for concurrent use.
type Feeds struct {
	blog   *blog.Blog
	links  Links
	name   string
	robots content.Document

	mu    sync.Mutex
	cache *lru.Cache[string, rendered] // feeds by path

	building chan struct{} // has an element while a request makes or reads the two fields below
	stamp    string        // version of the articles in the sitemaps
	sitemaps map[string]content.Document
}

// rendered is a finished feed with the fingerprint of its sources.
type rendered struct {
	from     [sha256.Size]byte
	document content.Document
}

const (
	// cacheBytes bounds the compressed feeds in the cache: a hundred and more, if 50 articles
	// of 6 KB are compressed to less than half.
	cacheBytes = 16 << 20

	// buildLimit bounds the making of a sitemap. The work goes on after its clients have left,
	// because they will ask again. A sitemap of 10,000 articles takes two seconds on the embedded
	// database.
	buildLimit = time.Minute
)

// New returns the feeds that o describes, or an error that names the wrong option.
func New(o Options) (*Feeds, error) {
	if err := o.Links.Check(); err != nil {
		return nil, fmt.Errorf("feeds: %w", err)
	}
	f := &Feeds{blog: o.Blog, links: o.Links, name: o.Name, cache: lru.New(0, cacheBytes, sizeOf), building: make(chan struct{}, 1)}
	f.robots = f.writeRobots(o.Hide)
	return f, nil
}

// Document returns the document of a path, or NotFound.
func (f *Feeds) Document(ctx context.Context, path string) (content.Document, error) {
	switch {
	case path == robotsPath:
		return f.robots, nil
	case path == sitemapPath, strings.HasPrefix(path, partPrefix) && strings.HasSuffix(path, partSuffix):
		return f.sitemap(ctx, path)
	case path == feedPath:
		return f.feed(ctx, path, blog.FeedOf{})
	}
	if of, ok := strings.CutSuffix(path, feedPath); ok {
		if slug, ok := strings.CutPrefix(of, tagsPath); ok {
			return f.feed(ctx, path, blog.FeedOf{Tag: &slug})
		}
		if slug, ok := strings.CutPrefix(of, authorsPath); ok {
			return f.feed(ctx, path, blog.FeedOf{Author: &slug})
		}
	}
	return content.Document{}, missing(path)
}

func missing(path string) error {
	return problem.New(problem.NotFound, "there is no feed at %.100q", path)
}

// feed returns the feed of a part of the published articles. Its sources are read each time,
// without a database command while the caches have them; the feed is written again when they have
// changed.
func (f *Feeds) feed(ctx context.Context, path string, of blog.FeedOf) (content.Document, error) {
	found, err := f.blog.Feed(ctx, of)
	if err != nil {
		return content.Document{}, err
	}
	described := f.describe(path, found)
	from, err := fingerprint(described, found.Articles)
	if err != nil {
		return content.Document{}, err
	}
	f.mu.Lock()
	last, ok := f.cache.Get(path)
	f.mu.Unlock()
	if ok && last.from == from {
		return last.document, nil
	}
	texts, err := f.blog.Texts(ctx, found.Articles)
	if err != nil {
		return content.Document{}, err
	}
	f.fill(&described, found.Articles, texts)
	written, err := xml.MarshalIndent(described, "", " ")
	if err != nil {
		return content.Document{}, fmt.Errorf("write %s: %w", path, err)
	}
	p := newPacker()
	p.write(xml.Header)
	p.write(string(written))
	p.write("\n")
	d := p.document(atomType+"; charset=utf-8", modified(found.Articles))
	f.insert(path, rendered{from, d})
	return d, nil
}

// fingerprint is a digest of the sources of a feed. A text never changes, so its id stands for it.
func fingerprint(described atomFeed, articles []*store.Article) ([sha256.Size]byte, error) {
	sum := sha256.New()
	if err := xml.NewEncoder(sum).Encode(described); err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("describe a feed: %w", err)
	}
	for _, a := range articles {
		fmt.Fprintln(sum, a.RevisionID)
	}
	return [sha256.Size]byte(sum.Sum(nil)), nil
}

// sizeOf is the size of a cached feed in bytes, without the fixed part of some 300.
func sizeOf(path string, r rendered) int { return len(path) + len(r.document.Body) }

// insert caches a feed.
func (f *Feeds) insert(path string, r rendered) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cache.Add(path, r)
}

// sitemap returns the sitemap or a part of it. A request makes it if something in it has changed,
// and other requests wait.
func (f *Feeds) sitemap(ctx context.Context, path string) (content.Document, error) {
	select {
	case f.building <- struct{}{}:
		defer func() { <-f.building }()
	case <-ctx.Done():
		return content.Document{}, fmt.Errorf("wait for the sitemap: %w", context.Cause(ctx))
	}
	stamp, err := f.blog.AddressesStamp(ctx)
	if err != nil {
		return content.Document{}, err
	}
	if f.stamp != stamp || f.sitemaps == nil {
		made, err := f.build(ctx)
		if err != nil {
			return content.Document{}, err
		}
		f.stamp, f.sitemaps = stamp, made
	}
	d, ok := f.sitemaps[path]
	if !ok {
		return content.Document{}, missing(path)
	}
	return d, nil
}

func (f *Feeds) build(ctx context.Context) (map[string]content.Document, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), buildLimit)
	defer cancel()
	s := newSitemap()
	var newest time.Time
	err := f.blog.Addresses(ctx, func(a store.Address) {
		switch a.Of {
		case store.OfArticle:
			s.add(f.links.article(a.Slug), a.Changed)
			if a.Changed.After(newest) {
				newest = a.Changed
			}
		case store.OfAuthor:
			s.add(f.links.author(a.Slug), a.Changed)
		case store.OfTag:
			s.add(f.links.tag(a.Slug), a.Changed)
		}
	})
	if err != nil {
		return nil, err
	}
	s.add(f.links.home(), newest)
	return s.finish(f.links.public), nil
}

func (f *Feeds) writeRobots(hide bool) content.Document {
	body := "User-agent: *\nAllow: /\n\nSitemap: " + f.links.public(sitemapPath) + "\n"
	if hide {
		body = "User-agent: *\nDisallow: /\n"
	}
	sum := sha256.Sum256([]byte(body))
	return content.Document{Type: "text/plain; charset=utf-8", Body: []byte(body), Size: len(body), ETag: hex.EncodeToString(sum[:16])}
}
