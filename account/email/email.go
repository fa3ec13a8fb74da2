// Package email brings e-mail addresses into the one form in which they are compared, stored
// and sent to.
//
// It may import problem. Entry point: Canonical.
package email

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"stoa/problem"
)

// Bounds of an address in bytes: RFC 5321, section 4.5.3.1.1 for the local part, and for the
// whole RFC 3696, erratum 1690: a path has 256 (section 4.5.3.1.3), two of which are brackets.
const (
	maxLocal   = 64
	maxAddress = 254
	maxInput   = 1024 // as typed: an international domain may be longer or shorter in ASCII
)

// Canonical returns address without spaces around it, in lower case, its domain in ASCII
// (IDNA 2008 as UTS #46 looks names up: bücher.example is xn--bcher-kva.example). The local
// part is a dot-atom of ASCII (RFC 5322, section 3.2.3); the domain has a dot or is localhost.
// Anything else is Invalid, with a sentence that says what would be right: quoted strings,
// comments, address literals and local parts of other scripts, which few servers deliver to.
// The canonical form of a canonical form is itself.
//
// Upper and lower case are one: RFC 5321, section 2.4, lets a host tell them apart but advises
// against it, and two accounts that differ in case alone would be taken for each other. Dots
// and +tags are kept: only the domain's host may give the local part a meaning (section
// 2.3.11), and where it gives none, a.b and ab are two people, one of whom must not get the
// other's mail.
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

// canonicalDomain returns the domain in lower-case ASCII.
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

// plain says whether a domain is of nothing but what goes into DNS (RFC 1123, section 2.1).
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
