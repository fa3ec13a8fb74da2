package replicaset_test

import (
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"stoa/tests/replicaset"
	"stoa/tests/stoatest"
)

// world is a set with a client, and another client of the server itself.
type world struct {
	*replicaset.Set
	through, beside *mongo.Collection
}

func start(t *testing.T) world {
	t.Helper()
	uri := stoatest.Database(t)
	set := replicaset.Between(t, uri)
	client, err := mongo.Connect(options.Client().ApplyURI(set.URI()).SetServerSelectionTimeout(1500 * time.Millisecond).
		SetWriteConcern(writeconcern.Majority()).SetTimeout(2 * time.Second))
	stoatest.Check(t, err)
	t.Cleanup(func() { _ = client.Disconnect(t.Context()) })
	return world{set, client.Database("stoa").Collection("things"), stoatest.OpenDatabase(t, uri).Collection("things")}
}

func (w world) add(t *testing.T, id string) error {
	t.Helper()
	_, err := w.through.InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}})
	return err
}

// has reports whether the server has a document, by either way to it.
func (w world) has(t *testing.T, of *mongo.Collection, id string) bool {
	t.Helper()
	return stoatest.Count(t, of.Database(), of.Name(), bson.D{{Key: "_id", Value: id}}) == 1
}

func TestASetPassesCommandsOn(t *testing.T) {
	w := start(t)
	stoatest.Check(t, w.add(t, "a"))
	if !w.has(t, w.through, "a") || !w.has(t, w.beside, "a") {
		t.Error("what was written isn't there")
	}
}

func TestASetWithoutPrimaryTakesNothing(t *testing.T) {
	w := start(t)
	stoatest.Check(t, w.add(t, "a"))
	w.StepDown()
	if err := w.add(t, "b"); err == nil {
		t.Error("it takes a write without a primary")
	}
	if err := w.through.FindOne(t.Context(), bson.D{}).Err(); err == nil {
		t.Error("it answers a read of the primary without one")
	}
	w.Elect()
	stoatest.Await(t, stoatest.InTime, "a write to be taken", func() bool { return w.add(t, "c") == nil })
	if w.has(t, w.beside, "b") || !w.has(t, w.beside, "c") {
		t.Error("the server has other writes than those that were taken")
	}
}

func TestAStalledWriteIsSeenLaterOrNever(t *testing.T) {
	for name, elected := range map[string]bool{"Later": false, "Never": true} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			stoatest.Check(t, w.add(t, "a"))
			w.Stall()
			if err := w.add(t, "b"); err == nil {
				t.Error("a write is acknowledged that no majority has")
			}
			if !w.has(t, w.through, "a") || w.has(t, w.through, "b") || w.Waiting() != 1 {
				t.Errorf("a reader sees a write that no majority has, or %d writes wait", w.Waiting())
			}
			if elected {
				w.StepDown()
				w.Elect()
			} else {
				w.Release(t)
			}
			stoatest.Await(t, stoatest.InTime, "a later write to be taken", func() bool { return w.add(t, "c") == nil })
			if got := w.has(t, w.beside, "b"); got == elected {
				t.Errorf("the stalled write is there: %t", got)
			}
		})
	}
}

func TestAWriteAroundABreakIsMadeOnce(t *testing.T) {
	for name, breaks := range map[string]func(*replicaset.Set){"Before": func(s *replicaset.Set) { s.BreakBefore("things", 1) }, "After": func(s *replicaset.Set) { s.BreakAfter("things", 1) }} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			stoatest.Check(t, w.add(t, "a"))
			breaks(w.Set)
			result, err := w.through.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: "a"}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}})
			if err != nil || result.MatchedCount != 1 {
				t.Fatalf("the driver doesn't repeat the write: %+v, %v", result, err)
			}
			var found struct{ N int }
			if err := w.beside.FindOne(t.Context(), bson.D{{Key: "_id", Value: "a"}}).Decode(&found); err != nil || found.N != 1 {
				t.Errorf("the write was made %d times, %v", found.N, err)
			}
		})
	}
}

func TestACutConnectionIsMadeAgain(t *testing.T) {
	w := start(t)
	stoatest.Check(t, w.add(t, "a"))
	w.Cut()
	if err := w.through.FindOne(t.Context(), bson.D{}).Err(); err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		t.Errorf("after a cut: %v", err)
	}
}
