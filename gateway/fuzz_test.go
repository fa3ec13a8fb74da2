package gateway

import (
	"testing"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/envelope"
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

// Any document is refused or has a price, whatever is in its variables; and where the schema
// isn't given out, no refusal breaks.
func FuzzCost(f *testing.F) {
	p := testPrices(f)
	for _, seed := range [][2]string{
		{"query($n:Int){articles(first:$n){nodes{id}}}", `{"n":5}`}, {"query($w:ArticleWhere){articles(where:$w){...F}} fragment F on ArticleConnection{nodes{id related{id}}}", `{"w":{"query":"a"}}`},
		{"query($i:[ID!]!){nodes(ids:$i){id}}", `{"i":["a"]}`}, {"{__schema{types{name}}}", `{}`}, {"{articles(first:99999999999){count{value}}}", `{"a":1}`}, {"{ x }", `{}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, query, sent string) {
		d := newDocuments(p, newBounds(Options{}), false)
		document, err := d.parsed(query)
		if err != nil {
			return
		}
		if err := d.validate(document); err != nil {
			return
		}
		variables, err := envelope.ParseParameter("variables", sent)
		object, _ := variables.(map[string]any)
		if err != nil || object == nil {
			return
		}
		for _, operation := range document.ast.Operations {
			values, err := coerceVariables(p.schema, operation, document.required, object)
			if err != nil {
				d.concealOf(err, query, object)
				continue
			}
			if cost := document.plans[operation].cost(p, values); cost < 0 || cost > maxCounted {
				t.Errorf("%s costs %d", query, cost)
			}
		}
		_ = d.conceal(gqlerror.List{{Message: query}}, sent)
	})
}
