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

// ThreeOver is the settings of three replicas over one database and one Redis.
func ThreeOver(uri, redis string) []Settings {
	s := Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis}
	return []Settings{s, s, s}
}

// NewKey is an idempotency key.
func NewKey() string { return rand.Text() }

// What the tests of accounts and sessions have in common: people, where they call from,
// and the mails that they get.

// Member is somebody who has an account.
type Member struct{ ID, Email, Name, Password string }

// Caller is who sends requests: from one network address, maybe with a session.
type Caller struct {
	Address string // of the client, as the proxy in front of the replica has it
	Device  string // its User-Agent
	Token   string // "" for nobody's
	Session string // the session's id, where that is known
}

var callers atomic.Int64

// NewCaller is somebody who hasn't called before, so that no rate counts it together with
// others: one of the addresses that RFC 2544 keeps for tests.
func NewCaller() Caller {
	n := callers.Add(1)
	return Caller{Address: fmt.Sprintf("198.18.%d.%d", n/250, n%250+1), Device: "Stoa's tests"}
}

// StartAll starts a replica for each of settings.
func StartAll(t testing.TB, settings ...Settings) []*Stoa {
	t.Helper()
	var all []*Stoa
	for _, s := range settings {
		all = append(all, Start(t, s))
	}
	return all
}

// StartThree starts three replicas over one database and one Redis; "" for none.
func StartThree(t testing.TB, uri, redis string) []*Stoa {
	t.Helper()
	return StartAll(t, ThreeOver(uri, redis)...)
}

// crowd is the client of many callers at once.
var crowd = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}

// Reply is an answer with its headers.
type Reply struct {
	Answer
	Header http.Header
}

// Request makes what c sends.
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
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return r, nil
}

// Send asks a replica; errors in the answer are the caller's to judge.
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

// Ask is Send for answers without errors, decoded into out.
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

// Payload is what any mutation of accounts and sessions answers.
type Payload struct {
	Account    *struct{ ID string }
	Session    *struct{ ID string }
	Token      *string
	UserErrors []struct {
		Code, Message string
		Path          []string
	}
}

// Reason is why nothing was done; "" where something was.
func (p Payload) Reason() string {
	if len(p.UserErrors) == 0 {
		return ""
	}
	return p.UserErrors[0].Code
}

// returns is what payloads have besides userErrors.
var returns = map[string]string{
	"sessionCreate": "token session { id } account { id }", "passwordChange": "token session { id }",
	"accountVerify": "account { id }", "emailChangeConfirm": "account { id }", "accountRoleSet": "account { id }",
}

// Mutation is the mutation with a name, as text.
func Mutation(name string) string {
	return fmt.Sprintf(`mutation ($input: %s%sInput!) { %s(input: $input) { %s userErrors { code message path } } }`, strings.ToUpper(name[:1]), name[1:], name, returns[name])
}

// Input is the input of a mutation.
type Input map[string]any

// Try calls a mutation of accounts and sessions. Its error is of the whole answer.
func (c Caller) Try(s *Stoa, mutation string, in Input) (Payload, error) {
	var out map[string]Payload
	err := c.Ask(s, &out, Mutation(mutation), map[string]any{"input": in})
	return out[mutation], err
}

// Do is Try for a mutation that nothing speaks against.
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

// Account is whose token a replica says that c's is; "" where it is nobody's.
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

// NewAddress is an address that nobody has.
func NewAddress() string { return strings.ToLower(rand.Text()[:12]) + "@example.org" }

// AddMembers stores n accounts without asking for mails.
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
			ID: id.ID(p.ID), Email: p.Email, Name: p.Name, Role: role, CreatedAt: time.Now().UTC().Truncate(time.Millisecond), Version: 1,
		}})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// LogIn begins a session of p's from a client of its own.
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

// AtOnce does something n times side by side.
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
