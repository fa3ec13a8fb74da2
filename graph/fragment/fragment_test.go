package fragment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/meter"
)

var schema = gqlparser.MustLoadSchema(&ast.Source{Input: `type Query { a(n: Int): Thing b: Int } type Thing { name: String c(n: [Int]): Thing }`})

func operation(t *testing.T, query string, variables map[string]any) *graphql.OperationContext {
	t.Helper()
	document, errs := gqlparser.LoadQueryWithRules(schema, query, rules.NewDefaultRules())
	if errs != nil {
		t.Fatal(errs)
	}
	return &graphql.OperationContext{Doc: document, Operation: document.Operations[0], Variables: variables}
}

// begun is a run of an operation with a cache, as the executor has it.
func begun(t *testing.T, op *graphql.OperationContext) (context.Context, *Run) {
	t.Helper()
	p := New(1<<20, func(any) Subject { return Subject{} })
	ctx := p.Begin(graphql.WithOperationContext(t.Context(), op))
	ctx = graphql.WithResponseContext(ctx,
		func(_ context.Context, err error) *gqlerror.Error { return gqlerror.Wrap(err) },
		func(_ context.Context, p any) error { return fmt.Errorf("panic: %v", p) })
	return ctx, From(ctx)
}

func TestFragmentsTakeNoMoreThanTheyMay(t *testing.T) {
	const most = 1 << 20
	p := New(most, nil)
	for i := range 20_000 {
		p.entries.put(fragmentKey{selection: uint64(i), of: "x"}, &Fragment{json: make([]byte, 300+i%200)})
	}
	var bytes int64
	var n int
	for i := range p.entries.shards {
		s := &p.entries.shards[i]
		for _, generation := range []map[fragmentKey]*Fragment{s.young, s.old} {
			for k, v := range generation {
				bytes += sizeOf(k, v)
				n++
			}
		}
	}
	if bytes > most || bytes < most/4 {
		t.Errorf("%d fragments take %d bytes of %d", n, bytes, most)
	}
}

func TestAFragmentThatIsUsedStays(t *testing.T) {
	p := New(1<<20, nil)
	used, unused := fragmentKey{selection: 1, of: "x"}, fragmentKey{selection: 2, of: "x"}
	p.entries.put(used, &Fragment{json: []byte("1")})
	p.entries.put(unused, &Fragment{json: []byte("2")})
	for i := range 20_000 {
		p.entries.put(fragmentKey{selection: uint64(i + 3), of: "x"}, &Fragment{json: make([]byte, 300)})
		if p.entries.get(used) == nil {
			t.Fatalf("the fragment was gone after %d others", i)
		}
	}
	if p.entries.get(unused) != nil {
		t.Error("a fragment that nobody uses is still there")
	}
}

func TestAPlanGoesWithItsDocument(t *testing.T) {
	p := New(1<<20, nil)
	count := func() (n int) {
		p.plans.documents.Range(func(any, any) bool { n++; return true })
		return n
	}
	for range 50 {
		op := operation(t, `{ a { name } }`, nil)
		p.plans.of(op).add(selectionKey{of: "Query"}, graphql.CollectFields(op, op.Operation.SelectionSet, []string{"Query"}))
	}
	kept := operation(t, `{ b }`, nil)
	is := p.plans.of(kept)
	for range 100 {
		runtime.GC()
		if count() == 1 {
			break
		}
		runtime.Gosched()
	}
	if n := count(); n != 1 {
		t.Errorf("there are plans of %d documents; one is left", n)
	}
	if p.plans.of(kept) != is {
		t.Error("a document that is still there has another plan")
	}
}

func TestAPlanIsOfOneChoice(t *testing.T) {
	p := New(1<<20, nil)
	op := operation(t, `query($x: Boolean!, $y: Boolean!, $n: Int) { a(n: $n) @include(if: $x) { name ...f } } fragment f on Thing { c { name @skip(if: $y) } }`, nil)
	of := func(x, y any, n any) *plan {
		op.Variables = map[string]any{"x": x, "y": y, "n": n}
		return p.plans.of(op)
	}
	if of(true, true, 1) != of(true, true, 2) {
		t.Error("an argument's variable makes another plan")
	}
	if of(true, true, 1) == of(true, false, 1) || of(true, true, 1) == of(false, true, 1) {
		t.Error("one plan is taken for two choices")
	}

	var names, uses []string
	for i := range 6 { // 64 choices
		names = append(names, fmt.Sprintf("$v%d: Boolean!", i))
		uses = append(uses, fmt.Sprintf("x%d: b @include(if: $v%d)", i, i))
	}
	op = operation(t, `query(`+strings.Join(names, ", ")+`) { __typename `+strings.Join(uses, " ")+` }`, nil)
	all := op.Doc
	for i := range 64 {
		op := &graphql.OperationContext{Doc: all, Operation: all.Operations[0]} // with a memory of fields of its own
		op.Variables = map[string]any{}
		for j := range 6 {
			op.Variables[fmt.Sprintf("v%d", j)] = i>>j&1 == 1
		}
		r := &Run{cache: p, plan: p.plans.of(op), op: op}
		fields := r.Fields(op, op.Operation.SelectionSet, []string{"Query"})
		if want := graphql.CollectFields(op, op.Operation.SelectionSet, []string{"Query"}); len(fields) != len(want) {
			t.Errorf("choice %b has %d fields; want %d", i, len(fields), len(want))
		}
	}
	found := false
	p.plans.documents.Range(func(_, d any) bool {
		found = found || len(d.(*document).plans) == maxChoices
		return true
	})
	if !found {
		t.Errorf("no document has its %d plans", maxChoices)
	}
}

func TestVariablesUnderASelectionCount(t *testing.T) {
	op := operation(t, `query($n: Int, $m: Int, $other: Int) { a(n: $other) { c(n: [1, $n]) { ...f } } } fragment f on Thing { c(n: [$m]) { name } }`, map[string]any{"n": 1})
	_, r := begun(t, op)
	query := r.Select(op.Operation.SelectionSet, []string{"Query"})
	thing := r.Select(query.Fields[0].Selections, []string{"Thing"})
	if want := []string{"m", "n"}; !slices.Equal(thing.variables, want) {
		t.Errorf("what is under a depends on %v; want %v", thing.variables, want)
	}
	one := r.values(thing)
	op.Variables = map[string]any{"n": 1, "m": nil}
	if r.variables = nil; r.values(thing) == one {
		t.Error("null is taken for a variable that isn't there")
	}
	if r.Select(query.Fields[0].Selections, []string{"Thing"}) != thing {
		t.Error("one selection is two")
	}
}

func TestAListEndsWithItsRequest(t *testing.T) {
	op := operation(t, `{ b }`, nil)
	ctx, r := begun(t, op)
	ctx, cancel := context.WithCancel(ctx)
	made := 0
	list := List(ctx, r, nil, make([]int, 1000), func(context.Context, int) graphql.Marshaler {
		if made++; made == 10 {
			cancel()
		}
		return graphql.MarshalInt(made)
	})
	errs := graphql.GetErrors(ctx)
	if list != nil || made != 10 || len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("%d elements were made, %d are there, the errors are %v", made, len(list), errs)
	}
}

// A panic in an element fails the list as it does in gqlgen's own, and nothing else.
func TestAPanicFailsItsList(t *testing.T) {
	element := func(_ context.Context, i int) graphql.Marshaler {
		if i%2 == 1 {
			panic(fmt.Sprint("at ", i))
		}
		return graphql.MarshalInt(i)
	}
	var told []string
	for _, own := range []bool{true, false} {
		ctx, r := begun(t, operation(t, `{ b }`, nil))
		if own {
			r = nil
		}
		if list := List(ctx, r, nil, make([]int, 4), element); list != nil {
			t.Errorf("the list is %v", list)
		}
		var errs []string
		for _, err := range graphql.GetErrors(ctx) {
			errs = append(errs, err.Error())
		}
		slices.Sort(errs)
		told = append(told, strings.Join(errs, "\n"))
	}
	if told[0] != told[1] || !strings.Contains(told[1], "[1] panic: at 1") {
		t.Errorf("gqlgen tells\n%s\nand we\n%s", told[0], told[1])
	}
}

// text is data of n bytes, in pieces.
func text(n int) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		for ; n > 0; n -= 1000 {
			_, _ = io.WriteString(w, strings.Repeat("x", min(n, 1000)))
		}
	})
}

func TestABufferIsAsLargeAsTheLastAnswer(t *testing.T) {
	_, r := begun(t, operation(t, `{ b }`, nil))
	if b := r.Marshal(text(5000)); b.Len() != 5000 {
		t.Errorf("the answer has %d bytes", b.Len())
	}
	if next := r.Marshal(text(0)); next.Cap() < 5000 || next.Len() != 0 {
		t.Errorf("the next has room for %d", next.Cap())
	}
	var none *Run
	if b := none.Marshal(text(5000)); b.Len() != 5000 {
		t.Errorf("without a run the answer has %d bytes", b.Len())
	}
}

// An answer is never made whole if it is too large, nor are fragments that are too large together.
func TestAnswersEndAtTheirBounds(t *testing.T) {
	tooLarge := errors.New("too large")
	bounded := func(t *testing.T) *Run {
		_, r := begun(t, operation(t, `{ b }`, nil))
		r.meter = new(meter.Meter)
		r.meter.Bound(meter.Work{Units: 1 << 40, Answer: 100_000, Memory: 1 << 40}, func(meter.Work) (meter.Work, error) { return meter.Work{}, tooLarge })
		return r
	}
	r := bounded(t)
	if b := r.Marshal(text(90_000)); b.Len() != 90_000 || r.meter.Err() != nil {
		t.Errorf("90,000 of 100,000 bytes: %d, %v", b.Len(), r.meter.Err())
	}
	r = bounded(t)
	if b := r.Marshal(text(100_000_000)); b.Len() > 120_000 || !errors.Is(r.meter.Err(), tooLarge) {
		t.Errorf("100 MB: %d are made, %v", b.Len(), r.meter.Err())
	}
	var event bytes.Buffer
	r = bounded(t)
	if r.MarshalTo(&event, text(100_000_000)); event.Len() > 120_000 || !errors.Is(r.meter.Err(), tooLarge) {
		t.Errorf("an event of 100 MB: %d are made, %v", event.Len(), r.meter.Err())
	}
	r = bounded(t)
	made := 0
	for range 100 {
		b := buffer{meter: r.meter}
		b.marshal(text(10_000))
		made += b.Len()
	}
	if made > 120_000 || !errors.Is(r.meter.Err(), tooLarge) {
		t.Errorf("100 fragments of 10,000 bytes: %d are made, %v", made, r.meter.Err())
	}
	r = bounded(t)
	for range 20 { // the same bytes in a fragment around them are the same bytes of the answer
		inner := buffer{meter: r.meter}
		inner.marshal(text(40_000))
		outer := buffer{meter: r.meter, told: inner.Len()}
		if outer.marshal(text(40_000)); r.meter.HeldBytes() != 40_000 {
			t.Fatalf("%d bytes are held", r.meter.HeldBytes())
		}
		r.meter.Held(-40_000)
	}
}

// A query of fragments within one another has thousands of selections: each may cost no more
// than the last.
func TestAPlanGrowsBySelectionsAlone(t *testing.T) {
	const n = 4000
	p, at := &plan{}, make([]ast.Selection, n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range at {
		p.add(selectionKey{&at[i], 1, "Article"}, nil)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 2000 {
		t.Errorf("a selection among %d takes %d bytes", n, each)
	}
}
