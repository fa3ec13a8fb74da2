package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"testing"
	"unicode/utf8"
)

// The decoder accepts the same texts as encoding/json, except for its deliberate refusals, and
// decodes them to the same values.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e+10,"x",null,true,false,{}],"b":{"c":[]}}`, `"\ud83d\ude00 \ud800 \u0000"`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`,
		` [ ] `, `[1,]`, `{"a"}`, `01`, `1.`, `-`, `nul`, "\"\x01\"", `{"a":1}}`, `[[[[1]]]]`, ``, `{"a":1 "b":2}`, `"\q"`, `[1 2]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if Bound(text) != nil || !utf8.Valid(text) { // as for all that is decoded
			return
		}
		d := &decoder{text: text}
		got, err := d.value()
		rest := err == nil && !d.ended()
		std := json.NewDecoder(bytes.NewReader(text))
		std.UseNumber()
		var want any
		failed := std.Decode(&want)
		if failed == nil {
			if _, more := std.Token(); !errors.Is(more, io.EOF) {
				failed = errors.New("something follows")
			}
		}
		switch {
		case err != nil && err != errSyntax: // on purpose
		case (failed == nil) != (err == nil && !rest):
			t.Fatalf("%q: %v, rest %t, where encoding/json says %v", text, err, rest, failed)
		case failed == nil && !reflect.DeepEqual(got, want):
			t.Fatalf("%q: %#v, where encoding/json reads %#v", text, got, want)
		}
		skipped := &decoder{text: text}
		if err := skipped.skip(); err == nil && skipped.ended() && failed != nil {
			t.Fatalf("%q is skipped, where encoding/json says %v", text, failed)
		}
	})
}
