package search

// Tests of the index: words found, ranking, refused queries, and updates.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoa/problem"
)

func parse(t testing.TB, l *Language, text string) *Query {
	t.Helper()
	q, err := Parse(l, text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return q
}

func document(id, title, summary, body string) Document {
	return Document{ID: id, Fields: Fields{title, summary, body}}
}

// found are the ids that an index finds, the best first.
func found(t testing.TB, x *Index, query string) []string {
	t.Helper()
	ids := []string{}
	for _, h := range x.Find(parse(t, x.language, query)) {
		if h.Score < 0 || h.Score > 1 {
			t.Errorf("%q: %s has the score %f", query, h.ID, h.Score)
		}
		ids = append(ids, h.ID)
	}
	return ids
}

func TestWordsAreTheSameWhateverTheirCaseAccentsAndEnding(t *testing.T) {
	cases := map[string]struct{ reason, language, text, query string }{
		"Case":         {"letter case doesn't count", "en", "Stoa", "sTOA "},
		"AccentInText": {"nor do accents in the text", "en", "A café in Málaga", "cafe malaga "},
		"AccentAsked":  {"nor those in the query", "en", "A cafe", "cafe\u0301 "},
		"Composed":     {"composed and decomposed are the same", "en", "Cafe\u0301", "café "},
		"Stroke":       {"letters with strokes are found without them", "en", "Łódź and Tromsø", "lodz tromso "},
		"Ligature":     {"æ is ae, ß is ss", "de", "Ærø, Straße", "aero strasse "},
		"FullWidth":    {"full width is the same", "en", "ＡＰＩ", "api "},
		"Plural":       {"an English plural has the stem of its singular", "en", "agencies", "agency "},
		"Verb":         {"and a verb its forms", "en", "We tested it", "testing "},
		"Possessive":   {"a possessive is its word", "en", "The agency’s site", "agencies "},
		"Contraction":  {"an apostrophe within a word is no end of it", "en", "Don't", "dont "},
		"French":       {"an article is apart", "fr", "L'eau et les forêts", "eau foret "},
		"German":       {"German plurals", "de", "Die Häuser", "haus "},
		"Spanish":      {"Spanish endings", "es", "Las publicaciones", "publicación "},
		"Portuguese":   {"Portuguese endings", "pt", "As publicações", "publicacao "},
		"Russian":      {"ё is е, endings count not", "ru", "Ёлки зелёные", "елка "},
		"Swedish":      {"Swedish forms", "sv", "Artiklarna", "artiklar "},
		"NoStems":      {"in a language without stems a word is itself", "eo", "La domo", "domo "},
		"Hyphen":       {"a hyphen parts words", "en", "self-hosted", "hosted self "},
		"Digits":       {"numbers are words", "en", "Section 508, COVID-19", "508 covid-19 "},
		"Prefix":       {"the last word may go on", "en", "A federation", "feder"},
		"PrefixStem":   {"though the stem is shorter", "en", "Publishing", "publishin"},
		"PrefixPlain":  {"the last word may have any ending, too", "en", "stories", "story"},
		"Phrase":       {"words in quotes stand in a row", "en", "Use plain language here", `"plain language"`},
		"OpenPhrase":   {"a phrase under way may go on", "en", "Use plain language here", `"plain lang`},
		"Curly":        {"curly quotes are quotes", "en", "Use plain language here", "“plain language”"},
		"Chinese":      {"without spaces, a row of letters", "zh", "我们在画廊里见面", "画廊"},
		"Japanese":     {"in any of its scripts", "ja", "ストアは屋根のある歩道です", "屋根のある"},
		"Korean":       {"Korean has spaces", "ko", "회랑 시장", "시장"},
		"Hindi":        {"vowel signs are no accents", "hi", "हिन्दी भाषा", "हिन्दी"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			x := NewIndex(NewLanguage(c.language))
			x.Update([]Document{document("it", "", "", c.text), document("other", "", "", "zzz")}, nil)
			if got := found(t, x, c.query); !slices.Equal(got, []string{"it"}) {
				t.Errorf("%s: %q finds %q", c.reason, c.query, got)
			}
			if piece, ok := parse(t, x.language, c.query).Snippet(c.text); !ok || !strings.Contains(piece, "<mark>") {
				t.Errorf("%s: it isn't marked: %s", c.reason, piece)
			}
		})
	}
}

func TestWhatIsNotFound(t *testing.T) {
	cases := map[string]struct{ reason, language, text, query string }{
		"OtherWord":   {"another word", "en", "stoa", "agora "},
		"Finished":    {"a word with a space behind it doesn't go on", "en", "federation", "fed "},
		"NotLast":     {"only the last word may go on", "en", "federation stoa", "fed stoa"},
		"OneLetter":   {"one letter is no beginning", "en", "federation", "f"},
		"Middle":      {"words are found from their beginning", "en", "federation", "ration"},
		"PhraseOrder": {"a phrase has an order", "en", "language plain", `"plain language"`},
		"PhraseGap":   {"and no gap", "en", "plain old language", `"plain language"`},
		"PhraseForm":  {"and its words no other ending", "en", "plain languages", `"plain language" `},
		"PhraseField": {"and doesn't go over the end of a field", "en", "language", `"plain language"`},
		"Chinese":     {"a row in another order", "zh", "廊画", "画廊"},
		"Breve":       {"й is another letter than и", "ru", "й", "и "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			x := NewIndex(NewLanguage(c.language))
			x.Update([]Document{document("it", "plain", "", c.text)}, nil)
			if c.query == "fed stoa" {
				// A document that has both, so that the other isn't the best there is.
				x.Update([]Document{document("both", "", "", "fed stoa")}, nil)
				if got := found(t, x, c.query); !slices.Equal(got, []string{"both"}) {
					t.Errorf("%s: %q", c.reason, got)
				}
				return
			}
			if got := found(t, x, c.query); len(got) > 0 {
				t.Errorf("%s: %q finds it", c.reason, c.query)
			}
		})
	}
}

func TestATitleCountsMoreThanASummaryAndThatMoreThanAText(t *testing.T) {
	x := NewIndex(NewLanguage("en"))
	much := strings.Repeat("porch ", 200)
	x.Update([]Document{
		document("text", "A walk", "Under a roof", much),
		document("title", "The painted porch", "Under a roof", "Where they met."),
		document("summary", "A walk", "The porch of Athens", "Where they met."),
		document("none", "A walk", "Under a roof", "Where they met."),
	}, nil)
	want := []string{"title", "summary", "text"}
	for _, query := range []string{"porch ", "porch", "porches ", `"porch"`} {
		if got := found(t, x, query); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

func TestWhichWordsMustBeThere(t *testing.T) {
	x := NewIndex(NewLanguage("en"))
	var all []Document
	for i := range 10 {
		all = append(all, document(fmt.Sprint("d", i), "", "", "the "+[]string{"red", "blue", "green"}[i%3]+fmt.Sprint(" number", i)))
	}
	all = append(all, document("bare", "", "", "red number1"))
	x.Update(all, nil)
	cases := map[string]struct {
		reason, query string
		want          int
	}{
		"All":         {"every word", "red number0 ", 1},
		"Common":      {"but one that most have", "the red number1 ", 1},
		"Small":       {"nor the small words", "how about red number0 ", 1},
		"OnlyCommon":  {"unless it is alone", "the ", 10},
		"Nearly":      {"where none has all, those with the most", "red number0 unheard ", 1},
		"TooFew":      {"but not with less than half", "red unheard unknown ", 0},
		"PhraseMust":  {"a phrase must be there", `red "number0 unheard"`, 0},
		"PhraseFound": {"also among those with the most", `unheard "red number0"`, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := found(t, x, c.query); len(got) != c.want {
				t.Errorf("%s: %q finds %q, want %d", c.reason, c.query, got, c.want)
			}
		})
	}
}

func TestTheNewerComesFirstOfWhatIsEquallyGood(t *testing.T) {
	x := NewIndex(NewLanguage("en"))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, id := range []string{"old", "new", "middle"} {
		d := document(id, "Stoa", "", "")
		d.Time = at.AddDate(0, 0, []int{0, 2, 1}[i])
		x.Update([]Document{d}, nil)
	}
	if got := found(t, x, "stoa"); !slices.Equal(got, []string{"new", "middle", "old"}) {
		t.Error(got)
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	cases := map[string]struct{ reason, query, says string }{
		"Empty":       {"nothing is asked", "", "no word"},
		"Space":       {"nor here", " \t\n", "no word"},
		"Signs":       {"nor by signs", `"" ... !`, "no word"},
		"Long":        {"longer than any sentence", strings.Repeat("a", MaxQuery+1), "200 characters, not 201"},
		"ManyWords":   {"each word is work", strings.Repeat("a ", MaxWords+1), "16 words, not 17"},
		"ManyLetters": {"a row of letters that are words counts as so many", strings.Repeat("画", MaxWords+1), "16 words, not 17"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(NewLanguage("en"), c.query)
			if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.reason, err)
			}
		})
	}
	if _, err := Parse(NewLanguage("en"), strings.Repeat("é", MaxQuery)); err != nil {
		t.Errorf("characters are counted, not bytes: %v", err)
	}
}

// vocabulary makes words that share beginnings and stems, so that every rule of ranking has an effect.
var vocabulary = rapid.SampledFrom([]string{
	"stoa", "stoas", "Stoic", "stoics", "walk", "walked", "walking", "wall", "the", "a", "of", "café", "cafe", "market", "markets",
	"marketing", "painted", "porch", "l'eau", "agency's", "508", "covid-19", "画廊", "Ёлка", "naïve", "\"", ".", "\n",
})

func texts(t *rapid.T, label string, most int) string {
	return strings.Join(rapid.SliceOfN(vocabulary, 0, most).Draw(t, label), " ")
}

func drawDocument(t *rapid.T) Document {
	return Document{
		ID:     fmt.Sprint("d", rapid.IntRange(0, 30).Draw(t, "id")),
		Fields: Fields{texts(t, "title", 4), texts(t, "summary", 8), texts(t, "body", 40)},
		Time:   time.UnixMilli(int64(rapid.IntRange(0, 3).Draw(t, "time"))),
	}
}

// Whatever was added, changed, removed and compacted, an index answers as one that was
// made of what is left.
func TestAnIndexThatHasChangedEqualsAFreshOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLanguage(rapid.SampledFrom([]string{"en", "de", "fr", "xx"}).Draw(t, "language"))
		x, left := NewIndex(l), map[string]Document{}
		for range rapid.IntRange(1, 20).Draw(t, "updates") {
			var put []Document
			var gone []string
			for range rapid.IntRange(0, 3).Draw(t, "gone") {
				id := fmt.Sprint("d", rapid.IntRange(0, 30).Draw(t, "id"))
				gone = append(gone, id)
				delete(left, id)
			}
			for range rapid.IntRange(0, 5).Draw(t, "put") {
				d := drawDocument(t)
				put = append(put, d)
				left[d.ID] = d
			}
			x.Update(put, gone)
			if rapid.IntRange(0, 4).Draw(t, "compact") == 0 {
				x.Compact()
			}
		}
		fresh := NewIndex(l)
		for _, d := range left {
			fresh.Update([]Document{d}, nil)
		}
		if x.Len() != len(left) || fresh.Len() != len(left) {
			t.Fatalf("%d and %d documents, want %d", x.Len(), fresh.Len(), len(left))
		}
		for range 5 {
			q, err := Parse(l, texts(t, "query", 4))
			if err != nil {
				continue
			}
			got, want, again := x.Find(q), fresh.Find(q), x.Find(q)
			if !slices.Equal(got, want) {
				t.Fatalf("%q finds\n%v\nwhere a fresh index finds\n%v", q, got, want)
			}
			if !slices.Equal(got, again) {
				t.Fatalf("%q finds\n%v\nand then\n%v", q, got, again)
			}
		}
	})
}

// Every document is found by each of its words, and by each two beside each other in quotes.
func TestADocumentIsFoundByEachOfItsWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLanguage(rapid.SampledFrom([]string{"en", "fr", "ru", "xx"}).Draw(t, "language"))
		d := document("it", rapid.String().Draw(t, "title"), rapid.String().Draw(t, "summary"), texts(t, "body", 30))
		x := NewIndex(l)
		x.Update([]Document{d, document("other", "other", "", "words")}, nil)
		for _, text := range d.Fields {
			var before string
			for w := range l.words(text) {
				queries := []string{text[w.start:w.end]}
				if before != "" {
					queries = append(queries, `"`+before+" "+queries[0]+`"`)
				}
				before = queries[0]
				for _, query := range queries {
					q, err := Parse(l, query)
					if err != nil {
						if len(query) < MaxQuery {
							t.Fatalf("%q: %v", query, err)
						}
						continue
					}
					if !slices.ContainsFunc(x.Find(q), func(h Hit) bool { return h.ID == "it" }) {
						t.Fatalf("%q isn't found in %q", query, text)
					}
				}
			}
		}
	})
}

// Any text is a query, or is refused for a reason that can be told.
func TestAnyTextIsAQueryOrRefused(t *testing.T) {
	x := NewIndex(NewLanguage("en"))
	x.Update([]Document{document("it", "The stoa", "", "")}, nil)
	rapid.Check(t, func(t *rapid.T) {
		q, err := Parse(x.language, rapid.String().Draw(t, "query"))
		if err != nil && !problem.Is(err, problem.Invalid) {
			t.Fatal(err)
		}
		if err == nil {
			x.Find(q)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"stoa", `"painted porch`, `a "b" c"`, "画廊 walk", "l'eau’s", "\xff\xfe", "“„»", "e\u0301", "ﷺ"} {
		f.Add(seed)
	}
	indexes := map[string]*Index{}
	for _, code := range append(Stemmed(), "") {
		indexes[code] = NewIndex(NewLanguage(code))
		indexes[code].Update([]Document{document("it", "The painted porch", "A stoa", "画廊 l'eau")}, nil)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, x := range indexes {
			q, err := Parse(x.language, text)
			if err != nil {
				if !problem.Is(err, problem.Invalid) {
					t.Fatal(err)
				}
				return
			}
			x.Find(q)
			x.Update([]Document{document("it", text, "", "")}, nil)
			if got := x.Find(q); len(q.clauses) == 1 && !q.clauses[0].phrase && len(got) != 1 {
				t.Fatalf("%q doesn't find itself", text)
			}
		}
	})
}
