package edit

// Tests of slugs made from any text, and of former slugs.

import (
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"stoa/id"
)

var slugShape = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Whatever text a slug is made of, it is one, and stays itself; with any number after it, too.
func TestWhatIsMadeOfATextIsASlug(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Zßü0-9 '_.-]{0,150}`)).Draw(t, "text")
		slug := Slug(text)
		if slug == "" {
			slug = "nothing"
		}
		n := rapid.IntRange(2, 1_000_000).Draw(t, "number")
		for _, s := range append(numbered(slug, n, 3), slug) {
			if len(s) > MaxSlug || !slugShape.MatchString(s) || Slug(s) != s {
				t.Errorf("of %q is made %q, of which %q", text, s, Slug(s))
			}
		}
		if all := numbered(slug, n, 3); len(slices.Compact(all)) != 3 || slices.Contains(all, slug) {
			t.Errorf("the numbered ones of %q are %q", slug, all)
		}
		if made := wantedSlug(nil, text, id.New(id.Article)); !slugShape.MatchString(made) {
			t.Errorf("a title %q gets %q", text, made)
		}
		asked, err := wantedSlug(&text, "title", id.New(id.Article)), checkSlug(&text)
		if (err == nil) != (Slug(text) == text && text != "") || asked != text {
			t.Errorf("a request for %q gets %q, %v", text, asked, err)
		}
	})
}

// However often something is readdressed, it is found under all it had, each once, and its
// present slug is none of the old ones.
func TestNoSlugIsForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slug, old, had := "a", []string{}, map[string]bool{"a": true}
		for _, next := range rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c", "d"})).Draw(t, "slugs") {
			if next == slug {
				continue
			}
			slug, old = next, formerSlugs(old, slug, next)
			had[next] = true
		}
		if slices.Contains(old, slug) || len(old) != len(had)-1 || len(slices.Compact(slices.Sorted(slices.Values(old)))) != len(old) {
			t.Errorf("now %s, before %v", slug, old)
		}
	})
}
