package edit

// Slugs: made from a text, checked, numbered if they are taken, and remembered after a change.
// Entry points: Slug, Kind.freeSlug.

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"stoa/id"
	"stoa/problem"
)

// MaxSlug is the longest slug, in characters, so that addresses stay readable. Of the 386 posts
// that this was tried on, four have a longer one, of 123 characters at most.
const MaxSlug = 100

// latin spells out letters without a decomposition in Unicode.
var latin = strings.NewReplacer(
	"ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ð", "d", "þ", "th", "ł", "l", "ħ", "h", "ı", "i",
	"'", "", "’", "", "‘", "", "ʼ", "", // it's is its, not it-s
)

// Slug makes a slug of any text: lower-case letters and digits of ASCII, with single dashes
// between them, at most MaxSlug of them, cut between words if there is such a place. It is "" for
// a text without such letters, for example in Chinese. A slug stays itself.
func Slug(text string) string {
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
	return cutSlug(b.String(), MaxSlug)
}

func cutSlug(slug string, most int) string {
	if len(slug) <= most {
		return slug
	}
	if i := strings.LastIndexByte(slug[:most+1], '-'); i > most/2 {
		return slug[:i]
	}
	return strings.TrimRight(slug[:most], "-")
}

// checkSlug returns Invalid if a slug is asked for that isn't one.
func checkSlug(asked *string) error {
	if asked == nil {
		return nil
	}
	made := Slug(*asked)
	if made == *asked && made != "" {
		return nil
	}
	return problem.New(problem.Invalid, "slug takes 1 to %d lower-case letters, digits and single hyphens between them, such as %q", MaxSlug, cmp.Or(made, "the-painted-porch")).At("slug")
}

// wantedSlug returns the slug that was asked for, or one made from a document's name, or from its
// id if the name has no letters for it.
func wantedSlug(asked *string, name string, of id.ID) string {
	if asked != nil {
		return *asked
	}
	return cmp.Or(Slug(name), string(of[len(of)-10:])) // the random part of the id: unique as it is
}

// numbered returns n slugs made from a taken one, with the numbers from first on: wanted-2 and so
// on.
func numbered(wanted string, first, n int) []string {
	out := make([]string, n)
	for i := range out {
		tail := fmt.Sprintf("-%d", first+i)
		out[i] = cutSlug(wanted, MaxSlug-len(tail)) + tail
	}
	return out
}

// atOnce is the number of slugs that one command looks up.
const atOnce = 20

// freeSlug returns wanted, or wanted with the first number that makes it free: no other document
// of the kind has or had it. Another writer may take it before it is written; then Insert or
// Replace returns Conflict.
func (k *Kind[T]) freeSlug(ctx context.Context, wanted string, of id.ID) (string, error) {
	candidates := append([]string{wanted}, numbered(wanted, 2, atOnce-1)...)
	for next := atOnce + 1; ; next += atOnce {
		taken, err := k.Taken(ctx, candidates)
		if err != nil {
			return "", err
		}
		for _, c := range candidates {
			if owner, ok := taken[c]; !ok || owner == of {
				return c, nil
			}
		}
		candidates = numbered(wanted, next, atOnce)
	}
}

// formerSlugs returns the former slugs of a document that had old and slug and now gets another
// one. It is found under all of them.
func formerSlugs(old []string, slug, now string) []string {
	out := slices.DeleteFunc(append(slices.Clone(old), slug), func(s string) bool { return s == now })
	slices.Sort(out)
	return slices.Compact(out)
}

// numberedWarning returns the warning that a document got another slug than the wanted one; nothing
// if it got that, or if the wanted one isn't known.
func numberedWarning(wanted, got string) []*problem.Warning {
	if wanted == got || wanted == "" {
		return []*problem.Warning{}
	}
	return []*problem.Warning{{Message: fmt.Sprintf("the slug %q is taken: this got %q", wanted, got), Path: []string{"slug"}}}
}
