package document

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"stoa/gateway/refusal"
)

const variablesSchema = `
	scalar Anything
	enum Order { ASC DESC }
	input Page { first: Int! = 20, after: String, order: Order, tags: [String!], inner: Page }
	input Key { id: ID! }
	input One @oneOf { id: ID, slug: String }
	type Query { x(i: Int! = 1): Int }
`

func TestVariablesFitTheirTypes(t *testing.T) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: variablesSchema})
	cases := map[string]struct {
		reason string
		types  string // of $v
		value  string // JSON; "" when it isn't sent
		want   string // JSON, or the text of the message after "!"
	}{
		"Int":            {"as it is", "Int", `5`, `{"v":5}`},
		"IntFraction":    {"some encoders write 5.0 for 5", "Int", `5.0`, `{"v":5}`},
		"IntExponent":    {"or with an exponent", "Int", `5e1`, `{"v":50}`},
		"IntHalf":        {"a half is no whole number", "Int", `5.5`, `!$v must be a whole number of 32 bits, not the number 5.5`},
		"IntLargest":     {"32 bits", "Int", `2147483647`, `{"v":2147483647}`},
		"IntTooLarge":    {"and no more", "Int", `2147483648`, `!32 bits`},
		"IntString":      {"a string is no number", "Int", `"5"`, `!not a string`},
		"Float":          {"with all its digits", "Float", `0.1000`, `{"v":0.1000}`},
		"FloatInt":       {"a whole number is one, too", "Float", `5`, `{"v":5}`},
		"FloatHuge":      {"what 64 bits can't hold", "Float", `1e400`, `!64 bits`},
		"FloatString":    {"a string is no number", "Float", `"5"`, `!not a string`},
		"String":         {"as it is", "String", `"a"`, `{"v":"a"}`},
		"StringNumber":   {"a number is no string", "String", `5`, `!$v must be a string, not the number 5`},
		"StringList":     {"nor is a list", "String", `["a"]`, `!not a list`},
		"Boolean":        {"as it is", "Boolean", `true`, `{"v":true}`},
		"BooleanString":  {"only true and false", "Boolean", `"true"`, `!true or false`},
		"BooleanNumber":  {"only true and false", "Boolean", `1`, `!true or false`},
		"ID":             {"an id is a string", "ID", `"art_1"`, `{"v":"art_1"}`},
		"IDNumber":       {"or a whole number, which becomes one", "ID", `12345678901234567`, `{"v":"12345678901234567"}`},
		"IDHalf":         {"but not a half", "ID", `1.5`, `!must be a string`},
		"IDBoolean":      {"nor true", "ID", `true`, `!must be a string`},
		"Anything":       {"the schema's own scalars check themselves", "Anything", `{"a":[1.50]}`, `{"v":{"a":[1.50]}}`},
		"Enum":           {"by its name", "Order", `"ASC"`, `{"v":"ASC"}`},
		"EnumCase":       {"which has a case", "Order", `"asc"`, `!is "asc", which Order doesn't have`},
		"EnumNumber":     {"and is text", "Order", `1`, `!must be one of Order`},
		"Null":           {"nullable", "Int", `null`, `{"v":null}`},
		"NullNonNull":    {"not nullable", "Int!", `null`, `!$v is null, and Int! takes none`},
		"Absent":         {"left to the default, or absent", "Int", ``, `{}`},
		"AbsentDefault":  {"left to the default", "Int! = 5", ``, `{}`},
		"AbsentNonNull":  {"there must be one", "Int!", ``, `!$v is missing, and Int! needs a value`},
		"List":           {"each element", "[Int!]", `[1, 2.0]`, `{"v":[1,2]}`},
		"ListSingle":     {"one value is a list of one", "[Int!]", `1`, `{"v":[1]}`},
		"ListSingleDeep": {"in every list around it", "[[Int]]", `1`, `{"v":[[1]]}`},
		"ListNull":       {"an element is named by its place", "[Int!]!", `[1, null]`, `!$v[1] is null`},
		"ListNullable":   {"elements may be null", "[Int]", `[null]`, `{"v":[null]}`},
		"Object":         {"each member", "Page", `{"first":5.0,"order":"DESC","tags":"go","inner":{"after":"x"}}`, `{"v":{"first":5,"order":"DESC","tags":["go"],"inner":{"after":"x"}}}`},
		"ObjectUnknown":  {"a misspelling", "Page", `{"frist":5}`, `!$v has "frist", which Page doesn't have`},
		"ObjectTypename": {"it is no member of an input", "Page", `{"__typename":"Page"}`, `!__typename`},
		"ObjectDeep":     {"the path leads there", "Page", `{"inner":{"tags":["a",5]}}`, `!$v.inner.tags[1] must be a string, not the number 5`},
		"ObjectNull":     {"null where none is taken", "Page", `{"first":null}`, `!$v.first is null`},
		"ObjectMissing":  {"a member without which it is nothing", "Key", `{}`, `!$v.id is missing, and ID! needs a value`},
		"ObjectString":   {"JSON in a string is a string", "Page", `"{}"`, `!must be an object, Page, not a string`},
		"ObjectList":     {"a list is no object", "Page", `[]`, `!must be an object`},
		"OneOf":          {"exactly one", "One", `{"id":"1"}`, `{"v":{"id":"1"}}`},
		"OneOfTwo":       {"not two", "One", `{"id":"1","slug":"a"}`, `!exactly one`},
		"OneOfNone":      {"not none", "One", `{}`, `!exactly one`},
		"OneOfNull":      {"and not null", "One", `{"id":null}`, `!exactly one`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			document, err := parser.ParseQuery(&ast.Source{Input: "query($v: " + c.types + ") { x }"})
			if err != nil {
				t.Fatal(err)
			}
			sent := map[string]any{"other": "ignored"}
			if c.value != "" {
				decoder := json.NewDecoder(strings.NewReader(c.value))
				decoder.UseNumber()
				var value any
				if err := decoder.Decode(&value); err != nil {
					t.Fatal(err)
				}
				sent["v"] = value
			}
			got, err := coerceVariables(schema, document.Operations[0], nil, sent)
			if want, refused := strings.CutPrefix(c.want, "!"); refused {
				if err == nil || !strings.Contains(err.Error(), want) || len(refusal.Errors(err, nil)[0].Locations) != 1 {
					t.Errorf("%s: got %v and %+v, want a message with %q and its place", c.reason, got, err, want)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %s", c.reason, err.Error())
			}
			written, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			var a, b any
			if json.Unmarshal(written, &a) != nil || json.Unmarshal([]byte(c.want), &b) != nil {
				t.Fatal("no JSON")
			}
			if x, y := canonical(a), canonical(b); x != y || strings.Count(string(written), "0") != strings.Count(c.want, "0") {
				t.Errorf("%s: got %s, want %s", c.reason, written, c.want)
			}
		})
	}
}

func canonical(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
