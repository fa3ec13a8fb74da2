package store

// Tests of sealed texts.

import (
	"strings"
	"testing"

	"stoa/problem"
)

func TestSealedTextsAreReadByTheirPurposeOnly(t *testing.T) {
	s := openStore(t, nil)
	const text = "an article, and until when"
	token, err := s.Seal(t.Context(), "preview", text)
	check(t, err)
	again, err := s.Seal(t.Context(), "preview", text)
	check(t, err)
	if token == again || strings.Contains(token, "article") {
		t.Errorf("two tokens are %s and %s", token, again)
	}
	got, err := s.Unseal(t.Context(), "preview", token)
	if check(t, err); got != text {
		t.Errorf("in the token is %q", got)
	}
	s.sealed = nil // as on another replica
	got, err = s.Unseal(t.Context(), "preview", token)
	if check(t, err); got != text {
		t.Errorf("on another replica, in the token is %q", got)
	}
	if _, err := s.Unseal(t.Context(), "device", token); !problem.Is(err, problem.NotFound) {
		t.Errorf("for another purpose: %v", err)
	}
	for i := range token {
		other := []byte(token)
		if other[i] = 'A'; token[i] == 'A' {
			other[i] = 'B'
		}
		if _, err := s.Unseal(t.Context(), "preview", string(other)); !problem.Is(err, problem.NotFound) {
			t.Fatalf("with another character %d: %v", i, err)
		}
	}
	for _, other := range []string{"", "=", token[1:], token + "A", token + "\n", " " + token, strings.Repeat("A", 10_000)} {
		if _, err := s.Unseal(t.Context(), "preview", other); !problem.Is(err, problem.NotFound) {
			t.Errorf("%.50q: %v", other, err)
		}
	}
}
