package document

// Refusals with introspection off (redact): they contain no name of the schema beyond those in
// the request. gqlparser's rules without suggestions still name missing arguments and expected
// types, and so do our own. From these names the schema could be read out, one by one.

import (
	"errors"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"stoa/gateway/refusal"
)

// anybodys are names that every schema has.
var anybodys = map[string]bool{
	"Int": true, "Float": true, "String": true, "Boolean": true, "ID": true,
	"Query": true, "Mutation": true, "Subscription": true, "query": true, "mutation": true, "subscription": true,
}

// namesOf is every name of the schema that a message could give away.
func namesOf(schema *ast.Schema) (types, others map[string]bool) {
	types, others = map[string]bool{}, map[string]bool{}
	for name, definition := range schema.Types {
		if strings.HasPrefix(name, "__") {
			continue
		}
		if !anybodys[name] {
			types[name] = true
		}
		for _, field := range definition.Fields {
			others[field.Name] = true
			for _, argument := range field.Arguments {
				others[argument.Name] = true
			}
		}
		for _, value := range definition.EnumValues {
			others[value.Name] = true
		}
	}
	for name, directive := range schema.Directives {
		others[name] = true
		for _, argument := range directive.Arguments {
			others[argument.Name] = true
		}
	}
	return types, others
}

// redactVariables is redact for an error in variables: their members are part of the request, too.
func (d *documents) redactVariables(err error, text string, variables map[string]any) error {
	if !d.introspection {
		asked := []string{text}
		membersOf(variables, func(name string) { asked = append(asked, name) })
		return d.redactError(err, asked...)
	}
	return err
}

// redactError is redact for the messages of err, a refusal.
func (d *documents) redactError(err error, asked ...string) error {
	var r *refusal.Error
	if errors.As(err, &r) {
		r.Errors = d.redact(r.Errors, asked...)
	}
	return err
}

// membersOf calls found for the name of each member of an object in value.
func membersOf(value any, found func(string)) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			membersOf(element, found)
		}
	case map[string]any:
		for name, member := range value {
			found(name)
			membersOf(member, found)
		}
	}
}

// redact replaces each message of list that has a name of the schema missing from asked, the
// text of the request. The location of the error in the document stays.
func (d *documents) redact(list gqlerror.List, asked ...string) gqlerror.List {
	if d.introspection {
		return list
	}
	var known map[string]bool
	for _, err := range list {
		if known == nil {
			known = map[string]bool{}
			for _, text := range asked {
				words(text, func(word string, _ bool) { known[word] = true })
			}
		}
		reveals := false
		words(err.Message, func(word string, marked bool) {
			if !known[word] && (d.types[word] || marked && d.names[word] && !anybodys[word]) {
				reveals = true
			}
		})
		if reveals {
			err.Message = "this doesn't fit the schema, which isn't given out here"
		}
	}
	return list
}

// words calls found for each name in text; marked if it is in quotes or after a dot, as names
// in messages are and English words are not.
func words(text string, found func(word string, marked bool)) {
	quoted := false
	for i := 0; i < len(text); {
		c := text[i]
		if c == '"' {
			quoted = !quoted
		}
		if !nameStart(c) {
			i++
			continue
		}
		start := i
		for i < len(text) && (nameStart(text[i]) || text[i] >= '0' && text[i] <= '9') {
			i++
		}
		found(text[start:i], quoted || start > 0 && text[start-1] == '.')
	}
}

func nameStart(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
