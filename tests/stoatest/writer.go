package stoatest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"stoa/access"
	"stoa/id"
)

// Writer is a signed-in account; nobody if token is "".
type Writer struct {
	Name  string
	ID    id.ID
	Token string
}

// Nobody is a viewer without an account.
var Nobody = Writer{Name: "nobody"}

// NewWriter makes an account with a role and signs it in.
func NewWriter(t testing.TB, s *Stoa, name string, role access.Role) Writer {
	t.Helper()
	p := s.Join(t, name+"@example.org", strings.ToUpper(name[:1])+name[1:], role, time.Time{})
	return Writer{Name: name, ID: p.ID, Token: p.Token}
}

// Ask sends a request as w.
func (w Writer) Ask(s *Stoa, query string, variables map[string]any) (Answer, error) {
	return s.Send(Request{Query: query, Variables: variables, Token: w.Token})
}

// Data is Ask for answers without errors.
func (w Writer) Data(t testing.TB, s *Stoa, out any, query string, variables map[string]any) {
	t.Helper()
	a, err := w.Ask(s, query, variables)
	Check(t, err)
	if len(a.Errors) > 0 {
		t.Fatalf("%s as %s\nanswers %s", query, w.Name, a.Raw)
	}
	Check(t, json.Unmarshal(a.Data, out))
}

// Wrote is the payload of mutations of articles.
type Wrote struct {
	Article, Current *struct {
		ID, Slug, Title, Status string
		Version                 int
		PublishedAt             *time.Time
		Author                  *struct{ ID, Slug, Name string }
		Authors, Tags           []struct{ ID, Slug string }
	}
	Expected   *struct{ Title, BodyMarkdown string }
	Warnings   []struct{ Message string }
	UserErrors []struct {
		Code, Message string
		Path          []string
	}
}

// Reason is the first code of the user errors; "" if there are none.
func (w Wrote) Reason() string {
	if len(w.UserErrors) == 0 {
		return ""
	}
	return w.UserErrors[0].Code
}

const articleSelection = `{ id slug title status version publishedAt author { id slug name } authors { id slug } tags { id slug } }`

// Do sends one mutation of an article; empty strings in input are left out.
func (w Writer) Do(t testing.TB, s *Stoa, mutation string, input map[string]any) Wrote {
	t.Helper()
	out, err := w.Try(s, mutation, input)
	Check(t, err)
	return out
}

// Try is Do for goroutines other than the test's.
func (w Writer) Try(s *Stoa, mutation string, input map[string]any) (Wrote, error) {
	more := ""
	switch mutation {
	case "articleCreate":
		more = "warnings { message }"
	case "articleUpdate":
		more = "warnings { message } current " + articleSelection + " expected { title bodyMarkdown }"
	default:
		more = "current " + articleSelection + " expected { title bodyMarkdown }"
	}
	kind := strings.ToUpper(mutation[:1]) + mutation[1:]
	a, err := w.Ask(s, fmt.Sprintf(`mutation ($in: %sInput!) { out: %s(input: $in) { article %s %s userErrors { code message path } } }`, kind, mutation, articleSelection, more), map[string]any{"in": input})
	if err != nil {
		return Wrote{}, err
	}
	if len(a.Errors) > 0 {
		return Wrote{}, fmt.Errorf("%s as %s: %s", mutation, w.Name, a.Raw)
	}
	var out struct{ Out Wrote }
	return out.Out, json.Unmarshal(a.Data, &out)
}
