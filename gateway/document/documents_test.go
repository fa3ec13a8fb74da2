package document

import (
	"runtime"
	"strings"
	"testing"

	"stoa/gateway/refusal"
	"stoa/graph/generated"
	"stoa/tests/requests"
)

func testDocuments(maxTokens, maxDepth int) *documents {
	weights, err := newCostWeights(generated.NewExecutableSchema(generated.Config{}).Schema())
	if err != nil {
		panic(err)
	}
	return newDocuments(weights, Limits{Tokens: maxTokens, Depth: maxDepth, Bytes: 8 << 20, Aliases: 5000, Directives: 5000, RootFields: 5000}.WithDefaults(), true)
}

// take parses, validates and so keeps text.
func take(t testing.TB, d *documents, text string) *Document {
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
	d := testDocuments(0, 0)
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
	if d.cache.Len() != 2 {
		t.Errorf("%d documents are kept, want the two valid ones", d.cache.Len())
	}
}

func TestKeptDocumentsAreBoundedInNumberAndBytes(t *testing.T) {
	d := testDocuments(0, 0)
	for i := range maxDocuments + 50 {
		take(t, d, "{__typename"+strings.Repeat(" ", i)+"}")
	}
	if d.cache.Len() != maxDocuments {
		t.Errorf("%d documents are kept, want %d", d.cache.Len(), maxDocuments)
	}
	large := "{" + strings.Repeat("__typename ", 4000)
	for i := range 60 {
		take(t, d, large+strings.Repeat(" ", i)+"}")
	}
	if d.cache.Bytes() > maxDocumentsBytes || d.cache.Len() > 60 || d.cache.Len() < 20 {
		t.Errorf("%d documents, %d bytes are kept", d.cache.Len(), d.cache.Bytes())
	}
	before := d.cache.Len()
	take(t, d, "{__typename}#"+strings.Repeat("x", maxDocumentBytes))
	if d.cache.Len() != before {
		t.Error("a document that is too large to keep is kept")
	}
}

func TestBytesPerToken(t *testing.T) {
	for name, text := range map[string]string{
		"Fields":    "{" + strings.Repeat("__typename ", 4900) + "}",
		"Arguments": "{" + repeat(400, `a%d: article(slug:"a"){id} `) + "}",
		"Fragments": "{" + repeat(300, `... on Query @skip(if:false) { a%d: __typename } `) + "}",
		"Usual":     requests.Introspection,
	} {
		d := testDocuments(0, 0)
		const copies = 20
		var before, after runtime.MemStats
		documents := make([]*Document, 0, copies)
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
	d := testDocuments(0, 0)
	// 2^128 fields: an int would overflow to a few.
	_, err := d.parsed("{...F0}" + repeat(128, " fragment F%d on Query{...F%+d ...F%+d}") + " fragment F128 on Query{__typename}")
	if refusal.Code(err) != refusal.DocumentTooLarge || !strings.Contains(err.Error(), "the operation has countless") {
		t.Errorf("got %+v", err)
	}
}

func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		requests.Introspection, "{", `{article(slug:"a"){...F @defer}} fragment F on Article{title}`, "query($a:[ID!]=[\"x\"]){nodes(ids:$a){id}}",
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
