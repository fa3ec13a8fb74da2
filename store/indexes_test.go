package store

// The start of processes on a database without its indexes, or on one that can't be used.

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"stoa/store/embedded"
)

func TestOneProcessAtATimeMakesIndexesHoweverLongTheyTake(t *testing.T) {
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, server.Close(context.Background())) })
	const limit = 2 * time.Second
	var making sync.Mutex
	made := 0
	open := func(log *logged) (*Store, error) {
		return Open(t.Context(), Options{
			URI: server.URI(), Dialer: server.Dialer(), StartLimit: limit, CacheBytes: 1 << 20, Log: slog.New(slog.NewTextHandler(log, nil)),
			OnCommand: func(name string) {
				if name != "createIndexes" {
					return
				}
				if !making.TryLock() {
					t.Error("two processes make indexes at once")
					return
				}
				defer making.Unlock()
				if made++; made == 1 {
					time.Sleep(limit + limit/2)
				}
			},
		})
	}
	var first logged
	s, err := open(&first)
	check(t, err)
	wanted := made
	check(t, s.AddArticle(t.Context(), published("press", second(100))))
	check(t, s.Close(context.Background()))
	if strings.Contains(first.String(), "made an index") {
		t.Errorf("an empty database is no news:\n%s", &first)
	}

	// The indexes of a collection with documents are lost, and three processes start.
	client, err := connect(Options{URI: server.URI(), Dialer: server.Dialer(), Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	lost, err := drop(t.Context(), client)
	check(t, err)
	check(t, client.disconnect(context.Background()))
	made = 0
	var logs [3]logged
	var all sync.WaitGroup
	for i := range logs {
		all.Go(func() {
			s, err := open(&logs[i])
			if err != nil {
				t.Error(err)
				return
			}
			missing, err := s.missingIndexes(t.Context())
			if err != nil || len(missing) > 0 {
				t.Errorf("it has started without %v, %v", missing, err)
			}
			if err := s.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made != lost || lost < 3 || wanted < 3 {
		t.Errorf("%d indexes were made, and %d were missing", made, lost)
	}
	told := logs[0].String() + logs[1].String() + logs[2].String()
	if n := strings.Count(told, "made an index"); n != lost || strings.Count(told, "left=0") != 1 {
		t.Errorf("the log tells of %d indexes:\n%s", n, told)
	}
}

// drop removes all indexes of articles, and returns their number.
func drop(ctx context.Context, s *Store) (int, error) {
	c := s.db.Collection(articles)
	specs, err := c.Indexes().ListSpecifications(ctx)
	if err != nil {
		return 0, err
	}
	return len(specs) - 1, c.Indexes().DropAll(ctx)
}

func TestAStartThatWaitingCantHelpEndsAtOnce(t *testing.T) {
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, server.Close(context.Background())) })
	secured := httptest.NewTLSServer(http.NotFoundHandler())
	defer secured.Close()
	for name, o := range map[string]Options{
		"another's password":        {URI: strings.Replace(server.URI(), "mongodb://", "mongodb://reader:secret@", 1), Dialer: server.Dialer()},
		"a certificate of nobody's": {URI: "mongodb://" + secured.Listener.Addr().String() + "/?tls=true"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		o.CacheBytes, o.Log, o.StartLimit = 1<<20, slog.New(slog.DiscardHandler), 4*time.Minute
		_, err := Open(ctx, o)
		if err == nil || ctx.Err() != nil {
			t.Errorf("%s: the start ends with %v, %v", name, err, ctx.Err())
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: it tells the password: %v", name, err)
		}
		cancel()
	}
}
