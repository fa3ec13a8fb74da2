//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reads the whole content of a data folder, and fills an empty folder with it, in the
// layout of mongodump. Entry points: OpenSnapshot, BeginRestore.

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/problem"
)

// Snapshot is the whole content of a data folder at one moment.
type Snapshot struct{ snapshot *snapshot }

// Collection is a collection of a Snapshot.
type Collection struct {
	Database, Name string
	// Documents is their number, Bytes their size as BSON.
	Documents, Bytes int64
	// Metadata is its name and indexes in extended JSON, as mongodump writes them.
	Metadata []byte

	collection *collection
}

// OpenSnapshot opens the documents in the data folder dir, also while a server in another process
// serves it. It returns Invalid for a folder without any. While the snapshot is open, the server
// can't shorten its write-ahead log.
func OpenSnapshot(ctx context.Context, dir string) (*Snapshot, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	file := filepath.Join(dir, documentsFile)
	if _, err := os.Stat(file); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("data folder: %w", err)
		}
		if old, err := ferretFiles(filepath.Join(dir, databaseName)); err == nil && len(old) > 0 {
			return nil, problem.New(problem.Invalid, "the data folder %s is that of an earlier version: start the server once, and it takes the folder over", dir)
		}
		return nil, problem.New(problem.Invalid, "the data folder %s has no database in it", dir)
	}
	s, err := openSnapshot(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("open the embedded database in %s: %w", dir, err)
	}
	return &Snapshot{s}, nil
}

// metadata is mongodump's description of a collection.
type metadata struct {
	Options        bson.D     `bson:"options"`
	Indexes        []bson.Raw `bson:"indexes"`
	CollectionName string     `bson:"collectionName"`
	Type           string     `bson:"type"`
}

// Collections returns the collections by database and name.
func (s *Snapshot) Collections() ([]Collection, error) {
	var all []Collection
	for _, c := range s.snapshot.collections {
		m := metadata{Options: bson.D{}, CollectionName: c.namespace.collection, Type: "collection"}
		for _, ix := range append([]*index{idIndex}, c.indexes...) {
			m.Indexes = append(m.Indexes, ix.specification())
		}
		text, err := bson.MarshalExtJSON(m, true, false)
		if err != nil {
			return nil, err
		}
		found := Collection{Database: c.database, Name: c.namespace.collection, Metadata: text, collection: c}
		if err := s.snapshot.session.row("SELECT count(*), coalesce(sum(length(doc)), 0) FROM "+c.table(), nil, &found.Documents, &found.Bytes); err != nil {
			return nil, fmt.Errorf("collection %s: %w", c.namespace, err)
		}
		all = append(all, found)
	}
	return all, nil
}

// Write writes the documents of c to w, one after another.
func (s *Snapshot) Write(c Collection, w io.Writer) error {
	return s.snapshot.each(c.collection, func(document []byte) error {
		_, err := w.Write(document)
		return err
	})
}

// Close closes the snapshot.
func (s *Snapshot) Close() error { return s.snapshot.close() }

// Restore fills a data folder without a database. The folder belongs to this process until Close,
// and has the database from Commit on.
type Restore struct {
	folder   *folder
	building *building
}

// BeginRestore begins to fill the data folder dir, made if it is missing. It returns Conflict if a
// server has the folder, or if there is a database in it.
func BeginRestore(ctx context.Context, dir string) (*Restore, error) {
	f, err := hold(dir)
	if err != nil {
		return nil, err
	}
	r := &Restore{folder: f}
	if r.building, err = r.begin(ctx); err != nil {
		f.release()
		return nil, err
	}
	return r, nil
}

func (r *Restore) begin(ctx context.Context) (*building, error) {
	there, err := filepath.Glob(filepath.Join(r.folder.path(databaseName), "*.sqlite"))
	if err != nil {
		return nil, err
	}
	if len(there) > 0 {
		return nil, problem.New(problem.Conflict, "the data folder %s has a database in it already (%s): choose another folder, or move that away", r.folder.dir, filepath.Join(databaseName, filepath.Base(there[0])))
	}
	return build(ctx, r.folder.dir)
}

// Collection fills a collection of a database with documents, one after another in the reader, and
// returns their number.
func (r *Restore) Collection(ctx context.Context, database string, describing []byte, documents io.Reader) (n int, err error) {
	var m metadata
	if err := bson.UnmarshalExtJSON(describing, true, &m); err != nil {
		return 0, fmt.Errorf("read its metadata: %w", err)
	}
	var indexes [][]byte
	for _, index := range m.Indexes {
		if name, _ := index.Lookup("name").StringValueOK(); name != idIndex.name {
			indexes = append(indexes, index)
		}
	}
	from := bufio.NewReaderSize(documents, 64<<10)
	err = r.building.fill(ctx, namespace{database, m.CollectionName}, indexes, func(add func([]byte) error) error {
		for {
			document, err := readBSON(from)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := add(document); err != nil {
				return err
			}
		}
	}, func(more int) { n += more })
	return n, err
}

// readBSON reads one document; io.EOF at the end.
func readBSON(from io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(from, size[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n < 5 || n > maxDocument {
		return nil, fmt.Errorf("a document has a length of %d bytes", n)
	}
	document := make([]byte, n)
	copy(document, size[:])
	_, err := io.ReadFull(from, document[4:])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return document, err
}

// Check reads the filled documents again, and makes sure that they are on the disk. Nothing can be
// filled in after it.
func (r *Restore) Check(ctx context.Context) error {
	return r.building.complete(ctx, func(string) {})
}

// Commit puts the database into the folder, after Check.
func (r *Restore) Commit() error {
	err := r.building.place()
	if err == nil {
		r.building = nil
	}
	return err
}

// Close gives the folder back, without a database unless it was committed.
func (r *Restore) Close() error {
	var err error
	if r.building != nil {
		err = r.building.abandon()
	}
	r.folder.release()
	return err
}
