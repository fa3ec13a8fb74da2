package main

// graph/rows.go: the rows of look-ahead and of the fragment cache, and the resolvers of edges that
// follow from the schema and the documents' fields. Entry points: rows, roots, cached.

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/codegen"
	gql "github.com/vektah/gqlparser/v2/ast"
)

const (
	rowsFile = "graph/rows.go"
	pagedBy  = "first after last before" // the arguments of a connection
)

// rows writes rowsFile. It is a plugin of gqlgen, because gqlgen gives plugins the Go type of each
// field.
type rows struct {
	*codegen.Data
	byHand map[string]bool // "article.Related": resolvers that graph has already; "Article": types with edges

	types, edges, resolvers bytes.Buffer
}

// Name names it to gqlgen.
func (*rows) Name() string { return "rows" }

// GenerateCode writes the file.
func (r *rows) GenerateCode(data *codegen.Data) error {
	r.Data = data
	var err error
	if r.byHand, err = written(filepath.Dir(rowsFile)); err != nil {
		return err
	}
	text, err := format.Source(r.text())
	if err != nil {
		return fmt.Errorf("format %s: %w", rowsFile, err)
	}
	return os.WriteFile(rowsFile, text, 0o644)
}

// written returns the methods in the Go files of a folder, and the types that the variable edges
// names, without rowsFile and tests.
func written(folder string) (map[string]bool, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	out := map[string]bool{}
	for _, name := range names {
		if name == rowsFile || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
				if of, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
					out[of.Name+"."+f.Name.Name] = true
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].Name == "edges" && len(v.Values) == 1 {
				for _, e := range v.Values[0].(*ast.CompositeLit).Elts {
					of, _, _ := strings.Cut(strings.Trim(e.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value, `"`), ".")
					out[of] = true
				}
			}
			return true
		})
	}
	return out, err
}

// goType returns the Go type of a type of the schema, with the name of its package: "store.Article".
// For a type that gqlgen makes it returns "".
func (r *rows) goType(name string) string {
	if m := r.Config.Models[name].Model; len(m) == 1 && strings.HasPrefix(m[0], "stoa/") && !strings.HasPrefix(m[0], "stoa/graph/") {
		return path.Base(m[0])
	}
	return ""
}

// variable returns the name of a package's variable of the type *generic[…, of]; "" if there is
// none. It is used for *store.Kind[of].
func (r *rows) variable(pkg, generic, of string) string {
	p := r.Config.Packages.Load("stoa/" + pkg)
	if p == nil || p.Types == nil {
		return ""
	}
	for _, name := range p.Types.Scope().Names() {
		pointer, ok := p.Types.Scope().Lookup(name).Type().(*types.Pointer)
		if !ok {
			continue
		}
		named, ok := pointer.Elem().(*types.Named)
		if !ok || named.Obj().Name() != generic || named.TypeArgs().Len() == 0 {
			continue
		}
		last, ok := named.TypeArgs().At(named.TypeArgs().Len() - 1).(*types.Named)
		if ok && path.Base(last.Obj().Pkg().Path())+"."+last.Obj().Name() == of && !strings.HasSuffix(name, "ByID") {
			return name
		}
	}
	return ""
}

// kind returns the name of the variable of package store that declares the documents of a type; ""
// if there is none.
func (r *rows) kind(name string) string { return r.variable("store", "Kind", r.goType(name)) }

// source says whether dataloader declares a source of a name.
func (r *rows) source(name string) bool {
	p := r.Config.Packages.Load("stoa/dataloader")
	return p != nil && p.Types != nil && p.Types.Scope().Lookup(name) != nil
}

func (r *rows) text() []byte {
	isRoot, pages := roots(r.Schema), cached(r.Schema)
	var out, typeOf, subject, find, resolver bytes.Buffer
	var fragments, pageTypes []string
	for _, o := range r.Objects {
		def := r.Schema.Types[o.Name]
		if def.BuiltIn || strings.HasPrefix(o.Name, "__") || o.Root {
			continue
		}
		if o.HasResolvers() {
			fmt.Fprintf(&resolver, "\n// %s resolves the fields of the type of that name.\nfunc (r Resolver) %s() generated.%sResolver { return %s{r} }\n\ntype %s struct{ Resolver }\n", o.Name, o.Name, o.Name, lower(o.Name), lower(o.Name))
		}
		goType := r.goType(o.Name)
		if goType == "" || isRoot[o.Name] && o.Name != "Viewer" {
			continue
		}
		r.edges.Reset()
		nodes, node := def.Fields.ForName("nodes"), def.Fields.ForName("node")
		made := "newType"
		switch {
		case nodes != nil && def.Fields.ForName("pageInfo") != nil && r.goType(nodes.Type.Name()) != "" && r.Schema.Types[nodes.Type.Name()].Kind == gql.Object:
			made = "connectionType[" + r.goType(nodes.Type.Name()) + "]"
		case node != nil && def.Fields.ForName("cursor") != nil && r.Schema.Types[node.Type.Name()].Kind == gql.Object:
			made = "edgeType[" + r.goType(node.Type.Name()) + "]"
		default:
			for _, f := range o.Fields {
				if f.IsResolver && !r.byHand[lower(o.Name)+"."+f.GoFieldName] {
					r.edge(o, f, goType)
				}
			}
		}
		if made == "newType" && r.edges.Len() == 0 && !r.byHand[o.Name] && !pages[o.Name] {
			continue // look-ahead and the fragment cache don't need it
		}
		satisfies := fmt.Sprintf("%q", o.Name)
		for _, i := range o.Implements {
			satisfies += fmt.Sprintf(", %q", i.Name)
		}
		fmt.Fprintf(&r.types, "%sType = %s([]string{%s}, map[string]edge{%s})\n", lower(o.Name), made, satisfies, r.edges.String())
		fmt.Fprintf(&typeOf, "case *%s: return %sType\n", goType, lower(o.Name))
		if !pages[o.Name] {
			continue
		}
		if made != "newType" {
			pageTypes = append(pageTypes, lower(o.Name)+"Type")
			fmt.Fprintf(&subject, "case *%s: return pageOf(v, %sType)\n", goType, lower(o.Name))
			continue
		}
		fragments = append(fragments, lower(o.Name)+"Type")
		fmt.Fprintf(&subject, "case *%s: return fragment.Subject{Of: v, Name: string(v.ID), Types: %sType.satisfies}\n", goType, lower(o.Name))
		kind := r.kind(o.Name)
		by := lower(kind) + "(l)"
		if r.source(kind + "ByID") {
			by = "dataloader." + kind + "ByID.In(l)"
		}
		fmt.Fprintf(&find, "store.Gather(ctx, found, ids, store.%s.ID, %s.All),\n", kind, by)
	}
	fmt.Fprintf(&out, `// Code generated by graph/generate. DO NOT EDIT.

package graph

import (
	"context"
	"errors"

	"stoa/access"
	"stoa/dataloader"
	"stoa/graph/fragment"
	"stoa/graph/generated"
	"stoa/id"
	"stoa/store"
)

// isRoot says whether look-ahead begins at the fields of a type: of Query, of the viewer, of payloads
// and of events.
func isRoot(object string) bool {
	switch object {
	case %s:
		return true
	}
	return false
}

var (
%s)

// fragmentTypes are the types of published entities, pageTypes those of pages of their lists.
var (
	fragmentTypes = []*objectType{%s}
	pageTypes     = []*objectType{%s}
)

// typeOf returns the type of a value; nil for one without edges.
func typeOf(v any) *objectType {
	switch v.(type) {
%s	}
	return nil
}

// subject returns the subject of an object's fragments. Published entities, and pages of lists of
// them, have one.
func subject(v any) fragment.Subject {
	switch v := v.(type) {
%s	}
	return fragment.Subject{}
}

// find adds to found the public entities with ids, in one batch for each kind. It uses the loaders of
// the response, so that the response agrees with itself.
func find(ctx context.Context, l *dataloader.Loaders, ids []id.ID, found map[id.ID]store.Node) error {
	return errors.Join(
%s	)
}
`, quoted(isRoot), r.types.String(), strings.Join(fragments, ", "), strings.Join(pageTypes, ", "), typeOf.String(), subject.String(), find.String())
	for _, o := range r.Objects {
		if kind := r.kind(o.Name); kind != "" {
			of := "dataloader.Of(l, store." + kind + ")"
			if r.source(kind) {
				of = "dataloader." + kind + ".In(l)"
			}
			fmt.Fprintf(&out, "\nfunc %s(l *dataloader.Loaders) *dataloader.Loader[id.ID, %s] { return %s }\n", lower(kind), r.goType(o.Name), of)
		}
	}
	out.Write(resolver.Bytes())
	out.Write(r.resolvers.Bytes())
	return out.Bytes()
}

// edge writes the row and the resolver of a field, if they follow from the schema and the document:
// a field with an entity or entities by their ids, a list under the document, or the length of such
// a list. It writes nothing for other fields: graph doesn't build until they are written by hand.
func (r *rows) edge(o *codegen.Object, f *codegen.Field, goType string) {
	head := func(result string) string {
		return fmt.Sprintf("\nfunc (%s) %s(ctx context.Context, x *%s) (%s, error) {\n\treturn ", lower(o.Name), f.GoFieldName, goType, result)
	}
	row := func(how, loader, result, of string) {
		fmt.Fprintf(&r.edges, "\n%q: %s(%sfunc(x *%s) %s { return %s }),", f.Name, how, loader, goType, result, of)
	}
	if list, key := r.under(o, strings.TrimSuffix(f.Name, "Count")+"s"); strings.HasSuffix(f.Name, "Count") && list != nil && f.Type.Name() == "Int" {
		row("toCount", "", "store.ChildrenKey", key)
		fmt.Fprintf(&r.resolvers, "%sloaders(ctx).CountUnder(ctx, %s)\n}\n", head("int"), key)
		return
	}
	if list, key := r.under(o, f.Name); list != nil {
		loader := lower(r.kind(list.Name))
		row("toList", loader+", ", "store.ChildrenKey", key)
		fmt.Fprintf(&r.resolvers, "\nfunc (%s) %s(ctx context.Context, x *%s, first *int, after *string, last *int, before *string) (*%s, error) {\n\treturn dataloader.Under(loaders(ctx), %s, %s(loaders(ctx)), window(first, after, last, before))\n}\n",
			lower(o.Name), f.GoFieldName, goType, r.goType(f.Type.Name()), key, loader)
		return
	}
	kind := r.kind(f.Type.Name())
	if kind == "" || len(f.Args) > 0 {
		return
	}
	of := r.goType(f.Type.Name())
	if f.Type.Elem != nil {
		if ids := field(o, f.Type.Name()+"IDs"); ids != "" {
			row("toMany", lower(kind)+", ", "[]id.ID", "x."+ids)
			fmt.Fprintf(&r.resolvers, "%s%s(loaders(ctx)).Present(ctx, x.%s)\n}\n", head("[]*"+of), lower(kind), ids)
		}
		return
	}
	key := ""
	for _, name := range []string{f.GoFieldName + "ID", f.GoFieldName, f.GoFieldName + "IDs"} {
		if is := field(o, name); is != "" && key == "" {
			if key = "x." + is; strings.HasSuffix(name, "IDs") {
				key = "first(x." + is + ")"
			}
		}
	}
	if key != "" {
		row("toOne", lower(kind)+", ", "id.ID", key)
		fmt.Fprintf(&r.resolvers, "%sorNull(%s(loaders(ctx)).One(ctx, %s))\n}\n", head("*"+of), lower(kind), key)
	}
}

// under returns the type of the elements of the list under o in the field name, and an expression
// for the list's key. It returns nil if the field isn't such a list, or is written by hand.
func (r *rows) under(o *codegen.Object, name string) (of *gql.Definition, key string) {
	at := slices.IndexFunc(o.Fields, func(f *codegen.Field) bool { return f.Name == name })
	if at < 0 || r.kind(o.Name) == "" {
		return nil, ""
	}
	f := o.Fields[at]
	var args []string
	for _, a := range f.Args {
		args = append(args, a.Name)
	}
	nodes := r.Schema.Types[f.Type.Name()].Fields.ForName("nodes")
	if nodes == nil || strings.Join(args, " ") != pagedBy || r.kind(nodes.Type.Name()) == "" || r.byHand[lower(o.Name)+"."+f.GoFieldName] {
		return nil, ""
	}
	return r.Schema.Types[nodes.Type.Name()], fmt.Sprintf("store.%s.Under(%q, x.ID)", r.kind(nodes.Type.Name()), name)
}

// field returns name if o's struct has a field of that name for an id or ids, and "" otherwise.
func field(o *codegen.Object, name string) string {
	s, ok := o.Type.Underlying().(*types.Struct)
	if !ok {
		return ""
	}
	for i := range s.NumFields() {
		if f := s.Field(i); f.Name() == name && strings.HasSuffix(f.Type().String(), "stoa/id.ID") {
			return name
		}
	}
	return ""
}

// roots returns the names of the types for isRoot: look-ahead begins at their fields.
func roots(s *gql.Schema) map[string]bool {
	out := map[string]bool{"Query": true, "Mutation": true, "Viewer": true}
	for _, d := range []*gql.Definition{s.Mutation, s.Subscription} {
		for _, f := range d.Fields {
			out[f.Type.Name()] = true
		}
	}
	return out
}

// cached returns the names of the types with fragments in the cache: public Nodes, and the
// connections of them in fields of Query.
func cached(s *gql.Schema) map[string]bool {
	out := map[string]bool{}
	for _, d := range s.PossibleTypes["Node"] {
		if of := d.Directives.ForName("cacheControl"); of != nil && of.Arguments.ForName("scope").Value.Raw == "PUBLIC" {
			out[d.Name] = true
		}
	}
	for _, f := range s.Query.Fields {
		if nodes := s.Types[f.Type.Name()].Fields.ForName("nodes"); nodes != nil && out[nodes.Type.Name()] {
			out[f.Type.Name()] = true
		}
	}
	return out
}

// sequential returns the names of the types with edges that look-ahead loads.
func sequential(s *gql.Schema) map[string]bool {
	out, isRoot := map[string]bool{}, roots(s)
	for name, d := range s.Types {
		if d.Kind == gql.Object && !d.BuiltIn && !strings.HasPrefix(name, "__") && !isRoot[name] && d != s.Subscription {
			out[name] = true
		}
	}
	return out
}

func quoted(names map[string]bool) string {
	var out []string
	for name := range names {
		out = append(out, fmt.Sprintf("%q", name))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// anyOf returns a regular expression that matches each of names.
func anyOf(names map[string]bool) string {
	var out []string
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out, "|")
}
