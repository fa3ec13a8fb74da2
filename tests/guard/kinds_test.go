package guard

// The guard over kinds: each type of the schema that is a Node and public must be known in
// every place that serves such types. The types and their fields come from the schema; facts
// that the schema lacks are in samples_test.go. batching_test.go tests the same for look-ahead.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	gql "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/graph"
	"stoa/tests/stoatest"
)

// publicKinds returns the types of a schema that are Nodes and public.
func publicKinds(s *gql.Schema) []*gql.Definition {
	var all []*gql.Definition
	for _, d := range s.PossibleTypes["Node"] {
		if isPublic(d.Directives) {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b *gql.Definition) int { return a.Position.Start - b.Position.Start })
	return all
}

func isPublic(list gql.DirectiveList) bool {
	of := list.ForName("cacheControl")
	return of != nil && of.Arguments.ForName("scope") != nil && of.Arguments.ForName("scope").Value.Raw == "PUBLIC"
}

// leads returns the Node type of a field, paged if by a connection; nil for none.
func leads(s *gql.Schema, f *gql.FieldDefinition) (to *gql.Definition, paged bool) {
	to = s.Types[f.Type.Name()]
	if nodes := to.Fields.ForName("nodes"); nodes != nil && stoatest.IsConnection(s, f.Type) {
		to, paged = s.Types[nodes.Type.Name()], true
	}
	if to.Kind != gql.Object || !slices.Contains(to.Interfaces, "Node") {
		return nil, false
	}
	return to, paged
}

// world is one of each public kind, each naming those before it.
func (m *matrix) world(t *testing.T) links {
	t.Helper()
	of := links{}
	for _, x := range samples {
		of[x.typeName], _ = m.add(t, x, m.people["admin"], of, "world", true)
	}
	return of
}

// versionOf is the version of a thing; 0 for a type without versions.
func (m *matrix) versionOf(t *testing.T, d *gql.Definition, id string) int {
	t.Helper()
	if d.Fields.ForName("version") == nil {
		return 0
	}
	version := 0
	stoatest.EachObject(m.send(t, m.people["admin"].Token, fmt.Sprintf(`{ node(id: %q) { ... on %s { version } } }`, id, d.Name)).data, func(o map[string]any) {
		if n, ok := o["version"].(float64); ok {
			version = int(n)
		}
	})
	return version
}

// under selects a field of a field's type.
func under(s *gql.Schema, f *gql.FieldDefinition, selected string) string {
	if _, paged := leads(s, f); paged {
		return f.Name + " { nodes { " + selected + " } }"
	}
	return f.Name + " { " + selected + " }"
}

func TestEachPublicKindIsKnownEverywhere(t *testing.T) {
	m := openMatrix(t)
	kinds := publicKinds(m.schema)
	if len(kinds) < 4 {
		t.Fatalf("the schema has %d public kinds: has @cacheControl changed?", len(kinds))
	}
	for _, d := range kinds {
		if _, ok := sampleOf(d.Name); !ok {
			t.Fatalf("say in samples how a test makes and changes %s", d.Name)
		}
	}
	of := m.world(t)
	m.s.Quiesce(t)
	t.Run("ByID", func(t *testing.T) { m.testByID(t, kinds, of) })
	t.Run("Fragments", func(t *testing.T) { m.testFragments(t, kinds, of) })
	t.Run("OneDocument", func(t *testing.T) { m.testOneDocument(t, kinds, of) })
	t.Run("Slugs", func(t *testing.T) { m.testSlugs(t, kinds) })
	t.Run("Merges", func(t *testing.T) { m.testMerges(t, kinds) })
	t.Run("Evictions", func(t *testing.T) { m.testEvictions(t, kinds) })
	t.Run("RandomQueries", func(t *testing.T) { m.testRandomQueries(t, kinds) })
}

// Public objects can be found by everybody by id, all of them in one request.
func (m *matrix) testByID(t *testing.T, kinds []*gql.Definition, of links) {
	for _, d := range kinds {
		for _, query := range []string{`{ asked: node(id: %q) { __typename } }`, `{ asked: nodes(ids: [%q]) { __typename } }`} {
			a := m.send(t, "", fmt.Sprintf(query, of[d.Name]))
			if text := fmt.Sprint(a.data); !strings.Contains(text, "__typename:"+d.Name) {
				t.Errorf("a public %s is answered with %v", d.Name, a)
			}
		}
	}
}

// The fragment cache serves each public kind, with any of its public fields, and the first
// pages of its lists: the fourth time no field is executed.
func (m *matrix) testFragments(t *testing.T, kinds []*gql.Definition, of links) {
	d := openDirect(t, m, graph.NewLookAhead(m.s.Store, 4<<20))
	d.executor.SetQueryCache(graphql.MapCache[*gql.QueryDocument]{})
	executed := map[string]int{}
	d.executor.AroundFields(func(ctx context.Context, next graphql.Resolver) (any, error) {
		executed[graphql.GetFieldContext(ctx).Object]++
		return next(ctx)
	})
	try := func(object, query string) {
		t.Helper()
		for range 4 {
			clear(executed)
			answer, private := d.ask(t, "anonymous", graphql.RawParams{Query: query})
			if private || !strings.HasPrefix(answer, `{"`) || strings.Contains(answer, "null,") && strings.Contains(answer, "message") {
				t.Errorf("%s\nis answered, private %t, with %s", query, private, answer)
				return
			}
		}
		if executed[object] > 0 {
			t.Errorf("%s\nexecutes fields of %s again and again: the fragment cache doesn't know what they read", query, object)
		}
	}
	for _, k := range kinds {
		for _, f := range k.Fields {
			selected, ok := m.public(f)
			if ok {
				try(k.Name, fmt.Sprintf(`{ node(id: %q) { ... on %s { %s } } }`, of[k.Name], k.Name, selected))
			}
		}
		for _, f := range m.schema.Query.Fields {
			if to, paged := leads(m.schema, f); to == k && paged {
				try(f.Type.Name(), "{ "+under(m.schema, f, "id")+" }")
			}
		}
	}
}

// public selects a field of a public kind; ok is false if the field's type isn't public.
func (m *matrix) public(f *gql.FieldDefinition) (selected string, ok bool) {
	to := m.schema.Types[f.Type.Name()]
	switch {
	case strings.HasPrefix(f.Name, "__"):
		return "", false
	case to.IsLeafType():
		return f.Name, true
	case !isPublic(to.Directives):
		return "", false
	}
	if thing, _ := leads(m.schema, f); thing != nil {
		return under(m.schema, f, "id"), true
	}
	for _, of := range to.Fields {
		if m.schema.Types[of.Type.Name()].IsLeafType() {
			return f.Name + " { " + of.Name + " }", true
		}
	}
	return "", false
}

// A field of a mutation sees the changes by the fields before it: the first shows an object
// under another, the second changes the object, the third shows it under the other again.
func (m *matrix) testOneDocument(t *testing.T, kinds []*gql.Definition, of links) {
	for _, d := range kinds {
		tried := false
		for _, p := range kinds {
			payload := m.payloadOf(p)
			for _, f := range p.Fields {
				if to, _ := leads(m.schema, f); to != d || p == d || payload == "" || tried {
					continue
				}
				x, _ := sampleOf(d.Name)
				parent, _ := sampleOf(p.Name)
				version := m.versionOf(t, p, of[p.Name])
				shown := " { shown: " + payload + " { " + under(m.schema, f, "id "+x.shows) + " } userErrors { message } }"
				text := "Changed " + d.Name
				// A change of a part is a change of the whole.
				changed, after := m.versionOf(t, d, of[d.Name])+btoi(parent.within == d.Name), version+1+btoi(x.within == p.Name)
				document := "mutation { before: " + parent.changed(of[p.Name], version, "Before "+d.Name) + shown +
					" change: " + x.changed(of[d.Name], changed, text) + " { userErrors { message } }" +
					" after: " + parent.changed(of[p.Name], after, "After "+d.Name) + shown + " }"
				a := m.send(t, m.people["admin"].Token, document)
				all, _ := a.data.(map[string]any)
				first, last := fmt.Sprint(all["before"]), fmt.Sprint(all["after"])
				if !strings.Contains(first, of[d.Name]) {
					continue // another way leads to it
				}
				tried = true
				if strings.Contains(first, text) || !strings.Contains(last, text) {
					t.Errorf("%s\nshows %v at last: the response's loaders keep %s of before", document, all, d.Name)
				}
			}
		}
		if !tried {
			t.Errorf("no mutation of samples shows a %s under something else", d.Name)
		}
	}
}

// payloadOf returns the field of <type>Update's payload with the object; "" if there is none.
func (m *matrix) payloadOf(d *gql.Definition) string {
	f := m.schema.Mutation.Fields.ForName(strings.ToLower(d.Name[:1]) + d.Name[1:] + "Update")
	if f != nil {
		for _, of := range m.schema.Types[f.Type.Name()].Fields {
			if of.Type.Name() == d.Name {
				return of.Name
			}
		}
	}
	return ""
}

// Repeated queries for missing or hidden slugs send no commands.
func (m *matrix) testSlugs(t *testing.T, kinds []*gql.Definition) {
	for _, d := range kinds {
		if d.Fields.ForName("slug") == nil {
			continue
		}
		x, _ := sampleOf(d.Name)
		slugs := []string{"nothing-has-this-slug"}
		if d.Fields.ForName("status") != nil {
			if x.hidden == "" {
				x.hidden = m.known.Request(t, m.s, "<slug of "+x.field()+" hidden>")
			}
			slugs = append(slugs, x.hidden)
		}
		for _, f := range m.schema.Query.Fields {
			if f.Type.Name() != d.Name || f.Arguments.ForName("slug") == nil {
				continue
			}
			for _, slug := range slugs {
				query := fmt.Sprintf(`{ asked: %s(slug: %q) { id } }`, f.Name, slug)
				if came := cameOf(m.send(t, "", query).data); came != "null" || slug == "" {
					t.Errorf("%s is %s, where samples should name one that isn't public", query, came)
				}
				sent := 0
				for range 3 { // something else may send a command meanwhile
					m.s.Commands()
					m.send(t, "", query)
					if sent = m.s.Commands(); sent == 0 {
						break
					}
				}
				if sent > 0 {
					t.Errorf("%s takes %d commands each time", query, sent)
				}
			}
		}
	}
}

// After a merge, the remaining object replaces the other one in every place.
func (m *matrix) testMerges(t *testing.T, kinds []*gql.Definition) {
	tried := 0
	for _, d := range kinds {
		merge := strings.ToLower(d.Name[:1]) + d.Name[1:] + "Merge"
		if m.schema.Mutation.Fields.ForName(merge) == nil {
			continue
		}
		x, _ := sampleOf(d.Name)
		of := m.world(t)
		from := of[d.Name]
		into, _ := m.add(t, x, m.people["admin"], of, "other", true)
		names := func(p *gql.Definition, f *gql.FieldDefinition) string {
			return fmt.Sprint(m.send(t, "", fmt.Sprintf(`{ node(id: %q) { ... on %s { %s { id } } } }`, of[p.Name], p.Name, f.Name)).data)
		}
		each := func(do func(p *gql.Definition, f *gql.FieldDefinition)) {
			for _, p := range kinds {
				for _, f := range p.Fields {
					if to, paged := leads(m.schema, f); to == d && !paged && p != d {
						do(p, f)
					}
				}
			}
		}
		each(func(p *gql.Definition, f *gql.FieldDefinition) {
			if was := names(p, f); !strings.Contains(was, from) {
				t.Errorf("%s.%s of a sample names %s: let samples name what it is given", p.Name, f.Name, was)
			}
		})
		a := m.send(t, m.people["admin"].Token, fmt.Sprintf(`mutation { %s(input: {id: %q, intoId: %q}) { userErrors { message } } }`, merge, from, into))
		if strings.Contains(fmt.Sprint(a), "message") {
			t.Errorf("%s: %v", merge, a)
		}
		each(func(p *gql.Definition, f *gql.FieldDefinition) {
			tried++
			if is := names(p, f); strings.Contains(is, from) || !strings.Contains(is, into) {
				t.Errorf("after %s %s.%s names %s, not %s", merge, p.Name, f.Name, is, into)
			}
		})
	}
	if tried < 3 {
		t.Errorf("merges concern %d fields: has the schema changed?", tried)
	}
}

// The cached responses that eviction_test.go watches show something of each public kind.
func (m *matrix) testEvictions(t *testing.T, kinds []*gql.Definition) {
	shown := map[string]bool{}
	var walk func(gql.SelectionSet)
	walk = func(set gql.SelectionSet) {
		for _, s := range set {
			switch s := s.(type) {
			case *gql.Field:
				shown[s.ObjectDefinition.Name] = true
				walk(s.SelectionSet)
			case *gql.InlineFragment:
				walk(s.SelectionSet)
			}
		}
	}
	for _, query := range m.kept(t) {
		document, errs := gqlparser.LoadQueryWithRules(m.schema, query, rules.NewDefaultRules())
		if len(errs) > 0 {
			t.Fatalf("%s: %v", query, errs)
		}
		walk(document.Operations[0].SelectionSet)
	}
	for _, d := range kinds {
		if !shown[d.Name] {
			t.Errorf("no query of matrix.kept asks for %s", d.Name)
		}
	}
}

// The random queries ask for things of each public kind.
func (m *matrix) testRandomQueries(t *testing.T, kinds []*gql.Definition) {
	q := &randomQueries{schema: m.schema}
	q.learn(t, m.s)
	for _, d := range kinds {
		if len(q.byType[d.Name]) == 0 {
			t.Errorf("random queries know no id of a %s", d.Name)
		}
	}
}
