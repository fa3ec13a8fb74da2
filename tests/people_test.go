package tests

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

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/account/password"
	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// What the tests of accounts and sessions have in common: people, where they call from,
// and the mails that they get.

// phrase is the password of everybody whose password doesn't matter.
const phrase = "seven tulips under glass"

// person is somebody who has an account.
type person struct{ id, email, name, password string }

// caller is who sends requests: from one network address, maybe with a session.
type caller struct {
	address string // of the client, as the proxy in front of the replica has it
	device  string // its User-Agent
	token   string // "" for nobody's
	session string // the session's id, where that is known
}

var callers atomic.Int64

// newCaller is somebody who hasn't called before, so that no rate counts it together with
// others: one of the addresses that RFC 2544 keeps for tests.
func newCaller() caller {
	n := callers.Add(1)
	return caller{address: fmt.Sprintf("198.18.%d.%d", n/250, n%250+1), device: "Stoa's tests"}
}

// proxied is settings under which a replica believes the tests where a caller calls from.
func proxied(settings stoatest.Settings) stoatest.Settings {
	all := stoatest.Settings{"STOA_PROXIES": "127.0.0.1/32"}
	for name, value := range settings {
		all[name] = value
	}
	return all
}

// startAll starts replicas that believe where a caller calls from.
func startAll(t testing.TB, settings ...stoatest.Settings) []*stoatest.Stoa {
	t.Helper()
	var all []*stoatest.Stoa
	for _, s := range settings {
		all = append(all, stoatest.Start(t, proxied(s)))
	}
	return all
}

// startThree starts three replicas over one database and one Redis; "" for none.
func startThree(t testing.TB, uri, redis string) []*stoatest.Stoa {
	t.Helper()
	return startAll(t, threeOver(uri, redis)...)
}

// crowd is the client of many callers at once.
var crowd = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}

// reply is an answer with its headers.
type reply struct {
	stoatest.Answer
	header http.Header
}

// request is what c sends.
func (c caller) request(ctx context.Context, url, query string, variables map[string]any) (*http.Request, error) {
	body, err := json.Marshal(stoatest.Request{Query: query, Variables: variables})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", c.address)
	r.Header.Set("User-Agent", c.device)
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

// send asks a replica; errors in the answer are the caller's to judge.
func (c caller) send(s *stoatest.Stoa, query string, variables map[string]any) (reply, error) {
	request, err := c.request(context.Background(), s.URL, query, variables)
	if err != nil {
		return reply{}, err
	}
	response, err := crowd.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{Answer: stoatest.Answer{Status: response.StatusCode, Raw: raw}, header: response.Header}
	if err := json.Unmarshal(raw, &r.Answer); err != nil {
		return r, fmt.Errorf("status %d, no GraphQL answer: %.200q", response.StatusCode, raw)
	}
	return r, nil
}

// ask is send for answers without errors, decoded into out.
func (c caller) ask(s *stoatest.Stoa, out any, query string, variables map[string]any) error {
	r, err := c.send(s, query, variables)
	if err != nil {
		return err
	}
	if r.Status != http.StatusOK || len(r.Errors) > 0 {
		return fmt.Errorf("status %d: %s", r.Status, r.Raw)
	}
	return json.Unmarshal(r.Data, out)
}

// payload is what any mutation of accounts and sessions answers.
type payload struct {
	Account    *struct{ ID string }
	Session    *struct{ ID string }
	Token      *string
	UserErrors []struct {
		Code, Message string
		Path          []string
	}
}

// code is the reason why nothing was done; "" where something was.
func (p payload) code() string {
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

// document is the mutation with a name, as text.
func document(name string) string {
	return fmt.Sprintf(`mutation ($input: %s%sInput!) { %s(input: $input) { %s userErrors { code message path } } }`, strings.ToUpper(name[:1]), name[1:], name, returns[name])
}

type input map[string]any

// try calls a mutation. Its error is of the whole answer.
func (c caller) try(s *stoatest.Stoa, mutation string, in input) (payload, error) {
	var out map[string]payload
	err := c.ask(s, &out, document(mutation), map[string]any{"input": in})
	return out[mutation], err
}

// do is try for a mutation that nothing speaks against.
func (c caller) do(t testing.TB, s *stoatest.Stoa, mutation string, in input) payload {
	t.Helper()
	p, err := c.try(s, mutation, in)
	if err != nil {
		t.Fatalf("%s: %v", mutation, err)
	}
	if len(p.UserErrors) > 0 {
		t.Fatalf("%s is refused: %+v", mutation, p.UserErrors)
	}
	return p
}

// account is whose token a replica says that c's is; "" where it is nobody's.
func (c caller) account(s *stoatest.Stoa) (string, error) {
	var out struct {
		Viewer *struct{ Account *struct{ ID string } }
	}
	if err := c.ask(s, &out, `{ viewer { account { id } } }`, nil); err != nil {
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

// cheaply makes hashes that cost next to nothing, where it doesn't matter.
var cheaply = password.NewHasher(password.Options{Params: password.Params{Memory: 8, Passes: 1, Lanes: 1}})

// phraseHash is what phrase is stored as: at the usual cost, so that signing in takes as
// long as it does.
var phraseHash = sync.OnceValues(func() (string, error) {
	return password.NewHasher(password.Options{}).Hash(context.Background(), phrase)
})

// newAddress is an address that nobody has.
func newAddress() string { return strings.ToLower(rand.Text()[:12]) + "@example.org" }

// addPeople stores n accounts without asking for mails.
func addPeople(t testing.TB, s *stoatest.Stoa, n int, role access.Role) []person {
	t.Helper()
	hash, err := phraseHash()
	if err != nil {
		t.Fatal(err)
	}
	var out []person
	for range n {
		p := person{id: string(id.New(id.Account)), email: newAddress(), password: phrase}
		p.name = "Reader " + p.email[:6]
		err := s.Store.AddAccount(t.Context(), &store.Secret{PasswordHash: hash, Account: store.Account{
			ID: id.ID(p.id), Email: p.email, Name: p.name, Role: role, CreatedAt: time.Now().UTC().Truncate(time.Millisecond), Version: 1,
		}})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// signIn begins a session of p's from a client of its own.
func signIn(t testing.TB, s *stoatest.Stoa, p person) caller {
	t.Helper()
	c := newCaller()
	made := c.do(t, s, "sessionCreate", input{"email": p.email, "password": p.password})
	if made.Token == nil || made.Session == nil || made.Account == nil || made.Account.ID != p.id {
		t.Fatalf("sessionCreate answers %+v", made)
	}
	c.token, c.session = *made.Token, made.Session.ID
	return c
}

// sentMail is a mail that was sent.
type sentMail struct{ Kind, To, Code string }

// mails returns what replicas have sent, each the last hundred.
func mails(t testing.TB, replicas ...*stoatest.Stoa) []sentMail {
	t.Helper()
	var all []sentMail
	for _, s := range replicas {
		response, err := crowd.Get(s.URL + "/outbox?format=json")
		if err != nil {
			t.Fatal(err)
		}
		var some []sentMail
		err = json.NewDecoder(response.Body).Decode(&some)
		response.Body.Close()
		if err != nil {
			t.Fatalf("/outbox: %v", err)
		}
		all = append(all, some...)
	}
	return all
}

// lettersTo is those of mails that went to an address.
func mailsTo(all []sentMail, address string) []sentMail {
	var some []sentMail
	for _, l := range all {
		if l.To == address {
			some = append(some, l)
		}
	}
	return some
}

// awaitCode waits for a mail of a kind and returns its code.
func awaitCode(t *testing.T, address, kind string, replicas ...*stoatest.Stoa) string {
	t.Helper()
	code := ""
	await(t, 20*time.Second, kind+" mail to "+address, func() bool {
		for _, l := range mailsTo(mails(t, replicas...), address) {
			if l.Kind == kind {
				code = l.Code
			}
		}
		return code != ""
	})
	return code
}

// awaitSent waits until no mail is left to be sent.
func awaitSent(t *testing.T, db *mongo.Database) {
	t.Helper()
	await(t, time.Minute, "all mails to be sent", func() bool {
		n, err := db.Collection("letters").CountDocuments(t.Context(), bson.D{{Key: "nextAt", Value: bson.D{{Key: "$exists", Value: true}}}})
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}

// open opens the database of replicas behind their backs.
func open(t testing.TB, uri string) *mongo.Database {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client.Database("stoa")
}

// count is how many documents of a collection meet a condition.
func count(t testing.TB, db *mongo.Database, collection string, where bson.D) int {
	t.Helper()
	n, err := db.Collection(collection).CountDocuments(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// atOnce does something n times side by side.
func atOnce(n int, do func(i int)) {
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
