package gateway

// The questions of a supervisor: does the process live (/healthz), and can it answer (/readyz)?

import (
	"context"
	"net/http"
	"time"

	"stoa/gateway/refusal"
	"stoa/gateway/wire"
)

// readyTime bounds one question to Options.Ready: under the ten seconds that most
// load balancers wait for a probe.
const readyTime = 2 * time.Second

// serveHealth says that the process lives. It asks nothing else: restarting it wouldn't
// bring a database back.
func (g *Gateway) serveHealth(w http.ResponseWriter, r *http.Request) {
	g.writeState(w, r, http.StatusOK, "ok")
}

// serveReady says whether requests should be sent here.
func (g *Gateway) serveReady(w http.ResponseWriter, r *http.Request) {
	if g.draining.Load() {
		g.writeState(w, r, http.StatusServiceUnavailable, "stopping: no new requests, please")
		return
	}
	state := "ready"
	if g.ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		var err error
		if state, err = g.ready(ctx); err != nil {
			g.writeState(w, r, http.StatusServiceUnavailable, "not ready: "+refusal.Clip(err.Error()))
			return
		}
	}
	g.writeState(w, r, http.StatusOK, state)
}

func (g *Gateway) writeState(w http.ResponseWriter, r *http.Request, status int, text string) {
	if !readOnly(r.Method) {
		g.codec.Refuse(w, r, wire.JSON, refusal.New(refusal.MethodNotAllowed, "%.20q isn't taken here: use GET", r.Method).With("Allow", "GET, HEAD"))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

func readOnly(method string) bool { return method == http.MethodGet || method == http.MethodHead }
