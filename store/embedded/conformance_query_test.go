//go:build (linux || darwin || freebsd) && !stoa_noembedded

// Query cases: tables of filters, sorts, projections, distinct values, aggregates, lookups and
// cursors.
package embedded_test

import (
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// mixed has a value of most types, and arrays and documents around them, in field a.
var mixed = list(`[
	{_id: 1}, {_id: 2, a: null},
	{_id: 3, a: 1}, {_id: 4, a: long(2)}, {_id: 5, a: 2.5},
	{_id: 6, a: "b"}, {_id: 7, a: ""}, {_id: 8, a: true},
	{_id: 9, a: date(-1000)}, {_id: 10, a: date(1000)},
	{_id: 11, a: []}, {_id: 12, a: [1, 2]}, {_id: 13, a: [null, "b"]}, {_id: 14, a: [[1, 2], 3]},
	{_id: 15, a: {b: 1}}, {_id: 16, a: [{b: 1}, {c: 2}]}, {_id: 17, a: [{b: [1, 4]}, 5]},
	{_id: 18, a: oid(1)}, {_id: 19, a: double(NaN)}, {_id: 20, a: {b: null}}, {_id: 21, a: {b: 1, c: 2}},
	{_id: 22, a: false}
]`)

// numbers has integers that no double is equal to, and the doubles next to them.
var numbers = list(`[
	{_id: 1, n: long(9007199254740992)}, {_id: 2, n: long(9007199254740993)}, {_id: 3, n: double(9007199254740992)},
	{_id: 4, n: long(9223372036854775807)}, {_id: 5, n: double(9223372036854775808)},
	{_id: 6, n: 0}, {_id: 7, n: double(-0.0)}, {_id: 8, n: 0.5},
	{_id: 9, n: long(-9223372036854775808)}, {_id: 10, n: double(-9223372036854775808)},
	{_id: 11, n: double(Infinity)}, {_id: 12, n: double(NaN)}, {_id: 13, n: double(-Infinity)}
]`)

// filters are cases of one filter each. The numbers are the _id of the documents found.
var filters = map[string]struct {
	reason string
	among  bson.A
	filter string
	want   string
}{
	"All":             {"an empty filter has no condition", mixed, `{}`, `[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]`},
	"Null":            {"null is equal to null and to a missing field", mixed, `{a: null}`, `[1, 2, 13]`},
	"EqNull":          {"$eq is implicit equality", mixed, `{a: {$eq: null}}`, `[1, 2, 13]`},
	"NotNull":         {"$ne is the complement", mixed, `{a: {$ne: null}}`, `[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22]`},
	"FieldOfNone":     {"every document lacks b", numbers, `{b: null}`, `[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]`},
	"Exists":          {"null exists", mixed, `{a: {$exists: true}}`, `[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]`},
	"ExistsNot":       {"a missing field doesn't", mixed, `{a: {$exists: false}}`, `[1]`},
	"Number":          {"elements of an array are tried, of a nested array not", mixed, `{a: 1}`, `[3, 12]`},
	"OtherNumber":     {"int64 and double are equal to int32", mixed, `{a: double(2)}`, `[4, 12]`},
	"Greater":         {"numbers only", mixed, `{a: {$gt: 1}}`, `[4, 5, 12, 14, 17]`},
	"LessButNaN":      {"NaN is in no range of numbers", mixed, `{a: {$lt: 100}}`, `[3, 4, 5, 12, 14, 17]`},
	"Range":           {"both bounds", mixed, `{a: {$gte: 2, $lt: 2.5}}`, `[4, 12]`},
	"RangeByTwo":      {"two elements of an array may meet one bound each", mixed, `{a: {$gt: 1, $lt: 2}}`, `[12]`},
	"Strings":         {"a range of strings has strings only", mixed, `{a: {$gt: ""}}`, `[6, 13]`},
	"StringsAndEmpty": {"the empty string is the least", mixed, `{a: {$gte: ""}}`, `[6, 7, 13]`},
	"Dates":           {"a range of dates has dates only", mixed, `{a: {$gt: date(-2000)}}`, `[9, 10]`},
	"DatesBefore1970": {"earlier dates are less", mixed, `{a: {$lt: date(0)}}`, `[9]`},
	"Bools":           {"false is less than true", mixed, `{a: {$gt: false}}`, `[8]`},
	"BoolsBoth":       {"and equal to itself", mixed, `{a: {$lte: false}}`, `[22]`},
	"ObjectIDs":       {"by bytes", mixed, `{a: {$gt: oid(0)}}`, `[18]`},
	"GreaterNull":     {"nothing is greater than null within its type", mixed, `{a: {$gt: null}}`, `[]`},
	"GreaterEqNull":   {"$gte has equality in it", mixed, `{a: {$gte: null}}`, `[1, 2, 13]`},
	"LessEqNull":      {"as $lte has", mixed, `{a: {$lte: null}}`, `[1, 2, 13]`},
	"NaN":             {"NaN is equal to itself", mixed, `{a: double(NaN)}`, `[19]`},
	"GreaterNaN":      {"nothing is greater", mixed, `{a: {$gt: double(NaN)}}`, `[]`},
	"GreaterEqNaN":    {"only NaN is equal", mixed, `{a: {$gte: double(NaN)}}`, `[19]`},
	"EmptyArray":      {"an empty array is equal to an empty one", mixed, `{a: []}`, `[11]`},
	"WholeArray":      {"an array is equal as a whole or as an element", mixed, `{a: [1, 2]}`, `[12, 14]`},
	"OtherOrder":      {"elements have an order", mixed, `{a: [2, 1]}`, `[]`},
	"GreaterArray":    {"arrays are compared element by element, across types", mixed, `{a: {$gt: [1, 2]}}`, `[14, 16, 17]`},
	"NotArray":        {"the complement of equality to an array", mixed, `{_id: {$gt: 10}, a: {$ne: [1, 2]}}`, `[11, 13, 15, 16, 17, 18, 19, 20, 21, 22]`},
	"In":              {"any of the values", mixed, `{a: {$in: [1, "b"]}}`, `[3, 6, 12, 13]`},
	"InNull":          {"null in the list finds missing fields", mixed, `{a: {$in: [null, true]}}`, `[1, 2, 8, 13]`},
	"InNothing":       {"no value is in an empty list", mixed, `{a: {$in: []}}`, `[]`},
	"InArray":         {"an array in the list is compared as a whole", mixed, `{a: {$in: [[1, 2]]}}`, `[12, 14]`},
	"InNaN":           {"NaN in the list finds NaN", mixed, `{a: {$in: [double(NaN)]}}`, `[19]`},
	"InTwice":         {"a value given twice finds its documents once", mixed, `{a: {$in: [1, double(1), 1]}}`, `[3, 12]`},
	"NotIn":           {"no element may be in the list", mixed, `{a: {$nin: [1, null]}}`, `[4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22]`},
	"NotInNothing":    {"every value is outside an empty list", mixed, `{_id: {$lt: 3}, a: {$nin: []}}`, `[1, 2]`},
	"NotEqual":        {"no element may be equal", mixed, `{a: {$ne: 1}}`, `[1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]`},
	"Document":        {"a document is equal as a whole", mixed, `{a: {b: 1}}`, `[15, 16]`},
	"DocumentNumber":  {"numbers in it are compared as numbers", mixed, `{a: {b: double(1)}}`, `[15, 16]`},
	"DocumentOrder":   {"fields have an order", mixed, `{a: {$eq: {c: 2, b: 1}}}`, `[]`},
	"DocumentEmpty":   {"an empty document is a value", mixed, `{a: {}}`, `[]`},
	"Dotted":          {"through documents and arrays of documents", mixed, `{a.b: 1}`, `[15, 16, 17, 21]`},
	"DottedElement":   {"an element of an array below", mixed, `{a.b: 4}`, `[17]`},
	"DottedArray":     {"or that array as a whole", mixed, `{a.b: [1, 4]}`, `[17]`},
	"DottedGreater":   {"by an operator", mixed, `{a.b: {$gt: 1}}`, `[17]`},
	"DottedNull":      {"below a scalar is nothing; in an array only documents are looked into", mixed, `{a.b: null}`, `[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 18, 19, 20, 22]`},
	"DottedNotNull":   {"the complement", mixed, `{a.b: {$ne: null}}`, `[11, 12, 13, 14, 15, 17, 21]`},
	"DottedExists":    {"in one element is enough", mixed, `{a.b: {$exists: true}}`, `[15, 16, 17, 20, 21]`},
	"DottedExistsNot": {"the complement", mixed, `{a.b: {$exists: false}}`, `[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 18, 19, 22]`},
	"DottedNot":       {"no element may be equal", mixed, `{a.b: {$ne: 1}, _id: {$gt: 13}}`, `[14, 18, 19, 20, 22]`},
	"Siblings":        {"two elements of an array may meet one condition each", mixed, `{a.b: 1, a.c: 2}`, `[16, 21]`},
	"SiblingsRange":   {"also with ranges", mixed, `{a.b: {$gte: 1}, a.c: {$lt: 3}}`, `[16, 21]`},
	"DottedIn":        {"null in a list, below", mixed, `{a.b: {$in: [null, 4]}, _id: {$gte: 15}}`, `[16, 17, 18, 19, 20, 22]`},
	"Position":        {"a number in a path is a position in an array", mixed, `{a.1: 2}`, `[12]`},
	"PositionNested":  {"the element there is a whole, even an array", mixed, `{a.0: 1}`, `[12]`},
	"PositionArray":   {"and equal to an array", mixed, `{a.0: [1, 2]}`, `[14]`},
	"PositionBelow":   {"with a path below it", mixed, `{a.0.b: 1}`, `[16, 17]`},
	"And":             {"two elements of one array", mixed, `{$and: [{a: 1}, {a: 2}]}`, `[12]`},
	"Or":              {"each document once", mixed, `{$or: [{a: 1}, {a: "b"}, {a: 2}]}`, `[3, 4, 6, 12, 13]`},
	"OrInAnd":         {"beside another condition", mixed, `{a: 1, $or: [{_id: 3}, {_id: 4}]}`, `[3]`},
	"AndInOr":         {"nested", mixed, `{$or: [{$and: [{a: 1}, {a: {$ne: 2}}]}, {a: true}]}`, `[3, 8]`},
	"TwoConditions":   {"on one field", mixed, `{a: {$exists: true, $ne: null}, _id: {$lt: 5}}`, `[3, 4]`},
	"IDs":             {"numbers of any type", mixed, `{_id: {$in: [1, double(2), long(3), 99]}}`, `[1, 2, 3]`},
	"IDRange":         {"a range of _id", mixed, `{_id: {$gt: 20}}`, `[21, 22]`},
	"IDOtherType":     {"equality of _id by value", mixed, `{_id: double(7)}`, `[7]`},
	"Even":            {"2^53 as int64 and as double", numbers, `{n: double(9007199254740992)}`, `[1, 3]`},
	"Odd":             {"2^53+1 is no double", numbers, `{n: long(9007199254740993)}`, `[2]`},
	"AboveEven":       {"an int64 above a double", numbers, `{n: {$gt: double(9007199254740992)}}`, `[2, 4, 5, 11]`},
	"AboveMax":        {"2^63 as double is more than 2^63-1", numbers, `{n: {$gt: long(9223372036854775807)}}`, `[5, 11]`},
	"Max":             {"and not equal to it", numbers, `{n: double(9223372036854775808)}`, `[5]`},
	"Min":             {"-2^63 is a double", numbers, `{n: long(-9223372036854775808)}`, `[9, 10]`},
	"Zero":            {"-0 is equal to 0", numbers, `{n: 0}`, `[6, 7]`},
	"MinusZero":       {"and 0 to -0", numbers, `{n: double(-0.0)}`, `[6, 7]`},
	"BelowZero":       {"neither is below the other", numbers, `{n: {$lt: 0}}`, `[9, 10, 13]`},
	"AllNumbers":      {"infinities are the ends; NaN is outside", numbers, `{n: {$gte: double(-Infinity)}}`, `[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]`},
}

func TestConformanceModelAgreesWithTheTable(t *testing.T) {
	for name, c := range filters {
		t.Run(name, func(t *testing.T) {
			found := slices.DeleteFunc(documents(c.among), func(d bson.D) bool { return !matches(d, doc(c.filter)) })
			if got := show(ids(found)); got != show(list(c.want)) {
				t.Errorf("%s finds %s, want %s: %s", c.filter, got, c.want, c.reason)
			}
		})
	}
}

func documents(values bson.A) []bson.D {
	var out []bson.D
	for _, v := range values {
		out = append(out, v.(bson.D))
	}
	return out
}

func TestConformanceFilters(t *testing.T) {
	onServers(t, func(t *testing.T, s target) {
		collections := map[string][]*mongo.Collection{
			"mixed": {s.fill(t, "mixed", mixed),
				s.fill(t, "mixed_a", mixed, index(`{a: 1}`), index(`{a.b: 1}`)),
				s.fill(t, "mixed_down", mixed, index(`{a: -1, _id: 1}`), index(`{a.b: -1, _id: 1}`)),
				s.fill(t, "mixed_siblings", mixed, index(`{a.b: -1, a.c: 1}`), index(`{a.c: 1}`)),
				s.fill(t, "mixed_sparse", mixed, mongo.IndexModel{Keys: doc(`{a: 1}`), Options: options.Index().SetSparse(true)})},
			"numbers": {s.fill(t, "numbers", numbers), s.fill(t, "numbers_n", numbers, index(`{n: 1}`)), s.fill(t, "numbers_down", numbers, index(`{n: -1, _id: -1}`))},
		}
		for name, c := range filters {
			t.Run(name, func(t *testing.T) {
				among := "mixed"
				if len(c.among) == len(numbers) {
					among = "numbers"
				}
				for _, collection := range collections[among] {
					cursor, err := collection.Find(t.Context(), doc(c.filter))
					want := list(c.want)
					if got := show(sortedIDs(all(t, cursor, err))); got != show(want) {
						t.Errorf("%s finds %s in %s, want %s: %s", c.filter, got, collection.Name(), c.want, c.reason)
					}
					if n, err := collection.CountDocuments(t.Context(), doc(c.filter)); err != nil || n != int64(len(want)) {
						t.Errorf("%s counts %d in %s, want %d: %v", c.filter, n, collection.Name(), len(want), err)
					}
				}
			})
		}
	})
}

func TestConformanceSorts(t *testing.T) {
	types := `[{_id: 1, v: {$minKey: 1}}, {_id: 2, v: []}, {_id: 3, v: null}, {_id: 4}, {_id: 5, v: double(NaN)}, {_id: 6, v: -1}, {_id: 7, v: long(5)},
		{_id: 8, v: ""}, {_id: 9, v: "a"}, {_id: 10, v: {}}, {_id: 11, v: {a: 1}}, {_id: 12, v: [[]]}, {_id: 13, v: [[1]]}, {_id: 14, v: bin(AQ==, 00)},
		{_id: 15, v: oid(1)}, {_id: 16, v: false}, {_id: 17, v: true}, {_id: 18, v: date(-1)}, {_id: 19, v: date(0)},
		{_id: 20, v: {$timestamp: {t: 1, i: 1}}}, {_id: 21, v: {$regularExpression: {pattern: "a", options: ""}}}, {_id: 22, v: {$maxKey: 1}}]`
	ends := `[{_id: 1, v: "a", w: 2}, {_id: 2, v: "a\u0000", w: 1}, {_id: 3, v: "a", w: 1}, {_id: 4, v: "a\u0000\u0001", w: 0}, {_id: 5, v: "", w: 9}, {_id: 6, v: {x: "a"}, w: 0}]`
	cases := map[string]struct{ reason, documents, sort, want string }{
		"Types":        {"MongoDB's order of types", types, `{v: 1, _id: 1}`, `[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]`},
		"TypesDown":    {"backwards; null and missing are equal", types, `{v: -1, _id: 1}`, `[22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 3, 4, 2, 1]`},
		"Numbers":      {"by value; equal numbers of other types are equal", show(numbers), `{n: 1, _id: 1}`, `[12, 13, 9, 10, 6, 7, 8, 1, 3, 2, 4, 5, 11]`},
		"NumbersDown":  {"backwards", show(numbers), `{n: -1, _id: 1}`, `[11, 5, 4, 2, 1, 3, 8, 6, 7, 9, 10, 13, 12]`},
		"Strings":      {"by bytes: capitals first, and no UTF-16", `[{_id: 1, v: "b"}, {_id: 2, v: "a\u0000b"}, {_id: 3, v: "\uFF5E"}, {_id: 4, v: "😀"}, {_id: 5, v: "B"}, {_id: 6, v: "é"}, {_id: 7, v: "a"}, {_id: 8, v: "aa"}, {_id: 9, v: ""}]`, `{v: 1}`, `[9, 5, 7, 2, 8, 1, 6, 3, 4]`},
		"Ends":         {"a string ends before a longer one, also in a compound key", ends, `{v: 1, w: 1}`, `[5, 3, 1, 2, 4, 6]`},
		"EndsDown":     {"also downwards", ends, `{v: -1, w: 1}`, `[6, 4, 2, 3, 1, 5]`},
		"Documents":    {"type, then name, then value of each field in turn", `[{_id: 1, v: {a: "x"}}, {_id: 2, v: {b: 1}}, {_id: 3, v: {a: 1, b: 1}}, {_id: 4, v: {a: 1}}, {_id: 5, v: {a: 2}}, {_id: 6, v: {}}]`, `{v: 1}`, `[6, 4, 3, 5, 2, 1]`},
		"Binaries":     {"length, then subtype, then bytes", `[{_id: 1, v: bin(AAA=, 00)}, {_id: 2, v: bin(/w==, 00)}, {_id: 3, v: bin(AA==, 05)}, {_id: 4, v: bin(AQ==, 00)}]`, `{v: 1}`, `[4, 2, 3, 1]`},
		"Arrays":       {"upwards by the least element; an empty array is less than null", `[{_id: 1, v: [1, 9]}, {_id: 2, v: 5}, {_id: 3, v: [6, 4]}, {_id: 4, v: []}, {_id: 5, v: null}]`, `{v: 1}`, `[4, 5, 1, 3, 2]`},
		"ArraysDown":   {"downwards by the greatest", `[{_id: 1, v: [1, 9]}, {_id: 2, v: 5}, {_id: 3, v: [6, 4]}, {_id: 4, v: []}, {_id: 5, v: null}]`, `{v: -1}`, `[1, 3, 2, 5, 4]`},
		"Dotted":       {"the least value of an array's documents; below a scalar is null", `[{_id: 1, v: [{x: 3}, {x: 8}]}, {_id: 2, v: {x: 5}}, {_id: 3, v: 7}, {_id: 4, v: [{x: 4}, 9]}]`, `{v.x: 1, _id: 1}`, `[3, 4, 1, 2]`},
		"DottedDown":   {"and the greatest", `[{_id: 1, v: [{x: 3}, {x: 8}]}, {_id: 2, v: {x: 5}}, {_id: 3, v: 7}, {_id: 4, v: [{x: 4}, 9]}]`, `{v.x: -1, _id: 1}`, `[1, 2, 4, 3]`},
		"OneElement":   {"two fields below an array are from one element", `[{_id: 1, v: [{x: 1, y: 9}, {x: 2, y: 0}]}, {_id: 2, v: [{x: 1, y: 5}]}]`, `{v.x: 1, v.y: 1}`, `[2, 1]`},
		"TwoKeys":      {"the second key orders documents with equal first keys", `[{_id: 1, v: 1, w: 1}, {_id: 2, v: 1, w: 2}, {_id: 3, v: 2, w: 1}, {_id: 4, v: double(2), w: 2}]`, `{v: 1, w: -1}`, `[2, 1, 4, 3]`},
		"TwoKeysDown":  {"the other way round", `[{_id: 1, v: 1, w: 1}, {_id: 2, v: 1, w: 2}, {_id: 3, v: 2, w: 1}, {_id: 4, v: double(2), w: 2}]`, `{v: -1, w: 1}`, `[3, 4, 1, 2]`},
		"Nulls":        {"null and missing are one value in a compound key", `[{_id: 1, v: null, w: 2}, {_id: 2, w: 1}, {_id: 3, v: 1}, {_id: 4, v: 1, w: null}, {_id: 5, v: 1, w: 0}, {_id: 6}]`, `{v: 1, w: 1, _id: 1}`, `[6, 2, 1, 3, 4, 5]`},
		"NullsDown":    {"also downwards", `[{_id: 1, v: null, w: 2}, {_id: 2, w: 1}, {_id: 3, v: 1}, {_id: 4, v: 1, w: null}, {_id: 5, v: 1, w: 0}, {_id: 6}]`, `{v: -1, w: -1, _id: 1}`, `[5, 3, 4, 1, 2, 6]`},
		"NullsCrossed": {"one up, one down", `[{_id: 1, v: null, w: 2}, {_id: 2, w: 1}, {_id: 3, v: 1}, {_id: 4, v: 1, w: null}, {_id: 5, v: 1, w: 0}, {_id: 6}]`, `{v: 1, w: -1, _id: -1}`, `[1, 2, 6, 5, 4, 3]`},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				by := doc(c.sort)
				backwards := bson.D{}
				for _, e := range by {
					backwards = append(backwards, bson.E{Key: e.Key, Value: -e.Value.(int32)})
				}
				for suffix, keys := range map[string]bson.D{"": nil, "_index": by, "_backwards": backwards} {
					collection := s.fill(t, name+suffix, list(c.documents))
					if keys != nil {
						_, err := collection.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: keys})
						check(t, err)
					}
					cursor, err := collection.Find(t.Context(), bson.D{}, options.Find().SetSort(by))
					if got := show(ids(all(t, cursor, err))); got != show(list(c.want)) {
						t.Errorf("%s gives %s in %s, want %s: %s", c.sort, got, collection.Name(), c.want, c.reason)
					}
					cursor, err = collection.Aggregate(t.Context(), bson.A{bson.D{{Key: "$sort", Value: by}}, doc(`{$skip: 1}`), doc(`{$limit: 2}`)})
					if got := show(ids(all(t, cursor, err))); got != show(list(c.want)[1:min(3, len(list(c.want)))]) {
						t.Errorf("%s gives %s of an aggregate of %s: %s", c.sort, got, collection.Name(), c.reason)
					}
				}
			})
		}
	})
}

// TestConformanceMerges has queries that an engine may answer from several indexes or parts of one:
// the order must be that of the sort all the same, and each document must come once.
func TestConformanceMerges(t *testing.T) {
	cases := map[string]struct{ reason, filter, sort, want string }{
		"IDs":         {"by _id, in another order", `{_id: {$in: [3, 1, 2]}}`, `{b: 1}`, `[2, 3, 1]`},
		"OrIDs":       {"two single documents", `{$or: [{_id: 1}, {_id: 2}]}`, `{b: 1}`, `[2, 1]`},
		"OrIDsDown":   {"downwards", `{$or: [{_id: 2}, {_id: 1}]}`, `{b: -1, _id: 1}`, `[1, 2]`},
		"OrIDRange":   {"a single document and a range", `{$or: [{_id: 1}, {b: {$lt: 35}}]}`, `{b: 1}`, `[2, 3, 4, 1]`},
		"OrUnique":    {"a single document of a unique index and a range", `{$or: [{u: 1}, {b: {$lt: 35}}]}`, `{b: -1}`, `[1, 4, 3, 2]`},
		"OrScan":      {"a single document and a condition without an index", `{$or: [{_id: 2}, {n: 1}]}`, `{b: -1}`, `[1, 3, 2]`},
		"OrSame":      {"one document by both", `{$or: [{u: 1}, {_id: 1}, {b: 40}]}`, `{b: 1}`, `[1]`},
		"OrTags":      {"elements and a single document", `{$or: [{tags: "x"}, {_id: 3}]}`, `{b: 1}`, `[2, 3, 1]`},
		"Tags":        {"several elements", `{tags: {$in: ["y", "x"]}}`, `{b: -1}`, `[1, 4, 2]`},
		"TagsByID":    {"in the order of _id", `{tags: {$in: ["y", "x"]}}`, `{_id: -1}`, `[4, 2, 1]`},
		"PrefixRange": {"an equality, then a range on the sorted field", `{n: 1, b: {$gt: 15}}`, `{b: -1}`, `[1, 3]`},
	}
	onServers(t, func(t *testing.T, s target) {
		data := list(`[{_id: 1, b: 40, u: 1, n: 1, tags: ["x", "y"]}, {_id: 2, b: 10, u: 2, tags: ["x"]}, {_id: 3, b: 20, u: 3, n: 1, tags: []}, {_id: 4, b: 30, u: 4, tags: ["y", "z"]}]`)
		unique := mongo.IndexModel{Keys: doc(`{u: 1}`), Options: options.Index().SetUnique(true)}
		for _, collection := range []*mongo.Collection{s.fill(t, "plain", data), s.fill(t, "b", data, index(`{b: 1}`), unique), s.fill(t, "down", data, index(`{b: -1, _id: 1}`), unique, index(`{tags: 1, b: 1}`)), s.fill(t, "tags", data, index(`{tags: 1}`), index(`{n: 1, b: 1}`), unique)} {
			for name, c := range cases {
				t.Run(collection.Name()+name, func(t *testing.T) {
					for skip := range len(list(c.want)) {
						cursor, err := collection.Find(t.Context(), doc(c.filter), options.Find().SetSort(doc(c.sort)).SetSkip(int64(skip)).SetLimit(2))
						if got, want := show(ids(all(t, cursor, err))), show(list(c.want)[skip:min(skip+2, len(list(c.want)))]); got != want {
							t.Errorf("%s sorted by %s gives %s from %d, want %s: %s", c.filter, c.sort, got, skip, want, c.reason)
						}
					}
				})
			}
		}
	})
}

func TestConformanceProjections(t *testing.T) {
	const stored = `{_id: 1, a: 1, b: {c: 2, d: [{e: 1, f: 2}, 3, [{e: 4, g: 5}]]}, h: []}`
	cases := map[string]struct{ reason, projection, want string }{
		"Include":        {"_id comes with it", `{a: 1}`, `{_id: 1, a: 1}`},
		"IncludeTwo":     {"the document's order, not the projection's", `{h: 1, a: 1}`, `{_id: 1, a: 1, h: []}`},
		"IncludeNoID":    {"unless it is excluded", `{a: 1, _id: 0}`, `{a: 1}`},
		"OnlyID":         {"_id alone", `{_id: 1}`, `{_id: 1}`},
		"NoID":           {"excluding _id leaves the others", `{_id: 0}`, `{a: 1, b: {c: 2, d: [{e: 1, f: 2}, 3, [{e: 4, g: 5}]]}, h: []}`},
		"Exclude":        {"all but one", `{b: 0}`, `{_id: 1, a: 1, h: []}`},
		"ExcludeNoID":    {"all but two", `{b: 0, _id: 0}`, `{a: 1, h: []}`},
		"True":           {"true includes", `{a: true}`, `{_id: 1, a: 1}`},
		"False":          {"false excludes", `{b: false, h: false}`, `{_id: 1, a: 1}`},
		"Double":         {"any number but 0 includes", `{a: 2.5}`, `{_id: 1, a: 1}`},
		"Long":           {"0 of any type excludes", `{b: long(0), h: double(0)}`, `{_id: 1, a: 1}`},
		"Dotted":         {"the rest of the document goes", `{b.c: 1}`, `{_id: 1, b: {c: 2}}`},
		"DottedArray":    {"scalars in an array go, nested arrays are looked into", `{b.d.e: 1}`, `{_id: 1, b: {d: [{e: 1}, [{e: 4}]]}}`},
		"DottedExclude":  {"scalars in an array stay", `{b.d.e: 0}`, `{_id: 1, a: 1, b: {c: 2, d: [{f: 2}, 3, [{g: 5}]]}, h: []}`},
		"BelowScalar":    {"below a scalar is nothing to include", `{a.x: 1}`, `{_id: 1}`},
		"BelowEmpty":     {"an array stays one", `{h.x: 1}`, `{_id: 1, h: []}`},
		"ExcludeBelow":   {"nor anything to exclude", `{a.x: 0}`, stored},
		"Missing":        {"a field that isn't there", `{z: 1}`, `{_id: 1}`},
		"ExcludeMissing": {"a field that isn't there", `{z: 0}`, stored},
	}
	onServers(t, func(t *testing.T, s target) {
		collection := s.fill(t, "c", bson.A{doc(stored)})
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				want := show([]bson.D{doc(c.want)})
				if got := show([]bson.D{projected(doc(stored), doc(c.projection))}); got != want {
					t.Errorf("the model gives %s, want %s: %s", got, want, c.reason)
				}
				cursor, err := collection.Find(t.Context(), bson.D{}, options.Find().SetProjection(doc(c.projection)))
				if got := show(all(t, cursor, err)); got != want {
					t.Errorf("find gives %s, want %s: %s", got, want, c.reason)
				}
				cursor, err = collection.Aggregate(t.Context(), bson.A{bson.D{{Key: "$project", Value: doc(c.projection)}}})
				if got := show(all(t, cursor, err)); got != want {
					t.Errorf("aggregate gives %s, want %s: %s", got, want, c.reason)
				}
			})
		}
		cursor, err := collection.Find(t.Context(), bson.D{}, options.Find().SetProjection(bson.D{}))
		if got := show(all(t, cursor, err)); got != show([]bson.D{doc(stored)}) {
			t.Errorf("an empty projection gives %s", got)
		}
	})
}

func TestConformanceDistinct(t *testing.T) {
	cases := map[string]struct{ reason, key, filter, want string }{
		"Numbers":  {"equal numbers of other types are one value", "a", `{_id: {$in: [3, 4, 12]}}`, `[1, 2]`},
		"Elements": {"of an array its elements; of a nested array the array", "a", `{_id: {$in: [12, 14]}}`, `[1, 2, 3, [1, 2]]`},
		"Empty":    {"an empty array has none", "a", `{_id: 11}`, `[]`},
		"Missing":  {"a missing field has no value, null is one", "a", `{_id: {$lt: 3}}`, `[null]`},
		"Dotted":   {"through arrays", "a.b", `{}`, `[null, 1, 4]`},
		"Position": {"a number is a position", "a.0", `{_id: 12}`, `[1]`},
		"None":     {"no document has it", "zz", `{}`, `[]`},
		"ID":       {"every one is its own", "_id", `{a: {$gt: 1}}`, `[4, 5, 12, 14, 17]`},
	}
	onServers(t, func(t *testing.T, s target) {
		for _, collection := range []*mongo.Collection{s.fill(t, "plain", mixed), s.fill(t, "indexed", mixed, index(`{a: 1}`), index(`{a.b: 1}`)), s.db.Collection("none")} {
			for name, c := range cases {
				t.Run(collection.Name()+name, func(t *testing.T) {
					var got bson.A
					check(t, collection.Distinct(t.Context(), c.key, doc(c.filter)).Decode(&got))
					slices.SortFunc(got, order)
					want := list(c.want)
					if collection.Name() == "none" {
						want = nil
					}
					if !slices.EqualFunc(got, want, func(a, b any) bool { return order(a, b) == 0 }) {
						t.Errorf("got %s, want %s: %s", show(got), show(want), c.reason)
					}
				})
			}
		}
		t.Run("MissingFirst", func(t *testing.T) {
			gaps := s.fill(t, "gaps", list(`[{_id: 1}, {_id: 2, a: null}, {_id: 3}]`), index(`{a: 1}`))
			for _, filter := range []string{`{}`, `{a: null}`} {
				var got bson.A
				check(t, gaps.Distinct(t.Context(), "a", doc(filter)).Decode(&got))
				if show(got) != "[null]" {
					t.Errorf("distinct where %s gives %s, want null: one document has it, beside others without the field", filter, show(got))
				}
			}
		})
	})
}

func TestConformanceAggregates(t *testing.T) {
	cases := map[string]struct{ reason, pipeline, want string }{
		"Empty":       {"no stage", `[]`, `[{_id: 1, a: 3}, {_id: 2, a: 1}, {_id: 3, a: 2}, {_id: 4}]`},
		"Count":       {"as drivers count", `[{$match: {a: {$gt: 1}}}, {$group: {_id: 1, n: {$sum: 1}}}]`, `[{_id: 1, n: 2}]`},
		"CountNull":   {"the shells' _id", `[{$group: {_id: null, n: {$sum: 1}}}]`, `[{_id: null, n: 4}]`},
		"CountSome":   {"of a part", `[{$match: {}}, {$skip: 1}, {$limit: 2}, {$group: {_id: 1, n: {$sum: 1}}}]`, `[{_id: 1, n: 2}]`},
		"CountFew":    {"a limit above the number", `[{$match: {a: 1}}, {$limit: 100}, {$group: {_id: 1, n: {$sum: 1}}}]`, `[{_id: 1, n: 1}]`},
		"CountNone":   {"no document makes no group", `[{$match: {a: 9}}, {$group: {_id: 1, n: {$sum: 1}}}]`, `[]`},
		"CountTooFar": {"a skip beyond the end", `[{$match: {}}, {$skip: 9}, {$group: {_id: 1, n: {$sum: 1}}}]`, `[]`},
		"SkipFirst":   {"stages in their order", `[{$sort: {_id: 1}}, {$skip: 1}, {$limit: 1}, {$project: {a: 1, _id: 0}}]`, `[{a: 1}]`},
		"LimitFirst":  {"the other order", `[{$sort: {_id: 1}}, {$limit: 1}, {$skip: 1}]`, `[]`},
		"LimitTwice":  {"the less limit counts", `[{$sort: {a: 1}}, {$limit: 3}, {$limit: 1}, {$project: {a: 1}}]`, `[{_id: 4}]`},
		"SortTwice":   {"the later sort counts", `[{$sort: {_id: 1}}, {$limit: 3}, {$sort: {a: -1}}]`, `[{_id: 1, a: 3}, {_id: 3, a: 2}, {_id: 2, a: 1}]`},
		"MatchAfter":  {"a match after a limit sees the remaining documents", `[{$sort: {_id: 1}}, {$limit: 2}, {$match: {a: {$lt: 3}}}]`, `[{_id: 2, a: 1}]`},
		"MatchGone":   {"a match after a projection sees the remaining fields", `[{$project: {a: 0}}, {$match: {a: {$exists: true}}}]`, `[]`},
		"ProjectSort": {"a sort after a projection, too", `[{$project: {a: 0}}, {$sort: {a: 1, _id: -1}}]`, `[{_id: 4}, {_id: 3}, {_id: 2}, {_id: 1}]`},
		"MatchTwice":  {"both hold", `[{$match: {a: {$gt: 1}}}, {$match: {a: {$lt: 3}}}]`, `[{_id: 3, a: 2}]`},
	}
	onServers(t, func(t *testing.T, s target) {
		data := list(`[{_id: 1, a: 3}, {_id: 2, a: 1}, {_id: 3, a: 2}, {_id: 4}]`)
		for _, collection := range []*mongo.Collection{s.fill(t, "plain", data), s.fill(t, "indexed", data, index(`{a: 1}`))} {
			for name, c := range cases {
				t.Run(collection.Name()+name, func(t *testing.T) {
					cursor, err := collection.Aggregate(t.Context(), list(c.pipeline))
					found := all(t, cursor, err)
					if !strings.Contains(c.pipeline, "$sort") {
						slices.SortFunc(found, func(a, b bson.D) int { return order(a, b) })
					}
					if got := show(found); got != show(documents(list(c.want))) && (len(found) > 0 || c.want != "[]") {
						t.Errorf("got %s, want %s: %s", got, c.want, c.reason)
					}
				})
			}
		}
		n, err := s.db.Collection("plain").CountDocuments(t.Context(), bson.D{}, options.Count().SetSkip(1).SetLimit(2))
		if n != 2 || err != nil {
			t.Errorf("a count of two after the first gives %d, %v", n, err)
		}
		n, err = s.db.Collection("none").CountDocuments(t.Context(), bson.D{})
		if n != 0 || err != nil {
			t.Errorf("a collection that isn't there has %d, %v", n, err)
		}
	})
}

func TestConformanceLookup(t *testing.T) {
	parents := list(`[{_id: 1, k: 1}, {_id: 2, k: null}, {_id: 3}, {_id: 4, k: [1, 2]}, {_id: 5, k: []}, {_id: 6, k: "none"}, {_id: 7, k: [null, 2]}, {_id: 8, k: double(2), as: 0, z: 1}, {_id: 9, k: [[1, 7]]}]`)
	children := list(`[{_id: 10, p: 1, at: 3}, {_id: 11, p: long(1), at: 1}, {_id: 12, p: 1, at: 2}, {_id: 13, p: null, at: 1}, {_id: 14, at: 2}, {_id: 15, p: 2, at: 5}, {_id: 16, p: [1, 7], at: 4}, {_id: 17, p: 1, at: -1}]`)
	cases := map[string]struct{ reason, parent, pipeline, want string }{
		"First":      {"the first two by at", `{_id: 1}`, `[{$match: {at: {$gt: 0}}}, {$sort: {at: 1}}, {$limit: 2}, {$project: {at: 1}}]`, `[{_id: 1, k: 1, as: [{_id: 11, at: 1}, {_id: 12, at: 2}]}]`},
		"Last":       {"the last; a foreign array matches by an element", `{_id: 1}`, `[{$sort: {at: -1}}, {$limit: 1}, {$project: {_id: 1}}]`, `[{_id: 1, k: 1, as: [{_id: 16}]}]`},
		"Null":       {"null matches null and missing", `{_id: 2}`, `[{$sort: {at: 1}}, {$project: {_id: 1}}]`, `[{_id: 2, k: null, as: [{_id: 13}, {_id: 14}]}]`},
		"Missing":    {"a missing local value is null", `{_id: 3}`, `[{$sort: {at: 1}}, {$project: {_id: 1}}]`, `[{_id: 3, as: [{_id: 13}, {_id: 14}]}]`},
		"Array":      {"a local array matches by any element", `{_id: 4}`, `[{$sort: {at: 1}}, {$limit: 9}, {$project: {_id: 1}}]`, `[{_id: 4, k: [1, 2], as: [{_id: 17}, {_id: 11}, {_id: 12}, {_id: 10}, {_id: 16}, {_id: 15}]}]`},
		"ArrayEmpty": {"an empty local array is null, as MongoDB's lookup_equijoin_semantics tests have it", `{_id: 5}`, `[{$sort: {at: 1}}, {$project: {_id: 1}}]`, `[{_id: 5, k: [], as: [{_id: 13}, {_id: 14}]}]`},
		"Nested":     {"an array within a local array matches whole arrays", `{_id: 9}`, `[{$project: {_id: 1}}]`, `[{_id: 9, k: [[1, 7]], as: [{_id: 16}]}]`},
		"ArrayNull":  {"null among elements", `{_id: 7}`, `[{$sort: {at: 1}}, {$project: {_id: 1}}]`, `[{_id: 7, k: [null, 2], as: [{_id: 13}, {_id: 14}, {_id: 15}]}]`},
		"None":       {"no child makes an empty array", `{_id: 6}`, `[{$sort: {at: 1}}, {$limit: 1}]`, `[{_id: 6, k: "none", as: []}]`},
		"Replaced":   {"a field of that name is replaced where it is", `{_id: 8}`, `[{$project: {_id: 1}}]`, `[{_id: 8, k: double(2), as: [{_id: 15}], z: 1}]`},
		"Many":       {"each parent has its own limit", `{_id: {$in: [1, 3, 6]}}`, `[{$match: {at: {$gte: 0}}}, {$sort: {at: 1, _id: 1}}, {$limit: 1}, {$project: {_id: 1}}]`, `[{_id: 1, k: 1, as: [{_id: 11}]}, {_id: 3, as: [{_id: 13}]}, {_id: 6, k: "none", as: []}]`},
	}
	onServers(t, func(t *testing.T, s target) {
		s.fill(t, "parents", parents)
		for _, from := range []*mongo.Collection{s.fill(t, "children", children), s.fill(t, "children_indexed", children, index(`{p: 1, at: 1}`))} {
			for name, c := range cases {
				t.Run(from.Name()+name, func(t *testing.T) {
					cursor, err := s.db.Collection("parents").Aggregate(t.Context(), bson.A{
						bson.D{{Key: "$match", Value: doc(c.parent)}}, doc(`{$sort: {_id: 1}}`),
						bson.D{{Key: "$lookup", Value: bson.D{{Key: "from", Value: from.Name()}, {Key: "localField", Value: "k"}, {Key: "foreignField", Value: "p"}, {Key: "pipeline", Value: list(c.pipeline)}, {Key: "as", Value: "as"}}}},
					})
					if got := show(all(t, cursor, err)); got != show(documents(list(c.want))) {
						t.Errorf("got %s, want %s: %s", got, c.want, c.reason)
					}
				})
			}
		}
		cursor, err := s.db.Collection("parents").Aggregate(t.Context(), list(`[{$match: {_id: 1}}, {$lookup: {from: "none", localField: "k", foreignField: "p", as: "as"}}]`))
		if got := show(all(t, cursor, err)); got != show(documents(list(`[{_id: 1, k: 1, as: []}]`))) {
			t.Errorf("a lookup in a collection that isn't there gives %s", got)
		}
	})
}

// One command finds the neighbours in an order for all of the documents.
func TestConformanceLookupByVariables(t *testing.T) {
	places := list(`[{_id: "a", s: 1, at: date(1)}, {_id: "b", s: 1, at: date(2)}, {_id: "c", s: 1, at: date(2)}, {_id: "d", s: 2, at: date(3)}, {_id: "e", s: 1, at: date(4)}]`)
	beside := func(from, as, match string, direction int) bson.D {
		return bson.D{{Key: "$lookup", Value: bson.D{{Key: "from", Value: from}, {Key: "let", Value: doc(`{t: "$at", i: "$_id"}`)}, {Key: "as", Value: as},
			{Key: "pipeline", Value: bson.A{bson.D{{Key: "$match", Value: doc(match)}}, bson.D{{Key: "$sort", Value: bson.D{{Key: "at", Value: direction}, {Key: "_id", Value: direction}}}},
				doc(`{$limit: 1}`), doc(`{$project: {_id: 1}}`)}}}}}
	}
	onServers(t, func(t *testing.T, s target) {
		for name, keys := range map[string][]mongo.IndexModel{"places": nil, "places_indexed": {index(`{s: 1, at: -1, _id: -1}`)}} {
			s.fill(t, name, places, keys...)
			cursor, err := s.db.Collection(name).Aggregate(t.Context(), bson.A{doc(`{$match: {_id: {$in: ["a", "b", "e"]}}}`), doc(`{$sort: {_id: 1}}`), doc(`{$project: {at: 1}}`),
				beside(name, "later", `{s: 1, $expr: {$gt: ["$at", "$$t"]}}`, 1),
				beside(name, "equal", `{s: 1, $expr: {$and: [{$eq: ["$at", "$$t"]}, {$gt: ["$_id", "$$i"]}]}}`, 1),
				beside(name, "earlier", `{s: 1, $expr: {$lt: ["$at", "$$t"]}}`, -1),
				doc(`{$project: {at: 0}}`)})
			want := show(documents(list(`[{_id: "a", later: [{_id: "b"}], equal: [], earlier: []}, {_id: "b", later: [{_id: "e"}], equal: [{_id: "c"}], earlier: [{_id: "a"}]}, {_id: "e", later: [], equal: [], earlier: [{_id: "c"}]}]`)))
			if got := show(all(t, cursor, err)); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
	})
}

func TestConformanceCursors(t *testing.T) {
	cases := map[string]struct {
		reason  string
		find    string
		batches []int
	}{
		"Default":      {"101 documents come first", `{find: "c", sort: {_id: 1}}`, []int{101, 149}},
		"BatchSize":    {"batches of the client's size", `{find: "c", sort: {_id: 1}, batchSize: 100}`, []int{100, 100, 50}},
		"EmptyBatch":   {"0 opens a cursor and reads nothing", `{find: "c", sort: {_id: 1}, batchSize: 0}`, []int{0, 250}},
		"SingleBatch":  {"no cursor is left", `{find: "c", sort: {_id: 1}, batchSize: 100, singleBatch: true}`, []int{100}},
		"Limit":        {"a limit spans batches", `{find: "c", sort: {_id: 1}, batchSize: 100, limit: 120}`, []int{100, 20}},
		"LimitInBatch": {"a limit within the first batch closes the cursor", `{find: "c", sort: {_id: 1}, batchSize: 100, limit: 7}`, []int{7}},
		"LimitNone":    {"0 is no limit", `{find: "c", sort: {_id: 1}, batchSize: 200, limit: 0}`, []int{200, 50}},
		"Skip":         {"skipped documents don't count", `{find: "c", sort: {_id: 1}, batchSize: 100, skip: 100, limit: long(120)}`, []int{100, 20}},
		"SkipAll":      {"a skip beyond the end", `{find: "c", skip: 1000}`, []int{0}},
		"Aggregate":    {"aggregate has cursors, too", `{aggregate: "c", pipeline: [{$sort: {_id: 1}}], cursor: {batchSize: 200}}`, []int{200, 50}},
	}
	onServers(t, func(t *testing.T, s target) {
		var data bson.A
		for i := range 250 {
			data = append(data, bson.D{{Key: "_id", Value: i}})
		}
		s.fill(t, "c", data)
		more := func(id int64, size int) string {
			return strings.NewReplacer("ID", show(id), "SIZE", show(size)).Replace(`{getMore: ID, collection: "c", batchSize: SIZE}`)
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				command := c.find
				var got []int
				for {
					reply, err := s.run(t, command)
					check(t, err)
					batch, ok := reply.Lookup("cursor", "firstBatch").ArrayOK()
					if !ok {
						batch = reply.Lookup("cursor", "nextBatch").Array()
					}
					values, err := batch.Values()
					check(t, err)
					got = append(got, len(values))
					id := reply.Lookup("cursor", "id").Int64()
					if id == 0 {
						break
					}
					size := 100
					if c.batches[0] != 100 {
						size = 1000
					}
					command = more(id, size)
				}
				// A server may need a further request to learn that nothing is left.
				if len(got) > 1 && got[len(got)-1] == 0 {
					got = got[:len(got)-1]
				}
				if !slices.Equal(got, c.batches) {
					t.Errorf("got batches of %d, want %d: %s", got, c.batches, c.reason)
				}
			})
		}

		t.Run("Killed", func(t *testing.T) {
			reply, err := s.run(t, `{find: "c", batchSize: 2}`)
			check(t, err)
			id := reply.Lookup("cursor", "id").Int64()
			reply, err = s.run(t, strings.Replace(`{killCursors: "c", cursors: [ID, long(12345)]}`, "ID", show(id), 1))
			check(t, err)
			if killed, notFound := reply.Lookup("cursorsKilled").Array().String(), reply.Lookup("cursorsNotFound").Array().String(); !strings.Contains(killed, show(id)) || !strings.Contains(notFound, "12345") {
				t.Errorf("got %s", reply)
			}
			_, err = s.run(t, more(id, 2))
			wantCode(t, "a killed cursor", err, 43)
		})
		t.Run("NegativeLimit", func(t *testing.T) {
			cursor, err := s.db.Collection("c").Find(t.Context(), bson.D{}, options.Find().SetLimit(-5))
			if got := all(t, cursor, err); len(got) != 5 {
				t.Errorf("got %d documents", len(got))
			}
		})
		t.Run("Changed", func(t *testing.T) {
			// MongoDB may return a document again that an update has moved in the index. The
			// embedded server promises more: each document once.
			for _, change := range []string{`{$inc: {b: 1}}`, `{$inc: {a: 500}}`} {
				for _, sort := range []string{`{_id: 1}`, `{a: 1}`} {
					if !s.embedded && strings.Contains(change, "a:") {
						continue
					}
					var data bson.A
					for i := range 300 {
						data = append(data, bson.D{{Key: "_id", Value: i}, {Key: "a", Value: i}})
					}
					collection := s.fill(t, "changed"+sort[1:2]+change[8:9], data, index(`{a: 1}`))
					cursor, err := collection.Find(t.Context(), bson.D{}, options.Find().SetSort(doc(sort)).SetBatchSize(20))
					check(t, err)
					seen := map[int32]int{}
					for n := 0; cursor.Next(t.Context()); n++ {
						seen[cursor.Current.Lookup("_id").Int32()]++
						if n == 30 {
							_, err := collection.UpdateMany(t.Context(), doc(`{_id: {$lt: 250}}`), doc(change))
							check(t, err)
							_, err = collection.DeleteMany(t.Context(), doc(`{_id: {$gte: 250}}`))
							check(t, err)
							_, err = collection.InsertOne(t.Context(), doc(`{_id: 1000, a: 100}`))
							check(t, err)
						}
					}
					check(t, cursor.Err())
					check(t, cursor.Close(t.Context()))
					for id := range int32(250) {
						if seen[id] != 1 {
							t.Errorf("sorted by %s, beside the update %s, document %d was read %d times", sort, change, id, seen[id])
						}
					}
				}
			}
		})
	})
}
