package document

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/gateway/refusal"
)

const overlapSchema = `
	interface Being { name(upper: Boolean, of: Of): String  friend: Being  friends: [Being]  age: Int! }
	input Of { a: Int b: Int }
	type Cat implements Being { name(upper: Boolean, of: Of): String  friend: Being  friends: [Being]  age: Int!  lives: Int  owner: Dog }
	type Dog implements Being { name(upper: Boolean, of: Of): String  friend: Being  friends: [Being]  age: Int!  lives: Int!  owner: Cat }
	union Pet = Cat | Dog
	type Query { being: Being  pet: Pet  cat: Cat  dog: Dog }
`

// overlaps returns the result of checkOverlaps for a valid document.
func overlaps(t testing.TB, schema *ast.Schema, query string, steps int) error {
	t.Helper()
	document, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var events validator.Events
	for _, rule := range rulesOf(false) {
		rule.RuleFunc(&events, func(options ...validator.ErrorOption) {
			var found gqlerror.Error
			for _, option := range options {
				option(&found)
			}
			t.Fatalf("%s: %s", query, found.Message)
		})
	}
	validator.Walk(schema, document, &events)
	return checkOverlaps(document, schema, steps)
}

func TestFieldsOfOneNameMustBeOneField(t *testing.T) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: overlapSchema})
	cases := map[string]struct {
		reason, query string
		want          string // "" when they merge
	}{
		"Same":            {"once is as good as twice", `{cat{name name}}`, ""},
		"SameArguments":   {"in any order", `{cat{name(upper:true of:{a:1 b:2}) name(of:{b:2 a:1} upper:true)}}`, ""},
		"OtherField":      {"one name, two fields", `{cat{x:name x:age}}`, `fields "x" conflict: they return String and Int!`},
		"OtherFieldShape": {"even of one type", `{dog{x:age x:lives}}`, "they are the different fields age and lives"},
		"OtherArguments":  {"one field, two values", `{cat{name(upper:true) name(upper:false)}}`, "different arguments"},
		"MissingArgument": {"or one value", `{cat{name(upper:true) name}}`, "different arguments"},
		"OtherObject":     {"an argument's members count", `{cat{name(of:{a:1}) name(of:{a:2})}}`, "different arguments"},
		"Below":           {"on every level", `{cat{owner{x:age}} cat{owner{x:name}}}`, "conflict"},
		"Fragment":        {"in a fragment", `{cat{x:age ...F}} fragment F on Cat{x:lives}`, "conflict"},
		"TwoFragments":    {"in two", `{cat{...F ...G}} fragment F on Cat{x:age} fragment G on Cat{x:lives}`, "conflict"},
		"Unmet":           {"a cat's fields never meet a dog's", `{pet{...on Cat{x:name} ...on Dog{x:name(upper:true)}}}`, ""},
		"UnmetShape":      {"but they must look alike", `{pet{...on Cat{lives} ...on Dog{lives}}}`, `they return Int and Int!`},
		"UnmetBelow":      {"down to the leaves", `{pet{...on Cat{x:owner{y:age}} ...on Dog{x:owner{y:name}}}}`, "they return"},
		"UnmetNames":      {"where names may differ", `{pet{...on Cat{x:owner{y:name}} ...on Dog{x:owner{y:name(upper:true)}}}}`, ""},
		"Interface":       {"an interface's field meets a cat's", `{being{x:name ...on Cat{x:name(upper:true)}}}`, "different arguments"},
		"InterfaceBelow":  {"on every level", `{being{x:friend{y:name} ...on Cat{x:friend{y:name(upper:true)}}}}`, "different arguments"},
		"InterfaceCousin": {"a cat's and a dog's don't meet through it", `{being{friend{age} ...on Cat{friend{y:name}} ...on Dog{friend{y:name(upper:true)}}}}`, ""},
		"List":            {"a list isn't an object", `{pet{...on Cat{x:friend{age}} ...on Dog{x:friends{age}}}}`, "they return Being and [Being]"},
		"LeafAndObject":   {"nor is a leaf", `{pet{...on Cat{x:age} ...on Dog{x:friend{age}}}}`, "they return"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := overlaps(t, schema, c.query, 10_000)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s: %s", c.reason, err.Error())
			case c.want != "" && err == nil:
				t.Errorf("%s: nothing was found", c.reason)
			case c.want != "" && (!strings.Contains(err.Error(), c.want) || len(refusal.Errors(err, nil)[0].Locations) != 2):
				t.Errorf("%s: %q at %v", c.reason, err.Error(), refusal.Errors(err, nil)[0].Locations)
			}
		})
	}
}

func TestComparingFieldsEndsWithItsSteps(t *testing.T) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: overlapSchema})
	// On each of 18 levels the interface's field is compared with the cat's and with the dog's: 2^18
	// comparisons.
	query := "{being" + nested(18, "{friend", "{age}", " ...on Cat{friend{age}} ...on Dog{friend{age}}}") + "}"
	if err := overlaps(t, schema, query, 100_000); err == nil || refusal.Code(err) != refusal.DocumentTooLarge {
		t.Errorf("got %+v", err)
	}
}

// TestOverlapsAgreeWithGqlparser holds checkOverlaps against the rule it stands for, on random
// documents with so few names that fields collide.
func TestOverlapsAgreeWithGqlparser(t *testing.T) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: overlapSchema})
	random := rand.New(rand.NewPCG(1, 2))
	theirs := rules.NewRules(rules.OverlappingFieldsCanBeMergedRule)
	found, clean := 0, 0
	for range 4_000 {
		query := randomDocument(random)
		document, err := parser.ParseQuery(&ast.Source{Input: query})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		want := len(validator.ValidateWithRules(schema, document, theirs)) > 0
		err = overlaps(t, schema, query, 1_000_000)
		if got := err != nil; got != want {
			t.Fatalf("%s\ngqlparser finds a conflict: %v\nwe: %+v", query, want, err)
		}
		if want {
			found++
		} else {
			clean++
		}
	}
	t.Logf("%d documents with a conflict, %d without", found, clean)
	if found < 1000 || clean < 1000 {
		t.Error("the documents are too much alike")
	}
}

// randomDocument is valid but for fields that may conflict.
func randomDocument(r *rand.Rand) string {
	g := &generator{Rand: r}
	// Fragments spread only later ones, so that there is no cycle.
	for range 3 {
		g.types = append(g.types, []string{"Being", "Cat", "Dog"}[r.IntN(3)])
	}
	var b strings.Builder
	b.WriteString("{")
	for i := range g.types {
		b.WriteString(" used" + strconv.Itoa(i) + ":being{...F" + strconv.Itoa(i) + "}")
	}
	b.WriteString(g.selection("Query", 3) + "}")
	for i, fragment := range g.types {
		g.next = i + 1
		b.WriteString(" fragment F" + strconv.Itoa(i) + " on " + fragment + "{" + g.selection(fragment, 2) + "}")
	}
	return b.String()
}

type generator struct {
	*rand.Rand
	types []string // of the fragments
	next  int      // the first fragment that may be spread
}

func (g *generator) selection(on string, depth int) string {
	var b strings.Builder
	for range 1 + g.IntN(3) {
		b.WriteString(" " + g.one(on, depth))
	}
	return b.String()
}

func (g *generator) one(on string, depth int) string {
	pick := func(list ...string) string { return list[g.IntN(len(list))] }
	alias := pick("", "", "", "", "", "", "", "", "x:", "y:")
	into := func(field, of string) string {
		if depth == 0 {
			return alias + "__typename"
		}
		return alias + field + "{" + g.selection(of, depth-1) + "}"
	}
	if on == "Query" {
		switch g.IntN(4) {
		case 0:
			return into("cat", "Cat")
		case 1:
			return into("dog", "Dog")
		case 2:
			return into("pet", "Pet")
		default:
			return into("being", "Being")
		}
	}
	switch g.IntN(8) {
	case 0:
		if on == "Being" || on == "Pet" {
			of := pick("Cat", "Dog")
			return "...on " + of + "{" + g.selection(of, depth) + "}"
		}
		return "...{" + g.selection(on, depth) + "}"
	case 1:
		if g.next < len(g.types) {
			i := g.next + g.IntN(len(g.types)-g.next)
			if of := g.types[i]; of == on || of == "Being" || on == "Being" || on == "Pet" {
				return "...F" + strconv.Itoa(i)
			}
		}
	}
	if on == "Pet" {
		return alias + "__typename"
	}
	switch g.IntN(6) {
	case 0:
		return alias + "age"
	case 1:
		return alias + "name" + pick("", "", "", "", "", "", "(upper:true)", "(of:{a:1 b:2})", "(of:{b:2 a:1})")
	case 2:
		return into("friend", "Being")
	case 3:
		return into("friends", "Being")
	}
	switch on {
	case "Cat":
		return pick(alias+"lives", into("owner", "Dog"))
	case "Dog":
		return pick(alias+"lives", into("owner", "Cat"))
	default:
		return alias + "__typename"
	}
}
