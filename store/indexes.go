package store

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
}

// indexes is every index there is but those on _id. The test of the query shapes holds
// every query of the API against it. publishedAt ends those by title and by change, so that a
// list bounded by it passes over the keys of other articles without reading them.
var indexes = []index{
	{articles, []string{"slug"}, true},
	{articles, []string{"oldSlugs"}, false},
	{articles, []string{"status", "-publishedAt", "-_id"}, false},
	{articles, []string{"status", "titleKey", "_id", "publishedAt"}, false},
	{articles, []string{"status", "-updatedAt", "-_id", "publishedAt"}, false},
	{articles, []string{"status", "version", "_id"}, false},
	{articles, []string{"tagIds", "status", "-publishedAt", "-_id"}, false},
	{articles, []string{"tagIds", "status", "titleKey", "_id", "publishedAt"}, false},
	{articles, []string{"tagIds", "status", "-updatedAt", "-_id", "publishedAt"}, false},
	{articles, []string{"authorIds", "status", "-publishedAt", "-_id"}, false},
	{articles, []string{"authorIds", "status", "titleKey", "_id", "publishedAt"}, false},
	{articles, []string{"authorIds", "status", "-updatedAt", "-_id", "publishedAt"}, false},
	{articles, []string{"source"}, false},
	{articles, []string{"status", "-deletedAt", "-_id"}, false},
	{articles, []string{"ownerId", "status", "-updatedAt", "-_id"}, false},
	{articles, []string{"ownerId", "status", "-deletedAt", "-_id"}, false},
	{revisions, []string{"articleId", "createdAt", "_id"}, false},
	{revisions, []string{"articleId", "-version", "-_id"}, false},
	{authors, []string{"oldSlugs"}, false},
	{authors, []string{"accountId"}, false},
	{tags, []string{"oldSlugs"}, false},
	{authors, []string{"slug"}, true},
	{authors, []string{"nameKey", "_id"}, false},
	{tags, []string{"slug"}, true},
	{tags, []string{"nameKey", "_id"}, false},
	{accounts, []string{"email"}, true},
	{accounts, []string{"createdAt", "_id"}, false},
	{accounts, []string{"role", "createdAt", "_id"}, false},
	{sessions, []string{"accountId", "ended", "createdAt", "_id"}, false},
	{sessions, []string{"endsAt"}, false},
	{sessions, []string{"ended", "createdAt"}, false},
	{lastUses, []string{"at"}, false},
	{mailCodes, []string{"accountId"}, false},
	{mailCodes, []string{"email"}, false},
	{mailCodes, []string{"endsAt"}, false},
	{outgoingMail, []string{"nextAt"}, false},
	{outgoingMail, []string{"createdAt"}, false},
	{outgoingMail, []string{"accountId"}, false},
	{outgoingMail, []string{"to"}, false},
	{idempotency, []string{"at"}, false},
	{comments, []string{"articleId", "visible", "createdAt", "_id", "parentId", "status"}, false},
	{comments, []string{"status", "-createdAt", "-_id"}, false},
	{comments, []string{"accountId", "-createdAt", "-_id"}, false},
	{articles, []string{"event"}, true},
	{comments, []string{"event"}, true},
}

// sparse says whether documents that lack i's field aren't in it: else MongoDB would take
// the second of them for a duplicate.
func (i index) sparse() bool { return i.name() == eventIndex }

// name is what MongoDB would call i.
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
	for _, i := range indexes {
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
			models[n] = mongo.IndexModel{Keys: i.keys(), Options: options.Index().SetUnique(i.unique).SetSparse(i.sparse()).SetName(i.name())}
		}
		if _, err := s.db.Collection(collection).Indexes().CreateMany(ctx, models); err != nil {
			return fmt.Errorf("make the indexes of %s: %w", collection, err)
		}
	}
	return nil
}
