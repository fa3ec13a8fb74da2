package tests

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"stoa/access"
	"stoa/tests/contention"
	"stoa/tests/stoatest"
)

// tells is one event as a subscription tells it.
type tells struct {
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

// of is the id of what the event is about; "" where it has gone.
func (e tells) of() string {
	switch {
	case e.Article != nil:
		return e.Article.ID
	case e.Comment != nil:
		return e.Comment.ID
	}
	return ""
}

const (
	published = `subscription ($after: ID) { event: articlePublished(after: $after) { id article { id title author { name } } } }`
	added     = `subscription ($article: ID!, $after: ID) { event: commentAdded(articleId: $article, after: $after) { id comment { id bodyHtml article { id } } } }`
)

// socket is a WebSocket that one subscription goes over.
type socket struct{ connection *websocket.Conn }

// subscribe opens a WebSocket and subscribes over it. It returns when the subscription has
// been asked for, which isn't yet that it stands.
func subscribe(ctx context.Context, s *stoatest.Stoa, query string, variables map[string]any) (*socket, error) {
	c, _, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		return nil, err
	}
	k := &socket{c}
	if err := k.say(ctx, map[string]any{"type": "connection_init"}); err != nil {
		return nil, err
	}
	if m, err := k.hear(ctx); err != nil || m.Type != "connection_ack" {
		return nil, fmt.Errorf("connection_init is answered by %s %s: %w", m.Type, m.Payload, err)
	}
	return k, k.say(ctx, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": query, "variables": variables}})
}

func (k *socket) say(ctx context.Context, m any) error {
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

func (k *socket) hear(ctx context.Context) (heard, error) {
	var m heard
	_, text, err := k.connection.Read(ctx)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, err
	}
	if m.Type == "ping" {
		return k.hear(ctx)
	}
	return m, nil
}

// event is the next event.
func (k *socket) event(ctx context.Context) (tells, error) {
	m, err := k.hear(ctx)
	if err != nil {
		return tells{}, err
	}
	if m.Type != "next" {
		return tells{}, fmt.Errorf("instead of an event came %s %s", m.Type, m.Payload)
	}
	var answer struct {
		Data   struct{ Event tells }
		Errors json.RawMessage
	}
	if err := json.Unmarshal(m.Payload, &answer); err != nil || answer.Errors != nil || answer.Data.Event.ID == "" {
		return tells{}, errors.Join(err, fmt.Errorf("an event is %s", m.Payload))
	}
	return answer.Data.Event, nil
}

// cut breaks the connection off, as a network does.
func (k *socket) cut() { _ = k.connection.CloseNow() }

// firstEvent subscribes by an event stream, and returns what comes first.
func firstEvent(ctx context.Context, s *stoatest.Stoa, r stoatest.Request) (stoatest.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, inTime)
	defer cancel()
	body, err := json.Marshal(r)
	if err != nil {
		return stoatest.Answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/graphql", bytes.NewReader(body))
	if err != nil {
		return stoatest.Answer{}, err
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
		return stoatest.Answer{}, err
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			a := stoatest.Answer{Status: response.StatusCode, Raw: []byte(data)}
			return a, json.Unmarshal(a.Raw, &a)
		}
	}
	return stoatest.Answer{}, fmt.Errorf("status %d, and no event", response.StatusCode)
}

// inTime is how long something may take that takes milliseconds.
const inTime = 20 * time.Second

func TestASubscriptionTellsWhatIsPublishedAndSaid(t *testing.T) {
	s := stoatest.Start(t, nil)
	editor := enter(t, s, "edda", access.Editor)
	reader, _ := sits(t, s, "Rea", access.Customer)
	ctx, cancel := context.WithTimeout(t.Context(), inTime)
	defer cancel()

	articles, err := subscribe(ctx, s, published, nil)
	check(t, err)
	defer articles.cut()
	awaitFollowers(t, s, 1)
	a := editor.do(t, s, "articleCreate", map[string]any{"title": "News"}).Article
	editor.do(t, s, "articlePublish", map[string]any{"id": a.ID})
	first, err := articles.event(ctx)
	check(t, err)
	if first.Article == nil || first.Article.ID != a.ID || first.Article.Title != "News" || first.Article.Author.Name != "Edda" {
		t.Fatalf("the event is %+v", first)
	}

	comments, err := subscribe(ctx, s, added, map[string]any{"article": a.ID})
	check(t, err)
	defer comments.cut()
	awaitFollowers(t, s, 2)
	said := reader.must(t, s, "commentAdd", input{"articleId": a.ID, "bodyMarkdown": "Well *said*"})
	e, err := comments.event(ctx)
	check(t, err)
	if e.Comment == nil || !sameComment(string(e.Comment.ID), string(said.Submission.ID)) || !strings.Contains(e.Comment.BodyHTML, "<em>said</em>") || e.Comment.Article.ID != a.ID {
		t.Fatalf("the event is %+v", e)
	}

	// Taken back and published again, it is told again.
	editor.do(t, s, "articleUnpublish", map[string]any{"id": a.ID})
	editor.do(t, s, "articlePublish", map[string]any{"id": a.ID})
	again, err := articles.event(ctx)
	check(t, err)
	if again.of() != a.ID || again.ID == first.ID {
		t.Errorf("published again, it is told as %+v after %+v", again, first)
	}
	// A change of what is public isn't told.
	editor.do(t, s, "articleUpdate", map[string]any{"id": a.ID, "expectedVersion": 4, "title": "Old news"})
	b := editor.do(t, s, "articleCreate", map[string]any{"title": "More"}).Article
	editor.do(t, s, "articlePublish", map[string]any{"id": b.ID})
	next, err := articles.event(ctx)
	check(t, err)
	if next.of() != b.ID {
		t.Errorf("after a change and another article comes %+v", next)
	}

	// Whoever comes back hears what came after.
	for after, want := range map[string][]string{first.ID: {a.ID, b.ID}, again.ID: {b.ID}} {
		back, err := subscribe(ctx, s, published, map[string]any{"after": after})
		check(t, err)
		var got []string
		for range want {
			e, err := back.event(ctx)
			check(t, err)
			got = append(got, e.of())
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %s comes %v, want %v", after, got, want)
		}
		back.cut()
	}
}

// awaitFollowers waits until n subscriptions stand.
func awaitFollowers(t *testing.T, s *stoatest.Stoa, n int) {
	t.Helper()
	for allowed := contention.Allow(time.Now().Add(inTime)); s.Store.Followers() != n; during(time.Millisecond) {
		if allowed.Over() {
			t.Fatalf("%d follow instead of %d", s.Store.Followers(), n)
		}
	}
}

// sendSubscription subscribes, sends what is to be sent meanwhile, and answers with the
// events that come, one after another.
func sendSubscription(t *testing.T, s *stoatest.Stoa, r sent) (stoatest.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), inTime)
	defer cancel()
	before := s.Store.Followers()
	k, err := subscribe(ctx, s, r.Query, r.Variables)
	if err != nil {
		return stoatest.Answer{}, err
	}
	defer awaitFollowers(t, s, before)
	defer k.cut()
	if r.meanwhile != "" {
		awaitFollowers(t, s, before+1)
		if a, err := s.Send(stoatest.Request{Query: r.meanwhile, Token: r.Token}); err != nil || len(a.Errors) > 0 {
			return a, fmt.Errorf("%s is answered %s: %w", r.meanwhile, a.Raw, err)
		}
	}
	var a stoatest.Answer
	for range r.events {
		m, err := k.hear(ctx)
		switch {
		case err != nil:
			return a, err
		case m.Type == "error":
			return stoatest.Answer{Raw: []byte(`{"errors":` + string(m.Payload) + `}`)}, nil
		case m.Type != "next":
			return a, fmt.Errorf("instead of an event came %s", m.Type)
		}
		a.Raw = append(a.Raw, m.Payload...)
	}
	return a, nil
}

// sameComment says whether two ids are of one comment: as everyone sees it, and as who wrote it
// does.
func sameComment(comment, submission string) bool {
	return strings.TrimPrefix(comment, "com_") == strings.TrimPrefix(submission, "sub_")
}
