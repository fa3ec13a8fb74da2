package graph

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"stoa/dataloader"
	"stoa/store"
	"stoa/store/cache"
)

// LookAhead gives each response its loaders, and when a root field has its answer, loads
// everything that the query selects under it: level by level, each edge once for all the
// parents it hangs on. When the executor then comes to an element's own edge, its loader
// knows the answer. So the number of batches depends on the query's shape and never on
// how many things come back, and no batch waits for a timer or a goroutine.
type LookAhead struct{ Store *store.Store }

var (
	_ graphql.HandlerExtension    = LookAhead{}
	_ graphql.ResponseInterceptor = LookAhead{}
	_ graphql.FieldInterceptor    = LookAhead{}
)

// ExtensionName names it to gqlgen.
func (LookAhead) ExtensionName() string { return "LookAhead" }

// Validate agrees with any schema.
func (LookAhead) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptResponse attaches fresh loaders: to each event of a subscription, too.
func (l LookAhead) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	return next(dataloader.With(ctx, l.Store))
}

// InterceptField looks ahead from what a root field returned; so do the fields of what a
// mutation answers, of an event, and of the viewer, whose lists are as large as those of
// Query. What is known before a mutation isn't afterwards.
func (LookAhead) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	result, err := next(ctx)
	field := graphql.GetFieldContext(ctx)
	if field.Object == "Mutation" {
		dataloader.From(ctx).Forget()
	}
	if err == nil && isRoot(field.Object) {
		walk(ctx, graphql.GetOperationContext(ctx), []any{result}, field.Field.Selections)
	}
	return result, err
}

func isRoot(object string) bool {
	switch object {
	case "Query", "Mutation", "Viewer":
		return true
	}
	return strings.HasSuffix(object, "Payload") || strings.HasSuffix(object, "Event")
}

// step is one edge on the way down, for all the parents it hangs on.
type step struct {
	edge     edge
	parents  []any
	args     map[string]any
	selected ast.SelectionSet

	children []any
	err      error
}

// run loads the step's edge. A panic is left for the resolver to meet, where it is handled.
func (s *step) run(ctx context.Context, l *dataloader.Loaders) {
	defer func() {
		if r := recover(); r != nil {
			s.err = fmt.Errorf("look ahead: %v", r)
		}
	}()
	s.children, s.err = s.edge(ctx, l, s.parents, s.args)
}

// walk goes down a selection from the values that a field returned. Errors are not its
// business: the loaders remember them for the fields that they belong to.
func walk(ctx context.Context, op *graphql.OperationContext, values []any, selected ast.SelectionSet) {
	l := dataloader.From(ctx)
	inMemory := dataloader.MemoryOnly(ctx)
	level := steps(op, values, selected)
	for len(level) > 0 {
		var waiting []*step
		for _, s := range level {
			if s.run(inMemory, l); errors.Is(s.err, cache.ErrNotInMemory) {
				waiting = append(waiting, s)
			}
		}
		together(waiting, func(s *step) { s.run(ctx, l) })
		var next []*step
		for _, s := range level {
			if s.err == nil {
				next = append(next, steps(op, s.children, s.selected)...)
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

// steps returns the edges that a selection takes from values, which may be lists and of
// several types. A value that occurs twice is a parent once.
func steps(op *graphql.OperationContext, values []any, selected ast.SelectionSet) []*step {
	if len(selected) == 0 {
		return nil
	}
	byType := map[*objectType][]any{}
	var types []*objectType
	seen := make(map[any]bool, len(values))
	flatten(values, func(v any) {
		t := typeOf(v)
		if t == nil || seen[v] || reflect.ValueOf(v).IsNil() {
			return
		}
		seen[v] = true
		if byType[t] == nil {
			types = append(types, t)
		}
		byType[t] = append(byType[t], v)
	})
	var out []*step
	for _, t := range types {
		for _, field := range graphql.CollectFields(op, selected, t.satisfies) {
			if e, ok := t.edges[field.Name]; ok {
				out = append(out, &step{edge: e, parents: byType[t], args: field.ArgumentMap(op.Variables), selected: field.Selections})
			}
		}
	}
	return out
}
