package store

// The addresses of everything public, for sitemaps. Entry points: Store.Addresses,
// Store.AddressesStamp.

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/id"
)

// AddressOf is the kind of thing at an address.
type AddressOf int

// The kinds of things.
const (
	OfArticle AddressOf = iota
	OfAuthor
	OfTag
)

// Address is the address of a thing, with the time of the last visible change there.
type Address struct {
	Of      AddressOf
	Slug    string
	Changed time.Time
}

// Addresses calls visit with every published article, then with the authors and tags of published
// articles: the page of any other would be empty, and a draft must not reveal its author or tags.
// They come in the database's own order, read past the caches in parts of oneReply, so memory has
// one part, and a time for each author and tag.
func (s *Store) Addresses(ctx context.Context, visit func(Address)) error {
	newest := map[id.ID]time.Time{}
	err := inParts(ctx, s, articles, publicArticles(), func(a *Article) {
		visit(Address{OfArticle, a.Slug, a.UpdatedAt})
		for _, parent := range slices.Concat(a.AuthorIDs, a.TagIDs) {
			if a.UpdatedAt.After(newest[parent]) {
				newest[parent] = a.UpdatedAt
			}
		}
	})
	if err != nil {
		return err
	}
	err = inParts(ctx, s, authors, bson.D{}, func(a *Author) {
		if at, ok := newest[a.ID]; ok {
			visit(Address{OfAuthor, a.Slug, at})
		}
	})
	if err != nil {
		return err
	}
	return inParts(ctx, s, tags, bson.D{}, func(t *Tag) {
		if at, ok := newest[t.ID]; ok {
			visit(Address{OfTag, t.Slug, at})
		}
	})
}

// inParts reads the fields of addresses of all documents that match, in no order, in the batches of
// a cursor.
func inParts[T any](ctx context.Context, s *Store, collection string, filter bson.D, visit func(*T)) error {
	return visitEach(ctx, s.collection(collection), filter, projection("slug", "updatedAt", "authorIds", "tagIds").SetBatchSize(oneReply),
		func(d *T, _ bool) { visit(d) })
}

// addressesTag is the dependency of everything derived from Addresses, besides the lists of authors
// and tags.
const addressesTag = "list/addresses"

// addressesKey names the stamp in the caches.
const addressesKey = "addresses"

// stamp is a random text that is valid until one of its dependencies changes.
type stamp struct {
	Text string `bson:"s"`
}

// AddressesStamp returns a text that differs after a change of the addresses, and mostly stays the
// same until then. It is as fresh as any list, and costs no database command.
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
