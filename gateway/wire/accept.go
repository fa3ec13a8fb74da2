// Package wire reads HTTP requests and writes responses: bodies within their bounds, the forms that a client
// accepts, and every error as a response with its status.
//
// Codec is the entry point: Codec.ReadBody on the way in, Codec.Respond
// and Codec.Refuse on the way out. It may import envelope and refusal.
package wire

// This file reads the forms that a client accepts: the media type of the response (Negotiate), its compression
// (acceptsGzip), and whether a browser asks (WantsHTML). RFC 9110, section 12.

import (
	"net/http"
	"strconv"
	"strings"

	"stoa/gateway/refusal"
)

// MediaType is a form in which a GraphQL answer can be sent.
type MediaType string

const (
	JSON        MediaType = "application/json"
	GraphQL     MediaType = "application/graphql-response+json"
	EventStream MediaType = "text/event-stream"
)

// Header is the Content-Type of an answer in m.
func (m MediaType) Header() string { return string(m) + "; charset=utf-8" }

var contentTypes = map[MediaType][]string{JSON: {JSON.Header()}, GraphQL: {GraphQL.Header()}}

// Value is header as a value of http.Header. Nobody changes it.
func (m MediaType) Value() []string { return contentTypes[m] }

// preference is one element of Accept or Accept-Encoding.
type preference struct {
	name   string // in lower case: a media range or a content coding
	params map[string]string
	weight float64 // 0 (never) to 1
}

// Negotiate chooses the media type of the response. The greater weight wins, then the type
// that is named rather than matched by a wildcard, then the one named first. If neither is
// named, it is application/json, as for a client without Accept: the audits of graphql-http
// require that, though the specification has required the other since 2025.
func Negotiate(h http.Header) (MediaType, error) {
	accept := preferences(h.Values("Accept"))
	if len(accept) == 0 {
		return JSON, nil
	}
	best, chosen := match{}, MediaType("")
	for _, candidate := range []MediaType{JSON, GraphQL} {
		if m := matchOf(candidate, accept); m.better(best) {
			best, chosen = m, candidate
		}
	}
	if chosen == "" {
		return "", refusal.New(refusal.NotAcceptable, "Accept allows no media type that can be answered: it must allow %s or %s", GraphQL, JSON)
	}
	return chosen, nil
}

// match is how well a media type fits an Accept header; its zero value is not at all.
type match struct {
	weight float64
	named  int // 3: the type itself, 2: application/*, 1: */*
	place  int // in the header, from 0
}

func (m match) better(than match) bool {
	switch {
	case m.weight == 0:
		return false
	case m.weight != than.weight:
		return m.weight > than.weight
	case m.named < 3 && than.named < 3:
		return false // by wildcards only: the candidates' own order
	case m.named != than.named:
		return m.named > than.named
	default:
		return m.place < than.place
	}
}

// matchOf takes the most specific range that covers candidate, since that one overrides the
// others with any weight.
func matchOf(candidate MediaType, accept []preference) match {
	var m match
	for place, p := range accept {
		if charset, ok := p.params["charset"]; ok && !isUTF8(charset) {
			continue
		}
		named := 0
		switch p.name {
		case string(candidate):
			named = 3
		case "application/*":
			named = 2
		case "*/*":
			named = 1
		}
		if named > m.named {
			m = match{weight: p.weight, named: named, place: place}
		}
	}
	return m
}

// WantsHTML says whether a browser asks for a page: other clients don't name text/html.
func WantsHTML(h http.Header) bool {
	for _, p := range preferences(h.Values("Accept")) {
		if p.weight > 0 && (p.name == "text/html" || p.name == "application/xhtml+xml") {
			return true
		}
	}
	return false
}

// prefersStream says whether the response is to be an event stream: clients that take either
// name it last.
func prefersStream(h http.Header) bool {
	accept := preferences(h.Values("Accept"))
	m := matchOf(EventStream, accept)
	return m.named == 3 && m.better(matchOf(JSON, accept)) && m.better(matchOf(GraphQL, accept))
}

// acceptsGzip says whether the answer may be compressed.
func acceptsGzip(h http.Header) bool {
	gzip, others := -1.0, -1.0
	for _, p := range preferences(h.Values("Accept-Encoding")) {
		switch p.name {
		case "gzip", "x-gzip":
			gzip = p.weight
		case "*":
			others = p.weight
		}
	}
	if gzip < 0 {
		gzip = others
	}
	return gzip > 0
}

func isUTF8(charset string) bool {
	return strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// preferences reads the values of Accept or Accept-Encoding. An element that can't be read
// counts as not sent.
func preferences(values []string) []preference {
	var list []preference
	for _, value := range values {
		for element := range splitQuoted(value, ',') {
			if p, ok := readPreference(element); ok {
				list = append(list, p)
			}
		}
	}
	return list
}

func readPreference(element string) (preference, bool) {
	p := preference{weight: 1}
	first := true
	for part := range splitQuoted(element, ';') {
		part = strings.TrimSpace(part)
		if first {
			p.name, first = strings.ToLower(part), false
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.Trim(strings.TrimSpace(value), `"`)
		if name != "q" {
			if p.params == nil {
				p.params = map[string]string{}
			}
			p.params[name] = value
			continue
		}
		weight, ok := readWeight(value)
		if !ok {
			return preference{}, false
		}
		p.weight = weight
	}
	return p, p.name != ""
}

func readWeight(s string) (float64, bool) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	weight, err := strconv.ParseFloat(s, 64)
	return weight, err == nil && weight <= 1
}

// splitQuoted yields the parts of s between separators outside quoted strings.
func splitQuoted(s string, separator byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '\\' && quoted:
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == separator && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}
