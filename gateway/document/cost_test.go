package document

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/graph/generated"
)

func testWeights(t testing.TB) *costWeights {
	t.Helper()
	p, err := newCostWeights(generated.NewExecutableSchema(generated.Config{}).Schema())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// costOf returns the cost of a query's first operation.
func costOf(t testing.TB, p *costWeights, query string, variables map[string]any) int64 {
	t.Helper()
	document, err := gqlparser.LoadQueryWithRules(p.schema, query, rules.NewDefaultRules())
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	return compile(p, document.Operations[0]).cost(variables)
}

func TestOperationsCostByTheirPages(t *testing.T) {
	cases := map[string]struct {
		reason    string
		query     string
		variables map[string]any
		want      int64
	}{
		"Leaf":          {"one thing is one unit, its plain fields nothing", `{ article(slug: "a") { title } }`, nil, 1},
		"Nothing":       {"a type's name is no work", `{ __typename }`, nil, 0},
		"Page":          {"a page is its connection and each element", `{ articles(first: 10) { nodes { title } } }`, nil, 1 + 10},
		"Edges":         {"an edge is an object, too", `{ articles(last: 3) { edges { cursor node { title } } } }`, nil, 1 + 3*2},
		"Both":          {"the same page twice counts twice", `{ articles(first: 2) { edges { cursor } nodes { id } } }`, nil, 1 + 2 + 2},
		"Beside":        {"what is there once for a page counts once", `{ articles(first: 10) { pageInfo { hasNextPage } count { value } } }`, nil, 3},
		"Default":       {"a page whose size isn't given has twenty", `{ articles { nodes { title } } }`, nil, 1 + 20},
		"Variable":      {"a size in a variable counts", `query($n: Int) { articles(first: $n) { nodes { title } } }`, map[string]any{"n": json.Number("7")}, 1 + 7},
		"NotSent":       {"a variable that wasn't sent is no size", `query($n: Int) { articles(first: $n) { nodes { title } } }`, nil, 1 + 20},
		"Null":          {"nor is null", `query($n: Int) { articles(first: $n) { nodes { title } } }`, map[string]any{"n": nil}, 1 + 20},
		"ItsDefault":    {"its default counts where it wasn't sent", `query($n: Int = 3) { articles(first: $n) { nodes { title } } }`, nil, 1 + 3},
		"Argument":      {"or the argument's own", `{ article(slug: "a") { related { id } } }`, nil, 1 + 3},
		"Largest":       {"of two sizes the larger one", `query($n: Int) { articles(first: 2, last: $n) { nodes { id } } }`, map[string]any{"n": json.Number("9")}, 1 + 9},
		"Longest":       {"no page is longer than 100, which its resolver sees to", `{ articles(first: 100000) { nodes { id } } }`, nil, 1 + 100},
		"Negative":      {"nor shorter than one", `query($n: Int) { articles(first: $n) { nodes { id } } }`, map[string]any{"n": json.Number("-5")}, 1 + 1},
		"Text":          {"a whole text is 25 objects", `{ article(slug: "a") { bodyHtml bodyMarkdown } }`, nil, 1 + 25 + 25},
		"ShortText":     {"a field's own weight comes before its type's", `{ search(query: "a", first: 10) { edges { titleHtml node { ... on Tag { name } } } } }`, nil, 10 + 10*(1+2+1)},
		"Assumed":       {"a list of no size is as long as the schema says", `{ article(slug: "a") { tags { name } tableOfContents { text } } }`, nil, 1 + 5 + 10},
		"Unpaged":       {"or five where it says nothing", `mutation { articleDelete(input: {id: "a"}) { userErrors { message } } }`, nil, 10 + 5},
		"Mutation":      {"what changes something is ten", `mutation { articleDelete(input: {id: "a"}) { article { id } } }`, nil, 10 + 1},
		"Expensive":     {"or what the schema says", `mutation { sessionCreate(input: {email: "a", password: "b"}) { token } }`, nil, 50},
		"Aliases":       {"asked for twice is two", `{ a: article(slug: "a") { title } b: article(slug: "a") { title } }`, nil, 2},
		"Fragment":      {"a fragment counts where it is used", `{ article(slug: "a") { ...F ...F } } fragment F on Article { author { name } }`, nil, 3},
		"OfAConnection": {"and has the size of the page that it is used for", `{ a: articles(first: 2) { ...P } b: articles(first: 3) { ...P } } fragment P on ArticleConnection { nodes { id } pageInfo { hasNextPage } }`, nil, 1 + 2 + 1 + 1 + 3 + 1},
		"InLine":        {"in line, too", `{ articles(first: 4) { ... { nodes { id } } } }`, nil, 1 + 4},
		"Ids":           {"a list of ids is as long as it is", `{ nodes(ids: ["a", "b"]) { id } }`, nil, 2},
		"IdsInAll":      {"in a variable, too", `query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Article { author { id } } } }`, map[string]any{"ids": []any{"a", "b", "c"}}, 3 * 2},
		"Schema":        {"the schema has a price", `{ __schema { types { name } } __type(name: "Query") { name } }`, nil, schemaCost + typeCost},
		"Input":         {"a field of an input may weigh", `{ articles(first: 1, where: {query: "a"}) { nodes { id } } }`, nil, 10 + 2},
		"InputNull":     {"but not when it is null", `{ articles(first: 1, where: {query: null}) { nodes { id } } }`, nil, 2},
		"InputVariable": {"in a variable", `query($w: ArticleWhere) { articles(first: 1, where: $w) { nodes { id } } }`, map[string]any{"w": map[string]any{"query": "a", "tag": "b"}}, 10 + 2},
		"InputDefault":  {"in its default", `query($w: ArticleWhere = {query: "a"}) { articles(first: 1, where: $w) { nodes { id } } }`, nil, 10 + 2},
		"InputMember":   {"or with a variable in it", `query($q: String) { articles(first: 1, where: {query: $q}) { nodes { id } } }`, nil, 10 + 2},
		"Nested":        {"lists within lists multiply", `{ articles(first: 100) { nodes { related(first: 10) { related(first: 10) { title } } } } }`, nil, 1 + 100*(1+10*(1+10))},
		"NestedInAll":   {"whatever is known, and whatever isn't", `query($a: Int, $b: Int) { articles(first: $a) { nodes { related(first: 2) { comments(first: $b) { nodes { id } } } } } }`, map[string]any{"a": json.Number("10"), "b": json.Number("20")}, 1 + 10*(1+2*(1+1+20))},
	}
	p := testWeights(t)
	for name, c := range cases {
		if got := costOf(t, p, c.query, c.variables); got != c.want {
			t.Errorf("%s: %s: it costs %d, not %d", name, c.reason, got, c.want)
		}
	}
}

// A plan gives the same cost for variables as for equal literals.
func TestVariablesCostTheSameAsLiterals(t *testing.T) {
	p := testWeights(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		g := costQuery{random: random, variables: map[string]any{}}
		body := g.article(4)
		var declared []string
		for name := range g.variables {
			declared = append(declared, "$"+name+": Int")
		}
		literal, variable := "{ articles(first: 7) { nodes { "+body+" } } }", "query("+strings.Join(declared, " ")+") { articles(first: 7) { nodes { "+body+" } } }"
		for name, value := range g.variables {
			literal = strings.ReplaceAll(literal, "$"+name+")", fmt.Sprint(value)+")")
		}
		if len(declared) == 0 {
			continue
		}
		if a, b := costOf(t, p, literal, nil), costOf(t, p, variable, g.variables); a != b {
			t.Fatalf("%d as literals, %d in variables:\n%s\n%s %v", a, b, literal, variable, g.variables)
		}
	}
}

// costQuery writes selections with variables for sizes.
type costQuery struct {
	random    *rand.Rand
	variables map[string]any
}

func (g *costQuery) size() string {
	name := fmt.Sprintf("n%dx", len(g.variables))
	g.variables[name] = json.Number(fmt.Sprint(1 + g.random.IntN(10)))
	return "$" + name + ")"
}

func (g *costQuery) article(depth int) string {
	parts := []string{"id"}
	for i := range g.random.IntN(4) {
		if depth == 0 {
			break
		}
		alias := fmt.Sprintf("f%d: ", i)
		switch g.random.IntN(4) {
		case 0:
			parts = append(parts, alias+"related(first: "+g.size()+" { "+g.article(depth-1)+" }")
		case 1:
			parts = append(parts, alias+"comments(last: "+g.size()+" { edges { cursor node { bodyHtml article { "+g.article(depth-1)+" } } } pageInfo { hasNextPage } }")
		case 2:
			parts = append(parts, alias+"author { bioHtml articles(first: "+g.size()+" { nodes { "+g.article(depth-1)+" } } }")
		default:
			parts = append(parts, alias+"next { "+g.article(depth-1)+" }")
		}
	}
	return strings.Join(parts, " ")
}

// A plan is no longer than its document, however much its fragments come to: here 2^40 fields,
// each with a size in a variable.
func TestAPlanIsAsLongAsItsDocument(t *testing.T) {
	p := testWeights(t)
	query := func(n int) string {
		return "query($n: Int!) { article(slug: \"a\") { ...F0 } }" +
			repeat(n, " fragment F%d on Article { a: related(first: $n) { ...F%+d } b: related(first: $n) { ...F%+d } }") +
			fmt.Sprintf(" fragment F%d on Article { id }", n)
	}
	lengths := map[int]int{}
	for _, n := range []int{20, 40} {
		rest := rules.NewDefaultRules() // but for the one that is slow: gqlparser compares in pairs
		rest.RemoveRule(rules.OverlappingFieldsCanBeMergedRule.Name)
		document, err := gqlparser.LoadQueryWithRules(p.schema, query(n), rest)
		if err != nil {
			t.Fatal(err)
		}
		plan := compile(p, document.Operations[0])
		for _, s := range plan.sums {
			lengths[n] += 1 + len(s.parts)
		}
		if len(plan.inputs) != 1 {
			t.Errorf("%d fragments: %d sources of one size", n, len(plan.inputs))
		}
		if got := plan.cost(map[string]any{"n": json.Number("10")}); n == 40 && got != maxCounted {
			t.Errorf("it costs %d, where sums end at %d", got, int64(maxCounted))
		}
	}
	if lengths[40] > 2*lengths[20]+10 {
		t.Errorf("the plan of 20 fragments has %d parts, that of 40 has %d", lengths[20], lengths[40])
	}
}

// A fragment costs more below a field that gives its lists a size than below one that gives
// none.
func TestFragmentsTakeTheSizeOfTheirList(t *testing.T) {
	p, err := newCostWeights(gqlparser.MustLoadSchema(&ast.Source{Input: `
		directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
		type Query { sized(first: Int): Page @listSize(slicingArguments: ["first"], sizedFields: ["nodes"]) whole: Page }
		type Page { nodes: [Thing!] @listSize(assumedSize: 7) }
		type Thing { name: String }`}))
	if err != nil {
		t.Fatal(err)
	}
	if got := costOf(t, p, `{ sized(first: 2) { ...F } whole { ...F } } fragment F on Page { nodes { name } }`, nil); got != 1+2+1+7 {
		t.Errorf("it costs %d, not %d", got, 1+2+1+7)
	}
}

// Every field with a size says so in the schema: no page and no list of objects is forgotten.
func TestListsHaveSizes(t *testing.T) {
	p := testWeights(t)
	for _, d := range p.schema.Types {
		if d.Kind != ast.Object && d.Kind != ast.Interface || strings.HasPrefix(d.Name, "__") {
			continue
		}
		connection := d.Fields.ForName("pageInfo") != nil
		for _, f := range d.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			where, price := d.Name+"."+f.Name, p.fields[f]
			for _, name := range []string{"first", "last"} {
				if f.Arguments.ForName(name) != nil && !strings.Contains(strings.Join(price.slicing, " "), name) {
					t.Errorf("%s takes %s, and its @listSize doesn't say so", where, name)
				}
			}
			if f.Type.Elem != nil && p.schema.Types[f.Type.Name()].IsCompositeType() && !connection &&
				f.Name != "userErrors" && f.Name != "warnings" && f.Directives.ForName("listSize") == nil {
				t.Errorf("%s is a list of no known size: it needs @listSize", where)
			}
			if below := p.schema.Types[f.Type.Name()]; below.Fields.ForName("pageInfo") != nil && price.sizedBy != "edges nodes" {
				t.Errorf("%s is a connection, whose @listSize must have the sizedFields edges and nodes", where)
			}
		}
	}
}

func TestWrongPricesAreRefused(t *testing.T) {
	const directives = `directive @cost(weight: String!) on FIELD_DEFINITION | SCALAR | INPUT_FIELD_DEFINITION | ARGUMENT_DEFINITION
		directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
		input I { i: Int @cost(weight: "%s") } scalar S @cost(weight: "%s") type P { n: [S!] }
		type Query { f(i: I, first: Int @cost(weight: "%s")): P @cost(weight: "%s") @listSize(%s) }`
	good := []any{"1", "2", "3", "4", `slicingArguments: ["first"], sizedFields: ["n"]`}
	for i, bad := range []string{"", "-1", "1.5", "x", `slicingArguments: ["last"]`, `sizedFields: ["m"]`, `slicingArguments: ["first", "i"]`} {
		values := append([]any(nil), good...)
		values[min(i, 4)] = bad
		for _, c := range []struct {
			values []any
			fine   bool
		}{{good, true}, {values, false}} {
			schema := gqlparser.MustLoadSchema(&ast.Source{Input: fmt.Sprintf(directives, c.values...)})
			if _, err := newCostWeights(schema); (err == nil) != c.fine {
				t.Errorf("%v: %v", c.values, err)
			}
		}
	}
}

// For a known document, only the variables' part of the cost is computed.
func BenchmarkCost(b *testing.B) {
	p := testWeights(b)
	const query = `query($n: Int, $c: Int) { articles(first: $n) { nodes { slug title author { name } tags { name } comments(first: $c) { nodes { bodyHtml } } } } }`
	document, err := gqlparser.LoadQueryWithRules(p.schema, query, rules.NewDefaultRules())
	if err != nil {
		b.Fatal(err)
	}
	variables := map[string]any{"n": json.Number("20"), "c": json.Number("5")}
	made := compile(p, document.Operations[0])
	b.Run("Known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			made.cost(variables)
		}
	})
	b.Run("New", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			compile(p, document.Operations[0]).cost(variables)
		}
	})
}
