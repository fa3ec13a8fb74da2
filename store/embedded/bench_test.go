//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// Benchmarks of a start and of each form of query, over many documents. fill makes the documents
// for other tests, too.

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// fill inserts n documents of about 1.2 kB, with the indexes of a collection of articles.
func fill(t testing.TB, c *mongo.Client, n int) {
	t.Helper()
	var models []mongo.IndexModel
	for _, keys := range []bson.D{
		{{Key: "slug", Value: 1}}, {{Key: "oldSlugs", Value: 1}},
		{{Key: "status", Value: 1}, {Key: "rank", Value: -1}, {Key: "_id", Value: -1}},
		{{Key: "tagIds", Value: 1}, {Key: "status", Value: 1}, {Key: "rank", Value: -1}, {Key: "_id", Value: -1}},
	} {
		models = append(models, mongo.IndexModel{Keys: keys})
	}
	if _, err := c.Database("stoa").Collection("articles").Indexes().CreateMany(context.Background(), models); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("a stoa is a walk ", 60)
	documents := make([]any, n)
	for i := range documents {
		documents[i] = bson.D{
			{Key: "_id", Value: id(i)}, {Key: "slug", Value: "slug-" + id(i)}, {Key: "status", Value: "PUBLISHED"},
			{Key: "tagIds", Value: bson.A{"all", fmt.Sprintf("tag-%d", i%50)}},
			{Key: "stock", Value: 1 << 30}, {Key: "text", Value: text}, {Key: "rank", Value: (i * 7919) % n},
		}
	}
	insert(t, c, "articles", documents...)
}

func id(i int) string { return fmt.Sprintf("art_%06d", i) }

// BenchmarkOpen measures a start on the folder that the name describes. Making the folder isn't
// included.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("documents=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			if n > 0 {
				s := start(b, dir)
				fill(b, own(b, s), n)
				if err := s.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				s, err := Open(b.Context(), Options{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkForm measures the forms of queries over n documents, with the documents examined.
func BenchmarkForm(b *testing.B) {
	published := bson.E{Key: "status", Value: "PUBLISHED"}
	order := options.Find().SetSort(bson.D{{Key: "rank", Value: -1}, {Key: "_id", Value: -1}}).SetLimit(20)
	forms := []struct {
		name string
		do   func(ctx context.Context, c *mongo.Collection, n, i int) error
	}{
		{"id", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return c.FindOne(ctx, bson.D{{Key: "_id", Value: id(i)}}).Err()
		}},
		{"ids-100", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			var list bson.A
			for j := range 100 {
				list = append(list, id((i+j*97)%n))
			}
			return all(ctx, 100)(c.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: list}}}}))
		}},
		{"slug", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return all(ctx, 1)(c.Find(ctx, bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "slug", Value: "slug-" + id(i)}}, bson.D{{Key: "oldSlugs", Value: "slug-" + id(i)}}}}}))
		}},
		{"no-such-slug", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return all(ctx, 0)(c.Find(ctx, bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "slug", Value: "none"}}, bson.D{{Key: "oldSlugs", Value: "none"}}}}}))
		}},
		{"page", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return all(ctx, 20)(c.Find(ctx, bson.D{published, {Key: "rank", Value: bson.D{{Key: "$lt", Value: n/2 + i%100}}}}, order))
		}},
		{"page-under-a-tag", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return all(ctx, 20)(c.Find(ctx, bson.D{{Key: "tagIds", Value: "all"}, published}, order))
		}},
		{"count-all", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			_, err := c.CountDocuments(ctx, bson.D{published})
			return err
		}},
		{"update", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			_, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: id(i)}, {Key: "stock", Value: bson.D{{Key: "$gte", Value: 1}}}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "stock", Value: -1}}}})
			return err
		}},
		{"insert", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			_, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "slug", Value: bson.NewObjectID().Hex()}})
			return err
		}},
	}
	for _, n := range []int{1000, 10_000} {
		s := start(b, b.TempDir())
		client := own(b, s)
		fill(b, client, n)
		articles := client.Database("stoa").Collection("articles")
		for _, form := range forms {
			b.Run(fmt.Sprintf("n=%d/%s", n, form.name), func(b *testing.B) {
				began, rounds := s.examined.Load(), 0
				for ; b.Loop(); rounds++ {
					if err := form.do(b.Context(), articles, n, rounds*7919%n); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(s.examined.Load()-began)/float64(rounds), "documents/op")
			})
		}
	}
}

// all returns a check that a cursor holds n documents.
func all(ctx context.Context, n int) func(*mongo.Cursor, error) error {
	return func(c *mongo.Cursor, err error) error {
		if err != nil {
			return err
		}
		var found []bson.Raw
		if err := c.All(ctx, &found); err != nil {
			return err
		}
		if len(found) != n {
			return fmt.Errorf("%d documents, want %d", len(found), n)
		}
		return nil
	}
}
