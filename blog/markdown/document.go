package markdown

// The document that rendering returns: sanitised tags made balanced, anchors for headings, plain
// text and table of contents. Entry point: sanitise.

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// sanitise reduces raw to the HTML that the policy allows, and derives the rest of Rendered from
// it. Sanitising its result again changes nothing.
//
// The policy works tag by tag. A second pass over the tags closes elements left open, and drops end
// tags without a start: an article can't end the page's own elements. The pass doesn't use
// html.Parse: like browsers, that opens again, in each paragraph, the elements left open by an
// earlier one, and 64 KB can make millions of nodes.
func sanitise(ctx context.Context, raw []byte) (Rendered, error) {
	d := document{
		anchors: anchors{taken: map[string]int{}, byID: map[string]string{}},
	}
	var clean bytes.Buffer
	if err := policy.SanitizeReaderToWriter(untilDone{ctx, bytes.NewReader(raw)}, &clean); err != nil {
		return Rendered{}, err
	}
	if err := d.read(untilDone{ctx, &clean}); err != nil {
		return Rendered{}, err
	}
	d.link()
	r := Rendered{HTML: d.html(), Text: d.plain.String(), TOC: d.toc}
	r.Words = len(strings.Fields(r.Text))
	return r, nil
}

// document is a balanced sequence of tags and texts.
type document struct {
	tokens  []html.Token
	open    []atom.Atom // elements that have been started and not ended, outermost first
	plain   plainText   // of the whole
	silent  bool        // the open link is a footnote's mark, so its text isn't the author's
	heading *openHeading
	toc     []Heading
	anchors anchors
}

// openHeading is a heading whose end hasn't been read.
type openHeading struct {
	token int // index of its start tag in document.tokens
	text  plainText
}

// read appends the tokens of sanitised HTML, balanced.
func (d *document) read(sanitised io.Reader) error {
	z := html.NewTokenizer(sanitised)
	for z.Next() != html.ErrorToken {
		t := z.Token()
		switch t.Type {
		case html.TextToken:
			d.write(t.Data)
			d.tokens = append(d.tokens, t)
		case html.StartTagToken, html.SelfClosingTagToken:
			t.Type = html.StartTagToken // only void elements close themselves
			if err := d.start(t); err != nil {
				return err
			}
		case html.EndTagToken:
			d.end(t.DataAtom)
		}
	}
	if err := z.Err(); err != io.EOF {
		return err
	}
	for len(d.open) > 0 {
		d.pop()
	}
	return nil
}

func (d *document) start(t html.Token) error {
	attributes, ok := tidyAttributes(t.DataAtom, t.Attr)
	if !ok {
		return nil
	}
	t.Attr = attributes
	d.closeFor(t.DataAtom)
	if !isInline(t.DataAtom) || t.DataAtom == atom.Br {
		d.breakWord()
	}
	if isVoid(t.DataAtom) {
		d.tokens = append(d.tokens, t)
		return nil
	}
	if level(t.DataAtom) > 0 && len(d.toc) == MaxHeadings {
		return refuse("the text has more than %d headings", MaxHeadings)
	}
	if len(d.open) == maxElements {
		return refuse("the text nests HTML elements more than %d deep", maxElements)
	}
	d.open = append(d.open, t.DataAtom)
	d.tokens = append(d.tokens, t)
	if isFootnoteMark(t) {
		d.silent = true
	}
	if level(t.DataAtom) > 0 {
		d.heading = &openHeading{token: len(d.tokens) - 1}
	}
	return nil
}

// closeFor ends the elements that the start of a ends in HTML: a list ends a paragraph, an item the
// item before. A link or a heading within another ends the outer one.
func (d *document) closeFor(a atom.Atom) {
	switch a {
	case atom.Li:
		d.closeOpen(within(atom.Ul, atom.Ol), atom.Li)
	case atom.Dt, atom.Dd:
		d.closeOpen(within(atom.Dl), atom.Dt, atom.Dd)
	case atom.Td, atom.Th:
		d.closeOpen(within(atom.Tr), atom.Td, atom.Th)
	case atom.Tr:
		d.closeOpen(within(), atom.Tr, atom.Caption, atom.Colgroup)
	case atom.Thead, atom.Tbody, atom.Tfoot:
		d.closeOpen(within(), atom.Thead, atom.Tbody, atom.Tfoot, atom.Caption, atom.Colgroup)
	case atom.A:
		d.closeOpen(within(atom.Td, atom.Th, atom.Caption), atom.A)
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		d.closeOpen(nil, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6)
	}
	if !isInline(a) {
		d.closeOpen(within(atom.Td, atom.Th, atom.Caption), atom.P)
	}
}

// within returns the bounds of a search outwards: the others, and a table.
func within(others ...atom.Atom) []atom.Atom { return append(others, atom.Table) }

// closeOpen ends the innermost open element that is one of elements, and all elements open in it,
// unless one of bounds is open in between.
func (d *document) closeOpen(bounds []atom.Atom, elements ...atom.Atom) {
	for i := len(d.open) - 1; i >= 0; i-- {
		if slices.Contains(elements, d.open[i]) {
			for len(d.open) > i {
				d.pop()
			}
			return
		}
		if slices.Contains(bounds, d.open[i]) {
			return
		}
	}
}

// end ends the element a if it is open and may be ended here, and otherwise does nothing.
func (d *document) end(a atom.Atom) {
	switch a {
	case atom.Table:
		d.closeOpen(nil, a)
	case atom.Td, atom.Th, atom.Tr, atom.Thead, atom.Tbody, atom.Tfoot, atom.Caption, atom.Colgroup:
		d.closeOpen(within(), a)
	case atom.Li:
		d.closeOpen(within(atom.Ul, atom.Ol), a)
	default:
		d.closeOpen(within(atom.Td, atom.Th, atom.Caption), a)
	}
}

// pop ends the innermost open element.
func (d *document) pop() {
	a := d.open[len(d.open)-1]
	d.open = d.open[:len(d.open)-1]
	if a == atom.A {
		d.silent = false
	}
	if !isInline(a) {
		d.breakWord()
	}
	if level(a) > 0 {
		d.endHeading()
	}
	d.tokens = append(d.tokens, html.Token{Type: html.EndTagToken, DataAtom: a, Data: a.String()})
}

// endHeading gives the open heading an anchor and, if it has text, an entry in the table of
// contents.
func (d *document) endHeading() {
	h := d.heading
	d.heading = nil
	start, words := &d.tokens[h.token], h.text.String()
	var anchor string
	if id := attribute(start.Attr, "id"); id != "" {
		anchor = d.anchors.named(id)
	} else {
		anchor = d.anchors.derived(words)
	}
	start.Attr = setAttribute(start.Attr, "id", anchor)
	if words != "" {
		d.toc = append(d.toc, Heading{Level: level(start.DataAtom), Text: words, Anchor: anchor})
	}
}

func (d *document) write(text string) {
	if d.silent {
		return
	}
	d.plain.write(text)
	if d.heading != nil {
		d.heading.text.write(text)
	}
}

func (d *document) breakWord() {
	d.plain.breakWord()
	if d.heading != nil {
		d.heading.text.breakWord()
	}
}

// link renames the ids of elements other than headings, and updates links within the text. A link
// to an id that the text doesn't have is left to the page around it.
func (d *document) link() {
	for i := range d.tokens {
		t := &d.tokens[i]
		if t.Type != html.StartTagToken || level(t.DataAtom) > 0 {
			continue
		}
		if id := attribute(t.Attr, "id"); id != "" {
			t.Attr = setAttribute(t.Attr, "id", d.anchors.named(id))
		}
	}
	for i := range d.tokens {
		t := &d.tokens[i]
		if t.Type != html.StartTagToken || t.DataAtom != atom.A {
			continue
		}
		if fragment, ok := strings.CutPrefix(attribute(t.Attr, "href"), "#"); ok {
			if anchor, ok := d.anchors.find(fragment); ok {
				t.Attr = setAttribute(t.Attr, "href", (&url.URL{Fragment: anchor}).String())
			}
		}
	}
}

func (d *document) html() string {
	var b strings.Builder
	for _, t := range d.tokens {
		if t.Type == html.TextToken {
			_, _ = textEscapes.WriteString(&b, t.Data) // a Builder takes everything
		} else {
			b.WriteString(t.String())
		}
	}
	return b.String()
}

// textEscapes escapes text between tags. Token.String would also write ' and " as references, and
// prose is full of them.
var textEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// anchorPrefix begins every id in an article. Browsers make elements reachable as window.<id>, so
// without it a heading named "Comments" or "cookie" could be taken for the page's own element of
// that id, or shadow a global of its scripts. No script names a variable with a hyphen.
const anchorPrefix = "s-"

// The length of an anchor, in characters: of one made from a heading, and of one made from an
// author's id. The second leaves room for the suffix that made the first unique.
const (
	maxAnchor = 100
	maxID     = 120
)

// anchors hands out the ids of one document, each once.
type anchors struct {
	taken map[string]int    // the highest number appended to each to make another unique
	byID  map[string]string // anchors by the author's ids
}

// derived returns an anchor for a heading without an id.
func (a *anchors) derived(heading string) string {
	return a.unique(slug(heading, maxAnchor))
}

// named returns an anchor for an element with an id by its author.
func (a *anchors) named(id string) string {
	name := strings.TrimPrefix(slug(separators.Replace(id), maxID), anchorPrefix)
	anchor := a.unique(name)
	if _, ok := a.byID[id]; !ok {
		a.byID[id] = anchor
	}
	return anchor
}

// Anchor returns the anchor that rendering gives an element with an id by its author, unless the
// text has an earlier one of that name.
func Anchor(id string) string {
	return anchorPrefix + cmp.Or(strings.TrimPrefix(slug(separators.Replace(unescaped(id)), maxID), anchorPrefix), unnamed)
}

// HeadingAnchor returns the anchor that rendering gives a heading with these words and no id, unless
// the text has an earlier one of that name. It is the heading's name on GitHub and in Hugo behind a
// prefix.
func HeadingAnchor(words string) string {
	return anchorPrefix + cmp.Or(slug(words, maxAnchor), unnamed)
}

// unnamed is the name of an element whose own name has no letter for an anchor.
const unnamed = "section"

func unescaped(fragment string) string {
	if id, err := url.PathUnescape(fragment); err == nil {
		return id
	}
	return fragment
}

// separators are characters of ids that anchors don't have, as in goldmark's "fn:1".
var separators = strings.NewReplacer(":", "-", ".", "-", "/", "-")

// find returns the anchor that an author means by "#fragment": an id in the text, or the name that
// GitHub and Hugo give the heading.
func (a *anchors) find(fragment string) (string, bool) {
	id := unescaped(fragment)
	if anchor, ok := a.byID[id]; ok {
		return anchor, true
	}
	_, ok := a.taken[anchorPrefix+id]
	return anchorPrefix + id, ok
}

// unique returns the prefix and name, followed by the first of -1, -2, … that makes it unique.
func (a *anchors) unique(name string) string {
	anchor := anchorPrefix + cmp.Or(name, unnamed)
	n, again := a.taken[anchor]
	if !again {
		a.taken[anchor] = 0
		return anchor
	}
	for {
		n++
		numbered := anchor + "-" + strconv.Itoa(n)
		if _, taken := a.taken[numbered]; !taken {
			a.taken[anchor], a.taken[numbered] = n, 0
			return numbered
		}
	}
}

// slug is the name that GitHub and Hugo give a heading: in lower case, letters, digits,
// hyphens and underscores of every script kept, each space a hyphen, the rest dropped.
// It has at most limit characters.
func slug(heading string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.TrimSpace(heading) {
		switch {
		case n == limit:
			return b.String()
		case unicode.IsLetter(r), unicode.IsMark(r), unicode.IsNumber(r), r == '-', r == '_':
			b.WriteRune(unicode.ToLower(r))
		case unicode.IsSpace(r):
			b.WriteByte('-')
		default:
			continue
		}
		n++
	}
	return b.String()
}

// plainText collects words, with one space between them in place of any other separators.
type plainText struct {
	b   strings.Builder
	gap bool // the next word is separate from the last
}

func (p *plainText) write(text string) {
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			p.gap = true
			continue
		case p.gap && p.b.Len() > 0:
			p.b.WriteByte(' ')
		}
		p.gap = false
		p.b.WriteRune(r)
	}
}

func (p *plainText) breakWord()     { p.gap = true }
func (p *plainText) String() string { return p.b.String() }

// tidyAttributes returns the attributes that a start tag keeps, and false to drop the whole tag: a
// picture without a source, an input that is no checkbox, a link to nowhere that nothing can link
// to.
func tidyAttributes(a atom.Atom, attributes []html.Attribute) ([]html.Attribute, bool) {
	if attribute(attributes, "id") == "" {
		attributes = without(attributes, "id")
	}
	switch a {
	case atom.Img:
		return attributes, attribute(attributes, "src") != ""
	case atom.Input:
		return setAttribute(attributes, "disabled", ""), attribute(attributes, "type") == "checkbox"
	case atom.A:
		// <a name> is an anchor from before HTML 5.
		name := attribute(attributes, "name")
		attributes = without(attributes, "name")
		if name != "" && attribute(attributes, "id") == "" {
			attributes = setAttribute(attributes, "id", name)
		}
		return attributes, len(attributes) > 0
	case atom.Code:
		if class := attribute(attributes, "class"); class != "" {
			attributes = setAttribute(attributes, "class", codeLanguage.FindString(class))
		}
	}
	return attributes, true
}

func attribute(attributes []html.Attribute, key string) string {
	for _, a := range attributes {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func setAttribute(attributes []html.Attribute, key, value string) []html.Attribute {
	for i := range attributes {
		if attributes[i].Key == key {
			attributes[i].Val = value
			return attributes
		}
	}
	return append(attributes, html.Attribute{Key: key, Val: value})
}

func without(attributes []html.Attribute, key string) []html.Attribute {
	return slices.DeleteFunc(attributes, func(a html.Attribute) bool { return a.Key == key })
}

// isFootnoteMark reports whether t starts the number of a footnote in the text, or the arrow back
// to it. Neither is a word.
func isFootnoteMark(t html.Token) bool {
	role := attribute(t.Attr, "role")
	return t.DataAtom == atom.A && (role == "doc-noteref" || role == "doc-backlink")
}

// level is 1 to 6 for headings and 0 for all else.
func level(a atom.Atom) int {
	switch a {
	case atom.H1:
		return 1
	case atom.H2:
		return 2
	case atom.H3:
		return 3
	case atom.H4:
		return 4
	case atom.H5:
		return 5
	case atom.H6:
		return 6
	}
	return 0
}

func isVoid(a atom.Atom) bool {
	switch a {
	case atom.Br, atom.Col, atom.Hr, atom.Img, atom.Input, atom.Wbr:
		return true
	}
	return false
}

// isInline reports whether a can stand within a paragraph. All other elements end one.
func isInline(a atom.Atom) bool {
	switch a {
	case atom.A, atom.Abbr, atom.B, atom.Bdi, atom.Bdo, atom.Cite, atom.Code, atom.Del, atom.Dfn, atom.Em,
		atom.I, atom.Ins, atom.Kbd, atom.Mark, atom.Q, atom.Rp, atom.Rt, atom.Ruby, atom.S, atom.Samp,
		atom.Small, atom.Span, atom.Strong, atom.Sub, atom.Sup, atom.Time, atom.Tt, atom.U, atom.Var, atom.Wbr,
		atom.Br, atom.Img, atom.Input:
		return true
	}
	return false
}
