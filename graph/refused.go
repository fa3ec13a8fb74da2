package graph

// Refusals in the payloads of mutations, with the error enums of the domains. Entry points: auth,
// refused, shown and its like.

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/graph/generated"
	"stoa/problem"
)

// auth is the directive @auth: without the role no resolver runs.
func auth(ctx context.Context, _ any, next graphql.Resolver, requires access.Role) (any, error) {
	if _, err := access.Require(ctx, requires); err != nil {
		return nil, err
	}
	return next(ctx)
}

// refused separates the problems that a mutation's caller can put right from errors of the whole
// response: faults of ours, and a caller without a session.
func refused(err error) (*problem.Error, error) {
	var p *problem.Error
	if errors.As(err, &p) && p.Code != problem.Unauthenticated {
		return p, nil
	}
	return nil, err
}

// shown turns an error into the errors of a payload, by show.
func shown[E any](err error, show func(*problem.Error) *E) ([]*E, error) {
	p, err := refused(err)
	if p == nil {
		return []*E{}, err
	}
	return []*E{show(p)}, nil
}

func accountErrors(err error) ([]*generated.AccountError, error) {
	return shown(err, func(p *problem.Error) *generated.AccountError {
		return &generated.AccountError{Message: p.Message, Path: p.Path, Code: generated.AccountErrorCode(p.Code), RetryAfter: retryAfter(p)}
	})
}

func commentErrors(err error) ([]*generated.CommentError, error) {
	return shown(err, func(p *problem.Error) *generated.CommentError {
		return &generated.CommentError{Message: p.Message, Path: p.Path, Code: generated.CommentErrorCode(p.Code), RetryAfter: retryAfter(p)}
	})
}

func mediaErrors(err error) ([]*generated.MediaError, error) {
	return shown(err, func(p *problem.Error) *generated.MediaError {
		return &generated.MediaError{Message: p.Message, Path: p.Path, Code: generated.MediaErrorCode(p.Code), RetryAfter: retryAfter(p)}
	})
}

func articleErrors(err error) ([]*generated.ArticleError, error) {
	return shown(err, func(p *problem.Error) *generated.ArticleError {
		return &generated.ArticleError{Message: p.Message, Path: p.Path, Code: generated.ArticleErrorCode(p.Code)}
	})
}

func productErrors(err error) ([]*generated.ProductError, error) {
	return shown(err, func(p *problem.Error) *generated.ProductError {
		return &generated.ProductError{Message: p.Message, Path: p.Path, Code: generated.ProductErrorCode(p.Code)}
	})
}

// seconds is d in whole seconds, rounded up.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// retryAfter is the time to wait before the next attempt, in seconds; nil if p has none.
func retryAfter(p *problem.Error) *int {
	if p.RetryAfter <= 0 {
		return nil
	}
	wait := seconds(p.RetryAfter)
	return &wait
}

// orAccountErrors passes v on, and splits err by accountErrors.
func orAccountErrors[T any](v T, err error) (T, []*generated.AccountError, error) {
	errs, err := accountErrors(err)
	return v, errs, err
}

// orCommentErrors passes v on, and splits err by commentErrors.
func orCommentErrors[T any](v T, err error) (T, []*generated.CommentError, error) {
	errs, err := commentErrors(err)
	return v, errs, err
}

// orMediaErrors passes v on, and splits err by mediaErrors.
func orMediaErrors[T any](v T, err error) (T, []*generated.MediaError, error) {
	errs, err := mediaErrors(err)
	return v, errs, err
}

// orArticleErrors passes v on, and splits err by articleErrors.
func orArticleErrors[T any](v T, err error) (T, []*generated.ArticleError, error) {
	errs, err := articleErrors(err)
	return v, errs, err
}

// orProductErrors passes v on, and splits err by productErrors.
func orProductErrors[T any](v T, err error) (T, []*generated.ProductError, error) {
	errs, err := productErrors(err)
	return v, errs, err
}

// some is list, empty if it is nil.
func some[T any](list []*T) []*T {
	if list == nil {
		return []*T{}
	}
	return list
}
