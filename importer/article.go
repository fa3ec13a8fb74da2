package importer

// One file turned into one article: front matter into fields, the body by body.go. Entry points:
// reader.learn for the links between posts, then reader.parse.

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/parser"

	"stoa/blog"
)

// The notes about a whole file. The report shows them as they stand here.
const (
	noteNoBody  = "nothing follows the front matter: an article without text"
	noteNotText = "the value isn't text: left out"
)

// reader turns files into articles. It holds everything beside the file that the article depends
// on.
type reader struct {
	name     string    // first part of every Source
	now      time.Time // decides whether a post has expired
	links    links
	wanted   map[string]string // slug → the path of the first file with that slug
	markdown parser.Parser
}

func newReader(name string, now time.Time) *reader {
	return &reader{name: name, now: now, links: links{name: name, posts: map[string][]linked{}}, wanted: map[string]string{}, markdown: goldmark.DefaultParser()}
}

// parsed is the result for a file: an article, or the rule it is skipped by.
type parsed struct {
	article  blog.Import
	skip     string
	slugLine int
	notes    []note
	unused   []string // front-matter keys with a value that nothing used
}

// learn records the slug that the file will have. It ignores errors in the file, since parse
// reports them.
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
	r.links.add(f.path, p.article.Slug)
	if _, taken := r.wanted[p.article.Slug]; !taken {
		r.wanted[p.article.Slug] = f.path
	}
}

// parse reads one file. The error is a *failure.
func (r *reader) parse(f file, data []byte) (parsed, error) {
	d, p, err := r.open(f, data)
	if err != nil || p.skip != "" {
		return p, err
	}
	d.title(&p)
	d.slug(&p)
	if err := d.dates(&p); err != nil {
		return parsed{}, err
	}
	d.visibility(&p)
	d.summary(&p)
	d.names(&p)
	d.cover(&p)
	d.aliases(&p)
	body, notes := r.convert(d.body, conversion{line: d.bodyLine, jekyll: d.jekyll(), zola: d.format == formatTOML, hashnode: d.hashnode()})
	p.notes = append(p.notes, notes...)
	p.article.Markdown = strings.Trim(body, "\n")
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
	return &document{matter: m, reader: r, path: f.path, used: map[string]bool{}}, parsed{}, nil
}

var projectFile = regexp.MustCompile(`(?i)^(readme|licen[cs]e|contributing|code_of_conduct|changelog|security|authors|support)([._-].*)?\.\w+$`)

// digest covers every field of the article that the file decides: a comment in the front matter
// changes nothing, a better reading of the same bytes does.
func digest(a blog.Import) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q %q %q %t %q %q %s %s", a.Slug, a.Title, a.Summary, a.Markdown, a.Authors, a.Tags, a.Draft,
		a.Cover, a.Aliases, a.PublishedAt.Format(time.RFC3339Nano), a.UpdatedAt.Format(time.RFC3339Nano))
	return hex.EncodeToString(sum.Sum(nil))
}

// document is a file on the way to an article. A key that is looked up is marked as used.
type document struct {
	matter
	reader *reader
	path   string
	used   map[string]bool
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
	return d.fields["cuid"].text != "" || d.fields["datepublished"].text != ""
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
