package bus

// The connection to Redis and the runs of its server. Entry points: Connect, Connection.Run,
// Connection.IsCurrent.

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// patience bounds one command to Redis, connecting included. A cache slower than the database that
// it spares is worse than none.
const patience = 250 * time.Millisecond

// Connection is the one Redis client of a process, together with the current run of the
// server: its run_id is read whenever a connection is made.
type Connection struct {
	Client redis.UniversalClient

	run atomic.Pointer[Run]
}

// Run is one incarnation of one Redis server. A restarted server, with its data or without, and a
// promoted replica are other runs: values stored in one run are never read in a later one. Runs are
// compared by pointer.
type Run struct {
	runID      string
	usableFrom time.Time
}

// Connect makes the client for a URL: redis://, rediss:// or unix:// in the form of
// https://redis.io/docs/latest/develop/clients/, or, for Sentinel, the same with ?master_name=NAME
// and one addr=HOST:PORT for each further sentinel. It doesn't wait for the server: an unreachable
// server is a state to live with, not a failure.
func Connect(address string) (*Connection, error) {
	// For each failed connection go-redis prints a line to the standard error. The same failures
	// are returned as errors, too, and an outage is to be logged once.
	logging.Disable()
	c := &Connection{}
	client, err := c.open(address)
	if err != nil {
		return nil, err
	}
	c.Client = client
	return c, nil
}

func (c *Connection) open(address string) (redis.UniversalClient, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	noMaintenance := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if u.Query().Has("master_name") {
		o, err := redis.ParseFailoverURL(address)
		if err != nil {
			return nil, clean(err)
		}
		o.OnConnect = c.observe
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
		o.MaxRetries, o.ContextTimeoutEnabled = -1, true
		return redis.NewFailoverClient(o), nil
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, clean(err)
	}
	o.OnConnect = c.observe
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = -1, 1, true
	o.MaintNotificationsConfig = noMaintenance
	return redis.NewClient(o), nil
}

// clean strips go-redis's prefix. The message must not repeat the URL, since that can hold a
// password.
func clean(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "redis: "))
}

// observe runs on each new connection before any command does. So a command made for an earlier run
// can see, once it has its reply, that the run has changed.
func (c *Connection) observe(ctx context.Context, conn *redis.Conn) error {
	info, err := conn.Info(ctx, "server").Result()
	if err != nil {
		return fmt.Errorf("ask Redis for its run_id: %w", err)
	}
	runID := field(info, "run_id")
	if runID == "" {
		return errors.New("this Redis doesn't tell its run_id, and Stoa needs it to notice a restart: use Redis 2.8 or later, or Valkey")
	}
	for {
		old := c.run.Load()
		if old != nil && old.runID == runID {
			return nil
		}
		began := time.Now()
		if uptime, err := strconv.Atoi(field(info, "uptime_in_seconds")); err == nil && old == nil {
			began = began.Add(-time.Duration(uptime) * time.Second)
		}
		if c.run.CompareAndSwap(old, &Run{runID: runID, usableFrom: began.Add(BlockFor)}) {
			return nil
		}
	}
}

// field is the value of a line in the reply of INFO; "" without such a line.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Run returns the current run of the server. If no run is known yet, it connects to learn one.
func (c *Connection) Run(ctx context.Context) (*Run, error) {
	if run := c.run.Load(); run != nil {
		return run, nil
	}
	if err := c.Client.Ping(ctx).Err(); err != nil {
		return nil, fmt.Errorf("reach Redis: %w", err)
	}
	return c.run.Load(), nil
}

// IsCurrent reports whether run is the current one. Ask it after the reply of a command with
// keys of that run: when it returns false, the command spoke to another server.
func (c *Connection) IsCurrent(run *Run) bool { return c.run.Load() == run }

// Usable reports whether every write that blocked keys in an earlier run has ended by now. Until
// then a reader may still see a value from before such a write, and the block of that write is
// gone, so no value may be stored in this run.
func (l *Run) Usable() bool { return time.Now().After(l.usableFrom) }

// Key is the Redis key of a name in a namespace, in this run.
func (l *Run) Key(namespace, name string) string {
	return "stoa:" + namespace + ":" + l.runID[:min(len(l.runID), 12)] + ":" + name
}

// Close closes the client.
func (c *Connection) Close() error { return c.Client.Close() }
