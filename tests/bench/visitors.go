package main

// The load of a site: an open loop, in which requests start on schedule however long earlier
// ones take. Entry points: newVisitors, visitors.run, visitors.requestUnknown.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// requestTimeout equals the server's own limit for a request.
const requestTimeout = 10 * time.Second

const articlePage = `{ nodes { id slug title summary publishedAt author { name slug } tags { name slug } } pageInfo { hasNextPage endCursor } }`

// kinds are the kinds of pages, with their shares of the two mixes in percent. The mix lookups
// has only lookups by slug and id and pages of lists: no tag pages, neighbours, counts or search.
var kinds = []struct {
	name          string
	full, lookups int
	query         string
	has           string // part of every correct answer
	variables     func(*visitors) map[string]any
}{
	{"home", 20, 0, `{ articles(first: 20) { nodes { id slug title summary publishedAt author { name slug } tags { name slug } commentCount } pageInfo { hasNextPage endCursor } } }`, `"title":`, noVariables},
	{"article", 40, 0, `query($slug: String!) { article(slug: $slug) { title bodyHtml publishedAt readingMinutes author { name } tags { name slug } tableOfContents { level text anchor } commentCount ` + commentPage + ` next { slug title } previous { slug title } related { slug title } } }`, `"title":`, anySlug},
	{"tag", 12, 0, `query($slug: String!) { tag(slug: $slug) { name description articleCount articles(first: 20) ` + articlePage + ` } }`, `"name":`, tagSlug},
	{"search", 8, 0, `query($query: String!) { search(query: $query, first: 10) { nodes { ... on Article { slug title } ... on Tag { slug name } ... on Author { slug name } } } }`, `"nodes":`, words},
	{"slug", 0, 40, `query($slug: String!) { article(slug: $slug) { title bodyHtml publishedAt readingMinutes author { name slug } tags { name slug } } }`, `"title":`, anySlug},
	{"list", 0, 20, `query($after: String) { articles(first: 20, after: $after) ` + articlePage + ` }`, `"title":`, cursor},
	{"comments", 7, 20, `query($slug: String!) { article(slug: $slug) { id ` + commentPage + ` } }`, `"comments":`, commentedSlug},
	{"id", 7, 15, `query($id: ID!) { node(id: $id) { ... on Article { title summary publishedAt author { name } } } }`, `"title":`, anyID},
	{"unknown", 6, 5, `query($slug: String!) { article(slug: $slug) { title } }`, `"article":null`, noSlug},
}

const commentPage = `comments(first: 20) { nodes { id authorName createdAt bodyHtml } pageInfo { hasNextPage endCursor } }`

func noVariables(*visitors) map[string]any { return nil }

func anySlug(v *visitors) map[string]any { return map[string]any{"slug": v.anyPost().Slug} }

func anyID(v *visitors) map[string]any { return map[string]any{"id": v.anyPost().ID} }

func noSlug(v *visitors) map[string]any {
	v.unknown++
	return map[string]any{"slug": fmt.Sprintf("nothing-%d", v.unknown)}
}

func tagSlug(v *visitors) map[string]any {
	return map[string]any{"slug": fmt.Sprintf("tag-%d", min(int(v.random.ExpFloat64()*3), v.Tags-1))}
}

func commentedSlug(v *visitors) map[string]any {
	return map[string]any{"slug": v.Posts[v.commented()].Slug}
}

func words(v *visitors) map[string]any {
	word := func() string { return v.Words[v.random.IntN(min(400, len(v.Words)))] }
	if v.random.IntN(2) == 0 {
		return map[string]any{"query": word()}
	}
	return map[string]any{"query": word() + " " + word()}
}

func cursor(v *visitors) map[string]any {
	i := v.random.IntN(len(v.Cursors) + 1)
	if i == len(v.Cursors) {
		return nil
	}
	return map[string]any{"after": v.Cursors[i]}
}

// visitors send requests to one server. Only post, send and count may be called concurrently.
type visitors struct {
	*content
	url       string
	client    *http.Client
	random    *rand.Rand
	commented func() int
	unknown   int
	requests  atomic.Int64

	mu     sync.Mutex
	visits map[string]*visits
}

// The kinds beside kinds.
const (
	commentKind     = "(comment)"
	publicationKind = "(publication)"
	atOnce          = "unknown at once"
)

// visits are the results of one kind of request.
type visits struct {
	took     []time.Duration // failed requests included
	failures map[string]int  // by reason
}

func newVisitors(c *content, url string) *visitors {
	random := rand.New(rand.NewPCG(2, uint64(len(c.Posts))))
	return &visitors{
		content: c, url: url, client: newClient(256), random: random, commented: drawCommented(random, len(c.Posts)), visits: map[string]*visits{},
	}
}

func (v *visitors) anyPost() postID { return v.Posts[v.random.IntN(len(v.Posts))] }

// run sends requests at o.rate for o.lasts, with a write each o.write, and returns when every
// request has its answer or has timed out.
func (v *visitors) run(ctx context.Context, o siteOptions) error {
	began, writes := time.Now(), time.Duration(1)
	var running sync.WaitGroup
	defer running.Wait()
	for n := range int(o.rate * o.lasts.Seconds()) {
		due := began.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return ctx.Err()
		}
		if due.Sub(began) >= writes*o.write {
			v.write(ctx, &running, int(writes), due)
			writes++
		}
		k := kinds[v.pick(o.mix)]
		a := v.post(k.query, k.variables(v))
		running.Go(func() {
			_, err := v.send(ctx, a, due, k.has)
			v.count(k.name, due, err)
		})
	}
	return nil
}

// pick draws a kind by its share of a mix.
func (v *visitors) pick(mix string) int {
	at := v.random.IntN(100)
	for i, k := range kinds {
		share := k.full
		if mix == "lookups" {
			share = k.lookups
		}
		if at -= share; at < 0 {
			return i
		}
	}
	panic("the shares of the mix " + mix + " are below 100")
}

// write sends a publication if n is odd, else a comment.
func (v *visitors) write(ctx context.Context, running *sync.WaitGroup, n int, due time.Time) {
	const done = `"userErrors":[]`
	as := func(query string, input map[string]any) ask {
		a := v.post(query, map[string]any{"in": input})
		a.header["Authorization"] = "Bearer " + v.Tokens[n/2%len(v.Tokens)]
		return a
	}
	if n%2 == 0 {
		comment := as(`mutation($in: CommentAddInput!) { commentAdd(input: $in) { userErrors { message } } }`,
			map[string]any{"articleId": v.Posts[v.commented()].ID, "bodyMarkdown": "A comment of *some* length, as readers write them."})
		running.Go(func() {
			_, err := v.send(ctx, comment, due, done)
			v.count(commentKind, due, err)
		})
		return
	}
	title := fmt.Sprintf("News %d of %d", n, due.UnixNano())
	create := as(`mutation($in: ArticleCreateInput!) { articleCreate(input: $in) { article { id } userErrors { message } } }`,
		map[string]any{"title": title, "bodyMarkdown": strings.Repeat("What is new is told in a few sentences. ", 50)})
	running.Go(func() {
		body, err := v.send(ctx, create, due, done)
		var made struct {
			ArticleCreate struct{ Article struct{ ID string } }
		}
		if err == nil {
			err = decode(body, &made)
		}
		if err == nil {
			publish := as(`mutation($in: ArticlePublishInput!) { articlePublish(input: $in) { userErrors { message } } }`, map[string]any{"id": made.ArticleCreate.Article.ID})
			_, err = v.send(ctx, publish, due, done)
		}
		v.count(publicationKind, due, err)
	})
}

// post returns a request with one of 200 client addresses.
func (v *visitors) post(query string, variables map[string]any) ask {
	a := post(v.url+"/graphql", query, variables)
	a.header["X-Forwarded-For"] = fmt.Sprintf("198.51.100.%d", 1+v.requests.Add(1)%200)
	return a
}

var errorCode = regexp.MustCompile(`"code":"(\w+)"`)

// send sends a request that was due at a time, and returns the answer if that contains has.
func (v *visitors) send(ctx context.Context, a ask, due time.Time, has string) ([]byte, error) {
	ctx, cancel := context.WithDeadline(ctx, due.Add(requestTimeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, a.method, a.url, bytes.NewReader(a.body))
	if err != nil {
		return nil, err
	}
	for name, value := range a.header {
		request.Header.Set(name, value)
	}
	var body []byte
	response, err := v.client.Do(request)
	if err == nil {
		body, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	var got struct{ Errors []json.RawMessage }
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("no answer in %s", requestTimeout)
	case err != nil:
		return nil, errors.New("no connection")
	case response.StatusCode != http.StatusOK || json.Unmarshal(body, &got) != nil || len(got.Errors) > 0:
		code := ""
		if found := errorCode.FindSubmatch(body); found != nil {
			code = string(found[1])
		}
		return nil, fmt.Errorf("%s %s", response.Status, code)
	case !bytes.Contains(body, []byte(has)):
		return nil, fmt.Errorf("200 OK without %s: %.100s", has, body)
	}
	return body, nil
}

func (v *visitors) count(kind string, due time.Time, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	of := v.visits[kind]
	if of == nil {
		of = &visits{failures: map[string]int{}}
		v.visits[kind] = of
	}
	of.took = append(of.took, time.Since(due))
	if err != nil {
		of.failures[err.Error()]++
	}
}

// requestUnknown requests n unknown slugs at once.
func (v *visitors) requestUnknown(ctx context.Context, n int) {
	k := kinds[len(kinds)-1]
	due := time.Now()
	var running sync.WaitGroup
	for range n {
		a := v.post(k.query, k.variables(v))
		running.Go(func() {
			_, err := v.send(ctx, a, due, k.has)
			v.count(atOnce, due, err)
		})
	}
	running.Wait()
	v.client.CloseIdleConnections()
}
