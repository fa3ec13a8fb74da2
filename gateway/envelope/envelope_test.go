package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"stoa/gateway/refusal"
)

func TestABodyIsOneObjectWithEachMemberOnce(t *testing.T) {
	cases := map[string]struct {
		reason, body string
		want         string // "" when it is taken, else part of the message
	}{
		"Query":           {"the least there can be", `{"query":"{a}"}`, ""},
		"All":             {"all members", `{"query":"{a}","operationName":"A","variables":{"a":1},"extensions":{}}`, ""},
		"Nulls":           {"null is absent", `{"query":"{a}","operationName":null,"variables":null,"extensions":null}`, ""},
		"Space":           {"white space is allowed around", " \r\n\t{ \"query\" : \"{a}\" } \n", ""},
		"Unknown":         {"the specification keeps other names for itself", `{"query":"{a}","onError":"NULL","batch":[{}]}`, ""},
		"OtherIDs":        {"ids beside a text are somebody else's", `{"query":"{a}","id":1,"doc_id":[{}]}`, ""},
		"DocumentIDList":  {"an id is text", `{"query":"{a}","documentId":[{}]}`, "documentId must be a string, not a list"},
		"OnlyID":          {"an id is enough", `{"documentId":"a1"}`, ""},
		"EmptyID":         {"an empty one is none", `{"documentId":"","id":""}`, "query is missing"},
		"Escapes":         {"names may be escaped", `{"\u0071uery":"{a}"}`, ""},
		"Case":            {"names have a case", `{"Query":"{a}"}`, "query is missing; there is Query"},
		"Typo":            {"a misspelling is named", `{"qeury":"{a}"}`, "there is qeury"},
		"Missing":         {"there is nothing", `{}`, "query is missing: send an object such as"},
		"NullQuery":       {"null is absent here, too", `{"query":null}`, "query is missing"},
		"EmptyQuery":      {"an empty document has no operation", `{"query":""}`, "query is missing"},
		"Twice":           {"which one is meant?", `{"query":"{a}","query":"{b}"}`, `the body has "query" twice`},
		"TwiceEscaped":    {"however it is written", `{"query":"{a}","\u0071uery":"{b}"}`, `the body has "query" twice`},
		"TwiceUnknown":    {"nor for names nobody knows", `{"query":"{a}","x":1,"x":1}`, `the body has "x" twice`},
		"Rest":            {"the object is all there is", `{"query":"{a}"} {"query":"{b}"}`, "goes on after its JSON object"},
		"RestGarbage":     {"or anything else", `{"query":"{a}"}garbage`, "goes on after its JSON object"},
		"RestBrace":       {"or a brace too many", `{"query":"{a}"}}`, "goes on after its JSON object"},
		"Empty":           {"there is no body", ``, "the body is empty"},
		"OnlySpace":       {"nor here", " \n", "the body is empty"},
		"Array":           {"batches aren't taken", ` [{"query":"{a}"}]`, "several requests in one array"},
		"String":          {"JSON, but no object", `"{a}"`, "must be a JSON object"},
		"Null":            {"neither is null", `null`, "must be a JSON object"},
		"GraphQL":         {"a bare document isn't JSON", `{ a }`, "no valid JSON"},
		"Open":            {"it ends in the middle", `{"query":"{a}"`, "no valid JSON"},
		"OpenString":      {"here as well", `{"query":"{a`, "it ends in the middle"},
		"Comma":           {"JSON has no comma at the end", `{"query":"{a}",}`, "byte 16, counted from 1"},
		"Literal":         {"the place is that in the whole body", `{"query":"{a}","variables":{"a":tru}}`, "byte 36, counted from 1"},
		"SingleQuotes":    {"nor single quotes", `{'query':'{a}'}`, "no valid JSON: invalid character '\\''"},
		"NotUTF8":         {"encoding/json would replace it without a word", "{\"query\":\"{a}\",\"x\":\"\xff\"}", "isn't UTF-8"},
		"ByteOrderMark":   {"Windows tools write it", "\uFEFF{\"query\":\"{a}\"}", "byte order mark"},
		"QueryNumber":     {"a document is text", `{"query":1}`, "query must be a string, not the number 1"},
		"QueryObject":     {"a document is text", `{"query":{"a":1}}`, "query must be a string, not an object"},
		"NameList":        {"a name is text", `{"query":"{a}","operationName":["a"]}`, "operationName must be a string, not a list"},
		"VariablesString": {"some clients encode them twice", `{"query":"{a}","variables":"{}"}`, "variables must be an object or null, not a string"},
		"VariablesFalse":  {"false is no object", `{"query":"{a}","variables":false}`, "variables must be an object or null, not a boolean"},
		"ExtensionsList":  {"nor is a list", `{"query":"{a}","extensions":[]}`, "extensions must be an object or null, not a list"},
		"Deep":            {"the deepest that is taken", `{"query":"{a}","x":` + lists(MaxJSONNesting-1) + `}`, ""},
		"TooDeep":         {"one more", `{"query":"{a}","x":` + lists(MaxJSONNesting) + `}`, "nest deeper than 64"},
		"DeepInString":    {"brackets in a string don't nest", `{"query":"` + strings.Repeat(`{[\"`, 200) + `"}`, ""},
		"Many":            {"the most values that are taken", `{"query":"{a}","x":[` + manyValues(96) + `]}`, ""},
		"TooMany":         {"too many", `{"query":"{a}","x":[` + manyValues(97) + `]}`, "more than 10000 values"},
		"Long":            {"the longest list", `{"query":"{a}","variables":{"x":[` + strings.Repeat("1,", maxList-1) + `1]}}`, ""},
		"TooLong":         {"one longer", `{"query":"{a}","variables":{"x":[` + strings.Repeat("1,", maxList) + `1]}}`, "a list has more than 1000 elements"},
		"TwiceWithin":     {"a member twice, which different readers read differently", `{"query":"{a}","variables":{"in":{"id":"a","id":"b"}}}`, `an object has "id" twice`},
		"LongNumber":      {"a number that nobody means", `{"query":"{a}","variables":{"n":` + strings.Repeat("9", 101) + `}}`, "a number has more than 100 characters"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e, err := Parse([]byte(c.body))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s: refused: %s", c.reason, err.Error())
			case c.want != "" && err == nil:
				t.Errorf("%s: taken as %+v", c.reason, e)
			case c.want != "" && !strings.Contains(err.Error(), c.want):
				t.Errorf("%s: %q doesn't say %q", c.reason, err.Error(), c.want)
			}
		})
	}
}

// manyValues is 9,904 elements in lists of at most a hundred, and last more.
func manyValues(last int) string {
	return strings.Repeat("["+strings.Repeat("1,", 98)+"1],", 99) + "[" + strings.Repeat("1,", last) + "1]"
}

func TestAddressAndBodySayTheSame(t *testing.T) {
	fromBody, err := Parse([]byte(`{"query":"{a}","operationName":"A","variables":{"n":12345678901234567890,"s":"é"},"extensions":{"x":[1]}}`))
	if err != nil {
		t.Fatal(refusal.Errors(err, nil))
	}
	fromAddress, err := ParseAddress("query=%7Ba%7D&operationName=A&variables=%7B%22n%22:12345678901234567890,%22s%22:%22%C3%A9%22%7D&extensions=%7B%22x%22:%5B1%5D%7D&other=1")
	if err != nil {
		t.Fatal(refusal.Errors(err, nil))
	}
	if a, b := fmt.Sprintf("%#v", *fromAddress), fmt.Sprintf("%#v", *fromBody); a != b {
		t.Errorf("address: %s\nbody:    %s", a, b)
	}
}

func TestAnAddressIsReadStrictly(t *testing.T) {
	cases := map[string]struct {
		reason, address, want string
	}{
		"EmptyOptional": {"the specification: an empty operationName is none", "query={a}&operationName=&variables=&extensions=", ""},
		"NullVariables": {"JSON's null is absent", "query={a}&variables=null", ""},
		"NullName":      {"here null is a name", "query={a}&operationName=null", ""},
		"Rest":          {"one value", "query={a}&variables={}{}", "variables goes on after"},
		"Twice":         {"as in a body", `query={a}&variables={"a":1,"a":2}`, `an object has "a" twice`},
		"Deep":          {"bounded as a body is", "query={a}&variables=" + lists(65), "nest deeper"},
		"NotUTF8":       {"text is UTF-8", "query=%ff", "query isn't UTF-8"},
		"BadEscape":     {"the address is broken", "query=%zz", "can't be read"},
		"Empty":         {"nothing is asked", "query=", "query is missing"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseAddress(c.address)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s: refused: %s", c.reason, err.Error())
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s: %+v doesn't say %q", c.reason, err, c.want)
			}
		})
	}
}

// BenchmarkEnvelope reads bodies of a megabyte that take the longest.
func BenchmarkEnvelope(b *testing.B) {
	const size = 1 << 20
	for name, body := range map[string]string{
		"Text":        `{"query":"` + strings.Repeat("x", size) + `"}`,
		"Escapes":     `{"query":"` + strings.Repeat(`\u00e9`, size/6) + `"}`,
		"Values":      `{"query":"{a}","x":[` + manyValues(96) + `],"y":"` + strings.Repeat("é", size/2-20<<10) + `"}`,
		"OpenString":  `{"query":"` + strings.Repeat("x", size),
		"BrokenAtEnd": `{"query":"` + strings.Repeat(`\n`, size/2) + `",}`,
		"Spaces":      `{"query":` + strings.Repeat(" ", size) + `x}`,
		"Number":      `{"query":` + strings.Repeat("9", size) + `}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse([]byte(body))
			}
		})
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}`, `{"documentId":"sha256:ab","id":1}`, `{"doc_id":"a","id":"b"}`,
		`{"query":"{a}"}`, `{"query":"{a}","variables":{"a":[1,{"b":null}]}}`, `{"query":"\ud800","x":1e999}`,
		`{"query":"{\\n\\"a\\"}","variables":{},"operationName":null}`, `{ "variables" : null , "query" : "a" }`,
		`{"query":"{a}","operationName":"A","extensions":{}} `, `[]`, `{"a":{}`, "{\"query\":\"\\u0000\"}", `{"query":"{a}","query":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := Parse(body)
		if err != nil {
			if code := refusal.Code(err); code != refusal.BadRequest && code != refusal.PayloadTooLarge || len(refusal.Errors(err, nil)) != 1 || len(err.Error()) > refusal.MaxMessage+50 {
				t.Errorf("%q: refused with %s %v", body, refusal.Code(err), refusal.Errors(err, nil))
			}
			return
		}
		var object map[string]any
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&object); err != nil || !json.Valid(body) || !utf8.Valid(body) {
			t.Errorf("%q is taken, and is no JSON object in UTF-8: %v", body, err)
		}
		if query, _ := object["query"].(string); e.Query != query || query == "" && e.ID == "" {
			t.Errorf("%q: query %q, id %q", body, e.Query, e.ID)
		}
		if e.ID != "" && !bytes.Contains(body, []byte(`\`)) && !bytes.Contains(body, []byte(`"`+e.ID+`"`)) && !bytes.Contains(body, []byte(`"sha256:`+e.ID+`"`)) {
			t.Errorf("%q: id %q", body, e.ID)
		}
		if name, _ := object["operationName"].(string); name != e.OperationName {
			t.Errorf("%q: operationName %q", body, e.OperationName)
		}
	})
}

// Every request by GET can also be sent by POST.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"query={a}", "query=%7Ba%7D&operationName=A&variables={\"a\":1e999}", "extensions={\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"ab\"}}",
		"documentId=sha256:ab", "doc_id=a&id=b", "id=%ff", "query=&id=", "documentId=a&documentId=b", "variables=null&id=1",
		"query={a}&variables=[1]", "query=%ff", "query=a&query=b", "query={a};b=1", "query={a}&variables={\"a\":{\"b\":1,\"b\":2}}",
		"query={a}&extensions={}&operationName=A&x=%zz", "", "&&=", "query={a}&variables=" + lists(70),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		e, err := ParseAddress(address)
		if err != nil {
			if code := refusal.Code(err); code != refusal.BadRequest && code != refusal.PayloadTooLarge || len(refusal.Errors(err, nil)) != 1 || len(err.Error()) > refusal.MaxMessage+50 {
				t.Errorf("%q: refused with %s %v", address, refusal.Code(err), refusal.Errors(err, nil))
			}
			return
		}
		if e.Query == "" && e.ID == "" || !utf8.ValidString(e.Query+e.ID+e.OperationName) {
			t.Errorf("%q: %+v", address, e)
		}
		body := map[string]any{"query": e.Query, "operationName": e.OperationName, "variables": e.Variables, "extensions": e.Extensions, "documentId": e.documentID, "doc_id": e.relayID}
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatalf("%q: %v", address, err)
		}
		same, err := Parse(encoded)
		if err != nil && refusal.Code(err) == refusal.PayloadTooLarge || err != nil && strings.Contains(err.Error(), "nest deeper") {
			return // an address is bounded in each part, a body as a whole
		}
		if err != nil || same.Query != e.Query || same.ID != e.ID || same.OperationName != e.OperationName {
			t.Errorf("%q: %+v, as a body %+v %+v", address, e, same, err)
		}
	})
}

// lists is n lists within one another.
func lists(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
