package app

// Migrations of the database: beside requests, and by the sub-command. Entry points:
// App.migrate, runMigrate.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"stoa/store"
	"stoa/store/embedded"
)

// migrateAgain is the delay before a failed migration is tried again.
const migrateAgain = time.Minute

// migrate brings the database to the latest format while the replica serves. If the start
// waited for it, a supervisor might take the process for dead; see docs/decisions.md.
func (a *App) migrate(ctx context.Context) {
	for {
		err := a.Store.Migrate(ctx, func(name string) { a.log.Info("migrating the database", "migration", name) })
		if err == nil || ctx.Err() != nil {
			return
		}
		a.log.Error("a migration of the database failed; it is tried again", "in", migrateAgain, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(migrateAgain):
		}
	}
}

// runMigrate brings the database to the latest format and returns, or lists the pending
// migrations.
func runMigrate(ctx context.Context, c Config, log *slog.Logger, args []string, out io.Writer) error {
	dry := slices.Equal(args, []string{"--dry-run"})
	if len(args) > 0 && !dry {
		return usage("use: migrate [--dry-run]")
	}
	lines, err := pending(ctx, c, log)
	if err != nil {
		return err
	}
	if dry {
		for _, line := range lines {
			fmt.Fprintln(out, line)
		}
	}
	if len(lines) == 0 {
		_, err := fmt.Fprintln(out, "there is nothing to do")
		return err
	}
	if dry {
		return nil
	}
	a, err := openForCommand(ctx, c, log) // this makes the indexes
	if err != nil {
		return err
	}
	defer a.Close(context.WithoutCancel(ctx))
	if err := a.Store.Migrate(ctx, func(name string) { fmt.Fprintln(out, name) }); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	_, err = fmt.Fprintln(out, "done")
	return err
}

// pending lists the migrations that a database needs, and changes nothing.
func pending(ctx context.Context, c Config, log *slog.Logger) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	options := store.Options{URI: c.MongoDBURI, Log: log}
	if c.MongoDBURI != "" {
		lines, err := store.Pending(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("STOA_MONGODB_URI: %w", err)
		}
		return lines, nil
	}
	if _, err := os.Stat(c.Data); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the first start creates it in the latest format
	}
	uri, running, err := embedded.Find(c.Data)
	if err != nil {
		return nil, err
	}
	options.URI = uri
	if !running {
		server, err := embedded.Open(ctx, embedded.Options{Dir: c.Data, Logger: log})
		if err != nil {
			return nil, fmt.Errorf("STOA_DATA: %w", err)
		}
		defer func() { _ = server.Close(context.WithoutCancel(ctx)) }()
		options.URI, options.Dialer = server.URI(), server.Dialer()
	}
	return store.Pending(ctx, options)
}
