// Package graph answers the fields of the schema: one file a noun, each resolver one call.
// Root fields call a domain package, edges call a loader; nothing is decided here.
//
// It may import access, account, blog, dataloader, edit, media, search, store (for its documents), store/cache
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
	"stoa/store"
)

// Resolver is what the resolvers call.
type Resolver struct {
	Blog           *blog.Blog
	AccountService *account.Service
	Pictures       *media.Pictures
	Comments       *blog.Comments
	Index          *search.Engine
}

// New returns the schema with its resolvers.
func New(r Resolver) graphql.ExecutableSchema {
	return generated.NewExecutableSchema(generated.Config{Resolvers: r, Directives: generated.DirectiveRoot{Auth: auth}})
}

// query, mutation and subscription resolve the root fields; those of other types are in rows.go.
type (
	query        struct{ Resolver }
	mutation     struct{ Resolver }
	subscription struct{ Resolver }
)

// Query resolves the root fields that read.
func (r Resolver) Query() generated.QueryResolver { return query{r} }

// Mutation resolves the root fields that change something.
func (r Resolver) Mutation() generated.MutationResolver { return mutation{r} }

// Subscription resolves the root fields that tell what happens.
func (r Resolver) Subscription() generated.SubscriptionResolver { return subscription{r} }

// loaders are those of the response under way.
func loaders(ctx context.Context) *dataloader.Loaders { return dataloader.From(ctx) }

// orNull makes what isn't there null, for fields that may be.
func orNull[T any](v T, err error) (T, error) {
	if problem.Is(err, problem.NotFound) {
		var null T
		return null, nil
	}
	return v, err
}

// listed makes a connection of a list whose elements items loads.
func listed[T any](items *dataloader.Loader[id.ID, T], list *store.List, err error) (*dataloader.Connection[T], error) {
	if err != nil {
		return nil, err
	}
	return dataloader.Listed(list, items), nil
}

// first is the first of ids; "" where there is none.
func first(ids []id.ID) id.ID {
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

// window is what a client pages by.
func window(first *int, after *string, last *int, before *string) store.Window {
	return store.Window{First: first, After: after, Last: last, Before: before}
}
