package password

// The stored form of a hash, a PHC string. Entry points: encoded.String, decode.

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// encoded holds the fields of a PHC string:
// https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md.
type encoded struct {
	params    Params
	salt, key []byte
}

// The lengths of a stored salt and hash, in bytes. The PHC format allows 8 to 48 for the salt
// of argon2 and 12 to 64 for its output; with fewer than 16, hashes can collide.
const (
	minSalt, maxSalt = 8, 48
	minKey, maxKey   = 16, 64
)

// lower says if e protects less than a new hash with today's parameters.
func (e encoded) lower(today Params) bool {
	return e.params.Memory < today.Memory || e.params.Passes < today.Passes || len(e.salt) < saltBytes || len(e.key) < keyBytes
}

func (e encoded) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		e.params.Memory, e.params.Passes, e.params.Lanes, b64.EncodeToString(e.salt), b64.EncodeToString(e.key))
}

// decode is the reverse of String. It accepts only the output of String, so each hash has one
// encoding. Its errors don't repeat the string.
func decode(s string) (encoded, error) {
	version := "$argon2id$v=" + strconv.Itoa(argon2.Version) + "$"
	rest, ok := strings.CutPrefix(s, version)
	parts := strings.Split(rest, "$")
	if !ok || len(s) > 256 || len(parts) != 3 {
		return encoded{}, errNotArgon2id
	}
	settings := strings.Split(parts[0], ",")
	if len(settings) != 3 {
		return encoded{}, errNotArgon2id
	}
	memory, okM := setting(settings[0], "m=", 32)
	passes, okT := setting(settings[1], "t=", 32)
	lanes, okP := setting(settings[2], "p=", 8)
	if !okM || !okT || !okP {
		return encoded{}, errNotArgon2id
	}
	e := encoded{params: Params{Memory: uint32(memory), Passes: uint32(passes), Lanes: uint8(lanes)}}
	if err := e.params.check(); err != nil {
		return encoded{}, err
	}
	var errSalt, errKey error
	b64 := base64.RawStdEncoding.Strict()
	e.salt, errSalt = b64.DecodeString(parts[1])
	e.key, errKey = b64.DecodeString(parts[2])
	if errSalt != nil || errKey != nil || strings.ContainsAny(s, "\r\n") { // the decoder skips line breaks
		return encoded{}, errNotArgon2id
	}
	if len(e.salt) < minSalt || len(e.salt) > maxSalt || len(e.key) < minKey || len(e.key) > maxKey {
		return encoded{}, fmt.Errorf("a salt of %d and a hash of %d bytes: they can have %d to %d and %d to %d", len(e.salt), len(e.key), minSalt, maxSalt, minKey, maxKey)
	}
	return e, nil
}

// setting reads "m=19456": digits without a sign or leading zeros.
func setting(s, name string, bits int) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, bits)
	return n, ok && err == nil && strconv.FormatUint(n, 10) == digits
}
