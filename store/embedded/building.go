//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file fills a new file of documents under another name, and puts it into its place when all
// of it is on the disk. Entry points: build, and fill, complete and place of building.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// unfinished ends the name of the file until it is complete.
const unfinished = ".new"

const (
	// batchCount and batchBytes bound the documents that are held in memory and committed together,
	// in number and in bytes.
	batchCount = 1000
	batchBytes = 4 << 20
)

// building is a file of documents under way. Its place is empty until place is called.
type building struct {
	file    string // its place
	storage *storage
	filled  []*contents
}

// build begins a file for the data folder dir. It removes the unfinished file of an earlier
// attempt.
func build(ctx context.Context, dir string) (*building, error) {
	b := &building{file: filepath.Join(dir, documentsFile)}
	if err := removeUnfinished(dir); err != nil {
		return nil, err
	}
	var err error
	b.storage, err = openStorage(ctx, b.file+unfinished)
	return b, err
}

// removeUnfinished removes the unfinished file of a killed process.
func removeUnfinished(dir string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, documentsFile) + unfinished + suffix); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// fill makes a collection with indexes in the form of listIndexes, and stores the documents that
// documents adds. progress is called with each number of documents committed.
func (b *building) fill(ctx context.Context, n namespace, indexes [][]byte, documents func(add func([]byte) error) error, progress func(int)) error {
	err := b.storage.write(ctx, func(t *transaction) error {
		c, err := t.createCollection(n)
		for _, specification := range indexes {
			if err != nil {
				return err
			}
			var ix *index
			if ix, err = parseIndex(specification); err == nil {
				c, err = t.createIndex(c, ix)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	filled := newContents(n, len(indexes))
	b.filled = append(b.filled, filled)
	var batch [][]byte
	size := 0
	commit := func() error {
		err := b.storage.write(ctx, func(t *transaction) error {
			c := t.catalog.collections[n]
			for _, document := range batch {
				var err error
				if c, err = t.insert(c, document); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			progress(len(batch))
		}
		batch, size = nil, 0
		return err
	}
	err = documents(func(document []byte) error {
		if err := checkDocument(document); err != nil {
			return err
		}
		document, err := prepareInsert(document)
		if err != nil {
			return err
		}
		filled.add(document)
		batch = append(batch, document)
		if size += len(document); len(batch) < batchCount && size < batchBytes {
			return nil
		}
		return commit()
	})
	if err != nil {
		return err
	}
	return commit()
}

// complete ends the filling: it reads the file again, compares it with the documents filled in, and
// makes sure that it is on the disk. reached is called between the steps.
func (b *building) complete(ctx context.Context, reached func(step string)) error {
	aside := b.file + unfinished
	err := b.storage.close()
	b.storage = nil
	if err != nil {
		return err
	}
	if log, err := os.Stat(aside + "-wal"); err == nil && log.Size() > 0 {
		return errors.New("SQLite has left some of the file in its write-ahead log")
	}
	reached("filled")
	if err := b.compare(ctx, aside); err != nil {
		return fmt.Errorf("compare the new file with its sources: %w", err)
	}
	reached("compared")
	return errors.Join(syncPath(aside), syncPath(filepath.Dir(aside)))
}

// place moves a complete file into its place. If it returns an error, the place is empty.
func (b *building) place() error {
	if err := os.Rename(b.file+unfinished, b.file); err != nil {
		return err
	}
	return errors.Join(syncPath(filepath.Dir(b.file)), removeUnfinished(filepath.Dir(filepath.Dir(b.file))))
}

func (b *building) compare(ctx context.Context, file string) error {
	there, err := openSnapshot(ctx, file)
	if err != nil {
		return err
	}
	defer there.close()
	if len(there.collections) != len(b.filled) {
		return fmt.Errorf("it has %d collections, not %d", len(there.collections), len(b.filled))
	}
	found := map[namespace]*contents{}
	for _, c := range there.collections {
		has := newContents(c.namespace, len(c.indexes))
		found[c.namespace] = has
		if err := there.each(c, func(document []byte) error { has.add(document); return nil }); err != nil {
			return err
		}
	}
	for _, want := range b.filled {
		if has := found[want.namespace]; has == nil || has.String() != want.String() {
			return fmt.Errorf("it has %s, not %s", has, want)
		}
	}
	return nil
}

// abandon removes the unfinished file.
func (b *building) abandon() error {
	var err error
	if b.storage != nil {
		err = b.storage.close()
	}
	return errors.Join(err, removeUnfinished(filepath.Dir(filepath.Dir(b.file))))
}

// syncPath makes sure that the content of a file, or the list of files of a folder, is on the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
