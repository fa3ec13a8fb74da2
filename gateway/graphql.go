package gateway

// The way of a request to /graphql, from its first byte to its response: serveGraphQL calls
// one package after the other. Cheap refusals come first, and nothing is executed before all
// checks have passed.

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/gateway/admission"
	"stoa/gateway/envelope"
	"stoa/gateway/operation"
	"stoa/gateway/refusal"
	"stoa/gateway/responsecache"
	"stoa/gateway/stream"
	"stoa/gateway/upload"
	"stoa/gateway/wire"
)

// Header values that every response of the API has. Nobody changes them. Vary has one line: nginx
// before 1.23 chooses among its cached responses by the last line alone.
var (
	varyValue       = []string{"Accept, Accept-Encoding"}
	varyOriginValue = []string{"Accept, Accept-Encoding, Origin"}
	noStoreValue    = []string{"no-store"}
)

// serveGraphQL answers one request to /graphql.
func (g *Gateway) serveGraphQL(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	h := w.Header()
	h["Vary"], h["Cache-Control"] = varyValue, noStoreValue
	if g.clients.VaryOrigin() {
		h["Vary"] = varyOriginValue
	}
	if stream.WantsWebSocket(r) {
		g.streams.ServeWebSocket(w, r)
		return
	}
	if g.clients.AllowOrigin(w, r) {
		return
	}
	accept := g.codec.HeaderCache.Accept(r.Header)
	if g.answersByMethod(w, r, accept) {
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
	switch {
	case streams:
		from.Client = g.clients.Client(r)
		g.streams.ServeEvents(w, r, from)
	case !g.codec.HeaderCache.JSON(r.Header) && upload.IsMultipart(r):
		g.serveUpload(w, r, media, from, began)
	default:
		g.serveOne(w, r, media, from, began)
	}
}

// answersByMethod answers a request that isn't one for an operation: it shows a browser the
// playground, and lists the methods.
func (g *Gateway) answersByMethod(w http.ResponseWriter, r *http.Request, accept wire.Accepted) bool {
	switch r.Method {
	case http.MethodPost:
		return false
	case http.MethodGet, http.MethodHead:
		if g.playground == nil || !accept.HTML || envelope.NamesDocument(r.URL.Query()) {
			return false
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
	default:
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.MethodNotAllowed, "%.20q isn't taken here: use POST, or GET for a query", r.Method).With("Allow", "GET, HEAD, POST, OPTIONS"))
	}
	return true
}

// serveOne answers a POST of JSON or a GET by one response.
func (g *Gateway) serveOne(w http.ResponseWriter, r *http.Request, media wire.MediaType, from access.Request, began time.Time) {
	// A cached response is the same for everybody, so it needs neither room nor a client. A body of
	// any size takes room while it comes, so that has to be there first.
	large := r.ContentLength < 0 || r.ContentLength > wire.ReadAtOnce
	if large {
		leave, ok := g.enter(w, r, media)
		if !ok {
			return
		}
		defer leave()
	}
	body := g.codec.Buffers.Get()
	defer g.codec.Buffers.Put(body)
	post := r.Method == http.MethodPost
	if post {
		if err := g.codec.ReadBody(w, r, body, began); err != nil {
			g.codec.Refuse(w, r, media, err)
			return
		}
	}
	key := g.responses.Key(r, media, body)
	if g.responses.Serve(w, r, key, body.Bytes()) {
		return
	}
	if post {
		wire.ClearReadDeadline(w)
	}
	if !large {
		leave, ok := g.enter(w, r, media)
		if !ok {
			return
		}
		defer leave()
	}
	ctx, cancel := operation.WithTimeout(context.Background(), began, g.limits.timeout)
	defer cancel()
	// The request's own context ends the response's, but isn't its parent: it has a way to
	// the connection, and there to the bytes that came.
	defer context.AfterFunc(r.Context(), cancel)()
	from.Client, from.Cookies = g.clients.Client(r), post
	ctx, scope := g.pipeline.Begin(ctx, from)
	entry, exact, response, err := g.respond(ctx, r, body.Bytes(), scope, responsecache.Form{Media: media, Get: !post})
	g.tellClient(w.Header(), scope, post, entry == nil || !entry.Public())
	switch {
	case err != nil:
		g.codec.Refuse(w, r.WithContext(ctx), media, err)
	case entry != nil:
		if exact {
			g.responses.Alias(key, entry)
		}
		g.responses.Write(w, r, entry)
	default:
		g.codec.Respond(w, r, media, response)
	}
}

// respond reads the envelope and returns the response, or a cached entry. exact says if the
// entry may be sent at once to an equal request. It may not if the request has both a text and
// its hash: each of these requests must be read, so that the text is stored under its hash.
func (g *Gateway) respond(ctx context.Context, r *http.Request, body []byte, scope *operation.Scope, form responsecache.Form) (entry *responsecache.Entry, exact bool, response *graphql.Response, err error) {
	var asked *envelope.Envelope
	if form.Get {
		asked, err = g.pipeline.ParseAddress(ctx, r.URL.RawQuery)
	} else {
		asked, err = g.pipeline.Parse(ctx, body)
	}
	if err != nil {
		return nil, false, nil, err
	}
	prepared, err := g.pipeline.Prepare(ctx, asked, func(o *ast.OperationDefinition) error { return operation.CheckMethod(r.Method, o) })
	if err != nil {
		return nil, false, nil, err
	}
	entry, response, err = g.responses.Respond(ctx, scope, prepared, form)
	return entry, asked.Query == "" || asked.ID == "", response, err
}

// serveUpload answers a multipart request.
func (g *Gateway) serveUpload(w http.ResponseWriter, r *http.Request, media wire.MediaType, from access.Request, began time.Time) {
	leave, ok := g.enter(w, r, media)
	if !ok {
		return
	}
	defer leave()
	ctx, cancel := operation.WithTimeout(context.Background(), began, g.uploads.Timeout())
	defer cancel()
	defer context.AfterFunc(r.Context(), cancel)() // as in serveOne
	from.Client, from.Cookies = g.clients.Client(r), true
	ctx, scope := g.pipeline.Begin(ctx, from)
	response, err := g.uploads.Respond(ctx, w, r)
	g.tellClient(w.Header(), scope, true, true)
	if err != nil {
		g.codec.Refuse(w, r.WithContext(ctx), media, err)
		return
	}
	g.codec.Respond(w, r, media, response)
}

// enter lets a request in, until leave is called, or answers it because there is no room.
func (g *Gateway) enter(w http.ResponseWriter, r *http.Request, media wire.MediaType) (leave func(), ok bool) {
	leave, err := g.pipeline.Enter(g.clients.Client(r))
	if err != nil {
		g.codec.Refuse(w, r, media, refusal.WithHeader(err, "Connection", "close"))
		return nil, false
	}
	return leave, true
}

// tellClient sets the headers for this client alone: cookies, and its usage. The usage is
// left out of responses that shared caches would show to others.
func (g *Gateway) tellClient(h http.Header, scope *operation.Scope, post, alone bool) {
	if post {
		for _, c := range scope.Cookies() {
			g.clients.SetCookie(h, c)
		}
	}
	if alone {
		tellUsage(h, &scope.Usage)
	}
}

// tellUsage sets the headers about the units used and left.
func tellUsage(h http.Header, u *admission.Usage) {
	if cost := u.Cost(); cost != "" {
		h[wire.CostHeader] = []string{cost}
	}
	if used := u.Used(); used > 0 {
		h[wire.UsedHeader] = []string{strconv.FormatInt(used, 10)}
	}
	if policy, state := u.State(); policy != "" {
		h[wire.PolicyHeader], h[wire.RateHeader] = []string{policy}, []string{state}
	}
}
