package account

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

// secretLen is 256 bits, what nobody guesses.
const secretLen = 32

// A token is tokenPrefix, the 26 characters that name the session, an underscore, and the
// secret in base64url. The prefix lets those who scan for leaked secrets know it.
const (
	tokenPrefix = "stoa_"
	nameLen     = 26
)

var encoding = base64.RawURLEncoding.Strict() // one way to write each secret

var encodedLen = encoding.EncodedLen(secretLen)

type secret [secretLen]byte

func newSecret() (s secret) {
	_, _ = rand.Read(s[:]) // never fails: crypto/rand ends the process instead
	return s
}

// derivedSecret is the same for whoever signs in to an account with the same password and
// idempotency key, and for nobody who lacks either, whatever is in the database.
func derivedSecret(key string, account id.ID, password string) secret {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("session\x00" + string(account) + "\x00" + password))
	return secret(mac.Sum(nil))
}

// hash is all that is stored of a secret. It is random, so that a fast hash is enough.
func (s secret) hash() []byte {
	sum := sha256.Sum256(s[:])
	return sum[:]
}

func (s secret) String() string { return encoding.EncodeToString(s[:]) }

// tokenOf is what a client keeps of a session.
func tokenOf(session id.ID, s secret) string {
	return tokenPrefix + strings.TrimPrefix(string(session), string(id.Session)+"_") + "_" + s.String()
}

// parseToken returns the session that a token names and the hash of its secret; ok is false
// for what was never a token.
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

// How long mail codes are valid: OWASP's Forgot Password Cheat Sheet asks for a short time
// where an account is at stake; a registration may wait until the next day.
const (
	verifyFor = 24 * time.Hour
	resetFor  = time.Hour
)

// newMailCode returns a mail code and the hash that is stored of it.
func newMailCode() (code, hash string) {
	s := newSecret()
	return s.String(), hex.EncodeToString(s.hash())
}

// mailCode returns the mail code with a text and kind, or Token where there is none.
func (p *Service) mailCode(ctx context.Context, kind store.MailCodeKind, text string) (*store.MailCode, error) {
	if err := p.throttleCodes(ctx); err != nil {
		return nil, err
	}
	s, ok := parseSecret(strings.TrimSpace(text))
	if !ok {
		return nil, invalidToken()
	}
	found, err := p.store.MailCode(ctx, kind, hex.EncodeToString(s.hash()), now())
	if problem.Is(err, problem.NotFound) {
		return nil, invalidToken()
	}
	return found, err
}

func invalidToken() error {
	return problem.New(problem.Token, "this code was used already, is too old, or was never sent: ask for a new one").At("token")
}
