package store

// Commands to the database, each with its slot, while there is a primary. Entry points:
// Store.collection; find for documents by their keys, findList, aggregate and visitEach for lists.

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// collection is a collection whose commands take slots. Its methods are mongo.Collection's, except that
// FindOne and Distinct decode their results.
type collection struct {
	documents *mongo.Collection
	bulkheads
	primary *primary
}

// collection returns a collection by its name. Past it, without slots, go the commands of Open, of
// migrations, of leases and of Ping, which clients don't cause, and those on the registry of degraded
// replicas: they are few, and others wait for them.
func (s *Store) collection(name string) collection {
	return collection{s.db.Collection(name), s.bulkheads, s.primary}
}

func (c collection) Name() string { return c.documents.Name() }

// command sends one command, or the few of a list, while it holds a slot. The error is
// problem.ErrUnavailable if the database can't be reached.
func command[R any](ctx context.Context, c collection, s *slots, send func() (R, error)) (r R, err error) {
	if err := c.primary.refuse(); err != nil {
		return r, err
	}
	held, err := s.acquire(ctx)
	if err != nil {
		return r, err
	}
	defer held.release()
	r, err = send()
	return r, unavailable(err)
}

// commandOf is command without a result.
func commandOf(ctx context.Context, c collection, s *slots, send func() error) error {
	_, err := command(ctx, c, s, func() (none struct{}, err error) { return none, send() })
	return err
}

func (c collection) InsertOne(ctx context.Context, d any) (*mongo.InsertOneResult, error) {
	return command(ctx, c, c.writes, func() (*mongo.InsertOneResult, error) { return c.documents.InsertOne(ctx, d) })
}

func (c collection) InsertMany(ctx context.Context, ds any, o ...options.Lister[options.InsertManyOptions]) (*mongo.InsertManyResult, error) {
	return command(ctx, c, c.writes, func() (*mongo.InsertManyResult, error) { return c.documents.InsertMany(ctx, ds, o...) })
}

func (c collection) UpdateOne(ctx context.Context, filter, update any, o ...options.Lister[options.UpdateOneOptions]) (*mongo.UpdateResult, error) {
	return command(ctx, c, c.writes, func() (*mongo.UpdateResult, error) { return c.documents.UpdateOne(ctx, filter, update, o...) })
}

func (c collection) UpdateMany(ctx context.Context, filter, update any) (*mongo.UpdateResult, error) {
	return command(ctx, c, c.writes, func() (*mongo.UpdateResult, error) { return c.documents.UpdateMany(ctx, filter, update) })
}

func (c collection) DeleteOne(ctx context.Context, filter any) (*mongo.DeleteResult, error) {
	return command(ctx, c, c.writes, func() (*mongo.DeleteResult, error) { return c.documents.DeleteOne(ctx, filter) })
}

func (c collection) DeleteMany(ctx context.Context, filter any) (*mongo.DeleteResult, error) {
	return command(ctx, c, c.writes, func() (*mongo.DeleteResult, error) { return c.documents.DeleteMany(ctx, filter) })
}

func (c collection) BulkWrite(ctx context.Context, models []mongo.WriteModel, o ...options.Lister[options.BulkWriteOptions]) (*mongo.BulkWriteResult, error) {
	return command(ctx, c, c.writes, func() (*mongo.BulkWriteResult, error) { return c.documents.BulkWrite(ctx, models, o...) })
}

// FindOne decodes a document that matches into d. The error is mongo.ErrNoDocuments without one.
func (c collection) FindOne(ctx context.Context, filter, d any) error {
	return commandOf(ctx, c, c.keyed, func() error { return c.documents.FindOne(ctx, filter).Decode(d) })
}

func (c collection) CountDocuments(ctx context.Context, filter any, o ...options.Lister[options.CountOptions]) (int64, error) {
	return command(ctx, c, c.lists, func() (int64, error) { return c.documents.CountDocuments(ctx, filter, o...) })
}

// Distinct decodes the values that a field has in the documents that match into values.
func (c collection) Distinct(ctx context.Context, field string, filter, values any) error {
	return commandOf(ctx, c, c.lists, func() error { return c.documents.Distinct(ctx, field, filter).Decode(values) })
}

// oneReply is how many documents the first reply to a find may hold: a list of more
// elements takes another command for each so many.
const oneReply = 10_000

// aggregate returns the results of a pipeline over a collection. It sends one command if they are
// at most oneReply documents and 16 MB.
func aggregate[T any](ctx context.Context, c collection, stages ...bson.D) ([]*T, error) {
	out := []*T{}
	err := commandOf(ctx, c, c.lists, func() error {
		cursor, err := c.documents.Aggregate(ctx, stages, options.Aggregate().SetBatchSize(oneReply))
		if err != nil {
			return err
		}
		return cursor.All(ctx, &out)
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Name(), err)
	}
	return out, nil
}

// find returns the documents that match a filter of keys: a few, by an index. It sends one command if
// they are at most oneReply documents and 16 MB.
func find[T any](ctx context.Context, c collection, filter bson.D, o *options.FindOptionsBuilder) ([]*T, error) {
	return findAll[T](ctx, c, c.keyed, filter, o)
}

// findList is find for other filters, with as many documents as there are.
func findList[T any](ctx context.Context, c collection, filter bson.D, o *options.FindOptionsBuilder) ([]*T, error) {
	return findAll[T](ctx, c, c.lists, filter, o)
}

func findAll[T any](ctx context.Context, c collection, s *slots, filter bson.D, o *options.FindOptionsBuilder) ([]*T, error) {
	if o == nil {
		o = options.Find()
	}
	var out []*T
	err := commandOf(ctx, c, s, func() error {
		cursor, err := c.documents.Find(ctx, filter, o.SetBatchSize(oneReply))
		if err != nil {
			return err
		}
		return cursor.All(ctx, &out)
	})
	if err != nil {
		return nil, fmt.Errorf("find in %s: %w", c.Name(), err)
	}
	return out, nil
}

// visitEach calls visit with each document that matches, and whether it is the last one of a reply. It
// holds a slot for each command, and none while visit runs: an open cursor waits for nobody.
func visitEach[T any](ctx context.Context, c collection, filter bson.D, o *options.FindOptionsBuilder, visit func(d *T, last bool)) error {
	cursor, err := command(ctx, c, c.lists, func() (*mongo.Cursor, error) { return c.documents.Find(ctx, filter, o) })
	if err != nil {
		return fmt.Errorf("find in %s: %w", c.Name(), err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	next := func() (bool, error) { return cursor.Next(ctx), cursor.Err() } // a reply that is here needs no command
	for cursor.RemainingBatchLength() > 0 || cursor.ID() != 0 {
		var more bool
		if cursor.RemainingBatchLength() > 0 {
			more, err = next()
		} else {
			more, err = command(ctx, c, c.lists, next)
		}
		if err != nil {
			return fmt.Errorf("find in %s: %w", c.Name(), err)
		}
		if !more {
			break
		}
		d := new(T)
		if err := cursor.Decode(d); err != nil {
			return fmt.Errorf("read %s: %w", c.Name(), err)
		}
		visit(d, cursor.RemainingBatchLength() == 0)
	}
	return nil
}
