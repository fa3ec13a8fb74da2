package markdown

// Comments of readers: a small dialect of Markdown with limits of its own. Entry points: Canonical,
// Renderer.Comment.

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
	nethtml "golang.org/x/net/html"
)

// The limits of Comment.
const (
	// MaxComment is the longest comment, in characters.
	MaxComment = 5000

	// commentNesting is maxNesting for comments: quotes of quotes, five lists deep.
	commentNesting = 10

	// commentElements is maxElements for comments, emphasis within emphasis included.
	commentElements = 50

	// commentWork is maxWork for comments. 5,000 characters of prose with a link in each
	// sentence cost 3,000,000.
	commentWork = 50_000_000
)

// commentEngine knows paragraphs, emphasis, links, code, quotes and lists, and nothing else: a
// heading, a table, a picture or HTML of an article is plain text here. Line ends are kept as
// readers write them.
var commentEngine = goldmark.New(
	goldmark.WithParser(parser.NewParser(
		parser.WithBlockParsers(
			util.Prioritized(parser.NewListParser(), 300),
			util.Prioritized(parser.NewListItemParser(), 400),
			util.Prioritized(parser.NewCodeBlockParser(), 500),
			util.Prioritized(parser.NewFencedCodeBlockParser(), 700),
			util.Prioritized(parser.NewBlockquoteParser(), 800),
			util.Prioritized(parser.NewParagraphParser(), 1000),
		),
		parser.WithInlineParsers(
			util.Prioritized(inlineGuard{}, 0),
			util.Prioritized(noPictures{}, 50),
			util.Prioritized(parser.NewCodeSpanParser(), 100),
			util.Prioritized(parser.NewLinkParser(), 200),
			util.Prioritized(parser.NewAutoLinkParser(), 300),
			util.Prioritized(parser.NewEmphasisParser(), 500),
			util.Prioritized(extension.NewLinkifyParser(), 999),
		),
		parser.WithASTTransformers(util.Prioritized(strangersLinks{}, 0)),
	)),
	goldmark.WithRendererOptions(html.WithHardWraps()),
)

// strangersRel is the rel of a link by somebody whom the site doesn't vouch for: search engines
// give the link no weight, and its page gets no hold of this one.
const strangersRel = "nofollow ugc noopener"

// commentPolicy is the HTML that a comment may contain: the elements of commentEngine and no more,
// so that it holds even if goldmark has a gap. No ids, no classes, no styles.
var commentPolicy = newCommentPolicy()

func newCommentPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowElements("p", "br", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li")
	p.AllowAttrs("start").Matching(regexp.MustCompile(`^[0-9]{1,9}$`)).OnElements("ol")
	p.AllowAttrs("href", "title").OnElements("a")
	p.AllowAttrs("rel").Matching(regexp.MustCompile(`^` + strangersRel + `$`)).OnElements("a")
	return p
}

// Canonical returns the Markdown of a comment in the form to store. It is cheap, so it can come
// before a rate limit. The only error is a Refusal for the length.
func Canonical(source string) (string, error) {
	if len(source) > MaxComment*utf8.UTFMax+MaxComment {
		return "", refuse("a comment takes 1 to %d characters", MaxComment)
	}
	canonical := strings.TrimSpace(tidy(source))
	if n := utf8.RuneCountInString(canonical); n == 0 || n > MaxComment {
		return "", refuse("a comment takes 1 to %d characters, not %d", MaxComment, n)
	}
	return canonical, nil
}

// Comment turns a reader's Markdown into HTML: sanitised and balanced, safe as it is inside any
// block element. It also returns the canonical Markdown, to be stored.
//
// Every error but that of ctx is a Refusal, and its author may see it: source is longer or deeper
// than the limits of this package, or has no visible text.
func (r *Renderer) Comment(ctx context.Context, source string) (canonical, rendered string, err error) {
	if canonical, err = Canonical(source); err != nil {
		return "", "", err
	}
	end, err := take(ctx, r.comments, 1)
	if err != nil {
		return "", "", err
	}
	defer end()
	g := newGuard(ctx, []byte(canonical))
	g.nesting, g.most = commentNesting, commentWork
	raw, err := g.html(commentEngine)
	if err != nil {
		return "", "", err
	}
	clean := commentPolicy.SanitizeBytes(raw)
	says, deepest := look(clean)
	if deepest > commentElements {
		return "", "", refuse("quotes, lists and emphasis are nested more than %d deep", commentElements)
	}
	if !says {
		return "", "", refuse("a comment takes some text: this one shows nothing")
	}
	return canonical, string(clean), nil
}

// look reports whether sanitised HTML has any visible text, and the depth of its elements.
func look(sanitised []byte) (says bool, deepest int) {
	z, depth := nethtml.NewTokenizer(bytes.NewReader(sanitised)), 0
	for z.Next() != nethtml.ErrorToken {
		switch t := z.Token(); t.Type {
		case nethtml.StartTagToken:
			if !isVoid(t.DataAtom) {
				depth++
				deepest = max(deepest, depth)
			}
		case nethtml.EndTagToken:
			depth--
		case nethtml.TextToken:
			says = says || strings.ContainsFunc(t.Data, seen)
		}
	}
	return says, deepest
}

func seen(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) }

// noPictures consumes the exclamation mark that would make a picture of a link.
type noPictures struct{}

// Trigger implements parser.InlineParser.
func (noPictures) Trigger() []byte { return []byte{'!'} }

// Parse implements parser.InlineParser.
func (noPictures) Parse(_ ast.Node, block text.Reader, _ parser.Context) ast.Node {
	line, segment := block.PeekLine()
	if len(line) < 2 || line[1] != '[' {
		return nil
	}
	block.Advance(1)
	return ast.NewTextSegment(segment.WithStop(segment.Start + 1))
}

// strangersLinks marks each link as a stranger's. A link that leads neither to the web nor to a
// mail address becomes its text.
type strangersLinks struct{}

// Transform implements parser.ASTTransformer.
func (strangersLinks) Transform(doc *ast.Document, reader text.Reader, _ parser.Context) {
	var links []ast.Node
	// The visitor returns no error, so neither does Walk.
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if k := n.Kind(); entering && (k == ast.KindLink || k == ast.KindAutoLink) {
			links = append(links, n)
		}
		return ast.WalkContinue, nil
	})
	for _, n := range links {
		switch link := n.(type) {
		case *ast.Link:
			if !leadsOut(link.Destination) {
				parent := link.Parent()
				for c := link.FirstChild(); c != nil; c = link.FirstChild() {
					parent.InsertBefore(parent, link, c)
				}
				parent.RemoveChild(parent, link)
				continue
			}
		case *ast.AutoLink:
			if link.AutoLinkType == ast.AutoLinkURL && !leadsOut(link.URL(reader.Source())) {
				link.Parent().ReplaceChild(link.Parent(), link, ast.NewString(link.Label(reader.Source())))
				continue
			}
		}
		n.SetAttributeString("rel", []byte(strangersRel))
	}
}

var outward = regexp.MustCompile(`^(?i:https?://|mailto:)[^\s/?#:@]`)

func leadsOut(destination []byte) bool { return outward.Match(destination) }
