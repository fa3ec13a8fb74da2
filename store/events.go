package store

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

// Events are read off the documents themselves. What becomes public gets the next place
// among the events of its topic by the very write that makes it public. Places are 1, 2, 3, …
// and unique, so that a place is taken only once the one before it can be read: whoever has
// read up to a place has missed none before it, on whichever replica, and whatever the
// clocks say. See docs/decisions.md, "Events without a log".

// Topic names a sequence of events: AllPublished, or an article for the comments on it.
type Topic id.ID

// AllPublished are the events that an article became public.
const AllPublished = Topic(AllArticles)

// key is dropped by whatever adds an event.
func (t Topic) key() string { return "events/" + string(t) }

func (t Topic) collection() string {
	if t == AllPublished {
		return articles
	}
	return comments
}

// placeDigits is how places are written, so that they sort as they count.
const placeDigits = 15

// place is a place as documents have it.
func (t Topic) place(n uint64) string { return fmt.Sprintf("%s/%0*d", t, placeDigits, n) }

// after are the documents whose places come after one.
func (t Topic) after(n uint64) bson.D {
	return bson.D{{Key: "event", Value: bson.D{{Key: "$gt", Value: t.place(n)}, {Key: "$lt", Value: string(t) + string('/'+1)}}}}
}

// placeOf reads what place has written; 0 where it hasn't.
func placeOf(event string) uint64 {
	n, err := strconv.ParseUint(event[strings.LastIndexByte(event, '/')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Event is that something has become public.
type Event struct {
	ID    id.ID // the same for whoever hears of it, and from it on it goes on: see Follow
	Of    id.ID // the article or the comment
	Under id.ID // the article that a comment is on
	place uint64
}

// newEvent names an event by its place, its topic and what it is of, so that ids of a topic
// are in the order of the events.
func newEvent(t Topic, n uint64, of id.ID) *Event {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n)
	binary.BigEndian.PutUint32(b[8:12], t.mark())
	h := fnv.New32a()
	_, _ = h.Write([]byte(of))
	binary.BigEndian.PutUint32(b[12:], h.Sum32())
	e := &Event{ID: id.Of(id.Event, b), Of: of, place: n}
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

// placeAfter is the place of an event that a client has had; Invalid where it isn't of t.
func (t Topic) placeAfter(event id.ID) (uint64, error) {
	if event.Kind() != id.Event {
		return 0, problem.New(problem.Invalid, "after takes the id of an event, which begins with %s_, not %.40q", id.Event, event).At("after")
	}
	b := event.Bits()
	if binary.BigEndian.Uint32(b[8:12]) != t.mark() {
		return 0, problem.New(problem.Invalid, "after is an event of another subscription: it goes with the field and the arguments it came from").At("after")
	}
	return binary.BigEndian.Uint64(b[:8]), nil
}

// places is what this process knows of them.
type places struct {
	turns [64]sync.Mutex // one after another: of two who want the next place, one has to ask again
	mu    sync.Mutex
	last  map[Topic]uint64 // the last place taken, where no other process takes any
}

// rememberedTopics bounds places.last, some 100 bytes each.
const rememberedTopics = 10_000

// note remembers that the last place of t is taken, where that stays known, and forgets what
// it knew otherwise: what has failed may still happen.
func (p *places) note(t Topic, place uint64, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !known {
		delete(p.last, t)
		return
	}
	if p.last == nil || len(p.last) >= rememberedTopics {
		p.last = map[Topic]uint64{}
	}
	p.last[t] = place
}

func (p *places) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = nil
}

// inTurn does what takes a place of t, one after another.
func (s *Store) inTurn(t Topic, do func() error) error {
	turn := &s.places.turns[t.mark()%uint32(len(s.places.turns))]
	turn.Lock()
	defer turn.Unlock()
	return do()
}

// take has write take the next place of t, which it gives to what it makes public, and
// another one where somebody else was faster. Its errors are the driver's.
func (s *Store) take(ctx context.Context, t Topic, write func(ctx context.Context, event string) error) error {
	last, err := s.lastPlace(ctx, t)
	if err != nil {
		return err
	}
	for {
		err = write(ctx, t.place(last+1))
		s.places.note(t, last+1, err == nil && s.known != nil)
		if !mongo.IsDuplicateKeyError(err) {
			return err
		}
		// Is it the place that is taken, or something else that must be unique?
		now, failed := s.lastPlace(ctx, t)
		if failed != nil {
			return failed
		}
		if now <= last {
			if !strings.Contains(err.Error(), eventIndex) {
				return err
			}
			select { // whoever took it has, but it can't be read yet
			case <-time.After(rand.N(10 * time.Millisecond)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		last = now
	}
}

// eventIndex is the name of the index that holds places apart.
const eventIndex = "event_1"

// lastPlace is the last place of t that is taken; 0 for none.
func (s *Store) lastPlace(ctx context.Context, t Topic) (uint64, error) {
	s.places.mu.Lock()
	last, ok := s.places.last[t]
	s.places.mu.Unlock()
	if ok {
		return last, nil
	}
	rows, err := s.placed(ctx, t, t.after(0), -1, 1)
	if err != nil {
		return 0, err
	}
	if len(rows) > 0 {
		last = placeOf(rows[0].Event)
	}
	if t != AllPublished {
		return last, nil
	}
	type document struct {
		Event string `bson:"event"`
	}
	var purged document
	err = s.db.Collection(meta).FindOne(ctx, bson.D{{Key: "_id", Value: purgedPlace}}).Decode(&purged)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return 0, fmt.Errorf("read the last place of purged articles: %w", err)
	}
	return max(last, placeOf(purged.Event)), nil
}

// purgedPlace is the document that has the last place among those of articles that were
// deleted for good: no other gets it.
const purgedPlace = "purgedPlace"

// keepPlace sees to it that the place of an article that is about to be deleted for good
// isn't another's.
func (s *Store) keepPlace(ctx context.Context, a *Article) error {
	if a.Event == "" {
		return nil
	}
	_, err := s.db.Collection(meta).UpdateOne(ctx, bson.D{{Key: "_id", Value: purgedPlace}},
		bson.D{{Key: "$max", Value: bson.D{{Key: "event", Value: a.Event}}}}, options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("keep the place of %s: %w", a.ID, err)
	}
	return nil
}

// placedRow is what has a place, whatever has become of it.
type placedRow struct {
	ID      id.ID  `bson:"_id"`
	Event   string `bson:"event"`
	Status  string `bson:"status"`
	Visible bool   `bson:"visible"` // of comments
}

func (s *Store) placed(ctx context.Context, t Topic, filter bson.D, direction, limit int) ([]*placedRow, error) {
	return find[placedRow](ctx, s.db.Collection(t.collection()), filter,
		projection("event", "status", "visible").SetSort(bson.D{{Key: "event", Value: direction}}).SetLimit(int64(limit)))
}

// eventsOf are the events of rows that everyone may still hear of. Rows were read a moment
// ago; fresh says that what this process remembers of them may be older than that. What it
// remembers as not public is forgotten then, and nothing else: anybody can have this done by
// following.
func (s *Store) eventsOf(ctx context.Context, t Topic, rows []*placedRow, fresh bool) ([]*Event, error) {
	var out []*Event
	for _, r := range rows {
		if t == AllPublished && r.Status != string(Published) || t != AllPublished && (!r.Visible || r.Status == string(CommentDeleted)) {
			continue
		}
		out = append(out, newEvent(t, placeOf(r.Event), r.ID))
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
			return out, forgetHidden(ctx, s, ids, s.Articles)
		}
		return out, nil
	}
	under, err := s.Articles(ctx, []id.ID{id.ID(t)})
	if err != nil || under[0] == nil {
		return nil, err
	}
	shown, err := s.ShownComments(ctx, ids, s.Children)
	if err == nil && fresh && slices.Contains(shown, nil) {
		if err = forgetHidden(ctx, s, ids, s.Comments); err == nil {
			s.cache.Drop(childrenKey(ChildrenKey(t)))
			shown, err = s.ShownComments(ctx, ids, s.Children)
		}
	}
	if err != nil {
		return nil, err
	}
	kept := out[:0]
	for i, e := range out {
		if shown[i] != nil {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// forgetHidden drops those of ids that get returns nothing for.
func forgetHidden[T any](ctx context.Context, s *Store, ids []id.ID, get func(context.Context, []id.ID) ([]*T, error)) error {
	found, err := get(ctx, ids)
	for i, v := range found {
		if v == nil {
			s.cache.Drop(string(ids[i]))
		}
	}
	return err
}
