package importer

// One file turned into one article: front matter into fields, the body by body.go. Entry points:
// reader.learnAll for everything that other files depend on, then reader.parse.

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/parser"

	"stoa/blog"
	"stoa/store"
)

// The notes about a whole file. The report shows them as they stand here.
const (
	noteNoBody  = "nothing follows the front matter: an article without text"
	noteNotText = "the value isn't text: left out"
)

// reader turns files into articles. It holds everything beside the file that the article depends
// on.
type reader struct {
	name      string    // first part of every Source
	now       time.Time // decides whether a post has expired
	site      *site
	languages languages
	links     links
	learned   []*linked
	wanted    map[string]string                  // slug → the path of the first file with that slug
	reserve   func(source, wanted string) string // the slug that the article of a source gets
	markdown  parser.Parser
}

func newReader(name string, now time.Time, s *site) *reader {
	r := &reader{name: name, now: now, site: s, links: newLinks(name), wanted: map[string]string{}, markdown: goldmark.DefaultParser()}
	r.reserve = func(_, wanted string) string { return wanted }
	for _, key := range []string{"baseurl", "base_url", "url"} {
		if at, err := url.Parse(s.config[key].text); err == nil && at.Host != "" {
			r.links.hosts = append(r.links.hosts, strings.TrimPrefix(strings.ToLower(at.Host), "www."))
		}
	}
	return r
}

// parsed is the result for a file: an article, or the rule it is skipped by.
type parsed struct {
	article  blog.Import
	skip     string
	slugLine int
	notes    []note
	targets  map[string]int // the lines of destinations: see converter.relink
	unused   []string       // front-matter keys with a value that nothing used
}

// learnAll reads the facts about all files that another file can depend on: the slugs and parts of
// posts, the sections, and the languages. It ignores errors in files, since parse reports them.
func (r *reader) learnAll(ctx context.Context, files []file, fsys fs.FS) error {
	r.languages.learn(r.site, files)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.rule == skipSection {
			r.site.learnSection(f, fsys)
		}
	}
	slices.SortStableFunc(r.site.cascades, func(a, b cascade) int { return cmp.Compare(depth(a.dir), depth(b.dir)) })
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.markdown() {
			r.learn(f, fsys)
		}
	}
	r.settle()
	return nil
}

func depth(dir string) int { return len(pathElements(path.Join("/", dir))) }

// learn reads the facts about one post.
func (r *reader) learn(f file, fsys fs.FS) {
	data, err := f.read(fsys)
	if err != nil {
		return
	}
	d, p, err := r.open(f, data)
	if err != nil || p.skip != "" {
		return
	}
	d.title(&p)
	d.slug(&p)
	d.visibility(&p)
	if isIndex(path.Base(f.path)) && p.article.Draft {
		r.site.hidden[path.Dir(f.path)] = f.path
	}
	if d.dates(&p) != nil {
		return
	}
	d.names(&p)
	post := &linked{file: f.path, slug: p.article.Slug, date: p.article.PublishedAt, anchors: r.anchorsOf(d.body)}
	post.language, post.code = d.language()
	_, rest := r.languages.codeOf(f.path)
	post.path = pathElements(rest)
	post.group = strings.Join(post.path, "/")
	if key, _ := d.text(translationKeys...); key != "" {
		post.group = "\x00" + key
	}
	for _, tag := range p.article.Tags {
		post.topics = append(post.topics, tag.Slug)
	}
	for _, key := range []string{"permalink", "url", "path", "aliases", "alias", "redirect_from"} {
		for _, item := range items(d.fields[key]) {
			if strings.Contains(item.text, "/") && !strings.Contains(item.text, ":") {
				post.paths = append(post.paths, item.text)
			}
		}
	}
	r.learned = append(r.learned, post)
}

// parse reads one file. The error is a *failure.
func (r *reader) parse(f file, data []byte) (parsed, error) {
	d, p, err := r.open(f, data)
	if err != nil || p.skip != "" {
		return p, err
	}
	d.title(&p)
	d.slug(&p)
	if known := r.links.files[f.path]; known != nil {
		p.article.Slug = known.slug
	}
	if err := d.dates(&p); err != nil {
		return parsed{}, err
	}
	d.visibility(&p)
	d.summary(&p)
	d.names(&p)
	d.cover(&p)
	d.aliases(&p)
	body, notes, targets := r.convert(d.body, d.conversion())
	p.notes, p.targets = append(p.notes, notes...), targets
	p.article.Markdown = strings.Trim(body, "\n")
	p.article.Title, p.article.Summary = r.withEmoji(p.article.Title), r.withEmoji(p.article.Summary)
	d.elsewhere(&p)
	if p.article.Markdown == "" {
		d.note(noteNoBody, value{}, "")
	} else {
		p.article.Markdown += "\n"
	}
	p.notes = append(p.notes, d.notes...)
	p.unused = d.unused()
	p.article.Source = r.name + "/" + f.path
	p.article.Digest = digest(p.article)
	return p, nil
}

// open separates a file's front matter, or returns the rule that the file is skipped by.
func (r *reader) open(f file, data []byte) (*document, parsed, error) {
	content, err := decode(data)
	if err != nil {
		return nil, parsed{}, err
	}
	if strings.TrimSpace(content) == "" {
		return nil, parsed{skip: skipEmpty}, nil
	}
	m, err := split(content)
	if err != nil {
		return nil, parsed{}, err
	}
	if m.format == formatNone {
		if projectFile.MatchString(path.Base(f.path)) {
			return nil, parsed{skip: skipProject}, nil
		}
		if f.bundled {
			return nil, parsed{skip: skipBundled}, nil
		}
	}
	d := &document{matter: m, reader: r, path: f.path, used: map[string]bool{}}
	if d.fields == nil {
		d.fields = map[string]value{}
	}
	d.inherited = r.site.inherit(f.path, d.fields)
	for key := range d.inherited {
		d.used[key] = true
	}
	return d, parsed{}, nil
}

// conversion returns the facts that the body depends on.
func (d *document) conversion() conversion {
	language, _ := d.language()
	math, says := asksForFormulas(d.fields)
	for _, key := range append(formulaKeys, "markup") {
		d.used[key] = true
	}
	return conversion{
		path: d.path, line: d.bodyLine, language: language, fields: d.fields,
		jekyll: d.jekyll(), zola: d.format == formatTOML, hashnode: d.hashnode(), mdx: isMDX(d.path, d.body),
		math: math || !says && d.reader.site.formulas(), emoji: d.reader.site.emoji(),
	}
}

var projectFile = regexp.MustCompile(`(?i)^(readme|licen[cs]e|contributing|code_of_conduct|changelog|security|authors|support)([._-].*)?\.\w+$`)

// digest covers every field of the article that the file decides: a comment in the front matter
// changes nothing, a better reading of the same bytes does.
func digest(a blog.Import) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q %q %q %t %q %q %s %s", a.Slug, a.Title, a.Summary, a.Markdown, a.Authors, a.Tags, a.Draft,
		coverText(a.Cover), a.Aliases, a.PublishedAt.Format(time.RFC3339Nano), a.UpdatedAt.Format(time.RFC3339Nano))
	return hex.EncodeToString(sum.Sum(nil))
}

// coverText is everything about a cover that a file decides.
func coverText(cover *store.Image) string {
	if cover == nil {
		return ""
	}
	return strings.TrimRight(cover.URL+cover.Name+"\n"+cover.Alt, "\n")
}

// document is a file on the way to an article. A key that is looked up is marked as used.
type document struct {
	matter
	reader *reader
	path   string
	used   map[string]bool

	inherited map[string]string // the origin of each field that isn't the file's own
}

// get returns the first of keys with a value, and marks the keys it looked at.
func (d *document) get(keys ...string) (value, bool) {
	for _, key := range keys {
		d.used[key] = true
		if v := d.fields[key]; !v.empty() {
			return v, true
		}
	}
	return value{}, false
}

// text is get for keys with text. It skips lists and maps, with a note.
func (d *document) text(keys ...string) (string, value) {
	for _, key := range keys {
		before := d.used[key]
		v, found := d.get(key)
		if found && v.text == "" {
			if !before {
				d.note(noteNotText, v, key)
			}
			continue
		}
		if found {
			return v.text, v
		}
	}
	return "", value{}
}

func (d *document) note(rule string, v value, detail string) {
	d.notes = append(d.notes, note{line: v.line, rule: rule, detail: detail})
}

func (d *document) unused() []string {
	var keys []string
	for key, v := range d.fields {
		if !d.used[key] && !v.empty() {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// jekyll reports whether the file is one of Jekyll's: there a text without commas is a list of
// words, and templates are Liquid.
func (d *document) jekyll() bool {
	_, layout := d.fields["layout"]
	return layout || d.within("_posts") || d.within("_drafts")
}

// within reports whether the file lies in a folder of that name, the imported one included.
func (d *document) within(folder string) bool {
	return strings.Contains("/"+d.reader.name+"/"+d.path, "/"+folder+"/")
}

// hashnode reports whether the file is a backup of Hashnode's, with its dialect of Markdown.
func (d *document) hashnode() bool {
	for _, key := range []string{"cuid", "datepublished", "saveasdraft", "ignorepost"} {
		if d.fields[key].text != "" {
			return true
		}
	}
	return false
}

func items(v value) []value {
	if v.list != nil {
		return v.list
	}
	return []value{v}
}

func firstText(fields map[string]value, keys ...string) string {
	for _, key := range keys {
		if fields[key].text != "" {
			return fields[key].text
		}
	}
	return ""
}
