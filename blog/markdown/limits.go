package markdown

import (
	"bytes"
	"fmt"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// What Render accepts. The longest post in the blogs that we test with has 66 KB.
const (
	// MaxSource is the longest Markdown text, in bytes. With MaxHTML it keeps a version
	// of an article far below the 16 MB that a MongoDB document may have.
	MaxSource = 1 << 20

	// MaxHTML is the most HTML, in bytes, that a text may become. Real posts grow by a
	// twelfth; "#" on every line grows fifteenfold.
	MaxHTML = 4 << 20

	// MaxHeadings is the most headings a table of contents may have.
	MaxHeadings = 5000

	// maxNesting is how many blocks may be open at once, a list and its item being two.
	// The parser's time and memory grow with lines times this.
	maxNesting = 100

	// maxElements is how deep HTML elements may nest. Chromium's parser and that of
	// golang.org/x/net/html stop at 512.
	maxElements = 256

	// maxWork bounds what a text may cost to parse, in units of about a nanosecond.
	// goldmark takes time, and for tables memory, quadratic in some constructs: without
	// this a table of 66 KB takes all memory there is. The dearest of 387 real posts
	// costs 880,000.
	maxWork = 500_000_000
)

// refusal is the panic by which a guard stops the parser, which has no other way to be
// stopped; toHTML turns it into the error that it is.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why }

// guard is a parser.Context that adds up what parsing one text costs.
type guard struct {
	parser.Context
	most    int // work
	nesting int // blocks open at once
	work    int
	escaped int      // \| seen in tables so far
	leaf    ast.Node // the block whose inline content is being parsed
	leafLen int      // how many bytes of source leaf spans
}

func newGuard(source []byte) *guard {
	g := &guard{Context: parser.NewContext(), most: maxWork, nesting: maxNesting}
	// Each reference to a footnote walks the list of all footnotes: 5,000 of each took 140 ms.
	notes := bytes.Count(source, []byte("[^"))
	g.spend(2*notes*notes, "it has too many footnotes")
	return g
}

// spend adds cost, and stops the parser when the text has cost too much. why completes
// "the text is too complex: ".
func (g *guard) spend(cost int, why string) {
	g.work += cost
	if g.work > g.most {
		panic(refusal{"the text is too complex: " + why})
	}
}

// SetOpenedBlocks implements parser.Context.
func (g *guard) SetOpenedBlocks(blocks []parser.Block) {
	if len(blocks) > g.nesting {
		panic(refusal{fmt.Sprintf("quotes and lists are nested more than %d deep", g.nesting)})
	}
	g.Context.SetOpenedBlocks(blocks)
}

// guardedReader counts how often the block parsers look at a line: once and more for
// each line and each block open on it.
type guardedReader struct {
	text.Reader
	guard *guard
}

// PeekLine implements text.Reader.
func (r guardedReader) PeekLine() ([]byte, text.Segment) {
	line, segment := r.Reader.PeekLine()
	r.guard.spend(256+len(line)/8, "it has too many lines in nested quotes and lists")
	return line, segment
}

// paragraphGuard runs before paragraphs are searched for link references and tables.
type paragraphGuard struct{}

// Transform implements parser.ParagraphTransformer.
func (paragraphGuard) Transform(node *ast.Paragraph, reader text.Reader, pc parser.Context) {
	g, source, lines := pc.(*guard), reader.Source(), node.Lines()
	first := lines.At(0)
	if bytes.HasPrefix(bytes.TrimLeft(first.Value(source), " \t"), []byte("[")) {
		// Each reference found moves all lines after it: 7,300 lines took 120 ms.
		g.spend(2*lines.Len()*lines.Len(), "it has too many link references in one paragraph")
	}
	for i := 1; i < lines.Len(); i++ {
		line := lines.At(i)
		value := line.Value(source)
		if len(bytes.Trim(value, " \t\n|:-")) > 0 || !bytes.ContainsRune(value, '-') {
			continue
		}
		// The line under a table's head. Every row gets every column, written or not.
		columns := bytes.Count(bytes.Trim(value, " \t\n|"), []byte("|")) + 1
		cells := columns * (lines.Len() - i)
		g.spend(5000*cells, "its tables have too many cells")
		for j := i; j < lines.Len(); j++ {
			row := lines.At(j)
			escaped := bytes.Count(row.Value(source), []byte(`\|`))
			g.escaped += escaped
			// Each is compared with all others: 7,300 took 1.3 s.
			g.spend(50*escaped*g.escaped, `its tables have too many \|`)
		}
		return
	}
}

// inlineGuard is asked at every character that may begin or end a span. The work there is
// at most in proportion to the paragraph's length: 33,000 brackets in 66 KB took 2.5 s.
type inlineGuard struct{}

// Trigger implements parser.InlineParser.
func (inlineGuard) Trigger() []byte { return []byte("[]!*_~`<") }

// Parse implements parser.InlineParser. It never takes anything.
func (inlineGuard) Parse(parent ast.Node, _ text.Reader, pc parser.Context) ast.Node {
	g := pc.(*guard)
	if g.leaf != parent {
		lines := parent.Lines()
		first, last := lines.At(0), lines.At(lines.Len()-1)
		g.leaf, g.leafLen = parent, last.Stop-first.Start
	}
	g.spend(g.leafLen, "a paragraph has too many brackets, backticks, tags or asterisks")
	return nil
}
