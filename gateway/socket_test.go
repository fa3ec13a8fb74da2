package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/gateway/stream"
)

// streams is a schema that can be subscribed to, without anything behind it.
type streams struct{ schema *ast.Schema }

func newStreams() *streams {
	return &streams{gqlparser.MustLoadSchema(&ast.Source{Input: `
		type Query { one: String slow: String panic: String big(of: Int!): String }
		type Subscription { count(to: Int!): String forever: String who: String paid(to: Int!): String @cost(weight: "100") }
		directive @cost(weight: String!) on FIELD_DEFINITION
	`})}
}

func (s *streams) Schema() *ast.Schema { return s.schema }

func (s *streams) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (s *streams) Exec(ctx context.Context) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx)
	field := operation.Operation.SelectionSet[0].(*ast.Field)
	arguments := field.ArgumentMap(operation.Variables)
	event := 0
	return func(ctx context.Context) *graphql.Response {
		event++
		value := strconv.Itoa(event)
		switch field.Name {
		case "count", "paid":
			if n, _ := strconv.Atoi(fmt.Sprint(arguments["to"])); event > n {
				return nil
			}
		case "forever":
			<-ctx.Done()
			return nil
		case "who":
			viewer, _ := access.ViewerFrom(ctx)
			if value += string(viewer.Account); event > 2 {
				return nil
			}
		case "slow":
			<-ctx.Done()
			return graphql.ErrorResponse(ctx, "ended")
		case "panic":
			panic(secret)
		case "big":
			n, _ := strconv.Atoi(fmt.Sprint(arguments["of"]))
			value = strings.Repeat("x", n)
		}
		return &graphql.Response{Data: json.RawMessage(fmt.Sprintf(`{%q:%q}`, field.Alias, value))}
	}
}

func withStreams(o *Options) { o.Schema = newStreams() }

// talk is the client's end of a connection.
type talk struct {
	*websocket.Conn
	t testing.TB
}

// patience bounds the wait of a test for an immediate event.
const patience = 20 * time.Second

func (s *site) dial(t testing.TB, header http.Header) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return websocket.Dial(ctx, s.url+"/graphql", &websocket.DialOptions{Subprotocols: []string{stream.Subprotocol}, HTTPHeader: header, HTTPClient: s.client})
}

func (s *site) talk(t testing.TB, headers ...string) *talk {
	t.Helper()
	h := http.Header{}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	c, _, err := s.dial(t, h)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return &talk{c, t}
}

func (c *talk) say(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("say %.100s: %v", text, err)
	}
}

func (c *talk) hear() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, b, err := c.Read(ctx)
	// A message is compared without its line ends.
	text := strings.ReplaceAll(string(b), "\n", "")
	found := costInMessage.FindStringIndex(text)
	if strings.Contains(text, `"type":"next"`) && found == nil {
		c.t.Errorf("what was executed has no cost: %.300s", text)
	}
	if found != nil {
		text = text[:found[0]] + "}}"
	}
	return text, err
}

// costInMessage matches the extensions of each response.
var costInMessage = regexp.MustCompile(`,"extensions":\{"cost":\{"requested":\d+(?:,"used":\d+)?\}\}\}\}$`)

func (c *talk) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got, err := c.hear()
		if err != nil || got != w {
			c.t.Fatalf("got %.300s, %v, want %s", got, err, w)
		}
	}
}

func (c *talk) expectPart(part string) {
	c.t.Helper()
	if got, err := c.hear(); err != nil || !strings.Contains(got, part) {
		c.t.Fatalf("got %.300s, %v, want something with %s", got, err, part)
	}
}

func (c *talk) expectClose(code websocket.StatusCode, part string) {
	c.t.Helper()
	for {
		got, err := c.hear()
		if err == nil {
			c.t.Logf("heard %.200s", got)
			continue
		}
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != code || !strings.Contains(closed.Reason, part) {
			c.t.Fatalf("got %v, want to be closed with %d %q", err, code, part)
		}
		return
	}
}

const acknowledged = `{"type":"connection_ack"}`

func (c *talk) begin(params string) *talk {
	c.t.Helper()
	c.say(`{"type":"connection_init"` + params + `}`)
	c.expect(acknowledged)
	return c
}

func subscribeText(id, query string) string {
	return fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":%s}`, id, bodyOf(query, nil))
}

func TestSocketAnswers(t *testing.T) {
	s := newSite(t, nil)
	c := s.talk(t).begin("")
	c.say(subscribeText("a", `{ article(slug: "hello") { slug } }`))
	c.expect(`{"id":"a","type":"next","payload":{"data":{"article":{"slug":"hello"}}}}`, `{"id":"a","type":"complete"}`)
	c.say(subscribeText("a", `{ article(slug: "fault") { slug } }`))
	c.expectPart(`"next","payload":{"errors":[{"message":"something went wrong here`)
	c.expect(`{"id":"a","type":"complete"}`)
	// After an error there is no complete: the next message is the next answer.
	for _, refused := range []string{"{", "{ nothing }", "query ($a: Int!) { __typename @skip(if: $a) }", "{ __typename } { __typename }"} {
		c.say(subscribeText("e", refused))
		c.expectPart(`{"id":"e","type":"error","payload":[{"message":"`)
	}
	c.say(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
	c.say(`{"type":"ping","payload":{"a":[1]}}`)
	c.expect(`{"type":"pong","payload":{"a":[1]}}`)
	c.say(`{"type":"pong"}`)
	c.say(`{"id":"never begun","type":"complete"}`)
	c.say(subscribeText("b", `{ __typename }`))
	c.expect(`{"id":"b","type":"next","payload":{"data":{"__typename":"Query"}}}`, `{"id":"b","type":"complete"}`)
}

func TestSocketStreams(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); (&accounts{}).options(o) })
	c := s.talk(t).begin(`,"payload":{"token":"of-ada"}`)
	c.say(subscribeText("a", `subscription { count(to: 3) }`))
	c.expect(`{"id":"a","type":"next","payload":{"data":{"count":"1"}}}`, `{"id":"a","type":"next","payload":{"data":{"count":"2"}}}`,
		`{"id":"a","type":"next","payload":{"data":{"count":"3"}}}`, `{"id":"a","type":"complete"}`)
	c.say(subscribeText("f", `subscription { forever }`))
	c.say(`{"id":"f","type":"complete"}`)
	c.say(subscribeText("f", `{ one }`)) // its id is free at once
	c.expect(`{"id":"f","type":"next","payload":{"data":{"one":"1"}}}`, `{"id":"f","type":"complete"}`)
	c.say(subscribeText("w", `subscription { who }`))
	c.expect(`{"id":"w","type":"next","payload":{"data":{"who":"1ada"}}}`, `{"id":"w","type":"next","payload":{"data":{"who":"2ada"}}}`, `{"id":"w","type":"complete"}`)
	c.say(subscribeText("p", `{ panic }`))
	c.expectPart(`{"id":"p","type":"error","payload":[{"message":"something went wrong here`)
	if got := s.errors.faults(); len(got) != 1 {
		t.Errorf("logged %q", got)
	}
}

func TestEachEventAsksAnew(t *testing.T) {
	a := &accounts{}
	s := newSite(t, func(o *Options) { withStreams(o); a.options(o) })
	c := s.talk(t, "Cookie: __Host-stoa=of-ada").begin("")
	before, _ := a.told()
	c.say(subscribeText("w", `subscription { who }`))
	c.expectPart("1ada")
	c.expectPart("2ada")
	c.expectPart("complete")
	if after, used := a.told(); after-before != 3 || used != "of-ada of-ada" {
		t.Errorf("asked %d times over three, used %q", after-before, used)
	}
}

func TestSocketCloses(t *testing.T) {
	long := strings.Repeat("x", 257)
	const begin = `{"type":"connection_init"}`
	cases := map[string]struct {
		reason string
		say    []string
		code   websocket.StatusCode
		part   string
	}{
		"TwoInits":        {"once is enough", []string{begin, begin}, 4429, "before"},
		"Early":           {"subscribe before connection_init", []string{subscribeText("a", "{ one }")}, 4401, "connection_ack"},
		"Duplicate":       {"an id that is taken", []string{begin, subscribeText("a", "subscription { forever }"), subscribeText("a", "{ one }")}, 4409, "a"},
		"NoJSON":          {"garbage", []string{"hello"}, 4400, "the message must be a JSON object"},
		"BrokenJSON":      {"half of it", []string{`{"type":`}, 4400, "no valid JSON"},
		"Empty":           {"nothing", []string{""}, 4400, "empty"},
		"Array":           {"several", []string{`[]`}, 4400, ""},
		"NotUTF8":         {"Latin-1", []string{"{\"type\":\"caf\xe9\"}"}, 4400, "UTF-8"},
		"TooDeep":         {"a bomb", []string{strings.Repeat(`{"a":`, 100)}, 4400, "deeper"},
		"NoType":          {"what is it", []string{`{}`}, 4400, "no type"},
		"OtherType":       {"the older protocol", []string{`{"type":"start"}`}, 4400, `"start"`},
		"TypeTwice":       {"the first or the last", []string{`{"type":"ping","type":"connection_init"}`}, 4400, `the message has "type" twice`},
		"MemberTwice":     {"however it is written", []string{begin, `{"id":"a","id":"b","type":"subscribe","payload":{"query":"{one}"}}`}, 4400, `the message has "id" twice`},
		"VariableTwice":   {"as in a body", []string{begin, `{"id":"a","type":"subscribe","payload":{"query":"{one}","variables":{"a":1,"a":2}}}`}, 4400, `an object has "a" twice`},
		"TypeNumber":      {"not a string", []string{`{"type":1}`}, 4400, "type"},
		"NoID":            {"which one", []string{begin, `{"type":"subscribe","payload":{"query":"{one}"}}`}, 4400, "id"},
		"LongID":          {"a client's memory isn't ours", []string{begin, subscribeText(long, "{ one }")}, 4400, "id"},
		"NoPayload":       {"what for", []string{begin, `{"id":"a","type":"subscribe"}`}, 4400, "payload is empty"},
		"NoQuery":         {"what for", []string{begin, `{"id":"a","type":"subscribe","payload":{}}`}, 4400, "query is missing"},
		"QueryNumber":     {"not a string", []string{begin, `{"id":"a","type":"subscribe","payload":{"query":1}}`}, 4400, "query must be a string"},
		"VariablesList":   {"not an object", []string{begin, `{"id":"a","type":"subscribe","payload":{"query":"{one}","variables":[]}}`}, 4400, "variables must be an object"},
		"ParamsList":      {"not an object", []string{`{"type":"connection_init","payload":[1]}`}, 4400, "object"},
		"ParamsNumber":    {"not a string", []string{`{"type":"connection_init","payload":{"authorization":1}}`}, 4400, "Bearer TOKEN"},
		"ParamsMalformed": {"no token", []string{`{"type":"connection_init","payload":{"Authorization":"Bearer a b"}}`}, 4400, "Bearer TOKEN"},
		"TokenOdd":        {"no token", []string{`{"type":"connection_init","payload":{"token":"a b"}}`}, 4400, "token"},
		"TokenNumber":     {"no token", []string{`{"type":"connection_init","payload":{"token":1}}`}, 4400, "token"},
		"Nobodys":         {"a session that has ended", []string{`{"type":"connection_init","payload":{"token":"old"}}`}, 4403, "nobody's"},
		"Unknowable":      {"accounts can't be reached", []string{`{"type":"connection_init","payload":{"token":"unknowable"}}`}, 1013, "now"},
		"TooLarge":        {"more than a body", []string{begin, subscribeText("a", "{ one } #"+strings.Repeat("x", 5000))}, 1009, ""},
	}
	s := newSite(t, func(o *Options) { withStreams(o); (&accounts{}).options(o); o.Limits.body = 4096 })
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client := s.talk(t)
			for _, text := range c.say {
				client.say(text)
			}
			client.expectClose(c.code, c.part)
		})
	}
	t.Run("Binary", func(t *testing.T) {
		client := s.talk(t)
		if err := client.Write(t.Context(), websocket.MessageBinary, []byte(begin)); err != nil {
			t.Fatal(err)
		}
		client.expectClose(4400, "text")
	})
	if strings.Contains(s.log.String(), "unknowable") {
		t.Error("a token was logged")
	}
}

func TestWebSocketViewer(t *testing.T) {
	cases := map[string]struct{ reason, header, params, want string }{
		"Nobody":        {"no credentials", "", ``, ``},
		"Cookie":        {"a browser", "Cookie: __Host-stoa=of-ada", ``, "ada"},
		"Bearer":        {"a program", "Authorization: Bearer of-ada", ``, "ada"},
		"Params":        {"a phone", "", `,"payload":{"authorization":"Bearer of-ada"}`, "ada"},
		"ParamsCase":    {"in any case", "", `,"payload":{"Authorization":"bearer of-ada"}`, "ada"},
		"ParamsToken":   {"bare", "", `,"payload":{"token":"of-ada"}`, "ada"},
		"ParamsWin":     {"what is said last", "Cookie: __Host-stoa=of-ada", `,"payload":{"token":"of-bob"}`, "bob"},
		"ParamsEmpty":   {"a page writes it so", "Cookie: __Host-stoa=of-ada", `,"payload":{"authorization":"","token":null}`, "ada"},
		"ParamsNull":    {"a page writes it so", "", `,"payload":null`, ""},
		"CookieNobodys": {"nobody's fault", "Cookie: __Host-stoa=old", ``, ""},
	}
	s := newSite(t, func(o *Options) { (&accounts{}).options(o) })
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = []string{c.header}
			}
			client := s.talk(t, headers...).begin(c.params)
			client.say(subscribeText("a", `{ article(slug: "viewer") { title } }`))
			client.expectPart(fmt.Sprintf(`"title":%q`, c.want))
		})
	}
}

func TestHandshakesAreRefused(t *testing.T) {
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	spoken := "Sec-WebSocket-Protocol: " + stream.Subprotocol
	cases := map[string]struct {
		reason  string
		headers []string
		status  int
		part    string
	}{
		"OtherOrigin":   {"it would speak with the visitor's cookie", []string{spoken, "Origin: https://evil.example"}, 403, "STOA_ORIGINS"},
		"NullOrigin":    {"a sandboxed frame", []string{spoken, "Origin: null"}, 403, "CROSS_ORIGIN"},
		"NoProtocol":    {"whatever it speaks", nil, 400, stream.Subprotocol},
		"OtherProtocol": {"the older one", []string{"Sec-WebSocket-Protocol: graphql-ws"}, 400, stream.Subprotocol},
		"BadBearer":     {"a program's mistake", []string{spoken, "Authorization: Bearer"}, 400, "Bearer TOKEN"},
		"Ours":          {"our own page", []string{spoken, "Origin: OWN"}, 101, ""},
		"Listed":        {"a front end", []string{spoken, "Origin: " + shop}, 101, ""},
		"Program":       {"no browser", []string{"Sec-WebSocket-Protocol: other, " + stream.Subprotocol}, 101, ""},
	}
	s := newSite(t, withShop)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			raw, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(patience))
			lines := append(append([]string{"GET /graphql HTTP/1.1", "Host: " + strings.TrimPrefix(s.url, "http://")}, upgrade...), c.headers...)
			fmt.Fprint(raw, strings.ReplaceAll(strings.Join(lines, "\r\n"), "OWN", s.url)+"\r\n\r\n")
			answer := make([]byte, 4096)
			n, err := io.ReadAtLeast(raw, answer, 20)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(answer[:n]); !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", c.status)) || !strings.Contains(got, c.part) {
				t.Errorf("%s: got %s", c.reason, got)
			}
		})
	}
}

// A client may send its first message with the handshake.
func TestEarlyMessage(t *testing.T) {
	s := newSite(t, nil)
	raw, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(patience))
	text := `{"type":"connection_init"}`
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	fmt.Fprintf(raw, "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n%s", stream.Subprotocol, frame)
	var got bytes.Buffer
	for part := make([]byte, 512); !strings.Contains(got.String(), acknowledged); {
		n, err := raw.Read(part)
		if err != nil {
			t.Fatalf("got %s, %v", got.String(), err)
		}
		got.Write(part[:n])
	}
}

func TestInitTimeout(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Limits.stream.Timeouts.Init = 50 * time.Millisecond })
	c := s.talk(t)
	c.say(`{"type":"ping"}`)
	c.expectClose(4408, "connection_init")
}

func TestSlowMessage(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Limits.timeout = 100 * time.Millisecond })
	c := s.talk(t).begin("")
	w, err := c.Writer(t.Context(), websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(`{"type":"` + strings.Repeat("x", 10_000))); err != nil {
		t.Fatal(err)
	}
	c.expectClose(4408, "too long")
}

func TestSocketTimeout(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Limits.timeout = 100 * time.Millisecond })
	c := s.talk(t).begin("")
	c.say(subscribeText("f", `subscription { forever }`)) // has no end but its own
	c.say(subscribeText("a", `{ slow }`))
	c.expectPart(`{"id":"a","type":"error","payload":[{"message":"the answer wasn't there within`)
	c.say(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
}

func TestClientThatIsGone(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Limits.stream.Timeouts = stream.Timeouts{Ping: 20 * time.Millisecond, Pong: 50 * time.Millisecond}
	})
	c := s.talk(t).begin("")
	// It doesn't read, so that the library doesn't answer pings.
	s.expectNone(t)
	_ = c.CloseNow()
}

// expectNone waits until no connection is open.
func (s *site) expectNone(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if connected() == 0 {
			return
		}
	}
	t.Fatal("connections are still open")
}

func TestClientThatIsThereStays(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Limits.stream.Timeouts = stream.Timeouts{Ping: 5 * time.Millisecond, Pong: patience}
	})
	c := s.talk(t).begin("")
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; { // some twenty pings of ours
		c.say(subscribeText("a", `{ __typename }`))
		c.expectPart("next")
		c.expectPart("complete")
	}
	for range 20 {
		c.say(`{"type":"ping"}`)
		c.expect(`{"type":"pong"}`)
	}
}

func TestSlowReader(t *testing.T) {
	s := newSite(t, func(o *Options) {
		withStreams(o)
		o.Limits.body, o.Limits.stream.Timeouts.Write = 1<<20, 100*time.Millisecond
	})
	c := s.talk(t).begin("")
	for i := range 20 { // far more than the buffers of two sockets hold
		c.say(subscribeText(strconv.Itoa(i), `{ big(of: 4000000) }`))
	}
	s.expectNone(t)
}

func TestTwoHundredAtOnce(t *testing.T) {
	s := newSite(t, withStreams)
	var all sync.WaitGroup
	for range 2 {
		c := s.talk(t).begin("")
		all.Go(func() {
			for i := range 100 {
				c.say(subscribeText(strconv.Itoa(i), `subscription { count(to: 5) }`))
			}
		})
		all.Go(func() {
			next, complete := map[string]int{}, 0
			for complete < 100 {
				text, err := c.hear()
				var m struct{ ID, Type string }
				if err != nil || json.Unmarshal([]byte(text), &m) != nil {
					t.Errorf("heard %.100q, %v", text, err)
					return
				}
				switch m.Type {
				case "next":
					next[m.ID]++
				case "complete":
					complete++
				default:
					t.Errorf("heard %s", text)
				}
			}
			for id, n := range next {
				if n != 5 {
					t.Errorf("operation %s had %d events", id, n)
				}
			}
		})
	}
	all.Wait()
}

func TestTooManyOperations(t *testing.T) {
	s := newSite(t, withStreams)
	c := s.talk(t).begin("")
	for i := range 100 {
		c.say(subscribeText(strconv.Itoa(i), `subscription { forever }`))
	}
	c.say(subscribeText("more", `{ one }`))
	c.expectPart(`"TOO_MANY_OPERATIONS"`)
	c.say(`{"id":"0","type":"complete"}`)
	again := time.NewTicker(20 * time.Millisecond) // a refused message counts for the connection
	defer again.Stop()
	for range again.C { // the place is free once the operation has ended
		c.say(subscribeText("more", `{ one }`))
		text, err := c.hear()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, `"next"`) {
			return
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Limits.stream.Connections = 3
		o.Limits.stream.PerAddress = 2
		o.Proxies = prefixes("127.0.0.0/8")
	})
	from := func(address string) (*websocket.Conn, int) {
		c, response, err := s.dial(t, http.Header{"X-Forwarded-For": {address}})
		if err != nil && response == nil {
			t.Fatal(err)
		}
		if c != nil {
			t.Cleanup(func() { _ = c.CloseNow() })
		}
		return c, response.StatusCode
	}
	first, _ := from("2001:db8::1")
	from("2001:db8::2")
	if _, status := from("2001:db8::3"); status != 503 {
		t.Errorf("a third from one /64: %d", status)
	}
	if _, status := from("192.0.2.1"); status != 101 {
		t.Errorf("one from elsewhere: %d", status)
	}
	if _, status := from("192.0.2.2"); status != 503 {
		t.Errorf("a fourth in all: %d", status)
	}
	_ = first.CloseNow()
	for deadline := time.Now().Add(patience); ; {
		if _, status := from("2001:db8::3"); status == 101 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of one that has gone isn't free")
		}
	}
}

// standing is the set of valid sessions.
type standing struct {
	mu    sync.Mutex
	ended []string
	err   error
	asked int
	again chan struct{} // gets an element for each question
}

func (h *standing) holds(_ context.Context, tokens []string) ([]bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	select {
	case h.again <- struct{}{}:
	default:
	}
	if h.err != nil {
		return nil, h.err
	}
	stands := make([]bool, len(tokens))
	for i, token := range tokens {
		stands[i] = !slices.Contains(h.ended, token)
	}
	return stands, nil
}

func (h *standing) end(tokens ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended, h.err = tokens, nil
}

func TestRevocationCloses(t *testing.T) {
	h := &standing{again: make(chan struct{}), err: errors.New("no database")}
	s := newSite(t, func(o *Options) { withStreams(o); (&accounts{}).options(o); o.Holds = h.holds })
	ada, bob, nobody := s.talk(t).begin(`,"payload":{"token":"of-ada"}`), s.talk(t, "Cookie: __Host-stoa=of-bob").begin(""), s.talk(t).begin("")
	ada.say(subscribeText("f", `subscription { forever }`))
	for range 3 {
		<-h.again
	}
	if n := strings.Count(s.log.String(), "can't tell"); n != 1 {
		t.Errorf("an outage was logged %d times", n)
	}
	h.end("of-ada")
	began := time.Now()
	ada.expectClose(4403, "session")
	took := time.Since(began)
	t.Logf("closed %s after the session had ended", took)
	if took > 3*time.Second { // three times the promise
		t.Errorf("closing took %s", took)
	}
	for _, c := range []*talk{bob, nobody} {
		c.say(`{"type":"ping"}`)
		c.expect(`{"type":"pong"}`)
	}
}

func TestWatcherRestsAndComesBack(t *testing.T) {
	h := &standing{again: make(chan struct{})}
	s := newSite(t, func(o *Options) { (&accounts{}).options(o); o.Holds = h.holds })
	for range 2 {
		c := s.talk(t).begin(`,"payload":{"token":"of-ada"}`)
		<-h.again
		_ = c.CloseNow()
		for deadline := time.Now().Add(patience); running("stream.(*registry).keepWatch") > 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("it watches over nothing")
			}
		}
	}
}

func TestCloseLetsFinish(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Limits.timeout = 200 * time.Millisecond })
	idle, busy := s.talk(t).begin(""), s.talk(t).begin("")
	busy.say(subscribeText("f", `subscription { forever }`))
	busy.say(subscribeText("a", `{ slow }`))
	busy.say(`{"type":"ping"}`)
	busy.expect(`{"type":"pong"}`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Close(t.Context())
	}()
	idle.expectClose(1012, "stopping")
	for {
		text, err := busy.hear()
		if err != nil {
			t.Fatalf("closed before the answer was there: %v", err)
		}
		if strings.HasPrefix(text, `{"id":"f"`) { // its client would not subscribe again
			t.Errorf("the end of a subscription is told: %s", text)
		}
		if strings.HasPrefix(text, `{"id":"a"`) {
			break
		}
	}
	busy.expectClose(1012, "stopping")
	<-done
	if got := s.do(t, "GET", "/graphql", "", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: "+stream.Subprotocol); got.status != 503 {
		t.Errorf("a new connection: %d", got.status)
	}
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Limits.timeout = time.Hour })
	c := s.talk(t).begin("")
	c.say(subscribeText("a", `{ slow }`))
	c.say(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Close(ctx)
	s.expectNone(t)
}

// A client that sends a frame without end, a byte at a time, is left when its time is over.
func TestFrameWithoutEnd(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Limits.stream.Timeouts.End = 100 * time.Millisecond })
	raw, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	fmt.Fprintf(raw, "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n", stream.Subprotocol)
	_, _ = raw.Write([]byte{0x82, 0x80, 0, 0, 0, 0})                               // binary and empty: the end begins
	_, _ = raw.Write([]byte{0x81, 0x80 | 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // a terabyte
	_ = raw.SetDeadline(time.Now().Add(patience))
	for began := time.Now(); ; {
		_, err := raw.Write([]byte("x"))
		if errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > 4*time.Second { // before the library's own limits of 5 s
			t.Fatal("it still listens")
		}
		if err != nil {
			break
		}
		runtime.Gosched()
	}
	s.expectNone(t)
}

// An idle connection costs its goroutine, two small buffers and the kernel's part.
func TestMemoryOfSockets(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 2,000 connections")
	}
	const connections = 2000
	s := newSite(t, func(o *Options) { o.Limits.stream.PerAddress, o.Limits.backlog.Connections = connections, connections })
	used := func() (heap, stack uint64) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse, m.StackInuse
	}
	frame := func(text string) []byte {
		b := []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}
		if len(text) > 125 {
			b = []byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0}
		}
		return append(b, text...)
	}
	heap, stack := used()
	goroutines := runtime.NumGoroutine()
	for range connections { // bare ends, with next to no memory of their own
		raw, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Skipf("no more connections: %v", err)
		}
		defer raw.Close()
		_ = raw.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(raw, "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n", stream.Subprotocol)
		_, _ = raw.Write(frame(`{"type":"connection_init"}`))
		_, _ = raw.Write(frame(subscribeText("a", `{ article(slug: "hello") { slug } }`)))
		var got bytes.Buffer
		for part := make([]byte, 512); !strings.Contains(got.String(), `"complete"`); {
			n, err := raw.Read(part)
			if err != nil {
				t.Fatalf("got %s, %v", got.String(), err)
			}
			got.Write(part[:n])
		}
	}
	heapNow, stackNow := used()
	per := func(before, after uint64) int { return int(after-before) / connections }
	t.Logf("an idle connection takes %d bytes of heap (a few hundred of them the test's own), %d of stack and %.2f goroutines",
		per(heap, heapNow), per(stack, stackNow), float64(runtime.NumGoroutine()-goroutines)/connections)
}
