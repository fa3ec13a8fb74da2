package importer

// The title and the summary of an article, as plain text. Entry points: document.title,
// document.summary, reader.plain.

import (
	"cmp"
	"html"
	"regexp"
	"strings"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// The notes about titles.
const (
	noteNoTitle = "no title: made from the file's name"
	noteHeading = "no title: taken from the first heading, which is no longer in the text"
)

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
