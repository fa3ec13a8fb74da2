package account

// The formats of session tokens and mail codes, and their hashes. Entry points: tokenOf,
// parseToken, newMailCode, mailCode. Only hashes are stored.

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// secretLen is in bytes: 256 bits can't be guessed.
const secretLen = 32

// A token is tokenPrefix, the 26 characters of the session's id, an underscore, and the secret
// in base64url. By the prefix, scanners for leaked secrets recognise a token.
const (
	tokenPrefix = "stoa_"
	nameLen     = 26
)

var encoding = base64.RawURLEncoding.Strict() // strict: each secret has one encoding

var encodedLen = encoding.EncodedLen(secretLen)

type secret [secretLen]byte

func newSecret() (s secret) {
	_, _ = rand.Read(s[:]) // never fails: crypto/rand ends the process instead
	return s
}

// derivedSecret is equal for two calls that sign in to one account with the same password and
// idempotency key. It can't be computed without both, not even with a copy of the database.
func derivedSecret(key string, account id.ID, password string) secret {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("session\x00" + string(account) + "\x00" + password))
	return secret(mac.Sum(nil))
}

// hash is the stored form of a secret. Secrets are random, so a fast hash is enough.
func (s secret) hash() []byte {
	sum := sha256.Sum256(s[:])
	return sum[:]
}

func (s secret) String() string { return encoding.EncodeToString(s[:]) }

// tokenOf returns a session's token for the client.
func tokenOf(session id.ID, s secret) string {
	return tokenPrefix + strings.TrimPrefix(string(session), string(id.Session)+"_") + "_" + s.String()
}

// parseToken returns the session that a token names and the hash of its secret; ok is false if
// the text has not the form of a token.
func parseToken(token string) (session id.ID, hash []byte, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(rest) != nameLen+1+encodedLen || rest[nameLen] != '_' {
		return "", nil, false
	}
	session, err := id.Parse(string(id.Session) + "_" + rest[:nameLen])
	if err != nil {
		return "", nil, false
	}
	s, ok := parseSecret(rest[nameLen+1:])
	return session, s.hash(), ok
}

func parseSecret(text string) (s secret, ok bool) {
	if len(text) != encodedLen {
		return s, false
	}
	n, err := encoding.Decode(s[:], []byte(text))
	return s, err == nil && n == secretLen
}

// The lifetimes of mail codes. OWASP's Forgot Password Cheat Sheet asks for a short one for
// resets; a registration may wait until the next day.
const (
	verifyFor = 24 * time.Hour
	resetFor  = time.Hour
)

// newMailCode returns a new mail code and its hash. Only the hash is stored.
func newMailCode() (code, hash string) {
	s := newSecret()
	return s.String(), hex.EncodeToString(s.hash())
}

// mailCode returns the unexpired mail code with this text and kind, else Token.
func (p *Service) mailCode(ctx context.Context, kind store.MailCodeKind, text string) (*store.MailCode, error) {
	if err := p.throttleCodes(ctx); err != nil {
		return nil, err
	}
	s, ok := parseSecret(strings.TrimSpace(text))
	if !ok {
		return nil, invalidToken()
	}
	found, err := p.store.MailCode(ctx, kind, hex.EncodeToString(s.hash()), store.Now())
	if problem.Is(err, problem.NotFound) {
		return nil, invalidToken()
	}
	return found, err
}

func invalidToken() error {
	return problem.New(problem.Token, "this code was used already, is too old, or was never sent: ask for a new one").At("token")
}
