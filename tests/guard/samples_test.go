package guard

// One of each public kind: the tests of this package make and change things by samples alone. For a
// kind that the blog of the API files doesn't have, everything else follows from its sample and from
// the schema. Entry points: samples; matrix.add, changes, way, kept and allThings, for such kinds.

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gql "github.com/vektah/gqlparser/v2/ast"

	"stoa/id"
	"stoa/store"
	"stoa/tests/golden"
	"stoa/tests/stoatest"
)

// sample says how a test makes and changes things of one type, as mutations without a selection. In
// all of them, <Author> stands for the id of an author, and so on for each type before this one, and
// <unique> for a text that no other mutation has.
type sample struct {
	typeName string
	create   string                                  // <name> stands for a name
	insert   func(*testing.T, *matrix, links) string // instead of create, for a mutation with a limit
	publish  string                                  // makes the new <id> public; "" if it is already
	change   string                                  // puts <text> into the field shows of <id> at <version>
	shows    string
	hidden   string // the slug of one that isn't public, in the blog of the API files
	by       string // who makes it: "author" if empty
	within   string // the type of the thing that it is a part of, and is hidden with
}

// maker is the name of the person who makes things of the sample.
func (x sample) maker() string { return cmp.Or(x.by, "author") }

// owner is whose a thing is, for tables: those of staff belong to nobody.
func (x sample) owner(of string) string {
	if x.by == "" {
		return "the " + of + "'s"
	}
	return x.by
}

// samples has a row for each public kind, after the rows of the kinds that it names.
var samples = []sample{
	{typeName: "Author", shows: "name",
		create: `authorCreate(input: {name: "Author <name>"})`,
		change: `authorUpdate(input: {id: <id>, name: <text>})`},
	{typeName: "Tag", shows: "name",
		create: `tagCreate(input: {name: "Tag <name>"})`,
		change: `tagUpdate(input: {id: <id>, name: <text>})`},
	{typeName: "Article", shows: "title", hidden: "unfinished",
		create: `articleCreate(input: {title: "Article <name>", bodyMarkdown: "Words.", cover: {url: "/c.jpg", alt: "A cover"},` +
			` authorIds: [<Author>], tagIds: [<Tag>]})`,
		publish: `articlePublish(input: {id: <id>})`,
		change:  `articleUpdate(input: {id: <id>, expectedVersion: <version>, title: <text>})`},
	{typeName: "Comment", shows: "bodyHtml",
		insert: func(t *testing.T, m *matrix, of links) string {
			return string(says(t, m.s, m.people["admin"], id.ID(of["Article"]), store.CommentVisible))
		},
		change: `commentUpdate(input: {id: <id>, bodyMarkdown: <text>})`},
	{typeName: "Product", shows: "title", by: "staff",
		create: `productCreate(input: {title: "Product <name>", vendor: "Okafor", type: "Pens", tags: ["ink"], descriptionMarkdown: "*Ink.*",` +
			` variants: [{sku: "A", barcode: "1", options: [{name: "Nib", value: "fine"}], price: "8.28", compareAtPrice: "10", weightGrams: 20}]})`,
		publish: `productPublish(input: {id: <id>})`,
		change:  `productUpdate(input: {id: <id>, expectedVersion: <version>, title: <text>})`},
	{typeName: "Variant", shows: "barcode", by: "staff", within: "Product",
		create: `variantCreate(input: {productId: <Product>, variant: {sku: "<unique>", barcode: "<name>", options: [{name: "Nib", value: "<unique>"}],` +
			` price: "9", compareAtPrice: "10", weightGrams: 20}})`,
		publish: `variantUpdate(input: {id: <id>, variant: {price: "8"}})`, // so that it is reduced
		change:  `variantUpdate(input: {id: <id>, variant: {barcode: <text>}})`},
}

// links are ids by the names of their types.
type links map[string]string

func sampleOf(name string) (sample, bool) {
	i := slices.IndexFunc(samples, func(x sample) bool { return x.typeName == name })
	if i < 0 {
		return sample{}, false
	}
	return samples[i], true
}

// derived returns the samples of kinds that the blog of the API files doesn't have.
func derived() []sample {
	return slices.DeleteFunc(slices.Clone(samples), func(x sample) bool { return ways[x.typeName] != "" })
}

// field is the name of the sample's type at the beginning of mutations, and in their payloads.
func (x sample) field() string { return strings.ToLower(x.typeName[:1]) + x.typeName[1:] }

// changed is the mutation that puts text into a thing.
func (x sample) changed(id string, version int, text string) string {
	return strings.NewReplacer("<id>", strconv.Quote(id), "<version>", strconv.Itoa(version), "<text>", strconv.Quote(text)).Replace(x.change)
}

// named is a mutation of the sample with ids and a name in place.
func (of links) named(mutation, name string) string {
	pairs := []string{"<name>", name, "<unique>", strings.ToLower(rand.Text()[:8])}
	for typeName, id := range of {
		pairs = append(pairs, "<"+typeName+">", strconv.Quote(id))
	}
	return strings.NewReplacer(pairs...).Replace(mutation)
}

// add creates a thing for somebody who may, and publishes it unless it should stay hidden. slug is ""
// for a type without slugs.
func (m *matrix) add(t *testing.T, x sample, by stoatest.Person, of links, name string, public bool) (id, slug string) {
	t.Helper()
	if x.insert != nil {
		return x.insert(t, m, of), ""
	}
	id, slug = m.do(t, x, by, of.named(x.create, name))
	if public && x.publish != "" {
		id, slug = m.do(t, x, by, strings.ReplaceAll(x.publish, "<id>", strconv.Quote(id)))
	}
	return id, slug
}

// do does a mutation of a sample and returns the id and slug of the thing in its payload.
func (m *matrix) do(t *testing.T, x sample, by stoatest.Person, mutation string) (id, slug string) {
	t.Helper()
	selected := "id"
	if m.schema.Types[x.typeName].Fields.ForName("slug") != nil {
		selected += " slug"
	}
	a := m.send(t, by.Token, fmt.Sprintf("mutation { done: %s { made: %s { %s } userErrors { message } } }", mutation, x.field(), selected))
	stoatest.EachObject(a.data, func(o map[string]any) {
		if made, ok := o["made"].(map[string]any); ok {
			id, _ = made["id"].(string)
			slug, _ = made["slug"].(string)
		}
	})
	if id == "" {
		t.Fatalf("%s\nmakes nothing: %v", mutation, a)
	}
	return id, slug
}

var askedByID = regexp.MustCompile(`node\(id: "(<[^"]*>)"\)`)

// castFor is cast for making a thing of a sample: one that is hidden with another thing is put into a
// hidden one.
func castFor(x sample, public bool) links {
	of := cast()
	if in, ok := sampleOf(x.within); ok && !public {
		of[x.within] = "<" + in.field() + " hidden>"
	}
	return of
}

// cast has one of each public kind, by its name in the API files or in addDerived.
func cast() links {
	of := links{}
	for _, x := range samples {
		of[x.typeName] = "<" + x.field() + " sample>"
		if found := askedByID.FindStringSubmatch(ways[x.typeName]); found != nil {
			of[x.typeName] = found[1]
		}
	}
	return of
}

// addDerived makes a public thing and a hidden one of each derived kind. Names: <event
// sample> and <event hidden>, with <slug of event sample> and so on.
func (m *matrix) addDerived(t *testing.T) {
	t.Helper()
	for _, x := range derived() {
		for _, name := range []string{"sample", "hidden"} {
			id, slug := m.add(t, x, m.people[x.maker()], castFor(x, name == "sample"), name, name == "sample")
			m.known.Call(id, x.field()+" "+name)
			m.known.Call(slug, "slug of "+x.field()+" "+name)
		}
	}
}

// allThings are things, and those of derived kinds.
func allThings() []thing {
	all := slices.Clone(things)
	for _, x := range derived() {
		all = append(all, thing{"a public " + x.field() + " of " + x.owner("author"), x.typeName, "<" + x.field() + " sample>"},
			thing{"a hidden " + x.field() + " of " + x.owner("author"), x.typeName, "<" + x.field() + " hidden>"})
	}
	return all
}

// way is a query for one object of a type; "" if neither ways nor the schema has one.
func (m *matrix) way(d *gql.Definition) string {
	if way := ways[d.Name]; way != "" {
		return way
	}
	if _, ok := sampleOf(d.Name); ok {
		return fmt.Sprintf(`{ node(id: %q) { ... on %s { %%s } } }`, cast()[d.Name], d.Name)
	}
	for _, f := range m.schema.Query.Fields {
		to := m.schema.Types[f.Type.Name()]
		switch edges := to.Fields.ForName("edges"); {
		case to == d:
			return "{ " + f.Name + " { %s } }"
		case edges != nil && edges.Type.Name() == d.Name:
			return "{ " + f.Name + " { edges { %s } } }"
		}
	}
	return ""
}

// changes are those by hand, and each mutation of a derived kind. One that isn't <kind>Create or
// <kind>Update takes an id.
func (m *matrix) changes() []change {
	all := slices.Clone(changes)
	for _, x := range derived() {
		for _, f := range m.schema.Mutation.Fields {
			verb, is := strings.CutPrefix(f.Name, x.field())
			if !is {
				continue
			}
			input := map[string]string{"Create": x.create, "Update": x.change}[verb]
			if _, input, is = strings.Cut(strings.TrimSuffix(input, "})"), "{"); !is {
				input = "id: <id>"
			}
			states := []string{"a hidden " + x.field() + " of " + x.owner("owner"), "a public " + x.field() + " of " + x.owner("owner")}
			if verb == "Create" {
				states = []string{""}
			}
			for _, state := range states {
				all = append(all, change{f.Name, state, func(t *testing.T, _ *stoatest.Stoa, _, target stoatest.Person) string {
					of := sample{typeName: x.typeName, change: input}
					id, public := "", strings.HasPrefix(state, "a public")
					if state != "" {
						maker := m.people[x.by]
						if x.by == "" {
							maker = target
							maker.Session, maker.Token = m.s.SignIn(t, target.Account)
						}
						id, _ = m.add(t, x, maker, castFor(x, public), "of "+string(target.ID), public)
					}
					return cast().named(of.changed(id, 1+strings.Count(state, "public"), "New"), "of "+string(target.ID))
				}, true})
			}
		}
	}
	return all
}

// kept are keptAnswers, and for each derived kind the fields that lead to it.
func (m *matrix) kept(t *testing.T) map[string]string {
	t.Helper()
	all := maps.Clone(keptAnswers)
	for _, x := range derived() {
		for _, d := range append(publicKinds(m.schema), m.schema.Query) {
			for _, f := range d.Fields {
				if to, _ := leads(m.schema, f); to == nil || to.Name != x.typeName {
					continue
				}
				query := under(m.schema, f, x.shows)
				switch {
				case d != m.schema.Query:
					query = fmt.Sprintf("node(id: %q) { ... on %s { %s } }", cast()[d.Name], d.Name, query)
				case f.Arguments.ForName("slug") != nil:
					query = fmt.Sprintf(`%s(slug: "<slug of %s sample>") { %s }`, f.Name, x.field(), x.shows)
				}
				all[d.Name+"."+f.Name] = m.known.Request(t, m.s, "{ "+query+" }")
			}
		}
		if kind := strings.ToUpper(x.typeName); m.schema.Types["SearchType"].EnumValues.ForName(kind) != nil {
			all["search for "+x.typeName] = fmt.Sprintf(`{ search(query: "sample", types: [%s]) { nodes { ... on %s { %s } } } }`, kind, x.typeName, x.shows)
		}
	}
	return all
}

// addMany adds n public things of each derived kind, with links to the i-th of each other kind.
func addMany(t *testing.T, s *stoatest.Stoa, schema *gql.Schema, n int, of func(i int) links) {
	t.Helper()
	m := &matrix{schema: schema, s: s, known: new(golden.Names)}
	for i := range n {
		others := maps.Clone(of(i))
		for _, x := range derived() {
			others[x.typeName], _ = m.add(t, x, stoatest.Person{Token: s.Token}, others, strconv.Itoa(i), true)
		}
	}
}
