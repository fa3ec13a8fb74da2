package gateway

// The way of a GraphQL request, from its first byte to its answer: serveGraphQL and answer.
// Each step is in a file of its own; what is cheap to refuse comes first, and nothing runs
// before everything that could be refused has been.

import (
	"context"
	"errors"
	"net/http"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"
)

// errTimeout is why a request's context ended when its time had run out.
var errTimeout = errors.New("the request's time ran out")

// serveGraphQL answers one request to /graphql.
func (g *Gateway) serveGraphQL(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead:
		if g.playground != nil && wantsHTML(r.Header) && !r.URL.Query().Has("query") {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		g.refuse(w, r, mediaJSON, refusef(codeMethodNotAllowed, "%.20q isn't taken here: use POST, or GET for a query", r.Method).with("Allow", "GET, HEAD, POST, OPTIONS"))
		return
	}
	media, no := negotiate(r.Header)
	if no != nil {
		g.refuse(w, r, mediaJSON, no)
		return
	}
	ctx, cancel := context.WithTimeoutCause(graphql.StartOperationTrace(r.Context()), g.timeout, errTimeout)
	defer cancel()
	response, no := g.answer(ctx, w, r)
	if no != nil {
		g.refuse(w, r, media, no)
		return
	}
	g.respond(w, r, media, response)
}

// answer is the way of a request to its response, which a refusal ends wherever it is. It
// only reads from w's connection.
func (g *Gateway) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) (*graphql.Response, *refusal) {
	// What is asked for?
	envelope, no := g.readEnvelope(ctx, w, r)
	if no != nil {
		return nil, no
	}

	// Is it a document, small enough to look at?
	document, no := g.documents.parsed(envelope.query)
	if no != nil {
		return nil, no
	}

	// Which of its operations, and may this method run it?
	operation, no := document.operation(envelope.operationName)
	if no != nil {
		return nil, no
	}
	if no := checkMethod(r.Method, operation); no != nil {
		return nil, no
	}

	// Does it fit the schema, and do the variables fit it?
	if no := g.documents.validate(document); no != nil {
		return nil, no
	}
	variables, no := coerceVariables(g.documents.schema, operation, document.required, envelope.variables)
	if no != nil {
		return nil, no
	}

	// Is there an end to what it asks for?
	if no := weigh(operation, variables, g.maxObjects); no != nil {
		return nil, no
	}

	return g.execute(ctx, document, &graphql.RawParams{
		Query:         envelope.query,
		OperationName: operation.Name,
		Variables:     variables,
		Extensions:    envelope.extensions,
		Headers:       r.Header,
	})
}

// checkMethod refuses an operation that its method may not run. A GET changes nothing, so
// that no link, picture or prefetching proxy can.
func checkMethod(method string, operation *ast.OperationDefinition) *refusal {
	switch {
	case operation.Operation == ast.Subscription:
		return refusef(codeBadRequest, "a subscription has no single answer: it can't be sent by %s", method)
	case operation.Operation == ast.Mutation && method != http.MethodPost:
		return refusef(codeMethodNotAllowed, "a mutation must be sent by POST, not %s", method).with("Allow", http.MethodPost)
	default:
		return nil
	}
}
