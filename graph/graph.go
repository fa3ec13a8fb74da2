// Package graph has the resolvers of the schema: one file a noun, each resolver one call. Root
// fields call a domain package, edges call a loader; rules are in the domain packages.
//
// It may import access, account, blog, dataloader, edit, media, search, shop, store (for its documents), store/cache
// (to look into memory only), id, problem and its own sub-packages. generated/ comes out of
// schema.graphqls and gqlgen.yml by go generate.
// Entry points: New, LookAhead, Streams, Errors.
package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"stoa/account"
	"stoa/blog"
	"stoa/dataloader"
	"stoa/graph/generated"
	"stoa/id"
	"stoa/media"
	"stoa/problem"
	"stoa/search"
	"stoa/shop"
	"stoa/store"
)

// Resolver has the services that the resolvers call.
type Resolver struct {
	Blog           *blog.Blog
	AccountService *account.Service
	Pictures       *media.Pictures
	Comments       *blog.Comments
	Index          *search.Engine
	ShopService    *shop.Shop
}

// New returns the schema with its resolvers.
func New(r Resolver) graphql.ExecutableSchema {
	return generated.NewExecutableSchema(generated.Config{Resolvers: r, Directives: generated.DirectiveRoot{Auth: auth}})
}

// query, mutation and subscription resolve the root fields. The resolver types of other objects are
// in rows.go.
type (
	query        struct{ Resolver }
	mutation     struct{ Resolver }
	subscription struct{ Resolver }
)

// Query returns the resolvers of queries.
func (r Resolver) Query() generated.QueryResolver { return query{r} }

// Mutation returns the resolvers of mutations.
func (r Resolver) Mutation() generated.MutationResolver { return mutation{r} }

// Subscription returns the resolvers of subscriptions.
func (r Resolver) Subscription() generated.SubscriptionResolver { return subscription{r} }

// loaders returns the loaders of the response that ctx belongs to.
func loaders(ctx context.Context) *dataloader.Loaders { return dataloader.From(ctx) }

// orNull turns NotFound into null, for nullable fields.
func orNull[T any](v T, err error) (T, error) {
	if problem.Is(err, problem.NotFound) {
		var null T
		return null, nil
	}
	return v, err
}

// listed returns a connection over a list, or err. items loads the elements.
func listed[T any](items *dataloader.Loader[id.ID, T], list *store.List, err error) (*dataloader.Connection[T], error) {
	if err != nil {
		return nil, err
	}
	return dataloader.Listed(list, items), nil
}

// first returns the first of ids, or "" if there are none.
func first(ids []id.ID) id.ID {
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

// window makes a Window of a client's paging arguments.
func window(first *int, after *string, last *int, before *string) store.Window {
	return store.Window{First: first, After: after, Last: last, Before: before}
}
