//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// A server and its data folder: kill -9 in mid-write, broken journals, locks, sockets, other
// processes, and closing. start and connect are for all tests.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.uber.org/goleak"

	"stoa/problem"
)

// childFolder is the environment variable with the data folder for a child process, a test binary
// that runs as a server: it inserts, and prints the acknowledged numbers, until it is killed.
const (
	childFolder = "STOA_TEST_CHILD_FOLDER"
	childFirst  = "STOA_TEST_CHILD_FIRST" // the first number that it inserts
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child writes as fast as it can: it inserts number i, changes it, and deletes it ten numbers
// later. It prints each number once all three are acknowledged.
func child(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	c, err := mongo.Connect(options.Client().ApplyURI(s.URI()).SetDialer(s.Dialer()))
	if err != nil {
		return err
	}
	// s isn't used from here on. Its lock must hold all the same.
	runtime.GC()
	runtime.GC()
	kept := c.Database("stoa").Collection("kept")
	if _, err := kept.Indexes().CreateMany(ctx, []mongo.IndexModel{{Keys: bson.D{{Key: "state", Value: 1}, {Key: "n", Value: -1}}}, {Keys: bson.D{{Key: "list", Value: 1}}}}); err != nil {
		return err
	}
	first, err := strconv.Atoi(os.Getenv(childFirst))
	if err != nil {
		return err
	}
	for i := first; ; i++ {
		byID := bson.D{{Key: "_id", Value: i}}
		if _, err := kept.InsertOne(ctx, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: i}, {Key: "state", Value: "new"}, {Key: "list", Value: bson.A{i, i + 1}}}); err != nil {
			return err
		}
		if _, err := kept.UpdateOne(ctx, byID, bson.D{{Key: "$set", Value: bson.D{{Key: "state", Value: "changed"}, {Key: "list", Value: bson.A{-i}}}}}); err != nil {
			return err
		}
		if _, err := kept.DeleteOne(ctx, bson.D{{Key: "_id", Value: i - 10}}); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// start opens a server that is closed when the test ends.
func start(t testing.TB, dir string) *Server {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t testing.TB, o *options.ClientOptions) *mongo.Client {
	t.Helper()
	// The driver gives up after a wait for a connection, by default after 30 s. With the race
	// detector, on a busy machine, the last of 1,500 writes comes later.
	c, err := mongo.Connect(o.SetServerSelectionTimeout(10 * time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// It disconnects from a server that the test may have closed.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = c.Disconnect(ctx)
	})
	return c
}

func own(t testing.TB, s *Server) *mongo.Client {
	t.Helper()
	return connect(t, options.Client().ApplyURI(s.URI()).SetDialer(s.Dialer()))
}

func foreign(t testing.TB, dir string) *mongo.Client {
	t.Helper()
	uri, ok, err := Find(dir)
	if err != nil || !ok {
		t.Fatalf("no server found in %s: %v", dir, err)
	}
	return connect(t, options.Client().ApplyURI(uri))
}

func insert(t testing.TB, c *mongo.Client, collection string, documents ...any) {
	t.Helper()
	if _, err := c.Database("stoa").Collection(collection).InsertMany(context.Background(), documents); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, c *mongo.Client, collection string) int64 {
	t.Helper()
	n, err := c.Database("stoa").Collection(collection).CountDocuments(context.Background(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kills is the number of servers that TestAcknowledgedWritesSurviveKill kills in mid-write; some
// hundred times by
//
//	STOA_TEST_KILLS=300 go test -run TestAcknowledgedWritesSurviveKill -timeout 30m ./store/embedded
const kills = "STOA_TEST_KILLS"

func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	rounds := 4
	if text := os.Getenv(kills); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "data")
	next := 0
	for round := range rounds {
		acknowledged := killInMidWrite(t, dir, next, round)
		if _, err := os.Lstat(filepath.Join(dir, socketName)); err != nil {
			t.Errorf("this test promises a start after a kill: %v", err)
		}
		if uri, ok, err := Find(dir); ok || err != nil {
			t.Errorf("a killed server was found at %q: %v", uri, err)
		}
		s := start(t, dir)
		kept := own(t, s).Database("stoa").Collection("kept")
		var states []struct {
			ID    int `bson:"_id"`
			State string
		}
		cursor, err := kept.Find(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: next}}}}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		if err := cursor.All(t.Context(), &states); err != nil {
			t.Fatal(err)
		}
		// All numbers are deleted but the last ten acknowledged ones. Those exist, and of the
		// writes under way a part may.
		want := max(next, acknowledged-9)
		for _, d := range states {
			if d.ID < want && d.ID != acknowledged-9 {
				t.Errorf("number %d was deleted, and is there", d.ID)
			}
			if d.ID <= acknowledged && d.State != "changed" {
				t.Errorf("number %d was changed, and is %s", d.ID, d.State)
			}
			if d.ID == want {
				want++
			}
		}
		if want <= acknowledged && (want != acknowledged-9 || len(states) < 9) {
			t.Errorf("number %d of %d was acknowledged and is gone", want, acknowledged)
		}
		checkIndexes(t, s)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		next = acknowledged + 100
	}
}

// killInMidWrite has a child write numbers from first on, kills it at some moment, and returns the
// last number acknowledged.
func killInMidWrite(t *testing.T, dir string, first, round int) (acknowledged int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+dir, childFirst+"="+strconv.Itoa(first))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	acknowledged = first - 1
	last := first + 20 + rand.IntN(200)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if acknowledged, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if acknowledged == first && round == 0 {
			_, err := Open(t.Context(), Options{Dir: dir})
			if pid := strconv.Itoa(cmd.Process.Pid); !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "process "+pid) {
				t.Errorf("opening the folder of process %s gave %v", pid, err)
			}
		}
		if acknowledged == last {
			// Somewhere in the next writes.
			time.AfterFunc(time.Duration(rand.IntN(5000))*time.Microsecond, func() { cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // it was killed
	if acknowledged < last {
		t.Fatalf("the child ended after number %d", acknowledged)
	}
	return acknowledged
}

// checkIndexes runs SQLite's own check on the file, and compares the keys of every index with the
// documents.
func checkIndexes(t *testing.T, s *Server) {
	t.Helper()
	err := s.storage.read(t.Context(), func(r *session) (bool, error) {
		var verdict string
		if err := r.row("PRAGMA integrity_check", nil, &verdict); err != nil || verdict != "ok" {
			t.Errorf("SQLite finds %q, %v", verdict, err)
		}
		for n, c := range r.catalog.collections {
			want := make([]map[string]int64, len(c.indexes))
			for i := range want {
				want[i] = map[string]int64{}
			}
			all := newScan(r, c, nil)
			for {
				e, ok, err := all.next()
				if err != nil || !ok {
					break
				}
				for i, ix := range c.indexes {
					keys, many, err := ix.keys(e.document, e.rid)
					if err != nil || many&^ix.many != 0 {
						t.Errorf("index %s of %s: arrays in %b, known %b: %v", ix.name, n, many, ix.many, err)
					}
					for _, k := range keys {
						want[i][string(k)] = e.rid
					}
				}
			}
			for i, ix := range c.indexes {
				keys := newScan(r, c, ix)
				found := 0
				for {
					e, ok, err := keys.next()
					if err != nil {
						return false, err
					}
					if !ok {
						break
					}
					found++
					if rid, ok := want[i][string(e.key)]; !ok || rid != e.rid {
						t.Errorf("index %s of %s has the key %x of row %d, and no document has this key", ix.name, n, e.key, e.rid)
					}
				}
				if found != len(want[i]) {
					t.Errorf("index %s of %s has %d keys, and documents have %d", ix.name, n, found, len(want[i]))
				}
			}
		}
		return false, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// An acknowledged write is on the disk: SQLite syncs its journal at every commit. A journal that
// lost its end, as at a power failure, or has rubbish there, loses nothing before.
func TestAJournalWithoutItsEndLosesNothingBefore(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	var synchronous int
	err := s.storage.write(t.Context(), func(w *transaction) error { return w.row("PRAGMA synchronous", nil, &synchronous) })
	if err != nil || synchronous != 2 {
		t.Fatalf("the writer's synchronous is %d, %v, want 2 for FULL", synchronous, err)
	}
	c := own(t, s)
	insert(t, c, "kept", bson.D{{Key: "_id", Value: 1}})
	journal := func(of string) string { return filepath.Join(of, documentsFile+"-wal") }
	before, err := os.Stat(journal(dir))
	if err != nil {
		t.Fatal(err)
	}
	insert(t, c, "kept", bson.D{{Key: "_id", Value: 2}})
	copied := func(change func(journal []byte) []byte) int64 {
		t.Helper()
		to := t.TempDir()
		if err := os.Mkdir(filepath.Join(to, databaseName), 0o700); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join(dir, documentsFile))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, documentsFile), file, 0o600)
		}
		if err == nil {
			file, err = os.ReadFile(journal(dir))
		}
		if err == nil {
			err = os.WriteFile(journal(to), change(file), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		cut := start(t, to)
		checkIndexes(t, cut)
		return count(t, own(t, cut), "kept")
	}
	for _, end := range []int64{before.Size(), before.Size() + 1, before.Size() + 5000} {
		if n := copied(func(b []byte) []byte { return b[:min(end, int64(len(b))-1)] }); n != 1 {
			t.Errorf("cut at %d of the second write: %d documents, want 1", end, n)
		}
	}
	if n := copied(func(b []byte) []byte { return append(b, make([]byte, 10_000)...) }); n != 2 {
		t.Errorf("with zeros behind its end: %d documents, want 2", n)
	}
}

func TestAFullDiskIsAnErrorThatLosesNothing(t *testing.T) {
	s := start(t, t.TempDir())
	c := own(t, s)
	insert(t, c, "kept", bson.D{{Key: "_id", Value: 0}})
	limit := func(pages int) {
		t.Helper()
		err := s.storage.write(t.Context(), func(w *transaction) error {
			return w.script(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(100)
	text := strings.Repeat("x", 10_000)
	inserted, refused := 0, error(nil)
	for i := 1; i < 1000 && refused == nil; i++ {
		if _, refused = c.Database("stoa").Collection("kept").InsertOne(t.Context(), bson.D{{Key: "_id", Value: i}, {Key: "text", Value: text}}); refused == nil {
			inserted++
		}
	}
	var e mongo.CommandError
	if !errors.As(refused, &e) || e.Code != 14031 {
		t.Errorf("a full disk gave %v, want OutOfDiskSpace", refused)
	}
	checkIndexes(t, s)
	limit(100_000)
	insert(t, c, "kept", bson.D{{Key: "_id", Value: 1000}})
	if n := count(t, c, "kept"); n != int64(inserted+2) {
		t.Errorf("%d documents, want %d", n, inserted+2)
	}
}

func TestStockIsNeverOversold(t *testing.T) {
	const stock, buyers = 1000, 1500
	dir := t.TempDir()
	s := start(t, dir)
	clients := []*mongo.Client{own(t, s), own(t, s), foreign(t, dir), foreign(t, dir)}
	insert(t, clients[0], "variants", bson.D{{Key: "_id", Value: "var_1"}, {Key: "stock", Value: stock}})

	var sold atomic.Int64
	var buying sync.WaitGroup
	for i := range buyers {
		buying.Go(func() {
			variants := clients[i%len(clients)].Database("stoa").Collection("variants")
			left := bson.D{{Key: "_id", Value: "var_1"}, {Key: "stock", Value: bson.D{{Key: "$gte", Value: 1}}}}
			take := bson.D{{Key: "$inc", Value: bson.D{{Key: "stock", Value: -1}}}}
			r, err := variants.UpdateOne(t.Context(), left, take)
			if err != nil {
				t.Error(err)
				return
			}
			sold.Add(r.ModifiedCount)
		})
	}
	buying.Wait()
	var v struct{ Stock int }
	if err := clients[0].Database("stoa").Collection("variants").FindOne(t.Context(), bson.D{{Key: "_id", Value: "var_1"}}).Decode(&v); err != nil {
		t.Fatal(err)
	}
	if sold.Load() != stock || v.Stock != 0 {
		t.Errorf("of %d, %d were sold and %d are left", stock, sold.Load(), v.Stock)
	}
}

func TestASecondServerOnAFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir})
	if !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("got %v, want a conflict that names %s and process %d", err, dir, os.Getpid())
	}
	insert(t, own(t, s), "articles", bson.D{{Key: "_id", Value: "art_1"}})
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, own(t, start(t, dir)), "articles"); n != 1 {
		t.Errorf("the next server on the folder has %d articles, want 1", n)
	}
}

func TestFindTellsWhetherAServerIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet")
	none := func(when string) {
		t.Helper()
		if uri, ok, err := Find(dir); ok || err != nil {
			t.Errorf("%s: found %q, %v", when, uri, err)
		}
	}
	none("before the folder exists")
	s := start(t, dir)
	insert(t, foreign(t, dir), "articles", bson.D{{Key: "_id", Value: "art_1"}})
	if n := count(t, own(t, s), "articles"); n != 1 {
		t.Errorf("the article written over the socket is missing: %d articles", n)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	none("after it has closed")
}

func TestAnyFolderWillDo(t *testing.T) {
	cases := map[string]struct{ reason, name string }{
		"Long":      {"socket paths have 103 bytes", strings.Repeat("long/", 40) + "data"},
		"Space":     {"a URI can't have spaces", "my data + more"},
		"Percent":   {"a URI means something else by %41", "100%41"},
		"Question":  {"a URI ends its path there", "what?mode=memory"},
		"Hash":      {"a URI ends there", "no#1"},
		"Bracket":   {"a shell would look for files by it", "[ab]*"},
		"Backslash": {"it is no separator here", `a\b`},
		"Unicode":   {"people have names", "データ é"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", "/tmp")
			dir := filepath.Join(temp, c.name)
			for i := range 2 {
				s := start(t, dir)
				insert(t, foreign(t, dir), "articles", bson.D{{Key: "_id", Value: strconv.Itoa(i)}})
				if n := count(t, own(t, s), "articles"); n != int64(i+1) {
					t.Errorf("start %d sees %d articles: %s", i, n, c.reason)
				}
				standIn := s.folder.standIn
				if err := s.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if standIn != "" {
					if _, err := os.Lstat(standIn); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s was left behind: %v", standIn, err)
					}
				}
			}
			if _, err := os.Stat(filepath.Join(dir, documentsFile)); err != nil {
				t.Errorf("the data isn't in the folder: %v", err)
			}
		})
	}
}

func TestAStandInLeftBehindIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	f, err := hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	// The effect of kill -9: the locks are gone, the files stay.
	left := f.standIn
	f.lock.Close()
	f.standInLock.Close()
	if _, err := os.Lstat(left); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was left behind: %v", left, err)
	}
}

func TestOnlyItsOwnerReachesTheData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	for name, want := range map[string]fs.FileMode{
		".":          fs.ModeDir | 0o700,
		databaseName: fs.ModeDir | 0o700,
		socketName:   fs.ModeSocket | 0o600,
		lockName:     0o600,

		documentsFile:          0o600,
		documentsFile + "-wal": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestCloseLeavesOnlyTheDatabase(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	o, f := own(t, s), foreign(t, dir)
	var documents []any
	for i := range 300 {
		documents = append(documents, bson.D{{Key: "_id", Value: strconv.Itoa(i)}})
	}
	insert(t, o, "articles", documents...)
	// An open cursor would keep SQLite from removing its journal.
	cursor, err := f.Database("stoa").Collection("articles").Find(t.Context(), bson.D{}, options.Find().SetBatchSize(10))
	if err != nil {
		t.Fatal(err)
	}
	defer cursor.Close(context.Background())

	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("closing it again gave %v", err)
	}
	var left []string
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			left = append(left, d.Name())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(left, " "); got != filepath.Base(documentsFile) {
		t.Errorf("left in the folder: %s", got)
	}
	if c, err := s.Dialer().DialContext(t.Context(), "tcp", "embedded:27017"); err == nil {
		c.Close()
		t.Error("a closed server took a connection")
	}
}

func TestCloseReturnsWhenItsContextEnds(t *testing.T) {
	s := start(t, t.TempDir())
	release := holdTurn(t, s)
	defer release()
	conn, err := s.Dialer().DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(insertMessage(t, "1")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline exceeded", err)
	}
}

func TestForeignWritesAreToldThroughTheDriver(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	var told atomic.Int32
	s.OnForeignWrite(func() { told.Add(1) })
	o, f := own(t, s), foreign(t, dir)

	steps := []struct {
		reason string
		client *mongo.Client
		do     func(*mongo.Collection) error
		want   int32
	}{
		{"the owner knows of its own writes", o, func(c *mongo.Collection) error {
			_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "1"}})
			return err
		}, 0},
		{"a foreign insert", f, func(c *mongo.Collection) error {
			_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "2"}})
			return err
		}, 1},
		{"a foreign read", f, func(c *mongo.Collection) error {
			return c.FindOne(t.Context(), bson.D{{Key: "_id", Value: "1"}}).Err()
		}, 1},
		{"a foreign index", f, func(c *mongo.Collection) error {
			_, err := c.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "slug", Value: 1}}})
			return err
		}, 2},
		{"a foreign drop", f, func(c *mongo.Collection) error { return c.Drop(t.Context()) }, 3},
	}
	for _, step := range steps {
		if err := step.do(step.client.Database("stoa").Collection("articles")); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		if got := told.Load(); got != step.want {
			t.Errorf("%s: told %d times by now, want %d", step.reason, got, step.want)
		}
	}
	s.OnForeignWrite(nil)
	insert(t, f, "articles", bson.D{{Key: "_id", Value: "3"}})
	if got := told.Load(); got != 3 {
		t.Errorf("told %d times after it was taken back, want 3", got)
	}
}

func TestUnacknowledgedWritesLeaveTheConnectionInOrder(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	uri, _, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]*options.ClientOptions{
		"Own":     options.Client().ApplyURI(s.URI()).SetDialer(s.Dialer()),
		"Foreign": options.Client().ApplyURI(uri),
	} {
		// One connection: a command after the write would find a reply that it didn't expect.
		c := connect(t, o.SetMaxPoolSize(1))
		t.Run(name, func(t *testing.T) {
			articles := c.Database("stoa").Collection(name, options.Collection().SetWriteConcern(writeconcern.Unacknowledged()))
			for i := range 20 {
				if _, err := articles.InsertOne(t.Context(), bson.D{{Key: "_id", Value: strconv.Itoa(i)}}); err != nil {
					t.Fatal(err)
				}
				if err := c.Ping(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			if n := count(t, c, name); n != 20 {
				t.Errorf("%d documents, want 20", n)
			}
		})
	}
}

func TestAWriteWithADeadlineGivesUpInLine(t *testing.T) {
	s := start(t, t.TempDir())
	var sent atomic.Int64
	c := connect(t, options.Client().ApplyURI(s.URI()).SetDialer(s.Dialer()).SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if limit, ok := e.Command.Lookup("maxTimeMS").AsInt64OK(); ok && e.CommandName == "insert" {
				sent.Store(limit)
			}
		},
	}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	articles := c.Database("stoa").Collection("articles")
	if _, err := articles.InsertOne(ctx, bson.D{{Key: "_id", Value: "1"}}); err != nil {
		t.Fatal(err)
	}
	if ms := sent.Load(); ms <= 0 || ms > patience.Milliseconds() {
		t.Errorf("the driver sent a limit of %d ms for a deadline in %v", ms, patience)
	}

	release := holdTurn(t, s)
	err := c.Database("stoa").RunCommand(t.Context(), bson.D{
		{Key: "insert", Value: "articles"},
		{Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: "2"}}}},
		{Key: "maxTimeMS", Value: 1},
	}).Err()
	if !mongo.IsTimeout(err) {
		t.Errorf("got %v, want a timeout", err)
	}
	release()
	// The next turn comes after the one that it would have had.
	insert(t, c, "articles", bson.D{{Key: "_id", Value: "3"}})
	if n := count(t, c, "articles"); n != 2 {
		t.Errorf("%d documents, want 2: the late write was made after its client had given up", n)
	}
}

func TestLogHasNoDocumentsAndNoNoise(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir, Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2"
	c := own(t, s)
	insert(t, c, "accounts", bson.D{{Key: "_id", Value: "acc_1"}, {Key: "password", Value: secret}})
	if _, err := c.Database("stoa").Collection("accounts").InsertOne(t.Context(), bson.D{{Key: "_id", Value: "acc_1"}, {Key: "password", Value: secret}}); !mongo.IsDuplicateKeyError(err) {
		t.Errorf("got %v, want a duplicate key", err)
	}
	if err := c.Database("stoa").RunCommand(t.Context(), bson.D{{Key: "nonsense", Value: secret}}).Err(); err == nil {
		t.Error("nonsense succeeded")
	}
	if err := c.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log.String()) {
		var r struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Level != "DEBUG" || strings.Contains(line, secret) {
			t.Errorf("logged %s", line)
		}
	}
}
