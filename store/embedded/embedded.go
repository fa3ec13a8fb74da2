// Package embedded runs a MongoDB-compatible server inside the process, so that Stoa starts
// with nothing installed. It is for trying, for tests and for small sites.
//
// The server is FerretDB over SQLite files in the data folder, behind a proxy of ours:
//
//	own client ──── Server.Dialer ────┐
//	                                  ├─ proxy: one write at a time ── FerretDB ── DIR/db/*.sqlite
//	other processes ── DIR/stoa.sock ─┘
//
// FerretDB updates by reading and then overwriting, outside a transaction. The proxy makes
// that safe, whoever the client is. One process holds a data folder; the others (the import
// command) ask Find for it and go through stoa.sock.
//
// What is fast: FerretDB looks up one document by `_id` equal to a string or an ObjectID,
// thanks to an index of ours, where the filter has nothing else (in find: nothing else but
// dotted paths; in aggregate: as the first stage). The proxy sees to it that an update,
// findAndModify or delete of one such `_id` under further conditions is looked up as well, and
// a find of up to a hundred of them by `$in`, without order or limit, one by one. For
// everything else FerretDB reads the collection and decodes every document on the way, until
// it has enough of them: sort, count and skip take all. A document costs about 25 µs and 18 µs
// for each kB in it. Indexes keep values unique, and speed nothing up.
//
// Built with the tag stoa_noembedded, or for a system that has no flock, there is no server
// in it: Open says so and Find finds none.
//
// It may import problem, and nothing else of ours.
package embedded

import "log/slog"

// Options say where the database lives and whom it tells what it does.
type Options struct {
	// Dir is the data folder. It is made, for its owner only, when it is missing.
	Dir string

	// Logger receives warnings, and at debug level what FerretDB does; never a document
	// that is stored. Nil discards them.
	Logger *slog.Logger
}
