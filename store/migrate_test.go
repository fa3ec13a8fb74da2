package store

// Migrations: leases, take-overs, kill -9 in the middle, dry runs, and indexes of earlier versions.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/store/embedded"
)

// sharedDatabase is a database that several processes reach, by its URI.
func sharedDatabase(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: dir})
	check(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	uri, ok, err := embedded.Find(dir)
	if check(t, err); !ok {
		t.Fatal("the database can't be found")
	}
	return uri
}

// connected is a store connected to a database, and no more.
func connected(t *testing.T, uri string) *Store {
	t.Helper()
	s, err := connect(Options{URI: uri, Log: slog.New(slog.DiscardHandler), Program: "this one"})
	check(t, err)
	t.Cleanup(func() { _ = s.disconnect(context.Background()) })
	return s
}

func formatIs(t *testing.T, s *Store) databaseFormat {
	t.Helper()
	d, err := s.readFormat(t.Context())
	check(t, err)
	return d
}

func setFormat(t *testing.T, s *Store, d databaseFormat) {
	t.Helper()
	d.ID = formatKey
	_, err := s.db.Collection(meta).ReplaceOne(t.Context(), byFormatKey(), d, options.Replace().SetUpsert(true))
	check(t, err)
}

func quickly(s *Store, all []migration) *migrator {
	l := s.newLease(formatKey)
	l.lasts, l.beat = 400*time.Millisecond, 20*time.Millisecond
	return &migrator{s, all, l, func(string) {}}
}

func TestANewDatabaseHasTheLatestFormat(t *testing.T) {
	s := openStore(t, nil)
	if d := formatIs(t, s); d.Version != latestFormat() || d.Holder != "" || s.format != latestFormat() {
		t.Errorf("its format is %+v", d)
	}
}

func TestADatabaseOfBeforeFormatsIsMigrated(t *testing.T) {
	uri := sharedDatabase(t)
	s := connected(t, uri)
	_, err := s.db.Collection(meta).InsertOne(t.Context(), bson.D{{Key: "_id", Value: siteKey}, {Key: "name", Value: "site"}})
	check(t, err)
	for _, i := range append(slices.Clone(indexesBefore), index{articles, []string{"mine"}, false, false}) {
		_, err := s.db.Collection(articles).Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: i.keys(), Options: options.Index().SetName(i.name())})
		check(t, err)
	}
	pending, err := Pending(t.Context(), Options{URI: uri, Log: s.log})
	check(t, err)
	for _, want := range []string{"make the index slug_1 of articles", "format 1: drop the indexes", "  drop the index tagIds_1_status_1_titleKey_1__id_1 of articles"} {
		if !slices.ContainsFunc(pending, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("what is pending doesn't say %q: %q", want, pending)
		}
	}
	if d := formatIs(t, s); d.ID != "" {
		t.Errorf("who only asks has written the format %+v", d)
	}

	opened, err := Open(t.Context(), Options{URI: uri, CacheBytes: 1 << 20, Log: s.log, Program: "this one"})
	check(t, err)
	t.Cleanup(func() { _ = opened.Close(context.Background()) })
	if d := formatIs(t, s); d.Version != 0 {
		t.Errorf("before it is migrated the format is %+v", d)
	}
	var told []string
	for range 2 {
		check(t, opened.Migrate(t.Context(), func(name string) { told = append(told, name) }))
	}
	if d := formatIs(t, s); d.Version != len(migrations) || d.Program != "this one" || d.Holder != "" || d.Oldest != 0 {
		t.Errorf("then it is %+v", d)
	}
	if len(told) != len(migrations) || told[0] != migrations[0].name {
		t.Errorf("told was %q", told)
	}
	there, err := s.db.Collection(articles).Indexes().ListSpecifications(t.Context())
	check(t, err)
	mine := false
	for _, i := range there {
		mine = mine || i.Name == "mine_1"
		if slices.ContainsFunc(indexesBefore, func(old index) bool { return old.name() == i.Name }) {
			t.Errorf("there still is %s", i.Name)
		}
	}
	if !mine {
		t.Error("an index that isn't Stoa's has gone")
	}
	pending, err = Pending(t.Context(), Options{URI: uri, Log: s.log})
	if check(t, err); len(pending) > 0 {
		t.Errorf("then there is pending %q", pending)
	}
}

// indexesBefore are indexes of the versions before formats that have other names now.
var indexesBefore = []index{
	{articles, []string{"status", "titleKey", "_id"}, false, false},
	{articles, []string{"status", "-updatedAt", "-_id"}, false, false},
	{articles, []string{"tagIds", "status", "titleKey", "_id"}, false, false},
	{articles, []string{"tagIds", "status", "-updatedAt", "-_id"}, false, false},
	{articles, []string{"authorIds", "status", "titleKey", "_id"}, false, false},
	{articles, []string{"authorIds", "status", "-updatedAt", "-_id"}, false, false},
}

func TestADatabaseThatNeedsANewerProgramIsRefused(t *testing.T) {
	uri := sharedDatabase(t)
	s := connected(t, uri)
	newer := latestFormat() + 2
	for name, c := range map[string]struct {
		reason string
		format databaseFormat
		want   []string // in the error; nil for none
	}{
		"Contracted": {"what this program reads has gone", databaseFormat{Version: newer, Oldest: newer, Program: "stoa v9"}, []string{fmt.Sprintf("needs a Stoa that knows format %d", newer), fmt.Sprintf("knows format %d", latestFormat()), "stoa v9", `"stoa"`}},
		"Expanded":   {"a newer program has added to it", databaseFormat{Version: newer, Oldest: latestFormat(), Program: "stoa v9"}, nil},
		"Same":       {"", databaseFormat{Version: latestFormat(), Oldest: latestFormat()}, nil},
	} {
		setFormat(t, s, c.format)
		opened, err := Open(t.Context(), Options{URI: uri, CacheBytes: 1 << 20, Log: s.log})
		if err == nil {
			check(t, opened.Migrate(t.Context(), func(name string) { t.Errorf("%s begins", name) }))
			check(t, opened.Close(context.Background()))
		}
		_, planned := Pending(t.Context(), Options{URI: uri, Log: s.log})
		if (err != nil) != (c.want != nil) || (planned != nil) != (c.want != nil) {
			t.Errorf("%s: %s: %v, %v", name, c.reason, err, planned)
		}
		for _, want := range c.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: %v doesn't say %q", name, err, want)
			}
		}
		if now := formatIs(t, s); now.Version != c.format.Version || now.Oldest != c.format.Oldest {
			t.Errorf("%s: the format is now %+v", name, now)
		}
	}
}

func TestMigrationsRunOnceInOrder(t *testing.T) {
	uri := sharedDatabase(t)
	first := connected(t, uri)
	setFormat(t, first, databaseFormat{})
	var mu sync.Mutex
	var ran []int
	var at atomic.Int32
	all := make([]migration, 3)
	for n := range all {
		all[n] = migration{name: fmt.Sprint(n), oldest: n, do: func(ctx context.Context, s *Store) error {
			if at.Add(1) > 1 {
				t.Error("two migrate at a time")
			}
			defer at.Add(-1)
			<-time.After(50 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			ran = append(ran, n)
			return nil
		}}
	}
	var group sync.WaitGroup
	for range 4 {
		s := connected(t, uri)
		group.Go(func() {
			if err := quickly(s, all).run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if !slices.Equal(ran, []int{0, 1, 2}) {
		t.Errorf("run were %v", ran)
	}
	if d := formatIs(t, first); d.Version != 3 || d.Oldest != 2 || d.Holder != "" {
		t.Errorf("the format is %+v", d)
	}
}

func TestAMigrationThatFailsIsBegunAgain(t *testing.T) {
	s := connected(t, sharedDatabase(t))
	setFormat(t, s, databaseFormat{})
	tries := 0
	all := []migration{
		{name: "first", do: func(context.Context, *Store) error { return nil }},
		{name: "second", do: func(context.Context, *Store) error {
			if tries++; tries == 1 {
				return errors.New("no room")
			}
			return nil
		}},
	}
	if err := quickly(s, all).run(t.Context()); err == nil || !strings.Contains(err.Error(), "second: no room") {
		t.Errorf("it fails with %v", err)
	}
	if d := formatIs(t, s); d.Version != 1 || d.Holder != "" {
		t.Errorf("after the failure the format is %+v", d)
	}
	check(t, quickly(s, all).run(t.Context()))
	if d := formatIs(t, s); d.Version != 2 || tries != 2 {
		t.Errorf("after %d tries the format is %+v", tries, d)
	}
}

// A migrator delayed for longer than its lease completes nothing when it comes back.
func TestAMigratorThatWasTakenOverCompletesNothing(t *testing.T) {
	uri := sharedDatabase(t)
	slow, other := connected(t, uri), connected(t, uri)
	m := quickly(slow, nil)
	setFormat(t, other, databaseFormat{Holder: m.lease.self})
	began, ended := make(chan struct{}), make(chan struct{})
	m.all = []migration{{name: "held", do: func(context.Context, *Store) error { // deaf to its context, like a stopped process
		close(began)
		<-ended
		return nil
	}}}
	m.lease.beat = time.Hour
	failed := make(chan error, 1)
	go func() { failed <- m.lead(t.Context()) }()
	<-began
	setFormat(t, other, databaseFormat{Holder: "another", Beat: 7})
	close(ended)
	if err := <-failed; !errors.Is(err, errTakenOver) {
		t.Errorf("it ends with %v", err)
	}
	if d := formatIs(t, other); d.Version != 0 || d.Holder != "another" || d.Beat != 7 {
		t.Errorf("the format is %+v", d)
	}
}

// A migrator that hears of its replacement stops its work.
func TestAMigratorThatWasTakenOverStops(t *testing.T) {
	uri := sharedDatabase(t)
	slow, other := connected(t, uri), connected(t, uri)
	m := quickly(slow, []migration{{name: "endless", do: func(ctx context.Context, _ *Store) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}}})
	setFormat(t, other, databaseFormat{Holder: m.lease.self})
	m.tell = func(string) { setFormat(t, other, databaseFormat{Holder: "another"}) }
	if err := m.lead(t.Context()); !errors.Is(err, errTakenOver) {
		t.Errorf("it ends with %v", err)
	}
}

// marked is a migration of many documents that takes its time: each document is counted once.
func marked(spacing time.Duration) []migration {
	return []migration{{name: "mark", do: func(ctx context.Context, s *Store) error {
		for {
			left := s.db.Collection("things").FindOne(ctx, bson.D{{Key: "marks", Value: bson.D{{Key: "$exists", Value: false}}}})
			var d struct {
				ID int `bson:"_id"`
			}
			if err := left.Decode(&d); errors.Is(err, mongo.ErrNoDocuments) {
				return nil
			} else if err != nil {
				return err
			}
			_, err := s.db.Collection("things").UpdateOne(ctx, bson.D{{Key: "_id", Value: d.ID}, {Key: "marks", Value: bson.D{{Key: "$exists", Value: false}}}},
				bson.D{{Key: "$inc", Value: bson.D{{Key: "marks", Value: 1}}}})
			if err != nil {
				return err
			}
			<-time.After(spacing)
		}
	}}}
}

// The process that TestAMigrationThatIsKilledIsCompletedByAnother kills.
func TestMigratingProcess(t *testing.T) {
	uri := os.Getenv("STOA_TEST_MIGRATE")
	if uri == "" {
		t.Skip("it is a part of another test")
	}
	_ = quickly(connected(t, uri), marked(10*time.Millisecond)).run(t.Context())
}

func TestAMigrationThatIsKilledIsCompletedByAnother(t *testing.T) {
	uri := sharedDatabase(t)
	s := connected(t, uri)
	setFormat(t, s, databaseFormat{})
	things := make([]bson.D, 200)
	for i := range things {
		things[i] = bson.D{{Key: "_id", Value: i}}
	}
	_, err := s.db.Collection("things").InsertMany(t.Context(), things)
	check(t, err)
	marks := func() int64 {
		n, err := s.db.Collection("things").CountDocuments(t.Context(), bson.D{{Key: "marks", Value: 1}})
		check(t, err)
		return n
	}
	for round := range 2 {
		child := exec.Command(os.Args[0], "-test.run=^TestMigratingProcess$")
		child.Env = append(os.Environ(), "STOA_TEST_MIGRATE="+uri)
		before := marks()
		check(t, child.Start())
		deadline := time.Now().Add(30 * time.Second)
		for marks() < before+10 {
			if time.Now().After(deadline) {
				t.Fatal("the process doesn't migrate")
			}
			<-time.After(5 * time.Millisecond)
		}
		check(t, child.Process.Kill())
		_ = child.Wait()
		d := formatIs(t, s)
		if n := marks(); n >= 200 || d.Holder == "" || d.Version != 0 {
			t.Fatalf("round %d: it was killed with %d marks, and the format is %+v", round, n, d)
		}
	}
	check(t, quickly(s, marked(0)).run(t.Context()))
	if n := marks(); n != 200 {
		t.Errorf("%d of 200 are marked once", n)
	}
	if d := formatIs(t, s); d.Version != 1 || d.Holder != "" {
		t.Errorf("the format is %+v", d)
	}
}
