// Package email converts e-mail addresses to one canonical form, in which they are compared,
// stored and sent to.
//
// It may import problem. Entry point: Canonical.
package email

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"stoa/problem"
)

// The greatest lengths of an address in bytes. RFC 5321, section 4.5.3.1.1, bounds the local
// part. For the whole, RFC 3696, erratum 1690: a path has 256 bytes (section 4.5.3.1.3), two
// of them brackets.
const (
	maxLocal   = 64
	maxAddress = 254
	maxInput   = 1024 // as typed: an international domain may be longer or shorter in ASCII
)

// Canonical returns address in lower case, without spaces around it, with its domain in ASCII
// (IDNA 2008 with the look-up rules of UTS #46: bücher.example becomes xn--bcher-kva.example).
// The local part must be a dot-atom of ASCII (RFC 5322, section 3.2.3); the domain must have a
// dot or be localhost. Everything else is Invalid, with a message that tells how to put it
// right: quoted strings, comments, address literals, and local parts in other scripts, since
// few servers deliver to them. Canonical of a canonical address is that address.
//
// Case is ignored. RFC 5321, section 2.4, lets a host distinguish it but advises against that,
// and users would confuse two accounts that differ in case alone. Dots and +tags are kept:
// only the host of the domain may give the local part a meaning (section 2.3.11). On hosts
// without such a meaning, a.b and ab are two people, and neither must get the other's mail.
func Canonical(address string) (string, error) {
	address = strings.Trim(address, " ")
	if len(address) > maxInput {
		return "", tooLong()
	}
	if !utf8.ValidString(address) {
		return "", refuse("the e-mail address isn't valid UTF-8 text")
	}
	local, domain, _ := strings.Cut(address, "@")
	if local == "" || domain == "" || strings.Contains(domain, "@") {
		return "", refuse("an e-mail address has a name, one @ and a domain, such as ada@example.org")
	}
	if err := checkLocal(local); err != nil {
		return "", err
	}
	domain, err := canonicalDomain(domain)
	if err != nil {
		return "", err
	}
	canonical := strings.ToLower(local) + "@" + domain
	if len(canonical) > maxAddress {
		return "", tooLong()
	}
	return canonical, nil
}

func tooLong() error {
	return refuse("the e-mail address is too long: it can have %d characters at most", maxAddress)
}

func refuse(format string, args ...any) error { return problem.New(problem.Invalid, format, args...) }

func checkLocal(local string) error {
	if len(local) > maxLocal {
		return refuse("what stands before the @ is too long: it can have %d characters at most", maxLocal)
	}
	for _, r := range local {
		switch {
		case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9':
		case strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r):
		case r == ' ':
			return refuse("there is a space before the @: an e-mail address has none")
		default:
			return refuse("what stands before the @ can have the letters a to z, digits, dots and !#$%%&'*+-/=?^_`{|}~, but not %q", r)
		}
	}
	if local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return refuse("what stands before the @ can have single dots inside it, not at either end and not two in a row")
	}
	return nil
}

// canonicalDomain returns the domain in ASCII and lower case.
func canonicalDomain(domain string) (string, error) {
	if strings.HasPrefix(domain, "[") {
		return "", refuse("the domain is a name, such as example.org, not an address in brackets")
	}
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))
	ascii, err := profile.ToASCII(domain)
	if err != nil || !plain(ascii) {
		return "", refuse("what stands after the @ isn't the name of a domain, such as example.org: letters, digits and hyphens, 63 at most between two dots")
	}
	if ascii == "localhost" {
		return ascii, nil
	}
	dot := strings.LastIndexByte(ascii, '.')
	if dot < 0 {
		return "", refuse("the domain after the @ has no dot: it is complete with its ending, such as example.org")
	}
	if strings.Trim(ascii[dot+1:], "0123456789") == "" { // RFC 3696, section 2: a top-level domain isn't all digits
		return "", refuse("the domain after the @ is a name, such as example.org, not a number")
	}
	return ascii, nil
}

// plain says if a domain has only characters that are allowed in DNS (RFC 1123, section 2.1).
func plain(domain string) bool {
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
