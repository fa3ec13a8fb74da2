package responsecache

// How equal requests come by one response: it is cached (Serve), another request is making it, or it
// is made here (Respond). One that is private, failed, or forbidden to be cached is made by each
// request for itself.

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/envelope"
	"stoa/gateway/operation"
	"stoa/gateway/wire"
)

// flight is a response that is being made.
type flight struct {
	done  chan struct{}
	entry *Entry // nil for a response that can't be shared
	left  bool   // the leader's client went away before it was done
}

// Form is how a response will be sent.
type Form struct {
	Media wire.MediaType
	Get   bool // by GET or HEAD
}

// Serve answers r with the entry under id, if it may be given still. body is the body of a POST.
func (c *Cache) Serve(w http.ResponseWriter, r *http.Request, id Key, body []byte) bool {
	e := c.get(id)
	if e == nil {
		return false
	}
	now := c.now().UnixNano()
	isNew, isOld := e.fresh(now)
	if !isNew && !isOld {
		return false
	}
	if isOld {
		c.renew(e, r.URL.RawQuery, body)
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	c.hits.Add(1)
	c.write(w, r, e, now)
	return true
}

// shares says whether the response to p may be the same for all equal requests, if it turns out so.
// A request that asks for more in its extensions isn't looked into here.
func (c *Cache) shares(p *operation.Prepared, form Form) bool {
	if c.cache == nil || !form.Get && c.limit == 0 || !p.Policy.Keeps() {
		return false
	}
	for name := range p.Params.Extensions {
		if name != "persistedQuery" {
			return false
		}
	}
	return true
}

// canonical is the key of a response once its request has been read: the document, the operation
// and its variables, in any way of writing them.
func (c *Cache) canonical(p *operation.Prepared, form Form) (Key, bool) {
	variables, err := json.Marshal(p.Params.Variables) // members in the order of their names
	if err != nil {
		return Key{}, false
	}
	var text bytes.Buffer
	text.WriteString("canonical\x00")
	for _, part := range []string{string(form.Media), p.Params.OperationName, string(variables), p.Document.Hash} {
		text.WriteString(part)
		text.WriteByte(0) // none of them has one
	}
	if form.Get {
		text.WriteByte('G')
	}
	return c.hash(text.Bytes()), true
}

// Respond executes p, or waits for an equal request that executes it. It returns the cached entry if
// the response is public, else the response of this request alone. ctx and scope are of
// Pipeline.Begin.
func (c *Cache) Respond(ctx context.Context, scope *operation.Scope, p *operation.Prepared, form Form) (*Entry, *graphql.Response, error) {
	if c.shares(p, form) {
		if id, ok := c.canonical(p, form); ok {
			return c.share(ctx, id, scope, p, form)
		}
	}
	response, err := c.pipeline.Execute(ctx, p)
	return nil, response, err
}

// maxFollows is how often a request waits for others before it makes its response itself.
const maxFollows = 3

// share is Respond for a response that may be shared, by its canonical key.
func (c *Cache) share(ctx context.Context, id Key, scope *operation.Scope, p *operation.Prepared, form Form) (*Entry, *graphql.Response, error) {
	for range maxFollows {
		if e := c.get(id); e != nil {
			if isNew, _ := e.fresh(c.now().UnixNano()); isNew {
				c.hits.Add(1)
				return e, nil, nil
			}
		}
		if c.private[id.a%uint64(len(c.private))].Load() == id.b {
			break
		}
		f, leads := c.join(id)
		if leads {
			return c.lead(ctx, f, id, scope, p, form)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, nil, c.pipeline.Ended(ctx, p.Params.OperationName)
		}
		if f.entry == nil && !f.left {
			break
		}
		// Something that the leader read may have been dropped since: then the response is made anew.
		if f.entry != nil {
			if isNew, isOld := f.entry.fresh(c.now().UnixNano()); isNew || isOld {
				c.hits.Add(1)
				return f.entry, nil, nil
			}
		}
	}
	return c.execute(ctx, id, scope, p, form)
}

// join returns the flight to the response with this key. leads says that there was none.
func (c *Cache) join(id Key) (f *flight, leads bool) {
	c.making.Lock()
	defer c.making.Unlock()
	if f = c.flights[id]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	c.flights[id] = f
	return f, true
}

// lead makes the response for all requests that join f.
func (c *Cache) lead(ctx context.Context, f *flight, id Key, scope *operation.Scope, p *operation.Prepared, form Form) (e *Entry, response *graphql.Response, err error) {
	f.left = true
	defer func() { // also after a panic: nobody may wait for ever
		c.making.Lock()
		delete(c.flights, id)
		c.making.Unlock()
		close(f.done)
	}()
	e, response, err = c.execute(ctx, id, scope, p, form)
	f.entry, f.left = e, ctx.Err() != nil
	return e, response, err
}

// execute executes p, and caches its response if that is public.
func (c *Cache) execute(ctx context.Context, id Key, scope *operation.Scope, p *operation.Prepared, form Form) (*Entry, *graphql.Response, error) {
	c.made.Add(1)
	began := c.now().UnixNano()
	ctx, recorder := c.cache.Record(ctx)
	response, err := c.pipeline.Execute(ctx, p)
	if err != nil {
		return nil, nil, err // it is about this client, or this moment
	}
	private := &c.private[id.a%uint64(len(c.private))]
	if len(response.Errors) > 0 || scope.Private() {
		private.Store(id.b)
		return nil, response, nil
	}
	if private.Load() == id.b {
		private.Store(0)
	}
	if len(scope.Cookies()) > 0 {
		return nil, response, nil
	}
	validity, names, ok := recorder.End()
	if !ok || validity.Deps() > maxDeps {
		return nil, response, nil
	}
	buffer := c.codec.Buffers.Get()
	defer c.codec.Buffers.Put(buffer)
	wire.Encode(buffer, response)
	e := newEntry(validity, form, p.Policy, p.Cost, began, buffer.Bytes(), names)
	c.put(id, e)
	return e, nil, nil
}

// renew makes e anew beside requests, once at a time, out of a request that asks for it.
func (c *Cache) renew(e *Entry, address string, body []byte) {
	if c.draining.Load() || !e.renewing.CompareAndSwap(false, true) {
		return
	}
	select { // a few at a time: they use nobody's rates
	case c.renewals <- struct{}{}:
	default:
		e.renewing.Store(false)
		return // it is given once more as it is
	}
	address, body = strings.Clone(address), bytes.Clone(body)
	c.background.Go(func() {
		defer func() {
			e.renewing.Store(false)
			<-c.renewals
		}()
		ctx, cancel := operation.WithTimeout(context.Background(), time.Now(), c.timeout)
		defer cancel()
		defer func() {
			if cause := recover(); cause != nil {
				c.codec.LogPanic(ctx, cause)
			}
		}()
		if err := c.renewNow(ctx, e, address, body); err != nil {
			c.codec.Errors(ctx, err) // which logs a fault of ours
		}
	})
}

func (c *Cache) renewNow(ctx context.Context, e *Entry, address string, body []byte) error {
	form := Form{Media: e.media, Get: e.Public()}
	ctx, scope := c.pipeline.BeginRenewal(ctx)
	var asked *envelope.Envelope
	var err error
	if form.Get {
		asked, err = c.pipeline.ParseAddress(ctx, address)
	} else {
		asked, err = c.pipeline.Parse(ctx, body)
	}
	if err != nil {
		return err
	}
	p, err := c.pipeline.Prepare(ctx, asked, func(*ast.OperationDefinition) error { return nil }) // a query, as before
	if err == nil && c.shares(p, form) {
		_, _, err = c.Respond(ctx, scope, p, form)
	}
	return err
}
