//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// The encoding of values: MongoDB's order, ends of keys, and bounds in both directions.

import (
	"bytes"
	"math"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"pgregory.net/rapid"
)

func value(t interface{ Fatal(...any) }, v any) bsoncore.Value {
	document, err := bson.Marshal(bson.D{{Key: "v", Value: v}})
	if err != nil {
		t.Fatal(err)
	}
	return bsoncore.Document(document).Lookup("v")
}

// inOrder is values in MongoDB's order; those in one group are equal.
var inOrder = [][]any{
	{bson.MinKey{}}, {nil}, {math.NaN()}, {math.Inf(-1)}, {int64(math.MinInt64), -9223372036854775808.0},
	{int64(math.MinInt64 + 1)}, {-1.5}, {int32(-1), int64(-1), -1.0}, {0.0, math.Copysign(0, -1), int32(0), int64(0)},
	{5e-324}, {int32(1), int64(1), 1.0}, {1.5}, {int64(1 << 53), float64(1 << 53)}, {int64(1<<53 + 1)},
	{int64(1<<53 + 2), float64(1<<53 + 2)}, {int64(math.MaxInt64 - 1)}, {int64(math.MaxInt64)}, {float64(1 << 63)}, {math.Inf(1)},
	{""}, {"\x00"}, {"\x00a"}, {"a"}, {"a\x00"}, {"a\x00b"}, {"aa"}, {"b"}, {"ä"}, {"\U0010ffff"},
	{bson.D{}}, {bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "a", Value: 1.0}}}, {bson.D{{Key: "a", Value: 1}, {Key: "b", Value: 1}}},
	{bson.D{{Key: "a", Value: 2}}}, {bson.D{{Key: "b", Value: 1}}}, {bson.D{{Key: "a", Value: "x"}}},
	{bson.A{}}, {bson.A{1}}, {bson.A{1, 1}}, {bson.A{2}}, {bson.A{"x"}},
	{bson.Binary{Data: []byte{9}}}, {bson.Binary{Data: []byte{1, 1}}}, {bson.Binary{Subtype: 4, Data: []byte{0, 0}}},
	{bson.ObjectID{}}, {bson.ObjectID{1}}, {false}, {true},
	{time.UnixMilli(math.MinInt64)}, {time.UnixMilli(-1)}, {time.UnixMilli(0)}, {time.UnixMilli(1)},
	{bson.Timestamp{T: 1, I: 2}}, {bson.Timestamp{T: 2, I: 1}}, {bson.Regex{Pattern: "a"}}, {bson.Regex{Pattern: "a", Options: "i"}}, {bson.MaxKey{}},
}

func TestEncodedValuesHaveMongoDBsOrder(t *testing.T) {
	var before []byte
	for i, group := range inOrder {
		first := appendKey(nil, value(t, group[0]))
		if bytes.Compare(before, first) >= 0 {
			t.Errorf("%v isn't after %v", group[0], inOrder[max(i-1, 0)])
		}
		for _, other := range group[1:] {
			if !bytes.Equal(first, appendKey(nil, value(t, other))) {
				t.Errorf("%v (%T) and %v (%T) differ", group[0], group[0], other, other)
			}
		}
		before = first
	}
}

// An encoded value marks its own end, before any following bytes, and so does its inversion: keys
// of several fields are compared field by field.
func TestEncodedValuesEndWhereTheySay(t *testing.T) {
	for _, group := range inOrder {
		for _, inverted := range []bool{false, true} {
			key := appendKey(nil, value(t, group[0]))
			if inverted {
				invert(key)
			}
			if key[0] == past || key[0] == first[0] {
				t.Errorf("%v begins with %x", group[0], key[0])
			}
			for _, behind := range [][]byte{nil, {0}, {0, 0, 0}, {past, past}, {classString, 'a', 0, 0}} {
				if got := keyLength(append(bytes.Clone(key), behind...), inverted); got != len(key) {
					t.Errorf("%v, inverted %t, before %x: %d bytes long, want %d", group[0], inverted, behind, got, len(key))
				}
			}
		}
	}
}

// Bounds on a field contain the same values in an ascending index as in a descending one, with any
// value of the next field after them.
func TestBoundsHoldTheSameInBothDirections(t *testing.T) {
	var values [][]byte
	for _, group := range inOrder {
		values = append(values, appendKey(nil, value(t, group[0])))
	}
	rapid.Check(t, func(t *rapid.T) {
		operand := inOrder[rapid.IntRange(0, len(inOrder)-1).Draw(t, "operand")][0]
		operator := rapid.SampledFrom([]string{"$gt", "$gte", "$lt", "$lte"}).Draw(t, "operator")
		for _, r := range comparison(operator, value(t, operand)) {
			for _, v := range values {
				want := r.holds(v)
				for _, descending := range []bool{false, true} {
					key := bytes.Clone(v)
					if descending {
						invert(key)
					}
					low, high := r.in(descending)
					for _, behind := range [][]byte{nil, {0, 0, 0, 0, 0, 0, 0, 1}, {classMinKey}, {^classMinKey}, {classMaxKey}} {
						k := append(bytes.Clone(key), behind...)
						if got := bytes.Compare(k, low) >= 0 && bytes.Compare(k, high) < 0; got != want {
							t.Fatalf("%s %v: %x behind %x, descending %t: in the range %t, want %t", operator, operand, behind, v, descending, got, want)
						}
					}
				}
			}
		}
	})
}
