package document

// The cost of an operation, by the schema's @cost and @listSize (GraphQL Cost Directives, draft
// of 2021): newCostWeights reads them once, compile makes a plan of each operation once for its
// document, and plan.cost puts the variables in. That is all that is left to do for a document
// that is known.
//
// One unit is about one object in an answer. A list costs as much as its elements, times how
// many it may have: by its slicing arguments, or as many as it is assumed to have. So it is
// known before anything runs, and bounds the memory of the answer as well as the work.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

const (
	// defaultCost is an article with three levels of comments, twenty under each, or twice
	// a hundred articles with a hundred comments each. An object with a few fields takes some
	// 500 bytes while it is written, so that the largest answer takes 10 MB at a time.
	defaultCost = 20_000

	// The default weights of objects and scalars are the specification's. A mutation's field
	// weighs ten, as in Apollo: it writes, each key twice.
	objectWeight   = 1
	mutationWeight = 10

	// schemaCost is the cost of __schema, and typeCost of __type: TestAttacks measures them. The
	// fields below aren't counted; measure bounds how they nest.
	schemaCost = 10_000
	typeCost   = 100

	// unpagedLength is the assumed length of a list that the schema says nothing about, such
	// as userErrors.
	unpagedLength = 5

	// longestPage bounds counted sizes: resolvers refuse a longer page.
	longestPage = 100

	// maxCounted bounds sums, far above any limit and far below an overflow.
	maxCounted = 1 << 40
)

// costWeights are the weights and sizes in the directives of a schema.
type costWeights struct {
	schema    *ast.Schema
	fields    map[*ast.FieldDefinition]*fieldCost
	arguments map[*ast.ArgumentDefinition]int64
	inputs    map[*ast.FieldDefinition]int64 // fields of input objects
	weighted  map[string]bool                // input objects with a weight in them, at any depth
}

// fieldCost is the cost of one field.
type fieldCost struct {
	weight  int64    // of it, or of each of its elements
	list    bool     // there is a size
	slicing []string // arguments that say how many there are
	assumed int64    // how many there are when none does
	sized   []string // the fields below that have the size; the field's own when there are none
	sizedBy string   // sized as a key
}

// newCostWeights reads the directives of schema, or returns an error that names the wrong one.
func newCostWeights(schema *ast.Schema) (*costWeights, error) {
	p := &costWeights{
		schema: schema, fields: map[*ast.FieldDefinition]*fieldCost{}, arguments: map[*ast.ArgumentDefinition]int64{},
		inputs: map[*ast.FieldDefinition]int64{}, weighted: map[string]bool{},
	}
	for _, definition := range schema.Types {
		for _, field := range definition.Fields {
			where := definition.Name + "." + field.Name
			var err error
			if definition.Kind == ast.InputObject {
				p.inputs[field], _, err = weightOf(field.Directives)
			} else {
				p.fields[field], err = p.fieldCost(definition, field)
			}
			if err != nil {
				return nil, fmt.Errorf("gateway: %s: %w", where, err)
			}
			for _, argument := range field.Arguments {
				if p.arguments[argument], _, err = weightOf(argument.Directives); err != nil {
					return nil, fmt.Errorf("gateway: %s(%s:): %w", where, argument.Name, err)
				}
			}
		}
	}
	for changed := true; changed; { // until nothing leads to more
		changed = false
		for _, definition := range schema.Types {
			if definition.Kind != ast.InputObject || p.weighted[definition.Name] {
				continue
			}
			for _, field := range definition.Fields {
				if p.inputs[field] > 0 || p.weighted[field.Type.Name()] {
					p.weighted[definition.Name], changed = true, true
				}
			}
		}
	}
	return p, nil
}

func (p *costWeights) fieldCost(parent *ast.Definition, field *ast.FieldDefinition) (*fieldCost, error) {
	made := &fieldCost{}
	var given bool
	var err error
	made.weight, given, err = weightOf(field.Directives)
	if err == nil && !given {
		made.weight, err = p.typeWeight(field.Type.Name(), parent == p.schema.Mutation)
	}
	if err != nil {
		return nil, err
	}
	size := field.Directives.ForName("listSize")
	made.list = field.Type.Elem != nil || size != nil
	made.assumed = unpagedLength
	if size == nil {
		return made, nil
	}
	arguments := size.ArgumentMap(nil)
	if n, ok := arguments["assumedSize"].(int64); ok {
		made.assumed = n
	}
	made.slicing, made.sized = wordsOf(arguments["slicingArguments"]), wordsOf(arguments["sizedFields"])
	made.sizedBy = strings.Join(made.sized, " ")
	if len(made.slicing) > 1 && arguments["requireOneSlicingArgument"] != false {
		return nil, fmt.Errorf("@listSize: requireOneSlicingArgument must be false: no page needs a size here")
	}
	for _, name := range made.slicing {
		if field.Arguments.ForName(name) == nil {
			return nil, fmt.Errorf("@listSize: there is no argument %s", name)
		}
	}
	below := p.schema.Types[field.Type.Name()]
	for _, name := range made.sized {
		if below.Fields.ForName(name) == nil {
			return nil, fmt.Errorf("@listSize: %s has no field %s", below.Name, name)
		}
	}
	return made, nil
}

// typeWeight is the weight of one thing of a type; of an interface or a union, that of the heaviest.
func (p *costWeights) typeWeight(name string, mutation bool) (int64, error) {
	definition := p.schema.Types[name]
	weight, given, err := weightOf(definition.Directives)
	switch {
	case err != nil || given:
		return weight, err
	case mutation:
		return mutationWeight, nil
	case definition.IsLeafType():
		return 0, nil
	case definition.IsAbstractType():
		for _, possible := range p.schema.PossibleTypes[name] {
			one, err := p.typeWeight(possible.Name, false)
			if err != nil {
				return 0, err
			}
			weight = max(weight, one)
		}
		return max(weight, objectWeight), nil
	default:
		return objectWeight, nil
	}
}

// weightOf reads @cost. Its weight is a string, for numbers of any kind; here it is a whole
// number that isn't negative.
func weightOf(list ast.DirectiveList) (weight int64, given bool, err error) {
	cost := list.ForName("cost")
	if cost == nil {
		return 0, false, nil
	}
	text, _ := cost.ArgumentMap(nil)["weight"].(string)
	weight, err = strconv.ParseInt(text, 10, 32)
	if err != nil || weight < 0 {
		return 0, true, fmt.Errorf("@cost: weight takes a whole number in quotes, such as \"5\"; it got %q", text)
	}
	return weight, true, nil
}

func wordsOf(value any) (words []string) {
	list, _ := value.([]any)
	for _, element := range list {
		if word, ok := element.(string); ok {
			words = append(words, word)
		}
	}
	return words
}

// plan is the cost of an operation, but for its variables: sums of which each refers to earlier ones
// only, the last being the whole. It is never changed.
type plan struct {
	inputs []input
	sums   []sum
}

// input is a number that variables decide: the size of a list, or the weight of an input object.
type input func(variables map[string]any) int64

// sum is a number, and parts.
type sum struct {
	fixed int64
	parts []part
}

// part is a number, times an input and times an earlier sum, by their indexes; none for neither.
type part struct {
	factor     int64
	input, sum int
}

const none = -1

// cost is the cost of the operation with these variables, exact up to maxCounted. It takes
// time in proportion to the plan, and that is no longer than the document.
func (p *plan) cost(variables map[string]any) int64 {
	var room [64]int64
	values := room[:0] // of the inputs, then of the sums
	for _, input := range p.inputs {
		values = append(values, input(variables))
	}
	for _, s := range p.sums {
		value := s.fixed
		for _, part := range s.parts {
			product := part.factor
			if part.input != none {
				product = multiply(product, values[part.input])
			}
			if part.sum != none {
				product = multiply(product, values[len(p.inputs)+part.sum])
			}
			value = min(value+product, maxCounted)
		}
		values = append(values, value)
	}
	return values[len(values)-1]
}

func multiply(a, b int64) int64 {
	if a > 0 && b > maxCounted/a {
		return maxCounted
	}
	return a * b
}

// lengthOf is the size that a slicing argument's value says: a number, or a list as long as it
// is (beyond the specification); 0 for none.
func lengthOf(value any) int64 {
	switch n := value.(type) {
	case int64:
		return max(n, 1)
	case json.Number:
		i, err := n.Int64()
		if err != nil {
			return longestPage // it is no size, and refused as such
		}
		return max(i, 1)
	case []any:
		return max(int64(len(n)), 1)
	default:
		return 0
	}
}

// inputWeight is the weight of the fields that an input has.
func (p *costWeights) inputWeight(t *ast.Type, value any) int64 {
	if !p.weighted[t.Name()] {
		return 0
	}
	var sum int64
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			sum = min(sum+p.inputWeight(t, element), maxCounted)
		}
	case map[string]any:
		for _, field := range p.schema.Types[t.Name()].Fields {
			if member, ok := value[field.Name]; ok && member != nil {
				sum = min(sum+p.inputs[field]+p.inputWeight(field.Type, member), maxCounted)
			}
		}
	}
	return sum
}

// compiler makes the plan of one operation.
type compiler struct {
	weights   *costWeights
	operation *ast.OperationDefinition
	plan      *plan
	fragments map[string]sized // by name, and by their fields that have a size from above
	inputs    map[string]int   // indexes, so that equal ones are computed once
}

// sized is a selection: its cost once, and its cost for each element of a list with a
// size from above. Both are a number, or refer to one sum of the plan.
type sized struct{ once, each sum }

// compile makes the plan of an operation of a valid document. It looks at each fragment once
// for each combination of sizes that its fields get from above; the schema has very few of
// these.
func compile(weights *costWeights, operation *ast.OperationDefinition) *plan {
	c := &compiler{weights: weights, operation: operation, plan: &plan{}, fragments: map[string]sized{}, inputs: map[string]int{}}
	whole := c.set(operation.SelectionSet, nil, "").once
	c.plan.sums = append(c.plan.sums, whole)
	return c.plan
}

// add adds s to sum, as often as factor and the input say. s is a number, or refers to one sum.
func (to *sum) add(factor int64, input int, s sum) {
	for _, p := range s.parts {
		to.parts = append(to.parts, part{factor, input, p.sum})
	}
	switch product := multiply(factor, s.fixed); {
	case product == 0:
	case input == none:
		to.fixed = min(to.fixed+product, maxCounted)
	default:
		to.parts = append(to.parts, part{product, input, none})
	}
}

// end puts s into the plan and returns a sum that refers to it, unless it is a number.
func (c *compiler) end(s sum) sum {
	if len(s.parts) == 0 {
		return s
	}
	c.plan.sums = append(c.plan.sums, s)
	return sum{parts: []part{{1, none, len(c.plan.sums) - 1}}}
}

// set compiles a selection under a field. fromAbove are the field's sizedFields (@listSize), such as
// nodes and edges: their length is an argument of the field. key names them in fragments.
func (c *compiler) set(set ast.SelectionSet, fromAbove []string, key string) sized {
	var once, each sum
	for _, selection := range set {
		var below sized
		switch s := selection.(type) {
		case *ast.Field:
			if slices.Contains(fromAbove, s.Name) {
				c.field(&each, s, true)
			} else {
				c.field(&once, s, false)
			}
		case *ast.InlineFragment:
			below = c.set(s.SelectionSet, fromAbove, key)
		case *ast.FragmentSpread:
			name, known := s.Name+" "+key, false
			if below, known = c.fragments[name]; !known {
				below = c.set(s.Definition.SelectionSet, fromAbove, key)
				c.fragments[name] = below
			}
		}
		once.add(1, none, below.once)
		each.add(1, none, below.each)
	}
	return sized{c.end(once), c.end(each)}
}

// field adds the cost of f; ofOne, for one of its elements.
func (c *compiler) field(to *sum, f *ast.Field, ofOne bool) {
	cost := c.weights.fields[f.Definition]
	switch {
	case f.Name == "__schema":
		to.fixed += schemaCost
		return
	case f.Name == "__type":
		to.fixed += typeCost
		return
	case cost == nil: // __typename
		return
	}
	for _, argument := range f.Arguments {
		definition := f.Definition.Arguments.ForName(argument.Name)
		to.fixed += c.weights.arguments[definition]
		c.argument(to, definition.Type, argument.Value)
	}
	below := c.set(f.SelectionSet, cost.sized, cost.sizedBy)
	here := sum{fixed: cost.weight}
	here.add(1, none, below.once)
	here = c.end(here)
	switch {
	case ofOne:
		to.add(1, none, here)
		to.add(1, none, below.each)
	case !cost.list:
		to.add(1, none, here)
	case len(cost.sized) > 0:
		to.add(1, none, here)
		c.elements(to, f, cost, below.each)
	default:
		c.elements(to, f, cost, here)
	}
}

// elements adds one, as often as f has elements.
func (c *compiler) elements(to *sum, f *ast.Field, cost *fieldCost, one sum) {
	least, assumed := int64(0), cost.assumed
	var variables []sizeVariable
	for _, name := range cost.slicing {
		standard := f.Definition.Arguments.ForName(name).DefaultValue
		value := standard
		if argument := f.Arguments.ForName(name); argument != nil {
			value = argument.Value
		}
		if value == nil {
			continue
		}
		if value.Kind != ast.Variable {
			least = max(least, literalLength(value))
			continue
		}
		if d := c.operation.VariableDefinitions.ForName(value.Raw); d != nil && d.DefaultValue != nil {
			standard = d.DefaultValue
		}
		v := sizeVariable{name: value.Raw}
		if standard != nil {
			v.standard = literalLength(standard)
		}
		variables = append(variables, v)
	}
	size := func(values map[string]any) int64 {
		n := least
		for _, v := range variables {
			if value, sent := values[v.name]; sent {
				n = max(n, lengthOf(value))
			} else {
				n = max(n, v.standard)
			}
		}
		return min(max(cmp.Or(n, assumed), 1), longestPage)
	}
	if len(variables) == 0 {
		to.add(size(nil), none, one)
	} else {
		to.add(1, c.input(fmt.Sprint("size ", least, assumed, variables), size), one)
	}
}

// sizeVariable is a variable that says a size, and the size without it; 0 for none.
type sizeVariable struct {
	name     string
	standard int64
}

// input returns the index of an input in the plan. Inputs of one key are equal.
func (c *compiler) input(key string, i input) int {
	at, known := c.inputs[key]
	if !known {
		at = len(c.plan.inputs)
		c.plan.inputs, c.inputs[key] = append(c.plan.inputs, i), at
	}
	return at
}

func literalLength(value *ast.Value) int64 {
	switch value.Kind {
	case ast.IntValue:
		n, err := strconv.ParseInt(value.Raw, 10, 64)
		if err != nil {
			return longestPage
		}
		return max(n, 1)
	case ast.ListValue:
		return max(int64(len(value.Children)), 1)
	case ast.NullValue:
		return 0
	default: // a list of one, as the specification coerces it
		return 1
	}
}

// argument adds the weight of the fields in an argument's value.
func (c *compiler) argument(to *sum, t *ast.Type, value *ast.Value) {
	if !c.weights.weighted[t.Name()] {
		return
	}
	switch value.Kind {
	case ast.Variable:
		var standard int64
		if d := c.operation.VariableDefinitions.ForName(value.Raw); d != nil && d.DefaultValue != nil {
			if v, err := d.DefaultValue.Value(nil); err == nil {
				standard = c.weights.inputWeight(t, v)
			}
		}
		weights, name := c.weights, value.Raw // a plan doesn't hold its compiler
		weight := c.input(fmt.Sprint("weight ", t, name), func(variables map[string]any) int64 {
			if v, sent := variables[name]; sent {
				return weights.inputWeight(t, v)
			}
			return standard
		})
		to.parts = append(to.parts, part{1, weight, none})
	case ast.ListValue:
		for _, element := range value.Children {
			c.argument(to, t, element.Value)
		}
	case ast.ObjectValue:
		for _, member := range value.Children {
			field := c.weights.schema.Types[t.Name()].Fields.ForName(member.Name)
			if field != nil && member.Value.Kind != ast.NullValue {
				to.fixed += c.weights.inputs[field]
				c.argument(to, field.Type, member.Value)
			}
		}
	}
}

func countless(cost int64) string {
	if cost >= maxCounted {
		return "countless units"
	}
	return strconv.FormatInt(cost, 10)
}
