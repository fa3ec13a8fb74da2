// Package part remembers what executing a query finds out again and again: which fields a
// selection has for a type, and the JSON that an entity comes to under a selection.
//
// A part is the JSON of one entity, or of one page of a list, under one selection, with
// everything that the loaders were asked for while it was made. It is used again while it
// stands: while nothing of that was dropped from the caches, as far as an entry there would
// hold (cache.Validity). Where that isn't sure, the loaders are asked for the same, and it is
// used if they answer the same, by identity: what the caches hold never changes, and what has
// changed is another value. So a part can't be older than what the caches say, what an answer
// depends on is noted the same with a part as without, and an answer agrees with itself. What
// looked at who asks, failed, or read anything but the loaders makes no part.
//
// generated calls it, by the edits of graph/generate; without it (a nil Run) everything
// goes gqlgen's own way, and to the same bytes.
//
// It may import access and dataloader. Entry points: New, Begin, the methods of Run, Of, List.
package part

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"
	"unsafe"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"stoa/access"
	"stoa/dataloader"
)

// maxPart is the largest JSON that is kept as one part, in bytes: an article's page with a
// long text and its comments. What is larger is kept in the parts that it consists of.
const maxPart = 128 << 10

// Parts is what one replica remembers. It is safe for concurrent use.
type Parts struct {
	plans   plans
	kept    kept
	subject func(any) Subject
}

// Subject is what a part is made from.
type Subject struct {
	Of    any      // another when it has changed; nil for what makes no parts
	Name  string   // the same when it has changed
	Types []string // that an object has, its own first, as generated lists them
}

// New returns Parts that take about as many bytes at most, besides what they share with the
// caches. With 0 bytes there are none, which is for tests: everything goes gqlgen's way.
// subject says what a part of an object would be made from.
func New(bytes int64, subject func(any) Subject) *Parts {
	if bytes <= 0 {
		return nil
	}
	p := &Parts{subject: subject}
	p.kept.most = bytes / 2
	return p
}

// Run is the execution of one operation.
type Run struct {
	parts *Parts
	plan  *plan
	op    *graphql.OperationContext
	keeps bool // parts are kept and used

	mu        sync.Mutex
	variables map[*Selection]string
}

type runKey struct{}

// Begin begins the execution of the operation that ctx has.
func (p *Parts) Begin(ctx context.Context) context.Context {
	if p == nil {
		return ctx
	}
	op := graphql.GetOperationContext(ctx)
	// What a mutation answers with is in no cache, so that nobody would meet it again.
	r := &Run{parts: p, plan: p.plans.of(op), op: op, keeps: op.Operation.Operation != ast.Mutation}
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
	return r.Select(selected, satisfies).Fields
}

// Buffer returns a buffer for an answer, as large as the last one with the same plan was.
func (r *Run) Buffer() *bytes.Buffer {
	var b bytes.Buffer
	if r != nil {
		b.Grow(int(r.plan.size.Load()))
	}
	return &b
}

// Wrote tells of an answer that has been written.
func (r *Run) Wrote(b *bytes.Buffer) {
	if r != nil {
		r.plan.size.Store(int64(min(b.Len(), maxPart)))
	}
}

// Select returns what selected is for objects that satisfy some types, the first their own.
func (r *Run) Select(selected ast.SelectionSet, satisfies []string) *Selection {
	key := selectionKey{unsafe.SliceData(selected), len(selected), satisfies[0]}
	if s := r.plan.known(key); s != nil {
		return s
	}
	return r.plan.add(key, graphql.CollectFields(r.op, selected, satisfies))
}

// Keeps says whether parts are kept and used.
func (r *Run) Keeps() bool { return r != nil && r.keeps }

// Find returns the part that obj comes to under s, which may not hold any more; nil for none.
// It is for a run that keeps parts.
func (r *Run) Find(s *Selection, obj any) *Part {
	return r.find(s, r.parts.subject(obj))
}

func (r *Run) find(s *Selection, of Subject) *Part {
	if of.Of == nil {
		return nil
	}
	p := r.parts.kept.get(r.key(s, of))
	if p == nil || p.json == nil || p.of != of.Of {
		return nil
	}
	return p
}

func (r *Run) key(s *Selection, of Subject) partKey { return partKey{s.id, of.Name, r.values(s)} }

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

// Part is the JSON of an entity or a page, with what it depends on.
type Part struct {
	of    any
	json  []byte // nil for what was met once, and for what none is made of
	none  bool   // it is too large, or made of more than the loaders say
	basis *dataloader.Basis
}

// Basis is what the part depends on.
func (p *Part) Basis() *dataloader.Basis { return p.basis }

// MarshalGQL writes the part.
func (p *Part) MarshalGQL(w io.Writer) { _, _ = w.Write(p.json) }

// valid is which parts were compared in a response, and were the same.
type valid struct {
	mu    sync.Mutex
	parts map[*Part]struct{}
}

type validKey struct{}

// Response begins one of the run's responses.
func (r *Run) Response(ctx context.Context) context.Context {
	if r == nil {
		return ctx
	}
	return context.WithValue(ctx, validKey{}, &valid{})
}

// Reuse notes that parts were compared, and hold for this response.
func Reuse(ctx context.Context, parts []*Part) {
	v, ok := ctx.Value(validKey{}).(*valid)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.parts == nil {
		v.parts = make(map[*Part]struct{}, len(parts))
	}
	for _, p := range parts {
		v.parts[p] = struct{}{}
	}
}

func (v *valid) has(p *Part) bool {
	if v == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.parts[p]
	return ok
}

// use says whether p may be used in this response, and has it noted where it is part of what
// is being made.
func use(ctx context.Context, v *valid, p *Part) bool {
	if !v.has(p) {
		l := dataloader.From(ctx)
		if !l.Takes(ctx, p.basis) && !l.Agrees(p.basis) {
			return false
		}
	}
	dataloader.Traced(ctx).Uses(p.basis)
	return true
}

// Of returns obj under a selection: the part that there is, or what fields makes of it.
func Of[T any](ctx context.Context, r *Run, selected ast.SelectionSet, satisfies []string, obj *T, fields func(context.Context, ast.SelectionSet, *T) graphql.Marshaler) graphql.Marshaler {
	if r == nil || !r.keeps || len(selected) == 0 {
		return fields(ctx, selected, obj)
	}
	s := r.Select(selected, satisfies)
	of := r.parts.subject(obj)
	if of.Of == nil {
		return fields(ctx, selected, obj)
	}
	key := r.key(s, of)
	p := r.parts.kept.get(key)
	switch {
	case p == nil: // what comes once may never come again
		r.parts.kept.put(key, &Part{of: of.Of})
		return fields(ctx, selected, obj)
	case p.of != of.Of:
	case p.none:
		return fields(ctx, selected, obj)
	case p.json != nil:
		v, _ := ctx.Value(validKey{}).(*valid)
		if use(ctx, v, p) {
			return p
		}
	}
	return r.keep(ctx, key, of.Of, func(ctx context.Context) graphql.Marshaler { return fields(ctx, selected, obj) })
}

// keep makes a part, and keeps it where it is one.
func (r *Run) keep(ctx context.Context, key partKey, of any, execute func(context.Context) graphql.Marshaler) graphql.Marshaler {
	if graphql.GetErrors(ctx) != nil {
		return execute(ctx)
	}
	touched := access.Touched(ctx)
	trace := dataloader.Trace{Of: of}
	made := execute(dataloader.Tracing(ctx, &trace))
	dataloader.Traced(ctx).Absorbs(&trace)
	if made == graphql.Null || graphql.GetErrors(ctx) != nil || ctx.Err() != nil {
		return made
	}
	basis, ok := trace.End()
	if trace.Spoiled() {
		r.parts.kept.put(key, &Part{of: of, none: true})
	}
	if !ok || access.Touched(ctx) != touched { // by another root field, perhaps
		return made
	}
	var b bytes.Buffer
	made.MarshalGQL(&b)
	p := &Part{of: of, json: b.Bytes(), basis: basis}
	if b.Len() > maxPart {
		r.parts.kept.put(key, &Part{of: of, none: true})
		return p
	}
	p.json = bytes.Clone(p.json)
	dataloader.From(ctx).Stand(ctx, basis)
	r.parts.kept.put(key, p)
	return p
}

// List is graphql.MarshalSliceConcurrently, one element after the other: what an element
// needs has been loaded for all of them before. Elements that are parts take nothing more.
func List[T any](ctx context.Context, r *Run, selected ast.SelectionSet, list []T, element func(context.Context, int) graphql.Marshaler) graphql.Array {
	if r == nil {
		return graphql.MarshalSliceConcurrently(ctx, len(list), 0, false, element)
	}
	out := make(graphql.Array, len(list))
	uses := r.keeps && len(selected) > 0
	var v *valid
	if uses {
		v, _ = ctx.Value(validKey{}).(*valid)
	}
	failed := false
	for i := range list {
		if uses {
			if p := r.part(ctx, v, selected, list[i]); p != nil {
				out[i] = p
				continue
			}
		}
		if err := ctx.Err(); err != nil { // who waits for the rest has gone
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

// part returns the part that obj comes to, where there is one that holds.
func (r *Run) part(ctx context.Context, v *valid, selected ast.SelectionSet, obj any) *Part {
	of := r.parts.subject(obj)
	if of.Of == nil {
		return nil
	}
	p := r.find(r.Select(selected, of.Types), of)
	if p == nil || !use(ctx, v, p) {
		return nil
	}
	return p
}

// one makes one element. ok is false where that panicked.
func one(ctx context.Context, i int, element func(context.Context, int) graphql.Marshaler) (m graphql.Marshaler, ok bool) {
	ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Index: &i})
	defer func() {
		if p := recover(); p != nil {
			graphql.AddError(ctx, graphql.Recover(ctx, p))
		}
	}()
	return element(ctx, i), true
}

// Field makes one of an object's fields. What it needs has been loaded for all objects of
// its kind before, so that nothing is won by making fields side by side.
func (r *Run) Field(ctx context.Context, of *graphql.FieldSet, i int, field func(context.Context, *graphql.FieldSet) graphql.Marshaler) {
	if r == nil {
		of.Concurrently(i, func(ctx context.Context) graphql.Marshaler { return field(ctx, of) })
		return
	}
	of.Values[i] = field(ctx, of)
}
