// Package plain has ten words, and none of them is relative.
package plain
