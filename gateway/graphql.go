package gateway

// The way of a GraphQL request, from its first byte to its answer: serveGraphQL and answer.
// Each step is in a file of its own; what is cheap to refuse comes first, and nothing runs
// before everything that could be refused has been.

import (
	"bytes"
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
	began := time.Now()
	h := w.Header()
	h["Vary"], h["Cache-Control"] = varyValue, noStoreValue
	if wantsWebSocket(r) {
		g.serveWebSocket(w, r)
		return
	}
	if g.origins.allow(w, r) {
		return
	}
	accept := g.headers.accept(r.Header)
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead:
		if g.playground != nil && accept.html && !namesDocument(r.URL.Query()) {
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
	streams := accept.stream && r.Method != http.MethodHead
	media := accept.media
	if streams {
		media = mediaJSON // of what is refused
	} else if media == "" {
		_, no := negotiate(r.Header)
		g.refuse(w, r, mediaJSON, no)
		return
	}
	if no := g.origins.check(r); no != nil {
		g.refuse(w, r, media, no)
		return
	}
	token, byCookie, no := tokenOf(r.Header)
	if no != nil {
		g.refuse(w, r, media, no)
		return
	}
	g.use(token)
	if streams {
		g.serveStream(w, r, caller{token: token, byCookie: byCookie, client: g.client(r)})
		return
	}

	// What was sent, and is there an answer to it already? One that is kept is the same for
	// everybody, so nothing has to be known of who asks. A body of any size takes room while it
	// comes, so that has to be there first.
	upload := !g.headers.json(r.Header) && isMultipart(r)
	large := upload || r.ContentLength < 0 || r.ContentLength > readAtOnce
	if large {
		leave := g.enter(w, r, media)
		if leave == nil {
			return
		}
		defer leave()
	}
	body := g.buffers.get()
	defer g.buffers.put(body)
	if r.Method == http.MethodPost && !upload {
		if no := g.takeBody(w, r, body, began); no != nil {
			g.refuse(w, r, media, no)
			return
		}
	}
	var id key
	if g.answers != nil && !upload {
		id = g.answers.requested(r, media, body)
		if g.serveKept(w, r, id, body, began) {
			return
		}
	}
	if r.Method == http.MethodPost && !upload {
		goOnReading(w)
	}
	if !large {
		leave := g.enter(w, r, media)
		if leave == nil {
			return
		}
		defer leave()
	}

	limit := g.timeout
	if upload {
		limit = g.uploadTimeout + uploadWork*g.timeout
	}
	ctx, cancel := context.WithDeadlineCause(context.Background(), began.Add(limit), outOfTime{limit})
	defer cancel()
	// The request's own context ends the answer's, but isn't its parent: net/http keeps in it
	// what leads to the connection, and there to the bytes that came.
	defer context.AfterFunc(r.Context(), cancel)()
	ctx, made := access.Begin(ctx, access.Request{
		Token:        token,
		ByCookie:     byCookie,
		Client:       g.client(r),
		Authenticate: g.authenticate,
		Cookies:      r.Method == http.MethodPost,
	})
	ctx, bill := g.open(ctx, made)
	ctx = graphql.StartOperationTrace(ctx)
	var k *kept
	var response *graphql.Response
	exact := false
	if upload {
		response, no = g.answerUpload(ctx, w, r)
	} else {
		k, exact, response, no = g.answer(ctx, r, media, body.Bytes(), made)
	}
	if cookie, ok := made.Cookie(); ok && r.Method == http.MethodPost {
		setCookie(w.Header(), cookie)
	}
	if k == nil || k.public == nil { // else caches on the way would tell others of this client
		bill.write(w.Header(), g.rates)
	}
	switch {
	case no != nil:
		g.refuse(w, r, media, no)
	case k != nil:
		if exact {
			g.answers.alias(id, k)
		}
		g.writeKept(w, r, k, time.Now().UnixNano())
	default:
		g.respond(w, r, media, response)
	}
}

// enter lets a request in, until leave is called. It answers one for which there is no room,
// and returns nil.
func (g *Gateway) enter(w http.ResponseWriter, r *http.Request, media mediaType) (leave func()) {
	leave, no := g.load.enter(g.client(r).RateKey())
	if no != nil {
		g.refuse(w, r, media, no.with("Connection", "close"))
		return nil
	}
	return leave
}

// takeBody reads the body of a POST, or refuses it for what it is.
func (g *Gateway) takeBody(w http.ResponseWriter, r *http.Request, into *bytes.Buffer, began time.Time) *refusal {
	if !g.headers.json(r.Header) {
		if no := checkContent(r.Header); no != nil {
			return no
		}
	}
	return g.readBody(began.Add(g.timeout), w, r, into)
}

// answer is the way of a request to its response, or to one that is kept, which a refusal
// ends wherever it is. body is what a POST sent; made is the answer that has begun. exact says
// whether k may be given at once to who sends the very same: not where it brings a text with
// its hash, so that the one can be asked for by the other from now on.
func (g *Gateway) answer(ctx context.Context, r *http.Request, media mediaType, body []byte, made *access.Answer) (k *kept, exact bool, response *graphql.Response, no *refusal) {

	// What is asked for?
	get := r.Method != http.MethodPost
	var asked *envelope
	if get {
		asked, no = parseAddress(r.URL.RawQuery)
	} else {
		asked, no = parseEnvelope(body)
	}
	if no != nil {
		return nil, false, nil, no
	}
	if no := g.chargeReading(ctx, asked); no != nil {
		return nil, false, nil, no
	}
	prepared, no := g.prepare(ctx, asked, mayRun(r.Method))
	if no != nil {
		return nil, false, nil, no
	}
	if g.shares(prepared, get) {
		k, response, no = g.share(ctx, prepared, made, media, get)
		return k, asked.query == "" || asked.id == "", response, no
	}
	response, no = g.execute(ctx, prepared)
	return nil, false, response, no
}

// mayRun says what may not be run by a method.
func mayRun(method string) func(*ast.OperationDefinition) *refusal {
	return func(o *ast.OperationDefinition) *refusal { return checkMethod(method, o) }
}

// prepared is an operation that may be executed.
type prepared struct {
	document  *document
	operation *ast.OperationDefinition
	cost      int64
	params    *graphql.RawParams
	policy    policy
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
		return nil, g.documents.concealOf(no, document.text, e.variables)
	}

	// Is there an end to what it asks for?
	cost := document.plans[operation].cost(g.prices, variables)
	if no := costly(operation, cost, g.maxCost); no != nil {
		return nil, no
	}

	// Nothing is left to refuse, so it may be asked for by its hash from now on.
	g.persisted.keep(ctx, e, document)

	// Headers stay out: who asks is known to access alone.
	return &prepared{document, operation, cost, &graphql.RawParams{
		Query:         document.text,
		OperationName: operation.Name,
		Variables:     variables,
		Extensions:    e.extensions,
	}, document.policies[operation]}, nil
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
