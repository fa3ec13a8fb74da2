package blob

// Blobs as files in a folder, and Staged, which adds many of them at once when a backup is
// restored.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Folder stores blobs as files, in subfolders by the first two letters of their names. The first
// Put creates it.
type Folder string

// halves is the subfolder for incomplete files. No blob's name has its first letter.
const halves = "_halves"

// abandoned is the age at which an incomplete file can't belong to a running process any more.
const abandoned = time.Hour

// newFolder removes the incomplete files that a crash has left.
func newFolder(path string) Folder {
	f := Folder(filepath.Clean(path))
	left, _ := os.ReadDir(filepath.Join(string(f), halves)) // it may be missing
	for _, half := range left {
		if info, err := half.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.RemoveAll(filepath.Join(string(f), halves, half.Name()))
		}
	}
	return f
}

func (f Folder) path(name string) string {
	return filepath.Join(string(f), name[:min(2, len(name))], name)
}

// Put writes a file into halves, and moves it to its place when all of it is on the disk.
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
	// Readable for a web server that serves the folder itself.
	if err := errors.Join(half.Chmod(0o644), half.Sync(), half.Close()); err != nil {
		return err
	}
	if err := os.Rename(half.Name(), f.path(name)); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a move into dir survive a crash.
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

// Each calls visit with each blob, in the order of names, and closes it.
func (f Folder) Each(ctx context.Context, visit func(name string, b *Blob) error) error {
	dirs, err := os.ReadDir(string(f))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the blobs: %w", err)
	}
	for _, dir := range dirs {
		if !dir.IsDir() || dir.Name() == halves {
			continue
		}
		files, err := os.ReadDir(filepath.Join(string(f), dir.Name()))
		if err != nil {
			return fmt.Errorf("list the blobs: %w", err)
		}
		for _, file := range files {
			if checkName(file.Name()) != nil || f.path(file.Name()) != filepath.Join(string(f), dir.Name(), file.Name()) {
				continue // not one of ours
			}
			if err := f.visit(ctx, file.Name(), visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f Folder) visit(ctx context.Context, name string, visit func(string, *Blob) error) error {
	b, err := f.Open(ctx, name)
	if err != nil {
		return err
	}
	defer b.Close()
	return visit(name, b)
}

// Staged holds blobs apart, on the disk of their folder, until all of them can be moved.
type Staged struct {
	folder Folder
	dir    string
	names  []string
}

// Stage begins to hold blobs apart. If the process is killed, its staged blobs are removed when
// they are old.
func (f Folder) Stage() (*Staged, error) {
	if err := os.MkdirAll(filepath.Join(string(f), halves), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Join(string(f), halves), "staged-")
	return &Staged{folder: f, dir: dir}, err
}

// Put stages a blob with the time at which it was made.
func (s *Staged) Put(name string, madeAt time.Time, content io.Reader) (err error) {
	if err := checkName(name); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	s.names = append(s.names, name)
	_, err = io.Copy(file, content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close(), os.Chtimes(file.Name(), madeAt, madeAt))
}

// Commit moves the blobs into their folder. After an error some of them are there; all may be
// staged again.
func (s *Staged) Commit() error {
	dirs := map[string]bool{string(s.folder): true}
	for _, name := range s.names {
		path := s.folder.path(name)
		dirs[filepath.Dir(path)] = true
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(s.dir, name), path); err != nil {
			return err
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return s.Remove()
}

// Remove removes the blobs that weren't moved.
func (s *Staged) Remove() error { return os.RemoveAll(s.dir) }
