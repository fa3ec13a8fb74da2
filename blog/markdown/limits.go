package markdown

// The limits of rendering: of the text, of the HTML, of the work, and of the texts rendered at
// once. Entry points: New, the limits, guard.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"golang.org/x/sync/semaphore"

	"stoa/meter"
)

// The limits of Render. The longest post in the blogs of the tests has 66 KB.
const (
	// MaxSource is the longest Markdown text, in bytes. A request has at most 1 MiB, and JSON needs
	// one byte for most characters and two for the others of a text, so the longest text fits. With
	// MaxHTML it keeps a version of an article far below the 16 MB of a MongoDB document.
	MaxSource = 500_000

	// MaxHTML is the size limit, in bytes, of the HTML of a text. Real posts grow by a twelfth; "#"
	// on every line grows fifteenfold.
	MaxHTML = 2 << 20

	// MaxHeadings is the number of headings that a table of contents may have.
	MaxHeadings = 5000

	// maxNesting is the number of blocks that may be open at once; a list and its item are two. The
	// parser's time and memory grow with lines times this.
	maxNesting = 100

	// maxElements is the depth to which HTML elements may nest. Chromium's parser and that of
	// golang.org/x/net/html stop at 512.
	maxElements = 256

	// maxWork bounds the cost of parsing a text, in units of about a nanosecond. goldmark takes
	// time, and for tables memory, quadratic in some constructs: without this limit a table of 66
	// KB takes all memory. The dearest of 387 real posts costs 880,000.
	maxWork = 500_000_000
)

// Renderer renders texts in turns, so that many large ones at once don't take the memory and
// the processors of everything else. It is safe for concurrent use.
type Renderer struct {
	articles *semaphore.Weighted // bytes of Markdown
	comments *semaphore.Weighted // comments
}

// New returns a Renderer of at most MaxSource bytes of articles at once, and beside them of one
// comment per processor. Rendering takes up to 200 bytes of memory for each byte of text.
func New() *Renderer {
	return &Renderer{articles: semaphore.NewWeighted(MaxSource), comments: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}
}

// take waits for a turn of weight n, at most until ctx ends. end gives it back.
func take(ctx context.Context, turns *semaphore.Weighted, n int64) (end func(), err error) {
	if err := turns.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("wait for a turn to render: %w", context.Cause(ctx))
	}
	return func() { turns.Release(n) }, nil
}

// Refusal is the error of a text beyond a limit. The author of the text may see it.
type Refusal struct{ why string }

// Error implements error.
func (r *Refusal) Error() string { return r.why }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// stop is the panic by which a guard stops goldmark, since there is no other way to stop it;
// recovered turns it back into its error.
type stop struct{ err error }

// guard is a parser.Context that adds up the cost of parsing one text, and the writer of its
// HTML. It stops both at their limits, and when ctx ends.
type guard struct {
	parser.Context
	ctx     context.Context
	source  []byte
	most    int // work
	nesting int // blocks open at once
	work    int
	checked int      // the work at the last look at ctx
	escaped int      // \| seen in tables so far
	leaf    ast.Node // the block whose inline content is being parsed
	leafLen int      // bytes of source that leaf spans
	out     bytes.Buffer
}

func newGuard(ctx context.Context, source []byte) *guard {
	return &guard{Context: parser.NewContext(), ctx: ctx, source: source, most: maxWork, nesting: maxNesting}
}

// html runs goldmark under the guard.
func (g *guard) html(engine goldmark.Markdown) (out []byte, err error) {
	defer recovered(&err)
	defer func() { meter.From(g.ctx).Rendered(len(g.source), g.out.Len(), g.work) }() // refused or not
	// Each reference to a footnote walks the list of all footnotes: 5,000 of each took 140 ms.
	notes := bytes.Count(g.source, []byte("[^"))
	g.spend(2*notes*notes, "it has too many footnotes")
	doc := engine.Parser().Parse(guardedReader{text.NewReader(g.source), g}, parser.WithContext(g))
	if err := engine.Renderer().Render(g, g.source, doc); err != nil {
		return nil, fmt.Errorf("render HTML: %w", err)
	}
	return g.out.Bytes(), nil
}

// recovered turns a panic that ended goldmark into an error. It must be deferred.
func recovered(err *error) {
	switch cause := recover().(type) {
	case nil:
	case stop:
		*err = cause.err
	default:
		// A text that uncovers a bug in the parser must not end an import of hundreds of files, so
		// the failure is reported as this text's own.
		*err = refuse("the Markdown parser failed on this text: %v", cause)
	}
}

// Write implements io.Writer for HTML. goldmark goes on writing after an error, and a text of 100
// KB can become 4 GB (a link reference of 100,000 bytes, used 40,000 times), so Write stops
// goldmark by a panic.
func (g *guard) Write(b []byte) (int, error) {
	if err := checkSize(g.out.Len() + len(b)); err != nil {
		panic(stop{err})
	}
	g.check()
	return g.out.Write(b)
}

// check stops goldmark when ctx has ended.
func (g *guard) check() {
	if g.ctx.Err() != nil {
		panic(stop{context.Cause(g.ctx)})
	}
}

// untilDone is a reader that fails when ctx has ended.
type untilDone struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (r untilDone) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

// checkEvery is the work after which a guard looks at its context: about a millisecond.
const checkEvery = 1_000_000

// spend adds cost, and stops the parser when the text has cost too much. why completes
// "the text is too complex: ".
func (g *guard) spend(cost int, why string) {
	g.work += cost
	if g.work > g.most {
		panic(stop{refuse("the text is too complex: %s", why)})
	}
	if g.work-g.checked > checkEvery {
		g.checked = g.work
		g.check()
	}
}

// SetOpenedBlocks implements parser.Context.
func (g *guard) SetOpenedBlocks(blocks []parser.Block) {
	if len(blocks) > g.nesting {
		panic(stop{refuse("quotes and lists are nested more than %d deep", g.nesting)})
	}
	g.Context.SetOpenedBlocks(blocks)
}

// guardedReader counts the looks of the block parsers at lines: once and more for each line and
// each block open on it.
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

// inlineGuard is called at every character that may begin or end a span. The work there is at most
// proportional to the paragraph's length: 33,000 brackets in 66 KB took 2.5 s.
type inlineGuard struct{}

// Trigger implements parser.InlineParser.
func (inlineGuard) Trigger() []byte { return []byte("[]!*_~`<") }

// Parse implements parser.InlineParser. It never consumes anything.
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
