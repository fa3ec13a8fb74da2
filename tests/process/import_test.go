package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stoa/tests/stoatest"
)

// counts is the table at the end of an import.
type counts struct{ Created, Updated, Unchanged, Skipped, Failed, NotReached int }

var countLine = regexp.MustCompile(`(?m)^  (created|updated|unchanged|skipped|failed|not reached) +(\d+)$`)

func (p *process) counts(t *testing.T) counts {
	t.Helper()
	var c counts
	for _, line := range countLine.FindAllStringSubmatch(p.stdout.String(), -1) {
		n, _ := strconv.Atoi(line[2])
		*map[string]*int{
			"created": &c.Created, "updated": &c.Updated, "unchanged": &c.Unchanged,
			"skipped": &c.Skipped, "failed": &c.Failed, "not reached": &c.NotReached,
		}[line[1]] = n
	}
	return c
}

// importInto imports a folder and checks its exit code and its table.
func importInto(t *testing.T, data, folder string, code int, want counts) *process {
	t.Helper()
	p := run(t, environ{"STOA_DATA": data}, "import", "markdown", folder)
	if got := p.exitCode(t); got != code {
		t.Fatalf("the import's exit code is %d, want %d\n%s%s", got, code, p.stdout, p.stderr)
	}
	if diff := cmp.Diff(want, p.counts(t)); diff != "" {
		t.Fatalf("the import's table isn't what was expected: %s", diff)
	}
	return p
}

// notebook copies the folder of that name in testdata/ to a temporary folder.
func notebook(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "notebook")
	if err := os.CopyFS(folder, os.DirFS("testdata/notebook")); err != nil {
		t.Fatal(err)
	}
	return folder
}

// ofNotebook is the result of a first import of the notebook.
var ofNotebook = counts{Created: 8, Skipped: 2}

// rewrite replaces old with new in a file.
func rewrite(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// everything is all that can be read, without ids and cursors, so that two databases with
// the same articles have it alike.
type everything struct {
	Articles []map[string]any
	Authors  []map[string]any
	Tags     []map[string]any
}

const wholeArticle = `slug title summary bodyMarkdown bodyHtml readingMinutes publishedAt updatedAt commentCount cover { url }
	tableOfContents { level text anchor } author { slug } authors { slug name } tags { slug name }
	related(first: 10) { slug } next { slug } previous { slug }`

// read pages through all that a server has.
func readEverything(t *testing.T, s *stoatest.Stoa) everything {
	t.Helper()
	page := func(field, of string) (all []map[string]any) {
		var after *string
		for {
			var out map[string]struct {
				Nodes    []map[string]any
				PageInfo struct {
					HasNextPage bool
					EndCursor   *string
				}
			}
			s.Data(t, &out, `query ($after: String) { `+field+`(first: 50, after: $after) { nodes { `+of+` } pageInfo { hasNextPage endCursor } } }`, map[string]any{"after": after})
			all = append(all, out[field].Nodes...)
			if !out[field].PageInfo.HasNextPage {
				return all
			}
			after = out[field].PageInfo.EndCursor
		}
	}
	return everything{
		page("articles", wholeArticle),
		page("authors", `slug name articleCount articles(first: 100) { nodes { slug } }`),
		page("tags", `slug name articleCount articles(first: 100) { nodes { slug } }`),
	}
}

func (e everything) slugs() []string {
	var out []string
	for _, a := range e.Articles {
		out = append(out, a["slug"].(string))
	}
	return out
}

func TestImportingTwiceChangesNothing(t *testing.T) {
	for _, served := range []bool{false, true} {
		t.Run(map[bool]string{false: "Alone", true: "WhileAServerRuns"}[served], func(t *testing.T) {
			t.Parallel()
			data, folder := t.TempDir(), notebook(t)
			var p *process
			if served {
				p = serve(t, environ{"STOA_DATA": data})
				if first := readEverything(t, p.Stoa); len(first.Articles) != 0 {
					t.Fatalf("there is something already: %q", first.slugs())
				}
			}
			importInto(t, data, folder, 0, ofNotebook)
			if !served {
				p = serve(t, environ{"STOA_DATA": data})
			}
			before := readEverything(t, p.Stoa)
			want := []string{"harbour-2", "lighthouse", "tides", "kites", "first-light", "harbour"}
			if got := before.slugs(); !slices.Equal(got, want) {
				t.Errorf("imported are %q, want %q: drafts stay hidden, what wants a taken slug gets a number", got, want)
			}
			importInto(t, data, folder, 0, counts{Unchanged: 8, Skipped: 2})
			if diff := cmp.Diff(before, readEverything(t, p.Stoa)); diff != "" {
				t.Errorf("importing again changed: %s", diff)
			}
			for _, slug := range []string{"draft", "what-the-fog-hides", "undated", "on-knots"} {
				if a := p.Query(t, `query ($slug: String!) { article(slug: $slug) { id } }`, map[string]any{"slug": slug}); !strings.Contains(string(a.Data), "null") {
					t.Errorf("the draft %q is answered: %s", slug, a.Raw)
				}
			}
			var tag struct {
				Tag struct {
					ArticleCount int
					Articles     struct{ Nodes []any }
				}
			}
			p.Data(t, &tag, `{ tag(slug: "fog") { articleCount articles { nodes { slug } } } }`, nil)
			if tag.Tag.ArticleCount != 0 || len(tag.Tag.Articles.Nodes) != 0 {
				t.Errorf("a draft is counted under its tag: %+v", tag)
			}
		})
	}
}

// sight is the part of the site that one changed file affects, as readers see it.
type sight struct {
	Kites, Old, New *struct {
		Title, Slug    string
		Tags           []struct{ Slug string }
		Next, Previous *struct{ Slug string }
	}
	Newest, ByTitle struct{ Nodes []struct{ Slug string } }
	Wind, Sea       struct {
		ArticleCount int
		Articles     struct{ Nodes []struct{ Slug string } }
	}
	Tides struct{ Related []struct{ Slug string } }
}

const sightQuery = `
	fragment a on Article { title slug tags { slug } next { slug } previous { slug } }
	fragment t on Tag { articleCount articles { nodes { slug } } }
	{
		kites: article(slug: "kites") { ...a } old: article(slug: "flying") { ...a } new: article(slug: "flying-kites") { ...a }
		newest: articles { nodes { slug } } byTitle: articles(orderBy: {field: TITLE, direction: ASC}) { nodes { slug } }
		wind: tag(slug: "wind") { ...t } sea: tag(slug: "sea") { ...t }
		tides: article(slug: "tides") { related(first: 10) { slug } }
	}`

func TestAChangedFileIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	data, folder := t.TempDir(), notebook(t)
	importInto(t, data, folder, 0, ofNotebook)
	p := serve(t, environ{"STOA_DATA": data})
	look := func() sight {
		var s sight
		p.Data(t, &s, sightQuery, nil)
		return s
	}
	look()
	if first := look(); first.Kites == nil || first.New != nil || first.Wind.ArticleCount != 1 || first.Sea.ArticleCount != 5 {
		t.Fatalf("before anything has changed: %+v", first)
	}

	kites := filepath.Join(folder, "kites.md")
	rewrite(t, kites, "Kites: what the wind teaches", "An afternoon with kites")
	rewrite(t, kites, "slug: kites", "slug: flying-kites\naliases: [/2019/flying/]")
	rewrite(t, kites, "2024-04-12", "2024-09-12")
	rewrite(t, kites, "tags: [wind, children]", "tags: [sea, children]")
	importInto(t, data, folder, 0, counts{Updated: 1, Unchanged: 7, Skipped: 2})

	got := look()
	for name, a := range map[string]any{"its slug": got.New, "its old slug": got.Kites, "its alias": got.Old} {
		text, _ := json.Marshal(a)
		if want := `{"Title":"An afternoon with kites","Slug":"flying-kites","Tags":[{"Slug":"sea"},{"Slug":"children"}],"Next":null,"Previous":{"Slug":"harbour-2"}}`; string(text) != want {
			t.Errorf("by %s it is %s, want %s", name, text, want)
		}
	}
	if got.Newest.Nodes[0].Slug != "flying-kites" || len(got.Newest.Nodes) != 6 {
		t.Errorf("the newest are %v", got.Newest)
	}
	if got.ByTitle.Nodes[0].Slug != "flying-kites" {
		t.Errorf("by title they are %v", got.ByTitle)
	}
	if got.Wind.ArticleCount != 0 || len(got.Wind.Articles.Nodes) != 0 || got.Sea.ArticleCount != 6 || got.Sea.Articles.Nodes[0].Slug != "flying-kites" {
		t.Errorf("wind has %v, sea %v", got.Wind, got.Sea)
	}

	// Correct responses from memory are correct in the database, too.
	p.kill(t)
	p = serve(t, environ{"STOA_DATA": data})
	if diff := cmp.Diff(got, look()); diff != "" {
		t.Errorf("after another start: %s", diff)
	}
}

func TestAFileThatIsGoneLeavesItsArticle(t *testing.T) {
	t.Parallel()
	data, folder := t.TempDir(), notebook(t)
	importInto(t, data, folder, 0, ofNotebook)
	for _, name := range []string{"kites.md", "harbour-one.md"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	importInto(t, data, folder, 0, counts{Unchanged: 6, Skipped: 2})
	p := serve(t, environ{"STOA_DATA": data})
	want := []string{"harbour-2", "lighthouse", "tides", "kites", "first-light", "harbour"}
	if got := readEverything(t, p.Stoa).slugs(); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q: an import takes nothing away, and an article keeps its slug", got, want)
	}
}

func TestABrokenFileFailsByLineAndReasonAndTheOthersAreImported(t *testing.T) {
	t.Parallel()
	data, folder := t.TempDir(), notebook(t)
	p := serve(t, environ{"STOA_DATA": data})
	broken := filepath.Join(folder, "broken.md")
	if err := os.WriteFile(broken, []byte("---\ntitle: Broken\ntags: [sea\ndate: 2024-10-01\n---\nText.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := importInto(t, data, folder, 1, counts{Created: 8, Skipped: 2, Failed: 1})
	if !regexp.MustCompile(`(?m)^ *broken\.md:[2-5]: \S+`).MatchString(first.stdout.String()) {
		t.Errorf("it doesn't say where and why:\n%s", first.stdout)
	}
	if n := len(readEverything(t, p.Stoa).Articles); n != 6 {
		t.Errorf("%d articles are there, want 6", n)
	}
	importInto(t, data, folder, 1, counts{Unchanged: 8, Skipped: 2, Failed: 1})
	rewrite(t, broken, "[sea", "[sea]")
	importInto(t, data, folder, 0, counts{Created: 1, Unchanged: 8, Skipped: 2})
	if got := readEverything(t, p.Stoa).slugs(); got[0] != "broken" {
		t.Errorf("mended, it isn't there: %q", got)
	}
}

func TestADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	data, folder := t.TempDir(), notebook(t)
	p := serve(t, environ{"STOA_DATA": data})
	dry := func(want counts) {
		t.Helper()
		run := run(t, environ{"STOA_DATA": data}, "import", "markdown", folder, "--dry-run")
		if diff := cmp.Diff(want, run.counts(t)); diff != "" || run.exitCode(t) != 0 || !strings.Contains(run.stdout.String(), "nothing was written") {
			t.Errorf("exit code %d, %s\n%s%s", run.exitCode(t), diff, run.stdout, run.stderr)
		}
	}
	dry(ofNotebook)
	if got := readEverything(t, p.Stoa); len(got.Articles)+len(got.Authors)+len(got.Tags) != 0 {
		t.Errorf("it wrote %+v", got)
	}
	importInto(t, data, folder, 0, ofNotebook)
	before := readEverything(t, p.Stoa)
	rewrite(t, filepath.Join(folder, "kites.md"), "tags: [wind", "tags: [storm")
	dry(counts{Updated: 1, Unchanged: 7, Skipped: 2})
	if diff := cmp.Diff(before, readEverything(t, p.Stoa)); diff != "" {
		t.Errorf("it changed %s", diff)
	}
}

// A folder of content is imported with the pictures beside its texts and those of its site, through
// the server that runs, unless it is told to leave them.
func TestPicturesComeAlongUnlessTheyAreLeft(t *testing.T) {
	t.Parallel()
	site := t.TempDir()
	picture := func(shade byte) string {
		m := image.NewGray(image.Rect(0, 0, 20, 20))
		for i := range m.Pix {
			m.Pix[i] = shade
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"hugo.toml": "enableEmoji = true\n", "static/cover.png": picture(1), "content/post/beside.png": picture(2),
		"content/post/index.md": "---\ntitle: \"Kites :tada:\"\ndate: 2024-01-01\ncover: {image: /cover.png, alt: A kite}\n---\n![Beside](beside.png)\n",
	} {
		path := filepath.Join(site, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type post struct {
		Title, BodyMarkdown string
		Cover               struct{ URL, Alt string }
	}
	imported := func(options ...string) (*process, post) {
		t.Helper()
		data := t.TempDir()
		p := serve(t, environ{"STOA_DATA": data})
		run := run(t, environ{"STOA_DATA": data}, append([]string{"import", "markdown", filepath.Join(site, "content")}, options...)...)
		if code := run.exitCode(t); code != 0 {
			t.Fatalf("%v: exit code %d\n%s%s", options, code, run.stdout, run.stderr)
		}
		var out struct{ Article post }
		p.Data(t, &out, `{ article(slug: "post") { title bodyMarkdown cover { url alt } } }`, nil)
		return p, out.Article
	}
	p, a := imported()
	body := regexp.MustCompile(`^!\[Beside\]\((/media/\S+)\)\n$`).FindStringSubmatch(a.BodyMarkdown)
	if body == nil || !strings.HasPrefix(a.Cover.URL, "/media/") || a.Cover.URL == body[1] || a.Cover.Alt != "A kite" || a.Title != "Kites 🎉" {
		t.Fatalf("imported: %+v", a)
	}
	for _, address := range []string{body[1], a.Cover.URL} {
		if status, _ := p.get(t, address, ""); status != 200 {
			t.Errorf("%s answers %d", address, status)
		}
	}
	if _, a := imported("--no-media"); a.BodyMarkdown != "![Beside](beside.png)\n" || a.Cover.URL != "/cover.png" {
		t.Errorf("left where they are: %+v", a)
	}
}

// chronicle writes a folder of n files that share tags, authors and slugs.
func chronicle(t *testing.T, n int) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "chronicle")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		text := fmt.Sprintf("---\ntitle: Day %d\nslug: day-%d\ndate: %s\nauthors: [Author %d, Author %d]\ntags: [Tag %d, Tag %d]\n---\nWhat happened on day %d.\n",
			i, i%(n-n/8), time.Date(2020, 1, 1+i, 8, 0, 0, 0, time.UTC).Format(time.RFC3339), i%5, (i+2)%5, i%7, (i+3)%11, i)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("day-%03d.md", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// correct changes every third file of a chronicle: its tags, and the text of some.
func correct(t *testing.T, folder string, n int) {
	t.Helper()
	for i := 0; i < n; i += 3 {
		path := filepath.Join(folder, fmt.Sprintf("day-%03d.md", i))
		rewrite(t, path, "tags: [Tag", "tags: [Later")
		if i%2 == 0 {
			rewrite(t, path, "happened", "really happened")
		}
	}
}

// killImports starts imports of a folder and kills each somewhere on its way, the later
// ones later, until one was faster. It says how many were killed.
func killImports(t *testing.T, data, folder string, took time.Duration, rounds int) (killed int) {
	t.Helper()
	for i := range rounds {
		p := launch(t, environ{"STOA_DATA": data}, "import", "markdown", folder)
		longest := took * time.Duration(i+2) / time.Duration(rounds+1)
		select {
		case <-p.ended:
			if code := p.exitCode(t); code != 0 {
				t.Fatalf("an import that nobody killed failed with %d\n%s%s", code, p.stdout, p.stderr)
			}
			return killed
		case <-time.After(longest/2 + rand.N(longest/2)):
			p.kill(t)
			killed++
		}
	}
	return killed
}

func TestAKilledImportCanBeRepeated(t *testing.T) {
	const n = 80
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	calm, folder := t.TempDir(), chronicle(t, n)
	if _, err := build(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	importInto(t, calm, folder, 0, counts{Created: n})
	took := time.Since(began)
	corrected := chronicle(t, n)
	correct(t, corrected, n)
	p := serve(t, environ{"STOA_DATA": calm})
	first := readEverything(t, p.Stoa)
	importInto(t, calm, corrected, 0, counts{Updated: (n + 2) / 3, Unchanged: n - (n+2)/3})
	second := readEverything(t, p.Stoa)
	p.stop(t)

	for _, served := range []bool{false, true} {
		t.Run(map[bool]string{false: "Alone", true: "WhileAServerRuns"}[served], func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			var p *process
			if served {
				p = serve(t, environ{"STOA_DATA": data})
			}
			for _, step := range []struct {
				folder string
				want   everything
			}{{folder, first}, {corrected, second}} {
				killed := killImports(t, data, step.folder, took, rounds)
				final := run(t, environ{"STOA_DATA": data}, "import", "markdown", step.folder)
				c := final.counts(t)
				if final.exitCode(t) != 0 || c.Created+c.Updated+c.Unchanged != n {
					t.Fatalf("after %d kills: exit code %d, %+v\n%s", killed, final.exitCode(t), c, final.stderr)
				}
				t.Logf("%d of at most %d imports were killed; one takes %s; the last one's table was %+v", killed, rounds, took, c)
				if !served {
					p = serve(t, environ{"STOA_DATA": data})
				}
				if diff := cmp.Diff(step.want, readEverything(t, p.Stoa)); diff != "" {
					t.Errorf("killed and repeated, it differs from one that wasn't: %s", diff)
				}
				if !served {
					p.stop(t)
				}
			}
		})
	}

	t.Run("WhileItRelates", func(t *testing.T) {
		t.Parallel()
		data := t.TempDir()
		importInto(t, data, folder, 0, counts{Created: n})
		p := serve(t, environ{"STOA_DATA": data})
		importing := launch(t, environ{"STOA_DATA": data}, "import", "markdown", corrected)
		stoatest.Await(t, 20*time.Second, "the last article that changes", func() bool {
			var out struct {
				Article struct{ Tags []stoatest.Slugged }
			}
			p.Data(t, &out, `{ article(slug: "day-8-2") { tags { slug } } }`, nil)
			return slices.Contains(out.Article.Tags, stoatest.Slugged{Slug: "later-1"})
		})
		importing.kill(t)
		importInto(t, data, corrected, 0, counts{Unchanged: n})
		if diff := cmp.Diff(second, readEverything(t, p.Stoa)); diff != "" {
			t.Errorf("killed and repeated, it differs from one that wasn't: %s", diff)
		}
	})
}

func TestAServerThatIsKilledDuringAnImportLeavesItRepeatable(t *testing.T) {
	t.Parallel()
	const n = 40
	data, folder := t.TempDir(), chronicle(t, n)
	p := serve(t, environ{"STOA_DATA": data})
	importing := launch(t, environ{"STOA_DATA": data}, "import", "markdown", folder)
	stoatest.Await(t, 20*time.Second, "some articles", func() bool { return len(p.titles(t)) > 5 })
	p.kill(t)
	if code := importing.exitCode(t); code != 1 {
		t.Fatalf("the import's exit code is %d\n%s%s", code, importing.stdout, importing.stderr)
	}
	if text := importing.stderr.String(); !strings.Contains(text, "stoa: import chronicle") {
		t.Errorf("it says %s", text)
	}
	if c := importing.counts(t); c.Created == 0 || c.NotReached == 0 {
		t.Errorf("the table doesn't say what was done and what wasn't: %+v", c)
	}
	p = serve(t, environ{"STOA_DATA": data})
	final := run(t, environ{"STOA_DATA": data}, "import", "markdown", folder)
	if c := final.counts(t); final.exitCode(t) != 0 || c.Created+c.Unchanged != n {
		t.Errorf("repeated: exit code %d, %+v\n%s", final.exitCode(t), c, final.stderr)
	}
	if got := len(readEverything(t, p.Stoa).Articles); got != n {
		t.Errorf("there are %d articles, want %d", got, n)
	}
}

func TestAnInterruptedImportSaysWhatItDidAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	const n = 120
	data, folder := t.TempDir(), chronicle(t, n)
	p := serve(t, environ{"STOA_DATA": data})
	importing := launch(t, environ{"STOA_DATA": data}, "import", "markdown", folder)
	stoatest.Await(t, 20*time.Second, "some articles", func() bool { return len(p.titles(t)) > 2 })
	importing.signal(t, syscall.SIGINT)
	if code := importing.exitCode(t); code != 1 {
		t.Fatalf("the exit code is %d\n%s%s", code, importing.stdout, importing.stderr)
	}
	done := importing.counts(t)
	if done.Created == 0 || done.NotReached == 0 || done.Created+done.NotReached != n || done.Failed != 0 {
		t.Errorf("the table has %+v", done)
	}
	importInto(t, data, folder, 0, counts{Created: n - done.Created, Unchanged: done.Created})
}

func TestRealBlogsAreImportedWhileTheServerAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	cases := map[string]struct {
		folder          string
		created, drafts int
		skipped         int
	}{
		"Hugo":     {"blog-a", 276, 78, 1},
		"Zola":     {"blog-b-toml", 109, 0, 0},
		"Hashnode": {"blog-c-hashnode", 1, 0, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, data := stoatest.RealData(t, c.folder), t.TempDir()
			p := serve(t, environ{"STOA_DATA": data, "STOA_DEMO": "on"})
			demo := len(p.titles(t))

			queries := []string{
				`{ articles(first: 20) { nodes { title author { name } tags { name articleCount } } } }`,
				`{ tags(first: 50) { nodes { name articles(first: 3) { nodes { title next { slug } } } } } }`,
				`{ authors(first: 100) { nodes { name articleCount } } article(slug: "example") { bodyHtml related { title } } }`,
			}
			stop, failed, asked := make(chan struct{}), make(chan error, 1), 0
			go func() {
				defer close(failed)
				tick := time.NewTicker(150 * time.Millisecond)
				defer tick.Stop()
				for ; ; asked++ {
					a, err := p.Ask(queries[asked%len(queries)], nil)
					if err == nil && (a.Status != 200 || len(a.Errors) > 0) {
						err = fmt.Errorf("status %d: %s", a.Status, a.Raw)
					}
					if err != nil {
						failed <- err
						return
					}
					select {
					case <-stop:
						return
					case <-tick.C:
					}
				}
			}()
			began := time.Now()
			first := importInto(t, data, folder, 0, counts{Created: c.created, Skipped: c.skipped})
			took := time.Since(began)
			close(stop)
			for err := range failed {
				t.Errorf("while it was imported, a request failed: %v", err)
			}
			t.Logf("%d files in %s, while %d requests were answered", c.created+c.skipped, took.Round(time.Millisecond), asked)
			if said := fmt.Sprintf("Drafts among these: %d.", c.drafts); c.drafts > 0 && !strings.Contains(first.stdout.String(), said) {
				t.Errorf("the report doesn't say %q", said)
			}

			before := readEverything(t, p.Stoa)
			if got := len(before.Articles) - demo; got != c.created-c.drafts {
				t.Errorf("%d articles are published, want %d", got, c.created-c.drafts)
			}
			importInto(t, data, folder, 0, counts{Unchanged: c.created, Skipped: c.skipped})
			if diff := cmp.Diff(before, readEverything(t, p.Stoa)); diff != "" {
				t.Errorf("importing again changed: %s", diff)
			}
		})
	}
}
