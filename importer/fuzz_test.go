package importer

// Fuzz tests of reading a file, and the rules that each resulting article obeys.

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"stoa/blog"
	"stoa/edit"
)

var slugPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// checkArticle checks the rules that the blog relies on.
func checkArticle(t *testing.T, a blog.Import) {
	t.Helper()
	slugs := []string{a.Slug}
	for _, n := range append(a.Authors[:len(a.Authors):len(a.Authors)], a.Tags...) {
		slugs = append(slugs, n.Slug)
		if strings.TrimSpace(n.Name) == "" || !utf8.ValidString(n.Name) {
			t.Errorf("%s: the name %q", a.Source, n.Name)
		}
	}
	for _, slug := range slugs {
		if !slugPattern.MatchString(slug) || len(slug) > edit.MaxSlug {
			t.Errorf("%s: the slug %q", a.Source, slug)
		}
	}
	if a.Title == "" || strings.TrimSpace(a.Title) != a.Title || strings.ContainsFunc(a.Title, unicode.IsControl) {
		t.Errorf("%s: the title %q", a.Source, a.Title)
	}
	for _, s := range append([]string{a.Source, a.Title, a.Summary, a.Markdown, coverText(a.Cover)}, a.Aliases...) {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || strings.ContainsRune(s, '\r') && s != a.Source {
			t.Errorf("%s: no text: %q", a.Source, s)
		}
	}
	if a.PublishedAt.IsZero() && !a.Draft {
		t.Errorf("%s: published without a date", a.Source)
	}
	for _, at := range []time.Time{a.PublishedAt, a.UpdatedAt} {
		if !at.IsZero() && (at.Location() != time.UTC || at.Year() < 2 || at.Year() > 9999) {
			t.Errorf("%s: at %v", a.Source, at)
		}
	}
	seen := map[string]bool{a.Slug: true, "": true}
	for _, alias := range a.Aliases {
		if seen[alias] {
			t.Errorf("%s: the alias %q is there already", a.Source, alias)
		}
		seen[alias] = true
	}
	if len(a.Digest) != 64 || a.Digest != digest(a) {
		t.Errorf("%s: the digest %q", a.Source, a.Digest)
	}
}

// FuzzParse reads any file. The result is an article that obeys the rules, a skip with a rule, or a
// failure with a reason and a line within the file; and a second reading gives the same.
func FuzzParse(f *testing.F) {
	fixtures, err := filepath.Glob("testdata/site/*.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(fixtures, "testdata/site/_posts/2023-03-04-a-jekyll-post.md") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Base(path), data)
	}
	f.Add("0000-01-04-found-by-fuzzing.md", []byte("A year that no calendar has."))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !fs.ValidPath(name) || strings.ContainsRune(name, 0) || len(data) > 64<<10 {
			t.Skip() // no file has such a name; and the corpus stays small
		}
		r := newReader("fuzz", today, readSite(nil, ".", "fuzz"))
		r.links.add(&linked{file: name, path: pathElements(name), slug: "this-one", address: "this-one"})
		seen := file{path: name}
		p, err := r.parse(seen, data)
		again, errAgain := r.parse(seen, data)
		if !reflect.DeepEqual(p, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatal("the same file, read differently")
		}
		lines := strings.Count(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n") + strings.Count(string(data), "\r") + 1
		var failed *failure
		switch {
		case errors.As(err, &failed):
			if failed.reason == "" || failed.line < 0 || failed.line > lines {
				t.Errorf("line %d of %d: %q", failed.line, lines, failed.reason)
			}
		case err != nil:
			t.Errorf("an error that isn't a failure: %v", err)
		case p.skip == "":
			checkArticle(t, p.article)
			for _, n := range p.notes {
				if n.rule == "" || n.line < 0 || n.line > lines {
					t.Errorf("line %d of %d: %q", n.line, lines, n.rule)
				}
			}
		}
	})
}
