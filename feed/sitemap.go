package feed

// Sitemaps: add collects URLs into parts of bounded size, finish returns the documents.

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash"
	"io"
	"time"

	"stoa/feed/content"
)

// The bounds of a sitemap (https://www.sitemaps.org/protocol.html).
const (
	maxURLs    = 50_000
	maxSitemap = 50 << 20 // bytes, before compression
	maxURL     = 2047     // characters
)

const (
	xmlType    = "application/xml; charset=utf-8"
	namespace  = `xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"`
	urlsetOpen = xml.Header + "<urlset " + namespace + ">\n"
	urlsetEnd  = "</urlset>\n"
	indexOpen  = xml.Header + "<sitemapindex " + namespace + ">\n"
	indexEnd   = "</sitemapindex>\n"
)

// sitemap takes one URL after the other. Memory has only the compressed bytes.
type sitemap struct {
	urls, bytes int // limits of a part
	parts       []content.Document
	now         *packer // the part under way; nil for none
	count       int     // of URLs in it
	newest      time.Time
}

func newSitemap() *sitemap { return &sitemap{urls: maxURLs, bytes: maxSitemap} }

// add adds a URL with the time of its last change; the zero Time if unknown. It leaves out a URL
// that is too long for the protocol.
func (s *sitemap) add(url string, changed time.Time) {
	if len(url) > maxURL {
		return
	}
	line := entry("url", url, changed)
	if s.now != nil && (s.count == s.urls || s.now.size+len(line)+len(urlsetEnd) > s.bytes) {
		s.end()
	}
	if s.now == nil {
		s.now = newPacker()
		s.now.write(urlsetOpen)
	}
	s.now.write(line)
	s.count++
	if changed.After(s.newest) {
		s.newest = changed
	}
}

func (s *sitemap) end() {
	s.now.write(urlsetEnd)
	s.parts = append(s.parts, s.now.document(xmlType, s.newest))
	s.now, s.count, s.newest = nil, 0, time.Time{}
}

// finish returns the documents by path: one sitemap, or an index with its parts. They all lie at
// the top, because a sitemap counts only for URLs beside it and below.
func (s *sitemap) finish(public func(path string) string) map[string]content.Document {
	if s.now != nil {
		s.end()
	}
	if len(s.parts) == 1 {
		return map[string]content.Document{sitemapPath: s.parts[0]}
	}
	out, index := map[string]content.Document{}, newPacker()
	index.write(indexOpen)
	var newest time.Time
	for i, part := range s.parts {
		path := fmt.Sprintf("%s%d%s", partPrefix, i+1, partSuffix)
		out[path] = part
		index.write(entry("sitemap", public(path), part.Modified))
		if part.Modified.After(newest) {
			newest = part.Modified
		}
	}
	index.write(indexEnd)
	out[sitemapPath] = index.document(xmlType, newest)
	return out
}

func entry(element, url string, changed time.Time) string {
	var b bytes.Buffer
	b.WriteString("<" + element + "><loc>")
	_ = xml.EscapeText(&b, []byte(text(url))) // a buffer takes everything
	b.WriteString("</loc>")
	if !changed.IsZero() {
		b.WriteString("<lastmod>" + moment(changed) + "</lastmod>")
	}
	b.WriteString("</" + element + ">\n")
	return b.String()
}

// packer makes a Document of the text written to it.
type packer struct {
	packed bytes.Buffer
	zip    *gzip.Writer
	sum    hash.Hash
	size   int
}

func newPacker() *packer {
	p := &packer{sum: sha256.New()}
	p.zip = gzip.NewWriter(&p.packed)
	return p
}

func (p *packer) write(s string) {
	_, _ = io.WriteString(p.zip, s) // a buffer takes everything
	_, _ = io.WriteString(p.sum, s)
	p.size += len(s)
}

func (p *packer) document(media string, changed time.Time) content.Document {
	_ = p.zip.Close()
	return content.Document{
		Type: media, Body: bytes.Clone(p.packed.Bytes()), Gzip: true, Size: p.size,
		ETag: hex.EncodeToString(p.sum.Sum(nil)[:16]), Modified: changed,
	}
}
