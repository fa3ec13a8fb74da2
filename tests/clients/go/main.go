// Command go speaks with a running server by a client that genqlient has generated from the
// schema and operations.graphql.
//
//	go run . http://127.0.0.1:8080/graphql
//
// The server must be in development mode and have the demo. It ends with the line
// "N passed, N failed", and with 0 only when none failed.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Khan/genqlient/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// patience is how long one step may take. A step takes milliseconds.
const patience = 30 * time.Second

// slug is an article's of the demo.
const slug = "the-painted-porch"

var person = struct{ email, password, name string }{fmt.Sprintf("gopher-%d@example.org", os.Getpid()), "four plain words here", "Ruth"}

// api is the server under test.
type api struct {
	url   string
	token string
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . http://HOST:PORT/graphql")
		os.Exit(2)
	}
	a := &api{url: os.Args[1]}
	passed, failed := 0, 0
	for _, step := range []struct {
		name string
		run  func(*api, context.Context) error
	}{
		{"a query is answered, by POST and by GET", (*api).query},
		{"people register and sign in", (*api).signIn},
		{"a mutation is done, and what was wrong with one is data", (*api).mutation},
		{"errors come beside what could be answered", (*api).errors},
		{"pages follow one another", (*api).pages},
		{"things of several types are found by their ids", (*api).nodes},
		{"a query is persisted automatically, by GET", (*api).persisted},
		{"a GET changes nothing", (*api).safe},
		{"a subscription tells of what is said, and goes on after the last event", (*api).subscription},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := step.run(a, ctx); err != nil {
			failed++
			fmt.Printf("FAILED %s: %v\n", step.name, err)
		} else {
			passed++
			fmt.Printf("ok     %s\n", step.name)
		}
		cancel()
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// must is an error unless got is want.
func must[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

// Do sends a request with the token of a signed-in account.
func (a *api) Do(r *http.Request) (*http.Response, error) {
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	return http.DefaultClient.Do(r)
}

func (a *api) post() graphql.Client { return graphql.NewClient(a.url, a) }

func (a *api) query(ctx context.Context) error {
	for _, client := range []graphql.Client{a.post(), graphql.NewClientUsingGet(a.url, a)} {
		found, err := Article(ctx, client, slug)
		if err != nil {
			return err
		}
		x := found.Article
		if x == nil || x.Author == nil || x.PublishedAt == nil || len(x.Tags) != 2 {
			return fmt.Errorf("the article is %+v", x)
		}
		if err := errors.Join(
			must("title", x.Title, "The porch that gave philosophy a name"), must("author", x.Author.Name, "Ruth Casey"),
			must("a tag", x.Tags[1].Name, "Markets"), must("in the past", x.PublishedAt.Before(time.Now()), true),
		); err != nil {
			return err
		}
		none, err := Article(ctx, client, "no-such-article")
		if err != nil || none.Article != nil {
			return fmt.Errorf("no article is %+v, %w", none, err)
		}
	}
	return nil
}

func (a *api) signIn(ctx context.Context) error {
	registered, err := AccountRegister(ctx, a.post(), AccountRegisterInput{Email: person.email, Password: person.password, Name: person.name})
	if err != nil || len(registered.AccountRegister.UserErrors) > 0 {
		return fmt.Errorf("register: %+v, %w", registered, err)
	}
	code, err := a.code(ctx)
	if err != nil {
		return err
	}
	verified, err := AccountVerify(ctx, a.post(), AccountVerifyInput{Token: code})
	if err != nil || len(verified.AccountVerify.UserErrors) > 0 {
		return fmt.Errorf("verify: %+v, %w", verified, err)
	}
	session, err := SessionCreate(ctx, a.post(), SessionCreateInput{Email: person.email, Password: person.password, Delivery: SessionDeliveryToken})
	if err != nil || session.SessionCreate.Token == nil {
		return fmt.Errorf("sign in: %+v, %w", session, err)
	}
	a.token = *session.SessionCreate.Token
	return nil
}

// code waits for the mail that has the code of the registration.
func (a *api) code(ctx context.Context) (string, error) {
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(a.url, "/graphql")+"/outbox?format=json", nil)
		if err != nil {
			return "", err
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		var mails []struct{ Kind, To, Code string }
		err = json.NewDecoder(response.Body).Decode(&mails)
		response.Body.Close()
		if err != nil {
			return "", err
		}
		for _, mail := range mails {
			if mail.Kind == "verify" && mail.To == person.email {
				return mail.Code, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no mail came: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (a *api) mutation(ctx context.Context) error {
	found, err := Article(ctx, a.post(), slug)
	if err != nil {
		return err
	}
	said, err := CommentAdd(ctx, a.post(), CommentAddInput{ArticleId: found.Article.Id, BodyMarkdown: "By *Go*."})
	if err != nil || said.CommentAdd.Submission == nil || said.CommentAdd.Submission.Comment == nil {
		return fmt.Errorf("a comment is answered %+v, %w", said, err)
	}
	refused, err := CommentAdd(ctx, a.post(), CommentAddInput{ArticleId: found.Article.Id})
	if err != nil || refused.CommentAdd.Submission != nil || len(refused.CommentAdd.UserErrors) != 1 {
		return fmt.Errorf("no words are answered %+v, %w", refused, err)
	}
	wrong := refused.CommentAdd.UserErrors[0]
	return errors.Join(
		must("html", said.CommentAdd.Submission.Comment.BodyHtml, "<p>By <em>Go</em>.</p>\n"), must("status", said.CommentAdd.Submission.Status, CommentStatusVisible),
		must("code", wrong.Code, CommentErrorCodeInvalid), must("path", strings.Join(wrong.Path, "."), "bodyMarkdown"),
	)
}

func (a *api) errors(ctx context.Context) error {
	partly, err := Partly(ctx, a.post(), slug)
	var list gqlerror.List
	if !errors.As(err, &list) || len(list) != 1 {
		return fmt.Errorf("the error is %w", err)
	}
	if partly == nil || partly.Article == nil || partly.Viewer == nil || partly.Viewer.Queue != nil {
		return fmt.Errorf("what could be answered is %+v", partly)
	}
	invalid := a.post().MakeRequest(ctx, &graphql.Request{Query: "{ nothing }"}, &graphql.Response{})
	var refused gqlerror.List
	if !errors.As(invalid, &refused) {
		return fmt.Errorf("an invalid document is answered %w", invalid)
	}
	return errors.Join(
		must("path", list[0].Path.String(), "viewer.queue"), must("code", list[0].Extensions["code"], any("FORBIDDEN")),
		must("code", refused[0].Extensions["code"], any("GRAPHQL_VALIDATION_FAILED")), must("article", partly.Article.Slug, slug),
	)
}

func (a *api) pages(ctx context.Context) error {
	seen := map[string]bool{}
	var after *string
	five := 5
	for range 10 {
		page, err := Page(ctx, a.post(), &five, after)
		if err != nil {
			return err
		}
		for _, node := range page.Articles.Nodes {
			if seen[node.Id] {
				return fmt.Errorf("%s is there twice", node.Slug)
			}
			seen[node.Id] = true
		}
		if !page.Articles.PageInfo.HasNextPage {
			return errors.Join(must("how many", len(seen), page.Articles.Count.Value), must("exact", page.Articles.Count.IsExact, true), must("several pages", len(seen) > five, true))
		}
		after = page.Articles.PageInfo.EndCursor
	}
	return errors.New("there is no end to the pages")
}

func (a *api) nodes(ctx context.Context) error {
	found, err := Article(ctx, a.post(), slug)
	if err != nil {
		return err
	}
	several, err := Nodes(ctx, a.post(), []string{found.Article.Id, "aut_00000000000000000000000000"})
	if err != nil || len(several.Nodes) != 2 || several.Nodes[0] == nil || several.Nodes[1] != nil {
		return fmt.Errorf("two are answered %+v, %w", several, err)
	}
	article, ok := (*several.Nodes[0]).(*NodesNodesArticle)
	if !ok {
		return fmt.Errorf("the first is a %T", *several.Nodes[0])
	}
	return must("title", article.Title, found.Article.Title)
}

// persisting sends queries as their hashes, and their text after a miss: genqlient leaves
// this to its users.
type persisting struct {
	*api
	mark string   // makes the text one that nobody has sent yet
	sent []string // for each request, whether with "hash" or with "text"
}

func (p *persisting) Do(r *http.Request) (*http.Response, error) {
	values := r.URL.Query()
	text := values.Get("query") + p.mark
	sum := sha256.Sum256([]byte(text))
	values.Set("extensions", fmt.Sprintf(`{"persistedQuery":{"version":1,"sha256Hash":%q}}`, hex.EncodeToString(sum[:])))
	values.Del("query")
	response, err := p.send(r, "hash", values)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(body), `"PERSISTED_QUERY_NOT_FOUND"`) {
		values.Set("query", text)
		return p.send(r, "text", values)
	}
	response.Body = io.NopCloser(strings.NewReader(string(body)))
	return response, nil
}

func (p *persisting) send(r *http.Request, how string, values url.Values) (*http.Response, error) {
	p.sent = append(p.sent, how)
	r = r.Clone(r.Context())
	r.URL.RawQuery = values.Encode()
	return p.api.Do(r)
}

func (a *api) persisted(ctx context.Context) error {
	p := &persisting{api: a, mark: fmt.Sprintf("# %s %d", person.email, time.Now().UnixNano())}
	client := graphql.NewClientUsingGet(a.url, p)
	for _, of := range []string{slug, "a-scale-is-a-promise"} {
		found, err := Article(ctx, client, of)
		if err != nil || found.Article == nil || found.Article.Author == nil {
			return fmt.Errorf("%s is %+v, %w", of, found, err)
		}
	}
	return must("what was sent", strings.Join(p.sent, " "), "hash text hash")
}

func (a *api) safe(ctx context.Context) error {
	values := url.Values{"query": {CommentAdd_Operation}, "variables": {`{"input":{"articleId":"art_00000000000000000000000000","bodyMarkdown":"x"}}`}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := a.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return must("the status of a mutation by GET", response.StatusCode, http.StatusMethodNotAllowed)
}

// dialer opens the WebSocket. Its user closes the connection, since genqlient's Close doesn't end one
// with subscriptions.
type dialer struct{ connection *websocket.Conn }

func (d *dialer) DialContext(ctx context.Context, address string, header http.Header) (graphql.WSConn, error) {
	connection, response, err := websocket.DefaultDialer.DialContext(ctx, address, header)
	if err != nil {
		return nil, fmt.Errorf("dial: %w (%+v)", err, response)
	}
	d.connection = connection
	return connection, nil
}

// follow calls on with each event until that returns an error or true.
func (a *api) follow(ctx context.Context, article string, after *string, on func(CommentAddedCommentAddedCommentAddedEvent) (bool, error)) error {
	d := &dialer{}
	client := graphql.NewClientUsingWebSocket(strings.Replace(a.url, "http", "ws", 1), d, graphql.WithConnectionParams(map[string]any{"authorization": "Bearer " + a.token}))
	failed, err := client.Start(ctx)
	if err != nil {
		return err
	}
	defer d.connection.Close()
	events, subscription, err := CommentAdded(ctx, client, article, after)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing was told: %w", ctx.Err())
		case err := <-failed:
			return err
		case event := <-events:
			if len(event.Errors) > 0 {
				return event.Errors
			}
			if done, err := on(event.Data.CommentAdded); done || err != nil {
				go func() { <-failed }() // the end of the connection
				return errors.Join(err, client.Unsubscribe(subscription))
			}
		}
	}
}

func (a *api) say(ctx context.Context, article, words string) (string, error) {
	said, err := CommentAdd(ctx, a.post(), CommentAddInput{ArticleId: article, BodyMarkdown: words})
	if err != nil || said.CommentAdd.Submission == nil || said.CommentAdd.Submission.Comment == nil {
		return "", fmt.Errorf("a comment is answered %+v, %w", said, err)
	}
	return said.CommentAdd.Submission.Comment.Id, nil
}

func (a *api) subscription(ctx context.Context) error {
	found, err := Article(ctx, a.post(), slug)
	if err != nil {
		return err
	}
	article := found.Article.Id
	quiet, stop := context.WithCancel(ctx)
	defer stop()
	spoke := make(chan error, 1)
	go func() { // nothing tells a client that its subscription stands
		for range 3 {
			if _, err := a.say(ctx, article, "Heard by *Go*."); err != nil {
				spoke <- err
				return
			}
			select {
			case <-quiet.Done():
				spoke <- nil
				return
			case <-time.After(3 * time.Second):
			}
		}
		spoke <- nil
	}()
	var last string
	err = a.follow(ctx, article, nil, func(event CommentAddedCommentAddedCommentAddedEvent) (bool, error) {
		last = event.Id
		if event.Comment == nil || !strings.HasPrefix(event.Id, "evt_") {
			return true, fmt.Errorf("the event is %+v", event)
		}
		return true, must("what was heard", event.Comment.BodyHtml, "<p>Heard by <em>Go</em>.</p>\n")
	})
	stop()
	if err := errors.Join(err, <-spoke); err != nil {
		return err
	}
	missed, err := a.say(ctx, article, "Said while nobody listened.")
	if err != nil {
		return err
	}
	return a.follow(ctx, article, &last, func(event CommentAddedCommentAddedCommentAddedEvent) (bool, error) {
		if event.Comment == nil {
			return true, fmt.Errorf("the event is %+v", event)
		}
		return event.Comment.Id == missed, nil // repeated comments of the first subscription may come before it
	})
}
