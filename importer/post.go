package importer

// One file turned into one article: front matter into fields, the body by body.go. Entry points:
// reader.learn for the links between posts, then reader.parse.

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"stoa/blog"
	"stoa/edit"
)

// The notes about changes to a file's front matter. The report shows them as they stand here.
const (
	noteNoDate      = "no date, neither in the front matter nor in the path: imported as a draft"
	noteExpired     = "expirydate has passed, and Hugo would not show it: imported as a draft"
	noteExpires     = "expirydate is to come: Stoa doesn't take articles down by itself"
	noteHidden      = "weight 0 marks it as hidden: imported as a draft"
	noteDraft       = "draft in the front matter: imported as a draft"
	noteDraftFolder = "lies in a folder of drafts: imported as a draft"
	noteNoTitle     = "no title: made from the file's name"
	noteHeading     = "no title: taken from the first heading, which is no longer in the text"
	noteNoAuthor    = "no author"
	noteNoBody      = "nothing follows the front matter: an article without text"
	noteLinkPost    = "the front matter gives the address of the text, and no text follows: the article is a link to it"
	noteSlugChanged = "the slug isn't made of a-z, 0-9 and dashes only, or is too long: changed, the old one kept as an alias"
	noteSlugMade    = "nothing to make a slug from: made from a hash of the path"
	noteNameHashed  = "an author or a tag has no letter that a slug can hold: its slug is a hash of the name"
	noteSlugTaken   = "an earlier file of the folder wants the same slug: the blog adds a number"
	noteCanonical   = "the front matter names another address of the same text: not kept"
	noteAlias       = "alias for the top of a site: left out"
	noteAliasTaken  = "alias that is the slug of another file of the folder: left out"
	noteCover       = "cover is a bare name, neither URL nor path: left out"
	noteDateIgnored = "a date that doesn't matter to when it is published isn't understood: left out"
	noteUpdated     = "changed before it was published: the date of the change is left out"
	noteSplitNames  = "one entry names several authors: taken apart"
	noteNotText     = "the value isn't text: left out"
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

// stem is the file's name without its extension and day; of a page bundle, the folder's.
func (d *document) stem() string {
	_, rest, _ := cutDay(stemOf(d.path))
	return rest
}

func stemOf(name string) string {
	base := path.Base(name)
	stem := strings.TrimSuffix(base, path.Ext(base))
	if !isIndex(base) || path.Dir(name) == "." {
		return stem
	}
	folder := path.Base(path.Dir(name))
	if language := strings.TrimPrefix(stem[len("index"):], "."); language != "" {
		return folder + "-" + language
	}
	return folder
}

// title is the front matter's, else the first heading's, else the file name's. Titles are plain
// text: references to characters (&amp;) are resolved.
func (d *document) title(p *parsed) {
	if written, _ := d.text("title"); written != "" {
		p.article.Title = oneLine(html.UnescapeString(written))
		if p.article.Title != "" {
			return
		}
	}
	if heading, rest, found := cutHeading(d.body); found {
		if title := d.reader.plain(heading); title != "" {
			p.article.Title = title
			d.note(noteHeading, value{}, title)
			d.bodyLine += strings.Count(d.body[:len(d.body)-len(rest)], "\n")
			d.body = rest
			return
		}
	}
	if written, _ := d.text("seotitle"); written != "" {
		p.article.Title = oneLine(html.UnescapeString(written))
		return
	}
	written, _ := d.text("slug")
	name := cmp.Or(lastElement(written), lastElement(d.stem()), stemOf(d.path))
	name = oneLine(strings.NewReplacer("-", " ", "_", " ").Replace(name))
	if first := []rune(name); len(first) > 0 {
		name = strings.ToUpper(string(first[:1])) + string(first[1:])
	}
	p.article.Title = cmp.Or(name, "Untitled")
	d.note(noteNoTitle, value{}, p.article.Title)
}

// cutHeading cuts a heading of the first level off the beginning of a text.
func cutHeading(body string) (heading, rest string, found bool) {
	body = strings.TrimLeft(body, "\n")
	first, rest, _ := strings.Cut(body, "\n")
	if heading, found = strings.CutPrefix(first, "# "); found {
		heading = strings.TrimRight(strings.TrimSpace(anchorPattern.ReplaceAllString(heading, "")), "# ")
		return heading, rest, heading != ""
	}
	second, after, _ := strings.Cut(rest, "\n")
	if underline := strings.TrimRight(second, " "); underline != "" && strings.Trim(underline, "=") == "" && strings.TrimSpace(first) != "" {
		return first, after, true
	}
	return "", body, false
}

var anchorPattern = regexp.MustCompile(`\s*\{#[^}\n]*\}\s*$`)

// slug is slug, else the end of path, permalink or url, else the file's name without its day (of a
// page bundle, the folder's), else the title. Other slugs in the front matter, and other spellings
// of this one, become aliases.
func (d *document) slug(p *parsed) {
	for _, key := range []string{"slug", "path", "permalink", "url"} {
		written, v := d.text(key)
		last := lastElement(written)
		slug := edit.Slug(last)
		if slug == "" || strings.Contains(written, "/:") { // a placeholder of Jekyll's
			continue
		}
		p.article.Aliases = append(p.article.Aliases, last)
		if p.article.Slug != "" {
			continue
		}
		p.article.Slug, p.slugLine = slug, v.line
		if slug != strings.ToLower(last) {
			d.note(noteSlugChanged, v, last+" → "+slug)
		}
	}
	if p.article.Slug != "" {
		return
	}
	stem := lastElement(d.stem())
	if p.article.Slug = edit.Slug(stem); p.article.Slug != "" {
		p.article.Aliases = append(p.article.Aliases, stem)
		return
	}
	if p.article.Slug = edit.Slug(p.article.Title); p.article.Slug != "" {
		return
	}
	p.article.Slug = hashed("article", d.path)
	d.note(noteSlugMade, value{}, p.article.Slug)
}

// hashed makes a slug for a text without any letter that a slug can have.
func hashed(kind, text string) string {
	sum := sha256.Sum256([]byte(text))
	return kind + "-" + hex.EncodeToString(sum[:4])
}

// dates reads the day of publication from the front matter, else from the file's name, else from
// path, permalink or url, else from the folders.
func (d *document) dates(p *parsed) error {
	for _, key := range []string{"datepublished", "publishdate", "published_at", "pubdate", "published", "date"} {
		written, v := d.text(key)
		if written == "" || key == "published" && isTruth(written) {
			continue
		}
		at, err := parseDate(written)
		if err != nil {
			return failAt(v.line, "%s is %s", key, err)
		}
		if at.Year() < 2 { // Go programs write an unset date as the year 1
			continue
		}
		p.article.PublishedAt = at
		break
	}
	if p.article.PublishedAt.IsZero() {
		p.article.PublishedAt = d.dayFromPath()
	}
	if p.article.PublishedAt.IsZero() {
		p.article.Draft = true
		d.note(noteNoDate, value{}, "")
	}
	if at, v, found := d.lesserDate("lastmod", "updated", "updated_at", "dateupdated", "last_modified_at", "last_modified", "modified"); found {
		if at.Before(p.article.PublishedAt) {
			d.note(noteUpdated, v, v.text)
		} else {
			p.article.UpdatedAt = at
		}
	}
	return nil
}

func (d *document) dayFromPath() time.Time {
	if day, _, found := cutDay(stemOf(d.path)); found {
		return day
	}
	for _, key := range []string{"path", "permalink", "url"} {
		if day, found := dayInPath(d.fields[key].text); found {
			return day
		}
	}
	day, _ := dayInPath(path.Dir(d.path))
	return day
}

// lesserDate reads a date that the article can be imported without.
func (d *document) lesserDate(keys ...string) (time.Time, value, bool) {
	written, v := d.text(keys...)
	if written == "" {
		return time.Time{}, v, false
	}
	at, err := parseDate(written)
	if err != nil {
		d.note(noteDateIgnored, v, err.Error())
		return time.Time{}, v, false
	}
	return at, v, at.Year() > 1
}

// visibility makes a draft of a post that the other system doesn't show. To publish a post that its
// author took down would be worse than an editor having to publish a draft.
func (d *document) visibility(p *parsed) {
	hide := func(rule string, v value) {
		p.article.Draft = true
		d.note(rule, v, "")
	}
	if written, v := d.text("draft"); isTrue(written) {
		hide(noteDraft, v)
	}
	if written, v := d.text("published"); isTruth(written) && !isTrue(written) {
		hide(noteDraft, v)
	}
	if written, v := d.text("status", "state"); slices.Contains([]string{"draft", "pending", "private", "hidden"}, strings.ToLower(written)) {
		hide(noteDraft, v)
	}
	if d.within("_drafts") || d.within("drafts") {
		hide(noteDraftFolder, value{})
	}
	if v := d.fields["weight"]; v.text == "0" || v.text == "1" {
		d.used["weight"] = true
		if v.text == "0" {
			hide(noteHidden, v)
		}
	}
	if at, v, found := d.lesserDate("expirydate", "unpublishdate"); found {
		if at.After(d.reader.now) {
			d.note(noteExpires, v, v.text)
		} else {
			hide(noteExpired, v)
		}
	}
}

func isTrue(text string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(text))
}

func isTruth(text string) bool {
	return isTrue(text) || slices.Contains([]string{"false", "no", "off", "0"}, strings.ToLower(text))
}

// summary is plain text, without Markdown and tags.
func (d *document) summary(p *parsed) {
	written, _ := d.text("summary", "description", "deck", "excerpt", "seodescription", "subtitle")
	p.article.Summary = d.reader.plain(written)
}

// maxPlain bounds the text that is parsed for its words, in bytes, because parsing can take time
// quadratic in the length. The longest summary in the blogs of the tests has 1 KB.
const maxPlain = 4 << 10

// plain returns the words of a text that may be Markdown or HTML. A text that Markdown reads as
// more than paragraphs (a list, from "2020. It was a year") only loses its tags, and so does a text
// longer than maxPlain.
func (r *reader) plain(source string) string {
	raw := []byte(strings.Join(strings.Fields(source), " "))
	if len(raw) > maxPlain {
		return untagged(string(raw))
	}
	root := r.markdown.Parse(text.NewReader(raw))
	var words strings.Builder
	for block := root.FirstChild(); block != nil; block = block.NextSibling() {
		if block.Kind() != ast.KindParagraph {
			return untagged(string(raw))
		}
		// The walker returns an error only if the function does.
		_ = ast.Walk(block, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			if !entering {
				return ast.WalkContinue, nil
			}
			switch n := n.(type) {
			case *ast.Text:
				words.Write(literal(n, raw))
			case *ast.AutoLink:
				words.Write(n.Label(raw))
			}
			return ast.WalkContinue, nil
		})
	}
	return oneLine(words.String())
}

func untagged(text string) string {
	return oneLine(html.UnescapeString(htmlTag.ReplaceAllString(text, " ")))
}

var htmlTag = regexp.MustCompile(`</?[a-zA-Z][^<>]*>`)

// literal resolves backslashes and references to characters, except in code.
func literal(n *ast.Text, source []byte) []byte {
	if _, code := n.Parent().(*ast.CodeSpan); code {
		return n.Segment.Value(source)
	}
	return []byte(html.UnescapeString(string(util.UnescapePunctuations(n.Segment.Value(source)))))
}

// names collects authors and tags.
func (d *document) names(p *parsed) {
	if v, found := d.get("authors", "author"); found {
		p.article.Authors = d.authors(v)
	} else if v := d.fields["extra"].fields["authors"]; !v.empty() {
		p.article.Authors = d.authors(v)
	} else if v := d.fields["extra"].fields["author"]; !v.empty() {
		p.article.Authors = d.authors(v)
	}
	if len(p.article.Authors) == 0 {
		d.note(noteNoAuthor, value{}, "")
	}
	for _, key := range []string{"tags", "tag", "topics", "categories", "category"} {
		d.used[key] = true
		d.used["taxonomies"] = true
		for _, v := range []value{d.fields[key], d.fields["taxonomies"].fields[key]} {
			for _, name := range d.topics(v) {
				p.article.Tags = d.addName(p.article.Tags, "tag", topicSlug(name), topicName(name))
			}
		}
	}
}

// authors takes names, or maps with a name and perhaps a slug.
func (d *document) authors(v value) []blog.ImportName {
	var authors []blog.ImportName
	for _, item := range items(v) {
		if item.fields != nil {
			name := firstText(item.fields, "name", "display_name", "title", "slug", "username", "id")
			slug := firstText(item.fields, "slug", "username", "id", "name", "display_name", "title")
			authors = d.addName(authors, "author", edit.Slug(slug), personName(html.UnescapeString(name)))
			continue
		}
		people := splitPeople(html.UnescapeString(item.text))
		if len(people) > 1 {
			d.note(noteSplitNames, v, item.text)
		}
		for _, name := range people {
			authors = d.addName(authors, "author", edit.Slug(name), personName(name))
		}
	}
	return authors
}

// topics takes a list, or one text with commas; of Jekyll's, one with spaces.
func (d *document) topics(v value) []string {
	var names []string
	for _, item := range items(v) {
		written := html.UnescapeString(item.text)
		switch {
		case item.fields != nil:
			names = append(names, firstText(item.fields, "name", "title", "slug"))
		case v.list == nil && strings.Contains(written, ","):
			names = append(names, strings.Split(written, ",")...)
		case v.list == nil && d.jekyll():
			names = append(names, strings.Fields(written)...)
		default:
			names = append(names, written)
		}
	}
	for i := range names {
		names[i] = oneLine(names[i])
	}
	return names
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

// addName adds a name, except a placeholder for nobody, and except one with a slug that is there
// already.
func (d *document) addName(names []blog.ImportName, kind, slug, name string) []blog.ImportName {
	if name == "" {
		return names
	}
	if slug == "" {
		slug = hashed(kind, strings.ToLower(name))
		d.note(noteNameHashed, value{}, name+" → "+slug)
	}
	if slices.ContainsFunc(names, func(n blog.ImportName) bool { return n.Slug == slug }) {
		return names
	}
	return append(names, blog.ImportName{Slug: slug, Name: name})
}

var (
	betweenPeople = regexp.MustCompile(`\s*[,;]\s*(?:and\s+)?|\s+(?:and|&)\s+`)
	afterName     = regexp.MustCompile(`(?i)^(jr|sr|ii|iii|iv|ph\.?d|m\.?d|esq)\.?$`)
	mailAddress   = regexp.MustCompile(`\s*<[^>]*>`)
)

// splitPeople separates the names in "Ada Lovelace, Charles Babbage Jr., and Mary Somerville".
func splitPeople(text string) []string {
	var people []string
	for _, name := range betweenPeople.Split(mailAddress.ReplaceAllString(text, ""), -1) {
		name = oneLine(name)
		switch {
		case name == "":
		case len(people) > 0 && afterName.MatchString(name):
			people[len(people)-1] += ", " + name
		default:
			people = append(people, name)
		}
	}
	return people
}

// cover takes the first key with a URL or path of a picture. A bare name is a key to data that the
// other system stores elsewhere.
func (d *document) cover(p *parsed) {
	var bare value
	found := func(v value) bool {
		line := v.line
		if len(v.list) > 0 {
			v = v.list[0]
		}
		if v.fields != nil {
			v.text = firstText(v.fields, "url", "src", "image", "path", "teaser", "uid", "name")
		}
		if isAddress(v.text) {
			p.article.Cover = v.text
			return true
		}
		if bare.text == "" {
			bare = value{line: line, text: v.text}
		}
		return false
	}
	for _, key := range []string{"cover", "image", "featured_image", "featuredimage", "feature_image", "primary_image", "banner", "thumbnail", "header", "images"} {
		d.used[key] = true
		if found(d.fields[key]) {
			return
		}
	}
	extra := d.fields["extra"].fields
	if found(extra["cover"]) || found(extra["image"]) || bare.text == "" {
		return
	}
	d.note(noteCover, bare, bare.text)
}

// isAddress reports whether text can be an address: a URL of the web, or a path with a slash or an
// extension.
func isAddress(text string) bool {
	at, err := url.Parse(text)
	if err != nil || text == "" || strings.ContainsAny(text, " \t\n\"<>") {
		return false
	}
	return at.Scheme == "http" || at.Scheme == "https" || at.Scheme == "" && (strings.Contains(text, "/") || path.Ext(text) != "")
}

// aliases stores the last elements of old addresses in their original spelling: a front end sees
// that spelling in an old link. The slug of another file is never an alias, in any order of the
// files.
func (d *document) aliases(p *parsed) {
	for _, key := range []string{"aliases", "alias", "redirect_from"} {
		v, found := d.get(key)
		if !found {
			continue
		}
		for _, item := range items(v) {
			alias := lastElement(item.text)
			if alias == "" {
				d.note(noteAlias, item, item.text)
				continue
			}
			p.article.Aliases = append(p.article.Aliases, alias)
		}
	}
	seen := map[string]bool{p.article.Slug: true}
	p.article.Aliases = slices.DeleteFunc(p.article.Aliases, func(alias string) bool {
		if seen[alias] {
			return true
		}
		seen[alias] = true
		owner, taken := d.reader.wanted[alias]
		if taken && owner != d.path {
			d.note(noteAliasTaken, value{}, alias+", of "+owner)
			return true
		}
		return false
	})
}

// elsewhere reads the address that the article names as its original one. An article without text
// becomes a link to it; for one with a text it is only noted.
func (d *document) elsewhere(p *parsed) {
	for _, key := range []string{"redirectto", "redirect_to", "redirect", "source_url", "external_url", "externalurl", "canonical", "canonicalurl", "canonical_url"} {
		written, v := d.text(key)
		at, err := url.Parse(urlText(written))
		switch {
		case written == "":
		case p.article.Markdown == "" && err == nil && at.Host != "" && isAddress(urlText(written)):
			if deck, _ := d.text("deck"); d.reader.plain(deck) != p.article.Summary {
				p.article.Markdown = deck + "\n\n"
			}
			p.article.Markdown += "[Read it at " + linkText(at.Host) + "](" + urlText(written) + ")"
			d.note(noteLinkPost, v, written)
		default:
			d.note(noteCanonical, v, key+" "+written)
		}
	}
}

// links knows the posts of the folder by the names that other posts use in links.
type links struct {
	name  string
	posts map[string][]linked // by stem
}

type linked struct {
	path []string // elements, without extension, index.md or the identity of the folder
	slug string
}

func (l *links) add(name, slug string) {
	elements := pathElements(name)
	if len(elements) == 0 {
		return
	}
	last := elements[len(elements)-1]
	l.posts[last] = append(l.posts[last], linked{path: elements, slug: slug})
}

// find returns the slug of the post that target names: a file name, or a path. The shorter one of
// the path and the post's path must be the end of the other one.
func (l *links) find(target string) (string, bool) {
	elements := pathElements(target)
	if len(elements) == 0 {
		return "", false
	}
	identity := strings.Split(l.name, "/")
	for _, post := range l.posts[elements[len(elements)-1]] {
		whole := append(slices.Clone(identity), post.path...)
		if endsWith(whole, elements) || endsWith(elements, whole) || len(post.path) > 1 && endsWith(elements, post.path) {
			return post.slug, true
		}
	}
	return "", false
}

// pathElements splits a path to a page, without its extension and without index.
func pathElements(name string) []string {
	name = strings.Trim(name, "/")
	extension := path.Ext(name)
	if strings.EqualFold(extension, ".md") || strings.EqualFold(extension, ".markdown") {
		name = strings.TrimSuffix(name, extension)
	}
	elements := strings.FieldsFunc(name, func(c rune) bool { return c == '/' })
	if n := len(elements); n > 0 && (elements[n-1] == "index" || elements[n-1] == "_index") {
		elements = elements[:n-1]
	}
	return elements
}

func endsWith(elements, end []string) bool {
	return len(elements) >= len(end) && slices.Equal(elements[len(elements)-len(end):], end)
}
