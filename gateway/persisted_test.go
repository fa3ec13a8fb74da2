package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"stoa/gateway/document"
	"stoa/gateway/refusal"
	"stoa/gateway/wire"
	"stoa/store/bus"
	"stoa/tests/redistest"
)

const (
	slugs    = `query Slug($slug: String!) { article(slug: $slug) { slug } }`
	twice    = `query A { article(slug: "a") { slug } } query B($slug: String = "b") { article(slug: $slug) { slug } }`
	mutation = `mutation { sessionRevoke(input: {}) { userErrors { message } } }`
)

// asked is a request as clients of automatic persisted queries send it.
type asked struct {
	Query         string         `json:"query,omitempty"`
	OperationName string         `json:"operationName,omitempty"`
	Variables     map[string]any `json:"variables,omitempty"`
	Extensions    map[string]any `json:"extensions,omitempty"`
	DocumentID    string         `json:"documentId,omitempty"`
	DocID         string         `json:"doc_id,omitempty"`
	ID            string         `json:"id,omitempty"`
}

func byHash(text string) asked {
	return asked{Extensions: map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": document.HashOf(text)}}}
}

func (a asked) withText(text string) asked { a.Query = text; return a }

func (a asked) named(operation string) asked { a.OperationName = operation; return a }

func (a asked) slug(slug string) asked { a.Variables = map[string]any{"slug": slug}; return a }

func (a asked) body() string {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (a asked) address() string {
	values := url.Values{}
	for name, value := range map[string]string{"query": a.Query, "operationName": a.OperationName, "documentId": a.DocumentID, "doc_id": a.DocID, "id": a.ID} {
		if value != "" {
			values.Set(name, value)
		}
	}
	for name, value := range map[string]map[string]any{"variables": a.Variables, "extensions": a.Extensions} {
		if value != nil {
			b, err := json.Marshal(value)
			if err != nil {
				panic(err)
			}
			values.Set(name, string(b))
		}
	}
	return "/graphql?" + values.Encode()
}

func (s *site) ask(t testing.TB, method string, a asked, headers ...string) reply {
	t.Helper()
	if method == "POST" {
		return s.do(t, method, "/graphql", a.body(), append([]string{"Content-Type: application/json"}, headers...)...)
	}
	return s.do(t, method, a.address(), "", headers...)
}

func TestAPersistedQueryIsSentOnce(t *testing.T) {
	for _, method := range []string{"POST", "GET"} {
		for _, accept := range []wire.MediaType{wire.JSON, wire.GraphQL} {
			t.Run(method+" "+string(accept), func(t *testing.T) {
				s := newSite(t, nil)
				a, accept := byHash(slugs).named("Slug").slug("x"), "Accept: "+string(accept)
				want := `{"data":{"article":{"slug":"x"}}}` + "\n"
				if r := s.ask(t, method, a, accept); r.status != 200 || !strings.Contains(r.body, `"message":"PersistedQueryNotFound"`) || r.codes(t) != refusal.PersistedNotFound || r.header.Get("Cache-Control") != "no-store" {
					t.Errorf("unknown: %d %s %v", r.status, r.body, r.header)
				}
				if r := s.ask(t, method, a.withText(slugs), accept); r.status != 200 || r.body != want {
					t.Errorf("sent: %d %s", r.status, r.body)
				}
				for _, method := range []string{"POST", "GET"} {
					if r := s.ask(t, method, a, accept); r.status != 200 || r.body != want {
						t.Errorf("by its hash, by %s: %d %s", method, r.status, r.body)
					}
				}
				if r := s.ask(t, method, asked{DocumentID: "sha256:" + document.HashOf(slugs)}.slug("y"), accept); r.body != strings.Replace(want, "x", "y", 1) {
					t.Errorf("by documentId: %s", r.body)
				}
			})
		}
	}
}

// GraphQL Code Generator writes hashes with the prefix of GraphQL over HTTP, and front ends send them by
// the means of their client.
func TestAHashMayHaveItsPrefixWhereverHashesAre(t *testing.T) {
	hash := document.HashOf(slugs)
	places := map[string]func(id string) asked{
		"persistedQuery": func(id string) asked {
			return asked{Extensions: map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": id}}}
		},
		"documentId": func(id string) asked { return asked{DocumentID: id} },
		"doc_id":     func(id string) asked { return asked{DocID: id} },
		"id":         func(id string) asked { return asked{ID: id} },
	}
	for name, trusted := range map[string]*document.Trusted{"Automatic": nil, "Trusted": {ID: hash, Text: slugs}, "TrustedPrefixed": {ID: "sha256:" + hash, Text: slugs}} {
		s := newSite(t, func(o *Options) {
			if trusted != nil {
				o.Trusted, o.TrustedOnly = []document.Trusted{*trusted}, true
			}
		})
		if trusted == nil {
			sent := places["persistedQuery"]("sha256:" + hash).named("Slug").slug("x").withText(slugs)
			if r := s.ask(t, "POST", sent); r.body != `{"data":{"article":{"slug":"x"}}}`+"\n" {
				t.Fatalf("sent with a prefixed hash: %s", r.body)
			}
		}
		for place, with := range places {
			for _, id := range []string{hash, "sha256:" + hash} {
				for _, method := range []string{"POST", "GET"} {
					if r := s.ask(t, method, with(id).named("Slug").slug("x")); r.body != `{"data":{"article":{"slug":"x"}}}`+"\n" {
						t.Errorf("%s: %.12s in %s, by %s: %s", name, id, place, method, r.body)
					}
				}
			}
			if r := s.ask(t, "POST", with("sha256:abc").named("Slug").slug("x")); r.codes(t) != refusal.BadRequest || !strings.Contains(r.body, "64 hexadecimal digits") {
				t.Errorf("%s: half a hash in %s: %s", name, place, r.body)
			}
		}
	}
}

func TestAPersistedDocumentMayHaveSeveralOperations(t *testing.T) {
	s := newSite(t, nil)
	s.ask(t, "POST", byHash(twice).named("A").withText(twice))
	for operation, want := range map[string]string{"A": `"slug":"a"`, "B": `"slug":"b"`, "C": refusal.OperationNotFound, "": refusal.OperationNotFound} {
		if r := s.ask(t, "GET", byHash(twice).named(operation)); !strings.Contains(r.body, want) {
			t.Errorf("operation %q: %s", operation, r.body)
		}
	}
}

func TestAPersistedQueryThatIsWrongIsRefused(t *testing.T) {
	s := newSite(t, nil)
	extensions := func(persisted any) asked { return asked{Extensions: map[string]any{"persistedQuery": persisted}} }
	cases := map[string]struct {
		reason string
		asked  asked
		want   string
	}{
		"OtherHash":      {"one text can't be put in another's place", byHash("{a}").withText(slugs), "isn't the one with the id"},
		"UpperCase":      {"a hash has one form", extensions(map[string]any{"version": 1, "sha256Hash": strings.ToUpper(document.HashOf(slugs))}).withText(slugs), "isn't the one with the id"},
		"Version":        {"another version may mean another hash", extensions(map[string]any{"version": 2, "sha256Hash": document.HashOf(slugs)}), "version must be the number 1"},
		"VersionText":    {"a number is no text", extensions(map[string]any{"version": "1", "sha256Hash": document.HashOf(slugs)}), "version must be the number 1"},
		"NoVersion":      {"nor is it nothing", extensions(map[string]any{"sha256Hash": document.HashOf(slugs)}), "version must be the number 1"},
		"NoHash":         {"what is it known by?", extensions(map[string]any{"version": 1}), "sha256Hash is missing"},
		"HashNumber":     {"a hash is text", extensions(map[string]any{"version": 1, "sha256Hash": 7}), "sha256Hash must be a string"},
		"Text":           {"some send the hash itself", extensions(document.HashOf(slugs)), "persistedQuery must be an object"},
		"ShortID":        {"what says that it is a hash must be one", asked{DocumentID: "sha256:abc"}, "isn't a SHA-256"},
		"TwoIDs":         {"which one is meant?", asked{DocumentID: "sha256:" + document.HashOf("{a}"), Extensions: byHash(slugs).Extensions}, "name two documents"},
		"OtherID":        {"an id that nobody knows isn't the text's", asked{DocumentID: "mine"}.withText(slugs), "isn't the one with the id"},
		"OtherKnownText": {"nor where the text is known", byHash("{a}").withText("{__typename}"), "isn't the one with the id"},
	}
	s.post(t, "{__typename}")
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{"POST", "GET"} {
				if r := s.ask(t, method, c.asked.named("Slug").slug("x")); r.status != 400 || r.codes(t) != refusal.BadRequest || !strings.Contains(r.body, c.want) {
					t.Errorf("%s, by %s: %d %s", c.reason, method, r.status, r.body)
				}
			}
		})
	}
}

func TestOnlyExecutableDocumentsAreStored(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Introspection, o.Limits.Cost = false, 40 })
	cases := map[string]struct{ text, code string }{
		"Unparsed":      {"{", refusal.ParseFailed},
		"Invalid":       {"{nothing}", refusal.ValidationFailed},
		"Introspection": {"{__schema{types{name}}}", refusal.IntrospectionDisabled},
		"TooDear":       {`{articles(first:50){nodes{slug}}}`, refusal.CostTooHigh},
		"TooDeep":       {"{" + nested(30, "a{", "b", "}") + "}", refusal.DocumentTooDeep},
		"NoVariable":    {slugs, refusal.ValidationFailed},
		"NoOperation":   {"fragment F on Query{__typename}", refusal.OperationNotFound},
		"LongText":      {"{__typename" + strings.Repeat(" ", (64<<10)) + "}", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if r := s.ask(t, "POST", byHash(c.text).withText(c.text)); r.codes(t) != c.code {
				t.Fatalf("with its text: %s", r.body)
			}
			if r := s.ask(t, "POST", byHash(c.text)); r.codes(t) != refusal.PersistedNotFound {
				t.Errorf("by its hash: %s", r.body)
			}
		})
	}
}

func TestAMutationIsntSentByGETUnderAHash(t *testing.T) {
	s := newSite(t, nil)
	if r := s.ask(t, "POST", byHash(mutation).withText(mutation)); r.codes(t) != "INTERNAL" { // the test's resolvers have none
		t.Fatalf("by POST: %s", r.body)
	}
	if r := s.ask(t, "GET", byHash(mutation)); r.status != 405 || r.codes(t) != refusal.MethodNotAllowed {
		t.Errorf("by GET: %d %s", r.status, r.body)
	}
}

func connect(t testing.TB, address string) *bus.Connection {
	t.Helper()
	c, err := bus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestReplicasSharePersistedQueries(t *testing.T) {
	server := redistest.Start(t)
	sites := [2]*site{}
	for i := range sites {
		sites[i] = newSite(t, func(o *Options) { o.Redis, o.Namespace = connect(t, server.URL()), "s" })
	}
	a, want := byHash(slugs).slug("x"), `{"data":{"article":{"slug":"x"}}}`+"\n"
	sites[0].ask(t, "POST", a.withText(slugs))
	client, key := server.Client(t), "stoa:s:operation:"+document.HashOf(slugs)
	if left := client.TTL(t.Context(), key).Val(); left <= (24*time.Hour)-time.Hour || left > 24*time.Hour {
		t.Errorf("it stays for %v", left)
	}
	if r := sites[1].ask(t, "GET", a); r.body != want {
		t.Errorf("from another replica: %s", r.body)
	}

	// A text in use stays: a request on another replica extends its lifetime.
	client.Expire(t.Context(), key, time.Minute)
	third := newSite(t, func(o *Options) { o.Redis, o.Namespace = connect(t, server.URL()), "s" })
	if r := third.ask(t, "GET", a); r.body != want {
		t.Errorf("from a third replica: %s", r.body)
	}
	if left := client.TTL(t.Context(), key).Val(); left <= (24*time.Hour)-time.Hour {
		t.Errorf("it stays for %v after it was asked for", left)
	}

	// A text with another hash was put there by somebody else.
	client.Set(t.Context(), "stoa:s:operation:"+document.HashOf(twice), slugs, 0)
	if r := sites[0].ask(t, "GET", byHash(twice)); r.codes(t) != refusal.PersistedNotFound {
		t.Errorf("a text under another's hash: %s", r.body)
	}

	// A text that no longer fits the schema is validated like any other.
	client.Set(t.Context(), "stoa:s:operation:"+document.HashOf("{gone}"), "{gone}", 0)
	if r := sites[0].ask(t, "GET", byHash("{gone}")); r.codes(t) != refusal.ValidationFailed {
		t.Errorf("a text of another schema: %s", r.body)
	}
}

func TestADeadRedisFailsNoRequest(t *testing.T) {
	server := redistest.Start(t)
	s := newSite(t, func(o *Options) { o.Redis, o.Namespace = connect(t, server.URL()), "s" })
	s.ask(t, "POST", byHash(slugs).slug("x").withText(slugs))
	server.Kill(t)
	for _, text := range []string{slugs, twice} {
		a := byHash(text).named(map[string]string{slugs: "Slug", twice: "B"}[text]).slug("x")
		if r := s.ask(t, "POST", a.withText(text)); r.status != 200 || r.body != `{"data":{"article":{"slug":"x"}}}`+"\n" {
			t.Errorf("with its text: %d %s", r.status, r.body)
		}
		if r := s.ask(t, "GET", a); r.body != `{"data":{"article":{"slug":"x"}}}`+"\n" {
			t.Errorf("by its hash, from the process: %s", r.body)
		}
	}
	if r := s.ask(t, "GET", byHash("{__typename}")); r.status != 200 || r.codes(t) != refusal.PersistedNotFound {
		t.Errorf("unknown: %d %s", r.status, r.body)
	}
	const away, back = "kept in this process alone", "shared by Redis again"
	if n := strings.Count(s.log.String(), away); n != 1 {
		t.Errorf("the outage is told %d times", n)
	}

	// It is found again by a request, at most a second after it is back.
	server.Start(t)
	for end := time.Now().Add(10 * time.Second); !strings.Contains(s.log.String(), back); {
		if time.Now().After(end) {
			t.Fatal("Redis isn't used again")
		}
		s.ask(t, "GET", byHash("{__typename}"))
	}
	a := byHash("{__typename}")
	s.ask(t, "POST", a.withText("{__typename}"))
	if text := server.Client(t).Get(t.Context(), "stoa:s:operation:"+document.HashOf("{__typename}")).Val(); text != "{__typename}" {
		t.Errorf("Redis has %q", text)
	}
}

func TestATrustedDocumentIsAskedForByItsID(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Playground = http.NotFoundHandler()
		o.Trusted = []document.Trusted{{ID: "0a1b", Text: slugs}, {ID: "sha256:" + document.HashOf(twice), Text: twice}, {ID: document.HashOf(mutation), Text: mutation}}
	})
	cases := map[string]struct {
		reason string
		asked  asked
		want   string
	}{
		"DocID":      {"Relay at Facebook", asked{DocID: "0a1b"}, `{"slug":"x"}`},
		"ID":         {"Relay elsewhere", asked{ID: "0a1b"}, `{"slug":"x"}`},
		"DocumentID": {"GraphQL over HTTP, an id of one's own", asked{DocumentID: "0a1b"}, `{"slug":"x"}`},
		"SHA256":     {"GraphQL over HTTP, its hash, whatever its id is", asked{DocumentID: "sha256:" + document.HashOf(slugs)}, `{"slug":"x"}`},
		"Apollo":     {"Apollo's clients send what is in the manifest as a hash", asked{Extensions: map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": "0a1b"}}}, `{"slug":"x"}`},
		"Both":       {"id and text", asked{DocumentID: "0a1b", Query: slugs}, `{"slug":"x"}`},
		"Prefixed":   {"an id with the hash's prefix", asked{ID: "sha256:" + document.HashOf(twice)}.named("B"), `{"slug":"x"}`},
		"NotBoth":    {"id and another text", asked{DocumentID: "0a1b", Query: twice}, "isn't the one with the id"},
		"Unknown":    {"there is no such id", asked{ID: "0a1c"}, refusal.PersistedNotFound},
		"Text":       {"where a text is, other ids are somebody else's", asked{ID: "0a1c", DocID: "0a1d", Query: slugs}, `{"slug":"x"}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.asked.OperationName == "" {
				c.asked.OperationName = "Slug"
			}
			for _, method := range []string{"POST", "GET"} {
				if r := s.ask(t, method, c.asked.slug("x")); !strings.Contains(r.body, c.want) {
					t.Errorf("%s, by %s: %d %s", c.reason, method, r.status, r.body)
				}
			}
		})
	}
	if r := s.do(t, "POST", "/graphql", `{"id":7}`, "Content-Type: application/json"); r.status != 400 || !strings.Contains(r.body, "must be a string") {
		t.Errorf("a number as id: %d %s", r.status, r.body)
	}
	if r := s.do(t, "GET", "/graphql?id=0a1b&id=0a1b", ""); r.status != 400 || !strings.Contains(r.body, "2 times") {
		t.Errorf("two ids: %d %s", r.status, r.body)
	}
	if r := s.ask(t, "GET", asked{DocumentID: document.HashOf(mutation)}); r.status != 405 {
		t.Errorf("a mutation by GET: %d %s", r.status, r.body)
	}
	if r := s.do(t, "GET", asked{DocumentID: "0a1b"}.slug("x").address(), "", "Accept: text/html,*/*;q=0.1"); r.status != 200 {
		t.Errorf("a browser's address: %d %s", r.status, r.body)
	}
}

func TestTrustedOnlyRefusesOtherDocuments(t *testing.T) {
	server := redistest.Start(t)
	s := newSite(t, func(o *Options) {
		o.Trusted, o.TrustedOnly = []document.Trusted{{ID: "0a1b", Text: slugs}}, true
		o.Redis, o.Namespace = connect(t, server.URL()), "s"
	})
	taken := []asked{{DocumentID: "0a1b"}, byHash(slugs), byHash(slugs).withText(slugs), asked{}.withText(slugs)}
	for _, a := range taken {
		for _, method := range []string{"POST", "GET"} {
			if r := s.ask(t, method, a.slug("x")); r.body != `{"data":{"article":{"slug":"x"}}}`+"\n" {
				t.Errorf("%s by %s: %s", a.body(), method, r.body)
			}
		}
	}
	refused := []asked{{DocumentID: "0a1c"}, {ID: "0a1c"}, byHash(twice), byHash(twice).withText(twice), asked{}.withText(twice), asked{}.withText("{__typename}"), asked{}.withText("{"), asked{}.withText(slugs + " ")}
	for _, a := range refused {
		for _, method := range []string{"POST", "GET"} {
			if r := s.ask(t, method, a.slug("x")); r.codes(t) != refusal.NotTrusted || r.status != 200 {
				t.Errorf("%s by %s: %d %s", a.body(), method, r.status, r.body)
			}
		}
	}
	if r := s.ask(t, "POST", asked{ID: "0a1c"}); !strings.Contains(r.body, `no trusted document with the id \"0a1c\"`) {
		t.Errorf("an unknown id: %s", r.body)
	}
	if shared := server.Client(t).DBSize(t.Context()).Val(); shared != 0 {
		t.Errorf("%d documents are shared that are there anyway", shared)
	}
	if r := s.ask(t, "POST", byHash(twice), "Accept: "+string(wire.GraphQL)); r.status != 400 {
		t.Errorf("in the other media type: %d", r.status)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	connection, _, err := websocket.Dial(ctx, strings.Replace(s.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.CloseNow()
	exchange := func(message, want string) {
		t.Helper()
		if err := connection.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := connection.Read(ctx); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: %s %v", message, got, err)
		}
	}
	exchange(`{"type":"connection_init"}`, "connection_ack")
	exchange(`{"id":"1","type":"subscribe","payload":`+asked{}.withText(twice).body()+`}`, refusal.NotTrusted)
	exchange(`{"id":"2","type":"subscribe","payload":`+asked{ID: "0a1b"}.slug("x").body()+`}`, `{"slug":"x"}`)
}

// An event stream reports an unknown hash as an event, since its reader sees no other
// response.
func TestAPersistedQueryMayBeAnsweredByEvents(t *testing.T) {
	s := newSite(t, nil)
	a := byHash(slugs).slug("x")
	for _, c := range []struct {
		asked asked
		want  string
	}{{a, `"message":"PersistedQueryNotFound"`}, {a.withText(slugs), `{"data":{"article":{"slug":"x"}}`}, {a, `{"data":{"article":{"slug":"x"}}`}} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+c.asked.address(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/event-stream")
		r.Header.Set("Last-Event-ID", "evt_1")
		response, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != 200 || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %v %s %v", c.asked.body(), response.StatusCode, response.Header, body, err)
		}
	}
}

func TestOneDocumentMayHaveSeveralIDs(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Trusted = []document.Trusted{{ID: "a", Text: slugs}, {ID: "b", Text: slugs}, {ID: "a", Text: slugs}}
	})
	for _, id := range []string{"a", "b"} {
		if r := s.ask(t, "GET", asked{DocumentID: id}.slug("x")); !strings.Contains(r.body, `"slug":"x"`) {
			t.Errorf("%s: %s", id, r.body)
		}
	}
}
