package gateway

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"stoa/gateway/refusal"
	"stoa/graph/generated"
)

func testDocuments(maxTokens, maxDepth int) *documents {
	prices, err := newPrices(generated.NewExecutableSchema(generated.Config{Resolvers: testRoot{}}).Schema())
	if err != nil {
		panic(err)
	}
	return newDocuments(prices, newBounds(Options{MaxTokens: maxTokens, MaxDepth: maxDepth, MaxDocument: 8 << 20, MaxAliases: 5000, MaxDirectives: 5000, MaxRootFields: 5000}), true)
}

// take parses, validates and so keeps text.
func take(t testing.TB, d *documents, text string) *document {
	t.Helper()
	doc, err := d.parsed(text)
	if err == nil {
		err = d.validate(doc)
	}
	if err != nil {
		t.Fatalf("%.100s: %s", text, err.Error())
	}
	return doc
}

func TestADocumentIsParsedOnce(t *testing.T) {
	d := testDocuments(defaultMaxTokens, defaultMaxDepth)
	first := take(t, d, "{__typename}")
	if again := take(t, d, "{__typename}"); again != first {
		t.Error("it was parsed again")
	}
	if other := take(t, d, "{__typename }"); other == first {
		t.Error("another text is another document")
	}
	for _, invalid := range []string{"{", "{x}"} {
		if doc, err := d.parsed(invalid); err == nil {
			d.validate(doc)
		}
	}
	if d.kept.Len() != 2 {
		t.Errorf("%d documents are kept, want the two valid ones", d.kept.Len())
	}
}

func TestKeptDocumentsAreBoundedInNumberAndBytes(t *testing.T) {
	d := testDocuments(defaultMaxTokens, defaultMaxDepth)
	for i := range maxDocuments + 50 {
		take(t, d, "{__typename"+strings.Repeat(" ", i)+"}")
	}
	if d.kept.Len() != maxDocuments {
		t.Errorf("%d documents are kept, want %d", d.kept.Len(), maxDocuments)
	}
	large := "{" + strings.Repeat("__typename ", 4000)
	for i := range 60 {
		take(t, d, large+strings.Repeat(" ", i)+"}")
	}
	if d.bytes > maxDocumentsBytes || d.kept.Len() > 60 || d.kept.Len() < 20 {
		t.Errorf("%d documents, %d bytes are kept", d.kept.Len(), d.bytes)
	}
	sum := 0
	for _, doc := range d.kept.Values() {
		sum += sizeOf(doc)
	}
	if sum != d.bytes {
		t.Errorf("%d bytes are kept, and %d are reckoned", sum, d.bytes)
	}
	before := d.kept.Len()
	take(t, d, "{__typename}#"+strings.Repeat("x", maxDocumentBytes))
	if d.kept.Len() != before {
		t.Error("a document that is too large to keep is kept")
	}
}

func TestBytesPerToken(t *testing.T) {
	for name, text := range map[string]string{
		"Fields":    "{" + strings.Repeat("__typename ", 4900) + "}",
		"Arguments": "{" + repeat(400, `a%d: article(slug:"a"){id} `) + "}",
		"Fragments": "{" + repeat(300, `... on Query @skip(if:false) { a%d: __typename } `) + "}",
		"Usual":     introspection,
	} {
		d := testDocuments(defaultMaxTokens, defaultMaxDepth)
		const copies = 20
		var before, after runtime.MemStats
		documents := make([]*document, 0, copies)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range copies {
			documents = append(documents, take(t, d, text+strings.Repeat(" ", i)))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := float64(after.HeapAlloc-before.HeapAlloc) / copies / float64(documents[0].tokens)
		t.Logf("%s: %.0f bytes per token", name, each)
		if each > bytesPerToken {
			t.Errorf("%s: more than the %d bytes per token that are reckoned", name, bytesPerToken)
		}
		runtime.KeepAlive(d)
	}
}

func TestOneDocumentServesManyAtOnce(t *testing.T) {
	s := newSite(t, nil)
	const query = `query($s:String!, $t:Boolean=true){article(slug:$s){slug ...F @defer}} fragment F on Article{title @include(if:$t)}`
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			for range 20 {
				slug := string(rune('a' + i))
				r := s.do(t, "POST", "/graphql", bodyOf(query, map[string]any{"s": slug}), jsonBody)
				if !strings.HasPrefix(r.body, `{"data":{"article":{"slug":"`+slug+`","title":`) {
					t.Errorf("%s: %s", slug, r.body)
				}
			}
		})
	}
	wait.Wait()
}

func TestLimitsHoldToTheOne(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		code   string // "" when it is taken
	}{
		"Tokens":          {"as many as there may be", "{" + strings.Repeat("__typename ", 98) + "}", ""},
		"TokensMore":      {"one more", "{" + strings.Repeat("__typename ", 99) + "}", refusal.DocumentTooLarge},
		"TokensEnd":       {"white space is none", "{" + strings.Repeat("__typename ", 98) + "}\n\n", ""},
		"TokensComment":   {"a comment is one", "{" + strings.Repeat("__typename ", 98) + "}#", refusal.DocumentTooLarge},
		"Size":            {"fragments written out", "{" + strings.Repeat("...F ", 11) + "} fragment F on Query{" + strings.Repeat("__typename ", 8) + "}", ""},
		"SizeMore":        {"one more", "{" + strings.Repeat("...F ", 11) + "__typename __typename} fragment F on Query{" + strings.Repeat("__typename ", 8) + "}", refusal.DocumentTooLarge},
		"Depth":           {"as deep as may be", `{article(slug:"a"){next{next{id}}}}`, ""},
		"DepthMore":       {"one more", `{article(slug:"a"){next{next{next{id}}}}}`, refusal.DocumentTooDeep},
		"DepthFragment":   {"through fragments", `{article(slug:"a"){...F}} fragment F on Article{next{next{next{id}}}}`, refusal.DocumentTooDeep},
		"DepthInline":     {"a fragment itself is no level", `{article(slug:"a"){...{...{...{next{next{id}}}}}}}`, ""},
		"DepthOther":      {"every operation counts, also the one that isn't run", `query A{__typename} query B{article(slug:"a"){next{next{next{id}}}}}`, refusal.DocumentTooDeep},
		"Nesting":         {"brackets of any kind", `{articles(where:{ids:` + nested(maxValueNesting-1, "[", "", "]") + `}){__typename}}`, refusal.ValidationFailed},
		"NestingMore":     {"one more", `{articles(where:{ids:` + nested(maxValueNesting, "[", "", "]") + `}){__typename}}`, refusal.DocumentTooDeep},
		"NestingLater":    {"what came before takes nothing off", `{a:article(slug:"a"){id} b:article(slug:"b"){id} articles(where:{ids:` + nested(maxValueNesting, "[", "", "]") + `}){__typename}}`, refusal.DocumentTooDeep},
		"TwoFragments":    {"which of two of one name is measured?", `{...F} fragment F on Query{__typename} fragment F on Query{...G ...G} fragment G on Query{__typename}`, refusal.ValidationFailed},
		"NestingSiblings": {"one after the other they don't nest", `{a:nodes(ids:[]){id} b:nodes(ids:[]){id} c:nodes(ids:[]){id}}`, ""},
		"Cycle":           {"never ends", `{...F} fragment F on Query{...F}`, refusal.ValidationFailed},
		"CycleUnused":     {"nor does one that nobody uses", `{__typename} fragment F on Query{...G} fragment G on Query{...F}`, refusal.ValidationFailed},
		"Undefined":       {"what doesn't exist has no size", `{...F}`, refusal.ValidationFailed},
		"Diamond":         {"two ways to one fragment are no cycle", `{...F ...G} fragment F on Query{...H} fragment G on Query{...H} fragment H on Query{__typename}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := testDocuments(100, 4)
			doc, err := d.parsed(c.text)
			if err == nil {
				err = d.validate(doc)
			}
			if got := refusal.Code(err); got != c.code {
				t.Errorf("%s: %q, want %q", c.reason, got, c.code)
			}
		})
	}
}

func TestSizesDoNotOverflow(t *testing.T) {
	d := testDocuments(defaultMaxTokens, defaultMaxDepth)
	// 2^128 fields, in which an int would come round to a few.
	_, err := d.parsed("{...F0}" + repeat(128, " fragment F%d on Query{...F%+d ...F%+d}") + " fragment F128 on Query{__typename}")
	if refusal.Code(err) != refusal.DocumentTooLarge || !strings.Contains(err.Error(), "the operation has countless") {
		t.Errorf("got %+v", err)
	}
}

func TestIntrospectionPassesEveryLimit(t *testing.T) {
	s := newSite(t, nil)
	if r := s.post(t, introspection); r.status != 200 || r.codes(t) != "" || len(r.body) < 10_000 {
		t.Errorf("got %d %.300s", r.status, r.body)
	}
}

// introspection asks for all that GraphiQL asks for.
const introspection = `query IntrospectionQuery {
  __schema {
    description
    queryType { name kind } mutationType { name kind } subscriptionType { name kind }
    types { ...FullType }
    directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
  }
}
fragment FullType on __Type {
  kind name description specifiedByURL isOneOf
  fields(includeDeprecated: true) {
    name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason
  }
  inputFields(includeDeprecated: true) { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason }
fragment TypeRef on __Type {
  kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
    kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
}`

func TestBodiesAreBoundedToTheByte(t *testing.T) {
	s := newSite(t, func(o *Options) { o.MaxBody = 1000 })
	body := func(size int) string {
		b := `{"query":"{__typename}"}`
		return b + strings.Repeat(" ", size-len(b))
	}
	if r := s.do(t, "POST", "/graphql", body(1000), jsonBody); r.status != 200 {
		t.Errorf("1000 bytes: %d %s", r.status, r.body)
	}
	if r := s.do(t, "POST", "/graphql", body(1001), jsonBody); r.status != 413 || !strings.Contains(r.body, "larger than the 1000 bytes") {
		t.Errorf("1001 bytes: %d %s", r.status, r.body)
	}
	r := s.chunked(t, body(5000))
	if r.status != 413 || r.codes(t) != refusal.PayloadTooLarge {
		t.Errorf("5000 bytes without a length: %d %s", r.status, r.body)
	}
}

func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		introspection, "{", `{article(slug:"a"){...F @defer}} fragment F on Article{title}`, "query($a:[ID!]=[\"x\"]){nodes(ids:$a){id}}",
		"{a:__typename a:__schema{types{name}}}", "{...F} fragment F on Query{...F}", `{articles(where:{ids:[[1]]}){x}}`, "subscription{x}", "#\n{\"\"\"}",
	} {
		f.Add(seed)
	}
	d := testDocuments(500, 10)
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := d.parsed(text)
		if err == nil {
			err = d.validate(doc)
		}
		if err != nil && (refusal.Code(err) == "" || len(refusal.Errors(err, nil)) == 0 || len(refusal.Errors(err, nil)) > refusal.MaxErrors+1) {
			t.Errorf("%q: %+v", text, err)
		}
	})
}
