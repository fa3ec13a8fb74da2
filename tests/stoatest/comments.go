package stoatest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stoa/access"
)

// Said is the payload of mutations of comments.
type Said struct {
	Submission *struct {
		ID, Status, AuthorName string
		Version                int
		Comment                *struct{ ID string }
	}
	UserErrors []struct{ Code, Message string }
}

// Reason is the first code of the user errors; "" if there are none.
func (x Said) Reason() string {
	if len(x.UserErrors) == 0 {
		return ""
	}
	return x.UserErrors[0].Code
}

// Say calls a mutation of comments.
func (c Caller) Say(s *Stoa, mutation string, in Input) (Said, error) {
	query := fmt.Sprintf(`mutation ($input: %s%sInput!) { %s(input: $input) { submission { id status authorName version comment { id } } userErrors { code message } } }`,
		strings.ToUpper(mutation[:1]), mutation[1:], mutation)
	var out map[string]Said
	err := c.Ask(s, &out, query, map[string]any{"input": in})
	return out[mutation], err
}

// Must is Say for a mutation that must succeed.
func (c Caller) Must(t testing.TB, s *Stoa, mutation string, in Input) Said {
	t.Helper()
	x, err := c.Say(s, mutation, in)
	if err != nil || len(x.UserErrors) > 0 {
		t.Fatalf("%s is answered %+v, %v", mutation, x, err)
	}
	return x
}

// SignedIn returns c signed in with a new account.
func SignedIn(t testing.TB, s *Stoa, name string, role access.Role) (Caller, Person) {
	t.Helper()
	p := s.Join(t, NewAddress(), name, role, time.Time{})
	c := NewCaller()
	c.Token, c.Session = p.Token, string(p.Session)
	return c, p
}
