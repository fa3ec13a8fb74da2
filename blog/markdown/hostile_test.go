package markdown

// Texts that are hostile to parsers: tests that their counted work bounds them, and a benchmark.
// tests/hostile searches for more of them, and counts the work that is really done.

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
)

// hostile are texts of about n bytes that are known to be slow for parsers of Markdown or HTML, or
// that grow much when rendered.
var hostile = map[string]func(n int) string{
	"brackets opened":        repeated("["),
	"brackets closed":        repeated("]"),
	"brackets empty":         repeated("[]"),
	"brackets nested":        around("[", "x", "]"),
	"pictures opened":        repeated("!["),
	"pictures nested":        around("![", "x", "](u)"),
	"links":                  repeated("[a](b)"),
	"links opened":           repeated("[a]("),
	"links opened in angles": repeated("[a](<b"),
	"links titled":           repeated(`[a](b "`),
	"links nested":           around("[", "x", "](u)"),
	"references opened":      repeated("[a]["),
	"references defined":     numbered("[%d]: x\n"),
	"references used apart": func(n int) string {
		return "[x]: http://a.b/" + repeated("u")(n/3) + "\n\n" + repeated("[x]\n\n")(2*n/3)
	},
	"titles used apart":       func(n int) string { return `[x]: u "` + repeated("t")(n/3) + "\"\n\n" + repeated("[x]\n\n")(2*n/3) },
	"pictures by reference":   func(n int) string { return "[x]: u" + repeated("u")(n/3) + "\n\n" + repeated("![x]\n\n")(2*n/3) },
	"references used":         func(n int) string { return "[a]: x\n\n" + repeated("[a]")(n) },
	"footnotes opened":        repeated("[^"),
	"footnotes used":          func(n int) string { return "[^a]: x\n\n" + repeated("[^a]")(n) },
	"footnotes defined":       numbered("[^%d]: x\n"),
	"footnotes each used":     func(n int) string { return numbered("[^%d]: x\n")(n/2) + "\n" + numbered("[^%d] ")(n/2) },
	"footnotes nested":        repeated("[^a]: "),
	"emphasis opened":         repeated("*a "),
	"emphasis closed":         repeated("a* "),
	"emphasis mixed":          repeated("*a_ "),
	"emphasis crossed":        repeated("*_a"),
	"emphasis alternating":    repeated("a**b*"),
	"emphasis nested":         around("*a **a ", "x", "a** a*"),
	"asterisks":               repeated("*"),
	"underscores":             repeated("_ "),
	"tildes":                  repeated("~~a "),
	"backticks growing":       growing("`", "a"),
	"backticks":               repeated("`a``"),
	"angles":                  repeated("<"),
	"tags opened":             repeated("a <a "),
	"tags with attributes":    func(n int) string { return "<p " + numbered("a%d=b ")(n) + ">" },
	"tags nested":             repeated("<div>"),
	"tags nested in line":     repeated("a<b>"),
	"tags left open":          numbered("<b id=x%d><p>"),
	"tags left open in table": repeated("<table><td>"),
	"formatting, then blocks": func(n int) string { return strings.Repeat("<p><i><b>", 80) + repeated("<p>")(n) },
	"paragraphs unclosed":     repeated("<p>a"),
	"links unclosed":          repeated("<a href=x>"),
	"iframes unclosed":        repeated("<iframe>"),
	"comments opened":         repeated("a <!-- "),
	"comments tight":          repeated("<!--"),
	"instructions opened":     repeated("a <? "),
	"declarations opened":     repeated("a <!A "),
	"character data opened":   repeated("a <![CDATA[ "),
	"addresses opened":        repeated("<http:"),
	"addresses bare":          repeated(" http://a.b"),
	"addresses of mail":       repeated(" a@a.b"),
	"addresses underscored":   repeated("a_"),
	"parentheses in address":  func(n int) string { return "http://a.b/" + around("(", "", ")")(n) },
	"entities in address":     func(n int) string { return "http://a.b/" + repeated("&a;")(n) },
	"entities":                repeated("&a"),
	"quotes":                  repeated(">"),
	"quotes a stair":          growing("> ", "a\n"),
	"quotes deep, many lines": func(n int) string { return repeated(strings.Repeat(">", 90) + "a\n")(n) },
	"quotes deep, lazy lines": func(n int) string { return strings.Repeat(">", 90) + "a\n" + repeated("a\n")(n) },
	"quotes, long blank":      func(n int) string { return repeated(strings.Repeat(">", 90) + strings.Repeat(" ", 5000) + "\n")(n) },
	"lists in one line":       repeated("- "),
	"lists numbered":          repeated("1. "),
	"lists a stair":           growing("  ", "- a\n"),
	"lists deep, then blank":  func(n int) string { return strings.Repeat("- ", 49) + "a\n" + repeated("\n")(n) },
	"list items":              repeated("- a\n"),
	"list items apart":        repeated("- a\n\n"),
	"headings empty":          repeated("#\n"),
	"headings alike":          repeated("# a\n"),
	"headings with braces":    func(n int) string { return "# " + repeated("{a={")(n) },
	"headings with ids":       func(n int) string { return "# " + repeated("{#a ")(n) },
	"underlines":              repeated("a\n=\n"),
	"table wide":              func(n int) string { return table(n/5, n/10) },
	"table of all sizes":      func(n int) string { return table(1000, n/2) },
	"tables small":            repeated("|a|\n|-|\n|b|\n\n"),
	"table heads":             repeated("|-\n"),
	"table heads in a row":    repeated("a\n:-\n"),
	"table with escaped bars": func(n int) string { return "|a|\n|-|\n" + repeated("|`a\\|b`|\n")(n) },
	"table cell of bars":      func(n int) string { return "|a|\n|-|\n|`" + repeated("a\\|b")(n) + "`|\n" },
	"fences":                  repeated("```\n"),
	"spaces":                  repeated(" "),
	"tabs":                    repeated("\ta"),
	"lines":                   repeated("a\n"),
	"one word":                repeated("a"),
	"backslashes":             repeated("\\"),
	"zero bytes":              repeated("\x00"),
	"no UTF-8":                repeated("\xff"),
}

func repeated(s string) func(int) string {
	return func(n int) string { return strings.Repeat(s, n/len(s)) }
}

func around(open, middle, end string) func(int) string {
	return func(n int) string {
		times := n / (len(open) + len(end))
		return strings.Repeat(open, times) + middle + strings.Repeat(end, times)
	}
}

func numbered(format string) func(int) string {
	return func(n int) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
}

func growing(step, end string) func(int) string {
	return func(n int) string {
		var b strings.Builder
		for i := 1; b.Len() < n; i++ {
			b.WriteString(strings.Repeat(step, i) + end)
		}
		return b.String()
	}
}

func table(columns, rows int) string {
	return strings.Repeat("|a", columns) + "|\n" + strings.Repeat("|-", columns) + "|\n" + strings.Repeat("a\n", rows)
}

// cost is the work and the memory that one text takes.
type cost struct {
	bytes, work, memory, html int
	refused                   bool
}

// costOf renders a text as an article or, with commentEngine, as a comment, and measures it.
func costOf(source string, engine goldmark.Markdown) (c cost) {
	g := newGuard(context.Background(), []byte(tidy(source)))
	if engine == commentEngine {
		g.nesting, g.most = commentNesting, commentWork
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	raw, err := g.html(engine)
	if err == nil {
		_, err = sanitise(context.Background(), raw)
	}
	runtime.ReadMemStats(&after)
	return cost{len(source), min(g.work, g.most), int(after.TotalAlloc - before.TotalAlloc), g.out.Len(), err != nil}
}

// check reports a cost beyond the limits. Memory is bounded by the counted work, so that the limit
// of the work is one of the memory, too: a cell of a table counts as 5000 and takes some 200 bytes.
func (c cost) check(t *testing.T) {
	t.Helper()
	if most := 1<<20 + 1000*c.bytes + c.work/2; c.memory > most {
		t.Errorf("%d bytes took %d bytes of memory for a work of %d, more than %d", c.bytes, c.memory, c.work, most)
	}
	if c.html > MaxHTML {
		t.Errorf("%d bytes became %d bytes of HTML", c.bytes, c.html)
	}
}

// The counted work of twice a text is at most about four times that of the text, so that the limit
// ends it early. Nothing here depends on the speed of the machine.
func TestHostileTextsAreBounded(t *testing.T) {
	const size = MaxSource / 16
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			costOf(text(size/4), engine).check(t) // limits refuse some of the longer ones at once
			one, two := costOf(text(size), engine), costOf(text(2*size), engine)
			one.check(t)
			two.check(t)
			if !one.refused && float64(two.work) > 4.5*float64(one.work)+1e6 {
				t.Errorf("the work of %d bytes is %d, and of %d bytes %d", one.bytes, one.work, two.bytes, two.work)
			}
			costOf(text(MaxComment), commentEngine).check(t)
		})
	}
}

// FuzzGrowth looks for texts whose memory is not bounded by their counted work. A text is one piece,
// repeated between two others.
func FuzzGrowth(f *testing.F) {
	for _, piece := range []string{"[", "[a](b", "[x%d]: u\n", "[^%d] ", "> ", "- ", "|a", "|-", "a\n", "*a_ ", "~~a ", "`a``", "<b>", "# a\n"} {
		f.Add("", piece, "")
		f.Add("[x]: u\n\n|a|\n|-|\n", piece, "\n\n[x]")
	}
	f.Fuzz(func(t *testing.T, before, piece, after string) {
		if len(before)+len(after) > 1000 || len(piece) == 0 || len(piece) > 100 {
			t.Skip()
		}
		for _, n := range []int{2000, 8000} {
			var b strings.Builder
			b.WriteString(before)
			for i := 0; b.Len() < n; i++ {
				b.WriteString(strings.ReplaceAll(piece, "%d", fmt.Sprint(i)))
			}
			b.WriteString(after)
			costOf(b.String(), engine).check(t)
			costOf(b.String(), commentEngine).check(t)
		}
	})
}

func BenchmarkHostile(b *testing.B) {
	for name, text := range hostile {
		b.Run(name, func(b *testing.B) {
			source := text(MaxSource)
			source = source[:min(len(source), MaxSource)]
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Render(source) // most are refused, and rightly
			}
		})
	}
}
