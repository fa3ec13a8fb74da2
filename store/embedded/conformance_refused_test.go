//go:build (linux || darwin || freebsd) && !stoa_noembedded

// Refusals: a command, field, operator or stage that Stoa doesn't use, or that MongoDB itself
// refuses, gets an error that names it. None is ignored.
package embedded_test

import (
	"slices"
	"strings"
	"testing"
)

// refusals are MongoDB's codes for a command, field, operator or stage that it doesn't take:
// BadValue, FailedToParse, TypeMismatch, IllegalOperation, CommandNotFound, CannotCreateIndex,
// InvalidOptions, InvalidIndexSpecificationOption, and those of its command and stage parsers.
var refusals = []int{2, 9, 14, 20, 59, 67, 72, 197, 15974, 15975, 17276, 31249, 31250, 31253, 31254, 40323, 40324, 40414, 40415, 51024}

func TestConformanceRefusals(t *testing.T) {
	const both, ours = true, false // whether MongoDB refuses it as well
	type refusal struct {
		reason, command, names string
		both                   bool
	}
	cases := map[string]refusal{
		"Command":       {"no such command", `{nonsense: 1}`, "nonsense", both},
		"Count":         {"drivers count by aggregate", `{count: "c"}`, "count", ours},
		"FindAndModify": {"Stoa updates on conditions", `{findAndModify: "c", query: {}, update: {$set: {a: 1}}}`, "findAndModify", ours},
		"Rename":        {"collections keep their names", `{renameCollection: "x.c", to: "x.d"}`, "renameCollection", ours},
		"MapReduce":     {"no JavaScript", `{mapReduce: "c", map: "f", reduce: "g", out: {inline: 1}}`, "mapReduce", ours},

		"FindField":      {"an unknown field", `{find: "c", foo: 1}`, "foo", both},
		"InsertField":    {"an unknown field", `{insert: "c", documents: [{a: 1}], foo: 1}`, "foo", both},
		"UpdateField":    {"an unknown field", `{update: "c", updates: [{q: {}, u: {$set: {a: 1}}}], foo: 1}`, "foo", both},
		"StatementField": {"an unknown field of a statement", `{update: "c", updates: [{q: {}, u: {$set: {a: 1}}, foo: 1}]}`, "foo", both},
		"DeleteField":    {"an unknown field", `{delete: "c", deletes: [{q: {}, limit: 0}], foo: 1}`, "foo", both},
		"DeletePart":     {"an unknown field of a statement", `{delete: "c", deletes: [{q: {}, limit: 0, foo: 1}]}`, "foo", both},
		"AggregateField": {"an unknown field", `{aggregate: "c", pipeline: [], cursor: {}, foo: 1}`, "foo", both},
		"DistinctField":  {"an unknown field", `{distinct: "c", key: "a", foo: 1}`, "foo", both},
		"GetMoreField":   {"an unknown field", `{getMore: long(1), collection: "c", foo: 1}`, "foo", both},
		"CreateField":    {"an unknown field", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "n"}], foo: 1}`, "foo", both},
		"IndexField":     {"an unknown option of an index", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "n", foo: 1}]}`, "foo", both},
		"LookupField":    {"an unknown field of a stage", `{aggregate: "c", pipeline: [{$lookup: {from: "d", localField: "a", foreignField: "b", as: "c", foo: 1}}], cursor: {}}`, "foo", both},
		"NoCursor":       {"aggregate has a cursor", `{aggregate: "c", pipeline: []}`, "cursor", both},

		"FindCollation":      {"strings have one order", `{find: "c", collation: {locale: "en"}}`, "collation", ours},
		"UpdateCollation":    {"strings have one order", `{update: "c", updates: [{q: {}, u: {$set: {a: 1}}, collation: {locale: "en"}}]}`, "collation", ours},
		"DeleteCollation":    {"strings have one order", `{delete: "c", deletes: [{q: {}, limit: 0, collation: {locale: "en"}}]}`, "collation", ours},
		"AggregateCollation": {"strings have one order", `{aggregate: "c", pipeline: [], cursor: {}, collation: {locale: "en"}}`, "collation", ours},
		"DistinctCollation":  {"strings have one order", `{distinct: "c", key: "a", collation: {locale: "en"}}`, "collation", ours},
		"IndexCollation":     {"strings have one order", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "n", collation: {locale: "en"}}]}`, "collation", ours},
		"FindHint":           {"the engine chooses indexes", `{find: "c", hint: {_id: 1}}`, "hint", ours},
		"AggregateHint":      {"the engine chooses indexes", `{aggregate: "c", pipeline: [], cursor: {}, hint: "_id_"}`, "hint", ours},
		"UpdateHint":         {"the engine chooses indexes", `{update: "c", updates: [{q: {}, u: {$set: {a: 1}}, hint: "_id_"}]}`, "hint", ours},
		"Min":                {"no bounds by hand", `{find: "c", hint: {_id: 1}, min: {_id: 1}}`, "", ours},
		"Tailable":           {"no capped collections", `{find: "c", tailable: true}`, "tailable", ours},
		"Let":                {"no variables", `{find: "c", let: {x: 1}}`, "let", ours},
		"Transaction":        {"no transactions on a standalone server", `{find: "c", txnNumber: long(1), startTransaction: true, autocommit: false}`, "", ours},
		"Retryable":          {"nor writes that can be repeated", `{insert: "c", documents: [{a: 1}], txnNumber: long(1)}`, "", both},
		"ArrayFilters":       {"no positions by filter", `{update: "c", updates: [{q: {}, u: {$set: {a.$[x]: 1}}, arrayFilters: [{x: 1}]}]}`, "arrayFilters", ours},
		"UpdatePipeline":     {"no computed updates", `{update: "c", updates: [{q: {}, u: [{$set: {a: 1}}]}]}`, "pipeline", ours},
		"Partial":            {"no partial indexes", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "n", partialFilterExpression: {b: 1}}]}`, "partialFilterExpression", ours},
		"TTL":                {"nothing expires by itself", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "n", expireAfterSeconds: 5}]}`, "expireAfterSeconds", ours},
		"Text":               {"no text indexes", `{createIndexes: "c", indexes: [{key: {a: "text"}, name: "n"}]}`, `"a"`, ours},
		"Hashed":             {"no hashed indexes", `{createIndexes: "c", indexes: [{key: {a: "hashed"}, name: "n"}]}`, `"a"`, ours},
		"Wildcard":           {"no wildcard indexes", `{createIndexes: "c", indexes: [{key: {$**: 1}, name: "n"}]}`, "", ours},
		"IndexZero":          {"a direction isn't 0", `{createIndexes: "c", indexes: [{key: {a: 0}, name: "n"}]}`, "", both},
		"IndexNoName":        {"an index has a name", `{createIndexes: "c", indexes: [{key: {a: 1}}]}`, "name", both},

		"SortTwo":      {"a direction is 1 or -1", `{find: "c", sort: {a: 2}}`, "", both},
		"SortWord":     {"a direction is a number", `{find: "c", sort: {a: "up"}}`, "", both},
		"SortMeta":     {"no text score", `{find: "c", sort: {a: {$meta: "textScore"}}}`, "", ours},
		"Limit":        {"a limit isn't negative; drivers send singleBatch", `{find: "c", limit: -5}`, "limit", both},
		"Skip":         {"nor a skip", `{find: "c", skip: -5}`, "skip", both},
		"BatchSize":    {"nor a batch", `{find: "c", batchSize: -5}`, "batchSize", both},
		"Mixed":        {"inclusion or exclusion", `{find: "c", projection: {a: 1, b: 0}}`, "b", both},
		"MixedOther":   {"either way", `{find: "c", projection: {a: 0, b: 1}}`, "b", both},
		"PathTwice":    {"a path within another", `{find: "c", projection: {a: 1, a.b: 1}}`, "a.b", both},
		"Slice":        {"no operators in projections", `{find: "c", projection: {a: {$slice: 1}}}`, `"a"`, ours},
		"Computed":     {"no expressions in projections", `{find: "c", projection: {a: "$b"}}`, "", ours},
		"Positional":   {"no positions in projections", `{find: "c", filter: {a: 1}, projection: {a.$: 1}}`, "$", ours},
		"UnknownInDoc": {"an unknown operator", `{find: "c", filter: {a: {$foo: 1}}}`, "$foo", both},
		"UnknownTop":   {"an unknown operator", `{find: "c", filter: {$foo: []}}`, "$foo", both},
		"FieldAfter":   {"a field among operators", `{find: "c", filter: {a: {$gt: 1, b: 2}}}`, "b", both},
		"AndEmpty":     {"$and of nothing", `{find: "c", filter: {$and: []}}`, "$and", both},
		"OrNumber":     {"$or of no array", `{find: "c", filter: {$or: 1}}`, "$or", both},
		"OrNumbers":    {"$or of no documents", `{find: "c", filter: {$or: [1]}}`, "$or", both},
		"InNumber":     {"$in of no array", `{find: "c", filter: {a: {$in: 1}}}`, "$in", both},
		"Regex":        {"no patterns as values", `{find: "c", filter: {a: {$regularExpression: {pattern: "x", options: ""}}}}`, "", ours},

		"PushPositional": {"no positions by query", `{update: "c", updates: [{q: {a: 1}, u: {$set: {a.$: 1}}}]}`, "$", ours},
		"PushAll":        {"no positions by query", `{update: "c", updates: [{q: {a: 1}, u: {$set: {a.$[]: 1}}}]}`, "$[]", ours},
		"NoSuchStage":    {"an unknown stage", `{aggregate: "c", pipeline: [{$foo: {}}], cursor: {}}`, "$foo", both},
		"GroupField":     {"groups only count", `{aggregate: "c", pipeline: [{$group: {_id: "$a", n: {$sum: 1}}}], cursor: {}}`, "", ours},
		"GroupOther":     {"groups only count", `{aggregate: "c", pipeline: [{$group: {_id: 1, n: {$max: "$a"}}}], cursor: {}}`, "", ours},
		"LookupLet":      {"variables are fields", `{aggregate: "c", pipeline: [{$lookup: {from: "d", let: {x: 1}, pipeline: [], as: "e"}}], cursor: {}}`, "let", ours},
		"LookupUnset":    {"a variable that isn't there", `{aggregate: "c", pipeline: [{$lookup: {from: "d", let: {x: "$a"}, pipeline: [{$match: {$expr: {$gt: ["$b", "$$y"]}}}], as: "e"}}], cursor: {}}`, "y", both},
		"LookupOther":    {"a variable is compared with a field", `{aggregate: "c", pipeline: [{$lookup: {from: "d", let: {x: "$a"}, pipeline: [{$match: {$expr: {$gt: ["$b", 1]}}}], as: "e"}}], cursor: {}}`, "$expr", ours},
		"LookupStage":    {"few stages within", `{aggregate: "c", pipeline: [{$lookup: {from: "d", localField: "a", foreignField: "b", pipeline: [{$foo: 1}], as: "e"}}], cursor: {}}`, "$foo", both},
	}
	for operator, operand := range map[string]string{"$not": `{$gt: 1}`, "$regex": `"x"`, "$elemMatch": `{x: 1}`, "$size": `1`, "$all": `[1]`, "$type": `"string"`, "$mod": `[2, 0]`} {
		cases["Operator"+operator] = refusal{"an operator that Stoa doesn't use", `{find: "c", filter: {a: {` + operator + `: ` + operand + `}}}`, operator, ours}
	}
	for operator, operand := range map[string]string{"$nor": `[{a: 1}]`, "$expr": `{$gt: ["$a", 1]}`, "$where": `"true"`, "$text": `{$search: "x"}`, "$jsonSchema": `{}`} {
		cases["Operator"+operator] = refusal{"an operator that Stoa doesn't use", `{find: "c", filter: {` + operator + `: ` + operand + `}}`, operator, ours}
	}
	for operator, operand := range map[string]string{"$push": `1`, "$pull": `1`, "$addToSet": `1`, "$pop": `1`, "$rename": `"z"`, "$min": `1`, "$mul": `2`, "$currentDate": `true`, "$setOnInsert": `1`} {
		cases["Update"+operator] = refusal{"an operator that Stoa doesn't use", `{update: "c", updates: [{q: {}, u: {` + operator + `: {l: ` + operand + `}}}]}`, operator, ours}
	}
	for stage, operand := range map[string]string{"$unwind": `"$a"`, "$out": `"d"`, "$merge": `"d"`, "$facet": `{x: []}`, "$addFields": `{x: 1}`, "$unionWith": `"d"`, "$count": `"n"`} {
		cases["Stage"+stage] = refusal{"a stage that Stoa doesn't use", `{aggregate: "c", pipeline: [{` + stage + `: ` + operand + `}], cursor: {}}`, stage, ours}
	}
	onServers(t, func(t *testing.T, s target) {
		s.fill(t, "c", list(`[{_id: 1, a: 1, l: [1]}]`))
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				if !c.both {
					s.onlyEmbedded(t)
				}
				_, err := s.run(t, c.command)
				if !slices.Contains(refusals, code(err)) || !strings.Contains(err.Error(), c.names) {
					t.Errorf("got code %d (%v), want a refusal that names %q: %s", code(err), err, c.names, c.reason)
				}
			})
		}
		cursor, err := s.db.Collection("c").Find(t.Context(), doc(`{}`))
		if got := show(all(t, cursor, err)); s.embedded && got != show(documents(list(`[{_id: 1, a: 1, l: [1]}]`))) {
			t.Errorf("a refused command changed the documents to %s", got)
		}
	})
}
