// Package edit creates, changes and deletes documents for a viewer: roles, idempotency keys,
// expected versions, slugs and former slugs, warnings, merges. A domain package describes each
// of its kinds once, and calls edit for every mutation.
//
// It knows no kind. It may import access, id, problem and store.
// Entry points: Of and Kind, with its methods Create, Add, Change and Delete; Merges; Begin for things
// without a slug; Update for compare-and-set alone; Line, CheckURL and Existing for input.
package edit

import (
	"context"
	"reflect"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// attempts bounds how often a write is tried when each try meets another writer. If several
// callers want one slug at once, one of them gets a slug in each round, so a hundred callers
// can be served.
const attempts = 100

// Kind describes the documents of one kind, of type T. It is read-only after it was made, and
// safe for concurrent use if its functions are.
type Kind[T any] struct {
	ID    id.Kind
	Name  string       // the kind's name in messages; with "Create" after it, the mutation in idempotency records
	Role  access.Role  // the least role for a mutation; Change.May can ask for more
	Store *store.Store // stores idempotency records and the names of unfinished merges

	// Fields points into a document.
	Fields func(*T) Fields
	// Read returns a document as it is in the database now; NotFound if there is none.
	Read func(context.Context, id.ID) (*T, error)
	// Visible returns nil if the viewer may know of the document, else NotFound. Nil makes every
	// document visible.
	Visible func(context.Context, access.Viewer, *T) error
	// Taken returns the owners of slugs: documents of this kind that have or had them. Nil for a
	// kind without slugs.
	Taken func(context.Context, []string) (map[string]id.ID, error)
	// Insert stores a new document; Conflict if its id or slug is taken. Nil for a kind without
	// Create.
	Insert func(context.Context, *T) error
	// Replace writes after in place of before, with a version one higher; Conflict if another
	// writer was faster or the slug is taken.
	Replace func(ctx context.Context, before, after *T) error
	// Remove deletes a document; Conflict if it has changed since it was read. Nil for a kind
	// without Delete and merges.
	Remove func(context.Context, *T) error
}

// Of returns the description of a kind whose functions are those of its declaration. The caller may
// replace some, before the first use.
func Of[T any](s *store.Store, k *store.Kind[T], role access.Role, fields func(*T) Fields) *Kind[T] {
	return &Kind[T]{
		ID: k.ID, Name: k.Name, Role: role, Store: s, Fields: fields,
		Read: func(ctx context.Context, i id.ID) (*T, error) {
			found, err := k.Now(ctx, s, []id.ID{i})
			if err != nil {
				return nil, err
			}
			if len(found) == 0 {
				return nil, problem.New(problem.NotFound, "there is no %s with the id %s", k.Name, i)
			}
			return found[0], nil
		},
		Taken: func(ctx context.Context, slugs []string) (map[string]id.ID, error) {
			return k.SlugsTaken(ctx, s, slugs)
		},
		Insert:  func(ctx context.Context, d *T) error { return k.Add(ctx, s, d) },
		Replace: func(ctx context.Context, before, after *T) error { return k.Change(ctx, s, before, after) },
		Remove:  func(ctx context.Context, d *T) error { return k.Delete(ctx, s, d) },
	}
}

// Fields are the fields of one document that this package reads and sets. A nil pointer stands
// for a field that the kind doesn't have.
type Fields struct {
	ID         *id.ID
	Version    int64
	Name       string    // slugs are made from it
	Slug       *string   // unique in the kind
	OldSlugs   *[]string // former slugs, sorted: the document is still found under them
	WantedSlug *string   // the slug that was asked for, before a number was added
	MergedIDs  *[]id.ID  // ids of the documents that were merged into this one, sorted
}

// Result is the outcome of a mutation.
type Result[T any] struct {
	Value    *T                 // the document after the mutation; nil with an error
	Warnings []*problem.Warning // differences between the request and the outcome
	Current  *T                 // the present document, if the expected version was another one
}

// Update changes one document by compare-and-set: it reads it, lets change make its successor
// and writes that, all again after a Conflict of write, up to 100 times. If the successor equals
// the document, nothing is written. A Conflict of read or change ends it, like any other error.
func Update[T any](read func() (*T, error), change func(before *T) (*T, error), write func(before, after *T) error) (*T, error) {
	for try := 1; ; try++ {
		before, err := read()
		if err != nil {
			return nil, err
		}
		after, err := change(before)
		if err != nil {
			return nil, err
		}
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		err = write(before, after)
		if err == nil {
			return after, nil
		}
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return nil, err
		}
	}
}
