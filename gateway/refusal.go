package gateway

// Refusals: the errors by which the gateway itself turns something down. refusef makes one with
// a code that clients switch on, and errorsOf lists what a client reads of any error. An error
// that is no refusal is a fault of ours: it is shown as INTERNAL, by whoever writes it.

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/99designs/gqlgen/graphql/errcode"

	"stoa/problem"
)

// The codes there are, in extensions.code. They are part of the API.
const (
	// The request isn't one that GraphQL over HTTP knows.
	codeBadRequest       = "BAD_REQUEST"
	codeNotFound         = string(problem.NotFound)
	codeMethodNotAllowed = "METHOD_NOT_ALLOWED"
	codeCrossOrigin      = "CROSS_ORIGIN" // a page of an origin that isn't listed
	codeNotAcceptable    = "NOT_ACCEPTABLE"
	codeRequestTimeout   = "REQUEST_TIMEOUT" // the body came too slowly
	codePayloadTooLarge  = "PAYLOAD_TOO_LARGE"
	codeUnsupportedMedia = "UNSUPPORTED_MEDIA_TYPE"
	codeUnauthenticated  = string(problem.Unauthenticated) // files are read for signed-in clients only
	codeThrottled        = string(problem.Throttled)
	codeOverloaded       = "OVERLOADED" // more is asked for than can be done now

	// There is no room, for a WebSocket or for one more operation over it.
	codeTooManyConnections = "TOO_MANY_CONNECTIONS"
	codeTooManyOperations  = "TOO_MANY_OPERATIONS"

	// The document, the operation or its variables are wrong.
	codeParseFailed           = errcode.ParseFailed
	codeValidationFailed      = errcode.ValidationFailed
	codeDocumentTooLarge      = "DOCUMENT_TOO_LARGE"
	codeDocumentTooDeep       = "DOCUMENT_TOO_DEEP"
	codeCostTooHigh           = "COST_TOO_HIGH"
	codeOperationNotFound     = "OPERATION_NOT_FOUND"
	codeIntrospectionDisabled = "INTROSPECTION_DISABLED"

	// The document isn't there by its id, or isn't one that is answered here.
	codePersistedNotFound = "PERSISTED_QUERY_NOT_FOUND" // as Apollo Server has it
	codeNotTrusted        = "DOCUMENT_NOT_TRUSTED"

	// The response couldn't be made, or not all of it.
	codeTimeout       = "TIMEOUT"
	codeCancelled     = "CANCELLED"
	codeInternal      = "INTERNAL"
	codeErrorsOmitted = "ERRORS_OMITTED"
)

const (
	// maxErrors is how many errors a response has at most. The hundred-and-first tells a client
	// nothing, and each fault is logged.
	maxErrors = 100

	// maxMessage bounds the text of one error, in bytes: values of a client's, which may be as
	// long as the body, are quoted in it.
	maxMessage = 1 << 10
)

// refusal is the error that ends a request without data: the reasons, and the headers that tell
// a client how to do better.
type refusal struct {
	code   string        // decides the status
	errors gqlerror.List // at least one
	header map[string]string
	fault  error // not nil for a fault of ours, which has no errors yet
}

// refusef returns the refusal for one reason, formatted as by fmt.Sprintf. The text says what is
// wrong and what would be right.
func refusef(code, format string, args ...any) *refusal {
	return &refusal{code: code, errors: gqlerror.List{coded(code, gqlerror.Errorf(format, args...))}}
}

// refusalOf returns the refusal for errors that have their code already.
func refusalOf(code string, errs gqlerror.List) *refusal { return &refusal{code: code, errors: errs} }

// Error returns the first reason.
func (r *refusal) Error() string {
	if r.fault != nil {
		return r.fault.Error()
	}
	return r.errors[0].Message
}

// Unwrap returns the fault behind an internal error.
func (r *refusal) Unwrap() error { return r.fault }

// at adds a place in the document.
func (r *refusal) at(position *ast.Position) *refusal {
	if position != nil {
		r.errors[0].Locations = append(r.errors[0].Locations, gqlerror.Location{Line: position.Line, Column: position.Column})
	}
	return r
}

// with adds a header.
func (r *refusal) with(name, value string) *refusal {
	if r.header == nil {
		r.header = map[string]string{}
	}
	r.header[name] = value
	return r
}

// extend adds a member to the error's extensions.
func (r *refusal) extend(name string, value any) *refusal {
	r.errors[0].Extensions[name] = value
	return r
}

// withHeader adds a header to what err is answered with, a fault of ours included.
func withHeader(err error, name, value string) error {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{code: codeInternal, fault: err}
	}
	return r.with(name, value)
}

// codeOf returns the code that err is answered with, "" without one.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	var r *refusal
	if !errors.As(err, &r) {
		return codeInternal
	}
	return r.code
}

// headerOf returns the headers that err is answered with.
func headerOf(err error) map[string]string {
	var r *refusal
	if !errors.As(err, &r) {
		return nil
	}
	return r.header
}

// errorsOf lists what a client reads of err. present is called for a fault of ours, logs it and
// returns what may be shown.
func errorsOf(err error, present func(error) *gqlerror.Error) gqlerror.List {
	var r *refusal
	if errors.As(err, &r) && r.fault == nil {
		return bounded(r.errors)
	}
	if r != nil {
		err = r.fault
	}
	if shown := present(err); shown != nil {
		return gqlerror.List{shown}
	}
	return gqlerror.List{coded(codeInternal, gqlerror.Errorf("something went wrong"))}
}

// coded sets the code of err, and cuts its message.
func coded(code string, err *gqlerror.Error) *gqlerror.Error {
	err.Message = clip(err.Message)
	errcode.Set(err, code)
	return err
}

// bounded returns at most maxErrors of list and one that tells how many there are besides, their
// messages cut.
func bounded(list gqlerror.List) gqlerror.List {
	if len(list) > maxErrors+1 {
		list = append(list[:maxErrors:maxErrors], moreErrors(int64(len(list)-maxErrors)))
	}
	for _, err := range list {
		err.Message = clip(err.Message)
	}
	return list
}

func moreErrors(omitted int64) *gqlerror.Error {
	return coded(codeErrorsOmitted, gqlerror.Errorf("%d more errors aren't shown", omitted))
}

func tooManyErrors() *gqlerror.Error {
	return coded(codeErrorsOmitted, gqlerror.Errorf("the document may have more errors: not all of it was looked at"))
}

// clip cuts the text of an error.
func clip(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	cut := maxMessage
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	// The copy lets go of what may be a megabyte.
	return fmt.Sprintf("%s… (%d bytes in all)", s[:cut], len(s))
}
