//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"strings"
	"sync"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// ferret is a running FerretDB.
type ferret struct {
	stop  context.CancelFunc
	ended chan struct{}
}

// making guards ferretdb.New, which writes a global of its own: two servers in one process
// may start at the same time in tests.
var making sync.Mutex

// startFerret starts FerretDB on the folder's database. When it returns, FerretDB listens on
// ferretSocket. It writes no file outside the folder, and reports to nobody.
func startFerret(f *folder, log *slog.Logger) (*ferret, error) {
	files := url.URL{Scheme: "file", OmitHost: true, Path: f.path(databaseName) + "/"}
	making.Lock()
	db, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: f.path(ferretSocket)},
		Logger:    slog.New(quiet{log.Handler()}),
		Handler:   "sqlite",
		SQLiteURL: files.String(),
	})
	making.Unlock()
	if err != nil {
		return nil, fmt.Errorf("start FerretDB: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	fdb := &ferret{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(fdb.ended)
		// A Server that nobody holds on to any more runs on, and so must its lock: the
		// garbage collector closes files that can't be reached.
		defer runtime.KeepAlive(f)
		_ = db.Run(ctx) // always nil, after ctx has ended
	}()
	return fdb, nil
}

// close ends FerretDB and returns when its files are closed. Commands that still run get
// the three seconds that FerretDB gives them.
func (f *ferret) close() {
	f.stop()
	<-f.ended
}

// quiet passes on FerretDB's log. Its warnings stay warnings, except that a command failed:
// the client is told that. What it calls information becomes debug, and its debug messages,
// which have whole documents in them, are dropped.
type quiet struct{ handler slog.Handler }

func level(l slog.Level) slog.Level {
	switch {
	case l < slog.LevelWarn:
		return slog.LevelDebug
	case l < slog.LevelError:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l > slog.LevelDebug && q.handler.Enabled(ctx, level(l))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	l := level(r.Level)
	if l == slog.LevelWarn && strings.HasPrefix(r.Message, "Response ") {
		l = slog.LevelDebug
	}
	if !q.handler.Enabled(ctx, l) {
		return nil
	}
	out := slog.NewRecord(r.Time, l, "FerretDB: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(a)
		return true
	})
	return q.handler.Handle(ctx, out)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.handler.WithAttrs(attrs)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.handler.WithGroup(name)} }
