package playground

import (
	"encoding/json"
	"io/fs"
	"os"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

func examplesOf(t *testing.T) []Tab {
	t.Helper()
	tabs, err := Examples()
	if err != nil {
		t.Fatal(err)
	}
	if len(tabs) < 3 {
		t.Fatalf("only %d examples", len(tabs))
	}
	return tabs
}

func TestExamplesAreCompleteAndDistinct(t *testing.T) {
	tabs := examplesOf(t)
	titles := make(map[string]bool)
	withVariables := 0
	for i, tab := range tabs {
		s, err := newTabSettings(tab)
		if err != nil {
			t.Fatalf("example %d: %v", i+1, err)
		}
		if titles[s.Title] {
			t.Errorf("two examples are called %s", s.Title)
		}
		titles[s.Title] = true
		if s.About == "" {
			t.Errorf("%s begins with no comment that says what it shows", s.Title)
		}
		if s.Variables != "" {
			withVariables++
		}
	}
	files, err := fs.ReadDir(examples, "examples")
	if err != nil {
		t.Fatal(err)
	}
	if want := len(tabs) + withVariables; len(files) != want {
		t.Errorf("%d files in examples/, %d are shown: variables without a query?", len(files), want)
	}
}

func TestExamplesFitTheSchema(t *testing.T) {
	source, err := os.ReadFile("../../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(source)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range examplesOf(t) {
		s, err := newTabSettings(tab)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(s.Title, func(t *testing.T) {
			document, err := gqlparser.LoadQueryWithRules(schema, tab.Query, rules.NewDefaultRules())
			if err != nil {
				t.Fatal(err)
			}
			variables := make(map[string]any)
			if tab.Variables != "" {
				if err := json.Unmarshal([]byte(tab.Variables), &variables); err != nil {
					t.Fatal(err)
				}
			}
			operation := document.Operations[0]
			for name := range variables {
				if operation.VariableDefinitions.ForName(name) == nil {
					t.Errorf("it takes no variable %s", name)
				}
			}
			if _, err := validator.VariableValues(schema, operation, variables); err != nil {
				t.Error(err)
			}
		})
	}
}
