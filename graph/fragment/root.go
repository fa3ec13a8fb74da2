// Fragments of root fields: the whole answer of a field of Query under its arguments and selection.
// Entry points: Cache.Answering for a whole query, Run.Query and Run.Root for one that is executed.

package fragment

import (
	"context"
	"slices"
	"strconv"
	"unsafe"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"stoa/dataloader"
)

// queryName is the subject of root fields' fragments: the ids of entities have an underscore.
const queryName = "Query"

// root is a root field of one plan.
type root struct {
	selection *Selection // the field alone, with its arguments; nil if it has no fragments
	label     []byte     // its response key as JSON, with the colon
}

// roots returns the root fields of a selection of Query, in its order.
func roots(s *Selection) []root {
	all := make([]root, len(s.Fields))
	for i, f := range s.Fields {
		all[i].label = append(strconv.AppendQuote(nil, f.Alias), ':') // a name has nothing to escape
		if len(f.Selections) > 0 && public(f) {
			all[i].selection = selectionOf(s.Fields[i : i+1])
		}
	}
	return all
}

// public reports whether the schema lets the field be cached for everybody: by the @cacheControl
// of the field or, without one, of the types that its selection is from. Fragments don't rely on
// this alone: they are made only of tracked reads, and of nothing that looked at the viewer. It
// keeps out fields that may depend on the time, such as a preview's.
func public(f graphql.CollectedField) bool {
	if d := f.Definition.Directives.ForName("cacheControl"); d != nil {
		return forEverybody(d)
	}
	said, all := false, true
	eachObject(f.Selections, func(d *ast.Definition) {
		said, all = true, all && forEverybody(d.Directives.ForName("cacheControl"))
	})
	return said && all
}

// eachObject calls do with the type of the object that each selected field is of.
func eachObject(selected ast.SelectionSet, do func(*ast.Definition)) {
	for _, s := range selected {
		switch s := s.(type) {
		case *ast.Field:
			do(s.ObjectDefinition)
		case *ast.InlineFragment:
			eachObject(s.SelectionSet, do)
		case *ast.FragmentSpread:
			eachObject(s.Definition.SelectionSet, do)
		}
	}
}

func forEverybody(d *ast.Directive) bool {
	if d == nil {
		return false
	}
	age, scope := d.Arguments.ForName("maxAge"), d.Arguments.ForName("scope")
	return scope != nil && scope.Value.Raw == "PUBLIC" && age != nil && age.Value.Raw != "0"
}

// Answering returns the run of a query that valid fragments may make up, for Run.Answer; nil for any
// other operation.
func (p *Cache) Answering(op *graphql.OperationContext) *Run {
	if p == nil || op.Operation.Operation != ast.Query {
		return nil
	}
	plan, set := p.plans.of(op), op.Operation.SelectionSet
	s := plan.known(selectionKey{unsafe.SliceData(set), len(set), queryName})
	if s == nil || slices.ContainsFunc(Once(s, roots), func(f root) bool { return f.selection == nil }) {
		return nil
	}
	return &Run{cache: p, plan: plan, op: op, caches: true, roots: Once(s, roots)}
}

// Answer returns the data of the query, or nil if a fragment isn't valid. Nothing is executed, and no
// loaders of ctx are made.
func (r *Run) Answer(ctx context.Context) []byte {
	if !r.look(ctx) {
		return nil
	}
	size := len("{}")
	for i, p := range r.found {
		size += len(r.roots[i].label) + len(p.json) + len(",")
	}
	data := append(make([]byte, 0, size), '{')
	for i, p := range r.found {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(append(data, r.roots[i].label...), p.json...)
	}
	return append(data, '}')
}

// look looks for the fragments of the root fields, and reports if all of them are valid.
func (r *Run) look(ctx context.Context) (all bool) {
	r.found = make([]*Fragment, len(r.roots))
	all = true
	for i, root := range r.roots {
		if root.selection != nil {
			r.found[i] = r.valid(ctx, root.selection)
		}
		all = all && r.found[i] != nil
	}
	return all
}

// Query looks for the fragments of a query's root fields, which Root uses.
func (r *Run) Query(ctx context.Context, selected ast.SelectionSet) {
	if r.Caches() && len(selected) > 0 {
		r.roots = Once(r.Select(selected, []string{queryName}), roots)
		r.look(ctx)
	}
}

// valid returns the fragment of a root field if it is valid for this response.
func (r *Run) valid(ctx context.Context, s *Selection) *Fragment {
	p := r.cache.entries.get(r.key(s, Subject{Name: queryName}))
	if p == nil || p.json == nil || !dataloader.Adopt(ctx, p.deps) {
		return nil
	}
	return p
}

// Root answers the i-th field of Query under its context: by its fragment, or by execute, beside
// others that are executed.
func (r *Run) Root(ctx context.Context, of *graphql.FieldSet, i int, execute func(context.Context) graphql.Marshaler) {
	if r != nil {
		switch {
		case r.found != nil && r.found[i] != nil:
			of.Values[i] = r.found[i]
			return
		case r.meter.Err() != nil:
			of.Values[i] = graphql.Null
			return
		}
		r.meter.Top()
		if r.found != nil && r.roots[i].selection != nil {
			of.Concurrently(i, func(context.Context) graphql.Marshaler { return r.root(ctx, r.roots[i].selection, execute) })
			return
		}
	}
	of.Concurrently(i, func(context.Context) graphql.Marshaler { return execute(ctx) })
}

// root executes a root field, and stores its fragment if it is cacheable: from the second time on,
// as with entities. Its dependencies are the reads of the loaders and all other reads of the caches.
func (r *Run) root(ctx context.Context, s *Selection, execute func(context.Context) graphql.Marshaler) graphql.Marshaler {
	key := r.key(s, Subject{Name: queryName})
	switch p := r.cache.entries.get(key); {
	case p == nil:
		r.cache.entries.put(key, &Fragment{})
		return execute(ctx)
	case p.uncacheable:
		return execute(ctx)
	}
	loaders := dataloader.From(ctx)
	tracking, tracked := loaders.Track(ctx)
	defer tracked.AddTo(ctx)
	return r.render(tracking, key, &dataloader.Recorder{Tracked: true}, execute, func(d *dataloader.Dependencies) bool { return loaders.AttachTracked(ctx, d, tracked) })
}
