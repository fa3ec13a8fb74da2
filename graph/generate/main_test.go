package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// The edits are in the generated code, and fail on code that they don't apply to.
func TestEditsAreMade(t *testing.T) {
	text, err := os.ReadFile("../generated/exec.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, done := range []string{"fragment.List(ctx, ec.run, sel, v, ", "ec.run.Fields(ec.OperationContext, sel, ", "ec.fieldsOfArticle)", "ec.run.Field(ctx, out, i, innerFunc)"} {
		if !bytes.Contains(text, []byte(done)) {
			t.Errorf("the generated code has no %q", done)
		}
	}
	for _, left := range []string{"graphql.MarshalSliceConcurrently", "graphql.CollectFields", "BuildUnmarshalerMap"} {
		if bytes.Contains(text, []byte(left)) {
			t.Errorf("the generated code still has %s", left)
		}
	}
	source, err := os.ReadFile("../../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: string(source)})
	if _, err := edited(text, schema); err == nil || !strings.Contains(err.Error(), "has gqlgen changed?") {
		t.Errorf("edited twice, it fails with %v", err)
	}
}
