package importer

// Links between the posts of a folder: by file, by name, by address on the other site. Entry points:
// links.add and links.find, converter.resolve for the templates' links, converter.relink for all
// others.

import (
	"cmp"
	"html"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	render "stoa/blog/markdown"
	"stoa/edit"
)

const (
	noteOutside = "link to a page that isn't in the folder: kept as a path"
	noteAnchor  = "link to a part that the article doesn't have: it leads to the article"
)

// links knows the posts of the folder by the names that other posts use in links.
type links struct {
	name      string
	hosts     []string // of the other site
	posts     map[string][]*linked
	files     map[string]*linked
	permalink map[string]*linked // by path on the other site: see permalinkOf
	addresses map[string]bool
}

// linked is a post as the target of links.
type linked struct {
	file     string   // relative to the folder
	path     []string // elements, without extension, language, index.md or the identity of the folder
	slug     string   // the wanted one
	address  string   // the slug that the article gets
	language string   // a BCP 47 tag; "" if unknown
	code     string   // the language in the path; "" for none
	date     time.Time
	topics   []string        // slugs of its tags and categories, which addresses may have
	paths    []string        // addresses that the front matter gives
	anchors  map[string]bool // of its headings and elements
	group    string          // equal for the translations of a text
	original *linked         // the text that it translates; nil for none
}

func newLinks(name string) links {
	return links{name: name, posts: map[string][]*linked{}, files: map[string]*linked{}, permalink: map[string]*linked{}, addresses: map[string]bool{}}
}

func (l *links) add(p *linked) {
	l.files[p.file] = p
	l.addresses[p.address] = true
	names := map[string]bool{edit.Slug(p.slug): true}
	if len(p.path) > 0 {
		last := p.path[len(p.path)-1]
		_, rest, _ := cutDay(last)
		for _, name := range []string{last, rest, stemOf(p.file), strings.TrimSuffix(path.Base(p.file), path.Ext(p.file))} {
			names[name] = true
		}
		l.remember("/"+strings.Join(p.path, "/"), p)
	}
	delete(names, "")
	for name := range names {
		l.posts[name] = append(l.posts[name], p)
	}
	for _, address := range p.paths {
		l.remember(address, p)
	}
}

// remember notes an address of a post. The first post with an address keeps it, unless a later one
// is the original of a translation.
func (l *links) remember(address string, p *linked) {
	key := permalinkOf(address)
	if there, taken := l.permalink[key]; key != "" && (!taken || there.code != "" && p.code == "") {
		l.permalink[key] = p
	}
}

// permalinkOf returns an address on the other site in the form in which addresses are compared.
func permalinkOf(address string) string {
	address, _, _ = strings.Cut(address, "?")
	if _, rest, absolute := strings.Cut(address, "://"); absolute {
		_, address, _ = strings.Cut(rest, "/")
	}
	if decoded, err := url.PathUnescape(address); err == nil {
		address = decoded
	}
	address = strings.Trim(address, "/")
	for _, end := range []string{".html", ".htm"} {
		address = strings.TrimSuffix(address, end)
	}
	return strings.ToLower(strings.Trim(strings.TrimSuffix("/"+address, "/index"), "/"))
}

// find returns the post that target names for a link in the post from: a file beside it, a file
// name, or a path. The shorter one of the path and the post's path must be the end of the other
// one. Among translations the one in from's language counts.
func (l *links) find(target string, from *linked) *linked {
	elements := pathElements(target)
	if len(elements) == 0 {
		return nil
	}
	if p := l.files[path.Join(path.Dir(from.file), target)]; p != nil {
		if p.code == "" && languageOf(target) == "" {
			return l.translated(p, from)
		}
		return p
	}
	if same := l.posts[elements[len(elements)-1]]; len(same) == 1 && strings.HasPrefix(path.Join(path.Dir(from.file), target), "../") {
		return same[0] // the folder had another name
	}
	identity := strings.Split(l.name, "/")
	var found []*linked
	for _, post := range l.posts[elements[len(elements)-1]] {
		for _, own := range [][]string{post.path, pathElements(post.file)} {
			whole := append(slices.Clone(identity), own...)
			if endsWith(whole, elements) || endsWith(elements, whole) || len(own) > 1 && endsWith(elements, own) {
				found = append(found, post)
				break
			}
		}
	}
	return nearest(found, from.language)
}

// translated returns the translation of p in the language of from, else p.
func (l *links) translated(p, from *linked) *linked {
	for _, other := range l.posts[p.path[max(len(p.path)-1, 0)]] {
		if slices.Equal(other.path, p.path) && other.language == from.language && other.language != "" {
			return other
		}
	}
	return p
}

// nearest returns the post in a language, else the one without a language in its path, else the
// first.
func nearest(posts []*linked, language string) *linked {
	var best *linked
	for _, p := range posts {
		switch {
		case language != "" && p.language == language:
			return p
		case best == nil || best.code != "" && p.code == "":
			best = p
		}
	}
	return best
}

// customary are elements of addresses that say nothing about a post.
var customary = []string{"blog", "blogs", "posts", "post", "articles", "article", "news", "p", "archives", "archive", "journal", "writing", "docs"}

// atPermalink returns the post that had an address on the other site: one that its front matter or
// its file gives, or one that ends with its name and has nothing before but its day, its folders and
// its topics.
func (l *links) atPermalink(address string, from *linked) *linked {
	key := permalinkOf(address)
	if key == "" {
		return nil
	}
	if p := l.permalink[key]; p != nil {
		return p
	}
	elements := strings.Split(key, "/")
	last := elements[len(elements)-1]
	var found []*linked
	for _, name := range []string{last, edit.Slug(last)} {
		for _, p := range l.posts[name] {
			if !slices.Contains(found, p) && l.leadsTo(elements[:len(elements)-1], p) {
				found = append(found, p)
			}
		}
	}
	return nearest(found, from.language)
}

// leadsTo reports whether elements of an address can stand before the name of a post. Numbers are
// its year, month and day.
func (l *links) leadsTo(elements []string, p *linked) bool {
	known := slices.Concat(strings.Split(strings.ToLower(l.name), "/"), customary, p.topics)
	for _, element := range p.path {
		known = append(known, strings.ToLower(element))
	}
	var numbers []int
	for _, element := range elements {
		if n, err := strconv.Atoi(element); err == nil {
			numbers = append(numbers, n)
		} else if !slices.Contains(known, element) && !isLanguage(element) {
			return false
		}
	}
	if len(numbers) == 0 {
		return true
	}
	named, _, _ := cutDay(stemOf(p.file))
	for _, day := range []time.Time{p.date, p.date.AddDate(0, 0, -1), p.date.AddDate(0, 0, 1), named} { // the other site's day may be another than that of UTC
		if date := []int{day.Year(), int(day.Month()), day.Day()}; !day.IsZero() && len(numbers) <= 3 && slices.Equal(date[:len(numbers)], numbers) {
			return true
		}
	}
	return false
}

// pathElements splits a path to a page, without its extension, its language and without index.
func pathElements(name string) []string {
	name = strings.Trim(name, "/")
	if isMarkdown(name) {
		name = strings.TrimSuffix(name, path.Ext(name))
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

// self returns the file under way as the target of links.
func (c *converter) self() *linked {
	if p := c.reader.links.files[c.path]; p != nil {
		return p
	}
	return &linked{file: c.path, language: c.language}
}

// addressOf returns the address of a post for a link to a part of it: its slug alone, so that the
// link works if the front end serves all articles from one path, and the anchor of the part.
func (c *converter) addressOf(p *linked, fragment string, line int) string {
	if fragment == "" {
		return p.address
	}
	anchor := render.Anchor(fragment)
	if derived := render.HeadingAnchor(fragment); p.anchors[derived] { // of a heading with a name such as S-bahn
		anchor = derived
	}
	if p.anchors != nil && !p.anchors[anchor] && !p.anchors[trailingNumber.ReplaceAllString(anchor, "")] {
		c.notes = append(c.notes, note{line: line, rule: noteAnchor, detail: p.file + "#" + fragment})
	}
	return p.address + "#" + anchor
}

var trailingNumber = regexp.MustCompile(`-\d+$`)

// resolve returns the address of the page that target names. The address of a post that is known
// only by a name with a day is made from that name. Every other page keeps its path.
func (c *converter) resolve(target string, line int) string {
	target, fragment, anchored := strings.Cut(target, "#")
	if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "//") {
		if anchored {
			target += "#" + fragment
		}
		return urlText(target)
	}
	if p := c.reader.links.find(target, c.self()); p != nil {
		return c.addressOf(p, fragment, line)
	}
	if anchored {
		fragment = "#" + fragment
	}
	c.notes = append(c.notes, note{line: line, rule: noteOutside, detail: target})
	elements := pathElements(target)
	address := "/" + strings.Join(elements, "/")
	if len(elements) > 0 {
		if _, rest, dated := cutDay(elements[len(elements)-1]); dated && edit.Slug(rest) != "" {
			address = edit.Slug(rest)
		}
	}
	address = urlText(address + fragment)
	c.noted[address] = true
	return address
}

// The destinations in Markdown and HTML: of inline links and pictures, of references, of attributes.
var (
	inlineTarget = regexp.MustCompile(`\]\([ \t]*(<[^<>\n]*>|[^\s()<>]+(?:\([^\s()]*\)[^\s()<>]*)*)`)
	reference    = regexp.MustCompile(`(?m)^[ \t>]{0,9}\[[^\]\n^][^\]\n]*\]:[ \t]*(<[^<>\n]*>|\S+)`)
	elementLink  = regexp.MustCompile(`(?i)\s(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)')`)
)

// destinations returns the positions of all destinations outside of code, in order. find has found
// the code.
func destinations(text string, find *codeFinder) []region {
	skipped := slices.SortedFunc(slices.Values(slices.Concat(find.code, find.lines)), func(a, b region) int { return cmp.Compare(a.start, b.start) })
	var found []region
	for _, pattern := range []*regexp.Regexp{inlineTarget, reference, elementLink} {
		var code cursor
		for _, m := range pattern.FindAllStringSubmatchIndex(text, -1) {
			if code.in(skipped, m[0]) || m[0] > 0 && text[m[0]-1] == '\\' {
				continue
			}
			for group := 2; group < len(m); group += 2 {
				if m[group] >= 0 {
					found = append(found, region{m[group], m[group+1]})
				}
			}
		}
	}
	return outermost(found)
}

// relink gives each link to a post of the folder the address of the article.
func (c *converter) relink(text string) string {
	find := codeFinder{body: text}
	find.find()
	found := destinations(text, &find)
	if len(found) == 0 {
		return text
	}
	c.findTargets()
	var out strings.Builder
	done := 0
	for _, at := range found {
		if isPictureAt(text, at.start) {
			continue
		}
		written := text[at.start:at.end]
		target := strings.TrimSuffix(strings.TrimPrefix(written, "<"), ">")
		quoted := at.start > 0 && (text[at.start-1] == '"' || text[at.start-1] == '\'')
		if quoted {
			target = html.UnescapeString(target)
		}
		address, changed := c.destination(target)
		if !changed {
			continue
		}
		out.WriteString(text[done:at.start])
		out.WriteString(urlText(address))
		done = at.end
	}
	out.WriteString(text[done:])
	return out.String()
}

var pageEnds = []string{"", ".html", ".htm", ".md", ".markdown", ".mdown", ".mkd", ".mdx"}

// destination returns the address of the article that a destination leads to, if it leads to one.
func (c *converter) destination(target string) (address string, changed bool) {
	place, fragment, anchored := strings.Cut(target, "#")
	place, _, _ = strings.Cut(place, "?")
	links := &c.reader.links
	at, err := url.Parse(place)
	if err != nil || place == "" || c.noted[target] {
		return "", false
	}
	own := at.Host != "" && slices.Contains(links.hosts, strings.TrimPrefix(strings.ToLower(at.Host), "www."))
	if at.Scheme != "" && at.Scheme != "http" && at.Scheme != "https" || at.Host != "" && !own {
		return "", false
	}
	name := at.Path
	if own && strings.Trim(name, "/") == "" || !slices.Contains(pageEnds, strings.ToLower(path.Ext(name))) && !strings.HasSuffix(name, "/") && links.atPermalink(name, c.self()) == nil {
		return "", false
	}
	if links.addresses[name] { // what resolve has written, or the address already
		if anchored && !strings.HasPrefix(fragment, "s-") {
			return name + "#" + render.Anchor(fragment), true
		}
		return "", false
	}
	p := c.postAt(name)
	if p == nil {
		if at.Host == "" {
			c.notes = append(c.notes, note{line: c.targets[target], rule: noteOutside, detail: target})
		}
		return "", false
	}
	return c.addressOf(p, fragment, c.targets[target]), true
}

// postAt returns the post at a path on the other site, or in its folder.
func (c *converter) postAt(name string) *linked {
	self, links := c.self(), &c.reader.links
	if isMarkdown(name) {
		if p := links.find(name, self); p != nil {
			return p
		}
		return links.atPermalink(strings.TrimSuffix(name, path.Ext(name)), self)
	}
	if strings.HasPrefix(name, "/") {
		return links.atPermalink(name, self)
	}
	dir := path.Dir(c.path)
	for _, base := range []string{path.Join(dir, path.Base(stemOf(c.path))), dir} { // a page's address has its name as a folder, its file has not
		if p := links.permalink[permalinkOf(path.Join("/", base, name))]; p != nil {
			return links.translated(p, self)
		}
	}
	return links.atPermalink(path.Base(strings.TrimRight(name, "/")), self)
}

// findTargets finds the lines of the destinations in the file. Those that a template makes have none.
func (c *converter) findTargets() {
	find := codeFinder{body: c.body}
	find.find()
	c.targets = map[string]int{}
	for _, at := range destinations(c.body, &find) {
		written := strings.Trim(c.body[at.start:at.end], "<>")
		if _, there := c.targets[written]; !there {
			c.targets[written] = c.lineAt(at.start)
		}
	}
}

// isPictureAt reports whether the destination at pos is that of a picture: ![…](…).
func isPictureAt(text string, pos int) bool {
	before := text[max(0, pos-maxAltBefore):pos]
	opening := strings.LastIndexByte(before, '[')
	return opening > 0 && before[opening-1] == '!' && strings.Count(before[opening:], "](") == 1
}

// anchorsOf returns the anchors of a text: of its headings, and of ids that its author gives.
func (r *reader) anchorsOf(body string) map[string]bool {
	found := map[string]bool{}
	find := codeFinder{body: body}
	find.find()
	var code cursor
	start, last := 0, ""
	for line := range strings.SplitSeq(body, "\n") {
		at := start
		start += len(line) + 1
		if code.in(find.code, at) {
			last = ""
			continue
		}
		for _, id := range idGiven.FindAllStringSubmatch(line, -1) {
			found[render.Anchor(id[1]+id[2]+id[3])] = true
		}
		heading := captured(headingText, line)
		if underlined := strings.TrimSpace(line); heading == "" && last != "" && len(underlined) > 0 && (strings.Trim(underlined, "=") == "" || strings.Trim(underlined, "-") == "") {
			heading = last
		}
		if heading != "" {
			found[render.HeadingAnchor(r.plain(idGiven.ReplaceAllString(heading, "")))] = true
		}
		last = strings.TrimSpace(line)
	}
	return found
}

var (
	headingText = regexp.MustCompile(`^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$`)
	idGiven     = regexp.MustCompile(`\{[:\s]*#([\w:.-]+)[^{}\n]*\}|(?i)\s(?:id|name)\s*=\s*(?:"([^"]+)"|'([^']+)')`)
)
