package blog

// The content of feeds and of the sitemap. Entry points: Blog.Feed, Blog.Texts, Blog.Addresses.

import (
	"context"

	"stoa/id"
	"stoa/store"
)

// feedSize is the number of articles in a feed. A weekly reader of a site with seven articles a day
// misses none.
const feedSize = 50

// FeedOf selects the articles of a feed by a slug; nothing selects all. At most one is set.
type FeedOf struct{ Tag, Author *string }

// Feed is the content of a feed, without the texts: the newest published articles, newest first,
// and the authors and tags that they refer to. The maps lack those that have gone.
type Feed struct {
	Tag      *store.Tag    // the feed is of it; nil for none
	Author   *store.Author // the feed is of it; nil for none
	Articles []*store.Article
	Authors  map[id.ID]*store.Author
	Tags     map[id.ID]*store.Tag
}

// Feed returns the content of a feed; NotFound if there is no such tag or author. It takes at most
// six database commands, and none with warm caches.
func (b *Blog) Feed(ctx context.Context, of FeedOf) (*Feed, error) {
	out := &Feed{}
	var err error
	if of.Tag != nil {
		if out.Tag, err = store.Tags.BySlug(ctx, b.store, *of.Tag); err != nil {
			return nil, err
		}
	}
	if of.Author != nil {
		if out.Author, err = store.Authors.BySlug(ctx, b.store, *of.Author); err != nil {
			return nil, err
		}
	}
	size := feedSize
	list, err := b.Articles(ctx, &ArticleWhere{Tag: of.Tag, Author: of.Author}, nil, store.Window{First: &size})
	if err != nil {
		return nil, err
	}
	page, err := list.Page(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]id.ID, len(page.Entries))
	for i, e := range page.Entries {
		ids[i] = e.ID
	}
	found, err := store.Articles.All(ctx, b.store, ids)
	if err != nil {
		return nil, err
	}
	var by, under []id.ID
	for _, a := range found {
		if a != nil { // withdrawn since the list was read
			out.Articles = append(out.Articles, a)
			by, under = append(by, a.AuthorIDs...), append(under, a.TagIDs...)
		}
	}
	if out.Authors, err = keyed(ctx, b.store, store.Authors, by); err != nil {
		return nil, err
	}
	out.Tags, err = keyed(ctx, b.store, store.Tags, under)
	return out, err
}

// Texts returns the texts of articles, by the ids of their revisions, in at most one database
// command.
func (b *Blog) Texts(ctx context.Context, articles []*store.Article) (map[id.ID]*store.Revision, error) {
	ids := make([]id.ID, len(articles))
	for i, a := range articles {
		ids[i] = a.RevisionID
	}
	return keyed(ctx, b.store, store.Revisions, ids)
}

// keyed loads the public documents of a kind into a map by id.
func keyed[T any](ctx context.Context, s *store.Store, kind *store.Kind[T], ids []id.ID) (map[id.ID]*T, error) {
	out := make(map[id.ID]*T, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	found, err := kind.All(ctx, s, ids)
	for i, v := range found {
		if v != nil {
			out[ids[i]] = v
		}
	}
	return out, err
}

// Addresses calls visit with everything public that has a page of its own; see
// store.Store.Addresses.
func (b *Blog) Addresses(ctx context.Context, visit func(store.Address)) error {
	return b.store.Addresses(ctx, visit)
}

// AddressesStamp returns a version of the addresses: a text that changes when Addresses would visit
// other pages.
func (b *Blog) AddressesStamp(ctx context.Context) (string, error) {
	return b.store.AddressesStamp(ctx)
}
