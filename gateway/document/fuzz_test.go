package document

import (
	"testing"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"stoa/gateway/envelope"
)

// Any document is refused or has a cost, with any variables; and with introspection off, no
// refusal breaks.
func FuzzCost(f *testing.F) {
	p := testWeights(f)
	for _, seed := range [][2]string{
		{"query($n:Int){articles(first:$n){nodes{id}}}", `{"n":5}`}, {"query($w:ArticleWhere){articles(where:$w){...F}} fragment F on ArticleConnection{nodes{id related{id}}}", `{"w":{"query":"a"}}`},
		{"query($i:[ID!]!){nodes(ids:$i){id}}", `{"i":["a"]}`}, {"{__schema{types{name}}}", `{}`}, {"{articles(first:99999999999){count{value}}}", `{"a":1}`}, {"{ x }", `{}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, query, sent string) {
		d := newDocuments(p, Limits{}.WithDefaults(), false)
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
		for _, operation := range document.AST.Operations {
			values, err := coerceVariables(p.schema, operation, document.required, object)
			if err != nil {
				d.redactVariables(err, query, object)
				continue
			}
			if cost := document.plans[operation].cost(values); cost < 0 || cost > maxCounted {
				t.Errorf("%s costs %d", query, cost)
			}
		}
		_ = d.redact(gqlerror.List{{Message: query}}, sent)
	})
}
