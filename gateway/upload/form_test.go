package upload

import (
	"io"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
	"stoa/tests/requests"
)

// Any input is a form or is refused, and holds no more than allowed.
func FuzzMultipart(f *testing.F) {
	for _, parts := range [][]requests.Part{
		{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", "picture"}},
		{{"operations", requests.Upload}, {"map", `{"0": ["variables.in.file"], "a": ["variables.in.files.3"]}`}, {"0", ""}, {"a", "\r\n--"}},
		{{"map", "{}"}},
	} {
		body, contentType := requests.Form(parts...)
		_, boundary, _ := strings.Cut(contentType, "boundary=")
		f.Add(strings.ReplaceAll(body, boundary, "b"))
	}
	f.Fuzz(func(t *testing.T, body string) {
		form := newForm(strings.NewReader(body), "b", 1<<16, 100)
		defer form.close()
		asked, err := form.envelope(envelope.Parse)
		if err != nil {
			return
		}
		if asked.Query == "" || len(form.files) > maxFiles {
			t.Fatalf("%q and %d files", asked.Query, len(form.files))
		}
		if err := form.readFiles(); err != nil {
			if refusal.Code(err) == refusal.Internal {
				t.Fatal(err)
			}
			return
		}
		for name, file := range form.files {
			content, err := io.ReadAll(file)
			if err != nil || len(content) > 100 || !form.read[name] {
				t.Fatalf("%q has %d bytes, %v", name, len(content), err)
			}
		}
	})
}

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
