package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"stoa/tests/stoatest"
)

// Private by construction: a response can't depend on the viewer without being marked private,
// so the response cache is safe without care in every resolver. Only access knows the viewer,
// and marks the response. These tests show that there is no other way to the viewer; the one
// in guard shows it for every query.

// mayLook lists the files, or whole packages, that may call access for the viewer of a
// response. It is the source of truth: other files must go through these.
var mayLook = map[string][]string{
	"gateway/operation/pipeline.go": {"Begin"},
	"graph/fragment/fragment.go":    {"Watching"},                  // may the new fragment be shown to others
	"graph/refused.go":              {"Require"},                   // the directive @auth
	"store/accounts.go":             {"ViewerFrom", "MarkPrivate"}, // visibility of accounts
	"store/sessions.go":             {"ViewerFrom", "MarkPrivate"},
	"store/mails.go":                {"MarkPrivate"},
	"store/bulkhead.go":             {"ClientKey"}, // whose share of the slots a command takes
	"store/products.go":             {"MarkPrivate"},
	"shop/variant.go":               {"Require"},
	"store/children.go":             {"MarkPrivate"},               // the list of an account's sessions
	"gateway/upload/upload.go":      {"ViewerFrom", "Require"},     // before the files of a mutation are read
	"dataloader/loaders.go":         {"ViewerFrom"},                // visibility of earlier versions of an article
	"store/kind.go":                 {"ViewerFrom", "MarkPrivate"}, // visibility of a kind, such as of an unused upload
	"store/writing.go":              {"ViewerFrom", "MarkPrivate"},
	"blog/write.go":                 {"ViewerFrom", "Require"},
	"edit/create.go":                {"Require"},
	"edit/change.go":                {"Require"},
	"edit/merge.go":                 {"Require"},
	"blog/preview.go":               {"Require", "MarkPrivate"},
	"blog/purge.go":                 {"Require"},
	"media/media.go":                {"Require"},
	"account":                       {"ViewerFrom", "Require", "ClientFrom", "ByCookie", "CookiesFrom", "DeviceToken", "Become", "Keep"},
	"store/comments.go":             {"ViewerFrom", "Require", "MarkPrivate"}, // visibility of hidden comments
	"blog/comment.go":               {"Require", "ClientFrom"},                // writing, changing and moderating
}

// tellsNothing lists the functions of access that don't mark a response, with the reasons.
var tellsNothing = map[string]string{
	"Begin":        "it makes the answer, of which nothing is known yet",
	"CookiesFrom":  "it tells how a request came, not from whom, and only a mutation comes so",
	"Watching":     "it tells whether work was marked private, not what it was told",
	"RateSubjects": "it tells who began the answer whose rates it uses, and the answer is the same whatever these are",
	"ClientKey":    "it tells whose share of the work at once is used, and the answer is the same whatever that is",
}

// knows lists other names that could reveal the viewer, and the packages that may use them.
var knows = map[string][]string{
	"Headers":       {"gateway/playground"}, // of gqlgen's operation: the gateway leaves them out; the page's are GraphiQL's
	"Authenticate":  {"access", "app", "gateway", "gateway/client"},
	"RateSubjects":  {"gateway/admission"},                // takes units from them, and reveals nothing
	"ClientKey":     {"store"},                            // counts slots by it, and reveals nothing
	"Holds":         {"app", "gateway", "gateway/stream"}, // for open connections
	"Identify":      {"account"},
	"SecretOf":      {"account"},
	"SecretByEmail": {"account"},
	"SessionsUnder": {"account"},
	"CommentNow":    {"blog"},
	"ctx.Value":     {"access", "dataloader", "gateway/operation", "graph", "graph/fragment", "meter", "store", "store/cache"}, // under keys of their own
}

// parsed is one file of a package of ours.
type parsed struct {
	pkg, file string // file is relative to the repository
	*ast.File
}

func parseAll(t *testing.T) []parsed {
	t.Helper()
	var all []parsed
	for name, p := range packages(t) {
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			stoatest.Check(t, err)
			all = append(all, parsed{name, path.Join(name, file), f})
		}
	}
	return all
}

// imports returns the name under which a file imports a package; "" if it doesn't.
func (p parsed) imports(t *testing.T, what string) string {
	t.Helper()
	for _, spec := range p.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		stoatest.Check(t, err)
		if imported != what {
			continue
		}
		if spec.Name == nil {
			return path.Base(what)
		}
		if spec.Name.Name == "." {
			t.Errorf("%s imports %s without its name", p.file, what)
		}
		return spec.Name.Name
	}
	return ""
}

// aboutAnswers are the exported functions of package access that take a context.
func aboutAnswers(t *testing.T) map[string]*ast.FuncDecl {
	t.Helper()
	found := map[string]*ast.FuncDecl{}
	for _, p := range parseAll(t) {
		if p.pkg != "access" {
			continue
		}
		for _, d := range p.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && (f.Name.IsExported() || f.Name.Name == "touch") && slices.ContainsFunc(f.Type.Params.List, func(param *ast.Field) bool {
				of, ok := param.Type.(*ast.SelectorExpr)
				return ok && of.Sel.Name == "Context"
			}) {
				found[f.Name.Name] = f
			}
		}
	}
	if len(found) < 9 {
		t.Errorf("found %d functions of access: have they moved?", len(found))
	}
	return found
}

func TestOnlyAFewLookAtWhoAsks(t *testing.T) {
	watched := aboutAnswers(t)
	looked := map[string]map[string]bool{}
	for _, p := range parseAll(t) {
		name := p.imports(t, "stoa/access")
		if name == "" || p.pkg == "graph/generated" {
			continue
		}
		ast.Inspect(p.File, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); !ok || x.Name != name || watched[s.Sel.Name] == nil {
				return true
			}
			place := p.file
			if _, whole := mayLook[p.pkg]; whole {
				place = p.pkg
			}
			if !slices.Contains(mayLook[place], s.Sel.Name) {
				t.Errorf("%s may not use access.%s: see mayLook", p.file, s.Sel.Name)
			}
			if looked[place] == nil {
				looked[place] = map[string]bool{}
			}
			looked[place][s.Sel.Name] = true
			return true
		})
	}
	for place, functions := range mayLook {
		for _, f := range functions {
			if !looked[place][f] {
				t.Errorf("mayLook lets %s use access.%s, which it doesn't", place, f)
			}
		}
	}
}

// Every function of access that reveals the viewer marks the response private, and there is no
// other way in.
func TestAccessMarksResponsesPrivate(t *testing.T) {
	functions := aboutAnswers(t)
	marks := map[string]bool{}
	for range functions { // as often as one could go through another
		for name, f := range functions {
			ast.Inspect(f.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				switch called := call.Fun.(type) {
				case *ast.Ident:
					marks[name] = marks[name] || marks[called.Name]
				case *ast.SelectorExpr: // a.private.Store(true), or a.touch(ctx), which does that
					marks[name] = marks[name] || called.Sel.Name == "touch" && marks["touch"]
					of, ok := called.X.(*ast.SelectorExpr)
					if ok && of.Sel.Name == "private" && called.Sel.Name == "Store" && len(call.Args) == 1 {
						value, ok := call.Args[0].(*ast.Ident)
						marks[name] = marks[name] || ok && value.Name == "true"
					}
				}
				return true
			})
		}
	}
	for name := range tellsNothing {
		if functions[name] == nil {
			t.Errorf("there is no access.%s any more: take it out of tellsNothing", name)
		}
	}
	for name := range functions {
		switch _, excused := tellsNothing[name]; {
		case !marks[name] && !excused:
			t.Errorf("access.%s doesn't mark the answer private, and tellsNothing has no reason for it", name)
		case marks[name] && excused:
			t.Errorf("access.%s marks the answer private: take it out of tellsNothing", name)
		}
	}

	// Only Begin returns an Answer. It has these exported methods and no exported fields, and the
	// package has no other exported variables.
	methods, values := map[string]bool{}, map[string]bool{}
	for _, p := range parseAll(t) {
		if p.pkg != "access" {
			continue
		}
		for _, d := range p.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					if of, ok := d.Recv.List[0].Type.(*ast.StarExpr); ok && of.X.(*ast.Ident).Name == "Answer" && d.Name.IsExported() {
						methods[d.Name.Name] = true
					}
					continue
				}
				if d.Name.IsExported() && d.Name.Name != "Begin" && d.Type.Results != nil {
					ast.Inspect(d.Type.Results, func(n ast.Node) bool {
						if of, ok := n.(*ast.Ident); ok && (of.Name == "Answer" || of.Name == "Request") {
							t.Errorf("access.%s returns an %s: only Begin may", d.Name, of.Name)
						}
						return true
					})
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							if d.Tok == token.VAR && name.IsExported() {
								values[name.Name] = true
							}
						}
					case *ast.TypeSpec:
						if spec.Name.Name != "Answer" {
							continue
						}
						for _, field := range spec.Type.(*ast.StructType).Fields.List {
							for _, name := range field.Names {
								if name.IsExported() {
									t.Errorf("Answer.%s can be had by whoever has the answer", name)
								}
							}
						}
					}
				}
			}
		}
	}
	if got := slices.Sorted(maps.Keys(methods)); !slices.Equal(got, []string{"Cookies", "Private", "RateSubjects"}) {
		t.Errorf("an Answer has the methods %v: does each of them tell nothing of who asks to whom it is not to?", got)
	}
	if got := slices.Sorted(maps.Keys(values)); !slices.Equal(got, []string{"Roles"}) {
		t.Errorf("package access has the variables %v", got)
	}
}

func TestNothingElseTellsWhoAsks(t *testing.T) {
	said := map[string]bool{}
	for _, p := range parseAll(t) {
		say := func(what string) {
			by, watched := knows[what]
			if !watched {
				return
			}
			said[what] = true
			if !slices.Contains(by, p.pkg) && p.pkg != "graph/generated" {
				t.Errorf("%s may not say %s: only %v may", p.file, what, by)
			}
		}
		ast.Inspect(p.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				say(n.Sel.Name)
				if x, ok := n.X.(*ast.Ident); ok {
					say(x.Name + "." + n.Sel.Name)
				}
			case *ast.KeyValueExpr: // of a composite literal
				if key, ok := n.Key.(*ast.Ident); ok {
					say(key.Name)
				}
			}
			return true
		})
	}
	for what, by := range knows {
		if len(by) > 0 && !said[what] {
			t.Errorf("nobody says %s any more: take it out of knows", what)
		}
	}
}
