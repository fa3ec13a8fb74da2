package search

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

// Language is how texts are taken apart into words and these into stems.
type Language struct {
	code    string
	stemmer func(*snowballstem.Env) bool // nil for none
}

// stemmers are Snowball's algorithms (https://snowballstem.org), by language.
var stemmers = map[string]func(*snowballstem.Env) bool{
	"da": danish.Stem, "de": german.Stem, "en": english.Stem, "es": spanish.Stem, "fi": finnish.Stem,
	"fr": french.Stem, "hu": hungarian.Stem, "it": italian.Stem, "nl": dutch.Stem, "no": norwegian.Stem,
	"pt": portuguese.Stem, "ro": romanian.Stem, "ru": russian.Stem, "sv": swedish.Stem, "tr": turkish.Stem,
}

// Stemmed returns the codes of the languages (ISO 639-1) whose words have stems here.
func Stemmed() []string { return slices.Sorted(maps.Keys(stemmers)) }

// NewLanguage returns the language with an ISO 639-1 code. In one that isn't among Stemmed
// every word is its own stem.
func NewLanguage(code string) *Language { return &Language{code, stemmers[code]} }

// accented are endings that Snowball knows by their accents only, and that hardly any other
// ending looks like without them.
var accented = map[string][][2]string{
	"es": {{"cion", "ción"}, {"sion", "sión"}},
	"pt": {{"cao", "ção"}, {"coes", "ções"}, {"sao", "são"}, {"soes", "sões"}},
}

// stem returns the stem of a folded word. It is taken of the word without its accents, so
// that with and without them it is the same; where the accent decides about the ending,
// the stem is a little longer or shorter than Snowball's.
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
