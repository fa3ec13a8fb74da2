package store

// Purging the caches on request. Entry point: Store.Purge.

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/problem"
)

// maxPurge is the number of tags that can be purged at once.
const maxPurge = 100

// Purge makes every replica forget everything that depends on tags, in both tiers of the caches and
// in the response cache: tags are ids, and names of lists as Cache-Tag has them. The next reads
// come from the database. Nothing is changed but a record of the time.
//
// The record is for an embedded database that another process serves: that process forgets
// everything after any write by another client.
func (s *Store) Purge(ctx context.Context, tags []string) error {
	if len(tags) == 0 || len(tags) > maxPurge {
		return problem.New(problem.Invalid, "name 1 to %d tags, not %d", maxPurge, len(tags)).At("tags")
	}
	for _, tag := range tags {
		if tag == "" || len(tag) > MaxSlug || strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return problem.New(problem.Invalid, "%.80q is no tag: they are ids, such as art_…, and names of lists, such as list/all", tag).At("tags")
		}
	}
	return s.write(ctx, compact(append([]string{}, tags...)), func(ctx context.Context) error {
		_, err := s.collection(meta).UpdateOne(ctx, bson.D{{Key: "_id", Value: "purged"}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "at", Value: time.Now().UTC()}}}}, options.UpdateOne().SetUpsert(true))
		if err != nil {
			return fmt.Errorf("note that something was purged: %w", err)
		}
		return nil
	})
}
