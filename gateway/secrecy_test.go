package gateway

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"stoa/graph/generated"

	"github.com/vektah/gqlparser/v2/ast"
)

// unmistakable is a name that is no English word: of two words at least.
var unmistakable = regexp.MustCompile(`[a-z][A-Z]|[A-Z]_[A-Z]`)

// nameLike matches a possible name of the schema.
var nameLike = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// With introspection off, no wrong request is told a name of the schema: each field and input
// of the schema is requested with every kind of mistake.
func TestErrorsRevealNoSchemaNames(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Introspection = false })
	open := newSite(t, nil)
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	names := map[string]bool{}
	for name, definition := range schema.Types {
		for _, field := range append(ast.FieldList{{Name: name}}, definition.Fields...) {
			names[field.Name] = true
			for _, argument := range field.Arguments {
				names[argument.Name] = true
			}
		}
		for _, value := range definition.EnumValues {
			names[value.Name] = true
		}
	}
	given := func(body, asked string) (found []string) {
		for _, word := range nameLike.FindAllString(body, -1) {
			// One of our scalars names its format when it gets a wrong value: once its field
			// is known, that reveals no more than a right value would.
			if names[word] && word != "DateTime" && unmistakable.MatchString(word) && !strings.Contains(asked, word) {
				found = append(found, word)
			}
		}
		return found
	}
	told, leaks := 0, 0
	for _, request := range wrongRequests(schema) {
		body := s.do(t, "POST", "/graphql", request, "Content-Type: application/json").body
		if found := given(body, request); len(found) > 0 {
			t.Errorf("%.300s\ntells of %v:\n%.500s", request, found, body)
		}
		if strings.Contains(body, "isn't given out here") {
			told++
		}
		if len(given(open.do(t, "POST", "/graphql", request, "Content-Type: application/json").body, request)) > 0 {
			leaks++
		}
	}
	if told < 50 || leaks < 50 {
		t.Errorf("%d messages were replaced, and %d give names away where they may: these requests show nothing", told, leaks)
	}
}

// wrongRequests are some hundreds, wrong in each way once for each field.
func wrongRequests(schema *ast.Schema) (list []string) {
	add := func(query string, variables any) {
		body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
		if err != nil {
			panic(err)
		}
		list = append(list, string(body))
	}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation} {
		kind := strings.ToLower(root.Name)
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			add(fmt.Sprintf("%s { %s }", kind, field.Name), nil)
			add(fmt.Sprintf("%s { %s { nothing } }", kind, field.Name), nil)
			add(fmt.Sprintf("%s { %s(nothing: 1) { id } }", kind, field.Name), nil)
			add(fmt.Sprintf("%s { %s }", kind, field.Name[:len(field.Name)-1]), nil)
			for _, argument := range field.Arguments {
				for _, value := range []string{"null", "{}", "{nothing: 1}", `"x"`, "NOTHING", "1.5", "[[1]]", "$nothing"} {
					add(fmt.Sprintf("%s { %s(%s: %s) { __typename } }", kind, field.Name, argument.Name, value), nil)
				}
				for _, value := range []any{nil, map[string]any{}, map[string]any{"nothing": 1}, "x", 1.5, []any{[]any{1}}} {
					add(fmt.Sprintf("%s($v: %s) { %s(%s: $v) { __typename } }", kind, argument.Type, field.Name, argument.Name), map[string]any{"v": value})
				}
				add(fmt.Sprintf("%s($v: Boolean) { %s(%s: $v) { __typename } }", kind, field.Name, argument.Name), nil)
				for _, member := range schema.Types[argument.Type.Name()].Fields {
					add(fmt.Sprintf("%s($v: %s) { %s(%s: $v) { __typename } }", kind, argument.Type, field.Name, argument.Name), map[string]any{"v": map[string]any{member.Name: []any{map[string]any{}}}})
					add(fmt.Sprintf("%s { %s(%s: {%s: [{}]}) { __typename } }", kind, field.Name, argument.Name, member.Name), nil)
				}
			}
		}
	}
	for _, d := range schema.Types {
		if d.Kind == ast.Object && !strings.HasPrefix(d.Name, "__") {
			add(fmt.Sprintf("{ node(id: 1) { ... on %s { a: nothing a: nothingElse } } }", d.Name), nil)
			add(fmt.Sprintf("{ node(id: 1) { ... on %sx { id } } }", d.Name), nil)
			for _, field := range d.Fields {
				add(fmt.Sprintf("{ node(id: 1) { ... on %s { a: __typename a: %s } } }", d.Name, field.Name), nil)
			}
		}
	}
	return list
}
