// Package embedded runs a MongoDB-compatible server inside the process, so that Stoa starts
// with nothing installed. It is for trying, for tests and for small sites, of up to 10,000
// posts; sites grow into MongoDB.
//
// It runs the commands that package store sends, and refuses everything else with an
// error that names it. Documents are BSON in one SQLite file, by their _id. Each index is
// a table of keys, and the bytes of a key are in MongoDB's order, so that ranges, orders and
// limits are read from SQLite's B-trees:
//
//	own client ──── Server.Dialer ──┐
//	                                ├─ conn ── command ── plan ── scan ── DIR/db/documents.v2.sqlite
//	other processes ─ DIR/stoa.sock ┘
//
// The way of a command: conn.go reads it (wire.go), handlers.go and read.go run it. A read
// runs on a snapshot: filter.go reads its filter, plan.go chooses indexes, scan.go reads
// them, query.go merges the results. A write waits for its turn in storage.go, changes
// documents (update.go) with all their keys (write.go) in one transaction, and is
// acknowledged once that is on the disk. value.go gives values their order.
//
// The first start takes over the folder of a version with FerretDB for a database
// (takeover.go, ferretdb.go, sjson.go). OpenSnapshot and BeginRestore serve backups.
//
// One process holds a data folder; the others (the import command) ask Find for it and go
// through stoa.sock. Built with the tag stoa_noembedded, or for a system without flock, the
// package has no server: Open returns an error and Find finds none.
//
// It may import problem, and nothing else of ours.
package embedded

import "log/slog"

// Options are the place of the database and its logger.
type Options struct {
	// Dir is the data folder. If it is missing, it is made, for its owner only.
	Dir string

	// Logger receives warnings, never a stored document. Nil discards them.
	Logger *slog.Logger
}
