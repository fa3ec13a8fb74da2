package document

// Fields with the same response name must be mergeable into one field: the specification's
// "Field Selection Merging" (section 5.3.2), which refuses `{ x: title x: slug }`.
//
// Compared pair by pair, as in gqlparser's rule, 5,000 fields of one name are twelve million
// pairs, and a chain of fragments multiplies them. checkOverlaps instead goes down the tree of
// responses once for shapes and once for meanings, each time with all fields of one name
// together, and counts its steps.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"stoa/gateway/refusal"
)

// overlapChecker walks a valid document's selections as the answer will have them.
type overlapChecker struct {
	schema   *ast.Schema
	steps    int // that are left
	conflict error
}

// checkOverlaps refuses a document with conflicting fields, or with fields that take more steps
// to compare. All other rules of validation must have passed.
func checkOverlaps(document *ast.QueryDocument, schema *ast.Schema, steps int) error {
	m := &overlapChecker{schema: schema, steps: steps}
	for _, operation := range document.Operations {
		root := []ast.SelectionSet{operation.SelectionSet}
		m.shapes(root)
		m.meanings(root)
	}
	return m.conflict
}

// shapes checks that all fields of one name have one shape, so that a client can
// read the answer without knowing the type of the object it belongs to.
func (m *overlapChecker) shapes(sets []ast.SelectionSet) {
	for _, fields := range m.byName(sets) {
		for _, field := range fields[1:] {
			if !m.sameShape(fields[0].Definition.Type, field.Definition.Type) {
				m.refuse(fields[0], field, "they return %s and %s", fields[0].Definition.Type, field.Definition.Type)
			}
		}
		m.shapes(below(fields))
	}
}

// meanings checks that fields of possibly one object are the same field with the same
// arguments. Two fields of different object types never meet.
func (m *overlapChecker) meanings(sets []ast.SelectionSet) {
	for _, fields := range m.byName(sets) {
		for _, together := range mayMeet(fields) {
			for _, field := range together[1:] {
				if together[0].Name != field.Name {
					m.refuse(together[0], field, "they are the different fields %s and %s", together[0].Name, field.Name)
				} else if !m.sameArguments(together[0].Arguments, field.Arguments) {
					m.refuse(together[0], field, "they have different arguments")
				}
			}
			m.meanings(below(together))
		}
	}
}

func (m *overlapChecker) refuse(a, b *ast.Field, format string, args ...any) {
	if m.conflict != nil {
		return
	}
	why := refusal.Clip(fmt.Sprintf(format, args...))
	m.conflict = refusal.New(refusal.ValidationFailed, "fields %q conflict: %s; use different aliases to get both", refusal.ClipName(a.Alias), why).At(a.Position).At(b.Position)
}

// byName groups the fields of sets, including those of their fragments, by response name, in
// the order of the document. It returns nothing once there is a conflict or no step left, to
// end every walk.
func (m *overlapChecker) byName(sets []ast.SelectionSet) [][]*ast.Field {
	if m.conflict != nil {
		return nil
	}
	var groups [][]*ast.Field
	at := map[string]int{}
	visited := map[string]bool{}
	var collect func(ast.SelectionSet)
	collect = func(set ast.SelectionSet) {
		m.steps -= len(set)
		for _, selection := range set {
			switch s := selection.(type) {
			case *ast.Field:
				i, ok := at[s.Alias]
				if !ok {
					i = len(groups)
					at[s.Alias] = i
					groups = append(groups, nil)
				}
				groups[i] = append(groups[i], s)
			case *ast.InlineFragment:
				collect(s.SelectionSet)
			case *ast.FragmentSpread:
				if !visited[s.Name] {
					visited[s.Name] = true
					collect(s.Definition.SelectionSet)
				}
			}
		}
	}
	for _, set := range sets {
		collect(set)
	}
	if m.steps < 0 {
		m.conflict = refusal.New(refusal.DocumentTooLarge, "the document's fields are too many to compare: select fewer under different types and names")
		return nil
	}
	return groups
}

// below returns the selection sets of fields.
func below(fields []*ast.Field) []ast.SelectionSet {
	var sets []ast.SelectionSet
	for _, field := range fields {
		if len(field.SelectionSet) > 0 {
			sets = append(sets, field.SelectionSet)
		}
	}
	return sets
}

// mayMeet groups fields that may belong to one object: for each object type its own and those
// of interfaces and unions, or only the latter if there are no others.
func mayMeet(fields []*ast.Field) [][]*ast.Field {
	if len(fields) == 1 {
		return [][]*ast.Field{fields}
	}
	var anywhere []*ast.Field
	var parts [][]*ast.Field
	at := map[string]int{}
	for _, field := range fields {
		parent := field.ObjectDefinition
		if parent.Kind != ast.Object {
			anywhere = append(anywhere, field)
			continue
		}
		i, ok := at[parent.Name]
		if !ok {
			i = len(parts)
			at[parent.Name] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], field)
	}
	if len(parts) == 0 {
		return [][]*ast.Field{anywhere}
	}
	for i := range parts {
		parts[i] = append(parts[i], anywhere...)
	}
	return parts
}

// sameShape says whether values of the two types look alike: the same lists and nulls, and
// the same leaf, or an object each: their fields are compared later.
func (m *overlapChecker) sameShape(a, b *ast.Type) bool {
	if a.NonNull != b.NonNull || (a.Elem == nil) != (b.Elem == nil) {
		return false
	}
	if a.Elem != nil {
		return m.sameShape(a.Elem, b.Elem)
	}
	if m.schema.Types[a.NamedType].IsLeafType() || m.schema.Types[b.NamedType].IsLeafType() {
		return a.NamedType == b.NamedType
	}
	return true
}

func (m *overlapChecker) sameArguments(a, b ast.ArgumentList) bool {
	if len(a) != len(b) {
		return false
	}
	for _, argument := range a {
		other := b.ForName(argument.Name)
		if other == nil || !m.sameValue(argument.Value, other.Value) {
			return false
		}
	}
	return true
}

// sameValue compares literals; the members of an object may come in any order.
func (m *overlapChecker) sameValue(a, b *ast.Value) bool {
	m.steps--
	if a == b {
		return true
	}
	if a.Kind != b.Kind || a.Raw != b.Raw || len(a.Children) != len(b.Children) {
		return false
	}
	x, y := a.Children, b.Children
	if a.Kind == ast.ObjectValue {
		x, y = sorted(x), sorted(y)
	}
	for i := range x {
		if x[i].Name != y[i].Name || !m.sameValue(x[i].Value, y[i].Value) {
			return false
		}
	}
	return true
}

func sorted(members ast.ChildValueList) ast.ChildValueList {
	list := slices.Clone(members)
	slices.SortFunc(list, func(a, b *ast.ChildValue) int { return strings.Compare(a.Name, b.Name) })
	return list
}
