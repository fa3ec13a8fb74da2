package store

// Records of idempotency keys. Entry points: Store.RecordIdempotency, CheckKey.

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"stoa/problem"
)

// idempotencyFor is how long a record is stored: a client without an answer for a day
// starts anew. Stripe keeps its keys as long (https://docs.stripe.com/api/idempotent_requests).
const idempotencyFor = 24 * time.Hour

// Key lengths: 128 bits are 22 characters of base64url, 32 of hex, 36 as a UUID.
const (
	minKey = 22
	maxKey = 128
)

// IdempotencyRecord makes a thing once, however often a client repeats its request.
type IdempotencyRecord struct {
	// Caller is an account's id, or the address of a mail. Keys of different callers are
	// independent of each other.
	Caller string
	// Key is the client's, random, minKey to maxKey printable characters.
	Key string
	// Mutation is the name of the requested mutation.
	Mutation string
	// Input is the input of the mutation without the key.
	Input any
}

type idempotencyDocument struct {
	ID    string    `bson:"_id"`
	Input []byte    `bson:"input"`
	At    time.Time `bson:"at"`
}

// idempotencyRecords are the idempotency keys that came within idempotencyFor.
var idempotencyRecords = &Uncached[idempotencyDocument]{Name: "an idempotency record", Collection: idempotency, Ends: "at", Kept: idempotencyFor}

// RecordIdempotency records c and returns the time of its first recording. It returns KeyReused if
// the key was recorded with another input, and Invalid for a malformed key.
//
// The caller derives the id of the new document from c and that time (see
// IdempotencyRecord.Seed), and makes the document by a conditional insert. So equal calls make
// and find the same document, side by side, later, or after a crash. The response isn't stored:
// it is made anew for the present viewer.
func (s *Store) RecordIdempotency(ctx context.Context, c IdempotencyRecord) (time.Time, error) {
	if err := CheckKey(&c.Key); err != nil {
		return time.Time{}, err
	}
	input, err := c.input()
	if err != nil {
		return time.Time{}, err
	}
	own := &idempotencyDocument{c.id(), input, Now()}
	added, err := idempotencyRecords.add(ctx, s, own)
	if added || err != nil {
		return own.At, err
	}
	stored, err := idempotencyRecords.get(ctx, s, own.ID)
	if err != nil {
		return time.Time{}, err
	}
	if stored == nil { // it was swept between the two
		return s.RecordIdempotency(ctx, c)
	}
	if !hmac.Equal(stored.Input, own.Input) {
		return time.Time{}, problem.New(problem.KeyReused, "this idempotency key came with another input before: use a new one").At("idempotencyKey")
	}
	return stored.At, nil
}

// Seed returns the text for deriving the id of the new document.
func (c IdempotencyRecord) Seed() string { return c.Caller + "\x00" + c.Mutation + "\x00" + c.Key }

// id reveals nothing about the key.
func (c IdempotencyRecord) id() string {
	sum := sha256.Sum256([]byte(c.Caller + "\x00" + c.Key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// input is a fingerprint of the mutation and its input. Its secret is the key. The key isn't
// stored, so a thief of fingerprints can't try inputs. Some clients' keys are less random than they
// should be, so a password belongs into it only as its hash.
func (c IdempotencyRecord) input() ([]byte, error) {
	text, err := json.Marshal([]any{c.Mutation, c.Input})
	if err != nil {
		return nil, fmt.Errorf("write down the input of %s: %w", c.Mutation, err)
	}
	mac := hmac.New(sha256.New, []byte(c.Key))
	mac.Write(text)
	return mac.Sum(nil), nil
}

// CheckKey returns Invalid unless given is nil or a valid idempotency key.
func CheckKey(given *string) error {
	if given == nil {
		return nil
	}
	key := *given
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return problem.New(problem.Invalid, "idempotencyKey takes printable ASCII without spaces, such as a random UUID").At("idempotencyKey")
		}
	}
	if len(key) < minKey || len(key) > maxKey {
		return problem.New(problem.Invalid, "idempotencyKey takes %d to %d random characters, such as a UUID, not %d", minKey, maxKey, len(key)).At("idempotencyKey")
	}
	return nil
}
