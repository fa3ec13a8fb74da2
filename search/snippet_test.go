package search

// Tests of snippets and highlighting.

import (
	"html"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSnippets(t *testing.T) {
	long := strings.Repeat("Nothing of it here. ", 40)
	cases := map[string]struct{ reason, query, text, want string }{
		"Whole":    {"a short text is shown whole", "porch", "The painted porch.", "The painted <mark>porch</mark>."},
		"Forms":    {"every form of the word is marked", "walk ", "He walked; a walk", "He <mark>walked</mark>; a <mark>walk</mark>"},
		"Prefix":   {"and what the last word begins", "fed", "federal feed", "<mark>federal</mark> feed"},
		"Phrase":   {"a phrase is one mark", `"painted porch"`, "A painted porch; painted", "A <mark>painted porch</mark>; painted"},
		"Escaped":  {"text is text", "porch", `<b>porch</b> & "co"`, `&lt;b&gt;<mark>porch</mark>&lt;/b&gt; &amp; &#34;co&#34;`},
		"Spaces":   {"white space is one space each", "b", "a\n\tb", "a  <mark>b</mark>"},
		"Sentence": {"it begins with a sentence", "porch", long + "The porch. " + long, "… The <mark>porch</mark>. " + long[:len(long)-1]},
		"None":     {"its beginning where nothing is found", "porch", "A stoa.", "A stoa."},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := parse(t, NewLanguage("en"), c.query).Snippet(c.text)
			if ok != (name != "None") {
				t.Errorf("%s: found %t", c.reason, ok)
			}
			if name == "Sentence" {
				if !strings.HasPrefix(got, "… The <mark>porch</mark>. Nothing") || !strings.HasSuffix(got, " …") || len(got) > snippetSize+40 {
					t.Errorf("%s: %q", c.reason, got)
				}
				return
			}
			if got != c.want {
				t.Errorf("%s: %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

func TestASnippetIsWhereTheMostOfTheQueryIs(t *testing.T) {
	filler := strings.Repeat("nothing here ", 60)
	text := "A porch. " + filler + "Another porch, painted by Polygnotos. " + filler + "porch porch porch."
	got, _ := parse(t, NewLanguage("en"), "painted porch polygnotos").Snippet(text)
	if !strings.Contains(got, "<mark>porch</mark>, <mark>painted</mark> by <mark>Polygnotos</mark>") {
		t.Error(got)
	}
}

func TestPlainTextOfHTML(t *testing.T) {
	cases := map[string]struct{ reason, html, want string }{
		"Blocks":   {"blocks part words", "<p>one</p><p>two<br>three</p>", "one two three"},
		"Inline":   {"what is within a line doesn't", "un<em>believ</em>able", "unbelievable"},
		"Entities": {"entities are what they stand for", "a &lt;b&gt; &amp; &eacute;", "a <b> & é"},
		"Spaces":   {"single spaces, none at the ends", " <p> a \n\n b </p> ", "a b"},
		"Quoted":   {"what is in an attribute is no text", `<a title="x > y" href="/">z</a>`, "z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Plain(c.html); got != c.want {
				t.Errorf("%s: %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

// sound says what is wrong with highlighted HTML.
func sound(piece string) string {
	if !utf8.ValidString(piece) {
		return "it is no UTF-8"
	}
	rest := piece
	for rest != "" {
		before, after, ok := strings.Cut(rest, "<mark>")
		if strings.ContainsAny(before, "<>\"'") {
			return "there is something else than marks in it"
		}
		if !ok {
			break
		}
		inside, next, closed := strings.Cut(after, "</mark>")
		if !closed || inside == "" || strings.ContainsAny(inside, "<>\"'") {
			return "a mark isn't closed, or isn't on text"
		}
		rest = next
	}
	return ""
}

func FuzzSnippet(f *testing.F) {
	f.Add("porch", "The painted <b>porch</b> & more")
	f.Add(`"a b`, strings.Repeat("a b ", 300))
	f.Add("画廊", strings.Repeat("画廊", 200))
	f.Add("x", strings.Repeat("x", 1000))
	f.Add("e\u0301", "\xff e\u0301\x00é <mark> '")
	l := NewLanguage("en")
	f.Fuzz(func(t *testing.T, query, text string) {
		q, err := Parse(l, query)
		if err != nil {
			return
		}
		all, piece := q.Highlight(text), ""
		piece, _ = q.Snippet(text)
		for _, s := range []string{all, piece} {
			if wrong := sound(s); wrong != "" {
				t.Fatalf("%s: %q", wrong, s)
			}
		}
		bare := strings.NewReplacer("<mark>", "", "</mark>", "").Replace(all)
		if html.UnescapeString(bare) != clean(text) {
			t.Fatalf("%q has become %q", text, bare)
		}
		if n := len(html.UnescapeString(strings.NewReplacer("<mark>", "", "</mark>", "").Replace(piece))); n > snippetSize+16 {
			t.Fatalf("a snippet of %d bytes", n)
		}
		q.Highlight(Plain(text))
	})
}
