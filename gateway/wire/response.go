package wire

// Writing responses: Respond for a response of the executor, Refuse for any error. The bytes that
// the executor marshalled are copied, never decoded or marshalled again.

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
	// MinGzip is the least size of a compressed response, in bytes. Less than that fits
	// into one packet with its headers either way.
	MinGzip = 1 << 10

	// WriteTime is how long a client may take to read its response: at 100 kB/s, a slow phone,
	// it gets 6 MB.
	WriteTime = time.Minute
)

// Headers with the cost of a response and the units that it took, if they are more, and the state of the client's rates by
// draft-ietf-httpapi-ratelimit-headers-10, in units of cost.
const (
	CostHeader   = "Stoa-Cost"
	UsedHeader   = "Stoa-Used"
	PolicyHeader = "Ratelimit-Policy"
	RateHeader   = "Ratelimit"
)

// Codec reads requests and writes responses. It is safe for concurrent use.
type Codec struct {
	Present graphql.ErrorPresenterFunc // logs a fault of ours, and returns its public part
	Recover graphql.RecoverFunc        // makes an error of a panic
	maxBody int64                      // bytes
	timeout time.Duration              // for a body to arrive

	Buffers     Buffers
	compressors compressors
	HeaderCache HeaderCache
}

// NewCodec returns a codec that takes bodies of up to maxBody bytes, arriving within timeout.
func NewCodec(present graphql.ErrorPresenterFunc, recover graphql.RecoverFunc, maxBody int64, timeout time.Duration) *Codec {
	return &Codec{Present: present, Recover: recover, maxBody: maxBody, timeout: timeout}
}

// Respond writes a response of the executor.
func (c *Codec) Respond(w http.ResponseWriter, r *http.Request, media MediaType, response *graphql.Response) {
	status := http.StatusOK
	if response.Data == nil && len(response.Errors) > 0 {
		status = statusWithoutData(media)
	}
	c.write(w, r, media, status, response)
}

// Refuse writes err as the response to r, with the status and headers that belong to it.
func (c *Codec) Refuse(w http.ResponseWriter, r *http.Request, media MediaType, err error) {
	h := w.Header()
	for name, value := range refusal.Header(err) {
		h.Set(name, value)
	}
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	status := StatusOf(refusal.Code(err))
	if status == statusByMedia {
		status = statusWithoutData(media)
	}
	c.write(w, r, media, status, &graphql.Response{Errors: c.Errors(r.Context(), err)})
}

// Errors lists the errors that a client sees for err, and logs a fault of ours.
func (c *Codec) Errors(ctx context.Context, err error) gqlerror.List {
	return refusal.Errors(err, func(err error) *gqlerror.Error { return c.Present(ctx, err) })
}

// LogPanic logs the cause of a panic that can't be reported to a client.
func (c *Codec) LogPanic(ctx context.Context, cause any) {
	c.Present(ctx, c.Recover(ctx, cause))
}

// write sends response. An error in writing means that the client has gone.
func (c *Codec) write(w http.ResponseWriter, r *http.Request, media MediaType, status int, response *graphql.Response) {
	buffer := c.Buffers.Get()
	defer c.Buffers.Put(buffer)
	Encode(buffer, response)
	body, h := buffer.Bytes(), w.Header()
	if len(body) >= MinGzip && c.HeaderCache.Gzip(r.Header) {
		compressed := c.Buffers.Get()
		defer c.Buffers.Put(compressed)
		c.Compress(compressed, body)
		body = compressed.Bytes()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", media.Header())
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// The server takes the deadline off again when the response is out.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(WriteTime))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// Encode writes response as JSON: errors first, so that a reader of the raw text sees them. It
// panics if an error's extensions can't be encoded, a fault of the presenter.
func Encode(into *bytes.Buffer, response *graphql.Response) {
	into.WriteByte('{')
	start := into.Len()
	if len(response.Errors) > 0 {
		into.WriteString(`"errors":`)
		EncodeValue(into, refusal.Bounded(response.Errors))
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

// appender is an extension that writes itself as JSON, without reflection.
type appender interface{ AppendJSON([]byte) []byte }

// encodeExtensions writes extensions. Most responses have the one that tells their cost.
func encodeExtensions(into *bytes.Buffer, extensions map[string]any) {
	cost, ok := extensions["cost"].(appender)
	if !ok || len(extensions) > 1 {
		EncodeValue(into, extensions)
		return
	}
	into.WriteString(`{"cost":`)
	into.Write(cost.AppendJSON(into.AvailableBuffer()))
	into.WriteByte('}')
}

// encodeData copies marshalled data. It escapes the characters that JSON requires, and copies
// strings that aren't valid UTF-8 unchanged; a database may hold some.
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

// EncodeValue marshals v without escaping <, > and &: the answer isn't part of a page.
func EncodeValue(into *bytes.Buffer, v any) {
	encoder := json.NewEncoder(into)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Errorf("encode part of an answer: %w", err))
	}
	into.Truncate(into.Len() - 1) // the line end that Encode adds
}
