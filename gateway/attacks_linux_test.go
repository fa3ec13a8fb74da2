package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"stoa/gateway/stream"
)

// The allowed cost of one attack in the process that serves it. The client's part and the
// collector's are included.
const (
	attackCPU    = 50 * time.Millisecond
	attackMemory = 10 << 20
)

// attack is the bytes sent over one connection, and the expected response.
type attack struct {
	name string
	send string                             // the bytes
	want string                             // "STATUS CODE", a row of them where several come, or what becomes of the connection
	talk func(t *testing.T, s *site) string // instead of send

	cached bool // the server caches responses
}

// post is the bytes of a POST with this body.
func rawPost(body string, headers ...string) string {
	head := "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	if !strings.Contains(head, "Content-Length") && !strings.Contains(head, "Transfer-Encoding") {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return head + "\r\n" + body
}

func rawQuery(query string) string { return rawPost(bodyOf(query, nil)) }

func attacks() []attack {
	plain := `{"query":"{__typename}"}`
	variables := func(value string) string {
		return rawPost(`{"query":"query($a:[ID!]!){nodes(ids:$a){id}}","variables":{"a":` + value + `}}`)
	}
	smuggled := "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = zip.Write(bytes.Repeat([]byte(" "), 1000<<10))
	_ = zip.Close()
	return []attack{
		{name: "10,000 aliases of one field", send: rawQuery("{" + repeat(10000, `a%d: article(slug: "a") { id } `) + "}"), want: "200 DOCUMENT_TOO_LARGE"},
		{name: "500 aliases of one field", send: rawQuery("{" + repeat(500, `a%d: article(slug: "a") { id } `) + "}"), want: "200 DOCUMENT_TOO_LARGE"},
		{name: "100 fields at the top", send: rawQuery("{" + repeat(100, `a%d: article(slug: "a") { id } `) + "}"), want: "200 DOCUMENT_TOO_LARGE"},
		{name: "fragments that double, to 2^200 fields", send: rawQuery("{...F0}" + repeat(100, " fragment F%d on Query {...G%d ...G%d} fragment G%d on Query {...F%+d}") + " fragment F100 on Query {__typename}"), want: "200 DOCUMENT_TOO_LARGE"},
		{name: "fragments that double, as far as is let through", send: rawQuery(doubling(9)), want: "200"},
		{name: "fragments that conflict on each level, as far as is let through", send: rawQuery(alternating(8)), want: "200"},
		{name: "a fragment that contains itself", send: rawQuery("{...A} fragment A on Query {...B} fragment B on Query {...A}"), want: "200 GRAPHQL_VALIDATION_FAILED"},
		{name: "451 fragments in one cycle", send: rawQuery("{...H} fragment H on Query {" + repeat(450, "...L%d ") + "}" + repeat(450, " fragment L%d on Query {...H}")), want: "200 GRAPHQL_VALIDATION_FAILED"},
		{name: "a chain of fragments, as long as is let through", send: rawQuery("{...F0}" + chain(17, "... {"+strings.Repeat("__typename ", 1500)+"}")), want: "200"},
		{name: "600 fragments", send: rawQuery("{...F0}" + chain(600, "__typename")), want: "200 DOCUMENT_TOO_LARGE"},
		{name: "17 operations with one large fragment, as many as are let through", send: rawPost(`{"operationName":"Q0",` + bodyOf(repeat(17, "query Q%d {...F} ")+"fragment F on Query {"+strings.Repeat("__typename ", 1600)+"}", nil)[1:]), want: "200"},
		{name: "4,900 equal fields", send: rawQuery("{" + strings.Repeat("__typename ", 4900) + "}"), want: "200"},
		{name: "700 directives on a field", send: rawQuery("{ __typename " + strings.Repeat("@skip(if:false) ", 700) + "}"), want: "200 DOCUMENT_TOO_LARGE"},
		{name: "100 wrong directives", send: rawQuery("{ __typename " + repeat(100, "@a%d ") + "}"), want: "200 GRAPHQL_VALIDATION_FAILED ERRORS_OMITTED"},
		{name: "120,000 braces", send: rawQuery(strings.Repeat("{", 120_000)), want: "200 DOCUMENT_TOO_DEEP"},
		{name: "fields 60 deep", send: rawQuery(`{ article(slug: "a")` + nested(60, "{ next ", "{ id }", "}") + "}"), want: "200 DOCUMENT_TOO_DEEP"},
		{name: "a literal 2,000 deep", send: rawQuery("{ nodes(ids: " + nested(2000, "[", "", "]") + ") { id } }"), want: "200 DOCUMENT_TOO_DEEP"},
		{name: "a document of 1 MB", send: rawQuery("#" + strings.Repeat("a", 1<<20-100) + "\n{__typename}"), want: "200 DOCUMENT_TOO_LARGE"},
		{name: "a literal of 120 KB of a wrong type, 30 lists deep", send: rawQuery(`{ article(slug: ` + nested(30, "[", `"`+strings.Repeat("a", 120_000)+`"`, "]") + `) { id } }`), want: "200 GRAPHQL_VALIDATION_FAILED"},
		{name: "3,000 unknown fields of 40 letters", send: rawQuery(`{article(slug:"a"){` + repeat(3000, strings.Repeat("articl", 5)+"%d ") + "}}"), want: "200 GRAPHQL_VALIDATION_FAILED ERRORS_OMITTED"},
		{name: "a variable of 1 MB", send: variables(`["` + strings.Repeat("a", 1<<20-100) + `"]`), want: "200 INVALID"},
		{name: "a variable of 1 MB of a wrong type", send: rawPost(`{"query":"query($n:Int){articles(first:$n){nodes{id}}}","variables":{"n":"` + strings.Repeat("a", 1<<20-200) + `"}}`), want: "200 GRAPHQL_VALIDATION_FAILED"},
		{name: "a list of 100,000", send: variables("[" + strings.TrimSuffix(strings.Repeat("1,", 100_000), ",") + "]"), want: "413 PAYLOAD_TOO_LARGE"},
		{name: "4,800 objects in lists, nearly the most values that are decoded", send: rawPost(`{"query":"{__typename}","variables":{"x":[` + strings.TrimSuffix(strings.Repeat("["+strings.TrimSuffix(strings.Repeat(`{"":0},`, 40), ",")+"],", 120), ",") + `]}}`), want: "200"},
		{name: "variables 500,000 deep", send: variables(nested(500_000, "[", "", "]")), want: "400 BAD_REQUEST"},
		{name: "a number of 1 MB", send: variables(strings.Repeat("9", 1<<20-100)), want: "400 BAD_REQUEST"},
		{name: "1 MB of JSON that is broken at its end", send: rawPost(`{"query":"` + strings.Repeat("x", 1<<20-100) + `",}`), want: "400 BAD_REQUEST"},
		{name: "… all of it escapes", send: rawPost(`{"query":"` + strings.Repeat(`\n`, 1<<19-100) + `",}`), want: "400 BAD_REQUEST"},
		{name: "a body of 8 GB", send: rawPost("{", "Content-Length: 8589934592"), want: "413 PAYLOAD_TOO_LARGE"},
		{name: "a body of 2 MB that doesn't say so", send: rawPost("200000\r\n"+strings.Repeat(" ", 2<<20)+"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), want: "413 PAYLOAD_TOO_LARGE"},
		{name: "a body that never comes", send: rawPost(`{"query":`, "Content-Length: 1000000"), want: "408 REQUEST_TIMEOUT"},
		{name: "headers that never end", send: "POST /graphql HTTP/1.1\r\nHost: localhost\r\n" + repeat(4000, "X-%d: abcdefghijklmnop\r\n"), want: "431"},
		{name: "a compressed bomb", send: rawPost(bomb.String(), "Content-Encoding: gzip"), want: "415 UNSUPPORTED_MEDIA_TYPE"},
		{name: "a batch of 10,000", send: rawPost("[" + strings.TrimSuffix(strings.Repeat(plain+",", 10_000), ",") + "]"), want: "400 BAD_REQUEST"},
		{name: "the schema, ten times over", send: rawQuery("{" + repeat(10, `a%d: __schema { types { fields { name } } }`) + "}"), want: "200 COST_TOO_HIGH"},
		{name: "the schema, as often and as deep as is let through", send: rawQuery("{" + repeat(2, `a%d: __schema { types { name description fields { name description args { name description type { name ofType { name } } } type { name ofType { name ofType { name } } } } } }`) + "}"), want: "200"},
		{name: "the schema, its types within one another", send: rawQuery(`{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }`), want: "200 DOCUMENT_TOO_DEEP"},
		{name: "pages of 100 within pages of 100", send: rawQuery(`{ articles(first: 100) { nodes { comments(first: 100) { nodes { replies(first: 100) { nodes { id } } } } } } }`), want: "200 COST_TOO_HIGH"},
		{name: "200 texts a hundred times", send: rawQuery("{" + repeat(40, `a%d: articles(first: 100) { nodes { bodyHtml bodyMarkdown } }`) + "}"), want: "200 COST_TOO_HIGH"},
		{name: "invalid UTF-8", send: rawPost("{\"query\":\"{__typename}\",\"x\":\"\xff\xfe\"}"), want: "400 BAD_REQUEST"},
		{name: "a query given twice", send: rawPost(`{"query":"{__typename}","query":"mutation{x}"}`), want: "400 BAD_REQUEST"},
		{name: "a variable's member given twice", send: rawPost(`{"query":"query($w:ArticleWhere){articles(where:$w){nodes{id}}}","variables":{"w":{"tag":"a","tag":"b"}}}`), want: "400 BAD_REQUEST"},
		{name: "a form, as a page of another site can send", send: strings.Replace(rawPost("query={__typename}"), "application/json", "application/x-www-form-urlencoded", 1), want: "415 UNSUPPORTED_MEDIA_TYPE"},
		{name: "a mutation by GET", send: "GET /graphql?query=mutation{articleDelete(input:{id:1}){userErrors{message}}} HTTP/1.1\r\nHost: localhost\r\n\r\n", want: "405 METHOD_NOT_ALLOWED"},
		{name: "smuggling: a length and chunks", send: rawPost("0\r\n\r\n"+smuggled, fmt.Sprintf("Content-Length: %d", 5+len(smuggled)), "Transfer-Encoding: chunked"), want: "400 BAD_REQUEST, closed"},
		{name: "smuggling: two lengths", send: rawPost(plain+smuggled, fmt.Sprintf("Content-Length: %d", len(plain)), "Content-Length: 5"), want: "400, closed"},
		{name: "smuggling: a length with a sign", send: rawPost(plain+smuggled, fmt.Sprintf("Content-Length: +%d", len(plain))), want: "400, closed"},
		{name: "smuggling: an encoding that is nearly chunked", send: rawPost("0\r\n\r\n"+smuggled, "Transfer-Encoding: xchunked"), want: "501, closed"},
		{name: "smuggling: two encodings", send: rawPost("0\r\n\r\n"+smuggled, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"), want: "501, closed"},
		{name: "smuggling: a space before the colon", send: rawPost("0\r\n\r\n"+smuggled, "Transfer-Encoding : chunked"), want: "400, closed"},
		{name: "smuggling: a chunk's size with a sign", send: rawPost("+5\r\n"+plain[:5]+"\r\n0\r\n\r\n"+smuggled, "Transfer-Encoding: chunked"), want: "400 BAD_REQUEST, closed"},
		{name: "smuggling: two hosts", send: strings.Replace(rawPost(plain), "Host: localhost\r\n", "Host: localhost\r\nHost: other\r\n", 1), want: "400, closed"},
		{name: "200 connections that fetch a cached response of 100 KB and read nothing", talk: fetchAndWait, cached: true, want: "bounded"},
		{name: "a WebSocket that never reads", talk: neverRead, want: "closed"},
		{name: "a WebSocket that pings without end", talk: flood([]byte{0x89, 0x80, 0, 0, 0, 0}), want: "closed 1008"},
		{name: "… in messages of its protocol", talk: flood(frameOf(`{"type":"ping"}`)), want: "closed 1008"},
		{name: "… in answers that nobody asked for", talk: flood([]byte{0x8a, 0x80, 0, 0, 0, 0}), want: "closed 1008"},
		{name: "a message of empty frames without end", talk: flood([]byte{0x01, 0x80, 0, 0, 0, 0}, []byte{0x00, 0x80, 0, 0, 0, 0}), want: "closed 1008"},
		{name: "a WebSocket whose operations are refused without end", talk: refused, want: "closed 1008"},
		{name: "a WebSocket that never introduces itself", talk: neverIntroduce, want: "closed 4408"},
	}
}

// neverRead asks over a WebSocket for more than the connection's buffers hold, and reads
// nothing of it. The server lets go of it.
func neverRead(t *testing.T, s *site) string {
	s.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return c, err
	}
	s.client.CloseIdleConnections()
	c := s.talk(t).begin("")
	for i := range 20 {
		c.say(subscribeText(fmt.Sprint(i), `{ article(slug: "large") { title } }`))
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if connected() == 0 {
			return "closed"
		}
	}
	return "open"
}

// fetchAndWait asks for 20 MB in all, and reads nothing of it. The kernel holds a part for the server.
func fetchAndWait(t *testing.T, s *site) string {
	for range 200 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		_, _ = io.WriteString(c, rawQuery(`{ article(slug: "large") { title } }`))
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return err.Error()
		}
	}
	if waiting := waitingAt(t, s); waiting > 2*waitingMost {
		return fmt.Sprintf("%d bytes wait", waiting)
	}
	return "bounded"
}

// waitingMost is how many bytes may wait for one client in these tests.
const waitingMost = 2 << 20

// waitingAt is the sum of the bytes that wait for clients of s, as the kernel has it.
func waitingAt(t *testing.T, s *site) (sum int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), ":")
	port, _ := strconv.Atoi(number)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			continue
		}
		sent, _, _ := strings.Cut(fields[4], ":")
		n, err := strconv.ParseInt(sent, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// flood sends the first frame, and then the last one without end.
func flood(frames ...[]byte) func(*testing.T, *site) string {
	return func(t *testing.T, s *site) string {
		raw, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		_ = raw.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(raw, "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n", stream.Subprotocol)
		reader := bufio.NewReader(raw)
		if _, err := http.ReadResponse(reader, nil); err != nil {
			t.Fatal(err)
		}
		_, _ = raw.Write(frameOf(`{"type":"connection_init"}`))
		_, _ = raw.Write(frames[0])
		go func() {
			for many := bytes.Repeat(frames[len(frames)-1], 50); ; {
				if _, err := raw.Write(many); err != nil {
					return
				}
			}
		}()
		for { // frames of less than 126 bytes
			head := make([]byte, 2)
			if _, err := io.ReadFull(reader, head); err != nil {
				return err.Error()
			}
			body := make([]byte, head[1])
			if _, err := io.ReadFull(reader, body); err != nil {
				return err.Error()
			}
			if head[0] == 0x88 {
				return fmt.Sprintf("closed %d", int(body[0])<<8|int(body[1]))
			}
		}
	}
}

// frameOf is a frame of a short text, masked with zeroes.
func frameOf(text string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

// refused asks for more operations at once than a connection may have.
func refused(t *testing.T, s *site) string {
	c := s.talk(t).begin("")
	for i := range 1000 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := c.Write(ctx, websocket.MessageText, []byte(subscribeText(fmt.Sprint(i), `{ article(slug: "slow") { id } }`)))
		cancel()
		if err != nil {
			break
		}
	}
	for {
		_, err := c.hear()
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			return fmt.Sprintf("closed %d", closed.Code)
		}
		if err != nil {
			return err.Error()
		}
	}
}

func neverIntroduce(t *testing.T, s *site) string {
	c := s.talk(t)
	_, err := c.hear()
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return err.Error()
	}
	return fmt.Sprintf("closed %d", closed.Code)
}

// reply sends the bytes and returns the status and codes of each response, and if the
// connection was closed then.
func (a attack) reply(t *testing.T, s *site) string {
	if a.talk != nil {
		return a.talk(t, s)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { _, _ = io.WriteString(c, a.send) }() // it may answer before it has read all
	_ = c.SetReadDeadline(time.Now().Add(patience))
	reader := bufio.NewReader(c)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	got := fmt.Sprint(response.StatusCode)
	var answer struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	if json.Unmarshal(body, &answer) == nil {
		last := ""
		for _, e := range answer.Errors {
			if e.Extensions.Code != last {
				last = e.Extensions.Code
				got += " " + last
			}
		}
	}
	if strings.HasSuffix(a.want, ", closed") {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if second, err := http.ReadResponse(reader, nil); err == nil {
			return got + ", and what was smuggled in gets " + second.Status
		}
		got += ", closed"
	}
	return got
}

// TestAttacks sends attacks that take down unprepared servers, and measures the cost of each:
// the least of three runs, since others use the machine. docs/gateway.md has the table;
// UPDATE=1 writes it anew.
func TestAttacks(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector takes many times the processor and the memory")
	}
	var table strings.Builder
	table.WriteString("| attack | answer | CPU | memory |\n|---|---|---|---|\n")
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			cpu, memory := time.Hour, uint64(1<<60)
			for range 3 {
				makes := newSite
				if a.cached {
					makes = func(t testing.TB, change func(*Options)) *site { s, _ := keeping(t, 1<<20, change); return s }
				}
				s := makes(t, func(o *Options) {
					o.Limits.timeout, o.Limits.backlog.PerClient = 2*time.Second, waitingMost
					o.Limits.stream.Timeouts = stream.Timeouts{Init: 100 * time.Millisecond, Ping: time.Hour, Pong: time.Hour, Write: 200 * time.Millisecond, End: 100 * time.Millisecond}
					if strings.Contains(a.name, "never comes") {
						o.Limits.timeout = 200 * time.Millisecond
					}
				})
				if r := s.post(t, `{ __typename }`); r.status != 200 { // allocates buffers and a connection before the measurement
					t.Fatalf("got %d", r.status)
				}
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				spent := processTime(t)
				got := a.reply(t, s)
				spent = processTime(t) - spent
				runtime.ReadMemStats(&after)
				if got != a.want {
					t.Fatalf("it is answered with %q, not %q", got, a.want)
				}
				cpu, memory = min(cpu, spent), min(memory, after.TotalAlloc-before.TotalAlloc)
				if r := s.post(t, `{ __typename }`); r.status != 200 {
					t.Fatalf("afterwards a plain query gets %d", r.status)
				}
			}
			row := fmt.Sprintf("| %s | %s | %.1f ms | %.1f MB |\n", a.name, a.want, cpu.Seconds()*1000, float64(memory)/(1<<20))
			table.WriteString(row)
			t.Log(strings.TrimSpace(row))
			if memory > attackMemory {
				t.Errorf("it takes %d bytes, where %d are the most", memory, attackMemory)
			}
			if cpu > 3*attackCPU { // a machine that is three times as slow
				t.Errorf("it takes %v of a processor, where %v is the most", cpu, attackCPU)
			}
		})
	}
	documented(t, table.String())
}

// processTime is the processor time that this process has taken.
func processTime(t *testing.T) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var measured = regexp.MustCompile(`\| [\d.]+ ms \| [\d.]+ MB \|`)

// documented holds the attacks and answers of the table in docs/gateway.md against these.
func documented(t *testing.T, table string) {
	const path, begin, end = "../docs/gateway.md", "<!-- attacks: TestAttacks writes them -->\n", "<!-- end of attacks -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the attacks", path)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if measured.ReplaceAllString(old, "") != measured.ReplaceAllString(table, "") {
		t.Errorf("%s has other attacks or answers: run UPDATE=1 go test ./gateway -run TestAttacks$", path)
	}
}
