package password

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stoa/problem"
)

// MinLength is the least length where nothing else is configured, in code points: NIST SP
// 800-63B, rev. 3, section 5.1.1.2, and still rev. 4's (section 3.1.1.2) beside a second
// factor. Rev. 4 asks for 15 where the password is the only factor.
const MinLength = 8

// Check refuses a password that is too short, too long, has control characters, or would be
// among the first guesses: a common one, one character or a short piece again and again, a
// run like 12345678, or one of personal with at most four digits after it. Those are what an
// attacker knows of this account: its e-mail address (its local part counts by itself), its
// name, the site's name. What it refuses is Invalid, with a sentence that says what would be
// right. Every character counts and none is required: NIST SP 800-63B has no rules of
// composition, and forbids them since rev. 4.
func Check(password string, minimum int, personal ...string) error {
	bytes, err := normalise(password)
	if err != nil {
		return err
	}
	normal := string(bytes)
	if strings.ContainsFunc(normal, unicode.IsControl) {
		return problem.New(problem.Invalid, "the password has a control character, such as a tab or a line break: use letters, digits, signs and spaces")
	}
	// The lesser of both: NFKC can make 18 characters of one (U+FDFA).
	if length := min(utf8.RuneCountInString(password), utf8.RuneCountInString(normal)); length < minimum {
		return problem.New(problem.Invalid, "the password has %d characters and needs at least %d: a few words in a row are easy to remember", length, minimum)
	}
	folded := strings.ToLower(normal)
	switch {
	case isCommon(folded):
		return problem.New(problem.Invalid, "the password is one of the most common ones, which are guessed first: use one that nobody else would think of")
	case repeats([]rune(folded)):
		return problem.New(problem.Invalid, "the password repeats the same few characters: use several words, or characters in no order")
	case runs([]rune(folded)):
		return problem.New(problem.Invalid, "the password is a run of characters in their order: use several words, or characters in no order")
	case isPersonal(folded, personal):
		return problem.New(problem.Invalid, "the password is your name, your e-mail address or the name of this site, which are guessed first: use one that has nothing to do with you")
	}
	return nil
}

// common is the most common passwords of at least eight characters, lower-case, a line each,
// in the order of their bytes, below a header and an empty line.
//
// Written by: go run common_write.go zxcvbn-ts-language-common-4.1.3.tgz
//
//go:embed common.txt
var common string

// isCommon looks a lower-case password up by halves in the embedded text, which needs no
// memory but the program's own.
func isCommon(password string) bool {
	_, lines, _ := strings.Cut(common, "\n\n")
	for lines != "" {
		start := strings.LastIndexByte(lines[:len(lines)/2], '\n') + 1
		line, after, _ := strings.Cut(lines[start:], "\n")
		switch strings.Compare(password, line) {
		case 0:
			return true
		case -1:
			lines = lines[:start]
		default:
			lines = after
		}
	}
	return false
}

// longestPiece is how many characters what repeats may have: "abcdabcd" is one of four.
const longestPiece = 4

func repeats(p []rune) bool {
	for piece := 1; piece <= longestPiece && 2*piece <= len(p); piece++ {
		same := true
		for i := piece; i < len(p) && same; i++ {
			same = p[i] == p[i-piece]
		}
		if same {
			return true
		}
	}
	return false
}

// runs says whether each character is the one after its neighbour in Unicode's order, or each
// the one before; 0 comes after 9, too.
func runs(p []rune) bool {
	up, down := len(p) > 2, len(p) > 2
	for i := 1; i < len(p); i++ {
		a, b := p[i-1], p[i]
		up = up && (b == a+1 || a == '9' && b == '0')
		down = down && (b == a-1 || a == '0' && b == '9')
	}
	return up || down
}

// fewDigits is how many digits after a personal word make it no better: a year has four.
const fewDigits = 4

func isPersonal(folded string, personal []string) bool {
	stem := squeeze(folded)
	stems := []string{stem}
	for range fewDigits {
		last, size := utf8.DecodeLastRuneInString(stem)
		if !unicode.IsDigit(last) {
			break
		}
		stem = stem[:len(stem)-size]
		stems = append(stems, stem)
	}
	is := func(word string) bool {
		word = squeeze(strings.ToLower(norm.NFKC.String(word)))
		return word != "" && slices.Contains(stems, word)
	}
	for _, word := range personal {
		local, _, _ := strings.Cut(word, "@")
		if is(word) || is(local) {
			return true
		}
	}
	return false
}

// squeeze leaves out what stands between the words of a name or an address.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune(".-_+'@", r) {
			return -1
		}
		return r
	}, s)
}
