//go:build (linux || darwin || freebsd) && !stoa_noembedded

// Write cases: tables of updates, upserts and inserts, of their errors, of bulk writes, and
// concurrent conditional updates.
package embedded_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// update runs one update statement. A driver would refuse some of them itself.
func (s target) update(t *testing.T, collection string, statement bson.D) (bson.Raw, error) {
	t.Helper()
	return s.db.RunCommand(t.Context(), bson.D{{Key: "update", Value: collection}, {Key: "updates", Value: bson.A{statement}}}).Raw()
}

func TestConformanceUpdates(t *testing.T) {
	cases := map[string]struct{ reason, before, update, after string }{
		"Set":              {"a field keeps its place", `{_id: 1, a: 1, b: 2}`, `{$set: {a: 9}}`, `{_id: 1, a: 9, b: 2}`},
		"SetNew":           {"new fields come last, in the order of their names", `{_id: 1, z: 0}`, `{$set: {c: 1, b: 2}}`, `{_id: 1, z: 0, b: 2, c: 1}`},
		"SetAcross":        {"that order spans operators", `{_id: 1}`, `{$set: {c: 1}, $inc: {b: 1}, $max: {a: 1}}`, `{_id: 1, a: 1, b: 1, c: 1}`},
		"SetNumeric":       {"numbers among names are in numeric order", `{_id: 1, a: {}}`, `{$set: {a.10: 1, a.2: 1}}`, `{_id: 1, a: {2: 1, 10: 1}}`},
		"SetSame":          {"the same value is no change", `{_id: 1, a: 1}`, `{$set: {a: 1}}`, `{_id: 1, a: 1}`},
		"SetOtherType":     {"another type is", `{_id: 1, a: 1}`, `{$set: {a: long(1)}}`, `{_id: 1, a: long(1)}`},
		"SetNothing":       {"an empty operator is allowed since 5.0", `{_id: 1, a: 1}`, `{$set: {}}`, `{_id: 1, a: 1}`},
		"SetNull":          {"null is a value", `{_id: 1, a: 1}`, `{$set: {a: null}}`, `{_id: 1, a: null}`},
		"SetDotted":        {"within a document", `{_id: 1, a: {b: 1, c: 2}}`, `{$set: {a.b: 3}}`, `{_id: 1, a: {b: 3, c: 2}}`},
		"SetDottedNew":     {"documents on the way are made", `{_id: 1}`, `{$set: {a.b.c: 1}}`, `{_id: 1, a: {b: {c: 1}}}`},
		"SetTwoBelow":      {"two fields of one document", `{_id: 1}`, `{$set: {a.c: 1, a.b: 2}}`, `{_id: 1, a: {b: 2, c: 1}}`},
		"SetElement":       {"a number is a position in an array", `{_id: 1, a: [1, 2]}`, `{$set: {a.1: 9}}`, `{_id: 1, a: [1, 9]}`},
		"SetBeyond":        {"the array is filled with null", `{_id: 1, a: [1, 2]}`, `{$set: {a.3: 9}}`, `{_id: 1, a: [1, 2, null, 9]}`},
		"SetInElement":     {"a document in an array", `{_id: 1, a: [{b: 1}, {b: 2}]}`, `{$set: {a.1.b: 9}}`, `{_id: 1, a: [{b: 1}, {b: 9}]}`},
		"SetNumberName":    {"and a name where there is no array", `{_id: 1}`, `{$set: {a.0: 1}}`, `{_id: 1, a: {0: 1}}`},
		"Unset":            {"the others stay", `{_id: 1, a: 1, b: 2}`, `{$unset: {a: ""}}`, `{_id: 1, b: 2}`},
		"UnsetMissing":     {"no change", `{_id: 1, a: 1}`, `{$unset: {z: ""}}`, `{_id: 1, a: 1}`},
		"UnsetDotted":      {"an empty document stays", `{_id: 1, a: {b: 1}}`, `{$unset: {a.b: 1}}`, `{_id: 1, a: {}}`},
		"UnsetBelowScalar": {"no change", `{_id: 1, a: 1}`, `{$unset: {a.b: ""}}`, `{_id: 1, a: 1}`},
		"UnsetElement":     {"an array keeps its length", `{_id: 1, a: [1, 2]}`, `{$unset: {a.0: ""}}`, `{_id: 1, a: [null, 2]}`},
		"UnsetBeyond":      {"no change", `{_id: 1, a: [1]}`, `{$unset: {a.5: ""}}`, `{_id: 1, a: [1]}`},
		"Inc":              {"a sum of two int32 is int32", `{_id: 1, a: 1}`, `{$inc: {a: -3}}`, `{_id: 1, a: -2}`},
		"IncMissing":       {"a missing field gets the amount", `{_id: 1}`, `{$inc: {a: long(2)}}`, `{_id: 1, a: long(2)}`},
		"IncDotted":        {"documents on the way are made", `{_id: 1}`, `{$inc: {a.b: 2}}`, `{_id: 1, a: {b: 2}}`},
		"IncElement":       {"a position", `{_id: 1, a: [1, 2]}`, `{$inc: {a.1: 1}}`, `{_id: 1, a: [1, 3]}`},
		"IncZero":          {"no change", `{_id: 1, a: 1}`, `{$inc: {a: 0}}`, `{_id: 1, a: 1}`},
		"IncOverflow":      {"int32 grows to int64", `{_id: 1, a: 2147483647}`, `{$inc: {a: 1}}`, `{_id: 1, a: long(2147483648)}`},
		"IncUnderflow":     {"downwards, too", `{_id: 1, a: -2147483648}`, `{$inc: {a: -1}}`, `{_id: 1, a: long(-2147483649)}`},
		"IncLong":          {"the wider type wins", `{_id: 1, a: 1}`, `{$inc: {a: long(1)}}`, `{_id: 1, a: long(2)}`},
		"IncByInt":         {"on either side", `{_id: 1, a: long(1)}`, `{$inc: {a: 1}}`, `{_id: 1, a: long(2)}`},
		"IncDouble":        {"double is the widest", `{_id: 1, a: 1}`, `{$inc: {a: 0.5}}`, `{_id: 1, a: 1.5}`},
		"IncADouble":       {"a double stays one", `{_id: 1, a: 1.5}`, `{$inc: {a: 1}}`, `{_id: 1, a: 2.5}`},
		"Max":              {"the greater replaces", `{_id: 1, a: 1}`, `{$max: {a: 2}}`, `{_id: 1, a: 2}`},
		"MaxLess":          {"the less doesn't", `{_id: 1, a: 2}`, `{$max: {a: 1}}`, `{_id: 1, a: 2}`},
		"MaxEqual":         {"an equal number of another type doesn't", `{_id: 1, a: 2}`, `{$max: {a: double(2)}}`, `{_id: 1, a: 2}`},
		"MaxMissing":       {"a missing field gets the value", `{_id: 1}`, `{$max: {a.b: 1}}`, `{_id: 1, a: {b: 1}}`},
		"MaxString":        {"strings are greater than numbers", `{_id: 1, a: 5}`, `{$max: {a: ""}}`, `{_id: 1, a: ""}`},
		"MaxNumber":        {"and numbers less than strings", `{_id: 1, a: ""}`, `{$max: {a: 5}}`, `{_id: 1, a: ""}`},
		"MaxNull":          {"null is less than numbers", `{_id: 1, a: null}`, `{$max: {a: -5}}`, `{_id: 1, a: -5}`},
		"MaxDate":          {"dates before 1970", `{_id: 1, a: date(-5)}`, `{$max: {a: date(-4)}}`, `{_id: 1, a: date(-4)}`},
		"SameID":           {"the same _id is no change", `{_id: 1, a: 1}`, `{$set: {_id: 1, a: 2}}`, `{_id: 1, a: 2}`},
		"Replace":          {"all but the _id goes", `{_id: 1, a: 1, b: 2}`, `{c: 3}`, `{_id: 1, c: 3}`},
		"ReplaceSame":      {"an equal replacement is no change", `{_id: 1, a: 1}`, `{a: 1}`, `{_id: 1, a: 1}`},
		"ReplaceOrder":     {"another order of fields is one", `{_id: 1, a: 1, b: 2}`, `{b: 2, a: 1}`, `{_id: 1, b: 2, a: 1}`},
		"ReplaceIDLast":    {"_id is stored first", `{_id: 1, a: 1}`, `{b: 1, _id: 1}`, `{_id: 1, b: 1}`},
		"ReplaceEmpty":     {"nothing but the _id is left", `{_id: 1, a: 1}`, `{}`, `{_id: 1}`},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				collection := s.fill(t, name, bson.A{doc(c.before)}, index(`{a: 1}`), index(`{b: -1, _id: 1}`))
				reply, err := s.update(t, name, bson.D{{Key: "q", Value: doc(`{_id: 1}`)}, {Key: "u", Value: doc(c.update)}})
				check(t, err)
				cursor, err := collection.Find(t.Context(), bson.D{})
				if got := show(all(t, cursor, err)); got != show([]bson.D{doc(c.after)}) {
					t.Errorf("got %s, want %s: %s", got, c.after, c.reason)
				}
				modified := int64(0)
				if show(doc(c.before)) != show(doc(c.after)) {
					modified = 1
				}
				if reply.Lookup("n").AsInt64() != 1 || reply.Lookup("nModified").AsInt64() != modified {
					t.Errorf("matched %v, modified %v, want 1, %d: %s", reply.Lookup("n"), reply.Lookup("nModified"), modified, c.reason)
				}
			})
		}
	})
}

func TestConformanceUpdatesThatFail(t *testing.T) {
	const before = `{_id: 1, a: 1, s: "x", n: null, l: [1], max: long(9223372036854775807)}`
	cases := map[string]struct {
		reason, update string
		codes          []int
	}{
		"BelowScalar":     {"a number has no fields", `{$set: {a.b: 1}}`, []int{28}},
		"BelowNull":       {"nor has null", `{$set: {n.b: 1}}`, []int{28}},
		"NameInArray":     {"an array has positions only", `{$set: {l.b: 1}}`, []int{28}},
		"IncString":       {"a string can't be added to", `{$inc: {s: 1}}`, []int{14}},
		"IncNull":         {"nor can null", `{$inc: {n: 1}}`, []int{14}},
		"IncArray":        {"nor an array", `{$inc: {l: 1}}`, []int{14}},
		"IncByString":     {"nor a string", `{$inc: {a: "1"}}`, []int{14}},
		"IncOverflow":     {"int64 has no wider type", `{$inc: {max: 1}}`, []int{2}},
		"Twice":           {"one path, two operators", `{$set: {a: 2}, $inc: {a: 1}}`, []int{40}},
		"SetUnset":        {"set and unset", `{$set: {a: 2}, $unset: {a: ""}}`, []int{40}},
		"Prefix":          {"one path within the other", `{$set: {c: {}, c.d: 1}}`, []int{40}},
		"PrefixUnset":     {"across operators", `{$set: {c.d: 1}, $unset: {c: ""}}`, []int{40}},
		"SetID":           {"_id can't change", `{$set: {_id: 2}}`, []int{66}},
		"IncID":           {"by any operator", `{$inc: {_id: 1}}`, []int{66}},
		"UnsetID":         {"nor go", `{$unset: {_id: ""}}`, []int{66}},
		"ReplaceID":       {"nor be replaced", `{_id: 2, a: 1}`, []int{66}},
		"ReplaceOperator": {"a replacement has no operators", `{b: 1, $set: {a: 1}}`, []int{9, 52}},
		"OperatorReplace": {"operators come with no fields", `{$set: {a: 1}, b: 1}`, []int{9}},
		"Unknown":         {"an unknown operator", `{$foo: {a: 1}}`, []int{9}},
		"SetNumber":       {"an operator has fields", `{$set: 5}`, []int{9}},
		"EmptyName":       {"an empty name in a path", `{$set: {a..b: 1}}`, []int{56}},
		"EmptyEnd":        {"at the end", `{$set: {b.: 1}}`, []int{56}},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				collection := s.fill(t, name, bson.A{doc(before)}, index(`{a: 1}`))
				_, err := s.update(t, name, bson.D{{Key: "q", Value: doc(`{_id: 1}`)}, {Key: "u", Value: doc(c.update)}})
				wantCode(t, c.reason, err, c.codes...)
				cursor, err := collection.Find(t.Context(), bson.D{})
				if got := show(all(t, cursor, err)); got != show([]bson.D{doc(before)}) {
					t.Errorf("the document is now %s", got)
				}
			})
		}
		_, err := s.update(t, "Twice", doc(`{q: {_id: 1}, u: {a: 1}, multi: true}`))
		wantCode(t, "a replacement of many", err, 9)
	})
}

func TestConformanceUpdateCounts(t *testing.T) {
	cases := map[string]struct{ reason, statement, want string }{
		"One":       {"the first match only", `{q: {a: 1}, u: {$inc: {b: 1}}}`, `[1, 1]`},
		"Many":      {"every match", `{q: {a: 1}, u: {$inc: {b: 1}}, multi: true}`, `[3, 3]`},
		"Some":      {"a match that stays the same isn't modified", `{q: {a: 1}, u: {$set: {c: 1}}, multi: true}`, `[3, 2]`},
		"None":      {"no match", `{q: {a: 9}, u: {$set: {c: 1}}, multi: true}`, `[0, 0]`},
		"NoUpsert":  {"upsert: false", `{q: {a: 9}, u: {$set: {c: 1}}, upsert: false}`, `[0, 0]`},
		"Condition": {"a condition beside the _id", `{q: {_id: 1, a: 2}, u: {$set: {c: 1}}}`, `[0, 0]`},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				s.fill(t, name, list(`[{_id: 1, a: 1, c: 1}, {_id: 2, a: 1}, {_id: 3, a: [1, 2]}, {_id: 4}]`), index(`{a: 1}`))
				reply, err := s.update(t, name, doc(c.statement))
				check(t, err)
				if got := show(bson.A{int32(reply.Lookup("n").AsInt64()), int32(reply.Lookup("nModified").AsInt64())}); got != show(list(c.want)) {
					t.Errorf("matched and modified %s, want %s: %s", got, c.want, c.reason)
				}
			})
		}
		t.Run("MovedInTheIndex", func(t *testing.T) {
			var data bson.A
			for i := range int32(500) {
				data = append(data, bson.D{{Key: "_id", Value: i}, {Key: "a", Value: bson.A{i, i + 1}}, {Key: "b", Value: i}})
			}
			collection := s.fill(t, "moved", data, index(`{b: 1}`), index(`{a: 1}`))
			for _, filter := range []string{`{b: {$gte: 0}}`, `{a: {$gte: 0}}`} {
				r, err := collection.UpdateMany(t.Context(), doc(filter), doc(`{$inc: {b: 100, n: 1}}`))
				if err != nil || r.MatchedCount != 500 || r.ModifiedCount != 500 {
					t.Errorf("an update where %s: %+v, %v", filter, r, err)
				}
			}
			if n, err := collection.CountDocuments(t.Context(), doc(`{n: 2}`)); n != 500 || err != nil {
				t.Errorf("%d documents were updated once by each of two updates: %v", n, err)
			}
		})
		t.Run("Delete", func(t *testing.T) {
			s.fill(t, "d", list(`[{_id: 1, a: 1}, {_id: 2, a: 1}, {_id: 3, a: [1, 2]}, {_id: 4}]`), index(`{a: 1}`))
			for _, c := range []struct {
				reason, statement string
				want              int64
			}{
				{"the first match only", `{q: {a: 1}, limit: 1}`, 1},
				{"every match", `{q: {a: 1}, limit: 0}`, 2},
				{"no match", `{q: {a: 1}, limit: 0}`, 0},
				{"all others", `{q: {}, limit: 0}`, 1},
			} {
				reply, err := s.db.RunCommand(t.Context(), bson.D{{Key: "delete", Value: "d"}, {Key: "deletes", Value: bson.A{doc(c.statement)}}}).Raw()
				check(t, err)
				if got := reply.Lookup("n").AsInt64(); got != c.want {
					t.Errorf("deleted %d, want %d: %s", got, c.want, c.reason)
				}
			}
		})
	})
}

func TestConformanceUpserts(t *testing.T) {
	cases := map[string]struct {
		reason, filter, update, want string
		code                         int
	}{
		"Fields":       {"equalities of the filter are fields", `{_id: 1, a: 2}`, `{$set: {b: 3}}`, `{_id: 1, a: 2, b: 3}`, 0},
		"Eq":           {"by $eq, too; other operators give none", `{_id: 1, a: {$eq: 2}, b: {$gt: 3}}`, `{$set: {c: 4}}`, `{_id: 1, a: 2, c: 4}`, 0},
		"And":          {"and those within $and", `{_id: 1, $and: [{a: 1}, {b: 2}]}`, `{$set: {c: 3}}`, `{_id: 1, a: 1, b: 2, c: 3}`, 0},
		"Or":           {"not those of alternatives", `{_id: 1, $or: [{a: 1}, {b: 2}]}`, `{$set: {c: 3}}`, `{_id: 1, c: 3}`, 0},
		"In":           {"nor of $in", `{_id: 1, a: {$in: [1, 2]}}`, `{$set: {c: 3}}`, `{_id: 1, c: 3}`, 0},
		"Dotted":       {"documents on the way are made", `{_id: 1, a.b: 2}`, `{$set: {a.c: 3}}`, `{_id: 1, a: {b: 2, c: 3}}`, 0},
		"Null":         {"equality to null", `{_id: 1, a: null}`, `{$set: {b: 3}}`, `{_id: 1, a: null, b: 3}`, 0},
		"Set":          {"the update comes after", `{_id: 1, a: 1}`, `{$set: {a: 2}}`, `{_id: 1, a: 2}`, 0},
		"Inc":          {"$inc adds to the filter's value", `{_id: 1, a: 1}`, `{$inc: {a: 2}}`, `{_id: 1, a: 3}`, 0},
		"Max":          {"$max compares with it", `{_id: 1, a: 1}`, `{$max: {a: 2, b: 1}}`, `{_id: 1, a: 2, b: 1}`, 0},
		"Unset":        {"$unset takes it away", `{_id: 1, a: 1}`, `{$unset: {a: ""}}`, `{_id: 1}`, 0},
		"IDSet":        {"the update may give the _id", `{a: 1}`, `{$set: {_id: 7}}`, `{_id: 7, a: 1}`, 0},
		"Replace":      {"of a replacement's filter only _id is used", `{_id: 1, a: 1}`, `{b: 2}`, `{_id: 1, b: 2}`, 0},
		"ReplaceID":    {"a replacement may have the _id", `{a: 1}`, `{b: 2, _id: 7}`, `{_id: 7, b: 2}`, 0},
		"Twice":        {"one path by two values", `{_id: 1, a: 1, $and: [{a: 2}]}`, `{$set: {b: 1}}`, ``, 54},
		"Overlap":      {"a path within another", `{_id: 1, a: {b: 1}, a.b: 1}`, `{$set: {b: 1}}`, ``, 54},
		"OtherID":      {"the filter's _id stays", `{_id: 1}`, `{$set: {_id: 2}}`, ``, 66},
		"OtherReplace": {"in a replacement, too", `{_id: 1}`, `{_id: 2, b: 1}`, ``, 66},
		"Exists":       {"the _id exists, in a document that the filter doesn't match", `{_id: 99, a: 5}`, `{$set: {b: 1}}`, ``, 11000},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				s.fill(t, name, list(`[{_id: 99, a: "other"}]`))
				reply, err := s.update(t, name, bson.D{{Key: "q", Value: doc(c.filter)}, {Key: "u", Value: doc(c.update)}, {Key: "upsert", Value: true}})
				wantCode(t, c.reason, err, c.code)
				cursor, err := s.db.Collection(name).Find(t.Context(), doc(`{_id: {$ne: 99}}`))
				found := all(t, cursor, err)
				if c.want == "" || len(found) != 1 {
					if len(found) != 0 || c.want != "" {
						t.Errorf("found %s, want %s: %s", show(found), c.want, c.reason)
					}
					return
				}
				want := doc(c.want)
				if show(found[0]) != show(want) {
					t.Errorf("got %s, want %s: %s", show(found[0]), c.want, c.reason)
				}
				upserted := show(bson.A{bson.D{{Key: "index", Value: int32(0)}, {Key: "_id", Value: want[0].Value}}})
				if got := show(reply.Lookup("upserted")); got != upserted || reply.Lookup("n").AsInt64() != 1 || reply.Lookup("nModified").AsInt64() != 0 {
					t.Errorf("the reply is %s, want upserted %s", reply, upserted)
				}
			})
		}
		for name, filter := range map[string]string{"NoID": `{a: 1}`, "IDRange": `{_id: {$gt: 5}, a: 1}`} {
			t.Run(name, func(t *testing.T) {
				result, err := s.db.Collection(name).UpdateOne(t.Context(), doc(filter), doc(`{$set: {b: 1}}`), options.UpdateOne().SetUpsert(true))
				check(t, err)
				if _, ok := result.UpsertedID.(bson.ObjectID); !ok || result.MatchedCount != 0 || result.UpsertedCount != 1 {
					t.Errorf("got %+v, want an ObjectID as upserted", result)
				}
				cursor, err := s.db.Collection(name).Find(t.Context(), bson.D{})
				if got, want := show(all(t, cursor, err)), show([]bson.D{{{Key: "_id", Value: result.UpsertedID}, {Key: "a", Value: int32(1)}, {Key: "b", Value: int32(1)}}}); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
	})
}

func TestConformanceInserts(t *testing.T) {
	cases := map[string]struct {
		reason, documents string
		ordered           bool
		code, index       int
		keyValue, left    string
	}{
		"Ordered":    {"the first error ends the command", `[{_id: 1}, {_id: 2}, {_id: 1}, {_id: 3}]`, true, 11000, 2, `{_id: 1}`, `[1, 2]`},
		"Unordered":  {"the others are inserted", `[{_id: 1}, {_id: 2}, {_id: 1}, {_id: 3}]`, false, 11000, 2, `{_id: 1}`, `[1, 2, 3]`},
		"OtherType":  {"1 as double is the same _id", `[{_id: 1}, {_id: double(1)}]`, true, 11000, 1, `{_id: double(1)}`, `[1]`},
		"Unique":     {"another unique index", `[{_id: 1, u: 5}, {_id: 2, u: 5}, {_id: 3}]`, false, 11000, 1, `{u: 5}`, `[1, 3]`},
		"IDArray":    {"an array can't be an _id", `[{_id: 1}, {_id: [1]}]`, true, 2, 1, ``, `[1]`},
		"IDDocument": {"a document can", `[{_id: {a: 1}}]`, true, 0, 0, ``, `[{a: 1}]`},
		"IDNull":     {"null can", `[{_id: null}]`, true, 0, 0, ``, `[null]`},
		"None":       {"no document", `[]`, true, -2, 0, ``, `[]`},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				collection := s.fill(t, name, nil, mongo.IndexModel{Keys: doc(`{u: 1}`), Options: options.Index().SetUnique(true).SetSparse(true)})
				err := s.db.RunCommand(t.Context(), bson.D{{Key: "insert", Value: name}, {Key: "documents", Value: list(c.documents)}, {Key: "ordered", Value: c.ordered}}).Err()
				switch {
				case c.code == -2 && err == nil, c.code == 0 && err != nil:
					t.Errorf("got %v: %s", err, c.reason)
				case c.code == 2:
					wantCode(t, c.reason, err, 2, 53)
				case c.code > 0:
					wantCode(t, c.reason, err, c.code)
				}
				cursor, err := collection.Find(t.Context(), bson.D{})
				if got := show(sortedIDs(all(t, cursor, err))); got != show(list(c.left)) {
					t.Errorf("the collection has %s, want %s: %s", got, c.left, c.reason)
				}
			})
			if c.keyValue == "" {
				continue
			}
			t.Run(name+"ByDriver", func(t *testing.T) {
				s.fill(t, name+"2", nil, mongo.IndexModel{Keys: doc(`{u: 1}`), Options: options.Index().SetUnique(true).SetSparse(true)})
				_, err := s.db.Collection(name+"2").InsertMany(t.Context(), list(c.documents), options.InsertMany().SetOrdered(c.ordered))
				var bulk mongo.BulkWriteException
				if !errors.As(err, &bulk) || len(bulk.WriteErrors) != 1 {
					t.Fatalf("got %v, want one write error", err)
				}
				e := bulk.WriteErrors[0]
				want := doc(c.keyValue)
				pattern := bson.D{{Key: want[0].Key, Value: int32(1)}}
				if e.Index != c.index || e.Code != c.code || show(e.Raw.Lookup("keyValue")) != show(want) || show(e.Raw.Lookup("keyPattern")) != show(pattern) ||
					!strings.Contains(e.Message, "E11000 duplicate key error collection: "+s.db.Name()+"."+name+"2 index: ") {
					t.Errorf("got %s, want index %d, keyValue %s", e.Raw, c.index, c.keyValue)
				}
			})
		}
		t.Run("Order", func(t *testing.T) {
			_, err := s.run(t, `{insert: "o", documents: [{b: 1, _id: 5, a: 2}, {c: 3}]}`)
			check(t, err)
			cursor, err := s.db.Collection("o").Find(t.Context(), bson.D{}, options.Find().SetSort(doc(`{_id: 1}`)))
			found := all(t, cursor, err)
			if show(found[0]) != show(doc(`{_id: 5, b: 1, a: 2}`)) {
				t.Errorf("got %s, want the _id first and the others in their order", show(found[0]))
			}
			if _, ok := found[1][0].Value.(bson.ObjectID); !ok || found[1][0].Key != "_id" {
				t.Errorf("got %s, want an ObjectID that the server gave", show(found[1]))
			}
		})
		t.Run("TooLarge", func(t *testing.T) {
			large := bson.D{{Key: "_id", Value: 1}, {Key: "a", Value: strings.Repeat("x", 9<<20)}}
			fits := bson.D{{Key: "_id", Value: 2}, {Key: "a", Value: strings.Repeat("x", 16<<20-100)}}
			_, err := s.db.Collection("large").InsertMany(t.Context(), []any{large, fits})
			check(t, err)
			_, err = s.db.Collection("large").UpdateByID(t.Context(), 1, bson.D{{Key: "$set", Value: bson.D{{Key: "b", Value: strings.Repeat("x", 9<<20)}}}})
			wantCode(t, "two fields of 9 MiB", err, 10334, 17419)
			// MongoDB refuses the message (10334) or the document (2), by a few bytes.
			err = s.db.RunCommand(t.Context(), bson.D{{Key: "insert", Value: "large"}, {Key: "documents", Value: bson.A{bson.D{{Key: "a", Value: strings.Repeat("x", 17<<20)}}}}}).Err()
			wantCode(t, "a document of 17 MiB", err, 10334, 2)
			check(t, s.db.Client().Ping(t.Context(), nil))
			reply, err := s.run(t, `{find: "large"}`)
			if id, ok := reply.Lookup("cursor", "id").AsInt64OK(); err != nil || len(reply) > 16<<20+16<<10 || !ok || id == 0 {
				t.Errorf("a batch of %d bytes with more to come as cursor %d: %v", len(reply), id, err)
			}
			if n, err := s.db.Collection("large").CountDocuments(t.Context(), bson.D{}); n != 2 || err != nil {
				t.Errorf("%d documents, %v", n, err)
			}
		})
	})
}

func TestConformanceBulkWrites(t *testing.T) {
	upsert := func(filter, set string) mongo.WriteModel {
		return mongo.NewUpdateOneModel().SetFilter(doc(filter)).SetUpdate(doc(set)).SetUpsert(true)
	}
	models := []mongo.WriteModel{
		mongo.NewInsertOneModel().SetDocument(doc(`{_id: 1, a: 1}`)),
		upsert(`{_id: 2}`, `{$set: {a: 2}}`),
		upsert(`{_id: 99, a: 5}`, `{$set: {b: 1}}`),
		upsert(`{_id: 3}`, `{$set: {a: 3}}`),
		mongo.NewUpdateManyModel().SetFilter(doc(`{_id: 99}`)).SetUpdate(doc(`{$inc: {a: 10}}`)),
		mongo.NewReplaceOneModel().SetFilter(doc(`{_id: 97}`)).SetReplacement(doc(`{r: 1}`)),
		mongo.NewDeleteOneModel().SetFilter(doc(`{_id: 98}`)),
	}
	cases := map[string]struct {
		reason                                        string
		ordered                                       bool
		inserted, matched, modified, deleted, upserts int64
		left                                          string
	}{
		"Ordered":   {"the third write fails and ends it; the driver counts the upsert as matched then", true, 1, 1, 0, 0, 1, `[{_id: 1, a: 1}, {_id: 2, a: 2}, {_id: 97}, {_id: 98}, {_id: 99}]`},
		"Unordered": {"the others are done", false, 1, 2, 2, 1, 2, `[{_id: 1, a: 1}, {_id: 2, a: 2}, {_id: 3, a: 3}, {_id: 97, r: 1}, {_id: 99, a: 10}]`},
	}
	onServers(t, func(t *testing.T, s target) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				collection := s.fill(t, name, list(`[{_id: 97}, {_id: 98}, {_id: 99}]`))
				r, err := collection.BulkWrite(t.Context(), models, options.BulkWrite().SetOrdered(c.ordered))
				var bulk mongo.BulkWriteException
				if !errors.As(err, &bulk) || len(bulk.WriteErrors) != 1 || bulk.WriteErrors[0].Code != 11000 || bulk.WriteErrors[0].Index != 2 {
					t.Errorf("got %v, want a duplicate key at write 2: %s", err, c.reason)
				}
				if r.InsertedCount != c.inserted || r.MatchedCount != c.matched || r.ModifiedCount != c.modified || r.DeletedCount != c.deleted || r.UpsertedCount != c.upserts {
					t.Errorf("got %+v, want %+v", r, c)
				}
				cursor, err := collection.Find(t.Context(), bson.D{}, options.Find().SetSort(doc(`{_id: 1}`)))
				if got := show(all(t, cursor, err)); got != show(documents(list(c.left))) {
					t.Errorf("got %s, want %s", got, c.left)
				}
			})
		}
	})
}

func TestConformanceConcurrentConditionalUpdates(t *testing.T) {
	const stock, buyers = 150, 400
	onServers(t, func(t *testing.T, s target) {
		s.fill(t, "variants", list(`[{_id: "v", stock: 150, other: 0}]`), index(`{stock: 1}`))
		collections := []*mongo.Collection{}
		for range 4 {
			collections = append(collections, s.client(t).Database(s.db.Name()).Collection("variants"))
		}
		var sold atomic.Int64
		var running sync.WaitGroup
		for i := range buyers {
			running.Go(func() {
				r, err := collections[i%len(collections)].UpdateOne(t.Context(), doc(`{_id: "v", stock: {$gte: 1}}`), doc(`{$inc: {stock: -1}}`))
				if err != nil {
					t.Error(err)
					return
				}
				sold.Add(r.ModifiedCount)
				if _, err := collections[0].UpdateOne(t.Context(), doc(`{_id: "v"}`), doc(`{$inc: {other: 1}}`)); err != nil {
					t.Error(err)
				}
			})
		}
		for i := range 50 {
			running.Go(func() {
				upsert := options.UpdateOne().SetUpsert(true)
				if _, err := collections[i%len(collections)].UpdateOne(t.Context(), doc(`{_id: "new"}`), doc(`{$inc: {n: 1}}`), upsert); err != nil {
					t.Errorf("an upsert beside others: %v", err)
				}
			})
		}
		running.Wait()
		cursor, err := s.db.Collection("variants").Find(t.Context(), bson.D{}, options.Find().SetSort(doc(`{_id: -1}`)))
		if got := show(all(t, cursor, err)); sold.Load() != stock || got != show(documents(list(`[{_id: "v", stock: 0, other: 400}, {_id: "new", n: 50}]`))) {
			t.Errorf("%d were sold and %s is left", sold.Load(), got)
		}
	})
}
