package stoatest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Traces returns the places in a database, or in the data of a Redis, that contain one of
// words.
func Traces(t *testing.T, db *mongo.Database, words ...string) []string {
	t.Helper()
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		cursor, err := db.Collection(name).Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		var all []bson.Raw
		if err := cursor.All(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		for _, document := range all {
			for _, w := range words {
				if bytes.Contains(document, []byte(w)) {
					found = append(found, fmt.Sprintf("%q in %s: %s", w, name, document))
				}
			}
		}
	}
	return found
}

// OpenDatabase opens the database of replicas without their knowledge.
func OpenDatabase(t testing.TB, uri string) *mongo.Database {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client.Database("stoa")
}

// Count returns the number of documents of a collection that meet a condition.
func Count(t testing.TB, db *mongo.Database, collection string, where bson.D) int {
	t.Helper()
	n, err := db.Collection(collection).CountDocuments(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}
