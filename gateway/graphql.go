package gateway

// The way of a GraphQL request, from its first byte to its answer: serveGraphQL and answer.
// Each step is in a file of its own; what is cheap to refuse comes first, and nothing runs
// before everything that could be refused has been.

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
)

// outOfTime is why a request's context ended when its time had run out.
type outOfTime struct{ after time.Duration }

func (o outOfTime) Error() string { return fmt.Sprintf("the request's time ran out after %s", o.after) }

// serveGraphQL answers one request to /graphql.
func (g *Gateway) serveGraphQL(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	w.Header().Set("Cache-Control", "no-store")
	if wantsWebSocket(r) {
		g.serveWebSocket(w, r)
		return
	}
	if g.origins.allow(w, r) {
		return
	}
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead:
		if g.playground != nil && wantsHTML(r.Header) && !namesDocument(r.URL.Query()) {
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
	streams := r.Method != http.MethodHead && prefersStream(r.Header)
	media, no := mediaJSON, (*refusal)(nil)
	if !streams {
		media, no = negotiate(r.Header)
	}
	if no != nil {
		g.refuse(w, r, mediaJSON, no)
		return
	}
	if no := g.origins.check(r); no != nil {
		g.refuse(w, r, media, no)
		return
	}
	from, no := g.caller(r)
	if no != nil {
		g.refuse(w, r, media, no)
		return
	}
	if streams {
		g.serveStream(w, r, from)
		return
	}
	limit := g.timeout
	if isMultipart(r) {
		limit = g.uploadTimeout + uploadWork*g.timeout
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, outOfTime{limit})
	defer cancel()
	// The request's own context ends the answer's, but isn't its parent: net/http keeps in it
	// what leads to the connection, and there to the bytes that came.
	defer context.AfterFunc(r.Context(), cancel)()
	ctx, made := access.Begin(ctx, access.Request{
		Token:        from.token,
		ByCookie:     from.byCookie,
		Client:       from.client,
		Authenticate: g.authenticate,
		Cookies:      r.Method == http.MethodPost,
	})
	response, no := g.answer(graphql.StartOperationTrace(ctx), w, r)
	if cookie, ok := made.Cookie(); ok && r.Method == http.MethodPost {
		setCookie(w.Header(), cookie)
	}
	if no != nil {
		g.refuse(w, r, media, no)
		return
	}
	g.respond(w, r, media, response)
}

// answer is the way of a request to its response, which a refusal ends wherever it is. It
// only reads from w's connection.
func (g *Gateway) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) (*graphql.Response, *refusal) {
	if isMultipart(r) {
		return g.answerUpload(ctx, w, r)
	}

	// What is asked for?
	asked, no := g.readEnvelope(ctx, w, r)
	if no != nil {
		return nil, no
	}
	prepared, no := g.prepare(ctx, asked, func(o *ast.OperationDefinition) *refusal { return checkMethod(r.Method, o) })
	if no != nil {
		return nil, no
	}
	return g.execute(ctx, prepared)
}

// prepared is an operation that may be executed.
type prepared struct {
	document  *document
	operation *ast.OperationDefinition
	params    *graphql.RawParams
}

// prepare finds the operation that e asks for, and everything that there is to refuse in it
// before it runs; mayRun is what only the transport knows.
func (g *Gateway) prepare(ctx context.Context, e *envelope, mayRun func(*ast.OperationDefinition) *refusal) (*prepared, *refusal) {

	// Which document, and is it small enough to look at?
	document, no := g.persisted.find(ctx, e)
	if no != nil {
		return nil, no
	}

	// Which of its operations, and may it be run this way?
	operation, no := document.operation(e.operationName)
	if no != nil {
		return nil, no
	}
	if no := mayRun(operation); no != nil {
		return nil, no
	}

	// Does it fit the schema, and do the variables fit it?
	if no := g.documents.validate(document); no != nil {
		return nil, no
	}
	variables, no := coerceVariables(g.documents.schema, operation, document.required, e.variables)
	if no != nil {
		return nil, no
	}

	// Is there an end to what it asks for?
	if no := weigh(operation, variables, g.maxObjects); no != nil {
		return nil, no
	}

	// Nothing is left to refuse, so it may be asked for by its hash from now on.
	g.persisted.keep(ctx, e, document)

	// Headers stay out: who asks is known to access alone.
	return &prepared{document, operation, &graphql.RawParams{
		Query:         document.text,
		OperationName: operation.Name,
		Variables:     variables,
		Extensions:    e.extensions,
	}}, nil
}

// checkMethod refuses an operation that its method may not run. A GET changes nothing, so
// that no link, picture or prefetching proxy can.
func checkMethod(method string, operation *ast.OperationDefinition) *refusal {
	switch {
	case operation.Operation == ast.Subscription:
		return refusef(codeBadRequest, "a subscription has no single answer: send it over a WebSocket, or by %s with Accept: %s", method, mediaStream)
	case operation.Operation == ast.Mutation && method != http.MethodPost:
		return refusef(codeMethodNotAllowed, "a mutation must be sent by POST, not %s", method).with("Allow", http.MethodPost)
	default:
		return nil
	}
}
