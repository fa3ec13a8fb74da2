// Package id makes and parses ids: a type prefix and a time-sortable random part. An id is the
// same string in database, API and log, such as art_01k9v6v0mvf5ts2c5zr0h4m8qd.
//
// It imports none of our packages. Entry points: New, At, Derived, Parse.
package id

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// ID is a prefix, an underscore and 26 characters of base32: a UUID version 7 written as
// TypeID does (https://github.com/jetify-com/typeid/tree/main/spec). Ids of one kind sort by
// their time, to the millisecond.
type ID string

// Kind is the prefix of an ID: the type of the thing that it names.
type Kind string

// The kinds. Clients fetch things by id through node(id:).
const (
	Article     Kind = "art"
	Author      Kind = "aut"
	Tag         Kind = "tag"
	Comment     Kind = "com"
	Revision    Kind = "rev"
	Account     Kind = "acc"
	Session     Kind = "ses"
	Image       Kind = "img" // an uploaded image
	Publication Kind = "evt" // an event of a subscription: it can't be fetched
	Mail        Kind = "let" // never seen by clients
	Product     Kind = "prd"
	Variant     Kind = "var" // one form of a product that can be bought
	Description Kind = "dsc" // of a product, with the rest of its id; never seen by clients

	// Submission is a comment as its owner and editors see it. It is not stored: its id is the
	// comment's with another prefix. It needs an id of its own because Relay caches every
	// object by its id alone.
	Submission Kind = "sub"
)

// alphabet is Crockford's base32 in lower case: no i, l, o or u.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// suffixLen is 128 bits in base32, five bits a character.
const suffixLen = 26

// New returns a fresh ID of kind with the time of now.
func New(kind Kind) ID { return At(kind, time.Now()) }

// At returns a fresh ID of kind with the time t, to the millisecond. Times before 1970 count
// as 1970, so imported things from before then still sort first.
func At(kind Kind, t time.Time) ID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return from(kind, t, b)
}

// from makes a UUID version 7 of t and the bits of b that the format leaves free.
func from(kind Kind, t time.Time, b [16]byte) ID {
	ms := max(t.UnixMilli(), 0)
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], uint64(ms)<<16)
	copy(b[:6], head[:6])
	b[6] = 0x70 | b[6]&0x0f // version 7, RFC 9562 section 5.7
	b[8] = 0x80 | b[8]&0x3f // variant
	return ID(string(kind) + "_" + encode(b))
}

// Derived is At with a random part derived from seed: the same kind, time and seed give the
// same ID, so a repeated call doesn't create a second thing.
func Derived(kind Kind, t time.Time, seed string) ID {
	sum := sha256.Sum256([]byte(seed))
	return from(kind, t, [16]byte(sum[:16]))
}

// Of returns the ID of kind with the bits of b. Ids sort as their bits do only if the first
// bit is zero.
func Of(kind Kind, b [16]byte) ID { return ID(string(kind) + "_" + encode(b)) }

// Bits returns the 128 bits of i, without its kind; zeros if i isn't an ID.
func (i ID) Bits() (b [16]byte) {
	_, rest, _ := strings.Cut(string(i), "_")
	if len(rest) != suffixLen {
		return b
	}
	var hi, lo uint64
	for at := range suffixLen {
		digit := strings.IndexByte(alphabet, rest[at])
		if digit < 0 {
			return [16]byte{}
		}
		hi, lo = hi<<5|lo>>59, lo<<5|uint64(digit)
	}
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return b
}

// Kind returns the prefix of i, or "" if it has none.
func (i ID) Kind() Kind {
	kind, _, found := strings.Cut(string(i), "_")
	if !found {
		return ""
	}
	return Kind(kind)
}

// As returns i with the prefix of kind.
func (i ID) As(kind Kind) ID {
	_, rest, _ := strings.Cut(string(i), "_")
	return ID(string(kind) + "_" + rest)
}

// Parse checks that s is an ID of a known kind. The error tells the expected form.
func Parse(s string) (ID, error) {
	kind, rest, found := strings.Cut(s, "_")
	if !found {
		return "", fmt.Errorf("%.60q is no id: expected a prefix, an underscore and %d characters, such as %s", s, suffixLen, example)
	}
	switch Kind(kind) {
	case Article, Author, Tag, Comment, Revision, Account, Session, Image, Submission, Publication, Product, Variant:
	default:
		return "", fmt.Errorf("%.60q is no id: nothing has the prefix %.20q", s, kind)
	}
	if len(rest) != suffixLen || rest[0] > '7' || strings.Trim(rest, alphabet) != "" {
		return "", fmt.Errorf("%.60q is no id: %d characters of %s must follow the prefix", s, suffixLen, alphabet)
	}
	return ID(s), nil
}

const example = "art_01k9v6v0mvf5ts2c5zr0h4m8qd"

// encode writes 128 bits as 26 characters, with two zero bits in front.
func encode(b [16]byte) string {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	var out [suffixLen]byte
	for i := suffixLen - 1; i >= 0; i-- {
		out[i] = alphabet[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}
