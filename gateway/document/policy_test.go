package document

import (
	"testing"
	"time"

	"stoa/gateway/refusal"
)

func TestPolicyOf(t *testing.T) {
	d := newDocuments(testWeights(t), Limits{}.WithDefaults(), true)
	slow, fast := Policy{true, time.Minute, 5 * time.Minute}, Policy{true, 10 * time.Second, time.Minute}
	for name, c := range map[string]struct {
		query string
		want  Policy
	}{
		"Plain":       {`{ article(slug: "a") { title author { name } tags { name } } }`, slow},
		"Strictest":   {`{ article(slug: "a") { title comments { nodes { authorName } } } }`, fast},
		"OnAField":    {`{ article(slug: "a") { title commentCount } }`, fast},
		"Skipped":     {`{ article(slug: "a") { title commentCount @skip(if: true) } }`, fast},
		"Interface":   {`{ node(id: "a") { id ... on Article { title } ... on Comment { bodyHtml } } }`, fast},
		"Union":       {`{ search(query: "a") { nodes { ... on Article { title } } } }`, fast},
		"Fragment":    {`{ article(slug: "a") { ...F } } fragment F on Article { title comments { ...G } } fragment G on CommentConnection { count { value } }`, fast},
		"PrivateType": {`{ node(id: "a") { id ... on Account { email } } }`, Policy{}},
		"UnderOne":    {`{ viewer { drafts { nodes { title } } } }`, Policy{}},
		"OneOfTwo":    {`{ article(slug: "a") { title } viewer { __typename } }`, Policy{}},
		"ByFragment":  {`{ ...Q } fragment Q on Query { accounts { nodes { email } } }`, Policy{}},
		"Typename":    {`{ __typename }`, Policy{}},
		"Schema":      {`{ __schema { types { name } } article(slug: "a") { title } }`, Policy{}},
		"Preview":     {`{ preview(token: "a") { title } }`, Policy{}},
		"Mutation":    {`mutation { sessionsRevokeOthers { count } }`, Policy{}},
	} {
		doc, err := d.parsed(c.query)
		if err == nil {
			err = d.validate(doc)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, refusal.Errors(err, nil))
		}
		if got := doc.policies[doc.AST.Operations[0]]; got.Keeps() != c.want.Keeps() || c.want.Keeps() && got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
