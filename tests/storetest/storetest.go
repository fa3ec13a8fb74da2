// Package storetest opens a store over an embedded database of its own, for the tests of packages that stand
// on the store without the rest of Stoa. It may import store and store/embedded. Entry point: Open.
package storetest

import (
	"context"
	"log/slog"
	"testing"

	"stoa/store"
	"stoa/store/embedded"
)

// Open returns a store over an empty database, and its server. Both are closed when t ends.
func Open(t testing.TB) (*store.Store, *embedded.Server) {
	t.Helper()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	closed := func(what interface{ Close(context.Context) error }) {
		t.Cleanup(func() {
			if err := what.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	closed(server)
	s, err := store.Open(t.Context(), store.Options{URI: server.URI(), Dialer: server.Dialer(), Exclusive: true, CacheBytes: 16 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	closed(s)
	return s, server
}
