package graph

// The subscriptions and the fields of their events. Entry points: the root fields; Streams, the
// extension that ends a failed subscription with its error.

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"stoa/id"
	"stoa/store"
)

func (s subscription) ArticlePublished(ctx context.Context, after *id.ID) (<-chan *store.Publication, error) {
	f, err := s.Blog.Published(ctx, after)
	return stream(ctx, f, err)
}

func (s subscription) CommentAdded(ctx context.Context, article id.ID, after *id.ID) (<-chan *store.Publication, error) {
	f, err := s.Comments.Added(ctx, article, after)
	return stream(ctx, f, err)
}

func (articlePublishedEvent) Article(ctx context.Context, e *store.Publication) (*store.Article, error) {
	return orNull(articles(loaders(ctx)).One(ctx, e.Of))
}

func (commentAddedEvent) Comment(ctx context.Context, e *store.Publication) (*store.Comment, error) {
	return loaders(ctx).Added(ctx, e)
}

// Streams ends a failed subscription with the reason: gqlgen takes a closed channel for the end of
// the events. The last response then has an error and no data, unlike any event.
type Streams struct{}

var (
	_ graphql.HandlerExtension     = Streams{}
	_ graphql.OperationInterceptor = Streams{}
	_ graphql.ResponseInterceptor  = Streams{}
)

// ExtensionName names it to gqlgen.
func (Streams) ExtensionName() string { return "Streams" }

// Validate agrees with any schema.
func (Streams) Validate(graphql.ExecutableSchema) error { return nil }

type streamKey struct{}

// running holds the Following of a subscription.
type running struct{ following *store.Following }

// InterceptOperation makes room for the Following of a subscription.
func (Streams) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
		ctx = context.WithValue(ctx, streamKey{}, &running{})
	}
	return next(ctx)
}

// InterceptResponse returns the reason for the end of the events, once.
func (Streams) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	response := next(ctx)
	r, ok := ctx.Value(streamKey{}).(*running)
	if response != nil || !ok || r.following == nil {
		return response
	}
	err := r.following.Err()
	if r.following = nil; err == nil {
		return nil
	}
	graphql.AddError(ctx, err)
	return &graphql.Response{Errors: graphql.GetErrors(ctx)}
}

// stream makes f the Following of the subscription, and returns its events.
func stream(ctx context.Context, f *store.Following, err error) (<-chan *store.Publication, error) {
	if err != nil {
		return nil, err
	}
	if r, ok := ctx.Value(streamKey{}).(*running); ok {
		r.following = f
	}
	return f.Events, nil
}
