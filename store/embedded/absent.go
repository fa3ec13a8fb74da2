//go:build !(linux || darwin || freebsd) || stoa_noembedded

package embedded

import (
	"context"
	"io"
	"net"

	"stoa/problem"
)

// Server stands for the server in a build that has the embedded database.
type Server struct{}

// Open returns Invalid: this build has no embedded database.
func Open(context.Context, Options) (*Server, error) { return nil, absent() }

func absent() error {
	return problem.New(problem.Invalid, "this build has no embedded database: set STOA_MONGODB_URI to a MongoDB server")
}

// Find finds no server.
func Find(string) (uri string, ok bool, err error) { return "", false, nil }

// URI names nothing: there is no Server in this build.
func (s *Server) URI() string { return "" }

// Dialer returns one that always fails: there is no Server in this build.
func (s *Server) Dialer() Dialer { return Dialer{} }

// Dialer would make own connections to a server.
type Dialer struct{}

// DialContext always fails: there is no Server in this build.
func (Dialer) DialContext(context.Context, string, string) (net.Conn, error) { return nil, absent() }

// Examined is 0: there is no Server in this build.
func (s *Server) Examined() int64 { return 0 }

// OnForeignWrite does nothing: there is no Server in this build.
func (s *Server) OnForeignWrite(func()) {}

// Close does nothing: there is no Server in this build.
func (s *Server) Close(context.Context) error { return nil }

// Snapshot stands for the snapshot in a build that has the embedded database.
type Snapshot struct{}

// Collection would be a collection of a Snapshot.
type Collection struct {
	Database, Name   string
	Documents, Bytes int64
	Metadata         []byte
}

// OpenSnapshot returns Invalid: this build has no embedded database.
func OpenSnapshot(context.Context, string) (*Snapshot, error) { return nil, absent() }

// Collections always fails: there is no Snapshot in this build.
func (s *Snapshot) Collections() ([]Collection, error) { return nil, absent() }

// Write always fails: there is no Snapshot in this build.
func (s *Snapshot) Write(Collection, io.Writer) error { return absent() }

// Close does nothing: there is no Snapshot in this build.
func (s *Snapshot) Close() error { return nil }

// Restore stands for the restore in a build that has the embedded database.
type Restore struct{}

// BeginRestore returns Invalid: this build has no embedded database.
func BeginRestore(context.Context, string) (*Restore, error) { return nil, absent() }

// Collection always fails: there is no Restore in this build.
func (r *Restore) Collection(context.Context, string, []byte, io.Reader) (int, error) {
	return 0, absent()
}

// Check always fails: there is no Restore in this build.
func (r *Restore) Check(context.Context) error { return absent() }

// Commit always fails: there is no Restore in this build.
func (r *Restore) Commit() error { return absent() }

// Close does nothing: there is no Restore in this build.
func (r *Restore) Close() error { return nil }
