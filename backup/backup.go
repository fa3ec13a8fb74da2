// Package backup writes everything that the embedded database and the pictures' folder hold
// into one file, and puts that into an empty data folder again.
//
// A backup is a tar file:
//
//	manifest.json                             what it is, when and by which version it was made
//	db/DATABASE/COLLECTION.metadata.json      the collection's indexes
//	db/DATABASE/COLLECTION.bson               its documents, one after another; both as mongodump has them
//	media/AB/NAME                             a picture
//	SHA256SUMS                                a line for each of these, as sha256sum has them, and one for all
//
// The documents are those of one moment. The pictures are read after them: what a document
// names was there before it, and is never deleted.
//
// It may import media/blob, problem and store/embedded. Entry points: Write, Restore.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"time"
)

const (
	manifestName = "manifest.json"
	sumsName     = "SHA256SUMS"

	documentsSuffix = ".bson"
	metadataSuffix  = ".metadata.json"

	// format and formatVersion tell a backup from other tar files.
	format        = "stoa-backup"
	formatVersion = 1
)

// manifest is the first file in a backup.
type manifest struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	MadeAt  time.Time `json:"madeAt"`
	MadeBy  string    `json:"madeBy"`
	// Media says whether the pictures are in it; they aren't where they are in a bucket.
	Media bool `json:"media"`
}

// Counts is how much a backup has in it.
type Counts struct {
	Collections, Documents, Pictures int
}

// sums are the checksums of a backup's files, in their order, and of all of its bytes.
type sums struct {
	lines bytes.Buffer
	all   hash.Hash
}

func newSums() *sums { return &sums{all: sha256.New()} }

func (s *sums) add(name string, sum []byte) { fmt.Fprintf(&s.lines, "%x  %s\n", sum, name) }

// allPrefix begins the last line. sha256sum takes it for a comment.
const allPrefix = "# everything before this file's content: "

// size is the length of content.
func (s *sums) size() int64 {
	return int64(s.lines.Len() + len(allPrefix) + hex.EncodedLen(sha256.Size) + 1)
}

// content is the file of checksums, once all of the backup's bytes before it are known.
func (s *sums) content() []byte {
	return fmt.Appendf(bytes.Clone(s.lines.Bytes()), "%s%x\n", allPrefix, s.all.Sum(nil))
}
