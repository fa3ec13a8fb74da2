// Package markdown renders an author's Markdown, once per version of a text: into sanitised HTML,
// plain text, a word count and a table of contents, all of them stored beside the text.
//
// The dialect is GitHub's (CommonMark with tables, strikethrough, bare links and task lists) with
// footnotes and {#id} after headings; raw HTML is accepted and then sanitised. limits.go has the
// limits, policy.go the HTML allowed, and document.go the names of anchors. Entry points: New,
// Renderer.Render, Renderer.Comment.
//
// It may import meter, to report the work of rendering, and nothing else of ours.
package markdown

import (
	"bytes"
	"context"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Version goes up with each change of Render's result for some text, so that results of older
// versions can be recognised.
const Version = 1

// Rendered is everything derived from one Markdown text.
type Rendered struct {
	HTML  string    // sanitised and balanced, safe as it is inside any block element; at most MaxHTML bytes
	Text  string    // plain text, words separated by single spaces, for excerpts and search
	Words int       // number of words in Text; a run of a script without spaces counts as one
	TOC   []Heading // the headings with text, in document order; at most MaxHeadings
}

// Heading is one entry of a table of contents.
type Heading struct {
	Level  int    // 1 to 6
	Text   string // plain, words separated by single spaces
	Anchor string // the id of exactly one element in Rendered.HTML
}

// Render turns source into HTML, text and table of contents. The same source always gives the same
// result. It waits for its turn, and ends with the error of ctx when ctx ends.
//
// Every other error is a Refusal: source is longer, larger or deeper than a limit of this package,
// and the message names the limit. The author of source may see it.
func (r *Renderer) Render(ctx context.Context, source string) (Rendered, error) {
	if len(source) > MaxSource {
		return Rendered{}, refuse("the text has %d bytes, more than the %d that are allowed", len(source), MaxSource)
	}
	end, err := take(ctx, r.articles, int64(len(source)))
	if err != nil {
		return Rendered{}, err
	}
	defer end()
	g := newGuard(ctx, []byte(tidy(source)))
	raw, err := g.html(engine)
	if err != nil {
		return Rendered{}, err
	}
	out, err := sanitise(ctx, raw)
	if err != nil {
		return Rendered{}, err
	}
	// Anchors and balanced tags may have made it longer.
	if err := checkSize(len(out.HTML)); err != nil {
		return Rendered{}, err
	}
	return out, nil
}

func checkSize(size int) error {
	if size > MaxHTML {
		return refuse("the text becomes %d bytes of HTML, more than the %d that are allowed", size, MaxHTML)
	}
	return nil
}

// tidy makes files from every editor alike: no byte order mark, line ends as \n, valid UTF-8
// (databases and JSON accept nothing else).
func tidy(source string) string {
	source = strings.TrimPrefix(source, "\ufeff")
	source = strings.ToValidUTF8(source, "\ufffd")
	return lineEnds.Replace(source)
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// engine is goldmark with our extensions. It is not changed after this and safe for concurrent use.
// Cells are aligned by attribute because style attributes don't survive the policy.
var engine = goldmark.New(
	goldmark.WithExtensions(
		extension.Linkify,
		extension.Strikethrough,
		extension.TaskList,
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
		extension.Footnote,
	),
	goldmark.WithParserOptions(
		parser.WithParagraphTransformers(
			util.Prioritized(paragraphGuard{}, 0),
		),
		parser.WithInlineParsers(
			util.Prioritized(inlineGuard{}, 0),
		),
		parser.WithASTTransformers(
			util.Prioritized(headingIDs{}, 0),
		),
	),
	goldmark.WithRendererOptions(html.WithUnsafe()), // sanitise follows
)

// headingIDs reads the ids that authors for Hugo, Zola and Pandoc put after a heading: "## Choose a
// cloth {#cloth}". It drops classes in the braces. goldmark's own WithAttribute takes time
// quadratic in the braces of a heading.
type headingIDs struct{}

// Transform implements parser.ASTTransformer.
func (headingIDs) Transform(doc *ast.Document, reader text.Reader, _ parser.Context) {
	source := reader.Source()
	// The visitor returns no error, so neither does Walk.
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		heading, ok := n.(*ast.Heading)
		if !ok || !entering {
			return ast.WalkContinue, nil
		}
		start, stop := trailingText(heading)
		at := trailingAttributes.FindSubmatchIndex(source[start:stop])
		if at == nil || at[0] > 0 && source[start+at[0]-1] == '\\' {
			return ast.WalkSkipChildren, nil
		}
		for _, word := range bytes.Fields(source[start+at[2] : start+at[3]]) {
			if word[0] == '#' {
				heading.SetAttributeString("id", word[1:])
			}
		}
		cut(heading, start+at[0])
		return ast.WalkSkipChildren, nil
	})
}

var trailingAttributes = regexp.MustCompile(`[ \t]*\{((?:[ \t]*[#.][\pL\pN_:.-]+)+)[ \t]*\}[ \t]*$`)

// trailingText returns the position in the source of the plain text at the end of n; the parser may
// have split it into several nodes.
func trailingText(n ast.Node) (start, stop int) {
	for c := n.LastChild(); c != nil; c = c.PreviousSibling() {
		t, ok := c.(*ast.Text)
		if !ok || stop != 0 && t.Segment.Stop != start {
			break
		}
		if stop == 0 {
			stop = t.Segment.Stop
		}
		start = t.Segment.Start
	}
	return start, stop
}

// cut removes the text at the end of n, from position at of the source on.
func cut(n ast.Node, at int) {
	for c := n.LastChild(); c != nil; {
		t := c.(*ast.Text)
		if t.Segment.Start < at {
			t.Segment.Stop = at
			return
		}
		c = c.PreviousSibling()
		n.RemoveChild(n, t)
		if t.Segment.Start == at {
			return
		}
	}
}
