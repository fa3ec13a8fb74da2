package graph

// Look-ahead: the edges under a root field's result are loaded level by level, before the executor
// calls the resolvers. Entry points: LookAhead, NewLookAhead, walk.

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"stoa/dataloader"
	"stoa/graph/fragment"
	"stoa/store"
	"stoa/store/cache"
)

// LookAhead gives each response its loaders. When a root field has its result, LookAhead loads
// everything that the query selects under it: level by level, each edge once for all its parents.
// When the executor reaches the edge of one element, the loader has resolved it. So the number of
// batches depends on the shape of the query and never on the number of results, and no batch waits
// for a timer or a goroutine.
type LookAhead struct {
	Store *store.Store
	// Fragments caches JSON of entities; nil in tests without it.
	Fragments *fragment.Cache
}

// NewLookAhead returns a LookAhead with a fragment cache of about bytes bytes.
func NewLookAhead(s *store.Store, bytes int64) LookAhead {
	return LookAhead{Store: s, Fragments: fragment.New(bytes, subject)}
}

var (
	_ graphql.HandlerExtension     = LookAhead{}
	_ graphql.OperationInterceptor = LookAhead{}
	_ graphql.ResponseInterceptor  = LookAhead{}
	_ graphql.FieldInterceptor     = LookAhead{}
)

// ExtensionName names it to gqlgen.
func (LookAhead) ExtensionName() string { return "LookAhead" }

// Validate agrees with any schema.
func (LookAhead) Validate(graphql.ExecutableSchema) error { return nil }

// Answer returns the data of a query if valid fragments make it up, and nil for any other
// operation. The gateway then skips the execution.
func (l LookAhead) Answer(ctx context.Context, op *graphql.OperationContext) []byte {
	run := l.Fragments.Answering(op)
	if run == nil {
		return nil
	}
	return run.Answer(dataloader.With(ctx, l.Store))
}

// InterceptOperation begins a run of the operation, with the plan of its document.
func (l LookAhead) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	return next(l.Fragments.Begin(ctx))
}

// InterceptResponse attaches fresh loaders: to each event of a subscription, too.
func (l LookAhead) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	return next(dataloader.With(fragment.From(ctx).Response(ctx), l.Store))
}

// InterceptField looks ahead from the result of a root field. It does the same for the fields of
// payloads, of events and of the viewer: their lists may be as large as those of Query. After a
// mutation it discards the values in the loaders.
func (LookAhead) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	field := graphql.GetFieldContext(ctx)
	if field.IsResolver && field.Object != "Query" && !readsOnlyLoaders(field) { // the reads of root fields are tracked: see fragment
		dataloader.RecorderFrom(ctx).MarkUncacheable()
	}
	result, err := next(ctx)
	if field.Object == "Mutation" {
		dataloader.From(ctx).Forget()
	}
	if err == nil && isRoot(field.Object) {
		walk(ctx, graphql.GetOperationContext(ctx), []any{result}, field.Field.Selections)
	}
	return result, err
}

// step is one edge of one level, for all its parents.
type step struct {
	edge     edge
	parents  []any
	args     map[string]any
	selected ast.SelectionSet

	children []any
	err      error
}

// run loads the step's edge. A panic becomes the step's error: the resolver will panic, too, and the
// executor handles that.
func (s *step) run(ctx context.Context, l *dataloader.Loaders) {
	defer func() {
		if r := recover(); r != nil {
			s.err = fmt.Errorf("look ahead: %v", r)
		}
	}()
	s.children, s.err = s.edge(ctx, l, s.parents, s.args)
}

// readsOnlyLoaders says whether a resolver reads nothing but its object and the loaders.
func readsOnlyLoaders(field *graphql.FieldContext) bool {
	for _, t := range fragmentTypes {
		if t.satisfies[0] == field.Object {
			if _, ok := t.edges[field.Field.Name]; ok {
				return true
			}
		}
	}
	return pure[field.Object+"."+field.Field.Name]
}

// walk loads the edges of a selection, from the values that a field returned downwards. It ignores
// errors: the loaders return them to the resolvers of the fields in question.
func walk(ctx context.Context, op *graphql.OperationContext, values []any, selected ast.SelectionSet) {
	if len(selected) == 0 {
		return
	}
	w := walker{ctx: ctx, op: op, run: fragment.From(ctx), loaders: dataloader.From(ctx)}
	level := w.steps(nil, values, selected)
	if len(level) == 0 {
		return
	}
	inMemory := cache.MemoryOnly(ctx)
	for len(level) > 0 {
		var waiting []*step
		for _, s := range level {
			if s.run(inMemory, w.loaders); errors.Is(s.err, cache.ErrNotInMemory) {
				waiting = append(waiting, s)
			}
		}
		together(waiting, func(s *step) { s.run(ctx, w.loaders) })
		var next []*step
		for _, s := range level {
			if s.err == nil {
				next = w.steps(next, s.children, s.selected)
			}
		}
		level = next
	}
}

// together runs do for each step: side by side when there are several, as they wait for
// the database.
func together(waiting []*step, do func(*step)) {
	if len(waiting) == 0 {
		return
	}
	var all sync.WaitGroup
	for _, s := range waiting[1:] {
		all.Go(func() { do(s) })
	}
	do(waiting[0])
	all.Wait()
}

// walker is one walk.
type walker struct {
	ctx     context.Context
	op      *graphql.OperationContext
	run     *fragment.Run
	loaders *dataloader.Loaders
}

// group is the values of one type in a list.
type group struct {
	of     *objectType
	values []any
}

// steps adds to out the edges that are selected on values. Values may be lists, and of several
// types. A value that occurs twice is a parent once. A value with a valid fragment isn't a parent:
// the dependencies of the fragment are resolved already.
func (w *walker) steps(out []*step, values []any, selected ast.SelectionSet) []*step {
	if len(selected) == 0 || len(values) == 0 {
		return out
	}
	for _, g := range groups(values) {
		edges, parents := w.edges(g, selected)
		for i := range edges {
			if len(parents) > 0 {
				e := &edges[i]
				out = append(out, &step{edge: e.edge, parents: parents, args: e.arguments(w.op), selected: e.field.Selections})
			}
		}
	}
	return out
}

// groups sorts values by type, in the order of first occurrence.
func groups(values []any) []group {
	var all []group
	seen := make(map[any]bool, len(values))
	flatten(values, func(v any) {
		t := typeOf(v)
		if t == nil || seen[v] || reflect.ValueOf(v).IsNil() {
			return
		}
		seen[v] = true
		i := 0
		for i < len(all) && all[i].of != t {
			i++
		}
		if i == len(all) {
			all = append(all, group{of: t, values: make([]any, 0, len(values))})
		}
		all[i].values = append(all[i].values, v)
	})
	return all
}

// takenEdge is a selected edge.
type takenEdge struct {
	edge  edge
	field graphql.CollectedField
	args  map[string]any // nil if they depend on variables
}

func (e *takenEdge) arguments(op *graphql.OperationContext) map[string]any {
	if e.args != nil {
		return e.args
	}
	return e.field.ArgumentMap(op.Variables)
}

// edges returns the edges that are selected on the values of g, and the values without a valid
// fragment, for which the edges must be loaded.
func (w *walker) edges(g group, selected ast.SelectionSet) ([]takenEdge, []any) {
	if w.run == nil {
		return taken(graphql.CollectFields(w.op, selected, g.of.satisfies), g.of), g.values
	}
	s := w.run.Select(selected, g.of.satisfies)
	edges := fragment.Once(s, func(s *fragment.Selection) []takenEdge { return taken(s.Fields, g.of) })
	if len(edges) == 0 {
		return edges, g.values
	}
	if !w.run.Caches() {
		return edges, g.values
	}
	if slices.Contains(pageTypes, g.of) {
		for _, v := range g.values {
			v.(interface{ Resolve(context.Context) }).Resolve(w.ctx) // some edge of it is selected, so it will be read anyway
		}
	}
	return edges, w.withoutFragments(s, g.values)
}

func taken(fields []graphql.CollectedField, of *objectType) []takenEdge {
	out := []takenEdge{}
	for _, f := range fields {
		if e, ok := of.edges[f.Name]; ok {
			t := takenEdge{edge: e, field: f}
			if !fragment.Varies(f.Field) {
				t.args = f.ArgumentMap(nil)
			}
			out = append(out, t)
		}
	}
	return out
}

// withoutFragments returns the values without a valid fragment.
func (w *walker) withoutFragments(s *fragment.Selection, values []any) []any {
	var fragments []*fragment.Fragment
	var sets []*dataloader.Dependencies
	var at []int // in values
	for i, v := range values {
		if p := w.run.Find(s, v); p != nil {
			fragments, sets, at = append(fragments, p), append(sets, p.Dependencies()), append(at, i)
		}
	}
	if len(fragments) == 0 {
		return values
	}
	stale := w.loaders.Stale(w.ctx, sets)
	rest := make([]any, 0, len(values)-len(fragments)+len(stale))
	valid := fragments[:0]
	next, nextStale := 0, 0
	for i, v := range values {
		switch {
		case next == len(at) || at[next] != i:
			rest = append(rest, v)
		case nextStale < len(stale) && stale[nextStale] == next:
			rest = append(rest, v)
			next, nextStale = next+1, nextStale+1
		default:
			valid = append(valid, fragments[next])
			next++
		}
	}
	fragment.MarkValid(w.ctx, valid)
	return rest
}
