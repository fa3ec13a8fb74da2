// Package fragment caches two results of executing queries: the fields of a selection for a type,
// and the JSON of an entity under a selection.
//
// A fragment is the JSON of one entity, or of one page of a list, under one selection, with its
// dependency set: the loads made while it was rendered. It is reused while its validity token is
// valid: while none of its dependencies was dropped from the caches (cache.Validity). Without a
// valid token the loaders are asked for the same dependencies, and the fragment is reused if they
// return the same values, by identity: cached values never change, and a changed entity is another
// value. So a fragment is never older than the caches, a response records the same dependencies
// with a fragment as without, and a response agrees with itself. A selection that read the viewer,
// failed, or read anything but the loaders gives no fragment.
//
// The generated code calls this package, by the edits of graph/generate. Without it (a nil Run)
// gqlgen's own code runs, and writes the same bytes.
//
// It may import access, dataloader and meter. Entry points: New, Begin, the methods of Run, Of, List.
package fragment

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"unsafe"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"stoa/access"
	"stoa/dataloader"
	"stoa/meter"
)

// maxFragment is the largest JSON that is cached as one fragment, in bytes: an article's page with
// a long text and its comments. Of anything larger the fragments in it are cached.
const maxFragment = 128 << 10

// Cache has the plans and the fragments of one replica. It is safe for concurrent use.
type Cache struct {
	plans   plans
	entries entries
	subject func(any) Subject
}

// Subject is the entity or page of a fragment.
type Subject struct {
	Of    any      // another value after each change; nil for a type without fragments
	Name  string   // the same after each change
	Types []string // the object's type, then its interfaces, in the order of the generated code
}

// New returns a cache for fragments of about bytes bytes at most, without the values that they share
// with the caches of store. With 0 bytes it returns nil, for tests of gqlgen's own code. subject
// returns the subject of an object.
func New(bytes int64, subject func(any) Subject) *Cache {
	if bytes <= 0 {
		return nil
	}
	p := &Cache{subject: subject}
	p.entries.most = bytes / 2
	return p
}

// Run is the execution of one operation.
type Run struct {
	cache  *Cache
	plan   *plan
	op     *graphql.OperationContext
	caches bool         // fragments are looked up and stored
	meter  *meter.Meter // of the response that is being made

	roots []root      // of a query; see Query
	found []*Fragment // of roots: those that are valid

	mu        sync.Mutex
	variables map[*Selection]string
}

type runKey struct{}

// Begin begins the execution of the operation that ctx has.
func (p *Cache) Begin(ctx context.Context) context.Context {
	if p == nil {
		return ctx
	}
	op := graphql.GetOperationContext(ctx)
	// The entities of a mutation's response are in no cache: their fragments would never be found.
	r := &Run{cache: p, plan: p.plans.of(op), op: op, caches: op.Operation.Operation != ast.Mutation, meter: meter.From(ctx)}
	return context.WithValue(ctx, runKey{}, r)
}

// From returns the run that ctx belongs to; nil without one.
func From(ctx context.Context) *Run {
	r, _ := ctx.Value(runKey{}).(*Run)
	return r
}

// Fields is graphql.CollectFields.
func (r *Run) Fields(op *graphql.OperationContext, selected ast.SelectionSet, satisfies []string) []graphql.CollectedField {
	if r == nil || len(selected) == 0 {
		return graphql.CollectFields(op, selected, satisfies)
	}
	fields := r.Select(selected, satisfies).Fields
	r.meter.Object(len(fields))
	return fields
}

// Select returns the fields of selected for objects of the type satisfies[0]. The other names are
// its interfaces.
func (r *Run) Select(selected ast.SelectionSet, satisfies []string) *Selection {
	key := selectionKey{unsafe.SliceData(selected), len(selected), satisfies[0]}
	if s := r.plan.known(key); s != nil {
		return s
	}
	return r.plan.add(key, graphql.CollectFields(r.op, selected, satisfies))
}

// Caches reports whether the run looks up and stores fragments.
func (r *Run) Caches() bool { return r != nil && r.caches }

// Find returns the fragment of obj under s, valid or not; nil for none. The run must cache
// fragments.
func (r *Run) Find(s *Selection, obj any) *Fragment {
	return r.find(s, r.cache.subject(obj))
}

func (r *Run) find(s *Selection, of Subject) *Fragment {
	if of.Of == nil {
		return nil
	}
	p := r.cache.entries.get(r.key(s, of))
	if p == nil || p.json == nil || p.of != of.Of {
		return nil
	}
	return p
}

func (r *Run) key(s *Selection, of Subject) fragmentKey {
	return fragmentKey{s.id, of.Name, r.values(s)}
}

// values writes down the variables that s depends on.
func (r *Run) values(s *Selection) string {
	if len(s.variables) == 0 {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok := r.variables[s]; ok {
		return v
	}
	var all []any
	for _, name := range s.variables {
		if v, ok := r.op.Variables[name]; ok {
			all = append(all, true, v)
		} else {
			all = append(all, false)
		}
	}
	text, err := json.Marshal(all)
	if err != nil { // an upload, say: as good as a value that nobody has sent yet
		return "?" + err.Error()
	}
	if r.variables == nil {
		r.variables = map[*Selection]string{}
	}
	r.variables[s] = string(text)
	return r.variables[s]
}

// Fragment is the JSON of an entity or a page, with its dependency set.
type Fragment struct {
	of          any
	json        []byte // nil for a subject that was met once, and for an uncacheable one
	uncacheable bool   // too large, or dependent on more than the loaders
	deps        *dataloader.Dependencies
}

// Dependencies is the dependency set of the fragment.
func (p *Fragment) Dependencies() *dataloader.Dependencies { return p.deps }

// MarshalGQL writes the fragment.
func (p *Fragment) MarshalGQL(w io.Writer) { _, _ = w.Write(p.json) }

// validated has the fragments that were found valid for a response.
type validated struct {
	mu        sync.Mutex
	fragments map[*Fragment]struct{}
}

type validatedKey struct{}

// Response begins one of the run's responses.
func (r *Run) Response(ctx context.Context) context.Context {
	if r == nil {
		return ctx
	}
	r.meter = meter.From(ctx) // an event has one of its own
	return context.WithValue(ctx, validatedKey{}, &validated{})
}

// MarkValid records that fragments are valid for the response of ctx.
func MarkValid(ctx context.Context, fragments []*Fragment) {
	v, ok := ctx.Value(validatedKey{}).(*validated)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fragments == nil {
		v.fragments = make(map[*Fragment]struct{}, len(fragments))
	}
	for _, p := range fragments {
		v.fragments[p] = struct{}{}
	}
}

func (v *validated) has(p *Fragment) bool {
	if v == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.fragments[p]
	return ok
}

// use reports whether p is valid for this response. If it is, its dependencies are recorded for
// the fragment around it.
func use(ctx context.Context, v *validated, p *Fragment) bool {
	if !v.has(p) {
		l := dataloader.From(ctx)
		if !l.Adopt(ctx, p.deps) && !l.Agrees(p.deps) {
			return false
		}
	}
	dataloader.RecorderFrom(ctx).Add(p.deps)
	return true
}

// Of returns obj under a selection: its fragment, or the result of fields.
func Of[T any](ctx context.Context, r *Run, selected ast.SelectionSet, satisfies []string, obj *T, fields func(context.Context, ast.SelectionSet, *T) graphql.Marshaler) graphql.Marshaler {
	if r == nil || len(selected) == 0 {
		return fields(ctx, selected, obj)
	}
	if r.meter.Err() != nil {
		return graphql.Null
	}
	if !r.caches {
		return fields(ctx, selected, obj)
	}
	s := r.Select(selected, satisfies)
	of := r.cache.subject(obj)
	if of.Of == nil {
		return fields(ctx, selected, obj)
	}
	key := r.key(s, of)
	p := r.cache.entries.get(key)
	switch {
	case p == nil: // an object that was asked for once may never be again
		r.cache.entries.put(key, &Fragment{of: of.Of})
		return fields(ctx, selected, obj)
	case p.of != of.Of:
	case p.uncacheable:
		return fields(ctx, selected, obj)
	case p.json != nil:
		v, _ := ctx.Value(validatedKey{}).(*validated)
		if use(ctx, v, p) {
			return p
		}
	}
	return r.render(ctx, key, &dataloader.Recorder{Of: of.Of}, func(ctx context.Context) graphql.Marshaler { return fields(ctx, selected, obj) }, func(d *dataloader.Dependencies) bool {
		dataloader.From(ctx).AttachValidity(ctx, d)
		return true // without a token, the loaders can be asked
	})
}

// render renders a fragment, and stores it if it is cacheable. attach gives its dependencies a
// validity token, and reports whether the fragment can be used.
func (r *Run) render(ctx context.Context, key fragmentKey, recorder *dataloader.Recorder, execute func(context.Context) graphql.Marshaler, attach func(*dataloader.Dependencies) bool) graphql.Marshaler {
	if graphql.GetErrors(ctx) != nil {
		return execute(ctx)
	}
	watched, watch := access.Watching(ctx)
	made := execute(dataloader.WithRecorder(watched, recorder))
	dataloader.RecorderFrom(ctx).Merge(recorder)
	if made == graphql.Null || graphql.GetErrors(ctx) != nil || ctx.Err() != nil {
		return made
	}
	deps, ok := recorder.End()
	if recorder.Uncacheable() {
		r.cache.entries.put(key, &Fragment{of: recorder.Of, uncacheable: true})
	}
	if !ok || watch.Touched() {
		return made
	}
	b := buffer{meter: r.meter, told: recorder.Rendered()}
	if !b.marshal(made) {
		return graphql.Null
	}
	dataloader.RecorderFrom(ctx).AddRendered(b.Len())
	p := &Fragment{of: recorder.Of, json: b.Bytes(), deps: deps}
	if b.Len() > maxFragment {
		r.cache.entries.put(key, &Fragment{of: recorder.Of, uncacheable: true})
		return p
	}
	p.json = slices.Clone(p.json)
	if attach(deps) {
		r.cache.entries.put(key, p)
	}
	return p
}

// List is graphql.MarshalSliceConcurrently without concurrency: look-ahead has loaded the edges of
// all elements before. An element with a valid fragment isn't executed.
func List[T any](ctx context.Context, r *Run, selected ast.SelectionSet, list []T, element func(context.Context, int) graphql.Marshaler) graphql.Array {
	if r == nil {
		return graphql.MarshalSliceConcurrently(ctx, len(list), 0, false, element)
	}
	out := make(graphql.Array, len(list))
	uses := r.caches && len(selected) > 0
	var v *validated
	if uses {
		v, _ = ctx.Value(validatedKey{}).(*validated)
	}
	failed := false
	for i := range list {
		if uses {
			if p := r.fragment(ctx, v, selected, list[i]); p != nil {
				out[i] = p
				continue
			}
		}
		if err := cmp.Or(ctx.Err(), r.meter.Err()); err != nil { // the client has gone, or it is too much
			graphql.AddError(ctx, err)
			return nil
		}
		var ok bool
		if out[i], ok = one(ctx, i, element); !ok {
			failed = true
		}
	}
	if failed {
		return nil
	}
	return out
}

// fragment returns the valid fragment of obj; nil for none.
func (r *Run) fragment(ctx context.Context, v *validated, selected ast.SelectionSet, obj any) *Fragment {
	of := r.cache.subject(obj)
	if of.Of == nil {
		return nil
	}
	p := r.find(r.Select(selected, of.Types), of)
	if p == nil || !use(ctx, v, p) {
		return nil
	}
	return p
}

// one executes one element. After a panic ok is false.
func one(ctx context.Context, i int, element func(context.Context, int) graphql.Marshaler) (m graphql.Marshaler, ok bool) {
	ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Index: &i})
	defer func() {
		if p := recover(); p != nil {
			graphql.AddError(ctx, graphql.Recover(ctx, p))
		}
	}()
	return element(ctx, i), true
}

// Field executes one field of an object. Look-ahead has loaded it for all objects of the type
// before, so executing fields side by side would gain nothing.
func (r *Run) Field(ctx context.Context, of *graphql.FieldSet, i int, field func(context.Context, *graphql.FieldSet) graphql.Marshaler) {
	if r == nil {
		of.Concurrently(i, func(ctx context.Context) graphql.Marshaler { return field(ctx, of) })
		return
	}
	of.Values[i] = field(ctx, of)
}
