package edit

// Creating a document, at most once for an idempotency key. Entry points: Kind.Create; Kind.Add
// without a request; Begin and Origin for a thing that has no Kind.

import (
	"context"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// Origin gives a new thing its time and ids. With an idempotency key, equal requests have equal
// origins: at the same moment, later, or after a crash.
type Origin struct {
	At   time.Time
	seed string // "" without a key
}

// Begin returns the origin of a thing that a mutation creates for a caller: an account's id or
// the address of a mail. A nil key makes a new origin each time. Begin returns KeyReused if the
// caller sent the key with another mutation or input, and Invalid if the key is malformed.
func Begin(ctx context.Context, s *store.Store, caller, mutation string, key *string, input any) (Origin, error) {
	if key == nil {
		return Origin{At: store.Now()}, nil
	}
	record := store.IdempotencyRecord{Caller: caller, Key: *key, Mutation: mutation, Input: input}
	at, err := s.RecordIdempotency(ctx, record)
	return Origin{at, record.Seed()}, err
}

// Repeatable reports whether the thing may exist already: whether there was a key.
func (o Origin) Repeatable() bool { return o.seed != "" }

// ID returns the id of the thing of a kind: the same one for equal origins.
func (o Origin) ID(kind id.Kind) id.ID {
	if o.seed == "" {
		return id.At(kind, o.At)
	}
	return id.Derived(kind, o.At, o.seed)
}

// Part returns the origin of a named part, if there are several of one kind.
func (o Origin) Part(name string) Origin {
	if o.seed != "" {
		o.seed += "\x00" + name
	}
	return o
}

// Creation is a request to create a document.
type Creation[T any] struct {
	Key   *string // the idempotency key; nil for none
	Input any     // the input without the key, to tell a repetition from another request
	Slug  *string // nil for a slug made from the name
	// Fill sets the fields that follow from the input. It comes before the key is recorded, so a
	// refused input leaves the key unused.
	Fill func(context.Context, access.Viewer, *T) error
	// Complete sets the fields that follow from the origin, and stores further documents that the
	// new one refers to. A repetition of a finished request doesn't call it. Nil for nothing.
	Complete func(context.Context, access.Viewer, Origin, *T) error
}

// Create creates a document, or returns the one that an equal request with the same key has
// created. A taken slug gets a number, with a warning. It returns Unauthenticated or Forbidden
// for a viewer without the kind's role, the errors of Begin, and those of c's functions.
func (k *Kind[T]) Create(ctx context.Context, c Creation[T]) (Result[T], error) {
	v, err := access.Require(ctx, k.Role)
	if err != nil {
		return Result[T]{}, err
	}
	document := new(T)
	if err := c.Fill(ctx, v, document); err != nil {
		return Result[T]{}, err
	}
	f := k.Fields(document)
	if err := checkSlug(c.Slug); err != nil {
		return Result[T]{}, err
	}
	o, err := Begin(ctx, k.Store, string(v.Account), k.Name+"Create", c.Key, c.Input)
	if err != nil {
		return Result[T]{}, err
	}
	*f.ID = o.ID(k.ID)
	if o.Repeatable() {
		if out, err := k.existing(ctx, *f.ID, wantedSlug(c.Slug, f.Name, *f.ID)); !problem.Is(err, problem.NotFound) {
			return out, err
		}
	}
	if c.Complete != nil {
		if err := c.Complete(ctx, v, o, document); err != nil {
			return Result[T]{}, err
		}
	}
	return k.Add(ctx, document, c.Slug)
}

// Add stores a document under its id and the slug that is asked for, or one made from its name;
// if that is taken, with a number and a warning. If a document has the id already, Add returns
// that one. It checks no role.
func (k *Kind[T]) Add(ctx context.Context, document *T, asked *string) (Result[T], error) {
	if err := checkSlug(asked); err != nil {
		return Result[T]{}, err
	}
	f := k.Fields(document)
	wanted := wantedSlug(asked, f.Name, *f.ID)
	if f.WantedSlug != nil {
		*f.WantedSlug = wanted
	}
	for try := 1; ; try++ {
		var err error
		if *f.Slug, err = k.freeSlug(ctx, wanted, *f.ID); err != nil {
			return Result[T]{}, err
		}
		err = k.Insert(ctx, document)
		if err == nil {
			return Result[T]{Value: document, Warnings: numberedWarning(wanted, *f.Slug)}, nil
		}
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return Result[T]{}, err
		}
		if out, err := k.existing(ctx, *f.ID, wanted); !problem.Is(err, problem.NotFound) {
			return out, err
		}
	}
}

// existing returns the stored document with an id, and the warnings of its creation; NotFound if
// there is none.
func (k *Kind[T]) existing(ctx context.Context, i id.ID, wanted string) (Result[T], error) {
	document, err := k.Read(ctx, i)
	if err != nil {
		return Result[T]{}, err
	}
	f := k.Fields(document)
	if f.WantedSlug != nil {
		wanted = *f.WantedSlug
	}
	return Result[T]{Value: document, Warnings: numberedWarning(wanted, *f.Slug)}, nil
}
