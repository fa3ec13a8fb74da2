package document

// How long an answer may be kept, and whether by others than who asked: what @cacheControl
// says of the fields and types that a query selects (policyOf). Whether an answer was made
// without looking at who asks is another question, which access answers.

import (
	"strconv"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
)

// Policy is what the schema says of keeping an answer. The zero policy keeps none.
type Policy struct {
	Public bool          // everybody may have it
	MaxAge time.Duration // for how long it is new
	Stale  time.Duration // for how long after that it may be given while a newer one is made
}

// Keeps says whether an answer may be kept for others at all.
func (p Policy) Keeps() bool { return p.Public && p.MaxAge > 0 }

// policyOf is the strictest of what an operation selects, skipped or not. A field that returns
// objects has the policy that it says itself, or else its type; one that returns plain values
// its own, or that of the object that it is in. What says nothing is private, and so is what
// is in an object that is. Whatever asks for the schema, or changes something, isn't kept.
func policyOf(schema *ast.Schema, operation *ast.OperationDefinition) Policy {
	if operation.Operation != ast.Query {
		return Policy{}
	}
	c := caching{schema: schema}
	c.walk(operation.SelectionSet, "", Policy{})
	return c.strictest
}

type caching struct {
	schema    *ast.Schema
	strictest Policy
	begun     bool // something has been restricted
}

func (c *caching) restrict(p Policy) {
	if !c.begun {
		c.strictest, c.begun = p, true
		return
	}
	s := &c.strictest
	s.Public, s.MaxAge, s.Stale = s.Public && p.Public, min(s.MaxAge, p.MaxAge), min(s.Stale, p.Stale)
}

// walk goes through what is selected of an object that was declared as a type, and whose own
// policy is parent's. Documents are small with their fragments written out: see measure.
func (c *caching) walk(selected ast.SelectionSet, declared string, parent Policy) {
	for _, s := range selected {
		switch s := s.(type) {
		case *ast.Field:
			c.field(s, declared, parent)
		case *ast.InlineFragment:
			c.walk(s.SelectionSet, declared, parent)
		case *ast.FragmentSpread:
			c.walk(s.Definition.SelectionSet, declared, parent)
		}
	}
}

func (c *caching) field(f *ast.Field, declared string, parent Policy) {
	switch f.Name {
	case "__typename":
		return
	case "__schema", "__type":
		c.restrict(Policy{})
		return
	}
	// What it is in.
	var p Policy
	switch {
	case said(&p, f.ObjectDefinition.Directives):
	case f.ObjectDefinition.Name == declared:
		p = parent
	}
	// An object in it has a policy of its own, unless what it is in isn't public.
	returned := c.schema.Types[f.Definition.Type.Name()]
	if returned.IsCompositeType() && (p.Public || f.ObjectDefinition == c.schema.Query) {
		p = Policy{}
		said(&p, returned.Directives)
	}
	said(&p, f.Definition.Directives)
	c.restrict(p)
	c.walk(f.SelectionSet, returned.Name, p)
}

// said overwrites in p what @cacheControl says among directives, if it is there.
func said(p *Policy, directives ast.DirectiveList) bool {
	d := directives.ForName("cacheControl")
	if d == nil {
		return false
	}
	if a := d.Arguments.ForName("scope"); a != nil {
		p.Public = a.Value.Raw == "PUBLIC"
	}
	for name, to := range map[string]*time.Duration{"maxAge": &p.MaxAge, "staleWhileRevalidate": &p.Stale} {
		if a := d.Arguments.ForName(name); a != nil {
			seconds, _ := strconv.Atoi(a.Value.Raw) // the schema was validated
			*to = time.Duration(seconds) * time.Second
		}
	}
	return true
}
