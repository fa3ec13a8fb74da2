package backup

// Backups restored into data folders. Entry point: Restore, which reads the files of a backup by a
// reader and checks them.

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"stoa/media/blob"
	"stoa/problem"
	"stoa/store/embedded"
)

// Target is the place for a restored backup.
type Target struct {
	// Data is the data folder, made if it is missing. It has no database yet.
	Data string
	// Media is the folder for the pictures; "" for a bucket, and then a backup may have none.
	Media blob.Folder
}

// maxSmall is the size limit, in bytes, of a file that is read into memory: a manifest, or the
// indexes of a collection.
const maxSmall = 1 << 20

// Restore reads a backup from r, and puts it in place after it has read and checked all of it. It
// returns Invalid for a damaged backup, and Conflict if the data folder isn't empty or a server is
// serving it. After an error the data folder is as it was before.
func Restore(ctx context.Context, r io.Reader, into Target) (counts Counts, err error) {
	documents, err := embedded.BeginRestore(ctx, into.Data)
	if err != nil {
		return Counts{}, err
	}
	defer func() { err = errors.Join(err, documents.Close()) }()
	in := &reader{raw: bufio.NewReaderSize(r, 256<<10), sums: newSums(), documents: documents}
	in.tar = tar.NewReader(io.TeeReader(in.raw, in.sums.all))
	m, err := in.manifest()
	if err != nil {
		return Counts{}, err
	}
	if m.Media {
		if into.Media == "" {
			return Counts{}, problem.New(problem.Invalid, "the backup has pictures, and these are restored into a folder only, but STOA_MEDIA is a bucket: unset it, and copy the pictures from the folder to the bucket")
		}
		if in.media, err = into.Media.Stage(); err != nil {
			return Counts{}, err
		}
		defer func() { err = errors.Join(err, in.media.Remove()) }()
	}
	if err := in.files(ctx); err != nil {
		return Counts{}, err
	}
	if err := documents.Check(ctx); err != nil {
		return Counts{}, err
	}
	// A picture without a document does no harm, a document without its picture does.
	if in.media != nil {
		if err := in.media.Commit(); err != nil {
			return Counts{}, err
		}
	}
	return in.counts, documents.Commit()
}

// reader reads a backup's files.
type reader struct {
	raw       *bufio.Reader
	tar       *tar.Reader
	sums      *sums
	documents *embedded.Restore
	media     *blob.Staged
	counts    Counts

	metadata     []byte // of the collection whose documents are next
	metadataName string
}

// damaged returns the error for a backup with other content than was written.
func damaged(format string, args ...any) error {
	return problem.New(problem.Invalid, "the backup is damaged or cut off, and nothing of it was restored: "+format, args...)
}

// next goes on to the next file.
func (r *reader) next() (*tar.Header, error) {
	h, err := r.tar.Next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, tar.ErrHeader):
		return nil, damaged("it ends before its checksums (%v)", err)
	case err != nil:
		return nil, err
	case h.Typeflag != tar.TypeReg:
		return nil, damaged("%q isn't a file", h.Name)
	}
	return h, nil
}

// read hands the content of a file to a function, and records its checksum.
func (r *reader) read(h *tar.Header, to func(io.Reader) error) error {
	sum := sha256.New()
	content := io.TeeReader(r.tar, sum)
	err := to(content)
	if err == nil {
		_, err = io.Copy(io.Discard, content)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends in %s", h.Name)
	}
	if err != nil {
		return fmt.Errorf("nothing was restored: %s: %w", h.Name, err)
	}
	r.sums.add(h.Name, sum.Sum(nil))
	return nil
}

// small reads a file into memory.
func (r *reader) small(h *tar.Header) (content []byte, err error) {
	err = r.read(h, func(from io.Reader) error {
		content, err = io.ReadAll(io.LimitReader(from, maxSmall))
		return err
	})
	return content, err
}

func (r *reader) manifest() (m manifest, err error) {
	h, err := r.tar.Next()
	if err != nil || h.Name != manifestName {
		return m, problem.New(problem.Invalid, "this is no backup of Stoa")
	}
	text, err := r.small(h)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Format != format {
		return m, problem.New(problem.Invalid, "this is no backup of Stoa")
	}
	if m.Version != formatVersion {
		return m, problem.New(problem.Invalid, "the backup has the format version %d, and this program reads %d: restore it by the version of Stoa that made it, %s", m.Version, formatVersion, m.MadeBy)
	}
	return m, nil
}

// files reads all files after the manifest, the checksums last.
func (r *reader) files(ctx context.Context) error {
	for {
		h, err := r.next()
		if err != nil {
			return err
		}
		switch {
		case h.Name == sumsName:
			return r.checkSums()
		case strings.HasPrefix(h.Name, "db/"):
			err = r.collection(ctx, h)
		case strings.HasPrefix(h.Name, "media/"):
			err = r.picture(h)
		default:
			err = damaged("it has the unknown file %q", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

// collection reads one of a collection's two files.
func (r *reader) collection(ctx context.Context, h *tar.Header) (err error) {
	if name, ok := strings.CutSuffix(h.Name, metadataSuffix); ok {
		r.metadataName = name
		r.metadata, err = r.small(h)
		return err
	}
	name, ok := strings.CutSuffix(h.Name, documentsSuffix)
	if !ok || name != r.metadataName || strings.Count(name, "/") != 2 {
		return damaged("%q has no metadata before it", h.Name)
	}
	database, err := url.PathUnescape(path.Base(path.Dir(name)))
	if err != nil {
		return damaged("%q is no name of a collection", h.Name)
	}
	r.metadataName = ""
	return r.read(h, func(from io.Reader) error {
		n, err := r.documents.Collection(ctx, database, r.metadata, from)
		r.counts.Collections++
		r.counts.Documents += n
		return err
	})
}

func (r *reader) picture(h *tar.Header) error {
	name := path.Base(h.Name)
	if h.Name != mediaName(name) || r.media == nil {
		return damaged("it has the unknown file %q", h.Name)
	}
	r.counts.Pictures++
	return r.read(h, func(from io.Reader) error { return r.media.Put(name, h.ModTime, from) })
}

// checkSums compares the checksums in the backup with those of the files that were read, and checks
// that only zeros follow.
func (r *reader) checkSums() error {
	want := r.sums.content()
	there, err := io.ReadAll(io.LimitReader(r.tar, int64(len(want))+1))
	if err != nil {
		return damaged("it ends in its checksums (%v)", err)
	}
	if !bytes.Equal(there, want) {
		for line := range strings.Lines(r.sums.lines.String()) {
			if !bytes.Contains(there, []byte(line)) {
				return damaged("%s has changed since it was written", strings.TrimSpace(line[2*sha256.Size:]))
			}
		}
		return damaged("its checksums aren't those of its files")
	}
	return r.checkEnd(len(there))
}

// endSize is the length of a tar file's end, two blocks of zeros.
const endSize = 2 * 512

func (r *reader) checkEnd(size int) error {
	padding := (512 - size%512) % 512
	zeros := 0
	for {
		b, err := r.raw.ReadByte()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if b != 0 {
			return damaged("something follows its checksums")
		}
		zeros++
	}
	if zeros < padding+endSize {
		return damaged("its end is missing")
	}
	return nil
}
