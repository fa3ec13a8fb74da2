package bus

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

// The numbers of the protocol; DESIGN of the cache in docs/architecture.md says why.
const (
	// BlockFor is how long a dropped key is blocked in Redis: longer than a write to the
	// database may take (cache.WriteLimit) with a second to spare, so that nobody can fill
	// a key from before a write whose writer has died.
	BlockFor = 3 * time.Second

	tickEvery   = 250 * time.Millisecond
	silence     = 750 * time.Millisecond // three ticks: a live peer is never silent for so long
	goneAfter   = 5 * time.Second        // a peer silent for so long is gone; one that only lost Redis has said so in the database by then
	forgetAfter = 15 * time.Minute       // longer than anything lives in a process, so no gap before it matters
)

// Blocked is what Redis holds in place of a value while a key is blocked.
const Blocked = "B"

// announce blocks one key and publishes its drop, both or neither. It touches one key, so
// that it also runs on a cluster. A block is never shortened: each write renews it.
const announce = `redis.call('SET', KEYS[1], 'B', 'PX', ARGV[1]) return redis.call('PUBLISH', ARGV[2], ARGV[3])`

// Redis is the bus over Redis pub/sub. Every message carries its sender and a number that
// goes up by one, and a tick repeats the last number every 250 ms, so that a message that
// was lost without a disconnect is noticed by the next.
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
	sent   chan struct{} // closed when nothing is taken out of outbox any more
	done   sync.WaitGroup

	seq   uint64          // of the last message sent; owned by send
	peers map[string]peer // owned by receive
	fresh atomic.Int64    // Unix nanoseconds
	own   atomic.Int64    // Unix nanoseconds at which the last tick of this replica's own that came back was sent
}

type peer struct {
	seq  uint64
	seen time.Time // when it was last heard; for this replica itself, when what was last heard was sent
	gone bool      // silent for so long that nobody waits for it
}

type parcel struct {
	keys   []string
	result chan error
}

// Heard is what the bus tells its owner. Both are called from one goroutine, in order,
// and must not block.
type Heard struct {
	Drop  func(key string) // key has changed elsewhere
	Flush func()           // anything may have changed: messages may have been lost
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

// FreshUntil is 750 ms after the longest silent live peer was heard, or after the last of
// this replica's own ticks that came back was sent, whichever is earlier: Redis delivers
// in order, so whatever it was told before that tick has been heard, however slow the way.
func (b *Redis) FreshUntil() int64 { return b.fresh.Load() }

// Reached says whether what this replica publishes comes back to it.
func (b *Redis) Reached(now time.Time) bool {
	return now.UnixNano()-b.own.Load() < int64(silence)
}

// Drop blocks and announces keys, those of other callers in the same round trip.
func (b *Redis) Drop(ctx context.Context, keys []string) error {
	p := &parcel{keys: keys, result: make(chan error, 1)}
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

// publish sends a message without a key, and when it was sent. That it fails is seen by
// its absence.
func (b *Redis) publish(kind string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := b.conn.Client.Publish(ctx, b.channel, b.message(b.seq, kind, now)).Err(); err != nil {
		b.log.Debug("publish on the bus", "error", err)
	}
}

// deliver makes the drops of parcels in one round trip. Where the server turned out to be
// another than the keys were made for, it does so again for the new one.
func (b *Redis) deliver(parcels []*parcel) error {
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		run, err := b.conn.Run(ctx)
		if err == nil {
			_, err = b.conn.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, parcel := range parcels {
					for _, key := range parcel.keys {
						b.seq++
						p.Eval(ctx, announce, []string{run.Key(b.namespace, key)}, BlockFor.Milliseconds(), b.channel, b.message(b.seq, "d", key))
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

// receive keeps a subscription. Whenever one begins, messages may have been lost before.
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

// listen subscribes and handles what comes, until anything goes wrong: go-redis would
// reconnect by itself, and what was sent meanwhile would be lost unnoticed.
func (b *Redis) listen() {
	sub := b.conn.Client.Subscribe(b.ctx, b.channel)
	defer sub.Close()
	defer context.AfterFunc(b.ctx, func() { _ = sub.Close() })() // messages of others could go on for ever
	for {
		in, err := sub.ReceiveTimeout(b.ctx, silence)
		if err != nil {
			b.log.Debug("listen on the bus", "error", err)
			return
		}
		switch m := in.(type) {
		case *redis.Subscription:
			clear(b.peers)
			b.peers[b.self] = peer{} // FreshUntil waits for a tick of our own to come back
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
	default: // a later version may tell of any change by it
		b.heard.Flush()
	}
	b.peers[from] = peer{seq: max(seq, last.seq), seen: now}
	b.refresh(now)
}

// handleOwn takes note of a tick that has come back.
func (b *Redis) handleOwn(kind, sent string, now time.Time) {
	nanoseconds, err := strconv.ParseInt(sent, 36, 64)
	if kind != "t" || err != nil {
		return
	}
	b.peers[b.self] = peer{seen: time.Unix(0, nanoseconds)}
	b.own.Store(nanoseconds)
	b.refresh(now)
}

// refresh moves FreshUntil on. Of a peer that is given up nobody will tell whether its
// last messages were lost, so whatever it could have told is forgotten.
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
