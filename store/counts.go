package store

// Counts of lists under parents, maintained by the writes that change the lists. A count is a
// document of its own: a write registers with it, changes its own document, then applies its
// difference. docs/decisions.md, "Counts are maintained by the write", has the reasons.
// Entry points: Store.counting, Store.readTallies, Store.refill.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/id"
	"stoa/problem"
	"stoa/store/cache"
)

const (
	// suspectAfter is how long a registered write may take before readers no longer trust the
	// count: about a hundred times the usual duration of a write. It is also the longest time for
	// which a count may miss the write of a killed process.
	suspectAfter = 250 * time.Millisecond
	// abandonedAfter is the age at which a registered write has ended for certain. It is more than
	// twice cache.WriteLimit, the limit of a write, so that clocks may differ by seconds.
	abandonedAfter = 5 * time.Second
	// recountAfter is how long a count is trusted after it was counted. Replicas of the version
	// before don't register, and somebody may change the database by other means.
	recountAfter = 5 * time.Minute
)

// tally is the maintained count of one list. If OK is set, N is the number of elements, except for
// the effects of the writes in Pending.
type tally struct {
	ID        string               `bson:"_id"`
	N         int64                `bson:"n"`
	OK        bool                 `bson:"ok"`
	Rev       int64                `bson:"rev"` // goes up with each change of the document
	CountedAt time.Time            `bson:"countedAt"`
	Reached   bool                 `bson:"reached,omitempty"` // of a thread: it shows each comment that isn't deleted
	Pending   map[string]time.Time `bson:"pending"`           // writes under way, by a random name, and when they registered
}

// trusted says whether N can be given to readers.
func (t *tally) trusted(now time.Time) bool {
	return t != nil && t.OK && now.Sub(t.CountedAt) < recountAfter && !t.registeredBefore(now.Add(-suspectAfter))
}

// registeredBefore says whether a write under way registered before a time.
func (t *tally) registeredBefore(at time.Time) bool {
	for _, registered := range t.Pending {
		if registered.Before(at) {
			return true
		}
	}
	return false
}

// underWay says whether a registered write may still happen.
func (t *tally) underWay(now time.Time) bool {
	for _, registered := range t.Pending {
		if now.Sub(registered) < abandonedAfter {
			return true
		}
	}
	return false
}

// counting makes a write that changes the lengths of lists by so much, the lists by the ids of
// their tallies. A writer that is killed stays registered: readers then count, and the first of
// them that finds the registration abandoned repairs the tally. The errors are those of write.
func (s *Store) counting(ctx context.Context, by map[string]int64, write func(context.Context) error) error {
	if len(by) == 0 {
		return write(ctx)
	}
	name := rand.Text()[:12]
	lists := slices.Sorted(maps.Keys(by))
	if err := s.register(ctx, name, lists); err != nil {
		return err
	}
	err := write(ctx)
	var refused *problem.Error
	switch {
	case errors.As(err, &refused):
		by = nil // nothing was written
	case err != nil:
		return err // it may still happen: the registration stays, to be repaired
	}
	if failed := s.apply(ctx, name, lists, by); failed != nil {
		s.log.WarnContext(ctx, "a count will have to be repaired", "lists", lists, "error", failed)
	}
	return err
}

func pendingField(name string) string { return "pending." + name }

// register records the beginning of a write under a random name, in one command for all lists. It
// makes missing tallies: a count made during the write must find the registration.
func (s *Store) register(ctx context.Context, name string, lists []string) error {
	update := bson.D{{Key: "$set", Value: bson.D{{Key: pendingField(name), Value: time.Now().UTC()}}}, revised()}
	models := make([]mongo.WriteModel, len(lists))
	for i, list := range lists {
		models[i] = mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: list}}).SetUpdate(update).SetUpsert(true)
	}
	for { // two that make the same tally at once: one of them finds it at the next try
		_, err := s.collection(tallies).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
		if err == nil {
			return nil
		}
		if !mongo.IsDuplicateKeyError(err) || ctx.Err() != nil {
			return fmt.Errorf("register with the counts of %v: %w", lists, err)
		}
	}
}

// apply adds the differences of a registered write, and ends its registration. If a reader has
// removed the registration as abandoned, it may have counted before the write: then the tally is
// marked for a new count.
func (s *Store) apply(ctx context.Context, name string, lists []string, by map[string]int64) error {
	registered := bson.E{Key: pendingField(name), Value: bson.D{{Key: "$exists", Value: true}}}
	models := make([]mongo.WriteModel, len(lists))
	for i, list := range lists {
		models[i] = mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: list}, registered}).SetUpdate(bson.D{
			{Key: "$inc", Value: bson.D{{Key: "n", Value: by[list]}, {Key: "rev", Value: int64(1)}}},
			{Key: "$unset", Value: bson.D{{Key: pendingField(name), Value: ""}}},
		})
	}
	result, err := s.collection(tallies).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	if err != nil {
		return fmt.Errorf("apply to the counts of %v: %w", lists, err)
	}
	if result.MatchedCount == int64(len(lists)) || by == nil {
		return nil
	}
	return s.distrust(ctx, lists)
}

// distrust has lists counted anew by their next reader.
func (s *Store) distrust(ctx context.Context, lists []string) error {
	_, err := s.collection(tallies).UpdateMany(ctx, in("_id", lists), bson.D{{Key: "$set", Value: bson.D{{Key: "ok", Value: false}}}, revised()})
	if err != nil {
		return fmt.Errorf("have %v counted anew: %w", lists, err)
	}
	return nil
}

func revised() bson.E { return bson.E{Key: "$inc", Value: bson.D{{Key: "rev", Value: int64(1)}}} }

// readTallies returns the tallies of lists that there are.
func (s *Store) readTallies(ctx context.Context, lists []string) (map[string]*tally, error) {
	found, err := find[tally](ctx, s.collection(tallies), in("_id", lists), nil)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*tally, len(found))
	for _, t := range found {
		out[t.ID] = t
	}
	return out, nil
}

// refill stores counts that were made after the tallies was were read. It uses compare-and-set, so
// a count isn't stored if a write registered or ended meanwhile. If there was no tally, no write
// was in progress, and a later write has made one: then the insert fails. A failure leaves the
// tally as it is. It takes a slot of lists: a reader doesn't wait for writers.
func (s *Store) refill(ctx context.Context, was map[string]*tally, counted map[string]int64, now time.Time) {
	var models []mongo.WriteModel
	for _, list := range slices.Sorted(maps.Keys(counted)) {
		set := bson.D{{Key: "n", Value: counted[list]}, {Key: "ok", Value: true}, {Key: "countedAt", Value: now.UTC()}}
		t := was[list]
		if t == nil {
			models = append(models, mongo.NewUpdateOneModel().SetUpsert(true).
				SetFilter(bson.D{{Key: "_id", Value: list}, {Key: "rev", Value: bson.D{{Key: "$exists", Value: false}}}}).
				SetUpdate(bson.D{{Key: "$set", Value: set}, revised()}))
			continue
		}
		if t.underWay(now) {
			continue
		}
		update := bson.D{{Key: "$set", Value: set}, revised()}
		if len(t.Pending) > 0 {
			abandoned := bson.D{}
			for _, name := range slices.Sorted(maps.Keys(t.Pending)) {
				abandoned = append(abandoned, bson.E{Key: pendingField(name), Value: ""})
			}
			update = append(update, bson.E{Key: "$unset", Value: abandoned})
		}
		models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: list}, {Key: "rev", Value: t.Rev}}).SetUpdate(update))
	}
	if len(models) == 0 {
		return
	}
	err := s.bulkheads.lists.within(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, cache.WriteLimit)
		defer cancel()
		_, err := s.collection(tallies).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
		return err
	})
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		s.log.WarnContext(ctx, "a count couldn't be written down", "error", err)
	}
}

// forgetTallies deletes the tallies of a parent that has gone, and of all lists under it. One that
// stays because of a failure is asked for by nobody.
func (s *Store) forgetTallies(ctx context.Context, parent id.ID) {
	_, err := s.collection(tallies).DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: string(parent)}, {Key: "$lt", Value: string(parent) + string('/'+1)}}}})
	if err != nil {
		s.log.WarnContext(ctx, "a count stays without its list", "list", parent, "error", err)
	}
}

// articlesCounted is by how much the lists of articles under authors and tags, and the list of all,
// grow when before turns into after; nil for an article that isn't there.
func articlesCounted(before, after *Article) map[string]int64 {
	by := map[string]int64{}
	for _, side := range []struct {
		article *Article
		by      int64
	}{{before, -1}, {after, 1}} {
		if side.article == nil || !side.article.Public() {
			continue
		}
		for _, parent := range compactIDs(slices.Concat(side.article.AuthorIDs, side.article.TagIDs, []id.ID{AllArticles})) {
			by[string(parent)] += side.by
		}
	}
	maps.DeleteFunc(by, func(_ string, n int64) bool { return n == 0 })
	return by
}
