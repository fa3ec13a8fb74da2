package gateway

// Pictures: GET and HEAD below /media/. The name of a picture follows from its content, so a response
// never becomes stale.

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stoa/gateway/refusal"
	"stoa/gateway/wire"
	"stoa/problem"
)

// Picture is a file under a name.
type Picture struct {
	// Content is closed after it is served. If it is an io.Seeker, byte ranges can be
	// requested.
	Content io.ReadCloser
	Type    string // its media type
	Size    int64  // bytes
	MadeAt  time.Time
}

// pictureTime is how long opening a picture may take. A bucket answers in a tenth of it.
const pictureTime = 5 * time.Second

// slowest is the rate at which a client may read a picture, in bytes a second, beyond the first minute.
const slowest = 100_000

// servePicture answers a request for a picture.
func (g *Gateway) servePicture(w http.ResponseWriter, r *http.Request) {
	if !readOnly(r.Method) {
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.MethodNotAllowed, "%.20q isn't taken here: a picture can be read", r.Method).With("Allow", "GET, HEAD"))
		return
	}
	name := strings.TrimPrefix(r.URL.Path, mediaPath)
	ctx, opened := context.WithCancelCause(r.Context())
	defer opened(nil)
	// Only until it is open: the rest may take as long as the client takes to read.
	limit := time.AfterFunc(pictureTime, func() { opened(context.DeadlineExceeded) })
	picture, err := g.picture(ctx, name)
	limit.Stop()
	if err != nil {
		g.codec.Refuse(w, r, wire.JSON, g.noPicture(ctx, r, name, err))
		return
	}
	defer func() { _ = picture.Content.Close() }()
	h := w.Header()
	h.Set("Content-Type", picture.Type)
	h.Set("Cache-Control", "public, max-age=31536000, immutable") // a year, RFC 8246
	h.Set("ETag", `"`+name+`"`)
	// A picture has nothing to run; should a browser take it for a page, that has no rights.
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	// Front ends of other sites draw it, on canvases too: there is nothing in it about a viewer.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Allow-Origin", "*")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wire.WriteTime + time.Duration(picture.Size)*time.Second/slowest))
	if content, ok := picture.Content.(io.ReadSeeker); ok {
		http.ServeContent(w, r, "", picture.MadeAt, content)
		return
	}
	if r.Header.Get("If-None-Match") == h.Get("ETag") {
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.FormatInt(picture.Size, 10))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, picture.Content)
	}
}

// noPicture says why there is no picture.
func (g *Gateway) noPicture(ctx context.Context, r *http.Request, name string, err error) error {
	var refused *problem.Error
	switch {
	case errors.As(err, &refused):
		return refusal.New(refusal.NotFound, "there is no picture at %.120q", name)
	case r.Context().Err() != nil:
		return refusal.New(refusal.Cancelled, "the request was cancelled before its answer was there")
	case ctx.Err() != nil:
		return refusal.New(refusal.Timeout, "the picture wasn't there within %s", pictureTime)
	default:
		return err
	}
}
