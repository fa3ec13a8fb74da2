package store

// Sealed texts: tokens that clients hold and only Stoa can make and read. Entry points: Store.Seal,
// Store.Unseal.

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"stoa/problem"
)

// maxSealed is the longest token that is looked at, in bytes. Ours have some 170.
const maxSealed = 256

// sealEncoding is strict: each sealed text has one encoding.
var sealEncoding = base64.RawURLEncoding.Strict()

// Seal encrypts text into a token of printable ASCII, about 4/3 as long and 38 characters more.
// Each call makes another token. The key is random, the same on every replica, and stays in the
// database.
func (s *Store) Seal(ctx context.Context, purpose, text string) (string, error) {
	aead, err := s.sealer(ctx)
	if err != nil {
		return "", err
	}
	return sealEncoding.EncodeToString(aead.Seal(nil, nil, []byte(text), []byte(purpose))), nil
}

// Unseal returns the text in a token; NotFound if the token wasn't made by Seal with the same
// purpose. It reads nothing from the database after its first call, so that trying tokens is cheap
// to refuse.
func (s *Store) Unseal(ctx context.Context, purpose, token string) (string, error) {
	aead, err := s.sealer(ctx)
	if err != nil {
		return "", err
	}
	if len(token) <= maxSealed && !strings.ContainsAny(token, "\r\n") { // which the decoder skips
		if sealed, err := sealEncoding.DecodeString(token); err == nil {
			if text, err := aead.Open(nil, nil, sealed, []byte(purpose)); err == nil {
				return string(text), nil
			}
		}
	}
	return "", problem.New(problem.NotFound, "this token was not made here")
}

// sealer returns the cipher of sealed texts: AES-256-GCM with a random nonce in each.
func (s *Store) sealer(ctx context.Context) (cipher.AEAD, error) {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	if s.sealed != nil {
		return s.sealed, nil
	}
	secret, err := s.sealKey(ctx)
	if err != nil {
		return nil, err
	}
	// Earlier versions sign with the secret itself.
	key, err := hkdf.Key(sha256.New, secret, nil, "sealed texts", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of sealed texts: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the cipher of sealed texts: %w", err)
	}
	s.sealed, err = cipher.NewGCMWithRandomNonce(block)
	return s.sealed, err
}

// sealKey returns the secret behind sealed texts, made by the first replica to ask. The name of its
// document is of the time when only previews needed it.
func (s *Store) sealKey(ctx context.Context) ([]byte, error) {
	type document struct {
		ID  string `bson:"_id"`
		Key []byte `bson:"key"`
	}
	c, mine := s.collection(meta), document{"previewKey", make([]byte, 32)}
	var there document
	err := c.FindOne(ctx, bson.D{{Key: "_id", Value: mine.ID}}, &there)
	if errors.Is(err, mongo.ErrNoDocuments) {
		_, _ = rand.Read(mine.Key) // never fails: crypto/rand ends the process instead
		if _, err := c.InsertOne(ctx, mine); err != nil && !mongo.IsDuplicateKeyError(err) {
			return nil, fmt.Errorf("make the key of sealed texts: %w", err)
		}
		err = c.FindOne(ctx, bson.D{{Key: "_id", Value: mine.ID}}, &there)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of sealed texts: %w", err)
	}
	return there.Key, nil
}
