package gateway

// How equal requests come by one answer: it is kept (Gateway.serveKept), somebody is making
// it (Gateway.share), or it is made here (Gateway.makeShared). What is private, failed, or
// forbidden to be kept is made by each for itself.

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/envelope"
	"stoa/gateway/operation"
	"stoa/gateway/wire"
)

// flight is an answer that is being made.
type flight struct {
	done chan struct{}
	kept *kept // nil where it came out as one that isn't for others
	left bool  // whoever made it went away before it was done
}

// serveKept answers r with what is kept under id, if it may be given still.
func (g *Gateway) serveKept(w http.ResponseWriter, r *http.Request, id key, body *bytes.Buffer, began time.Time) bool {
	k := g.answers.get(id)
	if k == nil {
		return false
	}
	now := began.UnixNano()
	isNew, isOld := k.fresh(now)
	if !isNew && !isOld {
		return false
	}
	if isOld {
		g.renew(k, r.Method, r.URL.RawQuery, body.Bytes())
	}
	if !k.used.Load() {
		k.used.Store(true)
	}
	g.answers.hits.Add(1)
	g.writeKept(w, r, k, now)
	return true
}

// shares says whether p's answer may be one for all who ask the same, if it turns out so.
// What asks for more than that in its extensions isn't looked into here.
func (g *Gateway) shares(p *operation.Prepared, get bool) bool {
	if g.answers == nil || !get && g.answers.limit == 0 || !p.Policy.Keeps() {
		return false
	}
	for name := range p.Params.Extensions {
		if name != "persistedQuery" {
			return false
		}
	}
	return true
}

// canonical is what an answer is found by when the request has been read: the document, the
// operation and its variables, however they were written.
func (a *answers) canonical(p *operation.Prepared, media wire.MediaType, get bool) (key, bool) {
	variables, err := json.Marshal(p.Params.Variables) // members in the order of their names
	if err != nil {
		return key{}, false
	}
	var text bytes.Buffer
	text.WriteString("canonical\x00")
	for _, part := range []string{string(media), p.Params.OperationName, string(variables), p.Document.Hash} {
		text.WriteString(part)
		text.WriteByte(0) // none of them has one
	}
	if get {
		text.WriteByte('G')
	}
	return a.hash(text.Bytes()), true
}

// share answers p: k where its answer is one for all, response or no otherwise. made is the
// answer that is under way, media and get are how it will be sent.
func (g *Gateway) share(ctx context.Context, p *operation.Prepared, made *operation.Scope, media wire.MediaType, get bool) (k *kept, response *graphql.Response, err error) {
	a := g.answers
	id, ok := a.canonical(p, media, get)
	if !ok {
		response, err = g.pipeline.Execute(ctx, p)
		return nil, response, err
	}
	for range maxFollows {
		if k := a.get(id); k != nil {
			if isNew, _ := k.fresh(time.Now().UnixNano()); isNew {
				a.hits.Add(1)
				return k, nil, nil
			}
		}
		if a.alone[id.a%uint64(len(a.alone))].Load() == id.b {
			break
		}
		f, first := a.join(id)
		if first {
			return g.lead(ctx, f, id, p, made, media, get)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, nil, g.pipeline.Ended(ctx, p.Params.OperationName)
		}
		if f.kept == nil && !f.left {
			break
		}
		// What was dropped since the answer began may have been read before: then it is made anew.
		if f.kept != nil {
			if isNew, isOld := f.kept.fresh(time.Now().UnixNano()); isNew || isOld {
				a.hits.Add(1)
				return f.kept, nil, nil
			}
		}
	}
	return g.makeShared(ctx, id, p, made, media, get)
}

// maxFollows is how often a request waits for others before it makes its answer itself.
const maxFollows = 3

// join returns the flight to the answer with id; first says that there was none.
func (a *answers) join(id key) (f *flight, first bool) {
	a.making.Lock()
	defer a.making.Unlock()
	if f = a.flights[id]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	a.flights[id] = f
	return f, true
}

// lead makes an answer for all who join f.
func (g *Gateway) lead(ctx context.Context, f *flight, id key, p *operation.Prepared, made *operation.Scope, media wire.MediaType, get bool) (k *kept, response *graphql.Response, err error) {
	f.left = true
	defer func() { // also after a panic: nobody may wait for ever
		g.answers.making.Lock()
		delete(g.answers.flights, id)
		g.answers.making.Unlock()
		close(f.done)
	}()
	k, response, err = g.makeShared(ctx, id, p, made, media, get)
	f.kept, f.left = k, ctx.Err() != nil
	return k, response, err
}

// makeShared executes p and keeps its answer if that is one for all.
func (g *Gateway) makeShared(ctx context.Context, id key, p *operation.Prepared, made *operation.Scope, media wire.MediaType, get bool) (*kept, *graphql.Response, error) {
	a := g.answers
	a.made.Add(1)
	ctx, reading := a.cache.Reading(ctx)
	response, err := g.pipeline.Execute(ctx, p)
	mine := &a.alone[id.a%uint64(len(a.alone))]
	if err != nil {
		return nil, nil, err // it is about who asked, or about now
	}
	if len(response.Errors) > 0 || made.Private() {
		mine.Store(id.b)
		return nil, response, nil
	}
	if mine.Load() == id.b {
		mine.Store(0)
	}
	if _, sets := made.Cookie(); sets {
		return nil, response, nil
	}
	standing, names, ok := reading.End()
	if !ok || standing.Deps() > maxDeps {
		return nil, response, nil
	}
	buffer := g.codec.Buffers.Get()
	defer g.codec.Buffers.Put(buffer)
	wire.Encode(buffer, response)
	k := newKept(standing, media, p.Policy, p.Cost, reading.Began(), buffer.Bytes(), get, names)
	a.put(id, k)
	return k, nil, nil
}

// renew has k made anew beside requests, once at a time, out of a request that asks for it.
func (g *Gateway) renew(k *kept, method, address string, body []byte) {
	if g.draining.Load() || !k.renewing.CompareAndSwap(false, true) {
		return
	}
	select { // a few at a time: nobody is charged for them
	case g.answers.renewals <- struct{}{}:
	default:
		k.renewing.Store(false)
		return // it is given once more as it is
	}
	address, body, get := strings.Clone(address), bytes.Clone(body), method != http.MethodPost
	g.answers.background.Go(func() {
		defer func() {
			k.renewing.Store(false)
			<-g.answers.renewals
		}()
		ctx, cancel := operation.WithTimeout(context.Background(), time.Now(), g.timeout)
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				g.codec.LogPanic(ctx, p)
			}
		}()
		ctx, made := g.pipeline.BeginRenewal(ctx)
		read := envelope.Parse
		if get {
			read = func([]byte) (*envelope.Envelope, error) { return envelope.ParseAddress(address) }
		}
		asked, err := read(body)
		if err != nil {
			return
		}
		p, err := g.pipeline.Prepare(ctx, asked, mayRun(method))
		if err == nil && g.shares(p, get) {
			_, _, err = g.share(ctx, p, made, k.media, get)
		}
		if err != nil {
			g.codec.Errors(ctx, err) // which logs a fault of ours
		}
	})
}
