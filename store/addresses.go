package store

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/id"
)

// AddressOf says what has an address.
type AddressOf int

// What there is.
const (
	OfArticle AddressOf = iota
	OfAuthor
	OfTag
)

// Address is where something is, and when what is to be seen there was changed last.
type Address struct {
	Of      AddressOf
	Slug    string
	Changed time.Time
}

// Addresses calls visit with every published article, then with the authors and the tags
// that have one: of those without, the page would be empty, and what only a draft names is
// nobody's business. Articles come newest first, the others by name. All are read past the
// caches in parts of oneReply, so that memory holds one part and a time for each author and
// tag. What is moved while it runs may come twice or not at all: AddressesStamp tells.
func (s *Store) Addresses(ctx context.Context, visit func(Address)) error {
	newest := map[id.ID]time.Time{}
	all := query{collection: articles, filter: publicArticles(), sort: string(ByPublished), byTime: true, descending: true}
	err := inParts(ctx, s, all, func(a *Article) Entry {
		visit(Address{OfArticle, a.Slug, a.UpdatedAt})
		for _, parent := range slices.Concat(a.AuthorIDs, a.TagIDs) {
			if a.UpdatedAt.After(newest[parent]) {
				newest[parent] = a.UpdatedAt
			}
		}
		return Entry{ID: a.ID, Time: a.PublishedAt}
	})
	if err != nil {
		return err
	}
	err = inParts(ctx, s, query{collection: authors, filter: bson.D{}, sort: "nameKey"}, func(a *Author) Entry {
		if at, ok := newest[a.ID]; ok {
			visit(Address{OfAuthor, a.Slug, at})
		}
		return Entry{ID: a.ID, Text: a.NameKey}
	})
	if err != nil {
		return err
	}
	return inParts(ctx, s, query{collection: tags, filter: bson.D{}, sort: "nameKey"}, func(t *Tag) Entry {
		if at, ok := newest[t.ID]; ok {
			visit(Address{OfTag, t.Slug, at})
		}
		return Entry{ID: t.ID, Text: t.NameKey}
	})
}

// inParts reads all of q, as far as addresses need it, by keyset. visit returns the place of
// what it is given.
func inParts[T any](ctx context.Context, s *Store, q query, visit func(*T) Entry) error {
	direction := 1
	if q.descending {
		direction = -1
	}
	filter := q.filter
	for {
		found, err := find[T](ctx, s.db.Collection(q.collection), filter, projection("slug", q.sort, "updatedAt", "authorIds", "tagIds").
			SetSort(bson.D{{Key: q.sort, Value: direction}, {Key: "_id", Value: direction}}).SetLimit(oneReply))
		if err != nil {
			return err
		}
		var last Entry
		for _, d := range found {
			last = visit(d)
		}
		if len(found) < oneReply {
			return nil
		}
		filter = append(slices.Clone(q.filter), bson.E{Key: "$and", Value: bson.A{q.beyond(last, true)}})
	}
}

// addressesTag is what everything that follows from Addresses depends on, besides the lists
// of authors and tags.
const addressesTag = "list/addresses"

// addressesKey names the stamp in the caches.
const addressesKey = "addresses"

// stamp is a random text that lives as long as nothing has changed that it depends on.
type stamp struct {
	Text string `bson:"s"`
}

// AddressesStamp returns a text that is another one after what Addresses visits has changed,
// and mostly the same until then. It is as fresh as any list, and costs no database command.
func (s *Store) AddressesStamp(ctx context.Context) (string, error) {
	found, err := s.tables.stamps.Get(ctx, s.cache, []string{addressesKey})
	if err != nil {
		return "", err
	}
	return found[0].Text, nil
}

func (s *Store) makeStamps(_ context.Context, keys []string) (map[string]*stamp, error) {
	out := make(map[string]*stamp, len(keys))
	for _, k := range keys {
		out[k] = &stamp{rand.Text()}
	}
	return out, nil
}
