package cache_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A model of the protocol, small enough to look at every interleaving of its steps:
// one key, its versions in a database, Redis, two replicas with a tier in the process each,
// two writers, two or three readers, and a fault between any two steps. It shares no code
// with the implementation; its steps have the names of the code that they model:
//
//	get            Table.Get up to the end of Table.load's lock: Cache.get, the records of
//	               start and loaded, Cache.joinable, the flight
//	acquire        tier2.acquire, as Table.fromRedis calls it
//	Load           Table.Load; a reader can be paused for long between acquire and Load
//	insert         Table.insert: the offer to the tier in the process
//	fill           tier2.fill
//	leave          the deferred end of Table.lead: Cache.wait, the flight's end; and
//	               Cache.await, which gives those that wait for a flight its answer, or a
//	               newer one
//	announce       trust.announce, that is bus.Redis.Drop: the block and the message
//	write          the function that Cache.Write is given
//	announceAgain  trust.announceAgain
//	Drop           Cache.Drop for the keys of Cache.Write, and its return: the acknowledgement
//	fail           Cache.Write returns with an error that leaves the outcome unknown: announceAgain,
//	               Drop, and trust.leaveUnknown. The write is made at any later time, or never
//	hold           trust.holdBlocks
//	prove          trust.dropProven, once a later write to the database has a majority
//	hear           bus.Redis.handle: Heard.Drop
//	resubscribe    bus.Redis.listen: Heard.Flush
//
// The faults: evict (Redis drops a value or a lease for want of memory, or it expires),
// forget (ristretto drops an entry, or it expires), unblock (a block runs out), crash (a
// replica dies, and with it its writer, its readers and its memory), restart (Redis starts
// again, and every message under way is lost). Messages take any time; those of one
// publisher stay in order, and since all name the same key, counting them is enough.
//
// Time is in it only as order: a block outlives the write that it was made for, since
// bus.BlockFor is longer than WriteLimit; so it doesn't run out, nor is a new run of Redis
// usable, while a live writer stands between announce and write; nor, because of hold, while a
// live writer doesn't know the outcome of its write. Nor is a block evicted
// before. With the maxmemory-policy allkeys-lru or volatile-lru, eviction takes the keys
// unused for the longest time; with noeviction, nothing. Other policies take blocks first
// (volatile-ttl), early (lfu) or by chance (random). The consequences show when the
// assumption blockLasts is taken out.
//
// A sequence number is modelled by the result of its comparisons: each entry, load and
// offer says whether a drop came after its start.
//
// Checked in every state:
//
//	(a) a read that begins on a replica after a write was acknowledged there answers
//	    nothing older;
//	(b) a read that begins after another has answered on the same replica answers nothing
//	    older;
//	(c) in every state of rest (no messages, no blocks, nobody at work) no tier holds
//	    anything older than the database, short-lived entries excepted;
//	(d) a read that begins on any replica after a write was acknowledged and that replica
//	    has heard everything answers nothing older: this bounds staleness to the delay of
//	    messages rather than to a second.
//
// A write with an unknown outcome is at rest once it is visible, and acknowledged once it is proven.
//
// Writes unannounced for want of Redis are not in it: trust_model_test.go has them. A write of a
// writer that has died isn't made later: docs/architecture.md says what happens then.

// rule is a rule of the protocol, or an assumption behind it. The model runs with all of them, and
// with all but one.
type rule uint

const (
	leaseOnFill    rule = 1 << iota // a fill is taken only while its lease stands
	blockOnLease                    // a block takes the place of lease and value
	blockBefore                     // announce comes before write
	dropAfter                       // announceAgain comes after write
	dropHere                        // the writer's own replica drops before it acknowledges
	startFirst                      // start is recorded before the first read
	checkOnRead                     // an entry dropped since its start isn't a hit
	shortIfBlocked                  // a value read while blocked lives for a second
	oneFlight                       // one load of a key at a time
	joinCheck                       // a load dropped since its start isn't joined
	newestFlight                    // a replaced load gives the answer of the load that replaced it
	waitFirst                       // ristretto has taken an offer before the flight ends
	runID                           // keys carry the run_id
	flushOnListen                   // a new subscription flushes
	usableRun                       // a new run of Redis isn't used for as long as a block lasts
	blockLasts                      // assumption: a block outlives the write that it was made for
	holdBlocks                      // the block of a write with an unknown outcome is renewed
	proveLast                       // until a majority has a later write
	dropProven                      // and the key is dropped then

	rules = 19
	all   = rule(1)<<rules - 1
)

var ruleNames = [rules]string{
	"leaseOnFill", "blockOnLease", "blockBefore", "dropAfter", "dropHere", "startFirst", "checkOnRead", "shortIfBlocked",
	"oneFlight", "joinCheck", "newestFlight", "waitFirst", "runID", "flushOnListen", "usableRun", "blockLasts",
	"holdBlocks", "proveLast", "dropProven",
}

// scenario is the input of the model.
type scenario struct {
	rules   rule
	writers []int8 // the replica of each, 0 or 1; two at most, each writes once
	readers []int8 // likewise; three at most
	gets    []int8 // the number of reads of each reader; three at most
	crash   bool   // a replica may die
	restart bool   // Redis may be restarted
	fail    bool   // the outcome of a write may be unknown
}

const none = 3 // no reader

type readerPhase uint8

const (
	idle readerPhase = iota
	began
	acquired
	loaded
	inserted
	filled
	following
)

type writerPhase uint8

const (
	waiting writerPhase = iota
	announced
	written
	announcedAgain
	unresolved // it has failed, and may still be made
	resolved   // it has been made after it failed, or never will be
	forgotten  // taken for resolved, and may still be made: without proveLast
	done       // or dead
)

type content uint8

const (
	empty content = iota
	value
	lease
)

// cell is Redis's key: a block on top of the cell's other content.
type cell struct {
	blocked bool
	content content
	v       int8 // version, or the reader whose lease it is
}

// cached is an entry of the process, or an offer of one.
type cached struct {
	there, dropped, short bool
	v                     int8
}

type reader struct {
	phase    readerPhase
	gets     int8 // reads left
	dropped  bool // since its start
	lease    bool
	run      bool // the run of its lease
	short    bool
	v        int8
	floor    int8 // it must not be older than this
	leader   int8 // the reader that leads its flight
	replaced bool // another load has taken the place of its own
}

type writer struct {
	phase writerPhase
	v     int8 // the version that it wrote
	run   bool // the run of its announcement
}

type replica struct {
	entry  cached
	offers [2]cached // to ristretto, not yet taken
	flight int8      // its leader; none
	known  int8      // a read that begins now must not be older than this
	deaf   bool      // its subscription has ended
	dead   bool
}

// state is one moment of the model. It is a value: equal ones are the same.
type state struct {
	db       int8
	redis    cell
	saved    cell // Redis restarts with it
	hasSaved bool
	run      bool // it is Redis's second run
	usable   bool
	crashed  bool
	writers  [2]writer
	readers  [3]reader
	replicas [2]replica
	messages [2][2]int8 // from writer, to replica
}

func (s scenario) on(r rule) bool { return s.rules&r != 0 }

func (s scenario) start() state {
	w := state{usable: true}
	for i, gets := range s.gets {
		w.readers[i].gets = gets
	}
	for i := len(s.writers); i < len(w.writers); i++ {
		w.writers[i].phase = done
	}
	for i := range w.replicas {
		w.replicas[i].flight = none
	}
	return w
}

// step is one transition from a state.
type step struct {
	who  string
	i    int // the index of the actor
	what string
	v    int8 // the version in question, or the other actor
	to   state
	bad  string // the promise that the step itself breaks
}

func (s step) String() string {
	return strings.ReplaceAll(fmt.Sprintf("%s %d: %s", s.who, s.i, s.what), "#", fmt.Sprint(s.v))
}

// steps appends every transition from w to out.
func (s scenario) steps(w *state, out []step) []step {
	for i, r := range s.readers {
		if !w.replicas[r].dead {
			out = s.read(w, i, int(r), out)
		}
	}
	for i, r := range s.writers {
		if !w.replicas[r].dead {
			out = s.write(w, i, int(r), out)
		}
	}
	for r := range w.replicas {
		if !w.replicas[r].dead {
			out = s.listen(w, r, out)
		}
	}
	return s.misfortune(w, out)
}

func (s scenario) read(w *state, i, r int, out []step) []step {
	next := step{who: "reader", i: i, to: *w}
	to, me, home := &next.to, &next.to.readers[i], &next.to.replicas[r]
	switch me.phase {
	case idle:
		if me.gets == 0 {
			return out
		}
		me.gets--
		me.floor = home.known
		switch leader := home.flight; {
		case s.hit(home.entry):
			next.what, next.v = "get: a hit, v#", home.entry.v
			next.bad = s.answer(to, i, r, home.entry.v)
		case s.on(oneFlight) && leader != none && !(s.on(joinCheck) && to.readers[leader].dropped):
			next.what, next.v = "get: joins reader #", leader
			me.phase, me.leader = following, leader
		default:
			next.what = "get: a miss, leads"
			if leader != none {
				to.readers[leader].replaced = true
			}
			me.phase = began
			home.flight = int8(i)
		}
	case began:
		me.phase, me.run = acquired, to.run
		switch {
		case !to.usable || to.redis.blocked:
			next.what = "acquire: blocked"
			me.short = s.on(shortIfBlocked)
		case to.redis.content == value:
			next.what, next.v = "acquire: v#", to.redis.v
			me.phase, me.v = loaded, to.redis.v
		case to.redis.content == lease:
			next.what = "acquire: another's lease"
		default:
			next.what = "acquire: a lease"
			me.lease = true
			to.redis.content, to.redis.v = lease, int8(i)
		}
	case acquired:
		next.what, next.v = "Load: v#", to.db
		me.phase, me.v = loaded, to.db
	case loaded:
		next.what = "insert"
		me.phase = inserted
		e := cached{there: true, v: me.v, short: me.short}
		switch {
		case me.dropped && s.on(startFirst):
			next.what = "insert: too late"
		case s.on(waitFirst) || home.entry.there:
			home.entry = e
		case !home.offers[0].there:
			home.offers[0] = e
		default:
			home.offers[1] = e
		}
	case inserted:
		me.phase = filled
		if !me.lease {
			next.what = "no fill"
			break
		}
		next.what = "fill: refused"
		stands := to.redis.content == lease && to.redis.v == int8(i) && (me.run == to.run || !s.on(runID))
		if stands && s.on(blockOnLease) && to.redis.blocked {
			panic("a lease under a block")
		}
		if stands || !s.on(leaseOnFill) {
			next.what = "fill: taken"
			to.redis = cell{content: value, v: me.v, blocked: to.redis.blocked && s.on(leaseOnFill)}
		}
		me.lease = false
	case filled:
		if home.flight == int8(i) {
			home.flight = none
		}
		next.what, next.v = "leave with v#", me.v
		for j, at := range s.readers {
			f := &to.readers[j]
			if j != i && (at != int8(r) || f.phase != following || f.leader != int8(i)) {
				continue
			}
			v := me.v
			if me.replaced && s.on(newestFlight) {
				if s.hit(home.entry) {
					v = home.entry.v
				} else if home.flight != none {
					if j != i {
						f.leader = home.flight
					}
					continue
				}
			}
			if j != i {
				if bad := s.answer(to, j, r, v); bad != "" {
					next.bad = bad
				}
			}
		}
		switch {
		case me.replaced && s.on(newestFlight) && s.hit(home.entry):
			next.what = "leave with v#, but answer the newer load's value"
			next.bad += s.answer(to, i, r, home.entry.v)
		case me.replaced && s.on(newestFlight) && home.flight != none:
			next.what = "leave with v#, but wait for the flight in its place"
			*me = reader{phase: following, gets: me.gets, floor: me.floor, leader: home.flight}
		default:
			next.bad += s.answer(to, i, r, me.v)
		}
	default: // a follower is moved by its leader
		return out
	}
	return append(out, next)
}

// hit reports whether e would be a hit.
func (s scenario) hit(e cached) bool { return e.there && !(s.on(checkOnRead) && e.dropped) }

// answer ends a read, and returns the promise that it breaks.
func (s scenario) answer(to *state, i, r int, v int8) (bad string) {
	me := &to.readers[i]
	if v < me.floor {
		bad = fmt.Sprintf("reader %d answers v%d, and v%d was known on its replica before it began", i, v, me.floor)
	}
	*me = reader{gets: me.gets}
	to.replicas[r].known = max(to.replicas[r].known, v)
	return bad
}

func (s scenario) write(w *state, i, r int, out []step) []step {
	next := step{who: "writer", i: i, to: *w}
	to, me := &next.to, &next.to.writers[i]
	switch me.phase {
	case waiting:
		me.phase = announced
		next.what = "no announce"
		if s.on(blockBefore) {
			next.what = "announce"
			s.announce(to, i, r)
		}
	case announced:
		to.db++
		me.phase, me.v = written, to.db
		next.what, next.v = "write: v#", to.db
		if s.fail {
			failed := step{who: "writer", i: i, what: "fail", to: *w}
			failed.to.writers[i].phase = unresolved
			s.announce(&failed.to, i, r)
			s.drop(&failed.to, r)
			out = append(out, failed)
		}
	case unresolved, forgotten:
		to.db++
		next.what, next.v = "v# is written after all", to.db
		if me.v = to.db; me.phase == forgotten {
			me.phase = done
			break
		}
		me.phase = resolved
		never := step{who: "writer", i: i, what: "the write that failed never happens", to: *w}
		never.to.writers[i].phase = resolved
		out = append(out, never)
		if me.run != w.run && s.on(holdBlocks) {
			hold := step{who: "writer", i: i, what: "hold", to: *w}
			s.announce(&hold.to, i, r)
			out = append(out, hold)
		}
		if !s.on(proveLast) {
			early := step{who: "writer", i: i, what: "prove, too early", to: *w}
			early.to.writers[i].phase = forgotten
			s.announce(&early.to, i, r)
			s.drop(&early.to, r)
			out = append(out, early)
		}
	case resolved:
		next.what = "prove"
		me.phase = done
		if s.on(dropProven) {
			s.announce(to, i, r)
			s.drop(to, r)
		}
		to.replicas[r].known = max(to.replicas[r].known, me.v)
		s.learn(to)
	case written:
		me.phase = announcedAgain
		next.what = "no announceAgain"
		if s.on(dropAfter) {
			next.what = "announceAgain"
			s.announce(to, i, r)
		}
	case announcedAgain:
		me.phase = done
		next.what, next.v = "Drop, v# is acknowledged", me.v
		if s.on(dropHere) {
			s.drop(to, r)
		}
		to.replicas[r].known = max(to.replicas[r].known, me.v)
		s.learn(to)
	default:
		return out
	}
	return append(out, next)
}

func (s scenario) announce(to *state, i, r int) {
	to.writers[i].run = to.run
	to.redis.blocked = true
	if s.on(blockOnLease) || to.redis.content == value {
		to.redis.content = empty
	}
	for other := range to.replicas {
		if other != r && !to.replicas[other].deaf && !to.replicas[other].dead {
			to.messages[i][other]++
		}
	}
}

// drop marks everything that a replica has, or is about to have, of the key.
func (s scenario) drop(to *state, r int) {
	home := &to.replicas[r]
	home.entry.dropped = home.entry.there
	for o := range home.offers {
		home.offers[o].dropped = home.offers[o].there
	}
	for j, at := range s.readers {
		if p := to.readers[j].phase; at == int8(r) && p != idle && p != following {
			to.readers[j].dropped = true
		}
	}
}

// learn raises the version known to replicas that have heard everything, for promise (d).
func (s scenario) learn(to *state) {
	for r := range to.replicas {
		if to.replicas[r].deaf {
			continue
		}
		for i := range s.writers {
			if to.writers[i].phase == done && to.messages[i][r] == 0 {
				to.replicas[r].known = max(to.replicas[r].known, to.writers[i].v)
			}
		}
	}
}

func (s scenario) listen(w *state, r int, out []step) []step {
	if w.replicas[r].deaf {
		next := step{who: "replica", i: r, what: "resubscribe", to: *w}
		next.to.replicas[r].deaf = false
		if s.on(flushOnListen) {
			s.drop(&next.to, r)
		}
		s.learn(&next.to)
		out = append(out, next)
	}
	for i := range s.writers {
		if w.messages[i][r] > 0 {
			next := step{who: "replica", i: r, what: "hear writer #", v: int8(i), to: *w}
			next.to.messages[i][r]--
			s.drop(&next.to, r)
			s.learn(&next.to)
			out = append(out, next)
		}
	}
	if offers := w.replicas[r].offers; offers[0].there {
		next := step{who: "replica", i: r, what: "ristretto takes v#", v: offers[0].v, to: *w}
		home := &next.to.replicas[r]
		if home.entry.there {
			next.what = "ristretto refuses v#, since it has the key"
		} else {
			home.entry = offers[0]
		}
		home.offers = [2]cached{offers[1]}
		out = append(out, next)
	}
	return out
}

// pending reports whether a writer has announced and may still write; if early, before Redis was
// restarted.
func (s scenario) pending(w *state, early bool) bool {
	for i := range s.writers {
		x := w.writers[i]
		lasts := x.phase == announced && s.on(blockLasts) || x.phase == unresolved && s.on(holdBlocks)
		if lasts && (!early || x.run != w.run) {
			return true
		}
	}
	return false
}

func (s scenario) misfortune(w *state, out []step) []step {
	if !w.redis.blocked && w.redis.content != empty {
		next := step{who: "Redis", what: "evict", to: *w}
		next.to.redis = cell{}
		out = append(out, next)
	}
	if w.redis.blocked && !s.pending(w, false) {
		next := step{who: "Redis", what: "unblock", to: *w}
		next.to.redis.blocked = false
		out = append(out, next)
	}
	for r, home := range w.replicas {
		if home.entry.there {
			next := step{who: "replica", i: r, what: "forget", to: *w}
			next.to.replicas[r].entry = cached{}
			out = append(out, next)
		}
		if s.crash && !w.crashed && s.busy(w, r) {
			next := step{who: "replica", i: r, what: "crash", to: *w}
			next.to.crashed = true
			s.kill(&next.to, r)
			out = append(out, next)
		}
	}
	if w.run && !w.usable && !s.pending(w, true) {
		next := step{who: "Redis", what: "usable", to: *w}
		next.to.usable = true
		out = append(out, next)
	}
	if !s.restart || w.run {
		return out
	}
	if !s.on(runID) && !w.hasSaved && !w.redis.blocked && w.redis.content != empty {
		next := step{who: "Redis", what: "save", to: *w}
		next.to.saved, next.to.hasSaved = w.redis, true
		out = append(out, next)
	}
	next := step{who: "Redis", what: "restart", to: *w}
	next.to.run, next.to.usable = true, !s.on(usableRun)
	next.to.redis = w.saved // under names that nobody asks for, except without runID
	next.to.saved, next.to.hasSaved = cell{}, false
	next.to.messages = [2][2]int8{}
	for r := range next.to.replicas {
		next.to.replicas[r].deaf = !w.replicas[r].dead
	}
	return append(out, next)
}

// busy reports whether a writer on replica r is in mid-write: a crash at any other moment does the
// same as forget.
func (s scenario) busy(w *state, r int) bool {
	for i, at := range s.writers {
		if p := w.writers[i].phase; at == int8(r) && p != waiting && p < unresolved {
			return true
		}
	}
	return false
}

func (s scenario) kill(w *state, r int) {
	w.replicas[r] = replica{dead: true, flight: none}
	for i, at := range s.writers {
		if at == int8(r) {
			w.writers[i] = writer{phase: done}
		}
		w.messages[i][r] = 0
	}
	for i, at := range s.readers {
		if at == int8(r) {
			w.readers[i] = reader{}
		}
	}
}

// stale returns the outdated part of w, if it is a state of rest.
func (s scenario) stale(w *state) string {
	if w.redis.blocked || !w.usable || w.messages != [2][2]int8{} {
		return ""
	}
	for _, x := range w.writers {
		if x.phase != waiting && x.phase != resolved && x.phase != done {
			return ""
		}
	}
	for _, x := range w.readers {
		if x.phase != idle {
			return ""
		}
	}
	for _, home := range w.replicas {
		if home.deaf || home.offers[0].there {
			return ""
		}
	}
	if w.redis.content == value && w.redis.v < w.db {
		return fmt.Sprintf("at rest, Redis holds v%d of v%d", w.redis.v, w.db)
	}
	for r, home := range w.replicas {
		if s.hit(home.entry) && !home.entry.short && home.entry.v < w.db {
			return fmt.Sprintf("at rest, replica %d holds v%d of v%d", r, home.entry.v, w.db)
		}
	}
	return ""
}

// tidy makes two states equal if no later step can tell them apart.
func (s scenario) tidy(w *state) {
	for r := range w.replicas {
		home := &w.replicas[r]
		if s.on(checkOnRead) && s.on(waitFirst) && home.entry.dropped {
			home.entry = cached{}
		}
	}
	for i := range w.writers {
		x := &w.writers[i]
		if x.phase != announced && x.phase != unresolved {
			x.run = false
		}
		if x.phase == done && w.replicas[0].known >= x.v && w.replicas[1].known >= x.v {
			x.v = 0
		}
	}
	for i := range w.readers {
		x := &w.readers[i]
		mine := w.redis.content == lease && w.redis.v == int8(i) && x.run == w.run
		if s.on(leaseOnFill) && s.on(runID) && x.lease && !mine {
			x.lease = false
		}
		if !x.lease {
			x.run = false
			if x.phase == inserted {
				x.phase = filled
			}
		}
	}
	if w.redis.content == empty {
		w.redis.v = 0
	}
}

// search looks at every state that can be reached, nearest first. It returns their number, and the
// shortest path to a state that breaks a promise, if there is one.
func (s scenario) search() (states int, trace []string) {
	type node struct {
		w    state
		from int32
		by   int16 // the step that led here
	}
	first := s.start()
	seen := map[state]struct{}{first: {}}
	nodes := []node{{first, -1, 0}}
	var out []step
	for i := 0; i < len(nodes); i++ {
		here := nodes[i].w
		out = s.steps(&here, out[:0])
		for by := range out {
			next := &out[by]
			s.tidy(&next.to)
			bad := next.bad
			if bad == "" {
				if _, ok := seen[next.to]; ok {
					continue
				}
				seen[next.to] = struct{}{}
				bad = s.stale(&next.to)
			}
			if bad == "" {
				nodes = append(nodes, node{next.to, int32(i), int16(by)})
				continue
			}
			trace = []string{bad, next.String()}
			for at := nodes[i]; at.from >= 0; at = nodes[at.from] {
				trace = append(trace, s.steps(&nodes[at.from].w, nil)[at.by].String())
			}
			slices.Reverse(trace)
			return len(nodes), trace
		}
	}
	return len(nodes), nil
}

// The scenarios for the model. None has everything: each further step multiplies the states of all
// the others.
var (
	// crossing has two writers of one key, each beside a reader.
	crossing = scenario{writers: []int8{0, 1}, readers: []int8{0, 1}, gets: []int8{2, 1}, crash: true}
	// beside has two readers on the replica that doesn't write, and three.
	beside  = scenario{writers: []int8{0}, readers: []int8{1, 1}, gets: []int8{2, 2}, crash: true}
	besides = scenario{writers: []int8{0}, readers: []int8{1, 1, 1}, gets: []int8{1, 1, 1}, crash: true}
	// within has three readers on the replica that writes, and two writers there.
	within = scenario{writers: []int8{0, 0}, readers: []int8{0, 0}, gets: []int8{2, 1}, crash: true}
	// restarted has a Redis that is restarted once.
	restarted = scenario{writers: []int8{0}, readers: []int8{0, 1}, gets: []int8{2, 1}, crash: true, restart: true}
	// failing has a writer that doesn't learn the outcome of its write, and a Redis that is restarted.
	failing = scenario{writers: []int8{0}, readers: []int8{0, 1}, gets: []int8{2, 2}, restart: true, fail: true}
)

func TestModelHasNoBadState(t *testing.T) {
	if raceDetector {
		t.Skip("the model has no goroutines, and takes a minute under the race detector")
	}
	for name, s := range map[string]scenario{"Crossing": crossing, "Beside": beside, "Besides": besides, "Within": within, "Restarted": restarted, "Failing": failing} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.rules = all
			n, trace := s.search()
			if trace != nil {
				t.Errorf("a bad state:\n\t%s", strings.Join(trace, "\n\t"))
			}
			t.Logf("%d states", n)
		})
	}
}

func TestModelMissesEachRule(t *testing.T) {
	if raceDetector {
		t.Skip("the model has no goroutines, and takes a minute under the race detector")
	}
	for i, name := range ruleNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, s := range []scenario{beside, restarted, within, crossing, failing} {
				s.rules = all &^ (1 << i)
				if n, trace := s.search(); trace != nil {
					t.Logf("%d states to a bad one:\n\t%s", n, strings.Join(trace, "\n\t"))
					return
				}
			}
			t.Error("nothing breaks without it: it is no rule, or the model doesn't see its purpose")
		})
	}
}
