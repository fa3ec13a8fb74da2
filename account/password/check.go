package password

// The rules for new passwords, and the list of common ones. Entry point: Check.

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stoa/problem"
)

// MinLength is the default minimum length, in code points: NIST SP 800-63B, rev. 3, section
// 5.1.1.2, and rev. 4 (section 3.1.1.2) for a password beside a second factor. Rev. 4 asks for
// 15 if the password is the only factor.
const MinLength = 8

// Check refuses a password that is too short or too long, has control characters, or would be
// among the first guesses: a common password, one character or a short piece repeated, a run
// like 12345678, or one of personal with at most four digits after it. personal holds the
// facts that an attacker knows of this account: its e-mail address (the local part counts by
// itself), its name, the name of the site. A refusal is Invalid, and its message tells how to
// put it right. Every character counts and none is required: NIST SP 800-63B recommends no
// rules of composition, and forbids them since rev. 4.
func Check(password string, minimum int, personal ...string) error {
	bytes, err := normalise(password)
	if err != nil {
		return err
	}
	normal := string(bytes)
	if strings.ContainsFunc(normal, unicode.IsControl) {
		return problem.New(problem.Invalid, "the password has a control character, such as a tab or a line break: use letters, digits, signs and spaces")
	}
	// The lesser of both, since NFKC can turn one character into 18 (U+FDFA).
	if length := min(utf8.RuneCountInString(password), utf8.RuneCountInString(normal)); length < minimum {
		return problem.New(problem.Invalid, "the password has %d characters and needs at least %d: a few words in a row are easy to remember", length, minimum)
	}
	folded := strings.ToLower(normal)
	switch {
	case isCommon(folded):
		return problem.New(problem.Invalid, "the password is one of the most common ones, and those are guessed first: use one that nobody else would think of")
	case repeats([]rune(folded)):
		return problem.New(problem.Invalid, "the password repeats the same few characters: use several words, or characters in no order")
	case runs([]rune(folded)):
		return problem.New(problem.Invalid, "the password is a run of characters in their order: use several words, or characters in no order")
	case isPersonal(folded, personal):
		return problem.New(problem.Invalid, "the password is your name, your e-mail address or the name of this site, and those are guessed first: use one that has nothing to do with you")
	}
	return nil
}

// common holds the most common passwords of at least eight characters: lower case, one a line,
// in the order of their bytes, after a header and an empty line.
//
// Written by: go run common_write.go zxcvbn-ts-language-common-4.1.3.tgz
//
//go:embed common.txt
var common string

// isCommon finds a lower-case password by binary search in the embedded text, so the list
// takes no memory beside the program's own.
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

// longestPiece is the greatest length of a repeated piece, in characters: "abcdabcd" repeats
// one of four.
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

// runs says if each character follows the one before it in Unicode's order, or each precedes
// it; 0 also follows 9.
func runs(p []rune) bool {
	up, down := len(p) > 2, len(p) > 2
	for i := 1; i < len(p); i++ {
		a, b := p[i-1], p[i]
		up = up && (b == a+1 || a == '9' && b == '0')
		down = down && (b == a-1 || a == '0' && b == '9')
	}
	return up || down
}

// fewDigits is the number of digits that don't improve a personal word: a year has four.
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

// squeeze removes spaces and punctuation from a name or an address.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune(".-_+'@", r) {
			return -1
		}
		return r
	}, s)
}
