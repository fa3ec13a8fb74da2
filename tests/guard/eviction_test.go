package guard

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stoa/access"
	"stoa/tests/stoatest"
)

const evictionFile = "evictions.txt"

const evictionHead = `# Which kept answers each mutation evicts: a row for each change that access_test.go tries,
# done by somebody who may. All other answers stay; what they are asked by is in
# eviction_test.go. "its own" is node(id:) of what the mutation is about, where that is public.
# Made by eviction_test.go; people review the diff.

`

// keptAnswers are examples of cached responses.
var keptAnswers = map[string]string{
	"home":           `{ articles(first: 5) { nodes { title author { name } tags { name } } } }`,
	"by title":       `{ articles(orderBy: {field: TITLE, direction: ASC}) { nodes { slug } } }`,
	"by update":      `{ articles(orderBy: {field: UPDATED_AT}) { nodes { slug } } }`,
	"count":          `{ articles(first: 1) { count { value } } }`,
	"press":          `{ article(slug: "press") { title author { name } tags { name } } }`,
	"its text":       `{ article(slug: "press") { bodyHtml tableOfContents { text } } }`,
	"its comments":   `{ article(slug: "press") { comments { nodes { bodyHtml authorName } } } }`,
	"its neighbours": `{ article(slug: "press") { next { slug } previous { slug } } }`,
	"folding":        `{ article(slug: "how-to-fold") { title } }`,
	"ink":            `{ tag(slug: "ink") { name articles { nodes { title } } } }`,
	"ada":            `{ author(slug: "ada") { name articleCount } }`,
	"authors":        `{ authors { nodes { name } } }`,
	"tags":           `{ tags { nodes { name } } }`,
	"search":         `{ search(query: "press", types: [ARTICLE]) { nodes { ... on Article { title } } } }`,
	"search all":     `{ search(query: "press") { nodes { __typename } } }`,
	"found":          `{ articles(where: {query: "press"}) { nodes { slug } } }`,
	"of ada":         `{ articles(where: {author: "ada"}) { nodes { slug } } }`,
}

// about finds the ids that a change is about.
var about = regexp.MustCompile(`(?:[iI]d|tags): \[?"([a-z]{3}_[0-9a-z]{26})"`)

// For each mutation in the schema: the cached responses of a set that it evicts, and that all
// the others stay. The rows are derived from the schema, like those of the access matrix.
func TestEvictionIsExact(t *testing.T) {
	m := openMatrix(t)
	may := readMatrix(t)
	var text strings.Builder
	text.WriteString(evictionHead)
	all := m.kept(t)
	names := slices.Sorted(maps.Keys(all))
	rows := 0
	for i, c := range m.changes() {
		what := "Mutation." + c.mutation
		if c.what != "" {
			what += ": " + c.what
		}
		caller := ""
		for j, came := range strings.Split(may[what], " | ") {
			if came == "done" && (caller == "" || caller == "anonymous") {
				caller = askers[j]
			}
		}
		if caller == "" {
			continue // by nobody: it changes nothing
		}
		rows++
		role := access.Customer
		if c.writes {
			role = access.Author
		}
		target := m.s.Join(t, fmt.Sprintf("evict-target-%d@example.org", i), "Target", role, time.Time{})
		asking := target
		asking.Session, asking.Token = m.s.SignIn(t, target.Account)
		if caller != "owner" {
			asking = m.s.Join(t, fmt.Sprintf("evict-caller-%d@example.org", i), "Caller", roleOf(caller), time.Time{})
		}
		arguments := ""
		if c.input != nil {
			arguments = "(input: {" + m.known.Request(t, m.s, c.input(t, m.s, asking, target)) + "})"
		}
		queries := maps.Clone(all)
		if found := about.FindStringSubmatch(arguments); found != nil {
			query := fmt.Sprintf(`{ node(id: "%s") { id`, found[1])
			for _, x := range samples {
				query += fmt.Sprintf(" ... on %s { %s: %s }", x.typeName, strings.ToLower(x.typeName), x.shows)
			}
			queries["its own"] = query + " } }"
		}
		m.s.Quiesce(t) // relating articles after the last change is a change, too
		kept := map[string]bool{}
		for name, query := range queries {
			for range 3 {
				kept[name] = m.hits(t, query)
			}
			if !kept[name] && name != "its own" {
				t.Errorf("%s isn't kept", name)
			}
		}
		a := m.send(t, asking.Token, askingFor(c, arguments, " userErrors { code message }"))
		if a.refused() != "" || strings.Contains(fmt.Sprint(a.data), "code:") {
			t.Errorf("%s by %s isn't done: %v", what, caller, a)
		}
		var evicted []string
		for _, name := range append(slices.Clone(names), "its own") {
			if kept[name] && !m.hits(t, queries[name]) {
				evicted = append(evicted, name)
			}
		}
		fmt.Fprintf(&text, "%s\n    %s\n", what, strings.Join(append(evicted, []string{"none"}[:btoi(len(evicted) == 0)]...), ", "))
	}
	for _, f := range m.schema.Mutation.Fields {
		if apart[f.Name] == "" && !strings.Contains(text.String(), "Mutation."+f.Name) {
			t.Errorf("nothing says what %s evicts", f.Name)
		}
	}
	t.Logf("%d changes", rows)
	if os.Getenv("UPDATE") != "" {
		stoatest.Check(t, os.WriteFile(evictionFile, []byte(text.String()), 0o644))
	}
	want, err := os.ReadFile(evictionFile)
	stoatest.Check(t, err)
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("otherwise than %s says (-file +server):\n%s", evictionFile, diff)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hits says if an anonymous query is served from the response cache.
func (m *matrix) hits(t *testing.T, query string) bool {
	t.Helper()
	before := m.s.ResponseCounts()
	a, err := m.s.Send(stoatest.Request{Query: query})
	stoatest.Check(t, err)
	if len(a.Errors) > 0 {
		t.Fatalf("%s: %s", query, a.Raw)
	}
	return m.s.ResponseCounts().Hits == before.Hits+1
}
