package stream

// The handshake of GraphQL over WebSocket (ServeWebSocket). websocket.go has the messages, registry.go
// the registry of all connections.

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"stoa/gateway/refusal"
	"stoa/gateway/wire"
)

// Subprotocol is the protocol: github.com/enisdenjo/graphql-ws, PROTOCOL.md.
const Subprotocol = "graphql-transport-ws"

// socketBuffer is the size of a connection's two buffers in bytes: room for most messages of
// clients, while longer ones go around them. net/http's have 4 KiB.
const socketBuffer = 1 << 10

// WantsWebSocket says whether r is to become a WebSocket.
func WantsWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && hasToken(r.Header.Values("Upgrade"), "websocket")
}

// hasToken says whether one of a header's elements is token, in whatever case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(element, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// ServeWebSocket makes of a request a connection that lives on after it, or refuses.
func (g *Server) ServeWebSocket(w http.ResponseWriter, r *http.Request) {
	if err := g.checkHandshake(r); err != nil {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	from, err := g.clients.Credentials(r)
	if err != nil {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	from.Client = g.clients.Client(r)
	leave, err := g.registry.enter(from.Client.Address)
	if err != nil {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	hijacked := &hijacker{ResponseWriter: w, meter: &meter{left: unaskedBurst, at: time.Now()}}
	conn, err := websocket.Accept(hijacked, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // checkHandshake has, against the same list as all else
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil { // it has answered
		leave()
		return
	}
	conn.SetReadLimit(g.maxBody)
	// The copies let go of the request.
	from.Token, from.Client.Device = strings.Clone(from.Token), strings.Clone(from.Client.Device)
	s := &webSocket{server: g, conn: conn, raw: hijacked.raw, meter: hijacked.meter, caller: from}
	// A goroutine of its own has a smaller stack than this one, and lets the request go.
	go func() {
		defer leave()
		s.serve()
	}()
}

// checkHandshake refuses a request that can't become a WebSocket.
func (g *Server) checkHandshake(r *http.Request) error {
	if err := g.clients.CheckHandshake(r); err != nil {
		return err
	}
	if !hasToken(r.Header.Values("Sec-WebSocket-Protocol"), Subprotocol) {
		return refusal.New(refusal.BadRequest, "Sec-WebSocket-Protocol must offer %s, the one that is spoken here", Subprotocol)
	}
	return nil
}

// hijacker keeps hold of the connection below a WebSocket, and gives it small buffers.
type hijacker struct {
	http.ResponseWriter
	raw   net.Conn
	meter *meter
}

// Hijack is http.Hijacker's.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, err := takeOver(h.ResponseWriter)
	if err != nil {
		return nil, nil, err
	}
	h.raw, h.meter.Conn = raw, raw
	return h.meter, bufio.NewReadWriter(bufio.NewReaderSize(h.meter, socketBuffer), bufio.NewWriterSize(raw, socketBuffer)), nil
}
