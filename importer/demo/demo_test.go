package demo_test

// Rules for the content of the demo: complete, consistent, readable, and in the past.

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"stoa/blog/markdown"
	"stoa/importer/demo"
)

type article struct {
	Title   string    `yaml:"title"`
	Slug    string    `yaml:"slug"`
	Date    time.Time `yaml:"date"`
	Lastmod time.Time `yaml:"lastmod"`
	Draft   bool      `yaml:"draft"`
	Summary string    `yaml:"summary"`
	Authors []string  `yaml:"authors"`
	Tags    []string  `yaml:"tags"`
	Aliases []string  `yaml:"aliases"`

	file, body string
}

type author struct {
	Slug string `yaml:"slug"`
	Name string `yaml:"name"`
	Bio  string `yaml:"bio"`
}

type tag struct {
	Slug        string `yaml:"slug"`
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
}

type thread struct {
	Article  string    `yaml:"article"`
	Comments []comment `yaml:"comments"`
}

type comment struct {
	Name    string    `yaml:"name"`
	Date    time.Time `yaml:"date"`
	Body    string    `yaml:"body"`
	Replies []comment `yaml:"replies"`
}

// The demo is fixed in time: on any day of loading, everything in it has happened.
var (
	oldest = time.Date(2025, time.May, 1, 0, 0, 0, 0, time.UTC)
	newest = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	slug   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

func TestArticlesAreCompleteAndPast(t *testing.T) {
	authors, tags := map[string]bool{}, map[string]bool{}
	for _, a := range authorsIn(t) {
		authors[a.Slug] = false
	}
	for _, g := range tagsIn(t) {
		tags[g.Slug] = false
	}
	drafts, together := 0, 0
	slugs := map[string]bool{}
	articles := articlesIn(t)
	for _, a := range articles {
		if !slug.MatchString(a.Slug) || a.file != a.Slug+".md" || slugs[a.Slug] {
			t.Errorf("%s: slug %q is not its own, in lower case, or is not the file's name", a.file, a.Slug)
		}
		slugs[a.Slug] = true
		if a.Title == "" || len(a.Summary) < 30 || len(a.Summary) > 200 {
			t.Errorf("%s: title %q, summary of %d bytes", a.file, a.Title, len(a.Summary))
		}
		if a.Date.Before(oldest) || !a.Date.Before(newest) || a.Date.Location() != time.UTC {
			t.Errorf("%s: date %v is not between %v and %v in UTC", a.file, a.Date, oldest, newest)
		}
		if !a.Lastmod.IsZero() && (a.Lastmod.Before(a.Date) || !a.Lastmod.Before(newest)) {
			t.Errorf("%s: changed on %v, dated %v", a.file, a.Lastmod, a.Date)
		}
		if len(a.Authors) == 0 || len(a.Tags) == 0 {
			t.Errorf("%s: has %d authors and %d tags", a.file, len(a.Authors), len(a.Tags))
		}
		refers(t, a, "author", a.Authors, authors)
		refers(t, a, "tag", a.Tags, tags)
		if a.Draft {
			drafts++
		} else if len(a.Authors) > 1 {
			together++
		}
	}
	if len(articles)-drafts != 12 || drafts != 1 || together < 2 {
		t.Errorf("%d articles, of which %d are drafts and %d published ones have several authors", len(articles), drafts, together)
	}
	for kind, used := range map[string]map[string]bool{"author": authors, "tag": tags} {
		for name, is := range used {
			if !is {
				t.Errorf("%s %s has no published article", kind, name)
			}
		}
	}
}

// refers checks that names are known, and records the names that a published article uses.
func refers(t *testing.T, a article, kind string, names []string, known map[string]bool) {
	t.Helper()
	for i, name := range names {
		if _, ok := known[name]; !ok || slices.Contains(names[:i], name) {
			t.Errorf("%s: %s %q is unknown or there twice", a.file, kind, name)
			continue
		}
		known[name] = known[name] || !a.Draft
	}
}

func TestAuthorsAndTagsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range authorsIn(t) {
		if !slug.MatchString(a.Slug) || seen["author "+a.Slug] || a.Name == "" || a.Bio == "" {
			t.Errorf("%+v", a)
		}
		seen["author "+a.Slug] = true
	}
	for _, g := range tagsIn(t) {
		if !slug.MatchString(g.Slug) || seen["tag "+g.Slug] || g.Name == "" || g.Description == "" {
			t.Errorf("%+v", g)
		}
		seen["tag "+g.Slug] = true
	}
}

func TestCommentsFollowTheirArticles(t *testing.T) {
	published := map[string]time.Time{}
	for _, a := range articlesIn(t) {
		if !a.Draft {
			published[a.Slug] = a.Date
		}
	}
	var threads []thread
	decode(t, "comments.yaml", &threads)
	total, commented := 0, map[string]bool{}
	for _, th := range threads {
		date, ok := published[th.Article]
		if !ok || commented[th.Article] || len(th.Comments) == 0 {
			t.Errorf("%d comments on %q, which is no published article or is there twice", len(th.Comments), th.Article)
		}
		commented[th.Article] = true
		for _, c := range th.Comments {
			total += follows(t, th.Article, c, date, 1)
		}
	}
	if len(commented) != 7 || len(published) == len(commented) || total < 30 || total > 40 {
		t.Errorf("%d comments on %d of %d articles", total, len(commented), len(published))
	}
}

// follows checks that c, a comment at depth, is later than date, and counts it and its replies.
func follows(t *testing.T, on string, c comment, date time.Time, depth int) int {
	t.Helper()
	if c.Name == "" || strings.TrimSpace(c.Body) == "" || depth > 3 {
		t.Errorf("%s: at depth %d: %+v", on, depth, c)
	}
	if !c.Date.After(date) || !c.Date.Before(newest) || c.Date.Location() != time.UTC {
		t.Errorf("%s: %s wrote on %v, which is not after %v and before %v in UTC", on, c.Name, c.Date, date, newest)
	}
	if r, err := markdown.New().Render(t.Context(), c.Body); err != nil || len(r.TOC) > 0 || r.Words == 0 {
		t.Errorf("%s: %s: %d words, %d headings, %v", on, c.Name, r.Words, len(r.TOC), err)
	}
	n := 1
	for _, reply := range c.Replies {
		n += follows(t, on, reply, c.Date, depth+1)
	}
	return n
}

func TestArticlesRenderWithoutLoss(t *testing.T) {
	longest, tables, code, notes := 0, 0, 0, 0
	for _, a := range articlesIn(t) {
		r, err := markdown.New().Render(t.Context(), a.body)
		if err != nil {
			t.Errorf("%s: %v", a.file, err)
			continue
		}
		if diff := cmp.Diff(words(a.body), strings.Fields(r.Text)); diff != "" {
			t.Errorf("%s: words of the source (-) and of what it became (+):\n%s", a.file, diff)
		}
		longest = max(longest, len(r.TOC))
		for _, h := range r.TOC {
			if h.Level < 2 || h.Level > 3 {
				t.Errorf("%s: heading %q is of level %d; the title is the only first", a.file, h.Text, h.Level)
			}
		}
		tables += strings.Count(r.HTML, "<table>")
		code += strings.Count(r.HTML, `<code class="language-`)
		notes += strings.Count(r.HTML, `role="doc-noteref"`)
	}
	if longest < 12 || tables == 0 || code == 0 || notes == 0 {
		t.Errorf("the demo shows a table of contents of %d, %d tables, %d code blocks, %d footnotes", longest, tables, code, notes)
	}
}

// words is the text of Markdown without its marks. The demo uses few of these.
func words(source string) []string {
	for _, mark := range []string{
		"(?m)^```.*$",                     // fences
		`(?m)^\|[-:| ]+\|$`,               // the line under a table's head
		`(?m)^[ >]*(?:#+|[-*]|[0-9]+\.) `, // headings, list items
		`(?m)^>`,                          // quotes
		`(?m)^\[\^[a-z]+\]:`,              // footnotes
		`\[\^[a-z]+\]`,                    // and references to them
		"[`|]",
		`\*+([^\s*])`, // the start of emphasis, not the asterisk of SQL
		`([^\s*])\*+`, // and its end
	} {
		source = regexp.MustCompile(mark).ReplaceAllString(source, "$1")
	}
	return strings.Fields(source)
}

func articlesIn(t *testing.T) []article {
	t.Helper()
	files, err := fs.Glob(demo.FS, "articles/*")
	if err != nil {
		t.Fatal(err)
	}
	var articles []article
	for _, file := range files {
		raw := read(t, file)
		head, body, ok := strings.Cut(strings.TrimPrefix(string(raw), "---\n"), "\n---\n")
		if !ok || !strings.HasPrefix(string(raw), "---\n") {
			t.Fatalf("%s has no front matter", file)
		}
		a := article{file: path.Base(file), body: body}
		strict(t, file, []byte(head), &a)
		articles = append(articles, a)
	}
	return articles
}

func authorsIn(t *testing.T) (authors []author) {
	t.Helper()
	decode(t, "authors.yaml", &authors)
	return authors
}

func tagsIn(t *testing.T) (tags []tag) {
	t.Helper()
	decode(t, "tags.yaml", &tags)
	return tags
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	strict(t, file, read(t, file), into)
}

// strict decodes YAML and fails on keys that into doesn't have.
func strict(t *testing.T, file string, raw []byte, into any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := fs.ReadFile(demo.FS, file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
