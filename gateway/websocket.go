package gateway

// GraphQL over WebSocket: the handshake at /graphql (serveWebSocket). What is said over the
// connection is in socket.go, what concerns all connections in sockets.go.

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"stoa/gateway/refusal"
	"stoa/gateway/wire"
)

// subprotocol is what is spoken: github.com/enisdenjo/graphql-ws, PROTOCOL.md.
const subprotocol = "graphql-transport-ws"

// socketBuffer is the size of a connection's two buffers in bytes: room for most of what
// clients send, while what is longer goes around them. net/http's have 4 KiB.
const socketBuffer = 1 << 10

// kernelBuffer is how much a client that doesn't read has the system keep for it, in bytes.
// Left to itself Linux keeps up to 4 MB.
const kernelBuffer = 64 << 10

// wantsWebSocket says whether r is to become a WebSocket.
func wantsWebSocket(r *http.Request) bool {
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

// serveWebSocket makes of a request a connection that lives on after it, or refuses.
func (g *Gateway) serveWebSocket(w http.ResponseWriter, r *http.Request) {
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
	leave, err := g.sockets.enter(from.Client.Address)
	if err != nil {
		g.codec.Refuse(w, r, wire.JSON, err)
		return
	}
	hijacked := &hijacker{ResponseWriter: w}
	connection, err := websocket.Accept(hijacked, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // checkHandshake has, against the same list as all else
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil { // it has answered
		leave()
		return
	}
	connection.SetReadLimit(g.limits.body)
	// The copies let go of the request.
	from.Token, from.Client.Device = strings.Clone(from.Token), strings.Clone(from.Client.Device)
	s := &socket{gateway: g, connection: connection, raw: hijacked.raw, caller: from}
	// A goroutine of its own has a smaller stack than this one, and lets the request go.
	go func() {
		defer leave()
		s.serve()
	}()
}

// checkHandshake refuses what no WebSocket is made of.
func (g *Gateway) checkHandshake(r *http.Request) error {
	if err := g.clients.CheckHandshake(r); err != nil {
		return err
	}
	if !hasToken(r.Header.Values("Sec-WebSocket-Protocol"), subprotocol) {
		return refusal.New(refusal.BadRequest, "Sec-WebSocket-Protocol must offer %s, the one that is spoken here", subprotocol)
	}
	return nil
}

// hijacker keeps hold of the connection below a WebSocket, and gives it small buffers.
type hijacker struct {
	http.ResponseWriter
	raw net.Conn
}

// Hijack is http.Hijacker's.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, err := takeOver(h.ResponseWriter)
	if err != nil {
		return nil, nil, err
	}
	h.raw = raw
	return raw, bufio.NewReadWriter(bufio.NewReaderSize(raw, socketBuffer), bufio.NewWriterSize(raw, socketBuffer)), nil
}

// takeOver takes the connection below w from net/http, which refuses where a request has none
// of its own, as in HTTP/2. The request's context ends with its handler; the connection is the
// caller's to close.
func takeOver(w http.ResponseWriter) (net.Conn, error) {
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(kernelBuffer)
	}
	// Some clients send their first message without waiting for the handshake's end.
	if n := buffered.Reader.Buffered(); n > 0 {
		early := make([]byte, n)
		if _, err := io.ReadFull(buffered.Reader, early); err != nil {
			return nil, err
		}
		raw = &earlyConn{Conn: raw, early: early}
	}
	_ = raw.SetDeadline(time.Time{})
	return raw, nil
}

// earlyConn is a connection of which something has been read already.
type earlyConn struct {
	net.Conn
	early []byte
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}
