// Package api tests the API as clients see it: the API files beside it (golden reads them),
// pages, searches, feeds, uploads and the rules of writing.
package api

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	gql "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/tests/golden"
	"stoa/tests/stoatest"
)

func TestAPIFilesAreAnswered(t *testing.T) {
	for _, path := range golden.Files(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".graphql"), func(t *testing.T) {
			t.Parallel()
			s := stoatest.Start(t, nil)
			called := golden.Publish(t, s)
			people := golden.Cast(t, s, called)
			exchanges := golden.Read(t, path)
			for i, e := range exchanges {
				from := fmt.Sprintf("198.51.100.%d", i+101) // none begins another
				called.Call(from, "address")
				got := called.Answer(t, golden.Ask(t, s, people, from, called.Request(t, s, e.Request)), strings.Contains(e.Request, golden.Costs+"\n"))
				if os.Getenv("UPDATE") != "" {
					exchanges[i].Answer = got
					continue
				}
				// The second response may come from the cache.
				if !strings.Contains(e.Request, "mutation") && !strings.Contains(e.Request, golden.Times) {
					if again := called.Answer(t, golden.Ask(t, s, people, from, called.Request(t, s, e.Request)), strings.Contains(e.Request, golden.Costs+"\n")); again != got {
						t.Errorf("%s:%d:\n%s\n\nis answered otherwise when it is asked again (-first +again):\n%s", path, e.Line, e.Request, cmp.Diff(got, again))
					}
				}
				if diff := cmp.Diff(e.Answer, got); diff != "" {
					t.Errorf("%s:%d:\n%s\n\nanswers otherwise than the file says (-file +server):\n%s", path, e.Line, e.Request, diff)
				}
			}
			if os.Getenv("UPDATE") != "" {
				golden.Write(t, path, exchanges)
			}
		})
	}
}

// unshown lists the fields that no exchange can show, with the reasons.
var unshown = map[string]string{
	"CacheControlScope.PUBLIC":  "is said in the schema, never asked for nor answered",
	"CacheControlScope.PRIVATE": "is said in the schema, never asked for nor answered",
	"MediaErrorCode.THROTTLED":  "takes more pictures at once than may wait: TestOnlySoManyWait in media/picture",
	"MediaErrorCode.NOT_FOUND":  "no mutation takes the id of a picture yet",
	"MediaErrorCode.CONFLICT":   "no mutation changes a picture yet",
	"MediaErrorCode.FORBIDDEN":  "no mutation takes the id of a picture yet; who may not upload is told by @auth",
}

// A new field, argument, input or enum value needs an exchange that shows it at work.
func TestAPIFilesShowTheWholeSchema(t *testing.T) {
	s := stoatest.Schema(t)
	shown := map[string]bool{}
	for _, path := range golden.Files(t) {
		for _, e := range golden.Read(t, path) {
			if !strings.Contains(e.Answer, `"errors"`) {
				show(t, s, e, shown)
			}
		}
	}
	for what, why := range unshown {
		if shown[what] {
			t.Errorf("an exchange shows %s, which %s", what, why)
		}
		shown[what] = true
	}
	for _, d := range s.Types {
		if d.BuiltIn {
			continue
		}
		for _, f := range d.Fields {
			if !strings.HasPrefix(f.Name, "__") && !shown[d.Name+"."+f.Name] {
				t.Errorf("no exchange in api/ shows %s.%s", d.Name, f.Name)
			}
			for _, a := range f.Arguments {
				if !strings.HasPrefix(f.Name, "__") && !shown[d.Name+"."+f.Name+"("+a.Name+")"] {
					t.Errorf("no exchange in api/ shows %s.%s(%s:)", d.Name, f.Name, a.Name)
				}
			}
		}
		for _, v := range d.EnumValues {
			if !shown[d.Name+"."+v.Name] {
				t.Errorf("no exchange in api/ shows %s.%s", d.Name, v.Name)
			}
		}
	}
}

// show notes the parts of the schema that a request uses, and the enum values in its response.
func show(t *testing.T, s *gql.Schema, e golden.Exchange, shown map[string]bool) {
	t.Helper()
	document, errs := gqlparser.LoadQueryWithRules(s, e.Request, rules.NewDefaultRules())
	if len(errs) > 0 {
		t.Fatalf("%s\nis answered without errors, but: %v", e.Request, errs)
	}
	for answers := json.NewDecoder(strings.NewReader(e.Answer)); answers.More(); {
		var answer struct{ Data any }
		stoatest.Check(t, answers.Decode(&answer))
		for _, o := range document.Operations {
			showValues(s, o.SelectionSet, answer.Data, shown)
		}
	}
	var events validator.Events
	events.OnField(func(_ *validator.Walker, f *gql.Field) {
		name := f.ObjectDefinition.Name + "." + f.Name
		shown[name] = true
		for _, a := range f.Arguments {
			shown[name+"("+a.Name+")"] = true
		}
	})
	events.OnValue(func(_ *validator.Walker, v *gql.Value) {
		switch v.Kind {
		case gql.EnumValue:
			shown[v.Definition.Name+"."+v.Raw] = true
		case gql.ObjectValue:
			for _, member := range v.Children {
				shown[v.Definition.Name+"."+member.Name] = true
			}
		}
	})
	validator.Walk(s, document, &events)
}

// showValues notes the enum values under a selection in a response.
func showValues(s *gql.Schema, selected gql.SelectionSet, answer any, shown map[string]bool) {
	if list, ok := answer.([]any); ok {
		for _, element := range list {
			showValues(s, selected, element, shown)
		}
		return
	}
	o, ok := answer.(map[string]any)
	if !ok {
		return
	}
	for _, x := range selected {
		switch x := x.(type) {
		case *gql.Field:
			if value, ok := o[x.Alias].(string); ok && x.Definition.Type != nil && s.Types[x.Definition.Type.Name()].Kind == gql.Enum {
				shown[x.Definition.Type.Name()+"."+value] = true
			}
			showValues(s, x.SelectionSet, o[x.Alias], shown)
		case *gql.InlineFragment:
			showValues(s, x.SelectionSet, answer, shown)
		case *gql.FragmentSpread:
			showValues(s, x.Definition.SelectionSet, answer, shown)
		}
	}
}
