package blog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// MaxSlug is the most characters that a slug of ours has, so that addresses can be read. Of
// the 386 posts this was tried on four have a longer one, of 123 characters at most.
const MaxSlug = 100

// latin spells out the letters that have no decomposition in Unicode.
var latin = strings.NewReplacer(
	"ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ð", "d", "þ", "th", "ł", "l", "ħ", "h", "ı", "i",
	"'", "", "’", "", "‘", "", "ʼ", "", // it's is its, not it-s
)

// Slug makes a slug of any text: lower-case letters and digits of ASCII, with single
// dashes between them, at most MaxSlug of them, cut between words where there is one to
// cut at. It is "" for a text that has none, such as one in Chinese. A slug stays itself.
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

// wantedSlug is the slug that something is to have: the one that was asked for, which must
// be one, or else one made of its name; of its id where the name has no letters for it.
func wantedSlug(asked *string, name string, of id.ID) (string, error) {
	if asked == nil {
		if made := Slug(name); made != "" {
			return made, nil
		}
		return string(of[len(of)-10:]), nil // the random part: unique as it is
	}
	if made := Slug(*asked); made != *asked || made == "" {
		return "", problem.New(problem.Invalid, "slug takes 1 to %d lower-case letters, digits and single hyphens between them, such as %q", MaxSlug, wouldBe(made)).At("slug")
	}
	return *asked, nil
}

func wouldBe(made string) string {
	if made == "" {
		return "the-painted-porch"
	}
	return made
}

// numbered are the slugs that something gets where wanted is taken: wanted-2 and so on.
func numbered(wanted string, from, n int) []string {
	out := make([]string, n)
	for i := range out {
		tail := fmt.Sprintf("-%d", from+i)
		out[i] = cutSlug(wanted, MaxSlug-len(tail)) + tail
	}
	return out
}

// atOnce is how many slugs are looked for in one command.
const atOnce = 20

// freeSlug returns wanted, or with the first number that makes it free: of what nothing
// else of its kind has or had. Whether it still is when it is written, the store sees.
func (b *Blog) freeSlug(ctx context.Context, wanted string, of id.ID) (string, error) {
	candidates := append([]string{wanted}, numbered(wanted, 2, atOnce-1)...)
	for next := atOnce + 1; ; next += atOnce {
		taken, err := b.store.SlugsTaken(ctx, of.Kind(), candidates)
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

// readdressed are the old slugs of something that had slug and old and now has another: it
// is found under all of them.
func readdressed(slug string, old []string, now string) []string {
	out := slices.DeleteFunc(append(slices.Clone(old), slug), func(s string) bool { return s == now })
	slices.Sort(out)
	return slices.Compact(out)
}

// numberedWarning says that something got another slug than was wanted; nil where it didn't.
func numberedWarning(wanted, got string) []*problem.Warning {
	if wanted == got {
		return []*problem.Warning{}
	}
	return []*problem.Warning{{Message: fmt.Sprintf("the slug %q is taken: this got %q", wanted, got), Path: []string{"slug"}}}
}

// articleWarnings says what an article has that its author didn't ask for.
func articleWarnings(a *store.Article) []*problem.Warning {
	if a.WantedSlug == "" {
		return []*problem.Warning{}
	}
	return numberedWarning(a.WantedSlug, a.Slug)
}
