//go:build (linux || darwin || freebsd) && !stoa_noembedded

// Generated cases: random documents, updates and queries. Collections with and without indexes
// must give the model's answers. STOA_TEST_SEED repeats or varies a run.
package embedded_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// generator makes documents with anything in field a, a scalar in b, and in c a scalar, a
// document of x and y or an array of such documents. So no index of the test meets two arrays.
type generator struct{ *rand.Rand }

func newGenerator(t *testing.T) generator {
	seed := uint64(20240229)
	if text := os.Getenv("STOA_TEST_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		check(t, err)
		seed = n
	}
	t.Logf("STOA_TEST_SEED=%d", seed)
	return generator{rand.New(rand.NewPCG(seed, 1))}
}

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g generator) scalar() any {
	return pick[any](g, nil, int32(0), int32(1), int32(2), int64(1), int64(2), 1.0, 1.5, -1.0, "", "a", "b", false, true,
		bson.DateTime(-5), bson.DateTime(0), bson.ObjectID{1}, bson.ObjectID{2})
}

func (g generator) array(element func() any) bson.A {
	out := bson.A{}
	for range g.IntN(4) {
		out = append(out, element())
	}
	return out
}

// value is anything, for a.
func (g generator) value() any {
	switch n := g.IntN(20); {
	case n < 11:
		return g.scalar()
	case n < 12:
		return math.NaN()
	case n < 17:
		return g.array(g.scalar)
	case n < 18:
		return g.array(func() any { return g.array(g.scalar) })
	}
	return bson.D{{Key: "x", Value: g.scalar()}}
}

// part is anything, for c.
func (g generator) part() any {
	below := func(x func() any) func() any {
		return func() any {
			d := bson.D{}
			if g.chance(80) {
				d = append(d, bson.E{Key: "x", Value: x()})
			}
			if g.chance(80) {
				d = append(d, bson.E{Key: "y", Value: g.scalar()})
			}
			return d
		}
	}
	switch n := g.IntN(10); {
	case n < 2:
		return g.scalar()
	case n < 6:
		return below(func() any {
			if g.chance(30) {
				return g.array(g.scalar)
			}
			return g.scalar()
		})()
	case n < 7:
		return g.array(g.scalar)
	}
	return g.array(below(g.scalar))
}

func (g generator) document(id int32) bson.D {
	d := bson.D{{Key: "_id", Value: id}}
	for _, f := range []bson.E{{Key: "a", Value: g.value()}, {Key: "b", Value: g.scalar()}, {Key: "c", Value: g.part()}} {
		if g.chance(85) {
			d = append(d, f)
		}
	}
	return d
}

// operand is the right side of a condition. It is never null below a numeric component: the
// result of such a condition is documented nowhere.
func (g generator) operand(path string) any {
	for {
		var v any
		switch path {
		case "_id":
			return pick[any](g, int32(g.IntN(80)), float64(g.IntN(80)), int64(g.IntN(80)))
		case "c":
			v = g.part()
		case "a":
			v = g.value()
		default:
			v = g.scalar()
			if g.chance(10) {
				v = g.array(g.scalar)
			}
		}
		if v != nil || (path != "a.0" && path != "c.0.x") {
			return v
		}
	}
}

func (g generator) condition() bson.E {
	path := pick(g, "a", "a", "a", "b", "b", "c", "c.x", "c.x", "c.y", "_id", "a.0", "c.0.x")
	if g.chance(30) {
		return bson.E{Key: path, Value: g.operand(path)}
	}
	var conditions bson.D
	for _, operator := range g.Perm(8)[:1+g.IntN(2)] {
		name := []string{"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"}[operator]
		value := g.operand(path)
		if operator >= 6 {
			value = g.array(func() any { return g.operand(path) })
		}
		conditions = append(conditions, bson.E{Key: name, Value: value})
	}
	if g.chance(15) {
		conditions = append(conditions, bson.E{Key: "$exists", Value: g.chance(70)})
	}
	return bson.E{Key: path, Value: conditions}
}

func (g generator) filter(depth int) bson.D {
	out := bson.D{}
	for range pick(g, 0, 1, 1, 1, 2, 2, 3) {
		e := g.condition()
		if depth > 0 && g.chance(30) {
			branches := bson.A{}
			for range 1 + g.IntN(3) {
				branches = append(branches, g.filter(depth-1))
			}
			e = bson.E{Key: pick(g, "$and", "$or", "$or"), Value: branches}
		}
		if field(out, e.Key) == (missing{}) {
			out = append(out, e)
		}
	}
	return out
}

func (g generator) sort() bson.D {
	keys := slices.Clone(pick(g, []string{"a"}, []string{"b"}, []string{"a", "b"}, []string{"b", "a"}, []string{"c"}, []string{"c.x"}, []string{"c.x", "c.y"}, []string{"c.y"}, []string{"b", "c.x"}, []string{}))
	out := bson.D{}
	for _, key := range append(keys, "_id") {
		out = append(out, bson.E{Key: key, Value: pick(g, int32(1), int32(-1))})
	}
	return out
}

func (g generator) projection() bson.D {
	out, include := bson.D{}, int32(g.IntN(2))
	for _, path := range slices.Concat([]string{"b", "a"}, pick(g, []string{"c"}, []string{"c.x"}, []string{"c.x", "c.y"})) {
		if g.chance(40) {
			out = append(out, bson.E{Key: path, Value: include})
		}
	}
	if g.chance(30) {
		out = append(out, bson.E{Key: "_id", Value: int32(0)})
	}
	return out
}

// change is an update of one document. $inc never meets NaN: the modified count of such an update
// is documented nowhere.
func (g generator) change() bson.D {
	if g.chance(15) {
		return g.document(0)[1:]
	}
	operators := map[string]bson.D{}
	for _, path := range []string{"a", "b", pick(g, "c", "c.x", "c.y", "c.0.x")} {
		if g.chance(40) {
			continue
		}
		operator := pick(g, "$set", "$set", "$unset", "$max", "$inc")
		var value any = g.scalar()
		switch {
		case operator == "$inc" && path == "b":
			value = pick[any](g, int32(1), int64(2), 0.5, int32(0))
		case path == "a":
			value = g.value()
		case path == "c":
			value = g.part()
		}
		if operator == "$inc" && path != "b" {
			operator = "$set"
		}
		operators[operator] = append(operators[operator], bson.E{Key: path, Value: value})
	}
	out := bson.D{}
	for _, name := range []string{"$max", "$set", "$inc", "$unset"} {
		if fields, ok := operators[name]; ok {
			out = append(out, bson.E{Key: name, Value: fields})
		}
	}
	if len(out) == 0 {
		return bson.D{{Key: "$set", Value: bson.D{}}}
	}
	return out
}

// world is one set of documents, in the model and in collections that differ by indexes.
type world struct {
	server      target
	model       []bson.D
	collections []string
}

// update changes the matching documents in every collection: all, or one that an _id names.
func (w *world) update(t *testing.T, filter, update bson.D, many bool) {
	t.Helper()
	matched, modified, codes := 0, 0, []int{0}
	for i, d := range w.model {
		if !matches(d, filter) {
			continue
		}
		after, err := updated(d, update)
		if err != nil {
			codes = refusedUpdate // of two reasons a server may give either
			break
		}
		matched++
		if show(after) != show(d) {
			modified++
		}
		w.model[i] = after
	}
	for _, name := range w.collections {
		reply, err := w.server.update(t, name, bson.D{{Key: "q", Value: filter}, {Key: "u", Value: update}, {Key: "multi", Value: many}})
		wantCode(t, fmt.Sprintf("%s where %s, in %s", show(update), show(filter), name), err, codes...)
		if err == nil && (reply.Lookup("n").AsInt64() != int64(matched) || reply.Lookup("nModified").AsInt64() != int64(modified)) {
			t.Errorf("%s where %s in %s matched %v and modified %v, want %d and %d", show(update), show(filter), name, reply.Lookup("n"), reply.Lookup("nModified"), matched, modified)
		}
	}
}

func (w *world) delete(t *testing.T, filter bson.D) {
	t.Helper()
	before := len(w.model)
	w.model = slices.DeleteFunc(w.model, func(d bson.D) bool { return matches(d, filter) })
	for _, name := range w.collections {
		r, err := w.server.db.Collection(name).DeleteMany(t.Context(), filter)
		check(t, err)
		if int(r.DeletedCount) != before-len(w.model) {
			t.Errorf("%d documents where %s were deleted from %s, want %d", r.DeletedCount, show(filter), name, before-len(w.model))
		}
	}
}

func (w *world) insert(t *testing.T, d bson.D) {
	t.Helper()
	w.model = append(w.model, d)
	for _, name := range w.collections {
		_, err := w.server.db.Collection(name).InsertOne(t.Context(), d)
		check(t, err)
	}
}

// find compares a find and a count in every collection with the model.
func (w *world) find(t *testing.T, filter, by, projection bson.D, skip, limit, batch int) {
	t.Helper()
	found := sorted(slices.DeleteFunc(slices.Clone(w.model), func(d bson.D) bool { return !matches(d, filter) }), by)
	n := len(found)
	found = found[min(skip, n):]
	if limit > 0 {
		found = found[:min(limit, len(found))]
	}
	want := []bson.D{}
	for _, d := range found {
		want = append(want, projected(d, projection))
	}
	for _, name := range w.collections {
		collection := w.server.db.Collection(name)
		o := options.Find().SetSort(by).SetProjection(projection).SetSkip(int64(skip)).SetLimit(int64(limit)).SetBatchSize(int32(batch))
		cursor, err := collection.Find(t.Context(), filter, o)
		if got := all(t, cursor, err); show(got) != show(want) {
			t.Errorf("%s: find %s sort %s skip %d limit %d project %s %s", name, show(filter), show(by), skip, limit, show(projection), difference(got, want))
		}
		if counted, err := collection.CountDocuments(t.Context(), filter); err != nil || int(counted) != n {
			t.Errorf("%s: count %s: got %d, %v, want %d", name, show(filter), counted, err, n)
		}
	}
}

// difference describes the first place where two results differ.
func difference(got, want []bson.D) string {
	for i := range min(len(got), len(want)) {
		if show(got[i]) != show(want[i]) {
			return fmt.Sprintf("has at %d\n%s, want\n%s", i, show(got[i]), show(want[i]))
		}
	}
	return fmt.Sprintf("has %d documents, want %d; the longer ends in\n%s", len(got), len(want), show(slices.Concat(got[min(len(got), len(want)):], want[min(len(got), len(want)):])))
}

// lookup compares a $lookup of the documents in themselves with the model.
func (w *world) lookup(t *testing.T, g generator) {
	t.Helper()
	local, foreign := pick(g, "a", "b"), pick(g, "a", "b", "c.x")
	parents, children, by, projection := g.filter(0), g.filter(0), g.sort(), bson.D{{Key: "_id", Value: int32(1)}}
	limit := 1 + g.IntN(4)
	want := []bson.D{}
	for _, parent := range sorted(w.model, doc(`{_id: 1}`)) {
		if !matches(parent, parents) {
			continue
		}
		// A missing value and an empty array are null, an array stands for its elements.
		values, isArray := field(parent, local).(bson.A)
		if !isArray {
			values = bson.A{field(parent, local)}
		}
		if len(values) == 0 {
			values = bson.A{nil}
		}
		as := bson.A{}
		for _, child := range sorted(w.model, by) {
			if len(as) < limit && holds(child, foreign, "$in", values) && matches(child, children) {
				as = append(as, projected(child, projection))
			}
		}
		want = append(want, bson.D{parent[0], {Key: "as", Value: as}})
	}
	for _, name := range w.collections {
		cursor, err := w.server.db.Collection(name).Aggregate(t.Context(), bson.A{
			bson.D{{Key: "$match", Value: parents}}, doc(`{$sort: {_id: 1}}`), bson.D{{Key: "$lookup", Value: bson.D{
				{Key: "from", Value: name}, {Key: "localField", Value: local}, {Key: "foreignField", Value: foreign}, {Key: "as", Value: "as"},
				{Key: "pipeline", Value: bson.A{bson.D{{Key: "$match", Value: children}}, bson.D{{Key: "$sort", Value: by}}, bson.D{{Key: "$limit", Value: limit}}, bson.D{{Key: "$project", Value: projection}}}},
			}}}, doc(`{$project: {as: 1}}`)})
		if got := all(t, cursor, err); show(got) != show(want) {
			t.Errorf("%s: parents %s by %s, children %s by %s sort %s limit %d %s", name, show(parents), local, show(children), foreign, show(by), limit, difference(got, want))
		}
	}
}

// distinct compares the distinct values of a field with the model.
func (w *world) distinct(t *testing.T, g generator) {
	t.Helper()
	path, filter := pick(g, "a", "b", "c.x", "c.y"), g.filter(1)
	var want bson.A
	for _, d := range w.model {
		if matches(d, filter) {
			values := candidates(d, strings.Split(path, "."))
			want = append(want, slices.DeleteFunc(values, func(v any) bool { return v == missing{} })...)
		}
	}
	same := func(a, b any) bool { return order(a, b) == 0 }
	for _, name := range w.collections {
		var got bson.A
		check(t, w.server.db.Collection(name).Distinct(t.Context(), path, filter).Decode(&got))
		// The model's candidates have whole arrays beside their elements. They may be values,
		// too, where an array is an element of another; the tables have that.
		arrays := func(v any) bool { _, ok := v.(bson.A); return ok }
		values, wanted := slices.DeleteFunc(got, arrays), slices.DeleteFunc(slices.Clone(want), arrays)
		slices.SortFunc(values, order)
		slices.SortFunc(wanted, order)
		if wanted = slices.CompactFunc(wanted, same); !slices.EqualFunc(values, wanted, same) {
			t.Errorf("%s: distinct %s where %s gives %s, want %s", name, path, show(filter), show(values), show(wanted))
		}
	}
}

func TestConformanceGeneratedCases(t *testing.T) {
	const rounds, changes, queries = 12, 25, 40
	// A driver writes the name into the options, so that two indexes can't share them.
	sparse := func(keys string) mongo.IndexModel {
		return mongo.IndexModel{Keys: doc(keys), Options: options.Index().SetSparse(true)}
	}
	indexes := map[string][]mongo.IndexModel{
		"plain":  nil,
		"first":  {index(`{a: 1}`), index(`{b: -1, _id: 1}`), index(`{c.x: 1, c.y: -1}`), index(`{c: 1}`)},
		"second": {index(`{a: -1, b: 1}`), sparse(`{b: 1}`), index(`{c.x: 1, b: 1, _id: 1}`), index(`{c.y: -1}`)},
		"third":  {index(`{b: 1, a: 1, _id: -1}`), sparse(`{a: 1}`), sparse(`{c.x: -1, c.y: 1}`)},
	}
	onServers(t, func(t *testing.T, s target) {
		g := newGenerator(t)
		w := &world{server: s, collections: []string{"plain", "first", "second", "third"}}
		for _, name := range w.collections {
			s.fill(t, name, nil, indexes[name]...)
		}
		id := int32(0)
		for range rounds {
			for len(w.model) < 60 {
				w.insert(t, g.document(id))
				id++
			}
			for range queries {
				w.find(t, g.filter(2), g.sort(), g.projection(), pick(g, 0, 0, 0, 1, 5), pick(g, 0, 0, 1, 3, 10), pick(g, 3, 1000))
			}
			for range queries / 4 {
				w.lookup(t, g)
				w.distinct(t, g)
			}
			for range changes {
				one := bson.D{{Key: "_id", Value: w.model[g.IntN(len(w.model))][0].Value}}
				switch g.IntN(8) {
				case 0:
					w.delete(t, one)
				case 1:
					if few := append(one, g.filter(1)...); field(few[1:], "_id") == (missing{}) {
						w.delete(t, few)
					}
				case 2:
					// None of these can fail, so the order of the documents has no effect.
					w.update(t, g.filter(1), bson.D{{Key: pick(g, "$set", "$max", "$unset"), Value: bson.D{{Key: "a", Value: g.value()}}}}, true)
				default:
					w.update(t, one, g.change(), false)
				}
				if t.Failed() {
					t.Fatal("the collections may differ from here on")
				}
			}
		}
	})
}

// listing returns a filter and a sort of the shape that lists have: equalities and values of
// an array, a range, bounds of a page and alternatives, all on few and repeating values.
func (g generator) listing() (filter, by bson.D) {
	number := func(n int) int32 { return int32(g.IntN(n)) }
	order := pick(g, int32(1), int32(-1))
	by = bson.D{{Key: pick(g, "at", "title"), Value: order}, {Key: "_id", Value: order}}
	if g.chance(20) {
		by = by[1:]
	}
	one := func() bson.E {
		return pick(g,
			bson.E{Key: "status", Value: number(3)},
			bson.E{Key: "status", Value: bson.D{{Key: "$in", Value: bson.A{number(3), number(3)}}}},
			bson.E{Key: "tags", Value: number(6)},
			bson.E{Key: "tags", Value: bson.D{{Key: "$in", Value: bson.A{number(6), number(6), number(6)}}}},
			bson.E{Key: "slug", Value: number(300)},
			bson.E{Key: "slug", Value: bson.D{{Key: "$exists", Value: g.chance(50)}}},
			bson.E{Key: "old", Value: number(40)},
			bson.E{Key: "owner", Value: pick[any](g, number(5), nil)},
			bson.E{Key: "_id", Value: number(300)},
			bson.E{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{number(300), number(300), number(300)}}}},
			bson.E{Key: "at", Value: bson.D{{Key: "$gte", Value: number(30)}, {Key: "$lt", Value: number(60)}}},
			bson.E{Key: "at", Value: bson.D{{Key: pick(g, "$gt", "$lte", "$ne"), Value: pick[any](g, number(60), nil)}}},
		)
	}
	filter = bson.D{}
	for range g.IntN(4) {
		if e := one(); field(filter, e.Key) == (missing{}) {
			filter = append(filter, e)
		}
	}
	bounds := bson.A{}
	for range g.IntN(3) {
		if len(by) == 2 {
			d := bson.D{{Key: by[0].Key, Value: number(60)}, {Key: "_id", Value: number(300)}}
			bounds = append(bounds, bson.D{beyond(d, by, g.chance(40))})
		}
	}
	if g.chance(25) {
		bounds = append(bounds, bson.D{{Key: "$or", Value: bson.A{bson.D{one()}, bson.D{one(), beyond(bson.D{{Key: "at", Value: number(60)}, {Key: "_id", Value: number(300)}}, doc(`{at: 1, _id: 1}`), g.chance(50))}}}})
	}
	if len(bounds) > 0 {
		filter = append(filter, bson.E{Key: "$and", Value: bounds})
	}
	if g.chance(10) {
		filter = append(filter, bson.E{Key: "$or", Value: bson.A{bson.D{one()}, bson.D{one()}}})
	}
	return filter, by
}

func (g generator) listed(id int32) bson.D {
	d := bson.D{{Key: "_id", Value: id}, {Key: "status", Value: int32(g.IntN(3))}, {Key: "title", Value: int32(g.IntN(60))}, {Key: "tags", Value: g.array(func() any { return int32(g.IntN(6)) })}, {Key: "old", Value: g.array(func() any { return int32(g.IntN(40)) })}}
	if g.chance(90) {
		d = append(d, bson.E{Key: "at", Value: pick[any](g, int32(g.IntN(60)), int32(g.IntN(60)), int32(g.IntN(60)), nil)})
	}
	if g.chance(60) {
		d = append(d, bson.E{Key: "slug", Value: id})
	}
	return append(d, bson.E{Key: "owner", Value: pick[any](g, int32(g.IntN(5)), nil)})
}

func TestConformanceGeneratedLists(t *testing.T) {
	onServers(t, func(t *testing.T, s target) {
		g := newGenerator(t)
		w := &world{server: s, collections: []string{"plain", "indexed"}}
		var data bson.A
		for id := range int32(300) {
			w.model = append(w.model, g.listed(id))
			data = append(data, w.model[id])
		}
		s.fill(t, "plain", data)
		s.fill(t, "indexed", data, index(`{status: 1, at: -1, _id: -1}`), index(`{status: 1, title: 1, _id: 1}`), index(`{tags: 1, status: 1, at: -1, _id: -1}`), index(`{tags: 1, status: 1, title: 1, _id: 1}`),
			index(`{owner: 1, at: -1, _id: -1}`), index(`{old: 1}`), index(`{at: 1}`), mongo.IndexModel{Keys: doc(`{slug: 1}`), Options: options.Index().SetUnique(true).SetSparse(true)})
		for range 400 {
			filter, by := g.listing()
			skip, limit := pick(g, 0, 0, 0, 4), pick(g, 0, 1, 5, 20)
			w.find(t, filter, by, bson.D{}, skip, limit, pick(g, 3, 1000))
		}
	})
}

func TestConformanceGeneratedUniqueness(t *testing.T) {
	onServers(t, func(t *testing.T, s target) {
		g := newGenerator(t)
		for name, c := range map[string]struct {
			keys   string
			sparse bool
		}{
			"One": {`{a: 1}`, false}, "Sparse": {`{a: -1}`, true}, "Compound": {`{a: 1, b: -1}`, false}, "CompoundSparse": {`{b: 1, a: 1}`, true},
			"Dotted": {`{c.x: 1}`, false}, "DottedSparse": {`{c.x: 1}`, true}, "Siblings": {`{c.x: 1, c.y: 1}`, false}, "SiblingsSparse": {`{c.x: 1, c.y: -1}`, true},
		} {
			t.Run(name, func(t *testing.T) {
				collection := s.fill(t, name, nil, mongo.IndexModel{Keys: doc(c.keys), Options: options.Index().SetUnique(true).SetSparse(c.sparse)})
				model := map[int32]bson.D{}
				for range 150 {
					id := int32(g.IntN(12))
					d := g.document(id)
					want := 0
					for other, stored := range model {
						if other != id && collide(d, stored, doc(c.keys), c.sparse) {
							want = 11000
						}
					}
					if g.chance(15) {
						_, err := collection.DeleteOne(t.Context(), bson.D{{Key: "_id", Value: id}})
						check(t, err)
						delete(model, id)
						continue
					}
					_, err := collection.ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: id}}, d, options.Replace().SetUpsert(true))
					if wantCode(t, show(d), err, want); t.Failed() {
						t.Fatalf("%s beside %s", show(d), show(slices.Collect(maps.Values(model))))
					}
					if want == 0 {
						model[id] = d
					}
				}
			})
		}
	})
}
