package gateway

// How long an answer may be kept, and whether by others than who asked: what @cacheControl
// says of the fields and types that a query selects (policyOf). Whether an answer was made
// without looking at who asks is another question, which access answers.

import (
	"strconv"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
)

// policy is what the schema says of keeping an answer. The zero policy keeps none.
type policy struct {
	public bool          // everybody may have it
	maxAge time.Duration // for how long it is new
	stale  time.Duration // for how long after that it may be given while a newer one is made
}

// keeps says whether an answer may be kept for others at all.
func (p policy) keeps() bool { return p.public && p.maxAge > 0 }

// policyOf is the strictest of what an operation selects, skipped or not. A field that returns
// objects has the policy that it says itself, or else its type; one that returns plain values
// its own, or that of the object that it is in. What says nothing is private, and so is what
// is in an object that is. Whatever asks for the schema, or changes something, isn't kept.
func policyOf(schema *ast.Schema, operation *ast.OperationDefinition) policy {
	if operation.Operation != ast.Query {
		return policy{}
	}
	c := caching{schema: schema}
	c.walk(operation.SelectionSet, "", policy{})
	return c.strictest
}

type caching struct {
	schema    *ast.Schema
	strictest policy
	begun     bool // something has been restricted
}

func (c *caching) restrict(p policy) {
	if !c.begun {
		c.strictest, c.begun = p, true
		return
	}
	s := &c.strictest
	s.public, s.maxAge, s.stale = s.public && p.public, min(s.maxAge, p.maxAge), min(s.stale, p.stale)
}

// walk goes through what is selected of an object that was declared as a type, and whose own
// policy is parent's. Documents are small with their fragments written out: see measure.
func (c *caching) walk(selected ast.SelectionSet, declared string, parent policy) {
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

func (c *caching) field(f *ast.Field, declared string, parent policy) {
	switch f.Name {
	case "__typename":
		return
	case "__schema", "__type":
		c.restrict(policy{})
		return
	}
	// What it is in.
	var p policy
	switch {
	case said(&p, f.ObjectDefinition.Directives):
	case f.ObjectDefinition.Name == declared:
		p = parent
	}
	// An object in it has a policy of its own, unless what it is in isn't public.
	returned := c.schema.Types[f.Definition.Type.Name()]
	if returned.IsCompositeType() && (p.public || f.ObjectDefinition == c.schema.Query) {
		p = policy{}
		said(&p, returned.Directives)
	}
	said(&p, f.Definition.Directives)
	c.restrict(p)
	c.walk(f.SelectionSet, returned.Name, p)
}

// said overwrites in p what @cacheControl says among directives, if it is there.
func said(p *policy, directives ast.DirectiveList) bool {
	d := directives.ForName("cacheControl")
	if d == nil {
		return false
	}
	if a := d.Arguments.ForName("scope"); a != nil {
		p.public = a.Value.Raw == "PUBLIC"
	}
	for name, to := range map[string]*time.Duration{"maxAge": &p.maxAge, "staleWhileRevalidate": &p.stale} {
		if a := d.Arguments.ForName(name); a != nil {
			seconds, _ := strconv.Atoi(a.Value.Raw) // the schema was validated
			*to = time.Duration(seconds) * time.Second
		}
	}
	return true
}
