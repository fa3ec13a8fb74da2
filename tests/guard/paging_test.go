package guard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gql "github.com/vektah/gqlparser/v2/ast"

	"stoa/access"
	"stoa/blog"
	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// filters are conditions for root lists by field, since the schema doesn't contain them.
var filters = map[string][]string{
	"articles": {
		`where: {tag: "tag-0"}`,
		`where: {tag: "tag-0", author: "author-1", publishedAfter: "2026-06-01T03:00:00Z"}, orderBy: {field: TITLE, direction: ASC}`,
	},
	"accounts": {`where: {role: AUTHOR}`},
	"search":   {`query: "article"`, `query: "text of article", types: [ARTICLE]`},
}

// list is one list that can be paged through.
type list struct {
	name  string // for messages
	query string // with %s for the paging arguments and %s for the selection

	forwards bool // it takes only first and after
}

// page is a connection as the test selects it.
type page struct {
	Edges []struct {
		Cursor string
		Node   struct{ ID string }
	}
	Nodes    []struct{ ID string }
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
	Count struct {
		Value   int
		IsExact bool
	}
}

const pageSelection = `edges { cursor node { id } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } count(max: 10000) { value isExact }`

// Every connection of the schema, in every order, is walked from both ends in pages of several
// sizes, and cut between any two of its elements. Each page is exactly the requested part of
// the whole list, and pageInfo says exactly if the list goes on.
func TestEveryListCanBeWalkedFromBothEnds(t *testing.T) {
	s := stoatest.Start(t, nil)
	writeThreads(t, s)
	lists := listsOf(t, s)
	if len(lists) < 12 {
		t.Errorf("found %d lists: have connections changed their shape?", len(lists))
	}
	for _, l := range lists {
		t.Run(l.name, func(t *testing.T) {
			whole := l.ask(t, s, "first: 100")
			n := len(whole.Edges)
			if n < 4 {
				t.Fatalf("the fixture has only %d elements in it", n)
			}
			if !l.forwards {
				l.expect(t, s, whole, "last: 100", 0, n)
			}
			for _, size := range []int{1, 2, 3, 100} {
				for from := 0; from < n; from += size {
					to := min(from+size, n)
					l.expect(t, s, whole, fmt.Sprintf("first: %d%s", size, bound(whole, "after", from-1)), from, to)
					if !l.forwards {
						l.expect(t, s, whole, fmt.Sprintf("last: %d%s", size, bound(whole, "before", n-from)), n-to, n-from)
					}
				}
			}
			if l.forwards {
				return
			}
			for _, after := range []int{-1, 0, n / 2} {
				for _, before := range []int{1, n - 1, n} {
					from, to := after+1, max(after+1, before)
					between := bound(whole, "after", after) + bound(whole, "before", before)
					for _, size := range []int{2, 100} {
						l.expect(t, s, whole, fmt.Sprintf("first: %d%s", size, between), from, min(from+size, to))
						l.expect(t, s, whole, fmt.Sprintf("last: %d%s", size, between), max(to-size, from), to)
					}
				}
			}
		})
	}
}

// bound is the argument that cuts whole at its i-th element; nothing outside of it.
func bound(whole page, argument string, i int) string {
	if i < 0 || i >= len(whole.Edges) {
		return ""
	}
	return fmt.Sprintf(", %s: %q", argument, whole.Edges[i].Cursor)
}

func (l list) ask(t *testing.T, s *stoatest.Stoa, arguments string) page {
	t.Helper()
	var data struct {
		List   page
		Node   struct{ List page }
		Viewer struct{ List page }
	}
	selection := pageSelection
	if l.forwards { // it leads to several types
		selection = strings.ReplaceAll(selection, "{ id }", "{ ... on Node { id } }")
	}
	s.Data(t, &data, fmt.Sprintf(l.query, arguments, selection), nil)
	if strings.Contains(l.query, "node(id:") {
		return data.Node.List
	}
	if strings.Contains(l.query, "{ viewer {") {
		return data.Viewer.List
	}
	return data.List
}

// expect asks for a part of the list and holds it against the elements from..to of whole.
func (l list) expect(t *testing.T, s *stoatest.Stoa, whole page, arguments string, from, to int) {
	t.Helper()
	got, want := l.ask(t, s, arguments), whole.Edges[from:to]
	var edges, nodes, ids, cursors []string
	for _, e := range got.Edges {
		edges, cursors = append(edges, e.Node.ID), append(cursors, e.Cursor)
	}
	for _, n := range got.Nodes {
		nodes = append(nodes, n.ID)
	}
	for i, e := range want {
		ids = append(ids, e.Node.ID)
		if i < len(cursors) && cursors[i] != e.Cursor {
			t.Errorf("(%s): the cursor of %s is %q in one page and %q in another", arguments, e.Node.ID, e.Cursor, cursors[i])
		}
	}
	if !slices.Equal(edges, ids) || !slices.Equal(nodes, ids) {
		t.Errorf("(%s): edges %v and nodes %v are not %d to %d of the list: %v", arguments, edges, nodes, from, to, ids)
	}
	if got.Count.Value != len(whole.Edges) || !got.Count.IsExact {
		t.Errorf("(%s): count %+v, the list has %d", arguments, got.Count, len(whole.Edges))
	}
	if len(want) == 0 { // nothing is first or last of an empty page
		if got.PageInfo.StartCursor != nil || got.PageInfo.EndCursor != nil {
			t.Errorf("(%s): an empty page has cursors: %+v", arguments, got.PageInfo)
		}
		return
	}
	if got.PageInfo.HasPreviousPage != (from > 0) || got.PageInfo.HasNextPage != (to < len(whole.Edges)) {
		t.Errorf("(%s): %d to %d of %d says hasPreviousPage %t, hasNextPage %t", arguments, from, to, len(whole.Edges), got.PageInfo.HasPreviousPage, got.PageInfo.HasNextPage)
	}
	if start, end := got.PageInfo.StartCursor, got.PageInfo.EndCursor; start == nil || end == nil || *start != cursors[0] || *end != cursors[len(cursors)-1] {
		t.Errorf("(%s): startCursor and endCursor are not those of the first and last edge", arguments)
	}
}

// listsOf finds every connection in the schema, at the root and under the parent that has
// most in it, in every order that it takes.
func listsOf(t *testing.T, s *stoatest.Stoa) []list {
	t.Helper()
	schema := stoatest.Schema(t)
	var found any
	s.Data(t, &found, `{
		articles { nodes { __typename id comments { nodes { __typename id replies { nodes { __typename id } } } } } }
		authors(first: 100) { nodes { __typename id } } tags(first: 100) { nodes { __typename id } }
		viewer { drafts { nodes { __typename id } } } }`, nil)
	ids := map[string][]string{}
	stoatest.EachObject(found, func(o map[string]any) {
		if name, ok := o["__typename"].(string); ok {
			ids[name] = append(ids[name], o["id"].(string))
		}
	})
	var all []list
	for _, typeName := range slices.Sorted(maps.Keys(schema.Types)) {
		for _, f := range schema.Types[typeName].Fields {
			if schema.Types[typeName].Kind != gql.Object || !stoatest.IsConnection(schema, f.Type) {
				continue
			}
			variants := append([]string{""}, orders(schema, f)...)
			if typeName == "Viewer" { // the viewer has no id
				for _, v := range variants {
					all = append(all, list{name: typeName + "." + f.Name + v, query: fmt.Sprintf(`{ viewer { list: %s(%%s%s) { %%s } } }`, f.Name, v)})
				}
				continue
			}
			if typeName != schema.Query.Name {
				parent := longest(t, s, ids[typeName], typeName, f.Name)
				for _, v := range variants {
					all = append(all, list{name: typeName + "." + f.Name + v, query: fmt.Sprintf(`{ node(id: %q) { ... on %s { list: %s(%%s%s) { %%s } } } }`, parent, typeName, f.Name, v)})
				}
				continue
			}
			for _, filter := range filters[f.Name] {
				variants = append(variants, ", "+filter)
			}
			if f.Arguments.ForName("query") != nil { // it can't be left out
				variants = variants[1:]
			}
			for _, v := range variants {
				all = append(all, list{f.Name + v, fmt.Sprintf(`{ list: %s(%%s%s) { %%s } }`, f.Name, v), f.Arguments.ForName("last") == nil})
			}
		}
	}
	return all
}

// orders are the values of every argument that is an object of enums only.
func orders(schema *gql.Schema, f *gql.FieldDefinition) []string {
	var out []string
	for _, a := range f.Arguments {
		d := schema.Types[a.Type.Name()]
		if d.Kind != gql.InputObject {
			continue
		}
		values := []string{""}
		for _, member := range d.Fields {
			enum := schema.Types[member.Type.Name()]
			if enum.Kind != gql.Enum {
				values = nil
				break
			}
			var longer []string
			for _, v := range values {
				for _, e := range enum.EnumValues {
					longer = append(longer, v+member.Name+": "+e.Name+" ")
				}
			}
			values = longer
		}
		for _, v := range values {
			out = append(out, fmt.Sprintf(", %s: {%s}", a.Name, strings.TrimSpace(v)))
		}
	}
	return out
}

// longest returns the parent with the longest list.
func longest(t *testing.T, s *stoatest.Stoa, parents []string, typeName, field string) string {
	t.Helper()
	most, parent := -1, ""
	for _, i := range parents {
		l := list{query: fmt.Sprintf(`{ node(id: %q) { ... on %s { list: %s(%%s) { %%s } } } }`, i, typeName, field)}
		if p := l.ask(t, s, "first: 1"); p.Count.Value > most {
			most, parent = p.Count.Value, i
		}
	}
	if parent == "" {
		t.Fatalf("the fixture has no %s, whose %s could be walked", typeName, field)
	}
	return parent
}

// writeThreads fills s with long lists of elements with equal sort values: articles with one
// publication time and one title, a thread under the first of them, and accounts with one
// creation time; the viewer's account has many sessions.
func writeThreads(t *testing.T, s *stoatest.Stoa) {
	t.Helper()
	batch := stoatest.Articles(11)
	for i := range batch {
		batch[i].Tags = append(batch[i].Tags, blog.ImportName{Slug: "tag-0", Name: "Tag 0"})
		batch[i].Authors = append(batch[i].Authors, blog.ImportName{Slug: "author-1", Name: "Author 1"})
		batch[i].PublishedAt = batch[i/3*3].PublishedAt
		batch[i].Title = batch[i/2*2].Title
	}
	s.Import(t, batch)
	admin := s.Join(t, "admin@example.org", "Admin", access.Admin, batch[0].PublishedAt)
	for i := range 11 {
		s.Join(t, fmt.Sprintf("reader-%d@example.org", i), "A reader", access.Roles[i%2], batch[i/3*3].PublishedAt)
		_, admin.Token = s.SignIn(t, admin.Account)
	}
	s.Token = admin.Token
	importing, err := s.Blog.BeginImport(t.Context(), false)
	stoatest.Check(t, err)
	at := batch[0].PublishedAt
	say := func(n int, replies []blog.ImportComment) []blog.ImportComment {
		var all []blog.ImportComment
		for i := range n {
			all = append(all, blog.ImportComment{Name: "A reader", Markdown: "Yes.", At: at.Add(time.Duration(i/2) * time.Second), Replies: replies})
		}
		return all
	}
	stoatest.Check(t, importing.Comments(t.Context(), batch[0].Slug, say(5, say(4, nil))))
	slugs, err := s.Store.TakenSlugs(t.Context())
	stoatest.Check(t, err)
	for i := range 11 {
		_, err := s.Store.AddComment(t.Context(), &store.Comment{
			ID: id.New(id.Comment), ArticleID: slugs[batch[0].Slug], AccountID: admin.ID, Status: store.CommentPending, CreatedAt: at.Add(time.Duration(i/3) * time.Second), Version: 1,
		})
		stoatest.Check(t, err)
	}
	var draft id.ID
	for i := range 9 {
		draft = stoatest.Create(t, s, map[string]any{"title": fmt.Sprintf("Draft %d", i/2)})
		if i < 4 {
			stoatest.Mutate(t, s, "articleDelete", map[string]any{"id": draft}, "article { id }", nil)
		}
	}
	for version := range 5 {
		stoatest.Mutate(t, s, "articleUpdate", map[string]any{"id": draft, "expectedVersion": version + 1, "bodyMarkdown": fmt.Sprintf("Text %d.", version)}, "article { id }", nil)
	}
	writers, err := s.Store.AllAuthors(t.Context())
	stoatest.Check(t, err)
	subjects, err := s.Store.AllTags(t.Context())
	stoatest.Check(t, err)
	addMany(t, s, stoatest.Schema(t), 11, func(int) links {
		return links{"Author": string(writers["author-1"].ID), "Tag": string(subjects["tag-0"].ID), "Article": string(slugs[batch[0].Slug])}
	})
	stoatest.Check(t, s.Search.Update(t.Context()))
}
