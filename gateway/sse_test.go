package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"stoa/gateway/refusal"
)

// listening is the client's end of an event stream.
type listening struct {
	*http.Response
	lines *bufio.Scanner
	t     testing.TB
	stop  context.CancelFunc
}

// listen sends an operation that is to be answered by events. method is POST, or else the
// operation goes into the address.
func (s *site) listen(t testing.TB, method, query string, headers ...string) *listening {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	t.Cleanup(stop)
	address, body := s.url+"/graphql", bodyOf(query, nil)
	if method != http.MethodPost {
		address, body = address+"?query="+url.QueryEscape(query), ""
	}
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return &listening{response, bufio.NewScanner(response.Body), t, stop}
}

// costInEvent matches the extensions of each response.
var costInEvent = regexp.MustCompile(`,"extensions":\{"cost":\{"requested":\d+\}\}\}$`)

// line is the next that isn't empty, without its cost; "" at the end.
func (l *listening) line() string {
	for l.lines.Scan() {
		if text := l.lines.Text(); text != "" {
			found := costInEvent.FindStringIndex(text)
			if (found != nil) != strings.Contains(text, `"data":`) {
				l.t.Errorf("has a cost: %t: %s", found != nil, text)
			}
			if found != nil {
				text = text[:found[0]] + "}"
			}
			return text
		}
	}
	return ""
}

func (l *listening) expect(want ...string) {
	l.t.Helper()
	for _, w := range want {
		if got := l.line(); got != w {
			l.t.Fatalf("got %q, want %q", got, w)
		}
	}
}

func (l *listening) expectPart(part string) {
	l.t.Helper()
	if got := l.line(); !strings.Contains(got, part) {
		l.t.Fatalf("got %q, want something with %q", got, part)
	}
}

var complete = []string{"event: complete", "data: ", ""}

func TestStreamAnswers(t *testing.T) {
	s := newSite(t, withStreams)
	for _, method := range []string{"GET", "POST"} {
		l := s.listen(t, method, `{ one }`)
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
			"Vary": "Accept, Accept-Encoding", "Content-Encoding": "", "Content-Length": "",
		} {
			if got := l.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got, want)
			}
		}
		l.expect(":", "event: next", `data: {"data":{"one":"1"}}`)
		l.expect(complete...)

		l = s.listen(t, method, `subscription { c: count(to: 3) }`)
		l.expect(":")
		for i := range 3 {
			l.expect("event: next", fmt.Sprintf(`data: {"data":{"c":"%d"}}`, i+1))
		}
		l.expect(complete...)
	}
}

// An error in the operation is an event, an error in the request is a status.
func TestStreamErrors(t *testing.T) {
	s := newSite(t, withStreams)
	for query, code := range map[string]string{
		`{`: refusal.ParseFailed, `{ none }`: refusal.ValidationFailed, `subscription { none }`: refusal.ValidationFailed, `{ panic }`: refusal.Internal,
		`subscription { count(to: "x") }`: refusal.ValidationFailed,
	} {
		l := s.listen(t, "POST", query)
		if l.StatusCode != 200 {
			t.Errorf("%s: status %d", query, l.StatusCode)
		}
		l.expect(":", "event: next")
		l.expectPart(`"code":"` + code + `"`)
		l.expect(complete...)
	}
	for name, c := range map[string]struct {
		reply  reply
		status int
		code   string
	}{
		"no body":       {s.do(t, "POST", "/graphql", `{`, "Accept: text/event-stream", "Content-Type: application/json"), 400, refusal.BadRequest},
		"no query":      {s.do(t, "GET", "/graphql", "", "Accept: text/event-stream"), 400, refusal.BadRequest},
		"a form":        {s.do(t, "POST", "/graphql", `query=x`, "Accept: text/event-stream", "Content-Type: application/x-www-form-urlencoded"), 415, refusal.UnsupportedMedia},
		"other origins": {s.do(t, "POST", "/graphql", bodyOf(`{ one }`, nil), "Accept: text/event-stream", "Content-Type: application/json", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"), 403, refusal.CrossOrigin},
		"a head":        {s.do(t, "GET", "/graphql?query={one}", "", "Accept: text/event-stream;q=0"), 406, refusal.NotAcceptable},
	} {
		if c.reply.status != c.status || c.reply.codes(t) != c.code {
			t.Errorf("%s: %d %s", name, c.reply.status, c.reply.body)
		}
	}
	mutation := newSite(t, nil).listen(t, "GET", `mutation { articlePublish(input: {id: "x"}) { userErrors { message } } }`)
	if mutation.StatusCode != 405 || mutation.Header.Get("Allow") != "POST" {
		t.Errorf("a mutation by GET: %d, Allow %q", mutation.StatusCode, mutation.Header.Get("Allow"))
	}
}

func TestStreamIsKeptAlive(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Limits.stream.Timeouts.Ping = time.Millisecond })
	s.listen(t, "GET", `subscription { forever }`).expect(":", ":", ":", ":")
}

func TestStreamTimeout(t *testing.T) {
	s := newSite(t, func(o *Options) {
		withStreams(o)
		o.Limits.timeout, o.Limits.stream.Timeouts.Ping = 50*time.Millisecond, 100*time.Millisecond
	})
	forever, slow := s.listen(t, "GET", `subscription { forever }`), s.listen(t, "GET", `{ slow }`)
	slow.expect(":", "event: next")
	slow.expectPart(`"code":"TIMEOUT"`)
	slow.expect(complete...)
	forever.expect(":", ":", ":") // a subscription has no end but its own
}

func TestStreamEndsWithItsClient(t *testing.T) {
	s := newSite(t, withStreams)
	l := s.listen(t, "GET", `subscription { forever }`)
	l.expect(":")
	l.stop()
	s.expectNone(t)
}

func TestStreamOfASlowClientIsClosed(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Limits.stream.Timeouts.Write = 100 * time.Millisecond })
	raw, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	fmt.Fprintf(raw, "GET /graphql?query=%s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", url.QueryEscape(`subscription { count(to: 100000000) }`))
	if _, err := raw.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	s.expectNone(t)
}

// raw opens a connection of its own and sends a subscription's request in HTTP/1.minor.
func (s *site) raw(t testing.TB, minor int, query string) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(raw, "GET /graphql?query=%s HTTP/1.%d\r\nHost: x\r\nOrigin: http://x\r\nAccept: text/event-stream\r\n\r\n", url.QueryEscape(query), minor)
	return raw
}

// An answer that we write ourselves has the head that net/http writes, and ends as its version
// of HTTP has it.
func TestStreamAsItIsSent(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Origins = []string{"http://x"} })
	for minor, want := range []string{
		":\n\nevent: next\ndata: {\"data\":{\"count\":\"1\"},\"extensions\":{\"cost\":{\"requested\":0}}}\n\nevent: complete\ndata: \n\n",
		"3\r\n:\n\n\r\n50\r\nevent: next\ndata: {\"data\":{\"count\":\"1\"},\"extensions\":{\"cost\":{\"requested\":0}}}\n\n\r\n" +
			"18\r\nevent: complete\ndata: \n\n\r\n0\r\n\r\n",
	} {
		usual, err := http.ReadResponse(bufio.NewReader(s.raw(t, minor, `{ one }`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s.raw(t, minor, `subscription { count(to: 1) }`))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
		if err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		if _, err := http.ParseTime(ours.Header.Get("Date")); err != nil {
			t.Errorf("Date: %v", err)
		}
		if !ours.Close {
			t.Error("it doesn't say that the connection ends")
		}
		for _, h := range []http.Header{ours.Header, usual.Header} {
			h.Del("Date")
			h.Del("Connection")
		}
		if ours.Proto != usual.Proto || ours.Status != usual.Status || fmt.Sprint(ours.TransferEncoding) != fmt.Sprint(usual.TransferEncoding) || !reflect.DeepEqual(ours.Header, usual.Header) {
			t.Errorf("got %s %s %v %v\nwant %s %s %v %v", ours.Proto, ours.Status, ours.TransferEncoding, ours.Header, usual.Proto, usual.Status, usual.TransferEncoding, usual.Header)
		}
		if _, body, _ := strings.Cut(string(got), "\r\n\r\n"); body != want {
			t.Errorf("HTTP/1.%d: got %q, want %q", minor, body, want)
		}
	}
}

// Bytes that a client sends after its request get no response, and the server buffers only a few of
// them.
func TestStreamIgnoresFurtherInput(t *testing.T) {
	s := newSite(t, withStreams)
	raw := s.raw(t, 1, `subscription { forever }`)
	for err := error(nil); err == nil; {
		_, err = raw.Write(make([]byte, 4096))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it still listens")
		}
	}
	s.expectNone(t)
}

// If the connection can't be taken over, a subscription is served like other requests.
func TestStreamOverHTTP2(t *testing.T) {
	s := newSite(t, withStreams)
	server := httptest.NewUnstartedServer(s.Gateway)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	over2 := &site{Gateway: s.Gateway, url: server.URL, client: server.Client()}
	l := over2.listen(t, "POST", `subscription { count(to: 2) }`)
	if l.ProtoMajor != 2 || l.StatusCode != 200 {
		t.Fatalf("%s: %d", l.Proto, l.StatusCode)
	}
	l.expect(":", "event: next", `data: {"data":{"count":"1"}}`, "event: next", `data: {"data":{"count":"2"}}`)
	l.expect(complete...)
	forever := over2.listen(t, "GET", `subscription { forever }`)
	forever.expect(":")
	forever.stop()
	s.expectNone(t)
}

func TestStreamsCountWithSockets(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Limits.stream.PerAddress = 2 })
	s.talk(t).begin("")
	l := s.listen(t, "GET", `subscription { forever }`)
	l.expect(":")
	if third := s.listen(t, "GET", `subscription { forever }`); third.StatusCode != 503 {
		t.Errorf("a third connection: %d", third.StatusCode)
	}
}

func TestStreamEndsWithItsSession(t *testing.T) {
	h := &standing{again: make(chan struct{}), err: errors.New("no database")}
	s := newSite(t, func(o *Options) {
		withStreams(o)
		(&accounts{}).options(o)
		o.Holds, o.Limits.stream.Timeouts.Ping = h.holds, 50*time.Millisecond
	})
	ada := s.listen(t, "GET", `subscription { forever }`, "Authorization: Bearer of-ada")
	none := s.listen(t, "GET", `subscription { forever }`, "Cookie: __Host-stoa=nobodys")
	who := s.listen(t, "GET", `subscription { who }`, "Authorization: Bearer of-ada")
	who.expect(":", "event: next", `data: {"data":{"who":"1ada"}}`, "event: next", `data: {"data":{"who":"2ada"}}`)
	who.expect(complete...)
	for range 3 {
		<-h.again
	}
	h.end("of-ada", "nobodys")
	for text := ada.line(); ; text = ada.line() {
		if text == ": the session has ended" {
			break
		}
		if text != ":" {
			t.Fatalf("got %q", text)
		}
	}
	ada.expect("") // and no "complete": the client comes again
	none.expect(":", ":", ":", ":")
}

func TestCloseEndsStreams(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Limits.timeout = 200 * time.Millisecond })
	forever, slow := s.listen(t, "GET", `subscription { forever }`), s.listen(t, "GET", `{ slow }`)
	forever.expect(":")
	slow.expect(":")
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Close(t.Context())
	}()
	forever.expect(": the server is stopping", "")
	slow.expect("event: next")
	slow.expectPart(`"code":"TIMEOUT"`) // by its own time
	slow.expect(complete...)
	<-done
	if l := s.listen(t, "GET", `subscription { forever }`); l.StatusCode != 503 {
		t.Errorf("a new stream: %d", l.StatusCode)
	}
}

func TestCloseCutsStreams(t *testing.T) {
	s := newSite(t, func(o *Options) { withStreams(o); o.Limits.timeout = time.Hour })
	slow := s.listen(t, "GET", `{ slow }`)
	slow.expect(":")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Close(ctx)
	slow.expect(": the server is stopping", "")
	s.expectNone(t)
}
