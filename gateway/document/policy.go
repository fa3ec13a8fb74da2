package document

// How long a response may be cached, and whether for other clients, by the @cacheControl
// of the fields and types that a query selects (policyOf). Whether an answer was made
// without looking at the viewer is another question, for package access.

import (
	"strconv"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
)

// Policy is the rule of the schema for caching a response. The zero policy caches none.
type Policy struct {
	Public bool          // everybody may have it
	MaxAge time.Duration // for how long it is new
	Stale  time.Duration // for how long after that it may be given while a newer one is made
}

// Keeps says whether a response may be cached for others at all.
func (p Policy) Keeps() bool { return p.Public && p.MaxAge > 0 }

// policyOf is the strictest policy of all that an operation selects, skipped or not. A field that returns
// objects has the policy that it says itself, or else its type; one that returns plain values
// its own, or that of the object that it is in. A type without a policy is private, and so is a field
// of a private object. A response with the schema, and that of a mutation, isn't cached.
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

// walk goes through the selections of an object. declared is its declared type, and parent its
// policy. Documents are small even with their fragments expanded: see measure.
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
	// The policy of its object.
	var p Policy
	switch {
	case said(&p, f.ObjectDefinition.Directives):
	case f.ObjectDefinition.Name == declared:
		p = parent
	}
	// A nested object uses its type's policy, unless its parent is private.
	returned := c.schema.Types[f.Definition.Type.Name()]
	if returned.IsCompositeType() && (p.Public || f.ObjectDefinition == c.schema.Query) {
		p = Policy{}
		said(&p, returned.Directives)
	}
	said(&p, f.Definition.Directives)
	c.restrict(p)
	c.walk(f.SelectionSet, returned.Name, p)
}

// said overwrites p with the @cacheControl among directives, if it is there.
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
