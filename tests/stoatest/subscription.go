package stoatest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"stoa/tests/contention"
)

// Event is one event of a subscription.
type Event struct {
	ID      string
	Article *struct {
		ID, Title string
		Author    *struct{ Name string }
	}
	Comment *struct {
		ID, BodyHTML string
		Article      *struct{ ID string }
	}
}

// Of returns the id of the event's object; "" if the object is gone.
func (e Event) Of() string {
	switch {
	case e.Article != nil:
		return e.Article.ID
	case e.Comment != nil:
		return e.Comment.ID
	}
	return ""
}

// The subscriptions to published articles, and to the comments of an article.
const (
	ArticlePublished = `subscription ($after: ID) { event: articlePublished(after: $after) { id article { id title author { name } } } }`
	CommentAdded     = `subscription ($article: ID!, $after: ID) { event: commentAdded(articleId: $article, after: $after) { id comment { id bodyHtml article { id } } } }`
)

// Socket is a WebSocket with one subscription.
type Socket struct{ connection *websocket.Conn }

// Subscribe opens a WebSocket and sends a subscription over it. It returns when the
// subscription has been sent; the server may not have begun it yet.
func Subscribe(ctx context.Context, s *Stoa, query string, variables map[string]any) (*Socket, error) {
	c, _, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		return nil, err
	}
	k := &Socket{c}
	if err := k.say(ctx, map[string]any{"type": "connection_init"}); err != nil {
		return nil, err
	}
	if m, err := k.Hear(ctx); err != nil || m.Type != "connection_ack" {
		return nil, fmt.Errorf("connection_init is answered by %s %s: %w", m.Type, m.Payload, err)
	}
	return k, k.say(ctx, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": query, "variables": variables}})
}

func (k *Socket) say(ctx context.Context, m any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return k.connection.Write(ctx, websocket.MessageText, text)
}

type heard struct {
	ID, Type string
	Payload  json.RawMessage
}

func (k *Socket) Hear(ctx context.Context) (heard, error) {
	var m heard
	_, text, err := k.connection.Read(ctx)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, err
	}
	if m.Type == "ping" {
		return k.Hear(ctx)
	}
	return m, nil
}

// Event returns the next event.
func (k *Socket) Event(ctx context.Context) (Event, error) {
	m, err := k.Hear(ctx)
	if err != nil {
		return Event{}, err
	}
	if m.Type != "next" {
		return Event{}, fmt.Errorf("instead of an event came %s %s", m.Type, m.Payload)
	}
	var answer struct {
		Data   struct{ Event Event }
		Errors json.RawMessage
	}
	if err := json.Unmarshal(m.Payload, &answer); err != nil || answer.Errors != nil || answer.Data.Event.ID == "" {
		return Event{}, errors.Join(err, fmt.Errorf("an event is %s", m.Payload))
	}
	return answer.Data.Event, nil
}

// Cut breaks the connection off, as a network failure does.
func (k *Socket) Cut() { _ = k.connection.CloseNow() }

// FirstEvent subscribes by an event stream, and returns the first event.
func FirstEvent(ctx context.Context, s *Stoa, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, InTime)
	defer cancel()
	body, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/graphql", bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	if r.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.Token)
	}
	for name, value := range r.Header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			a := Answer{Status: response.StatusCode, Raw: []byte(data)}
			return a, json.Unmarshal(a.Raw, &a)
		}
	}
	return Answer{}, fmt.Errorf("status %d, and no event", response.StatusCode)
}

// AwaitFollowers waits until n subscriptions have begun.
func AwaitFollowers(t *testing.T, s *Stoa, n int) {
	t.Helper()
	for allowed := contention.Allow(time.Now().Add(InTime)); s.Store.Followers() != n; During(time.Millisecond) {
		if allowed.Over() {
			t.Fatalf("%d follow instead of %d", s.Store.Followers(), n)
		}
	}
}
