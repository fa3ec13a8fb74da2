package edit

// Checks of input that every domain has: a line of text, an address, a list of ids. Entry
// points: Line, SetLine, CheckURL, Existing.

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// MaxURL is the longest address, in bytes.
const MaxURL = 2048

// Line returns plain text as it is stored: in NFC, on one line, with single spaces. It returns
// Invalid at field if the text hasn't least to most characters, or has control characters.
func Line(text, field string, least, most int) (string, error) {
	text = norm.NFC.String(strings.TrimSpace(text))
	if n := utf8.RuneCountInString(text); n < least || n > most {
		return "", problem.New(problem.Invalid, "%s takes %d to %d characters, not %d", field, least, most, n).At(field)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || r == utf8.RuneError }) {
		return "", problem.New(problem.Invalid, "%s takes plain text without control characters", field).At(field)
	}
	return strings.Join(strings.Fields(text), " "), nil
}

// SetLine sets a field to a Line of the text, or leaves it as it is if there is none.
func SetLine(to, text *string, field string, least, most int) error {
	if text == nil {
		return nil
	}
	line, err := Line(*text, field, least, most)
	if err == nil {
		*to = line
	}
	return err
}

// CheckURL returns Invalid unless text is an address with http or https, or a path on the site.
func CheckURL(text string) *problem.Error {
	u, err := url.Parse(text)
	onSite := err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//")
	onWeb := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil
	if !onSite && !onWeb || len(text) > MaxURL || strings.ContainsAny(text, " \"'<>\\^`|{}") {
		return problem.New(problem.Invalid, "url takes an absolute address with http or https, or a path that begins with a single /, of at most %d bytes", MaxURL)
	}
	return nil
}

// Existing returns ids of a kind without repetitions, in their order, and their documents in any order,
// as they are in the database now. At field it returns Invalid if there are more than most, and
// NotFound if one is missing.
func Existing[T any](ctx context.Context, s *store.Store, kind *store.Kind[T], ids []id.ID, field string, most int) (out []id.ID, found []*T, err error) {
	out = make([]id.ID, 0, len(ids))
	for _, i := range ids {
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
		if len(out) > most {
			return nil, nil, problem.New(problem.Invalid, "%s takes at most %d", field, most).At(field)
		}
	}
	if len(out) == 0 {
		return out, nil, nil
	}
	if found, err = kind.Now(ctx, s, out); err != nil {
		return nil, nil, err
	}
	for _, i := range out {
		if !slices.ContainsFunc(found, func(d *T) bool { return any(d).(store.Node).NodeID() == i }) {
			return nil, nil, problem.New(problem.NotFound, "there is no %s with the id %s", kind.Name, i).At(field)
		}
	}
	return out, found, nil
}
