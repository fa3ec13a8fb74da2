package wire

// The HTTP status of each refusal (statusOf), by GraphQL over HTTP.

import (
	"net/http"

	"stoa/gateway/refusal"
)

// statusByMedia marks a code with a status that depends on the media type, by the specification,
// of the response: 200 in application/json, 400 in application/graphql-response+json.
const statusByMedia = 0

func StatusOf(code string) int {
	switch code {
	case refusal.PersistedNotFound:
		return http.StatusOK // in both media types, as its clients expect of Apollo Server
	case refusal.NotFound:
		return http.StatusNotFound
	case refusal.CrossOrigin:
		return http.StatusForbidden
	case refusal.MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case refusal.NotAcceptable:
		return http.StatusNotAcceptable
	case refusal.RequestTimeout:
		return http.StatusRequestTimeout
	case refusal.PayloadTooLarge:
		return http.StatusRequestEntityTooLarge
	case refusal.UnsupportedMedia:
		return http.StatusUnsupportedMediaType
	case refusal.BadRequest:
		return http.StatusBadRequest
	case refusal.Unauthenticated:
		return http.StatusUnauthorized
	case refusal.Throttled:
		return http.StatusTooManyRequests
	case refusal.Timeout:
		return http.StatusGatewayTimeout
	case refusal.Cancelled, refusal.TooManyConnections, refusal.Overloaded, refusal.Unavailable:
		return http.StatusServiceUnavailable
	case refusal.Internal:
		return http.StatusInternalServerError
	default:
		return statusByMedia
	}
}

// statusWithoutData is the status of a response to a well-formed request that has no data entry
// (GraphQL over HTTP, section "Status Codes").
func statusWithoutData(media MediaType) int {
	if media == GraphQL {
		return http.StatusBadRequest
	}
	return http.StatusOK
}
