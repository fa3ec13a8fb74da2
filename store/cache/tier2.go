package cache

// The tier in Redis: entries, leases and blocks under one key each. Entry points: tier2.acquire,
// fill, scrubAll.

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"stoa/store/bus"
)

// The first byte tells the kinds of values in Redis. Leases and blocks are the same in every
// version of the program; an entry has a format (see Table.Format), and an entry of another format
// is a miss. The versions before formats wrote V or A first; both are misses, too.
const (
	isEntry   = 'E' // followed by the format, eight hexadecimal digits, and isValue or isAbsent
	isLease   = 'L' // followed by the lease of the reader that is filling it
	isBlocked = 'B' // bus.Blocked: it is changing, or has just changed
)

// The byte after the format of an entry.
const (
	isValue  = 'V' // followed by the value
	isAbsent = 'A' // the database has nothing
)

// header is the beginning of an entry of a format.
func header(format uint32) string { return fmt.Sprintf("%c%08x", isEntry, format) }

// leaseFor is the life of a lease: longer than any load may take.
const leaseFor = 2 * loadLimit

// pause is the time without commands to Redis after one that wasn't answered in time.
const pause = time.Second

// acquire returns the value of a key, or leaves a lease there for its caller. An entry of another
// format is replaced by a lease, like an expired one.
var acquire = `local v = redis.call('GET', KEYS[1])
if v then
	local first = string.byte(v)
	if first == 66 or first == 76 or string.sub(v, 1, string.len(ARGV[3])) == ARGV[3] then return v end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`

// fill replaces a lease by a value, if that very lease is still there.
var fill = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1 end return 0`

// scrub removes a key unless it is blocked.
var scrub = `local v = redis.call('GET', KEYS[1]) if v and string.byte(v) ~= 66 then redis.call('DEL', KEYS[1]) return 1 end return 0`

// tier2 is the tier that replicas share in Redis. Every script touches one key, so a batch is one
// pipeline, on a cluster too.
type tier2 struct {
	conn      *bus.Connection
	namespace string
	rest      atomic.Int64 // Unix nanoseconds until which no command goes to Redis
}

// held is the result of acquire for a key.
type held struct {
	value   []byte // from isValue or isAbsent on; nil for none
	lease   string // ours, to fill with; "" if there is a value, a block or another's lease
	blocked bool
}

// awake reports whether Redis may be asked at all.
func (t *tier2) awake(now int64) bool { return t != nil && now >= t.rest.Load() }

// acquire asks for all keys in one round trip, for entries of a format. The run that it returns is
// for fill.
func (t *tier2) acquire(ctx context.Context, format uint32, keys []string) (_ []held, _ *bus.Run, err error) {
	defer func() {
		if err != nil {
			t.rest.Store(time.Now().Add(pause).UnixNano())
		}
	}()
	run, err := t.conn.Run(ctx)
	if err != nil {
		return nil, nil, err
	}
	found := make([]held, len(keys))
	if !run.Usable() {
		for i := range found {
			found[i].blocked = true
		}
		return found, run, nil
	}
	lease, prefix := string(isLease)+rand.Text(), header(format)
	replies := make([]*redis.Cmd, len(keys))
	_, err = t.conn.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			replies[i] = p.Eval(ctx, acquire, []string{run.Key(t.namespace, key)}, lease, leaseFor.Milliseconds(), prefix)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read from Redis: %w", err)
	}
	if !t.conn.IsCurrent(run) {
		return nil, nil, fmt.Errorf("read from Redis: the server has changed")
	}
	for i, reply := range replies {
		text, err := reply.Text()
		switch {
		case err != nil || text == "":
			return nil, nil, fmt.Errorf("read from Redis: %q under %s: %w", text, keys[i], err)
		case text == lease:
			found[i].lease = lease
		case text[0] == isBlocked:
			found[i].blocked = true
		case len(text) > len(prefix) && text[:len(prefix)] == prefix:
			found[i].value = []byte(text[len(prefix):])
		}
	}
	return found, run, nil
}

// filling is a value on its way to Redis.
type filling struct {
	key, lease string
	value      []byte // from isValue or isAbsent on
	expires    time.Duration
}

// fill offers values of a format in one round trip; values without their lease are refused. A
// failure costs a later miss and nothing else.
func (t *tier2) fill(ctx context.Context, run *bus.Run, format uint32, values []filling) {
	prefix := header(format)
	_, err := t.conn.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, v := range values {
			p.Eval(ctx, fill, []string{run.Key(t.namespace, v.key)}, v.lease, prefix+string(v.value), v.expires.Milliseconds())
		}
		return nil
	})
	if err != nil {
		t.rest.Store(time.Now().Add(pause).UnixNano())
	}
}

// scrubAll removes every value and every lease of this run, blocks excepted: they may be older than
// a change that couldn't be announced.
func (t *tier2) scrubAll(ctx context.Context) error {
	run, err := t.conn.Run(ctx)
	if err != nil {
		return err
	}
	var cursor uint64
	for {
		keys, next, err := t.conn.Client.Scan(ctx, cursor, run.Key(t.namespace, "*"), 1000).Result()
		if err != nil {
			return fmt.Errorf("list the keys in Redis: %w", err)
		}
		if len(keys) > 0 {
			if _, err := t.conn.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, key := range keys {
					p.Eval(ctx, scrub, []string{key})
				}
				return nil
			}); err != nil {
				return fmt.Errorf("remove keys from Redis: %w", err)
			}
		}
		if cursor = next; cursor == 0 {
			if !t.conn.IsCurrent(run) {
				return fmt.Errorf("remove keys from Redis: the server has changed")
			}
			return nil
		}
	}
}
