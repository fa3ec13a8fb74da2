// Command generate writes graph/generated: gqlgen's output for schema.graphqls and gqlgen.yml, with
// a few edits that gqlgen has no setting for. Each edit has a purpose in words, and fails when
// gqlgen's code has changed so that it no longer applies. The command also writes graph/rows.go: see
// rows.
//
// go generate ./... runs it. Like gqlgen, it looks for gqlgen.yml in the working directory and above.
// It may import gqlgen's generator, and nothing of ours.
package main

import (
	"fmt"
	"go/format"
	"os"
	"regexp"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen/config"
	gql "github.com/vektah/gqlparser/v2/ast"
)

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate() error {
	c, err := config.LoadConfigFromDefaultLocations()
	if err != nil {
		return err
	}
	if err := api.Generate(c, api.AddPlugin(&rows{})); err != nil {
		return err
	}
	text, err := os.ReadFile(c.Exec.Filename)
	if err != nil {
		return err
	}
	if text, err = edited(text, c.Schema); err != nil {
		return err
	}
	return os.WriteFile(c.Exec.Filename, text, 0o644)
}

// edit is a change of generated code.
type edit struct {
	what  string // for messages
	of    *regexp.Regexp
	to    string
	least int // how often it must apply
}

// edits returns the edits of the generated code for a schema, in order.
func edits(s *gql.Schema) []edit {
	return []edit{
		{"import package fragment",
			regexp.MustCompile(`(?m)^(\t"stoa/graph/scalar")$`), "\t\"stoa/graph/fragment\"\n$1", 1},

		// A run gives access to the caches of package fragment. It is nil in tests of gqlgen's own code.
		{"give an execution its run",
			regexp.MustCompile(`(?m)^type executionContext struct \{$`), "$0\n\trun *fragment.Run\n", 1},
		{"find an execution's run",
			regexp.MustCompile(`(?m)^(\tec := newExecutionContext\(opCtx, e, make\(chan graphql\.DeferredResult\)\))$`), "$1\n\tec.run = fragment.From(ctx)", 1},

		// Collecting is the same for each object of a list, and for each request with a document.
		{"collect fields once",
			regexp.MustCompile(`graphql\.CollectFields\(ec\.OperationContext, sel, `), "ec.run.Fields(ec.OperationContext, sel, ", 50},

		// The answer of a root field is the same until one of its dependencies changes.
		{"look for the fragments of root fields",
			regexp.MustCompile(`(?m)^\tfields := ec\.run\.Fields\(ec\.OperationContext, sel, queryImplementors\)$`), "\tec.run.Query(ctx, sel)\n$0", 1},
		{"answer root fields by fragments",
			regexp.MustCompile(`out\.Concurrently\(i, func\(ctx context\.Context\) graphql\.Marshaler \{ return rrm\(innerCtx\) \}\)`), "ec.run.Root(innerCtx, out, i, rrm)", 8},

		// Look-ahead has loaded the edges of all elements, so there is nothing to wait for.
		{"execute lists in sequence",
			regexp.MustCompile(`graphql\.MarshalSliceConcurrently\(ctx, len\(v\), 0, false, `), "fragment.List(ctx, ec.run, sel, v, ", 20},
		{"execute edges in sequence",
			regexp.MustCompile(`(?s)(\nfunc \(ec \*executionContext\) _(?:` + anyOf(sequential(s)) + `)\(ctx .*?\n\}\n)`), "", 15},

		// The JSON of a published entity, and of a page, is the same until the entity changes.
		{"remember the JSON of entities",
			regexp.MustCompile(`(?m)^func \(ec \*executionContext\) _(` + anyOf(cached(s)) + `)\(ctx context\.Context, sel ast\.SelectionSet, obj (\S+)\) graphql\.Marshaler \{$`), "", 7},

		// Nobody here unmarshals by it, and it is made anew for each request.
		{"leave out the map of unmarshalers",
			regexp.MustCompile(`(?s)\tinputUnmarshalMap := graphql\.BuildUnmarshalerMap\(.*?\n\t\)\n`), "", 1},
		{"leave out its use",
			regexp.MustCompile(`(?m)^\s*ctx = graphql\.WithUnmarshalerMap\(ctx, inputUnmarshalMap\)\n`), "", 1},
		{"begin with a buffer of the size that the last answer had",
			regexp.MustCompile(`(?m)^(\t+)var buf bytes\.Buffer\n\t+data\.MarshalGQL\(&buf\)$`), "${1}buf := ec.run.Buffer()\n${1}data.MarshalGQL(buf)\n${1}ec.run.Wrote(buf)", 1},
	}
}

// concurrent matches gqlgen's code for executing a field with a resolver.
var concurrent = regexp.MustCompile(`out\.Concurrently\(i, func\(ctx context\.Context\) graphql\.Marshaler \{ return innerFunc\(ctx, out\) \}\)`)

func edited(text []byte, s *gql.Schema) ([]byte, error) {
	for _, e := range edits(s) {
		n := len(e.of.FindAll(text, -1))
		if n < e.least {
			return nil, fmt.Errorf("%s: found %d places where there should be %d at least: has gqlgen changed?", e.what, n, e.least)
		}
		switch e.what {
		case "execute edges in sequence":
			text = e.of.ReplaceAllFunc(text, func(function []byte) []byte {
				return concurrent.ReplaceAll(function, []byte(`ec.run.Field(ctx, out, i, innerFunc)`))
			})
		case "remember the JSON of entities":
			text = e.of.ReplaceAllFunc(text, func(line []byte) []byte {
				m := e.of.FindSubmatch(line)
				name, obj := string(m[1]), string(m[2])
				head := fmt.Sprintf("func (ec *executionContext) _%s(ctx context.Context, sel ast.SelectionSet, obj %s) graphql.Marshaler {\n", name, obj)
				return fmt.Appendf(nil, "%s\treturn fragment.Of(ctx, ec.run, sel, %sImplementors, obj, ec.fieldsOf%s)\n}\n\nfunc (ec *executionContext) fieldsOf%s(ctx context.Context, sel ast.SelectionSet, obj %s) graphql.Marshaler {",
					head, lower(name), name, name, obj)
			})
		default:
			text = e.of.ReplaceAll(text, []byte(e.to))
		}
	}
	return format.Source(text)
}

func lower(name string) string { return string(name[0]|0x20) + name[1:] }
