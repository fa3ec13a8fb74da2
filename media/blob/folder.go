package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Folder keeps blobs as files below it, by the first two letters of their names. It is made
// when the first is put.
type Folder string

// halves is where files are until they are whole: no blob's name has its first letter.
const halves = "_halves"

// abandoned is after how long half a file belongs to nobody who still runs.
const abandoned = time.Hour

// newFolder removes what a crash has left.
func newFolder(path string) Folder {
	f := Folder(filepath.Clean(path))
	left, _ := os.ReadDir(filepath.Join(string(f), halves)) // there may be none
	for _, half := range left {
		if info, err := half.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(string(f), halves, half.Name()))
		}
	}
	return f
}

func (f Folder) path(name string) string {
	return filepath.Join(string(f), name[:min(2, len(name))], name)
}

// Put writes a file apart, and moves it to its place when all of it is on the disk.
func (f Folder) Put(ctx context.Context, name, _ string, content []byte) error {
	if err := f.put(ctx, name, content); err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

func (f Folder) put(ctx context.Context, name string, content []byte) (err error) {
	if err := errors.Join(checkName(name), ctx.Err()); err != nil {
		return err
	}
	dir, unfinished := filepath.Dir(f.path(name)), filepath.Join(string(f), halves)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.MkdirAll(unfinished, 0o755)); err != nil {
		return err
	}
	half, err := os.CreateTemp(unfinished, "*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = half.Close()
			_ = os.Remove(half.Name())
		}
	}()
	if _, err := half.Write(content); err != nil {
		return err
	}
	// Readable to a web server that serves the folder itself.
	if err := errors.Join(half.Chmod(0o644), half.Sync(), half.Close()); err != nil {
		return err
	}
	if err := os.Rename(half.Name(), f.path(name)); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes sure that what was moved into dir is there after a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open opens a file.
func (f Folder) Open(_ context.Context, name string) (*Blob, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	file, err := os.Open(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &Blob{file, info.Size(), info.ModTime()}, nil
}

// Has looks for a file.
func (f Folder) Has(_ context.Context, name string) (bool, error) {
	if err := checkName(name); err != nil {
		return false, err
	}
	_, err := os.Stat(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
