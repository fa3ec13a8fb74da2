package gateway

// The way of a GraphQL request, from its first byte to its answer: serveGraphQL and answer.
// Each step is in a file of its own; what is cheap to refuse comes first, and nothing runs
// before everything that could be refused has been.

import (
	"context"
	"net/http"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/admission"
	"stoa/gateway/client"
	"stoa/gateway/envelope"
	"stoa/gateway/operation"
	"stoa/gateway/refusal"
	"stoa/gateway/wire"
)

// serveGraphQL answers one request to /graphql.
func (g *Gateway) serveGraphQL(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	h := w.Header()
	h["Vary"], h["Cache-Control"] = varyValue, noStoreValue
	if wantsWebSocket(r) {
		g.serveWebSocket(w, r)
		return
	}
	if g.clients.AllowOrigin(w, r) {
		return
	}
	accept := g.codec.HeaderCache.Accept(r.Header)
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead:
		if g.playground != nil && accept.HTML && !envelope.NamesDocument(r.URL.Query()) {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.MethodNotAllowed, "%.20q isn't taken here: use POST, or GET for a query", r.Method).With("Allow", "GET, HEAD, POST, OPTIONS"))
		return
	}
	streams := accept.Stream && r.Method != http.MethodHead
	media := accept.Media
	if streams {
		media = wire.JSON // of what is refused
	} else if media == "" {
		_, err := wire.Negotiate(r.Header)
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	if err := g.clients.CheckOrigin(r); err != nil {
		g.codec.Refuse(w, r, media, err)
		return
	}
	from, err := g.clients.Credentials(r)
	if err != nil {
		g.codec.Refuse(w, r, media, err)
		return
	}
	if streams {
		from.Client = g.clients.Client(r)
		g.serveStream(w, r, from)
		return
	}

	// What was sent, and is there an answer to it already? One that is kept is the same for
	// everybody, so nothing has to be known of who asks. A body of any size takes room while it
	// comes, so that has to be there first.
	upload := !g.codec.HeaderCache.JSON(r.Header) && isMultipart(r)
	large := upload || r.ContentLength < 0 || r.ContentLength > wire.ReadAtOnce
	if large {
		leave := g.enter(w, r, media)
		if leave == nil {
			return
		}
		defer leave()
	}
	body := g.codec.Buffers.Get()
	defer g.codec.Buffers.Put(body)
	if r.Method == http.MethodPost && !upload {
		if err := g.codec.ReadBody(w, r, body, began); err != nil {
			g.codec.Refuse(w, r, media, err)
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
		wire.ClearReadDeadline(w)
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
	ctx, cancel := operation.WithTimeout(context.Background(), began, limit)
	defer cancel()
	// The request's own context ends the answer's, but isn't its parent: net/http keeps in it
	// what leads to the connection, and there to the bytes that came.
	defer context.AfterFunc(r.Context(), cancel)()
	from.Client, from.Cookies = g.clients.Client(r), r.Method == http.MethodPost
	ctx, made := g.pipeline.Begin(ctx, from)
	var k *kept
	var response *graphql.Response
	exact := false
	if upload {
		response, err = g.answerUpload(ctx, w, r)
	} else {
		k, exact, response, err = g.answer(ctx, r, media, body.Bytes(), made)
	}
	if cookie, ok := made.Cookie(); ok && r.Method == http.MethodPost {
		client.SetCookie(w.Header(), cookie)
	}
	if k == nil || k.public == nil { // else caches on the way would tell others of this client
		tellUsage(w.Header(), &made.Usage)
	}
	switch {
	case err != nil:
		g.codec.Refuse(w, r.WithContext(ctx), media, err)
	case k != nil:
		if exact {
			g.answers.alias(id, k)
		}
		g.writeKept(w, r, k, time.Now().UnixNano())
	default:
		g.codec.Respond(w, r, media, response)
	}
}

// enter lets a request in, until leave is called. It answers one for which there is no room,
// and returns nil.
func (g *Gateway) enter(w http.ResponseWriter, r *http.Request, media wire.MediaType) (leave func()) {
	leave, err := g.pipeline.Enter(g.clients.Client(r))
	if err != nil {
		g.codec.Refuse(w, r, media, refusal.WithHeader(err, "Connection", "close"))
		return nil
	}
	return leave
}

// answer is the way of a request to its response, or to one that is kept, which a refusal
// ends wherever it is. body is what a POST sent; made is the answer that has begun. exact says
// whether k may be given at once to who sends the very same: not where it brings a text with
// its hash, so that the one can be asked for by the other from now on.
func (g *Gateway) answer(ctx context.Context, r *http.Request, media wire.MediaType, body []byte, made *operation.Scope) (k *kept, exact bool, response *graphql.Response, err error) {

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
	prepared, err := g.pipeline.Prepare(ctx, asked, mayRun(r.Method))
	if err != nil {
		return nil, false, nil, err
	}
	if g.shares(prepared, get) {
		k, response, err = g.share(ctx, prepared, made, media, get)
		return k, asked.Query == "" || asked.ID == "", response, err
	}
	response, err = g.pipeline.Execute(ctx, prepared)
	return nil, false, response, err
}

// tellUsage sets the headers that tell what was used, and what is left.
func tellUsage(h http.Header, u *admission.Usage) {
	if cost := u.Cost(); cost != "" {
		h[wire.CostHeader] = []string{cost}
	}
	if policy, state := u.State(); policy != "" {
		h[wire.PolicyHeader], h[wire.RateHeader] = []string{policy}, []string{state}
	}
}

// mayRun says what may not be run by a method.
func mayRun(method string) func(*ast.OperationDefinition) error {
	return func(o *ast.OperationDefinition) error { return checkMethod(method, o) }
}

// checkMethod refuses an operation that its method may not run. A GET changes nothing, so
// that no link, picture or prefetching proxy can.
func checkMethod(method string, operation *ast.OperationDefinition) error {
	switch {
	case operation.Operation == ast.Subscription:
		return refusal.New(refusal.BadRequest, "a subscription has no single answer: send it over a WebSocket, or by %s with Accept: %s", method, wire.EventStream)
	case operation.Operation == ast.Mutation && method != http.MethodPost:
		return refusal.New(refusal.MethodNotAllowed, "a mutation must be sent by POST, not %s", method).With("Allow", http.MethodPost)
	default:
		return nil
	}
}
