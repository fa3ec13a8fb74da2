package bus

// The bus over Redis pub/sub: numbered messages, ticks, and blocks of keys. Entry point: OpenRedis;
// send and receive are its two goroutines.

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// The numbers of the protocol. The section on the cache in docs/architecture.md gives the reasons.
const (
	// BlockFor is the time for which a dropped key is blocked in Redis: longer than a write to the
	// database may take (cache.WriteLimit), with a second to spare. So if a writer dies in
	// mid-write, nobody can fill its keys with values from before the write.
	BlockFor = 3 * time.Second

	// HoldFor is BlockFor for keys of a write with an unknown outcome. Their blocks are renewed each
	// second; if the writer dies or loses Redis, they stay blocked for this time, nearly four elections.
	HoldFor = 45 * time.Second

	tickEvery   = 250 * time.Millisecond
	silence     = 750 * time.Millisecond // three ticks: a live peer is never silent for so long
	goneAfter   = 5 * time.Second        // a peer silent for so long is gone; a peer that only lost Redis has announced that in the database by then
	forgetAfter = 15 * time.Minute       // longer than the life of any entry in a process, so no gap before it matters
)

// Blocked is the value in Redis of a blocked key.
const Blocked = "B"

// announce blocks one key and publishes its drop, both or neither. It touches one key, so that it
// also runs on a cluster. Each announcement gives the block a time of its own.
const announce = `redis.call('SET', KEYS[1], 'B', 'PX', ARGV[1]) return redis.call('PUBLISH', ARGV[2], ARGV[3])`

// Redis is the bus over Redis pub/sub. Every message carries its sender and a number that goes up
// by one. A tick repeats the last number every 250 ms: it reveals a message that was lost without a
// disconnect.
type Redis struct {
	conn      *Connection
	namespace string
	self      string
	channel   string
	heard     Heard
	log       *slog.Logger

	outbox chan *parcel
	stop   context.CancelFunc
	ctx    context.Context
	sent   chan struct{} // closed when outbox has no reader any more
	done   sync.WaitGroup

	seq   uint64          // of the last message sent; owned by send
	peers map[string]peer // owned by receive
	fresh atomic.Int64    // Unix nanoseconds
	own   atomic.Int64    // Unix nanoseconds of the sending of this replica's own last tick that came back
}

type peer struct {
	seq  uint64
	seen time.Time // time of its last message; for this replica itself, the sending time of that message
	gone bool      // silent for so long that FreshUntil doesn't wait for it
}

type parcel struct {
	keys   []string
	block  time.Duration
	result chan error
}

// Heard is the callbacks for messages from the bus. Both are called from one goroutine, in order,
// and must not block.
type Heard struct {
	Drop  func(key string) // key has changed on another replica
	Flush func()           // messages may have been lost: any key may have changed
}

// OpenRedis joins the bus of a namespace. It returns at once; until the first tick has come
// back, FreshUntil is in the past.
func OpenRedis(conn *Connection, namespace string, heard Heard, log *slog.Logger) *Redis {
	ctx, stop := context.WithCancel(context.Background())
	b := &Redis{
		conn: conn, namespace: namespace, self: rand.Text()[:12], channel: "stoa:" + namespace + ":bus", heard: heard, log: log,
		outbox: make(chan *parcel, 256), sent: make(chan struct{}), ctx: ctx, stop: stop, peers: map[string]peer{},
	}
	b.done.Add(2)
	go b.send()
	go b.receive()
	return b
}

// FreshUntil is 750 ms after the earlier of two moments: the last message of the longest silent
// live peer, and the sending of this replica's own last tick that came back. Redis delivers in
// order, so every message before that tick has been heard, on a slow line too.
func (b *Redis) FreshUntil() int64 { return b.fresh.Load() }

// Reached reports whether this replica's own messages come back to it.
func (b *Redis) Reached(now time.Time) bool {
	return now.UnixNano()-b.own.Load() < int64(silence)
}

// Drop blocks and announces keys, those of other callers in the same round trip.
func (b *Redis) Drop(ctx context.Context, keys []string) error { return b.drop(ctx, keys, BlockFor) }

// Hold is Drop with blocks that last for HoldFor, or until the next Drop.
func (b *Redis) Hold(ctx context.Context, keys []string) error { return b.drop(ctx, keys, HoldFor) }

func (b *Redis) drop(ctx context.Context, keys []string, block time.Duration) error {
	p := &parcel{keys: keys, block: block, result: make(chan error, 1)}
	select {
	case b.outbox <- p:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.ctx.Done():
		return fmt.Errorf("the bus is closed: %w", b.ctx.Err())
	}
	select {
	case err := <-p.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-b.sent:
		select {
		case err := <-p.result:
			return err
		default:
			return fmt.Errorf("the bus is closed: %w", b.ctx.Err())
		}
	}
}

// Close says good-bye, so that no peer waits for this replica's next tick.
func (b *Redis) Close() {
	b.stop()
	b.done.Wait()
}

// send is the only sender, so that numbers are published in their order.
func (b *Redis) send() {
	defer b.done.Done()
	defer close(b.sent)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	b.publish("t")
	for {
		select {
		case <-b.ctx.Done():
			b.publish("bye")
			return
		case <-tick.C:
			b.publish("t")
		case p := <-b.outbox:
			parcels := []*parcel{p}
			for more := true; more && len(parcels) < 64; {
				select {
				case p := <-b.outbox:
					parcels = append(parcels, p)
				default:
					more = false
				}
			}
			err := b.deliver(parcels)
			for _, p := range parcels {
				p.result <- err
			}
		}
	}
}

// publish sends a message without a key, and the time of sending. A failure shows itself by the
// missing message.
func (b *Redis) publish(kind string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := b.conn.Client.Publish(ctx, b.channel, b.message(b.seq, kind, now)).Err(); err != nil {
		b.log.Debug("publish on the bus", "error", err)
	}
}

// deliver makes the drops of parcels in one round trip. If the server turns out to be another run
// than the keys were made for, it repeats them for the new run.
func (b *Redis) deliver(parcels []*parcel) error {
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		run, err := b.conn.Run(ctx)
		if err == nil {
			_, err = b.conn.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, parcel := range parcels {
					for _, key := range parcel.keys {
						b.seq++
						p.Eval(ctx, announce, []string{run.Key(b.namespace, key)}, parcel.block.Milliseconds(), b.channel, b.message(b.seq, "d", key))
					}
				}
				return nil
			})
		}
		cancel()
		if err != nil {
			return fmt.Errorf("announce a change over Redis: %w", err)
		}
		if b.conn.IsCurrent(run) {
			return nil
		}
	}
	return fmt.Errorf("announce a change over Redis: the server keeps changing")
}

func (b *Redis) message(seq uint64, kind, rest string) string {
	return b.self + " " + strconv.FormatUint(seq, 36) + " " + kind + " " + rest
}

// receive keeps a subscription open. At the beginning of each one, earlier messages may have been
// lost.
func (b *Redis) receive() {
	defer b.done.Done()
	for b.ctx.Err() == nil {
		b.listen()
		b.fresh.Store(0)
		select {
		case <-b.ctx.Done():
		case <-time.After(tickEvery / 5):
		}
	}
}

// listen subscribes and handles messages until the first error: go-redis would reconnect by itself,
// and the messages lost in between would go unnoticed.
func (b *Redis) listen() {
	sub := b.conn.Client.Subscribe(b.ctx, b.channel)
	defer sub.Close()
	defer context.AfterFunc(b.ctx, func() { _ = sub.Close() })() // the messages of others could go on for ever
	for {
		in, err := sub.ReceiveTimeout(b.ctx, silence)
		if err != nil {
			b.log.Debug("listen on the bus", "error", err)
			return
		}
		switch m := in.(type) {
		case *redis.Subscription:
			clear(b.peers)
			b.peers[b.self] = peer{} // FreshUntil waits for one of our own ticks to come back
			b.fresh.Store(0)
			b.heard.Flush()
		case *redis.Message:
			b.handle(m.Payload, time.Now())
		}
	}
}

func (b *Redis) handle(payload string, now time.Time) {
	from, rest, _ := strings.Cut(payload, " ")
	number, rest, _ := strings.Cut(rest, " ")
	kind, rest, ok := strings.Cut(rest, " ")
	seq, err := strconv.ParseUint(number, 36, 64)
	if !ok || err != nil {
		b.log.Warn("a message on the bus that this version doesn't understand", "payload", fmt.Sprintf("%.80q", payload))
		b.heard.Flush()
		return
	}
	if from == b.self {
		b.handleOwn(kind, rest, now)
		return
	}
	last, known := b.peers[from]
	expected := last.seq
	if kind == "d" {
		expected++
	}
	if known && seq != expected {
		b.heard.Flush()
	}
	switch kind {
	case "t":
	case "d":
		b.heard.Drop(rest)
	case "bye":
		delete(b.peers, from)
		b.refresh(now)
		return
	default: // a later version may announce any change with it
		b.heard.Flush()
	}
	b.peers[from] = peer{seq: max(seq, last.seq), seen: now}
	b.refresh(now)
}

// handleOwn records a tick that has come back.
func (b *Redis) handleOwn(kind, sent string, now time.Time) {
	nanoseconds, err := strconv.ParseInt(sent, 36, 64)
	if kind != "t" || err != nil {
		return
	}
	b.peers[b.self] = peer{seen: time.Unix(0, nanoseconds)}
	b.own.Store(nanoseconds)
	b.refresh(now)
}

// refresh advances FreshUntil. If a peer is given up, its last messages may have been lost without
// a trace, so everything is flushed.
func (b *Redis) refresh(now time.Time) {
	oldest := b.peers[b.self].seen
	if oldest.IsZero() {
		return
	}
	for name, p := range b.peers {
		silent := now.Sub(p.seen)
		switch {
		case name == b.self:
		case silent > forgetAfter:
			delete(b.peers, name)
		case p.gone:
		case silent > goneAfter:
			p.gone = true
			b.peers[name] = p
			b.heard.Flush()
		case p.seen.Before(oldest):
			oldest = p.seen
		}
	}
	b.fresh.Store(oldest.Add(silence).UnixNano())
}
