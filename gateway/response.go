package gateway

// The answer as bytes: written once, with its length, compressed where that is worth it.
// What the executor marshalled is copied, never decoded or marshalled again.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/refusal"
)

const (
	// minGzip is the size from which an answer is compressed, in bytes. Less than that fits
	// into one packet with its headers either way.
	minGzip = 1 << 10

	// writeTime is how long a client may take to read its answer: at 100 kB/s, a slow phone,
	// it gets 6 MB.
	writeTime = time.Minute
)

// respond writes what the executor answered.
func (g *Gateway) respond(w http.ResponseWriter, r *http.Request, media mediaType, response *graphql.Response) {
	status := http.StatusOK
	if response.Data == nil && len(response.Errors) > 0 {
		status = statusWithoutData(media)
	}
	g.write(w, r, media, status, response)
}

// refuse writes why there is no answer. A fault of ours is presented under ctx.
func (g *Gateway) refuse(ctx context.Context, w http.ResponseWriter, r *http.Request, media mediaType, err error) {
	for name, value := range refusal.Header(err) {
		w.Header().Set(name, value)
	}
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	status := statusOf(refusal.Code(err))
	if status == statusByMedia {
		status = statusWithoutData(media)
	}
	g.write(w, r, media, status, &graphql.Response{Errors: g.errorsOf(ctx, err)})
}

// errorsOf lists what a client reads of err, and logs a fault of ours.
func (g *Gateway) errorsOf(ctx context.Context, err error) gqlerror.List {
	return refusal.Errors(err, func(err error) *gqlerror.Error { return g.presentError(ctx, err) })
}

// write sends response. An error in writing is the client's going, of which it can't be told.
func (g *Gateway) write(w http.ResponseWriter, r *http.Request, media mediaType, status int, response *graphql.Response) {
	buffer := g.buffers.get()
	defer g.buffers.put(buffer)
	encode(buffer, response)
	body, h := buffer.Bytes(), w.Header()
	if len(body) >= minGzip && g.headers.gzip(r.Header) {
		compressed := g.buffers.get()
		defer g.buffers.put(compressed)
		g.compressors.compress(compressed, pieces{body})
		body = compressed.Bytes()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", media.header())
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// The server takes the deadline off again when the answer is out.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// encode writes response as JSON: errors first, so that a reader of the raw text sees them.
// It panics where an error's extensions are no JSON, which is a fault of who presented it.
func encode(into *bytes.Buffer, response *graphql.Response) {
	into.WriteByte('{')
	start := into.Len()
	if len(response.Errors) > 0 {
		into.WriteString(`"errors":`)
		encodeValue(into, refusal.Bounded(response.Errors))
	}
	if response.Data != nil || len(response.Errors) == 0 {
		if into.Len() > start {
			into.WriteByte(',')
		}
		into.WriteString(`"data":`)
		encodeData(into, response.Data)
	}
	if len(response.Extensions) > 0 {
		into.WriteString(`,"extensions":`)
		encodeExtensions(into, response.Extensions)
	}
	into.WriteString("}\n")
}

// encodeExtensions writes extensions, of which most answers have what they cost and no other.
func encodeExtensions(into *bytes.Buffer, extensions map[string]any) {
	cost, ok := extensions[costExtension].(requested)
	if !ok || len(extensions) > 1 {
		encodeValue(into, extensions)
		return
	}
	into.WriteString(`{"cost":{"requested":`)
	into.Write(strconv.AppendInt(into.AvailableBuffer(), int64(cost), 10))
	into.WriteString("}}")
}

// encodeData copies what the executor marshalled. It escapes what JSON wants escaped, but
// takes strings as UTF-8 as they come; a database may hold others.
func encodeData(into *bytes.Buffer, data json.RawMessage) {
	switch {
	case len(data) == 0:
		into.WriteString("null")
	case utf8.Valid(data):
		into.Write(data)
	default:
		into.Write(bytes.ToValidUTF8(data, []byte("\uFFFD")))
	}
}

// encodeValue marshals v without escaping <, > and &: the answer isn't part of a page.
func encodeValue(into *bytes.Buffer, v any) {
	encoder := json.NewEncoder(into)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Errorf("encode part of an answer: %w", err))
	}
	into.Truncate(into.Len() - 1) // the line end that Encode adds
}
