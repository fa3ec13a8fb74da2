// Package backup writes the embedded database and the folder of pictures into one file, and
// restores them into an empty data folder.
//
// A backup is a tar file:
//
//	manifest.json                             format, time, version of Stoa, counts
//	db/DATABASE/COLLECTION.metadata.json      the collection's indexes
//	db/DATABASE/COLLECTION.bson               its documents, one after another; both as mongodump has them
//	media/AB/NAME                             a picture
//	SHA256SUMS                                a line for each of these, as sha256sum has them, and one for all
//
// The documents are those of one moment. The pictures are read after them: the picture of a
// document was there before the document, and is never deleted.
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
	// Media says whether the pictures are in the backup; those of a bucket aren't.
	Media bool `json:"media"`
}

// Counts are the numbers of things in a backup.
type Counts struct {
	Collections, Documents, Pictures int
}

// sums are the checksums of a backup's files, in the files' order, and of all bytes of the backup.
type sums struct {
	lines bytes.Buffer
	all   hash.Hash
}

func newSums() *sums { return &sums{all: sha256.New()} }

func (s *sums) add(name string, sum []byte) { fmt.Fprintf(&s.lines, "%x  %s\n", sum, name) }

// allPrefix begins the last line. The program sha256sum takes that line for a comment.
const allPrefix = "# everything before this file's content: "

// size is the length of content.
func (s *sums) size() int64 {
	return int64(s.lines.Len() + len(allPrefix) + hex.EncodedLen(sha256.Size) + 1)
}

// content is the file of checksums. All bytes of the backup before it must be known.
func (s *sums) content() []byte {
	return fmt.Appendf(bytes.Clone(s.lines.Bytes()), "%s%x\n", allPrefix, s.all.Sum(nil))
}
