package wire

// The header cache: the meaning of values of request headers. Clients send the same few all the
// time, and reading them again would cost more than the rest of a cached response.

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
)

// The bounds of one header's cache: more entries than there are kinds of clients, and too few
// bytes to fill memory with.
const (
	maxHeaderValues = 256
	maxHeaderValue  = 512
)

// valueCache has the meaning of values of one header. Its zero value is ready.
type valueCache[T any] struct {
	mu    sync.Mutex
	known atomic.Pointer[map[string]T]
}

// of returns the result of read for text. It is called once for a text, as a rule.
func (m *valueCache[T]) of(text string, read func() T) T {
	known := m.known.Load()
	if known != nil {
		if v, ok := (*known)[text]; ok {
			return v
		}
	}
	v := read()
	if len(text) > maxHeaderValue || known != nil && len(*known) >= maxHeaderValues {
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

// HeaderCache caches the headers that choose the form of a response.
type HeaderCache struct {
	accepts   valueCache[Accepted]
	encodings valueCache[bool]
	contents  valueCache[bool]
}

// Accepted is the meaning of an Accept header.
type Accepted struct {
	Media MediaType // "" if none is acceptable
	HTML  bool      // it contains text/html, as browsers send it

	Stream bool // it prefers an event stream
}

// Accept reads h's Accept. With several lines, nothing is remembered.
func (m *HeaderCache) Accept(h http.Header) Accepted {
	read := func() Accepted {
		media, _ := Negotiate(h)
		return Accepted{media, WantsHTML(h), prefersStream(h)}
	}
	switch lines := h["Accept"]; len(lines) {
	case 0:
		return Accepted{Media: JSON}
	case 1:
		return m.accepts.of(lines[0], read)
	default:
		return read()
	}
}

// Gzip is acceptsGzip.
func (m *HeaderCache) Gzip(h http.Header) bool {
	switch lines := h["Accept-Encoding"]; len(lines) {
	case 0:
		return false
	case 1:
		return m.encodings.of(lines[0], func() bool { return acceptsGzip(h) })
	default:
		return acceptsGzip(h)
	}
}

// JSON says whether checkContent surely takes h.
func (m *HeaderCache) JSON(h http.Header) bool {
	lines := h["Content-Type"]
	if len(lines) != 1 || len(h["Content-Encoding"]) > 0 {
		return false
	}
	return m.contents.of(lines[0], func() bool { return checkContent(h) == nil })
}
