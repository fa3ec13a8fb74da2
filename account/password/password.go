// Package password hashes passwords, so that an attacker with a copy of the database must
// guess each one, and refuses the passwords that are guessed first.
//
// It may import meter and problem. Entry points: Check for a new password, Hasher.Hash to store it,
// Hasher.Verify and Hasher.Pretend to compare.
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

	"stoa/meter"
	"stoa/problem"
)

// Params is the cost of one hash.
type Params struct {
	Memory uint32 // KiB
	Passes uint32 // over the memory
	Lanes  uint8  // computed in parallel, each by its own goroutine
}

// Recommended is from the OWASP Password Storage Cheat Sheet for Argon2id: 19 MiB, two passes,
// one lane. It is the second of five settings of equal strength: with less memory, more passes
// are needed.
var Recommended = Params{Memory: 19456, Passes: 2, Lanes: 1}

const (
	saltBytes = 16 // RFC 9106, section 4
	keyBytes  = 32 // the 256-bit tag of RFC 9106, section 4

	// maxWaiting is the default of Options.MaxWaiting. With two hashes at a time, so many
	// callers take 2 to 5 s, within the 10 s of a request.
	maxWaiting = 200

	// waitLimit is the default of Options.LongestWait: half of the 10 s that a request has.
	waitLimit = 5 * time.Second

	// retryAfter is the delay that a caller refused for a full queue is told to keep.
	retryAfter = 10 * time.Second
)

// Options configures a Hasher. The zero Options have good defaults.
type Options struct {
	Params     Params // of new hashes; zero for Recommended
	AtOnce     int    // hashes at once, each holding Params.Memory; 0 for GOMAXPROCS
	MaxWaiting int    // callers that wait for their turn; 0 for 200

	// LongestWait is the longest wait for a turn; 0 for 5 s.
	LongestWait time.Duration
}

// Hasher hashes passwords by argon2id, a few at a time. It is safe for concurrent use.
//
// Its memory in use is AtOnce times Params.Memory. The memory of a finished hash is garbage
// until the next collection. GOGC paces that, so the heap may briefly hold as much again.
type Hasher struct {
	params  Params
	hashing *queue
	near    *queue
}

// nearFactor is the number of callers that Enter admits for each one that may hash.
const nearFactor = 4

// NewHasher makes a Hasher. It panics on parameters that Verify would refuse.
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

// Hash returns a password's hash for storage, as a PHC string:
// $argon2id$v=19$m=19456,t=2,p=1$salt$hash. A password that isn't UTF-8 or exceeds MaxLength
// is Invalid; Check has the other rules. Hash returns Throttled when too many callers wait
// already, and ctx's error when ctx ends before its turn.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	var salt [saltBytes]byte
	_, _ = rand.Read(salt[:]) // never fails: crypto/rand
	return h.hash(ctx, password, salt[:])
}

// HashAgain is Hash with a salt derived from seed, so the same password and seed give the same
// hash. The seed must be as random as a salt, and used for one account only.
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

// Verify says if stored is a hash of password, and, if it is, whether to hash the password
// again, because stored has a lower cost than new hashes have. A password that Hash would
// refuse is a wrong one. Verify returns an error if stored isn't an argon2id hash or would
// cost too much; Throttled and ctx's error as Hash does.
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

// Pretend takes as long as Verify of a new hash and fails in the same cases. It is for
// accounts that don't exist, so that the duration of a sign-in doesn't reveal them. An account
// with a hash of other parameters differs until that hash is replaced.
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
// free slot goes to the caller that has waited longest.
func (h *Hasher) key(ctx context.Context, normal []byte, p Params, salt []byte, length int) ([]byte, error) {
	if err := h.hashing.enter(ctx); err != nil {
		return nil, err
	}
	defer h.hashing.leave()
	meter.From(ctx).Hashed(int64(p.Memory) * int64(p.Passes))
	return argon2.IDKey(normal, salt, p.Passes, p.Memory, p.Lanes, uint32(length)), nil
}

// Enter waits until it is nearly the caller's turn to hash, and returns the function that
// leaves again. During a rush it delays the other work of a sign-in, such as reading the
// database, until the work can be used. It fails as Hash does.
func (h *Hasher) Enter(ctx context.Context) (leave func(), err error) {
	if err := h.near.enter(ctx); err != nil {
		return nil, err
	}
	return h.near.leave, nil
}

// queue admits a few callers at a time, in the order of arrival.
type queue struct {
	turns   chan struct{}
	waiting atomic.Int64
	most    int64         // callers that may wait
	longest time.Duration // the longest wait
}

func newQueue(atOnce int, o Options) *queue {
	return &queue{turns: make(chan struct{}, atOnce), most: int64(o.MaxWaiting), longest: o.LongestWait}
}

// enter waits for a turn and takes it. It returns Throttled when too many wait already, and
// when the wait exceeds longest.
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
// characters. A code point takes up to four bytes.
const (
	MaxLength = 256 // code points
	maxBytes  = 1024
)

// normalise returns the password in NFKC, the form that is hashed. So the same characters are
// the same password on every keyboard, also on those of East Asia, with characters of two
// widths. NIST SP 800-63B, rev. 3, section 5.1.1.2, names NFKC and NFKD for this. Rev. 4,
// section 3.1.1.2, names NFC, but NFC would distinguish the widths. This must never change,
// since the stored hashes depend on it. Nothing is ever cut off. Code points not assigned in
// our version of Unicode stay as they are: fonts may have them earlier.
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

// The bounds of a stored hash's parameters. Hashes come from the database; a forged one must
// not take the memory or the time of the whole process.
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
