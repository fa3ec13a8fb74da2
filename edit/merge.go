package edit

// Merging two documents of one kind, so that one stands for both. A merge spans many documents:
// it is noted first, each step may be repeated, and any replica finishes one that was cut short.
// Entry points: Merges.Merge, Merges.Finish.

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// mergeTask begins the name of an unfinished merge's task. The ids of both documents follow,
// with a slash between them.
const mergeTask = "merge/"

// Merge names the document that goes, and the one that stays.
type Merge struct{ ID, IntoID id.ID }

func (in Merge) task() string { return mergeTask + string(in.ID) + "/" + string(in.IntoID) }

// overlaps reports whether two merges share a document.
func (in Merge) overlaps(other Merge) bool {
	return in.ID == other.ID || in.ID == other.IntoID || in.IntoID == other.ID || in.IntoID == other.IntoID
}

// Replace returns ids with the document that stays in place of the one that goes, each once.
func (in Merge) Replace(ids []id.ID) []id.ID {
	out := make([]id.ID, 0, len(ids))
	for _, i := range ids {
		if i == in.ID {
			i = in.IntoID
		}
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// Merges merges documents of one kind. It is safe for concurrent use, and must not be copied.
type Merges[T any] struct {
	Kind *Kind[T]
	// Refuse returns the reason against a merge, or nil. A nil Refuse allows every merge.
	Refuse func(from, into *T) error
	// Inherit gives into the values that it lacks and from has. It is called again after a
	// conflict.
	Inherit func(from, into *T)
	// Write writes the documents that referred to from, of kinds that store.Kind.Change isn't
	// enough for.
	Write store.ReplaceByKind

	mu          sync.Mutex
	overlapping map[Merge]bool // merges that overlapped others at the last Finish
}

// Merge makes one document of two, and returns it: it is found under the slugs of both, and
// everything that referred to the other refers to it. Repeating a merge changes nothing. Conflict
// means that one of the two is in another merge.
//
// The document that goes is deleted last: until then its slug leads to it.
func (m *Merges[T]) Merge(ctx context.Context, in Merge) (*T, error) {
	k := m.Kind
	if _, err := access.Require(ctx, k.Role); err != nil {
		return nil, err
	}
	if in.ID.Kind() != k.ID || in.IntoID.Kind() != k.ID || in.ID == in.IntoID {
		return nil, problem.New(problem.Invalid, "id and intoId take the ids of two different %ss", k.Name).At("intoId")
	}
	into, err := k.Read(ctx, in.IntoID)
	if err != nil {
		return nil, problem.Locate(err, "intoId")
	}
	from, err := k.Read(ctx, in.ID)
	if problem.Is(err, problem.NotFound) && slices.Contains(*k.Fields(into).MergedIDs, in.ID) {
		return into, nil
	}
	if err != nil {
		return nil, problem.Locate(err, "id")
	}
	if m.Refuse != nil {
		if err := m.Refuse(from, into); err != nil {
			return nil, err
		}
	}
	if err := k.Store.Begin(ctx, in.task()); err != nil {
		return nil, err
	}
	// Each of two overlapping merges would see the other one here.
	unfinished, err := m.unfinished(ctx)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(unfinished, func(other Merge) bool { return other != in && other.overlaps(in) }) {
		return nil, errors.Join(problem.New(problem.Conflict, "one of the two is being merged already: try again when that is done"), k.Store.Finish(ctx, in.task()))
	}
	return m.finish(ctx, in)
}

// unfinished returns the merges of the kind that were begun and not finished, in an order that
// is the same for every replica.
func (m *Merges[T]) unfinished(ctx context.Context) ([]Merge, error) {
	tasks, err := m.Kind.Store.Tasks(ctx, mergeTask)
	slices.Sort(tasks)
	var out []Merge
	for _, task := range tasks {
		from, into, _ := strings.Cut(task, "/")
		if in := (Merge{id.ID(from), id.ID(into)}); in.ID.Kind() == m.Kind.ID {
			out = append(out, in)
		}
	}
	return out, err
}

// finish takes the steps that are left of a merge. NotFound means that the document that should
// stay has gone: then the other one stays as it is.
func (m *Merges[T]) finish(ctx context.Context, in Merge) (*T, error) {
	into, err := m.absorb(ctx, in)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return nil, err
	}
	if err == nil {
		// A document may come to refer to the one that goes while it goes.
		for _, step := range []func(context.Context, Merge) error{m.move, m.remove, m.move} {
			if err := step(ctx, in); err != nil {
				return nil, err
			}
		}
	}
	if err := m.Kind.Store.Finish(ctx, in.task()); err != nil {
		return nil, err
	}
	return into, err
}

// absorb gives the slugs and values of the document in.ID to the one that stays, in.IntoID. If in.ID
// is gone already, it changes nothing.
func (m *Merges[T]) absorb(ctx context.Context, in Merge) (*T, error) {
	k := m.Kind
	return Update(func() (*T, error) { return k.Read(ctx, in.IntoID) }, func(into *T) (*T, error) {
		from, err := k.Read(ctx, in.ID)
		if problem.Is(err, problem.NotFound) {
			return into, nil
		}
		if err != nil {
			return nil, err
		}
		after := *into
		is, was := k.Fields(&after), k.Fields(from)
		*is.OldSlugs = formerSlugs(slices.Concat(*is.OldSlugs, *was.OldSlugs), *was.Slug, *is.Slug)
		*is.MergedIDs = slices.Concat(*is.MergedIDs, []id.ID{in.ID}, *was.MergedIDs)
		slices.Sort(*is.MergedIDs)
		*is.MergedIDs = slices.Compact(*is.MergedIDs)
		m.Inherit(from, &after)
		return &after, nil
	}, func(before, after *T) error { return k.Replace(ctx, before, after) })
}

// move makes every document in a list under the one that goes refer to the one that stays.
func (m *Merges[T]) move(ctx context.Context, in Merge) error {
	return m.Kind.Store.MoveChildren(ctx, in.ID, in.Replace, m.Write)
}

// remove deletes the document that goes, if it is there.
func (m *Merges[T]) remove(ctx context.Context, in Merge) error {
	_, err := Update(func() (*T, error) { return m.Kind.Read(ctx, in.ID) }, func(*T) (*T, error) { return nil, nil },
		func(from, _ *T) error { return m.Kind.Remove(ctx, from) })
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	return err
}

// Finish finishes the merges that were cut short. Overlapping ones are left for the next call,
// since one of them may be about to be refused.
func (m *Merges[T]) Finish(ctx context.Context) error {
	unfinished, err := m.unfinished(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	before := m.overlapping
	m.overlapping = map[Merge]bool{}
	m.mu.Unlock()
	var errs []error
	for _, in := range unfinished {
		if slices.ContainsFunc(unfinished, func(other Merge) bool { return other != in && other.overlaps(in) }) && !before[in] {
			m.mu.Lock()
			m.overlapping[in] = true
			m.mu.Unlock()
			continue
		}
		if _, err := m.finish(ctx, in); !problem.Is(err, problem.NotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
