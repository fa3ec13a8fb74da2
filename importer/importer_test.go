package importer

// Whole imports: a folder of awkward files beside its golden file, repeated and interrupted runs,
// unreadable files.

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"stoa/blog"
	"stoa/store"
)

// today is the time of the imports in tests, so that the expiry of a post doesn't depend on the
// day.
var today = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return today }

// shelf takes the blog's place: it stores the articles it is given, by source.
type shelf struct {
	articles map[string]blog.Import
	batches  []int
	order    []string
	refuse   map[string]error // by source
	breakAt  int              // the number of the batch, from 1, that loses the database after its first article
}

var errGone = errors.New("the database went away")

func (s *shelf) take(_ context.Context, batch []blog.Import) ([]blog.Outcome, error) {
	if s.articles == nil {
		s.articles = map[string]blog.Import{}
	}
	s.batches = append(s.batches, len(batch))
	var out []blog.Outcome
	for _, a := range batch {
		if s.breakAt == len(s.batches) && len(out) > 0 {
			return out, errGone
		}
		o := blog.Outcome{Source: a.Source, Status: blog.Created, Err: s.refuse[a.Source]}
		if before, found := s.articles[a.Source]; found {
			o.Status = blog.Updated
			if before.Digest == a.Digest {
				o.Status = blog.Unchanged
			}
		}
		if o.Err != nil {
			o.Status = blog.Failed
		} else {
			s.articles[a.Source] = a
			s.order = append(s.order, a.Source)
		}
		out = append(out, o)
	}
	return out, nil
}

func importAll(t *testing.T, s *shelf, fsys fs.FS, name string) Report {
	t.Helper()
	report, err := markdown(t.Context(), Options{FS: fsys, Name: name, Import: s.take}, clock)
	if err != nil {
		t.Fatalf("import %s: %v", name, err)
	}
	checkSum(t, report)
	return report
}

func checkSum(t *testing.T, r Report) {
	t.Helper()
	if sum := r.Created + r.Updated + r.Unchanged + r.Skipped + r.Failed + r.Unreached; sum != r.Files {
		t.Errorf("%d of %d files are in the counts: %+v", sum, r.Files, r)
	}
}

// TestSite imports testdata/site, with one awkward thing a file, and compares the report and every
// article with testdata/site.golden. UPDATE=1 rewrites it.
func TestSite(t *testing.T) {
	var s shelf
	report := importAll(t, &s, os.DirFS("testdata/site"), "site")
	var got bytes.Buffer
	fmt.Fprint(&got, "Every file of testdata/site: the table, all entries, all articles.\n\n")
	if err := report.Table(&got); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(&got, "\n----------\n\n")
	if err := report.List(&got); err != nil {
		t.Fatal(err)
	}
	for _, source := range s.order {
		write(&got, s.articles[source])
	}
	const golden = "testdata/site.golden"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("testdata/site is read differently (-want +got):\n%s", diff)
	}
	if onDisk := countFiles(t, "testdata/site"); onDisk != report.Files {
		t.Errorf("%d files on disk, %d in the report", onDisk, report.Files)
	}
}

func countFiles(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// write prints an article. Times have their zone, to show one that isn't UTC.
func write(out *bytes.Buffer, a blog.Import) {
	fmt.Fprintf(out, "\n---------- %s\n", a.Source)
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format("2006-01-02 15:04:05 MST")
	}
	names := func(names []blog.ImportName) string {
		var all []string
		for _, n := range names {
			all = append(all, n.Slug+" = "+n.Name)
		}
		return strings.Join(all, ", ")
	}
	draft := ""
	if a.Draft {
		draft = "yes"
	}
	for _, row := range [][2]string{
		{"slug", a.Slug}, {"title", a.Title}, {"summary", a.Summary}, {"authors", names(a.Authors)}, {"tags", names(a.Tags)},
		{"published", when(a.PublishedAt)}, {"updated", when(a.UpdatedAt)}, {"draft", draft}, {"cover", strings.ReplaceAll(coverText(a.Cover), "\n", ", ")},
		{"aliases", strings.Join(a.Aliases, ", ")},
	} {
		if row[1] != "" {
			fmt.Fprintf(out, "%s: %s\n", row[0], row[1])
		}
	}
	fmt.Fprintf(out, "\n%s", a.Markdown)
}

// post is a file with valid front matter, and body.
func post(body string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("---\ntitle: Post\ndate: 2024-01-01\nauthor: ada\n---\n" + body)}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	cases := map[string]struct {
		reason string
		data   string
		want   string
	}{
		"Latin1":      {"a byte that isn't UTF-8 is shown with its line, not guessed at", "---\ntitle: x\n---\ncaf\xe9\n", "x.md:4: failed: byte 0xE9 isn't UTF-8: save the file as UTF-8"},
		"UTF16":       {"UTF-16 is named, since editors on Windows write it", "\xff\xfe-\x00-\x00-\x00", "x.md:1: failed: the file is UTF-16: save it as UTF-8"},
		"NUL":         {"a binary file with the wrong extension is no article", "---\ntitle: x\n---\n\x00", "x.md:4: failed: a NUL byte: this isn't text"},
		"TooLarge":    {"the limit is named", strings.Repeat("x", maxFile+1), "x.md: failed: larger than 4 MiB"},
		"AnchorBomb":  {"references to references stay small", "---\na: &a [" + strings.Repeat("x,", 99) + "x]\nb: &b [" + strings.Repeat("*a,", 99) + "*a]\nc: [" + strings.Repeat("*b,", 99) + "*b]\n---\n", "x.md:1: failed: front matter holds more than 10000 values"},
		"AnchorLoop":  {"nor does one to itself go on for ever", "---\na: &a [*a, *a]\ndate: x\n---\n", "x.md:3: failed: date is \"x\": no date that is understood: write year-month-day, such as 2024-07-09 or 2024-07-09T15:04:05Z"},
		"Unquoted":    {"the usual mistake comes with its cure", "---\ndate: 2024-01-01\ntitle: Go: good\n---\n", "x.md:3: failed: front matter isn't YAML: mapping values are not allowed in this context (text with a colon or a quotation mark in it needs quotation marks around it)"},
		"OpenQuote":   {"the line is that of the quotation mark, not of the end", "---\ntitle: \"open\ndate: 2024-01-01\n---\n", "x.md:2: failed: front matter isn't YAML: found unexpected end of stream, while scanning a quoted scalar"},
		"TOMLTwice":   {"TOML itself forbids a key to stand twice", "+++\ntitle = 'a'\ntitle = 'b'\n+++\n", "x.md:3: failed: front matter isn't TOML: key title is already defined"},
		"JSONNoEnd":   {"the line is that of the brace", "\n{\n\"title\": \"x\",\n", "x.md:2: failed: front matter begins here and doesn't end: its braces don't close"},
		"Unterm":      {"the line is that of the opening fence", "\n\n+++\ntitle = 'a'\n", "x.md:3: failed: front matter begins here and doesn't end: no line with only +++ follows"},
		"ZoneUnknown": {"a zone that is several zones isn't guessed", "---\ndate: 2024-01-01 10:00 IST\n---\n", `x.md:2: failed: date is "2024-01-01 10:00 IST": time zone "IST" isn't an offset such as +01:00`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			report := importAll(t, &shelf{}, fstest.MapFS{"x.md": {Data: []byte(c.data)}}, "folder")
			if report.Failed != 1 || len(report.Entries) != 1 || report.Entries[0].String() != c.want {
				t.Errorf("%s:\n got %v\nwant %s", c.reason, report.Entries, c.want)
			}
		})
	}
}

func TestSymbolicLinksAreNotFollowed(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.md")
	if err := os.WriteFile(outside, []byte("---\ntitle: Secret\n---\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for link, target := range map[string]string{"file.md": outside, "folder": filepath.Dir(outside)} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	report := importAll(t, &shelf{}, os.DirFS(dir), "folder")
	if report.Skipped != 2 || report.Entries[0].Rule != skipLink || report.Entries[1].Rule != skipLink {
		t.Errorf("links are skipped by their rule: %+v", report)
	}
}

// brokenFS fails to open one path, as a broken disk or a missing permission would.
type brokenFS struct {
	fstest.MapFS
	path string
}

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == b.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return b.MapFS.Open(name)
}

func (b brokenFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == b.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return b.MapFS.ReadDir(name)
}

func TestWhatCannotBeOpenedIsAFailureAndTheRestGoesOn(t *testing.T) {
	files := fstest.MapFS{"a.md": post("A"), "b/c.md": post("C"), "d.md": post("D")}
	for _, path := range []string{"a.md", "b"} {
		var s shelf
		report := importAll(t, &s, brokenFS{files, path}, "folder")
		if report.Failed != 1 || report.Created != 2 || report.Entries[0].Path != path || report.Entries[0].Kind != EntryFailed {
			t.Errorf("without %s: %+v", path, report)
		}
	}
	if _, err := markdown(t.Context(), Options{FS: brokenFS{files, "."}, Name: "folder", Import: (&shelf{}).take}, clock); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a folder that can't be listed is an error, got %v", err)
	}
}

func TestFoldersThatHoldNoPostsAreNotEntered(t *testing.T) {
	report := importAll(t, &shelf{}, fstest.MapFS{".git/x.md": post(""), "node_modules/p/readme.md": post(""), "a.md": post("A")}, "folder")
	if report.Files != 1 || report.Created != 1 {
		t.Errorf("one file is seen: %+v", report)
	}
	for i, path := range []string{".git", "node_modules"} {
		if e := report.Entries[i]; e.Path != path || e.Rule != noteFolder {
			t.Errorf("%s is noted: %v", path, e)
		}
	}
}

func many(n int) fstest.MapFS {
	files := fstest.MapFS{}
	for i := range n {
		files[fmt.Sprintf("%03d.md", i)] = post(fmt.Sprintf("Number %d, see [next]({{< ref \"%03d.md\" >}}).", i, i+1))
	}
	return files
}

func TestBatchesAreInOrderAndBounded(t *testing.T) {
	var s shelf
	importAll(t, &s, many(2*batchFiles+1), "folder")
	if want := []int{batchFiles, batchFiles, 1}; !slices.Equal(s.batches, want) {
		t.Errorf("batches of %v, want %v", s.batches, want)
	}
	if !slices.IsSorted(s.order) {
		t.Errorf("out of order: %v", s.order)
	}
	if got := s.articles["folder/000.md"].Markdown; !strings.Contains(got, "[next](001)") {
		t.Errorf("a link to a later file is resolved: %s", got)
	}

	large := fstest.MapFS{}
	for i := range 4 {
		large[fmt.Sprintf("%d.md", i)] = post(strings.Repeat("word ", 3<<20/5))
	}
	s = shelf{}
	importAll(t, &s, large, "folder")
	if want := []int{3, 1}; !slices.Equal(s.batches, want) {
		t.Errorf("batches of %v, want %v: three times 3 MiB are more than %d bytes", s.batches, want, batchBytes)
	}
}

func TestImportingAgainChangesOnlyWhatChanged(t *testing.T) {
	var s shelf
	site := os.DirFS("testdata/site")
	first := importAll(t, &s, site, "site")
	second := importAll(t, &s, site, "site")
	if second.Created != 0 || second.Updated != 0 || second.Unchanged != first.Created {
		t.Errorf("again: %+v, want %d unchanged", second, first.Created)
	}

	files := many(3)
	s = shelf{}
	importAll(t, &s, files, "folder")
	files["001.md"].Data = bytes.ReplaceAll(files["001.md"].Data, []byte("\n"), []byte("\r\n"))
	files["002.md"].Data = bytes.ReplaceAll(files["002.md"].Data, []byte("Number"), []byte("No."))
	report := importAll(t, &s, files, "folder")
	if report.Unchanged != 2 || report.Updated != 1 {
		t.Errorf("line ends say nothing, words do: %+v", report)
	}
}

func TestEveryFieldIsInTheDigest(t *testing.T) {
	base := blog.Import{Source: "a"}
	same := base
	same.Source = "b"
	if digest(base) != digest(same) {
		t.Error("the source isn't part of what the file says")
	}
	for name, change := range map[string]func(*blog.Import){
		"Slug":        func(a *blog.Import) { a.Slug = "x" },
		"Title":       func(a *blog.Import) { a.Title = "x" },
		"Summary":     func(a *blog.Import) { a.Summary = "x" },
		"Markdown":    func(a *blog.Import) { a.Markdown = "x" },
		"Authors":     func(a *blog.Import) { a.Authors = []blog.ImportName{{Slug: "x", Name: "y"}} },
		"AuthorNames": func(a *blog.Import) { a.Authors = []blog.ImportName{{Slug: "x", Name: "z"}} },
		"Tags":        func(a *blog.Import) { a.Tags = []blog.ImportName{{Slug: "x", Name: "y"}} },
		"PublishedAt": func(a *blog.Import) { a.PublishedAt = today },
		"UpdatedAt":   func(a *blog.Import) { a.UpdatedAt = today },
		"Draft":       func(a *blog.Import) { a.Draft = true },
		"Cover":       func(a *blog.Import) { a.Cover = &store.Image{URL: "x"} },
		"Aliases":     func(a *blog.Import) { a.Aliases = []string{"x"} },
	} {
		changed := base
		change(&changed)
		if digest(changed) == digest(base) {
			t.Errorf("a change of %s goes unseen", name)
		}
	}
}

func TestAnImportThatDiedCanBeRepeated(t *testing.T) {
	files := many(3 * batchFiles)
	var whole shelf
	importAll(t, &whole, files, "folder")

	dying := shelf{breakAt: 2}
	report, err := markdown(t.Context(), Options{FS: files, Name: "folder", Import: dying.take}, clock)
	checkSum(t, report)
	if !errors.Is(err, errGone) || report.Created != batchFiles+1 || report.Unreached != 2*batchFiles-1 {
		t.Fatalf("cut short: %+v, %v", report, err)
	}
	dying.breakAt = 0
	again := importAll(t, &dying, files, "folder")
	if again.Unchanged != batchFiles+1 || again.Created != 2*batchFiles-1 {
		t.Errorf("repeated: %+v", again)
	}
	if diff := gocmp.Diff(whole.articles, dying.articles); diff != "" {
		t.Errorf("the repeated import differs from one in one go:\n%s", diff)
	}
}

func TestOneRefusalDoesNotStopTheOthers(t *testing.T) {
	s := shelf{refuse: map[string]error{"folder/001.md": errors.New("the text has 2097152 bytes, more than the 1048576 that are allowed")}}
	report := importAll(t, &s, many(3), "folder")
	if report.Failed != 1 || report.Created != 2 {
		t.Errorf("%+v", report)
	}
	want := "001.md: failed: the text has 2097152 bytes, more than the 1048576 that are allowed"
	if got := report.Entries[0].String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOutcomesThatAreMissingAreAnError(t *testing.T) {
	report, err := markdown(t.Context(), Options{FS: many(2), Name: "folder", Import: func(context.Context, []blog.Import) ([]blog.Outcome, error) { return nil, nil }}, clock)
	checkSum(t, report)
	if err == nil || report.Unreached != 2 {
		t.Errorf("no outcome for two articles: %+v, %v", report, err)
	}
}

func TestACancelledImportStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var s shelf
	report, err := markdown(ctx, Options{FS: many(3 * batchFiles), Name: "folder", Import: func(ctx context.Context, batch []blog.Import) ([]blog.Outcome, error) {
		defer cancel()
		return s.take(ctx, batch)
	}}, clock)
	checkSum(t, report)
	if !errors.Is(err, context.Canceled) || report.Created != batchFiles || report.Unreached != 2*batchFiles {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestTableOfADryRun(t *testing.T) {
	report, err := markdown(t.Context(), Options{FS: many(1), Name: "folder", DryRun: true, Import: (&shelf{}).take}, clock)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := report.Table(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "folder: 1 file (dry run: nothing was written)\n") {
		t.Errorf("the table says that nothing was written:\n%s", &out)
	}
}

func TestIdentity(t *testing.T) {
	cases := map[string]struct{ reason, dir, want string }{
		"Own":     {"a name that says which blog", "/home/ada/engine-notes", "engine-notes"},
		"Generic": {"names that every blog has are no identity", "/home/ada/engine-notes/content/posts/", "engine-notes/content/posts"},
		"Case":    {"in any case", "/srv/Engine/_Posts", "Engine/_Posts"},
		"OnlyOne": {"there is nothing above", "/content", "content"},
		"Root":    {"the root has no name", "/", "root"},
	}
	for name, c := range cases {
		got, err := Identity(filepath.FromSlash(c.dir))
		if err != nil || got != c.want {
			t.Errorf("%s: %s: got %s, %v, want %s", name, c.reason, got, err, c.want)
		}
	}
}

func TestTerminalsAreNotAtTheMercyOfNames(t *testing.T) {
	report := importAll(t, &shelf{}, fstest.MapFS{"\x1b[2Jx.md": {Data: []byte("---\ndate: \"\\e[2J\"\n---\n")}}, "folder")
	var out bytes.Buffer
	if err := cmp.Or(report.Table(&out), report.List(&out)); err != nil {
		t.Fatal(err)
	}
	if report.Failed != 1 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("an escape sequence reaches the terminal: %q", out.String())
	}
}
