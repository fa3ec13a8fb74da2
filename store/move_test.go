package store

// Moving documents from one parent to another, for kinds that declare lists under both.

import (
	"context"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/id"
	"stoa/problem"
)

// shelf is a kind of this test alone, with two lists under tags, and hidden documents.
type shelf struct {
	ID      id.ID   `bson:"_id"`
	Version int64   `bson:"version"`
	TagIDs  []id.ID `bson:"tagIds"`
	MainID  id.ID   `bson:"mainId"`
	Hidden  bool    `bson:"hidden"`
}

func (s *shelf) NodeID() id.ID { return s.ID }

func TestEveryDeclaredListMoves(t *testing.T) {
	s := openStore(t, nil)
	at := func(x *shelf) any { return x.Version }
	k := &Kind[shelf]{
		ID: "shf", Name: "shelf", Collection: "shelves",
		Public:  Visible[shelf]{func(x *shelf) bool { return !x.Hidden }, bson.D{{Key: "hidden", Value: false}}},
		Version: func(x *shelf) *int64 { return &x.Version },
		Lists: []ListOf[shelf]{
			{Name: "shelves", Sort: "version", At: at, Under: id.Tag, Field: "tagIds",
				Parents: func(x *shelf) []id.ID { return x.TagIDs }, SetParents: func(x *shelf, ids []id.ID) { x.TagIDs = ids }},
			{Name: "main", Tag: "/main", Sort: "version", At: at, Under: id.Tag, Field: "mainId",
				Parents: func(x *shelf) []id.ID { return []id.ID{x.MainID} }, SetParents: func(x *shelf, ids []id.ID) { x.MainID = ids[0] }},
		},
	}
	from, into, other := id.New(id.Tag), id.New(id.Tag), id.New(id.Tag)
	replace := func(ids []id.ID) []id.ID {
		out := slices.Clone(ids)
		for i := range out {
			if out[i] == from {
				out[i] = into
			}
		}
		return out
	}
	var all []*shelf
	for n := range MaxPageSize + 2 { // more than one command reads
		x := &shelf{ID: id.New(k.ID), TagIDs: []id.ID{other, from}, MainID: from, Hidden: n%2 > 0}
		if n == 0 {
			x.TagIDs, x.MainID = []id.ID{other}, other
		}
		check(t, k.Add(t.Context(), s, x))
		all = append(all, x)
	}
	check(t, k.moveChildren(t.Context(), s, id.New(id.Author), nil, nil)) // no list is under authors
	check(t, k.moveChildren(t.Context(), s, from, replace, nil))
	for n, x := range all {
		found, err := k.Now(t.Context(), s, []id.ID{x.ID})
		check(t, err)
		want := shelf{x.ID, 3, []id.ID{other, into}, into, x.Hidden}
		if n == 0 {
			want = *x
		}
		if is := found[0]; is.Version != want.Version || is.MainID != want.MainID || !slices.Equal(is.TagIDs, want.TagIDs) {
			t.Fatalf("shelf %d is %+v, not %+v", n, is, want)
		}
	}
	check(t, k.Add(t.Context(), s, &shelf{ID: id.New(k.ID), TagIDs: []id.ID{from}}))
	tries := 0
	write := ReplaceByKind{k.ID: func(ctx context.Context, before, after Node) error {
		if tries++; tries == 1 {
			return problem.New(problem.Conflict, "another writer was faster")
		}
		return k.Change(ctx, s, before.(*shelf), after.(*shelf))
	}}
	if check(t, k.moveChildren(t.Context(), s, from, replace, write)); tries != 2 {
		t.Errorf("after a conflict it was tried %d times", tries)
	}
	k.Lists[1].SetParents = nil
	if err := k.moveChildren(t.Context(), s, from, replace, nil); err == nil {
		t.Error("a list that can't move is passed over")
	}
}
