package graph

// Tests of look-ahead: its steps and arguments, panics and errors.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/dataloader"
	"stoa/graph/fragment"
	"stoa/id"
	"stoa/store"
)

// selected parses a query and returns its operation, and the selection of its only root field.
func selected(t *testing.T, query string, variables map[string]any) (*graphql.OperationContext, ast.SelectionSet) {
	t.Helper()
	document, errs := gqlparser.LoadQueryWithRules(New(Resolver{}).Schema(), query, rules.NewDefaultRules())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	op := &graphql.OperationContext{Doc: document, Operation: document.Operations[0], Variables: variables}
	return op, document.Operations[0].SelectionSet[0].(*ast.Field).SelectionSet
}

func TestTheWayDownFollowsWhatIsSelected(t *testing.T) {
	a, b := &store.Article{ID: "art_a"}, &store.Article{ID: "art_b"}
	tag := &store.Tag{ID: "tag_a"}
	var none *store.Article
	yes := map[string]any{"yes": true, "no": false}
	cases := map[string]struct {
		reason string
		query  string
		values []any
		want   []string // how many parents each edge has, and its arguments
	}{
		"Edge":      {"one step for all parents", `{ article(slug: "x") { related { id } } }`, []any{a, b}, []string{"2 first:3"}},
		"Twice":     {"a parent that comes twice is one", `{ article(slug: "x") { author { id } } }`, []any{a, b, a}, []string{"2"}},
		"Values":    {"what is in the object needs no step", `{ article(slug: "x") { id title } }`, []any{a}, nil},
		"Nothing":   {"nor does what isn't there", `{ article(slug: "x") { author { id } } }`, []any{nil, none}, nil},
		"Gaps":      {"nor what is missing in a list", `{ nodes(ids: []) { ... on Article { author { id } } } }`, []any{[]store.Node{nil, a, none, nil, b}}, []string{"2"}},
		"Aliases":   {"each alias is a step of its own", `{ article(slug: "x") { one: related(first: 1) { id } two: related(first: 2) { id } } }`, []any{a}, []string{"1 first:1", "1 first:2"}},
		"Merged":    {"one field in several fragments is one step", `query { article(slug: "x") { ...f author { id } } } fragment f on Article { author { name } }`, []any{a}, []string{"1"}},
		"Types":     {"each type has its own", `query { nodes(ids: []) { ... on Article { tags { id } } ... on Tag { articleCount } } }`, []any{[]store.Node{a, tag, b}}, []string{"2", "1"}},
		"Interface": {"fragments on the interface count for all", `query { nodes(ids: []) { ... on Node { ... on Article { tags { id } } } } }`, []any{[]store.Node{a, tag}}, []string{"1"}},
		"Skipped":   {"what is skipped isn't loaded", `query ($yes: Boolean!, $no: Boolean!) { article(slug: "x") { author @skip(if: $yes) { id } tags @include(if: $no) { id } authors @include(if: $yes) { id } } }`, []any{a}, []string{"1"}},
		"Numbers":   {"a count is a step, too", `{ article(slug: "x") { commentCount } }`, []any{a}, []string{"1"}},
		"Values2":   {"what is no object of ours is left alone", `{ article(slug: "x") { author { id } } }`, []any{"text", 5, []string{"x"}, &store.Image{}}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			op, selection := selected(t, c.query, yes)
			ctx := graphql.WithOperationContext(dataloader.With(t.Context(), nil), op)
			for _, fragments := range []*fragment.Cache{nil, fragment.New(1<<20, subject)} {
				w := walker{ctx: ctx, op: op, run: fragment.From(fragments.Begin(ctx)), loaders: dataloader.From(ctx)}
				var got []string
				for _, s := range w.steps(nil, c.values, selection) {
					text := fmt.Sprint(len(s.parents))
					for argument, value := range s.args {
						text += fmt.Sprintf(" %s:%v", argument, value)
					}
					got = append(got, text)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s: %v; want %v", c.reason, got, c.want)
				}
			}
		})
	}
}

// The executor recovers panics of resolvers, but not those of look-ahead. So look-ahead recovers them
// itself, most of all in the goroutines that it starts.
func TestAPanicOnTheWayDownIsLeftToTheField(t *testing.T) {
	broken := func(context.Context, *dataloader.Loaders, []any, map[string]any) ([]any, error) { panic("a bug") }
	well := func(_ context.Context, _ *dataloader.Loaders, parents []any, _ map[string]any) ([]any, error) {
		return parents, nil
	}
	all := []*step{{edge: broken}, {edge: well, parents: []any{1}}, {edge: broken}, {edge: well, parents: []any{2}}}
	together(all, func(s *step) { s.run(t.Context(), nil) })
	for i, s := range all {
		if failed := i%2 == 0; failed != (s.err != nil) || failed && !strings.Contains(s.err.Error(), "a bug") || !failed && len(s.children) != 1 {
			t.Errorf("step %d: %v, %v", i, s.children, s.err)
		}
	}
	together(nil, nil)
}

// Every edge of a response without a store panics.
func TestAWholeWayDownOfPanicsEnds(t *testing.T) {
	op, selection := selected(t, `{ article(slug: "x") {
		author { id } authors { articles { nodes { id } } } tags { id } bodyHtml commentCount next { id } previous { id } related { id }
		comments { nodes { id } edges { node { id } } } } }`, nil)
	ctx := dataloader.With(t.Context(), nil)
	walk(ctx, op, []any{&store.Article{ID: id.New(id.Article), AuthorIDs: []id.ID{id.New(id.Author)}, TagIDs: []id.ID{id.New(id.Tag)}}}, selection)
}

func TestOnlyARootFieldLooksAhead(t *testing.T) {
	failed := errors.New("failed")
	result := &store.Article{ID: id.New(id.Article), AuthorIDs: []id.ID{id.New(id.Author)}}
	cases := map[string]struct {
		reason string
		object string
		err    error
		looks  bool
	}{
		"Root":   {"all that hangs on its answer", "Query", nil, true},
		"Nested": {"what hangs on an element was loaded with the root's", "Article", nil, false},
		"Event":  {"each event is an answer of its own", "ArticlePublishedEvent", nil, true},
		"Stream": {"what a subscription returns is no event yet", "Subscription", nil, false},
		"Failed": {"nothing hangs on an error", "Query", failed, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			op, selection := selected(t, `{ article(slug: "x") { author { id } } }`, nil)
			ctx := graphql.WithOperationContext(dataloader.With(t.Context(), nil), op)
			loaders := dataloader.From(ctx)
			ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: c.object, Field: graphql.CollectedField{
				Field: &ast.Field{Alias: "x", SelectionSet: selection}, Selections: selection,
			}})
			got, err := LookAhead{}.InterceptField(ctx, func(context.Context) (any, error) { return result, c.err })
			if got != result || !errors.Is(err, c.err) {
				t.Errorf("the field's answer became %v, %v", got, err)
			}
			// Without a store look-ahead fails, and the error says that it comes from there.
			_, err = authors(loaders).All(t.Context(), result.AuthorIDs)
			if looked := strings.Contains(fmt.Sprint(err), "graph.walk"); looked != c.looks {
				t.Errorf("%s: it looked ahead: %t", c.reason, looked)
			}
		})
	}
}

func TestWindowOfLeavesNonsenseToTheResolver(t *testing.T) {
	w := windowOf(map[string]any{"first": "x", "last": nil, "after": 5, "before": "cursor"})
	if w.First != nil || w.Last != nil || w.After != nil || w.Before == nil || *w.Before != "cursor" {
		t.Errorf("%+v", w)
	}
	w = windowOf(map[string]any{"first": int64(3), "after": nil})
	if w.First == nil || *w.First != 3 || w.After != nil {
		t.Errorf("%+v", w)
	}
}
