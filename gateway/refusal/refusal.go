// Package refusal has the errors with which the gateway refuses a request. New makes one with
// a code that clients switch on, and Errors lists the errors that a client sees. An error of
// another type is a fault of ours: it is logged, and shown as INTERNAL.
//
// Every step of the gateway returns these as plain errors, and package wire writes them. It
// may import problem, for the codes that are the schema's, too, and gqlparser.
package refusal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/99designs/gqlgen/graphql/errcode"

	"stoa/clip"
	"stoa/problem"
)

// The codes there are, in extensions.code. They are part of the API.
const (
	// The request isn't one that GraphQL over HTTP knows.
	BadRequest       = "BAD_REQUEST"
	NotFound         = string(problem.NotFound)
	MethodNotAllowed = "METHOD_NOT_ALLOWED"
	CrossOrigin      = "CROSS_ORIGIN" // a page of an origin that isn't listed
	NotAcceptable    = "NOT_ACCEPTABLE"
	RequestTimeout   = "REQUEST_TIMEOUT" // the body came too slowly
	PayloadTooLarge  = "PAYLOAD_TOO_LARGE"
	UnsupportedMedia = "UNSUPPORTED_MEDIA_TYPE"
	Unauthenticated  = string(problem.Unauthenticated) // files are read for signed-in clients only
	Throttled        = string(problem.Throttled)
	Overloaded       = "OVERLOADED"  // more is asked for than can be done now
	Unavailable      = "UNAVAILABLE" // the database can't be reached now

	// There is no room, for a WebSocket or for one more operation over it.
	TooManyConnections = "TOO_MANY_CONNECTIONS"
	TooManyOperations  = "TOO_MANY_OPERATIONS"

	// The document, the operation or its variables are wrong.
	ParseFailed           = errcode.ParseFailed
	ValidationFailed      = errcode.ValidationFailed
	DocumentTooLarge      = "DOCUMENT_TOO_LARGE"
	DocumentTooDeep       = "DOCUMENT_TOO_DEEP"
	CostTooHigh           = "COST_TOO_HIGH"
	OperationNotFound     = "OPERATION_NOT_FOUND"
	IntrospectionDisabled = "INTROSPECTION_DISABLED"

	// The document isn't there by its id, or isn't one that is answered here.
	PersistedNotFound = "PERSISTED_QUERY_NOT_FOUND" // as Apollo Server has it
	NotTrusted        = "DOCUMENT_NOT_TRUSTED"

	// The response couldn't be made, or not all of it.
	ResponseTooLarge = "RESPONSE_TOO_LARGE"
	Timeout          = "TIMEOUT"
	Cancelled        = "CANCELLED"
	Internal         = "INTERNAL"
	ErrorsOmitted    = "ERRORS_OMITTED"
)

const (
	// MaxErrors is how many errors a response has at most. The hundred-and-first tells a client
	// nothing, and each fault is logged.
	MaxErrors = 100

	// MaxMessage bounds the text of one error, in bytes, since it may quote a client's value
	// as long as the body.
	MaxMessage = 1 << 10
)

// Error is the error that ends a request without data: the reasons, and the headers that tell
// a client how to do better.
type Error struct {
	code   string        // decides the status
	Errors gqlerror.List // at least one
	header map[string]string
	fault  error // not nil for a fault of ours, which has no errors yet
}

// New returns the refusal for one reason, formatted as by fmt.Sprintf. The text says both the
// error and its remedy.
func New(code, format string, args ...any) *Error {
	return &Error{code: code, Errors: gqlerror.List{Coded(code, gqlerror.Errorf(format, args...))}}
}

// Of returns the refusal for errors that have their code already.
func Of(code string, errs gqlerror.List) *Error { return &Error{code: code, Errors: errs} }

// Error returns the first reason.
func (r *Error) Error() string {
	if r.fault != nil {
		return r.fault.Error()
	}
	return r.Errors[0].Message
}

// Unwrap returns the fault behind an internal error.
func (r *Error) Unwrap() error { return r.fault }

// At adds a place in the document.
func (r *Error) At(position *ast.Position) *Error {
	if position != nil {
		r.Errors[0].Locations = append(r.Errors[0].Locations, gqlerror.Location{Line: position.Line, Column: position.Column})
	}
	return r
}

// With adds a header.
func (r *Error) With(name, value string) *Error {
	if r.header == nil {
		r.header = map[string]string{}
	}
	r.header[name] = value
	return r
}

// Extend adds a member to the error's extensions.
func (r *Error) Extend(name string, value any) *Error {
	r.Errors[0].Extensions[name] = value
	return r
}

// WithHeader adds a header to the response for err, also if err is a fault of ours.
func WithHeader(err error, name, value string) error {
	var r *Error
	if !errors.As(err, &r) {
		r = &Error{code: Internal, fault: err}
	}
	return r.With(name, value)
}

// Code returns the code that err is answered with, "" for nil.
func Code(err error) string {
	var r *Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, problem.ErrOverloaded):
		return Overloaded
	case errors.Is(err, problem.ErrUnavailable):
		return Unavailable
	case !errors.As(err, &r):
		return Internal
	}
	return r.code
}

// RetryUnavailable is after how many seconds a client tries again what is Unavailable.
const RetryUnavailable = "2"

// Header returns the headers that err is answered with.
func Header(err error) map[string]string {
	var r *Error
	switch {
	case errors.As(err, &r):
		return r.header
	case errors.Is(err, problem.ErrOverloaded):
		return map[string]string{"Retry-After": "1"}
	case errors.Is(err, problem.ErrUnavailable):
		return map[string]string{"Retry-After": RetryUnavailable}
	}
	return nil
}

// Errors lists the errors that a client sees for err. For a fault of ours it calls present,
// which logs it and returns the visible part.
func Errors(err error, present func(error) *gqlerror.Error) gqlerror.List {
	var r *Error
	if errors.As(err, &r) && r.fault == nil {
		return Bounded(r.Errors)
	}
	if r != nil {
		err = r.fault
	}
	if shown := present(err); shown != nil {
		return gqlerror.List{shown}
	}
	return gqlerror.List{Coded(Internal, gqlerror.Errorf("something went wrong"))}
}

// Coded sets the code of err, and cuts its message.
func Coded(code string, err *gqlerror.Error) *gqlerror.Error {
	err.Message = Clip(err.Message)
	errcode.Set(err, code)
	return err
}

// Bounded returns at most maxErrors of list and one that tells how many there are besides, their
// messages cut.
func Bounded(list gqlerror.List) gqlerror.List {
	if len(list) > MaxErrors+1 {
		list = append(list[:MaxErrors:MaxErrors], Omitted(int64(len(list)-MaxErrors)))
	}
	for _, err := range list {
		err.Message = Clip(err.Message)
	}
	return list
}

// Omitted is the error that tells how many others a response leaves out.
func Omitted(omitted int64) *gqlerror.Error {
	return Coded(ErrorsOmitted, gqlerror.Errorf("%d more errors aren't shown", omitted))
}

// Truncated is the last error for a document that was not read to its end.
func Truncated() *gqlerror.Error {
	return Coded(ErrorsOmitted, gqlerror.Errorf("the document may have more errors: not all of it was looked at"))
}

// Clip cuts the text of an error.
func Clip(s string) string {
	if len(s) <= MaxMessage {
		return s
	}
	// The copy doesn't keep a string of up to a megabyte in memory.
	return fmt.Sprintf("%s… (%d bytes in all)", clip.Bytes(s, MaxMessage), len(s))
}

// ClipName cuts a name or number from a request to 40 bytes, for a message.
func ClipName(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
