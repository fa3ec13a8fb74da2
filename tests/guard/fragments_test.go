package guard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	gql "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/graph"
	"stoa/tests/golden"
	"stoa/tests/stoatest"
)

// Fragments change no byte of any response, nor its privacy: every query is executed by
// gqlgen's own way, and by an executor with fragments.

// asks is the number of times that the executor with fragments executes a query. A fragment is stored
// at the second time, so the third response contains it.
const asks = 3

// both is the two executors, over the same caches.
type both struct {
	plain, fragments direct
	m                *matrix
	asked            int
}

func openBoth(t *testing.T, m *matrix) *both {
	t.Helper()
	b := &both{openDirect(t, m, graph.LookAhead{Store: m.s.Store}), openDirect(t, m, graph.NewLookAhead(m.s.Store, 4<<20)), m, 0}
	for _, d := range []direct{b.plain, b.fragments} {
		// Fragments belong to the selections of one document in memory, so it must be parsed once.
		d.executor.SetQueryCache(graphql.MapCache[*gql.QueryDocument]{})
	}
	return b
}

// same asks both as each of callers.
func (b *both) same(t *testing.T, what string, callers []string, params graphql.RawParams) {
	t.Helper()
	for _, caller := range callers {
		want, private := b.plain.ask(t, caller, params)
		for n := range asks {
			got, isPrivate := b.fragments.ask(t, caller, params)
			b.asked++
			if got == want && isPrivate == private {
				continue
			}
			t.Errorf("%s\n%s\n%v\nis answered to %s, the time %d, private %t, with\n%s\ninstead of, private %t,\n%s",
				what, params.Query, params.Variables, caller, n+1, isPrivate, got, private, want)
			return
		}
	}
}

// Every query of the API files and of the access matrix, as everybody.
func TestFragmentsChangeNoByteOfKnownQueries(t *testing.T) {
	m := openMatrix(t)
	b := openBoth(t, m)
	m.try = func(t *testing.T, what string, query func(string) string) {
		if text := query("admin"); !strings.HasPrefix(text, "mutation") {
			b.same(t, what, askers, graphql.RawParams{Query: m.known.Request(t, m.s, text)})
		}
	}
	m.queries(t)
	for _, file := range golden.Files(t) {
		for _, e := range golden.Read(t, file) {
			document, errs := gqlparser.LoadQueryWithRules(m.schema, e.Request, rules.NewDefaultRules())
			if len(errs) > 0 || slices.ContainsFunc(document.Operations, func(o *gql.OperationDefinition) bool { return o.Operation != gql.Query }) {
				continue // it is never executed, or it changes something
			}
			if strings.Contains(e.Request, "<account ") || strings.Contains(e.Request, "<session ") {
				continue // the cast of the files is other people
			}
			request := golden.RequestOf(t, m.known.Request(t, m.s, e.Request))
			b.same(t, file+" "+strconv.Itoa(e.Line), askers, graphql.RawParams{
				Query: request.Query, OperationName: request.Operation, Variables: numbered(t, request.Variables),
			})
		}
	}
	t.Logf("%d answers were the same", b.asked)
	if b.asked < 5000 && !t.Failed() {
		t.Errorf("only %d answers were compared: is everything asked for?", b.asked)
	}
}

// Queries at random, as people at random, again and again while things change.
func TestFragmentsChangeNoByteOfRandomQueries(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		stoatest.Check(t, err)
	}
	t.Logf("SEED=%d", seed)
	m := openMatrix(t)
	b := openBoth(t, m)
	q := &randomQueries{Rand: rand.New(rand.NewPCG(seed, 0)), schema: m.schema}
	q.learn(t, m.s)
	var kept []graphql.RawParams
	for _, c := range choices {
		if _, errs := gqlparser.LoadQueryWithRules(m.schema, c.query, rules.NewDefaultRules()); errs != nil {
			t.Fatalf("%s: %v", c.reason, errs)
		}
		for _, variables := range c.variables {
			if variables["ids"] != nil {
				variables = map[string]any{"ids": q.ids[:min(len(q.ids), 100)]}
			}
			params := graphql.RawParams{Query: c.query, Variables: numbered(t, variables)}
			kept = append(kept, params)
			b.same(t, c.reason, []string{"anonymous", "author", "editor"}, params)
		}
	}
	for range 100 {
		for _, params := range q.next(t) {
			kept = append(kept, params)
			b.same(t, "at random", []string{askers[q.IntN(len(askers))]}, params)
		}
		if t.Failed() {
			return
		}
	}
	for n := range 20 {
		q.change(t, m, n)
		m.s.Quiesce(t)
		for range 15 {
			b.same(t, fmt.Sprint("after change ", n), []string{askers[q.IntN(len(askers))]}, kept[q.IntN(len(kept))])
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d answers were the same", b.asked)
}

// choices are queries with fragments that depend on more than their entities.
var choices = []struct {
	reason    string
	query     string
	variables []map[string]any
}{
	{"arguments below an entity come from variables",
		`query($words: Int!, $n: Int) { articles(first: 4) { nodes { slug excerpt(words: $words) comments(first: $n) { nodes { id } } author { articles(first: $n) { nodes { slug } } } } } }`,
		[]map[string]any{{"words": 2, "n": 1}, {"words": 3, "n": 1}, {"words": 2, "n": 3}, {"words": 2}, {"words": 2, "n": nil}, {"words": 0, "n": 0}}},
	{"defaults count as values",
		`query($n: Int = 1) { authors { nodes { name articles(first: $n) { nodes { slug } } } } }`,
		[]map[string]any{nil, {"n": 1}, {"n": 2}, {"n": nil}}},
	{"what is selected depends on variables",
		`query($a: Boolean!, $b: Boolean!) { articles(first: 4) { nodes { slug author @include(if: $a) { name bioHtml @skip(if: $b) } ...tags @include(if: $b) ... @skip(if: $a) { version } } } } fragment tags on Article { tags { name @include(if: $a) slug } }`,
		[]map[string]any{{"a": true, "b": true}, {"a": true, "b": false}, {"a": false, "b": true}, {"a": false, "b": false}}},
	{"one selection is taken from several entities, under several names",
		`{ one: article(slug: "press") { ...a } two: article(slug: "press") { ...a b: comments(first: 1) { nodes { id } } b2: comments(first: 2) { nodes { id } } } tag(slug: "ink") { articles { nodes { ...a } } } } fragment a on Article { title author { name } related { ...b } } fragment b on Article { slug tags { name } }`,
		[]map[string]any{nil}},
	{"a selection on an interface is another for each type",
		`query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ...n ... on Tag { articleCount } } } fragment n on Node { ... on Author { name } ... on Article { name: title } ... on Tag { name } }`,
		[]map[string]any{{"ids": []string{}}}},
	{"what an editor sees of an article isn't what others see",
		`{ articles { nodes { title revisions { nodes { version } } } } viewer { account { name } drafts { nodes { title revisions { nodes { version } } } } } }`,
		[]map[string]any{nil}},
}

// numbered has numbers as the gateway reads them.
func numbered(t *testing.T, variables map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(variables)
	stoatest.Check(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var out map[string]any
	stoatest.Check(t, decoder.Decode(&out))
	return out
}

// randomQueries makes queries out of the schema.
type randomQueries struct {
	*rand.Rand
	schema *gql.Schema

	ids, slugs []string
	byType     map[string][]string // ids of public objects, by the names of types
	articles   []string

	// Of the query being made.
	names     int
	variables []string // their declarations
	values    map[string]func() any
	fragments []string
}

// learn finds things to ask for: of each public kind that a list leads to, or a list of one of
// those.
func (q *randomQueries) learn(t *testing.T, s *stoatest.Stoa) {
	t.Helper()
	var selection func(d *gql.Definition, depth int) string
	selection = func(d *gql.Definition, depth int) string {
		out := "__typename id"
		if d.Fields.ForName("slug") != nil {
			out += " slug"
		}
		for _, f := range d.Fields {
			switch to, paged := leads(q.schema, f); {
			case to == nil || depth == 0 || !isPublic(to.Directives):
			case paged:
				out += " " + f.Name + " { nodes { " + selection(to, depth-1) + " } }"
			case f.Type.Elem != nil && len(f.Arguments) == 0:
				out += " " + f.Name + " { " + selection(to, depth-1) + " }"
			}
		}
		return out
	}
	var all any
	query := "{"
	for _, f := range q.schema.Query.Fields {
		if to, paged := leads(q.schema, f); paged && isPublic(to.Directives) {
			query += " " + f.Name + " { nodes { " + selection(to, 1) + " } }"
		}
	}
	s.Data(t, &all, query+" }", nil)
	q.byType = map[string][]string{}
	seen := map[string]bool{}
	stoatest.EachObject(all, func(o map[string]any) {
		if i, ok := o["id"].(string); ok && !seen[i] {
			seen[i] = true
			q.ids, q.byType[o["__typename"].(string)] = append(q.ids, i), append(q.byType[o["__typename"].(string)], i)
			if slug, ok := o["slug"].(string); ok {
				q.slugs = append(q.slugs, slug)
			}
		}
	})
	slices.Sort(q.ids) // so that a seed means the same each time
	slices.Sort(q.slugs)
	for _, ids := range q.byType {
		slices.Sort(ids)
	}
	q.articles = q.byType["Article"]
	q.ids, q.slugs = append(q.ids, "art_01jxxxxxxxexxsxxxxxxxxxxxx", "nonsense"), append(q.slugs, "nothing")
}

// next makes a query, with several choices of its variables.
func (q *randomQueries) next(t *testing.T) []graphql.RawParams {
	t.Helper()
	for {
		q.names, q.variables, q.values, q.fragments = 0, nil, map[string]func() any{}, nil
		text := q.selection(q.schema.Query, 0)
		head := "query"
		if len(q.variables) > 0 {
			head += "(" + strings.Join(q.variables, ", ") + ")"
		}
		text = head + " " + text + " " + strings.Join(q.fragments, " ")
		if _, errs := gqlparser.LoadQueryWithRules(q.schema, text, rules.NewDefaultRules()); errs != nil {
			t.Fatalf("this is no valid query: %v\n%s", errs, text)
		}
		if len(text) < 6000 {
			var all []graphql.RawParams
			for range 1 + min(2, len(q.values)) {
				values := map[string]any{}
				for name, value := range q.values {
					values[name] = value()
				}
				all = append(all, graphql.RawParams{Query: text, Variables: numbered(t, values)})
			}
			return all
		}
	}
}

// sometimes says yes once in n times.
func (q *randomQueries) sometimes(n int) bool { return q.IntN(n) == 0 }

func (q *randomQueries) name(prefix string) string {
	q.names++
	return prefix + strconv.Itoa(q.names)
}

// selection selects from a type.
func (q *randomQueries) selection(of *gql.Definition, depth int) string {
	var out []string
	for range 1 + q.IntN(4) {
		switch {
		case of.IsAbstractType() && !q.sometimes(4):
			possible := q.schema.GetPossibleTypes(of)
			to := possible[q.IntN(len(possible))]
			out = append(out, "... on "+to.Name+q.directive()+" "+q.selection(to, depth))
		case q.sometimes(6):
			out = append(out, "..."+q.directive()+" "+q.selection(of, depth))
		case q.sometimes(6):
			name := q.name("f")
			q.fragments = append(q.fragments, "fragment "+name+" on "+of.Name+" "+q.selection(of, depth))
			out = append(out, "..."+name+q.directive())
			if q.sometimes(3) {
				out = append(out, "..."+name)
			}
		case q.sometimes(8):
			out = append(out, q.name("t")+": __typename"+q.directive())
		default:
			if f := q.field(of, depth); f != "" {
				out = append(out, f)
			}
		}
	}
	if len(out) == 0 {
		out = append(out, "__typename")
	}
	return "{ " + strings.Join(out, " ") + " }"
}

// field selects a field of a type; "" if none fits into the depth.
func (q *randomQueries) field(of *gql.Definition, depth int) string {
	var fields gql.FieldList
	for _, f := range of.Fields {
		leaf := q.schema.Types[f.Type.Name()].IsLeafType()
		if !strings.HasPrefix(f.Name, "__") && (leaf || depth < 5) && f.Name != "uploads" {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 {
		return ""
	}
	f := fields[q.IntN(len(fields))]
	text := q.name("a") + ": " + f.Name // a name of its own merges with no other
	var arguments []string
	paged := false
	for _, a := range f.Arguments {
		required := a.Type.NonNull && a.DefaultValue == nil
		if (a.Name == "first" || a.Name == "last") && paged {
			continue
		}
		if a.Name == "after" || a.Name == "before" {
			continue
		}
		if !required && a.Name != "first" && !q.sometimes(3) {
			continue
		}
		if a.Name == "first" && q.sometimes(4) {
			continue
		}
		paged = paged || a.Name == "first" || a.Name == "last"
		arguments = append(arguments, a.Name+": "+q.argument(a))
	}
	if len(arguments) > 0 {
		text += "(" + strings.Join(arguments, ", ") + ")"
	}
	text += q.directive()
	if to := q.schema.Types[f.Type.Name()]; !to.IsLeafType() {
		text += " " + q.selection(to, depth+1)
	}
	return text
}

// directive is one now and then, by a literal or a variable.
func (q *randomQueries) directive() string {
	if !q.sometimes(7) {
		return ""
	}
	name, yes := "include", !q.sometimes(3)
	if q.sometimes(2) {
		name, yes = "skip", q.sometimes(3)
	}
	value := strconv.FormatBool(yes)
	if q.sometimes(2) {
		value = q.variable("Boolean!", func() any { return q.sometimes(2) })
	}
	return " @" + name + "(if: " + value + ")"
}

func (q *randomQueries) variable(of string, value func() any) string {
	name := q.name("$v")
	q.variables = append(q.variables, name+": "+of)
	q.values[name[1:]] = value
	return name
}

// argument is a value for an argument, as a literal or as a variable.
func (q *randomQueries) argument(a *gql.ArgumentDefinition) string {
	if q.sometimes(2) {
		return q.variable(a.Type.String(), func() any { return q.value(a.Name, a.Type) })
	}
	return q.literal(a.Type, q.value(a.Name, a.Type))
}

func (q *randomQueries) value(name string, of *gql.Type) any {
	if of.Elem != nil {
		list := []any{}
		for range 1 + q.IntN(4) {
			list = append(list, q.value(name, of.Elem))
		}
		return list
	}
	switch d := q.schema.Types[of.NamedType]; {
	case d.Kind == gql.Enum:
		return d.EnumValues[q.IntN(len(d.EnumValues))].Name
	case d.Kind == gql.InputObject:
		object := map[string]any{}
		for _, f := range d.Fields {
			if f.Type.NonNull && f.DefaultValue == nil {
				object[f.Name] = q.value(f.Name, f.Type)
			}
		}
		return object
	case d.Name == "ID":
		return q.ids[q.IntN(len(q.ids))]
	case d.Name == "Int":
		return q.IntN(5) // 0 is refused in most places
	case d.Name == "Boolean":
		return q.sometimes(2)
	case name == "slug":
		return q.slugs[q.IntN(len(q.slugs))]
	}
	return []string{"press", "ink paper", "zzz"}[q.IntN(3)]
}

func (q *randomQueries) literal(of *gql.Type, value any) string {
	switch v := value.(type) {
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, q.literal(of.Elem, e))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case map[string]any:
		var all []string
		for name, e := range v {
			all = append(all, name+": "+q.literal(q.schema.Types[of.NamedType].Fields.ForName(name).Type, e))
		}
		return "{" + strings.Join(all, ", ") + "}"
	case string:
		if q.schema.Types[of.NamedType].Kind == gql.Enum {
			return v
		}
		return strconv.Quote(v)
	}
	return fmt.Sprint(value)
}

// change changes something that is published.
func (q *randomQueries) change(t *testing.T, m *matrix, n int) {
	t.Helper()
	article := q.articles[q.IntN(len(q.articles))]
	var some struct {
		Article struct {
			ID, Status string
			Version    int
			Author     *struct {
				ID      string
				Version int
			}
			Tags     []struct{ ID string }
			Comments struct{ Nodes []struct{ ID string } }
		}
	}
	by := "editor"
	do := func(query string) {
		t.Helper()
		a, err := m.s.Send(stoatest.Request{Query: query, Token: m.people[by].Token, Header: map[string]string{"X-Forwarded-For": fmt.Sprintf("198.51.100.%d", n+1)}})
		stoatest.Check(t, err)
		if len(a.Errors) > 0 {
			t.Fatalf("%s\nanswers %s", query, a.Raw)
		}
		if strings.Contains(string(a.Raw), `"message":`) {
			t.Logf("%s\nanswers %s", query, a.Raw)
		}
	}
	a, err := m.s.Send(stoatest.Request{Token: m.people["editor"].Token, Query: fmt.Sprintf(`{ article: node(id: %q) { ... on Article { id status version author { id } tags { id } comments { nodes { id } } } } }`, article)})
	stoatest.Check(t, err)
	stoatest.Check(t, json.Unmarshal(a.Data, &some))
	is := some.Article
	if q.sometimes(4) { // any kind there is
		x := samples[q.IntN(len(samples))]
		if ids := q.byType[x.typeName]; len(ids) > 0 {
			one := ids[q.IntN(len(ids))]
			by = cmp.Or(x.by, by)
			do("mutation { " + x.changed(one, m.versionOf(t, m.schema.Types[x.typeName], one), fmt.Sprintf("Text %d", n)) + " { userErrors { message } } }")
			return
		}
	}
	switch change := q.IntN(6); {
	case change == 0 && is.Author != nil:
		do(fmt.Sprintf(`mutation { authorUpdate(input: {id: %q, name: "Author %d"}) { userErrors { message } } }`, is.Author.ID, n))
	case change == 1 && len(is.Tags) > 0:
		do(fmt.Sprintf(`mutation { tagUpdate(input: {id: %q, name: "Tag %d"}) { userErrors { message } } }`, is.Tags[0].ID, n))
	case change == 2 && is.Status == "PUBLISHED":
		do(fmt.Sprintf(`mutation { articleUnpublish(input: {id: %q, expectedVersion: %d}) { userErrors { message } } }`, is.ID, is.Version))
	case is.Status != "PUBLISHED":
		do(fmt.Sprintf(`mutation { articlePublish(input: {id: %q, expectedVersion: %d}) { userErrors { message } } }`, is.ID, is.Version))
	case change == 3 && len(is.Comments.Nodes) > 0:
		do(fmt.Sprintf(`mutation { commentModerate(input: {id: %q, action: %s}) { userErrors { message } } }`, is.Comments.Nodes[0].ID, []string{"HIDE", "APPROVE", "SPAM"}[q.IntN(3)]))
	case change == 4:
		do(fmt.Sprintf(`mutation { commentAdd(input: {articleId: %q, bodyMarkdown: "Comment %d"}) { userErrors { message } } }`, is.ID, n))
	default:
		do(fmt.Sprintf(`mutation { articleUpdate(input: {id: %q, expectedVersion: %d, title: "Title %d", bodyMarkdown: "Text %d"}) { userErrors { message } } }`, is.ID, is.Version, n, n))
	}
}
