package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"stoa/problem"
)

// claimFor is how long a key is remembered: a client that has had no answer for a day
// starts anew. Stripe's are kept as long (https://docs.stripe.com/api/idempotent_requests).
const claimFor = 24 * time.Hour

// Key lengths: 128 bits are 22 characters of base64url, 32 of hex, 36 as a UUID.
const (
	minKey = 22
	maxKey = 128
)

// Claim is the right to make a thing once, however often it is asked for.
type Claim struct {
	// Caller is who asks: an account's id, or the address that is written to. Keys of
	// different callers have nothing to do with each other.
	Caller string
	// Key is the client's, random, minKey to maxKey printable characters.
	Key string
	// Mutation is the one that is asked for.
	Mutation string
	// Input is what is asked for, apart from the key.
	Input any
}

type claimDocument struct {
	ID    string    `bson:"_id"`
	Input []byte    `bson:"input"`
	At    time.Time `bson:"at"`
}

// Claim returns when c was first made, which is now for the first of any number of equal
// calls. KeyReused when the key came with another input; Invalid when it is no key.
//
// What is made gets an id that is derived from c and from that time (see Claim.Seed), by a
// conditional insert, so that equal calls, at once or later, after a crash too, make and
// find the same thing. What was said to them isn't kept: it is looked up anew for whoever
// asks now.
func (s *Store) Claim(ctx context.Context, c Claim) (time.Time, error) {
	if err := CheckKey(&c.Key); err != nil {
		return time.Time{}, err
	}
	input, err := c.input()
	if err != nil {
		return time.Time{}, err
	}
	mine := claimDocument{c.id(), input, time.Now().UTC().Truncate(time.Millisecond)}
	_, err = s.db.Collection(claims).InsertOne(ctx, mine)
	if err == nil {
		return mine.At, nil
	}
	if !mongo.IsDuplicateKeyError(err) {
		return time.Time{}, fmt.Errorf("claim a key: %w", err)
	}
	var theirs claimDocument
	if err := s.db.Collection(claims).FindOne(ctx, bson.D{{Key: "_id", Value: mine.ID}}).Decode(&theirs); err != nil {
		return time.Time{}, fmt.Errorf("read a claim: %w", err)
	}
	if !hmac.Equal(theirs.Input, mine.Input) {
		return time.Time{}, problem.New(problem.KeyReused, "this idempotency key came with another input before: use a new one").At("idempotencyKey")
	}
	return theirs.At, nil
}

// Seed is what the id of the thing that c claims is derived from.
func (c Claim) Seed() string { return c.Caller + "\x00" + c.Mutation + "\x00" + c.Key }

// id tells nothing about the key.
func (c Claim) id() string {
	sum := sha256.Sum256([]byte(c.Caller + "\x00" + c.Key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// input is a fingerprint of what is asked for. The key, which isn't stored, is its secret,
// so that who steals the fingerprints can't try inputs; but some clients' keys aren't as
// random as they should be, so that a password belongs into it as its hash only.
func (c Claim) input() ([]byte, error) {
	text, err := json.Marshal([]any{c.Mutation, c.Input})
	if err != nil {
		return nil, fmt.Errorf("write down the input of %s: %w", c.Mutation, err)
	}
	mac := hmac.New(sha256.New, []byte(c.Key))
	mac.Write(text)
	return mac.Sum(nil), nil
}

// CheckKey says what is wrong with an idempotency key: Invalid; nil where there is none.
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
