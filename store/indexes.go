package store

// The indexes of all collections. Entry points: indexes, Store.makeIndexes.

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// index is one index of a collection: its fields in order, a minus before those that
// descend.
type index struct {
	collection string
	fields     []string
	unique     bool
	sparse     bool // without documents that lack the field: else MongoDB takes the second of them for a duplicate
}

// indexes are all indexes but those on _id. The test of the query shapes checks every query of the
// API against them.
func indexes() []index {
	all := []index{{collection: leases, fields: []string{"until"}}}
	for _, u := range uncachedKinds() {
		all = append(all, u.indexes()...)
	}
	for _, k := range kinds() {
		all = append(all, k.indexes()...)
	}
	return all
}

// name is MongoDB's name for i.
func (i index) name() string {
	var parts []string
	for _, k := range i.keys() {
		parts = append(parts, fmt.Sprintf("%s_%d", k.Key, k.Value))
	}
	return strings.Join(parts, "_")
}

func (i index) keys() bson.D {
	keys := bson.D{}
	for _, field := range i.fields {
		if rest, descending := strings.CutPrefix(field, "-"); descending {
			keys = append(keys, bson.E{Key: rest, Value: -1})
			continue
		}
		keys = append(keys, bson.E{Key: field, Value: 1})
	}
	return keys
}

// missingIndexes returns the indexes that the database lacks, by collection.
func (s *Store) missingIndexes(ctx context.Context) (map[string][]index, error) {
	byCollection := map[string][]index{}
	for _, i := range indexes() {
		byCollection[i.collection] = append(byCollection[i.collection], i)
	}
	for collection, wanted := range byCollection {
		there, err := s.db.Collection(collection).Indexes().ListSpecifications(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the indexes of %s: %w", collection, err)
		}
		have := map[string]bool{}
		for _, i := range there {
			have[i.Name] = true
		}
		byCollection[collection] = slices.DeleteFunc(wanted, func(i index) bool { return have[i.name()] })
	}
	return byCollection, nil
}

// makeIndexes makes the indexes that are missing.
func (s *Store) makeIndexes(ctx context.Context) error {
	byCollection, err := s.missingIndexes(ctx)
	if err != nil {
		return err
	}
	for collection, missing := range byCollection {
		if len(missing) == 0 {
			continue
		}
		models := make([]mongo.IndexModel, len(missing))
		for n, i := range missing {
			models[n] = mongo.IndexModel{Keys: i.keys(), Options: options.Index().SetUnique(i.unique).SetSparse(i.sparse).SetName(i.name())}
		}
		if _, err := s.db.Collection(collection).Indexes().CreateMany(ctx, models); err != nil {
			return fmt.Errorf("make the indexes of %s: %w", collection, err)
		}
	}
	return nil
}
