package gateway

// The HTTP status of each refusal (statusOf), by GraphQL over HTTP.

import "net/http"

// statusByMedia marks a code whose status the specification makes depend on the media type
// of the response: 200 in application/json, 400 in application/graphql-response+json.
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
	case codeCancelled, codeTooManyConnections, codeOverloaded:
		return http.StatusServiceUnavailable
	case codeInternal:
		return http.StatusInternalServerError
	default:
		return statusByMedia
	}
}

// statusWithoutData is the status of a response to a well-formed request that has no data entry
// (GraphQL over HTTP, section "Status Codes").
func statusWithoutData(media mediaType) int {
	if media == mediaGraphQL {
		return http.StatusBadRequest
	}
	return http.StatusOK
}
