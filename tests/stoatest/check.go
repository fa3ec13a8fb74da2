package stoatest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	gql "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// EachObject calls yield with each object in a decoded response.
func EachObject(v any, yield func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		yield(v)
		for _, member := range v {
			EachObject(member, yield)
		}
	case []any:
		for _, element := range v {
			EachObject(element, yield)
		}
	}
}

// Check ends the test if err isn't nil.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Day parses a time in RFC 3339, and panics if it can't.
func Day(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err) // the text is a constant of a test
	}
	return at.UTC()
}

// Root returns the folder of the repository.
func Root(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if filepath.Dir(folder) == folder {
			break
		}
		folder = filepath.Dir(folder)
	}
	t.Fatalf("no go.mod is above the test: %v", err)
	return ""
}

// Schema parses schema.graphqls.
func Schema(t *testing.T) *gql.Schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), "schema.graphqls"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := gqlparser.LoadSchema(&gql.Source{Name: "schema.graphqls", Input: string(text)})
	var broken *gqlerror.Error
	if errors.As(err, &broken) {
		t.Fatal(err)
	}
	return s
}

// IsConnection says if a type is a connection: a list read in pages.
func IsConnection(schema *gql.Schema, t *gql.Type) bool {
	d := schema.Types[t.Name()]
	return t.Elem == nil && d.Fields.ForName("edges") != nil && d.Fields.ForName("pageInfo") != nil
}

// RealData returns a folder of real posts, or skips the test if there is none.
func RealData(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("STOA_TEST_DATA")
	if root == "" {
		root = filepath.Join(Root(t), "../shared/data")
	}
	folder, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("there is no %s: STOA_TEST_DATA names the folder with the real blogs", folder)
	}
	return folder
}
