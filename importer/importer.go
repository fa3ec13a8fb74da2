// Package importer brings what other systems wrote into Stoa: a folder of Markdown
// with front matter, as Hugo, Jekyll, Zola and Hashnode keep it, becomes articles.
//
// It has two layers. Reading walks a folder and turns one file into one article, a skip
// by a stated rule, or a failure with its line and reason; it touches nothing but the
// folder. Running hands what was read to the blog in batches and counts what came of each
// file. Entry points: Markdown, Identity and the methods of Report.
//
// It may import blog, store, id and problem.
//
// # Which files
//
// Files that end in .md, .markdown, .mdown or .mkd are read. Skipped, and counted as such:
// every other file, section pages (_index.md), index.md at the top, files whose name
// begins with a dot, symbolic links, empty files, and without front matter README,
// LICENSE and their like, and what lies beside an index.md. Folders whose name begins
// with a dot, and node_modules, aren't entered. A file over 4 MiB, one that isn't UTF-8,
// and one whose front matter doesn't end or can't be read, fail.
//
// # Front matter
//
// YAML between --- and --- or ..., TOML between +++ and +++, or one JSON object; blank
// lines and a byte order mark in front of it, CRLF, and tabs that indent YAML are put up
// with. A file without front matter is a post all the same. Keys are the same in any
// case. Of a YAML or JSON key that stands twice the last value counts; in TOML it is a
// failure, as it is to every program that reads TOML. What counts for an article, the
// first that has a value:
//
//   - Title: title; the first heading, which then leaves the text; seoTitle; the slug or
//     the file's name.
//   - Slug: slug; the end of path, permalink or url; the file's name without its day (of
//     a page bundle, the folder's); the title. Lower-case, accents folded, at most 100
//     characters. It isn't made unique here: the blog does that.
//   - Aliases: the ends of aliases, alias and redirect_from, and whatever of the above was
//     not taken or had to be changed, as it was written.
//   - PublishedAt: datePublished, publishDate, published_at, pubdate, published, date; the
//     day in the file's name; in path, permalink or url; in the folders. Without an offset
//     it is UTC. Without any date the article is a draft.
//   - UpdatedAt: lastmod, updated, updated_at, dateUpdated, last_modified_at,
//     last_modified, modified.
//   - Draft: draft, published: false, a status of draft, pending, private or hidden, a
//     folder of drafts, weight 0, or an expirydate that has passed.
//   - Summary: summary, description, deck, excerpt, seoDescription, subtitle, as plain text.
//   - Authors: authors, author, [extra] authors. Names in one text are taken apart at
//     commas, semicolons and "and". The slug ada-lovelace becomes the name Ada Lovelace.
//   - Tags: tags, tag, topics, categories, category, and those under [taxonomies].
//   - Cover: cover, image, featured_image, feature_image, primary_image, banner, thumbnail,
//     header, images, [extra] cover or image; only a URL or a path.
//
// Keys that go nowhere are counted in the report.
//
// # Text
//
// Shortcodes (Hugo's and Zola's) and Liquid (Jekyll's) become Markdown that says the
// same: pictures, links to videos and posts elsewhere, quotations, buttons, files, and
// links to other pages, which for a post of the same folder are its slug alone. Boxes,
// and pairs that aren't known, leave what is inside. Single ones that aren't known are
// left out, with a note. Frames, films and sounds become links, because Stoa's pages load
// nothing of other sites but pictures. Code that is fenced or in backticks is never touched. A file
// without text that says where its text is (source_url, redirectto, canonical) becomes a
// link to there.
package importer

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stoa/blog"
)

// Options say what is imported, and where to.
type Options struct {
	// FS is the folder. os.OpenRoot(dir) and its FS method give one that no symbolic
	// link leads out of.
	FS fs.FS

	// Name is the folder's identity: the first part of every Source, by which an
	// article is found again when the folder is imported again. Identity makes one.
	Name string

	// DryRun says that Import writes nothing, so that the report can say so.
	DryRun bool

	// Import takes articles in order: the method Add of a blog.Importing.
	Import func(context.Context, []blog.Import) ([]blog.Outcome, error)

	// Out is where progress goes: a bar when it is a terminal, a line now and then when
	// it isn't, nothing when it is nil. The report isn't written to it.
	Out io.Writer
}

// batchFiles and batchBytes bound one call of Options.Import. Twenty keep the bar moving
// on a database that takes 40 ms per write (the embedded one at 1,000 articles); the
// bytes keep a batch below what one MongoDB message may hold (48 MB).
const (
	batchFiles = 20
	batchBytes = 8 << 20
)

// Markdown imports a folder and reports what came of every file in it. Files are taken
// in the order of their paths, so a repeated run asks for the same slugs in the same
// order; a run that was killed can simply be repeated.
//
// A file that can't be read is a failure in the report, not an error. The error is for
// what ends the run early: the context, or the blog refusing a whole batch. The report
// then still says what was done, and how many files weren't reached.
func Markdown(ctx context.Context, o Options) (Report, error) {
	return markdown(ctx, o, time.Now)
}

func markdown(ctx context.Context, o Options, clock func() time.Time) (Report, error) {
	r := run{options: o, progress: newProgress(o.Out, clock), report: Report{Name: o.Name, DryRun: o.DryRun}}
	defer r.progress.clear()
	files, err := walk(ctx, o.FS)
	if err != nil {
		return r.report, err
	}
	r.files = files
	r.read = newReader(o.Name, clock())
	err = r.all(ctx)
	r.report.finish(len(slices.DeleteFunc(slices.Clone(files), func(f file) bool { return f.folder })))
	return r.report, err
}

// run is one import under way.
type run struct {
	options  Options
	files    []file
	read     *reader
	progress *progress
	report   Report

	batch      []blog.Import
	batchPaths []string
	batchSize  int
	wanted     map[string]string // slug → the first path that wants it
}

// all goes through the files twice: once for the slugs, so that a link from one post to
// another can be written whatever their order, and once for the articles. Only slugs are
// kept from the first time, so memory doesn't grow with the size of the posts.
func (r *run) all(ctx context.Context) error {
	for _, f := range r.files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("import %s: %w", r.options.Name, err)
		}
		if f.markdown() {
			r.read.learn(f, r.options.FS)
		}
	}
	r.wanted = map[string]string{}
	r.progress.start(len(r.files))
	for i, f := range r.files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("import %s: %w", r.options.Name, err)
		}
		if err := r.one(ctx, f); err != nil {
			return err
		}
		r.progress.step(i + 1 - len(r.batch))
	}
	return r.flush(ctx)
}

// one reads a file and counts it, or adds it to the batch, which counts it later.
func (r *run) one(ctx context.Context, f file) error {
	switch {
	case f.err != nil:
		r.report.fail(f.path, 0, f.err.Error())
		return nil
	case f.folder:
		r.report.note(f.path, note{rule: f.rule})
		return nil
	case f.rule != "":
		r.report.skip(f.path, f.rule)
		return nil
	}
	data, err := f.read(r.options.FS)
	if err != nil {
		r.report.fail(f.path, 0, err.Error())
		return nil
	}
	p, err := r.read.parse(f, data)
	if err != nil {
		r.report.failed(f.path, err)
		return nil
	}
	if p.skip != "" {
		r.report.skip(f.path, p.skip)
		return nil
	}
	r.report.unused(p.unused)
	for _, n := range p.notes {
		r.report.note(f.path, n)
	}
	if first, taken := r.wanted[p.article.Slug]; taken {
		r.report.note(f.path, note{line: p.slugLine, rule: noteSlugTaken, detail: fmt.Sprintf("%s, as %s", p.article.Slug, first)})
	} else {
		r.wanted[p.article.Slug] = f.path
	}
	r.batch = append(r.batch, p.article)
	r.batchPaths = append(r.batchPaths, f.path)
	r.batchSize += len(p.article.Markdown)
	if len(r.batch) >= batchFiles || r.batchSize >= batchBytes {
		return r.flush(ctx)
	}
	return nil
}

// flush hands the batch over and counts what came of it.
func (r *run) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	outcomes, err := r.options.Import(ctx, r.batch)
	if err == nil && len(outcomes) != len(r.batch) {
		err = fmt.Errorf("%d outcomes for %d articles", len(outcomes), len(r.batch))
	}
	for i, o := range outcomes[:min(len(outcomes), len(r.batch))] {
		r.report.count(r.batchPaths[i], r.batch[i].Draft, o)
	}
	if err != nil {
		return fmt.Errorf("import %s, from %s on: %w", r.options.Name, r.batchPaths[0], err)
	}
	r.batch, r.batchPaths, r.batchSize = nil, nil, 0
	return nil
}

// Identity returns the name under which the articles of a folder are remembered: the
// folder's own name, with the names above it while it is one that every blog has
// (content, posts), so that two blogs aren't taken for one. It is the same wherever the
// folder's parent is moved to. Two folders with one name need names of their own.
func Identity(dir string) (string, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("identity of %s: %w", dir, err)
	}
	parts := strings.FieldsFunc(filepath.ToSlash(absolute), func(c rune) bool { return c == '/' })
	if len(parts) == 0 {
		return "root", nil
	}
	from := len(parts) - 1
	for from > 0 && slices.Contains(everyBlogs, strings.ToLower(parts[from])) {
		from--
	}
	return strings.ToValidUTF8(strings.Join(parts[from:], "/"), "-"), nil
}

// everyBlogs are the folder names that Hugo, Jekyll, Zola, Astro and Eleventy give to
// posts, or that their users do by habit.
var everyBlogs = []string{"content", "contents", "posts", "post", "_posts", "blog", "blogs", "articles", "news", "pages", "docs", "src", "data"}
