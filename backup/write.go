package backup

// Backups written from a data folder. Entry point: Write, which streams the files through a writer.

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"time"

	"stoa/media/blob"
	"stoa/store/embedded"
)

// Source is the content of a backup to be written.
type Source struct {
	// Data is the data folder; a server may be serving it.
	Data string
	// Media is the folder of pictures; "" if they are in a bucket, which isn't backed up.
	Media blob.Folder
	// Version is the version of this program.
	Version string
}

// Write writes a backup to w. The memory that it needs doesn't grow with the documents. It returns
// problem.Invalid for a data folder without a database.
func Write(ctx context.Context, w io.Writer, from Source) (Counts, error) {
	snapshot, err := embedded.OpenSnapshot(ctx, from.Data)
	if err != nil {
		return Counts{}, err
	}
	defer snapshot.Close()
	out := newWriter(w, time.Now())
	text, err := json.Marshal(manifest{Format: format, Version: formatVersion, MadeAt: out.at, MadeBy: from.Version, Media: from.Media != ""})
	if err != nil {
		return Counts{}, err
	}
	if err := out.bytes(manifestName, text); err != nil {
		return Counts{}, err
	}
	collections, err := snapshot.Collections()
	if err != nil {
		return Counts{}, err
	}
	counts := Counts{Collections: len(collections)}
	for _, c := range collections {
		// As mongodump escapes them.
		name := path.Join("db", url.PathEscape(c.Database), url.PathEscape(c.Name))
		if err := out.bytes(name+metadataSuffix, c.Metadata); err != nil {
			return Counts{}, err
		}
		err := out.file(name+documentsSuffix, c.Bytes, out.at, func(w io.Writer) error { return snapshot.Write(c, w) })
		if err != nil {
			return Counts{}, err
		}
		counts.Documents += int(c.Documents)
	}
	if from.Media != "" {
		err := from.Media.Each(ctx, func(name string, b *blob.Blob) error {
			counts.Pictures++
			return out.file(mediaName(name), b.Size, b.MadeAt, func(w io.Writer) error {
				_, err := io.Copy(w, b)
				return err
			})
		})
		if err != nil {
			return Counts{}, err
		}
	}
	return counts, out.close()
}

// mediaName is the name of a picture in a backup: its name in the folder, below media.
func mediaName(name string) string { return path.Join("media", name[:min(2, len(name))], name) }

// writer writes a backup's files.
type writer struct {
	buffer *bufio.Writer
	tar    *tar.Writer
	sums   *sums
	at     time.Time
}

func newWriter(w io.Writer, at time.Time) *writer {
	out := &writer{buffer: bufio.NewWriterSize(w, 256<<10), sums: newSums(), at: at.UTC().Truncate(time.Second)}
	out.tar = tar.NewWriter(io.MultiWriter(out.buffer, out.sums.all))
	return out
}

// file writes a file of size bytes.
func (w *writer) file(name string, size int64, madeAt time.Time, content func(io.Writer) error) error {
	if err := w.header(name, size, madeAt); err != nil {
		return err
	}
	sum := sha256.New()
	if err := content(io.MultiWriter(w.tar, sum)); err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	w.sums.add(name, sum.Sum(nil))
	return nil
}

func (w *writer) header(name string, size int64, madeAt time.Time) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: madeAt.Truncate(time.Second)}
	if err := w.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	return nil
}

func (w *writer) bytes(name string, content []byte) error {
	return w.file(name, int64(len(content)), w.at, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// close writes the checksums and the end.
func (w *writer) close() error {
	if err := w.header(sumsName, w.sums.size(), w.at); err != nil {
		return err
	}
	if _, err := w.tar.Write(w.sums.content()); err != nil {
		return err
	}
	if err := w.tar.Close(); err != nil { // also if a file is shorter than its header says
		return err
	}
	return w.buffer.Flush()
}
