package store

// Collections that no cache holds: records that are written about as often as they are read, such as
// mail codes and idempotency records. Each is declared once. From the declaration follow its indexes,
// its reads and writes, and when its documents are swept. Entry points: Uncached and its methods,
// Store.sweepUncached.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Uncached declares a collection of documents of type T that no cache holds. Reads go to the primary
// and see what a majority of the replica set has. A write returns when a majority has it in its
// journal. Declarations are never changed.
type Uncached[T any] struct {
	Name       string // in messages, with an article: "a mail code"
	Collection string
	Indexes    [][]string // besides the one on _id and the one on Ends: fields in order
	// Ends is the field with a time, and Kept the time after that at which Store.Sweep deletes a
	// document; "" for a collection that Sweep leaves alone.
	Ends string
	Kept time.Duration
}

// uncachedKinds returns every Uncached.
func uncachedKinds() []declaredUncached {
	return []declaredUncached{lastUseRecords, mailCodeRecords, mailRecords, idempotencyRecords}
}

// declaredUncached is an Uncached of any type.
type declaredUncached interface {
	indexes() []index
	sweep(ctx context.Context, s *Store, now time.Time) error
	collection() string
	document() any // a T
}

func (u *Uncached[T]) collection() string { return u.Collection }

func (u *Uncached[T]) document() any { return *new(T) }

func (u *Uncached[T]) indexes() []index {
	all := slices.Clone(u.Indexes)
	if u.Ends != "" {
		all = append(all, []string{u.Ends})
	}
	out := make([]index, len(all))
	for i, fields := range all {
		out[i] = index{collection: u.Collection, fields: fields}
	}
	return out
}

// sweep deletes the documents that have ended by now.
func (u *Uncached[T]) sweep(ctx context.Context, s *Store, now time.Time) error {
	if u.Ends == "" {
		return nil
	}
	_, err := u.delete(ctx, s, bson.D{{Key: u.Ends, Value: bson.D{{Key: "$lte", Value: now.Add(-u.Kept)}}}})
	return err
}

// find returns the documents that match.
func (u *Uncached[T]) find(ctx context.Context, s *Store, filter bson.D, o *options.FindOptionsBuilder) ([]*T, error) {
	return findList[T](ctx, s.collection(u.Collection), filter, o)
}

// get returns the document with an id; nil if there is none.
func (u *Uncached[T]) get(ctx context.Context, s *Store, i any) (*T, error) {
	found, err := find[T](ctx, s.collection(u.Collection), bson.D{{Key: "_id", Value: i}}, nil)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// add stores a new document. It returns false if there is one with its id already, which stays.
func (u *Uncached[T]) add(ctx context.Context, s *Store, d *T) (bool, error) {
	_, err := s.collection(u.Collection).InsertOne(ctx, d)
	if mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("add %s: %w", u.Name, err)
	}
	return true, nil
}

// change applies an update to the first document that matches. It returns false if there is none.
func (u *Uncached[T]) change(ctx context.Context, s *Store, filter, update bson.D) (bool, error) {
	result, err := s.collection(u.Collection).UpdateOne(ctx, filter, update)
	if err != nil {
		return false, fmt.Errorf("change %s: %w", u.Name, err)
	}
	return result.MatchedCount == 1, nil
}

// delete deletes the documents that match, and returns their number.
func (u *Uncached[T]) delete(ctx context.Context, s *Store, filter bson.D) (int64, error) {
	result, err := s.collection(u.Collection).DeleteMany(ctx, filter)
	if err != nil {
		return 0, fmt.Errorf("delete %s: %w", u.Name, err)
	}
	return result.DeletedCount, nil
}

// sweepUncached deletes everything in uncached collections that has ended by now.
func (s *Store) sweepUncached(ctx context.Context, now time.Time) error {
	var failed []error
	for _, u := range uncachedKinds() {
		failed = append(failed, u.sweep(ctx, s, now))
	}
	return errors.Join(failed...)
}
