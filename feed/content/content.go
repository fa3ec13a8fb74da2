// Package content has the type of a finished feed, sitemap or robots.txt. It is apart from feed so
// that the gateway can serve documents without seeing how they are made.
//
// It may import none of our packages. Entry point: Document.
package content

import "time"

// Document is the content of a path. Its bytes are shared and never changed.
type Document struct {
	Type     string // media type
	Body     []byte
	Gzip     bool      // Body is compressed
	Size     int       // of the uncompressed body, in bytes
	ETag     string    // follows from the uncompressed bytes, without quotes
	Modified time.Time // time of the newest change in it; zero if unknown
}
