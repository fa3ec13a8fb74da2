package guard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gql "github.com/vektah/gqlparser/v2/ast"

	"stoa/store"
	"stoa/tests/stoatest"
)

// Random queries, derived from the schema, are sent by random viewers in random order, while
// their data changes: each twice, so that one response may come from the cache and the other
// can't, and both are the same to the byte. LEAK_SEED and LEAK_ROUNDS repeat and prolong it.
func TestNothingLeaks(t *testing.T) {
	seed, rounds := uint64(time.Now().UnixNano()), 2500
	if text := os.Getenv("LEAK_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		stoatest.Check(t, err)
		seed = n
	}
	if text := os.Getenv("LEAK_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		stoatest.Check(t, err)
		rounds = n
	}
	t.Logf("LEAK_SEED=%d", seed)
	m := openMatrix(t)
	g := &guesser{matrix: m, t: t, random: rand.New(rand.NewPCG(seed, 1))}
	queries := make([]string, 80)
	for i := range queries {
		queries[i] = m.known.Request(t, m.s, g.query())
	}
	press, err := store.Articles.BySlug(t.Context(), m.s.Store, "press")
	stoatest.Check(t, err)
	before := m.s.ResponseCounts()
	refused, private := 0, 0
	for round := range rounds {
		if round%150 == 149 {
			press = g.change(press)
		}
		query, caller := queries[g.random.IntN(len(queries))], askers[g.random.IntN(len(askers))]
		get := g.random.IntN(4) == 0
		// The first of them may fill the cache for the second.
		first := g.random.IntN(2) == 0
		var with, without answerBytes
		if first {
			with, without = g.ask(query, caller, get, false), g.ask(query, caller, get, true)
		} else {
			without, with = g.ask(query, caller, get, true), g.ask(query, caller, get, false)
		}
		if with.body != without.body || with.status != without.status {
			t.Fatalf("round %d, as %s, GET %t:\n%s\nis answered with the cache\n%d %s\nand without it\n%d %s", round, caller, get, query, with.status, with.body, without.status, without.body)
		}
		if strings.Contains(with.body, `"errors"`) {
			refused++
		}
		if public := strings.HasPrefix(with.caching, "public"); public && (strings.Contains(with.body, "@example.org") || strings.Contains(with.body, "zeppelin")) {
			t.Fatalf("as %s:\n%s\nis for everybody: %s", caller, query, with.body)
		} else if !public {
			private++
		}
	}
	after := m.s.ResponseCounts()
	hits := after.Hits - before.Hits
	t.Logf("%d answers out of the cache, %d executed for it, %d kept; %d of %d had errors", hits, after.Made-before.Made, after.Entries, refused, rounds)
	if hits < int64(rounds)/10 || refused > rounds/2 {
		t.Errorf("of %d answers %d came out of the cache and %d had errors: is anything tested?", rounds, hits, refused)
	}
}

// guesser makes queries up.
type guesser struct {
	*matrix
	t      *testing.T
	random *rand.Rand
	alias  int
}

func (g *guesser) query() string {
	g.alias = 0
	return "{ " + g.selection(g.schema.Query, 5) + " }"
}

// selection is some fields of a type, each under a name of its own.
func (g *guesser) selection(d *gql.Definition, depth int) string {
	if d.Kind != gql.Object {
		text := "__typename"
		if d.Kind == gql.Interface && g.random.IntN(2) == 0 {
			text += " id"
		}
		for _, possible := range g.schema.GetPossibleTypes(d) {
			if g.random.IntN(3) > 0 {
				text += " ... on " + possible.Name + " { " + g.selection(possible, depth-1) + " }"
			}
		}
		return text
	}
	var fields gql.FieldList
	for _, f := range d.Fields {
		composite := g.schema.Types[f.Type.Name()].IsCompositeType()
		if strings.HasPrefix(f.Name, "__") || composite && depth <= 1 || d.Name+"."+f.Name == "Session.lastUsedAt" {
			continue // the last is another one after each answer
		}
		fields = append(fields, f)
	}
	if len(fields) == 0 {
		return "__typename"
	}
	var text []string
	several := 1 + g.random.IntN(3)
	if d == g.schema.Query { // most of the root is private, and one private field is enough
		several = 1 + g.random.IntN(4)/3
	}
	for range several {
		f := fields[g.random.IntN(len(fields))]
		g.alias++
		one := fmt.Sprintf("f%d: %s%s", g.alias, f.Name, g.arguments(d, f))
		if of := g.schema.Types[f.Type.Name()]; of.IsCompositeType() {
			one += " { " + g.selection(of, depth-1) + " }"
		}
		text = append(text, one)
	}
	return strings.Join(text, " ")
}

// slugs are of published, of hidden and of missing articles.
var slugs = []string{`"press"`, `"how-to-fold"`, `"unfinished"`, `"tomorrow"`, `"drafted"`, `"out"`, `"gone"`, `"nothing"`}

func (g *guesser) thing() string {
	all := allThings()
	return all[g.random.IntN(len(all))].id
}

func (g *guesser) arguments(d *gql.Definition, f *gql.FieldDefinition) string {
	var all []string
	for _, a := range f.Arguments {
		required := a.Type.NonNull && a.DefaultValue == nil
		if !required && g.random.IntN(3) > 0 || a.Name == "after" || a.Name == "before" || a.Name == "last" && len(all) > 0 {
			continue
		}
		var value string
		switch of := g.schema.Types[a.Type.Name()]; {
		case d.Name+"."+f.Name == "Query.node":
			value = strconv.Quote(g.thing())
		case d.Name+"."+f.Name == "Query.nodes":
			value = "[" + strconv.Quote(g.thing()) + ", " + strconv.Quote(g.thing()) + "]"
		case d.Name+"."+f.Name == "Query.article":
			value = slugs[g.random.IntN(len(slugs))]
		case of.Kind == gql.InputObject:
			member := of.Fields[g.random.IntN(len(of.Fields))]
			value = "{" + member.Name + ": " + g.value(g.t, of.Name+"."+member.Name, "") + "}"
		default:
			value = g.value(g.t, d.Name+"."+f.Name+"."+a.Name, a.Name)
		}
		all = append(all, a.Name+": "+value)
	}
	if len(all) == 0 {
		return ""
	}
	return "(" + strings.Join(all, ", ") + ")"
}

// change changes some of the queried data.
func (g *guesser) change(press *store.Article) *store.Article {
	after := *press
	switch g.random.IntN(3) {
	case 0:
		after.Title = fmt.Sprint("The press ", g.random.IntN(1000))
		after.TitleKey = store.SortKey(after.Title)
	case 1:
		if after.Status = store.Draft; press.Status == store.Draft {
			after.Status = store.Published
		}
	case 2:
		after.Summary = fmt.Sprint("Changed ", g.random.IntN(1000))
	}
	after.UpdatedAt = store.Now()
	stoatest.Check(g.t, g.s.Store.ChangeArticle(g.t.Context(), press, &after))
	return &after
}

// answerBytes is an answer as it came, errors apart in an order of their own: fields are
// resolved side by side.
type answerBytes struct {
	status  int
	body    string
	caching string
}

// ask sends a query as a viewer; with past it bypasses the response cache, by an unknown
// extension.
func (g *guesser) ask(query, caller string, get, past bool) answerBytes {
	g.t.Helper()
	g.asked++
	envelope := map[string]any{"query": query}
	address := g.s.URL + "/graphql"
	if past {
		envelope["extensions"] = map[string]any{"past": g.asked}
	}
	method, body := http.MethodPost, []byte(nil)
	if get {
		method = http.MethodGet
		address += "?query=" + url.QueryEscape(query)
		if past {
			address += "&extensions=" + url.QueryEscape(fmt.Sprintf(`{"past":%d}`, g.asked))
		}
	} else {
		var err error
		body, err = json.Marshal(envelope)
		stoatest.Check(g.t, err)
	}
	r, err := http.NewRequestWithContext(g.t.Context(), method, address, bytes.NewReader(body))
	stoatest.Check(g.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.1.%d.%d", g.asked/250%250, g.asked%250+1))
	if token := g.people[caller].Token; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	before := g.s.ResponseCounts()
	response, err := http.DefaultClient.Do(r)
	stoatest.Check(g.t, err)
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	stoatest.Check(g.t, err)
	if after := g.s.ResponseCounts(); past && after.Hits != before.Hits {
		g.t.Fatal("what is asked for past the cache comes out of it")
	}
	a := answerBytes{response.StatusCode, string(read), response.Header.Get("Cache-Control")}
	var parts struct {
		Errors []json.RawMessage
		Data   json.RawMessage
	}
	stoatest.Check(g.t, json.Unmarshal(read, &parts))
	if len(parts.Errors) > 0 {
		var errs []string
		for _, e := range parts.Errors {
			errs = append(errs, string(e))
		}
		slices.Sort(errs)
		a.body = string(parts.Data) + "\n\"errors\" " + strings.Join(errs, "\n")
	}
	return a
}
