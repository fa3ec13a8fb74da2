package importer

// What other systems do to a text before readers see it: small folders, and the articles and notes
// that become of them.

import (
	"context"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"stoa/blog"
	render "stoa/blog/markdown"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// folder is an imported folder.
type folder struct {
	articles map[string]blog.Import // by path
	report   Report
}

// read imports files, by path.
func read(t *testing.T, files map[string]string) folder {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	var s shelf
	report := importAll(t, &s, fsys, "folder")
	f := folder{articles: map[string]blog.Import{}, report: report}
	for source, a := range s.articles {
		checkArticle(t, a)
		f.articles[strings.TrimPrefix(source, "folder/")] = a
	}
	return f
}

// noted reports whether a file has a note of a rule.
func (f folder) noted(path, rule string) bool {
	return slices.ContainsFunc(f.report.Entries, func(e Entry) bool { return e.Path == path && e.Rule == rule && e.Kind == EntryNote })
}

// page is a file with front matter of a system, and a text.
func page(matter, text string) string {
	return "---\ntitle: Page\ndate: 2024-01-01\n" + matter + "---\n" + text
}

const jekyllFile = "_posts/2024-01-01-page.md"

// convert imports a text as a file, and returns it as Markdown and as HTML.
func convert(t *testing.T, name, matter, text string) (written, html string, f folder) {
	t.Helper()
	f = read(t, map[string]string{name: page(matter, text)})
	a, found := f.articles[name]
	if !found {
		t.Fatalf("%s isn't imported: %v", name, f.report.Entries)
	}
	rendered, err := render.New().Render(context.Background(), a.Markdown)
	if err != nil {
		t.Fatal(err)
	}
	return a.Markdown, rendered.HTML, f
}

func TestHiddenPagesAreDrafts(t *testing.T) {
	text := "Text.\n"
	toml := func(matter string) string {
		return "+++\ntitle = \"Page\"\ndate = 2024-01-01\n" + matter + "+++\n" + text
	}
	cases := map[string]struct {
		reason string
		files  map[string]string
		draft  map[string]bool // by path; no others exist
	}{
		"Headless":      {"Hugo makes no page of a headless bundle, nor of the texts in it", map[string]string{"a/index.md": page("headless: true\n", text), "a/part.md": page("", text), "b.md": page("headless: false\n", text)}, map[string]bool{"a/index.md": true, "a/part.md": true, "b.md": false}},
		"Build":         {"never rendered or never listed, by both names", map[string]string{"a.md": page("build:\n  render: never\n", text), "b.md": page("_build:\n  list: false\n", text), "c.md": page("build:\n  list: local\n", text), "d.md": page("build:\n  list: always\n  render: true\n", text)}, map[string]bool{"a.md": true, "b.md": true, "c.md": true, "d.md": false}},
		"Cascade":       {"a section says it for all pages below, and a page for itself", map[string]string{"s/_index.md": "---\ncascade:\n  draft: true\n---\n", "s/a.md": page("", text), "s/deep/b.md": page("", text), "s/c.md": page("draft: false\n", text), "t/d.md": page("", text)}, map[string]bool{"s/a.md": true, "s/deep/b.md": true, "s/c.md": false, "t/d.md": false}},
		"CascadeList":   {"several cascades, each for the pages of its target", map[string]string{"_index.md": "---\ncascade:\n- _target:\n    path: /**/secret/**\n  build:\n    list: never\n- target:\n    kind: section\n  draft: true\n---\n", "x/secret/a.md": page("", text), "x/open/b.md": page("", text)}, map[string]bool{"x/secret/a.md": true, "x/open/b.md": false}},
		"CascadeNearer": {"the nearest section counts, in any order of names", map[string]string{"_index.md": "---\ncascade:\n  draft: true\n---\n", "2024/_index.md": "---\ncascade:\n  draft: false\n---\n", "2024/a.md": page("", text), "x/b.md": page("", text)}, map[string]bool{"2024/a.md": false, "x/b.md": true}},
		"CascadeTOML":   {"in TOML", map[string]string{"s/_index.md": "+++\n[cascade.build]\nrender = 'never'\n+++\n", "s/a.md": toml("")}, map[string]bool{"s/a.md": true}},
		"Configuration": {"the site's configuration says it for all pages", map[string]string{"hugo.toml": "[cascade]\ndraft = true\n", "a.md": page("", text)}, map[string]bool{"a.md": true}},
		"Defaults":      {"Jekyll's configuration says it for a folder", map[string]string{"_config.yml": "defaults:\n- scope:\n    path: _posts/private\n  values:\n    published: false\n", "_posts/private/2024-01-01-a.md": page("", text), "_posts/2024-01-01-b.md": page("", text)}, map[string]bool{"_posts/private/2024-01-01-a.md": true, "_posts/2024-01-01-b.md": false}},
		"Zola":          {"no page of a file, and none of a section's draft", map[string]string{"a.md": toml("render = false\n"), "b.md": toml("render = true\n"), "s/_index.md": "+++\ndraft = true\n+++\n", "s/c.md": toml("")}, map[string]bool{"a.md": true, "b.md": false, "s/c.md": true}},
		"Docusaurus":    {"unlisted", map[string]string{"a.md": page("unlisted: true\n", text)}, map[string]bool{"a.md": true}},
		"Hashnode":      {"drafts and ignored files", map[string]string{"a.md": page("saveAsDraft: true\n", text), "b.md": page("ignorePost: true\n", text), "c.md": page("saveAsDraft: false\n", text)}, map[string]bool{"a.md": true, "b.md": true, "c.md": false}},
		"Eleventy":      {"no address, and no list", map[string]string{"a.md": page("permalink: false\n", text), "b.md": page("eleventyExcludeFromCollections: true\n", text), "c.md": page("permalink: /c/\n", text)}, map[string]bool{"a.md": true, "b.md": true, "c.md": false}},
		"Readers":       {"for some readers only", map[string]string{"a.md": page("password: secret\n", text), "b.md": page("visibility: members\n", text), "c.md": page("visibility: public\n", text), "d.md": page("private: true\n", text)}, map[string]bool{"a.md": true, "b.md": true, "c.md": false, "d.md": true}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := read(t, c.files)
			if got, want := slices.Sorted(maps.Keys(f.articles)), slices.Sorted(maps.Keys(c.draft)); !slices.Equal(got, want) {
				t.Fatalf("%s: articles %v, want %v: %v", c.reason, got, want, f.report.Entries)
			}
			for path, draft := range c.draft {
				noted := slices.ContainsFunc(f.report.Entries, func(e Entry) bool { return e.Path == path && strings.Contains(e.Rule, "imported as a draft") })
				if f.articles[path].Draft != draft || noted != draft {
					t.Errorf("%s: %s: draft %t, noted %t, want %t", c.reason, path, f.articles[path].Draft, noted, draft)
				}
			}
		})
	}
}

func TestCommentsAreLeftOut(t *testing.T) {
	cases := map[string]struct{ reason, name, text string }{
		"Shortcode":  {"Hugo's own", "a.md", "Before.\n\n{{< comment >}}\nSECRET\n\nSECRET\n{{< /comment >}}\n\nAfter.\n"},
		"Percent":    {"in the other form, within a line", "a.md", "Before. {{% comment %}} SECRET {{%/comment%}} After.\n"},
		"Nested":     {"one within another", "a.md", "Before.\n{{< comment >}}SECRET{{< comment >}}SECRET{{< /comment >}}SECRET{{< /comment >}}\nAfter.\n"},
		"Tags":       {"with other templates in it", "a.md", "Before.\n{{< comment >}}{{< figure src=\"/SECRET.png\" >}}{{< /comment >}}\nAfter.\n"},
		"Fence":      {"a fence begins in it and doesn't end", "a.md", "Before.\n\n{{< comment >}}\n```\nSECRET\n{{< /comment >}}\n\nAfter.\n\n{{< comment >}}\n```\nSECRET\n{{< /comment >}}\n"},
		"Tick":       {"a backtick in it meets one behind it", "a.md", "Before. {{< comment >}}SECRET ` SECRET{{< /comment >}} After. ` x\n"},
		"Stray":      {"a beginning without an end hides no other", "a.md", "Before. {{< comment >}} After.\n\n{{< comment >}}SECRET{{< /comment >}}\n"},
		"Kramdown":   {"a block", jekyllFile, "Before.\n\n{::comment}\nSECRET\n{:/comment}\n\nAfter.\n"},
		"Inline":     {"in a line, with the short end", jekyllFile, "Before. {::comment}SECRET{:/} After.\n"},
		"Liquid":     {"a block, with a dash", jekyllFile, "Before.\n{%- comment -%}\nSECRET {% if x %}SECRET{% endif %}\n{%- endcomment -%}\nAfter.\n"},
		"LiquidLine": {"a single tag", jekyllFile, "Before. {% # SECRET %} After.\n"},
		"MDX":        {"an expression that is a comment", "a.md", "Before.\n\n{/* SECRET\n\nSECRET */}\n\nAfter.\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			written, _, f := convert(t, c.name, "", c.text)
			if strings.Contains(written, "SECRET") || !strings.Contains(written, "Before.") || !strings.Contains(written, "After.") {
				t.Errorf("%s: %q", c.reason, written)
			}
			if !f.noted(c.name, noteComment) {
				t.Errorf("%s: no note: %v", c.reason, f.report.Entries)
			}
		})
	}
	for name, c := range map[string]struct{ reason, name, text, want string }{
		"Code":    {"readers are shown how to write one", "a.md", "```\n{{< comment >}}x{{< /comment >}}\n```\n", "{{< comment >}}x{{< /comment >}}"},
		"Escaped": {"an escaped one is shown", "a.md", "{{</* comment */>}}x{{</* /comment */>}}\n", "{{< comment >}}x{{< /comment >}}"},
		"Raw":     {"raw text is shown", jekyllFile, "{% raw %}{% comment %}x{% endcomment %}{% endraw %}\n", "{% comment %}x{% endcomment %}"},
	} {
		if written, _, _ := convert(t, c.name, "", c.text); !strings.Contains(written, c.want) {
			t.Errorf("%s: %s: %q lacks %q", name, c.reason, written, c.want)
		}
	}
}

func TestParametersAreReadAsTheOtherSystemReadsThem(t *testing.T) {
	zola := "+++\ntitle = \"x\"\ndate = 2024-01-01\n+++\n"
	cases := map[string]struct{ reason, name, text, want string }{
		"Spaces":       {"around =", "a.md", `{{< figure src = "/a.png" alt= "A" caption ="Caption" >}}`, "![A](/a.png)\\\n*Caption*"},
		"Lines":        {"over several lines", "a.md", "{{<figure\n  src\n  =\n  \"/a.png\"\n  alt=\"A\"\n>}}", "![A](/a.png)"},
		"Raw":          {"between backticks marks and blank lines stand for themselves", "a.md", "{{< figure src=`/a.png` alt=`An \"A\"` >}}", `![An "A"](/a.png)`},
		"RawBlank":     {"a raw text with a blank line", "a.md", "{{< quote text=`One\n\nTwo` >}}", "> One\n>\n> Two"},
		"Escaped":      {"escaped marks in a text", "a.md", `{{< figure src="/a.png" alt="An \"A\"" >}}`, `![An "A"](/a.png)`},
		"EscapedMarks": {"marks that are escaped themselves", "a.md", `{{< figure src=\"/a.png\" alt=\"An A\" >}}`, `![An A](/a.png)`},
		"End":          {"the tag's end within a text is none", "a.md", `{{< figure src="/a.png" alt="a >}} b" >}}`, "![a >}} b](/a.png)"},
		"Positions":    {"by position: address, description, caption", "a.md", `{{< img "/a.png" "An A" "The caption" >}}`, "![An A](/a.png)\\\n*The caption*"},
		"Unquoted":     {"without marks, and closed", "a.md", `{{< figure src=/a.png alt=A />}}`, "![A](/a.png)"},
		"Credit":       {"whose picture it is, with the address", "a.md", `{{< figure src="/a.png" alt="A" attr="Ada" attrlink="https://example.com/" >}}`, "*[Ada](https://example.com/)*"},
		"Unknown":      {"an unknown name, but a picture's address", "a.md", `{{< lightbox src="img/a.webp?x=1" alt="A" >}}`, "![A](img/a.webp?x=1)"},
		"Several":      {"several pictures", "a.md", `{{< gallery "/a.png" "/b.jpg" >}}`, "![](/a.png)\n\n![](/b.jpg)"},
		"Nested":       {"pairs in pairs of the same name", "a.md", "{{< columns >}}a{{< columns >}}b{{< /columns >}}c{{< /columns >}}", "abc"},
		"Title":        {"a box with its title by position", "a.md", "{{< details \"The title\" >}}\nInside.\n{{< /details >}}", "**The title**\n\nInside."},
		"Video":        {"an id with spaces", "a.md", `{{< youtube id = "abc" >}}`, "(https://www.youtube.com/watch?v=abc)"},
		"Zola":         {"spaces, three kinds of marks", "z.md", zola + "{{ figure ( src = '/a.png' , alt = `An \"A\"` ) }}", `![An "A"](/a.png)`},
		"ZolaList":     {"a list", "z.md", zola + `{{ gallery(images=["/a.png", "/b.png"], wide=true) }}`, "![](/a.png)\n\n![](/b.png)"},
		"ZolaEscaped":  {"an escaped shortcode is shown", "z.md", zola + `{{/* youtube(id="x") */}}`, `{{ youtube(id="x") }}`},
		"Include":      {"an include is the picture in its parameters", jekyllFile, `{% include figure.html src = "/a.png" alt="A" caption='The caption' %}`, "![A](/a.png)\\\n*The caption*"},
		"IncludePath":  {"by another name of the address", jekyllFile, `{% include figure.liquid loading="eager" path="assets/a.jpg" class="img-fluid rounded" title="T" %}`, "![T](assets/a.jpg)"},
		"IncludeOther": {"by any name", jekyllFile, `{% include my/own.html thing="/a.png" description="A" %}`, "![A](/a.png)"},
		"IncludeSite":  {"behind the site's address", jekyllFile, `{% include image.html url="{{ site.baseurl }}/a.png" description="A" %}`, "![A](/a.png)"},
		"IncludePage":  {"the address is in the front matter", jekyllFile, `{% include image.html url=page.teaser description=page.title %}`, "![Page](/t.png)"},
		"IncludeVideo": {"a film", jekyllFile, `{% include video id="abc" provider="youtube" %}`, "(https://www.youtube.com/watch?v=abc)"},
		"IncludeText":  {"a box with its text in a parameter", jekyllFile, `{% include note.html content="Mind the *gap*." %}`, "Mind the *gap*."},
		"Gallery":      {"pictures that the front matter lists", jekyllFile, `{% include gallery caption="Both" %}`, "![First](/1.jpg)\n\n![](/2.jpg)\n\n*Both*"},
		"Colon":        {"Liquid's own parameters", jekyllFile, `{% render "figure", src: "/a.png", alt: "A" %}`, "![A](/a.png)"},
		"Octopress":    {"by position behind a class, with sizes", jekyllFile, `{% img left /a.png 300 200 "The title" "An A" %}`, "(/a.png)"},
		"Capture":      {"a text in a variable", jekyllFile, "{% capture hint %}Mind the *gap*.{% endcapture %}\n\n<div>{{ hint | markdownify }}</div>", "<div>Mind the *gap*.</div>"},
		"Assign":       {"an address in a variable", jekyllFile, "{% assign where = \"/a.png\" %}{% include image.html src=where alt=\"A\" %}", "![A](/a.png)"},
		"Output":       {"a value of the front matter", jekyllFile, "It is {{ page.title | escape }}.", "It is Page."},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file := c.text
			if c.name != "z.md" {
				file = page("teaser: /t.png\ngallery:\n- image_path: /1.jpg\n  alt: First\n- url: /2.jpg\n", c.text)
			}
			got := read(t, map[string]string{c.name: file}).articles[c.name].Markdown
			if !strings.Contains(got, c.want) {
				t.Errorf("%s:\n%s\nbecomes %q, which lacks %q", c.reason, c.text, got, c.want)
			}
		})
	}
}

func TestOfBranchesOneIsKeptAtMost(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"If":     {"nothing without an else", "a{% if x %}NO{% endif %}b", "ab"},
		"Else":   {"the else", "a{% if x %}NO{% else %}yes{% endif %}b", "ayesb"},
		"Elsif":  {"the else behind others", "a{% if x == 1 %}NO{% elsif y %}NO{% else %}yes{% endif %}b", "ayesb"},
		"Unless": {"the same", "a{% unless x %}NO{% else %}yes{% endunless %}b", "ayesb"},
		"Case":   {"the same", "a{% case x %}{% when 1 %}NO{% when 2 %}NO{% else %}yes{% endcase %}b", "ayesb"},
		"Nested": {"an else within a branch isn't that of the branches around it", "a{% if x %}NO{% if y %}NO{% else %}NO{% endif %}{% else %}y{% if z %}NO{% else %}es{% endif %}{% endif %}b", "ayesb"},
		"Dashes": {"with dashes", "a{%- if x -%}NO{%- else -%}yes{%- endif -%}b", "ayesb"},
		"Loop":   {"nothing of a loop", "a{% for p in site.posts %}NO {{ p.title }}{% endfor %}b", "ab"},
	}
	for name, c := range cases {
		written, _, f := convert(t, jekyllFile, "", c.text)
		if strings.TrimSpace(written) != c.want {
			t.Errorf("%s: %s: %q becomes %q, want %q", name, c.reason, c.text, written, c.want)
		}
		if !f.noted(jekyllFile, noteBranch) && !f.noted(jekyllFile, noteLoop) {
			t.Errorf("%s: no note: %v", name, f.report.Entries)
		}
	}
}

func TestLinksBetweenPostsLeadToTheArticles(t *testing.T) {
	files := map[string]string{
		"_config.yml":                            "url: https://www.example.com\n",
		"_posts/2024-09-01-target.md":            "---\ntitle: Target\ntags: [Engines]\n---\n" + ("## Some part\n\nText.\n\n## Named {#named}\n\nSetext `code`\n------\n\n<a name=\"old.one\"></a>\n\n## S-Bahn\n"),
		"_posts/2024-09-05-other.md":             "---\nlayout: post\ntitle: Other\npermalink: /special/place/\nredirect_from: /very/old.html\n---\nText.\n",
		"docs/target.md":                         "---\ntitle: Another target\ndate: 2024-02-02\nslug: another\n---\nText.\n",
		"docs/deep/page.md":                      page("slug: page-deep\n", "[up](../target.md) and [up](../target/) and [same](page.md#x)\n"),
		"_posts/2024-09-06-links-of-the-day.md":  page("", "Text.\n"),
		"_posts/2023-09-06-links-of-the-day2.md": page("slug: links-of-the-day\n", "Text.\n"),
	}
	cases := map[string]struct{ reason, text, want, note string }{
		"File":       {"by file", "[x](2024-09-01-target.md)", "[x](target)", ""},
		"FilePart":   {"by file and part", "[x](./2024-09-01-target.md#some-part)", "[x](target#s-some-part)", ""},
		"Title":      {"with a title", "[x](2024-09-01-target.md#named \"T\")", "[x](target#s-named \"T\")", ""},
		"Pointed":    {"in pointed brackets", "[x](<2024-09-01-target.md>)", "[x](target)", ""},
		"Up":         {"by a path that goes up", "[x](../docs/target.md)", "[x](another)", ""},
		"Above":      {"by a path through another folder", "[x](../../elsewhere/2024-09-01-target.md)", "[x](target)", ""},
		"Reference":  {"by reference", "[x][r]\n\n[r]: 2024-09-01-target.md#named", "[r]: target#s-named", ""},
		"HTML":       {"in HTML", "<a class=\"x\" href=\"2024-09-01-target.md#named\">x</a>", "href=\"target#s-named\"", ""},
		"PostURL":    {"by post_url", "[x]({% post_url 2024-09-01-target %}#named)", "[x](target#s-named)", ""},
		"Link":       {"by link", "[x]({% link _posts/2024-09-01-target.md %})", "[x](target)", ""},
		"LinkBase":   {"by link behind the site's address", "[x]({{ site.baseurl }}{% link _posts/2024-09-01-target.md %})", "[x](target)", ""},
		"Ref":        {"by ref", "[x]({{< ref \"target#some-part\" >}})", "[x](another#s-some-part)", noteAnchor},
		"Permalink":  {"by its address with the day", "[x](/2024/09/01/target/)", "[x](target)", ""},
		"HTMLEnd":    {"Jekyll's address, with a topic", "[x](/engines/2024/09/01/target.html#setext-code)", "[x](target#s-setext-code)", ""},
		"Blog":       {"below blog", "[x](/blog/2024/09/target?utm_source=x#old.one)", "[x](target#s-old-one)", ""},
		"Host":       {"with the site's own host", "[x](https://example.com/2024/09/01/target/)", "[x](target)", ""},
		"Explicit":   {"by the address in the front matter", "[x](/special/place)", "[x](place)", ""},
		"Redirect":   {"by a former address", "[x](/very/old.html)", "[x](place)", ""},
		"Initial":    {"a heading named like an anchor", "[x](2024-09-01-target.md#s-bahn)", "[x](target#s-s-bahn)", ""},
		"Picture":    {"a picture that leads to a post", "[![a](https://example.org/a.png)](2024-09-01-target.md)", "](target)", ""},
		"Own":        {"a part of the same text stays", "[x](#here)\n\n## Here", "[x](#here)", ""},
		"WrongDay":   {"the name on another day is another page", "[x](/2020/01/01/target/)", "[x](/2020/01/01/target/)", noteOutside},
		"WrongPlace": {"the name elsewhere is another page", "[x](/topics/target/)", "[x](/topics/target/)", noteOutside},
		"Missing":    {"no such file", "[x](2024-01-01-missing.md)", "[x](2024-01-01-missing.md)", noteOutside},
		"NoPart":     {"a part that it doesn't have", "[x](2024-09-01-target.md#nothing)", "[x](target#s-nothing)", noteAnchor},
		"Elsewhere":  {"another site", "[x](https://example.org/2024/09/01/target/)", "[x](https://example.org/2024/09/01/target/)", ""},
		"Code":       {"code is no link", "`[x](2024-09-01-target.md)`", "`[x](2024-09-01-target.md)`", ""},
		"Escaped":    {"nor is an escaped bracket", "\\[x\\](2024-09-01-target.md)", "\\[x\\](2024-09-01-target.md)", ""},
		"Mail":       {"nor an address of another kind", "[x](mailto:ada@example.com)", "[x](mailto:ada@example.com)", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			source := "_posts/2024-09-02-source.md"
			files[source] = page("", c.text+"\n")
			f := read(t, files)
			if got := f.articles[source].Markdown; !strings.Contains(got, c.want) {
				t.Errorf("%s: %q becomes %q, which lacks %q", c.reason, c.text, got, c.want)
			}
			for _, rule := range []string{noteOutside, noteAnchor} {
				if f.noted(source, rule) != (rule == c.note) {
					t.Errorf("%s: the note %q: %t: %v", c.reason, rule, f.noted(source, rule), f.report.Entries)
				}
			}
		})
	}
	f := read(t, files)
	if got := f.articles["docs/deep/page.md"].Markdown; got != "[up](another) and [up](another) and [same](page-deep#s-x)\n" {
		t.Errorf("relative links: %q", got)
	}
}

func TestFormulasPassThrough(t *testing.T) {
	formulas := []string{
		`$l \in \{1,\dots,L\}$`, `$x_{i}$`, "$a*b*c$", `$$ a_1 < b_2 \\ c & d $$`, "$$\nz^{t+1}_{d}=g_{\\theta_{d}}(A^t_{d}) * 2 * 3\n$$",
		"\\begin{align}\na_1 &= b_1 \\\\\na_2 &= b_2\n\\end{align}", `\(a_b + c_d\)`, `\[ \frac{1}{2} [x](y) \]`, "$$\n= 1\n- 2\n# 3\n1. 4\n> 5\n$$", `$|x| ~~y~~ <b> ![z]$`,
	}
	says := map[string]string{"math": "math: true\n", "katex": "katex: true\n", "mathjax": "use_math: true\n", "params": "params:\n  math: true\n", "markup": "markup: mmark\n", "library": "math: katex\n"}
	for name, matter := range says {
		for _, formula := range formulas {
			_, html, f := convert(t, "a.md", matter, "Before "+formula+" behind.\n\nA price of $5 and another of $6 stays *text*.\n")
			want := "Before " + strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(formula) + " behind."
			if !strings.Contains(html, want) || !strings.Contains(html, "$5 and another of $6 stays <em>text</em>") {
				t.Errorf("%s: %q becomes\n%s, which lacks\n%s", name, formula, html, want)
			}
			if f.noted("a.md", noteFormula) {
				t.Errorf("%s: %q has a note", name, formula)
			}
		}
	}
	for name, c := range map[string]struct{ reason, name, matter, text, want string }{
		"Silent":   {"where nobody says so it is Markdown, with a note", "a.md", "", "$$ a_1 *b* $$", "<em>b</em>"},
		"False":    {"or says that there are none", "a.md", "math: false\n", "$$ a_1 *b* $$", "<em>b</em>"},
		"Kramdown": {"kramdown's delimiters are always two", jekyllFile, "layout: post\n", "$$ a_1 *b* $$ and $*x*$", "$$ a_1 *b* $$ and $<em>x</em>$"},
		"Code":     {"code isn't a formula", "a.md", "math: true\n", "`$a_b$` and $\\text{`}_c$", "<code>$a_b$</code>"},
		"Table":    {"a bar in a cell", "a.md", "math: true\n", "| a | b |\n|---|---|\n| $|x|$ | y |\n", "<td>$|x|$</td>"},
		"List":     {"within an item", "a.md", "math: true\n", "1. Item\n\n   $$\n   a_1 + b_1\n   $$\n", "<p>$$\na_1 + b_1\n$$</p>"},
		"Quote":    {"within a quotation", "a.md", "math: true\n", "> $$\n> a_1 + b_1\n> $$\n", "<p>$$\na_1 + b_1\n$$</p>"},
		"Caption":  {"in a parameter", "a.md", "math: true\n", "{{< figure src=\"/a.png\" alt=\"A\" caption=\"$x$ and $y$\" >}}", "/a.png"},
		"HTML":     {"in HTML", "a.md", "math: true\n", "<div>\n$a<b$\n</div>", "$a&lt;b$"},
	} {
		if _, html, f := convert(t, c.name, c.matter, c.text); !strings.Contains(html, c.want) || f.noted(c.name, noteFormula) != strings.HasPrefix(c.want, "<em>b") {
			t.Errorf("%s: %s: %q becomes %q, want %q: %v", name, c.reason, c.text, html, c.want, f.report.Entries)
		}
	}
	site := map[string]string{"hugo.toml": "[markup.goldmark.extensions.passthrough]\nenable = true\n", "a.md": page("", "$$ a_1 *b* $$")}
	if got := read(t, site).articles["a.md"].Markdown; got != "$$ a\\_1 \\*b\\* $$\n" {
		t.Errorf("the site says so: %q", got)
	}
}

func TestEmojiCodesBecomeSigns(t *testing.T) {
	text := "Done :smile: at 10:00:30, `:smile:` and :nothing: and http://example.com/:smile:/x.\n\n## Box :package:\n"
	for name, config := range map[string]map[string]string{
		"Hugo": {"config.toml": "enableEmoji = true\n"}, "Jekyll": {"_config.yml": "plugins: [jemoji]\n"}, "Zola": {"config.toml": "[markdown]\nrender_emoji = true\n"},
	} {
		config["a.md"] = "---\ntitle: \"Ready :tada:\"\ndate: 2024-01-01\n---\n" + text
		f := read(t, config)
		want := "Done 😄 at 10:00:30, `:smile:` and :nothing: and http://example.com/:smile:/x.\n\n## Box 📦\n"
		if a := f.articles["a.md"]; a.Markdown != want || a.Title != "Ready 🎉" || f.noted("a.md", noteEmoji) {
			t.Errorf("%s: %q, %q: %v", name, a.Title, a.Markdown, f.report.Entries)
		}
	}
	if written, _, f := convert(t, "a.md", "", text); written != text || !f.noted("a.md", noteEmoji) {
		t.Errorf("without a configuration: %q: %v", written, f.report.Entries)
	}
	if _, _, f := convert(t, "a.md", "", "At 10:00:30, :nothing: and `:smile:`.\n"); f.noted("a.md", noteEmoji) {
		t.Error("no code, but a note")
	}
}

func TestDialectsBecomeMarkdown(t *testing.T) {
	cases := map[string]struct{ reason, name, text, want, not, note string }{
		"Contents":     {"kramdown's table of contents", jekyllFile, "Before.\n\n* TOC\n{:toc}\n\n## A\n", "<h2", "TOC", noteContents},
		"ContentsOwn":  {"that of others", "a.md", "[TOC]\n\n## A\n", "<h2", "TOC", noteContents},
		"Definition":   {"a definition list", jekyllFile, "Term *one*\n: The **first**\n  goes on\n: The second\n\nTerm two\n: Third\n\nBehind.\n", "<dt>\n<p>Term <em>one</em></p>\n</dt>\n<dd>\n<p>The <strong>first</strong>\ngoes on</p>\n</dd>\n<dd>\n<p>The second</p>\n</dd>\n<dt>\n<p>Term two</p>\n</dt>\n<dd>\n<p>Third</p>\n</dd>\n</dl>\n<p>Behind.</p>", ": The", ""},
		"Loose":        {"with blank lines, in Hugo", "a.md", "Term\n\n: First\n\n  Second\n\nBehind.\n", "<dd>\n<p>First</p>\n<p>Second</p>\n</dd>\n</dl>\n<p>Behind.</p>", ": First", ""},
		"NoDefinition": {"a colon alone defines nothing", "a.md", "He said:\nmore\n\n- item\n: x\n", "<li>item", "<dl>", ""},
		"InHTML":       {"Markdown in HTML", jekyllFile, "<div class=\"notice\" markdown=\"1\">\n**Bold** and [x](https://example.com/)\n</div>\n", "<strong>Bold</strong>", "markdown", ""},
		"InHTMLNested": {"with an element of the same name in it", jekyllFile, "<div markdown=\"1\">\n*a*\n<div>\n\n*b*\n\n</div>\n*c*\n</div>\n", "<em>c</em>", "", ""},
		"InHTMLSpan":   {"within a line", jekyllFile, "<span markdown=\"1\">*a*</span>", "<em>a</em>", "markdown", ""},
		"InHTMLOff":    {"as it is", jekyllFile, "<div markdown=\"0\">\n*a*\n</div>\n", "*a*", "markdown", ""},
		"Abbreviation": {"an abbreviation", jekyllFile, "HTML and XHTML, `HTML` and [HTML](https://example.com/HTML).\n\n*[HTML]: Hyper *Text*\n", "<abbr title=\"Hyper *Text*\">HTML</abbr> and XHTML", "*[", ""},
		"Headless":     {"a table without a head", jekyllFile, "| a | b |\n| c | *d* |\n", "<td><em>d</em></td>", "| a", noteTable},
		"Plus":         {"kramdown's lines in a table", jekyllFile, "|---+---|\n| a | b |\n|:--+---|\n| c | d |\n|===+===|\n| e | f |\n", "<td>f</td>", "===", ""},
		"HeadingID":    {"the id of a heading", jekyllFile, "## Head\n{: #given .big}\n\n## Other {: #second}\n\n[a](#given) [b](#second)\n", "href=\"#s-given\">a</a> <a href=\"#s-second\">b</a>", "{:", ""},
		"Attributes":   {"other attributes", jekyllFile, "![a](https://example.com/a.png){:width=\"300\"}\n", "a.png", "{:", noteAttributes},
		"Directive":    {"a box of Docusaurus", "a.md", ":::tip[Mind *this*]\nInside **bold**.\n:::\n\nBehind.\n", "<p><strong>Mind <em>this</em></strong></p>\n<p>Inside <strong>bold</strong>.</p>", ":::", noteDirective},
		"DirectiveOld": {"in the older form, right behind a text", "a.md", "Before.\n:::warning\nInside.\n:::\n", "<p>Before.</p>\n<p><strong>Warning</strong></p>\n<p>Inside.</p>", ":::", noteDirective},
		"Leaf":         {"a directive without a content", "a.md", "::youtube[A film]{#abc}\n", "A film", "::", noteDirective},
		"Module":       {"imports and exports of MDX", "a.mdx", "import Tabs from '@theme/Tabs';\nimport x, {y} from \"./z\"\n\nexport const a = {\n  b: 1,\n};\n\nText.\n", "<p>Text.</p>", "import", noteModule},
		"Component":    {"a component", "a.mdx", "<Tabs groupId=\"x\">\n\nInside.\n\n</Tabs>\n", "<p>Inside.</p>", "Tabs", noteElement},
		"Type":         {"a type that looks like an element", "a.md", "A Vec<String> is lost.\n", "A Vec", "String", noteElement},
		"JSX":          {"a picture of a module", "a.mdx", "import cat from './img/cat.png';\n\n<img src={cat} alt=\"A cat\" />\n", "<img src=\"./img/cat.png\" alt=\"A cat\"", "{cat}", noteModule},
		"Require":      {"a picture by require", "a.mdx", "<Image img={require('./img/cat.png').default} alt=\"A cat\" />\n", "<img src=\"./img/cat.png\" alt=\"A cat\"", "require", ""},
		"Style":        {"JSX's attributes", "a.mdx", "<div style={{color: 'red'}}>\n\nInside.\n\n</div>\n", "<p>Inside.</p>", "color", ""},
		"Expression":   {"an expression", "a.mdx", "It is {props.value} and {'text'}.\n", "{props.value} and text", "'", noteExpression},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			written, html, f := convert(t, c.name, "", c.text)
			if !strings.Contains(html, c.want) || c.not != "" && strings.Contains(html, c.not) {
				t.Errorf("%s: %q becomes\n%s\nand\n%s, want %q and not %q", c.reason, c.text, written, html, c.want, c.not)
			}
			if c.note != "" && !f.noted(c.name, c.note) {
				t.Errorf("%s: no note %q: %v", c.reason, c.note, f.report.Entries)
			}
		})
	}
}

// pictureStore takes the place of the media store: it names pictures by their content.
type pictureStore struct {
	dry   bool
	files []string // content and alt of each call
}

func (p *pictureStore) take(_ context.Context, file io.ReadSeeker, alt string) (*store.Image, string, error) {
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, "", err
	}
	p.files = append(p.files, string(content)+" "+alt)
	switch {
	case p.dry:
		return nil, "", problem.New(problem.NotFound, "not yet")
	case strings.HasPrefix(string(content), "broken"):
		return nil, "", problem.New(problem.Invalid, "the file is no picture")
	}
	return &store.Image{ID: "img_" + id.ID(content), Name: string(content), Alt: alt}, "/media/" + string(content), nil
}

func TestPicturesComeAlong(t *testing.T) {
	site := fstest.MapFS{}
	for name, text := range map[string]string{
		"config.toml":                "baseURL = 'https://example.com/sub/'\n",
		"static/img/a.png":           "aaa",
		"static/img/b c.png":         "bbb",
		"static/broken.jpg":          "broken",
		"static/paper.pdf":           "pdf",
		"content/post/index.md":      page("cover:\n  image: cover.jpg\n  alt: The cover\n", "![An *a*](/img/a.png) ![B](</img/b c.png>)\n\n[![in](in.gif)](/img/a.png)\n\n<img class=\"x\" src=\"/sub/img/a.png\" alt=\"In HTML\">\n\n![own](https://example.com/sub/img/a.png) ![other](https://example.org/a.png)\n\n![r][r]\n\n[r]: in.gif \"T\"\n\n`![x](in.gif)`\n\n[paper](/paper.pdf)\n"),
		"content/post/in.gif":        "ingif",
		"content/post/cover.jpg":     "cover",
		"content/post/never.jpg":     "never",
		"content/other.md":           page("image: /img/a.png\n", "![again](post/in.gif) ![gone](/img/gone.png) ![bad](/broken.jpg)\n\n{{< figure src=\"asset.webp\" alt=\"Beside\" >}}\n"),
		"content/other/asset.webp":   "asset",
		"content/outside.md":         page("", "![x](../../../etc/passwd.png)\n"),
		"content/post/data/data.csv": "csv",
	} {
		site[name] = &fstest.MapFile{Data: []byte(text)}
	}
	content, err := fs.Sub(site, "content")
	if err != nil {
		t.Fatal(err)
	}
	run := func(p *pictureStore) (shelf, Report) {
		t.Helper()
		var s shelf
		o := Options{FS: content, Site: site, At: "content", Name: "folder", Import: s.take}
		if p != nil {
			o.Picture = p.take
		}
		report, err := markdown(t.Context(), o, clock)
		if err != nil {
			t.Fatal(err)
		}
		checkSum(t, report)
		return s, report
	}
	var pictures pictureStore
	s, report := run(&pictures)
	want := "![An *a*](/media/aaa) ![B](/media/bbb)\n\n[![in](/media/ingif)](/media/aaa)\n\n<img class=\"x\" src=\"/media/aaa\" alt=\"In HTML\">\n\n![own](/media/aaa) ![other](https://example.org/a.png)\n\n![r][r]\n\n[r]: /media/ingif \"T\"\n\n`![x](in.gif)`\n\n[paper](/paper.pdf)\n"
	if got := s.articles["folder/post/index.md"]; got.Markdown != want || got.Cover.Name != "cover" || got.Cover.Alt != "The cover" {
		t.Errorf("got %q, cover %+v\nwant %q", got.Markdown, got.Cover, want)
	}
	if got := s.articles["folder/other.md"]; got.Cover.Name != "aaa" || !strings.Contains(got.Markdown, "![again](/media/ingif) ![gone](/img/gone.png) ![bad](/broken.jpg)\n\n![Beside](/media/asset)") {
		t.Errorf("got %q, cover %+v", got.Markdown, got.Cover)
	}
	slices.Sort(pictures.files)
	if want := []string{"aaa ", "asset Beside", "bbb B", "broken bad", "cover The cover", "ingif again"}; !slices.Equal(pictures.files, want) {
		t.Errorf("each picture is stored once, with its first description: %q, want %q", pictures.files, want)
	}
	if report.Pictures != 5 {
		t.Errorf("%d pictures are counted", report.Pictures)
	}
	for _, e := range [][2]string{{"other.md", noteNoPicture}, {"other.md", noteRefusedPicture}, {"outside.md", noteNoPicture}, {"post/index.md", noteNoFile}} {
		if !(folder{report: report}).noted(e[0], e[1]) {
			t.Errorf("%s has no note %q: %v", e[0], e[1], report.Entries)
		}
	}
	for _, p := range []*pictureStore{nil, {dry: true}} {
		s, _ := run(p)
		if got := s.articles["folder/post/index.md"]; !strings.Contains(got.Markdown, "![An *a*](/img/a.png)") || got.Cover.URL != "cover.jpg" {
			t.Errorf("%v: nothing is stored, and nothing changed: %q, %+v", p, got.Markdown, got.Cover)
		}
	}
}
