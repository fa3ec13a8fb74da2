package gateway

import (
	"testing"

	"github.com/99designs/gqlgen/graphql"
)

// A multipart request's map names ten files at most, each for one place.
func FuzzMap(f *testing.F) {
	for _, seed := range []string{`{"0":["variables.a"]}`, `{"0":["a","b"]}`, `{"0":null}`, `[]`, `{"0":["a"],"0":["b"]}`, `{"map":["a"]}`, `{} {}`, `{"":[""]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		paths, err := parseMap(text)
		if err == nil && len(paths) > maxFiles {
			t.Errorf("%q names %d files", text, len(paths))
		}
		for name, path := range paths {
			_ = place(map[string]any{"a": nil, "b": []any{nil}}, path, graphql.Upload{Filename: name})
		}
	})
}
