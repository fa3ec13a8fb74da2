package store

// Relating articles: the queue of the articles whose relations, and those of the articles near them,
// are to be computed; the reads that this takes; and the write of the result. Package blog computes.
// Each read is bounded by its arguments, whatever the number of articles. Entry points: Store.NextUnrelated,
// Store.Unrelated, Store.NewestUnder, Store.RelatedTo, Store.ArticleCounts, Store.Relate.

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/id"
)

// Links are the parts of an article that its relations, and those of others to it, depend on.
type Links struct {
	ID            id.ID     `bson:"_id"`
	Status        Status    `bson:"status"`
	Version       int64     `bson:"version"`
	PublishedAt   time.Time `bson:"publishedAt"`
	AuthorIDs     []id.ID   `bson:"authorIds"`
	TagIDs        []id.ID   `bson:"tagIds"`
	RelatedIDs    []id.ID   `bson:"relatedIds"`
	RelatedScores []float64 `bson:"relatedScores"` // of RelatedIDs; nil if the version before Stoa had scores related it
	UnrelatedAt   time.Time `bson:"unrelatedAt"`   // see Article
	UnrelatedFrom []id.ID   `bson:"unrelatedFrom"`
}

// linkFields are the stored names of the fields of Links.
var linkFields = []string{"status", "version", "publishedAt", "authorIds", "tagIds", "relatedIds", "relatedScores", "unrelatedAt", "unrelatedFrom"}

// Public reports whether everyone may see the article.
func (l *Links) Public() bool { return l.Status == Published }

// Parents are the authors and tags of the article.
func (l *Links) Parents() []id.ID { return slices.Concat(l.TagIDs, l.AuthorIDs) }

// Relations are the articles related to an article.
type Relations struct {
	Article id.ID
	IDs     []id.ID // the closest first; nil leaves them as they are
	Scores  []float64
	// Version says, if it isn't 0, that the article is done: it leaves the queue, unless it has another
	// version by now.
	Version int64
}

// markUnrelated puts after into the queue if its own relations, or those of others to it, may differ
// from before's, and reports whether they may. before is nil for a new article.
func markUnrelated(before, after *Article) bool {
	switch {
	case before == nil && after.Public():
	case before == nil || !before.Public() && !after.Public():
		return false
	case before.Public() && after.Public() && slices.Equal(before.AuthorIDs, after.AuthorIDs) && slices.Equal(before.TagIDs, after.TagIDs):
		return false
	default:
		after.UnrelatedFrom = compactIDs(slices.Concat(before.UnrelatedFrom, before.AuthorIDs, before.TagIDs))
	}
	after.UnrelatedAt = Now()
	return true
}

// NextUnrelated returns when the first article joined the queue; ok is false for an empty queue.
func (s *Store) NextUnrelated(ctx context.Context) (at time.Time, ok bool, err error) {
	return s.nextDue(ctx, unrelatedKey)
}

// Unrelated returns the first limit articles of the queue, with any status.
func (s *Store) Unrelated(ctx context.Context, limit int) ([]*Links, error) {
	return findList[Links](ctx, s.collection(articles), bson.D{{Key: "unrelatedAt", Value: bson.D{{Key: "$gt", Value: time.Time{}}}}},
		projection(linkFields...).SetSort(bson.D{{Key: "unrelatedAt", Value: 1}}).SetLimit(int64(limit)))
}

// newestFirst is the order of lists of articles.
var newestFirst = bson.D{{Key: "publishedAt", Value: -1}, {Key: "_id", Value: -1}}

// NewestPublic returns the newest limit public articles.
func (s *Store) NewestPublic(ctx context.Context, limit int) ([]*Links, error) {
	return findList[Links](ctx, s.collection(articles), publicArticles(), projection(linkFields...).SetSort(newestFirst).SetLimit(int64(limit)))
}

// NewestUnder returns the newest limit public articles under each of parents, which are authors and
// tags: in one command for all authors and one for all tags.
func (s *Store) NewestUnder(ctx context.Context, parents []id.ID, limit int) (map[id.ID][]*Links, error) {
	type document struct {
		Parent id.ID    `bson:"_id"`
		Under  []*Links `bson:"under"`
	}
	fields := bson.D{}
	for _, name := range linkFields {
		fields = append(fields, bson.E{Key: name, Value: 1})
	}
	stages := []bson.D{{{Key: "$sort", Value: newestFirst}}, {{Key: "$limit", Value: limit}}, {{Key: "$project", Value: fields}}}
	out := make(map[id.ID][]*Links, len(parents))
	for _, g := range grouped(keysUnder(parents)) {
		found, err := aggregate[document](ctx, s.collection(g.where.parents), g.where.under(g.of, stages...)...)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			out[d.Parent] = d.Under
		}
	}
	return out, nil
}

func keysUnder(parents []id.ID) []ChildrenKey {
	keys := make([]ChildrenKey, len(parents))
	for i, p := range parents {
		keys[i] = ChildrenKey(p)
	}
	return keys
}

// RelatedTo returns limit articles with a relation to one of articles, with any status, in the order
// of their ids: those after the id after.
func (s *Store) RelatedTo(ctx context.Context, articleIDs []id.ID, after id.ID, limit int) ([]*Links, error) {
	return findList[Links](ctx, s.collection(articles),
		append(in("relatedIds", articleIDs), bson.E{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}),
		projection(linkFields...).SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)))
}

// roughlyFor is how long ArticleCounts trusts a count, since it only weighs tags. Every writer of this
// version maintains it; see recountAfter for those that don't.
const roughlyFor = 24 * time.Hour

// ArticleCounts returns how many public articles there are under each of parents, which are authors,
// tags and AllArticles, in one command. A write that is under way may be missing. It counts by an index what writes
// haven't maintained for a day.
func (s *Store) ArticleCounts(ctx context.Context, parents []id.ID) (map[id.ID]int, error) {
	if len(parents) == 0 {
		return nil, nil
	}
	lists := make([]string, len(parents))
	for i, p := range parents {
		lists[i] = string(p)
	}
	now := time.Now()
	there, err := s.readTallies(ctx, lists)
	if err != nil {
		return nil, err
	}
	out, counted := make(map[id.ID]int, len(parents)), map[string]int64{}
	var rest []id.ID
	for _, p := range parents {
		switch t := there[string(p)]; {
		case t != nil && t.OK && now.Sub(t.CountedAt) < roughlyFor:
			out[p] = int(t.N)
		case p == AllArticles:
			n, err := s.collection(articles).CountDocuments(ctx, publicArticles())
			if err != nil {
				return nil, fmt.Errorf("count in %s: %w", articles, err)
			}
			out[p], counted[string(p)] = int(n), n
		default:
			rest = append(rest, p)
		}
	}
	found := map[ChildrenKey]*ChildrenCount{}
	if err := s.countChildren(ctx, keysUnder(rest), found); err != nil {
		return nil, err
	}
	for _, p := range rest {
		n := found[ChildrenKey(p)].N
		out[p], counted[string(p)] = n, int64(n)
	}
	s.refill(ctx, there, counted, now)
	return out, nil
}

// relateAtOnce is how many articles one write of relations changes: it takes some 0.1 s on the
// embedded database, far less than the limit of a write.
const relateAtOnce = 100

// Relate stores relations, in their order. The articles' versions and times stay the same.
func (s *Store) Relate(ctx context.Context, all []Relations) error {
	for some := range slices.Chunk(all, relateAtOnce) {
		var keys []string
		var models []mongo.WriteModel
		for _, r := range some {
			keys = append(keys, string(r.Article))
			filter, update := bson.D{{Key: "_id", Value: r.Article}}, bson.D{}
			if r.IDs != nil {
				update = append(update, bson.E{Key: "$set", Value: bson.D{{Key: "relatedIds", Value: r.IDs}, {Key: "relatedScores", Value: r.Scores}}})
			}
			if r.Version != 0 {
				keys = append(keys, unrelatedKey)
				filter = append(filter, bson.E{Key: "version", Value: r.Version})
				update = append(update, bson.E{Key: "$unset", Value: bson.D{{Key: "unrelatedAt", Value: ""}, {Key: "unrelatedFrom", Value: ""}}})
			}
			models = append(models, mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(update))
		}
		err := s.write(ctx, compact(keys), func(ctx context.Context) error {
			if _, err := s.collection(articles).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(true)); err != nil {
				return fmt.Errorf("relate articles: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
