package store

// Updates that leave unknown fields unchanged. Entry point: difference.

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// difference returns the update from a document, as it was read into before, to after: $set of the
// fields that differ, $unset of those that after lacks. It leaves fields unchanged that T doesn't
// have, such as a newer program's, and so everything within an unchanged field. before and after
// must differ.
func difference[T any](before, after T) (bson.D, error) {
	var was, is map[string]bson.RawValue
	for _, side := range []struct {
		of   T
		into *map[string]bson.RawValue
	}{{before, &was}, {after, &is}} {
		written, err := bson.Marshal(side.of)
		if err == nil {
			err = bson.Unmarshal(written, side.into)
		}
		if err != nil {
			return nil, fmt.Errorf("compare two states of a document: %w", err)
		}
	}
	set, unset := bson.D{}, bson.D{}
	for name, value := range is {
		if old, there := was[name]; !there || !old.Equal(value) {
			set = append(set, bson.E{Key: name, Value: value})
		}
	}
	for name := range was {
		if _, there := is[name]; !there {
			unset = append(unset, bson.E{Key: name, Value: ""})
		}
	}
	update := bson.D{{Key: "$set", Value: set}}
	if len(unset) > 0 { // MongoDB before 5.0 refuses an empty one
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return update, nil
}
