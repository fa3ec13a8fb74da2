package account

// Tests of session tokens and mail codes.

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"stoa/id"
)

const example = "stoa_01k9v6v0mvf5ts2c5zr0h4m8qd_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

func TestTokensRoundTrip(t *testing.T) {
	for range 100 {
		session, s := id.New(id.Session), newSecret()
		token := tokenOf(session, s)
		got, hash, ok := parseToken(token)
		if sum := sha256.Sum256(s[:]); !ok || got != session || !bytes.Equal(hash, sum[:]) {
			t.Fatalf("%s is read as %s, %x, %t", token, got, hash, ok)
		}
		if strings.Contains(string(hash), string(s[:])) {
			t.Fatal("what is stored has the secret in it")
		}
	}
}

func TestParseTokenRejectsOtherText(t *testing.T) {
	if _, _, ok := parseToken(example); !ok {
		t.Fatal("the base of the cases is no token")
	}
	cases := map[string]struct{ reason, token string }{
		"Empty":          {"nothing", ""},
		"Prefix":         {"nothing but the prefix", "stoa_"},
		"OtherPrefix":    {"the prefix is for those who look for leaks", strings.Replace(example, "stoa_", "stob_", 1)},
		"UpperPrefix":    {"one way to write it", strings.Replace(example, "stoa_", "STOA_", 1)},
		"SessionID":      {"an id isn't a token", "ses_01k9v6v0mvf5ts2c5zr0h4m8qd"},
		"NoSecret":       {"", "stoa_01k9v6v0mvf5ts2c5zr0h4m8qd_"},
		"Short":          {"", example[:len(example)-1]},
		"Long":           {"", example + "A"},
		"Separator":      {"", strings.Replace(example, "qd_", "qd-", 1)},
		"UpperID":        {"ids have lower case only", strings.Replace(example, "01k9v6", "01K9V6", 1)},
		"OverflowingID":  {"26 characters hold 130 bits, an id 128", strings.Replace(example, "_01k9", "_81k9", 1)},
		"Padded":         {"one way to write it", example[:len(example)-1] + "="},
		"LooseLastBits":  {"one way to write it: two bits of the last character are none of the secret's", example[:len(example)-1] + "9"},
		"StandardBase64": {"base64url has - and _", example[:len(example)-1] + "/"},
		"LineBreak":      {"base64 may have line breaks in it, a token not", example[:len(example)-2] + "\n8"},
		"LineBreakMore":  {"", example[:len(example)-2] + "\nh8"},
		"Space":          {"", " " + example},
	}
	for name, c := range cases {
		if session, _, ok := parseToken(c.token); ok {
			t.Errorf("%s (%s): %q is read as a token of %s", name, c.reason, c.token, session)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add(example)
	f.Add(tokenOf(id.New(id.Session), newSecret()))
	f.Add("stoa_" + strings.Repeat("0", 26) + "_" + strings.Repeat("A", 43))
	f.Add(example[:len(example)-2] + "\r\n")
	f.Fuzz(func(t *testing.T, token string) {
		session, hash, ok := parseToken(token)
		if !ok {
			return
		}
		s, ok := parseSecret(token[len(tokenPrefix)+nameLen+1:])
		if again := tokenOf(session, s); !ok || again != token {
			t.Errorf("%q is written %q", token, again)
		}
		if !bytes.Equal(hash, s.hash()) || session.Kind() != id.Session {
			t.Errorf("%q names %s by %x", token, session, hash)
		}
	})
}

func FuzzCode(f *testing.F) {
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9")
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\nh8")
	f.Add("")
	f.Fuzz(func(t *testing.T, code string) {
		if s, ok := parseSecret(code); ok && s.String() != code {
			t.Errorf("%q is written %q", code, s)
		}
	})
}

func TestCodesRoundTrip(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		code, hash := newMailCode()
		s, ok := parseSecret(code)
		if !ok || hash != hexOf(s) || strings.Contains(hash, code) || seen[code] {
			t.Fatalf("the code %s is stored as %s", code, hash)
		}
		seen[code] = true
	}
}

func hexOf(s secret) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range s.hash() {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// The secret of a repeatable sign-in depends on the whole key and the whole password.
func TestDerivedSecretNeedsKeyAndPassword(t *testing.T) {
	account, other := id.At(id.Account, time.Now()), id.At(id.Account, time.Now())
	base := derivedSecret("a key of 22 characters", account, "password")
	if base != derivedSecret("a key of 22 characters", account, "password") {
		t.Error("it isn't the same twice")
	}
	for reason, s := range map[string]secret{
		"another key":      derivedSecret("a key of 22 character_", account, "password"),
		"another account":  derivedSecret("a key of 22 characters", other, "password"),
		"another password": derivedSecret("a key of 22 characters", account, "passwore"),
		"no password":      derivedSecret("a key of 22 characters", account, ""),
	} {
		if s == base {
			t.Errorf("with %s it is the same", reason)
		}
	}
}
