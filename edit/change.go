package edit

// Changing and deleting documents by compare-and-set. Entry points: Kind.Change, Kind.Delete.

import (
	"context"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
)

// Change is a request to change or delete a document.
type Change[T any] struct {
	ID       id.ID
	Expected *int64  // the version that the caller knows; nil for any
	Slug     *string // the slug that the document should get; nil to leave it
	// May returns nil if the viewer may do this to a document that is visible to the viewer, else
	// the refusal. Nil allows it to everyone with the kind's role.
	May func(access.Viewer, *T) error
	// Apply changes a copy of the document. It must replace slices, maps and pointers instead of
	// changing their contents, since the copy shares these. It is called again after a conflict.
	Apply func(context.Context, access.Viewer, *T) error
}

// Change changes the document as it is in the database now. If another writer changes it
// meanwhile, Change starts again; if c.Expected isn't the present version, it returns Conflict
// and the present document. A document that Apply leaves as it is isn't written. A taken slug
// gets a number, with a warning; the former slug stays reserved for the document.
func (k *Kind[T]) Change(ctx context.Context, c Change[T]) (Result[T], error) {
	var warnings []*problem.Warning
	return k.perform(ctx, c, func(v access.Viewer, before *T) (*T, error) {
		copied := *before
		after := &copied
		if err := c.Apply(ctx, v, after); err != nil {
			return nil, err
		}
		var err error
		warnings, err = k.readdress(ctx, after, c.Slug)
		return after, err
	}, k.Replace, &warnings)
}

// Delete deletes the document, under the same conditions as Change. The result has no value.
func (k *Kind[T]) Delete(ctx context.Context, c Change[T]) (Result[T], error) {
	return k.perform(ctx, c, func(access.Viewer, *T) (*T, error) { return nil, nil },
		func(ctx context.Context, before, _ *T) error { return k.Remove(ctx, before) }, new([]*problem.Warning))
}

// perform checks the role, visibility, permission and version, and then makes and writes the
// successor of a document.
func (k *Kind[T]) perform(ctx context.Context, c Change[T], change func(access.Viewer, *T) (*T, error), write func(context.Context, *T, *T) error, warnings *[]*problem.Warning) (Result[T], error) {
	v, err := access.Require(ctx, k.Role)
	if err != nil {
		return Result[T]{}, err
	}
	var out Result[T]
	out.Value, err = Update(func() (*T, error) {
		before, err := k.Read(ctx, c.ID)
		if err == nil && k.Visible != nil {
			err = k.Visible(ctx, v, before)
		}
		return before, problem.Locate(err, "id")
	}, func(before *T) (*T, error) {
		if c.May != nil {
			if err := c.May(v, before); err != nil {
				return nil, err
			}
		}
		if now := k.Fields(before).Version; c.Expected != nil && *c.Expected != now {
			out.Current = before
			return nil, problem.New(problem.Conflict, "the %s has changed: it is at version %d, not %d", k.Name, now, *c.Expected).At("expectedVersion")
		}
		return change(v, before)
	}, func(before, after *T) error { return write(ctx, before, after) })
	if err == nil {
		out.Warnings = *warnings
	}
	return out, err
}

// readdress gives a document the slug that is asked for, and returns the warnings.
func (k *Kind[T]) readdress(ctx context.Context, document *T, asked *string) ([]*problem.Warning, error) {
	f := k.Fields(document)
	if asked == nil || *asked == *f.Slug {
		return nil, nil
	}
	if err := checkSlug(asked); err != nil {
		return nil, err
	}
	free, err := k.freeSlug(ctx, *asked, *f.ID)
	if err != nil {
		return nil, err
	}
	*f.OldSlugs = formerSlugs(*f.OldSlugs, *f.Slug, free)
	*f.Slug = free
	if f.WantedSlug != nil {
		*f.WantedSlug = *asked
	}
	return numberedWarning(*asked, free), nil
}
