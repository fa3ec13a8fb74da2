package store

// Events: the publications of articles and comments, in the order of sequence numbers. Entry
// points: Store.take gives a number to a write, Store.eventsOf reads the events of rows; follow.go
// hands them to followers.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/id"
	"stoa/problem"
)

// Events are read from the documents themselves. The write that makes a document public also gives
// it the next sequence number of its topic. Numbers are 1, 2, 3, … and unique. A number is taken
// only once the one before it can be read, so a reader that has read up to a number has missed none
// before it, on any replica and with any clocks. See docs/decisions.md, "Events without a log".

// Topic names a sequence of events: AllPublished, or an article for the comments on it.
type Topic id.ID

// AllPublished is the topic of articles that became public.
const AllPublished = Topic(AllArticles)

// key is the cache key that each new event of the topic drops.
func (t Topic) key() string { return "events/" + string(t) }

func (t Topic) collection() string {
	if t == AllPublished {
		return articles
	}
	return comments
}

// sequenceDigits is the width of a sequence number as text, so that text sorts like numbers.
const sequenceDigits = 15

// sequenceKey is a sequence number in the form of documents.
func (t Topic) sequenceKey(n uint64) string { return fmt.Sprintf("%s/%0*d", t, sequenceDigits, n) }

// after selects the documents with sequence numbers above n.
func (t Topic) after(n uint64) bson.D {
	return bson.D{{Key: "event", Value: bson.D{{Key: "$gt", Value: t.sequenceKey(n)}, {Key: "$lt", Value: string(t) + string('/'+1)}}}}
}

// sequenceOf reads the number in a sequenceKey; 0 for any other text.
func sequenceOf(event string) uint64 {
	n, err := strconv.ParseUint(event[strings.LastIndexByte(event, '/')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Publication is the event of an article or a comment becoming public.
type Publication struct {
	ID       id.ID // the same on all replicas; a client can continue after it: see Follow
	Of       id.ID // the article or the comment
	Under    id.ID // the article, for a comment
	sequence uint64
}

// newEvent names an event by its sequence number, its topic and its subject, so that the ids of a
// topic sort like its events.
func newEvent(t Topic, n uint64, of id.ID) *Publication {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n)
	binary.BigEndian.PutUint32(b[8:12], t.mark())
	h := fnv.New32a()
	_, _ = h.Write([]byte(of))
	binary.BigEndian.PutUint32(b[12:], h.Sum32())
	e := &Publication{ID: id.Of(id.Publication, b), Of: of, sequence: n}
	if t != AllPublished {
		e.Under = id.ID(t)
	}
	return e
}

// mark tells the events of a topic from those of others.
func (t Topic) mark() uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t))
	return h.Sum32()
}

// sequenceAfter is the sequence number of an event that a client has received; Invalid for an event
// of another topic.
func (t Topic) sequenceAfter(event id.ID) (uint64, error) {
	if event.Kind() != id.Publication {
		return 0, problem.New(problem.Invalid, "after takes the id of an event, with the prefix %s_, not %.40q", id.Publication, event).At("after")
	}
	b := event.Bits()
	if binary.BigEndian.Uint32(b[8:12]) != t.mark() {
		return 0, problem.New(problem.Invalid, "after is an event of another subscription: it goes with the field and the arguments it came from").At("after")
	}
	return binary.BigEndian.Uint64(b[:8]), nil
}

// sequences are the last sequence numbers known to this process.
type sequences struct {
	turns [64]sync.Mutex // one writer after another: if two wanted the same number, one would have to repeat its write
	mu    sync.Mutex
	last  map[Topic]uint64 // the last number taken, while no other process takes any
}

// rememberedTopics bounds sequences.last, some 100 bytes each.
const rememberedTopics = 10_000

// note records the last number of t. Unless known, it forgets the number instead: a failed write
// may still happen.
func (p *sequences) note(t Topic, sequence uint64, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !known {
		delete(p.last, t)
		return
	}
	if p.last == nil || len(p.last) >= rememberedTopics {
		p.last = map[Topic]uint64{}
	}
	p.last[t] = sequence
}

func (p *sequences) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = nil
}

// inTurn runs the functions that take a number of t one after another.
func (s *Store) inTurn(t Topic, do func() error) error {
	turn := s.sequences.turn(t)
	turn.Lock()
	defer turn.Unlock()
	return do()
}

func (p *sequences) turn(t Topic) *sync.Mutex { return &p.turns[t.mark()%uint32(len(p.turns))] }

// take calls write with the next sequence number of t, for the document that it makes public, and
// again with a later one if another process was faster. Its errors are the driver's.
func (s *Store) take(ctx context.Context, t Topic, write func(ctx context.Context, event string) error) error {
	last, err := s.lastSequence(ctx, t)
	if err != nil {
		return err
	}
	for {
		err = write(ctx, t.sequenceKey(last+1))
		s.sequences.note(t, last+1, err == nil && s.known != nil)
		if !mongo.IsDuplicateKeyError(err) {
			return err
		}
		// Is the number taken, or is the conflict about another unique field?
		now, failed := s.lastSequence(ctx, t)
		if failed != nil {
			return failed
		}
		if now <= last {
			if !strings.Contains(err.Error(), eventIndex) {
				return err
			}
			select { // the other process has taken it, but it can't be read yet
			case <-time.After(rand.N(10 * time.Millisecond)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		last = now
	}
}

// eventIndex is the name of the index that keeps sequence numbers unique.
const eventIndex = "event_1"

// lastSequence is the last sequence number of t that is taken; 0 for none.
func (s *Store) lastSequence(ctx context.Context, t Topic) (uint64, error) {
	s.sequences.mu.Lock()
	last, ok := s.sequences.last[t]
	s.sequences.mu.Unlock()
	if ok {
		return last, nil
	}
	rows, err := s.eventRows(ctx, t, t.after(0), -1, 1)
	if err != nil {
		return 0, err
	}
	if len(rows) > 0 {
		last = sequenceOf(rows[0].Event)
	}
	if t != AllPublished {
		return last, nil
	}
	type document struct {
		Event string `bson:"event"`
	}
	var purged document
	err = s.collection(meta).FindOne(ctx, bson.D{{Key: "_id", Value: purgedSequence}}, &purged)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return 0, fmt.Errorf("read the last sequence number of purged articles: %w", err)
	}
	return max(last, sequenceOf(purged.Event)), nil
}

// purgedSequence is the document with the last sequence number among articles deleted for good: no
// other article gets that number. Only a migration changes a stored name.
const purgedSequence = "purgedPlace"

// reserveSequence makes sure that no other article gets the sequence number of an article about to
// be deleted for good.
func (s *Store) reserveSequence(ctx context.Context, a *Article) error {
	if a.Event == "" {
		return nil
	}
	_, err := s.collection(meta).UpdateOne(ctx, bson.D{{Key: "_id", Value: purgedSequence}},
		bson.D{{Key: "$max", Value: bson.D{{Key: "event", Value: a.Event}}}}, options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("reserve the sequence number of %s: %w", a.ID, err)
	}
	return nil
}

// eventRow is a document with a sequence number, public or not.
type eventRow struct {
	ID      id.ID  `bson:"_id"`
	Event   string `bson:"event"`
	Status  string `bson:"status"`
	Visible bool   `bson:"visible"` // of comments
}

func (s *Store) eventRows(ctx context.Context, t Topic, filter bson.D, direction, limit int) ([]*eventRow, error) {
	return findList[eventRow](ctx, s.collection(t.collection()), filter,
		projection("event", "status", "visible").SetSort(bson.D{{Key: "event", Value: direction}}).SetLimit(int64(limit)))
}

// eventsOf returns the events of rows that are still public. With fresh the rows are newer than
// this process's caches may be. Then it drops the cached documents that aren't public, and no
// others: every follower causes this, and must not be able to empty the caches.
func (s *Store) eventsOf(ctx context.Context, t Topic, rows []*eventRow, fresh bool) ([]*Publication, error) {
	var out []*Publication
	for _, r := range rows {
		if t == AllPublished && r.Status != string(Published) || t != AllPublished && (!r.Visible || r.Status == string(CommentDeleted)) {
			continue
		}
		out = append(out, newEvent(t, sequenceOf(r.Event), r.ID))
	}
	if len(out) == 0 {
		return out, nil
	}
	ids := make([]id.ID, len(out))
	for i, e := range out {
		ids[i] = e.Of
	}
	if t == AllPublished {
		if fresh {
			return out, forgetHidden(ctx, s, ids, Articles)
		}
		return out, nil
	}
	under, err := Articles.All(ctx, s, []id.ID{id.ID(t)})
	if err != nil || under[0] == nil {
		return nil, err
	}
	shown, err := s.ShownComments(ctx, ids, s.Children)
	if err == nil && fresh && slices.Contains(shown, nil) {
		if err = forgetHidden(ctx, s, ids, Comments); err == nil {
			s.cache.Drop(childrenKey(ChildrenKey(t)))
			shown, err = s.ShownComments(ctx, ids, s.Children)
		}
	}
	if err != nil {
		return nil, err
	}
	visible := out[:0]
	for i, e := range out {
		if shown[i] != nil {
			visible = append(visible, e)
		}
	}
	return visible, nil
}

// forgetHidden drops the cached values of the documents of a kind that aren't public.
func forgetHidden[T any](ctx context.Context, s *Store, ids []id.ID, kind *Kind[T]) error {
	found, err := kind.All(ctx, s, ids)
	for i, v := range found {
		if v == nil {
			s.cache.Drop(string(ids[i]))
		}
	}
	return err
}
