package store

// This file finds the articles published next to an article. Entry points: PositionOf,
// Store.Neighbours.

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/id"
)

// AllArticles names the list of all published articles.
const AllArticles id.ID = "all"

// Position names an article's position among all published articles.
type Position string

// PositionOf returns the position of a published article.
func PositionOf(a *Article) Position {
	return Position(strconv.FormatInt(a.PublishedAt.UnixMilli(), 36) + "/" + string(a.ID))
}

func (p Position) entry() Entry {
	moment, article, _ := strings.Cut(string(p), "/")
	ms, _ := strconv.ParseInt(moment, 36, 64)
	return Entry{ID: id.ID(article), Time: time.UnixMilli(ms).UTC()}
}

func neighboursKey(p Position) string { return "neighbours/" + string(p) }

// Neighbours are the articles published next after an article and next before it; "" at the
// ends. Of articles published at the same time the one with the greater id is the newer.
type Neighbours struct {
	Newer id.ID `bson:"n,omitempty"`
	Older id.ID `bson:"o,omitempty"`
}

// Neighbours returns the neighbours of the articles at positions, in their order: none for an
// article that isn't published, or not at that time. It takes one command for all positions that
// aren't cached. The command reads two keys of an index for each, at any number of articles.
func (s *Store) Neighbours(ctx context.Context, positions []Position) ([]*Neighbours, error) {
	found, err := s.tables.neighbours.Get(ctx, s.cache, positions)
	for i, n := range found {
		if n == nil {
			found[i] = &noNeighbours
		}
	}
	return found, err
}

// noNeighbours is always the same pointer, so that two empty results compare as equal.
var noNeighbours Neighbours

func (s *Store) readNeighbours(ctx context.Context, positions []Position) (map[Position]*Neighbours, error) {
	ids := make([]id.ID, len(positions))
	for i, p := range positions {
		ids[i] = p.entry().ID
	}
	slices.Sort(ids)
	type element struct {
		ID id.ID `bson:"_id"`
	}
	type document struct {
		ID          id.ID     `bson:"_id"`
		PublishedAt time.Time `bson:"publishedAt"`
		Newer       []element `bson:"newer"`
		Twin        []element `bson:"newerTwin"` // the newer of those published at the same time
		Older       []element `bson:"older"`
		OlderTwin   []element `bson:"olderTwin"`
	}
	found, err := aggregate[document](ctx, s.collection(articles),
		bson.D{{Key: "$match", Value: append(in("_id", slices.Compact(ids)), publicArticles()...)}},
		bson.D{{Key: "$project", Value: bson.D{{Key: "publishedAt", Value: 1}}}},
		beside("newer", false, true), beside("newerTwin", true, true), beside("older", false, false), beside("olderTwin", true, false),
	)
	if err != nil {
		return nil, err
	}
	first := func(lists ...[]element) id.ID {
		for _, l := range lists {
			if len(l) > 0 {
				return l[0].ID
			}
		}
		return ""
	}
	out := make(map[Position]*Neighbours, len(found))
	for _, d := range found {
		at := PositionOf(&Article{ID: d.ID, PublishedAt: d.PublishedAt})
		out[at] = &Neighbours{Newer: first(d.Twin, d.Newer), Older: first(d.OlderTwin, d.Older)}
	}
	return out, nil
}

// beside looks up the closest article on one side of each: among those published at the same
// time, or before or after that.
func beside(as string, sameTime, newer bool) bson.D {
	operator, direction := "$lt", -1
	if newer {
		operator, direction = "$gt", 1
	}
	compare := func(operator, field, variable string) bson.D {
		return bson.D{{Key: operator, Value: bson.A{"$" + field, "$$" + variable}}}
	}
	expression := compare(operator, "publishedAt", "time")
	if sameTime {
		expression = bson.D{{Key: "$and", Value: bson.A{compare("$eq", "publishedAt", "time"), compare(operator, "_id", "id")}}}
	}
	return bson.D{{Key: "$lookup", Value: bson.D{
		{Key: "from", Value: articles},
		{Key: "let", Value: bson.D{{Key: "time", Value: "$publishedAt"}, {Key: "id", Value: "$_id"}}},
		{Key: "pipeline", Value: bson.A{
			bson.D{{Key: "$match", Value: append(publicArticles(), bson.E{Key: "$expr", Value: expression})}},
			bson.D{{Key: "$sort", Value: bson.D{{Key: "publishedAt", Value: direction}, {Key: "_id", Value: direction}}}},
			bson.D{{Key: "$limit", Value: 1}},
			bson.D{{Key: "$project", Value: bson.D{{Key: "_id", Value: 1}}}},
		}},
		{Key: "as", Value: as},
	}}}
}
