package guard

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2"
	gql "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/access"
	"stoa/graph"
	"stoa/tests/golden"
	"stoa/tests/stoatest"
)

// direct executes queries as the gateway does, and also returns if the response was private.
// Nothing between the two knows the viewer.
type direct struct {
	executor *executor.Executor
	m        *matrix
}

func openDirect(t *testing.T, m *matrix, ahead graph.LookAhead) direct {
	t.Helper()
	d := direct{executor.New(graph.New(graph.Resolver{Blog: m.s.Blog, AccountService: m.s.AccountService, Pictures: m.s.Pictures, Index: m.s.Search, ShopService: m.s.Shop})), m}
	d.executor.Use(ahead)
	shown := graph.Errors{Log: slog.New(slog.DiscardHandler)}
	d.executor.SetErrorPresenter(shown.Present)
	d.executor.SetRecoverFunc(shown.Recover)
	return d
}

// ask returns the bytes of an answer, its errors in the order of their text, since fields
// are resolved side by side.
func (d direct) ask(t *testing.T, caller string, params graphql.RawParams) (answer string, private bool) {
	t.Helper()
	ctx, made := access.Begin(t.Context(), access.Request{
		Token: d.m.people[caller].Token, Authenticate: d.m.s.AccountService.Authenticate, Cookies: true,
		Client: access.Client{Device: caller},
	})
	ctx = graphql.StartOperationTrace(ctx)
	operation, refused := d.executor.CreateOperationContext(ctx, &params)
	if refused != nil {
		text, err := json.Marshal(refused)
		stoatest.Check(t, err)
		return string(text), made.Private()
	}
	operation.DisableIntrospection = false
	handler, ctx := d.executor.DispatchOperation(ctx, operation)
	response := handler(ctx)
	var errs []string
	for _, e := range response.Errors {
		text, err := json.Marshal(e)
		stoatest.Check(t, err)
		errs = append(errs, string(text))
	}
	slices.Sort(errs)
	return string(response.Data) + strings.Join(errs, "\n"), made.Private()
}

// Every query of the API files and of the access matrix is sent by every viewer: if any of the
// responses is public, all of them are the same to the byte. And responses without people in
// them are public, or there would be nothing to share.
func TestPublicResponsesAreTheSameForAll(t *testing.T) {
	m := openMatrix(t)
	d := openDirect(t, m, graph.NewLookAhead(m.s.Store, 4<<20))
	var aliases []string // the cast of the files is other people
	for who, p := range map[string]string{"ada": "owner", "bela": "customer", "chloe": "author", "edgar": "editor", "stan": "staff", "agnes": "admin"} {
		aliases = append(aliases, "<account "+who+">", "<account "+p+">", "<session "+who+">", "<session "+p+">")
	}
	aliases = append(aliases, "<session ada's other>", "<session spare>")
	name := func(query string) string {
		return m.known.Request(t, m.s, strings.NewReplacer(aliases...).Replace(query))
	}
	public, private := 0, 0
	try := func(what string, params graphql.RawParams) {
		first, allSame, allPrivate, allPublic := "", true, true, true
		for i, caller := range askers {
			answer, isPrivate := d.ask(t, caller, params)
			if strings.Contains(answer, "INTERNAL") {
				t.Errorf("%s\n%s\nfails as %s: %s", what, params.Query, caller, answer)
				return
			}
			if i == 0 {
				first = answer
			}
			allSame = allSame && answer == first
			allPrivate = allPrivate && isPrivate
			allPublic = allPublic && !isPrivate
		}
		people := strings.Contains(params.Query, "acc_") || strings.Contains(params.Query, "ses_") || strings.Contains(params.Query, "viewer") || strings.Contains(params.Query, "account") || strings.Contains(params.Query, "preview")
		// A missing object could be a draft: only the viewer decides.
		people = people || strings.Contains(first, ":null") || strings.Contains(first, "[null") || strings.Contains(first, ",null") || strings.HasPrefix(first, "null")
		switch {
		case !allSame && !allPrivate:
			t.Errorf("%s\n%s\nis answered otherwise to some, but isn't private for all", what, params.Query)
		case allSame && !allPublic && !people:
			t.Errorf("%s\n%s\nhas nothing to do with people, but is private", what, params.Query)
		}
		if allPublic {
			public++
		} else {
			private++
		}
	}
	m.try = func(_ *testing.T, what string, query func(string) string) {
		if text := query("admin"); !strings.HasPrefix(text, "mutation") {
			try(what, graphql.RawParams{Query: name(text)})
		}
	}
	m.queries(t)
	for _, file := range golden.Files(t) {
		for _, e := range golden.Read(t, file) {
			document, errs := gqlparser.LoadQueryWithRules(m.schema, e.Request, rules.NewDefaultRules())
			if len(errs) > 0 || slices.ContainsFunc(document.Operations, func(o *gql.OperationDefinition) bool { return o.Operation != gql.Query }) {
				continue // it is never executed, or it changes something
			}
			request := golden.RequestOf(t, name(e.Request))
			variables, err := json.Marshal(request.Variables)
			stoatest.Check(t, err)
			params := graphql.RawParams{Query: request.Query, OperationName: request.Operation}
			decoder := json.NewDecoder(bytes.NewReader(variables))
			decoder.UseNumber() // as the gateway does
			stoatest.Check(t, decoder.Decode(&params.Variables))
			try(file+" "+strconv.Itoa(e.Line), params)
		}
	}
	t.Logf("%d queries are public, %d private", public, private)
	if public < 100 || private < 50 {
		t.Errorf("%d queries are public and %d private: is everything asked for?", public, private)
	}
}
