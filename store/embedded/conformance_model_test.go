//go:build (linux || darwin || freebsd) && !stoa_noembedded

// A model of MongoDB's semantics, without indexes and without a server: order compares
// values, matches evaluates a filter, sorted, projected and updated do as their names say.
// The generated cases compare servers with it.
package embedded_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// missing is the value of an absent field. emptied is the key of an empty array, MongoDB's
// undefined: it is less than null.
type (
	missing struct{}
	emptied struct{}
)

// bracket is a type's place in MongoDB's order of types (manual, "Comparison/Sort Order").
// Only values of one bracket can be compared by $gt and the like.
func bracket(v any) int {
	switch v.(type) {
	case bson.MinKey:
		return 0
	case emptied:
		return 1
	case nil, bson.Null, missing:
		return 2
	case int32, int64, int, float64:
		return 3
	case string:
		return 4
	case bson.D:
		return 5
	case bson.A:
		return 6
	case bson.Binary:
		return 7
	case bson.ObjectID:
		return 8
	case bool:
		return 9
	case bson.DateTime:
		return 10
	case bson.Timestamp:
		return 11
	case bson.Regex:
		return 12
	case bson.MaxKey:
		return 13
	}
	panic(fmt.Sprintf("the model has no %T", v))
}

// order compares two values as sort, keys and uniqueness do.
func order(a, b any) int {
	if c := cmp.Compare(bracket(a), bracket(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case int32, int64, int, float64:
		return orderNumbers(a, b)
	case string:
		return strings.Compare(a, b.(string))
	case bson.D:
		return slices.CompareFunc(a, b.(bson.D), func(a, b bson.E) int {
			return cmp.Or(cmp.Compare(bracket(a.Value), bracket(b.Value)), strings.Compare(a.Key, b.Key), order(a.Value, b.Value))
		})
	case bson.A:
		return slices.CompareFunc(a, b.(bson.A), order)
	case bson.Binary:
		b := b.(bson.Binary)
		return cmp.Or(cmp.Compare(len(a.Data), len(b.Data)), cmp.Compare(a.Subtype, b.Subtype), bytes.Compare(a.Data, b.Data))
	case bson.ObjectID:
		b := b.(bson.ObjectID)
		return bytes.Compare(a[:], b[:])
	case bool:
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	case bson.DateTime:
		return cmp.Compare(a, b.(bson.DateTime))
	case bson.Timestamp:
		b := b.(bson.Timestamp)
		return cmp.Or(cmp.Compare(a.T, b.T), cmp.Compare(a.I, b.I))
	}
	return 0
}

// orderNumbers is exact: no integer is rounded. NaN is less than every number.
func orderNumbers(a, b any) int {
	exact := func(v any) (*big.Float, bool) {
		switch v := v.(type) {
		case int32:
			return new(big.Float).SetInt64(int64(v)), false
		case int64:
			return new(big.Float).SetInt64(v), false
		case int:
			return new(big.Float).SetInt64(int64(v)), false
		}
		if f := v.(float64); !math.IsNaN(f) {
			return big.NewFloat(f), false
		}
		return nil, true
	}
	x, xNaN := exact(a)
	y, yNaN := exact(b)
	if xNaN || yNaN {
		return cmp.Compare(fmt.Sprint(yNaN), fmt.Sprint(xNaN))
	}
	return x.Cmp(y)
}

func isNaN(v any) bool { f, ok := v.(float64); return ok && math.IsNaN(f) }

// field returns the value of a document's field, or missing.
func field(d bson.D, name string) any {
	for _, e := range d {
		if e.Key == name {
			return e.Value
		}
	}
	return missing{}
}

// candidates returns the values that a condition on the path tries. An array at the end of the
// path stands for its elements and itself. An array before the end stands for its documents
// and, for a numeric component, for the element at that position.
func candidates(v any, path []string) []any {
	d, ok := v.(bson.D)
	if !ok {
		return []any{missing{}}
	}
	value := field(d, path[0])
	array, isArray := value.(bson.A)
	switch {
	case len(path) == 1 && isArray:
		return append(slices.Clone([]any(array)), array)
	case len(path) == 1:
		return []any{value}
	case !isArray:
		return candidates(value, path[1:])
	}
	var out []any
	for i, element := range array {
		_, isDocument := element.(bson.D)
		if isDocument {
			out = append(out, candidates(element, path[1:])...)
		}
		if path[1] == strconv.Itoa(i) {
			if len(path) == 2 {
				out = append(out, element)
			} else if isDocument {
				out = append(out, candidates(element, path[2:])...)
			}
		}
	}
	return out
}

// compares tries one comparison operator on one candidate.
func compares(v any, operator string, operand any) bool {
	if bracket(v) != bracket(operand) {
		return false
	}
	c := order(v, operand)
	if c != 0 && (isNaN(v) || isNaN(operand)) {
		return false
	}
	switch operator {
	case "$eq":
		return c == 0
	case "$gt":
		return c > 0
	case "$gte":
		return c >= 0
	case "$lt":
		return c < 0
	case "$lte":
		return c <= 0
	}
	panic("the model has no " + operator)
}

// holds tries one operator on the values at a path.
func holds(d bson.D, path, operator string, operand any) bool {
	some := func(does func(any) bool) bool {
		return slices.ContainsFunc(candidates(d, strings.Split(path, ".")), does)
	}
	switch operator {
	case "$ne":
		return !holds(d, path, "$eq", operand)
	case "$nin":
		return !holds(d, path, "$in", operand)
	case "$in":
		return some(func(v any) bool {
			return slices.ContainsFunc(operand.(bson.A), func(o any) bool { return compares(v, "$eq", o) })
		})
	case "$exists":
		return operand.(bool) == some(func(v any) bool { return v != missing{} })
	}
	return some(func(v any) bool { return compares(v, operator, operand) })
}

func matches(d, filter bson.D) bool {
	for _, e := range filter {
		branch := func(f any) bool { return matches(d, f.(bson.D)) }
		conditions, isDocument := e.Value.(bson.D)
		switch {
		case e.Key == "$and":
			if slices.ContainsFunc(e.Value.(bson.A), func(f any) bool { return !branch(f) }) {
				return false
			}
		case e.Key == "$or":
			if !slices.ContainsFunc(e.Value.(bson.A), branch) {
				return false
			}
		case isDocument && len(conditions) > 0 && conditions[0].Key[0] == '$':
			for _, condition := range conditions {
				if !holds(d, e.Key, condition.Key, condition.Value) {
					return false
				}
			}
		case !holds(d, e.Key, "$eq", e.Value):
			return false
		}
	}
	return true
}

// keyValues returns the keys that one path of a document has in an index.
func keyValues(v any, path []string) []any {
	array, isArray := v.(bson.A)
	switch {
	case len(path) == 0 && isArray && len(array) == 0:
		return []any{emptied{}}
	case len(path) == 0 && isArray:
		return array
	case len(path) == 0:
		return []any{v}
	case isArray && len(array) == 0:
		return []any{missing{}}
	case isArray:
		var out []any
		for _, element := range array {
			if d, ok := element.(bson.D); ok {
				out = append(out, keyValues(field(d, path[0]), path[1:])...)
			} else {
				out = append(out, missing{})
			}
		}
		return out
	}
	d, ok := v.(bson.D)
	if !ok {
		return []any{missing{}}
	}
	return keyValues(field(d, path[0]), path[1:])
}

// indexKeys returns the keys that the document has in an index on the fields. Fields below
// one array take their values from one element.
func indexKeys(d bson.D, fields bson.D) [][]any {
	variants := []bson.D{d}
	for _, e := range fields {
		root, _, dotted := strings.Cut(e.Key, ".")
		array, _ := field(d, root).(bson.A)
		if !dotted || len(array) == 0 {
			continue
		}
		variants = nil
		for _, element := range array {
			variant := slices.Clone(d)
			for i := range variant {
				if variant[i].Key == root {
					variant[i].Value = bson.A{element}
				}
			}
			variants = append(variants, variant)
		}
		break
	}
	var all [][]any
	for _, variant := range variants {
		keys := [][]any{nil}
		for _, e := range fields {
			var longer [][]any
			for _, key := range keys {
				for _, v := range keyValues(variant, strings.Split(e.Key, ".")) {
					longer = append(longer, append(slices.Clone(key), v))
				}
			}
			keys = longer
		}
		all = append(all, keys...)
	}
	return all
}

// sortKey is the first of the keys, in the sort's own order.
func sortKey(d bson.D, by bson.D) []any {
	return slices.MinFunc(indexKeys(d, by), func(a, b []any) int { return orderKeys(a, b, by) })
}

// collide tells whether two documents have a key in common. A sparse index has no key of
// missing values only.
func collide(a, b, fields bson.D, sparse bool) bool {
	keys := func(d bson.D) [][]any {
		return slices.DeleteFunc(indexKeys(d, fields), func(key []any) bool {
			return sparse && !slices.ContainsFunc(key, func(v any) bool { _, gone := v.(missing); return !gone })
		})
	}
	others := keys(b)
	return slices.ContainsFunc(keys(a), func(x []any) bool {
		return slices.ContainsFunc(others, func(y []any) bool { return orderKeys(x, y, fields) == 0 })
	})
}

func orderKeys(a, b []any, by bson.D) int {
	for i, e := range by {
		if c := order(a[i], b[i]); c != 0 {
			return c * int(e.Value.(int32))
		}
	}
	return 0
}

func sorted(documents []bson.D, by bson.D) []bson.D {
	return slices.SortedStableFunc(slices.Values(documents), func(a, b bson.D) int {
		return orderKeys(sortKey(a, by), sortKey(b, by), by)
	})
}

// projected keeps or drops paths. A document's own order of fields stays.
func projected(d, projection bson.D) bson.D {
	truth := func(v any) bool { return v != false && order(v, 0) != 0 }
	include, id := false, true
	paths := map[string]bool{}
	for _, e := range projection {
		if e.Key == "_id" {
			id = truth(e.Value)
			include = include || (id && len(projection) == 1)
			continue
		}
		include = truth(e.Value)
		paths[e.Key] = true
	}
	if id == include {
		paths["_id"] = true
	}
	if len(projection) == 0 {
		return d
	}
	out, _ := keep(d, "", paths, include)
	return out.(bson.D)
}

// keep returns the part of v below prefix, and false for a value that an inclusion drops.
func keep(v any, prefix string, paths map[string]bool, include bool) (any, bool) {
	switch v := v.(type) {
	case bson.D:
		out := bson.D{}
		for _, e := range v {
			path := prefix + e.Key
			below := slices.ContainsFunc(slices.Collect(maps.Keys(paths)), func(p string) bool { return strings.HasPrefix(p, path+".") })
			switch {
			case paths[path] == include && !below:
				out = append(out, e)
			case below:
				if value, ok := keep(e.Value, path+".", paths, include); ok {
					out = append(out, bson.E{Key: e.Key, Value: value})
				}
			}
		}
		return out, true
	case bson.A:
		out := bson.A{}
		for _, element := range v {
			if value, ok := keep(element, prefix, paths, include); ok {
				out = append(out, value)
			}
		}
		return out, true
	}
	return v, !include
}

// errRefused is the error of an update that a document doesn't allow, because a path goes through a
// value without fields or a sum is of something else than numbers. A server's code is one of
// refusedUpdate: PathNotViable or TypeMismatch.
var (
	errRefused    = errors.New("the document doesn't allow the update")
	refusedUpdate = []int{28, 14}
)

// updated applies $set, $unset, $inc and $max in the order of the paths, as MongoDB 5 and
// later do. The order in the update has no effect. A replacement keeps the _id.
func updated(d, update bson.D) (bson.D, error) {
	if len(update) == 0 || update[0].Key[0] != '$' {
		out := bson.D{{Key: "_id", Value: field(d, "_id")}}
		for _, e := range update {
			if e.Key != "_id" {
				out = append(out, e)
			}
		}
		return out, nil
	}
	type step struct {
		path, operator string
		operand        any
	}
	var steps []step
	for _, operator := range update {
		for _, e := range operator.Value.(bson.D) {
			steps = append(steps, step{e.Key, operator.Key, e.Value})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.path, b.path) })
	var out any = d
	var err error
	for _, s := range steps {
		if out, err = change(out, strings.Split(s.path, "."), s.operator, s.operand); err != nil {
			return nil, err
		}
	}
	return out.(bson.D), nil
}

// change returns v with one operator applied at the path below it.
func change(v any, path []string, operator string, operand any) (any, error) {
	if len(path) == 0 {
		return applied(v, operator, operand)
	}
	switch v := v.(type) {
	case missing:
		below, err := change(missing{}, path[1:], operator, operand)
		if _, none := below.(missing); none || err != nil {
			return missing{}, err
		}
		return bson.D{{Key: path[0], Value: below}}, nil
	case bson.D:
		below, err := change(field(v, path[0]), path[1:], operator, operand)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(v, func(e bson.E) bool { return e.Key == path[0] })
		out := slices.Clone(v)
		_, none := below.(missing)
		switch {
		case none && at >= 0:
			return slices.Delete(out, at, at+1), nil
		case none:
			return v, nil
		case at >= 0:
			out[at].Value = below
			return out, nil
		}
		return append(out, bson.E{Key: path[0], Value: below}), nil
	case bson.A:
		i, err := strconv.Atoi(path[0])
		if operator == "$unset" && (err != nil || i >= len(v)) {
			return v, nil
		}
		if err != nil {
			return nil, errRefused
		}
		out := slices.Clone(v)
		for len(out) <= i {
			out = append(out, nil)
		}
		before := out[i]
		if i >= len(v) {
			before = missing{}
		}
		below, err := change(before, path[1:], operator, operand)
		if _, none := below.(missing); none {
			below = nil
		}
		out[i] = below
		return out, err
	}
	if operator == "$unset" {
		return v, nil
	}
	return nil, errRefused
}

func applied(v any, operator string, operand any) (any, error) {
	_, none := v.(missing)
	switch {
	case operator == "$unset":
		return missing{}, nil
	case operator == "$set" || none:
		return operand, nil
	case operator == "$max":
		if order(operand, v) > 0 {
			return operand, nil
		}
		return v, nil
	case bracket(v) != 3:
		return nil, errRefused
	}
	return sum(v, operand), nil
}

// sum adds as $inc does. It doesn't detect an overflow of 64 bits.
func sum(a, b any) any {
	float := func(v any) float64 { f, _ := strconv.ParseFloat(fmt.Sprint(v), 64); return f }
	x, xFloat := a.(float64)
	y, yFloat := b.(float64)
	if xFloat || yFloat {
		if !xFloat {
			x = float(a)
		}
		if !yFloat {
			y = float(b)
		}
		return x + y
	}
	long := func(v any) (int64, bool) {
		if n, ok := v.(int32); ok {
			return int64(n), true
		}
		return v.(int64), false
	}
	m, short := long(a)
	n, alsoShort := long(b)
	if total := m + n; short && alsoShort && total == int64(int32(total)) {
		return int32(total)
	}
	return m + n
}
