package document

// Variables: the values from a client, checked against the types that the operation declares
// (coerceVariables), according to the specification's "Coercing Variable Values" (section
// 6.1.2).
//
// gqlgen's own check accepts a string for an Int, a number for a String and an enum value in
// any letter case. Such values would fail in the resolver and be logged as our fault. Numbers
// stay json.Number, so that none loses a digit.

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
)

// coerceVariables returns the values of operation's variables. Undeclared ones are left out,
// and so are missing ones; the executor gives these their defaults.
func coerceVariables(schema *ast.Schema, operation *ast.OperationDefinition, required map[string]bool, sent map[string]any) (map[string]any, error) {
	values := make(map[string]any, len(operation.VariableDefinitions))
	for _, variable := range operation.VariableDefinitions {
		name := variable.Variable
		value, ok := sent[name]
		if !ok {
			if variable.Type.NonNull && variable.DefaultValue == nil {
				return nil, badVariable(variable, "$"+name, "is missing, and %s needs a value", variable.Type)
			}
			continue
		}
		if value == nil && required[name] {
			return nil, badVariable(variable, "$"+name, "must not be null: the document uses it where null is not allowed")
		}
		coerced, wrong := coerce(schema, variable.Type, value, "$"+name)
		if wrong != nil {
			return nil, badVariable(variable, wrong.path, "%s", wrong.reason)
		}
		values[name] = coerced
	}
	return values, nil
}

func badVariable(variable *ast.VariableDefinition, path, format string, args ...any) error {
	return refusal.New(refusal.ValidationFailed, "variable %s %s", path, fmt.Sprintf(format, args...)).At(variable.Position)
}

// misfit is an error in a variable's value, and its path.
type misfit struct{ path, reason string }

func misfitf(path, format string, args ...any) *misfit {
	return &misfit{path, fmt.Sprintf(format, args...)}
}

// coerce returns value as its type has it. Its recursion is as deep as the value, and
// envelope.MaxJSONNesting bounds that.
func coerce(schema *ast.Schema, t *ast.Type, value any, path string) (any, *misfit) {
	if value == nil {
		if t.NonNull {
			return nil, misfitf(path, "is null, and %s takes none", t)
		}
		return nil, nil // null is a value
	}
	if t.Elem != nil {
		return coerceList(schema, t, value, path)
	}
	definition := schema.Types[t.NamedType]
	switch definition.Kind {
	case ast.Enum:
		return coerceEnum(definition, value, path)
	case ast.InputObject:
		return coerceObject(schema, definition, value, path)
	default:
		return coerceScalar(t.NamedType, value, path)
	}
}

// coerceList takes a single value for a list of one, as the specification does.
func coerceList(schema *ast.Schema, t *ast.Type, value any, path string) (any, *misfit) {
	list, ok := value.([]any)
	if !ok {
		element, wrong := coerce(schema, t.Elem, value, path)
		return []any{element}, wrong
	}
	for i, element := range list {
		coerced, wrong := coerce(schema, t.Elem, element, path+"["+strconv.Itoa(i)+"]")
		if wrong != nil {
			return nil, wrong
		}
		list[i] = coerced
	}
	return list, nil
}

func coerceEnum(definition *ast.Definition, value any, path string) (any, *misfit) {
	name, ok := value.(string)
	if !ok {
		return nil, misfitf(path, "must be one of %s as a string, not %s", definition.Name, envelope.KindOf(value))
	}
	if definition.EnumValues.ForName(name) == nil {
		return nil, misfitf(path, "is %q, which %s doesn't have", refusal.ClipName(name), definition.Name)
	}
	return name, nil
}

func coerceObject(schema *ast.Schema, definition *ast.Definition, value any, path string) (any, *misfit) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, misfitf(path, "must be an object, %s, not %s", definition.Name, envelope.KindOf(value))
	}
	found := 0
	for _, field := range definition.Fields {
		member, ok := object[field.Name]
		if !ok {
			if field.Type.NonNull && field.DefaultValue == nil {
				return nil, misfitf(path+"."+field.Name, "is missing, and %s needs a value", field.Type)
			}
			continue
		}
		found++
		coerced, wrong := coerce(schema, field.Type, member, path+"."+field.Name)
		if wrong != nil {
			return nil, wrong
		}
		object[field.Name] = coerced
	}
	if found < len(object) {
		for name := range object {
			if definition.Fields.ForName(name) == nil {
				return nil, misfitf(path, "has %q, which %s doesn't have", refusal.ClipName(name), definition.Name)
			}
		}
	}
	if definition.Directives.ForName("oneOf") != nil {
		for _, member := range object {
			if len(object) == 1 && member != nil {
				return object, nil
			}
		}
		return nil, misfitf(path, "must have exactly one member of %s, and that not null", definition.Name)
	}
	return object, nil
}

// coerceScalar holds value against the specification's five scalars. Those of the schema's
// own check themselves when they are read.
func coerceScalar(name string, value any, path string) (any, *misfit) {
	if _, isFile := value.(graphql.Upload); isFile != (name == "Upload") {
		if isFile {
			return nil, misfitf(path, "is a file, where %s is taken", name)
		}
		return nil, misfitf(path, "must be a file, sent as multipart/form-data, and null in the variables")
	}
	number, isNumber := value.(json.Number)
	switch name {
	case "Int":
		if isNumber {
			if i, ok := wholeNumber(number); ok && i >= math.MinInt32 && i <= math.MaxInt32 {
				return json.Number(strconv.FormatInt(i, 10)), nil
			}
		}
		return nil, misfitf(path, "must be a whole number of 32 bits, not %s", envelope.KindOf(value))
	case "Float":
		if isNumber {
			if _, err := number.Float64(); err == nil {
				return value, nil
			}
		}
		return nil, misfitf(path, "must be a number of 64 bits, not %s", envelope.KindOf(value))
	case "String":
		if _, ok := value.(string); !ok {
			return nil, misfitf(path, "must be a string, not %s", envelope.KindOf(value))
		}
	case "Boolean":
		if _, ok := value.(bool); !ok {
			return nil, misfitf(path, "must be true or false, not %s", envelope.KindOf(value))
		}
	case "ID":
		if i, ok := wholeNumber(number); isNumber && ok {
			return strconv.FormatInt(i, 10), nil
		}
		if _, ok := value.(string); !ok {
			return nil, misfitf(path, "must be a string, not %s", envelope.KindOf(value))
		}
	}
	return value, nil
}

// wholeNumber reads n, also with a fraction or exponent if its value is whole: some encoders
// write 5.0 for 5.
func wholeNumber(n json.Number) (int64, bool) {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i, true
	}
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}
