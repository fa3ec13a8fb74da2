package graph

// Errors on their way to a client. Entry points: Errors.Present and Errors.Recover, for gqlgen.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"stoa/problem"
	"stoa/store"
)

// Codes of top-level errors that aren't problems.
const (
	codeInternal    = "INTERNAL"
	codeTimeout     = "TIMEOUT"
	codeTooSlow     = "TOO_SLOW"    // a client doesn't take its subscription's events
	codeOverloaded  = "OVERLOADED"  // there was no room for the work
	codeUnavailable = "UNAVAILABLE" // the database can't be reached
)

// Errors turns each error into its form for the client. A problem is shown with its code, and an
// error of gqlgen's about the request unchanged. Want of room, time or a database has a code of its own: the
// store logs once that the database is away. Any other error is our fault: it is logged here,
// once, and shown as INTERNAL with a reference that is also in the log.
type Errors struct{ Log *slog.Logger }

// Present is gqlgen's error presenter.
func (e Errors) Present(ctx context.Context, err error) *gqlerror.Error {
	shown := &gqlerror.Error{Path: graphql.GetPath(ctx)}
	var located *gqlerror.Error
	if errors.As(err, &located) {
		if located.Path != nil {
			shown.Path = located.Path
		}
		shown.Locations = located.Locations
	}
	argument := e.argument(ctx, shown)
	var refused *problem.Error
	switch {
	case errors.As(err, &refused):
		shown.Message = refused.Message
		shown.Extensions = map[string]any{"code": string(refused.Code)}
		if refused.RetryAfter > 0 {
			shown.Extensions["retryAfter"] = seconds(refused.RetryAfter)
		}
		if len(refused.Path) > 0 {
			shown.Extensions["argument"] = refused.Path
		} else if len(argument) > 0 {
			shown.Extensions["argument"] = argument
		}
	case located != nil && located.Unwrap() == nil:
		shown.Message, shown.Rule, shown.Extensions = located.Message, located.Rule, located.Extensions
	case errors.Is(err, store.ErrTooSlow):
		shown.Message = "events come faster than you read them: subscribe again, after the last that you have had"
		shown.Extensions = map[string]any{"code": codeTooSlow}
	case errors.Is(err, problem.ErrOverloaded):
		shown.Message = "more is asked for than can be done at this moment: try again in a second"
		shown.Extensions = map[string]any{"code": codeOverloaded, "retryAfter": 1}
	case errors.Is(ctx.Err(), context.DeadlineExceeded): // the request's own deadline, not the database's
		shown.Message = "this took too long: ask for less at once, or try again"
		shown.Extensions = map[string]any{"code": codeTimeout}
	case errors.Is(err, problem.ErrUnavailable):
		shown.Message = "what this needs can't be reached at this moment: try again in a few seconds, a mutation with the same idempotency key"
		shown.Extensions = map[string]any{"code": codeUnavailable, "retryAfter": 2}
	default:
		reference := rand.Text()[:10]
		if ctx.Err() == nil { // a client that has gone is nobody's fault
			e.Log.Error("a request failed", "reference", reference, "path", shown.Path.String(), "error", err)
		}
		shown.Message = fmt.Sprintf("something went wrong on our side; reference %s", reference)
		shown.Extensions = map[string]any{"code": codeInternal, "reference": reference}
	}
	return shown
}

// argument turns an error about an argument into one of the field with that argument: gqlgen
// continues the field's path into the argument, and a client expects fields of the response there.
// It returns the part of the path that it removed.
func (Errors) argument(ctx context.Context, shown *gqlerror.Error) ast.Path {
	field := graphql.GetFieldContext(ctx)
	if field == nil {
		return nil
	}
	if position := field.Field.Position; len(shown.Locations) == 0 && position != nil {
		shown.Locations = []gqlerror.Location{{Line: position.Line, Column: position.Column}}
	}
	path := field.Path()
	if len(shown.Path) <= len(path) || !slices.Equal(shown.Path[:len(path)], path) {
		return nil
	}
	argument := shown.Path[len(path):]
	shown.Path = path
	return argument
}

// Recover turns a panic into an error, with its stack for the log.
func (Errors) Recover(_ context.Context, cause any) error {
	return fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
}
