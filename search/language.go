package search

// Languages: stems and small words. Entry points: NewLanguage, Stemmed.

import (
	"maps"
	"slices"
	"strings"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/danish"
	"github.com/blevesearch/snowballstem/dutch"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/finnish"
	"github.com/blevesearch/snowballstem/french"
	"github.com/blevesearch/snowballstem/german"
	"github.com/blevesearch/snowballstem/hungarian"
	"github.com/blevesearch/snowballstem/italian"
	"github.com/blevesearch/snowballstem/norwegian"
	"github.com/blevesearch/snowballstem/portuguese"
	"github.com/blevesearch/snowballstem/romanian"
	"github.com/blevesearch/snowballstem/russian"
	"github.com/blevesearch/snowballstem/spanish"
	"github.com/blevesearch/snowballstem/swedish"
	"github.com/blevesearch/snowballstem/turkish"
)

// Language splits texts into words, and reduces words to stems. It is safe for concurrent use.
type Language struct {
	code    string
	stemmer func(*snowballstem.Env) bool // nil for none
	small   map[string]bool
}

// stemmers are Snowball's algorithms (https://snowballstem.org), by language.
var stemmers = map[string]func(*snowballstem.Env) bool{
	"da": danish.Stem, "de": german.Stem, "en": english.Stem, "es": spanish.Stem, "fi": finnish.Stem,
	"fr": french.Stem, "hu": hungarian.Stem, "it": italian.Stem, "nl": dutch.Stem, "no": norwegian.Stem,
	"pt": portuguese.Stem, "ro": romanian.Stem, "ru": russian.Stem, "sv": swedish.Stem, "tr": turkish.Stem,
}

// Stemmed returns the codes of the languages (ISO 639-1) with stemmers.
func Stemmed() []string { return slices.Sorted(maps.Keys(stemmers)) }

// NewLanguage returns the language with an ISO 639-1 code. Without a stemmer, every word is its own
// stem.
func NewLanguage(code string) *Language { return &Language{code, stemmers[code], smallWords(code)} }

// small are the function words of languages, folded. Results may lack them; otherwise "how do I get
// my idea funded" would find only texts with "I". In languages without a list, only words that most
// documents have are optional: see Index.Find.
var small = map[string]string{
	"en": "a about all am an and any are as at be been but by can could did do does for from had has have he her him his how i if in into is it its me my no not of on or our she should so some than that the their them then there these they this those to us was we were what when where which while who whom whose why will with would you your",
	"de": "aber als am an auch auf aus bei bin bis bist da das dass dein dem den der des die dies diese dir doch du durch ein eine einem einen einer es fur hat haben ich ihr im in ist ja kann man mein mich mir mit nach nicht noch nur oder sich sie sind so uber um und uns von vor wann war warum was wer wie wir wird wo zu zum zur",
	"es": "a al algo como con cual cuando de del desde donde e el ella en entre era es esta este ha hay la las le lo los mas me mi muy no nos o para pero por porque que quien se si sin sobre su sus te tu un una uno y ya yo",
	"fr": "a ai au aux avec ce ces cet cette comment d dans de des dont du elle en entre est et eu il ils j je l la le les leur lui m ma mais me mes moi mon n ne nos notre nous on ou par pas pour pourquoi qu quand que quel quelle qui s sa sans se ses son sont sur t ta te tes tu un une vos votre vous y",
}

// smallWords returns the small words of a language.
func smallWords(code string) map[string]bool {
	words := map[string]bool{}
	for w := range strings.FieldsSeq(small[code]) {
		words[w] = true
	}
	return words
}

// accented are endings that Snowball recognises only with their accents, and that are rare without
// them.
var accented = map[string][][2]string{
	"es": {{"cion", "ción"}, {"sion", "sión"}},
	"pt": {{"cao", "ção"}, {"coes", "ções"}, {"sao", "são"}, {"soes", "sões"}},
}

// stem returns the stem of a folded word. It is the same with and without accents, since it is made
// from the word without them. If the accent decides about the ending, the stem is a little longer
// or shorter than Snowball's.
func (l *Language) stem(folded string) string {
	if l.stemmer == nil {
		return folded
	}
	for _, ending := range accented[l.code] {
		if bare, ok := strings.CutSuffix(folded, ending[0]); ok {
			folded = bare + ending[1]
		}
	}
	env := snowballstem.NewEnv(folded)
	l.stemmer(env)
	if stem := env.Current(); stem != "" {
		return stem
	}
	return folded
}
