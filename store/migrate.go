package store

// Migrations: changes that a newer program makes once to the stored documents of a database, while
// replicas of the version before still serve. docs/operations.md has the rules for them. Entry
// points: migrations, Store.Migrate, Pending.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// migration is one change. It may be interrupted anywhere, begun again, and made by two processes
// at once: it looks for the rest of the work and remembers nothing. Documents that are cached are
// changed through Store.write, as everywhere.
type migration struct {
	name string
	// oldest is the least format that a program must know to use the database afterwards. A
	// migration that adds leaves it unchanged. One that removes sets it to the format of the first
	// version that didn't use the removed part.
	oldest int
	// left describes the work to do, a line each.
	left func(context.Context, *Store) ([]string, error)
	do   func(context.Context, *Store) error
}

// migrations are all migrations, the oldest first. The n-th brings a database to format n; none is
// ever changed or removed.
var migrations = []migration{
	{name: "drop the indexes that longer ones have replaced", left: replacedIndexes, do: dropReplaced},
	{name: "give comments the ids of those that they are under", left: unplacedComments, do: placeComments},
}

// replaced are the names of indexes of articles that end in publishedAt since format 1. The longer
// ones serve the same queries, also for replicas of the version before.
var replaced = []string{
	"status_1_titleKey_1__id_1", "status_1_updatedAt_-1__id_-1",
	"tagIds_1_status_1_titleKey_1__id_1", "tagIds_1_status_1_updatedAt_-1__id_-1",
	"authorIds_1_status_1_titleKey_1__id_1", "authorIds_1_status_1_updatedAt_-1__id_-1",
}

func replacedIndexes(ctx context.Context, s *Store) ([]string, error) {
	found, err := s.replacedThere(ctx)
	for i, name := range found {
		found[i] = "drop the index " + name + " of " + articles
	}
	return found, err
}

func (s *Store) replacedThere(ctx context.Context) ([]string, error) {
	there, err := s.db.Collection(articles).Indexes().ListSpecifications(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the indexes of %s: %w", articles, err)
	}
	var found []string
	for _, i := range there {
		if slices.Contains(replaced, i.Name) {
			found = append(found, i.Name)
		}
	}
	return found, nil
}

// indexNotFound is MongoDB's code for an index that another process has dropped meanwhile.
const indexNotFound = 27

func dropReplaced(ctx context.Context, s *Store) error {
	found, err := s.replacedThere(ctx)
	if err != nil {
		return err
	}
	for _, name := range found {
		err := s.db.Collection(articles).Indexes().DropOne(ctx, name)
		var refused mongo.ServerError
		if err != nil && !(errors.As(err, &refused) && refused.HasErrorCode(indexNotFound)) {
			return fmt.Errorf("drop the index %s: %w", name, err)
		}
	}
	return nil
}

// migrator runs migrations, one process at a time. Its lease is in the document of the format.
type migrator struct {
	store *Store
	all   []migration
	lease *lease
	tell  func(string) // is called with each migration that begins
}

// Migrate brings the database to the latest format, and calls tell with the name of each migration
// that it begins. If another process is migrating, it waits for the end, or takes over after the
// death of that process. It returns at once if there is nothing to do.
func (s *Store) Migrate(ctx context.Context, tell func(string)) error {
	if s.format >= latestFormat() {
		return nil
	}
	m := migrator{s, migrations, s.newLease(formatKey), tell}
	return m.run(ctx)
}

func (m *migrator) run(ctx context.Context) error {
	for {
		done, err := m.wait(ctx)
		if done || err != nil {
			return err
		}
		err = m.lead(ctx)
		if !errors.Is(err, errTakenOver) {
			return err
		}
	}
}

// wait returns when the lease is this migrator's, or when there is nothing left to do.
func (m *migrator) wait(ctx context.Context) (done bool, err error) {
	for {
		d, err := m.store.readFormat(ctx)
		if err != nil {
			return false, err
		}
		if d.Version >= len(m.all) {
			return true, nil
		}
		if taken, err := m.lease.take(ctx); taken || err != nil {
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(m.lease.beat):
		}
	}
}

// complete records a completed migration, if the lease is this migrator's, and reports whether it
// is.
func (m *migrator) complete(ctx context.Context, has, set bson.D) (bool, error) {
	result, err := m.store.db.Collection(meta).UpdateOne(ctx, append(m.lease.mine(), has...), bson.D{{Key: "$set", Value: set}})
	if err != nil {
		return false, fmt.Errorf("change the format of the database: %w", err)
	}
	return result.MatchedCount == 1, nil
}

// lead runs the rest of the migrations while the lease is this migrator's; errTakenOver after
// another has it.
func (m *migrator) lead(parent context.Context) error {
	ctx, release := m.lease.hold(parent)
	defer release()
	d, err := m.store.readFormat(ctx)
	if err != nil {
		return err
	}
	for n := d.Version; n < len(m.all); n++ {
		next := m.all[n]
		m.tell(next.name)
		if err := next.do(ctx, m.store); err != nil {
			if errors.Is(context.Cause(ctx), errTakenOver) {
				return errTakenOver
			}
			return fmt.Errorf("%s: %w", next.name, err)
		}
		d.Oldest = max(d.Oldest, next.oldest)
		still, err := m.complete(ctx, bson.D{{Key: "version", Value: n}},
			bson.D{{Key: "version", Value: n + 1}, {Key: "oldest", Value: d.Oldest}, {Key: "program", Value: m.store.program}})
		if err != nil {
			return err
		}
		if !still {
			return errTakenOver
		}
	}
	return nil
}

// Pending describes the work that opening a database and migrating it would do, a line each, and
// changes nothing. It fails if the database can't be reached within ctx, and if Open would refuse
// it.
func Pending(ctx context.Context, o Options) ([]string, error) {
	s, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.disconnect(context.WithoutCancel(ctx)) }()
	if err := s.awaitServer(ctx); err != nil {
		return nil, err
	}
	d, err := s.readFormat(ctx)
	if err == nil {
		err = s.refuseFormat(d)
	}
	if err != nil {
		return nil, err
	}
	missing, err := s.missingIndexes(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range missing {
		out = append(out, "make the index "+i.name()+" of "+i.collection)
	}
	slices.Sort(out)
	for n := d.Version; n < len(migrations); n++ {
		lines, err := migrations[n].left(ctx, s)
		if err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("format %d: %s", n+1, migrations[n].name))
		for _, line := range lines {
			out = append(out, "  "+line)
		}
	}
	return out, nil
}
