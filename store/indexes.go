package store

// The indexes of all collections. Entry points: indexes, Store.makeIndexes.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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

// missingIndexes returns the indexes that the database lacks.
func (s *Store) missingIndexes(ctx context.Context) ([]index, error) {
	wanted := indexes()
	have := map[string][]string{} // names, by collection
	for _, i := range wanted {
		if _, known := have[i.collection]; known {
			continue
		}
		there, err := s.db.Collection(i.collection).Indexes().ListSpecifications(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the indexes of %s: %w", i.collection, err)
		}
		names := make([]string, len(there))
		for n, x := range there {
			names[n] = x.Name
		}
		have[i.collection] = names
	}
	return slices.DeleteFunc(wanted, func(i index) bool { return slices.Contains(have[i.collection], i.name()) }), nil
}

// model is i as the driver has it.
func (i index) model() mongo.IndexModel {
	return mongo.IndexModel{Keys: i.keys(), Options: options.Index().SetUnique(i.unique).SetSparse(i.sparse).SetName(i.name())}
}

const (
	// indexesLookFirst and indexesLookLater are the times between two looks for indexes that another
	// process makes, in the first second and afterwards.
	indexesLookFirst = 50 * time.Millisecond
	indexesLookLater = time.Second
)

// makeIndexes returns when no index is missing. One process at a time makes them, the others wait: a server
// that makes several indexes of a large collection at once is slow for everybody. They may take any time, since
// MongoDB gives up an index whose client has gone, and the next start would begin anew. alone says that there is no
// other process.
func (s *Store) makeIndexes(ctx context.Context, alone bool) error {
	told := false
	for began := time.Now(); ; {
		missing, err := s.missingIndexes(ctx)
		if err != nil || len(missing) == 0 {
			return err
		}
		made := true
		if alone {
			err = s.makeMissing(ctx, missing)
		} else {
			made, err = s.Exclusively(ctx, "indexes", func(ctx context.Context) error {
				missing, err := s.missingIndexes(ctx) // another process may have made some
				if err != nil {
					return err
				}
				return s.makeMissing(ctx, missing)
			})
		}
		switch {
		case err != nil && !errors.Is(err, errTakenOver) && !unreachable(err):
			return err
		case err == nil && made:
			return nil
		case !told && time.Since(began) > indexesLookLater:
			told = true
			s.log.Info("waiting for the indexes that another process makes", "missing", len(missing))
		}
		pause := indexesLookFirst
		if time.Since(began) > indexesLookLater {
			pause = indexesLookLater
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// makeMissing makes indexes: those of a collection without documents together, others one after the other,
// each with a line in the log.
func (s *Store) makeMissing(ctx context.Context, missing []index) error {
	byCollection := map[string][]index{}
	for _, i := range missing {
		byCollection[i.collection] = append(byCollection[i.collection], i)
	}
	var filled []index
	for _, collection := range slices.Sorted(maps.Keys(byCollection)) {
		those := byCollection[collection]
		n, err := s.db.Collection(collection).CountDocuments(ctx, bson.D{}, options.Count().SetLimit(1))
		if err != nil {
			return fmt.Errorf("look for documents in %s: %w", collection, err)
		}
		if n > 0 {
			filled = append(filled, those...)
			continue
		}
		models := make([]mongo.IndexModel, len(those))
		for n, i := range those {
			models[n] = i.model()
		}
		if _, err := s.db.Collection(collection).Indexes().CreateMany(ctx, models); err != nil {
			return fmt.Errorf("make the indexes of %s: %w", collection, err)
		}
	}
	for n, i := range filled {
		began := time.Now()
		if _, err := s.db.Collection(i.collection).Indexes().CreateOne(ctx, i.model()); err != nil {
			return fmt.Errorf("make the index %s of %s: %w", i.name(), i.collection, err)
		}
		s.log.Info("made an index", "collection", i.collection, "index", i.name(), "of", len(filled), "left", len(filled)-n-1, "took", time.Since(began).Round(time.Millisecond).String())
	}
	return nil
}
