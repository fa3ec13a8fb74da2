//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file stores documents in one SQLite file. Reads run beside one another, each on a snapshot.
// Writes run one after another on one connection; those that wait together are committed together,
// and a write is acknowledged once its commit is on the disk. Entry points: openStorage,
// storage.read, storage.write.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// pageCache is SQLite's cache of pages for each reading connection, in KiB, and writerCache
	// that of the writing one. The kernel caches the other pages.
	pageCache   = 1024
	writerCache = 4096

	// groupLimit bounds the writes that are committed together, groupTime the time in which a group
	// grows.
	groupLimit = 64
	groupTime  = 10 * time.Millisecond
)

// maxReads is the number of reads at once. More would only take turns on the processors.
var maxReads = 2 * runtime.GOMAXPROCS(0)

// storage is an open file of documents.
type storage struct {
	db *sql.DB

	catalog atomic.Pointer[catalog]
	// changes counts changes of the catalog, twice each: it is odd while one is being committed.
	// See session.pin.
	changes atomic.Uint64

	reading chan struct{} // holds an element for each read under way
	mu      sync.Mutex
	idle    []*session

	writes  chan *write
	closing chan struct{}
	writer  sync.WaitGroup
}

// openStorage opens the file, and makes it if it is missing.
func openStorage(ctx context.Context, file string) (*storage, error) {
	// SQLite would let the process's umask decide on its readers.
	made, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", OmitHost: true, Path: file}
	name.RawQuery = url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", fmt.Sprintf("cache_size(-%d)", pageCache),
		"temp_store(MEMORY)", "journal_size_limit(4194304)",
	}}.Encode()
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	s := &storage{
		db: db, reading: make(chan struct{}, maxReads),
		writes: make(chan *write), closing: make(chan struct{}),
	}
	writer, err := s.newSession(ctx)
	if err == nil {
		err = s.prepare(writer)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.writer.Go(func() { s.serveWrites(writer) })
	return s, nil
}

// prepare makes sure that the file has this version's schema, and reads its catalog.
func (s *storage) prepare(writer *session) error {
	var version int64
	if err := writer.row("PRAGMA user_version", nil, &version); err != nil {
		return err
	}
	switch version {
	case schemaVersion:
	case 0:
		if err := writer.script(fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT", schema, schemaVersion)); err != nil {
			return fmt.Errorf("make the tables: %w", err)
		}
	default:
		return fmt.Errorf("the database has the format version %d, and this program reads %d: start it by the version of Stoa that made it, or a newer one", version, schemaVersion)
	}
	if err := writer.script(fmt.Sprintf("PRAGMA cache_size = -%d", writerCache)); err != nil {
		return err
	}
	c, err := writer.loadCatalog()
	if err != nil {
		return fmt.Errorf("read the list of collections: %w", err)
	}
	s.catalog.Store(c)
	return nil
}

// close ends the writer after the writes under way, and closes the file. No read may be under way.
func (s *storage) close() error {
	close(s.closing)
	s.writer.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.idle {
		r.close()
	}
	return s.db.Close()
}

// session is one connection to the file with its prepared statements.
type session struct {
	storage *storage
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt
	ctx     context.Context // of the command that uses the session

	// For the command: the numbers of index keys and of documents read.
	keys, documents int64

	catalog *catalog
	// changes is storage.changes from the time that catalog was taken; pinned says that the
	// snapshot is of the same moment.
	changes uint64
	pinned  bool
	writing bool
}

func (s *storage) newSession(ctx context.Context) (*session, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{storage: s, conn: conn, stmts: map[string]*sql.Stmt{}, ctx: context.Background()}, nil
}

func (s *session) close() {
	for _, stmt := range s.stmts {
		stmt.Close()
	}
	s.conn.Close()
}

// Statements run without the command's context: each is short, and a context costs a goroutine.
// Loops over many rows call check in between.
var always = context.Background()

// maxStatements is the number of prepared statements in a session.
const maxStatements = 500

func (s *session) stmt(query string) (*sql.Stmt, error) {
	if stmt := s.stmts[query]; stmt != nil {
		return stmt, nil
	}
	if len(s.stmts) >= maxStatements {
		for old, stmt := range s.stmts {
			stmt.Close()
			delete(s.stmts, old)
		}
	}
	stmt, err := s.conn.PrepareContext(always, query)
	if err != nil {
		return nil, err
	}
	s.stmts[query] = stmt
	return stmt, nil
}

// each calls visit for each row of a query, until visit returns an error; errStop ends it without
// one.
func (s *session) each(query string, args []any, visit func(scan func(...any) error) error) error {
	stmt, err := s.stmt(query)
	if err != nil {
		return s.changed(err)
	}
	rows, err := stmt.QueryContext(always, args...)
	if err != nil {
		return s.changed(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows.Scan); err != nil {
			if errors.Is(err, errStop) {
				err = nil
			}
			return errors.Join(err, s.pin())
		}
	}
	if err := rows.Err(); err != nil {
		return s.changed(err)
	}
	return s.pin()
}

var (
	errStop    = errors.New("enough rows")
	errCatalog = errors.New("the catalog has changed since")
)

// row reads one row.
func (s *session) row(query string, args []any, into ...any) error {
	found := false
	err := s.each(query, args, func(scan func(...any) error) error {
		found = true
		return scan(into...)
	})
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return err
}

// script runs statements that aren't worth preparing.
func (s *session) script(text string) error {
	_, err := s.conn.ExecContext(always, text)
	return err
}

func (s *session) exec(query string, args ...any) (sql.Result, error) {
	stmt, err := s.stmt(query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(always, args...)
}

// pin makes sure that the session's catalog is that of its snapshot: no change of the catalog was
// committed since the catalog was taken.
func (s *session) pin() error {
	if s.pinned || s.writing {
		return nil
	}
	if s.storage.changes.Load() != s.changes {
		return errCatalog
	}
	s.pinned = true
	return nil
}

// changed returns errCatalog in place of err if a change of the catalog may have caused err.
func (s *session) changed(err error) error {
	if s.pin() != nil {
		return errCatalog
	}
	return err
}

// check returns an error if the command has to end: its client has gone, or its time is over.
func (s *session) check() error { return interrupted(s.ctx) }

func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return fail(codeInterrupted, "operation was interrupted")
	}
	return fail(codeMaxTimeExpired, "operation exceeded time limit")
}

// read calls do with a session on one snapshot of the file, when it is the caller's turn. If do
// returns keep, the session remains the caller's, to be ended by release.
func (s *storage) read(ctx context.Context, do func(*session) (keep bool, err error)) error {
	select {
	case s.reading <- struct{}{}:
	case <-ctx.Done():
		return interrupted(ctx)
	}
	defer func() { <-s.reading }()
	for {
		r, err := s.begin(ctx)
		if err != nil {
			return err
		}
		keep := false
		func() {
			defer func() {
				if !keep { // also if do panics
					s.release(r)
				}
			}()
			keep, err = do(r)
			keep = keep && err == nil
		}()
		if keep {
			return nil
		}
		if !errors.Is(err, errCatalog) {
			return err
		}
	}
}

// resume calls do with a session that an earlier read kept.
func (s *storage) resume(ctx context.Context, r *session, do func() error) error {
	select {
	case s.reading <- struct{}{}:
	case <-ctx.Done():
		return interrupted(ctx)
	}
	defer func() { <-s.reading }()
	r.ctx, r.keys, r.documents = ctx, 0, 0
	return do()
}

func (s *storage) begin(ctx context.Context) (*session, error) {
	s.mu.Lock()
	var r *session
	if n := len(s.idle); n > 0 {
		r, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	s.mu.Unlock()
	if r == nil {
		var err error
		if r, err = s.newSession(ctx); err != nil {
			return nil, err
		}
	}
	r.ctx, r.keys, r.documents, r.pinned = ctx, 0, 0, false
	for {
		r.changes = s.changes.Load()
		r.catalog = s.catalog.Load()
		if r.changes%2 == 0 && s.changes.Load() == r.changes {
			break
		}
		runtime.Gosched() // a change is being committed
	}
	if _, err := r.exec("BEGIN"); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// release ends a session's snapshot and keeps the session for the next read.
func (s *storage) release(r *session) {
	r.ctx = always
	if _, err := r.exec("COMMIT"); err != nil {
		r.close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) < maxReads {
		s.idle = append(s.idle, r)
		return
	}
	r.close()
}

// transaction is the session of a write, in its turn.
type transaction struct {
	*session
}

// write is a write that waits for its turn.
type write struct {
	ctx  context.Context
	do   func(*transaction) error
	err  error
	done chan struct{}
}

// write calls do in a transaction and returns once its changes are on the disk. If do returns an
// error, its changes are undone. A write whose context ends before its turn isn't made.
func (s *storage) write(ctx context.Context, do func(*transaction) error) error {
	w := &write{ctx: ctx, do: do, done: make(chan struct{})}
	select {
	case s.writes <- w:
	case <-ctx.Done():
		return interrupted(ctx)
	case <-s.closing:
		return errClosed
	}
	<-w.done
	return w.err
}

// serveWrites makes the writes, in groups, until the storage closes.
func (s *storage) serveWrites(writer *session) {
	defer writer.close()
	writer.writing = true
	for {
		select {
		case first := <-s.writes:
			s.writeGroup(writer, first)
		case <-s.closing:
			return
		}
	}
}

// writeGroup makes first and the writes waiting behind it in one SQLite transaction.
func (s *storage) writeGroup(writer *session, first *write) {
	began := time.Now()
	writer.catalog = s.catalog.Load()
	group := []*write{first}
	_, err := writer.exec("BEGIN IMMEDIATE")
	if err == nil {
		err = writer.write(first)
	more:
		for err == nil && len(group) < groupLimit && time.Since(began) < groupTime {
			select {
			case next := <-s.writes:
				group = append(group, next)
				err = writer.write(next)
			default:
				break more
			}
		}
	}
	if err == nil {
		err = s.commit(writer)
	}
	if err != nil {
		// Some errors have ended the transaction already.
		_, _ = writer.exec("ROLLBACK")
	}
	for _, w := range group {
		if w.err == nil && err != nil {
			w.err = diskError(err)
		}
		close(w.done)
	}
}

// commit commits the writer's transaction, and gives the readers its catalog.
func (s *storage) commit(writer *session) error {
	if writer.catalog == s.catalog.Load() {
		_, err := writer.exec("COMMIT")
		return err
	}
	s.changes.Add(1)
	defer s.changes.Add(1)
	if _, err := writer.exec("COMMIT"); err != nil {
		return err
	}
	s.catalog.Store(writer.catalog)
	return nil
}

// write makes one write of a group, whole or not at all. If it returns an error, SQLite has undone
// the whole group, as it does when the disk is full.
func (s *session) write(w *write) (lost error) {
	if w.err = interrupted(w.ctx); w.err != nil {
		return nil
	}
	s.ctx, s.keys, s.documents = w.ctx, 0, 0
	defer func() { s.ctx = always }()
	if _, err := s.exec("SAVEPOINT one"); err != nil {
		return err
	}
	there := s.catalog
	if w.err = s.attempt(w); w.err != nil {
		s.catalog = there
		if _, err := s.exec("ROLLBACK TO one"); err != nil {
			return w.err
		}
	}
	_, err := s.exec("RELEASE one")
	return err
}

// attempt calls the function of a write. A panic in it is an error of that write alone.
func (s *session) attempt(w *write) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return diskError(w.do(&transaction{session: s}))
}

// diskError gives a full disk MongoDB's number.
func diskError(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xFF == sqlite3.SQLITE_FULL {
		return fail(codeOutOfDisk, "the disk of the data folder is full: nothing was written; make room and try again")
	}
	return err
}

// holder returns the row with key in a column of a table; 0 if there is none.
func (s *session) holder(table, column string, key []byte) (rid int64, err error) {
	err = s.row("SELECT rid FROM "+table+" WHERE "+column+" = ?", []any{key}, &rid)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return rid, err
}
