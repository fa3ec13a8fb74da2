package gateway

import (
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/graph/generated"
)

func TestAnswersAreWeighedByTheirPages(t *testing.T) {
	nested := func(levels int, leaf string) string {
		return "{ articles(first: 100) { nodes { " + strings.Repeat("related(first: 10) { ", levels) + leaf + strings.Repeat(" }", levels) + " } } }"
	}
	cases := map[string]struct {
		reason    string
		query     string
		variables map[string]any
		want      int64
	}{
		"Leaf":          {"a field of one thing is one object", `{ article(slug: "a") { title } }`, nil, 1},
		"Page":          {"a page counts its connection, and twice each element's worth", `{ articles(first: 10) { nodes { title } } }`, nil, 10 * 2},
		"Default":       {"a page whose size isn't given has twenty", `{ articles { nodes { title } } }`, nil, 20 * 2},
		"Last":          {"from the end counts the same", `{ articles(last: 3) { edges { node { title } } } }`, nil, 3 * 3},
		"Variable":      {"a size in a variable counts", `query($n: Int) { articles(first: $n) { nodes { title } } }`, map[string]any{"n": int64(7)}, 7 * 2},
		"Text":          {"a whole text weighs more than an object", `{ article(slug: "a") { bodyHtml } }`, nil, 1 + textWeighs},
		"Unpaged":       {"a list that isn't paged is short", `{ article(slug: "a") { tags { name } } }`, nil, 1 + unpagedLength},
		"Search":        {"a search is a page; its highlights are texts", `{ search(query: "a", first: 10) { edges { titleHtml node { ... on Tag { name } } } } }`, nil, 10 * (1 + 1 + textWeighs + 1)},
		"Aliases":       {"the same field twice is asked for twice", `{ a: article(slug: "a") { title } b: article(slug: "a") { title } }`, nil, 2},
		"Fragment":      {"a fragment weighs where it is used", `{ article(slug: "a") { ...F ...F } } fragment F on Article { author { name } }`, nil, 3},
		"Ids":           {"a list of ids is as long as it is", `{ nodes(ids: ["art_01k9v6v0mvf5ts2c5zr0h4m8qd", "art_01k9v6v0mvf5ts2c5zr0h4m8qd"]) { id } }`, nil, 2},
		"Introspection": {"the schema is bounded by depth alone", `{ __schema { types { name } } }`, nil, 0},
		"Nested":        {"lists within lists multiply", nested(2, "title"), nil, 100 * (1 + 1 + 10*(1+10))},
	}
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			document, err := gqlparser.LoadQueryWithRules(schema, c.query, rules.NewDefaultRules())
			if err != nil {
				t.Fatal(err)
			}
			if got := weightOf(document.Operations[0].SelectionSet, c.variables, 1<<40); got != c.want {
				t.Errorf("%s: weighs %d, not %d", c.reason, got, c.want)
			}
		})
	}
	for levels, refused := range map[int]bool{1: false, 2: false, 3: true, 8: true} {
		document, err := gqlparser.LoadQueryWithRules(schema, nested(levels, "title"), rules.NewDefaultRules())
		if err != nil {
			t.Fatal(err)
		}
		if no := weigh(document.Operations[0], nil, defaultMaxObjects); (no != nil) != refused {
			t.Errorf("%d lists within a list: refused %t", levels, no != nil)
		}
	}
}
