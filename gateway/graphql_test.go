package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/refusal"
	"stoa/gateway/wire"
	"stoa/graph/generated"
)

const (
	jsonBody     = "Content-Type: application/json"
	wantsGraphQL = "Accept: application/graphql-response+json"
	wantsJSON    = "Accept: application/json"
	browser      = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

func TestEveryRequestGetsTheStatusAndMediaTypeOfTheSpecification(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Playground = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "playground "+r.URL.Path)
		})
	})
	get := func(query string) string { return "/graphql?query=" + url.QueryEscape(query) }
	typename := `{"query":"{__typename}"}`
	cases := map[string]struct {
		reason  string
		method  string
		path    string
		body    string
		headers []string
		status  int
		media   string // "" for none
		want    string // in the body
	}{
		"Post":            {"the plain case", "POST", "/graphql", typename, []string{jsonBody}, 200, "application/json", `{"data":{"__typename":"Query"}}`},
		"PostGraphQL":     {"the newer media type", "POST", "/graphql", typename, []string{jsonBody, wantsGraphQL}, 200, "application/graphql-response+json", `{"data":{"__typename":"Query"}}`},
		"PostAnything":    {"the audits want the older one for */*", "POST", "/graphql", typename, []string{jsonBody, "Accept: */*"}, 200, "application/json", `"data"`},
		"PostTwoAccepts":  {"a header may come in several lines", "POST", "/graphql", typename, []string{jsonBody, "Accept: text/html", wantsGraphQL}, 200, "application/graphql-response+json", `"data"`},
		"PostNoneAccept":  {"nothing that can be answered is accepted", "POST", "/graphql", typename, []string{jsonBody, "Accept: text/html"}, 406, "application/json", "NOT_ACCEPTABLE"},
		"PostNoType":      {"the body might be a form", "POST", "/graphql", typename, nil, 415, "application/json", "UNSUPPORTED_MEDIA_TYPE"},
		"PostForm":        {"another site's page can send forms with cookies", "POST", "/graphql", "query={__typename}", []string{"Content-Type: application/x-www-form-urlencoded"}, 415, "application/json", "send application/json"},
		"PostMultipart":   {"and multipart ones", "POST", "/graphql", typename, []string{"Content-Type: multipart/form-data; boundary=x"}, 415, "application/json", "UNSUPPORTED_MEDIA_TYPE"},
		"PostPlain":       {"and plain text", "POST", "/graphql", typename, []string{"Content-Type: text/plain"}, 415, "application/json", "UNSUPPORTED_MEDIA_TYPE"},
		"PostTwoTypes":    {"which of them a proxy has believed can't be known", "POST", "/graphql", typename, []string{"Content-Type: text/plain", jsonBody}, 415, "application/json", "UNSUPPORTED_MEDIA_TYPE"},
		"PostCharset":     {"UTF-8 may be named", "POST", "/graphql", typename, []string{"Content-Type: application/json; charset=UTF-8"}, 200, "application/json", `"data"`},
		"PostLatin1":      {"other charsets aren't read", "POST", "/graphql", typename, []string{"Content-Type: application/json; charset=iso-8859-1"}, 415, "application/json", "send UTF-8"},
		"PostUTF16":       {"nor is UTF-16", "POST", "/graphql", typename, []string{"Content-Type: application/json; charset=utf-16"}, 415, "application/json", "send UTF-8"},
		"PostGzip":        {"a small compressed body can be a large one", "POST", "/graphql", typename, []string{jsonBody, "Content-Encoding: gzip"}, 415, "application/json", "uncompressed"},
		"PostIdentity":    {"identity is no compression", "POST", "/graphql", typename, []string{jsonBody, "Content-Encoding: identity"}, 200, "application/json", `"data"`},
		"PostEmpty":       {"there is no request", "POST", "/graphql", "", []string{jsonBody}, 400, "application/json", "the body is empty"},
		"PostBroken":      {"no JSON", "POST", "/graphql", `{"query": "{`, []string{jsonBody, wantsGraphQL}, 400, "application/graphql-response+json", "BAD_REQUEST"},
		"PostBatch":       {"one request at a time", "POST", "/graphql", "[" + typename + "]", []string{jsonBody}, 400, "application/json", "several requests in one array"},
		"PostParseJSON":   {"a well-formed request gets 200 in the older media type", "POST", "/graphql", `{"query":"{"}`, []string{jsonBody, wantsJSON}, 200, "application/json", "GRAPHQL_PARSE_FAILED"},
		"PostParse":       {"and 400 in the newer", "POST", "/graphql", `{"query":"{"}`, []string{jsonBody, wantsGraphQL}, 400, "application/graphql-response+json", "GRAPHQL_PARSE_FAILED"},
		"PostInvalidJSON": {"a document that doesn't fit the schema is well-formed, too", "POST", "/graphql", `{"query":"{x}"}`, []string{jsonBody, wantsJSON}, 200, "application/json", "GRAPHQL_VALIDATION_FAILED"},
		"PostInvalid":     {"the same", "POST", "/graphql", `{"query":"{x}"}`, []string{jsonBody, wantsGraphQL}, 400, "application/graphql-response+json", "GRAPHQL_VALIDATION_FAILED"},
		"PostOperation":   {"an operation that isn't there", "POST", "/graphql", `{"query":"query A{__typename}","operationName":"B"}`, []string{jsonBody, wantsGraphQL}, 400, "application/graphql-response+json", "the document has A"},
		"PostNoName":      {"two operations and no name", "POST", "/graphql", `{"query":"query A{__typename} query B{__typename}"}`, []string{jsonBody}, 200, "application/json", "operationName is missing: the document has A, B"},
		"PostEmptyName":   {"the empty name is none", "POST", "/graphql", `{"query":"query A{__typename}","operationName":""}`, []string{jsonBody}, 200, "application/json", `"data"`},
		"PostName":        {"the named one of two runs", "POST", "/graphql", `{"query":"query A{a:__typename} query B{b:__typename}","operationName":"B"}`, []string{jsonBody}, 200, "application/json", `{"data":{"b":"Query"}}`},
		"PostFragments":   {"fragments alone do nothing", "POST", "/graphql", `{"query":"fragment F on Query{__typename}"}`, []string{jsonBody}, 200, "application/json", "OPERATION_NOT_FOUND"},
		"PostVariable":    {"a variable that doesn't fit", "POST", "/graphql", `{"query":"query($s:String!){article(slug:$s){slug}}","variables":{"s":5}}`, []string{jsonBody, wantsGraphQL}, 400, "application/graphql-response+json", "variable $s must be a string, not the number 5"},
		"PostSubscribe":   {"a stream isn't one answer", "POST", "/graphql", `{"query":"subscription{x}"}`, []string{jsonBody}, 400, "application/json", "a subscription has no single answer"},
		"PostAddress":     {"a POST's address says nothing", "POST", "/graphql?query={x}", typename, []string{jsonBody}, 200, "application/json", `"data"`},
		"PostNullData":    {"a failed field is still an answer", "POST", "/graphql", `{"query":"{nodes(ids:[\"x\"]){id}}"}`, []string{jsonBody, wantsGraphQL}, 200, "application/graphql-response+json", `"data":null`},

		"Get":          {"a query by GET", "GET", get("{__typename}"), "", nil, 200, "application/json", `{"data":{"__typename":"Query"}}`},
		"GetVariables": {"with variables", "GET", get("query($s:String!){article(slug:$s){slug}}") + "&variables=" + url.QueryEscape(`{"s":"a"}`), "", []string{wantsGraphQL}, 200, "application/graphql-response+json", `{"data":{"article":{"slug":"a"}}}`},
		"GetMutation":  {"a link must not change anything", "GET", get("mutation{x}"), "", nil, 405, "application/json", "must be sent by POST"},
		"GetMutation2": {"not either when it is one of two", "GET", get("query A{__typename} mutation B{x}") + "&operationName=B", "", []string{wantsGraphQL}, 405, "application/graphql-response+json", "METHOD_NOT_ALLOWED"},
		"GetQuery2":    {"the query beside it may", "GET", get("query A{__typename} query B{__typename}") + "&operationName=A", "", nil, 200, "application/json", `"data"`},
		"GetNothing":   {"there is no request", "GET", "/graphql", "", nil, 400, "application/json", "query is missing"},
		"GetUnknown":   {"addresses gather parameters", "GET", get("{__typename}") + "&utm_source=mail", "", nil, 200, "application/json", `"data"`},
		"GetTwice":     {"which query is meant?", "GET", get("{__typename}") + "&query=x", "", nil, 400, "application/json", "the address has query 2 times"},
		"GetBadVars":   {"variables must be JSON", "GET", get("{__typename}") + "&variables={", "", nil, 400, "application/json", "variables is no valid JSON"},
		"GetListVars":  {"and an object", "GET", get("{__typename}") + "&variables=[]", "", nil, 400, "application/json", "variables must be an object or null, not a list"},
		"GetSemicolon": {"the address must be encoded", "GET", "/graphql?query={a;b}", "", nil, 400, "application/json", "can't be read"},
		"GetBrowser":   {"somebody types the endpoint into a browser", "GET", "/graphql", "", []string{browser}, 303, "text/html", ""},
		"GetBrowserQ":  {"a query in a browser's address bar gets its answer", "GET", get("{__typename}"), "", []string{browser}, 200, "application/json", `"data"`},
		"Head":         {"as GET, without the body", "HEAD", get("{__typename}"), "", nil, 200, "application/json", ""},
		"HeadMutation": {"it changes nothing either", "HEAD", get("mutation{x}"), "", nil, 405, "application/json", ""},
		"Options":      {"which methods are there?", "OPTIONS", "/graphql", "", nil, 204, "", ""},
		"Put":          {"not this one", "PUT", "/graphql", typename, []string{jsonBody}, 405, "application/json", "use POST, or GET for a query"},
		"Delete":       {"nor this", "DELETE", "/graphql", "", nil, 405, "application/json", "METHOD_NOT_ALLOWED"},

		"Root":          {"a client is told where the API is", "GET", "/", "", nil, 200, "application/json", `"graphql":"/graphql"`},
		"RootAny":       {"a client that takes anything is no browser", "GET", "/", "", []string{"Accept: */*"}, 200, "application/json", `"graphql":"/graphql"`},
		"RootBrowser":   {"a browser gets the playground", "GET", "/", "", []string{browser}, 200, "text/html", "playground /"},
		"RootPost":      {"a client with the wrong address should notice", "POST", "/", typename, []string{jsonBody}, 405, "application/json", "the API is at /graphql"},
		"Playground":    {"its files", "GET", "/playground/x.js", "", nil, 200, "text/html", "playground /playground/x.js"},
		"Unknown":       {"there is nothing", "GET", "/admin", "", nil, 404, "application/json", `there is nothing at \"/admin\"`},
		"UnknownSlash":  {"one address is enough", "POST", "/graphql/", typename, []string{jsonBody}, 404, "application/json", "NOT_FOUND"},
		"Health":        {"the process lives", "GET", "/healthz", "", nil, 200, "text/plain", "ok"},
		"HealthPost":    {"a probe only reads", "POST", "/healthz", "", nil, 405, "application/json", "use GET"},
		"Ready":         {"nothing says that it isn't", "GET", "/readyz", "", nil, 200, "text/plain", "ready"},
		"UnknownMethod": {"whatever that is", "BREW", "/graphql", "", nil, 405, "application/json", "BREW"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := s.do(t, c.method, c.path, c.body, c.headers...)
			if r.status != c.status {
				t.Errorf("%s: status %d, want %d\n%s", c.reason, r.status, c.status, r.body)
			}
			media, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
			if media != c.media {
				t.Errorf("%s: media type %q, want %q", c.reason, media, c.media)
			}
			if !strings.Contains(r.body, c.want) {
				t.Errorf("%s: %q isn't in the answer\n%s", c.reason, c.want, r.body)
			}
			if media == string(wire.JSON) || media == string(wire.GraphQL) {
				if !strings.HasSuffix(r.header.Get("Content-Type"), "; charset=utf-8") {
					t.Errorf("Content-Type %q names no charset", r.header.Get("Content-Type"))
				}
				if c.method != "HEAD" && !json.Valid([]byte(r.body)) {
					t.Errorf("the answer is no JSON: %s", r.body)
				}
			}
			if r.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("a browser may guess another type")
			}
			if strings.HasPrefix(c.path, "/graphql") && !strings.HasPrefix(c.path, "/graphql/") && (r.header.Get("Cache-Control") != "no-store" || r.header.Get("Vary") == "") {
				t.Errorf("Cache-Control %q, Vary %q: somebody else may get this answer", r.header.Get("Cache-Control"), r.header.Get("Vary"))
			}
			if (r.status == 405 || r.status == 204) && r.header.Get("Allow") == "" {
				t.Errorf("status %d without Allow", r.status)
			}
			if c.method != "HEAD" && r.status != 204 && media != "text/html" && r.header.Get("Content-Length") != strconv.Itoa(r.size) {
				t.Errorf("Content-Length %q of %d bytes", r.header.Get("Content-Length"), r.size)
			}
		})
	}
}

func TestAnErrorHasNoDataUntilSomethingHasRun(t *testing.T) {
	s := newSite(t, nil)
	for _, query := range []string{"{", "{x}", "query A{__typename} query B{__typename}"} {
		if r := s.post(t, query); strings.Contains(r.body, `"data"`) {
			t.Errorf("%s: %s", query, r.body)
		}
	}
	if r := s.post(t, `{article(slug:"fault"){slug}}`); !strings.HasSuffix(r.body, `"data":{"article":null}}`+"\n") {
		t.Errorf("a failed field: %s", r.body)
	}
}

func TestBytesAreWrittenAsTheyAre(t *testing.T) {
	s := newSite(t, nil)
	r := s.post(t, `{article(slug:"a"){title}}`)
	want := `{"data":{"article":{"title":"On <folding> & \"cutting\""}}}` + "\n"
	if r.body != want {
		t.Errorf("got  %swant %s", r.body, want)
	}
	r = s.do(t, "POST", "/graphql", `{"query":"query A{__typename}","operationName":"<&>"}`, jsonBody)
	if !strings.Contains(r.body, `there is no operation \"<&>\"`) {
		t.Errorf("an error is escaped: %s", r.body)
	}
	r = s.post(t, `{article(slug:"latin1"){title}}`)
	if want := `{"data":{"article":{"title":"caf` + "\uFFFD" + `"}}}` + "\n"; r.body != want {
		t.Errorf("what is no UTF-8: got %q, want %q", r.body, want)
	}
}

func TestLargeResponsesAreCompressedIfAccepted(t *testing.T) {
	s := newSite(t, nil)
	plain := s.post(t, `{article(slug:"large"){title}}`)
	cases := map[string]struct {
		reason, accept string
		query          string
		gzip           bool
	}{
		"Gzip":    {"it says so", "gzip, deflate, br", `{article(slug:"large"){title}}`, true},
		"Any":     {"it takes anything", "*", `{article(slug:"large"){title}}`, true},
		"Weight":  {"even if it likes others better", "br, gzip;q=0.1", `{article(slug:"large"){title}}`, true},
		"Never":   {"q=0 is never", "gzip;q=0, *", `{article(slug:"large"){title}}`, false},
		"Other":   {"what we don't have", "br", `{article(slug:"large"){title}}`, false},
		"Small":   {"a small answer isn't worth it", "gzip", `{article(slug:"a"){title}}`, false},
		"Default": {"it doesn't say", "", `{article(slug:"large"){title}}`, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			headers := []string{}
			if c.accept != "" {
				headers = append(headers, "Accept-Encoding: "+c.accept)
			}
			r := s.post(t, c.query, headers...)
			if got := r.header.Get("Content-Encoding") == "gzip"; got != c.gzip {
				t.Fatalf("%s: compressed %v, want %v", c.reason, got, c.gzip)
			}
			if c.gzip && r.unzipped(t) != plain.body {
				t.Errorf("%s: it isn't the same answer", c.reason)
			}
			if r.header.Get("Content-Length") != strconv.Itoa(r.size) {
				t.Errorf("Content-Length %q of %d bytes", r.header.Get("Content-Length"), r.size)
			}
			if r.header.Get("Vary") != "Accept, Accept-Encoding" {
				t.Errorf("Vary %q", r.header.Get("Vary"))
			}
		})
	}
}

func TestHeadHasTheHeadersOfGet(t *testing.T) {
	s := newSite(t, nil)
	path := "/graphql?query=" + url.QueryEscape(`{article(slug:"large"){title}}`)
	get, head := s.do(t, "GET", path, ""), s.do(t, "HEAD", path, "")
	if head.body != "" || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
		t.Errorf("HEAD: %d bytes, Content-Length %q, want %q", len(head.body), head.header.Get("Content-Length"), get.header.Get("Content-Length"))
	}
}

func TestAPanicEndsOnlyItsField(t *testing.T) {
	s := newSite(t, nil)
	r := s.post(t, `{a: article(slug:"panic"){slug} b: article(slug:"b"){slug}}`)
	if !strings.Contains(r.body, `"data":{"a":null,"b":{"slug":"b"}}`) || r.codes(t) != refusal.Internal {
		t.Errorf("got %s", r.body)
	}
	if strings.Contains(r.body, secret) {
		t.Errorf("the client sees what is ours: %s", r.body)
	}
	if faults := s.errors.faults(); len(faults) != 1 || !strings.Contains(faults[0], secret) {
		t.Errorf("logged: %q", faults)
	}
}

// panicking is an extension with a fault that no field catches.
type panicking struct{ where string }

func (panicking) ExtensionName() string                   { return "Panicking" }
func (panicking) Validate(graphql.ExecutableSchema) error { return nil }
func (p panicking) MutateOperationContext(context.Context, *graphql.OperationContext) *gqlerror.Error {
	if p.where == "context" {
		panic(secret)
	}
	return nil
}

func (p panicking) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	switch p.where {
	case "response":
		panic(secret)
	case "nothing":
		return nil
	case "unencodable":
		graphql.RegisterExtension(ctx, "x", func() {})
	}
	return next(ctx)
}

func TestAPanicOutsideOfFieldsIsMasked(t *testing.T) {
	for _, where := range []string{"context", "response", "nothing", "unencodable"} {
		t.Run(where, func(t *testing.T) {
			s := newSite(t, func(o *Options) { o.Extensions = []graphql.HandlerExtension{panicking{where}} })
			r := s.post(t, "{__typename}", wantsGraphQL)
			if r.status != 500 || r.codes(t) != refusal.Internal || strings.Contains(r.body, secret) || !strings.Contains(r.body, "reference r1") {
				t.Errorf("got %d %s", r.status, r.body)
			}
			if media := r.header.Get("Content-Type"); media != wire.GraphQL.Header() {
				t.Errorf("Content-Type %q", media)
			}
			if faults := s.errors.faults(); len(faults) != 1 {
				t.Errorf("logged %q, want one fault", faults)
			}
		})
	}
}

func TestErrorsAreMaskedAndRefusalsAreNot(t *testing.T) {
	s := newSite(t, nil)
	if r := s.post(t, `{article(slug:"fault"){slug}}`); strings.Contains(r.body, secret) || r.codes(t) != refusal.Internal {
		t.Errorf("a fault: %s", r.body)
	}
	if r := s.post(t, `{article(slug:"refused"){slug}}`); !strings.Contains(r.body, "no such slug") || r.codes(t) != "INVALID" {
		t.Errorf("a refusal: %s", r.body)
	}
}

func TestErrorsAreBoundedInNumberAndLength(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Limits.document.Aliases, o.Limits.document.RootFields = 400, 400 })
	r := s.post(t, "{"+repeat(400, `a%d:article(slug:"fault"){slug} `)+"}")
	var answer struct {
		Errors []struct{ Message string }
		Data   map[string]any
	}
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Errors) != refusal.MaxErrors+1 || answer.Errors[refusal.MaxErrors].Message != "300 more errors aren't shown" {
		t.Errorf("%d errors, the last %q", len(answer.Errors), answer.Errors[len(answer.Errors)-1].Message)
	}
	if len(answer.Data) != 400 {
		t.Errorf("%d fields, want 400", len(answer.Data))
	}
	if logged := len(s.errors.faults()); logged != refusal.MaxErrors {
		t.Errorf("%d faults are logged for one request, want %d", logged, refusal.MaxErrors)
	}
	r = s.post(t, "{article(slug: "+strings.Repeat("é", 5000)+"){slug}}")
	if len(r.body) > 2*refusal.MaxMessage {
		t.Errorf("an error of %d bytes", len(r.body))
	}
}

func TestAnAnswerThatTakesTooLongIsCut(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Limits.timeout = 50 * time.Millisecond })
	r := s.post(t, `query Home {a: article(slug:"slow"){slug} b: article(slug:"b"){slug}}`, wantsGraphQL)
	if r.status != http.StatusGatewayTimeout || r.codes(t) != refusal.Timeout || !strings.Contains(r.body, "within 50ms") {
		t.Errorf("got %d %s", r.status, r.body)
	}
	if faults := s.errors.faults(); len(faults) != 0 {
		t.Errorf("logged as faults: %q", faults)
	}
	if log := s.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "operation=Home") {
		t.Errorf("want one line that names the operation, got %q", log)
	}
	if r := s.do(t, "GET", "/graphql?query="+url.QueryEscape(`{article(slug:"slow"){slug}}`), ""); r.status != http.StatusGatewayTimeout {
		t.Errorf("by GET: %d %s", r.status, r.body)
	}
	if r := s.do(t, "GET", "/healthz", ""); r.status != 200 {
		t.Errorf("afterwards: %d", r.status)
	}
}

func TestASlowSenderIsCut(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Limits.timeout = 100 * time.Millisecond })
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"query\":")
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusRequestTimeout || !bytes.Contains(body, []byte("9 bytes of it had come")) || !response.Close {
		t.Errorf("got %d, close %v: %s", response.StatusCode, response.Close, body)
	}
}

func TestDisconnectCancelsTheRequestWithoutAFault(t *testing.T) {
	ended := make(chan struct{})
	s := newSite(t, func(o *Options) {
		o.Extensions = []graphql.HandlerExtension{afterwards{func() { close(ended) }}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", s.url+"/graphql", strings.NewReader(bodyOf(`{article(slug:"slow"){slug}}`, nil)))
	r.Header.Set("Content-Type", "application/json")
	go func() {
		<-s.started
		cancel()
	}()
	if response, err := s.client.Do(r); err == nil {
		response.Body.Close()
		t.Fatal("the request wasn't cancelled")
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the resolver still runs")
	}
	if faults := s.errors.faults(); len(faults) != 0 || s.log.String() != "" {
		t.Errorf("logged: %q %q", faults, s.log.String())
	}
}

// afterwards calls done when an operation has run.
type afterwards struct{ done func() }

func (afterwards) ExtensionName() string                   { return "Afterwards" }
func (afterwards) Validate(graphql.ExecutableSchema) error { return nil }
func (a afterwards) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	defer a.done()
	return next(ctx)
}

// recording remembers the variables that reach the executor.
type recording struct{ variables *map[string]any }

func (recording) ExtensionName() string                   { return "Recording" }
func (recording) Validate(graphql.ExecutableSchema) error { return nil }
func (r recording) MutateOperationContext(_ context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	*r.variables = operation.Variables
	return nil
}

func TestNoNumberLosesADigit(t *testing.T) {
	var variables map[string]any
	s := newSite(t, func(o *Options) { o.Extensions = []graphql.HandlerExtension{recording{&variables}} })
	const large, exact = "9223372036854775807", "12345678901234567890.123456789"
	r := s.do(t, "POST", "/graphql", `{"query":"query($a:DateTime $b:DateTime){articles(where:{publishedAfter:$a publishedBefore:$b}){nodes{id}}}","variables":{"a":`+large+`,"b":`+exact+`}}`, jsonBody)
	if got := fmt.Sprint(variables["a"], " ", variables["b"]); got != large+" "+exact {
		t.Errorf("got %s, want %s %s (%s)", got, large, exact, r.body)
	}
}

func TestDeferIsAnsweredAtOnce(t *testing.T) {
	s := newSite(t, nil)
	for _, query := range []string{
		`{article(slug:"a"){slug ...@defer{next{slug}}}}`,
		`{article(slug:"a"){slug ...F @defer(label:"x")}} fragment F on Article{next{slug}}`,
	} {
		for range 2 { // the second time from the cache
			if r := s.post(t, query); r.body != `{"data":{"article":{"slug":"a","next":{"slug":"next"}}}}`+"\n" {
				t.Errorf("%s: %s", query, r.body)
			}
		}
	}
}

func TestIntrospectionCanBeTurnedOff(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Introspection = false })
	for _, query := range []string{"{__schema{queryType{name}}}", `{__type(name:"Article"){name}}`, "{...F} fragment F on Query{__schema{queryType{name}}}"} {
		if r := s.post(t, query); r.codes(t) != refusal.IntrospectionDisabled {
			t.Errorf("%s: %s", query, r.body)
		}
	}
	if faults := s.errors.faults(); len(faults) != 0 {
		t.Errorf("logged as faults: %q", faults)
	}
	for query, leak := range map[string]string{
		"{artcle}":                                  "article",
		"{article(slg:1){id}}":                      "slug:",
		"{article(slug:\"a\")}":                     "{ ... }",
		"query($a:Artcle){x}":                       "Article",
		"{articles(orderBy:{feld:TITLE}){x}}":       `\"field`,
		"{articles(orderBy:{direction:ASCC}){x}}":   "ASC\"",
		"{article(slug:\"a\"){...on Artcle{slug}}}": "Article\"",
	} {
		if r := s.post(t, query); strings.Contains(r.body, "Did you mean") || strings.Contains(r.body, leak) {
			t.Errorf("%s: the answer suggests what the client hasn't named: %s", query, r.body)
		}
	}
	if r := s.post(t, "{__typename}"); r.codes(t) != "" {
		t.Errorf("__typename is no secret: %s", r.body)
	}
}

func TestReadinessFollowsItsQuestionAndDrain(t *testing.T) {
	var answer error
	s := newSite(t, func(o *Options) {
		o.Ready = func(ctx context.Context) (string, error) {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the question has no deadline")
			}
			return "ready for some", answer
		}
	})
	if r := s.do(t, "GET", "/readyz", ""); r.status != 200 || r.body != "ready for some\n" {
		t.Errorf("ready: %d %q", r.status, r.body)
	}
	answer = fmt.Errorf("the database doesn't answer")
	if r := s.do(t, "GET", "/readyz", ""); r.status != 503 || !strings.Contains(r.body, "the database doesn't answer") {
		t.Errorf("not ready: %d %s", r.status, r.body)
	}
	answer = nil
	s.Drain()
	if r := s.do(t, "GET", "/readyz", ""); r.status != 503 || !strings.Contains(r.body, "stopping") {
		t.Errorf("draining: %d %s", r.status, r.body)
	}
	if r := s.do(t, "GET", "/healthz", ""); r.status != 200 {
		t.Errorf("alive while draining: %d", r.status)
	}
	if r := s.post(t, "{__typename}"); r.status != 200 {
		t.Errorf("a query while draining: %d", r.status)
	}
}

func TestNewRejectsInvalidOptions(t *testing.T) {
	good := func() Options {
		return Options{Schema: generated.NewExecutableSchema(generated.Config{Resolvers: testRoot{}}), Present: (&presenter{}).present, Recover: recoverTest}
	}
	cases := map[string]struct {
		reason string
		change func(*Options)
		want   string
	}{
		"NoSchema":  {"there is nothing to serve", func(o *Options) { o.Schema = nil }, "Schema"},
		"NoPresent": {"errors would go out as they are", func(o *Options) { o.Present = nil }, "Present"},
		"NoRecover": {"a panic would end the process", func(o *Options) { o.Recover = nil }, "Recover"},
		"Negative":  {"0 is the default, less is a mistake", func(o *Options) { o.Limits.document.Depth = -1 }, "negative"},
		"Mutator":   {"it would be ignored without a word", func(o *Options) { o.Extensions = []graphql.HandlerExtension{mutating{}} }, "Mutating"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := good()
			c.change(&o)
			if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.reason, err)
			}
		})
	}
}

type mutating struct{}

func (mutating) ExtensionName() string                   { return "Mutating" }
func (mutating) Validate(graphql.ExecutableSchema) error { return nil }
func (mutating) MutateOperationParameters(context.Context, *graphql.RawParams) *gqlerror.Error {
	return nil
}

func TestPlainHandlersWork(t *testing.T) {
	// A ResponseWriter without deadlines, as behind some middleware.
	s := newSite(t, nil)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/graphql", strings.NewReader(`{"query":"{__typename}"}`))
	r.Header.Set("Content-Type", "application/json")
	s.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.String() != `{"data":{"__typename":"Query"},"extensions":{"cost":{"requested":0}}}`+"\n" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
