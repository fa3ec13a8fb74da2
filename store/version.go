package store

// The versions of stored data: the format of the database, in meta, which decides on the programs
// that can use it; and the formats of cached values, in Redis. docs/operations.md describes the
// consequences for an upgrade. Entry points: Store.checkFormat, formatOf.

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// latestFormat is the format that the migrations of this program bring a database to.
func latestFormat() int { return len(migrations) }

// formatKey is the id of the document in meta that has the database's format.
const formatKey = "format"

// databaseFormat records the migrations of a database, and the process that runs the next. A
// database from before formats has none, and counts as format 0.
type databaseFormat struct {
	ID string `bson:"_id"`
	// Version is the number of completed migrations.
	Version int `bson:"version"`
	// Oldest is the least format that a program must know to use the database.
	Oldest int `bson:"oldest"`
	// Program is the program that made the database or completed the last migration.
	Program string `bson:"program"`
	// Holder is the process that migrates, "" for none. Its lease is valid while Beat goes up.
	Holder string `bson:"holder"`
	Beat   int64  `bson:"beat"`
}

func byFormatKey() bson.D { return bson.D{{Key: "_id", Value: formatKey}} }

// readFormat returns the format of the database; one without an id if the database has none.
func (s *Store) readFormat(ctx context.Context) (databaseFormat, error) {
	var d databaseFormat
	err := s.db.Collection(meta).FindOne(ctx, byFormatKey()).Decode(&d)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return d, fmt.Errorf("read the format of the database: %w", err)
	}
	return d, nil
}

// checkFormat refuses a database after a newer program's change that this program can't use, and
// gives a format to a database without one: the latest to a new database, 0 to another.
func (s *Store) checkFormat(ctx context.Context) error {
	d, err := s.readFormat(ctx)
	if err == nil && d.ID == "" {
		d, err = s.giveFormat(ctx)
	}
	if err != nil {
		return err
	}
	s.format = d.Version
	return s.refuseFormat(d)
}

func (s *Store) refuseFormat(d databaseFormat) error {
	if d.Oldest <= latestFormat() {
		return nil
	}
	by := d.Program
	if by == "" {
		by = "a newer version"
	}
	return fmt.Errorf("the database %q needs a Stoa that knows format %d; this one knows format %d: start the version that brought it there (%s) or a newer one, or restore a backup from before that",
		s.db.Name(), d.Oldest, latestFormat(), by)
}

func (s *Store) giveFormat(ctx context.Context) (databaseFormat, error) {
	d := databaseFormat{ID: formatKey, Program: s.program}
	err := s.db.Collection(meta).FindOne(ctx, bson.D{{Key: "_id", Value: siteKey}}).Err()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments): // new
		d.Version = latestFormat()
		for _, m := range migrations {
			d.Oldest = max(d.Oldest, m.oldest)
		}
	case err != nil:
		return d, fmt.Errorf("look whether the database is new: %w", err)
	}
	_, err = s.db.Collection(meta).InsertOne(ctx, d)
	if mongo.IsDuplicateKeyError(err) { // another process was faster
		return s.readFormat(ctx)
	}
	if err != nil {
		return d, fmt.Errorf("give the database a format: %w", err)
	}
	return d, nil
}

// meaning goes up when cached values change their meaning and not their fields.
const meaning = 1

// formatOf is the cache.Table.Format of values stored as T: it changes as soon as a field is added,
// removed, renamed or gets another type.
func formatOf[T any]() uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, fmt.Sprint(meaning, " ", shapeOf[T]()))
	return h.Sum32()
}
