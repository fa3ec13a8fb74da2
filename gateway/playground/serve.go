package playground

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// contentSecurityPolicy lets the page load from and ask its own host only, and lets nobody
// frame it. Scripts come from files alone. Styles may be inline too, because Monaco, the
// editor in GraphiQL, writes its themes and the places of its lines that way, and takes no
// nonce. Images may be data, for the icons in Monaco's style sheet. The assets carry it as
// well: a worker is bound by the policy of its own script, not of the page.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; " +
	"style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

const (
	// revalidate is for addresses with changing content.
	revalidate = "no-cache"

	// forever is for addresses with a hash of the content. A year is the longest time that RFC
	// 9111 and browsers consider; immutable saves the request on reload.
	forever = "public, max-age=31536000, immutable"
)

// file is one thing to serve, in one or both encodings.
type file struct {
	contentType  string
	cacheControl string
	tag          string // the ETag of the plain bytes, without quotes
	plain        []byte // nil if only gzip is kept
	gzip         []byte // nil if only plain is kept
	size         int    // of the plain bytes
}

// ServeHTTP serves the page or one of its assets, as gzip if the request accepts it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	// Other hosts get no referrer. Ours does: without one, a browser that sends no
	// Sec-Fetch-Site may say "Origin: null" to it, which protection against forgery refuses.
	header.Set("Referrer-Policy", "same-origin")

	f, ok := h.files[r.URL.Path]
	if r.URL.Path == "/" {
		var err error
		if f, err = h.page.at(originOf(r)); err != nil { // New has tried
			http.Error(w, "the playground can't be shown", http.StatusInternalServerError)
			return
		}
		ok = true
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the playground is read by GET", http.StatusMethodNotAllowed)
		return
	}
	f.serve(w, r)
}

// originOf returns the origin by which the reader has opened the server.
func originOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", f.cacheControl)
	// The caller may have chosen this page by further headers. All are in one line: some caches
	// take only the last (nginx before 1.23).
	header.Set("Vary", strings.Join(append(header.Values("Vary"), "Accept-Encoding"), ", "))

	compressed := f.gzip != nil && acceptsGzip(r.Header)
	tag, length := `"`+f.tag+`"`, f.size
	if compressed {
		tag, length = `"`+f.tag+`-gzip"`, len(f.gzip)
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", tag)
	if matches(r.Header, tag) {
		header.Del("Content-Type")
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", strconv.Itoa(length))
	if r.Method == http.MethodHead {
		return
	}

	// From here an error means that the client has disconnected: the assets were tested when
	// built.
	switch {
	case compressed:
		_, _ = w.Write(f.gzip)
	case f.plain != nil:
		_, _ = w.Write(f.plain)
	default:
		if z, err := gzip.NewReader(bytes.NewReader(f.gzip)); err == nil {
			_, _ = io.Copy(w, z)
		}
	}
}

// acceptsGzip says whether a client would rather have gzip than the plain bytes, by RFC 9110,
// section 12.5.3. Of two equal weights gzip wins, for being smaller.
func acceptsGzip(header http.Header) bool {
	packed, star, plain := -1.0, -1.0, -1.0 // the weight of each; below 0 if it is not named
	for _, item := range strings.Split(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(item, ";")
		weight := 1.0
		if name, value, ok := strings.Cut(strings.TrimSpace(parameters), "="); ok && strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || q < 0 || q > 1 {
				q = 0 // an unreadable weight is 0: plain bytes are always right
			}
			weight = q
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			packed = weight
		case "identity":
			plain = weight
		case "*":
			star = weight
		}
	}
	if packed < 0 {
		packed = star
	}
	return packed > 0 && packed >= plain
}

// matches says if the client already has the content with this tag. The comparison is weak, as
// RFC 9110, section 13.1.2, requires for If-None-Match.
func matches(header http.Header, tag string) bool {
	for _, item := range strings.Split(strings.Join(header.Values("If-None-Match"), ","), ",") {
		item = strings.TrimSpace(item)
		if item == "*" || strings.TrimPrefix(item, "W/") == tag {
			return true
		}
	}
	return false
}
