package responsecache

// Entry: one public response as it is written (newEntry), and its headers for caches on its way
// (newHeaders). Cache.Write sends it.

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"stoa/gateway/client"
	"stoa/gateway/document"
	"stoa/gateway/wire"
	"stoa/store/cache"
)

// Entry is a cached response.
type Entry struct {
	validity *cache.Validity
	media    wire.MediaType
	body     chunks
	length   [1]string
	cost     [1]string
	zipped   atomic.Pointer[zipped]
	headers  *headers // of the response to a GET; nil for a POST's
	policy   document.Policy
	made     int64 // Unix nanoseconds: before anything was read
	size     int64 // under Cache.mu

	keys     []Key // under Cache.mu; the first is the canonical one
	position int   // in the ring, under Cache.mu; -1 when it isn't there
	used     atomic.Bool
	renewing atomic.Bool
}

// zipped is a response's body compressed.
type zipped struct {
	body   chunks
	length [1]string
}

// headers are those of the response to a GET, for caches on its way.
type headers struct {
	caching [1]string
	tag     [1]string // ETag
	zipTag  [1]string // of the compressed bytes
	commas  [1]string // Cache-Tag
	spaces  [1]string // Surrogate-Key
}

// Public says whether caches on the way may store e: nothing in its headers may be about one client.
func (e *Entry) Public() bool { return e.headers != nil }

// fresh says whether e is new at now, or old but may still be given while another is made. Both are
// false for an entry that is no longer valid, or too old.
func (e *Entry) fresh(now int64) (isNew, isOld bool) {
	age := now - e.made
	if age >= int64(e.policy.MaxAge+e.policy.Stale) || !e.validity.Valid(now) {
		return false, false
	}
	return age < int64(e.policy.MaxAge), age >= int64(e.policy.MaxAge)
}

// newEntry makes an entry of a response's bytes, which it copies. names are the keys that the response was
// made from: the tags of a response to a GET.
func newEntry(validity *cache.Validity, form Form, p document.Policy, cost, began int64, body []byte, names []string) *Entry {
	e := &Entry{validity: validity, media: form.Media, policy: p, made: began, position: -1}
	var room int
	e.body, room = chunksOf(body)
	e.length[0], e.cost[0] = strconv.Itoa(len(body)), strconv.FormatInt(cost, 10)
	e.size = int64(entryOverhead + room + 4*validity.Deps())
	if form.Get {
		e.headers = newHeaders(form.Media, p, body, names)
		e.size += int64(2*len(e.headers.commas[0]) + 200)
	}
	return e
}

func newHeaders(media wire.MediaType, p document.Policy, body []byte, names []string) *headers {
	tags := tagsOf(names)
	sum := sumOf(string(media), body)
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	x := &headers{tag: [1]string{`"` + sum + `"`}, zipTag: [1]string{`"` + sum + wire.GzipSuffix + `"`}}
	x.caching[0] = "public, max-age=" + seconds(p.MaxAge)
	if p.Stale > 0 {
		x.caching[0] += ", stale-while-revalidate=" + seconds(p.Stale)
	}
	x.commas[0], x.spaces[0] = strings.Join(tags, ","), strings.Join(tags, " ")
	return x
}

// tagsOf returns the names that can stand in a header. Where all of them are too much, it returns
// their kinds: art, aut, tag, com, order, list, editions.
func tagsOf(names []string) []string {
	var tags, kinds []string
	length := 0
	for _, name := range names {
		if !isTag(name) {
			continue
		}
		tags = append(tags, name)
		length += len(name) + 1
		kind := name[:strings.IndexAny(name, "_/")]
		if len(kinds) == 0 || kinds[len(kinds)-1] != kind { // names are sorted
			kinds = append(kinds, kind)
		}
	}
	if length > maxTags {
		return kinds
	}
	return tags
}

// isTag says whether a name is that of one thing or one list. A name that a client made up, such as
// a slug that there isn't, isn't told on.
func isTag(name string) bool {
	if len(name) > 64 || !strings.ContainsAny(name, "_/") || strings.HasPrefix(name, "slug/") {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '/' && c != '-' {
			return false
		}
	}
	return true
}

// compressed is e's body compressed, once for all requests.
func (c *Cache) compressed(e *Entry) *zipped {
	if z := e.zipped.Load(); z != nil {
		return z
	}
	buffer := c.codec.Buffers.Get()
	defer c.codec.Buffers.Put(buffer)
	c.codec.Compress(buffer, e.body...)
	body, room := chunksOf(buffer.Bytes())
	z := &zipped{body: body}
	z.length[0] = strconv.Itoa(body.len())
	if !e.zipped.CompareAndSwap(nil, z) {
		return e.zipped.Load()
	}
	c.grow(e, room+50)
	return z
}

// Header values that many responses have. Nobody changes them.
var (
	gzipValue = []string{"gzip"}
	ageValues = func() (values [600][]string) {
		for i := range values {
			values[i] = []string{strconv.Itoa(i)}
		}
		return values
	}()
)

// ageValue is the header of an age in seconds.
func ageValue(seconds int64) []string {
	if seconds = max(seconds, 0); seconds < int64(len(ageValues)) {
		return ageValues[seconds]
	}
	return []string{strconv.FormatInt(seconds, 10)}
}

// Write sends e.
func (c *Cache) Write(w http.ResponseWriter, r *http.Request, e *Entry) {
	c.write(w, r, e, c.now().UnixNano())
}

// age returns e's Age at now, in seconds. An entry of less than its max-age counts from when it was made. An
// older one that is still given has just been found valid, so it counts from now (RFC 9111, 4.2.3): with
// an Age beyond max-age, a cache on the way would never get a fresh copy on a site with few requests.
func (e *Entry) age(now int64) int64 {
	if age := now - e.made; age < int64(e.policy.MaxAge) {
		return age / int64(time.Second)
	}
	return 0
}

// write sends e. Nothing is formatted here, and nothing allocated. Each header costs about a
// hundredth of the whole, and a ninth one as much as four, so there is none too many.
func (c *Cache) write(w http.ResponseWriter, r *http.Request, e *Entry, now int64) {
	h := w.Header()
	body, length := e.body, e.length[:]
	zip := body.len() >= wire.MinGzip && c.codec.HeaderCache.Gzip(r.Header)
	if p := e.headers; p != nil {
		tag := p.tag[:]
		if zip {
			tag = p.zipTag[:]
		}
		h["Cache-Control"], h["Etag"], h["Age"] = p.caching[:], tag, ageValue(e.age(now))
		if known := r.Header["If-None-Match"]; len(known) > 0 && (len(known) == 1 && known[0] == tag[0] || wire.MatchesETag(known, strings.Trim(p.tag[0], `"`))) {
			client.DropSecurityHeaders(h)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if p.commas[0] != "" {
			h["Cache-Tag"], h["Surrogate-Key"] = p.commas[:], p.spaces[:]
		}
	} else if len(h["Access-Control-Allow-Origin"]) == 0 {
		delete(h, "Vary") // nobody may store it, so that there is nothing to choose from
	}
	if zip {
		z := c.compressed(e)
		body, length = z.body, z.length[:]
		h["Content-Encoding"] = gzipValue
	}
	h["Content-Type"], h["Content-Length"], h[wire.CostHeader] = e.media.Value(), length, e.cost[:]
	body.to(w)
}

// sumOf names bytes of a media type, for an ETag.
func sumOf(media string, body []byte) string {
	sum := sha256.Sum256(append([]byte(media+"\n"), body...))
	return hex.EncodeToString(sum[:16])
}
