package gateway

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"stoa/gateway/refusal"
)

// repeat writes n elements; %d in one is its number, %+d the next.
func repeat(n int, element string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.NewReplacer("%d", strconv.Itoa(i), "%+d", strconv.Itoa(i+1)).Replace(element))
	}
	return b.String()
}

// nested writes open n times, then inside, then end n times.
func nested(n int, open, inside, end string) string {
	return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
}

// TestAttacksAreAnswered sends requests that have crashed or stalled other servers. Each gets
// a response with the right code, and the process survives. Time and memory are printed, not
// asserted: they depend on the machine.
func TestAttacksAreAnswered(t *testing.T) {
	// The limits that are easily set are far above the defaults, so that the test shows the
	// other ones.
	s := newSite(t, func(o *Options) {
		o.Limits.body, o.Limits.document.Bytes, o.Limits.document.Directives, o.Limits.document.RootFields = 8<<20, 8<<20, 5000, 5000
	})
	cases := map[string]struct {
		reason string
		body   string
		code   string
	}{
		"NestedBraces": {
			"3 MB of braces overflow the stack of a parser that recurses without a bound",
			bodyOf(strings.Repeat("{", 3<<20), nil), refusal.DocumentTooDeep,
		},
		"NestedBracesWithinTheTokens": {
			"4,900 braces are few enough tokens and still too deep",
			bodyOf(strings.Repeat("{", 4900), nil), refusal.DocumentTooDeep,
		},
		"NestedFields": {
			"the schema has cycles, so a query can go down for ever",
			bodyOf(`{ article(slug: "a")`+nested(60, "{ next ", "{ id }", "}")+"}", nil), refusal.DocumentTooDeep,
		},
		"NestedInlineFragments": {
			"fragments in line add no level of fields, but one of recursion each",
			bodyOf("{"+nested(2000, "...{", "__typename", "}")+"}", nil), refusal.DocumentTooDeep,
		},
		"NestedListLiteral": {
			"a literal's lists nest like braces",
			bodyOf("{ nodes(ids: "+nested(2000, "[", "", "]")+") { id } }", nil), refusal.DocumentTooDeep,
		},
		"NestedObjectLiteral": {
			"so do its objects",
			bodyOf("{ articles(where: "+nested(1500, "{tag:", "1", "}")+") { nodes { id } } }", nil), refusal.DocumentTooDeep,
		},
		"NestedTypes": {
			"and the lists of a variable's type",
			bodyOf("query($a: "+nested(2000, "[", "ID", "]")+") { nodes(ids: $a) { id } }", nil), refusal.DocumentTooDeep,
		},
		"NestedVariableLists": {
			"JSON nests, too: 2 MB of brackets",
			`{"query":"query($a:[ID!]!){nodes(ids:$a){id}}","variables":{"a":` + nested(1<<20, "[", "", "]") + `}}`, refusal.BadRequest,
		},
		"NestedVariableObjects": {
			"objects as well as lists",
			`{"query":"query($a:ArticleWhere){articles(where:$a){nodes{id}}}","variables":{"a":` + nested(1<<20, `{"a":`, "1", "}") + `}}`, refusal.BadRequest,
		},
		"NestedUnknownMember": {
			"what is ignored is decoded all the same",
			`{"query":"{__typename}","x":` + nested(1<<20, "[", "", "]") + `}`, refusal.BadRequest,
		},
		"ManyValues": {
			"a map for each 7 bytes takes fifty times the body's memory",
			`{"query":"{__typename}","x":[` + strings.TrimSuffix(strings.Repeat(`{"":0},`, 1<<20), ",") + `]}`, refusal.PayloadTooLarge,
		},
		"ManyAliases": {
			"10,000 aliases run one resolver 10,000 times",
			bodyOf("{"+repeat(10000, `a%d: article(slug: "a") { id } `)+"}", nil), refusal.DocumentTooLarge,
		},
		"ManyEqualFields": {
			"compared pair by pair, 4,900 equal fields are 12 million pairs",
			bodyOf("{"+strings.Repeat("__typename ", 4900)+"}", nil), "",
		},
		"ManyEqualNestedFields": {
			"70 times 70: each pair of parents compares each pair of children",
			bodyOf("{"+strings.Repeat(`nodes(ids:[]) {`+strings.Repeat("id ", 58)+"} ", 70)+"}", nil), "",
		},
		"ManyDirectives": {
			"700 directives on one field are an error each, of which a hundred are told",
			bodyOf("{ __typename "+strings.Repeat("@skip(if:false) ", 700)+"}", nil), refusal.ValidationFailed + " " + refusal.ErrorsOmitted,
		},
		"ManyUnknownDirectives": {
			"unknown ones are compared with nothing",
			bodyOf("{ __typename "+repeat(2400, "@a%d ")+"}", nil), refusal.ValidationFailed + " " + refusal.ErrorsOmitted,
		},
		"ManyUnknownFields": {
			"each unknown name is compared with all known ones to suggest one",
			bodyOf("{"+repeat(4900, strings.Repeat("articl", 33)+"%d ")+"}", nil), refusal.ValidationFailed + " " + refusal.ErrorsOmitted,
		},
		"LargeWrongLiteral": {
			"a value of the wrong type is quoted in its error, once for each level of lists around it",
			bodyOf(`{ article(slug: `+nested(30, "[", `"`+strings.Repeat("a", 3<<20)+`"`, "]")+`) { id } }`, nil), refusal.ValidationFailed + " " + refusal.ErrorsOmitted,
		},
		"LargeComment": {
			"a comment is one token however long it is",
			bodyOf("#"+strings.Repeat("a", 7<<20)+"\n{__typename}", nil), "",
		},
		"ManyComments": {
			"comments count",
			bodyOf(strings.Repeat("#\n", 2<<20)+"{__typename}", nil), refusal.DocumentTooLarge,
		},
		"LargeBlockString": {
			"a block string is taken apart line by line",
			bodyOf(`{ article(slug: """`+strings.Repeat(" \n", 1<<20)+`""") { id } }`, nil), "",
		},
		"DoublingFragments": {
			"each fragment spreads the next twice: 700 bytes are 2^15 fields",
			bodyOf(doubling(14), nil), refusal.DocumentTooLarge,
		},
		"DoublingFragmentsInDepth": {
			"a kilobyte is 2^25 fields, and deep",
			bodyOf(doubling(25), nil), refusal.DocumentTooDeep,
		},
		"DoublingFragmentsFlat": {
			"on one level no depth gives them away, and their number overflows an integer",
			bodyOf("{...F0}"+repeat(100, " fragment F%d on Query {...G%d ...G%d} fragment G%d on Query {...F%+d}")+" fragment F100 on Query {__typename}", nil), refusal.DocumentTooLarge,
		},
		"DoublingFragmentsWithin": {
			"what is let through is merged quickly, too",
			bodyOf(doubling(9), nil), "",
		},
		"AlternatingFragments": {
			"two fragments a level whose fields have one name are compared pair by pair, each level anew",
			bodyOf(alternating(8), nil), "",
		},
		"FragmentCycle": {
			"a fragment that contains itself never ends",
			bodyOf("{...A} fragment A on Query {...B} fragment B on Query {...A}", nil), refusal.ValidationFailed,
		},
		"FragmentHub": {
			"a cycle through every fragment makes each of them reach all others",
			bodyOf("{...H} fragment H on Query {"+repeat(450, "...L%d ")+"}"+repeat(450, " fragment L%d on Query {...H}"), nil), refusal.ValidationFailed,
		},
		"FragmentChain": {
			"every fragment is validated with all that it reaches, and all reach the last",
			bodyOf("{...F0}"+chain(400, "... {"+strings.Repeat("__typename ", 1500)+"}"), nil), refusal.DocumentTooLarge,
		},
		"ManyOperations": {
			"so is every operation",
			bodyOf(repeat(400, "query Q%d {...F} ")+"fragment F on Query {"+strings.Repeat("__typename ", 1500)+"}", nil), refusal.DocumentTooLarge,
		},
		"ManyFragmentsOfOneName": {
			"one of them measured for all would hide what the others reach",
			bodyOf("{...F} fragment F on Query {__typename}"+strings.Repeat(" fragment F on Query {...G}", 400)+" fragment G on Query {"+strings.Repeat("__typename ", 1500)+"}", nil), refusal.ValidationFailed,
		},
		"ManyOperationsWithin": {
			"the most that is validated",
			`{"operationName":"Q0",` + bodyOf(repeat(17, "query Q%d {...F} ")+"fragment F on Query {"+strings.Repeat("__typename ", 1600)+"}", nil)[1:], "",
		},
		"ManySpreadsWithin": {
			"each spread looks its fragment up",
			`{"operationName":"Q0",` + bodyOf(repeat(10, "query Q%d {...F} ")+"fragment F on Query {"+repeat(300, "...L%d ")+strings.Repeat("...L299 ", 900)+"}"+repeat(300, " fragment L%d on Query {__typename}"), nil)[1:], "",
		},
		"FragmentChainWithin": {
			"the same by a chain, in which gqlparser's rule on merging compares a million pairs for each link",
			bodyOf("{...F0}"+chain(17, "... {"+strings.Repeat("__typename ", 1500)+"}"), nil), "",
		},
		"ManyVariables": {
			"each use of a variable looks it up among all",
			bodyOf("query("+repeat(450, "$v%d:ID! ")+") { nodes(ids: ["+repeat(450, "$v%d ")+strings.Repeat("$v449 ", 800)+"]) { id } }", nil), refusal.ValidationFailed,
		},
		"LongNumber": {
			"a number of a megabyte is no number that anybody meant",
			`{"query":"query($n:Int){articles(first:$n){nodes{id}}}","variables":{"n":` + strings.Repeat("9", 1<<20) + `}}`, refusal.BadRequest,
		},
		"HugeExponent": {
			"nor is one whose digits wouldn't fit into memory",
			`{"query":"query($n:Int){articles(first:$n){nodes{id}}}","variables":{"n":1e999999999}}`, refusal.ValidationFailed,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			r := s.do(t, "POST", "/graphql", c.body, "Content-Type: application/json")
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			t.Logf("%8d bytes in, %6d out, %10s, %6.1f MB allocated: %d %s", len(c.body), len(r.body), took.Round(time.Microsecond), float64(after.TotalAlloc-before.TotalAlloc)/(1<<20), r.status, r.codes(t))
			if len(r.body) > 200<<10 {
				t.Errorf("%s: the answer has %d bytes", c.reason, len(r.body))
			}
			if got := r.codes(t); got != c.code {
				t.Errorf("%s: codes %q, want %q\n%.300s", c.reason, got, c.code, r.body)
			}
			if alive := s.post(t, "{ __typename }"); alive.status != 200 {
				t.Fatalf("%s: afterwards a plain query gets %d", c.reason, alive.status)
			}
		})
	}
}

// chain returns n fragments; each spreads the next.
func chain(n int, last string) string {
	return repeat(n, " fragment F%d on Query {...F%+d}") + fmt.Sprintf(" fragment F%d on Query {%s}", n, last)
}

// doubling returns a query with fields that double with each of n fragments.
func doubling(n int) string {
	return `{article(slug:"a"){...F0}}` +
		repeat(n, " fragment F%d on Article {next{...F%+d} previous{...F%+d}}") +
		fmt.Sprintf(" fragment F%d on Article {id}", n)
}

// alternating returns a query in which two fragments on each of n levels select the same field
// with the two of the next.
func alternating(n int) string {
	return `{article(slug:"a"){...F0 ...G0}}` +
		repeat(n, " fragment F%d on Article {next{id ...F%+d ...G%+d}} fragment G%d on Article {next{id ...F%+d ...G%+d}}") +
		fmt.Sprintf(" fragment F%[1]d on Article {id} fragment G%[1]d on Article {id}", n)
}
