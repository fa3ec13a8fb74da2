package cache_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A second model, of trust.go while a replica can't reach Redis: one replica writes, and its
// line to Redis breaks; the other one reads, and has Redis all the time. The steps:
//
//	degrade   trust.degrade
//	mark      trust.mark, the marker in the registry
//	noticed   trust.lookForLeases, once no trust lease of the reader is in the registry or all have expired
//	begin, write, end    Cache.Write after trust.announce found the marker seen
//	announce, write, announceAgain, Drop    Cache.Write over Redis
//	hold      trust.hold, after a failed write
//	prove     trust.dropProven
//	return    trust.recover up to degraded = false
//	scrub     tier2.scrubAll, called by trust.recover
//	unmark    the end of trust.recover
//	clear     trust.clear
//	take      trust.renewLease
//	list, conclude   trust.poll, with Registry.List between the two
//	lapse     the end of trust.until, and of the lease as the reader sees it
//	expire    the end of the lease as the writer sees it
//	give up   trust.endLeases after trust.distrust
//	reap      trust.reap
//	silence   the end of bus.Redis.FreshUntil, while no message is lost
//	flush     Cache.trusted, at the first read with trust after one without
//	get, acquire, Load, insert, fill   as in model_test.go
//	response  Validity.Valid, of a response that was made from an entry
//
// An entry and the responses made from it expire or are forgotten together: the model has no room for
// an entry that ristretto turns away. docs/architecture.md says what that means.
//
// A database without a primary is a time without steps of the registry and without loads and writes.
// Since any step may be put off for ever, the search has every such time in it, in each state: a
// reader with trust keeps it without the database, until its lease has ended.
//
// A write may fail and yet happen later, at any time. If it was announced, its key stays blocked until
// then, since bus.HoldFor is long: docs/architecture.md says what happens after that. The writer may
// degrade at any time, for no reason, and die at any time.
//
// Checked: nothing goes back in time for the reader; while it trusts its tiers and has heard
// everything, it answers nothing older than the last acknowledged write; and in every state of
// rest neither Redis nor its own memory holds anything outdated. A late write is acknowledged when it
// is proven.

type trustRule uint

const (
	heedLeases      trustRule = 1 << iota // an unannounced write waits until the reader has no trust lease
	leaseFirst                            // the reader takes a lease before it looks for markers
	distrustFirst                         // and ends its trust before it gives the lease up
	expireLast                            // the writer takes a lease for expired only when the reader does
	ownLease                              // a lease that comes or goes late isn't the present one
	drainFirst                            // the writer doesn't return while an unannounced write is under way
	proofFirst                            // nor while a failed one may still happen
	scrubOnReturn                         // a returning writer scrubs Redis first
	unmarkFirst                           // a marker that is about to be cleared doesn't count any more
	scrubForTheDead                       // the marker of a dead replica is cleared after Redis is scrubbed
	flushOnTrust                          // a reader flushes before it trusts again after a lapse
	untrustedSkips                        // a reader without trust doesn't use Redis
	flushAfterDoubt                       // a reader that has read without trust flushes before it uses anything old
	proofDrops                            // the key of a write with an unknown outcome is dropped when the outcome is proven

	trustRules = 14
)

var trustRuleNames = [trustRules]string{
	"heedLeases", "leaseFirst", "distrustFirst", "expireLast", "ownLease", "drainFirst", "proofFirst", "scrubOnReturn",
	"unmarkFirst", "scrubForTheDead", "flushOnTrust", "untrustedSkips", "flushAfterDoubt", "proofDrops",
}

type trustRead uint8

const (
	resting       trustRead = iota
	decided                 // whether to use Redis
	asked                   // Redis
	answered                // by Redis or the database
	insertedEntry           // in the process
)

type trustWrite uint8

const (
	unwritten   trustWrite = iota
	unannounced            // under way
	late                   // failed, and may still happen
	heard                  // announced
	made                   // and announced
	madeUnannounced
	heardLate // announced, failed, and may still happen
	heardDone // of such a write: it has happened, or never will
)

// part is a moment of the second model.
type part struct {
	db     int8
	redis  cell
	marker bool
	runOut bool // the writer is dead, and its marker has expired

	degraded, marked, noticed, markerLeft, returning, scrubbed bool // the writer's
	dead                                                       bool
	write                                                      trustWrite
	writes                                                     int8 // left to do
	acked                                                      int8
	messages                                                   int8

	trusts       bool // the reader's
	silent       bool // it hears nothing
	leased       bool // it has a lease, by its own clock
	lease        bool // and that is in the registry
	formerLease  bool // the one before is in the registry: it was given up, but the command has failed and may still happen
	givingUp     bool // it saw a marker
	listed       bool // a poll is under way
	listedLeased bool // and began with a lease
	sawMarker    bool
	entry        cached
	response     cached // made from an entry
	doubted      bool   // it has read without trust
	read         trustRead
	gets         int8
	short, fills bool
	dropped      bool
	v            int8
	floor, known int8
	usesRedisNow bool
}

// plight is the input of the second model. None has everything: each further step multiplies the states
// of all the others.
type plight struct {
	parted     bool // the writer may degrade
	dies       bool // and die
	lateWrites bool // an announced write may fail and yet happen later
	lateLeases bool // so may the end of a lease
	silence    bool // the reader may hear nothing on the bus for a while, and miss nothing
	gets       int8
}

var plights = map[string]plight{
	"Parted":     {parted: true, dies: true, gets: 3},
	"LateLeases": {parted: true, lateLeases: true, gets: 2},
	"LateWrites": {parted: true, dies: true, lateWrites: true, gets: 2},
	"Silence":    {lateWrites: true, silence: true, gets: 3},
}

func (p *part) steps(in plight, rules trustRule, out []partStep) []partStep {
	on := func(r trustRule) bool { return rules&r != 0 }
	hears := p.trusts && !p.silent
	add := func(name string, to part) { out = append(out, partStep{name: name, to: to}) }
	addV := func(name string, v int8, to part) { out = append(out, partStep{name: name, v: v, to: to}) }
	drop := func(to *part) {
		to.entry.dropped, to.response.dropped = to.entry.there, to.response.there
		to.dropped = true
	}
	usable := func(x cached) bool {
		return x.there && !x.dropped && (x.short || hears && !(p.doubted && on(flushAfterDoubt)))
	}
	block := func(to *part) {
		to.redis = cell{blocked: true}
		to.messages++
	}
	scrub := func(to *part) {
		if !to.redis.blocked {
			to.redis = cell{}
		}
	}
	answer := func(name string, to part, v int8) {
		s := partStep{name: name, v: v}
		if v < to.floor {
			s.bad = fmt.Sprintf("v%d is answered, and was to be no older than v%d", v, to.floor)
		}
		to.known = max(to.known, v)
		to.read, to.floor, to.v, to.short, to.fills, to.dropped, to.usesRedisNow = resting, 0, 0, false, false, false, false
		s.to = to
		out = append(out, s)
	}

	// The writer.
	if !p.dead {
		if !p.degraded && in.parted {
			to := *p
			to.degraded, to.returning, to.scrubbed = true, false, false
			add("writer: degrade", to)
		}
		if p.degraded && !p.marked {
			to := *p
			to.marked, to.marker, to.markerLeft, to.noticed = true, true, true, false
			add("writer: mark", to)
		}
		if p.marked && !p.noticed && (!p.lease && !p.formerLease || !on(heedLeases)) {
			to := *p
			to.noticed = true
			add("writer: noticed", to)
		}
		if p.write == unwritten && p.writes > 0 {
			to := *p
			to.writes--
			switch {
			case p.degraded && p.marked && p.noticed && !p.returning:
				to.write = unannounced
				add("writer: begin, unannounced", to)
			case !p.degraded:
				to.write = heard
				block(&to)
				add("writer: announce", to)
			}
		}
		switch p.write {
		case unannounced:
			to := *p
			to.db++
			to.write = madeUnannounced
			addV("writer: write v#", to.db, to)
			to = *p
			to.write = late
			add("writer: end, with an error", to)
		case madeUnannounced:
			to := *p
			to.write, to.acked = unwritten, p.db
			add("writer: end", to)
		case heard:
			to := *p
			to.db++
			to.write = made
			addV("writer: write v#", to.db, to)
			if in.lateWrites {
				to = *p
				to.write = heardLate
				block(&to)
				add("writer: hold, end with an error", to)
			}
		case made:
			to := *p
			to.write, to.acked = unwritten, p.db
			block(&to)
			add("writer: announceAgain, Drop", to)
		case heardDone:
			if !p.degraded {
				to := *p
				to.write, to.acked = unwritten, p.db
				if on(proofDrops) {
					block(&to)
				}
				add("writer: prove", to)
			}
		}
		if p.degraded {
			to := *p
			to.returning = p.write == unannounced || p.write == madeUnannounced
			if (!to.returning || !on(drainFirst)) && (p.write != late && p.write != heardLate || !on(proofFirst)) {
				to.degraded, to.returning, to.scrubbed = false, false, !on(scrubOnReturn)
				add("writer: return", to)
			} else if to.returning && !p.returning {
				add("writer: is about to return", to)
			}
		}
		if !p.degraded && p.marked && !p.scrubbed {
			to := *p
			to.scrubbed = true
			scrub(&to)
			add("writer: scrub", to)
		}
		if !p.degraded && p.marked && p.scrubbed && on(unmarkFirst) {
			to := *p
			to.marked, to.noticed = false, false
			add("writer: unmark", to)
		}
		if !p.degraded && p.markerLeft && p.scrubbed && (!p.marked || !on(unmarkFirst)) {
			to := *p
			to.marker, to.markerLeft = false, false
			if on(unmarkFirst) {
				add("writer: clear", to)
			} else {
				// The command is on its way, and then, maybe after degrading, its reply.
				add("writer: clear", to)
				to.marked, to.noticed = false, false
				add("writer: clear", to)
			}
		}
		if in.dies {
			to := *p
			to.dead = true
			if to.write != late && to.write != heardLate {
				to.write = unwritten
			}
			add("writer: dies", to)
		}
	}
	if p.write == late || p.write == heardLate {
		to := *p
		to.write = unwritten
		if p.write == heardLate && !p.dead {
			to.write = heardDone
		}
		add("the write that failed never happens", to)
		to.db++
		addV("v# is written after all", to.db, to)
	}
	if p.dead && p.marker && !p.runOut && p.write != late {
		to := *p
		to.runOut = true
		add("the marker expires", to)
	}

	// The reader's trust.
	if p.trusts || p.leased {
		to := *p
		to.trusts, to.leased = false, false
		add("reader: lapse", to)
	}
	if p.lease && (!p.leased || !on(expireLast)) {
		to := *p
		to.lease = false
		add("writer: the lease has expired", to)
	}
	if p.formerLease {
		to := *p
		to.formerLease = false
		if !on(ownLease) {
			to.lease = false
		}
		add("the former lease is given up after all", to)
	}
	if p.givingUp {
		to := *p
		to.lease, to.givingUp = false, false
		add("reader: give up", to)
		if in.lateLeases {
			to.formerLease = p.lease
			add("reader: give up, with an error", to)
		}
	}
	if !p.leased && (!p.listed || !on(leaseFirst)) {
		to := *p
		to.formerLease = in.lateLeases && (p.formerLease || p.lease && on(ownLease))
		to.leased, to.lease, to.givingUp = true, true, false
		add("reader: take", to)
	}
	if !p.listed {
		to := *p
		to.listed, to.listedLeased, to.sawMarker = true, p.leased, p.marker
		add("reader: list", to)
	} else {
		to := *p
		to.listed, to.listedLeased, to.sawMarker = false, false, false
		switch {
		case p.sawMarker && p.runOut:
			if on(scrubForTheDead) {
				scrub(&to)
			}
			to.marker = false
			add("reader: reap", to)
		case p.sawMarker:
			to.givingUp = p.lease
			if on(distrustFirst) {
				to.trusts, to.leased = false, false
			}
			add("reader: conclude: a marker", to)
		case p.leased && (p.listedLeased || !on(leaseFirst)):
			if !p.trusts && on(flushOnTrust) {
				drop(&to)
			}
			to.trusts = true
			add("reader: conclude: no marker", to)
		default:
			add("reader: conclude: no lease", to)
		}
	}
	if in.silence {
		to := *p
		to.silent = !p.silent
		add("reader: the bus falls silent, or speaks", to)
	}
	if p.messages > 0 {
		to := *p
		to.messages--
		drop(&to)
		add("reader: hear", to)
	}

	// Its reads.
	switch p.read {
	case resting:
		if p.gets == 0 {
			break
		}
		to := *p
		if hears && p.doubted && on(flushAfterDoubt) {
			to.doubted = false
			drop(&to)
			add("reader: flush", to)
			to = *p
		}
		to.gets--
		to.floor = p.known
		if hears && p.messages == 0 {
			to.floor = max(to.floor, p.acked)
		}
		if usable(p.response) {
			answer("reader: response: v#", to, p.response.v)
		}
		if usable(p.entry) {
			answer("reader: get: a hit, v#", to, p.entry.v)
			break
		}
		to.doubted = to.doubted || !hears
		to.read, to.dropped = decided, false
		to.floor = max(to.floor, p.acked) // every value from beyond the process's memory
		to.usesRedisNow = p.trusts || !on(untrustedSkips)
		to.short = !hears
		add("reader: get: a miss", to)
	case decided:
		to := *p
		to.read = asked
		switch {
		case !p.usesRedisNow:
		case p.redis.blocked:
			to.short = true
		case p.redis.content == value:
			to.read, to.v = answered, p.redis.v
		case p.redis.content == empty:
			to.redis.content, to.fills = lease, true
		}
		add("reader: acquire", to)
	case asked:
		to := *p
		to.read, to.v = answered, p.db
		addV("reader: Load: v#", p.db, to)
	case answered:
		to := *p
		to.read = insertedEntry
		if !p.dropped {
			to.entry = cached{there: true, v: p.v, short: p.short || !hears}
			if !to.response.there {
				to.response = to.entry
			}
		}
		add("reader: insert", to)
	case insertedEntry:
		to := *p
		if p.fills && p.redis.content == lease && !p.redis.blocked {
			to.redis = cell{content: value, v: p.v}
		}
		answer("reader: fill, leave with v#", to, p.v)
	}

	// Steps without an actor.
	if p.redis.blocked && p.write != heard && p.write != heardLate {
		to := *p
		to.redis = cell{}
		add("Redis: unblock", to)
	}
	if p.redis.content != empty && !p.redis.blocked {
		to := *p
		to.redis = cell{}
		add("Redis: evict", to)
	}
	if p.entry.there {
		to := *p
		to.entry, to.response = cached{}, cached{}
		add("reader: forget", to)
	}
	return out
}

type partStep struct {
	name string
	v    int8 // the version in question
	to   part
	bad  string
}

func (s partStep) String() string { return strings.ReplaceAll(s.name, "#", fmt.Sprint(s.v)) }

// tidy makes two states equal if no later step can tell them apart.
func (p *part) tidy() {
	if p.entry.dropped {
		p.entry = cached{}
	}
	if p.response.dropped {
		p.response = cached{}
	}
	if p.read == resting {
		p.dropped = false
	}
	if p.fills && (p.redis.content != lease || p.redis.blocked) {
		p.fills = false
	}
	if p.redis.content == empty {
		p.redis.v = 0
	}
}

func (p *part) stale() string {
	if p.marker || p.redis.blocked || p.messages > 0 || p.write != unwritten || p.degraded && !p.dead || p.listed || !p.trusts || p.silent || p.read != resting {
		return ""
	}
	if p.redis.content == value && p.redis.v < p.db {
		return fmt.Sprintf("at rest, Redis holds v%d of v%d", p.redis.v, p.db)
	}
	if p.entry.there && !p.entry.dropped && !p.entry.short && p.entry.v < p.db {
		return fmt.Sprintf("at rest, the reader holds v%d of v%d", p.entry.v, p.db)
	}
	if p.response.there && !p.response.short && !p.doubted && p.response.v < p.db {
		return fmt.Sprintf("at rest, a response of v%d of v%d is kept", p.response.v, p.db)
	}
	return ""
}

func searchTrust(in plight, rules trustRule) (states int, trace []string) {
	type node struct {
		p    part
		from int32
		by   int16 // the step that led here
	}
	nodes := []node{{p: part{writes: 1, gets: in.gets}, from: -1}}
	seen := map[part]struct{}{nodes[0].p: {}}
	var out []partStep
	for i := 0; i < len(nodes); i++ {
		here := nodes[i].p
		out = here.steps(in, rules, out[:0])
		for by := range out {
			next := &out[by]
			next.to.tidy()
			bad := next.bad
			if bad == "" {
				if _, ok := seen[next.to]; ok {
					continue
				}
				seen[next.to] = struct{}{}
				bad = next.to.stale()
			}
			if bad == "" {
				nodes = append(nodes, node{next.to, int32(i), int16(by)})
				continue
			}
			trace = []string{bad, next.String()}
			for at := nodes[i]; at.from >= 0; at = nodes[at.from] {
				trace = append(trace, nodes[at.from].p.steps(in, rules, nil)[at.by].String())
			}
			slices.Reverse(trace)
			return len(nodes), trace
		}
	}
	return len(nodes), nil
}

func TestTrustModelHasNoBadState(t *testing.T) {
	if raceDetector {
		t.Skip("the model has no goroutines, and takes a minute under the race detector")
	}
	for name, in := range plights {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, trace := searchTrust(in, 1<<trustRules-1)
			if trace != nil {
				t.Errorf("a bad state:\n\t%s", strings.Join(trace, "\n\t"))
			}
			t.Logf("%d states", n)
		})
	}
}

func TestTrustModelMissesEachRule(t *testing.T) {
	if raceDetector {
		t.Skip("the model has no goroutines, and takes a minute under the race detector")
	}
	for i, name := range trustRuleNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, in := range []plight{plights["Silence"], plights["LateLeases"], plights["Parted"], plights["LateWrites"]} {
				if n, trace := searchTrust(in, (1<<trustRules-1)&^(1<<i)); trace != nil {
					t.Logf("%d states to a bad one:\n\t%s", n, strings.Join(trace, "\n\t"))
					return
				}
			}
			t.Error("nothing breaks without it: it is no rule, or the model doesn't see its purpose")
		})
	}
}
