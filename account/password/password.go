// Package password keeps passwords so that who steals the database has to guess each one,
// and refuses those that are guessed first.
//
// It may import problem. Entry points: Check before a password is taken, Hasher.Hash to keep
// it, Hasher.Verify and Hasher.Pretend to compare.
package password

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"stoa/problem"
)

// Params is what one hash costs.
type Params struct {
	Memory uint32 // KiB
	Passes uint32 // over the memory
	Lanes  uint8  // computed side by side, each by a goroutine of its own
}

// Recommended is what the OWASP Password Storage Cheat Sheet gives for Argon2id: 19 MiB, two
// passes, one lane. Of its five equal settings it is the second: less memory would take more
// passes.
var Recommended = Params{Memory: 19456, Passes: 2, Lanes: 1}

const (
	saltBytes = 16 // RFC 9106, section 4
	keyBytes  = 32 // the 256-bit tag of RFC 9106, section 4

	// maxWaiting is how many may wait for their turn when Options doesn't say. Two at a time
	// take 2 to 5 s to get through so many, within the 10 s that a request has.
	maxWaiting = 200

	// waitLimit is how long anybody waits: half of the time that a request has.
	waitLimit = 5 * time.Second

	// retryAfter is what is told to who would have been one too many.
	retryAfter = 10 * time.Second
)

// Options are how a Hasher works. The zero Options are good ones.
type Options struct {
	Params     Params // of new hashes; zero for Recommended
	AtOnce     int    // hashes at once, each holding Params.Memory; 0 for GOMAXPROCS
	MaxWaiting int    // who may wait for a turn; 0 for 200

	// LongestWait is how long anybody waits for a turn; 0 for 5 s.
	LongestWait time.Duration
}

// Hasher hashes passwords by argon2id, a few at a time. It is safe for concurrent use.
//
// Its memory in use is AtOnce times Params.Memory. What a hash leaves is garbage for the next
// collection, which GOGC paces as ever, so the heap may briefly hold as much again.
type Hasher struct {
	params  Params
	hashing *queue
	near    *queue
}

// nearFactor is how many are near their turn, for each that has one.
const nearFactor = 4

// NewHasher makes a Hasher. It panics on parameters that Verify would refuse to compute.
func NewHasher(o Options) *Hasher {
	if o.Params == (Params{}) {
		o.Params = Recommended
	}
	if err := o.Params.check(); err != nil {
		panic("password: " + err.Error())
	}
	if o.AtOnce <= 0 {
		o.AtOnce = runtime.GOMAXPROCS(0)
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = maxWaiting
	}
	if o.LongestWait <= 0 {
		o.LongestWait = waitLimit
	}
	return &Hasher{params: o.Params, hashing: newQueue(o.AtOnce, o), near: newQueue(nearFactor*o.AtOnce, o)}
}

// Hash returns what to store for a password, as a PHC string:
// $argon2id$v=19$m=19456,t=2,p=1$salt$hash. It checks no rule but those that Verify needs,
// which are Check's business: UTF-8 and the greatest length, else Invalid. It returns
// Throttled when too many wait already, and ctx's error when ctx ends before its turn.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	var salt [saltBytes]byte
	_, _ = rand.Read(salt[:]) // never fails: crypto/rand
	return h.hash(ctx, password, salt[:])
}

// HashAgain is Hash with a salt that follows from seed: the same for the same password and
// seed. The seed must be as random as a salt is, and of one account.
func (h *Hasher) HashAgain(ctx context.Context, password, seed string) (string, error) {
	sum := sha256.Sum256([]byte("salt\x00" + seed))
	return h.hash(ctx, password, sum[:saltBytes])
}

func (h *Hasher) hash(ctx context.Context, password string, salt []byte) (string, error) {
	normal, err := normalise(password)
	if err != nil {
		return "", err
	}
	e := encoded{params: h.params, salt: salt}
	e.key, err = h.key(ctx, normal, e.params, e.salt, keyBytes)
	if err != nil {
		return "", err
	}
	return e.String(), nil
}

// Verify says whether password is the one that stored was made of by Hash, and, if so, whether
// to store it anew, since stored cost less than a hash of today. A password that Hash would
// refuse is a wrong one. It returns an error when stored isn't one of argon2id's or would
// cost too much, Throttled and ctx's error as Hash does.
func (h *Hasher) Verify(ctx context.Context, password, stored string) (ok, rehash bool, err error) {
	e, err := decode(stored)
	if err != nil {
		return false, false, fmt.Errorf("read a stored password: %w", err)
	}
	normal, err := normalise(password)
	if err != nil {
		return false, false, nil
	}
	key, err := h.key(ctx, normal, e.params, e.salt, len(e.key))
	if err != nil {
		return false, false, err
	}
	if subtle.ConstantTimeCompare(key, e.key) != 1 {
		return false, false, nil
	}
	return true, e.lower(h.params), nil
}

// Pretend takes as long as Verify does of a hash of today and fails where it does, for an
// account that isn't there: how long a sign-in takes may not tell whether one is. An account
// whose hash is of other parameters differs until it is stored anew.
func (h *Hasher) Pretend(ctx context.Context, password string) error {
	normal, err := normalise(password)
	if err != nil {
		return nil
	}
	var salt [saltBytes]byte
	_, err = h.key(ctx, normal, h.params, salt[:], keyBytes)
	return err
}

// key computes argon2id when it is this caller's turn. Turns are in the order of arrival: a
// slot that becomes free goes to the first that waits, not to who comes by.
func (h *Hasher) key(ctx context.Context, normal []byte, p Params, salt []byte, length int) ([]byte, error) {
	if err := h.hashing.enter(ctx); err != nil {
		return nil, err
	}
	defer h.hashing.leave()
	return argon2.IDKey(normal, salt, p.Passes, p.Memory, p.Lanes, uint32(length)), nil
}

// Enter waits until it is nearly the caller's turn to hash, and returns how to leave again.
// It keeps a crowd from what each of them needs besides, such as a look in the database,
// until there is something to be done with it. It fails as Hash does.
func (h *Hasher) Enter(ctx context.Context) (leave func(), err error) {
	if err := h.near.enter(ctx); err != nil {
		return nil, err
	}
	return h.near.leave, nil
}

// queue lets a few in at a time.
type queue struct {
	turns   chan struct{}
	waiting atomic.Int64
	most    int64         // who may wait
	longest time.Duration // anybody does
}

func newQueue(atOnce int, o Options) *queue {
	return &queue{turns: make(chan struct{}, atOnce), most: int64(o.MaxWaiting), longest: o.LongestWait}
}

// enter takes a turn, for which it waits: Throttled when too many wait already, or when it
// takes too long.
func (q *queue) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("hash a password: %w", err)
	}
	select {
	case q.turns <- struct{}{}:
		return nil
	default:
	}
	defer q.waiting.Add(-1)
	if q.waiting.Add(1) > q.most {
		return crowded()
	}
	limit := time.NewTimer(q.longest)
	defer limit.Stop()
	select {
	case q.turns <- struct{}{}:
		return nil
	case <-limit.C:
		return crowded()
	case <-ctx.Done():
		return fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
}

func crowded() error {
	return problem.New(problem.Throttled, "too many people are signing in at this moment: try again in a few seconds").After(retryAfter)
}

func (q *queue) leave() { <-q.turns }

// The greatest length of a password. NIST SP 800-63B-4, section 3.1.1.2, asks for at least 64
// characters. Code points can have four bytes.
const (
	MaxLength = 256 // code points
	maxBytes  = 1024
)

// normalise returns what is hashed: the password in NFKC, so that the same characters are the
// same password on every keyboard, those of East Asia with their two widths included. NIST SP
// 800-63B, rev. 3, section 5.1.1.2, names NFKC and NFKD for this; rev. 4, section 3.1.1.2,
// names NFC, which would keep the widths apart. It is never changed: what is stored depends on
// it. Nothing is ever cut off. Code points that Unicode hasn't assigned yet stay as they are: a
// font may have them before our tables do.
func normalise(password string) ([]byte, error) {
	tooLong := problem.New(problem.Invalid, "the password is too long: it may have %d characters and %d bytes at most", MaxLength, maxBytes)
	if len(password) > maxBytes {
		return nil, tooLong
	}
	if !utf8.ValidString(password) {
		return nil, problem.New(problem.Invalid, "the password isn't valid UTF-8 text")
	}
	normal := norm.NFKC.Bytes([]byte(password))
	if len(normal) > maxBytes || utf8.RuneCount(normal) > MaxLength {
		return nil, tooLong
	}
	return normal, nil
}

// Bounds of what a stored hash may ask for. It comes from the database, and one that somebody
// has put there must not take the memory or the time of everybody else.
const (
	maxMemory = 64 << 10 // KiB: the second of RFC 9106's two recommendations, section 4
	maxPasses = 16
	maxLanes  = 16
)

func (p Params) check() error {
	switch {
	case p.Passes < 1 || p.Passes > maxPasses:
		return fmt.Errorf("t=%d: it can be 1 to %d", p.Passes, maxPasses)
	case p.Lanes < 1 || p.Lanes > maxLanes:
		return fmt.Errorf("p=%d: it can be 1 to %d", p.Lanes, maxLanes)
	case p.Memory < 8*uint32(p.Lanes) || p.Memory > maxMemory: // RFC 9106, section 3.1: at least 8p
		return fmt.Errorf("m=%d: it can be %d to %d", p.Memory, 8*uint32(p.Lanes), maxMemory)
	}
	return nil
}

var errNotArgon2id = errors.New("it isn't of the form $argon2id$v=19$m=…,t=…,p=…$salt$hash")
