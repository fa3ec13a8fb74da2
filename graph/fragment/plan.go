package fragment

// Plans: the fields of each selection of a document for each type, worked out once for all requests.
// Entry points: plans.of, plan.known, plan.add, Once.

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// plans has the plans of every document in memory, by the document's address. When a document is
// garbage collected, its plans go, too.
type plans struct {
	documents sync.Map // weak.Pointer[ast.QueryDocument] → *document
}

// document has the plans of one document: one for each choice. A choice is the values of the
// variables in @skip and @include.
type document struct {
	decides []string // the names of those variables

	mu    sync.RWMutex
	plans map[string]*plan
}

// maxChoices is the highest number of stored plans of a document. Under a further choice each run
// makes a plan of its own. A client's query has a few such variables.
const maxChoices = 16

// of returns the plan of an operation.
func (p *plans) of(op *graphql.OperationContext) *plan {
	key := weak.Make(op.Doc)
	found, ok := p.documents.Load(key)
	if !ok {
		var fresh bool
		if found, fresh = p.documents.LoadOrStore(key, &document{decides: deciding(op.Doc)}); !fresh {
			runtime.AddCleanup(op.Doc, func(key weak.Pointer[ast.QueryDocument]) { p.documents.Delete(key) }, key)
		}
	}
	d := found.(*document)
	choice := choice(d.decides, op.Variables)
	d.mu.RLock()
	is := d.plans[choice]
	d.mu.RUnlock()
	if is != nil {
		return is
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if is := d.plans[choice]; is != nil {
		return is
	}
	is = &plan{}
	if d.plans == nil {
		d.plans = map[string]*plan{}
	}
	if len(d.plans) < maxChoices {
		d.plans[choice] = is
	}
	return is
}

// choice encodes the values of the Boolean variables in decides, one byte each.
func choice(decides []string, variables map[string]any) string {
	if len(decides) == 0 {
		return ""
	}
	b := make([]byte, len(decides))
	for i, name := range decides {
		switch variables[name] {
		case true:
			b[i] = 't'
		case false:
			b[i] = 'f'
		default:
			b[i] = '-'
		}
	}
	return string(b)
}

// deciding returns the names of the variables that stand in directives of doc's selections.
func deciding(doc *ast.QueryDocument) []string {
	var names []string
	note := func(list ast.DirectiveList) {
		for _, d := range list {
			for _, a := range d.Arguments {
				names = variablesIn(a.Value, names)
			}
		}
	}
	var walk func(ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, s := range set {
			switch s := s.(type) {
			case *ast.Field:
				note(s.Directives)
				walk(s.SelectionSet)
			case *ast.InlineFragment:
				note(s.Directives)
				walk(s.SelectionSet)
			case *ast.FragmentSpread:
				note(s.Directives)
			}
		}
	}
	for _, o := range doc.Operations {
		walk(o.SelectionSet)
	}
	for _, f := range doc.Fragments {
		walk(f.SelectionSet)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// variablesIn adds the names of the variables in a value.
func variablesIn(v *ast.Value, names []string) []string {
	if v == nil {
		return names
	}
	if v.Kind == ast.Variable {
		return append(names, v.Raw)
	}
	for _, c := range v.Children {
		names = variablesIn(c.Value, names)
	}
	return names
}

// plan has the selections of a document under one choice, as far as they were needed.
type plan struct {
	mu         sync.RWMutex
	selections map[selectionKey]*Selection
	size       atomic.Int64 // of the last answer, in bytes
}

// selectionKey identifies a selection for one type by its address in the document. The document
// lives as long as the plan and never changes.
type selectionKey struct {
	first *ast.Selection
	n     int
	of    string
}

// Selection is a selection for objects of one type.
type Selection struct {
	// Fields are the fields to execute, as graphql.CollectFields returns them.
	Fields []graphql.CollectedField

	extra atomic.Pointer[any] // a value that Once has made

	id        uint64
	variables []string // the names of the variables in it, sorted
}

// ids numbers selections, so that a fragment can name one without holding on to its document.
var ids atomic.Uint64

func (p *plan) known(key selectionKey) *Selection {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.selections[key]
}

// add adds a selection, and returns it, or the one that another goroutine has added meanwhile. There
// must be one only, since the keys of the selections under it are addresses in its fields.
func (p *plan) add(key selectionKey, fields []graphql.CollectedField) *Selection {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.selections[key]; s != nil {
		return s
	}
	s := selectionOf(fields)
	if p.selections == nil {
		p.selections = map[selectionKey]*Selection{}
	}
	p.selections[key] = s
	return s
}

// selectionOf returns a new selection.
func selectionOf(fields []graphql.CollectedField) *Selection {
	s := &Selection{Fields: fields, id: ids.Add(1)}
	for _, f := range fields {
		s.variables = variablesOf(f.Field, s.variables)
		s.variables = variablesUnder(f.Selections, s.variables)
	}
	slices.Sort(s.variables)
	s.variables = slices.Compact(s.variables)
	return s
}

// variablesUnder adds the names of the variables in the arguments of all that is selected.
func variablesUnder(set ast.SelectionSet, names []string) []string {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			names = variablesUnder(s.SelectionSet, variablesOf(s, names))
		case *ast.InlineFragment:
			names = variablesUnder(s.SelectionSet, names)
		case *ast.FragmentSpread:
			names = variablesUnder(s.Definition.SelectionSet, names)
		}
	}
	return names
}

// Varies says whether f's arguments have variables in them.
func Varies(f *ast.Field) bool { return len(variablesOf(f, nil)) > 0 }

func variablesOf(f *ast.Field, names []string) []string {
	for _, a := range f.Arguments {
		names = variablesIn(a.Value, names)
	}
	return names
}

// Once returns make(s), called once for all runs: later calls return the stored result.
func Once[T any](s *Selection, make func(*Selection) T) T {
	if found := s.extra.Load(); found != nil {
		return (*found).(T)
	}
	var made any = make(s)
	if !s.extra.CompareAndSwap(nil, &made) {
		made = *s.extra.Load()
	}
	return made.(T)
}
