package store

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

// All who follow a topic on this replica share one reader: a change costs as many commands
// for one as for ten thousand. What a follower doesn't take at once waits in a queue of its
// own; when that is full it reads by itself, at its own pace, until it has caught up. So a
// slow one takes no memory, and nobody waits for it.

const (
	// queued is how many events wait for a follower in memory, 8 bytes each.
	queued = 64

	// recentEvents is how many are remembered for those who come back, 150 bytes each.
	recentEvents = 64

	// eventsAtOnce is how many are read in one command.
	eventsAtOnce = 100

	// takeTime is how long an event waits for its follower to take it.
	takeTime = 30 * time.Second

	// gather is how long a reader waits after it was told of a change for more of the kind,
	// and for the second of the two times that a write tells.
	gather = 5 * time.Millisecond

	// lookEvery is how often readers look while changes may go unheard, sweepEvery how often
	// they look all the same.
	lookEvery  = time.Second
	sweepEvery = time.Minute

	// readAtOnce is how many readers may ask the database at once.
	readAtOnce = 8
)

// ErrTooSlow is why a following ends whose follower doesn't take its events in time.
var ErrTooSlow = errors.New("events aren't taken in time")

var errClosed = errors.New("the store is closed")

// live is the readers of this replica.
type live struct {
	store    *Store
	seed     maphash.Seed
	takeTime time.Duration
	reading  chan struct{} // has an element for each that reads
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

// close ends all readers. Followings stay as they are: who follows ends them.
func (l *live) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.running.Wait()
}

// reader reads the events of a topic for all who follow it.
type reader struct {
	topic Topic
	live  *live
	look  chan struct{} // gets a value when there may be something to read
	stop  context.CancelFunc

	users   int           // under live.mu
	started chan struct{} // closed when the rest is there, or failed
	failed  error

	mu        sync.Mutex
	at        uint64 // the sequence number up to which it has read
	base      uint64 // recent has every event after this number
	recent    []*Event
	listening map[*Following]struct{}
}

// Following is one who follows a topic.
type Following struct {
	// Events gets them in their order, each once. It is closed when the following has failed.
	Events <-chan *Event

	ctx      context.Context
	reader   *reader
	events   chan *Event
	sequence uint64 // of the last event that was handed over, or left out; of who hands over

	// Under reader.mu.
	left   bool
	failed error
}

// Err says why Events was closed.
func (f *Following) Err() error {
	f.reader.mu.Lock()
	defer f.reader.mu.Unlock()
	return f.failed
}

// Follow follows t until ctx ends: from now on, or from after an event that its follower has
// had, on this replica or another. It returns when no event is missed any more; Invalid
// where after is no event of t.
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
	events := make(chan *Event, queued)
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

// Followers is how many followings there are on this replica.
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

// known returns sequence, or where the database knows of no such event, since it was restored
// from an older copy, the last that it knows of.
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

// use returns the reader of t, which reads until it is released as often.
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

// forget lets the next who follows r's topic try again.
func (l *live) forget(r *reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[r.topic] == r {
		delete(l.topics, r.topic)
	}
}

// sweep has readers look where they may not have been told of a change: all of them while
// changes may go unheard, and each one once a minute.
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

// run reads whenever there may be something.
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
			// The sweep doesn't know, so look again by itself.
			time.AfterFunc(lookEvery, r.nudge)
		}
	}
}

// start finds where the topic is, and its most recent events.
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
	if len(rows) == recentEvents { // there may be more before them
		r.base = sequenceOf(rows[0].Event) - 1
	}
	return nil
}

// turn waits until a reader may ask the database, and gives it the time that reads have.
func (l *live) turn(ctx context.Context) (_ context.Context, done func(), err error) {
	select {
	case l.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	return ctx, func() { cancel(); <-l.reading }, nil
}

// readTime is how long one read may take.
const readTime = 5 * time.Second

// read reads what has come and hands it to those who listen.
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

// page returns the events after a sequence number, and the number up to which there are no
// others.
func (r *reader) page(ctx context.Context, sequence uint64, fresh bool) (events []*Event, last uint64, more bool, err error) {
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

// add hands events to those who listen. One whose queue is full goes on by itself.
func (r *reader) add(events []*Event, last uint64) {
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

// offer hands over what there is room for; false where there is more.
func (f *Following) offer(events []*Event) bool {
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

// listen has f hear of what comes, if it has had all that was read; r.mu is held.
func (r *reader) listen(f *Following) bool {
	if f.sequence < r.at {
		return false
	}
	if !f.left {
		r.listening[f] = struct{}{}
	}
	return true
}

// catchUp hands over, in a goroutine of its own, what f is behind, until it listens again.
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
		var events []*Event
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
			if len(events) == 0 && last == f.sequence { // what was there has gone
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
func (f *Following) hand(events []*Event) error {
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

// Published follows what becomes public: see Follow.
func (s *Store) Published(ctx context.Context, after *id.ID) (*Following, error) {
	return s.Follow(ctx, AllPublished, after)
}

// LastEvent is the last event of t that everyone may hear of, as it is in the database now;
// NotFound where there is none.
func (s *Store) LastEvent(ctx context.Context, t Topic) (*Event, error) {
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

// CommentsAdded follows the comments that are shown under an article; NotFound where that
// isn't public. See Follow.
func (s *Store) CommentsAdded(ctx context.Context, article id.ID, after *id.ID) (*Following, error) {
	found, err := s.Articles(ctx, []id.ID{article})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, problem.New(problem.NotFound, "there is no such article").At("articleId")
	}
	return s.Follow(ctx, Topic(article), after)
}
