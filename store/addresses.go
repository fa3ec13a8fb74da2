package store

import (
	"context"
	"crypto/rand"
	"fmt"
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
// nobody's business. They come in the database's own order, read past the caches in parts of
// oneReply, so that memory holds one part and a time for each author and tag.
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

// inParts reads the fields of addresses of all documents that match, in no order, in the
// batches of a cursor.
func inParts[T any](ctx context.Context, s *Store, collection string, filter bson.D, visit func(*T)) error {
	cursor, err := s.db.Collection(collection).Find(ctx, filter, projection("slug", "updatedAt", "authorIds", "tagIds").SetBatchSize(oneReply))
	if err != nil {
		return fmt.Errorf("find in %s: %w", collection, err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	for cursor.Next(ctx) {
		d := new(T)
		if err := cursor.Decode(d); err != nil {
			return fmt.Errorf("read %s: %w", collection, err)
		}
		visit(d)
	}
	if err := cursor.Err(); err != nil {
		return fmt.Errorf("find in %s: %w", collection, err)
	}
	return nil
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
