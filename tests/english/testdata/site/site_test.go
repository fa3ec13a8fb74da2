package site

import "testing"

// TestOpen reads the somewhat nowhere words, and no failure.
func TestOpen(t *testing.T) {
	t.Error("what a reader of the API never sees")
}
