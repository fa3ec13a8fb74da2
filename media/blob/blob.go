// Package blob stores files that are written once under a name and never changed: in a folder, or
// in a bucket of S3 or of a server with S3's protocol.
//
// It imports nothing of ours. Entry points: Open, the methods of Store.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// ErrNotFound is the error for a name without a blob.
var ErrNotFound = errors.New("there is no such blob")

// Store is a place for blobs: a Folder or a Bucket. A name must pass checkName.
//
// After Put has returned, the blob is complete, also after a crash; before that, no part of it can
// be seen. Putting a blob that exists is no error: blobs of one name are equal.
type Store interface {
	Put(ctx context.Context, name, contentType string, content []byte) error
	// Open returns the blob in one round trip, for the caller to close; ErrNotFound.
	Open(ctx context.Context, name string) (*Blob, error)
	// Has reports whether the blob exists.
	Has(ctx context.Context, name string) (bool, error)
}

// Blob is an open blob. Its content can seek if the store is a folder.
type Blob struct {
	io.ReadCloser
	Size   int64 // bytes
	MadeAt time.Time
}

// Open returns the store that a URL names: file:///path for a folder, or
// s3://BUCKET/PREFIX?endpoint=HOST:PORT&region=REGION for a bucket. It doesn't check that the
// folder or bucket exists.
func Open(location string) (Store, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" {
			return nil, errors.New("a folder is written file:///path, its path from the root")
		}
		return newFolder(u.Path), nil
	case "s3":
		return newBucket(u)
	}
	return nil, errors.New("it begins with neither file:// nor s3://")
}

// maxName is the length of a name in bytes.
const maxName = 128

// checkName refuses a name that isn't plain: any other name could lead out of the store.
func checkName(name string) error {
	if name == "" || len(name) > maxName || name[0] == '.' || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return fmt.Errorf("%.140q is no name of a blob", name)
	}
	return nil
}
