package gateway

// Pages for programs: feeds, sitemaps, robots.txt. Everybody may read them, so that
// neither tokens nor cookies are looked at here.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"stoa/access"
	"stoa/feed/content"
	"stoa/gateway/refusal"
	"stoa/gateway/wire"
	"stoa/problem"
)

// feedCaching lets caches on the way store a document for five minutes: that takes most
// of the load of a popular feed, and is how long a withdrawn article may still be in a copy
// of somebody else's. Here it is gone at once.
const feedCaching = "public, max-age=300"

// feedCost is what a request for a document consumes, in units, found or not: one look-up of a slug
// takes some 50 µs (BenchmarkSitemap has 270 with its own client), and the sources of a feed are in the caches.
const feedCost = 10

// isFeed reports whether requests for a path go to Options.Feeds.
func isFeed(path string) bool {
	return path == "/robots.txt" || strings.HasPrefix(path, "/sitemap") && strings.HasSuffix(path, ".xml") || strings.HasSuffix(path, "/feed.atom")
}

func (g *Gateway) serveFeed(w http.ResponseWriter, r *http.Request) {
	if !readOnly(r.Method) {
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.MethodNotAllowed, "%.20q isn't taken here: use GET", r.Method).With("Allow", "GET, HEAD"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.limits.timeout)
	defer cancel()
	ctx, scope := g.pipeline.Begin(ctx, access.Request{Client: g.clients.Client(r)})
	if err := scope.Usage.Consume(ctx, feedCost); err != nil {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	d, err := g.feeds(ctx, r.URL.Path)
	var missing *problem.Error
	switch {
	case errors.As(err, &missing) && missing.Code == problem.NotFound:
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.NotFound, "%s", missing.Message))
	case err != nil && ctx.Err() != nil:
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.Timeout, "this took too long: try again later"))
	case err != nil:
		g.codec.Refuse(w, r, wire.JSON, err)
	default:
		g.writeDocument(w, r, d)
	}
}

// writeDocument sends d, or says that the client has it. Only the ETag says so: the time of
// the newest article goes back when that article is withdrawn, and If-Modified-Since would
// keep it.
func (g *Gateway) writeDocument(w http.ResponseWriter, r *http.Request, d content.Document) {
	zipped := d.Gzip && d.Size >= wire.MinGzip && g.codec.HeaderCache.Gzip(r.Header)
	h, tag := w.Header(), d.ETag
	if zipped {
		tag += wire.GzipSuffix
	}
	h.Set("ETag", `"`+tag+`"`)
	h.Set("Cache-Control", feedCaching)
	h.Add("Vary", "Accept-Encoding")
	if !d.Modified.IsZero() {
		h.Set("Last-Modified", d.Modified.UTC().Format(http.TimeFormat))
	}
	if wire.MatchesETag(r.Header.Values("If-None-Match"), d.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", d.Type)
	size := d.Size
	if zipped {
		size = len(d.Body)
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(size))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wire.WriteTime))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	if zipped || !d.Gzip {
		_, _ = w.Write(d.Body)
		return
	}
	reader, err := gzip.NewReader(bytes.NewReader(d.Body))
	if err == nil {
		_, err = io.Copy(w, reader) // an error in writing is the client's going
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the length is promised: the part sent is no answer
	}
}
