package markdown

// Texts that are hostile to parsers, and a benchmark of them.

import (
	"fmt"
	"strings"
	"testing"
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
