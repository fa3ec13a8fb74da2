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
	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
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
		if g.playground != nil && accept.html && !envelope.NamesDocument(r.URL.Query()) {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		g.refuse(r.Context(), w, r, mediaJSON, refusal.New(refusal.MethodNotAllowed, "%.20q isn't taken here: use POST, or GET for a query", r.Method).With("Allow", "GET, HEAD, POST, OPTIONS"))
		return
	}
	streams := accept.stream && r.Method != http.MethodHead
	media := accept.media
	if streams {
		media = mediaJSON // of what is refused
	} else if media == "" {
		_, err := negotiate(r.Header)
		g.refuse(r.Context(), w, r, mediaJSON, err)
		return
	}
	if err := g.origins.check(r); err != nil {
		g.refuse(r.Context(), w, r, media, err)
		return
	}
	token, byCookie, err := tokenOf(r.Header)
	if err != nil {
		g.refuse(r.Context(), w, r, media, err)
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
		if err := g.takeBody(w, r, body, began); err != nil {
			g.refuse(r.Context(), w, r, media, err)
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
		response, err = g.answerUpload(ctx, w, r)
	} else {
		k, exact, response, err = g.answer(ctx, r, media, body.Bytes(), made)
	}
	if cookie, ok := made.Cookie(); ok && r.Method == http.MethodPost {
		setCookie(w.Header(), cookie)
	}
	if k == nil || k.public == nil { // else caches on the way would tell others of this client
		bill.write(w.Header(), g.rates)
	}
	switch {
	case err != nil:
		g.refuse(ctx, w, r, media, err)
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
	leave, err := g.load.enter(g.client(r).Name())
	if err != nil {
		g.refuse(r.Context(), w, r, media, refusal.WithHeader(err, "Connection", "close"))
		return nil
	}
	return leave
}

// takeBody reads the body of a POST, or refuses it for what it is.
func (g *Gateway) takeBody(w http.ResponseWriter, r *http.Request, into *bytes.Buffer, began time.Time) error {
	if !g.headers.json(r.Header) {
		if err := checkContent(r.Header); err != nil {
			return err
		}
	}
	return g.readBody(began.Add(g.timeout), w, r, into)
}

// answer is the way of a request to its response, or to one that is kept, which a refusal
// ends wherever it is. body is what a POST sent; made is the answer that has begun. exact says
// whether k may be given at once to who sends the very same: not where it brings a text with
// its hash, so that the one can be asked for by the other from now on.
func (g *Gateway) answer(ctx context.Context, r *http.Request, media mediaType, body []byte, made *access.Answer) (k *kept, exact bool, response *graphql.Response, err error) {

	// What is asked for?
	get := r.Method != http.MethodPost
	var asked *envelope.Envelope
	if get {
		asked, err = envelope.ParseAddress(r.URL.RawQuery)
	} else {
		asked, err = envelope.Parse(body)
	}
	if err != nil {
		return nil, false, nil, err
	}
	if err := g.chargeReading(ctx, asked); err != nil {
		return nil, false, nil, err
	}
	prepared, err := g.prepare(ctx, asked, mayRun(r.Method))
	if err != nil {
		return nil, false, nil, err
	}
	if g.shares(prepared, get) {
		k, response, err = g.share(ctx, prepared, made, media, get)
		return k, asked.Query == "" || asked.ID == "", response, err
	}
	response, err = g.execute(ctx, prepared)
	return nil, false, response, err
}

// mayRun says what may not be run by a method.
func mayRun(method string) func(*ast.OperationDefinition) error {
	return func(o *ast.OperationDefinition) error { return checkMethod(method, o) }
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
func (g *Gateway) prepare(ctx context.Context, e *envelope.Envelope, mayRun func(*ast.OperationDefinition) error) (*prepared, error) {

	// Which document, and is it small enough to look at?
	document, err := g.persisted.find(ctx, e)
	if err != nil {
		return nil, err
	}

	// Which of its operations, and may it be run this way?
	operation, err := document.operation(e.OperationName)
	if err != nil {
		return nil, err
	}
	if err := mayRun(operation); err != nil {
		return nil, err
	}

	// Does it fit the schema, and do the variables fit it?
	if err := g.documents.validate(document); err != nil {
		return nil, err
	}
	variables, err := coerceVariables(g.documents.schema, operation, document.required, e.Variables)
	if err != nil {
		return nil, g.documents.concealOf(err, document.text, e.Variables)
	}

	// Is there an end to what it asks for?
	cost := document.plans[operation].cost(g.prices, variables)
	if err := costly(operation, cost, g.maxCost); err != nil {
		return nil, err
	}

	// Nothing is left to refuse, so it may be asked for by its hash from now on.
	g.persisted.keep(ctx, e, document)

	// Headers stay out: who asks is known to access alone.
	return &prepared{document, operation, cost, &graphql.RawParams{
		Query:         document.text,
		OperationName: operation.Name,
		Variables:     variables,
		Extensions:    e.Extensions,
	}, document.policies[operation]}, nil
}

// checkMethod refuses an operation that its method may not run. A GET changes nothing, so
// that no link, picture or prefetching proxy can.
func checkMethod(method string, operation *ast.OperationDefinition) error {
	switch {
	case operation.Operation == ast.Subscription:
		return refusal.New(refusal.BadRequest, "a subscription has no single answer: send it over a WebSocket, or by %s with Accept: %s", method, mediaStream)
	case operation.Operation == ast.Mutation && method != http.MethodPost:
		return refusal.New(refusal.MethodNotAllowed, "a mutation must be sent by POST, not %s", method).With("Allow", http.MethodPost)
	default:
		return nil
	}
}
