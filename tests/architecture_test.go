// Package tests checks the architecture of the source: imports, and the places of certain
// words. The folders beside it test the running program, through the same interfaces as its
// users.
package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stoa/tests/stoatest"
)

// mayImport lists the packages of Stoa that each package may import, tests excepted. It is the
// source of truth: docs/architecture.md describes the same in prose.
var mayImport = map[string][]string{
	"":                      {"app"},
	"app":                   {"account", "account/password", "backup", "blog", "feed", "gateway", "gateway/client", "gateway/document", "gateway/playground", "gateway/responsecache", "graph", "graph/generated", "importer", "importer/catalogue", "importer/demo", "mail", "media", "media/blob", "problem", "rate", "money", "search", "shop", "store", "store/bus", "store/embedded"},
	"backup":                {"media/blob", "problem", "store/embedded"},
	"background":            {},
	"gateway":               {"access", "feed/content", "gateway/admission", "gateway/backlog", "gateway/client", "gateway/document", "gateway/envelope", "gateway/operation", "gateway/refusal", "gateway/responsecache", "gateway/stream", "gateway/upload", "gateway/wire", "problem", "rate", "store/bus", "store/cache"},
	"gateway/admission":     {"access", "gateway/refusal", "rate", "store/cache"},
	"gateway/backlog":       {},
	"gateway/client":        {"access", "clip", "gateway/refusal", "gateway/wire", "loopback"},
	"gateway/document":      {"gateway/envelope", "gateway/refusal", "lru", "rate", "store/bus"},
	"gateway/envelope":      {"gateway/refusal"},
	"gateway/operation":     {"access", "gateway/admission", "gateway/document", "gateway/envelope", "gateway/refusal", "meter", "rate"},
	"gateway/playground":    {},
	"gateway/refusal":       {"clip", "problem"},
	"gateway/responsecache": {"gateway/client", "gateway/document", "gateway/envelope", "gateway/operation", "gateway/wire", "store/cache"},
	"gateway/stream":        {"access", "clip", "gateway/client", "gateway/envelope", "gateway/operation", "gateway/refusal", "gateway/wire"},
	"gateway/upload":        {"access", "gateway/envelope", "gateway/operation", "gateway/refusal", "id", "problem"},
	"gateway/wire":          {"gateway/envelope", "gateway/refusal"},
	"graph":                 {"access", "account", "blog", "dataloader", "edit", "graph/generated", "graph/fragment", "id", "media", "problem", "search", "shop", "store", "store/cache"},
	"graph/generated":       {"access", "account", "blog", "dataloader", "edit", "graph/fragment", "graph/scalar", "id", "money", "problem", "shop", "store"},
	"graph/generate":        {},
	"graph/fragment":        {"access", "dataloader", "meter"},
	"graph/scalar":          {"id", "money", "problem"},
	"dataloader":            {"access", "id", "problem", "search", "store", "store/cache"},
	"blog":                  {"access", "background", "blog/markdown", "edit", "id", "meter", "problem", "rate", "search", "store"},
	"blog/markdown":         {"meter"},
	"edit":                  {"access", "id", "problem", "store"},
	"feed":                  {"blog", "feed/content", "id", "lru", "problem", "store"},
	"feed/content":          {},
	"store":                 {"access", "id", "meter", "money", "problem", "store/bus", "store/cache"},
	"store/cache":           {"problem", "store/bus"},
	"store/bus":             {},
	"store/embedded":        {"problem"},
	"importer":              {"blog", "blog/markdown", "edit", "id", "problem", "store"},
	"importer/catalogue":    {"edit", "money", "shop", "store"},
	"importer/demo":         {},
	"access":                {"id", "problem"},
	"account":               {"access", "account/email", "account/password", "background", "edit", "id", "mail", "problem", "rate", "store"},
	"account/email":         {"problem"},
	"account/password":      {"meter", "problem"},
	"clip":                  {},
	"id":                    {},
	"lru":                   {},
	"loopback":              {},
	"mail":                  {"loopback"},
	"meter":                 {},
	"media":                 {"access", "id", "media/blob", "media/picture", "problem", "rate", "store"},
	"media/blob":            {},
	"media/picture":         {"problem"},
	"money":                 {},
	"problem":               {},
	"rate":                  {"store/bus"},
	"search":                {"clip", "id", "problem", "store"},
	"shop":                  {"access", "blog/markdown", "edit", "id", "money", "problem", "store"},
}

// homes lists the packages of Stoa that may import packages with effects outside the process.
var homes = []struct {
	imported string // an import path, or a prefix that ends with a slash
	by       []string
}{
	{"go.mongodb.org/", []string{"store", "store/embedded"}},
	{"github.com/redis/", []string{"gateway/document", "rate", "store/bus", "store/cache"}},
	{"github.com/dgraph-io/", []string{"store/cache"}},
	{"modernc.org/", []string{"store/embedded"}},
	{"github.com/99designs/gqlgen/", []string{"app", "gateway", "gateway/document", "gateway/envelope", "gateway/operation", "gateway/refusal", "gateway/responsecache", "gateway/stream", "gateway/upload", "gateway/wire", "graph", "graph/generate", "graph/generated", "graph/fragment", "graph/scalar"}},
	{"net/http", []string{"app", "gateway", "gateway/client", "gateway/playground", "gateway/responsecache", "gateway/stream", "gateway/upload", "gateway/wire", "mail"}},
	{"github.com/blevesearch/", []string{"search"}},
	{"github.com/wneessen/", []string{"mail"}},
	{"github.com/minio/", []string{"media/blob"}},
	{"golang.org/x/image/", []string{"media/picture"}},
	{"github.com/coder/websocket", []string{"gateway/stream"}},
	{"github.com/rs/cors", []string{"gateway/client"}},
	{"math/rand", nil},
}

type goPackage struct {
	ImportPath string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
}

// packages lists Stoa's packages as go list sees them, those of tests/ excepted.
func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports", "stoa/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]goPackage{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "stoa"), "/")
		if name != "tests" && !strings.HasPrefix(name, "tests/") {
			all[name] = p
		}
	}
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	all := packages(t)
	for _, name := range slices.Sorted(maps.Keys(mayImport)) {
		if _, ok := all[name]; !ok {
			t.Errorf("the table names %q, which isn't there", name)
		}
	}
	for name, p := range all {
		allowed, ok := mayImport[name]
		if !ok {
			t.Errorf("package %s has no row in the table", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if rest, ours := strings.CutPrefix(imported, "stoa/"); ours && !slices.Contains(allowed, rest) {
				t.Errorf("%s may not import %s", p.ImportPath, imported)
			}
			for _, home := range homes {
				matches := imported == home.imported || strings.HasSuffix(home.imported, "/") && strings.HasPrefix(imported, home.imported)
				if matches && !slices.Contains(home.by, name) {
					t.Errorf("%s may not import %s: only %v may", p.ImportPath, imported, home.by)
				}
			}
		}
	}
}

// The meaning and the cost of a document can't depend on the request or the viewer. The table
// proves it for the package itself, this test for all of our packages that it imports.
func TestDocumentsSeeNeitherRequestNorViewer(t *testing.T) {
	all := packages(t)
	var walk func(name string, seen map[string]bool)
	walk = func(name string, seen map[string]bool) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, imported := range all[name].Imports {
			if imported == "net/http" || imported == "stoa/access" {
				t.Errorf("gateway/document reaches %s by %s", imported, name)
			}
			if rest, ours := strings.CutPrefix(imported, "stoa/"); ours {
				walk(rest, seen)
			}
		}
	}
	seen := map[string]bool{}
	walk("gateway/document", seen)
	if len(seen) < 4 {
		t.Errorf("it leads to %d packages: has it moved?", len(seen))
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	for name, p := range packages(t) {
		if name == "graph/generated" {
			continue
		}
		if len(p.Doc) < 20 {
			t.Errorf("%s needs a package comment that says what it is for; it has %q", p.ImportPath, p.Doc)
		}
		text := ""
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Doc != nil {
				text += parsed.Doc.Text()
			}
		}
		if name != "" && !strings.Contains(strings.ReplaceAll(text, "\n", " "), "import") {
			t.Errorf("the package comment of %s doesn't say what it may import", p.ImportPath)
		}
	}
}

// Resolvers decide nothing: no branch, no loop, no function of their own, at most two
// statements. A resolver is a method of a type that embeds graph's Resolver.
func TestResolversAreOneCall(t *testing.T) {
	p := packages(t)["graph"]
	var files []*ast.File
	embeds := map[string]bool{}
	for _, name := range p.GoFiles {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, parsed)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok && len(s.Fields.List) == 1 && len(s.Fields.List[0].Names) == 0 {
					if of, ok := s.Fields.List[0].Type.(*ast.Ident); ok && of.Name == "Resolver" {
						embeds[spec.Name.Name] = true
					}
				}
			}
			return true
		})
	}
	resolvers := 0
	for _, file := range files {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			receiver, ok := f.Recv.List[0].Type.(*ast.Ident)
			if !ok || !embeds[receiver.Name] {
				continue
			}
			resolvers++
			if len(f.Body.List) > 2 {
				t.Errorf("%s.%s has %d statements", receiver, f.Name, len(f.Body.List))
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				switch n.(type) {
				case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.FuncLit, *ast.GoStmt:
					t.Errorf("%s.%s decides: it has a %T", receiver, f.Name, n)
				}
				return true
			})
		}
	}
	if resolvers < 25 {
		t.Errorf("found %d resolvers: have they moved?", resolvers)
	}
}

func TestEverySchemaElementIsDescribed(t *testing.T) {
	for _, d := range stoatest.Schema(t).Types {
		if d.BuiltIn {
			continue
		}
		if d.Description == "" {
			t.Errorf("%s has no description", d.Name)
		}
		for _, f := range d.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			if f.Description == "" {
				t.Errorf("%s.%s has no description", d.Name, f.Name)
			}
			for _, a := range f.Arguments {
				if a.Description == "" {
					t.Errorf("%s.%s(%s:) has no description", d.Name, f.Name, a.Name)
				}
			}
		}
		for _, v := range d.EnumValues {
			if v.Description == "" {
				t.Errorf("%s.%s has no description", d.Name, v.Name)
			}
		}
	}
}
