package importer

// Single parts of reading a file, in tables: dates, front matter, templates, code, and time on
// hostile files.

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"

	"stoa/edit"
)

func TestParseDate(t *testing.T) {
	const noon = "2023-07-01T12:34:56Z"
	cases := map[string]struct{ reason, text, want string }{
		"ISO":           {"RFC 3339", "2023-07-01T12:34:56Z", noon},
		"Offset":        {"offsets count", "2023-07-01T14:34:56+02:00", noon},
		"NoColon":       {"as Hugo and Jekyll write it", "2023-07-01 07:34:56 -0500", noon},
		"ShortHour":     {"20 posts of blog-a have one digit", "2023-07-01 7:34:56 -0500", noon},
		"HoursOnly":     {"YAML lets an offset be hours only", "2023-07-01 07:34:56 -5", noon},
		"HalfHours":     {"India", "2023-07-01 18:04:56 +0530", noon},
		"NoZone":        {"without an offset it is UTC", "2023-07-01 12:34:56", noon},
		"LowerT":        {"YAML allows t", "2023-07-01t12:34:56z", noon},
		"JavaScript":    {"Hashnode", "Sat Jul 01 2023 12:34:56 GMT+0000 (Coordinated Universal Time)", noon},
		"JavaScriptEST": {"with an offset and its name", "Sat Jul 01 2023 08:34:56 GMT-0400 (Eastern Daylight Time)", noon},
		"RFC1123":       {"as feeds write it", "Sat, 01 Jul 2023 12:34:56 GMT", noon},
		"RFC1123Z":      {"with a number", "Sat, 01 Jul 2023 14:34:56 +0200", noon},
		"ANSIC":         {"what C prints", "Sat Jul  1 12:34:56 2023", noon},
		"UnixDate":      {"what date prints", "Sat Jul  1 08:34:56 EDT 2023", noon},
		"Go":            {"what Go prints", "2023-07-01 14:34:56 +0200 CEST", noon},
		"Fraction":      {"parts of a second are kept", "2023-07-01T12:34:56.789Z", "2023-07-01T12:34:56.789Z"},
		"Minutes":       {"seconds may be missing", "2023-07-01 12:34", "2023-07-01T12:34:00Z"},
		"PM":            {"in English", "July 1st, 2023 at 12:34 p.m.", "2023-07-01T12:34:00Z"},
		"AM":            {"midnight is 12 am", "1 Jul 2023 12:34 AM", "2023-07-01T00:34:00Z"},
		"Unix":          {"seconds since 1970", "1688214896", noon},
		"UnixMilli":     {"milliseconds, as JavaScript counts", "1688214896000", noon},
		"Day":           {"a day is its midnight in UTC", "2023-07-01", "2023-07-01T00:00:00Z"},
		"DayShort":      {"without zeros", "2023-7-1", "2023-07-01T00:00:00Z"},
		"DaySlash":      {"the year first", "2023/07/01", "2023-07-01T00:00:00Z"},
		"DayCompact":    {"without separators", "20230701", "2023-07-01T00:00:00Z"},
		"DayEnglish":    {"with the weekday", "Saturday, July 1, 2023", "2023-07-01T00:00:00Z"},
		"DayBritish":    {"the day first, the month a word", "1 July 2023", "2023-07-01T00:00:00Z"},
		"Sept":          {"four letters", "Sept 2, 2023", "2023-09-02T00:00:00Z"},
		"NextDay":       {"an offset may change the day", "2023-06-30T22:34:56-14:00", noon},

		"Ambiguous":   {"March or April", "03/04/2023", ""},
		"NoSuchDay":   {"not rounded to March", "2023-02-30", ""},
		"NoSuchHour":  {"nor to the next day", "2023-07-01 25:00", ""},
		"Zone":        {"CST is also in China and Cuba, but RFC 5322 decides; IST is in three countries", "2023-07-01 12:00 IST", ""},
		"OffsetLarge": {"no such place", "2023-07-01 12:00 +1500", ""},
		"TwoDigits":   {"which century", "01 Jul 23", ""},
		"Words":       {"no date", "yesterday", ""},
		"Empty":       {"nothing", "", ""},
		"Late":        {"years have four digits", "9999-12-31T23:00:00-02:00", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			at, err := parseDate(c.text)
			got := ""
			if err == nil {
				got = at.Format(time.RFC3339Nano)
				if at.Location() != time.UTC {
					t.Errorf("%s: not in UTC", c.text)
				}
			}
			if got != c.want {
				t.Errorf("%s: %q is %q (%v), want %q", c.reason, c.text, got, err, c.want)
			}
		})
	}
}

func TestSlugOf(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Words":      {"words", "The Analytical Engine", "the-analytical-engine"},
		"Accents":    {"accents are folded", "Crème brûlée à Zürich", "creme-brulee-a-zurich"},
		"Letters":    {"letters without a decomposition are spelled out", "Straße Ærø Łódź", "strasse-aero-lodz"},
		"Apostrophe": {"it's is one word", "What’s it's", "whats-its"},
		"Signs":      {"everything else separates", "1.45.1 -- a/b_c", "1-45-1-a-b-c"},
		"Edges":      {"no dash at the ends", "  -x-  ", "x"},
		"Turkish":    {"an i without its dot", "İstanbul ılık", "istanbul-ilik"},
		"Wide":       {"compatibility forms", "ＡＢ① ﬁn", "ab1-fin"},
		"None":       {"no letter that a slug can hold", "你好", ""},
		"Long":       {"cut between words", strings.Repeat("word-", 30), strings.TrimSuffix(strings.Repeat("word-", 20), "-")},
		"LongWord":   {"cut within one, if need be", strings.Repeat("x", 150), strings.Repeat("x", 100)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := edit.Slug(c.text)
			if got != c.want {
				t.Errorf("%s: %q is %q, want %q", c.reason, c.text, got, c.want)
			}
			if again := edit.Slug(got); again != got {
				t.Errorf("a slug stays itself: %q became %q", got, again)
			}
		})
	}
}

func TestLastElement(t *testing.T) {
	cases := map[string]struct{ reason, address, want string }{
		"Folder":   {"as Hugo writes", "/2014/12/08/old-post/", "old-post"},
		"HTML":     {"as Jekyll and Zola write", "blog/2014/Old-Post.html", "Old-Post"},
		"Markdown": {"as digital.gov has it once", "/2014/x.md", "x"},
		"Index":    {"the page of a folder", "/old/index.html", "old"},
		"URL":      {"with a host, a query and a fragment", "https://example.com/a/b?q=/c#d/e", "b"},
		"Host":     {"only a host", "https://example.com", ""},
		"Root":     {"only the root", "/", ""},
		"Encoded":  {"as readers see it", "/caf%C3%A9/", "café"},
		"Broken":   {"an escape that is none", "/100%/", "100%"},
		"Dots":     {"a version isn't an extension", "/1.45.1-prerelease", "1.45.1-prerelease"},
		"Empty":    {"nothing", "", ""},
	}
	for name, c := range cases {
		if got := lastElement(c.address); got != c.want {
			t.Errorf("%s: %s: %q ends in %q, want %q", name, c.reason, c.address, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string][]string{
		"Ada Lovelace": {"Ada Lovelace"},
		"Kyle Strand, Niko Matsakis, and Amanieu d'Antras": {"Kyle Strand", "Niko Matsakis", "Amanieu d'Antras"},
		"Manish Goregaokar and Jynn Nelson":                {"Manish Goregaokar", "Jynn Nelson"},
		"Sammy Davis, Jr. & Felix S. Klock II":             {"Sammy Davis, Jr.", "Felix S. Klock II"},
		"Ada <ada@example.com>; Bo":                        {"Ada", "Bo"},
		"Alexandra Sand":                                   {"Alexandra Sand"},
		"":                                                 nil,
	} {
		if got := splitPeople(text); !slices.Equal(got, want) {
			t.Errorf("%q names %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"ada-lovelace": "Ada Lovelace", "jeremyzilar": "jeremyzilar", "@mark-i-m": "Mark I M", "Jean-Luc": "Jean-Luc", "ada lovelace": "ada lovelace",
	} {
		if got := personName(text); got != want {
			t.Errorf("%q is called %q, want %q", text, got, want)
		}
	}
	for name, want := range map[string]string{
		"C": "c", "C++": "c-plus-plus", "C#": "c-sharp", ".NET": "dot-net", "net": "net", "Open Data": "open-data", "#": "", "++": "",
	} {
		if got := topicSlug(name); got != want {
			t.Errorf("the tag %q has the slug %q, want %q", name, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	r := newReader("x", today, readSite(nil, ".", "x"))
	for source, want := range map[string]string{
		"**Bold** and _thin_ and `code*`":           "Bold and thin and code*",
		"A [link](https://example.com) &amp; more":  "A link & more",
		"<strong>In 2019</strong>&mdash;calls":      "In 2019—calls",
		"<p>A paragraph</p>":                        "A paragraph",
		"2020. It was a year":                       "2020. It was a year",
		"3 * 4 * 5 \\* x < y":                       "3 * 4 * 5 * x < y",
		"two\nlines  here":                          "two lines here",
		"<https://example.com>":                     "https://example.com",
		strings.Repeat("<b>x</b> ", 1000) + "&gt;1": strings.Repeat("x ", 1000) + ">1",
	} {
		if got := r.plain(source); got != want {
			t.Errorf("%.60q reads %.60q, want %.60q", source, got, want)
		}
	}
}

func TestLinksFindThePostThatIsMeant(t *testing.T) {
	l := newLinks("site/news")
	for _, post := range [][2]string{
		{"2019/05/2019-05-15-summit.md", "summit"}, {"2020/05/2019-05-15-summit.md", "summit-again"}, {"bundle/index.md", "a-bundle"}, {"mobile.md", "mobile"},
	} {
		l.add(&linked{file: post[0], path: pathElements(post[0]), slug: post[1], address: post[1]})
	}
	cases := map[string]struct{ reason, target, want string }{
		"Name":     {"by its file name", "2019-05-15-summit.md", "summit"},
		"Stem":     {"as post_url calls it", "2019-05-15-summit", "summit"},
		"Folder":   {"by as much of the path as it takes", "2020/05/2019-05-15-summit.md", "summit-again"},
		"Whole":    {"by a path that goes on above the folder", "/content/site/news/2020/05/2019-05-15-summit.md", "summit-again"},
		"Bundle":   {"by its folder", "/bundle/", "a-bundle"},
		"Index":    {"by the file in it", "bundle/index.md", "a-bundle"},
		"Renamed":  {"the folder had another name", "/blog/2020/05/2019-05-15-summit.md", "summit-again"},
		"Another":  {"a page elsewhere with a name that a post at the top has", "/topics/mobile", ""},
		"Within":   {"the same, within this folder", "/news/mobile", "mobile"},
		"Missing":  {"nothing has the name", "nothing.md", ""},
		"Nothing":  {"no name at all", "/", ""},
		"NotTail":  {"the end of a word isn't a name", "bile.md", ""},
		"WrongDir": {"the right name in the wrong folder", "2021/05/2019-05-15-summit.md", ""},
	}
	for name, c := range cases {
		got := ""
		if found := l.find(c.target, &linked{file: "other.md"}); found != nil {
			got = found.slug
		}
		if got != c.want {
			t.Errorf("%s: %s: %q is %q, want %q", name, c.reason, c.target, got, c.want)
		}
	}
}

// TestCodeFinder compares its code with goldmark's.
func TestCodeFinder(t *testing.T) {
	cases := map[string]string{
		"Fence":           "a\n```go\nx\n```\nb `y` c\n",
		"Tildes":          "~~~\n```\n~~~\n`x`\n",
		"LongerFence":     "````\n```\n````\n`x`\n",
		"UnclosedFence":   "a\n\n```\nx `y`\n\nz\n",
		"FenceInQuote":    "> ```\n> x\n\n`after`\n",
		"QuoteEndsFence":  "> ```\nafter `x`\n",
		"FenceInList":     "1. a\n\n   ```\n   x\n   ```\n\n   `y`\n",
		"FenceAfterItem":  "- ```\n  x\n  ```\n\n`y`\n",
		"NotAFence":       "``` a `b` ```\n",
		"TwoRuns":         "``a ` b`` `c`\n",
		"Unbalanced":      "`a `` b\n\n`c`\n",
		"AcrossLines":     "`a\nb` c\n",
		"NotAcrossBlocks": "`a\n\nb` c\n",
		"Escaped":         "\\`a `b` c\\``d`\n",
		"InHeading":       "# `a`\n`b\n",
		"HeadingEnds":     "# `a\nb`\n",
		"Items":           "- `a\n- b`\n- `c`\n",
		"InHTML":          "<div>\n`a`\n</div>\n\n`b`\n",
		"Pre":             "<pre>\n`a`\n\n`b`\n</pre>\n`c`\n",
		"Comment":         "<!-- `a`\n\n-->\n`b`\n",
		"InlineHTML":      "a <b>`c`</b>\n",
		"LoneTag":         "<span>\n`a`\n</span>\n",
		"QuoteSpan":       "> `a\n> b`\n",
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			ours := codeFinder{body: body}
			ours.find()
			if got, want := mask(body, ours.code), goldmarkCode(body); got != want {
				t.Errorf("code in\n%sgot\n%swant\n%s", body, got, want)
			}
		})
	}
}

// mask shows the letters of body within regions, and a dot for each other letter.
func mask(body string, regions []region) string {
	out := []byte(body)
	for i, c := range out {
		in := slices.ContainsFunc(regions, func(r region) bool { return r.start <= i && i < r.end })
		if !in && c != '\n' {
			out[i] = '.'
		}
		if in && !('a' <= c && c <= 'z') && c != '\n' { // the two count fences and prefixes differently
			out[i] = '.'
		}
	}
	return string(out)
}

func goldmarkCode(body string) string {
	var regions []region
	source := []byte(body)
	_ = ast.Walk(goldmark.DefaultParser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			if n.Info != nil {
				regions = append(regions, region{n.Info.Segment.Start, n.Info.Segment.Stop})
			}
			for i := range n.Lines().Len() {
				regions = append(regions, region{n.Lines().At(i).Start, n.Lines().At(i).Stop})
			}
		case *ast.CodeSpan:
			for child := n.FirstChild(); child != nil; child = child.NextSibling() {
				if t, ok := child.(*ast.Text); ok {
					regions = append(regions, region{t.Segment.Start, t.Segment.Stop})
				}
			}
		}
		return ast.WalkContinue, nil
	})
	return mask(body, regions)
}

// TestHostileFilesTakeTimeInProportion reads texts of 512 KiB that repeat the beginnings of things, a
// case of quadratic time for some parsers. Quadratic time would be minutes.
func TestHostileFilesTakeTimeInProportion(t *testing.T) {
	if testing.Short() {
		t.Skip("20 MB of hostile text")
	}
	head := "---\ntitle: x\nlayout: post\ndate: 2024-01-01\nauthor: a\n---\n"
	for _, unit := range []string{
		"{{< a ", "{{< a >}}", "{{< note >}}", "{{< note >}}{{< /note >}}\n", "{% raw %}", "{{", "{% a `\"", "`", "`` ` ", "> ", "- ", "[",
		"$", "$a", "$$", "\\(", "\\begin{a}", "{/*", "{::comment}", "{{< comment >}}", "{% if x %}", "{% capture a %}", "[x](a.md)", "[x]: y\n", "<div markdown=1>",
		"| a\n", "a\n: b\n", ": b\n\n", ":::note\n", ":smile:", "*[A]: b\nA ", "<A b={c}>", "import a from 'b'\n", "{:", "{:.a}",
		"<div>\n", "<!--", "```\n", "{{< quote >}}\n", "](@/x)", "{{< /x >}}", "\\`", "{{< img x.png >}}", "<iframe>", "<iframe ",
	} {
		body := strings.Repeat(unit, 1<<19/len(unit))
		start := time.Now()
		if _, err := newReader("x", today, readSite(nil, ".", "x")).parse(file{path: "x.md"}, []byte(head+body+" >}} %} }} {{< /note >}}")); err != nil {
			t.Errorf("%q: %v", unit, err)
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("%q, %d bytes of it, took %v", unit, len(body), took)
		}
	}
}
