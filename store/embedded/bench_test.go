//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// fill inserts n documents of about 1.2 kB.
func fill(b *testing.B, c *mongo.Client, n int) {
	b.Helper()
	text := strings.Repeat("a stoa is a walk ", 60)
	documents := make([]any, n)
	for i := range documents {
		documents[i] = bson.D{
			{Key: "_id", Value: id(i)}, {Key: "slug", Value: "slug-" + id(i)}, {Key: "status", Value: "PUBLISHED"},
			{Key: "stock", Value: 1 << 30}, {Key: "text", Value: text}, {Key: "rank", Value: (i * 7919) % n},
		}
	}
	insert(b, c, "articles", documents...)
}

func id(i int) string { return fmt.Sprintf("art_%06d", i) }

// BenchmarkOpen measures a start on what the name says, the folder's making not included.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 10000} {
		b.Run(fmt.Sprintf("documents=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			if n > 0 {
				s := start(b, dir)
				fill(b, own(b, s), n)
				if err := s.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				s, err := Open(b.Context(), Options{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// dialFunc is a dialer of the driver.
type dialFunc func(ctx context.Context) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return f(ctx) }

// BenchmarkWay measures the ways to the database: what the proxy costs, and whether an own
// connection is better a pipe or a pair of sockets.
func BenchmarkWay(b *testing.B) {
	dir := b.TempDir()
	s := start(b, dir)
	fill(b, own(b, s), 1000)
	ways := []struct {
		name string
		dial dialFunc
	}{
		{"direct", func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.folder.path(ferretSocket))
		}},
		{"own/pipe", func(ctx context.Context) (net.Conn, error) { return s.Dialer().DialContext(ctx, "", "") }},
		{"own/socketpair", func(ctx context.Context) (net.Conn, error) {
			fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				return nil, err
			}
			var conns [2]net.Conn
			for i, fd := range fds {
				f := os.NewFile(uintptr(fd), "pair")
				if conns[i], err = net.FileConn(f); err != nil {
					return nil, err
				}
				f.Close()
			}
			return conns[0], s.proxy.serve(ctx, conns[1], false)
		}},
		{"foreign", func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.folder.path(socketName))
		}},
	}
	for _, way := range ways {
		c := connect(b, options.Client().ApplyURI(s.URI()).SetDialer(way.dial))
		b.Run("ping/"+way.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.Ping(b.Context(), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("findOne/"+way.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := c.Database("stoa").Collection("articles").FindOne(b.Context(), bson.D{{Key: "_id", Value: id(i % 1000)}}).Err(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkForm measures the forms of queries over n documents, with our index and without.
func BenchmarkForm(b *testing.B) {
	forms := []struct {
		name string
		do   func(ctx context.Context, c *mongo.Collection, n, i int) error
	}{
		{"_id", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return c.FindOne(ctx, bson.D{{Key: "_id", Value: id(i)}}).Err()
		}},
		{"_id+dotted", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return c.FindOne(ctx, bson.D{{Key: "_id", Value: id(i)}, {Key: "a.b", Value: bson.D{{Key: "$exists", Value: false}}}}).Err()
		}},
		{"_id+status", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return c.FindOne(ctx, bson.D{{Key: "_id", Value: id(i)}, {Key: "status", Value: "PUBLISHED"}}).Err()
		}},
		{"match-_id,match-status", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return all(ctx, 1)(c.Aggregate(ctx, mongo.Pipeline{
				{{Key: "$match", Value: bson.D{{Key: "_id", Value: id(i)}}}},
				{{Key: "$match", Value: bson.D{{Key: "status", Value: "PUBLISHED"}}}},
			}))
		}},
		{"_id-in-20", func(ctx context.Context, c *mongo.Collection, n, i int) error { return in(ctx, c, n, i, 20) }},
		{"_id-in-100", func(ctx context.Context, c *mongo.Collection, n, i int) error { return in(ctx, c, n, i, 100) }},
		{"slug", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return c.FindOne(ctx, bson.D{{Key: "slug", Value: "slug-" + id(i)}}).Err()
		}},
		{"sort-limit-20", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			return all(ctx, 20)(c.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "rank", Value: 1}}).SetLimit(20)))
		}},
		{"count", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			_, err := c.CountDocuments(ctx, bson.D{})
			return err
		}},
		{"update-_id", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			_, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: id(i)}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "stock", Value: -1}}}})
			return err
		}},
		{"update-_id+stock", func(ctx context.Context, c *mongo.Collection, n, i int) error {
			_, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: id(i)}, {Key: "stock", Value: bson.D{{Key: "$gte", Value: 1}}}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "stock", Value: -1}}}})
			return err
		}},
	}
	for _, n := range []int{1000, 10000} {
		dir := b.TempDir()
		s := start(b, dir)
		client := own(b, s)
		fill(b, client, n)
		articles := client.Database("stoa").Collection("articles")
		for _, indexed := range []bool{true, false} {
			if !indexed {
				drop(b, dir)
			}
			for _, form := range forms {
				b.Run(fmt.Sprintf("n=%d/indexed=%t/%s", n, indexed, form.name), func(b *testing.B) {
					for i := 0; b.Loop(); i++ {
						if err := form.do(b.Context(), articles, n, i*7919%n); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// all returns a check that a cursor holds n documents.
func all(ctx context.Context, n int) func(*mongo.Cursor, error) error {
	return func(c *mongo.Cursor, err error) error {
		if err != nil {
			return err
		}
		var found []bson.Raw
		if err := c.All(ctx, &found); err != nil {
			return err
		}
		if len(found) != n {
			return fmt.Errorf("%d documents, want %d", len(found), n)
		}
		return nil
	}
}

func in(ctx context.Context, c *mongo.Collection, n, i, ids int) error {
	var list bson.A
	for j := range ids {
		list = append(list, id((i+j*97)%n))
	}
	return all(ctx, ids)(c.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: list}}}}))
}

// drop removes our index behind the server's back.
func drop(b *testing.B, dir string) {
	b.Helper()
	tb := &tables{dir: filepath.Join(dir, databaseName)}
	err := tb.change(b.Context(), "stoa", func(tx *sql.Tx) error {
		names, err := column(b.Context(), tx, `SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE '`+ourIndex+`%'`)
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, err := tx.ExecContext(b.Context(), `DROP INDEX `+identifier(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
