//go:build (linux || darwin || freebsd) && !stoa_noembedded

// Index cases: uniqueness, the commands for indexes, collections and databases, and the number
// of documents that a query with the right index reads.
package embedded_test

import (
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func TestConformanceUniqueness(t *testing.T) {
	const unique, sparse = false, true
	cases := map[string]struct {
		reason, keys  string
		sparse        bool
		first, second string
		fails         bool
	}{
		"Equal":           {"a value once", `{a: 1}`, unique, `{a: "x"}`, `{a: "x"}`, true},
		"Different":       {"bytes differ", `{a: 1}`, unique, `{a: "x"}`, `{a: "X"}`, false},
		"BothMissing":     {"a missing field is a key, null", `{a: 1}`, unique, `{}`, `{}`, true},
		"MissingNull":     {"the same key as null's", `{a: 1}`, unique, `{a: null}`, `{}`, true},
		"SparseMissing":   {"unless the index is sparse", `{a: 1}`, sparse, `{}`, `{}`, false},
		"SparseNull":      {"null isn't missing", `{a: 1}`, sparse, `{a: null}`, `{a: null}`, true},
		"SparseBoth":      {"one null, one missing", `{a: 1}`, sparse, `{a: null}`, `{}`, false},
		"IntDouble":       {"numbers by value", `{a: 1}`, unique, `{a: 1}`, `{a: double(1)}`, true},
		"IntLong":         {"numbers by value", `{a: -1}`, unique, `{a: 1}`, `{a: long(1)}`, true},
		"Odd":             {"2^53+1 isn't 2^53", `{a: 1}`, unique, `{a: long(9007199254740992)}`, `{a: long(9007199254740993)}`, false},
		"OddDouble":       {"nor as a double", `{a: 1}`, unique, `{a: double(9007199254740992)}`, `{a: long(9007199254740993)}`, false},
		"EvenDouble":      {"2^53 is", `{a: 1}`, unique, `{a: double(9007199254740992)}`, `{a: long(9007199254740992)}`, true},
		"Max":             {"2^63-1 isn't 2^63", `{a: 1}`, unique, `{a: long(9223372036854775807)}`, `{a: double(9223372036854775808)}`, false},
		"Zeros":           {"-0 is 0", `{a: 1}`, unique, `{a: 0}`, `{a: double(-0.0)}`, true},
		"NaN":             {"NaN is NaN", `{a: 1}`, unique, `{a: double(NaN)}`, `{a: double(NaN)}`, true},
		"Dates":           {"dates before 1970", `{a: 1}`, unique, `{a: date(-1)}`, `{a: date(-1)}`, true},
		"DateNumber":      {"a date is no number", `{a: 1}`, unique, `{a: date(1)}`, `{a: long(1)}`, false},
		"FieldOrder":      {"documents have an order of fields", `{a: 1}`, unique, `{a: {x: 1, y: 2}}`, `{a: {y: 2, x: 1}}`, false},
		"FieldNumbers":    {"numbers within documents by value", `{a: 1}`, unique, `{a: {x: 1}}`, `{a: {x: double(1)}}`, true},
		"ArrayElements":   {"an element that another document has", `{a: 1}`, unique, `{a: [1, 2]}`, `{a: [2, 3]}`, true},
		"ArrayOther":      {"no element in common", `{a: 1}`, unique, `{a: [1, 2]}`, `{a: [3]}`, false},
		"ArrayTwice":      {"twice in one document is once", `{a: 1}`, unique, `{a: [1, 1]}`, `{a: 2}`, false},
		"ArrayScalar":     {"an element and a scalar", `{a: 1}`, unique, `{a: [1]}`, `{a: 1}`, true},
		"ArraysEmpty":     {"an empty array has a key, undefined", `{a: 1}`, unique, `{a: []}`, `{a: []}`, true},
		"ArrayEmptyNull":  {"undefined isn't null", `{a: 1}`, unique, `{a: []}`, `{a: null}`, false},
		"Dotted":          {"below arrays and documents", `{a.b: 1}`, unique, `{a: [{b: 1}, {b: 2}]}`, `{a: {b: 2}}`, true},
		"DottedTwice":     {"twice in one document is once", `{a.b: 1}`, unique, `{a: [{b: 1}, {b: 1}]}`, `{a: {b: 2}}`, false},
		"DottedMissing":   {"nothing below is null", `{a.b: 1}`, unique, `{a: {}}`, `{a: 5}`, true},
		"Compound":        {"both fields", `{a: 1, b: -1}`, unique, `{a: 1, b: 1}`, `{a: 1, b: 1}`, true},
		"CompoundOther":   {"one differs", `{a: 1, b: -1}`, unique, `{a: 1, b: 1}`, `{a: 1, b: 2}`, false},
		"CompoundMissing": {"one is missing in both", `{a: 1, b: -1}`, unique, `{a: 1}`, `{a: 1, b: null}`, true},
		"CompoundNone":    {"both are missing in both", `{a: 1, b: -1}`, unique, `{}`, `{}`, true},
		"CompoundSparse":  {"a sparse index leaves out a document without any of its fields", `{a: 1, b: -1}`, sparse, `{}`, `{}`, false},
		"CompoundPart":    {"and has one with some of them", `{a: 1, b: -1}`, sparse, `{a: 1}`, `{a: 1}`, true},
		"CompoundArray":   {"each element with the other field", `{a: 1, b: 1}`, unique, `{a: [1, 2], b: 1}`, `{a: 2, b: 1}`, true},
		"CompoundArrays":  {"another value in the other field", `{a: 1, b: 1}`, unique, `{a: [1, 2], b: 1}`, `{a: 2, b: 2}`, false},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				want := 0
				if c.fails {
					want = 11000
				}
				model := mongo.IndexModel{Keys: doc(c.keys), Options: options.Index().SetUnique(true).SetSparse(c.sparse)}
				first := append(bson.D{{Key: "_id", Value: 1}}, doc(c.first)...)
				second := append(bson.D{{Key: "_id", Value: 2}}, doc(c.second)...)
				collection := s.fill(t, name, []any{first}, model)
				_, err := collection.InsertOne(t.Context(), second)
				wantCode(t, c.reason, err, want)

				updates := s.fill(t, name+"_update", []any{first, doc(`{_id: 2, a: {b: "other"}, b: "other"}`)}, model)
				_, err = updates.ReplaceOne(t.Context(), doc(`{_id: 2}`), second)
				wantCode(t, "by a replacement: "+c.reason, err, want)
				if _, err := updates.ReplaceOne(t.Context(), doc(`{_id: 1}`), first); err != nil {
					t.Errorf("a document collides with itself: %v", err)
				}

				_, err = s.fill(t, name+"_late", []any{first, second}).Indexes().CreateOne(t.Context(), model)
				wantCode(t, "by an index made later: "+c.reason, err, want)

				_, err = collection.DeleteOne(t.Context(), doc(`{_id: 1}`))
				check(t, err)
				_, err = collection.DeleteOne(t.Context(), doc(`{_id: 2}`))
				check(t, err)
				if _, err := collection.InsertOne(t.Context(), second); err != nil {
					t.Errorf("a deleted document has left its key: %v", err)
				}
			})
		}
		t.Run("RefusedUpdate", func(t *testing.T) {
			collection := s.fill(t, "refused", list(`[{_id: 1, a: [1, 2], b: 1}, {_id: 2, a: 3, b: 2}]`),
				mongo.IndexModel{Keys: doc(`{a: 1}`), Options: options.Index().SetUnique(true)}, index(`{b: 1}`))
			_, err := collection.UpdateByID(t.Context(), 2, doc(`{$set: {a: [4, 2], b: 9}}`))
			wantCode(t, "an element that another document has", err, 11000)
			for filter, want := range map[string]string{`{a: 3}`: `[2]`, `{a: 4}`: `[]`, `{a: 2}`: `[1]`, `{b: 9}`: `[]`, `{b: 2}`: `[2]`} {
				cursor, err := collection.Find(t.Context(), doc(filter))
				if got := show(ids(all(t, cursor, err))); got != show(list(want)) {
					t.Errorf("%s finds %s after the refusal, want %s", filter, got, want)
				}
			}
		})
		t.Run("ParallelArrays", func(t *testing.T) {
			collection := s.fill(t, "parallel", list(`[{_id: 1, a: [1], b: 1}]`), index(`{a: 1, b: 1}`))
			_, err := collection.InsertOne(t.Context(), doc(`{_id: 2, a: [1], b: [1]}`))
			wantCode(t, "an insert", err, 171)
			_, err = collection.UpdateByID(t.Context(), 1, doc(`{$set: {b: [1]}}`))
			wantCode(t, "an update", err, 171)
			_, err = s.fill(t, "parallel_late", list(`[{_id: 1, a: [1], b: []}]`)).Indexes().CreateOne(t.Context(), index(`{a: 1, b: -1}`))
			wantCode(t, "an index made later", err, 171)
			_, err = s.fill(t, "siblings", nil, index(`{a.b: 1, a.c: 1}`)).InsertOne(t.Context(), doc(`{a: [{b: 1, c: 2}, {b: 3, c: 4}]}`))
			wantCode(t, "two fields below one array", err, 0)
		})
	})
}

func TestConformanceIndexCommands(t *testing.T) {
	steps := []struct {
		reason, command string
		codes           []int
		indexes         string
	}{
		{"no collection, no indexes", `{listIndexes: "c"}`, []int{26}, ``},
		{"a first index makes the collection", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "a_1"}]}`, []int{0}, `_id_ a_1`},
		{"the same again is fine", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "a_1"}]}`, []int{0}, `_id_ a_1`},
		{"also as other types of number", `{createIndexes: "c", indexes: [{key: {a: double(1)}, name: "a_1"}]}`, []int{0}, `_id_ a_1`},
		{"its own kind of each", `{createIndexes: "c", indexes: [{key: {b: -1, a: 1}, name: "two", unique: true}, {key: {c.d: long(-1)}, name: "three", sparse: true}]}`, []int{0}, `_id_ a_1 three two`},
		{"one name for other keys", `{createIndexes: "c", indexes: [{key: {z: 1}, name: "a_1"}]}`, []int{86}, `_id_ a_1 three two`},
		{"other directions are other keys", `{createIndexes: "c", indexes: [{key: {a: -1}, name: "a_1"}]}`, []int{86}, `_id_ a_1 three two`},
		{"one key by another name", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "other"}]}`, []int{85}, `_id_ a_1 three two`},
		{"the same keys and name, but unique", `{createIndexes: "c", indexes: [{key: {a: 1}, name: "a_1", unique: true}]}`, []int{86}, `_id_ a_1 three two`},
		{"the index of _id is there already", `{createIndexes: "c", indexes: [{key: {_id: 1}, name: "_id_"}]}`, []int{0}, `_id_ a_1 three two`},
		{"no index by that name", `{dropIndexes: "c", index: "none"}`, []int{27}, `_id_ a_1 three two`},
		{"the index of _id stays", `{dropIndexes: "c", index: "_id_"}`, []int{72}, `_id_ a_1 three two`},
		{"by name", `{dropIndexes: "c", index: "two"}`, []int{0}, `_id_ a_1 three`},
		{"by keys", `{dropIndexes: "c", index: {c.d: -1}}`, []int{0}, `_id_ a_1`},
		{"all but that of _id", `{dropIndexes: "c", index: "*"}`, []int{0}, `_id_`},
		{"no collection", `{dropIndexes: "none", index: "*"}`, []int{26}, `_id_`},
	}
	onServers(t, func(t *testing.T, s target) {
		for _, step := range steps {
			reply, err := s.run(t, step.command)
			wantCode(t, step.reason, err, step.codes...)
			if step.indexes == "" {
				continue
			}
			specs, err := s.db.Collection("c").Indexes().ListSpecifications(t.Context())
			check(t, err)
			var names []string
			for _, spec := range specs {
				names = append(names, spec.Name)
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != step.indexes {
				t.Errorf("%s: the indexes are %s, want %s", step.reason, got, step.indexes)
			}
			if after, ok := reply.Lookup("numIndexesAfter").AsInt64OK(); ok && after != int64(len(names)) {
				t.Errorf("%s: numIndexesAfter is %d of %d", step.reason, after, len(names))
			}
			if step.indexes == "_id_ a_1 three two" {
				cursor, err := s.db.Collection("c").Indexes().List(t.Context())
				want := map[string]string{"_id_": `{v: 2, key: {_id: 1}, name: "_id_"}`, "a_1": `{v: 2, key: {a: 1}, name: "a_1"}`,
					"two": `{v: 2, key: {b: -1, a: 1}, name: "two", unique: true}`, "three": `{v: 2, key: {c.d: long(-1)}, name: "three", sparse: true}`}
				for _, spec := range all(t, cursor, err) {
					if name := field(spec, "name").(string); order(spec, doc(want[name])) != 0 {
						t.Errorf("%s: listed as %s, want %s", step.reason, show(spec), want[name])
					}
				}
			}
		}
	})
}

func TestConformanceCollectionsAndDatabases(t *testing.T) {
	onServers(t, func(t *testing.T, s target) {
		names := func(filter string) string {
			t.Helper()
			names, err := s.db.ListCollectionNames(t.Context(), doc(filter))
			check(t, err)
			slices.Sort(names)
			return strings.Join(names, " ")
		}
		listed := func() bool {
			t.Helper()
			names, err := s.db.Client().ListDatabaseNames(t.Context(), bson.D{{Key: "name", Value: s.db.Name()}})
			check(t, err)
			return slices.Equal(names, []string{s.db.Name()})
		}
		if got := names(`{}`); got != "" || listed() {
			t.Errorf("at first there are collections %q, listed: %t", got, listed())
		}
		cursor, err := s.db.Collection("none").Find(t.Context(), bson.D{})
		if got := all(t, cursor, err); len(got) != 0 {
			t.Errorf("a collection that isn't there has %s", show(got))
		}
		deleted, err := s.db.Collection("none").DeleteMany(t.Context(), bson.D{})
		check(t, err)
		updated, err := s.db.Collection("none").UpdateMany(t.Context(), bson.D{}, doc(`{$set: {a: 1}}`))
		check(t, err)
		if deleted.DeletedCount != 0 || updated.MatchedCount != 0 || names(`{}`) != "" {
			t.Errorf("deleted %d, updated %d, and now there is %q", deleted.DeletedCount, updated.MatchedCount, names(`{}`))
		}
		s.fill(t, "a", bson.A{doc(`{_id: 1}`)})
		s.fill(t, "b", nil, index(`{x: 1}`))
		if got := names(`{}`); got != "a b" || !listed() {
			t.Errorf("an insert and an index make collections %q, listed: %t", got, listed())
		}
		if got := names(`{name: "b"}`); got != "b" {
			t.Errorf("by name there is %q", got)
		}
		specs, err := s.db.ListCollectionSpecifications(t.Context(), doc(`{name: "a"}`))
		if err != nil || len(specs) != 1 || specs[0].Type != "collection" || specs[0].ReadOnly || specs[0].IDIndex.Name != "_id_" {
			t.Errorf("listed as %+v, %v", specs, err)
		}
		check(t, s.db.Collection("a").Drop(t.Context()))
		check(t, s.db.Collection("a").Drop(t.Context()))
		if got := names(`{}`); got != "b" {
			t.Errorf("after a drop there is %q", got)
		}
		s.fill(t, "a", nil, index(`{y: 1}`))
		if n, err := s.db.Collection("a").CountDocuments(t.Context(), bson.D{}); n != 0 || err != nil {
			t.Errorf("a collection made again has %d documents, %v", n, err)
		}
		check(t, s.db.Drop(t.Context()))
		if got := names(`{}`); got != "" || listed() {
			t.Errorf("after dropDatabase there is %q, listed: %t", got, listed())
		}
		check(t, s.db.Drop(t.Context()))
	})
}

// explained returns how many documents the command returned and read.
func (s target) explained(t *testing.T, command bson.D) (returned, examined int) {
	t.Helper()
	reply, err := s.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: command}, {Key: "verbosity", Value: "executionStats"}}).Raw()
	check(t, err)
	for _, at := range [][]string{nil, {"stages", "0", "$cursor"}} {
		var plan struct {
			QueryPlanner   bson.Raw `bson:"queryPlanner"`
			ExecutionStats struct {
				NReturned         int  `bson:"nReturned"`
				TotalKeysExamined *int `bson:"totalKeysExamined"`
				TotalDocsExamined *int `bson:"totalDocsExamined"`
			} `bson:"executionStats"`
		}
		within := reply
		if at != nil {
			within, _ = reply.Lookup(at...).DocumentOK()
		}
		check(t, bson.Unmarshal(within, &plan))
		if stats := plan.ExecutionStats; plan.QueryPlanner != nil && stats.TotalDocsExamined != nil && stats.TotalKeysExamined != nil {
			return stats.NReturned, *stats.TotalDocsExamined
		}
	}
	t.Fatalf("no queryPlanner and executionStats in %s", reply)
	return 0, 0
}

// library is 2,000 documents for pages: f repeats, at doesn't, every tenth has no slug.
func library() bson.A {
	var out bson.A
	for i := range int32(2000) {
		d := bson.D{{Key: "_id", Value: i * 7919 % 2000}, {Key: "f", Value: i * 31 % 97}, {Key: "s", Value: i % 2}, {Key: "at", Value: bson.DateTime(int64(i)*1000 - 500000)},
			{Key: "tags", Value: bson.A{i % 5, i % 7, 100 + i%3}}, {Key: "old", Value: bson.A{-i}}}
		if i%10 != 0 {
			d = append(d, bson.E{Key: "slug", Value: i})
		}
		out = append(out, d)
	}
	return out
}

// beyond is the condition for documents after d in the order of two keys. Backwards
// it is for those before d.
func beyond(d, by bson.D, backwards bool) bson.E {
	compare := func(e bson.E) bson.D {
		operator := "$gt"
		if (e.Value.(int32) < 0) != backwards {
			operator = "$lt"
		}
		return bson.D{{Key: operator, Value: field(d, e.Key)}}
	}
	return bson.E{Key: "$or", Value: bson.A{
		bson.D{{Key: by[0].Key, Value: compare(by[0])}},
		bson.D{{Key: by[0].Key, Value: field(d, by[0].Key)}, {Key: by[1].Key, Value: compare(by[1])}},
	}}
}

func TestConformancePagesReadWhatTheyReturn(t *testing.T) {
	const size = 10
	cases := map[string]struct {
		reason, keys, filter, sort string
		last                       bool // a bound at the other end as well
		merged                     bool // MongoDB's planner may choose otherwise
	}{
		"Forwards":    {"a range within the index", `{f: 1, _id: 1}`, `{}`, `{f: 1, _id: 1}`, false, false},
		"Backwards":   {"the index read backwards", `{f: 1, _id: 1}`, `{}`, `{f: -1, _id: -1}`, false, false},
		"Both":        {"bounds at both ends", `{f: 1, _id: 1}`, `{}`, `{f: 1, _id: 1}`, true, true},
		"BothBack":    {"bounds at both ends, backwards", `{f: 1, _id: 1}`, `{}`, `{f: -1, _id: -1}`, true, true},
		"Dates":       {"dates around 1970 in a descending index", `{at: -1, _id: -1}`, `{}`, `{at: -1, _id: -1}`, false, false},
		"Crossed":     {"one key up, one down", `{f: -1, _id: 1}`, `{}`, `{f: 1, _id: -1}`, false, false},
		"Prefix":      {"an equality before the range", `{s: 1, f: 1, _id: 1}`, `{s: 1}`, `{f: 1, _id: 1}`, false, false},
		"PrefixBack":  {"the same backwards", `{s: 1, f: 1, _id: 1}`, `{s: 1}`, `{f: -1, _id: -1}`, false, false},
		"PrefixRange": {"with a range on the same field", `{s: 1, f: 1, _id: 1}`, `{s: 1, f: {$gte: 5, $lt: 90}}`, `{f: 1, _id: 1}`, false, true},
		"PrefixBoth":  {"and bounds at both ends", `{s: 1, f: 1, _id: 1}`, `{s: 1, f: {$gte: 5, $lt: 90}}`, `{f: -1, _id: -1}`, true, true},
		"Element":     {"one element of an array", `{tags: 1, at: -1, _id: -1}`, `{tags: 101}`, `{at: -1, _id: -1}`, false, false},
		"In":          {"several elements, merged; a document with two of them comes once", `{tags: 1, at: -1, _id: -1}`, `{tags: {$in: [1, 3, 101]}}`, `{at: -1, _id: -1}`, false, true},
		"InPrefix":    {"with an equality between", `{tags: 1, s: 1, at: -1, _id: -1}`, `{tags: {$in: [101, 102]}, s: 1}`, `{at: -1, _id: -1}`, true, true},
		"InBack":      {"the same backwards", `{tags: 1, at: -1, _id: -1}`, `{tags: {$in: [1, 3, 101]}}`, `{at: 1, _id: 1}`, false, true},
	}
	data := library()
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				collection := s.fill(t, name, data, index(c.keys))
				by := doc(c.sort)
				matching := sorted(slices.DeleteFunc(documents(data), func(d bson.D) bool { return !matches(d, doc(c.filter)) }), by)
				pages := (len(matching) + size - 1) / size
				if pages < 50 {
					t.Fatalf("the case has only %d pages", pages)
				}
				for _, page := range []int{0, 49, pages - 1} {
					filter, want := doc(c.filter), matching[page*size:min((page+1)*size, len(matching))]
					bounds := bson.A{}
					if page > 0 {
						bounds = append(bounds, bson.D{beyond(matching[page*size-1], by, false)})
					}
					if c.last {
						bounds = append(bounds, bson.D{beyond(matching[len(matching)-1], by, true)})
						want = want[:len(want)-page/(pages-1)]
					}
					if len(bounds) > 0 {
						filter = append(filter, bson.E{Key: "$and", Value: bounds})
					}
					cursor, err := collection.Find(t.Context(), filter, options.Find().SetSort(by).SetLimit(size))
					if got := all(t, cursor, err); show(got) != show(want) {
						t.Errorf("page %d has %s, want %s: %s", page+1, show(ids(got)), show(ids(want)), c.reason)
					}
					returned, examined := s.explained(t, bson.D{{Key: "find", Value: name}, {Key: "filter", Value: filter}, {Key: "sort", Value: by}, {Key: "limit", Value: size}})
					if returned != len(want) || (examined > 2*returned+10 && (s.embedded || !c.merged)) {
						t.Errorf("page %d returns %d and reads %d documents: %s", page+1, returned, examined, c.reason)
					}
				}
			})
		}
	})
}

func TestConformanceExplain(t *testing.T) {
	indexes := []mongo.IndexModel{index(`{f: 1}`), index(`{s: 1}`), index(`{old: 1}`), {Keys: doc(`{slug: 1}`), Options: options.Index().SetUnique(true).SetSparse(true)}}
	cases := map[string]struct {
		reason, command string
		least, most     int // documents read
	}{
		"Scan":          {"without an index all are read", `{find: "c", filter: {at: date(1)}}`, 2000, 2000},
		"ID":            {"by _id", `{find: "c", filter: {_id: 7}}`, 1, 1},
		"IDs":           {"by several", `{find: "c", filter: {_id: {$in: [7, 8, 9, 5000]}}}`, 3, 3},
		"Equality":      {"by a value", `{find: "c", filter: {f: 5}}`, 20, 21},
		"EqualityMore":  {"with a condition on the rest", `{find: "c", filter: {f: 5, at: {$lt: date(0)}}}`, 5, 21},
		"Range":         {"by a range", `{find: "c", filter: {f: {$gte: 5, $lt: 7}}}`, 40, 42},
		"In":            {"by several values", `{find: "c", filter: {f: {$in: [5, 50]}}}`, 40, 42},
		"SparseUnique":  {"a value isn't missing", `{find: "c", filter: {slug: 5}}`, 1, 1},
		"SparseMissing": {"a sparse index lacks the documents without the field", `{find: "c", filter: {slug: null}}`, 2000, 2000},
		"Or":            {"by two indexes", `{find: "c", filter: {$or: [{slug: 5}, {old: -7}]}}`, 2, 4},
		"OrSame":        {"two indexes, one document", `{find: "c", filter: {$or: [{slug: 5}, {old: -5}]}}`, 1, 2},
		"Aggregate":     {"an aggregate's first match", `{aggregate: "c", pipeline: [{$match: {f: 5}}, {$project: {s: 1}}], cursor: {}}`, 20, 21},
		"CountLimit":    {"a count ends at its limit", `{aggregate: "c", pipeline: [{$match: {s: 1}}, {$limit: 7}, {$group: {_id: 1, n: {$sum: 1}}}], cursor: {}}`, 0, 17},
		"Distinct":      {"distinct of a part", `{distinct: "c", key: "s", query: {f: 5}}`, 0, 21},
		"Update":        {"an update that isn't made", `{update: "c", updates: [{q: {f: 5}, u: {$set: {gone: 1}}, multi: true}]}`, 20, 21},
		"Delete":        {"a delete that isn't made", `{delete: "c", deletes: [{q: {f: 5}, limit: 0}]}`, 0, 21},
	}
	onServers(t, func(t *testing.T, s target) {
		collection := s.fill(t, "c", library(), indexes...)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				if _, examined := s.explained(t, doc(c.command)); examined < c.least || examined > c.most {
					t.Errorf("%d documents were read, want %d to %d: %s", examined, c.least, c.most, c.reason)
				}
			})
		}
		n, err := collection.CountDocuments(t.Context(), doc(`{gone: {$exists: false}}`))
		if n != 2000 || err != nil {
			t.Errorf("of 2,000 documents %d are as they were: %v", n, err)
		}
		cursor, err := collection.Find(t.Context(), doc(`{$or: [{slug: 5}, {old: -5}, {old: -7}, {_id: 0}, {_id: double(0)}]}`))
		if got := all(t, cursor, err); len(got) != 3 {
			t.Errorf("$or finds %s", show(ids(got)))
		}
		reply, err := s.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: doc(`{find: "c"}`)}, {Key: "verbosity", Value: "queryPlanner"}}).Raw()
		if err != nil || reply.Lookup("queryPlanner").Type != bson.TypeEmbeddedDocument || len(reply.Lookup("executionStats").Value) != 0 {
			t.Errorf("the verbosity queryPlanner gives %s, %v", reply, err)
		}
	})
}
