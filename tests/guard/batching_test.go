package guard

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

	"stoa/access"
	"stoa/blog"
	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// No N+1: the number of database commands depends on a query's shape, never on the number of
// objects in its response. The queries are derived from the schema, so a new field is tested
// without a line here. Facts that the schema lacks are in requiredValue, and the objects for
// the queries are in writeMany.

const (
	few, many = 5, 50

	// allowed is the greatest number of commands of a query beyond one for each level of
	// objects. An object has an id of its own; the level is the depth of nesting: { authors {
	// nodes { articles { nodes { comments { nodes { id } } } } } } } has three. Connections,
	// edges and values such as an image are no levels. A level of a list takes two commands,
	// one for the ids on the page and one for the objects; a level of objects named by their
	// parents takes one. Reading a page with its objects in one command would save one, but
	// then two reads of one object could overlap, and the one that began first could end last:
	// a response would go back in time.
	allowed = 3

	// authenticated is the number of further commands to find the viewer, if the query has a
	// private field: one for the session, one for its account.
	authenticated = 2
)

// readEachTime lists the data that each request reads from the database, in one command for
// all: no cache is told of its changes, since they are too frequent.
var readEachTime = map[string]string{
	"Session.lastUsedAt": "using a session would make everything stale that is known of it",
}

// edge is a field that leads to things.
type edge struct {
	through []string // fields on the path that have no id, such as viewer
	field   *gql.FieldDefinition
	target  *gql.Definition // an object
	paged   bool            // a connection
	narrow  string          // "... on T { ", if the field may lead to other types; "" if not
}

// name tells the edge in a table.
func (e edge) name() string {
	name := strings.Join(append(slices.Clone(e.through), e.field.Name), ".")
	if e.narrow != "" {
		return name + ":" + e.target.Name
	}
	return name
}

// walker makes queries out of a schema.
type walker struct {
	schema  *gql.Schema
	ids     map[string][]string // of things, by type
	preview string              // the token of a link to a draft
}

// result is the cost of one query over few and over many parents.
type result struct {
	path      string
	depth     int
	few, many int // commands
	children  int // things or values at the end of the path, over many parents
}

// The number of commands that a query takes depends on its shape, not on its answer.
func TestNoQueryTakesACommandForEachParent(t *testing.T) {
	s, w := manyThings(t)
	t.Run("Edges", func(t *testing.T) { w.testEdges(t, s) })
	t.Run("Values", func(t *testing.T) { w.testValues(t, s) })
	t.Run("SideBySide", func(t *testing.T) { w.testSideBySide(t, s) })
	t.Run("Events", func(t *testing.T) { w.testEvents(t, s) })
	t.Run("Remembered", func(t *testing.T) { w.testRemembered(t, s) })
}

// testEdges goes down every edge from every root field: three levels deep from lists and from
// objects with a slug, by nodes; two levels deep from all of them, also by edges.
func (w walker) testEdges(t *testing.T, s *stoatest.Stoa) {
	var rows []result
	reached := map[string]int{} // most children, by edge, over many parents
	for _, root := range w.edges(w.schema.Query) {
		deepest := 3
		if root.narrow != "" {
			deepest = 2
		}
		for _, path := range w.paths(root, deepest) {
			for _, form := range []string{"nodes", "edges"} {
				q, varies := w.query(t, path, form, "end: id")
				if !varies || form == "edges" && (len(path) == 3 || !slices.ContainsFunc(path, func(e edge) bool { return e.paged })) {
					continue
				}
				r := w.measure(t, s, q, path, "end")
				r.path = strings.Join(pathNames(path), ".") + " by " + form
				rows = append(rows, r)
				if r.few != r.many {
					t.Errorf("%s takes %d commands over %d and %d over %d parents:\n%s", r.path, r.few, few, r.many, many, q)
				}
				most := r.depth + allowed
				if path[0].paged && path[0].narrow != "" { // a search returns all that there is of each kind
					most += len(w.schema.PossibleTypes[w.schema.Types[path[0].field.Type.Name()].Fields.ForName("nodes").Type.Name()]) - 1
				}
				if slices.ContainsFunc(path, w.asksWho) {
					most += authenticated
				}
				if r.many > most {
					t.Errorf("%s takes %d commands; at most %d are allowed:\n%s", r.path, r.many, most, q)
				}
				if len(path) > 1 {
					name := path[len(path)-2].target.Name + "." + path[len(path)-1].field.Name
					reached[name] = max(reached[name], r.children)
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

// testValues asks for each value alone: one may be elsewhere, such as the text of an
// article, or counted, such as the comments on it.
func (w walker) testValues(t *testing.T, s *stoatest.Stoa) {
	var rows []result
	seen, empty := map[string]bool{}, map[string]bool{}
	for _, root := range w.edges(w.schema.Query) {
		for _, value := range w.values(root.target) {
			name := root.target.Name + "." + value.Name
			q, varies := w.query(t, []edge{root}, "nodes", "end: "+value.Name+w.selection(value.Type))
			if !varies || seen[name] {
				continue
			}
			r := w.measure(t, s, q, []edge{root}, "end")
			r.path = root.name() + "." + value.Name
			rows = append(rows, r)
			if r.few != r.many {
				t.Errorf("%s takes %d commands over %d and %d over %d parents", r.path, r.few, few, r.many, many)
			}
			seen[name] = r.children > 0 // else another list may have it: imported articles have no createdAt
			empty[name] = true
		}
	}
	for _, d := range w.things() {
		for _, value := range w.values(d) {
			switch name := d.Name + "." + value.Name; {
			case seen[name]:
			case empty[name]:
				t.Errorf("%s is empty for all parents: give the blog in writeMany one that isn't", name)
			default:
				t.Errorf("no list leads to %s", name)
			}
		}
	}
	tabulate(t, rows)
}

// testSideBySide selects every field of objects, and every field of the objects under them.
func (w walker) testSideBySide(t *testing.T, s *stoatest.Stoa) {
	var rows []result
	for _, root := range w.edges(w.schema.Query) {
		selection, most := w.everything(root.target)
		q, varies := w.query(t, []edge{root}, "nodes", selection)
		if !varies {
			continue
		}
		r := w.measure(t, s, q, []edge{root}, "id")
		r.path = root.name() + " with everything"
		rows = append(rows, r)
		if most += allowed + authenticated; r.many > most {
			t.Errorf("%s takes %d commands over %d parents; at most %d are allowed:\n%s", r.path, r.many, many, most, q)
		}
	}
	tabulate(t, rows)
}

// testRemembered sends every query again: cached data needs no command, with the exceptions in
// readEachTime.
func (w walker) testRemembered(t *testing.T, s *stoatest.Stoa) {
	for _, root := range w.edges(w.schema.Query) {
		selection, _ := w.everything(root.target)
		q, _ := w.query(t, []edge{root}, "nodes", selection)
		each := 0
		for _, v := range w.values(root.target) {
			if readEachTime[root.target.Name+"."+v.Name] != "" {
				each++
			}
		}
		commands := -1
		// The cache in the process takes entries in its own time, so some may not be in it yet
		// when the second query comes.
		for range 5 {
			s.Commands()
			w.ask(t, s, q, many)
			if commands = s.Commands(); commands == each {
				break
			}
		}
		if commands != each {
			t.Errorf("%s takes %d commands each time, and %d have a reason:\n%s", root.name(), commands, each, q)
		}
	}
}

// asksWho says if an edge leads to private data: that of a viewer, or an article's revisions.
func (w walker) asksWho(e edge) bool { return len(e.through) > 0 || e.target.Name == "Revision" }

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
		if nodes := target.Fields.ForName("nodes"); nodes != nil && stoatest.IsConnection(w.schema, f.Type) {
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
		if target.Kind == gql.Object && !stoatest.IsConnection(w.schema, f.Type) && !strings.HasPrefix(f.Name, "__") {
			for _, e := range w.edges(target) {
				e.through = append([]string{f.Name}, e.through...)
				all = append(all, e)
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

// query writes the query that goes down a path and selects something at its end. The outermost
// list on it takes as many elements as the variable says, all others two; varies is false
// without such a list.
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
			if !a.Type.NonNull || a.DefaultValue != nil && a.Type.Name() != "SelectedOptionInput" {
				continue
			}
			if a.Type.Elem != nil && a.Type.Name() == "ID" && !varies {
				varies, declared = true, append(declared, fmt.Sprintf("$list: %s", a.Type))
				arguments = append(arguments, a.Name+": $list")
				continue
			}
			arguments = append(arguments, a.Name+": "+w.requiredValue(t, e, a))
		}
		closing := " }"
		for _, field := range e.through {
			open.WriteString(field + " { ")
			closing += " }"
		}
		if open.WriteString(e.field.Name); len(arguments) > 0 {
			open.WriteString("(" + strings.Join(arguments, ", ") + ")")
		}
		open.WriteString(" { ")
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

// requiredValue returns the value for a required argument.
func (w walker) requiredValue(t *testing.T, e edge, a *gql.ArgumentDefinition) string {
	t.Helper()
	switch {
	case a.Type.String() == "ID!":
		return fmt.Sprintf("%q", w.ids[e.target.Name][0])
	case a.Type.String() == "String!" && a.Name == "query": // finds the many by their names
		return fmt.Sprintf("%q", strings.ToLower(e.target.Name))
	case a.Type.String() == "String!" && a.Name == "token":
		return fmt.Sprintf("%q", w.preview)
	case a.Type.String() == "String!" && a.Name == "slug":
		return fmt.Sprintf("%q", strings.ToLower(e.target.Name)+"-0")
	case a.Type.Name() == "SelectedOptionInput": // that each sample has
		return `[{name: "Nib", value: "fine"}]`
	}
	t.Fatalf("what is %s(%s: %s)? Say so in requiredValue", e.field.Name, a.Name, a.Type)
	return ""
}

// everything selects all fields and edges of d, and all fields behind the edges. For any
// number of objects of d, at most most commands are allowed: one for each field, and two for
// each edge, since an edge may first have to find its targets.
func (w walker) everything(d *gql.Definition) (selection string, most int) {
	values := func(of *gql.Definition) string {
		some := []string{"id"}
		for _, v := range w.values(of) {
			some = append(some, v.Name+w.selection(v.Type))
			most++
		}
		return strings.Join(some, " ")
	}
	all := []string{values(d)}
	for _, e := range w.edges(d) {
		most += 2
		if !e.paged {
			all = append(all, e.field.Name+" { "+values(e.target)+" }")
			continue
		}
		var rest []string
		for _, f := range w.schema.Types[e.field.Type.Name()].Fields {
			if f.Name != "edges" && f.Name != "nodes" {
				rest = append(rest, f.Name+w.selection(f.Type))
			}
		}
		all = append(all, e.field.Name+"(first: 2) { edges { cursor node { "+values(e.target)+" } } "+strings.Join(rest, " ")+" }")
	}
	return strings.Join(all, " "), most
}

// measure sends q over few and over many parents, each time to a cold cache. Background work,
// such as recording the uses of sessions, may still happen in between: it adds commands, and
// saves others by its reads. So measure repeats if the numbers differ or are too high. A
// number that depends on the parents differs each time.
func (w walker) measure(t *testing.T, s *stoatest.Stoa, q string, path []edge, end string) result {
	t.Helper()
	r := w.measureOnce(t, s, q, path, end)
	for range 2 {
		if r.few != r.many || r.many > r.depth+allowed {
			r = w.measureOnce(t, s, q, path, end)
		}
	}
	return r
}

func (w walker) measureOnce(t *testing.T, s *stoatest.Stoa, q string, path []edge, end string) result {
	t.Helper()
	r := result{depth: len(path)}
	for n, commands := range map[int]*int{few: &r.few, many: &r.many} {
		stoatest.Cool(t, s)
		answer := w.ask(t, s, q, n)
		*commands = s.Commands()
		if n == many {
			stoatest.EachObject(answer, func(o map[string]any) {
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
	if strings.HasPrefix(q, "subscription") {
		return w.told(t, s, q, variables)
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

// manyThings starts a blog with many objects of every kind; the queries are an
// administrator's.
func manyThings(t *testing.T) (*stoatest.Stoa, walker) {
	t.Helper()
	s := stoatest.Start(t, stoatest.Settings{"STOA_MAX_COST": "100000"}) // everything at once is dear
	w := walker{schema: stoatest.Schema(t), ids: map[string][]string{}}
	w.preview = writeMany(t, s)
	const comment = "id __typename authorName"
	lists := ""
	for _, f := range w.schema.Query.Fields {
		to, paged := leads(w.schema, f)
		if !paged || f.Name == "articles" {
			continue
		}
		parts := ""
		for _, part := range to.Fields { // what is listed under its whole alone
			if x, ok := sampleOf(part.Type.Name()); ok && x.within == to.Name && part.Type.Elem != nil {
				parts += " " + part.Name + " { id __typename }"
			}
		}
		lists += f.Name + "(first: 100) { nodes { id __typename" + parts + " } } "
	}
	var found any
	s.Data(t, &found, `{
		articles(first: 100) { nodes { id __typename comments(last: 1) { nodes { `+comment+` replies(first: 5) { nodes { `+comment+` replies(first: 5) { nodes { `+comment+` } } } } } } } }
		`+lists+`
		viewer { sessions(first: 100) { nodes { id __typename } } drafts(first: 100) { nodes { id revisions(last: 1) { nodes { id __typename } } } } } }`, nil)
	stoatest.EachObject(found, func(o map[string]any) {
		name, ok := o["__typename"].(string)
		if reader, is := o["authorName"].(string); ok && (!is || reader == "middle") {
			w.ids[name] = append(w.ids[name], o["id"].(string))
		}
	})
	for name := range w.ids {
		slices.Sort(w.ids[name])
	}
	stoatest.Check(t, s.Search.Update(t.Context())) // else the first search would read all texts
	for _, i := range w.ids["Comment"] {
		before, err := s.Store.CommentNow(t.Context(), id.ID(i))
		stoatest.Check(t, err)
		after, at := *before, before.CreatedAt.Add(time.Minute)
		after.EditedAt = &at
		stoatest.Check(t, s.Store.ChangeComment(t.Context(), before, &after))
	}
	for _, d := range w.things() {
		if len(w.ids[d.Name]) < many {
			t.Fatalf("there are %d of %s: let writeMany write %d", len(w.ids[d.Name]), d.Name, many)
		}
	}
	return s, w
}

// writeMany writes as many articles, authors, tags and threads as the tests need. Every edge
// leads from few elements of a list, as from many, to an object that isn't on the way there:
// otherwise a level might need no command, and the numbers would differ for a good reason. The
// first author and the first tag have all articles. Each article has a thread of five, one
// below the other; the one in the middle has neighbours on all sides, and under the first
// article much below it. The viewer's account has many sessions, and many drafts and deleted
// articles. It returns the token of a link to one of the drafts.
func writeMany(t *testing.T, s *stoatest.Stoa) (preview string) {
	t.Helper()
	const n = many + 6
	importing, err := s.Blog.BeginImport(t.Context(), false)
	stoatest.Check(t, err)
	name := func(what string, i int) blog.ImportName {
		return blog.ImportName{Slug: fmt.Sprintf("%s-%d", what, i%n), Name: fmt.Sprintf("%s %d", what, i%n)}
	}
	for i := range n {
		stoatest.Check(t, importing.Author(t.Context(), name("author", i), "Writes.", "https://author.example/"))
		stoatest.Check(t, importing.Tag(t.Context(), name("tag", i), "About it."))
	}
	newest := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	batch := make([]blog.Import, n)
	for i := range batch {
		batch[i] = blog.Import{
			Source: fmt.Sprintf("%d.md", i), Digest: "1", Slug: fmt.Sprintf("article-%d", i), Title: fmt.Sprintf("Article %d", i),
			Summary: "What it is about.", Markdown: "## A heading\n\nAnd a text.\n", Cover: &store.Image{URL: "/cover.jpg"},
			Authors:     []blog.ImportName{name("author", i), name("author", i+1)},
			Tags:        []blog.ImportName{name("tag", i), name("tag", i+1)},
			PublishedAt: newest.Add(-time.Duration(i) * time.Hour),
		}
		if i > 0 && i < n-1 {
			batch[i].Authors = append(batch[i].Authors, name("author", 0))
			batch[i].Tags = append(batch[i].Tags, name("tag", 0))
		}
	}
	admin := s.Join(t, "admin@example.org", "Admin", access.Admin, newest)
	used := map[id.ID]time.Time{}
	for i := range n {
		s.Join(t, fmt.Sprintf("reader-%d@example.org", i), "A reader", access.Customer, newest)
		admin.Session, admin.Token = s.SignIn(t, admin.Account)
		used[admin.Session] = time.Now()
	}
	stoatest.Check(t, s.Store.RecordLastUses(t.Context(), used, time.Minute))
	s.Token = admin.Token
	outcomes, err := importing.Add(t.Context(), batch)
	stoatest.Check(t, err)
	for _, o := range outcomes {
		stoatest.Check(t, o.Err)
	}
	slugs, err := s.Store.TakenSlugs(t.Context())
	stoatest.Check(t, err)
	s.Quiesce(t) // else the articles above are related after this
	for i := range n {
		at := func(i int) id.ID { return slugs[fmt.Sprintf("article-%d", i%n)] }
		stoatest.Check(t, s.Store.Relate(t.Context(), []store.Relations{{Article: at(i), IDs: []id.ID{at(i + 1), at(i + 2)}}}))
	}
	names := map[string]map[string]id.ID{"author": {}, "tag": {}}
	writers, err := s.Store.AllAuthors(t.Context())
	stoatest.Check(t, err)
	for _, a := range writers {
		names["author"][a.Slug] = a.ID
	}
	labels, err := s.Store.AllTags(t.Context())
	stoatest.Check(t, err)
	for _, x := range labels {
		names["tag"][x.Slug] = x.ID
	}
	seconds := 0
	say := func(reader string, replies ...blog.ImportComment) blog.ImportComment {
		seconds++
		return blog.ImportComment{Name: reader, Markdown: "Indeed.", At: newest.Add(time.Duration(seconds) * time.Second), Replies: replies}
	}
	for i, a := range batch {
		middle := say("middle", say("a reader", say("another")))
		var others []blog.ImportComment
		if i == 0 {
			for range many {
				middle.Replies = append(middle.Replies, say("a reader", say("another")))
				others = append(others, say("a reader", say("another", say("a third"))))
			}
		}
		thread := say("a reader", say("another", middle))
		stoatest.Check(t, importing.Comments(t.Context(), a.Slug, append(others, thread)))
	}
	ids := func(collection string, i int) string {
		return string(names[collection][fmt.Sprintf("%s-%d", collection, i%n)])
	}
	for i := range 2 * n {
		draft := stoatest.Create(t, s, map[string]any{
			"title": fmt.Sprintf("Draft %d", i), "summary": "What it will be about.", "bodyMarkdown": "## A heading\n\nAnd a text.\n",
			"cover":     map[string]any{"url": "/cover.jpg", "alt": "A cover"},
			"authorIds": []string{ids("author", i), ids("author", i+1)}, "tagIds": []string{ids("tag", i), ids("tag", i+1)},
		})
		stoatest.Check(t, s.Store.Relate(t.Context(), []store.Relations{{Article: draft, IDs: []id.ID{slugs[fmt.Sprintf("article-%d", i%n)], slugs[fmt.Sprintf("article-%d", (i+1)%n)]}}}))
		if i >= n {
			stoatest.Mutate(t, s, "articleDelete", map[string]any{"id": draft}, "article { id }", nil)
			continue
		}
		var made struct{ Preview struct{ Token string } }
		if i == 0 {
			stoatest.Mutate(t, s, "articlePreviewCreate", map[string]any{"id": draft}, "preview { token }", &made)
			preview = made.Preview.Token
		}
	}
	addMany(t, s, stoatest.Schema(t), n, func(i int) links {
		return links{"Author": ids("author", i), "Tag": ids("tag", i), "Article": string(slugs[fmt.Sprintf("article-%d", i)])}
	})
	return preview
}
