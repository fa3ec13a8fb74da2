package gateway

// What the gateway itself refuses: the codes that clients switch on, the status that goes
// with each, and the refusal that carries them from where something is wrong to where it is
// written.

import (
	"fmt"
	"net/http"
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
	codeUnauthenticated  = string(problem.Unauthenticated) // files aren't read from just anybody
	codeThrottled        = string(problem.Throttled)

	// There is no room, for a WebSocket or for one more operation over it.
	codeTooManyConnections = "TOO_MANY_CONNECTIONS"
	codeTooManyOperations  = "TOO_MANY_OPERATIONS"

	// The document, the operation or its variables are wrong.
	codeParseFailed           = errcode.ParseFailed
	codeValidationFailed      = errcode.ValidationFailed
	codeDocumentTooLarge      = "DOCUMENT_TOO_LARGE"
	codeDocumentTooDeep       = "DOCUMENT_TOO_DEEP"
	codeAnswerTooLarge        = "ANSWER_TOO_LARGE"
	codeOperationNotFound     = "OPERATION_NOT_FOUND"
	codeIntrospectionDisabled = "INTROSPECTION_DISABLED"

	// The document isn't there by its id, or isn't one that is answered here.
	codePersistedNotFound = "PERSISTED_QUERY_NOT_FOUND" // as Apollo Server has it
	codeNotTrusted        = "DOCUMENT_NOT_TRUSTED"

	// The answer couldn't be made, or not all of it.
	codeTimeout       = "TIMEOUT"
	codeCancelled     = "CANCELLED"
	codeInternal      = "INTERNAL"
	codeErrorsOmitted = "ERRORS_OMITTED"
)

// statusByMedia marks a code whose status the specification makes depend on the media type
// of the answer: 200 in application/json, 400 in application/graphql-response+json.
const statusByMedia = 0

func statusOf(code string) int {
	switch code {
	case codePersistedNotFound:
		return http.StatusOK // in both media types, as its clients expect of Apollo Server
	case codeNotFound:
		return http.StatusNotFound
	case codeCrossOrigin:
		return http.StatusForbidden
	case codeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case codeNotAcceptable:
		return http.StatusNotAcceptable
	case codeRequestTimeout:
		return http.StatusRequestTimeout
	case codePayloadTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeUnsupportedMedia:
		return http.StatusUnsupportedMediaType
	case codeBadRequest:
		return http.StatusBadRequest
	case codeUnauthenticated:
		return http.StatusUnauthorized
	case codeThrottled:
		return http.StatusTooManyRequests
	case codeTimeout:
		return http.StatusGatewayTimeout
	case codeCancelled, codeTooManyConnections:
		return http.StatusServiceUnavailable
	case codeInternal:
		return http.StatusInternalServerError
	default:
		return statusByMedia
	}
}

// refusal is an answer without data: why, and the headers that say what would be right.
type refusal struct {
	code   string // decides the status
	errors gqlerror.List
	header http.Header
}

// refusef returns the refusal for one reason, formatted as by fmt.Sprintf. The text says
// what is wrong and what would be right.
func refusef(code, format string, args ...any) *refusal {
	return &refusal{code: code, errors: gqlerror.List{coded(code, gqlerror.Errorf(format, args...))}}
}

// at adds the place in the document.
func (no *refusal) at(position *ast.Position) *refusal {
	if position != nil {
		no.errors[0].Locations = append(no.errors[0].Locations, gqlerror.Location{Line: position.Line, Column: position.Column})
	}
	return no
}

// with adds a header.
func (no *refusal) with(name, value string) *refusal {
	if no.header == nil {
		no.header = http.Header{}
	}
	no.header.Set(name, value)
	return no
}

// status is the HTTP status of the refusal in an answer of media.
func (no *refusal) status(media mediaType) int {
	status := statusOf(no.code)
	if status != statusByMedia {
		return status
	}
	return statusWithoutData(media)
}

// statusWithoutData is the status of an answer that a well-formed request got, but which has
// no data entry (GraphQL over HTTP, section "Status Codes").
func statusWithoutData(media mediaType) int {
	if media == mediaGraphQL {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func coded(code string, err *gqlerror.Error) *gqlerror.Error {
	err.Message = clip(err.Message)
	errcode.Set(err, code)
	return err
}

// maxMessage bounds the text of one error, in bytes: values of a client's, which may be as
// long as the body, are quoted in it.
const maxMessage = 1 << 10

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
