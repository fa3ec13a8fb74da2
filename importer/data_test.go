package importer

// Imports of real blogs in the data folder beside the repository; skipped without it.

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stoa/blog"
)

// realBlog returns the folder of a real blog by other people, or skips the test.
func realBlog(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(os.Getenv("STOA_TEST_DATA"), name)
	if os.Getenv("STOA_TEST_DATA") == "" {
		dir = filepath.Join("..", "..", "shared", "data", name)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real posts here; STOA_TEST_DATA names the folder that holds %s: %v", name, err)
	}
	return dir
}

// TestRealBlogs imports whole blogs of each system. The report accounts for every file, none fails,
// and no template of the system is left outside of code.
func TestRealBlogs(t *testing.T) {
	cases := map[string]struct {
		reason                  string
		created, skipped        int
		drafts, duplicates      int
		authors, tags, byFormat int
		first, last             string // days of publication
		unused                  []string
	}{
		"blog-a": {
			reason:  "Hugo: 276 posts and a section page; 77 expired and one draft; 48 topics and three more tags",
			created: 276, skipped: 1, drafts: 78, duplicates: 3, authors: 163, tags: 51,
			first: "2010-10-22", last: "2025-01-02",
			unused: []string{"cms_date", "communities", "deck", "kicker", "source"},
		},
		"blog-b-toml": {
			reason:  "Zola: the day is only in path, and many posts end in the same words",
			created: 109, duplicates: 27, authors: 38,
			first: "2019-09-25", last: "2020-12-29",
			unused: []string{"extra"},
		},
		"blog-c-hashnode": {
			reason:  "Hashnode: one post",
			created: 1, tags: 5,
			first: "2023-07-01", last: "2023-07-01",
			unused: []string{"cuid", "seotitle"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := realBlog(t, name)
			var s shelf
			report := importAll(t, &s, os.DirFS(dir), name)
			if onDisk := countFiles(t, dir); onDisk != report.Files {
				t.Errorf("%d files on disk, %d in the report", onDisk, report.Files)
			}
			if report.Created != c.created || report.Skipped != c.skipped || report.Failed != 0 || report.Drafts != c.drafts {
				t.Errorf("%s: %+v", c.reason, report)
			}
			if got := slices.Sorted(maps.Keys(report.Unused)); !slices.Equal(got, c.unused) {
				t.Errorf("front matter without a place: %v, want %v", got, c.unused)
			}
			checkArticles(t, s.articles)

			authors, tags, slugs := map[string]bool{}, map[string]bool{}, map[string]int{}
			var days []string
			for _, a := range s.articles {
				slugs[a.Slug]++
				days = append(days, a.PublishedAt.Format(time.DateOnly))
				for _, n := range a.Authors {
					authors[n.Slug] = true
				}
				for _, n := range a.Tags {
					tags[n.Slug] = true
				}
			}
			if twice := len(s.articles) - len(slugs); twice != c.duplicates {
				t.Errorf("%d posts want a slug that another has, want %d", twice, c.duplicates)
			}
			if len(authors) != c.authors || len(tags) != c.tags {
				t.Errorf("%d authors and %d tags, want %d and %d", len(authors), len(tags), c.authors, c.tags)
			}
			if first, last := slices.Min(days), slices.Max(days); first != c.first || last != c.last {
				t.Errorf("published from %s to %s, want %s to %s", first, last, c.first, c.last)
			}
			again := importAll(t, &s, os.DirFS(dir), name)
			if again.Unchanged != c.created {
				t.Errorf("again: %+v", again)
			}
		})
	}
}

// checkArticles checks the rules for every article of this package.
func checkArticles(t *testing.T, articles map[string]blog.Import) {
	t.Helper()
	for source, a := range articles {
		checkArticle(t, a)
		find := codeFinder{body: a.Markdown}
		find.find()
		for _, mark := range []string{"{{<", "{{%", "{%", `align="center")`} {
			for pos := 0; ; pos++ {
				next := strings.Index(a.Markdown[pos:], mark)
				if next < 0 {
					break
				}
				pos += next
				if !slices.ContainsFunc(find.code, func(r region) bool { return r.start <= pos && pos < r.end }) {
					t.Errorf("%s: %s is left: %.60q", source, mark, a.Markdown[pos:])
				}
			}
		}
		if strings.TrimSpace(a.Markdown) == "" {
			t.Errorf("%s: no text", source)
		}
		if a.PublishedAt.IsZero() {
			t.Errorf("%s: no date", source)
		}
	}
}

// TestRealPostsThatWereChosenForBeingAwkward names some awkward posts, so that a change can't lose
// one of their peculiarities unseen.
func TestRealPostsThatWereChosenForBeingAwkward(t *testing.T) {
	var a, b, c shelf
	importAll(t, &a, os.DirFS(realBlog(t, "blog-a")), "blog-a")
	importAll(t, &b, os.DirFS(realBlog(t, "blog-b-toml")), "blog-b-toml")
	importAll(t, &c, os.DirFS(realBlog(t, "blog-c-hashnode")), "blog-c-hashnode")
	all := map[string]blog.Import{}
	for _, s := range []shelf{a, b, c} {
		maps.Copy(all, s.articles)
	}
	cases := map[string]struct {
		reason, source string
		holds          func(blog.Import) bool
	}{
		"IntegerSlug": {"the slug is a number, and stays its digits", "blog-a/2014/02/2014-02-20-124062.md",
			func(a blog.Import) bool { return a.Slug == "124062" }},
		"CRLF": {"no carriage return is left", "blog-a/2015/09/2015-09-02-https-and-other-ranking-factors-what-impacts-the-seo-of-government-websites.md",
			func(a blog.Import) bool {
				return !strings.Contains(a.Markdown, "\r") && strings.Contains(a.Markdown, "\n\n")
			}},
		"BlankLines": {"blank lines before the fence", "blog-a/2015/06/2015-06-29-creating-a-social-media-report-that-matters.md",
			func(a blog.Import) bool { return a.Title == "Creating a Social Media Report That Matters" }},
		"DuplicateKeys": {"the last of two expiry dates", "blog-a/2018/12/2018-12-20-designing-for-translation.md",
			func(a blog.Import) bool { return a.Draft && a.Title == "Designing for Translation" }},
		"Entities": {"references to characters are resolved", "blog-a/2020/06/2020-06-23-diga-o-marque-2-usagov-en.md",
			func(a blog.Import) bool {
				return a.Title == "\"Diga o marque 2\": USAGov en Español’s New Approach to Interactive Voice Response"
			}},
		"OddSlug": {"a slug with escapes of spaces", "blog-a/2016/11/2016-11-29-health-it-services-sin%e2%80%8a-%e2%80%8aready-to-serve-agencies.md",
			func(a blog.Import) bool {
				return a.Slug == "health-it-services-sin-ready-to-serve-agencies" && len(a.Aliases) == 1
			}},
		"NoTitle": {"made from the name; the text is elsewhere", "blog-a/2018/09/2018-09-24-example.md",
			func(a blog.Import) bool {
				return a.Title == "Example" && a.Markdown == "[Read it at userresearch.blog.gov.uk](https://userresearch.blog.gov.uk/2018/06/07/why-we-talk-about-services-not-systems/)\n"
			}},
		"Longest": {"65,863 bytes", "blog-a/2013/07/2013-07-15-digital-metrics-for-federal-agencies.md",
			func(a blog.Import) bool { return len(a.Markdown) > 60_000 }},
		"Alias": {"found under its old address", "blog-a/2017/09/2017-09-07-usda-foodkeeper-app-update-expands-content-offerings.md",
			func(a blog.Import) bool {
				return slices.Contains(a.Aliases, "usdas-foodkeeper-app-update-features-food-safety-recall-information")
			}},
		"Link": {"a link to a post of the folder is its slug", "blog-a/2014/06/2014-06-30-508-accessible-videos-why-and-how-to-make-them.md",
			func(a blog.Import) bool {
				return strings.Contains(a.Markdown, `href="508-accessible-videos-how-to-caption-videos"`)
			}},
		"Zone": {"9:00 in a zone five hours behind", "blog-a/2019/04/2019-04-08-introducing-uswds-2.md",
			func(a blog.Import) bool { return a.PublishedAt.Equal(time.Date(2019, 4, 8, 14, 0, 0, 0, time.UTC)) }},
		"Bundle": {"path counts, not the folder's name", "blog-b-toml/Keeping-secure-with-cargo-audit-0.9/index.md",
			func(a blog.Import) bool {
				return a.Slug == "keeping-secure-with-cargo-audit-0-9" && slices.Contains(a.Aliases, "Keeping-secure-with-cargo-audit-0.9")
			}},
		"Braces": {"braces that are no template", "blog-b-toml/intro-rustc-self-profile/index.md",
			func(a blog.Import) bool { return strings.Contains(a.Markdown, "{{impl}}") }},
		"Hashnode": {"a picture with an alignment inside the brackets", "blog-c-hashnode/cljjce2l4000209legz3mc2ks.md",
			func(a blog.Import) bool {
				return a.Slug == "supercharging-the-1password-ssh-agent" && strings.Contains(a.Markdown, "d7dab14a-49d6-4d5a-bbc1-c13aee3b0e98.png)") &&
					a.PublishedAt.Equal(time.Date(2023, 7, 1, 1, 46, 19, 0, time.UTC)) && strings.HasPrefix(a.Cover.URL, "https://cdn.hashnode.com/")
			}},
	}
	for name, c := range cases {
		article, found := all[c.source]
		if !found || !c.holds(article) {
			article.Markdown = shorten(article.Markdown, 200)
			t.Errorf("%s: %s: %+v", name, c.reason, article)
		}
	}
}

// TestRealPostsAreReadAsAParserReadsThem compares our notion of code with goldmark's, link
// definitions excepted: backticks in their labels mean nothing.
func TestRealPostsAreReadAsAParserReadsThem(t *testing.T) {
	for _, name := range []string{"blog-a", "blog-b-toml", "blog-c-hashnode"} {
		var s shelf
		importAll(t, &s, os.DirFS(realBlog(t, name)), name)
		for source, a := range s.articles {
			find := codeFinder{body: a.Markdown}
			find.find()
			if ours, theirs := mask(a.Markdown, find.code), goldmarkCode(a.Markdown); ours != theirs {
				text := strings.Split(a.Markdown, "\n")
				for i, line := range strings.Split(theirs, "\n") {
					definition := strings.HasPrefix(strings.TrimSpace(text[i]), "[") && strings.Contains(text[i], "]:")
					if got := strings.Split(ours, "\n")[i]; got != line && !definition {
						t.Errorf("%s: line %d of the text: code is %.80q, want %.80q", source, i+1, got, line)
					}
				}
			}
		}
	}
}
