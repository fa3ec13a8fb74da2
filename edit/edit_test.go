package edit

// Tests of creating, changing, deleting and merging, with a kind of their own.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/tests/storetest"
)

// product is a kind of this test alone: something with a slug, and parts with ids of their own.
type product struct {
	ID       id.ID     `bson:"_id"`
	Version  int64     `bson:"version"`
	Title    string    `bson:"title"`
	Slug     string    `bson:"slug"`
	OldSlugs []string  `bson:"oldSlugs"`
	Merged   []id.ID   `bson:"merged"`
	Hidden   bool      `bson:"hidden"` // visible to administrators only
	Variants []variant `bson:"variants"`
	Goes     []id.ID   `bson:"goes"` // products that go with it
}

type variant struct {
	ID   id.ID  `bson:"id"`
	Size string `bson:"size"`
}

const (
	productKind id.Kind = "prd"
	variantKind id.Kind = "var"
)

// shop is a kind over a database of its own.
type shop struct {
	*Kind[product]
	products  *mongo.Collection
	writes    atomic.Int64 // documents written
	completed atomic.Int64 // calls of Complete
	meanwhile func()       // happens once, between the next reading and its write
}

func open(t *testing.T) *shop {
	t.Helper()
	s, server := storetest.Open(t)
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()).SetDialer(server.Dialer()))
	check(t, err)
	t.Cleanup(func() { check(t, client.Disconnect(context.Background())) })
	x := &shop{products: client.Database("stoa").Collection("products")}
	_, err = x.products.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "slug", Value: 1}}, Options: options.Index().SetUnique(true)})
	check(t, err)
	x.Kind = &Kind[product]{
		ID: productKind, Name: "product", Role: access.Staff, Store: s,
		Fields: func(p *product) Fields {
			return Fields{ID: &p.ID, Version: p.Version, Name: p.Title, Slug: &p.Slug, OldSlugs: &p.OldSlugs, MergedIDs: &p.Merged}
		},
		Visible: func(_ context.Context, v access.Viewer, p *product) error {
			if p.Hidden && !v.May(access.Admin) {
				return problem.New(problem.NotFound, "there is no such product")
			}
			return nil
		},
		Read: x.read, Taken: x.taken, Insert: x.insert, Replace: x.replace, Remove: x.remove,
	}
	return x
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// by returns a context in which somebody with a role asks.
func by(t *testing.T, role access.Role) context.Context {
	t.Helper()
	ctx, _ := access.Begin(t.Context(), access.Request{})
	access.Become(ctx, access.Viewer{Account: id.New(id.Account), Role: role})
	return ctx
}

func (x *shop) read(ctx context.Context, i id.ID) (*product, error) {
	var p product
	err := x.products.FindOne(ctx, bson.D{{Key: "_id", Value: i}}).Decode(&p)
	if err == mongo.ErrNoDocuments {
		return nil, problem.New(problem.NotFound, "there is no product %s", i)
	}
	if meanwhile := x.meanwhile; meanwhile != nil {
		x.meanwhile = nil
		meanwhile()
	}
	return &p, err
}

func (x *shop) taken(ctx context.Context, slugs []string) (map[string]id.ID, error) {
	in := bson.D{{Key: "$in", Value: slugs}}
	cursor, err := x.products.Find(ctx, bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "slug", Value: in}}, bson.D{{Key: "oldSlugs", Value: in}}}}})
	if err != nil {
		return nil, err
	}
	var found []product
	err = cursor.All(ctx, &found)
	out := map[string]id.ID{}
	for _, p := range found {
		for _, s := range append(p.OldSlugs, p.Slug) {
			out[s] = p.ID
		}
	}
	return out, err
}

func (x *shop) insert(ctx context.Context, p *product) error {
	p.Version = 1
	_, err := x.products.InsertOne(ctx, p)
	if mongo.IsDuplicateKeyError(err) {
		return problem.New(problem.Conflict, "taken")
	}
	x.writes.Add(1)
	return err
}

// matched makes a conflict of a conditional write that met no document.
func (x *shop) matched(n int64, err error) error {
	if err == nil && n == 0 || mongo.IsDuplicateKeyError(err) {
		return problem.New(problem.Conflict, "another writer was faster")
	}
	x.writes.Add(1)
	return err
}

func (x *shop) replace(ctx context.Context, before, after *product) error {
	after.Version = before.Version + 1
	r, err := x.products.UpdateOne(ctx, bson.D{{Key: "_id", Value: before.ID}, {Key: "version", Value: before.Version}}, bson.D{{Key: "$set", Value: after}})
	if err != nil {
		return x.matched(0, err)
	}
	return x.matched(r.MatchedCount, nil)
}

func (x *shop) remove(ctx context.Context, p *product) error {
	r, err := x.products.DeleteOne(ctx, bson.D{{Key: "_id", Value: p.ID}, {Key: "version", Value: p.Version}})
	if err != nil {
		return err
	}
	return x.matched(r.DeletedCount, nil)
}

// newProduct is the input of create.
type newProduct struct {
	Title string
	Slug  *string
	Sizes []string
}

// create creates a product with its variants, as a domain does.
func (x *shop) create(ctx context.Context, in newProduct, key *string) (Result[product], error) {
	return x.Create(ctx, Creation[product]{Key: key, Input: in, Slug: in.Slug,
		Fill: func(_ context.Context, _ access.Viewer, p *product) (err error) {
			p.Title, err = Line(in.Title, "title", 1, 100)
			return err
		},
		Complete: func(_ context.Context, _ access.Viewer, o Origin, p *product) error {
			x.completed.Add(1)
			for _, size := range in.Sizes {
				p.Variants = append(p.Variants, variant{o.Part(size).ID(variantKind), size})
			}
			return nil
		},
	})
}

func (x *shop) retitle(ctx context.Context, i id.ID, title string, expected *int64, slug *string) (Result[product], error) {
	return x.Change(ctx, Change[product]{ID: i, Expected: expected, Slug: slug,
		Apply: func(_ context.Context, _ access.Viewer, p *product) error {
			p.Title = title
			return nil
		},
	})
}

func warned(of []*problem.Warning) string {
	var out []string
	for _, w := range of {
		out = append(out, w.Message)
	}
	return strings.Join(out, "; ")
}

func key(n int) *string { return new(fmt.Sprintf("a-key-that-is-long-enough-%d", n)) }

// Ten equal requests at once, and one later, create one product with the same variants.
func TestARepeatedCreationIsOne(t *testing.T) {
	x := open(t)
	ctx := by(t, access.Staff)
	in := newProduct{Title: "Mug", Sizes: []string{"S", "L"}}
	results := make(chan Result[product], 10)
	for range cap(results) {
		go func() {
			out, err := x.create(ctx, in, key(1))
			if err != nil {
				t.Error(err)
			}
			results <- out
		}()
	}
	first := <-results
	for range cap(results) - 1 {
		if out := <-results; out.Value == nil || out.Value.ID != first.Value.ID || out.Value.Slug != "mug" || len(out.Warnings) > 0 {
			t.Errorf("%+v, not %+v", out, first)
		}
	}
	completed := x.completed.Load()
	again, err := x.create(ctx, in, key(1))
	if check(t, err); x.completed.Load() != completed || !slices.Equal(again.Value.Variants, first.Value.Variants) || len(again.Value.Variants) != 2 || again.Value.Variants[0].ID == again.Value.Variants[1].ID {
		t.Errorf("later: %+v, not %+v", again.Value, first.Value)
	}
	if x.writes.Load() != 1 {
		t.Errorf("%d products were written", x.writes.Load())
	}
	in.Title = "Cup"
	if _, err := x.create(ctx, in, key(1)); !problem.Is(err, problem.KeyReused) {
		t.Errorf("the same key with another input: %v", err)
	}
	other, err := x.create(by(t, access.Staff), in, key(1))
	if check(t, err); other.Value.ID == first.Value.ID {
		t.Error("the keys of two callers have to do with each other")
	}
}

// A refused input leaves its key unused, and a creation without a key is another one each time.
func TestARefusedCreationLeavesNothing(t *testing.T) {
	x := open(t)
	ctx := by(t, access.Staff)
	bad := "No Slug"
	cases := map[string]struct {
		reason string
		ctx    context.Context
		in     newProduct
		code   problem.Code
	}{
		"Role":  {"the kind takes a role", by(t, access.Editor), newProduct{Title: "Mug"}, problem.Forbidden},
		"Guest": {"nobody has signed in", t.Context(), newProduct{Title: "Mug"}, problem.Unauthenticated},
		"Line":  {"a title has a character", ctx, newProduct{Title: " "}, problem.Invalid},
		"Slug":  {"it isn't one", ctx, newProduct{Title: "Mug", Slug: &bad}, problem.Invalid},
	}
	for name, c := range cases {
		if _, err := x.create(c.ctx, c.in, key(2)); !problem.Is(err, c.code) {
			t.Errorf("%s: %v although %s", name, err, c.reason)
		}
	}
	if x.writes.Load() != 0 {
		t.Errorf("%d were written", x.writes.Load())
	}
	_, err := x.create(ctx, newProduct{Title: "Mug"}, key(2))
	check(t, err)
	for range 2 {
		_, err := x.create(ctx, newProduct{Title: "Mug"}, nil)
		check(t, err)
	}
	if x.writes.Load() != 3 {
		t.Errorf("%d were written", x.writes.Load())
	}
}

// A taken slug gets a number and a warning; a former slug stays reserved for its owner, which may
// take it back.
func TestSlugsAreNumberedAndStay(t *testing.T) {
	x := open(t)
	ctx := by(t, access.Staff)
	var made []Result[product]
	for range 30 { // more than one command looks up
		out, err := x.create(ctx, newProduct{Title: "Mug"}, nil)
		check(t, err)
		made = append(made, out)
	}
	for n, want := range map[int]string{0: "mug", 1: "mug-2", 29: "mug-30"} {
		if got := made[n]; got.Value.Slug != want || (n == 0) != (len(got.Warnings) == 0) {
			t.Errorf("number %d got %s, %q", n, got.Value.Slug, warned(got.Warnings))
		}
	}
	first, second := made[0].Value, made[1].Value
	moved, err := x.retitle(ctx, first.ID, "Cup", nil, new("cup"))
	if check(t, err); moved.Value.Slug != "cup" || !slices.Equal(moved.Value.OldSlugs, []string{"mug"}) || len(moved.Warnings) > 0 {
		t.Errorf("renamed: %+v, %q", moved.Value, warned(moved.Warnings))
	}
	refused, err := x.retitle(ctx, second.ID, "Mug", nil, new("mug"))
	if check(t, err); refused.Value.Slug != "mug-2" || warned(refused.Warnings) == "" {
		t.Errorf("a former slug of another one: %+v, %q", refused.Value, warned(refused.Warnings))
	}
	back, err := x.retitle(ctx, first.ID, "Mug", nil, new("mug"))
	if check(t, err); back.Value.Slug != "mug" || !slices.Equal(back.Value.OldSlugs, []string{"cup"}) {
		t.Errorf("back: %+v", back.Value)
	}
	if _, err := x.retitle(ctx, first.ID, "Mug", nil, new("A Mug")); !problem.Is(err, problem.Invalid) {
		t.Errorf("no slug: %v", err)
	}
	if _, err := x.Delete(ctx, Change[product]{ID: first.ID}); err != nil {
		t.Error(err)
	}
	free, err := x.create(ctx, newProduct{Title: "Cup"}, nil)
	if check(t, err); free.Value.Slug != "cup" {
		t.Errorf("the slug of a deleted one isn't free: %s", free.Value.Slug)
	}
}

// An insert that loses a slug to another writer gets the next one; a lost compare-and-set reads
// again, unless a version was expected.
func TestWritersThatMeet(t *testing.T) {
	x := open(t)
	ctx := by(t, access.Staff)
	made, err := x.create(ctx, newProduct{Title: "Mug"}, nil)
	check(t, err)
	i, version := made.Value.ID, made.Value.Version
	faster := func() {
		p, err := x.read(ctx, i)
		check(t, err)
		after := *p
		after.Goes = append(after.Goes, id.New(productKind))
		check(t, x.replace(ctx, p, &after))
	}
	x.meanwhile = faster
	out, err := x.retitle(ctx, i, "Cup", nil, nil)
	if check(t, err); out.Value.Title != "Cup" || len(out.Value.Goes) != 1 || out.Value.Version != version+2 {
		t.Errorf("a change is lost: %+v", out.Value)
	}
	version = out.Value.Version
	x.meanwhile = faster
	out, err = x.retitle(ctx, i, "Can", &version, nil)
	if !problem.Is(err, problem.Conflict) || out.Value != nil || out.Current == nil || out.Current.Version != version+1 || out.Current.Title != "Cup" {
		t.Errorf("an expected version: %+v, %v", out, err)
	}
	writes := x.writes.Load()
	same, err := x.retitle(ctx, i, "Cup", nil, nil)
	if check(t, err); same.Value.Version != version+1 || x.writes.Load() != writes {
		t.Errorf("no change was written: %+v", same.Value)
	}
	x.meanwhile = faster
	if _, err := x.Delete(ctx, Change[product]{ID: i, Expected: &same.Value.Version}); !problem.Is(err, problem.Conflict) {
		t.Errorf("deleted at another version: %v", err)
	}
	all := make(chan string, 8)
	for range cap(all) {
		go func() {
			out, err := x.create(ctx, newProduct{Title: "Plate"}, nil)
			if err != nil {
				t.Error(err)
				all <- ""
				return
			}
			all <- out.Value.Slug
		}()
	}
	slugs := map[string]bool{}
	for range cap(all) {
		slugs[<-all] = true
	}
	if len(slugs) != cap(all) || !slugs["plate"] || !slugs["plate-8"] {
		t.Errorf("eight at once got %v", slugs)
	}
}

// A refusal of May ends a change and a deletion; what the viewer may not know of isn't found.
func TestPermissionsAreAsked(t *testing.T) {
	x := open(t)
	ctx := by(t, access.Staff)
	made, err := x.create(ctx, newProduct{Title: "Mug"}, nil)
	check(t, err)
	no := problem.New(problem.Forbidden, "not this one")
	c := Change[product]{ID: made.Value.ID, May: func(access.Viewer, *product) error { return no }, Apply: func(context.Context, access.Viewer, *product) error {
		t.Error("it was applied")
		return nil
	}}
	if _, err := x.Change(ctx, c); err != error(no) {
		t.Errorf("a change: %v", err)
	}
	if _, err := x.Delete(ctx, c); err != error(no) {
		t.Errorf("a deletion: %v", err)
	}
	if _, err := x.Delete(by(t, access.Editor), Change[product]{ID: made.Value.ID}); !problem.Is(err, problem.Forbidden) {
		t.Errorf("without the role: %v", err)
	}
	hidden := *made.Value
	hidden.Hidden = true
	check(t, x.replace(ctx, made.Value, &hidden))
	if _, err := x.Delete(ctx, Change[product]{ID: hidden.ID}); !problem.Is(err, problem.NotFound) {
		t.Errorf("a hidden one: %v", err)
	}
	_, err = x.Delete(by(t, access.Admin), Change[product]{ID: hidden.ID, Expected: &hidden.Version})
	check(t, err)
	if _, err := x.Delete(by(t, access.Admin), Change[product]{ID: hidden.ID}); !problem.Is(err, problem.NotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

// A merge gives the one that stays the slugs and the values of the other one.
func TestAMergeLeavesOne(t *testing.T) {
	x := open(t)
	ctx := by(t, access.Staff)
	var ids []id.ID
	for _, title := range []string{"Mug", "Cup", "Plate"} {
		made, err := x.create(ctx, newProduct{Title: title, Sizes: []string{title}}, nil)
		check(t, err)
		ids = append(ids, made.Value.ID)
	}
	m := &Merges[product]{Kind: x.Kind,
		Refuse: func(_, into *product) error {
			if into.ID == ids[2] {
				return problem.New(problem.Invalid, "not into this one")
			}
			return nil
		},
		Inherit: func(from, into *product) { into.Variants = slices.Concat(into.Variants, from.Variants) },
	}
	in := Merge{ID: ids[0], IntoID: ids[1]}
	for range 2 { // the second time it is done
		into, err := m.Merge(ctx, in)
		if check(t, err); into.ID != ids[1] || !slices.Equal(into.OldSlugs, []string{"mug"}) || len(into.Variants) != 2 || !slices.Equal(into.Merged, ids[:1]) {
			t.Errorf("merged: %+v", into)
		}
	}
	if _, err := x.read(ctx, ids[0]); !problem.Is(err, problem.NotFound) {
		t.Errorf("the one that was to go: %v", err)
	}
	for reason, bad := range map[string]Merge{"itself": {ids[1], ids[1]}, "another kind": {ids[1], id.New(id.Tag)}, "refused": {ids[1], ids[2]}} {
		if _, err := m.Merge(ctx, bad); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", reason, err)
		}
	}
	if left, err := x.Store.Tasks(ctx, mergeTask); err != nil || len(left) > 0 {
		t.Errorf("left to do: %v, %v", left, err)
	}
	check(t, m.Finish(ctx))
}
