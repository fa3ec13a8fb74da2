package store

// Followers of events. Entry points: Store.Follow, Published, CommentsAdded; a reader reads a topic
// for all of its followers.

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"stoa/id"
	"stoa/problem"
)

// All followers of a topic on this replica share one reader: a change costs as many commands for
// one as for ten thousand. Events that a follower doesn't take at once wait in a queue of its own.
// When the queue is full, the follower reads the database by itself, at its own pace, until it has
// caught up. So a slow one takes no memory, and the others don't wait for it.

const (
	// queued is the number of events that wait for a follower in memory, 8 bytes each.
	queued = 64

	// recentEvents is the number of events remembered for clients that come back, 150 bytes each.
	recentEvents = 64

	// eventsAtOnce is the number of events read in one command.
	eventsAtOnce = 100

	// takeTime bounds the wait for a follower to take an event.
	takeTime = 30 * time.Second

	// gather is the wait of a reader after it hears of a change: for more changes of the topic, and
	// for the second announcement of each write.
	gather = 5 * time.Millisecond

	// lookEvery is the interval of reads while changes may go unheard, sweepEvery the interval at
	// all other times.
	lookEvery  = time.Second
	sweepEvery = time.Minute

	// readAtOnce is the number of readers that may read the database at once.
	readAtOnce = 8
)

// ErrTooSlow ends the Following of a client that doesn't take its events in time.
var ErrTooSlow = errors.New("events aren't taken in time")

var errClosed = errors.New("the store is closed")

// live are the readers of this replica.
type live struct {
	store    *Store
	seed     maphash.Seed
	takeTime time.Duration
	reading  chan struct{} // has an element for each read under way
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	topics map[Topic]*reader
}

func newLive(s *Store) *live {
	l := &live{store: s, seed: maphash.MakeSeed(), takeTime: takeTime, reading: make(chan struct{}, readAtOnce), topics: map[Topic]*reader{}}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.running.Go(l.sweep)
	return l
}

// close ends all readers. A Following ends with its context.
func (l *live) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.running.Wait()
}

// reader reads the events of a topic for all of its followers.
type reader struct {
	topic Topic
	live  *live
	look  chan struct{} // gets a value when there may be new events
	stop  context.CancelFunc

	users   int           // under live.mu
	started chan struct{} // closed when start has filled the fields below, or failed
	failed  error

	mu        sync.Mutex
	at        uint64 // the last sequence number that it has read
	base      uint64 // recent has every event after this number
	recent    []*Publication
	listening map[*Following]struct{}
}

// Following is one follower of a topic.
type Following struct {
	// Events receives the events in their order, each once. It is closed after a failure.
	Events <-chan *Publication

	ctx      context.Context
	reader   *reader
	events   chan *Publication
	sequence uint64 // of the last event handed over or left out; owned by the goroutine that hands over

	// Under reader.mu.
	left   bool
	failed error
}

// Err returns the reason why Events was closed.
func (f *Following) Err() error {
	f.reader.mu.Lock()
	defer f.reader.mu.Unlock()
	return f.failed
}

// Follow follows the events of t until ctx ends. It begins with the next event, or after the event
// with the id after, even if another replica sent that one to the client. No event later than the
// return of Follow is missed. It returns Invalid if after isn't an event of t.
func (s *Store) Follow(ctx context.Context, t Topic, after *id.ID) (*Following, error) {
	var from uint64
	var err error
	if after != nil {
		if from, err = t.sequenceAfter(*after); err != nil {
			return nil, err
		}
	}
	r, err := s.live.use(t)
	if err != nil {
		return nil, err
	}
	select {
	case <-r.started:
		err = r.failed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil && after != nil {
		from, err = r.known(ctx, from)
	}
	if err != nil {
		s.live.release(r)
		return nil, err
	}
	events := make(chan *Publication, queued)
	f := &Following{Events: events, ctx: ctx, reader: r, events: events, sequence: from}
	r.mu.Lock()
	if after == nil {
		f.sequence = r.at
	}
	behind := !r.listen(f)
	r.mu.Unlock()
	context.AfterFunc(ctx, f.leave)
	if behind {
		f.catchUp()
	}
	return f, nil
}

// Followers is the number of Followings on this replica.
func (s *Store) Followers() int {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	n := 0
	for _, r := range s.live.topics {
		r.mu.Lock()
		n += len(r.listening)
		r.mu.Unlock()
	}
	return n
}

// known returns sequence. If the database has no such event, because it was restored from an older
// copy, it returns the last sequence number there.
func (r *reader) known(ctx context.Context, sequence uint64) (uint64, error) {
	r.mu.Lock()
	at := r.at
	r.mu.Unlock()
	if sequence <= at {
		return sequence, nil
	}
	last, err := r.live.store.lastSequence(ctx, r.topic)
	return min(sequence, last), err
}

func (f *Following) leave() {
	f.reader.mu.Lock()
	f.left = true
	delete(f.reader.listening, f)
	f.reader.mu.Unlock()
	f.reader.live.release(f.reader)
}

// use returns the reader of t. It runs until each use is released.
func (l *live) use(t Topic) (*reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	r := l.topics[t]
	if r == nil {
		r = &reader{topic: t, live: l, look: make(chan struct{}, 1), started: make(chan struct{}), listening: map[*Following]struct{}{}}
		var ctx context.Context
		ctx, r.stop = context.WithCancel(l.ctx)
		l.topics[t] = r
		l.running.Go(func() { r.run(ctx) })
	}
	r.users++
	return r, nil
}

// goOn runs do beside, unless the store is closed.
func (l *live) goOn(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.running.Go(do)
	}
}

func (l *live) release(r *reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.users--; r.users == 0 {
		r.stop()
		if l.topics[r.topic] == r {
			delete(l.topics, r.topic)
		}
	}
}

// forget makes the next follower of r's topic start a new reader.
func (l *live) forget(r *reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[r.topic] == r {
		delete(l.topics, r.topic)
	}
}

// sweep has readers look for events that they may not have heard of: all readers while changes may
// go unheard, and each one once a minute.
func (l *live) sweep() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	const parts = uint64(sweepEvery / lookEvery)
	for part := uint64(0); ; part = (part + 1) % parts {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		all := !l.store.cache.Sure()
		l.mu.Lock()
		for t, r := range l.topics {
			if all || maphash.String(l.seed, string(t))%parts == part {
				r.nudge()
			}
		}
		l.mu.Unlock()
	}
}

func (r *reader) nudge() {
	select {
	case r.look <- struct{}{}:
	default:
	}
}

// run reads whenever there may be new events.
func (r *reader) run(ctx context.Context) {
	dropped, stop := r.live.store.cache.Watch(r.topic.key())
	defer stop()
	if r.failed = r.start(ctx); r.failed != nil {
		r.live.forget(r)
	}
	close(r.started)
	if r.failed != nil {
		return
	}
	well := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.look:
		case <-dropped:
			select {
			case <-ctx.Done():
				return
			case <-time.After(gather):
			}
			select {
			case <-dropped:
			default:
			}
		}
		err := r.read(ctx)
		if failed := err != nil && ctx.Err() == nil; failed == well {
			well = !failed
			if failed {
				r.live.store.log.Warn("events can't be read for now", "topic", r.topic, "error", err)
			}
		}
		if err != nil {
			// Sweep skips a reader that failed, so it looks again by itself.
			time.AfterFunc(lookEvery, r.nudge)
		}
	}
}

// start reads the position of the topic, and its most recent events.
func (r *reader) start(ctx context.Context) error {
	ctx, done, err := r.live.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	s := r.live.store
	rows, err := s.eventRows(ctx, r.topic, r.topic.after(0), -1, recentEvents)
	if err != nil {
		return err
	}
	slices.Reverse(rows)
	recent, err := s.eventsOf(ctx, r.topic, rows, true)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recent = recent
	if len(rows) > 0 {
		r.at = sequenceOf(rows[len(rows)-1].Event)
	}
	if len(rows) == recentEvents { // there may be older ones
		r.base = sequenceOf(rows[0].Event) - 1
	}
	return nil
}

// turn waits until a reader may read the database, and returns a context with the time limit of a
// read.
func (l *live) turn(ctx context.Context) (_ context.Context, done func(), err error) {
	select {
	case l.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	return ctx, func() { cancel(); <-l.reading }, nil
}

// readTime bounds one read.
const readTime = 5 * time.Second

// read reads new events and hands them to the followers that listen.
func (r *reader) read(ctx context.Context) error {
	for {
		r.mu.Lock()
		at := r.at
		r.mu.Unlock()
		events, last, more, err := r.page(ctx, at, true)
		if err != nil {
			return err
		}
		r.add(events, last)
		if !more {
			return nil
		}
	}
}

// page returns the events after a sequence number, and the number up to which there are no others.
func (r *reader) page(ctx context.Context, sequence uint64, fresh bool) (events []*Publication, last uint64, more bool, err error) {
	ctx, done, err := r.live.turn(ctx)
	if err != nil {
		return nil, 0, false, err
	}
	defer done()
	rows, err := r.live.store.eventRows(ctx, r.topic, r.topic.after(sequence), 1, eventsAtOnce)
	if err != nil || len(rows) == 0 {
		return nil, sequence, false, err
	}
	events, err = r.live.store.eventsOf(ctx, r.topic, rows, fresh)
	return events, sequenceOf(rows[len(rows)-1].Event), len(rows) == eventsAtOnce, err
}

// add hands events to the followers that listen. A follower with a full queue goes on by itself.
func (r *reader) add(events []*Publication, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = max(r.at, last)
	r.recent = append(r.recent, events...)
	if drop := len(r.recent) - recentEvents; drop > 0 {
		r.base = r.recent[drop-1].sequence
		r.recent = slices.Clone(r.recent[drop:])
	}
	for f := range r.listening {
		if !f.offer(events) {
			delete(r.listening, f)
			f.catchUp()
		}
	}
}

// offer hands over as many events as the queue has room for; false if some are left.
func (f *Following) offer(events []*Publication) bool {
	for _, e := range events {
		if e.sequence <= f.sequence {
			continue
		}
		select {
		case f.events <- e:
			f.sequence = e.sequence
		default:
			return false
		}
	}
	return true
}

// listen makes f receive new events from r, if it has all events so far; r.mu is held.
func (r *reader) listen(f *Following) bool {
	if f.sequence < r.at {
		return false
	}
	if !f.left {
		r.listening[f] = struct{}{}
	}
	return true
}

// catchUp hands the missing events to f, in a goroutine of its own, until f listens again.
func (f *Following) catchUp() {
	f.reader.live.goOn(func() {
		err := f.follow()
		if err == nil || f.ctx.Err() != nil || f.reader.live.ctx.Err() != nil {
			return
		}
		f.reader.mu.Lock()
		f.failed = err
		f.reader.mu.Unlock()
		close(f.events)
	})
}

// follow returns nil when f listens.
func (f *Following) follow() error {
	r := f.reader
	for {
		r.mu.Lock()
		if r.listen(f) {
			r.mu.Unlock()
			return nil
		}
		var events []*Publication
		last := r.at
		inMemory := f.sequence >= r.base
		if inMemory {
			events = slices.Clone(r.recent)
		}
		r.mu.Unlock()
		if !inMemory {
			var err error
			if events, last, _, err = r.page(f.ctx, f.sequence, false); err != nil {
				return err
			}
			if len(events) == 0 && last == f.sequence { // those events have gone
				r.mu.Lock()
				last = r.base
				r.mu.Unlock()
			}
		}
		if err := f.hand(events); err != nil {
			return err
		}
		f.sequence = max(f.sequence, last)
	}
}

// hand waits until f has taken events.
func (f *Following) hand(events []*Publication) error {
	late := time.NewTimer(f.reader.live.takeTime)
	defer late.Stop()
	for _, e := range events {
		if e.sequence <= f.sequence {
			continue
		}
		late.Reset(f.reader.live.takeTime)
		select {
		case f.events <- e:
			f.sequence = e.sequence
		case <-f.ctx.Done():
			return f.ctx.Err()
		case <-f.reader.live.ctx.Done():
			return errClosed
		case <-late.C:
			return ErrTooSlow
		}
	}
	return nil
}

// Published follows articles that become public: see Follow.
func (s *Store) Published(ctx context.Context, after *id.ID) (*Following, error) {
	return s.Follow(ctx, AllPublished, after)
}

// LastEvent is the last event of t that is still public, as it is in the database now, or NotFound.
func (s *Store) LastEvent(ctx context.Context, t Topic) (*Publication, error) {
	rows, err := s.eventRows(ctx, t, t.after(0), -1, 1)
	if err != nil {
		return nil, err
	}
	events, err := s.eventsOf(ctx, t, rows, true)
	if err == nil && len(events) == 0 {
		err = problem.New(problem.NotFound, "there has been no such event")
	}
	if err != nil {
		return nil, err
	}
	return events[0], nil
}

// CommentsAdded follows the comments shown under an article; NotFound if the article isn't public.
// See Follow.
func (s *Store) CommentsAdded(ctx context.Context, article id.ID, after *id.ID) (*Following, error) {
	found, err := Articles.All(ctx, s, []id.ID{article})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, problem.New(problem.NotFound, "there is no such article").At("articleId")
	}
	return s.Follow(ctx, Topic(article), after)
}
