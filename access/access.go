// Package access is who asks and what they may do: viewers, roles, and what an answer that
// is under way has touched on its way. It does no I/O.
//
// An answer is public until something marks it private, and nothing can learn who asks
// without marking it: ViewerFrom and ClientFrom are the only ways, and both do. So a cache
// of whole answers needs nobody's annotation to be safe.
//
// It may import id and problem. Entry points: Begin, which the gateway calls for each
// answer; ViewerFrom and Require, which everything behind it calls.
package access

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"stoa/id"
	"stoa/problem"
)

// Viewer is who asks. The zero Viewer hasn't signed in.
type Viewer struct {
	Account id.ID
	Session id.ID
	Role    Role
}

// SignedIn says whether v is somebody.
func (v Viewer) SignedIn() bool { return v.Account != "" }

// Is says whether v is the owner of account.
func (v Viewer) Is(account id.ID) bool { return account != "" && v.Account == account }

// May says whether v may do what takes a role.
func (v Viewer) May(r Role) bool { return v.SignedIn() && v.Role.Includes(r) }

// Role is what an account may do.
type Role string

// The roles there are: CUSTOMER < AUTHOR < EDITOR for what is written, STAFF for what is
// sold, ADMIN for everything.
const (
	Customer Role = "CUSTOMER"
	Author   Role = "AUTHOR"
	Editor   Role = "EDITOR"
	Staff    Role = "STAFF"
	Admin    Role = "ADMIN"
)

// Roles is every role there is.
var Roles = []Role{Customer, Author, Editor, Staff, Admin}

// included is which roles each role has besides itself.
var included = map[Role][]Role{
	Customer: {},
	Author:   {Customer},
	Editor:   {Customer, Author},
	Staff:    {Customer},
	Admin:    {Customer, Author, Editor, Staff},
}

// Includes says whether who has r may do all that required may. A role that there isn't
// includes nothing and is included in nothing.
func (r Role) Includes(required Role) bool {
	others, known := included[r]
	if !known {
		return false
	}
	if r == required {
		return true
	}
	for _, o := range others {
		if o == required {
			return true
		}
	}
	return false
}

// Client is where a request came from.
type Client struct {
	Address netip.Addr // the zero Addr where it isn't known
	Device  string     // what it says it is: its User-Agent, cut to 200 bytes of valid UTF-8
}

// RateKey identifies the client in rate limits. A client with one IPv6 address has its whole
// /64, so the addresses of a /64 count as one.
func (c Client) RateKey() string {
	if a := c.Address; a.Is6() && !a.Is4In6() {
		if prefix, err := a.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	if c.Address == (netip.Addr{}) {
		return "unknown"
	}
	return c.Address.Unmap().String()
}

// Request is what the gateway knows about who asks, before anybody has looked.
type Request struct {
	// Token is the secret that came with the request; "" without one.
	Token string
	// ByCookie says whether it came in a cookie.
	ByCookie bool
	// Client is where the request came from.
	Client Client
	// Authenticate tells whose token it is: the zero Viewer where it is nobody's, an error
	// where that can't be told now. It is called once for an answer, when somebody asks.
	Authenticate func(ctx context.Context, token string) (Viewer, error)
	// Cookies says whether a cookie can be set with the answer.
	Cookies bool
}

// Cookie is what a browser is to keep for the requests that follow.
type Cookie struct {
	Token string    // "" to forget what it keeps
	Until time.Time // for a token: when it ends at the latest
}

// Answer is one answer that is under way: what it touched, and what is to go out with it.
// It is safe for concurrent use.
type Answer struct {
	request Request
	private mark

	mu     sync.Mutex
	asked  bool // viewer and err are known
	viewer Viewer
	err    error
	cookie *Cookie
}

// mark is a flag that knows how often it was set.
type mark struct{ times atomic.Uint64 }

func (m *mark) Load() bool { return m.times.Load() > 0 }

func (m *mark) Store(set bool) {
	if set {
		m.times.Add(1)
	} else {
		m.times.Store(0)
	}
}

type key struct{}

// Begin begins an answer to q and returns the context under which it is made.
func Begin(ctx context.Context, q Request) (context.Context, *Answer) {
	a := &Answer{request: q}
	return context.WithValue(ctx, key{}, a), a
}

// Private says whether the answer is for the one who asked and nobody else.
func (a *Answer) Private() bool { return a.private.Load() }

// Cookie returns what the browser is to keep; ok is false when that is what it has.
func (a *Answer) Cookie() (c Cookie, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cookie == nil {
		return Cookie{}, false
	}
	return *a.cookie, true
}

// from returns the answer that ctx belongs to; nil outside one, as in a sub-command.
func from(ctx context.Context) *Answer {
	a, _ := ctx.Value(key{}).(*Answer)
	return a
}

// Touched returns how often so far the answer that ctx belongs to was made private: when it
// says the same before and after, nothing in between has looked at who asks.
func Touched(ctx context.Context) uint64 {
	if a := from(ctx); a != nil {
		return a.private.times.Load()
	}
	return 0
}

// MarkPrivate makes the answer that ctx belongs to private. What reads documents of a
// private kind calls it itself.
func MarkPrivate(ctx context.Context) {
	if a := from(ctx); a != nil {
		a.private.Store(true)
	}
}

// ViewerFrom returns who asks, and makes the answer private. Outside an answer nobody asks.
// The error is of the look-up: a token that is nobody's is no error.
func ViewerFrom(ctx context.Context) (Viewer, error) {
	a := from(ctx)
	if a == nil {
		return Viewer{}, nil
	}
	a.private.Store(true)
	return a.look(ctx)
}

// look tells who asks, and asks for it once.
func (a *Answer) look(ctx context.Context) (Viewer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked && a.request.Token != "" && a.request.Authenticate != nil {
		a.viewer, a.err = a.request.Authenticate(ctx, a.request.Token)
	}
	a.asked = true
	return a.viewer, a.err
}

// ClientFrom returns where the request came from, and makes the answer private.
func ClientFrom(ctx context.Context) Client {
	a := from(ctx)
	if a == nil {
		return Client{}
	}
	a.private.Store(true)
	return a.request.Client
}

// ByCookie says whether who asks is known by a cookie that can be set anew with the answer,
// and makes the answer private.
func ByCookie(ctx context.Context) bool {
	a := from(ctx)
	if a == nil {
		return false
	}
	a.private.Store(true)
	return a.request.ByCookie && a.request.Cookies
}

// Require returns who asks: Unauthenticated when nobody has signed in, Forbidden when it
// is somebody who may not do what takes a role.
func Require(ctx context.Context, r Role) (Viewer, error) {
	v, err := ViewerFrom(ctx)
	switch {
	case err != nil:
		return Viewer{}, err
	case !v.SignedIn():
		return Viewer{}, problem.New(problem.Unauthenticated, "sign in first: this takes a session that hasn't ended")
	case !v.May(r):
		return Viewer{}, problem.New(problem.Forbidden, "this takes the role %s; yours is %s", r, v.Role)
	}
	return v, nil
}

// Become makes v the viewer for the rest of the answer: who has just signed in, or out.
func Become(ctx context.Context, v Viewer) {
	if a := from(ctx); a != nil {
		a.private.Store(true)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.viewer, a.err, a.asked = v, nil, true
	}
}

// CookiesFrom says whether Keep can be called.
func CookiesFrom(ctx context.Context) bool {
	a := from(ctx)
	return a != nil && a.request.Cookies
}

// Keep sends c with the answer. Where no cookie can go with an answer it does nothing.
func Keep(ctx context.Context, c Cookie) {
	if a := from(ctx); a != nil {
		a.private.Store(true)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.cookie = &c
	}
}
