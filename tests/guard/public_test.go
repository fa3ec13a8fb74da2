package guard

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gql "github.com/vektah/gqlparser/v2/ast"

	"stoa/tests/stoatest"
)

const publicFile = "public.txt"

const publicHead = `# Which fields may be in an answer that is kept for everybody, by what @cacheControl says
# of them and their types: for how many seconds the answer is new, and for how many more it
# may be given while another is made. Made by public_test.go; whoever adds a public field
# says by this file that nobody needs to be asked who sees it.

`

// A new field is private, or somebody has listed it here as public. Fields of payloads and
// inputs are in no response that could be cached.
func TestFieldsThatArePublicAreListed(t *testing.T) {
	s := stoatest.Schema(t)
	var text strings.Builder
	text.WriteString(publicHead)
	m := &matrix{schema: s}
	for _, d := range m.objects() {
		if d == s.Mutation || strings.HasSuffix(d.Name, "Payload") || strings.HasSuffix(d.Name, "Error") {
			continue
		}
		for _, f := range d.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			said := map[string]string{"scope": "PRIVATE", "maxAge": "0", "staleWhileRevalidate": "0"}
			of := d
			if s.Types[f.Type.Name()].IsCompositeType() && (d == s.Query || d.Directives.ForName("cacheControl") != nil) {
				of = s.Types[f.Type.Name()]
			}
			for _, directives := range []gql.DirectiveList{of.Directives, f.Directives} {
				if x := directives.ForName("cacheControl"); x != nil {
					for _, a := range x.Arguments {
						said[a.Name] = a.Value.Raw
					}
				}
			}
			how := "private"
			if said["scope"] == "PUBLIC" && said["maxAge"] != "0" {
				how = fmt.Sprintf("public %s + %s s", said["maxAge"], said["staleWhileRevalidate"])
			}
			fmt.Fprintf(&text, "%-34s %s\n", d.Name+"."+f.Name, how)
		}
	}
	if os.Getenv("UPDATE") != "" {
		stoatest.Check(t, os.WriteFile(publicFile, []byte(text.String()), 0o644))
	}
	want, err := os.ReadFile(publicFile)
	stoatest.Check(t, err)
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("%s isn't what the schema says (-file +schema):\n%s", publicFile, diff)
	}
}
