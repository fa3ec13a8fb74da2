//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file takes over the data folder of a version with FerretDB for its embedded database.
// Entry point: takeover.run.
//
//	DIR/db/*.sqlite, FerretDB's ── read, each in one transaction ──┐
//	                                    DIR/db/documents.v2.sqlite.new ── read again, compared, synced
//	                                    DIR/db/documents.v2.sqlite   ←── renamed: from here on it counts
//	DIR/db-before-v2/*.sqlite       ←── FerretDB's are moved
//
// Killed before the new file has its name, it begins again at the next start. Killed after that,
// it moves the rest of the files at the next start.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// ferretSocket is the name of the socket that FerretDB listened on, beside its files.
const ferretSocket = "ferretdb.sock"

// keptName is the folder, in the data folder, for the earlier version's files.
const keptName = "db-before-v2"

// ferretLeft matches the names of FerretDB's files, and of SQLite's files beside them.
var ferretLeft = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}\.sqlite(-wal|-shm|-journal)?$`)

// progressEvery is the time between two progress reports of a long takeover.
const progressEvery = 5 * time.Second

type takeover struct {
	dir string // the data folder, which this process holds
	log *slog.Logger

	free    func(dir string) (int64, error) // bytes free for files in dir
	reached func(step string)               // called between the steps
}

func newTakeover(dir string, log *slog.Logger) *takeover {
	return &takeover{dir: dir, log: log, free: freeBytes, reached: func(string) {}}
}

// run takes the folder over if FerretDB has files in it. If it returns an error, those files are
// unchanged, unless the error says otherwise.
func (t *takeover) run(ctx context.Context) error {
	if err := removeUnfinished(t.dir); err != nil {
		return err
	}
	databases, err := ferretFiles(t.path(databaseName))
	if err != nil {
		return err
	}
	_, err = os.Stat(t.path(documentsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		if len(databases) == 0 {
			return nil
		}
		if err := t.build(ctx, databases); err != nil {
			return fmt.Errorf("take over the documents of an earlier version (they stay as they were): %w", err)
		}
	}
	if err := t.moveFiles(); err != nil {
		return fmt.Errorf("move the files of an earlier version from %s to %s: their documents are in %s already: %w", t.path(databaseName), t.path(keptName), documentsFile, err)
	}
	return nil
}

func (t *takeover) path(name string) string { return filepath.Join(t.dir, name) }

// build makes the new file from the databases.
func (t *takeover) build(ctx context.Context, databases []string) error {
	if kept, err := os.ReadDir(t.path(keptName)); err == nil && len(kept) > 0 {
		return fmt.Errorf("%s has files of an earlier takeover: delete that folder, or give it another name", t.path(keptName))
	}
	if err := t.checkSpace(); err != nil {
		return err
	}
	b, err := build(ctx, t.dir)
	if err != nil {
		return err
	}
	t.reached("begun")
	for _, database := range databases {
		if err := t.takeDatabase(ctx, b, database); err != nil {
			return errors.Join(fmt.Errorf("database %s: %w", database, err), b.abandon())
		}
	}
	if err := b.complete(ctx, t.reached); err != nil {
		return errors.Join(err, b.abandon())
	}
	t.reached("synced")
	if err := b.place(); err != nil {
		return errors.Join(err, b.abandon())
	}
	t.reached("renamed")
	return nil
}

// spaceFor is the size of the new file, in bytes, to be expected for each 100 bytes of the old
// files.
const spaceFor = 150

// checkSpace estimates the size of the new file, and returns an error if the disk has less space.
func (t *takeover) checkSpace() error {
	files, err := os.ReadDir(t.path(databaseName))
	if err != nil {
		return err
	}
	var needed int64
	for _, file := range files {
		if info, err := file.Info(); err == nil && info.Mode().IsRegular() {
			needed += info.Size()
		}
	}
	needed = needed*spaceFor/100 + 2*batchBytes
	free, err := t.free(t.dir)
	if err != nil {
		return fmt.Errorf("ask how much is free on the disk: %w", err)
	}
	t.log.Info("embedded database: taking over the documents of an earlier version", "bytes needed", needed, "bytes free", free)
	if free < needed {
		return fmt.Errorf("the disk of %s has %d bytes free, and %d may be needed: make room, and start again", t.dir, free, needed)
	}
	return nil
}

func (t *takeover) takeDatabase(ctx context.Context, b *building, database string) (err error) {
	f, err := openFerret(ctx, t.path(databaseName), database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	for _, c := range f.collections {
		n := namespace{database, c.name}
		if strings.HasPrefix(c.name, "system.") {
			t.log.Warn("embedded database: a collection is left out, because MongoDB keeps such names to itself", "collection", n.String())
			continue
		}
		said, documents := time.Now(), 0
		err := b.fill(ctx, n, c.indexes, func(add func([]byte) error) error { return f.each(ctx, c, add) }, func(more int) {
			documents += more
			t.reached("batch")
			if time.Since(said) > progressEvery {
				said = time.Now()
				t.log.Info("embedded database: taking over", "collection", n.String(), "documents so far", documents)
			}
		})
		if err != nil {
			return fmt.Errorf("collection %s: %w", c.name, err)
		}
		t.log.Debug("embedded database: taken over", "collection", n.String(), "documents", documents)
	}
	return nil
}

// moveFiles moves the rest of FerretDB's files away.
func (t *takeover) moveFiles() error {
	files, err := os.ReadDir(t.path(databaseName))
	if err != nil {
		return err
	}
	moved := 0
	for _, file := range files {
		if !ferretLeft.MatchString(file.Name()) {
			continue
		}
		if moved == 0 {
			if err := os.MkdirAll(t.path(keptName), 0o700); err != nil {
				return err
			}
			if err := syncPath(t.dir); err != nil {
				return err
			}
		}
		to := filepath.Join(t.path(keptName), file.Name())
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("%s exists", to)
		}
		if err := os.Rename(filepath.Join(t.path(databaseName), file.Name()), to); err != nil {
			return err
		}
		moved++
		t.reached("moved")
	}
	if moved == 0 {
		return nil
	}
	_ = os.Remove(filepath.Join(t.path(databaseName), ferretSocket)) // of a killed process
	if err := errors.Join(syncPath(t.path(keptName)), syncPath(t.path(databaseName))); err != nil {
		return err
	}
	t.log.Info("embedded database: the documents of an earlier version were taken over. Its files are kept: delete their folder when they aren't needed any more. "+
		"To go back to that version, stop the server, delete the new file and move the old ones back",
		"new file", t.path(documentsFile), "old files", t.path(keptName), "back to", t.path(databaseName))
	return nil
}

// freeBytes returns the number of bytes that this process may still write to the disk of dir.
func freeBytes(dir string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, err
	}
	return int64(disk.Bavail) * int64(disk.Bsize), nil
}
