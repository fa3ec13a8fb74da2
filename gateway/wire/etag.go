package wire

// Entity tags: matchesETag answers If-None-Match.

import "strings"

// GzipSuffix tells the compressed bytes from the others: a strong ETag is of the bytes that
// are sent (RFC 9110, 8.8.3.3).
const GzipSuffix = "-gzip"

// MatchesETag says whether If-None-Match has a tag, with gzipSuffix or without: a client that has
// either encoding has the content. "*" matches any.
func MatchesETag(values []string, tag string) bool {
	for _, value := range values {
		for element := range splitQuoted(value, ',') {
			element = strings.TrimPrefix(strings.TrimSpace(element), "W/")
			if element == "*" || element == `"`+tag+`"` || element == `"`+tag+GzipSuffix+`"` {
				return true
			}
		}
	}
	return false
}
