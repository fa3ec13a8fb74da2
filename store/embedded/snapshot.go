//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reads all documents of a file as of one moment, also while a server in another process
// writes. Entry point: openSnapshot.

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"slices"
	"strings"
)

// snapshot is a file of documents at one moment.
type snapshot struct {
	session     *session
	collections []*collection // by database and name
}

// openSnapshot opens a file of documents to read it.
func openSnapshot(ctx context.Context, file string) (*snapshot, error) {
	name := url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: "mode=ro&_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	s := &snapshot{}
	if s.session, err = (&storage{db: db}).newSession(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.session.ctx = ctx
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *snapshot) begin() error {
	if err := s.session.script("BEGIN"); err != nil {
		return err
	}
	var version int64
	if err := s.session.row("PRAGMA user_version", nil, &version); err != nil {
		return err
	}
	if version != schemaVersion {
		return fmt.Errorf("the database has the format version %d, and this program reads %d", version, schemaVersion)
	}
	c, err := s.session.loadCatalog()
	if err != nil {
		return err
	}
	for _, collection := range c.collections {
		s.collections = append(s.collections, collection)
	}
	slices.SortFunc(s.collections, func(a, b *collection) int {
		return cmp.Or(strings.Compare(a.database, b.database), strings.Compare(a.namespace.collection, b.namespace.collection))
	})
	return nil
}

// each calls visit with each document of c, in the order of insertion.
func (s *snapshot) each(c *collection, visit func(document []byte) error) error {
	for documents := newScan(s.session, c, nil); ; {
		e, ok, err := documents.next()
		if err != nil || !ok {
			return err
		}
		if err := visit(e.document); err != nil {
			return err
		}
	}
}

func (s *snapshot) close() error {
	s.session.close()
	return s.session.storage.db.Close()
}

// contents is a digest of a collection, for comparisons.
type contents struct {
	namespace namespace
	indexes   int
	documents int64
	sum       hash.Hash // of the documents one after another
}

func newContents(n namespace, indexes int) *contents {
	return &contents{namespace: n, indexes: indexes, sum: sha256.New()}
}

func (c *contents) add(document []byte) {
	c.documents++
	c.sum.Write(document)
}

func (c *contents) String() string {
	return fmt.Sprintf("%s: %d indexes, %d documents with the SHA-256 %x", c.namespace, c.indexes, c.documents, c.sum.Sum(nil))
}
