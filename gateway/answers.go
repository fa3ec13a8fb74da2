package gateway

// Answers that are kept: whole, public, ready to write (kept), found by what was asked
// (answers.get) and bounded by their bytes. Whether one still holds the caches say: see
// cache.Standing. How a request comes by one is in share.go.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stoa/gateway/client"
	"stoa/gateway/document"
	"stoa/gateway/wire"
	"stoa/store/cache"
)

const (
	// shards is how many maps the answers are in, so that requests seldom meet.
	shards = 64

	// keptOverhead is what a kept answer takes beside the room for its bytes and 4 for each name
	// that it depends on: its fields, and its places in the maps (TestMemoryOfAKeptAnswer).
	keptOverhead = 500

	// maxDeps is the number of names past which an answer isn't kept: an answer of the
	// largest pages has some thousands.
	maxDeps = 4000

	// maxAliases is by how many ways of asking for it an answer is known.
	maxAliases = 4

	// maxTags is the size of a header that lists an answer's tags, in bytes. There are two of
	// them, and nginx takes no more than 4 KiB of headers unless told otherwise.
	maxTags = 1500
)

// key is a hash of what was asked, of 128 bits and under random seeds: nobody can look for
// two requests that have the same.
type key struct{ a, b uint64 }

// kept is a public answer as it is written.
type kept struct {
	standing *cache.Standing
	media    wire.MediaType
	body     pieces
	length   [1]string
	cost     [1]string
	zipped   atomic.Pointer[zipped]
	public   *forCaches // what a GET's answer says of itself; nil for a POST's
	policy   document.Policy
	made     int64 // Unix nanoseconds: before anything was read
	size     int64 // under answers.mu

	keys     []key // under answers.mu; the first is the canonical one
	place    int   // in the ring, under answers.mu; -1 when it isn't there
	used     atomic.Bool
	renewing atomic.Bool
}

// zipped is an answer's body compressed.
type zipped struct {
	body   pieces
	length [1]string
}

// forCaches is what the answer to a GET says to caches on its way.
type forCaches struct {
	caching [1]string
	tag     [1]string // ETag
	zipTag  [1]string // of the compressed bytes
	commas  [1]string // Cache-Tag
	spaces  [1]string // Surrogate-Key
}

// fresh says whether k is new at now, or old but may still be given while another is made.
// Both is false for what doesn't hold any more, or is too old.
func (k *kept) fresh(now int64) (isNew, isOld bool) {
	age := now - k.made
	if age >= int64(k.policy.MaxAge+k.policy.Stale) || !k.standing.Stands(now) {
		return false, false
	}
	return age < int64(k.policy.MaxAge), age >= int64(k.policy.MaxAge)
}

// newKept makes of an answer's bytes, which it copies, what can be kept. names are the tags
// of an answer to a GET.
func newKept(standing *cache.Standing, media wire.MediaType, p document.Policy, cost, began int64, body []byte, get bool, names []string) *kept {
	k := &kept{standing: standing, media: media, policy: p, made: began, place: -1}
	var room int
	k.body, room = piecesOf(body)
	k.length[0], k.cost[0] = strconv.Itoa(len(body)), strconv.FormatInt(cost, 10)
	k.size = int64(keptOverhead + room + 4*standing.Deps())
	if get {
		k.public = newPublic(media, p, body, names)
		k.size += int64(2*len(k.public.commas[0]) + 200)
	}
	return k
}

func newPublic(media wire.MediaType, p document.Policy, body []byte, names []string) *forCaches {
	tags := tagsOf(names)
	sum := sumOf(string(media), body)
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	x := &forCaches{tag: [1]string{`"` + sum + `"`}, zipTag: [1]string{`"` + sum + wire.GzipSuffix + `"`}}
	x.caching[0] = "public, max-age=" + seconds(p.MaxAge)
	if p.Stale > 0 {
		x.caching[0] += ", stale-while-revalidate=" + seconds(p.Stale)
	}
	x.commas[0], x.spaces[0] = strings.Join(tags, ","), strings.Join(tags, " ")
	return x
}

// tagsOf are those of names that can stand in a header. Where all of them are too much, it
// is the kinds of things that they are of: art, aut, tag, com, order, list, editions.
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

// isTag says whether a name is of one thing or of one list, and nothing else: what a client
// made up, such as a slug that there isn't, isn't told on.
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

// answers are those that are kept, and those that are being made. It is safe for concurrent
// use.
type answers struct {
	cache *cache.Cache
	limit int64 // bytes
	seeds [2]maphash.Seed

	shards [shards]shard

	mu    sync.Mutex // after it, a shard's may be taken; never before
	ring  []*kept
	hand  int
	bytes int64

	making  sync.Mutex
	flights map[key]*flight

	// alone has keys of what came out private or failed when it was asked for last: who asks
	// for it needn't wait to see it come out so again.
	alone [1 << 10]atomic.Uint64

	background sync.WaitGroup // of answers that are being renewed
	renewals   chan struct{}  // has an element for each of them
	hits, made atomic.Int64
}

type shard struct {
	mu   sync.RWMutex
	kept map[key]*kept
	_    [32]byte // each in a cache line of its own
}

func newAnswers(c *cache.Cache, limit int64) *answers {
	a := &answers{cache: c, limit: limit, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, flights: map[key]*flight{}, renewals: make(chan struct{}, max(runtime.GOMAXPROCS(0)-1, 1))}
	for i := range a.shards {
		a.shards[i].kept = map[key]*kept{}
	}
	return a
}

// AnswerCounts is what became of requests since the start that had a right to a kept answer.
type AnswerCounts struct {
	Hits int64 // were answered by one
	Made int64 // had theirs executed
	Kept int   // answers there are now
	Size int64 // of them, in bytes, as is reckoned
}

// AnswerCounts tells how the cache of answers does.
func (g *Gateway) AnswerCounts() AnswerCounts {
	if g.answers == nil {
		return AnswerCounts{}
	}
	a := g.answers
	a.mu.Lock()
	defer a.mu.Unlock()
	return AnswerCounts{Hits: a.hits.Load(), Made: a.made.Load(), Kept: len(a.ring), Size: a.bytes}
}

func (a *answers) hash(text []byte) key {
	return key{maphash.Bytes(a.seeds[0], text), maphash.Bytes(a.seeds[1], text)}
}

// get returns what is kept under id; nil for nothing.
func (a *answers) get(id key) *kept {
	s := &a.shards[id.a%shards]
	s.mu.RLock()
	k := s.kept[id]
	s.mu.RUnlock()
	return k
}

func (a *answers) set(id key, k *kept) {
	s := &a.shards[id.a%shards]
	s.mu.Lock()
	s.kept[id] = k
	s.mu.Unlock()
}

// unset forgets id if it is k's.
func (a *answers) unset(id key, k *kept) {
	s := &a.shards[id.a%shards]
	s.mu.Lock()
	if s.kept[id] == k {
		delete(s.kept, id)
	}
	s.mu.Unlock()
}

// put keeps k under its canonical key, in the place of what was there and however that was
// asked for.
func (a *answers) put(id key, k *kept) {
	if k.size > a.limit/4 {
		return // it would push out too many others
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k.keys = []key{id}
	if old := a.get(id); old != nil {
		a.remove(old)
		k.keys = old.keys
	}
	k.place = len(a.ring)
	a.ring = append(a.ring, k)
	a.bytes += k.size
	for _, id := range k.keys {
		a.set(id, k)
	}
	a.evict()
}

// alias makes k found by another way of asking for it, too.
func (a *answers) alias(id key, k *kept) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k.place < 0 || len(k.keys) > maxAliases {
		return
	}
	if old := a.get(id); old != nil {
		if old == k {
			return
		}
		a.remove(old)
	}
	k.keys = append(k.keys, id)
	a.set(id, k)
}

// grow notes that k takes n bytes more.
func (a *answers) grow(k *kept, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k.size += int64(n); k.place >= 0 {
		a.bytes += int64(n)
		a.evict()
	}
}

// remove forgets k. The caller holds mu.
func (a *answers) remove(k *kept) {
	if k.place < 0 {
		return
	}
	for _, id := range k.keys {
		a.unset(id, k)
	}
	last := a.ring[len(a.ring)-1]
	a.ring[k.place], last.place = last, k.place
	a.ring[len(a.ring)-1] = nil
	a.ring = a.ring[:len(a.ring)-1]
	a.bytes -= k.size
	k.place = -1
}

// evict forgets answers until they fit: those that hold no longer, and those that weren't
// asked for since it came by the last time. The caller holds mu.
func (a *answers) evict() {
	for a.bytes > a.limit && len(a.ring) > 0 {
		if a.hand >= len(a.ring) {
			a.hand = 0
		}
		k := a.ring[a.hand]
		if isNew, isOld := k.fresh(time.Now().UnixNano()); (isNew || isOld) && k.used.Swap(false) {
			a.hand++
			continue
		}
		a.remove(k) // the youngest takes its place in the ring, and isn't looked at yet
		a.hand++
	}
}

// compressed is k's body compressed, which is done once.
func (a *answers) compressed(k *kept, g *Gateway) *zipped {
	if z := k.zipped.Load(); z != nil {
		return z
	}
	buffer := g.codec.Buffers.Get()
	defer g.codec.Buffers.Put(buffer)
	g.codec.Compress(buffer, k.body...)
	body, room := piecesOf(buffer.Bytes())
	z := &zipped{body: body}
	z.length[0] = strconv.Itoa(body.len())
	if !k.zipped.CompareAndSwap(nil, z) {
		return k.zipped.Load()
	}
	a.grow(k, room+50)
	return z
}

// Header values that many answers have. Nobody changes them.
var (
	gzipValue    = []string{"gzip"}
	varyValue    = []string{"Accept, Accept-Encoding"}
	noStoreValue = []string{"no-store"}
	ageValues    = func() (values [600][]string) {
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

// writeKept sends k. Nothing is formatted here, and nothing allocated. Each header costs about
// a hundredth of the whole, and a ninth one as much as four, so there is none too many.
func (g *Gateway) writeKept(w http.ResponseWriter, r *http.Request, k *kept, now int64) {
	h := w.Header()
	body, length := k.body, k.length[:]
	zip := body.len() >= wire.MinGzip && g.codec.HeaderCache.Gzip(r.Header)
	if p := k.public; p != nil {
		tag := p.tag[:]
		if zip {
			tag = p.zipTag[:]
		}
		h["Cache-Control"], h["Etag"], h["Age"] = p.caching[:], tag, ageValue((now-k.made)/int64(time.Second))
		if known := r.Header["If-None-Match"]; len(known) > 0 && (len(known) == 1 && known[0] == tag[0] || wire.MatchesETag(known, strings.Trim(p.tag[0], `"`))) {
			client.DropSecurityHeaders(h)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if p.commas[0] != "" {
			h["Cache-Tag"], h["Surrogate-Key"] = p.commas[:], p.spaces[:]
		}
	} else if len(h["Vary"]) == 1 {
		delete(h, "Vary") // nobody may store it, so that nothing is chosen among what is stored
	}
	if zip {
		z := g.answers.compressed(k, g)
		body, length = z.body, z.length[:]
		h["Content-Encoding"] = gzipValue
	}
	h["Content-Type"], h["Content-Length"], h[wire.CostHeader] = k.media.Value(), length, k.cost[:]
	body.to(w)
}

// sumOf names bytes of a media type, for an ETag.
func sumOf(media string, body []byte) string {
	sum := sha256.Sum256(append([]byte(media+"\n"), body...))
	return hex.EncodeToString(sum[:16])
}

// requested is what an answer is found by before anything is parsed: all of the request
// that an answer can depend on. It is put behind the body in buffer, which is left as it was.
func (a *answers) requested(r *http.Request, media wire.MediaType, body *bytes.Buffer) key {
	n := body.Len()
	get := byte('P')
	if r.Method != http.MethodPost {
		get = 'G'
	}
	body.WriteString(r.URL.RawQuery)
	body.WriteByte(0)
	body.WriteString(r.URL.Path)
	body.WriteByte(0)
	body.WriteString(string(media))
	body.Write([]byte{get, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	id := a.hash(body.Bytes())
	body.Truncate(n)
	return id
}
