package importer

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxSlug is the most characters that a slug has, so that addresses can be read. Of the
// 386 posts this was tried on four have a longer one, of 123 characters at most, and are
// found under that as an alias.
const maxSlug = 100

// latin spells out the letters that have no decomposition in Unicode.
var latin = strings.NewReplacer(
	"ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ð", "d", "þ", "th", "ł", "l", "ħ", "h", "ı", "i",
	"'", "", "’", "", "‘", "", "ʼ", "", // it's is its, not it-s
)

// slugOf makes a slug of any text: lower-case letters and digits of ASCII, with single
// dashes between them, at most maxSlug of them, cut between words where there is one to
// cut at. It is "" for a text that has none, such as one in Chinese. A slug stays itself.
func slugOf(text string) string {
	var b strings.Builder
	gap := false
	for _, c := range norm.NFKD.String(latin.Replace(strings.ToLower(text))) {
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			if gap && b.Len() > 0 {
				b.WriteByte('-')
			}
			gap = false
			b.WriteRune(c)
		case unicode.Is(unicode.Mn, c):
		default:
			gap = true
		}
	}
	slug := b.String()
	if len(slug) <= maxSlug {
		return slug
	}
	if i := strings.LastIndexByte(slug[:maxSlug+1], '-'); i > maxSlug/2 {
		return slug[:i]
	}
	return strings.TrimRight(slug[:maxSlug], "-")
}

// lastElement returns what addresses a page in a path or URL: its last element, without
// index.html, an extension of a page, a query or a fragment; "" for the top of a site.
func lastElement(address string) string {
	address, _, _ = strings.Cut(address, "#")
	address, _, _ = strings.Cut(address, "?")
	if _, rest, absolute := strings.Cut(address, "://"); absolute {
		_, address, _ = strings.Cut(rest, "/") // without the host
	}
	address = strings.TrimSuffix(strings.TrimRight(address, "/"), "/index.html")
	last := path.Base("/" + address)
	for _, extension := range []string{".html", ".htm", ".md", ".markdown"} {
		last = strings.TrimSuffix(last, extension)
	}
	if decoded, err := url.PathUnescape(last); err == nil && decoded != "" {
		last = decoded
	}
	last = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return -1
		}
		return c
	}, strings.ToValidUTF8(last, ""))
	if last == "/" || last == "index" {
		return ""
	}
	return last
}

// personName returns what people read for an author. Blogs name authors by slug as often
// as by name: ada-lovelace becomes Ada Lovelace, but jeremyzilar stays, since where the
// words begin isn't known. What has a capital or a space is a name already.
func personName(text string) string {
	text = strings.TrimPrefix(text, "@")
	if !dashed.MatchString(text) {
		return text
	}
	words := strings.FieldsFunc(text, isDash)
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, " ")
}

// topicName returns what people read for a tag: open-data becomes open data. Capitals
// stay as they are, because nobody knows those of ux, nasa or github from the slug.
func topicName(text string) string {
	if !dashed.MatchString(text) {
		return text
	}
	return strings.Join(strings.FieldsFunc(text, isDash), " ")
}

// topicSlug is slugOf, but keeps C, C++ and C# apart, and .NET from net.
func topicSlug(name string) string {
	trimmed := strings.TrimRight(name, "+#")
	signs := name[len(trimmed):]
	if rest, dotted := strings.CutPrefix(trimmed, "."); dotted {
		trimmed = "dot " + rest
	}
	if slugOf(trimmed) == "" {
		return slugOf(name)
	}
	return slugOf(trimmed + strings.NewReplacer("+", " plus", "#", " sharp").Replace(signs))
}

var dashed = regexp.MustCompile(`^[a-z0-9]+([-_][a-z0-9]+)+$`)

func isDash(c rune) bool { return c == '-' || c == '_' }
