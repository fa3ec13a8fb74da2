package store

// Sessions: the devices that have signed in, and the times of their last use. Entry points: Sessions,
// Store.AddSession, EndSessions, RecordLastUses.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
)

// Sessions are the devices that have signed in.
var Sessions = &Kind[Session]{
	ID: id.Session, Name: "session", Collection: sessions, Private: true,
	Size:    func(x *Session) int64 { return int64(300 + len(x.Device) + len(x.Address)) },
	ReadFor: sessionsFor,
	Indexes: []index{{fields: []string{"accountId", "ended", "createdAt", "_id"}}, {fields: []string{"endsAt"}}, {fields: []string{"ended", "createdAt"}}},
}

// lastUseRecords are the times at which sessions were used last. Store.Sweep ends the sessions with
// them.
var lastUseRecords = &Uncached[LastUse]{Name: "a last use", Collection: lastUses, Indexes: [][]string{{"at"}}}

// sessionsFor returns the valid sessions with ids that the viewer may see, in their order: nil for
// the others.
func sessionsFor(ctx context.Context, s *Store, k *Kind[Session], ids []id.ID) ([]*Session, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil || !v.SignedIn() {
		return make([]*Session, len(ids)), err
	}
	found, err := k.any(ctx, s, ids)
	if err != nil {
		return nil, err
	}
	owner, err := Accounts.any(ctx, s, []id.ID{v.Account})
	if err != nil {
		return nil, err
	}
	for i, x := range found {
		if x != nil && (!x.VisibleTo(v) || owner[0] == nil || !x.StandsFor(owner[0], time.Now())) {
			found[i] = nil
		}
	}
	return found, nil
}

// AddSession stores a new session; Conflict if it was added before.
func (s *Store) AddSession(ctx context.Context, x *Session) error {
	return s.write(ctx, sessionKeys(x), func(ctx context.Context) error {
		if _, err := s.collection(sessions).InsertOne(ctx, x); err != nil {
			return conflict(err, "the session")
		}
		return nil
	})
}

func sessionKeys(xs ...*Session) []string {
	keys := []string{}
	for _, x := range xs {
		keys = append(append(keys, string(x.ID)), listKeys(x.AccountID)...)
	}
	return compact(keys)
}

// SessionsUnder returns the sessions of an account that aren't ended, the newest first, as they are
// in the database now.
func (s *Store) SessionsUnder(ctx context.Context, account id.ID) ([]*Session, error) {
	access.MarkPrivate(ctx)
	found, err := findList[Session](ctx, s.collection(sessions), sessionsOf([]id.ID{account}), nil)
	slices.SortFunc(found, func(a, b *Session) int { return strings.Compare(string(b.ID), string(a.ID)) })
	return found, err
}

// EndSessions ends sessions and empties device and address. The documents stay for a while: see
// Session.
func (s *Store) EndSessions(ctx context.Context, xs []*Session) error {
	if len(xs) == 0 {
		return nil
	}
	return s.write(ctx, sessionKeys(xs...), func(ctx context.Context) error {
		_, err := s.collection(sessions).UpdateMany(ctx, in("_id", sessionIDs(xs)),
			bson.D{{Key: "$set", Value: bson.D{{Key: "ended", Value: true}, {Key: "device", Value: ""}, {Key: "address", Value: ""}}}})
		if err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		return nil
	})
}

func sessionIDs(xs []*Session) []id.ID {
	ids := make([]id.ID, len(xs))
	for i, x := range xs {
		ids[i] = x.ID
	}
	return ids
}

// writtenAtOnce is the number of documents that one write changes, so that it ends in time.
const writtenAtOnce = 1000

func (s *Store) forgetSessions(ctx context.Context, all []*Session) error {
	for xs := range slices.Chunk(all, writtenAtOnce) {
		if err := s.forgetSome(ctx, xs); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forgetSome(ctx context.Context, xs []*Session) error {
	return s.write(ctx, sessionKeys(xs...), func(ctx context.Context) error {
		ids := sessionIDs(xs)
		for _, collection := range []string{lastUses, sessions} {
			if _, err := s.collection(collection).DeleteMany(ctx, in("_id", ids)); err != nil {
				return fmt.Errorf("delete from %s: %w", collection, err)
			}
		}
		return nil
	})
}

// LastUses returns the last use of each session, as it is in the database now: nil for a
// session that wasn't used since it began.
func (s *Store) LastUses(ctx context.Context, ids []id.ID) ([]*LastUse, error) {
	access.MarkPrivate(ctx)
	found, err := lastUseRecords.find(ctx, s, in("_id", ids), nil)
	out := make([]*LastUse, len(ids))
	for _, u := range found {
		for i, k := range ids {
			if k == u.Session {
				out[i] = u
			}
		}
	}
	return out, err
}

// RecordLastUses records the last use of sessions, in one command: each at most once in spacing,
// over all replicas. No cache has last uses, so none becomes stale.
func (s *Store) RecordLastUses(ctx context.Context, at map[id.ID]time.Time, spacing time.Duration) error {
	if len(at) == 0 {
		return nil
	}
	var updates []mongo.WriteModel
	for session, used := range at {
		updates = append(updates, mongo.NewUpdateOneModel().SetUpsert(true).
			SetFilter(bson.D{{Key: "_id", Value: session}, {Key: "at", Value: bson.D{{Key: "$lte", Value: used.Add(-spacing)}}}}).
			SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: "at", Value: used}}}}))
	}
	_, err := s.collection(lastUses).BulkWrite(ctx, updates, options.BulkWrite().SetOrdered(false))
	if err != nil && !mongo.IsDuplicateKeyError(err) { // a younger one is stored already
		return fmt.Errorf("record the last use of sessions: %w", err)
	}
	return nil
}

// endIdle ends the sessions that were last used at idle or before.
func (s *Store) endIdle(ctx context.Context, idle time.Time) error {
	unused, err := lastUseRecords.find(ctx, s, bson.D{{Key: "at", Value: bson.D{{Key: "$lte", Value: idle}}}}, nil)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(unused, writtenAtOnce) {
		ids := make([]id.ID, len(some))
		for i, u := range some {
			ids[i] = u.Session
		}
		found, err := find[Session](ctx, s.collection(sessions), in("_id", ids), nil)
		if err != nil {
			return err
		}
		if err := s.EndSessions(ctx, found); err != nil {
			return err
		}
		if _, err := lastUseRecords.delete(ctx, s, in("_id", ids)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) sweepSessions(ctx context.Context, filter bson.D) error {
	found, err := findList[Session](ctx, s.collection(sessions), filter, nil)
	if err != nil {
		return err
	}
	return s.forgetSessions(ctx, found)
}
