//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// SJSON decoded: every type, and damaged documents.

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// canonical returns a document as canonical extended JSON, compact.
func canonical(t *testing.T, document bson.Raw) string {
	t.Helper()
	if err := document.Validate(); err != nil {
		t.Fatal(err)
	}
	text, err := bson.MarshalExtJSON(document, true, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDamagedSJSONIsRefused(t *testing.T) {
	const good = `{"$s":{"p":{"_id":{"t":"int"},"a":{"t":"array","i":[{"t":"object","$s":{"p":{"b":{"t":"objectId"}},"$k":["b"]}}]}},"$k":["_id","a"]},"_id":1,"a":[{"b":"0123456789abcdef01234567"}]}`
	if _, err := decodeSJSON([]byte(good)); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ reason, old, new string }{
		"CutOff":         {"the missing part could be anything", `"}]}`, ``},
		"Trailing":       {"there is one document in a row", `"}]}`, `"}]}{}`},
		"NoObject":       {"a document is an object", good, `[]`},
		"NoSchema":       {"the types aren't known", `"$s":{"p":{"_id"`, `"s":{"p":{"_id"`},
		"BadSchema":      {"the types aren't known", `"$k":["_id","a"]`, `"$k":7`},
		"MissingField":   {"the order names a field that isn't there", `"_id":1,`, ``},
		"MoreFields":     {"a field isn't in the order", `"_id":1,`, `"_id":1,"x":1,`},
		"OtherField":     {"a field has the place of another", `"_id":1,`, `"id":1,`},
		"UntypedField":   {"a field has no type", `"p":{"_id"`, `"p":{"id"`},
		"UnknownType":    {"no such type was written", `"t":"int"`, `"t":"decimal"`},
		"OtherType":      {"an int isn't a string", `"_id":1,`, `"_id":"1",`},
		"OutOfRange":     {"an int has 32 bits", `"_id":1,`, `"_id":2147483648,`},
		"ObjectID":       {"an ObjectID has 12 bytes", `"01234567`, `"1234567`},
		"ArrayItems":     {"each value has a type", `"i":[{`, `"i":[{"t":"int"},{`},
		"NestedDocument": {"a nested document has a schema", `"$s":{"p":{"b":{"t":"objectId"}},"$k":["b"]}`, `"s":1`},
		"NestedName":     {"nested names are written with escapes", `{"b":"0`, `{"c":"0`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Fatal("nothing is damaged")
			}
			if document, err := decodeSJSON([]byte(bad)); err == nil {
				t.Errorf("read as %s: %s", bson.Raw(document), c.reason)
			}
		})
	}
}

// FerretDB could store these documents, and not read them.
func TestNamesThatFerretDBDidNotEscape(t *testing.T) {
	document, err := decodeSJSON([]byte(`{"$s":{"p":{"_id":{"t":"int"},"a\\nb":{"t":"string"}},"$k":["_id","a\\nb"]},"_id":1,"a\nb":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := canonical(t, document); got != `{"_id":{"$numberInt":"1"},"a\\nb":"x"}` {
		t.Errorf("read as %s", got)
	}
}

func FuzzSJSON(f *testing.F) {
	f.Add([]byte(`{"$s":{"p":{"_id":{"t":"int"},"a":{"t":"array","i":[{"t":"double"}]}},"$k":["_id","a"]},"_id":1,"a":[1.5]}`))
	f.Add([]byte(`{"$s":{"p":{"r":{"t":"regex","o":"i"},"b":{"t":"binData","s":4}},"$k":["r","b"]},"r":"x","b":"AA=="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if document, err := decodeSJSON(text); err == nil && bson.Raw(document).Validate() != nil {
			t.Errorf("%q becomes malformed BSON", text)
		}
	})
}
