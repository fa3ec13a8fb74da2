package gateway

// What a header's value means, remembered: clients send the same few all the time, and
// reading them would cost more than the rest of an answer that is kept.

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
)

// The bounds of a memo: more than there are kinds of clients, and less than anybody could
// fill memory with.
const (
	maxMemo      = 256
	maxMemoValue = 512
)

// memo remembers what was made of texts. Its zero value is ready.
type memo[T any] struct {
	mu    sync.Mutex
	known atomic.Pointer[map[string]T]
}

// of returns what read makes of text. It is called once for a text, as a rule.
func (m *memo[T]) of(text string, read func() T) T {
	known := m.known.Load()
	if known != nil {
		if v, ok := (*known)[text]; ok {
			return v
		}
	}
	v := read()
	if len(text) > maxMemoValue || known != nil && len(*known) >= maxMemo {
		return v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next := map[string]T{}
	if known = m.known.Load(); known != nil {
		next = maps.Clone(*known)
	}
	next[text] = v
	m.known.Store(&next)
	return v
}

// headers is what is remembered of the headers by which an answer's form is chosen.
type headers struct {
	accepts   memo[accepted]
	encodings memo[bool]
	contents  memo[bool]
}

// accepted is what an Accept says.
type accepted struct {
	media mediaType // "" where none can be answered
	html  bool      // it names a page

	stream bool // it wants events
}

// accept reads h's Accept. Where several lines have it, nothing is remembered.
func (m *headers) accept(h http.Header) accepted {
	read := func() accepted {
		media, _ := negotiate(h)
		return accepted{media, wantsHTML(h), prefersStream(h)}
	}
	switch lines := h["Accept"]; len(lines) {
	case 0:
		return accepted{media: mediaJSON}
	case 1:
		return m.accepts.of(lines[0], read)
	default:
		return read()
	}
}

// gzip is acceptsGzip.
func (m *headers) gzip(h http.Header) bool {
	switch lines := h["Accept-Encoding"]; len(lines) {
	case 0:
		return false
	case 1:
		return m.encodings.of(lines[0], func() bool { return acceptsGzip(h) })
	default:
		return acceptsGzip(h)
	}
}

// json says whether h is surely what checkContent wants.
func (m *headers) json(h http.Header) bool {
	lines := h["Content-Type"]
	if len(lines) != 1 || len(h["Content-Encoding"]) > 0 {
		return false
	}
	return m.contents.of(lines[0], func() bool { return checkContent(h) == nil })
}
