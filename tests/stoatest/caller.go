package stoatest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/store"
)

// ThreeOver returns the settings of three replicas with one database and one Redis.
func ThreeOver(uri, redis string) []Settings {
	s := Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis}
	return []Settings{s, s, s}
}

// NewKey returns an idempotency key.
func NewKey() string { return rand.Text() }

// Helpers for tests of accounts and sessions: members, the clients that they use, and their
// mails.

// Member is a person with an account.
type Member struct{ ID, Email, Name, Password string }

// Caller is a client: one network address, and a session if it is signed in.
type Caller struct {
	Address string // of the client, as the proxy in front of the replica sends it
	Device  string // its User-Agent
	Token   string // "" if it is not signed in
	Cookies string // that it sends, as in the header Cookie
	Session string // the session's id, if it is known
}

var callers atomic.Int64

// NewCaller returns a client with a new address, so that it shares no rate limit with others.
// The addresses are from the range that RFC 2544 reserves for tests.
func NewCaller() Caller {
	n := callers.Add(1)
	return Caller{Address: fmt.Sprintf("198.18.%d.%d", n/250, n%250+1), Device: "Stoa's tests"}
}

// StartAll starts one replica with each of settings.
func StartAll(t testing.TB, settings ...Settings) []*Stoa {
	t.Helper()
	var all []*Stoa
	for _, s := range settings {
		all = append(all, Start(t, s))
	}
	return all
}

// StartThree starts three replicas with one database and one Redis; "" for none.
func StartThree(t testing.TB, uri, redis string) []*Stoa {
	t.Helper()
	return StartAll(t, ThreeOver(uri, redis)...)
}

// crowd is the HTTP client of all callers.
var crowd = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}

// Reply is a response with its headers.
type Reply struct {
	Answer
	Header http.Header
}

// Request makes the HTTP request for a query of c.
func (c Caller) Request(ctx context.Context, url, query string, variables map[string]any) (*http.Request, error) {
	body, err := json.Marshal(Request{Query: query, Variables: variables})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", c.Address)
	r.Header.Set("User-Agent", c.Device)
	if c.Cookies != "" {
		r.Header.Set("Cookie", c.Cookies)
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return r, nil
}

// Send sends a query to a replica. Errors in the response are not an error of Send.
func (c Caller) Send(s *Stoa, query string, variables map[string]any) (Reply, error) {
	request, err := c.Request(context.Background(), s.URL, query, variables)
	if err != nil {
		return Reply{}, err
	}
	response, err := crowd.Do(request)
	if err != nil {
		return Reply{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return Reply{}, err
	}
	r := Reply{Answer: Answer{Status: response.StatusCode, Raw: raw}, Header: response.Header}
	if err := json.Unmarshal(raw, &r.Answer); err != nil {
		return r, fmt.Errorf("status %d, no GraphQL answer: %.200q", response.StatusCode, raw)
	}
	return r, nil
}

// Ask is Send for responses without errors, decoded into out.
func (c Caller) Ask(s *Stoa, out any, query string, variables map[string]any) error {
	r, err := c.Send(s, query, variables)
	if err != nil {
		return err
	}
	if r.Status != http.StatusOK || len(r.Errors) > 0 {
		return fmt.Errorf("status %d: %s", r.Status, r.Raw)
	}
	return json.Unmarshal(r.Data, out)
}

// Payload is the payload of any mutation of accounts and sessions.
type Payload struct {
	Account    *struct{ ID string }
	Session    *struct{ ID string }
	Token      *string
	UserErrors []struct {
		Code, Message string
		Path          []string
	}
}

// Reason is the first code of the user errors; "" if there are none.
func (p Payload) Reason() string {
	if len(p.UserErrors) == 0 {
		return ""
	}
	return p.UserErrors[0].Code
}

// returns lists the fields of payloads besides userErrors.
var returns = map[string]string{
	"sessionCreate": "token session { id } account { id }", "passwordChange": "token session { id }",
	"accountVerify": "account { id }", "emailChangeConfirm": "account { id }", "accountRoleSet": "account { id }",
}

// Mutation returns the text of the mutation with a name.
func Mutation(name string) string {
	return fmt.Sprintf(`mutation ($input: %s%sInput!) { %s(input: $input) { %s userErrors { code message path } } }`, strings.ToUpper(name[:1]), name[1:], name, returns[name])
}

// Input is the input of a mutation.
type Input map[string]any

// Try calls a mutation of accounts and sessions. Its error is about the whole response.
func (c Caller) Try(s *Stoa, mutation string, in Input) (Payload, error) {
	var out map[string]Payload
	err := c.Ask(s, &out, Mutation(mutation), map[string]any{"input": in})
	return out[mutation], err
}

// Do is Try for a mutation that must succeed.
func (c Caller) Do(t testing.TB, s *Stoa, mutation string, in Input) Payload {
	t.Helper()
	p, err := c.Try(s, mutation, in)
	if err != nil {
		t.Fatalf("%s: %v", mutation, err)
	}
	if len(p.UserErrors) > 0 {
		t.Fatalf("%s is refused: %+v", mutation, p.UserErrors)
	}
	return p
}

// Account returns the account of c's token according to a replica; "" if the token is invalid.
func (c Caller) Account(s *Stoa) (string, error) {
	var out struct {
		Viewer *struct{ Account *struct{ ID string } }
	}
	if err := c.Ask(s, &out, `{ viewer { account { id } } }`, nil); err != nil {
		return "", err
	}
	if out.Viewer == nil {
		return "", nil
	}
	if out.Viewer.Account == nil {
		return "", errors.New("there is a viewer without an account")
	}
	return out.Viewer.Account.ID, nil
}

// NewAddress returns an unused e-mail address.
func NewAddress() string { return strings.ToLower(rand.Text()[:12]) + "@example.org" }

// AddMembers stores n accounts without sending mails.
func AddMembers(t testing.TB, s *Stoa, n int, role access.Role) []Member {
	t.Helper()
	hash, err := hashed()
	if err != nil {
		t.Fatal(err)
	}
	var out []Member
	for range n {
		p := Member{ID: string(id.New(id.Account)), Email: NewAddress(), Password: Password}
		p.Name = "Reader " + p.Email[:6]
		err := s.Store.AddAccount(t.Context(), &store.Secret{PasswordHash: hash, Account: store.Account{
			ID: id.ID(p.ID), Email: p.Email, Name: p.Name, Role: role, CreatedAt: store.Now(), Version: 1,
		}})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// LogIn begins a session of p from a new client.
func LogIn(t testing.TB, s *Stoa, p Member) Caller {
	t.Helper()
	c := NewCaller()
	made := c.Do(t, s, "sessionCreate", Input{"email": p.Email, "password": p.Password})
	if made.Token == nil || made.Session == nil || made.Account == nil || made.Account.ID != p.ID {
		t.Fatalf("sessionCreate answers %+v", made)
	}
	c.Token, c.Session = *made.Token, made.Session.ID
	return c
}

// AtOnce calls do n times in parallel.
func AtOnce(n int, do func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	all.Wait()
}
