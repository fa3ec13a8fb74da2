// Package importer imports the content of other systems: a folder of Markdown with front
// matter, as Hugo, Jekyll, Zola and Hashnode have it, becomes articles.
//
// It has two layers. Reading walks a folder and turns one file into one article, a skip
// by a stated rule, or a failure with its line and reason; it touches nothing but the
// folder. Running hands the articles to the blog in batches and counts the outcomes of the
// files. Entry points: Markdown, Identity and the methods of Report.
//
// It may import blog, store, id and problem.
//
// # Files
//
// Files that end in .md, .markdown, .mdown, .mkd or .mdx are read. Skipped, and counted as such:
// every other file, section pages (_index.md), index.md at the top, files with a name
// that begins with a dot, symbolic links, empty files, README, LICENSE and their like
// without front matter, and all files beside an index.md. Folders with a name that begins
// with a dot, and node_modules, aren't entered. A file fails if it is over 4 MiB, isn't
// UTF-8, or has front matter that doesn't end or can't be read.
//
// The configuration of the site that the folder belongs to is read, too, if FindSite finds it:
// it may say that there are formulas or codes for emoji, which languages there are, and front
// matter for whole folders.
//
// # Front matter
//
// YAML between --- and --- or ..., TOML between +++ and +++, or one JSON object. Accepted
// without complaint: blank lines and a byte order mark in front of it, CRLF, and tabs that
// indent YAML. A file without front matter is a post all the same. The case of keys is
// ignored. Of a YAML or JSON key that stands twice the last value counts; in TOML it is a
// failure, as in every program that reads TOML. Hugo's cascade of the sections above, and
// Jekyll's defaults, add the keys that a file lacks. An article has these fields, each from the
// first source with a value:
//
//   - Title: title; the first heading, which then leaves the text; seoTitle; the slug or
//     the file's name.
//   - Slug: slug; the end of path, permalink or url; the file's name without its day (of
//     a page bundle, the folder's); the title. Lower-case, accents folded, at most 100
//     characters. A translation with the slug of its original gets its language behind it. It
//     isn't made unique here: the blog does that.
//   - Aliases: the ends of aliases, alias and redirect_from, and every source of the slug
//     that wasn't taken or had to be changed, in its original spelling.
//   - PublishedAt: datePublished, publishDate, published_at, pubdate, published, date; the
//     day in the file's name; in path, permalink or url; in the folders. Without an offset
//     it is UTC. Without any date the article is a draft.
//   - UpdatedAt: lastmod, updated, updated_at, dateUpdated, last_modified_at,
//     last_modified, modified.
//   - Draft: whatever keeps a page from readers or out of lists on the other site: draft,
//     published: false, a status such as draft or hidden, a folder of drafts, weight 0, an
//     expirydate that has passed, headless, build and _build, render, unlisted, saveAsDraft,
//     ignorePost, hidden, private, a password, and their like; all texts of a bundle whose page
//     is hidden.
//   - Summary: summary, description, deck, excerpt, seoDescription, subtitle, as plain text.
//   - Authors: authors, author, [extra] authors. Names in one text are taken apart at
//     commas, semicolons and "and". The slug ada-lovelace becomes the name Ada Lovelace.
//   - Tags: tags, tag, topics, categories, category, and those under [taxonomies].
//   - Cover: cover, image, featured_image, feature_image, primary_image, banner, thumbnail,
//     header, images, [extra] cover or image; only a URL or a path.
//
// The report counts keys without a use.
//
// # Text
//
// Shortcodes (Hugo's and Zola's) and Liquid (Jekyll's) become Markdown with the same
// meaning: pictures, links to videos and posts elsewhere, quotations, buttons, files, and
// links to other pages. Boxes and unknown pairs are replaced by their content. Unknown single
// ones are left out, with a note, unless a picture's address is among their parameters: then
// they are the picture. Comments are left out, and of branches all but the else. Frames, films
// and sounds become links, because Stoa's pages load nothing of other sites but pictures.
//
// What isn't GitHub's Markdown becomes that, or HTML: attributes, abbreviations, definition
// lists, tables without a head, Markdown within HTML, directives, and what a reader sees of
// MDX. Formulas stay as they are if the file or its site says that there are any. Code that is
// fenced or in backticks is never touched. A file without text that names the address of its
// text (source_url, redirectto, canonical) becomes a link to that address.
//
// Links to a post of the same folder, by file, by name or by address on the other site, become
// the slug of the article alone, with the anchor of the part. Links to any other page are noted.
//
// # Pictures
//
// Pictures in texts and covers, of the folder and of the static files of its site, are stored in
// the media store, each content once. Those that aren't found or can't be stored are noted.
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
	"stoa/store"
)

// Options are the source, the destination and the output of an import.
type Options struct {
	// FS is the folder. os.OpenRoot(dir) and its FS method return one that symbolic links can't
	// lead out of.
	FS fs.FS

	// Name is the folder's identity: the first part of every Source, so that a second import of the
	// folder finds the articles of the first. Identity makes one.
	Name string

	// DryRun says that Import writes nothing. Only the report uses it.
	DryRun bool

	// Site is the top folder of the site that FS belongs to, and At the path of FS in it: see
	// FindSite. Nil means that FS is the whole site.
	Site fs.FS
	At   string

	// Reserve returns the slug that the article of a source gets if it wants one: the method Reserve
	// of a blog.Importing. Nil means that every slug is free.
	Reserve func(source, wanted string) string

	// Picture stores a picture for its articles, and returns its address: NotFound if it isn't stored
	// since nothing is, Invalid if it can't be. Nil leaves pictures at their addresses.
	Picture func(ctx context.Context, file io.ReadSeeker, alt string) (image *store.Image, address string, err error)

	// Import takes articles in order: the method Add of a blog.Importing.
	Import func(context.Context, []blog.Import) ([]blog.Outcome, error)

	// Out gets the progress: a bar if it is a terminal, a line now and then otherwise; nil for
	// none. The report isn't written to it.
	Out io.Writer
}

// batchFiles and batchBytes bound one call of Options.Import. Twenty files keep the bar moving on a
// database that takes 40 ms per write (the embedded one at 1,000 articles); the bytes keep a batch
// below the limit of one MongoDB message (48 MB).
const (
	batchFiles = 20
	batchBytes = 8 << 20
)

// Markdown imports a folder and reports the outcome of every file in it. Files are taken in the
// order of their paths, so a second run asks for the same slugs in the same order; a run that was
// killed can simply be repeated.
//
// A file that can't be read is a failure in the report, not an error. The error is the reason why
// the run ended early: the context, or a batch that the blog refused as a whole. The report then
// still has the outcomes so far, and the number of files that weren't reached.
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
	top, at := o.Site, o.At
	if top == nil {
		top, at = o.FS, "."
	}
	r.read = newReader(o.Name, clock(), readSite(top, at, o.Name))
	if o.Reserve != nil {
		r.read.reserve = o.Reserve
	}
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
	wanted     map[string]string // slug → the path of the first file with that slug
	stored     map[string]stored // pictures, by their paths in the site
}

// all reads the files twice: first for the slugs, so that a link between two posts can be written
// in any order of the files, then for the articles. The first pass stores only slugs, so memory
// doesn't grow with the size of the posts.
func (r *run) all(ctx context.Context) error {
	if err := r.read.learnAll(ctx, r.files, r.options.FS); err != nil {
		return fmt.Errorf("import %s: %w", r.options.Name, err)
	}
	r.wanted, r.stored = map[string]string{}, map[string]stored{}
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

// one reads a file and counts it, or adds it to the batch, to be counted later.
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
	if err := r.pictures(ctx, f, &p); err != nil {
		return fmt.Errorf("import %s, %s: %w", r.options.Name, f.path, err)
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

// flush hands the batch over and counts the outcomes.
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

// Identity returns the name that identifies the articles of a folder: the folder's own name,
// preceded by the names above it as long as every blog has such a name (content, posts), so that
// two blogs differ. It doesn't change if the folder's parent is moved. Two folders with one name
// need a Name each.
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

// everyBlogs are the folder names for posts in Hugo, Jekyll, Zola, Astro and Eleventy, or customary
// among their users.
var everyBlogs = []string{"content", "contents", "posts", "post", "_posts", "blog", "blogs", "articles", "news", "pages", "docs", "src", "data"}
