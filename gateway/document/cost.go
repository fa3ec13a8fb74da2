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

// plan is the cost of an operation, but for its variables. It is never changed.
type plan struct {
	sources []source
	steps   []step // each refers to earlier ones only
	whole   amount
}

// amount is a sum: a number, and the value of a step, noStep for none.
type amount struct {
	fixed int64
	step  int
}

const noStep = -1

// step is a sum of terms, and a number.
type step struct {
	fixed int64
	terms []term
}

// term is a product of a number and, if they are present, the value of a source and that of a
// step.
type term struct {
	factor       int64
	source, step int
}

// source is a value of variables: the number of elements, or the weight of an input.
type source struct {
	least     int64 // the value without them; 0 for none
	assumed   int64 // when there is nothing else
	variables []sourceVariable
	weigh     *ast.Type // of the one variable, for a weight instead of a size
}

// sourceVariable is a variable and its default: of a size a number, of a weight too.
type sourceVariable struct {
	name     string
	fallback int64
	defaults bool
}

// cost is the cost of the operation with these variables, exact up to maxCounted. It takes
// time in proportion to the plan, and that is no longer than the document.
func (p *plan) cost(weights *costWeights, variables map[string]any) int64 {
	if len(p.steps) == 0 {
		return p.whole.fixed
	}
	var room [64]int64
	values := room[:0]
	for i := range p.sources {
		values = append(values, p.sources[i].value(weights, variables))
	}
	steps := len(values)
	for i := range p.steps {
		sum := p.steps[i].fixed
		for _, term := range p.steps[i].terms {
			value := term.factor
			if term.source != noStep {
				value = multiply(value, values[term.source])
			}
			if term.step != noStep {
				value = multiply(value, values[steps+term.step])
			}
			sum = min(sum+value, maxCounted)
		}
		values = append(values, sum)
	}
	if p.whole.step == noStep {
		return p.whole.fixed
	}
	return min(p.whole.fixed+values[steps+p.whole.step], maxCounted)
}

func multiply(a, b int64) int64 {
	if a > 0 && b > maxCounted/a {
		return maxCounted
	}
	return a * b
}

func (s *source) value(weights *costWeights, variables map[string]any) int64 {
	if s.weigh != nil {
		v := s.variables[0]
		value, sent := variables[v.name]
		if !sent {
			return v.fallback
		}
		return weights.inputWeight(s.weigh, value)
	}
	n := s.least
	for _, v := range s.variables {
		value, sent := variables[v.name]
		if sent {
			n = max(n, lengthOf(value))
		} else if v.defaults {
			n = max(n, v.fallback)
		}
	}
	if n == 0 {
		n = s.assumed
	}
	return clampSize(n)
}

func clampSize(n int64) int64 { return min(max(n, 1), longestPage) }

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
	bySource  map[string]int   // sources that are the same
}

// sized is a selection: its cost once, and its cost for each element of a list with a
// size from above.
type sized struct{ once, each amount }

// compile makes the plan of an operation of a valid document. It looks at each fragment once
// for each combination of sizes that its fields get from above; the schema has very few of
// these.
func compile(weights *costWeights, operation *ast.OperationDefinition) *plan {
	c := &compiler{weights: weights, operation: operation, plan: &plan{}, fragments: map[string]sized{}, bySource: map[string]int{}}
	c.plan.whole = c.set(operation.SelectionSet, nil, "").once
	return c.plan
}

// sum is an amount in the making.
type sum struct{ step }

func (s *sum) add(a amount) { s.addTimes(1, noStep, a) }

// addTimes adds a as often as factor and the source say.
func (s *sum) addTimes(factor int64, source int, a amount) {
	if a.fixed != 0 {
		if source == noStep {
			s.fixed = min(s.fixed+multiply(factor, a.fixed), maxCounted)
		} else {
			s.terms = append(s.terms, term{multiply(factor, a.fixed), source, noStep})
		}
	}
	if a.step != noStep {
		s.terms = append(s.terms, term{factor, source, a.step})
	}
}

// amount ends s.
func (c *compiler) amount(s sum) amount {
	if len(s.terms) == 0 {
		return amount{s.fixed, noStep}
	}
	c.plan.steps = append(c.plan.steps, s.step)
	return amount{0, len(c.plan.steps) - 1}
}

// set compiles a selection under a field. fromAbove are the field's sizedFields (@listSize), such as
// nodes and edges: their length is an argument of the field.
func (c *compiler) set(set ast.SelectionSet, fromAbove []string, key string) sized {
	var once, each sum
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			into, cost := &once, c.weights.fields[s.Definition]
			if slices.Contains(fromAbove, s.Name) {
				into = &each
			}
			c.field(into, s, cost, into == &each)
		case *ast.InlineFragment:
			below := c.set(s.SelectionSet, fromAbove, key)
			once.add(below.once)
			each.add(below.each)
		case *ast.FragmentSpread:
			name := s.Name + " " + key
			below, known := c.fragments[name]
			if !known {
				below = c.set(s.Definition.SelectionSet, fromAbove, key)
				c.fragments[name] = below
			}
			once.add(below.once)
			each.add(below.each)
		}
	}
	return sized{c.amount(once), c.amount(each)}
}

// field adds the cost of f; ofOne, for one of its elements.
func (c *compiler) field(into *sum, f *ast.Field, cost *fieldCost, ofOne bool) {
	switch {
	case f.Name == "__schema":
		into.fixed += schemaCost
		return
	case f.Name == "__type":
		into.fixed += typeCost
		return
	case cost == nil: // __typename
		return
	}
	for _, argument := range f.Arguments {
		definition := f.Definition.Arguments.ForName(argument.Name)
		into.fixed += c.weights.arguments[definition]
		c.input(into, definition.Type, argument.Value)
	}
	below := c.set(f.SelectionSet, cost.sized, cost.sizedBy)
	here := amount{cost.weight + below.once.fixed, below.once.step}
	switch {
	case ofOne:
		into.add(here)
		into.add(below.each)
	case !cost.list:
		into.add(here)
	case len(cost.sized) > 0:
		into.add(here)
		into.addTimes(1, noStep, c.sizes(f, cost, below.each))
	default:
		into.addTimes(1, noStep, c.sizes(f, cost, here))
	}
}

// sizes is a, as often as f has elements.
func (c *compiler) sizes(f *ast.Field, cost *fieldCost, a amount) amount {
	if a == (amount{0, noStep}) {
		return a
	}
	s := source{assumed: cost.assumed}
	for _, name := range cost.slicing {
		value := f.Definition.Arguments.ForName(name).DefaultValue
		if argument := f.Arguments.ForName(name); argument != nil {
			value = argument.Value
		}
		if value == nil {
			continue
		}
		if value.Kind != ast.Variable {
			s.least = max(s.least, literalLength(value))
			continue
		}
		v := sourceVariable{name: value.Raw}
		if d := c.operation.VariableDefinitions.ForName(value.Raw); d != nil && d.DefaultValue != nil {
			v.fallback, v.defaults = literalLength(d.DefaultValue), true
		} else if standard := f.Definition.Arguments.ForName(name).DefaultValue; standard != nil {
			v.fallback, v.defaults = literalLength(standard), true
		}
		s.variables = append(s.variables, v)
	}
	var all sum
	if len(s.variables) == 0 {
		all.addTimes(s.value(c.weights, nil), noStep, a)
	} else {
		all.addTimes(1, c.source(s), a)
	}
	return c.amount(all)
}

// source returns the number of s among the plan's.
func (c *compiler) source(s source) int {
	key := fmt.Sprint(s.least, s.assumed, s.variables, s.weigh)
	if i, known := c.bySource[key]; known {
		return i
	}
	c.plan.sources = append(c.plan.sources, s)
	c.bySource[key] = len(c.plan.sources) - 1
	return len(c.plan.sources) - 1
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

// input adds the weight of the fields in an argument's value.
func (c *compiler) input(into *sum, t *ast.Type, value *ast.Value) {
	if !c.weights.weighted[t.Name()] {
		return
	}
	switch value.Kind {
	case ast.Variable:
		v := sourceVariable{name: value.Raw}
		if d := c.operation.VariableDefinitions.ForName(value.Raw); d != nil && d.DefaultValue != nil {
			if standard, err := d.DefaultValue.Value(nil); err == nil {
				v.fallback = c.weights.inputWeight(t, standard)
			}
		}
		into.terms = append(into.terms, term{1, c.source(source{weigh: t, variables: []sourceVariable{v}}), noStep})
	case ast.ListValue:
		for _, element := range value.Children {
			c.input(into, t, element.Value)
		}
	case ast.ObjectValue:
		for _, member := range value.Children {
			field := c.weights.schema.Types[t.Name()].Fields.ForName(member.Name)
			if field != nil && member.Value.Kind != ast.NullValue {
				into.fixed += c.weights.inputs[field]
				c.input(into, field.Type, member.Value)
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
