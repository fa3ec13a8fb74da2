//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// Look-ups under many parents: the documents that they read.

import (
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// One command finds the first n under each of many parents, and reads n documents for each parent,
// however many the parent has.
func TestALookupReadsTheFirstUnderEachParent(t *testing.T) {
	s := start(t, t.TempDir())
	c := own(t, s)
	db := c.Database("stoa")
	keys := bson.D{{Key: "tagIds", Value: 1}, {Key: "status", Value: 1}, {Key: "publishedAt", Value: -1}, {Key: "_id", Value: -1}}
	if _, err := db.Collection("articles").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: keys}); err != nil {
		t.Fatal(err)
	}
	const parents, under, first = 20, 100, 5
	var tags, articles []any
	var ids bson.A
	for i := range parents {
		ids = append(ids, fmt.Sprint("tag", i))
		tags = append(tags, bson.D{{Key: "_id", Value: fmt.Sprint("tag", i)}})
	}
	for i := range parents * under / 2 {
		articles = append(articles, bson.D{
			{Key: "_id", Value: i}, {Key: "status", Value: "PUBLISHED"}, {Key: "publishedAt", Value: i * 7919 % 1000},
			{Key: "tagIds", Value: bson.A{fmt.Sprint("tag", i%parents), fmt.Sprint("tag", (i+1)%parents)}},
		})
	}
	insert(t, c, "tags", tags...)
	insert(t, c, "articles", articles...)
	order := bson.D{{Key: "publishedAt", Value: -1}, {Key: "_id", Value: -1}}
	began := s.examined.Load()
	cursor, err := db.Collection("tags").Aggregate(t.Context(), bson.A{
		bson.D{{Key: "$match", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}}},
		bson.D{{Key: "$project", Value: bson.D{{Key: "_id", Value: 1}}}},
		bson.D{{Key: "$lookup", Value: bson.D{
			{Key: "from", Value: "articles"}, {Key: "localField", Value: "_id"}, {Key: "foreignField", Value: "tagIds"}, {Key: "as", Value: "head"},
			{Key: "pipeline", Value: bson.A{
				bson.D{{Key: "$match", Value: bson.D{{Key: "status", Value: "PUBLISHED"}}}}, bson.D{{Key: "$sort", Value: order}},
				bson.D{{Key: "$limit", Value: first}}, bson.D{{Key: "$project", Value: bson.D{{Key: "publishedAt", Value: 1}}}},
			}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var found []struct {
		ID   string `bson:"_id"`
		Head []struct {
			PublishedAt int `bson:"publishedAt"`
		}
	}
	if err := cursor.All(t.Context(), &found); err != nil {
		t.Fatal(err)
	}
	if len(found) != parents {
		t.Fatalf("%d parents, want %d", len(found), parents)
	}
	for _, tag := range found {
		if len(tag.Head) != first {
			t.Errorf("%s has %d, want %d", tag.ID, len(tag.Head), first)
		}
		for i := 1; i < len(tag.Head); i++ {
			if tag.Head[i-1].PublishedAt < tag.Head[i].PublishedAt {
				t.Errorf("%s: out of order: %v", tag.ID, tag.Head)
			}
		}
	}
	if read := s.examined.Load() - began; read > parents*(first+1) {
		t.Errorf("%d documents were read for %d parents with %d each", read, parents, first)
	}
}
