package tests

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	gql "github.com/vektah/gqlparser/v2/ast"

	"stoa/blog"
	"stoa/tests/stoatest"
)

// No N+1: how many commands the database gets depends on a query's shape, never on how many
// things come back. The queries are made out of the schema, so that a new field is held to
// it without a line here; what the schema can't tell is in requiredValue, and the things to
// ask for are in writeMany.

const (
	few, many = 5, 50

	// allowed is how many commands a query takes at most beyond one for each level of
	// things. A thing is what has an id of its own; the level is how many are nested:
	// { authors { nodes { articles { nodes { comments { nodes { id } } } } } } } has three.
	// Connections, edges and values such as an image are no levels: a list of a level's
	// things and the things themselves are what the two are for.
	allowed = 2
)

// edge is a field that leads to things.
type edge struct {
	field  *gql.FieldDefinition
	target *gql.Definition // an object
	paged  bool            // a connection
	narrow string          // "... on T { ", where the field may lead to others; "" where not
}

// name tells the edge in a table.
func (e edge) name() string {
	if e.narrow != "" {
		return e.field.Name + ":" + e.target.Name
	}
	return e.field.Name
}

// walker makes queries out of a schema.
type walker struct {
	schema *gql.Schema
	ids    map[string][]string // of things, by type
}

// result is what one query over few and over many parents took.
type result struct {
	path      string
	depth     int
	few, many int // commands
	children  int // things or values at the end of the path, over many parents
}

func TestCommandsDependOnTheShapeOfAQueryNotOnItsAnswer(t *testing.T) {
	s, w := manyThings(t)
	var rows []result
	reached := map[string]int{} // most children, by edge, over many parents
	for _, root := range w.edges(w.schema.Query) {
		for _, path := range w.paths(root, 3) {
			for _, form := range []string{"nodes", "edges"} {
				q, varies := w.query(t, path, form, "end: id")
				if !varies || form == "edges" && !slices.ContainsFunc(path, func(e edge) bool { return e.paged }) {
					continue
				}
				r := w.measure(t, s, q, path, "end")
				r.path = strings.Join(pathNames(path), ".") + " by " + form
				rows = append(rows, r)
				if r.few != r.many {
					t.Errorf("%s takes %d commands over %d and %d over %d parents:\n%s", r.path, r.few, few, r.many, many, q)
				}
				if r.many > r.depth+allowed {
					t.Errorf("%s takes %d commands, which may be %d at most:\n%s", r.path, r.many, r.depth+allowed, q)
				}
				last := path[len(path)-1]
				if len(path) > 1 {
					edge := path[len(path)-2].target.Name + "." + last.field.Name
					reached[edge] = max(reached[edge], r.children)
				}
			}
		}
	}
	for _, d := range w.things() {
		for _, e := range w.edges(d) {
			if name := d.Name + "." + e.field.Name; reached[name] < many-1 {
				t.Errorf("of %d parents, at most %d have something under %s: give the blog in writeMany some", many, reached[name], name)
			}
		}
	}
	tabulate(t, rows)
}

// A value may be elsewhere, too: the text of an article, the number of comments on it.
func TestValuesTakeNoCommandForEachParent(t *testing.T) {
	s, w := manyThings(t)
	var rows []result
	seen := map[string]bool{}
	for _, root := range w.edges(w.schema.Query) {
		for _, path := range w.paths(root, 2) {
			last := path[len(path)-1]
			for _, value := range w.values(last.target) {
				name := last.target.Name + "." + value.Name
				if len(path) == 1 && !seen[name] {
					q, varies := w.query(t, path, "nodes", "end: "+value.Name+w.selection(value.Type))
					if !varies {
						continue
					}
					seen[name] = true
					r := w.measure(t, s, q, path, "end")
					r.path = strings.Join(pathNames(path), ".") + "." + value.Name
					rows = append(rows, r)
					if r.few != r.many {
						t.Errorf("%s takes %d commands over %d and %d over %d parents", r.path, r.few, few, r.many, many)
					}
					if r.children == 0 {
						t.Errorf("%s is empty over all parents: give the blog in writeMany one that isn't", r.path)
					}
				}
			}
		}
	}
	for _, d := range w.things() {
		for _, value := range w.values(d) {
			if !seen[d.Name+"."+value.Name] {
				t.Errorf("no list leads to %s.%s", d.Name, value.Name)
			}
		}
	}
	tabulate(t, rows)
}

// Everything of a thing, and everything of what hangs on it, in one query.
func TestFieldsSideBySideTakeNoMoreThanEachAlone(t *testing.T) {
	s, w := manyThings(t)
	var rows []result
	for _, root := range w.edges(w.schema.Query) {
		path := []edge{root}
		deeper, most := w.everything(t, root.target)
		q, varies := w.query(t, path, "nodes", deeper)
		if !varies {
			continue
		}
		r := w.measure(t, s, q, path, "id")
		r.path = root.name() + " with everything"
		rows = append(rows, r)
		if most += allowed; r.many > most {
			t.Errorf("%s takes %d commands over %d parents, which may be %d at most:\n%s", r.path, r.many, many, most, q)
		}
	}
	tabulate(t, rows)
}

// What was read once is remembered.
func TestASecondIdenticalQueryTakesNoCommand(t *testing.T) {
	s, w := manyThings(t)
	for _, root := range w.edges(w.schema.Query) {
		deeper, _ := w.everything(t, root.target)
		q, _ := w.query(t, []edge{root}, "nodes", deeper)
		commands := w.send(t, s, q, many)
		// The cache in the process takes entries in its own time, so some may not be in it yet
		// when the second query comes.
		for range 5 {
			if commands = w.send(t, s, q, many); commands == 0 {
				break
			}
		}
		if commands != 0 {
			t.Errorf("%s takes %d commands each time", root.name(), commands)
		}
	}
}

func pathNames(path []edge) []string {
	var all []string
	for _, e := range path {
		all = append(all, e.name())
	}
	return all
}

func tabulate(t *testing.T, rows []result) {
	t.Helper()
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 1, 2, ' ', 0)
	fmt.Fprintf(table, "query\tdepth\tover %d\tover %d\tat its end\n", few, many)
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\n", r.path, r.depth, r.few, r.many, r.children)
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("commands to the database, cold:\n%s", text.String())
}

// isThing says whether a type has ids.
func (w walker) isThing(d *gql.Definition) bool {
	return d.Kind == gql.Object && slices.Contains(d.Interfaces, "Node")
}

func (w walker) things() []*gql.Definition {
	var all []*gql.Definition
	for _, name := range slices.Sorted(maps.Keys(w.schema.Types)) {
		if d := w.schema.Types[name]; w.isThing(d) {
			all = append(all, d)
		}
	}
	return all
}

// edges are the fields of d that lead to things; one that leads to several types is an edge
// to each.
func (w walker) edges(d *gql.Definition) []edge {
	var all []edge
	for _, f := range d.Fields {
		target, paged := w.schema.Types[f.Type.Name()], false
		if nodes := target.Fields.ForName("nodes"); nodes != nil && isConnection(w.schema, f.Type) {
			target, paged = w.schema.Types[nodes.Type.Name()], true
		}
		if w.isThing(target) {
			all = append(all, edge{field: f, target: target, paged: paged})
			continue
		}
		for _, possible := range w.schema.PossibleTypes[target.Name] {
			if target.Kind != gql.Object && w.isThing(possible) {
				all = append(all, edge{field: f, target: possible, paged: paged, narrow: "... on " + possible.Name + " { "})
			}
		}
	}
	return all
}

// values are the fields of d that don't lead to things.
func (w walker) values(d *gql.Definition) []*gql.FieldDefinition {
	var all []*gql.FieldDefinition
	for _, f := range d.Fields {
		if !strings.HasPrefix(f.Name, "__") && !slices.ContainsFunc(w.edges(d), func(e edge) bool { return e.field == f }) {
			all = append(all, f)
		}
	}
	return all
}

// selection is all that can be had of a value.
func (w walker) selection(of *gql.Type) string {
	d := w.schema.Types[of.Name()]
	if !d.IsCompositeType() {
		return ""
	}
	var all []string
	for _, f := range d.Fields {
		if !strings.HasPrefix(f.Name, "__") {
			all = append(all, f.Name+w.selection(f.Type))
		}
	}
	return " { " + strings.Join(all, " ") + " }"
}

// paths are the ways down from an edge, to no more than depth levels.
func (w walker) paths(from edge, depth int) [][]edge {
	all := [][]edge{{from}}
	if depth == 1 {
		return all
	}
	for _, e := range w.edges(from.target) {
		for _, rest := range w.paths(e, depth-1) {
			all = append(all, append([]edge{from}, rest...))
		}
	}
	return all
}

// query writes the query that goes down a path and selects something at its end. The
// outermost list on it takes as many elements as the variable says, all others two;
// varies is false where there is no such list.
func (w walker) query(t *testing.T, path []edge, form, selected string) (query string, varies bool) {
	t.Helper()
	var open, shut strings.Builder
	var declared []string
	for i, e := range path {
		var arguments []string
		for _, a := range e.field.Arguments {
			if a.Name == "first" && e.paged {
				size := "2"
				if !varies {
					size, varies, declared = "$n", true, append(declared, "$n: Int")
				}
				arguments = append(arguments, "first: "+size)
				continue
			}
			if !a.Type.NonNull || a.DefaultValue != nil {
				continue
			}
			if a.Type.Elem != nil && !varies {
				varies, declared = true, append(declared, fmt.Sprintf("$list: %s", a.Type))
				arguments = append(arguments, a.Name+": $list")
				continue
			}
			arguments = append(arguments, a.Name+": "+w.requiredValue(t, e, a))
		}
		if open.WriteString(e.field.Name); len(arguments) > 0 {
			open.WriteString("(" + strings.Join(arguments, ", ") + ")")
		}
		open.WriteString(" { ")
		closing := " }"
		switch {
		case e.paged && form == "edges":
			open.WriteString("edges { node { ")
			closing += " } }"
		case e.paged:
			open.WriteString("nodes { ")
			closing += " }"
		}
		if e.narrow != "" {
			open.WriteString(e.narrow)
			closing += " }"
		}
		if i == len(path)-1 {
			open.WriteString(selected)
		}
		shut.WriteString(closing)
	}
	head := ""
	if len(declared) > 0 {
		head = "query (" + strings.Join(declared, ", ") + ") "
	}
	return head + "{ " + open.String() + shut.String() + " }", varies
}

// requiredValue is what an argument gets that can't be left out.
func (w walker) requiredValue(t *testing.T, e edge, a *gql.ArgumentDefinition) string {
	t.Helper()
	switch {
	case a.Type.String() == "ID!":
		return fmt.Sprintf("%q", w.ids[e.target.Name][0])
	case a.Type.String() == "String!" && a.Name == "slug":
		return fmt.Sprintf("%q", strings.ToLower(e.target.Name)+"-0")
	}
	t.Fatalf("what is %s(%s: %s)? Say so in requiredValue", e.field.Name, a.Name, a.Type)
	return ""
}

// everything selects all values and edges of d, and all values of what the edges lead to.
// No more commands than most are to be sent for it, whatever d's number.
func (w walker) everything(t *testing.T, d *gql.Definition) (selection string, most int) {
	t.Helper()
	all := []string{"id"}
	values := func(of *gql.Definition) string {
		var some []string
		for _, v := range w.values(of) {
			some = append(some, v.Name+w.selection(v.Type))
			most++
		}
		return strings.Join(some, " ")
	}
	all = append(all, values(d))
	for _, e := range w.edges(d) {
		most += 2
		if e.paged {
			all = append(all, e.field.Name+"(first: 2) { edges { node { "+values(e.target)+" } } count { value isExact } }")
			continue
		}
		all = append(all, e.field.Name+" { "+values(e.target)+" }")
	}
	return strings.Join(all, " "), most
}

// measure sends q over few and over many parents, each time to a cold cache.
func (w walker) measure(t *testing.T, s *stoatest.Stoa, q string, path []edge, end string) result {
	t.Helper()
	r := result{depth: len(path)}
	for n, commands := range map[int]*int{few: &r.few, many: &r.many} {
		cool(t, s)
		answer := w.ask(t, s, q, n)
		*commands = s.Commands()
		if n == many {
			eachObject(answer, func(o map[string]any) {
				switch v := o[end].(type) {
				case nil:
				case []any:
					r.children += len(v)
				default:
					if v != "" && v != 0.0 {
						r.children++
					}
				}
			})
		}
	}
	return r
}

func (w walker) ask(t *testing.T, s *stoatest.Stoa, q string, n int) any {
	t.Helper()
	variables := map[string]any{}
	if strings.Contains(q, "$n") {
		variables["n"] = n
	}
	if strings.Contains(q, "$list") {
		for _, d := range w.things() {
			if strings.Contains(q, "... on "+d.Name+" ") {
				variables["list"] = w.ids[d.Name][:n]
			}
		}
	}
	a := s.Query(t, q, variables)
	if len(a.Errors) > 0 {
		t.Fatalf("%s\nanswers %.2000s", q, a.Raw)
	}
	var data any
	if err := json.Unmarshal(a.Data, &data); err != nil {
		t.Fatal(err)
	}
	return data
}

// send is ask where only the number of commands matters.
func (w walker) send(t *testing.T, s *stoatest.Stoa, q string, n int) int {
	t.Helper()
	s.Commands()
	w.ask(t, s, q, n)
	return s.Commands()
}

// cool makes s forget everything but when the next scheduled article is due, for which its
// clock asks four times a second.
func cool(t *testing.T, s *stoatest.Stoa) {
	t.Helper()
	s.Store.Flush()
	for range 1000 {
		s.Commands()
		_, _, err := s.Store.NextDue(t.Context())
		check(t, err)
		if s.Commands() == 0 {
			return
		}
	}
	t.Fatal("the cache doesn't keep when the next article is due")
}

// manyThings starts a blog with many of everything.
func manyThings(t *testing.T) (*stoatest.Stoa, walker) {
	t.Helper()
	s := stoatest.Start(t, nil)
	w := walker{schema: schema(t), ids: map[string][]string{}}
	writeMany(t, s)
	const comment = "id __typename authorName"
	var found any
	s.Data(t, &found, `{
		articles(first: 100) { nodes { id __typename comments { nodes { `+comment+` replies { nodes { `+comment+` replies { nodes { `+comment+` } } } } } } } }
		authors(first: 100) { nodes { id __typename } }
		tags(first: 100) { nodes { id __typename } } }`, nil)
	eachObject(found, func(o map[string]any) {
		name, ok := o["__typename"].(string)
		if reader, is := o["authorName"].(string); ok && (!is || reader == "middle") {
			w.ids[name] = append(w.ids[name], o["id"].(string))
		}
	})
	for name := range w.ids {
		slices.Sort(w.ids[name])
	}
	for _, d := range w.things() {
		if len(w.ids[d.Name]) < many {
			t.Fatalf("there are %d of %s: let writeMany write %d", len(w.ids[d.Name]), d.Name, many)
		}
	}
	return s, w
}

// writeMany writes as many articles, authors, tags and threads as the tests need. The first
// author and the first tag have all articles, and each article has a thread of five, one
// below the other, of which the one in the middle has something on all sides; under the
// first article's, many answer it.
func writeMany(t *testing.T, s *stoatest.Stoa) {
	t.Helper()
	const n = many + 2
	importing, err := s.Blog.BeginImport(t.Context(), false)
	check(t, err)
	name := func(what string, i int) blog.ImportName {
		return blog.ImportName{Slug: fmt.Sprintf("%s-%d", what, i%n), Name: fmt.Sprintf("%s %d", what, i%n)}
	}
	for i := range n {
		check(t, importing.Author(t.Context(), name("author", i), "Writes.", "https://author.example/"))
		check(t, importing.Tag(t.Context(), name("tag", i), "About it."))
	}
	newest := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	batch := make([]blog.Import, n)
	for i := range batch {
		batch[i] = blog.Import{
			Source: fmt.Sprintf("%d.md", i), Digest: "1", Slug: fmt.Sprintf("article-%d", i), Title: fmt.Sprintf("Article %d", i),
			Summary: "What it is about.", Markdown: "## A heading\n\nAnd a text.\n", Cover: "/cover.jpg",
			Authors:     []blog.ImportName{name("author", i), name("author", i+1)},
			Tags:        []blog.ImportName{name("tag", i), name("tag", i+1)},
			PublishedAt: newest.Add(-time.Duration(i) * time.Hour),
		}
		if i > 0 && i < n-1 {
			batch[i].Authors = append(batch[i].Authors, name("author", 0))
			batch[i].Tags = append(batch[i].Tags, name("tag", 0))
		}
	}
	outcomes, err := importing.Add(t.Context(), batch)
	check(t, err)
	for _, o := range outcomes {
		check(t, o.Err)
	}
	seconds := 0
	say := func(reader string, replies ...blog.ImportComment) blog.ImportComment {
		seconds++
		return blog.ImportComment{Name: reader, Markdown: "Indeed.", At: newest.Add(time.Duration(seconds) * time.Second), Replies: replies}
	}
	thread := func() blog.ImportComment {
		return say("a reader", say("another", say("middle", say("a reader", say("another")))))
	}
	for i, a := range batch {
		comments := []blog.ImportComment{thread()}
		if i == 0 {
			for range many {
				middle := &comments[0].Replies[0].Replies[0]
				middle.Replies = append(middle.Replies, say("a reader", say("another")))
				comments = append(comments, thread())
			}
		}
		check(t, importing.Comments(t.Context(), a.Slug, comments))
	}
	check(t, importing.Finish(t.Context()))
}
